#include "gen/sampler.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int sampler_open(sampler *s, const sample_config *config, const tokenizer *tokens, int64_t vocab,
                 pcv_error *err) {
    *s = (sampler){.config = config, .tokens = tokens, .vocab = vocab};
    int status = mem_get(&s->logits, (size_t)vocab * sizeof *s->logits, "sampling", err);
    if (!status) status = mem_get(&s->order, (size_t)vocab * sizeof *s->order, "sampling", err);
    if (status) sampler_close(s);
    return status;
}

void sampler_close(sampler *s) {
    mem_free(s->logits);
    mem_free(s->order);
    *s = (sampler){0};
}

/* Keskar et al. 2019 (CTRL): positive logits of recent tokens are divided, negative multiplied. */
static void penalize(sampler *s, const int32_t *recent, size_t count) {
    float penalty = (float)s->config->repeat_penalty;
    size_t last = (size_t)s->config->repeat_last;
    if (penalty == 1) return;
    for (size_t i = count > last ? count - last : 0; i < count; i++) {
        bool again = false; /* a token counts once however often it occurred */
        for (size_t k = i + 1; k < count && !again; k++) again = recent[k] == recent[i];
        float *x = &s->logits[recent[i]];
        if (!again) *x = *x > 0 ? *x / penalty : *x * penalty;
    }
}

static void mask(sampler *s) {
    for (int64_t v = 0; v < s->vocab; v++) {
        bool ends = v == s->tokens->end && s->config->ignore_end;
        if (ends || !tokenizer_may_sample(s->tokens, (int32_t)v)) s->logits[v] = -INFINITY;
    }
}

static int by_logit(const void *a, const void *b, void *logits) {
    float x = ((const float *)logits)[*(const int32_t *)a], y = ((const float *)logits)[*(const int32_t *)b];
    if (x != y) return x > y ? -1 : 1;
    return *(const int32_t *)a - *(const int32_t *)b; /* the same order everywhere */
}

/* How many of the sorted candidates stay; logits become probabilities without a common factor. */
static int64_t cut(sampler *s) {
    const sample_config *c = s->config;
    int64_t keep = c->top_k > 0 && c->top_k < s->vocab ? c->top_k : s->vocab;
    float top = s->logits[s->order[0]];
    double total = 0, sum = 0;
    for (int64_t i = 0; i < keep; i++) {
        float *x = &s->logits[s->order[i]];
        *x = expf((*x - top) / (float)c->temperature);
        total += (double)*x;
    }
    int64_t i = 0;
    for (; i < keep; i++) {
        double p = (double)s->logits[s->order[i]];
        if (p == 0 || (i && sum >= c->top_p * total) || p < c->min_p) break;
        sum += p;
    }
    return i;
}

int sampler_pick(sampler *s, const float *logits, const int32_t *recent, size_t count, uint64_t step,
                 int32_t *id, pcv_error *err) {
    memcpy(s->logits, logits, (size_t)s->vocab * sizeof *logits);
    penalize(s, recent, count);
    mask(s);
    if (s->tokens->type->mask) s->tokens->type->mask(s->tokens, recent, count, s->logits);
    int32_t best = 0;
    bool finite = true; /* -infinity is a masked id */
    for (int32_t v = 0; v < s->vocab; v++) {
        s->order[v] = v;
        finite = finite && s->logits[v] < INFINITY;
        if (s->logits[v] > s->logits[best]) best = v;
    }
    if (!finite || !isfinite(s->logits[best])) return fail(err, PCV_NUMERIC, "the model's output is not finite");
    *id = best;
    if (s->config->temperature == 0) return 0;
    qsort_r(s->order, (size_t)s->vocab, sizeof *s->order, by_logit, s->logits);
    int64_t keep = cut(s);
    double total = 0;
    for (int64_t i = 0; i < keep; i++) total += (double)s->logits[s->order[i]];
    rng r = rng_make((uint64_t)s->config->seed, RNG_SAMPLE, (uint32_t)step);
    r.index = step >> 32;
    double x = rng_uniform(&r) * total;
    int64_t i = 0;
    while (i < keep - 1 && (x -= (double)s->logits[s->order[i]]) >= 0) i++;
    *id = s->order[i];
    return 0;
}
