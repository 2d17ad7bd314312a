/* Log-probabilities of every token of one sequence, by the same windows as an evaluation. */
#include "base/file.h"
#include "base/number.h"
#include "base/safetensors.h"
#include "config/settings.h"
#include "train/score.h"
#include "gen/engine.h"
#include "train/evaluate.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t LARGEST_FILE = (size_t)1 << 32;

/* log softmax(logits)[id], in double. */
static double log_probability(const float *logits, int64_t vocab, int32_t id) {
    double top = -INFINITY, sum = 0;
    for (int64_t v = 0; v < vocab; v++) top = fmax(top, (double)logits[v]);
    for (int64_t v = 0; v < vocab; v++) sum += exp((double)logits[v] - top);
    return (double)logits[id] - top - log(sum);
}

/* One window, ids[w->count]; rows takes the logits of its targets, [w->scored, V]. */
static int run_window(pcv_engine *e, tape *t, const eval_config *c, const window *w, const int32_t *ids, float *rows,
                      pcv_error *err) {
    int64_t group = e->m->config.latents_per_position, positions = c->latents / group;
    if (positions > w->count - 1) positions = w->count - 1;
    tape_reset(t);
    sequence row = window_row(e->m, w, ids);
    model_input in = {.batch = 1, .rows = &row, .latents = positions * group};
    tensor *hidden = model_hidden(t, e->m, &in);
    tensor *last = tape_rows(t, hidden, hidden->m.rows - w->scored, w->scored);
    tape_read(t, model_logits(t, e->m, last), rows);
    return t->status ? fail(err, PCV_MEMORY, "not enough memory to score; lower --context or --latents") : 0;
}

static int score_all(pcv_engine *e, const eval_config *c, const int32_t *ids, pcv_scores *s,
                     float *buffer, pcv_error *err) {
    tape t = {0};
    int status = 0;
    TRY(tape_init(&t, e->be, 0, err));
    for (int64_t at = 0; at < s->count;) {
        window w = block_at(1, s->count, at, c->context, c->stride);
        float *rows = s->logits ? s->logits + at * s->vocabulary : buffer;
        TRY(run_window(e, &t, c, &w, ids + w.from, rows, err));
        for (int64_t i = 0; i < w.scored; i++, at++) {
            s->logprob[at] = log_probability(rows + i * s->vocabulary, s->vocabulary, s->ids[at]);
            if (isfinite(s->logprob[at])) continue;
            status = engine_not_finite(e, err);
            goto out;
        }
    }
out:
    tape_free(&t);
    return status;
}

int pcv_score(pcv_engine *e, const int32_t *ids, size_t count, bool logits,
              const pcv_settings *settings, pcv_scores *s, pcv_error *err) {
    eval_config c;
    int32_t *all = NULL;
    float *buffer = NULL;
    int status = 0;
    *s = (pcv_scores){.vocabulary = e->m->config.vocab_size};
    TRY(settings_eval(settings, &c, err));
    TRY(evaluate_defaults(&c, &e->m->config, err));
    bool started = count && ids[0] == e->tokens.start;
    s->count = (int64_t)count - started;
    TRY(mem_get(&all, (count + 1) * sizeof *all, "tokens", err));
    all[0] = e->tokens.start;
    if (s->count) memcpy(all + 1, ids + started, (size_t)s->count * sizeof *all);
    for (int64_t i = 0; i <= s->count; i++)
        if (all[i] < 0 || all[i] >= s->vocabulary) {
            status = fail(err, PCV_DATA, "token %lld is %d, but the vocabulary has %lld",
                          (long long)(i - !started), all[i], (long long)s->vocabulary);
            goto out;
        }
    size_t row = (size_t)s->vocabulary * sizeof(float);
    TRY(mem_get(&s->ids, (size_t)(s->count + 1) * sizeof *s->ids, "tokens", err));
    TRY(mem_get(&s->logprob, (size_t)(s->count + 1) * sizeof *s->logprob, "log-probabilities", err));
    if (logits) TRY(mem_get(&s->logits, (size_t)(s->count + 1) * row, "logits", err));
    else TRY(mem_get(&buffer, (size_t)c.stride * row, "logits", err));
    if (s->count) memcpy(s->ids, all + 1, (size_t)s->count * sizeof *all);
    TRY(score_all(e, &c, all, s, buffer, err));
out:
    mem_free(all);
    mem_free(buffer);
    if (status) pcv_scores_free(s);
    return status;
}

/* Whitespace-separated numbers. */
static int parse_ids(const file_bytes *text, const char *path, int32_t *ids, size_t *count,
                     pcv_error *err) {
    const char *at = text->data, *end = text->data + text->size;
    for (*count = 0;;) {
        while (at < end && isspace((unsigned char)*at)) at++;
        if (at == end) return 0;
        int64_t x = -1;
        const char *stop = at;
        if (number_take_whole(&stop, &x) || x < 0 || x > INT32_MAX || (stop < end && !isspace((unsigned char)*stop)))
            return fail(err, PCV_DATA, "%s: byte %lld: expected whitespace-separated token ids", path,
                        (long long)(at - text->data));
        ids[(*count)++] = (int32_t)x;
        at = stop;
    }
}

static int read_ids(const pcv_engine *e, const char *path, bool are_ids, int32_t **ids, size_t *count,
                    pcv_error *err) {
    file_bytes content = {0};
    const tokenizer *t = &e->tokens;
    int status = 0;
    if (!are_ids && t->type->read) {
        id_list list = {0};
        TRY(t->type->read(t, path, &list, err));
        *ids = list.v;
        *count = list.count;
        return 0;
    }
    TRY(file_read(path, LARGEST_FILE, &content, err));
    TRY(mem_get(ids, (content.size + 1) * sizeof **ids, "tokens", err));
    if (are_ids) TRY(parse_ids(&content, path, *ids, count, err));
    else *count = t->type->encode(t, content.data, content.size, *ids);
out:
    file_bytes_free(&content);
    return status;
}

int score_read_ids(const pcv_engine *e, const char *path, bool are_ids, int32_t **out, size_t *count,
                   pcv_error *err) {
    int32_t *ids = NULL;
    int status = read_ids(e, path, are_ids, &ids, count, err);
    size_t started = !status && *count && ids[0] == e->tokens.start, n = *count - started;
    if (!status) status = mem_get(out, (n + 1) * sizeof *ids, "tokens", err);
    if (!status) {
        (*out)[0] = e->tokens.start;
        if (n) memcpy(*out + 1, ids + started, n * sizeof *ids);
        *count = n + 1;
    }
    for (size_t i = 0; !status && i < *count; i++)
        if ((*out)[i] < 0 || (*out)[i] >= e->m->config.vocab_size)
            status = fail(err, PCV_DATA, "%s: token %d is outside the vocabulary of %lld", path, (*out)[i],
                          (long long)e->m->config.vocab_size);
    mem_free(ids);
    return status;
}

int pcv_score_file(pcv_engine *e, const char *path, bool are_ids, bool logits,
                   const pcv_settings *settings, pcv_scores *s, pcv_error *err) {
    int32_t *ids = NULL;
    size_t count = 0;
    *s = (pcv_scores){0};
    int status = read_ids(e, path, are_ids, &ids, &count, err);
    if (!status) status = pcv_score(e, ids, count, logits, settings, s, err);
    if (status == PCV_DATA) fail_context(err, "%s", path);
    mem_free(ids);
    return status;
}

int pcv_scores_save(const pcv_scores *s, const char *path, pcv_error *err) {
    if (!s->logits) return fail(err, PCV_USAGE, "there are no logits to save");
    safetensors_plan plan = {.name = "logits", .type = "F32", .rank = 2, .shape = {s->count, s->vocabulary},
                             .data = s->logits};
    return safetensors_save(&(safetensors_writer){.plans = &plan, .count = 1}, path, NULL, NULL, err);
}

void pcv_scores_free(pcv_scores *s) {
    mem_free(s->ids);
    mem_free(s->logprob);
    mem_free(s->logits);
    *s = (pcv_scores){0};
}
