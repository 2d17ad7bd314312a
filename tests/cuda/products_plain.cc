/* Products of matrices by plain loops, in place of the library, where kernels run under the emulator. Each element of
 * C is one sum in the order of k, in float, whatever the shapes: the bits are the same every time. */
#include "cuda/products.h"

#include <vector>

bool products_open(cuda_context *c) {
    c->products = c; /* anything that is not NULL */
    return true;
}

void products_close(cuda_context *c) { c->products = nullptr; }

static float get(const matrix &m, int64_t row, int64_t col) {
    int64_t i = row * m.stride + col;
    return m.type == BF16 ? __bfloat162float(((const bf16 *)m.data)[i]) : ((const float *)m.data)[i];
}

static void put(const matrix &m, int64_t row, int64_t col, float value) {
    int64_t i = row * m.stride + col;
    if (m.type == BF16) ((bf16 *)m.data)[i] = __float2bfloat16(value);
    else ((float *)m.data)[i] = value;
}

/* Ten bits behind the point, ties to even; infinities and NaNs stay. */
static float to_tf32(float x) {
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7f800000u) == 0x7f800000u) return x;
    return __uint_as_float((bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu);
}

/* The operand as it takes part in the product: packed floats [rows, cols]. */
static std::vector<float> packed(const cuda_context *c, const matrix &m, bool transpose) {
    int64_t rows = transpose ? m.cols : m.rows, cols = transpose ? m.rows : m.cols;
    std::vector<float> values((size_t)(rows * cols));
    bool round = c->tf32 && m.type == F32;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < cols; i++) {
            float x = transpose ? get(m, i, r) : get(m, r, i);
            values[(size_t)(r * cols + i)] = round ? to_tf32(x) : x;
        }
    return values;
}

bool products_run(cuda_context *c, const gemm_args *a) {
    int64_t rows = a->c.rows, cols = a->c.cols, depth = a->transpose_a ? a->a.rows : a->a.cols;
    std::vector<float> left = packed(c, a->a, a->transpose_a), right = packed(c, a->b, a->transpose_b);
    std::vector<float> line((size_t)cols);
    for (int64_t i = 0; i < rows; i++) {
        std::fill(line.begin(), line.end(), 0.0f);
        for (int64_t k = 0; k < depth; k++) {
            float x = left[(size_t)(i * depth + k)], *sum = line.data();
            const float *y = &right[(size_t)(k * cols)];
            for (int64_t j = 0; j < cols; j++) sum[j] += x * y[j];
        }
        for (int64_t j = 0; j < cols; j++) {
            float value = line[(size_t)j];
            if (a->bias.data) value += get(a->bias, 0, j);
            if (a->beta != 0) value += a->beta * get(a->c, i, j);
            put(a->c, i, j, value);
        }
    }
    return true;
}
