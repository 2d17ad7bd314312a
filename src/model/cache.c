#include "model/cache.h"

#include <string.h>

/* ------------------------------------------------------------------ the slab
 * Whoever changes it holds the backend: threads share it. */

static int open_relative(model_slab *s, pcv_error *err) {
    const model_config *c = &s->m->config;
    int status = mem_get(&s->relative, (size_t)(c->layers + 1) * sizeof *s->relative, "a cache", err);
    for (int64_t l = 0; l < c->layers && !status; l++) {
        matrix *r = &s->relative[l];
        *r = (matrix){.rows = c->memory + c->context, .cols = c->channels, .stride = c->channels};
        r->type = s->m->be->real;
        status = backend_alloc(s->m->be, &r->data, matrix_bytes(r), "a cache", err);
    }
    return status;
}

int model_slab_open(model_slab **out, const model *m, pcv_error *err) {
    const model_config *c = &m->config;
    model_slab *s = NULL;
    int status = 0;
    TRY(mem_get(&s, sizeof *s, "a cache", err));
    *s = (model_slab){.m = m, .crosses = c->initial_cross + c->cross_after_layers.count, .layers = c->layers};
    TRY(mem_get(&s->cross, (size_t)(s->crosses + 1) * sizeof *s->cross, "a cache", err));
    TRY(mem_get(&s->layer, (size_t)(s->layers + 1) * sizeof *s->layer, "a cache", err));
    for (int64_t i = 0; i < s->crosses; i++)
        TRY(kv_slab_open(&s->cross[i], m->be, m->cache_type, 0, 0, model_attention_width(c), err));
    for (int64_t i = 0; i < s->layers; i++)
        TRY(kv_slab_open(&s->layer[i], m->be, m->cache_type, 0, 0, c->channels, err));
    if (m->type->remembers) TRY(open_relative(s, err));
    *out = s;
out:
    if (status) model_slab_close(s);
    return status;
}

void model_slab_close(model_slab *s) {
    if (!s) return;
    backend *be = s->m->be;
    for (int64_t i = 0; s->cross && i < s->crosses; i++) kv_slab_close(&s->cross[i], be);
    for (int64_t i = 0; s->layer && i < s->layers; i++) kv_slab_close(&s->layer[i], be);
    for (int64_t i = 0; s->relative && i < s->layers; i++)
        backend_free(be, s->relative[i].data, matrix_bytes(&s->relative[i]));
    mem_free(s->relative);
    mem_free(s->cross);
    mem_free(s->layer);
    mem_free(s->owner);
    mem_free(s);
}

size_t model_slab_bytes(const model *m, int64_t context, int64_t latents) {
    const model_config *c = &m->config;
    int64_t crosses = c->initial_cross + c->cross_after_layers.count, width = model_attention_width(c);
    int64_t row = crosses * context * dtype_stride(m->cache_type, width);
    row += c->layers * latents * dtype_stride(m->cache_type, c->channels);
    return 2 * (size_t)row * dtype_bytes(m->cache_type);
}

/* The crosses' slabs, then the layers'. */
static kv_slab *slab_at(model_slab *s, int64_t i) { return i < s->crosses ? &s->cross[i] : &s->layer[i - s->crosses]; }

int model_slab_reserve(model_slab *s, int64_t slots, int64_t context, int64_t latents, pcv_error *err) {
    int64_t *inputs = NULL, *held = NULL, all = s->crosses + s->layers;
    kv_slab *fresh = NULL;
    int status = 0;
    backend_hold(s->m->be);
    if (slots < s->slots) slots = s->slots;
    if (context < s->context) context = s->context;
    if (latents < s->latents) latents = s->latents;
    if (slots == s->slots && context == s->context && latents == s->latents) goto out;
    bool longer = context > s->context || latents > s->latents;
    TRY(mem_resize(&s->owner, (size_t)slots * sizeof *s->owner, "a cache", err));
    TRY(mem_get(&inputs, (size_t)slots * sizeof *inputs, "a cache", err));
    TRY(mem_get(&held, (size_t)slots * sizeof *held, "a cache", err));
    for (int64_t i = s->slots; i < slots; i++) s->owner[i] = NULL;
    for (int64_t i = 0; i < s->slots; i++) {
        inputs[i] = s->owner[i] ? s->owner[i]->inputs : 0;
        held[i] = s->owner[i] ? s->owner[i]->latents : 0;
    }
    TRY(mem_get(&fresh, (size_t)all * sizeof *fresh, "a cache", err));
    for (int64_t i = 0; i < all; i++) {
        TRY(kv_slab_open(&fresh[i], s->m->be, s->m->cache_type, slots, i < s->crosses ? context : latents,
                         slab_at(s, i)->k.cols, err));
        if (!longer) kv_slab_move(slab_at(s, i), &fresh[i], s->m->be, i < s->crosses ? inputs : held);
    }
    for (int64_t i = 0; i < all && longer; i++) /* where slots have new places, all slabs move, or none does */
        kv_slab_move(slab_at(s, i), &fresh[i], s->m->be, i < s->crosses ? inputs : held);
    s->slots = slots;
    s->context = context;
    s->latents = latents;
out:
    for (int64_t i = 0; fresh && i < all; i++) kv_slab_close(&fresh[i], s->m->be);
    backend_release(s->m->be);
    mem_free(fresh);
    mem_free(inputs);
    mem_free(held);
    return status;
}

/* ------------------------------------------------------------------ a slot of it */

int model_cache_open(model_cache **out, model_slab *s, int64_t context, int64_t latents, pcv_error *err) {
    model_cache *c = NULL;
    int64_t slot = 0;
    int status = 0;
    backend_hold(s->m->be);
    while (slot < s->slots && s->owner[slot]) slot++;
    /* more slots than are asked for, so that many are not copied as often */
    int64_t slots = slot < s->slots ? s->slots : s->slots < 2 ? s->slots + 1 : s->slots + s->slots / 2;
    TRY(mem_get(&c, sizeof *c, "a cache", err));
    TRY(model_slab_reserve(s, slots, context, latents, err));
    *c = (model_cache){.slab = s, .slot = slot};
    s->owner[slot] = c;
    *out = c;
out:
    backend_release(s->m->be);
    if (status) mem_free(c);
    return status;
}

void model_cache_close(model_cache *c) {
    if (!c) return;
    backend *be = c->slab->m->be;
    backend_hold(be);
    c->slab->owner[c->slot] = NULL;
    backend_release(be);
    mem_free(c);
}

/* A cache belongs to one thread, but the counts are read by whichever grows the slab. */
void model_cache_keep(model_cache *c, int64_t inputs, int64_t latents) {
    backend_hold(c->slab->m->be);
    c->inputs = inputs;
    c->latents = latents;
    backend_release(c->slab->m->be);
}

void model_cache_reset_latents(model_cache *c) {
    model_cache_keep(c, c->inputs, 0);
    c->latents_begin = 0;
}

void model_cache_reset(model_cache *c) {
    model_cache_keep(c, 0, 0);
    c->latents_begin = c->first = c->final = 0;
}

bool model_cache_has_room(const model_cache *c, int64_t latents) {
    backend_hold(c->slab->m->be);
    bool has = c->latents + latents <= c->slab->latents;
    backend_release(c->slab->m->be);
    return has;
}

void model_cache_drop_inputs(model_cache *c, int64_t gone) {
    const model_slab *s = c->slab;
    backend_hold(s->m->be);
    for (int64_t i = 0; i < s->crosses; i++) kv_slab_shift(&s->cross[i], s->m->be, c->slot, c->inputs, gone);
    c->inputs -= gone;
    c->first += gone;
    backend_release(s->m->be);
}

void model_cache_drop_latents(model_cache *c, int64_t gone) {
    const model_slab *s = c->slab;
    backend_hold(s->m->be);
    for (int64_t i = 0; i < s->layers; i++) kv_slab_shift(&s->layer[i], s->m->be, c->slot, c->latents, gone);
    c->latents -= gone;
    backend_release(s->m->be);
}

void model_cache_copy(model_cache *to, const model_cache *from) {
    const model_slab *s = to->slab;
    int64_t slot = to->slot;
    CHECK(s == from->slab, "caches of two slabs");
    backend_hold(s->m->be);
    for (int64_t i = 0; i < s->crosses; i++) kv_slab_copy(&s->cross[i], s->m->be, from->slot, slot, from->inputs);
    for (int64_t i = 0; i < s->layers; i++) kv_slab_copy(&s->layer[i], s->m->be, from->slot, slot, from->latents);
    *to = *from;
    to->slot = slot;
    backend_release(s->m->be);
}

void model_caches_advance(const pass *p) {
    for (int64_t r = 0; p->caches && r < p->batch; r++) {
        model_cache *c = p->caches[r];
        int64_t end = p->rows[r].before + p->rows[r].length - c->first;
        if (end > c->inputs) c->inputs = end;
        c->latents += p->layer_rows;
    }
}
