/* What the kernels of one CUDA backend share, and how they tell of failures. */
#ifndef CUDA_CONTEXT_H
#define CUDA_CONTEXT_H

#include "cuda/device.h"

extern "C" {
#include "tensor/backend.h"
}

/* What attention in bf16 runs on: Hopper's warpgroup products, those of a warp, or none. */
typedef enum cuda_level { LEVEL_WGMMA, LEVEL_MMA, LEVEL_PLAIN, LEVELS } cuda_level;

enum { CUDA_ARRIVALS = 64 }; /* reads that wait for `finish` */
static const size_t PINNED_BYTES = (size_t)32 << 20;

typedef struct cuda_context {
    int device;
    int multiprocessors;
    int capability; /* 10 major + minor: 90 for Hopper */
    cuda_level level;
    bool bf16; /* reals are */
    bool tf32; /* products of floats may round their operands to TF32 */
    cudaStream_t stream;
    pcv_error *failure; /* the backend's */
    void *products;     /* the library's handle and the ways that were found (products.h) */
    void *scratch;      /* device memory that kernels use while they run, grown as needed */
    size_t scratch_bytes;
    struct replay *replay; /* passes over tokens as graphs (replay.h); NULL: they are switched off */

    /* Between host and device: pinned memory, and what has to leave it when it has arrived. */
    char *pinned;
    size_t pinned_used;
    struct {
        void *to;
        const char *from;
        size_t bytes;
    } arrival[CUDA_ARRIVALS];
    int waiting;
} cuda_context;

/* Notes the first error of the runtime in the backend's failure; true when there is none. */
bool cuda_fine(cuda_context *c, cudaError_t error, const char *what);

/* Behind a launch. */
bool cuda_launched(cuda_context *c, const char *kernel);

/* Device memory for the kernels of one slot, valid until the next call; NULL, noted, when there is none. */
void *cuda_scratch(cuda_context *c, size_t bytes);

/* So many bytes of it in front of something else, which begins at a multiple of 256. */
static inline size_t scratch_piece(size_t bytes) { return (bytes + 255) / 256 * 256; }

#endif
