/* Transformer-XL: segments of `context` tokens that follow each other; a layer also sees its inputs at the last
 * `memory` tokens of the segments before, through which no gradient flows. Positions are distances:
 *
 *     h = [memory; x],  q = W_q norm(x),  k, v = W_kv norm(h),  r_d = W_r sinusoid(d)
 *     score(i, j) = ((q_i + u) . k_j + (q_i + w) . r_{i - j}) / sqrt(D)
 *     x = x + W_o Attention,  x = x + MLP(norm(x))
 *
 * A pass that keeps no gradients may run over many segments at once: with every query's range cut to its own segment
 * and the memory in front of it, the result is that of passing them one by one. Rows are padded on the right. */
#include "model/parts.h"
#include "nn/positions.h"

#include <math.h>
#include <stdio.h>

typedef struct xl_layer {
    norm_weights norm;
    linear_weights query, key_value, relative, output;
    tensor *content_bias, *position_bias; /* u and w, [1, Z] */
    mlp_weights mlp;
} xl_layer;

typedef struct body {
    embedding inputs;
    index_heads index;
    xl_layer *layer; /* [layers] */
    head_weights head;
    tensor distances; /* [memory + context, Z] sinusoids, the last row for distance 0 */
} body;

/* ------------------------------------------------------------------ opening */

static xl_layer declare_layer(model *m, int64_t index) {
    const model_config *c = &m->config;
    parameters *p = &m->params;
    int64_t Z = c->channels;
    bool bias = c->bias == BIAS_ALL;
    param_init zero = {.kind = INIT_ZERO, .vector = true};
    char prefix[64], name[128];
    snprintf(prefix, sizeof prefix, "layers.%lld", (long long)index);
#define NAMED(suffix) (snprintf(name, sizeof name, "%s." suffix, prefix), name)
    xl_layer x = {.norm = norm_declare(p, c, NAMED("norm"), Z)};
    x.query = linear_declare(p, c, NAMED("attention.query"), Z, Z, false); /* u and w are its biases */
    x.key_value = linear_declare(p, c, NAMED("attention.{key,value}"), 2 * Z, Z, bias);
    x.relative = linear_declare(p, c, NAMED("attention.relative"), Z, Z, false);
    x.content_bias = parameters_add(p, NAMED("attention.content_bias"), 1, Z, zero);
    x.position_bias = parameters_add(p, NAMED("attention.position_bias"), 1, Z, zero);
    x.output = branch_declare(p, c, NAMED("attention.output"), Z, Z, bias);
    x.mlp = mlp_declare(p, c, prefix, c->channels, c->mlp_ratio);
#undef NAMED
    return x;
}

static int xl_open(model *m, pcv_error *err) {
    const model_config *c = &m->config;
    body *w;
    int status = 0;
    TRY(mem_get(&m->body, sizeof *w, "a model", err));
    w = m->body;
    TRY(mem_get(&w->layer, (size_t)(c->layers + 1) * sizeof *w->layer, "a model", err));
    embedding_declare(&w->inputs, m);
    index_declare(&w->index, m);
    for (int64_t l = 0; l < c->layers; l++) w->layer[l] = declare_layer(m, l);
    w->head = head_declare(m, w->inputs.token);
out:
    return status;
}

static int64_t reach(const model_config *c) { return c->memory + c->context; }

/* Sines in the first half of the columns, cosines in the second; frequency 10000^(-2j / Z). */
static int xl_constants(model *m, pcv_error *err) {
    const model_config *c = &m->config;
    body *w = m->body;
    int64_t rows = reach(c), Z = c->channels, half = Z / 2;
    float *values = NULL;
    int status = mem_get(&values, (size_t)(rows * Z) * sizeof *values, "position tables", err);
    for (int64_t i = 0; i < rows && !status; i++)
        for (int64_t j = 0; j < half; j++) {
            double angle = (double)(rows - 1 - i) * pow(10000, -(double)j / (double)half);
            values[i * Z + j] = (float)sin(angle);
            values[i * Z + half + j] = (float)cos(angle);
        }
    if (!status) status = constant_make(&w->distances, m->be, values, rows, Z, err);
    mem_free(values);
    return status;
}

static void xl_close(model *m) {
    body *w = m->body;
    if (!w) return;
    embedding_close(&w->inputs, m->be);
    constant_free(&w->distances, m->be);
    mem_free(w->layer);
}

static linear_weights xl_head(const model *m) { return ((const body *)m->body)->head.map; }

/* ------------------------------------------------------------------ a layer */

typedef struct xl_context {
    const model *m;
    const xl_layer *weights;
    int64_t batch;
    attend_spec seen;
    matrix memory;   /* [batch rows, Z], or data NULL */
    const kv_slab *slab; /* of keys and values that are kept, or NULL */
    tensor *put;         /* rows of it that the new ones go to */
    matrix relative; /* the slab's: W_r sinusoid(d) of this layer, data NULL without one */
    bool relative_made;
} xl_context;

/* r [distances, Z] of a layer. Weights do not change while a slab lives, so there it is made once, in one way. */
static tensor *relative_keys(tape *t, const xl_context *k) {
    if (k->relative_made) return tape_wrap(t, k->relative);
    const body *w = k->m->body;
    bool by_row = t->by_row;
    t->by_row = false;
    tensor *r = linear_apply(t, tape_wrap(t, w->distances.m), &k->weights->relative);
    t->by_row = by_row;
    if (k->relative.data) tape_kernel(t, copy, .y = k->relative, .x = r->m);
    return r;
}

/* in: x [B N, Z] */
static tensor *xl_apply(tape *t, const void *context, tensor *const in[]) {
    const xl_context *k = context;
    const model_config *c = &k->m->config;
    const xl_layer *weights = k->weights;
    tensor *x = in[0], *all = x;
    int64_t Z = c->channels;
    if (k->memory.data) all = stack_rows(t, (tensor *[]){tape_wrap(t, k->memory), x}, 2, k->batch);
    tensor *both = linear_apply(t, norm_apply(t, all, &weights->norm), &weights->key_value);
    tensor *key = tape_columns(t, both, 0, Z), *value = tape_columns(t, both, Z, Z);
    tensor *n = norm_apply(t, x, &weights->norm);
    tensor *q = linear(t, n, weights->query.w, weights->content_bias);
    tensor *p = linear(t, n, weights->query.w, weights->position_bias);
    tensor *r = relative_keys(t, k);
    if (k->slab) {
        kv_slab_put(t, k->slab, k->put, key, value);
        key = tape_wrap(t, k->slab->k);
        value = tape_wrap(t, k->slab->v);
    }
    tensor *a = linear_apply(t, attend_relative(t, q, p, key, value, r, &k->seen), &weights->output);
    return mlp_apply(t, x, a, &weights->mlp, c->dropout);
}

/* ------------------------------------------------------------------ who sees whom */

static attend_spec see(tape *t, const model *m, const pass *p, const batch *b) {
    const model_config *c = &m->config;
    const model_memory *memory = p->memory;
    int64_t B = b->B, N = b->M;
    int32_t *begin = tape_host(t, (size_t)(B * N) * sizeof *begin);
    int32_t *end = tape_host(t, (size_t)(B * N) * sizeof *end);
    for (int64_t i = 0; i < B * N && end; i++) {
        int64_t r = i / N, n = i % N, place = segment_place(p, r, n);
        int64_t held = p->caches ? p->caches[r]->latents : memory ? memory->rows : 0;
        int64_t back = segment_reach(m, place); /* tokens in front of this one that it may see */
        int64_t known = memory ? n + memory->count[memory->current][r] : place;
        if (back > known) back = known;
        if (back > held + n) back = held + n;
        end[i] = (int32_t)(n < p->rows[r].length ? held + n + 1 : 0);
        begin[i] = (int32_t)(held + n - back);
    }
    attend_spec s = {.batch = B, .heads = c->heads, .scale = score_scale(c, c->channels / c->heads)};
    s.slots = b->self.slots;
    s.keys = b->self.keys;
    tape_int_arrays(t, (int_array[]){{&s.begin, begin, B * N}, {&s.end, end, B * N}}, 2);
    return s;
}

/* The layer's input at the last tokens of old memory and segment becomes the new memory. */
static void remember(tape *t, const pass *p, int64_t layer, const tensor *x, int64_t N) {
    model_memory *memory = p->memory;
    if (!memory) return;
    matrix old = memory->state[memory->current][layer], new = memory->state[!memory->current][layer];
    for (int64_t r = 0; r < memory->batch; r++) {
        int64_t L = memory->rows, length = p->rows[r].length, fresh = length < L ? length : L, at = r * L;
        tape_kernel(t, copy, .y = matrix_rows(new, at, L - fresh), .x = matrix_rows(old, at + fresh, L - fresh));
        tape_kernel(t, copy, .y = matrix_rows(new, at + L - fresh, fresh),
                    .x = matrix_rows(x->m, r * N + length - fresh, fresh));
        int64_t count = memory->count[memory->current][r] + length;
        memory->count[!memory->current][r] = count < L ? count : L;
    }
}

/* ------------------------------------------------------------------ the whole */

static tensor *xl_hidden(tape *t, model *m, pass *p) {
    const body *w = m->body;
    const model_config *c = &m->config;
    model_memory *memory = p->memory;
    batch *b = tape_host(t, sizeof *b);
    CHECK(p->see == SEE_CAUSAL, "segments that follow each other look back");
    if (memory && memory->pending) {
        memory->current = !memory->current;
        memory->pending = false;
    }
    CHECK(!memory || (memory->batch == p->batch && !p->caches), "a memory of %lld rows for %lld",
          (long long)(memory ? memory->batch : 0), (long long)p->batch);
    if (!b || batch_make(b, t, m, p, all_positions(p))) return &t->nothing;
    model_slab *slab = p->caches ? p->caches[0]->slab : NULL;
    xl_context k = {.m = m, .batch = b->B, .seen = see(t, m, p, b), .put = b->layer_put};
    tensor *x = index_apply(t, &w->index, b, embedding_apply(t, &w->inputs, c, b));
    for (int64_t l = 0; l < c->layers; l++) {
        k.weights = &w->layer[l];
        k.slab = layer_slab(p, l);
        if (slab) {
            k.relative = slab->relative[l];
            k.relative_made = slab->relative_made;
        }
        if (memory) k.memory = memory->state[memory->current][l];
        remember(t, p, l, x, b->M);
        x = block_run(t, xl_apply, &k, sizeof k, &x, 1, m->recompute >= 2);
    }
    if (memory) memory->pending = true;
    if (slab) slab->relative_made = !t->status;
    x = last_positions(t, x, p, b->M, true);
    return c->output_norm ? norm_apply(t, x, &w->head.norm) : x;
}

/* ------------------------------------------------------------------ what it says of itself */

static const char *const settings[] = {"memory", "evaluation.memory", NULL};

static const model_part parts[] = {
    {"token_embedding", "token embedding"}, {"index", "index heads"}, {"layers", "self-attention layers"},
    {"output", "head"}, {0}};

/* Beside a Transformer's: a second query, keys and values of the memory, keys and scores of distances. */
static model_flops xl_flops(const model_config *c, int64_t inputs, int64_t latents) {
    double N = (double)inputs, Z = (double)c->channels, K = N + (double)c->memory;
    double self = 6 * N * Z * Z + 6 * K * Z * Z + 6 * N * K * Z + mlp_flops(c, c->mlp_ratio, N);
    (void)latents;
    return (model_flops){.index = index_flops(c, N), .self = (double)c->layers * self, .head = head_flops(c, N)};
}

const model_type transformer_xl = {
    .name = "transformer-xl",
    .remembers = true,
    .relative = true,
    .settings = {stack_settings, index_settings, settings},
    .parts = parts,
    .check = index_check,
    .flops = xl_flops,
    .open = xl_open,
    .constants = xl_constants,
    .close = xl_close,
    .hidden = xl_hidden,
    .head = xl_head,
};
