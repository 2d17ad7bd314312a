/* One self-attention layer serves all architectures: they differ in what a query sees (`seen`, `attend`), in what
 * is kept (`slab`) and in how many rows run through it. It runs as a block, so that it can be recomputed and
 * leaves nothing behind when nothing is recorded. Queries, keys and values are one product, and three views of its
 * columns. The names that are declared here are those in files: who renames one orphans every run. */
#include "model/parts.h"
#include "nn/positions.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ settings and costs */

const char *const stack_settings[] = {
    "architecture", "vocab_size", "context", "channels", "input_features", "heads", "layers", "mlp_ratio", "activation",
    "norm", "norm_epsilon", "bias", "scale_scores", "tied_embeddings", "output_norm", "output_bias", "zero_head",
    "dropout", "init", "init_scale", "branch_scale", "embedding_scale", NULL};

const char *const position_settings[] = {
    "qk_norm", "positions.kind", "positions.scale", "positions.origin", "positions.middle", "positions.axes",
    "positions.rotary.fraction", "positions.rotary.heads", "positions.rotary.base", "positions.rotary.endpoint",
    "positions.rotary.layout", "positions.rotary.layers", NULL};

const char *const crop_settings[] = {"training.min_crop", NULL};

double mlp_flops(const model_config *c, double ratio, double rows) {
    double Z = (double)c->channels, gate = model_is_gated(c) ? 1.5 : 1;
    return 4 * gate * ratio * rows * Z * Z;
}

double layer_flops(const model_config *c, double rows, double keys) {
    double Z = (double)c->channels;
    return 8 * rows * Z * Z + 4 * rows * keys * Z + mlp_flops(c, c->mlp_ratio, rows);
}

double head_flops(const model_config *c, double rows) { return 2 * rows * (double)c->channels * (double)c->vocab_size; }

/* ------------------------------------------------------------------ embedding */

static param_init table_init(const model_config *c) {
    init_kind kind = c->init == WEIGHTS_FAN_IN ? INIT_TRUNCATED : INIT_NORMAL;
    return (param_init){.kind = kind, .scale = c->embedding_scale};
}

void embedding_declare(embedding *e, model *m) {
    const model_config *c = &m->config;
    int64_t E = c->input_channels;
    if (c->input_features)
        e->features = linear_declare(&m->params, c, "input_embedding", E, c->input_features, true);
    else e->token = parameters_add(&m->params, "token_embedding.weight", c->vocab_size, E, table_init(c));
    for (int a = 0; c->positions.kind == POSITION_LEARNED && a < c->positions.axes.count; a++) {
        char name[64];
        snprintf(name, sizeof name, "position_embedding.%d.weight", a);
        e->position[a] = parameters_add(&m->params, name, c->positions.axes.v[a], E, table_init(c));
    }
}

int embedding_constants(embedding *e, const model *m, pcv_error *err) {
    const model_config *c = &m->config;
    int kind = c->positions.kind;
    if (kind != POSITION_SINUSOIDAL && kind != POSITION_FOURIER) return 0;
    if (c->positions.axes.count > 1) {
        int status = 0;
        for (int a = 0; a < c->positions.axes.count && !status; a++)
            status = harmonic_table(&e->code[a], m->be, (position_kind)kind, c->positions.scale,
                                    c->positions.axes.v[a], c->input_channels, err);
        return status;
    }
    return harmonic_factors(&e->low, &e->high, m->be, (position_kind)kind, c->positions.scale,
                            c->positions.axes.v[0], c->input_channels, err);
}

void embedding_close(embedding *e, backend *be) {
    constant_free(&e->low, be);
    constant_free(&e->high, be);
    for (int a = 0; a < POSITION_AXES; a++) constant_free(&e->code[a], be);
}

tensor *embedding_apply(tape *t, const embedding *e, const model_config *c, const batch *b) {
    embed_spec s = {0};
    if (e->token) {
        s.table[s.tables] = e->token;
        s.ids[s.tables++] = b->ids;
    }
    for (int a = 0; a < c->positions.axes.count && !e->low.m.data; a++) {
        s.table[s.tables] = e->position[a] ? e->position[a] : tape_wrap(t, e->code[a].m);
        s.ids[s.tables++] = b->axis[a];
    }
    if (e->low.m.data) {
        s.positions = b->axis[0];
        s.low = tape_wrap(t, e->low.m);
        s.high = tape_wrap(t, e->high.m);
    }
    if (!b->features) return embed(t, &s);
    tensor *x = linear_apply(t, b->features, &e->features);
    return s.tables || s.positions ? add(t, x, embed(t, &s), 0) : x;
}

/* ------------------------------------------------------------------ index heads */

const char *const index_settings[] = {"index.orders", "index.places", "index.width", NULL};

int index_check(const model_config *c, pcv_error *err) {
    if (c->index.orders.count > INDEX_ORDERS)
        return fail(err, PCV_CONFIG, "index.orders has %lld heads, at most %d", (long long)c->index.orders.count,
                    INDEX_ORDERS);
    if (c->index.orders.count && c->input_features)
        return fail(err, PCV_CONFIG, "index.orders needs inputs that are ids, but input_features is %lld",
                    (long long)c->input_features);
    return 0;
}

/* The sums over places, and the map of what the heads found. */
double index_flops(const model_config *c, double positions) {
    double C = (double)(c->index.orders.count * c->index.width);
    return positions * C * (2 * (double)c->index.places + 2 * (double)c->channels);
}

void index_declare(index_heads *w, model *m) {
    const model_config *c = &m->config;
    int64_t H = c->index.orders.count, D = c->index.width;
    if (!H) return;
    /* at first one more token that is the same outweighs twice the distance */
    param_init ramp = {.kind = INIT_RAMP, .scale = 0.3}, slope = {.kind = INIT_CONSTANT, .scale = 0.3, .vector = true};
    w->value = parameters_add(&m->params, "index.value.weight", c->vocab_size, D, table_init(c));
    w->length = parameters_add(&m->params, "index.length.weight", H, MATCH_CLASSES, ramp);
    w->slope = parameters_add(&m->params, "index.slope.weight", 1, H, slope);
    w->output = branch_declare(&m->params, c, "index.output", c->channels, H * D, c->bias == BIAS_ALL);
}

tensor *index_apply(tape *t, const index_heads *w, const batch *b, tensor *z) {
    if (!w->value) return z;
    tensor *found = linear_apply(t, attend_found(t, w->value, w->length, w->slope, &b->found), &w->output);
    return add(t, z, found, 0);
}

/* ------------------------------------------------------------------ head */

head_weights head_declare(model *m, tensor *token_embedding) {
    const model_config *c = &m->config;
    head_weights h = {0};
    if (c->output_norm) h.norm = norm_declare(&m->params, c, "output_norm", c->channels);
    param_init init = {.kind = c->init == WEIGHTS_FAN_IN ? INIT_FAN_IN : INIT_NORMAL,
                       .scale = c->init_scale, .decay = true};
    if (c->zero_head) init.kind = INIT_ZERO;
    h.map.w = c->tied_embeddings
                  ? token_embedding
                  : parameters_add(&m->params, "output.weight", c->vocab_size, c->channels, init);
    if (c->output_bias)
        h.map.b = parameters_add(&m->params, "output.bias", 1, c->vocab_size,
                                 (param_init){.kind = INIT_ZERO, .vector = true});
    return h;
}

/* ------------------------------------------------------------------ pieces of attention */

void qk_norm_declare(model *m, norm_weights met[2], const char *prefix, int64_t channels) {
    static const char *const parts[] = {"query", "key"};
    for (int i = 0; i < 2 && m->config.qk_norm; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s.attention.%s_norm.weight", prefix, parts[i]);
        met[i] = (norm_weights){.rms = true, .epsilon = (float)m->config.norm_epsilon};
        met[i].w = parameters_add(&m->params, name, 1, channels, (param_init){.kind = INIT_ONE, .vector = true});
    }
}

float score_scale(const model_config *c, int64_t width) {
    return c->scale_scores ? 1 / sqrtf((float)width) : 1;
}

void rotary_apply(tape *t, const model_config *c, tensor *x, tensor *positions, const tensor *frequency, int64_t heads,
                  int64_t group) {
    if (!model_has_rotary(c) || frequency->m.cols == 0) return;
    rotate_spec s = {.positions = positions, .heads = heads, .group = group ? group : heads};
    s.frequency = tape_wrap(t, frequency->m);
    s.chosen = model_rotary_heads(c, s.group);
    s.interleaved = c->positions.rotary.layout == ROTARY_INTERLEAVED;
    rotate(t, x, &s);
}

tensor *block_run(tape *t, block_fn *fn, const void *context, size_t size, tensor *const in[], int count,
                  bool recompute) {
    void *kept = tape_host(t, size);
    if (!kept) return &t->nothing;
    memcpy(kept, context, size);
    tensor *out = tape_block(t, fn, kept, in, count, recompute);
    if (out != in[0]) tape_forget(t, in[0]);
    return out;
}

int64_t all_positions(const pass *p) {
    int64_t longest = 1;
    for (int64_t r = 0; r < p->batch; r++)
        if (p->rows[r].length > longest) longest = p->rows[r].length;
    return longest;
}

tensor *last_positions(tape *t, tensor *x, const pass *p, int64_t N, bool padded_behind) {
    int64_t rows = p->batch * p->latents;
    int32_t *index = tape_host(t, (size_t)(rows + 1) * sizeof *index);
    if (!index) return &t->nothing;
    bool all = rows == x->m.rows;
    for (int64_t i = 0; i < rows; i++) {
        int64_t r = i / p->latents, end = padded_behind ? p->rows[r].length : N;
        int64_t n = end - p->latents + i % p->latents;
        index[i] = (int32_t)(n < 0 ? -1 : r * N + n);
        all = all && index[i] == i;
    }
    return all ? x : gather(t, x, tape_ints(t, index, rows));
}

/* ------------------------------------------------------------------ the layer */

layer_weights layer_declare(model *m, int64_t index) {
    const model_config *c = &m->config;
    parameters *p = &m->params;
    int64_t Z = c->channels;
    bool bias = c->bias == BIAS_ALL;
    char prefix[64], name[128];
    snprintf(prefix, sizeof prefix, "layers.%lld", (long long)index);
#define NAMED(suffix) (snprintf(name, sizeof name, "%s." suffix, prefix), name)
    layer_weights x = {.norm = norm_declare(p, c, NAMED("norm"), Z)};
    x.qkv = linear_declare(p, c, NAMED("attention.{query,key,value}"), 3 * Z, Z, bias);
    qk_norm_declare(m, x.met, prefix, Z);
    x.output = branch_declare(p, c, NAMED("attention.output"), Z, Z, bias);
    x.mlp = mlp_declare(p, c, prefix, c->channels, c->mlp_ratio);
#undef NAMED
    return x;
}

layer_context layer_context_make(const model *m, const batch *b) {
    const model_config *c = &m->config;
    layer_context k = {.m = m, .rope = b->latent_rope, .seen = b->self, .put = b->layer_put};
    k.seen.heads = c->heads;
    k.seen.scale = score_scale(c, c->channels / c->heads);
    return k;
}

const kv_slab *layer_slab(const pass *p, int64_t index) {
    return p->caches ? &p->caches[0]->slab->layer[index] : NULL;
}

static tensor *layer_apply(tape *t, const void *context, tensor *const in[]) {
    const layer_context *k = context;
    const model_config *c = &k->m->config;
    const layer_weights *weights = k->weights;
    tensor *x = in[0];
    int64_t Z = c->channels, rotary = c->positions.rotary.layers;
    tensor *qkv = linear_apply(t, norm_apply(t, x, &weights->norm), &weights->qkv);
    tensor *q = tape_columns(t, qkv, 0, Z), *key = tape_columns(t, qkv, Z, Z);
    tensor *value = tape_columns(t, qkv, 2 * Z, Z);
    if (c->qk_norm) {
        q = norm_apply(t, q, &weights->met[0]);
        key = norm_apply(t, key, &weights->met[1]);
    }
    if (rotary < 0 || k->index < rotary) {
        rotary_apply(t, c, q, k->rope, k->frequency, c->heads, 0);
        rotary_apply(t, c, key, k->rope, k->frequency, c->heads, 0);
    }
    if (k->slab) {
        kv_slab_put(t, k->slab, k->put, key, value);
        key = tape_wrap(t, k->slab->k);
        value = tape_wrap(t, k->slab->v);
    }
    tensor *a = k->attend ? k->attend(t, k, q, key, value) : attend(t, q, key, value, &k->seen);
    a = linear_apply(t, a, &weights->output);
    return mlp_apply(t, x, a, &weights->mlp, c->dropout);
}

tensor *layer_run(tape *t, const layer_context *k, tensor *x) {
    return block_run(t, layer_apply, k, sizeof *k, &x, 1, k->m->recompute >= 2);
}
