/* Decoder-only Transformer, pre-norm: every input runs through every layer.
 *
 *     x = embed(ids, positions)                                   [N, Z]
 *     x = x + Attention(norm(x), norm(x)),  x = x + MLP(norm(x))  each layer
 *     logits = head(norm(x))
 *
 * It is a Perceiver AR with as many latents as inputs and no cross-attention, and shares its layers. The
 * Sparse Transformer differs in what a layer sees: model/sparse.h. */
#include "model/parts.h"
#include "model/sparse.h"
#include "nn/positions.h"

typedef struct body {
    embedding inputs;
    index_heads index;
    layer_weights *layer; /* [layers] */
    head_weights head;
    tensor frequency; /* rotary */
} body;

static int transformer_open(model *m, pcv_error *err) {
    const model_config *c = &m->config;
    body *w;
    int status = 0;
    TRY(mem_get(&m->body, sizeof *w, "a model", err));
    w = m->body;
    TRY(mem_get(&w->layer, (size_t)(c->layers + 1) * sizeof *w->layer, "a model", err));
    embedding_declare(&w->inputs, m);
    index_declare(&w->index, m);
    for (int64_t l = 0; l < c->layers; l++) w->layer[l] = layer_declare(m, l);
    w->head = head_declare(m, w->inputs.token);
out:
    return status;
}

static int transformer_constants(model *m, pcv_error *err) {
    body *w = m->body;
    int status = embedding_constants(&w->inputs, m, err);
    if (status || !model_has_rotary(&m->config)) return status;
    return rotary_frequencies(&w->frequency, m->be, &m->config, m->config.channels / m->config.heads, err);
}

static void transformer_close(model *m) {
    body *w = m->body;
    if (!w) return;
    embedding_close(&w->inputs, m->be);
    constant_free(&w->frequency, m->be);
    mem_free(w->layer);
}

static linear_weights transformer_head(const model *m) { return ((const body *)m->body)->head.map; }

static tensor *transformer_hidden(tape *t, model *m, pass *p) {
    const body *w = m->body;
    const model_config *c = &m->config;
    batch *b = tape_host(t, sizeof *b);
    if (!b || batch_make(b, t, m, p, all_positions(p))) return &t->nothing;
    layer_context k = layer_context_make(m, b);
    k.frequency = &w->frequency;
    if (m->type == &sparse_transformer) k.pattern = sparse_make(t, m, p, b);

    tensor *x = gather(t, embedding_apply(t, &w->inputs, c, b), b->latent_row);
    x = index_apply(t, &w->index, b, x);
    for (int64_t l = 0; l < c->layers; l++) {
        k.weights = &w->layer[l];
        k.index = l;
        k.slab = layer_slab(p, l);
        if (k.pattern) k.attend = l % 2 ? sparse_far : sparse_near;
        x = layer_run(t, &k, x);
    }
    x = last_positions(t, x, p, b->N, false);
    return c->output_norm ? norm_apply(t, x, &w->head.norm) : x;
}

/* ------------------------------------------------------------------ what they say of themselves */

static const char *const sparse_settings[] = {"sparse.kind", "sparse.stride", "sparse.summary", NULL};

static const model_part parts[] = {{"token_embedding", "token embedding"}, {"position_embedding", "position embedding"},
                                   {"index", "index heads"}, {"layers", "self-attention layers"}, {"output", "head"},
                                   {0}};

static int sparse_check(const model_config *c, pcv_error *err) {
    int status = index_check(c, err);
    if (status) return status;
    if (c->sparse.stride > c->context)
        return fail(err, PCV_CONFIG, "sparse.stride is %lld, which is more than the context of %lld",
                    (long long)c->sparse.stride, (long long)c->context);
    if (c->sparse.kind == SPARSE_FIXED && c->sparse.summary > c->sparse.stride)
        return fail(err, PCV_CONFIG, "sparse.summary is %lld, which is more than the blocks of sparse.stride (%lld)",
                    (long long)c->sparse.summary, (long long)c->sparse.stride);
    return 0;
}

static model_flops count_flops(const model_config *c, double rows, double keys) {
    return (model_flops){.index = index_flops(c, rows), .self = (double)c->layers * layer_flops(c, rows, keys),
                         .head = head_flops(c, rows)};
}

static model_flops transformer_flops(const model_config *c, int64_t inputs, int64_t latents) {
    (void)latents;
    return count_flops(c, (double)inputs, (double)inputs);
}

/* Keys that a query meets, on average over even and odd layers. */
static model_flops sparse_flops(const model_config *c, int64_t inputs, int64_t latents) {
    double N = (double)inputs, stride = (double)c->sparse.stride;
    double part = c->sparse.kind == SPARSE_FIXED ? (double)c->sparse.summary : 1;
    (void)latents;
    return count_flops(c, N, stride >= N ? N : (stride + N * part / stride) / 2);
}

const model_type transformer = {
    .name = "transformer",
    .settings = {stack_settings, position_settings, crop_settings, index_settings},
    .parts = parts,
    .check = index_check,
    .flops = transformer_flops,
    .open = transformer_open,
    .constants = transformer_constants,
    .close = transformer_close,
    .hidden = transformer_hidden,
    .head = transformer_head,
};
const model_type sparse_transformer = {
    .name = "sparse-transformer",
    .gathers = true,
    .settings = {stack_settings, position_settings, crop_settings, index_settings, sparse_settings},
    .parts = parts,
    .check = sparse_check,
    .flops = sparse_flops,
    .open = transformer_open,
    .constants = transformer_constants,
    .close = transformer_close,
    .hidden = transformer_hidden,
    .head = transformer_head,
};
