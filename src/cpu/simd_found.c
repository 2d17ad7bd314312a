/* Attention over places that were found beforehand: a handful a row, so that the work is a few sums of rows of
 * values. Gradients of values are summed up by blocks of columns, in the order of rows, whatever the threads. */
#include "cpu/kernels_cpu.h"
#include "cpu/simd.h"

#include <math.h>

enum { COLUMNS = 16 }; /* of a gradient of values that a thread sums up at once */

static const int32_t *ints_at(matrix m, int64_t r) { return (const int32_t *)m.data + r * m.stride; }

/* p[0]: of nothing, p[1 + j]: of place j. */
static void found_probabilities(const found_args *a, int64_t r, int64_t h, float *p) {
    int64_t P = a->places, first = (r * a->heads + h) * P;
    const int32_t *next = ints_at(a->next, first), *matched = ints_at(a->matched, first);
    const int32_t *octaves = ints_at(a->octaves, first);
    const float *length = row(a->length, h);
    float largest = p[0] = length[0], slope = row(a->slope, 0)[h] / a->parts, sum = 0;
    for (int64_t j = 0; j < P; j++) {
        p[1 + j] = next[j] < 0 ? -INFINITY : length[matched[j]] - slope * (float)octaves[j];
        if (p[1 + j] > largest) largest = p[1 + j];
    }
    FOR_VECTORS(P + 1) {
        vf e = vf_exp(LOAD(p) - vf_set(largest));
        STORE(p, e);
    }
    for (int64_t j = 0; j <= P; j++) sum += p[j];
    for (int64_t j = 0; j <= P; j++) p[j] /= sum;
}

static void found_fwd(void *context, const found_args *a) {
    int64_t D = a->value.cols, P = a->places, H = a->heads;
    PARALLEL(context)
    for (int64_t k = 0; k < a->o.rows * H; k++) {
        float p[MOST_PLACES + 1], *o = row(a->o, k / H) + k % H * D;
        const int32_t *next = ints_at(a->next, k * P);
        found_probabilities(a, k / H, k % H, p);
        memset(o, 0, (size_t)D * sizeof *o);
        for (int64_t j = 0; j < P; j++) {
            if (next[j] < 0) continue;
            const float *v = row(a->value, next[j]);
            vf weight = vf_set(p[1 + j]);
            FOR_VECTORS(D) STORE(o, vf_fma(weight, LOAD(v), LOAD(o)));
        }
    }
}

/* Probabilities and gradients of the scores of one head of a row. */
static void found_scores(const found_bwd_args *a, int64_t r, int64_t h) {
    const found_args *f = &a->fwd;
    int64_t D = f->value.cols, P = f->places;
    const int32_t *next = ints_at(f->next, (r * f->heads + h) * P);
    const float *g = row(a->grad_o, r) + h * D;
    float *p = row(a->p, r) + h * (P + 1), *ds = row(a->ds, r) + h * (P + 1), mean = 0;
    found_probabilities(f, r, h, p);
    ds[0] = 0;
    for (int64_t j = 0; j < P; j++) {
        vf sum = vf_set(0);
        const float *v = next[j] < 0 ? g : row(f->value, next[j]);
        FOR_VECTORS(D) sum = vf_fma(LOAD(g), LOAD(v), sum);
        ds[1 + j] = next[j] < 0 ? 0 : vf_sum(sum);
        mean += p[1 + j] * ds[1 + j];
    }
    for (int64_t j = 0; j <= P; j++) ds[j] = p[j] * (ds[j] - mean);
}

/* Columns [from, from + n) of the gradient of values, in the order of rows. */
static void found_values(const found_bwd_args *a, int64_t from, int64_t n) {
    const found_args *f = &a->fwd;
    int64_t P = f->places, D = f->value.cols;
    for (int64_t k = 0; k < a->grad_o.rows * f->heads; k++) {
        int64_t r = k / f->heads, h = k % f->heads;
        const int32_t *next = ints_at(f->next, k * P);
        const float *g = row(a->grad_o, r) + h * D + from, *p = row(a->p, r) + h * (P + 1) + 1;
        for (int64_t j = 0; j < P; j++) {
            if (next[j] < 0) continue;
            float *dv = row(a->dvalue, next[j]) + from;
            FOR_VECTORS(n) STORE(dv, vf_fma(vf_set(p[j]), LOAD(g), LOAD(dv)));
        }
    }
}

static void found_tables(const found_bwd_args *a, int64_t h) {
    const found_args *f = &a->fwd;
    int64_t P = f->places;
    float slope = 0;
    for (int64_t r = 0; r < a->grad_o.rows; r++) {
        int64_t first = (r * f->heads + h) * P;
        const int32_t *matched = ints_at(f->matched, first), *octaves = ints_at(f->octaves, first);
        const float *ds = row(a->ds, r) + h * (P + 1);
        float *length = a->dlength.data ? row(a->dlength, h) : NULL;
        if (length) length[0] += ds[0];
        for (int64_t j = 0; j < P; j++) {
            if (length) length[matched[j]] += ds[1 + j];
            slope -= ds[1 + j] * (float)octaves[j];
        }
    }
    if (a->dslope.data) row(a->dslope, 0)[h] += slope / f->parts;
}

static void found_bwd(void *context, const found_bwd_args *a) {
    int64_t H = a->fwd.heads, D = a->fwd.value.cols, blocks = (D + COLUMNS - 1) / COLUMNS;
    PARALLEL(context)
    for (int64_t k = 0; k < a->grad_o.rows * H; k++) found_scores(a, k / H, k % H);
    PARALLEL(context)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t from = b * COLUMNS, n = D - from < COLUMNS ? D - from : COLUMNS;
        if (a->dvalue.data) found_values(a, from, n);
    }
    PARALLEL(context)
    for (int64_t h = 0; h < H; h++) found_tables(a, h);
}

void SIMD_NAME(simd_found_)(kernels *k) {
    k->found_fwd = found_fwd;
    k->found_bwd = found_bwd;
}
