/* The index of the places where the same tokens stood before: what it finds is what looking at every place finds,
 * however the tokens came and went; and the classes of lengths and distances. */
#include "check.h"
#include "matches.h"
#include "base/rng.h"

enum { MOST = 128, TOKENS = 700, CAPACITY = 1000, MANY = 9000 /* which are linked by several threads */ };

static const int64_t orders[] = {1, 2, 3, 5, 8, 64};
enum { ORDERS = sizeof orders / sizeof *orders };

static uint32_t drawn(uint32_t stream, int64_t i) { return rng_at(11, RNG_TEST, stream, (uint64_t)i).v[0]; }

/* Random ids of an alphabet; or, of none, a text of 7 tokens that comes again and again, with a fault now and then. */
static int32_t token(int alphabet, int64_t i) {
    if (alphabet) return (int32_t)(drawn((uint32_t)alphabet, i) % (uint32_t)alphabet);
    return i % 331 == 330 ? 99 : (int32_t)(i % 7);
}

static int32_t *tokens(int alphabet, int64_t count) {
    int32_t *ids = malloc((size_t)count * sizeof *ids);
    for (int64_t i = 0; i < count; i++) ids[i] = token(alphabet, i);
    return ids;
}

/* An index asks nothing of its memory. */
static void *dirty(size_t bytes) {
    void *memory = malloc(bytes);
    return memset(memory, 0xA5, bytes);
}

static void open_last(ngram_index *x, int64_t capacity, int64_t asked) {
    ngram_index_init(x, orders, ORDERS, capacity, asked, dirty(ngram_index_bytes(ORDERS, capacity, asked)));
}

static void open_index(ngram_index *x, int64_t capacity) { open_last(x, capacity, capacity); }

static void close_index(ngram_index *x) { free(x->ids); }

/* In one call, or (pieces > 1) in pieces of fewer tokens, some of none. */
static void append(ngram_index *x, const int32_t *ids, int64_t count, int pieces, int threads) {
    for (int64_t at = 0, n, k = 0; at < count; at += n) {
        n = pieces > 1 ? drawn(1000, k++) % (uint32_t)pieces : count;
        if (n > count - at) n = count - at;
        ngram_index_append(x, ids + at, n, threads);
    }
}

/* The same links and tables, and so the same answers for all that may come. */
static void same_index(const ngram_index *a, const ngram_index *b, const char *what) {
    assert_int_equal(a->count, b->count);
    if (memcmp(a->ids, b->ids, (size_t)a->count * sizeof *a->ids)) test_failed("%s: other tokens\n", what);
    for (int o = 0; o < ORDERS; o++)
        if (memcmp(a->link + o * a->capacity, b->link + o * b->capacity, (size_t)a->count * sizeof *a->link))
            test_failed("%s: other links of order %d\n", what, (int)orders[o]);
    if (memcmp(a->last, b->last, ((size_t)ORDERS << a->bits) * sizeof *a->last)) test_failed("%s: another table\n", what);
}

/* Every place from `begin` on that can be asked for, of every order. */
static void finds_all(const ngram_index *x, int most, const char *what) {
    ngram_match found[MOST], expected[MOST];
    for (int o = 0; o < ORDERS; o++)
        for (int64_t place = x->begin; place < x->count; place++) {
            if (place < x->count - x->asked) continue;
            int n = ngram_index_find(x, o, place, 0, most, found);
            int wanted = search_matches(x->ids, x->begin, orders[o], place, most, expected);
            if (n != wanted)
                test_failed("%s, order %d, place %d: %d places, expected %d\n", what, (int)orders[o], (int)place, n, wanted);
            for (int k = 0; k < n; k++)
                if (found[k].place != expected[k].place || found[k].length != expected[k].length)
                    test_failed("%s, order %d, place %d: match %d is %d tokens at %d, expected %d at %d\n", what,
                                (int)orders[o], (int)place, k, (int)found[k].length, (int)found[k].place,
                                (int)expected[k].length, (int)expected[k].place);
        }
}

static const int alphabets[] = {1, 2, 4, 256, 0};
enum { ALPHABETS = sizeof alphabets / sizeof *alphabets };

/* Tables are small and large, so that many tokens share a slot, or few. */
static void every_place_is_found(void **state) {
    (void)state;
    static const int64_t capacities[] = {TOKENS, CAPACITY, 40000};
    static const int most[] = {1, 16, MOST};
    for (int k = 0; k < ALPHABETS; k++)
        for (int i = 0; i < 3; i++) {
            char what[64];
            ngram_index x;
            int32_t *ids = tokens(alphabets[k], TOKENS);
            snprintf(what, sizeof what, "alphabet %d, capacity %d", alphabets[k], (int)capacities[i]);
            open_index(&x, capacities[i]);
            append(&x, ids, TOKENS, 1, 1);
            finds_all(&x, most[i], what);
            close_index(&x);
            free(ids);
        }
}

/* Where the last places alone can be asked for, these find all that they would find else. */
static void the_last_places(void **state) {
    (void)state;
    static const int64_t counts[] = {MANY, TOKENS, 3}, asked[] = {1, 3, 40, 500, 650};
    for (int k = 0; k < ALPHABETS; k++)
        for (int i = 0; i < 15; i++) {
            int64_t count = counts[i / 5], last = asked[i % 5] < count ? asked[i % 5] : count;
            char what[64];
            ngram_index x;
            int32_t *ids = tokens(alphabets[k], count);
            snprintf(what, sizeof what, "alphabet %d, the last %d of %d", alphabets[k], (int)last, (int)count);
            open_last(&x, count + (i % 2 ? 0 : 100), last);
            append(&x, ids, count, 1, 2);
            finds_all(&x, 16, what);
            close_index(&x);
            free(ids);
        }
}

/* And of a long text almost nothing else is linked. */
static void few_are_linked(void **state) {
    (void)state;
    enum { LAST = 5, ORDER = 4 };
    ngram_index x;
    int32_t *ids = tokens(256, MANY);
    int linked = 0;
    open_last(&x, MANY, LAST);
    append(&x, ids, MANY, 1, 1);
    for (int64_t i = 0; i < 1 << x.bits; i++) linked += x.last[((int64_t)ORDER << x.bits) + i] != 0;
    assert_in_range(linked, LAST, 2 * LAST);
    close_index(&x);
    free(ids);
}

/* A text of one token: all places in front are found, the longest match ends where comparing does. */
static void the_longest_match(void **state) {
    (void)state;
    ngram_index x;
    ngram_match found[MOST];
    int32_t *ids = tokens(1, TOKENS);
    open_index(&x, TOKENS);
    append(&x, ids, TOKENS, 1, 1);
    for (int64_t place = 100; place < TOKENS; place++) {
        assert_int_equal(ngram_index_find(&x, 0, place, 0, 1, found), 1);
        assert_int_equal(found[0].place, place - 1);
        assert_int_equal(found[0].length, place < LONGEST_MATCH ? place : LONGEST_MATCH);
    }
    close_index(&x);
    free(ids);
}

static void in_pieces_and_by_threads(void **state) {
    (void)state;
    for (int k = 0; k < ALPHABETS; k++) {
        ngram_index whole, parts;
        int32_t *ids = tokens(alphabets[k], MANY);
        open_index(&whole, MANY);
        append(&whole, ids, MANY, 1, 1);
        for (int threads = 1; threads <= 2; threads++)
            for (int pieces = 1; pieces <= 200; pieces += 199) {
                open_index(&parts, MANY);
                append(&parts, ids, MANY, pieces, threads);
                same_index(&parts, &whole, "in pieces");
                close_index(&parts);
            }
        for (int i = 0; i < 3; i++) { /* one by one at first */
            open_index(&parts, MANY);
            append(&parts, ids, 100, 2, 1);
            append(&parts, ids + 100, MANY - 100, 1 + 100 * i, 2);
            same_index(&parts, &whole, "one by one");
            close_index(&parts);
        }
        close_index(&whole);
        free(ids);
    }
}

/* Tokens in front of where an index begins are not looked at, though they have been appended. */
static void begins_later(void **state) {
    (void)state;
    for (int k = 0; k < ALPHABETS; k++)
        for (int64_t begin = 1; begin < TOKENS; begin += 233) {
            ngram_index x;
            int32_t *ids = tokens(alphabets[k], TOKENS);
            open_index(&x, TOKENS);
            append(&x, ids, TOKENS, 50, 1);
            x.begin = begin;
            finds_all(&x, 16, "begins later");
            close_index(&x);
            free(ids);
        }
}

/* What is taken back leaves nothing: with other tokens behind it an index equals one that never had them. */
static void truncated(void **state) {
    (void)state;
    for (int k = 0; k < ALPHABETS; k++) {
        ngram_index x, fresh;
        int32_t *ids = tokens(alphabets[k], TOKENS), *other = tokens(3, TOKENS);
        open_index(&x, CAPACITY);
        for (int i = 0; i < 30; i++) {
            int64_t kept = i == 0 ? 0 : i < 4 ? i : (int64_t)(drawn(1001, i) % TOKENS), more = drawn(1002, i) % 90;
            if (more > TOKENS - kept) more = TOKENS - kept;
            ngram_index_append(&x, ids + x.count, TOKENS - x.count, 1);
            ngram_index_truncate(&x, kept);
            open_index(&fresh, CAPACITY);
            append(&fresh, ids, kept, 1, 1);
            same_index(&x, &fresh, "truncated");
            append(&x, other, more, 20, 1);
            append(&fresh, other, more, 1, 1);
            same_index(&x, &fresh, "truncated, and gone on");
            close_index(&fresh);
            ngram_index_truncate(&x, kept); /* back to what `ids` begin with */
        }
        append(&x, ids + x.count, TOKENS - x.count, 1, 1);
        finds_all(&x, 16, "truncated");
        close_index(&x);
        free(ids);
        free(other);
    }
}

/* Into one that has held other, and more, tokens. */
static void copied(void **state) {
    (void)state;
    ngram_index a, b;
    int32_t *ids = tokens(4, TOKENS), *other = tokens(2, CAPACITY);
    open_index(&a, CAPACITY);
    open_index(&b, CAPACITY);
    append(&a, ids, 500, 1, 1);
    append(&b, other, CAPACITY, 1, 1);
    a.begin = 40;
    ngram_index_copy(&b, &a);
    same_index(&b, &a, "a copy");
    assert_int_equal(b.begin, 40);
    append(&a, ids + 500, 200, 1, 1);
    append(&b, ids + 500, 200, 9, 1);
    same_index(&b, &a, "a copy that went on");
    finds_all(&b, 16, "a copy");
    close_index(&a);
    close_index(&b);
    free(ids);
    free(other);
}

/* ------------------------------------------------------------------ numbers */

static void classes_of_lengths(void **state) {
    (void)state;
    static const int64_t length[] = {16, 19, 20, 23, 24, 28, 31, 32, 39, 40, 64, 128, 192, 223, 224, 255, 256};
    static const int class[] = {16, 16, 17, 17, 18, 19, 19, 20, 20, 21, 24, 28, 30, 30, 31, 31, 32};
    for (int i = 0; i <= 16; i++) assert_int_equal(match_class(i), i);
    for (size_t i = 0; i < sizeof class / sizeof *class; i++) assert_int_equal(match_class(length[i]), class[i]);
    for (int64_t i = 1; i < 1000; i++) {
        int step = match_class(i) - match_class(i - 1);
        assert_true(step == 0 || step == 1);
    }
    assert_int_equal(match_class(LONGEST_MATCH), MATCH_CLASSES - 1);
    assert_int_equal(match_class(LONGEST_MATCH - 1), MATCH_CLASSES - 2);
    assert_int_equal(match_class(INT64_C(1) << 40), MATCH_CLASSES - 1);
}

/* A straight line between powers of two lies at most 0.0861 below the logarithm; and parts are whole ones. */
static void octaves_of_distances(void **state) {
    (void)state;
    assert_int_equal(match_octaves(1), 0);
    assert_int_equal(match_octaves(3), OCTAVE + OCTAVE / 2);
    assert_int_equal(match_octaves(5), 2 * OCTAVE + OCTAVE / 4);
    assert_int_equal(match_octaves(31), 4 * OCTAVE + OCTAVE - 1);
    assert_int_equal(match_octaves(17), 4 * OCTAVE + 1);
    for (int bit = 0; bit < 62; bit++) {
        int64_t power = INT64_C(1) << bit;
        assert_int_equal(match_octaves(power), OCTAVE * bit);
        if (bit) assert_true(match_octaves(power - 1) < OCTAVE * bit && match_octaves(power + 1) >= OCTAVE * bit);
    }
    for (int64_t i = 2; i < 70000; i++) {
        double exact = OCTAVE * log2((double)i), below = exact - match_octaves(i);
        if (match_octaves(i) < match_octaves(i - 1) || below < -1e-9 || below > 0.0861 * OCTAVE + 1)
            test_failed("distance %d: %d parts of an octave, exactly %.3f\n", (int)i, (int)match_octaves(i), exact);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_place_is_found), cmocka_unit_test(the_last_places),
        cmocka_unit_test(few_are_linked), cmocka_unit_test(the_longest_match),
        cmocka_unit_test(in_pieces_and_by_threads), cmocka_unit_test(begins_later), cmocka_unit_test(truncated),
        cmocka_unit_test(copied), cmocka_unit_test(classes_of_lengths), cmocka_unit_test(octaves_of_distances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
