/* Attention forward on Hopper's tensor cores: FlashAttention (Dao et al. 2022; Shah et al. 2024) for wgmma.h.
 *
 * A block has 256 queries of one head (128 with 128 columns), 64 for each warpgroup, which keeps its sums o [64, D]
 * in registers and walks over tiles of 128 keys: S = Q K^T, softmax in registers, o += P V with P as it stands in
 * registers. While one warpgroup computes exponentials the tensor cores work for the others. With D = 64 a pair of
 * query and key costs 256 operations of a tensor core, which does 4096 in a clock, and one exponential, of which there
 * are 16 in a clock, so the two units are equally busy and everything else must be little:
 *   - The maximum that exponentials are taken against moves only when a new one is larger by a factor of 2^8 (sums then
 *     hold, in floats, numbers up to 2^8 larger), so that o is hardly ever scaled.
 *   - With D = 64 no maximum is even looked for behind the first tile. Exponentials are taken against the last one, and
 *     their sums tell if that was good enough; if not, S is computed again and the maximum moves.
 *   - With D = 128, where there are but two warpgroups, o += P V of half a tile runs beside the exponentials of the
 *     other half.
 * Four warpgroups take 128 registers a thread; 256 queries halve what a block of 128 would read of keys and values.
 * Where the queries do not fill the multiprocessors, parts of the keys go to different blocks, which write o and lse
 * of their part, and merge_parts joins them in the order of the parts.
 *
 * Measured in TFLOP/s, 4 operations for each query, key and column, on an NVIDIA H200 on 2026-11-26, beside cuDNN and
 * FlashAttention-2 through PyTorch 2.11 on the same card; H is 16, but 8 with N 512 and with D 128:
 *
 *     D 64: B, N, M                1, 1024, 131072  8, 1024, 131072  16, 1024, 12288  32, 512, 4096  32, 1024, causal
 *     this                                     607              585              584              497               306
 *     without SHORT_KEYS                       610              626              566              495               296
 *     and blocks in plain order                568              559              593            522               295
 *     maximum of all tiles, halves             556              544              500            496               277
 *     cuDNN                                        458 to 496                    421              -               342
 *     FlashAttention-2                                247                        319              -               218
 *
 * The way of FlashAttention-3, where the next S and the last o += P V are under way beside a tile's exponentials, needs
 * registers for S and P at once and so allows but three warpgroups: 390 to 433, and 353 to 383 with two. With D = 128
 * halves are the fastest of the three ways: 662 (B 1, N 1024, M 131072) and 316 (B 16, N = M = 1024, causal).
 *
 * Test: tests/cuda/test_attend_wgmma.cu. */
#include "cuda/attend_wgmma.h"
#include "cuda/attend_wgmma_parts.h"

typedef struct forward_work {
    tensor_map q, k, v;
    bf16 *o;
    float *lse, *part_o, *part_lse; /* parts [parts, batch N, H D] and [parts, batch N, H], where there are several */
    const int *begin, *end;
    int64_t o_stride, lse_stride, begin_stride, end_stride;
    block_order order;
    int queries, batch, heads, query_blocks, parts;
    float scale, scale2; /* scale2: of base 2 exponentials */
} forward_work;

/* Up to so many keys, two blocks of 128 queries share a multiprocessor instead of one of 256: one works while the other
 * begins or ends, which is much of a short block's time. They read keys and values twice as often, from the
 * second-level cache. */
enum { SHORT_KEYS = 2048 };

/* Sums of a thread's exponentials up to which the maximum of earlier tiles is good enough. */
#define SUM_LIMIT 65536.0f

/* A block's share of the work, and where things stand in its shared memory, from its start. `blocks` of them are on a
 * multiprocessor. */
template <int D_, int warpgroups_, int keys_, int stages_, int blocks_> struct forward_shape {
    static constexpr int D = D_, warpgroups = warpgroups_, keys = keys_, stages = stages_, blocks = blocks_;
    static constexpr int threads = warpgroups * WARPGROUP, rows = warpgroups * WARPGROUP_ROWS;
    static constexpr int halves = D / TILE_COLUMNS;
    static constexpr int query_bytes = WARPGROUP_ROWS * D * 2; /* of a warpgroup: `halves` tiles */
    static constexpr int half_bytes = keys * TILE_ROW_BYTES, keys_bytes = keys * D * 2;
    static constexpr int stage_bytes = 2 * keys_bytes;
    static constexpr int ring_at = warpgroups * query_bytes;
    static constexpr int barriers_at = ring_at + stages * stage_bytes;
    static constexpr int left_at = barriers_at + (stages + 1) * 8;
    static constexpr int begin_at = left_at + (stages + 1) / 2 * 8, end_at = begin_at + rows * 4;
    static constexpr int bytes = end_at + rows * 4;
};

/* What a block does, and which of its tiles, from the first on, its warpgroups see and see all of. */
typedef struct forward_block {
    int first_query, part, head, sequence, group;
    uint32_t base, queries_here;
    ring tiles_in;
    const int *begin, *end; /* of its queries */
    int first, count;
    tiles own, covered;
} forward_block;

/* -infinity where the two rows of this thread do not see the keys from `key` on. */
template <int n>
static __device__ __forceinline__ void hide_keys(float (&s)[n], const int *begin, const int *end, int key) {
    int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
    key += threadIdx.x % 4 * 2;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int low = begin[row + 8 * r] - key, high = end[row + 8 * r] - key;
#pragma unroll
        for (int i = 2 * r; i < n; i += 4)
#pragma unroll
            for (int j = i; j < i + 2; j++) {
                int col = j / 4 * 8 + j % 2;
                if (col < low || col >= high) s[j] = -INFINITY;
            }
    }
}

/* The running maximum and sum of the two rows of a thread; the sums are of this thread's columns. */
typedef struct softmax_state {
    float top[2], sum[2];
} softmax_state;

/* Moves the maxima where S [64, n] has larger scores by enough, true where any row of the warp does. What was summed
 * up before is to be multiplied by factor, as the state's sums are. */
template <int n>
static __device__ __forceinline__ bool softmax_maximum(const float (&s)[n], softmax_state *state, float (&factor)[2],
                                                       float scale2) {
    bool moved = false;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float most = fmaxf(s[2 * r], s[2 * r + 1]), most2 = fmaxf(s[2 * r + 4], s[2 * r + 5]);
#pragma unroll
        for (int i = 2 * r + 8; i < n; i += 8) {
            most = fmaxf(most, fmaxf(s[i], s[i + 1]));
            most2 = fmaxf(most2, fmaxf(s[i + 4], s[i + 5]));
        }
        most = fmaxf(most, most2);
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        bool moves = (most - state->top[r]) * scale2 > 8;
        factor[r] = moves ? exp2_fast((state->top[r] - most) * scale2) : 1;
        if (moves) state->top[r] = most;
        state->sum[r] *= factor[r];
        moved |= moves;
    }
    return __any_sync(0xffffffffu, moved);
}

template <int n> static __device__ __forceinline__ void multiply_by(float (&o)[n], const float (&factor)[2]) {
#pragma unroll
    for (int i = 0; i < n; i++) o[i] *= factor[i / 2 % 2];
}

/* The numbers from, from + 1 ... of S [64, n] become exponentials, and are added to sum. */
template <int from, int count, int n>
static __device__ __forceinline__ void softmax_exponentials(float (&s)[n], const softmax_state *state, float (&sum)[2],
                                                            float scale2) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float less = state->top[r] == -INFINITY ? 0 : state->top[r] * scale2, sum0 = 0, sum1 = 0;
#pragma unroll
        for (int i = from + 2 * r; i < from + count; i += 4) {
            s[i] = exp2_fast(s[i] * scale2 - less);
            s[i + 1] = exp2_fast(s[i + 1] * scale2 - less);
            sum0 += s[i];
            sum1 += s[i + 1];
        }
        sum[r] += sum0 + sum1;
    }
}

/* o and lse of a warpgroup's queries, or of their part. */
template <int D>
static __device__ __forceinline__ void forward_store(const forward_work &w, const forward_block &at, float (&o)[D / 2],
                                                     const softmax_state &state, unsigned char *tile) {
    int group = threadIdx.x / WARPGROUP, row = threadIdx.x % WARPGROUP / 32 * 16 + threadIdx.x % 32 / 4;
    int first = at.first_query + group * WARPGROUP_ROWS;
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = state.sum[r];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        int here = group * WARPGROUP_ROWS + row + 8 * r, query = at.first_query + here;
        if (at.begin[here] >= at.end[here]) sum = 0; /* others made this one see what it must not */
        factor[r] = sum > 0 ? 1 / sum : 0;
        if (threadIdx.x % 4 != 0 || query >= w.queries) continue;
        int64_t line = (int64_t)at.sequence * w.queries + query;
        float lse = sum > 0 ? state.top[r] * w.scale + logf(sum) : INFINITY;
        if (w.parts == 1) w.lse[line * w.lse_stride + at.head] = lse;
        else w.part_lse[((int64_t)at.part * w.batch * w.queries + line) * w.heads + at.head] = lse;
    }
    if (w.parts == 1) {
        bf16 *to = w.o + ((int64_t)at.sequence * w.queries + first) * w.o_stride + at.head * D;
        store_rows<D>(o, factor[0], factor[1], tile, to, w.o_stride, w.queries - first);
        return;
    }
    int64_t stride = (int64_t)w.heads * D;
    int64_t line = ((int64_t)at.part * w.batch + at.sequence) * w.queries + first + row;
#pragma unroll
    for (int i = 0; i < D / 4; i++) {
        int column = at.head * D + i / 2 * 8 + threadIdx.x % 4 * 2, down = i % 2 * 8;
        float2 pair = make_float2(o[2 * i] * factor[i % 2], o[2 * i + 1] * factor[i % 2]);
        if (first + row + down < w.queries) *(float2 *)(w.part_o + (line + down) * stride + column) = pair;
    }
}

/* ---------------------------------------------------------------- a block */

template <class S> static __device__ __forceinline__ uint32_t forward_stage(const forward_block &b, int j) {
    return b.base + S::ring_at + (uint32_t)j % S::stages * S::stage_bytes;
}

/* By one thread: the block's queries. */
template <class S>
static __device__ __forceinline__ void forward_load_queries(const forward_work &w, const forward_block &b) {
    barrier_expect(b.queries_here, S::warpgroups * S::query_bytes);
    for (int i = 0; i < S::warpgroups * S::halves; i++)
        tile_load(b.base + i * WARPGROUP_ROWS * TILE_ROW_BYTES, &w.q, b.head * S::D + i % S::halves * TILE_COLUMNS,
                  b.first_query + i / S::halves * WARPGROUP_ROWS, b.sequence, b.queries_here);
}

/* And tile j of keys and values. */
template <class S>
static __device__ __forceinline__ void forward_load(const forward_work &w, const forward_block &b, int j) {
    uint32_t barrier = ring_barrier<S::stages>(b.tiles_in, j), to = forward_stage<S>(b, j);
    barrier_expect(barrier, S::stage_bytes);
    for (int half = 0; half < S::halves; half++) {
        int column = b.head * S::D + half * TILE_COLUMNS, row = (b.first + j) * S::keys;
        tile_load(to + half * S::half_bytes, &w.k, column, row, b.sequence, barrier);
        tile_load(to + S::keys_bytes + half * S::half_bytes, &w.v, column, row, b.sequence, barrier);
    }
}

template <class S>
static __device__ __forceinline__ void forward_leave(const forward_work &w, const forward_block &b, int j) {
    if (ring_leave<S::stages, S::warpgroups * 4>(b.tiles_in, j) && j + S::stages < b.count)
        forward_load<S>(w, b, j + S::stages);
}

/* Tiles that others see. */
template <class S>
static __device__ __forceinline__ void forward_skip(const forward_work &w, const forward_block &b, int from,
                                                    int until) {
    for (int j = from; j < until; j++) {
        ring_wait<S::stages>(b.tiles_in, j);
        forward_leave<S>(w, b, j);
    }
}

/* The queries are asked for before it is known which keys they see. */
template <class S>
static __device__ __forceinline__ forward_block forward_begin(const forward_work &w, unsigned char *memory) {
    int thread = threadIdx.x, *begin = (int *)(memory + S::begin_at), *end = (int *)(memory + S::end_at);
    forward_block b;
    block_place at = block_place_of(w.order);
    b.sequence = at.sequence;
    b.head = at.head;
    b.part = at.turn / w.query_blocks;
    b.first_query = (w.query_blocks - 1 - at.turn % w.query_blocks) * S::rows;
    b.group = warpgroup_index();
    b.base = shared_offset(memory);
    b.tiles_in = ring{b.base + S::barriers_at, (unsigned *)(memory + S::left_at)};
    b.queries_here = b.tiles_in.barriers + S::stages * 8;
    b.begin = begin;
    b.end = end;
    if (thread == 0) {
        ring_init<S::stages>(b.tiles_in);
        barrier_init(b.queries_here, 1);
        copies_ready();
        forward_load_queries<S>(w, b);
    }
    if (thread < S::rows) {
        int query = b.first_query + thread;
        bool there = query < w.queries;
        int64_t line = (int64_t)b.sequence * w.queries + query;
        begin[thread] = there ? w.begin[line * w.begin_stride] : 0;
        end[thread] = there ? w.end[line * w.end_stride] : 0;
    }
    __syncthreads();
    tiles all = tiles_part(tiles_of(extent_of(begin, end, S::rows), S::keys), b.part, w.parts);
    extent mine = extent_of(begin + b.group * WARPGROUP_ROWS, end + b.group * WARPGROUP_ROWS, WARPGROUP_ROWS);
    b.first = all.first;
    b.count = all.until - all.first;
    b.own = tiles_within(tiles_of(mine, S::keys), all);
    b.covered = tiles_covered(mine, S::keys, all.first);
    if (thread == 0)
        for (int j = 0; j < min(b.count, S::stages); j++) forward_load<S>(w, b, j);
    return b;
}

/* ---------------------------------------------------------------- a tile */

/* S [64, keys] of tile j. */
template <class S>
static __device__ __forceinline__ void forward_scores(const forward_block &b, float (&s)[S::keys / 2], int j) {
    uint64_t q = tile_rows(b.base + b.group * S::query_bytes), k = tile_rows(forward_stage<S>(b, j));
    wgmma_fence(s);
#pragma unroll
    for (int i = 0; i < S::D / 16; i++)
        wgmma_ss<false>(s, q + i / 4 * (WARPGROUP_ROWS * TILE_ROW_BYTES / 16) + i % 4 * 2,
                        k + i / 4 * (S::half_bytes / 16) + i % 4 * 2, i > 0);
    wgmma_commit();
    wgmma_wait<0>(s);
    if (j < b.covered.first || j >= b.covered.until) hide_keys(s, b.begin, b.end, (b.first + j) * S::keys);
}

/* Where V of tile j is. */
template <class S> static __device__ __forceinline__ uint64_t forward_values(const forward_block &b, int j) {
    return tile_sums(forward_stage<S>(b, j) + S::keys_bytes, S::half_bytes);
}

/* Exponentials against the maximum of earlier tiles. False, with s spoilt, where some of the warpgroup's are too large
 * for that or have seen nothing before. */
template <int n>
static __device__ __forceinline__ bool softmax_try(int group, float (&s)[n], softmax_state *state, float scale2) {
    float sum[2] = {0, 0};
    softmax_exponentials<0, n>(s, state, sum, scale2);
    bool bad = !(fmaxf(sum[0], sum[1]) < SUM_LIMIT) || fminf(state->top[0], state->top[1]) == -INFINITY;
    if (warpgroup_any(group, bad)) return false;
    state->sum[0] += sum[0];
    state->sum[1] += sum[1];
    return true;
}

/* o += P V, the whole of P at once. */
template <class S>
static __device__ __forceinline__ void forward_tile(const forward_work &w, const forward_block &b, float (&o)[S::D / 2],
                                                    softmax_state *state, int j) {
    float s[S::keys / 2], factor[2];
    uint32_t p[S::keys / 16][4];
    forward_scores<S>(b, s, j);
    bool exact = j == b.own.first;
    if (!exact && !softmax_try(b.group, s, state, w.scale2)) {
        exact = true;
        forward_scores<S>(b, s, j);
    }
    if (exact) {
        if (softmax_maximum(s, state, factor, w.scale2)) multiply_by(o, factor);
        softmax_exponentials<0, S::keys / 2>(s, state, state->sum, w.scale2);
    }
    pack_operand<0, S::keys / 2>(p, s);
    begin_sums(o, p, forward_values<S>(b, j));
    wgmma_wait<0>(o);
}

/* The same in halves: one goes on beside the other's exponentials. */
template <class S>
static __device__ __forceinline__ void forward_tile_halves(const forward_work &w, const forward_block &b,
                                                           float (&o)[S::D / 2], softmax_state *state, int j) {
    float s[S::keys / 2], factor[2];
    uint32_t p0[S::keys / 32][4], p1[S::keys / 32][4];
    uint64_t v = forward_values<S>(b, j);
    forward_scores<S>(b, s, j);
    if (softmax_maximum(s, state, factor, w.scale2)) multiply_by(o, factor);
    softmax_exponentials<0, S::keys / 4>(s, state, state->sum, w.scale2);
    pack_operand<0, S::keys / 4>(p0, s);
    begin_sums(o, p0, v);
    softmax_exponentials<S::keys / 4, S::keys / 4>(s, state, state->sum, w.scale2);
    pack_operand<S::keys / 4, S::keys / 4>(p1, s);
    go_on_with_sums(o, p1, v + S::keys / 32 * 128);
    wgmma_wait<0>(o);
}

template <class S>
static __global__ void __launch_bounds__(S::threads, S::blocks) attend_forward(const __grid_constant__ forward_work w) {
#if WGMMA_HERE
    DYNAMIC_SHARED(memory);
    forward_block b = forward_begin<S>(w, memory);
    float o[S::D / 2];
    softmax_state state = {{-INFINITY, -INFINITY}, {0, 0}};
#pragma unroll
    for (int i = 0; i < S::D / 2; i++) o[i] = 0;
    barrier_wait(b.queries_here, 0);
    forward_skip<S>(w, b, 0, b.own.first);
    for (int j = b.own.first; j < b.own.until; j++) {
        ring_wait<S::stages>(b.tiles_in, j);
        if constexpr (S::D == 64) forward_tile<S>(w, b, o, &state, j);
        else forward_tile_halves<S>(w, b, o, &state, j);
        forward_leave<S>(w, b, j);
    }
    forward_skip<S>(w, b, b.own.until, b.count);
    forward_store<S::D>(w, b, o, state, memory + b.group * S::query_bytes);
#endif
}

/* o and lse of parts of the keys become those of all: a warp for each query of a head. lse of a part without visible
 * keys is +infinity. */
template <int D> static __global__ void __launch_bounds__(256) merge_parts(const __grid_constant__ forward_work w) {
    int64_t lines = (int64_t)w.batch * w.queries;
    int64_t which = (int64_t)blockIdx.x * 8 + threadIdx.x / 32;
    if (which >= lines * w.heads) return;
    int64_t line = which / w.heads;
    int head = (int)(which % w.heads), lane = threadIdx.x % 32;
    float top = -INFINITY, sum = 0, o[D / 32];
    for (int i = 0; i < D / 32; i++) o[i] = 0;
    for (int part = 0; part < w.parts; part++) {
        float lse = w.part_lse[(part * lines + line) * w.heads + head];
        if (lse < INFINITY) top = fmaxf(top, lse);
    }
    for (int part = 0; part < w.parts; part++) {
        float lse = w.part_lse[(part * lines + line) * w.heads + head];
        if (!(lse < INFINITY)) continue;
        float weight = expf(lse - top);
        const float *from = w.part_o + ((part * lines + line) * w.heads + head) * D + lane * (D / 32);
        for (int i = 0; i < D / 32; i++) o[i] += weight * from[i];
        sum += weight;
    }
    float factor = sum > 0 ? 1 / sum : 0;
    uint32_t *to = (uint32_t *)(w.o + line * w.o_stride + head * D + lane * (D / 32));
    for (int i = 0; i < D / 64; i++) to[i] = pack_bf16(o[2 * i] * factor, o[2 * i + 1] * factor);
    if (lane == 0) w.lse[line * w.lse_stride + head] = sum > 0 ? top + logf(sum) : INFINITY;
}

/* ---------------------------------------------------------------- on the host */

/* Parts of the keys so that blocks fill the multiprocessors, if there are few; a part has at least 1024 keys. */
static int parts_of(int multiprocessors, int64_t blocks, int64_t keys) {
    int64_t best = 1, most = keys / 1024 < 16 ? keys / 1024 : 16;
    double best_fill = 0;
    for (int64_t parts = 1; parts == 1 || parts <= most; parts++) {
        int64_t rounds = (blocks * parts + multiprocessors - 1) / multiprocessors;
        double fill = (double)(blocks * parts) / (double)(rounds * multiprocessors);
        if (fill > best_fill + 0.04) best_fill = fill, best = parts;
    }
    return (int)best;
}

template <class S> static void forward(cuda_context *c, const attend_args *a) {
    auto kernel = attend_forward<S>;
    forward_work w;
    int64_t N = a->q.rows / a->batch, M = a->k.rows / a->batch, lines = a->q.rows;
    w.o = (bf16 *)a->o.data;
    w.lse = (float *)a->lse.data;
    w.begin = (const int *)a->begin.data;
    w.end = (const int *)a->end.data;
    w.o_stride = a->o.stride;
    w.lse_stride = a->lse.stride;
    w.begin_stride = a->begin.stride;
    w.end_stride = a->end.stride;
    w.queries = (int)N;
    w.batch = (int)a->batch;
    w.heads = (int)a->heads;
    w.scale = a->scale;
    w.scale2 = a->scale * 1.44269504088896f;
    w.query_blocks = (int)((N + S::rows - 1) / S::rows);
    int64_t blocks = w.query_blocks * a->batch * a->heads;
    w.parts = parts_of(c->multiprocessors * S::blocks, blocks, M);
    w.order = block_order_of(a, c->multiprocessors * S::blocks, w.query_blocks * w.parts, M);
    w.part_o = w.part_lse = NULL;
    if (w.parts > 1) {
        size_t cells = (size_t)(w.parts * lines * a->heads);
        w.part_o = (float *)cuda_scratch(c, cells * (S::D + 1) * sizeof(float));
        if (!w.part_o) return;
        w.part_lse = w.part_o + cells * S::D;
    }
    if (!tensor_map_make(&w.q, a->q.data, a->q.cols, N, a->batch, a->q.stride, WARPGROUP_ROWS) ||
        !tensor_map_make(&w.k, a->k.data, a->k.cols, M, a->batch, a->k.stride, S::keys) ||
        !tensor_map_make(&w.v, a->v.data, a->v.cols, M, a->batch, a->v.stride, S::keys)) {
        cuda_fine(c, cudaErrorNotSupported, "tensor maps");
        return;
    }
    if (!cuda_fine(c, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::bytes),
                   "attend_forward"))
        return;
    LAUNCH(kernel, (unsigned)(blocks * w.parts), S::threads, S::bytes, c->stream, w);
    if (!cuda_launched(c, "attend_forward") || w.parts == 1) return;
    LAUNCH(merge_parts<S::D>, (unsigned)((lines * a->heads + 7) / 8), 256, 0, c->stream, w);
    cuda_launched(c, "merge_parts");
}

/* Rows that copies and stores of 16 bytes can take. */
static bool aligned(const matrix *m) {
    return m->type == BF16 && (uintptr_t)m->data % 16 == 0 && m->stride % 8 == 0 && m->rows > 0;
}

bool wgmma_attend_takes(int64_t width) { return width == 64 || width == 128; }

bool wgmma_attend_fits(const cuda_context *c, const attend_args *a) {
    int64_t width = a->q.cols / a->heads, N = a->q.rows / a->batch, M = a->k.rows / a->batch;
    return c->capability == 90 && wgmma_attend_takes(width) && !a->hidden.data && !a->p.data && !a->r.data &&
           !a->slots.data && aligned(&a->q) && aligned(&a->k) && aligned(&a->v) && aligned(&a->o) &&
           a->lse.type == F32 && a->scale > 0 && N < INT_MAX / 2 && M < INT_MAX / 2;
}

void wgmma_attend_fwd(cuda_context *c, const attend_args *a) {
    if (a->q.cols / a->heads == 128) forward<forward_shape<128, 2, 128, 3, 1>>(c, a);
    else if (a->k.rows / a->batch > SHORT_KEYS) forward<forward_shape<64, 4, 128, 4, 1>>(c, a);
    else forward<forward_shape<64, 2, 128, 2, 2>>(c, a);
}
