#include "data/labels.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/watch.h"

#include <stdlib.h>
#include <string.h>

enum { LIST_LIMIT = 1 << 28, MOST_TOLD = 8 };

struct label_row {
    char *path, *label;
    const char *base; /* the last part of the path */
    int64_t line;
    bool used;
};

/* ------------------------------------------------------------------ the list */

/* Takes a field off *at, ends it with a zero, and says whether another one follows in its row. A quoted one loses its
 * quotes; two of them within are one. */
static char *take_field(char **at, char *end, bool *more) {
    char *from = *at, *to = from, *p = from;
    bool quoted = p < end && *p == '"';
    if (quoted) p++;
    for (; p < end; p++) {
        if (quoted && *p == '"' && p + 1 < end && p[1] == '"') p++;
        else if (quoted && *p == '"') {
            quoted = false;
            continue;
        } else if (!quoted && (*p == ',' || *p == '\n')) break;
        *to++ = *p;
    }
    *more = p < end && *p == ',';
    *at = p < end ? p + 1 : end;
    if (!*more && to > from && to[-1] == '\r') to--;
    *to = 0;
    return from;
}

static int read_rows(labels *l, pcv_error *err) {
    char *at = (char *)l->bytes.data, *end = at + l->bytes.size;
    size_t capacity = 1;
    for (char *p = at; p < end; p++) capacity += *p == '\n';
    int status = mem_get(&l->row, capacity * sizeof *l->row, "labels", err);
    for (int64_t line = 1; at < end && !status; line++) {
        bool more, rest;
        char *path = take_field(&at, end, &more);
        if (!more && !*path) continue;
        if (!more)
            return fail(err, PCV_DATA, "%s: line %lld: '%.60s': expected a file, a comma and its label", l->list,
                        (long long)line, path);
        char *label = take_field(&at, end, &rest);
        while (rest) take_field(&at, end, &rest);
        if (!*label)
            return fail(err, PCV_DATA, "%s: line %lld: no label behind '%.60s'", l->list, (long long)line, path);
        l->row[l->rows++] = (label_row){.path = path, .label = label, .base = path_name(path), .line = line};
    }
    return status;
}

static int by_base(const void *a, const void *b) {
    const label_row *x = a, *y = b;
    int order = strcmp(x->base, y->base);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

int labels_open(labels *l, const char *rule, pcv_error *err) {
    int status = 0;
    *l = (labels){0};
    if (!rule) return 0;
    l->by_folder = !strcmp(rule, "folders");
    if (l->by_folder) return 0;
    size_t size = strlen(rule);
    if (size < 4 || strcmp(rule + size - 4, ".csv"))
        return fail(err, PCV_USAGE, "--labels '%.60s': expected folders, or the name of a .csv file", rule);
    l->by_list = true;
    l->list = rule;
    TRY(file_read(rule, LIST_LIMIT, &l->bytes, err));
    if (memchr(l->bytes.data, 0, l->bytes.size)) {
        status = fail(err, PCV_DATA, "%s: binary, expected rows of a file and its label", rule);
        goto out;
    }
    TRY(read_rows(l, err));
    qsort(l->row, l->rows, sizeof *l->row, by_base);
out:
    return status;
}

void labels_free(labels *l) {
    for (int64_t i = 0; i < l->count; i++) mem_free(l->name[i]);
    mem_free(l->name);
    mem_free(l->row);
    file_bytes_free(&l->bytes);
    *l = (labels){0};
}

/* ------------------------------------------------------------------ what each file is */

/* Does `path` end with this, at the beginning of a name? */
static bool ends_with(const char *path, const char *end) {
    size_t size = strlen(path), more = strlen(end);
    return more <= size && !strcmp(path + size - more, end) && (more == size || path[size - more - 1] == '/');
}

/* The row that names the most of a path, NULL: none. */
static label_row *row_of(labels *l, const char *path) {
    const char *base = path_name(path);
    size_t low = 0, high = l->rows;
    label_row *found = NULL;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(l->row[middle].base, base) < 0) low = middle + 1;
        else high = middle;
    }
    for (; low < l->rows && !strcmp(l->row[low].base, base); low++) {
        const char *named = l->row[low].path;
        if (!strncmp(named, "./", 2)) named += 2;
        if (ends_with(path, named) && (!found || strlen(l->row[low].path) > strlen(found->path))) found = &l->row[low];
    }
    return found;
}

/* The folder right above what ends there, *size bytes of it; NULL: that stands in the input itself. */
static const char *folder_above(const char *within, const char *end, size_t *size) {
    while (end > within && end[-1] != '/') end--;
    if (end == within) return NULL;
    const char *from = --end;
    while (from > within && from[-1] != '/') from--;
    *size = (size_t)(end - from);
    return from;
}

/* The folder right above a document, which may itself be a folder. */
static const char *folder_of(const input *in, size_t *size) {
    const char *within = in->path + in->base, *found = folder_above(within, within + strlen(within), size);
    return found && in->is_first ? folder_above(within, found, size) : found;
}

/* The path of a document. */
static int document_path(const input *in, char path[PATH_SIZE]) {
    if (snprintf(path, PATH_SIZE, "%s", in->path) >= PATH_SIZE) return PCV_DATA;
    char *end = in->is_first ? strrchr(path, '/') : NULL;
    if (end) *end = 0;
    return 0;
}

/* The label of an input, a copy; NULL: it has none. */
static int label_of(labels *l, const input *in, char **label, pcv_error *err) {
    *label = NULL;
    if (l->by_list) {
        char path[PATH_SIZE];
        label_row *row = document_path(in, path) ? NULL : row_of(l, path);
        if (!row) return 0;
        row->used = true;
        return mem_string(label, row->label, err);
    }
    size_t size;
    const char *folder = folder_of(in, &size);
    if (!folder) return 0;
    int status = mem_get(label, size + 1, "a label", err);
    if (status) return status;
    memcpy(*label, folder, size);
    if (split_of_name(*label) == DEALT) return 0; /* else it is no class but a split */
    mem_free(*label);
    *label = NULL;
    return 0;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The distinct labels, sorted, become the classes. */
static int number_classes(labels *l, char *const *label, size_t count, pcv_error *err) {
    int status = mem_get(&l->name, (count + 1) * sizeof *l->name, "classes", err);
    for (size_t i = 0; i < count && !status; i++)
        if (label[i]) l->name[l->count++] = label[i];
    if (status) return status;
    qsort(l->name, (size_t)l->count, sizeof *l->name, by_name);
    int64_t kept = 0;
    for (int64_t i = 0; i < l->count; i++)
        if (!kept || strcmp(l->name[i], l->name[kept - 1])) l->name[kept++] = l->name[i];
    l->count = kept;
    for (int64_t i = 0; i < kept; i++) /* the list's own from now on */
        if (mem_string(&l->name[i], l->name[i], err)) {
            l->count = i;
            return PCV_MEMORY;
        }
    return 0;
}

static int64_t class_of(const labels *l, const char *label) {
    char *const *found = bsearch(&label, l->name, (size_t)l->count, sizeof *l->name, by_name);
    return found - l->name;
}

/* A class with one example cannot be learned and tested. */
static void warn_of_lonely(const labels *l, const input_list *inputs, const pcv_watch *watch) {
    int64_t *number = NULL;
    text line = {0};
    int told = 0;
    if (mem_get(&number, (size_t)(l->count + 1) * sizeof *number, "classes", NULL)) return;
    for (size_t i = 0; i < inputs->count; i++)
        if (inputs->v[i].label >= 0) number[inputs->v[i].label]++;
    for (int64_t k = 0; k < l->count; k++)
        if (number[k] == 1 && told++ < MOST_TOLD) text_add(&line, "%s%s", told > 1 ? ", " : "", l->name[k]);
    if (told && text_ok(&line))
        watch_say(watch, "warning: %d class%s with one example: %s%s", told, told == 1 ? "" : "es", line.data,
                  told > MOST_TOLD ? ", ..." : "");
    text_free(&line);
    mem_free(number);
}

static void tell_unused(const labels *l, const pcv_watch *watch) {
    int64_t unused = 0;
    const label_row *first = NULL;
    for (size_t i = 0; i < l->rows; i++) {
        if (l->row[i].used || l->row[i].line == 1) continue; /* a heading */
        unused++;
        if (!first || l->row[i].line < first->line) first = &l->row[i];
    }
    if (unused)
        watch_say(watch, "%s: %lld label%s without a file, the first in line %lld: '%.60s'", l->list, (long long)unused,
                  plural(unused), (long long)first->line, first->path);
}

int labels_assign(labels *l, input_list *inputs, skipped *s, const pcv_watch *watch, pcv_error *err) {
    char **label = NULL;
    int status = 0;
    if (!l->by_folder && !l->by_list) return 0;
    TRY(mem_get(&label, (inputs->count + 1) * sizeof *label, "labels", err));
    for (size_t i = 0; i < inputs->count; i++) {
        input *in = &inputs->v[i];
        TRY(label_of(l, in, &label[i], err));
        if (label[i] || in->is_bad) continue;
        in->is_bad = true;
        TRY(skipped_add(s, SKIP_UNLABELLED, in->name, err, "%s: no label: %s%s", in->name,
                        l->by_list ? "it is not in " : "in no folder that names a class", l->by_list ? l->list : ""));
    }
    TRY(number_classes(l, label, inputs->count, err));
    if (l->count < 2 || l->count > MOST_CLASSES) {
        status = fail(err, PCV_DATA, "%lld class%s%s%s%s among %zu file%s, expected 2 to %d; --labels says what a file "
                      "is", (long long)l->count, l->count == 1 ? "" : "es", l->count == 1 ? ", " : "",
                      l->count == 1 ? l->name[0] : "",
                      l->count == 1 ? "," : "", inputs->count, plural((int64_t)inputs->count), MOST_CLASSES);
        goto out;
    }
    for (size_t i = 0; i < inputs->count; i++) inputs->v[i].label = label[i] ? (int32_t)class_of(l, label[i]) : -1;
    warn_of_lonely(l, inputs, watch);
    tell_unused(l, watch);
out:
    for (size_t i = 0; label && i < inputs->count; i++) mem_free(label[i]);
    mem_free(label);
    return status;
}
