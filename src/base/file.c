/* Files by system calls, because every one of them can fail and the error must say where.
 *
 * What is written gets its name last: the bytes are flushed, then renamed, then the folder is flushed; the lock on
 * the temporary file is held until then, so that nobody sweeps it. What stands under the name already is looked at
 * before anything is made: a link is neither followed nor replaced, a device or a pipe is written to as it is.
 * Reading goes by read() where it can, because under a map a file that shrinks or a bad disk is a signal; what is
 * mapped (token files) is read at random and may be larger than memory. */
#include "base/file.h"
#include "base/mem.h"
#include "base/temporary.h"
#include "base/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    READ_PIECE = 1 << 16, /* bytes by which the memory for a file of unknown size grows at least */
    PATIENCE = 100,       /* milliseconds between two questions of whether to wait on */
};

/* ------------------------------------------------------------------ paths */

int path_join(char *out, const char *folder, const char *name, pcv_error *err) {
    int size = snprintf(out, PATH_SIZE, "%s/%s", folder, name);
    if (size >= PATH_SIZE) return fail(err, PCV_USAGE, "%.60s...: the path is too long", folder);
    return 0;
}

int path_own(char *out, const char *folder, const char *name, pcv_error *err) {
    struct stat s;
    int status = path_join(out, folder, name, err);
    if (status || lstat(out, &s) || S_ISREG(s.st_mode)) return status;
    return fail(err, PCV_CANTCREATE, "%s: is no regular file; move it away, or remove it", out);
}

int path_trim(char *out, const char *path, pcv_error *err) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    if (size >= PATH_SIZE) return fail(err, PCV_USAGE, "%.60s...: the path is too long", path);
    memcpy(out, path, size);
    out[size] = 0;
    return 0;
}

void path_absolute(char *out, const char *path) {
    char real[PATH_MAX];
    bool there = realpath(path, real) && strlen(real) < PATH_SIZE;
    snprintf(out, PATH_SIZE, "%s", there ? real : path);
}

const char *path_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int path_format(const char *path, const char *const *formats, int *which, pcv_error *err) {
    const char *name = path_name(path), *ending = strrchr(name, '.');
    char known[128] = "";
    for (*which = 0; ending && ending != name && ending[1] && formats[*which]; ++*which) {
        size_t used = strlen(known);
        if (!strcasecmp(ending, formats[*which])) return 0;
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", formats[*which]);
    }
    if (!*which) return 0;
    return fail(err, PCV_USAGE, "%s: no '%s' file can be written here, expected %s", path, ending, known);
}

void path_parent(char *out, const char *path) {
    size_t size = (size_t)(path_name(path) - path);
    snprintf(out, PATH_SIZE, "%.*s", size ? (int)size : 1, size ? path : ".");
}

bool path_exists(const char *path) {
    struct stat s;
    return lstat(path, &s) == 0;
}

bool path_is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

bool path_is_file(const char *path) {
    struct stat s;
    return lstat(path, &s) == 0 && S_ISREG(s.st_mode);
}

int path_remove(const char *path, pcv_error *err) {
    struct stat s;
    if (lstat(path, &s)) return errno == ENOENT ? 0 : fail_errno(err, PCV_IO, "%s", path);
    if (!S_ISDIR(s.st_mode))
        return unlink(path) ? fail_errno(err, PCV_IO, "%s: cannot remove", path) : 0;
    DIR *dir = opendir(path);
    if (!dir) return fail_errno(err, PCV_IO, "%s", path);
    int status = 0;
    char child[PATH_SIZE];
    for (struct dirent *d; !status && (d = readdir(dir));) {
        if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")) continue;
        status = path_join(child, path, d->d_name, err);
        if (!status) status = path_remove(child, err);
    }
    closedir(dir);
    if (!status && rmdir(path)) status = fail_errno(err, PCV_IO, "%s: cannot remove", path);
    return status;
}

/* mkdir, and before it those of the parents; `there` says whether the folder itself may be there. */
static int make_folder(const char *path, bool there, pcv_error *err) {
    char trimmed[PATH_SIZE], parent[PATH_SIZE];
    if (!path[0]) return fail(err, PCV_USAGE, "the name of the folder to make is empty");
    int status = path_trim(trimmed, path, err);
    if (status || (there && path_is_folder(trimmed))) return status;
    path_parent(parent, trimmed);
    if (!path_is_folder(parent) && strcmp(parent, trimmed)) status = make_folder(parent, true, err);
    if (status || mkdir(trimmed, 0777) == 0) return status;
    int reason = errno;
    if (there && path_is_folder(trimmed)) return 0; /* another process was faster */
    if (there && reason == EEXIST) return fail(err, PCV_CANTCREATE, "%s: is a file, expected a folder", trimmed);
    errno = reason;
    return fail_errno(err, PCV_CANTCREATE, "%s: cannot create", path);
}

int folder_make(const char *path, pcv_error *err) { return make_folder(path, true, err); }

int folder_make_new(const char *path, pcv_error *err) { return make_folder(path, false, err); }

int folder_make_in(const char *path, pcv_error *err) {
    if (path_is_folder(path) || mkdir(path, 0777) == 0) return 0;
    return fail_errno(err, PCV_IO, "%s: cannot create", path);
}

int folder_sync(const char *path, pcv_error *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_errno(err, PCV_IO, "%s: cannot open", path);
    int failed = fsync(fd) && errno != EINVAL; /* some file systems cannot flush folders */
    if (failed) fail_errno(err, PCV_IO, "%s: cannot flush", path);
    close(fd);
    return failed ? PCV_IO : 0;
}

int path_publish(const char *from, const char *to, pcv_error *err) {
    if (rename(from, to)) return fail_errno(err, PCV_IO, "%s: cannot rename to %s", from, to);
    char parent[PATH_SIZE];
    path_parent(parent, to);
    return folder_sync(parent, err);
}

int path_free_bytes(const char *path, uint64_t *bytes, pcv_error *err) {
    struct statvfs s;
    if (statvfs(path, &s)) return fail_errno(err, PCV_IO, "%s", path);
    *bytes = (uint64_t)s.f_bavail * s.f_frsize;
    return 0;
}

int folder_hold(folder_held *h, const char *path, pcv_error *err) {
    snprintf(h->path, sizeof h->path, "%s", path);
    h->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return h->fd < 0 ? fail_errno(err, PCV_IO, "%s: cannot open", path) : 0;
}

int folder_still(const folder_held *h, pcv_error *err) {
    struct stat held, named;
    bool same = fstat(h->fd, &held) == 0 && stat(h->path, &named) == 0 && held.st_dev == named.st_dev &&
                held.st_ino == named.st_ino;
    return same ? 0 : fail(err, PCV_IO, "%s: has been removed or renamed", h->path);
}

void folder_let_go(folder_held *h) {
    if (h->fd >= 0) close(h->fd);
    h->fd = -1;
}

/* ------------------------------------------------------------------ lists */

static int list_push(file_list *list, const char *path, pcv_error *err) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 16;
        int status = mem_resize(&list->paths, capacity * sizeof *list->paths, "a file list", err);
        if (status) return status;
        list->capacity = capacity;
    }
    int status = mem_string(&list->paths[list->count], path, err);
    if (!status) list->count++;
    return status;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_sort(file_list *list) {
    if (list->count) qsort(list->paths, list->count, sizeof *list->paths, by_name);
}

int folder_names(const char *path, file_list *list, pcv_error *err) {
    DIR *dir = opendir(path);
    if (!dir) return fail_errno(err, errno == ENOENT ? PCV_NOINPUT : PCV_IO, "%s", path);
    int status = 0;
    errno = 0; /* a folder's end and an error look alike but for this */
    for (struct dirent *d; !status && (d = readdir(dir)); errno = 0)
        if (d->d_name[0] != '.') status = list_push(list, d->d_name, err);
    if (!status && errno) status = fail_errno(err, PCV_IO, "%s", path);
    closedir(dir);
    list_sort(list);
    return status;
}

int file_list_add(file_list *list, const char *path, pcv_error *err) {
    if (!path_exists(path)) return fail(err, PCV_NOINPUT, "%s: no such file or folder", path);
    if (!path_is_folder(path)) return list_push(list, path, err);
    int status = 0;
    file_list names = {0};
    char child[PATH_SIZE];
    TRY(folder_names(path, &names, err));
    for (size_t i = 0; i < names.count; i++) {
        TRY(path_join(child, path, names.paths[i], err));
        struct stat s; /* links to folders are not followed: they may form a circle */
        if (lstat(child, &s)) continue;
        bool linked_folder = S_ISLNK(s.st_mode) && path_is_folder(child);
        if (!linked_folder) TRY(file_list_add(list, child, err));
    }
out:
    file_list_free(&names);
    return status;
}

void file_list_free(file_list *list) {
    for (size_t i = 0; i < list->count; i++) mem_free(list->paths[i]);
    mem_free(list->paths);
    *list = (file_list){0};
}

/* ------------------------------------------------------------------ reading */

static int open_regular(const char *path, size_t *size, pcv_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    bool missing = errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENAMETOOLONG;
    if (fd < 0) fail_errno(err, missing ? PCV_NOINPUT : PCV_IO, "%s", path);
    struct stat s;
    if (fd >= 0 && (fstat(fd, &s) || !S_ISREG(s.st_mode))) {
        fail(err, PCV_NOINPUT, "%s: not a regular file", path);
        close(fd);
        fd = -1;
    }
    if (fd >= 0) *size = (size_t)s.st_size;
    return fd;
}

/* Until another process writes into a pipe or reads from it; whoever watches can end that. */
static int wait_for(int fd, short events, const char *stage, pcv_error *err) {
    struct pollfd ready = {.fd = fd, .events = events};
    int status;
    do status = watch_wait(stage, err);
    while (!status && poll(&ready, 1, PATIENCE) <= 0);
    return status;
}

/* PCV_IO: errno says why, and *done where. */
static int write_all(int fd, const char *data, size_t size, size_t *done, pcv_error *err) {
    for (*done = 0; *done < size;) {
        ssize_t n = write(fd, data + *done, size - *done);
        int status = n < 0 && errno == EAGAIN ? wait_for(fd, POLLOUT, "waiting for who reads", err) : 0;
        if (status) return status;
        if (n < 0 && errno != EINTR && errno != EAGAIN) return PCV_IO;
        if (n > 0) *done += (size_t)n;
    }
    return 0;
}

/* What a pipe has by now; *got 0: its end. */
static int next_of_pipe(int pipe, char *piece, size_t size, size_t *got, pcv_error *err) {
    ssize_t n;
    do {
        int status = wait_for(pipe, POLLIN, "waiting for standard input", err);
        if (status) return status;
        n = read(pipe, piece, size);
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    *got = n > 0 ? (size_t)n : 0;
    return n < 0 ? fail_errno(err, PCV_IO, "%s", STANDARD_INPUT) : 0;
}

/* The rest of a pipe in a file without a name, which can be read again and sought in; -1 with the error. */
static int keep_pipe(int pipe, size_t *size, pcv_error *err) {
    FILE *nameless = tmpfile();
    int kept = nameless ? fcntl(fileno(nameless), F_DUPFD_CLOEXEC, 3) : -1;
    char piece[READ_PIECE];
    size_t done;
    int status = kept < 0 ? fail_errno(err, PCV_CANTCREATE, "%s: no temporary file for it", STANDARD_INPUT) : 0;
    if (nameless) fclose(nameless);
    *size = 0;
    for (size_t got = 1; got && !status; *size += got) {
        status = next_of_pipe(pipe, piece, sizeof piece, &got, err);
        if (!status && write_all(kept, piece, got, &done, err))
            status = fail_errno(err, PCV_IO, "%s: cannot keep it in a temporary file", STANDARD_INPUT);
    }
    if (!status && !lseek(kept, 0, SEEK_SET)) return kept;
    if (!status) fail_errno(err, PCV_IO, "%s", STANDARD_INPUT);
    if (kept >= 0) close(kept);
    return -1;
}

static int open_standard_input(size_t *size, pcv_error *err) {
    struct stat s;
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        fail_errno(err, PCV_NOINPUT, "%s", STANDARD_INPUT);
        return -1;
    }
    bool whole = fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && lseek(fd, 0, SEEK_CUR) == 0;
    if (whole) *size = (size_t)s.st_size;
    if (whole) return fd;
    int kept = keep_pipe(fd, size, err);
    close(fd);
    return kept;
}

/* A file that a user names: a regular one, or standard input as "-". */
static int open_input(const char *path, size_t *size, pcv_error *err) {
    return strcmp(path, "-") ? open_regular(path, size, err) : open_standard_input(size, err);
}

/* All that fd has, followed by a zero byte; `size` is a guess, which holds for files that do not change. */
static int read_all(int fd, const char *path, size_t size, size_t limit, file_bytes *out, pcv_error *err) {
    file_reader r = {.fd = fd};
    size_t room = size + 1, got = 1; /* one more, to meet the end */
    snprintf(r.path, sizeof r.path, "%s", path);
    int status = mem_get(&out->data, room + 1, path, err);
    while (!status && got) {
        if (out->size == room) status = mem_resize(&out->data, (room = 2 * room + READ_PIECE) + 1, path, err);
        if (!status) status = file_next(&r, out->data + out->size, room - out->size, &got, err);
        if (!status && (out->size += got) > limit)
            status = fail(err, PCV_DATA, "%s: more than the %zu bytes that are read", path, limit);
    }
    if (!status) out->data[out->size] = 0;
    return status;
}

int file_read(const char *path, size_t limit, file_bytes *out, pcv_error *err) {
    size_t size = 0;
    *out = (file_bytes){0};
    pcv_error reason = {.code = PCV_IO};
    int fd = open_input(path, &size, &reason);
    if (fd < 0) return fail(err, reason.code, "%s", reason.message);
    int status = size > limit ? fail(err, PCV_DATA, "%s: %zu bytes, at most %zu are read", path, size, limit) : 0;
    if (!status) status = read_all(fd, path, size, limit, out, err);
    close(fd);
    if (status) file_bytes_free(out);
    return status;
}

void file_bytes_free(file_bytes *b) {
    mem_free(b->data);
    *b = (file_bytes){0};
}

int file_open(file_reader *r, const char *path, pcv_error *err) {
    size_t size;
    pcv_error reason = {.code = PCV_IO};
    snprintf(r->path, sizeof r->path, "%s", strcmp(path, "-") ? path : STANDARD_INPUT);
    r->fd = open_input(path, &size, &reason);
    return r->fd < 0 ? fail(err, reason.code, "%s", reason.message) : 0;
}

int file_next(file_reader *r, void *buffer, size_t size, size_t *got, pcv_error *err) {
    for (*got = 0; *got < size;) {
        ssize_t n = read(r->fd, (char *)buffer + *got, size - *got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno(err, PCV_IO, "%s", r->path);
        if (n == 0) break;
        *got += (size_t)n;
    }
    return 0;
}

int file_rewind(file_reader *r, pcv_error *err) {
    return lseek(r->fd, 0, SEEK_SET) ? fail_errno(err, PCV_IO, "%s", r->path) : 0;
}

void file_close(file_reader *r) {
    if (r->fd >= 0) close(r->fd);
    r->fd = -1;
}

int file_map_open(file_map *map, const char *path, pcv_error *err) {
    *map = (file_map){0};
    pcv_error reason = {.code = PCV_IO};
    size_t size = 0;
    int fd = open_regular(path, &size, &reason);
    if (fd < 0) return fail(err, reason.code, "%s", reason.message);
    const void *data = "";
    if (size) data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    int status = data == MAP_FAILED ? fail_errno(err, PCV_IO, "%s: cannot map", path) : 0;
    close(fd);
    if (status) return status;
    map->data = data;
    map->size = size;
    snprintf(map->path, sizeof map->path, "%s", path);
    return 0;
}

void file_map_close(file_map *map) {
    if (map->size) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (file_map){0};
}

/* ------------------------------------------------------------------ writing */

/* A name that a file can have: "" and folders are none. */
static int check_name(const char *path, pcv_error *err) {
    if (!path[0]) return fail(err, PCV_USAGE, "the name of the file to write is empty");
    if (path_is_folder(path)) return fail(err, PCV_CANTCREATE, "%s: is a folder, expected a name for a file", path);
    return 0;
}

static bool is_standard_output(const char *path) { return !strcmp(path, "-"); }

/* What stands under the name already. A file gives way to the new one; a device or a pipe is written to as what it
 * is. A link is neither replaced nor followed, since its target is not what was named and, in a folder from elsewhere,
 * may be any file of the machine; but those in /dev, like /dev/stdout, are what they lead to. */
static int look_under(const char *path, bool *direct, pcv_error *err) {
    struct stat s;
    *direct = is_standard_output(path);
    if (*direct || lstat(path, &s)) return 0; /* nothing, or creating it will say what is wrong */
    bool link = S_ISLNK(s.st_mode);
    if (link && (strncmp(path, "/dev/", 5) || stat(path, &s)))
        return fail(err, PCV_CANTCREATE, "%s: is a link; name the file that it leads to, or remove it", path);
    *direct = link || S_ISCHR(s.st_mode) || S_ISBLK(s.st_mode) || S_ISFIFO(s.st_mode);
    return 0;
}

/* A pipe that nobody reads cannot be opened yet. */
static int open_at_last(file_writer *w, pcv_error *err) {
    struct stat s;
    if (is_standard_output(w->path)) {
        w->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        return w->fd < 0 ? fail_errno(err, PCV_CANTCREATE, "standard output") : 0;
    }
    for (;;) {
        w->fd = open(w->path, O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        bool unread = w->fd < 0 && errno == ENXIO && !stat(w->path, &s) && S_ISFIFO(s.st_mode);
        if (!unread) return w->fd < 0 ? fail_errno(err, PCV_CANTCREATE, "%s: cannot open", w->path) : 0;
        int status = watch_wait("waiting for who reads", err);
        if (status) return status;
        poll(NULL, 0, PATIENCE);
    }
}

/* Behind what is there, where standard output is a file. */
static int open_direct(file_writer *w, pcv_error *err) {
    struct stat s;
    int status = open_at_last(w, err);
    if (w->fd >= 0 && !fstat(w->fd, &s) && S_ISREG(s.st_mode)) lseek(w->fd, 0, SEEK_END);
    if (status) file_abandon(w);
    return status;
}

int file_create(file_writer *w, const char *path, pcv_error *err) {
    *w = (file_writer){.fd = -1};
    int status = check_name(path, err);
    if (!status) status = look_under(path, &w->direct, err);
    if (!status) status = temporary_name(w->temporary, path, err);
    if (status) return status;
    if (w->direct) w->temporary[0] = 0;
    snprintf(w->path, sizeof w->path, "%s", path);
    status = hash_open(&w->hash, err);
    if (status) return status;
    if (w->direct) return open_direct(w, err);
    temporary_sweep(path, NULL);
    w->fd = temporary_open(w->temporary);
    if (w->fd >= 0) return 0;
    status = fail_errno(err, PCV_CANTCREATE, "%s: cannot create", path);
    w->temporary[0] = 0; /* which is somebody else's, if it is there */
    file_abandon(w);
    return status;
}

int file_check(const char *path, pcv_error *err) {
    static const char block[4096]; /* a full disk still makes empty files */
    file_writer w;
    bool direct;
    int status = look_under(path, &direct, err);
    if (!status && direct) {
        bool closed = !is_standard_output(path) && access(path, W_OK);
        return closed ? fail_errno(err, PCV_CANTCREATE, "%s: cannot write", path) : 0;
    }
    if (!status) status = file_create(&w, path, err);
    if (status) return status;
    status = file_append(&w, block, sizeof block, err);
    file_abandon(&w);
    return status;
}

int file_append(file_writer *w, const void *data, size_t size, pcv_error *err) {
    hash_add(&w->hash, data, size);
    size_t done;
    int status = write_all(w->fd, data, size, &done, err);
    if (status == PCV_IO)
        return fail_errno(err, PCV_IO, "%s: cannot write at byte %llu", w->path, (unsigned long long)(w->size + done));
    w->size += done;
    return status;
}

int file_truncate(file_writer *w, uint64_t size, pcv_error *err) {
    CHECK(size <= w->size, "%s: cut at %llu of %llu bytes", w->path, (unsigned long long)size,
          (unsigned long long)w->size);
    if (ftruncate(w->fd, (off_t)size) || lseek(w->fd, (off_t)size, SEEK_SET) < 0)
        return fail_errno(err, PCV_IO, "%s: cannot go back to byte %llu", w->path, (unsigned long long)size);
    w->size = size;
    w->cut = true;
    return 0;
}

int file_commit(file_writer *w, pcv_error *err) {
    int status = 0, lock = w->direct ? -1 : dup(w->fd); /* held until the file has its name */
    if (!w->direct && fsync(w->fd)) status = fail_errno(err, PCV_IO, "%s: cannot flush", w->path);
    if (close(w->fd) && !status) status = fail_errno(err, PCV_IO, "%s: cannot close", w->path);
    w->fd = -1;
    if (!status && !w->direct) status = path_publish(w->temporary, w->path, err);
    if (!status) w->temporary[0] = 0;
    file_abandon(w);
    if (lock >= 0) close(lock);
    return status;
}

void file_abandon(file_writer *w) {
    if (w->fd >= 0) close(w->fd);
    if (w->hash.state && w->temporary[0]) unlink(w->temporary);
    hash_close(&w->hash, NULL);
    w->fd = -1;
}

static void hash_text(XXH128_hash_t hash, char hex[HASH_TEXT]) {
    snprintf(hex, HASH_TEXT, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

void file_writer_hash(const file_writer *w, char hex[HASH_TEXT]) {
    CHECK(!w->cut, "%s: the hash of a file that was cut", w->path);
    hash_text(XXH3_128bits_digest(w->hash.state), hex);
}

int file_write(const char *path, const void *data, size_t size, pcv_error *err) {
    file_writer w;
    int status = file_create(&w, path, err);
    if (status) return status;
    TRY(file_append(&w, data, size, err));
    TRY(file_commit(&w, err));
out:
    file_abandon(&w);
    return status;
}

void hash_bytes(const void *data, size_t size, char hex[HASH_TEXT]) {
    hash_text(XXH3_128bits(data, size), hex);
}

int hash_open(hasher *h, pcv_error *err) {
    h->state = XXH3_createState();
    if (!h->state) return fail(err, PCV_MEMORY, "not enough memory for a checksum");
    XXH3_128bits_reset(h->state);
    return 0;
}

void hash_add(hasher *h, const void *data, size_t size) { XXH3_128bits_update(h->state, data, size); }

uint64_t hash_take(hasher *h) {
    uint64_t hash = XXH3_128bits_digest(h->state).low64;
    XXH3_128bits_reset(h->state);
    return hash;
}

void hash_close(hasher *h, char hex[HASH_TEXT]) {
    if (hex && h->state) hash_text(XXH3_128bits_digest(h->state), hex);
    XXH3_freeState(h->state);
    h->state = NULL;
}

/* Read, not mapped: a disk's error or a file that shrinks is an error then, and no signal. */
int hash_file(const char *path, char hex[HASH_TEXT], uint64_t *size, pcv_error *err) {
    enum { PIECE = 1 << 18 };
    file_reader r = {.fd = -1};
    hasher h = {NULL};
    char *piece = NULL;
    int status = 0;
    *size = 0;
    TRY(file_open(&r, path, err));
    TRY(hash_open(&h, err));
    TRY(mem_get(&piece, PIECE, "a read buffer", err));
    for (size_t got = 1; got; *size += got) {
        TRY(file_next(&r, piece, PIECE, &got, err));
        hash_add(&h, piece, got);
    }
out:
    hash_close(&h, status ? NULL : hex);
    file_close(&r);
    mem_free(piece);
    return status;
}

/* ------------------------------------------------------------------ locks */

/* What takes a lock writes its name into the file, so that a file with other contents is not for locking. */
static const char OWNER[] = "process ";

static int open_lock(const char *path, pcv_error *err) {
    char owner[sizeof OWNER] = {0};
    struct stat s;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 && errno == ELOOP) fail(err, PCV_CANTCREATE, "%s: is a link, expected a lock; remove it", path);
    else if (fd < 0) fail_errno(err, PCV_CANTCREATE, "%s: cannot open", path);
    if (fd < 0) return -1;
    ssize_t n = fstat(fd, &s) || !S_ISREG(s.st_mode) ? -1 : pread(fd, owner, sizeof OWNER - 1, 0);
    if (n == 0 || (n > 0 && !strcmp(owner, OWNER))) return fd;
    fail(err, PCV_CANTCREATE, "%s: is not a lock but something else of that name; move it away", path);
    close(fd);
    return -1;
}

int lock_take(int *fd, const char *path, pcv_error *err) {
    *fd = open_lock(path, err);
    if (*fd < 0) return PCV_CANTCREATE;
    char owner[256] = {0};
    if (flock(*fd, LOCK_EX | LOCK_NB)) {
        bool used = errno == EWOULDBLOCK;
        int status = fail_errno(err, PCV_CANTCREATE, "%s: cannot lock", path);
        ssize_t n = pread(*fd, owner, sizeof owner - 1, 0);
        owner[n > 0 ? n : 0] = 0;
        lock_drop(fd);
        if (!used) return status;
        return fail(err, PCV_CANTCREATE, "%s: in use by %s", path, owner[0] ? owner : "another process");
    }
    char host[128] = {0};
    gethostname(host, sizeof host - 1);
    int size = snprintf(owner, sizeof owner, "%s%d on %s", OWNER, (int)getpid(), host);
    if (ftruncate(*fd, 0) || pwrite(*fd, owner, (size_t)size, 0) != size)
        return fail_errno(err, PCV_IO, "%s: cannot write", path);
    return 0;
}

void lock_drop(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}
