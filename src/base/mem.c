#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static atomic_uint_fast64_t taken, failing_at;

/* True when a test asked for this allocation to fail. */
static bool refused(void) {
    uint64_t count = atomic_fetch_add(&taken, 1) + 1;
    uint64_t limit = atomic_load(&failing_at);
    return limit && count >= limit;
}

uint64_t mem_fail_after(uint64_t n) {
    uint64_t count = atomic_exchange(&taken, 0);
    atomic_store(&failing_at, n);
    return count;
}

static int refuse(size_t bytes, const char *purpose, pcv_error *err) {
    return fail(err, PCV_MEMORY, "not enough memory: %zu bytes for %s", bytes, purpose);
}

int mem_get(void *slot, size_t bytes, const char *purpose, pcv_error *err) {
    void *memory = refused() ? NULL : calloc(1, bytes ? bytes : 1);
    memcpy(slot, &memory, sizeof memory);
    return memory ? 0 : refuse(bytes, purpose, err);
}

int mem_resize(void *slot, size_t bytes, const char *purpose, pcv_error *err) {
    void *old;
    memcpy(&old, slot, sizeof old);
    void *memory = refused() ? NULL : realloc(old, bytes ? bytes : 1);
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

static _Thread_local size_t json_left = SIZE_MAX;
static _Thread_local int json_met;

void *mem_json_malloc(size_t bytes) {
    bool over = bytes > json_left;
    void *memory = over || refused() ? NULL : malloc(bytes);
    if (!memory) json_met = over ? PCV_DATA : PCV_MEMORY;
    else if (json_left != SIZE_MAX) json_left -= bytes;
    return memory;
}

int mem_json_limit(size_t bytes) {
    int met = json_met;
    json_left = bytes;
    json_met = 0;
    return met;
}

bool size_mul(size_t a, size_t b, size_t *result) { return !__builtin_mul_overflow(a, b, result); }

bool size_add(size_t a, size_t b, size_t *result) { return !__builtin_add_overflow(a, b, result); }

int arena_init(arena *a, size_t capacity, pcv_error *err) {
    void *base = refused() ? MAP_FAILED
                           : mmap(NULL, capacity, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *a = (arena){0};
    if (base == MAP_FAILED) return refuse(capacity, "an arena", err);
    *a = (arena){.base = base, .capacity = capacity};
    return 0;
}

void arena_free(arena *a) {
    if (a->base) munmap(a->base, a->capacity);
    *a = (arena){0};
}

void *arena_get(arena *a, size_t bytes) {
    size_t size = (bytes + 63) & ~(size_t)63;
    CHECK(size >= bytes && size <= a->capacity - a->used, "arena of %zu bytes has %zu left, %zu asked",
          a->capacity, a->capacity - a->used, bytes);
    void *memory = a->base + a->used;
    a->used += size;
    memset(memory, 0, size);
    return memory;
}

void arena_rewind(arena *a, size_t mark) {
    CHECK(mark <= a->used, "mark %zu lies above the top %zu", mark, a->used);
#ifndef NDEBUG
    memset(a->base + mark, 0xA5, a->used - mark); /* stale pointers show at once */
#endif
    a->used = mark;
}
