/* Products of a few rows with a matrix of weights: y_r = W x_r + b. The weights, of any type, are read once,
 * in order; the speed is that of memory. Each output is one dot product over a row of W, and has the same bits for any
 * number of rows. */
#include "cpu/gemm.h"
#include "cpu/simd.h"

#include <string.h>

enum { OUTPUTS = 4 }; /* rows of W at a time: enough independent sums to hide latency */

/* out [OUTPUTS][rows] = dot products of `outputs` rows of W with `rows` rows of A, from `first` on. */
static inline __attribute__((always_inline)) void
dots_of(const dtype type, const gemm_args *a, const int rows, const int outputs, int64_t first, int64_t n, float *out) {
    vf sum[OUTPUTS][GEMV_ROWS];
    int64_t apart = a->b.stride * (int64_t)dtype_bytes(type);
    const char *w = (const char *)a->b.data + n * apart;
    const float *x = (const float *)a->a.data + first * a->a.stride;
    for (int o = 0; o < outputs; o++)
        for (int r = 0; r < rows; r++) sum[o][r] = vf_set(0);
    const int64_t size = (int64_t)dtype_bytes(type), line = 64 / size, whole = a->a.cols / line * line;
    for (int64_t at = 0; at < whole; at += line) { /* a cache line of each row */
        for (int o = 0; o < outputs; o++) /* fetch the rows that come next: short rows end every stream */
            __builtin_prefetch(w + (o + outputs) * apart + at * size, 0, 2);
        for (int64_t i = at; i < at + line; i += VW)
            for (int o = 0; o < outputs; o++) {
                vf weights = vf_from_type(type, w + o * apart + i * size);
                for (int r = 0; r < rows; r++)
                    sum[o][r] = vf_fma(weights, vf_load(x + r * a->a.stride + i), sum[o][r]);
            }
    }
    FOR_VECTORS(a->a.cols - whole) {
        for (int o = 0; o < outputs; o++) {
            vf weights = vf_load_type(type, w + o * apart, whole + i, lanes);
            for (int r = 0; r < rows; r++)
                sum[o][r] = vf_fma(weights, LOAD(x + r * a->a.stride + whole), sum[o][r]);
        }
    }
    for (int o = 0; o < outputs; o++) {
        float factor = row_factor(&a->b, n + o);
        for (int r = 0; r < rows; r++) out[o * GEMV_ROWS + r] = vf_sum(sum[o][r]) * factor;
    }
}

static inline __attribute__((always_inline)) void
dots(const gemm_args *a, const int rows, const int outputs, int64_t first, int64_t n, float *out) {
    if (a->b.type == BF16) dots_of(BF16, a, rows, outputs, first, n, out);
    else if (a->b.type == I8) dots_of(I8, a, rows, outputs, first, n, out);
    else dots_of(F32, a, rows, outputs, first, n, out);
}

static void outputs_of(const gemm_args *a, int64_t first, int count, int64_t n, int outputs) {
    float dot[OUTPUTS * GEMV_ROWS];
#define CASE(r)                                                                                    \
    case r:                                                                                        \
        if (outputs == OUTPUTS) dots(a, r, OUTPUTS, first, n, dot);                                \
        else                                                                                       \
            for (int o = 0; o < outputs; o++) dots(a, r, 1, first, n + o, dot + o * GEMV_ROWS);    \
        break;
    switch (count) {
        CASE(1) CASE(2) CASE(3) CASE(4)
    }
#undef CASE
    for (int64_t r = 0; r < count; r++)
        for (int o = 0; o < outputs; o++) {
            float *y = (float *)a->c.data + (first + r) * a->c.stride + n + o;
            float bias = a->bias.data ? ((const float *)a->bias.data)[n + o] : 0;
            *y = (a->beta == 0 ? 0 : a->beta * *y) + dot[o * GEMV_ROWS + r] + bias;
        }
}

void SIMD_NAME(gemv_)(void *context, const gemm_args *a) {
    int threads = ((const cpu_context *)context)->threads;
    int64_t groups = (a->c.cols + OUTPUTS - 1) / OUTPUTS;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t g = 0; g < groups; g++) {
        int64_t n = g * OUTPUTS, left = a->c.cols - n;
        for (int64_t r = 0; r < a->c.rows; r += GEMV_ROWS) { /* behind the first the weights come from the cache */
            int rows = a->c.rows - r < GEMV_ROWS ? (int)(a->c.rows - r) : GEMV_ROWS;
            outputs_of(a, r, rows, n, left < OUTPUTS ? (int)left : OUTPUTS);
        }
    }
}

/* Nearest, ties to even; not-a-numbers stay so. The compiler makes vectors of this loop, where the processor has no
 * instruction for it (which takes subnormal numbers for zeros). */
#if defined(__AVX512BF16__)
static void round_row(const float *x, uint16_t *to, int64_t n) {
    int64_t i = 0;
    for (; i + 2 * VW <= n; i += 2 * VW)
        _mm512_storeu_si512(to + i, (__m512i)_mm512_cvtne2ps_pbh(vf_load(x + i + VW), vf_load(x + i)));
    for (; i < n; i += VW) {
        __mmask16 there = (__mmask16)(n - i < VW ? (1 << (n - i)) - 1 : 0xFFFF);
        _mm256_mask_storeu_epi16(to + i, there, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(there, x + i)));
    }
}
#else
static void round_row(const float *x, uint16_t *to, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        uint32_t rounded = bits + 0x7FFFu + (bits >> 16 & 1);
        to[i] = (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC0u : rounded >> 16);
    }
}
#endif

void SIMD_NAME(round_bf16_)(void *context, const matrix *x, uint16_t *to) {
    int threads = ((const cpu_context *)context)->threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t r = 0; r < x->rows; r++)
        round_row((const float *)x->data + r * x->stride, to + r * x->cols, x->cols);
}
