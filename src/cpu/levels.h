/* The levels of the CPU's kernels, lowest first.
 *
 * The reference is plain loops (reference.c), its products too. Above it stand levels of SIMD kernels: the sources
 * simd_*.c, compiled once per instruction set with its flags. SIMD_LEVELS lists those that this build has, a line each:
 * X(name, what the processor must have, who fills the slots that it has for --precision bf16, or NULL). From a line
 * come the declarations below, the row of the table and its name wherever one is asked for. A new instruction set is a
 * line here and its flags in CMakeLists.txt. */
#ifndef CPU_LEVELS_H
#define CPU_LEVELS_H

#include "base/error.h"
#include "tensor/kernels.h"

typedef struct cpu_context cpu_context;

#if defined(__x86_64__)
#define CPU_HAS     __builtin_cpu_supports
#define HAS_AVX512  (CPU_HAS("avx512f") && CPU_HAS("avx512vl") && CPU_HAS("avx512bw") && CPU_HAS("avx512dq"))
#define SIMD_LEVELS(X)                                                                                                 \
    X(plain, true, NULL) /* the compiler's baseline vectors */                                                         \
    X(avx2, CPU_HAS("avx2") && CPU_HAS("fma"), NULL)                                                                   \
    X(avx512, HAS_AVX512, NULL)                                                                                        \
    X(amx, HAS_AVX512 && cpu_has_amx(), amx_kernels) /* else as avx512 */
#elif defined(__aarch64__)
#define SIMD_LEVELS(X)                                                                                                 \
    X(plain, true, NULL)                                                                                               \
    X(neon, true, NULL) /* part of the architecture */
#else
#define SIMD_LEVELS(X) X(plain, true, NULL)
#endif

/* C [m, n] = A [m, k] B [n, k]^T + beta C + bias: GEMV_ROWS rows at a time, each as if it were alone. */
typedef void gemv_fn(void *context, const gemm_args *args);
enum { GEMV_ROWS = 4 };

/* to [rows cols] = x rounded to bf16, packed. */
typedef void round_bf16_fn(void *context, const matrix *x, uint16_t *to);

#define SIMD_DECLARE(name, has, bf16)                                                                                  \
    void simd_rows_##name(kernels *k);                                                                                 \
    void simd_attend_##name(kernels *k);                                                                               \
    void simd_found_##name(kernels *k);                                                                                \
    gemv_fn gemv_##name;                                                                                               \
    round_bf16_fn round_bf16_##name;
SIMD_LEVELS(SIMD_DECLARE)
#undef SIMD_DECLARE
void amx_kernels(cpu_context *c, kernels *k); /* amx_attend.c */

enum { CPU_FILLS = 3 };

typedef struct cpu_level {
    const char *name;
    bool (*has)(void);                  /* the processor what it takes */
    void (*fill[CPU_FILLS])(kernels *); /* the slots that they have; NULL, as all below: the reference's stay */
    void (*bf16)(cpu_context *, kernels *); /* for --precision bf16, over these; NULL: only products take it */
    gemv_fn *gemv;
    round_bf16_fn *round_bf16;
} cpu_level;

/* The level that is asked for; NULL: the one that the environment variable PERCEIVER_KERNELS names, or the best that
 * the processor has. PCV_CONFIG lists those that it has. */
int cpu_level_find(const cpu_level **level, const char *name, pcv_error *err);

/* Names of those that the processor has, best first, NULL-terminated. */
const char *const *cpu_levels(void);

#endif
