/* What the two passes of attention by mma.sync share: tiles of rows in shared memory, and which keys queries see.
 *
 * In shared memory a row of 16-byte pieces is permuted by its number (twist), so that eight rows of one column of
 * pieces, which a load of matrices reads at once, lie in different banks. */
#ifndef CUDA_ATTEND_MMA_TILES_H
#define CUDA_ATTEND_MMA_TILES_H

#include "cuda/context.h"
#include "cuda/mma.h"

#include <climits>
#include <cmath>

namespace {

constexpr float LOG2E = 1.44269504f, LN2 = 0.69314718f;
constexpr int SHARED_NARROW = 96 << 10, SHARED_WIDE = 160 << 10; /* the most for D <= 64, and for all */
constexpr unsigned ALL_LANES = 0xffffffffu;

/* A head's column of a matrix begins at `at + head D`. */
struct columns {
    bf16 *at;
    int64_t stride;
};

/* What both directions read. */
struct operands {
    columns q, k, v, o;
    const int32_t *begin, *end;
    int64_t begin_stride, end_stride;
    int queries, keys, heads; /* of one sequence */
    float scale;
};

/* ------------------------------------------------------------------ tiles in shared memory */

template <int D> __device__ __forceinline__ int twist(int row) { return D % 64 == 0 ? row & 7 : row >> 1 & 3; }

/* Where the lane's row and piece of a load of matrices lie, in 16 rows and columns 16 j..16 j + 15 of a tile. Of the
 * four matrices the second is the one below the first, or, `across`, the one to its right: products want the two halves
 * of a right operand in neighbouring registers. So rows of the left operand and, transposed, of the right one are
 * loaded down; rows of the right operand that are its columns, and, transposed, of the left one are loaded across. */
template <int D> __device__ __forceinline__ shared_address lane_offset(int j, bool across) {
    int lane = threadIdx.x % 32, row = across ? lane % 8 + lane / 16 * 8 : lane % 16;
    int right = across ? lane / 8 % 2 : lane / 16;
    return (shared_address)(row * D * 2 + ((2 * j + right) ^ twist<D>(row)) * 16);
}

template <int D> struct lane_offsets {
    shared_address down[D / 16], across[D / 16];
    __device__ __forceinline__ lane_offsets() {
        for (int j = 0; j < D / 16; j++) down[j] = lane_offset<D>(j, false), across[j] = lane_offset<D>(j, true);
    }
};

/* Asks for rows 0..ROWS-1 of `from` (a head's first element), zeros from row `limit` on. */
template <int D, int ROWS, int THREADS>
__device__ __forceinline__ void load_tile(shared_address to, const bf16 *from, int64_t stride, int limit) {
    constexpr int PIECES = D / 8, STEP = THREADS / PIECES;
    int first = (int)threadIdx.x / PIECES, piece = threadIdx.x % PIECES;
    if (first >= STEP) return;
    from += first * stride + piece * 8;
#pragma unroll
    for (int i = 0; i < ROWS; i += STEP) {
        int row = first + i;
        if (ROWS % STEP == 0 || row < ROWS)
            copy_async(to + row * D * 2 + (piece ^ twist<D>(row)) * 16, from, row < limit);
        from += STEP * stride;
    }
}

/* ------------------------------------------------------------------ which keys are seen */

/* Keys [x, y) that a query of its sequence sees, x = y = 0 for none. */
__device__ __forceinline__ int2 seen_by(const operands &a, int64_t row) {
    int begin = max(a.begin[row * a.begin_stride], 0), end = min(a.end[row * a.end_stride], a.keys);
    return begin < end ? make_int2(begin, end) : make_int2(0, 0);
}

/* Of some queries: keys [x, y) are seen by any, [z, w) by all of those that see any. */
__device__ __forceinline__ int4 no_range(int keys) { return make_int4(INT_MAX, 0, 0, keys); }

__device__ __forceinline__ int4 joined(int4 a, int2 seen) {
    if (seen.x >= seen.y) return a;
    return make_int4(min(a.x, seen.x), max(a.y, seen.y), max(a.z, seen.x), min(a.w, seen.y));
}

__device__ __forceinline__ int4 joined_lanes(int4 a) {
    return make_int4(__reduce_min_sync(ALL_LANES, a.x), __reduce_max_sync(ALL_LANES, a.y),
                     __reduce_max_sync(ALL_LANES, a.z), __reduce_min_sync(ALL_LANES, a.w));
}

/* ------------------------------------------------------------------ on the host */

inline columns columns_of(const matrix &m) { return {(bf16 *)m.data, m.stride}; }

inline operands operands_of(const attend_args *a) {
    operands in = {};
    in.q = columns_of(a->q), in.k = columns_of(a->k), in.v = columns_of(a->v), in.o = columns_of(a->o);
    in.begin = (const int32_t *)a->begin.data, in.begin_stride = a->begin.stride;
    in.end = (const int32_t *)a->end.data, in.end_stride = a->end.stride;
    in.queries = (int)(a->q.rows / a->batch), in.keys = (int)(a->k.rows / a->batch), in.heads = (int)a->heads;
    in.scale = a->scale;
    return in;
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* How many parts of `tiles` keep the machine at work: `blocks` blocks for each part, `slots` run at once. A part more
 * costs about `price` tiles of one block. */
inline int64_t best_parts(int64_t slots, int64_t blocks, int64_t tiles, int64_t least, double price) {
    int64_t best = least;
    double best_cost = INFINITY;
    for (int64_t parts = least; parts <= 64 && (parts == least || parts <= tiles); parts++) {
        double share = (double)ceil_div(tiles, parts), waves = (double)ceil_div(blocks * parts, slots);
        double cost = waves * (share + price);
        if (cost < best_cost * 0.97) best = parts, best_cost = cost;
    }
    return best;
}

inline bool fits_copies(const matrix &m) {
    return m.type == BF16 && m.data && m.stride % 8 == 0 && (uintptr_t)m.data % 16 == 0;
}

} // namespace

#endif
