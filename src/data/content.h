/* What the bytes of a file say about it, gathered while they pass by, and the set of contents that were there before.
 *
 *     file_content c;
 *     TRY(content_open(&c, err));
 *     content_add(&c, piece, size);                   // as often as there is more
 *     content_close(&c);                              // c.hash is of all that was added
 *     TRY(content_set_add(&set, c.hash, me, &first, err)); // first: who had it before, or NULL */
#ifndef DATA_CONTENT_H
#define DATA_CONTENT_H

#include "base/file.h"

typedef struct file_content {
    uint64_t size;
    bool blank;  /* nothing but white space so far */
    bool binary; /* the first 64 KiB have a zero byte, or a twentieth of control characters */
    char hash[HASH_TEXT];
    hasher hasher;
} file_content;

int content_open(file_content *c, pcv_error *err);
void content_add(file_content *c, const void *bytes, size_t size);
void content_close(file_content *c);

bool is_blank(const char *bytes, size_t size); /* white space, or nothing at all */

typedef struct content_entry {
    char hash[HASH_TEXT];
    const void *owner; /* the caller's */
} content_entry;

typedef struct content_set {
    content_entry *slots; /* without an owner: free */
    size_t count, capacity;
} content_set;

int content_set_add(content_set *set, const char *hash, const void *owner, const void **before, pcv_error *err);
void content_set_free(content_set *set);

#endif
