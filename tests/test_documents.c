/* Where documents end, in pieces of every size; and who goes where. */
#include "scratch.h"
#include "base/text.h"
#include "data/content.h"
#include "data/deal.h"
#include "data/documents.h"

/* ------------------------------------------------------------------ documents */

/* What a reader says, as text: "[" a document "]", "x" where it was blank, "!3" for a bad line. */
static int begin(void *context, pcv_error *err) {
    text_add(context, "[");
    return (void)err, 0;
}

static int bytes(void *context, const char *b, size_t size, pcv_error *err) {
    assert_true(size > 0);
    text_bytes(context, b, size);
    return (void)err, 0;
}

static int end(void *context, bool keep, pcv_error *err) {
    text_add(context, keep ? "]" : "x");
    return (void)err, 0;
}

static int bad(void *context, int64_t line, const char *reason, pcv_error *err) {
    assert_true(reason[0] != 0);
    text_add(context, "!%d", (int)line);
    return (void)err, 0;
}

static void read_in_pieces(const document_rule *rule, const char *content, size_t size, size_t piece, text *out) {
    document_reader r = {.rule = rule, .sink = {out, begin, bytes, end, bad}};
    for (size_t at = 0; at < size; at += piece)
        must(documents_feed(&r, content + at, size - at < piece ? size - at : piece, &err));
    must(documents_finish(&r, &err));
    documents_free(&r);
}

static const struct {
    const char *rule, *content, *expected;
} files[] = {
    {"lines", "Anna\nBert\r\n\nCaro", "[Anna][Bert][Caro]"},
    {"lines", "\n\n \t\nx\n", "[ \tx[x]"},
    {"lines", "a\rb\r\r\nc\r", "[a\rb\r][c\r]"},
    {"lines", "", ""},
    {"lines", "\xC3\xA9\n\xFF\n", "[\xC3\xA9][\xFF]"},
    {"paragraphs", "one\ntwo\n\nthree\n", "[one\ntwo][three]"},
    {"paragraphs", "\n \n  one\n \t \n\n\r\ntwo\r\nthree\r\n\r\nfour", "[  one][two\r\nthree][four]"},
    {"paragraphs", "one\n  ", "[one]"},
    {"paragraphs", " \n\n ", ""},
    {"paragraphs", "one\n\n two", "[one][ two]"},
    {"paragraphs", "one\n x\n\r y", "[one\n x\n\r y]"},
    {"separator:\\n---\\n", "one\n---\ntwo\n--\nthree\n---\n\n---", "[one][two\n--\nthree][\n---]"},
    {"separator:aab", "xaaaabyaabaabz", "[xaa][y][z]"},
    {"separator:\\x00", "one", "[one]"},
    {"separator:<|end|>", "<|end|> <|end|>two<|end", "[ x[two<|end]"},
    {"jsonl:text", "{\"text\": \"a\\nb\"}\n\n{\"id\": 1, \"text\": \"c\"}\r\n{\"text\": \"\\u00e9\"}",
     "[a\nb][c][\xC3\xA9]"},
    {"jsonl:text", "{\"text\": \"a\"}\nnonsense\n{\"txt\": \"b\"}\n{\"text\": 3}\n[]\n{\"text\": \"  \"}\n{\"text\": \"e\"}\n{\"te",
     "[a]!2!3!4!5[  x[e]!8"},
    {"jsonl:a b", "{\"a b\": \"\"}\n{\"a b\": \"x\"}", "[x]"},
};

static void documents_end(void **state) {
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < COUNT(files); i++) {
        document_rule rule;
        must(document_rule_parse(&rule, files[i].rule, &err));
        size_t size = strlen(files[i].content);
        for (size_t piece = 1; piece <= size + 1; piece++) {
            text out = {0};
            text_add(&out, "%s", "");
            read_in_pieces(&rule, files[i].content, size, piece, &out);
            if (strcmp(out.data, files[i].expected)) {
                print_error("%s, pieces of %zu: %s\nexpected %s\n", files[i].rule, piece, out.data, files[i].expected);
                failed++;
            }
            text_free(&out);
        }
    }
    assert_int_equal(failed, 0);
}

/* A zero byte is as good a separator as another. */
static void zeros_part(void **state) {
    (void)state;
    document_rule rule;
    text out = {0};
    must(document_rule_parse(&rule, "files", &err));
    assert_true(rule.kind == DOCUMENTS_FILES && !documents_part_files(&rule));
    must(document_rule_parse(&rule, "folders", &err));
    assert_true(rule.kind == DOCUMENTS_FOLDERS && !documents_part_files(&rule));
    must(document_rule_parse(&rule, "lines", &err));
    assert_true(documents_part_files(&rule));
    must(document_rule_parse(&rule, "separator:\\0", &err));
    read_in_pieces(&rule, "one\0two\0", 8, 3, &out);
    assert_string_equal(out.data, "[one][two]");
    text_free(&out);
}

/* Little is held of a line of any length, and a line of JSON is not held for ever. */
static void long_lines(void **state) {
    (void)state;
    enum { PIECE = 1 << 20, PIECES = 70 };
    static char piece[PIECE];
    static const char *const rules[] = {"lines", "paragraphs", "separator:\\n\\n", "jsonl:text"};
    for (size_t k = 0; k < COUNT(rules); k++) {
        document_rule rule;
        text out = {0};
        document_reader r = {.rule = &rule, .sink = {&out, begin, bytes, end, bad}};
        must(document_rule_parse(&rule, rules[k], &err));
        memset(piece, k == 1 ? ' ' : 'x', PIECE); /* white space is judged in the end, too */
        for (int i = 0; i < PIECES; i++) {
            must(documents_feed(&r, piece, PIECE, &err));
            if (k < 3) assert_true(r.held.size <= PIECE);
            out.size = out.size > 100 ? 1 : out.size;
        }
        assert_true(r.held.size <= (size_t)(65 << 20));
        must(documents_feed(&r, "\n\n{\"text\": \"y\"}\n", 16, &err));
        must(documents_finish(&r, &err));
        if (k == 3) assert_string_equal(out.data, "!1[y]");
        documents_free(&r);
        text_free(&out);
    }
}

static void rules_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"line", "lines:", "linesx", "folder", "folders:", "file", "jsonl:", "jsonl", "separator:", "separator", "",
                                        "separator:\\q", "separator:\\x1", "separator:\\xg0", "separator:a\\"};
    document_rule rule;
    char long_text[400] = "separator:";
    memset(long_text + 10, 'x', sizeof long_text - 11);
    for (size_t i = 0; i < COUNT(wrong); i++)
        refused(document_rule_parse(&rule, wrong[i], &err), PCV_USAGE, "--documents");
    refused(document_rule_parse(&rule, long_text, &err), PCV_USAGE, "--documents");
    must(document_rule_parse(&rule, NULL, &err));
    assert_int_equal(rule.kind, DOCUMENTS_FILES);
    must(document_rule_parse(&rule, "separator:\\x41\\t\\\\\\r\\n\\0", &err));
    assert_true(rule.size == 6 && !memcmp(rule.text, "A\t\\\r\n\0", 6));
}

/* ------------------------------------------------------------------ dealing */

/* After any number of files the counts are within one of the shares, and all wanted splits come first. */
static void files_dealt(void **state) {
    (void)state;
    static const int shares[][SPLITS] = {{90, 5, 5}, {34, 33, 33}, {1, 98, 1}, {100, 0, 0}, {50, 0, 50}};
    for (size_t k = 0; k < COUNT(shares); k++) {
        file_dealer d = {.percent = {shares[k][0], shares[k][1], shares[k][2]}};
        for (int n = 1; n <= 1000; n++) {
            split_name next = file_dealer_next(&d);
            file_dealer_take(&d);
            for (int s = 0; s < SPLITS; s++) {
                if (n >= deal_wanted(shares[k])) assert_int_equal(d.dealt[s] > 0, shares[k][s] > 0);
                if (n >= 100) close_to((double)d.dealt[s], n * shares[k][s] / 100.0, 1.5, "files of a split");
            }
            assert_true(shares[k][next] > 0);
        }
    }
}

/* Exactly the shares of as many documents as there are; each document is as likely to be tested on as another. */
static void documents_dealt(void **state) {
    (void)state;
    enum { DOCUMENTS = 20, SEEDS = 4000 };
    static const int percent[SPLITS] = {80, 10, 10};
    static const struct {
        int64_t documents, left[SPLITS];
    } few[] = {{0, {0, 0, 0}}, {1, {1, 0, 0}}, {2, {1, 1, 0}}, {3, {1, 1, 1}}, {7, {5, 1, 1}}, {1000, {800, 100, 100}}};
    int tested[DOCUMENTS] = {0};
    document_dealer d;
    for (size_t i = 0; i < COUNT(few); i++) {
        int64_t count[SPLITS] = {0};
        document_dealer_open(&d, percent, few[i].documents, 5, 1);
        for (int64_t n = 0; n < few[i].documents; n++, document_dealer_take(&d)) count[d.next]++;
        assert_memory_equal(count, few[i].left, sizeof count);
    }
    document_dealer_open(&d, (const int[]){80, 15, 5}, 30, 5, 1); /* 24, 4.5 and 1.5, to the nearest, from a half on up */
    assert_true(d.left[0] == 23 && d.left[1] == 5 && d.left[2] == 2);
    document_dealer_open(&d, (const int[]){80, 15, 5}, 29, 5, 1); /* 4.35 and 1.45 */
    assert_true(d.left[0] == 24 && d.left[1] == 4 && d.left[2] == 1);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        document_dealer_open(&d, percent, DOCUMENTS, seed, 1);
        for (int n = 0; n < DOCUMENTS; n++, document_dealer_take(&d)) tested[n] += d.next == SPLIT_TEST;
    }
    for (int n = 0; n < DOCUMENTS; n++) close_to(tested[n], SEEDS / 10.0, 100, "times a document is tested on");
}

/* ------------------------------------------------------------------ contents */

static void contents_judged(void **state) {
    (void)state;
    static char beyond[70000];
    memset(beyond, 'x', sizeof beyond);
    beyond[66000] = 0;
    const struct {
        const char *bytes;
        size_t size;
        bool binary, blank;
    } cases[] = {{"", 0, false, true}, {" \t\r\n\v\f", 6, false, true}, {"a\0b", 3, true, false},
                 {"\033[1mbold\b\033[0m", 13, false, false}, {"\xFF\xFE\xC0 latin", 9, false, false},
                 {"\001\002\003 control", 11, true, false}, {beyond, sizeof beyond, false, false},
                 {beyond, 66001, false, false}, {beyond + 10000, 60000, true, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        file_content c;
        char hash[HASH_TEXT];
        must(content_open(&c, &err));
        content_add(&c, cases[i].bytes, cases[i].size);
        content_close(&c);
        hash_bytes(cases[i].bytes, cases[i].size, hash);
        if (c.binary != cases[i].binary || c.blank != cases[i].blank) test_failed("content %zu: %d, %d\n", i, c.binary, c.blank);
        assert_string_equal(c.hash, hash);
    }
}

static void contents_known(void **state) {
    (void)state;
    enum { MANY = 5000 };
    static char names[MANY][16];
    content_set set = {0};
    const void *before;
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < MANY; i++) {
            char hash[HASH_TEXT];
            hash_bytes(&i, sizeof i, hash);
            snprintf(names[i], sizeof names[i], "%d", i);
            must(content_set_add(&set, hash, names[i], &before, &err));
            assert_ptr_equal(before, turn ? names[i] : NULL);
        }
    assert_int_equal(set.count, MANY);
    content_set_free(&set);
}

#define T(test) cmocka_unit_test(test)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(documents_end), T(zeros_part), T(long_lines), T(rules_refused), T(files_dealt), T(documents_dealt),
        T(contents_judged), T(contents_known),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
