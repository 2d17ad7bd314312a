/* Sums over rows, and flat ranges: columns' sums, embeddings and what scatters into tables, norms of gradients, AdamW.
 * A sum is cut by its shape alone and its parts are added in their order, so the bits are the same every time. */
#include "cuda/elements.h"
#include "cuda/kernels_cuda.h"
#include "cuda/parts.h"
#include "cuda/scatter.h"

/* ------------------------------------------------------------------ sums of columns */

/* partial [parts, C]; a block has 32 packs of columns, whose rows 8 threads share. */
template <class T, int V> __global__ void column_parts_kernel(matrix x, float *partial, int64_t parts) {
    __shared__ float shared[SHARERS][WARP * V];
    int lane = threadIdx.x % WARP, sharer = threadIdx.x / WARP;
    int64_t at = ((int64_t)blockIdx.x * WARP + lane) * V, part = blockIdx.y;
    int64_t from = x.rows * part / parts, to = x.rows * (part + 1) / parts;
    float sum[V] = {0};
#pragma unroll 8
    for (int64_t r = from + sharer; r < (at < x.cols ? to : 0); r += SHARERS) {
        float values[V];
        load<T, V>(row_of<T>(x, r) + at, values);
        for (int v = 0; v < V; v++) sum[v] += values[v];
    }
    for (int v = 0; v < V; v++) shared[sharer][lane * V + v] = sum[v];
    __syncthreads();
    for (int i = threadIdx.x; i < WARP * V; i += BLOCK) {
        int64_t c = (int64_t)blockIdx.x * WARP * V + i;
        float all = 0;
        for (int s = 0; s < SHARERS; s++) all += shared[s][i];
        if (c < x.cols) partial[part * x.cols + c] = all;
    }
}

template <class Y> struct column_total {
    Y *to;
    float beta;
    __device__ void operator()(int64_t column, float sum) const { put(to + column, scaled(to + column, beta) + sum); }
};

void cuda_column_sum(void *context, const column_sum_args *a) {
    cuda_context *c = (cuda_context *)context;
    int64_t parts = cuda_norm_parts(NULL, a->x.rows), C = a->x.cols;
    float *partial = (float *)cuda_scratch(c, (size_t)(parts * C) * sizeof(float));
    if (!partial || !C) return;
    by_type(a->x.type, [&](auto t) {
        using T = decltype(t);
        constexpr int V = pack_of<T>();
        int wide = in_packs(a->x, V) ? V * WARP : WARP;
        dim3 grid((unsigned)((C + wide - 1) / wide), (unsigned)parts);
        if (wide > WARP) LAUNCH((column_parts_kernel<T, V>), grid, BLOCK, 0, c->stream, a->x, partial, parts);
        else LAUNCH((column_parts_kernel<T, 1>), grid, BLOCK, 0, c->stream, a->x, partial, parts);
    });
    by_type(a->y.type, [&](auto t) {
        using Y = decltype(t);
        add_parts(c, partial, C, parts, C, column_total<Y>{(Y *)a->y.data, a->beta});
    });
    cuda_launched(c, "column_sum");
}

/* ------------------------------------------------------------------ embedding */

/* V columns from j on and those from half + j on, whose harmonic codes come of the same numbers; j = half: an odd last
 * column. */
template <class Y, class T, int V> __global__ void embed_fwd_kernel(embed_args a) {
    int64_t half = a.y.cols / 2, odd = a.y.cols % 2, packs = half / V + odd;
    FOR_EACH(i, a.y.rows * packs) {
        place at = place_of(i, packs);
        int64_t r = at.row, j = at.pack * V;
        bool last = j == half; /* V is 1 */
        float first[V] = {0}, second[V] = {0}, x[V];
        for (int k = 0; k < a.tables; k++) {
            int32_t id = int_at(a.ids[k], r);
            if (id < 0) continue;
            const T *row = row_of<T>(a.table[k], id);
            load<T, V>(row + (last ? 2 * half : j), x);
            for (int v = 0; v < V; v++) first[v] += x[v];
            if (last) continue;
            load<T, V>(row + half + j, x);
            for (int v = 0; v < V; v++) second[v] += x[v];
        }
        if (a.positions.data && !last) {
            int32_t p = int_at(a.positions, r);
            const float *low = row_of<float>(a.low, p % HARMONIC_BLOCK) + j;
            const float *high = row_of<float>(a.high, p / HARMONIC_BLOCK) + j;
            float sin_low[V], cos_low[V], sin_high[V], cos_high[V];
            load<float, V>(low, sin_low);
            load<float, V>(low + half, cos_low);
            load<float, V>(high, sin_high);
            load<float, V>(high + half, cos_high);
            for (int v = 0; v < V; v++) {
                first[v] += sin_high[v] * cos_low[v] + cos_high[v] * sin_low[v];
                second[v] += cos_high[v] * cos_low[v] - sin_high[v] * sin_low[v];
            }
        }
        store<Y, V>(row_of<Y>(a.y, r) + (last ? 2 * half : j), first);
        if (!last) store<Y, V>(row_of<Y>(a.y, r) + half + j, second);
    }
}

void cuda_embed_fwd(void *context, const embed_args *a) {
    cuda_context *c = (cuda_context *)context;
    constexpr int V = 4;
    bool packs = a->y.cols % (2 * V) == 0 && in_packs(a->y, V) && in_packs(a->low, V) && in_packs(a->high, V);
    if (!a->y.rows || !a->y.cols) return;
    for (int i = 0; i < a->tables; i++) packs = packs && in_packs(a->table[i], V);
    by_type(a->y.type, [&](auto y) {
        by_type(a->tables ? a->table[0].type : F32, [&](auto t) {
            using Y = decltype(y);
            using T = decltype(t);
            int64_t n = a->y.rows * (a->y.cols / 2 + 1);
            if (packs) LAUNCH((embed_fwd_kernel<Y, T, V>), blocks_for(n / V), BLOCK, 0, c->stream, *a);
            else LAUNCH((embed_fwd_kernel<Y, T, 1>), blocks_for(n), BLOCK, 0, c->stream, *a);
        });
    });
    cuda_launched(c, "embed_fwd");
}

/* ------------------------------------------------------------------ scattering */

/* Rows of a matrix. */
template <class Y> struct rows_source {
    matrix y;
    template <int V> __device__ __forceinline__ void load_row(int32_t r, int64_t c, float (&x)[V]) const {
        load<Y, V>(row_of<Y>(y, r) + c, x);
    }
};

/* table[ids[r]] += y[r], in the order of r; negative ids: nowhere. */
static void scatter_rows(cuda_context *c, matrix table, matrix ids, matrix y) {
    by_type(y.type, [&](auto from) {
        rows_source<decltype(from)> source = {y};
        scatter_sums(c, table, ids, source, in_packs(y, SCATTER_PACK));
    });
}

void cuda_embed_bwd(void *context, const embed_args *a) {
    cuda_context *c = (cuda_context *)context;
    for (int i = 0; i < a->tables; i++)
        if (a->table[i].data) scatter_rows(c, a->table[i], a->ids[i], a->y);
    cuda_launched(c, "embed_bwd");
}

void cuda_gather_bwd(void *context, const gather_bwd_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (a->beta == 0) {
        fill_args zero = {a->dx, 0};
        cuda_fill(c, &zero);
    }
    scatter_rows(c, a->dx, a->index, a->dy);
    cuda_launched(c, "gather_bwd");
}

/* ------------------------------------------------------------------ flat ranges */

__device__ __forceinline__ void adamw_one(const adamw_args &a, float &w, float &m, float &v, float g) {
    g *= a.grad_scale;
    m = a.beta1 * m + (1 - a.beta1) * g;
    v = a.beta2 * v + (1 - a.beta2) * g * g;
    w -= a.lr * (m / a.correction1 / (sqrtf(v / a.correction2) + a.epsilon) + a.decay * w);
}

template <int V> __global__ void adamw_kernel(adamw_args a, int64_t from) {
    FOR_EACH(i, (a.w.cols - from) / V) {
        int64_t at = from + i * V;
        float w[V], m[V], v[V], g[V];
        float *to[] = {(float *)a.w.data + at, (float *)a.m.data + at, (float *)a.v.data + at};
        load<float, V>(to[0], w);
        load<float, V>(to[1], m);
        load<float, V>(to[2], v);
        load<float, V>((const float *)a.g.data + at, g);
        for (int k = 0; k < V; k++) adamw_one(a, w[k], m[k], v[k], g[k]);
        store<float, V>(to[0], w);
        store<float, V>(to[1], m);
        store<float, V>(to[2], v);
        if (a.rounded.data) store<bf16, V>((bf16 *)a.rounded.data + at, w);
    }
}

void cuda_adamw(void *context, const adamw_args *a) {
    cuda_context *c = (cuda_context *)context;
    int64_t tail = a->w.cols / 4 * 4;
    intptr_t all = (intptr_t)a->w.data | (intptr_t)a->m.data | (intptr_t)a->v.data | (intptr_t)a->g.data;
    if (all % 16 || (intptr_t)a->rounded.data % 8) tail = 0;
    if (tail) LAUNCH((adamw_kernel<4>), blocks_for(tail / 4), BLOCK, 0, c->stream, *a, (int64_t)0);
    if (tail < a->w.cols) LAUNCH((adamw_kernel<1>), blocks_for(a->w.cols - tail), BLOCK, 0, c->stream, *a, tail);
    cuda_launched(c, "adamw");
}

__global__ void average_kernel(average_args a) {
    float *average = (float *)a.average.data;
    const float *w = (const float *)a.w.data;
    FOR_EACH(i, a.w.cols) average[i] = a.decay * average[i] + (1 - a.decay) * w[i];
}

void cuda_average(void *context, const average_args *a) {
    cuda_context *c = (cuda_context *)context;
    LAUNCH(average_kernel, blocks_for(a->w.cols), BLOCK, 0, c->stream, *a);
    cuda_launched(c, "average");
}

/* The sum over a block, of all its threads, at thread 0. */
__device__ double block_sum(double x) {
    __shared__ double shared[BLOCK];
    shared[threadIdx.x] = x;
    for (int half = BLOCK / 2; half; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    }
    __syncthreads();
    return shared[0];
}

enum { SQUARE_BLOCKS = 1024 };

__global__ void squares_kernel(matrix x, double *partial) {
    double sum = 0;
    FOR_EACH(i, x.cols) {
        float value = ((const float *)x.data)[i];
        sum += (double)value * (double)value;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void squares_total_kernel(const double *partial, int blocks, float *result) {
    double sum = 0;
    for (int i = threadIdx.x; i < blocks; i += BLOCK) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *result = (float)sum;
}

void cuda_sum_squares(void *context, const sum_squares_args *a) {
    cuda_context *c = (cuda_context *)context;
    unsigned blocks = blocks_for(a->x.cols);
    if (blocks > SQUARE_BLOCKS) blocks = SQUARE_BLOCKS;
    double *partial = (double *)cuda_scratch(c, blocks * sizeof(double));
    if (!partial) return;
    LAUNCH(squares_kernel, blocks, BLOCK, 0, c->stream, a->x, partial);
    LAUNCH(squares_total_kernel, 1, BLOCK, 0, c->stream, partial, (int)blocks, (float *)a->result.data);
    cuda_launched(c, "sum_squares");
}
