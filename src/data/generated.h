/* Generated data sets: "NAME:LENGTH" names documents of LENGTH tokens without end, which are made when they are read,
 * any piece of one without the rest. What a document holds is a function of (seed, split, its number, LENGTH), over the
 * counter-based numbers of base/rng.h, so nothing is kept.
 *
 * A generator is a file of its own and a row of the table in generated.c; whatever asks for data sets by name asks the
 * table. */
#ifndef DATA_GENERATED_H
#define DATA_GENERATED_H

#include "base/rng.h"
#include "data/dataset.h"

enum { GENERATED_LONGEST = 1 << 24 }; /* tokens of a document */

typedef struct generated_document {
    const dataset *d;
    split_name split;
    int64_t number, length;
} generated_document;

typedef struct generator {
    const char *name; /* of "NAME:LENGTH", and the data set's kind */
    int64_t least;    /* tokens of a document */
    bool even;        /* lengths are */
    int64_t most;     /* 0: GENERATED_LONGEST */
    int64_t tokens;   /* behind the start token, of each of LENGTH; 0: LENGTH is the tokens of a document */
    bool square;      /* of each of LENGTH squared: it is the pixels of a side */
    int64_t more;     /* and so many, whatever LENGTH is */
    int64_t frames, samples; /* of a film, and of sound beside each; 0: it is none */
    const char *tokenizer;      /* NULL: bytes */
    const char *const *classes; /* names of labels, NULL-terminated; or NULL */
    int32_t (*label)(const generated_document *g);
    bool unordered;   /* a document is a set */
    bool middle;      /* what its positions mean is counted from a document's middle: dataset_middle */
    int64_t (*first_target)(int64_t length); /* no document has a target in front of it that counts */
    int64_t (*next_target)(const generated_document *g, int64_t i); /* dataset_next_target; NULL: all behind it count */
    void (*read)(const generated_document *g, int64_t from, int64_t count, int32_t *ids);
} generator;

extern const generator mirrored_copy, associative_recall, repeated_passage, labelled_shapes, labelled_sets,
    moving_sprites, moving_films;

/* The generator that a data set's name asks for, whatever LENGTH says; NULL: none, so the name is a folder's. */
const generator *generator_of(const char *name);

/* LENGTH of such a name. PCV_USAGE when it is none that the generator can do. */
int generated_length(const char *name, int64_t *tokens, pcv_error *err);

int generated_open(dataset *d, const char *name, pcv_error *err);

/* ------------------------------------------------------------------ for generators */

/* Random numbers of a document: number i, below 2^24, of one of its streams, which are numbered from 0. */
rng_block generated_numbers(const generated_document *g, uint32_t stream, int64_t i);

/* One of them as a number between 0 and 1. */
static inline double generated_uniform(uint32_t v) { return ((double)v + 0.5) / 4294967296.0; }

static inline double generated_between(uint32_t v, double low, double high) {
    return low + (high - low) * generated_uniform(v);
}

/* Byte i, below 2^28, of a stream whose numbers serve nothing else. */
int generated_byte(const generated_document *g, uint32_t stream, int64_t i);

#endif
