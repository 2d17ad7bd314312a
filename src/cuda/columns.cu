/* What stands in front of pictures: the largest of several rows, and normalization of columns. A thread takes an
 * element, or a column whose rows come in order; where sums run down a column, a block takes it. */
#include "cuda/elements.h"
#include "cuda/kernels_cuda.h"

template <class T> __global__ void max_rows_fwd_kernel(max_rows_args a) {
    FOR_EACH(i, a.y.rows * a.y.cols) {
        int64_t r = i / a.y.cols, c = i % a.y.cols;
        int32_t best = -1;
        float most = 0;
        for (int64_t k = r * a.of; k < (r + 1) * a.of; k++) {
            int32_t from = int_at(a.index, k);
            float x = from < 0 ? 0 : to_float(row_of<T>(a.x, from)[c]);
            if (from < 0 || (best >= 0 && !(x > most))) continue;
            best = from;
            most = x;
        }
        row_of<int32_t>(a.best, r)[c] = best;
        put(row_of<T>(a.y, r) + c, most);
    }
}

/* An element of a gradient, whose type is its own. */
__device__ __forceinline__ float gradient_at(const matrix &m, int64_t r, int64_t c) {
    return m.type == BF16 ? to_float(row_of<bf16>(m, r)[c]) : row_of<float>(m, r)[c];
}

__device__ __forceinline__ float old_gradient(const matrix &m, int64_t r, int64_t c, float beta) {
    return beta == 0 ? 0 : beta * gradient_at(m, r, c);
}

__global__ void max_rows_scale_kernel(max_rows_bwd_args a) {
    FOR_EACH(i, a.dx.rows * a.dx.cols) {
        int64_t r = i / a.dx.cols, c = i % a.dx.cols;
        put_gradient(a.dx, r, c, old_gradient(a.dx, r, c, a.beta));
    }
}

/* Column by column, in the order of the rows. */
__global__ void max_rows_bwd_kernel(max_rows_bwd_args a) {
    FOR_EACH(c, a.dy.cols)
        for (int64_t r = 0; r < a.dy.rows; r++) {
            int32_t best = row_of<int32_t>(a.best, r)[c];
            if (best >= 0) put_gradient(a.dx, best, c, gradient_at(a.dx, best, c) + gradient_at(a.dy, r, c));
        }
}

void cuda_max_rows_fwd(void *context, const max_rows_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->y.rows) return;
    by_type(a->y.type, [&](auto t) {
        LAUNCH(max_rows_fwd_kernel<decltype(t)>, blocks_for(a->y.rows * a->y.cols), BLOCK, 0, c->stream, *a);
    });
    cuda_launched(c, "max_rows_fwd");
}

void cuda_max_rows_bwd(void *context, const max_rows_bwd_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->dx.rows) return;
    LAUNCH(max_rows_scale_kernel, blocks_for(a->dx.rows * a->dx.cols), BLOCK, 0, c->stream, *a);
    LAUNCH(max_rows_bwd_kernel, blocks_for(a->dy.cols), BLOCK, 0, c->stream, *a);
    cuda_launched(c, "max_rows_bwd");
}

/* ------------------------------------------------------------------ columns */

/* The sum over a block's threads, the same in all. */
__device__ __forceinline__ float block_sum(float x) {
    __shared__ float part[BLOCK / WARP];
    float sum = 0;
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % WARP == 0) part[threadIdx.x / WARP] = x;
    __syncthreads();
    for (int i = 0; i < BLOCK / WARP; i++) sum += part[i];
    return sum;
}

template <class T> __global__ void column_norm_fwd_kernel(column_norm_args a) {
    int64_t c = blockIdx.x, rows = a.x.rows;
    float *mean = row_of<float>(a.mean, 0) + c, *variance = row_of<float>(a.variance, 0) + c, m = *mean, v = *variance;
    if (a.measure) {
        float sum = 0, squares = 0;
        for (int64_t r = threadIdx.x; r < rows; r += BLOCK) sum += to_float(row_of<T>(a.x, r)[c]);
        m = block_sum(sum) / (float)rows;
        for (int64_t r = threadIdx.x; r < rows; r += BLOCK) {
            float d = to_float(row_of<T>(a.x, r)[c]) - m;
            squares += d * d;
        }
        v = block_sum(squares) / (float)rows;
        if (threadIdx.x == 0) {
            *mean = m;
            *variance = v;
        }
    }
    float gain = to_float(row_of<T>(a.w, 0)[c]) / sqrtf(v + a.epsilon), b = to_float(row_of<T>(a.b, 0)[c]);
    for (int64_t r = threadIdx.x; r < rows; r += BLOCK)
        put(row_of<T>(a.y, r) + c, (to_float(row_of<T>(a.x, r)[c]) - m) * gain + b);
}

template <class T> __global__ void column_norm_bwd_kernel(column_norm_bwd_args a) {
    int64_t c = blockIdx.x, rows = a.x.rows;
    float m = row_of<float>(a.mean, 0)[c], rstd = 1 / sqrtf(row_of<float>(a.variance, 0)[c] + a.epsilon);
    float sum = 0, along = 0; /* of dy, and of dy xhat */
    for (int64_t r = threadIdx.x; r < rows; r += BLOCK) {
        float dy = to_float(row_of<T>(a.dy, r)[c]);
        sum += dy;
        along += dy * (to_float(row_of<T>(a.x, r)[c]) - m) * rstd;
    }
    sum = block_sum(sum);
    along = block_sum(along);
    if (threadIdx.x == 0 && a.dw.data) {
        float *dw = row_of<float>(a.dw, 0) + c;
        *dw = scaled(dw, a.beta_w) + along;
    }
    if (threadIdx.x == 0 && a.db.data) {
        float *db = row_of<float>(a.db, 0) + c;
        *db = scaled(db, a.beta_b) + sum;
    }
    if (!a.dx.data) return;
    if (!a.measured) sum = along = 0;
    for (int64_t r = threadIdx.x; r < rows; r += BLOCK) {
        float xhat = (to_float(row_of<T>(a.x, r)[c]) - m) * rstd;
        float g = to_float(row_of<T>(a.dy, r)[c]) - (sum + xhat * along) / (float)rows;
        put_gradient(a.dx, r, c, old_gradient(a.dx, r, c, a.beta) + rstd * to_float(row_of<T>(a.w, 0)[c]) * g);
    }
}

void cuda_column_norm_fwd(void *context, const column_norm_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->x.rows || !a->x.cols) return;
    by_type(a->x.type, [&](auto t) {
        LAUNCH(column_norm_fwd_kernel<decltype(t)>, (unsigned)a->x.cols, BLOCK, 0, c->stream, *a);
    });
    cuda_launched(c, "column_norm_fwd");
}

void cuda_column_norm_bwd(void *context, const column_norm_bwd_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->x.rows || !a->x.cols) return;
    by_type(a->x.type, [&](auto t) {
        LAUNCH(column_norm_bwd_kernel<decltype(t)>, (unsigned)a->x.cols, BLOCK, 0, c->stream, *a);
    });
    cuda_launched(c, "column_norm_bwd");
}
