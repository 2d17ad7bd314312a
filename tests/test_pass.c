/* One pass, described in every way that model/pass.h has: inputs that are vectors, queries of the caller's, all the
 * kinds of visibility, pooled outputs, targets, one upload. */
#include "small_model.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/batch.h"

enum { V = 13, CONTEXT = 12, N = 4, Z = 16, MOST = 64 };

static model *build(const char *changes) {
    return small_model("vocab_size=13 context=12 latents=4 channels=16 heads=2 layers=2 zero_head=false branch_scale=1 "
                       "init=fan_in", changes);
}

/* Numbers of a block, from one on. */
static void read_part(matrix block, size_t from, int64_t count, float *out) {
    matrix part = matrix_columns(block, (int64_t)from, count);
    backend_read_floats(be, out, &part);
}

static void write_part(matrix block, size_t to, int64_t count, const float *in) {
    matrix part = matrix_columns(block, (int64_t)to, count);
    backend_write_floats(be, &part, in);
}

static int32_t token(int i) { return (int32_t)(rng_at(5, RNG_TEST, 0, (uint64_t)i).v[0] % V); }

/* Hidden states of a pass. */
static int64_t hidden(model *m, const pass *p, float *out) {
    tape t;
    pass copy = *p;
    must(tape_init(&t, be, 0, &err));
    tensor *h = model_hidden(&t, m, &copy);
    assert_true(h->m.rows * h->m.cols <= MOST * Z);
    tape_read(&t, h, out);
    assert_int_equal(t.status, 0);
    int64_t rows = h->m.rows;
    tape_free(&t);
    return rows;
}

static void same(const float *a, const float *b, int64_t count, double tolerance, const char *what) {
    for (int64_t i = 0; i < count; i++) close_to((double)a[i], (double)b[i], tolerance, what);
}

static void differs(const float *a, const float *b, int64_t count, const char *what) {
    double most = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    if (most < 1e-4) test_failed("%s: no difference\n", what);
}

/* ------------------------------------------------------------------ inputs */

/* An input vector with a single 1 is an id: the same states, and the same gradients of the table, turned. */
static void vectors_with_one_number_are_ids(void **state) {
    (void)state;
    static const char *const positions[] = {"", "positions.kind=learned", "positions.kind=sinusoidal"};
    for (size_t k = 0; k < sizeof positions / sizeof *positions; k++) {
        float table[V * Z], turned[Z * V], found[2][MOST * Z], grads[2][V * Z], one[2][CONTEXT * V] = {{0}};
        int32_t ids[2][CONTEXT], next[2][CONTEXT];
        sequence rows[2];
        char changes[128];
        snprintf(changes, sizeof changes, "%s%sinput_features=13", positions[k], k ? " " : "");
        model *a = build(positions[k]), *b = build(changes);
        for (int i = 0; i < 2 * CONTEXT; i++) {
            ids[i / CONTEXT][i % CONTEXT] = token(i);
            next[i / CONTEXT][i % CONTEXT] = token(i + 1);
            one[i / CONTEXT][i % CONTEXT * V + token(i)] = 1;
        }
        parameter_slice s = parameters_slice(&a->params, parameters_find(&a->params, "token_embedding.weight"));
        parameter_slice f = parameters_slice(&b->params, parameters_find(&b->params, "input_embedding.weight"));
        assert_int_equal(parameters_find(&b->params, "token_embedding.weight"), -1);
        read_part(a->params.values, s.offset, V * Z, table);
        for (int i = 0; i < V * Z; i++) turned[i % Z * V + i / Z] = table[i];
        for (int i = 0; i < b->params.names; i++) { /* all others alike */
            static float values[4096];
            parameter_slice to = parameters_slice(&b->params, i);
            int from = parameters_find(&a->params, to.name);
            int64_t count = to.rows * to.cols;
            assert_true(count <= 4096);
            memset(values, 0, sizeof values);
            if (from >= 0) read_part(a->params.values, parameters_slice(&a->params, from).offset, count, values);
            write_part(b->params.values, to.offset, count, values);
        }
        write_part(b->params.values, f.offset, V * Z, turned);
        for (int which = 0; which < 2; which++) {
            model *m = which ? b : a;
            tape t;
            for (int r = 0; r < 2; r++) {
                rows[r] = (sequence){.next = next[r], .length = r ? 7 : CONTEXT, .scored = N};
                if (which) rows[r].features = one[r];
                else rows[r].ids = ids[r];
            }
            pass p = pass_over(m, rows, 2, N);
            must(tape_init(&t, be, 0, &err));
            t.recording = true;
            parameters_clear_grads(&m->params);
            tensor *h = model_hidden(&t, m, &p);
            tape_read(&t, h, found[which]);
            tape_backward(&t, model_loss(&t, m, h, &p, &(loss_spec){.scale = 1}));
            parameter_slice g = which ? f : s;
            read_part(m->params.grads, g.offset, V * Z, grads[which]);
            assert_int_equal(t.status, 0);
            tape_free(&t);
        }
        same(found[1], found[0], 2 * N * Z, test_tolerance(2e-6, 1e-5), "hidden states");
        for (int i = 0; i < V * Z; i++)
            close_to((double)grads[1][i % Z * V + i / Z], (double)grads[0][i], test_tolerance(2e-6, 1e-5),
                     "gradient of the table");
        model_close(a);
        model_close(b);
    }
}

/* ------------------------------------------------------------------ visibility and queries */

static void who_sees_all_knows_no_order(void **state) {
    (void)state;
    model *m = build("query=learned query_residual=true positions.kind=none positions.rotary.fraction=0");
    float found[3][MOST * Z];
    int32_t ids[3][CONTEXT];
    for (int i = 0; i < CONTEXT; i++) {
        ids[0][i] = token(i);
        ids[1][i] = token((5 * i + 3) % 9 + (i >= 9 ? i - (5 * i + 3) % 9 : 0)); /* the first nine in another order */
        ids[2][i] = i < 9 ? ids[0][i] : token(i + 50);                          /* other padding */
    }
    sequence row = {.ids = ids[0], .length = 9};
    pass p = {.batch = 1, .rows = &row, .latents = N, .see = SEE_ALL};
    hidden(m, &p, found[0]);
    row.ids = ids[1];
    hidden(m, &p, found[1]);
    same(found[1], found[0], N * Z, test_tolerance(2e-6, 1e-5), "inputs in another order");
    row = (sequence){.ids = ids[2], .length = CONTEXT, .padding = 3};
    hidden(m, &p, found[2]);
    same(found[2], found[0], N * Z, test_tolerance(2e-6, 1e-5), "inputs with padding behind them");
    p.see = SEE_CAUSAL;
    row = (sequence){.ids = ids[0], .length = 9};
    hidden(m, &p, found[1]);
    differs(found[1], found[0], Z, "the first latent, which now sees fewer inputs");
    model_close(m);
}

/* Every architecture of layers alone: a change of the last token reaches the first state. */
static void layers_see_all(void **state) {
    (void)state;
    model *m = build("architecture=transformer");
    float found[2][MOST * Z];
    int32_t ids[2][CONTEXT];
    for (int i = 0; i < 2 * CONTEXT; i++) ids[i / CONTEXT][i % CONTEXT] = token(i % CONTEXT + (i == 2 * CONTEXT - 1));
    for (int all = 0; all < 2; all++) {
        for (int k = 0; k < 2; k++) {
            sequence row = {.ids = ids[k], .length = CONTEXT};
            hidden(m, &(pass){.batch = 1, .rows = &row, .latents = CONTEXT, .see = all ? SEE_ALL : SEE_CAUSAL}, found[k]);
        }
        if (all) differs(found[1], found[0], Z, "the first state when the last token changes");
        else same(found[1], found[0], (CONTEXT - 1) * Z, 0, "states in front of a change");
    }
    model_close(m);
}

static void ranges_of_the_caller(void **state) {
    (void)state;
    model *m = build("");
    float found[2][MOST * Z];
    int32_t ids[2][CONTEXT], begin[2 * N] = {0}, end[2 * N];
    sequence rows[2] = {{.ids = ids[0], .length = CONTEXT}, {.ids = ids[1], .length = 9}};
    for (int i = 0; i < 2 * CONTEXT; i++) ids[i / CONTEXT][i % CONTEXT] = token(i);
    for (int i = 0; i < 2 * N; i++) end[i] = (int32_t)(rows[i / N].length - N + i % N + 1);
    pass p = {.batch = 2, .rows = rows, .latents = N};
    hidden(m, &p, found[0]);
    p.see = SEE_RANGES;
    p.begin = begin;
    p.end = end;
    hidden(m, &p, found[1]);
    same(found[1], found[0], 2 * N * Z, 0, "causal ranges, by hand");
    for (int i = 0; i < 2 * N; i++) begin[i] = 6;
    hidden(m, &p, found[1]);
    differs(found[1], found[0], Z, "a latent that sees half");
    ids[0][2] = (ids[0][2] + 1) % V; /* nobody sees it */
    hidden(m, &p, found[0]);
    same(found[1], found[0], 2 * N * Z, 0, "a change of what nobody sees");
    model_close(m);
}

static void queries_of_the_caller(void **state) {
    (void)state;
    model *m = build("query=learned");
    float found[2][MOST * Z];
    int32_t ids[CONTEXT];
    for (int i = 0; i < CONTEXT; i++) ids[i] = token(i);
    sequence row = {.ids = ids, .length = CONTEXT};
    pass p = {.batch = 1, .rows = &row, .latents = N, .see = SEE_ALL};
    hidden(m, &p, found[0]);
    parameter_slice s = parameters_slice(&m->params, parameters_find(&m->params, "learned_query.weight"));
    float learned[N * Z], other[N * Z];
    tensor own = {.m = {.rows = N, .cols = Z, .stride = Z, .type = F32}};
    must(backend_alloc(be, &own.m.data, sizeof other, "queries", &err));
    read_part(m->params.values, s.offset, N * Z, learned);
    backend_write_floats(be, &own.m, learned);
    p.queries = &own;
    hidden(m, &p, found[1]);
    same(found[1], found[0], N * Z, 0, "the learned queries, given");
    for (int i = 0; i < N * Z; i++) other[i] = (float)(i % 7) / 7;
    backend_write_floats(be, &own.m, other);
    hidden(m, &p, found[1]);
    differs(found[1], found[0], Z, "other queries");
    backend_free(be, own.m.data, sizeof other);
    model_close(m);
}

/* ------------------------------------------------------------------ outputs and targets */

static void pooled_outputs(void **state) {
    (void)state;
    static const char *const kinds[] = {"", "latents_per_position=2 positions.kind=learned positions.rotary.fraction=0",
                                        "architecture=transformer", "architecture=transformer-xl"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        model *m = build(kinds[k]);
        float each[MOST * Z], mean[MOST * Z], loss[2 * LOSS_COLUMNS], logits[2 * V];
        int32_t ids[2 * CONTEXT], next[2 * CONTEXT];
        tape t;
        for (int i = 0; i < 2 * CONTEXT; i++) ids[i] = token(i), next[i] = -1;
        next[CONTEXT - 1] = 7; /* the row's answer; the other row has none */
        sequence rows[2];
        for (int r = 0; r < 2; r++)
            rows[r] = (sequence){.ids = ids + r * CONTEXT, .next = next + r * CONTEXT, .length = CONTEXT, .scored = 1};
        pass p = {.batch = 2, .rows = rows, .latents = N};
        int64_t outputs = hidden(m, &p, each) / 2;
        p.pooled = true;
        assert_int_equal(hidden(m, &p, mean), 2);
        for (int64_t i = 0; i < 2 * Z; i++) {
            double sum = 0;
            for (int64_t u = 0; u < outputs; u++) sum += (double)each[(i / Z * outputs + u) * Z + i % Z];
            close_to((double)mean[i], sum / (double)outputs, 1e-6, "a mean");
        }
        must(tape_init(&t, be, 0, &err));
        tensor *h = model_hidden(&t, m, &p);
        assert_int_equal(p.positions, 1);
        assert_int_equal(p.target[0], 7);
        assert_int_equal(p.target[1], -1);
        loss_sum sum = {0};
        tensor *l = model_loss(&t, m, h, &p, &(loss_spec){.name = "cross_entropy"});
        loss_read(&t, l, &p, &sum, NULL);
        tape_read(&t, l, loss);
        tape_read(&t, model_logits(&t, m, h), logits);
        double all = 0;
        for (int v = 0; v < V; v++) all += exp((double)logits[v]);
        close_to(sum.loss, log(all) - (double)logits[7], test_tolerance(2e-6, 1e-5), "the loss of a row");
        assert_int_equal(sum.targets, 1);
        tape_free(&t);
        model_close(m);
    }
}

/* Targets of rows of several lengths, with padding and fewer scored than there are positions. */
static void targets_are_shifted_once(void **state) {
    (void)state;
    model *m = build("");
    static const struct {
        int64_t length, padding, scored;
        int32_t expected[N];
    } cases[] = {{CONTEXT, 0, N, {108, 109, 110, 111}}, {CONTEXT, 0, 2, {-1, -1, 110, 111}}, {3, 0, 3, {-1, 100, 101, 102}},
                 {3, 0, 1, {-1, -1, -1, 102}}, {CONTEXT, 4, 9, {104, 105, 106, 107}}, {CONTEXT, 0, 0, {-1, -1, -1, -1}}};
    int32_t ids[CONTEXT] = {0}, next[CONTEXT];
    for (int i = 0; i < CONTEXT; i++) next[i] = 100 + i;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        tape t;
        batch b;
        must(tape_init(&t, be, 0, &err));
        sequence row = {.ids = ids, .next = next, .length = cases[k].length, .padding = cases[k].padding,
                        .scored = cases[k].scored};
        pass p = {.batch = 1, .rows = &row, .latents = N};
        must(batch_make(&b, &t, m, &p, N));
        for (int i = 0; i < N; i++)
            if (p.target[i] != cases[k].expected[i])
                test_failed("case %zu, position %d: target %d, expected %d\n", k, i, p.target[i], cases[k].expected[i]);
        int32_t there[N];
        be->read(be, there, p.targets->m.data, sizeof there);
        backend_finish(be);
        assert_memory_equal(there, p.target, sizeof there);
        tape_free(&t);
    }
    model_close(m);
}

/* ------------------------------------------------------------------ uploads */

static int writes;
static void (*write_through)(backend *b, void *to, const void *from, size_t bytes);

static void count_write(backend *b, void *to, const void *from, size_t bytes) {
    writes++;
    write_through(b, to, from, bytes);
}

static void a_pass_is_uploaded_at_once(void **state) {
    (void)state;
    static const char *const kinds[] = {
        "", "positions.kind=learned", "latents_per_position=2 positions.kind=learned positions.rotary.fraction=0",
        "latent_dropout=0.2", "architecture=transformer", "architecture=transformer-xl memory=6",
        "architecture=sparse-transformer sparse.stride=3"};
    static const int expected[] = {1, 1, 1, 1, 1, 2, 3}; /* one more for each pattern of its own */
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        model *m = build(kinds[k]);
        tape t;
        int32_t ids[CONTEXT + 1];
        for (int i = 0; i <= CONTEXT; i++) ids[i] = token(i);
        sequence row = {.ids = ids, .next = ids + 1, .length = CONTEXT, .scored = CONTEXT};
        int64_t latents = m->type->has_latents ? N : CONTEXT;
        pass p = pass_over(m, &row, 1, latents);
        must(tape_init(&t, be, 0, &err));
        t.recording = t.training = true;
        write_through = be->write;
        be->write = count_write;
        writes = 0;
        tensor *h = model_hidden(&t, m, &p);
        tape_backward(&t, model_loss(&t, m, h, &p, &(loss_spec){.scale = 1}));
        be->write = write_through;
        assert_int_equal(writes, expected[k]);
        tape_free(&t);
        model_close(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_with_one_number_are_ids), cmocka_unit_test(who_sees_all_knows_no_order),
        cmocka_unit_test(layers_see_all), cmocka_unit_test(ranges_of_the_caller),
        cmocka_unit_test(queries_of_the_caller), cmocka_unit_test(pooled_outputs),
        cmocka_unit_test(targets_are_shifted_once), cmocka_unit_test(a_pass_is_uploaded_at_once),
    };
    return run_on_device(tests, open_backend, close_backend);
}
