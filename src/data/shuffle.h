/* A random order of the numbers 0 to count - 1, of which any can be had without the others: a permutation by a Feistel
 * network of four rounds (Luby and Rackoff 1988) over the next 4^b, walked on where it leaves the range (Black and
 * Rogaway 2002, "Ciphers with arbitrary finite domains": cycle walking). Not for secrets.
 *
 *     shuffle order = shuffle_by(numbers, count);
 *     uint32_t third = shuffle_at(&order, 2); */
#ifndef DATA_SHUFFLE_H
#define DATA_SHUFFLE_H

#include "base/rng.h"

typedef struct shuffle {
    rng_block key;
    uint32_t count, bits; /* of half a number */
} shuffle;

shuffle shuffle_by(rng_block key, uint32_t count); /* 1 to 2^30 */
uint32_t shuffle_at(const shuffle *s, uint32_t i); /* i < count */

#endif
