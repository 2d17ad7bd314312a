/* Perceiver AR: one causal cross-attention from N latents to M inputs, then causal self-attention over
 * the latents. Read perceiver_hidden at the bottom first: it is the paper's figure.
 *
 *     X = embed(ids, positions)                                   [M, E]
 *     z = query(X at the last N positions)                        [N, Z]
 *     z = z + Attention(norm(z), norm(X)),  z = z + MLP(norm(z))  the cross-attention block
 *     z = z + Attention(norm(z), norm(z)),  z = z + MLP(norm(z))  each layer
 *     logits = head(norm(z))
 *
 * Only the cross-attention sees M; depth costs N. The dialects differ in where norms and biases stand,
 * what a query starts from and how positions enter; each difference is one switch of model_config. */
#include "model/parts.h"
#include "nn/positions.h"

#include <stdio.h>

typedef struct cross_block {
    norm_weights query_norm, input_norm;
    norm_weights met[2]; /* of queries and of keys, with qk_norm */
    linear_weights query, key_value, output;
    mlp_weights mlp;
} cross_block;

typedef struct body {
    embedding inputs;
    index_heads index;
    tensor *latent_slot;     /* [latents per position, Z] */
    tensor *learned_query;   /* [N or 1, Z] */
    linear_weights *query;   /* [query layers] */
    int64_t query_layers;
    cross_block *cross;      /* initial one first, then those after layers */
    layer_weights *layer;    /* [layers] */
    head_weights head;
    tensor cross_frequency, self_frequency; /* rotary */
} body;

/* ------------------------------------------------------------------ parameters */

static void declare_query(model *m, body *w) {
    const model_config *c = &m->config;
    int64_t E = c->input_channels, Z = c->channels;
    if (c->query == QUERY_LINEAR || c->query == QUERY_MLP) {
        w->query[w->query_layers++] =
            linear_declare(&m->params, c, "query", Z, E, c->bias == BIAS_ALL);
    }
    for (int64_t i = 0; c->query == QUERY_MLP && i < c->query_layers; i++) {
        char name[64];
        snprintf(name, sizeof name, "query_mlp.%lld", (long long)i);
        w->query[w->query_layers++] = linear_declare(&m->params, c, name, Z, Z, c->bias == BIAS_ALL);
    }
    param_init init = {.kind = INIT_TRUNCATED, .scale = 0.02};
    if (c->query >= QUERY_LEARNED)
        w->learned_query = parameters_add(&m->params, "learned_query.weight",
                                          c->query == QUERY_SHARED ? 1 : c->latents, Z, init);
    if (c->latents_per_position > 1)
        w->latent_slot = parameters_add(&m->params, "latent_slot.weight", c->latents_per_position, Z, init);
}

static cross_block declare_cross(model *m, const char *prefix) {
    const model_config *c = &m->config;
    parameters *p = &m->params;
    int64_t E = c->input_channels, Z = c->channels, C = model_attention_width(c);
    bool bias = c->bias == BIAS_ALL;
    char name[128];
    cross_block x = {0};
#define NAMED(suffix) (snprintf(name, sizeof name, "%s." suffix, prefix), name)
    if (c->latent_kv_norm != KV_NORM_SHARED) x.query_norm = norm_declare(p, c, NAMED("query_norm"), Z);
    x.input_norm = norm_declare(p, c, NAMED("input_norm"), E);
    x.query = linear_declare(p, c, NAMED("attention.query"), C, Z, bias);
    x.key_value = linear_declare(p, c, NAMED("attention.{key,value}"), 2 * C, E, bias);
    qk_norm_declare(m, x.met, prefix, C);
    x.output = branch_declare(p, c, NAMED("attention.output"), Z, C, c->bias != BIAS_NONE);
    x.mlp = mlp_declare(p, c, prefix, c->channels, c->cross_mlp_ratio);
#undef NAMED
    return x;
}

static void declare_all(model *m, body *w) {
    const model_config *c = &m->config;
    embedding_declare(&w->inputs, m);
    index_declare(&w->index, m);
    declare_query(m, w);
    int64_t crosses = 0;
    if (c->initial_cross) w->cross[crosses++] = declare_cross(m, "cross");
    for (int64_t i = 0; i < c->cross_after_layers.count; i++) {
        char name[64];
        snprintf(name, sizeof name, "cross_after.%lld", (long long)c->cross_after_layers.v[i]);
        w->cross[crosses++] = declare_cross(m, name);
    }
    for (int64_t l = 0; l < c->layers; l++) w->layer[l] = layer_declare(m, l);
    w->head = head_declare(m, w->inputs.token);
}

static int perceiver_open(model *m, pcv_error *err) {
    const model_config *c = &m->config;
    body *w = NULL;
    int status = 0;
    TRY(mem_get(&m->body, sizeof *w, "a model", err));
    w = m->body;
    TRY(mem_get(&w->query, (size_t)(c->query_layers + 1) * sizeof *w->query, "a model", err));
    TRY(mem_get(&w->cross, (size_t)(c->cross_after_layers.count + 1) * sizeof *w->cross, "a model", err));
    TRY(mem_get(&w->layer, (size_t)(c->layers + 1) * sizeof *w->layer, "a model", err));
    declare_all(m, w);
out:
    return status;
}

static int perceiver_constants(model *m, pcv_error *err) {
    const model_config *c = &m->config;
    body *w = m->body;
    int status = 0;
    TRY(embedding_constants(&w->inputs, m, err));
    if (!model_has_rotary(c)) goto out;
    TRY(rotary_frequencies(&w->cross_frequency, m->be, c, model_attention_width(c) / c->cross_heads, err));
    TRY(rotary_frequencies(&w->self_frequency, m->be, c, c->channels / c->heads, err));
out:
    return status;
}

static void perceiver_close(model *m) {
    body *w = m->body;
    if (!w) return;
    embedding_close(&w->inputs, m->be);
    constant_free(&w->cross_frequency, m->be);
    constant_free(&w->self_frequency, m->be);
    mem_free(w->query);
    mem_free(w->cross);
    mem_free(w->layer);
}

static linear_weights perceiver_head(const model *m) { return ((const body *)m->body)->head.map; }

/* ------------------------------------------------------------------ attention */

/* What the block needs beside its tensors. */
typedef struct cross_context {
    const model *m;
    const batch *b;
    const cross_block *weights;
    const kv_slab *slab;      /* of keys and values that are kept, or NULL */
    attention_map *map;       /* of the first block, or NULL */
} cross_context;

/* norm(X) for the keys and values: the inputs' norm, or for latents the queries' (krasserm). */
static tensor *norm_inputs(tape *t, const cross_context *k, tensor *x, tensor *is_latent) {
    const cross_block *w = k->weights;
    if (!is_latent) return norm_apply(t, x, &w->input_norm);
    return norm(t, x, &(norm_spec){.w = {w->input_norm.w, w->query_norm.w},
                                   .b = {w->input_norm.b, w->query_norm.b},
                                   .set = is_latent,
                                   .epsilon = w->input_norm.epsilon,
                                   .rms = w->input_norm.rms});
}

/* Keys and values of the inputs x; with caches those that are new, and then the whole slab. */
static void keys_values(tape *t, const cross_context *k, tensor *x, tensor *kv[2]) {
    const body *w = k->m->body;
    const model_config *c = &k->m->config;
    const cross_block *weights = k->weights;
    int64_t C = model_attention_width(c), from = k->b->fresh;
    tensor *is_latent = k->b->is_latent, *rope = k->b->rope;
    if (k->slab) {
        x = tape_rows(t, x, from, x->m.rows - from);
        if (is_latent) is_latent = tape_rows(t, is_latent, from, x->m.rows);
        if (rope) rope = tape_rows(t, rope, from, x->m.rows);
    }
    tensor *both = linear_apply(t, norm_inputs(t, k, x, is_latent), &weights->key_value);
    kv[0] = tape_columns(t, both, 0, C);
    kv[1] = tape_columns(t, both, C, C);
    if (c->qk_norm) kv[0] = norm_apply(t, kv[0], &weights->met[1]);
    rotary_apply(t, c, kv[0], rope, &w->cross_frequency, c->cross_heads, c->positions.rotary.head_group);
    if (!k->slab) return;
    kv_slab_put(t, k->slab, tape_rows(t, k->b->cross_put, from, x->m.rows), kv[0], kv[1]);
    kv[0] = tape_wrap(t, k->slab->k);
    kv[1] = tape_wrap(t, k->slab->v);
}

/* in: latents z [B N, Z], inputs x [B M, E] */
static tensor *cross_attend(tape *t, const void *context, tensor *const in[]) {
    const cross_context *k = context;
    const model_config *c = &k->m->config;
    const body *w = k->m->body;
    const cross_block *weights = k->weights;
    tensor *z = in[0], *kv[2];
    bool shared = c->latent_kv_norm == KV_NORM_SHARED;
    keys_values(t, k, in[1], kv);
    if (k->b->N == 0) return z; /* keys and values are all that was wanted */
    tensor *q = norm_apply(t, z, shared ? &weights->input_norm : &weights->query_norm);
    q = linear_apply(t, q, &weights->query);
    if (c->qk_norm) q = norm_apply(t, q, &weights->met[0]);
    rotary_apply(t, c, q, k->b->latent_rope, &w->cross_frequency, c->cross_heads, c->positions.rotary.head_group);
    if (k->b->blind) q = gather(t, q, k->b->blind);
    attend_spec s = k->b->cross;
    s.heads = c->cross_heads;
    s.scale = score_scale(c, q->m.cols / s.heads);
    if (k->map && weights == &w->cross[0]) {
        map_spec map = k->map->spec;
        map.offset = k->b->first;
        tape_read(t, attend_map(t, q, kv[0], &s, &map), k->map->values);
    }
    tensor *a = linear_apply(t, attend(t, q, kv[0], kv[1], &s), &weights->output);
    if (c->query_residual) return mlp_apply(t, z, a, &weights->mlp, c->dropout);
    return mlp_apply(t, a, NULL, &weights->mlp, c->dropout);
}

/* ------------------------------------------------------------------ the whole */

/* What the latents start from, [B N, Z]. */
static tensor *start_latents(tape *t, const model *m, const pass *p, const batch *b, tensor *x) {
    const body *w = m->body;
    const model_config *c = &m->config;
    if (p->queries) return tape_wrap(t, p->queries->m);
    if (w->learned_query) {
        int32_t *index = tape_host(t, (size_t)(b->B * b->N) * sizeof *index);
        if (!index) return &t->nothing;
        int64_t rows = w->learned_query->m.rows;
        for (int64_t i = 0; i < b->B * b->N; i++) /* the last of the table for the last latent */
            index[i] = (int32_t)(rows == 1 ? 0 : rows - b->N + i % b->N);
        return index_apply(t, &w->index, b, gather(t, w->learned_query, tape_ints(t, index, b->B * b->N)));
    }
    tensor *z = gather(t, x, b->latent_row);
    if (w->query_layers) z = linear_apply(t, z, &w->query[0]);
    z = index_apply(t, &w->index, b, z);
    if (b->expand) {
        embed_spec s = {.tables = 1, .table = {w->latent_slot}, .ids = {b->slot}};
        z = add(t, gather(t, z, b->expand), embed(t, &s), 0);
    }
    for (int64_t i = 1; i < w->query_layers; i++)
        z = activate(t, linear_apply(t, z, &w->query[i]), (activation)c->activation);
    return z;
}

static tensor *cross_run(tape *t, const cross_context *k, tensor *z, tensor *x) {
    return block_run(t, cross_attend, k, sizeof *k, (tensor *[]){z, x}, 2, k->m->recompute >= 1);
}

static tensor *perceiver_hidden(tape *t, model *m, pass *p) {
    const body *w = m->body;
    const model_config *c = &m->config;
    batch *b = tape_host(t, sizeof *b);
    if (!b || batch_make(b, t, m, p, p->latents)) return &t->nothing;
    cross_context cross = {.m = m, .b = b, .weights = w->cross, .slab = p->caches ? p->caches[0]->slab->cross : NULL,
                           .map = p->map};
    layer_context layer = layer_context_make(m, b);
    layer.frequency = &w->self_frequency;

    tensor *x = embedding_apply(t, &w->inputs, c, b);
    tensor *z = start_latents(t, m, p, b, x);
    if (c->initial_cross) z = cross_run(t, &cross, z, x);
    cross.weights += c->initial_cross;
    if (cross.slab) cross.slab += c->initial_cross;
    for (int64_t l = 0; l < c->layers; l++) {
        layer.weights = &w->layer[l];
        layer.index = l;
        layer.slab = layer_slab(p, l);
        if (b->N) z = layer_run(t, &layer, z);
        for (int64_t i = 0; i < c->cross_after_layers.count; i++) {
            if (c->cross_after_layers.v[i] != l) continue;
            z = cross_run(t, &cross, z, x);
            cross.weights++;
            if (cross.slab) cross.slab++;
        }
    }
    if (c->output_norm) z = norm_apply(t, z, &w->head.norm);
    return c->latents_per_position > 1 ? pool_rows(t, z, c->latents_per_position) : z;
}

/* ------------------------------------------------------------------ what it says of itself */

static const char *const settings[] = {
    "latents", "input_channels", "cross_heads", "cross_mlp_ratio", "query", "query_layers", "query_residual",
    "initial_cross", "latent_kv_norm", "cross_width", "positions.rotary.query_offset",
    "positions.rotary.cross_head_group", "latents_per_position", "self_reach", "cross_after_layers", "prefix_dropout",
    "latent_dropout", "near", "training.vary_context", "sampling.latents", NULL};

static const model_part parts[] = {
    {"token_embedding", "token embedding"}, {"position_embedding", "position embedding"}, {"query", "query"},
    {"learned_query", "query"}, {"latent_slot", "query"}, {"index", "index heads"}, {"cross", "cross-attention"},
    {"layers", "self-attention layers"}, {"output", "head"}, {0}};

static int check_cross(const model_config *c, pcv_error *err) {
    int64_t E = c->input_channels, width = model_attention_width(c);
    if (width % c->cross_heads)
        return fail(err, PCV_CONFIG, "the cross-attention has %lld channels, expected a multiple of the "
                    "%lld cross_heads", (long long)width, (long long)c->cross_heads);
    if (c->query == QUERY_IDENTITY && E != c->channels)
        return fail(err, PCV_CONFIG, "query identity needs input_channels (%lld) equal to channels (%lld)",
                    (long long)E, (long long)c->channels);
    if (c->latent_kv_norm != KV_NORM_INPUT && (c->query != QUERY_IDENTITY || !c->query_residual))
        return fail(err, PCV_CONFIG, "latent_kv_norm other than input needs query identity");
    for (int64_t i = 0; i < c->cross_after_layers.count; i++)
        if (c->cross_after_layers.v[i] >= c->layers)
            return fail(err, PCV_CONFIG, "cross_after_layers names layer %lld of %lld",
                        (long long)c->cross_after_layers.v[i], (long long)c->layers);
    return 0;
}

static int perceiver_check(const model_config *c, pcv_error *err) {
    if (c->latents > c->context)
        return fail(err, PCV_CONFIG, "latents is %lld, which is more than the context of %lld",
                    (long long)c->latents, (long long)c->context);
    if (c->latents % c->latents_per_position)
        return fail(err, PCV_CONFIG, "latents is %lld, expected a multiple of latents_per_position (%lld)",
                    (long long)c->latents, (long long)c->latents_per_position);
    if (c->latents_per_position > 1 && model_has_rotary(c))
        return fail(err, PCV_CONFIG, "latents_per_position above 1 needs positions without rotary");
    if (c->latents_per_position > 1 && c->query >= QUERY_LEARNED)
        return fail(err, PCV_CONFIG, "latents_per_position above 1 needs a query made from the embedding");
    int status = index_check(c, err);
    return status ? status : check_cross(c, err);
}

/* M inputs, of which the last U become N latents; those that are near to none are not read, and each sees M keys. */
static model_flops perceiver_flops(const model_config *c, int64_t inputs, int64_t latents) {
    double N = (double)latents, U = N / (double)c->latents_per_position, near = (double)c->near;
    double all = (double)inputs, M = near > 0 && near + U < all ? near + U - 1 : all;
    double keys = near > 0 && near < all ? near : all;
    double Z = (double)c->channels, E = (double)c->input_channels, C = (double)model_attention_width(c);
    double crosses = (double)c->initial_cross + (double)c->cross_after_layers.count;
    double cross = 2 * N * Z * C + 4 * M * E * C + 4 * N * keys * C + 2 * N * C * Z;
    double query = c->query == QUERY_LINEAR || c->query == QUERY_MLP ? 2 * U * E * Z : 0;
    cross += mlp_flops(c, c->cross_mlp_ratio, N);
    return (model_flops){.cross = crosses * cross + query, .index = index_flops(c, U),
                         .self = (double)c->layers * layer_flops(c, N, N), .head = head_flops(c, U)};
}

const model_type perceiver_ar = {
    .name = "perceiver-ar",
    .has_latents = true,
    .settings = {stack_settings, position_settings, crop_settings, index_settings, settings},
    .parts = parts,
    .check = perceiver_check,
    .flops = perceiver_flops,
    .open = perceiver_open,
    .constants = perceiver_constants,
    .close = perceiver_close,
    .hidden = perceiver_hidden,
    .head = perceiver_head,
};
