/* Where did the last n tokens stand before? For every place of a sequence and each of some n, its orders, the earlier
 * places behind the same n tokens, the nearest first: what index heads look at (model/parts.h). It is a matter of ids
 * alone: no weights and no products, a few nanoseconds a token and order.
 *
 * Per order it is a hash table and one link a place, as in LZ77 compressors: the table knows the last place whose n
 * tokens have a hash, and each place the one before it. Places of other tokens that share a hash are passed over, so
 * that what is found does not depend on the table's size, nor on how the tokens came, in one call or in many. Where the
 * last few places alone will be asked for, only places behind tokens that may be theirs are linked, and the table is
 * small: a million tokens are then read as fast as they are hashed.
 *
 *     size_t bytes = ngram_index_bytes(3, 4096, 4096);
 *     ngram_index_init(&x, (int64_t[]){3, 5, 8}, 3, 4096, 4096, memory);
 *     ngram_index_append(&x, ids, 1000, threads);
 *     int n = ngram_index_find(&x, 0, 999, 0, 16, matches); */
#ifndef MODEL_NGRAM_INDEX_H
#define MODEL_NGRAM_INDEX_H

#include <stddef.h>
#include <stdint.h>

enum {
    INDEX_ORDERS = 16,   /* at most */
    LONGEST_MATCH = 256, /* tokens are compared so far back */
    MATCH_CLASSES = 33,  /* of lengths 0 to LONGEST_MATCH */
    OCTAVE = 16,         /* parts that the logarithm of a distance is counted in */
};

typedef struct ngram_index {
    int orders;
    int64_t order[INDEX_ORDERS];
    int64_t capacity, count; /* tokens that fit, and that are there */
    int64_t asked;           /* only the last so many places can be asked for; the capacity: all, at any time */
    int64_t begin;           /* tokens in front of this place are not looked at any more */
    int32_t *ids;            /* [capacity] */
    int32_t *link;           /* [orders, capacity] 1 + the place before with the same hash, 0: none */
    int32_t *last;           /* [orders, 1 << bits] 1 + the last place with a hash, 0: none */
    int bits;
} ngram_index;

/* An earlier place. */
typedef struct ngram_match {
    int64_t place;
    int64_t length; /* tokens up to it that are the same as those up to here, at most LONGEST_MATCH */
} ngram_match;

/* The memory that an index of so many tokens takes. */
size_t ngram_index_bytes(int orders, int64_t capacity, int64_t asked);

/* memory: of ngram_index_bytes, the caller's, aligned for int32_t; its contents do not matter. */
void ngram_index_init(ngram_index *x, const int64_t *order, int orders, int64_t capacity, int64_t asked, void *memory);

/* Where fewer than all places can be asked for, all tokens come in one call. */
void ngram_index_append(ngram_index *x, const int32_t *ids, int64_t count, int threads);

/* Only the first `count` tokens were appended; they are no fewer than `begin`. */
void ngram_index_truncate(ngram_index *x, int64_t count);

/* `to` becomes equal to `from`, of the same orders and capacity. */
void ngram_index_copy(ngram_index *to, const ngram_index *from);

/* The nearest places in front of `place` behind the same order[o] tokens as it is, none of which stands in front of
 * place `begin`; returns how many, at most `most`. `found` [most] */
int ngram_index_find(const ngram_index *x, int o, int64_t place, int64_t begin, int most, ngram_match *found);

/* 0 to MATCH_CLASSES - 1: lengths to 16 each have a class, then quarters of an octave. */
int match_class(int64_t length);

/* log2(distance) in parts of an octave, 0 for 1: exact at powers of two, straight between them. */
int32_t match_octaves(int64_t distance);

#endif
