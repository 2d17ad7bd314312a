/* A growing text: reports, JSON lines, error lists. Never fails half-way: when memory runs out the
 * text remembers it, further writes do nothing, and the one who uses the result asks text_ok.
 *
 *     text t = {0};
 *     text_add(&t, "step %d\n", step);
 *     if (text_ok(&t)) use(t.data, t.size);
 *     text_free(&t); */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct text {
    char *data; /* always ends with a zero byte once something was written */
    size_t size, capacity;
    bool failed;
} text;

void text_add(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_bytes(text *t, const void *bytes, size_t size);
void text_html(text *t, const char *bytes, size_t size); /* for HTML; what text_escape shows as an escape is U+FFFD */
void text_json(text *t, const char *bytes, size_t size); /* a JSON string with its quotes */
void text_csv(text *t, const char *field); /* a field of a CSV, in quotes where it needs them */

/* For people, on a terminal or in a column: control characters, ends of lines, overrides of the direction of writing
 * and bytes that are no UTF-8 as \x1b, \n, \u202e, and a backslash doubled, so that the text can be told back.
 * Everything that comes from a file or a name goes through it, or through text_line. */
void text_escape(text *t, const char *bytes, size_t size);
void text_base64(text *t, const void *bytes, size_t size);

/* `text` as one such line in out[0..capacity); what does not fit ends in "..." behind a whole character. */
void text_line(char *out, size_t capacity, const char *text);

bool text_ok(const text *t);
void text_free(text *t);

/* Number of bytes of the UTF-8 character at bytes[0..size), or 0 when it is not one (overlong
 * forms, surrogates, stray bytes). -1: a correct beginning, but the text ends before its end. */
int utf8_length(const char *bytes, size_t size);

uint32_t utf8_value(const char *bytes, int length); /* of a correct character */

bool utf8_valid(const char *string);

bool name_is_one_of(const char *name, const char *const *names); /* NULL-terminated, or NULL */

/* The index of `name` among names (NULL-terminated); PCV_CONFIG lists them, behind `where`. */
int name_find(int *index, const char *name, const char *const *names, const char *where, pcv_error *err);

/* The entry of names[0..count) nearest to word by edit distance, or NULL when none is near. */
const char *nearest_name(const char *word, const char *const *names, int count);

#endif
