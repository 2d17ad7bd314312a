/* Generated documents whose answers are determined: recall and repeat (of the copy task: test_crops.c). What is said of
 * them is found out by brute force; and where not all last targets count, windows score those that do. */
#include "scratch.h"
#include "base/mem.h"
#include "data/generated.h"
#include "data/window.h"
#include "train/step.h"

enum { DOCUMENTS = 4, MOST = 5000, BYTES_FROM = 3 };
static int32_t ids[MOST];

static dataset *open_at(const char *name, int64_t length, uint64_t seed) {
    dataset *d;
    char text[64];
    snprintf(text, sizeof text, "%s:%lld", name, (long long)length);
    must(dataset_open(&d, text, seed, &err));
    assert_true(d->generated);
    assert_string_equal(d->kind, name);
    assert_string_equal(d->place, text);
    return d;
}

static void read_whole(const dataset *d, split_name split, int64_t document) {
    int64_t n = dataset_length(d, split, document);
    assert_in_range(n, 1, MOST);
    must(dataset_read(d, split, document, 0, n, ids, &err));
    assert_int_equal(ids[0], d->tokens.start);
    for (int64_t i = 1; i < n; i++) assert_in_range(ids[i], BYTES_FROM, BYTES_FROM + 255);
}

static bool counts(const dataset *d, split_name split, int64_t document, int64_t i) {
    return dataset_next_target(d, split, document, i) == i;
}

/* How often the `size` tokens that end in front of i stand in front of them, and what follows the last time. */
static int seen_before(int64_t i, int64_t size, int32_t *behind) {
    int times = 0;
    for (int64_t k = size; k < i; k++) {
        if (memcmp(ids + k - size, ids + i - size, (size_t)size * sizeof *ids)) continue;
        *behind = ids[k];
        times++;
    }
    return times;
}

/* Every target that counts stands once before, behind the same `size` tokens. Returns how many there are. */
static int64_t check_answers(const dataset *d, split_name split, int64_t document, int64_t size) {
    int64_t n = dataset_length(d, split, document), targets = 0;
    read_whole(d, split, document);
    for (int64_t i = 0; i < n; i++) {
        int32_t behind = -1;
        if (!counts(d, split, document, i)) continue;
        targets++;
        int times = seen_before(i, size, &behind);
        if (times != 1 || behind != ids[i] || i < d->first_target)
            test_failed("%s, document %d: what is in front of target %d stands there %d times, with %d behind, not %d\n",
                        d->place, (int)document, (int)i, times, behind, ids[i]);
    }
    assert_true(counts(d, split, document, n - 1));
    assert_true(dataset_next_target(d, split, document, n) >= n);
    return targets;
}

/* ------------------------------------------------------------------ recall */

static void recall_answers(void **state) {
    (void)state;
    static const int64_t lengths[] = {49, 50, 72, 73, 74, 96, 97, 240, 1024, 5000};
    for (size_t k = 0; k < COUNT(lengths); k++) {
        dataset *d = open_at("recall", lengths[k], 7 + k);
        int64_t pairs = (lengths[k] - 1) / 24, first = lengths[k] - 8 * pairs;
        assert_int_equal(d->first_target, first + 4);
        for (int64_t i = 0; i < DOCUMENTS; i++) {
            assert_int_equal(dataset_length(d, SPLIT_TRAIN, i), lengths[k]);
            assert_int_equal(check_answers(d, SPLIT_TRAIN, i, 3), 4 * pairs);
            for (int64_t t = 0; t < lengths[k]; t++)
                assert_true(counts(d, SPLIT_TRAIN, i, t) == (t >= first && (t - first) % 8 >= 4));
        }
        dataset_close(d);
    }
}

/* v k k k v v v k: which kind each token of a pair is; n is noise */
static char kind_of(int32_t id) { return id < BYTES_FROM + 64 ? 'n' : id < BYTES_FROM + 160 ? 'k' : 'v'; }

/* Pairs of all slots, and how often one stands at each place there; noise around them. */
static void recall_places(void **state) {
    (void)state;
    enum { LENGTH = 4801, PAIRS = 200, SLOTS = 1, TAIL = SLOTS + 16 * PAIRS };
    dataset *d = open_at("recall", LENGTH, 3);
    int place[9] = {0}, order = 0, begins[2] = {0};
    for (int64_t i = 0; i < 20; i++) {
        read_whole(d, SPLIT_TEST, i);
        for (int p = 0; p < PAIRS; p++) {
            int at = 0;
            const int32_t *slot = ids + SLOTS + 16 * p;
            while (kind_of(slot[at]) == 'n') at++;
            assert_in_range(at, 0, 8);
            place[at]++;
            for (int k = 0; k < 16; k++)
                assert_int_equal(kind_of(slot[k]), k < at || k >= at + 8 ? 'n' : "vkkkvvvk"[k - at]);
            int32_t *asked = ids + TAIL;
            while (memcmp(asked, slot + at, 8 * sizeof *ids)) assert_true((asked += 8) < ids + LENGTH);
            order += asked == ids + TAIL + 8 * p;
            for (int k = 0; k < 2; k++) begins[k] += slot[at + 7 * k] == BYTES_FROM + (k ? 64 : 160);
        }
    }
    for (int k = 0; k < 9; k++) assert_in_range(place[k], 340, 550); /* 444 +- 20 */
    assert_in_range(order, 0, 50);                                   /* 20: one of each document */
    for (int k = 0; k < 2; k++) assert_in_range(begins[k], 15, 75);  /* 42 */
    dataset_close(d);
}

/* As many pairs as there can be: each three in front of a value's token are there once. */
static void recall_at_full_length(void **state) {
    (void)state;
    enum { PIECE = 1 << 16 };
    dataset *d = open_at("recall", GENERATED_LONGEST, 5);
    unsigned char *seen = NULL;
    int32_t *part = NULL;
    int64_t found[4] = {0}, body = GENERATED_LONGEST - 8 * ((GENERATED_LONGEST - 1) / 24);
    static const char *const kinds[4] = {"kkk", "kkv", "kvv", "vvv"};
    must(mem_get(&seen, (size_t)1 << 24, "bytes", &err));
    must(mem_get(&part, (PIECE + 2) * sizeof *part, "tokens", &err));
    for (int64_t from = 1; from < body - 2; from += PIECE) {
        int64_t n = body - from < PIECE + 2 ? body - from : PIECE + 2;
        must(dataset_read(d, SPLIT_TRAIN, 1, from, n, part, &err));
        for (int64_t k = 0; k + 2 < n; k++) {
            char three[4] = {kind_of(part[k]), kind_of(part[k + 1]), kind_of(part[k + 2]), 0};
            int code = (part[k] - BYTES_FROM) << 16 | (part[k + 1] - BYTES_FROM) << 8 | (part[k + 2] - BYTES_FROM);
            for (int i = 0; i < 4; i++) {
                if (strcmp(three, kinds[i])) continue;
                if (seen[code]++) test_failed("tokens %lld to %lld stand there twice\n", (long long)(from + k), (long long)(from + k + 2));
                found[i]++;
            }
        }
    }
    for (int i = 0; i < 4; i++) assert_int_equal(found[i], (GENERATED_LONGEST - 1) / 24);
    mem_free(seen);
    mem_free(part);
    dataset_close(d);
}

/* ------------------------------------------------------------------ repeat */

static void repeat_answers(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {/* document, shortest and longest passage */
                                       {16, 3, 4}, {17, 3, 4}, {31, 3, 7}, {64, 8, 16}, {127, 15, 31},
                                       {256, 32, 64}, {1019, 32, 254}, {1020, 32, 255}, {4096, 32, 255}};
    for (size_t k = 0; k < COUNT(sizes); k++) {
        const int64_t n = sizes[k][0];
        dataset *d = open_at("repeat", n, 40 + k);
        assert_int_equal(d->first_target, n - sizes[k][2] + 2);
        for (int64_t i = 0; i < 3 * DOCUMENTS; i++) {
            int64_t length = check_answers(d, SPLIT_TEST, i, 2) + 2, again = n - length;
            assert_in_range(length, sizes[k][1], sizes[k][2]);
            for (int64_t t = 0; t < n; t++) assert_true(counts(d, SPLIT_TEST, i, t) == (t >= again + 2));
            for (int64_t t = again; t + 1 < n; t++) { /* neighbours, the last two as well */
                int times = 0;
                for (int64_t s = 1; s < again; s++) times += ids[s] == ids[t] && ids[s + 1] == ids[t + 1];
                assert_int_equal(times, 1);
            }
        }
        dataset_close(d);
    }
}

/* Where passages stand, how long they are, and which bytes surround them. */
static void repeat_places(void **state) {
    (void)state;
    enum { LENGTH = 64, DRAWS = 4000 };
    dataset *d = open_at("repeat", LENGTH, 11);
    int size[17] = {0}, beginning = 0, end = 0, count[2][256] = {{0}};
    double squares[2] = {0};
    for (int64_t i = 0; i < DRAWS; i++) {
        read_whole(d, SPLIT_TRAIN, i);
        int64_t length = LENGTH + 2 - dataset_next_target(d, SPLIT_TRAIN, i, 1), again = LENGTH - length, at = 1;
        while (memcmp(ids + at, ids + again, (size_t)length * sizeof *ids)) at++;
        assert_true(at + length < again);
        size[length]++;
        beginning += at == 1;
        end += at + length + 1 == again;
        for (int64_t t = 1; t < again; t++)
            if (t < at || t >= at + length) count[t % 2][ids[t] - BYTES_FROM]++;
    }
    for (int k = 8; k <= 16; k++) assert_in_range(size[k], 350, 540); /* 444 +- 20 */
    for (int k = 0; k < 2; k++) assert_in_range(k ? end : beginning, 80, 180); /* one of 31 to 47: 105 */
    for (int k = 0; k < 2; k++) {
        double mean = 0;
        for (int b = 0; b < 256; b++) mean += count[k][b] / 256.0;
        for (int b = 0; b < 256; b++) squares[k] += pow(count[k][b] - mean, 2) / mean;
        close_to(squares[k], 255, 5 * sqrt(2 * 255), "chi-squared of the bytes of noise");
    }
    dataset_close(d);
}

/* ------------------------------------------------------------------ both */

static const char *const names[] = {"recall", "repeat"};

static void pieces(void **state) {
    (void)state;
    enum { LENGTH = 700 };
    int32_t part[64];
    for (size_t k = 0; k < COUNT(names); k++) {
        dataset *d = open_at(names[k], LENGTH, 21);
        for (int64_t i = 0; i < DOCUMENTS; i++) {
            read_whole(d, SPLIT_VALIDATION, i);
            for (int64_t from = 0; from < LENGTH; from += 7)
                for (int64_t n = 0; n < 64 && from + n <= LENGTH; n += 9) {
                    must(dataset_read(d, SPLIT_VALIDATION, i, from, n, part, &err));
                    assert_memory_equal(part, ids + from, (size_t)n * sizeof *part);
                }
        }
        dataset_close(d);
    }
}

/* The same seed, split and document again; and each of the three changed. */
static void documents_differ(void **state) {
    (void)state;
    enum { LENGTH = 1000 };
    static const int which[5][3] = {{1, 0, 0}, {1, 0, 0}, {1, 0, 1}, {1, 2, 0}, {2, 0, 0}};
    static int32_t all[5][LENGTH];
    for (size_t k = 0; k < COUNT(names); k++)
        for (int i = 0; i < 5; i++) {
            dataset *d = open_at(names[k], LENGTH, (uint64_t)which[i][0]);
            read_whole(d, (split_name)which[i][1], which[i][2]);
            memcpy(all[i], ids, sizeof all[i]);
            dataset_close(d);
            for (int j = 0; j < i; j++) {
                int same = 0;
                for (int t = 1; t < LENGTH; t++) same += all[i][t] == all[j][t];
                if (i == 1) assert_int_equal(same, LENGTH - 1);
                else assert_in_range(same, 0, 40); /* of noise one of 64 or 256 by chance */
            }
        }
}

/* What a document draws for one thing says nothing of what it draws for another. */
static void streams_differ(void **state) {
    (void)state;
    dataset *d = open_at("recall", 64, 1);
    generated_document g = {d, SPLIT_VALIDATION, 3, 64};
    rng_block seen[30];
    int count = 0;
    for (uint32_t stream = 0; stream < 5; stream++)
        for (g.split = SPLIT_TRAIN; g.split <= SPLIT_TEST; g.split++)
            for (int64_t i = 0; i < 2; i++) {
                seen[count] = generated_numbers(&g, stream, i);
                for (int k = 0; k < count; k++) assert_memory_not_equal(&seen[k], &seen[count], sizeof *seen);
                count++;
            }
    dataset_close(d);
}

/* A document of a shorter length is that of the data set which has it in its name. */
static void lengths_grow(void **state) {
    (void)state;
    static const int64_t asked[][3] = {/* length, of recall, of repeat */
                                       {1, 49, 16}, {16, 49, 16}, {48, 49, 48}, {49, 49, 49}, {333, 333, 333},
                                       {600, 600, 600}, {601, 600, 600}, {9999, 600, 600}};
    static int32_t grown[600];
    for (size_t k = 0; k < COUNT(names); k++) {
        dataset *d = open_at(names[k], 600, 4);
        for (size_t i = 0; i < COUNT(asked); i++) {
            const int64_t n = asked[i][k + 1];
            dataset_resize(d, asked[i][0]);
            assert_int_equal(dataset_length(d, SPLIT_TRAIN, 5), n);
            must(dataset_read(d, SPLIT_TRAIN, 5, 0, n, grown, &err));
            dataset *named = open_at(names[k], n, 4);
            read_whole(named, SPLIT_TRAIN, 5);
            assert_memory_equal(grown, ids, (size_t)n * sizeof *ids);
            assert_int_equal(d->first_target, named->first_target);
            dataset_close(named);
        }
        dataset_close(d);
    }
}

static void names_and_lengths(void **state) {
    (void)state;
    static const char *const bad[] = {
        "recall:", "recall:48", "recall:0", "recall:-50", "recall:16777217", "recall:1e3", "recall:64x", "repeat:",
        "repeat:15", "repeat:16777217", "repeat:16 ", "repeat:0x10"};
    static const char *const none[] = {"recall", "recal:64", "recall64", "recalls:64", ":64", "", "repeat/:64", "Copy:64"};
    dataset *d = NULL;
    int64_t n;
    for (size_t i = 0; i < COUNT(bad); i++) refused(dataset_open(&d, bad[i], 0, &err), PCV_USAGE, bad[i]);
    refused(dataset_open(&d, "recall:48", 0, &err), PCV_USAGE, "48 is out of range, expected 49 to 16777216");
    assert_null(d);
    for (size_t i = 0; i < COUNT(none); i++) assert_null(generator_of(none[i]));
    assert_ptr_equal(generator_of("recall:x"), &associative_recall);
    assert_ptr_equal(generator_of("repeat:64"), &repeated_passage);
    must(generated_length("repeat:064", &n, &err));
    assert_int_equal(n, 64);
    d = open_at("repeat", GENERATED_LONGEST, 1);
    must(dataset_read(d, SPLIT_TEST, ((int64_t)1 << 31) - 1, GENERATED_LONGEST - 300, 300, ids, &err));
    dataset_close(d);
}

/* The copy task's documents alone stand in the middle. */
static void places_of_documents(void **state) {
    (void)state;
    static const struct { const char *name; int64_t middle; } cases[] = {{"copy:64", 64}, {"recall:64", 0}, {"repeat:64", 0}, {"books", 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        model_config m = {.positions = {.middle = -1}};
        dataset_middle(cases[i].name, &m);
        assert_int_equal(m.positions.middle, cases[i].middle);
    }
}

/* ------------------------------------------------------------------ windows */

/* Each target that counts once, by windows that score one at least, which their rows predict and nothing else. */
static void blocks_score_what_counts(void **state) {
    (void)state;
    static const int cases[][2] = {{1, 1}, {1, 40}, {3, 3}, {7, 20}, {8, 64}, {64, 300}, {300, 300}};
    enum { LENGTH = 260 };
    for (size_t k = 0; k < COUNT(names); k++)
        for (size_t i = 0; i < COUNT(cases); i++) {
            dataset *d = open_at(names[k], LENGTH, 8);
            int times[DOCUMENTS][LENGTH] = {{0}};
            int64_t windows = 0, targets = 0;
            block_plan plan;
            window w;
            window_rows rows;
            model m = {0};
            block_open(&plan, d, SPLIT_TEST, cases[i][1], cases[i][0], DOCUMENTS);
            must(window_rows_open(&rows, 2, 2 * (cases[i][1] + 1), &err));
            for (; block_next(&plan, &w); windows++) {
                int64_t own = 0;
                if (rows.count == 2) window_rows_clear(&rows);
                must(window_rows_read(&rows, &m, d, SPLIT_TEST, &w, &err));
                sequence *s = &rows.row[rows.count - 1];
                for (int64_t t = 0; t < s->length; t++) {
                    bool scored = t >= s->length - s->scored && counts(d, SPLIT_TEST, w.document, w.from + t + 1);
                    assert_int_equal(s->next[t], scored ? s->ids[t + 1] : -1);
                    own += scored;
                    if (scored) times[w.document][w.from + t + 1]++;
                }
                assert_int_equal(s->scored, w.scored);
                assert_true(own > 0);
                assert_int_equal(own, window_targets(d, SPLIT_TEST, &w, w.scored));
                for (int64_t kept = 1; kept <= own; kept++) {
                    window less = w;
                    window_keep(d, SPLIT_TEST, &less, kept);
                    assert_true(less.scored >= kept && less.scored <= w.scored && less.count == w.count);
                    assert_int_equal(window_targets(d, SPLIT_TEST, &less, less.scored), kept);
                    assert_true(counts(d, SPLIT_TEST, w.document, w.from + w.count - less.scored));
                }
                targets += own;
            }
            assert_true(windows == plan.count && targets == plan.targets);
            for (int64_t n = 0; n < DOCUMENTS; n++)
                for (int64_t t = 0; t < LENGTH; t++) assert_int_equal(times[n][t], counts(d, SPLIT_TEST, n, t));
            window_rows_close(&rows);
            dataset_close(d);
        }
}

/* Windows to train on end behind any target that counts and no other; every eighth one is the last. */
static void crops_end_with_what_counts(void **state) {
    (void)state;
    enum { LENGTH = 73, DRAWS = 4000, CONTEXT = 20 };
    for (size_t k = 0; k < COUNT(names); k++) {
        dataset *d = open_at(names[k], LENGTH, 6);
        crop_plan plan;
        bool ends[LENGTH + 1] = {false};
        int last = 0, expected = 0;
        must(crop_open(&plan, d, SPLIT_TRAIN, CONTEXT, 1, &err));
        rng r = rng_make(2, RNG_TEST, 0);
        for (int i = 0; i < DRAWS; i++) {
            window w = crop_draw(&plan, &r);
            int64_t end = w.from + w.count, n = 0, reached = 0;
            assert_true(counts(d, SPLIT_TRAIN, w.document, end - 1));
            for (int64_t t = w.from + 1; t < end; t++) {
                bool here = counts(d, SPLIT_TRAIN, w.document, t);
                n += here;
                reached += here && t >= end - 5;
            }
            assert_true(counts(d, SPLIT_TRAIN, w.document, end - w.scored)); /* the first one */
            assert_int_equal(window_targets(d, SPLIT_TRAIN, &w, CONTEXT), n);
            assert_int_equal(window_targets(d, SPLIT_TRAIN, &w, 5), reached);
            ends[end] = true;
            last += end == LENGTH;
        }
        for (int64_t t = d->first_target; t < LENGTH; t++) { /* of recall each document has the same ones */
            if (k == 0) assert_int_equal(ends[t + 1], counts(d, SPLIT_TRAIN, 0, t));
            expected += ends[t + 1];
        }
        if (k == 0) close_to(last / (double)DRAWS, 1 / 8.0 + 7 / 8.0 / expected, 0.03, "windows that end with their document");
        assert_true(k == 0 || expected == LENGTH - d->first_target);
        crop_close(&plan);
        dataset_close(d);
    }
}

/* How many targets pieces have: half of the queries, or what repetitions have on average. */
static void targets_of_pieces(void **state) {
    (void)state;
    dataset *d = open_at("recall", 1024, 1);
    assert_int_equal(dataset_last_targets(d, SPLIT_TRAIN, 100), 52); /* of 25 times 4, the last 4 first */
    assert_int_equal(dataset_last_targets(d, SPLIT_TRAIN, 4), 4);
    assert_int_equal(dataset_last_targets(d, SPLIT_TRAIN, 2000), 4 * 42);
    dataset_close(d);
    d = open_at("repeat", 64, 1);
    assert_int_equal(dataset_last_targets(d, SPLIT_TRAIN, 5), 5);
    assert_in_range(dataset_last_targets(d, SPLIT_TRAIN, 64), 8, 12); /* 12 - 2 */
    dataset_close(d);
}

/* An update has about as many targets that count as it was to have, an evaluation just as many. */
static void trained_and_evaluated(void **state) {
    (void)state;
    enum { UPDATES = 8 };
    static const char *const training[] = {
        "context", "120", "latents", "16", "channels", "8", "heads", "1", "layers", "1", "batch", "1", "total-batch", "64",
        "steps", "8", "eval-every", "1000", "save-minutes", "0", NULL};
    static const char *const parts[][3] = {/* stride, tokens, how many are scored */
                                           {"16", "0", "192"}, {"5", "0", "192"}, {"1", "9", "9"}, {"5", "9", "9"}, {"16", "9", "9"}};
    pcv_settings *s;
    pcv_engine *engine;
    pcv_train_report report;
    must(pcv_settings_open(&s, &err));
    set_all(s, training);
    must(pcv_train(&(pcv_train_options){.dataset = "recall:120", .run = at("run")}, s, NULL, &report, &err));
    assert_in_range(report.tokens, UPDATES * 40, UPDATES * 64); /* 8 of 16 latents, fewer near the first answer */
    must(pcv_engine_open(&engine, at("run"), NULL, &err));
    assert_string_equal(pcv_engine_kind(engine), "recall");
    for (size_t i = 0; i < COUNT(parts); i++) {
        pcv_settings *own;
        pcv_evaluation e;
        must(pcv_settings_open(&own, &err));
        set_all(own, (const char *const[]){"stride", parts[i][0], "tokens", parts[i][1], NULL});
        must(pcv_evaluate(engine, NULL, own, NULL, &e, &err));
        assert_int_equal(e.tokens, atoi(parts[i][2]));
        pcv_settings_close(own);
    }
    pcv_engine_close(engine);
    pcv_settings_close(s);
}

#define T(test) cmocka_unit_test(test)

/* The label of a set is the kind whose values, by what its bytes say, sum up to most; and every kind comes up. */
static void sets(void **state) {
    (void)state;
    enum { ITEMS = 9, KINDS = 6 };
    dataset *d = open_at("sets", ITEMS, 4);
    int seen[KINDS] = {0};
    assert_true(d->unordered);
    assert_int_equal(d->classes, KINDS);
    for (int n = 0; n < 300; n++) {
        int sum[KINDS] = {0}, best = 0;
        assert_int_equal(dataset_length(d, SPLIT_TEST, n), ITEMS + 1);
        must(dataset_read(d, SPLIT_TEST, n, 0, ITEMS + 1, ids, &err));
        assert_int_equal(ids[0], d->tokens.start);
        for (int i = 1; i <= ITEMS; i++) {
            int byte = ids[i] - d->tokens.first;
            assert_in_range(byte, 0, KINDS * 16 - 1);
            sum[byte / 16] += byte % 16;
        }
        for (int k = 1; k < KINDS; k++)
            if (sum[k] > sum[best]) best = k;
        assert_int_equal(d->type->label(d, SPLIT_TEST, n), best);
        seen[best]++;
    }
    for (int k = 0; k < KINDS; k++) assert_in_range(seen[k], 20, 120);
    dataset_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T(recall_answers), T(recall_places), T(recall_at_full_length), T(repeat_answers), T(repeat_places), T(pieces),
        T(documents_differ), T(streams_differ), T(lengths_grow), T(names_and_lengths), T(places_of_documents), T(blocks_score_what_counts),
        T(crops_end_with_what_counts), T(targets_of_pieces), T(trained_and_evaluated), T(sets),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
