/* Cross-entropy: a warp takes a row of logits. Sums of exponentials are formed in float, against the largest. */
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
