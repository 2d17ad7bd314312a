#include "data/inputs.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_TOLD = 12 }; /* named files and folders in one line */

/* A walk through folders: one path that grows and shrinks. */
typedef struct walk {
    input_list *list;
    const pcv_prepare_options *o;
    skipped *s;
    const char *folder; /* for the copy of standard input */
    int split;
    bool copied;
    size_t base;        /* where the name begins that the rules see: behind the input folder */
    int depth;          /* folders down from there */
    bool beside;        /* what has no split is left out: it stands beside the named ones */
    text line;          /* that tells which are named; */
    int told;           /* so many */
    char path[PATH_SIZE];
} walk;

/* ------------------------------------------------------------------ the walk */

static int visit(walk *w, bool is_named, pcv_error *err);

static int push(walk *w, const char *name, uint64_t size, pcv_error *err) {
    input_list *l = w->list;
    if (w->beside && w->split == DEALT)
        return skipped_add(w->s, SKIP_BESIDE, w->path, err, "%s: beside the splits that are named, and none of them",
                           name ? name : w->path);
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

/* What is visited next has a split by its name, unless that is DEALT. */
static void take_name(walk *w, int split) {
    static const char *const what[] = {"to train on", "to validate on", "to test on"};
    w->split = split;
    if (split == DEALT) return;
    w->list->given[split] = true;
    const char *front = w->told ? ", " : "splits as they are named: ";
    if (w->told++ < MOST_TOLD) text_add(&w->line, "%s%s %s", front, w->path + w->base, what[split]);
}

/* Visits "path/name", and takes the name off again. */
static int visit_child(walk *w, const char *name, pcv_error *err) {
    size_t size = strlen(w->path), more = strlen(name);
    if (size + more + 2 > sizeof w->path)
        return skipped_add(w->s, SKIP_UNREADABLE, w->path, err, "%.60s.../%.60s: the path is too long", w->path, name);
    w->path[size] = '/';
    memcpy(w->path + size + 1, name, more + 1);
    int before = w->split, status;
    w->depth++;
    if (before == DEALT && w->beside && w->depth <= NAMES_DEPTH) take_name(w, split_of_name(name));
    status = visit(w, false, err);
    w->split = before;
    w->depth--;
    w->path[size] = 0;
    return status;
}

static int visit_folder(walk *w, pcv_error *err) {
    file_list names = {0};
    pcv_error reason = {0};
    int status = folder_names(w->path, &names, &reason);
    if (status == PCV_MEMORY) status = fail(err, status, "%s", reason.message);
    else if (status) status = skipped_add(w->s, SKIP_UNREADABLE, w->path, err, "%s", reason.message);
    for (size_t i = 0; i < names.count && !status; i++) status = visit_child(w, names.paths[i], err);
    file_list_free(&names);
    return status;
}

static int visit(walk *w, bool is_named, pcv_error *err) {
    struct stat s;
    const char *relative = w->path + w->base;
    if (lstat(w->path, &s)) {
        bool is_missing = errno == ENOENT || errno == ENOTDIR;
        if (is_named && is_missing) return fail(err, PCV_NOINPUT, "%s: no such file or folder", w->path);
        return skipped_add(w->s, SKIP_UNREADABLE, w->path, err, "%s: %s", w->path, strerror(errno));
    }
    bool is_folder = path_is_folder(w->path);
    if (!(is_folder && is_named) &&
        (name_matches(w->o->exclude, relative) ||
         (!is_folder && w->o->include && !name_matches(w->o->include, relative)))) {
        w->s->left_out++;
        return 0;
    }
    if (is_folder && S_ISLNK(s.st_mode) && !is_named) /* they may form a circle */
        return skipped_add(w->s, SKIP_LINK, w->path, err, "%s: a link to a folder", w->path);
    if (is_folder) return visit_folder(w, err);
    if (!is_named && name_is_checksums(path_name(w->path)))
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

static int take(walk *w, const char *path, pcv_error *err) {
    if (!strcmp(path, "-")) return take_standard_input(w, err);
    int status = path_trim(w->path, path, err);
    if (status) return status;
    bool is_folder = path_is_folder(w->path);
    w->base = is_folder ? strlen(w->path) + 1 : (size_t)(path_name(w->path) - w->path);
    return visit(w, true, err);
}

static int take_given(walk *w, pcv_error *err) {
    int status = 0;
    for (w->split = 0; w->split < SPLITS; w->split++)
        for (const char *const *path = w->o->splits[w->split]; path && *path && !status; path++) {
            w->list->given[w->split] = true;
            status = take(w, *path, err);
        }
    return status;
}

/* An input whose name is that of a split, or one in which there may be such. */
static int take_input(walk *w, const char *path, bool are_named, pcv_error *err) {
    int split = w->list->by_name ? split_of_path(path) : DEALT;
    w->beside = w->list->by_name && (are_named || folder_has_names(path, w->o));
    w->split = DEALT;
    w->base = 0;
    if (!path_trim(w->path, path, NULL)) take_name(w, split);
    return take(w, path, err);
}

static int take_inputs(walk *w, pcv_error *err) {
    const char *const *paths = w->o->inputs;
    bool are_named = false;
    int status = 0;
    w->list->by_name = names_decide(w->o);
    for (size_t i = 0; paths && paths[i]; i++) are_named |= split_of_path(paths[i]) != DEALT;
    for (size_t i = 0; paths && paths[i] && !status; i++) status = take_input(w, paths[i], are_named, err);
    if (w->told > MOST_TOLD) text_add(&w->line, ", and %d more", w->told - MOST_TOLD);
    if (w->told && text_ok(&w->line)) watch_say(w->s->watch, "%s", w->line.data);
    text_free(&w->line);
    return status;
}

/* ------------------------------------------------------------------ the list */

static int by_split(const void *a, const void *b) {
    const input *x = a, *y = b;
    if (x->split != y->split) return y->split - x->split;
    return x->split == DEALT ? strcmp(y->path, x->path) : strcmp(x->path, y->path);
}

/* Is there anything to train on? */
static bool has_lessons(const input_list *list) {
    bool found = false;
    for (size_t i = 0; i < list->count; i++) found |= list->v[i].split == SPLIT_TRAIN || list->v[i].split == DEALT;
    return found;
}

int inputs_collect(input_list *list, const pcv_prepare_options *o, const char *folder, skipped *s, pcv_error *err) {
    walk *w;
    int status = mem_get(&w, sizeof *w, "a list of files", err);
    if (status) return status;
    *w = (walk){.list = list, .o = o, .s = s, .folder = folder};
    status = take_given(w, err);
    if (!status) status = take_inputs(w, err);
    mem_free(w);
    if (status) return status;
    if (list->by_name && !has_lessons(list))
        return fail(err, PCV_DATA, "nothing to train on: splits go by their names, and none is named train; "
                    "--split 90,5,5 deals the files whatever they are named");
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
