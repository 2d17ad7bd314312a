/* Settings as tables: one row describes one member of a C struct, and from the rows come parsing of
 * command-line flags, reading and writing of config.json, the help text and the man page.
 *
 *     typedef struct { int64_t layers; double dropout; } config;
 *     static const field rows[] = {
 *         {"layers", "layers", FIELD_INT, offsetof(config, layers), 0, 4096, NULL, "8", "..."},
 *         ...
 *     };
 *     fields_default(&table, &config);
 *     TRY(fields_read(&table, &config, json, NULL, "config.json", err)); */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text;

enum { FIELD_TEXT = 1024, FIELD_LIST = 64 };

typedef enum field_type {
    FIELD_INT,    /* int64_t */
    FIELD_REAL,   /* double */
    FIELD_BELOW,  /* double, less than high */
    FIELD_BOOL,   /* bool; on the command line a flag without value means true */
    FIELD_CHOICE, /* int, an index into names */
    FIELD_STRING, /* char[FIELD_TEXT] */
    FIELD_INTS,   /* field_ints */
    FIELD_STRINGS, /* field_strings; typed, one value adds one string */
} field_type;

typedef struct field_ints {
    int64_t count, v[FIELD_LIST];
} field_ints;

/* Strings of any bytes but zero, one behind the other, a zero byte behind each. */
typedef struct field_strings {
    int64_t count, size; /* bytes in use */
    char v[FIELD_TEXT];
} field_strings;
const char *field_strings_next(const field_strings *list, const char *last); /* last NULL: the first; NULL: no more */

typedef struct field {
    const char *key;  /* path in the JSON object, with dots: "positions.rotary.base" */
    const char *flag; /* name on the command line, or NULL: only in files */
    field_type type;
    size_t offset;
    double low, high;         /* of a number, both allowed (but see FIELD_BELOW) */
    const char *const *names; /* of a choice, NULL-terminated */
    const char *initial;      /* default, as it would be typed; NULL: the row is another row's alias */
    const char *help;
} field;

typedef struct field_table {
    const field *rows;
    int count;
} field_table;

void fields_default(const field_table *table, void *object);
const field *fields_by_flag(const field_table *table, const char *flag);
const field *fields_by_key(const field_table *table, const char *key);

/* Stores the value typed as text (PCV_USAGE when it is none), or read from a file (PCV_CONFIG). `where` names the flag
 * or file in the error. */
int field_parse(const field *f, void *object, const char *value, const char *where, pcv_error *err);
int field_read(const field *f, void *object, const json_t *value, const char *where,
               pcv_error *err);
void field_copy(const field *f, void *to, const void *from); /* between two objects of the table's struct */
const char *field_name(const field *f, const void *object);  /* of a choice */
void field_print(const field *f, const void *object, char *out, size_t size);
bool field_same(const field *f, const void *a, const void *b); /* as they are printed */

/* Reads the members that are there; an unknown key is an error that names the nearest valid one. `others`
 * (NULL-terminated, or NULL) are keys of the same JSON object that belong to somebody else. */
int fields_read(const field_table *table, void *object, const json_t *json, const char *const *others,
                const char *where, pcv_error *err);

/* Every number within its row's range? For objects that came together in other ways than by these functions. */
int fields_check(const field_table *table, const void *object, pcv_error *err);

/* Adds every member to the JSON object `out`. */
int fields_write(const field_table *table, const void *object, json_t *out, pcv_error *err);

/* A JSON file of at most `limit` bytes; duplicate keys, bad UTF-8 and trailing text are refused. */
int json_read(json_t **out, const char *path, size_t limit, pcv_error *err);

/* The same for a text, which may become `memory` bytes of objects: small values take many times the bytes
 * that they are written in. How many is told by its characters, before any is taken. */
enum { JSON_MEMORY = 32 << 20 };
int json_parse(json_t **out, const char *data, size_t size, size_t memory, const char *where,
               pcv_error *err);
size_t json_cost(const char *data, size_t size); /* bytes at most, and not many times too many */

/* Appends a value as text; jansson's flags. Whatever allocator the program gave to jansson, this memory is ours. */
void json_print(struct text *out, const json_t *json, size_t flags);
int json_write(const json_t *json, const char *path, pcv_error *err); /* indented, atomic */

/* Members of an object of ours, by type; PCV_DATA names file and key when one is missing or wrong. */
int json_get_int(const json_t *json, const char *key, int64_t low, int64_t high, int64_t *out,
                 const char *where, pcv_error *err);
int json_get_string(const json_t *json, const char *key, const char **out, const char *where,
                    pcv_error *err);

#endif
