/* A split is two files that are appended to. What turns out bad is taken back to a mark, mostly still in the
 * buffer; a file that was never cut is hashed as it is written, another is read once more. Reading maps them: the
 * index is checked as a whole when the folder is opened, so that no length in it needs a second look, and every id
 * is compared with the vocabulary when it is read. */
#include "data/folder.h"
#include "base/mem.h"
#include "base/fields.h"
#include "config/run_files.h"

#include <stdio.h>
#include <string.h>

static const char FORMAT[] = "perceiver.c dataset";
enum { CONFIG_LIMIT = 1 << 28, PIECE = 4096 };

typedef struct split_files {
    file_map tokens, index, labels; /* labels: where there are any */
    int64_t documents;
} split_files;

typedef struct folder {
    int wide;
    split_files split[SPLITS];
} folder;

/* ------------------------------------------------------------------ writing */

static int flush(split_file *f, pcv_error *err) {
    int status = file_append(&f->file, f->bytes, f->waiting, err);
    f->waiting = 0;
    return status;
}

static int append(split_file *f, const void *data, size_t size, pcv_error *err) {
    if (f->waiting + size > sizeof f->bytes) {
        int status = flush(f, err);
        if (status) return status;
    }
    if (size > sizeof f->bytes) return file_append(&f->file, data, size, err);
    if (size) memcpy(f->bytes + f->waiting, data, size);
    f->waiting += size;
    return 0;
}

static int cut(split_file *f, uint64_t size, pcv_error *err) {
    bool waits = size >= f->file.size;
    f->waiting = waits ? (size_t)(size - f->file.size) : 0;
    return waits ? 0 : file_truncate(&f->file, size, err);
}

/* The writer knows the hash of what was never cut. */
static int commit(split_file *f, char hash[HASH_TEXT], pcv_error *err) {
    uint64_t size;
    int status = 0;
    TRY(flush(f, err));
    if (!f->file.cut) file_writer_hash(&f->file, hash);
    TRY(file_commit(&f->file, err));
    if (f->file.cut) TRY(hash_file(f->file.path, hash, &size, err));
out:
    return status;
}

static int create(split_file *f, const char *where, split_name split, const char *extension, pcv_error *err) {
    char name[64], path[PATH_SIZE];
    snprintf(name, sizeof name, "%s.%s", split_names[split], extension);
    int status = path_join(path, where, name, err);
    return status ? status : file_create(&f->file, path, err);
}

int split_create(split_writer *w, const char *path, split_name split, int64_t vocab, bool labelled,
                 pcv_error *err) {
    int status = 0;
    w->wide = vocab > 65536 ? 4 : 2;
    w->documents = w->count = 0;
    w->labelled = labelled;
    w->tokens.waiting = w->index.waiting = w->labels.waiting = 0;
    w->tokens.file = w->index.file = w->labels.file = (file_writer){.fd = -1};
    TRY(create(&w->tokens, path, split, "tokens", err));
    TRY(create(&w->index, path, split, "index", err));
    if (labelled) TRY(create(&w->labels, path, split, "labels", err));
    uint64_t zero = 0;
    TRY(append(&w->index, &zero, sizeof zero, err));
out:
    if (status) split_abandon(w);
    return status;
}

int split_append(split_writer *w, const int32_t *ids, size_t count, pcv_error *err) {
    uint16_t narrow[PIECE];
    w->count += (int64_t)count;
    if (w->wide == 4) return append(&w->tokens, ids, count * 4, err);
    for (size_t at = 0; at < count; at += PIECE) {
        size_t n = count - at < PIECE ? count - at : PIECE;
        for (size_t i = 0; i < n; i++) narrow[i] = (uint16_t)ids[at + i];
        int status = append(&w->tokens, narrow, n * 2, err);
        if (status) return status;
    }
    return 0;
}

int split_end_document(split_writer *w, int32_t label, pcv_error *err) {
    uint64_t end = (uint64_t)w->count;
    w->documents++;
    int status = w->labelled ? append(&w->labels, &label, sizeof label, err) : 0;
    return status ? status : append(&w->index, &end, sizeof end, err);
}

split_mark split_here(const split_writer *w) { return (split_mark){w->documents, w->count}; }

int split_back(split_writer *w, split_mark mark, pcv_error *err) {
    w->documents = mark.documents;
    w->count = mark.count;
    int status = cut(&w->tokens, (uint64_t)mark.count * (uint64_t)w->wide, err);
    if (!status && w->labelled) status = cut(&w->labels, (uint64_t)mark.documents * sizeof(int32_t), err);
    return status ? status : cut(&w->index, ((uint64_t)mark.documents + 1) * 8, err);
}

int split_commit(split_writer *w, pcv_error *err) {
    int status = 0;
    TRY(commit(&w->tokens, w->hash[0], err));
    TRY(commit(&w->index, w->hash[1], err));
    if (w->labelled) TRY(commit(&w->labels, w->hash[2], err));
out:
    return status;
}

void folder_digest(const split_writer out[SPLITS], const char *meaning, char hex[HASH_TEXT]) {
    char all[(3 * SPLITS + 1) * HASH_TEXT];
    size_t used = (size_t)snprintf(all, sizeof all, "%s", meaning);
    for (int i = 0; i < 2 * SPLITS; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s", out[i / 2].hash[i % 2]);
    for (int s = 0; s < SPLITS && out[s].labelled; s++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s", out[s].hash[2]);
    hash_bytes(all, used, hex);
}

void split_abandon(split_writer *w) {
    file_abandon(&w->tokens.file);
    file_abandon(&w->index.file);
    file_abandon(&w->labels.file);
}

/* ------------------------------------------------------------------ reading */

static uint64_t offset_at(const split_files *s, int64_t i) {
    uint64_t x;
    memcpy(&x, (const char *)s->index.data + (size_t)i * sizeof x, sizeof x);
    return x;
}

static int64_t documents(const dataset *d, split_name split) {
    return ((const folder *)d->state)->split[split].documents;
}

static int64_t length(const dataset *d, split_name split, int64_t document) {
    const split_files *s = &((const folder *)d->state)->split[split];
    return (int64_t)(offset_at(s, document + 1) - offset_at(s, document));
}

static int read_tokens(const dataset *d, split_name split, int64_t document, int64_t from,
                       int64_t count, int32_t *ids, pcv_error *err) {
    const folder *f = d->state;
    const split_files *s = &f->split[split];
    size_t at = (size_t)offset_at(s, document) + (size_t)from;
    for (int64_t i = 0; i < count; i++) {
        uint32_t id = 0;
        memcpy(&id, (const char *)s->tokens.data + (at + (size_t)i) * (size_t)f->wide, (size_t)f->wide);
        if (id >= (uint64_t)d->tokens.vocab)
            return fail(err, PCV_DATA, "%s: token %zu is %u, but the vocabulary has %lld", s->tokens.path,
                        at + (size_t)i, id, (long long)d->tokens.vocab);
        ids[i] = (int32_t)id;
    }
    return 0;
}

static int32_t label(const dataset *d, split_name split, int64_t document) {
    const folder *f = d->state;
    int32_t x;
    memcpy(&x, (const char *)f->split[split].labels.data + (size_t)document * sizeof x, sizeof x);
    return x;
}

static void close_folder(dataset *d) {
    folder *f = d->state;
    for (int i = 0; f && i < SPLITS; i++) {
        file_map_close(&f->split[i].tokens);
        file_map_close(&f->split[i].index);
        file_map_close(&f->split[i].labels);
    }
    for (int64_t i = 0; i < d->classes; i++) mem_free(d->class_name[i]);
    mem_free(d->class_name);
    mem_free(f);
}

static const dataset_type folder_type = {documents, length, read_tokens, close_folder, NULL, NULL, label};

/* The index must rise from 0 to the number of tokens; the counts must be those of dataset.json. */
static int check_split(const split_files *s, int wide, const json_t *about, const char *where, pcv_error *err) {
    int64_t tokens, count;
    int status = json_get_int(about, "tokens", 0, INT64_MAX / 8, &tokens, where, err);
    if (!status) status = json_get_int(about, "documents", 0, INT64_MAX / 8, &count, where, err);
    if (status) return status;
    if (s->tokens.size != (size_t)tokens * (size_t)wide)
        return fail(err, PCV_DATA, "%s: %zu byte%s, expected %lld tokens of %d: truncated or replaced",
                    s->tokens.path, s->tokens.size, plural((int64_t)s->tokens.size), (long long)tokens, wide);
    if (s->index.size != (size_t)(count + 1) * 8)
        return fail(err, PCV_DATA, "%s: %zu byte%s, expected %lld offsets of 8", s->index.path,
                    s->index.size, plural((int64_t)s->index.size), (long long)count + 1);
    uint64_t before = 0;
    for (int64_t i = 0; i <= count; i++) {
        uint64_t x = offset_at(s, i);
        if (x < before || x > (uint64_t)tokens || (i == 0 && x) || (i == count && x != (uint64_t)tokens))
            return fail(err, PCV_DATA, "%s: offset %lld is %llu, which is out of order", s->index.path,
                        (long long)i, (unsigned long long)x);
        before = x;
    }
    return 0;
}

/* Each must be a class. */
static int open_labels(const dataset *d, split_files *s, const char *path, const char *split, pcv_error *err) {
    char name[64], full[PATH_SIZE];
    int status = 0;
    snprintf(name, sizeof name, "%s.labels", split);
    TRY(path_join(full, path, name, err));
    TRY(file_map_open(&s->labels, full, err));
    if (s->labels.size != (size_t)s->documents * sizeof(int32_t))
        return fail(err, PCV_DATA, "%s: %zu byte%s, expected %lld labels of 4", full, s->labels.size,
                    plural((int64_t)s->labels.size), (long long)s->documents);
    for (int64_t i = 0; i < s->documents; i++) {
        int32_t x;
        memcpy(&x, (const char *)s->labels.data + (size_t)i * sizeof x, sizeof x);
        if (x < 0 || x >= d->classes)
            return fail(err, PCV_DATA, "%s: label %lld is %d, but there are %lld classes", full, (long long)i, (int)x,
                        (long long)d->classes);
    }
out:
    return status;
}

static int open_split(const dataset *d, folder *f, int i, const char *path, const json_t *about, pcv_error *err) {
    split_files *s = &f->split[i];
    char name[64], full[PATH_SIZE];
    int status = 0;
    snprintf(name, sizeof name, "%s.tokens", split_names[i]);
    TRY(path_join(full, path, name, err));
    TRY(file_map_open(&s->tokens, full, err));
    snprintf(name, sizeof name, "%s.index", split_names[i]);
    TRY(path_join(full, path, name, err));
    TRY(file_map_open(&s->index, full, err));
    snprintf(full, sizeof full, "%s/dataset.json: splits.%s", path, split_names[i]);
    TRY(check_split(s, f->wide, about, full, err));
    s->documents = (int64_t)(s->index.size / 8) - 1;
    if (d->classes) TRY(open_labels(d, s, path, split_names[i], err));
out:
    return status;
}

/* The tokenizer beside the tokens must be the one that made them. */
static int check_meaning(const dataset *d, const json_t *about, const char *where, pcv_error *err) {
    const char *meaning = json_string_value(json_object_get(about, "meaning"));
    if (!meaning || !strcmp(meaning, d->meaning)) return 0; /* none: an older version made it */
    return fail(err, PCV_DATA, "%s: 'meaning' is %.40s, but the tokenizer beside it has %s: it is not the one "
                "that made these tokens; prepare the data again", where, meaning, d->meaning);
}

static int read_about(dataset *d, const char *path, json_t **about, pcv_error *err) {
    char full[PATH_SIZE];
    const char *format, *kind;
    int64_t version;
    int status = 0;
    TRY(path_join(full, path, DATASET_ABOUT, err));
    if (!path_exists(path)) {
        status = fail(err, PCV_NOINPUT, "%s: no such data set; make one with 'perceiver prepare text'", path);
        goto out;
    }
    if (!path_exists(full)) {
        status = fail(err, PCV_DATA, "%s: not a data set (no dataset.json); make one with "
                      "'perceiver prepare text'", path);
        goto out;
    }
    TRY(json_read(about, full, CONFIG_LIMIT, err));
    TRY(json_get_string(*about, "format", &format, full, err));
    TRY(json_get_int(*about, "version", 1, 1, &version, full, err));
    TRY(json_get_string(*about, "kind", &kind, full, err));
    if (strcmp(format, FORMAT)) {
        status = fail(err, PCV_DATA, "%s: 'format' is '%.40s', expected '%s'", full, format, FORMAT);
        goto out;
    }
    snprintf(d->kind, sizeof d->kind, "%s", kind);
    TRY(tokenizer_load(&d->tokens, path, err));
    TRY(tokenizer_meaning(&d->tokens, d->meaning, err));
    TRY(check_meaning(d, *about, full, err));
    const char *digest = json_string_value(json_object_get(*about, "digest"));
    snprintf(d->digest, sizeof d->digest, "%s", digest ? digest : "");
    path_absolute(d->place, path);
out:
    return status;
}

/* Names of the classes, where documents have labels. */
static int read_classes(dataset *d, const json_t *about, const char *path, pcv_error *err) {
    const json_t *list = json_object_get(about, "labels");
    int status = 0;
    if (!list) return 0;
    if (!json_is_array(list) || json_array_size(list) < 2)
        return fail(err, PCV_DATA, "%s/" DATASET_ABOUT ": 'labels' is no list of two classes or more", path);
    TRY(mem_get(&d->class_name, json_array_size(list) * sizeof *d->class_name, "classes", err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name) return fail(err, PCV_DATA, "%s/" DATASET_ABOUT ": label %zu is no text", path, i);
        TRY(mem_string(&d->class_name[i], name, err));
        d->classes++;
    }
out:
    return status;
}

int folder_open(dataset *d, const char *path, pcv_error *err) {
    int status = 0;
    json_t *about = NULL;
    folder *f = NULL;
    TRY(read_about(d, path, &about, err));
    TRY(mem_get(&f, sizeof *f, "a data set", err));
    d->state = f;
    d->type = &folder_type;
    f->wide = d->tokens.vocab > 65536 ? 4 : 2;
    TRY(read_classes(d, about, path, err));
    const char *task = json_string_value(json_object_get(about, "task"));
    d->masked = task && !strcmp(task, "mask");
    for (int i = 0; i < SPLITS; i++) {
        const json_t *split = json_object_get(json_object_get(about, "splits"), split_names[i]);
        TRY(open_split(d, f, i, path, split, err));
        d->bytes[i] = json_integer_value(json_object_get(split, "bytes"));
    }
out:
    json_decref(about);
    return status;
}
