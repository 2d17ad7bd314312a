/* What predictions look at, as people are told: maps of models that see near inputs alone, the list of one prediction
 * against the map, the scores and the op of the index heads, and texts around tokens. */
#include "device.h"
#include "scratch.h"
#include "base/text.h"
#include "config/settings.h"
#include "eval/attended.h"
#include "eval/attention.h"
#include "model/parts.h"
#include "token/excerpt.h"

#include <math.h>

/* ------------------------------------------------------------------ a model in memory */

enum { CONTEXT = 48, LATENTS = 12, NEAR = 9, TOKENS = 90, PLACES = 3, HEADS = 3, VOCABULARY = 259 };

typedef struct bench {
    pcv_engine e;
    pcv_settings *settings;
    int32_t ids[TOKENS]; /* the start token first; those behind it are the file "ids" */
} bench;

static void write_weight(model *m, const char *name, uint32_t stream) {
    const tensor *w = &parameters_slice(&m->params, parameters_find(&m->params, name)).owner->t;
    float values[HEADS * MATCH_CLASSES];
    assert_true(w->m.rows * w->m.cols <= (int64_t)COUNT(values));
    for (int i = 0; i < (int)COUNT(values); i++) values[i] = (float)rng_at(5, RNG_TEST, stream, (uint64_t)i).v[0] / 4e9f;
    backend_write_floats(m->be, &w->m, values);
}

/* A text of few letters, so that there is much to find. */
static void open_bench(bench *b, const char *choices) {
    model_config c;
    char file[8 * TOKENS];
    int size = 0;
    *b = (bench){.e = {.run = "memory"}};
    must(tokenizer_open(&b->e.tokens, "bytes", NULL, &err));
    must(settings_model(NULL, &c, &err));
    must(settings_apply_list("channels=16 heads=2 cross_heads=2 layers=1 zero_head=false near=0 index.orders=none",
                             &model_fields, "", &c, &err));
    c.context = CONTEXT;
    c.latents = LATENTS;
    c.vocab_size = b->e.tokens.vocab;
    must(settings_apply_list(choices, &model_fields, "", &c, &err));
    must(model_config_check(&c, &err));
    b->e.be = test_backend(&(backend_options){.threads = 1});
    must(model_open(&b->e.m, &c, b->e.be, false, &err));
    must(model_init(b->e.m, 3, &err));
    if (c.index.orders.count) write_weight(b->e.m, "index.length.weight", 1);
    if (c.index.orders.count) write_weight(b->e.m, "index.slope.weight", 2);
    b->ids[0] = b->e.tokens.start;
    for (int i = 1; i < TOKENS; i++) {
        b->ids[i] = b->e.tokens.first + 'a' + (int32_t)(rng_at(7, RNG_TEST, 3, (uint64_t)i).v[0] % 3);
        size += snprintf(file + size, 8, "%d ", b->ids[i]);
    }
    put("ids", file, (size_t)size);
    must(pcv_settings_open(&b->settings, &err));
}

static void close_bench(bench *b) {
    pcv_settings_close(b->settings);
    model_close(b->e.m);
    b->e.be->close(b->e.be);
    tokenizer_close(&b->e.tokens);
}

static pcv_attended told(bench *b, int64_t token, int64_t top) {
    pcv_attended a;
    attended_question q = {.path = at("ids"), .are_ids = true, .token = token, .top = top};
    must(attended_tell(&b->e, &q, b->settings, NULL, &a, &err));
    return a;
}

static pcv_attention drawn(bench *b, int64_t size) {
    pcv_attention m;
    must(attention_look(&b->e, at("ids"), true, size, b->settings, NULL, &m, &err));
    return m;
}

static const char with_all[] = "near=9 index.orders=1,2,4 index.places=3 index.width=5";

/* ------------------------------------------------------------------ maps */

/* Every query's probabilities stand at the inputs that it sees, whether others in front of them were read or not. */
static void near_maps(void **state) {
    (void)state;
    bench b;
    open_bench(&b, "near=9");
    pcv_attention m = drawn(&b, CONTEXT);
    assert_int_equal(m.bins, CONTEXT);
    assert_int_equal(m.rows, LATENTS);
    for (int64_t r = 0; r < m.rows; r++) {
        double sum = 0;
        for (int64_t i = 0; i < m.bins; i++) {
            int64_t back = m.first_query + r - i;
            double p = (double)m.value[r * m.bins + i];
            if ((p > 0) != (back >= 0 && back < NEAR))
                test_failed("query %d gives %g to input %d\n", (int)(m.first_query + r), p, (int)i);
            sum += p;
        }
        close_to(sum, 1, 1e-5, "a row of the map");
    }
    pcv_attention coarse = drawn(&b, 6);
    for (int64_t k = 0; k < coarse.rows; k++) {
        double expected[6] = {0};
        for (int64_t i = 0; i < m.bins; i++)
            expected[i * 6 / m.bins] += (double)m.value[k * (LATENTS / coarse.rows) * m.bins + i];
        for (int i = 0; i < 6; i++) close_to((double)coarse.value[k * 6 + i], expected[i], 1e-5, "a coarse bin");
    }
    attention_free(&coarse);
    attention_free(&m);
    close_bench(&b);
}

/* ------------------------------------------------------------------ one prediction */

static void falls(const pcv_place *place, int64_t count) {
    for (int64_t i = 1; i < count; i++)
        if (place[i].probability > place[i - 1].probability) test_failed("place %d is no less probable\n", (int)i);
}

/* A row of the map is the mean over the heads of what is listed. */
static void check_map(const char *choices, double cross_heads) {
    bench b;
    open_bench(&b, choices);
    pcv_attention m = drawn(&b, CONTEXT);
    for (int64_t r = 0; r < m.rows; r += 3) {
        pcv_attended a = told(&b, m.first_query + r, 1000);
        double expected[CONTEXT] = {0}, heads = cross_heads + HEADS;
        for (int64_t i = 0; i < a.places; i++) expected[a.place[i].place] += cross_heads / heads * a.place[i].probability;
        for (int h = 0; h < HEADS; h++)
            for (int64_t i = 0; i < a.head[h].count; i++)
                expected[a.head[h].place[i].place] += a.head[h].place[i].probability / heads;
        for (int64_t i = 0; i < m.bins; i++)
            close_to((double)m.value[r * m.bins + i], expected[i], 1e-6, choices);
        attended_free(&a);
    }
    attention_free(&m);
    close_bench(&b);
}

static void maps_with_index_heads(void **state) {
    (void)state;
    check_map(with_all, 2);
    check_map("architecture=transformer index.orders=1,2,4 index.places=3 index.width=5", 0);
    check_map("architecture=transformer-xl context=12 memory=20 index.orders=1,2,4 index.places=3 index.width=5", 0);
}

/* The list is the map's row, and its guesses are the scores. */
static void same_as_map(void **state) {
    (void)state;
    bench b;
    open_bench(&b, "near=9");
    pcv_attention m = drawn(&b, CONTEXT);
    for (int64_t token = CONTEXT - LATENTS; token < CONTEXT; token += 5) {
        pcv_attended a = told(&b, token, 1000);
        double sum = 0;
        assert_int_equal(a.token, token);
        assert_int_equal(a.first, 0);
        assert_int_equal(a.count, token + 1);
        assert_memory_equal(a.ids, b.ids, (size_t)a.count * sizeof *a.ids);
        assert_int_equal(a.seen, NEAR);
        assert_int_equal(a.places, NEAR);
        falls(a.place, a.places);
        for (int64_t i = 0; i < a.places; i++)
            close_to(a.place[i].probability, (double)m.value[(token - m.first_query) * m.bins + a.place[i].place],
                     1e-6, "a place of the list");
        assert_int_equal(a.guesses, VOCABULARY);
        for (int64_t i = 0; i < a.guesses; i++) sum += a.guess[i].probability;
        close_to(sum, 1, 1e-6, "all guesses");
        assert_int_equal(a.next.id, b.ids[token + 1]);
        attended_free(&a);
    }
    attention_free(&m);
    close_bench(&b);
}

static void same_as_scores(void **state) {
    (void)state;
    static const int64_t tokens[] = {0, 5, CONTEXT - 1, CONTEXT, 70, TOKENS - 2};
    bench b;
    open_bench(&b, with_all);
    for (size_t k = 0; k < COUNT(tokens); k++) {
        pcv_attended a = told(&b, tokens[k], 4);
        pcv_scores s;
        double p = 0;
        must(pcv_score(&b.e, b.ids, (size_t)tokens[k] + 2, false, b.settings, &s, &err));
        assert_int_equal(s.ids[s.count - 1], a.next.id);
        close_to(log(a.next.probability), s.logprob[s.count - 1], 1e-4, "the true next token");
        assert_int_equal(a.first, tokens[k] < CONTEXT ? 0 : tokens[k] + 1 - CONTEXT);
        assert_int_equal(a.guesses, 4);
        for (int i = 0; i < 4; i++) {
            if (i && a.guess[i].probability > p) test_failed("guess %d is no less probable\n", i);
            p = a.guess[i].probability;
        }
        assert_int_equal(a.places, a.count < 4 ? a.count : 4);
        pcv_scores_free(&s);
        attended_free(&a);
    }
    pcv_attended last = told(&b, -1, 4), same = told(&b, TOKENS - 1, 4);
    assert_int_equal(last.token, TOKENS - 1);
    assert_int_equal(last.next.id, -1);
    assert_true(last.guess[0].id == same.guess[0].id && last.guess[0].probability == same.guess[0].probability);
    attended_free(&last);
    attended_free(&same);
    close_bench(&b);
}

/* ------------------------------------------------------------------ index heads */

/* What the op makes of a value for each token that is that token's own channel: [heads, vocabulary]. */
static void take_of_op(bench *b, const pcv_attended *a, float *taken) {
    enum { V = VOCABULARY };
    static float identity[V * V], all[CONTEXT * HEADS * V];
    model *m = b->e.m;
    const parameters *p = &m->params;
    tape t;
    batch laid;
    for (int v = 0; v < V; v++) identity[v * V + v] = 1;
    sequence s = window_row(m, &(window){.from = a->first, .count = a->count + 1}, a->ids);
    must(tape_init(&t, m->be, 0, &err));
    tape_begin(&t);
    pass asked = pass_over(m, &s, 1, LATENTS);
    int64_t positions = m->type->has_latents ? asked.latents : a->count;
    assert_int_equal(batch_make(&laid, &t, m, &asked, positions), 0);
    tensor *length = tape_wrap(&t, parameters_slice(p, parameters_find(p, "index.length.weight")).owner->t.m);
    tensor *slope = tape_wrap(&t, parameters_slice(p, parameters_find(p, "index.slope.weight")).owner->t.m);
    tape_read(&t, attend_found(&t, tape_floats(&t, identity, V, V), length, slope, &laid.found), all);
    must(tape_end(&t, "for a test", &err));
    memcpy(taken, all + (positions - 1) * HEADS * V, HEADS * V * sizeof *taken);
    tape_free(&t);
}

static void check_heads(bench *b, int64_t token) {
    static float taken[HEADS * VOCABULARY];
    pcv_attended a = told(b, token, 8);
    take_of_op(b, &a, taken);
    assert_int_equal(a.heads, HEADS);
    for (int h = 0; h < HEADS; h++) {
        const pcv_index_head *head = &a.head[h];
        double expected[VOCABULARY] = {0}, sum = head->nothing;
        assert_int_equal(head->order, 1 << h);
        assert_true(head->count <= PLACES);
        falls(head->place, head->count);
        for (int64_t i = 0; i < head->count; i++) {
            const pcv_place *p = &head->place[i];
            assert_true(p->place >= a.first && p->place < token && p->match >= head->order);
            for (int64_t k = 0; k < p->match; k++) assert_int_equal(b->ids[p->place - k], b->ids[token - k]);
            expected[b->ids[p->place + 1]] += p->probability;
            sum += p->probability;
        }
        close_to(sum, 1, 1e-9, "an index head's probabilities");
        for (int v = 0; v < VOCABULARY; v++)
            close_to(expected[v], (double)taken[h * VOCABULARY + v], test_tolerance(1e-5, 1e-4), "what a head takes");
    }
    attended_free(&a);
}

/* The list says what the model does: of every head, where much is found and where nothing is. */
static void same_as_op(void **state) {
    (void)state;
    static const char *const models[] = {
        with_all, "architecture=transformer index.orders=1,2,4 index.places=3 index.width=5",
        "architecture=transformer-xl context=12 memory=20 index.orders=1,2,4 index.places=3 index.width=5"};
    for (size_t k = 0; k < COUNT(models); k++) {
        bench b;
        open_bench(&b, models[k]);
        for (int64_t token = 0; token < TOKENS; token++) check_heads(&b, token);
        close_bench(&b);
    }
}

static void what_there_is(void **state) {
    (void)state;
    bench b;
    pcv_attended a;
    open_bench(&b, "architecture=transformer index.orders=3");
    a = told(&b, 20, 8);
    assert_int_equal(a.heads, 1);
    assert_int_equal(a.seen, 0);
    assert_int_equal(a.places, 0);
    attended_free(&a);
    close_bench(&b);
    open_bench(&b, "latents=12"); /* no near window: everything in front */
    a = told(&b, 20, 8);
    assert_int_equal(a.heads, 0);
    assert_int_equal(a.seen, 21);
    assert_int_equal(a.places, 8);
    attended_free(&a);
    attended_question q = {.path = at("ids"), .are_ids = true, .token = TOKENS, .top = 8};
    refused(attended_tell(&b.e, &q, b.settings, NULL, &a, &err), PCV_USAGE, "has tokens 0 to 89");
    q.token = TOKENS - 1;
    q.path = at("none");
    refused(attended_tell(&b.e, &q, b.settings, NULL, &a, &err), PCV_NOINPUT, "none");
    close_bench(&b);
    open_bench(&b, "architecture=transformer");
    q.path = at("ids");
    refused(attended_tell(&b.e, &q, b.settings, NULL, &a, &err), PCV_CONFIG, "nothing to list");
    close_bench(&b);
}

/* Files of any length are read through to the position. */
static void far_into_a_file(void **state) {
    (void)state;
    enum { LONG = 20000 };
    static const int64_t tokens[] = {4000, 4144, 4145, 12345, LONG - 1, LONG, -1};
    static char bytes[LONG];
    bench b;
    open_bench(&b, "near=9 index.orders=2");
    for (int i = 0; i < LONG; i++) bytes[i] = (char)('a' + rng_at(7, RNG_TEST, 4, (uint64_t)i).v[0] % 26);
    put("long", bytes, LONG);
    for (size_t k = 0; k < COUNT(tokens); k++) {
        pcv_attended a;
        attended_question q = {.path = at("long"), .token = tokens[k], .top = 1};
        int64_t token = tokens[k] < 0 ? LONG : tokens[k];
        must(attended_tell(&b.e, &q, b.settings, NULL, &a, &err));
        assert_int_equal(a.token, token);
        assert_int_equal(a.count, CONTEXT);
        assert_int_equal(a.first, token + 1 - CONTEXT);
        for (int64_t i = 0; i < a.count; i++) assert_int_equal(a.ids[i], b.e.tokens.first + bytes[a.first + i - 1]);
        assert_int_equal(a.next.id, token == LONG ? -1 : b.e.tokens.first + bytes[token]);
        attended_free(&a);
    }
    close_bench(&b);
}

/* ------------------------------------------------------------------ texts around tokens */

static void check_excerpt(const char *tokens, const int32_t *ids, int64_t count, int64_t at, int columns,
                          const char *expected) {
    tokenizer t;
    char line[EXCERPT_BYTES(EXCERPT_COLUMNS)];
    must(tokenizer_open(&t, tokens, NULL, &err));
    excerpt(&t, ids, count, at, columns, line);
    if (strcmp(line, expected)) test_failed("token %d of '%s': '%s', expected '%s'\n", (int)at, tokens, line, expected);
    tokenizer_close(&t);
}

/* Characters are whole, and what is none is told; brackets stand where they always do. */
static void texts(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int size, at, columns;
        const char *expected;
    } cases[] = {
        {"the cat sat", 11, 4, 12, " the [c]at s"}, {"the cat sat", 11, 10, 12, "at sa[t]"},
        {"the cat sat", 11, 0, 13, "     [t]he ca"}, {"abcdefgh", 8, -1, 5, "abcde"}, {"a", 1, 0, 4, " [a]"},
        {"caf\xC3\xA9!", 6, 3, 12, "  caf[\xC3\xA9]!"}, {"caf\xC3\xA9!", 6, 4, 12, "  caf[\xC3\xA9]!"},
        {"\xC3\xA9\xC3\xA9\xC3\xA9x", 7, 6, 6, "\xC3\xA9\xC3\xA9[x]"}, {"ab\xC3", 3, 2, 12, "   ab[\\xc3]"},
        {"\xA9 a", 3, 2, 12, "\\xa9 [a]"}, {"\x01" "b", 2, 1, 12, " \\x01[b]"}, {"\x01" "b", 2, 1, 8, "   [b]"},
        {"a\nb\tc", 5, 1, 12, "    a[\\n]b\\t"}, {"a\\n", 3, 1, 12, "    a[\\\\]n"}, {"a\0b", 3, 1, 12, "    a[\\x00]b"},
        {"\xE6\xBC\xA2\xE5\xAD\x97x", 7, 6, 12, " \xE6\xBC\xA2\xE5\xAD\x97[x]"},
        {"\xE6\xBC\xA2\xE5\xAD\x97x", 7, 1, 12, "     [\xE6\xBC\xA2]\xE5\xAD\x97x"},
        {"\xE6\xBC\xA2\xE5\xAD\x97xy", 8, 1, 10, "    [\xE6\xBC\xA2]\xE5\xAD\x97"},
        {"a\xE2\x80\xAE" "b", 5, 0, 16, "       [a]\\u202e"}};
    for (size_t k = 0; k < COUNT(cases); k++) {
        int32_t ids[16];
        for (int i = 0; i < cases[k].size; i++) ids[i] = 3 + (unsigned char)cases[k].text[i];
        check_excerpt("bytes", ids, cases[k].size, cases[k].at, cases[k].columns, cases[k].expected);
    }
    check_excerpt("bytes", (const int32_t[]){2, 3 + 'a', 1, 0}, 4, -1, 40, "<start>a<end><pad>");
    check_excerpt("bytes", (const int32_t[]){2, 3 + 'a', 1, 0}, 4, 0, 20, "         [<start>]a");
    check_excerpt("bytes-262", (const int32_t[]){6 + 'a', 3, 3, 6 + 'b'}, 4, 1, 20, "        a[<3>]<3>b");
    check_excerpt("mulaw", (const int32_t[]){7, 10, 20, 30}, 4, 2, 20, "    7 10 [20] 30");
    check_excerpt("mulaw", (const int32_t[]){7, 10, 20, 30}, 4, 2, 11, " 10 [20] 30");
    check_excerpt("mulaw", (const int32_t[]){7, 10, 20, 30}, 4, -1, 9, "7 10 20");
}

/* Whatever the bytes are, and however far apart the ends of the text: no line is wider than it may be. */
static void any_bytes(void **state) {
    (void)state;
    enum { MANY = 3000 };
    static const char *const some[] = {"a", " ", "\xC3\xA9", "\xFF", "\n", "\xC3"};
    static int32_t ids[MANY];
    tokenizer t;
    must(tokenizer_open(&t, "bytes", NULL, &err));
    for (int k = 0; k < 300; k++) {
        char line[EXCERPT_BYTES(EXCERPT_COLUMNS)];
        int64_t count = 0;
        for (uint64_t i = 0; count < MANY - 2; i++)
            for (const char *c = some[rng_at(k, RNG_TEST, 5, i).v[0] % (1 + (uint32_t)k % COUNT(some))]; *c; c++)
                ids[count++] = 3 + (unsigned char)*c;
        int columns = 8 + k % (EXCERPT_COLUMNS - 7);
        excerpt(&t, ids, count, (k * 37) % count, columns, line);
        int seen = 0, before = -1;
        for (const char *c = line; *c; seen++) {
            int length = utf8_length(c, strlen(c));
            if (length <= 0) test_failed("'%s' is no UTF-8\n", line);
            if (*c == '[') before = seen;
            c += length;
        }
        if (before != (columns - 2) / 2 || seen > columns || seen < columns / 2)
            test_failed("%d columns for '%s', the bracket behind %d\n", columns, line, before);
    }
    tokenizer_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_maps), cmocka_unit_test(same_as_map), cmocka_unit_test(same_as_scores),
        cmocka_unit_test(same_as_op), cmocka_unit_test(maps_with_index_heads), cmocka_unit_test(what_there_is),
        cmocka_unit_test(far_into_a_file), cmocka_unit_test(texts), cmocka_unit_test(any_bytes)};
    return run_on_device(tests, make_folder, remove_folder);
}
