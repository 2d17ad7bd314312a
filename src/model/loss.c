/* Losses of a pass by name: one row each. */
#include "model/model.h"

#include <string.h>

/* [rows, 1]: the gradient of every row's loss. NULL: no backward pass follows. */
static tensor *weights_of(tape *t, const tensor *hidden, const loss_spec *spec) {
    if (spec->scale == 0) return NULL;
    tensor *weight = tape_exact(t, hidden->m.rows, 1);
    weight->keep = true;
    tape_kernel(t, fill, .y = weight->m, .value = spec->scale);
    return weight;
}

/* -log softmax(head(hidden))[target] */
static tensor *cross_entropy_loss(tape *t, model *m, tensor *hidden, const pass *p, const loss_spec *spec) {
    linear_weights head = m->type->head(m);
    cross_entropy_spec s = {.w = head.w, .b = head.b, .targets = p->targets, .smoothing = spec->smoothing,
                            .z_loss = spec->z_loss, .weight = weights_of(t, hidden, spec)};
    return cross_entropy(t, hidden, &s);
}

/* |head(hidden) - numbers|, by one measure or another */
static tensor *distance_loss(tape *t, model *m, tensor *hidden, const pass *p, const loss_spec *spec,
                             distance_kind kind) {
    CHECK(p->numbers, "a distance from nothing");
    distance_spec s = {.kind = kind, .scale = (float)m->config.output_scale, .target = p->numbers,
                       .counts = p->targets, .weight = weights_of(t, hidden, spec)};
    return distance(t, model_logits(t, m, hidden), &s);
}

/* In the order of loss_name. */
static const distance_kind kinds[] = {[LOSS_SQUARED] = DISTANCE_SQUARED, [LOSS_ABSOLUTE] = DISTANCE_ABSOLUTE,
                                      [LOSS_END_POINT] = DISTANCE_END_POINT, [LOSS_SIGMOID] = DISTANCE_SIGMOID};

tensor *model_loss(tape *t, model *m, tensor *hidden, const pass *p, const loss_spec *spec) {
    int which = spec->name ? 0 : m->config.loss;
    if (t->status) return &t->nothing;
    while (spec->name && loss_names[which] && strcmp(loss_names[which], spec->name)) which++;
    CHECK(loss_names[which], "there is no loss '%s'", spec->name);
    CHECK(p->targets, "a loss without targets");
    return which == LOSS_CROSS_ENTROPY ? cross_entropy_loss(t, m, hidden, p, spec)
                                       : distance_loss(t, m, hidden, p, spec, kinds[which]);
}

const float *loss_fetch(tape *t, const tensor *loss) {
    size_t bytes = (size_t)(loss->m.rows * LOSS_COLUMNS) * sizeof(float);
    float *row = tape_host(t, bytes);
    if (!row) return NULL;
    if (loss->m.type == F32) t->be->read(t->be, row, loss->m.data, bytes);
    else tape_read(t, loss, row);
    return row;
}

void loss_add(const float *row, const pass *p, loss_sum *sum) {
    for (int64_t i = 0; row && i < p->batch * p->positions; i++, row += LOSS_COLUMNS) {
        if (p->target[i] < 0) continue;
        sum->value += (double)row[LOSS_VALUE];
        sum->loss += (double)row[LOSS_NATS];
        sum->hits += row[LOSS_HIT] > 0;
        sum->targets++;
    }
}

void loss_read(tape *t, const tensor *loss, const pass *p, loss_sum *sum, const float **each) {
    const float *row = loss_fetch(t, loss);
    backend_finish(t->be);
    if (each) *each = row;
    loss_add(row, p, sum);
}
