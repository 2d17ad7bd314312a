#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was quoted in a message can come from anywhere, so the whole line is made one that can be shown. */
enum { UNCUT = 4 * sizeof(((pcv_error *)0)->message) };

static void fill(pcv_error *err, const char *ending, const char *format, va_list args) {
    char whole[UNCUT];
    if (!err) return;
    int used = vsnprintf(whole, sizeof whole, format, args);
    if (ending && used >= 0 && used < UNCUT) snprintf(whole + used, sizeof whole - (size_t)used, ": %s", ending);
    text_line(err->message, sizeof err->message, whole);
}

int fail(pcv_error *err, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fill(err, NULL, format, args);
    va_end(args);
    if (err) err->code = code;
    return code;
}

int fail_errno(pcv_error *err, int code, const char *format, ...) {
    const char *reason = strerror(errno);
    va_list args;
    va_start(args, format);
    fill(err, reason, format, args);
    va_end(args);
    if (err) err->code = code;
    return code;
}

int fail_context(pcv_error *err, const char *format, ...) {
    if (!err) return PCV_DATA;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list args;
    va_start(args, format);
    fill(err, old, format, args);
    va_end(args);
    return err->code;
}

void fail_rename(pcv_error *err, const char *path, const char *name) {
    size_t size = strlen(path);
    char rest[sizeof err->message];
    if (!strcmp(path, name) || strncmp(err->message, path, size) || err->message[size] != ':') return;
    memcpy(rest, err->message + size, sizeof rest - size);
    int code = err->code;
    fail(err, code, "%s%s", name, rest);
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

const char *plural(int64_t count) { return count == 1 ? "" : "s"; }
