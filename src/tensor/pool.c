#include "tensor/pool.h"
#include "base/mem.h"

enum { ALIGNMENT = 64 };
static const size_t UNLIMITED = (size_t)1 << 50, SMALLEST_REGION = (size_t)1 << 24;

static storage *new_header(pool *p) {
    storage *s = p->unused;
    if (s) p->unused = s->after;
    else if (mem_get(&s, sizeof *s, "a storage header", NULL)) return NULL;
    *s = (storage){0};
    return s;
}

static void retire_header(pool *p, storage *s) {
    s->after = p->unused;
    p->unused = s;
}

/* Puts `s` behind `place` in the address order; place NULL: at the front. */
static void link_behind(pool *p, storage *place, storage *s) {
    s->before = place;
    s->after = place ? place->after : p->first;
    if (s->after) s->after->before = s;
    if (place) place->after = s;
    else p->first = s;
}

static storage *add_region(pool *p, size_t bytes) {
    if (p->regions == POOL_REGIONS) return NULL;
    storage *s = new_header(p), *last = p->first;
    char *base = NULL;
    if (!s) return NULL;
    if (p->unlimited) base = (char *)(uintptr_t)ALIGNMENT;
    else if (backend_alloc(p->be, &base, bytes, "tensors", NULL)) {
        retire_header(p, s);
        return NULL;
    }
    while (last && last->after) last = last->after;
    s->data = base;
    s->bytes = bytes;
    s->region = p->regions;
    p->region[p->regions].base = base;
    p->region[p->regions++].bytes = bytes;
    link_behind(p, last, s);
    return s;
}

int pool_init(pool *p, backend *be, size_t bytes, pcv_error *err) {
    *p = (pool){.be = be};
    if (bytes == 0 || add_region(p, bytes)) return 0;
    return fail(err, PCV_MEMORY,
                "not enough memory: %.2f GiB for activations; lower --batch, --context, --latents "
                "or --channels, or raise --recompute", (double)bytes / (1 << 30));
}

int pool_init_unlimited(pool *p, backend *be, pcv_error *err) {
    *p = (pool){.be = be, .unlimited = true};
    return add_region(p, UNLIMITED) ? 0 : fail(err, PCV_MEMORY, "not enough memory to plan");
}

void pool_free(pool *p) {
    for (storage *s = p->first, *next; s; s = next) {
        next = s->after;
        mem_free(s);
    }
    for (storage *s = p->unused, *next; s; s = next) {
        next = s->after;
        mem_free(s);
    }
    for (int i = 0; i < p->regions && !p->unlimited; i++)
        backend_free(p->be, p->region[i].base, p->region[i].bytes);
    *p = (pool){0};
}

/* Takes the first `bytes` of the free block s; the rest stays free. */
static storage *take(pool *p, storage *s, size_t bytes) {
    if (s->bytes > bytes) {
        storage *rest = new_header(p);
        if (!rest) return NULL;
        *rest = (storage){.data = s->data + bytes, .bytes = s->bytes - bytes, .region = s->region};
        link_behind(p, s, rest);
        s->bytes = bytes;
    }
    s->references = 1;
    p->now += bytes;
    if (p->now > p->peak) p->peak = p->now;
    size_t end = (size_t)(s->data - p->region[s->region].base) + bytes;
    if (s->region == 0 && end > p->high) p->high = end;
    return s;
}

storage *pool_get(pool *p, size_t bytes) {
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (bytes == 0) bytes = ALIGNMENT;
    for (storage *s = p->first; s; s = s->after)
        if (s->references == 0 && s->bytes >= bytes) return take(p, s, bytes);
    storage *fresh = add_region(p, bytes > SMALLEST_REGION ? bytes : SMALLEST_REGION);
    return fresh ? take(p, fresh, bytes) : NULL;
}

void pool_hold(storage *s) { s->references++; }

/* Joins the free block s with the free block behind it. */
static void merge_after(pool *p, storage *s) {
    storage *next = s->after;
    if (!next || next->references || next->region != s->region || s->references) return;
    s->bytes += next->bytes;
    s->after = next->after;
    if (next->after) next->after->before = s;
    retire_header(p, next);
}

void pool_drop(pool *p, storage *s) {
    if (!s || --s->references) return;
    p->now -= s->bytes;
    merge_after(p, s);
    if (s->before) merge_after(p, s->before);
}

void pool_tidy(pool *p) {
    if (p->now || p->regions < 2 || p->unlimited) return;
    size_t bytes = p->peak + p->peak / 4;
    if (bytes < p->region[0].bytes) bytes = p->region[0].bytes;
    for (int i = 0; i < p->regions; i++) backend_free(p->be, p->region[i].base, p->region[i].bytes);
    while (p->first) {
        storage *s = p->first;
        p->first = s->after;
        retire_header(p, s);
    }
    p->regions = 0;
    add_region(p, bytes); /* without memory for it: again region by region */
}
