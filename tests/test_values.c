/* Numbers and texts as people and files write them: what is taken, to the last value that fits, and what is not. */
#include "scratch.h"
#include "base/fields.h"
#include "base/number.h"
#include "base/safetensors.h"
#include "base/text.h"

/* ------------------------------------------------------------------ numbers */

static void whole_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t low, high, value;
        const char *refused; /* or NULL */
    } cases[] = {
        {"0", 0, 0, 0, NULL}, {"007", -9, 9, 7, NULL}, {"-0", 0, 0, 0, NULL}, {"5", 5, 5, 5, NULL}, {"-5", -5, -5, -5, NULL},
        {"9223372036854775807", INT64_MIN, INT64_MAX, INT64_MAX, NULL},
        {"-9223372036854775808", INT64_MIN, INT64_MAX, INT64_MIN, NULL},
        {"9223372036854775808", INT64_MIN, INT64_MAX, 0, "is out of range"},
        {"-9223372036854775809", INT64_MIN, INT64_MAX, 0, "is out of range"},
        {"99999999999999999999x", INT64_MIN, INT64_MAX, 0, "is not a whole number"},
        {"4", 5, 7, 0, "x: 4 is out of range, expected 5 to 7"}, {"8", 5, 7, 0, "x: 8 is out of range"},
        {"", 0, 9, 0, "x: '' is not a whole number"}, {"-", -9, 9, 0, "is not a whole number"}, {"--5", -9, 9, 0, "is not"},
        {"+5", 0, 9, 0, "is not"}, {" 5", 0, 9, 0, "is not"}, {"5 ", 0, 9, 0, "is not"}, {"5.0", 0, 9, 0, "is not"},
        {"1e1", 0, 99, 0, "is not"}, {"0x5", 0, 9, 0, "is not"}, {"5,", 0, 9, 0, "is not"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t value = 77;
        if (cases[i].refused) refused(number_read_whole("x", cases[i].text, cases[i].low, cases[i].high, &value, &err), PCV_USAGE, cases[i].refused);
        else must(number_read_whole("x", cases[i].text, cases[i].low, cases[i].high, &value, &err));
        if (value != (cases[i].refused ? 77 : cases[i].value)) test_failed("'%s' became %lld\n", cases[i].text, (long long)value);
    }
}

static void real_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        number_range range;
        double value;
        const char *refused;
    } cases[] = {
        {"0.5", {0, 1, 0, 0}, 0.5, NULL}, {".5", {0, 1, 0, 0}, 0.5, NULL}, {"5.", {0, 9, 0, 0}, 5, NULL},
        {"1e-4", {0, 1, 0, 0}, 1e-4, NULL}, {"1E+2", {0, 100, 0, 0}, 100, NULL}, {"-2.5e1", {-25, 0, 0, 0}, -25, NULL},
        {"0", {0, 1, 0, 0}, 0, NULL}, {"1", {0, 1, 0, 0}, 1, NULL}, {"1.7976931348623157e308", {0, INFINITY, 0, 0}, 1.7976931348623157e308, NULL},
        {"1", {0, 1, 0, 1}, 0, "x: 1 is out of range, expected at least 0 and less than 1"},
        {"0", {0, 1, 1, 0}, 0, "x: 0 is out of range, expected more than 0 and at most 1"},
        {"0", {0, 1, 0, 1}, 0, NULL}, {"0.999", {0, 1, 0, 1}, 0.999, NULL}, {"1", {0, 1, 1, 0}, 1, NULL},
        {"1.5", {0, 1, 0, 0}, 0, "x: 1.5 is out of range, expected 0 to 1"}, {"-1e-9", {0, 1, 0, 0}, 0, "is out of range"},
        {"1e999", {0, 1, 0, 0}, 0, "x: 1e999 is out of range, expected 0 to 1"}, {"1e999x", {0, 1, 0, 0}, 0, "is not a number"},
        {".", {0, 1, 0, 0}, 0, "is not a number"}, {"", {0, 1, 0, 0}, 0, "is not"}, {"-", {0, 1, 0, 0}, 0, "is not"},
        {"e5", {0, 1, 0, 0}, 0, "is not"}, {"1e", {0, 9, 0, 0}, 0, "is not"}, {"1e+", {0, 9, 0, 0}, 0, "is not"},
        {"nan", {0, 1, 0, 0}, 0, "is not"}, {"inf", {0, 1, 0, 0}, 0, "is not"}, {"0x1p-3", {0, 1, 0, 0}, 0, "is not"},
        {"0x1", {0, 1, 0, 0}, 0, "is not"}, {"+1", {0, 1, 0, 0}, 0, "is not"}, {" 1", {0, 1, 0, 0}, 0, "is not"},
        {"1 ", {0, 1, 0, 0}, 0, "is not"}, {"0.5.5", {0, 1, 0, 0}, 0, "is not"}, {"1,0", {0, 1, 0, 0}, 0, "is not"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        double value = 77;
        if (cases[i].refused) refused(number_read_real("x", cases[i].text, cases[i].range, &value, &err), PCV_USAGE, cases[i].refused);
        else must(number_read_real("x", cases[i].text, cases[i].range, &value, &err));
        if (value != (cases[i].refused ? 77 : cases[i].value)) test_failed("'%s' became %g\n", cases[i].text, value);
    }
}

static void lists_of_numbers(void **state) {
    (void)state;
    int64_t values[4] = {0};
    int count;
    must(number_read_wholes("x", "16,-64,256", ',', -99, 999, values, 3, &count, &err));
    assert_true(count == 3 && values[0] == 16 && values[1] == -64 && values[2] == 256);
    must(number_read_wholes("x", "7", ':', 0, 9, values, 3, &count, &err));
    assert_true(count == 1 && values[0] == 7);
    values[3] = 77;
    refused(number_read_wholes("x", "1,2,3,4", ',', 0, 9, values, 3, &count, &err), PCV_USAGE, "has more than 3 numbers");
    assert_int_equal(values[3], 77);
    static const char *const bad[] = {"", ",", "1,", ",1", "1,,2", "1;2", "1, 2", "1,x", "99999999999999999999"};
    for (size_t i = 0; i < COUNT(bad); i++)
        refused(number_read_wholes("x", bad[i], ',', 0, 9, values, 3, &count, &err), PCV_USAGE, "is not a list of whole numbers");
    refused(number_read_wholes("x", "1,10", ',', 0, 9, values, 3, &count, &err), PCV_USAGE, "10 is out of range, expected 0 to 9");
}

/* ------------------------------------------------------------------ texts */

/* RFC 4648, section 10, and a byte of each kind. */
static void base64(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xFB\xFF\xFE", "+//+"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        text t = {0};
        text_add(&t, "%s", "");
        text_base64(&t, cases[i][0], strlen(cases[i][0]));
        assert_true(text_ok(&t));
        assert_string_equal(t.data, cases[i][1]);
        text_free(&t);
    }
}

/* Lines of every capacity: what fits is whole, what does not ends in "..." behind a whole character, and nothing is
 * written behind the end. */
static void lines_that_are_cut(void **state) {
    (void)state;
    static const struct {
        const char *text, *shown[12]; /* in so many bytes, the closing zero included */
    } cases[] = {
        {"abcdef", {NULL, "", "", "", "...", "a...", "ab...", "abcdef", "abcdef"}},
        {"a\nb", {NULL, "", "", "", "...", "a\\nb", "a\\nb"}},
        {"\xC3\xA9\xC3\xA9", {NULL, "", "", "", "...", "\xC3\xA9\xC3\xA9", "\xC3\xA9\xC3\xA9"}},
        {"\x1B[0m.", {NULL, "", "", "", "...", "...", "...", "...", "\\x1b...", "\\x1b[0m."}},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t capacity = 1; cases[i].shown[capacity]; capacity++) {
            char out[32];
            memset(out, '#', sizeof out);
            text_line(out, capacity, cases[i].text);
            bool whole = capacity > 3; /* less does not even hold the mark of a cut */
            if (out[capacity] != '#' || strnlen(out, capacity) == capacity || (whole && strcmp(out, cases[i].shown[capacity])))
                test_failed("'%s' in %zu bytes: '%.*s'\n", cases[i].text, capacity, (int)capacity, out);
        }
}

static void nearest(void **state) {
    (void)state;
    static const char *const names[] = {"layers", "latents", "channels", "heads"};
    assert_string_equal(nearest_name("layrs", names, 4), "layers");
    assert_string_equal(nearest_name("latnets", names, 4), "latents");
    assert_string_equal(nearest_name("chanels", names, 4), "channels");
    assert_string_equal(nearest_name("head", names, 4), "heads");
    assert_string_equal(nearest_name("heads", names, 4), "heads");
    assert_null(nearest_name("temperature", names, 4));
    assert_null(nearest_name("xyz", names, 4));
}

/* ------------------------------------------------------------------ settings in JSON */

typedef struct settings {
    field_ints list;
    int64_t guard;
    double below;
} settings;

static const field rows[] = {
    {"list", NULL, FIELD_INTS, offsetof(settings, list), 0, 9, NULL, "", ""},
    {"below", NULL, FIELD_BELOW, offsetof(settings, below), 0, 1, NULL, "0", ""},
};
static const field_table table = {rows, COUNT(rows)};

static int read_settings(const char *json, settings *s, pcv_error *err) {
    json_t *value;
    fields_default(&table, memset(s, 0, sizeof *s));
    int status = json_parse(&value, json, strlen(json), 1 << 20, "text", err);
    if (!status) status = fields_read(&table, s, value, NULL, "text", err);
    json_decref(value);
    return status;
}

static void ends_of_ranges(void **state) {
    (void)state;
    settings s;
    text list = {0};
    must(read_settings("{\"below\": 0}", &s, &err));
    must(read_settings("{\"below\": 0.999999}", &s, &err));
    refused(read_settings("{\"below\": 1}", &s, &err), PCV_CONFIG, "below: 1 is out of range, expected at least 0 and less than 1");
    refused(read_settings("{\"below\": -1e-9}", &s, &err), PCV_CONFIG, "is out of range");
    s.below = 1;
    refused(fields_check(&table, &s, &err), PCV_CONFIG, "below: 1 is out of range");
    text_add(&list, "{\"list\": [1");
    for (int i = 1; i < FIELD_LIST; i++) text_add(&list, ", %d", i % 10);
    size_t full = list.size;
    text_add(&list, "]}");
    must(read_settings(list.data, &s, &err));
    assert_true(s.list.count == FIELD_LIST && s.list.v[FIELD_LIST - 1] == (FIELD_LIST - 1) % 10);
    list.size = full;
    text_add(&list, ", 5]}");
    refused(read_settings(list.data, &s, &err), PCV_CONFIG, "list: more than 64 numbers");
    text_free(&list);
}

/* ------------------------------------------------------------------ safetensors */

/* The data begin at a multiple of 8 bytes whatever the header says. */
static void data_are_aligned(void **state) {
    (void)state;
    static const float values[4] = {1, 2, 3, 4};
    for (int n = 1; n < 20; n++) {
        char name[32] = "", hash[HASH_TEXT];
        uint64_t size, header = 0;
        file_bytes b;
        memset(name, 'x', (size_t)n);
        safetensors_plan plan = {.name = name, .type = "F32", .rank = 1, .shape = {4}, .data = values};
        must(safetensors_save(&(safetensors_writer){.plans = &plan, .count = 1}, at("t.safetensors"), hash, &size, &err));
        must(file_read(at("t.safetensors"), 1 << 16, &b, &err));
        for (int i = 7; i >= 0; i--) header = header << 8 | (unsigned char)b.data[i];
        assert_true(header % 8 == 0 && b.size == 8 + header + sizeof values && size == b.size);
        assert_memory_equal(b.data + 8 + header, values, sizeof values);
        file_bytes_free(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_numbers), cmocka_unit_test(real_numbers),
                                       cmocka_unit_test(lists_of_numbers), cmocka_unit_test(base64),
                                       cmocka_unit_test(lines_that_are_cut), cmocka_unit_test(nearest),
                                       cmocka_unit_test(ends_of_ranges), cmocka_unit_test(data_are_aligned)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
