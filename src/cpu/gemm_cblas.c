/* Matrix products by any CBLAS, for machines without oneDNN (-DPERCEIVER_GEMM=cblas). Whether results
 * depend on the number of threads is then up to that library. */
#include "cpu/gemm.h"

#include <cblas.h>
#include <string.h>

static void add_bias(const gemm_args *g) {
    for (int64_t r = 0; r < g->c.rows; r++) {
        float *c = (float *)g->c.data + r * g->c.stride;
        const float *bias = g->bias.data;
        for (int64_t j = 0; j < g->c.cols; j++) c[j] = (g->beta == 0 ? 0 : g->beta * c[j]) + bias[j];
    }
}

static void gemm(void *context, const gemm_args *g) {
    if (g->c.rows == 0 || g->c.cols == 0) return;
    if (gemm_is_gemv(g)) {
        ((cpu_context *)context)->gemv(context, g);
        return;
    }
    gemm_args wide = *g;
    if (g->b.type != F32) wide.b = gemm_widened(context, &g->b);
    if (!wide.b.data) return;
    g = &wide;
    float beta = g->beta;
    if (g->bias.data) {
        add_bias(g);
        beta = 1;
    }
    int64_t depth = g->transpose_a ? g->a.rows : g->a.cols;
    cblas_sgemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans,
                g->transpose_b ? CblasTrans : CblasNoTrans, (int)g->c.rows, (int)g->c.cols,
                (int)depth, 1, g->a.data, (int)g->a.stride, g->b.data, (int)g->b.stride, beta,
                g->c.data, (int)g->c.stride);
}

void gemm_kernels(kernels *k) { k->gemm = gemm; }

bool gemm_has_bf16(void) { return false; }

void gemm_close(cpu_context *c) { (void)c; }
