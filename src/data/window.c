#include "data/window.h"
#include "base/mem.h"

#include <math.h>

/* ------------------------------------------------------------------ crops */

enum { LAST_WINDOWS = 8 };

/* The document that holds item number x, where before[i] items stand before document i. */
static int64_t document_of(const double *before, int64_t documents, double x) {
    int64_t low = 0, high = documents;
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (before[middle] <= x) low = middle;
        else high = middle;
    }
    return low;
}

static int64_t smallest(const crop_plan *p, int64_t document) {
    int64_t n = p->shortest > 2 ? p->shortest : 2, length = dataset_length(p->d, p->split, document);
    int64_t first = dataset_next_target(p->d, p->split, document, 1);
    if (n > p->context + 1) n = p->context + 1;
    if (n < first + 1) n = first + 1;
    return n < length ? n : length;
}

/* From the least to the largest possible end of a window in a document. */
static int64_t ends_of(const crop_plan *p, int64_t document) {
    int64_t length = dataset_length(p->d, p->split, document);
    return length < 2 ? 0 : length - smallest(p, document) + 1;
}

int crop_open(crop_plan *p, const dataset *d, split_name split, int64_t context, int64_t shortest,
              pcv_error *err) {
    *p = (crop_plan){.d = d, .split = split, .context = context, .shortest = shortest};
    p->documents = dataset_documents(d, split);
    if (d->generated) return 0;
    int status = mem_get(&p->before, (size_t)(p->documents + 1) * sizeof *p->before,
                         "the list of documents", err);
    if (status) return status;
    for (int64_t i = 0; i < p->documents; i++)
        p->before[i + 1] = p->before[i] + (double)ends_of(p, i);
    if (p->before[p->documents] > 0) return 0;
    crop_close(p);
    return fail(err, PCV_DATA, "%s: the %s split has no text", d->name, split_names[split]);
}

void crop_close(crop_plan *p) {
    mem_free(p->before);
    p->before = NULL;
}

/* Behind a target that counts. */
static int64_t draw_end(const crop_plan *p, int64_t document, rng *r) {
    int64_t first = smallest(p, document), end;
    do end = first + (int64_t)rng_below(r, (uint64_t)ends_of(p, document));
    while (p->d->type->next_target && dataset_next_target(p->d, p->split, document, end - 1) != end - 1);
    return end;
}

/* Inputs that a window reads at most. */
static int64_t draw_context(const crop_plan *p, int64_t document, rng *r) {
    if (p->vary == 0 || rng_uniform(r) >= p->vary) return p->context;
    double least = (double)(smallest(p, document) - 1);
    return (int64_t)(least * pow((double)p->context / least, rng_uniform(r)));
}

window crop_draw(const crop_plan *p, rng *r) {
    window w = {0};
    if (p->before) w.document = document_of(p->before, p->documents, rng_uniform(r) * p->before[p->documents]);
    else w.document = (int64_t)rng_below(r, (uint64_t)p->documents);
    int64_t length = dataset_length(p->d, p->split, w.document);
    int64_t end = draw_end(p, w.document, r);
    if (p->d->generated && rng_below(r, LAST_WINDOWS) == 0) end = length;
    int64_t context = draw_context(p, w.document, r);
    w.from = end > context + 1 ? end - context - 1 : 0;
    w.count = end - w.from;
    w.whole = p->d->generated ? length : 0;
    w.scored = end - dataset_next_target(p->d, p->split, w.document, w.from + 1);
    return w;
}

/* ------------------------------------------------------------------ blocks */

/* Targets from the first one that counts on. */
static int64_t targets_of(const block_plan *p, int64_t document, int64_t first) {
    int64_t n = dataset_length(p->d, p->split, document) - first;
    return n > 0 ? n : 0;
}

/* The next window, whether any of its targets counts or not. */
static bool next_window(block_plan *p, window *w) {
    for (; p->document < p->documents; p->document++, p->end = 0) {
        int64_t first = dataset_next_target(p->d, p->split, p->document, 1);
        int64_t targets = targets_of(p, p->document, first);
        if (p->end >= targets) continue;
        *w = block_at(first, targets, p->end, p->context, p->stride);
        w->document = p->document;
        w->whole = p->d->generated ? dataset_length(p->d, p->split, p->document) : 0;
        p->end += w->scored;
        return true;
    }
    return false;
}

bool block_next(block_plan *p, window *w) {
    while (next_window(p, w))
        if (window_targets(p->d, p->split, w, w->scored)) return true;
    return false;
}

void block_open(block_plan *p, const dataset *d, split_name split, int64_t context, int64_t stride,
                int64_t documents) {
    *p = (block_plan){.d = d, .split = split, .context = context, .stride = stride};
    p->documents = d->generated ? documents : dataset_documents(d, split);
    block_plan all = *p;
    for (window w; block_next(&all, &w); p->count++) p->targets += window_targets(d, split, &w, w.scored);
}

window block_at(int64_t first, int64_t targets, int64_t done, int64_t context, int64_t stride) {
    int64_t rest = targets % stride, scored = done == 0 && rest ? rest : stride;
    int64_t last = first + done + scored; /* behind the last target */
    int64_t from = last - 1 > context ? last - 1 - context : 0;
    return (window){.from = from, .count = last - from, .scored = scored};
}

/* ------------------------------------------------------------------ streams */

static int64_t segments_of(const stream_plan *p, int64_t document) {
    int64_t inputs = dataset_length(p->d, p->split, document) - 1;
    return inputs > 0 ? (inputs + p->segment - 1) / p->segment : 0;
}

int stream_open(stream_plan *p, const dataset *d, split_name split, int64_t segment, pcv_error *err) {
    *p = (stream_plan){.d = d, .split = split, .segment = segment, .documents = dataset_documents(d, split)};
    if (d->generated) {
        p->count = p->documents * segments_of(p, 0);
        return 0;
    }
    int status = mem_get(&p->before, (size_t)(p->documents + 1) * sizeof *p->before, "the list of documents", err);
    if (status) return status;
    for (int64_t i = 0; i < p->documents; i++) p->before[i + 1] = p->before[i] + (double)segments_of(p, i);
    p->count = (int64_t)p->before[p->documents];
    if (p->count > 0) return 0;
    stream_close(p);
    return fail(err, PCV_DATA, "%s: the %s split has no text", d->name, split_names[split]);
}

void stream_close(stream_plan *p) {
    mem_free(p->before);
    p->before = NULL;
}

window stream_at(const stream_plan *p, int64_t row, int64_t rows, int64_t turn) {
    int64_t number = (p->count / rows * row + turn) % p->count, document, each = p->before ? 0 : segments_of(p, 0);
    if (p->before) document = document_of(p->before, p->documents, (double)number);
    else document = number / each;
    number -= p->before ? (int64_t)p->before[document] : document * each;
    int64_t from = number * p->segment, inputs = dataset_length(p->d, p->split, document) - 1 - from;
    if (inputs > p->segment) inputs = p->segment;
    int64_t unscored = dataset_next_target(p->d, p->split, document, from + 1) - 1 - from; /* inputs in front of it */
    return (window){.document = document, .from = from, .count = inputs + 1,
                    .scored = unscored < inputs ? inputs - unscored : 0,
                    .whole = p->before ? 0 : dataset_length(p->d, p->split, document)};
}

/* ------------------------------------------------------------------ targets */

int64_t window_targets(const dataset *d, split_name split, const window *w, int64_t most) {
    int64_t end = w->from + w->count, targets = 0;
    if (most > w->scored) most = w->scored;
    if (!d->type->next_target) return most;
    for (int64_t i = end - most; (i = dataset_next_target(d, split, w->document, i)) < end; i++) targets++;
    return targets;
}

void window_keep(const dataset *d, split_name split, window *w, int64_t targets) {
    int64_t end = w->from + w->count, at = end - targets;
    if (d->type->next_target) {
        int64_t dropped = window_targets(d, split, w, w->scored) - targets;
        at = dataset_next_target(d, split, w->document, end - w->scored);
        while (dropped-- > 0) at = dataset_next_target(d, split, w->document, at + 1);
    }
    w->scored = end - at;
}

/* ------------------------------------------------------------------ rows */

sequence window_row(const model *m, const window *w, const int32_t *ids) {
    int64_t inputs = w->count - 1;
    return (sequence){.ids = ids, .next = ids + 1, .length = inputs, .scored = w->scored, .known = w->known,
                      .before = model_place(m, w->from, inputs, w->whole)};
}

int window_read(const dataset *d, split_name split, const window *w, int32_t *ids, pcv_error *err) {
    return dataset_read(d, split, w->document, w->from - w->known, w->known + w->count, ids, err);
}

int window_rows_open(window_rows *r, int64_t capacity, int64_t room, pcv_error *err) {
    int status = 0;
    *r = (window_rows){.capacity = capacity, .room = room};
    TRY(mem_get(&r->window, (size_t)capacity * sizeof *r->window, "windows", err));
    TRY(mem_get(&r->row, (size_t)capacity * sizeof *r->row, "windows", err));
    TRY(mem_get(&r->ids, (size_t)room * sizeof *r->ids, "windows", err));
out:
    if (status) window_rows_close(r);
    return status;
}

void window_rows_close(window_rows *r) {
    mem_free(r->window);
    mem_free(r->row);
    mem_free(r->ids);
    mem_free(r->next);
    *r = (window_rows){0};
}

void window_rows_clear(window_rows *r) { r->count = r->used = 0; }

void window_rows_add(window_rows *r, const model *m, const window *w) {
    CHECK(r->count < r->capacity && r->used + w->known + w->count <= r->room,
          "%lld tokens more, behind %lld rows of %lld and %lld tokens of %lld", (long long)(w->known + w->count),
          (long long)r->count, (long long)r->capacity, (long long)r->used, (long long)r->room);
    r->window[r->count] = *w;
    r->row[r->count++] = window_row(m, w, r->ids + r->used + w->known);
    r->used += w->known + w->count;
}

/* Has the last row, whose tokens begin at ids[at], predict what counts alone. */
static int mark_targets(window_rows *r, const dataset *d, split_name split, int64_t at, pcv_error *err) {
    const window *w = &r->window[r->count - 1];
    const int64_t end = w->from + w->count;
    int status = r->next ? 0 : mem_get(&r->next, (size_t)r->room * sizeof *r->next, "targets", err);
    if (status) return status;
    int32_t *next = r->next + at;
    for (int64_t k = 0; k < w->count; k++) next[k] = -1;
    for (int64_t i = end - w->scored; (i = dataset_next_target(d, split, w->document, i)) < end; i++)
        next[i - w->from - 1] = r->ids[at + i - w->from];
    r->row[r->count - 1].next = next;
    return 0;
}

int window_rows_read(window_rows *r, const model *m, const dataset *d, split_name split, const window *w,
                     pcv_error *err) {
    const int64_t first = r->used, at = first + w->known;
    window_rows_add(r, m, w);
    int status = window_read(d, split, w, r->ids + first, err);
    if (!status && d->type->next_target) status = mark_targets(r, d, split, at, err);
    return status;
}
