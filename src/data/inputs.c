#include "data/inputs.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/watch.h"

#include <errno.h>
#include <fnmatch.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* A walk through folders: one path that grows and shrinks. */
typedef struct walk {
    input_list *list;
    const pcv_prepare_options *o;
    skipped *s;
    const char *folder; /* for the copy of standard input */
    int split;
    bool copied;
    size_t base;        /* where the name begins that the rules see: behind the input folder */
    char path[PATH_SIZE];
} walk;

/* ------------------------------------------------------------------ names */

/* Do the rules name it, by the path within its input folder or by its last part? */
static bool matches(const char *const *rules, const char *relative) {
    for (; rules && *rules; rules++)
        if (!fnmatch(*rules, relative, 0) || !fnmatch(*rules, path_name(relative), 0)) return true;
    return false;
}

static bool is_any(const char *name, const char *const *patterns) {
    for (; *patterns; patterns++)
        if (!fnmatch(*patterns, name, FNM_CASEFOLD)) return true;
    return false;
}

static bool is_checksums(const char *name) {
    static const char *const patterns[] = {"sha*sum", "sha*sums", "md5sum", "md5sums", "b2sum", "b2sums", "checksums",
                                           "sha*sums.txt", "md5sums.txt", "checksums.txt", "*.md5", "*.sha1",
                                           "*.sha256", "*.sha512", NULL};
    return is_any(name, patterns);
}

static bool is_program(const char *name) {
    static const char *const patterns[] = {
        "*.py", "*.pyc", "*.ipynb", "*.c", "*.cc", "*.cpp", "*.h", "*.hpp", "*.cu", "*.js", "*.ts", "*.java", "*.go",
        "*.rs", "*.rb", "*.pl", "*.lua", "*.jl", "*.m", "*.r", "*.sh", "*.bat", "*.cs", "*.swift", "*.kt", "*.scala",
        "*.hs", "*.ml", "*.php", "*.yaml", "*.yml", "*.toml", "*.o", "*.so", NULL};
    return is_any(name, patterns);
}

/* The split that a name stands for, or DEALT: what is in front of its first dot counts. */
static int split_of_name(const char *name) {
    static const struct {
        const char *name;
        split_name split;
    } known[] = {{"train", SPLIT_TRAIN},    {"validation", SPLIT_VALIDATION}, {"valid", SPLIT_VALIDATION},
                 {"val", SPLIT_VALIDATION}, {"dev", SPLIT_VALIDATION},        {"test", SPLIT_TEST}};
    size_t size = strcspn(name, ".");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == size && !strncasecmp(known[i].name, name, size))
            return is_program(name) ? DEALT : (int)known[i].split;
    return DEALT;
}

/* The same of a path, which may end with slashes. */
static int split_of_path(const char *path) {
    char trimmed[PATH_SIZE];
    return path_trim(trimmed, path, NULL) ? DEALT : split_of_name(path_name(trimmed));
}

/* ------------------------------------------------------------------ the walk */

static int visit(walk *w, bool is_named, pcv_error *err);

static int push(walk *w, const char *name, uint64_t size, pcv_error *err) {
    input_list *l = w->list;
    if (l->count == l->capacity) {
        size_t capacity = 2 * l->capacity + 64;
        int status = mem_resize(&l->v, capacity * sizeof *l->v, "the file list", err);
        if (status) return status;
        l->capacity = capacity;
    }
    input *in = &l->v[l->count];
    *in = (input){.name = name, .size = size, .split = w->split, .is_given = w->split != DEALT};
    int status = mem_string(&in->path, w->path, err);
    if (status) return status;
    if (!name) in->name = in->path;
    l->count++;
    return 0;
}

/* Visits "path/name", and takes the name off again. */
static int visit_child(walk *w, const char *name, pcv_error *err) {
    size_t size = strlen(w->path), more = strlen(name);
    if (size + more + 2 > sizeof w->path)
        return skipped_add(w->s, SKIP_UNREADABLE, w->path, err, "%.60s.../%.60s: the path is too long", w->path, name);
    w->path[size] = '/';
    memcpy(w->path + size + 1, name, more + 1);
    int status = visit(w, false, err);
    w->path[size] = 0;
    return status;
}

static int visit_folder(walk *w, bool is_named, pcv_error *err) {
    file_list names = {0};
    pcv_error reason = {0};
    int status = folder_names(w->path, &names, &reason);
    if (status && (is_named || status == PCV_MEMORY)) status = fail(err, status, "%s", reason.message);
    else if (status) status = skipped_add(w->s, SKIP_UNREADABLE, w->path, err, "%s", reason.message);
    for (size_t i = 0; i < names.count && !status; i++) status = visit_child(w, names.paths[i], err);
    file_list_free(&names);
    return status;
}

static int visit(walk *w, bool is_named, pcv_error *err) {
    struct stat s;
    const char *relative = w->path + w->base;
    if (lstat(w->path, &s)) {
        if (is_named && errno == ENOENT) return fail(err, PCV_NOINPUT, "%s: no such file or folder", w->path);
        if (is_named) return fail_errno(err, PCV_NOINPUT, "%s", w->path);
        return skipped_add(w->s, SKIP_UNREADABLE, w->path, err, "%s: %s", w->path, strerror(errno));
    }
    bool is_folder = path_is_folder(w->path);
    if (!(is_folder && is_named) &&
        (matches(w->o->exclude, relative) || (!is_folder && w->o->include && !matches(w->o->include, relative)))) {
        w->s->left_out++;
        return 0;
    }
    if (is_folder && S_ISLNK(s.st_mode) && !is_named) /* they may form a circle */
        return skipped_add(w->s, SKIP_LINK, w->path, err, "%s: a link to a folder", w->path);
    if (is_folder) return visit_folder(w, is_named, err);
    if (!is_named && is_checksums(path_name(w->path)))
        return skipped_add(w->s, SKIP_CHECKSUMS, w->path, err, "%s: a list of checksums", w->path);
    return push(w, NULL, S_ISREG(s.st_mode) ? (uint64_t)s.st_size : 0, err);
}

/* ------------------------------------------------------------------ what is named */

/* Whoever types it can interrupt it, too. */
static int wait_for_input(const walk *w, uint64_t so_far, pcv_error *err) {
    enum { PATIENCE = 200 }; /* milliseconds */
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    pcv_progress p = {.stage = "reading standard input", .done = (double)so_far};
    do {
        if (watch_ask(w->s->watch, &p) == PCV_STOP)
            return fail(err, PCV_INTERRUPTED, "interrupted; nothing was written");
    } while (poll(&ready, 1, PATIENCE) <= 0);
    return 0;
}

static int copy_input(const walk *w, file_writer *file, pcv_error *err) {
    char piece[1 << 16];
    for (ssize_t n = 1; n;) {
        int status = wait_for_input(w, file->size, err);
        if (status) return status;
        n = read(STDIN_FILENO, piece, sizeof piece);
        if (n < 0 && errno != EINTR && errno != EAGAIN) return fail_errno(err, PCV_IO, "standard input");
        if (n > 0) status = file_append(file, piece, (size_t)n, err);
        if (status) return status;
    }
    return file_commit(file, err);
}

/* Standard input cannot be read twice, or be cut, so it becomes a file. */
static int take_standard_input(walk *w, pcv_error *err) {
    file_writer file = {.fd = -1};
    int status = 0;
    if (w->copied) return fail(err, PCV_USAGE, "'-', standard input, can be read once");
    w->copied = true;
    TRY(path_join(w->path, w->folder, INPUT_COPY, err));
    TRY(file_create(&file, w->path, err));
    TRY(copy_input(w, &file, err));
    TRY(push(w, "standard input", file.size, err));
out:
    file_abandon(&file);
    return status;
}

static int take(walk *w, const char *path, int split, pcv_error *err) {
    w->split = split;
    if (!strcmp(path, "-")) return take_standard_input(w, err);
    int status = path_trim(w->path, path, err);
    if (status) return status;
    bool is_folder = path_is_folder(w->path);
    w->base = is_folder ? strlen(w->path) + 1 : (size_t)(path_name(w->path) - w->path);
    return visit(w, true, err);
}

/* Does it hold a part to train on and another? */
static bool names_splits(const walk *w, const char *const *paths, size_t count) {
    bool found[3] = {false};
    for (size_t i = 0; i < count && !w->o->split_percent; i++) {
        int split = split_of_path(paths[i]);
        if (split != DEALT) found[split] = true;
    }
    return found[SPLIT_TRAIN] && (found[SPLIT_VALIDATION] || found[SPLIT_TEST]);
}

static void tell_names(const walk *w, const char *const *names, size_t count) {
    static const char *const what[] = {"to train on", "to validate on", "to test on"};
    text line = {0};
    text_add(&line, "splits as they are named: ");
    const char *between = "";
    for (size_t i = 0; i < count; i++) {
        int split = split_of_path(names[i]);
        if (split == DEALT) continue;
        text_add(&line, "%s%s %s", between, names[i], what[split]);
        between = ", ";
    }
    if (text_ok(&line)) watch_say(w->s->watch, "%s", line.data);
    text_free(&line);
}

/* The children of a folder whose names are those of splits. */
static int take_named_folder(walk *w, const char *path, const file_list *names, pcv_error *err) {
    int status = path_trim(w->path, path, err);
    w->base = strlen(w->path) + 1;
    for (size_t i = 0; i < names->count && !status; i++) {
        w->split = split_of_name(names->paths[i]);
        if (w->split != DEALT) {
            w->list->given[w->split] = true;
            status = visit_child(w, names->paths[i], err);
            continue;
        }
        char beside[PATH_SIZE];
        if (is_checksums(names->paths[i]) || path_join(beside, w->path, names->paths[i], NULL)) continue;
        status = skipped_add(w->s, SKIP_BESIDE, beside, err, "%s: beside the splits that are named, and none of them",
                             beside);
    }
    return status;
}

static int take_input(walk *w, const char *path, pcv_error *err) {
    file_list names = {0};
    pcv_error reason;
    int status = path_is_folder(path) ? folder_names(path, &names, &reason) : 0;
    if (!status && names_splits(w, (const char *const *)names.paths, names.count)) {
        tell_names(w, (const char *const *)names.paths, names.count);
        status = take_named_folder(w, path, &names, err);
    } else {
        status = take(w, path, DEALT, err);
    }
    file_list_free(&names);
    return status;
}

/* The inputs, side by side. */
static int take_inputs(walk *w, pcv_error *err) {
    const char *const *paths = w->o->inputs;
    size_t count = 0;
    int status = 0;
    while (paths && paths[count]) count++;
    bool are_named = names_splits(w, paths, count);
    if (are_named) tell_names(w, paths, count);
    for (size_t i = 0; i < count && !status; i++) {
        int split = split_of_path(paths[i]);
        if (!are_named) status = take_input(w, paths[i], err);
        else if (split == DEALT)
            status = skipped_add(w->s, SKIP_BESIDE, paths[i], err,
                                 "%s: beside the splits that are named, and none of them", paths[i]);
        else {
            w->list->given[split] = true;
            status = take(w, paths[i], split, err);
        }
    }
    return status;
}

/* ------------------------------------------------------------------ the list */

static int by_split(const void *a, const void *b) {
    const input *x = a, *y = b;
    if (x->split != y->split) return y->split - x->split;
    return x->split == DEALT ? strcmp(y->path, x->path) : strcmp(x->path, y->path);
}

int inputs_collect(input_list *list, const pcv_prepare_options *o, const char *folder, skipped *s, pcv_error *err) {
    walk *w;
    int status = mem_get(&w, sizeof *w, "a list of files", err);
    if (status) return status;
    *w = (walk){.list = list, .o = o, .s = s, .folder = folder};
    for (int split = 0; split < 3; split++)
        for (const char *const *path = o->splits[split]; path && *path && !status; path++) {
            list->given[split] = true;
            status = take(w, *path, split, err);
        }
    if (!status) status = take_inputs(w, err);
    mem_free(w);
    if (status) return status;
    if (list->count) qsort(list->v, list->count, sizeof *list->v, by_split);
    else if (!skipped_files(s) && !s->left_out) return fail(err, PCV_NOINPUT, "no input files");
    return 0;
}

void inputs_shuffle(input_list *list, uint64_t seed) {
    rng r = rng_make(seed, RNG_SPLIT, 0);
    size_t at = 0;
    while (at < list->count && list->v[at].split != DEALT) at++;
    for (; at + 1 < list->count; at++) {
        input *a = &list->v[at], *b = &list->v[list->count - 1 - rng_below(&r, list->count - at)], swap = *a;
        *a = *b;
        *b = swap;
    }
}

void inputs_free(input_list *list) {
    for (size_t i = 0; i < list->count; i++) mem_free(list->v[i].path);
    mem_free(list->v);
    *list = (input_list){0};
}
