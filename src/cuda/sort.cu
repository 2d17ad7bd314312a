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
static size_t lists_bytes(int64_t rows) { return 2 * scratch_piece((size_t)rows * sizeof(int32_t)); }

size_t sort_bytes(int64_t rows, int32_t limit) {
    const int32_t *from = NULL;
    int32_t *to = NULL;
    size_t bytes = 0;
    cub::DeviceRadixSort::SortPairs(NULL, bytes, from, to, from, to, (int)rows, 0, bits_of(limit));
    return lists_bytes(rows) + bytes;
}

bool sort_rows(cuda_context *c, matrix ids, int32_t limit, int32_t *id, int32_t *row, void *scratch, size_t bytes) {
    int count = (int)ids.rows;
    size_t lists = lists_bytes(count), own = bytes - lists;
    int32_t *key = (int32_t *)scratch, *place = (int32_t *)((char *)scratch + lists / 2);
    LAUNCH(keys_kernel, blocks_for(count), BLOCK, 0, c->stream, ids, limit, key, place);
    return cuda_fine(c, cub::DeviceRadixSort::SortPairs((char *)scratch + lists, own, key, id, place, row, count, 0,
                                                        bits_of(limit), c->stream), "sorting");
}
