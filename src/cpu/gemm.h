/* Matrix products of the CPU backend. One of gemm_onednn.c and gemm_cblas.c is built; both send
 * products with a few rows (decoding) to gemv, which reads the weights once at memory speed. */
#ifndef CPU_GEMM_H
#define CPU_GEMM_H

#include "cpu/kernels_cpu.h"

/* Packed weights as floats, in the last shared scratch buffer; data NULL: no memory. */
static inline matrix gemm_widened(cpu_context *c, const matrix *x) {
    matrix y = {.rows = x->rows, .cols = x->cols, .stride = x->cols};
    y.data = cpu_shared_scratch(c, CPU_SHARED - 1, matrix_bytes(&y));
    if (y.data) c->copy(c, &(copy_args){.y = y, .x = *x});
    return y;
}

/* True when gemv takes it. */
static inline bool gemm_is_gemv(const gemm_args *a) {
    return (a->c.rows <= GEMV_ROWS || a->by_row) && a->transpose_b && !a->transpose_a;
}

#endif
