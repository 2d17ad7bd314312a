/* Associative recall of many pairs (Arora et al. 2023, arXiv 2312.04927: multi-query associative recall), stretched
 * over a long document. LENGTH - 1 = 24 P + r tokens, r < 24:
 *
 *     start | r tokens of noise | P slots of 16 tokens, a pair somewhere in each, noise around it | P pairs again
 *
 * A pair is a key of 4 tokens and its value of 4. At the end each pair stands once more, in another order: a key asks,
 * its value answers, and the targets that count are the answers' tokens.
 *
 * Each of them is known to who finds the 3 tokens in front of it, which stand in the document once before, in front of
 * the same token. Two things see to that:
 * - Bytes of noise, keys and values are different ones, but that a key begins with a byte of values and a value ends
 *   with one of keys: v k k k, v v v k. So three in a row tell by their kinds whether they stand in front of the first
 *   (kkk), second (kkv), third (kvv) or fourth token of a value (vvv), or anywhere else.
 * - Of the 6 tokens between those two, the first three are digits of a number that no other pair of the document has,
 *   and each further one is that of three places before, permuted as the two between say: any three in a row tell the
 *   others, and so the pair. */
#include "data/generated.h"
#include "data/shuffle.h"

#include <assert.h>

enum { NOISE, ORDER, NUMBERS, PAIRS, TURNS }; /* streams */
enum { QUARTET = 4, PAIR = 2 * QUARTET, SLOT = 16 };
enum { FIRST_KEY = 64, FIRST_VALUE = 160, KINDS = 96 }; /* bytes of noise stand below; keys and values have as many */

static const uint32_t CODES = KINDS * KINDS * KINDS;
static_assert(GENERATED_LONGEST / (SLOT + PAIR) <= KINDS * KINDS * KINDS, "more pairs than numbers");
static_assert(3 * KINDS * KINDS < 1 << 24, "more turns than numbers of a stream");

typedef struct recall {
    const generated_document *g;
    int64_t pairs, slots, tail; /* where the slots begin, and the pairs again */
    shuffle order, codes;
    int64_t held; /* the pair whose bytes are here, and where it stands in its slot */
    int64_t at;
    int byte[PAIR];
} recall;

static int64_t pairs_of(int64_t length) { return (length - 1) / (SLOT + PAIR); }

static recall recall_of(const generated_document *g) {
    recall r = {.g = g, .pairs = pairs_of(g->length), .held = -1};
    r.tail = g->length - r.pairs * PAIR;
    r.slots = r.tail - r.pairs * SLOT;
    r.order = shuffle_by(generated_numbers(g, ORDER, 0), (uint32_t)r.pairs);
    r.codes = shuffle_by(generated_numbers(g, NUMBERS, 0), CODES);
    return r;
}

/* Digit k + 3, from digits k, k + 1 and k + 2. */
static uint32_t turn(const recall *r, int k, const uint32_t *digit) {
    int64_t between = (k * KINDS + digit[1]) * KINDS + digit[2];
    shuffle s = shuffle_by(generated_numbers(r->g, TURNS, between), KINDS);
    return shuffle_at(&s, digit[0]);
}

static void hold(recall *r, int64_t pair) {
    if (r->held == pair) return;
    rng_block any = generated_numbers(r->g, PAIRS, pair);
    uint32_t code = shuffle_at(&r->codes, (uint32_t)pair);
    uint32_t digit[6] = {code / (KINDS * KINDS), code / KINDS % KINDS, code % KINDS};
    for (int k = 0; k < 3; k++) digit[k + 3] = turn(r, k, digit + k);
    r->held = pair;
    r->at = any.v[0] % (SLOT - PAIR + 1);
    r->byte[0] = FIRST_VALUE + (int)(any.v[1] % KINDS);
    for (int k = 0; k < 6; k++) r->byte[k + 1] = (k < 3 ? FIRST_KEY : FIRST_VALUE) + (int)digit[k];
    r->byte[PAIR - 1] = FIRST_KEY + (int)(any.v[2] % KINDS);
}

static int byte_at(recall *r, int64_t i) {
    int64_t in_slot = -1;
    if (i >= r->tail) {
        hold(r, shuffle_at(&r->order, (uint32_t)((i - r->tail) / PAIR)));
        return r->byte[(i - r->tail) % PAIR];
    }
    if (i >= r->slots) {
        hold(r, (i - r->slots) / SLOT);
        in_slot = (i - r->slots) % SLOT - r->at;
    }
    return in_slot >= 0 && in_slot < PAIR ? r->byte[in_slot] : generated_byte(r->g, NOISE, i) % FIRST_KEY;
}

static void read_recall(const generated_document *g, int64_t from, int64_t count, int32_t *ids) {
    recall r = recall_of(g);
    for (int64_t k = 0; k < count; k++)
        ids[k] = from + k ? g->d->tokens.first + byte_at(&r, from + k) : g->d->tokens.start;
}

static int64_t first_target(int64_t length) { return length - pairs_of(length) * PAIR + QUARTET; }

static int64_t next_target(const generated_document *g, int64_t i) {
    int64_t first = first_target(g->length), in_pair = i < first ? 0 : (i - first) % PAIR;
    if (i < first) return first;
    return in_pair < QUARTET ? i : i + PAIR - in_pair;
}

/* Two pairs at least: one would be known without reading its key. */
const generator associative_recall = {.name = "recall", .least = 1 + 2 * (SLOT + PAIR), .first_target = first_target,
                                      .next_target = next_target, .read = read_recall};
