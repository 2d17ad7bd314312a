/* What the architectures have in common: the embedding at one end, the head at the other, and the causal
 * self-attention layer between them. */
#ifndef MODEL_PARTS_H
#define MODEL_PARTS_H

#include "model/batch.h"

/* ---- settings of these parts: lists for model_type.settings */
extern const char *const stack_settings[];    /* token embedding, MLPs, norms and head, and how many layers there are */
extern const char *const position_settings[]; /* embedded positions, and layers that know others than distances */
extern const char *const crop_settings[];     /* training on pieces of documents, in any order */

/* ---- FLOPs of so many rows, as model_flops counts them */
double mlp_flops(const model_config *c, double ratio, double rows);
double layer_flops(const model_config *c, double rows, double keys); /* each row meets so many */
double head_flops(const model_config *c, double rows);

/* ---- ids or vectors of features, and positions, to inputs: "token_embedding" or "input_embedding", and
 * "position_embedding.{axis}" */
typedef struct embedding {
    tensor *token;                   /* [V, E], or NULL */
    linear_weights features;         /* [E, input_features], or absent */
    tensor *position[POSITION_AXES]; /* learned: [rows, E] */
    tensor low, high;                /* fixed position code of one axis (embed_spec) */
    tensor code[POSITION_AXES];      /* of several axes: [rows, E] */
} embedding;

void embedding_declare(embedding *e, model *m);
int embedding_constants(embedding *e, const model *m, pcv_error *err);
void embedding_close(embedding *e, backend *be);
tensor *embedding_apply(tape *t, const embedding *e, const model_config *c, const batch *b); /* [B M, E] */

/* ---- what stood behind the same tokens before, added to what latent positions start from: "index.value",
 * "index.length", "index.slope" and "index.output". Head h looks at the nearest `places` places that stand behind the
 * same orders[h] tokens as the position itself (model/ngram_index.h); a place's value is a vector of the token behind
 * it. No product with the number of inputs. */
typedef struct index_heads {
    tensor *value;  /* [V, D], or NULL: there are none */
    tensor *length; /* [H, MATCH_CLASSES] */
    tensor *slope;  /* [1, H] */
    linear_weights output; /* [Z, H D] */
} index_heads;

extern const char *const index_settings[];
int index_check(const model_config *c, pcv_error *err);
double index_flops(const model_config *c, double positions);
void index_declare(index_heads *w, model *m);
tensor *index_apply(tape *t, const index_heads *w, const batch *b, tensor *z); /* z [B U, Z] */

/* ---- logits of hidden states, "output_norm" and "output" */
typedef struct head_weights {
    norm_weights norm; /* without output_norm: absent */
    linear_weights map;
} head_weights;

head_weights head_declare(model *m, tensor *token_embedding);

/* ---- x + attention(norm(x)), then x + mlp(norm(x)); "layers.{index}" */
typedef struct layer_weights {
    norm_weights norm;
    norm_weights met[2]; /* of queries and of keys, with qk_norm */
    linear_weights qkv, output;
    mlp_weights mlp;
} layer_weights;

typedef struct layer_context layer_context;

/* How the queries of a layer meet its keys and values, all [rows, Z]. */
typedef tensor *attend_fn(tape *t, const layer_context *k, tensor *q, tensor *key, tensor *value);

/* What a layer needs beside its input; layer_run keeps a copy for the backward pass. */
struct layer_context {
    const model *m;
    const layer_weights *weights;
    const tensor *frequency; /* of rotary positions, or NULL */
    tensor *rope;            /* rotary positions of the rows, or NULL */
    attend_spec seen;        /* heads and scale are filled in by layer_context_make */
    const kv_slab *slab;     /* of keys and values that are kept, or NULL */
    tensor *put;             /* rows of it that the new ones go to */
    attend_fn *attend;       /* NULL: attention over the range that `seen` says */
    const void *pattern;     /* attend's own */
    int64_t index;
};

layer_weights layer_declare(model *m, int64_t index);
layer_context layer_context_make(const model *m, const batch *b);

/* The slab of layer `index` of a pass, or NULL. */
const kv_slab *layer_slab(const pass *p, int64_t index);

/* Runs one layer, recomputed in the backward pass where the model says so. x [rows, Z] -> [rows, Z] */
tensor *layer_run(tape *t, const layer_context *k, tensor *x);

/* ---- pieces of attention that cross-attention needs as well */
void qk_norm_declare(model *m, norm_weights met[2], const char *prefix, int64_t channels);
float score_scale(const model_config *c, int64_t width);

/* Rotary positions on x [rows, heads D], in place; group as in rotary_config.head_group. */
void rotary_apply(tape *t, const model_config *c, tensor *x, tensor *positions, const tensor *frequency, int64_t heads,
                  int64_t group);

/* Runs a block on a copy of `context`; what it reads of its first input is forgotten afterwards. */
tensor *block_run(tape *t, block_fn *fn, const void *context, size_t size, tensor *const in[], int count,
                  bool recompute);

/* Where every position runs through the layers: those of the longest row. */
int64_t all_positions(const pass *p);

/* Of the N positions of every row the last p->latents; rows are padded behind their inputs, or in front of them. */
tensor *last_positions(tape *t, tensor *x, const pass *p, int64_t N, bool padded_behind);

#endif
