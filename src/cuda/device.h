/* The language of the kernels: CUDA under nvcc; under another compiler the emulation that the tests bring
 * (tests/cuda/emulator.h), which runs a block's threads in turn on the host, so that every kernel is tested, and
 * looked at by the address sanitizer, where there is no device. What differs between the two stands here. */
#ifndef CUDA_DEVICE_H
#define CUDA_DEVICE_H

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
    kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)

/* The launch's shared_bytes, aligned for any copy. */
#define DYNAMIC_SHARED(name)                                                                       \
    extern __shared__ __align__(1024) unsigned char dynamic_shared_[];                             \
    unsigned char *name = dynamic_shared_

/* Barrier `id`, 1 to 15, of `threads` threads of the block, whole warps: waits until so many have come, or only comes.
 * Everybody sees behind it what they wrote before. */
static __device__ __forceinline__ void barrier_sync(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

static __device__ __forceinline__ void barrier_arrive(int id, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

#else
#include "emulator.h"
#endif

typedef __nv_bfloat16 bf16;

#endif
