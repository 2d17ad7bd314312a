/* Keys and values that outlive a pass: those of the cross-attention for every input of a timeline, computed once, and
 * those of the layers for its current latents. All timelines of a decoder have theirs in one slab, a slot each, so that
 * one pass can advance many of them.
 *
 * With caches a row of a pass is the tail of its timeline: ids[0] has index `before`. Inputs that have no keys and
 * values yet get them now; the last `latents` of the row become latents behind those that the layers hold already. */
#ifndef MODEL_CACHE_H
#define MODEL_CACHE_H

#include "model/model.h"

typedef struct model_slab {
    const model *m;
    int64_t crosses, layers;
    kv_slab *cross;     /* [crosses] of `context` rows a slot */
    kv_slab *layer;     /* [layers] of `latents` rows a slot */
    matrix *relative;   /* [layers] of [memory + context, Z]: a Transformer-XL's keys of distances, or NULL */
    bool relative_made; /* by the first pass */
    int64_t slots, context, latents;
    model_cache **owner; /* [slots], NULL: free */
} model_slab;

/* One timeline's. */
struct model_cache {
    model_slab *slab;
    int64_t slot;
    int64_t inputs, latents; /* rows that the caches of the cross-attentions and of the layers hold */
    int64_t first;           /* index in the timeline of row 0 of the former */
    int64_t final;           /* inputs before this index have keys and values that stay valid */
    int64_t latents_begin;   /* first row of the latter that is visible */
};

/* A slab without slots, which grows as caches are opened; or at once, to so many. */
int model_slab_open(model_slab **s, const model *m, pcv_error *err);
void model_slab_close(model_slab *s); /* the caches are closed already */
int model_slab_reserve(model_slab *s, int64_t slots, int64_t context, int64_t latents, pcv_error *err);
size_t model_slab_bytes(const model *m, int64_t context, int64_t latents); /* that a slot takes */

/* Takes a slot with room for so many inputs and latents. */
int model_cache_open(model_cache **c, model_slab *s, int64_t context, int64_t latents, pcv_error *err);
void model_cache_close(model_cache *c);
void model_cache_reset(model_cache *c);
void model_cache_reset_latents(model_cache *c);
void model_cache_keep(model_cache *c, int64_t inputs, int64_t latents); /* the first so many, no more than there are */

bool model_cache_has_room(const model_cache *c, int64_t latents); /* for so many more */

/* The first `gone` inputs, or latents, leave; what is behind them moves up. */
void model_cache_drop_inputs(model_cache *c, int64_t gone);
void model_cache_drop_latents(model_cache *c, int64_t gone);

/* `to`, of the same slab and with as much room, becomes equal to `from`. */
void model_cache_copy(model_cache *to, const model_cache *from);

/* A pass has run: its rows' caches hold its inputs and latents. */
void model_caches_advance(const pass *p);

#endif
