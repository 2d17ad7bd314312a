/* Several threads at once: sessions, scores, evaluations and maps over one engine, and over two. What each of them
 * gets is what it gets alone. Run under the thread sanitizer too (preset "thread"). */
#include "scratch.h"

#include <pthread.h>

#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif

enum { TOKENS = 40, TASKS = 8, ROUNDS = 3 };

/* What one thread does, and what comes of it. */
typedef struct task {
    pcv_engine *engine;
    int number;
    bool grows; /* sessions of several sizes: their caches move while others are in use */
    int32_t ids[TOKENS];
    double value;
} task;

static void set(pcv_settings *s, const char *name, const char *value) { must(pcv_settings_set(s, name, value, &err)); }

static void generate(task *t) {
    static const char *const windows[] = {"refill", "exact", "slide"};
    pcv_settings *s;
    pcv_session *session;
    char seed[16];
    must(pcv_settings_open(&s, &err));
    snprintf(seed, sizeof seed, "%d", t->number);
    set(s, "seed", seed);
    set(s, "ignore-end", "true");
    set(s, "window", windows[t->number % 3]);
    if (t->grows) set(s, "latents", t->number % 2 ? "48" : "16");
    must(pcv_session_open(&session, t->engine, s, &err));
    for (int i = 0; i < TOKENS; i++) {
        if (i % 7 == 3) must(pcv_session_feed(session, (const int32_t[]){5, 6, 7}, 3, &err));
        must(pcv_session_next(session, &t->ids[i], &err));
        const float *logits = pcv_session_logits(session, NULL);
        assert_non_null(logits);
        t->value += (double)logits[1];
    }
    pcv_session_close(session);
    pcv_settings_close(s);
}

static void score(task *t) {
    int32_t ids[60];
    pcv_scores scores;
    for (int i = 0; i < 60; i++) ids[i] = (i * t->number + 3) % 9 + 3;
    must(pcv_score(t->engine, ids, 60, false, NULL, &scores, &err));
    for (int64_t i = 0; i < scores.count; i++) t->value += scores.logprob[i];
    pcv_scores_free(&scores);
}

static void evaluate(task *t) {
    pcv_settings *s;
    pcv_evaluation e;
    must(pcv_settings_open(&s, &err));
    set(s, "examples", "20");
    must(pcv_evaluate(t->engine, NULL, s, NULL, &e, &err));
    t->value = e.loss;
    pcv_settings_close(s);
}

static void *work(void *task_) {
    static void (*const kinds[])(task *) = {generate, generate, generate, score, evaluate};
    task *t = task_;
    memset(t->ids, 0, sizeof t->ids);
    t->value = 0;
    kinds[t->number % 5](t);
    return NULL;
}

/* Tasks alone, and then all of them at once, again and again. */
static void same_as_alone(pcv_engine *const engine[], int engines, bool grows) {
    task alone[TASKS], together[TASKS];
    pthread_t thread[TASKS];
    for (int i = 0; i < TASKS; i++) {
        alone[i] = together[i] = (task){.engine = engine[i % engines], .number = i, .grows = grows};
        work(&alone[i]);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < TASKS; i++) assert_int_equal(pthread_create(&thread[i], NULL, work, &together[i]), 0);
        for (int i = 0; i < TASKS; i++) pthread_join(thread[i], NULL);
        for (int i = 0; i < TASKS; i++) {
            assert_memory_equal(together[i].ids, alone[i].ids, sizeof alone[i].ids);
            if (together[i].value != alone[i].value)
                test_failed("task %d: %.17g, alone %.17g\n", i, together[i].value, alone[i].value);
        }
    }
}

static void train(const char *run, const char *arch) {
    pcv_settings *s;
    must(pcv_settings_open(&s, &err));
    const char *const pairs[] = {"preset", "tiny", "arch", arch, "context", "64", "channels", "64",
                                 "heads", "2", "layers", "2", "steps", "3", "batch", "4", "threads", "1"};
    for (size_t i = 0; i < COUNT(pairs); i += 2) set(s, pairs[i], pairs[i + 1]);
    if (!strcmp(arch, "perceiver-ar")) set(s, "latents", "16");
    must(pcv_train(&(pcv_train_options){.dataset = "copy:64", .run = at(run)}, s, NULL, NULL, &err));
    pcv_settings_close(s);
}

static pcv_engine *open_engine(const char *run) {
    pcv_settings *s;
    pcv_engine *e;
    must(pcv_settings_open(&s, &err));
#ifdef TSAN /* it does not know how OpenMP's threads wait for each other */
    set(s, "threads", "1");
#else
    set(s, "threads", "2");
#endif
    must(pcv_engine_open(&e, at(run), s, &err));
    pcv_settings_close(s);
    return e;
}

static const char *const archs[] = {"perceiver-ar", "transformer", "transformer-xl"};

static void one_engine(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(archs); i++) {
        pcv_engine *e = open_engine(archs[i]);
        same_as_alone(&e, 1, i == 0);
        pcv_engine_close(e);
    }
}

static void two_engines(void **state) {
    (void)state;
    pcv_engine *e[] = {open_engine(archs[0]), open_engine(archs[2])};
    same_as_alone(e, 2, false);
    pcv_engine_close(e[0]);
    pcv_engine_close(e[1]);
}

/* Engines that are opened, used and closed while others are, and trainings. */
static void *everything(void *number) {
    char run[32];
    int i = *(int *)number;
    snprintf(run, sizeof run, "run%d", i);
    train(run, archs[i % 3]);
    pcv_engine *e = open_engine(run);
    task t = {.engine = e, .number = i};
    work(&t);
    pcv_engine_close(e);
    return NULL;
}

static void nothing_is_shared(void **state) {
    (void)state;
    int number[4];
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) {
        number[i] = i;
        assert_int_equal(pthread_create(&thread[i], NULL, everything, &number[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
}

/* Tables that are made when they are first asked for: by all at once. */
static void *ask(void *out) {
    pcv_option o;
    size_t *sum = out;
    for (int g = 0; g < PCV_GROUPS; g++)
        for (int i = 0; pcv_option_at((pcv_group)g, i, &o); i++)
            *sum += strlen(o.name) + strlen(o.argument ? o.argument : "") + strlen(o.initial ? o.initial : "");
    for (const char *const *level = pcv_kernel_levels(); *level; level++) *sum += strlen(*level);
    return NULL;
}

static void tables_are_made_once(void **state) {
    (void)state;
    size_t sum[TASKS] = {0};
    pthread_t thread[TASKS];
    for (int i = 0; i < TASKS; i++) assert_int_equal(pthread_create(&thread[i], NULL, ask, &sum[i]), 0);
    for (int i = 0; i < TASKS; i++) pthread_join(thread[i], NULL);
    for (int i = 1; i < TASKS; i++) assert_int_equal(sum[i], sum[0]);
}

static void runs_are_made(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(archs); i++) train(archs[i], archs[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_made_once), cmocka_unit_test(runs_are_made), cmocka_unit_test(one_engine),
        cmocka_unit_test(two_engines), cmocka_unit_test(nothing_is_shared),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
