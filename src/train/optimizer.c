/* LAMB (You et al. 2020, arXiv 1904.00962) takes the step u of AdamW for each tensor by itself, longer or shorter, so
 * that it is as long as the tensor's weights are: w -= lr |w| / |u| u. It is made of the same kernels: AdamW at a rate
 * of 1 moves a copy of the weights to w - u; 2 w less that is w + u; how long these two and w are tells how long u is,
 * |w + u|^2 + |w - u|^2 = 2 |w|^2 + 2 |u|^2; and w goes part of the way. */
#include "train/optimizer.h"
#include "base/mem.h"

#include <math.h>

static int make_block(optimizer *o, matrix *block, const char *purpose, pcv_error *err) {
    *block = o->p->values;
    block->data = NULL;
    int status = backend_alloc(o->p->be, &block->data, matrix_bytes(block), purpose, err);
    if (!status) run_kernel(o->p->be, fill, .y = *block);
    return status;
}

int optimizer_open(optimizer *o, parameters *p, const train_config *c, pcv_error *err) {
    *o = (optimizer){.p = p};
    int status = 0;
    TRY(make_block(o, &o->m, "the optimizer's means", err));
    TRY(make_block(o, &o->v, "the optimizer's mean squares", err));
    if (c && c->optimizer == OPTIMIZER_LAMB) {
        TRY(make_block(o, &o->moved, "the optimizer's steps", err));
        o->norms = (matrix){.rows = 3, .cols = p->names, .stride = p->names, .type = p->be->exact};
        TRY(backend_alloc(p->be, &o->norms.data, matrix_bytes(&o->norms), "norms", err));
        TRY(mem_get(&o->lengths, 3 * (size_t)p->names * sizeof *o->lengths, "norms", err));
    }
    if (c && c->ema > 0) {
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
    backend_free(o->p->be, o->moved.data, matrix_bytes(&o->moved));
    backend_free(o->p->be, o->norms.data, matrix_bytes(&o->norms));
    mem_free(o->lengths);
    *o = (optimizer){0};
}

size_t optimizer_bytes(const parameters *p, const train_config *c) {
    return (size_t)(2 + (c->ema > 0) + (c->optimizer == OPTIMIZER_LAMB)) * matrix_bytes(&p->values);
}

double optimizer_grad_norm(optimizer *o) {
    float sum = 0;
    run_kernel(o->p->be, sum_squares, .result = o->sum, .x = o->p->grads);
    backend_read_floats(o->p->be, &sum, &o->sum);
    return sqrt((double)sum);
}

/* ------------------------------------------------------------------ updates */

/* The step of one range of all blocks, at the rate in *a. */
static void adamw_range(const optimizer *o, adamw_args *a, matrix weights, int64_t at, int64_t count) {
    a->w = matrix_columns(weights, at, count);
    a->g = matrix_columns(o->p->grads, at, count);
    a->m = matrix_columns(o->m, at, count);
    a->v = matrix_columns(o->v, at, count);
    run_kernel_args(o->p->be, adamw, a);
}

static void adamw_all(optimizer *o, adamw_args *a, const train_config *c) {
    for (int i = 0; i < o->p->count; i++) {
        const parameter *q = o->p->list[i];
        int64_t at = (int64_t)q->offset, count = q->t.m.rows * q->t.m.cols;
        if (!q->t.grad_written) continue; /* took no part: a switch left it out */
        a->rounded = matrix_columns(o->p->rounded, at, count);
        a->decay = q->init.decay ? (float)c->weight_decay : 0;
        adamw_range(o, a, o->p->values, at, count);
    }
}

/* Sums of squares of a tensor's part of a block, as number `row` of its column. */
static void measure(const optimizer *o, int row, int name, matrix part) {
    run_kernel(o->p->be, sum_squares, .result = matrix_columns(matrix_rows(o->norms, row, 1), name, 1), .x = part);
}

/* Tensors by name: what is one product is several tensors. */
static void lamb_all(optimizer *o, adamw_args *a, const train_config *c, double lr) {
    backend *be = o->p->be;
    const int names = o->p->names;
    const float *norms = o->lengths;
    a->lr = 1;
    for (int i = 0; i < names; i++) {
        parameter_slice s = parameters_slice(o->p, i);
        int64_t at = (int64_t)s.offset, count = s.rows * s.cols;
        matrix w = matrix_columns(o->p->values, at, count), moved = matrix_columns(o->moved, at, count);
        if (!s.owner->t.grad_written) continue;
        a->decay = s.owner->init.decay ? (float)c->weight_decay : 0;
        run_kernel(be, copy, .y = moved, .x = w);
        adamw_range(o, a, o->moved, at, count); /* w - u */
        measure(o, 0, i, w);
        measure(o, 1, i, moved);
        run_kernel(be, average, .average = moved, .w = w, .decay = -1); /* w + u */
        measure(o, 2, i, moved);
    }
    backend_read_floats(be, o->lengths, &o->norms);
    for (int i = 0; i < names; i++) {
        parameter_slice s = parameters_slice(o->p, i);
        int64_t at = (int64_t)s.offset, count = s.rows * s.cols;
        if (!s.owner->t.grad_written) continue;
        double weight = (double)norms[i], less = (double)norms[names + i], more = (double)norms[2 * names + i];
        double step = (less + more) / 2 - weight;
        double part = lr * (weight > 0 && step > 0 ? sqrt(weight / step) : 1);
        /* (1 + part) w - part (w + u) */
        run_kernel(be, average, .average = matrix_columns(o->p->values, at, count),
                   .w = matrix_columns(o->moved, at, count), .decay = (float)(1 + part));
    }
    parameters_round(o->p);
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
    if (o->moved.data) lamb_all(o, &a, c, lr);
    else adamw_all(o, &a, c);
    if (!o->average.data) return;
    double warm = (1 + t) / (10 + t); /* early on the average follows faster */
    double decay = c->ema < warm ? c->ema : warm;
    run_kernel(o->p->be, average, .average = o->average, .w = o->p->values, .decay = (float)decay);
}
