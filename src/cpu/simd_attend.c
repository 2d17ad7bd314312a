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
 * With relative positions S^T also gets, for key j and query i, row (distance of i and j) of R P^T. Those rows lie on
 * the diagonals of the tile, TILE + PANEL - 1 of them: the product is taken for this band and each lane is shifted
 * into place, log2 VW passes of blends; the way back shifts dS^T into a band, for dP^T += R^T dS^T and dR += dS^T P.
 *
 * Every product is one micro-kernel: C [rows, lanes] += A B, with A's elements broadcast. Tiles fit the
 * second-level cache. A tile whose probabilities are all below 2^-40 of the largest is left out behind its
 * scores: all such tiles together change a sum by less than float32 can show (M 2^-40 is 1e-7 for a hundred
 * thousand keys), and attention that has learned to look at few keys costs little more than its scores.
 * Units of work are fixed by shape, so results do not depend on the number of threads; the chunks' shares
 * of dQ are added up in order at the end. A handful of queries (decoding) takes another path, below, that
 * reads keys and values once at memory speed. */
#include "cpu/simd_attend.h"

enum {
    BAND = TILE + PANEL - 1, /* diagonals of a tile */
    FEW_KEYS = 256,          /* keys that one thread takes at a time, of few queries */
};

static const float NEGLIGIBLE = -27.7f; /* log 2^-40 */

/* Logarithm of the least probability that is not 0. A trained model has many that are far smaller, whose products with
 * gradients would be subnormal. */
static const float LEAST = -46; /* 1e-20 */

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

/* out [D, PANEL] = the panel's rows of m, transposed and scaled; lanes without a query are 0. */
static void pack_panel(matrix m, const shape *s, int64_t b, int64_t head, int64_t panel, float scale,
                       float *out) {
    for (int64_t i = 0; i < PANEL; i++) {
        int64_t n = panel * PANEL + i;
        const float *x = n < s->N ? head_row(m, b * s->N + n, head, s->D) : NULL;
        for (int64_t d = 0; d < s->D; d++) out[d * PANEL + i] = x ? scale * x[d] : 0;
    }
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

/* ------------------------------------------------------------------ relative positions */

/* Diagonals of a tile: row t of a band [BAND, PANEL] has for lane i what belongs to key t + i - (PANEL - 1) of the
 * tile, and is row first + t of r. Rows [from, to) are ones that r has. */
typedef struct band_rows {
    int64_t first, from, to;
} band_rows;

static band_rows find_band(const attend_args *a, const visible *v, int64_t at, int64_t count) {
    band_rows b = {.first = a->r.rows - v->ahead + at - (PANEL - 1), .to = count + PANEL - 1};
    if (b.first < 0) b.from = smaller(-b.first, b.to);
    if (b.first + b.to > a->r.rows) b.to = a->r.rows - b.first;
    if (b.to < b.from) b.to = b.from;
    return b;
}

/* Lanes that shift by 1 << power rows on their way: those whose number has no such bit. (Constants, because the address
 * sanitizer of gcc 14 does not align arrays of vectors on the stack.) */
static vm lanes_shifted(int power) {
#define FOUR(i, p)  (i) & (p), ((i) + 1) & (p), ((i) + 2) & (p), ((i) + 3) & (p)
#define LANES(p)    {FOUR(0, p), FOUR(4, p), FOUR(8, p), FOUR(12, p)}
    static const int32_t bit[4][16] = {LANES(1), LANES(2), LANES(4), LANES(8)};
    static const int32_t one[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
#undef LANES
#undef FOUR
    return vm_within(bit[power], one, 0);
}

/* band [count + VW - 1, PANEL] of one vector of lanes: lane i moves up by VW - 1 - i rows. */
static void shift_up(int64_t count, float *band) {
    for (int power = 3; power >= 0; power--) {
        int step = 1 << power;
        if (step >= VW) continue;
        vm moved = lanes_shifted(power);
        for (float *x = band, *end = band + (count + step - 1) * PANEL; x < end; x += PANEL)
            vf_store(x, vf_select(moved, vf_load(x + step * PANEL), vf_load(x)));
    }
}

/* The opposite: down, into a band whose rows behind `count` are 0. */
static void shift_down(int64_t count, float *band) {
    for (int power = 0, step = 1; step < VW; step = 1 << ++power) {
        vm moved = lanes_shifted(power);
        for (int64_t t = count + 2 * step - 2; t >= 0; t--) {
            float *x = band + t * PANEL;
            vf_store(x, vf_select(moved, t < step ? vf_set(0) : vf_load(x - step * PANEL), vf_load(x)));
        }
    }
}

/* st [count, PANEL] += scores of distances; p_t [D, PANEL] scaled, band scratch. */
static void add_relative(const attend_args *a, const shape *s, const visible *v, int64_t head, int64_t at,
                         int64_t count, const float *p_t, float *band, float *st) {
    band_rows rows = find_band(a, v, at, count);
    memset(band, 0, (size_t)(rows.from * PANEL) * sizeof *band);
    const float *r = head_row(a->r, rows.first + rows.from, head, s->D);
    product(rows.to - rows.from, PANEL, s->D, (operand){r, a->r.stride, 1}, p_t, PANEL, band + rows.from * PANEL, PANEL,
            false);
    memset(band + rows.to * PANEL, 0, (size_t)((count + PANEL - 1 - rows.to) * PANEL) * sizeof *band);
    for (int h = 0; h < PANEL; h += VW) {
        float *x = band + (PANEL - VW - h) * PANEL + h;
        shift_up(count, x);
        for (int64_t j = 0; j < count * PANEL; j += PANEL) vf_store(st + h + j, vf_load(st + h + j) + vf_load(x + j));
    }
}

/* band [count + PANEL - 1, PANEL]: ds [count, PANEL] along its diagonals. */
static void spread_diagonals(int64_t count, const float *ds, float *band) {
    memset(band, 0, (size_t)((count + PANEL - 1) * PANEL) * sizeof *band);
    for (int h = 0; h < PANEL; h += VW) {
        float *x = band + (PANEL - VW - h) * PANEL + h;
        for (int64_t j = 0; j < count * PANEL; j += PANEL) vf_store(x + j, vf_load(ds + h + j));
        shift_down(count, x);
    }
}

/* ------------------------------------------------------------------ forward */

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
            vf e = vf_exp_from(LEAST, vf_load(st + j * PANEL + h) - top);
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

typedef struct forward_work {
    float *q_t, *p_t, *o_t; /* [BLOCK_PANELS][D, PANEL]; p_t with relative positions only */
    float *k, *v;           /* a tile, [TILE, padded] */
    float *st, *band;       /* [TILE, PANEL], [BAND, PANEL] */
    panel_state state[BLOCK_PANELS];
} forward_work;

static void forward_tile(const attend_args *a, const shape *s, forward_work *work, int64_t b, int64_t head, int64_t at,
                         int64_t count, int64_t panel) {
    panel_state *p = &work->state[panel];
    int64_t from = panel * s->D * PANEL;
    if (at >= p->seen.last || at + count <= p->seen.first) return;
    product(count, PANEL, s->D, (operand){work->k, s->padded, 1}, work->q_t + from, PANEL, work->st, PANEL, false);
    if (work->p_t) add_relative(a, s, &p->seen, head, at, count, work->p_t + from, work->band, work->st);
    mask_scores(a, s, &p->seen, b, at, count, work->st);
    if (negligible(count, work->st, p->largest)) return;
    softmax_tile(p, count, work->st, work->o_t + from, s->D);
    product(s->D, PANEL, count, (operand){work->v, 1, s->padded}, work->st, PANEL, work->o_t + from, PANEL, true);
}

static forward_work forward_scratch(cpu_context *context, const attend_args *a, const shape *s) {
    int64_t panels = BLOCK_PANELS * s->D * PANEL, tile = TILE * s->padded;
    float *at = cpu_scratch(context, (size_t)(3 * panels + 2 * tile + (TILE + BAND) * PANEL) * sizeof *at);
    if (!at) return (forward_work){0};
    forward_work work = {.q_t = at, .o_t = at + panels, .p_t = at + 2 * panels};
    work.k = at + 3 * panels;
    work.v = work.k + tile;
    work.st = work.v + tile;
    work.band = work.st + TILE * PANEL;
    if (!a->p.data) work.p_t = NULL;
    return work;
}

/* One block of panels of one head of one sequence. */
static void forward_block(cpu_context *context, const attend_args *a, const shape *s, int64_t b,
                          int64_t head, int64_t first_panel) {
    int64_t panels = smaller(BLOCK_PANELS, s->panels - first_panel), size = s->D * PANEL;
    forward_work work = forward_scratch(context, a, s);
    if (!work.q_t) return;
    int64_t from = INT32_MAX, to = 0;
    for (int64_t p = 0; p < panels; p++) {
        panel_state *state = &work.state[p];
        for (int i = 0; i < PANEL; i++) state->largest[i] = NOTHING;
        find_visible(a, s, b, first_panel + p, &state->seen);
        pack_panel(a->q, s, b, head, first_panel + p, a->scale, work.q_t + p * size);
        if (work.p_t) pack_panel(a->p, s, b, head, first_panel + p, a->scale, work.p_t + p * size);
        from = smaller(from, state->seen.first);
        if (state->seen.last > to) to = state->seen.last;
    }
    memset(work.o_t, 0, (size_t)(panels * size) * sizeof *work.o_t);
    for (int64_t at = from / TILE * TILE; at < to; at += TILE) {
        int64_t count = smaller(TILE, to - at), key = first_key(a, s, b) + at;
        pack_rows(a->k, s, key, count, head, 1, work.k);
        pack_rows(a->v, s, key, count, head, 1, work.v);
        for (int64_t p = 0; p < panels; p++) forward_tile(a, s, &work, b, head, at, count, p);
    }
    for (int64_t p = 0; p < panels; p++)
        store_panel(a, s, b, head, first_panel + p, &work.state[p], work.o_t + p * size, 1);
}

/* ------------------------------------------------------------------ forward, few queries */

/* Keys [from, to) for one query and all heads, so that rows of keys and of values are read once and in order:
 * out [H][apart] = weighted sum of values [D], maximum, sum. */
static inline __attribute__((always_inline)) void
few_keys_of(const dtype type, cpu_context *context, const attend_args *a, const shape *s, int64_t query,
            int64_t from, int64_t to, float *out, int64_t apart) {
    int64_t b = query / s->N, self = query % s->N, D = s->D, count = to - from, key = first_key(a, s, b) + from;
    float *scores = cpu_scratch(context, (size_t)(s->H * (count + VW)) * sizeof *scores);
    if (!scores) return;
    const float *q = head_row(a->q, query, 0, D);
    const int32_t *hidden = a->hidden.data ? (const int32_t *)a->hidden.data + b * s->M : NULL;
    int64_t far = a->r.rows - ((const int32_t *)a->end.data)[query * a->end.stride]; /* row of r for key 0 */
    for (int64_t j = 0; j < count; j++) {
        const char *k = typed_row(&a->k, key + j, 0, D);
        float factor = a->scale * row_factor(&a->k, key + j);
        bool unseen = hidden && hidden[from + j] && from + j != self;
        for (int64_t h = 0; h < s->H; h++) {
            const void *x = k + (size_t)(h * D) * dtype_bytes(type);
            vf dot = vf_set(0);
            FOR_VECTORS(D) dot = vf_fma(LOAD(q + h * D), vf_load_type(type, x, i, lanes), dot);
            scores[h * count + j] = unseen ? -INFINITY : factor * vf_sum(dot);
        }
        for (int64_t h = 0; h < s->H && a->r.data; h++) {
            const float *r = head_row(a->r, far + from + j, h, D), *p = head_row(a->p, query, h, D);
            vf dot = vf_set(0);
            FOR_VECTORS(D) dot = vf_fma(LOAD(p), LOAD(r), dot);
            scores[h * count + j] += a->scale * vf_sum(dot);
        }
    }
    for (int64_t h = 0; h < s->H; h++) {
        float *score = scores + h * count, top = NOTHING, sum = 0;
        for (int64_t j = 0; j < count; j++)
            if (!(score[j] <= top)) top = score[j];
        FOR_VECTORS(count) {
            vf e = vf_exp_from(LEAST, LOAD(score) - vf_set(top));
            STORE(score, e);
        }
        for (int64_t j = 0; j < count; j++) sum += score[j];
        for (int64_t d = 0; d < D; d++) out[h * apart + d] = 0;
        out[h * apart + D] = top;
        out[h * apart + D + 1] = sum;
    }
    for (int64_t j = 0; j < count; j++) {
        const char *v = typed_row(&a->v, key + j, 0, D);
        float factor = row_factor(&a->v, key + j);
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

/* The keys that a query sees, in parts for the threads: by their number alone, so that a query's result does not depend
 * on what else is in the batch. */
typedef struct few_range {
    int64_t begin, count, chunks;
} few_range;

static few_range few_range_of(const attend_args *a, int64_t query) {
    int64_t begin = ((const int32_t *)a->begin.data)[query * a->begin.stride];
    int64_t count = ((const int32_t *)a->end.data)[query * a->end.stride] - begin;
    if (count < 0) count = 0;
    return (few_range){begin, count, count / FEW_KEYS + 1};
}

static void attend_few(cpu_context *context, const attend_args *a, const shape *s) {
    int64_t rows = s->B * s->N, most = 1, part = s->D + 2;
    for (int64_t q = 0; q < rows; q++) most = few_range_of(a, q).chunks > most ? few_range_of(a, q).chunks : most;
    float *parts = cpu_shared_scratch(context, 0, (size_t)(rows * s->H * most * part) * sizeof *parts);
    if (!parts) return;
#pragma omp parallel for num_threads(context->threads)
    for (int64_t u = 0; u < rows * most; u++) {
        int64_t query = u / most, c = u % most;
        few_range r = few_range_of(a, query);
        if (c >= r.chunks) continue;
        few_keys(context, a, s, query, r.begin + r.count * c / r.chunks, r.begin + r.count * (c + 1) / r.chunks,
                 parts + (query * s->H * most + c) * part, most * part);
    }
#pragma omp parallel for num_threads(context->threads)
    for (int64_t u = 0; u < rows * s->H; u++)
        few_join(a, s, u / s->H, u % s->H, few_range_of(a, u / s->H).chunks, parts + u * most * part);
}

static void attend_fwd(void *context, const attend_args *a) {
    shape s = shape_of(a, VW);
    if (s.N <= FEW) attend_few(context, a, &s);
    else forward_blocks(context, a, &s, forward_block);
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
    float *p_t, *pos, *dp_t; /* with relative positions, of their queries: as q_t, q and dq_t */
    float *band, *dr;        /* [BAND, PANEL], and its share of dr, [BAND, padded] */
    matrix all_dr;           /* this chunk's share of dr, [distances, H D] */
} head_queries;

static head_queries head_scratch(cpu_context *context, const attend_bwd_args *a, const shape *s) {
    int64_t lanes = s->panels * PANEL, tile = TILE * s->padded, rows = lanes * s->padded, columns = lanes * s->D;
    int64_t far = a->fwd.p.data != NULL; /* nothing of what relative positions need, or all */
    head_queries work = {0};
    struct {
        float **at;
        int64_t floats;
    } part[] = {{&work.q_t, columns},    {&work.do_t, columns},     {&work.dq_t, columns},      {&work.q, rows},
                {&work.grad_o, rows},    {&work.lse, lanes},        {&work.delta, lanes},       {&work.k, tile},
                {&work.v, tile},         {&work.dk, tile},          {&work.dv, tile},           {&work.p, TILE * PANEL},
                {&work.ds, TILE * PANEL}, {&work.p_t, far * columns}, {&work.dp_t, far * columns},
                {&work.pos, far * rows},
                {&work.band, far * BAND * PANEL}, {&work.dr, far * BAND * s->padded}};
    int64_t floats = 0, parts = sizeof part / sizeof *part;
    for (int i = 0; i < parts; i++) floats += part[i].floats;
    float *at = cpu_scratch(context, (size_t)floats * sizeof *at + (size_t)s->panels * sizeof(visible));
    if (!at) return work;
    work.seen = (visible *)(void *)(at + floats);
    for (int i = 0; i < parts; at += part[i++].floats) *part[i].at = at;
    memset(work.q, 0, (size_t)rows * sizeof *work.q);
    memset(work.grad_o, 0, (size_t)rows * sizeof *work.grad_o);
    memset(work.dq_t, 0, (size_t)columns * sizeof *work.dq_t);
    memset(work.dp_t, 0, (size_t)(far * columns) * sizeof *work.dp_t);
    memset(work.pos, 0, (size_t)(far * rows) * sizeof *work.pos);
    return work;
}

static head_queries pack_head(cpu_context *context, const attend_bwd_args *a, const shape *s,
                              int64_t b, int64_t head) {
    head_queries work = head_scratch(context, a, s);
    if (!work.q_t) return work;
    const attend_args *f = &a->fwd;
    pack_rows(f->q, s, b * s->N, s->N, head, f->scale, work.q);
    pack_rows(a->grad_o, s, b * s->N, s->N, head, 1, work.grad_o);
    if (f->p.data) pack_rows(f->p, s, b * s->N, s->N, head, f->scale, work.pos);
    for (int64_t p = 0; p < s->panels; p++) {
        find_visible(f, s, b, p, &work.seen[p]);
        pack_panel(f->q, s, b, head, p, f->scale, work.q_t + p * PANEL * s->D);
        pack_panel(a->grad_o, s, b, head, p, 1, work.do_t + p * PANEL * s->D);
        if (f->p.data) pack_panel(f->p, s, b, head, p, f->scale, work.p_t + p * PANEL * s->D);
    }
    for (int64_t n = 0; n < s->panels * PANEL; n++) {
        int64_t r = b * s->N + n;
        work.lse[n] = n < s->N ? ((const float *)f->lse.data)[r * f->lse.stride + head] : INFINITY;
        work.delta[n] = n < s->N ? ((const float *)a->delta.data)[r * a->delta.stride + head] : 0;
    }
    return work;
}

/* p [count, PANEL]: scores become probabilities; ds: products with dO become dS. */
static void backward_tile_lanes(int64_t count, const float *lse, const float *delta, float *p,
                                float *ds) {
    for (int h = 0; h < PANEL; h += VW) {
        vf l = vf_load(lse + h), d = vf_load(delta + h);
        for (int64_t j = h; j < count * PANEL; j += PANEL) {
            vf e = vf_exp_from(LEAST, vf_load(p + j) - l);
            vf_store(p + j, e);
            vf_store(ds + j, e * (vf_load(ds + j) - d));
        }
    }
}

/* The shares of dp and dr: work->ds is dS^T of a tile and panel. */
static void backward_relative(const attend_args *a, const shape *s, const head_queries *work, int64_t head, int64_t at,
                              int64_t count, int64_t panel) {
    band_rows rows = find_band(a, &work->seen[panel], at, count);
    int64_t used = rows.to - rows.from, first = rows.first + rows.from, columns = panel * PANEL * s->D;
    const float *band = work->band + rows.from * PANEL;
    spread_diagonals(count, work->ds, work->band);
    product(s->D, PANEL, used, (operand){head_row(a->r, first, head, s->D), 1, a->r.stride}, band, PANEL,
            work->dp_t + columns, PANEL, true);
    product(used, s->padded, PANEL, (operand){band, PANEL, 1}, work->pos + panel * PANEL * s->padded, s->padded,
            work->dr, s->padded, false);
    for (int64_t t = 0; t < used; t++) {
        float *to = (float *)work->all_dr.data + (first + t) * work->all_dr.stride + head * s->D;
        const float *x = work->dr + t * s->padded;
        FOR_VECTORS(s->D) STORE(to, LOAD(to) + LOAD(x));
    }
}

static void backward_tile(const attend_bwd_args *a, const shape *s, const head_queries *work,
                          int64_t b, int64_t head, int64_t at, int64_t count, int64_t panel) {
    const visible *seen = &work->seen[panel];
    int64_t columns = panel * PANEL * s->D, rows = panel * PANEL * s->padded, P = s->padded;
    if (at >= seen->last || at + count <= seen->first) return;
    product(count, PANEL, s->D, (operand){work->k, P, 1}, work->q_t + columns, PANEL, work->p, PANEL, false);
    if (a->fwd.p.data) add_relative(&a->fwd, s, seen, head, at, count, work->p_t + columns, work->band, work->p);
    mask_scores(&a->fwd, s, seen, b, at, count, work->p);
    if (negligible(count, work->p, work->lse + panel * PANEL)) return;
    product(count, PANEL, s->D, (operand){work->v, P, 1}, work->do_t + columns, PANEL, work->ds, PANEL,
            false);
    backward_tile_lanes(count, work->lse + panel * PANEL, work->delta + panel * PANEL, work->p, work->ds);
    if (a->fwd.p.data) backward_relative(&a->fwd, s, work, head, at, count, panel);
    product(count, P, PANEL, (operand){work->p, PANEL, 1}, work->grad_o + rows, P, work->dv, P, true);
    product(count, P, PANEL, (operand){work->ds, PANEL, 1}, work->q + rows, P, work->dk, P, true);
    product(s->D, PANEL, count, (operand){work->k, 1, P}, work->ds, PANEL, work->dq_t + columns, PANEL, true);
}

/* The rows of dr, or of its parts, that a chunk of a sequence adds to; one head's columns of them become 0. */
static matrix clear_dr(const attend_bwd_args *a, const shape *s, int64_t b, int64_t head, int64_t chunk,
                       int64_t chunks) {
    int64_t rows = a->fwd.r.rows;
    matrix m = s->B * chunks == 1 ? a->dr : matrix_rows(a->partial_r, (b * chunks + chunk) * rows, rows);
    for (int64_t r = 0; r < rows; r++)
        memset((float *)m.data + r * m.stride + head * s->D, 0, (size_t)s->D * sizeof(float));
    return m;
}

static void backward_chunk(cpu_context *context, const attend_bwd_args *a, const shape *s,
                           int64_t b, int64_t head, int64_t chunk, int64_t chunks) {
    head_queries work = pack_head(context, a, s, b, head);
    if (!work.q_t) return;
    if (a->fwd.p.data) work.all_dr = clear_dr(a, s, b, head, chunk, chunks);
    int64_t to = chunk_begin(s, chunk + 1, chunks);
    for (int64_t at = chunk_begin(s, chunk, chunks); at < to; at += TILE) {
        int64_t count = smaller(TILE, to - at), key = b * s->M + at;
        pack_rows(a->fwd.k, s, key, count, head, 1, work.k);
        pack_rows(a->fwd.v, s, key, count, head, 1, work.v);
        memset(work.dk, 0, (size_t)(2 * TILE * s->padded) * sizeof *work.dk); /* dv lies behind it */
        for (int64_t p = 0; p < s->panels; p++) backward_tile(a, s, &work, b, head, at, count, p);
        store_rows(a->dk, key, count, head, s, work.dk, 1);
        store_rows(a->dv, key, count, head, s, work.dv, 1);
    }
    store_queries(a->dq, a->partial, a, s, work.dq_t, s->D, b, head, chunk, chunks);
    if (a->fwd.p.data) store_queries(a->dp, a->partial_p, a, s, work.dp_t, s->D, b, head, chunk, chunks);
}

static void attend_bwd(void *context, const attend_bwd_args *a) {
    shape s = shape_of(&a->fwd, VW);
    backward_chunks(context, a, &s, backward_chunk);
}

void SIMD_NAME(simd_attend_)(kernels *k) {
    k->attend_fwd = attend_fwd;
    k->attend_bwd = attend_bwd;
}
