/* Matrix products by oneDNN's matmul primitive, over matrices as they lie (strides, transposes).
 *
 * Primitives are planned once per shape and kept. Two ways to use the threads keep every result
 * independent of their number:
 *   - whole: the AVX-512 implementation ("brg") splits rows and columns among threads but never the
 *     depth, but for some products (keeps_depth), and where the left factor is transposed and the depth
 *     reaches 2,048: those are cut into pieces here. One call, oneDNN's threads.
 *   - blocks: any other implementation may split the depth by thread count. The product is cut into
 *     fixed blocks of C, each planned and run for one thread, and our threads share out the blocks.
 *     Without AVX-512, oneDNN runs a block at full speed only when both factors lie along the depth, as
 *     in y = x w^T: 165 to 188 GFLOP/s, against 130 for dy w and 80 for dy^T x (two cores of an AMD
 *     EPYC 7003). Large factors that do not are therefore transposed first.
 * Measured on two cores, whole reaches 96 % of the FMA peak, blocks 85 %.
 *
 * With bf16 products both operands are first rounded into scratch memory; the passes over them cost a
 * tenth of what the product saves. */
#include "base/mem.h"
#include "cpu/gemm.h"
#include "cpu/onednn.h"

#include <omp.h>
#include <stdio.h>

enum {
    SLOTS = 1024,
    DEPTH_PIECE = 1536,
    HUGE_DEPTH = 20000, /* from here on oneDNN may split the depth of a small product */
    AMX_THREADS = 16,   /* and from here on, with AMX, of any */
    ROUNDED_ROWS = 8192, /* rows rounded to bf16 at once: bounds the scratch */
    BLOCK_ROWS = 128,
    BLOCK_COLUMNS = 256
};

/* What a primitive is planned for. All members int64_t: compared and hashed as bytes. */
typedef struct key {
    int64_t m, n, k, row_a, column_a, row_b, column_b, row_c, add, bias, bf16, threads;
} key;

typedef struct plan {
    key key;
    dnnl_primitive_t primitive; /* NULL: empty slot */
    onednn_form a, b, c, bias, scratch;
    bool whole;
} plan;

typedef struct gemm_state {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int used;
    plan slot[SLOTS];
} gemm_state;

/* oneDNN plans for, and runs on, the number of threads that it finds in a variable of OpenMP's. That is the calling
 * thread's alone (nthreads-var: one copy in each task; OpenMP 4.5, 2.3.2), so nobody else sees what it holds while
 * oneDNN is called here, and afterwards it is the caller's again. Returns what it was. */
static int lend_threads(int threads) {
    int own = omp_get_max_threads();
    omp_set_num_threads(threads);
    return own;
}

/* Calls oneDNN unless a call before has failed, as a test may have any do. */
#define CALL(status, call)                                                                         \
    do {                                                                                           \
        if ((status) == dnnl_success) (status) = mem_refused() ? dnnl_out_of_memory : (call);      \
    } while (0)

static void failed(cpu_context *c, const char *what, dnnl_status_t status) {
    char message[128];
    snprintf(message, sizeof message, "oneDNN: %s failed with status %d", what, (int)status);
    cpu_failed(c, status == dnnl_out_of_memory ? NULL : message);
}

static void plan_free(plan *p) {
    onednn_form *forms[] = {&p->a, &p->b, &p->c, &p->bias, &p->scratch};
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) onednn_form_free(forms[f]);
    *p = (plan){0};
}

static void forget_plans(gemm_state *s) {
    for (int i = 0; i < SLOTS; i++)
        if (s->slot[i].primitive) plan_free(&s->slot[i]);
    s->used = 0;
}

static void state_free(gemm_state *s) {
    forget_plans(s);
    if (s->stream) dnnl_stream_destroy(s->stream);
    if (s->engine) dnnl_engine_destroy(s->engine);
    mem_free(s);
}

void gemm_close(cpu_context *c) {
    if (c->gemm) state_free(c->gemm);
    c->gemm = NULL;
}

/* NULL when it cannot be made. */
static gemm_state *state_of(cpu_context *c) {
    gemm_state *s;
    dnnl_status_t status = dnnl_success;
    if (c->gemm) return c->gemm;
    if (mem_get(&s, sizeof *s, "product plans", NULL)) {
        cpu_failed(c, NULL);
        return NULL;
    }
    CALL(status, dnnl_engine_create(&s->engine, dnnl_cpu, 0));
    CALL(status, dnnl_stream_create(&s->stream, s->engine, dnnl_stream_default_flags));
    if (status == dnnl_success) return c->gemm = s;
    failed(c, "an engine", status);
    state_free(s);
    return NULL;
}

/* Does the implementation of this name leave the depth of such a product to one thread, whatever the number of
 * threads? (oneDNN 2.6 to 3.9, src/cpu/x64/matmul/brgemm_matmul_utils.cpp) */
static bool keeps_depth(const char *name, const key *k) {
    if (strncmp(name, "brg", 3) || k->m == 1 || k->n == 1 || k->k >= HUGE_DEPTH) return false;
    return k->threads < AMX_THREADS || !strstr(name, "amx");
}

static dnnl_status_t make_forms(plan *p) {
    const key *k = &p->key;
    dnnl_data_type_t type = k->bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_status_t status = dnnl_success;
    CALL(status, onednn_form_make(&p->a, type, k->m, k->k, k->row_a, k->column_a));
    CALL(status, onednn_form_make(&p->b, type, k->k, k->n, k->row_b, k->column_b));
    CALL(status, onednn_form_make(&p->c, dnnl_f32, k->m, k->n, k->row_c, 1));
    CALL(status, onednn_form_make(&p->bias, dnnl_f32, 1, k->n, k->n, 1));
    return status;
}

static dnnl_status_t make_attributes(dnnl_primitive_attr_t *attributes, bool add) {
    dnnl_status_t status = dnnl_success;
    dnnl_post_ops_t after = NULL;
    CALL(status, dnnl_primitive_attr_create(attributes));
    CALL(status, dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user));
    if (!add) return status;
    CALL(status, dnnl_post_ops_create(&after));
    CALL(status, onednn_add_to_result(after));
    CALL(status, dnnl_primitive_attr_set_post_ops(*attributes, after));
    if (after) dnnl_post_ops_destroy(after);
    return status;
}

/* Fills an empty slot, which stays empty where it fails. */
static dnnl_status_t make_plan(gemm_state *s, plan *p, const key *k) {
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t planned = NULL;
    const char *name = "";
    *p = (plan){.key = *k};
    dnnl_status_t status = make_forms(p);
    int own = lend_threads((int)k->threads);
    CALL(status, make_attributes(&attributes, k->add));
    CALL(status, onednn_plan_matmul(&planned, s->engine, &p->a, &p->b, k->bias ? &p->bias : NULL, &p->c, attributes));
    CALL(status, onednn_plan_scratch(&p->scratch, planned));
    CALL(status, dnnl_primitive_create(&p->primitive, planned));
    lend_threads(own);
    if (status == dnnl_success) dnnl_primitive_desc_query(planned, dnnl_query_impl_info_str, 0, &name);
    p->whole = keeps_depth(name, k);
    if (planned) dnnl_primitive_desc_destroy(planned);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    if (status != dnnl_success) plan_free(p);
    return status;
}

/* NULL when there is none and none can be made. */
static const plan *plan_for(cpu_context *c, gemm_state *s, const key *k) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < sizeof *k / sizeof(int64_t); i++)
        hash = (hash ^ (uint64_t)((const int64_t *)k)[i]) * 1099511628211u;
    size_t i = (hash ^ hash >> 32) % SLOTS;
    for (; s->slot[i].primitive; i = (i + 1) % SLOTS)
        if (!memcmp(&s->slot[i].key, k, sizeof *k)) return &s->slot[i];
    dnnl_status_t status = make_plan(s, &s->slot[i], k);
    if (status != dnnl_success) {
        failed(c, "planning a product", status);
        return NULL;
    }
    s->used++;
    return &s->slot[i];
}

static void run_plan(cpu_context *c, const gemm_state *s, const plan *p, const gemm_args *g, void *scratch) {
    const onednn_form *form[] = {&p->a, &p->b, &p->c, &p->scratch, &p->bias};
    void *data[] = {g->a.data, g->b.data, g->c.data, scratch, g->bias.data};
    int role[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD, DNNL_ARG_BIAS};
    dnnl_exec_arg_t argument[5] = {{0}};
    dnnl_status_t status = scratch ? dnnl_success : dnnl_out_of_memory;
    int count = p->key.bias ? 5 : 4;
    for (int i = 0; i < count; i++) {
        argument[i].arg = role[i];
        CALL(status, onednn_form_memory(&argument[i].memory, form[i], s->engine, data[i]));
    }
    CALL(status, dnnl_primitive_execute(p->primitive, s->stream, count, argument));
    for (int i = 0; i < count; i++)
        if (argument[i].memory) dnnl_memory_destroy(argument[i].memory);
    if (status != dnnl_success) failed(c, "a product", status);
}

static key key_of(const gemm_args *g, bool bf16, int64_t threads) {
    int64_t depth = g->transpose_a ? g->a.rows : g->a.cols;
    return (key){
        .m = g->c.rows,
        .n = g->c.cols,
        .k = depth,
        .row_a = g->transpose_a ? 1 : g->a.stride,
        .column_a = g->transpose_a ? g->a.stride : 1,
        .row_b = g->transpose_b ? 1 : g->b.stride,
        .column_b = g->transpose_b ? g->b.stride : 1,
        .row_c = g->c.stride,
        .add = g->beta != 0,
        .bias = g->bias.data != NULL,
        .bf16 = bf16,
        .threads = threads,
    };
}

/* The part of a product that gives rows [i, i + m) and columns [j, j + n) of C. */
static gemm_args block_of(const gemm_args *g, int64_t i, int64_t j) {
    gemm_args b = *g;
    int64_t m = g->c.rows - i < BLOCK_ROWS ? g->c.rows - i : BLOCK_ROWS;
    int64_t n = g->c.cols - j < BLOCK_COLUMNS ? g->c.cols - j : BLOCK_COLUMNS;
    b.c = matrix_columns(matrix_rows(g->c, i, m), j, n);
    b.a = g->transpose_a ? matrix_columns(g->a, i, m) : matrix_rows(g->a, i, m);
    b.b = g->transpose_b ? matrix_rows(g->b, j, n) : matrix_columns(g->b, j, n);
    if (g->bias.data) b.bias = matrix_columns(g->bias, j, n);
    return b;
}

static void run_blocks(cpu_context *c, gemm_state *s, const gemm_args *g) {
    int64_t down = (g->c.rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    int64_t across = (g->c.cols + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
    int own = lend_threads(1); /* a team of one does not count as a parallel region to oneDNN */
#pragma omp parallel for num_threads(c->threads) schedule(dynamic)
    for (int64_t u = 0; u < down * across; u++) {
        gemm_args b = block_of(g, u / across * BLOCK_ROWS, u % across * BLOCK_COLUMNS);
        key k = key_of(&b, c->bf16, 1);
        plan copy = {0};
#pragma omp critical(gemm_plans)
        {
            const plan *p = plan_for(c, s, &k);
            if (p) copy = *p;
        }
        if (copy.primitive) run_plan(c, s, &copy, &b, cpu_scratch(c, onednn_form_bytes(&copy.scratch) + 64));
    }
    lend_threads(own);
}

enum {
    TURN_TILE = 16,  /* floats in a cache line */
    TURN_FROM = 192, /* what the turn costs, it saves from so many rows and columns on */
};

typedef float four __attribute__((vector_size(16)));

/* to[j][i] = x[i][j] for a square of four. */
static void turn_four(const float *x, int64_t stride, float *to, int64_t to_stride) {
    four r[4];
    for (int i = 0; i < 4; i++) memcpy(&r[i], x + i * stride, sizeof *r);
    four a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    four c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    four column[] = {__builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(a, b, 2, 3, 6, 7),
                     __builtin_shufflevector(c, d, 0, 1, 4, 5), __builtin_shufflevector(c, d, 2, 3, 6, 7)};
    for (int j = 0; j < 4; j++) memcpy(to + j * to_stride, &column[j], sizeof *column);
}

/* A tile of `rows` rows and `cols` columns; whole squares by turn_four, the edges one by one. */
static void turn_tile(const float *x, int64_t stride, int64_t rows, int64_t cols, float *to, int64_t to_stride) {
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        int64_t j = 0;
        for (; j + 4 <= cols; j += 4) turn_four(x + i * stride + j, stride, to + j * to_stride + i, to_stride);
        for (; j < cols; j++)
            for (int64_t k = i; k < i + 4; k++) to[j * to_stride + k] = x[k * stride + j];
    }
    for (; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) to[j * to_stride + i] = x[i * stride + j];
}

/* x [rows, cols] transposed, in scratch buffer `slot`. Its rows end in a line's gap, lest all of a tile's
 * lines fall into one set of the cache. */
static matrix transposed(cpu_context *c, const matrix *x, int slot) {
    matrix y = {.rows = x->cols, .cols = x->rows, .type = F32};
    y.stride = (x->rows + TURN_TILE - 1) / TURN_TILE * TURN_TILE + TURN_TILE;
    y.data = cpu_shared_scratch(c, slot, matrix_bytes(&y));
    if (!y.data) return y;
    const float *from = x->data;
    float *to = y.data;
#pragma omp parallel for num_threads(c->threads) schedule(static)
    for (int64_t j = 0; j < x->cols; j += TURN_TILE) {
        int64_t cols = x->cols - j < TURN_TILE ? x->cols - j : TURN_TILE;
        for (int64_t i = 0; i < x->rows; i += TURN_TILE) {
            int64_t rows = x->rows - i < TURN_TILE ? x->rows - i : TURN_TILE;
            turn_tile(from + i * x->stride + j, x->stride, rows, cols, to + j * y.stride + i, y.stride);
        }
    }
    return y;
}

/* The same product with both factors along the depth: A [m, k], B [n, k]. */
static gemm_args along_depth(cpu_context *c, const gemm_args *g) {
    gemm_args p = *g;
    if (g->c.rows < TURN_FROM || g->c.cols < TURN_FROM) return p;
    if (g->transpose_a) p.a = transposed(c, &g->a, 1);
    if (!g->transpose_b) p.b = transposed(c, &g->b, 2);
    p.transpose_a = false;
    p.transpose_b = true;
    return p;
}

static void run_piece(cpu_context *c, const gemm_args *g) {
    gemm_state *s = state_of(c);
    if (!s) return;
    if (s->used > SLOTS / 2) forget_plans(s); /* shapes that vary without end; here, where no plan is in use */
    key k = key_of(g, c->bf16, c->threads);
    const plan *p = plan_for(c, s, &k);
    if (!p) return;
    if (!p->whole) {
        gemm_args turned = c->bf16 ? *g : along_depth(c, g);
        if (turned.a.data && turned.b.data) run_blocks(c, s, &turned);
        return;
    }
    int own = lend_threads(c->threads);
    run_plan(c, s, p, g, cpu_shared_scratch(c, 0, onednn_form_bytes(&p->scratch) + 64));
    lend_threads(own);
}

/* x rounded to bf16, packed, in scratch buffer `slot`. */
static matrix rounded(cpu_context *c, const matrix *x, int slot) {
    matrix r = *x;
    r.data = cpu_shared_scratch(c, slot, (size_t)(x->rows * x->cols) * sizeof(uint16_t));
    r.stride = x->cols;
    r.type = BF16;
    if (r.data) c->round_bf16(c, x, r.data);
    return r;
}

/* The product of pieces: rows of A and C where A is as it lies, depth where it is transposed. */
static gemm_args piece_of(const gemm_args *g, int64_t at, int64_t count) {
    gemm_args p = *g;
    p.a = matrix_rows(g->a, at, count);
    if (!g->transpose_a) {
        p.c = matrix_rows(g->c, at, count);
        return p;
    }
    p.b = g->transpose_b ? matrix_columns(g->b, at, count) : matrix_rows(g->b, at, count);
    if (at == 0) return p;
    p.beta = 1; /* behind the first piece of the depth */
    p.bias.data = NULL;
    return p;
}

/* A product with a single column, in plain loops and full precision: oneDNN 3.7 loses the stride of such a C. */
static void one_column(cpu_context *c, const gemm_args *g) {
    int64_t depth = g->transpose_a ? g->a.rows : g->a.cols;
    int64_t row_a = g->transpose_a ? 1 : g->a.stride, step_a = g->transpose_a ? g->a.stride : 1;
    int64_t step_b = g->transpose_b ? 1 : g->b.stride;
    const float *a = g->a.data, *b = g->b.data;
#pragma omp parallel for num_threads(c->threads) schedule(static)
    for (int64_t i = 0; i < g->c.rows; i++) {
        float *to = (float *)g->c.data + i * g->c.stride, sum = g->bias.data ? *(const float *)g->bias.data : 0;
        for (int64_t k = 0; k < depth; k++) sum += a[i * row_a + k * step_a] * b[k * step_b];
        *to = (g->beta == 0 ? 0 : g->beta * *to) + sum;
    }
}

static void gemm(void *context, const gemm_args *g) {
    cpu_context *c = context;
    if (g->c.rows == 0 || g->c.cols == 0) return;
    if (gemm_is_gemv(g)) {
        c->gemv(context, g);
        return;
    }
    gemm_args wide = *g;
    if (g->b.type != F32) wide.b = gemm_widened(c, &g->b);
    if (!wide.b.data) return;
    g = &wide;
    if (g->c.cols == 1) {
        one_column(c, g);
        return;
    }
    int64_t rows = g->a.rows, step = g->transpose_a ? DEPTH_PIECE : c->bf16 ? ROUNDED_ROWS : rows;
    for (int64_t at = 0; at < rows; at += step) {
        gemm_args p = piece_of(g, at, rows - at < step ? rows - at : step);
        if (c->bf16) {
            p.a = rounded(c, &p.a, 1);
            if (at == 0 || g->transpose_a) p.b = rounded(c, &p.b, 2);
            else p.b = (matrix){c->shared[2].data, p.b.rows, p.b.cols, p.b.cols, BF16}; /* rounded before */
        }
        if (!p.a.data || !p.b.data) return;
        run_piece(c, &p);
    }
}

bool gemm_has_bf16(void) { return dnnl_get_effective_cpu_isa() >= dnnl_cpu_isa_avx512_core; }

void gemm_kernels(kernels *k) { k->gemm = gemm; }
