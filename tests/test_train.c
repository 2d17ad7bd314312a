/* Training does what it says: a model begins with its data, one batch is learned by heart, accumulated batches equal
 * one large one, dropped prefix positions are really gone, and a small copy task is solved through the public
 * interface. */
#include "device.h"
#include "config/settings.h"
#include "model/batch.h"
#include "train/begin.h"
#include "train/optimizer.h"
#include "train/memory_plan.h"
#include "train/step.h"

#include <unistd.h>

static model *build(backend *be, const char *list, int64_t context) {
    model_config c;
    model *m = NULL;
    must(settings_model(NULL, &c, &err));
    must(settings_apply_list("vocab_size=23 latents=16 channels=32 heads=2 layers=2 prefix_dropout=0 dropout=0 ",
                             &model_fields, "", &c, &err));
    must(settings_apply_list(list, &model_fields, "", &c, &err));
    c.context = context;
    must(model_open(&m, &c, be, true, &err));
    must(model_init(m, 4, &err));
    return m;
}

/* ------------------------------------------------------------------ what the data tells */

enum { MEANINGS = 6 };
static const int32_t words[2][6] = {{2, 5, 7, 7, 5, 1}, {2, 7, 9, 1}};
static const int64_t lengths[2] = {6, 4};

static int64_t two(const dataset *d, split_name split) { return d && split == SPLIT_TRAIN ? 2 : 0; }

static int64_t length_of(const dataset *d, split_name split, int64_t i) { return d && split == SPLIT_TRAIN ? lengths[i] : 0; }

static int read_words(const dataset *d, split_name split, int64_t i, int64_t from, int64_t count, int32_t *ids, pcv_error *e) {
    assert_true(d && e && split == SPLIT_TRAIN && from >= 1 && from + count <= lengths[i]);
    memcpy(ids, words[i] + from, (size_t)count * sizeof *ids);
    return 0;
}

/* Of 7 and 8 the same is known, of 9 the opposite, of 10 something else, and of the rest nothing. */
static void meaning(const tokenizer *t, int32_t id, float *v) {
    (void)t;
    memset(v, 0, MEANINGS * sizeof *v);
    if (id == 7 || id == 8) v[0] = 0.6f, v[2] = 0.8f;
    if (id == 9) v[0] = -0.6f, v[2] = -0.8f;
    if (id == 10) v[5] = 1;
    if (id == 21) v[0] = 1;
    if (id == 22) v[1] = 1;
}

/* Weights, from one on. */
static void read_part(const model *m, size_t from, int64_t count, float *out) {
    matrix part = matrix_columns(m->params.values, (int64_t)from, count);
    backend_read_floats(m->be, out, &part);
}

static void a_model_begins_with_its_data(void **state) {
    (void)state;
    static const char size256[] = "output_bias=true channels=256 heads=4 embedding_scale=0.5";
    static const token_type tokens = {.vector = meaning};
    static const dataset_type type = {.documents = two, .length = length_of, .read = read_words};
    static const int counts[23] = {[1] = 2, [5] = 2, [7] = 3, [9] = 1};
    dataset d = {.type = &type, .first_target = 1, .tokens = {.type = &tokens, .vocab = 23, .vector_size = MEANINGS}};
    backend *be;
    be = test_backend(&(backend_options){.threads = 2});
    model *m = build(be, size256, 48), *random = build(be, size256, 48);
    must(begin_with_data(m, &d, 1, &err));
    parameter_slice s = parameters_slice(&m->params, parameters_find(&m->params, "token_embedding.weight"));
    static float row[23 * 256], before[23 * 256], bias[23];
    read_part(m, s.offset, 23 * 256, row);
    read_part(random, s.offset, 23 * 256, before);
    double size = 0;
    for (int64_t x = 0; x < 256; x++) {
        assert_true(row[7 * 256 + x] == row[8 * 256 + x] && row[7 * 256 + x] == -row[9 * 256 + x]);
        assert_true(row[7 * 256 + x] != row[10 * 256 + x]);
        size += (double)row[7 * 256 + x] * (double)row[7 * 256 + x] / 256;
    }
    close_to(sqrt(size), 0.5, 0.07, "size of an embedding");
    assert_memory_equal(row, before, 7 * 256 * sizeof *row);
    assert_memory_equal(row + 11 * 256, before + 11 * 256, 10 * 256 * sizeof *row);
    double product = 0, shifted = 0; /* each number of a vector has a direction of its own */
    for (int64_t x = 0; x < 255; x++) {
        product += (double)row[21 * 256 + x] * (double)row[22 * 256 + x];
        shifted += (double)row[21 * 256 + x + 1] * (double)row[22 * 256 + x];
    }
    assert_true(fabs(product) < 20 && fabs(shifted) < 20); /* of 64 */
    s = parameters_slice(&m->params, parameters_find(&m->params, "output.bias"));
    read_part(m, s.offset, 23, bias);
    for (int i = 0; i < 23; i++) close_to((double)bias[i], log((counts[i] + 0.5) / (8 + 23 * 0.5)), 1e-6, "output bias");
    model_close(m);
    model_close(random);
    be->close(be);
}

/* ------------------------------------------------------------------ steps */

static void fill_tokens(step_rows *b, int64_t rows) {
    for (int64_t i = 0; i < rows * (b->m->config.context + 1); i++)
        b->rows.ids[i] = (int32_t)(rng_at(3, RNG_TEST, 0, (uint64_t)i).v[0] % 23);
}

static void one_batch_is_learned_by_heart(void **state) {
    (void)state;
    backend *be;
    tape t;
    optimizer o;
    step_rows b;
    train_config c;
    loss_sum first = {0}, last = {0};
    window w = {.count = 49, .scored = 48};
    int updates = test_has_time() ? 120 : 40;
    double learned = test_has_time() ? 0.05 : 1; /* nats */
    must(settings_train(NULL, &c, &err));
    be = test_backend(&(backend_options){.threads = 2});
    model *m = build(be, "", 48);
    must(optimizer_open(&o, &m->params, NULL, &err));
    must(tape_init(&t, be, 0, &err));
    must(step_open(&b, m, 1, &err));
    fill_tokens(&b, 1);
    for (int i = 0; i < updates; i++) {
        loss_sum *r = i ? &last : &first;
        *r = (loss_sum){0};
        parameters_clear_grads(&m->params);
        step_take(&b, &w, 1);
        must(step_run(&b, &t, m, &c, 0, 1.0 / 16, r, &err));
        optimizer_step(&o, &c, i, 0.003, 1);
    }
    assert_true(first.loss / 16 > 2.5);
    if (!(last.loss / 16 < learned) || (test_has_time() && last.hits != 16))
        test_failed("after the last update the loss is %g, %lld of 16 targets come first\n", last.loss / 16,
                    (long long)last.hits);
    step_close(&b);
    tape_free(&t);
    optimizer_close(&o);
    model_close(m);
    be->close(be);
}

/* Gradients of two rows at once against those of one row after the other. */
static void accumulation_equals_a_large_batch(void **state) {
    (void)state;
    float *grads[2];
    size_t elements = 0;
    for (int apart = 0; apart < 2; apart++) {
        backend *be;
        tape t;
        step_rows b;
        train_config c;
        loss_sum sum = {0};
        window w[2] = {{.count = 49, .scored = 48}, {.count = 30, .scored = 20}};
        must(settings_train(NULL, &c, &err));
        be = test_backend(&(backend_options){.threads = 2});
        model *m = build(be, "", 48);
        must(tape_init(&t, be, 0, &err));
        must(step_open(&b, m, 2, &err));
        fill_tokens(&b, 2);
        parameters_clear_grads(&m->params);
        step_take(&b, w, 2);
        if (!apart) must(step_run(&b, &t, m, &c, 0, 0.125, &sum, &err));
        for (int r = 0; r < 2 && apart; r++) {
            if (r) memmove(b.rows.ids, b.rows.ids + 49, 49 * sizeof *b.rows.ids);
            step_take(&b, &w[r], 1);
            must(step_run(&b, &t, m, &c, 0, 0.125, &sum, &err));
        }
        elements = m->params.elements;
        grads[apart] = malloc(elements * sizeof(float));
        backend_read_floats(be, grads[apart], &m->params.grads);
        step_close(&b);
        tape_free(&t);
        model_close(m);
        be->close(be);
    }
    for (size_t i = 0; i < elements; i++)
        close_to((double)grads[1][i], (double)grads[0][i], 2e-6, "accumulated gradient");
    free(grads[0]);
    free(grads[1]);
}

/* Fixed number of kept positions, in order, other ones in every step and row; latents always stay; less
 * memory is planned. */
static void dropped_prefixes_are_gone(void **state) {
    (void)state;
    enum { CONTEXT = 64, N = 16, KEPT = CONTEXT - (int)((CONTEXT - N) * 0.75) };
    backend *be;
    tape t;
    batch b;
    int32_t ids[2][CONTEXT];
    int seen[CONTEXT] = {0};
    be = test_backend(&(backend_options){.threads = 1});
    model *m = build(be, "prefix_dropout=0.75 vocab_size=64", CONTEXT);
    must(tape_init(&t, be, 0, &err));
    for (int i = 0; i < CONTEXT; i++) ids[0][i] = ids[1][i] = i;
    sequence rows[2] = {{.ids = ids[0], .length = CONTEXT}, {.ids = ids[1], .length = CONTEXT}};
    pass in = {.batch = 2, .rows = rows, .latents = N};
    for (uint32_t step = 0; step < 200; step++) {
        tape_reset(&t);
        t.training = true;
        t.step = step;
        must(batch_make(&b, &t, m, &in, in.latents));
        assert_int_equal(b.M, KEPT);
        int32_t kept[2 * KEPT], rope[2 * KEPT];
        be->read(be, kept, b.ids->m.data, sizeof kept);
        be->read(be, rope, b.rope->m.data, sizeof rope);
        backend_finish(be);
        for (int i = 0; i < 2 * KEPT; i++) {
            assert_int_equal(kept[i], rope[i]); /* a kept token keeps its position */
            if (i % KEPT) assert_true(kept[i] > kept[i - 1]);
            seen[kept[i]]++;
        }
        for (int i = 0; i < N; i++) assert_int_equal(kept[KEPT - N + i], CONTEXT - N + i);
        assert_true(memcmp(kept, kept + KEPT, KEPT * sizeof *kept) != 0);
    }
    for (int i = 0; i < CONTEXT - N; i++) /* 400 draws with probability 1/4: 100 +- 8.7 */
        if (seen[i] < 55 || seen[i] > 145) test_failed("position %d was kept %d times of 400\n", i, seen[i]);
    t.training = false;
    tape_reset(&t);
    must(batch_make(&b, &t, m, &in, in.latents));
    assert_int_equal(b.M, CONTEXT); /* evaluation reads everything */
    tape_free(&t);
    model_close(m);
    be->close(be);
}

/* A fifth of the latents, other ones in every step and batch, and none but in training. */
static void some_latents_hide(void **state) {
    (void)state;
    enum { CONTEXT = 64, N = 64, STEPS = 50 };
    backend *be;
    tape t;
    batch b;
    int32_t ids[CONTEXT] = {0}, before[N] = {0};
    int hidden = 0, again = 0;
    be = test_backend(&(backend_options){.threads = 1});
    model *m = build(be, "latent_dropout=0.2 latents=64", CONTEXT);
    must(tape_init(&t, be, 0, &err));
    sequence row = {.ids = ids, .length = CONTEXT};
    pass in = {.batch = 1, .rows = &row, .latents = N};
    for (uint32_t k = 0; k < 2 * STEPS; k++) {
        tape_reset(&t);
        t.training = true;
        t.step = k / 2;
        in.draw = k % 2;
        must(batch_make(&b, &t, m, &in, in.latents));
        int32_t now[N];
        be->read(be, now, b.self.hidden->m.data, sizeof now);
        backend_finish(be);
        for (int i = 0; i < N; i++) {
            hidden += now[i] != 0;
            again += now[i] && before[i];
        }
        memcpy(before, now, sizeof before);
    }
    assert_in_range(hidden, 1160, 1400); /* of 6400: 1280 +- 32 */
    assert_in_range(again, 190, 320);    /* those of the last time too: 253 +- 16 */
    t.training = false;
    tape_reset(&t);
    must(batch_make(&b, &t, m, &in, in.latents));
    assert_null(b.self.hidden);
    tape_free(&t);
    model_close(m);
    be->close(be);
}

static void less_is_planned_with_dropped_prefixes(void **state) {
    (void)state;
    size_t tensors[2];
    for (int i = 0; i < 2; i++) {
        model_config c;
        train_config train;
        memory_plan plan;
        must(settings_model(NULL, &c, &err));
        must(settings_train(NULL, &train, &err));
        must(settings_apply_list("vocab_size=259 context=16384 latents=256 channels=64 heads=2 layers=2 near=0",
                                 &model_fields, "", &c, &err));
        c.prefix_dropout = i ? 0.75 : 0;
        must(model_config_check(&c, &err));
        must(plan_memory(&c, &train, &plan, &err));
        tensors[i] = plan.tensors;
    }
    assert_true(tensors[1] < tensors[0] / 2);
}

static void set_all(pcv_settings *s, const char *const *pairs) {
    for (; *pairs; pairs += 2) must(pcv_settings_set(s, pairs[0], pairs[1], &err));
}

static void the_copy_task_is_solved(void **state) {
    (void)state;
    if (!test_has_time()) skip();
    static const char *const training[] = {
        "dialect", "official", "positions", "sinusoidal", "rotary", "0", "context", "32", "latents", "16",
        "channels", "64", "heads", "1", "layers", "1", "dropout", "0", "batch", "32", "steps", "1000",
        "warmup", "50", "lr", "0.005", "beta2", "0.95", "eval-every", "100000", "save-minutes", "0", NULL};
    char folder[] = "/tmp/perceiver-copy-XXXXXX", run[64], command[128];
    pcv_settings *s;
    pcv_engine *engine;
    pcv_evaluation e;
    assert_non_null(mkdtemp(folder));
    snprintf(run, sizeof run, "%s/run", folder);
    must(pcv_settings_open(&s, &err));
    set_all(s, training);
    must(pcv_settings_set(s, "device", test_device(), &err));
    must(pcv_train(&(pcv_train_options){.dataset = "copy:32", .run = run}, s, NULL, NULL, &err));
    pcv_settings_close(s);
    must(pcv_settings_open(&s, &err));
    must(pcv_settings_set(s, "examples", "60", &err));
    must(pcv_engine_open(&engine, run, NULL, &err));
    must(pcv_evaluate(engine, NULL, s, NULL, &e, &err));
    assert_int_equal(e.tokens, 60 * 16);
    if (!(e.accuracy > 0.98)) test_failed("the copy task is recalled with accuracy %g\n", e.accuracy);
    pcv_engine_close(engine);
    pcv_settings_close(s);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_begins_with_its_data), cmocka_unit_test(one_batch_is_learned_by_heart),
        cmocka_unit_test(accumulation_equals_a_large_batch),
        cmocka_unit_test(dropped_prefixes_are_gone), cmocka_unit_test(some_latents_hide), cmocka_unit_test(less_is_planned_with_dropped_prefixes),
        cmocka_unit_test(the_copy_task_is_solved)};
    return run_on_device(tests, NULL, NULL);
}
