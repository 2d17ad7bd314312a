/* Who sees whom in a perceiver: latents all inputs of their row, and each other; queries all latents. */
#include "model/perceiver_io.h"

#include <string.h>

/* Inputs of a row that are part of it. */
static int64_t real_inputs(const sequence *s) { return s->length - s->padding; }

static int64_t count_outputs(const model_config *c, const pass *p, int64_t inputs) {
    if (p->only_latents) return p->latents;
    if (!perceiver_decodes(c)) return 1;
    return p->outputs ? p->outputs : or_else(c->decoder.queries, inputs);
}

static int64_t asked_at(const sequence *row, int64_t output) { return row->asked ? row->asked[output] : output; }

/* The input of a row that is read as number i: what is encoded already is read only to ask with. */
static int64_t input_at(const pass *p, const sequence *row, int64_t i) { return p->encoded ? asked_at(row, i) : i; }

static int32_t *place_inputs(const model *m, const pass *p, tape *t, places *s, int32_t **ids) {
    int32_t *place = tape_host(t, (size_t)(s->B * s->M) * sizeof *place);
    *ids = m->config.input_features ? NULL : tape_host(t, (size_t)(s->B * s->M) * sizeof **ids);
    s->in_order = true;
    for (int64_t i = 0; i < s->B * s->M && !t->status; i++) {
        const sequence *row = &p->rows[i / s->M];
        int64_t n = input_at(p, row, i % s->M);
        bool real = n < row->length;
        place[i] = real ? row->positions[0] ? row->positions[0][n] : (int32_t)n : -1;
        if (*ids) (*ids)[i] = real ? row->ids[n] : -1;
        s->in_order = s->in_order && (!real || place[i] == i % s->M);
    }
    return place;
}

/* What each output is asked for with: a row of the queries or, where the inputs ask, of them. */
static int32_t *ask(const model *m, const pass *p, tape *t, places *s) {
    int32_t *query = tape_host(t, (size_t)(s->B * s->O) * sizeof *query);
    bool inputs = m->config.decoder.query == ASK_INPUTS;
    s->all_asked = s->M == s->O;
    for (int64_t i = 0; query && i < s->B * s->O; i++) {
        int64_t row = i / s->O, asked = asked_at(&p->rows[row], i % s->O), at = p->encoded ? i % s->O : asked;
        query[i] = (int32_t)(inputs ? row * s->M + at : asked);
        s->all_asked = s->all_asked && at == i % s->O;
    }
    return query;
}

static void find_targets(pass *p, tape *t, const places *s, int32_t **target) {
    bool any = false;
    *target = tape_host(t, (size_t)(s->B * s->O) * sizeof **target);
    for (int64_t i = 0; *target && i < s->B * s->O; i++) {
        const int32_t *wanted = p->only_latents ? NULL : p->rows[i / s->O].wanted;
        (*target)[i] = wanted ? wanted[i % s->O] : -1;
        any = any || wanted;
    }
    p->target = *target;
    if (!any) *target = NULL;
}

static tensor *read_features(const model *m, const pass *p, tape *t, const places *s) {
    int64_t F = m->config.input_features, width = s->M * F, parts = m->config.convolution ? STEM_PARTS : 1;
    if (!F) return NULL;
    if (s->B == 1 && !p->encoded) return tape_floats(t, p->rows[0].features, s->M * parts, F / parts);
    float *values = tape_host(t, (size_t)(s->B * width) * sizeof *values);
    for (int64_t r = 0; r < s->B && values && !p->encoded; r++)
        memcpy(values + r * width, p->rows[r].features, (size_t)(p->rows[r].length * F) * sizeof *values);
    for (int64_t i = 0; i < s->B * s->M && values && p->encoded; i++) {
        const sequence *row = &p->rows[i / s->M];
        memcpy(values + i * F, row->features + input_at(p, row, i % s->M) * F, (size_t)F * sizeof *values);
    }
    return values ? tape_floats(t, values, s->B * s->M * parts, F / parts) : &t->nothing;
}

const float *batch_floats(tape *t, const float *const *from, int64_t batch_rows, int64_t count) {
    if (batch_rows == 1 && from[0]) return from[0];
    float *all = tape_host(t, (size_t)(batch_rows * count) * sizeof *all);
    for (int64_t r = 0; r < batch_rows && all; r++)
        if (from[r]) memcpy(all + r * count, from[r], (size_t)count * sizeof *all);
    return all;
}

/* What outputs are to be, where they are numbers. */
static tensor *read_numbers(const model *m, const pass *p, tape *t, const places *s) {
    const int64_t K = model_outputs(&m->config);
    if (m->config.loss == LOSS_CROSS_ENTROPY || !p->target) return NULL;
    const float **from = tape_host(t, (size_t)s->B * sizeof *from), *all = NULL;
    for (int64_t r = 0; r < s->B && from; r++) from[r] = p->rows[r].numbers;
    if (from) all = batch_floats(t, from, s->B, s->O * K);
    return all ? tape_exact_floats(t, all, s->B * s->O, K) : &t->nothing;
}

/* Latents see the inputs of their row and each other, queries the latents. Queries that ask for padding of the inputs
 * see nothing, as published. */
static void see_all(const model *m, const pass *p, tape *t, const places *s, int32_t *end[3]) {
    bool by_input = perceiver_decodes(&m->config) && !m->config.decoder.queries;
    int64_t latents = s->B * s->N, queries = s->B * s->O;
    end[0] = tape_host(t, (size_t)latents * sizeof **end);
    end[1] = tape_host(t, (size_t)latents * sizeof **end);
    end[2] = tape_host(t, (size_t)queries * sizeof **end);
    for (int64_t i = 0; i < latents && !t->status; i++) {
        end[0][i] = (int32_t)real_inputs(&p->rows[i / s->N]);
        end[1][i] = (int32_t)s->N;
    }
    for (int64_t i = 0; i < queries && !t->status; i++) {
        const sequence *row = &p->rows[i / s->O];
        int64_t asked = asked_at(row, i % s->O);
        end[2][i] = (int32_t)(by_input && asked >= real_inputs(row) ? 0 : s->N);
    }
}

void perceiver_lay_out(const model *m, pass *p, tape *t, places *s) {
    const model_config *c = &m->config;
    *s = (places){.B = p->batch, .M = all_positions(p), .N = p->latents};
    s->O = count_outputs(c, p, s->M);
    const bool parts = model_has_modalities(c);
    if (p->encoded) s->M = s->O;
    if (parts) modalities_lay_out(m, p, t, s);
    int64_t inputs = parts ? 0 : s->B * s->M, latents = s->B * s->N, queries = s->B * s->O;
    int32_t *ids = NULL, *target = NULL, *end[3], *place = NULL, *query = NULL, *maxima = NULL;
    int64_t pooled = c->convolution && !p->encoded ? inputs * STEM_POOL : 0;
    if (!parts) place = place_inputs(m, p, t, s, &ids);
    if (!parts) query = ask(m, p, t, s);
    int32_t *latent = tape_host(t, (size_t)latents * sizeof *latent);
    int32_t *none = tape_host(t, (size_t)(latents > queries ? latents : queries) * sizeof *none);
    if (pooled) maxima = tape_host(t, (size_t)pooled * sizeof *maxima);
    if (maxima) stem_places(m, s->B, maxima);
    for (int64_t i = 0; i < latents && latent; i++) latent[i] = (int32_t)(i % s->N);
    see_all(m, p, t, s, end);
    p->positions = s->O;
    p->layer_rows = s->N;
    if (!parts) find_targets(p, t, s, &target);
    if (t->status) return;
    const int_array list[] = {{&s->ids, ids, inputs}, {&s->place, place, inputs}, {&s->latent, latent, latents},
                              {&s->query, query, queries}, {&s->cross.begin, none, latents},
                              {&s->cross.end, end[0], latents}, {&s->layers.begin, none, latents},
                              {&s->layers.end, end[1], latents}, {&s->decoder.begin, none, queries},
                              {&s->decoder.end, end[2], queries}, {&s->maxima, maxima, pooled},
                              {&p->targets, target, queries}};
    /* the targets of several kinds are there already */
    tape_int_arrays(t, list, sizeof list / sizeof *list - parts);
    if (!parts && (!p->encoded || c->decoder.query == ASK_INPUTS)) s->features = read_features(m, p, t, s);
    if (target) p->numbers = read_numbers(m, p, t, s);
    s->cross.batch = s->layers.batch = s->decoder.batch = s->B;
}
