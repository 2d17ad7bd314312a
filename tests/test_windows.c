/* A token has one log-probability, whoever asks: an evaluation is the token-weighted mean of scores, and generation
 * that recomputes everything draws from the distributions that are scored; for every kind of tokens, architecture,
 * stride, number of latents and context. */
#include "device.h"
#include "base/mem.h"
#include "base/rng.h"
#include "config/settings.h"
#include "eval/evaluate.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { CONTEXT = 16, LATENTS = 6, DOCUMENTS = 2, MOST = 256 };

/* ------------------------------------------------------------------ data in memory */

typedef struct kind {
    const char *tokenizer, *settings;
    int64_t length; /* tokens of a document, start and end included; 0: as many as the tokenizer says */
    int64_t middle; /* as positions.middle */
} kind;

static const kind kinds[] = {
    {"bytes", "", 33, 0},
    {"bytes", "", 10, 0}, /* the context holds it */
    {"bytes", "", 14, 14},
    {"bytes", "", 33, 14},
    {"image", "size=4", 0, 0},
    {"image", "size=3 order=planes channel_ids=own", 0, 0},
    {"image", "size=4 order=coarse-to-fine", 0, 0},
    {"image", "size=3 order=random:7", 0, 0},
    {"image", "size=3 order=spiral", 0, 0},
    {"midi", "", 33, 0},
    {"mulaw", "", 33, 0},
    {"rvq", "codebooks=4 codes=16", 37, 0},
};

static const char *const variants[] = {
    "default:", "official:", "krasserm:", "lucidrains:", "flaxformer:",
    "official:positions.kind=learned positions.rotary.fraction=0 positions.origin=zero",
    "official:latents_per_position=2 latents=12 positions.kind=learned positions.rotary.fraction=0", "official:query=learned", "official:cross_after_layers=0",
    "default:architecture=transformer", "krasserm:architecture=transformer",
    "default:architecture=sparse-transformer sparse.stride=5",
    "official:architecture=sparse-transformer sparse.kind=fixed sparse.stride=7 sparse.summary=2",
    "default:architecture=transformer-xl memory=7",
};

static int64_t tokens_in(const dataset *d) { return *(const int64_t *)d->state; }
static int64_t documents(const dataset *d, split_name split) { return (void)d, (void)split, DOCUMENTS; }
static int64_t length(const dataset *d, split_name split, int64_t i) { return (void)split, (void)i, tokens_in(d); }

static int32_t token(const dataset *d, int64_t document, int64_t i) {
    const tokenizer *t = &d->tokens;
    rng_block b = rng_at(9, RNG_TEST, (uint32_t)document, (uint64_t)i);
    if (i == 0) return t->start;
    if (i == tokens_in(d) - 1 && t->end >= 0) return t->end;
    return t->first + (int32_t)(b.v[0] % (uint32_t)(t->vocab - t->first));
}

static int read_tokens(const dataset *d, split_name split, int64_t document, int64_t from, int64_t count, int32_t *ids,
                       pcv_error *err) {
    (void)split, (void)err;
    for (int64_t k = 0; k < count; k++) ids[k] = token(d, document, from + k);
    return 0;
}

static const dataset_type in_memory = {documents, length, read_tokens, NULL, NULL, NULL, NULL};

/* ------------------------------------------------------------------ engines */

static void open_data(dataset *d, const kind *k, int64_t *tokens) {
    token_config c;
    fields_default(&token_fields, memset(&c, 0, sizeof c));
    must(settings_apply_list(k->settings, &token_fields, "", &c, &err));
    *d = (dataset){.type = &in_memory, .name = "memory", .first_target = 1, .state = tokens};
    must(tokenizer_open(&d->tokens, k->tokenizer, &c, &err));
    *tokens = k->length ? k->length : d->tokens.length + 1 + (d->tokens.end >= 0);
}

/* Random weights, those of norms and biases too: fresh ones hide which of two is applied. */
static void stir(model *m) {
    matrix v = m->params.values;
    float *x = NULL;
    must(mem_get(&x, (size_t)(v.rows * v.cols) * sizeof *x, "weights", &err));
    backend_read_floats(m->be, x, &v);
    rng r = rng_make(4, RNG_TEST, 0);
    for (int64_t i = 0; i < v.rows * v.cols; i++) x[i] += (float)(0.4 * rng_uniform(&r) - 0.2);
    backend_write_floats(m->be, &v, x);
    mem_free(x);
}

static void open_engine(pcv_engine *e, const char *spec, const kind *k, const dataset *d) {
    char dialect[64];
    static model_config c;
    pcv_settings *s;
    snprintf(dialect, sizeof dialect, "%.*s", (int)strcspn(spec, ":"), spec);
    must(pcv_settings_open(&s, &err));
    must(pcv_settings_set(s, "dialect", dialect, &err));
    must(settings_model(s, &c, &err));
    must(settings_apply_list("channels=8 heads=2 layers=2 zero_head=false", &model_fields, "", &c, &err));
    c.context = CONTEXT;
    c.latents = LATENTS;
    c.positions.middle = k->middle;
    must(settings_apply_list(strchr(spec, ':') + 1, &model_fields, "", &c, &err));
    must(dataset_shape(d, s, &c, &err));
    must(model_config_check(&c, &err));
    *e = (pcv_engine){.run = "memory", .tokens = d->tokens};
    e->be = test_backend(&(backend_options){.precision = F64});
    must(model_open(&e->m, &c, e->be, false, &err));
    must(model_init(e->m, 3, &err));
    stir(e->m);
    if (d->tokens.axes) e->m->positions = (position_map){tokenizer_position, tokenizer_place, &e->tokens};
    pcv_settings_close(s);
}

static void close_engine(pcv_engine *e) {
    model_close(e->m);
    e->be->close(e->be);
}

/* ------------------------------------------------------------------ eval = score */

static pcv_evaluation evaluated(pcv_engine *e, dataset *d, const eval_config *c) {
    pcv_evaluation found;
    tape t;
    must(tape_init(&t, e->be, 0, &err));
    must(evaluate(&(evaluation_job){.t = &t, .m = e->m, .d = d, .config = c}, &found, &err));
    tape_free(&t);
    return found;
}

static pcv_settings *same_settings(const eval_config *c) {
    char text[32];
    pcv_settings *s;
    must(pcv_settings_open(&s, &err));
#define SET(name, value) snprintf(text, sizeof text, "%lld", (long long)(value)); \
    must(pcv_settings_set(s, name, text, &err))
    SET("stride", c->stride);
    SET("latents", c->latents);
    SET("context", c->context);
#undef SET
    return s;
}

/* Sums over the windows of an evaluation, from the scores of their targets. Windows are the independent units, so the
 * standard error of the mean m is sqrt(sum of (s - n m)^2) / targets, s the sum over a window's n targets. */
typedef struct window_sums {
    double sum[DOCUMENTS * MOST];
    int64_t targets[DOCUMENTS * MOST];
    int windows;
} window_sums;

static void add_windows(window_sums *w, const pcv_scores *scores, const eval_config *c) {
    for (int64_t done = 0; done < scores->count; w->windows++) {
        window one = block_at(1, scores->count, done, c->context, c->stride);
        for (int64_t k = 0; k < one.scored; k++) w->sum[w->windows] -= scores->logprob[done + k];
        w->targets[w->windows] = one.scored;
        done += one.scored;
    }
}

static double standard_error(const window_sums *w) {
    double sum = 0, targets = 0, squares = 0;
    for (int i = 0; i < w->windows; i++) {
        sum += w->sum[i];
        targets += (double)w->targets[i];
    }
    for (int i = 0; i < w->windows; i++) squares += pow(w->sum[i] - (double)w->targets[i] * sum / targets, 2);
    return sqrt(squares) / targets;
}

static void compare(pcv_engine *e, dataset *d, const char *what, eval_config c) {
    must(evaluate_defaults(&c, &e->m->config, &err));
    int64_t n = tokens_in(d);
    int32_t ids[MOST];
    double sum = 0;
    window_sums windows = {0};
    pcv_settings *s = same_settings(&c);
    for (int64_t i = 0; i < DOCUMENTS; i++) {
        pcv_scores scores;
        must(read_tokens(d, SPLIT_TEST, i, 0, n, ids, NULL));
        must(pcv_score(e, ids, (size_t)n, false, s, &scores, &err));
        assert_int_equal(scores.count, n - 1);
        for (int64_t k = 0; k < scores.count; k++) sum -= scores.logprob[k];
        add_windows(&windows, &scores, &c);
        pcv_scores_free(&scores);
    }
    pcv_evaluation found = evaluated(e, d, &c);
    assert_int_equal(found.tokens, DOCUMENTS * (n - 1));
    if (!(fabs(found.loss - sum / (double)found.tokens) < 1e-5))
        test_failed("%s, stride %d, latents %d, context %d, %d rows: evaluated %.7f, scored %.7f\n", what,
                    (int)c.stride, (int)c.latents, (int)c.context, (int)c.batch, found.loss,
                    sum / (double)found.tokens);
    close_to(found.standard_error, standard_error(&windows), 1e-5, what);
    close_to(found.bits_per_token, found.loss / log(2), 1e-12, what);
    close_to(found.perplexity, exp(found.loss), 1e-9, what);
    c.tokens = 1;
    assert_true(isnan(evaluated(e, d, &c).standard_error)); /* one window tells nothing of how windows differ */
    pcv_settings_close(s);
}

static bool taken(size_t k, size_t v) { return test_takes((int)(k * COUNT(variants) + v)); }

static void evaluation_is_mean_of_scores(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++)
        for (size_t v = 0; v < COUNT(variants); v++) {
            char what[256];
            int64_t tokens;
            dataset d;
            pcv_engine e;
            eval_config c;
            if (!taken(k, v)) continue;
            snprintf(what, sizeof what, "%s %s, %s", kinds[k].tokenizer, kinds[k].settings, variants[v]);
            open_data(&d, &kinds[k], &tokens);
            open_engine(&e, variants[v], &kinds[k], &d);
            must(settings_eval(NULL, &c, &err));
            int64_t group = e.m->config.latents_per_position;
            compare(&e, &d, what, c);
            c.batch = 3;
            c.stride = 1;
            compare(&e, &d, what, c);
            c.context = 11, c.latents = 5 * group, c.stride = 5;
            compare(&e, &d, what, c);
            c.latents = 3 * group, c.stride = 3;
            compare(&e, &d, what, c);
            close_engine(&e);
            tokenizer_close(&d.tokens);
        }
}

/* ------------------------------------------------------------------ sweeps = score */

/* Mean loss of the targets that a point of a sweep takes: of the windows with all `context` inputs. */
static double scored_mean(pcv_engine *e, dataset *d, const eval_config *c) {
    int64_t n = tokens_in(d), count = 0;
    int32_t ids[MOST];
    double sum = 0;
    pcv_settings *s = same_settings(c);
    for (int64_t i = 0; i < DOCUMENTS; i++) {
        pcv_scores scores;
        must(read_tokens(d, SPLIT_TEST, i, 0, n, ids, NULL));
        must(pcv_score(e, ids, (size_t)n, false, s, &scores, &err));
        for (int64_t done = 0; done < n - 1;) {
            window w = block_at(1, n - 1, done, c->context, c->stride);
            bool taken = w.count - 1 == c->context && w.scored == c->stride;
            for (int64_t k = 0; k < w.scored && taken; k++, count++) sum -= scores.logprob[done + k];
            done += w.scored;
        }
        pcv_scores_free(&scores);
    }
    pcv_settings_close(s);
    return sum / (double)count;
}

static void sweeps_are_means_of_scores(void **state) {
    (void)state;
    static const int64_t points[][2] = {{6, 12}, {6, 16}, {4, 12}, {3, 16}}; /* latents, context */
    for (size_t k = 0; k < COUNT(kinds); k++)
        for (size_t v = 0; v < COUNT(variants); v++) {
            int64_t tokens;
            dataset d;
            pcv_engine e;
            eval_config c;
            tape t;
            if (!taken(k, v)) continue;
            open_data(&d, &kinds[k], &tokens);
            open_engine(&e, variants[v], &kinds[k], &d);
            must(settings_eval(NULL, &c, &err));
            must(evaluate_defaults(&c, &e.m->config, &err));
            must(tape_init(&t, e.be, 0, &err));
            for (size_t i = 0; i < COUNT(points) && tokens > CONTEXT + 1; i++) {
                c.latents = points[i][0] * e.m->config.latents_per_position;
                c.context = points[i][1];
                c.stride = 3;
                pcv_sweep_point p = {.latents = c.latents, .context = c.context, .stride = c.stride};
                evaluation_job job = {.t = &t, .m = e.m, .d = &d, .config = &c};
                must(evaluate_points(&job, &p, 1, c.stride, 0, &err));
                close_to(p.loss, scored_mean(&e, &d, &c), 1e-5, variants[v]);
            }
            tape_free(&t);
            close_engine(&e);
            tokenizer_close(&d.tokens);
        }
}

/* ------------------------------------------------------------------ generation */

/* Under window policy exact, what comes next is drawn from what --stride 1 scores. */
static void follow(pcv_engine *e, const dataset *d, const char *what) {
    eval_config c;
    pcv_scores scores;
    decoder own;
    timeline line;
    int32_t ids[MOST];
    const float *logits;
    int64_t n = tokens_in(d);
    must(settings_eval(NULL, &c, &err));
    must(evaluate_defaults(&c, &e->m->config, &err));
    c.stride = 1;
    pcv_settings *s = same_settings(&c);
    must(read_tokens(d, SPLIT_TEST, 0, 0, n, ids, NULL));
    must(pcv_score(e, ids, (size_t)n, true, s, &scores, &err));
    must(decoder_open(&own, e->m, &err));
    must(timeline_open(&line, &own, PCV_EXACT, 0, 0, &err));
    for (int64_t i = 0; i + 1 < n; i++) {
        must(timeline_append(&line, ids + i, 1, &err));
        must(timeline_logits(&line, &logits, &err));
        for (int64_t id = 0; id < scores.vocabulary; id++)
            if (!(fabs((double)(logits[id] - scores.logits[i * scores.vocabulary + id])) < 1e-4))
                test_failed("%s, behind token %d: logit %d is %.6f generated, %.6f scored\n", what, (int)i, (int)id,
                            (double)logits[id], (double)scores.logits[i * scores.vocabulary + id]);
    }
    timeline_close(&line);
    decoder_close(&own);
    pcv_scores_free(&scores);
    pcv_settings_close(s);
}

static void generation_draws_from_scores(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++)
        for (size_t v = 0; v < COUNT(variants); v++) {
            char what[256];
            int64_t tokens;
            dataset d;
            pcv_engine e;
            if (!taken(k, v) || strstr(variants[v], "transformer-xl")) continue; /* remembers what no window holds */
            snprintf(what, sizeof what, "%s %s, %s", kinds[k].tokenizer, kinds[k].settings, variants[v]);
            open_data(&d, &kinds[k], &tokens);
            open_engine(&e, variants[v], &kinds[k], &d);
            follow(&e, &d, what);
            close_engine(&e);
            tokenizer_close(&d.tokens);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(evaluation_is_mean_of_scores),
                                       cmocka_unit_test(sweeps_are_means_of_scores),
                                       cmocka_unit_test(generation_draws_from_scores)};
    return run_on_device(tests, NULL, NULL);
}
