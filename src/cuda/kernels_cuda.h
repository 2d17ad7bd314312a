/* The kernels; replay.h makes a table of them. */
#ifndef CUDA_KERNELS_CUDA_H
#define CUDA_KERNELS_CUDA_H

#include "cuda/context.h"

/* How much of each kernel's work is cut off as a part, by shapes alone (backend.h). */
int64_t cuda_norm_parts(const backend *be, int64_t rows);
int64_t cuda_attend_chunks(const backend *be, int64_t batch, int64_t heads, int64_t width, int64_t keys);

#define CUDA_KERNEL(name, type) void cuda_##name(void *context, const type *a);
KERNELS(CUDA_KERNEL)
#undef CUDA_KERNEL

#endif
