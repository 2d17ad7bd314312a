/* The runtime of the emulated device: one device whose memory is the host's, but counted, and whose streams have done
 * everything at once. Errors are those that a device would give; as there, the last one stays until it is asked for. */
#include "emulator.h"

#include <chrono>
#include <mutex>
#include <unordered_map>

static const size_t total_memory = (size_t)4 << 30;

struct emulated_stream {
    unsigned flags;
};

struct emulated_event {
    bool timed, recorded;
    std::chrono::steady_clock::time_point when;
};

static thread_local cudaError_t last_error;

static cudaError_t done(cudaError_t error) {
    if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
    return error;
}

static cudaError_t fine_if(bool condition) {
    return done(condition ? cudaSuccess : cudaErrorInvalidValue);
}

/* ---------------------------------------------------------------- errors */
static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
};

const char *cudaGetErrorName(cudaError_t error) {
    for (auto &row : errors)
        if (row.error == error) return row.name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error) {
    for (auto &row : errors)
        if (row.error == error) return row.text;
    return "unrecognized error code";
}

cudaError_t cudaPeekAtLastError() {
    return last_error;
}

cudaError_t cudaGetLastError() {
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

/* ---------------------------------------------------------------- the device */
cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
    return done(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned) {
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    return cudaSuccess;
}

cudaError_t cudaDeviceReset() {
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = 13000;
    return cudaSuccess;
}

enum { MULTIPROCESSORS = 4, SHARED_OF_MULTIPROCESSOR = 233472, SHARED_OPTIN = 232448, SHARED_PLAIN = 49152 };

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device) {
    if (device) return done(cudaErrorInvalidDevice);
    *p = {};
    strcpy(p->name, "emulated device");
    p->totalGlobalMem = total_memory;
    p->sharedMemPerBlock = SHARED_PLAIN;
    p->sharedMemPerBlockOptin = SHARED_OPTIN;
    p->sharedMemPerMultiprocessor = SHARED_OF_MULTIPROCESSOR;
    p->major = 9;
    p->multiProcessorCount = MULTIPROCESSORS;
    p->maxThreadsPerBlock = 1024;
    p->maxThreadsPerMultiProcessor = 2048;
    p->warpSize = 32;
    p->maxGridSize[0] = INT_MAX;
    p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
    p->maxThreadsDim[2] = 64;
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->l2CacheSize = 50 << 20;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device) {
    if (device) return done(cudaErrorInvalidDevice);
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = SHARED_PLAIN; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMultiProcessorCount: *value = MULTIPROCESSORS; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = SHARED_OF_MULTIPROCESSOR; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = SHARED_OPTIN; break;
    default: return done(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

/* ---------------------------------------------------------------- memory */
static struct {
    std::mutex lock;
    std::unordered_map<void *, size_t> device, host; /* bytes of what was handed out */
    size_t used;                                     /* of the device */
} memory;

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
    std::lock_guard<std::mutex> hold(memory.lock);
    *free = total_memory - memory.used;
    *total = total_memory;
    return cudaSuccess;
}

/* New memory holds NaNs, but only where a test is likely to use it: to fill all would take more time than the kernels. */
static const size_t most_filled = 1 << 20;

static cudaError_t hand_out(std::unordered_map<void *, size_t> *list, void **slot, size_t bytes) {
    *slot = nullptr;
    if (!bytes) return cudaSuccess;
    if (posix_memalign(slot, 256, bytes)) {
        *slot = nullptr;
        return done(cudaErrorMemoryAllocation);
    }
    memset(*slot, 0xff, std::min(bytes, most_filled));
    (*list)[*slot] = bytes;
    return cudaSuccess;
}

static size_t take_back(std::unordered_map<void *, size_t> *list, void *address) {
    auto found = list->find(address);
    if (found == list->end()) return 0;
    size_t bytes = found->second;
    list->erase(found);
    free(address);
    return bytes;
}

cudaError_t emulated_malloc(void **slot, size_t bytes) {
    std::lock_guard<std::mutex> hold(memory.lock);
    if (bytes > total_memory - memory.used) return done(cudaErrorMemoryAllocation);
    cudaError_t error = hand_out(&memory.device, slot, bytes);
    if (error == cudaSuccess) memory.used += bytes;
    return error;
}

cudaError_t cudaFree(void *address) {
    if (!address) return cudaSuccess;
    std::lock_guard<std::mutex> hold(memory.lock);
    size_t bytes = take_back(&memory.device, address);
    memory.used -= bytes;
    return fine_if(bytes > 0);
}

cudaError_t emulated_malloc_host(void **slot, size_t bytes) {
    std::lock_guard<std::mutex> hold(memory.lock);
    return hand_out(&memory.host, slot, bytes);
}

cudaError_t cudaFreeHost(void *address) {
    if (!address) return cudaSuccess;
    std::lock_guard<std::mutex> hold(memory.lock);
    return fine_if(take_back(&memory.host, address) > 0);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind) {
    if (bytes) memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
    return cudaMemcpy(to, from, bytes, kind);
}

cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                         cudaMemcpyKind) {
    if (width > to_pitch || width > from_pitch) return done(cudaErrorInvalidValue);
    for (size_t row = 0; width && row < height; row++)
        memcpy((char *)to + row * to_pitch, (const char *)from + row * from_pitch, width);
    return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t) {
    return cudaMemcpy2D(to, to_pitch, from, from_pitch, width, height, kind);
}

cudaError_t cudaMemset(void *to, int value, size_t bytes) {
    if (bytes) memset(to, value, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t) {
    return cudaMemset(to, value, bytes);
}

/* ---------------------------------------------------------------- streams and events */
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    *stream = new emulated_stream{flags};
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t) {
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t event, unsigned) {
    return fine_if(event != nullptr);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    *event = new emulated_event();
    (*event)->timed = !(flags & cudaEventDisableTiming);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
    if (!event) return done(cudaErrorInvalidValue);
    event->recorded = true;
    event->when = std::chrono::steady_clock::now();
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    return fine_if(event != nullptr);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    return fine_if(event != nullptr);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
    if (!start || !end || !start->timed || !end->timed || !start->recorded || !end->recorded)
        return done(cudaErrorInvalidValue);
    *milliseconds = std::chrono::duration<float, std::milli>(end->when - start->when).count();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return cudaSuccess;
}

/* ---------------------------------------------------------------- graphs: none */
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
    return done(cudaErrorNotSupported);
}

cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *graph) {
    *graph = nullptr;
    return done(cudaErrorNotSupported);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus *status) {
    *status = cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t, unsigned long long) {
    *exec = nullptr;
    return done(cudaErrorNotSupported);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) {
    return done(cudaErrorNotSupported);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) {
    return done(cudaErrorNotSupported);
}

cudaError_t cudaGraphDestroy(cudaGraph_t) {
    return done(cudaErrorNotSupported);
}

/* ---------------------------------------------------------------- kernels */
/* Registers are not known: as if they sufficed. */
cudaError_t emulated_occupancy(int *blocks, int threads, size_t shared_bytes) {
    if (threads < 1 || threads > 1024 || shared_bytes > SHARED_OPTIN) return done(cudaErrorInvalidValue);
    int by_threads = 2048 / ((threads + 31) / 32 * 32);
    int by_shared = (int)(SHARED_OF_MULTIPROCESSOR / (shared_bytes + 1024));
    *blocks = std::min(std::min(by_threads, by_shared), 32);
    return cudaSuccess;
}

cudaError_t emulated_function_attributes(const void *, cudaFuncAttributes *attributes) {
    *attributes = {};
    attributes->maxThreadsPerBlock = 1024;
    attributes->maxDynamicSharedSizeBytes = SHARED_PLAIN;
    return cudaSuccess;
}
