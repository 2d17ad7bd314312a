/* Every op: gradients against finite differences in double precision, and every kernel level, with one
 * thread and with three, against the double reference. */
#include "check.h"
#include "op_cases.h"
#include "cpu/cpu.h"
#include "tensor/parameters.h"

/* A case on one backend: inputs as parameters, the output and all gradients as floats. */
typedef struct run {
    backend *be;
    parameters p;
    tape t;
    tensor *in[CASE_INPUTS];
    int64_t outputs;
    float *output;
    float *grad[CASE_INPUTS];
} run;

static void run_open(run *r, const op_case *c, backend *be) {
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
        for (int k = 0; k < n; k++) values[k] = case_value(i, k);
        backend_write_floats(be, &r->in[i]->m, values);
        free(values);
        r->grad[i] = calloc((size_t)n, sizeof(float));
    }
}

static void run_close(run *r) {
    for (int i = 0; i < CASE_INPUTS; i++) free(r->grad[i]);
    free(r->output);
    tape_free(&r->t);
    parameters_free(&r->p);
    r->be->close(r->be);
}

/* Coefficients of the scalar that is differentiated: random, or a loss's own weights. */
static float coefficient(const op_case *c, int64_t cols, int64_t i) {
    if (!c->is_loss) return case_value(100, (int)i);
    return i % cols == 0 ? case_weight((int)(i / cols)) : 0;
}

/* Every op runs twice on the same inputs, so that a second contribution to a gradient is added to the
 * first. (Losses stand alone, and the input of an activation has one reader by contract.) */
static tensor *run_case(run *r, const op_case *c) {
    tensor *y = c->run(&r->t, r->in, c);
    if (c->is_loss || !strncmp(c->name, "act", 3)) return y;
    return add(&r->t, y, c->run(&r->t, r->in, c), 0);
}

static void run_both_ways(run *r, const op_case *c) {
    tape_reset(&r->t);
    parameters_clear_grads(&r->p);
    r->t.recording = true;
    tensor *y = run_case(r, c);
    r->outputs = y->m.rows * y->m.cols;
    if (!r->output) r->output = malloc((size_t)r->outputs * sizeof(float));
    float *seed = malloc((size_t)r->outputs * sizeof *seed);
    for (int64_t i = 0; i < r->outputs; i++) seed[i] = coefficient(c, y->m.cols, i);
    tape_read(&r->t, y, r->output);
    if (!c->is_loss) tape_seed(&r->t, y, seed);
    tape_backward(&r->t, y);
    assert_int_equal(r->t.status, 0);
    for (int i = 0; i < c->inputs; i++) backend_read_floats(r->be, r->grad[i], &r->in[i]->grad);
    assert_int_equal(r->t.pool.now, 0); /* the walk gave everything back */
    free(seed);
}

/* The scalar, in double, without recording. */
static double scalar(run *r, const op_case *c) {
    tape_reset(&r->t);
    r->t.recording = false;
    tensor *y = run_case(r, c);
    double sum = 0;
    const double *values = y->m.data;
    for (int64_t i = 0; i < r->outputs; i++) sum += values[i] * (double)coefficient(c, y->m.cols, i);
    return sum;
}

static void gradients(void **state) {
    (void)state;
    for (int k = 0; k < op_case_count; k++) {
        const op_case *c = &op_cases[k];
        backend *be;
        run r;
        must(cpu_double_backend_open(&be, &err));
        run_open(&r, c, be);
        run_both_ways(&r, c);
        for (int i = 0; i < c->inputs; i++) {
            int n = c->in[i].rows * c->in[i].cols, step = n / 25 + 1;
            for (int e = 0; e < n; e += step) {
                double *x = (double *)r.in[i]->m.data + e, old = *x, h = 1e-5;
                *x = old + h;
                double up = scalar(&r, c);
                *x = old - h;
                double slope = (up - scalar(&r, c)) / (2 * h), found = (double)r.grad[i][e];
                *x = old;
                if (fabs(found - slope) > 2e-5 * (1 + fabs(slope)))
                    test_failed("%s: dL/d input %d [%d]: found %.8g, finite difference %.8g\n", c->name,
                                i, e, found, slope);
            }
        }
        run_close(&r);
    }
}

static void compare(const char *what, const op_case *c, const char *level, const float *found,
                    const float *expected, int64_t n) {
    double largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)expected[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)found[i] - (double)expected[i]) <= 4e-6 * (1 + largest)))
            test_failed("%s at level %s: %s [%lld]: found %.8g, expected %.8g\n", c->name, level, what,
                        (long long)i, (double)found[i], (double)expected[i]);
}

static void levels(void **state) {
    (void)state;
    for (int k = 0; k < op_case_count; k++) {
        const op_case *c = &op_cases[k];
        backend *be;
        run expected;
        must(cpu_double_backend_open(&be, &err));
        run_open(&expected, c, be);
        run_both_ways(&expected, c);
        for (int level = 0; level < CPU_LEVELS; level++) {
            if (!cpu_has_level((cpu_level)level)) continue;
            run one, three;
            must(cpu_backend_open(&be, (cpu_level)level, 1, &err));
            run_open(&one, c, be);
            run_both_ways(&one, c);
            must(cpu_backend_open(&be, (cpu_level)level, 3, &err));
            run_open(&three, c, be);
            run_both_ways(&three, c);
            const char *name = cpu_level_names[level];
            compare("output", c, name, one.output, expected.output, one.outputs);
            if (memcmp(one.output, three.output, (size_t)one.outputs * sizeof(float)))
                test_failed("%s at level %s: 1 and 3 threads differ\n", c->name, name);
            for (int i = 0; i < c->inputs; i++) {
                int n = c->in[i].rows * c->in[i].cols;
                compare("gradient", c, name, one.grad[i], expected.grad[i], n);
                if (memcmp(one.grad[i], three.grad[i], (size_t)n * sizeof(float)))
                    test_failed("%s at level %s: gradients of 1 and 3 threads differ\n", c->name, name);
            }
            run_close(&one);
            run_close(&three);
        }
        run_close(&expected);
    }
}

static float nearest_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* One product of A [m, k] and B [k, n] with transposes and an old C, in bf16 on `threads` threads. */
static void product_bf16(int threads, const int64_t size[3], bool ta, bool tb, float *c) {
    enum { M, N, K };
    backend *be;
    int64_t rows[3] = {ta ? size[K] : size[M], tb ? size[N] : size[K], size[M]};
    int64_t cols[3] = {ta ? size[M] : size[K], tb ? size[K] : size[N], size[N]};
    matrix m[3];
    must(cpu_backend_open(&be, cpu_best_level(), threads, &err));
    must(cpu_use_bf16(be, &err));
    for (int i = 0; i < 3; i++) {
        m[i] = (matrix){.rows = rows[i], .cols = cols[i], .stride = cols[i], .type = F32};
        must(backend_alloc(be, &m[i].data, matrix_bytes(&m[i]), "a test", &err));
        for (int64_t k = 0; k < rows[i] * cols[i]; k++) ((float *)m[i].data)[k] = case_value(i, (int)k);
    }
    run_kernel(be, gemm, .c = m[2], .a = m[0], .b = m[1], .transpose_a = ta, .transpose_b = tb, .beta = 1);
    memcpy(c, m[2].data, matrix_bytes(&m[2]));
    for (int i = 0; i < 3; i++) backend_free(be, m[i].data, matrix_bytes(&m[i]));
    be->close(be);
}

static bool machine_has_bf16(void) {
    backend *be;
    must(cpu_backend_open(&be, cpu_best_level(), 1, &err));
    bool has = cpu_use_bf16(be, NULL) == 0;
    be->close(be);
    return has;
}

/* The exact product of the rounded operands, to float32's rounding, on any number of threads. */
static void bf16_products(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{33, 21, 40}, {130, 260, 70}, {9000, 8, 12}, {24, 40, 3100}};
    if (!machine_has_bf16()) skip();
    for (int i = 0; i < 12; i++) {
        const int64_t *z = sizes[i % 4];
        bool ta = i / 4 == 2, tb = i / 4 == 0;
        float *one = malloc((size_t)(z[0] * z[1]) * sizeof *one), *three = malloc((size_t)(z[0] * z[1]) * sizeof *one);
        product_bf16(1, z, ta, tb, one);
        product_bf16(3, z, ta, tb, three);
        if (memcmp(one, three, (size_t)(z[0] * z[1]) * sizeof *one)) test_failed("%s\n", "1 and 3 threads differ");
        for (int64_t e = 0; e < z[0] * z[1]; e += 1 + z[0] * z[1] / 97) {
            int64_t r = e / z[1], c = e % z[1];
            double sum = (double)case_value(2, (int)e);
            for (int64_t k = 0; k < z[2]; k++)
                sum += (double)nearest_bf16(case_value(0, (int)(ta ? k * z[0] + r : r * z[2] + k))) *
                       (double)nearest_bf16(case_value(1, (int)(tb ? c * z[2] + k : k * z[1] + c)));
            close_to((double)one[e], sum, 1e-4, "an element of a bf16 product");
        }
        free(one);
        free(three);
    }
}

/* A plan over the null backend gives the exact size of the pool that the real run needs. */
static void planned_memory(void **state) {
    (void)state;
    for (int k = 0; k < op_case_count; k++) {
        const op_case *c = &op_cases[k];
        backend *be;
        run real, plan;
        must(cpu_double_backend_open(&be, &err));
        run_open(&real, c, be);
        run_both_ways(&real, c);
        must(null_backend_open(&be, &err));
        be->real = F64;
        run_open(&plan, c, be);
        tape_free(&plan.t);
        must(tape_init_plan(&plan.t, be, &err));
        plan.t.training = true;
        run_both_ways(&plan, c);
        assert_int_equal(plan.t.pool.peak, real.t.pool.peak);
        run_close(&real);
        run_close(&plan);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients), cmocka_unit_test(levels), cmocka_unit_test(bf16_products),
                                       cmocka_unit_test(planned_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
