/* The safetensors format, read and written. A file is untrusted: everything is checked before any
 * size in it is believed, by the rules that the reference implementation applies (header at most
 * 100 MB and within the file, no duplicate keys, ranges contiguous from 0 without hole or overlap,
 * checked products, known types).
 *
 *     safetensors file;
 *     TRY(safetensors_open(&file, "model.safetensors", err));
 *     const safetensors_entry *e = safetensors_find(&file, "output.bias");
 *     TRY(safetensors_load(&file, e, destination, err));     // e->bytes bytes
 *     safetensors_close(&file);
 *
 * Data is copied out with pread, never mapped, so that a file that shrinks is an error and not a
 * signal. */
#ifndef BASE_SAFETENSORS_H
#define BASE_SAFETENSORS_H

#include "base/error.h"
#include "base/file.h"

#include <jansson.h>

enum { SAFETENSORS_RANK = 8, SAFETENSORS_NAME = 1024 };

typedef struct safetensors_entry {
    const char *name;
    char type[8]; /* "F32", "BF16", ... */
    int rank;
    int64_t shape[SAFETENSORS_RANK];
    int64_t elements;
    uint64_t begin, bytes; /* from the start of the data */
} safetensors_entry;

typedef struct safetensors {
    int fd;
    char path[PATH_SIZE];
    uint64_t data_start, data_size;
    int count;
    safetensors_entry *entries; /* in the order of their data */
    json_t *header;             /* owns the names */
} safetensors;

int safetensors_open(safetensors *file, const char *path, pcv_error *err);
void safetensors_close(safetensors *file);
const safetensors_entry *safetensors_find(const safetensors *file, const char *name);
const char *safetensors_metadata(const safetensors *file, const char *key); /* or NULL */
int safetensors_load(const safetensors *file, const safetensors_entry *entry, void *destination,
                     pcv_error *err);

/* Writing: the header needs all tensors first, then their data follows in the order of their names, from memory or
 * through `read`, which may be called more than once a tensor. */
typedef struct safetensors_plan {
    const char *name, *type;
    int rank;
    int64_t shape[2];
    const void *data; /* host memory, or NULL when `read` provides it */
} safetensors_plan;

typedef struct safetensors_writer {
    const safetensors_plan *plans; /* any order; the writer sorts */
    int count;
    json_t *metadata; /* object of strings, or NULL */
    /* Copies `bytes` bytes of tensor `index` from `offset` to `out` where plan.data is NULL. */
    int (*read)(void *context, int index, uint64_t offset, void *out, size_t bytes);
    void *context;
} safetensors_writer;

/* Writes path atomically; stores the XXH3-128 of the file when hash is not NULL. */
int safetensors_save(const safetensors_writer *writer, const char *path, char *hash,
                     uint64_t *size, pcv_error *err);

#endif
