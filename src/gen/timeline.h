/* A timeline: tokens, and the distribution of the next one, under a window policy.
 *
 * The cross-attention's keys and values of an input depend on that input alone: they are computed when
 * it arrives and kept. What changes is the latents. With N latents at most:
 *   refill  a new token becomes one more latent behind those in the caches; when N are there, the
 *           caches start again with the last N / 2 positions in one pass. Every distribution equals an
 *           uncached pass with as many latents (the published decoding; with `first` latents after
 *           the prompt).
 *   exact   every token runs the last N positions anew: always the uncached distribution.
 *   slide   as refill, but when N are there the oldest latent is dropped from the caches
 *           (krasserm/perceiver-io); later ones keep what they learned from it.
 * When the timeline outgrows the context, the oldest N / 2 inputs leave it (one, under exact). Models
 * without absolute positions keep all remaining keys and values; others number the positions anew and
 * compute them again. */
#ifndef GEN_TIMELINE_H
#define GEN_TIMELINE_H

#include "model/model.h"
#include "config/run_config.h"

typedef struct timeline {
    model *m;
    int window;      /* pcv_window */
    int64_t context;
    int64_t latents, first; /* positions that are latents: at most, and after a prompt */
    tape t;
    model_cache *cache;
    int32_t *ids;    /* [context + 1] tokens of the window */
    int64_t count;   /* of them */
    int64_t dropped; /* tokens that left the window */
    bool remembers;  /* segment recurrence: no token is ever run again, and the window policies are one */
    int64_t seen;    /* window tokens that the current logits take into account */
    float *logits;   /* [V] of the next token */
    bool ready;      /* logits are those of `count` tokens */
} timeline;

/* latents 0: as trained; first 0: half of them. */
int timeline_open(timeline *w, model *m, int window, int64_t latents, int64_t first, pcv_error *err);
void timeline_close(timeline *w);
void timeline_reset(timeline *w);

int timeline_append(timeline *w, const int32_t *ids, size_t count, pcv_error *err);

/* The logits of the next token. At least one token must be there. */
int timeline_logits(timeline *w, const float **logits, pcv_error *err);

/* Positions that are latents behind the current logits. */
int64_t timeline_latents(const timeline *w);

#endif
