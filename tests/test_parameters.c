/* Parameters in one block: where they lie, their names, what they begin as, and packed weights. */
#include "device.h"
#include "config/settings.h"
#include "model/model.h"

enum { ROWS = 300, COLS = 64 };

static void where_they_lie(void **state) {
    (void)state;
    backend *be;
    parameters p = {0};
    be = test_backend(&(backend_options){.level = "reference", .threads = 1});
    tensor *maps = parameters_add(&p, "a.{query,key,value}.weight", 9, 5, (param_init){0});
    tensor *biases = parameters_add(&p, "a.{query,key,value}.bias", 1, 9, (param_init){.vector = true});
    tensor *last = parameters_add(&p, "b.weight", 2, 3, (param_init){0});
    must(parameters_alloc(&p, be, true, &err));
    static const struct {
        const char *name;
        int64_t rows, cols;
        size_t offset; /* every parameter starts on a cache line */
    } expected[] = {{"a.query.weight", 3, 5, 0}, {"a.key.weight", 3, 5, 15}, {"a.value.weight", 3, 5, 30},
                    {"a.query.bias", 1, 3, 48},  {"a.key.bias", 1, 3, 51},   {"a.value.bias", 1, 3, 54},
                    {"b.weight", 2, 3, 64}};
    assert_true(p.count == 3 && p.names == 7 && p.total == 45 + 9 + 6 && p.elements == 80);
    for (int i = 0; i < p.names; i++) {
        parameter_slice s = parameters_slice(&p, i);
        assert_string_equal(s.name, expected[i].name);
        assert_true(s.rows == expected[i].rows && s.cols == expected[i].cols && s.offset == expected[i].offset);
        assert_int_equal(parameters_find(&p, expected[i].name), i);
    }
    assert_int_equal(parameters_find(&p, "a.query"), -1);
    const float *values = p.values.data, *grads = p.grads.data;
    assert_true((float *)maps->m.data == values && (float *)biases->m.data == values + 48);
    assert_true((float *)last->m.data == values + 64 && (float *)last->grad.data == grads + 64);
    float there[2][80];
    backend_read_floats(be, there[0], &p.values);
    backend_read_floats(be, there[1], &p.grads);
    for (size_t i = 0; i < p.elements; i++) assert_true(there[0][i] == 0 && there[1][i] == 0);
    matrix other = p.grads; /* any block of that size */
    parameters_point(&p, other);
    assert_true((const float *)last->m.data == grads + 64);
    parameters_free(&p);
    assert_int_equal(be->bytes_now, 0);
    be->close(be);
}

/* Deviations: of a normal distribution that is cut at 2, 0.8796 of it; with fan-in that is made good. */
static void what_they_begin_as(void **state) {
    (void)state;
    static const struct {
        param_init init;
        double deviation, most;
    } cases[] = {{{.kind = INIT_ZERO}, 0, 0},
                 {{.kind = INIT_NORMAL, .scale = 0.5}, 0.5, 2.4},
                 {{.kind = INIT_TRUNCATED, .scale = 0.5}, 0.5 * 0.87962566, 1},
                 {{.kind = INIT_FAN_IN, .scale = 0.5}, 0.5 / 8, 2 * 0.5 / 8 / 0.87962566}};
    enum { CASES = sizeof cases / sizeof *cases };
    backend *be;
    parameters p = {0};
    tensor *t[CASES + 2];
    static float x[ROWS * COLS], y[ROWS * COLS];
    be = test_backend(&(backend_options){.level = "reference", .threads = 1});
    for (int k = 0; k < CASES; k++) t[k] = parameters_add(&p, "x", ROWS, COLS, cases[k].init);
    t[CASES] = parameters_add(&p, "ones", 1, COLS, (param_init){.kind = INIT_ONE});
    t[CASES + 1] = parameters_add(&p, "x", ROWS, COLS, cases[1].init); /* other numbers than the first of its kind */
    must(parameters_alloc(&p, be, false, &err));
    must(parameters_init(&p, 3, &err));
    for (int k = 0; k < CASES; k++) {
        backend_read_floats(be, x, &t[k]->m);
        double sum = 0, squares = 0, most = 0, n = ROWS * COLS;
        for (int i = 0; i < ROWS * COLS; i++) {
            sum += (double)x[i];
            squares += (double)x[i] * (double)x[i];
            most = fmax(most, fabs((double)x[i]));
        }
        close_to(sum / n, 0, 4 * cases[k].deviation / sqrt(n), "mean");
        close_to(sqrt(squares / n), cases[k].deviation, 4 * cases[k].deviation / sqrt(2 * n), "deviation");
        assert_true(most <= cases[k].most * 1.000001 && most >= 0.75 * cases[k].most);
    }
    backend_read_floats(be, x, &t[CASES]->m);
    for (int i = 0; i < COLS; i++) assert_true(x[i] == 1);
    backend_read_floats(be, x, &t[1]->m);
    backend_read_floats(be, y, &t[CASES + 1]->m);
    assert_true(memcmp(x, y, sizeof x) != 0);
    must(parameters_init(&p, 4, &err));
    backend_read_floats(be, y, &t[1]->m);
    assert_true(*x != *y); /* of another seed */
    must(parameters_init(&p, 3, &err));
    backend_read_floats(be, y, &t[1]->m);
    assert_true(*x == *y);
    parameters_free(&p);
    be->close(be);
}

/* Deviations of a model's tensors as its switches say: of linear maps scale / sqrt(inputs), where a branch comes back to
 * the residual stream branch_scale times that. */
static void what_models_begin_as(void **state) {
    (void)state;
    static const struct {
        const char *settings, *name;
        double deviation;
    } cases[] = {
        {"", "layers.1.attention.query.weight", 2 / 8.0},
        {"", "layers.1.attention.output.weight", 2 * 0.25 / 8.0},
        {"", "layers.1.mlp.up.weight", 2 / 8.0},
        {"", "layers.1.mlp.down.weight", 2 * 0.25 / 11.3137085},
        {"", "cross.attention.value.weight", 2 / 8.0},
        {"", "cross.attention.output.weight", 2 * 0.25 / 8.0},
        {"", "output.weight", 2 / 8.0},
        {"zero_head=true", "output.weight", 0},
        {"", "token_embedding.weight", 0.5 * 0.87962566},
        {"init=normal", "token_embedding.weight", 0.5},
        {"init=normal", "layers.1.attention.output.weight", 2 * 0.25},
        {"init=normal", "output.weight", 2},
        {"", "layers.0.mlp.up.bias", 0},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        model_config c;
        backend *be;
        model *m;
        double squares = 0;
        must(settings_model(NULL, &c, &err));
        must(settings_apply_list("vocab_size=300 context=16 latents=16 channels=64 heads=2 layers=2 mlp_ratio=2 activation=gelu "
                                 "bias=all init_scale=2 branch_scale=0.25 embedding_scale=0.5 zero_head=false",
                                 &model_fields, "", &c, &err));
        must(settings_apply_list(cases[k].settings, &model_fields, "", &c, &err));
        be = test_backend(&(backend_options){.level = "reference", .threads = 1});
        must(model_open(&m, &c, be, false, &err));
        must(model_init(m, 9, &err));
        int i = parameters_find(&m->params, cases[k].name);
        if (i < 0) test_failed("there is no %s\n", cases[k].name);
        parameter_slice s = parameters_slice(&m->params, i);
        static float x[300 * 64];
        matrix part = matrix_columns(m->params.values, (int64_t)s.offset, s.rows * s.cols);
        assert_true(part.cols <= 300 * 64);
        backend_read_floats(be, x, &part);
        double n = (double)(s.rows * s.cols);
        for (int64_t e = 0; e < s.rows * s.cols; e++) squares += (double)x[e] * (double)x[e];
        close_to(sqrt(squares / n), cases[k].deviation, 4 * cases[k].deviation / sqrt(2 * n), cases[k].name);
        model_close(m);
        be->close(be);
    }
}

/* Matrices of linear maps are packed; embeddings, norms and biases, which are few and need to be exact, are not. */
static void packed_weights(void **state) {
    (void)state;
    static const dtype types[] = {BF16, I8};
    for (int k = 0; k < 2; k++) {
        backend *be;
        parameters p = {0};
        float values[ROWS * COLS], unpacked[ROWS * COLS];
        be = test_backend(&(backend_options){.threads = 1});
        tensor *map = parameters_add(&p, "map.weight", ROWS, COLS, (param_init){.kind = INIT_NORMAL, .scale = 1, .decay = true});
        tensor *table = parameters_add(&p, "table.weight", ROWS, COLS, (param_init){.kind = INIT_NORMAL, .scale = 1});
        must(parameters_alloc(&p, be, false, &err));
        must(parameters_init(&p, 3, &err));
        float *exact = malloc(sizeof values);
        backend_read_floats(be, values, &map->m);
        backend_read_floats(be, exact, &table->m);
        must(parameters_pack(&p, types[k], &err));
        assert_true(map->m.type == types[k] && table->m.type == F32);
        backend_read_floats(be, unpacked, &table->m);
        assert_memory_equal(unpacked, exact, sizeof values);
        matrix wide = {.rows = ROWS, .cols = COLS, .stride = COLS, .type = F32};
        must(backend_alloc(be, &wide.data, sizeof unpacked, "a test", &err));
        run_kernel(be, copy, .y = wide, .x = map->m);
        backend_read_floats(be, unpacked, &wide);
        backend_free(be, wide.data, sizeof unpacked);
        for (int r = 0; r < ROWS; r++) {
            float largest = 0;
            for (int c = 0; c < COLS; c++) largest = fmaxf(largest, fabsf(values[r * COLS + c]));
            for (int c = 0; c < COLS; c++) {
                double x = (double)values[r * COLS + c];
                double bound = types[k] == BF16 ? fabs(x) / 255 : (double)largest / 253; /* half a step */
                close_to((double)unpacked[r * COLS + c], x, bound, "a packed weight");
            }
        }
        free(exact);
        parameters_free(&p);
        assert_int_equal(be->bytes_now, 0);
        be->close(be);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(where_they_lie), cmocka_unit_test(what_they_begin_as),
                                       cmocka_unit_test(what_models_begin_as),
                                       cmocka_unit_test(packed_weights)};
    return run_on_device(tests, NULL, NULL);
}
