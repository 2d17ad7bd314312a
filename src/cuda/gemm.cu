/* Products: the library's, but for what it does not do. Those are weights packed as BF16 or I8 beside rows of floats,
 * rows that must have the bits which they would have alone, and shapes that it refuses. */
#include "cuda/elements.h"
#include "cuda/gemm_rows.h"
#include "cuda/kernels_cuda.h"
#include "cuda/products.h"

enum { ROWS = 8, FEW_ROWS = 64 }; /* of A that a warp multiplies at once; that are multiplied here */

__device__ __forceinline__ float any_at(const matrix &m, int64_t r, int64_t i) {
    if (m.type == BF16) return to_float(row_of<bf16>(m, r)[i]);
    if (m.type == F32) return row_of<float>(m, r)[i];
    const int8_t *row = row_of<int8_t>(m, r);
    return (float)row[i] * *(const float *)(row + m.stride - 4);
}

/* ------------------------------------------------------------------ few rows */

/* A warp forms column n of C for ROWS rows: B is read once for all of them. Each row's sum is formed as if it were
 * alone. */
template <class C, class A, class B, int V> __global__ void few_rows_kernel(gemm_args a) {
    int64_t n = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / WARP, m = (int64_t)blockIdx.y * ROWS;
    int lane = threadIdx.x % WARP;
    if (n >= a.c.cols) return;
    const B *b = row_of<B>(a.b, n);
    float sum[ROWS] = {0};
    for (int64_t k = lane * V; k < a.a.cols; k += WARP * V) {
        float y[V], x[V];
        load<B, V>(b + k, y);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (m + r >= a.c.rows) break;
            load<A, V>(row_of<A>(a.a, m + r) + k, x);
            for (int v = 0; v < V; v++) sum[r] += x[v] * y[v];
        }
    }
    float factor = a.b.type == I8 ? *(const float *)((const char *)b + a.b.stride - 4) : 1;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        if (m + r >= a.c.rows) break;
        float all = warp_sum(sum[r]) * factor;
        C *to = row_of<C>(a.c, m + r) + n;
        if (lane) continue;
        if (a.bias.data) all += any_at(a.bias, 0, n);
        put(to, scaled(to, a.beta) + all);
    }
}

template <class C, class A, class B> static void few_rows(cuda_context *c, const gemm_args *a) {
    dim3 grid((unsigned)((a->c.cols * WARP + BLOCK - 1) / BLOCK), (unsigned)((a->c.rows + ROWS - 1) / ROWS));
    matrix b = a->b;
    b.cols = a->a.cols; /* without the factors behind a row of I8 */
    bool packs = in_packs(a->a, 4) && (b.type == I8 ? b.stride % 4 == 0 && b.cols % 4 == 0 : in_packs(b, 4));
    if (packs) LAUNCH((few_rows_kernel<C, A, B, 4>), grid, BLOCK, 0, c->stream, *a);
    else LAUNCH((few_rows_kernel<C, A, B, 1>), grid, BLOCK, 0, c->stream, *a);
}

static void multiply_few(cuda_context *c, const gemm_args *a) {
    by_type(a->c.type, [&](auto to) {
        by_type(a->a.type, [&](auto from) {
            using C = decltype(to);
            using A = decltype(from);
            if (a->b.type == I8) few_rows<C, A, int8_t>(c, a);
            else if (a->b.type == BF16) few_rows<C, A, bf16>(c, a);
            else few_rows<C, A, float>(c, a);
        });
    });
}

/* ------------------------------------------------------------------ any shape */

/* Plain loops, for what nothing else takes. */
template <class C> __global__ void any_product_kernel(gemm_args a) {
    int64_t depth = a.transpose_a ? a.a.rows : a.a.cols;
    FOR_EACH(e, a.c.rows * a.c.cols) {
        int64_t i = e / a.c.cols, j = e % a.c.cols;
        float sum = a.bias.data ? any_at(a.bias, 0, j) : 0;
        for (int64_t k = 0; k < depth; k++)
            sum += (a.transpose_a ? any_at(a.a, k, i) : any_at(a.a, i, k)) *
                   (a.transpose_b ? any_at(a.b, j, k) : any_at(a.b, k, j));
        C *to = row_of<C>(a.c, i) + j;
        put(to, scaled(to, a.beta) + sum);
    }
}

static void multiply_any(cuda_context *c, const gemm_args *a) {
    by_type(a->c.type, [&](auto t) {
        LAUNCH(any_product_kernel<decltype(t)>, blocks_for(a->c.rows * a->c.cols), BLOCK, 0, c->stream, *a);
    });
}

/* ------------------------------------------------------------------ the library */

template <class C> __global__ void add_bias_kernel(matrix y, matrix bias) {
    FOR_EACH(e, y.rows * y.cols) {
        C *to = row_of<C>(y, e / y.cols) + e % y.cols;
        put(to, to_float(*to) + any_at(bias, 0, e % y.cols));
    }
}

/* Factors of one type; a bias of another is added behind the product. */
static bool multiply_by_library(cuda_context *c, const gemm_args *a) {
    gemm_args plain = *a;
    bool apart = a->bias.data && a->bias.type != a->c.type;
    if (apart) plain.bias.data = NULL;
    if (!products_run(c, &plain)) return false;
    if (apart)
        by_type(a->c.type, [&](auto t) {
            LAUNCH(add_bias_kernel<decltype(t)>, blocks_for(a->c.rows * a->c.cols), BLOCK, 0, c->stream, a->c, a->bias);
        });
    return true;
}

/* Many rows by packed weights: these become floats first. */
static bool multiply_unpacked(cuda_context *c, const gemm_args *a) {
    gemm_args wide = *a;
    wide.b.type = a->a.type;
    wide.b.stride = wide.b.cols;
    wide.b.data = cuda_scratch(c, matrix_bytes(&wide.b));
    copy_args unpack = {};
    unpack.y = wide.b;
    unpack.x = a->b;
    if (!wide.b.data) return true; /* noted */
    cuda_copy(c, &unpack);
    return multiply_by_library(c, &wide);
}

void cuda_gemm(void *context, const gemm_args *a) {
    cuda_context *c = (cuda_context *)context;
    int64_t depth = a->transpose_a ? a->a.rows : a->a.cols;
    bool as_it_lies = !a->transpose_a && a->transpose_b, done = false;
    if (!a->c.rows || !a->c.cols) return;
    if (as_it_lies && a->c.rows <= FEW_ROWS && (a->by_row || a->a.type != a->b.type)) {
        if (rows_gemm_fits(c, a)) rows_gemm(c, a);
        else multiply_few(c, a);
        done = true;
    }
    if (!done && depth && a->a.type == a->b.type) done = multiply_by_library(c, a);
    else if (!done && depth && as_it_lies) done = multiply_unpacked(c, a);
    if (!done) multiply_any(c, a);
    cuda_launched(c, "gemm");
}
