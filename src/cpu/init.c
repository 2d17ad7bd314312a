/* Opening the CPU backend: filling the kernel table, and memory. */
#include "cpu/gemm.h"
#include "base/available.h"
#include "base/mem.h"
#include "base/text.h"

#include <omp.h>
#include <string.h>
#include <sys/mman.h>

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

static size_t cpu_available(backend *be) {
    (void)be;
    return memory_available();
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

/* ------------------------------------------------------------------ how work is cut */

enum { LOGITS = 1 << 20, UNITS = 16, LEAST_KEYS = 256 }; /* units of attention for 16 cores */

static int64_t norm_parts(const backend *be, int64_t rows) {
    (void)be;
    return rows < 64 ? 1 : rows < 1024 ? rows / 32 : 32;
}

static int64_t attend_chunks(const backend *be, int64_t batch, int64_t heads, int64_t keys) {
    (void)be;
    int64_t wanted = UNITS / (batch * heads), longest = keys / LEAST_KEYS;
    int64_t chunks = wanted < longest ? wanted : longest;
    return chunks < 1 ? 1 : chunks;
}

/* ------------------------------------------------------------------ opening */

static void cpu_close(backend *be) {
    cpu_context *c = be->context;
    gemm_close(c);
    for (int i = 0; i < MOST_THREADS; i++)
        if (c->scratch[i].data) munmap(c->scratch[i].data, c->scratch[i].bytes);
    for (int i = 0; i < CPU_SHARED; i++)
        if (c->shared[i].data) munmap(c->shared[i].data, c->shared[i].bytes);
    mem_free(c);
    backend_free_lock(be);
    mem_free(be);
}

/* The level's kernels over the reference's, products by the library. */
static void fill_table(backend *be, const cpu_level *level) {
    cpu_context *c = be->context;
    reference_kernels_float(&be->k);
    if (!level->rows) return;
    level->rows(&be->k);
    level->attend(&be->k);
    gemm_kernels(&be->k);
    c->gemv = level->gemv;
    c->round_bf16 = level->round_bf16;
    c->copy = be->k.copy;
}

static int choose_precision(backend *be, dtype precision, pcv_error *err) {
    cpu_context *c = be->context;
    c->bf16 = precision == BF16;
    if (c->bf16 && (!c->round_bf16 || !gemm_has_bf16()))
        return fail(err, PCV_CONFIG, "--precision bf16: this processor or build has no bf16 products; use f32");
    if (precision != F64) return 0;
    be->real = F64;
    be->level = "reference";
    reference_kernels_double(&be->k);
    return 0;
}

static int cpu_open(backend **out, const backend_options *options, pcv_error *err) {
    const cpu_level *level = NULL;
    cpu_context *c = NULL;
    backend *be = NULL;
    int status = 0;
    TRY(cpu_level_find(&level, options->level, err));
    TRY(mem_get(&c, sizeof *c, "the CPU backend", err));
    TRY(mem_get(&be, sizeof *be, "the CPU backend", err));
    *be = (backend){.name = cpu_backend.name, .level = level->name, .context = c, .alloc = cpu_alloc,
                    .free = cpu_free, .available = cpu_available, .on_host = true, .write = cpu_copy, .read = cpu_copy,
                    .close = cpu_close, .norm_parts = norm_parts, .attend_chunks = attend_chunks, .logits = LOGITS,
                    .pass_begin = cpu_pass_begin, .pass_end = cpu_pass_end};
    backend_init_lock(be);
    int64_t threads = options->threads > 0 ? options->threads : threads_available(0);
    c->threads = (int)(threads < MOST_THREADS ? threads : MOST_THREADS);
    fill_table(be, level);
    TRY(choose_precision(be, options->precision, err));
    *out = be;
out:
    if (status && be) cpu_close(be);
    else if (status) mem_free(c);
    return status;
}

const backend_type cpu_backend = {"cpu", cpu_open, cpu_levels};
