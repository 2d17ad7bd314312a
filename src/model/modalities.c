/* Several kinds of inputs in one array, and several kinds of outputs (Jaegle et al. 2022, section 4.3 and the official
 * code's multimodal preprocessor and decoder). For each kind, in the order audio, image, label:
 *
 *     x = [numbers of an input, fourier features of its place, padding]      [M_k, C], C the widest and some more
 *     x = mask                                                              where it is hidden
 *     q = [fourier features of what is asked for | learned, padding]         [O_k, E]
 *     y = head_k(output(decoded))                                            [O_k, outputs]
 *
 * The rows of all kinds stand below each other, in X and among the queries. What is asked for is any choice of places:
 * a training step draws some, and all together are told in pieces. */
#include "model/perceiver_io.h"
#include "nn/positions.h"

#include <stdio.h>

static const param_init small = {.kind = INIT_TRUNCATED, .scale = 0.02, .decay = true};

/* ------------------------------------------------------------------ parameters */

static tensor *declare_row(model *m, const char *front, int kind, const char *name, int64_t width) {
    char full[96];
    snprintf(full, sizeof full, "%s.%s.%s", front, modality_names[kind], name);
    return width > 0 ? parameters_add(&m->params, full, 1, width, small) : NULL;
}

void modalities_declare(modality_weights w[MODALITIES], model *m) {
    const model_config *c = &m->config;
    for (int i = 0; i < MODALITIES; i++) {
        const modality_config *k = &c->modality[i];
        char name[64];
        if (!k->features) continue;
        w[i].padding = declare_row(m, "input", i, "padding", model_input_width(c) - modality_input_width(k));
        w[i].mask = declare_row(m, "input", i, "mask", model_input_width(c));
        if (!k->outputs) continue;
        w[i].query_padding = declare_row(m, "decoder", i, "padding", model_query_width(c) - modality_query_width(k));
        if (modality_is_class(k)) w[i].query = declare_row(m, "decoder", i, "query", k->query_channels);
        snprintf(name, sizeof name, "decoder.%s.output", modality_names[i]);
        w[i].head = declare_map(m, name, k->outputs, model_outputs(c), false, true);
    }
}

static const field_ints *resolution_of(const modality_config *k) {
    return k->resolution.count ? &k->resolution : &k->axes;
}

int modalities_constants(modality_weights w[MODALITIES], const model *m, pcv_error *err) {
    int status = 0;
    for (int i = 0; i < MODALITIES && !status; i++) {
        const modality_config *k = &m->config.modality[i];
        if (k->features && k->axes.count)
            status = fourier_grid(&w[i].grid, m->be, &k->axes, resolution_of(k), k->bands, err);
    }
    return status;
}

void modalities_close(modality_weights w[MODALITIES], backend *be) {
    for (int i = 0; i < MODALITIES; i++) constant_free(&w[i].grid, be);
}

/* ------------------------------------------------------------------ layout */

static int64_t asked_of(const model *m, const pass *p, int kind) {
    return p->asked ? p->asked[kind] : modality_outputs(&m->config.modality[kind]);
}

/* [B M, F] of one kind. */
static tensor *read_features(const pass *p, tape *t, int kind, int64_t M, int64_t F) {
    const float **from = tape_host(t, (size_t)p->batch * sizeof *from), *all = NULL;
    for (int64_t r = 0; r < p->batch && from; r++) from[r] = p->rows[r].part[kind].features;
    if (from) all = batch_floats(t, from, p->batch, M * F);
    return all ? tape_floats(t, all, p->batch * M, F) : &t->nothing;
}

/* Fourier features of the places that are asked for: [B O, P]. */
static tensor *grid_of_queries(const model *m, const pass *p, tape *t, int kind, int64_t outputs) {
    const modality_config *k = &m->config.modality[kind];
    const int64_t width = modality_query_width(k), rows = p->batch * outputs;
    if (modality_is_class(k) || !outputs) return NULL;
    float *values = tape_host(t, (size_t)(rows * width) * sizeof *values);
    for (int64_t i = 0; i < rows && values; i++) {
        const int32_t *asked = p->rows[i / outputs].part[kind].asked;
        fourier_place(asked ? asked[i % outputs] : i % outputs, &k->grid, resolution_of(k), k->bands,
                      values + i * width);
    }
    return values ? tape_floats(t, values, rows, width) : &t->nothing;
}

/* What outputs of one kind are to be, where they are numbers. */
static tensor *read_numbers(const model *m, const pass *p, tape *t, int kind, int64_t outputs) {
    const modality_config *k = &m->config.modality[kind];
    if (modality_is_class(k) || !p->rows[0].part[kind].numbers) return NULL;
    const float **from = tape_host(t, (size_t)p->batch * sizeof *from), *all = NULL;
    for (int64_t r = 0; r < p->batch && from; r++) from[r] = p->rows[r].part[kind].numbers;
    if (from) all = batch_floats(t, from, p->batch, outputs * k->outputs);
    return all ? tape_exact_floats(t, all, p->batch * outputs, k->outputs) : &t->nothing;
}

static int64_t more(int64_t a, int64_t b) { return a > b ? a : b; }

/* What each kind brings; s->M and s->O are there. */
static void lay_out_kind(const model *m, pass *p, tape *t, places *s, int kind, int64_t input, int64_t output,
                         int32_t *shown, int32_t *target) {
    const modality_config *k = &m->config.modality[kind];
    const int64_t M = s->part[kind].M, O = s->part[kind].O, B = s->B;
    int32_t *once = tape_host(t, (size_t)(B * more(M, O)) * sizeof *once);
    int32_t *rows = tape_host(t, (size_t)(B * O + 1) * sizeof *rows);
    int masks = 0;
    for (int i = 0; i < kind; i++) masks += m->config.modality[i].features > 0;
    if (t->status) return;
    for (int64_t i = 0; i < B * M; i++) {
        const uint8_t *hidden = p->rows[i / M].part[kind].hidden;
        int64_t at = i / M * s->M + input + i % M;
        shown[at] = (int32_t)(hidden && hidden[i % M] ? B * s->M + masks : at);
    }
    for (int64_t i = 0; i < B * O; i++) {
        const int32_t *wanted = p->rows[i / O].part[kind].wanted;
        rows[i] = (int32_t)(i / O * s->O + output + i % O);
        target[i] = wanted ? wanted[i % O] : -1;
    }
    const int_array list[] = {{&s->part[kind].once, once, B * more(M, O)}, {&p->part[kind].rows, rows, B * O},
                              {&p->part[kind].targets, O ? target : NULL, B * O}};
    tape_int_arrays(t, list, sizeof list / sizeof *list);
    if (!p->encoded) s->part[kind].features = read_features(p, t, kind, M, k->features);
    if (!O) return;
    s->part[kind].grid = grid_of_queries(m, p, t, kind, O);
    p->part[kind].numbers = read_numbers(m, p, t, kind, O);
}

void modalities_lay_out(const model *m, pass *p, tape *t, places *s) {
    const model_config *c = &m->config;
    int64_t input = 0, output = 0;
    s->M = s->O = 0;
    for (int i = 0; i < MODALITIES; i++) {
        s->part[i].M = modality_inputs(&c->modality[i]);
        s->part[i].O = p->only_latents ? 0 : asked_of(m, p, i);
        s->M += s->part[i].M;
        s->O += s->part[i].O;
    }
    int32_t *shown = tape_host(t, (size_t)(s->B * s->M) * sizeof *shown);
    int32_t *target = tape_host(t, (size_t)(s->B * s->O + 1) * sizeof *target);
    for (int i = 0; i < MODALITIES && !t->status; i++) {
        int64_t M = s->part[i].M, O = s->part[i].O;
        p->part[i] = (modality_pass){.outputs = O};
        if (O) p->part[i].factor = c->modality[i].weight * (double)s->O / (double)O;
        if (M) lay_out_kind(m, p, t, s, i, input, output, shown, target + s->B * output);
        input += M;
        output += O;
    }
    p->target = target;
    const int_array list[] = {{&s->shown, shown, s->B * s->M}, {&p->targets, target, s->B * s->O}};
    if (!t->status) tape_int_arrays(t, list, 1 + (s->O > 0));
}

/* ------------------------------------------------------------------ rows of all kinds */

/* x, and one vector behind each of its rows. */
static tensor *pad(tape *t, tensor *x, tensor *padding, tensor *once) {
    if (!padding || t->status) return x;
    return join_columns(t, x, gather(t, padding, tape_rows(t, once, 0, x->m.rows)));
}

tensor *modalities_read(tape *t, const model *m, const modality_weights w[MODALITIES], const places *s) {
    tensor *part[MODALITIES], *below[1 + MODALITIES] = {NULL};
    int kinds = 0, masks = 1;
    for (int i = 0; i < MODALITIES && !t->status; i++) {
        if (!m->config.modality[i].features) continue;
        tensor *x = s->part[i].features;
        if (w[i].grid.m.data) x = join_columns(t, x, tape_wrap(t, w[i].grid.m));
        part[kinds++] = pad(t, x, w[i].padding, s->part[i].once);
        below[masks++] = w[i].mask;
    }
    if (t->status) return &t->nothing;
    below[0] = stack_rows(t, part, kinds, s->B);
    return gather(t, stack_rows(t, below, masks, 1), s->shown);
}

tensor *modalities_ask(tape *t, const model *m, const modality_weights w[MODALITIES], const places *s) {
    tensor *part[MODALITIES];
    int kinds = 0;
    (void)m;
    for (int i = 0; i < MODALITIES && !t->status; i++) {
        if (!s->part[i].O) continue;
        tensor *q = s->part[i].grid;
        if (!q) q = gather(t, w[i].query, tape_rows(t, s->part[i].once, 0, s->B * s->part[i].O));
        part[kinds++] = pad(t, q, w[i].query_padding, s->part[i].once);
    }
    return t->status ? &t->nothing : stack_rows(t, part, kinds, s->B);
}
