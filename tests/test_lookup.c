/* What a pass knows of inputs that are near and of places where the same tokens stood before: what its arrays say,
 * beside all of a row, and that no position knows of tokens behind it. */
#include "small_model.h"
#include "matches.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "model/batch.h"
#include "train/step.h"

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

enum { V = 211, CONTEXT = 150, N = 6, Z = 16, ROWS = 3 };

/* Random weights, those of norms and tables too. */
static model *build(const char *changes) {
    float *x = NULL;
    model *m = small_model("vocab_size=211 context=150 latents=6 channels=16 heads=2 layers=2 zero_head=false "
                           "index.width=5", changes);
    matrix v = m->params.values;
    must(mem_get(&x, (size_t)v.cols * sizeof *x, "weights", &err));
    backend_read_floats(be, x, &v);
    rng r = rng_make(4, RNG_TEST, 0);
    for (int64_t i = 0; i < v.cols; i++) x[i] += (float)(0.4 * rng_uniform(&r) - 0.2);
    backend_write_floats(be, &v, x);
    mem_free(x);
    parameters_round(&m->params);
    return m;
}

static int32_t drawn(int i, int alphabet) {
    return (int32_t)(rng_at(6, RNG_TEST, 0, (uint64_t)i).v[0] % (uint32_t)alphabet);
}

/* A long row, one with padding, and one that is shorter than its latents. */
static const int64_t lengths[ROWS] = {CONTEXT, 70, 4}, paddings[ROWS] = {0, 3, 0};

typedef struct inputs {
    int32_t ids[ROWS][CONTEXT];
    sequence row[ROWS];
} inputs;

/* alphabet 0: every token of a row is another. */
static void fill_inputs(inputs *in, int alphabet) {
    memset(in, 0, sizeof *in);
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < CONTEXT; i++) in->ids[r][i] = alphabet ? drawn(r * CONTEXT + i, alphabet) : i;
        in->row[r] = (sequence){.ids = in->ids[r], .length = lengths[r], .padding = paddings[r]};
    }
}

static int64_t real_length(int row) { return lengths[row] - paddings[row]; }

/* The place of a row's latent; negative: the row is too short. */
static int64_t place_of(int row, int64_t latents, int64_t n) { return real_length(row) - latents + n; }

static void hidden(model *m, const pass *p, float *out) {
    tape t;
    pass copy = *p;
    must(tape_init(&t, be, 0, &err));
    tensor *h = model_hidden(&t, m, &copy);
    assert_true(h->m.rows <= ROWS * CONTEXT && h->m.cols == Z);
    tape_read(&t, h, out);
    assert_int_equal(t.status, 0);
    tape_free(&t);
}

static void read_ints(const tensor *x, int32_t *out) {
    be->read(be, out, x->m.data, matrix_bytes(&x->m));
    backend_finish(be);
}

/* ------------------------------------------------------------------ inputs that are near */

/* A latent sees what it sees of all inputs in the range that is near to it. Where no input is left out, the arrays are
 * the same and so are the bits; else the attention's sums are cut elsewhere. */
static void near_is_a_range(void **state) {
    (void)state;
    static const char *const kinds[] = {"", "positions.kind=learned", "positions.kind=sinusoidal positions.origin=end",
                                        "cross_after_layers=0", "query=learned positions.kind=learned"};
    static const int near[] = {1, 5, 40, CONTEXT, 1000};
    static float found[ROWS * N * Z], expected[ROWS * N * Z];
    int32_t begin[ROWS * N], end[ROWS * N];
    inputs in;
    fill_inputs(&in, V);
    for (int k = 0; k < COUNT(kinds) * COUNT(near); k++) {
        char spec[128];
        int n = near[k % COUNT(near)];
        if (!test_takes(k)) continue;
        model *all = build(kinds[k / COUNT(near)]);
        snprintf(spec, sizeof spec, "near=%d%s%s", n, *kinds[k / COUNT(near)] ? " " : "", kinds[k / COUNT(near)]);
        model *some = build(spec);
        for (int i = 0; i < ROWS * N; i++) {
            int64_t at = place_of(i / N, N, i % N);
            begin[i] = (int32_t)(at - n + 1 > 0 ? at - n + 1 : 0);
            end[i] = (int32_t)(at < 0 ? 0 : at + 1);
        }
        pass p = {.batch = ROWS, .rows = in.row, .latents = N};
        hidden(some, &p, found);
        p.see = SEE_RANGES;
        p.begin = begin;
        p.end = end;
        hidden(all, &p, expected);
        for (int i = 0; i < ROWS * N * Z; i++)
            if (place_of(i / Z / N, N, i / Z % N) >= 0)
                close_to((double)found[i], (double)expected[i], n >= CONTEXT ? 0 : test_tolerance(2e-6, 1e-5), spec);
        model_close(all);
        model_close(some);
    }
}

/* The first input that is read, and the ranges of it, name exactly the kept places that are near; no other is read but by
 * rows that are shorter than others. */
static void near_inputs_are_read(void **state) {
    (void)state;
    static const char *const specs[] = {"near=1", "near=9", "near=64", "near=1000", "near=9 prefix_dropout=0.5",
                                        "near=64 prefix_dropout=0.5", "prefix_dropout=0.7",
                                        "near=20 latents_per_position=2 positions.kind=learned positions.rotary.fraction=0"};
    inputs in;
    fill_inputs(&in, 0); /* an id is its place */
    for (int k = 0; k < COUNT(specs); k++) {
        model *m = build(specs[k]);
        int64_t near = m->config.near ? m->config.near : CONTEXT, group = m->config.latents_per_position, most = 0;
        static int32_t ids[ROWS * CONTEXT], begin[ROWS * N], end[ROWS * N];
        tape t;
        batch b;
        pass p = {.batch = ROWS, .rows = in.row, .latents = N};
        must(tape_init(&t, be, 0, &err));
        t.training = true;
        t.seed = 3;
        must(batch_make(&b, &t, m, &p, N));
        read_ints(b.ids, ids);
        read_ints(b.cross.begin, begin);
        read_ints(b.cross.end, end);
        for (int r = 0; r < ROWS; r++) {
            const int32_t *kept = ids + r * b.M;
            int64_t first = place_of(r, N / group, 0), far = first - near + 1 > 0 ? first - near + 1 : 0, count = 0;
            int64_t dropped = first > far ? (int64_t)((double)(first - far) * m->config.prefix_dropout) : 0;
            while (count < b.M && kept[count] >= 0) count++;
            if (kept[0] < far) test_failed("%s, row %d: place %d is read, which is far\n", specs[k], r, kept[0]);
            assert_int_equal(count, lengths[r] - far - dropped); /* the padding too */
            if (count > most) most = count;
            for (int n = 0; n < N; n++) {
                int64_t at = place_of(r, N / group, n / group);
                for (int64_t i = 0; i < count && at >= 0; i++) {
                    bool seen = i >= begin[r * N + n] && i < end[r * N + n];
                    if (seen != (kept[i] > at - near && kept[i] <= at))
                        test_failed("%s, row %d, latent %d at place %d: place %d is %s\n", specs[k], r, n, (int)at, kept[i],
                                    seen ? "seen" : "not seen");
                }
            }
        }
        assert_int_equal(b.M, most);
        tape_free(&t);
        model_close(m);
    }
}

/* ------------------------------------------------------------------ what the index finds */

typedef struct entries {
    int32_t next[ROWS * CONTEXT * 3 * 16], matched[ROWS * CONTEXT * 3 * 16], octaves[ROWS * CONTEXT * 3 * 16];
    int64_t count;
} entries;

static void read_entries(model *m, const sequence *rows, int64_t latents, bool training, entries *out) {
    tape t;
    batch b;
    pass p = {.batch = ROWS, .rows = rows, .latents = latents};
    must(tape_init(&t, be, 0, &err));
    t.training = training;
    must(batch_make(&b, &t, m, &p, latents));
    out->count = b.found.next->m.rows;
    assert_true(out->count <= COUNT(out->next) && b.found.places == m->config.index.places);
    assert_int_equal(b.found.parts, OCTAVE);
    read_ints(b.found.next, out->next);
    read_ints(b.found.matched, out->matched);
    read_ints(b.found.octaves, out->octaves);
    tape_free(&t);
}

/* Entries of position u of a row, whose input is token `place` of `ids`; negative: there is none. Returns how many are
 * places. */
static int expect_entries(const model *m, const entries *e, int64_t position, const int32_t *ids, int64_t begin,
                          int64_t place, const char *what) {
    int P = (int)m->config.index.places, all = 0;
    for (int64_t o = 0; o < m->config.index.orders.count; o++) {
        ngram_match match[MOST_PLACES];
        int64_t first = (position * m->config.index.orders.count + o) * P;
        int n = place < 0 ? 0 : search_matches(ids, begin, m->config.index.orders.v[o], place, P, match);
        for (int k = 0; k < P; k++) {
            int32_t next = k < n ? ids[match[k].place + 1] : -1;
            int32_t matched = k < n ? match_class(match[k].length) : 0;
            int32_t octaves = k < n ? match_octaves(place - match[k].place) : 0;
            if (e->next[first + k] != next || e->matched[first + k] != matched || e->octaves[first + k] != octaves)
                test_failed("%s, position %d, head %d, place %d: %d %d %d, expected %d %d %d\n", what, (int)position,
                            (int)o, k, e->next[first + k], e->matched[first + k], e->octaves[first + k], next, matched,
                            octaves);
        }
        all += n;
    }
    return all;
}

/* They are those of all inputs, whether these are near or not, and whether they are dropped or not. */
static void all_inputs_are_indexed(void **state) {
    (void)state;
    static const char *const specs[] = {
        "index.orders=1,2,4 index.places=3", "index.orders=2 index.places=16 near=5",
        "index.orders=1,3 index.places=7 prefix_dropout=0.6", "index.orders=2,1 near=20 prefix_dropout=0.6",
        "index.orders=1 latents_per_position=2 positions.kind=learned positions.rotary.fraction=0",
        "architecture=transformer index.orders=1,2,3", "architecture=sparse-transformer index.orders=5,2 sparse.stride=7"};
    static entries found, trained;
    inputs in;
    fill_inputs(&in, 4);
    for (int k = 0; k < COUNT(specs); k++) {
        model *m = build(specs[k]);
        int64_t latents = m->type->has_latents ? N : CONTEXT, U = latents / m->config.latents_per_position;
        int all = 0;
        read_entries(m, in.row, latents, false, &found);
        assert_int_equal(found.count, ROWS * U * m->config.index.orders.count * m->config.index.places);
        for (int64_t i = 0; i < ROWS * U; i++)
            all += expect_entries(m, &found, i, in.ids[i / U], 0, place_of((int)(i / U), U, i % U), specs[k]);
        assert_true(all > 0);
        read_entries(m, in.row, latents, true, &trained);
        assert_memory_equal(&trained, &found, sizeof found);
        model_close(m);
    }
}

/* The index of a timeline, of which a row is a part that begins at token `indexed`. */
static void an_index_of_the_timeline(void **state) {
    (void)state;
    enum { TOKENS = 300, FROM = 90 };
    static entries found;
    static int32_t ids[TOKENS];
    inputs in;
    ngram_index x;
    model *m = build("index.orders=1,3 index.places=7 near=12");
    void *memory = calloc(1, ngram_index_bytes(2, TOKENS, TOKENS));
    for (int i = 0; i < TOKENS; i++) ids[i] = drawn(i, 3);
    ngram_index_init(&x, m->config.index.orders.v, 2, TOKENS, TOKENS, memory);
    ngram_index_append(&x, ids, TOKENS, 1); /* tokens behind the row are none of its business */
    fill_inputs(&in, 3);
    for (int64_t begin = 0; begin <= FROM; begin += FROM) {
        x.begin = begin;
        for (int r = 0; r < ROWS; r++) in.row[r].indexed = FROM;
        for (int r = 0; r < ROWS; r += 2) {
            in.row[r].ids = ids + FROM;
            in.row[r].index = &x;
        }
        read_entries(m, in.row, N, false, &found);
        for (int i = 0; i < ROWS * N; i++) {
            int64_t place = place_of(i / N, N, i % N);
            bool own = i / N == 1;
            expect_entries(m, &found, i, own ? in.ids[1] : ids, own ? 0 : begin, place < 0 || own ? place : FROM + place,
                           "a timeline");
        }
    }
    free(memory);
    model_close(m);
}

/* ------------------------------------------------------------------ causality */

/* States in front of a token that changes keep their bits, and its own does not. */
static void no_state_knows_what_follows(void **state) {
    (void)state;
    static const char *const specs[] = {
        "near=4 index.orders=2,3,5", "index.orders=2,3,5", "near=4 cross_after_layers=0 index.orders=2,3,5",
        "near=30 query=learned positions.kind=learned index.orders=2,3,5",
        "architecture=transformer index.orders=2,3,5", "architecture=sparse-transformer sparse.stride=5 index.orders=2,3,5",
        "architecture=sparse-transformer sparse.kind=fixed sparse.stride=5 sparse.summary=2 index.orders=2,3,5"};
    static float before[ROWS * CONTEXT * Z], after[ROWS * CONTEXT * Z];
    inputs in;
    fill_inputs(&in, 2);
    for (int k = 0; k < COUNT(specs); k++) {
        if (!test_takes(k)) continue;
        model *m = build(specs[k]);
        int64_t U = m->type->has_latents ? N : CONTEXT;
        pass p = {.batch = ROWS, .rows = in.row, .latents = U};
        hidden(m, &p, before);
        for (int64_t changed = 0; changed < U; changed += m->type->has_latents || !on_host() ? 1 + U / 9 : 7) {
            for (int r = 0; r < ROWS; r++) {
                int64_t at = place_of(r, U, changed);
                if (at >= 0) in.ids[r][at] ^= 1;
            }
            hidden(m, &p, after);
            for (int64_t i = 0; i < ROWS * U; i++) {
                bool there = place_of((int)(i / U), U, i % U) >= 0;
                bool same = !memcmp(before + i * Z, after + i * Z, Z * sizeof *after);
                if (there && ((i % U < changed && !same) || (i % U == changed && same)))
                    test_failed("%s: token %d changes, state %d of row %d is %s\n", specs[k], (int)changed, (int)(i % U),
                                (int)(i / U), same ? "the same" : "another");
            }
            for (int r = 0; r < ROWS; r++) {
                int64_t at = place_of(r, U, changed);
                if (at >= 0) in.ids[r][at] ^= 1;
            }
        }
        model_close(m);
    }
}

/* Of all places, a state knows far inputs by the index alone: a token that is followed by another is looked up. */
static void far_tokens_are_looked_up(void **state) {
    (void)state;
    static float before[N * Z], after[N * Z];
    int32_t ids[CONTEXT];
    sequence row = {.ids = ids, .length = CONTEXT};
    pass p = {.batch = 1, .rows = &row, .latents = N};
    for (int i = 0; i < CONTEXT; i++) ids[i] = 10 + i;
    ids[20] = ids[CONTEXT - 2], ids[21] = ids[CONTEXT - 1]; /* what stands at the end stood there before */
    for (int indexed = 0; indexed < 2; indexed++) {
        model *m = build(indexed ? "near=4 index.orders=2" : "near=4");
        hidden(m, &p, before);
        ids[22] += 100;
        hidden(m, &p, after);
        ids[22] -= 100;
        assert_memory_equal(before, after, (N - 1) * Z * sizeof *before);
        if (!memcmp(before + (N - 1) * Z, after + (N - 1) * Z, Z * sizeof *before) != !indexed)
            test_failed("the last state %s a far token\n", indexed ? "does not know of" : "knows of");
        model_close(m);
    }
}

/* Training reads a segment with the tokens that its memory holds, for the index; its own are those of the window. */
static void segments_know_their_memory(void **state) {
    (void)state;
    enum { SEGMENT = 12, MEMORY = 20, LENGTH = 128, SEGMENTS = 10 };
    for (int indexed = 0; indexed < 2; indexed++) {
        int32_t document[LENGTH], targets = 0;
        dataset *d;
        step_rows rows;
        window w[2];
        model *m = build(indexed ? "architecture=transformer-xl context=12 memory=20 index.orders=1"
                                 : "architecture=transformer-xl context=12 memory=20");
        must(dataset_open(&d, "recall:128", 5, &err));
        must(step_open(&rows, m, 2, &err));
        for (int k = 0; k < SEGMENTS; k++) {
            for (int r = 0; r < 2; r++)
                w[r] = (window){.document = r, .from = SEGMENT * k, .count = SEGMENT + 1, .scored = SEGMENT};
            must(step_read(&rows, d, SPLIT_TRAIN, w, 2, NULL, &err));
            for (int r = 0; r < 2; r++) {
                const sequence *s = &rows.rows.row[r];
                int64_t known = !indexed ? 0 : SEGMENT * k < MEMORY ? SEGMENT * k : MEMORY;
                must(dataset_read(d, SPLIT_TRAIN, r, 0, SEGMENT * (k + 1) + 1, document, &err));
                assert_int_equal(s->known, known);
                assert_int_equal(s->length, SEGMENT);
                assert_memory_equal(s->ids - known, document + SEGMENT * k - known, (known + SEGMENT) * sizeof *document);
                for (int i = 0; i < SEGMENT; i++) {
                    targets += s->next[i] >= 0;
                    assert_true(s->next[i] < 0 || s->next[i] == document[SEGMENT * k + i + 1]);
                }
            }
        }
        assert_true(targets > 0);
        step_close(&rows);
        dataset_close(d);
        model_close(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_is_a_range), cmocka_unit_test(near_inputs_are_read), cmocka_unit_test(all_inputs_are_indexed),
        cmocka_unit_test(an_index_of_the_timeline), cmocka_unit_test(no_state_knows_what_follows),
        cmocka_unit_test(far_tokens_are_looked_up), cmocka_unit_test(segments_know_their_memory),
    };
    return run_on_device(tests, open_backend, close_backend);
}
