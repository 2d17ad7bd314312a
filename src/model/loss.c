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
static tensor *cross_entropy_loss(tape *t, tensor *hidden, linear_weights head, const pass *p, const loss_spec *spec) {
    cross_entropy_spec s = {.w = head.w, .b = head.b, .targets = p->targets, .smoothing = spec->smoothing,
                            .z_loss = spec->z_loss, .weight = weights_of(t, hidden, spec)};
    return cross_entropy(t, hidden, &s);
}

/* |y - numbers|, by one measure or another */
static tensor *distance_loss(tape *t, const model *m, tensor *y, const pass *p, const loss_spec *spec,
                             distance_kind kind) {
    CHECK(p->numbers, "a distance from nothing");
    distance_spec s = {.kind = kind, .scale = (float)m->config.output_scale, .target = p->numbers,
                       .counts = p->targets, .weight = weights_of(t, y, spec)};
    return distance(t, y, &s);
}

/* ------------------------------------------------------------------ several kinds of outputs */

static tensor *part_hidden(tape *t, model *m, tensor *hidden, const pass *p, int kind) {
    return model_logits(t, m, gather(t, hidden, p->part[kind].rows));
}

tensor *model_part_outputs(tape *t, model *m, tensor *hidden, const pass *p, int kind) {
    linear_weights head = m->type->part_head(m, kind);
    return linear(t, part_hidden(t, m, hidden, p, kind), head.w, head.b);
}

/* In the order of loss_name. */
static const distance_kind kinds[] = {[LOSS_SQUARED] = DISTANCE_SQUARED, [LOSS_ABSOLUTE] = DISTANCE_ABSOLUTE,
                                      [LOSS_END_POINT] = DISTANCE_END_POINT, [LOSS_SIGMOID] = DISTANCE_SIGMOID};

/* The mean loss of each kind of outputs, weighted: rows of a kind that has fewer of them weigh more, so that the mean
 * over all rows is that sum. */
static tensor *parts_loss(tape *t, model *m, tensor *hidden, const pass *p, const loss_spec *spec) {
    tensor *loss[MODALITIES];
    int count = 0;
    for (int i = 0; i < MODALITIES && !t->status; i++) {
        const modality_config *k = &m->config.modality[i];
        if (!p->part[i].outputs) continue;
        loss_spec own = *spec;
        own.scale *= (float)p->part[i].factor;
        pass part = *p;
        part.targets = p->part[i].targets;
        part.numbers = p->part[i].numbers;
        tensor *h = part_hidden(t, m, hidden, p, i);
        linear_weights head = m->type->part_head(m, i);
        if (modality_is_class(k)) loss[count++] = cross_entropy_loss(t, h, head, &part, &own);
        else loss[count++] = distance_loss(t, m, linear(t, h, head.w, head.b), &part, &own, kinds[m->config.loss]);
    }
    return stack_losses(t, loss, count);
}

tensor *model_loss(tape *t, model *m, tensor *hidden, const pass *p, const loss_spec *spec) {
    int which = spec->name ? 0 : m->config.loss;
    if (t->status) return &t->nothing;
    while (spec->name && loss_names[which] && strcmp(loss_names[which], spec->name)) which++;
    CHECK(loss_names[which], "there is no loss '%s'", spec->name);
    CHECK(p->targets, "a loss without targets");
    if (m->type->part_head && model_has_modalities(&m->config)) return parts_loss(t, m, hidden, p, spec);
    if (which == LOSS_CROSS_ENTROPY) return cross_entropy_loss(t, hidden, m->type->head(m), p, spec);
    return distance_loss(t, m, model_logits(t, m, hidden), p, spec, kinds[which]);
}

const float *loss_fetch(tape *t, const tensor *loss) {
    size_t bytes = (size_t)(loss->m.rows * LOSS_COLUMNS) * sizeof(float);
    float *row = tape_host(t, bytes);
    if (!row) return NULL;
    if (loss->m.type == F32) t->be->read(t->be, row, loss->m.data, bytes);
    else tape_read(t, loss, row);
    return row;
}

static void add_rows(const float *row, const int32_t *target, int64_t rows, double factor, loss_sum *sum) {
    for (int64_t i = 0; i < rows; i++, row += LOSS_COLUMNS) {
        if (target[i] < 0) continue;
        sum->value += factor * (double)row[LOSS_VALUE];
        sum->loss += factor * (double)row[LOSS_NATS];
        sum->hits += row[LOSS_HIT] > 0;
        sum->targets++;
    }
}

void loss_add(const float *row, const pass *p, loss_sum *sum) {
    bool parts = false;
    int64_t at = 0;
    for (int i = 0; row && i < MODALITIES; i++) {
        int64_t rows = p->batch * p->part[i].outputs;
        parts = parts || rows;
        add_rows(row + at * LOSS_COLUMNS, p->target + at, rows, p->part[i].factor, sum);
        at += rows;
    }
    if (row && !parts) add_rows(row, p->target, p->batch * p->positions, 1, sum);
}

void loss_read(tape *t, const tensor *loss, const pass *p, loss_sum *sum, const float **each) {
    const float *row = loss_fetch(t, loss);
    backend_finish(t->be);
    if (each) *each = row;
    loss_add(row, p, sum);
}
