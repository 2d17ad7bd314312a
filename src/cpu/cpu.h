/* The CPU backend: kernels at several levels over one threading rule.
 *
 * The table is filled by the reference (plain loops, reference.c), then by the SIMD kernels of a
 * level (simd_*.c, compiled once per instruction set), then products by oneDNN (gemm.c). The best
 * level that the processor has is chosen at run time; the environment variable PERCEIVER_KERNELS or
 * the caller can name a lower one.
 *
 * Kernels are parallel over rows or heads, by OpenMP, one level deep. */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "tensor/backend.h"

typedef enum cpu_level {
    CPU_REFERENCE, /* plain C, products too */
    CPU_PLAIN,     /* the SIMD source on the compiler's baseline vectors */
    CPU_NEON,
    CPU_AVX2,
    CPU_AVX512,
    CPU_LEVELS
} cpu_level;

extern const char *const cpu_level_names[CPU_LEVELS + 1]; /* NULL-terminated, lowest first */

/* The best level this machine has, or the lower one that PERCEIVER_KERNELS names. */
cpu_level cpu_best_level(void);
bool cpu_has_level(cpu_level level);

/* Threads that `asked` come to here: at most the cores that this process may use, 0 for all of
 * them (or OMP_NUM_THREADS). */
int cpu_threads_for(int64_t asked);

/* threads 0: as cpu_threads_for. */
int cpu_backend_open(backend **be, cpu_level level, int threads, pcv_error *err);

/* The reference kernels in double precision: the oracle of the gradient tests. */
int cpu_double_backend_open(backend **be, pcv_error *err);

int cpu_threads(const backend *be);

/* Around passes of one kind, again and again: beside other programs they run on fewer of the threads where that is
 * faster (crowd.c). work: of this pass, in any unit. Any backend. */
typedef enum cpu_pass { PASS_UPDATE, PASS_SCORING, PASS_TOKEN, CPU_PASSES } cpu_pass;
void cpu_pass_begin(backend *be, cpu_pass kind);
void cpu_pass_end(backend *be, cpu_pass kind, double work);

/* From now on matrix products round their operands to bf16 and add in float32; everything else, weights
 * included, stays float32. Twice as fast where the processor has bf16 dot products. PCV_CONFIG where
 * products cannot be had that way. */
int cpu_use_bf16(backend *be, pcv_error *err);

#endif
