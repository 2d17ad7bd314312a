/* Sound as one token per sample: eight bits on the mu-law curve, f(x) = sign(x) ln(1 + 255 |x|) / ln 256, rounded to
 * the nearest of 256 steps from -1 to 1 (ITU-T G.711's curve; the steps of WaveNet, van den Oord et al. 2016). */
#include "token/mulaw.h"
#include "base/mem.h"
#include "base/text.h"
#include "token/scale.h"
#include "token/sound_tokens.h"

#include <math.h>
#include <string.h>

enum { STEPS = 256, MU = STEPS - 1 };

static int open_mulaw(tokenizer *t, pcv_error *err) {
    (void)err;
    t->pad = 0, t->end = 1, t->start = 2, t->first = 3;
    t->vocab = t->first + STEPS;
    t->second = (double)t->config.rate;
    t->vector_size = SCALE_SIZE;
    return 0;
}

int32_t mulaw_step(float x) {
    double size = log1p(MU * fmin(fabs((double)x), 1)) / log1p(MU);
    return (int32_t)((copysign(size, (double)x) + 1) / 2 * MU + 0.5);
}

float mulaw_value(int32_t step) {
    double y = 2.0 * step / MU - 1;
    return (float)copysign(expm1(fabs(y) * log1p(MU)) / MU, y);
}

static int read_mulaw(const tokenizer *t, const char *path, id_list *ids, pcv_error *err) {
    sound s;
    int32_t id[4096];
    int status = sound_read(&s, path, t->config.rate, err);
    for (size_t at = 0; at < s.count && !status;) {
        size_t n = 0;
        for (; n < sizeof id / sizeof *id && at < s.count; n++, at++) id[n] = t->first + mulaw_step(s.samples[at]);
        status = id_list_add(ids, id, n, err);
    }
    sound_free(&s);
    return status;
}

static int decode(const tokenizer *t, const int32_t *ids, size_t count, sound *s, pcv_error *err) {
    float value[STEPS];
    int status = mem_get(&s->samples, count * sizeof *s->samples, "a sound", err);
    if (status) return status;
    for (int32_t i = 0; i < STEPS; i++) value[i] = mulaw_value(i);
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= t->first && ids[i] < t->vocab) s->samples[s->count++] = value[ids[i] - t->first];
    return 0;
}

static int write_mulaw(const tokenizer *t, const int32_t *ids, size_t count, const char *path, pcv_error *err) {
    return sound_tokens_write(decode, t, ids, count, path, err);
}

static int draw_mulaw(const tokenizer *t, const int32_t *ids, size_t count, const char *path, pcv_error *err) {
    return sound_tokens_draw(decode, t, ids, count, path, err);
}

static void vector_mulaw(const tokenizer *t, int32_t id, float *v) {
    memset(v, 0, SCALE_SIZE * sizeof *v);
    if (id >= t->first) scale_vector(id - t->first, STEPS, v);
}

static void values_mulaw(const tokenizer *t, const int32_t *ids, size_t count, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = ids[i] < t->first ? 0 : mulaw_value(ids[i] - t->first);
}

static void meaning_mulaw(const tokenizer *t, text *out) { text_add(out, "%lld", (long long)t->config.rate); }

static const char *const keys[] = {"rate", NULL};

const token_type token_mulaw = {
    .name = "mulaw",
    .help = "one token per sample, 256 steps on the mu-law curve",
    .kind = "audio",
    .unit = "sample",
    .extension = ".wav",
    .keys = keys,
    .open = open_mulaw,
    .read = read_mulaw,
    .write = write_mulaw,
    .check_name = sound_tokens_check,
    .draw = draw_mulaw,
    .vector = vector_mulaw,
    .values = values_mulaw,
    .meaning = meaning_mulaw,
};
