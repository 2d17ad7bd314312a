#include "cuda/sort.h"
#include "cuda/elements.h"

#include <cub/device/device_radix_sort.cuh>

__global__ void keys_kernel(matrix ids, int32_t limit, int32_t *key, int32_t *place) {
    FOR_EACH(i, ids.rows) {
        int32_t id = int_at(ids, i);
        key[i] = id < 0 || id > limit ? limit : id;
        place[i] = (int32_t)i;
    }
}

/* CUB's scratch and the unsorted lists are taken and given back in the order of the stream. */
bool sort_rows(cuda_context *c, matrix ids, int32_t limit, int32_t *id, int32_t *row) {
    int count = (int)ids.rows, bits = 1;
    int32_t *key = NULL;
    size_t bytes = 0, list = ((size_t)count * sizeof *key + 255) / 256 * 256;
    while (bits < 31 && limit >> bits) bits++;
    cub::DeviceRadixSort::SortPairs(NULL, bytes, key, id, key, row, count, 0, bits, c->stream);
    if (!cuda_fine(c, cudaMallocAsync(&key, 2 * list + bytes, c->stream), "memory to sort in")) return false;
    int32_t *place = (int32_t *)((char *)key + list);
    LAUNCH(keys_kernel, blocks_for(count), BLOCK, 0, c->stream, ids, limit, key, place);
    cudaError_t error = cub::DeviceRadixSort::SortPairs((char *)key + 2 * list, bytes, key, id, place, row, count, 0,
                                                        bits, c->stream);
    cudaFreeAsync(key, c->stream);
    return cuda_fine(c, error, "sorting");
}
