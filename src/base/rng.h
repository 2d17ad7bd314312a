/* Random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
 * 3"), a function of (seed, purpose, step, index) with no state to save. The same four numbers give
 * the same bits on any thread, in any order, after any resume.
 *
 *     rng r = rng_make(seed, RNG_CROP, step);
 *     uint64_t window = rng_below(&r, windows); */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

/* What the numbers are for: streams of different purposes never overlap. */
typedef enum rng_purpose {
    RNG_INIT = 1,       /* initial weights; step = parameter index */
    RNG_CROP,           /* which windows a step trains on */
    RNG_DROPOUT,        /* step = training step, index = node and element */
    RNG_PREFIX_DROPOUT, /* which prefix positions a step keeps */
    RNG_LATENT_DROPOUT,
    RNG_SAMPLE, /* generated tokens; step = token index */
    RNG_SPLIT,  /* which file goes to which split */
    RNG_TASK,   /* contents of generated data sets; step = document */
    RNG_TEST,
    RNG_ORDER, /* permutations of pixels */
    RNG_CODEC, /* what a sound codec learns from */
    RNG_NOISE, /* of decoded sound; step = frame */
    RNG_MAP,   /* from what is known of tokens to embeddings */
    RNG_EXAMPLE, /* which examples a training sees, and what is changed or hidden in them */
} rng_purpose;

/* Four 32-bit numbers at one point of a stream. */
typedef struct rng_block {
    uint32_t v[4];
} rng_block;

rng_block rng_at(uint64_t seed, uint32_t purpose, uint32_t step, uint64_t index);

/* A reader that walks along one stream. */
typedef struct rng {
    uint64_t seed, index;
    uint32_t purpose, step;
    int left; /* unread numbers in block */
    rng_block block;
} rng;

rng rng_make(uint64_t seed, rng_purpose purpose, uint32_t step);
uint32_t rng_u32(rng *r);
uint64_t rng_below(rng *r, uint64_t bound); /* uniform in 0..bound-1, bound > 0, without bias */
double rng_uniform(rng *r);                 /* in [0, 1), 53 bits */
double rng_normal(rng *r);                  /* mean 0, variance 1 */

#endif
