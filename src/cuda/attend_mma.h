/* Attention of BF16 matrices on the tensor cores of compute capability 8.0 and later (mma.h). */
#ifndef CUDA_ATTEND_MMA_H
#define CUDA_ATTEND_MMA_H

#include "cuda/context.h"

/* Whether the functions below take these arguments: BF16, heads of 32, 64, 96 or 128 columns, rows that 16-byte copies
 * can read, and nothing that they do not know (hidden keys, relative positions, slots). */
bool mma_attend_fits(const cuda_context *c, const attend_args *a);

/* The same for the backward pass, whose gradients must be so too. `partial` may be absent: scratch is taken then. */
bool mma_attend_bwd_fits(const cuda_context *c, const attend_bwd_args *b);

void mma_attend_fwd(cuda_context *c, const attend_args *a);
void mma_attend_bwd(cuda_context *c, const attend_bwd_args *b);

/* What the backend's attend_chunks answers: as many as keep all multiprocessors at work to the end. The backward pass
 * sums up dq in floats even where one does; so it is at least 2, for the op to make memory for that. */
int64_t mma_attend_chunks(int multiprocessors, int64_t batch, int64_t heads, int64_t keys);

#endif
