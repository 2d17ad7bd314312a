#include "base/temporary.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MARK[] = ".tmp-";

int temporary_name(char *out, const char *path, pcv_error *err) {
    int size = snprintf(out, PATH_SIZE, "%s%s%d", path, MARK, (int)getpid());
    return size < PATH_SIZE ? 0 : fail(err, PCV_USAGE, "%.60s...: the path is too long", path);
}

/* The length of NAME in "NAME.tmp-PID"; 0 for any other name. */
static size_t base_length(const char *name) {
    size_t size = strlen(name), digits = 0;
    while (digits < size && isdigit((unsigned char)name[size - 1 - digits])) digits++;
    size_t mark = sizeof MARK - 1, tail = mark + digits;
    if (digits == 0 || digits > 10 || size <= tail) return 0;
    return memcmp(name + size - tail, MARK, mark) ? 0 : size - tail;
}

static bool is_one_of(const char *name, const char *const *patterns) {
    for (; patterns && *patterns; patterns++)
        if (!fnmatch(*patterns, name, 0)) return true;
    return false;
}

/* Whether a name is one of the patterns, or a leftover of one. */
static bool is_known(const char *name, const char *const *patterns) {
    char base[PATH_SIZE];
    snprintf(base, sizeof base, "%.*s", (int)base_length(name), name);
    return is_one_of(name, patterns) || (base[0] && is_one_of(base, patterns));
}

int temporary_open(const char *temporary) {
    struct stat s;
    for (;;) {
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0) return -1;
        flock(fd, LOCK_EX); /* waits for nobody but a sweeper that was faster */
        if (fstat(fd, &s) || s.st_nlink) return fd;
        close(fd); /* and that took it for a leftover */
    }
}

/* ------------------------------------------------------------------ sweeping */

static bool is_dots(const char *name) { return !strcmp(name, ".") || !strcmp(name, ".."); }

int folder_remove(const char *path, const char *const *inside, pcv_error *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), status = 0;
    if (fd < 0 && errno == ENOENT) return 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        status = fail_errno(err, PCV_IO, "%s: cannot remove", path);
        if (fd >= 0) close(fd);
        return status;
    }
    struct stat s;
    for (struct dirent *d; !status && (d = readdir(dir));) {
        if (is_dots(d->d_name)) continue;
        bool regular = fstatat(fd, d->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(s.st_mode);
        if (!regular || !is_known(d->d_name, inside))
            status = fail(err, PCV_IO, "%s: holds '%s', which is not this program's; it is left as it is", path,
                          d->d_name);
    }
    rewinddir(dir);
    for (struct dirent *d; !status && (d = readdir(dir));)
        if (!is_dots(d->d_name) && unlinkat(fd, d->d_name, 0))
            status = fail_errno(err, PCV_IO, "%s/%s: cannot remove", path, d->d_name);
    closedir(dir);
    if (!status && rmdir(path)) status = fail_errno(err, PCV_IO, "%s: cannot remove", path);
    return status;
}

/* Removes folder/name, the name of a temporary, unless it is in use. */
static void sweep_one(const char *folder, const char *name, const char *const *inside) {
    char path[PATH_SIZE];
    struct stat s;
    if (path_join(path, folder, name, NULL)) return;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); /* a FIFO must not hang us */
    if (fd < 0 && errno == EISDIR) fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return;
    bool leftover = fstat(fd, &s) == 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (leftover && S_ISREG(s.st_mode)) unlink(path);
    if (leftover && S_ISDIR(s.st_mode) && inside) folder_remove(path, inside, NULL);
    close(fd);
}

void temporary_sweep(const char *path, const char *const *inside) {
    char parent[PATH_SIZE];
    const char *name = path_name(path);
    size_t size = strlen(name);
    path_parent(parent, path);
    DIR *dir = opendir(parent);
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (base_length(d->d_name) == size && !memcmp(d->d_name, name, size)) sweep_one(parent, d->d_name, inside);
    if (dir) closedir(dir);
}

void folder_sweep(const char *folder, const char *const *patterns, const char *const *inside) {
    DIR *dir = opendir(folder);
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (base_length(d->d_name) && is_known(d->d_name, patterns)) sweep_one(folder, d->d_name, inside);
    if (dir) closedir(dir);
}

/* ------------------------------------------------------------------ folders */

int folder_create(folder_writer *w, const char *path, const char *const *inside, pcv_error *err) {
    *w = (folder_writer){.fd = -1, .inside = inside};
    if (!path[0]) return fail(err, PCV_USAGE, "the name of the folder to make is empty");
    int status = path_trim(w->path, path, err);
    if (!status) status = temporary_name(w->temporary, w->path, err);
    if (status) return status;
    temporary_sweep(w->path, inside);
    if (mkdir(w->temporary, 0777)) return fail_errno(err, PCV_CANTCREATE, "%s: cannot create", path);
    w->fd = open(w->temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (w->fd < 0) {
        status = fail_errno(err, PCV_CANTCREATE, "%s: cannot create", path);
        rmdir(w->temporary);
        return status;
    }
    flock(w->fd, LOCK_EX | LOCK_NB); /* where the file system has locks */
    return 0;
}

int folder_commit(folder_writer *w, pcv_error *err) {
    int status = folder_sync(w->temporary, err);
    if (!status) status = path_publish(w->temporary, w->path, err);
    if (status) return status;
    close(w->fd);
    w->fd = -1;
    return 0;
}

void folder_abandon(folder_writer *w) {
    if (w->fd < 0) return;
    folder_remove(w->temporary, w->inside, NULL);
    close(w->fd);
    w->fd = -1;
}
