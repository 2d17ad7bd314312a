/* The shape of everything that kernels see: a matrix in device memory.
 *
 * Rows are what a model runs over (batch times tokens, batch-major), columns are channels. Heads are
 * groups of D neighbouring columns. Two views exist, of rows and of columns, so a matrix needs one
 * stride. Only kernels dereference data; on the host it is an opaque address. */
#ifndef TENSOR_MATRIX_H
#define TENSOR_MATRIX_H

#include <stddef.h>
#include <stdint.h>

/* Reals are F32; F64 belongs to the reference backend that the gradient tests run in. BF16 exists within
 * products alone. */
typedef enum dtype { F32, F64, I32, BF16 } dtype;

typedef struct matrix {
    void *data; /* device address of [rows, cols], NULL: absent */
    int64_t rows, cols;
    int64_t stride; /* elements from one row to the next, >= cols */
    dtype type;
} matrix;

static inline size_t dtype_bytes(dtype type) { return type == F64 ? 8 : type == BF16 ? 2 : 4; }

/* Bytes from the first to behind the last element. */
static inline size_t matrix_bytes(const matrix *m) {
    if (m->rows == 0) return 0;
    return (size_t)((m->rows - 1) * m->stride + m->cols) * dtype_bytes(m->type);
}

/* count rows (or columns) from `from` on. */
static inline matrix matrix_rows(matrix m, int64_t from, int64_t count) {
    m.data = (char *)m.data + (size_t)(from * m.stride) * dtype_bytes(m.type);
    m.rows = count;
    return m;
}

static inline matrix matrix_columns(matrix m, int64_t from, int64_t count) {
    m.data = (char *)m.data + (size_t)from * dtype_bytes(m.type);
    m.cols = count;
    return m;
}

#endif
