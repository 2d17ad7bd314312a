/* Fair trainings. Parameters are made equal by the depth, time by the clock of the run, and every entry is scored
 * on the same targets behind the same text (evaluate_points), never by its own validations. A training own at
 * given seconds, as an interrupted one does, is scored and goes on where it was; the time of scoring is not the
 * run's. */
#include "compare/quality.h"
#include "base/clock.h"
#include "base/file.h"
#include "compare/cost.h"
#include "config/run_files.h"
#include "eval/evaluate.h"
#include "train/memory_plan.h"
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Targets come in pieces of SPAN behind at least as much text as the longest context. */
enum { SPAN = 128, VALIDATION_TARGETS = 12800, TEST_TARGETS = 51200 };

/* ------------------------------------------------------------------ depth and context */

static int count_parameters(const comparison *c, int arch, int64_t layers, int64_t context, const train_config *t,
                            int64_t *count, pcv_error *err) {
    model_config *m = NULL;
    memory_plan plan;
    int status = 0;
    TRY(mem_get(&m, sizeof *m, "a comparison", err));
    TRY(comparison_model(c, arch, layers, context, m, err));
    TRY(plan_memory(m, t, &plan, err));
    *count = plan.parameters;
out:
    mem_free(m);
    return status;
}

/* The depth whose parameters come nearest to those of the first entry. */
static int equal_parameters(comparison *c, int arch, const train_config *t, pcv_error *err) {
    quality_run *q = &c->quality[arch];
    int64_t wanted = c->quality[0].parameters, best = -1, middle = q->layers;
    for (int64_t l = middle > 4 ? middle - 4 : 1; l <= middle + 4; l++) {
        int64_t n;
        int status = count_parameters(c, arch, l, q->context, t, &n, err);
        if (status) return status;
        if (best >= 0 && llabs(n - wanted) >= best) continue;
        best = llabs(n - wanted);
        q->layers = l;
        q->parameters = n;
    }
    return 0;
}

static int step_seconds(comparison *c, int arch, int64_t layers, int64_t context, double *seconds, pcv_error *err) {
    cost_cell cell = {.arch = arch, .layers = layers, .context = context};
    int status = cost_measure(c, &cell, err);
    *seconds = cell.seconds;
    return status;
}

/* The context at which a step takes as long as the first entry's: between powers of two, time is a power too. */
static int equal_step(comparison *c, int arch, double wanted, pcv_error *err) {
    quality_run *q = &c->quality[arch];
    double shorter = 0, longer;
    int64_t context = q->context;
    int status = step_seconds(c, arch, q->layers, context, &longer, err);
    while (!status && longer > wanted && context > 64) {
        shorter = longer;
        context /= 2;
        status = step_seconds(c, arch, q->layers, context, &longer, err);
    }
    if (status || context == q->context) return status;
    double power = log(shorter / longer) / log(2), factor = pow(wanted / longer, 1 / power);
    q->context = (int64_t)((double)context * (factor < 1 ? 1 : factor > 2 ? 2 : factor)) / 16 * 16;
    return 0;
}

int quality_plan(comparison *c, pcv_error *err) {
    model_config *m = NULL;
    train_config t;
    int status = 0;
    TRY(mem_get(&m, sizeof *m, "a comparison", err));
    TRY(settings_model(c->settings, m, err));
    TRY(settings_train(c->settings, &t, err));
    for (int i = 0; i < c->entries; i++) {
        quality_run *q = &c->quality[i];
        *q = (quality_run){.layers = m->layers, .context = c->entry[i].context ? c->entry[i].context : m->context,
                           .rate = -1};
        TRY(count_parameters(c, i, q->layers, q->context, &t, &q->parameters, err));
        if (i) TRY(equal_parameters(c, i, &t, err));
    }
out:
    mem_free(m);
    return status;
}

int quality_equal_step(comparison *c, pcv_error *err) {
    train_config t;
    double wanted = 0;
    int status = 0;
    TRY(settings_train(c->settings, &t, err));
    for (int i = 1; i < c->entries; i++) {
        quality_run *q = &c->quality[i];
        if (q->recorded) continue;
        if (wanted == 0) TRY(step_seconds(c, 0, c->quality[0].layers, c->quality[0].context, &wanted, err));
        TRY(equal_step(c, i, wanted, err));
        TRY(count_parameters(c, i, q->layers, q->context, &t, &q->parameters, err));
    }
out:
    return status;
}

/* ------------------------------------------------------------------ training and scoring */

static int set_number(comparison *c, const char *name, double value, pcv_error *err) {
    char typed[64];
    snprintf(typed, sizeof typed, "%.9g", value);
    return settings_set(c->settings, name, typed, err);
}

/* Settings of an entry's training; the caller's own stay below them. */
static int choose(comparison *c, int arch, double rate, double minutes, pcv_error *err) {
    const quality_run *q = &c->quality[arch];
    int status = 0;
    TRY(settings_set(c->settings, "arch", c->entry[arch].name, err));
    TRY(set_number(c, "layers", (double)q->layers, err));
    TRY(set_number(c, "context", (double)q->context, err));
    TRY(set_number(c, "batch", (double)(c->entry[arch].rows ? c->entry[arch].rows : c->batch), err));
    TRY(set_number(c, "lr", rate, err));
    TRY(set_number(c, "minutes", minutes, err));
    TRY(set_number(c, "eval-every", 1e8, err)); /* it is scored here */
out:
    return status;
}

/* The most that a scoring pass of any entry reads: its context, and a memory in front of it. */
static int longest_pass(const comparison *c, int64_t *longest, pcv_error *err) {
    model_config *m = NULL;
    int status = mem_get(&m, sizeof *m, "a comparison", err);
    *longest = 0;
    for (int i = 0; i < c->entries && !status; i++) {
        status = comparison_model(c, i, c->quality[i].layers, c->quality[i].context, m, err);
        if (!status && m->context + m->memory > *longest) *longest = m->context + m->memory;
    }
    mem_free(m);
    return status;
}

/* Tokens in front of every target of a split: enough for the longest pass, where documents are twice as long. */
static int shared_text(const comparison *c, split_name split, int64_t *need, pcv_error *err) {
    int64_t longest = 0, documents = c->data->generated ? 1 : dataset_documents(c->data, split);
    for (int64_t i = 0; i < documents; i++) {
        int64_t length = dataset_length(c->data, split, i);
        if (length > longest) longest = length;
    }
    if (longest <= 2 * SPAN)
        return fail(err, PCV_CONFIG, "%s: the longest document of the %s split has %lld tokens, expected more than %d, "
                    "so that all can score the same targets", c->data->name, split_names[split], (long long)longest,
                    2 * SPAN);
    int status = longest_pass(c, need, err);
    if (*need > longest / 2) *need = longest / 2;
    return status;
}

int quality_check(const comparison *c, pcv_error *err) {
    int64_t need;
    int status = shared_text(c, SPLIT_VALIDATION, &need, err);
    return status ? status : shared_text(c, SPLIT_TEST, &need, err);
}

/* Scores the same targets for every entry, whatever its context. */
static int score(const comparison *c, const char *run, split_name split, int64_t targets, pcv_sweep_point *p,
                 pcv_error *err) {
    pcv_engine *engine = NULL;
    evaluation_job job = {0};
    eval_config e;
    tape t = {0};
    int status = 0;
    job.t = &t;
    TRY(engine_open(&engine, run, c->settings, err));
    TRY(settings_eval(NULL, &e, err));
    e.split = split;
    TRY(evaluation_open(&job, &e, &t, engine, c->options->dataset, NULL, err));
    e.tokens = targets;
    int64_t own = e.context, need;
    TRY(shared_text(c, split, &need, err));
    *p = (pcv_sweep_point){.latents = e.latents, .context = own < need ? own : need,
                           .stride = e.stride < SPAN ? e.stride : SPAN};
    e.context = need;
    TRY(evaluate_points(&job, p, 1, SPAN, need, err));
    if (!p->tokens)
        status = fail(err, PCV_DATA, "%s: no document of the %s split has %d targets behind enough text",
                      job.d->name, split_names[split], SPAN);
out:
    evaluation_close(&job);
    engine_close(engine);
    return status;
}

/* A training that own at a given time, so that what it has learned by then can be scored. */
typedef struct pacer {
    comparison *c;
    double pause, base; /* seconds of the run, and of the comparison in front of it */
    bool paused, stopped;
    const char *what;
} pacer;

static int pace(void *context, const pcv_progress *p) {
    pacer *own = context;
    char line[256];
    snprintf(line, sizeof line, "%s: %s", own->what, p->line ? p->line : "");
    if (comparison_report(own->c, own->base + p->seconds, line, NULL)) {
        own->stopped = true;
        return PCV_STOP;
    }
    if (p->seconds < own->pause) return 0;
    own->paused = true;
    return PCV_STOP;
}

static int train_until(comparison *c, const char *run, double seconds, double base, const char *what,
                       pcv_train_report *report, pcv_error *err) {
    pacer own = {.c = c, .pause = seconds, .base = base, .what = what};
    pcv_watch watch = {.progress = pace, .context = &own};
    char config[PATH_SIZE];
    int status = path_join(config, run, RUN_CONFIG, err);
    if (status) return status;
    pcv_train_options o = {.dataset = c->options->dataset, .run = run, .resume = path_exists(config)};
    status = train_run(&o, c->settings, &watch, report, err);
    if (status == PCV_INTERRUPTED && own.paused && !own.stopped) status = 0;
    if (status == PCV_INTERRUPTED && own.stopped) return fail(err, PCV_INTERRUPTED, "interrupted; go on with --resume");
    return status;
}

/* Short trainings, one for each learning rate; the best one's goes into the long one. */
static int choose_rate(comparison *c, int arch, double *base, pcv_error *err) {
    quality_run *q = &c->quality[arch];
    for (int r = 0; r < c->rates && c->rates > 1; r++) {
        char run[PATH_SIZE], what[128];
        pcv_train_report report;
        pcv_sweep_point p;
        double minutes = c->options->minutes / RATE_SHARE;
        if (q->rate_bits[r] == 0) {
            snprintf(run, sizeof run, "%.3000s/runs/%s-lr-%g", c->options->output, c->entry[arch].name, c->rate[r]);
            snprintf(what, sizeof what, "%s, learning rate %g", c->entry[arch].name, c->rate[r]);
            int status = choose(c, arch, c->rate[r], minutes, err);
            if (!status) status = train_until(c, run, 1e18, *base, what, &report, err);
            if (!status) status = score(c, run, SPLIT_VALIDATION, VALIDATION_TARGETS, &p, err);
            if (status) return status;
            q->rate_bits[r] = p.bits_per_token;
            json_t *line = json_pack("{s:s, s:s, s:f, s:f}", "kind", "rate", "arch", c->entry[arch].name, "rate",
                                     c->rate[r], "bits", p.bits_per_token);
            status = record_add(c, line, err);
            if (status) return status;
        }
        *base += 60 * minutes;
        if (q->rate < 0 || q->rate_bits[r] < q->rate_bits[q->rate]) q->rate = r;
    }
    if (q->rate < 0) q->rate = 0;
    return 0;
}

/* JSON has no number for what is undefined. */
static json_t *json_error(double error) { return isfinite(error) ? json_real(error) : json_null(); }

static int train_one(comparison *c, int arch, double *base, pcv_error *err) {
    quality_run *q = &c->quality[arch];
    char run[PATH_SIZE];
    pcv_train_report report = {0};
    pcv_sweep_point p;
    double minutes = c->options->minutes;
    int status = 0;
    TRY(choose_rate(c, arch, base, err));
    snprintf(run, sizeof run, "%.3000s/runs/%s", c->options->output, c->entry[arch].name);
    TRY(choose(c, arch, c->rate[q->rate], minutes, err));
    while (q->points < MOST_POINTS) {
        double until = minutes * (q->points + 1) / MOST_POINTS;
        bool last = q->points + 1 == MOST_POINTS;
        TRY(train_until(c, run, last ? 1e18 : 60 * until, *base, c->entry[arch].name, &report, err));
        TRY(score(c, run, SPLIT_VALIDATION, VALIDATION_TARGETS, &p, err));
        double error = p.loss > 0 ? p.standard_error * p.bits_per_token / p.loss : 0;
        q->point[q->points++] = (quality_point){until, p.bits_per_token, error};
        TRY(record_add(c, json_pack("{s:s, s:s, s:f, s:f, s:o, s:I, s:I}", "kind", "point", "arch", c->entry[arch].name,
                                    "minutes", until, "bits", p.bits_per_token, "error", json_error(error), "steps",
                                    (json_int_t)report.steps, "tokens", (json_int_t)report.tokens), err));
        q->steps = report.steps;
        q->tokens = report.tokens;
    }
    *base += 60 * minutes;
    if (q->test_tokens) goto out;
    TRY(score(c, run, SPLIT_TEST, TEST_TARGETS, &p, err));
    q->test_bits = p.bits_per_token;
    q->test_error = p.loss > 0 ? p.standard_error * p.bits_per_token / p.loss : 0;
    q->test_tokens = p.tokens;
    TRY(record_add(c, json_pack("{s:s, s:s, s:f, s:o, s:I}", "kind", "test", "arch", c->entry[arch].name, "bits",
                                q->test_bits, "error", json_error(q->test_error), "tokens",
                                (json_int_t)q->test_tokens), err));
out:
    return status;
}

int quality_run_all(comparison *c, pcv_error *err) {
    double base = 0;
    for (int i = 0; i < c->entries; i++) {
        int status = train_one(c, i, &base, err);
        if (status) return status;
    }
    return 0;
}
