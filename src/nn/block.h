/* The pieces that models share: weights of a norm, a linear map and an MLP, declared together and
 * applied together; and the slabs of keys and values that outlive a pass. Residual blocks are pre-norm:
 * x + f(norm(x)). */
#ifndef NN_BLOCK_H
#define NN_BLOCK_H

#include "config/model_config.h"
#include "ops/ops.h"
#include "tensor/parameters.h"

typedef struct norm_weights {
    tensor *w, *b; /* b NULL: RMS norm */
    bool rms;
    float epsilon;
} norm_weights;

typedef struct linear_weights {
    tensor *w, *b; /* b NULL: none */
} linear_weights;

typedef struct mlp_weights {
    norm_weights norm;
    linear_weights up, down;
    activation kind;
} mlp_weights;

/* Declares "name.weight" (and "name.bias"); a name in braces declares several maps that are applied as
 * one: "layers.0.attention.{query,key,value}". */
norm_weights norm_declare(parameters *p, const model_config *c, const char *name, int64_t channels);
linear_weights linear_declare(parameters *p, const model_config *c, const char *name, int64_t out,
                              int64_t in, bool bias);

/* The same for a map that ends a residual branch: its initial weights also take branch_scale. */
linear_weights branch_declare(parameters *p, const model_config *c, const char *name, int64_t out,
                              int64_t in, bool bias);

/* "prefix.mlp_norm", "prefix.mlp.{up,down}" */
mlp_weights mlp_declare(parameters *p, const model_config *c, const char *prefix, int64_t channels, double ratio);

tensor *norm_apply(tape *t, tensor *x, const norm_weights *n);
tensor *linear_apply(tape *t, tensor *x, const linear_weights *l);

/* x = x + dropout(branch), without one x itself; then x + dropout(down(f(up(norm(x))))) */
tensor *mlp_apply(tape *t, tensor *x, tensor *branch, const mlp_weights *m, double dropout);

/* Keys and values of one attention layer that outlive a pass, of many sequences: rows [s capacity, (s + 1) capacity)
 * belong to slot s. */
typedef struct kv_slab {
    matrix k, v; /* [slots capacity, C] */
    int64_t slots, capacity;
} kv_slab;
int kv_slab_open(kv_slab *s, backend *be, dtype type, int64_t slots, int64_t capacity, int64_t channels,
                 pcv_error *err);
void kv_slab_close(kv_slab *s, backend *be);

/* s becomes `to`, which is no smaller and is then none; the first held[i] rows of slot i go along. */
void kv_slab_move(kv_slab *s, kv_slab *to, backend *be, const int64_t *held);

/* Row r of k and v goes to row index[r] of the slab. index: I32 [rows of k, 1] */
void kv_slab_put(tape *t, const kv_slab *s, tensor *index, const tensor *k, const tensor *v);

/* Of the `count` rows that a slot holds the first are forgotten, so that row `from` becomes row 0. */
void kv_slab_shift(const kv_slab *s, backend *be, int64_t slot, int64_t count, int64_t from);

/* The first `count` rows of one slot, also in another. */
void kv_slab_copy(const kv_slab *s, backend *be, int64_t from, int64_t to, int64_t count);

#endif
