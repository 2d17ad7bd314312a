/* Attention of few queries to many keys, as in generation: bound by how fast the keys and values are read. */
#ifndef CUDA_ATTEND_FEW_H
#define CUDA_ATTEND_FEW_H

#include "cuda/context.h"

/* Heads of 16 to 256 channels, a power of two, in rows that can be read 8 or 16 bytes at a time; no hidden keys, no
 * distances. */
bool few_attend_fits(const attend_args *a);
void few_attend_fwd(cuda_context *c, const attend_args *a);

/* o and lse of what several blocks have summed over pieces of the keys, at most MOST_PIECES: parts [pieces, rows, H,
 * D + 2] hold a sum of weighted values, the largest score, -infinity where no key was seen, and the sum of weights. */
enum { MOST_PIECES = 128 };
void attend_merge(cuda_context *c, const attend_args *a, const float *parts, int pieces);

#endif
