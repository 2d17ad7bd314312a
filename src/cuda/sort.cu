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

static int bits_of(int32_t limit) {
    int bits = 1;
    while (bits < 31 && limit >> bits) bits++;
    return bits;
}

/* The scratch: keys and places as they come, then CUB's own. */
static size_t list_bytes(int64_t rows) { return ((size_t)rows * sizeof(int32_t) + 255) / 256 * 256; }

static size_t cub_bytes(int64_t rows, int32_t limit) {
    const int32_t *from = NULL;
    int32_t *to = NULL;
    size_t bytes = 0;
    cub::DeviceRadixSort::SortPairs(NULL, bytes, from, to, from, to, (int)rows, 0, bits_of(limit));
    return bytes;
}

size_t sort_bytes(int64_t rows, int32_t limit) { return 2 * list_bytes(rows) + cub_bytes(rows, limit); }

bool sort_rows(cuda_context *c, matrix ids, int32_t limit, int32_t *id, int32_t *row, void *scratch) {
    int count = (int)ids.rows;
    size_t bytes = cub_bytes(count, limit);
    int32_t *key = (int32_t *)scratch, *place = (int32_t *)((char *)scratch + list_bytes(count));
    LAUNCH(keys_kernel, blocks_for(count), BLOCK, 0, c->stream, ids, limit, key, place);
    return cuda_fine(c, cub::DeviceRadixSort::SortPairs((char *)scratch + 2 * list_bytes(count), bytes, key, id, place,
                                                        row, count, 0, bits_of(limit), c->stream), "sorting");
}
