/* Opening the CPU backend: filling the kernel table, and memory. */
#include "cpu/gemm.h"
#include "base/available.h"
#include "base/mem.h"
#include "base/text.h"

#include <omp.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

/* ------------------------------------------------------------------ memory */

enum { HUGE_PAGE = 1 << 21 };

static void *cpu_alloc(backend *be, size_t bytes) {
    (void)be;
    void *memory = mem_map(bytes);
    if (memory && bytes >= HUGE_PAGE) madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static void cpu_free(backend *be, void *memory, size_t bytes) {
    (void)be;
    mem_unmap(memory, bytes);
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

static void *grow(cpu_context *c, void *slot, size_t bytes) {
    scratch s;
    memcpy(&s, slot, sizeof s);
    if (s.data && s.bytes >= bytes) return s.data;
    mem_unmap(s.data, s.bytes);
    s.bytes = (bytes + 65535) / 65536 * 65536;
    s.data = cpu_alloc(NULL, s.bytes);
    if (!s.data) {
        s.bytes = 0;
        cpu_failed(c, NULL);
    }
    memcpy(slot, &s, sizeof s);
    return s.data;
}

void *cpu_scratch(cpu_context *c, size_t bytes) {
    return grow(c, &c->scratch[omp_get_thread_num()], bytes);
}

void *cpu_shared_scratch(cpu_context *c, int slot, size_t bytes) {
    return grow(c, &c->shared[slot], bytes);
}

void cpu_failed(cpu_context *c, const char *message) {
#pragma omp critical(cpu_failure)
    if (!c->failure->code) fail(c->failure, PCV_MEMORY, "%s", message ? message : "");
}

/* ------------------------------------------------------------------ how work is cut */

enum { LOGITS = 1 << 20, UNITS = 16, LEAST_KEYS = 256 }; /* units of attention for 16 cores */

static int64_t norm_parts(const backend *be, int64_t rows) {
    (void)be;
    return rows < 64 ? 1 : rows < 1024 ? rows / 32 : 32;
}

static int64_t attend_chunks(const backend *be, int64_t batch, int64_t heads, int64_t width, int64_t keys) {
    (void)be, (void)width;
    int64_t wanted = UNITS / (batch * heads), longest = keys / LEAST_KEYS;
    int64_t chunks = wanted < longest ? wanted : longest;
    return chunks < 1 ? 1 : chunks;
}

/* ------------------------------------------------------------------ opening */

static void cpu_close(backend *be) {
    cpu_context *c = be->context;
    gemm_close(c);
    for (int i = 0; i < MOST_THREADS; i++) mem_unmap(c->scratch[i].data, c->scratch[i].bytes);
    for (int i = 0; i < CPU_SHARED; i++) mem_unmap(c->shared[i].data, c->shared[i].bytes);
    mem_free(c);
    backend_free_lock(be);
    mem_free(be);
}

/* The level's kernels over the reference's, products by the library. */
static void fill_table(backend *be, const cpu_level *level) {
    cpu_context *c = be->context;
    reference_kernels_float(&be->k);
    if (!level->gemv) return;
    for (int i = 0; i < CPU_FILLS; i++) level->fill[i](&be->k);
    gemm_kernels(&be->k);
    c->gemv = level->gemv;
    c->round_bf16 = level->round_bf16;
    c->copy = be->k.copy;
}

static int choose_precision(backend *be, const cpu_level *level, dtype precision, bool tf32, pcv_error *err) {
    cpu_context *c = be->context;
    c->bf16 = precision == BF16;
    if (c->bf16 && (!c->round_bf16 || !gemm_has_bf16()))
        return fail(err, PCV_CONFIG, "--precision bf16: this processor or build has no bf16 products; use f32");
    if (c->bf16 && level->bf16) level->bf16(c, &be->k);
    if (tf32) return fail(err, PCV_CONFIG, "--precision tf32: only CUDA devices have it; use f32 or bf16");
    if (precision != F64) return 0;
    be->real = be->exact = F64;
    be->level = "reference";
    reference_kernels_double(&be->k);
    return 0;
}

static void *pass_gate(void *gate) {
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

/* Can so many threads run at once? OpenMP ends the process where it cannot start one, so it is tried before. */
static int try_threads(int count, pcv_error *err) {
    pthread_t thread[MOST_THREADS];
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    int made = 1; /* this one */
    pthread_mutex_lock(&gate);
    while (made < count && !mem_refused() && !pthread_create(&thread[made], NULL, pass_gate, &gate)) made++;
    pthread_mutex_unlock(&gate);
    for (int i = 1; i < made; i++) pthread_join(thread[i], NULL);
    if (made == count) return 0;
    return fail(err, PCV_MEMORY, "only %d of %d threads can be started; lower --threads", made, count);
}

static int cpu_open(backend **out, const backend_options *options, pcv_error *err) {
    const cpu_level *level = NULL;
    cpu_context *c = NULL;
    backend *be = NULL;
    int status = 0;
    TRY(cpu_level_find(&level, options->level, err));
    TRY(mem_get(&c, sizeof *c, "the CPU backend", err));
    TRY(mem_get(&be, sizeof *be, "the CPU backend", err));
    *be = (backend){.name = cpu_backend.name, .exact = F32, .level = level->name, .context = c, .alloc = cpu_alloc,
                    .free = cpu_free, .available = cpu_available, .on_host = true, .write = cpu_copy, .read = cpu_copy,
                    .close = cpu_close, .norm_parts = norm_parts, .attend_chunks = attend_chunks, .logits = LOGITS,
                    .pass_begin = cpu_pass_begin, .pass_end = cpu_pass_end};
    backend_init_lock(be);
    c->failure = &be->failure;
    int64_t threads = options->threads > 0 ? options->threads : threads_available(0);
    c->threads = (int)(threads < MOST_THREADS ? threads : MOST_THREADS);
    TRY(try_threads(c->threads, err));
    be->threads = c->threads;
    fill_table(be, level);
    TRY(choose_precision(be, level, options->precision, options->tf32, err));
    *out = be;
out:
    if (status && be) cpu_close(be);
    else if (status) mem_free(c);
    return status;
}

const backend_type cpu_backend = {"cpu", cpu_open, cpu_levels};
