#include "media/points_file.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void points_free(points *p) {
    mem_free(p->xyz);
    *p = (points){0};
}

static int add_point(points *p, const double at[3], const char *name, pcv_error *err) {
    if (!isfinite(at[0]) || !isfinite(at[1]) || !isfinite(at[2]) || fabs(at[0]) > 1e30 || fabs(at[1]) > 1e30 ||
        fabs(at[2]) > 1e30)
        return fail(err, PCV_DATA, "%s: point %zu has a coordinate that is no number", name, p->count);
    if (p->count == POINTS_MOST) return fail(err, PCV_DATA, "%s: more than %d points", name, POINTS_MOST);
    if (p->count == p->capacity) {
        size_t capacity = 2 * p->capacity + 1024;
        int status = mem_resize(&p->xyz, 3 * capacity * sizeof *p->xyz, "points", err);
        if (status) return status;
        p->capacity = capacity;
    }
    for (int k = 0; k < 3; k++) p->xyz[3 * p->count + (size_t)k] = (float)at[k];
    p->count++;
    return 0;
}

/* ------------------------------------------------------------------ lines of numbers */

typedef struct lines {
    const char *at, *end;
    int64_t number;
} lines;

/* The next line without its end, copied so that a zero stands behind it; what is longer is cut. */
static bool next_line(lines *l, char *out, size_t size) {
    if (l->at >= l->end) return false;
    const char *stop = memchr(l->at, '\n', (size_t)(l->end - l->at));
    size_t length = (size_t)((stop ? stop : l->end) - l->at), kept = length < size - 1 ? length : size - 1;
    memcpy(out, l->at, kept);
    if (kept && out[kept - 1] == '\r') kept--;
    out[kept] = 0;
    l->at += length + (stop != NULL);
    l->number++;
    return true;
}

/* The first numbers of a line, with commas or white space between them: how many of `most` there are. */
static int take_numbers(const char *line, double *out, int most) {
    int count = 0;
    for (char *end; count < most; line = end) {
        line += strspn(line, " \t,;");
        out[count] = strtod(line, &end);
        if (end == line) break;
        count++;
    }
    return count;
}

static bool is_nothing(const char *line) {
    line += strspn(line, " \t,;");
    return !*line || *line == '#';
}

/* `wanted` lines of points, -1: all that there are; the first may be a heading then. */
static int read_table(points *p, lines *l, int64_t wanted, const char *name, pcv_error *err) {
    char line[1024];
    double at[3];
    bool first = wanted < 0;
    for (int64_t done = 0; done != wanted && next_line(l, line, sizeof line);) {
        if (is_nothing(line)) continue;
        int count = take_numbers(line, at, 3);
        if (count < 3 && !(first && count == 0))
            return fail(err, PCV_DATA, "%s: line %lld: %d number%s, expected the 3 coordinates of a point", name,
                        (long long)l->number, count, plural(count));
        first = false;
        if (count < 3) continue;
        int status = add_point(p, at, name, err);
        if (status) return status;
        done++;
    }
    if (wanted >= 0 && (int64_t)p->count < wanted)
        return fail(err, PCV_DATA, "%s: %zu point%s, but its head says %lld: truncated", name, p->count,
                    plural((int64_t)p->count), (long long)wanted);
    return 0;
}

/* "OFF", perhaps with the counts in the same line; then vertices, faces and edges, and the vertices. */
static int read_off(points *p, lines *l, const char *name, pcv_error *err) {
    char line[1024];
    double counts[3];
    if (!next_line(l, line, sizeof line) || strncmp(line, "OFF", 3))
        return fail(err, PCV_DATA, "%s: it does not begin with OFF", name);
    const char *rest = line + 3;
    while (is_nothing(rest)) {
        if (!next_line(l, line, sizeof line)) return fail(err, PCV_DATA, "%s: ends in its head", name);
        rest = line;
    }
    if (take_numbers(rest, counts, 3) < 1 || !(counts[0] >= 0 && counts[0] <= POINTS_MOST))
        return fail(err, PCV_DATA, "%s: line %lld: expected how many vertices there are", name, (long long)l->number);
    return read_table(p, l, (int64_t)counts[0], name, err);
}

/* ------------------------------------------------------------------ PLY */

static const struct {
    const char *names[2];
    int bytes;
    char kind; /* u, i, f */
} types[] = {{{"char", "int8"}, 1, 'i'}, {{"uchar", "uint8"}, 1, 'u'}, {{"short", "int16"}, 2, 'i'},
             {{"ushort", "uint16"}, 2, 'u'}, {{"int", "int32"}, 4, 'i'}, {{"uint", "uint32"}, 4, 'u'},
             {{"float", "float32"}, 4, 'f'}, {{"double", "float64"}, 8, 'f'}};
enum { TYPES = sizeof types / sizeof *types, MOST_PROPERTIES = 256 };

typedef struct ply {
    bool binary, big;
    int64_t vertices;
    int properties, type[MOST_PROPERTIES]; /* of a vertex */
    int at[3]; /* which are x, y and z */
} ply;

static int type_named(const char *name) {
    for (int i = 0; i < TYPES; i++)
        if (!strcmp(name, types[i].names[0]) || !strcmp(name, types[i].names[1])) return i;
    return -1;
}

static int take_property(ply *h, char *words, const char *name, pcv_error *err) {
    static const char *const axes[3] = {"x", "y", "z"};
    char *rest = NULL, *type = strtok_r(words, " \t", &rest), *what = strtok_r(NULL, " \t", &rest);
    int number = type ? type_named(type) : -1;
    if (number < 0 || !what || h->properties == MOST_PROPERTIES)
        return fail(err, PCV_DATA, "%s: a vertex has the property '%.40s', expected a number", name, type ? type : "");
    for (int k = 0; k < 3; k++)
        if (!strcmp(what, axes[k])) h->at[k] = h->properties;
    h->type[h->properties++] = number;
    return 0;
}

static int read_head(ply *h, lines *l, const char *name, pcv_error *err) {
    char line[1024];
    bool in_vertex = false, ended = false;
    *h = (ply){.vertices = -1, .at = {-1, -1, -1}};
    if (!next_line(l, line, sizeof line) || strcmp(line, "ply"))
        return fail(err, PCV_DATA, "%s: it does not begin with ply", name);
    while (!ended && next_line(l, line, sizeof line)) {
        int status = 0;
        if (!strncmp(line, "format ", 7)) {
            h->big = !strncmp(line + 7, "binary_big_endian", 17);
            h->binary = h->big || !strncmp(line + 7, "binary_little_endian", 20);
            if (!h->binary && strncmp(line + 7, "ascii", 5))
                return fail(err, PCV_DATA, "%s: the format '%.40s', expected ascii or binary", name, line + 7);
        } else if (!strncmp(line, "element ", 8)) {
            in_vertex = !strncmp(line + 8, "vertex ", 7);
            if (!in_vertex && h->vertices < 0)
                return fail(err, PCV_DATA, "%s: '%.40s' stands in front of the vertices", name, line + 8);
            double count = 0;
            if (in_vertex && (take_numbers(line + 15, &count, 1) < 1 || !(count >= 0 && count <= POINTS_MOST)))
                return fail(err, PCV_DATA, "%s: '%.60s': expected 0 to %d vertices", name, line, POINTS_MOST);
            if (in_vertex) h->vertices = (int64_t)count;
        } else if (in_vertex && !strncmp(line, "property ", 9)) status = take_property(h, line + 9, name, err);
        else ended = !strcmp(line, "end_header");
        if (status) return status;
    }
    if (!ended || h->vertices < 0 || h->at[0] < 0 || h->at[1] < 0 || h->at[2] < 0)
        return fail(err, PCV_DATA, "%s: its head names no vertices with x, y and z, or has no end", name);
    return 0;
}

static double number_at(const unsigned char *from, int type, bool big) {
    unsigned char b[8];
    int n = types[type].bytes;
    for (int i = 0; i < n; i++) b[i] = from[big ? n - 1 - i : i];
    uint64_t bits = 0;
    for (int i = 0; i < n; i++) bits |= (uint64_t)b[i] << 8 * i;
    if (types[type].kind == 'u') return (double)bits;
    if (types[type].kind == 'i') {
        int shift = 64 - 8 * n;
        return (double)((int64_t)(bits << shift) >> shift);
    }
    if (n == 4) {
        float x;
        uint32_t low = (uint32_t)bits;
        memcpy(&x, &low, sizeof x);
        return (double)x;
    }
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int read_vertices(points *p, const ply *h, lines *l, const char *name, pcv_error *err) {
    char line[4096];
    double all[MOST_PROPERTIES], at[3];
    size_t bytes = 0, offset[MOST_PROPERTIES];
    for (int i = 0; i < h->properties; bytes += (size_t)types[h->type[i++]].bytes) offset[i] = bytes;
    for (int64_t n = 0; n < h->vertices; n++) {
        bool there = h->binary ? (size_t)(l->end - l->at) >= bytes : next_line(l, line, sizeof line);
        if (there && !h->binary) there = take_numbers(line, all, h->properties) == h->properties;
        if (!there)
            return fail(err, PCV_DATA, "%s: %lld of %lld vertices: truncated or damaged", name, (long long)n,
                        (long long)h->vertices);
        for (int k = 0; k < 3; k++)
            at[k] = h->binary ? number_at((const unsigned char *)l->at + offset[h->at[k]], h->type[h->at[k]], h->big)
                              : all[h->at[k]];
        if (h->binary) l->at += bytes;
        int status = add_point(p, at, name, err);
        if (status) return status;
    }
    return 0;
}

/* ------------------------------------------------------------------ files */

int points_parse(points *p, const char *data, size_t size, const char *name, pcv_error *err) {
    lines l = {.at = data, .end = data + size};
    ply head;
    int status = 0;
    *p = (points){0};
    if (size >= 3 && !memcmp(data, "OFF", 3)) TRY(read_off(p, &l, name, err));
    else if (size >= 4 && !memcmp(data, "ply", 3)) {
        TRY(read_head(&head, &l, name, err));
        TRY(read_vertices(p, &head, &l, name, err));
    } else if (memchr(data, 0, size)) status = fail(err, PCV_DATA, "%s: binary, and no PLY", name);
    else TRY(read_table(p, &l, -1, name, err));
    if (!status && !p->count) status = fail(err, PCV_DATA, "%s: no points", name);
out:
    if (status) points_free(p);
    return status;
}

int points_read(points *p, const char *path, pcv_error *err) {
    file_bytes bytes;
    *p = (points){0};
    int status = file_read(path, POINTS_FILE, &bytes, err);
    if (status) return status;
    status = points_parse(p, bytes.data, bytes.size, path, err);
    file_bytes_free(&bytes);
    return status;
}

void points_normalize(points *p) {
    double mean[3] = {0}, most = 0;
    for (size_t i = 0; i < 3 * p->count; i++) mean[i % 3] += (double)p->xyz[i] / (double)p->count;
    for (size_t i = 0; i < 3 * p->count; i++) most = fmax(most, fabs((double)p->xyz[i] - mean[i % 3]));
    for (size_t i = 0; i < 3 * p->count; i++)
        p->xyz[i] = most > 0 ? (float)(((double)p->xyz[i] - mean[i % 3]) / most) : 0;
}
