/* Timings. A kernel is timed over matrices of the sizes that the model's layers have, at each level that the
 * machine runs; a step and a token are timed as training and generation run them, and once more with a clock
 * around every kernel. The median is told, because another program makes some runs slow and none fast. TIME is a
 * macro, since what it repeats is a call with an argument struct of its own. */
#include "measure/bench.h"
#include "backends/registry.h"
#include "base/available.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/watch.h"
#include "config/settings.h"
#include "eval/outputs.h"
#include "gen/timeline.h"
#include "measure/probe.h"
#include "model/applicable.h"
#include "train/optimizer.h"
#include "train/memory_plan.h"
#include "train/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS = 7, WARMUP = 2, STEPS = 5, PROMPT_SHARE = 2, NEW_TOKENS = 128, STEPS_TOGETHER = 9 };

typedef struct report {
    pcv_timing_fn *fn;
    void *context;
    const pcv_watch *watch; /* or NULL */
    double start;           /* of the benchmark */
} report;

/* Tells how far it is; PCV_INTERRUPTED when the caller wants no more. */
static int tell(const report *r, double done, double total, pcv_error *err) {
    pcv_progress p = {.stage = "timing", .done = done, .total = total, .seconds = clock_now() - r->start};
    if (watch_ask(r->watch, &p) != PCV_STOP) return 0;
    return fail(err, PCV_INTERRUPTED, "stopped; the rows above are measured");
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *list, int count) {
    qsort(list, (size_t)count, sizeof *list, by_value);
    return list[count / 2];
}

/* ------------------------------------------------------------------ ops */

/* Matrices of the sizes that the model's layers have. */
typedef struct op_bench {
    backend *be;
    const model_config *c;
    matrix big[3], small[6], weight, row, stats, ids, begin, end, lse;
    report r;
} op_bench;

static int device_matrix(backend *be, matrix *m, int64_t rows, int64_t cols, dtype type, pcv_error *err) {
    *m = (matrix){.rows = rows, .cols = cols, .stride = cols, .type = type};
    int status = backend_alloc(be, &m->data, matrix_bytes(m), "a benchmark", err);
    if (!status && type == F32) run_kernel(be, fill, .y = *m, .value = 0.01f);
    return status;
}

#define TIME(b, label, flops, bytes, call)                                                         \
    do {                                                                                           \
        double list_[REPEATS];                                                                     \
        call;                                                                                      \
        for (int i_ = 0; i_ < REPEATS; i_++) {                                                     \
            double from_ = backend_now((b)->be);                                                   \
            call;                                                                                  \
            list_[i_] = backend_now((b)->be) - from_;                                              \
        }                                                                                          \
        double middle_ = median(list_, REPEATS);                                                   \
        pcv_timing t_ = {.seconds = middle_, .seconds_min = list_[0]};                             \
        t_.gflops = (double)(flops) / middle_ / 1e9;                                               \
        t_.gigabytes_per_second = (double)(bytes) / middle_ / 1e9;                                 \
        snprintf(t_.name, sizeof t_.name, "%s", label);                                            \
        snprintf(t_.level, sizeof t_.level, "%s", (b)->be->level);                                 \
        (b)->r.fn((b)->r.context, &t_);                                                            \
    } while (0)

static void time_products(const op_bench *b) {
    backend *be = b->be;
    double N = (double)b->small[0].rows, Z = (double)b->small[0].cols, W = (double)b->big[0].cols;
    double flops = 2 * N * Z * W;
    TIME(b, "gemm y = x w^T", flops, 0,
         run_kernel(be, gemm, .c = b->big[0], .a = b->small[0], .b = b->weight, .transpose_b = true));
    TIME(b, "gemm dx = dy w", flops, 0, run_kernel(be, gemm, .c = b->small[0], .a = b->big[0], .b = b->weight));
    TIME(b, "gemm dw = dy^T x", flops, 0,
         run_kernel(be, gemm, .c = b->weight, .a = b->big[0], .b = b->small[0], .transpose_a = true));
    matrix x = matrix_rows(b->small[0], 0, 1), y = matrix_rows(b->big[0], 0, 1);
    TIME(b, "gemm of one row", 2 * Z * W, 4 * Z * W,
         run_kernel(be, gemm, .c = y, .a = x, .b = b->weight, .transpose_b = true));
}

static void time_rows(const op_bench *b) {
    backend *be = b->be;
    double small = 4.0 * (double)(b->small[0].rows * b->small[0].cols);
    double big = 4.0 * (double)(b->big[0].rows * b->big[0].cols);
    TIME(b, "norm forward", 0, 2 * small,
         run_kernel(be, norm_fwd, .y = b->small[1], .x = b->small[0], .stats = b->stats, .w = {b->row},
                    .b = {b->row}, .epsilon = 1e-5f));
    TIME(b, "activation forward", 0, 2 * big,
         run_kernel(be, activate_fwd, .y = b->big[1], .x = b->big[0], .kind = (activation)b->c->activation % 4));
    TIME(b, "activation backward", 0, 3 * big,
         run_kernel(be, activate_bwd, .dx = b->big[2], .dy = b->big[1], .x = b->big[0],
                    .kind = (activation)b->c->activation % 4));
    TIME(b, "residual sum", 0, 3 * small,
         run_kernel(be, dropout, .y = b->small[2], .x = b->small[0], .a = b->small[1]));
    TIME(b, "gather", 0, 2 * small,
         run_kernel(be, gather_fwd, .y = b->small[1], .x = b->small[0], .index = b->ids));
    matrix flat = b->weight;
    flat.cols *= flat.rows;
    flat.rows = 1;
    matrix part = b->big[0], m = b->big[1], v = b->big[2];
    part.cols = m.cols = v.cols = part.cols * part.rows < flat.cols ? part.cols * part.rows : flat.cols;
    part.rows = m.rows = v.rows = 1;
    flat.cols = part.cols;
    TIME(b, "adamw", 0, 28.0 * (double)flat.cols,
         run_kernel(be, adamw, .w = flat, .m = m, .v = v, .g = part, .lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.99f,
                    .epsilon = 1e-8f, .correction1 = 1, .correction2 = 1, .grad_scale = 1));
}

static int time_attention(const op_bench *b, matrix k, matrix v, matrix dk, matrix dv, pcv_error *err) {
    backend *be = b->be;
    double flops = 4 * (double)b->small[0].rows * (double)k.rows * (double)k.cols;
    attend_args a = {.o = b->small[1], .lse = b->lse, .q = b->small[0], .k = k, .v = v, .begin = b->begin,
                     .end = b->end, .batch = 1, .heads = b->c->heads, .scale = 0.1f};
    int64_t chunks = be->attend_chunks(be, 1, b->c->heads, k.cols / b->c->heads, k.rows);
    attend_bwd_args g = {.fwd = a, .grad_o = b->small[2], .dq = b->small[3], .dk = dk, .dv = dv,
                         .chunks = chunks};
    int status = 0;
    TRY(device_matrix(be, &g.delta, b->lse.rows, b->lse.cols, F32, err));
    if (chunks > 1) TRY(device_matrix(be, &g.partial, chunks * a.q.rows, a.q.cols, F32, err));
    TIME(b, "attention forward", flops, 0, run_kernel_args(be, attend_fwd, &a));
    TIME(b, "attention backward", 2.5 * flops, 0, run_kernel_args(be, attend_bwd, &g));
out:
    backend_free(be, g.delta.data, matrix_bytes(&g.delta));
    backend_free(be, g.partial.data, matrix_bytes(&g.partial));
    return status;
}

/* One row times a matrix that no cache holds: the rate at which memory is read, the floor of a decoded
 * token. */
static int time_memory(const op_bench *b, pcv_error *err) {
    enum { COLUMNS = 4096, ROWS = 16384 };
    backend *be = b->be;
    matrix w = {0}, x = {0}, y = {0};
    int status = 0;
    TRY(device_matrix(be, &w, ROWS, COLUMNS, F32, err));
    TRY(device_matrix(be, &x, 1, COLUMNS, F32, err));
    TRY(device_matrix(be, &y, 1, ROWS, F32, err));
    TIME(b, "gemm of one row, from memory", 2.0 * ROWS * COLUMNS, 4.0 * ROWS * COLUMNS,
         run_kernel(be, gemm, .c = y, .a = x, .b = w, .transpose_b = true));
out:
    backend_free(be, w.data, matrix_bytes(&w));
    backend_free(be, x.data, matrix_bytes(&x));
    backend_free(be, y.data, matrix_bytes(&y));
    return status;
}

/* before, levels: those that were timed before, and all. */
static int bench_level(const char *level, const model_config *c, const train_config *train, report r, int before,
                       int levels, pcv_error *err) {
    enum { PARTS = 4 };
    op_bench b = {.c = c, .r = r};
    matrix k = {0}, v = {0}, dk = {0}, dv = {0};
    int64_t N = c->latents, Z = c->channels, W = model_mlp_width(c->channels, c->mlp_ratio), M = c->context;
    int32_t *host = NULL;
    int status = 0;
    backend_options options = {.level = level, .threads = threads_available(train->threads)};
    TRY(backend_open(&b.be, train->device, &options, err));
    for (int i = 0; i < 3; i++) TRY(device_matrix(b.be, &b.big[i], N, W, F32, err));
    for (int i = 0; i < 6; i++) TRY(device_matrix(b.be, &b.small[i], N, Z, F32, err));
    TRY(device_matrix(b.be, &b.weight, W, Z, F32, err));
    TRY(device_matrix(b.be, &b.row, 1, Z, F32, err));
    TRY(device_matrix(b.be, &b.stats, N, 2, F32, err));
    TRY(device_matrix(b.be, &b.lse, N, c->heads, F32, err));
    matrix *keys[] = {&k, &v, &dk, &dv};
    for (int i = 0; i < 4; i++) TRY(device_matrix(b.be, keys[i], M, Z, F32, err));
    TRY(mem_get(&host, (size_t)N * sizeof *host, "a benchmark", err));
    matrix *ints[] = {&b.ids, &b.begin, &b.end};
    for (int i = 0; i < 3; i++) {
        TRY(device_matrix(b.be, ints[i], N, 1, I32, err));
        for (int64_t n = 0; n < N; n++) host[n] = (int32_t)(i == 2 ? M - N + n + 1 : i == 1 ? 0 : n);
        b.be->write(b.be, ints[i]->data, host, (size_t)N * sizeof *host);
        backend_finish(b.be);
    }
    TRY(tell(&r, PARTS * before, PARTS * levels, err));
    time_products(&b);
    TRY(tell(&r, PARTS * before + 1, PARTS * levels, err));
    time_rows(&b);
    TRY(tell(&r, PARTS * before + 2, PARTS * levels, err));
    TRY(time_attention(&b, k, v, dk, dv, err));
    TRY(tell(&r, PARTS * before + 3, PARTS * levels, err));
    TRY(time_memory(&b, err));
    TRY(backend_failed(b.be, "to time kernels", err));
    TRY(tell(&r, PARTS * (before + 1), PARTS * levels, err));
out:
    mem_free(host);
    if (b.be) {
        matrix *all[] = {&b.big[0], &b.big[1], &b.big[2], &b.small[0], &b.small[1], &b.small[2], &b.small[3],
                         &b.small[4], &b.small[5], &b.weight, &b.row, &b.stats, &b.lse, &b.ids, &b.begin, &b.end,
                         &k, &v, &dk, &dv};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            backend_free(b.be, all[i]->data, matrix_bytes(all[i]));
        b.be->close(b.be);
    }
    return status;
}

/* ------------------------------------------------------------------ a training step */

/* Where the time of a profiled pass went: a row per kernel. */
static void report_kernels(const backend *be, const double seconds[KERNEL_COUNT], double passes, report r) {
    for (int k = 0; k < KERNEL_COUNT; k++) {
        pcv_timing row = {.seconds = seconds[k] / passes, .seconds_min = seconds[k] / passes};
        snprintf(row.name, sizeof row.name, "kernel %s", kernel_names[k]);
        snprintf(row.level, sizeof row.level, "%s", be->level);
        if (seconds[k] > 0) r.fn(r.context, &row);
    }
}

/* One more pass, forward and backward, that says where the time goes. */
static int profile_step(step_rows *b, tape *t, model *m, const train_config *c, report r, pcv_error *err) {
    double seconds[KERNEL_COUNT] = {0};
    loss_sum sum = {0};
    t->be->seconds = seconds;
    parameters_clear_grads(&m->params);
    int status = step_run(b, t, m, c, 0, 1, &sum, err);
    t->be->seconds = NULL;
    if (!status) report_kernels(t->be, seconds, 1, r);
    return status;
}

/* A row for the step and, where it is asked for, those of its kernels. */
static int bench_step(const model_config *config, const train_config *c, const char *name, bool profiled, report r,
                      pcv_error *err) {
    backend *be = NULL;
    model *m = NULL;
    optimizer o = {0};
    tape t = {0};
    step_rows b = {0};
    memory_plan plan;
    double list[STEPS];
    int status = 0;
    TRY(plan_memory(config, c, &plan, err));
    TRY(plan_check(&plan, config, c, err));
    TRY(step_backend(&be, c, err));
    TRY(model_open(&m, config, be, true, err));
    TRY(model_init(m, (uint64_t)c->seed, err));
    m->recompute = c->recompute;
    TRY(optimizer_open(&o, &m->params, c, err));
    TRY(tape_init(&t, be, plan.tensors, err));
    TRY(step_open(&b, m, c->batch, err));
    step_take_random(&b, c->batch, (uint64_t)c->seed);
    int64_t positions = config->latents / config->latents_per_position;
    int64_t targets = c->batch * (m->type->answers ? b.examples.outputs : positions);
    watch_say(r.watch, "timing training steps: two to warm up, five, one to see where the time goes");
    for (int i = -WARMUP; i < STEPS; i++) {
        TRY(tell(&r, i + WARMUP, WARMUP + STEPS + 1, err));
        loss_sum sum = {0};
        double start = backend_now(be);
        backend_pass_begin(be, PASS_UPDATE);
        parameters_clear_grads(&m->params);
        t.step = (uint32_t)(i + WARMUP);
        TRY(step_run(&b, &t, m, c, 0, 1 / (double)targets, &sum, err));
        double norm = optimizer_grad_norm(&o);
        optimizer_step(&o, c, i + WARMUP, 1e-4, norm > 1 ? 1 / norm : 1);
        backend_pass_end(be, PASS_UPDATE, 1);
        if (i >= 0) list[i] = backend_now(be) - start;
    }
    model_flops f = model_type_of(config)->flops(config, config->context, config->latents);
    pcv_timing out = {.seconds = median(list, STEPS), .seconds_min = list[0]};
    out.gflops = 3 * (double)c->batch * flops_sum(f) / out.seconds / 1e9;
    out.tokens_per_second = (double)targets / out.seconds;
    out.peak_bytes = (int64_t)be->bytes_peak;
    out.tokens = targets;
    snprintf(out.name, sizeof out.name, "%s", name);
    snprintf(out.level, sizeof out.level, "%s", be->level);
    r.fn(r.context, &out);
    TRY(tell(&r, WARMUP + STEPS, WARMUP + STEPS + 1, err));
    if (profiled) TRY(profile_step(&b, &t, m, c, r, err));
out:
    step_close(&b);
    tape_free(&t);
    optimizer_close(&o);
    model_close(m);
    if (be) be->close(be);
    return status;
}

/* In the precision that was asked for, or else in all that the device has. */
static int bench_train(const model_config *config, const train_config *c, bool all, report r, pcv_error *err) {
    int status = bench_step(config, c, "training step", true, r, err);
    for (int p = 0; p < PRECISIONS && all && !status; p++) {
        train_config other = *c;
        char name[64];
        if (p == c->precision || !probe_has_precision(c, p)) continue;
        snprintf(name, sizeof name, "training step in %s", precision_names[p]);
        other.precision = p;
        r.start = clock_now();
        status = bench_step(config, &other, name, false, r, err);
    }
    return status;
}

/* ------------------------------------------------------------------ generation */

/* What a step has to read at least: the weights of linear maps once, and the keys and values of each timeline. */
static double bytes_of_weights(const model *m) {
    double bytes = 0;
    for (int i = 0; i < m->params.count; i++) {
        const parameter *q = m->params.list[i];
        bool table = !strncmp(m->params.name[q->first], "token_embedding", 15) && !m->config.tied_embeddings;
        if (!table && strncmp(m->params.name[q->first], "position_embedding", 18))
            bytes += (double)matrix_bytes(&q->t.m);
    }
    return bytes;
}

static double bytes_of_caches(const timeline *line) {
    const model_cache *cache = line->cache;
    const model_slab *slab = cache->slab;
    double bytes = 0;
    for (int64_t i = 0; i < slab->crosses + slab->layers; i++) {
        bool cross = i < slab->crosses;
        const matrix *k = cross ? &slab->cross[i].k : &slab->layer[i - slab->crosses].k;
        int64_t rows = cross ? cache->inputs : cache->latents - cache->latents_begin;
        bytes += 2.0 * (double)rows * (double)k->stride * (double)dtype_bytes(k->type);
    }
    return bytes;
}

/* A step of `count` timelines that all stand where `first` stands, which is one of them. */
static int bench_together(timeline *first, int64_t count, double *seconds, pcv_error *err) {
    timeline *more = NULL, **all = NULL;
    backend *be = first->m->be;
    double list[STEPS_TOGETHER];
    int64_t opened = 0;
    int status = 0;
    TRY(mem_get(&more, (size_t)count * sizeof *more, "timelines", err));
    TRY(mem_get(&all, (size_t)count * sizeof *all, "timelines", err));
    TRY(model_slab_reserve(first->d->slab, count, 0, 0, err));
    all[0] = first;
    for (opened = 1; opened < count; opened++) {
        all[opened] = &more[opened];
        TRY(timeline_open(all[opened], first->d, PCV_SLIDE, 0, first->latents, err));
        timeline_copy(all[opened], first);
    }
    for (int k = -WARMUP; k < STEPS_TOGETHER; k++) {
        double start = backend_now(be);
        for (int64_t i = 0; i < count; i++) TRY(timeline_append(all[i], &(int32_t){(int32_t)(i + 2)}, 1, err));
        TRY(timelines_logits(all, count, err));
        if (k >= 0) list[k] = backend_now(be) - start;
    }
    *seconds = median(list, STEPS_TOGETHER);
out:
    for (int64_t i = 1; i < opened; i++) timeline_close(all[i]);
    mem_free(more);
    mem_free(all);
    return status;
}

/* Rows for growing numbers of sessions, as far as half of the free memory holds their caches. */
static int bench_sessions(timeline *line, report r, pcv_error *err) {
    static const int64_t counts[] = {4, 16, 32, 64};
    backend *be = line->m->be;
    int status = 0;
    for (size_t i = 0; i < sizeof counts / sizeof *counts && !status; i++) {
        size_t bytes = (size_t)counts[i] * timeline_bytes(line->m, 0);
        if (bytes > be->available(be) / 2) break;
        pcv_timing out = {.tokens = counts[i]};
        status = bench_together(line, counts[i], &out.seconds, err);
        if (!status) status = tell(&r, 2 * NEW_TOKENS, 2 * NEW_TOKENS, err);
        out.seconds_min = out.seconds;
        out.tokens_per_second = (double)counts[i] / out.seconds;
        out.gigabytes_per_second =
            (bytes_of_weights(line->m) + (double)counts[i] * bytes_of_caches(line)) / out.seconds / 1e9;
        out.peak_bytes = (int64_t)be->bytes_peak;
        snprintf(out.name, sizeof out.name, "%d sessions", (int)counts[i]);
        snprintf(out.level, sizeof out.level, "%s", be->level);
        if (!status) r.fn(r.context, &out);
    }
    return status;
}

static int bench_generate(const model_config *config, const train_config *c, const pcv_settings *settings, report r,
                          pcv_error *err) {
    backend *be = NULL;
    model *m = NULL;
    decoder d = {0};
    timeline line = {0};
    int32_t *prompt = NULL;
    const float *logits;
    double list[NEW_TOKENS], seconds[KERNEL_COUNT] = {0};
    int status = 0;
    size_t count = (size_t)(config->context / PROMPT_SHARE);
    TRY(step_backend(&be, c, err));
    TRY(model_open(&m, config, be, false, err));
    TRY(model_init(m, (uint64_t)c->seed, err));
    TRY(model_pack(m, settings_packing(settings, "weights"), settings_packing(settings, "cache"), err));
    TRY(mem_get(&prompt, count * sizeof *prompt, "a prompt", err));
    rng random = rng_make((uint64_t)c->seed, RNG_TEST, 0);
    for (size_t i = 0; i < count; i++) prompt[i] = (int32_t)rng_below(&random, (uint64_t)config->vocab_size);
    /* slide with all latents from the start: what a cached step costs with full caches */
    TRY(decoder_open(&d, m, err));
    TRY(timeline_open(&line, &d, PCV_SLIDE, 0, config->latents, err));
    double start = backend_now(be);
    TRY(timeline_append(&line, prompt, count, err));
    TRY(timeline_logits(&line, &logits, err));
    pcv_timing out = {.seconds = backend_now(be) - start, .tokens = (int64_t)count};
    out.seconds_min = out.seconds;
    out.tokens_per_second = (double)count / out.seconds;
    snprintf(out.name, sizeof out.name, "prompt of %zu", count);
    snprintf(out.level, sizeof out.level, "%s", be->level);
    r.fn(r.context, &out);
    for (int i = 0; i < 2 * NEW_TOKENS; i++) { /* the second half again, with every kernel timed */
        TRY(tell(&r, i, 2 * NEW_TOKENS, err));
        double before = backend_now(be);
        be->seconds = i < NEW_TOKENS ? NULL : seconds;
        TRY(timeline_append(&line, prompt + i % (int)count, 1, err));
        TRY(timeline_logits(&line, &logits, err));
        if (i < NEW_TOKENS) list[i] = backend_now(be) - before;
    }
    be->seconds = NULL;
    out.seconds = median(list, NEW_TOKENS);
    out.seconds_min = list[0];
    out.tokens = 1;
    out.tokens_per_second = 1 / out.seconds;
    out.gigabytes_per_second = (bytes_of_weights(m) + bytes_of_caches(&line)) / out.seconds / 1e9;
    out.peak_bytes = (int64_t)be->bytes_peak;
    snprintf(out.name, sizeof out.name, "one token");
    r.fn(r.context, &out);
    report_kernels(be, seconds, NEW_TOKENS, r);
    TRY(bench_sessions(&line, r, err));
out:
    mem_free(prompt);
    timeline_close(&line);
    decoder_close(&d);
    model_close(m);
    if (be) be->close(be);
    return status;
}

/* ------------------------------------------------------------------ answers */

static void ignore(void *context, int kind, int64_t first, int64_t count, const float *values) {
    (void)context, (void)kind, (void)first, (void)count, (void)values;
}

/* Passes forward of a model that answers, one example each. */
static int bench_answer(const model_config *config, const train_config *c, report r, pcv_error *err) {
    enum { ANSWERS = 3 };
    backend *be = NULL;
    model *m = NULL;
    tape t = {0};
    example_rows rows = {0};
    double list[ANSWERS], seconds[KERNEL_COUNT] = {0};
    int status = 0;
    if (!model_type_of(config)->answers)
        return fail(err, PCV_USAGE, "answer: for perceiver and perceiver-io; a %s is timed by train and generate",
                    model_type_of(config)->name);
    TRY(step_backend(&be, c, err));
    TRY(model_open(&m, config, be, false, err));
    TRY(model_init(m, (uint64_t)c->seed, err));
    TRY(tape_init(&t, be, 0, err));
    TRY(example_rows_open(&rows, m, 1, config->context, false, err));
    example_rows_fill(&rows, 1, (uint64_t)c->seed);
    for (int i = -1; i < ANSWERS; i++) { /* the last one with every kernel timed */
        TRY(tell(&r, i + 1, ANSWERS + 1, err));
        be->seconds = i + 1 == ANSWERS ? seconds : NULL;
        double start = backend_now(be);
        TRY(outputs_tell(m, &t, rows.row, config->latents, rows.outputs, ignore, NULL, err));
        if (i >= 0) list[i] = backend_now(be) - start;
    }
    be->seconds = NULL;
    model_flops f = model_type_of(config)->flops(config, config->context, config->latents);
    pcv_timing out = {.seconds = median(list, ANSWERS), .seconds_min = list[0], .tokens = config->context};
    out.gflops = flops_sum(f) / out.seconds / 1e9;
    out.tokens_per_second = (double)config->context / out.seconds;
    out.peak_bytes = (int64_t)be->bytes_peak;
    snprintf(out.name, sizeof out.name, "answer");
    snprintf(out.level, sizeof out.level, "%s", be->level);
    r.fn(r.context, &out);
    report_kernels(be, seconds, 1, r);
out:
    example_rows_close(&rows);
    tape_free(&t);
    model_close(m);
    if (be) be->close(be);
    return status;
}

static int bench_ops(const model_config *config, const train_config *c, report r, pcv_error *err) {
    const char *const *levels;
    int status = backend_levels(&levels, c->device, err), count = 0;
    if (status) return status;
    while (levels[count]) count++;
    if (count > 1) count--; /* plain loops are left out */
    for (int i = 0; i < count && !status; i++) status = bench_level(levels[i], config, c, r, i, count, err);
    return status;
}

int bench_run(const char *what, const pcv_settings *settings, pcv_timing_fn *fn, void *context, const pcv_watch *watch,
              pcv_error *err) {
    model_config *config = NULL;
    train_config c;
    report r = {fn, context, watch, clock_now()};
    int status = 0;
    TRY(mem_get(&config, sizeof *config, "a benchmark", err));
    TRY(settings_model(settings, config, err));
    TRY(settings_fit(settings, config, PCV_MODEL, err));
    TRY(settings_fit(settings, config, PCV_TRAINING, err));
    TRY(settings_train(settings, &c, err));
    if (model_type_of(config)->answers && !strcmp(what, "generate"))
        TRY(fail(err, PCV_USAGE, "generate: a %s answers; 'perceiver bench answer' times it",
                 model_type_of(config)->name));
    if (!config->vocab_size) config->vocab_size = 259;
    TRY(model_config_check(config, err));
    if (!strcmp(what, "train")) status = bench_train(config, &c, !settings_get(settings, "precision"), r, err);
    else if (!strcmp(what, "generate")) status = bench_generate(config, &c, settings, r, err);
    else if (!strcmp(what, "answer")) status = bench_answer(config, &c, r, err);
    else if (!strcmp(what, "ops")) status = bench_ops(config, &c, r, err);
    else status = fail(err, PCV_USAGE, "'%s' is not one of ops, train, generate, answer", what);
out:
    mem_free(config);
    return status;
}
