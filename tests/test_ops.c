/* Every op: gradients against finite differences in double precision, and every kernel level, with one
 * thread and with three, against the double reference. */
#include "check.h"
#include "op_run.h"
#include "backends/registry.h"
#include "cpu/levels.h"

static const double TOLERANCE = 4e-6;

/* The scalar, in double, without recording. */
static double scalar(run *r, const op_case *c) {
    tape_reset(&r->t);
    r->t.recording = false;
    tensor *y = run_case(r, c);
    double sum = 0;
    const double *values = y->m.data;
    for (int64_t i = 0; i < r->outputs; i++) sum += values[i] * (double)run_coefficient(c, y->m.cols, i);
    return sum;
}

static void gradients(void **state) {
    (void)state;
    for (int k = 0; k < op_case_count; k++) {
        const op_case *c = &op_cases[k];
        backend *be;
        run r;
        if (c->kind == CASE_FORWARD) continue;
        must(backend_open(&be, "cpu", &(backend_options){.precision = F64}, &err));
        run_open(&r, c, be, false);
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

static void levels(void **state) {
    (void)state;
    for (int k = 0; k < op_case_count; k++) {
        const op_case *c = &op_cases[k];
        backend *be;
        run expected;
        must(backend_open(&be, "cpu", &(backend_options){.precision = F64}, &err));
        run_open(&expected, c, be, false);
        run_both_ways(&expected, c);
        for (const char *const *level = cpu_levels(); *level; level++) {
            run one, three;
            must(backend_open(&be, "cpu", &(backend_options){.level = *level, .threads = 1}, &err));
            run_open(&one, c, be, false);
            run_both_ways(&one, c);
            must(backend_open(&be, "cpu", &(backend_options){.level = *level, .threads = 3}, &err));
            run_open(&three, c, be, false);
            run_both_ways(&three, c);
            const char *name = *level;
            run_compare("output", c, name, one.output, expected.output, one.outputs, TOLERANCE);
            if (memcmp(one.output, three.output, (size_t)one.outputs * sizeof(float)))
                test_failed("%s at level %s: 1 and 3 threads differ\n", c->name, name);
            for (int i = 0; i < c->inputs; i++) {
                int n = c->in[i].rows * c->in[i].cols;
                run_compare("gradient", c, name, one.grad[i], expected.grad[i], n, TOLERANCE);
                if (memcmp(one.grad[i], three.grad[i], (size_t)n * sizeof(float)))
                    test_failed("%s at level %s: gradients of 1 and 3 threads differ\n", c->name, name);
            }
            run_close(&one);
            run_close(&three);
        }
        run_close(&expected);
    }
}

/* One product of A [m, k] and B [k, n] with transposes and an old C, in bf16 on `threads` threads. */
static void product_bf16(int threads, const int64_t size[3], bool ta, bool tb, float *c) {
    enum { M, N, K };
    backend *be;
    int64_t rows[3] = {ta ? size[K] : size[M], tb ? size[N] : size[K], size[M]};
    int64_t cols[3] = {ta ? size[M] : size[K], tb ? size[K] : size[N], size[N]};
    matrix m[3];
    must(backend_open(&be, "cpu", &(backend_options){.threads = threads, .precision = BF16}, &err));
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
    if (backend_open(&be, "cpu", &(backend_options){.precision = BF16}, NULL)) return false;
    be->close(be);
    return true;
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

/* One case in bf16 on `threads` threads, of inputs that it can hold. */
static void run_rounded(run *r, const op_case *c, const char *level, int threads) {
    backend *be;
    must(backend_open(&be, "cpu", &(backend_options){.level = level, .threads = threads, .precision = BF16}, &err));
    run_open(r, c, be, true);
    run_both_ways(r, c);
}

/* Attention at every level that has products in bf16: to the 8 bits of what it rounds, and the same on any number of
 * threads. */
static void bf16_attention(void **state) {
    (void)state;
    if (!machine_has_bf16()) skip();
    for (int k = 0; k < op_case_count; k++) {
        const op_case *c = &op_cases[k];
        backend *be;
        run expected, one, three;
        if (strncmp(c->name, "attend", 6)) continue;
        must(backend_open(&be, "cpu", &(backend_options){.precision = F64}, &err));
        run_open(&expected, c, be, true);
        run_both_ways(&expected, c);
        for (const char *const *level = cpu_levels(); *level; level++) {
            if (!strcmp(*level, "reference")) continue;
            run_rounded(&one, c, *level, 1);
            run_rounded(&three, c, *level, 3);
            run_compare("output in bf16", c, *level, one.output, expected.output, one.outputs, 1e-2);
            if (memcmp(one.output, three.output, (size_t)one.outputs * sizeof(float)))
                test_failed("%s in bf16 at level %s: 1 and 3 threads differ\n", c->name, *level);
            for (int i = 0; i < c->inputs; i++) {
                int n = c->in[i].rows * c->in[i].cols;
                run_compare("gradient in bf16", c, *level, one.grad[i], expected.grad[i], n, 1e-2);
                if (memcmp(one.grad[i], three.grad[i], (size_t)n * sizeof(float)))
                    test_failed("%s in bf16 at level %s: gradients of 1 and 3 threads differ\n", c->name, *level);
            }
            run_close(&one);
            run_close(&three);
        }
        run_close(&expected);
    }
}

/* A matrix of case values on the device, of any type. */
static matrix typed_matrix(backend *be, int64_t rows, int64_t cols, dtype type, int seed) {
    matrix real = {.rows = rows, .cols = cols, .stride = cols, .type = F32}, m = real;
    must(backend_alloc(be, &real.data, matrix_bytes(&real), "a test", &err));
    for (int64_t k = 0; k < rows * cols; k++) ((float *)real.data)[k] = case_value(seed, (int)k);
    if (type == F32) return real;
    m.type = type;
    m.stride = dtype_stride(type, cols);
    must(backend_alloc(be, &m.data, matrix_bytes(&m), "a test", &err));
    run_kernel(be, copy, .y = m, .x = real);
    backend_free(be, real.data, matrix_bytes(&real));
    return m;
}

static void drop(backend *be, matrix *m) { backend_free(be, m->data, matrix_bytes(m)); }

/* The same values as floats; how far they are from the originals is checked by the way. */
static matrix unpacked(backend *be, const matrix *m, int seed) {
    matrix y = typed_matrix(be, m->rows, m->cols, F32, seed);
    for (int64_t r = 0; r < m->rows; r++) {
        float *row = (float *)y.data + r * y.stride, was[256], largest = 0;
        memcpy(was, row, (size_t)m->cols * sizeof *was);
        matrix one = matrix_rows(*m, r, 1);
        run_kernel(be, copy, .y = matrix_rows(y, r, 1), .x = one);
        for (int64_t i = 0; i < m->cols; i++) largest = fmaxf(largest, fabsf(was[i]));
        for (int64_t i = 0; i < m->cols; i++) {
            double bound = m->type == BF16 ? 0.00391 * fabs((double)was[i]) : 0.50001 * (double)largest / 127;
            if (fabs((double)row[i] - (double)was[i]) > bound + 1e-9)
                test_failed("packed %g became %g\n", (double)was[i], (double)row[i]);
        }
    }
    return y;
}

/* Products with packed weights, for few rows and for many, equal those with the same weights as floats. */
static void packed_products(void **state) {
    (void)state;
    for (const char *const *level = cpu_levels(); *level; level++)
        for (int k = 0; k < 12; k++) {
            static const int64_t rows[] = {1, 3, 20};
            backend *be;
            must(backend_open(&be, "cpu", &(backend_options){.level = *level, .threads = 2}, &err));
            int64_t out = k / 6 ? 29 : 64, in = k / 6 ? 37 : 64;
            matrix w = typed_matrix(be, out, in, k / 3 % 2 ? I8 : BF16, 1), wide = unpacked(be, &w, 1);
            matrix x = typed_matrix(be, rows[k % 3], in, F32, 2), y[2];
            for (int i = 0; i < 2; i++) {
                y[i] = typed_matrix(be, x.rows, out, F32, 3);
                run_kernel(be, gemm, .c = y[i], .a = x, .b = i ? wide : w, .transpose_b = true);
            }
            for (int64_t e = 0; e < x.rows * out; e++)
                close_to((double)((float *)y[0].data)[e], (double)((float *)y[1].data)[e], 2e-5, "a packed product");
            for (int i = 0; i < 2; i++) drop(be, &y[i]);
            drop(be, &x);
            drop(be, &w);
            drop(be, &wide);
            be->close(be);
        }
}

/* Attention over packed keys and values, decoding (one query) and filling (forty). */
static void packed_attention(void **state) {
    (void)state;
    enum { M = 150, C = 40 };
    for (const char *const *level = cpu_levels(); *level; level++)
        for (int k = 0; k < 4; k++) {
            backend *be;
            int64_t N = k % 2 ? 40 : 1;
            dtype type = k / 2 ? I8 : BF16;
            must(backend_open(&be, "cpu", &(backend_options){.level = *level, .threads = 2}, &err));
            matrix q = typed_matrix(be, N, C, F32, 4), lse = typed_matrix(be, N, 2, F32, 4), o[2];
            matrix key[2] = {typed_matrix(be, M, C, type, 5)}, value[2] = {typed_matrix(be, M, C, type, 6)};
            matrix begin = {.rows = N, .cols = 1, .stride = 1, .type = I32}, end = begin;
            key[1] = unpacked(be, &key[0], 5);
            value[1] = unpacked(be, &value[0], 6);
            must(backend_alloc(be, &begin.data, matrix_bytes(&begin), "a test", &err));
            must(backend_alloc(be, &end.data, matrix_bytes(&end), "a test", &err));
            for (int n = 0; n < N; n++) {
                ((int32_t *)begin.data)[n] = n % 3;
                ((int32_t *)end.data)[n] = (int32_t)(M - N + n + 1);
            }
            for (int i = 0; i < 2; i++) {
                o[i] = typed_matrix(be, N, C, F32, 7);
                run_kernel(be, attend_fwd, .o = o[i], .lse = lse, .q = q, .k = key[i], .v = value[i], .begin = begin,
                           .end = end, .batch = 1, .heads = 2, .scale = 0.7f);
            }
            for (int64_t e = 0; e < N * C; e++)
                close_to((double)((float *)o[0].data)[e], (double)((float *)o[1].data)[e], 2e-5, "packed attention");
            matrix *all[] = {&q, &lse, &o[0], &o[1], &key[0], &key[1], &value[0], &value[1], &begin, &end};
            for (int i = 0; i < 10; i++) drop(be, all[i]);
            be->close(be);
        }
}

/* Kernels that count what they are asked for, over a backend's own. */
static kernels counted;
static int calls[KERNEL_COUNT];
#define COUNT_CALLS(name, type)                                                                    \
    static void count_##name(void *context, const type *args) {                                    \
        calls[KERNEL_##name]++;                                                                    \
        counted.name(context, args);                                                               \
    }
KERNELS(COUNT_CALLS)

/* A slot that no case runs is tested by nothing here. */
static void every_slot_has_a_case(void **state) {
    (void)state;
    for (int k = 0; k < op_case_count; k++) {
        backend *be;
        run r;
        must(backend_open(&be, "cpu", &(backend_options){.precision = F64}, &err));
        run_open(&r, &op_cases[k], be, false);
        parameters_clear_grads(&r.p);
        counted = be->k;
#define TAKE_CALLS(name, type) be->k.name = count_##name;
        KERNELS(TAKE_CALLS)
        run_cleared(&r, &op_cases[k]);
        be->k = counted;
        run_close(&r);
    }
    for (int i = 0; i < KERNEL_COUNT; i++)
        if (!calls[i]) test_failed("no op case runs the kernel %s\n", kernel_names[i]);
}

/* Attention of 40 queries to 300 keys, of which those of one stretch alone matter, both ways on one backend: o, dq,
 * dk, dv behind one another. */
enum { SHARP_N = 40, SHARP_M = 300, SHARP_C = 16, SHARP_OUT = (2 * SHARP_N + 2 * SHARP_M) * SHARP_C };
static void attend_sharply(backend *be, float apart, float *out) {
    parameters p = {.be = be};
    tape t;
    tensor *in[3];
    static const int rows[] = {SHARP_N, SHARP_M, SHARP_M};
    float values[SHARP_M * SHARP_C], seed[SHARP_N * SHARP_C];
    int32_t begin[SHARP_N] = {0}, end[SHARP_N];
    for (int i = 0; i < 3; i++) in[i] = parameters_add(&p, (const char *[]){"q", "k", "v"}[i], rows[i], SHARP_C, (param_init){0});
    must(parameters_alloc(&p, be, true, &err));
    must(tape_init(&t, be, 0, &err));
    for (int i = 0; i < 3; i++) {
        for (int r = 0; r < rows[i]; r++)
            for (int c = 0; c < SHARP_C; c++) {
                float x = case_value(20 + i, r * SHARP_C + c);
                float base = i == 0 ? 3 : i == 1 && r >= 70 && r < 90 ? apart : -apart;
                values[r * SHARP_C + c] = i == 2 ? x : base + 0.3f * x;
            }
        backend_write_floats(be, &in[i]->m, values);
    }
    for (int n = 0; n < SHARP_N; n++) end[n] = SHARP_M - SHARP_N + n + 1;
    for (int i = 0; i < SHARP_N * SHARP_C; i++) seed[i] = case_value(30, i);
    t.recording = true;
    attend_spec s = {.batch = 1, .heads = 2, .scale = 0.4f, .begin = tape_ints(&t, begin, SHARP_N),
                     .end = tape_ints(&t, end, SHARP_N)};
    tensor *y = attend(&t, in[0], in[1], in[2], &s);
    tape_read(&t, y, out);
    tape_seed(&t, y, seed);
    tape_backward(&t, y);
    out += SHARP_N * SHARP_C;
    for (int i = 0; i < 3; out += rows[i++] * SHARP_C) backend_read_floats(be, out, &in[i]->grad);
    tape_free(&t);
    parameters_free(&p);
    be->close(be);
}

/* Tiles of keys that cannot matter are left out: what remains equals the double reference. Those that matter a little,
 * with scores some 8 below the largest, are not. */
static void sharp_attention(void **state) {
    (void)state;
    static float expected[SHARP_OUT], found[SHARP_OUT];
    static const float apart[] = {3, 0.42f};
    static const dtype precisions[] = {F32, BF16};
    backend *be;
    for (int k = 0; k < 2; k++) {
        must(backend_open(&be, "cpu", &(backend_options){.precision = F64}, &err));
        attend_sharply(be, apart[k], expected);
        for (const char *const *level = cpu_levels(); *level; level++)
            for (int p = 0; p < 2; p++) {
                backend_options options = {.level = *level, .threads = 2, .precision = precisions[p]};
                if (backend_open(&be, "cpu", &options, NULL)) continue; /* no bf16 there */
                attend_sharply(be, apart[k], found);
                for (int i = 0; i < SHARP_OUT; i++)
                    if (!(fabs((double)(found[i] - expected[i])) < (p ? 0.1 : 3e-5)))
                        test_failed("level %s, %s, value %d: found %g, expected %g\n", *level, p ? "bf16" : "f32", i,
                                    (double)found[i], (double)expected[i]);
            }
    }
}

/* The map of a pass: rows of probabilities, in bins that the whole span shares, keys that are not there included. */
static void check_map(int64_t offset) {
    enum { N = 6, M = 40, C = 8, ROWS = 3, BINS = 10, SPAN = 80 };
    backend *be;
    tape t;
    float values[ROWS * BINS], inputs[(N + M) * C];
    int32_t begin[N] = {0}, end[N];
    must(backend_open(&be, "cpu", &(backend_options){.threads = 1}, &err));
    must(tape_init(&t, be, 0, &err));
    for (int i = 0; i < (N + M) * C; i++) inputs[i] = case_value(8, i);
    for (int n = 0; n < N; n++) end[n] = M - N + n + 1;
    tensor *q = tape_floats(&t, inputs, N, C), *k = tape_floats(&t, inputs + N * C, M, C);
    attend_spec s = {.batch = 1, .heads = 2, .scale = 1, .begin = tape_ints(&t, begin, N), .end = tape_ints(&t, end, N)};
    tape_read(&t, attend_map(&t, q, k, &s, &(map_spec){1, 2, ROWS, BINS, SPAN, offset}), values);
    for (int r = 0; r < ROWS; r++) {
        double expected[BINS] = {0};
        for (int h = 0; h < 2; h++) {
            double p[M], sum = 0;
            for (int j = 0; j < end[1 + 2 * r]; j++) {
                double dot = 0;
                for (int d = 0; d < C / 2; d++)
                    dot += (double)inputs[(1 + 2 * r) * C + h * C / 2 + d] * (double)inputs[(N + j) * C + h * C / 2 + d];
                sum += p[j] = exp(dot);
            }
            for (int j = 0; j < end[1 + 2 * r]; j++) expected[(offset + j) * BINS / SPAN] += p[j] / sum / 2;
        }
        for (int b = 0; b < BINS; b++) close_to((double)values[r * BINS + b], expected[b], 1e-5, "a bin of the map");
    }
    tape_free(&t);
    be->close(be);
}

static void attention_maps(void **state) {
    (void)state;
    check_map(0);
    check_map(13);
    check_map(40);
}

enum { DROPPED = 64 * 64 };
static void dropped(tape *t, tensor *x, tensor *a, double p, float *out) { tape_read(t, add(t, x, a, p), out); }

/* A quarter of the values goes, the others grow by a third; which ones is another matter for every op, step and seed,
 * and the same for the same. Nothing goes but in training. */
static void dropped_values(void **state) {
    (void)state;
    static float values[6][DROPPED], ones[DROPPED], zeros[DROPPED];
    backend *be;
    tape t;
    must(backend_open(&be, "cpu", &(backend_options){.threads = 2}, &err));
    must(tape_init(&t, be, 0, &err));
    for (int i = 0; i < DROPPED; i++) ones[i] = 1;
    for (int k = 0; k < 6; k += k ? 1 : 2) { /* other step, other seed, the first again, no training */
        tape_reset(&t);
        t.training = k < 5;
        t.seed = k == 3 ? 10 : 9;
        t.step = k == 2;
        tensor *x = tape_floats(&t, zeros, 64, 64), *a = tape_floats(&t, ones, 64, 64);
        dropped(&t, x, a, 0.25, values[k]);
        if (k == 0) dropped(&t, x, a, 0.25, values[1]); /* another op */
    }
    assert_memory_equal(values[4], values[0], sizeof values[0]);
    assert_memory_equal(values[5], ones, sizeof ones);
    for (int k = 0; k < 4; k++) {
        int gone = 0, differ = 0;
        for (int i = 0; i < DROPPED; i++) {
            gone += values[k][i] == 0;
            differ += values[k][i] != values[0][i];
            if (values[k][i] != 0) close_to((double)values[k][i], 4.0 / 3, 1e-6, "what is kept");
        }
        assert_in_range(gone, 900, 1150); /* 1024 +- 28 */
        if (k) assert_in_range(differ, 1400, 1680); /* 3 of 8: 1536 +- 31 */
    }
    tape_free(&t);
    be->close(be);
}

/* Passes that grow a little each time end up in one region, not in one for each. */
static void growing_passes(void **state) {
    (void)state;
    backend *be;
    tape t;
    must(backend_open(&be, "cpu", &(backend_options){.level = "reference", .threads = 1}, &err));
    must(tape_init(&t, be, 0, &err));
    for (int i = 0; i < 300; i++) {
        tape_reset(&t);
        assert_non_null(tape_tensor(&t, 5000 + 10 * i, 1024)->m.data);
        assert_int_equal(t.status, 0);
    }
    assert_true(t.pool.regions <= 2 && be->bytes_now < (size_t)128 << 20);
    tape_free(&t);
    be->close(be);
}

static int64_t five_parts(const backend *be, int64_t rows) { return be && rows < 5 ? 1 : 5; }

static int64_t three_chunks(const backend *be, int64_t batch, int64_t heads, int64_t width, int64_t keys) {
    return be && batch && heads && width && keys ? 3 : 1;
}

/* Runs a case on a backend of its own, which cuts one kind of work otherwise than the CPU does; `null`: that only
 * counts. */
enum { CUT_ALIKE, CUT_NORMS, CUT_KEYS, CUT_LOGITS, CUTS };
static void run_apart(run *r, const op_case *c, const backend_options *options, int cut, bool null) {
    backend *be;
    must(backend_open(&be, "cpu", options, &err));
    if (cut == CUT_NORMS) be->norm_parts = five_parts;
    if (cut == CUT_KEYS) be->attend_chunks = three_chunks;
    if (cut == CUT_LOGITS) be->logits *= 2;
    if (null) backend_make_null(be);
    run_open(r, c, be, false);
    if (null) {
        tape_free(&r->t);
        must(tape_init_plan(&r->t, be, &err));
        r->t.training = true;
    }
    run_both_ways(r, c);
}

/* A plan over the null backend gives the exact size of the pool that the real run needs. Ops ask the backend how its
 * work is cut, and so the plan is that of the backend which it was made of. */
static void planned_memory(void **state) {
    (void)state;
    int others[CUTS] = {0};
    for (int k = 0; k < op_case_count; k++) {
        const op_case *c = &op_cases[k];
        run expected, real, plan;
        size_t usual = 0;
        run_apart(&expected, c, &(backend_options){.precision = F64}, CUT_ALIKE, false);
        for (int cut = 0; cut < CUTS; cut++) {
            run_apart(&real, c, NULL, cut, false);
            run_apart(&plan, c, NULL, cut, true);
            assert_int_equal(plan.t.pool.peak, real.t.pool.peak);
            run_compare("output", c, "best", real.output, expected.output, expected.outputs, TOLERANCE);
            for (int i = 0; i < c->inputs; i++)
                run_compare("gradient", c, "best", real.grad[i], expected.grad[i], c->in[i].rows * c->in[i].cols, TOLERANCE);
            if (cut == CUT_ALIKE) usual = plan.t.pool.peak;
            others[cut] += plan.t.pool.peak != usual;
            run_close(&real);
            run_close(&plan);
        }
        run_close(&expected);
    }
    for (int cut = CUT_NORMS; cut < CUTS; cut++) assert_true(others[cut]);
}

/* Rows of a product by row have the bits that each has alone, for every number of rows and type of weights. */
static void rows_of_products(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{2, 5, 7}, {9, 33, 64}, {13, 70, 131}, {64, 17, 40}};
    static const dtype types[] = {F32, BF16, I8};
    for (const char *const *level = cpu_levels(); *level; level++)
        for (int k = 0; k < 12; k++) {
            const int64_t *z = sizes[k / 3];
            backend *be;
            must(backend_open(&be, "cpu", &(backend_options){.level = *level, .threads = 2}, &err));
            matrix a = typed_matrix(be, z[0], z[2], F32, 1), b = typed_matrix(be, z[1], z[2], types[k % 3], 2);
            matrix bias = typed_matrix(be, 1, z[1], F32, 3), all = typed_matrix(be, z[0], z[1], F32, 4);
            matrix one = typed_matrix(be, 1, z[1], F32, 4);
            run_kernel(be, gemm, .c = all, .a = a, .b = b, .bias = bias, .transpose_b = true, .by_row = true);
            for (int64_t r = 0; r < z[0]; r++) {
                run_kernel(be, gemm, .c = one, .a = matrix_rows(a, r, 1), .b = b, .bias = bias, .transpose_b = true,
                           .by_row = true);
                if (memcmp(one.data, matrix_rows(all, r, 1).data, (size_t)z[1] * sizeof(float)))
                    test_failed("%s, type %d: row %d of %d is another than alone\n", *level, types[k % 3], (int)r, (int)z[0]);
            }
            matrix *list[] = {&a, &b, &bias, &all, &one};
            for (int m = 0; m < 5; m++) drop(be, list[m]);
            be->close(be);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients), cmocka_unit_test(levels), cmocka_unit_test(every_slot_has_a_case), cmocka_unit_test(bf16_products), cmocka_unit_test(bf16_attention),
                                       cmocka_unit_test(packed_products), cmocka_unit_test(rows_of_products), cmocka_unit_test(packed_attention),
                                       cmocka_unit_test(attention_maps), cmocka_unit_test(sharp_attention), cmocka_unit_test(growing_passes),
                                       cmocka_unit_test(dropped_values),
                                       cmocka_unit_test(planned_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
