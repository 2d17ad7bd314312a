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
typedef struct folder_walk {
    input_list *list;
    const pcv_prepare_options *o;
    const data_kind *kind; /* or NULL */
    skipped *s;
    const char *folder; /* for the copy of standard input */
    int split;
    bool copied;
    size_t base;        /* where the name begins that the rules see: behind the input folder */
    int depth;          /* folders down from there */
    size_t key;         /* of the folder that is a document, with its slash; 0: in none */
    int64_t documents;  /* so far */
    bool beside;        /* what has no split is left out: it stands beside the named ones */
    text line;          /* that tells which are named; */
    int told;           /* so many */
    char path[PATH_SIZE];
} folder_walk;

/* ------------------------------------------------------------------ the walk */

static int visit(folder_walk *walk, bool is_named, pcv_error *err);

static int push(folder_walk *walk, const char *name, uint64_t size, pcv_error *err) {
    input_list *l = walk->list;
    if (walk->beside && walk->split == DEALT)
        return skipped_add(walk->s, SKIP_BESIDE, walk->path, err,
                           "%s: beside the splits that are named, and none of them", name ? name : walk->path);
    if (l->count == l->capacity) {
        size_t capacity = 2 * l->capacity + 64;
        int status = mem_resize(&l->v, capacity * sizeof *l->v, "the file list", err);
        if (status) return status;
        l->capacity = capacity;
    }
    input *in = &l->v[l->count];
    *in = (input){.name = name, .size = size, .split = walk->split, .is_given = walk->split != DEALT,
                  .base = walk->base, .label = -1};
    int status = mem_string(&in->path, walk->path, err);
    if (status) return status;
    if (!name) in->name = in->path;
    in->is_first = walk->kind && walk->kind->first;
    in->key = walk->key ? walk->key : strlen(in->path);
    in->document = walk->key ? walk->documents : ++walk->documents;
    l->count++;
    return 0;
}

/* What is visited next has a split by its name, unless that is DEALT. */
static void take_name(folder_walk *walk, int split) {
    static const char *const what[] = {"to train on", "to validate on", "to test on"};
    walk->split = split;
    if (split == DEALT) return;
    walk->list->given[split] = true;
    const char *front = walk->told ? ", " : "splits as they are named: ";
    if (walk->told++ < MOST_TOLD) text_add(&walk->line, "%s%s %s", front, walk->path + walk->base, what[split]);
}

/* What is visited next is a document, unless it lies in one or is a split. */
static void take_document(folder_walk *walk, bool is_split) {
    if (!documents_are_folders(walk->o) || walk->key || is_split || !path_is_folder(walk->path)) return;
    walk->key = strlen(walk->path) + 1;
    walk->documents++;
}

/* Visits "path/name", and takes the name off again. */
static int visit_child(folder_walk *walk, const char *name, pcv_error *err) {
    size_t size = strlen(walk->path), more = strlen(name), key = walk->key;
    if (size + more + 2 > sizeof walk->path)
        return skipped_add(walk->s, SKIP_UNREADABLE, walk->path, err, "%.60s.../%.60s: the path is too long",
                           walk->path, name);
    walk->path[size] = '/';
    memcpy(walk->path + size + 1, name, more + 1);
    int before = walk->split, status;
    walk->depth++;
    if (before == DEALT && walk->beside && walk->depth <= names_depth(walk->o)) take_name(walk, split_of_name(name));
    take_document(walk, walk->split != before);
    status = visit(walk, false, err);
    walk->split = before;
    walk->key = key;
    walk->depth--;
    walk->path[size] = 0;
    return status;
}

/* Of a folder that is a document the files behind the first only belong to it. */
static void keep_first(const folder_walk *walk, file_list *names) {
    const data_kind *kind = walk->kind;
    bool found = false;
    size_t kept = 0;
    if (!kind || !kind->first) return;
    for (size_t i = 0; i < names->count; i++) {
        char path[PATH_SIZE];
        bool is_folder = !path_join(path, walk->path, names->paths[i], NULL) && path_is_folder(path);
        bool keep = is_folder || (!found && kind->first(names->paths[i]));
        found = found || (keep && !is_folder);
        char *name = names->paths[i];
        names->paths[i] = NULL;
        if (keep) names->paths[kept++] = name;
        else mem_free(name);
    }
    names->count = kept;
}

static int visit_folder(folder_walk *walk, pcv_error *err) {
    file_list names = {0};
    pcv_error reason = {0};
    int status = folder_names(walk->path, &names, &reason);
    if (status == PCV_MEMORY) status = fail(err, status, "%s", reason.message);
    else if (status) status = skipped_add(walk->s, SKIP_UNREADABLE, walk->path, err, "%s", reason.message);
    keep_first(walk, &names);
    for (size_t i = 0; i < names.count && !status; i++) status = visit_child(walk, names.paths[i], err);
    file_list_free(&names);
    return status;
}

/* Does a file of a folder only belong to another, which names the document? */
static bool is_part(const folder_walk *walk) {
    const char *ending = walk->kind ? walk->kind->named_by : NULL;
    size_t size = strlen(walk->path), more = ending ? strlen(ending) : 0;
    return ending && (size <= more || strcmp(walk->path + size - more, ending));
}

static int visit(folder_walk *walk, bool is_named, pcv_error *err) {
    struct stat s;
    const char *relative = walk->path + walk->base;
    if (lstat(walk->path, &s)) {
        bool is_missing = errno == ENOENT || errno == ENOTDIR;
        if (is_named && is_missing) return fail(err, PCV_NOINPUT, "%s: no such file or folder", walk->path);
        return skipped_add(walk->s, SKIP_UNREADABLE, walk->path, err, "%s: %s", walk->path, strerror(errno));
    }
    bool is_folder = path_is_folder(walk->path);
    if (!(is_folder && is_named) &&
        (name_matches(walk->o->exclude, relative) ||
         (!is_folder && walk->o->include && !name_matches(walk->o->include, relative)))) {
        walk->s->left_out++;
        return 0;
    }
    if (is_folder && S_ISLNK(s.st_mode) && !is_named) /* they may form a circle */
        return skipped_add(walk->s, SKIP_LINK, walk->path, err, "%s: a link to a folder", walk->path);
    if (is_folder) return visit_folder(walk, err);
    if (!is_named && is_part(walk)) return 0;
    if (!is_named && name_is_checksums(path_name(walk->path)))
        return skipped_add(walk->s, SKIP_CHECKSUMS, walk->path, err, "%s: a list of checksums", walk->path);
    return push(walk, NULL, S_ISREG(s.st_mode) ? (uint64_t)s.st_size : 0, err);
}

/* ------------------------------------------------------------------ what is named */

/* Whoever types it can interrupt it, too. */
static int wait_for_input(const folder_walk *walk, uint64_t so_far, pcv_error *err) {
    enum { PATIENCE = 200 }; /* milliseconds */
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    pcv_progress p = {.stage = "reading standard input", .done = (double)so_far};
    do {
        if (watch_ask(walk->s->watch, &p) == PCV_STOP)
            return fail(err, PCV_INTERRUPTED, "interrupted; nothing was written");
    } while (poll(&ready, 1, PATIENCE) <= 0);
    return 0;
}

static int copy_input(const folder_walk *walk, file_writer *file, pcv_error *err) {
    char piece[1 << 16];
    for (ssize_t n = 1; n;) {
        int status = wait_for_input(walk, file->size, err);
        if (status) return status;
        n = read(STDIN_FILENO, piece, sizeof piece);
        if (n < 0 && errno != EINTR && errno != EAGAIN) return fail_errno(err, PCV_IO, "standard input");
        if (n > 0) status = file_append(file, piece, (size_t)n, err);
        if (status) return status;
    }
    return file_commit(file, err);
}

/* Standard input cannot be read twice, or be cut, so it becomes a file. */
static int take_standard_input(folder_walk *walk, pcv_error *err) {
    file_writer file = {.fd = -1};
    int status = 0;
    if (walk->copied) return fail(err, PCV_USAGE, "'-', standard input, can be read once");
    walk->copied = true;
    TRY(path_join(walk->path, walk->folder, INPUT_COPY, err));
    TRY(file_create(&file, walk->path, err));
    TRY(copy_input(walk, &file, err));
    TRY(push(walk, "standard input", file.size, err));
out:
    file_abandon(&file);
    return status;
}

static int take(folder_walk *walk, const char *path, pcv_error *err) {
    if (!strcmp(path, "-")) return take_standard_input(walk, err);
    int status = path_trim(walk->path, path, err);
    if (status) return status;
    bool is_folder = path_is_folder(walk->path);
    walk->base = is_folder ? strlen(walk->path) + 1 : (size_t)(path_name(walk->path) - walk->path);
    return visit(walk, true, err);
}

static int take_given(folder_walk *walk, pcv_error *err) {
    int status = 0;
    for (walk->split = 0; walk->split < SPLITS; walk->split++)
        for (const char *const *path = walk->o->splits[walk->split]; path && *path && !status; path++) {
            walk->list->given[walk->split] = true;
            status = take(walk, *path, err);
        }
    return status;
}

/* An input whose name is that of a split, or one in which there may be such. */
static int take_input(folder_walk *walk, const char *path, bool are_named, pcv_error *err) {
    int split = walk->list->by_name ? split_of_path(path) : DEALT;
    walk->beside = walk->list->by_name && (are_named || folder_has_names(path, walk->o));
    walk->split = DEALT;
    walk->base = 0;
    if (!path_trim(walk->path, path, NULL)) take_name(walk, split);
    return take(walk, path, err);
}

static int take_inputs(folder_walk *walk, pcv_error *err) {
    const char *const *paths = walk->o->inputs;
    bool are_named = false;
    int status = 0;
    walk->list->by_name = names_decide(walk->o);
    for (size_t i = 0; paths && paths[i]; i++) are_named |= split_of_path(paths[i]) != DEALT;
    for (size_t i = 0; paths && paths[i] && !status; i++) status = take_input(walk, paths[i], are_named, err);
    if (walk->told > MOST_TOLD) text_add(&walk->line, ", and %d more", walk->told - MOST_TOLD);
    if (walk->told && text_ok(&walk->line)) watch_say(walk->s->watch, "%s", walk->line.data);
    text_free(&walk->line);
    return status;
}

/* ------------------------------------------------------------------ the list */

/* Bytes by bytes, the shorter first. */
static int by_key(const input *x, const input *y) {
    int order = memcmp(x->path, y->path, x->key < y->key ? x->key : y->key);
    if (!order) order = (x->key > y->key) - (x->key < y->key);
    return order ? order : (x->document > y->document) - (x->document < y->document);
}

static int by_split(const void *a, const void *b) {
    const input *x = a, *y = b;
    if (x->split != y->split) return y->split - x->split;
    if (x->document == y->document) return strcmp(x->path, y->path);
    return x->split == DEALT ? by_key(y, x) : by_key(x, y);
}

/* Is there anything to train on? */
static bool has_lessons(const input_list *list) {
    bool found = false;
    for (size_t i = 0; i < list->count; i++) found |= list->v[i].split == SPLIT_TRAIN || list->v[i].split == DEALT;
    return found;
}

int inputs_collect(input_list *list, const pcv_prepare_options *o, const char *folder, skipped *s, pcv_error *err) {
    folder_walk *walk;
    int status = mem_get(&walk, sizeof *walk, "a list of files", err);
    if (status) return status;
    *walk = (folder_walk){.list = list, .o = o, .kind = data_kind_of(o->kind), .s = s, .folder = folder};
    status = take_given(walk, err);
    if (!status) status = take_inputs(walk, err);
    mem_free(walk);
    if (status) return status;
    if (list->by_name && !has_lessons(list))
        return fail(err, PCV_DATA, "nothing to train on: splits go by their names, and none is named train; "
                    "--split 90,5,5 deals the files whatever they are named");
    if (list->count) qsort(list->v, list->count, sizeof *list->v, by_split);
    else if (!skipped_files(s) && !s->left_out) return fail(err, PCV_NOINPUT, "no input files");
    return 0;
}

size_t inputs_of_document(const input_list *list, size_t from) {
    size_t to = from + 1;
    while (to < list->count && list->v[to].document == list->v[from].document) to++;
    return to - from;
}

const char *input_within(const input *in) {
    if (in->name != in->path) return in->name;
    return in->path[in->key] ? in->path + in->key : path_name(in->path);
}

int inputs_shuffle(input_list *list, uint64_t seed, pcv_error *err) {
    rng r = rng_make(seed, RNG_SPLIT, 0);
    input_list before = {.count = list->count};
    size_t *first = NULL, count = 0, at = 0;
    int status = 0;
    TRY(mem_get(&before.v, (list->count + 1) * sizeof *list->v, "the file list", err));
    TRY(mem_get(&first, (list->count + 1) * sizeof *first, "the file list", err));
    if (list->count) memcpy(before.v, list->v, list->count * sizeof *list->v);
    while (at < list->count && list->v[at].split != DEALT) at++;
    input *to = list->v + at;
    for (; at < list->count; at += inputs_of_document(&before, at)) first[count++] = at;
    for (size_t i = 0; i < count; i++) {
        size_t *other = &first[count - 1 - (i + 1 < count ? rng_below(&r, count - i) : 0)], next = *other;
        *other = first[i];
        for (size_t n = inputs_of_document(&before, next); n; n--) *to++ = before.v[next++];
    }
out:
    mem_free(first);
    mem_free(before.v);
    return status;
}

void inputs_free(input_list *list) {
    for (size_t i = 0; i < list->count; i++) mem_free(list->v[i].path);
    mem_free(list->v);
    *list = (input_list){0};
}
