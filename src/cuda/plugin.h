/* What the plug-in with the CUDA backend offers (perceiver-cuda.so, src/cuda/plugin.cu): one package serves machines
 * with a device and without. backends/cuda.c loads it. */
#ifndef CUDA_PLUGIN_H
#define CUDA_PLUGIN_H

#include "tensor/backend.h"

enum { CUDA_PLUGIN_VERSION = 1, CUDA_DEVICES = 16 };

typedef struct cuda_device {
    char name[128];
    int64_t memory, available; /* bytes */
    int major, minor;          /* its compute capability */
    int multiprocessors;
} cuda_device;

typedef struct cuda_table {
    int version;
    size_t backend_bytes; /* of the struct that it was built for */

    /* The devices that a program may use: how many, at most CUDA_DEVICES; PCV_CONFIG says why there is none. list NULL:
     * they are only counted, which takes no memory on any. */
    int (*devices)(cuda_device list[CUDA_DEVICES], int *count, pcv_error *err);

    /* Levels of kernels, best first, NULL-terminated: what attention in bf16 runs on. */
    const char *const *(*levels)(void);

    /* Fills in a zeroed backend whose lock is made, and frees what that took. */
    int (*open)(backend *be, const backend_options *options, pcv_error *err);
    void (*close)(backend *be);
} cuda_table;

#endif
