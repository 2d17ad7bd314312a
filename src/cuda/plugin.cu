/* Opening the CUDA backend: the device, its memory, and what goes between it and the host.
 *
 * Everything runs on one stream. What the host hands over waits in pinned memory until the stream takes it, and what
 * it asks for arrives there and is handed out by `finish`; so neither stops the host, which is far ahead of the device
 * while a step runs. */
#include "cuda/kernels_cuda.h"
#include "cuda/products.h"
#include "cuda/replay.h"

extern "C" {
#include "cuda/plugin.h"
}

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

/* The library's own, which a plug-in cannot reach. */
int fail(pcv_error *err, int code, const char *format, ...) {
    va_list args;
    if (!err) return code;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    err->code = code;
    return code;
}

bool cuda_fine(cuda_context *c, cudaError_t error, const char *what) {
    if (error == cudaSuccess) return true;
    cudaGetLastError(); /* so that it is told once */
    if (c->failure->code) return false;
    if (error == cudaErrorMemoryAllocation) {
        c->failure->code = PCV_MEMORY;
        c->failure->message[0] = 0;
    } else fail(c->failure, PCV_IO, "the CUDA device failed in %s: %s", what, cudaGetErrorString(error));
    return false;
}

bool cuda_launched(cuda_context *c, const char *kernel) { return cuda_fine(c, cudaGetLastError(), kernel); }

void *cuda_scratch(cuda_context *c, size_t bytes) {
    if (bytes <= c->scratch_bytes && c->scratch) return c->scratch;
    if (!replay_may_move(c)) return NULL;
    if (c->scratch) cudaFree(c->scratch); /* waits for kernels that still read it */
    c->scratch_bytes = (bytes + (1 << 20) - 1) >> 20 << 20;
    c->scratch = NULL;
    if (!cuda_fine(c, cudaMalloc(&c->scratch, c->scratch_bytes), "taking scratch memory")) c->scratch_bytes = 0;
    return c->scratch;
}

/* ------------------------------------------------------------------ memory */

static cuda_context *context_of(const backend *be) { return (cuda_context *)be->context; }

static void *device_alloc(backend *be, size_t bytes) {
    void *memory = NULL;
    cudaSetDevice(context_of(be)->device);
    if (cudaMalloc(&memory, bytes ? bytes : 1) == cudaSuccess) return memory;
    cudaGetLastError();
    return NULL;
}

static void device_free(backend *be, void *memory, size_t) {
    cuda_context *c = context_of(be);
    cudaSetDevice(c->device);
    replay_flush(c);
    cuda_fine(c, cudaStreamSynchronize(c->stream), "the kernels before");
    replay_forget(c);
    cudaFree(memory);
}

static size_t device_available(backend *be) {
    size_t available = 0, all = 0;
    cudaSetDevice(context_of(be)->device);
    cudaMemGetInfo(&available, &all);
    return available;
}

/* ------------------------------------------------------------------ to the device and back */

static void finish(backend *be) {
    cuda_context *c = context_of(be);
    cudaSetDevice(c->device);
    replay_flush(c);
    cuda_fine(c, cudaStreamSynchronize(c->stream), "the kernels before");
    for (int i = 0; i < c->waiting; i++) memcpy(c->arrival[i].to, c->arrival[i].from, c->arrival[i].bytes);
    c->waiting = 0;
    c->pinned_used = 0;
}

/* Pinned memory for a transfer, until the next finish; NULL, noted, when there is none. It is taken by the first: plans
 * open a backend many times and transfer nothing. */
static char *pinned(backend *be, size_t bytes) {
    cuda_context *c = context_of(be);
    if (!c->pinned && !cuda_fine(c, cudaMallocHost((void **)&c->pinned, PINNED_BYTES), "taking pinned memory"))
        return NULL;
    size_t room = (bytes + 63) / 64 * 64;
    if (c->pinned_used + room > PINNED_BYTES || c->waiting == CUDA_ARRIVALS) finish(be);
    char *at = c->pinned + c->pinned_used;
    c->pinned_used += room;
    return at;
}

static void device_write(backend *be, void *to, const void *from, size_t bytes) {
    cuda_context *c = context_of(be);
    for (size_t at = 0; at < bytes;) {
        size_t part = bytes - at < PINNED_BYTES ? bytes - at : PINNED_BYTES;
        char *staged = pinned(be, part);
        if (!staged) return;
        memcpy(staged, (const char *)from + at, part);
        if (!replay_upload(c, (char *)to + at, staged, part))
            cuda_fine(c, cudaMemcpyAsync((char *)to + at, staged, part, cudaMemcpyHostToDevice, c->stream),
                      "an upload");
        at += part;
    }
}

static void device_read(backend *be, void *to, const void *from, size_t bytes) {
    cuda_context *c = context_of(be);
    replay_flush(c);
    for (size_t at = 0; at < bytes;) {
        size_t part = bytes - at < PINNED_BYTES ? bytes - at : PINNED_BYTES;
        char *staged = pinned(be, part);
        if (!staged) {
            memset((char *)to + at, 0, bytes - at);
            return;
        }
        memset(staged, 0, part); /* in case that the device fails */
        cuda_fine(c, cudaMemcpyAsync(staged, (const char *)from + at, part, cudaMemcpyDeviceToHost, c->stream),
                  "a download");
        c->arrival[c->waiting++] = {(char *)to + at, staged, part};
        at += part;
    }
}

/* The next pass is like the last, unless it is over a prompt. Uploads lie in the same places if the pinned memory is
 * empty first. A profile times every kernel apart. */
static void pass_begin(backend *be, backend_pass kind) {
    if (kind == PASS_WINDOW || be->seconds) return;
    if (context_of(be)->pinned_used) finish(be);
    replay_begin(context_of(be));
}

static void pass_end(backend *be, backend_pass, double) { replay_end(context_of(be)); }

/* ------------------------------------------------------------------ levels */

static const char *const level_names[] = {"wgmma", "mma", "plain", NULL};

/* The best level that the device has. */
static cuda_level best_level(int capability) {
    return capability == 90 ? LEVEL_WGMMA : capability >= 80 ? LEVEL_MMA : LEVEL_PLAIN;
}

static const char *const *levels(void) {
    cudaDeviceProp about;
    if (cudaGetDeviceProperties(&about, 0) != cudaSuccess) return level_names + LEVEL_PLAIN;
    return level_names + best_level(10 * about.major + about.minor);
}

static int choose_level(cuda_context *c, const char *asked, pcv_error *err) {
    int level = best_level(c->capability), best = level;
    if (!asked) asked = getenv("PERCEIVER_KERNELS");
    c->level = (cuda_level)level;
    if (!asked || !*asked) return 0;
    while (level < LEVELS && strcmp(level_names[level], asked)) level++;
    if (level == LEVELS)
        return fail(err, PCV_CONFIG, "the kernels '%.32s' are none of this device's: %s and what comes behind it of "
                    "wgmma, mma, plain", asked, level_names[best]);
    c->level = (cuda_level)level;
    return 0;
}

/* ------------------------------------------------------------------ opening */

static int count_devices(int *count, pcv_error *err) {
    cudaError_t error = cudaGetDeviceCount(count);
    if (error == cudaSuccess && *count > 0) return 0;
    *count = 0;
    cudaGetLastError();
    return fail(err, PCV_CONFIG, "no CUDA device can be used: %s",
                error == cudaSuccess ? "there is none" : cudaGetErrorString(error));
}

static int devices(cuda_device list[CUDA_DEVICES], int *count, pcv_error *err) {
    int status = count_devices(count, err);
    if (*count > CUDA_DEVICES) *count = CUDA_DEVICES;
    for (int i = 0; i < *count && list; i++) {
        cudaDeviceProp about;
        size_t available = 0, all = 0;
        if (cudaGetDeviceProperties(&about, i) != cudaSuccess) return fail(err, PCV_IO, "CUDA device %d fails", i);
        cudaSetDevice(i);
        cudaMemGetInfo(&available, &all);
        snprintf(list[i].name, sizeof list[i].name, "%.127s", about.name);
        list[i].memory = (int64_t)all;
        list[i].available = (int64_t)available;
        list[i].major = about.major;
        list[i].minor = about.minor;
        list[i].multiprocessors = about.multiProcessorCount;
    }
    return status;
}

static void close_backend(backend *be) {
    cuda_context *c = context_of(be);
    if (!c) return;
    cudaSetDevice(c->device);
    if (c->stream) cudaStreamSynchronize(c->stream);
    replay_close(c);
    products_close(c);
    if (c->scratch) cudaFree(c->scratch);
    if (c->pinned) cudaFreeHost(c->pinned);
    if (c->stream) cudaStreamDestroy(c->stream);
    free(c);
    be->context = NULL;
}

static int open_context(cuda_context *c, const backend_options *options, pcv_error *err) {
    cudaDeviceProp about;
    int count, status = count_devices(&count, err);
    if (status) return status;
    if (options->device >= count)
        return fail(err, PCV_CONFIG, "--device cuda:%d: there %s %d device%s, counted from 0", options->device,
                    count == 1 ? "is" : "are", count, count == 1 ? "" : "s");
    c->device = options->device;
    if (!cuda_fine(c, cudaSetDevice(c->device), "choosing it") ||
        !cuda_fine(c, cudaGetDeviceProperties(&about, c->device), "asking for its properties") ||
        !cuda_fine(c, cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "making a stream") ||
        !products_open(c) || !replay_open(c))
        return c->failure->message[0] ? fail(err, c->failure->code, "%s", c->failure->message)
                                      : fail(err, PCV_MEMORY, "not enough memory to open the CUDA device");
    c->multiprocessors = about.multiProcessorCount;
    c->capability = 10 * about.major + about.minor;
    c->bf16 = options->precision == BF16;
    c->tf32 = options->tf32;
    if (c->bf16 && c->capability < 80)
        return fail(err, PCV_CONFIG, "--precision bf16: %s (compute capability %d.%d) has none; use f32", about.name,
                    about.major, about.minor);
    return choose_level(c, options->level, err);
}

enum { LOGITS = 1 << 25 }; /* that cross_entropy computes at once */

static int open_backend(backend *be, const backend_options *options, pcv_error *err) {
    cuda_context *c = (cuda_context *)calloc(1, sizeof *c);
    if (!c) return fail(err, PCV_MEMORY, "not enough memory to open the CUDA device");
    if (options->precision == F64) {
        free(c);
        return fail(err, PCV_CONFIG, "the CUDA backend has no double precision");
    }
    be->context = c;
    c->failure = &be->failure;
    int status = open_context(c, options, err);
    if (status) {
        close_backend(be);
        return status;
    }
    be->name = "cuda";
    be->level = level_names[c->level];
    be->real = c->bf16 ? BF16 : F32;
    be->exact = F32;
    be->alloc = device_alloc;
    be->free = device_free;
    be->available = device_available;
    be->write = device_write;
    be->read = device_read;
    be->finish = finish;
    be->norm_parts = cuda_norm_parts;
    be->attend_chunks = cuda_attend_chunks;
    be->logits = LOGITS;
    be->pass_begin = pass_begin;
    be->pass_end = pass_end;
    replay_kernels(&be->k);
    return 0;
}

static const cuda_table table = {CUDA_PLUGIN_VERSION, sizeof(backend), devices, levels, open_backend, close_backend};

extern "C" __attribute__((visibility("default"))) const void *perceiver_plugin(void) { return &table; }
