/* Memory that runs out, at every place in turn: the allocations of the host, every piece of a tape's arena, tensors,
 * scratch memory of kernels, every call of oneDNN, threads. A pass then ends with a status, and the next one that has
 * memory gives what it should. */
#include "scratch.h"
#include "backends/registry.h"
#include "config/settings.h"
#include "gen/engine.h"
#include "train/step.h"

/* Calls work(context) with the n-th allocation failing, for n = 1, 2, ..., until none does: it alone, or it and all later
 * ones, in turn. It answers with its status, and checks what came out when that is 0. */
static void exhaust(int (*work)(void *context), void *context) {
    must(work(context)); /* what is made once is there */
    uint64_t failures = 0;
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        if (n % 2) mem_fail_once(n);
        else mem_fail_after(n);
        int status = work(context);
        done = mem_fail_after(0) < n;
        failures += status != 0;
        if (status && status != PCV_MEMORY) test_failed("allocation %d failed: status %d\n", (int)n, status);
        if (done) assert_int_equal(status, 0);
    }
    assert_true(failures > 10);
    must(work(context));
}

/* ------------------------------------------------------------------ a training step */

typedef struct training {
    const char *model;
    dtype precision;
    int threads;
    double loss; /* what it is with memory; 0: not yet known */
} training;

static int train_step(training *job, backend *be, model *m, tape *t, step_rows *b, pcv_error *err) {
    train_config c;
    loss_sum sum = {0};
    const int64_t context = m->config.context;
    window w[] = {{.count = context + 1, .scored = context}, {.count = context / 2, .scored = 10}};
    int status = 0;
    TRY(settings_train(NULL, &c, err));
    TRY(model_init(m, 11, err));
    m->recompute = job->threads - 1;
    TRY(tape_init(t, be, 0, err));
    TRY(step_open(b, m, 2, err));
    for (int64_t i = 0; i < 2 * (context + 1); i++) b->rows.ids[i] = (int32_t)(i * 7 % m->config.vocab_size);
    step_take(b, w, 2);
    TRY(step_run(b, t, m, &c, 0, 0.01, &sum, err));
    if (job->loss == 0) job->loss = sum.loss;
    assert_true(sum.loss == job->loss && sum.targets > 0);
out:
    return status;
}

static int open_and_train(void *job_) {
    training *job = job_;
    backend *be = NULL;
    model *m = NULL;
    tape t = {0};
    step_rows b = {0};
    static model_config c;
    pcv_error err = {0};
    int status = 0;
    TRY(settings_model(NULL, &c, &err));
    TRY(settings_apply_list(job->model, &model_fields, "", &c, &err));
    TRY(backend_open(&be, NULL, &(backend_options){.precision = job->precision, .threads = job->threads}, &err));
    TRY(model_open(&m, &c, be, true, &err));
    TRY(train_step(job, be, m, &t, &b, &err));
out:
    if (status && (status != PCV_MEMORY || !err.message[0])) test_failed("%d: %s\n", status, err.message);
    step_close(&b);
    tape_free(&t);
    model_close(m);
    if (be) be->close(be);
    return status;
}

#define SMALL "vocab_size=31 context=24 latents=12 channels=16 heads=2 layers=1 zero_head=false "

static void training_steps(void **state) {
    (void)state;
    training jobs[] = {
        {.model = SMALL "dropout=0.1 prefix_dropout=0.3 latent_dropout=0.1 positions.rotary.fraction=0.5", .threads = 1},
        {.model = SMALL "latent_kv_norm=query cross_after_layers=0 qk_norm=true query=identity",
         .threads = 2},
        {.model = SMALL "positions.kind=fourier positions.rotary.fraction=0 latents_per_position=2", .threads = 1},
        {.model = SMALL "query=mlp near=7 index.orders=1,3 index.places=2 index.width=5", .threads = 1},
        {.model = SMALL "architecture=transformer positions.kind=learned tied_embeddings=true", .threads = 2},
        {.model = SMALL "architecture=transformer-xl memory=8", .threads = 1},
        {.model = SMALL "architecture=sparse-transformer sparse.stride=4 sparse.summary=1", .threads = 1},
    };
    for (size_t i = 0; i < COUNT(jobs); i++) exhaust(open_and_train, &jobs[i]);
}

/* ------------------------------------------------------------------ a loaded run */

enum { TOKENS = 4 };

/* What is asked of an engine, and what it answers with memory. */
typedef struct question {
    const char *run;
    int (*ask)(struct question *q, pcv_engine *e);
    pcv_settings *settings;
    int32_t ids[TOKENS];
    double value; /* 0: not yet known */
} question;

/* With an engine of its own, so that no scratch memory is there yet. */
static int open_and_ask(void *q_) {
    question *q = q_;
    pcv_engine *e = NULL;
    int status = pcv_engine_open(&e, at(q->run), q->settings, NULL);
    if (!status) status = q->ask(q, e);
    pcv_engine_close(e);
    return status;
}

static int answered(question *q, double value) {
    if (q->value == 0) q->value = value;
    assert_true(value == q->value);
    return 0;
}

static int generate(question *q, pcv_engine *e) {
    pcv_session *s = NULL;
    int32_t ids[TOKENS];
    int status = 0;
    TRY(pcv_session_open(&s, e, q->settings, NULL));
    TRY(pcv_session_feed(s, (const int32_t[]){4, 5, 6}, 3, NULL));
    for (int i = 0; i < TOKENS; i++) TRY(pcv_session_next(s, &ids[i], NULL));
    if (!q->ids[0]) memcpy(q->ids, ids, sizeof ids);
    assert_memory_equal(q->ids, ids, sizeof ids);
out:
    pcv_session_close(s);
    return status;
}

static int score(question *q, pcv_engine *e) {
    int32_t ids[40];
    pcv_scores scores = {0};
    for (int i = 0; i < 40; i++) ids[i] = i % 9 + 3;
    int status = pcv_score(e, ids, 40, true, q->settings, &scores, NULL);
    if (!status) answered(q, scores.logprob[20]);
    pcv_scores_free(&scores);
    return status;
}

static int evaluate_run(question *q, pcv_engine *e) {
    pcv_evaluation found;
    int status = pcv_evaluate(e, NULL, q->settings, NULL, &found, NULL);
    return status ? status : answered(q, found.loss);
}

static int attend_run(question *q, pcv_engine *e) {
    pcv_attention map = {0};
    int status = pcv_attend(e, NULL, false, 16, q->settings, NULL, &map, NULL);
    if (!status) answered(q, (double)map.value[5]);
    pcv_attention_free(&map);
    return status;
}

static int tell_run(question *q, pcv_engine *e) {
    pcv_attended a = {0};
    int status = pcv_attend_token(e, NULL, false, 30, 4, q->settings, NULL, &a, NULL);
    if (!status) answered(q, a.guess[0].probability + a.place[0].probability + a.head[1].nothing);
    pcv_attended_free(&a);
    return status;
}

/* A session whose memory ran out goes on when there is some again. */
static void go_on(const question *q, pcv_engine *e) {
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        pcv_session *s;
        failed = false;
        must(pcv_session_open(&s, e, q->settings, &err));
        must(pcv_session_feed(s, (const int32_t[]){4, 5, 6}, 3, &err));
        mem_fail_after(n);
        for (int i = 0; i < TOKENS; i++) {
            int32_t id;
            int status = pcv_session_next(s, &id, NULL);
            mem_fail_after(status || failed ? 0 : n);
            failed |= status != 0;
            if (status) must(pcv_session_next(s, &id, &err));
            assert_int_equal(id, q->ids[i]);
        }
        mem_fail_after(0);
        pcv_session_close(s);
    }
}

static void train(const char *arch) {
    static const char *const pairs[] = {"preset", "tiny", "context", "48", "channels", "32", "heads", "2", "layers", "1",
                                        "steps", "2", "batch", "2", "threads", "1", NULL};
    pcv_settings *s;
    must(pcv_settings_open(&s, &err));
    must(pcv_settings_set(s, "arch", arch, &err));
    if (!strcmp(arch, "perceiver-ar")) set_all(s, (const char *const[]){"latents", "16", "index", "1,2", NULL});
    set_all(s, pairs);
    must(pcv_train(&(pcv_train_options){.dataset = "copy:48", .run = at(arch)}, s, NULL, NULL, &err));
    pcv_settings_close(s);
}

static void loaded_runs(void **state) {
    (void)state;
    static const char *const asking[] = {"threads", "1", "seed", "3", "window", "exact", "ignore-end", "true",
                                         "examples", "2", "weights", "int8", NULL};
    static const struct {
        const char *run;
        int (*ask)(question *q, pcv_engine *e);
    } questions[] = {{"perceiver-ar", generate}, {"transformer-xl", generate}, {"perceiver-ar", score},
                     {"perceiver-ar", evaluate_run}, {"perceiver-ar", attend_run},
                     {"perceiver-ar", tell_run}};
    pcv_settings *s;
    train("perceiver-ar");
    train("transformer-xl");
    must(pcv_settings_open(&s, &err));
    set_all(s, asking);
    for (size_t i = 0; i < COUNT(questions); i++) {
        question q = {.run = questions[i].run, .ask = questions[i].ask, .settings = s};
        pcv_engine *e;
        exhaust(open_and_ask, &q);
        must(pcv_engine_open(&e, at(q.run), s, &err));
        if (q.ask == generate) go_on(&q, e);
        pcv_engine_close(e);
    }
    pcv_settings_close(s);
}

/* ------------------------------------------------------------------ a kernel */

static backend *failing;
static int calls;

static void fail_kernel(void *context, const activate_args *a) {
    (void)context, (void)a;
    calls++;
    fail(&failing->failure, PCV_MEMORY, "the device is gone");
}

static void a_failed_kernel_is_told(void **state) {
    (void)state;
    static const float numbers[6] = {1, 2, 3, 4, 5, 6};
    float out[6];
    tape t;
    must(backend_open(&failing, NULL, &(backend_options){.threads = 1}, &err));
    void (*works)(void *context, const activate_args *a) = failing->k.activate_fwd;
    must(tape_init(&t, failing, 0, &err));
    for (int round = 0; round < 3; round++) {
        failing->k.activate_fwd = round == 1 ? fail_kernel : works;
        tape_begin(&t);
        tensor *x = activate(&t, tape_floats(&t, numbers, 2, 3), RELU);
        x = add(&t, activate(&t, x, RELU), x, 0);
        assert_int_equal(x->m.rows, round == 1 ? 0 : 2);
        if (round != 1) tape_read(&t, x, out);
        if (round == 1) refused(tape_end(&t, "for this", &err), PCV_MEMORY, "the device is gone");
        else must(tape_end(&t, "for this", &err));
        assert_true(out[5] == 12);
    }
    assert_int_equal(calls, 1);
    tape_free(&t);
    failing->close(failing);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(training_steps), cmocka_unit_test(loaded_runs),
                                       cmocka_unit_test(a_failed_kernel_is_told)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
