#include "measure/probe.h"

int probe_open(probe *p, const model_config *m, const train_config *c, size_t tensors, pcv_error *err) {
    int status = 0;
    *p = (probe){.c = c};
    TRY(step_backend(&p->be, c, err));
    TRY(model_open(&p->m, m, p->be, true, err));
    TRY(model_init(p->m, 1, err));
    p->m->recompute = c->recompute;
    TRY(optimizer_open(&p->o, &p->m->params, c, err));
    TRY(tape_init(&p->t, p->be, tensors, err));
    TRY(step_open(&p->b, p->m, c->batch, err));
    step_take_random(&p->b, c->batch, 1);
out:
    if (status) probe_close(p);
    return status;
}

void probe_close(probe *p) {
    step_close(&p->b);
    tape_free(&p->t);
    optimizer_close(&p->o);
    model_close(p->m);
    if (p->be) p->be->close(p->be);
    *p = (probe){0};
}

int probe_step(probe *p, double *seconds, pcv_error *err) {
    loss_sum result = {0};
    double start = backend_now(p->be);
    parameters_clear_grads(&p->m->params);
    int status = step_run(&p->b, &p->t, p->m, p->c, 0, 1, &result, err);
    if (status) return status;
    optimizer_grad_norm(&p->o);
    optimizer_step(&p->o, p->c, p->steps++, 0, 1);
    *seconds = backend_now(p->be) - start;
    return 0;
}

bool probe_has_precision(const train_config *c, int precision) {
    train_config other = *c;
    backend *be = NULL;
    other.precision = precision;
    if (step_backend(&be, &other, NULL)) return false;
    be->close(be);
    return true;
}
