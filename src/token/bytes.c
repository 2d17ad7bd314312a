/* Bytes as tokens: any text in any encoding, and any other file, passes through unchanged.
 * Two layouts of ids: that of the official Perceiver AR code, and krasserm/perceiver-io's. */
#include "token/token.h"

enum { BYTES = 256 };

#define ROW(x) x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7
#define ROWS(x) ROW(x), ROW(x + 8), ROW(x + 16), ROW(x + 24), ROW(x + 32), ROW(x + 40), ROW(x + 48), ROW(x + 56)
static const unsigned char pieces[BYTES] = {ROWS(0), ROWS(64), ROWS(128), ROWS(192)}; /* pieces[b] is the byte b */

static int open_layout(tokenizer *t) {
    t->vocab = t->first + BYTES;
    return 0;
}

static int open_official(tokenizer *t, pcv_error *err) {
    (void)err;
    t->pad = 0, t->end = 1, t->start = 2, t->first = 3;
    return open_layout(t);
}

/* 0..5: padding, beginning, end, mask, class, separator. */
static int open_krasserm(tokenizer *t, pcv_error *err) {
    (void)err;
    t->pad = 0, t->start = 1, t->end = 2, t->mask = 3, t->first = 6;
    return open_layout(t);
}

static size_t encode(const tokenizer *t, const void *bytes, size_t size, int32_t *ids) {
    for (size_t i = 0; i < size; i++) ids[i] = t->first + ((const unsigned char *)bytes)[i];
    return size;
}

static const char *piece(const tokenizer *t, int32_t id, size_t *size) {
    *size = id >= t->first && id < t->vocab;
    return *size ? (const char *)&pieces[id - t->first] : "";
}

const token_type token_bytes = {
    .name = "bytes",
    .help = "one token per byte, ids of the official code",
    .kind = "text",
    .unit = "byte",
    .open = open_official,
    .encode = encode,
    .piece = piece,
};
const token_type token_bytes_262 = {
    .name = "bytes-262",
    .help = "one token per byte, ids of krasserm/perceiver-io",
    .kind = "text",
    .unit = "byte",
    .open = open_krasserm,
    .encode = encode,
    .piece = piece,
};
