/* Norms, linear maps and MLPs, and the slabs of keys and values that outlive a pass. Whether a map has a bias, how
 * it is drawn and whether it decays is decided here and in model/parts.c, from the configuration alone. */
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

mlp_weights mlp_declare(parameters *p, const model_config *c, const char *prefix, int64_t channels, double ratio) {
    char name[256];
    int64_t hidden = model_mlp_width(channels, ratio);
    bool bias = c->bias == BIAS_ALL || c->bias == BIAS_MLP;
    mlp_weights m = {.kind = (activation)c->activation};
    snprintf(name, sizeof name, "%s.mlp_norm", prefix);
    m.norm = norm_declare(p, c, name, channels);
    snprintf(name, sizeof name, "%s.mlp.up", prefix);
    m.up = linear_declare(p, c, name, model_is_gated(c) ? 2 * hidden : hidden, channels, bias);
    snprintf(name, sizeof name, "%s.mlp.down", prefix);
    m.down = branch_declare(p, c, name, channels, hidden, bias);
    return m;
}

static norm_spec spec_of(const norm_weights *n) {
    return (norm_spec){.w = {n->w}, .b = {n->b}, .epsilon = n->epsilon, .rms = n->rms};
}

tensor *norm_apply(tape *t, tensor *x, const norm_weights *n) {
    norm_spec s = spec_of(n);
    return norm(t, x, &s);
}

tensor *linear_apply(tape *t, tensor *x, const linear_weights *l) {
    return linear(t, x, l->w, l->b);
}

tensor *mlp_apply(tape *t, tensor *x, tensor *branch, const mlp_weights *m, double dropout) {
    norm_spec s = spec_of(&m->norm);
    tensor *n = branch ? add_norm(t, x, branch, dropout, &s, &x) : norm(t, x, &s);
    tensor *h = activate(t, linear_apply(t, n, &m->up), m->kind);
    return add(t, x, linear_apply(t, h, &m->down), dropout);
}

/* ------------------------------------------------------------------ caches */

static int open_rows(matrix *m, backend *be, dtype type, int64_t rows, int64_t channels, pcv_error *err) {
    *m = (matrix){.rows = rows, .cols = channels, .stride = dtype_stride(type, channels), .type = type};
    return rows ? backend_alloc(be, &m->data, matrix_bytes(m), "a cache", err) : 0;
}

int kv_slab_open(kv_slab *s, backend *be, dtype type, int64_t slots, int64_t capacity, int64_t channels,
                 pcv_error *err) {
    *s = (kv_slab){.slots = slots, .capacity = capacity};
    int status = open_rows(&s->k, be, type, slots * capacity, channels, err);
    if (!status) status = open_rows(&s->v, be, type, slots * capacity, channels, err);
    if (status) kv_slab_close(s, be);
    return status;
}

void kv_slab_close(kv_slab *s, backend *be) {
    backend_free(be, s->k.data, matrix_bytes(&s->k));
    backend_free(be, s->v.data, matrix_bytes(&s->v));
    *s = (kv_slab){0};
}

void kv_slab_move(kv_slab *s, kv_slab *to, backend *be, const int64_t *held) {
    for (int64_t i = 0; i < s->slots; i++) {
        int64_t from = i * s->capacity, at = i * to->capacity;
        if (!held[i]) continue;
        run_kernel(be, copy, .y = matrix_rows(to->k, at, held[i]), .x = matrix_rows(s->k, from, held[i]));
        run_kernel(be, copy, .y = matrix_rows(to->v, at, held[i]), .x = matrix_rows(s->v, from, held[i]));
    }
    kv_slab_close(s, be);
    *s = *to;
    *to = (kv_slab){0};
}

void kv_slab_put(tape *t, const kv_slab *s, tensor *index, const tensor *k, const tensor *v) {
    if (t->status) return;
    CHECK(index->m.rows == k->m.rows && k->m.rows == v->m.rows, "%lld places for %lld keys and %lld values",
          (long long)index->m.rows, (long long)k->m.rows, (long long)v->m.rows);
    tape_kernel(t, copy, .y = s->k, .x = k->m, .index = index->m);
    tape_kernel(t, copy, .y = s->v, .x = v->m, .index = index->m);
}

void kv_slab_shift(const kv_slab *s, backend *be, int64_t slot, int64_t count, int64_t from) {
    CHECK(from > 0 && from <= count && count <= s->capacity, "a shift by %lld of %lld", (long long)from,
          (long long)count);
    for (int64_t at = from; at < count; at += from) { /* pieces of `from` rows never overlap */
        int64_t rows = count - at < from ? count - at : from, row = slot * s->capacity + at;
        run_kernel(be, copy, .y = matrix_rows(s->k, row - from, rows), .x = matrix_rows(s->k, row, rows));
        run_kernel(be, copy, .y = matrix_rows(s->v, row - from, rows), .x = matrix_rows(s->v, row, rows));
    }
}

void kv_slab_copy(const kv_slab *s, backend *be, int64_t from, int64_t to, int64_t count) {
    int64_t x = from * s->capacity, y = to * s->capacity;
    if (!count || from == to) return;
    run_kernel(be, copy, .y = matrix_rows(s->k, y, count), .x = matrix_rows(s->k, x, count));
    run_kernel(be, copy, .y = matrix_rows(s->v, y, count), .x = matrix_rows(s->v, x, count));
}
