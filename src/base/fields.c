/* A row of a table, four ways: typed, read from JSON, printed, written to JSON. Each is one switch over the types
 * without a default, so that the compiler names what a new type lacks. A number is compared with its range where
 * it is stored: what came through here needs no second look. Rows without a default are other names of a member:
 * they are read and never written.
 *
 * JSON is parsed by jansson, which has no limit and takes a lack of memory for bad text in places; so what a text
 * may become is counted before any of it is parsed. */
#include "base/fields.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *member(const field *f, void *object) { return (char *)object + f->offset; }

static const void *member_const(const field *f, const void *object) {
    return (const char *)object + f->offset;
}

const field *fields_by_flag(const field_table *table, const char *flag) {
    for (int i = 0; i < table->count; i++)
        if (table->rows[i].flag && !strcmp(table->rows[i].flag, flag)) return &table->rows[i];
    return NULL;
}

const field *fields_by_key(const field_table *table, const char *key) {
    for (int i = 0; i < table->count; i++)
        if (!strcmp(table->rows[i].key, key)) return &table->rows[i];
    return NULL;
}

void fields_default(const field_table *table, void *object) {
    for (int i = 0; i < table->count; i++) {
        if (!table->rows[i].initial) continue;
        pcv_error err;
        if (table->rows[i].type == FIELD_STRINGS) {
            *(field_strings *)member(&table->rows[i], object) = (field_strings){0};
            continue;
        }
        int status = field_parse(&table->rows[i], object, table->rows[i].initial, "default", &err);
        CHECK(!status, "%s: %s", table->rows[i].key, err.message);
    }
}

/* ------------------------------------------------------------------ storing */

static int real_in_range(const field *f, double x, const char *where, pcv_error *err) {
    number_range range = {f->low, f->high, false, f->type == FIELD_BELOW};
    return number_check_real(x, range, where, PCV_CONFIG, err);
}

static int store_real(const field *f, void *object, double x, const char *where, pcv_error *err) {
    int status = real_in_range(f, x, where, err);
    if (!status) *(double *)member(f, object) = x;
    return status;
}

static int int_in_range(const field *f, int64_t x, const char *where, pcv_error *err) {
    return number_check_whole(x, (int64_t)f->low, (int64_t)f->high, where, PCV_CONFIG, err);
}

static int store_int(const field *f, void *object, int64_t x, const char *where, pcv_error *err) {
    int status = int_in_range(f, x, where, err);
    if (!status) *(int64_t *)member(f, object) = x;
    return status;
}

static int store_string(const field *f, void *object, const char *value, const char *where,
                        pcv_error *err) {
    if (strlen(value) >= FIELD_TEXT)
        return fail(err, PCV_CONFIG, "%s: longer than %d bytes", where, FIELD_TEXT - 1);
    snprintf(member(f, object), FIELD_TEXT, "%s", value);
    return 0;
}

static int push_int(const field *f, field_ints *list, int64_t x, const char *where,
                    pcv_error *err) {
    if (list->count == FIELD_LIST)
        return fail(err, PCV_CONFIG, "%s: more than %d numbers", where, FIELD_LIST);
    list->v[list->count++] = x;
    return int_in_range(f, x, where, err);
}

static int push_string(field_strings *list, const char *value, const char *where, pcv_error *err) {
    int64_t size = (int64_t)strlen(value) + 1;
    if (size == 1) return fail(err, PCV_CONFIG, "%s: an empty text", where);
    if (size > FIELD_TEXT - list->size)
        return fail(err, PCV_CONFIG, "%s: more than %d bytes together, with one behind each text", where, FIELD_TEXT);
    memcpy(list->v + list->size, value, (size_t)size);
    list->size += size;
    list->count++;
    return 0;
}

const char *field_strings_next(const field_strings *list, const char *last) {
    const char *next = last ? last + strlen(last) + 1 : list->v;
    return next < list->v + list->size ? next : NULL;
}

/* ------------------------------------------------------------------ typed text */

static int parse_ints(const field *f, void *object, const char *value, const char *where, pcv_error *err) {
    field_ints list = {0};
    int count = 0;
    bool none = !*value || !strcmp(value, "none");
    int status = !none ? number_read_wholes(where, value, ',', (int64_t)f->low, (int64_t)f->high, list.v, FIELD_LIST,
                                          &count, err) : 0;
    list.count = count;
    if (!status) *(field_ints *)member(f, object) = list;
    return status;
}

static int parse_bool(const field *f, void *object, const char *value, const char *where,
                      pcv_error *err) {
    bool on = !strcmp(value, "true") || !strcmp(value, "yes") || !strcmp(value, "on");
    bool off = !strcmp(value, "false") || !strcmp(value, "no") || !strcmp(value, "off");
    if (!on && !off) return fail(err, PCV_CONFIG, "%s: '%s' is not true or false", where, value);
    *(bool *)member(f, object) = on;
    return 0;
}

static int parse(const field *f, void *object, const char *value, const char *where, pcv_error *err) {
    void *m = member(f, object);
    switch (f->type) {
    case FIELD_BOOL: return parse_bool(f, object, value, where, err);
    case FIELD_CHOICE: return name_find(m, value, f->names, where, err);
    case FIELD_STRING: return store_string(f, object, value, where, err);
    case FIELD_INTS: return parse_ints(f, object, value, where, err);
    case FIELD_STRINGS: return push_string(m, value, where, err);
    case FIELD_INT: return number_read_whole(where, value, (int64_t)f->low, (int64_t)f->high, m, err);
    case FIELD_REAL:
    case FIELD_BELOW: break;
    }
    return number_read_real(where, value, (number_range){f->low, f->high, false, f->type == FIELD_BELOW}, m, err);
}

int field_parse(const field *f, void *object, const char *value, const char *where, pcv_error *err) {
    int status = parse(f, object, value, where, err);
    if (status != PCV_CONFIG) return status;
    if (err) err->code = PCV_USAGE; /* what was typed is no fault of a file */
    return PCV_USAGE;
}

/* "a", "b", escaped, so that any bytes can be told apart. */
static void print_strings(const field_strings *list, char *out, size_t size) {
    text all = {0};
    for (const char *at = NULL; (at = field_strings_next(list, at));) {
        text_add(&all, all.size ? ", \"" : "\"");
        text_escape(&all, at, strlen(at));
        text_add(&all, "\"");
    }
    snprintf(out, size, "%s", all.size && text_ok(&all) ? all.data : "");
    text_free(&all);
}

void field_copy(const field *f, void *to, const void *from) {
    static const size_t size[] = {
        [FIELD_INT] = sizeof(int64_t), [FIELD_REAL] = sizeof(double), [FIELD_BELOW] = sizeof(double),
        [FIELD_BOOL] = sizeof(bool), [FIELD_CHOICE] = sizeof(int), [FIELD_STRING] = FIELD_TEXT,
        [FIELD_INTS] = sizeof(field_ints), [FIELD_STRINGS] = sizeof(field_strings)};
    memcpy(member(f, to), member_const(f, from), size[f->type]);
}

const char *field_name(const field *f, const void *object) { return f->names[*(const int *)member_const(f, object)]; }

void field_print(const field *f, const void *object, char *out, size_t size) {
    const void *m = member_const(f, object);
    switch (f->type) {
    case FIELD_INT: snprintf(out, size, "%lld", (long long)*(const int64_t *)m); break;
    case FIELD_REAL:
    case FIELD_BELOW: snprintf(out, size, "%.10g", *(const double *)m); break;
    case FIELD_BOOL: snprintf(out, size, "%s", *(const bool *)m ? "true" : "false"); break;
    case FIELD_CHOICE: snprintf(out, size, "%s", f->names[*(const int *)m]); break;
    case FIELD_STRING: snprintf(out, size, "%s", (const char *)m); break;
    case FIELD_STRINGS: print_strings(m, out, size); break;
    case FIELD_INTS: {
        const field_ints *list = m;
        size_t used = 0;
        if (size) out[0] = 0;
        for (int64_t i = 0; i < list->count && used < size; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? "," : "",
                                     (long long)list->v[i]);
    }
    }
}

bool field_same(const field *f, const void *a, const void *b) {
    char one[FIELD_TEXT], other[FIELD_TEXT];
    field_print(f, a, one, sizeof one);
    field_print(f, b, other, sizeof other);
    return !strcmp(one, other);
}

/* ------------------------------------------------------------------ JSON */

static const char *type_name(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "a whole number";
    case JSON_REAL: return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    default: return "null";
    }
}

static int wrong_type(const json_t *value, const char *expected, const char *where,
                      pcv_error *err) {
    return fail(err, PCV_CONFIG, "%s: found %s, expected %s", where, type_name(value), expected);
}

static int read_ints(const field *f, void *object, const json_t *value, const char *where,
                     pcv_error *err) {
    field_ints list = {0};
    if (!json_is_array(value)) return wrong_type(value, "a list of whole numbers", where, err);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_integer(item)) return wrong_type(item, "a list of whole numbers", where, err);
        int status = push_int(f, &list, json_integer_value(item), where, err);
        if (status) return status;
    }
    *(field_ints *)member(f, object) = list;
    return 0;
}

static int read_strings(const field *f, void *object, const json_t *value, const char *where, pcv_error *err) {
    field_strings list = {0};
    if (!json_is_array(value)) return wrong_type(value, "a list of strings", where, err);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_string(item)) return wrong_type(item, "a list of strings", where, err);
        int status = push_string(&list, json_string_value(item), where, err);
        if (status) return status;
    }
    *(field_strings *)member(f, object) = list;
    return 0;
}

int field_read(const field *f, void *object, const json_t *value, const char *where,
               pcv_error *err) {
    switch (f->type) {
    case FIELD_INT:
        if (!json_is_integer(value)) return wrong_type(value, "a whole number", where, err);
        return store_int(f, object, json_integer_value(value), where, err);
    case FIELD_REAL:
    case FIELD_BELOW:
        if (!json_is_number(value)) return wrong_type(value, "a number", where, err);
        return store_real(f, object, json_number_value(value), where, err);
    case FIELD_BOOL:
        if (!json_is_boolean(value)) return wrong_type(value, "true or false", where, err);
        *(bool *)member(f, object) = json_is_true(value);
        return 0;
    case FIELD_CHOICE:
        if (!json_is_string(value)) return wrong_type(value, "a name", where, err);
        return name_find(member(f, object), json_string_value(value), f->names, where, err);
    case FIELD_STRING:
        if (!json_is_string(value)) return wrong_type(value, "a string", where, err);
        return store_string(f, object, json_string_value(value), where, err);
    case FIELD_INTS: return read_ints(f, object, value, where, err);
    case FIELD_STRINGS: return read_strings(f, object, value, where, err);
    }
    return 0;
}

/* True when some row's key lies below `key` ("positions" for "positions.kind"). */
static bool is_group(const field_table *table, const char *key) {
    size_t size = strlen(key);
    for (int i = 0; i < table->count; i++)
        if (!strncmp(table->rows[i].key, key, size) && table->rows[i].key[size] == '.') return true;
    return false;
}

static int unknown_key(const field_table *table, const char *key, const char *where,
                       pcv_error *err) {
    const char *names[256];
    int count = table->count < 256 ? table->count : 256;
    for (int i = 0; i < count; i++) names[i] = table->rows[i].key;
    const char *near = nearest_name(key, names, count);
    return fail(err, PCV_CONFIG, "%s: unknown key '%s'%s%s%s", where, key,
                near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int read_group(const field_table *table, void *object, const json_t *json,
                      const char *prefix, const char *const *others, const char *where, pcv_error *err) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, name, value) {
        char key[256], place[512];
        if (name_is_one_of(name, others)) continue;
        if (snprintf(key, sizeof key, "%s%s", prefix, name) >= (int)sizeof key)
            return fail(err, PCV_CONFIG, "%s: a key of more than 255 bytes", where);
        snprintf(place, sizeof place, "%s: %s", where, key);
        const field *f = fields_by_key(table, key);
        int status = 0;
        if (f) status = field_read(f, object, value, place, err);
        else if (!is_group(table, key)) status = unknown_key(table, key, where, err);
        else if (!json_is_object(value)) status = wrong_type(value, "an object", place, err);
        else {
            snprintf(place, sizeof place, "%s.", key);
            status = read_group(table, object, value, place, NULL, where, err);
        }
        if (status) return status;
    }
    return 0;
}

int fields_read(const field_table *table, void *object, const json_t *json, const char *const *others,
                const char *where, pcv_error *err) {
    if (!json_is_object(json)) return wrong_type(json, "an object", where, err);
    return read_group(table, object, json, "", others, where, err);
}

int fields_check(const field_table *table, const void *object, pcv_error *err) {
    int status = 0;
    for (int i = 0; i < table->count && !status; i++) {
        const field *f = &table->rows[i];
        const void *m = member_const(f, object);
        if (f->type == FIELD_INT) status = int_in_range(f, *(const int64_t *)m, f->key, err);
        if (f->type == FIELD_REAL || f->type == FIELD_BELOW) status = real_in_range(f, *(const double *)m, f->key, err);
    }
    return status;
}

/* NULL where a string is no UTF-8, which JSON cannot hold. */
static json_t *strings_json(const field_strings *list) {
    json_t *array = json_array();
    bool whole = true;
    for (const char *at = NULL; whole && (at = field_strings_next(list, at));)
        whole = !json_array_append_new(array, json_string(at));
    if (whole) return array;
    json_decref(array);
    return NULL;
}

static json_t *ints_json(const field_ints *list) {
    json_t *array = json_array();
    bool whole = true;
    for (int64_t i = 0; i < list->count && whole; i++) whole = !json_array_append_new(array, json_integer(list->v[i]));
    if (whole) return array;
    json_decref(array);
    return NULL;
}

static json_t *field_json(const field *f, const void *object) {
    const void *m = member_const(f, object);
    switch (f->type) {
    case FIELD_INT: return json_integer(*(const int64_t *)m);
    case FIELD_REAL:
    case FIELD_BELOW: return json_real(*(const double *)m);
    case FIELD_BOOL: return json_boolean(*(const bool *)m);
    case FIELD_CHOICE: return json_string(f->names[*(const int *)m]);
    case FIELD_STRING: return json_string(m);
    case FIELD_STRINGS: return strings_json(m);
    case FIELD_INTS: return ints_json(m);
    }
    return NULL;
}

/* The object at the path in front of the last dot of key, made when it is not there. */
static json_t *group_of(json_t *out, const char *key) {
    for (const char *dot; (dot = strchr(key, '.')); key = dot + 1) {
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)(dot - key), key);
        json_t *group = json_object_get(out, name);
        if (!group) {
            group = json_object();
            if (json_object_set_new(out, name, group)) return NULL;
        }
        out = group;
    }
    return out;
}

int fields_write(const field_table *table, const void *object, json_t *out, pcv_error *err) {
    for (int i = 0; i < table->count; i++) {
        const field *f = &table->rows[i];
        if (!f->initial) continue;
        const char *dot = strrchr(f->key, '.');
        json_t *group = group_of(out, f->key);
        if (!group || json_object_set_new(group, dot ? dot + 1 : f->key, field_json(f, object)))
            return fail(err, PCV_MEMORY, "not enough memory to write the settings");
    }
    return 0;
}

/* ------------------------------------------------------------------ JSON files */

/* Behind the string that begins at data[at]. */
static size_t string_end(const char *data, size_t at, size_t size) {
    while (++at < size && data[at] != '"') at += data[at] == '\\';
    return at < size ? at : size;
}

/* What jansson 2.14 takes for each, with malloc's own; a number counts at its first digit. It reads no deeper. */
size_t json_cost(const char *data, size_t size) {
    enum { BYTE = 2, OBJECT = 256, LIST = 144, MEMBER = 112, STRING = 64, NUMBER = 32, PLACE = 32, DEEPEST = 2048 };
    size_t sum = BYTE * size;
    int depth = 0;
    bool number = false;
    for (size_t at = 0; at < size && depth <= DEEPEST; at++) {
        char c = data[at];
        bool digit = c >= '0' && c <= '9';
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (digit && !number) sum += NUMBER;
        else if (c == '{') sum += OBJECT;
        else if (c == '[') sum += LIST;
        else if (c == ':') sum += MEMBER;
        else if (c == ',') sum += PLACE;
        else if (c == '"') sum += STRING, at = string_end(data, at, size);
        number = digit || (number && (c == '.' || c == 'e' || c == 'E' || c == '-' || c == '+'));
    }
    return sum;
}

int json_parse(json_t **out, const char *data, size_t size, size_t memory, const char *where,
               pcv_error *err) {
    json_error_t reason;
    size_t cost = json_cost(data, size);
    void *room;
    *out = NULL;
    if (cost > memory)
        return fail(err, PCV_DATA, "%s: %zu bytes of JSON that would take more than %zu of memory", where,
                    size, memory);
    /* jansson takes a lack of memory for bad text here and there, so it is asked for first */
    if (mem_get(&room, cost, "JSON", NULL)) return fail(err, PCV_MEMORY, "%s: not enough memory to read it", where);
    mem_free(room);
    *out = json_loadb(data, size, JSON_REJECT_DUPLICATES, &reason);
    if (*out) return 0;
    if (json_error_code(&reason) == json_error_out_of_memory)
        return fail(err, PCV_MEMORY, "%s: not enough memory to read it", where);
    return fail(err, PCV_DATA, "%s: not valid JSON: line %d, column %d: %s", where, reason.line,
                reason.column, reason.text);
}

static int take_bytes(const char *bytes, size_t size, void *out) {
    text_bytes(out, bytes, size);
    return text_ok(out) ? 0 : -1;
}

void json_print(text *out, const json_t *json, size_t flags) {
    if (json_dump_callback(json, take_bytes, out, flags)) out->failed = true;
}

int json_read(json_t **out, const char *path, size_t limit, pcv_error *err) {
    *out = NULL;
    file_bytes content;
    int status = file_read(path, limit, &content, err);
    if (status) return status;
    status = json_parse(out, content.data, content.size, JSON_MEMORY + 32 * content.size, path, err);
    file_bytes_free(&content);
    return status;
}

/* A JSON value with as few digits as give every number back: 0.1, not 0.10000000000000001. */
static void print_exactly(text *out, const json_t *json) {
    for (size_t digits = 10;; digits++) {
        out->size = 0;
        json_print(out, json, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(digits));
        if (!text_ok(out) || digits == 17) return;
        json_t *back = json_loadb(out->data, out->size, 0, NULL);
        bool same = back && json_equal(json, back);
        json_decref(back);
        if (same) return;
    }
}

int json_write(const json_t *json, const char *path, pcv_error *err) {
    text content = {0};
    print_exactly(&content, json);
    text_bytes(&content, "\n", 1);
    int status = text_ok(&content) ? file_write(path, content.data, content.size, err)
                                   : fail(err, PCV_MEMORY, "not enough memory to write %s", path);
    text_free(&content);
    return status;
}

int json_get_int(const json_t *json, const char *key, int64_t low, int64_t high, int64_t *out,
                 const char *where, pcv_error *err) {
    const json_t *value = json_object_get(json, key);
    if (!json_is_integer(value))
        return fail(err, PCV_DATA, "%s: '%s' is %s, expected a whole number", where, key,
                    value ? type_name(value) : "missing");
    *out = json_integer_value(value);
    if (*out < low || *out > high)
        return fail(err, PCV_DATA, "%s: '%s' is %lld, expected %lld to %lld", where, key,
                    (long long)*out, (long long)low, (long long)high);
    return 0;
}

int json_get_string(const json_t *json, const char *key, const char **out, const char *where,
                    pcv_error *err) {
    const json_t *value = json_object_get(json, key);
    if (!json_is_string(value))
        return fail(err, PCV_DATA, "%s: '%s' is %s, expected a string", where, key,
                    value ? type_name(value) : "missing");
    *out = json_string_value(value);
    return 0;
}
