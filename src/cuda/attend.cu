/* Attention for every case (kernels.h): a warp has a query and walks over tiles of 32 keys that its block has brought
 * to shared memory, a key a lane for the scores, a column a lane for the sums. Backward the same walk gives dq, and one
 * with the parts of queries and keys exchanged dk and dv, so that no sum is shared and the bits are the same every
 * time. Where a sequence has few queries, as in generation, its keys are split among blocks, and the parts merged. */
#include "cuda/attend.h"
#include "cuda/attend_few.h"
#include "cuda/elements.h"

#include <type_traits>

constexpr int OWNERS = BLOCK / WARP; /* queries, or keys backward, of a block: one a warp */
constexpr int TILE = WARP;           /* keys, or queries, that are in shared memory at once */
constexpr int FEW_QUERIES = 16, LEAST_KEYS = 512, MOST_SPLITS = 64;

/* One query of one head: where it lies and which keys it may see. */
typedef struct seen {
    int64_t first_key; /* row of key 0 of its sequence */
    int32_t self, begin, end;
} seen;

__device__ __forceinline__ seen seen_by(const attend_args &a, int64_t row) {
    int64_t N = a.q.rows / a.batch, sequence = row / N;
    seen s;
    s.first_key = (a.slots.data ? int_at(a.slots, sequence) : sequence) * attend_keys(a);
    s.self = (int32_t)(row % N);
    s.begin = int_at(a.begin, row);
    s.end = int_at(a.end, row);
    return s;
}

__device__ __forceinline__ bool sees(const attend_args &a, const seen &s, int64_t key) {
    if (key < s.begin || key >= s.end) return false;
    return !a.hidden.data || key == s.self || !int_at(a.hidden, s.first_key + key);
}

/* Element d of a row of any type. */
template <class K> __device__ __forceinline__ float key_at(const matrix &m, int64_t r, int64_t d) {
    return to_float(row_of<K>(m, r)[d]);
}
template <> __device__ __forceinline__ float key_at<int8_t>(const matrix &m, int64_t r, int64_t d) {
    const int8_t *row = row_of<int8_t>(m, r);
    return (float)row[d] * *(const float *)(row + m.stride - 4);
}

/* Rows [from, from + count) of head h, those at or behind `end` zero, into shared memory, each `wide` floats apart. */
template <class K>
__device__ void bring(float *to, int wide, const matrix &m, int64_t row, int64_t h, int64_t from, int64_t end,
                      int count, int D) {
    for (int i = threadIdx.x; i < count * D; i += blockDim.x) {
        int r = i / D, d = i % D;
        int64_t at = from + r;
        to[r * wide + d] = at >= 0 && at < end ? key_at<K>(m, row + at, h * D + d) : 0;
    }
}

__device__ __forceinline__ float dot(const float *x, const float *y, int D) {
    float sum = 0;
    for (int d = 0; d < D; d++) sum += x[d] * y[d];
    return sum;
}

/* What a block's queries see together; it begins at a whole tile. */
typedef struct reach {
    int begin, end;
} reach;

__device__ reach block_reach(const seen &s, bool there) {
    __shared__ int limits[2][OWNERS];
    int warp = threadIdx.x / WARP;
    bool any = there && s.begin < s.end;
    __syncthreads();
    limits[0][warp] = any ? s.begin : INT32_MAX;
    limits[1][warp] = any ? s.end : 0;
    __syncthreads();
    reach r = {INT32_MAX, 0};
    for (int i = 0; i < OWNERS; i++) {
        r.begin = min(r.begin, limits[0][i]);
        r.end = max(r.end, limits[1][i]);
    }
    r.begin = r.begin / TILE * TILE;
    return r;
}

/* ------------------------------------------------------------------ shared memory */

/* Rows of D floats; those that lanes read side by side stand one float further apart, so that no two meet in a bank. */
typedef struct room {
    float *own[2];  /* [OWNERS, D]: queries, or keys and values backward */
    float *tile[2]; /* [TILE, D + 1] */
    float *far;     /* [TILE + OWNERS, D + 1]: keys of distances, and */
    float *own_far; /* [OWNERS, D] what meets them */
} room;

static size_t room_bytes(int64_t D, bool relative) {
    int64_t floats = 2 * OWNERS * D + 2 * TILE * (D + 1);
    if (relative) floats += (TILE + OWNERS) * (D + 1) + OWNERS * D;
    return (size_t)floats * sizeof(float);
}

__device__ room room_in(unsigned char *memory, int D) {
    float *at = (float *)memory;
    room r;
    r.own[0] = at;
    r.own[1] = r.own[0] + OWNERS * D;
    r.tile[0] = r.own[1] + OWNERS * D;
    r.tile[1] = r.tile[0] + TILE * (D + 1);
    r.far = r.tile[1] + TILE * (D + 1);
    r.own_far = r.far + (TILE + OWNERS) * (D + 1);
    return r;
}

/* Row of `far` that a query and a tile's key meet at; its first row belongs to the block's last end and first key. */
__device__ __forceinline__ int far_row(const reach &r, const seen &s, int lane) { return r.end - s.end + lane; }

__device__ __forceinline__ int64_t far_from(const attend_args &a, const reach &r, int64_t tile) {
    return a.r.rows - r.end + tile;
}

/* ------------------------------------------------------------------ forward */

typedef struct cut {
    int splits;   /* of the keys */
    float *parts; /* as of attend_merge; NULL where there is one */
} cut;

__device__ __forceinline__ float score_of(const attend_args &a, const room &m, const reach &all, const seen &s,
                                          int warp, int lane, int D) {
    float score = dot(m.own[0] + warp * D, m.tile[0] + lane * (D + 1), D);
    if (a.r.data && s.begin < s.end) score += dot(m.own_far + warp * D, m.far + far_row(all, s, lane) * (D + 1), D);
    return a.scale * score;
}

/* COLUMNS: of a head that a lane sums, at most. */
template <class T, class K, int COLUMNS> __global__ void attend_fwd_kernel(attend_args a, cut c) {
    DYNAMIC_SHARED(memory);
    int D = (int)(a.q.cols / a.heads), warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int64_t N = a.q.rows / a.batch, groups = (N + OWNERS - 1) / OWNERS, h = blockIdx.y;
    int64_t sequence = blockIdx.x / groups, i = blockIdx.x % groups * OWNERS + warp, row = sequence * N + i;
    bool there = i < N;
    room m = room_in(memory, D);
    seen s = seen_by(a, there ? row : sequence * N);
    reach all = block_reach(s, there);
    int64_t M = attend_keys(a), piece = (M + c.splits - 1) / c.splits;
    piece = (piece + TILE - 1) / TILE * TILE;
    int64_t from = max((int64_t)all.begin, blockIdx.z * piece), to = min((int64_t)all.end, (blockIdx.z + 1) * piece);
    for (int d = lane; d < D && there; d += WARP) {
        m.own[0][warp * D + d] = to_float(row_of<T>(a.q, row)[h * D + d]);
        if (a.r.data) m.own_far[warp * D + d] = to_float(row_of<T>(a.p, row)[h * D + d]);
    }
    float largest = -INFINITY, sum = 0, o[COLUMNS];
    for (int n = 0; n < COLUMNS; n++) o[n] = 0;
    for (int64_t tile = from; tile < to; tile += TILE) {
        __syncthreads();
        bring<K>(m.tile[0], D + 1, a.k, s.first_key, h, tile, all.end, TILE, D);
        bring<K>(m.tile[1], D + 1, a.v, s.first_key, h, tile, all.end, TILE, D);
        if (a.r.data) bring<T>(m.far, D + 1, a.r, 0, h, far_from(a, all, tile), a.r.rows, TILE + OWNERS, D);
        __syncthreads();
        bool seen_key = there && sees(a, s, tile + lane);
        if (!__any_sync(ALL_LANES, seen_key)) continue;
        float score = seen_key ? score_of(a, m, all, s, warp, lane, D) : -INFINITY;
        float most = fmaxf(largest, warp_max(score));
        float p = seen_key ? expf(score - most) : 0, keep = expf(largest - most);
        largest = most;
        sum = sum * keep + warp_sum(p);
        for (int n = 0; n < COLUMNS; n++) o[n] *= keep;
        for (int k = 0; k < TILE; k++) {
            float weight = __shfl_sync(ALL_LANES, p, k);
            for (int n = 0; n < COLUMNS; n++)
                if (n * WARP + lane < D) o[n] += weight * m.tile[1][k * (D + 1) + n * WARP + lane];
        }
    }
    if (!there) return;
    if (c.parts) {
        float *part = c.parts + ((blockIdx.z * a.q.rows + row) * a.heads + h) * (D + 2);
        for (int n = 0; n < COLUMNS; n++)
            if (n * WARP + lane < D) part[n * WARP + lane] = o[n];
        if (lane == 0) part[D] = largest;
        if (lane == 0) part[D + 1] = sum;
        return;
    }
    for (int n = 0; n < COLUMNS; n++)
        if (n * WARP + lane < D) put(row_of<T>(a.o, row) + h * D + n * WARP + lane, sum > 0 ? o[n] / sum : 0);
    if (lane == 0) row_of<float>(a.lse, row)[h] = sum > 0 ? largest + logf(sum) : INFINITY;
}

static bool allow(cuda_context *c, const void *kernel, size_t bytes) {
    if (bytes <= 48 << 10) return true;
    return cuda_fine(c, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
                     "attention with heads as wide as these");
}

template <class T, class K, int COLUMNS>
static void launch_fwd(cuda_context *c, const attend_args *a, const cut &parts) {
    int64_t D = a->q.cols / a->heads, N = a->q.rows / a->batch;
    size_t bytes = room_bytes(D, a->r.data != NULL);
    dim3 grid((unsigned)((N + OWNERS - 1) / OWNERS * a->batch), (unsigned)a->heads, (unsigned)parts.splits);
    if (!allow(c, (const void *)attend_fwd_kernel<T, K, COLUMNS>, bytes)) return;
    LAUNCH((attend_fwd_kernel<T, K, COLUMNS>), grid, BLOCK, bytes, c->stream, *a, parts);
}

/* f(columns): how many a lane has of a head of D. */
template <class F> static void by_columns(cuda_context *c, int64_t D, F f) {
    if (D <= 2 * WARP) f(std::integral_constant<int, 2>());
    else if (D <= 4 * WARP) f(std::integral_constant<int, 4>());
    else if (D <= 32 * WARP) f(std::integral_constant<int, 32>());
    else fail(c->failure, PCV_CONFIG, "attention with heads of %lld channels, at most %d on this device", (long long)D,
              32 * WARP);
}

void plain_attend_fwd(cuda_context *c, const attend_args *a) {
    int64_t D = a->q.cols / a->heads, N = a->q.rows / a->batch, M = attend_keys(*a);
    cut parts = {1, NULL};
    if (!a->q.rows) return;
    /* not by the batch, so that a sequence has the same bits alone */
    if (N <= FEW_QUERIES && M >= 2 * LEAST_KEYS)
        parts.splits = (int)(M / LEAST_KEYS < MOST_SPLITS ? M / LEAST_KEYS : MOST_SPLITS);
    if (parts.splits > 1) {
        size_t floats = (size_t)(parts.splits * a->q.rows * a->heads * (D + 2));
        parts.parts = (float *)cuda_scratch(c, floats * sizeof(float));
        if (!parts.parts) return;
    }
    by_type(a->q.type, [&](auto t) {
        using T = decltype(t);
        by_columns(c, D, [&](auto columns) {
            constexpr int N = decltype(columns)::value;
            if (a->k.type == I8) launch_fwd<T, int8_t, N>(c, a, parts);
            else if (a->k.type == BF16) launch_fwd<T, bf16, N>(c, a, parts);
            else launch_fwd<T, float, N>(c, a, parts);
        });
    });
    if (parts.parts) attend_merge(c, a, parts.parts, parts.splits);
    cuda_launched(c, "attend_fwd");
}

/* ------------------------------------------------------------------ backward */

template <class T> __global__ void attend_delta_kernel(attend_bwd_args b) {
    const attend_args &a = b.fwd;
    int64_t which = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / WARP, D = a.q.cols / a.heads;
    int lane = threadIdx.x % WARP;
    if (which >= a.q.rows * a.heads) return;
    int64_t row = which / a.heads, h = which % a.heads;
    float sum = 0;
    for (int64_t d = h * D + lane; d < (h + 1) * D; d += WARP)
        sum += to_float(row_of<T>(a.o, row)[d]) * to_float(row_of<T>(b.grad_o, row)[d]);
    sum = warp_sum(sum);
    if (lane == 0) row_of<float>(b.delta, row)[h] = sum;
}

/* dq, and dp with distances: the walk of the forward pass. */
template <class T, int COLUMNS> __global__ void attend_dq_kernel(attend_bwd_args b) {
    DYNAMIC_SHARED(memory);
    const attend_args &a = b.fwd;
    int D = (int)(a.q.cols / a.heads), warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int64_t N = a.q.rows / a.batch, groups = (N + OWNERS - 1) / OWNERS, h = blockIdx.y;
    int64_t sequence = blockIdx.x / groups, i = blockIdx.x % groups * OWNERS + warp, row = sequence * N + i;
    bool there = i < N;
    room m = room_in(memory, D);
    seen s = seen_by(a, there ? row : sequence * N);
    reach all = block_reach(s, there);
    for (int d = lane; d < D && there; d += WARP) {
        m.own[0][warp * D + d] = to_float(row_of<T>(a.q, row)[h * D + d]);
        m.own[1][warp * D + d] = to_float(row_of<T>(b.grad_o, row)[h * D + d]);
        if (a.r.data) m.own_far[warp * D + d] = to_float(row_of<T>(a.p, row)[h * D + d]);
    }
    float lse = there ? row_of<float>(a.lse, row)[h] : 0, delta = there ? row_of<float>(b.delta, row)[h] : 0;
    float dq[COLUMNS], dp[COLUMNS];
    for (int n = 0; n < COLUMNS; n++) dq[n] = dp[n] = 0;
    for (int64_t tile = all.begin; tile < all.end; tile += TILE) {
        __syncthreads();
        bring<T>(m.tile[0], D + 1, a.k, s.first_key, h, tile, all.end, TILE, D);
        bring<T>(m.tile[1], D + 1, a.v, s.first_key, h, tile, all.end, TILE, D);
        if (a.r.data) bring<T>(m.far, D + 1, a.r, 0, h, far_from(a, all, tile), a.r.rows, TILE + OWNERS, D);
        __syncthreads();
        bool seen_key = there && sees(a, s, tile + lane);
        if (!__any_sync(ALL_LANES, seen_key)) continue;
        float ds = 0;
        if (seen_key) {
            float p = expf(score_of(a, m, all, s, warp, lane, D) - lse);
            ds = p * (dot(m.own[1] + warp * D, m.tile[1] + lane * (D + 1), D) - delta) * a.scale;
        }
        for (int k = 0; k < TILE; k++) {
            float weight = __shfl_sync(ALL_LANES, ds, k);
            for (int n = 0; n < COLUMNS; n++) {
                int d = n * WARP + lane;
                if (d >= D) continue;
                dq[n] += weight * m.tile[0][k * (D + 1) + d];
                if (a.r.data) dp[n] += weight * m.far[far_row(all, s, k) * (D + 1) + d];
            }
        }
    }
    for (int n = 0; n < COLUMNS && there; n++) {
        int d = n * WARP + lane;
        if (d >= D) continue;
        put_gradient(b.dq, row, h * D + d, dq[n]);
        if (a.r.data) put_gradient(b.dp, row, h * D + d, dp[n]);
    }
}

/* The score of query `row` and key j from memory: what the walks over queries add where there are distances. */
template <class T>
__device__ float far_score(const attend_args &a, int64_t row, int64_t h, int64_t end, int64_t key, int D) {
    const T *p = row_of<T>(a.p, row) + h * D, *r = row_of<T>(a.r, a.r.rows - end + key) + h * D;
    float sum = 0;
    for (int d = 0; d < D; d++) sum += to_float(p[d]) * to_float(r[d]);
    return sum;
}

/* dk and dv: a warp has a key, tiles are of queries. */
template <class T, int COLUMNS> __global__ void attend_dkv_kernel(attend_bwd_args b) {
    DYNAMIC_SHARED(memory);
    const attend_args &a = b.fwd;
    int D = (int)(a.q.cols / a.heads), warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int64_t N = a.q.rows / a.batch, M = attend_keys(a), groups = (M + OWNERS - 1) / OWNERS, h = blockIdx.y;
    int64_t sequence = blockIdx.x / groups, key = blockIdx.x % groups * OWNERS + warp, row = sequence * M + key;
    bool there = key < M;
    room m = room_in(memory, D);
    for (int d = lane; d < D && there; d += WARP) {
        m.own[0][warp * D + d] = to_float(row_of<T>(a.k, row)[h * D + d]);
        m.own[1][warp * D + d] = to_float(row_of<T>(a.v, row)[h * D + d]);
    }
    float dk[COLUMNS], dv[COLUMNS];
    for (int n = 0; n < COLUMNS; n++) dk[n] = dv[n] = 0;
    for (int64_t tile = 0; tile < N; tile += TILE) {
        int64_t query = sequence * N + tile + lane;
        seen s = seen_by(a, tile + lane < N ? query : sequence * N);
        bool met = there && tile + lane < N && sees(a, s, key);
        if (!__syncthreads_or(met)) continue;
        bring<T>(m.tile[0], D + 1, a.q, sequence * N, h, tile, N, TILE, D);
        bring<T>(m.tile[1], D + 1, b.grad_o, sequence * N, h, tile, N, TILE, D);
        __syncthreads();
        float p = 0, ds = 0;
        if (met) {
            float score = dot(m.own[0] + warp * D, m.tile[0] + lane * (D + 1), D);
            if (a.r.data) score += far_score<T>(a, query, h, s.end, key, D);
            p = expf(a.scale * score - row_of<float>(a.lse, query)[h]);
            ds = dot(m.own[1] + warp * D, m.tile[1] + lane * (D + 1), D) - row_of<float>(b.delta, query)[h];
            ds *= p * a.scale;
        }
        for (int k = 0; k < TILE; k++) {
            float weight = __shfl_sync(ALL_LANES, p, k), slope = __shfl_sync(ALL_LANES, ds, k);
            for (int n = 0; n < COLUMNS; n++) {
                int d = n * WARP + lane;
                if (d >= D) continue;
                dv[n] += weight * m.tile[1][k * (D + 1) + d];
                dk[n] += slope * m.tile[0][k * (D + 1) + d];
            }
        }
    }
    for (int n = 0; n < COLUMNS && there; n++) {
        int d = n * WARP + lane;
        if (d >= D) continue;
        put_gradient(b.dk, row, h * D + d, dk[n]);
        put_gradient(b.dv, row, h * D + d, dv[n]);
    }
}

/* dL/dscore of a query and the key that is `far` away from its last, from memory. */
template <class T> __device__ float far_slope(const attend_bwd_args &b, int64_t query, int64_t h, int64_t far, int D) {
    const attend_args &a = b.fwd;
    seen s = seen_by(a, query);
    int64_t key = far - a.r.rows + s.end, row = query / (a.q.rows / a.batch) * attend_keys(a) + key, at = h * D;
    if (!sees(a, s, key)) return 0;
    const T *q = row_of<T>(a.q, query) + at, *k = row_of<T>(a.k, row) + at, *v = row_of<T>(a.v, row) + at;
    const T *grad_o = row_of<T>(b.grad_o, query) + at;
    float score = far_score<T>(a, query, h, s.end, key, D), slope = 0;
    for (int d = 0; d < D; d++) {
        score += to_float(q[d]) * to_float(k[d]);
        slope += to_float(grad_o[d]) * to_float(v[d]);
    }
    float p = expf(a.scale * score - row_of<float>(a.lse, query)[h]);
    return p * (slope - row_of<float>(b.delta, query)[h]) * a.scale;
}

/* dr: a block has a distance of a head, each of its threads a query, whose key at that distance is one. */
template <class T> __global__ void attend_dr_kernel(attend_bwd_args b) {
    __shared__ float slopes[BLOCK];
    const attend_args &a = b.fwd;
    int D = (int)(a.q.cols / a.heads), thread = (int)threadIdx.x;
    int64_t far = blockIdx.x, h = blockIdx.y;
    for (int from = 0; from < D; from += BLOCK) {
        float sum = 0;
        for (int64_t tile = 0; tile < a.q.rows; tile += BLOCK) {
            int64_t count = min((int64_t)BLOCK, a.q.rows - tile);
            __syncthreads();
            slopes[thread] = thread < count ? far_slope<T>(b, tile + thread, h, far, D) : 0;
            __syncthreads();
            for (int64_t i = 0; i < count && from + thread < D; i++)
                sum += slopes[i] * to_float(row_of<T>(a.p, tile + i)[h * D + from + thread]);
        }
        if (from + thread < D) put_gradient(b.dr, far, h * D + from + thread, sum);
    }
}

template <class T, int COLUMNS> static void launch_bwd(cuda_context *c, const attend_bwd_args *b) {
    const attend_args *a = &b->fwd;
    int64_t D = a->q.cols / a->heads, N = a->q.rows / a->batch, M = attend_keys(*a);
    size_t bytes = room_bytes(D, a->r.data != NULL);
    dim3 queries((unsigned)((N + OWNERS - 1) / OWNERS * a->batch), (unsigned)a->heads);
    dim3 keys((unsigned)((M + OWNERS - 1) / OWNERS * a->batch), (unsigned)a->heads);
    if (!allow(c, (const void *)attend_dq_kernel<T, COLUMNS>, bytes) ||
        !allow(c, (const void *)attend_dkv_kernel<T, COLUMNS>, bytes))
        return;
    LAUNCH((attend_dq_kernel<T, COLUMNS>), queries, BLOCK, bytes, c->stream, *b);
    LAUNCH((attend_dkv_kernel<T, COLUMNS>), keys, BLOCK, bytes, c->stream, *b);
}

void plain_attend_bwd(cuda_context *c, const attend_bwd_args *b) {
    const attend_args *a = &b->fwd;
    int64_t D = a->q.cols / a->heads;
    by_type(a->q.type, [&](auto t) {
        using T = decltype(t);
        if (a->q.rows)
            LAUNCH(attend_delta_kernel<T>, warp_blocks(a->q.rows * a->heads), BLOCK, 0,
                   c->stream, *b);
        by_columns(c, D, [&](auto columns) { launch_bwd<T, decltype(columns)::value>(c, b); });
        if (a->r.data) {
            dim3 distances((unsigned)a->r.rows, (unsigned)a->heads);
            LAUNCH(attend_dr_kernel<T>, distances, BLOCK, 0, c->stream, *b);
        }
    });
    cuda_launched(c, "attend_bwd");
}
