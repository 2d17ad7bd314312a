#include "base/rng.h"

#include <Random123/philox.h>
#include <math.h>

rng_block rng_at(uint64_t seed, uint32_t purpose, uint32_t step, uint64_t index) {
    philox4x32_ctr_t counter = {{(uint32_t)index, (uint32_t)(index >> 32), step, purpose}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t out = philox4x32(counter, key);
    return (rng_block){{out.v[0], out.v[1], out.v[2], out.v[3]}};
}

rng rng_make(uint64_t seed, rng_purpose purpose, uint32_t step) {
    return (rng){.seed = seed, .purpose = (uint32_t)purpose, .step = step};
}

uint32_t rng_u32(rng *r) {
    if (r->left == 0) {
        r->block = rng_at(r->seed, r->purpose, r->step, r->index++);
        r->left = 4;
    }
    return r->block.v[4 - r->left--];
}

static uint64_t u64(rng *r) {
    uint64_t high = rng_u32(r);
    return high << 32 | rng_u32(r);
}

uint64_t rng_below(rng *r, uint64_t bound) {
    uint64_t skip = (0 - bound) % bound; /* 2^64 mod bound: the uneven part at the bottom */
    uint64_t x;
    do x = u64(r);
    while (x < skip);
    return x % bound;
}

double rng_uniform(rng *r) { return (double)(u64(r) >> 11) * 0x1p-53; }

double rng_normal(rng *r) {
    double radius = sqrt(-2.0 * log(1.0 - rng_uniform(r))); /* Box and Muller 1958 */
    return radius * cos(6.283185307179586 * rng_uniform(r));
}
