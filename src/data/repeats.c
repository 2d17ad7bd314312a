#include "data/repeats.h"
#include "base/mem.h"

enum { BITS = 3, UNDEALT = SPLITS }; /* a slot is a hash whose lowest bits are 1 + its split, or 1 + UNDEALT */

/* ------------------------------------------------------------------ contents */

/* The slot of a hash, or the free one where it belongs. */
static size_t place_of(const repeats *r, uint64_t hash) {
    size_t i = (size_t)(hash >> BITS) & (r->capacity - 1);
    while (r->slots[i] && (r->slots[i] ^ hash) >> BITS) i = (i + 1) & (r->capacity - 1);
    return i;
}

int repeats_split(const repeats *r, uint64_t hash) {
    uint64_t slot = r->capacity ? r->slots[place_of(r, hash)] : 0;
    return slot ? (int)(slot & ((1 << BITS) - 1)) - 1 : NEW;
}

static int grow(repeats *r, pcv_error *err) {
    repeats more = {.count = r->count, .capacity = r->capacity ? 2 * r->capacity : 1024};
    int status = mem_get(&more.slots, more.capacity * sizeof *more.slots, "what documents were there", err);
    if (status) return status;
    for (size_t i = 0; i < r->capacity; i++)
        if (r->slots[i]) more.slots[place_of(&more, r->slots[i])] = r->slots[i];
    repeats_forget(r);
    *r = more;
    return 0;
}

static int set(repeats *r, uint64_t hash, int split, pcv_error *err) {
    int status = 2 * r->count >= r->capacity ? grow(r, err) : 0;
    if (status) return status;
    uint64_t *slot = &r->slots[place_of(r, hash)];
    r->count += *slot == 0;
    *slot = hash >> BITS << BITS | (uint64_t)(split + 1);
    return 0;
}

int repeats_set(repeats *r, uint64_t hash, split_name split, pcv_error *err) { return set(r, hash, (int)split, err); }

void repeats_forget(repeats *r) {
    mem_free(r->slots);
    *r = (repeats){0};
}

/* ------------------------------------------------------------------ the documents of one file */

int document_plan_add(document_plan *p, uint64_t hash, pcv_error *err) {
    if (p->count == p->capacity) {
        size_t capacity = 2 * p->capacity + 1024;
        int status = mem_resize(&p->hash, capacity * sizeof *p->hash, "a list of documents", err);
        if (status) return status;
        p->capacity = capacity;
    }
    p->hash[p->count++] = hash;
    return 0;
}

/* They are marked as such. */
int document_plan_count(const document_plan *p, repeats *r, int64_t *contents, pcv_error *err) {
    int status = 0;
    *contents = 0;
    for (size_t i = 0; i < p->count && !status; i++) {
        if (repeats_split(r, p->hash[i]) != NEW) continue;
        status = set(r, p->hash[i], UNDEALT, err);
        ++*contents;
    }
    return status;
}

int document_plan_deal(document_plan *p, repeats *r, document_dealer *dealer, pcv_error *err) {
    int status = 0;
    TRY(mem_get(&p->split, p->count + 1, "a list of documents", err));
    for (size_t i = 0; i < p->count; i++) {
        int split = repeats_split(r, p->hash[i]);
        if (split == UNDEALT) {
            split = (int)dealer->next;
            TRY(set(r, p->hash[i], split, err));
            document_dealer_take(dealer);
        }
        p->split[i] = (uint8_t)split;
    }
    mem_free(p->hash);
    p->hash = NULL;
out:
    return status;
}

split_name document_plan_at(const document_plan *p, size_t number) {
    return number < p->count ? (split_name)p->split[number] : SPLIT_TRAIN;
}

void document_plan_free(document_plan *p) {
    mem_free(p->hash);
    mem_free(p->split);
    *p = (document_plan){0};
}
