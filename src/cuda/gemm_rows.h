/* Products of few rows in bf16, as in generation, on tensor cores. */
#ifndef CUDA_GEMM_ROWS_H
#define CUDA_GEMM_ROWS_H

#include "cuda/context.h"

/* At most 64 rows of bf16 times bf16 weights as they lie, in rows that can be read 16 bytes at a time. */
bool rows_gemm_fits(const cuda_context *c, const gemm_args *a);

/* Each row has the bits that it would have alone. */
void rows_gemm(cuda_context *c, const gemm_args *a);

#endif
