#include "nn/block.h"

#include <stdio.h>

static const param_init ones = {.kind = INIT_ONE, .vector = true};
static const param_init zeros = {.kind = INIT_ZERO, .vector = true};

norm_weights norm_declare(parameters *p, const model_config *c, const char *name,
                          int64_t channels) {
    char full[320];
    norm_weights n = {.rms = c->norm == NORM_RMS, .epsilon = (float)c->norm_epsilon};
    snprintf(full, sizeof full, "%s.weight", name);
    n.w = parameters_add(p, full, 1, channels, ones);
    snprintf(full, sizeof full, "%s.bias", name);
    if (!n.rms) n.b = parameters_add(p, full, 1, channels, zeros);
    return n;
}

/* One row of biases per map: "a.{x,y}.bias" are [1, out] together, and `out` is divisible. */
static linear_weights declare_scaled(parameters *p, const model_config *c, const char *name, int64_t out,
                                     int64_t in, bool bias, double factor) {
    char full[320];
    param_init init = {.kind = c->init == WEIGHTS_FAN_IN ? INIT_FAN_IN : INIT_NORMAL,
                       .scale = c->init_scale * factor,
                       .decay = true};
    linear_weights l = {0};
    snprintf(full, sizeof full, "%s.weight", name);
    l.w = parameters_add(p, full, out, in, init);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias) l.b = parameters_add(p, full, 1, out, zeros);
    return l;
}

linear_weights linear_declare(parameters *p, const model_config *c, const char *name, int64_t out,
                              int64_t in, bool bias) {
    return declare_scaled(p, c, name, out, in, bias, 1);
}

linear_weights branch_declare(parameters *p, const model_config *c, const char *name, int64_t out,
                              int64_t in, bool bias) {
    return declare_scaled(p, c, name, out, in, bias, c->branch_scale);
}

mlp_weights mlp_declare(parameters *p, const model_config *c, const char *prefix, double ratio) {
    char name[256];
    int64_t hidden = model_mlp_width(c, ratio), Z = c->channels;
    bool bias = c->bias == BIAS_ALL || c->bias == BIAS_MLP;
    mlp_weights m = {.kind = (activation)c->activation};
    snprintf(name, sizeof name, "%s.mlp_norm", prefix);
    m.norm = norm_declare(p, c, name, Z);
    snprintf(name, sizeof name, "%s.mlp.up", prefix);
    m.up = linear_declare(p, c, name, model_is_gated(c) ? 2 * hidden : hidden, Z, bias);
    snprintf(name, sizeof name, "%s.mlp.down", prefix);
    m.down = branch_declare(p, c, name, Z, hidden, bias);
    return m;
}

tensor *norm_apply(tape *t, tensor *x, const norm_weights *n) {
    return norm(t, x, &(norm_spec){.w = {n->w}, .b = {n->b}, .epsilon = n->epsilon, .rms = n->rms});
}

tensor *linear_apply(tape *t, tensor *x, const linear_weights *l) {
    return linear(t, x, l->w, l->b);
}

tensor *mlp_apply(tape *t, tensor *x, const mlp_weights *m, double dropout) {
    tensor *h = activate(t, linear_apply(t, norm_apply(t, x, &m->norm), &m->up), m->kind);
    return add(t, x, linear_apply(t, h, &m->down), dropout);
}

/* ------------------------------------------------------------------ caches */

int kv_cache_open(kv_cache *c, backend *be, dtype type, int64_t capacity, int64_t channels, pcv_error *err) {
    *c = (kv_cache){0};
    for (int i = 0; i < 2; i++) {
        tensor *x = i ? &c->v : &c->k;
        x->m = (matrix){.rows = capacity, .cols = channels, .type = type};
        x->m.stride = dtype_stride(type, channels);
        int status = backend_alloc(be, &x->m.data, matrix_bytes(&x->m), "a cache", err);
        if (status) {
            x->m.data = NULL;
            return status;
        }
    }
    return 0;
}

void kv_cache_close(kv_cache *c, backend *be) {
    backend_free(be, c->k.m.data, matrix_bytes(&c->k.m));
    backend_free(be, c->v.m.data, matrix_bytes(&c->v.m));
    *c = (kv_cache){0};
}

void kv_cache_put(tape *t, kv_cache *c, int64_t at, const tensor *k, const tensor *v) {
    int64_t rows = k->m.rows;
    CHECK(at <= c->count && at + rows <= c->k.m.rows, "rows %lld to %lld of a cache of %lld",
          (long long)at, (long long)(at + rows), (long long)c->k.m.rows);
    tape_kernel(t, copy, .y = matrix_rows(c->k.m, at, rows), .x = k->m);
    tape_kernel(t, copy, .y = matrix_rows(c->v.m, at, rows), .x = v->m);
    if (at + rows > c->count) c->count = at + rows;
}

void kv_cache_shift(kv_cache *c, backend *be, int64_t from) {
    CHECK(from > 0 && from <= c->count, "a shift by %lld of %lld", (long long)from,
          (long long)c->count);
    backend_hold(be);
    for (int64_t at = from; at < c->count; at += from) { /* pieces of `from` rows never overlap */
        int64_t rows = c->count - at < from ? c->count - at : from;
        matrix k = c->k.m, v = c->v.m;
        run_kernel(be, copy, .y = matrix_rows(k, at - from, rows), .x = matrix_rows(k, at, rows));
        run_kernel(be, copy, .y = matrix_rows(v, at - from, rows), .x = matrix_rows(v, at, rows));
    }
    backend_release(be);
    c->count -= from;
}
