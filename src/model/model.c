#include "model/cache.h"

int model_open(model **out, const model_config *config, backend *be, bool grads, pcv_error *err) {
    model *m = NULL;
    int status = mem_get(&m, sizeof *m, "a model", err);
    if (status) return status;
    m->type = model_type_of(config);
    m->config = *config;
    m->be = be;
    m->cache_type = be->real;
    TRY(model_config_check(&m->config, err));
    TRY(m->type->open(m, err));
    TRY(parameters_alloc(&m->params, be, grads, err));
    TRY(m->type->constants(m, err));
    *out = m;
out:
    if (status) model_close(m);
    return status;
}

void model_close(model *m) {
    if (!m) return;
    m->type->close(m);
    parameters_free(&m->params);
    mem_free(m->body);
    mem_free(m);
}

int model_init(model *m, uint64_t seed, pcv_error *err) {
    int status = parameters_init(&m->params, seed, err);
    return status || !m->type->begin ? status : m->type->begin(m, err);
}

int model_pack(model *m, packing weights, packing cache, pcv_error *err) {
    static const dtype types[] = {[PACK_F32] = F32, [PACK_BF16] = BF16, [PACK_INT8] = I8};
    if (m->type->gathers && cache != PACK_F32)
        return fail(err, PCV_CONFIG, "--cache: a %s gathers its keys from caches of f32", m->type->name);
    m->cache_type = cache == PACK_F32 ? m->be->real : types[cache];
    return weights == PACK_F32 ? 0 : parameters_pack(&m->params, types[weights], err);
}

pass pass_over(const model *m, const sequence *rows, int64_t batch, int64_t latents) {
    int64_t group = m->config.latents_per_position, longest = 0, positions = latents / group;
    for (int64_t r = 0; r < batch; r++)
        if (rows[r].length > longest) longest = rows[r].length;
    if (positions > longest && !m->type->answers) positions = longest;
    return (pass){.batch = batch, .rows = rows, .latents = positions * group};
}

/* The mean of each row's positions. */
static tensor *pooled(tape *t, tensor *hidden, const pass *p) {
    return p->pooled && hidden->m.rows > p->batch ? pool_rows(t, hidden, hidden->m.rows / p->batch) : hidden;
}

tensor *model_hidden(tape *t, model *m, pass *p) {
    tensor *hidden = pooled(t, m->type->hidden(t, m, p), p);
    model_caches_advance(p);
    return hidden;
}

tensor *model_logits(tape *t, model *m, tensor *hidden) {
    linear_weights head = m->type->head(m);
    return linear(t, hidden, head.w, head.b);
}

int64_t model_place(const model *m, int64_t from, int64_t inputs, int64_t document) {
    const position_map *p = &m->positions;
    const int64_t context = m->config.context, middle = m->config.positions.middle;
    if (p->at) return p->place(p->context, from);
    int64_t room = context + 1 - (document ? document : middle); /* the last token is no input */
    int64_t at = from + room / 2;
    return middle > 0 && room >= 0 && at + inputs <= context ? at : 0;
}
