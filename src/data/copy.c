/* The mirrored copy task (Hawthorne et al. 2022, section 5.1): a start token, h random bytes, the same
 * bytes in reverse, an end token; LENGTH = 2 h + 2 tokens. The second half can be known perfectly by
 * who remembers the first. */
#include "data/generated.h"

enum { BYTES }; /* streams */

static void read_copy(const generated_document *g, int64_t from, int64_t count, int32_t *ids) {
    const tokenizer *t = &g->d->tokens;
    int64_t half = (g->length - 2) / 2;
    for (int64_t k = 0; k < count; k++) {
        int64_t i = from + k;
        if (i == 0) ids[k] = t->start;
        else if (i == g->length - 1) ids[k] = t->end;
        else ids[k] = t->first + generated_byte(g, BYTES, i <= half ? i - 1 : 2 * half - i);
    }
}

static int64_t first_target(int64_t length) { return length / 2; }

const generator mirrored_copy = {
    .name = "copy", .least = 4, .even = true, .middle = true, .first_target = first_target, .read = read_copy};
