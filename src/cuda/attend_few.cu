/* A block has a query of one head and a piece of its keys. Lanes share a key, 8 or 16 bytes of its row each, so a warp
 * reads a few whole rows at once; the rows of several steps are on their way before the first is needed. Each group of
 * lanes keeps a maximum, a sum and an output of its own (Milakov and Gimelshein 2018); groups, warps and pieces are
 * merged at the end. Pieces are cut by the number of keys alone, so a sequence has the same bits in any batch. */
#include "cuda/attend_few.h"
#include "cuda/attend.h"
#include "cuda/elements.h"

#include <type_traits>

enum { WARPS = BLOCK / WARP, AHEAD = 4, FEW_QUERIES = 16, LEAST_KEYS = 256 };

/* Elements that a lane has of a row: 16 bytes, or 8 of I8. */
template <class K> __host__ __device__ constexpr int share_of() { return sizeof(K) == 4 ? 4 : 8; }

/* What has been summed: o is divided by `sum` at the end. */
template <int V> struct partial {
    float largest, sum, o[V];
};

template <int V>
__device__ __forceinline__ void merge(partial<V> &a, float largest, float sum, const float (&o)[V]) {
    float most = fmaxf(a.largest, largest);
    if (most == -INFINITY) return; /* neither has seen a key */
    float keep = expf(a.largest - most), take = expf(largest - most);
    a.largest = most;
    a.sum = a.sum * keep + sum * take;
    for (int v = 0; v < V; v++) a.o[v] = a.o[v] * keep + o[v] * take;
}

/* Adds the keys `key`, `key + apart`, ... AHEAD of them, those below `to`. */
template <class K, int V, int LANES>
__device__ __forceinline__ void take_keys(const attend_args &a, partial<V> &p, const float (&q)[V], int64_t first,
                                          int64_t key, int64_t to, int apart, int64_t column) {
    float k[AHEAD][V], v[AHEAD][V], score[AHEAD], most = p.largest, factor = 1;
#pragma unroll
    for (int u = 0; u < AHEAD; u++) {
        int64_t row = first + (key + u * apart < to ? key + u * apart : to - 1);
        load<K, V>(row_of<K>(a.k, row) + column, k[u]);
        load<K, V>(row_of<K>(a.v, row) + column, v[u]);
    }
#pragma unroll
    for (int u = 0; u < AHEAD; u++) {
        float sum = 0;
        for (int i = 0; i < V; i++) sum += q[i] * k[u][i];
#pragma unroll
        for (int i = LANES / 2; i; i /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, i);
        int64_t at = key + u * apart;
        if (a.k.type == I8 && at < to) sum *= *(const float *)(row_of<int8_t>(a.k, first + at) + a.k.stride - 4);
        score[u] = at < to ? sum : -INFINITY;
        most = fmaxf(most, score[u]);
    }
    if (most == -INFINITY) return;
    float keep = expf(p.largest - most);
    p.largest = most;
    p.sum *= keep;
    for (int i = 0; i < V; i++) p.o[i] *= keep;
#pragma unroll
    for (int u = 0; u < AHEAD; u++) {
        float weight = expf(score[u] - most);
        p.sum += weight;
        if (a.v.type == I8 && key + u * apart < to)
            factor = *(const float *)(row_of<int8_t>(a.v, first + key + u * apart) + a.v.stride - 4);
        for (int i = 0; i < V; i++) p.o[i] += weight * factor * v[u][i];
    }
}

/* parts: as of attend_merge; NULL: there is one piece. */
template <class T, class K, int LANES> __global__ void few_kernel(attend_args a, int64_t piece, float *parts) {
    constexpr int V = share_of<K>(), D = LANES * V, KEYS = WARP / LANES;
    __shared__ float shared[WARPS][D + 2];
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, place = lane % LANES;
    int64_t row = blockIdx.x, h = blockIdx.y, sequence = row / (a.q.rows / a.batch), column = h * D + place * V;
    int64_t first = (a.slots.data ? int_at(a.slots, sequence) : sequence) * attend_keys(a);
    int64_t from = max((int64_t)int_at(a.begin, row), blockIdx.z * piece);
    int64_t to = min((int64_t)int_at(a.end, row), (blockIdx.z + 1) * piece);
    partial<V> p = {-INFINITY, 0, {0}};
    float q[V];
    load<T, V>(row_of<T>(a.q, row) + column, q);
    for (int i = 0; i < V; i++) q[i] *= a.scale;
    for (int64_t base = from + warp * KEYS; base < to; base += WARPS * KEYS * AHEAD)
        take_keys<K, V, LANES>(a, p, q, first, base + lane / LANES, to, WARPS * KEYS, column);
#pragma unroll
    for (int i = LANES; i < WARP; i *= 2) { /* the groups of a warp */
        float o[V];
        for (int v = 0; v < V; v++) o[v] = __shfl_xor_sync(ALL_LANES, p.o[v], i);
        float largest = __shfl_xor_sync(ALL_LANES, p.largest, i), sum = __shfl_xor_sync(ALL_LANES, p.sum, i);
        merge(p, largest, sum, o);
    }
    if (lane < LANES)
        for (int v = 0; v < V; v++) shared[warp][place * V + v] = p.o[v];
    if (lane == 0) shared[warp][D] = p.largest;
    if (lane == 0) shared[warp][D + 1] = p.sum;
    __syncthreads();
    if (warp) return;
    p = {-INFINITY, 0, {0}};
    for (int w = 0; w < WARPS; w++) {
        float o[V];
        for (int v = 0; v < V; v++) o[v] = shared[w][place * V + v];
        merge(p, shared[w][D], shared[w][D + 1], o);
    }
    float *part = parts ? parts + ((blockIdx.z * a.q.rows + row) * a.heads + h) * (D + 2) : NULL;
    for (int v = 0; v < V && lane < LANES; v++) {
        if (part) part[place * V + v] = p.o[v];
        else put(row_of<T>(a.o, row) + column + v, p.sum > 0 ? p.o[v] / p.sum : 0);
    }
    if (lane) return;
    if (part) part[D] = p.largest;
    if (part) part[D + 1] = p.sum;
    else row_of<float>(a.lse, row)[h] = p.sum > 0 ? p.largest + logf(p.sum) : INFINITY;
}

/* A block merges the pieces of a query's head: their weights first, then a column a thread. */
template <class T> __global__ void merge_kernel(attend_args a, const float *parts, int pieces) {
    __shared__ float weight[MOST_PIECES];
    int64_t D = a.q.cols / a.heads, row = blockIdx.x, h = blockIdx.y, apart = a.q.rows * a.heads * (D + 2);
    const float *part = parts + (row * a.heads + h) * (D + 2);
    float largest = -INFINITY, sum = 0;
    for (int s = 0; s < pieces; s++) largest = fmaxf(largest, part[s * apart + D]);
    for (int s = threadIdx.x; s < pieces; s += blockDim.x)
        weight[s] = part[s * apart + D] > -INFINITY ? expf(part[s * apart + D] - largest) : 0;
    __syncthreads();
    for (int s = 0; s < pieces; s++) sum += weight[s] * part[s * apart + D + 1];
    for (int64_t d = threadIdx.x; d < D; d += blockDim.x) {
        float o = 0;
#pragma unroll 8
        for (int s = 0; s < pieces; s++) o += weight[s] * part[s * apart + d];
        put(row_of<T>(a.o, row) + h * D + d, sum > 0 ? o / sum : 0);
    }
    if (threadIdx.x == 0) row_of<float>(a.lse, row)[h] = sum > 0 ? largest + logf(sum) : INFINITY;
}

void attend_merge(cuda_context *c, const attend_args *a, const float *parts, int pieces) {
    dim3 grid((unsigned)a->q.rows, (unsigned)a->heads);
    by_type(a->q.type, [&](auto t) {
        LAUNCH(merge_kernel<decltype(t)>, grid, BLOCK / 2, 0, c->stream, *a, parts, pieces);
    });
}

/* ------------------------------------------------------------------ on the host */

bool few_attend_fits(const attend_args *a) {
    int64_t D = a->q.cols / a->heads, V = a->k.type == F32 ? 4 : 8, lanes = D / V;
    bool whole = a->k.type == I8 ? a->k.stride % 8 == 0 && a->v.stride % 8 == 0 &&
                                       ((intptr_t)a->k.data | (intptr_t)a->v.data) % 8 == 0
                                 : in_packs(a->k, (int)V) && in_packs(a->v, (int)V);
    return a->q.rows / a->batch <= FEW_QUERIES && !a->hidden.data && !a->r.data && lanes * V == D && lanes >= 2 &&
           lanes <= WARP && !(lanes & (lanes - 1)) && whole && in_packs(a->q, (int)V) && a->k.type == a->v.type;
}

template <class F> static void by_lanes(int64_t lanes, F f) {
    if (lanes == 2) f(std::integral_constant<int, 2>());
    else if (lanes == 4) f(std::integral_constant<int, 4>());
    else if (lanes == 8) f(std::integral_constant<int, 8>());
    else if (lanes == 16) f(std::integral_constant<int, 16>());
    else f(std::integral_constant<int, 32>());
}

template <class T, class K>
static void launch(cuda_context *c, const attend_args *a, int pieces, int64_t piece, float *parts) {
    dim3 grid((unsigned)a->q.rows, (unsigned)a->heads, (unsigned)pieces);
    by_lanes(a->q.cols / a->heads / share_of<K>(), [&](auto lanes) {
        constexpr int LANES = decltype(lanes)::value;
        LAUNCH((few_kernel<T, K, LANES>), grid, BLOCK, 0, c->stream, *a, piece, parts);
    });
}

void few_attend_fwd(cuda_context *c, const attend_args *a) {
    int64_t D = a->q.cols / a->heads, M = attend_keys(*a), pieces = (M + LEAST_KEYS - 1) / LEAST_KEYS;
    float *parts = NULL;
    if (!a->q.rows) return;
    if (pieces > MOST_PIECES) pieces = MOST_PIECES;
    int64_t piece = (M + pieces - 1) / pieces;
    if (pieces > 1) {
        parts = (float *)cuda_scratch(c, (size_t)(pieces * a->q.rows * a->heads * (D + 2)) * sizeof *parts);
        if (!parts) return;
    }
    by_type(a->q.type, [&](auto t) {
        using T = decltype(t);
        if (a->k.type == I8) launch<T, int8_t>(c, a, (int)pieces, piece, parts);
        else if (a->k.type == BF16) launch<T, bf16>(c, a, (int)pieces, piece, parts);
        else launch<T, float>(c, a, (int)pieces, piece, parts);
    });
    if (parts) attend_merge(c, a, parts, (int)pieces);
    cuda_launched(c, "attend_fwd");
}
