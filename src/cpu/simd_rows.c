/* Kernels that run over rows: norms, activations, sums, gathers, embeddings, the loss. All of them
 * are bound by memory, so the aim is to touch each cache line once.
 *
 * Sums over rows are cut by shape alone (fixed parts, or blocks of columns), never by thread. */
#include "cpu/kernels_cpu.h"
#include "cpu/simd.h"

#include <math.h>

enum { COLUMN_BLOCK = 64 };

static int32_t int_at(matrix m, int64_t r) { return ((const int32_t *)m.data)[r * m.stride]; }

/* Column block `b` of a row of n: its start, and its size in *size. */
static int64_t block_start(int64_t b, int64_t n, int64_t *size) {
    int64_t start = b * COLUMN_BLOCK;
    *size = n - start < COLUMN_BLOCK ? n - start : COLUMN_BLOCK;
    return start;
}

static int64_t block_count(int64_t n) { return (n + COLUMN_BLOCK - 1) / COLUMN_BLOCK; }

/* ------------------------------------------------------------------ copies and sums */

static void fill(void *context, const fill_args *a) {
    vf value = vf_set(a->value);
    PARALLEL(context)
    for (int64_t b = 0; b < a->y.rows * block_count(a->y.cols); b++) {
        int64_t n, start = block_start(b % block_count(a->y.cols), a->y.cols, &n);
        float *y = row(a->y, b / block_count(a->y.cols)) + start;
        FOR_VECTORS(n) STORE(y, value);
    }
}

static void store_i8(matrix y, int64_t r, const float *x) {
    int8_t *to = (int8_t *)y.data + r * y.stride;
    float largest = 0;
    for (int64_t i = 0; i < y.cols; i++) largest = fmaxf(largest, fabsf(x[i]));
    float factor = largest / 127, inverse = largest > 0 ? 127 / largest : 0;
    for (int64_t i = 0; i < y.cols; i++) to[i] = (int8_t)rintf(x[i] * inverse);
    memcpy(to + y.stride - 4, &factor, sizeof factor);
}

static void store_bf16(matrix y, int64_t r, const float *x) {
    uint16_t *to = (uint16_t *)y.data + r * y.stride;
    for (int64_t i = 0; i < y.cols; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        uint32_t rounded = bits + 0x7FFFu + (bits >> 16 & 1); /* to nearest, ties to even */
        to[i] = (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC0u : rounded >> 16);
    }
}

/* One row that changes its type, or keeps a packed one. */
static void convert_row(matrix y, matrix x) {
    if (y.type == x.type) memcpy(y.data, x.data, (size_t)(y.type == I8 ? y.stride : y.cols) * dtype_bytes(y.type));
    else if (y.type == BF16) store_bf16(y, 0, row(x, 0));
    else if (y.type == I8) store_i8(y, 0, row(x, 0));
    else {
        vf factor = vf_set(row_factor(&x, 0));
        FOR_VECTORS(y.cols) STORE(row(y, 0), vf_load_type(x.type, x.data, i, lanes) * factor);
    }
}

static void copy(void *context, const copy_args *a) {
    bool convert = a->y.type != F32 || a->x.type != F32;
    PARALLEL(context)
    for (int64_t r = 0; r < a->x.rows; r++) {
        int64_t at = a->index.data ? int_at(a->index, r) : r;
        if (at < 0) continue;
        matrix to = matrix_rows(a->y, at, 1), from = matrix_rows(a->x, r, 1);
        float *y = row(to, 0);
        const float *x = row(from, 0);
        if (convert) convert_row(to, from);
        else if (a->beta == 0) memcpy(y, x, (size_t)to.cols * sizeof *y);
        else FOR_VECTORS(to.cols) STORE(y, vf_fma(LOAD(y), vf_set(a->beta), LOAD(x)));
    }
}

static void column_sum(void *context, const column_sum_args *a) {
    PARALLEL(context)
    for (int64_t b = 0; b < block_count(a->y.cols); b++) {
        int64_t n, start = block_start(b, a->y.cols, &n);
        float sum[COLUMN_BLOCK] = {0}, *y = row(a->y, 0) + start;
        for (int64_t r = 0; r < a->x.rows; r++) {
            const float *x = row(a->x, r) + start;
            FOR_VECTORS(n) STORE(sum, LOAD(sum) + LOAD(x));
        }
        FOR_VECTORS(n) STORE(y, a->beta == 0 ? LOAD(sum) : vf_fma(LOAD(y), vf_set(a->beta), LOAD(sum)));
    }
}

static void masked_row(const dropout_args *a, int64_t r) {
    float *y = row(a->y, r);
    const float *z = row(a->a, r), *x = a->x.data ? row(a->x, r) : NULL;
    for (int64_t c = 0; c < a->y.cols; c++) {
        float old = a->beta == 0 ? 0 : a->beta * y[c];
        float kept = z[c] * dropout_factor(a, (uint64_t)(r * a->y.cols + c));
        y[c] = old + (x ? x[c] : 0) + kept;
    }
}

static void add_row(const dropout_args *a, int64_t r) {
    if (a->p > 0 || a->beta != 0 || !a->x.data) {
        masked_row(a, r);
        return;
    }
    float *y = row(a->y, r);
    const float *x = row(a->x, r), *z = row(a->a, r);
    FOR_VECTORS(a->y.cols) STORE(y, LOAD(x) + LOAD(z));
}

static void dropout(void *context, const dropout_args *a) {
    PARALLEL(context)
    for (int64_t r = 0; r < a->y.rows; r++) add_row(a, r);
}

/* ------------------------------------------------------------------ embedding */

/* Adds columns [0, half) of the sines and cosines of one position to y. */
static void add_harmonic(const embed_args *a, int64_t p, float *y) {
    int64_t half = a->y.cols / 2;
    const float *low = row(a->low, p % HARMONIC_BLOCK), *high = row(a->high, p / HARMONIC_BLOCK);
    FOR_VECTORS(half) {
        vf s1 = LOAD(low), c1 = LOAD(low + half), s2 = LOAD(high), c2 = LOAD(high + half);
        STORE(y, LOAD(y) + vf_fma(s2, c1, c2 * s1));
        STORE(y + half, LOAD(y + half) + (c2 * c1 - s2 * s1));
    }
}

static void embed_row(const embed_args *a, int64_t r) {
    float *y = row(a->y, r);
    int32_t first = a->tables ? int_at(a->ids[0], r) : -1;
    if (first < 0) memset(y, 0, (size_t)a->y.cols * sizeof *y);
    else memcpy(y, row(a->table[0], first), (size_t)a->y.cols * sizeof *y);
    for (int t = 1; t < a->tables; t++) {
        int32_t id = int_at(a->ids[t], r);
        if (id < 0) continue;
        const float *x = row(a->table[t], id);
        FOR_VECTORS(a->y.cols) STORE(y, LOAD(y) + LOAD(x));
    }
    if (a->positions.data) add_harmonic(a, int_at(a->positions, r), y);
}

static void embed_fwd(void *context, const embed_args *a) {
    PARALLEL(context)
    for (int64_t r = 0; r < a->y.rows; r++) embed_row(a, r);
}

/* Each thread owns blocks of columns and walks all rows in order: no races, one order of sums. */
static void scatter_add(void *context, matrix to, matrix from, matrix index) {
    PARALLEL(context)
    for (int64_t b = 0; b < block_count(from.cols); b++) {
        int64_t n, start = block_start(b, from.cols, &n);
        for (int64_t r = 0; r < from.rows; r++) {
            int32_t id = int_at(index, r);
            if (id < 0) continue;
            float *y = row(to, id) + start;
            const float *x = row(from, r) + start;
            FOR_VECTORS(n) STORE(y, LOAD(y) + LOAD(x));
        }
    }
}

static void embed_bwd(void *context, const embed_args *a) {
    for (int t = 0; t < a->tables; t++)
        if (a->table[t].data) scatter_add(context, a->table[t], a->y, a->ids[t]);
}

static void gather_fwd(void *context, const gather_args *a) {
    size_t bytes = (size_t)a->y.cols * sizeof(float);
    PARALLEL(context)
    for (int64_t r = 0; r < a->y.rows; r++) {
        int32_t from = int_at(a->index, r);
        if (from < 0) memset(row(a->y, r), 0, bytes);
        else memcpy(row(a->y, r), row(a->x, from), bytes);
    }
}

static void gather_bwd(void *context, const gather_bwd_args *a) {
    if (a->beta == 0) fill(context, &(fill_args){.y = a->dx});
    scatter_add(context, a->dx, a->dy, a->index);
}

/* ------------------------------------------------------------------ norms */

static int set_of(matrix set, int64_t r) { return set.data ? int_at(set, r) : 0; }

static void norm_row(const norm_args *a, int64_t r) {
    int64_t n = a->x.cols;
    int set = set_of(a->set, r);
    if (a->sum.y.data) add_row(&a->sum, r);
    const float *x = row(a->x, r), *w = row(a->w[set], 0);
    const float *b = a->b[set].data ? row(a->b[set], 0) : NULL;
    float *y = row(a->y, r), mean = 0;
    vf sum = vf_set(0), squares = vf_set(0);
    if (!a->rms) {
        FOR_VECTORS(n) sum = sum + LOAD(x);
        mean = vf_sum(sum) / (float)n;
    }
    vf m = vf_set(mean);
    FOR_VECTORS(n) {
        vf d = LOAD(x) - m;
        if (lanes < VW) { /* unused lanes hold -mean */
            float part[VW] = {0};
            vf_store_n(part, d, (int)lanes);
            d = vf_load(part);
        }
        squares = vf_fma(d, d, squares);
    }
    float rstd = 1 / sqrtf(vf_sum(squares) / (float)n + a->epsilon);
    FOR_VECTORS(n) {
        vf xh = (LOAD(x) - m) * vf_set(rstd);
        vf shift = vf_set(0);
        if (b) shift = LOAD(b);
        STORE(y, vf_fma(xh, LOAD(w), shift));
    }
    row(a->stats, r)[0] = mean;
    row(a->stats, r)[1] = rstd;
}

static void norm_fwd(void *context, const norm_args *a) {
    PARALLEL(context)
    for (int64_t r = 0; r < a->x.rows; r++) norm_row(a, r);
}

/* One row of dx, and its share of dw and db added to sums[0..2C). */
static void norm_bwd_row(const norm_bwd_args *a, int64_t r, float *sums) {
    int64_t n = a->x.cols;
    const float *x = row(a->x, r), *dy = row(a->dy, r), *stats = row(a->stats, r);
    const float *w = row(a->w[set_of(a->set, r)], 0);
    float *dw = sums, *db = sums + n;
    vf mean = vf_set(stats[0]), rstd = vf_set(stats[1]), g_sum = vf_set(0), gx_sum = vf_set(0);
    FOR_VECTORS(n) {
        vf d = LOAD(dy), xh = (LOAD(x) - mean) * rstd, g = d * LOAD(w); /* 0 in unused lanes */
        g_sum = g_sum + g;
        gx_sum = vf_fma(g, xh, gx_sum);
        STORE(dw, vf_fma(d, xh, LOAD(dw)));
        STORE(db, LOAD(db) + d);
    }
    if (!a->dx.data) return;
    float *dx = row(a->dx, r);
    vf mean_g = vf_set(a->rms ? 0 : vf_sum(g_sum) / (float)n);
    vf mean_gx = vf_set(vf_sum(gx_sum) / (float)n);
    FOR_VECTORS(n) {
        vf xh = (LOAD(x) - mean) * rstd;
        vf d = rstd * (LOAD(dy) * LOAD(w) - mean_g - xh * mean_gx);
        if (a->beta != 0) d = d + LOAD(dx);
        STORE(dx, d);
    }
}

/* dw (or db) of one set from the partial sums; column `offset` of them. */
static void norm_reduce(void *context, const norm_bwd_args *a, matrix out, float beta,
                        int64_t offset) {
    if (!out.data) return;
    matrix part = matrix_columns(a->partial, offset, out.cols);
    column_sum(context, &(column_sum_args){.y = out, .x = part, .beta = beta});
}

static void norm_bwd(void *context, const norm_bwd_args *a) {
    int64_t n = a->x.cols, rows = a->x.rows, parts = a->partial.rows;
    PARALLEL(context)
    for (int64_t p = 0; p < parts; p++) {
        float *sums = row(a->partial, p);
        memset(sums, 0, (size_t)(4 * n) * sizeof *sums);
        for (int64_t r = rows * p / parts; r < rows * (p + 1) / parts; r++)
            norm_bwd_row(a, r, sums + 2 * n * set_of(a->set, r));
    }
    for (int s = 0; s < 2; s++) {
        norm_reduce(context, a, a->dw[s], a->beta_w[s], 2 * n * s);
        norm_reduce(context, a, a->db[s], a->beta_w[s], 2 * n * s + n);
    }
}

/* ------------------------------------------------------------------ activations */

static vf vf_sigmoid(vf x) { return vf_set(1) / (vf_set(1) + vf_exp(vf_set(0) - x)); }

static vf vf_tanh(vf x) { return vf_set(1) - vf_set(2) / (vf_exp(x + x) + vf_set(1)); }

/* Phi(x), the normal distribution function, to 1e-7 (Abramowitz and Stegun 7.1.26), and its density
 * exp(-x^2/2) / sqrt(2 pi) in *density. */
static vf vf_normal(vf x, vf *density) {
    vf a = vf_max(x, vf_set(0) - x) * vf_set(0.70710678f);
    vf e = vf_exp(vf_set(0) - a * a);
    vf t = vf_set(1) / vf_fma(a, vf_set(0.3275911f), vf_set(1));
    vf p = vf_set(1.061405429f);
    p = vf_fma(p, t, vf_set(-1.453152027f));
    p = vf_fma(p, t, vf_set(1.421413741f));
    p = vf_fma(p, t, vf_set(-0.284496736f));
    p = vf_fma(p, t, vf_set(0.254829592f));
    vf tail = vf_set(0.5f) * p * t * e; /* 1 - Phi(|x|) */
    *density = e * vf_set(0.39894228f);
    return vf_select(vf_greater(x, vf_set(0)), vf_set(1) - tail, tail);
}

static vf gelu_tanh_inner(vf x) {
    return vf_set(0.79788456f) * vf_fma(vf_set(0.044715f) * x * x, x, x);
}

/* f(x), and f'(x) in *slope. */
static inline vf activation_value(activation kind, vf x, vf *slope) {
    vf one = vf_set(1), zero = vf_set(0), positive = vf_max(x, zero), half = vf_set(0.5f);
    switch (kind) {
    case SQUARED_RELU: *slope = positive + positive; return positive * positive;
    case RELU: *slope = vf_select(vf_greater(x, zero), one, zero); return positive;
    case GELU: {
        vf density, phi = vf_normal(x, &density);
        *slope = vf_fma(x, density, phi);
        return x * phi;
    }
    case SWIGLU: {
        vf s = vf_sigmoid(x);
        *slope = s * vf_fma(x, one - s, one);
        return x * s;
    }
    default: {
        vf t = vf_tanh(gelu_tanh_inner(x));
        vf inner = vf_set(0.79788456f) * vf_fma(vf_set(0.134145f) * x, x, one);
        *slope = half * (one + t) + half * x * (one - t * t) * inner;
        return half * x * (one + t);
    }
    }
}

static inline void activate_row(const activate_args *a, activation kind, int64_t r) {
    bool gated = kind == SWIGLU || kind == GEGLU;
    float *y = row(a->y, r);
    const float *x = row(a->x, r), *gate = x + a->y.cols;
    FOR_VECTORS(a->y.cols) {
        vf slope, f = activation_value(kind, LOAD(x), &slope);
        if (gated) f = f * LOAD(gate);
        STORE(y, f);
    }
}

static inline void activate_bwd_row(const activate_bwd_args *a, activation kind, int64_t r) {
    bool gated = kind == SWIGLU || kind == GEGLU;
    int64_t n = a->dy.cols;
    float *dx = row(a->dx, r);
    const float *x = row(a->x, r), *dy = row(a->dy, r);
    FOR_VECTORS(n) {
        vf slope, f = activation_value(kind, LOAD(x), &slope), d = LOAD(dy);
        if (gated) {
            STORE(dx + n, d * f);
            d = d * LOAD(x + n);
        }
        STORE(dx, d * slope);
    }
}

/* One loop per kind, so that the switch on it is outside. */
#define EACH_KIND(DO) DO(SQUARED_RELU) DO(GELU) DO(GELU_TANH) DO(RELU) DO(SWIGLU) DO(GEGLU)

static void activate_fwd(void *context, const activate_args *a) {
    PARALLEL(context)
    for (int64_t r = 0; r < a->y.rows; r++) switch (a->kind) {
#define DO(kind) case kind: activate_row(a, kind, r); break;
            EACH_KIND(DO)
#undef DO
        case ACTIVATIONS: break;
        }
}

static void activate_bwd(void *context, const activate_bwd_args *a) {
    PARALLEL(context)
    for (int64_t r = 0; r < a->dy.rows; r++) switch (a->kind) {
#define DO(kind) case kind: activate_bwd_row(a, kind, r); break;
            EACH_KIND(DO)
#undef DO
        case ACTIVATIONS: break;
        }
}

/* ------------------------------------------------------------------ rows, again */

static void pool(void *context, const pool_args *a) {
    vf scale = vf_set(a->scale);
    PARALLEL(context)
    for (int64_t r = 0; r < a->y.rows; r++) {
        float *y = row(a->y, r);
        int64_t first = a->spread ? r / a->group : r * a->group, count = a->spread ? 1 : a->group;
        FOR_VECTORS(a->y.cols) {
            vf sum = vf_set(0);
            for (int64_t g = 0; g < count; g++) sum = sum + LOAD(row(a->x, first + g));
            sum = sum * scale;
            if (a->beta != 0) sum = sum + LOAD(y);
            STORE(y, sum);
        }
    }
}

static void find_angles(const rotate_args *a, int64_t r, float *cosine, float *sine) {
    float position = (float)int_at(a->positions, r);
    const float *frequency = row(a->frequency, 0);
    FOR_VECTORS(a->frequency.cols) {
        vf s, c, angle = vf_set(position) * LOAD(frequency);
        if (HAS_FMA) {
            vf_sincos(angle, &s, &c);
            STORE(sine, s * vf_set(a->sign));
            STORE(cosine, c);
            continue;
        }
        for (int64_t j = i; j < i + lanes; j++) {
            sine[j] = a->sign * sinf(position * frequency[j]);
            cosine[j] = cosf(position * frequency[j]);
        }
    }
}

static void rotate_row(const rotate_args *a, int64_t r, float *cosine, float *sine) {
    int64_t bands = a->frequency.cols, width = a->x.cols / a->heads;
    find_angles(a, r, cosine, sine);
    int64_t step = a->interleaved ? 2 : 1, partner = a->interleaved ? 1 : bands;
    for (int64_t h = 0; h < a->heads; h++) {
        float *x = row(a->x, r) + h * width;
        if (h % a->group >= a->chosen) continue;
        for (int64_t j = 0; j < bands; j++) {
            float x0 = x[step * j], x1 = x[step * j + partner];
            x[step * j] = x0 * cosine[j] - x1 * sine[j];
            x[step * j + partner] = x1 * cosine[j] + x0 * sine[j];
        }
    }
}

static void rotate(void *context, const rotate_args *a) {
    int64_t bands = a->frequency.cols;
    if (a->chosen == 0) return;
#pragma omp parallel num_threads(threads_of(context))
    {
        float *scratch = cpu_scratch(context, (size_t)(2 * bands) * sizeof *scratch);
#pragma omp for
        for (int64_t r = 0; r < a->x.rows; r++)
            if (scratch) rotate_row(a, r, scratch, scratch + bands);
    }
}

/* ------------------------------------------------------------------ loss */

/* log sum_v exp(x_v); *best is the index of the first largest. */
static float log_sum(const float *x, int64_t n, int64_t *best) {
    vf largest = vf_set(-INFINITY), sum = vf_set(0);
    FOR_VECTORS(n) largest = lanes == VW ? vf_max(largest, LOAD(x)) : largest;
    float top = vf_largest(largest);
    for (int64_t v = n - n % VW; v < n; v++) top = x[v] > top ? x[v] : top;
    *best = 0;
    while (*best < n - 1 && x[*best] != top) ++*best; /* a NaN never equals: stops at the end */
    FOR_VECTORS(n) {
        if (lanes == VW) sum = sum + vf_exp(LOAD(x) - vf_set(top));
    }
    float total = vf_sum(sum);
    for (int64_t v = n - n % VW; v < n; v++) total += expf(x[v] - top);
    return top + logf(total);
}

/* What a smoothed target puts on the target and elsewhere, and its entropy (all constants). */
typedef struct smooth_target {
    float on, off;
    double entropy;
} smooth_target;

static smooth_target smooth_target_of(const cross_entropy_args *a) {
    double others = (double)a->logits.cols - 1, off = (double)a->smoothing / others;
    double on = 1 - (double)a->smoothing;
    double entropy = a->smoothing > 0 ? -(on * log(on) + others * off * log(off + 1e-20)) : 0;
    return (smooth_target){(float)on, (float)off, entropy};
}

static void cross_entropy_fwd(void *context, const cross_entropy_args *a) {
    smooth_target s = smooth_target_of(a);
    int64_t V = a->logits.cols;
    PARALLEL(context)
    for (int64_t r = 0; r < a->logits.rows; r++) {
        const float *x = row(a->logits, r);
        int32_t target = int_at(a->targets, r);
        int64_t best;
        float z = log_sum(x, V, &best), *out = row(a->loss, r);
        double loss = 0, all = 0, hit = 0;
        if (s.off > 0)
            for (int64_t v = 0; v < V; v++) all += (double)x[v] - (double)z;
        if (target >= 0) {
            hit = (double)x[target] - (double)z;
            loss = -(double)s.on * hit - (double)s.off * (all - hit);
            loss += (double)(a->z_loss * z * z) - s.entropy;
        }
        out[LOSS_VALUE] = (float)loss;
        out[LOSS_NATS] = (float)-hit;
        out[LOSS_HIT] = best == target;
    }
}

static void cross_entropy_bwd(void *context, const cross_entropy_args *a) {
    smooth_target s = smooth_target_of(a);
    int64_t V = a->logits.cols;
    PARALLEL(context)
    for (int64_t r = 0; r < a->logits.rows; r++) {
        const float *x = row(a->logits, r);
        float *grad = row(a->grad, r);
        int32_t target = int_at(a->targets, r);
        int64_t best;
        float z = log_sum(x, V, &best), weight = target < 0 ? 0 : row(a->weight, r)[0];
        vf gain = vf_set(weight * (1 + 2 * a->z_loss * z)), off = vf_set(weight * s.off);
        FOR_VECTORS(V) STORE(grad, gain * vf_exp(LOAD(x) - vf_set(z)) - off);
        if (target >= 0) grad[target] -= weight * (s.on - s.off);
    }
}

/* ------------------------------------------------------------------ flat ranges */

enum { FLAT_BLOCK = 1 << 14 };

#define FOR_FLAT_BLOCKS(n)                                                                         \
    PARALLEL(context)                                                                              \
    for (int64_t at = 0; at < (n); at += FLAT_BLOCK)

static int64_t flat_size(int64_t at, int64_t n) { return n - at < FLAT_BLOCK ? n - at : FLAT_BLOCK; }

static void adamw(void *context, const adamw_args *a) {
    vf b1 = vf_set(a->beta1), b2 = vf_set(a->beta2), scale = vf_set(a->grad_scale);
    vf o1 = vf_set(1 - a->beta1), o2 = vf_set(1 - a->beta2);
    vf step = vf_set(a->lr / a->correction1), i2 = vf_set(1 / a->correction2);
    vf epsilon = vf_set(a->epsilon), shrink = vf_set(a->lr * a->decay);
    FOR_FLAT_BLOCKS(a->w.cols) {
        float *w = row(a->w, 0) + at, *m = row(a->m, 0) + at, *v = row(a->v, 0) + at;
        const float *grad = row(a->g, 0) + at;
        FOR_VECTORS(flat_size(at, a->w.cols)) {
            vf g = vf_or_zero(LOAD(grad) * scale, 1e-16f), x = LOAD(w); /* its square is no subnormal number */
            /* what is forgotten ends at 0: epsilon is far above the root of the one, and of the other's size */
            vf m1 = vf_or_zero(vf_fma(LOAD(m), b1, o1 * g), 1e-30f);
            vf v1 = vf_or_zero(vf_fma(LOAD(v), b2, o2 * g * g), 1e-34f);
            STORE(m, m1);
            STORE(v, v1);
            vf change = step * m1 / (vf_sqrt(v1 * i2) + epsilon);
            STORE(w, x - change - shrink * x);
        }
    }
}

static void average(void *context, const average_args *a) {
    vf keep = vf_set(a->decay), take = vf_set(1 - a->decay);
    FOR_FLAT_BLOCKS(a->w.cols) {
        float *y = row(a->average, 0) + at;
        const float *w = row(a->w, 0) + at;
        FOR_VECTORS(flat_size(at, a->w.cols)) STORE(y, vf_fma(LOAD(y), keep, take * LOAD(w)));
    }
}

static void sum_squares(void *context, const sum_squares_args *a) {
    enum { PARTS = 256 };
    double part[PARTS] = {0}, total = 0;
    int64_t n = a->x.cols;
    PARALLEL(context)
    for (int64_t p = 0; p < PARTS; p++) {
        int64_t from = n * p / PARTS, to = n * (p + 1) / PARTS;
        for (int64_t at = from; at < to; at += FLAT_BLOCK) {
            const float *x = row(a->x, 0) + at;
            vf sum = vf_set(0);
            FOR_VECTORS(flat_size(at, to)) sum = vf_fma(LOAD(x), LOAD(x), sum);
            part[p] += (double)vf_sum(sum);
        }
    }
    for (int p = 0; p < PARTS; p++) total += part[p];
    row(a->result, 0)[0] = (float)total;
}

void SIMD_NAME(simd_rows_)(kernels *k) {
    k->fill = fill;
    k->copy = copy;
    k->column_sum = column_sum;
    k->embed_fwd = embed_fwd;
    k->embed_bwd = embed_bwd;
    k->norm_fwd = norm_fwd;
    k->norm_bwd = norm_bwd;
    k->activate_fwd = activate_fwd;
    k->activate_bwd = activate_bwd;
    k->dropout = dropout;
    k->gather_fwd = gather_fwd;
    k->gather_bwd = gather_bwd;
    k->pool = pool;
    k->rotate = rotate;
    k->cross_entropy_fwd = cross_entropy_fwd;
    k->cross_entropy_bwd = cross_entropy_bwd;
    k->adamw = adamw;
    k->average = average;
    k->sum_squares = sum_squares;
}
