/* Attention backward on Hopper's tensor cores, in two kernels that share nothing but what attend_rows prepares.
 *
 * One kernel walks over queries for fixed keys and sums up dk and dv, the other over keys for fixed queries and sums up
 * dq. Both compute S and dP = dO V^T, so there are seven products instead of the five of a kernel that does everything:
 * 14 N M C operations instead of 10. What they buy:
 *   - every sum stays in registers and is written once: no part of dq goes through memory. One kernel would add, for a
 *     tile of 128 keys by 128 queries with D = 64, 32 KiB of floats to global memory, and a copy of all of dq for
 *     each block that must not wait for the others if the sum's order is to be always the same.
 *   - P and dS do not go through shared memory. Where dk and dv are summed up, the tile is computed transposed
 *     (S^T = K Q^T, keys down), where dq is, as in the forward pass; either way the sums of the first products are, in
 *     the same registers, the left operand of the later ones. One kernel needs dS both ways and with it, for each such
 *     tile, 350 KiB through shared memory in the 2560 clocks of its five products, which is more than it can move (128
 *     bytes a clock); these two need 160 KiB in 2048 and 160 KiB in 1536.
 *
 * A block has two warpgroups, of 64 keys or queries each, with up to 255 registers a thread. Products run while
 * exponentials are computed: P of a tile while its dP is under way, dS while dv += P^T dO is, and so on. A pair of
 * query and key needs one exponential in each kernel, in time half and two thirds of its products. Where both
 * warpgroups begin with the same tile, one goes first, so that each computes exponentials while the tensor cores work
 * for the other; without that the kernels took 1 % more time.
 *
 * P = exp2(scale2 S - lse2) needs no sums, so tiles come in any order; a query that sees nothing has lse2 = +infinity
 * and so P = 0, as have rows beyond the last query.
 *
 * Measured in TFLOP/s, 10 operations for each query, key and column, on an NVIDIA H200 on 2026-11-26, H = 16, D = 64,
 * beside cuDNN and FlashAttention-2 through PyTorch 2.11 on the same card:
 *
 *     B, N, M                    1 and 8, 1024, 131072   16, 1024, 12288   32, 1024, 1024 causal
 *     this                                  396 to 432        414 to 417                      232
 *     cuDNN                                 425 to 468               409                      249
 *     FlashAttention-2                             265               274                      186
 *
 * Two blocks of one warpgroup on a multiprocessor, which help a short forward pass, are no faster here (233).
 *
 * Test: tests/cuda/test_attend_wgmma.cu. */
#include "cuda/attend_wgmma.h"
#include "cuda/attend_wgmma_parts.h"

#include <type_traits>

/* What is known of a query, for each sequence, head and tile of `row_tile` queries: planes of so many numbers. */
enum { PLANE_LSE2, PLANE_DELTA, PLANE_BEGIN, PLANE_END, PLANES };

typedef struct backward_work {
    tensor_map q, k, v, grad_o;
    const bf16 *o_data, *grad_o_data;
    bf16 *dq, *dk, *dv;
    const float *lse;
    float *planes;   /* [batch, heads, row tiles, PLANES, row_tile] */
    extent *extents; /* [batch, row tiles] */
    const int *begin, *end;
    int64_t o_stride, grad_o_stride, dq_stride, dk_stride, dv_stride, lse_stride, begin_stride, end_stride;
    block_order order; /* of the blocks of keys or of queries */
    int queries, keys, batch, heads, row_tiles, query_blocks, key_blocks;
    float scale, scale2;
} backward_work;

/* ---------------------------------------------------------------- what is known of queries */

/* Of eight BF16 each. */
static __device__ __forceinline__ float product_of_eight(uint4 x, uint4 y) {
    const uint32_t a[4] = {x.x, x.y, x.z, x.w}, b[4] = {y.x, y.y, y.z, y.w};
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; i++)
        sum += __uint_as_float(a[i] << 16) * __uint_as_float(b[i] << 16) +
               __uint_as_float(a[i] & 0xffff0000u) * __uint_as_float(b[i] & 0xffff0000u);
    return sum;
}

/* A block fills the planes of one tile of one head, D / 8 lanes for each query: delta is the sum of o dO. Neighbours
 * have the same rows, whose heads' columns lie side by side. */
template <int D, int row_tile>
static __global__ void __launch_bounds__(256) attend_rows(const __grid_constant__ backward_work w) {
    constexpr int lanes = D / 8, step = 256 / lanes, rounds = row_tile / step;
    int x = (int)blockIdx.x, head = x % w.heads, tile = x / w.heads % w.row_tiles,
        sequence = x / w.heads / w.row_tiles, mine = threadIdx.x / lanes;
    int64_t which = ((int64_t)sequence * w.heads + head) * w.row_tiles + tile;
    float *plane = w.planes + which * (PLANES * row_tile);
    uint4 o[rounds], grad[rounds];
#pragma unroll
    for (int r = 0; r < rounds; r++) {
        int query = tile * row_tile + r * step + mine, column = head * D + threadIdx.x % lanes * 8;
        int64_t line = (int64_t)sequence * w.queries + query;
        o[r] = grad[r] = make_uint4(0, 0, 0, 0);
        if (query >= w.queries) continue;
        o[r] = *(const uint4 *)(w.o_data + line * w.o_stride + column);
        grad[r] = *(const uint4 *)(w.grad_o_data + line * w.grad_o_stride + column);
    }
#pragma unroll
    for (int r = 0; r < rounds; r++) {
        int i = r * step + mine, query = tile * row_tile + i;
        int64_t line = (int64_t)sequence * w.queries + query;
        bool there = query < w.queries;
        float sum = product_of_eight(o[r], grad[r]);
#pragma unroll
        for (int lane = lanes / 2; lane > 0; lane /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lane);
        if (threadIdx.x % lanes != 0) continue;
        plane[PLANE_LSE2 * row_tile + i] = there ? w.lse[line * w.lse_stride + head] * 1.44269504088896f : INFINITY;
        plane[PLANE_DELTA * row_tile + i] = sum;
        ((int *)plane)[PLANE_BEGIN * row_tile + i] = there ? w.begin[line * w.begin_stride] : 0;
        ((int *)plane)[PLANE_END * row_tile + i] = there ? w.end[line * w.end_stride] : 0;
    }
    if (head != 0) return;
    __syncthreads();
    const int *ints = (const int *)plane;
    if (threadIdx.x >= 32) return;
    extent e = extent_of(ints + PLANE_BEGIN * row_tile, ints + PLANE_END * row_tile, row_tile);
    if (threadIdx.x == 0) w.extents[sequence * w.row_tiles + tile] = e;
}

/* ---------------------------------------------------------------- shared memory */

/* Warpgroups with 64 fixed rows each of two matrices, and stages of `moving` rows of two others with, for the kernel of
 * dk and dv, their planes. Two warpgroups fill a multiprocessor, as one block or as two. */
template <int D_, int warpgroups_, int moving_, int stages_, bool planes> struct backward_shape {
    static constexpr int D = D_, warpgroups = warpgroups_, moving = moving_, stages = stages_;
    static constexpr int threads = warpgroups * WARPGROUP, blocks = 2 / warpgroups, rows = warpgroups * WARPGROUP_ROWS;
    static constexpr int halves = D / TILE_COLUMNS;
    static constexpr int fixed_bytes = WARPGROUP_ROWS * D * 2; /* of a warpgroup and matrix */
    static constexpr int half_bytes = moving * TILE_ROW_BYTES, moving_bytes = moving * D * 2;
    static constexpr int planes_at = 2 * moving_bytes, planes_bytes = planes ? PLANES * moving * 4 : 0;
    static constexpr int stage_bytes = planes_at + planes_bytes;
    static constexpr int ring_at = 2 * warpgroups * fixed_bytes; /* matrix 0 of all warpgroups, then matrix 1 */
    static constexpr int barriers_at = ring_at + stages * stage_bytes;
    static constexpr int left_at = barriers_at + (stages + 1) * 8;
    static constexpr int bytes = left_at + (stages + 1) / 2 * 8;
    static_assert(stage_bytes % 1024 == 0, "tiles begin at multiples of 1024 bytes");
};

/* By one thread, at first: the barriers, and the fixed rows of all warpgroups. */
template <class S>
static __device__ __forceinline__ void load_fixed(uint32_t base, const ring &moving, const tensor_map *a,
                                                  const tensor_map *b, int column, int row, int sequence) {
    uint32_t barrier = base + S::barriers_at + S::stages * 8;
    ring_init<S::stages>(moving);
    barrier_init(barrier, 1);
    copies_ready();
    barrier_expect(barrier, 2 * S::warpgroups * S::fixed_bytes);
    for (int i = 0; i < 2 * S::warpgroups * S::halves; i++)
        tile_load(base + i * WARPGROUP_ROWS * TILE_ROW_BYTES, i < S::warpgroups * S::halves ? a : b,
                  column + i % S::halves * TILE_COLUMNS, row + i / S::halves % S::warpgroups * WARPGROUP_ROWS, sequence,
                  barrier);
}

/* And a stage. */
template <class S>
static __device__ __forceinline__ void load_moving(uint32_t to, const tensor_map *a, const tensor_map *b, int column,
                                                   int row, int sequence, uint32_t barrier) {
    barrier_expect(barrier, S::stage_bytes);
    for (int half = 0; half < S::halves; half++) {
        tile_load(to + half * S::half_bytes, a, column + half * TILE_COLUMNS, row, sequence, barrier);
        tile_load(to + S::moving_bytes + half * S::half_bytes, b, column + half * TILE_COLUMNS, row, sequence,
                  barrier);
    }
}

/* s = a b^T over D columns: a fixed, b moving. Not committed. */
template <int D, int n>
static __device__ __forceinline__ void multiply_rows(float (&s)[n], uint64_t a, uint64_t b) {
    wgmma_fence(s);
#pragma unroll
    for (int i = 0; i < D / 16; i++)
        wgmma_ss<false>(s, a + i / 4 * (WARPGROUP_ROWS * TILE_ROW_BYTES / 16) + i % 4 * 2,
                        b + i / 4 * (2 * n * TILE_ROW_BYTES / 16) + i % 4 * 2, i > 0);
}

/* ---------------------------------------------------------------- dk and dv */

/* P^T [64 keys, queries] from S^T. The first of this thread's keys is `key`, the second key + 8; `planes` starts at
 * the first of its queries. */
template <int row_tile>
static __device__ __forceinline__ void probabilities_by_key(float (&s)[row_tile / 2], const float *planes, float scale2,
                                                            bool masked, int key) {
    const int *ints = (const int *)planes;
    if (masked) {
#pragma unroll
        for (int i = 0; i < row_tile / 2; i++) {
            int column = i / 4 * 8 + i % 2, low = ints[PLANE_BEGIN * row_tile + column],
                high = ints[PLANE_END * row_tile + column], mine = key + i / 2 % 2 * 8;
            if (mine < low || mine >= high) s[i] = -INFINITY;
        }
    }
#pragma unroll
    for (int i = 0; i < row_tile / 2; i += 4) {
        float2 lse2 = *(const float2 *)(planes + PLANE_LSE2 * row_tile + i * 2);
        s[i] = exp2_fast(s[i] * scale2 - lse2.x);
        s[i + 1] = exp2_fast(s[i + 1] * scale2 - lse2.y);
        s[i + 2] = exp2_fast(s[i + 2] * scale2 - lse2.x);
        s[i + 3] = exp2_fast(s[i + 3] * scale2 - lse2.y);
    }
}

/* dS^T / scale = P^T (dP^T - delta), in place of dP^T */
template <int row_tile>
static __device__ __forceinline__ void gradients_by_key(float (&dp)[row_tile / 2], const float (&p)[row_tile / 2],
                                                        const float *planes) {
#pragma unroll
    for (int i = 0; i < row_tile / 2; i += 4) {
        float2 delta = *(const float2 *)(planes + PLANE_DELTA * row_tile + i * 2);
        dp[i] = p[i] * (dp[i] - delta.x);
        dp[i + 1] = p[i + 1] * (dp[i + 1] - delta.y);
        dp[i + 2] = p[i + 2] * (dp[i + 2] - delta.x);
        dp[i + 3] = p[i + 3] * (dp[i + 3] - delta.y);
    }
}

/* The tiles of queries, from the first to the last that sees any of `count` keys from `key` on. By a warp. */
[[maybe_unused]] static __device__ __forceinline__ tiles tiles_seeing(const extent *extents, int row_tiles, int key,
                                                                      int count) {
    int first = INT_MAX, until = 0;
    for (int i = threadIdx.x % 32; i < row_tiles; i += 32)
        if (extent_meets(extents[i], key, count)) {
            first = min(first, i);
            until = i + 1;
        }
    first = __reduce_min_sync(0xffffffffu, first);
    until = __reduce_max_sync(0xffffffffu, until);
    return first < until ? tiles{first, until} : tiles{0, 0};
}

template <class S>
static __global__ void __launch_bounds__(S::threads, S::blocks)
    attend_backward_keys(const __grid_constant__ backward_work w) {
#if WGMMA_HERE
    constexpr int D = S::D, row_tile = S::moving, stages = S::stages;
    DYNAMIC_SHARED(memory);
    block_place at = block_place_of(w.order);
    int thread = threadIdx.x, group = warpgroup_index(), head = at.head, sequence = at.sequence;
    int first_key = at.turn * S::rows, my_key = first_key + group * WARPGROUP_ROWS;
    uint32_t base = shared_offset(memory);
    ring rows_in = {base + S::barriers_at, (unsigned *)(memory + S::left_at)};
    const extent *extents = w.extents + (int64_t)sequence * w.row_tiles;
    if (thread == 0) load_fixed<S>(base, rows_in, &w.k, &w.v, head * D, first_key, sequence);
    __syncthreads();

    tiles all = tiles_seeing(extents, w.row_tiles, first_key, S::rows);
    tiles own = tiles_within(tiles_seeing(extents, w.row_tiles, my_key, WARPGROUP_ROWS), all);
    int count = all.until - all.first;
    auto load = [&](int j) {
        uint32_t to = base + S::ring_at + (uint32_t)j % stages * S::stage_bytes;
        uint32_t barrier = ring_barrier<stages>(rows_in, j);
        int tile = all.first + j;
        load_moving<S>(to, &w.q, &w.grad_o, head * D, tile * row_tile, sequence, barrier);
        int64_t which = ((int64_t)sequence * w.heads + head) * w.row_tiles + tile;
        bytes_load(to + S::planes_at, w.planes + which * (PLANES * row_tile), S::planes_bytes, barrier);
    };
    if (thread == 0)
        for (int j = 0; j < min(count, stages); j++) load(j);

    float s[row_tile / 2], dp[row_tile / 2], dk[D / 2], dv[D / 2];
#pragma unroll
    for (int i = 0; i < D / 2; i++) dk[i] = dv[i] = 0;
    uint64_t k = tile_rows(base + group * S::fixed_bytes), v = k + S::warpgroups * S::fixed_bytes / 16;
    auto leave = [&](int j) {
        if (ring_leave<stages, S::warpgroups * 4>(rows_in, j) && j + stages < count) load(j + stages);
    };
    auto skip = [&](int from, int until) {
        for (int j = from; j < until; j++) {
            ring_wait<stages>(rows_in, j);
            leave(j);
        }
    };
    auto stage_of = [&](int j) { return S::ring_at + (uint32_t)j % stages * S::stage_bytes; };
    auto begin_scores = [&](int j) {
        multiply_rows<D>(s, k, tile_rows(base + stage_of(j)));
        wgmma_commit();
    };
    auto begin_grad = [&](int j) {
        multiply_rows<D>(dp, v, tile_rows(base + stage_of(j) + S::moving_bytes));
        wgmma_commit();
    };
    bool in_turn = S::warpgroups == 2 && count > 0 && extent_meets(extents[all.first], first_key, WARPGROUP_ROWS) &&
                   extent_meets(extents[all.first], first_key + WARPGROUP_ROWS, WARPGROUP_ROWS);
    barrier_wait(rows_in.barriers + stages * 8, 0);
    skip(0, own.first);
    auto tile_step = [&](int j, auto last) {
        const float *planes = (const float *)(memory + stage_of(j) + S::planes_at) + thread % 4 * 2;
        extent e = extents[all.first + j];
        int key = my_key + thread % WARPGROUP / 32 * 16 + thread % 32 / 4;
        uint32_t p[row_tile / 16][4], ds[row_tile / 16][4];
        wgmma_wait<1>(s); /* dP is under way */
        probabilities_by_key<row_tile>(s, planes, w.scale2, !extent_covers(e, my_key, WARPGROUP_ROWS), key);
        pack_operand<0, row_tile / 2>(p, s);
        begin_sums(dv, p, tile_sums(base + stage_of(j) + S::moving_bytes, S::half_bytes));
        wgmma_wait<1>(dp); /* dv += is under way */
        gradients_by_key<row_tile>(dp, s, planes);
        pack_operand<0, row_tile / 2>(ds, dp);
        begin_sums(dk, ds, tile_sums(base + stage_of(j), S::half_bytes));
        if constexpr (!decltype(last)::value) {
            ring_wait<stages>(rows_in, j + 1);
            begin_scores(j + 1);
            wgmma_wait<1>(dk, dv); /* frees the registers of P and dS */
            begin_grad(j + 1);
        } else {
            wgmma_wait<0>(dk, dv);
        }
        leave(j);
    };
    if (own.first < own.until) {
        ring_wait<stages>(rows_in, own.first);
        hold(dk);
        hold(dv);
        if (in_turn && group == 1) barrier_sync(1, 2 * WARPGROUP);
        begin_scores(own.first);
        begin_grad(own.first);
        if (in_turn && group == 0) barrier_arrive(1, 2 * WARPGROUP);
        for (int j = own.first; j < own.until - 1; j++) tile_step(j, std::false_type());
        tile_step(own.until - 1, std::true_type());
    }
    skip(own.until, count);

    unsigned char *tile = memory + group * S::fixed_bytes; /* of keys, and of values behind all */
    int64_t line = (int64_t)sequence * w.keys + my_key;
    store_rows<D>(dk, w.scale, w.scale, tile, w.dk + line * w.dk_stride + head * D, w.dk_stride, w.keys - my_key);
    store_rows<D>(dv, 1, 1, tile + S::warpgroups * S::fixed_bytes, w.dv + line * w.dv_stride + head * D, w.dv_stride,
                  w.keys - my_key);
#endif
}

/* ---------------------------------------------------------------- dq */

/* What a thread knows of its two queries. */
typedef struct row_pair {
    float lse2[2], delta[2];
    int begin[2], end[2];
} row_pair;

template <int row_tile>
static __device__ __forceinline__ row_pair rows_of(const backward_work &w, int sequence, int head, int query) {
    row_pair rows;
#pragma unroll
    for (int r = 0; r < 2; r++, query += 8) {
        int64_t tile = ((int64_t)sequence * w.heads + head) * w.row_tiles + query / row_tile;
        bool there = query / row_tile < w.row_tiles;
        const float *plane = w.planes + tile * (PLANES * row_tile) + query % row_tile;
        rows.lse2[r] = there ? plane[PLANE_LSE2 * row_tile] : INFINITY;
        rows.delta[r] = there ? plane[PLANE_DELTA * row_tile] : 0;
        rows.begin[r] = there ? ((const int *)plane)[PLANE_BEGIN * row_tile] : 0;
        rows.end[r] = there ? ((const int *)plane)[PLANE_END * row_tile] : 0;
    }
    return rows;
}

/* P from S, [64 queries, keys], the first of which is `key`. */
template <int n>
static __device__ __forceinline__ void probabilities(float (&s)[n], const row_pair &rows, float scale2, bool masked,
                                                     int key) {
    if (masked) {
#pragma unroll
        for (int i = 0; i < n; i++) {
            int r = i / 2 % 2, mine = key + threadIdx.x % 4 * 2 + i / 4 * 8 + i % 2;
            if (mine < rows.begin[r] || mine >= rows.end[r]) s[i] = -INFINITY;
        }
    }
#pragma unroll
    for (int i = 0; i < n; i++) s[i] = exp2_fast(s[i] * scale2 - rows.lse2[i / 2 % 2]);
}

/* By a warp, for the 64 queries from `query` on. */
[[maybe_unused]] static __device__ __forceinline__ extent rows_extent(const backward_work &w, int sequence, int query) {
    extent e = {INT_MAX, 0, 0, INT_MAX};
    query += threadIdx.x % 32;
#pragma unroll
    for (int i = query; i < query + WARPGROUP_ROWS; i += 32) {
        int64_t line = (int64_t)sequence * w.queries + i;
        if (i < w.queries) extent_add(&e, w.begin[line * w.begin_stride], w.end[line * w.end_stride]);
    }
    e.low = __reduce_min_sync(0xffffffffu, e.low);
    e.high = __reduce_max_sync(0xffffffffu, e.high);
    e.all_low = __reduce_max_sync(0xffffffffu, e.all_low);
    e.all_high = __reduce_min_sync(0xffffffffu, e.all_high);
    return e;
}

template <class S, int row_tile>
static __global__ void __launch_bounds__(S::threads, S::blocks)
    attend_backward_queries(const __grid_constant__ backward_work w) {
#if WGMMA_HERE
    constexpr int D = S::D, key_tile = S::moving, stages = S::stages;
    DYNAMIC_SHARED(memory);
    block_place at = block_place_of(w.order);
    int thread = threadIdx.x, group = warpgroup_index(), head = at.head, sequence = at.sequence;
    int first_query = (w.query_blocks - 1 - at.turn) * S::rows,
        my_query = first_query + group * WARPGROUP_ROWS;
    uint32_t base = shared_offset(memory);
    ring keys_in = {base + S::barriers_at, (unsigned *)(memory + S::left_at)};
    if (thread == 0) load_fixed<S>(base, keys_in, &w.q, &w.grad_o, head * D, first_query, sequence);
    __syncthreads();

    extent mine = rows_extent(w, sequence, my_query), other = mine;
    if (S::warpgroups == 2) other = rows_extent(w, sequence, first_query + (1 - group) * WARPGROUP_ROWS);
    tiles all = tiles_of(extent{min(mine.low, other.low), max(mine.high, other.high), 0, 0}, key_tile);
    tiles own = tiles_within(tiles_of(mine, key_tile), all);
    int count = all.until - all.first;
    auto load = [&](int j) {
        uint32_t to = base + S::ring_at + (uint32_t)j % stages * S::stage_bytes;
        load_moving<S>(to, &w.k, &w.v, head * D, (all.first + j) * key_tile, sequence,
                            ring_barrier<stages>(keys_in, j));
    };
    if (thread == 0)
        for (int j = 0; j < min(count, stages); j++) load(j);

    float s[key_tile / 2], dp[key_tile / 2], dq[D / 2];
#pragma unroll
    for (int i = 0; i < D / 2; i++) dq[i] = 0;
    row_pair rows = rows_of<row_tile>(w, sequence, head, my_query + thread % WARPGROUP / 32 * 16 + thread % 32 / 4);
    uint64_t q = tile_rows(base + group * S::fixed_bytes), grad_o = q + S::warpgroups * S::fixed_bytes / 16;
    auto leave = [&](int j) {
        if (ring_leave<stages, S::warpgroups * 4>(keys_in, j) && j + stages < count) load(j + stages);
    };
    auto skip = [&](int from, int until) {
        for (int j = from; j < until; j++) {
            ring_wait<stages>(keys_in, j);
            leave(j);
        }
    };
    auto stage_of = [&](int j) { return base + S::ring_at + (uint32_t)j % stages * S::stage_bytes; };
    auto begin_scores = [&](int j) {
        multiply_rows<D>(s, q, tile_rows(stage_of(j)));
        wgmma_commit();
    };
    auto begin_grad = [&](int j) {
        multiply_rows<D>(dp, grad_o, tile_rows(stage_of(j) + S::moving_bytes));
        wgmma_commit();
    };
    bool in_turn = S::warpgroups == 2 && mine.low < mine.high && other.low < other.high &&
                   tiles_of(mine, key_tile).first == tiles_of(other, key_tile).first;
    barrier_wait(keys_in.barriers + stages * 8, 0);
    skip(0, own.first);
    auto tile_step = [&](int j, auto last) {
        int key = (all.first + j) * key_tile;
        uint32_t ds[key_tile / 16][4];
        wgmma_wait<2>(s); /* dq += of the tile before and dP are under way */
        probabilities(s, rows, w.scale2, !extent_covers(mine, key, key_tile), key);
        hold(s); /* the exponentials come first */
        wgmma_wait<0>(dp, dq);
        if (j > own.first) leave(j - 1);
#pragma unroll
        for (int i = 0; i < key_tile / 2; i++) dp[i] = s[i] * (dp[i] - rows.delta[i / 2 % 2]);
        pack_operand<0, key_tile / 2>(ds, dp);
        if constexpr (!decltype(last)::value) {
            ring_wait<stages>(keys_in, j + 1);
            begin_scores(j + 1);
        }
        begin_sums(dq, ds, tile_sums(stage_of(j), S::half_bytes));
        if constexpr (!decltype(last)::value) begin_grad(j + 1);
    };
    if (own.first < own.until) {
        ring_wait<stages>(keys_in, own.first);
        hold(dq);
        if (in_turn && group == 1) barrier_sync(1, 2 * WARPGROUP);
        begin_scores(own.first);
        wgmma_commit(); /* in the place of dq += */
        begin_grad(own.first);
        if (in_turn && group == 0) barrier_arrive(1, 2 * WARPGROUP);
        for (int j = own.first; j < own.until - 1; j++) tile_step(j, std::false_type());
        tile_step(own.until - 1, std::true_type());
        wgmma_wait<0>(dq);
        leave(own.until - 1);
    }
    skip(own.until, count);
    bf16 *to = w.dq + ((int64_t)sequence * w.queries + my_query) * w.dq_stride + head * D;
    store_rows<D>(dq, w.scale, w.scale, memory + group * S::fixed_bytes, to, w.dq_stride, w.queries - my_query);
#endif
}

/* ---------------------------------------------------------------- on the host */

static bool backward_maps(backward_work *w, const attend_bwd_args *b, int row_tile, int key_tile, bool by_key) {
    const attend_args *a = &b->fwd;
    int64_t N = w->queries, M = w->keys;
    int rows = by_key ? row_tile : WARPGROUP_ROWS, keys = by_key ? WARPGROUP_ROWS : key_tile;
    return tensor_map_make(&w->q, a->q.data, a->q.cols, N, a->batch, a->q.stride, rows) &&
           tensor_map_make(&w->grad_o, b->grad_o.data, b->grad_o.cols, N, a->batch, b->grad_o.stride, rows) &&
           tensor_map_make(&w->k, a->k.data, a->k.cols, M, a->batch, a->k.stride, keys) &&
           tensor_map_make(&w->v, a->v.data, a->v.cols, M, a->batch, a->v.stride, keys);
}

static void backward_fill(backward_work *w, const attend_bwd_args *b) {
    const attend_args *a = &b->fwd;
    w->o_data = (const bf16 *)a->o.data;
    w->grad_o_data = (const bf16 *)b->grad_o.data;
    w->dq = (bf16 *)b->dq.data;
    w->dk = (bf16 *)b->dk.data;
    w->dv = (bf16 *)b->dv.data;
    w->lse = (const float *)a->lse.data;
    w->begin = (const int *)a->begin.data;
    w->end = (const int *)a->end.data;
    w->o_stride = a->o.stride;
    w->grad_o_stride = b->grad_o.stride;
    w->dq_stride = b->dq.stride;
    w->dk_stride = b->dk.stride;
    w->dv_stride = b->dv.stride;
    w->lse_stride = a->lse.stride;
    w->begin_stride = a->begin.stride;
    w->end_stride = a->end.stride;
    w->queries = (int)(a->q.rows / a->batch);
    w->keys = (int)(a->k.rows / a->batch);
    w->batch = (int)a->batch;
    w->heads = (int)a->heads;
    w->scale = a->scale;
    w->scale2 = a->scale * 1.44269504088896f;
}

/* Tiles that move are of as many rows in one kernel as in the other. */
template <class by_key, class by_query> static void backward(cuda_context *c, const attend_bwd_args *b) {
    constexpr int D = by_key::D, tile = by_key::moving;
    static_assert(by_query::moving == tile, "the planes are of so many queries");
    auto keys = attend_backward_keys<by_key>;
    auto queries = attend_backward_queries<by_query, tile>;
    backward_work w;
    backward_fill(&w, b);
    w.row_tiles = (w.queries + tile - 1) / tile;
    w.key_blocks = (w.keys + by_key::rows - 1) / by_key::rows;
    w.query_blocks = (w.queries + by_query::rows - 1) / by_query::rows;
    int64_t heads = b->fwd.batch * b->fwd.heads;
    size_t planes = (size_t)(heads * w.row_tiles) * PLANES * tile * sizeof(float);
    w.planes = (float *)cuda_scratch(c, planes + (size_t)(b->fwd.batch * w.row_tiles) * sizeof(extent));
    if (!w.planes) return;
    w.extents = (extent *)((char *)w.planes + planes);
    cudaFuncAttribute most = cudaFuncAttributeMaxDynamicSharedMemorySize;
    if (!cuda_fine(c, cudaFuncSetAttribute(keys, most, by_key::bytes), "attend_backward_keys") ||
        !cuda_fine(c, cudaFuncSetAttribute(queries, most, by_query::bytes), "attend_backward_queries"))
        return;
    if (!backward_maps(&w, b, tile, tile, true)) {
        cuda_fine(c, cudaErrorNotSupported, "tensor maps");
        return;
    }
    LAUNCH((attend_rows<D, tile>), (unsigned)(heads * w.row_tiles), 256, 0, c->stream, w);
    if (!cuda_launched(c, "attend_rows")) return;
    w.order = block_order_of(&b->fwd, c->multiprocessors * by_key::blocks, w.key_blocks, w.queries);
    LAUNCH(keys, (unsigned)(heads * w.key_blocks), by_key::threads, by_key::bytes, c->stream, w);
    if (!cuda_launched(c, "attend_backward_keys")) return;
    backward_maps(&w, b, tile, tile, false);
    w.order = block_order_of(&b->fwd, c->multiprocessors * by_query::blocks, w.query_blocks, w.keys);
    LAUNCH(queries, (unsigned)(heads * w.query_blocks), by_query::threads, by_query::bytes, c->stream, w);
    cuda_launched(c, "attend_backward_queries");
}

static bool aligned(const matrix *m) {
    return m->type == BF16 && (uintptr_t)m->data % 16 == 0 && m->stride % 8 == 0;
}

bool wgmma_attend_bwd_fits(const cuda_context *c, const attend_bwd_args *b) {
    return wgmma_attend_fits(c, &b->fwd) && aligned(&b->grad_o) && aligned(&b->dq) && aligned(&b->dk) &&
           aligned(&b->dv);
}

void wgmma_attend_bwd(cuda_context *c, const attend_bwd_args *b) {
    if (b->fwd.q.cols / b->fwd.heads == 128)
        backward<backward_shape<128, 2, 64, 4, true>, backward_shape<128, 2, 64, 4, false>>(c, b);
    else backward<backward_shape<64, 2, 128, 4, true>, backward_shape<64, 2, 128, 4, false>>(c, b);
}

int64_t wgmma_attend_chunks(int, int64_t, int64_t, int64_t) { return 1; }
