/* The last step of sums over many rows, each part of which has left its own. */
#ifndef CUDA_PARTS_H
#define CUDA_PARTS_H

#include "cuda/elements.h"

constexpr int SHARERS = BLOCK / WARP; /* warps of a block, which share rows or parts */

/* leave(column, sum of the column's parts), once for each column. partial [parts, stride]. A warp has 32 columns of
 * every eighth part: one thread alone would wait for memory hundreds of times. */
template <class F>
__global__ void parts_kernel(const float *partial, int64_t stride, int64_t parts, int64_t columns, F leave) {
    __shared__ float shared[SHARERS][WARP];
    int lane = threadIdx.x % WARP, sharer = threadIdx.x / WARP;
    int64_t c = (int64_t)blockIdx.x * WARP + lane;
    float sum = 0;
#pragma unroll 8
    for (int64_t p = sharer; p < (c < columns ? parts : 0); p += SHARERS) sum += partial[p * stride + c];
    shared[sharer][lane] = sum;
    __syncthreads();
    if (sharer || c >= columns) return;
    for (int s = 1; s < SHARERS; s++) sum += shared[s][lane];
    leave(c, sum);
}

template <class F>
void add_parts(cuda_context *c, const float *partial, int64_t stride, int64_t parts, int64_t columns,
               const F &leave) {
    LAUNCH(parts_kernel<F>, (unsigned)((columns + WARP - 1) / WARP), BLOCK, 0, c->stream, partial, stride, parts,
           columns, leave);
}

#endif
