/* Windows into documents: crops to train on, blocks that score everything once, segments that follow each other (the
 * official data tests as far as our interface has their cases); and the documents of the copy task. */
#include "scratch.h"
#include "data/window.h"

/* ------------------------------------------------------------------ documents in memory */

/* Token i of any document is 50 + i, as in the official block test. */
enum { MOST_DOCUMENTS = 8, BASE = 50 };
typedef struct lengths {
    int64_t count, of[MOST_DOCUMENTS];
} lengths;

static int64_t counted(const dataset *d, split_name split) {
    (void)split;
    return ((const lengths *)d->state)->count;
}

static int64_t length_of(const dataset *d, split_name split, int64_t i) {
    (void)split;
    return ((const lengths *)d->state)->of[i];
}

static int read_numbers(const dataset *d, split_name split, int64_t i, int64_t from, int64_t count,
                        int32_t *ids, pcv_error *err) {
    (void)d, (void)split, (void)i, (void)err;
    for (int64_t k = 0; k < count; k++) ids[k] = (int32_t)(BASE + from + k);
    return 0;
}

static const dataset_type in_memory = {counted, length_of, read_numbers, NULL, NULL, NULL, NULL};

static dataset documents_of(lengths *l) {
    return (dataset){.type = &in_memory, .name = "memory", .first_target = 1, .state = l};
}

/* ------------------------------------------------------------------ crops */

typedef struct crop_case {
    const char *what;
    lengths l;
    int64_t context, shortest, first[MOST_DOCUMENTS]; /* least end of a window, per document */
    int windows;
} crop_case;

/* Draws many crops and checks them against the list of all windows: the ends first..length of every
 * document, each as likely as the others, each reading back to the context. */
static void check_crops(const crop_case *c, lengths l) {
    enum { DRAWS = 30000, MOST_ENDS = 64 };
    dataset d = documents_of(&l);
    crop_plan plan;
    double count[MOST_DOCUMENTS][MOST_ENDS] = {{0}}, squares = 0, mean = (double)DRAWS / c->windows;
    int found = 0;
    must(crop_open(&plan, &d, SPLIT_TRAIN, c->context, c->shortest, &err));
    rng r = rng_make(11, RNG_TEST, (uint32_t)c->context);
    for (int i = 0; i < DRAWS; i++) {
        window w = crop_draw(&plan, &r);
        int64_t end = w.from + w.count;
        assert_in_range(w.document, 0, l.count - 1);
        assert_in_range(end, c->first[w.document], l.of[w.document]);
        assert_int_equal(w.from, end > c->context + 1 ? end - c->context - 1 : 0);
        assert_true(w.count >= 2 && w.scored == w.count - 1);
        count[w.document][end]++;
    }
    for (int64_t k = 0; k < l.count; k++)
        for (int64_t end = c->first[k]; end <= l.of[k] && l.of[k] >= 2; end++) {
            found += count[k][end] > 0;
            squares += pow(count[k][end] - mean, 2) / mean;
        }
    if (found != c->windows) test_failed("%s: %d windows, not %d\n", c->what, found, c->windows);
    /* chi-squared: mean n - 1, variance 2 (n - 1) */
    assert_true(squares <= c->windows - 1 + 5 * sqrt(2.0 * c->windows));
    crop_close(&plan);
    crop_close(&plan);
}

static void crops(void **state) {
    (void)state;
    static const crop_case cases[] = {
        {"abcde, 3 at least: abc, abcd, abcde", {1, {5}}, 9, 3, {3}, 3},
        {"official 12: every prefix with a target", {1, {12}}, 20, 1, {2}, 11},
        {"official 13: minimum 5", {1, {12}}, 20, 6, {6}, 7},
        {"official 14, 17: minimum and context beyond the end", {1, {12}}, 30, 21, {12}, 1},
        {"official 15, 19: context 8, minimum 6", {1, {12}}, 7, 6, {6}, 7},
        {"official 18: context 5, minimum 20: full windows", {1, {12}}, 4, 20, {5}, 8},
        {"the shortest that there are", {2, {2, 3}}, 1, 0, {2, 2}, 3},
        {"documents of all lengths", {7, {12, 0, 3, 1, 2, 30, 1}}, 7, 4, {4, 0, 3, 0, 2, 4, 0}, 38},
        {"long and short", {3, {40, 10, 25}}, 15, 16, {16, 10, 16}, 36},
    };
    for (size_t i = 0; i < COUNT(cases); i++) check_crops(&cases[i], cases[i].l);
    crop_plan plan;
    lengths none = {3, {1, 0, 1}};
    dataset d = documents_of(&none);
    refused(crop_open(&plan, &d, SPLIT_TEST, 8, 4, &err), PCV_DATA, "memory: the test split");
}

/* Crops of the copy task hold a target of the mirrored half, however short the context; with a long
 * one they have all lengths from half on (131072: 65537 to 131072). */
static void copy_crops(void **state) {
    (void)state;
    static const int64_t cases[][3] = {/* context, shortest, least end */
                                       {63, 1, 33}, {63, 20, 33}, {63, 50, 50}, {63, 64, 64},
                                       {47, 1, 33}, {32, 5, 33},  {20, 1, 33},  {8, 9, 33},
                                       {1, 1, 33}};
    dataset *d;
    must(dataset_open(&d, "copy:64", 5, &err));
    for (size_t i = 0; i < COUNT(cases); i++) {
        const int64_t context = cases[i][0];
        crop_plan plan;
        bool ends[65] = {false};
        double last = 0;
        must(crop_open(&plan, d, SPLIT_TRAIN, context, cases[i][1], &err));
        rng r = rng_make(2, RNG_TEST, 0);
        for (int k = 0; k < 2000; k++) {
            window w = crop_draw(&plan, &r);
            int64_t end = w.from + w.count, all = end - 32 < w.count - 1 ? end - 32 : w.count - 1;
            assert_true(w.from >= 0 && end <= 64 && w.count <= context + 1);
            if (w.scored < 1 || w.scored != all)
                test_failed("context %d: tokens %d to %d score %d targets\n", (int)context,
                            (int)w.from, (int)end, (int)w.scored);
            ends[end] = true;
            last += end == 64;
        }
        for (int64_t end = 0; end <= 64; end++) assert_int_equal(ends[end], end >= cases[i][2]);
        double p = 1 / 8.0 + 7 / 8.0 / (double)(65 - cases[i][2]); /* every eighth, and its share of the others */
        close_to(last / 2000, p, 4 * sqrt(p * (1 - p) / 2000), "windows that end with their document");
        crop_close(&plan);
    }
    dataset_close(d);
}

/* A part of the windows reads less, from the shortest on, each octave as often as the others; where they end is drawn as
 * ever. */
static void varied_contexts(void **state) {
    (void)state;
    enum { CONTEXT = 1024, SHORTEST = 17 /* 6 octaves */, WINDOWS = 8000 };
    lengths l = {1, {100000}};
    dataset d = documents_of(&l);
    crop_plan plan;
    double octave[6] = {0}, p = 0.5 / 6, whole = 0;
    must(crop_open(&plan, &d, SPLIT_TRAIN, CONTEXT, SHORTEST, &err));
    plan.vary = 0.5;
    rng r = rng_make(3, RNG_TEST, 0);
    for (int k = 0; k < WINDOWS; k++) {
        window w = crop_draw(&plan, &r);
        int64_t inputs = w.count - 1;
        assert_true(inputs >= SHORTEST - 1 && inputs <= CONTEXT && w.scored == inputs);
        if (inputs == CONTEXT) whole++;
        else octave[(int)log2((double)inputs / (SHORTEST - 1))]++;
    }
    close_to(whole / WINDOWS, 0.5, 4 * sqrt(0.25 / WINDOWS) + 0.01, "windows of the whole context");
    for (int i = 0; i < 6; i++) /* inputs are whole numbers: short of a few hundredths in the lowest octave */
        close_to(octave[i] / WINDOWS, p, 4 * sqrt(p * (1 - p) / WINDOWS) + 0.005, "windows of an octave");
    crop_close(&plan);
}

/* ------------------------------------------------------------------ blocks */

/* Data test 21: ten inputs 50..59, stride 3, context 6. */
static void official_blocks(void **state) {
    (void)state;
    static const int expected[][3] = {{50, 50, 1}, {50, 53, 3}, {51, 56, 3}, {54, 59, 3}};
    lengths l = {1, {11}};
    dataset d = documents_of(&l);
    block_plan plan;
    window w;
    int32_t ids[7];
    block_open(&plan, &d, SPLIT_TEST, 6, 3, 99);
    assert_true(plan.count == 4 && plan.targets == 10 && plan.documents == 1);
    for (size_t i = 0; i < COUNT(expected); i++) {
        int first = expected[i][0], last = expected[i][1]; /* inputs */
        assert_true(block_next(&plan, &w));
        must(window_read(&d, SPLIT_TEST, &w, ids, &err));
        assert_int_equal(w.count - 1, last - first + 1);
        for (int k = 0; k < w.count; k++) assert_int_equal(ids[k], first + k);
        assert_int_equal(w.scored, expected[i][2]);
    }
    assert_false(block_next(&plan, &w));
}

/* Every target from d->first_target on exactly once, behind as much context as there may be. */
static void check_cover(const dataset *d, int64_t stride, int64_t context, int64_t documents) {
    block_plan plan;
    window w;
    int64_t windows = 0, targets = 0;
    int seen[MOST_DOCUMENTS][64] = {{0}};
    block_open(&plan, d, SPLIT_TEST, context, stride, documents);
    for (; block_next(&plan, &w); windows++) {
        int64_t inputs = w.count - 1, end = w.from + w.count;
        assert_true(w.from >= 0 && end <= dataset_length(d, SPLIT_TEST, w.document));
        assert_true(w.scored >= 1 && w.scored <= stride && w.scored <= inputs);
        assert_true(inputs == context || (inputs < context && w.from == 0));
        for (int64_t i = end - w.scored; i < end; i++) seen[w.document][i]++;
        targets += w.scored;
    }
    assert_true(windows == plan.count && targets == plan.targets);
    for (int64_t k = 0; k < plan.documents; k++)
        for (int64_t i = 0; i < dataset_length(d, SPLIT_TEST, k); i++)
            if (seen[k][i] != (i >= d->first_target))
                test_failed("stride %d, context %d: target %d of document %d scored %d times\n",
                            (int)stride, (int)context, (int)i, (int)k, seen[k][i]);
}

/* Data test 22, and more strides, for documents alone and together. */
static void covering_blocks(void **state) {
    (void)state;
    static const int cases[][2] = {{2, 2}, {2, 4}, {2, 8}, {3, 3}, {3, 6}, {1, 1}, {1, 50}, {9, 9}};
    static const lengths sets[] = {{1, {10}}, {1, {11}}, {1, {12}}, {1, {13}}, {1, {14}}, {1, {42}},
                                   {1, {43}}, {2, {1, 0}}, {8, {10, 1, 11, 0, 13, 2, 42, 1}}};
    dataset *copy;
    must(dataset_open(&copy, "copy:32", 1, &err));
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t k = 0; k < COUNT(sets); k++) {
            lengths l = sets[k];
            dataset d = documents_of(&l);
            check_cover(&d, cases[i][0], cases[i][1], 0);
        }
        check_cover(copy, cases[i][0], cases[i][1], 3);
    }
    dataset_close(copy);
}

/* ------------------------------------------------------------------ streams */

/* Each row walks through all segments in order, beginning where its part of them does; a segment's inputs are those of
 * its document that follow the last one's, and its targets those that count. */
static void check_stream(const dataset *d, int64_t segment, int64_t rows, int64_t documents) {
    stream_plan plan;
    window all[64];
    int64_t count = 0;
    for (int64_t k = 0; k < documents; k++) {
        int64_t n = dataset_length(d, SPLIT_TRAIN, k);
        for (int64_t from = 0; from < n - 1; from += segment) {
            int64_t inputs = n - 1 - from < segment ? n - 1 - from : segment, scored = 0;
            for (int64_t i = from; i < from + inputs; i++) scored += i + 1 >= d->first_target;
            all[count++] = (window){.document = k, .from = from, .count = inputs + 1, .scored = scored,
                                    .whole = d->generated ? n : 0};
        }
    }
    must(stream_open(&plan, d, SPLIT_TRAIN, segment, &err));
    if (d->generated) plan.count = count; /* of documents without end, the first */
    assert_int_equal(plan.count, count);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t turn = 0; turn < 2 * count + 1; turn++) {
            window found = stream_at(&plan, row, rows, turn), expected = all[(count / rows * row + turn) % count];
            assert_memory_equal(&found, &expected, sizeof found);
        }
    stream_close(&plan);
}

static void streams(void **state) {
    (void)state;
    lengths l = {5, {9, 2, 1, 23, 8}};
    for (int64_t segment = 1; segment < 12; segment++)
        for (int64_t rows = 1; rows <= 5; rows++)
            for (int64_t first = 1; first < 8; first += 3) {
                dataset d = documents_of(&l), *copy;
                d.first_target = first;
                check_stream(&d, segment, rows, l.count);
                must(dataset_open(&copy, "copy:16", 3, &err));
                check_stream(copy, segment, rows, 3);
                dataset_close(copy);
            }
    lengths empty = {2, {1, 0}};
    dataset d = documents_of(&empty);
    stream_plan plan;
    refused(stream_open(&plan, &d, SPLIT_TRAIN, 4, &err), PCV_DATA, "the train split has no text");
}

/* ------------------------------------------------------------------ copy task */

static void mirror_images(void **state) {
    (void)state;
    static const int sizes[] = {4, 6, 16, 38, 1024};
    static int32_t ids[1024], part[1024];
    for (size_t i = 0; i < COUNT(sizes); i++) {
        dataset *d;
        char name[32];
        int n = sizes[i];
        snprintf(name, sizeof name, "copy:%d", n);
        must(dataset_open(&d, name, 3, &err));
        assert_true(d->generated && d->first_target == n / 2);
        for (int64_t k = 0; k < 5; k++) {
            assert_int_equal(dataset_length(d, SPLIT_TEST, k), n);
            must(dataset_read(d, SPLIT_TEST, k, 0, n, ids, &err));
            assert_true(ids[0] == 2 && ids[n - 1] == 1);
            for (int t = 1; t < n - 1; t++) { /* of 16: events 1 to 7 are 8 to 14 reversed */
                assert_in_range(ids[t], 3, 258);
                assert_int_equal(ids[t], ids[n - 1 - t]);
            }
            for (int from = 0; from < n; from += 1 + n / 7) {
                int count = n - from < 9 ? n - from : 9;
                must(dataset_read(d, SPLIT_TEST, k, from, count, part, &err));
                assert_memory_equal(part, ids + from, (size_t)count * sizeof *part);
            }
        }
        dataset_close(d);
    }
}

/* The same seed, split and document again; and each of the three changed. */
static void copy_documents_differ(void **state) {
    (void)state;
    enum { LENGTH = 4002, HALF = LENGTH / 2 - 1 };
    static const int which[5][3] = {{1, 0, 0}, {1, 0, 0}, {1, 0, 1}, {1, 2, 0}, {2, 0, 0}};
    static int32_t ids[5][LENGTH];
    double count[256] = {0}, squares = 0;
    for (int i = 0; i < 5; i++) {
        dataset *d;
        must(dataset_open(&d, "copy:4002", (uint64_t)which[i][0], &err));
        must(dataset_read(d, (split_name)which[i][1], which[i][2], 0, LENGTH, ids[i], &err));
        for (int t = 1; i && t <= HALF; t++) count[ids[i][t] - 3]++;
        int same = 0;
        for (int k = 1; k < i; k++)
            for (int t = 1; t <= HALF; t++) same += ids[i][t] == ids[k][t];
        assert_in_range(same, 0, 60); /* 3 * 7.8 by chance */
        dataset_close(d);
    }
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    int alike[2] = {0}; /* the upper half of a byte and either half of the next, by chance one of 16 */
    for (int t = 1; t < HALF; t++) {
        int now = ids[2][t] - 3, next = ids[2][t + 1] - 3;
        alike[0] += now >> 4 == next >> 4;
        alike[1] += now >> 4 == (next & 15);
    }
    for (int k = 0; k < 2; k++) assert_in_range(alike[k], 80, 170); /* 125 +- 11 */
    for (int b = 0; b < 256; b++) squares += pow(count[b] - HALF / 64.0, 2) / (HALF / 64.0);
    close_to(squares, 255, 5 * sqrt(2 * 255), "chi-squared of the bytes");
}

static void copy_lengths(void **state) {
    (void)state;
    static const char *const bad[] = {
        "copy:", "copy:5", "copy:2", "copy:0", "copy:-4", "copy:16777218", "copy:1e3", "copy:abc",
        "copy:99999999999999999999", "copy:16x", "copy:16 ", "copy:16.0", "copy:0x10"};
    dataset *d = NULL;
    int32_t ids[4];
    for (size_t i = 0; i < COUNT(bad); i++) {
        refused(dataset_open(&d, bad[i], 0, &err), PCV_USAGE, bad[i]);
        assert_null(d);
    }
    must(dataset_open(&d, "copy:16777216", 0, &err));
    must(dataset_read(d, SPLIT_TRAIN, 9, 8388606, 4, ids, &err));
    assert_true(ids[0] == ids[3] && ids[1] == ids[2]);
    dataset_close(d);
    dataset_close(NULL);
}

#define T(test) cmocka_unit_test(test)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(crops), T(copy_crops), T(varied_contexts), T(official_blocks), T(covering_blocks), T(streams), T(mirror_images),
        T(copy_documents_differ), T(copy_lengths),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
