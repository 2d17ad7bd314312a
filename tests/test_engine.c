/* The engine as a whole: the tape's gradients against the hand-written oracle, memory that only kernels
 * touch, recomputation, and the memory plan. */
#include "scratch.h"
#include "guard_backend.h"
#include "oracle.h"
#include "config/settings.h"
#include "backends/registry.h"
#include "gen/timeline.h"
#include "model/weights.h"
#include "train/memory_plan.h"
#include "train/step.h"

#include <errno.h>
#include <unistd.h>

static model *build(backend *be, const char *list, bool grads) {
    model_config c;
    model *m = NULL;
    must(settings_model(NULL, &c, &err));
    must(settings_apply_list(list, &model_fields, "", &c, &err));
    must(model_open(&m, &c, be, grads, &err));
    must(model_init(m, 11, &err));
    return m;
}

/* ------------------------------------------------------------------ oracle */

/* Copies a tensor of the model, or its gradient, into the oracle's array of the same shape. */
static void fetch(const model *m, matrix block, const char *name, double *out) {
    int i = parameters_find(&m->params, name);
    assert_true(i >= 0);
    parameter_slice s = parameters_slice(&m->params, i);
    memcpy(out, (const double *)block.data + s.offset, (size_t)(s.rows * s.cols) * sizeof *out);
}

static void fetch_all(const model *m, matrix block, oracle_weights *w) {
    fetch(m, block, "token_embedding.weight", w->embedding[0]);
    fetch(m, block, "position_embedding.0.weight", w->position[0]);
    fetch(m, block, "output_norm.weight", w->norm_w);
    fetch(m, block, "output_norm.bias", w->norm_b);
    fetch(m, block, "output.weight", w->head[0]);
    fetch(m, block, "output.bias", w->headb);
    for (int l = 0; l < ORACLE_L; l++) {
        oracle_block *b = &w->layer[l];
        const struct {
            const char *name;
            double *to;
        } parts[] = {{"norm.weight", b->norm_w}, {"norm.bias", b->norm_b},
                     {"attention.query.weight", b->q[0]}, {"attention.query.bias", b->qb},
                     {"attention.key.weight", b->k[0]}, {"attention.key.bias", b->kb},
                     {"attention.value.weight", b->v[0]}, {"attention.value.bias", b->vb},
                     {"attention.output.weight", b->o[0]}, {"attention.output.bias", b->ob},
                     {"mlp_norm.weight", b->mlp_norm_w}, {"mlp_norm.bias", b->mlp_norm_b},
                     {"mlp.up.weight", b->up[0]}, {"mlp.up.bias", b->upb},
                     {"mlp.down.weight", b->down[0]}, {"mlp.down.bias", b->downb}};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            char name[128];
            snprintf(name, sizeof name, "layers.%d.%s", l, parts[i].name);
            fetch(m, block, name, parts[i].to);
        }
    }
}

/* Without the cross-attention and with all positions as latents, the model is a plain Transformer. */
static void gradients_equal_the_oracle(void **state) {
    (void)state;
    static oracle_weights w, expected, found;
    static const int ids[ORACLE_T] = {3, 1, 4, 1, 5, 8, 2}, targets[ORACLE_T] = {1, 4, 1, 5, 8, 2, 6};
    backend *be;
    tape t;
    float loss[LOSS_COLUMNS * ORACLE_T];
    must(backend_open(&be, "cpu", &(backend_options){.precision = F64}, &err));
    model *m = build(be, "vocab_size=9 context=7 latents=7 channels=12 heads=3 layers=2 mlp_ratio=1.6667 "
                         "activation=squared_relu norm=layer bias=all query=identity initial_cross=false "
                         "positions.kind=learned positions.rotary.fraction=0 tied_embeddings=false "
                         "output_norm=true output_bias=true zero_head=false", true);
    must(tape_init(&t, be, 0, &err));
    t.recording = true;
    sequence row = {.ids = ids, .next = targets, .length = ORACLE_T, .scored = ORACLE_T};
    pass p = {.batch = 1, .rows = &row, .latents = ORACLE_T};
    tensor *h = model_hidden(&t, m, &p);
    tensor *l = model_loss(&t, m, h, &p, &(loss_spec){.scale = 1});
    tape_read(&t, l, loss);
    tape_backward(&t, l);
    fetch_all(m, m->params.values, &w);
    fetch_all(m, m->params.grads, &found);
    double total = 0, sum = oracle_run(&w, ids, targets, &expected);
    for (int i = 0; i < ORACLE_T; i++) total += (double)loss[LOSS_COLUMNS * i];
    close_to(total, sum, 1e-5, "loss");
    const double *x = (const double *)&found, *y = (const double *)&expected;
    for (size_t i = 0; i < sizeof found / sizeof *x; i++) {
        char what[64];
        snprintf(what, sizeof what, "gradient %zu", i);
        close_to(x[i], y[i], 1e-9, what);
    }
    tape_free(&t);
    model_close(m);
    be->close(be);
}

/* ------------------------------------------------------------------ guard */

static void train_once(backend *be, model *m, tape *t, double *loss) {
    step_rows b;
    train_config c;
    loss_sum sum = {0};
    window w[2] = {{.count = m->config.context + 1, .scored = m->config.context},
                   {.count = 20, .scored = 10}};
    (void)be;
    must(settings_train(NULL, &c, &err));
    must(step_open(&b, m, 2, &err));
    for (int64_t i = 0; i < 2 * (m->config.context + 1); i++) b.rows.ids[i] = (int32_t)(i * 7 % m->config.vocab_size);
    step_take(&b, w, 2);
    must(step_run(&b, t, m, &c, 0, 0.01, &sum, &err));
    *loss = sum.loss;
    step_close(&b);
}

static const char small[] = "vocab_size=31 context=48 latents=12 channels=24 heads=2 layers=2 dropout=0.1 "
                            "prefix_dropout=0.3 latent_dropout=0.1 positions.rotary.fraction=0.5 zero_head=false";

static void only_kernels_touch_memory(void **state) {
    (void)state;
    backend *be;
    tape t;
    decoder own;
    timeline line;
    const float *logits;
    double loss;
    must(guard_backend_open(&be, &err));
    model *m = build(be, small, true);
    must(tape_init(&t, be, 0, &err));
    train_once(be, m, &t, &loss);
    assert_true(isfinite(loss) && loss > 0);
    must(decoder_open(&own, m, &err));
    must(timeline_open(&line, &own, PCV_REFILL, 0, 0, &err));
    for (int i = 0; i < 60; i++) {
        must(timeline_append(&line, (int32_t[]){i % 31}, 1, &err));
        must(timeline_logits(&line, &logits, &err));
    }
    timeline_close(&line);
    decoder_close(&own);
    /* and the guard guards: the kernel of the operating system may not read a weight for us either */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    if (write(ends[1], m->params.values.data, 1) != -1 || errno != EFAULT)
        test_failed("%s\n", "tensor memory could be read from the host");
    close(ends[0]);
    close(ends[1]);
    tape_free(&t);
    model_close(m);
    be->close(be);
}

/* What a model computes, and the file of its weights: read back from it, they are written into a second one. */
static void use(backend *be, float *logits, char hash[HASH_TEXT]) {
    uint64_t size;
    decoder own;
    timeline line;
    const float *found;
    model *m = build(be, small, false), *again = build(be, small, false);
    weight_block values[2] = {{"", m->params.values}, {"", again->params.values}};
    run_kernel(be, fill, .y = again->params.values);
    must(weights_save(&m->params, &values[0], 1, NULL, at("weights.safetensors"), hash, &size, &err));
    must(weights_load(&again->params, &values[1], 1, at("weights.safetensors"), &err));
    must(decoder_open(&own, again, &err));
    must(timeline_open(&line, &own, PCV_REFILL, 0, 0, &err));
    for (int part = 0; part < 3; part++) {
        int32_t ids[20];
        for (int i = 0; i < 20; i++) ids[i] = (7 * i + part) % 31;
        must(timeline_append(&line, ids, 20, &err));
        must(timeline_logits(&line, &found, &err));
        memcpy(logits + 31 * part, found, 31 * sizeof *logits);
    }
    timeline_close(&line);
    decoder_close(&own);
    model_close(again);
    model_close(m);
    be->close(be);
}

/* Reads that arrive when they are waited for, and not before, arrive in time. */
static void everyone_waits(void **state) {
    (void)state;
    backend *be;
    float logits[2][3 * 31];
    char hash[2][HASH_TEXT];
    must(backend_open(&be, "cpu", NULL, &err));
    use(be, logits[0], hash[0]);
    must(guard_backend_open(&be, &err));
    use(be, logits[1], hash[1]);
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    assert_string_equal(hash[0], hash[1]);
}

/* ------------------------------------------------------------------ recomputation and plans */

static void recomputed_gradients_are_the_same(void **state) {
    (void)state;
    static const char *const extra[] = {"", " cross_after_layers=0", " query=mlp bias=all norm=layer"};
    for (int v = 0; v < 3; v++) {
        float *grads[3];
        size_t peak[3], bytes = 0;
        for (int level = 0; level < 3; level++) {
            backend *be;
            tape t;
            char list[512];
            double loss;
            snprintf(list, sizeof list, "%s%s", small, extra[v]);
            must(backend_open(&be, "cpu", &(backend_options){.threads = 2}, &err));
            model *m = build(be, list, true);
            m->recompute = level;
            must(tape_init(&t, be, 0, &err));
            t.seed = 5;
            train_once(be, m, &t, &loss);
            bytes = matrix_bytes(&m->params.grads);
            grads[level] = malloc(bytes);
            memcpy(grads[level], m->params.grads.data, bytes);
            peak[level] = t.pool.peak;
            tape_free(&t);
            model_close(m);
            be->close(be);
        }
        for (int level = 1; level < 3; level++) {
            if (memcmp(grads[0], grads[level], bytes)) test_failed("recompute %d: other gradients\n", level);
            if (peak[level] >= peak[level - 1])
                test_failed("recompute %d takes %zu bytes, %d %zu\n", level, peak[level], level - 1, peak[level - 1]);
        }
        for (int level = 0; level < 3; level++) free(grads[level]);
    }
}

/* The null backend's plan is the pool's high-water mark of the real step, to the byte. */
static void plans_are_exact(void **state) {
    (void)state;
    for (int recompute = 0; recompute < 3; recompute++) {
        backend *be;
        tape t;
        train_config c;
        memory_plan plan;
        double loss;
        must(settings_train(NULL, &c, &err));
        c.batch = 2;
        c.recompute = recompute;
        must(backend_open(&be, "cpu", &(backend_options){.threads = 1}, &err));
        model *m = build(be, small, true);
        m->recompute = recompute;
        must(plan_memory(&m->config, &c, &plan, &err));
        must(tape_init(&t, be, plan.tensors, &err));
        train_once(be, m, &t, &loss);
        assert_int_equal(t.pool.regions, 1);
        assert_true(t.pool.high <= plan.tensors);
        assert_int_equal(plan.parameters, m->params.total);
        tape_free(&t);
        model_close(m);
        be->close(be);
    }
}

/* Memory grows linearly with the context, never with context times latents. */
static void memory_is_linear_in_context(void **state) {
    (void)state;
    memory_plan plan[4];
    for (int i = 0; i < 4; i++) {
        model_config c;
        train_config train;
        char list[512];
        must(settings_model(NULL, &c, &err));
        must(settings_train(NULL, &train, &err));
        snprintf(list, sizeof list, "vocab_size=259 context=%d latents=256 channels=64 heads=4 layers=2", 16384 << i);
        must(settings_apply_list(list, &model_fields, "", &c, &err));
        must(model_config_check(&c, &err));
        must(plan_memory(&c, &train, &plan[i], &err));
    }
    double first = (double)(plan[1].tensors - plan[0].tensors) / 16384;
    double last = (double)(plan[3].tensors - plan[2].tensors) / 65536;
    close_to(last, first, 0.02 * first, "bytes per context token");
    assert_true(last < 4 * 64 * 12); /* a dozen rows of channels */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_the_oracle), cmocka_unit_test(only_kernels_touch_memory), cmocka_unit_test(everyone_waits),
        cmocka_unit_test(recomputed_gradients_are_the_same), cmocka_unit_test(plans_are_exact),
        cmocka_unit_test(memory_is_linear_in_context)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
