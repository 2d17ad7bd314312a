/* Maps of what attention looks at: pictures of a few rows, so a block takes a row of the map and does its heads one
 * after the other. Probabilities of all keys stand in device memory, and each bin's are added in their order. */
#include "cuda/attend.h"
#include "cuda/elements.h"
#include "cuda/kernels_cuda.h"

enum { OWNERS = BLOCK / WARP };

__device__ float block_all(float x, bool largest) {
    __shared__ float shared[OWNERS];
    x = largest ? warp_max(x) : warp_sum(x);
    __syncthreads();
    if (threadIdx.x % WARP == 0) shared[threadIdx.x / WARP] = x;
    __syncthreads();
    x = shared[0];
    for (int i = 1; i < OWNERS; i++) x = largest ? fmaxf(x, shared[i]) : x + shared[i];
    return x;
}

template <class T> __device__ float map_score(const attend_args &a, int64_t row, int64_t h, int64_t key) {
    int64_t D = a.q.cols / a.heads;
    const T *q = row_of<T>(a.q, row) + h * D;
    float sum = 0;
    for (int64_t d = 0; d < D; d++) {
        float k;
        if (a.k.type == I8) k = (float)row_of<int8_t>(a.k, key)[h * D + d] *
                                *(const float *)(row_of<int8_t>(a.k, key) + a.k.stride - 4);
        else if (a.k.type == BF16) k = to_float(row_of<bf16>(a.k, key)[h * D + d]);
        else k = row_of<float>(a.k, key)[h * D + d];
        sum += to_float(q[d]) * k;
    }
    if (a.r.data) {
        const T *p = row_of<T>(a.p, row) + h * D, *r = row_of<T>(a.r, a.r.rows - int_at(a.end, row) + key) + h * D;
        for (int64_t d = 0; d < D; d++) sum += to_float(p[d]) * to_float(r[d]);
    }
    return a.scale * sum;
}

/* p [map rows, M]: of the current head */
template <class T> __global__ void map_kernel(attend_map_args m, float *p) {
    const attend_args &a = m.fwd;
    int64_t r = blockIdx.x, row = m.first + r * m.every, M = attend_keys(a);
    int64_t first = a.slots.data ? int_at(a.slots, 0) * M : 0;
    int64_t begin = int_at(a.begin, row), end = int_at(a.end, row);
    float *bins = row_of<float>(m.map, r);
    p += r * M;
    for (int64_t b = threadIdx.x; b < m.map.cols; b += BLOCK) bins[b] = 0;
    for (int64_t h = 0; h < a.heads; h++) {
        float largest = -INFINITY, sum = 0;
        for (int64_t j = begin + threadIdx.x; j < end; j += BLOCK) {
            bool seen = !a.hidden.data || j == row || !int_at(a.hidden, j);
            p[j] = seen ? map_score<T>(a, row, h, first + j) : -INFINITY;
            largest = fmaxf(largest, p[j]);
        }
        largest = block_all(largest, true);
        for (int64_t j = begin + threadIdx.x; j < end; j += BLOCK) {
            p[j] = p[j] > -INFINITY ? expf(p[j] - largest) : 0;
            sum += p[j];
        }
        sum = block_all(sum, false); /* its barriers also show p to all */
        for (int64_t b = threadIdx.x; b < m.map.cols; b += BLOCK) {
            float all = 0;
            int64_t from = max(begin, (b * m.span + m.map.cols - 1) / m.map.cols - m.offset);
            for (int64_t j = from; j < end && (m.offset + j) * m.map.cols / m.span == b; j++) all += p[j];
            if (sum > 0) bins[b] += all / sum / (float)a.heads;
        }
        __syncthreads();
    }
}

void cuda_attend_map(void *context, const attend_map_args *m) {
    cuda_context *c = (cuda_context *)context;
    const attend_args *a = &m->fwd;
    int64_t M = attend_keys(*a);
    float *p = (float *)cuda_scratch(c, (size_t)(m->map.rows * M) * sizeof(float));
    if (!p) return;
    by_type(a->q.type, [&](auto t) {
        LAUNCH(map_kernel<decltype(t)>, (unsigned)m->map.rows, BLOCK, 0, c->stream, *m, p);
    });
    cuda_launched(c, "attend_map");
}
