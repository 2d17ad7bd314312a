#include "op_cases.h"
#include "base/rng.h"

#include <math.h>

float case_value(int s, int i) {
    rng_block b = rng_at(7, RNG_TEST, (uint32_t)s, (uint64_t)i);
    return (float)b.v[0] / 2147483648.0f - 1;
}

float case_weight(int row) { return 0.1f + 0.05f * (float)(row % 7); }

static tensor *ints(tape *t, int count, int (*value)(int i, int p), int p) {
    int32_t list[4096];
    CHECK(count <= 4096, "%d", count);
    for (int i = 0; i < count; i++) list[i] = value(i, p);
    return tape_ints(t, list, count);
}

static int scattered(int i, int bound) { return (i * 7 + 3) % bound; }
static int scattered_or_none(int i, int bound) { return i % 5 == 4 ? -1 : (i * 7 + 3) % bound; }
static int alternating(int i, int p) { return i / p % 2; }
static int counting(int i, int p) { return i % p + 1; }
static int far_apart(int i, int p) { return 131071 - i * p; }

/* ------------------------------------------------------------------ ops */

static tensor *run_linear(tape *t, tensor *const in[], const op_case *c) {
    return linear(t, in[0], in[1], c->inputs > 2 ? in[2] : NULL);
}

/* x is read twice and by views: gradients add up. */
static tensor *run_linear_shared(tape *t, tensor *const in[], const op_case *c) {
    (void)c;
    tensor *both = linear(t, in[0], in[1], NULL);
    tensor *left = tape_columns(t, both, 0, both->m.cols / 2);
    tensor *right = tape_columns(t, both, both->m.cols / 2, both->m.cols / 2);
    return add(t, linear(t, left, in[2], NULL), linear(t, right, in[2], NULL), 0);
}

static tensor *run_norm(tape *t, tensor *const in[], const op_case *c) {
    norm_spec s = {.w = {in[1]}, .epsilon = 1e-5f, .rms = c->p[0]};
    if (c->inputs > 2) s.b[0] = in[2];
    if (c->inputs > 3) {
        s.w[1] = in[3];
        s.b[1] = in[4];
        s.set = ints(t, c->in[0].rows, alternating, 3);
    }
    return norm(t, in[0], &s);
}

static tensor *run_activate(tape *t, tensor *const in[], const op_case *c) {
    return activate(t, in[0], (activation)c->p[0]);
}

/* p[0]: dropout in percent. The branch passes through another op, as in a model. */
static tensor *run_add(tape *t, tensor *const in[], const op_case *c) {
    tensor *y = add(t, in[0], linear(t, in[0], in[1], NULL), c->p[0] / 100.0);
    return add(t, y, in[0], 0);
}

/* The sum is read again behind the norm, as a residual stream is. */
static tensor *run_add_norm(tape *t, tensor *const in[], const op_case *c) {
    norm_spec s = {.w = {in[2]}, .b = {in[3]}, .epsilon = 1e-5f};
    tensor *sum, *y = add_norm(t, in[0], in[1], c->p[0] / 100.0, &s, &sum);
    return add(t, sum, y, 0);
}

static tensor *run_gather(tape *t, tensor *const in[], const op_case *c) {
    return gather(t, in[0], ints(t, c->p[0], scattered_or_none, c->in[0].rows));
}

static tensor *run_pool(tape *t, tensor *const in[], const op_case *c) {
    return pool_rows(t, in[0], c->p[0]);
}

/* p: rows each is the largest of. Every row is in several, and some have none. */
static tensor *run_max_rows(tape *t, tensor *const in[], const op_case *c) {
    int32_t index[4096];
    int of = c->p[0], rows = c->in[0].rows, count = (rows + 2) * of;
    CHECK(count <= 4096, "%d", count);
    for (int i = 0; i < count; i++) index[i] = i / of == 3 || i % 4 == 2 ? -1 : (i / of + i % of * 3) % rows;
    return max_rows(t, in[0], tape_ints(t, index, count), of);
}

/* p: whether mean and variance are measured */
static tensor *run_column_norm(tape *t, tensor *const in[], const op_case *c) {
    float known[4096];
    int cols = c->in[0].cols;
    for (int i = 0; i < 2 * cols; i++) known[i] = i < cols ? case_value(61, i) : 1 + 0.5f * case_value(62, i);
    column_norm_spec s = {.w = in[1], .b = in[2], .epsilon = 1e-5f, .measure = c->p[0]};
    s.mean = tape_exact_floats(t, known, 1, cols);
    s.variance = tape_exact_floats(t, known + cols, 1, cols);
    return column_norm(t, in[0], &s);
}

/* The second input is repeated below itself where it is shorter. */
static tensor *run_join(tape *t, tensor *const in[], const op_case *c) {
    (void)c;
    return join_columns(t, in[0], in[1]);
}

/* p: heads, width. Read twice, so that gradients add up. */
static tensor *run_resize_heads(tape *t, tensor *const in[], const op_case *c) {
    /* memory that is not zero is taken next, and holds something else where it is compared with */
    tensor *used = tape_tensor(t, in[0]->m.rows, c->p[0] * c->p[1]);
    tape_kernel(t, fill, .y = used->m, .value = t->be->real == F64 ? 7 : -3);
    tape_drop(t, used);
    tensor *y = resize_heads(t, in[0], c->p[0], c->p[1]);
    return add(t, y, resize_heads(t, linear(t, in[0], in[1], NULL), c->p[0], c->p[1]), 0);
}

/* p: rows, whether there is a harmonic code */
static tensor *run_embed(tape *t, tensor *const in[], const op_case *c) {
    embed_spec s = {.tables = c->inputs};
    for (int i = 0; i < c->inputs; i++) {
        s.table[i] = in[i];
        s.ids[i] = ints(t, c->p[0], i ? scattered_or_none : scattered, c->in[i].rows);
    }
    if (c->p[1]) {
        int cols = c->in[0].cols, half = cols / 2;
        float low[4096], high[4096];
        for (int i = 0; i < 16 * cols; i++) {
            int j = i % cols % half;
            float a = 0.1f * (float)(i / cols) * (float)(j + 1), b = 3.0f * (float)(i / cols);
            low[i] = i % cols < half ? sinf(a) : cosf(a);
            high[i] = i % cols < half ? sinf(b) : cosf(b);
        }
        s.positions = ints(t, c->p[0], counting, 9);
        s.low = tape_exact_floats(t, low, 16, cols);
        s.high = tape_exact_floats(t, high, 16, cols);
    }
    return embed(t, &s);
}

/* p: heads, bands, group, chosen, interleaved, whether positions are large */
static tensor *run_rotate(tape *t, tensor *const in[], const op_case *c) {
    float frequency[64];
    for (int j = 0; j < c->p[1]; j++) frequency[j] = powf(0.3f, (float)j);
    rotate_spec s = {.heads = c->p[0], .group = c->p[2], .chosen = c->p[3], .interleaved = c->p[4]};
    s.positions = ints(t, c->in[0].rows, c->p[5] ? far_apart : counting, c->p[5] ? 13007 : 100);
    s.frequency = tape_exact_floats(t, frequency, 1, c->p[1]);
    return linear(t, rotate(t, linear(t, in[0], in[1], NULL), &s), in[1], NULL);
}

/* p: batch, heads, mask kind, hidden keys */
enum { MASK_NONE, MASK_CAUSAL, MASK_RAGGED, MASK_BLIND };

static attend_spec case_spec(tape *t, const op_case *c, int keys) {
    int B = c->p[0], N = c->in[0].rows / B, M = keys / B;
    int32_t begin[4096], end[4096], hidden[4096];
    for (int i = 0; i < B * N; i++) {
        int n = i % N, b = i / N;
        begin[i] = 0;
        end[i] = c->p[2] == MASK_NONE ? M : M - N + n + 1;
        if (c->p[2] == MASK_RAGGED) {
            begin[i] = b + n % 3;
            end[i] -= b;
        }
        if (c->p[2] == MASK_BLIND && n % 4 == 1) end[i] = begin[i];
    }
    for (int i = 0; i < B * M; i++) hidden[i] = i % 7 == 1 || i % 5 == 3;
    attend_spec s = {.batch = B, .heads = c->p[1], .scale = 0.4f};
    s.begin = tape_ints(t, begin, B * N);
    s.end = tape_ints(t, end, B * N);
    if (c->p[3]) s.hidden = tape_ints(t, hidden, B * M);
    return s;
}

static tensor *run_attend(tape *t, tensor *const in[], const op_case *c) {
    attend_spec s = case_spec(t, c, c->in[1].rows);
    return attend(t, in[0], in[1], in[2], &s);
}

static tensor *run_relative(tape *t, tensor *const in[], const op_case *c) {
    attend_spec s = case_spec(t, c, c->in[2].rows);
    return attend_relative(t, in[0], in[1], in[2], in[3], in[4], &s);
}

/* p: rows, places, whether there are any. The tokens of places collide; places that are missing stand anywhere, and some
 * heads of rows have none at all. Matches are of all classes, the first and the last too. A fourth input makes the value
 * an activation. */
static tensor *run_found(tape *t, tensor *const in[], const op_case *c) {
    int32_t next[4096], matched[4096], octaves[4096];
    int P = c->p[1], count = c->p[0] * c->in[1].rows * P;
    CHECK(count <= 4096, "%d", count);
    for (int i = 0; i < count; i++) {
        bool is_there = c->p[2] && i % 5 != 4 && i / P % 4 != 2;
        next[i] = is_there ? (i * 7 + 3) % c->in[0].rows : -1;
        matched[i] = (c->in[1].cols - 1 + i * 5) % c->in[1].cols;
        octaves[i] = i * 13 % 97;
    }
    found_spec s = {.places = P, .parts = 16};
    s.next = tape_ints(t, next, count);
    s.matched = tape_ints(t, matched, count);
    s.octaves = tape_ints(t, octaves, count);
    return attend_found(t, c->inputs > 3 ? linear(t, in[0], in[3], NULL) : in[0], in[1], in[2], &s);
}

/* p: sequences. The constant part varies in front of the input. */
static tensor *run_stack(tape *t, tensor *const in[], const op_case *c) {
    float above[4096];
    int rows = 2 * c->p[0], cols = c->in[0].cols;
    for (int i = 0; i < rows * cols; i++) above[i] = case_value(99, i);
    tensor *parts[] = {tape_floats(t, above, rows, cols), in[0]};
    return linear(t, stack_rows(t, parts, 2, c->p[0]), in[1], NULL);
}

/* All that is stacked takes gradients, one of them twice. p: sequences */
static tensor *run_stack_three(tape *t, tensor *const in[], const op_case *c) {
    tensor *y = stack_rows(t, in, 3, c->p[0]);
    return stack_rows(t, (tensor *[]){in[1], y}, 2, c->p[0]);
}

/* Self-attention through one fused projection: strided views, one input for q, k and v. */
static tensor *run_self_attend(tape *t, tensor *const in[], const op_case *c) {
    int C = c->in[0].cols, N = c->in[0].rows;
    int32_t begin[4096] = {0}, end[4096];
    for (int i = 0; i < N; i++) end[i] = i + 1;
    tensor *qkv = linear(t, in[0], in[1], NULL);
    attend_spec s = {.batch = 1, .heads = c->p[1], .scale = 0.3f};
    s.begin = tape_ints(t, begin, N);
    s.end = tape_ints(t, end, N);
    return attend(t, tape_columns(t, qkv, 0, C), tape_columns(t, qkv, C, C),
                  tape_columns(t, qkv, 2 * C, C), &s);
}

/* p: label smoothing and z-loss, both in thousandths */
static tensor *run_cross_entropy(tape *t, tensor *const in[], const op_case *c) {
    int rows = c->in[0].rows;
    float weight[4096];
    for (int i = 0; i < rows; i++) weight[i] = case_weight(i);
    cross_entropy_spec s = {.w = in[1], .b = c->inputs > 2 ? in[2] : NULL};
    s.targets = ints(t, rows, scattered_or_none, c->in[1].rows);
    s.weight = tape_exact_floats(t, weight, rows, 1);
    s.smoothing = (float)c->p[0] / 1000;
    s.z_loss = (float)c->p[1] / 1000;
    return cross_entropy(t, in[0], &s);
}

/* p: kind of distance, scale in thousandths. The second input is what the target is made of: no gradient flows there. */
static tensor *run_distance(tape *t, tensor *const in[], const op_case *c) {
    int rows = c->in[0].rows, cols = c->in[1].rows;
    float weight[4096], target[4096];
    for (int i = 0; i < rows; i++) weight[i] = case_weight(i);
    for (int i = 0; i < rows * cols; i++) target[i] = c->p[0] == DISTANCE_SIGMOID ? (float)(i % 5) / 4 : case_value(50, i);
    distance_spec s = {.kind = (distance_kind)c->p[0], .scale = (float)c->p[1] / 1000};
    s.counts = ints(t, rows, scattered_or_none, 5);
    s.weight = tape_exact_floats(t, weight, rows, 1);
    s.target = tape_exact_floats(t, target, rows, cols);
    return distance(t, linear(t, in[0], in[1], NULL), &s);
}

/* Two losses of one input, of as many rows as their weights repeat after. p: kinds of distance */
static tensor *run_losses(tape *t, tensor *const in[], const op_case *c) {
    op_case one = *c, other = *c;
    other.p[0] = c->p[2];
    tensor *loss[] = {run_distance(t, in, &one), run_distance(t, in, &other)};
    return stack_losses(t, loss, 2);
}

/* A block run with recomputation, with dropout inside: the same numbers must be drawn again. */
static tensor *block(tape *t, const void *context, tensor *const in[]) {
    (void)context;
    tensor *h = activate(t, linear(t, in[0], in[1], NULL), GELU);
    return add(t, in[0], linear(t, h, in[2], NULL), 0.3);
}

static tensor *run_block(tape *t, tensor *const in[], const op_case *c) {
    tensor *x = in[0];
    for (int i = 0; i < 3; i++)
        x = tape_block(t, block, NULL, (tensor *[]){x, in[1], in[2]}, 3, c->p[0]);
    return x;
}

/* ------------------------------------------------------------------ kernels alone */

static tensor *copy_of(tape *t, const tensor *x) {
    tensor *y = tape_tensor(t, x->m.rows, x->m.cols);
    tape_kernel(t, copy, .y = y->m, .x = x->m);
    return y;
}

/* All but the first three and the last two columns of what surrounds them. */
static tensor *run_fill(tape *t, tensor *const in[], const op_case *c) {
    tensor *y = copy_of(t, in[0]);
    (void)c;
    tape_kernel(t, fill, .y = matrix_columns(y->m, 3, y->m.cols - 5), .value = 0.7f);
    return y;
}

/* p[0]: beta in percent. Columns of a wider matrix are added to a part of the other. */
static tensor *run_copy(tape *t, tensor *const in[], const op_case *c) {
    tensor *y = copy_of(t, in[0]);
    int64_t cols = in[1]->m.cols - 3;
    tape_kernel(t, copy, .y = matrix_columns(y->m, 2, cols), .x = matrix_columns(in[1]->m, 1, cols),
                .beta = (float)c->p[0] / 100);
    return y;
}

/* Rows go to other rows of a larger matrix, one of them nowhere. */
static tensor *run_copy_scattered(tape *t, tensor *const in[], const op_case *c) {
    static const int32_t to[] = {7, 0, -1, 3, 8};
    tensor *y = copy_of(t, in[1]);
    (void)c;
    tape_kernel(t, copy, .y = y->m, .x = in[0]->m, .index = tape_ints(t, to, 5)->m);
    return y;
}

/* Products whose rows do not know of each other. */
static tensor *run_linear_by_row(tape *t, tensor *const in[], const op_case *c) {
    (void)c;
    t->by_row = true;
    tensor *y = linear(t, in[0], in[1], in[2]);
    t->by_row = false;
    return y;
}

/* Two sequences read the third and the first of three lots of keys; p as of attend. */
static tensor *run_attend_slots(tape *t, tensor *const in[], const op_case *c) {
    static const int32_t slots[] = {2, 0};
    int keys = c->in[1].rows / 3;
    attend_spec s = case_spec(t, c, 2 * keys);
    s.slots = tape_ints(t, slots, 2);
    s.keys = keys;
    return attend(t, in[0], in[1], in[2], &s);
}

/* p[0]: a packed type. Reals are packed, copied as they are, and unpacked. */
static tensor *run_pack(tape *t, tensor *const in[], const op_case *c) {
    matrix packed[2];
    tensor *y = tape_tensor(t, in[0]->m.rows, in[0]->m.cols);
    for (int i = 0; i < 2; i++) { /* in memory that is large enough; rows of BF16 lie farther apart in the second */
        packed[i] = tape_tensor(t, in[0]->m.rows, in[0]->m.cols + 8)->m;
        packed[i].type = (dtype)c->p[0];
        packed[i].cols = in[0]->m.cols;
        packed[i].stride = dtype_stride(packed[i].type, packed[i].cols) + (packed[i].type == BF16 ? 6 * i : 0);
    }
    tape_kernel(t, copy, .y = packed[0], .x = in[0]->m);
    tape_kernel(t, copy, .y = packed[1], .x = packed[0]);
    tape_kernel(t, copy, .y = y->m, .x = packed[1]);
    return y;
}

/* p[0]: beta */
static tensor *run_column_sum(tape *t, tensor *const in[], const op_case *c) {
    tensor *y = copy_of(t, in[1]);
    tape_kernel(t, column_sum, .y = y->m, .x = matrix_columns(in[0]->m, 2, y->m.cols), .beta = (float)c->p[0]);
    return y;
}

/* p: whether a and b are transposed, and beta. All matrices but the bias lie within wider ones. */
static tensor *run_gemm(tape *t, tensor *const in[], const op_case *c) {
    tensor *y = copy_of(t, in[2]);
    matrix inner[3];
    for (int i = 0; i < 3; i++) {
        const matrix *m = i < 2 ? &in[i]->m : &y->m;
        inner[i] = matrix_columns(*m, i + 1, m->cols - 4);
    }
    tape_kernel(t, gemm, .c = inner[2], .a = inner[0], .b = inner[1], .bias = c->inputs > 3 ? in[3]->m : (matrix){0},
                .transpose_a = c->p[0], .transpose_b = c->p[1], .beta = (float)c->p[2]);
    return y;
}

/* p[4]: the offset */
static tensor *run_attend_map(tape *t, tensor *const in[], const op_case *c) {
    attend_spec s = case_spec(t, c, c->in[1].rows);
    return attend_map(t, in[0], in[1], &s, &(map_spec){1, 3, .rows = 4, .bins = 9, .span = 100, .offset = c->p[4]});
}

/* The optimizer's numbers, which are exact. */
static tensor *exact_copy(tape *t, const tensor *x) {
    tensor *y = tape_exact(t, x->m.rows, x->m.cols);
    tape_kernel(t, copy, .y = y->m, .x = x->m);
    return y;
}

/* The rows of the result: the weights and both moments, and the weights as reals. Some mean squares were 0. */
static tensor *run_adamw(tape *t, tensor *const in[], const op_case *c) {
    tensor *squares = activate(t, in[2], SQUARED_RELU), *y = tape_exact(t, 4, in[0]->m.cols);
    tensor *const from[] = {in[0], in[1], squares}, *g = exact_copy(t, in[3]);
    tensor *rounded = tape_tensor(t, 1, in[0]->m.cols);
    bool rounds = t->be->real != t->be->exact;
    (void)c;
    for (int i = 0; i < 3; i++) tape_kernel(t, copy, .y = matrix_rows(y->m, i, 1), .x = from[i]->m);
    tape_kernel(t, adamw, .w = matrix_rows(y->m, 0, 1), .m = matrix_rows(y->m, 1, 1), .v = matrix_rows(y->m, 2, 1),
                .g = g->m, .rounded = rounds ? rounded->m : (matrix){0}, .lr = 0.3f, .beta1 = 0.9f, .beta2 = 0.7f,
                .epsilon = 0.1f, .decay = 0.2f, .correction1 = 0.271f, .correction2 = 0.657f, .grad_scale = 0.6f);
    tape_kernel(t, copy, .y = matrix_rows(y->m, 3, 1), .x = rounds ? rounded->m : matrix_rows(y->m, 0, 1));
    return y;
}

static tensor *run_average(tape *t, tensor *const in[], const op_case *c) {
    tensor *y = exact_copy(t, in[0]), *w = exact_copy(t, in[1]);
    (void)c;
    tape_kernel(t, average, .average = y->m, .w = w->m, .decay = 0.8f);
    return y;
}

static tensor *run_sum_squares(tape *t, tensor *const in[], const op_case *c) {
    tensor *y = tape_exact(t, 1, 1), *x = exact_copy(t, in[0]);
    (void)c;
    tape_kernel(t, sum_squares, .result = y->m, .x = x->m);
    return y;
}

const op_case op_cases[] = {
    {"linear", run_linear, 3, {{7, 19}, {33, 19}, {1, 33}}, {0}, CASE_OP},
    {"linear, one row", run_linear, 3, {{1, 67}, {21, 67}, {1, 21}}, {0}, CASE_OP},
    {"linear, three rows", run_linear, 2, {{3, 35}, {6, 35}}, {0}, CASE_OP},
    {"linear, many rows", run_linear, 3, {{301, 24}, {17, 24}, {1, 17}}, {0}, CASE_OP},
    {"linear, deep", run_linear, 2, {{2500, 9}, {5, 9}}, {0}, CASE_OP},
    {"linear of views", run_linear_shared, 3, {{9, 12}, {20, 12}, {11, 10}}, {0}, CASE_OP},
    {"layer norm", run_norm, 3, {{5, 37}, {1, 37}, {1, 37}}, {0}, CASE_OP},
    {"layer norm, many rows", run_norm, 3, {{150, 16}, {1, 16}, {1, 16}}, {0}, CASE_OP},
    {"layer norm, two sets", run_norm, 5, {{20, 21}, {1, 21}, {1, 21}, {1, 21}, {1, 21}}, {0}, CASE_OP},
    {"rms norm", run_norm, 2, {{6, 29}, {1, 29}}, {1}, CASE_OP},
    {"activate, squared relu", run_activate, 1, {{5, 37}}, {SQUARED_RELU}, CASE_OP},
    {"activate, gelu", run_activate, 1, {{5, 37}}, {GELU}, CASE_OP},
    {"activate, gelu tanh", run_activate, 1, {{5, 37}}, {GELU_TANH}, CASE_OP},
    {"activate, relu", run_activate, 1, {{5, 37}}, {RELU}, CASE_OP},
    {"activate, swiglu", run_activate, 1, {{5, 38}}, {SWIGLU}, CASE_OP},
    {"activate, geglu", run_activate, 1, {{5, 38}}, {GEGLU}, CASE_OP},
    {"add", run_add, 2, {{6, 19}, {19, 19}}, {0}, CASE_OP},
    {"add with dropout", run_add, 2, {{9, 21}, {21, 21}}, {30}, CASE_OP},
    {"norm of a sum", run_add_norm, 4, {{6, 19}, {6, 19}, {1, 19}, {1, 19}}, {0}, CASE_OP},
    {"norm of a sum with dropout", run_add_norm, 4, {{9, 24}, {9, 24}, {1, 24}, {1, 24}}, {30}, CASE_OP},
    {"norm of a wide sum", run_add_norm, 4, {{3, 1032}, {3, 1032}, {1, 1032}, {1, 1032}}, {0}, CASE_FORWARD},
    {"gather", run_gather, 1, {{11, 70}}, {25}, CASE_OP},
    {"join columns", run_join, 2, {{12, 7}, {12, 70}}, {0}, CASE_OP},
    {"join columns, one repeated", run_join, 2, {{12, 7}, {4, 19}}, {0}, CASE_OP},
    {"wider heads", run_resize_heads, 2, {{9, 21}, {21, 21}}, {3, 11}, CASE_OP},
    {"narrower heads", run_resize_heads, 2, {{9, 21}, {21, 21}}, {3, 5}, CASE_OP},
    {"pool", run_pool, 1, {{12, 21}}, {3}, CASE_OP},
    {"max of rows", run_max_rows, 1, {{23, 21}}, {9}, CASE_OP},
    {"max of rows, one", run_max_rows, 1, {{5, 37}}, {1}, CASE_OP},
    {"column norm", run_column_norm, 3, {{37, 19}, {1, 19}, {1, 19}}, {1}, CASE_OP},
    {"column norm, many rows", run_column_norm, 3, {{900, 3}, {1, 3}, {1, 3}}, {1}, CASE_OP},
    {"column norm, given", run_column_norm, 3, {{11, 70}, {1, 70}, {1, 70}}, {0}, CASE_OP},
    {"embed", run_embed, 1, {{13, 131}}, {40, 0}, CASE_OP},
    {"embed, axes and code", run_embed, 3, {{13, 21}, {7, 21}, {5, 21}}, {40, 1}, CASE_OP},
    {"rotate interleaved", run_rotate, 2, {{9, 24}, {24, 24}}, {3, 4, 3, 3, 1}, CASE_OP},
    {"rotate half-split", run_rotate, 2, {{9, 24}, {24, 24}}, {3, 3, 3, 2, 0}, CASE_OP},
    {"rotate, large positions", run_rotate, 2, {{9, 80}, {80, 80}}, {2, 20, 2, 2, 1, 1}, CASE_OP},
    {"rotate groups of heads", run_rotate, 2, {{5, 32}, {32, 32}}, {4, 2, 2, 1, 1}, CASE_OP},
    {"attend, all", run_attend, 3, {{5, 12}, {9, 12}, {9, 12}}, {1, 3, MASK_NONE, 0}, CASE_OP},
    {"attend, causal", run_attend, 3, {{40, 24}, {70, 24}, {70, 24}}, {1, 2, MASK_CAUSAL, 0}, CASE_OP},
    {"attend, batch", run_attend, 3, {{30, 10}, {210, 10}, {210, 10}}, {3, 2, MASK_RAGGED, 0}, CASE_OP},
    {"attend, blind rows", run_attend, 3, {{9, 18}, {30, 18}, {30, 18}}, {1, 2, MASK_BLIND, 0}, CASE_OP},
    {"attend, hidden keys", run_attend, 3, {{33, 8}, {33, 8}, {33, 8}}, {1, 1, MASK_CAUSAL, 1}, CASE_OP},
    {"attend, hidden keys, few queries", run_attend, 3, {{4, 12}, {900, 12}, {900, 12}}, {1, 3, MASK_CAUSAL, 1}, CASE_OP},
    {"attend, many keys", run_attend, 3, {{6, 6}, {1100, 6}, {1100, 6}}, {1, 1, MASK_CAUSAL, 0}, CASE_OP},
    {"attend, one query", run_attend, 3, {{1, 36}, {50, 36}, {50, 36}}, {1, 2, MASK_CAUSAL, 0}, CASE_OP},
    {"attend, few queries", run_attend, 3, {{6, 7}, {700, 7}, {700, 7}}, {2, 1, MASK_BLIND, 0}, CASE_OP},
    {"attend, wide head", run_attend, 3, {{37, 80}, {65, 80}, {65, 80}}, {1, 1, MASK_CAUSAL, 0}, CASE_OP},
    {"attend, heads of 64", run_attend, 3, {{70, 128}, {150, 128}, {150, 128}}, {1, 2, MASK_CAUSAL, 0}, CASE_OP},
    {"attend, heads of 64, batch", run_attend, 3, {{60, 64}, {420, 64}, {420, 64}}, {3, 1, MASK_RAGGED, 0}, CASE_OP},
    {"attend, many queries", run_attend, 3, {{550, 16}, {600, 16}, {600, 16}}, {1, 1, MASK_CAUSAL, 0}, CASE_OP},
    {"attend, heads of 128", run_attend, 3, {{33, 128}, {90, 128}, {90, 128}}, {1, 1, MASK_BLIND, 0}, CASE_OP},
    {"attend relative", run_relative, 5, {{40, 24}, {40, 24}, {70, 24}, {70, 24}, {70, 24}}, {1, 2, MASK_CAUSAL, 0}, CASE_OP},
    {"attend relative, batch", run_relative, 5, {{30, 10}, {30, 10}, {210, 10}, {210, 10}, {75, 10}},
     {3, 2, MASK_RAGGED, 0}, CASE_OP},
    {"attend relative, many keys", run_relative, 5, {{6, 6}, {6, 6}, {1100, 6}, {1100, 6}, {1100, 6}},
     {1, 1, MASK_BLIND, 0}, CASE_OP},
    {"attend relative, few queries", run_relative, 5, {{4, 12}, {4, 12}, {600, 12}, {600, 12}, {300, 12}},
     {2, 3, MASK_CAUSAL, 0}, CASE_OP},
    {"found places", run_found, 3, {{11, 19}, {3, 33}, {1, 3}}, {7, 5, 1}, CASE_OP},
    {"found places, one", run_found, 3, {{4, 8}, {1, 7}, {1, 1}}, {1, 1, 1}, CASE_OP},
    {"found places, none", run_found, 3, {{5, 12}, {2, 33}, {1, 2}}, {3, 4, 0}, CASE_OP},
    {"found places, many columns", run_found, 3, {{9, 328}, {1, 70}, {1, 1}}, {3, 16, 1}, CASE_OP},
    {"found places, many rows", run_found, 3, {{3, 24}, {2, 9}, {1, 2}}, {150, 13, 1}, CASE_OP},
    {"found places, as many as can be", run_found, 3, {{7, 37}, {1, 33}, {1, 1}}, {9, 128, 1}, CASE_OP},
    {"found places, one each", run_found, 3, {{2, 1}, {3, 2}, {1, 3}}, {33, 1, 1}, CASE_OP},
    {"found places, value of a product", run_found, 4, {{6, 9}, {2, 33}, {1, 2}, {40, 9}}, {11, 16, 1}, CASE_OP},
    {"stack", run_stack, 2, {{9, 7}, {5, 7}}, {3}, CASE_OP},
    {"stack of three", run_stack_three, 3, {{9, 7}, {6, 7}, {3, 7}}, {3}, CASE_OP},
    {"losses of two kinds", run_losses, 2, {{14, 9}, {3, 9}}, {DISTANCE_SQUARED, 700, DISTANCE_ABSOLUTE}, CASE_LOSS},
    {"self-attention", run_self_attend, 2, {{35, 18}, {54, 18}}, {0, 3}, CASE_OP},
    {"cross-entropy", run_cross_entropy, 3, {{11, 9}, {23, 9}, {1, 23}}, {0, 0}, CASE_LOSS},
    {"cross-entropy, smooth", run_cross_entropy, 2, {{11, 9}, {37, 9}}, {100, 5}, CASE_LOSS},
    {"cross-entropy, pieces", run_cross_entropy, 2, {{150, 5}, {17000, 5}}, {0, 10}, CASE_LOSS},
    {"distance, squared", run_distance, 2, {{11, 9}, {3, 9}}, {DISTANCE_SQUARED, 700}, CASE_LOSS},
    {"distance, absolute", run_distance, 2, {{130, 5}, {4, 5}}, {DISTANCE_ABSOLUTE, 1000}, CASE_LOSS},
    {"distance, end point", run_distance, 2, {{37, 6}, {2, 6}}, {DISTANCE_END_POINT, 200}, CASE_LOSS},
    {"distance, sigmoid", run_distance, 2, {{21, 7}, {5, 7}}, {DISTANCE_SIGMOID, 1500}, CASE_LOSS},
    {"block", run_block, 3, {{5, 12}, {20, 12}, {12, 20}}, {0}, CASE_OP},
    {"block, recomputed", run_block, 3, {{5, 12}, {20, 12}, {12, 20}}, {1}, CASE_OP},
    {"fill", run_fill, 1, {{3, 150}}, {0}, CASE_FORWARD},
    {"copy", run_copy, 2, {{5, 40}, {5, 38}}, {0}, CASE_FORWARD},
    {"copy, added", run_copy, 2, {{5, 40}, {5, 38}}, {100}, CASE_FORWARD},
    {"copy, added to a half", run_copy, 2, {{5, 40}, {5, 38}}, {50}, CASE_FORWARD},
    {"copy, scattered", run_copy_scattered, 2, {{5, 38}, {9, 38}}, {0}, CASE_FORWARD},
    {"linear, by row", run_linear_by_row, 3, {{11, 67}, {21, 67}, {1, 21}}, {0}, CASE_FORWARD},
    {"linear, by row, deep", run_linear_by_row, 3, {{19, 160}, {43, 160}, {1, 43}}, {0}, CASE_FORWARD},
    {"linear, by row, many", run_linear_by_row, 2, {{49, 64}, {24, 64}}, {0}, CASE_FORWARD},
    {"attend, slots", run_attend_slots, 3, {{50, 12}, {210, 12}, {210, 12}}, {2, 2, MASK_RAGGED, 0}, CASE_FORWARD},
    {"attend, slots, few queries", run_attend_slots, 3, {{4, 12}, {900, 12}, {900, 12}}, {2, 3, MASK_CAUSAL, 0},
     CASE_FORWARD},
    {"attend, slots, one query", run_attend_slots, 3, {{2, 64}, {900, 64}, {900, 64}}, {2, 2, MASK_CAUSAL, 0}, CASE_FORWARD},
    {"attend, slots, wide heads", run_attend_slots, 3, {{4, 128}, {300, 128}, {300, 128}}, {2, 1, MASK_CAUSAL, 0}, CASE_FORWARD},
    {"copy, packed to bf16", run_pack, 1, {{5, 37}}, {BF16}, CASE_FORWARD},
    {"copy, packed to 8 bits", run_pack, 1, {{5, 37}}, {I8}, CASE_FORWARD},
    {"gemm, several blocks", run_gemm, 4, {{290, 44}, {530, 44}, {290, 534}, {1, 530}}, {0, 1, 1}, CASE_FORWARD},
    {"gemm, b as it lies", run_gemm, 4, {{290, 44}, {40, 274}, {290, 274}, {1, 270}}, {0, 0, 0}, CASE_FORWARD},
    {"gemm, a transposed", run_gemm, 4, {{40, 294}, {40, 274}, {290, 274}, {1, 270}}, {1, 0, 1}, CASE_FORWARD},
    {"gemm, both transposed", run_gemm, 3, {{40, 294}, {270, 44}, {290, 274}}, {1, 1, 1}, CASE_FORWARD},
    {"gemm, pieces of the depth", run_gemm, 4, {{3100, 9}, {3100, 13}, {5, 13}, {1, 9}}, {1, 0, 1}, CASE_FORWARD},
    {"gemm, one row", run_gemm, 4, {{1, 71}, {30, 71}, {1, 34}, {1, 30}}, {0, 1, 1}, CASE_FORWARD},
    {"gemm, four rows", run_gemm, 4, {{4, 37}, {9, 37}, {4, 13}, {1, 9}}, {0, 1, 1}, CASE_FORWARD},
    {"gemm, one column", run_gemm, 4, {{150, 37}, {1, 37}, {150, 5}, {1, 1}}, {0, 1, 1}, CASE_FORWARD},
    {"column sum", run_column_sum, 2, {{33, 79}, {1, 75}}, {0}, CASE_FORWARD},
    {"column sum, added", run_column_sum, 2, {{33, 79}, {1, 75}}, {1}, CASE_FORWARD},
    {"attend map", run_attend_map, 2, {{12, 18}, {70, 18}}, {1, 3, MASK_CAUSAL, 0}, CASE_FORWARD},
    {"attend map, the last keys", run_attend_map, 2, {{12, 18}, {70, 18}}, {1, 3, MASK_RAGGED, 0, 29}, CASE_FORWARD},
    {"adamw", run_adamw, 4, {{1, 37}, {1, 37}, {1, 37}, {1, 37}}, {0}, CASE_FORWARD},
    {"adamw, several blocks", run_adamw, 4, {{1, 20011}, {1, 20011}, {1, 20011}, {1, 20011}}, {0}, CASE_FORWARD},
    {"average", run_average, 2, {{1, 20011}, {1, 20011}}, {0}, CASE_FORWARD},
    {"sum of squares", run_sum_squares, 1, {{1, 37}}, {0}, CASE_FORWARD},
    {"sum of squares, several blocks", run_sum_squares, 1, {{1, 20011}}, {0}, CASE_FORWARD},
};
const int op_case_count = sizeof op_cases / sizeof *op_cases;
