/* What people write and read: numbers as text, and quoted text as one line that obeys nobody. */
#include "scratch.h"
#include "base/number.h"
#include "base/text.h"

#include <errno.h>

/* ------------------------------------------------------------------ numbers */

static void whole_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text, *refusal; /* NULL: taken */
        int64_t value;
    } cases[] = {
        {"0", NULL, 0}, {"-5", NULL, -5}, {"007", NULL, 7}, {"9223372036854775807", NULL, INT64_MAX},
        {"-9223372036854775808", NULL, INT64_MIN}, {"", "is not a whole number", 0},
        {"-", "is not a whole number", 0}, {"--5", "is not a whole number", 0}, {"+5", "is not a whole number", 0},
        {" 5", "is not a whole number", 0}, {"5 ", "is not a whole number", 0}, {"5k", "is not a whole number", 0},
        {"1e3", "is not a whole number", 0}, {"0x10", "is not a whole number", 0}, {"1,000", "is not a whole number", 0},
        {"4.0", "is not a whole number", 0}, {"\n5", "'\\n5' is not a whole number", 0},
        {"9223372036854775808", "9223372036854775808 is out of range", 0},
        {"99999999999999999999x", "is not a whole number", 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t value = 77;
        if (cases[i].refusal) {
            refused(pcv_read_whole("--size", cases[i].text, INT64_MIN, INT64_MAX, &value, &err), PCV_USAGE,
                    cases[i].refusal);
            assert_int_equal(value, 77);
        } else {
            must(pcv_read_whole("--size", cases[i].text, INT64_MIN, INT64_MAX, &value, &err));
            assert_int_equal(value, cases[i].value);
        }
    }
    int64_t value = 77;
    refused(pcv_read_whole("--size", "0", 1, 8192, &value, &err), PCV_USAGE,
            "--size: 0 is out of range, expected 1 to 8192");
    assert_int_equal(value, 77);
}

static void real_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double value;
    } taken[] = {{"0", 0}, {"-1.5", -1.5}, {".5", 0.5}, {"5.", 5}, {"1e-3", 1e-3}, {"2E+3", 2000}, {"1e-999", 0},
                 {"0.1", 0.1}};
    static const char *const bad[] = {"", "-", ".", "e5", "1e", "1e+", "+5", " 5", "5 ", "0x10", "0x1p3", "nan", "inf",
                                      "-infinity", "1,5", "1_000", "5k", "1e3x", "1e999x"};
    double value = 77;
    for (size_t i = 0; i < COUNT(taken); i++) {
        must(pcv_read_real("--lr", taken[i].text, -1e9, 1e9, &value, &err));
        assert_true(value == taken[i].value);
    }
    value = 77;
    for (size_t i = 0; i < COUNT(bad); i++) {
        refused(pcv_read_real("--lr", bad[i], -1e9, 1e9, &value, &err), PCV_USAGE, "is not a number");
        assert_true(value == 77);
    }
    refused(pcv_read_real("--lr", "1e999", -1e300, 1e300, &value, &err), PCV_USAGE, "1e999 is out of range");
}

/* Bounds are stated as they are. */
static void ranges(void **state) {
    (void)state;
    static const struct {
        number_range range;
        const char *text, *expected; /* NULL: within */
    } cases[] = {
        {{0, 1, false, false}, "1", NULL}, {{0, 1, false, false}, "1.01", "expected 0 to 1"},
        {{0, 1, false, true}, "0", NULL}, {{0, 1, false, true}, "0.99999999999", NULL},
        {{0, 1, false, true}, "1", "1 is out of range, expected at least 0 and less than 1"},
        {{0, 10, true, false}, "10", NULL},
        {{0, 10, true, false}, "0", "0 is out of range, expected more than 0 and at most 10"},
        {{0, 10, true, true}, "10", "expected more than 0 and less than 10"},
        {{0, 0.95, false, false}, "0.951", "0.951 is out of range, expected 0 to 0.95"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        double value;
        if (cases[i].expected)
            refused(number_read_real("--x", cases[i].text, cases[i].range, &value, &err), PCV_USAGE, cases[i].expected);
        else must(number_read_real("--x", cases[i].text, cases[i].range, &value, &err));
    }
    refused(number_check_real(NAN, (number_range){0, 1, false, false}, "x", PCV_CONFIG, &err), PCV_CONFIG, "range");
}

static void lists(void **state) {
    (void)state;
    static const char *const bad[] = {"", ",", "1,", ",1", "1,,2", "1, 2", "1x2", "1,2,3,4"};
    int64_t value[3];
    int count;
    must(pcv_read_wholes("--grid", "4x3", 'x', 1, 9, value, 3, &count, &err));
    assert_true(count == 2 && value[0] == 4 && value[1] == 3);
    must(pcv_read_wholes("--values", "7", ',', 1, 9, value, 3, &count, &err));
    assert_true(count == 1 && value[0] == 7);
    for (size_t i = 0; i < COUNT(bad); i++)
        refused(pcv_read_wholes("--values", bad[i], ',', 1, 9, value, 3, &count, &err), PCV_USAGE, "--values: ");
    refused(pcv_read_wholes("--values", "3,10", ',', 1, 9, value, 3, &count, &err), PCV_USAGE, "10 is out of range");
}

/* ------------------------------------------------------------------ lines */

static const struct {
    const char *from, *line;
} shown[] = {
    {"plain", "plain"}, {"", ""}, {"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"},
    {"a\nb\r\tc", "a\\nb\\r\\tc"}, {"\x1B[31mred\x07", "\\x1b[31mred\\x07"}, {"\x7F", "\\x7f"},
    {"\xC2\x9B" "31m", "\\u009b31m"}, {"\xC2\x85", "\\u0085"}, {"\xC2\xA0", "\xC2\xA0"},
    {"\xFF\xC3", "\\xff\\xc3"}, {"\xC0\x8A", "\\xc0\\x8a"}, {"\x9B" "31m", "\\x9b31m"},
    {"\xE2\x80\xAE" "gpj.exe", "\\u202egpj.exe"}, {"\xE2\x81\xA6", "\\u2066"}, {"\xE2\x80\xA8", "\\u2028"},
    {"\xD8\x9C", "\\u061c"},
};

static void lines(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(shown); i++) {
        char out[64], again[64];
        pcv_line(out, sizeof out, shown[i].from);
        assert_string_equal(out, shown[i].line);
        pcv_line(again, sizeof again, out);
        assert_string_equal(again, out); /* a line stays what it is */
        text t = {0};
        text_escape(&t, shown[i].from, strlen(shown[i].from));
        assert_string_equal(t.data ? t.data : "", shown[i].line);
        text_free(&t);
    }
    text t = {0};
    text_escape(&t, "C:\\new\0", 7);
    assert_string_equal(t.data, "C:\\\\new\\x00"); /* told from C:, end of line, ew */
    text_free(&t);
}

/* A line that is cut ends behind a whole character, at every length. */
static void cut_lines(void **state) {
    (void)state;
    static const char *const in = "ab\xE2\x82\xAC\n\x1B" "cdefgh";
    char whole[64], out[64];
    pcv_line(whole, sizeof whole, in);
    for (size_t capacity = 4; capacity <= sizeof out; capacity++) {
        memset(out, '!', sizeof out);
        pcv_line(out, capacity, in);
        size_t size = strlen(out);
        assert_true(size < capacity && utf8_valid(out));
        if (strlen(whole) < capacity) assert_string_equal(out, whole);
        else {
            assert_string_equal(out + size - 3, "...");
            assert_memory_equal(out, whole, size - 3);
            assert_true(size == 3 || (out[size - 4] != '\\' && strncmp(whole + size - 3, "x1b", 3)));
        }
    }
    out[0] = '!';
    pcv_line(out, 0, "x");
    assert_int_equal(out[0], '!');
    pcv_line(out, 1, "x");
    assert_int_equal(out[0], 0);
}

/* In a page nobody obeys them either: DEL, C1, and what turns the direction of writing. */
static void pages_have_no_controls(void **state) {
    (void)state;
    static const char bytes[] = "a\x7F" "b\xC2\x9B" "c\xE2\x80\xAE" "d<\n";
    text html = {0};
    text_html(&html, bytes, sizeof bytes - 1);
    assert_string_equal(html.data, "a\xEF\xBF\xBD" "b\xEF\xBF\xBD" "c\xEF\xBF\xBD" "d&lt;\n");
    text_free(&html);
}

static void errors_are_lines(void **state) {
    (void)state;
    pcv_error err;
    char long_name[3000] = "";
    assert_int_equal(fail(&err, PCV_DATA, "%s: no\x1B", "a\nperceiver: all is well"), PCV_DATA);
    assert_string_equal(err.message, "a\\nperceiver: all is well: no\\x1b");
    fail_context(&err, "run%c1", '\n');
    assert_string_equal(err.message, "run\\n1: a\\nperceiver: all is well: no\\x1b");
    errno = ENOENT;
    fail_errno(&err, PCV_NOINPUT, "\x9B");
    assert_string_equal(err.message, "\\x9b: No such file or directory");
    for (int i = 0; i < 900; i++) strcat(long_name, "\xE2\x82\xAC");
    fail(&err, PCV_DATA, "%s", long_name);
    size_t size = strlen(err.message);
    assert_true(size >= sizeof err.message - 4 && utf8_valid(err.message));
    assert_string_equal(err.message + size - 3, "...");
    assert_int_equal(fail(NULL, PCV_DATA, "nobody listens"), PCV_DATA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers), cmocka_unit_test(real_numbers), cmocka_unit_test(ranges),
        cmocka_unit_test(lists), cmocka_unit_test(lines), cmocka_unit_test(cut_lines),
        cmocka_unit_test(pages_have_no_controls), cmocka_unit_test(errors_are_lines),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
