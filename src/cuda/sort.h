/* Rows in the order of their ids: CUB's radix sort on a device (sort.cu), the standard library's under the emulator. */
#ifndef CUDA_SORT_H
#define CUDA_SORT_H

#include "cuda/context.h"

/* Bytes of scratch memory for so many rows. */
size_t sort_bytes(int64_t rows, int32_t limit);

/* ids: I32 [rows, 1]. id[i] becomes the i-th smallest, negative ids counting as `limit`, which is above all others;
 * row[i] is where it stood; equal ids keep their order. id, row and scratch are device memory, the first two for as
 * many elements as there are rows, the last of as many bytes as sort_bytes says. False, noted in c->failure, when it
 * failed. */
bool sort_rows(cuda_context *c, matrix ids, int32_t limit, int32_t *id, int32_t *row, void *scratch,
               size_t bytes);

#endif
