/* The shape of everything that kernels see: a matrix in device memory.
 *
 * Rows are what a model runs over (batch times tokens, batch-major), columns are channels. Heads are
 * groups of D neighbouring columns. Two views exist, of rows and of columns, so a matrix needs one
 * stride. Only kernels dereference data; on the host it is an opaque address. */
#ifndef TENSOR_MATRIX_H
#define TENSOR_MATRIX_H

#include <stddef.h>
#include <stdint.h>

/* Reals are F32, or BF16 on devices that compute in it; F64 belongs to the reference backend that the gradient tests
 * run in. BF16 and I8 also hold weights and caches of a model that generates. A row of I8 is `cols` integers
 * from -127 to 127 and, in the last four bytes of its stride, the F32 factor that they are multiplied by. */
typedef enum dtype { F32, F64, I32, BF16, I8 } dtype;

typedef struct matrix {
    void *data; /* device address of [rows, cols], NULL: absent */
    int64_t rows, cols;
    int64_t stride; /* elements from one row to the next, >= cols */
    dtype type;
} matrix;

static inline size_t dtype_bytes(dtype type) {
    return type == F64 ? 8 : type == BF16 ? 2 : type == I8 ? 1 : 4;
}

/* The least stride of rows of `cols` elements. */
static inline int64_t dtype_stride(dtype type, int64_t cols) { return type == I8 ? (cols + 3) / 4 * 4 + 4 : cols; }

/* Bytes from the first to behind the last element. */
static inline size_t matrix_bytes(const matrix *m) {
    if (m->rows == 0) return 0;
    int64_t last = m->type == I8 ? m->stride : m->cols;
    return (size_t)((m->rows - 1) * m->stride + last) * dtype_bytes(m->type);
}

/* count rows (or columns) from `from` on; of an absent matrix, an absent one. */
static inline matrix matrix_rows(matrix m, int64_t from, int64_t count) {
    if (m.data) m.data = (char *)m.data + (size_t)(from * m.stride) * dtype_bytes(m.type);
    m.rows = count;
    return m;
}

static inline matrix matrix_columns(matrix m, int64_t from, int64_t count) {
    if (m.data) m.data = (char *)m.data + (size_t)from * dtype_bytes(m.type);
    m.cols = count;
    return m;
}

#endif
