/* What a trained model's cross-attention and index heads look at, as numbers and as a picture. */
#include "eval/attention.h"
#include "base/clock.h"
#include "base/watch.h"
#include "config/settings.h"
#include "eval/predict.h"
#include "media/axes.h"
#include "model/index_look.h"
#include "token/id_stream.h"

#include <math.h>

/* ------------------------------------------------------------------ the numbers */

/* Picture rows [row, row + count) belong to queries that one pass has as latents. */
static int map_window(pcv_engine *e, tape *t, const int32_t *ids, int64_t document, int64_t latents, pcv_attention *m,
                      int64_t every, int64_t *row, pcv_error *err) {
    int64_t first = m->first_query + *row * every, count = 1, left = m->rows - *row;
    while (count < left && count * every < latents) count++;
    int64_t length = first + (count - 1) * every + 1, N = length < latents ? length : latents;
    tape_begin(t);
    sequence s = window_row(e->m, &(window){.count = length + 1, .whole = document}, ids);
    map_spec spec = {.first = N - 1 - (count - 1) * every, .every = every, .rows = count, .bins = m->bins,
                     .span = m->inputs};
    attention_map map = {spec, m->value + *row * m->bins};
    pass p = pass_over(e->m, &s, 1, N);
    p.map = &map;
    model_hidden(t, e->m, &p);
    *row += count;
    int status = tape_end(t, "for the pass; lower --latents or --context", err);
    for (int64_t i = 0; i < count * m->bins && !status; i++)
        if (!isfinite(map.values[i])) return engine_not_finite(e, err);
    return status;
}

/* The map becomes a mean over the cross-attention's heads, whose mean it is, and the index heads. */
static int add_index_heads(pcv_engine *e, tape *t, const int32_t *ids, bool crosses, int64_t every, pcv_attention *m,
                           pcv_error *err) {
    const float own = crosses ? (float)e->m->config.cross_heads : 0, all = own + (float)e->m->config.index.orders.count;
    index_place found[MOST_PLACES];
    index_rules rules;
    ngram_index x;
    void *memory = NULL;
    int status = 0;
    tape_begin(t);
    index_rules_read(&rules, t, e->m);
    TRY(tape_end(t, "for the index heads", err));
    TRY(index_of(e->m, ids, m->inputs, m->inputs, &x, &memory, err));
    for (int64_t r = 0; r < m->rows; r++) {
        float *value = m->value + r * m->bins;
        int64_t place = m->first_query + r * every;
        for (int64_t i = 0; i < m->bins; i++) value[i] *= own / all;
        for (int h = 0; h < (int)rules.heads; h++) {
            double nothing;
            int count = index_look(&x, &rules, h, place, found, &nothing);
            for (int i = 0; i < count; i++)
                value[found[i].match.place * m->bins / m->inputs] += (float)found[i].probability / all;
        }
    }
out:
    mem_free(memory);
    return status;
}

int attention_generate(pcv_engine *e, int64_t seed, int32_t **ids, int64_t *document, int64_t *first, pcv_error *err) {
    dataset *d = NULL;
    int status = dataset_open(&d, e->dataset, (uint64_t)seed, err);
    if (status) return status;
    if (!d->generated) {
        status = fail(err, PCV_USAGE, "name a file to look at; only runs on generated data need none");
        goto out;
    }
    window w = {.count = dataset_length(d, SPLIT_TEST, 0)};
    TRY(mem_get(ids, (size_t)w.count * sizeof **ids, "tokens", err));
    TRY(window_read(d, SPLIT_TEST, &w, *ids, err));
    *first = dataset_next_target(d, SPLIT_TEST, 0, 1) - 1;
    *document = w.count;
out:
    dataset_close(d);
    return status;
}

typedef struct input_file {
    pcv_engine *e;
    const char *path;
    bool are_ids;
    const pcv_watch *watch;
} input_file;

/* The beginning of a file, as much as the context holds. */
static int read_file(const input_file *f, int64_t context, int32_t **ids, size_t *count, pcv_error *err) {
    id_stream s;
    int status = id_stream_open(&s, &f->e->tokens, f->path, f->are_ids, f->watch, err);
    if (status) return status;
    TRY(mem_get(ids, (size_t)context * sizeof **ids, "tokens", err));
    TRY(id_stream_next(&s, *ids, (size_t)context, count, err));
out:
    id_stream_close(&s);
    return status;
}

/* What each latent of a model that answers saw of all inputs, with its first cross-attention. */
static int look_once(pcv_engine *e, const char *path, const eval_config *c, pcv_attention *m, pcv_error *err) {
    example_rows rows = {0};
    id_list ids = {0};
    tape t = {0};
    int status = 0;
    if (!path) return fail(err, PCV_USAGE, "name a file to look at");
    TRY(example_rows_open(&rows, e->m, 1, c->context, false, err));
    TRY(predict_read(e, &(pcv_predict_options){.path = path}, &rows, &ids, err));
    *m = (pcv_attention){.inputs = rows.row[0].length, .rows = c->latents, .bins = rows.row[0].length};
    if (e->tokens.shape[0]) m->columns = e->m->config.positions.axes.v[1];
    TRY(mem_get(&m->value, (size_t)(m->rows * m->bins) * sizeof *m->value, "a map", err));
    TRY(tape_init(&t, e->be, 0, err));
    tape_begin(&t);
    pass p = pass_over(e->m, rows.row, 1, c->latents);
    attention_map map = {{.every = 1, .rows = m->rows, .bins = m->bins, .span = m->inputs}, m->value};
    p.map = &map;
    p.only_latents = true;
    model_hidden(&t, e->m, &p);
    backend_finish(e->be);
    TRY(tape_end(&t, "to look", err));
    for (int64_t i = 0; i < m->rows * m->bins; i++)
        if (!isfinite(m->value[i])) status = engine_not_finite(e, err);
out:
    example_rows_close(&rows);
    id_list_free(&ids);
    tape_free(&t);
    if (status) attention_free(m);
    return status;
}

int attention_look(pcv_engine *e, const char *path, bool are_ids, int64_t size, const pcv_settings *settings,
               const pcv_watch *watch, pcv_attention *m, pcv_error *err) {
    eval_config c;
    int32_t *ids = NULL;
    size_t count = 0;
    tape t = {0};
    int64_t first = -1, document = 0, row = 0;
    bool crosses = e->m->config.initial_cross, indexed = e->m->config.index.orders.count > 0;
    int status = 0;
    *m = (pcv_attention){0};
    TRY(settings_eval(settings, &c, err));
    TRY(evaluate_defaults(&c, &e->m->config, err));
    if (e->m->type->answers) return look_once(e, path, &c, m, err);
    if (e->m->config.latents_per_position > 1 || (!crosses && !indexed)) {
        status = fail(err, PCV_CONFIG, "the map needs a model with index heads, or with a first cross-attention, and "
                      "one latent a position");
        goto out;
    }
    if (path) TRY(read_file(&(input_file){e, path, are_ids, watch}, c.context, &ids, &count, err));
    else TRY(attention_generate(e, c.seed, &ids, &document, &first, err));
    if (!path) count = (size_t)document - 1;
    if ((int64_t)count > c.context) count = (size_t)c.context;
    if (first < 0 || first >= (int64_t)count) first = (int64_t)count > c.latents ? (int64_t)count - c.latents : 0;
    int64_t queries = (int64_t)count - first, every = (queries + size - 1) / size;
    m->inputs = (int64_t)count;
    m->first_query = first;
    m->rows = (queries + every - 1) / every;
    m->bins = (int64_t)count < size ? (int64_t)count : size;
    TRY(mem_get(&m->value, (size_t)(m->rows * m->bins) * sizeof *m->value, "a map", err));
    TRY(tape_init(&t, e->be, 0, err));
    double start = clock_now();
    while (crosses && row < m->rows) {
        TRY(map_window(e, &t, ids, document, c.latents, m, every, &row, err));
        pcv_progress p = {.stage = "looking", .done = (double)row, .total = (double)m->rows,
                          .seconds = clock_now() - start, .unit = "queries"};
        p.rate = (double)row / p.seconds;
        if (watch_ask(watch, &p) == PCV_STOP) {
            status = fail(err, PCV_INTERRUPTED, "interrupted");
            goto out;
        }
    }
    if (indexed) TRY(add_index_heads(e, &t, ids, crosses, every, m, err));
out:
    tape_free(&t);
    mem_free(ids);
    if (status) attention_free(m);
    return status;
}

void attention_free(pcv_attention *m) {
    mem_free(m->value);
    *m = (pcv_attention){0};
}

/* ------------------------------------------------------------------ the picture */

enum { LEAST_SIDE = 320 }; /* pixels of the longer side; a small map's are enlarged */

int attention_check(const char *path, pcv_error *err) { return picture_check(path, err); }

static void paint(picture *p, const pcv_attention *m) {
    const double decades = 6;
    for (int64_t i = 0; i < m->rows * m->bins; i++) {
        double shade = 1 + log10((double)m->value[i] + 1e-30) / decades;
        colour_of(shade < 0 ? 0 : shade > 1 ? 1 : shade, p->rgb + 3 * i);
    }
}

/* What one latent looked at, each tile by itself from black to white. */
static void paint_tile(picture *tile, const float *value, int64_t count) {
    double most = 1e-12;
    for (int64_t i = 0; i < count; i++) most = fmax(most, (double)value[i]);
    for (int64_t i = 0; i < count; i++) colour_of((double)value[i] / most, tile->rgb + 3 * i);
}

static int draw_sheet(const char *path, const pcv_attention *m, pcv_error *err) {
    enum { SIDE = 64, GAP = 2 }; /* pixels of a tile at least, and between tiles */
    const int width = (int)m->columns, height = (int)(m->inputs / m->columns);
    const int times = width < SIDE ? (SIDE + width - 1) / width : 1, across = (int)ceil(sqrt((double)m->rows));
    const int down = (int)((m->rows + across - 1) / across), right = width * times + GAP, below = height * times + GAP;
    picture sheet = {0}, tile = {0};
    int status = picture_open(&sheet, across * right + GAP, down * below + GAP, err);
    for (int64_t i = 0; i < m->rows && !status; i++) {
        TRY(picture_open(&tile, width, height, err));
        paint_tile(&tile, m->value + i * m->bins, m->bins);
        TRY(picture_enlarge(&tile, times, err));
        picture_place(&sheet, &tile, (int)i % across * right + GAP, (int)i / across * below + GAP);
        picture_free(&tile);
    }
    if (!status) status = picture_write(&sheet, path, err);
out:
    picture_free(&tile);
    picture_free(&sheet);
    return status;
}

int attention_draw(const char *path, const pcv_attention *m, pcv_error *err) {
    if (m->columns) return draw_sheet(path, m, err);
    int64_t longer = m->rows > m->bins ? m->rows : m->bins, queries = m->inputs - m->first_query;
    int64_t every = (queries + m->rows - 1) / m->rows;
    picture_axis inputs = {"input", 0, m->inputs};
    picture_axis latents = {"latent", m->first_query, m->first_query + m->rows * every};
    picture p = {0};
    int status = 0;
    TRY(picture_open(&p, (int)m->bins, (int)m->rows, err));
    paint(&p, m);
    TRY(picture_enlarge(&p, (int)(longer < LEAST_SIDE ? LEAST_SIDE / longer : 1), err));
    TRY(picture_add_axes(&p, &inputs, &latents, err));
    TRY(picture_write(&p, path, err));
out:
    picture_free(&p);
    return status;
}
