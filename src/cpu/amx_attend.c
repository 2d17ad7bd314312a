/* Attention whose products take bf16, for `--precision bf16` on processors that multiply it: as simd_attend.c, with
 * queries in the lanes, softmax down the rows, and one micro-kernel for every product. Sums, softmax and what is stored
 * stay float32; rounded are q, k, v, dO, the probabilities and the gradients of scores.
 *
 * A left factor lies in rows, a right one in words of two rows (amx.h). Every operand is rounded once, as rows, as
 * words of pairs of rows, or as either transposed:
 *
 *   forward:    S^T = K Q^T        rows of K;             Q's rows as words, transposed
 *               O^T += V^T P^T     V's pairs transposed;  pairs of rows of P^T, made by the softmax
 *   backward:   S^T, and V dO^T    as above
 *               dV += P^T dO       rows of P^T;           pairs of rows of dO
 *               dK += dS^T Q       rows of dS^T;          pairs of rows of Q
 *               dQ^T += K^T dS^T   K's pairs transposed;  pairs of rows of dS^T
 *
 * Products cost so little then that exponentials are most of the time. Scores are in units of log 2, so that one is a
 * polynomial of degree three and a shift; its error is a twentieth of the rounding's. */
#include "cpu/amx.h"
#include "cpu/simd_attend.h"

enum { LEEWAY = 8 }; /* a maximum may be out of date by so many powers of two, which bf16 holds as well as any */

static const float LOG2_E = 1.44269504f, LOG_2 = 0.69314718f;
static const float NEGLIGIBLE = -40; /* tiles whose probabilities are all below 2^this of the largest are left out */
static const float LEAST = -66;      /* log2 of the least probability that is not 0 */

/* ------------------------------------------------------------------ the micro-kernel */

/* The left factor: rows `apart`, of DEPTH numbers each; the next DEPTH of every row are `onward`. */
typedef struct operand {
    const uint16_t *p;
    int64_t apart, onward;
} operand;

/* C [rows, lanes] (+)= A [rows, depth] B [depth, lanes], B in rows of words ldb apart; all three sizes are multiples of
 * DEPTH. Between tiles_begin and tiles_end. */
static void product(int64_t rows, int64_t lanes, int64_t depth, operand a, const uint32_t *b, int64_t ldb, float *c,
                    int64_t ldc, bool add) {
    for (int64_t r = 0; r < rows; r += BLOCK)
        for (int64_t l = 0; l < lanes; l += BLOCK)
            tiles_multiply(depth / DEPTH, (tiles){a.p + r * a.apart, 2 * a.apart, 2 * ROWS * a.apart, 2 * a.onward},
                           (tiles){b + l, 4 * ldb, 4 * ROWS, 4 * ROWS * ldb}, c + r * ldc + l, ldc, add);
}

/* ------------------------------------------------------------------ operands */

/* out [rows, padded] = rows [from, from + count) of one head, scaled and rounded; what is behind them and beside them
 * is 0. */
static void round_rows(matrix m, const shape *s, int64_t from, int64_t count, int64_t rows, int64_t head, float scale,
                       uint16_t *out) {
    int64_t bytes = s->D * (int64_t)dtype_bytes(m.type), ahead = rows * m.stride * (int64_t)dtype_bytes(m.type);
    for (int64_t r = 0; r < rows; r++, out += s->padded) {
        if (r >= count) {
            memset(out, 0, (size_t)s->padded * sizeof *out);
            continue;
        }
        const char *x = typed_row(&m, from + r, head, s->D);
        for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(x + ahead + i); /* what will be asked for next */
        vf factor = vf_set(scale * row_factor(&m, from + r));
        for (int64_t d = 0; d < s->padded; d += 2 * VW) {
            vf half[2] = {vf_set(0), vf_set(0)};
            for (int v = 0; v < 2; v++) {
                int64_t i = d + v * VW, lanes = smaller(s->D - i, VW);
                if (lanes > 0) half[v] = vf_load_type(m.type, x, i, lanes) * factor;
            }
            _mm512_storeu_si512(out + d, round_two(half[0], half[1]));
        }
    }
}

/* out [rows / 2, cols] words = the pairs of rows of x [rows, cols]. */
static void pair_rows(const uint16_t *x, int64_t rows, int64_t cols, uint32_t *out) {
    for (int64_t r = 0; r < rows; r += 2, x += 2 * cols, out += cols)
        for (int64_t c = 0; c < cols; c += 32)
            pair_up(_mm512_loadu_si512(x + c), _mm512_loadu_si512(x + cols + c), out + c, out + c + 16);
}

/* y [cols, rows] words = x [rows, cols] transposed; both multiples of 16. */
static void turn(const void *x, int64_t rows, int64_t cols, void *y) {
    const uint32_t *from = x;
    uint32_t *to = y;
    for (int64_t r = 0; r < rows; r += 16)
        for (int64_t c = 0; c < cols; c += 16) turn_block(from + r * cols + c, cols, to + c * rows + r, rows);
}

/* ------------------------------------------------------------------ softmax */

/* 2^x to 7.5e-5 of it; 0 below LEAST, NaN stays NaN. */
static inline vf exp2_rounded(vf x) {
    vf n = vf_round(x), r = x - n;
    vf p = vf_fma(vf_set(0.055171434f), r, vf_set(0.24261081f)); /* minimax on |r| <= 1/2 */
    p = vf_fma(p, r, vf_set(0.69326097f));
    p = vf_fma(p, r, vf_set(0.99992812f));
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, vf_set(LEAST), _CMP_NLE_UQ), p, n);
}

/* Can a score of st [count, PANEL] matter beside `most` [PANEL]? Not-a-numbers do. `top` [PANEL] grows with
 * them. */
static bool scores_matter(int64_t count, const float *st, const float *most, float *top) {
    __mmask16 any = 0;
    for (int h = 0; h < PANEL; h += VW) {
        vf limit = vf_load(most + h) + vf_set(NEGLIGIBLE), largest = vf_load(top + h);
        for (int64_t j = 0; j < count; j++) {
            vf x = vf_load(st + j * PANEL + h);
            largest = vf_max(x, largest);
            any |= _mm512_cmp_ps_mask(x, limit, _CMP_NLE_UQ);
        }
        vf_store(top + h, largest);
    }
    return any != 0;
}

/* Keys behind the last of a tile, up to whole units of depth, are seen by nobody. */
static void fill_tile(int64_t count, float *st) {
    for (int64_t i = count * PANEL; i % (DEPTH * PANEL); i += VW) vf_store(st + i, vf_set(-INFINITY));
}

/* The running maximum moves up to `top`, with sums and o_t [D, PANEL] scaled to it. */
static void raise_maximum(panel_state *p, const float *top, float *o_t, int64_t D) {
    for (int h = 0; h < PANEL; h += VW) {
        vf alpha = vf_exp((vf_load(p->largest + h) - vf_load(top + h)) * vf_set(LOG_2));
        vf_store(p->largest + h, vf_load(top + h));
        vf_store(p->sum + h, vf_load(p->sum + h) * alpha);
        for (int64_t d = 0; d < D; d++) vf_store(o_t + d * PANEL + h, vf_load(o_t + d * PANEL + h) * alpha);
    }
}

/* pairs [count / 2, PANEL] = the probabilities of st [count, PANEL], rounded; their sums are added up. */
static void softmax_tile(panel_state *p, int64_t count, const float *st, uint32_t *pairs) {
    vf base[2], sum[2];
    for (int v = 0; v < 2; v++) {
        base[v] = vf_load(p->largest + v * VW);
        sum[v] = vf_load(p->sum + v * VW);
    }
    for (int64_t j = 0; j < count; j += 2, st += 2 * PANEL, pairs += PANEL) {
        vf e[2][2];
        for (int r = 0; r < 2; r++)
            for (int v = 0; v < 2; v++) {
                e[r][v] = exp2_rounded(vf_load(st + r * PANEL + v * VW) - base[v]);
                sum[v] = sum[v] + e[r][v];
            }
        pair_up(round_two(e[0][0], e[0][1]), round_two(e[1][0], e[1][1]), pairs, pairs + VW);
    }
    for (int v = 0; v < 2; v++) vf_store(p->sum + v * VW, sum[v]);
}

/* ------------------------------------------------------------------ forward */

/* What a block of panels of one head needs. W is the padded width of a head. */
typedef struct forward_work {
    float *o_t;           /* [BLOCK_PANELS][W, PANEL] */
    float *st[2];         /* of a panel and the next, [TILE, PANEL] */
    uint32_t *pairs[2];   /* likewise, [TILE / 2, max(W, PANEL)] */
    uint32_t *q_t;        /* [BLOCK_PANELS][W / 2, PANEL] */
    uint16_t *rows;       /* [TILE, W] */
    uint16_t *k, *v_t;    /* [TILE, W], [W, TILE] */
    panel_state state[BLOCK_PANELS];
} forward_work;

/* `bytes` from *at on, which moves on to the next line. */
static void *take(char **at, int64_t bytes) {
    void *taken = *at;
    *at += (bytes + 63) / 64 * 64;
    return taken;
}

static forward_work forward_scratch(cpu_context *context, const shape *s) {
    int64_t W = s->padded, widest = W > PANEL ? W : PANEL;
    char *at = cpu_scratch(context, (size_t)(BLOCK_PANELS * W * PANEL * 6 + 2 * TILE * PANEL * 4 +
                                             2 * TILE * widest * 2 + 3 * TILE * W * 2));
    forward_work work = {0};
    if (!at) return work;
    work.o_t = take(&at, BLOCK_PANELS * W * PANEL * 4);
    for (int i = 0; i < 2; i++) {
        work.st[i] = take(&at, TILE * PANEL * 4);
        work.pairs[i] = take(&at, TILE * widest * 2);
    }
    work.q_t = take(&at, BLOCK_PANELS * W * PANEL * 2);
    work.rows = take(&at, TILE * W * 2);
    work.k = take(&at, TILE * W * 2);
    work.v_t = take(&at, TILE * W * 2);
    return work;
}

/* Does any key of a tile matter to a panel? Its scores are there, unmasked; the maximum moves up where it has to. */
static bool forward_matters(const attend_args *a, const shape *s, forward_work *work, int64_t b, int64_t at,
                            int64_t count, int64_t panel) {
    panel_state *p = &work->state[panel];
    float top[PANEL], *st = work->st[panel % 2];
    if (at >= p->seen.last || at + count <= p->seen.first) return false;
    mask_scores(a, s, &p->seen, b, at, count, st);
    memcpy(top, p->largest, sizeof top);
    if (!scores_matter(count, st, p->largest, top)) return false;
    vf rise = vf_max(vf_load(top) - vf_load(p->largest), vf_load(top + VW) - vf_load(p->largest + VW));
    if (vf_largest(rise) > LEEWAY) raise_maximum(p, top, work->o_t + panel * s->padded * PANEL, s->D);
    return true;
}

/* Of a panel of a block, where it sees any key of the tile. */
static void forward_scores(const shape *s, const forward_work *work, int64_t at, int64_t count, int64_t panel) {
    const visible *seen = &work->state[panel].seen;
    int64_t W = s->padded;
    if (at >= seen->last || at + count <= seen->first) return;
    product(TILE, PANEL, W, (operand){work->k, W, DEPTH}, work->q_t + panel * W / 2 * PANEL, PANEL, work->st[panel % 2],
            PANEL, false);
}

/* Adds what a panel gets from the tile; panel -1: nothing. */
static void forward_output(const shape *s, const forward_work *work, int64_t filled, int64_t panel) {
    int64_t W = s->padded;
    if (panel >= 0)
        product(W, PANEL, filled, (operand){work->v_t, TILE, DEPTH}, work->pairs[panel % 2], PANEL,
                work->o_t + panel * W * PANEL, PANEL, true);
}

/* All panels of a block and a tile of keys. Between what is stored and the product that reads it stands another panel's
 * product, so that none waits for what was only just stored. */
static void forward_tile(const attend_args *a, const shape *s, forward_work *work, int64_t b, int64_t at, int64_t count,
                         int64_t panels) {
    int64_t filled = (count + DEPTH - 1) / DEPTH * DEPTH, made = -1; /* the panel whose pairs are there */
    forward_scores(s, work, at, count, 0);
    for (int64_t p = 0; p < panels; p++) {
        if (p + 1 < panels) forward_scores(s, work, at, count, p + 1);
        bool matters = forward_matters(a, s, work, b, at, count, p);
        forward_output(s, work, filled, made);
        made = matters ? p : -1;
        if (!matters) continue;
        fill_tile(count, work->st[p % 2]);
        softmax_tile(&work->state[p], filled, work->st[p % 2], work->pairs[p % 2]);
    }
    forward_output(s, work, filled, made);
}

static void forward_block(cpu_context *context, const attend_args *a, const shape *s, int64_t b, int64_t head,
                          int64_t first_panel) {
    int64_t panels = smaller(BLOCK_PANELS, s->panels - first_panel), W = s->padded;
    forward_work work = forward_scratch(context, s);
    if (!work.o_t) return;
    int64_t from = INT32_MAX, to = 0;
    tiles_begin();
    for (int64_t p = 0; p < panels; p++) {
        panel_state *state = &work.state[p];
        int64_t query = (first_panel + p) * PANEL;
        for (int i = 0; i < PANEL; i++) state->largest[i] = NOTHING;
        find_visible(a, s, b, first_panel + p, &state->seen);
        round_rows(a->q, s, b * s->N + query, s->N - query, PANEL, head, a->scale * LOG2_E, work.rows);
        turn(work.rows, PANEL, W / 2, work.q_t + p * W / 2 * PANEL);
        from = smaller(from, state->seen.first);
        if (state->seen.last > to) to = state->seen.last;
    }
    memset(work.o_t, 0, (size_t)(panels * W * PANEL) * sizeof *work.o_t);
    for (int64_t at = from / TILE * TILE; at < to; at += TILE) {
        int64_t count = smaller(TILE, to - at), key = first_key(a, s, b) + at;
        round_rows(a->k, s, key, count, TILE, head, 1, work.k);
        round_rows(a->v, s, key, count, TILE, head, 1, work.rows);
        pair_rows(work.rows, TILE, W, work.pairs[0]);
        turn(work.pairs[0], TILE / 2, W, work.v_t);
        forward_tile(a, s, &work, b, at, count, panels);
    }
    tiles_end();
    for (int64_t p = 0; p < panels; p++)
        store_panel(a, s, b, head, first_panel + p, &work.state[p], work.o_t + p * W * PANEL, LOG_2);
}

static void attend_fwd(void *context, const attend_args *a) {
    cpu_context *c = context;
    shape s = shape_of(a, DEPTH);
    if (s.N <= FEW || a->p.data) c->attend_fwd(context, a);
    else forward_blocks(c, a, &s, forward_block);
}

/* ------------------------------------------------------------------ backward */

/* What a chunk of keys of one head needs; everything about queries is packed once. */
typedef struct backward_work {
    uint32_t *q_t, *do_t;         /* [panels][W / 2, PANEL], q scaled */
    uint32_t *q_pairs, *do_pairs; /* [panels][PANEL / 2, W], q scaled */
    float *dq_t;                  /* [panels][W, PANEL], of this chunk */
    float *lse, *delta;           /* [panels PANEL], lse in units of log 2 */
    visible *seen;                /* [panels] */
    uint16_t *k, *v, *k_t;        /* one tile, [TILE, W], and [W, TILE] */
    uint16_t *rows;               /* [TILE, W] */
    float *dk, *dv;               /* [TILE, W] */
    float *st[2], *ds;            /* of a panel and the next; of a panel: [TILE, PANEL] */
    uint32_t *pairs[2];           /* of a panel and the next, [TILE / 2, max(W, PANEL)] */
    uint16_t *p_rows, *ds_rows;   /* of a block of panels, [BLOCK_PANELS][TILE, PANEL] */
} backward_work;

static backward_work backward_scratch(cpu_context *context, const shape *s) {
    int64_t W = s->padded, lanes = s->panels * PANEL, widest = W > PANEL ? W : PANEL;
    backward_work work = {0};
    struct {
        void *at;
        int64_t bytes;
    } part[] = {{&work.q_t, lanes * W * 2},        {&work.do_t, lanes * W * 2},      {&work.q_pairs, lanes * W * 2},
                {&work.do_pairs, lanes * W * 2},   {&work.dq_t, lanes * W * 4},      {&work.lse, lanes * 4},
                {&work.delta, lanes * 4},          {&work.k, TILE * W * 2},          {&work.v, TILE * W * 2},
                {&work.k_t, TILE * W * 2},         {&work.rows, TILE * W * 2},       {&work.dk, TILE * W * 4},
                {&work.dv, TILE * W * 4},          {&work.st[0], TILE * PANEL * 4},  {&work.st[1], TILE * PANEL * 4},
                {&work.ds, TILE * PANEL * 4},
                {&work.p_rows, BLOCK_PANELS * TILE * PANEL * 2}, {&work.ds_rows, BLOCK_PANELS * TILE * PANEL * 2},
                {&work.pairs[0], TILE * widest * 2}, {&work.pairs[1], TILE * widest * 2},
                {&work.seen, s->panels * (int64_t)sizeof(visible)}};
    int64_t bytes = 0, parts = sizeof part / sizeof *part;
    for (int i = 0; i < parts; i++) bytes += (part[i].bytes + 63) / 64 * 64;
    char *at = cpu_scratch(context, (size_t)bytes);
    for (int i = 0; i < parts && at; i++) {
        void *taken = take(&at, part[i].bytes);
        memcpy(part[i].at, &taken, sizeof taken);
    }
    return work;
}

static backward_work pack_head(cpu_context *context, const attend_bwd_args *a, const shape *s, int64_t b,
                               int64_t head) {
    backward_work work = backward_scratch(context, s);
    if (!work.q_t) return work;
    const attend_args *f = &a->fwd;
    int64_t W = s->padded;
    for (int64_t p = 0; p < s->panels; p++) {
        int64_t query = p * PANEL, words = p * PANEL * W / 2;
        find_visible(f, s, b, p, &work.seen[p]);
        round_rows(f->q, s, b * s->N + query, s->N - query, PANEL, head, f->scale * LOG2_E, work.rows);
        turn(work.rows, PANEL, W / 2, work.q_t + words);
        pair_rows(work.rows, PANEL, W, work.q_pairs + words);
        round_rows(a->grad_o, s, b * s->N + query, s->N - query, PANEL, head, 1, work.rows);
        turn(work.rows, PANEL, W / 2, work.do_t + words);
        pair_rows(work.rows, PANEL, W, work.do_pairs + words);
    }
    for (int64_t n = 0; n < s->panels * PANEL; n++) {
        int64_t r = b * s->N + n;
        work.lse[n] = n < s->N ? LOG2_E * ((const float *)f->lse.data)[r * f->lse.stride + head] : INFINITY;
        work.delta[n] = n < s->N ? ((const float *)a->delta.data)[r * a->delta.stride + head] : 0;
    }
    memset(work.dq_t, 0, (size_t)(s->panels * PANEL * W) * sizeof *work.dq_t);
    return work;
}

/* Scores st and products ds with dO, [count, PANEL], become probabilities and gradients of scores, as rows and, the
 * latter, as pairs too. */
static void backward_lanes(int64_t count, const float *lse, const float *delta, const float *st, const float *dp,
                           uint16_t *p_rows, uint16_t *ds_rows, uint32_t *pairs) {
    vf l[2], d[2];
    for (int v = 0; v < 2; v++) {
        l[v] = vf_load(lse + v * VW);
        d[v] = vf_load(delta + v * VW);
    }
    for (int64_t j = 0; j < count; j += 2, pairs += PANEL) {
        __m512i ds_row[2];
        for (int64_t r = 0; r < 2; r++, st += PANEL, dp += PANEL, p_rows += PANEL, ds_rows += PANEL) {
            vf p[2], ds[2];
            for (int v = 0; v < 2; v++) {
                p[v] = exp2_rounded(vf_load(st + v * VW) - l[v]);
                ds[v] = p[v] * (vf_load(dp + v * VW) - d[v]);
            }
            ds_row[r] = round_two(ds[0], ds[1]);
            _mm512_storeu_si512(p_rows, round_two(p[0], p[1]));
            _mm512_storeu_si512(ds_rows, ds_row[r]);
        }
        pair_up(ds_row[0], ds_row[1], pairs, pairs + VW);
    }
}

/* Does any key of a tile matter to a panel? Its scores st are there, unmasked. */
static bool backward_matters(const attend_bwd_args *a, const shape *s, const backward_work *work, int64_t b, int64_t at,
                             int64_t count, int64_t panel, float *st) {
    const visible *seen = &work->seen[panel];
    float unused[PANEL] = {0};
    if (at >= seen->last || at + count <= seen->first) return false;
    mask_scores(&a->fwd, s, seen, b, at, count, st);
    return scores_matter(count, st, work->lse + panel * PANEL, unused);
}

/* Of a panel, where it sees any key of the tile. */
static void backward_scores(const shape *s, const backward_work *work, int64_t at, int64_t count, int64_t panel) {
    const visible *seen = &work->seen[panel];
    int64_t W = s->padded;
    if (at >= seen->last || at + count <= seen->first) return;
    product(TILE, PANEL, W, (operand){work->k, W, DEPTH}, work->q_t + panel * PANEL * W / 2, PANEL, work->st[panel % 2],
            PANEL, false);
}

/* Adds the tile's share of a panel's gradient of queries; panel -1: nothing. */
static void backward_queries(const shape *s, const backward_work *work, int64_t filled, int64_t panel) {
    int64_t W = s->padded;
    if (panel >= 0)
        product(W, PANEL, filled, (operand){work->k_t, TILE, DEPTH}, work->pairs[panel % 2], PANEL,
                work->dq_t + panel * PANEL * W, PANEL, true);
}

/* Panels [first, last) and a tile of keys, with products apart as in the forward pass. dK and dV take the rows of all
 * panels in one product each, whose sums stay in registers. */
static void backward_tile(const attend_bwd_args *a, const shape *s, const backward_work *work, int64_t b, int64_t at,
                          int64_t count, int64_t first, int64_t last) {
    int64_t W = s->padded, size = TILE * PANEL, words = PANEL * W / 2, filled = (count + DEPTH - 1) / DEPTH * DEPTH;
    int64_t from = last, to = last, made = -1; /* panels that matter lie in [from, to) */
    backward_scores(s, work, at, count, first);
    for (int64_t p = first; p < last; p++) {
        float *st = work->st[p % 2];
        uint16_t *p_rows = work->p_rows + (p - first) * size, *ds_rows = work->ds_rows + (p - first) * size;
        if (p + 1 < last) backward_scores(s, work, at, count, p + 1);
        bool matters = backward_matters(a, s, work, b, at, count, p, st);
        if (matters)
            product(filled, PANEL, W, (operand){work->v, W, DEPTH}, work->do_t + p * words, PANEL, work->ds, PANEL,
                    false);
        backward_queries(s, work, filled, made);
        made = matters ? p : -1;
        if (matters) {
            fill_tile(count, st);
            backward_lanes(filled, work->lse + p * PANEL, work->delta + p * PANEL, st, work->ds, p_rows, ds_rows,
                           work->pairs[p % 2]);
            from = smaller(from, p);
            to = p + 1;
        } else if (from < p) {
            memset(p_rows, 0, (size_t)size * sizeof *p_rows);
            memset(ds_rows, 0, (size_t)size * sizeof *ds_rows);
        }
    }
    backward_queries(s, work, filled, made);
    if (from == last) return;
    product(filled, W, (to - from) * PANEL, (operand){work->p_rows + (from - first) * size, PANEL, size},
            work->do_pairs + from * words, W, work->dv, W, true);
    product(filled, W, (to - from) * PANEL, (operand){work->ds_rows + (from - first) * size, PANEL, size},
            work->q_pairs + from * words, W, work->dk, W, true);
}

static void backward_chunk(cpu_context *context, const attend_bwd_args *a, const shape *s, int64_t b, int64_t head,
                           int64_t chunk, int64_t chunks) {
    backward_work work = pack_head(context, a, s, b, head);
    if (!work.q_t) return;
    int64_t to = chunk_begin(s, chunk + 1, chunks), W = s->padded;
    tiles_begin();
    for (int64_t at = chunk_begin(s, chunk, chunks); at < to; at += TILE) {
        int64_t count = smaller(TILE, to - at), key = b * s->M + at;
        round_rows(a->fwd.k, s, key, count, TILE, head, 1, work.k);
        round_rows(a->fwd.v, s, key, count, TILE, head, 1, work.v);
        pair_rows(work.k, TILE, W, work.pairs[0]);
        turn(work.pairs[0], TILE / 2, W, work.k_t);
        memset(work.dk, 0, (size_t)(TILE * W) * sizeof *work.dk);
        memset(work.dv, 0, (size_t)(TILE * W) * sizeof *work.dv);
        for (int64_t p = 0; p < s->panels; p += BLOCK_PANELS)
            backward_tile(a, s, &work, b, at, count, p, smaller(p + BLOCK_PANELS, s->panels));
        store_rows(a->dk, key, count, head, s, work.dk, LOG_2); /* its queries were scaled by log2 e */
        store_rows(a->dv, key, count, head, s, work.dv, 1);
    }
    tiles_end();
    store_queries(a->dq, a->partial, a, s, work.dq_t, W, b, head, chunk, chunks);
}

static void attend_bwd(void *context, const attend_bwd_args *a) {
    cpu_context *c = context;
    shape s = shape_of(&a->fwd, DEPTH);
    if (a->fwd.p.data) c->attend_bwd(context, a);
    else backward_chunks(c, a, &s, backward_chunk);
}

void amx_kernels(cpu_context *c, kernels *k) {
    c->attend_fwd = k->attend_fwd;
    c->attend_bwd = k->attend_bwd;
    k->attend_fwd = attend_fwd;
    k->attend_bwd = attend_bwd;
}
