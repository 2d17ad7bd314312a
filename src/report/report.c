/* The report is the page report.html with its {{marks}} filled in. It is made from the record and config.json
 * alone, anew each time: so a resumed run has all of its curve, and a page can be made of any run. The record is
 * as untrusted as any file: texts are escaped, and names of samples are plain names in the run's own folder. */
#include "report/report.h"
#include "base/fields.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/model_config.h"
#include "config/run_files.h"
#include "report/embedded.h"
#include "token/token.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <time.h>

enum { MOST_POINTS = 1500, MOST_SAMPLES = 8, CONFIG_LIMIT = 1 << 20, MUSIC_LIMIT = 1 << 18 };

typedef struct point {
    double step, value;
} point;

typedef struct series {
    point *list;
    size_t count, capacity;
} series;

enum { LOSS, VALIDATION, LR, NORM, RATE, SERIES };
static const struct {
    const char *key, *name;
    bool is_loss;
} kinds[SERIES] = {
    [LOSS] = {"loss", "loss", true},
    [VALIDATION] = {"validation_loss", "validation", true},
    [LR] = {"lr", "lr", false},
    [NORM] = {"grad_norm", "norm", false},
    [RATE] = {"tokens_per_second", "rate", false},
};

typedef struct sample {
    int64_t step;
    char *text; /* or the name of a file in the run */
    bool is_file;
} sample;

typedef struct report {
    series s[SERIES];
    char measure[64]; /* that losses are told in, */
    double factor;    /* which are multiplied by this */
    sample samples[MOST_SAMPLES]; /* the latest ones, a ring */
    int64_t sample_count;
    int64_t last_step;
    double seconds, tokens;
} report;

static int push_point(series *s, double step, double value, pcv_error *err) {
    if (s->count == s->capacity) {
        size_t capacity = s->capacity * 2 + 256;
        int status = mem_resize(&s->list, capacity * sizeof *s->list, "a report", err);
        if (status) return status;
        s->capacity = capacity;
    }
    s->list[s->count++] = (point){step, value};
    return 0;
}

/* "samples/" and a plain name: the record is as untrusted as any file. */
static bool is_sample(const char *name) {
    static const char folder[] = RUN_SAMPLES "/";
    if (!name || strncmp(name, folder, sizeof folder - 1)) return false;
    for (const char *c = name + sizeof folder - 1; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.') return false;
    return true;
}

static int add_line(report *r, const json_t *line, pcv_error *err) {
    const json_t *step = json_object_get(line, "step"), *value;
    int status = 0;
    if (!json_is_integer(step)) return 0;
    r->last_step = json_integer_value(step);
    for (int i = 0; i < SERIES && !status; i++) {
        value = json_object_get(line, kinds[i].key);
        double number = json_number_value(value) * (kinds[i].is_loss ? r->factor : 1);
        if (json_is_number(value) && isfinite(number))
            status = push_point(&r->s[i], (double)r->last_step, number, err);
    }
    if ((value = json_object_get(line, "seconds"))) r->seconds = json_number_value(value);
    if ((value = json_object_get(line, "tokens"))) r->tokens = json_number_value(value);
    value = json_object_get(line, "sample");
    const json_t *file = json_object_get(line, "sample_file");
    if (file) value = file;
    if (file && !is_sample(json_string_value(file))) return status;
    if (status || !json_is_string(value)) return status;
    sample *s = &r->samples[r->sample_count++ % MOST_SAMPLES];
    mem_free(s->text);
    s->step = r->last_step;
    s->is_file = file != NULL;
    return mem_string(&s->text, json_string_value(value), err);
}

static int read_metrics(report *r, const char *run, pcv_error *err) {
    char path[PATH_SIZE];
    file_bytes all = {0};
    int status = 0;
    TRY(path_join(path, run, RUN_METRICS, err));
    TRY(file_read(path, (size_t)1 << 32, &all, err));
    for (size_t at = 0; at < all.size;) {
        const char *end = memchr(all.data + at, '\n', all.size - at);
        size_t size = end ? (size_t)(end - (all.data + at)) : all.size - at;
        json_t *line = NULL;
        if (!json_parse(&line, all.data + at, size, JSON_MEMORY, path, NULL)) status = add_line(r, line, err);
        json_decref(line);
        if (status) goto out;
        at += size + 1;
    }
out:
    file_bytes_free(&all);
    return status;
}

/* "name": [[step, value], ...]; long series are thinned to means of neighbouring points. */
static void add_series(text *t, const series *s, const char *name) {
    size_t group = s->count / MOST_POINTS + 1;
    text_add(t, "\"%s\": [", name);
    for (size_t i = 0; i < s->count; i += group) {
        size_t n = s->count - i < group ? s->count - i : group;
        double step = 0, value = 0;
        for (size_t k = 0; k < n; k++) {
            step += s->list[i + k].step / (double)n;
            value += s->list[i + k].value / (double)n;
        }
        text_add(t, "%s[%.10g,%.5g]", i ? "," : "", step, value);
    }
    text_add(t, "]");
}

static void add_data(text *t, const report *r) {
    text_add(t, "{");
    for (int i = 0; i < SERIES; i++) {
        if (i) text_add(t, ", ");
        add_series(t, &r->s[i], kinds[i].name);
    }
    text_add(t, "}");
}

static void add_fact(text *t, const char *label, const char *format, double value) {
    char number[64];
    snprintf(number, sizeof number, format, value);
    text_add(t, "<div><b>%s</b><span class=\"soft\">%s</span></div>", number, label);
}

/* Bits of what a token of this data is; or what the model's loss measures. */
static void choose_measure(report *r, const json_t *config) {
    const char *name = json_string_value(json_object_get(config, "kind"));
    const char *loss = json_string_value(json_object_get(config, "loss"));
    const data_kind *kind = name ? data_kind_of(name) : NULL;
    int64_t ids = json_integer_value(json_object_get(config, "vocab_size"));
    int which = LOSS_CROSS_ENTROPY;
    if (loss && name_find(&which, loss, loss_names, "loss", NULL)) which = LOSS_CROSS_ENTROPY;
    r->factor = loss_units[which].factor;
    if (which == LOSS_CROSS_ENTROPY)
        snprintf(r->measure, sizeof r->measure, "bits per %s", kind && ids < kind->ids ? kind->unit : "token");
    else if (json_integer_value(json_object_get(json_object_get(config, "image"), "features")))
        snprintf(r->measure, sizeof r->measure, "weighted loss");
    else snprintf(r->measure, sizeof r->measure, "%s", loss_units[which].name);
}

static void add_facts(text *t, const report *r) {
    char label[96];
    const series *v = &r->s[VALIDATION], *l = &r->s[LOSS];
    double best = INFINITY;
    for (size_t i = 0; i < v->count; i++) best = fmin(best, v->list[i].value);
    snprintf(label, sizeof label, "%s, validation", r->measure);
    if (v->count) add_fact(t, label, "%.4f", v->list[v->count - 1].value);
    if (v->count > 1) add_fact(t, "best validation", "%.4f", best);
    snprintf(label, sizeof label, "%s, training", r->measure);
    if (l->count) add_fact(t, label, "%.4f", l->list[l->count - 1].value);
    add_fact(t, "updates", "%.0f", (double)r->last_step);
    add_fact(t, "million target tokens", "%.2f", r->tokens / 1e6);
    add_fact(t, "minutes of training", "%.1f", r->seconds / 60);
}

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

/* A page that was opened as a file may not read others, so the music lies in it. */
static void add_player(text *t, const char *run, const char *name) {
    char path[PATH_SIZE];
    file_bytes file;
    if (path_join(path, run, name, NULL) || file_read(path, MUSIC_LIMIT, &file, NULL)) return;
    text_add(t, "<button data-midi=\"");
    text_base64(t, file.data, file.size);
    text_add(t, "\">play</button> ");
    file_bytes_free(&file);
}

/* Pictures as pictures, music and sound with a player; what has a picture beside it, with that. */
static void add_file(text *t, const char *run, const char *name) {
    bool picture = ends_with(name, ".png") || ends_with(name, ".svg");
    text_add(t, "<div class=\"sample\">");
    if (ends_with(name, ".mid")) add_player(t, run, name);
    if (ends_with(name, ".wav")) text_add(t, "<audio controls src=\"%s\"></audio><br>", name);
    else if (!picture) text_add(t, "<a href=\"%s\">%s</a><br>", name, name);
    text_add(t, "<img src=\"%s%s\" alt=\"%s\"></div>", name, picture ? "" : ".png", name);
}

static void add_samples(text *t, const report *r, const char *run) {
    int64_t count = r->sample_count < MOST_SAMPLES ? r->sample_count : MOST_SAMPLES;
    if (!count) text_add(t, "<p class=\"soft\">None yet.</p>");
    for (int64_t i = 1; i <= count; i++) {
        const sample *s = &r->samples[(r->sample_count - i) % MOST_SAMPLES];
        text_add(t, "<div class=\"soft\">after update %lld</div>", (long long)s->step);
        if (s->is_file) {
            add_file(t, run, s->text);
            continue;
        }
        text_add(t, "<pre>");
        text_html(t, s->text, strlen(s->text));
        text_add(t, "</pre>");
    }
}

static void add_rows(text *t, const json_t *config, const char *prefix) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)config, key, value) {
        char name[256];
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", key);
        if (json_is_object(value)) {
            add_rows(t, value, name);
            continue;
        }
        text shown = {0};
        json_print(&shown, value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        text_add(t, "<div><span class=\"soft\">");
        text_html(t, name, strlen(name));
        text_add(t, "</span><span>");
        if (text_ok(&shown)) text_html(t, shown.data, shown.size);
        text_add(t, "</span></div>");
        text_free(&shown);
    }
}

static void add_subtitle(text *t, const json_t *config) {
    const char *dataset = json_string_value(json_object_get(config, "dataset"));
    const char *architecture = json_string_value(json_object_get(config, "architecture"));
    char date[64];
    time_t now = time(NULL);
    struct tm parts;
    strftime(date, sizeof date, "%Y-%m-%d %H:%M", localtime_r(&now, &parts));
    text_html(t, architecture ? architecture : "?", architecture ? strlen(architecture) : 1);
    text_add(t, " trained on ");
    text_html(t, dataset ? dataset : "?", dataset ? strlen(dataset) : 1);
    text_add(t, ", as of %s", date);
}

/* Replaces {{mark}}s of the page. */
static void fill_page(text *out, const report *r, const json_t *config, const char *run) {
    const char *at = report_html, *end = report_html_end;
    for (const char *open; (open = memmem(at, (size_t)(end - at), "{{", 2)); ) {
        const char *close = memmem(open, (size_t)(end - open), "}}", 2);
        if (!close) break;
        text_bytes(out, at, (size_t)(open - at));
        char mark[32];
        snprintf(mark, sizeof mark, "%.*s", (int)(close - open - 2), open + 2);
        if (!strcmp(mark, "title")) text_html(out, path_name(run), strlen(path_name(run)));
        else if (!strcmp(mark, "subtitle")) add_subtitle(out, config);
        else if (!strcmp(mark, "facts")) add_facts(out, r);
        else if (!strcmp(mark, "measure")) text_add(out, "%s", r->measure);
        else if (!strcmp(mark, "samples")) add_samples(out, r, run);
        else if (!strcmp(mark, "configuration")) add_rows(out, config, "");
        else if (!strcmp(mark, "chart")) text_bytes(out, chart_js, (size_t)(chart_js_end - chart_js));
        else if (!strcmp(mark, "data")) add_data(out, r);
        at = close + 2;
    }
    text_bytes(out, at, (size_t)(end - at));
}

int report_write(const char *run, pcv_error *err) {
    char path[PATH_SIZE];
    report r = {0};
    json_t *config = NULL;
    text page = {0};
    int status = 0;
    TRY(path_join(path, run, RUN_CONFIG, err));
    TRY(json_read(&config, path, CONFIG_LIMIT, err));
    choose_measure(&r, config);
    TRY(read_metrics(&r, run, err));
    fill_page(&page, &r, config, run);
    if (!text_ok(&page)) {
        status = fail(err, PCV_MEMORY, "not enough memory for the report");
        goto out;
    }
    TRY(path_own(path, run, RUN_REPORT, err));
    TRY(file_write(path, page.data, page.size, err));
out:
    for (int i = 0; i < SERIES; i++) mem_free(r.s[i].list);
    for (int i = 0; i < MOST_SAMPLES; i++) mem_free(r.samples[i].text);
    json_decref(config);
    text_free(&page);
    return status;
}
