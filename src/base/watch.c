#include "base/watch.h"
#include "base/error.h"
#include "base/text.h"

#include <stdio.h>

static pcv_watch waiting;

enum { LONGEST_LINE = 1024 + 4096 }; /* with a path */

void watch_say_list(const pcv_watch *watch, const char *format, va_list args) {
    char whole[LONGEST_LINE], line[LONGEST_LINE];
    if (!watch || !watch->message) return;
    vsnprintf(whole, sizeof whole, format, args);
    text_line(line, sizeof line, whole);
    watch->message(watch->context, line);
}

void watch_say(const pcv_watch *watch, const char *format, ...) {
    va_list args;
    va_start(args, format);
    watch_say_list(watch, format, args);
    va_end(args);
}

int watch_ask(const pcv_watch *watch, const pcv_progress *progress) {
    return watch && watch->progress ? watch->progress(watch->context, progress) : 0;
}

void watch_waiting(const pcv_watch *watch) { waiting = watch ? *watch : (pcv_watch){0}; }

int watch_wait(const char *stage, pcv_error *err) {
    if (watch_ask(&waiting, &(pcv_progress){.stage = stage}) != PCV_STOP) return 0;
    return fail(err, PCV_INTERRUPTED, "interrupted while %s", stage);
}
