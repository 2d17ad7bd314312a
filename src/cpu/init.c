/* Opening the CPU backend: which instruction sets the processor has, filling the kernel table, and
 * memory. */
#include "cpu/gemm.h"
#include "base/available.h"
#include "base/mem.h"
#include "base/text.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const char *const cpu_level_names[CPU_LEVELS + 1] = {"reference", "plain", "neon", "avx2", "avx512", NULL};

bool cpu_has_level(cpu_level level) {
    switch (level) {
    case CPU_REFERENCE:
    case CPU_PLAIN: return true;
#if defined(__x86_64__)
    case CPU_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case CPU_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#elif defined(__aarch64__)
    case CPU_NEON: return true; /* part of the architecture */
#endif
    default: return false;
    }
}

cpu_level cpu_best_level(void) {
    const char *wanted = getenv("PERCEIVER_KERNELS");
    int best = CPU_LEVELS - 1;
    while (!cpu_has_level((cpu_level)best)) best--;
    for (int i = 0; wanted && i < best; i++)
        if (!strcmp(wanted, cpu_level_names[i])) return (cpu_level)i;
    return (cpu_level)best;
}

/* ------------------------------------------------------------------ memory */

enum { HUGE_PAGE = 1 << 21 };

static void *cpu_alloc(backend *be, size_t bytes) {
    (void)be;
    void *memory = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    if (memory == MAP_FAILED) return NULL;
    if (bytes >= HUGE_PAGE) madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static void cpu_free(backend *be, void *memory, size_t bytes) {
    (void)be;
    munmap(memory, bytes ? bytes : 1);
}

static void cpu_copy(backend *be, void *to, const void *from, size_t bytes) {
    (void)be;
    if (bytes) memcpy(to, from, bytes);
}

typedef struct scratch {
    void *data;
    size_t bytes;
} scratch;

static void *grow(void *slot, size_t bytes) {
    scratch s;
    memcpy(&s, slot, sizeof s);
    if (s.bytes >= bytes) return s.data;
    if (s.data) munmap(s.data, s.bytes);
    s.bytes = (bytes + 65535) / 65536 * 65536;
    s.data = cpu_alloc(NULL, s.bytes);
    CHECK(s.data, "no memory for %zu bytes of scratch", s.bytes);
    memcpy(slot, &s, sizeof s);
    return s.data;
}

void *cpu_scratch(cpu_context *c, size_t bytes) {
    return grow(&c->scratch[omp_get_thread_num()], bytes);
}

void *cpu_shared_scratch(cpu_context *c, int slot, size_t bytes) {
    return grow(&c->shared[slot], bytes);
}

/* ------------------------------------------------------------------ opening */

int cpu_threads_for(int64_t asked) {
    int64_t wanted = asked > 0 ? asked : omp_get_max_threads(), cores = cores_available();
    if (cores > CPU_MAX_THREADS) cores = CPU_MAX_THREADS;
    return (int)(wanted < cores ? wanted : cores);
}

int cpu_threads(const backend *be) { return ((const cpu_context *)be->context)->threads; }

static void cpu_close(backend *be) {
    cpu_context *c = be->context;
    gemm_close(c);
    for (int i = 0; i < CPU_MAX_THREADS; i++)
        if (c->scratch[i].data) munmap(c->scratch[i].data, c->scratch[i].bytes);
    for (int i = 0; i < CPU_SHARED; i++)
        if (c->shared[i].data) munmap(c->shared[i].data, c->shared[i].bytes);
    mem_free(c);
    mem_free(be);
}

static int open_backend(backend **be, dtype real, pcv_error *err) {
    cpu_context *c = NULL;
    int status = mem_get(&c, sizeof *c, "the CPU backend", err);
    if (!status) status = mem_get(be, sizeof **be, "the CPU backend", err);
    if (status) {
        mem_free(c);
        return status;
    }
    c->threads = 1;
    **be = (backend){.name = "cpu", .real = real, .context = c, .alloc = cpu_alloc,
                     .free = cpu_free, .write = cpu_copy, .read = cpu_copy, .close = cpu_close};
    return 0;
}

int cpu_use_bf16(backend *be, pcv_error *err) {
    cpu_context *c = be->context;
    if (!c->round_bf16 || !gemm_has_bf16())
        return fail(err, PCV_CONFIG, "--precision bf16: this processor or build has no bf16 products; use f32");
    c->bf16 = true;
    return 0;
}

int cpu_double_backend_open(backend **be, pcv_error *err) {
    int status = open_backend(be, F64, err);
    if (!status) reference_kernels_double(&(*be)->k);
    return status;
}

int cpu_backend_open(backend **be, cpu_level level, int threads, pcv_error *err) {
    static const struct {
        void (*rows)(kernels *), (*attend)(kernels *);
        gemv_fn *gemv;
        round_bf16_fn *round_bf16;
    } simd[CPU_LEVELS] = {
        [CPU_PLAIN] = {simd_rows_plain, simd_attend_plain, gemv_plain, round_bf16_plain},
#if defined(__x86_64__)
        [CPU_AVX2] = {simd_rows_avx2, simd_attend_avx2, gemv_avx2, round_bf16_avx2},
        [CPU_AVX512] = {simd_rows_avx512, simd_attend_avx512, gemv_avx512, round_bf16_avx512},
#elif defined(__aarch64__)
        [CPU_NEON] = {simd_rows_neon, simd_attend_neon, gemv_neon, round_bf16_neon},
#endif
    };
    if (!cpu_has_level(level))
        return fail(err, PCV_CONFIG, "kernel level %s: this processor does not have it",
                    cpu_level_names[level]);
    int status = open_backend(be, F32, err);
    if (status) return status;
    cpu_context *c = (*be)->context;
    c->level = level;
    c->threads = threads > 0 ? threads : cpu_threads_for(0);
    if (c->threads > CPU_MAX_THREADS) c->threads = CPU_MAX_THREADS;
    reference_kernels_float(&(*be)->k);
    if (level == CPU_REFERENCE) return 0;
    c->gemv = simd[level].gemv;
    c->round_bf16 = simd[level].round_bf16;
    simd[level].rows(&(*be)->k);
    simd[level].attend(&(*be)->k);
    gemm_kernels(&(*be)->k);
    c->copy = (*be)->k.copy;
    return 0;
}
