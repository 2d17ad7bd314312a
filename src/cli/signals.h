/* Signals: what asks long work to stop or to save, and what is an error like any other. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <stdbool.h>

/* For every command, before its work: a file size limit is an error of writing. */
void signals_prepare(void);

/* For long work. SIGINT, SIGTERM, SIGHUP (unless nohup ignores it) and the end of the processor time (SIGXCPU) ask
 * for a stop, and a second SIGINT or SIGTERM ends the process at once; SIGUSR1 asks for a save. Nobody who reads what
 * is said (SIGPIPE) is no reason to stop, unless the data itself goes to standard output. */
void signals_install(bool data_is_printed);

/* What was asked for: 0, PCV_STOP (from then on always) or PCV_SAVE (once). */
int signals_wish(void);

#endif
