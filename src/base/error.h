/* Errors of the world: files, memory, settings, untrusted bytes.
 *
 * A function that can fail returns a status (0, or one of the pcv_status codes of perceiver.h)
 * and fills the caller's pcv_error with one line that names the file or flag, what was found, what
 * was expected and what to do. Callers keep the happy path flat:
 *
 *     int load(const char *path, pcv_error *err) {
 *         int status = 0;
 *         TRY(file_read(path, LIMIT, &content, err));
 *         TRY(parse(&content, err));
 *     out:
 *         file_bytes_free(&content);
 *         return status;
 *     }
 *
 * Bugs of the caller (a shape, a null, a range) are not errors: CHECK prints them and aborts. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "perceiver.h"

/* Fills *err (which may be NULL) and returns code. The message goes through text_line: whatever it quotes, it is one
 * line that obeys nobody, and a long one ends in "...". */
int fail(pcv_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As fail, and ends the line with the text of the current errno. */
int fail_errno(pcv_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message that is there; returns its code. */
int fail_context(pcv_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A message that begins with a path, the place of a copy, begins with the name that its user knows. */
void fail_rename(pcv_error *err, const char *path, const char *name);

/* Runs call and leaves the function through `out:` when it fails. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status) goto out;                                                                      \
    } while (0)

/* Aborts with file, line and a message when a caller broke a contract. Always on. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);               \
    } while (0)

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

/* What makes "1 token" of one and "2 tokens" of two: "" or "s". */
const char *plural(int64_t count);

#endif
