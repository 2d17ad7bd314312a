/* What long work shows: a bar with rate and time left on a terminal, plain lines every few seconds elsewhere. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "perceiver.h"

/* A watch for pcv_prepare, pcv_train and pcv_evaluate, which hears signals too. */
pcv_watch progress_watch(void);

/* One that shows nothing, and hears the signals: for work whose output goes to the terminal as it comes. */
pcv_watch signals_watch(void);

/* Ends the bar's line, so that other output starts in column one. */
void progress_end(void);

/* "1 h 02 min", "3 min 10 s", "12 s" */
void duration_text(double seconds, char *out, size_t size);

#endif
