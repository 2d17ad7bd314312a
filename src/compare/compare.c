/* From options to a finished comparison: the lists are parsed, all cells planned, so that what does not fit is
 * known before anything runs; the record of an interrupted comparison is read over the plan, and what still waits
 * is measured. Cells stand by entry, depth and context, from short to long: a context that takes too long ends its
 * row. */
#include "compare/compare.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/number.h"
#include "base/watch.h"
#include "compare/about.h"
#include "compare/cost.h"
#include "compare/page.h"
#include "compare/quality.h"
#include "model/applicable.h"
#include "model/model.h"
#include "train/memory_plan.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ what is compared */

/* Calls take() for every part of "a,b,c". */
static int each_part(const char *list, const char *flag, int most, int (*take)(comparison *, const char *, pcv_error *),
                     comparison *c, pcv_error *err) {
    int count = 0;
    for (const char *at = list; *at; count++) {
        size_t length = strcspn(at, ",");
        char part[128];
        if (length == 0 || length >= sizeof part || count == most)
            return fail(err, PCV_USAGE, "--%s: '%s' is not a list of 1 to %d values like %s", flag, list, most,
                        !strcmp(flag, "archs") ? "perceiver-ar,transformer@1024" : "1,6,12");
        memcpy(part, at, length);
        part[length] = 0;
        int status = take(c, part, err);
        if (status) return status;
        at += length + (at[length] == ',');
    }
    return count ? 0 : fail(err, PCV_USAGE, "--%s: an empty list", flag);
}

static int parse_count(const char *part, const char *flag, int64_t most, int64_t *value, pcv_error *err) {
    char where[64];
    snprintf(where, sizeof where, "--%s", flag);
    return number_read_whole(where, part, 1, most, value, err);
}

/* "1024", or "256x4": a context, and rows of a batch. */
static int parse_training(char *context, entry *e, pcv_error *err) {
    char *rows = strchr(context, 'x');
    if (rows) *rows++ = 0;
    int status = parse_count(context, "archs", MOST_TOKENS, &e->context, err);
    return status || !rows ? status : parse_count(rows, "archs", 65536, &e->rows, err);
}

static int take_arch(comparison *c, const char *part, pcv_error *err) {
    entry *e = &c->entry[c->entries];
    char name[128];
    int status = 0;
    model_config *m = NULL;
    snprintf(name, sizeof name, "%s", part);
    char *at = strchr(name, '@');
    if (at) *at = 0;
    TRY(mem_get(&m, sizeof *m, "a comparison", err));
    const field *f = fields_by_flag(&model_fields, "arch");
    TRY(field_parse(f, m, name, "--archs", err));
    *e = (entry){.architecture = m->architecture};
    snprintf(e->name, sizeof e->name, "%s", f->names[e->architecture]);
    if (at) TRY(parse_training(at + 1, e, err));
    for (int i = 0; i < c->entries; i++)
        if (!strcmp(c->entry[i].name, e->name))
            status = fail(err, PCV_USAGE, "--archs: '%s' is there twice", e->name);
    c->entries++;
out:
    mem_free(m);
    return status;
}

static int take_depth(comparison *c, const char *part, pcv_error *err) {
    return parse_count(part, "depths", 4096, &c->depth[c->depths++], err);
}

static int take_context(comparison *c, const char *part, pcv_error *err) {
    int status = parse_count(part, "contexts", MOST_TOKENS, &c->context[c->contexts++], err);
    if (!status && c->contexts > 1 && c->context[c->contexts - 1] <= c->context[c->contexts - 2])
        status = fail(err, PCV_USAGE, "--contexts: %s does not grow; name them from short to long", part);
    return status;
}

static int take_rate(comparison *c, const char *part, pcv_error *err) {
    return number_read_real("--rates", part, (number_range){0, 10, .above = true}, &c->rate[c->rates++], err);
}

static int parse_lists(comparison *c, const train_config *t, pcv_error *err) {
    const pcv_compare_options *o = c->options;
    int status = 0;
    for (int i = 0; i < MODEL_TYPES && !o->archs; i++)
        if (!model_types[i]->answers) TRY(take_arch(c, model_types[i]->name, err));
    if (o->archs) TRY(each_part(o->archs, "archs", MOST_ARCHS, take_arch, c, err));
    TRY(each_part(o->depths ? o->depths : "1,6,12,36", "depths", MOST_VALUES, take_depth, c, err));
    TRY(each_part(o->contexts ? o->contexts : "512,1024,2048,4096,8192,16384,32768,65536,131072", "contexts",
                  MOST_VALUES, take_context, c, err));
    if (o->rates) TRY(each_part(o->rates, "rates", MOST_VALUES, take_rate, c, err));
    if (!c->rates) c->rate[c->rates++] = t->lr;
out:
    return status;
}

/* They are for all entries: a setting that one of them has is no mistake. */
static int share_settings(comparison *c, pcv_error *err) {
    unsigned all = 0;
    for (int i = 0; i < c->entries; i++) all |= 1u << c->entry[i].architecture;
    int status = settings_fit_some(c->settings, all, PCV_MODEL, err);
    if (!status) status = settings_fit_some(c->settings, all, PCV_TRAINING, err);
    settings_share(c->settings);
    return status;
}

/* ------------------------------------------------------------------ going through the cells */

/* Seconds that the waiting cells are expected to take. */
static double cost_expected(const comparison *c) {
    double sum = 0;
    for (int i = 0; i < c->cells; i++) {
        const cost_cell *cell = &c->cell[i];
        double step = cost_predict(c, cell);
        bool may_end = i % c->contexts != 0; /* its row, which begins with a measured step */
        if (cell->end != COST_WAITS || (may_end && step > 2 * c->options->time_limit)) continue;
        sum += step > 5 ? step : 2 * step + 5;
    }
    return sum;
}

static int record_cost(const comparison *c, const cost_cell *cell, pcv_error *err) {
    json_t *line = json_pack("{s:s, s:s, s:I, s:I, s:s, s:f, s:f, s:I, s:I, s:f, s:I}", "kind", "cost", "arch",
                             c->entry[cell->arch].name, "layers", (json_int_t)cell->layers, "context",
                             (json_int_t)cell->context, "end", cost_ends[cell->end], "seconds", cell->seconds,
                             "predicted_seconds", cell->predicted, "planned_bytes", (json_int_t)cell->planned,
                             "peak_bytes", (json_int_t)cell->peak, "flops", cell->flops, "targets",
                             (json_int_t)cell->targets);
    return record_add(c, line, err);
}

static int cost_all(comparison *c, pcv_error *err) {
    double done = 0;
    for (int i = 0; i < c->cells; i++) {
        cost_cell *cell = &c->cell[i], *before = i % c->contexts ? cell - 1 : NULL;
        char line[256];
        int status = 0;
        if (cell->end != COST_WAITS) continue;
        bool slow = before && (before->end == COST_TIME ||
                               (before->end == COST_MEASURED && before->seconds > c->options->time_limit));
        if (slow) cell->end = COST_TIME;
        c->expected = done + cost_expected(c);
        snprintf(line, sizeof line, "%s, %lld layer%s, context %lld", c->entry[cell->arch].name,
                 (long long)cell->layers, plural(cell->layers), (long long)cell->context);
        if (!slow) status = comparison_report(c, done, line, err);
        double start = clock_now();
        if (!status && !slow) status = cost_measure(c, cell, err);
        done += clock_now() - start;
        if (!status)
            status = record_cost(c, cell, err);
        if (status) return status;
    }
    return 0;
}

static int quality_all(comparison *c, pcv_error *err) {
    int status = 0;
    if (c->options->equal_step) TRY(quality_equal_step(c, err));
    for (int i = 0; i < c->entries; i++) {
        quality_run *q = &c->quality[i];
        watch_say(c->watch, "%s: %lld layer%s, context %lld, %lld parameters", c->entry[i].name,
                  (long long)q->layers, plural(q->layers), (long long)q->context, (long long)q->parameters);
        if (q->recorded) continue;
        TRY(record_add(c, json_pack("{s:s, s:s, s:I, s:I, s:I}", "kind", "model", "arch", c->entry[i].name, "layers",
                                    (json_int_t)q->layers, "context", (json_int_t)q->context, "parameters",
                                    (json_int_t)q->parameters), err));
    }
    c->expected = 60 * c->options->minutes * c->entries * (1 + (c->rates > 1 ? (double)c->rates / RATE_SHARE : 0));
    TRY(quality_run_all(c, err));
out:
    return status;
}

static void say_plan(const comparison *c, bool cost, bool quality) {
    int waiting = 0, memory = 0;
    for (int i = 0; i < c->cells; i++) {
        waiting += c->cell[i].end == COST_WAITS;
        memory += c->cell[i].end == COST_MEMORY;
    }
    if (cost)
        watch_say(c->watch, "cost: %d training step%s to measure, %d beyond %.1f GiB; about %.0f minutes", waiting,
                  plural(waiting), memory, c->options->memory_limit, cost_expected(c) / 60);
    if (!quality) return;
    double rates = c->rates > 1 ? c->rates * c->options->minutes / RATE_SHARE : 0;
    watch_say(c->watch, "quality: %d training%s of %g minute%s%s; about %.0f minutes", c->entries,
              plural(c->entries), c->options->minutes, c->options->minutes == 1 ? "" : "s",
              c->rates > 1 ? ", and a short one for each learning rate" : "",
              c->entries * (c->options->minutes + rates));
}

/* ------------------------------------------------------------------ the command */

static int check_output(const pcv_compare_options *o, pcv_error *err) {
    if (o->dry_run) return 0;
    if (!o->resume && path_exists(o->output))
        return fail(err, PCV_CANTCREATE, "%s: exists already; go on with --resume, or choose another name", o->output);
    if (o->resume && !path_is_folder(o->output))
        return fail(err, PCV_NOINPUT, "%s: no comparison to resume", o->output);
    return 0;
}

static int open_cells(comparison *c, pcv_error *err) {
    c->cells = c->entries * c->depths * c->contexts;
    int status = mem_get(&c->cell, (size_t)c->cells * sizeof *c->cell, "a comparison", err);
    for (int i = 0; i < c->cells && !status; i++)
        c->cell[i] = (cost_cell){.arch = i / (c->depths * c->contexts), .layers = c->depth[i / c->contexts % c->depths],
                                 .context = c->context[i % c->contexts]};
    if (!status) status = cost_plan(c, err);
    if (status) return status;
    const cost_cell *least = c->cell;
    for (int i = 0; i < c->cells; i++)
        if (c->cell[i].planned < least->planned) least = &c->cell[i];
    if (least->end != COST_MEMORY) return 0;
    return fail(err, PCV_CONFIG,
                "--memory-limit: no step fits into %.3g GiB; the least is taken by %s, %lld layer%s, context %lld: "
                "%.3g",
                c->options->memory_limit, c->entry[least->arch].name, (long long)least->layers,
                plural(least->layers), (long long)least->context, (double)least->planned / (1 << 30));
}

int compare_run(const pcv_compare_options *options, pcv_settings *settings, const pcv_watch *watch, pcv_error *err) {
    pcv_compare_options o = *options;
    comparison *c = NULL;
    train_config t;
    size_t available;
    int status = 0;
    TRY(mem_get(&c, sizeof *c, "a comparison", err));
    *c = (comparison){.options = &o, .settings = settings, .watch = watch};
    if (settings_get(settings, "steps")) {
        status = fail(err, PCV_USAGE, "--steps: models are compared after equal time; give --minutes");
        goto out;
    }
    TRY(settings_train(settings, &t, err));
    TRY(plan_available(&t, &available, err));
    if (o.memory_limit == 0) o.memory_limit = (double)available / (1 << 30);
    TRY(parse_lists(c, &t, err));
    TRY(share_settings(c, err));
    c->batch = t.batch;
    TRY(check_output(&o, err));
    if (o.minutes == 0) o.minutes = t.minutes > 0 ? t.minutes : 30;
    TRY(dataset_open(&c->data, o.dataset, 1, err));
    if (o.resume) TRY(about_check(c, err));
    if (!o.quality_only) TRY(open_cells(c, err));
    if (!o.cost_only) TRY(quality_plan(c, err));
    if (!o.cost_only) TRY(quality_check(c, err));
    if (o.resume) TRY(record_read(c, err));
    say_plan(c, !o.quality_only, !o.cost_only);
    if (o.dry_run) goto out;
    if (!o.resume) TRY(folder_make_new(o.output, err));
    if (!o.resume) TRY(about_write(c, err));
    if (!o.quality_only) TRY(cost_all(c, err));
    if (!o.quality_only) TRY(page_write(c, err));
    if (!o.cost_only) TRY(quality_all(c, err));
    TRY(page_write(c, err));
out:
    if (c) dataset_close(c->data);
    if (c) mem_free(c->cell);
    mem_free(c);
    return status;
}
