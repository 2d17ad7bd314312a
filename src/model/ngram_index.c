#include "model/ngram_index.h"
#include "base/error.h"

#include <stdbool.h>
#include <string.h>

enum {
    AHEAD = 64,     /* places whose hashes are computed before the table is asked, so that its lines are on their way */
    MANY = 1 << 13, /* tokens from which on orders are worth a thread */
    FEWEST_BITS = 6,
    ROOM = 16,      /* slots of the table for each place that can be asked for */
    SIEVE_BITS = 17,
};
static const uint64_t BASE = 0x9E3779B97F4A7C15u, SPREAD = 0xD6E8FEB86659FD93u; /* odd */

static int bits_for(int64_t capacity) {
    int bits = FEWEST_BITS;
    while ((int64_t)1 << bits < capacity) bits++;
    return bits;
}

static int table_bits(int64_t capacity, int64_t asked) {
    return bits_for(asked < capacity / ROOM ? asked * ROOM : capacity);
}

size_t ngram_index_bytes(int orders, int64_t capacity, int64_t asked) {
    size_t one = (size_t)capacity + ((size_t)1 << table_bits(capacity, asked));
    return ((size_t)capacity + (size_t)orders * one) * sizeof(int32_t);
}

void ngram_index_init(ngram_index *x, const int64_t *order, int orders, int64_t capacity, int64_t asked, void *memory) {
    CHECK(orders <= INDEX_ORDERS && asked <= capacity, "%d orders, %lld of %lld places", orders, (long long)asked,
          (long long)capacity);
    *x = (ngram_index){.orders = orders, .capacity = capacity, .asked = asked, .ids = memory};
    x->bits = table_bits(capacity, asked);
    x->link = x->ids + capacity;
    x->last = x->link + orders * capacity;
    memset(x->last, 0, ((size_t)orders << x->bits) * sizeof *x->last);
    for (int o = 0; o < orders; o++) x->order[o] = order[o];
}

/* ------------------------------------------------------------------ the table */

static uint64_t value_of(int32_t id) { return ((uint64_t)(uint32_t)id + 1) * SPREAD; }

/* A hash of the last n tokens, moved from place to place: sum over i < n of value(ids[p - i]) BASE^i, modulo 2^64. */
typedef struct rolling {
    const int32_t *ids;
    int64_t n;
    uint64_t sum, gone; /* gone: BASE^n */
} rolling;

static rolling rolling_start(const ngram_index *x, int o, int64_t place) {
    rolling r = {.ids = x->ids, .n = x->order[o], .gone = 1};
    for (int64_t i = 0; i < r.n; i++) r.gone *= BASE;
    for (int64_t p = place - r.n; p < place; p++) r.sum = r.sum * BASE + (p < 0 ? 0 : value_of(r.ids[p]));
    return r;
}

/* The hash of the n tokens up to `place`, the one behind the last that was asked for; the first n - 1 places of a
 * sequence have none. Its highest bits are the best. */
static uint64_t rolling_next(rolling *r, int64_t place) {
    uint64_t old = place < r->n ? 0 : value_of(r->ids[place - r->n]);
    r->sum = r->sum * BASE + value_of(r->ids[place]) - old * r->gone;
    return (r->sum ^ r->sum >> 32) * SPREAD;
}

/* A bit for each hash that a place has which can be asked for. */
typedef struct sieve {
    uint64_t word[(1 << SIEVE_BITS) / 64];
} sieve;

static void sieve_make(sieve *s, const ngram_index *x, int o, int64_t from) {
    memset(s, 0, sizeof *s);
    if (x->count - x->asked > from) from = x->count - x->asked;
    rolling r = rolling_start(x, o, from);
    for (int64_t p = from; p < x->count; p++) {
        uint64_t bit = rolling_next(&r, p) >> (64 - SIEVE_BITS);
        s->word[bit / 64] |= (uint64_t)1 << bit % 64;
    }
}

/* Links the places [from, x->count) of one order, all or those that pass the sieve. */
static void link_places(ngram_index *x, int o, int64_t from) {
    int32_t *last = x->last + ((size_t)o << x->bits), *link = x->link + o * x->capacity;
    int32_t place[AHEAD];
    size_t slot[AHEAD];
    bool all = x->asked == x->capacity;
    sieve s;
    if (from < x->order[o] - 1) from = x->order[o] - 1;
    if (from >= x->count) return;
    if (!all) sieve_make(&s, x, o, from);
    rolling r = rolling_start(x, o, from);
    for (int64_t at = from; at < x->count; at += AHEAD) {
        int64_t n = x->count - at < AHEAD ? x->count - at : AHEAD;
        int passed = 0;
        for (int64_t i = 0; i < n; i++) {
            uint64_t hash = rolling_next(&r, at + i), bit = hash >> (64 - SIEVE_BITS);
            place[passed] = (int32_t)(at + i);
            slot[passed] = (size_t)(hash >> (64 - x->bits));
            __builtin_prefetch(&last[slot[passed]], 1);
            passed += all ? 1 : (int)(s.word[bit / 64] >> bit % 64 & 1);
        }
        for (int i = 0; i < passed; i++) {
            link[place[i]] = last[slot[i]];
            last[slot[i]] = place[i] + 1;
        }
    }
}

void ngram_index_append(ngram_index *x, const int32_t *ids, int64_t count, int threads) {
    int64_t from = x->count;
    CHECK(from + count <= x->capacity && (from == 0 || x->asked == x->capacity), "%lld tokens behind %lld of %lld",
          (long long)count, (long long)from, (long long)x->capacity);
    if (count) memcpy(x->ids + from, ids, (size_t)count * sizeof *ids);
    x->count += count;
#pragma omp parallel for num_threads(threads) if (threads > 1 && count >= MANY)
    for (int o = 0; o < x->orders; o++) link_places(x, o, from);
}

/* What a place's link says stood in its table before it. */
void ngram_index_truncate(ngram_index *x, int64_t count) {
    CHECK(count >= x->begin && count <= x->count && x->asked == x->capacity, "%lld tokens of %lld", (long long)count,
          (long long)x->count);
    for (int o = 0; o < x->orders; o++) {
        int32_t *last = x->last + ((size_t)o << x->bits), *link = x->link + o * x->capacity;
        for (int64_t p = x->count - 1; p >= count && p >= x->order[o] - 1; p--) {
            rolling r = rolling_start(x, o, p);
            last[rolling_next(&r, p) >> (64 - x->bits)] = link[p];
        }
    }
    x->count = count;
}

void ngram_index_copy(ngram_index *to, const ngram_index *from) {
    CHECK(to->orders == from->orders && to->capacity == from->capacity, "indices of two kinds");
    memcpy(to->ids, from->ids, (size_t)from->count * sizeof *to->ids);
    for (int o = 0; o < from->orders; o++)
        memcpy(to->link + o * to->capacity, from->link + o * from->capacity, (size_t)from->count * sizeof *to->link);
    memcpy(to->last, from->last, ((size_t)from->orders << from->bits) * sizeof *to->last);
    to->count = from->count;
    to->begin = from->begin;
}

/* ------------------------------------------------------------------ the places */

/* How many tokens up to a and up to b are the same, at most `most`, no more than stand up to either. */
static int64_t common_tokens(const int32_t *a, const int32_t *b, int64_t most) {
    int64_t n = 0;
    for (; n + 8 <= most; n += 8) {
        int32_t differ = 0;
        for (int i = 0; i < 8; i++) differ |= a[-n - i] ^ b[-n - i];
        if (differ) break;
    }
    while (n < most && a[-n] == b[-n]) n++;
    return n;
}

int ngram_index_find(const ngram_index *x, int o, int64_t place, int64_t begin, int most, ngram_match *found) {
    const int32_t *link = x->link + o * x->capacity;
    int count = 0;
    CHECK(place < x->count && place >= x->count - x->asked, "place %lld of %lld", (long long)place,
          (long long)x->count);
    if (begin < x->begin) begin = x->begin;
    if (place < x->order[o] - 1) return 0;
    for (int64_t at = link[place]; at > 0 && count < most; at = link[at - 1]) {
        int64_t there = at - 1, tokens = there - begin + 1;
        if (tokens < x->order[o]) break;
        if (tokens > LONGEST_MATCH) tokens = LONGEST_MATCH;
        int64_t length = common_tokens(x->ids + place, x->ids + there, tokens);
        if (length >= x->order[o]) found[count++] = (ngram_match){there, length};
    }
    return count;
}

/* The highest bit of x is bit *bit; the next `more` bits below it, straight between powers of two. */
static int after_highest(int64_t x, int more, int *bit) {
    *bit = 63 - __builtin_clzll((unsigned long long)x);
    return (int)((*bit >= more ? x >> (*bit - more) : x << (more - *bit)) & ((1 << more) - 1));
}

int match_class(int64_t length) {
    int octave;
    if (length <= 16) return (int)length;
    if (length > LONGEST_MATCH) length = LONGEST_MATCH;
    int quarter = after_highest(length, 2, &octave);
    return 16 + 4 * (octave - 4) + quarter;
}

int32_t match_octaves(int64_t distance) {
    int octave, part = after_highest(distance, 4, &octave);
    return OCTAVE * octave + part;
}
