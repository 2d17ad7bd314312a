#include "op_run.h"
#include "check.h"

float nearest_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

void run_open(run *r, const op_case *c, backend *be, bool narrow) {
    *r = (run){.be = be};
    for (int i = 0; i < c->inputs; i++) {
        char name[32];
        snprintf(name, sizeof name, "input.%d", i);
        r->in[i] = parameters_add(&r->p, name, c->in[i].rows, c->in[i].cols, (param_init){0});
    }
    must(parameters_alloc(&r->p, be, true, &err));
    must(tape_init(&r->t, be, 0, &err));
    r->t.seed = 5;
    r->t.training = true;
    for (int i = 0; i < c->inputs; i++) {
        int n = c->in[i].rows * c->in[i].cols;
        float *values = malloc((size_t)n * sizeof *values);
        for (int k = 0; k < n; k++) values[k] = narrow ? nearest_bf16(case_value(i, k)) : case_value(i, k);
        backend_write_floats(be, &r->in[i]->m, values);
        free(values);
        r->grad[i] = calloc((size_t)n, sizeof(float));
    }
}

void run_free(run *r) {
    for (int i = 0; i < CASE_INPUTS; i++) free(r->grad[i]);
    free(r->output);
    tape_free(&r->t);
    parameters_free(&r->p);
}

void run_close(run *r) {
    run_free(r);
    r->be->close(r->be);
}

float run_coefficient(const op_case *c, int64_t cols, int64_t i) {
    if (c->kind != CASE_LOSS) return case_value(100, (int)i);
    return i % cols == 0 ? case_weight((int)(i / cols)) : 0;
}

tensor *run_case(run *r, const op_case *c) {
    tensor *y = c->run(&r->t, r->in, c);
    if (c->kind != CASE_OP || !strncmp(c->name, "act", 3)) return y;
    return add(&r->t, y, c->run(&r->t, r->in, c), 0);
}

void run_cleared(run *r, const op_case *c) {
    tape_reset(&r->t);
    r->t.recording = c->kind != CASE_FORWARD;
    tensor *y = run_case(r, c);
    r->outputs = y->m.rows * y->m.cols;
    if (!r->output) r->output = malloc((size_t)r->outputs * sizeof(float));
    if (c->kind == CASE_FORWARD) {
        tape_read(&r->t, y, r->output);
        assert_int_equal(r->t.status, 0);
        return;
    }
    float *seed = malloc((size_t)r->outputs * sizeof *seed);
    for (int64_t i = 0; i < r->outputs; i++) seed[i] = run_coefficient(c, y->m.cols, i);
    tape_read(&r->t, y, r->output);
    if (c->kind != CASE_LOSS) tape_seed(&r->t, y, seed);
    tape_backward(&r->t, y);
    assert_int_equal(r->t.status, 0);
    for (int i = 0; i < c->inputs; i++) backend_read_floats(r->be, r->grad[i], &r->in[i]->grad);
    assert_int_equal(r->t.pool.now, 0); /* the walk gave everything back */
    free(seed);
}

void run_both_ways(run *r, const op_case *c) {
    parameters_clear_grads(&r->p);
    run_cleared(r, c);
}

void run_compare(const char *what, const op_case *c, const char *level, const float *found, const float *expected,
                 int64_t n, double tolerance) {
    double largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)expected[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)found[i] - (double)expected[i]) <= tolerance * (1 + largest)))
            test_failed("%s at level %s: %s [%lld]: found %.8g, expected %.8g\n", c->name, level, what,
                        (long long)i, (double)found[i], (double)expected[i]);
}
