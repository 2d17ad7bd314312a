/* What the files of the CPU backend share: the context that kernels get, who fills which slots, and
 * the dropout mask that every level must draw alike. */
#ifndef CPU_KERNELS_CPU_H
#define CPU_KERNELS_CPU_H

#include "base/rng.h"
#include "cpu/cpu.h"
#include "cpu/crowd.h"

enum { CPU_MAX_THREADS = 256, CPU_SHARED = 4 };

typedef struct cpu_context {
    int threads;
    cpu_level level;
    void *gemm; /* the product library's state (gemm_*.c) */
    void (*gemv)(void *context, const gemm_args *args);
    void (*copy)(void *context, const copy_args *args); /* the level's own */
    /* to [rows cols] = x rounded to bf16, packed. */
    void (*round_bf16)(void *context, const matrix *x, uint16_t *to);
    bool bf16; /* products take rounded operands */
    crowd crowd[CPU_PASSES];
    /* Scratch per thread, grown on demand by cpu_scratch. */
    struct {
        void *data;
        size_t bytes;
    } scratch[CPU_MAX_THREADS], shared[CPU_SHARED];
} cpu_context;

/* At least `bytes` of 64-byte aligned scratch memory of the calling OpenMP thread; its contents are
 * undefined. Ends the process when there is none: sizes are small and bounded by tile sizes. */
void *cpu_scratch(cpu_context *c, size_t bytes);

/* The same for memory that all threads use, asked for outside parallel regions; `slot` tells buffers that
 * are needed at once apart. */
void *cpu_shared_scratch(cpu_context *c, int slot, size_t bytes);

/* Fill the slots that they have. */
void reference_kernels_float(kernels *k);
void reference_kernels_double(kernels *k);
void simd_rows_plain(kernels *k);
void simd_rows_neon(kernels *k);
void simd_rows_avx2(kernels *k);
void simd_rows_avx512(kernels *k);
void simd_attend_plain(kernels *k);
void simd_attend_neon(kernels *k);
void simd_attend_avx2(kernels *k);
void simd_attend_avx512(kernels *k);
void gemm_kernels(kernels *k);

bool gemm_has_bf16(void);
void gemm_close(cpu_context *c); /* frees the product library's state */

/* 0 with probability p, else 1 / (1 - p), for element i of a dropout op. */
static inline float dropout_factor(const dropout_args *a, uint64_t i) {
    uint64_t index = (uint64_t)a->node << 32 | (i >> 2);
    rng_block block = rng_at(a->seed, RNG_DROPOUT, a->step, index);
    return (double)block.v[i & 3] < (double)a->p * 0x1p32 ? 0 : 1 / (1 - a->p);
}

#endif
