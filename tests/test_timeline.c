/* Generation's caches against uncached passes, for every window policy, several dialects and prompts
 * from one token to far beyond the context; and causality. */
#include "check.h"
#include "base/rng.h"
#include "config/settings.h"
#include "cpu/cpu.h"
#include "gen/timeline.h"

static const char *const variants[] = {
    "default:", "default:qk_norm=true self_reach=3", "official:positions.kind=sinusoidal positions.rotary.fraction=0",
    "official:cross_after_layers=0 input_channels=16",
    "official:query=mlp positions.kind=learned positions.rotary.fraction=0", "krasserm:",
    "krasserm:positions.kind=none positions.rotary.layers=-1", "lucidrains:", "flaxformer:",
    "official:positions.origin=end positions.rotary.fraction=0.5",
    "official:latents_per_position=2 positions.rotary.fraction=0 positions.kind=learned",
    "official:query=learned positions.kind=learned positions.rotary.fraction=0",
    "default:architecture=transformer", "official:architecture=transformer positions.kind=learned",
    "default:architecture=sparse-transformer sparse.stride=5",
    "krasserm:architecture=sparse-transformer sparse.kind=fixed sparse.stride=7 sparse.summary=2",
    "default:architecture=transformer-xl memory=13", "official:architecture=transformer-xl memory=55",
};
enum { VARIANTS = sizeof variants / sizeof *variants, CONTEXT = 40, LATENTS = 8, VOCAB = 23 };

static model *variant(backend *be, const char *spec) {
    char dialect[64];
    snprintf(dialect, sizeof dialect, "%.*s", (int)strcspn(spec, ":"), spec);
    model_config c;
    pcv_settings *s;
    model *m = NULL;
    must(pcv_settings_open(&s, &err));
    must(pcv_settings_set(s, "dialect", dialect, &err));
    must(settings_model(s, &c, &err));
    must(settings_apply_list("channels=24 heads=2 layers=3 zero_head=false", &model_fields, "", &c, &err));
    must(settings_apply_list(strchr(spec, ':') + 1, &model_fields, "", &c, &err));
    c.context = CONTEXT;
    c.latents = LATENTS;
    c.vocab_size = VOCAB;
    must(model_open(&m, &c, be, false, &err));
    must(model_init(m, 3, &err));
    pcv_settings_close(s);
    return m;
}

static int32_t token(int i) { return (int32_t)(rng_at(9, RNG_TEST, 0, (uint64_t)i).v[0] % VOCAB); }

/* Logits behind ids[0..count) from one pass without caches. */
static void uncached(model *m, const int32_t *ids, int64_t count, int64_t start, int64_t latents,
                     float *logits) {
    tape t;
    must(tape_init(&t, m->be, 0, &err));
    sequence row = {.ids = ids, .length = count, .before = start};
    int64_t group = m->config.latents_per_position;
    if (latents > count) latents = count;
    model_input in = {.batch = 1, .rows = &row, .latents = latents * group};
    tensor *h = model_hidden(&t, m, &in);
    tape_read(&t, model_logits(&t, m, tape_rows(&t, h, h->m.rows - 1, 1)), logits);
    tape_free(&t);
}

static void compare(const float *found, const float *expected, const char *spec, int window, int step) {
    for (int v = 0; v < VOCAB; v++)
        if (!(fabs((double)(found[v] - expected[v])) < 2e-6))
            test_failed("%s, window %d, step %d: logit %d is %.7f cached, %.7f uncached\n", spec, window,
                        step, v, (double)found[v], (double)expected[v]);
}

/* Positions that the window's tokens have: counted on after the oldest left, or anew. */
static int64_t start_of(const timeline *w) {
    return w->m->config.positions.kind == POSITION_NONE ? w->cache->first : 0;
}

static void follow(model *m, const char *spec, int window, int prompt) {
    timeline w;
    int32_t ids[400];
    float expected[VOCAB];
    const float *logits;
    for (int i = 0; i < 400; i++) ids[i] = token(i);
    must(timeline_open(&w, m, window, 0, 0, &err));
    must(timeline_append(&w, ids, (size_t)prompt, &err));
    int steps = w.remembers && prompt > 100 ? 4 : 70; /* passes over all that was ever read are long */
    for (int i = prompt; i < prompt + steps; i++) {
        must(timeline_logits(&w, &logits, &err));
        assert_true(w.count <= w.context && w.count + w.dropped == i);
        int64_t latents = window == PCV_EXACT ? w.latents : timeline_latents(&w);
        assert_true(timeline_latents(&w) <= w.latents);
        bool slid = window == PCV_SLIDE && !w.remembers && i - prompt > w.latents - w.first;
        if (!slid) {
            if (w.remembers) uncached(m, ids, i, 0, 1, expected);
            else uncached(m, w.ids, w.count, start_of(&w), latents, expected);
            compare(logits, expected, spec, window, i);
        }
        must(timeline_append(&w, ids + i, 1, &err));
    }
    timeline_close(&w);
}

static void cached_equals_uncached(void **state) {
    (void)state;
    static const int prompts[] = {1, 3, 8, 39, 40, 41, 300};
    for (int v = 0; v < VARIANTS; v++) {
        backend *be;
        must(cpu_double_backend_open(&be, &err));
        model *m = variant(be, variants[v]);
        int last = model_has_latents(&m->config) ? PCV_SLIDE : PCV_REFILL; /* without latents the policies are one */
        for (int window = PCV_REFILL; window <= last; window++)
            for (size_t p = 0; p < sizeof prompts / sizeof *prompts; p++)
                follow(m, variants[v], window, prompts[p]);
        model_close(m);
        be->close(be);
    }
}

/* Log-probabilities of earlier targets do not change, bit for bit, when later tokens do. */
static void causality(void **state) {
    (void)state;
    static const int lengths[] = {1, 2, 9, 33, 40}, latents[] = {1, 5, 8, 33};
    for (int v = 0; v < VARIANTS; v++) {
        if (strstr(variants[v], "=end")) continue; /* positions count from the end there */
        backend *be;
        must(cpu_backend_open(&be, cpu_best_level(), 2, &err));
        model *m = variant(be, variants[v]);
        for (int i = 0; i < 20; i++) {
            int length = lengths[i % 5], group = (int)m->config.latents_per_position;
            int N = latents[i / 5] < length ? latents[i / 5] : length;
            if (m->config.query >= QUERY_LEARNED && N > LATENTS) continue;
            float loss[2][CONTEXT * LOSS_COLUMNS];
            int32_t ids[CONTEXT + 1], changed = length - 1 - (N - 1) / 2; /* within the latents */
            for (int pass = 0; pass < 2; pass++) {
                tape t;
                for (int k = 0; k <= length; k++) ids[k] = token(k + (pass && k >= changed ? 500 : 0));
                must(tape_init(&t, be, 0, &err));
                sequence row = {.ids = ids, .length = length};
                model_input in = {.batch = 1, .rows = &row, .latents = N * group};
                tensor *h = model_hidden(&t, m, &in);
                int32_t targets[CONTEXT];
                for (int k = 0; k < N; k++) targets[k] = token(length - N + k + 1);
                tape_read(&t, model_loss(&t, m, h, &(model_targets){.ids = targets}), loss[pass]);
                tape_free(&t);
            }
            int before = changed - (length - N); /* predictions that cannot know the change */
            if (memcmp(loss[0], loss[1], (size_t)(LOSS_COLUMNS * before) * sizeof(float)))
                test_failed("%s, length %d, %d latents: a change at %d alters what stands before it\n",
                            variants[v], length, N, changed);
            if (before < N && !memcmp(loss[0] + LOSS_COLUMNS * before, loss[1] + LOSS_COLUMNS * before, sizeof(float)))
                test_failed("%s, length %d, %d latents: the change at %d has no effect at all\n",
                            variants[v], length, N, changed);
        }
        model_close(m);
        be->close(be);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(cached_equals_uncached), cmocka_unit_test(causality)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
