#include "compare/comparison.h"
#include "base/file.h"
#include "base/text.h"
#include "base/watch.h"
#include "model/architecture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD "cells.jsonl"
enum { RECORD_LIMIT = 16 << 20 };

int comparison_model(const comparison *c, int arch, int64_t layers, int64_t context, model_config *m, pcv_error *err) {
    int status = settings_model(c->settings, m, err);
    if (status) return status;
    m->architecture = c->entry[arch].architecture;
    m->layers = layers;
    m->context = context;
    if (m->latents > context) m->latents = context;
    if (m->sparse.stride > context) m->sparse.stride = context;
    if (m->positions.axes.count == 1) m->positions.axes.count = 0;
    status = dataset_shape(c->data, c->settings, m, err);
    if (!status) status = model_config_check(m, err);
    return status ? fail_context(err, "%s", c->entry[arch].name) : 0;
}

/* ------------------------------------------------------------------ on the way */

int comparison_report(const comparison *c, double done, const char *line, pcv_error *err) {
    pcv_progress p = {.stage = "comparing", .done = done, .total = c->expected, .line = line, .seconds = done};
    if (watch_ask(c->watch, &p) != PCV_STOP) return 0;
    return fail(err, PCV_INTERRUPTED, "interrupted; go on with --resume");
}

/* ------------------------------------------------------------------ the record */

int record_add(const comparison *c, json_t *line, pcv_error *err) {
    char path[PATH_SIZE];
    text content = {0};
    int status = 0;
    if (line) json_print(&content, line, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(line);
    if (!text_ok(&content)) status = fail(err, PCV_MEMORY, "not enough memory for a record");
    if (!status) status = path_own(path, c->options->output, RECORD, err);
    FILE *f = status ? NULL : fopen(path, "a");
    if (!status && (!f || fprintf(f, "%s\n", content.data) < 0 || fflush(f) || fsync(fileno(f))))
        status = fail_errno(err, PCV_IO, "%s", path);
    if (f && fclose(f) && !status) status = fail_errno(err, PCV_IO, "%s", path);
    text_free(&content);
    return status;
}

static int entry_named(const comparison *c, const char *name) {
    for (int i = 0; i < c->entries; i++)
        if (name && !strcmp(c->entry[i].name, name)) return i;
    return -1;
}

static double real_of(const json_t *line, const char *key) { return json_number_value(json_object_get(line, key)); }

static double error_of(const json_t *line) { /* null: undefined */
    return json_is_number(json_object_get(line, "error")) ? real_of(line, "error") : NAN;
}

static int64_t count_of(const json_t *line, const char *key) { return json_integer_value(json_object_get(line, key)); }

static void read_cost(comparison *c, int arch, const json_t *line) {
    const char *end = json_string_value(json_object_get(line, "end"));
    for (int i = 0; i < c->cells; i++) {
        cost_cell *cell = &c->cell[i];
        bool same = cell->arch == arch && cell->layers == count_of(line, "layers");
        if (!same || cell->context != count_of(line, "context")) continue;
        cell->seconds = real_of(line, "seconds");
        cell->predicted = real_of(line, "predicted_seconds");
        cell->peak = count_of(line, "peak_bytes");
        cell->end = end && !strcmp(end, cost_ends[COST_MEASURED]) ? COST_MEASURED : COST_TIME;
        if (cell->end != COST_MEASURED) continue;
        c->flops[arch] += cell->flops;
        c->seconds[arch] += cell->seconds;
    }
}

static void read_quality(comparison *c, int arch, const char *kind, const json_t *line) {
    quality_run *q = &c->quality[arch];
    double bits = real_of(line, "bits");
    if (!strcmp(kind, "rate")) {
        for (int r = 0; r < c->rates; r++)
            if (c->rate[r] == real_of(line, "rate")) q->rate_bits[r] = bits;
    } else if (!strcmp(kind, "point") && q->points < MOST_POINTS) {
        q->point[q->points++] = (quality_point){real_of(line, "minutes"), bits, error_of(line)};
        q->steps = count_of(line, "steps");
        q->tokens = count_of(line, "tokens");
    } else if (!strcmp(kind, "test")) {
        q->test_bits = bits;
        q->test_error = error_of(line);
        q->test_tokens = count_of(line, "tokens");
    } else if (!strcmp(kind, "model")) {
        q->layers = count_of(line, "layers");
        q->context = count_of(line, "context");
        q->parameters = count_of(line, "parameters");
        q->recorded = true;
    }
}

int record_read(comparison *c, pcv_error *err) {
    char path[PATH_SIZE];
    file_bytes bytes;
    int status = path_join(path, c->options->output, RECORD, err);
    if (status || !path_exists(path)) return status;
    status = file_read(path, RECORD_LIMIT, &bytes, err);
    if (status) return status;
    const char *at = (const char *)bytes.data, *end = at + bytes.size;
    for (const char *stop; at < end && (stop = memchr(at, '\n', (size_t)(end - at))); at = stop + 1) {
        json_t *line = json_loadb(at, (size_t)(stop - at), 0, NULL);
        const char *kind = json_string_value(json_object_get(line, "kind"));
        int arch = entry_named(c, json_string_value(json_object_get(line, "arch")));
        if (kind && arch >= 0 && !strcmp(kind, "cost")) read_cost(c, arch, line);
        else if (kind && arch >= 0) read_quality(c, arch, kind, line);
        json_decref(line);
    }
    file_bytes_free(&bytes);
    return 0;
}
