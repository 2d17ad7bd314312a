/* A timeline: tokens, and the distribution of the next one, under a policy for full latents (pcv_window).
 *
 * What a distribution is. It is that of one pass without caches (model_hidden) over the view, the last
 * tokens of the timeline, of which the last L are latents. With at most N latents, when it is asked for:
 *   - More tokens than the context do not fit: those in excess leave the view, and at least N / 2 (one
 *     under exact, or where N is below 4). The rest is numbered from model_place on, which is mostly 0.
 *   - refill  L is `first` at the start: at the first request, behind several new tokens, when tokens have
 *             left, and when tokens have got new numbers and not distances alone matter. Behind one new
 *             token L grows by one; where that would be more than N, it is N / 2. (The published decoding
 *             has a `first` of 1.)
 *     exact   L is N.
 *     slide   As refill, but L grows without end, and in the layers a latent sees the last N alone, itself
 *             included (krasserm/perceiver-io: the oldest latent is dropped from the caches, and later ones
 *             keep what they learned from it).
 *     L is never 0, nor more than the view holds.
 * How tokens came, in one call or in many, makes no difference; when distributions were asked for does.
 * Three kinds of model have one policy only. Positions that count from the end change with every token, and
 * learned queries belong to a latent's place: always exact. Architectures without latents run all of the view.
 * A transformer-xl remembers: its pass goes over all tokens, segment by segment from the first on.
 *
 * How it is computed. The cross-attention's keys and values of an input depend on that input alone: they are
 * computed when it arrives and kept. (Where latents have a norm of their own for them, they are computed once
 * more when the input is a latent no longer.) A latent is computed once and kept until the latents start again.
 * Where a latent sees near inputs alone, keys and values of those are all that is kept, and of the rest what the index
 * needs, which is the ids. When tokens leave, models without absolute positions keep the remaining keys and values,
 * under numbers that go on: only distances matter there. Others compute them again. So do all behind a request that
 * failed; a transformer-xl has then forgotten what is no longer in its view. */
#ifndef GEN_TIMELINE_H
#define GEN_TIMELINE_H

#include "model/cache.h"
#include "config/run_config.h"

/* What all timelines of a model share: the tape of their passes, and the slab of their caches. */
typedef struct decoder {
    model *m;
    tape t;
    model_slab *slab;
} decoder;

int decoder_open(decoder *d, model *m, pcv_error *err);
void decoder_close(decoder *d);

typedef struct timeline {
    decoder *d;
    model *m; /* the decoder's */
    int policy;      /* pcv_window */
    int64_t context;
    int64_t latents, first; /* positions that are latents: at most, and after a prompt */
    model_cache *cache;
    int32_t *ids;    /* [room] tokens of the view, and new ones that may still push others out of it */
    int64_t room, count;
    int64_t dropped; /* tokens that left the view */
    int64_t number;  /* of the view's first token */
    ngram_index index; /* of the view, whose token i is its place begin + i; for models with index heads */
    void *index_memory;
    bool remembers;  /* segment recurrence: no token is ever run again, and the policies are one */
    int64_t seen;    /* tokens of the view that the current logits take into account; 0: the latents start again */
    int64_t held;    /* positions that are latents behind them, as far as the caches hold them */
    float *logits;   /* [V] of the next token */
    bool ready;      /* logits are those of `count` tokens */
} timeline;

/* latents 0: as trained; first 0: half of them. */
int timeline_open(timeline *line, decoder *d, int policy, int64_t latents, int64_t first, pcv_error *err);
void timeline_close(timeline *line);
size_t timeline_bytes(model *m, int64_t latents); /* of the keys and values of one */
void timeline_reset(timeline *line);

int timeline_append(timeline *line, const int32_t *ids, size_t count, pcv_error *err);

/* The logits of the next token. At least one token must be there. */
int timeline_logits(timeline *line, const float **logits, pcv_error *err);

/* The same of many timelines of one decoder, in as few passes as can be: all that lack one token share one. Their
 * logits have the same bits as alone. */
int timelines_logits(timeline *const *lines, int64_t count, pcv_error *err);

/* As if only the first `length` tokens had been appended, and nothing asked; the view still begins behind those that
 * have left it. False, and nothing done, when there are none left, or not so many. */
bool timeline_truncate(timeline *line, int64_t length);

/* `to`, opened in the same way, becomes equal to `from`. */
void timeline_copy(timeline *to, const timeline *from);

int64_t timeline_length(const timeline *line); /* tokens appended */

/* Positions that are latents behind the current logits; under slide the last N. */
int64_t timeline_latents(const timeline *line);

#endif
