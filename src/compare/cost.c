#include "compare/cost.h"
#include "measure/probe.h"

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
        model_flops f = model_type_of(m)->flops(m, m->context, m->latents);
        cell->flops = 3 * (double)t.batch * flops_sum(f);
        cell->planned = (int64_t)plan.total;
        cell->targets = t.batch * m->latents / m->latents_per_position;
        if ((double)cell->planned > c->options->memory_limit * (1 << 30)) cell->end = COST_MEMORY;
    }
out:
    mem_free(m);
    return status;
}

/* An architecture's own steps tell its rate, until there are some those of all. */
double cost_predict(const comparison *c, const cost_cell *cell) {
    double flops = c->flops[cell->arch], seconds = c->seconds[cell->arch];
    for (int a = 0; a < c->entries && c->seconds[cell->arch] == 0; a++) {
        flops += c->flops[a];
        seconds += c->seconds[a];
    }
    double rate = seconds > 0 ? flops / seconds : 5e10; /* before anything is known: a slow core */
    return cell->flops / rate;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Long steps are believed at once, but for the first of a model that remembers, which has nothing to remember yet;
 * short ones are warmed up and repeated. */
int cost_measure(comparison *c, cost_cell *cell, pcv_error *err) {
    model_config *config = NULL;
    train_config train;
    memory_plan plan;
    probe p = {0};
    double list[REPEATS], total = 0, took;
    int count = 0, status = 0;
    TRY(mem_get(&config, sizeof *config, "a comparison", err));
    TRY(settings_train(c->settings, &train, err));
    TRY(comparison_model(c, cell->arch, cell->layers, cell->context, config, err));
    TRY(plan_memory(config, &train, &plan, err));
    TRY(probe_open(&p, config, &train, plan.tensors, err));
    while (count < REPEATS && (count == 0 || total < ENOUGH)) {
        TRY(probe_step(&p, &took, err));
        if (p.steps == 1 && (took < ENOUGH || config->memory)) continue;
        list[count++] = took;
        total += took;
    }
    qsort(list, (size_t)count, sizeof *list, by_value);
    cell->seconds = list[count / 2];
    cell->peak = (int64_t)p.be->bytes_peak;
    cell->end = COST_MEASURED;
    cell->predicted = cost_predict(c, cell);
    c->flops[cell->arch] += cell->flops;
    c->seconds[cell->arch] += cell->seconds;
out:
    probe_close(&p);
    mem_free(config);
    return status;
}
