/* Kernels over elements and rows: each element by one thread, in packs of 16 bytes where the matrices allow it. They
 * are bound by memory: every input is read once, every output written once. */
#include "cuda/kernels_cuda.h"
#include "cuda/residual.h"

#include <math.h>

/* ------------------------------------------------------------------ fill and copy */

template <class T> __global__ void fill_kernel(matrix y, float value) {
    FOR_EACH(i, y.rows * y.cols) {
        place at = place_of(i, y.cols);
        put(row_of<T>(y, at.row) + at.pack, value);
    }
}

void cuda_fill(void *context, const fill_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->y.rows || !a->y.cols) return;
    if (a->value == 0 && (a->y.rows == 1 || a->y.stride == a->y.cols)) {
        cuda_fine(c, cudaMemsetAsync(a->y.data, 0, matrix_bytes(&a->y), c->stream), "fill");
        return;
    }
    by_type(a->y.type, [&](auto t) {
        LAUNCH(fill_kernel<decltype(t)>, blocks_for(a->y.rows * a->y.cols), BLOCK, 0, c->stream, a->y, a->value);
    });
    cuda_launched(c, "fill");
}

/* Where row r of the source goes; negative: nowhere. */
__device__ __forceinline__ int64_t target_row(const copy_args &a, int64_t r) {
    return a.index.data ? int_at(a.index, r) : r;
}

template <class Y, class X, int V> __global__ void copy_kernel(copy_args a) {
    int64_t packs = a.x.cols / V;
    FOR_EACH(i, a.x.rows * packs) {
        place p = place_of(i, packs);
        int64_t r = p.row, to = target_row(a, r), at = p.pack * V;
        float x[V], old[V];
        if (to < 0) continue;
        Y *y = row_of<Y>(a.y, to) + at;
        load<X, V>(row_of<X>(a.x, r) + at, x);
        if (a.beta != 0) {
            load<Y, V>(y, old);
            for (int v = 0; v < V; v++) x[v] += a.beta * old[v];
        }
        store<Y, V>(y, x);
    }
}

/* Rows of I8: quantized from floats, made floats, or kept. A warp takes a row. */
__global__ void copy_packed_kernel(copy_args a) {
    int64_t r = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / WARP, lane = threadIdx.x % WARP;
    int64_t to = r < a.x.rows ? target_row(a, r) : -1;
    if (to < 0) return;
    if (a.y.type == I8 && a.x.type == I8) {
        for (int64_t i = lane; i < a.y.stride; i += WARP) row_of<int8_t>(a.y, to)[i] = row_of<int8_t>(a.x, r)[i];
    } else if (a.y.type == I8) {
        bool narrow = a.x.type == BF16;
        int8_t *y = row_of<int8_t>(a.y, to);
        float largest = 0;
        for (int64_t i = lane; i < a.x.cols; i += WARP)
            largest = fmaxf(largest, fabsf(narrow ? to_float(row_of<bf16>(a.x, r)[i]) : row_of<float>(a.x, r)[i]));
        largest = warp_max(largest);
        float factor = largest / 127, inverse = largest > 0 ? 127 / largest : 0;
        for (int64_t i = lane; i < a.x.cols; i += WARP)
            y[i] = (int8_t)rintf((narrow ? to_float(row_of<bf16>(a.x, r)[i]) : row_of<float>(a.x, r)[i]) * inverse);
        if (lane == 0) *(float *)(y + a.y.stride - 4) = factor;
    } else {
        const int8_t *x = row_of<int8_t>(a.x, r);
        float factor = *(const float *)(x + a.x.stride - 4);
        for (int64_t i = lane; i < a.x.cols; i += WARP) {
            if (a.y.type == BF16) put(row_of<bf16>(a.y, to) + i, (float)x[i] * factor);
            else row_of<float>(a.y, to)[i] = (float)x[i] * factor;
        }
    }
}

void cuda_copy(void *context, const copy_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->x.rows || !a->x.cols) return;
    if (a->x.type == I8 || a->y.type == I8) {
        LAUNCH(copy_packed_kernel, warp_blocks(a->x.rows), BLOCK, 0, c->stream, *a);
    } else if (in_packs(a->x, 8) && in_packs(a->y, 8)) {
        by_type(a->y.type, [&](auto y) {
            by_type(a->x.type, [&](auto x) {
                LAUNCH((copy_kernel<decltype(y), decltype(x), 8>), blocks_for(a->x.rows * a->x.cols / 8), BLOCK, 0,
                       c->stream, *a);
            });
        });
    } else {
        by_type(a->y.type, [&](auto y) {
            by_type(a->x.type, [&](auto x) {
                LAUNCH((copy_kernel<decltype(y), decltype(x), 1>), blocks_for(a->x.rows * a->x.cols), BLOCK, 0,
                       c->stream, *a);
            });
        });
    }
    cuda_launched(c, "copy");
}

/* ------------------------------------------------------------------ activations */

/* Phi(x), the normal distribution function, to 1e-7 (Abramowitz and Stegun 7.1.26), and its density. */
__device__ __forceinline__ float normal(float x, float *density) {
    float t = __fdividef(1, 1 + 0.3275911f * 0.70710678118654752f * fabsf(x)), e = __expf(-0.5f * x * x);
    float sum = 0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f)));
    float above = 0.5f * t * sum * e;
    *density = 0.39894228040143268f * e;
    return x > 0 ? 1 - above : above;
}

/* f(x), and its slope. */
template <int KIND> __device__ __forceinline__ float activated(float x, float *slope) {
    const float root_2_over_pi = 0.79788456080286536f, cubic = 0.044715f;
    if (KIND == SQUARED_RELU || KIND == RELU) {
        float y = fmaxf(x, 0);
        *slope = KIND == RELU ? (x > 0 ? 1 : 0) : 2 * y;
        return KIND == RELU ? y : y * y;
    }
    if (KIND == GELU) {
        float density, phi = normal(x, &density);
        *slope = phi + x * density;
        return x * phi;
    }
    if (KIND == SWIGLU) {
        float s = 1 / (1 + expf(-x));
        *slope = s * (1 + x * (1 - s));
        return x * s;
    }
    float t = tanhf(root_2_over_pi * (x + cubic * x * x * x));
    *slope = 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * root_2_over_pi * (1 + 3 * cubic * x * x);
    return 0.5f * x * (1 + t);
}

template <int KIND> constexpr bool GATED = KIND == SWIGLU || KIND == GEGLU;

/* f(KIND), GEGLU's own curve being that of GELU_TANH. */
template <class F> static void by_kind(activation kind, F f) {
    switch (kind) {
    case SQUARED_RELU: return f(std::integral_constant<int, SQUARED_RELU>());
    case GELU: return f(std::integral_constant<int, GELU>());
    case RELU: return f(std::integral_constant<int, RELU>());
    case SWIGLU: return f(std::integral_constant<int, SWIGLU>());
    case GEGLU: return f(std::integral_constant<int, GEGLU>());
    default: return f(std::integral_constant<int, GELU_TANH>());
    }
}

template <int KIND, class T, int V> __global__ void activate_fwd_kernel(activate_args a) {
    int64_t packs = a.y.cols / V;
    FOR_EACH(i, a.y.rows * packs) {
        place p = place_of(i, packs);
        int64_t r = p.row, at = p.pack * V;
        const T *from = row_of<T>(a.x, r) + at;
        float x[V], value[V], slope;
        load<T, V>(from, x);
        if (GATED<KIND>) load<T, V>(from + a.y.cols, value);
        for (int v = 0; v < V; v++) x[v] = activated<KIND>(x[v], &slope) * (GATED<KIND> ? value[v] : 1);
        store<T, V>(row_of<T>(a.y, r) + at, x);
    }
}

void cuda_activate_fwd(void *context, const activate_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->y.rows || !a->y.cols) return;
    by_kind(a->kind, [&](auto kind) {
        by_packs(a->y.type, {&a->y, &a->x}, [&](auto t, auto v) {
            LAUNCH((activate_fwd_kernel<kind(), decltype(t), v()>), blocks_for(a->y.rows * a->y.cols / v()), BLOCK, 0,
                   c->stream, *a);
        });
    });
    cuda_launched(c, "activate_fwd");
}

template <int KIND, class T, int V> __global__ void activate_bwd_kernel(activate_bwd_args a) {
    int64_t n = a.dy.cols, packs = n / V;
    FOR_EACH(i, a.dy.rows * packs) {
        place p = place_of(i, packs);
        int64_t r = p.row, at = p.pack * V;
        const T *from = row_of<T>(a.x, r) + at;
        float x[V], value[V], dy[V], dvalue[V];
        load<T, V>(from, x);
        load<T, V>(row_of<T>(a.dy, r) + at, dy);
        if (GATED<KIND>) load<T, V>(from + n, value);
        for (int v = 0; v < V; v++) {
            float slope, y = activated<KIND>(x[v], &slope);
            dvalue[v] = dy[v] * y;
            x[v] = dy[v] * (GATED<KIND> ? value[v] : 1) * slope;
        }
        if (GATED<KIND>) store_gradient<V>(a.dx, r, n + at, dvalue);
        store_gradient<V>(a.dx, r, at, x);
    }
}

void cuda_activate_bwd(void *context, const activate_bwd_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->dy.rows || !a->dy.cols) return;
    by_kind(a->kind, [&](auto kind) {
        by_packs(a->dy.type, {&a->dy, &a->x, &a->dx}, [&](auto t, auto v) {
            LAUNCH((activate_bwd_kernel<kind(), decltype(t), v()>), blocks_for(a->dy.rows * a->dy.cols / v()), BLOCK, 0,
                   c->stream, *a);
        });
    });
    cuda_launched(c, "activate_bwd");
}

/* ------------------------------------------------------------------ residual sum with dropout */

template <class Y, class T, int V> __global__ void dropout_kernel(dropout_args a, uint64_t least) {
    int64_t packs = a.y.cols / V;
    FOR_EACH(i, a.y.rows * packs) {
        place p = place_of(i, packs);
        float sum[V];
        residual_sum<Y, T, V>(a, p.row, (int64_t)p.pack * V, least, sum);
        store<Y, V>(row_of<Y>(a.y, p.row) + p.pack * V, sum);
    }
}

void cuda_dropout(void *context, const dropout_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->y.rows || !a->y.cols) return;
    bool packs = in_packs(a->y, 8) && in_packs(a->x, 8) && in_packs(a->a, 8);
    int64_t n = a->y.rows * a->y.cols;
    uint64_t least = dropped_below(a);
    by_type(a->y.type, [&](auto y) {
        by_type(a->a.type, [&](auto t) {
            using Y = decltype(y);
            using T = decltype(t);
            if (packs) LAUNCH((dropout_kernel<Y, T, 8>), blocks_for(n / 8), BLOCK, 0, c->stream, *a, least);
            else LAUNCH((dropout_kernel<Y, T, 1>), blocks_for(n), BLOCK, 0, c->stream, *a, least);
        });
    });
    cuda_launched(c, "dropout");
}

/* ------------------------------------------------------------------ rows */

template <class T, int V> __global__ void gather_fwd_kernel(gather_args a) {
    int64_t packs = a.y.cols / V;
    FOR_EACH(i, a.y.rows * packs) {
        place p = place_of(i, packs);
        int64_t r = p.row, at = p.pack * V;
        int32_t from = int_at(a.index, r);
        float x[V] = {0};
        if (from >= 0) load<T, V>(row_of<T>(a.x, from) + at, x);
        store<T, V>(row_of<T>(a.y, r) + at, x);
    }
}

void cuda_gather_fwd(void *context, const gather_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->y.rows || !a->y.cols) return;
    by_packs(a->y.type, {&a->y, &a->x}, [&](auto t, auto v) {
        LAUNCH((gather_fwd_kernel<decltype(t), v()>), blocks_for(a->y.rows * a->y.cols / v()), BLOCK, 0, c->stream, *a);
    });
    cuda_launched(c, "gather_fwd");
}

template <class Y, class T> __global__ void pool_kernel(pool_args a) {
    FOR_EACH(i, a.y.rows * a.y.cols) {
        place p = place_of(i, a.y.cols);
        int64_t r = p.row, at = p.pack;
        Y *y = row_of<Y>(a.y, r) + at;
        float sum = 0;
        if (a.spread) sum = to_float(row_of<T>(a.x, r / a.group)[at]);
        for (int64_t g = 0; g < a.group && !a.spread; g++) sum += to_float(row_of<T>(a.x, r * a.group + g)[at]);
        put(y, scaled(y, a.beta) + a.scale * sum);
    }
}

void cuda_pool(void *context, const pool_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->y.rows || !a->y.cols) return;
    by_type(a->y.type, [&](auto y) {
        by_type(a->x.type, [&](auto t) {
            LAUNCH((pool_kernel<decltype(y), decltype(t)>), blocks_for(a->y.rows * a->y.cols), BLOCK, 0, c->stream, *a);
        });
    });
    cuda_launched(c, "pool");
}

/* A thread turns pair j of all chosen heads of a row: the angle is theirs in common. Several heads are loaded before
 * any is stored, since what is stored may be what is loaded next for all that the compiler knows. */
template <class T> __global__ void rotate_kernel(rotate_args a) {
    constexpr int AT_ONCE = 4;
    int64_t bands = a.frequency.cols, width = a.x.cols / a.heads;
    auto turns = [&](int64_t head) { return head < a.heads && head % a.group < a.chosen; };
    FOR_EACH(i, a.x.rows * bands) {
        place p = place_of(i, bands);
        int64_t r = p.row, j = p.pack, apart = a.interleaved ? 1 : bands;
        T *row = row_of<T>(a.x, r) + (a.interleaved ? 2 * j : j);
        float sine, cosine;
        sincosf((float)int_at(a.positions, r) * ((const float *)a.frequency.data)[j], &sine, &cosine);
        sine *= a.sign;
        for (int64_t first = 0; first < a.heads; first += AT_ONCE) {
            float x[AT_ONCE], y[AT_ONCE];
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++) {
                int64_t h = first + k;
                if (!turns(h)) continue;
                x[k] = to_float(row[h * width]);
                y[k] = to_float(row[h * width + apart]);
            }
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++) {
                int64_t h = first + k;
                if (!turns(h)) continue;
                put(row + h * width, x[k] * cosine - y[k] * sine);
                put(row + h * width + apart, y[k] * cosine + x[k] * sine);
            }
        }
    }
}

void cuda_rotate(void *context, const rotate_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (!a->x.rows || !a->frequency.cols) return;
    by_type(a->x.type, [&](auto t) {
        LAUNCH(rotate_kernel<decltype(t)>, blocks_for(a->x.rows * a->frequency.cols), BLOCK, 0, c->stream, *a);
    });
    cuda_launched(c, "rotate");
}
