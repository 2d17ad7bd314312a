/* What the files of the CPU backend share: the context that kernels get, who fills which slots, and
 * the dropout mask that every level must draw alike. */
#ifndef CPU_KERNELS_CPU_H
#define CPU_KERNELS_CPU_H

#include "base/available.h"
#include "base/rng.h"
#include "cpu/cpu.h"
#include "cpu/crowd.h"
#include "cpu/levels.h"

enum { CPU_SHARED = 4 };

struct cpu_context {
    pcv_error *failure; /* the backend's: see backend_failed */
    int threads;
    void *gemm; /* the product library's state (gemm_*.c) */
    gemv_fn *gemv;
    void (*copy)(void *context, const copy_args *args); /* the level's own */
    round_bf16_fn *round_bf16; /* NULL: the reference has none */
    bool bf16; /* products take rounded operands */
    /* Attention in float32, for what that in bf16 leaves to it. */
    void (*attend_fwd)(void *context, const attend_args *args);
    void (*attend_bwd)(void *context, const attend_bwd_args *args);
    crowd crowd[PASSES];
    /* Scratch per thread, grown on demand by cpu_scratch. */
    struct {
        void *data;
        size_t bytes;
    } scratch[MOST_THREADS], shared[CPU_SHARED];
};

/* Before a loop of a kernel: its turns are shared by the threads of the kernel's context. */
#define PARALLEL(context) _Pragma("omp parallel for num_threads(threads_of(context))")

static inline int threads_of(const void *context) { return ((const cpu_context *)context)->threads; }

/* What a kernel that cannot do its work says, in any of its threads: the first is remembered. NULL: memory. */
void cpu_failed(cpu_context *c, const char *message);

/* At least `bytes` of 64-byte aligned scratch memory of the calling OpenMP thread; its contents are
 * undefined. NULL when there is none; that is remembered, and the caller goes on without. */
void *cpu_scratch(cpu_context *c, size_t bytes);

/* The same for memory that all threads use, asked for outside parallel regions; `slot` tells buffers that
 * are needed at once apart. */
void *cpu_shared_scratch(cpu_context *c, int slot, size_t bytes);

/* Fill the slots that they have; the SIMD levels' are in levels.h. */
void reference_kernels_float(kernels *k);
void reference_kernels_double(kernels *k);
void gemm_kernels(kernels *k);

/* Beside other programs passes run on fewer of the threads where that is faster (crowd.c). */
void cpu_pass_begin(backend *be, backend_pass kind);
void cpu_pass_end(backend *be, backend_pass kind, double work);

bool gemm_has_bf16(void);
void gemm_close(cpu_context *c); /* frees the product library's state */

/* 0 with probability p, else 1 / (1 - p), for element i of a dropout op. */
static inline float dropout_factor(const dropout_args *a, uint64_t i) {
    uint64_t index = (uint64_t)a->node << 32 | (i >> 2);
    rng_block block = rng_at(a->seed, RNG_DROPOUT, a->step, index);
    return (double)block.v[i & 3] < (double)a->p * 0x1p32 ? 0 : 1 / (1 - a->p);
}

#endif
