/* Text as it streams out of a session: whole characters, nothing of a stop text, the end for the right reason; what a
 * session remembers; and ids as they stream in. The model is any; what its tokens stand for is told by a script. */
#include "scratch.h"
#include "device.h"
#include "config/settings.h"
#include "gen/engine.h"
#include "gen/generate.h"
#include "gen/prompt.h"
#include "base/text.h"
#include "token/id_stream.h"

enum { VOCAB = 40, FIRST = 3 };

static const char *const *script; /* the pieces of the tokens to come */

static const char *scripted(const tokenizer *t, int32_t id, size_t *size) {
    assert_true(id >= t->first && id < t->vocab);
    *size = strlen(*script);
    return *script++;
}

static const token_type scripted_type = {.name = "script", .kind = "text", .piece = scripted};
static const tokenizer tokens = {.type = &scripted_type, .vocab = VOCAB, .end = 1, .start = 2, .first = FIRST};

typedef struct speaker {
    backend *be;
    model *m;
    decoder d;
} speaker;

static void open_speaker(speaker *s) {
    model_config c;
    must(settings_model(NULL, &c, &err));
    must(settings_apply_list("vocab_size=40 context=32 latents=16 channels=16 heads=2 layers=1", &model_fields, "", &c, &err));
    s->be = test_backend(&(backend_options){.threads = 1});
    must(model_open(&s->m, &c, s->be, false, &err));
    must(model_init(s->m, 2, &err));
    must(decoder_open(&s->d, s->m, &err));
}

static void close_speaker(speaker *s) {
    decoder_close(&s->d);
    model_close(s->m);
    s->be->close(s->be);
}

static sample_config sampling(void) {
    static sample_config c;
    fields_default(&sample_fields, memset(&c, 0, sizeof c));
    c.ignore_end = true;
    return c;
}

/* ------------------------------------------------------------------ text */

typedef struct heard {
    char text[256];
    int calls, most; /* calls until the listener refuses; 0: it never does */
} heard;

static int hear(void *context, const char *bytes, size_t size) {
    heard *h = context;
    char piece[256] = "";
    assert_true(size > 0);
    memcpy(piece, bytes, size);
    if (!utf8_valid(piece)) test_failed("a piece of text is no UTF-8: '%s'\n", piece);
    strcat(h->text, piece);
    return ++h->calls == h->most;
}

static void streams(void **state) {
    (void)state;
    static const struct {
        const char *pieces[8], *stops[3], *expected;
        pcv_end end;
        int refused; /* at this call */
    } cases[] = {
        {{"Hel", "lo wor", "ld"}, {0}, "Hello world", PCV_END_LENGTH, 0},
        {{"Hel", "lo wor", "ld"}, {"low"}, "Hello world", PCV_END_LENGTH, 0},
        {{"Hel", "lo wor", "ld"}, {"lo w"}, "Hel", PCV_END_STOP, 0},
        {{"Hel", "lo wor", "ld"}, {"world"}, "Hello ", PCV_END_STOP, 0},
        {{"a", "b", "c"}, {"ab"}, "", PCV_END_STOP, 0},
        {{"a", "b", "c"}, {"c"}, "ab", PCV_END_STOP, 0},
        {{"a", "b", "c"}, {"cd"}, "abc", PCV_END_LENGTH, 0}, /* what waited comes at the end */
        {{"a", "b", "c"}, {"bcd"}, "abc", PCV_END_LENGTH, 0},
        {{"aa", "ab", "c"}, {"aab"}, "a", PCV_END_STOP, 0},
        {{"xab", "cd"}, {"bcd", "abc"}, "x", PCV_END_STOP, 0}, /* the earlier of two */
        {{"xa", "bcd"}, {"d", "bc"}, "xa", PCV_END_STOP, 0},
        {{"xbc", "d"}, {"bcd", "c"}, "xb", PCV_END_STOP, 0}, /* whichever is whole first */
        {{"stop", "s", "top"}, {"stop"}, "", PCV_END_STOP, 0},
        {{"\xC3", "\xA9t\xC3", "\xA9"}, {0}, "\xC3\xA9t\xC3\xA9", PCV_END_LENGTH, 0},
        {{"\xE2", "\x82", "\xAC!"}, {0}, "\xE2\x82\xAC!", PCV_END_LENGTH, 0},
        {{"a\xF0", "\x9F", "\x98", "\x80" "b"}, {0}, "a\xF0\x9F\x98\x80" "b", PCV_END_LENGTH, 0},
        {{"a\xF0\x9F", "\x98\x80"}, {0}, "a\xF0\x9F\x98\x80", PCV_END_LENGTH, 0},
        {{"ab\xE2\x82"}, {0}, "ab", PCV_END_LENGTH, 0}, /* a character that stays unfinished */
        {{"a\xC3", "\xA9" "end"}, {"end"}, "a\xC3\xA9", PCV_END_STOP, 0},
        {{"a\xC3", "\xA9" "en"}, {"end"}, "a\xC3\xA9" "en", PCV_END_LENGTH, 0},
        {{"a", "b", "c"}, {0}, "ab", PCV_END_CALLER, 2},
        {{"", "a", "", "b"}, {0}, "ab", PCV_END_LENGTH, 0},
    };
    speaker s;
    open_speaker(&s);
    for (size_t k = 0; k < COUNT(cases); k++) {
        pcv_session session;
        sample_config c = sampling();
        heard h = {.most = cases[k].refused};
        pcv_generation g;
        for (c.length = 0; c.length < 8 && cases[k].pieces[c.length]; c.length++) continue;
        for (int i = 0; i < 3 && cases[k].stops[i]; i++)
            must(field_parse(fields_by_key(&sample_fields, "stop"), &c, cases[k].stops[i], "", &err));
        script = cases[k].pieces;
        must(session_start(&session, &s.d, &tokens, &c, &err));
        must(generate_text(&session, hear, &h, &g, &err));
        if (strcmp(h.text, cases[k].expected) || g.end != cases[k].end)
            test_failed("case %zu: '%s', end %d\n", k, h.text, (int)g.end);
        assert_int_equal(g.tokens, script - cases[k].pieces);
        session_stop(&session);
    }
    close_speaker(&s);
}

/* A tokenizer that puts a space in front of a text: at its beginning it is left out, once. */
static void an_invented_space(void **state) {
    (void)state;
    static const char *const pieces[] = {" a", " b", " a", " b"};
    tokenizer spaced = tokens;
    speaker s;
    open_speaker(&s);
    spaced.spaced = true;
    for (int prompted = 0; prompted < 2; prompted++) {
        pcv_session session;
        sample_config c = sampling();
        heard h = {0};
        pcv_generation g;
        c.length = 2;
        script = pieces;
        must(session_start(&session, &s.d, &spaced, &c, &err));
        if (prompted) must(session_feed(&session, &(int32_t){FIRST}, 1, &err));
        must(generate_text(&session, hear, &h, &g, &err));
        assert_string_equal(h.text, prompted ? " a b" : "a b");
        session_stop(&session);
    }
    close_speaker(&s);
}

/* ------------------------------------------------------------------ ends of documents */

/* Documents of a known length end there, others with their token. */
static void documents_end(void **state) {
    (void)state;
    static const char *const pieces[] = {"a", "a", "a", "a", "a", "a"};
    tokenizer fixed = tokens;
    pcv_session session;
    pcv_generation g;
    heard h = {0};
    speaker s;
    open_speaker(&s);
    sample_config c = sampling();
    fixed.length = 4;
    script = pieces;
    must(session_start(&session, &s.d, &fixed, &c, &err));
    must(generate_text(&session, hear, &h, &g, &err));
    assert_true(g.end == PCV_END_DOCUMENT && g.tokens == 4 && !strcmp(h.text, "aaaa"));
    session_stop(&session);
    c.ignore_end = false;
    c.temperature = 100;
    c.length = 2000;
    int ended = 0;
    for (int64_t seed = 1; seed <= 20; seed++) {
        int32_t id;
        int64_t n = 0;
        c.seed = seed;
        must(session_start(&session, &s.d, &tokens, &c, &err));
        for (id = FIRST; id >= 0 && n < 300; n++) must(session_next(&session, &id, &err));
        ended += id == -1;
        session_stop(&session);
    }
    assert_in_range(ended, 15, 20); /* 1 of 38 ids ends a document: 0.04 % go on for 300 tokens */
    close_speaker(&s);
}

/* ------------------------------------------------------------------ what is remembered */

/* Penalties reach `repeat_last` tokens back, however they came. */
static void sessions_remember(void **state) {
    (void)state;
    static const size_t pieces[] = {1, 3, 7, 500, 2, 900, 64, 1, 1500, 5, 63, 65, 11, 29, 2, 17, 40, 8, 23, 1, 31};
    enum { LAST = 64, MOST = 40000 };
    static int32_t ids[MOST];
    pcv_session session;
    speaker s;
    open_speaker(&s);
    sample_config c = sampling();
    c.repeat_penalty = 1.5;
    c.repeat_last = LAST;
    must(session_start(&session, &s.d, &tokens, &c, &err));
    ids[0] = tokens.start;
    size_t count = 1;
    for (size_t round = 0; round < 10 * COUNT(pieces); round++) {
        size_t k = round % COUNT(pieces);
        for (size_t i = 0; i < pieces[k]; i++) ids[count + i] = FIRST + (int32_t)((count + i) * 7919 % 37);
        must(session_feed(&session, ids + count, pieces[k], &err));
        count += pieces[k];
        size_t last = count < LAST ? count : LAST;
        assert_true(session.count == count && session.held >= last && session.held <= session.capacity);
        assert_memory_equal(session.recent + session.held - last, ids + count - last, last * sizeof *ids);
    }
    assert_true(session.capacity < 4000); /* and little more */
    session_stop(&session);
    close_speaker(&s);
}

/* ------------------------------------------------------------------ prompts */

/* A token for each word with the space behind it; the last word waits for what follows it. */
static size_t words_part(const tokenizer *t, const void *bytes, size_t size, bool last, int32_t *ids, size_t *used) {
    const char *from = bytes;
    size_t count = 0, begin = 0;
    for (size_t i = 0; i < size; i++) {
        bool ends = from[i] == ' ' || (last && i + 1 == size);
        if (!ends) continue;
        ids[count++] = t->first + (int32_t)((i - begin) % 37);
        begin = i + 1;
    }
    *used = begin;
    return count;
}

static size_t words_whole(const tokenizer *t, const void *bytes, size_t size, int32_t *ids) {
    size_t used;
    return words_part(t, bytes, size, true, ids, &used);
}

/* A text of several pieces becomes the tokens of the whole, however it comes. */
static void long_prompts(void **state) {
    (void)state;
    static const token_type words = {.name = "words", .kind = "text", .encode = words_whole, .encode_part = words_part};
    static char said[300000];
    static int32_t expected[300000];
    size_t size = 0;
    tokenizer t = tokens;
    speaker s;
    open_speaker(&s);
    for (int i = 0; size + 40 < sizeof said; i++) size += (size_t)sprintf(said + size, "%.*s ", i * 11 % 37, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
    t.type = &words;
    size_t count = words_whole(&t, said, size, expected);
    put("prompt.txt", said, size);
    for (int k = 0; k < 2; k++) {
        pcv_session session;
        sample_config c = sampling();
        c.repeat_penalty = 1.5;
        c.repeat_last = 300000;
        must(session_start(&session, &s.d, &t, &c, &err));
        if (k) must(prompt_feed_file(&session, at("prompt.txt"), NULL, NULL, &err));
        else must(prompt_feed_text(&session, said, size, &err));
        assert_int_equal(session.count, 1 + count);
        assert_memory_equal(session.recent + 1, expected, count * sizeof *expected);
        session_stop(&session);
    }
    close_speaker(&s);
}

/* ------------------------------------------------------------------ ids from a file */

static const token_type plain_type = {.name = "plain", .kind = "text"};
static const tokenizer plain = {.type = &plain_type, .vocab = VOCAB, .end = 1, .start = 2, .first = FIRST};

/* Far more than is read at once, numbers of different lengths, so that pieces end within one. */
static void ids_from_a_file(void **state) {
    (void)state;
    enum { IDS = 60000, PART = 700 };
    static int32_t expected[IDS + 1], found[IDS + 1];
    static char list[IDS * 8];
    size_t used = 0, got = 1, count = 0;
    id_stream s;
    int64_t counted, size;
    expected[0] = plain.start;
    for (int i = 0; i < IDS; i++) {
        expected[i + 1] = i * 31 % VOCAB;
        used += (size_t)sprintf(list + used, i % 3 ? "%d " : "%d\n\t", expected[i + 1]);
    }
    put("ids.txt", list, used);
    must(id_stream_open(&s, &plain, at("ids.txt"), true, NULL, &err));
    must(id_stream_count(&s, &counted, &size, &err));
    assert_int_equal(counted, IDS + 1);
    while (got) {
        must(id_stream_next(&s, found + count, count + PART > IDS + 1 ? IDS + 1 - count : PART, &got, &err));
        count += got;
    }
    assert_int_equal(count, IDS + 1);
    assert_memory_equal(found, expected, sizeof found);
    id_stream_close(&s);
}

static void starts_of_ids(void **state) {
    (void)state;
    static const char *const lists[] = {"2 5 6", "5 6", "2 2 5 6", "", "2"};
    static const int expected[][4] = {{2, 5, 6}, {2, 5, 6}, {2, 2, 5, 6}, {2}, {2}}, counts[] = {3, 3, 4, 1, 1};
    for (size_t k = 0; k < COUNT(lists); k++) {
        int32_t ids[8];
        size_t got;
        id_stream s;
        put("ids.txt", lists[k], strlen(lists[k]));
        must(id_stream_open(&s, &plain, at("ids.txt"), true, NULL, &err));
        must(id_stream_next(&s, ids, 8, &got, &err));
        assert_int_equal(got, counts[k]);
        assert_memory_equal(ids, expected[k], got * sizeof *ids);
        id_stream_close(&s);
    }
}

static void bad_ids(void **state) {
    (void)state;
    static const char *const lists[][2] = {
        {"5 x 6", "byte 2: expected whitespace-separated token ids"}, {"5 6x", "byte 2"}, {"-1", "byte 0"},
        {"5 4294967299", "byte 2"}, {"2147483648", "byte 0"}, {"99999999999999999999", "byte 0"}, {"5.0", "byte 0"},
        {"1111111111111111111111111111111111111111111", "byte 0"}, {"5 40", "token 40 is outside the vocabulary of 40"}};
    for (size_t k = 0; k < COUNT(lists); k++) {
        int32_t ids[8];
        size_t got;
        id_stream s;
        put("ids.txt", lists[k][0], strlen(lists[k][0]));
        must(id_stream_open(&s, &plain, at("ids.txt"), true, NULL, &err));
        refused(id_stream_next(&s, ids, 8, &got, &err), PCV_DATA, lists[k][1]);
        id_stream_close(&s);
    }
    int32_t ids[8];
    size_t got;
    id_stream s;
    put("ids.txt", "5 39", 4);
    must(id_stream_open(&s, &plain, at("ids.txt"), true, NULL, &err));
    must(id_stream_next(&s, ids, 8, &got, &err)); /* the last that there is */
    assert_true(got == 3 && ids[2] == 39);
    id_stream_close(&s);
    refused(id_stream_open(&s, &plain, at("not there"), true, NULL, &err), PCV_NOINPUT, "not there");
}

/* A session that is shortened, emptied or copied knows the tokens that a fresh one would, as far as penalties reach. */
static void shorter_sessions(void **state) {
    (void)state;
    int32_t ids[21] = {2};
    speaker s;
    pcv_session session, *fork;
    sample_config c = sampling();
    open_speaker(&s);
    for (int i = 1; i < 21; i++) ids[i] = FIRST + i;
    c.repeat_penalty = 1.3;
    c.repeat_last = 8;
    must(session_start(&session, &s.d, &tokens, &c, &err));
    must(session_feed(&session, ids + 1, 20, &err)); /* at once, so that no more than eight are held */
    must(session_truncate(&session, 16, &err));
    assert_int_equal(session.count, 16);
    assert_true(session.held >= 8);
    assert_memory_equal(session.recent + session.held - 8, ids + 8, 8 * sizeof *ids);
    must(session_fork(&fork, &session, 9, &err));
    assert_int_equal(fork->count, 16);
    assert_int_equal(fork->config.seed, 9);
    assert_memory_equal(fork->recent + fork->held - 8, ids + 8, 8 * sizeof *ids);
    must(session_truncate(&session, 3, &err)); /* fewer than penalties reach */
    assert_int_equal(session.held, 3);
    assert_memory_equal(session.recent, ids, 3 * sizeof *ids);
    refused(session_truncate(&session, 0, &err), PCV_USAGE, "0 tokens to keep, expected 1 to the session's 3");
    refused(session_truncate(&session, 4, &err), PCV_USAGE, "4 tokens to keep, expected 1 to the session's 3");
    must(session_reset(&session, &err));
    assert_int_equal(session.count, 1);
    assert_int_equal(session.held, 1);
    session_stop(&session);
    session_close(fork);
    close_speaker(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shorter_sessions), cmocka_unit_test(streams), cmocka_unit_test(an_invented_space),
                                       cmocka_unit_test(documents_end), cmocka_unit_test(sessions_remember), cmocka_unit_test(long_prompts),
                                       cmocka_unit_test(ids_from_a_file), cmocka_unit_test(starts_of_ids),
                                       cmocka_unit_test(bad_ids)};
    return run_on_device(tests, make_folder, remove_folder);
}
