/* The base layer: random numbers against a second Philox, text, memory, tables of settings, and files
 * that are whole or absent. */
#include "scratch.h"
#include "base/fields.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* True when the body, run in a child whose messages go nowhere, is killed by this signal (0: it returns
 * true). */
static bool dies_with(int expected, bool (*body)(void *), void *argument) {
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        signal(SIGFPE, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) _exit(3);
        _exit(body(argument) ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!expected) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return WIFSIGNALED(status) && WTERMSIG(status) == expected;
}

/* ------------------------------------------------------------------ random numbers */

/* Philox4x32-10 as in figure 2 of the paper, without the library's header. */
static void philox(uint32_t c[4], uint64_t seed) {
    uint32_t k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int round = 0; round < 10; round++, k[0] += 0x9E3779B9u, k[1] += 0xBB67AE85u) {
        uint64_t a = 0xD2511F53u * (uint64_t)c[0], b = 0xCD9E8D57u * (uint64_t)c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a};
        memcpy(c, next, sizeof next);
    }
}

static void philox_answers(void **state) {
    (void)state;
    static const struct {
        uint64_t seed, index;
        uint32_t purpose, step, expected[4];
    } known[] = {
        /* the published vectors of Random123 */
        {0, 0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT32_MAX, UINT32_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x85a308d3243f6a88, 0x03707344, 0x13198a2e,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        rng_block b = rng_at(known[i].seed, known[i].purpose, known[i].step, known[i].index);
        assert_memory_equal(b.v, known[i].expected, sizeof b.v);
    }
    for (uint64_t i = 1; i < 500; i++) {
        uint64_t seed = i * 0x9E3779B97F4A7C15u, index = seed * i ^ seed >> 7;
        uint32_t c[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)(i * 77), (uint32_t)(i % 9)};
        rng_block b = rng_at(seed, c[3], c[2], index);
        philox(c, seed);
        assert_memory_equal(b.v, c, sizeof c);
    }
}

static void any_order(void **state) {
    (void)state;
    enum { BLOCKS = 50 };
    uint32_t forward[4 * BLOCKS];
    rng r = rng_make(7, RNG_TEST, 3);
    for (int i = 0; i < 4 * BLOCKS; i++) forward[i] = rng_u32(&r);
    for (int i = BLOCKS - 1; i >= 0; i--) {
        rng_block b = rng_at(7, RNG_TEST, 3, (uint64_t)i);
        assert_memory_equal(b.v, forward + 4 * i, sizeof b.v);
    }
    rng other[] = {rng_make(8, RNG_TEST, 3), rng_make(7, RNG_CROP, 3), rng_make(7, RNG_TEST, 4),
                   rng_make((uint64_t)7 << 32, RNG_TEST, 3)};
    for (size_t i = 0; i < COUNT(other); i++) assert_int_not_equal(rng_u32(&other[i]), forward[0]);
}

static void below_is_uniform(void **state) {
    (void)state;
    enum { DRAWS = 70000, BOUND = 7 };
    rng r = rng_make(1, RNG_TEST, 0);
    double count[BOUND] = {0}, squares = 0, low = 0;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t x = rng_below(&r, BOUND);
        assert_true(x < BOUND);
        count[x]++;
    }
    for (int i = 0; i < BOUND; i++) squares += pow(count[i] - DRAWS / BOUND, 2) / (DRAWS / BOUND);
    assert_true(squares < 22.5); /* 6 degrees of freedom: once in a thousand */
    /* A plain remainder would give the lowest third of this range half of the draws. */
    const uint64_t third = (uint64_t)1 << 62;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t x = rng_below(&r, 3 * third);
        assert_true(x < 3 * third);
        low += x < third;
    }
    close_to(low / DRAWS, 1.0 / 3, 4 * sqrt(2.0 / 9 / DRAWS), "share of the lowest third");
    for (int i = 0; i < 20; i++) assert_int_equal(rng_below(&r, 1), 0);
}

static void moments(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    rng r = rng_make(2, RNG_TEST, 0);
    double sum = 0, squares = 0, fourth = 0, uniform = 0;
    for (int i = 0; i < DRAWS; i++) {
        double u = rng_uniform(&r), x = rng_normal(&r);
        assert_true(u >= 0 && u < 1 && isfinite(x));
        uniform += u / DRAWS, sum += x / DRAWS, squares += x * x / DRAWS, fourth += x * x * x * x / DRAWS;
    }
    close_to(uniform, 0.5, 4 * sqrt(1.0 / 12 / DRAWS), "mean of uniform numbers");
    close_to(sum, 0, 4 / sqrt(DRAWS), "mean of normal numbers");
    close_to(squares, 1, 4 * sqrt(2.0 / DRAWS), "variance of normal numbers");
    close_to(fourth, 3, 4 * sqrt(96.0 / DRAWS), "fourth moment of normal numbers");
}

/* ------------------------------------------------------------------ text */

static void utf8_cases(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        int expected;
    } cases[] = {
        {"", 0, -1},          {"a", 1, 1},           {"\0", 1, 1},          {"\x7F", 1, 1},
        {"\x80", 1, 0},       {"\xBF", 1, 0},        {"\xC0\x80", 2, 0},    {"\xC1\xBF", 2, 0},
        {"\xC2", 1, -1},      {"\xC2\x80", 2, 2},    {"\xC2z", 2, 0},       {"\xDF\xBF", 2, 2},
        {"\xE0", 1, -1},      {"\xE0\x80", 2, 0},    {"\xE0\x9F\xBF", 3, 0}, {"\xE0\xA0\x80", 3, 3},
        {"\xE2\x82", 2, -1},  {"\xE2(\xA1", 3, 0},   {"\xE2\x82(", 3, 0},   {"\xE2\x82\xAC", 3, 3},
        {"\xED\x9F\xBF", 3, 3}, {"\xED\xA0\x80", 3, 0}, {"\xED\xBF\xBF", 3, 0}, {"\xED\xA0", 2, 0},
        {"\xEE\x80\x80", 3, 3}, {"\xEF\xBF\xBF", 3, 3}, {"\xF0\x80", 2, 0},
        {"\xF0\x8F\xBF\xBF", 4, 0}, {"\xF0\x90\x80\x80", 4, 4}, {"\xF0\x9F\x98", 3, -1},
        {"\xF0\x9F\x98(", 4, 0}, {"\xF4\x8F\xBF\xBF", 4, 4}, {"\xF4\x90\x80\x80", 4, 0},
        {"\xF5\x80\x80\x80", 4, 0}, {"\xF8\x88\x80\x80\x80", 5, 0}, {"\xFE", 1, 0}, {"\xFF", 1, 0},
        {"ab", 2, 1},         {"\xC2\x80\x80", 3, 2},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (utf8_length(cases[i].bytes, cases[i].size) != cases[i].expected)
            test_failed("UTF-8 case %zu: %d, expected %d\n", i,
                        utf8_length(cases[i].bytes, cases[i].size), cases[i].expected);
}

/* How many of all sequences of a length are characters: as many as there are code points for it. */
static void utf8_counts(void **state) {
    (void)state;
    static const unsigned char ends[] = {0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};
    int two = 0, three = 0, four = 0;
    for (unsigned a = 0x80; a < 0x100; a++)
        for (unsigned b = 0; b < 0x100; b++) {
            two += utf8_length((char[]){(char)a, (char)b}, 2) == 2;
            for (unsigned c = 0; c < 0x100; c++) {
                three += utf8_length((char[]){(char)a, (char)b, (char)c}, 3) == 3;
                for (size_t d = 0; a >= 0xF0 && (c & 0x3F) == 0 && d < COUNT(ends); d++)
                    four += utf8_length((char[]){(char)a, (char)b, (char)c, (char)ends[d]}, 4) == 4;
            }
        }
    assert_int_equal(two, 0x800 - 0x80);
    assert_int_equal(three, 0x10000 - 0x800 - 0x800); /* without surrogates */
    assert_int_equal(four, (0x110000 - 0x10000) / 64 / 64 * 2);
}

static void escapes(void **state) {
    (void)state;
    static const char bytes[] = "<a href='x'>\"&\"</a>\n\t\x01\x80 \xC3\xA9 \xF0\x9F\x98\x80 \xED\xA0\x80\xC3";
    text html = {0}, json = {0};
    text_html(&html, bytes, sizeof bytes - 1);
#define BAD "\xEF\xBF\xBD"
    assert_string_equal(html.data, "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;&lt;/a&gt;\n\t" BAD BAD
                                   " \xC3\xA9 \xF0\x9F\x98\x80 " BAD BAD BAD BAD);
    text_json(&json, "q\"b\\n\n\0\x7F\xFF\xC3\xA9", 11);
    assert_string_equal(json.data, "\"q\\\"b\\\\n\\u000a\\ufffd\\u007f\\ufffd\xC3\xA9\"");
    text_free(&json);
    for (int c = 0; c < 256; c++) { /* what is written can be read */
        json_t *back;
        text_add(&json, "{\"t\": ");
        text_json(&json, (char[]){'a', (char)c, 'z'}, 3);
        text_add(&json, "}");
        must(json_parse(&back, json.data, json.size, JSON_MEMORY, "text_json", &err));
        const char *value = json_string_value(json_object_get(back, "t"));
        assert_string_equal(value, c && c < 128 ? ((char[]){'a', (char)c, 'z', 0}) : "a" BAD "z");
        json_decref(back);
        text_free(&json);
    }
    text_free(&html);
}

static void text_without_memory(void **state) {
    (void)state;
    text t = {0};
    assert_false(text_ok(&t));
    text_add(&t, "%s", "kept");
    mem_fail_after(1);
    for (int i = 0; i < 100; i++) text_add(&t, "%d more", i);
    mem_fail_after(0);
    assert_false(text_ok(&t));
    text_add(&t, "again");
    assert_false(text_ok(&t));
    text_free(&t);
    for (int i = 0; i < 1000; i++) text_bytes(&t, "\0xy", 3);
    assert_true(text_ok(&t) && t.size == 3000 && t.data[3000] == 0);
    text_free(&t);
}

static void nearest_names(void **state) {
    (void)state;
    static const char *const names[] = {"layers", "latents", "learned", "heads", "context"};
    char word[300];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = 0;
    assert_string_equal(nearest_name("layer", names, 5), "layers");
    assert_string_equal(nearest_name("latnets", names, 5), "latents");
    assert_string_equal(nearest_name("heads", names, 5), "heads");
    assert_string_equal(nearest_name("contxet", names, 5), "context");
    assert_null(nearest_name("xyzzyplugh", names, 5));
    assert_null(nearest_name(word, names, 5));
    assert_null(nearest_name("layers", names, 0));
}

/* ------------------------------------------------------------------ memory */

static void sizes(void **state) {
    (void)state;
    size_t r = 1;
    assert_true(size_mul(SIZE_MAX, 1, &r) && r == SIZE_MAX);
    assert_true(size_mul(0, SIZE_MAX, &r) && r == 0);
    assert_false(size_mul(SIZE_MAX, 2, &r));
    assert_false(size_mul((size_t)1 << 32, (size_t)1 << 32, &r));
    assert_true(size_mul((size_t)1 << 32, ((size_t)1 << 32) - 1, &r) && r == (SIZE_MAX << 32));
    assert_true(size_add(SIZE_MAX - 1, 1, &r) && r == SIZE_MAX);
    assert_false(size_add(SIZE_MAX, 1, &r));
    assert_false(size_add(SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 1, &r));
}

/* Blocks of 4, 4, 8 and 16 KiB; each piece keeps its bytes, and a second pass takes no more memory. */
static void arena_grows(void **state) {
    (void)state;
    arena a;
    must(arena_init(&a, 4096, &err));
    size_t bytes = 0, middle = 0;
    for (int pass = 0; pass < 3; pass++) {
        char *piece[300];
        for (int i = pass == 2 ? 150 : 0; i < 300; i++) {
            if (i == 150) middle = a.used;
            piece[i] = arena_get(&a, 100);
            for (int k = 0; k < 100; k++) assert_int_equal(piece[i][k], 0);
            memset(piece[i], i % 100 + 1, 100);
        }
        for (int i = pass == 2 ? 150 : 0; i < 300; i++)
            for (int k = 0; k < 100; k++) assert_int_equal(piece[i][k], i % 100 + 1);
        assert_int_equal(a.used, 300 * 128);
        if (pass) assert_int_equal(arena_bytes(&a), bytes);
        bytes = arena_bytes(&a);
        assert_true(bytes >= a.used && bytes <= 4 * a.used);
        arena_rewind(&a, pass == 1 ? middle : 0);
    }
    arena_get(&a, 4032);
    char *large = arena_get(&a, 100000); /* more than the next block has */
    memset(large, 1, 100000);
    arena_rewind(&a, 0);
    assert_int_equal(a.used, 0);
    arena_free(&a);
}

static void arenas(void **state) {
    (void)state;
    arena a;
    must(arena_init(&a, 1 << 20, &err));
    char *first = arena_get(&a, 1), *second = arena_get(&a, 100);
    size_t mark = a.used;
    char *third = arena_get(&a, 1000);
    for (int i = 0; i < 1000; i++) assert_int_equal(third[i], 0);
    assert_true((uintptr_t)first % 64 == 0 && (uintptr_t)second % 64 == 0 && second >= first + 64);
    memset(third, 7, 1000);
    second[99] = 9;
    arena_rewind(&a, mark);
    char *again = arena_get(&a, 1000);
    assert_ptr_equal(again, third);
    for (int i = 0; i < 1000; i++) assert_int_equal(again[i], 0);
    assert_int_equal(second[99], 9);
    arena_free(&a);
    arena_free(&a);
    must(arena_init(&a, 4096, &err)); /* what it cannot give, it says so, and goes on */
    assert_null(arena_get(&a, (size_t)1 << 60));
    assert_null(arena_get(&a, SIZE_MAX - 3));
    assert_non_null(arena_get(&a, 1 << 20));
    arena_free(&a);
}

static void allocation_failures(void **state) {
    (void)state;
    char *a = NULL, *b = NULL, *c = NULL;
    mem_fail_after(3);
    must(mem_get(&a, 10, "a", &err));
    must(mem_string(&b, "text", &err));
    refused(mem_get(&c, 12345, "the third", &err), PCV_MEMORY, "12345 bytes for the third");
    assert_null(c);
    refused(mem_resize(&b, 1000, "the fourth", &err), PCV_MEMORY, "the fourth");
    assert_string_equal(b, "text");
    assert_int_equal(mem_fail_after(0), 4);
    must(mem_resize(&b, 1000, "b", &err));
    assert_string_equal(b, "text");
    must(mem_get(&c, 0, "nothing", &err));
    assert_non_null(c);
    assert_int_equal(mem_fail_after(0), 2);
    for (int i = 0; i < 10; i++) assert_int_equal(a[i], 0);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    arena gone;
    mem_fail_after(1);
    refused(arena_init(&gone, 4096, &err), PCV_MEMORY, "arena");
    mem_fail_after(0);
}

/* ------------------------------------------------------------------ tables of settings */

typedef struct sample {
    int64_t count, inner;
    double rate, share, deep;
    bool on;
    int color;
    char name[FIELD_TEXT];
    field_ints list;
    field_strings texts;
} sample;

static const char *const colors[] = {"red", "green", "blue", NULL};
#define AT(member) offsetof(sample, member)
static const field rows[] = {
    {"count", "count", FIELD_INT, AT(count), -5, 100, NULL, "1", ""},
    {"rate", "rate", FIELD_REAL, AT(rate), 0, 1, NULL, "0.5", ""},
    {"share", "share", FIELD_BELOW, AT(share), 0, 1, NULL, "0", ""},
    {"on", "on", FIELD_BOOL, AT(on), 0, 0, NULL, "false", ""},
    {"color", "color", FIELD_CHOICE, AT(color), 0, 0, colors, "green", ""},
    {"name", "name", FIELD_STRING, AT(name), 0, 0, NULL, "none", ""},
    {"list", "list", FIELD_INTS, AT(list), 0, 9, NULL, "1,2", ""},
    {"texts", "text", FIELD_STRINGS, AT(texts), 0, 0, NULL, "", ""},
    {"group.inner", NULL, FIELD_INT, AT(inner), 0, 1e15, NULL, "3", ""},
    {"group.alias", NULL, FIELD_INT, AT(inner), 0, 1e15, NULL, NULL, ""},
    {"group.sub.deep", "deep", FIELD_REAL, AT(deep), -1e300, 1e300, NULL, "0", ""},
};
static const field_table table = {rows, COUNT(rows)};

static void typed_values(void **state) {
    (void)state;
    static const struct {
        const char *key, *typed, *stored; /* stored NULL: refused */
    } cases[] = {
        {"count", "7", "7"},        {"count", "-5", "-5"},      {"count", "100", "100"},
        {"count", "101", NULL},     {"count", "-6", NULL},      {"count", "4.0", NULL},
        {"count", "", NULL},        {"count", "0x10", NULL},    {"count", "1e1", NULL},
        {"count", "5 ", NULL},      {"count", "five", NULL},    {"count", "99999999999999999999", NULL},
        {"rate", "0.25", "0.25"},   {"rate", "1", "1"},         {"rate", "1e-3", "0.001"},
        {"rate", "1.001", NULL},    {"rate", "-0.1", NULL},     {"rate", "nan", NULL},
        {"rate", "inf", NULL},      {"rate", "", NULL},         {"rate", "0.5x", NULL},
        {"rate", "1e999", NULL},    {"on", "true", "true"},     {"on", "off", "false"},
        {"on", "yes", "true"},      {"on", "1", NULL},          {"on", "", NULL},
        {"color", "blue", "blue"},  {"color", "Blue", NULL},    {"color", "", NULL},
        {"name", "", ""},           {"name", "a b\n", "a b\n"}, {"list", "", ""},
        {"list", "3", "3"},         {"list", "3,5,9", "3,5,9"}, {"list", "3,10", NULL},
        {"list", "3;5", NULL},      {"list", ",", NULL},        {"list", "3,,5", NULL},
        {"list", "3,5,", NULL},     {"list", "3,x", NULL},
        {"list", "3, 5", NULL},     {"list", "0x3,5", NULL},    {"count", "+5", NULL},
        {"count", " 5", NULL},      {"count", "1,0", NULL},     {"count", "007", "7"},
        {"count", "-", NULL},       {"rate", ".5", "0.5"},     {"rate", "0x0", NULL},
        {"text", "a\n\n", "\"a\\n\\n\""}, {"text", "", NULL},
        {"share", "0", "0"},        {"share", "1", NULL},       {"share", "0.99999999", "0.99999999"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        sample s, before;
        char shown[FIELD_TEXT];
        pcv_error err = {0};
        memset(&s, 0, sizeof s);
        fields_default(&table, &s);
        before = s;
        const field *f = fields_by_flag(&table, cases[i].key);
        int status = field_parse(f, &s, cases[i].typed, "--flag", &err);
        field_print(f, &s, shown, sizeof shown);
        if (status != (cases[i].stored ? 0 : PCV_USAGE))
            test_failed("--%s '%s': status %d\n", cases[i].key, cases[i].typed, status);
        if (cases[i].stored) assert_string_equal(shown, cases[i].stored);
        else assert_true(!memcmp(&s, &before, sizeof s) && strstr(err.message, "--flag"));
    }
}

static void long_values(void **state) {
    (void)state;
    static sample s;
    char name[FIELD_TEXT + 1], list[3 * FIELD_LIST + 3] = "1";
    memset(name, 'n', sizeof name);
    name[FIELD_TEXT] = 0;
    refused(field_parse(&rows[5], &s, name, "--name", &err), PCV_USAGE, "longer than 1023 bytes");
    name[FIELD_TEXT - 1] = 0;
    must(field_parse(&rows[5], &s, name, "--name", &err));
    assert_string_equal(s.name, name);
    for (int i = 1; i < FIELD_LIST; i++) strcat(list, ",2");
    must(field_parse(&rows[6], &s, list, "--list", &err));
    assert_int_equal(s.list.count, FIELD_LIST);
    strcat(list, ",3");
    refused(field_parse(&rows[6], &s, list, "--list", &err), PCV_USAGE, "more than 64");
    char shown[4] = "xyz";
    field_print(&rows[5], &s, shown, sizeof shown);
    assert_string_equal(shown, "nnn");
    refused(field_parse(&rows[4], &s, "bleu", "--color", &err), PCV_USAGE, "did you mean 'blue'?");
    assert_null(fields_by_flag(&table, "group.inner"));
    assert_null(fields_by_key(&table, "deep"));
}

static int read_sample(const char *name, sample *s, pcv_error *err) {
    json_t *json = NULL;
    int status = 0;
    memset(s, 0, sizeof *s);
    fields_default(&table, s);
    TRY(json_read(&json, at(name), 1 << 20, err));
    TRY(fields_read(&table, s, json, NULL, at(name), err));
out:
    json_decref(json);
    return status;
}

/* Texts of any bytes stay apart, whether typed one by one or read as a list. */
static void lists_of_texts(void **state) {
    (void)state;
    static const char *const given[] = {"\n\n", "KING\nzzz", "\xFF\xFE", "a, b", "\"", "x"};
    static sample s;
    const field *f = fields_by_flag(&table, "text");
    char shown[FIELD_TEXT], longest[FIELD_TEXT + 1];
    const char *next = NULL;
    fields_default(&table, &s);
    assert_null(field_strings_next(&s.texts, NULL));
    for (size_t i = 0; i < COUNT(given); i++) must(field_parse(f, &s, given[i], "--text", &err));
    assert_int_equal(s.texts.count, COUNT(given));
    for (size_t i = 0; i < COUNT(given); i++) {
        next = field_strings_next(&s.texts, next);
        assert_string_equal(next, given[i]);
    }
    assert_null(field_strings_next(&s.texts, next));
    refused(field_parse(f, &s, "", "--text", &err), PCV_USAGE, "--text: an empty text");
    memset(longest, 'n', sizeof longest);
    longest[FIELD_TEXT - s.texts.size] = 0;
    refused(field_parse(f, &s, longest, "--text", &err), PCV_USAGE, "more than 1024 bytes");
    must(field_parse(f, &s, longest + 1, "--text", &err));
    put("t.json", "{\"texts\": [\"a\\nb\", \"c\"]}", 24);
    must(read_sample("t.json", &s, &err));
    field_print(f, &s, shown, sizeof shown);
    assert_string_equal(shown, "\"a\\nb\", \"c\"");
    json_t *json = json_object();
    must(fields_write(&table, &s, json, &err));
    must(json_write(json, at("t.json"), &err));
    json_decref(json);
    must(read_sample("t.json", &s, &err));
    assert_string_equal(field_strings_next(&s.texts, field_strings_next(&s.texts, NULL)), "c");
    static const struct {
        const char *json, *part;
    } bad[] = {{"{\"texts\": \"a\"}", "list of strings"}, {"{\"texts\": [1]}", "list of strings"},
               {"{\"texts\": [\"\"]}", "an empty text"}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        put("t.json", bad[i].json, strlen(bad[i].json));
        refused(read_sample("t.json", &s, &err), PCV_CONFIG, bad[i].part);
    }
}

static void json_values(void **state) {
    (void)state;
    static const struct {
        const char *json;
        int code;
        const char *part;
    } cases[] = {
        {"{}", 0, ""},
        {"{\"count\": 4, \"rate\": 1, \"on\": true, \"color\": \"red\", \"list\": [], \"name\": \"\"} \n", 0, ""},
        {"{\"group\": {\"inner\": 1000000000000000, \"sub\": {\"deep\": -1e300}}}", 0, ""},
        {"{\"count\": 4.0}", PCV_CONFIG, "count: found a number with a fraction, expected a whole number"},
        {"{\"count\": 1e1}", PCV_CONFIG, "count"},
        {"{\"count\": \"4\"}", PCV_CONFIG, "count: found a string"},
        {"{\"count\": null}", PCV_CONFIG, "count: found null"},
        {"{\"count\": true}", PCV_CONFIG, "count"},
        {"{\"count\": [1]}", PCV_CONFIG, "count: found a list"},
        {"{\"count\": 101}", PCV_CONFIG, "101 is out of range, expected -5 to 100"},
        {"{\"count\": 9223372036854775807}", PCV_CONFIG, "out of range"},
        {"{\"count\": 9223372036854775808}", PCV_DATA, "big"},
        {"{\"rate\": 1.5}", PCV_CONFIG, "rate: 1.5 is out of range"},
        {"{\"rate\": \"0.5\"}", PCV_CONFIG, "rate"},
        {"{\"rate\": NaN}", PCV_DATA, "line 1"},
        {"{\"rate\": 1e999}", PCV_DATA, "overflow"},
        {"{\"on\": 1}", PCV_CONFIG, "expected true or false"},
        {"{\"on\": \"true\"}", PCV_CONFIG, "on"},
        {"{\"color\": 0}", PCV_CONFIG, "color"},
        {"{\"color\": \"blu\"}", PCV_CONFIG, "did you mean 'blue'?"},
        {"{\"name\": 3}", PCV_CONFIG, "expected a string"},
        {"{\"name\": \"a\\u0000b\"}", PCV_DATA, "\\u0000"},
        {"{\"list\": 3}", PCV_CONFIG, "list"},
        {"{\"list\": [1, 2.0]}", PCV_CONFIG, "list of whole numbers"},
        {"{\"list\": [1, 10]}", PCV_CONFIG, "out of range"},
        {"{\"group\": 3}", PCV_CONFIG, "group: found a whole number, expected an object"},
        {"{\"group\": {\"iner\": 4}}", PCV_CONFIG, "unknown key 'group.iner'; did you mean 'group.inner'?"},
        {"{\"cuont\": 4}", PCV_CONFIG, "unknown key 'cuont'; did you mean 'count'?"},
        {"{\"xyzzyplugh\": 4}", PCV_CONFIG, "unknown key 'xyzzyplugh'"},
        {"{\"count\": 1, \"count\": 1}", PCV_DATA, "duplicate"},
        {"{\"count\": 1, \"co\\u0075nt\": 1}", PCV_DATA, "duplicate"},
        {"{\"group\": {\"inner\": 1, \"inner\": 1}}", PCV_DATA, "duplicate"},
        {"[1]", PCV_CONFIG, "found a list, expected an object"},
        {"7", PCV_DATA, "JSON"},
        {"", PCV_DATA, "JSON"},
        {"{\"count\": 1", PCV_DATA, "JSON"},
        {"{\"count\": 1} {}", PCV_DATA, "JSON"},
        {"{\"count\": 1,}", PCV_DATA, "JSON"},
        {"\xEF\xBB\xBF{}", PCV_DATA, "JSON"},
        {"{\"name\": \"\xFF\"}", PCV_DATA, "decode byte"},
        {"{\"name\": \"\xED\xA0\x80\"}", PCV_DATA, "decode byte"},
        {"{\"name\": \"\xC0\x80\"}", PCV_DATA, "decode byte"},
    };
    sample s;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pcv_error err = {0};
        put("t.json", cases[i].json, strlen(cases[i].json));
        int status = read_sample("t.json", &s, &err);
        bool named = !cases[i].code || (strstr(err.message, "t.json") && strstr(err.message, cases[i].part));
        if (status != cases[i].code || !named)
            test_failed("%s -> %d: %s\n", cases[i].json, status, err.message);
    }
    put("t.json", "{}\0{}", 5);
    refused(read_sample("t.json", &s, &err), PCV_DATA, "t.json");
    put("t.json", "{\"na\0me\": 1}", 12);
    refused(read_sample("t.json", &s, &err), PCV_DATA, "t.json");
}

static void deep_json(void **state) {
    (void)state;
    enum { DEEPEST = 100000 };
    sample s;
    static const int depths[] = {65, 1000, DEEPEST};
    static char objects[6 * DEEPEST + 64], lists[2 * DEEPEST + 64];
    for (size_t k = 0; k < COUNT(depths); k++) {
        size_t used = 0;
        for (int i = 0; i < depths[k]; i++) used += (size_t)sprintf(objects + used, "{\"a\":");
        used += (size_t)sprintf(objects + used, "1");
        memset(objects + used, '}', (size_t)depths[k]);
        put("deep.json", objects, used + (size_t)depths[k]);
        int code = depths[k] < 2000 ? PCV_CONFIG : PCV_DATA;
        refused(read_sample("deep.json", &s, &err), code, "deep.json");
        used = (size_t)sprintf(lists, "{\"list\":");
        memset(lists + used, '[', (size_t)depths[k]);
        memset(lists + used + depths[k], ']', (size_t)depths[k]);
        lists[used + 2 * (size_t)depths[k]] = '}';
        put("deep.json", lists, used + 2 * (size_t)depths[k] + 1);
        refused(read_sample("deep.json", &s, &err), code, "deep.json");
    }
}

static void odd_files(void **state) {
    (void)state;
    sample s;
    put("big.json", "{}", 2);
    assert_int_equal(truncate(at("big.json"), (off_t)1 << 40), 0); /* a hole: takes no space */
    json_t *json = NULL;
    mem_fail_after(0);
    refused(json_read(&json, at("big.json"), 1 << 20, &err), PCV_DATA, "at most 1048576");
    assert_int_equal(mem_fail_after(0), 0); /* refused before anything was allocated for it */
    assert_null(json);
    assert_int_equal(truncate(at("big.json"), (1 << 20) + 1), 0);
    refused(read_sample("big.json", &s, &err), PCV_DATA, "big.json");
    refused(read_sample("missing.json", &s, &err), PCV_NOINPUT, "missing.json");
    refused(read_sample(".", &s, &err), PCV_NOINPUT, folder);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    refused(read_sample("fifo", &s, &err), PCV_NOINPUT, "fifo");
    json = json_pack("{s:i, s:s}", "n", 5, "s", "text");
    int64_t n;
    const char *string;
    must(json_get_int(json, "n", 5, 5, &n, "f.json", &err));
    must(json_get_string(json, "s", &string, "f.json", &err));
    assert_string_equal(string, "text");
    refused(json_get_int(json, "n", 6, 9, &n, "f.json", &err), PCV_DATA, "f.json: 'n' is 5");
    refused(json_get_int(json, "s", 0, 9, &n, "f.json", &err), PCV_DATA, "'s' is a string");
    refused(json_get_int(json, "m", 0, 9, &n, "f.json", &err), PCV_DATA, "'m' is missing");
    refused(json_get_string(json, "n", &string, "f.json", &err), PCV_DATA, "'n' is a whole number");
    refused(json_get_string(NULL, "n", &string, "f.json", &err), PCV_DATA, "missing");
    json_decref(json);
}

static void write_then_read(void **state) {
    (void)state;
    static sample s, back;
    memset(&s, 0, sizeof s);
    s = (sample){.count = -3, .inner = 999999999999999, .on = true, .color = 2, .list = {3, {0, 9, 4}}};
    snprintf(s.name, sizeof s.name, "quote\" back\\slash \n \xC3\xA9 \xF0\x9F\x98\x80 </script>");
    static const double reals[] = {0, 0.1, 0.5, 1e-8, 1.0 / 3, 2.0 / 3, 0.0012345678901234567, 5e-324, 0x1p-53};
    for (size_t i = 0; i < COUNT(reals); i++) {
        s.rate = reals[i];
        s.deep = -reals[i] * 1e9;
        json_t *out = json_object();
        must(fields_write(&table, &s, out, &err));
        assert_null(json_object_get(json_object_get(out, "group"), "alias"));
        must(json_write(out, at("written.json"), &err));
        json_decref(out);
        must(read_sample("written.json", &back, &err));
        if (back.rate != s.rate || back.deep != s.deep)
            test_failed("%.17g and %.17g came back as %.17g and %.17g\n", s.rate, s.deep, back.rate, back.deep);
        assert_true(back.count == s.count && back.inner == s.inner && back.on && back.color == 2);
        assert_string_equal(back.name, s.name);
        assert_memory_equal(&back.list, &s.list, sizeof s.list);
    }
}

/* ------------------------------------------------------------------ files */

static void expect(const char *name, const char *content) {
    file_bytes b;
    must(file_read(at(name), 1 << 20, &b, &err));
    assert_string_equal(b.data, content);
    assert_int_equal(b.size, strlen(content));
    file_bytes_free(&b);
}

static bool write_beyond_limit(void *unused) {
    (void)unused;
    static char block[1 << 16];
    pcv_error err = {0};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){10000, 10000})) return false;
    return file_write(at("atomic/file"), block, sizeof block, &err) == PCV_IO &&
           strstr(err.message, "atomic/file") && strstr(err.message, "byte");
}

static void atomic_writes(void **state) {
    (void)state;
    file_writer w;
    file_list names = {0};
    must(folder_make(at("atomic/sub"), &err));
    must(file_write(at("atomic/file"), "first", 5, &err));
    must(file_write(at("atomic/file"), "second", 6, &err));
    expect("atomic/file", "second");
    must(file_create(&w, at("atomic/file"), &err));
    must(file_append(&w, "half", 4, &err));
    expect("atomic/file", "second");
    file_abandon(&w);
    file_abandon(&w);
    assert_true(dies_with(0, write_beyond_limit, NULL));
    expect("atomic/file", "second");
    refused(file_write(at("atomic/sub"), "x", 1, &err), PCV_CANTCREATE, "atomic/sub"); /* a folder stays one */
    refused(file_write(at("atomic/no/file"), "x", 1, &err), PCV_CANTCREATE, "atomic/no/file");
    assert_true(path_is_folder(at("atomic/sub")));
    must(folder_names(at("atomic"), &names, &err)); /* and no temporary stays behind */
    assert_int_equal(names.count, 2);
    assert_string_equal(names.paths[0], "file");
    file_list_free(&names);
}

enum { LARGE = 300000, REWRITES = 60 };

static void *rewrite(void *failed) {
    static char block[LARGE];
    for (int i = 0; i < REWRITES; i++) {
        memset(block, 'a' + i % 26, LARGE);
        if (file_write(at("seen"), block, LARGE, NULL)) *(bool *)failed = true;
    }
    return NULL;
}

static void never_half(void **state) {
    (void)state;
    static char path[PATH_SIZE];
    pthread_t writer;
    bool failed = false;
    snprintf(path, sizeof path, "%s/seen", folder); /* `at` is the writer's now */
    must(file_write(path, "", 0, &err));
    assert_int_equal(pthread_create(&writer, NULL, rewrite, &failed), 0);
    for (char last = 0; last != 'a' + (REWRITES - 1) % 26;) {
        file_bytes b;
        must(file_read(path, LARGE, &b, &err));
        if (b.size) assert_int_equal(b.size, LARGE);
        for (size_t i = 1; i < b.size; i++)
            if (b.data[i] != b.data[0]) test_failed("byte %zu is '%c', others '%c'\n", i, b.data[i], b.data[0]);
        if (b.size) last = b.data[0];
        file_bytes_free(&b);
    }
    pthread_join(writer, NULL);
    assert_false(failed);
}

static void folders(void **state) {
    (void)state;
    char path[PATH_SIZE], name[PATH_SIZE];
    must(folder_make(at("x/y/z"), &err));
    must(folder_make(at("x/y/z/"), &err));
    assert_true(path_is_folder(at("x/y/z")));
    refused(folder_make_new(at("x/y"), &err), PCV_CANTCREATE, "x/y");
    put("x/file", "keep", 4);
    refused(folder_make(at("x/file"), &err), PCV_CANTCREATE, "x/file");
    refused(folder_make(at("x/file/below"), &err), PCV_CANTCREATE, "x/file");
    put("outside", "keep", 4);
    assert_int_equal(symlink("../../outside", at("x/y/link")), 0);
    assert_int_equal(symlink("..", at("x/y/circle")), 0);
    assert_int_equal(mkfifo(at("x/y/pipe"), 0600), 0);
    file_list files = {0};
    must(file_list_add(&files, at("x"), &err));
    assert_int_equal(files.count, 3); /* the circle is not followed */
    assert_string_equal(files.paths[0], at("x/file"));
    file_list_free(&files);
    must(path_remove(at("x"), &err));
    must(path_remove(at("x"), &err));
    assert_false(path_exists(at("x")));
    expect("outside", "keep");
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    refused(path_join(path, folder, name, &err), PCV_USAGE, "too long");
    refused(file_write(name, "x", 1, &err), PCV_USAGE, "too long");
    refused(file_list_add(&files, at("nowhere"), &err), PCV_NOINPUT, "nowhere");
    assert_string_equal(path_name("a/b/c"), "c");
    assert_string_equal(path_name("c"), "c");
}

static void hashes(void **state) {
    (void)state;
    char a[HASH_TEXT], b[HASH_TEXT], c[HASH_TEXT], content[1000];
    uint64_t size;
    file_writer w;
    hash_bytes("", 0, a);
    assert_string_equal(a, "99aa06d3014798d86001c324468d497f"); /* published for no bytes */
    for (size_t i = 0; i < sizeof content; i++) content[i] = (char)(i * i);
    must(file_create(&w, at("hashed"), &err));
    must(file_append(&w, content, 700, &err));
    must(file_append(&w, content + 700, 300, &err));
    file_writer_hash(&w, a);
    must(file_commit(&w, &err));
    hash_bytes(content, sizeof content, b);
    must(hash_file(at("hashed"), c, &size, &err));
    assert_string_equal(a, b);
    assert_string_equal(a, c);
    assert_int_equal(size, sizeof content);
    content[500] ^= 1;
    hash_bytes(content, sizeof content, b);
    assert_string_not_equal(a, b);
    put("nothing", "", 0);
    must(hash_file(at("nothing"), c, &size, &err));
    assert_string_equal(c, "99aa06d3014798d86001c324468d497f");
}

static bool second_taker(void *owner) {
    pcv_error err = {0};
    int fd;
    return lock_take(&fd, at("lock"), &err) == PCV_CANTCREATE && fd == -1 && strstr(err.message, owner) &&
           strstr(err.message, "lock: in use by");
}

static void locks(void **state) {
    (void)state;
    int fd, second;
    char owner[64];
    snprintf(owner, sizeof owner, "process %d on ", (int)getpid());
    must(lock_take(&fd, at("lock"), &err));
    assert_true(dies_with(0, second_taker, owner));
    refused(lock_take(&second, at("lock"), &err), PCV_CANTCREATE, owner);
    lock_drop(&fd);
    lock_drop(&fd);
    must(lock_take(&fd, at("lock"), &err));
    lock_drop(&fd);
    refused(lock_take(&fd, at("no/lock"), &err), PCV_CANTCREATE, "no/lock");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_answers), cmocka_unit_test(any_order),
        cmocka_unit_test(below_is_uniform), cmocka_unit_test(moments),
        cmocka_unit_test(utf8_cases), cmocka_unit_test(utf8_counts),
        cmocka_unit_test(escapes), cmocka_unit_test(text_without_memory),
        cmocka_unit_test(nearest_names), cmocka_unit_test(sizes),
        cmocka_unit_test(arenas), cmocka_unit_test(arena_grows), cmocka_unit_test(allocation_failures),
        cmocka_unit_test(typed_values), cmocka_unit_test(long_values), cmocka_unit_test(lists_of_texts),
        cmocka_unit_test(json_values), cmocka_unit_test(deep_json),
        cmocka_unit_test(odd_files), cmocka_unit_test(write_then_read),
        cmocka_unit_test(atomic_writes), cmocka_unit_test(never_half),
        cmocka_unit_test(folders), cmocka_unit_test(hashes),
        cmocka_unit_test(locks),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
