/* Perceiver (Jaegle et al. 2021, arXiv 2103.03206) and Perceiver IO (Jaegle et al. 2022, arXiv 2107.14795): an array of
 * learned latents reads all inputs by cross-attention, layers run over the latents, and either their mean is the
 * answer or a decoder asks them. Nothing is causal, and order is what positions say. Read encode and decode below
 * first: they are the papers' figures.
 *
 *     X = [content of the inputs, positions]                            [M, C]
 *     z = learned                                                       [N, D]
 *     blocks times:  z = z + Attention(norm(z), norm(X)), MLP           the first cross_attends times
 *                    z = z + Attention(norm(z), norm(z)), MLP           each layer
 *     perceiver:     head(mean(z))                                      [1, outputs]
 *     perceiver-io:  y = Attention(norm(q), norm(z)), MLP;  head(y)     [O, outputs]
 *
 * Cost is linear in M and in O, and depth costs N. Later cross-attentions share their weights, and with these their
 * keys and values, which are made once. */
#include "model/perceiver_io.h"
#include "nn/positions.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Attention from a stream to itself or to what `input_norm` takes, and the MLP behind it. Maps of one input and one
 * width are one product. */
typedef struct attention_weights {
    norm_weights query_norm, input_norm; /* input_norm absent: to itself */
    linear_weights query, key, value;    /* absent where they are part of the next */
    linear_weights together;             /* of the keys and values, or of queries, keys and values */
    linear_weights output;
    mlp_weights mlp;
    int64_t heads, qk, v;
    bool residual;
} attention_weights;

typedef struct body {
    tensor *token, *position;  /* [V, C], [M, P], or NULL */
    tensor grid, query_grid;   /* fourier positions of the inputs and of queries, or absent */
    stem_weights stem;
    linear_weights input, projection, query_projection;
    tensor *latents, *queries; /* [N, D], [O, E] */
    attention_weights cross, cross_again, decoder; /* cross_again absent: as cross */
    attention_weights *layer, *first_layer;        /* [layers] each; first_layer NULL: as layer */
    norm_weights head_norm;
    linear_weights head;
    modality_weights part[MODALITIES]; /* of several kinds of inputs */
} body;

/* ------------------------------------------------------------------ parameters */

static const param_init small = {.kind = INIT_TRUNCATED, .scale = 0.02, .decay = true}; /* decays, as published */

linear_weights declare_map(model *m, const char *name, int64_t out, int64_t in, bool zero, bool bias) {
    char full[128];
    param_init init = {.kind = zero ? INIT_ZERO : INIT_TRUNCATED, .scale = 1 / sqrt((double)in), .decay = true};
    linear_weights w = {0};
    snprintf(full, sizeof full, "%s.weight", name);
    w.w = parameters_add(&m->params, full, out, in, init);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias) w.b = parameters_add(&m->params, full, 1, out, (param_init){.kind = INIT_ZERO, .vector = true});
    return w;
}

/* cq, ck: channels of the stream and of what it looks at; ck 0: at itself. */
static attention_weights declare_attention(model *m, const char *prefix, int64_t cq, int64_t ck, int64_t qk, int64_t v,
                                           int64_t heads, double ratio, bool residual) {
    const model_config *c = &m->config;
    parameters *p = &m->params;
    bool bias = c->bias == BIAS_ALL;
    char name[128];
    attention_weights x = {.heads = heads, .qk = qk, .v = v, .residual = residual};
#define NAMED(suffix) (snprintf(name, sizeof name, "%s." suffix, prefix), name)
    if (ck) {
        x.query_norm = norm_declare(p, c, NAMED("query_norm"), cq);
        x.input_norm = norm_declare(p, c, NAMED("input_norm"), ck);
    } else x.query_norm = norm_declare(p, c, NAMED("norm"), cq);
    if (!ck && qk == v) x.together = linear_declare(p, c, NAMED("attention.{query,key,value}"), 3 * qk, cq, bias);
    else x.query = linear_declare(p, c, NAMED("attention.query"), qk, cq, bias);
    if (ck && qk == v) x.together = linear_declare(p, c, NAMED("attention.{key,value}"), 2 * qk, ck, bias);
    if (qk != v) {
        x.key = linear_declare(p, c, NAMED("attention.key"), qk, ck ? ck : cq, bias);
        x.value = linear_declare(p, c, NAMED("attention.value"), v, ck ? ck : cq, bias);
    }
    x.output = branch_declare(p, c, NAMED("attention.output"), cq, v, bias);
    x.mlp = mlp_declare(p, c, prefix, cq, ratio);
#undef NAMED
    return x;
}

static attention_weights declare_cross(model *m, const char *prefix) {
    const model_config *c = &m->config;
    const attention_widths w = perceiver_widths(c);
    return declare_attention(m, prefix, c->channels, model_input_width(c), w.cross_qk, w.cross_v, c->cross_heads,
                             c->cross_mlp_ratio, c->query_residual);
}

static void declare_layers(model *m, const char *prefix, attention_weights *layer) {
    const model_config *c = &m->config;
    const attention_widths w = perceiver_widths(c);
    for (int64_t l = 0; l < c->layers; l++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%lld", prefix, (long long)l);
        layer[l] = declare_attention(m, name, c->channels, 0, w.layer_qk, w.layer_v, c->heads, c->mlp_ratio, true);
    }
}

static void declare_inputs(model *m, body *w) {
    const model_config *c = &m->config;
    param_init tokens = {.kind = INIT_TRUNCATED, .scale = c->embedding_scale};
    if (!c->input_features)
        w->token = parameters_add(&m->params, "token_embedding.weight", c->vocab_size, c->input_channels, tokens);
    else if (c->convolution) stem_declare(&w->stem, m);
    else if (c->input_channels)
        w->input = declare_map(m, "input.linear", c->input_channels, c->input_features, false, true);
    if (c->positions.kind == POSITION_LEARNED)
        w->position = parameters_add(&m->params, "position_embedding.0.weight", c->context, c->positions.channels,
                                     small);
    if (c->positions.projected)
        w->projection = declare_map(m, "input.position_projection", c->positions.projected,
                                    w->position ? c->positions.channels : model_fourier_width(c, &c->positions.axes),
                                    false, true);
}

static void declare_decoder(model *m, body *w) {
    const model_config *c = &m->config;
    int64_t E = model_query_width(c), D = c->channels;
    if (c->decoder.query == ASK_LEARNED && !model_has_modalities(c))
        w->queries = parameters_add(&m->params, "decoder.query.weight", or_else(c->decoder.queries, c->context), E,
                                    small);
    if (c->decoder.query == ASK_FOURIER && c->decoder.channels)
        w->query_projection =
            declare_map(m, "decoder.query_projection", E, model_fourier_width(c, &c->decoder.axes), false, true);
    w->decoder = declare_attention(m, "decoder.cross", E, D, c->decoder.qk_channels, c->decoder.v_channels,
                                   c->decoder.heads, c->decoder.mlp_ratio, c->decoder.residual);
}

static void declare_head(model *m, body *w) {
    const model_config *c = &m->config;
    int64_t width = perceiver_decodes(c) ? model_query_width(c) : c->channels;
    if (c->output_norm) w->head_norm = norm_declare(&m->params, c, "output_norm", width);
    if (!c->tied_embeddings) {
        w->head = declare_map(m, "decoder.output", model_outputs(c), width, c->zero_head, c->output_bias);
        return;
    }
    w->head.w = w->token;
    if (c->output_bias)
        w->head.b = parameters_add(&m->params, "output.bias", 1, c->vocab_size,
                                   (param_init){.kind = INIT_ZERO, .vector = true});
}

static int perceiver_open(model *m, pcv_error *err) {
    const model_config *c = &m->config;
    bool again = c->encoder.cross_attends > 1 && !c->encoder.share_first_cross;
    bool first = c->encoder.blocks > 1 && !c->encoder.share_first_block;
    body *w = NULL;
    int status = 0;
    TRY(mem_get(&m->body, sizeof *w, "a model", err));
    w = m->body;
    TRY(mem_get(&w->layer, (size_t)(c->layers + 1) * sizeof *w->layer, "a model", err));
    if (first) TRY(mem_get(&w->first_layer, (size_t)(c->layers + 1) * sizeof *w->layer, "a model", err));
    if (model_has_modalities(c)) modalities_declare(w->part, m);
    else declare_inputs(m, w);
    w->latents = parameters_add(&m->params, "latents.weight", c->latents, c->channels, small);
    w->cross = declare_cross(m, "cross");
    if (again) w->cross_again = declare_cross(m, "cross_again");
    if (first) declare_layers(m, "first_layers", w->first_layer);
    declare_layers(m, "layers", w->layer);
    if (perceiver_decodes(c)) declare_decoder(m, w);
    declare_head(m, w);
out:
    return status;
}

static int perceiver_constants(model *m, pcv_error *err) {
    const model_config *c = &m->config;
    const field_ints *resolution = &c->positions.resolution;
    body *w = m->body;
    int status = modalities_constants(w->part, m, err);
    if (!status && c->positions.kind == POSITION_FOURIER)
        status = fourier_grid(&w->grid, m->be, &c->positions.axes, resolution, c->positions.bands, err);
    if (!status && perceiver_decodes(c) && c->decoder.query == ASK_FOURIER)
        status = fourier_grid(&w->query_grid, m->be, &c->decoder.axes, resolution, c->positions.bands, err);
    return status;
}

static void perceiver_close(model *m) {
    body *w = m->body;
    if (!w) return;
    constant_free(&w->grid, m->be);
    constant_free(&w->query_grid, m->be);
    modalities_close(w->part, m->be);
    mem_free(w->layer);
    mem_free(w->first_layer);
}

static linear_weights perceiver_head(const model *m) { return ((const body *)m->body)->head; }

static linear_weights part_head(const model *m, int kind) { return ((const body *)m->body)->part[kind].head; }

/* ------------------------------------------------------------------ attention */

typedef struct attention_context {
    const model *m;
    const attention_weights *w;
    attend_spec seen;
    attention_map *map; /* or NULL */
} attention_context;

static attention_context context_of(const model *m, const attention_weights *w, const attend_spec *seen) {
    attention_context k = {.m = m, .w = w, .seen = *seen};
    k.seen.heads = w->heads;
    k.seen.scale = score_scale(&m->config, w->qk / w->heads);
    return k;
}

/* The kernels have one width for keys and values. Zeros behind the narrower ones change no sum. */
static tensor *attend_widths(tape *t, const attention_context *k, tensor *q, tensor *key, tensor *value) {
    int64_t heads = k->w->heads, own = k->w->v / heads, width = k->w->qk > k->w->v ? k->w->qk / heads : own;
    q = resize_heads(t, q, heads, width);
    key = resize_heads(t, key, heads, width);
    value = resize_heads(t, value, heads, width);
    if (k->map) tape_read(t, attend_map(t, q, key, &k->seen, &k->map->spec), k->map->values);
    return resize_heads(t, attend(t, q, key, value, &k->seen), heads, own);
}

static tensor *behind_attention(tape *t, const attention_context *k, tensor *z, tensor *attended) {
    const attention_weights *w = k->w;
    tensor *a = linear_apply(t, attended, &w->output);
    if (w->residual) return mlp_apply(t, z, a, &w->mlp, k->m->config.dropout);
    return mlp_apply(t, a, NULL, &w->mlp, k->m->config.dropout);
}

/* in: the stream z */
static tensor *attend_itself(tape *t, const void *context, tensor *const in[]) {
    const attention_context *k = context;
    const attention_weights *w = k->w;
    tensor *n = norm_apply(t, in[0], &w->query_norm), *q, *key, *value;
    if (w->together.w) {
        tensor *all = linear_apply(t, n, &w->together);
        q = tape_columns(t, all, 0, w->qk);
        key = tape_columns(t, all, w->qk, w->qk);
        value = tape_columns(t, all, 2 * w->qk, w->v);
    } else {
        q = linear_apply(t, n, &w->query);
        key = linear_apply(t, n, &w->key);
        value = linear_apply(t, n, &w->value);
    }
    return behind_attention(t, k, in[0], attend_widths(t, k, q, key, value));
}

/* in: the stream z, keys, values */
static tensor *attend_others(tape *t, const void *context, tensor *const in[]) {
    const attention_context *k = context;
    tensor *q = linear_apply(t, norm_apply(t, in[0], &k->w->query_norm), &k->w->query);
    return behind_attention(t, k, in[0], attend_widths(t, k, q, in[1], in[2]));
}

/* Keys and values side by side. in: what is looked at */
static tensor *look_at(tape *t, const void *context, tensor *const in[]) {
    const attention_context *k = context;
    const attention_weights *w = k->w;
    tensor *n = norm_apply(t, in[0], &w->input_norm);
    if (w->together.w) return linear_apply(t, n, &w->together);
    return join_columns(t, linear_apply(t, n, &w->key), linear_apply(t, n, &w->value));
}

/* ------------------------------------------------------------------ the whole */

/* A fixed table, or rows of it. */
static tensor *grid_rows(tape *t, const tensor *grid, int64_t rows, tensor *index, bool in_order) {
    tensor *all = tape_wrap(t, grid->m);
    if (!in_order) return gather(t, all, index);
    return rows < all->m.rows ? tape_rows(t, all, 0, rows) : all;
}

/* X [B M, C] */
static tensor *inputs(tape *t, const model *m, const places *s) {
    const body *w = m->body;
    const model_config *c = &m->config;
    tensor *x = s->features, *position = NULL;
    if (model_has_modalities(c)) return modalities_read(t, m, w->part, s);
    if (w->token) x = embed(t, &(embed_spec){.tables = 1, .table = {w->token}, .ids = {s->ids}});
    else if (c->convolution) x = stem_run(t, m, &w->stem, x, s->maxima);
    else if (w->input.w) x = linear_apply(t, x, &w->input);
    if (w->position) position = gather(t, w->position, s->place);
    else if (w->grid.m.data) position = grid_rows(t, &w->grid, s->M, s->place, s->in_order);
    if (!position) return x;
    if (w->projection.w) position = linear_apply(t, position, &w->projection);
    if (c->positions.join == JOIN_CONCAT) return join_columns(t, x, position);
    return add(t, x, position->m.rows < x->m.rows ? gather(t, position, s->place) : position, 0);
}

/* What is asked with, [B O, E]. */
static tensor *questions(tape *t, const model *m, const places *s, tensor *x) {
    const body *w = m->body;
    if (model_has_modalities(&m->config)) return modalities_ask(t, m, w->part, s);
    if (w->queries) return gather(t, w->queries, s->query);
    if (m->config.decoder.query == ASK_INPUTS) return s->all_asked ? x : gather(t, x, s->query);
    tensor *q = gather(t, tape_wrap(t, w->query_grid.m), s->query);
    return w->query_projection.w ? linear_apply(t, q, &w->query_projection) : q;
}

static tensor *cross_run(tape *t, const attention_context *k, tensor *z, tensor *seen) {
    tensor *key = tape_columns(t, seen, 0, k->w->qk), *value = tape_columns(t, seen, k->w->qk, k->w->v);
    return block_run(t, attend_others, k, sizeof *k, (tensor *[]){z, key, value}, 3, k->m->recompute >= 1);
}

static tensor *keys_values(tape *t, const attention_context *k, tensor *x) {
    void *kept = tape_host(t, sizeof *k);
    if (!kept) return &t->nothing;
    memcpy(kept, k, sizeof *k);
    return tape_block(t, look_at, kept, &x, 1, k->m->recompute >= 1);
}

/* The latents that have read all inputs, [B N, D]. */
static tensor *encode(tape *t, const model *m, const pass *p, const places *s, tensor *x) {
    const body *w = m->body;
    const model_config *c = &m->config;
    const attention_weights *cross = &w->cross;
    tensor *z = gather(t, w->latents, s->latent), *seen = NULL;
    for (int64_t b = 0; b < c->encoder.blocks; b++) {
        if (b == 1 && w->cross_again.query.w) {
            cross = &w->cross_again;
            seen = NULL;
        }
        if (b < c->encoder.cross_attends) {
            attention_context k = context_of(m, cross, &s->cross);
            if (b == 0) k.map = p->map;
            if (!seen) seen = keys_values(t, &k, x);
            z = cross_run(t, &k, z, seen);
        }
        const attention_weights *layer = b == 0 && w->first_layer ? w->first_layer : w->layer;
        for (int64_t l = 0; l < c->layers; l++) {
            attention_context k = context_of(m, &layer[l], &s->layers);
            z = block_run(t, attend_itself, &k, sizeof k, &z, 1, m->recompute >= 2);
        }
    }
    return z;
}

/* What the queries get from the latents, [B O, E]; x: inputs to ask with. */
static tensor *decode(tape *t, const model *m, const places *s, tensor *z, tensor *x) {
    const body *w = m->body;
    attention_context k = context_of(m, &w->decoder, &s->decoder);
    return cross_run(t, &k, questions(t, m, s, x), keys_values(t, &k, z));
}

static tensor *perceiver_hidden(tape *t, model *m, pass *p) {
    const body *w = m->body;
    places *s = tape_host(t, sizeof *s);
    if (!s) return &t->nothing;
    perceiver_lay_out(m, p, t, s);
    if (t->status) return &t->nothing;
    bool reads = !p->encoded || m->config.decoder.query == ASK_INPUTS;
    tensor *x = reads ? inputs(t, m, s) : NULL;
    tensor *z = p->encoded ? tape_floats(t, p->encoded, s->B * s->N, m->config.channels) : encode(t, m, p, s, x);
    if (p->only_latents) return z;
    tensor *y = perceiver_decodes(&m->config) ? decode(t, m, s, z, x) : pool_rows(t, z, s->N);
    return m->config.output_norm ? norm_apply(t, y, &w->head_norm) : y;
}

/* ------------------------------------------------------------------ what they say of themselves */

static const model_part parts[] = {
    {"token_embedding", "token embedding"}, {"position_embedding", "position embedding"}, {"input", "input maps"},
    {"latents", "latents"}, {"cross", "cross-attention"}, {"layers", "self-attention layers"}, {"decoder", "decoder"},
    {"output", "head"}, {"first_layers", "self-attention layers"}, {0}};
static const model_part parts_io[] = {
    {"token_embedding", "token embedding"}, {"position_embedding", "position embedding"}, {"input", "input maps"},
    {"latents", "latents"}, {"cross", "cross-attention"}, {"layers", "self-attention layers"}, {"decoder", "decoder"},
    {"output", "head"}, {0}};

const model_type perceiver = {
    .name = "perceiver",
    .has_latents = true,
    .answers = true,
    .settings = {stack_settings, perceiver_settings, perceiver_repeats},
    .parts = parts,
    .complete = perceiver_complete,
    .check = perceiver_check,
    .flops = perceiver_flops,
    .open = perceiver_open,
    .constants = perceiver_constants,
    .begin = perceiver_begin,
    .close = perceiver_close,
    .hidden = perceiver_hidden,
    .head = perceiver_head,
};
const model_type perceiver_io = {
    .name = "perceiver-io",
    .has_latents = true,
    .answers = true,
    .settings = {stack_settings, perceiver_settings, perceiver_decoder, perceiver_modalities},
    .parts = parts_io,
    .complete = perceiver_complete,
    .check = perceiver_check,
    .flops = perceiver_flops,
    .open = perceiver_open,
    .constants = perceiver_constants,
    .begin = perceiver_begin,
    .close = perceiver_close,
    .hidden = perceiver_hidden,
    .head = perceiver_head,
    .part_head = part_head,
};
