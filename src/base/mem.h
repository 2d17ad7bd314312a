/* Host memory. The one place of the library that calls malloc.
 *
 * Small objects and buffers of known size come from mem_get, which says what it was for when it
 * fails. Everything that lives exactly as long as one step (tape nodes, tensor headers) comes from
 * an arena: blocks that are filled one after the other and emptied at once.
 *
 *     TRY(mem_get(&rows, count * sizeof *rows, "row table", err));
 *     ...
 *     mem_free(rows); */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stores zeroed memory of `bytes` bytes in *(void **)slot; PCV_MEMORY when there is none. */
int mem_get(void *slot, size_t bytes, const char *purpose, pcv_error *err);

/* Grows or shrinks *(void **)slot, keeping its contents; new bytes are not cleared. */
int mem_resize(void *slot, size_t bytes, const char *purpose, pcv_error *err);

/* A copy of a string, or PCV_MEMORY. */
int mem_string(char **slot, const char *text, pcv_error *err);

void mem_free(void *memory);

/* Whole pages, zeroed; NULL when there are none. */
void *mem_map(size_t bytes);
void mem_unmap(void *memory, size_t bytes); /* memory may be NULL */

/* Tests only: the n-th allocation from now on fails, and every later one (0: none fails), or it alone. While any is to
 * fail, each piece of an arena counts as one. Returns how many allocations were made since the last call. */
uint64_t mem_fail_after(uint64_t n);
uint64_t mem_fail_once(uint64_t n);

/* One more allocation, of a library's or of a thread: is it to fail? */
bool mem_refused(void);

/* *result = a * b or a + b; false when that does not fit: for sizes that a file states. */
bool size_mul(size_t a, size_t b, size_t *result);
bool size_add(size_t a, size_t b, size_t *result);

/* Arena: memory taken piece by piece and given back at once. It grows by blocks, which are kept for the next time. */
typedef struct arena {
    struct arena_block *block; /* in use: the older ones are full, the newer ones empty */
    size_t used;
} arena;

/* Takes a first block of so many bytes. */
int arena_init(arena *a, size_t bytes, pcv_error *err);
void arena_free(arena *a);

/* Zeroed, 64-byte aligned; NULL when there is none. */
void *arena_get(arena *a, size_t bytes);

/* The same, but its contents are undefined, and untouched pages stay so: for what is large and written before it is
 * read. */
void *arena_take(arena *a, size_t bytes);

/* Forgets everything that was taken since `mark` (a former value of a->used). */
void arena_rewind(arena *a, size_t mark);

/* Bytes of all its blocks. */
size_t arena_bytes(const arena *a);

#endif
