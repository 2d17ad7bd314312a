/* Attention of BF16 matrices on Hopper's tensor cores (wgmma.h): forward in attend_wgmma.cu, backward in
 * attend_wgmma_bwd.cu. Like attend_mma.h and faster, for compute capability 9.0 alone. */
#ifndef CUDA_ATTEND_WGMMA_H
#define CUDA_ATTEND_WGMMA_H

#include "cuda/context.h"

/* Heads of so many columns. */
bool wgmma_attend_takes(int64_t width);

/* Whether the functions below take these arguments: the capability, BF16, heads of 64 or 128 columns, rows of whole
 * 16-byte pieces, and nothing that they do not know (hidden keys, relative positions, slots). */
bool wgmma_attend_fits(const cuda_context *c, const attend_args *a);

/* The same for the backward pass, whose gradients must be so too. */
bool wgmma_attend_bwd_fits(const cuda_context *c, const attend_bwd_args *b);

void wgmma_attend_fwd(cuda_context *c, const attend_args *a);

/* Leaves b's delta and partial alone and takes any number of chunks. */
void wgmma_attend_bwd(cuda_context *c, const attend_bwd_args *b);

/* 1: dq is not summed up in parts. */
int64_t wgmma_attend_chunks(int multiprocessors, int64_t batch, int64_t heads, int64_t keys);

#endif
