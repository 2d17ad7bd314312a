#include "guard_backend.h"
#include "backends/registry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MOST_BLOCKS = 4096, MOST_MOVES = 4096 };

static struct {
    void *data;
    size_t bytes;
} blocks[MOST_BLOCKS];
static int count;

/* Reads and writes that nobody has waited for. */
static struct {
    void *to;         /* of a read */
    const void *from; /* of a write */
    void *values;     /* that it moves */
    size_t bytes;
} moves[MOST_MOVES];
static int moving;

static void protect(int access) {
    for (int i = 0; i < count; i++)
        if (blocks[i].data) mprotect(blocks[i].data, blocks[i].bytes, access);
}

static void open_memory(backend *be) {
    (void)be;
    protect(PROT_READ | PROT_WRITE);
}

static void close_memory(backend *be) {
    (void)be;
    protect(PROT_NONE);
}

static void *guard_alloc(backend *be, size_t bytes) {
    (void)be;
    bytes = (bytes + 4095) / 4096 * 4096 + 4096; /* and one page that nobody may touch behind it */
    void *data = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED || count == MOST_BLOCKS) return NULL;
    blocks[count].data = data;
    blocks[count++].bytes = bytes - 4096;
    return data;
}

static void guard_free(backend *be, void *memory, size_t bytes) {
    (void)be, (void)bytes;
    for (int i = 0; i < count; i++)
        if (blocks[i].data == memory) {
            munmap(memory, blocks[i].bytes + 4096);
            blocks[i].data = NULL;
        }
}

/* The values of a move, which are those of now whatever becomes of their place. */
static void *remember(void *to, const void *from, const void *source, size_t bytes) {
    CHECK(moving < MOST_MOVES, "nobody waits for %d reads and writes", moving);
    void *values = malloc(bytes + 1);
    CHECK(values, "no memory for %zu bytes", bytes);
    open_memory(NULL);
    memcpy(values, source, bytes);
    close_memory(NULL);
    moves[moving].to = to;
    moves[moving].from = from;
    moves[moving].values = values;
    moves[moving++].bytes = bytes;
    return values;
}

static void guard_write(backend *be, void *to, const void *from, size_t bytes) {
    if (!bytes) return;
    const void *values = remember(NULL, from, from, bytes);
    open_memory(be);
    memcpy(to, values, bytes);
    close_memory(be);
}

static void guard_read(backend *be, void *to, const void *from, size_t bytes) {
    (void)be;
    if (!bytes) return;
    remember(to, NULL, from, bytes);
    memset(to, 0xFF, bytes); /* no number, until it has arrived */
}

static void guard_finish(backend *be) {
    (void)be;
    for (int i = 0; i < moving; i++) {
        bool stayed = moves[i].to || !memcmp(moves[i].from, moves[i].values, moves[i].bytes);
        CHECK(stayed, "%zu bytes were changed before they were written", moves[i].bytes);
        if (moves[i].to) memcpy(moves[i].to, moves[i].values, moves[i].bytes);
        free(moves[i].values);
    }
    moving = 0;
}

int guard_backend_open(backend **be, pcv_error *err) {
    int status = backend_open(be, "cpu", &(backend_options){.threads = 2}, err);
    if (status) return status;
    (*be)->name = "guard";
    (*be)->alloc = guard_alloc;
    (*be)->free = guard_free;
    (*be)->write = guard_write;
    (*be)->read = guard_read;
    (*be)->finish = guard_finish;
    (*be)->enter = open_memory;
    (*be)->leave = close_memory;
    return 0;
}
