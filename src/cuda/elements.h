/* Elements of matrices in kernels: floats and bf16, one by one or as packs of 16 bytes, and sums over a warp. Sums are
 * formed in float whatever the elements are. */
#ifndef CUDA_ELEMENTS_H
#define CUDA_ELEMENTS_H

#include "cuda/context.h"

#include <initializer_list>
#include <type_traits>

enum { WARP = 32 };
constexpr unsigned ALL_LANES = 0xFFFFFFFFu;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float to_float(int8_t x) { return (float)x; }
__device__ __forceinline__ void put(float *to, float x) { *to = x; }
__device__ __forceinline__ void put(bf16 *to, float x) { *to = __float2bfloat16(x); }

template <class T> __device__ __forceinline__ float rounded(float x) {
    T y;
    put(&y, x);
    return to_float(y);
}

/* V elements that are loaded and stored as one. */
template <class T, int V> struct alignas(sizeof(T) * V > 16 ? 16 : sizeof(T) * V) pack {
    T v[V];
};

template <class T, int V> __device__ __forceinline__ void load(const T *from, float (&x)[V]) {
    const pack<T, V> p = *(const pack<T, V> *)from;
#pragma unroll
    for (int i = 0; i < V; i++) x[i] = to_float(p.v[i]);
}

template <class T, int V> __device__ __forceinline__ void store(T *to, const float (&x)[V]) {
    pack<T, V> p;
#pragma unroll
    for (int i = 0; i < V; i++) put(&p.v[i], x[i]);
    *(pack<T, V> *)to = p;
}

template <class T> __device__ __forceinline__ T *row_of(const matrix &m, int64_t r) {
    return (T *)m.data + r * m.stride;
}

__device__ __forceinline__ int32_t int_at(const matrix &m, int64_t r) {
    return ((const int32_t *)m.data)[r * m.stride];
}

/* Gradients are reals where they are an activation's, and floats where they are a weight's. */
template <int V> __device__ __forceinline__ void load_gradient(const matrix &m, int64_t r, int64_t at, float (&x)[V]) {
    if (m.type == BF16) load<bf16, V>(row_of<bf16>(m, r) + at, x);
    else load<float, V>(row_of<float>(m, r) + at, x);
}

template <int V>
__device__ __forceinline__ void store_gradient(const matrix &m, int64_t r, int64_t at, const float (&x)[V]) {
    if (m.type == BF16) store<bf16, V>(row_of<bf16>(m, r) + at, x);
    else store<float, V>(row_of<float>(m, r) + at, x);
}

__device__ __forceinline__ void put_gradient(const matrix &m, int64_t r, int64_t at, float x) {
    if (m.type == BF16) put(row_of<bf16>(m, r) + at, x);
    else put(row_of<float>(m, r) + at, x);
}

/* beta old, where garbage times 0 is 0. */
template <class T> __device__ __forceinline__ float scaled(const T *old, float beta) {
    return beta == 0 ? 0 : beta * to_float(*old);
}

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int i = WARP / 2; i; i /= 2) x += __shfl_xor_sync(ALL_LANES, x, i);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int i = WARP / 2; i; i /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, i));
    return x;
}

/* ------------------------------------------------------------------ on the host */

/* Elements of 16 bytes. */
template <class T> constexpr int pack_of() { return 16 / (int)sizeof(T); }

/* Can m be taken in packs of V elements? An absent one can. */
inline bool in_packs(const matrix &m, int V) {
    int64_t bytes = (int64_t)dtype_bytes(m.type);
    return !m.data || (m.cols % V == 0 && (m.rows == 1 || m.stride % V == 0) &&
                       (intptr_t)m.data % (V * bytes > 16 ? 16 : V * bytes) == 0);
}

/* f(T()) with the type of a matrix of reals. */
template <class F> void by_type(dtype type, F f) {
    if (type == BF16) f(bf16());
    else f(float());
}

constexpr int BLOCK = 256, MOST_BLOCKS = 1 << 14; /* threads of a block; blocks where each walks over many elements */

/* Blocks for so many threads, each of which goes on to the element behind all blocks'. */
inline unsigned blocks_for(int64_t threads) {
    int64_t blocks = (threads + BLOCK - 1) / BLOCK;
    return (unsigned)(blocks < 1 ? 1 : blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS);
}

/* Blocks for a warp for each of so many rows. */
inline unsigned warp_blocks(int64_t rows) { return (unsigned)((rows * WARP + BLOCK - 1) / BLOCK); }

/* Row and place of pack i where a row has so many; divisions of 64 bits take five times as long. */
typedef struct place {
    int64_t row;
    int pack;
} place;

__device__ __forceinline__ place place_of(int64_t i, int64_t packs) {
    if (i > UINT32_MAX) return {i / packs, (int)(i % packs)};
    uint32_t row = (uint32_t)i / (uint32_t)packs;
    return {row, (int)((uint32_t)i - row * (uint32_t)packs)};
}

/* f(T(), V): the type of matrices of reals, and how many elements a thread takes at once: 16 bytes where all can be
 * taken so, else one. */
template <class F> void by_packs(dtype type, std::initializer_list<const matrix *> all, F f) {
    by_type(type, [&](auto t) {
        constexpr int V = pack_of<decltype(t)>();
        bool packs = true;
        for (const matrix *m : all) packs = packs && in_packs(*m, V);
        if (packs) f(t, std::integral_constant<int, V>());
        else f(t, std::integral_constant<int, 1>());
    });
}

/* Walks over elements i of n in steps of all threads. */
#define FOR_EACH(i, n)                                                                             \
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (int64_t)gridDim.x * blockDim.x)

#endif
