#include "cli/commands.h"

#include <stdarg.h>
#include <stdio.h>

enum { LONGEST_LINE = 4096 };

int cli_fail(pcv_error *err, int code, const char *format, ...) {
    char whole[LONGEST_LINE];
    va_list args;
    va_start(args, format);
    vsnprintf(whole, sizeof whole, format, args);
    va_end(args);
    pcv_line(err->message, sizeof err->message, whole);
    return err->code = code;
}

void cli_say(const char *format, ...) {
    char whole[LONGEST_LINE], line[LONGEST_LINE];
    va_list args;
    va_start(args, format);
    vsnprintf(whole, sizeof whole, format, args);
    va_end(args);
    pcv_line(line, sizeof line, whole);
    fprintf(stderr, "%s\n", line);
}
