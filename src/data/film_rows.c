#include "data/film_rows.h"
#include "base/mem.h"
#include "data/patches.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

enum { PIECE = 16 }; /* samples of a piece, unless somebody says */

/* ------------------------------------------------------------------ shapes */

/* What kinds of inputs films of a tokenizer have; `name` is of what they are in. */
static int shape_kinds(const tokenizer *t, int64_t classes, int64_t P, modality_config kind[MODALITIES],
                       const char *name, pcv_error *err) {
    const int64_t size = t->shape[0], colours = t->shape[2];
    modality_config *image = &kind[MODALITY_IMAGE], *audio = &kind[MODALITY_AUDIO], *label = &kind[MODALITY_LABEL];
    if (size % P)
        return fail(err, PCV_CONFIG, "patch is %lld, which does not divide frames of %lld x %lld pixels", (long long)P,
                    (long long)size, (long long)size);
    image->features = P * P * colours;
    image->axes = (field_ints){.count = 3, .v = {t->frames, size / P, size / P}};
    image->grid = (field_ints){.count = 3, .v = {t->frames, size, size}};
    image->outputs = colours;
    label->features = label->outputs = classes; /* 0: there are none */
    label->axes = label->grid = (field_ints){.count = 0};
    audio->features = !t->samples ? 0 : audio->features ? audio->features : PIECE;
    if (!t->samples) return 0;
    if (t->samples % audio->features)
        return fail(err, PCV_CONFIG, "audio.features is %lld, which does not divide the %lld samples of a film of %s",
                    (long long)audio->features, (long long)t->samples, name);
    audio->axes = audio->grid = (field_ints){.count = 1, .v = {t->samples / audio->features}};
    audio->outputs = audio->features;
    return 0;
}

int film_rows_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err) {
    modality_config *image = &m->modality[MODALITY_IMAGE];
    if (model_type_of(m) != &perceiver_io)
        return fail(err, PCV_CONFIG, "%s: films are told again pixel by pixel, which a perceiver-io alone can do; take "
                    "--arch perceiver-io", d->name);
    int status = shape_kinds(&d->tokens, d->classes, m->patch, m->modality, d->name, err);
    if (status) return status;
    if (!image->resolution.count) image->resolution = image->grid;
    if (!m->outputs) m->outputs = m->channels;
    if (m->loss == LOSS_CROSS_ENTROPY && !settings_get(settings, "loss")) m->loss = LOSS_ABSOLUTE;
    m->positions.kind = POSITION_NONE;
    return 0;
}

static bool same_axes(const field_ints *a, const field_ints *b) {
    bool same = a->count == b->count;
    for (int64_t i = 0; i < a->count && same; i++) same = a->v[i] == b->v[i];
    return same;
}

bool film_rows_fit(const tokenizer *t, const model_config *m) {
    modality_config expected[MODALITIES];
    memcpy(expected, m->modality, sizeof expected);
    bool fit = !shape_kinds(t, m->modality[MODALITY_LABEL].features, m->patch, expected, "", NULL);
    for (int i = 0; i < MODALITIES; i++) {
        const modality_config *k = &m->modality[i], *e = &expected[i];
        fit = fit && k->features == e->features;
        if (k->features)
            fit = fit && k->outputs == e->outputs && same_axes(&k->axes, &e->axes) && same_axes(&k->grid, &e->grid);
    }
    return fit;
}

/* ------------------------------------------------------------------ room */

int film_rows_open(film_rows *r, const model_config *c, int64_t capacity, bool training, pcv_error *err) {
    const size_t rows = (size_t)capacity;
    int status = 0;
    *r = (film_rows){.some = training};
    if (!model_has_modalities(c)) return 0;
    TRY(mem_get(&r->part, rows * MODALITIES * sizeof *r->part, "films", err));
    for (int i = 0; i < MODALITIES; i++) {
        const modality_config *k = &c->modality[i];
        const size_t inputs = (size_t)modality_inputs(k), outputs = (size_t)modality_asked(k, training);
        if (!inputs) continue;
        r->asked[i] = (int64_t)outputs;
        r->outputs += r->asked[i];
        TRY(mem_get(&r->features[i], rows * inputs * (size_t)k->features * sizeof(float), "films", err));
        TRY(mem_get(&r->hidden[i], rows * inputs, "films", err));
        TRY(mem_get(&r->places[i], (rows * outputs + 1) * sizeof(int32_t), "films", err));
        TRY(mem_get(&r->wanted[i], (rows * outputs + 1) * sizeof(int32_t), "films", err));
        if (!modality_is_class(k))
            TRY(mem_get(&r->numbers[i], rows * outputs * (size_t)k->outputs * sizeof(float), "films", err));
    }
out:
    if (status) film_rows_close(r);
    return status;
}

void film_rows_close(film_rows *r) {
    for (int i = 0; i < MODALITIES; i++) {
        mem_free(r->features[i]);
        mem_free(r->numbers[i]);
        mem_free(r->places[i]);
        mem_free(r->wanted[i]);
        mem_free(r->hidden[i]);
    }
    mem_free(r->part);
    *r = (film_rows){0};
}

/* ------------------------------------------------------------------ rows */

/* Places that are asked for: all, or one from each of as many equal stretches. */
static void choose_places(const film_rows *r, int32_t *places, int64_t asked, int64_t all, rng *random) {
    for (int64_t i = 0; i < asked; i++) {
        int64_t from = i * all / asked, more = (i + 1) * all / asked - from;
        places[i] = (int32_t)from;
        if (r->some && more > 1) places[i] += (int32_t)rng_below(random, (uint64_t)more);
    }
}

static void hide(const film_rows *r, const modality_config *k, uint8_t *hidden, rng *random) {
    for (int64_t i = 0; i < modality_inputs(k); i++)
        hidden[i] = k->hidden > 0 && (!r->some || rng_uniform(random) < k->hidden);
}

/* The part of row i that is of one kind, with its places, as yet without values. */
static modality_row *begin_part(film_rows *r, int64_t i, const model_config *c, int kind, rng *random) {
    const modality_config *k = &c->modality[kind];
    const int64_t inputs = modality_inputs(k), asked = r->asked[kind];
    modality_row *part = &r->part[i * MODALITIES + kind];
    int32_t *places = r->places[kind] + i * asked, *wanted = r->wanted[kind] + i * asked;
    uint8_t *hidden = r->hidden[kind] + i * inputs;
    *part = (modality_row){.features = r->features[kind] + i * inputs * k->features, .hidden = hidden, .asked = places,
                           .wanted = wanted};
    if (r->numbers[kind]) part->numbers = r->numbers[kind] + i * asked * k->outputs;
    if (asked) choose_places(r, places, asked, modality_outputs(k), random);
    hide(r, k, hidden, random);
    for (int64_t n = 0; n < asked; n++) wanted[n] = 0;
    return part;
}

/* Numbers of the places that are asked for. */
static void take_numbers(const film_rows *r, const modality_row *part, const modality_config *k, int kind,
                         const float *values) {
    float *numbers = (float *)(uintptr_t)part->numbers; /* ours */
    for (int64_t n = 0; n < r->asked[kind]; n++)
        memcpy(numbers + n * k->outputs, values + part->asked[n] * k->outputs, (size_t)k->outputs * sizeof *numbers);
}

const modality_row *film_rows_put(film_rows *r, int64_t i, const model_config *c, const tokenizer *t,
                                  const float *values, int32_t label, rng *random) {
    const film_shape film = {t->frames, t->shape[0], t->shape[1], t->shape[2]};
    const modality_config *audio = &c->modality[MODALITY_AUDIO], *image = &c->modality[MODALITY_IMAGE];
    const modality_config *classes = &c->modality[MODALITY_LABEL];
    const float *sound = values + t->length - t->samples;
    for (int kind = 0; kind < MODALITIES; kind++) {
        const modality_config *k = &c->modality[kind];
        if (!k->features) continue;
        modality_row *part = begin_part(r, i, c, kind, random);
        float *features = (float *)(uintptr_t)part->features; /* ours */
        if (k == image) patches_blocks(values, &film, 1, c->patch, features);
        if (k == audio) memcpy(features, sound, (size_t)t->samples * sizeof *features);
        if (k != classes) take_numbers(r, part, k, kind, k == image ? values : sound);
        for (int64_t n = 0; n < k->features && k == classes; n++) features[n] = n == label;
        if (k == classes && r->asked[kind]) *(int32_t *)(uintptr_t)part->wanted = label;
    }
    return r->part + i * MODALITIES;
}

const modality_row *film_rows_fill(film_rows *r, int64_t i, const model_config *c, rng *random) {
    for (int kind = 0; kind < MODALITIES; kind++) {
        const modality_config *k = &c->modality[kind];
        if (!k->features) continue;
        modality_row *part = begin_part(r, i, c, kind, random);
        float *features = (float *)(uintptr_t)part->features; /* ours */
        for (int64_t n = 0; n < modality_inputs(k) * k->features; n++) features[n] = (float)rng_normal(random);
    }
    return r->part + i * MODALITIES;
}
