/* Attention in three ways: on tensor cores for bf16 (attend_wgmma.h, attend_mma.h), and for everything else here. */
#ifndef CUDA_ATTEND_H
#define CUDA_ATTEND_H

#include "cuda/context.h"

/* Keys of a sequence. */
static inline __host__ __device__ int64_t attend_keys(const attend_args &a) {
    return a.slots.data ? a.keys : a.k.rows / a.batch;
}

/* Any types, shapes, ranges, hidden keys, distances and slots; sums in float. */
void plain_attend_fwd(cuda_context *c, const attend_args *a);
void plain_attend_bwd(cuda_context *c, const attend_bwd_args *b);

#endif
