#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static atomic_uint_fast64_t taken, failing_at;
static atomic_bool failing_alone;

bool mem_refused(void) {
    uint64_t count = atomic_fetch_add(&taken, 1) + 1;
    uint64_t limit = atomic_load(&failing_at);
    return limit && (count == limit || (count > limit && !atomic_load(&failing_alone)));
}

static uint64_t fail_at(uint64_t n, bool alone) {
    uint64_t count = atomic_exchange(&taken, 0);
    atomic_store(&failing_alone, alone);
    atomic_store(&failing_at, n);
    return count;
}

uint64_t mem_fail_after(uint64_t n) { return fail_at(n, false); }

uint64_t mem_fail_once(uint64_t n) { return fail_at(n, true); }

static int refuse(size_t bytes, const char *purpose, pcv_error *err) {
    return fail(err, PCV_MEMORY, "not enough memory: %zu bytes for %s", bytes, purpose);
}

int mem_get(void *slot, size_t bytes, const char *purpose, pcv_error *err) {
    void *memory = mem_refused() ? NULL : calloc(1, bytes ? bytes : 1);
    memcpy(slot, &memory, sizeof memory);
    return memory ? 0 : refuse(bytes, purpose, err);
}

int mem_resize(void *slot, size_t bytes, const char *purpose, pcv_error *err) {
    void *old;
    memcpy(&old, slot, sizeof old);
    void *memory = mem_refused() ? NULL : realloc(old, bytes ? bytes : 1);
    if (!memory) return refuse(bytes, purpose, err);
    memcpy(slot, &memory, sizeof memory);
    return 0;
}

int mem_string(char **slot, const char *text, pcv_error *err) {
    size_t bytes = strlen(text) + 1;
    int status = mem_get(slot, bytes, "a string", err);
    if (!status) memcpy(*slot, text, bytes);
    return status;
}

void mem_free(void *memory) { free(memory); }

void *mem_map(size_t bytes) {
    size_t size = bytes ? bytes : 1;
    void *memory = mem_refused() ? MAP_FAILED
                                 : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void mem_unmap(void *memory, size_t bytes) {
    if (memory) munmap(memory, bytes ? bytes : 1);
}

bool size_mul(size_t a, size_t b, size_t *result) { return !__builtin_mul_overflow(a, b, result); }

bool size_add(size_t a, size_t b, size_t *result) { return !__builtin_add_overflow(a, b, result); }

/* ------------------------------------------------------------------ arena */

struct arena_block {
    struct arena_block *older, *newer;
    size_t bytes; /* with this header */
    size_t begin; /* the arena's `used` where the block begins */
};

enum { HEADER = 64 };
_Static_assert(sizeof(struct arena_block) <= HEADER, "what the arena gives is aligned");

static struct arena_block *block_open(size_t bytes) {
    struct arena_block *b = mem_map(bytes);
    if (b) b->bytes = bytes;
    return b;
}

static void block_close(struct arena_block *b) { mem_unmap(b, b->bytes); }

int arena_init(arena *a, size_t bytes, pcv_error *err) {
    *a = (arena){.block = block_open(bytes)};
    return a->block ? 0 : refuse(bytes, "an arena", err);
}

void arena_free(arena *a) {
    struct arena_block *b = a->block, *newer;
    while (b && b->older) b = b->older;
    for (; b; b = newer) {
        newer = b->newer;
        block_close(b);
    }
    *a = (arena){0};
}

size_t arena_bytes(const arena *a) {
    size_t sum = 0;
    for (const struct arena_block *b = a->block; b; b = b->older) sum += b->bytes;
    for (const struct arena_block *b = a->block ? a->block->newer : NULL; b; b = b->newer) sum += b->bytes;
    return sum;
}

static size_t room(const arena *a, const struct arena_block *b) { return b->bytes - HEADER - (a->used - b->begin); }

/* Goes on with a block that has `size` bytes: the next one, or else a new one in its place, as large as all before, or
 * where that is too much, as is needed. */
static bool next_block(arena *a, size_t size) {
    struct arena_block *full = a->block, *next = full->newer;
    if (next && next->bytes - HEADER < size) {
        full->newer = next->newer;
        if (next->newer) next->newer->older = full;
        block_close(next);
        next = NULL;
    }
    if (!next) {
        size_t all = arena_bytes(a), least = size + HEADER;
        next = block_open(least > all ? least : all);
        if (!next) next = block_open(least);
        if (!next) return false;
        next->older = full;
        next->newer = full->newer;
        if (next->newer) next->newer->older = next;
        full->newer = next;
    }
    next->begin = a->used;
    a->block = next;
    return true;
}

void *arena_get(arena *a, size_t bytes) {
    void *memory = arena_take(a, bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

void *arena_take(arena *a, size_t bytes) {
    size_t size = (bytes + 63) & ~(size_t)63;
    bool testing = atomic_load_explicit(&failing_at, memory_order_relaxed) != 0;
    if (size < bytes || size > SIZE_MAX - HEADER || (testing && mem_refused())) return NULL;
    if (size > room(a, a->block) && !next_block(a, size)) return NULL;
    void *memory = (char *)a->block + HEADER + (a->used - a->block->begin);
    a->used += size;
    return memory;
}

void arena_rewind(arena *a, size_t mark) {
    CHECK(mark <= a->used, "mark %zu lies above the top %zu", mark, a->used);
    for (;; a->block = a->block->older) {
        struct arena_block *b = a->block;
        size_t from = mark > b->begin ? mark : b->begin;
#ifndef NDEBUG
        memset((char *)b + HEADER + (from - b->begin), 0xA5, a->used - from); /* stale pointers show at once */
#endif
        a->used = from;
        if (from == mark) return;
    }
}
