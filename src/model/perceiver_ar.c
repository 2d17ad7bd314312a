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
#include "model/perceiver_ar.h"
#include "model/batch.h"
#include "nn/positions.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct cross_block {
    norm_weights query_norm, input_norm;
    norm_weights met[2]; /* of queries and of keys, with qk_norm */
    linear_weights query, key_value, output;
    mlp_weights mlp;
} cross_block;

typedef struct self_block {
    norm_weights norm, met[2];
    linear_weights qkv, output;
    mlp_weights mlp;
} self_block;

typedef struct body {
    tensor *token_embedding;                  /* [V, E] */
    tensor *position_embedding[POSITION_AXES]; /* learned: [rows, E] */
    tensor *latent_slot;                      /* [latents per position, Z] */
    tensor *learned_query;                    /* [N or 1, Z] */
    linear_weights *query;                    /* [query layers] */
    int64_t query_layers;
    cross_block *cross; /* initial one first, then those after layers */
    self_block *layer;  /* [layers] */
    norm_weights output_norm;
    linear_weights head;
    tensor low, high;                        /* fixed position code */
    tensor cross_frequency, self_frequency; /* rotary */
} body;

/* ------------------------------------------------------------------ parameters */

static param_init table_init(const model_config *c) {
    init_kind kind = c->init == WEIGHTS_FAN_IN ? INIT_TRUNCATED : INIT_NORMAL;
    return (param_init){.kind = kind, .scale = c->embedding_scale};
}

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

/* Gains of normalized queries and keys of `channels`. */
static void declare_met(model *m, norm_weights met[2], const char *prefix, int64_t channels) {
    static const char *const parts[] = {"query", "key"};
    for (int i = 0; i < 2 && m->config.qk_norm; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s.attention.%s_norm.weight", prefix, parts[i]);
        met[i] = (norm_weights){.rms = true, .epsilon = (float)m->config.norm_epsilon};
        met[i].w = parameters_add(&m->params, name, 1, channels, (param_init){.kind = INIT_ONE, .vector = true});
    }
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
    declare_met(m, x.met, prefix, C);
    x.output = branch_declare(p, c, NAMED("attention.output"), Z, C, c->bias != BIAS_NONE);
    x.mlp = mlp_declare(p, c, prefix, c->cross_mlp_ratio);
    return x;
}

static self_block declare_layer(model *m, int64_t l) {
    const model_config *c = &m->config;
    parameters *p = &m->params;
    int64_t Z = c->channels;
    bool bias = c->bias == BIAS_ALL;
    char prefix[64], name[128];
    snprintf(prefix, sizeof prefix, "layers.%lld", (long long)l);
    self_block x = {.norm = norm_declare(p, c, NAMED("norm"), Z)};
    x.qkv = linear_declare(p, c, NAMED("attention.{query,key,value}"), 3 * Z, Z, bias);
    declare_met(m, x.met, prefix, Z);
    x.output = branch_declare(p, c, NAMED("attention.output"), Z, Z, bias);
    x.mlp = mlp_declare(p, c, prefix, c->mlp_ratio);
    return x;
#undef NAMED
}

static void declare_head(model *m, body *w) {
    const model_config *c = &m->config;
    if (c->output_norm) w->output_norm = norm_declare(&m->params, c, "output_norm", c->channels);
    param_init init = {.kind = c->init == WEIGHTS_FAN_IN ? INIT_FAN_IN : INIT_NORMAL,
                       .scale = c->init_scale, .decay = true};
    if (c->zero_head) init.kind = INIT_ZERO;
    w->head.w = c->tied_embeddings
                    ? w->token_embedding
                    : parameters_add(&m->params, "output.weight", c->vocab_size, c->channels, init);
    if (c->output_bias)
        w->head.b = parameters_add(&m->params, "output.bias", 1, c->vocab_size,
                                   (param_init){.kind = INIT_ZERO, .vector = true});
}

static void declare_all(model *m, body *w) {
    const model_config *c = &m->config;
    int64_t E = c->input_channels;
    w->token_embedding =
        parameters_add(&m->params, "token_embedding.weight", c->vocab_size, E, table_init(c));
    for (int a = 0; c->positions.kind == POSITION_LEARNED && a < c->positions.axes.count; a++) {
        char name[64];
        snprintf(name, sizeof name, "position_embedding.%d.weight", a);
        w->position_embedding[a] =
            parameters_add(&m->params, name, c->positions.axes.v[a], E, table_init(c));
    }
    declare_query(m, w);
    int64_t crosses = 0;
    if (c->initial_cross) w->cross[crosses++] = declare_cross(m, "cross");
    for (int64_t i = 0; i < c->cross_after_layers.count; i++) {
        char name[64];
        snprintf(name, sizeof name, "cross_after.%lld", (long long)c->cross_after_layers.v[i]);
        w->cross[crosses++] = declare_cross(m, name);
    }
    for (int64_t l = 0; l < c->layers; l++) w->layer[l] = declare_layer(m, l);
    declare_head(m, w);
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
    int status = 0, kind = c->positions.kind;
    if (kind == POSITION_SINUSOIDAL || kind == POSITION_FOURIER)
        TRY(harmonic_factors(&w->low, &w->high, m->be, (position_kind)kind, c->positions.scale,
                             c->positions.axes.v[0], c->input_channels, err));
    if (!model_has_rotary(c)) goto out;
    TRY(rotary_frequencies(&w->cross_frequency, m->be, c, model_attention_width(c) / c->cross_heads, err));
    TRY(rotary_frequencies(&w->self_frequency, m->be, c, c->channels / c->heads, err));
out:
    return status;
}

static void perceiver_close(model *m) {
    body *w = m->body;
    if (!w) return;
    constant_free(&w->low, m->be);
    constant_free(&w->high, m->be);
    constant_free(&w->cross_frequency, m->be);
    constant_free(&w->self_frequency, m->be);
    mem_free(w->query);
    mem_free(w->cross);
    mem_free(w->layer);
}

static linear_weights perceiver_head(const model *m) { return ((const body *)m->body)->head; }

/* ------------------------------------------------------------------ attention */

/* What a block needs beside its tensors; lives in the tape's arena for the step. */
typedef struct block_context {
    const model *m;
    const batch *b;
    const void *weights;
    kv_cache *cache;
    int64_t index; /* of a self-attention layer */
    const model_input *in;
} block_context;

static float score_scale(const model_config *c, int64_t width) {
    return c->scale_scores ? 1 / sqrtf((float)width) : 1;
}

/* Rotary positions on x [rows, heads D]; group as in rotary_config.head_group. */
static void turn(tape *t, const model_config *c, tensor *x, tensor *positions,
                 const tensor *frequency, int64_t heads, int64_t group) {
    if (!model_has_rotary(c) || frequency->m.cols == 0) return;
    rotate_spec s = {.positions = positions, .heads = heads, .group = group ? group : heads};
    s.frequency = tape_wrap(t, frequency->m);
    s.chosen = (int64_t)(c->positions.rotary.heads * (double)s.group + 1e-9);
    s.interleaved = c->positions.rotary.layout == ROTARY_INTERLEAVED;
    rotate(t, x, &s);
}

/* norm(X) for the keys and values: the inputs' norm, or for latents the queries' (krasserm). */
static tensor *norm_inputs(tape *t, const block_context *k, tensor *x, tensor *is_latent) {
    const cross_block *w = k->weights;
    if (!is_latent) return norm_apply(t, x, &w->input_norm);
    return norm(t, x, &(norm_spec){.w = {w->input_norm.w, w->query_norm.w},
                                   .b = {w->input_norm.b, w->query_norm.b},
                                   .set = is_latent,
                                   .epsilon = w->input_norm.epsilon,
                                   .rms = w->input_norm.rms});
}

/* Keys and values of the inputs x, from row `from` on; with a cache, all that it then holds. */
static void keys_values(tape *t, const block_context *k, tensor *x, tensor *kv[2]) {
    const body *w = k->m->body;
    const model_config *c = &k->m->config;
    const cross_block *weights = k->weights;
    int64_t C = model_attention_width(c), from = 0, start = k->in->rows[0].before;
    tensor *is_latent = k->b->is_latent, *rope = k->b->rope;
    if (k->cache) {
        from = k->in->cache->final > start ? k->in->cache->final - start : 0;
        x = tape_rows(t, x, from, x->m.rows - from);
        if (is_latent) is_latent = tape_rows(t, is_latent, from, x->m.rows);
        if (rope) rope = tape_rows(t, rope, from, x->m.rows);
    }
    tensor *both = linear_apply(t, norm_inputs(t, k, x, is_latent), &weights->key_value);
    kv[0] = tape_columns(t, both, 0, C);
    kv[1] = tape_columns(t, both, C, C);
    if (c->qk_norm) kv[0] = norm_apply(t, kv[0], &weights->met[1]);
    turn(t, c, kv[0], rope, &w->cross_frequency, c->cross_heads, c->positions.rotary.head_group);
    if (!k->cache) return;
    kv_cache_put(t, k->cache, start + from - k->in->cache->first, kv[0], kv[1]);
    kv[0] = tape_wrap(t, matrix_rows(k->cache->k.m, 0, k->cache->count));
    kv[1] = tape_wrap(t, matrix_rows(k->cache->v.m, 0, k->cache->count));
}

/* in: latents z [B N, Z], inputs x [B M, E] */
static tensor *cross_attend(tape *t, const void *context, tensor *const in[]) {
    const block_context *k = context;
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
    turn(t, c, q, k->b->latent_rope, &w->cross_frequency, c->cross_heads, c->positions.rotary.head_group);
    if (k->b->blind) q = gather(t, q, k->b->blind);
    attend_spec s = k->b->cross;
    s.heads = c->cross_heads;
    s.scale = score_scale(c, q->m.cols / s.heads);
    attention_map *map = k->in->map;
    if (map && weights == &w->cross[0])
        tape_read(t, attend_map(t, q, kv[0], &s, &map->spec), map->values);
    tensor *a = linear_apply(t, attend(t, q, kv[0], kv[1], &s), &weights->output);
    if (c->query_residual) a = add(t, z, a, c->dropout);
    return mlp_apply(t, a, &weights->mlp, c->dropout);
}

/* in: latents z [B N, Z] */
static tensor *self_attend(tape *t, const void *context, tensor *const in[]) {
    const block_context *k = context;
    const model_config *c = &k->m->config;
    const body *w = k->m->body;
    const self_block *weights = k->weights;
    tensor *z = in[0];
    int64_t Z = c->channels, rotary = c->positions.rotary.layers;
    tensor *qkv = linear_apply(t, norm_apply(t, z, &weights->norm), &weights->qkv);
    tensor *q = tape_columns(t, qkv, 0, Z), *key = tape_columns(t, qkv, Z, Z);
    tensor *value = tape_columns(t, qkv, 2 * Z, Z);
    if (c->qk_norm) {
        q = norm_apply(t, q, &weights->met[0]);
        key = norm_apply(t, key, &weights->met[1]);
    }
    if (rotary < 0 || k->index < rotary) {
        turn(t, c, q, k->b->latent_rope, &w->self_frequency, c->heads, 0);
        turn(t, c, key, k->b->latent_rope, &w->self_frequency, c->heads, 0);
    }
    if (k->cache) {
        kv_cache_put(t, k->cache, k->cache->count, key, value);
        key = tape_wrap(t, matrix_rows(k->cache->k.m, 0, k->cache->count));
        value = tape_wrap(t, matrix_rows(k->cache->v.m, 0, k->cache->count));
    }
    attend_spec s = k->b->self;
    s.heads = c->heads;
    s.scale = score_scale(c, Z / c->heads);
    tensor *a = linear_apply(t, attend(t, q, key, value, &s), &weights->output);
    return mlp_apply(t, add(t, z, a, c->dropout), &weights->mlp, c->dropout);
}

/* ------------------------------------------------------------------ the whole */

static tensor *embed_inputs(tape *t, const model *m, const batch *b) {
    const body *w = m->body;
    const model_config *c = &m->config;
    embed_spec s = {.tables = 1, .table = {w->token_embedding}, .ids = {b->ids}};
    for (int a = 0; c->positions.kind == POSITION_LEARNED && a < c->positions.axes.count; a++) {
        s.table[s.tables] = w->position_embedding[a];
        s.ids[s.tables++] = b->axis[a];
    }
    if (w->low.m.data) {
        s.positions = b->axis[0];
        s.low = tape_wrap(t, w->low.m);
        s.high = tape_wrap(t, w->high.m);
    }
    return embed(t, &s);
}

/* What the latents start from, [B N, Z]. */
static tensor *start_latents(tape *t, const model *m, const batch *b, tensor *x) {
    const body *w = m->body;
    const model_config *c = &m->config;
    if (w->learned_query) {
        int32_t *index = arena_get(&t->host, (size_t)(b->B * b->N) * sizeof *index);
        int64_t rows = w->learned_query->m.rows;
        for (int64_t i = 0; i < b->B * b->N; i++) /* the last of the table for the last latent */
            index[i] = (int32_t)(rows == 1 ? 0 : rows - b->N + i % b->N);
        return gather(t, w->learned_query, tape_ints(t, index, b->B * b->N));
    }
    tensor *z = gather(t, x, b->latent_row);
    if (w->query_layers) z = linear_apply(t, z, &w->query[0]);
    if (b->expand) {
        embed_spec s = {.tables = 1, .table = {w->latent_slot}, .ids = {b->slot}};
        z = add(t, gather(t, z, b->expand), embed(t, &s), 0);
    }
    for (int64_t i = 1; i < w->query_layers; i++)
        z = activate(t, linear_apply(t, z, &w->query[i]), (activation)c->activation);
    return z;
}

/* Runs one block, recomputed in the backward pass where the model says so. */
static tensor *run_block(tape *t, block_fn *fn, block_context k, tensor *z, tensor *x) {
    block_context *context = arena_get(&t->host, sizeof *context);
    *context = k;
    bool recompute = k.m->recompute >= (x ? 1 : 2);
    tensor *out = tape_block(t, fn, context, (tensor *[]){z, x}, x ? 2 : 1, recompute);
    if (out != z) tape_forget(t, z);
    return out;
}

static tensor *perceiver_hidden(tape *t, model *m, const model_input *in) {
    const body *w = m->body;
    const model_config *c = &m->config;
    batch *b = arena_get(&t->host, sizeof *b);
    model_input *input = arena_get(&t->host, sizeof *input);
    sequence *rows = arena_get(&t->host, (size_t)in->batch * sizeof *rows);
    memcpy(rows, in->rows, (size_t)in->batch * sizeof *rows); /* recomputation reads them later */
    *input = *in;
    input->rows = rows;
    batch_make(b, t, c, input);
    block_context k = {.m = m, .b = b, .in = input};
    kv_cache *cross_cache = in->cache ? in->cache->cross : NULL;

    tensor *x = embed_inputs(t, m, b);
    tensor *z = start_latents(t, m, b, x);
    int64_t crosses = 0;
    if (c->initial_cross) {
        k.weights = &w->cross[crosses++];
        k.cache = cross_cache;
        z = run_block(t, cross_attend, k, z, x);
    }
    for (int64_t l = 0; l < c->layers; l++) {
        k.weights = &w->layer[l];
        k.index = l;
        k.cache = in->cache ? &in->cache->layer[l] : NULL;
        if (b->N) z = run_block(t, self_attend, k, z, NULL);
        for (int64_t i = 0; i < c->cross_after_layers.count; i++) {
            if (c->cross_after_layers.v[i] != l) continue;
            k.weights = &w->cross[crosses];
            k.cache = cross_cache ? cross_cache + crosses : NULL;
            z = run_block(t, cross_attend, k, z, x);
            crosses++;
        }
    }
    if (c->output_norm) z = norm_apply(t, z, &w->output_norm);
    return c->latents_per_position > 1 ? pool_rows(t, z, c->latents_per_position) : z;
}

const model_type perceiver_ar = {
    .name = "perceiver-ar",
    .open = perceiver_open,
    .constants = perceiver_constants,
    .close = perceiver_close,
    .hidden = perceiver_hidden,
    .head = perceiver_head,
};
