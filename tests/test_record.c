/* The record of a run: metrics.jsonl, TensorBoard's files and the report; and the pace of a run by the clock. */
#include "scratch.h"
#include "base/mem.h"
#include "base/text.h"
#include "train/metrics.h"
#include "train/pace.h"
#include "report/report.h"

#include <jansson.h>

/* Whether the disk has these files by then is not the question. */
int fsync(int fd) { return fd < 0 ? -1 : 0; }

/* A whole file; the caller frees it. */
static file_bytes contents(const char *name) {
    file_bytes b;
    must(file_read(at(name), 1 << 26, &b, &err));
    return b;
}

/* ------------------------------------------------------------------ the clock */

/* How far a run by the clock is, from its marks; the same a second time, whatever the clock says then. */
static void pace(void **state) {
    (void)state;
    field_ints marks = {0};
    train_config c = {.steps = 640};
    double live[641];
    for (int64_t step = 0; step <= 640; step++) { /* twice as fast from update 320 on */
        double done = step < 320 ? (double)step / 960 : (double)(step - 160) / 480;
        pace_mark(&marks, done, step);
        live[step] = pace_at(marks.v, marks.count, step);
        assert_true(fabs(live[step] - done) < 2.0 / PACE_PARTS);
    }
    assert_int_equal(marks.count, PACE_PARTS - 1);
    static const int64_t by_hand[] = {10, 20, 40}; /* between marks as fast as in the part before, which was the last */
    static const double parts[][2] = {{0, 0}, {9, 0}, {10, 1}, {15, 1.5}, {20, 2}, {25, 2.5}, {30, 3}, {39, 3}, {40, 3},
                                      {50, 3.5}, {55, 3.75}, {60, 4}, {1000, 4}};
    for (size_t i = 0; i < COUNT(parts); i++)
        close_to(pace_at(by_hand, 3, (int64_t)parts[i][0]), parts[i][1] / PACE_PARTS, 1e-15, "part of a run");
    pace_keep(&c, &marks, 640);
    assert_true(pace_is_kept(&c));
    for (int64_t step = 0; step <= 640; step++)
        assert_true(pace_at(c.pace.v, c.pace.count, step) == live[step]);
    c.steps = 639;
    assert_false(pace_is_kept(&c));
    pace_mark(&marks, 0.5, 700); /* the limit was doubled */
    assert_int_equal(marks.count, 32);
    assert_true(pace_at(marks.v, marks.count, 700) <= 33.0 / PACE_PARTS);
}

/* ------------------------------------------------------------------ TensorBoard */

/* CRC-32C by a table, unlike the library's. */
static uint32_t crc32c(const unsigned char *bytes, size_t size) {
    uint32_t table[256], crc = UINT32_MAX;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int k = 0; k < 8; k++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82F63B78u : 0);
    }
    for (size_t i = 0; i < size; i++) crc = table[(crc ^ bytes[i]) & 255] ^ crc >> 8;
    return ~crc;
}

static uint64_t fixed(const unsigned char *bytes, int count) {
    uint64_t x = 0;
    for (int i = count; i--;) x = x << 8 | bytes[i];
    return x;
}

/* The stored form of a checksum: rotated by 15 bits, plus a constant. */
static void check_crc(const unsigned char *bytes, size_t size, const unsigned char *stored) {
    uint32_t rotated = (uint32_t)fixed(stored, 4) - 0xA282EAD8u;
    assert_int_equal((uint32_t)(rotated << 15 | rotated >> 17), crc32c(bytes, size));
}

typedef struct proto_field {
    unsigned number;
    uint64_t value; /* or how many bytes */
    const unsigned char *bytes;
} proto_field;

static uint64_t varint(const unsigned char **p, const unsigned char *end) {
    uint64_t x = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(*p < end && shift < 64);
        x |= (uint64_t)(**p & 127) << shift;
        if (*(*p)++ < 128) return x;
    }
}

static const unsigned char *next_field(const unsigned char *p, const unsigned char *end,
                                       proto_field *f) {
    uint64_t key = varint(&p, end);
    int type = (int)(key & 7), size = type == 1 ? 8 : type == 5 ? 4 : 0;
    *f = (proto_field){.number = (unsigned)(key >> 3)};
    assert_true(size || type == 0 || type == 2);
    assert_true(end - p >= size);
    f->value = size ? fixed(p, size) : varint(&p, end);
    f->bytes = p;
    assert_true(type != 2 || f->value <= (uint64_t)(end - p));
    return type == 2 ? p + f->value : p + size;
}

typedef struct event {
    double time;
    int64_t step;
    char tag[128], version[32];
    float value;
    bool starts; /* a session, which makes what was said before of this step and later void */
} event;

static event parse_event(const unsigned char *p, const unsigned char *end) {
    event e = {.step = -1};
    proto_field f, in;
    while (p < end) {
        p = next_field(p, end, &f);
        if (f.number == 1) memcpy(&e.time, &f.value, sizeof e.time);
        else if (f.number == 2) e.step = (int64_t)f.value;
        else if (f.number == 3) memcpy(e.version, f.bytes, f.value % sizeof e.version);
        else if (f.number == 7) e.starts = true;
        else assert_int_equal(f.number, 5);
        if (f.number != 5) continue;
        assert_ptr_equal(next_field(f.bytes, p, &in), p); /* a summary of one value */
        assert_int_equal(in.number, 1);
        for (const unsigned char *q = in.bytes; q < p;) {
            q = next_field(q, p, &f);
            uint32_t bits = (uint32_t)f.value;
            if (f.number == 1) snprintf(e.tag, sizeof e.tag, "%.*s", (int)f.value, f.bytes);
            else if (f.number == 2) memcpy(&e.value, &bits, sizeof bits);
            else test_failed("field %u of a value\n", f.number);
        }
    }
    return e;
}

/* Reads the events file of a run; returns how many events, the first of which tells the version. */
static int read_events(const char *run, event *events, int room) {
    file_list names = {0};
    char path[512];
    int count = 0;
    must(folder_names(at(run), &names, &err));
    for (size_t i = 0; i < names.count; i++) {
        if (strncmp(names.paths[i], "events.out.tfevents.", 20)) continue;
        snprintf(path, sizeof path, "%s/%s", run, names.paths[i]);
        file_bytes all = contents(path);
        const unsigned char *p = (const unsigned char *)all.data, *end = p + all.size;
        while (p < end) {
            assert_true(end - p >= 16 && count < room);
            uint64_t size = fixed(p, 8);
            check_crc(p, 8, p + 8);
            assert_true(size <= (uint64_t)(end - p) - 16);
            check_crc(p + 12, size, p + 12 + size);
            events[count++] = parse_event(p + 12, p + 12 + size);
            p += 16 + size;
        }
        file_bytes_free(&all);
    }
    file_list_free(&names);
    return count;
}

static void events(void **state) {
    (void)state;
    static const int64_t steps[] = {0, 1, 127, 128, 300, (int64_t)1 << 40};
    static event found[64];
    char name[110] = {0};
    assert_int_equal(crc32c((const unsigned char *)"123456789", 9), 0xE3069283);
    must(folder_make(at("board"), &err));
    metrics m;
    must(metrics_open(&m, at("board"), 0, 0, NULL, &err));
    for (size_t i = 0; i < COUNT(steps); i++) {
        metric list[] = {{"loss", 1.0 / (double)(i + 1)}, {"validation_loss", -3e-5 * (double)i}};
        metrics_write(&m, steps[i], list, 2);
    }
    memset(name, 'n', sizeof name - 1);
    metrics_write(&m, 7, &(metric){name, NAN}, 1);
    for (int validation = 0; validation < 2; validation++) { /* flushed while the run goes on */
        int count = read_events(validation ? "board/validation" : "board", found, COUNT(found));
        assert_int_equal(count, 1 + COUNT(steps) + !validation);
        assert_string_equal(found[0].version, "brain.Event:2");
        for (size_t i = 0; i < COUNT(steps); i++) {
            const event *e = &found[1 + i];
            assert_string_equal(e->tag, "loss"); /* one name, one chart */
            assert_int_equal(e->step, steps[i]);
            double expected = validation ? -3e-5 * (double)i : 1.0 / (double)(i + 1);
            assert_true(e->value == (float)expected && e->time > 1.6e9);
        }
        if (!validation) assert_true(isnan(found[count - 1].value) && strlen(found[count - 1].tag) > 100);
    }
    metrics_close(&m);
}

/* The steps of a folder's events, and what else they say, as text. */
static void check_events(const char *run, const char *expected) {
    static event found[64];
    text steps = {0};
    int count = read_events(run, found, COUNT(found));
    for (int i = 0; i < count; i++)
        text_add(&steps, "%s%s%lld", i ? " " : "", found[i].version[0] ? "v" : found[i].starts ? "s" : "",
                 (long long)found[i].step);
    assert_string_equal(steps.data, expected);
    text_free(&steps);
}

static void append(const char *name, const char *bytes, size_t size) {
    FILE *f = fopen(at(name), "ab");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* What was said of an update before a run was resumed in front of it is cut off, and a torn record too. */
static void resumed_events(void **state) {
    (void)state;
    static const char torn[] = "\x20\0\0\0\0\0\0\0";
    char name[128] = "";
    file_list names = {0};
    metrics m;
    must(folder_make(at("again"), &err));
    must(metrics_open(&m, at("again"), 0, 0, NULL, &err));
    metric list[] = {{"loss", 1}, {"validation_loss", 2}};
    for (int64_t step = 1; step <= 300; step += step < 5 ? 1 : 295) metrics_write(&m, step, list, 2);
    metrics_close(&m);
    check_events("again", "v0 1 2 3 4 5 300");
    must(folder_names(at("again"), &names, &err));
    for (size_t i = 0; i < names.count; i++)
        if (!strncmp(names.paths[i], "events", 6)) {
            snprintf(name, sizeof name, "again/%s", names.paths[i]);
            append(name, torn, sizeof torn - 1);
        }
    put("again/events.out.tfevents.1.of-somebody", torn, 4);
    must(metrics_open(&m, at("again"), 3, 2, NULL, &err));
    metrics_write(&m, 4, list, 2);
    metrics_close(&m);
    remove(at("again/events.out.tfevents.1.of-somebody")); /* still there: it was not ours */
    check_events("again", "v0 1 2 3 v0 s4 4");
    check_events("again/validation", "v0 1 2 v0 s3 4");
    file_list_free(&names);
}

/* ------------------------------------------------------------------ metrics.jsonl */

/* The steps of all lines, each of which must be an object, as text. */
static void line_steps(const char *name, text *out) {
    file_bytes all = contents(name);
    for (char *line = all.data, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        if (!end) test_failed("torn line: %s\n", line);
        json_t *json = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(json)) test_failed("not an object: %.*s\n", (int)(end - line), line);
        text_add(out, "%s%lld", out->size ? " " : "",
                 (long long)json_integer_value(json_object_get(json, "step")));
        json_decref(json);
    }
    file_bytes_free(&all);
}

static void resumed_metrics(void **state) {
    (void)state;
    static const char sample[] = "bytes \xFF\xC3\"\\\n\0 </script>";
    static const char torn[] = "not JSON\n\n{\"loss\": 1}\n[3]\n{\"step\": 2.5}\n{\"step\": 3, \"l";
    metrics m;
    text steps = {0};
    must(folder_make(at("log"), &err));
    must(metrics_open(&m, at("log"), 0, 0, NULL, &err));
    for (int64_t step = 1; step <= 5; step++) {
        metrics_write(&m, step, &(metric){"loss", step == 2 ? NAN : 0.5}, 1);
        metrics_sample(&m, step, sample, sizeof sample - 1);
    }
    metrics_close(&m);
    line_steps("log/metrics.jsonl", &steps);
    assert_string_equal(steps.data, "1 1 2 2 3 3 4 4 5 5");
    append("log/metrics.jsonl", torn, sizeof torn - 1);
    must(metrics_open(&m, at("log"), 3, 2, NULL, &err)); /* goes on behind update 3, whose sample is drawn again */
    metrics_write(&m, 4, &(metric){"loss", 0.25}, 1);
    metrics_close(&m);
    text_free(&steps);
    line_steps("log/metrics.jsonl", &steps);
    assert_string_equal(steps.data, "1 1 2 2 3 4");
    file_bytes all = contents("log/metrics.jsonl");
    assert_non_null(strstr(all.data, "{\"step\": 2, \"time\": "));
    assert_non_null(strstr(all.data, "\"loss\": null}"));
    assert_non_null(strstr(all.data, "\"loss\": 0.25}\n"));
    file_bytes_free(&all);
    text_free(&steps);
    refused(metrics_open(&m, at("absent"), 0, 0, NULL, &err), PCV_CANTCREATE, "absent/metrics.jsonl");
}

static void count_message(void *count, const char *line) {
    assert_non_null(strstr(line, "metrics.jsonl"));
    ++*(int *)count;
}

static void full_disk(void **state) {
    (void)state;
    int count = 0;
    pcv_watch watch = {.message = count_message, .context = &count};
    metrics m;
    must(folder_make(at("full"), &err));
    must(metrics_open(&m, at("full"), 0, 0, &watch, &err));
    fclose(m.file);
    m.file = fopen("/dev/full", "ab");
    for (int64_t i = 0; i < 5; i++) metrics_write(&m, i, &(metric){"loss", 1}, 1);
    assert_int_equal(count, 1); /* said once, and training goes on */
    metrics_close(&m);
}

/* ------------------------------------------------------------------ the report */

static int occurrences(const char *in, const char *what) {
    int count = 0;
    for (; (in = strstr(in, what)); in += strlen(what)) count++;
    return count;
}

/* Writes a run's two files and its report; returns the page. */
static file_bytes page_of(const char *run, const char *config, const char *lines) {
    char name[256];
    must(folder_make(at(run), &err));
    snprintf(name, sizeof name, "%s/config.json", run);
    put(name, config, strlen(config));
    snprintf(name, sizeof name, "%s/metrics.jsonl", run);
    put(name, lines, strlen(lines));
    must(report_write(at(run), &err));
    snprintf(name, sizeof name, "%s/report.html", run);
    return contents(name);
}

static void hostile_report(void **state) {
    (void)state;
    static const char config[] = "{\"dataset\": \"<img src=x onerror=alert(1)>\", \"channels\": 64,"
                                 "\"training\": {\"</td><u>\": \"'\\\"><s>\", \"lr\": 0.001}}";
    static const char lines[] =
        "{\"step\": 1, \"loss\": 2, \"lr\": 0.001, \"grad_norm\": 0.5, \"seconds\": 120}\n"
        "{\"step\": 2, \"validation_loss\": 1, \"loss\": null, \"lr\": \"</script>\"}\n"
        "{\"step\": 2, \"sample\": \"</script><b> & \\\"q\\\" \\u0001 \\u00e9 {{title}}\"}\n"
        "{\"step\": 2, \"sample_file\": \"samples/\\\"><script>.png\"}\n"
        "{\"step\": 2, \"sample_file\": \"samples/../../etc/passwd.png\"}\n"
        "{\"step\": \"<i>\", \"loss\": 5}\nnot JSON <b>\n{\"step\": 3, \"lo";
    file_bytes plain = page_of("plain", "{}", "");
    file_bytes page = page_of("<u>run", config, lines);
    assert_int_equal(strlen(page.data), page.size);
    static const char *const escaped[] = {
        "&lt;/script&gt;&lt;b&gt; &amp; &quot;q&quot; \xEF\xBF\xBD \xC3\xA9 {{title}}</pre>",
        "&lt;img src=x onerror=alert(1)&gt;", "training.&lt;/td&gt;&lt;u&gt;", "<h1>&lt;u&gt;run<",
        "&gt;&lt;s&gt;", "after update 2<", "<b>2.8854</b>", "<b>1.4427</b>", "<b>2.0</b>"};
    for (size_t i = 0; i < COUNT(escaped); i++)
        if (!strstr(page.data, escaped[i])) test_failed("the report lacks %s\n", escaped[i]);
    static const char *const raw[] = {"</script><b>", "<img", "<u>", "<s>", "</td><u>", "<i>",
                                      "<script", "</script"};
    for (size_t i = 0; i < COUNT(raw); i++)
        assert_int_equal(occurrences(page.data, raw[i]), occurrences(plain.data, raw[i]));
    assert_true(strstr(plain.data, "None yet.") && occurrences(plain.data, "<script") == 2);
    file_bytes_free(&plain);
    file_bytes_free(&page);
}

/* The numbers that the page's script reads are JSON, whatever the record holds. */
static void report_numbers(void **state) {
    (void)state;
    text lines = {0};
    text_add(&lines, "{\"step\": 1, \"loss\": 1.7e308}\n{\"step\": 2, \"loss\": 1e400}\n"
                     "{\"step\": 1234567, \"loss\": 2}\n{\"step\": 1234568, \"loss\": 1}\n");
    for (int i = 0; i < 5000; i++) text_add(&lines, "{\"step\": %d, \"lr\": %d}\n", 2000000 + i, i);
    file_bytes page = page_of("numbers", "{}", lines.data);
    const char *begin = strstr(page.data, "const data = "), *end;
    assert_non_null(begin);
    begin += strlen("const data = ");
    assert_non_null(end = strstr(begin, ";\n"));
    json_error_t reason;
    json_t *data = json_loadb(begin, (size_t)(end - begin), 0, &reason);
    json_t *loss = json_object_get(data, "loss");
    if (!data) test_failed("the report's data: %s\n", reason.text);
    size_t count = json_array_size(loss);
    assert_true(count >= 2);
    json_t *last = json_array_get(loss, count - 1), *before = json_array_get(loss, count - 2);
    close_to(json_number_value(json_array_get(last, 0)), 1234568, 0.5, "the last step");
    close_to(json_number_value(json_array_get(before, 0)), 1234567, 0.5, "the step before");
    close_to(json_number_value(json_array_get(last, 1)), 1 / log(2), 1e-4, "bits");
    assert_in_range(json_array_size(json_object_get(data, "lr")), 750, 1500); /* thinned */
    json_decref(data);
    file_bytes_free(&page);
    text_free(&lines);
}

static void no_report(void **state) {
    (void)state;
    must(folder_make(at("bare"), &err));
    refused(report_write(at("bare"), &err), PCV_NOINPUT, "bare/config.json");
    put("bare/config.json", "{}", 2);
    refused(report_write(at("bare"), &err), PCV_NOINPUT, "bare/metrics.jsonl");
    put("bare/metrics.jsonl", "", 0);
    put("bare/config.json", "{", 1);
    refused(report_write(at("bare"), &err), PCV_DATA, "bare/config.json");
    assert_false(path_exists(at("bare/report.html")));
}

#define T(test) cmocka_unit_test(test)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(pace), T(events), T(resumed_events), T(resumed_metrics), T(full_disk), T(hostile_report), T(report_numbers),
        T(no_report),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
