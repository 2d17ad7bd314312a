#include "base/safetensors.h"
#include "base/fields.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_LIMIT = 100000000, COPY_BYTES = 1 << 20 };

static const struct {
    const char *name;
    size_t bytes;
} types[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
             {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},
             {"I32", 4},  {"F32", 4}, {"F64", 8}, {"U64", 8},     {"I64", 8}};

static size_t type_bytes(const char *name) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, name)) return types[i].bytes;
    return 0;
}

static int read_at(const safetensors *file, void *out, size_t bytes, uint64_t offset,
                   pcv_error *err) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(file->fd, (char *)out + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno(err, PCV_IO, "%s", file->path);
        if (n == 0)
            return fail(err, PCV_DATA, "%s: ends at byte %" PRIu64 ", expected %" PRIu64
                        ": the file is truncated", file->path, offset + done, offset + bytes);
        done += (size_t)n;
    }
    return 0;
}

/* ------------------------------------------------------------------ checking the header */

static int non_negative(const json_t *value, uint64_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return PCV_DATA;
    *out = (uint64_t)json_integer_value(value);
    return 0;
}

static bool printable(const char *name, size_t size) {
    if (size > SAFETENSORS_NAME || strlen(name) != size) return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F) return false;
    return true;
}

/* Elements of the shape; every dimension takes part in the overflow check, zeros included. */
static int read_shape(safetensors_entry *e, const json_t *shape, size_t *elements) {
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_RANK) return PCV_DATA;
    e->rank = (int)json_array_size(shape);
    size_t checked = 1;
    *elements = 1;
    for (int i = 0; i < e->rank; i++) {
        uint64_t n;
        if (non_negative(json_array_get(shape, (size_t)i), &n)) return PCV_DATA;
        if (n && !size_mul(checked, n, &checked)) return PCV_DATA;
        *elements *= n;
        e->shape[i] = (int64_t)n;
    }
    return 0;
}

static int bad_entry(const safetensors *file, const char *name, const char *what, pcv_error *err) {
    return fail(err, PCV_DATA, "%s: tensor '%.80s': %s", file->path, name, what);
}

static int read_entry(const safetensors *file, safetensors_entry *e, const char *name,
                      const json_t *value, pcv_error *err) {
    const json_t *type = json_object_get(value, "dtype");
    const json_t *range = json_object_get(value, "data_offsets");
    if (!json_is_object(value) || json_object_size(value) != 3 || !json_is_string(type))
        return bad_entry(file, name, "expected exactly dtype, shape and data_offsets", err);
    size_t size = type_bytes(json_string_value(type)), elements, bytes;
    if (!size) return bad_entry(file, name, "unknown dtype", err);
    if (read_shape(e, json_object_get(value, "shape"), &elements))
        return bad_entry(file, name, "the shape is not a list of at most 8 sizes that fit", err);
    uint64_t end;
    if (!json_is_array(range) || json_array_size(range) != 2 ||
        non_negative(json_array_get(range, 0), &e->begin) ||
        non_negative(json_array_get(range, 1), &end) || end < e->begin || end > file->data_size)
        return bad_entry(file, name, "data_offsets do not lie within the file", err);
    if (!size_mul(elements, size, &bytes) || end - e->begin != bytes)
        return bad_entry(file, name, "data_offsets do not fit shape and dtype", err);
    e->name = name;
    e->bytes = bytes;
    e->elements = (int64_t)(bytes / size);
    snprintf(e->type, sizeof e->type, "%s", json_string_value(type));
    return 0;
}

static int by_offset(const void *a, const void *b) {
    const safetensors_entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; /* empty ones first */
    return strcmp(x->name, y->name);
}

static int check_metadata(const safetensors *file, const json_t *metadata, pcv_error *err) {
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return fail(err, PCV_DATA, "%s: __metadata__ is not an object", file->path);
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
        if (!json_is_string(value))
            return fail(err, PCV_DATA, "%s: __metadata__ '%.80s' is not a string", file->path, key);
    return 0;
}

/* Fills the entries from the header and checks that they tile the data exactly. */
static int read_entries(safetensors *file, pcv_error *err) {
    int status = mem_get(&file->entries, json_object_size(file->header) * sizeof *file->entries,
                         "the tensor list", err);
    const char *name;
    json_t *value;
    json_object_foreach(file->header, name, value) {
        if (status) return status;
        if (!strcmp(name, "__metadata__")) {
            status = check_metadata(file, value, err);
            continue;
        }
        if (!printable(name, strlen(name)))
            return fail(err, PCV_DATA, "%s: a tensor's name is too long or not printable",
                        file->path);
        status = read_entry(file, &file->entries[file->count++], name, value, err);
    }
    if (status) return status;
    if (file->count)
        qsort(file->entries, (size_t)file->count, sizeof *file->entries, by_offset);
    uint64_t at = 0;
    for (int i = 0; i < file->count; i++) {
        if (file->entries[i].begin != at)
            return bad_entry(file, file->entries[i].name, "its data leaves a hole or overlaps", err);
        at += file->entries[i].bytes;
    }
    if (at != file->data_size)
        return fail(err, PCV_DATA, "%s: %" PRIu64 " byte%s of data, but the tensors cover %" PRIu64,
                    file->path, file->data_size, plural((int64_t)file->data_size), at);
    return 0;
}

static int read_header(safetensors *file, uint64_t file_size, pcv_error *err) {
    unsigned char prefix[8];
    uint64_t size = 0;
    if (file_size < 8)
        return fail(err, PCV_DATA, "%s: not a safetensors file (%" PRIu64 " byte%s)", file->path,
                    file_size, plural((int64_t)file_size));
    int status = read_at(file, prefix, sizeof prefix, 0, err);
    for (int i = 7; i >= 0; i--) size = size << 8 | prefix[i];
    if (!status && (size > HEADER_LIMIT || size > file_size - 8))
        return fail(err, PCV_DATA, "%s: not a safetensors file, or truncated: a header of %" PRIu64
                    " bytes in a file of %" PRIu64, file->path, size, file_size);
    file->data_start = 8 + size;
    file->data_size = file_size - file->data_start;
    char *header = NULL;
    if (!status) status = mem_get(&header, size + 1, "a safetensors header", err);
    if (!status) status = read_at(file, header, size, 8, err);
    if (!status && header[0] != '{')
        status = fail(err, PCV_DATA, "%s: the header does not start with '{'", file->path);
    if (!status) status = json_parse(&file->header, header, size, JSON_MEMORY + 2 * size, file->path, err);
    mem_free(header);
    return status;
}

int safetensors_open(safetensors *file, const char *path, pcv_error *err) {
    *file = (safetensors){.fd = -1};
    file_reader r;
    struct stat s;
    int status = file_open(&r, path, err);
    if (status) return status;
    snprintf(file->path, sizeof file->path, "%s", r.path);
    file->fd = r.fd;
    if (fstat(file->fd, &s)) {
        status = fail_errno(err, PCV_IO, "%s", r.path);
        goto out;
    }
    TRY(read_header(file, (uint64_t)s.st_size, err));
    TRY(read_entries(file, err));
out:
    if (status) safetensors_close(file);
    return status;
}

void safetensors_close(safetensors *file) {
    if (file->fd >= 0) close(file->fd);
    mem_free(file->entries);
    json_decref(file->header);
    *file = (safetensors){.fd = -1};
}

const safetensors_entry *safetensors_find(const safetensors *file, const char *name) {
    for (int i = 0; i < file->count; i++)
        if (!strcmp(file->entries[i].name, name)) return &file->entries[i];
    return NULL;
}

const char *safetensors_metadata(const safetensors *file, const char *key) {
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

int safetensors_load(const safetensors *file, const safetensors_entry *entry, void *destination,
                     pcv_error *err) {
    return read_at(file, destination, entry->bytes, file->data_start + entry->begin, err);
}

/* ------------------------------------------------------------------ writing */

static uint64_t plan_bytes(const safetensors_plan *p) {
    uint64_t bytes = type_bytes(p->type);
    for (int i = 0; i < p->rank; i++) bytes *= (uint64_t)p->shape[i];
    return bytes;
}

/* The tensors' order in the file: by name. Insertion sort; there are at most some hundreds. */
static void order_by_name(const safetensors_plan *plans, int count, int *order) {
    for (int i = 0; i < count; i++) {
        int at = i;
        for (; at && strcmp(plans[order[at - 1]].name, plans[i].name) > 0; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static void add_header(text *t, const safetensors_writer *w, const int *order) {
    uint64_t at = 0;
    text_add(t, "{");
    if (w->metadata) {
        text_add(t, "\"__metadata__\":");
        json_print(t, w->metadata, JSON_COMPACT | JSON_SORT_KEYS);
        if (w->count) text_add(t, ",");
    }
    for (int i = 0; i < w->count; i++) {
        const safetensors_plan *p = &w->plans[order[i]];
        text_add(t, "%s", i ? "," : "");
        text_json(t, p->name, strlen(p->name));
        text_add(t, ":{\"dtype\":\"%s\",\"shape\":[", p->type);
        for (int d = 0; d < p->rank; d++)
            text_add(t, "%s%" PRId64, d ? "," : "", p->shape[d]);
        text_add(t, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + plan_bytes(p));
        at += plan_bytes(p);
    }
    text_add(t, "}");
    while (t->size % 8) text_add(t, " ");
}

static int write_tensor(file_writer *f, const safetensors_writer *w, int index, char *buffer,
                        pcv_error *err) {
    const safetensors_plan *p = &w->plans[index];
    uint64_t bytes = plan_bytes(p);
    if (p->data) return file_append(f, p->data, bytes, err);
    for (uint64_t at = 0; at < bytes; at += COPY_BYTES) {
        size_t part = bytes - at < COPY_BYTES ? (size_t)(bytes - at) : COPY_BYTES;
        if (w->read(w->context, index, at, buffer, part))
            return fail(err, PCV_IO, "%s: cannot read tensor '%s' from its device", f->path,
                        p->name);
        int status = file_append(f, buffer, part, err);
        if (status) return status;
    }
    return 0;
}

int safetensors_save(const safetensors_writer *writer, const char *path, char *hash,
                     uint64_t *size, pcv_error *err) {
    int status = 0;
    int *order = NULL;
    char *buffer = NULL;
    text header = {0};
    file_writer f = {.fd = -1};
    TRY(mem_get(&order, (size_t)writer->count * sizeof *order, "a tensor order", err));
    TRY(mem_get(&buffer, COPY_BYTES, "a copy buffer", err));
    order_by_name(writer->plans, writer->count, order);
    add_header(&header, writer, order);
    if (!text_ok(&header)) {
        status = fail(err, PCV_MEMORY, "not enough memory to write %s", path);
        goto out;
    }
    TRY(file_create(&f, path, err));
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++) prefix[i] = (unsigned char)((uint64_t)header.size >> (8 * i));
    TRY(file_append(&f, prefix, sizeof prefix, err));
    TRY(file_append(&f, header.data, header.size, err));
    for (int i = 0; i < writer->count; i++) TRY(write_tensor(&f, writer, order[i], buffer, err));
    if (hash) file_writer_hash(&f, hash);
    if (size) *size = f.size;
    TRY(file_commit(&f, err));
out:
    file_abandon(&f);
    text_free(&header);
    mem_free(buffer);
    mem_free(order);
    return status;
}
