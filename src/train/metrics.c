#include "train/metrics.h"
#include "base/clock.h"
#include "base/fields.h"
#include "base/file.h"
#include "base/text.h"
#include "base/watch.h"
#include "config/run_files.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static const char NAME[] = RUN_METRICS;

/* Is it a whole line that stands, after what was said above? */
static bool stands(const char *line, size_t size, int64_t step, int64_t looks) {
    json_t *json = NULL;
    bool good = false;
    if (!json_parse(&json, line, size, JSON_MEMORY, NAME, NULL)) {
        const json_t *value = json_object_get(json, "step");
        int64_t last = json_object_get(json, "loss") ? step : looks;
        good = json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= last;
    }
    json_decref(json);
    return good;
}

/* Rewrites the file without the lines that do not stand, and without a torn last one. */
static int keep_lines(const char *path, int64_t step, int64_t looks, pcv_error *err) {
    file_bytes all;
    text kept = {0};
    int status = file_read(path, (size_t)1 << 32, &all, err);
    if (status) return status;
    for (size_t at = 0; at < all.size;) {
        const char *end = memchr(all.data + at, '\n', all.size - at);
        if (!end) break;
        size_t size = (size_t)(end - (all.data + at));
        if (stands(all.data + at, size, step, looks)) text_bytes(&kept, all.data + at, size + 1);
        at += size + 1;
    }
    if (kept.failed) status = fail(err, PCV_MEMORY, "not enough memory to read %s", path);
    else status = file_write(path, kept.data ? kept.data : "", kept.size, err);
    text_free(&kept);
    file_bytes_free(&all);
    return status;
}

int metrics_open(metrics *m, const char *run, int64_t step, int64_t looks, const pcv_watch *watch, pcv_error *err) {
    char path[PATH_SIZE];
    *m = (metrics){.watch = watch};
    snprintf(m->run, sizeof m->run, "%s", run);
    int status = path_own(path, run, NAME, err);
    if (!status && path_exists(path)) status = keep_lines(path, step, looks, err);
    if (status) return status;
    m->file = fopen(path, "ab");
    if (!m->file) return fail_errno(err, PCV_CANTCREATE, "%s: cannot open", path);
    tensorboard_open(&m->board, run, step);
    if (!path_join(path, run, "validation", NULL)) tensorboard_open(&m->validations, path, looks);
    return 0;
}

void metrics_close(metrics *m) {
    if (m->file) fclose(m->file);
    m->file = NULL;
    tensorboard_close(&m->board);
    tensorboard_close(&m->validations);
}

static void write_line(metrics *m, const text *line) {
    bool ok = text_ok(line) && m->file && fwrite(line->data, 1, line->size, m->file) == line->size &&
              fflush(m->file) == 0;
    if (ok || m->complained) return;
    m->complained = true;
    watch_say(m->watch, "metrics.jsonl cannot be written (%s); training goes on", strerror(errno));
}

void metrics_write(metrics *m, int64_t step, const metric *list, int count) {
    static const char prefix[] = "validation_";
    text line = {0};
    text_add(&line, "{\"step\": %lld, \"time\": %.3f", (long long)step, clock_wall());
    for (int i = 0; i < count; i++) {
        if (isfinite(list[i].value)) text_add(&line, ", \"%s\": %.9g", list[i].name, list[i].value);
        else text_add(&line, ", \"%s\": null", list[i].name);
        bool validation = !strncmp(list[i].name, prefix, sizeof prefix - 1);
        const char *tag = list[i].name + (validation ? sizeof prefix - 1 : 0);
        tensorboard_scalar(validation ? &m->validations : &m->board, tag, step, list[i].value);
    }
    text_add(&line, "}\n");
    write_line(m, &line);
    text_free(&line);
}

static void write_sample(metrics *m, int64_t step, const char *key, const char *sample, size_t size) {
    text line = {0};
    text_add(&line, "{\"step\": %lld, \"time\": %.3f, \"%s\": ", (long long)step, clock_wall(), key);
    text_json(&line, sample, size);
    text_add(&line, "}\n");
    write_line(m, &line);
    text_free(&line);
}

void metrics_sample(metrics *m, int64_t step, const char *sample, size_t size) {
    write_sample(m, step, "sample", sample, size);
    tensorboard_text(&m->validations, step, sample, size);
}

void metrics_sample_file(metrics *m, int64_t step, const char *name) {
    char path[PATH_SIZE], drawn[PATH_SIZE + 4];
    write_sample(m, step, "sample_file", name, strlen(name));
    if (path_join(path, m->run, name, NULL)) return;
    tensorboard_file(&m->validations, step, path);
    snprintf(drawn, sizeof drawn, "%s.png", path); /* of what is no picture itself, where there is one */
    tensorboard_file(&m->validations, step, drawn);
}
