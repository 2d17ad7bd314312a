/* Files. What a file_writer makes is written under a temporary name in the same folder (base/temporary.h), flushed
 * to disk and renamed, so that a reader never sees half of it; errors name the path. Only records that grow line by
 * line (metrics, comparisons, TensorBoard's events) and devices are written in another way.
 *
 *     file_writer w;
 *     TRY(file_create(&w, path, err));
 *     TRY(file_append(&w, bytes, size, err));
 *     TRY(file_commit(&w, err));     // flushed and renamed: durable
 * out:
 *     file_abandon(&w);              // does nothing after a commit */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATH_SIZE = 4096, HASH_TEXT = 33 };
#define STANDARD_INPUT "standard input" /* what "-" is called */

/* "folder/name" in out[PATH_SIZE]; PCV_USAGE when that is too long. */
int path_join(char *out, const char *folder, const char *name, pcv_error *err);
/* The same for a file of our own that will be written: PCV_CANTCREATE where something stands there that is no regular
 * file. What a user names may be a pipe or a device. */
int path_own(char *out, const char *folder, const char *name, pcv_error *err);
int path_trim(char *out, const char *path, pcv_error *err); /* without slashes at its end */
void path_absolute(char *out, const char *path); /* from the root and without links; as it is when nothing is there */
const char *path_name(const char *path); /* the part behind the last slash */
void path_parent(char *out, const char *path); /* the folder that holds path, in out[PATH_SIZE] */
/* Which of formats[] (".png", ".jpg", NULL) the path ends with, in letters of any case; 0 where the name has no ending,
 * which says nothing. PCV_USAGE: another ending, and the message lists those that there are. */
int path_format(const char *path, const char *const *formats, int *which, pcv_error *err);
bool path_exists(const char *path);
bool path_is_folder(const char *path);
bool path_is_file(const char *path); /* a regular one, not a link to one */
int path_remove(const char *path, pcv_error *err); /* a file, or a folder with all it holds: not for what users have */
int folder_make(const char *path, pcv_error *err); /* with parents; one that is there is fine */
int folder_make_new(const char *path, pcv_error *err); /* with parents; one that is there is PCV_CANTCREATE */
int folder_make_in(const char *path, pcv_error *err); /* without parents: they must be there */
int folder_sync(const char *path, pcv_error *err);
int path_free_bytes(const char *path, uint64_t *bytes, pcv_error *err);

/* Publishes `from` as `to` (both in the same folder) and flushes that folder. */
int path_publish(const char *from, const char *to, pcv_error *err);

/* A folder that must stay what its name stands for. */
typedef struct folder_held {
    int fd; /* -1 when let go */
    char path[PATH_SIZE];
} folder_held;
int folder_hold(folder_held *h, const char *path, pcv_error *err);
int folder_still(const folder_held *h, pcv_error *err); /* PCV_IO when it was removed or renamed since */
void folder_let_go(folder_held *h);

/* All regular files at or below `path` in byte order of their names, hidden ones left out. */
typedef struct file_list {
    char **paths;
    size_t count, capacity;
} file_list;
int file_list_add(file_list *list, const char *path, pcv_error *err);
void file_list_free(file_list *list);

/* The names in one folder, sorted; hidden ones left out. */
int folder_names(const char *path, file_list *list, pcv_error *err);

/* Files that a user may name are regular ones (no device, no pipe, which may never end), or standard input as "-", of
 * which what comes through a pipe is kept in a temporary file, so that it can be read again.
 * A whole file, followed by a zero byte; PCV_DATA when it has more than `limit` bytes. */
typedef struct file_bytes {
    char *data;
    size_t size;
} file_bytes;
int file_read(const char *path, size_t limit, file_bytes *out, pcv_error *err);
void file_bytes_free(file_bytes *b);

/* A file read in pieces, for files that need not fit into memory. */
typedef struct file_reader {
    int fd; /* -1 when closed */
    char path[PATH_SIZE];
} file_reader;
int file_open(file_reader *r, const char *path, pcv_error *err);
int file_next(file_reader *r, void *buffer, size_t size, size_t *got, pcv_error *err); /* *got 0: end */
int file_rewind(file_reader *r, pcv_error *err); /* to the file's beginning */
void file_close(file_reader *r);

/* A file mapped read-only. */
typedef struct file_map {
    const void *data;
    size_t size;
    char path[PATH_SIZE];
} file_map;
int file_map_open(file_map *map, const char *path, pcv_error *err);
void file_map_close(file_map *map);

/* A hash of bytes that come in pieces (hash_open). */
typedef struct hasher {
    void *state;
} hasher;

typedef struct file_writer {
    int fd; /* -1 when closed */
    char path[PATH_SIZE], temporary[PATH_SIZE];
    uint64_t size;
    hasher hash; /* of what was written */
    bool cut;   /* so that the hash is of more than the file */
    bool direct; /* a device or a pipe: written to as what it is */
} file_writer;
int file_create(file_writer *w, const char *path, pcv_error *err); /* sweeps what killed writers left of it */
int file_append(file_writer *w, const void *data, size_t size, pcv_error *err);
int file_truncate(file_writer *w, uint64_t size, pcv_error *err); /* goes on behind so many bytes, without a hash */
int file_commit(file_writer *w, pcv_error *err);
void file_abandon(file_writer *w);
void file_writer_hash(const file_writer *w, char hex[HASH_TEXT]);

/* Can a file of this name be written? For long work to ask before it begins. */
int file_check(const char *path, pcv_error *err);

/* All of the above for text that is in memory. */
int file_write(const char *path, const void *data, size_t size, pcv_error *err);

/* XXH3-128, of bytes that are there, that come in pieces, or that a file holds. */
void hash_bytes(const void *data, size_t size, char hex[HASH_TEXT]);
int hash_open(hasher *h, pcv_error *err);
void hash_add(hasher *h, const void *data, size_t size);
uint64_t hash_take(hasher *h); /* 64 bits of it; what is added from now on is another text */
void hash_close(hasher *h, char hex[HASH_TEXT]); /* hex NULL: nobody asks any more */
int hash_file(const char *path, char hex[HASH_TEXT], uint64_t *size, pcv_error *err);

/* An advisory lock that dies with the process. A second taker gets PCV_CANTCREATE and is told the
 * process and host that hold it. A link or a file with other contents is refused. */
int lock_take(int *fd, const char *path, pcv_error *err);
void lock_drop(int *fd);

#endif
