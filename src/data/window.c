#include "data/window.h"
#include "base/mem.h"

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

static int64_t smallest(const crop_plan *p, int64_t length) {
    int64_t n = p->shortest > 2 ? p->shortest : 2;
    if (n > p->context + 1) n = p->context + 1;
    if (n < p->d->first_target + 1) n = p->d->first_target + 1;
    return n < length ? n : length;
}

/* Possible ends of a window in a document of `length` tokens. */
static int64_t ends_of(const crop_plan *p, int64_t length) {
    return length < 2 ? 0 : length - smallest(p, length) + 1;
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
        p->before[i + 1] = p->before[i] + (double)ends_of(p, dataset_length(d, split, i));
    if (p->before[p->documents] > 0) return 0;
    crop_close(p);
    return fail(err, PCV_DATA, "%s: the %s split has no text", d->name, split_names[split]);
}

void crop_close(crop_plan *p) {
    mem_free(p->before);
    p->before = NULL;
}

window crop_draw(const crop_plan *p, rng *r) {
    window w = {0};
    if (p->before) w.document = document_of(p->before, p->documents, rng_uniform(r) * p->before[p->documents]);
    else w.document = (int64_t)rng_below(r, (uint64_t)p->documents);
    int64_t length = dataset_length(p->d, p->split, w.document);
    int64_t end = smallest(p, length) + (int64_t)rng_below(r, (uint64_t)ends_of(p, length));
    if (p->d->generated && rng_below(r, LAST_WINDOWS) == 0) end = length;
    w.from = end > p->context + 1 ? end - p->context - 1 : 0;
    w.count = end - w.from;
    w.whole = p->d->generated ? length : 0;
    int64_t first = p->d->first_target > w.from ? p->d->first_target - w.from : 1;
    w.scored = w.count - first;
    return w;
}

/* ------------------------------------------------------------------ blocks */

static int64_t targets_of(const block_plan *p, int64_t document) {
    int64_t n = dataset_length(p->d, p->split, document) - p->d->first_target;
    return n > 0 ? n : 0;
}

void block_open(block_plan *p, const dataset *d, split_name split, int64_t context, int64_t stride,
                int64_t documents) {
    *p = (block_plan){.d = d, .split = split, .context = context, .stride = stride};
    p->documents = d->generated ? documents : dataset_documents(d, split);
    for (int64_t i = 0; i < p->documents; i++) {
        p->targets += targets_of(p, i);
        p->count += (targets_of(p, i) + stride - 1) / stride;
    }
}

window block_at(int64_t first, int64_t targets, int64_t done, int64_t context, int64_t stride) {
    int64_t rest = targets % stride, scored = done == 0 && rest ? rest : stride;
    int64_t last = first + done + scored; /* behind the last target */
    int64_t from = last - 1 > context ? last - 1 - context : 0;
    return (window){.from = from, .count = last - from, .scored = scored};
}

bool block_next(block_plan *p, window *w) {
    while (p->document < p->documents && p->end >= targets_of(p, p->document)) {
        p->document++;
        p->end = 0;
    }
    if (p->document >= p->documents) return false;
    *w = block_at(p->d->first_target, targets_of(p, p->document), p->end, p->context, p->stride);
    w->document = p->document;
    w->whole = p->d->generated ? dataset_length(p->d, p->split, p->document) : 0;
    p->end += w->scored;
    return true;
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
    int64_t unscored = p->d->first_target - 1 - from; /* inputs in front of the first target that counts */
    if (unscored < 0) unscored = 0;
    return (window){document, from, inputs + 1, unscored < inputs ? inputs - unscored : 0,
                    p->before ? 0 : dataset_length(p->d, p->split, document)};
}

/* ------------------------------------------------------------------ rows */

sequence window_row(const model *m, const window *w, const int32_t *ids) {
    int64_t inputs = w->count - 1;
    return (sequence){.ids = ids, .next = ids + 1, .length = inputs, .scored = w->scored,
                      .before = model_place(m, w->from, inputs, w->whole)};
}

int window_read(const dataset *d, split_name split, const window *w, int32_t *ids, pcv_error *err) {
    return dataset_read(d, split, w->document, w->from, w->count, ids, err);
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
    *r = (window_rows){0};
}

void window_rows_clear(window_rows *r) { r->count = r->used = 0; }

void window_rows_add(window_rows *r, const model *m, const window *w) {
    CHECK(r->count < r->capacity && r->used + w->count <= r->room, "%lld tokens more, behind %lld rows of %lld and "
          "%lld tokens of %lld", (long long)w->count, (long long)r->count, (long long)r->capacity,
          (long long)r->used, (long long)r->room);
    r->window[r->count] = *w;
    r->row[r->count++] = window_row(m, w, r->ids + r->used);
    r->used += w->count;
}

int window_rows_read(window_rows *r, const model *m, const dataset *d, split_name split, const window *w,
                     pcv_error *err) {
    int32_t *ids = r->ids + r->used;
    window_rows_add(r, m, w);
    return window_read(d, split, w, ids, err);
}
