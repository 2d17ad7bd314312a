/* Products of matrices by a library: cuBLASLt on a device (products.cu), plain loops under the emulator. */
#ifndef CUDA_PRODUCTS_H
#define CUDA_PRODUCTS_H

#include "cuda/context.h"

/* Fills c->products; false, noted in c->failure, when the library cannot be had. */
bool products_open(cuda_context *c);
void products_close(cuda_context *c);

/* C = A' B' + beta C + bias as in gemm_args, with no empty dimension, A and B both F32 or both BF16, C F32 or BF16,
 * and a bias, if any, of C's type. False, and nothing done, where the library has no way for these shapes. The result
 * has the same bits every time. */
bool products_run(cuda_context *c, const gemm_args *a);

#endif
