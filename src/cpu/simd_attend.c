/* Attention over tiles, with queries in the lanes of the vectors.
 *
 * The idea. Scores are computed transposed, S^T = K Q^T for a tile of 64 keys and a panel of PANEL
 * queries. Then the softmax over keys runs down the rows: maximum, exponential and sum are plain
 * vertical operations with no reduction across lanes, and a causal mask is one comparison a row. Keys
 * and values enter every product as the broadcast operand in their natural layout; only the small
 * panels of Q (and dO) are transposed, once.
 *
 *   forward, per (sequence, head, block of panels):      per tile and panel
 *       S^T = K Q^T;  P^T = exp(S^T - max);  O^T = alpha O^T + V^T P^T
 *   backward, per (sequence, head, chunk of keys):       per tile and panel
 *       P^T = exp(K Q^T - lse);  dS^T = P^T (V dO^T - delta)
 *       dV += P^T dO;  dK += dS^T Q;  dQ^T += K^T dS^T
 *
 * Every product is one micro-kernel: C [rows, lanes] += A B, with A's elements broadcast. Tiles fit the
 * second-level cache. A tile whose probabilities are all below 2^-40 of the largest is left out behind its
 * scores: all such tiles together change a sum by less than float32 can show (M 2^-40 is 1e-7 for a hundred
 * thousand keys), and attention that has learned to look at few keys costs little more than its scores.
 * Units of work are fixed by shape, so results do not depend on the number of threads; the chunks' shares
 * of dQ are added up in order at the end. A handful of queries (decoding) takes another path, below, that
 * reads keys and values once at memory speed. */
#include "cpu/kernels_cpu.h"
#include "cpu/simd.h"

#include <math.h>

enum {
    PANEL = 2 * VW,   /* queries side by side */
    BLOCK_PANELS = 16, /* panels that share a packed tile of keys in the forward pass */
    TILE = 64,        /* keys */
    FEW = 4,          /* so many queries a sequence, at most, take the decoding path */
    FEW_KEYS = 256,   /* keys that one thread takes at a time there */
};

static const float NOTHING = -1e30f; /* the running maximum before any key was seen */
static const float NEGLIGIBLE = -27.7f; /* log 2^-40 */

/* ------------------------------------------------------------------ the micro-kernel */

/* C [rows, vectors VW] (+)= A B: element (r, k) of A is a[r ars + k acs]. */
static inline __attribute__((always_inline)) void
product_block(const int rows, const int vectors, int64_t depth, const float *a, int64_t ars,
              int64_t acs, const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
    vf sum[TILE_ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = add ? vf_load(c + r * ldc + v * VW) : vf_set(0);
    for (int64_t k = 0; k < depth; k++) {
        vf x = vf_load(b + k * ldb), y = x;
        if (vectors == 2) y = vf_load(b + k * ldb + VW);
        for (int r = 0; r < rows; r++) {
            vf s = vf_set(a[r * ars + k * acs]);
            sum[r][0] = vf_fma(s, x, sum[r][0]);
            if (vectors == 2) sum[r][1] = vf_fma(s, y, sum[r][1]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) vf_store(c + r * ldc + v * VW, sum[r][v]);
}

typedef struct operand {
    const float *p;
    int64_t rows_apart, columns_apart;
} operand;

/* C [rows, cols] (+)= A [rows, depth] B [depth, cols]; cols a multiple of VW. */
static void product(int64_t rows, int64_t cols, int64_t depth, operand a, const float *b,
                    int64_t ldb, float *c, int64_t ldc, bool add) {
#define BLOCK(n, v)                                                                                \
    product_block(n, v, depth, a.p + r * a.rows_apart, a.rows_apart, a.columns_apart, b + at, ldb, \
                  c + r * ldc + at, ldc, add)
#define ROWS(n)                                                                                    \
    for (; r + (n) <= rows; r += (n)) {                                                            \
        if (two) BLOCK(n, 2);                                                                      \
        else BLOCK(n, 1);                                                                          \
    }
    for (int64_t at = 0; at < cols; at += 2 * VW) {
        bool two = cols - at >= 2 * VW;
        int64_t r = 0;
        ROWS(TILE_ROWS)
        ROWS(4)
        ROWS(1)
    }
#undef ROWS
#undef BLOCK
}

/* ------------------------------------------------------------------ shapes and packing */

typedef struct shape {
    int64_t B, H, N, M, D;
    int64_t padded; /* D rounded up to whole vectors */
    int64_t panels; /* of one sequence */
} shape;

static shape shape_of(const attend_args *a) {
    shape s = {.B = a->batch, .H = a->heads, .D = a->q.cols / a->heads};
    s.N = a->q.rows / a->batch;
    s.M = a->k.rows / a->batch;
    s.padded = (s.D + VW - 1) / VW * VW;
    s.panels = (s.N + PANEL - 1) / PANEL;
    return s;
}

static const float *head_row(matrix m, int64_t r, int64_t head, int64_t width) {
    return (const float *)m.data + r * m.stride + head * width;
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* What a panel of queries may see. Lanes without a query see nothing. */
typedef struct visible {
    int32_t begin[PANEL], end[PANEL], self[PANEL], behind_self[PANEL];
    int64_t first, last; /* the keys that any lane sees: [first, last) */
    int64_t all_first, all_last; /* the keys that every lane sees */
} visible;

static void find_visible(const attend_args *a, const shape *s, int64_t b, int64_t panel,
                         visible *v) {
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
        }
        if (v->begin[i] > v->all_first) v->all_first = v->begin[i];
        v->all_last = smaller(v->all_last, v->end[i]);
    }
}

/* out [D, PANEL] = the panel's rows of m, transposed and scaled; lanes without a query are 0. */
static void pack_panel(matrix m, const shape *s, int64_t b, int64_t head, int64_t panel, float scale,
                       float *out) {
    for (int64_t i = 0; i < PANEL; i++) {
        int64_t n = panel * PANEL + i;
        const float *x = n < s->N ? head_row(m, b * s->N + n, head, s->D) : NULL;
        for (int64_t d = 0; d < s->D; d++) out[d * PANEL + i] = x ? scale * x[d] : 0;
    }
}

/* A row of any type, at the first channel of one head. */
static const void *typed_row(const matrix *m, int64_t r, int64_t head, int64_t width) {
    return (const char *)m->data + (size_t)(r * m->stride + head * width) * dtype_bytes(m->type);
}

/* out [count, padded] = rows [from, from + count) of one head, scaled, padding 0. */
static void pack_rows(matrix m, const shape *s, int64_t from, int64_t count, int64_t head,
                      float scale, float *out) {
    for (int64_t r = 0; r < count; r++, out += s->padded) {
        const void *x = typed_row(&m, from + r, head, s->D);
        vf factor = vf_set(scale * row_factor(&m, from + r));
        if (m.type == F32) FOR_VECTORS(s->D) vf_store(out + i, LOAD((const float *)x) * factor);
        else FOR_VECTORS(s->D) vf_store(out + i, vf_load_type(m.type, x, i, lanes) * factor);
    }
}

/* Keys [at, at + count) of scores st [count, PANEL] that a lane must not see become -inf. */
static void mask_scores(const attend_args *a, const shape *s, const visible *v, int64_t b,
                        int64_t at, int64_t count, float *st) {
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

/* Where scores st [count, PANEL] of keys from `at` on lie in a matrix like a->relative: element (j, lane i) at
 * place[i] + j stride, for the keys [from[i], to[i]) of the tile that the lane sees. */
typedef struct relative_tile {
    ptrdiff_t place[PANEL];
    int64_t from[PANEL], to[PANEL];
} relative_tile;

static relative_tile find_relative(const attend_args *a, const shape *s, const visible *v, int64_t b, int64_t panel,
                                   int64_t at, int64_t count) {
    relative_tile r = {0};
    for (int64_t i = 0; i < PANEL; i++) {
        r.from[i] = v->begin[i] > at ? v->begin[i] - at : 0;
        r.to[i] = smaller(v->end[i] - at, count);
        r.place[i] = (a->relative.rows - v->end[i] + at) * a->relative.stride + b * s->N + panel * PANEL + i;
    }
    return r;
}

static void add_relative(const attend_args *a, const shape *s, const visible *v, int64_t b, int64_t panel, int64_t at,
                         int64_t count, float *st) {
    relative_tile r = find_relative(a, s, v, b, panel, at, count);
    const float *x = a->relative.data;
    for (int64_t i = 0; i < PANEL; i++)
        for (int64_t j = r.from[i]; j < r.to[i]; j++)
            st[j * PANEL + i] += a->scale * x[r.place[i] + j * a->relative.stride];
}

/* The gradient lies like the scores: strides are equal. */
static void store_relative(const attend_bwd_args *a, const shape *s, const visible *v, int64_t b, int64_t panel,
                           int64_t at, int64_t count, const float *ds) {
    relative_tile r = find_relative(&a->fwd, s, v, b, panel, at, count);
    float *x = a->grad_relative.data;
    for (int64_t i = 0; i < PANEL; i++)
        for (int64_t j = r.from[i]; j < r.to[i]; j++)
            x[r.place[i] + j * a->grad_relative.stride] = a->fwd.scale * ds[j * PANEL + i];
}

/* ------------------------------------------------------------------ forward */

/* State of a panel between tiles. */
typedef struct panel_state {
    visible seen;
    float largest[PANEL], sum[PANEL];
} panel_state;

/* True when no score of st [count, PANEL] can matter beside `most` [PANEL], and none is not a number. */
static bool negligible(int64_t count, const float *st, const float *most) {
    for (int h = 0; h < PANEL; h += VW) {
        vf nothing = vf_set(NOTHING), top = nothing, sum = vf_set(0);
        for (int64_t j = 0; j < count; j++) {
            vf x = vf_max(nothing, vf_load(st + j * PANEL + h)); /* in this order not-a-numbers stay */
            top = vf_max(x, top);
            sum = sum + x;
        }
        float all = vf_sum(sum);
        if (all != all || !(vf_largest(top - vf_load(most + h)) < NEGLIGIBLE)) return false;
    }
    return true;
}

/* st [count, PANEL]: scores become exp(score - largest), with the running maximum and sum brought up
 * to date and o_t [D, PANEL] scaled to the new maximum. */
static void softmax_tile(panel_state *p, int64_t count, float *st, float *o_t, int64_t D) {
    for (int h = 0; h < PANEL; h += VW) {
        vf old = vf_load(p->largest + h), top = old, sum = vf_set(0);
        for (int64_t j = 0; j < count; j++) top = vf_max(vf_load(st + j * PANEL + h), top);
        for (int64_t j = 0; j < count; j++) {
            vf e = vf_exp(vf_load(st + j * PANEL + h) - top);
            vf_store(st + j * PANEL + h, e);
            sum = sum + e;
        }
        vf alpha = vf_exp(old - top);
        vf_store(p->largest + h, top);
        vf_store(p->sum + h, vf_fma(vf_load(p->sum + h), alpha, sum));
        if (vf_largest(top - old) == 0) continue;
        for (int64_t d = 0; d < D; d++)
            vf_store(o_t + d * PANEL + h, vf_load(o_t + d * PANEL + h) * alpha);
    }
}

static void store_panel(const attend_args *a, const shape *s, int64_t b, int64_t head,
                        int64_t panel, const panel_state *p, const float *o_t) {
    for (int64_t i = 0; i < PANEL && panel * PANEL + i < s->N; i++) {
        int64_t r = b * s->N + panel * PANEL + i;
        float *o = (float *)a->o.data + r * a->o.stride + head * s->D;
        float factor = p->sum[i] > 0 ? 1 / p->sum[i] : p->sum[i]; /* 0 when blind, NaN stays */
        for (int64_t d = 0; d < s->D; d++) o[d] = o_t[d * PANEL + i] * factor;
        float lse = p->sum[i] == 0 ? INFINITY : p->largest[i] + logf(p->sum[i]);
        ((float *)a->lse.data)[r * a->lse.stride + head] = lse;
    }
}

static void forward_tile(const attend_args *a, const shape *s, int64_t b, int64_t panel, int64_t at, int64_t count,
                         panel_state *p, const float *k, const float *v, const float *q_t,
                         float *o_t, float *st) {
    if (at >= p->seen.last || at + count <= p->seen.first) return;
    product(count, PANEL, s->D, (operand){k, s->padded, 1}, q_t, PANEL, st, PANEL, false);
    if (a->relative.data) add_relative(a, s, &p->seen, b, panel, at, count, st);
    mask_scores(a, s, &p->seen, b, at, count, st);
    if (negligible(count, st, p->largest)) return;
    softmax_tile(p, count, st, o_t, s->D);
    product(s->D, PANEL, count, (operand){v, 1, s->padded}, st, PANEL, o_t, PANEL, true);
}

/* One block of panels of one head of one sequence. */
static void forward_block(cpu_context *context, const attend_args *a, const shape *s, int64_t b,
                          int64_t head, int64_t first_panel) {
    int64_t panels = smaller(BLOCK_PANELS, s->panels - first_panel), size = s->D * PANEL;
    size_t floats = (size_t)(2 * BLOCK_PANELS * size + 2 * TILE * s->padded + TILE * PANEL);
    float *q_t = cpu_scratch(context, floats * sizeof *q_t), *o_t = q_t + BLOCK_PANELS * size;
    float *k = o_t + BLOCK_PANELS * size, *v = k + TILE * s->padded, *st = v + TILE * s->padded;
    panel_state state[BLOCK_PANELS];
    int64_t from = INT32_MAX, to = 0;
    for (int64_t p = 0; p < panels; p++) {
        state[p] = (panel_state){0};
        for (int i = 0; i < PANEL; i++) state[p].largest[i] = NOTHING;
        find_visible(a, s, b, first_panel + p, &state[p].seen);
        pack_panel(a->q, s, b, head, first_panel + p, a->scale, q_t + p * size);
        from = smaller(from, state[p].seen.first);
        if (state[p].seen.last > to) to = state[p].seen.last;
    }
    memset(o_t, 0, (size_t)(panels * size) * sizeof *o_t);
    for (int64_t at = from / TILE * TILE; at < to; at += TILE) {
        int64_t count = smaller(TILE, s->M - at);
        pack_rows(a->k, s, b * s->M + at, count, head, 1, k);
        pack_rows(a->v, s, b * s->M + at, count, head, 1, v);
        for (int64_t p = 0; p < panels; p++)
            forward_tile(a, s, b, first_panel + p, at, count, &state[p], k, v, q_t + p * size, o_t + p * size, st);
    }
    for (int64_t p = 0; p < panels; p++)
        store_panel(a, s, b, head, first_panel + p, &state[p], o_t + p * size);
}

/* ------------------------------------------------------------------ forward, few queries */

static float few_relative(const attend_args *a, int64_t query, int64_t key) {
    int64_t end = ((const int32_t *)a->end.data)[query * a->end.stride];
    return ((const float *)a->relative.data)[(a->relative.rows - end + key) * a->relative.stride + query];
}

/* Keys [from, to) for one query and all heads, so that rows of keys and of values are read once and in order:
 * out [H][apart] = weighted sum of values [D], maximum, sum. */
static inline __attribute__((always_inline)) void
few_keys_of(const dtype type, cpu_context *context, const attend_args *a, const shape *s, int64_t query,
            int64_t from, int64_t to, float *out, int64_t apart) {
    int64_t b = query / s->N, self = query % s->N, D = s->D, count = to - from;
    float *scores = cpu_scratch(context, (size_t)(s->H * (count + VW)) * sizeof *scores);
    const float *q = head_row(a->q, query, 0, D);
    const int32_t *hidden = a->hidden.data ? (const int32_t *)a->hidden.data + b * s->M : NULL;
    for (int64_t j = 0; j < count; j++) {
        const char *k = typed_row(&a->k, b * s->M + from + j, 0, D);
        float factor = a->scale * row_factor(&a->k, b * s->M + from + j);
        bool unseen = hidden && hidden[from + j] && from + j != self;
        for (int64_t h = 0; h < s->H; h++) {
            const void *x = k + (size_t)(h * D) * dtype_bytes(type);
            vf dot = vf_set(0);
            FOR_VECTORS(D) dot = vf_fma(LOAD(q + h * D), vf_load_type(type, x, i, lanes), dot);
            scores[h * count + j] = unseen ? -INFINITY : factor * vf_sum(dot);
            if (a->relative.data) scores[h * count + j] += a->scale * few_relative(a, query, from + j);
        }
    }
    for (int64_t h = 0; h < s->H; h++) {
        float *score = scores + h * count, top = NOTHING, sum = 0;
        for (int64_t j = 0; j < count; j++)
            if (!(score[j] <= top)) top = score[j];
        FOR_VECTORS(count) {
            vf e = vf_exp(LOAD(score) - vf_set(top));
            STORE(score, e);
        }
        for (int64_t j = 0; j < count; j++) sum += score[j];
        for (int64_t d = 0; d < D; d++) out[h * apart + d] = 0;
        out[h * apart + D] = top;
        out[h * apart + D + 1] = sum;
    }
    for (int64_t j = 0; j < count; j++) {
        const char *v = typed_row(&a->v, b * s->M + from + j, 0, D);
        float factor = row_factor(&a->v, b * s->M + from + j);
        for (int64_t h = 0; h < s->H; h++) {
            float *to_ = out + h * apart, share = scores[h * count + j];
            if (share == 0) continue; /* values that a sharp attention does not read */
            const void *x = v + (size_t)(h * D) * dtype_bytes(type);
            vf p = vf_set(share * factor);
            FOR_VECTORS(D) STORE(to_, vf_fma(p, vf_load_type(type, x, i, lanes), LOAD(to_)));
        }
    }
}

static void few_keys(cpu_context *context, const attend_args *a, const shape *s, int64_t query, int64_t from,
                     int64_t to, float *out, int64_t apart) {
    if (a->k.type == BF16) few_keys_of(BF16, context, a, s, query, from, to, out, apart);
    else if (a->k.type == I8) few_keys_of(I8, context, a, s, query, from, to, out, apart);
    else few_keys_of(F32, context, a, s, query, from, to, out, apart);
}

/* Joins the chunks' results of one query and head. */
static void few_join(const attend_args *a, const shape *s, int64_t query, int64_t head,
                     int64_t chunks, const float *part) {
    int64_t D = s->D;
    float *o = (float *)a->o.data + query * a->o.stride + head * D, top = NOTHING, sum = 0;
    for (int64_t c = 0; c < chunks; c++) top = fmaxf(top, part[c * (D + 2) + D]);
    for (int64_t d = 0; d < D; d++) o[d] = 0;
    for (int64_t c = 0; c < chunks; c++) {
        const float *x = part + c * (D + 2);
        float factor = expf(x[D] - top);
        sum += factor * x[D + 1];
        for (int64_t d = 0; d < D; d++) o[d] += factor * x[d];
    }
    for (int64_t d = 0; d < D && sum != 0; d++) o[d] /= sum;
    ((float *)a->lse.data)[query * a->lse.stride + head] = sum == 0 ? INFINITY : top + logf(sum);
}

static void attend_few(cpu_context *context, const attend_args *a, const shape *s) {
    int64_t rows = s->B * s->N, chunks = s->M / FEW_KEYS + 1, part = s->D + 2;
    float *parts = cpu_shared_scratch(context, 0, (size_t)(rows * s->H * chunks * part) * sizeof *parts);
#pragma omp parallel for num_threads(context->threads)
    for (int64_t u = 0; u < rows * chunks; u++) {
        int64_t query = u / chunks, c = u % chunks;
        int64_t begin = ((const int32_t *)a->begin.data)[query * a->begin.stride];
        int64_t end = ((const int32_t *)a->end.data)[query * a->end.stride];
        int64_t count = end > begin ? end - begin : 0;
        few_keys(context, a, s, query, begin + count * c / chunks, begin + count * (c + 1) / chunks,
                 parts + (query * s->H * chunks + c) * part, chunks * part);
    }
    for (int64_t u = 0; u < rows * s->H; u++)
        few_join(a, s, u / s->H, u % s->H, chunks, parts + u * chunks * part);
}

static void attend_fwd(void *context, const attend_args *a) {
    shape s = shape_of(a);
    if (s.N <= FEW) {
        attend_few(context, a, &s);
        return;
    }
    int64_t blocks = (s.panels + BLOCK_PANELS - 1) / BLOCK_PANELS;
#pragma omp parallel for num_threads(((cpu_context *)context)->threads) schedule(dynamic)
    for (int64_t u = 0; u < s.B * s.H * blocks; u++)
        forward_block(context, a, &s, u / blocks / s.H, u / blocks % s.H, u % blocks * BLOCK_PANELS);
}

/* ------------------------------------------------------------------ backward */

/* Everything about the queries of one head that its key tiles need, packed once per chunk. */
typedef struct head_queries {
    float *q_t, *do_t;   /* [panels][D, PANEL], q scaled */
    float *q, *grad_o;   /* [panels PANEL, padded], q scaled */
    float *lse, *delta;  /* [panels PANEL] */
    float *dq_t;         /* [panels][D, PANEL], of this chunk */
    visible *seen;       /* [panels] */
    float *k, *v, *dk, *dv; /* one tile, [TILE, padded] */
    float *p, *ds;       /* one tile and panel, [TILE, PANEL] */
} head_queries;

static size_t head_floats(const shape *s) {
    int64_t lanes = s->panels * PANEL;
    return (size_t)(3 * lanes * s->D + 2 * lanes * s->padded + 2 * lanes + 4 * TILE * s->padded +
                    2 * TILE * PANEL);
}

static head_queries pack_head(cpu_context *context, const attend_bwd_args *a, const shape *s,
                              int64_t b, int64_t head) {
    int64_t lanes = s->panels * PANEL;
    size_t floats = head_floats(s);
    float *at = cpu_scratch(context, floats * sizeof *at + (size_t)s->panels * sizeof(visible));
    head_queries w = {.seen = (visible *)(void *)(at + floats)};
    float **part[] = {&w.q_t, &w.do_t, &w.dq_t, &w.q, &w.grad_o, &w.lse, &w.delta,
                      &w.k,   &w.v,    &w.dk,   &w.dv, &w.p,     &w.ds};
    int64_t tile = TILE * s->padded, rows = lanes * s->padded, columns = lanes * s->D;
    int64_t size[] = {columns, columns, columns, rows, rows, lanes, lanes,
                      tile,    tile,    tile,    tile, TILE * PANEL, TILE * PANEL};
    for (int i = 0; i < 13; at += size[i++]) *part[i] = at;
    memset(w.q, 0, (size_t)(2 * rows) * sizeof *w.q);
    memset(w.dq_t, 0, (size_t)columns * sizeof *w.dq_t);
    pack_rows(a->fwd.q, s, b * s->N, s->N, head, a->fwd.scale, w.q);
    pack_rows(a->grad_o, s, b * s->N, s->N, head, 1, w.grad_o);
    for (int64_t p = 0; p < s->panels; p++) {
        find_visible(&a->fwd, s, b, p, &w.seen[p]);
        pack_panel(a->fwd.q, s, b, head, p, a->fwd.scale, w.q_t + p * PANEL * s->D);
        pack_panel(a->grad_o, s, b, head, p, 1, w.do_t + p * PANEL * s->D);
    }
    for (int64_t n = 0; n < lanes; n++) {
        int64_t r = b * s->N + n;
        w.lse[n] = n < s->N ? ((const float *)a->fwd.lse.data)[r * a->fwd.lse.stride + head] : INFINITY;
        w.delta[n] = n < s->N ? ((const float *)a->delta.data)[r * a->delta.stride + head] : 0;
    }
    return w;
}

/* p [count, PANEL]: scores become probabilities; ds: products with dO become dS. */
static void backward_tile_lanes(int64_t count, const float *lse, const float *delta, float *p,
                                float *ds) {
    for (int h = 0; h < PANEL; h += VW) {
        vf l = vf_load(lse + h), d = vf_load(delta + h);
        for (int64_t j = h; j < count * PANEL; j += PANEL) {
            vf e = vf_exp(vf_load(p + j) - l);
            vf_store(p + j, e);
            vf_store(ds + j, e * (vf_load(ds + j) - d));
        }
    }
}

static void backward_tile(const attend_bwd_args *a, const shape *s, const head_queries *w,
                          int64_t b, int64_t at, int64_t count, int64_t panel) {
    const visible *seen = &w->seen[panel];
    int64_t columns = panel * PANEL * s->D, rows = panel * PANEL * s->padded, P = s->padded;
    if (at >= seen->last || at + count <= seen->first) return;
    product(count, PANEL, s->D, (operand){w->k, P, 1}, w->q_t + columns, PANEL, w->p, PANEL, false);
    if (a->fwd.relative.data) add_relative(&a->fwd, s, seen, b, panel, at, count, w->p);
    mask_scores(&a->fwd, s, seen, b, at, count, w->p);
    if (negligible(count, w->p, w->lse + panel * PANEL)) return; /* grad_relative is zero there already */
    product(count, PANEL, s->D, (operand){w->v, P, 1}, w->do_t + columns, PANEL, w->ds, PANEL,
            false);
    backward_tile_lanes(count, w->lse + panel * PANEL, w->delta + panel * PANEL, w->p, w->ds);
    if (a->fwd.relative.data) store_relative(a, s, seen, b, panel, at, count, w->ds);
    product(count, P, PANEL, (operand){w->p, PANEL, 1}, w->grad_o + rows, P, w->dv, P, true);
    product(count, P, PANEL, (operand){w->ds, PANEL, 1}, w->q + rows, P, w->dk, P, true);
    product(s->D, PANEL, count, (operand){w->k, 1, P}, w->ds, PANEL, w->dq_t + columns, PANEL, true);
}

static void store_rows(matrix m, int64_t from, int64_t count, int64_t head, const shape *s,
                       const float *x) {
    for (int64_t r = 0; r < count; r++)
        memcpy((float *)m.data + (from + r) * m.stride + head * s->D, x + r * s->padded,
               (size_t)s->D * sizeof *x);
}

/* This chunk's dq: into dq itself when it is the only one, else into its part of a->partial. */
static void store_dq(const attend_bwd_args *a, const shape *s, const head_queries *w, int64_t b,
                     int64_t head, int64_t chunk, int64_t chunks) {
    matrix to = chunks == 1 ? a->dq : matrix_rows(a->partial, chunk * s->B * s->N, s->B * s->N);
    for (int64_t n = 0; n < s->N; n++) {
        float *dq = (float *)to.data + (b * s->N + n) * to.stride + head * s->D;
        const float *x = w->dq_t + n / PANEL * PANEL * s->D + n % PANEL;
        for (int64_t d = 0; d < s->D; d++) dq[d] = x[d * PANEL] * a->fwd.scale;
    }
}

static void backward_chunk(cpu_context *context, const attend_bwd_args *a, const shape *s,
                           int64_t b, int64_t head, int64_t chunk, int64_t chunks) {
    head_queries w = pack_head(context, a, s, b, head);
    int64_t tiles = (s->M + TILE - 1) / TILE;
    int64_t from = tiles * chunk / chunks * TILE;
    int64_t to = smaller(tiles * (chunk + 1) / chunks * TILE, s->M);
    for (int64_t at = from; at < to; at += TILE) {
        int64_t count = smaller(TILE, to - at), key = b * s->M + at;
        pack_rows(a->fwd.k, s, key, count, head, 1, w.k);
        pack_rows(a->fwd.v, s, key, count, head, 1, w.v);
        memset(w.dk, 0, (size_t)(2 * TILE * s->padded) * sizeof *w.dk); /* dv lies behind it */
        for (int64_t p = 0; p < s->panels; p++) backward_tile(a, s, &w, b, at, count, p);
        store_rows(a->dk, key, count, head, s, w.dk);
        store_rows(a->dv, key, count, head, s, w.dv);
    }
    store_dq(a, s, &w, b, head, chunk, chunks);
}

/* delta [B N, H]: o . do per head. */
static void find_delta(cpu_context *context, const attend_bwd_args *a, const shape *s) {
#pragma omp parallel for num_threads(context->threads)
    for (int64_t r = 0; r < s->B * s->N; r++)
        for (int64_t h = 0; h < s->H; h++) {
            const float *x = head_row(a->fwd.o, r, h, s->D), *y = head_row(a->grad_o, r, h, s->D);
            vf sum = vf_set(0);
            FOR_VECTORS(s->D) sum = vf_fma(LOAD(x), LOAD(y), sum);
            ((float *)a->delta.data)[r * a->delta.stride + h] = vf_sum(sum);
        }
}

static void add_chunks(cpu_context *context, const attend_bwd_args *a, const shape *s,
                       int64_t chunks) {
    int64_t rows = s->B * s->N;
#pragma omp parallel for num_threads(context->threads)
    for (int64_t r = 0; r < rows; r++) {
        float *dq = (float *)a->dq.data + r * a->dq.stride;
        const float *part = (const float *)a->partial.data + r * a->partial.stride;
        FOR_VECTORS(a->dq.cols) {
            vf sum = LOAD(part);
            for (int64_t c = 1; c < chunks; c++) sum = sum + LOAD(part + c * rows * a->partial.stride);
            STORE(dq, sum);
        }
    }
}

static void attend_bwd(void *context, const attend_bwd_args *a) {
    shape s = shape_of(&a->fwd);
    int64_t chunks = attend_chunks(s.B, s.H, s.M);
    find_delta(context, a, &s);
    for (int64_t r = 0; r < a->grad_relative.rows && a->grad_relative.data; r++)
        memset((float *)a->grad_relative.data + r * a->grad_relative.stride, 0,
               (size_t)a->grad_relative.cols * sizeof(float));
#pragma omp parallel for num_threads(((cpu_context *)context)->threads) schedule(dynamic)
    for (int64_t u = 0; u < s.B * s.H * chunks; u++)
        backward_chunk(context, a, &s, u / chunks / s.H, u / chunks % s.H, u % chunks, chunks);
    if (chunks > 1) add_chunks(context, a, &s, chunks);
}

void SIMD_NAME(simd_attend_)(kernels *k) {
    k->attend_fwd = attend_fwd;
    k->attend_bwd = attend_bwd;
}
