/* One pass through a model: what goes in, who asks, who sees whom, what comes out, and what it should have been.
 * Training, evaluation, scores, attention maps, plans, benchmarks and generation describe here what they want, and
 * nowhere else; docs/one_pass.md walks through it.
 *
 *     sequence row = window_row(m, &w, ids);                            // data/window.h
 *     pass p = pass_over(m, &row, 1, 256);
 *     tensor *hidden = model_hidden(&t, m, &p);                         // [B U, Z]
 *     tensor *loss = model_loss(&t, m, hidden, &p, &(loss_spec){0});    // [B U, LOSS_COLUMNS]
 *
 * U is the number of predicting positions of a row, latents / latents_per_position. */
#ifndef MODEL_PASS_H
#define MODEL_PASS_H

#include "config/model_config.h"
#include "model/ngram_index.h"
#include "ops/ops.h"

enum { POSITION_AXES = 4 };

/* What a row holds of one kind of inputs among several (modality_config). */
typedef struct modality_row {
    const float *features; /* [inputs, features] */
    const uint8_t *hidden; /* [inputs] 1: hidden from the model; or NULL */
    const int32_t *asked;  /* [outputs] their places, in the order of the grid; NULL: the first ones */
    const int32_t *wanted; /* [outputs] a class, or 0 where numbers count; negative: nothing. Or NULL */
    const float *numbers;  /* [outputs, modality_config.outputs] where it is no class */
} modality_row;

/* One row. The inputs are ids, or vectors of numbers for a model with input_features. */
typedef struct sequence {
    const int32_t *ids;                      /* [length], or NULL */
    const float *features;                   /* [length, input_features], or NULL */
    const int32_t *positions[POSITION_AXES]; /* [length] each, or NULL: numbered by the model's origin. For a model that
                                                answers only the first: the input's place among all there could be */
    const int32_t *next;    /* [length] the token behind each input: what it is to predict; negative: none. Or NULL */
    int64_t length;
    int64_t scored;         /* of the last so many inputs `next` counts */
    int64_t padding;        /* the last so many inputs are no part of the sequence: latents stand in front of them */
    int64_t before, behind; /* tokens of the same timeline in front of input 0 and after the last one */
    const ngram_index *index; /* of the timeline, where input 0 is token `indexed`; NULL: of the row, and of what stands
                                 in front of it */
    int64_t indexed;
    const int32_t *asked;     /* which outputs of a model that answers; NULL: the first ones. [pass.outputs] */
    const int32_t *wanted;    /* [outputs] what each of them is to be; negative: nothing. Or NULL */
    const float *numbers;     /* [outputs, model_outputs] where outputs are numbers: those that wanted ones are to be */
    const modality_row *part; /* [MODALITIES], for a model of several kinds of inputs, in place of the six above */
    int64_t known;            /* so many tokens, at ids[-known] and behind it, which are there for the index alone */
} sequence;

/* Who sees whom. A query is a latent; it always sees what it may of its own row alone. */
typedef enum visibility {
    SEE_CAUSAL, /* the inputs up to its own, and in the layers the latents up to itself */
    SEE_ALL,    /* all inputs of the row, and all latents */
    SEE_RANGES, /* the inputs [begin, end) that the caller gives it; the latents as in SEE_CAUSAL */
} visibility;

typedef struct model_cache model_cache;
typedef struct model_memory model_memory;
typedef struct layout layout;

/* One kind of outputs among several, on the device. */
typedef struct modality_pass {
    int64_t outputs;   /* of a row; 0: there are none of this kind */
    double factor;     /* of its losses: the mean over the losses of all kinds is then the weighted sum of the means */
    tensor *rows;      /* I32 [batch outputs, 1] theirs of the hidden states */
    tensor *targets;   /* I32 [batch outputs, 1], or NULL */
    tensor *numbers;   /* [batch outputs, modality_config.outputs] */
} modality_pass;

/* Asks a pass over one row what the first cross-attention looked at. */
typedef struct attention_map {
    map_spec spec; /* queries are latents, keys the row's inputs, read or not; its offset is the pass's to fill in */
    float *values; /* [spec.rows, spec.bins] */
} attention_map;

typedef struct pass {
    /* ---- inputs */
    int64_t batch;
    const sequence *rows; /* [batch], of any lengths */

    /* ---- queries: the last positions of each row, or a learned array where the model has one (config.query) */
    int64_t latents;         /* N of each row, a multiple of latents_per_position; rows may be shorter */
    const tensor *queries;   /* or these, to a perceiver-ar: [batch N, Z]; no gradient flows to them */

    /* ---- visibility */
    visibility see;
    const int32_t *begin, *end; /* [batch N], with SEE_RANGES: rows of the inputs that are read, from 0 in each row */
    void (*adjust)(layout *l);  /* a last change to what goes to the device, or NULL. With it the tests repeat faults
                                 * of published masks */

    /* ---- outputs: one for each predicting position; or their mean, one for each row, whose target is the last. A row
     * that is shorter than its latents has no mean */
    bool pooled;
    int64_t outputs;   /* of each row, of a model that answers; 0: all that it has */
    const int64_t *asked; /* [MODALITIES] of each kind, of a model that tells several; NULL: all */
    const float *encoded; /* [batch N, channels] what an earlier pass with only_latents gave: nothing is encoded again,
                             and of the inputs those alone are read that outputs ask with */
    bool only_latents; /* of a model that answers: its latents are the outputs, [batch N, Z] */
    attention_map *map; /* or NULL */

    /* ---- what is kept from pass to pass */
    model_cache *const *caches; /* [batch] of rows that go on (cache.h), all of one slab and one length; or NULL */
    model_memory *memory;       /* a transformer-xl's, of the rows' earlier segments; or NULL */
    uint32_t draw;              /* tells the batches of one update apart where they are random */

    /* ---- filled in by model_hidden, for as long as the tape's step: the targets of the outputs, negative: none */
    int64_t layer_rows;     /* positions of each row that run through the layers */
    int64_t positions;      /* outputs of each row */
    const int32_t *target;  /* [batch positions] */
    tensor *targets;        /* the same on the device; NULL where no row has any */
    tensor *numbers;        /* [batch positions, model_outputs], where outputs are numbers */
    modality_pass part[MODALITIES]; /* where there are several kinds: targets of one kind of all rows, then the next */
} pass;

/* How far the outputs are from their targets. */
typedef struct loss_spec {
    const char *name; /* NULL: the model's own */
    float scale;      /* of each target's gradient; 0: no backward pass follows */
    float smoothing, z_loss;
} loss_spec;

/* The sums of a loss over the targets that count. */
typedef struct loss_sum {
    double value; /* of what is minimized, regularizers included */
    double loss;  /* of the plain loss: nats of cross-entropy, or distances */
    int64_t hits; /* targets that came first */
    int64_t targets;
} loss_sum;

#endif
