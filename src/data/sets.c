/* Sets: items of six kinds, each with a value of 0 to 15, in no order. Which kind has the largest sum of values is the
 * label; where two have it, the first of them. An item is one byte, sixteen times its kind and its value. */
#include "data/generated.h"

enum { KINDS = 6, VALUES = 16 };
static const char *const names[] = {"kind 0", "kind 1", "kind 2", "kind 3", "kind 4", "kind 5", NULL};

static int item(const generated_document *g, int64_t i) {
    return generated_byte(g, 0, i) % KINDS * VALUES + generated_byte(g, 1, i) % VALUES;
}

static int32_t label(const generated_document *g) {
    int64_t sum[KINDS] = {0};
    int32_t best = 0;
    for (int64_t i = 0; i < g->length - 1; i++) {
        int x = item(g, i);
        sum[x / VALUES] += x % VALUES;
    }
    for (int32_t k = 1; k < KINDS; k++)
        if (sum[k] > sum[best]) best = k;
    return best;
}

static void read(const generated_document *g, int64_t from, int64_t count, int32_t *ids) {
    const tokenizer *t = &g->d->tokens;
    for (int64_t i = 0; i < count; i++)
        ids[i] = from + i == 0 ? t->start : t->first + item(g, from + i - 1);
}

static int64_t first_target(int64_t length) { return length; }

const generator labelled_sets = {.name = "sets", .least = 2, .most = 1 << 20, .tokens = 1, .classes = names,
                                 .label = label, .unordered = true, .first_target = first_target, .read = read};
