/* A random passage among noise that comes again at the document's end:
 *
 *     start | noise | passage | noise, a token at least | passage
 *
 * How long the passage is and where it stands is drawn for each document: 32 to 255 tokens, fewer in documents of less
 * than 1,020, whose passage is an eighth to a quarter of them. What counts is the repetition from its third token on.
 *
 * Each of these targets is known to who finds the two tokens in front of it: no pair of neighbours of the passage
 * stands anywhere else in front of the repetition, be it in the passage, in noise, or where they meet. Everything is a
 * random byte, and a pair that must not be is avoided by taking the next one that makes none. In noise the even places
 * are drawn alone and the odd ones then with a view to both neighbours, so that any place is known without those before
 * it. There always is such a byte: of the 256 each pair forbids one next to a neighbour (the pair that both neighbours
 * make: two), and a passage has 254 pairs at most. */
#include "data/generated.h"

enum { SHAPE, PASSAGE, NOISE }; /* streams */
enum { LEAST = 32, MOST = 255, LEAST_LENGTH = 16, NOBODY = -1 };

typedef struct passage {
    const generated_document *g;
    int64_t length, at, again; /* where it stands */
    int byte[MOST];
    uint64_t pairs[256 * 256 / 64]; /* bits: are these two neighbours in the passage? */
} passage;

/* ------------------------------------------------------------------ shape */

static int64_t longest(int64_t document) { return document / 4 < MOST ? document / 4 : MOST; }

static int64_t length_of(const generated_document *g) {
    int64_t most = longest(g->length), least = most / 2 < LEAST ? most / 2 : LEAST;
    if (least < 3) least = 3; /* a target */
    return least + generated_numbers(g, SHAPE, 0).v[0] % (most - least + 1);
}

static int64_t place_of(const generated_document *g, int64_t length) {
    rng_block any = generated_numbers(g, SHAPE, 0);
    uint64_t places = (uint64_t)(g->length - 2 * length - 1);
    return 1 + (int64_t)(((uint64_t)any.v[1] << 32 | any.v[2]) % places);
}

/* ------------------------------------------------------------------ bytes */

static bool has_pair(const passage *p, int left, int right) {
    if (left == NOBODY || right == NOBODY) return false;
    return p->pairs[left * 4 + right / 64] >> right % 64 & 1;
}

/* The first byte from `byte` on that makes no pair of the passage with its neighbours. */
static int fitting(const passage *p, int byte, int left, int right) {
    while (has_pair(p, left, byte) || has_pair(p, byte, right)) byte = (byte + 1) % 256;
    return byte;
}

static passage passage_of(const generated_document *g) {
    passage p = {.g = g, .length = length_of(g)};
    p.at = place_of(g, p.length);
    p.again = g->length - p.length;
    for (int k = 0; k < p.length; k++) {
        int left = k ? p.byte[k - 1] : NOBODY;
        int byte = p.byte[k] = fitting(&p, generated_byte(g, PASSAGE, k), left, NOBODY);
        if (k) p.pairs[left * 4 + byte / 64] |= 1ull << byte % 64;
    }
    return p;
}

static bool is_noise(const passage *p, int64_t i) {
    return i > 0 && i < p->again && (i < p->at || i >= p->at + p->length);
}

static int byte_at(const passage *p, int64_t i);

/* What place i of noise must fit to: an even one to the passage alone, an odd one to even ones, too. */
static int neighbour(const passage *p, int64_t i, int64_t of) {
    return i == 0 || (of % 2 == 0 && is_noise(p, i)) ? NOBODY : byte_at(p, i);
}

static int byte_at(const passage *p, int64_t i) {
    if (i >= p->again) return p->byte[i - p->again];
    if (!is_noise(p, i)) return p->byte[i - p->at];
    return fitting(p, generated_byte(p->g, NOISE, i), neighbour(p, i - 1, i), neighbour(p, i + 1, i));
}

static void read_passage(const generated_document *g, int64_t from, int64_t count, int32_t *ids) {
    passage p = passage_of(g);
    for (int64_t k = 0; k < count; k++)
        ids[k] = from + k ? g->d->tokens.first + byte_at(&p, from + k) : g->d->tokens.start;
}

/* ------------------------------------------------------------------ targets */

static int64_t first_target(int64_t length) { return length - longest(length) + 2; }

static int64_t next_target(const generated_document *g, int64_t i) {
    int64_t first = g->length - length_of(g) + 2;
    return i < first ? first : i;
}

const generator repeated_passage = {.name = "repeat", .least = LEAST_LENGTH, .first_target = first_target,
                                    .next_target = next_target, .read = read_passage};
