#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill(pcv_error *err, int code, const char *format, va_list args) {
    if (!err) return;
    err->code = code;
    vsnprintf(err->message, sizeof err->message, format, args);
}

int fail(pcv_error *err, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fill(err, code, format, args);
    va_end(args);
    return code;
}

int fail_errno(pcv_error *err, int code, const char *format, ...) {
    const char *reason = strerror(errno);
    va_list args;
    va_start(args, format);
    fill(err, code, format, args);
    va_end(args);
    if (err) {
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, ": %s", reason);
    }
    return code;
}

int fail_context(pcv_error *err, const char *format, ...) {
    if (!err) return PCV_DATA;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ": %s", old);
    return err->code;
}

void check_failed(const char *file, int line, const char *condition, const char *format, ...) {
    fprintf(stderr, "perceiver: internal error at %s:%d: %s does not hold: ", file, line, condition);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}
