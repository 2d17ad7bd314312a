/* Telling whoever watches long work (pcv_watch): lines, and how far it is. A watch, or a part of it, may be NULL.
 *
 *     watch_say(watch, "resumed after update %lld", step);
 *     if (watch_ask(watch, &progress) == PCV_STOP) return fail(err, PCV_INTERRUPTED, "interrupted"); */
#ifndef BASE_WATCH_H
#define BASE_WATCH_H

#include "perceiver.h"

#include <stdarg.h>

/* Who is asked while the process waits for another one; there is one for all. NULL: nobody, as at first. */
void watch_waiting(const pcv_watch *watch);
int watch_wait(const char *stage, pcv_error *err); /* asks: PCV_INTERRUPTED where it answers PCV_STOP */

/* The line goes through text_line: what it quotes can be anything. */
void watch_say(const pcv_watch *watch, const char *format, ...) __attribute__((format(printf, 2, 3)));
void watch_say_list(const pcv_watch *watch, const char *format, va_list args);

/* Tells the progress; what the watcher wants now: 0, PCV_SAVE or PCV_STOP. */
int watch_ask(const pcv_watch *watch, const pcv_progress *progress);

#endif
