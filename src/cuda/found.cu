/* Attention over places that were found beforehand. A warp takes a head of a row: its lanes hold the scores of its
 * places, HELD each, and then walk over the columns of the places' values together. Gradients of values are summed by
 * the token that they are of, in the order of entries (scatter.h), those of the tables by parts of the rows. */
#include "cuda/elements.h"
#include "cuda/kernels_cuda.h"
#include "cuda/parts.h"
#include "cuda/scatter.h"

constexpr int HELD = MOST_PLACES / WARP;

/* Of one head of a row: place k WARP + lane is the lane's k-th. `nothing` is the same in all lanes. */
typedef struct found_places {
    float p[HELD], nothing;
    int32_t next[HELD]; /* negative: no place */
} found_places;

template <class T>
__device__ __forceinline__ found_places probabilities(const found_args &a, int64_t r, int64_t h, int lane) {
    int64_t first = (r * a.heads + h) * a.places;
    const T *length = row_of<T>(a.length, h);
    float slope = to_float(row_of<T>(a.slope, 0)[h]) / a.parts, none = to_float(length[0]), largest = none, sum = 0;
    found_places f;
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int place = k * WARP + lane;
        f.next[k] = place < a.places ? int_at(a.next, first + place) : -1;
        f.p[k] = -INFINITY;
        if (f.next[k] < 0) continue;
        f.p[k] = to_float(length[int_at(a.matched, first + place)]) - slope * (float)int_at(a.octaves, first + place);
        largest = fmaxf(largest, f.p[k]);
    }
    largest = warp_max(largest);
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        f.p[k] = expf(f.p[k] - largest);
        sum += f.p[k];
    }
    f.nothing = expf(none - largest);
    sum = warp_sum(sum) + f.nothing;
    f.nothing /= sum;
#pragma unroll
    for (int k = 0; k < HELD; k++) f.p[k] /= sum;
    return f;
}

/* For the places that there are, in their order: body sees the `place`, its token `next` and, as the lane's own number,
 * which of its k-th is lane `source`'s. All lanes see the same. */
#define FOR_PLACES(f, places)                                                                      \
    _Pragma("unroll") for (int k = 0; k < HELD; k++)                                               \
        for (int source = 0, next; source < WARP && k * WARP + source < (places); source++)        \
            if ((next = __shfl_sync(ALL_LANES, (f).next[k], source)) >= 0)

template <class T, int V> __global__ void found_fwd_kernel(found_args a) {
    int64_t warp = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / WARP, D = a.value.cols;
    int lane = threadIdx.x % WARP;
    if (warp >= a.o.rows * a.heads) return;
    int64_t r = warp / a.heads, h = warp % a.heads;
    const found_places f = probabilities<T>(a, r, h, lane);
    for (int64_t at = 0; at < D; at += WARP * V) {
        int64_t c = at + lane * V;
        float o[V] = {0}, x[V];
        FOR_PLACES(f, a.places) {
            float weight = __shfl_sync(ALL_LANES, f.p[k], source);
            if (c >= D) continue;
            load<T, V>(row_of<T>(a.value, next) + c, x);
#pragma unroll
            for (int v = 0; v < V; v++) o[v] += weight * x[v];
        }
        if (c < D) store<T, V>(row_of<T>(a.o, r) + h * D + c, o);
    }
}

void cuda_found_fwd(void *context, const found_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->o.rows || !a->value.cols) return;
    by_packs(a->o.type, {&a->o, &a->value}, [&](auto t, auto v) {
        LAUNCH((found_fwd_kernel<decltype(t), v()>), warp_blocks(a->o.rows * a->heads), BLOCK, 0, c->stream, *a);
    });
    cuda_launched(c, "found_fwd");
}

/* ------------------------------------------------------------------ gradients */

/* p and ds. */
template <class T, int V> __global__ void found_scores_kernel(found_bwd_args b) {
    const found_args &a = b.fwd;
    int64_t warp = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / WARP, D = a.value.cols, P = a.places;
    int lane = threadIdx.x % WARP;
    if (warp >= b.grad_o.rows * a.heads) return;
    int64_t r = warp / a.heads, h = warp % a.heads;
    const found_places f = probabilities<T>(a, r, h, lane);
    const T *g = row_of<T>(b.grad_o, r) + h * D;
    float dp[HELD] = {0}, mean = 0;
    FOR_PLACES(f, P) {
        float sum = 0, x[V], y[V];
        for (int64_t c = lane * V; c < D; c += WARP * V) {
            load<T, V>(g + c, x);
            load<T, V>(row_of<T>(a.value, next) + c, y);
#pragma unroll
            for (int v = 0; v < V; v++) sum += x[v] * y[v];
        }
        sum = warp_sum(sum);
        if (lane == source) dp[k] = sum;
    }
#pragma unroll
    for (int k = 0; k < HELD; k++) mean += f.p[k] * dp[k];
    mean = warp_sum(mean);
    float *p = row_of<float>(b.p, r) + h * (P + 1), *ds = row_of<float>(b.ds, r) + h * (P + 1);
    if (lane == 0) {
        p[0] = f.nothing;
        ds[0] = -f.nothing * mean;
    }
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int place = k * WARP + lane;
        if (place >= P) break;
        p[1 + place] = f.p[k];
        ds[1 + place] = f.p[k] * (dp[k] - mean);
    }
}

/* What an entry adds to the gradient of its token's value. */
template <class T> struct found_source {
    matrix p, grad_o;
    int32_t heads, places;
    int64_t width;
    template <int V> __device__ __forceinline__ void load_row(int32_t entry, int64_t c, float (&x)[V]) const {
        int32_t place = entry % places, head = entry / places % heads, r = entry / places / heads;
        float weight = row_of<float>(p, r)[head * (places + 1) + 1 + place];
        load<T, V>(row_of<T>(grad_o, r) + head * width + c, x);
#pragma unroll
        for (int v = 0; v < V; v++) x[v] *= weight;
    }
};

static void value_gradients(cuda_context *c, const found_bwd_args *b) {
    const found_args *a = &b->fwd;
    bool packs = in_packs(b->grad_o, SCATTER_PACK) && a->value.cols % SCATTER_PACK == 0;
    by_type(b->grad_o.type, [&](auto t) {
        found_source<decltype(t)> source = {b->p, b->grad_o, (int32_t)a->heads, (int32_t)a->places, a->value.cols};
        scatter_sums(c, b->dvalue, a->next, source, packs);
    });
}

/* partial [parts, H, classes + 1], the slope's behind the classes'. A block has a head of a part of the rows, which its
 * warps share; a lane sums up what belongs to one column. */
__global__ void found_parts_kernel(found_bwd_args b, float *partial, int64_t parts) {
    __shared__ float shared[SHARERS][WARP];
    const found_args &a = b.fwd;
    int64_t h = blockIdx.x, part = blockIdx.y, P = a.places, classes = a.length.cols, rows = b.ds.rows;
    int64_t from = rows * part / parts, to = rows * (part + 1) / parts;
    int lane = threadIdx.x % WARP, sharer = threadIdx.x / WARP;
    for (int64_t at = 0; at <= classes; at += WARP) {
        int64_t column = at + lane;
        float sum = 0;
        for (int64_t r = from + sharer; r < to; r += SHARERS) {
            const float *ds = row_of<float>(b.ds, r) + h * (P + 1);
            int64_t first = (r * a.heads + h) * P;
            if (column == 0) sum += ds[0];
#pragma unroll 4
            for (int64_t i = 0; i < P; i++) {
                int32_t matched = int_at(a.matched, first + i), octaves = int_at(a.octaves, first + i);
                if (column == matched) sum += ds[1 + i];
                if (column == classes) sum -= ds[1 + i] * (float)octaves;
            }
        }
        shared[sharer][lane] = sum;
        __syncthreads();
        if (sharer == 0 && column <= classes) {
            float all = 0;
            for (int s = 0; s < SHARERS; s++) all += shared[s][lane];
            partial[(part * a.heads + h) * (classes + 1) + column] = all;
        }
        __syncthreads();
    }
}

/* Where the parts' sums are wanted. */
typedef struct found_totals {
    matrix length, slope; /* gradients */
    float parts;          /* of an octave */
    int64_t classes;
    __device__ void operator()(int64_t i, float sum) const {
        int64_t h = i / (classes + 1), column = i % (classes + 1);
        bool is_slope = column == classes;
        const matrix &to = is_slope ? slope : length;
        int64_t row = is_slope ? 0 : h, at = is_slope ? h : column;
        float old[1];
        if (!to.data) return;
        load_gradient<1>(to, row, at, old);
        put_gradient(to, row, at, old[0] + (is_slope ? sum / parts : sum));
    }
} found_totals;

static void table_gradients(cuda_context *c, const found_bwd_args *b) {
    int64_t H = b->fwd.heads, columns = H * (b->fwd.length.cols + 1), parts = cuda_norm_parts(NULL, b->ds.rows);
    float *partial = (float *)cuda_scratch(c, (size_t)(parts * columns) * sizeof(float));
    if (!partial) return;
    LAUNCH(found_parts_kernel, dim3((unsigned)H, (unsigned)parts), BLOCK, 0, c->stream, *b, partial, parts);
    add_parts(c, partial, columns, parts, columns,
              found_totals{b->dlength, b->dslope, b->fwd.parts, b->fwd.length.cols});
}

void cuda_found_bwd(void *context, const found_bwd_args *b) {
    cuda_context *c = (cuda_context *)context;
    if (!b->grad_o.rows || !b->fwd.value.cols) return;
    by_packs(b->grad_o.type, {&b->grad_o, &b->fwd.value}, [&](auto t, auto v) {
        LAUNCH((found_scores_kernel<decltype(t), v()>), warp_blocks(b->grad_o.rows * b->fwd.heads), BLOCK, 0, c->stream,
               *b);
    });
    if (b->dvalue.data) value_gradients(c, b);
    if (b->dlength.data || b->dslope.data) table_gradients(c, b);
    cuda_launched(c, "found_bwd");
}
