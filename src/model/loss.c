/* Losses of a pass by name: one row each. */
#include "model/model.h"

#include <string.h>

/* -log softmax(head(hidden))[target] */
static tensor *cross_entropy_loss(tape *t, model *m, tensor *hidden, const pass *p, const loss_spec *spec) {
    linear_weights head = m->type->head(m);
    cross_entropy_spec s = {.w = head.w, .b = head.b, .targets = p->targets, .smoothing = spec->smoothing,
                            .z_loss = spec->z_loss};
    if (spec->scale != 0) {
        s.weight = tape_exact(t, hidden->m.rows, 1);
        s.weight->keep = true;
        tape_kernel(t, fill, .y = s.weight->m, .value = spec->scale);
    }
    return cross_entropy(t, hidden, &s);
}

static const struct {
    const char *name;
    tensor *(*apply)(tape *t, model *m, tensor *hidden, const pass *p, const loss_spec *spec);
} losses[] = {{"cross_entropy", cross_entropy_loss}};

tensor *model_loss(tape *t, model *m, tensor *hidden, const pass *p, const loss_spec *spec) {
    const char *name = spec->name ? spec->name : losses[0].name;
    if (t->status) return &t->nothing;
    size_t which = 0, count = sizeof losses / sizeof *losses;
    while (which < count && strcmp(losses[which].name, name)) which++;
    CHECK(which < count, "there is no loss '%s'", name);
    CHECK(p->targets, "a loss without targets");
    return losses[which].apply(t, m, hidden, p, spec);
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
