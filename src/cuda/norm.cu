/* Norms. A warp takes a row and keeps it in registers where it fits, so that memory is read once; what it cannot keep
 * it reads again, from the cache. Gradients of the weights are sums over all rows: parts of the rows first, then the
 * parts in their order. */
#include "cuda/kernels_cuda.h"
#include "cuda/parts.h"
#include "cuda/residual.h"

constexpr int MOST_PARTS = 264; /* two for each of a large device's multiprocessors */

int64_t cuda_norm_parts(const backend *, int64_t rows) {
    return rows < 64 ? 1 : rows < 64 * MOST_PARTS ? rows / 64 : MOST_PARTS;
}

/* Pack `k` of a row of `packs`: the lane's own, or none. HELD 0: nothing is kept. */
#define FOR_PACKS(k, packs)                                                                        \
    _Pragma("unroll") for (int k = 0; k < (HELD ? HELD : (int)(((packs) + WARP - 1) / WARP)); k++) \
        if (k * WARP + lane < (packs))

template <class T, int V, int HELD> struct held_row {
    const T *from;
    int lane, packs;
    float x[HELD ? HELD : 1][V];

    __device__ __forceinline__ held_row(const T *row, int64_t cols, int lane_) : from(row), lane(lane_) {
        packs = (int)(cols / V);
        if (HELD) FOR_PACKS(k, packs) load<T, V>(from + (k * WARP + lane) * V, x[HELD ? k : 0]);
    }
    /* The row is a sum that is still to be computed. It is rounded before it is used. */
    __device__ __forceinline__ held_row(const dropout_args &a, uint64_t least, int64_t r, int lane_) : lane(lane_) {
        T *to = row_of<T>(a.y, r);
        from = to;
        packs = (int)(a.y.cols / V);
        FOR_PACKS(k, packs) {
            float(&sum)[V] = x[HELD ? k : 0];
            int at = (k * WARP + lane) * V;
            residual_sum<T, T, V>(a, r, at, least, sum);
            store<T, V>(to + at, sum);
            for (int v = 0; v < V; v++) sum[v] = rounded<T>(sum[v]);
        }
    }
    __device__ __forceinline__ const float (&at(int k))[V] {
        if (!HELD) load<T, V>(from + (k * WARP + lane) * V, x[0]);
        return x[HELD ? k : 0];
    }
};

template <class T, int V, int HELD> __device__ __forceinline__ held_row<T, V, HELD> row_to_norm(
    const norm_args &a, uint64_t least, int64_t r, int lane) {
    if (a.sum.y.data) return held_row<T, V, HELD>(a.sum, least, r, lane);
    return held_row<T, V, HELD>(row_of<T>(a.x, r), a.x.cols, lane);
}

template <class T, int V, int HELD> __global__ void norm_fwd_kernel(norm_args a, uint64_t least) {
    int64_t r = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
    int lane = threadIdx.x % WARP, packs = (int)(a.x.cols / V);
    if (r >= a.x.rows) return;
    held_row<T, V, HELD> row = row_to_norm<T, V, HELD>(a, least, r, lane);
    int set = a.set.data ? int_at(a.set, r) : 0;
    float n = (float)a.x.cols, mean = 0, variance = 0;
    if (!a.rms) {
        FOR_PACKS(k, packs) {
            const float(&x)[V] = row.at(k);
            for (int v = 0; v < V; v++) mean += x[v];
        }
        mean = warp_sum(mean) / n;
    }
    FOR_PACKS(k, packs) {
        const float(&x)[V] = row.at(k);
        for (int v = 0; v < V; v++) variance += (x[v] - mean) * (x[v] - mean);
    }
    float rstd = 1 / sqrtf(warp_sum(variance) / n + a.epsilon);
    const T *w = (const T *)a.w[set].data, *b = (const T *)a.b[set].data;
    FOR_PACKS(k, packs) {
        const float(&x)[V] = row.at(k);
        int at = (k * WARP + lane) * V;
        float wv[V], bv[V] = {0}, y[V];
        load<T, V>(w + at, wv);
        if (b) load<T, V>(b + at, bv);
        for (int v = 0; v < V; v++) y[v] = (x[v] - mean) * rstd * wv[v] + bv[v];
        store<T, V>(row_of<T>(a.y, r) + at, y);
    }
    if (lane == 0) {
        row_of<float>(a.stats, r)[0] = mean;
        row_of<float>(a.stats, r)[1] = rstd;
    }
}

/* Runs f(packs, kept): V elements of a pack, packs that a lane keeps. */
template <class T, class F> static void by_width(bool packs, int64_t cols, F f) {
    constexpr int V = pack_of<T>();
    struct wide {
        enum { V = pack_of<T>(), HELD = 8 * 4 / pack_of<T>() }; /* 1,024 columns */
    };
    struct narrow {
        enum { V = pack_of<T>(), HELD = wide::HELD / 2 }; /* fewer registers, more warps */
    };
    struct wider {
        enum { V = pack_of<T>(), HELD = 0 };
    };
    struct single {
        enum { V = 1, HELD = 0 };
    };
    if (!packs) f(single());
    else if (cols <= narrow::HELD * WARP * V) f(narrow());
    else if (cols <= wide::HELD * WARP * V) f(wide());
    else f(wider());
}

void cuda_norm_fwd(void *context, const norm_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->x.rows || !a->x.cols) return;
    by_type(a->x.type, [&](auto t) {
        using T = decltype(t);
        constexpr int V = pack_of<T>();
        bool packs = in_packs(a->x, V) && in_packs(a->y, V) && in_packs(a->sum.x, V) && in_packs(a->sum.a, V);
        for (int i = 0; i < 2; i++) packs = packs && in_packs(a->w[i], V) && in_packs(a->b[i], V);
        by_width<T>(packs, a->x.cols, [&](auto way) {
            using W = decltype(way);
            LAUNCH((norm_fwd_kernel<T, W::V, W::HELD>), warp_blocks(a->x.rows), BLOCK, 0, c->stream, *a,
                   dropped_below(&a->sum));
        });
    });
    cuda_launched(c, "norm_fwd");
}

/* ------------------------------------------------------------------ backward */

/* dx of one row; `add` is told of every pack with x and dy as floats: add(k, xh, dy). */
template <class T, int V, int HELD, class F>
__device__ __forceinline__ void row_gradient(const norm_bwd_args &a, int64_t r, int lane, F add) {
    int packs = (int)(a.x.cols / V);
    held_row<T, V, HELD> row(row_of<T>(a.x, r), a.x.cols, lane), up(row_of<T>(a.dy, r), a.x.cols, lane);
    const T *w = (const T *)a.w[a.set.data ? int_at(a.set, r) : 0].data;
    float n = (float)a.x.cols, mean = row_of<float>(a.stats, r)[0], rstd = row_of<float>(a.stats, r)[1];
    float mean_g = 0, mean_gx = 0;
    FOR_PACKS(k, packs) {
        const float(&x)[V] = row.at(k), (&dy)[V] = up.at(k);
        float wv[V];
        load<T, V>(w + (k * WARP + lane) * V, wv);
        for (int v = 0; v < V; v++) {
            mean_g += dy[v] * wv[v];
            mean_gx += dy[v] * wv[v] * (x[v] - mean) * rstd;
        }
    }
    mean_g = a.rms ? 0 : warp_sum(mean_g) / n;
    mean_gx = warp_sum(mean_gx) / n;
    FOR_PACKS(k, packs) {
        const float(&x)[V] = row.at(k), (&dy)[V] = up.at(k);
        int at = (k * WARP + lane) * V;
        float wv[V], old[V], dx[V], xh[V];
        load<T, V>(w + at, wv);
        if (a.beta != 0) load_gradient<V>(a.dx, r, at, old);
        for (int v = 0; v < V; v++) {
            xh[v] = (x[v] - mean) * rstd;
            dx[v] = rstd * (dy[v] * wv[v] - mean_g - xh[v] * mean_gx);
            if (a.beta != 0) dx[v] += a.beta * old[v];
        }
        store_gradient<V>(a.dx, r, at, dx);
        add(k, xh, dy);
    }
}

template <class T, int V, int HELD> __global__ void norm_bwd_kernel(norm_bwd_args a) {
    int64_t r = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
    if (r >= a.x.rows) return;
    row_gradient<T, V, HELD>(a, r, threadIdx.x % WARP, [](int, const float(&)[V], const float(&)[V]) {});
}

/* The same with the sums of the weights' gradients over a part of the rows, a block's: each warp keeps those of its own
 * rows in registers. */
template <class T, int V, int HELD>
__global__ void __launch_bounds__(BLOCK) norm_bwd_sums_kernel(norm_bwd_args a, int64_t parts) {
    DYNAMIC_SHARED(memory);
    float *shared = (float *)memory; /* [SHARERS, C] */
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, packs = (int)(a.x.cols / V);
    int64_t C = a.x.cols, part = blockIdx.x, to = a.x.rows * (part + 1) / parts;
    float sum[2][HELD][V] = {{{0}}};
    for (int64_t r = a.x.rows * part / parts + warp; r < to; r += SHARERS)
        row_gradient<T, V, HELD>(a, r, lane, [&](int k, const float(&xh)[V], const float(&dy)[V]) {
            for (int v = 0; v < V; v++) {
                sum[0][k][v] += dy[v] * xh[v];
                sum[1][k][v] += dy[v];
            }
        });
    for (int i = 0; i < 2; i++) {
        __syncthreads();
        FOR_PACKS(k, packs) store<float, V>(shared + warp * C + (k * WARP + lane) * V, sum[i][k]);
        __syncthreads();
        for (int64_t c = threadIdx.x; c < C; c += BLOCK) {
            float all = 0;
            for (int s = 0; s < SHARERS; s++) all += shared[s * C + c];
            row_of<float>(a.partial, part)[i * C + c] = all;
        }
    }
}

/* Sums over a part of the rows: partial[part] = [dw of set 0, db of set 0, dw of set 1, db of set 1], C columns each.
 * A block has 32 columns of packs, and 8 threads for each that share the rows. */
template <class T, int V, int SETS> __global__ void norm_weights_kernel(norm_bwd_args a, int64_t parts) {
    __shared__ float shared[2 * SETS][SHARERS][WARP * V];
    int lane = threadIdx.x % WARP, sharer = threadIdx.x / WARP;
    int64_t at = ((int64_t)blockIdx.x * WARP + lane) * V, C = a.x.cols, part = blockIdx.y;
    int64_t from = a.x.rows * part / parts, to = a.x.rows * (part + 1) / parts;
    float sum[2 * SETS][V] = {{0}};
#pragma unroll 4
    for (int64_t r = from + sharer; r < (at < C ? to : 0); r += SHARERS) {
        float x[V], dy[V], mean = row_of<float>(a.stats, r)[0], rstd = row_of<float>(a.stats, r)[1];
        int set = SETS > 1 && a.set.data ? int_at(a.set, r) : 0;
        load<T, V>(row_of<T>(a.x, r) + at, x);
        load<T, V>(row_of<T>(a.dy, r) + at, dy);
#pragma unroll
        for (int s = 0; s < SETS; s++)
#pragma unroll
            for (int v = 0; v < V; v++) {
                sum[2 * s][v] += s == set ? dy[v] * (x[v] - mean) * rstd : 0;
                sum[2 * s + 1][v] += s == set ? dy[v] : 0;
            }
    }
    for (int k = 0; k < 2 * SETS; k++)
        for (int v = 0; v < V; v++) shared[k][sharer][lane * V + v] = sum[k][v];
    __syncthreads();
    for (int i = threadIdx.x; i < 2 * SETS * WARP * V; i += BLOCK) {
        int k = i / (WARP * V), column = i % (WARP * V);
        float all = 0;
        for (int s = 0; s < SHARERS; s++) all += shared[k][s][column];
        int64_t c = (int64_t)blockIdx.x * WARP * V + column;
        if (c < C) row_of<float>(a.partial, part)[k * C + c] = all;
    }
}

/* Where the parts' sums are wanted: those of dw and db of each set. */
typedef struct norm_totals {
    matrix to[4];
    float beta[2];
    int64_t width;
    __device__ void operator()(int64_t column, float sum) const {
        int k = (int)(column / width);
        float *at = (float *)to[k].data + column % width;
        if (to[k].data) *at = scaled(at, beta[k / 2]) + sum;
    }
} norm_totals;

static void add_norm_parts(cuda_context *c, const norm_bwd_args *a, int64_t parts, int sets) {
    norm_totals totals = {{a->dw[0], a->db[0], a->dw[1], a->db[1]}, {a->beta_w[0], a->beta_w[1]}, a->x.cols};
    add_parts(c, (const float *)a->partial.data, a->partial.stride, parts, 2 * sets * a->x.cols, totals);
}

static void weight_gradients(cuda_context *c, const norm_bwd_args *a) {
    int64_t parts = cuda_norm_parts(NULL, a->x.rows), C = a->x.cols;
    int sets = a->w[1].data ? 2 : 1;
    by_type(a->x.type, [&](auto t) {
        using T = decltype(t);
        constexpr int V = pack_of<T>();
        bool packs = in_packs(a->x, V) && in_packs(a->dy, V);
        int wide = packs ? WARP * V : WARP;
        dim3 grid((unsigned)((C + wide - 1) / wide), (unsigned)parts);
        if (packs && sets == 2) LAUNCH((norm_weights_kernel<T, V, 2>), grid, BLOCK, 0, c->stream, *a, parts);
        else if (packs) LAUNCH((norm_weights_kernel<T, V, 1>), grid, BLOCK, 0, c->stream, *a, parts);
        else LAUNCH((norm_weights_kernel<T, 1, 2>), grid, BLOCK, 0, c->stream, *a, parts);
    });
    /* one set's sums stand first in either case */
    add_norm_parts(c, a, parts, sets);
}

/* Both at once, where a row fits a warp's registers and all rows use one set. */
static bool both_gradients(cuda_context *c, const norm_bwd_args *a) {
    int64_t parts = cuda_norm_parts(NULL, a->x.rows), C = a->x.cols;
    bool done = false;
    if (!a->dx.data || a->set.data || a->w[1].data || parts == 1) return false;
    by_type(a->x.type, [&](auto t) {
        using T = decltype(t);
        constexpr int V = pack_of<T>();
        if (!in_packs(a->x, V) || !in_packs(a->dy, V) || !in_packs(a->dx, V) || !in_packs(a->w[0], V)) return;
        by_width<T>(true, C, [&](auto way) {
            using W = decltype(way);
            if constexpr (W::HELD != 0) {
                LAUNCH((norm_bwd_sums_kernel<T, W::V, W::HELD>), (unsigned)parts, BLOCK,
                       (size_t)(SHARERS * C) * sizeof(float), c->stream, *a, parts);
                done = true;
            }
        });
    });
    if (done) add_norm_parts(c, a, parts, 1);
    return done;
}

void cuda_norm_bwd(void *context, const norm_bwd_args *a) {
    cuda_context *c = (cuda_context *)context;
    bool wanted = a->dw[0].data || a->db[0].data || a->dw[1].data || a->db[1].data;
    if (!a->x.cols) return;
    if (wanted && both_gradients(c, a)) {
        cuda_launched(c, "norm_bwd");
        return;
    }
    if (a->x.rows && a->dx.data)
        by_type(a->x.type, [&](auto t) {
            using T = decltype(t);
            constexpr int V = pack_of<T>();
            bool packs = in_packs(a->x, V) && in_packs(a->dy, V) && in_packs(a->dx, V) && in_packs(a->w[0], V) &&
                         in_packs(a->w[1], V);
            by_width<T>(packs, a->x.cols, [&](auto way) {
                using W = decltype(way);
                LAUNCH((norm_bwd_kernel<T, W::V, W::HELD>), warp_blocks(a->x.rows), BLOCK, 0, c->stream, *a);
            });
        });
    if (wanted) weight_gradients(c, a);
    cuda_launched(c, "norm_bwd");
}
