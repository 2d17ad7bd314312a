/* A pass, laid out: which inputs are read, where the latents stand, and who sees whom; first on the host, then, in one
 * upload, on the device.
 *
 * Rows are padded on the right to M inputs; U latent positions (N latents) are the last real inputs of
 * each row, and what a short row lacks stands in front with index -1. Visibility is a range of keys per
 * query: causal order, padding, dropped prefix positions and caches all become such ranges here. */
#ifndef MODEL_BATCH_H
#define MODEL_BATCH_H

#include "model/cache.h"

/* On the host, from the tape's arena; what a pass does not need is NULL. */
struct layout {
    const model *m;
    const pass *p;
    tape *t;
    int64_t B, M, N, U;
    int64_t *kept;                /* [B] inputs of each row that are read */
    int32_t *place;               /* [B M] index of a read input in its row, -1: padding */
    int32_t *ids;                 /* [B M] */
    int32_t *axis[POSITION_AXES]; /* [B M] rows of the position tables */
    int32_t *rope, *latent_rope;  /* [B M], [B N] rotary positions */
    int32_t *step;                /* [B U] read index of a latent position, -1: none */
    int32_t *latent_row;          /* [B U] row of the inputs that a latent position starts from */
    int32_t *expand, *slot;       /* [B N] latent position of each latent, and its number within it */
    int32_t *is_latent;           /* [B M] */
    int32_t *blind;               /* [B N] -1 for a latent whose query is zero, else the latent */
    int32_t *cross_begin, *cross_end, *self_begin, *self_end; /* [B N] */
    int32_t *hidden;              /* [B N] 1 for latents that the others do not see */
    int32_t *slots;               /* [B] of the caches */
    int32_t *cross_put, *layer_put; /* [B M], [B N] rows of the slabs that new keys and values go to */
    int32_t *next, *matched, *octaves; /* [B U heads places] of the index (found_args) */
    int32_t *target;              /* [B outputs] */
};

/* On the device. */
typedef struct batch {
    int64_t B, M, N, U;
    tensor *ids;                    /* [B M, 1], -1: padding; or NULL */
    tensor *features;               /* [B M, input_features], or NULL */
    tensor *axis[POSITION_AXES];    /* [B M, 1] row of each position table, for absolute positions */
    tensor *rope;                   /* [B M, 1] rotary position of each input, or NULL */
    tensor *latent_rope;            /* [B N, 1] of each latent, or NULL */
    tensor *latent_row;             /* [B U, 1] row of the inputs that a latent position starts from */
    tensor *expand;                 /* [B N, 1] latent position of each latent, when N > U, or NULL */
    tensor *slot;                   /* [B N, 1] number of a latent within its position, or NULL */
    tensor *is_latent;              /* [B M, 1] 1 for inputs that are latents, 0 for the prefix; or NULL */
    tensor *blind;                  /* [B N, 1] or NULL */
    found_spec found;               /* what the index finds for each latent position */
    attend_spec cross, self;        /* heads and scale are the caller's; with caches over all of a slab */
    tensor *cross_put, *layer_put;  /* [B M, 1], [B N, 1] rows of the slabs that new keys and values go to, or NULL */
    int64_t fresh;                  /* inputs in front of this one have keys and values in the caches */
    int64_t first;                  /* place of the first row's first input that is read */
} batch;

/* Of a model that remembers: where input n of a row stands behind the beginning of the row's first segment, and how
 * many tokens back is seen from there, by layers and index heads: to where the memory in front of its segment begins.
 * Index heads of other models look at all there is: INT64_MAX. */
int64_t segment_place(const pass *p, int64_t row, int64_t n);
int64_t segment_reach(const model *m, int64_t place);

/* Lays out the pass with `latents` latents a row, as many as p->latents or, where all positions run through the
 * layers, more. Fills in the pass's targets. */
int batch_make(batch *out, tape *t, const model *m, pass *p, int64_t latents);

#endif
