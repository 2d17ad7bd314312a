/* Attention backward on the tensor cores of compute capability 8.0 and later.
 *
 * A block owns a tile of keys (of one head, one after another) with its dK and dV in registers, and walks the queries
 * in tiles of 64. It computes scores transposed, S^T = K Q^T, so that P^T and dS^T lie in registers as the products
 * dV += P^T dO and dK += dS^T Q want them; dS^T goes to shared memory once, for dQ += dS K. Five products are the
 * least: 10 N M D operations. A separate pass for dq would compute S and dP again, 14 N M D.
 *
 * The price of one pass is that dq is summed up in global memory: for each tile of keys and queries a block reads and
 * writes 64 D floats, 32 KiB for 5.2 million operations with D = 64 and 128 keys. That is 6 bytes in a thousand
 * operations, 2 TB/s at 300 TFLOP/s, less than half of what the second-level cache of an H100 gives. Each block has
 * sums of its own (its chunk's), to which it adds in the order of its keys, so that no order of blocks changes a bit.
 * The tiles of keys are dealt to the chunks in turn, since under a causal mask the first keys are seen by most queries.
 * Where sequences and heads alone keep the machine at work, there is one chunk, and its last visit of a tile of
 * queries writes dq.
 *
 * On an NVIDIA H200 on 2026-11-26 it reaches 266 to 273 TFLOP/s with D = 64, H = 16 and many keys, as
 * FlashAttention-2 through PyTorch 2.11 does (265 to 274). Four warps of 32 keys, two blocks on a multiprocessor, were
 * the fastest of six shapes of blocks. */
#include "cuda/attend_mma.h"
#include "cuda/attend_mma_tiles.h"

#include <algorithm>

namespace {

struct backward_args {
    operands in;
    columns grad_o, dq, dk, dv;
    const float *lse;
    int64_t lse_stride;
    float2 *rows;   /* [batch, H, padded]: lse in bits and o . do; of absent queries +infinity and 0 */
    int2 *seen;     /* [batch, padded], as seen_by */
    int4 *ranges;   /* [batch, tiles] */
    int tiles;      /* of queries of a sequence; padded = tiles TILE_QUERIES */
    int batch, chunks;
    float *partial; /* [chunks batch N, H D], each 16 columns in the order in which lanes hold them; of a single chunk
                       only until the last of its keys have added to a row, which then goes to dq */
    int64_t partial_stride;
};

constexpr int TILE_QUERIES = 64;
constexpr int PART = 32; /* queries whose scores are in registers at once */

/* A block of WARPS warps with MT 16 keys each, BLOCKS blocks on a multiprocessor. Their dQ is cut into WQ warps of
 * queries by WARPS / WQ of columns. */
template <int D_, int MT_, int WARPS_, int WQ_, int BLOCKS_> struct backward_shape {
    static constexpr int D = D_, MT = MT_, WARPS = WARPS_, WQ = WQ_, BLOCKS = BLOCKS_;
    static constexpr int KEYS = WARPS * MT * 16, THREADS = WARPS * 32;
    static constexpr int MQ = TILE_QUERIES / (16 * WQ), ND = D * WQ / (8 * WARPS); /* of a warp's dQ */
    static constexpr int KEY_TILE = KEYS * D * 2, QUERY_TILE = TILE_QUERIES * D * 2, ROWS_TILE = TILE_QUERIES * 8;
    static constexpr int K = 0, V = KEY_TILE, STAGES = 2 * KEY_TILE, DS = STAGES + 4 * QUERY_TILE,
                         ROWS = DS + KEYS * TILE_QUERIES * 2, BYTES = ROWS + 2 * ROWS_TILE;
    static_assert(ND % 2 == 0 && MQ >= 1, "pairs of products");
    static_assert(BYTES <= (D <= 64 ? SHARED_NARROW : SHARED_WIDE), "what fits asks for");
};

/* The first tile of keys of a chunk that a tile of queries may see; it does if the tile begins before range.y. */
__device__ __forceinline__ int first_visit(int4 range, int chunk, int chunks, int keys) {
    int first = range.x / keys, ahead = (chunk - first) % chunks;
    return first + (ahead < 0 ? ahead + chunks : ahead);
}

/* A warp for each tile of queries: what they see. */
__global__ void find_ranges(backward_args a) {
    int64_t tile = (int64_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, sequence = tile / a.tiles;
    if (tile >= (int64_t)a.batch * a.tiles) return;
    int4 range = no_range(a.in.keys);
    for (int i = threadIdx.x % 32; i < TILE_QUERIES; i += 32) {
        int query = (int)(tile % a.tiles) * TILE_QUERIES + i;
        int2 mine = make_int2(0, 0);
        if (query < a.in.queries) mine = seen_by(a.in, sequence * a.in.queries + query);
        a.seen[tile * TILE_QUERIES + i] = mine;
        range = joined(range, mine);
    }
    range = joined_lanes(range);
    if (threadIdx.x % 32 == 0) a.ranges[tile] = range;
}

/* Four lanes for each query and head: its lse and o . do. */
template <int D> __global__ void find_deltas(backward_args a) {
    int64_t item = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 4, padded = (int64_t)a.tiles * TILE_QUERIES;
    int64_t head = item % a.in.heads, query = item / a.in.heads % padded, sequence = item / a.in.heads / padded;
    int64_t row = sequence * a.in.queries + query;
    bool there = sequence < a.batch && query < a.in.queries;
    float sum = 0;
    for (int i = threadIdx.x % 4; there && i < D / 8; i += 4) {
        uint4 x = *(const uint4 *)(a.in.o.at + row * a.in.o.stride + head * D + i * 8);
        uint4 y = *(const uint4 *)(a.grad_o.at + row * a.grad_o.stride + head * D + i * 8);
        const uint32_t xs[4] = {x.x, x.y, x.z, x.w}, ys[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
        for (int j = 0; j < 4; j++)
            sum += __uint_as_float(xs[j] << 16) * __uint_as_float(ys[j] << 16) +
                   __uint_as_float(xs[j] & 0xffff0000u) * __uint_as_float(ys[j] & 0xffff0000u);
    }
    sum += __shfl_xor_sync(ALL_LANES, sum, 1);
    sum += __shfl_xor_sync(ALL_LANES, sum, 2);
    if (sequence >= a.batch || threadIdx.x % 4 != 0) return;
    float bits = there ? a.lse[row * a.lse_stride + head] * LOG2E : INFINITY;
    a.rows[(sequence * a.in.heads + head) * padded + query] = make_float2(bits, sum);
}

/* c = initial + A B^T, where A is 16 MT rows of one tile and B PART rows of another. */
template <int D, int MT>
__device__ __forceinline__ void outer_product(float (&c)[MT][PART / 8][4], shared_address rows_a, shared_address rows_b,
                                              const lane_offsets<D> &lane) {
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t a[MT][4];
#pragma unroll
        for (int m = 0; m < MT; m++) load_matrices(a[m], rows_a + m * 16 * D * 2 + lane.down[k]);
#pragma unroll
        for (int j = 0; j < PART / 16; j++) {
            uint32_t b[4];
            load_matrices(b, rows_b + j * 16 * D * 2 + lane.across[k]);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                multiply(c[m][2 * j], a[m], b[0], b[1]);
                multiply(c[m][2 * j + 1], a[m], b[2], b[3]);
            }
        }
    }
}

/* c += A B, where A lies in registers and B is PART rows of a tile. */
template <int D, int MT>
__device__ __forceinline__ void add_product(float (&c)[MT][D / 8][4], const uint32_t (&a)[MT][PART / 16][4],
                                            shared_address rows_b, const lane_offsets<D> &lane) {
#pragma unroll
    for (int k = 0; k < PART / 16; k++)
#pragma unroll
        for (int j = 0; j < D / 16; j++) {
            uint32_t b[4];
            load_matrices_transposed(b, rows_b + k * 16 * D * 2 + lane.down[j]);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                multiply(c[m][2 * j], a[m][k], b[0], b[1]);
                multiply(c[m][2 * j + 1], a[m][k], b[2], b[3]);
            }
        }
}

/* Sums of two products side by side as the left operand of the next. */
template <int MT>
__device__ __forceinline__ void round_sums(uint32_t (&a)[MT][PART / 16][4], const float (&c)[MT][PART / 8][4]) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < PART / 8; n++) {
            a[m][n / 2][n % 2 * 2] = pack_bf16(c[m][n][0], c[m][n][1]);
            a[m][n / 2][n % 2 * 2 + 1] = pack_bf16(c[m][n][2], c[m][n][3]);
        }
}

/* What a block works on. */
template <class S> struct backward_block {
    const backward_args *a;
    int64_t sequence, head;
    int chunk, tile; /* of keys */
    shared_address shared;
    unsigned char *memory; /* the same */
    lane_offsets<S::D> lane;
};

/* The first tile of queries from `from` on that sees some of the tile of keys. */
template <class S> __device__ __forceinline__ int next_queries(const backward_block<S> &w, int from, int4 *range) {
    for (; from < w.a->tiles; from++) {
        *range = __ldg(w.a->ranges + w.sequence * w.a->tiles + from);
        if (w.tile * S::KEYS < range->y && w.tile >= range->x / S::KEYS) break;
    }
    return from;
}

template <class S> __device__ __forceinline__ void load_queries(const backward_block<S> &w, int tile, int stage) {
    const operands &in = w.a->in;
    int first = tile * TILE_QUERIES;
    int64_t row = w.sequence * in.queries + first;
    shared_address to = w.shared + S::STAGES + stage * 2 * S::QUERY_TILE;
    const columns &grad_o = w.a->grad_o;
    load_tile<S::D, TILE_QUERIES, S::THREADS>(to, in.q.at + row * in.q.stride + w.head * S::D, in.q.stride,
                                              in.queries - first);
    load_tile<S::D, TILE_QUERIES, S::THREADS>(to + S::QUERY_TILE, grad_o.at + row * grad_o.stride + w.head * S::D,
                                              grad_o.stride, in.queries - first);
    const float2 *rows = w.a->rows + ((w.sequence * in.heads + w.head) * w.a->tiles + tile) * TILE_QUERIES;
    if (threadIdx.x < S::ROWS_TILE / 16)
        copy_async(w.shared + S::ROWS + stage * S::ROWS_TILE + threadIdx.x * 16, rows + threadIdx.x * 2, true);
}

/* Probabilities 0 where a query does not see a key: the lane's are transposed scores. */
template <class S>
__device__ __forceinline__ void mask_part(const backward_block<S> &w, float (&p)[S::MT][PART / 8][4],
                                          int64_t first_query) {
    int lane = threadIdx.x % 32, first = w.tile * S::KEYS + (int)threadIdx.x / 32 * S::MT * 16 + lane / 4;
    const int2 *seen = w.a->seen + w.sequence * w.a->tiles * TILE_QUERIES + first_query + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < PART / 8; n++) {
        int4 range = __ldg((const int4 *)(seen + n * 8));
#pragma unroll
        for (int m = 0; m < S::MT; m++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int key = first + m * 16 + half * 8;
                if (key < range.x || key >= range.y) p[m][n][2 * half] = 0;
                if (key < range.z || key >= range.w) p[m][n][2 * half + 1] = 0;
            }
    }
}

/* P^T and dS^T of the warp's keys and the PART queries from row `first` of the tile on, rounded. dS^T goes to shared
 * memory too. */
template <class S>
__device__ __forceinline__ void differentiate(const backward_block<S> &w, uint32_t (&p)[S::MT][PART / 16][4],
                                              uint32_t (&ds)[S::MT][PART / 16][4], int queries, int stage, int first,
                                              bool masked) {
    int lane = threadIdx.x % 32, mine = (int)threadIdx.x / 32 * S::MT * 16;
    shared_address q = w.shared + S::STAGES + stage * 2 * S::QUERY_TILE + first * S::D * 2;
    const float4 *rows = (const float4 *)(w.memory + S::ROWS + stage * S::ROWS_TILE + (first + lane % 4 * 2) * 8);
    float s[S::MT][PART / 8][4], dp[S::MT][PART / 8][4], bits = w.a->in.scale * LOG2E;
#pragma unroll
    for (int n = 0; n < PART / 8; n++)
        for (int m = 0; m < S::MT; m++)
            for (int e = 0; e < 4; e++) s[m][n][e] = 0;
    outer_product<S::D, S::MT>(s, w.shared + S::K + mine * S::D * 2, q, w.lane);
#pragma unroll
    for (int n = 0; n < PART / 8; n++) {
        float4 row = rows[n * 4]; /* of two queries */
#pragma unroll
        for (int m = 0; m < S::MT; m++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                s[m][n][e] = exp2_fast(s[m][n][e] * bits - (e % 2 ? row.z : row.x));
                dp[m][n][e] = -(e % 2 ? row.w : row.y);
            }
    }
    if (masked) mask_part(w, s, (int64_t)queries * TILE_QUERIES + first);
    outer_product<S::D, S::MT>(dp, w.shared + S::V + mine * S::D * 2, q + S::QUERY_TILE, w.lane);
#pragma unroll
    for (int m = 0; m < S::MT; m++)
        for (int n = 0; n < PART / 8; n++)
            for (int e = 0; e < 4; e++) dp[m][n][e] *= s[m][n][e];
    round_sums<S::MT>(p, s);
    round_sums<S::MT>(ds, dp);
    shared_address to = w.shared + S::DS + (mine + lane / 4) * TILE_QUERIES * 2 + lane % 4 * 4;
#pragma unroll
    for (int m = 0; m < S::MT; m++)
        for (int n = 0; n < PART / 8; n++)
            for (int half = 0; half < 2; half++)
                store_shared(to + (m * 16 + half * 8) * TILE_QUERIES * 2 + ((first / 8 + n) ^ lane / 4) * 16,
                             ds[m][n / 2][n % 2 * 2 + half]);
}

/* The first of the lane's rows of the tile's dQ, in its sequence, and of its warp's columns, in its head. */
template <class S> __device__ __forceinline__ int first_row(int queries) {
    return queries * TILE_QUERIES + (int)threadIdx.x / 32 % S::WQ * S::MQ * 16 + threadIdx.x % 32 / 4;
}
template <class S> __device__ __forceinline__ int first_column() { return (int)threadIdx.x / 32 / S::WQ * S::ND * 8; }

/* Calls body(m, half, rows behind the first) for the lane's rows that are there. */
template <class S, class F>
__device__ __forceinline__ void each_row(const backward_block<S> &w, int queries, const F &body) {
    int rows = w.a->in.queries - first_row<S>(queries);
#pragma unroll
    for (int m = 0; m < S::MQ; m++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            if (m * 16 + half * 8 < rows) body(m, half, m * 16 + half * 8);
}

/* Where the chunk sums up the lane's columns of its first row: four floats, and again 16 columns on. */
template <class S> __device__ __forceinline__ float *partial_at(const backward_block<S> &w, int queries) {
    int64_t row = ((int64_t)w.chunk * w.a->batch + w.sequence) * w.a->in.queries + first_row<S>(queries);
    return w.a->partial + row * w.a->partial_stride + w.head * S::D + first_column<S>() + threadIdx.x % 4 * 4;
}

template <class S>
__device__ __forceinline__ void read_partial(const backward_block<S> &w, float (&dq)[S::MQ][S::ND][4], int queries,
                                             int4 range) {
#pragma unroll
    for (int m = 0; m < S::MQ; m++)
        for (int n = 0; n < S::ND; n++)
            for (int e = 0; e < 4; e++) dq[m][n][e] = 0;
    if (w.tile - w.a->chunks < range.x / S::KEYS) return; /* the chunk's first visit */
    const float *from = partial_at(w, queries);
    each_row(w, queries, [&](int m, int half, int ahead) {
#pragma unroll
        for (int j = 0; j < S::ND / 2; j++) {
            float4 x = __ldcg((const float4 *)(from + ahead * w.a->partial_stride + j * 16));
            dq[m][2 * j][2 * half] = x.x;
            dq[m][2 * j][2 * half + 1] = x.y;
            dq[m][2 * j + 1][2 * half] = x.z;
            dq[m][2 * j + 1][2 * half + 1] = x.w;
        }
    });
}

template <class S>
__device__ __forceinline__ void write_partial(const backward_block<S> &w, const float (&dq)[S::MQ][S::ND][4],
                                              int queries) {
    float *to = partial_at(w, queries);
    each_row(w, queries, [&](int m, int half, int ahead) {
#pragma unroll
        for (int j = 0; j < S::ND / 2; j++)
            __stcg((float4 *)(to + ahead * w.a->partial_stride + j * 16),
                   make_float4(dq[m][2 * j][2 * half], dq[m][2 * j][2 * half + 1], dq[m][2 * j + 1][2 * half],
                               dq[m][2 * j + 1][2 * half + 1]));
    });
}

/* The sums of all keys, to where they belong. */
template <class S>
__device__ __forceinline__ void write_queries(const backward_block<S> &w, const float (&dq)[S::MQ][S::ND][4],
                                              int queries) {
    int64_t row = w.sequence * w.a->in.queries + first_row<S>(queries);
    bf16 *to = w.a->dq.at + row * w.a->dq.stride + w.head * S::D + first_column<S>() + threadIdx.x % 4 * 2;
    float scale = w.a->in.scale;
    each_row(w, queries, [&](int m, int half, int ahead) {
#pragma unroll
        for (int n = 0; n < S::ND; n++)
            *(uint32_t *)(to + ahead * w.a->dq.stride + n * 8) =
                pack_bf16(dq[m][n][2 * half] * scale, dq[m][n][2 * half + 1] * scale);
    });
}

/* dq += dS K over all keys of the tile */
template <class S>
__device__ __forceinline__ void add_keys(const backward_block<S> &w, float (&dq)[S::MQ][S::ND][4]) {
    int warp = (int)threadIdx.x / 32;
    shared_address at_ds[S::MQ], at_k[S::ND / 2];
    for (int m = 0; m < S::MQ; m++)
        at_ds[m] = w.shared + S::DS + lane_offset<TILE_QUERIES>(warp % S::WQ * S::MQ + m, true);
    for (int j = 0; j < S::ND / 2; j++)
        at_k[j] = w.shared + S::K + lane_offset<S::D>(warp / S::WQ * (S::ND / 2) + j, false);
#pragma unroll
    for (int k = 0; k < S::KEYS / 16; k++) {
        uint32_t a[S::MQ][4];
#pragma unroll
        for (int m = 0; m < S::MQ; m++) load_matrices_transposed(a[m], at_ds[m] + k * 16 * TILE_QUERIES * 2);
#pragma unroll
        for (int j = 0; j < S::ND / 2; j++) {
            uint32_t b[4];
            load_matrices_transposed(b, at_k[j] + k * 16 * S::D * 2);
#pragma unroll
            for (int m = 0; m < S::MQ; m++) {
                multiply(dq[m][2 * j], a[m], b[0], b[1]);
                multiply(dq[m][2 * j + 1], a[m], b[2], b[3]);
            }
        }
    }
}

/* One tile of queries: adds to dk and dv, and to the chunk's dq. */
template <class S>
__device__ __forceinline__ void visit(const backward_block<S> &w, float (&dk)[S::MT][S::D / 8][4],
                                      float (&dv)[S::MT][S::D / 8][4], int queries, int stage, int4 range) {
    bool masked = w.tile * S::KEYS < range.z || (w.tile + 1) * S::KEYS > range.w;
    shared_address q = w.shared + S::STAGES + stage * 2 * S::QUERY_TILE;
    float dq[S::MQ][S::ND][4];
#pragma unroll
    for (int first = 0; first < TILE_QUERIES; first += PART) {
        uint32_t p[S::MT][PART / 16][4], ds[S::MT][PART / 16][4];
        differentiate(w, p, ds, queries, stage, first, masked);
        if (first + PART == TILE_QUERIES) read_partial(w, dq, queries, range);
        add_product<S::D, S::MT>(dv, p, q + S::QUERY_TILE + first * S::D * 2, w.lane);
        add_product<S::D, S::MT>(dk, ds, q + first * S::D * 2, w.lane);
    }
    __syncthreads(); /* dS is there */
    add_keys(w, dq);
    if (w.a->chunks == 1 && (w.tile + 1) * S::KEYS >= range.y) write_queries(w, dq, queries);
    else write_partial(w, dq, queries);
}

/* dq of queries that see nothing, which no tile of keys visits, where the blocks write dq. */
template <class S> __device__ __forceinline__ void clear_blind(const backward_block<S> &w) {
    float dq[S::MQ][S::ND][4] = {};
    if (w.a->chunks > 1) return;
    for (int tile = 0; tile < w.a->tiles; tile++)
        if (w.a->ranges[w.sequence * w.a->tiles + tile].y == 0) write_queries(w, dq, tile);
}

/* The warp's rows of dk or dv. */
template <class S>
__device__ __forceinline__ void store_keys(const backward_block<S> &w, const columns &to,
                                           const float (&x)[S::MT][S::D / 8][4], float factor) {
    int lane = threadIdx.x % 32, first = w.tile * S::KEYS + (int)threadIdx.x / 32 * S::MT * 16 + lane / 4;
    int64_t row = w.sequence * w.a->in.keys + first;
    bf16 *at = to.at + row * to.stride + w.head * S::D + lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < S::MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            if (first + m * 16 + half * 8 >= w.a->in.keys) continue;
#pragma unroll
            for (int n = 0; n < S::D / 8; n++)
                *(uint32_t *)(at + (m * 16 + half * 8) * to.stride + n * 8) =
                    pack_bf16(x[m][n][2 * half] * factor, x[m][n][2 * half + 1] * factor);
        }
}

/* x: chunk, y: head, z: sequence. */
template <class S>
__global__ void __launch_bounds__(S::THREADS, S::BLOCKS) attend_backward(const __grid_constant__ backward_args a) {
    DYNAMIC_SHARED(memory);
    const operands &in = a.in;
    backward_block<S> w;
    w.a = &a;
    w.sequence = blockIdx.z, w.head = blockIdx.y, w.chunk = blockIdx.x;
    w.memory = memory, w.shared = shared_at(memory);
    clear_blind(w);
#pragma unroll 1
    for (w.tile = w.chunk; w.tile * S::KEYS < in.keys; w.tile += a.chunks) {
        float dk[S::MT][S::D / 8][4], dv[S::MT][S::D / 8][4];
#pragma unroll
        for (int m = 0; m < S::MT; m++)
            for (int n = 0; n < S::D / 8; n++)
                for (int e = 0; e < 4; e++) dk[m][n][e] = dv[m][n][e] = 0;
        int4 range = no_range(in.keys), next_range = range;
        int tile = next_queries(w, 0, &range), stage = 0;
        if (tile < a.tiles) {
            int64_t row = w.sequence * in.keys + w.tile * S::KEYS;
            int limit = in.keys - w.tile * S::KEYS;
            const bf16 *k = in.k.at + row * in.k.stride + w.head * S::D;
            const bf16 *v = in.v.at + row * in.v.stride + w.head * S::D;
            load_tile<S::D, S::KEYS, S::THREADS>(w.shared + S::K, k, in.k.stride, limit);
            load_tile<S::D, S::KEYS, S::THREADS>(w.shared + S::V, v, in.v.stride, limit);
            load_queries(w, tile, stage);
            copy_commit();
        }
#pragma unroll 1
        while (tile < a.tiles) {
            int next = next_queries(w, tile + 1, &next_range);
            copy_wait<0>();
            __syncthreads(); /* this tile is there, and nobody reads the one before */
            if (next < a.tiles) load_queries(w, next, stage ^ 1);
            copy_commit();
            visit(w, dk, dv, tile, stage, range);
            tile = next, range = next_range, stage ^= 1;
        }
        store_keys(w, a.dk, dk, in.scale);
        store_keys(w, a.dv, dv, 1);
        __syncthreads(); /* nobody reads these keys */
    }
}

/* dq from the sums of the chunks that saw any key, four numbers of one lane at once, see write_queries. */
__global__ void sum_chunks(backward_args a, int width, int keys) {
    int64_t item = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, per_row = (int64_t)a.in.heads * width / 4;
    int64_t row = item / per_row, column = item % per_row * 4, rows = (int64_t)a.batch * a.in.queries;
    if (row >= rows) return;
    int query = (int)(row % a.in.queries);
    int4 range = __ldg(a.ranges + row / a.in.queries * a.tiles + query / TILE_QUERIES);
    float4 sum = make_float4(0, 0, 0, 0);
    for (int chunk = 0; chunk < a.chunks && range.y > 0; chunk++) {
        if (first_visit(range, chunk, a.chunks, keys) * keys >= range.y) continue;
        float4 x = __ldcs((const float4 *)(a.partial + (chunk * rows + row) * a.partial_stride + column));
        sum = make_float4(sum.x + x.x, sum.y + x.y, sum.z + x.z, sum.w + x.w);
    }
    bf16 *to = a.dq.at + row * a.dq.stride + column / 16 * 16 + column % 16 / 2;
    *(uint32_t *)to = pack_bf16(sum.x * a.in.scale, sum.y * a.in.scale);
    *(uint32_t *)(to + 8) = pack_bf16(sum.z * a.in.scale, sum.w * a.in.scale);
}

constexpr double CHUNK_PRICE = 0.5; /* of adding up one more share of dq, in tiles of keys */

/* Scratch for what kernels hand on to one another, and for sums of dq where the caller brings none. */
bool take_scratch(cuda_context *c, backward_args *g, const matrix &partial, int64_t cols) {
    int64_t tiles = (int64_t)g->batch * g->tiles, padded = tiles * TILE_QUERIES, items = padded * g->in.heads;
    int64_t sums = partial.data ? 0 : (int64_t)g->chunks * g->batch * g->in.queries * cols;
    char *scratch = (char *)cuda_scratch(c, (size_t)(items * 8 + padded * 8 + tiles * 16 + sums * 4));
    if (!scratch) return false;
    g->rows = (float2 *)scratch, scratch += items * 8;
    g->seen = (int2 *)scratch, scratch += padded * 8;
    g->ranges = (int4 *)scratch, scratch += tiles * 16;
    g->partial = partial.data ? (float *)partial.data : (float *)scratch;
    g->partial_stride = partial.data ? partial.stride : cols;
    return true;
}

template <class S> void backward(cuda_context *c, const attend_bwd_args *b) {
    const attend_args *a = &b->fwd;
    backward_args g = {};
    g.in = operands_of(a);
    g.grad_o = columns_of(b->grad_o), g.dq = columns_of(b->dq), g.dk = columns_of(b->dk), g.dv = columns_of(b->dv);
    g.lse = (const float *)a->lse.data, g.lse_stride = a->lse.stride;
    g.batch = (int)a->batch, g.tiles = (int)ceil_div(g.in.queries, TILE_QUERIES);
    int64_t slots = (int64_t)c->multiprocessors * S::BLOCKS, heads = a->batch * a->heads;
    g.chunks = (int)best_parts(slots, heads, ceil_div(g.in.keys, S::KEYS), 1, CHUNK_PRICE);
    if (b->partial.data) g.chunks = (int)std::min((int64_t)g.chunks, b->chunks);
    if (!take_scratch(c, &g, b->partial, a->q.cols)) return;
    int64_t tiles = a->batch * g.tiles, items = tiles * TILE_QUERIES * a->heads;
    LAUNCH(find_ranges, (unsigned)ceil_div(tiles, 4), 128, 0, c->stream, g);
    LAUNCH(find_deltas<S::D>, (unsigned)ceil_div(items * 4, 256), 256, 0, c->stream, g);
    auto kernel = attend_backward<S>;
    cuda_fine(c, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::BYTES), "attention");
    dim3 grid((unsigned)g.chunks, (unsigned)a->heads, (unsigned)a->batch);
    LAUNCH(kernel, grid, S::THREADS, S::BYTES, c->stream, g);
    if (!cuda_launched(c, "attend_backward") || g.chunks == 1) return;
    LAUNCH(sum_chunks, (unsigned)ceil_div(a->q.rows * a->q.cols / 4, 256), 256, 0, c->stream, g, S::D, S::KEYS);
    cuda_launched(c, "sum_chunks");
}

} // namespace

bool mma_attend_bwd_fits(const cuda_context *c, const attend_bwd_args *b) {
    bool sums = !b->partial.data || (b->partial.type == F32 && b->partial.stride % 4 == 0);
    return mma_attend_fits(c, &b->fwd) && sums && fits_copies(b->grad_o) && fits_copies(b->dq) &&
           fits_copies(b->dk) && fits_copies(b->dv);
}

void mma_attend_bwd(cuda_context *c, const attend_bwd_args *b) {
    switch (b->fwd.q.cols / b->fwd.heads) {
    case 32: backward<backward_shape<32, 2, 4, 2, 2>>(c, b); break;
    case 64: backward<backward_shape<64, 2, 4, 2, 2>>(c, b); break;
    case 96: backward<backward_shape<96, 1, 8, 4, 1>>(c, b); break;
    default: backward<backward_shape<128, 1, 8, 2, 1>>(c, b); break;
    }
}

int64_t mma_attend_chunks(int multiprocessors, int64_t batch, int64_t heads, int64_t keys) {
    typedef backward_shape<64, 2, 4, 2, 2> S;
    int64_t slots = (int64_t)multiprocessors * S::BLOCKS, tiles = ceil_div(keys, S::KEYS);
    return std::max(best_parts(slots, batch * heads, tiles, 1, CHUNK_PRICE), (int64_t)2);
}
