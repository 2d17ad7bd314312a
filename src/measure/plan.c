/* What training a model takes: parameters, FLOPs, memory, and time from a short probe. */
#include "measure/plan.h"
#include "base/available.h"
#include "base/clock.h"
#include "base/watch.h"
#include "config/settings.h"
#include "measure/probe.h"
#include "model/applicable.h"

#include <stdio.h>
#include <string.h>

enum { PROGRAM = 20 << 20 }; /* bytes of the program and its kernels' buffers, where no probe measures them */

/* Parameters by the part of the model that their names start with. */
static void count_parts(const model *m, pcv_plan_report *r) {
    for (int i = 0; i < m->params.names; i++) {
        parameter_slice s = parameters_slice(&m->params, i);
        const char *part = "other";
        for (const model_part *p = m->type->parts; p->prefix; p++)
            if (!strncmp(s.name, p->prefix, strlen(p->prefix))) part = p->name;
        int k = 0;
        while (k < r->parts && strcmp(r->part[k].name, part)) k++;
        if (k == r->parts) snprintf(r->part[r->parts++].name, sizeof r->part[0].name, "%s", part);
        r->part[k].parameters += s.rows * s.cols;
    }
}

/* Does the configuration fit with another context (kind 0) or batch (kind 1)? */
static bool would_fit(const pcv_settings *settings, const model_config *config, const train_config *train, int kind,
                      int64_t value) {
    pcv_error ignored;
    model_config *c = NULL;
    train_config t = *train;
    memory_plan plan = {0};
    bool fits = false;
    if (mem_get(&c, sizeof *c, "a plan", &ignored)) return false;
    *c = *config;
    if (kind == 1) t.batch = value;
    bool made = kind == 1 || !settings_model(settings, c, &ignored);
    if (kind == 0) {
        c->vocab_size = config->vocab_size;
        c->context = value;
        c->positions.axes.count = c->positions.axes.count > 1 ? c->positions.axes.count : 0;
    }
    fits = made && !model_config_check(c, &ignored) && !plan_memory(c, &t, &plan, &ignored) &&
           !plan_check(&plan, c, &t, &ignored);
    mem_free(c);
    return fits;
}

/* The largest value that fits, between `least` and `most`: doubled until one does not, then four halvings. */
static int64_t largest(const pcv_settings *settings, const model_config *config, const train_config *train, int kind,
                       int64_t least, int64_t most) {
    int64_t good = least, step;
    if (!would_fit(settings, config, train, kind, least)) return 0;
    while (2 * good <= most && would_fit(settings, config, train, kind, 2 * good)) good *= 2;
    step = good;
    for (int i = 0; i < 4 && step > 1; i++) {
        step /= 2;
        if (good + step <= most && would_fit(settings, config, train, kind, good + step)) good += step;
    }
    return good;
}

/* How long to time steps, and who watches. */
typedef struct patience {
    double seconds;
    const pcv_watch *watch;
} patience;

/* Seconds of one update, the fastest within the time given; the first one warms up. */
static int time_step(const model_config *config, const train_config *c, const memory_plan *plan, patience given,
                     double *step, pcv_error *err) {
    probe p;
    int status = probe_open(&p, config, c, plan->tensors, err);
    if (status) return status;
    double start = clock_now(), took;
    *step = 0;
    while (p.steps < 2 || clock_now() < start + given.seconds) {
        pcv_progress now = {.stage = "timing steps", .done = clock_now() - start, .seconds = clock_now() - start};
        if (watch_ask(given.watch, &now) == PCV_STOP) {
            status = fail(err, PCV_INTERRUPTED, "interrupted");
            goto out;
        }
        TRY(probe_step(&p, &took, err));
        if (p.steps > 1 && (*step == 0 || took < *step)) *step = took;
    }
out:
    probe_close(&p);
    return status;
}

_Static_assert(PRECISIONS <= sizeof((pcv_plan_report){0}.precision) / sizeof(pcv_plan_precision), "too many to tell");

/* The same step in every other precision that the device has. */
static int time_precisions(const model_config *config, const train_config *c, patience given, pcv_plan_report *r,
                           pcv_error *err) {
    for (int p = 0; p < PRECISIONS; p++) {
        train_config other = *c;
        memory_plan plan;
        double seconds = r->step_seconds;
        other.precision = p;
        if (p != c->precision) {
            if (!probe_has_precision(c, p)) continue;
            int status = plan_memory(config, &other, &plan, err);
            if (!status && plan_check(&plan, config, &other, NULL)) continue;
            if (!status) status = time_step(config, &other, &plan, given, &seconds, err);
            if (status) return status;
        }
        r->precision[r->precisions++] = (pcv_plan_precision){precision_names[p], seconds};
    }
    return 0;
}

static void fill_report(pcv_plan_report *r, const model_config *m, const train_config *c,
                        const memory_plan *plan) {
    model_flops f = model_type_of(m)->flops(m, m->context, m->latents);
    r->context = m->context;
    r->latents = model_type_of(m)->has_latents ? m->latents : 0;
    r->parameters = plan->parameters;
    r->flops_cross = f.cross;
    r->flops_index = f.index;
    r->flops_self = f.self;
    r->flops_head = f.head;
    r->flops_step = 3 * (double)c->batch * flops_sum(f);
    r->bytes_parameters = (int64_t)(plan->weights + plan->constants);
    r->bytes_gradients = (int64_t)plan->gradients;
    r->bytes_optimizer = (int64_t)plan->optimizer;
    r->bytes_activations = (int64_t)plan->tensors;
    r->bytes_total = (int64_t)plan->total;
    r->bytes_available = (int64_t)plan->available;
    r->targets_per_step = c->batch * m->latents / m->latents_per_position;
    r->bytes_program = PROGRAM;
    r->fits = r->bytes_total <= r->bytes_available;
}

int plan_report(const pcv_settings *settings, const char *dataset_name, double probe_seconds, const pcv_watch *watch,
                pcv_plan_report *r, pcv_error *err) {
    model_config *config = NULL;
    train_config c, all;
    memory_plan plan, least;
    dataset *d = NULL;
    backend *be = NULL;
    model *m = NULL;
    int status = 0;
    *r = (pcv_plan_report){0};
    TRY(mem_get(&config, sizeof *config, "a plan", err));
    TRY(settings_model(settings, config, err));
    TRY(settings_fit(settings, config, PCV_MODEL, err));
    TRY(settings_fit(settings, config, PCV_TRAINING, err));
    TRY(settings_train(settings, &c, err));
    if (dataset_name) {
        TRY(dataset_open(&d, dataset_name, 1, err));
        TRY(dataset_shape(d, settings, config, err));
    }
    if (!config->vocab_size) config->vocab_size = 259; /* bytes */
    TRY(model_config_check(config, err));
    TRY(plan_memory(config, &c, &plan, err));
    all = c;
    all.recompute = 2;
    TRY(plan_memory(config, &all, &least, err));
    TRY(step_backend(&be, &c, err));
    backend_make_null(be);
    TRY(model_open(&m, config, be, false, err));
    count_parts(m, r);
    fill_report(r, config, &c, &plan);
    r->bytes_recompute = (int64_t)least.total;
    if (probe_seconds > 0 && r->fits) { /* first, while nothing else has raised the peak */
        TRY(time_step(config, &c, &plan, (patience){probe_seconds, watch}, &r->step_seconds, err));
        r->tokens_per_second = (double)r->targets_per_step / r->step_seconds;
        r->bytes_program = memory_peak() > plan.total ? (int64_t)(memory_peak() - plan.total) : 0;
        TRY(time_precisions(config, &c, (patience){probe_seconds, watch}, r, err));
    }
    if (!m->type->answers) /* whose data say how many inputs there are */
        r->largest_context = largest(settings, config, &c, 0, m->type->has_latents ? config->latents : 1,
                                     model_most_tokens(config) / c.batch);
    r->largest_batch = largest(settings, config, &c, 1, 1, model_most_tokens(config) / config->context);
out:
    model_close(m);
    if (be) be->close(be);
    dataset_close(d);
    mem_free(config);
    return status;
}
