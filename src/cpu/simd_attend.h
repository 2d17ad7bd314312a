/* What the attention kernels of a level share, whatever their products are made of (simd_attend.c, amx_attend.c):
 * shapes, what a panel of queries may see, masks, how results are stored, and how the work is shared out. */
#ifndef CPU_SIMD_ATTEND_H
#define CPU_SIMD_ATTEND_H

#include "cpu/kernels_cpu.h"
#include "cpu/simd.h"

#include <math.h>

enum {
    PANEL = 2 * VW,    /* queries side by side */
    BLOCK_PANELS = 16, /* panels that share a packed tile of keys in the forward pass */
    TILE = 64,         /* keys */
    FEW = 4,           /* so many queries a sequence, at most, take the decoding path */
};

static const float NOTHING = -1e30f; /* the running maximum before any key was seen */

typedef struct shape {
    int64_t B, H, N, M, D;
    int64_t padded; /* D rounded up to whole units of what products take */
    int64_t panels; /* of one sequence */
} shape;

static inline shape shape_of(const attend_args *a, int64_t unit) {
    shape s = {.B = a->batch, .H = a->heads, .D = a->q.cols / a->heads};
    s.N = a->q.rows / a->batch;
    s.M = a->slots.data ? a->keys : a->k.rows / a->batch;
    s.padded = (s.D + unit - 1) / unit * unit;
    s.panels = (s.N + PANEL - 1) / PANEL;
    return s;
}

/* The row of k and v that is key 0 of sequence b. */
static inline int64_t first_key(const attend_args *a, const shape *s, int64_t b) {
    return (a->slots.data ? ((const int32_t *)a->slots.data)[b * a->slots.stride] : b) * s->M;
}

static inline const float *head_row(matrix m, int64_t r, int64_t head, int64_t width) {
    return (const float *)m.data + r * m.stride + head * width;
}

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* What a panel of queries may see. Lanes without a query see nothing. */
typedef struct visible {
    int32_t begin[PANEL], end[PANEL], self[PANEL], behind_self[PANEL];
    int64_t first, last; /* the keys that any lane sees: [first, last) */
    int64_t all_first, all_last; /* the keys that every lane sees */
    int64_t ahead; /* the end of lane 0, were it to see anything; of lane i with relative positions, i more */
} visible;

static inline void find_visible(const attend_args *a, const shape *s, int64_t b, int64_t panel, visible *v) {
    *v = (visible){.first = INT32_MAX, .all_last = INT32_MAX};
    for (int64_t i = 0; i < PANEL; i++) {
        int64_t n = panel * PANEL + i;
        if (n < s->N) {
            v->begin[i] = ((const int32_t *)a->begin.data)[(b * s->N + n) * a->begin.stride];
            v->end[i] = ((const int32_t *)a->end.data)[(b * s->N + n) * a->end.stride];
            v->self[i] = (int32_t)n;
            v->behind_self[i] = (int32_t)n + 1;
        }
        if (v->begin[i] < v->end[i]) {
            v->first = smaller(v->first, v->begin[i]);
            if (v->end[i] > v->last) v->last = v->end[i];
            v->ahead = v->end[i] - i;
        }
        if (v->begin[i] > v->all_first) v->all_first = v->begin[i];
        v->all_last = smaller(v->all_last, v->end[i]);
    }
}

/* A row of any type, at the first channel of one head. */
static inline const void *typed_row(const matrix *m, int64_t r, int64_t head, int64_t width) {
    return (const char *)m->data + (size_t)(r * m->stride + head * width) * dtype_bytes(m->type);
}

/* Keys [at, at + count) of scores st [count, PANEL] that a lane must not see become -inf. */
static inline void mask_scores(const attend_args *a, const shape *s, const visible *v, int64_t b, int64_t at,
                               int64_t count, float *st) {
    vf never = vf_set(-INFINITY);
    bool ragged = at < v->all_first || at + count > v->all_last;
    for (int64_t j = 0; j < count; j++) {
        int32_t key = (int32_t)(at + j);
        bool hidden = a->hidden.data && ((const int32_t *)a->hidden.data)[b * s->M + key];
        if (!ragged && !hidden) continue;
        for (int h = 0; h < PANEL; h += VW) {
            float *x = st + j * PANEL + h;
            vf score = vf_select(vm_within(v->begin + h, v->end + h, key), vf_load(x), never);
            if (hidden) score = vf_select(vm_within(v->self + h, v->behind_self + h, key), score, never);
            vf_store(x, score);
        }
    }
}

/* State of a panel between tiles. */
typedef struct panel_state {
    visible seen;
    float largest[PANEL], sum[PANEL];
} panel_state;

/* o_t [D, PANEL]; scores are in units of `unit` nats. */
static inline void store_panel(const attend_args *a, const shape *s, int64_t b, int64_t head, int64_t panel,
                               const panel_state *p, const float *o_t, float unit) {
    for (int64_t i = 0; i < PANEL && panel * PANEL + i < s->N; i++) {
        int64_t r = b * s->N + panel * PANEL + i;
        float *o = (float *)a->o.data + r * a->o.stride + head * s->D;
        float factor = p->sum[i] > 0 ? 1 / p->sum[i] : p->sum[i]; /* 0 when blind, NaN stays */
        for (int64_t d = 0; d < s->D; d++) o[d] = o_t[d * PANEL + i] * factor;
        float lse = p->sum[i] == 0 ? INFINITY : p->largest[i] * unit + logf(p->sum[i]);
        ((float *)a->lse.data)[r * a->lse.stride + head] = lse;
    }
}

/* Rows [from, from + count) of one head of m = factor x, x [count, padded]. */
static inline void store_rows(matrix m, int64_t from, int64_t count, int64_t head, const shape *s, const float *x,
                              float factor) {
    for (int64_t r = 0; r < count; r++, x += s->padded) {
        float *y = (float *)m.data + (from + r) * m.stride + head * s->D;
        FOR_VECTORS(s->D) STORE(y, LOAD(x) * vf_set(factor));
    }
}

/* A chunk's gradient of queries x_t [panels][width, PANEL]: into the whole itself when it is the only chunk, else into
 * its part of `partial`. */
static inline void store_queries(matrix whole, matrix partial, const attend_bwd_args *a, const shape *s,
                                 const float *x_t, int64_t width, int64_t b, int64_t head, int64_t chunk,
                                 int64_t chunks) {
    matrix to = chunks == 1 ? whole : matrix_rows(partial, chunk * s->B * s->N, s->B * s->N);
    for (int64_t n = 0; n < s->N; n++) {
        float *y = (float *)to.data + (b * s->N + n) * to.stride + head * s->D;
        const float *x = x_t + n / PANEL * PANEL * width + n % PANEL;
        for (int64_t d = 0; d < s->D; d++) y[d] = x[d * PANEL] * a->fwd.scale;
    }
}

/* delta [B N, H]: o . do per head. */
static inline void find_delta(cpu_context *context, const attend_bwd_args *a, const shape *s) {
#pragma omp parallel for num_threads(context->threads)
    for (int64_t r = 0; r < s->B * s->N; r++)
        for (int64_t h = 0; h < s->H; h++) {
            const float *x = head_row(a->fwd.o, r, h, s->D), *y = head_row(a->grad_o, r, h, s->D);
            vf sum = vf_set(0);
            FOR_VECTORS(s->D) sum = vf_fma(LOAD(x), LOAD(y), sum);
            ((float *)a->delta.data)[r * a->delta.stride + h] = vf_sum(sum);
        }
}

/* whole = the sum of its parts, which lie below each other, in order. */
static inline void add_parts(cpu_context *context, matrix whole, matrix partial, int64_t parts) {
#pragma omp parallel for num_threads(context->threads)
    for (int64_t r = 0; r < whole.rows; r++) {
        float *y = (float *)whole.data + r * whole.stride;
        const float *part = (const float *)partial.data + r * partial.stride;
        FOR_VECTORS(whole.cols) {
            vf sum = LOAD(part);
            for (int64_t c = 1; c < parts; c++) sum = sum + LOAD(part + c * whole.rows * partial.stride);
            STORE(y, sum);
        }
    }
}

/* ------------------------------------------------------------------ how the work is shared out */

/* One block of panels of one head of one sequence. */
typedef void forward_block_fn(cpu_context *context, const attend_args *a, const shape *s, int64_t b, int64_t head,
                              int64_t first_panel);

static inline void forward_blocks(cpu_context *context, const attend_args *a, const shape *s, forward_block_fn *block) {
    int64_t blocks = (s->panels + BLOCK_PANELS - 1) / BLOCK_PANELS;
#pragma omp parallel for num_threads(context->threads) schedule(dynamic)
    for (int64_t u = 0; u < s->B * s->H * blocks; u++)
        block(context, a, s, u / blocks / s->H, u / blocks % s->H, u % blocks * BLOCK_PANELS);
}

/* One of the chunks of keys of one head of one sequence. */
typedef void backward_chunk_fn(cpu_context *context, const attend_bwd_args *a, const shape *s, int64_t b, int64_t head,
                               int64_t chunk, int64_t chunks);

static inline void backward_chunks(cpu_context *context, const attend_bwd_args *a, const shape *s,
                                   backward_chunk_fn *chunk) {
    int64_t chunks = a->chunks;
    find_delta(context, a, s);
#pragma omp parallel for num_threads(context->threads) schedule(dynamic)
    for (int64_t u = 0; u < s->B * s->H * chunks; u++)
        chunk(context, a, s, u / chunks / s->H, u / chunks % s->H, u % chunks, chunks);
    if (chunks > 1) add_parts(context, a->dq, a->partial, chunks);
    if (chunks > 1 && a->dp.data) add_parts(context, a->dp, a->partial_p, chunks);
    if (s->B * chunks > 1 && a->dr.data) add_parts(context, a->dr, a->partial_r, s->B * chunks);
}

/* The keys of a chunk: whole tiles, in equal parts. */
static inline int64_t chunk_begin(const shape *s, int64_t chunk, int64_t chunks) {
    return smaller((s->M + TILE - 1) / TILE * chunk / chunks * TILE, s->M);
}

#endif
