/* Point clouds as tokens: x, y and z of each point, each one of 65,533 steps from -1 to 1. A cloud is centred and
 * scaled to fill that range; its points keep the order of their file, which says nothing. */
#include "token/token.h"
#include "base/file.h"
#include "base/text.h"
#include "media/points_file.h"
#include "token/points.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STEPS = 65533 }; /* so that all ids take two bytes */

static int open_points(tokenizer *t, pcv_error *err) {
    (void)err;
    t->pad = 0, t->end = -1, t->start = 2, t->first = 3;
    t->vocab = t->first + STEPS;
    t->shape[2] = 3;
    t->period = 3;
    return 0;
}

static float value_of(int32_t step) { return (float)(2.0 * step / (STEPS - 1) - 1); }

int32_t points_id(double x) {
    double at = fmin(fmax(x, -1), 1);
    return 3 + (int32_t)((at + 1) / 2 * (STEPS - 1) + 0.5);
}

static int read_points(const tokenizer *t, const char *path, id_list *ids, pcv_error *err) {
    points p;
    int32_t id[3];
    int status = points_read(&p, path, err);
    (void)t;
    if (!status) points_normalize(&p);
    for (size_t i = 0; i < p.count && !status; i++) {
        for (size_t k = 0; k < 3; k++) id[k] = points_id((double)p.xyz[3 * i + k]);
        status = id_list_add(ids, id, 3, err);
    }
    points_free(&p);
    return status;
}

static void values_points(const tokenizer *t, const int32_t *ids, size_t count, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = ids[i] < t->first ? 0 : value_of(ids[i] - t->first);
}

static int check_points(const tokenizer *t, const char *path, pcv_error *err) {
    size_t size = strlen(path);
    (void)t;
    if (size > 4 && !strcmp(path + size - 4, ".xyz")) return 0;
    return fail(err, PCV_USAGE, "%s: point clouds are written as .xyz", path);
}

static int write_points(const tokenizer *t, const int32_t *ids, size_t count, const char *path, pcv_error *err) {
    text out = {0};
    for (size_t i = 0; i + 3 <= count; i += 3) {
        float at[3];
        values_points(t, ids + i, 3, at);
        text_add(&out, "%.6g %.6g %.6g\n", (double)at[0], (double)at[1], (double)at[2]);
    }
    int status = text_ok(&out) ? file_write(path, out.data, out.size, err)
                               : fail(err, PCV_MEMORY, "not enough memory for %s", path);
    text_free(&out);
    return status;
}

static void meaning_points(const tokenizer *t, text *out) { text_add(out, "%lld", (long long)t->vocab); }

const token_type token_points = {
    .name = "points",
    .help = "x, y and z of every point, 65,533 steps each",
    .kind = "points",
    .unit = "coordinate",
    .extension = ".xyz",
    .open = open_points,
    .read = read_points,
    .write = write_points,
    .check_name = check_points,
    .values = values_points,
    .meaning = meaning_points,
};
