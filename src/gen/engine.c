/* Opening a run, and the sessions over it. What is cheap to check is checked first, so that the error is about the
 * first thing that is wrong: configuration, tokenizer and whether it is the run's own, the memory that there is,
 * and then the weights. A session is a timeline, a sampler, and the last tokens that sampling looks back at: none,
 * those that a penalty reaches, or a whole document where the tokenizer masks what cannot follow. A session need
 * not have an engine: the trainer draws its samples over a decoder of its own (session_start). */
#include "gen/engine.h"
#include "backends/registry.h"
#include "base/file.h"
#include "base/available.h"
#include "base/number.h"
#include "base/text.h"
#include "config/settings.h"
#include "data/dataset.h"
#include "data/example.h"
#include "model/applicable.h"
#include "model/config_file.h"
#include "model/manifest.h"
#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LEAST_MEMORY = 64 << 20 };

/* ------------------------------------------------------------------ engine */

static int check_run(const char *run, pcv_error *err) {
    char path[PATH_SIZE];
    int status = path_join(path, run, RUN_CONFIG, err);
    if (status) return status;
    if (!path_exists(run)) return fail(err, PCV_NOINPUT, "%s: no such run", run);
    if (path_exists(path)) return 0;
    return fail(err, PCV_DATA, "%s: not a run (no config.json); make one with 'perceiver train'", run);
}

static int64_t whole_setting(const pcv_settings *settings, const char *name, int64_t initial) {
    const char *given = settings_get(settings, name);
    if (given) number_take_whole(&given, &initial);
    return initial;
}

int settings_threads(const pcv_settings *settings, int64_t *asked) {
    int64_t threads = whole_setting(settings, "threads", 0);
    if (asked) *asked = threads;
    return threads_available(threads);
}

/* What remembers may remember more, or less, than in training. */
static int choose_memory(model_config *c, const pcv_settings *settings, pcv_error *err) {
    int64_t memory = whole_setting(settings, "memory", -1);
    if (memory < 0 || !model_type_of(c)->remembers) return 0;
    c->memory = memory;
    return model_config_check(c, err);
}

/* The weights are given once more for caches and activations, which depend on what is asked for. */
static int check_memory(backend *be, const char *run, const char *path, pcv_error *err) {
    struct stat s;
    size_t weights = stat(path, &s) ? 0 : (size_t)s.st_size, need = 2 * weights + LEAST_MEMORY;
    size_t have = be->available(be);
    if (have >= need) return 0;
    return fail(err, PCV_MEMORY, "%s: the model needs about %zu MiB of memory, %zu are available", run, need >> 20,
                have >> 20);
}

/* ------------------------------------------------------------------ weights */

static int no_checkpoint(const char *run, const char *folder, int64_t step, pcv_error *err) {
    enum { SHOWN = 20 };
    file_list names = {0};
    text there = {0};
    if (path_exists(folder)) folder_names(folder, &names, NULL);
    for (size_t i = 0, shown = 0; i < names.count && shown < SHOWN; i++) {
        int64_t one = checkpoint_step(names.paths[i]);
        if (one < 0) continue;
        text_add(&there, "%s%lld", shown ? ", " : "; there are those of ", (long long)one);
        if (++shown == SHOWN) text_add(&there, ", ...");
    }
    int status = fail(err, PCV_NOINPUT, "%s: no checkpoint of update %lld%s", run, (long long)step,
                      there.size && text_ok(&there) ? there.data : "; there is none");
    file_list_free(&names);
    text_free(&there);
    return status;
}

/* The file with the weights of a checkpoint. Averaged ones, which a run has in place of its own, stand among its
 * moments. */
static int find_checkpoint(const char *run, const char *run_id, const train_config *train, int64_t step,
                           char path[PATH_SIZE], pcv_error *err) {
    const char *file = train->ema > 0 ? RUN_MOMENTS : RUN_WEIGHTS;
    char all[PATH_SIZE], folder[PATH_SIZE], name[64];
    json_t *manifest = NULL;
    int status = 0;
    TRY(path_join(all, run, RUN_CHECKPOINTS, err));
    snprintf(name, sizeof name, CHECKPOINT "%08lld", (long long)step);
    TRY(path_join(folder, all, name, err));
    TRY(path_join(path, folder, RUN_MANIFEST, err));
    if (!path_exists(path)) return no_checkpoint(run, all, step, err);
    TRY(manifest_read(&manifest, folder, run_id, err));
    TRY(manifest_check_file(manifest, folder, file, err));
    TRY(path_join(path, folder, file, err));
out:
    json_decref(manifest);
    return status;
}

/* The tokenizer must be the one that the run was trained with; expected NULL: an older version did not record it. */
static int check_meaning(const pcv_engine *e, const char *expected, pcv_error *err) {
    char own[HASH_TEXT];
    int status = tokenizer_meaning(&e->tokens, own, err);
    if (status || !expected || !strcmp(own, expected)) return status;
    return fail(err, PCV_DATA, "%s/" RUN_TOKENIZER ": not the tokenizer that the run was trained with; its ids mean "
                "other things (%s, but config.json says %.40s)", e->run, own, expected);
}

static int read_classes(pcv_engine *e, const json_t *list, pcv_error *err) {
    size_t count = json_array_size(list);
    int status = count ? mem_get(&e->class_name, count * sizeof *e->class_name, "classes", err) : 0;
    for (size_t i = 0; i < count && !status; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        status = mem_string(&e->class_name[i], name ? name : "", err);
        if (!status) e->classes++;
    }
    return status;
}

static int load(pcv_engine *e, const char *run, const pcv_settings *settings, pcv_error *err) {
    char path[PATH_SIZE];
    int64_t step = whole_setting(settings, "checkpoint", -1);
    model_config *c = NULL;
    train_config train;
    json_t *extra = NULL;
    int status = 0;
    TRY(check_run(run, err));
    TRY(mem_get(&c, sizeof *c, "a configuration", err));
    TRY(path_join(path, run, RUN_CONFIG, err));
    TRY(config_read(path, c, &train, &extra, err));
    TRY(settings_fit(settings, c, PCV_EVALUATION, err));
    const char *name = json_string_value(json_object_get(extra, "dataset"));
    const char *kind = json_string_value(json_object_get(extra, "kind"));
    const char *id = json_string_value(json_object_get(extra, "run"));
    snprintf(e->dataset, sizeof e->dataset, "%s", name ? name : "");
    const char *digest = json_string_value(json_object_get(extra, "digest"));
    snprintf(e->digest, sizeof e->digest, "%s", digest ? digest : "");
    snprintf(e->kind, sizeof e->kind, "%s", kind ? kind : "bytes");
    TRY(read_classes(e, json_object_get(extra, "labels"), err));
    bool numbers = c->loss != LOSS_CROSS_ENTROPY && !model_has_modalities(c);
    int64_t told = model_classes(c);
    if (model_type_of(c)->answers && told != e->classes && !numbers) {
        status = fail(err, PCV_DATA, "%s: config.json names %lld labels, but the model has %lld outputs", run,
                      (long long)e->classes, (long long)told);
        goto out;
    }
    dataset_middle(e->dataset, c);
    TRY(tokenizer_load(&e->tokens, run, err));
    TRY(check_meaning(e, json_string_value(json_object_get(extra, "meaning")), err));
    if (e->tokens.vocab != c->vocab_size) {
        status = fail(err, PCV_DATA, "%s: the tokenizer has %lld ids, but config.json a vocab_size of %lld",
                      run, (long long)e->tokens.vocab, (long long)c->vocab_size);
        goto out;
    }
    backend_options options = backend_options_for(settings_precision(settings), settings_threads(settings, NULL));
    TRY(backend_open(&e->be, settings_get(settings, "device"), &options, err));
    if (step < 0) TRY(path_join(path, run, RUN_WEIGHTS, err));
    else TRY(find_checkpoint(run, id ? id : "", &train, step, path, err));
    snprintf(e->weights, sizeof e->weights, "%s", path);
    TRY(check_memory(e->be, run, path, err));
    TRY(choose_memory(c, settings, err));
    TRY(model_open(&e->m, c, e->be, false, err));
    if (e->m->type->answers) TRY(example_check(&e->tokens, &e->m->config, run, err));
    if (e->tokens.axes) e->m->positions = (position_map){tokenizer_position, tokenizer_place, &e->tokens};
    bool averaged = step >= 0 && train.ema > 0;
    weight_block values = {averaged ? "average." : "", e->m->params.values};
    if (averaged) TRY(weights_load_one(&e->m->params, &values, path, err));
    else TRY(weights_load(&e->m->params, &values, 1, path, err));
    TRY(model_pack(e->m, settings_packing(settings, "weights"), settings_packing(settings, "cache"), err));
    if (!e->m->type->answers) TRY(decoder_open(&e->decoder, e->m, err));
out:
    json_decref(extra);
    mem_free(c);
    return status;
}

int engine_open(pcv_engine **out, const char *run, const pcv_settings *settings, pcv_error *err) {
    pcv_engine *e = NULL;
    int status = mem_get(&e, sizeof *e, "an engine", err);
    if (status) return status;
    snprintf(e->run, sizeof e->run, "%s", run);
    status = load(e, run, settings, err);
    if (status) engine_close(e);
    else *out = e;
    return status;
}

void engine_close(pcv_engine *e) {
    if (!e) return;
    if (e->m) decoder_close(&e->decoder);
    for (int64_t i = 0; i < e->classes; i++) mem_free(e->class_name[i]);
    mem_free(e->class_name);
    model_close(e->m);
    tokenizer_close(&e->tokens);
    if (e->be) e->be->close(e->be);
    mem_free(e);
}

int engine_not_finite(const pcv_engine *e, pcv_error *err) {
    return fail(err, PCV_NUMERIC, "%s: the model's output is not finite; the weights are damaged or training diverged; "
                "--checkpoint takes those of another update", e->weights);
}

static const char *text_of(const tokenizer *t, int32_t id, size_t *size) {
    *size = 0;
    return id < 0 || id >= t->vocab || !t->type->piece ? "" : t->type->piece(t, id, size);
}

const char *engine_text(const pcv_engine *e, int32_t id, size_t *size) { return text_of(&e->tokens, id, size); }

/* ------------------------------------------------------------------ sessions */

int session_start(pcv_session *s, decoder *d, const tokenizer *tokens, const sample_config *config,
                  pcv_error *err) {
    int status = 0;
    *s = (pcv_session){.config = *config};
    TRY(timeline_open(&s->line, d, s->config.window, s->config.latents, 0, err));
    TRY(sampler_open(&s->sampler, &s->config, tokens, d->m->config.vocab_size, err));
    TRY(session_feed(s, &tokens->start, 1, err));
out:
    if (status) session_stop(s);
    return status;
}

void session_stop(pcv_session *s) {
    timeline_close(&s->line);
    sampler_close(&s->sampler);
    mem_free(s->recent);
    s->recent = NULL;
}

int engine_goes_on(const pcv_engine *e, pcv_error *err) {
    if (!e->m->type->answers) return 0;
    return fail(err, PCV_USAGE, "%s: a %s answers, and does not go on with what it reads; 'perceiver predict' and "
                "'perceiver eval' ask it", e->run, e->m->type->name);
}

int engine_sampling(const pcv_engine *e, const pcv_settings *settings, sample_config *config, pcv_error *err) {
    if (engine_goes_on(e, err)) return err->code;
    int status = settings_fit(settings, &e->m->config, PCV_SAMPLING, err);
    return status ? status : settings_sample(settings, config, err);
}

int session_open(pcv_session **out, pcv_engine *engine, const pcv_settings *settings,
                     pcv_error *err) {
    pcv_session *s = NULL;
    sample_config config;
    int status = engine_sampling(engine, settings, &config, err);
    if (!status) status = mem_get(&s, sizeof *s, "a session", err);
    if (status) return status;
    status = session_start(s, &engine->decoder, &engine->tokens, &config, err);
    if (status) {
        mem_free(s);
        return status;
    }
    s->engine = engine;
    *out = s;
    return 0;
}

void session_close(pcv_session *s) {
    if (!s) return;
    session_stop(s);
    mem_free(s);
}

/* How many of the last tokens sampling looks back at. */
static size_t looked_at(const pcv_session *s) {
    if (s->sampler.tokens->type->mask) return SIZE_MAX;
    return s->config.repeat_penalty == 1 ? 0 : (size_t)s->config.repeat_last;
}

static int remember(pcv_session *s, const int32_t *ids, size_t count, pcv_error *err) {
    size_t most = looked_at(s), kept = count < most ? count : most;
    s->count += count;
    ids += count - kept;
    if (s->held + kept > s->capacity && s->held > most) { /* the oldest are of no more use */
        memmove(s->recent, s->recent + s->held - most, most * sizeof *ids);
        s->held = most;
    }
    if (s->held + kept > s->capacity) {
        size_t capacity = (s->held + kept) * 2 + 1024;
        int status = mem_resize(&s->recent, capacity * sizeof *ids, "a session's tokens", err);
        if (status) return status;
        s->capacity = capacity;
    }
    if (kept) memcpy(s->recent + s->held, ids, kept * sizeof *ids);
    s->held += kept;
    return 0;
}

int session_feed(pcv_session *s, const int32_t *ids, size_t count, pcv_error *err) {
    int status = timeline_append(&s->line, ids, count, err);
    return status ? status : remember(s, ids, count, err);
}

const float *session_logits(pcv_session *s, pcv_error *err) {
    const float *logits;
    if (timeline_logits(&s->line, &logits, err)) return NULL;
    for (int64_t id = 0; id < s->line.m->config.vocab_size; id++)
        if (!isfinite(logits[id])) return engine_not_finite(s->engine, err), NULL;
    return logits;
}

/* A document of known length is at its end; the start token is not counted. */
static bool is_over(const pcv_session *s) {
    int64_t length = s->sampler.tokens->length;
    return length && (int64_t)s->count > length;
}

/* Draws from the logits that are there, and appends. */
static int take_token(pcv_session *s, int32_t *id, pcv_error *err) {
    int status = sampler_pick(&s->sampler, s->line.logits, s->recent, s->held, s->count, id, err);
    if (status == PCV_NUMERIC && s->engine) return engine_not_finite(s->engine, err);
    if (status) return status;
    if (*id == s->sampler.tokens->end) {
        *id = -1;
        return 0;
    }
    return session_feed(s, id, 1, err);
}

int sessions_next(pcv_session *const *s, int64_t count, int32_t *ids, pcv_error *err) {
    timeline **lines = NULL;
    int64_t alive = 0;
    int status = 0;
    TRY(mem_get(&lines, (size_t)(count + 1) * sizeof *lines, "sessions", err));
    for (int64_t i = 0; i < count; i++)
        if (!is_over(s[i])) lines[alive++] = &s[i]->line;
    if (alive) TRY(timelines_logits(lines, alive, err));
    for (int64_t i = 0; i < count; i++) {
        ids[i] = -1;
        if (!is_over(s[i])) TRY(take_token(s[i], &ids[i], err));
    }
out:
    mem_free(lines);
    return status;
}

int session_next(pcv_session *s, int32_t *id, pcv_error *err) { return sessions_next(&s, 1, id, err); }

int session_reset(pcv_session *s, pcv_error *err) {
    timeline_reset(&s->line);
    s->held = s->count = 0;
    return session_feed(s, &s->sampler.tokens->start, 1, err);
}

int session_truncate(pcv_session *s, int64_t length, pcv_error *err) {
    int64_t gone = (int64_t)s->count - length;
    if (length < 1 || gone < 0)
        return fail(err, PCV_USAGE, "%lld tokens to keep, expected 1 to the session's %zu", (long long)length,
                    s->count);
    if (!timeline_truncate(&s->line, length))
        return fail(err, PCV_USAGE, "%lld tokens to keep, but the first %lld have left the window", (long long)length,
                    (long long)s->line.dropped);
    s->count = (size_t)length;
    s->held -= (size_t)gone < s->held ? (size_t)gone : s->held;
    size_t view = (size_t)s->line.count, wanted = looked_at(s) < view ? looked_at(s) : view;
    if (s->held >= wanted) return 0;
    s->held = 0; /* penalties reach farther back than what is left: the timeline knows it */
    s->count -= view;
    return remember(s, s->line.ids, view, err);
}

int session_fork(pcv_session **out, const pcv_session *s, uint64_t seed, pcv_error *err) {
    pcv_session *f = NULL;
    sample_config config = s->config;
    int status = mem_get(&f, sizeof *f, "a session", err);
    if (status) return status;
    config.seed = (int64_t)seed;
    TRY(session_start(f, s->line.d, s->sampler.tokens, &config, err));
    timeline_copy(&f->line, &s->line);
    f->engine = s->engine;
    f->held = 0;
    TRY(remember(f, s->recent, s->held, err));
    f->count = s->count;
    *out = f;
out:
    if (status) session_close(f);
    return status;
}

const char *session_text(const pcv_session *s, int32_t id, size_t *size) {
    return text_of(s->sampler.tokens, id, size);
}
