/* A codebook is learned by k-means. The nearest entries of many vectors come from one matrix product:
 * |x - c|^2 = |x|^2 - 2 (x c - |c|^2 / 2). */
#include "token/quantizer.h"
#include "backends/registry.h"
#include "base/available.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/watch.h"

#include <math.h>
#include <string.h>

enum {
    EARLY = 4, /* rounds of k-means on a part of the rows */
    LATE = 2,  /* and on all of them */
    BEAM = 8,
    PRODUCTS = 1 << 20, /* at once at most, but for LEAST_ROWS */
    LEAST_ROWS = 2 * BEAM,
};

int quantizer_step(quantizer_work *work, pcv_error *err) {
    if (!work) return 0;
    work->done++;
    pcv_progress p = {.stage = work->stage, .done = work->done, .total = work->total};
    p.seconds = clock_now() - work->start;
    if (watch_ask(work->watch, &p) == PCV_STOP)
        return fail(err, PCV_INTERRUPTED, "interrupted; nothing was written");
    return 0;
}

int quantizer_open(quantizer *q, int64_t dims, int64_t stages, int64_t codes, bool paired, pcv_error *err) {
    *q = (quantizer){.dims = dims, .stages = stages, .codes = codes, .paired = paired};
    q->entries = paired ? codes / 2 : codes;
    return mem_get(&q->entry, (size_t)(stages * q->entries * dims) * sizeof *q->entry, "codebooks", err);
}

void quantizer_close(quantizer *q) {
    mem_free(q->entry);
    *q = (quantizer){0};
}

static float *entry_at(const quantizer *q, int64_t stage, int64_t i) {
    return q->entry + (stage * q->entries + i) * q->dims;
}

static int64_t entry_of(const quantizer *q, int32_t code) { return q->paired ? code / 2 : code; }
static float sign_of(const quantizer *q, int32_t code) { return q->paired && code % 2 ? -1 : 1; }

/* Of entry i, or of its opposite when that is nearer. */
static int32_t code_of(const quantizer *q, int64_t i, float dot) {
    return (int32_t)(q->paired ? 2 * i + (dot < 0) : i);
}

/* y += a x */
static void add(float *y, float a, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void add_code(const quantizer *q, int64_t stage, int32_t code, float a, float *y) {
    add(y, a * sign_of(q, code), entry_at(q, stage, entry_of(q, code)), q->dims);
}

static float square(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return (float)sum;
}

void quantizer_vector(const quantizer *q, int64_t stage, int32_t code, float *y) {
    memset(y, 0, (size_t)q->dims * sizeof *y);
    add_code(q, stage, code, 1, y);
}

void quantizer_decode(const quantizer *q, const int32_t *code, float *y) {
    memset(y, 0, (size_t)q->dims * sizeof *y);
    for (int64_t k = 0; k < q->stages; k++)
        if (code[k] >= 0) add_code(q, k, code[k], 1, y);
}

/* ------------------------------------------------------------------ products with all entries */

typedef struct products {
    const quantizer *q;
    backend *be;
    int threads;
    int64_t rows; /* at once at most; a matter of the codebook's size alone, not of the threads */
    float *dot;   /* [rows, entries] */
    float *half;  /* [entries]: |c|^2 / 2 */
} products;

static int products_open(products *p, const quantizer *q, pcv_error *err) {
    int status = 0;
    *p = (products){.q = q, .rows = PRODUCTS / q->entries};
    if (p->rows < LEAST_ROWS) p->rows = LEAST_ROWS;
    TRY(mem_get(&p->dot, (size_t)(p->rows * q->entries) * sizeof *p->dot, "products", err));
    TRY(mem_get(&p->half, (size_t)q->entries * sizeof *p->half, "products", err));
    p->threads = threads_here();
    TRY(backend_open(&p->be, "cpu", &(backend_options){.threads = p->threads}, err));
out:
    return status;
}

static void products_close(products *p) {
    if (p->be) p->be->close(p->be);
    mem_free(p->dot);
    mem_free(p->half);
}

static void products_stage(products *p, int64_t stage) {
    for (int64_t i = 0; i < p->q->entries; i++) p->half[i] = square(entry_at(p->q, stage, i), p->q->dims) / 2;
}

static void products_fill(products *p, int64_t stage, float *x, int64_t rows) {
    const quantizer *q = p->q;
    run_kernel(p->be, gemm, .c = {p->dot, rows, q->entries, q->entries, F32}, .a = {x, rows, q->dims, q->dims, F32},
               .b = {entry_at(q, stage, 0), q->entries, q->dims, q->dims, F32}, .transpose_b = true);
}

/* ------------------------------------------------------------------ learning */

typedef struct learner {
    quantizer *q;
    products p;
    float *x; /* [rows, dims] */
    int64_t rows, stage;
    int32_t *code;   /* [rows] */
    int64_t *order;  /* [rows]: those of entry 0, then those of entry 1, ... */
    int64_t *first;  /* [entries + 1] of order */
    double *left;    /* [rows]: |x - c|^2, or the sum of it up to here */
    double *squares; /* [dims]: the mean of x^2 */
    rng *random;
} learner;

/* The best code of row `from + r`, row r of the products. */
static void choose(learner *l, int64_t from, int64_t r) {
    const quantizer *q = l->q;
    const float *dot = l->p.dot + r * q->entries;
    float most = -INFINITY;
    int64_t best = 0;
    for (int64_t i = 0; i < q->entries; i++) {
        float gain = (q->paired ? fabsf(dot[i]) : dot[i]) - l->p.half[i];
        if (gain > most) most = gain, best = i;
    }
    double left = (double)square(l->x + (from + r) * q->dims, q->dims) - 2 * (double)most;
    l->left[from + r] = left > 0 ? left : 0;
    l->code[from + r] = code_of(q, best, dot[best]);
}

static void choose_all(learner *l) {
    products_stage(&l->p, l->stage);
    for (int64_t from = 0; from < l->rows; from += l->p.rows) {
        int64_t n = l->rows - from < l->p.rows ? l->rows - from : l->p.rows;
        products_fill(&l->p, l->stage, l->x + from * l->q->dims, n);
#pragma omp parallel for num_threads(l->p.threads) schedule(static)
        for (int64_t r = 0; r < n; r++) choose(l, from, r);
    }
}

static void sum_up(learner *l) {
    for (int64_t r = 1; r < l->rows; r++) l->left[r] += l->left[r - 1];
}

/* Entry i becomes a row drawn in proportion to what is left of it; behind sum_up. */
static void draw(learner *l, int64_t i) {
    const quantizer *q = l->q;
    double at = rng_uniform(l->random) * l->left[l->rows - 1];
    int64_t low = 0, high = l->rows - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (l->left[middle] > at) high = middle;
        else low = middle + 1;
    }
    memcpy(entry_at(q, l->stage, i), l->x + low * q->dims, (size_t)q->dims * sizeof *l->x);
}

static void begin(learner *l) {
    const quantizer *q = l->q;
    memset(l->squares, 0, (size_t)q->dims * sizeof *l->squares);
    for (int64_t r = 0; r < l->rows; r++) {
        const float *x = l->x + r * q->dims;
        for (int64_t d = 0; d < q->dims; d++) l->squares[d] += (double)x[d] * (double)x[d] / (double)l->rows;
        l->left[r] = q->paired ? (double)square(x, q->dims) : 1;
    }
    sum_up(l);
    for (int64_t i = 0; i < q->entries; i++) draw(l, i);
}

static void sort_rows(learner *l) {
    const quantizer *q = l->q;
    memset(l->first, 0, (size_t)(q->entries + 1) * sizeof *l->first);
    for (int64_t r = 0; r < l->rows; r++) l->first[entry_of(q, l->code[r]) + 1]++;
    for (int64_t i = 0; i < q->entries; i++) l->first[i + 1] += l->first[i];
    for (int64_t r = 0; r < l->rows; r++) l->order[l->first[entry_of(q, l->code[r])]++] = r;
    for (int64_t i = q->entries; i > 0; i--) l->first[i] = l->first[i - 1];
    l->first[0] = 0;
}

/* The mean of an entry's rows. Of a pair's entries, each number is then made smaller by as much as a mean of so few
 * rows is uncertain: without this the later codebooks learn the noise of small data. Rows overlap, so eight of them
 * count as one. */
static void centre(learner *l, int64_t i) {
    const quantizer *q = l->q;
    float *c = entry_at(q, l->stage, i);
    int64_t from = l->first[i], to = l->first[i + 1];
    if (from == to) return;
    memset(c, 0, (size_t)q->dims * sizeof *c);
    for (int64_t k = from; k < to; k++)
        add(c, sign_of(q, l->code[l->order[k]]) / (float)(to - from), l->x + l->order[k] * q->dims, q->dims);
    for (int64_t d = 0; d < q->dims && q->paired; d++) {
        double signal = (double)c[d] * (double)c[d], noise = 8 * l->squares[d] / (double)(to - from);
        if (signal > 0) c[d] *= (float)(signal / (signal + noise));
    }
}

static void move_entries(learner *l) {
    const quantizer *q = l->q;
    bool summed = false;
    sort_rows(l);
#pragma omp parallel for num_threads(l->p.threads) schedule(dynamic, 16)
    for (int64_t i = 0; i < q->entries; i++) centre(l, i);
    for (int64_t i = 0; i < q->entries; i++) { /* those that nobody chose start again where much is left */
        if (l->first[i] < l->first[i + 1]) continue;
        if (!summed) sum_up(l);
        summed = true;
        draw(l, i);
    }
}

static int learn_stage(learner *l, quantizer_work *work, pcv_error *err) {
    const quantizer *q = l->q;
    int64_t rows = l->rows, early = rows / 4 > 16 * q->entries ? rows / 4 : 16 * q->entries;
    int status = 0;
    for (int round = 0; round < EARLY + LATE && !status; round++) {
        l->rows = round < EARLY && early < rows ? early : rows;
        if (round == 0) begin(l);
        choose_all(l);
        move_entries(l);
        status = quantizer_step(work, err);
    }
    l->rows = rows;
    choose_all(l);
#pragma omp parallel for num_threads(l->p.threads) schedule(static)
    for (int64_t r = 0; r < rows; r++) add_code(q, l->stage, l->code[r], -1, l->x + r * q->dims);
    return status ? status : backend_failed(l->p.be, "to learn codebooks", err);
}

double quantizer_steps(const quantizer *q) { return (double)(q->stages * (EARLY + LATE)); }

int quantizer_train(quantizer *q, float *x, int64_t rows, rng *random, quantizer_work *work, pcv_error *err) {
    learner l = {.q = q, .x = x, .rows = rows, .random = random};
    int status = 0;
    CHECK(rows > 0, "nothing to learn from");
    TRY(products_open(&l.p, q, err));
    TRY(mem_get(&l.code, (size_t)rows * sizeof *l.code, "codes", err));
    TRY(mem_get(&l.order, (size_t)rows * sizeof *l.order, "codes", err));
    TRY(mem_get(&l.first, (size_t)(q->entries + 1) * sizeof *l.first, "codes", err));
    TRY(mem_get(&l.left, (size_t)rows * sizeof *l.left, "codes", err));
    TRY(mem_get(&l.squares, (size_t)q->dims * sizeof *l.squares, "codes", err));
    for (; l.stage < q->stages; l.stage++) TRY(learn_stage(&l, work, err));
out:
    products_close(&l.p);
    mem_free(l.code);
    mem_free(l.order);
    mem_free(l.first);
    mem_free(l.left);
    mem_free(l.squares);
    return status;
}

/* ------------------------------------------------------------------ encoding */

/* The best sums so far of a block of vectors: `width` for each, the best first. */
typedef struct sums {
    float *rest;   /* [vectors width, dims]: the vector without the sum */
    float *left;   /* [vectors width]: |rest|^2 */
    int32_t *code; /* [vectors width, stages] */
} sums;

typedef struct search {
    products p;
    int64_t vectors, width;
    sums now, next;
} search;

/* A sum with one entry more: that of row `parent`. */
typedef struct longer_sum {
    float left;
    int32_t code;
    int64_t parent;
} longer_sum;

static int sums_open(sums *s, const quantizer *q, int64_t rows, pcv_error *err) {
    int status = 0;
    TRY(mem_get(&s->rest, (size_t)(rows * q->dims) * sizeof *s->rest, "a search", err));
    TRY(mem_get(&s->left, (size_t)rows * sizeof *s->left, "a search", err));
    TRY(mem_get(&s->code, (size_t)(rows * q->stages) * sizeof *s->code, "a search", err));
out:
    return status;
}

static void sums_close(sums *s) {
    mem_free(s->rest);
    mem_free(s->left);
    mem_free(s->code);
}

/* The `wanted` best sums of vector v, the best first; a tie goes to the earlier one. */
static void best_of(const search *s, int64_t v, int64_t wanted, longer_sum *best) {
    const quantizer *q = s->p.q;
    for (int64_t i = 0; i < wanted; i++) best[i] = (longer_sum){INFINITY, 0, v * s->width};
    for (int64_t row = v * s->width; row < (v + 1) * s->width; row++) {
        const float *dot = s->p.dot + row * q->entries;
        for (int64_t i = 0; i < q->entries; i++) {
            float left = s->now.left[row] - 2 * ((q->paired ? fabsf(dot[i]) : dot[i]) - s->p.half[i]);
            if (!(left < best[wanted - 1].left)) continue;
            int64_t at = wanted - 1;
            for (; at > 0 && left < best[at - 1].left; at--) best[at] = best[at - 1];
            best[at] = (longer_sum){left, code_of(q, i, dot[i]), row};
        }
    }
}

static void extend(search *s, int64_t stage, int64_t v, int64_t wanted) {
    const quantizer *q = s->p.q;
    longer_sum best[BEAM];
    best_of(s, v, wanted, best);
    for (int64_t i = 0; i < wanted; i++) {
        int64_t row = v * wanted + i, parent = best[i].parent;
        memcpy(s->next.rest + row * q->dims, s->now.rest + parent * q->dims, (size_t)q->dims * sizeof *s->now.rest);
        memcpy(s->next.code + row * q->stages, s->now.code + parent * q->stages, (size_t)stage * sizeof *s->now.code);
        add_code(q, stage, best[i].code, -1, s->next.rest + row * q->dims);
        s->next.code[row * q->stages + stage] = best[i].code;
        s->next.left[row] = best[i].left;
    }
}

static void encode_block(search *s, const float *x, int64_t count, int32_t *code) {
    const quantizer *q = s->p.q;
    memcpy(s->now.rest, x, (size_t)(count * q->dims) * sizeof *x);
    for (int64_t v = 0; v < count; v++) s->now.left[v] = square(x + v * q->dims, q->dims);
    s->width = 1;
    for (int64_t k = 0; k < q->stages; k++) {
        int64_t wanted = s->width * q->entries < BEAM ? s->width * q->entries : BEAM;
        products_stage(&s->p, k);
        products_fill(&s->p, k, s->now.rest, count * s->width);
#pragma omp parallel for num_threads(s->p.threads) schedule(static)
        for (int64_t v = 0; v < count; v++) extend(s, k, v, wanted);
        sums swap = s->now;
        s->now = s->next;
        s->next = swap;
        s->width = wanted;
    }
    for (int64_t v = 0; v < count; v++)
        memcpy(code + v * q->stages, s->now.code + v * s->width * q->stages, (size_t)q->stages * sizeof *code);
}

int quantizer_encode(const quantizer *q, const float *x, int64_t rows, int32_t *code, pcv_error *err) {
    search s = {0};
    int status = 0;
    TRY(products_open(&s.p, q, err));
    s.vectors = s.p.rows / BEAM;
    TRY(sums_open(&s.now, q, s.p.rows, err));
    TRY(sums_open(&s.next, q, s.p.rows, err));
    for (int64_t from = 0; from < rows; from += s.vectors) {
        int64_t n = rows - from < s.vectors ? rows - from : s.vectors;
        encode_block(&s, x + from * q->dims, n, code + from * q->stages);
    }
    TRY(backend_failed(s.p.be, "to find codes", err));
out:
    products_close(&s.p);
    sums_close(&s.now);
    sums_close(&s.next);
    return status;
}
