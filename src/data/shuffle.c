#include "data/shuffle.h"

shuffle shuffle_by(rng_block key, uint32_t count) {
    shuffle s = {.key = key, .count = count, .bits = 1};
    while (count > 1u << 2 * s.bits) s.bits++;
    return s;
}

/* 32 bits that each depend on every bit of x (the finalizer of MurmurHash3, Appleby 2011). */
static uint32_t mix(uint32_t x) {
    x = (x ^ x >> 16) * 0x85ebca6b;
    x = (x ^ x >> 13) * 0xc2b2ae35;
    return x ^ x >> 16;
}

static uint32_t four_rounds(const shuffle *s, uint32_t i) {
    uint32_t mask = (1u << s->bits) - 1, high = i >> s->bits, low = i & mask;
    for (int r = 0; r < 4; r++) {
        uint32_t next = (high ^ mix(low ^ s->key.v[r])) & mask;
        high = low;
        low = next;
    }
    return high << s->bits | low;
}

uint32_t shuffle_at(const shuffle *s, uint32_t i) {
    do i = four_rounds(s, i);
    while (i >= s->count);
    return i;
}
