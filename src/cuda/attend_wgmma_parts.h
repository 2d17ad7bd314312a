/* What the kernels of attention by wgmma share: the ring of stages in shared memory that tiles pass through, the
 * order of blocks, which tiles a group of queries sees, and the way of results back to global memory.
 *
 * The ring. All warps of a block walk over the same tiles j = 0, 1 ... of which tile j stands in stage j % STAGES. A
 * warp waits for a tile (ring_wait) and leaves it when its products with it are done (ring_leave). The last warp to
 * leave asks for the tile that takes the stage next, so no thread stands by for the copies and none waits for
 * others: with as many registers as two or four warpgroups need, there are none left for a producer. */
#ifndef CUDA_ATTEND_WGMMA_PARTS_H
#define CUDA_ATTEND_WGMMA_PARTS_H

#include "cuda/context.h"
#include "cuda/wgmma.h"

#include <climits>

enum { WARPGROUP = 128, WARPGROUP_ROWS = 64 };

/* Which warpgroup of the block this is, in a form that the compiler sees to be one for all of the warp, so that what
 * depends on it stands in uniform registers. */
static __device__ __forceinline__ int warpgroup_index() {
    return __shfl_sync(0xffffffffu, (int)threadIdx.x / WARPGROUP, 0);
}

/* Addresses of the barriers, one of eight bytes per stage, and of the counters of warps that have left. */
typedef struct ring {
    uint32_t barriers;
    unsigned *left;
} ring;

template <int stages> static __device__ __forceinline__ uint32_t ring_barrier(const ring &r, int j) {
    return r.barriers + (uint32_t)j % stages * 8;
}

template <int stages> static __device__ __forceinline__ void ring_init(const ring &r) {
    for (int i = 0; i < stages; i++) {
        barrier_init(r.barriers + (uint32_t)i * 8, 1);
        r.left[i] = 0;
    }
}

template <int stages> static __device__ __forceinline__ void ring_wait(const ring &r, int j) {
    barrier_wait(ring_barrier<stages>(r, j), (uint32_t)j / stages & 1);
}

/* True in one lane of the last of `warps` warps. */
template <int stages, int warps> static __device__ __forceinline__ bool ring_leave(const ring &r, int j) {
    __syncwarp();
    if (threadIdx.x % 32 != 0) return false;
    return count_around(&r.left[(uint32_t)j % stages], warps - 1) == warps - 1;
}

/* ---------------------------------------------------------------- the order of blocks */

/* A head has blocks of which, under a causal mask, the first have most to do. They begin with the first of `together`
 * heads, then come the second, so that short ones are left when the multiprocessors run out of work. More heads than
 * that would not find again in the second-level cache what their first blocks have read. */
typedef struct block_order {
    int pairs, heads, per_head, together; /* pairs of sequence and head */
} block_order;

typedef struct block_place {
    int sequence, head, turn; /* turn: which of its head's blocks */
} block_place;

[[maybe_unused]] static __device__ __forceinline__ block_place block_place_of(const block_order &o) {
    int group = (int)blockIdx.x / (o.per_head * o.together), x = (int)blockIdx.x % (o.per_head * o.together);
    int size = min(o.together, o.pairs - group * o.together), pair = group * o.together + x % size;
    return block_place{pair / o.heads, pair % o.heads, x / size};
}

/* For `slots` blocks at once, each of which reads `rows` rows of two matrices: heads for two rounds of the device, of
 * which the cache holds 16 MiB. */
[[maybe_unused]] static block_order block_order_of(const attend_args *a, int slots, int64_t per_head, int64_t rows) {
    int64_t bytes = 4 * rows * (a->q.cols / a->heads), together = 2 * slots / per_head, most = (16 << 20) / bytes;
    if (together > most) together = most;
    if (together < 1) together = 1;
    return block_order{(int)(a->batch * a->heads), (int)a->heads, (int)per_head, (int)together};
}

/* ---------------------------------------------------------------- what queries see */

/* Of those of a group of queries that see anything: keys [low, high) are seen by some, [all_low, all_high) by all. */
typedef struct extent {
    int low, high, all_low, all_high;
} extent;

static __device__ __forceinline__ void extent_add(extent *e, int begin, int end) {
    if (begin >= end) return;
    e->low = min(e->low, begin);
    e->high = max(e->high, end);
    e->all_low = max(e->all_low, begin);
    e->all_high = min(e->all_high, end);
}

/* By a warp. */
static __device__ __forceinline__ extent extent_of(const int *begin, const int *end, int rows) {
    extent e = {INT_MAX, 0, 0, INT_MAX};
    for (int i = threadIdx.x % 32; i < rows; i += 32) extent_add(&e, begin[i], end[i]);
    e.low = __reduce_min_sync(0xffffffffu, e.low);
    e.high = __reduce_max_sync(0xffffffffu, e.high);
    e.all_low = __reduce_max_sync(0xffffffffu, e.all_low);
    e.all_high = __reduce_min_sync(0xffffffffu, e.all_high);
    return e;
}

static __device__ __forceinline__ bool extent_meets(const extent &e, int key, int count) {
    return key < e.high && key + count > e.low;
}

static __device__ __forceinline__ bool extent_covers(const extent &e, int key, int count) {
    return key >= e.all_low && key + count <= e.all_high;
}

/* Tiles [first, until). */
typedef struct tiles {
    int first, until;
} tiles;

/* The key tiles that a group of queries sees. */
static __device__ __forceinline__ tiles tiles_of(const extent &e, int tile) {
    if (e.low >= e.high) return tiles{0, 0};
    return tiles{e.low / tile, (e.high + tile - 1) / tile};
}

/* Those of which it sees all keys, counted from tile `first`. */
static __device__ __forceinline__ tiles tiles_covered(const extent &e, int tile, int first) {
    return tiles{(e.all_low + tile - 1) / tile - first, e.all_high / tile - first};
}

/* Those of `t` that belong to part `part` of `parts`, and those of them that `within` has, counted from the first. */
static __device__ __forceinline__ tiles tiles_part(const tiles &t, int part, int parts) {
    int each = (t.until - t.first + parts - 1) / parts;
    int first = min(t.first + part * each, t.until);
    return tiles{first, min(first + each, t.until)};
}

static __device__ __forceinline__ tiles tiles_within(const tiles &t, const tiles &all) {
    int first = max(t.first, all.first) - all.first, until = min(t.until, all.until) - all.first;
    return first < until ? tiles{first, until} : tiles{0, 0};
}

/* ---------------------------------------------------------------- results */

/* Sums [64, D] of a warpgroup, row 16 w + i being warp w's, to the first `rows` rows at `to`, by way of the
 * warpgroup's own tile(s) in shared memory, so that whole rows are written. */
template <int D>
static __device__ __forceinline__ void store_rows(const float (&x)[D / 2], float factor0, float factor1,
                                                  unsigned char *tile, bf16 *to, int64_t stride, int rows) {
    int lane = threadIdx.x % 32, top = threadIdx.x % WARPGROUP / 32 * 16;
#pragma unroll
    for (int i = 0; i < D / 4; i++) { /* a pair of columns of block i / 2, row 0 or 8 */
        int row = top + lane / 4 + i % 2 * 8, block = i / 2;
        float factor = i % 2 ? factor1 : factor0;
        unsigned char *at = tile + block / 8 * (WARPGROUP_ROWS * TILE_ROW_BYTES) + tile_chunk(row, block % 8);
        *(uint32_t *)(at + lane % 4 * 4) = pack_bf16(x[2 * i] * factor, x[2 * i + 1] * factor);
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < D / 16; i++) { /* 16 rows of D / 8 chunks */
        int piece = i * 32 + lane, row = top + piece / (D / 8), chunk = piece % (D / 8);
        const unsigned char *at = tile + chunk / 8 * (WARPGROUP_ROWS * TILE_ROW_BYTES) + tile_chunk(row, chunk % 8);
        if (row < rows) *(uint4 *)(to + row * stride + chunk * 8) = *(const uint4 *)at;
    }
}

#endif
