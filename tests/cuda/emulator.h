/* The language of CUDA kernels on the host, for tests: a .cu file is compiled as plain C++ and its launches run here
 * and now, block after block, on the thread of the host that launches.
 *
 * The threads of a block are fibers that change over only where they wait for one another: at barriers and warp
 * functions. So a kernel is as easy to debug as a loop, the address sanitizer sees every access, and atomics need no
 * care. What a device forgives or leaves undefined stops the program here with a message: a barrier that not all
 * threads of the block reach, or that they reach at different lines; a warp function without some of its lanes; too
 * many threads, too much shared memory. Dynamic shared memory is as large as the launch asks and holds NaNs at first,
 * as new device memory does.
 *
 * Threads run in the order of their numbers, from one wait to the next. A barrier that is missing may so go unseen:
 * the environment variable EMULATOR_ORDER, or emulated_order, chooses another order, 1 backwards, more: shuffled.
 *
 * Not here: what __shared__ variables hold at first (they are static), more than one launch at a time, and anything
 * of the memory model.
 *
 *     static __global__ void twice(float *x, int n) { ... }
 *     LAUNCH(twice, (n + 255) / 256, 256, 0, stream, x, n);
 *
 *     g++ -std=c++17 -Wno-unknown-pragmas -I src -I tests/cuda -x c++ twice.cu tests/cuda/emulator*.cc */
#ifndef CUDA_EMULATOR_H
#define CUDA_EMULATOR_H

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <tuple>
#include <type_traits>

#include <math.h> /* with the names outside std too, as in CUDA */
#include <stdlib.h>

/* ---------------------------------------------------------------- words of the language */
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline
#define __shared__      static
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

/* ---------------------------------------------------------------- vectors */
#define EMULATED_VECTOR(name, type, n2, n4)                                                                  \
    struct name##2 { type x, y; } __attribute__((aligned(n2)));                                              \
    struct name##3 { type x, y, z; };                                                                        \
    struct name##4 { type x, y, z, w; } __attribute__((aligned(n4)));                                        \
    static inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                  \
    static inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }                       \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
EMULATED_VECTOR(char, signed char, 2, 4)
EMULATED_VECTOR(uchar, unsigned char, 2, 4)
EMULATED_VECTOR(short, short, 4, 8)
EMULATED_VECTOR(ushort, unsigned short, 4, 8)
EMULATED_VECTOR(int, int, 8, 16)
EMULATED_VECTOR(uint, unsigned, 8, 16)
EMULATED_VECTOR(longlong, long long, 16, 16)
EMULATED_VECTOR(ulonglong, unsigned long long, 16, 16)
EMULATED_VECTOR(float, float, 8, 16)
EMULATED_VECTOR(double, double, 16, 16)
#undef EMULATED_VECTOR

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {
    }
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

/* ---------------------------------------------------------------- the runtime */
enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInvalidDevice = 101,
    cudaErrorNoDevice = 100,
    cudaErrorNotReady = 600,
    cudaErrorNotSupported = 801
};
enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
    cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMaxSharedMemoryPerBlock = 8,
    cudaDevAttrWarpSize = 10,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal,
    cudaStreamCaptureModeThreadLocal,
    cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };
enum { cudaStreamDefault = 0, cudaStreamNonBlocking = 1 };
enum { cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2 };
enum { cudaHostAllocDefault = 0, cudaHostAllocPortable = 1, cudaHostAllocMapped = 2, cudaHostAllocWriteCombined = 4 };
enum { cudaDeviceScheduleAuto, cudaDeviceScheduleSpin, cudaDeviceScheduleYield, cudaDeviceScheduleBlockingSync = 4 };

typedef struct emulated_stream *cudaStream_t;
typedef struct emulated_event *cudaEvent_t;
typedef struct emulated_graph *cudaGraph_t;
typedef struct emulated_graph_exec *cudaGraphExec_t;

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin, sharedMemPerMultiprocessor;
    int major, minor, multiProcessorCount, maxThreadsPerBlock, maxThreadsPerMultiProcessor, warpSize;
    int maxGridSize[3], maxThreadsDim[3], regsPerBlock, regsPerMultiprocessor, l2CacheSize;
};

struct cudaFuncAttributes {
    size_t sharedSizeBytes, constSizeBytes, localSizeBytes;
    int maxThreadsPerBlock, numRegs, maxDynamicSharedSizeBytes;
};

const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaSetDeviceFlags(unsigned flags);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaDeviceReset();
cudaError_t cudaMemGetInfo(size_t *free, size_t *total);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);

/* Of the host, filled with NaNs; 4 GiB in all. */
cudaError_t emulated_malloc(void **memory, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t emulated_malloc_host(void **memory, size_t bytes);
cudaError_t cudaFreeHost(void *memory);
template <class T> cudaError_t cudaMalloc(T **memory, size_t bytes) {
    return emulated_malloc((void **)memory, bytes);
}
template <class T> cudaError_t cudaMallocAsync(T **memory, size_t bytes, cudaStream_t) {
    return emulated_malloc((void **)memory, bytes);
}
static inline cudaError_t cudaFreeAsync(void *memory, cudaStream_t) {
    return cudaFree(memory);
}
template <class T> cudaError_t cudaMallocHost(T **memory, size_t bytes, unsigned = 0) {
    return emulated_malloc_host((void **)memory, bytes);
}
template <class T> cudaError_t cudaHostAlloc(T **memory, size_t bytes, unsigned) {
    return emulated_malloc_host((void **)memory, bytes);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                         cudaMemcpyKind kind);
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void *to, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream = nullptr);
template <class T>
cudaError_t cudaMemcpyToSymbol(T &symbol, const void *from, size_t bytes, size_t offset = 0,
                               cudaMemcpyKind kind = cudaMemcpyHostToDevice) {
    return cudaMemcpy((char *)&symbol + offset, from, bytes, kind);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaEventDestroy(cudaEvent_t event);

/* There are no graphs here: cudaErrorNotSupported. */
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

/* A kernel may have more than 48 KiB of dynamic shared memory only where this was asked for. */
cudaError_t emulated_function_attribute(const void *kernel, cudaFuncAttribute attribute, int value);
cudaError_t emulated_function_attributes(const void *kernel, cudaFuncAttributes *attributes);
cudaError_t emulated_occupancy(int *blocks, int threads, size_t shared_bytes);
template <class T> cudaError_t cudaFuncSetAttribute(T *kernel, cudaFuncAttribute attribute, int value) {
    return emulated_function_attribute((const void *)kernel, attribute, value);
}
template <class T> cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, T *kernel) {
    return emulated_function_attributes((const void *)kernel, attributes);
}
template <class T>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, T *, int threads, size_t shared_bytes) {
    return emulated_occupancy(blocks, threads, shared_bytes);
}

/* ---------------------------------------------------------------- launches */
struct emulated_kernel {
    const char *name;
    const void *function;
    void (*run)(const void *function, const void *arguments); /* of one thread */
    const void *arguments;
};

void emulated_launch(const emulated_kernel *kernel, dim3 grid, dim3 block, size_t shared_bytes);
unsigned char *emulated_shared();

template <class... P> struct emulated_launcher {
    const char *name;
    void (*kernel)(P...);
    dim3 grid, block;
    size_t shared_bytes;

    static void run(const void *function, const void *arguments) {
        std::apply((void (*)(P...))function, *(const std::tuple<P...> *)arguments);
    }
    void operator()(P... values) const {
        std::tuple<P...> arguments(values...);
        emulated_kernel k = {name, (const void *)kernel, run, &arguments};
        emulated_launch(&k, grid, block, shared_bytes);
    }
};

template <class... P>
emulated_launcher<P...> emulated_prepare(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                                         size_t shared_bytes, cudaStream_t) {
    return {name, kernel, grid, block, shared_bytes};
}

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                               \
    emulated_prepare(#kernel, kernel, grid, block, shared_bytes, stream)(__VA_ARGS__)

#define DYNAMIC_SHARED(name) unsigned char *name = emulated_shared()

/* The order of the threads of launches from now on, see above. */
void emulated_order(unsigned order);

/* ---------------------------------------------------------------- threads that wait for one another */
#define EMULATED_PLACE  const char *file_ = __builtin_FILE(), int line_ = __builtin_LINE()
#define EMULATED_PLACED file_, line_

struct emulated_votes {
    int count, all, any;
};
emulated_votes emulated_syncthreads(int vote, const char *file, int line);

static inline void __syncthreads(EMULATED_PLACE) {
    emulated_syncthreads(0, EMULATED_PLACED);
}
static inline int __syncthreads_or(int vote, EMULATED_PLACE) {
    return emulated_syncthreads(vote, EMULATED_PLACED).any;
}
static inline int __syncthreads_and(int vote, EMULATED_PLACE) {
    return emulated_syncthreads(vote, EMULATED_PLACED).all;
}
static inline int __syncthreads_count(int vote, EMULATED_PLACE) {
    return emulated_syncthreads(vote, EMULATED_PLACED).count;
}

/* Barrier `id`, 1 to 15, of `threads` threads, a multiple of 32: waits until as many have come; or only comes. */
void barrier_sync(int id, int threads, EMULATED_PLACE);
void barrier_arrive(int id, int threads, EMULATED_PLACE);

/* All threads of a warp (lanes 32) or of a warpgroup (128) come together: each hands in a pointer, the last runs `run`
 * over all of them in the order of the lanes, and then all go on. */
void emulated_collective(void *mine, int lanes, void (*run)(void **all, int lanes), EMULATED_PLACE);

/* The same for the lanes of a warp that are in the mask; the pointers of others, and of those that have ended, are
 * NULL. */
void emulated_warp(unsigned mask, void *mine, void (*run)(void **all, int lanes), const char *what, const char *file,
                   int line);

/* Lets the other threads of the block run: inside of every loop that waits for what they write. */
void emulated_yield(EMULATED_PLACE);

int emulated_lane(); /* of the thread in its warp */

[[noreturn]] void emulated_abort(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATED_PLACE) {
    int here = 0;
    emulated_warp(mask, &here, [](void **, int) {}, "__syncwarp", EMULATED_PLACED);
}

template <class T> struct emulated_shuffle {
    T value;
    int source;
    T result;
};

template <class T> void emulated_shuffle_run(void **all, int lanes) {
    for (int i = 0; i < lanes; i++) {
        auto *mine = (emulated_shuffle<T> *)all[i];
        if (!mine) continue;
        auto *other = (emulated_shuffle<T> *)all[mine->source];
        if (other) memcpy((void *)&mine->result, (void *)&other->value, sizeof(T));
        else memset((void *)&mine->result, 0xff, sizeof(T)); /* undefined */
    }
}

template <class T>
T emulated_shuffled(unsigned mask, T value, int source, const char *what, const char *file, int line) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "a register or two");
    emulated_shuffle<T> mine = {value, source, value};
    emulated_warp(mask, &mine, emulated_shuffle_run<T>, what, file, line);
    return mine.result;
}

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATED_PLACE) {
    int from = (emulated_lane() & -width) | (source & (width - 1));
    return emulated_shuffled(mask, value, from, "__shfl_sync", EMULATED_PLACED);
}

template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, EMULATED_PLACE) {
    int lane = emulated_lane(), from = lane ^ bits, last = lane | (width - 1);
    return emulated_shuffled(mask, value, from <= last ? from : lane, "__shfl_xor_sync", EMULATED_PLACED);
}

template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, EMULATED_PLACE) {
    int lane = emulated_lane(), from = lane + (int)by, last = lane | (width - 1);
    return emulated_shuffled(mask, value, from <= last ? from : lane, "__shfl_down_sync", EMULATED_PLACED);
}

template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, EMULATED_PLACE) {
    int lane = emulated_lane(), from = lane - (int)by, first = lane & -width;
    return emulated_shuffled(mask, value, from >= first ? from : lane, "__shfl_up_sync", EMULATED_PLACED);
}

/* A value of all lanes that are there: `fold` takes two of them. */
template <class T, class F>
T emulated_folded(unsigned mask, T value, F, const char *what, const char *file, int line) {
    auto run = [](void **all, int lanes) {
        T *total = nullptr;
        for (int i = 0; i < lanes; i++) {
            if (!all[i]) continue;
            if (total) *total = F::fold(*total, *(T *)all[i]);
            else total = (T *)all[i];
        }
        for (int i = 0; i < lanes; i++)
            if (all[i]) *(T *)all[i] = *total;
    };
    emulated_warp(mask, &value, run, what, file, line);
    return value;
}

#define EMULATED_FOLD(name, expression)                                                                      \
    struct emulated_fold_##name {                                                                            \
        template <class T> static T fold(T a, T b) {                                                         \
            return (T)(expression);                                                                          \
        }                                                                                                    \
    };                                                                                                       \
    template <class T> T __reduce_##name##_sync(unsigned mask, T value, EMULATED_PLACE) {                    \
        static_assert(sizeof(T) == 4 && std::is_integral<T>::value, "32-bit integers");                      \
        return emulated_folded(mask, value, emulated_fold_##name(), "__reduce_" #name "_sync", EMULATED_PLACED); \
    }
EMULATED_FOLD(add, (unsigned)a + (unsigned)b)
EMULATED_FOLD(min, a < b ? a : b)
EMULATED_FOLD(max, a > b ? a : b)
EMULATED_FOLD(and, a & b)
EMULATED_FOLD(or, a | b)
EMULATED_FOLD(xor, a ^ b)
#undef EMULATED_FOLD

static inline unsigned __ballot_sync(unsigned mask, int vote, EMULATED_PLACE) {
    unsigned bit = vote ? 1u << emulated_lane() : 0;
    return emulated_folded(mask, bit, emulated_fold_or(), "__ballot_sync", EMULATED_PLACED);
}
static inline int __any_sync(unsigned mask, int vote, EMULATED_PLACE) {
    return emulated_folded(mask, (int)(vote != 0), emulated_fold_or(), "__any_sync", EMULATED_PLACED);
}
static inline int __all_sync(unsigned mask, int vote, EMULATED_PLACE) {
    return emulated_folded(mask, (int)(vote != 0), emulated_fold_and(), "__all_sync", EMULATED_PLACED);
}
static inline unsigned __activemask() {
    return 0xffffffffu;
}

static inline void __threadfence() {
}
static inline void __threadfence_block() {
}
static inline void __threadfence_system() {
}
[[noreturn]] static inline void __trap() {
    emulated_abort("__trap");
}

/* ---------------------------------------------------------------- atomics: the old value comes back */
template <class T> struct emulated_same {
    typedef T type; /* a parameter of it takes no part in finding T */
};
#define EMULATED_ATOMIC(name, expression)                                                                    \
    template <class T> T name(T *at, typename emulated_same<T>::type value) {                                \
        T old = *at;                                                                                         \
        *at = (T)(expression);                                                                               \
        return old;                                                                                          \
    }
EMULATED_ATOMIC(atomicExch, value)
EMULATED_ATOMIC(atomicMin, value < old ? value : old)
EMULATED_ATOMIC(atomicMax, value > old ? value : old)
EMULATED_ATOMIC(atomicAnd, old &value)
EMULATED_ATOMIC(atomicOr, old | value)
EMULATED_ATOMIC(atomicXor, old ^ value)
EMULATED_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
#undef EMULATED_ATOMIC
template <class T> T atomicAdd(T *at, typename emulated_same<T>::type value) {
    T old = *at;
    if constexpr (std::is_integral<T>::value) {
        typedef typename std::make_unsigned<T>::type U; /* wraps */
        *at = (T)(U)((U)old + (U)value);
    } else {
        *at = old + value;
    }
    return old;
}
template <class T> T atomicSub(T *at, typename emulated_same<T>::type value) {
    return atomicAdd(at, (T)(0 - value));
}
template <class T>
T atomicCAS(T *at, typename emulated_same<T>::type expected, typename emulated_same<T>::type value) {
    T old = *at;
    if (old == expected) *at = value;
    return old;
}

/* ---------------------------------------------------------------- loads and stores with a hint */
template <class T> T __ldg(const T *at) {
    return *at;
}
template <class T> T __ldca(const T *at) {
    return *at;
}
template <class T> T __ldcg(const T *at) {
    return *at;
}
template <class T> T __ldcs(const T *at) {
    return *at;
}
template <class T> T __ldlu(const T *at) {
    return *at;
}
template <class T> T __ldcv(const T *at) {
    return *at;
}
template <class T> void __stcg(T *at, typename emulated_same<T>::type value) {
    *at = value;
}
template <class T> void __stcs(T *at, typename emulated_same<T>::type value) {
    *at = value;
}
template <class T> void __stwt(T *at, typename emulated_same<T>::type value) {
    *at = value;
}

#include "emulator_math.h"

#endif
