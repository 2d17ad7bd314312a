/* Cross-entropy: a warp takes a row of logits. Sums of exponentials are formed in float, against the largest.
 * Distances: a thread takes a row, which has few numbers. */
#include "cuda/elements.h"
#include "cuda/kernels_cuda.h"

typedef struct smooth_target {
    float on, off, entropy;
} smooth_target;

static smooth_target smooth_target_of(const cross_entropy_args *a) {
    double V = (double)a->logits.cols, e = (double)a->smoothing, off = e / (V - 1), on = 1 - e;
    double entropy = e > 0 ? -(on * log(on) + (V - 1) * off * log(off + 1e-20)) : 0;
    return smooth_target{(float)on, (float)off, (float)entropy};
}

/* log sum_v exp(x_v), the same in all lanes, and the index of the first largest. */
__device__ __forceinline__ float log_sum(const float *x, int64_t V, int lane, int64_t *best) {
    float largest = -INFINITY, sum = 0;
    int64_t at = V;
    for (int64_t v = lane; v < V; v += WARP)
        if (x[v] > largest) {
            largest = x[v];
            at = v;
        }
    for (int i = WARP / 2; i; i /= 2) {
        float other = __shfl_xor_sync(ALL_LANES, largest, i);
        int64_t there = __shfl_xor_sync(ALL_LANES, at, i);
        if (other > largest || (other == largest && there < at)) {
            largest = other;
            at = there;
        }
    }
    for (int64_t v = lane; v < V; v += WARP) sum += expf(x[v] - largest);
    *best = at;
    return largest + logf(warp_sum(sum));
}

__global__ void cross_entropy_fwd_kernel(cross_entropy_args a, smooth_target t) {
    int64_t r = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / WARP, V = a.logits.cols, best;
    int lane = threadIdx.x % WARP;
    if (r >= a.logits.rows) return;
    const float *x = row_of<float>(a.logits, r);
    float *loss = row_of<float>(a.loss, r), all = 0;
    int32_t target = int_at(a.targets, r);
    float z = log_sum(x, V, lane, &best);
    for (int64_t v = lane; v < V && t.off > 0; v += WARP) all += z - x[v];
    all = warp_sum(all);
    if (lane) return;
    float nats = target < 0 ? 0 : z - x[target];
    loss[LOSS_VALUE] = target < 0 ? 0 : t.off * all + (t.on - t.off) * nats + a.z_loss * z * z - t.entropy;
    loss[LOSS_NATS] = nats;
    loss[LOSS_HIT] = best == target;
}

template <class T> __global__ void cross_entropy_bwd_kernel(cross_entropy_args a, smooth_target t) {
    int64_t r = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / WARP, V = a.logits.cols, best;
    int lane = threadIdx.x % WARP;
    if (r >= a.logits.rows) return;
    const float *x = row_of<float>(a.logits, r);
    int32_t target = int_at(a.targets, r);
    float z = log_sum(x, V, lane, &best), weight = target < 0 ? 0 : row_of<float>(a.weight, r)[0];
    float gain = 1 + 2 * a.z_loss * z;
    for (int64_t v = lane; v < V; v += WARP)
        put(row_of<T>(a.grad, r) + v, weight * (gain * expf(x[v] - z) - (v == target ? t.on : t.off)));
}

void cuda_cross_entropy_fwd(void *context, const cross_entropy_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->logits.rows) return;
    LAUNCH(cross_entropy_fwd_kernel, warp_blocks(a->logits.rows), BLOCK, 0, c->stream, *a, smooth_target_of(a));
    cuda_launched(c, "cross_entropy_fwd");
}

void cuda_cross_entropy_bwd(void *context, const cross_entropy_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->logits.rows) return;
    by_type(a->grad.type, [&](auto t) {
        LAUNCH(cross_entropy_bwd_kernel<decltype(t)>, warp_blocks(a->logits.rows), BLOCK, 0, c->stream, *a,
               smooth_target_of(a));
    });
    cuda_launched(c, "cross_entropy_bwd");
}

/* ------------------------------------------------------------------ distances */

/* One term of a distance, and its slope along x. */
__device__ __forceinline__ float distance_term(distance_kind kind, float x, float t, float *slope) {
    float d = x - t;
    if (kind == DISTANCE_ABSOLUTE) {
        *slope = (float)((d > 0) - (d < 0));
        return fabsf(d);
    }
    if (kind == DISTANCE_SIGMOID) {
        *slope = 1 / (1 + expf(-x)) - t;
        return fmaxf(x, 0) - t * x + log1pf(expf(-fabsf(x)));
    }
    *slope = 2 * d;
    return d * d;
}

/* The distance of row r; what its terms' slopes are to be multiplied by goes to *gain. */
template <class T> __device__ __forceinline__ float distance_of(const distance_args &a, int64_t r, float *gain) {
    int64_t K = a.y.cols;
    float sum = 0, slope;
    for (int64_t k = 0; k < K; k++)
        sum += distance_term(a.kind, to_float(row_of<T>(a.y, r)[k]) * a.scale, row_of<float>(a.target, r)[k], &slope);
    *gain = a.kind != DISTANCE_END_POINT ? 1 / (float)K : sum > 0 ? 0.5f / sqrtf(sum) : 0;
    return a.kind == DISTANCE_END_POINT ? sqrtf(sum) : sum / (float)K;
}

template <class T> __global__ void distance_fwd_kernel(distance_args a) {
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t r = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; r < a.y.rows; r += step) {
        float gain, *loss = row_of<float>(a.loss, r);
        loss[LOSS_VALUE] = loss[LOSS_NATS] = int_at(a.counts, r) < 0 ? 0 : distance_of<T>(a, r, &gain);
        loss[LOSS_HIT] = 0;
    }
}

template <class T> __global__ void distance_bwd_kernel(distance_args a) {
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t r = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; r < a.y.rows; r += step) {
        bool counts = int_at(a.counts, r) >= 0;
        float gain = 0, slope = 0;
        if (counts) distance_of<T>(a, r, &gain);
        for (int64_t k = 0; k < a.y.cols; k++) {
            T *dy = row_of<T>(a.dy, r) + k;
            float sum = scaled(dy, a.beta);
            if (counts) {
                float x = to_float(row_of<T>(a.y, r)[k]) * a.scale;
                distance_term(a.kind, x, row_of<float>(a.target, r)[k], &slope);
                sum += row_of<float>(a.weight, r)[0] * a.scale * gain * slope;
            }
            put(dy, sum);
        }
    }
}

void cuda_distance_fwd(void *context, const distance_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->y.rows) return;
    by_type(a->y.type, [&](auto t) {
        LAUNCH(distance_fwd_kernel<decltype(t)>, blocks_for(a->y.rows), BLOCK, 0, c->stream, *a);
    });
    cuda_launched(c, "distance_fwd");
}

void cuda_distance_bwd(void *context, const distance_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->y.rows) return;
    by_type(a->y.type, [&](auto t) {
        LAUNCH(distance_bwd_kernel<decltype(t)>, blocks_for(a->y.rows), BLOCK, 0, c->stream, *a);
    });
    cuda_launched(c, "distance_bwd");
}
