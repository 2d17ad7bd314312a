/* What more latents buy, or a longer context: the same targets, scored in several ways. */
#include "eval/sweep.h"
#include "base/file.h"
#include "base/text.h"
#include "config/settings.h"
#include "report/chart.h"

#include <string.h>

static const int64_t usual_latents[] = {16, 64, 128, 256, 512, 1024, 1536};

static bool varies_latents(const char *kind) { return !strcmp(kind, "latents"); }

/* The list to try where the caller gave none. */
static int usual_values(bool latents, const eval_config *c, int64_t value[PCV_BUCKETS]) {
    int count = 0;
    for (size_t i = 0; latents && i < sizeof usual_latents / sizeof *usual_latents; i++)
        if (usual_latents[i] <= c->context) value[count++] = usual_latents[i];
    for (int64_t n = c->latents; !latents && count < PCV_BUCKETS; n *= 2) {
        value[count++] = n < c->context ? n : c->context;
        if (n >= c->context) break;
    }
    return count;
}

/* Checks one value as the evaluation's own option would be. */
static int make_point(pcv_sweep_point *p, const char *kind, int64_t value, const eval_config *c,
                      const model_config *m, pcv_error *err) {
    eval_config one = *c;
    if (value < 1) return fail(err, PCV_USAGE, "--values: %lld, expected at least 1", (long long)value);
    if (varies_latents(kind)) {
        one.latents = value;
        one.stride = 0;
    } else {
        one.context = value;
        if (one.latents > value) one.latents = value;
        if (one.stride > one.latents) one.stride = 0;
    }
    if (evaluate_defaults(&one, m, err)) return fail_context(err, "--sweep %s, value %lld", kind, (long long)value);
    *p = (pcv_sweep_point){.latents = one.latents, .context = one.context, .stride = one.stride};
    return 0;
}

int sweep_run(pcv_engine *engine, const char *name, const char *kind, const int64_t *values, int count,
              const pcv_settings *settings, const pcv_watch *watch, pcv_sweep_point *point, int *points,
              pcv_error *err) {
    const model_config *m = &engine->m->config;
    int64_t usual[PCV_BUCKETS], span = 1;
    eval_config c;
    tape t = {0};
    evaluation_job job = {.t = &t};
    int status = 0;
    bool latents = varies_latents(kind);
    if (!latents && strcmp(kind, "context"))
        return fail(err, PCV_USAGE, "--sweep: '%s' is not one of latents|context", kind);
    if (count > PCV_BUCKETS)
        return fail(err, PCV_USAGE, "--values: %d of them, at most %d", count, PCV_BUCKETS);
    if (engine->m->type->answers) {
        status = fail(err, PCV_USAGE, "--sweep: for models that go on with what they read; --latents says how many of "
                      "a %s are used", engine->m->type->name);
        goto out;
    }
    TRY(settings_eval(settings, &c, err));
    TRY(evaluation_open(&job, &c, &t, engine, name, watch, err));
    TRY(evaluation_fits(&job, settings, err));
    if (!count) {
        count = usual_values(latents, &c, usual);
        values = usual;
    }
    for (int i = 0; i < count; i++) {
        TRY(make_point(&point[i], kind, values[i], &c, m, err));
        if (point[i].stride > span) span = point[i].stride;
    }
    TRY(evaluate_points(&job, point, count, span, 0, err));
    if (!point[0].tokens)
        status = fail(err, PCV_DATA, "%s: no document of the %s split has %lld target%s in a row behind enough text",
                      job.d->name, split_names[c.split], (long long)span, plural(span));
    *points = count;
out:
    evaluation_close(&job);
    return status;
}

int sweep_check(const char *path, pcv_error *err) {
    static const char *const endings[] = {".svg", NULL};
    int which;
    return path_format(path, endings, &which, err);
}

int sweep_draw(const char *path, const char *kind, const pcv_sweep_point *point, int points, pcv_error *err) {
    double x[PCV_BUCKETS], bits[PCV_BUCKETS], error[PCV_BUCKETS], time[PCV_BUCKETS];
    text out = {0};
    int status = 0;
    if (points > PCV_BUCKETS) points = PCV_BUCKETS;
    bool bytes = points && point[0].bits_per_byte > 0;
    for (int i = 0; i < points; i++) {
        const pcv_sweep_point *p = &point[i];
        x[i] = (double)(varies_latents(kind) ? p->latents : p->context);
        bits[i] = bytes ? p->bits_per_byte : p->bits_per_token;
        error[i] = p->loss > 0 ? p->standard_error * bits[i] / p->loss : 0;
        time[i] = 1000 * p->seconds_per_token;
    }
    const char *label = varies_latents(kind) ? "latents" : "context, tokens";
    chart_line quality = {.x = x, .y = bits, .error = error, .count = points};
    chart_line cost = {.x = x, .y = time, .count = points};
    chart_panel panel[] = {
        {.title = bytes ? "bits per byte" : "bits per token", .x_label = label,
         .y_label = bytes ? "bits per byte" : "bits per token", .log_x = true, .x_tick = x, .x_ticks = points,
         .line = &quality, .lines = 1},
        {.title = "milliseconds per scored token", .x_label = label, .y_label = "ms", .log_x = true, .log_y = true,
         .x_tick = x, .x_ticks = points, .line = &cost, .lines = 1}};
    chart_svg(&out, panel, 2);
    if (!text_ok(&out)) status = fail(err, PCV_MEMORY, "not enough memory for the chart");
    else status = file_write(path, out.data, out.size, err);
    text_free(&out);
    return status;
}
