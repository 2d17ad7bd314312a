/* Decoder-only Transformer, pre-norm: every input runs through every layer.
 *
 *     x = embed(ids, positions)                                   [N, Z]
 *     x = x + Attention(norm(x), norm(x)),  x = x + MLP(norm(x))  each layer
 *     logits = head(norm(x))
 *
 * It is a Perceiver AR with as many latents as inputs and no cross-attention, and shares its layers. The
 * Sparse Transformer differs in what a layer sees: model/sparse.h. */
#include "model/transformer.h"
#include "model/parts.h"
#include "model/sparse.h"
#include "nn/positions.h"

typedef struct body {
    embedding inputs;
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

/* The input with every position of the longest row predicting. */
static const model_input *all_positions(tape *t, const model_input *in) {
    model_input *all = arena_get(&t->host, sizeof *all);
    *all = *in;
    all->latents = 1;
    for (int64_t r = 0; r < in->batch; r++)
        if (in->rows[r].length > all->latents) all->latents = in->rows[r].length;
    return all;
}

static tensor *transformer_hidden(tape *t, model *m, const model_input *in) {
    const body *w = m->body;
    const model_config *c = &m->config;
    batch *b = arena_get(&t->host, sizeof *b);
    batch_make(b, t, m, all_positions(t, in));
    layer_context k = layer_context_make(m, b);
    k.frequency = &w->frequency;
    if (c->architecture == ARCH_SPARSE) k.pattern = sparse_make(t, m, in, b);

    tensor *x = gather(t, embedding_apply(t, &w->inputs, c, b), b->latent_row);
    for (int64_t l = 0; l < c->layers; l++) {
        k.weights = &w->layer[l];
        k.index = l;
        k.cache = in->cache ? &in->cache->layer[l] : NULL;
        if (k.pattern) k.attend = l % 2 ? sparse_far : sparse_near;
        x = layer_run(t, &k, x);
    }
    x = last_positions(t, x, in, b->N, false);
    return c->output_norm ? norm_apply(t, x, &w->head.norm) : x;
}

const model_type transformer = {
    .name = "transformer",
    .open = transformer_open,
    .constants = transformer_constants,
    .close = transformer_close,
    .hidden = transformer_hidden,
    .head = transformer_head,
};
