/* Tokenizers: bytes of a file to ids and back.
 *
 * A tokenizer is a type (the functions) and the ids that matter to others. Each type is one file; the
 * table in token.c lists them. A data set and a run carry tokenizer.json, from which it is opened.
 *
 *     tokenizer t;
 *     TRY(tokenizer_open(&t, "bytes", err));
 *     t.type->encode(&t, text, size, ids);            // text is any bytes
 *     const char *piece = t.type->piece(&t, id, &size); */
#ifndef TOKEN_TOKEN_H
#define TOKEN_TOKEN_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tokenizer tokenizer;

typedef struct token_type {
    const char *name, *help;
    int (*open)(tokenizer *t, pcv_error *err);
    /* Stores the ids of `size` bytes, at most one per byte; returns how many. */
    size_t (*encode)(const tokenizer *t, const void *bytes, size_t size, int32_t *ids);
    /* The bytes of a token; *size 0 for one that stands for none. */
    const char *(*piece)(const tokenizer *t, int32_t id, size_t *size);
} token_type;

struct tokenizer {
    const token_type *type;
    int64_t vocab;
    int32_t pad, start, end; /* every document is start, tokens, end */
    int32_t first;           /* ids from here on are content */
};

extern const token_type token_bytes, token_bytes_262;
extern const token_type *const token_types[]; /* ends with NULL */

int tokenizer_open(tokenizer *t, const char *name, pcv_error *err);

/* Ids that sampling must never produce: padding, starts, reserved ones. */
static inline bool tokenizer_may_sample(const tokenizer *t, int32_t id) {
    return id == t->end || id >= t->first;
}

/* tokenizer.json */
int tokenizer_save(const tokenizer *t, const char *path, pcv_error *err);
int tokenizer_load(tokenizer *t, const char *path, pcv_error *err);

#endif
