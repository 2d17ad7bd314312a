#include "data/example.h"
#include "base/mem.h"
#include "data/patches.h"
#include "data/shuffle.h"
#include "media/spectra.h"
#include "nn/positions.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* What documents hold: numbers, or ids of a text. */
static bool is_numbers(const tokenizer *t) { return t->type->values != NULL; }
static bool is_picture(const tokenizer *t) { return t->shape[0] > 0; }
static bool is_pair(const tokenizer *t) { return t->answers > 0; } /* of pictures, and how they move */
static bool is_points(const tokenizer *t) { return !t->shape[0] && t->shape[2]; } /* in any order */
static bool is_sound(const tokenizer *t) { return !t->shape[0] && !t->shape[2]; }

/* ------------------------------------------------------------------ shapes */

static int differs(const char *key, int64_t asked, int64_t wanted, const dataset *d, pcv_error *err) {
    return fail(err, PCV_CONFIG, "%s is %lld, but %s has %lld", key, (long long)asked, d->name, (long long)wanted);
}

/* Did somebody say how many inputs there are? */
static bool context_is_said(const pcv_settings *settings) {
    char source[64];
    const field *f = fields_by_key(&model_fields, "context");
    return settings_source(settings, &model_fields, f, source, sizeof source) != FROM_DEFAULT;
}

/* Positions of this kind, unless others were asked for, or none. */
static void place_inputs(const pcv_settings *settings, position_kind kind, model_config *m) {
    if (m->positions.kind == POSITION_NONE && !settings_get(settings, "positions")) m->positions.kind = (int)kind;
}

static int64_t patches_of(int64_t values, int64_t patch) { return (values + patch - 1) / patch; }

/* Pixels of a picture's side that are one input's. */
static int64_t side_of(const model_config *m) { return m->convolution ? STEM_SHRINKS : m->patch; }

/* Numbers of an input, of documents that are numbers and no films. */
static int64_t features_of(const tokenizer *t, const model_config *m) {
    if (is_pair(t)) return 9 * t->frames * t->shape[2];
    if (is_picture(t) && m->convolution) return STEM_FEATURES * t->shape[2];
    if (is_picture(t)) return m->patch * m->patch * t->shape[2];
    if (is_points(t)) return t->shape[2] * (2 * m->positions.bands + 1);
    return m->spectrum ? m->spectrum / 2 : m->patch;
}

/* Every pixel of the first frame is an input, and an answer. */
static int pair_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err) {
    const int64_t *shape = d->tokens.shape, pixels = shape[0] * shape[1], answers = d->tokens.answers;
    if (model_type_of(m) != &perceiver_io)
        return fail(err, PCV_CONFIG, "%s: each pixel has an answer, which a perceiver-io alone can give; take --arch "
                    "perceiver-io", d->name);
    if (settings_get(settings, "context") && m->context != pixels)
        return differs("context", m->context, pixels, d, err);
    if (m->outputs && m->outputs != answers) return differs("outputs", m->outputs, answers, d, err);
    if (m->loss == LOSS_CROSS_ENTROPY && !settings_get(settings, "loss")) m->loss = LOSS_END_POINT;
    if (m->loss == LOSS_CROSS_ENTROPY || m->loss == LOSS_SIGMOID)
        return fail(err, PCV_CONFIG, "loss is %s, but the answers of %s are motions; expected end_point, squared or "
                    "absolute", loss_names[m->loss], d->name);
    if (m->decoder.query == ASK_LEARNED && !settings_get(settings, "decoder-query")) m->decoder.query = ASK_INPUTS;
    m->decoder.queries = m->decoder.query == ASK_INPUTS ? 0 : pixels;
    m->context = pixels;
    m->outputs = answers;
    m->positions.axes = (field_ints){.count = 2, .v = {shape[0], shape[1]}};
    return 0;
}

/* A picture is as many inputs as it has patches. */
static int picture_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err) {
    const int64_t *shape = d->tokens.shape, P = side_of(m);
    if (m->convolution && m->patch > 1)
        return fail(err, PCV_CONFIG, "patch is %lld, but a convolution takes single pixels", (long long)m->patch);
    if (shape[0] % P || shape[1] % P)
        return fail(err, PCV_CONFIG, "%s %lld, which does not divide pictures of %lld x %lld pixels",
                    m->convolution ? "convolution and maximum make sides smaller by" : "patch is", (long long)P,
                    (long long)shape[0], (long long)shape[1]);
    int64_t rows = shape[0] / P, columns = shape[1] / P;
    if (settings_get(settings, "context") && m->context != rows * columns)
        return differs("context", m->context, rows * columns, d, err);
    m->context = rows * columns;
    m->positions.axes = (field_ints){.count = 2, .v = {rows, columns}};
    return 0;
}

/* A sound is as many inputs as the longest has patches, unless fewer were asked for. */
static int sound_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err) {
    int64_t longest = 1;
    for (int s = 0; s < SPLITS; s++)
        for (int64_t k = 0; k < dataset_documents(d, (split_name)s); k++) {
            int64_t patches = patches_of(dataset_length(d, (split_name)s, k) - 1, m->patch);
            if (patches > longest) longest = patches;
        }
    if (longest > MOST_TOKENS)
        return fail(err, PCV_CONFIG, "%s: the longest sound has %lld patches of %lld samples, at most %d; raise "
                    "--patch", d->name, (long long)longest, (long long)m->patch, MOST_TOKENS);
    if (!context_is_said(settings)) m->context = longest;
    m->positions.axes = (field_ints){.count = 1, .v = {m->context}};
    return 0;
}

/* A point is an input, which says itself where it is. */
static int point_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err) {
    const int64_t axes = d->tokens.shape[2];
    int64_t longest = 1;
    for (int s = 0; s < SPLITS && !d->generated; s++)
        for (int64_t k = 0; k < dataset_documents(d, (split_name)s); k++)
            if (dataset_length(d, (split_name)s, k) > longest) longest = dataset_length(d, (split_name)s, k);
    if (d->generated) longest = dataset_length(d, SPLIT_TRAIN, 0);
    if (!context_is_said(settings)) m->context = (longest - 1) / axes;
    if (!m->positions.resolution.count) {
        m->positions.resolution.count = axes;
        for (int64_t a = 0; a < axes; a++) m->positions.resolution.v[a] = 2 * m->positions.bands;
    }
    if (m->positions.resolution.count != axes)
        return fail(err, PCV_CONFIG, "positions.resolution has %lld axes, but a point of %s has %lld",
                    (long long)m->positions.resolution.count, d->name, (long long)axes);
    if (m->positions.kind != POSITION_NONE)
        return fail(err, PCV_CONFIG, "positions: points have no places but their own; give --positions none");
    return 0;
}

static int number_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err) {
    int64_t asked = m->input_features;
    if (tokenizer_is_film(&d->tokens)) return film_rows_shape(d, settings, m, err);
    if (!d->classes && !d->tokens.answers)
        return fail(err, PCV_CONFIG, "%s: documents without labels, so there is nothing to answer; prepare them with "
                    "--labels", d->name);
    int status = 0;
    if (is_pair(&d->tokens)) status = pair_shape(d, settings, m, err);
    else if (is_picture(&d->tokens)) status = picture_shape(d, settings, m, err);
    else if (is_points(&d->tokens)) status = point_shape(d, settings, m, err);
    else status = sound_shape(d, settings, m, err);
    if (status) return status;
    m->input_features = features_of(&d->tokens, m);
    if (asked && asked != m->input_features) return differs("input_features", asked, m->input_features, d, err);
    if (!is_points(&d->tokens)) place_inputs(settings, POSITION_FOURIER, m);
    return 0;
}

static int text_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err) {
    if (m->input_features)
        return fail(err, PCV_CONFIG, "input_features is %lld, but the inputs of %s are ids",
                    (long long)m->input_features, d->name);
    if (!d->unordered) place_inputs(settings, POSITION_LEARNED, m);
    bool learned = m->positions.kind == POSITION_LEARNED; /* as published */
    if (learned && !settings_get(settings, "join")) m->positions.join = JOIN_ADD;
    if (d->classes) return 0;
    if (model_type_of(m) != &perceiver_io)
        return fail(err, PCV_CONFIG, "%s: texts without labels, of which a perceiver-io alone can say what was hidden; "
                    "prepare them with --labels, or take --arch perceiver-io", d->name);
    if (!settings_get(settings, "decoder-queries")) m->decoder.queries = 0;
    if (m->decoder.queries)
        return fail(err, PCV_CONFIG, "decoder.queries is %lld, but each hidden token of %s is an answer: expected 0",
                    (long long)m->decoder.queries, d->name);
    return 0;
}

int example_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err) {
    if (!is_numbers(&d->tokens) && !d->tokens.type->piece)
        return fail(err, PCV_CONFIG, "%s: a %s takes no tokens of this kind", d->name, model_type_of(m)->name);
    int status = is_numbers(&d->tokens) ? number_shape(d, settings, m, err) : text_shape(d, settings, m, err);
    if (status) return status;
    m->vocab_size = d->tokens.vocab;
    if (d->tokens.answers || tokenizer_is_film(&d->tokens)) return 0;
    if (m->loss != LOSS_CROSS_ENTROPY)
        return fail(err, PCV_CONFIG, "loss is %s, but the answers of %s are no numbers; expected cross_entropy",
                    loss_names[m->loss], d->name);
    if (!d->classes) return m->outputs ? differs("outputs", m->outputs, 0, d, err) : 0;
    if (m->outputs && m->outputs != d->classes) return differs("outputs", m->outputs, d->classes, d, err);
    m->outputs = d->classes;
    return 0;
}

/* Are documents of this kind what the model reads, and what it says what they have answers for? */
static bool fits(const tokenizer *t, const model_config *m) {
    const bool told = model_type_of(m) == &perceiver_io;
    const int64_t inputs = is_picture(t) ? t->shape[0] * t->shape[1] : 0, P = side_of(m);
    if (tokenizer_is_film(t)) return told && film_rows_fit(t, m);
    if (model_has_modalities(m)) return false;
    if (!is_numbers(t)) /* of texts without labels each token is one of the answers */
        return !m->input_features &&
               (m->outputs || (told && (!m->decoder.queries || m->decoder.queries == m->context)));
    if (m->input_features != features_of(t, m)) return false;
    if (is_pair(t))
        return told && m->context == inputs && m->outputs == t->answers && m->loss != LOSS_CROSS_ENTROPY &&
               (!m->decoder.queries || m->decoder.queries == inputs);
    if (is_picture(t)) return t->shape[0] % P == 0 && t->shape[1] % P == 0 && m->context * P * P == inputs;
    return !is_points(t) || m->positions.resolution.count == t->shape[2];
}

int example_check(const tokenizer *t, const model_config *m, const char *owner, pcv_error *err) {
    if (fits(t, m)) return 0;
    return fail(err, PCV_DATA, "%s: documents of its tokenizer, '%s', are not what the model of its config.json reads",
                owner, t->type->name);
}

/* ------------------------------------------------------------------ windows */

/* Tokens of a document that one example reads at most. Of points all are read, and some chosen. */
static int64_t most_tokens(const tokenizer *t, const model_config *m) {
    if (is_picture(t)) return t->length;
    if (is_points(t)) return INT64_MAX;
    return is_numbers(t) ? m->context * m->patch : m->context;
}

/* Content that is numbers stands behind the start token. */
static int64_t first_token(const tokenizer *t) { return is_numbers(t) ? 1 : 0; }

static int64_t content_of(const dataset *d, split_name split, int64_t document) {
    int64_t length = dataset_length(d, split, document) - first_token(&d->tokens);
    return is_numbers(&d->tokens) && d->tokens.end >= 0 ? length - 1 : length;
}

/* Labelled documents are one example each, whatever they hold; texts without labels are read from end to end. */
static bool is_whole(const dataset *d) { return d->classes > 0 || d->tokens.answers || tokenizer_is_film(&d->tokens); }

double example_answers(const dataset *d, const model_config *m, double mask_rate) {
    int64_t asked = 0;
    for (int i = 0; i < MODALITIES; i++) asked += modality_asked(&m->modality[i], true);
    if (tokenizer_is_film(&d->tokens)) return (double)asked;
    if (d->tokens.answers) return (double)m->context;
    return d->classes ? 1 : fmax(1, (double)m->context * mask_rate);
}

static window whole_document(const dataset *d, split_name split, const model_config *m, int64_t document) {
    int64_t count = content_of(d, split, document), most = most_tokens(&d->tokens, m);
    return (window){.document = document, .from = first_token(&d->tokens), .count = count < most ? count : most};
}

int example_plan_open(example_plan *p, const dataset *d, split_name split, const model_config *m, uint64_t seed,
                      pcv_error *err) {
    *p = (example_plan){.d = d, .m = m, .split = split, .seed = seed, .documents = dataset_documents(d, split)};
    if (!p->documents) return fail(err, PCV_DATA, "%s: the %s split is empty", d->name, split_names[split]);
    if (is_whole(d)) return 0;
    return crop_open(&p->crops, d, split, m->context > 1 ? m->context - 1 : 1, m->context, err);
}

void example_plan_close(example_plan *p) { crop_close(&p->crops); }

window example_draw(const example_plan *p, int64_t number) {
    rng random = rng_make(p->seed, RNG_EXAMPLE, (uint32_t)number);
    window w;
    if (p->d->generated) w = whole_document(p->d, p->split, p->m, number); /* each is new */
    else if (is_whole(p->d)) {
        rng_block key = rng_at(p->seed, RNG_EXAMPLE, (uint32_t)(number / p->documents), UINT64_C(1) << 32);
        shuffle order = shuffle_by(key, (uint32_t)p->documents);
        w = whole_document(p->d, p->split, p->m, shuffle_at(&order, (uint32_t)(number % p->documents)));
        int64_t more = content_of(p->d, p->split, w.document) - w.count;
        if (more > 0) w.from += (int64_t)rng_below(&random, (uint64_t)more + 1); /* anywhere in a long sound */
    } else w = crop_draw(&p->crops, &random);
    w.variant = (uint64_t)rng_u32(&random) << 32 | rng_u32(&random) | 1;
    return w;
}

int64_t example_windows(const dataset *d, split_name split, const model_config *m) {
    int64_t documents = dataset_documents(d, split), windows = 0;
    if (is_whole(d)) return documents;
    for (int64_t k = 0; k < documents; k++) windows += patches_of(dataset_length(d, split, k), m->context);
    return windows;
}

window example_at(const dataset *d, split_name split, const model_config *m, int64_t number) {
    if (is_whole(d)) return whole_document(d, split, m, number);
    window w = {0};
    for (;; w.document++) {
        int64_t pieces = patches_of(dataset_length(d, split, w.document), m->context);
        if (number < pieces) break;
        number -= pieces;
    }
    int64_t length = dataset_length(d, split, w.document);
    w.from = number * m->context;
    w.count = length - w.from < m->context ? length - w.from : m->context;
    w.variant = (uint64_t)w.document << 32 | (uint64_t)number << 1 | 1;
    return w;
}

/* ------------------------------------------------------------------ rows */

int example_rows_open(example_rows *r, const model *m, int64_t capacity, int64_t context, bool training,
                      pcv_error *err) {
    const model_config *c = &m->config;
    int64_t F = c->input_features;
    int status = 0;
    *r = (example_rows){.m = m, .capacity = capacity, .inputs = context};
    r->outputs = model_type_of(c) != &perceiver_io ? 1 : c->decoder.queries ? c->decoder.queries : context;
    TRY(mem_get(&r->row, (size_t)capacity * sizeof *r->row, "a batch", err));
    if (model_has_modalities(c)) {
        TRY(film_rows_open(&r->films, c, capacity, training, err));
        r->outputs = r->films.outputs;
        goto out;
    }
    TRY(mem_get(&r->wanted, (size_t)(capacity * r->outputs) * sizeof *r->wanted, "a batch", err));
    if (c->loss != LOSS_CROSS_ENTROPY)
        TRY(mem_get(&r->numbers, (size_t)(capacity * r->outputs * model_outputs(c)) * sizeof *r->numbers, "a batch",
                    err));
    if (F) TRY(mem_get(&r->features, (size_t)(capacity * r->inputs * F) * sizeof *r->features, "a batch", err));
    else TRY(mem_get(&r->ids, (size_t)(capacity * r->inputs) * sizeof *r->ids, "a batch", err));
out:
    if (status) example_rows_close(r);
    return status;
}

void example_rows_close(example_rows *r) {
    film_rows_close(&r->films);
    mem_free(r->row);
    mem_free(r->wanted);
    mem_free(r->numbers);
    mem_free(r->features);
    mem_free(r->ids);
    mem_free(r->tokens);
    mem_free(r->values);
    mem_free(r->permuted);
    *r = (example_rows){0};
}

pass example_rows_pass(const example_rows *r, int64_t latents) {
    pass p = pass_over(r->m, r->row, r->count, latents);
    p.asked = r->films.part ? r->films.asked : NULL;
    return p;
}

static int need_room(example_rows *r, int64_t count, pcv_error *err) {
    size_t wanted = (size_t)count;
    int status = 0;
    if (wanted <= r->room) return 0;
    r->room = 0;
    TRY(mem_resize(&r->tokens, wanted * sizeof *r->tokens, "a document's tokens", err));
    TRY(mem_resize(&r->values, wanted * sizeof *r->values, "a document's values", err));
    r->room = wanted;
out:
    return status;
}

/* The next row, empty, whose inputs and answers lie at its place. */
static sequence *next_row(example_rows *r) {
    int64_t F = r->m->config.input_features, i = r->count++;
    CHECK(i < r->capacity, "%lld rows", (long long)r->capacity);
    if (r->films.part) {
        r->row[i] = (sequence){.length = r->m->config.context};
        return &r->row[i];
    }
    r->row[i] = (sequence){.wanted = r->wanted + i * r->outputs};
    if (r->numbers) r->row[i].numbers = r->numbers + i * r->outputs * model_outputs(&r->m->config);
    if (F) r->row[i].features = r->features + i * r->inputs * F;
    else r->row[i].ids = r->ids + i * r->inputs;
    for (int64_t k = 0; k < r->outputs; k++) r->wanted[i * r->outputs + k] = -1;
    return &r->row[i];
}

/* ------------------------------------------------------------------ numbers */

/* x [H, W, C] from right to left. */
static void mirror(float *x, int64_t H, int64_t W, int64_t C) {
    for (int64_t y = 0; y < H; y++, x += W * C)
        for (int64_t a = 0, b = W - 1; a < b; a++, b--)
            for (int64_t k = 0; k < C; k++) {
                float swap = x[a * C + k];
                x[a * C + k] = x[b * C + k];
                x[b * C + k] = swap;
            }
}

/* Mirrored, and so is what moves to the right. */
static void change_pair(float *x, const tokenizer *t, const train_config *c, rng *random) {
    const int64_t H = t->shape[0], W = t->shape[1], C = t->shape[2], A = t->answers;
    if (!c->flip || !rng_below(random, 2)) return;
    for (int64_t f = 0; f < t->frames; f++, x += H * W * C) mirror(x, H, W, C);
    mirror(x, H, W, A);
    for (int64_t i = 0; i < H * W; i++) x[i * A] = -x[i * A];
}

/* Mirrored, moved with zeros in what is left behind, and with a square of zeros in it. */
static void change_picture(float *x, const int64_t shape[3], const train_config *c, rng *random) {
    const int64_t H = shape[0], W = shape[1], C = shape[2], row = W * C;
    bool mirrored = c->flip && rng_below(random, 2);
    int64_t reach = 2 * c->shift + 1, down = (int64_t)rng_below(random, (uint64_t)reach) - c->shift;
    int64_t right = (int64_t)rng_below(random, (uint64_t)reach) - c->shift;
    if (mirrored) mirror(x, H, W, C);
    for (int64_t i = 0; i < H && (down || right); i++) {
        int64_t y = down > 0 ? H - 1 - i : i, from = y - down; /* nothing is overwritten before it is read */
        int64_t kept = W - (right < 0 ? -right : right), at = right > 0 ? right : 0, was = right < 0 ? -right : 0;
        float *to = x + y * row;
        if (from < 0 || from >= H || kept <= 0) {
            memset(to, 0, (size_t)row * sizeof *to);
            continue;
        }
        memmove(to + at * C, x + from * row + was * C, (size_t)(kept * C) * sizeof *to);
        memset(to, 0, (size_t)(at * C) * sizeof *to);
        memset(to + (at + kept) * C, 0, (size_t)((W - at - kept) * C) * sizeof *to);
    }
    if (!c->cutout) return;
    int64_t side = c->cutout, top = (int64_t)rng_below(random, (uint64_t)H) - side / 2;
    int64_t left = (int64_t)rng_below(random, (uint64_t)W) - side / 2;
    for (int64_t y = top < 0 ? 0 : top; y < top + side && y < H; y++)
        for (int64_t a = left < 0 ? 0 : left; a < left + side && a < W; a++)
            memset(x + y * row + a * C, 0, (size_t)C * sizeof *x);
}

/* As loud as any other: a mean square of 1. What is silent stays so. */
static void level_sound(float *x, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)x[i] * (double)x[i];
    float factor = sum > 1e-9 * (double)count ? (float)sqrt((double)count / sum) : 1;
    for (int64_t i = 0; i < count; i++) x[i] *= factor;
}

/* Moved, with silence in what is left behind. */
static void change_sound(float *x, int64_t count, const train_config *c, rng *random) {
    int64_t by = (int64_t)rng_below(random, (uint64_t)(2 * c->shift + 1)) - c->shift, size = by < 0 ? -by : by;
    if (size > count) size = count;
    int64_t kept = count - size;
    memmove(by > 0 ? x + size : x, by > 0 ? x : x + size, (size_t)kept * sizeof *x);
    memset(by > 0 ? x : x + kept, 0, (size_t)size * sizeof *x);
}

/* Features of points: all of them or, of too many, as many as fit, drawn without order (Knuth vol. 2, 3.4.2 S). */
static void put_points(example_rows *r, sequence *row, const float *xyz, int64_t points, rng *random) {
    const model_config *c = &r->m->config;
    float *out = (float *)(uintptr_t)row->features; /* ours */
    int64_t wanted = points < r->inputs ? points : r->inputs;
    for (int64_t i = 0; i < points && row->length < wanted; i++) {
        double left = (double)(points - i), missing = (double)(wanted - row->length);
        if (rng_uniform(random) * left >= missing) continue;
        const double place[3] = {(double)xyz[3 * i], (double)xyz[3 * i + 1], (double)xyz[3 * i + 2]};
        fourier_features(place, 3, c->positions.resolution.v, c->positions.bands, out);
        out += c->input_features;
        row->length++;
    }
}

/* Two frames and, where they are known, the motions between them. Places where a motion is not known want nothing. */
static void put_pair(sequence *row, const tokenizer *t, const float *values, int64_t count) {
    const film_shape film = {t->frames, t->shape[0], t->shape[1], t->shape[2]};
    const int64_t pixels = film.H * film.W, frames = film.T * pixels * film.C, A = t->answers;
    float *numbers = (float *)(uintptr_t)row->numbers;
    int32_t *wanted = (int32_t *)(uintptr_t)row->wanted; /* ours, all of them */
    patches_around(values, &film, (float *)(uintptr_t)row->features);
    row->length = pixels;
    for (int64_t i = 0; i < pixels && count > frames; i++) {
        bool known = true;
        for (int64_t k = 0; k < A; k++) {
            float x = values[frames + i * A + k];
            known = known && !isnan(x);
            numbers[i * A + k] = isnan(x) ? 0 : x;
        }
        wanted[i] = known ? 0 : -1;
    }
}

/* Pixels change places, by one order for all pictures; *values becomes the picture after that, r's own. */
static int permute_pixels(example_rows *r, const film_shape *shape, uint64_t seed, const float **values,
                          pcv_error *err) {
    const int64_t pixels = shape->H * shape->W, C = shape->C;
    const shuffle order = shuffle_by(rng_at(seed, RNG_ORDER, 0, 0), (uint32_t)pixels);
    int status = r->permuted ? 0 : mem_get(&r->permuted, (size_t)(pixels * C) * sizeof *r->permuted, "a picture", err);
    for (int64_t i = 0; i < pixels && !status; i++)
        memcpy(r->permuted + i * C, *values + shuffle_at(&order, (uint32_t)i) * C, (size_t)C * sizeof *r->permuted);
    *values = r->permuted;
    return status;
}

static int put_values(example_rows *r, sequence *row, const tokenizer *t, const float *values, int64_t count,
                      int32_t label, rng *random, pcv_error *err) {
    const model_config *c = &r->m->config;
    int status = 0;
    if (tokenizer_is_film(t)) {
        row->part = film_rows_put(&r->films, row - r->row, c, t, values, label, random);
        return 0;
    }
    if (is_points(t)) {
        put_points(r, row, values, count / 3, random);
        return 0;
    }
    if (is_pair(t)) {
        put_pair(row, t, values, count);
        return 0;
    }
    const int64_t P = c->patch;
    float *out = (float *)(uintptr_t)row->features; /* ours */
    if (is_picture(t)) {
        film_shape film = {1, t->shape[0], t->shape[1], t->shape[2]};
        if (c->permute) TRY(permute_pixels(r, &film, (uint64_t)c->permute, &values, err));
        if (c->convolution) patches_windows(values, &film, STEM_SIDE, out);
        else patches_blocks(values, &film, 1, P, out);
        row->length = c->context;
        goto out;
    }
    row->length = patches_of(count, P);
    if (c->spectrum) return sound_spectra(values, count, c->spectrum, P, out, err);
    memcpy(out, values, (size_t)count * sizeof *values);
    memset(out + count, 0, (size_t)(row->length * P - count) * sizeof *values);
out:
    return status;
}

static int read_numbers(example_rows *r, sequence *row, const dataset *d, split_name split, const window *w,
                        const train_config *train, pcv_error *err) {
    const tokenizer *t = &d->tokens;
    int status = 0;
    TRY(need_room(r, w->count, err));
    TRY(dataset_read(d, split, w->document, w->from, w->count, r->tokens, err));
    t->type->values(t, r->tokens, (size_t)w->count, r->values);
    rng random = rng_make(w->variant, RNG_EXAMPLE, 1);
    int32_t label = d->classes ? d->type->label(d, split, w->document) : -1;
    if (train && is_pair(t)) change_pair(r->values, t, train, &random);
    else if (train && is_picture(t) && !tokenizer_is_film(t)) change_picture(r->values, t->shape, train, &random);
    if (is_sound(t)) level_sound(r->values, w->count);
    if (train && is_sound(t)) change_sound(r->values, w->count, train, &random);
    TRY(put_values(r, row, t, r->values, w->count, label, &random, err));
out:
    return status;
}

/* ------------------------------------------------------------------ texts */

/* Is a token part of a word, and does it begin one? Pieces of texts may have the space in front of a word. */
static bool is_word(const tokenizer *t, int32_t id, bool *begins) {
    size_t size;
    const char *piece = t->type->piece(t, id, &size);
    *begins = *begins || (size && isspace((unsigned char)piece[0]));
    return size && id >= t->first && !isspace((unsigned char)piece[size - 1]);
}

/* Each word, or each token of content, is hidden by a chance of its own: what it was is wanted, and the mask stands in
 * its place. */
static void hide_some(const tokenizer *t, mask_choice what, int32_t *ids, int64_t count, double rate, rng *random,
                      int32_t *wanted) {
    bool hidden = false, inside = false;
    for (int64_t i = 0; i < count; i++) {
        bool begins = !inside;
        inside = what == MASK_TOKENS ? ids[i] >= t->first : is_word(t, ids[i], &begins);
        if (inside && (begins || what == MASK_TOKENS)) hidden = rng_uniform(random) < rate;
        if (!inside || !hidden) continue;
        wanted[i] = ids[i];
        ids[i] = t->mask;
    }
}

static int read_text(sequence *row, const model_config *m, const dataset *d, split_name split, const window *w,
                     const train_config *train, pcv_error *err) {
    int32_t *ids = (int32_t *)(uintptr_t)row->ids, *wanted = (int32_t *)(uintptr_t)row->wanted; /* ours */
    int status = dataset_read(d, split, w->document, w->from, w->count, ids, err);
    if (status) return status;
    row->length = w->count;
    rng random = rng_make(w->variant, RNG_EXAMPLE, 1);
    if (d->classes) return 0;
    mask_choice what = (mask_choice)m->mask;
    if (train && train->mask_singles > 0 && rng_uniform(&random) < train->mask_singles) what = MASK_TOKENS;
    hide_some(&d->tokens, what, ids, w->count, train ? train->mask_rate : 0.15, &random, wanted);
    return 0;
}

/* ------------------------------------------------------------------ reading */

int example_rows_read(example_rows *r, const dataset *d, split_name split, const window *w, const train_config *train,
                      pcv_error *err) {
    sequence *row = next_row(r);
    if (d->classes && r->wanted) r->wanted[(r->count - 1) * r->outputs] = d->type->label(d, split, w->document);
    if (is_numbers(&d->tokens)) return read_numbers(r, row, d, split, w, train, err);
    return read_text(row, &r->m->config, d, split, w, train, err);
}

int example_rows_add(example_rows *r, const tokenizer *t, float *values, int64_t count, pcv_error *err) {
    int64_t most = most_tokens(t, &r->m->config), taken = count < most ? count : most;
    if (count < 1) return fail(err, PCV_DATA, "nothing in it");
    rng random = rng_make(0, RNG_EXAMPLE, 1);
    if (is_sound(t)) level_sound(values, taken);
    return put_values(r, next_row(r), t, values, taken, -1, &random, err);
}

void example_rows_add_ids(example_rows *r, const int32_t *ids, int64_t count) {
    sequence *row = next_row(r);
    row->length = count < r->inputs ? count : r->inputs;
    memcpy((int32_t *)(uintptr_t)row->ids, ids, (size_t)row->length * sizeof *ids); /* ours */
}

void example_rows_fill(example_rows *r, int64_t rows, uint64_t seed) {
    const model_config *c = &r->m->config;
    rng random = rng_make(seed, RNG_TEST, 0);
    int64_t numbers = seed && r->features ? rows * r->inputs * c->input_features : 0;
    r->count = 0;
    for (int64_t i = 0; i < numbers; i++) r->features[i] = (float)rng_normal(&random);
    for (int64_t i = 0; i < rows * r->inputs && r->ids && seed; i++)
        r->ids[i] = (int32_t)rng_below(&random, (uint64_t)c->vocab_size);
    for (int64_t i = 0; i < rows && r->films.part; i++) next_row(r)->part = film_rows_fill(&r->films, i, c, &random);
    for (int64_t i = 0; i < rows && !r->films.part; i++) {
        next_row(r)->length = r->inputs;
        for (int64_t k = 0; k < r->outputs; k++) r->wanted[i * r->outputs + k] = 0;
    }
}

int example_targets(example_rows *r, const dataset *d, split_name split, const window *w, const train_config *train,
                    int64_t *targets, pcv_error *err) {
    *targets = r->films.part ? r->outputs : 1;
    if (d->classes || r->films.part) return 0;
    r->count = 0;
    int status = example_rows_read(r, d, split, w, train, err);
    *targets = 0;
    for (int64_t k = 0; k < r->outputs && !status; k++) *targets += r->wanted[k] >= 0;
    r->count = 0;
    return status;
}
