/* A batch on the device: which inputs are read, where the latents stand, and who sees whom.
 *
 * Rows are padded on the right to M inputs; U latent positions (N latents) are the last real inputs of
 * each row, and what a short row lacks stands in front with index -1. Visibility is a range of keys per
 * query: causal order, padding, dropped prefix positions and caches all become such ranges here. */
#ifndef MODEL_BATCH_H
#define MODEL_BATCH_H

#include "model/model.h"

typedef struct batch {
    int64_t B, M, N, U;
    tensor *ids;                    /* [B M, 1], -1: padding */
    tensor *axis[POSITION_AXES];    /* [B M, 1] row of each position table, for absolute positions */
    tensor *rope;                   /* [B M, 1] rotary position of each input, or NULL */
    tensor *latent_rope;            /* [B N, 1] of each latent, or NULL */
    tensor *latent_row;             /* [B U, 1] row of the inputs that a latent position starts from */
    tensor *expand;                 /* [B N, 1] latent position of each latent, when N > U, or NULL */
    tensor *slot;                   /* [B N, 1] number of a latent within its position, or NULL */
    tensor *is_latent;              /* [B M, 1] 1 for inputs that are latents, 0 for the prefix */
    tensor *blind;                  /* [B N, 1] -1 for latents that see all keys alike (published) */
    attend_spec cross, self;        /* heads and scale are the caller's */
} batch;

int batch_make(batch *out, tape *t, const model *m, const model_input *in);

#endif
