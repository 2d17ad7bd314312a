/* Attention forward on the tensor cores of compute capability 8.0 and later (the way of Dao 2023, FlashAttention-2).
 *
 * A block owns 128 queries of one head. Each warp keeps the queries of its rows, as operands of products, and the sums
 * of its outputs in registers, walks the keys in tiles, which arrive in shared memory while the tile before is
 * computed, and rescales its sums only when a row's largest score has grown by more than 2^8: exponentials up to there
 * lose nothing in F32, and BF16 has the same relative precision everywhere. Where queries are few and keys many,
 * several blocks share the keys of the same queries, and a second kernel merges what they found.
 *
 * Tiles that none of a block's queries sees are left out, and only tiles that some do not see all of are masked.
 *
 * On an NVIDIA H200 on 2026-11-26 it reaches 329 to 341 TFLOP/s with D = 64, H = 16 and many keys, where
 * FlashAttention-2 through PyTorch 2.11 reaches 247 to 319. Four warps of 32 queries, two blocks on a multiprocessor,
 * were the fastest of six shapes of blocks. */
#include "cuda/attend_mma.h"
#include "cuda/attend_mma_tiles.h"

namespace {

struct forward_args {
    operands in;
    float *lse;
    int64_t lse_stride;
    int splits;       /* blocks that share the keys of the same queries; if several, they leave */
    float *part_o;    /* [splits, batch N, H D] */
    float *part_lse;  /* [splits, batch N, H], in bits: log2 of the sum; -infinity where they saw nothing */
};

/* A block of WARPS warps with MT 16 queries each, tiles of KEYS keys, BLOCKS blocks on a multiprocessor. */
template <int D_, int MT_, int WARPS_, int KEYS_, int BLOCKS_> struct forward_shape {
    static constexpr int D = D_, MT = MT_, WARPS = WARPS_, KEYS = KEYS_, BLOCKS = BLOCKS_;
    static constexpr int ROWS = WARPS * MT * 16, THREADS = WARPS * 32, BYTES = (ROWS + 4 * KEYS) * D * 2;
    static_assert(BYTES <= (D <= 64 ? SHARED_NARROW : SHARED_WIDE), "what fits asks for");
};

/* A warp's rows: o and sum are relative to 2^top. A lane has rows g and g + 8 of each 16. */
template <int D, int MT> struct forward_state {
    float o[MT][D / 8][4];
    float top[MT][2], sum[MT][2];
};

template <int D, int MT, int KEYS>
__device__ __forceinline__ void compute_scores(float (&s)[MT][KEYS / 8][4], const uint32_t (&q)[MT][D / 16][4],
                                               shared_address keys, const lane_offsets<D> &lane) {
#pragma unroll
    for (int m = 0; m < MT; m++)
        for (int n = 0; n < KEYS / 8; n++)
            for (int e = 0; e < 4; e++) s[m][n][e] = 0;
#pragma unroll
    for (int k = 0; k < D / 16; k++)
#pragma unroll
        for (int j = 0; j < KEYS / 16; j++) {
            uint32_t b[4];
            load_matrices(b, keys + j * 16 * D * 2 + lane.across[k]);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                multiply(s[m][2 * j], q[m][k], b[0], b[1]);
                multiply(s[m][2 * j + 1], q[m][k], b[2], b[3]);
            }
        }
}

/* Scores of keys that a row does not see become -infinity; `first` is the tile's first key. */
template <int MT, int KEYS>
__device__ __forceinline__ void mask_scores(float (&s)[MT][KEYS / 8][4], const int2 *seen, int first) {
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int2 range = seen[m * 16 + half * 8 + lane / 4];
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    int key = first + n * 8 + lane % 4 * 2 + e;
                    if (key < range.x || key >= range.y) s[m][n][2 * half + e] = -INFINITY;
                }
        }
}

/* The largest score of each of the lane's rows, in bits. */
template <int MT, int KEYS>
__device__ __forceinline__ void largest_scores(float (&largest)[MT][2], const float (&s)[MT][KEYS / 8][4],
                                               float bits) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x = fmaxf(s[m][0][2 * half], s[m][0][2 * half + 1]);
#pragma unroll
            for (int n = 1; n < KEYS / 8; n++) x = fmaxf(x, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
            x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
            x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
            largest[m][half] = x * bits;
        }
}

/* Scores to exponentials relative to the row's top, which grows first where it must; `bits`: of a score of 1. */
template <int D, int MT, int KEYS>
__device__ __forceinline__ void exponentiate(forward_state<D, MT> &state, float (&s)[MT][KEYS / 8][4],
                                             float bits) {
    float largest[MT][2];
    bool grows = false;
    largest_scores<MT, KEYS>(largest, s, bits);
#pragma unroll
    for (int m = 0; m < MT; m++)
        for (int half = 0; half < 2; half++) grows |= largest[m][half] > state.top[m][half] + 8;
    if (__any_sync(ALL_LANES, grows)) {
#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float top = fmaxf(state.top[m][half], largest[m][half]);
                float factor = top == -INFINITY ? 0 : exp2_fast(state.top[m][half] - top);
                state.top[m][half] = top;
                state.sum[m][half] *= factor;
#pragma unroll
                for (int n = 0; n < D / 8; n++) {
                    state.o[m][n][2 * half] *= factor;
                    state.o[m][n][2 * half + 1] *= factor;
                }
            }
    }
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float top = state.top[m][half] == -INFINITY ? 0 : state.top[m][half], sum = 0;
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; e++) {
                    s[m][n][e] = exp2_fast(s[m][n][e] * bits - top);
                    sum += s[m][n][e];
                }
            state.sum[m][half] += sum;
        }
}

/* o += P V */
template <int D, int MT, int KEYS>
__device__ __forceinline__ void add_values(forward_state<D, MT> &state, const float (&p)[MT][KEYS / 8][4],
                                           shared_address values, const lane_offsets<D> &lane) {
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++) {
        uint32_t a[MT][4];
#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float *pair = &p[m][2 * k + i / 2][i % 2 * 2];
                a[m][i] = pack_bf16(pair[0], pair[1]);
            }
#pragma unroll
        for (int j = 0; j < D / 16; j++) {
            uint32_t b[4];
            load_matrices_transposed(b, values + k * 16 * D * 2 + lane.down[j]);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                multiply(state.o[m][2 * j], a[m], b[0], b[1]);
                multiply(state.o[m][2 * j + 1], a[m], b[2], b[3]);
            }
        }
    }
}

/* The lane's rows, of the block's sequence, from its warp's `first` on, to where they belong. */
template <int D, int MT>
__device__ __forceinline__ void store_outputs(const forward_args &a, const forward_state<D, MT> &state, int first,
                                              int split) {
    int lane = threadIdx.x % 32, head = blockIdx.y;
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float sum = state.sum[m][half];
            sum += __shfl_xor_sync(ALL_LANES, sum, 1);
            sum += __shfl_xor_sync(ALL_LANES, sum, 2);
            int query = first + m * 16 + half * 8 + lane / 4;
            if (query >= a.in.queries) continue;
            int64_t row = (int64_t)blockIdx.z * a.in.queries + query;
            bool none = sum == 0 || seen_by(a.in, row).y == 0;
            float factor = none ? 0 : 1 / sum, bits = none ? -INFINITY : state.top[m][half] + log2f(sum);
            int64_t shared_row = ((int64_t)split * gridDim.z * a.in.queries + row) * a.in.heads + head;
            float *part = a.part_o + shared_row * D;
            bf16 *o = a.in.o.at + row * a.in.o.stride + head * D;
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                int column = n * 8 + lane % 4 * 2;
                float x = state.o[m][n][2 * half] * factor, y = state.o[m][n][2 * half + 1] * factor;
                if (none) x = y = 0; /* what it added up may not be finite */
                if (a.splits > 1) *(float2 *)(part + column) = make_float2(x, y);
                else *(uint32_t *)(o + column) = pack_bf16(x, y);
            }
            if (lane % 4 != 0) continue;
            if (a.splits > 1) a.part_lse[shared_row] = bits;
            else a.lse[row * a.lse_stride + head] = none ? INFINITY : bits * LN2;
        }
}

/* The range of a block's queries, from `first` on, and what each of them sees. Those that see nothing, and those
 * behind the last, shall not make tiles be masked: they count as seeing all. */
template <int ROWS, int WARPS>
__device__ __forceinline__ int4 block_range(const operands &a, int64_t sequence, int first, int2 *seen, int4 *parts) {
    int4 range = no_range(a.keys);
    for (int row = threadIdx.x; row < ROWS; row += WARPS * 32) {
        int2 mine = make_int2(0, 0);
        if (first + row < a.queries) mine = seen_by(a, sequence * a.queries + first + row);
        range = joined(range, mine);
        seen[row] = mine.y ? mine : make_int2(0, a.keys);
    }
    range = joined_lanes(range);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = range;
    __syncthreads();
    for (int i = 0; i < WARPS; i++) {
        int4 b = parts[i];
        range = make_int4(min(range.x, b.x), max(range.y, b.y), max(range.z, b.z), min(range.w, b.w));
    }
    return range;
}

/* The x-th block takes ROWS queries or a split of their keys, the last queries, which see most under a causal mask,
 * first; y: head, z: sequence. */
template <class S> __global__ void __launch_bounds__(S::THREADS, S::BLOCKS) attend_forward(forward_args a) {
    constexpr int D = S::D, MT = S::MT, KEYS = S::KEYS, ROWS = S::ROWS, TILE = KEYS * D * 2;
    DYNAMIC_SHARED(memory);
    __shared__ int2 seen[ROWS];
    __shared__ int4 parts[S::WARPS];
    const operands &in = a.in;
    int block = (int)(gridDim.x - 1 - blockIdx.x), split = block % a.splits, first = block / a.splits * ROWS;
    int mine = (int)threadIdx.x / 32 * MT * 16; /* the warp's first row */
    int64_t sequence = blockIdx.z, head = blockIdx.y;
    shared_address queries = shared_at(memory), stages = queries + ROWS * D * 2;
    const bf16 *k = in.k.at + sequence * in.keys * in.k.stride + head * D;
    const bf16 *v = in.v.at + sequence * in.keys * in.v.stride + head * D;
    int4 range = block_range<ROWS, S::WARPS>(in, sequence, first, seen, parts);
    int from = range.y ? range.x / KEYS : 0, to = (range.y + KEYS - 1) / KEYS;
    int share = (to - from + a.splits - 1) / a.splits;
    from += split * share;
    to = min(to, from + share);

    auto load_keys = [&](int tile) {
        shared_address stage = stages + (tile & 1) * 2 * TILE;
        int64_t row = (int64_t)tile * KEYS;
        load_tile<D, KEYS, S::THREADS>(stage, k + row * in.k.stride, in.k.stride, (int)(in.keys - row));
        load_tile<D, KEYS, S::THREADS>(stage + TILE, v + row * in.v.stride, in.v.stride, (int)(in.keys - row));
    };
    const bf16 *q_rows = in.q.at + (sequence * in.queries + first) * in.q.stride + head * D;
    load_tile<D, ROWS, S::THREADS>(queries, q_rows, in.q.stride, in.queries - first);
    if (from < to) load_keys(from);
    copy_commit();

    forward_state<D, MT> state;
#pragma unroll
    for (int m = 0; m < MT; m++) {
        for (int n = 0; n < D / 8; n++)
            for (int e = 0; e < 4; e++) state.o[m][n][e] = 0;
        for (int half = 0; half < 2; half++) state.top[m][half] = -INFINITY, state.sum[m][half] = 0;
    }
    lane_offsets<D> lane;
    uint32_t q[MT][D / 16][4];
    copy_wait<0>();
    __syncthreads();
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int j = 0; j < D / 16; j++) load_matrices(q[m][j], queries + (mine + m * 16) * D * 2 + lane.down[j]);

#pragma unroll 1
    for (int tile = from; tile < to; tile++) {
        if (tile + 1 < to) load_keys(tile + 1);
        copy_commit();
        shared_address stage = stages + (tile & 1) * 2 * TILE;
        int key = tile * KEYS;
        float s[MT][KEYS / 8][4];
        compute_scores<D, MT, KEYS>(s, q, stage, lane);
        if (key < range.z || key + KEYS > range.w) mask_scores<MT, KEYS>(s, seen + mine, key);
        exponentiate<D, MT, KEYS>(state, s, in.scale * LOG2E);
        add_values<D, MT, KEYS>(state, s, stage + TILE, lane);
        copy_wait<0>();
        __syncthreads();
    }
    store_outputs<D, MT>(a, state, first + mine, split);
}

/* Four numbers of a row and head from all splits. */
__global__ void merge_splits(forward_args a, int64_t rows, int width) {
    int64_t item = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, per_row = (int64_t)a.in.heads * width / 4;
    if (item >= rows * per_row) return;
    int64_t row = item / per_row, column = item % per_row * 4, head = column / width;
    float top = -INFINITY, sum = 0;
    float4 o = make_float4(0, 0, 0, 0);
    for (int i = 0; i < a.splits; i++) top = fmaxf(top, a.part_lse[(i * rows + row) * a.in.heads + head]);
    for (int i = 0; i < a.splits; i++) {
        float bits = a.part_lse[(i * rows + row) * a.in.heads + head];
        if (bits == -INFINITY) continue;
        float weight = exp2f(bits - top);
        float4 part = *(const float4 *)(a.part_o + (i * rows + row) * a.in.heads * width + column);
        sum += weight;
        o = make_float4(o.x + weight * part.x, o.y + weight * part.y, o.z + weight * part.z, o.w + weight * part.w);
    }
    float factor = sum > 0 ? 1 / sum : 0;
    *(uint2 *)(a.in.o.at + row * a.in.o.stride + column) =
        make_uint2(pack_bf16(o.x * factor, o.y * factor), pack_bf16(o.z * factor, o.w * factor));
    if (column % width == 0) a.lse[row * a.lse_stride + head] = sum > 0 ? (top + log2f(sum)) * LN2 : INFINITY;
}

template <class S> void forward(cuda_context *c, const attend_args *a) {
    forward_args f = {};
    f.in = operands_of(a);
    f.lse = (float *)a->lse.data, f.lse_stride = a->lse.stride;
    int64_t tiles = ceil_div(f.in.queries, S::ROWS), blocks = a->batch * a->heads * tiles, rows = a->q.rows;
    int64_t slots = (int64_t)c->multiprocessors * S::BLOCKS;
    f.splits = (int)best_parts(slots, blocks, ceil_div(f.in.keys, S::KEYS), 1, 4);
    if (f.splits > 1) {
        size_t floats = (size_t)(f.splits * rows * a->q.cols);
        f.part_o = (float *)cuda_scratch(c, (floats + (size_t)(f.splits * rows * a->heads)) * sizeof(float));
        if (!f.part_o) return;
        f.part_lse = f.part_o + floats;
    }
    auto kernel = attend_forward<S>;
    cuda_fine(c, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::BYTES), "attention");
    dim3 grid((unsigned)(tiles * f.splits), (unsigned)a->heads, (unsigned)a->batch);
    LAUNCH(kernel, grid, S::THREADS, S::BYTES, c->stream, f);
    if (!cuda_launched(c, "attend_forward") || f.splits == 1) return;
    LAUNCH(merge_splits, (unsigned)ceil_div(rows * a->q.cols / 4, 256), 256, 0, c->stream, f, rows, S::D);
    cuda_launched(c, "merge_splits");
}

} // namespace

bool mma_attend_fits(const cuda_context *c, const attend_args *a) {
    int64_t D = a->q.cols / a->heads;
    if (a->hidden.data || a->p.data || a->r.data || a->slots.data) return false;
    if (!fits_copies(a->q) || !fits_copies(a->k) || !fits_copies(a->v) || !fits_copies(a->o)) return false;
    if (a->q.cols != D * a->heads || (D != 32 && D != 64 && D != 96 && D != 128)) return false;
    if (a->heads > 65535 || a->batch > 65535 || a->k.rows / a->batch > INT_MAX / 2) return false;
    int bytes = 0;
    cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, c->device);
    return c->capability >= 80 && bytes >= (D <= 64 ? SHARED_NARROW : SHARED_WIDE);
}

void mma_attend_fwd(cuda_context *c, const attend_args *a) {
    switch (a->q.cols / a->heads) {
    case 32: forward<forward_shape<32, 2, 4, 64, 3>>(c, a); break;
    case 64: forward<forward_shape<64, 2, 4, 64, 2>>(c, a); break;
    case 96: forward<forward_shape<96, 1, 8, 64, 1>>(c, a); break;
    default: forward<forward_shape<128, 1, 8, 64, 1>>(c, a); break;
    }
}
