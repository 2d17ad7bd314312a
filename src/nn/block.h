/* The pieces that models share: weights of a norm, a linear map and an MLP, declared together and
 * applied together. Residual blocks are pre-norm: x + f(norm(x)). */
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
mlp_weights mlp_declare(parameters *p, const model_config *c, const char *prefix, double ratio);

tensor *norm_apply(tape *t, tensor *x, const norm_weights *n);
tensor *linear_apply(tape *t, tensor *x, const linear_weights *l);

/* x + dropout(down(f(up(norm(x))))) */
tensor *mlp_apply(tape *t, tensor *x, const mlp_weights *m, double dropout);

/* Keys and values of one attention layer that outlive a step: rows [0, count) are filled. */
typedef struct kv_cache {
    tensor k, v; /* [capacity, C] */
    int64_t count;
} kv_cache;
int kv_cache_open(kv_cache *c, backend *be, dtype type, int64_t capacity, int64_t channels, pcv_error *err);
void kv_cache_close(kv_cache *c, backend *be);

/* Stores k and v from row `at` on. */
void kv_cache_put(tape *t, kv_cache *c, int64_t at, const tensor *k, const tensor *v);

/* Forgets the first rows, so that row `from` becomes row 0. */
void kv_cache_shift(kv_cache *c, backend *be, int64_t from);

#endif
