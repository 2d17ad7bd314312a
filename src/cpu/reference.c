/* Every kernel as plain loops: the definition that all faster kernels are tested against, and the
 * oracle of the gradient tests. Compiled twice: REAL float for the backend's lowest level, REAL
 * double for the oracle. Nothing here is tuned; what can be read at once is right. */
#include "cpu/kernels_cpu.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define CONCAT_(a, b) a##b
#define CONCAT(a, b)  CONCAT_(a, b)

typedef REAL real;

static real *row(matrix m, int64_t r) { return (real *)m.data + r * m.stride; }

static int32_t int_at(matrix m, int64_t r) { return ((const int32_t *)m.data)[r * m.stride]; }

/* old becomes beta old, where garbage times 0 is 0. */
static real scaled(real old, float beta) { return beta == 0 ? 0 : beta * old; }

static void fill(void *context, const fill_args *a) {
    (void)context;
    for (int64_t r = 0; r < a->y.rows; r++)
        for (int64_t c = 0; c < a->y.cols; c++) row(a->y, r)[c] = a->value;
}

/* Element i of a row of any type. */
static real element(matrix m, int64_t r, int64_t i) {
    const char *at = (const char *)m.data + (size_t)(r * m.stride) * dtype_bytes(m.type);
    float factor, value;
    if (m.type == BF16) {
        uint32_t bits = (uint32_t)((const uint16_t *)(const void *)at)[i] << 16;
        memcpy(&value, &bits, sizeof value);
        return (real)value;
    }
    if (m.type != I8) return ((const real *)(const void *)at)[i];
    memcpy(&factor, at + m.stride - 4, sizeof factor);
    return (real)((float)((const int8_t *)at)[i] * factor);
}

static void store_bf16(matrix y, int64_t r, matrix x) {
    uint16_t *to = (uint16_t *)y.data + r * y.stride;
    for (int64_t i = 0; i < y.cols; i++) {
        float value = (float)row(x, r)[i];
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        uint32_t rounded = bits + 0x7FFFu + (bits >> 16 & 1); /* to nearest, ties to even */
        to[i] = (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC0u : rounded >> 16);
    }
}

static void store_i8(matrix y, int64_t r, matrix x) {
    int8_t *to = (int8_t *)y.data + r * y.stride;
    float largest = 0;
    for (int64_t i = 0; i < y.cols; i++) largest = fmaxf(largest, fabsf((float)row(x, r)[i]));
    float factor = largest / 127, inverse = largest > 0 ? 127 / largest : 0;
    for (int64_t i = 0; i < y.cols; i++) to[i] = (int8_t)rintf((float)row(x, r)[i] * inverse);
    memcpy(to + y.stride - 4, &factor, sizeof factor);
}

/* One row that changes its type, or keeps a packed one. */
static void convert_row(matrix y, matrix x) {
    if (y.type == x.type) memcpy(y.data, x.data, (size_t)(y.type == I8 ? y.stride : 2 * y.cols));
    else if (y.type == BF16) store_bf16(y, 0, x);
    else if (y.type == I8) store_i8(y, 0, x);
    else for (int64_t i = 0; i < y.cols; i++) row(y, 0)[i] = element(x, 0, i);
}

static bool is_packed(matrix m) { return m.type == BF16 || m.type == I8; }

static void copy(void *context, const copy_args *a) {
    (void)context;
    bool convert = is_packed(a->y) || is_packed(a->x);
    for (int64_t r = 0; r < a->x.rows; r++) {
        int64_t to = a->index.data ? int_at(a->index, r) : r;
        if (to < 0) continue;
        matrix y = matrix_rows(a->y, to, 1), x = matrix_rows(a->x, r, 1);
        if (convert) convert_row(y, x);
        else for (int64_t c = 0; c < y.cols; c++) row(y, 0)[c] = scaled(row(y, 0)[c], a->beta) + row(x, 0)[c];
    }
}

static void gemm(void *context, const gemm_args *a) {
    (void)context;
    int64_t depth = a->transpose_a ? a->a.rows : a->a.cols;
    for (int64_t i = 0; i < a->c.rows; i++)
        for (int64_t j = 0; j < a->c.cols; j++) {
            real sum = a->bias.data ? row(a->bias, 0)[j] : 0;
            for (int64_t k = 0; k < depth; k++) {
                real x = a->transpose_a ? row(a->a, k)[i] : row(a->a, i)[k];
                real y = a->transpose_b ? element(a->b, j, k) : element(a->b, k, j);
                sum += x * y;
            }
            row(a->c, i)[j] = scaled(row(a->c, i)[j], a->beta) + sum;
        }
}

static void column_sum(void *context, const column_sum_args *a) {
    (void)context;
    for (int64_t c = 0; c < a->y.cols; c++) {
        real sum = 0;
        for (int64_t r = 0; r < a->x.rows; r++) sum += row(a->x, r)[c];
        row(a->y, 0)[c] = scaled(row(a->y, 0)[c], a->beta) + sum;
    }
}

/* ------------------------------------------------------------------ embedding */

/* Column c of the code of position p, from the two factors' sines and cosines. */
static real harmonic(const embed_args *a, int64_t p, int64_t c) {
    int64_t half = a->y.cols / 2, j = c % half;
    if (c >= 2 * half) return 0; /* an odd last column */
    const real *low = row(a->low, p % HARMONIC_BLOCK), *high = row(a->high, p / HARMONIC_BLOCK);
    real sin_low = low[j], cos_low = low[half + j], sin_high = high[j], cos_high = high[half + j];
    return c < half ? sin_high * cos_low + cos_high * sin_low
                    : cos_high * cos_low - sin_high * sin_low;
}

static void embed_fwd(void *context, const embed_args *a) {
    (void)context;
    for (int64_t r = 0; r < a->y.rows; r++)
        for (int64_t c = 0; c < a->y.cols; c++) {
            real sum = 0;
            for (int i = 0; i < a->tables; i++) {
                int32_t id = int_at(a->ids[i], r);
                if (id >= 0) sum += row(a->table[i], id)[c];
            }
            if (a->positions.data) sum += harmonic(a, int_at(a->positions, r), c);
            row(a->y, r)[c] = sum;
        }
}

static void embed_bwd(void *context, const embed_args *a) {
    (void)context;
    for (int i = 0; i < a->tables; i++)
        for (int64_t r = 0; r < a->y.rows && a->table[i].data; r++) {
            int32_t id = int_at(a->ids[i], r);
            for (int64_t c = 0; c < a->y.cols && id >= 0; c++)
                row(a->table[i], id)[c] += row(a->y, r)[c];
        }
}

/* ------------------------------------------------------------------ residual sums */

static void dropout(void *context, const dropout_args *a) {
    (void)context;
    for (int64_t r = 0; r < a->y.rows; r++)
        for (int64_t c = 0; c < a->y.cols; c++) {
            real kept = row(a->a, r)[c];
            if (a->p > 0) kept *= (real)dropout_factor(a, (uint64_t)(r * a->y.cols + c));
            real x = a->x.data ? row(a->x, r)[c] : 0;
            row(a->y, r)[c] = scaled(row(a->y, r)[c], a->beta) + x + kept;
        }
}

/* ------------------------------------------------------------------ norms */

static int set_of(matrix set, int64_t r) { return set.data ? int_at(set, r) : 0; }

static void norm_fwd(void *context, const norm_args *a) {
    int64_t n = a->x.cols;
    if (a->sum.y.data) dropout(context, &a->sum);
    for (int64_t r = 0; r < a->x.rows; r++) {
        const real *x = row(a->x, r);
        int set = set_of(a->set, r);
        real mean = 0, variance = 0;
        for (int64_t c = 0; c < n && !a->rms; c++) mean += x[c] / (real)n;
        for (int64_t c = 0; c < n; c++) variance += (x[c] - mean) * (x[c] - mean) / (real)n;
        real rstd = 1 / (real)sqrt((double)variance + a->epsilon);
        for (int64_t c = 0; c < n; c++) {
            real y = (x[c] - mean) * rstd * row(a->w[set], 0)[c];
            row(a->y, r)[c] = a->b[set].data ? y + row(a->b[set], 0)[c] : y;
        }
        row(a->stats, r)[0] = mean;
        row(a->stats, r)[1] = rstd;
    }
}

static void norm_bwd_weights(const norm_bwd_args *a, int set) {
    for (int64_t c = 0; c < a->x.cols; c++) {
        real dw = 0, db = 0;
        for (int64_t r = 0; r < a->x.rows; r++) {
            if (set_of(a->set, r) != set) continue;
            const real *stats = row(a->stats, r);
            dw += row(a->dy, r)[c] * (row(a->x, r)[c] - stats[0]) * stats[1];
            db += row(a->dy, r)[c];
        }
        real *w = row(a->dw[set], 0), *b = row(a->db[set], 0);
        if (w) w[c] = scaled(w[c], a->beta_w[set]) + dw;
        if (b) b[c] = scaled(b[c], a->beta_w[set]) + db;
    }
}

static void norm_bwd(void *context, const norm_bwd_args *a) {
    (void)context;
    int64_t n = a->x.cols;
    for (int64_t r = 0; r < a->x.rows && a->dx.data; r++) {
        const real *x = row(a->x, r), *dy = row(a->dy, r), *stats = row(a->stats, r);
        const real *w = row(a->w[set_of(a->set, r)], 0);
        real mean_g = 0, mean_gx = 0;
        for (int64_t c = 0; c < n; c++) {
            real g = dy[c] * w[c], xh = (x[c] - stats[0]) * stats[1];
            if (!a->rms) mean_g += g / (real)n;
            mean_gx += g * xh / (real)n;
        }
        for (int64_t c = 0; c < n; c++) {
            real xh = (x[c] - stats[0]) * stats[1];
            real *dx = row(a->dx, r) + c;
            *dx = scaled(*dx, a->beta) + stats[1] * (dy[c] * w[c] - mean_g - xh * mean_gx);
        }
    }
    norm_bwd_weights(a, 0);
    if (a->w[1].data) norm_bwd_weights(a, 1);
}

/* ------------------------------------------------------------------ activations */

static const double root_2_over_pi = 0.79788456080286535588, gelu_cubic = 0.044715;

static double value(activation kind, double x) {
    switch (kind) {
    case SQUARED_RELU: return x > 0 ? x * x : 0;
    case GELU: return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case RELU: return x > 0 ? x : 0;
    case SWIGLU: return x / (1 + exp(-x));
    default: return 0.5 * x * (1 + tanh(root_2_over_pi * (x + gelu_cubic * x * x * x)));
    }
}

static double slope(activation kind, double x) {
    switch (kind) {
    case SQUARED_RELU: return x > 0 ? 2 * x : 0;
    case GELU:
        return 0.5 * (1 + erf(x * 0.70710678118654752440)) +
               x * exp(-0.5 * x * x) * 0.39894228040143267794;
    case RELU: return x > 0;
    case SWIGLU: {
        double s = 1 / (1 + exp(-x));
        return s * (1 + x * (1 - s));
    }
    default: {
        double t = tanh(root_2_over_pi * (x + gelu_cubic * x * x * x));
        return 0.5 * (1 + t) +
               0.5 * x * (1 - t * t) * root_2_over_pi * (1 + 3 * gelu_cubic * x * x);
    }
    }
}

static void activate_fwd(void *context, const activate_args *a) {
    (void)context;
    bool gated = a->kind == SWIGLU || a->kind == GEGLU;
    for (int64_t r = 0; r < a->y.rows; r++)
        for (int64_t c = 0; c < a->y.cols; c++) {
            real y = (real)value(a->kind, row(a->x, r)[c]);
            row(a->y, r)[c] = gated ? y * row(a->x, r)[a->y.cols + c] : y;
        }
}

static void activate_bwd(void *context, const activate_bwd_args *a) {
    (void)context;
    bool gated = a->kind == SWIGLU || a->kind == GEGLU;
    int64_t n = a->dy.cols;
    for (int64_t r = 0; r < a->dy.rows; r++)
        for (int64_t c = 0; c < n; c++) {
            real x = row(a->x, r)[c], dy = row(a->dy, r)[c];
            real *dx = row(a->dx, r);
            if (gated) dx[n + c] = dy * (real)value(a->kind, x);
            real factor = gated ? row(a->x, r)[n + c] : 1;
            dx[c] = dy * factor * (real)slope(a->kind, x);
        }
}

/* ------------------------------------------------------------------ rows */

static void gather_fwd(void *context, const gather_args *a) {
    (void)context;
    for (int64_t r = 0; r < a->y.rows; r++) {
        int32_t from = int_at(a->index, r);
        for (int64_t c = 0; c < a->y.cols; c++)
            row(a->y, r)[c] = from < 0 ? 0 : row(a->x, from)[c];
    }
}

static void gather_bwd(void *context, const gather_bwd_args *a) {
    if (a->beta == 0) fill(context, &(fill_args){.y = a->dx});
    for (int64_t r = 0; r < a->dy.rows; r++) {
        int32_t to = int_at(a->index, r);
        for (int64_t c = 0; c < a->dy.cols && to >= 0; c++) row(a->dx, to)[c] += row(a->dy, r)[c];
    }
}

static void pool(void *context, const pool_args *a) {
    (void)context;
    for (int64_t r = 0; r < a->y.rows; r++)
        for (int64_t c = 0; c < a->y.cols; c++) {
            real sum = 0;
            if (a->spread) sum = row(a->x, r / a->group)[c];
            for (int64_t g = 0; g < a->group && !a->spread; g++)
                sum += row(a->x, r * a->group + g)[c];
            row(a->y, r)[c] = scaled(row(a->y, r)[c], a->beta) + a->scale * sum;
        }
}

static void rotate(void *context, const rotate_args *a) {
    (void)context;
    int64_t bands = a->frequency.cols, width = a->x.cols / a->heads;
    for (int64_t r = 0; r < a->x.rows; r++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t j = 0; j < bands && h % a->group < a->chosen; j++) {
                float angle = (float)int_at(a->positions, r) * (float)row(a->frequency, 0)[j];
                real c = (real)cos((double)angle), s = a->sign * (real)sin((double)angle);
                real *x = row(a->x, r) + h * width + (a->interleaved ? 2 * j : j);
                real *y = x + (a->interleaved ? 1 : bands);
                real x0 = *x, y0 = *y;
                *x = x0 * c - y0 * s;
                *y = y0 * c + x0 * s;
            }
}

/* ------------------------------------------------------------------ attention */

/* One query of one head: where its row lies and which keys it may see. */
typedef struct query {
    int64_t row, head, first_key; /* first_key: row of key 0 of its sequence */
    int64_t self;                 /* index of the key that is its own */
    int64_t begin, end, width;
} query;

static query query_at(const attend_args *a, int64_t row_index, int64_t head) {
    int64_t N = a->q.rows / a->batch, M = a->slots.data ? a->keys : a->k.rows / a->batch, sequence = row_index / N;
    query q = {.row = row_index, .head = head, .width = a->q.cols / a->heads};
    q.first_key = (a->slots.data ? int_at(a->slots, sequence) : sequence) * M;
    q.self = row_index % N;
    q.begin = int_at(a->begin, row_index);
    q.end = int_at(a->end, row_index);
    return q;
}

static bool sees(const attend_args *a, const query *q, int64_t key) {
    if (key < q->begin || key >= q->end) return false;
    return !a->hidden.data || key == q->self || !int_at(a->hidden, q->first_key + key);
}

static real dot(const real *x, const real *y, int64_t n) {
    real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static real *head_of(matrix m, int64_t r, const query *q) { return row(m, r) + q->head * q->width; }

static real score(const attend_args *a, const query *q, int64_t key) {
    const real *x = head_of(a->q, q->row, q);
    real sum = 0;
    for (int64_t d = 0; d < q->width; d++)
        sum += x[d] * element(a->k, q->first_key + key, q->head * q->width + d);
    if (a->r.data) sum += dot(head_of(a->p, q->row, q), head_of(a->r, a->r.rows - q->end + key, q), q->width);
    return a->scale * sum;
}

static void attend_query(const attend_args *a, const query *q) {
    real largest = -INFINITY, sum = 0;
    real *o = head_of(a->o, q->row, q);
    for (int64_t d = 0; d < q->width; d++) o[d] = 0;
    for (int64_t j = q->begin; j < q->end; j++)
        if (sees(a, q, j)) largest = largest > score(a, q, j) ? largest : score(a, q, j);
    for (int64_t j = q->begin; j < q->end; j++) {
        if (!sees(a, q, j)) continue;
        real p = (real)exp((double)(score(a, q, j) - largest));
        for (int64_t d = 0; d < q->width; d++)
            o[d] += p * element(a->v, q->first_key + j, q->head * q->width + d);
        sum += p;
    }
    for (int64_t d = 0; d < q->width && sum > 0; d++) o[d] /= sum;
    row(a->lse, q->row)[q->head] = sum > 0 ? largest + (real)log((double)sum) : INFINITY;
}

static void attend_fwd(void *context, const attend_args *a) {
    (void)context;
    for (int64_t r = 0; r < a->q.rows; r++)
        for (int64_t h = 0; h < a->heads; h++) {
            query q = query_at(a, r, h);
            attend_query(a, &q);
        }
}

/* One query of one head into its row of the map. */
static void map_query(const attend_map_args *m, const query *q, real *bins) {
    const attend_args *a = &m->fwd;
    double largest = -INFINITY, sum = 0;
    for (int64_t j = q->begin; j < q->end; j++)
        if (sees(a, q, j)) largest = fmax(largest, (double)score(a, q, j));
    for (int64_t j = q->begin; j < q->end; j++)
        if (sees(a, q, j)) sum += exp((double)score(a, q, j) - largest);
    for (int64_t j = q->begin; j < q->end; j++)
        if (sees(a, q, j))
            bins[(m->offset + j) * m->map.cols / m->span] +=
                (real)(exp((double)score(a, q, j) - largest) / sum / (double)a->heads);
}

static void attend_map(void *context, const attend_map_args *m) {
    (void)context;
    for (int64_t r = 0; r < m->map.rows; r++) {
        real *bins = row(m->map, r);
        for (int64_t i = 0; i < m->map.cols; i++) bins[i] = 0;
        for (int64_t h = 0; h < m->fwd.heads; h++) {
            query q = query_at(&m->fwd, m->first + r * m->every, h);
            map_query(m, &q, bins);
        }
    }
}

static void attend_query_bwd(const attend_bwd_args *b, const query *q) {
    const attend_args *a = &b->fwd;
    const real *grad_o = head_of(b->grad_o, q->row, q);
    real *dq = head_of(b->dq, q->row, q), lse = row(a->lse, q->row)[q->head];
    real delta = dot(head_of(a->o, q->row, q), grad_o, q->width);
    for (int64_t j = q->begin; j < q->end; j++) {
        if (!sees(a, q, j)) continue;
        int64_t key = q->first_key + j;
        real p = (real)exp((double)(score(a, q, j) - lse));
        real ds = p * (dot(grad_o, head_of(a->v, key, q), q->width) - delta) * a->scale;
        int64_t far = a->r.rows - q->end + j;
        for (int64_t d = 0; d < q->width && a->r.data; d++) {
            head_of(b->dp, q->row, q)[d] += ds * head_of(a->r, far, q)[d];
            head_of(b->dr, far, q)[d] += ds * head_of(a->p, q->row, q)[d];
        }
        for (int64_t d = 0; d < q->width; d++) {
            head_of(b->dv, key, q)[d] += p * grad_o[d];
            head_of(b->dk, key, q)[d] += ds * head_of(a->q, q->row, q)[d];
            dq[d] += ds * head_of(a->k, key, q)[d];
        }
    }
}

static void attend_bwd(void *context, const attend_bwd_args *b) {
    fill(context, &(fill_args){.y = b->dq});
    fill(context, &(fill_args){.y = b->dk});
    fill(context, &(fill_args){.y = b->dv});
    if (b->dp.data) fill(context, &(fill_args){.y = b->dp});
    if (b->dr.data) fill(context, &(fill_args){.y = b->dr});
    for (int64_t r = 0; r < b->fwd.q.rows; r++)
        for (int64_t h = 0; h < b->fwd.heads; h++) {
            query q = query_at(&b->fwd, r, h);
            attend_query_bwd(b, &q);
        }
}

/* ------------------------------------------------------------------ attention over places that were found */

/* p[0]: of nothing, p[1 + i]: of place i. */
static void found_probabilities(const found_args *a, int64_t r, int64_t h, real *p) {
    int64_t P = a->places, first = (r * a->heads + h) * P;
    const real *length = row(a->length, h);
    real largest = p[0] = length[0], sum = 0;
    for (int64_t i = 0; i < P; i++) {
        real octaves = (real)int_at(a->octaves, first + i) / (real)a->parts;
        p[1 + i] = length[int_at(a->matched, first + i)] - row(a->slope, 0)[h] * octaves;
        if (int_at(a->next, first + i) >= 0 && p[1 + i] > largest) largest = p[1 + i];
    }
    for (int64_t i = 0; i <= P; i++) {
        bool is_there = i == 0 || int_at(a->next, first + i - 1) >= 0;
        p[i] = is_there ? (real)exp((double)(p[i] - largest)) : 0;
        sum += p[i];
    }
    for (int64_t i = 0; i <= P; i++) p[i] /= sum;
}

static void found_fwd(void *context, const found_args *a) {
    (void)context;
    int64_t D = a->value.cols, P = a->places;
    real p[MOST_PLACES + 1];
    for (int64_t r = 0; r < a->o.rows; r++)
        for (int64_t h = 0; h < a->heads; h++) {
            real *o = row(a->o, r) + h * D;
            found_probabilities(a, r, h, p);
            for (int64_t c = 0; c < D; c++) o[c] = 0;
            for (int64_t i = 0; i < P; i++) {
                int32_t next = int_at(a->next, (r * a->heads + h) * P + i);
                for (int64_t c = 0; c < D && next >= 0; c++) o[c] += p[1 + i] * row(a->value, next)[c];
            }
        }
}

static void found_bwd(void *context, const found_bwd_args *a) {
    (void)context;
    const found_args *f = &a->fwd;
    int64_t D = f->value.cols, P = f->places;
    for (int64_t r = 0; r < a->grad_o.rows; r++)
        for (int64_t h = 0; h < f->heads; h++) {
            int64_t first = (r * f->heads + h) * P;
            real *p = row(a->p, r) + h * (P + 1), *ds = row(a->ds, r) + h * (P + 1), mean = 0;
            const real *g = row(a->grad_o, r) + h * D;
            found_probabilities(f, r, h, p);
            for (int64_t i = 0; i < P; i++) {
                int32_t next = int_at(f->next, first + i);
                ds[1 + i] = 0;
                for (int64_t c = 0; c < D && next >= 0; c++) {
                    ds[1 + i] += g[c] * row(f->value, next)[c];
                    if (a->dvalue.data) row(a->dvalue, next)[c] += p[1 + i] * g[c];
                }
                mean += p[1 + i] * ds[1 + i];
            }
            ds[0] = 0;
            for (int64_t i = 0; i <= P; i++) {
                ds[i] = p[i] * (ds[i] - mean);
                int32_t class = i == 0 ? 0 : int_at(f->matched, first + i - 1);
                if (a->dlength.data) row(a->dlength, h)[class] += ds[i];
                if (i == 0 || !a->dslope.data) continue;
                row(a->dslope, 0)[h] -= ds[i] * (real)int_at(f->octaves, first + i - 1) / (real)f->parts;
            }
        }
}

/* ------------------------------------------------------------------ loss */

/* log sum_v exp(x_v), and the index of the first largest. */
static double log_sum(const real *x, int64_t n, int64_t *best) {
    double sum = 0;
    *best = 0;
    for (int64_t v = 1; v < n; v++)
        if (x[v] > x[*best]) *best = v;
    for (int64_t v = 0; v < n; v++) sum += exp((double)(x[v] - x[*best]));
    return (double)x[*best] + log(sum);
}

static void cross_entropy_fwd(void *context, const cross_entropy_args *a) {
    (void)context;
    int64_t V = a->logits.cols, best;
    double off = a->smoothing / (double)(V - 1), on = 1 - (double)a->smoothing;
    double entropy = a->smoothing > 0 ? -(on * log(on) + (double)(V - 1) * off * log(off + 1e-20)) : 0;
    for (int64_t r = 0; r < a->logits.rows; r++) {
        const real *x = row(a->logits, r);
        int32_t target = int_at(a->targets, r);
        double z = log_sum(x, V, &best), loss = 0;
        for (int64_t v = 0; v < V; v++) loss -= (v == target ? on : off) * ((double)x[v] - z);
        row(a->loss, r)[LOSS_VALUE] = target < 0 ? 0 : (real)(loss + a->z_loss * z * z - entropy);
        row(a->loss, r)[LOSS_NATS] = target < 0 ? 0 : (real)(z - (double)x[target]);
        row(a->loss, r)[LOSS_HIT] = best == target;
    }
}

static void cross_entropy_bwd(void *context, const cross_entropy_args *a) {
    (void)context;
    int64_t V = a->logits.cols, best;
    double off = a->smoothing / (double)(V - 1), on = 1 - (double)a->smoothing;
    for (int64_t r = 0; r < a->logits.rows; r++) {
        const real *x = row(a->logits, r);
        real *grad = row(a->grad, r);
        int32_t target = int_at(a->targets, r);
        double z = log_sum(x, V, &best), weight = target < 0 ? 0 : (double)row(a->weight, r)[0];
        for (int64_t v = 0; v < V; v++) {
            double p = exp((double)x[v] - z);
            grad[v] = (real)(weight * ((1 + 2 * a->z_loss * z) * p - (v == target ? on : off)));
        }
    }
}

/* One term of a distance, and its slope along x. */
static double distance_term(distance_kind kind, double x, double t, double *slope) {
    double d = x - t;
    switch (kind) {
    case DISTANCE_ABSOLUTE: *slope = (d > 0) - (d < 0); return fabs(d);
    case DISTANCE_SIGMOID:
        *slope = 1 / (1 + exp(-x)) - t;
        return (x > 0 ? x : 0) - t * x + log1p(exp(-fabs(x)));
    default: *slope = 2 * d; return d * d;
    }
}

/* The distance of row r; what its terms' slopes are to be multiplied by goes to *gain. */
static double distance_of(const distance_args *a, int64_t r, double *gain) {
    int64_t K = a->y.cols;
    double sum = 0, slope;
    for (int64_t k = 0; k < K; k++)
        sum += distance_term(a->kind, (double)(row(a->y, r)[k] * a->scale), (double)row(a->target, r)[k], &slope);
    *gain = a->kind != DISTANCE_END_POINT ? 1 / (double)K : sum > 0 ? 0.5 / sqrt(sum) : 0;
    return a->kind == DISTANCE_END_POINT ? sqrt(sum) : sum / (double)K;
}

static void distance_fwd(void *context, const distance_args *a) {
    (void)context;
    for (int64_t r = 0; r < a->y.rows; r++) {
        double gain, far = int_at(a->counts, r) < 0 ? 0 : distance_of(a, r, &gain);
        row(a->loss, r)[LOSS_VALUE] = row(a->loss, r)[LOSS_NATS] = (real)far;
        row(a->loss, r)[LOSS_HIT] = 0;
    }
}

static void distance_bwd(void *context, const distance_args *a) {
    (void)context;
    for (int64_t r = 0; r < a->y.rows; r++) {
        bool counts = int_at(a->counts, r) >= 0;
        double gain = 0, slope;
        if (counts) distance_of(a, r, &gain);
        for (int64_t k = 0; k < a->y.cols; k++) {
            real *dy = &row(a->dy, r)[k];
            double x = (double)(row(a->y, r)[k] * a->scale), old = a->beta == 0 ? 0 : (double)(a->beta * *dy), more = 0;
            if (counts) {
                distance_term(a->kind, x, (double)row(a->target, r)[k], &slope);
                more = (double)row(a->weight, r)[0] * (double)a->scale * gain * slope;
            }
            *dy = (real)(old + more);
        }
    }
}

/* ------------------------------------------------------------------ what stands in front of pictures */

static void max_rows_fwd(void *context, const max_rows_args *a) {
    (void)context;
    for (int64_t r = 0; r < a->y.rows; r++)
        for (int64_t c = 0; c < a->y.cols; c++) {
            int32_t best = -1;
            for (int64_t i = r * a->of; i < (r + 1) * a->of; i++) {
                int32_t from = int_at(a->index, i);
                if (from >= 0 && (best < 0 || row(a->x, from)[c] > row(a->x, best)[c])) best = from;
            }
            ((int32_t *)a->best.data)[r * a->best.stride + c] = best;
            row(a->y, r)[c] = best < 0 ? 0 : row(a->x, best)[c];
        }
}

static void max_rows_bwd(void *context, const max_rows_bwd_args *a) {
    (void)context;
    for (int64_t r = 0; r < a->dx.rows; r++)
        for (int64_t c = 0; c < a->dx.cols; c++) row(a->dx, r)[c] = scaled(row(a->dx, r)[c], a->beta);
    for (int64_t r = 0; r < a->dy.rows; r++)
        for (int64_t c = 0; c < a->dy.cols; c++) {
            int32_t best = ((const int32_t *)a->best.data)[r * a->best.stride + c];
            if (best >= 0) row(a->dx, best)[c] += row(a->dy, r)[c];
        }
}

static void measure_columns(const column_norm_args *a) {
    double n = (double)a->x.rows;
    for (int64_t c = 0; c < a->x.cols; c++) {
        double mean = 0, squares = 0;
        for (int64_t r = 0; r < a->x.rows; r++) mean += (double)row(a->x, r)[c] / n;
        for (int64_t r = 0; r < a->x.rows; r++)
            squares += ((double)row(a->x, r)[c] - mean) * ((double)row(a->x, r)[c] - mean);
        row(a->mean, 0)[c] = (real)mean;
        row(a->variance, 0)[c] = (real)(squares / n);
    }
}

static void column_norm_fwd(void *context, const column_norm_args *a) {
    (void)context;
    if (a->measure) measure_columns(a);
    for (int64_t r = 0; r < a->x.rows; r++)
        for (int64_t c = 0; c < a->x.cols; c++) {
            real rstd = (real)(1 / sqrt((double)(row(a->variance, 0)[c] + a->epsilon)));
            row(a->y, r)[c] = (row(a->x, r)[c] - row(a->mean, 0)[c]) * rstd * row(a->w, 0)[c] + row(a->b, 0)[c];
        }
}

static void column_norm_bwd(void *context, const column_norm_bwd_args *a) {
    (void)context;
    for (int64_t c = 0; c < a->x.cols; c++) {
        real mean = row(a->mean, 0)[c], rstd = (real)(1 / sqrt((double)(row(a->variance, 0)[c] + a->epsilon)));
        double sum = 0, along = 0; /* of dy, and of dy xhat */
        for (int64_t r = 0; r < a->x.rows; r++) {
            sum += (double)row(a->dy, r)[c];
            along += (double)(row(a->dy, r)[c] * (row(a->x, r)[c] - mean) * rstd);
        }
        if (a->dw.data) row(a->dw, 0)[c] = scaled(row(a->dw, 0)[c], a->beta_w) + (real)along;
        if (a->db.data) row(a->db, 0)[c] = scaled(row(a->db, 0)[c], a->beta_b) + (real)sum;
        if (!a->measured) sum = along = 0;
        for (int64_t r = 0; r < a->x.rows && a->dx.data; r++) {
            real xhat = (row(a->x, r)[c] - mean) * rstd;
            real g = row(a->dy, r)[c] - ((real)sum + xhat * (real)along) / (real)a->x.rows;
            row(a->dx, r)[c] = scaled(row(a->dx, r)[c], a->beta) + rstd * row(a->w, 0)[c] * g;
        }
    }
}

/* ------------------------------------------------------------------ flat ranges */

static void adamw(void *context, const adamw_args *a) {
    (void)context;
    real *w = a->w.data, *m = a->m.data, *v = a->v.data;
    for (int64_t i = 0; i < a->w.cols; i++) {
        real g = row(a->g, 0)[i] * a->grad_scale;
        m[i] = a->beta1 * m[i] + (1 - a->beta1) * g;
        v[i] = a->beta2 * v[i] + (1 - a->beta2) * g * g;
        real root = (real)sqrt((double)(v[i] / a->correction2));
        w[i] -= a->lr * (m[i] / a->correction1 / (root + a->epsilon) + a->decay * w[i]);
    }
}

static void average(void *context, const average_args *a) {
    (void)context;
    for (int64_t i = 0; i < a->w.cols; i++) {
        real *x = row(a->average, 0) + i;
        *x = a->decay * *x + (1 - a->decay) * row(a->w, 0)[i];
    }
}

static void sum_squares(void *context, const sum_squares_args *a) {
    (void)context;
    double sum = 0;
    for (int64_t i = 0; i < a->x.cols; i++) sum += (double)row(a->x, 0)[i] * (double)row(a->x, 0)[i];
    row(a->result, 0)[0] = (real)sum;
}

void CONCAT(reference_kernels_, REAL)(kernels *k) {
#define SLOT(name, type) k->name = name;
    KERNELS(SLOT)
#undef SLOT
}
