#include "train/optimizer.h"

#include <math.h>

static int make_block(optimizer *o, matrix *block, const char *purpose, pcv_error *err) {
    *block = o->p->values;
    block->data = NULL;
    int status = backend_alloc(o->p->be, &block->data, matrix_bytes(block), purpose, err);
    if (!status) run_kernel(o->p->be, fill, .y = *block);
    return status;
}

int optimizer_open(optimizer *o, parameters *p, bool average, pcv_error *err) {
    *o = (optimizer){.p = p};
    int status = 0;
    TRY(make_block(o, &o->m, "the optimizer's means", err));
    TRY(make_block(o, &o->v, "the optimizer's mean squares", err));
    if (average) {
        TRY(make_block(o, &o->average, "averaged weights", err));
        run_kernel(p->be, copy, .y = o->average, .x = p->values);
    }
    o->sum = (matrix){.rows = 1, .cols = 1, .stride = 1, .type = p->be->exact};
    TRY(backend_alloc(p->be, &o->sum.data, matrix_bytes(&o->sum), "a sum", err));
out:
    if (status) optimizer_close(o);
    return status;
}

void optimizer_close(optimizer *o) {
    if (!o->p) return;
    backend_free(o->p->be, o->m.data, matrix_bytes(&o->m));
    backend_free(o->p->be, o->v.data, matrix_bytes(&o->v));
    backend_free(o->p->be, o->average.data, matrix_bytes(&o->average));
    backend_free(o->p->be, o->sum.data, matrix_bytes(&o->sum));
    *o = (optimizer){0};
}

size_t optimizer_bytes(const parameters *p, bool average) {
    return (average ? 3 : 2) * matrix_bytes(&p->values);
}

double optimizer_grad_norm(optimizer *o) {
    float sum = 0;
    run_kernel(o->p->be, sum_squares, .result = o->sum, .x = o->p->grads);
    backend_read_floats(o->p->be, &sum, &o->sum);
    return sqrt((double)sum);
}

void optimizer_step(optimizer *o, const train_config *c, int64_t step, double lr, double scale) {
    double t = (double)(step + 1);
    adamw_args a = {.lr = (float)lr,
                    .beta1 = (float)c->beta1,
                    .beta2 = (float)c->beta2,
                    .epsilon = (float)c->epsilon,
                    .correction1 = (float)(1 - pow(c->beta1, t)),
                    .correction2 = (float)(1 - pow(c->beta2, t)),
                    .grad_scale = (float)scale};
    for (int i = 0; i < o->p->count; i++) {
        const parameter *q = o->p->list[i];
        int64_t at = (int64_t)q->offset, count = q->t.m.rows * q->t.m.cols;
        if (!q->t.grad_written) continue; /* took no part: a switch left it out */
        a.w = matrix_columns(o->p->values, at, count);
        a.g = matrix_columns(o->p->grads, at, count);
        a.m = matrix_columns(o->m, at, count);
        a.v = matrix_columns(o->v, at, count);
        a.rounded = matrix_columns(o->p->rounded, at, count);
        a.decay = q->init.decay ? (float)c->weight_decay : 0;
        run_kernel_args(o->p->be, adamw, &a);
    }
    if (!o->average.data) return;
    double warm = (1 + t) / (10 + t); /* early on the average follows faster */
    double decay = c->ema < warm ? c->ema : warm;
    run_kernel(o->p->be, average, .average = o->average, .w = o->p->values, .decay = (float)decay);
}
