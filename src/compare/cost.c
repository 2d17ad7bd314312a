/* Time and memory of training steps, measured. */
#include "base/clock.h"
#include "compare/compare.h"
#include "train/optimizer.h"
#include "train/plan.h"
#include "train/step.h"

#include <stdlib.h>
#include <string.h>

enum { REPEATS = 5 };
static const double ENOUGH = 5; /* seconds of steps that are enough for a median */

const char *const cost_ends[] = {"waits", "measured", "memory", "time"};

cost_cell *cost_at(const comparison *c, int arch, int depth, int context) {
    return &c->cell[(arch * c->depths + depth) * c->contexts + context];
}

int cost_plan(comparison *c, pcv_error *err) {
    model_config *m = NULL;
    train_config t;
    int status = 0;
    TRY(mem_get(&m, sizeof *m, "a comparison", err));
    TRY(settings_train(c->settings, &t, err));
    for (int i = 0; i < c->cells; i++) {
        cost_cell *cell = &c->cell[i];
        memory_plan plan;
        TRY(comparison_model(c, cell->arch, cell->layers, cell->context, m, err));
        TRY(plan_memory(m, &t, &plan, err));
        model_flops f = model_count_flops(m, m->context, m->latents);
        cell->flops = 3 * (double)t.batch * (f.cross + f.self + f.head);
        cell->planned = (int64_t)plan.total;
        cell->targets = t.batch * m->latents / m->latents_per_position;
        if ((double)cell->planned > c->options->memory_limit * (1 << 30)) cell->end = COST_MEMORY;
    }
out:
    mem_free(m);
    return status;
}

double cost_predict(const comparison *c, const cost_cell *cell) {
    double rate = c->seconds > 0 ? c->flops / c->seconds : 5e10; /* before anything is known: a slow core */
    return cell->flops / rate;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Steps of full rows of token 0. Long ones are believed at once; short ones are warmed up and repeated. */
static int time_steps(cost_cell *cell, model *m, optimizer *o, tape *t, const train_config *c, pcv_error *err) {
    step_buffer b;
    window *w = NULL;
    double list[REPEATS], total = 0;
    int count = 0;
    int status = step_open(&b, m, c->batch, err);
    if (status) return status;
    TRY(mem_get(&w, (size_t)c->batch * sizeof *w, "a batch", err));
    for (int64_t r = 0; r < c->batch; r++)
        w[r] = (window){.count = m->config.context + 1, .scored = m->config.context};
    for (int i = 0; count < REPEATS && (count == 0 || total < ENOUGH); i++) {
        step_result result = {0};
        double start = clock_now();
        parameters_clear_grads(&m->params);
        TRY(step_run(&b, t, m, c, w, c->batch, 0, 1, &result, err));
        optimizer_grad_norm(o);
        optimizer_step(o, c, i, 0, 1);
        double took = clock_now() - start;
        if (i == 0 && took < ENOUGH) continue;
        list[count++] = took;
        total += took;
    }
    qsort(list, (size_t)count, sizeof *list, by_value);
    cell->seconds = list[count / 2];
out:
    mem_free(w);
    step_close(&b);
    return status;
}

int cost_measure(comparison *c, cost_cell *cell, pcv_error *err) {
    model_config *config = NULL;
    train_config train;
    backend *be = NULL;
    model *m = NULL;
    optimizer o = {0};
    tape t = {0};
    int status = 0;
    TRY(mem_get(&config, sizeof *config, "a comparison", err));
    TRY(settings_train(c->settings, &train, err));
    TRY(comparison_model(c, cell->arch, cell->layers, cell->context, config, err));
    TRY(step_backend(&be, &train, err));
    TRY(model_open(&m, config, be, true, err));
    m->recompute = train.recompute;
    TRY(model_init(m, 1, err));
    TRY(optimizer_open(&o, &m->params, train.ema > 0, err));
    TRY(tape_init(&t, be, 0, err));
    TRY(time_steps(cell, m, &o, &t, &train, err));
    cell->peak = (int64_t)be->bytes_peak;
    cell->end = COST_MEASURED;
    c->flops += cell->flops;
    c->seconds += cell->seconds;
out:
    tape_free(&t);
    optimizer_close(&o);
    model_close(m);
    if (be) be->close(be);
    mem_free(config);
    return status;
}
