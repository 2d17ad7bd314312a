/* Residual sums with dropout, where they are all that a kernel does and where it goes on with them. */
#ifndef CUDA_RESIDUAL_H
#define CUDA_RESIDUAL_H

#include "cuda/elements.h"

#include <Random123/philox.h>
#include <math.h>

extern "C" {
#include "base/rng.h"
}

/* What is drawn below this is dropped. */
static inline uint64_t dropped_below(const dropout_args *a) { return (uint64_t)ceil((double)a->p * 4294967296.0); }

/* The factors of elements i to i + V - 1, i a multiple of 4 where V is: those of dropout_factor on the CPU. */
template <int V>
__device__ __forceinline__ void dropout_factors(const dropout_args &a, uint64_t i, uint64_t least, float (&factor)[V]) {
    float kept = 1 / (1 - a.p);
    philox4x32_ctr_t out;
#pragma unroll
    for (int v = 0; v < V; v++) {
        if (v == 0 || (V > 1 && v % 4 == 0)) {
            uint64_t index = (uint64_t)a.node << 32 | ((i + v) >> 2);
            philox4x32_ctr_t counter = {{(uint32_t)index, (uint32_t)(index >> 32), a.step, RNG_DROPOUT}};
            philox4x32_key_t key = {{(uint32_t)a.seed, (uint32_t)(a.seed >> 32)}};
            out = philox4x32(counter, key);
        }
        uint32_t drawn = out.v[(V > 1 ? v : i) & 3];
        factor[v] = drawn < least ? 0 : kept;
    }
}

/* V elements of row r from column `at` on, not rounded yet. */
template <class Y, class T, int V>
__device__ __forceinline__ void residual_sum(const dropout_args &a, int64_t r, int64_t at, uint64_t least,
                                             float (&sum)[V]) {
    float x[V], factor[V];
    load<T, V>(row_of<T>(a.a, r) + at, sum);
    if (a.p > 0) {
        dropout_factors<V>(a, (uint64_t)(r * a.y.cols + at), least, factor);
        for (int v = 0; v < V; v++) sum[v] *= factor[v];
    }
    if (a.x.data) {
        load<T, V>(row_of<T>(a.x, r) + at, x);
        for (int v = 0; v < V; v++) sum[v] += x[v];
    }
    if (a.beta != 0) {
        load<Y, V>(row_of<Y>(a.y, r) + at, x);
        for (int v = 0; v < V; v++) sum[v] += a.beta * x[v];
    }
}

#endif
