/* The baselines against what they must equal: a Transformer against Perceiver AR without prefix, sparse patterns
 * against plain attention under the pattern written as a mask. */
#include "device.h"
#include "base/rng.h"
#include "config/settings.h"
#include "model/sparse.h"
#include "tensor/parameters.h"

enum { CONTEXT = 37, VOCAB = 19, BATCH = 3 };

static model *model_of(backend *be, const char *dialect, const char *switches) {
    model_config c;
    pcv_settings *s;
    model *m = NULL;
    must(pcv_settings_open(&s, &err));
    must(pcv_settings_set(s, "dialect", dialect, &err));
    must(settings_model(s, &c, &err));
    must(settings_apply_list("channels=24 heads=2 layers=3 zero_head=false dropout=0", &model_fields, "", &c, &err));
    must(settings_apply_list(switches, &model_fields, "", &c, &err));
    c.context = c.latents = CONTEXT;
    c.vocab_size = VOCAB;
    must(model_open(&m, &c, be, true, &err));
    must(model_init(m, 5, &err));
    pcv_settings_close(s);
    return m;
}

static int32_t token(int i) { return (int32_t)(rng_at(4, RNG_TEST, 0, (uint64_t)i).v[0] % VOCAB); }

/* Losses of all positions of rows of several lengths, and the gradients. */
static void train_once(model *m, model_memory *memory, int recompute, float *loss, float *grads) {
    static const int64_t lengths[BATCH] = {CONTEXT, 20, 1};
    int32_t ids[BATCH * CONTEXT], targets[BATCH * CONTEXT];
    sequence row[BATCH];
    tape t;
    must(tape_init(&t, m->be, 0, &err));
    t.recording = t.training = true;
    m->recompute = recompute;
    for (int i = 0; i < BATCH * CONTEXT; i++) {
        ids[i] = token(i);
        targets[i] = token(i + 1000);
    }
    for (int r = 0; r < BATCH; r++) {
        const int32_t *last = targets + (r + 1) * CONTEXT - lengths[r];
        row[r] = (sequence){.ids = ids + r * CONTEXT, .next = last, .length = lengths[r], .scored = lengths[r]};
    }
    parameters_clear_grads(&m->params);
    pass p = {.batch = BATCH, .rows = row, .latents = CONTEXT, .memory = memory};
    tensor *h = model_hidden(&t, m, &p);
    if (memory) memory->pending = false; /* the next pass starts from the same memory */
    tensor *y = model_loss(&t, m, h, &p, &(loss_spec){.scale = 1});
    tape_read(&t, y, loss);
    tape_backward(&t, y);
    backend_read_floats(m->be, grads, &m->params.grads);
    assert_int_equal(t.status, 0);
    tape_free(&t);
}

static void equals_perceiver(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"default", ""}, {"default", "qk_norm=true"}, {"krasserm", ""},
        {"official", "query=identity positions.kind=learned"},
    };
    backend *be;
    be = test_backend(&(backend_options){.precision = F64});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char switches[2][256];
        snprintf(switches[0], sizeof switches[0], "architecture=transformer %s", cases[i][1]);
        snprintf(switches[1], sizeof switches[1], "initial_cross=false latent_kv_norm=input %s", cases[i][1]);
        float loss[2][BATCH * CONTEXT * LOSS_COLUMNS];
        float *grads[2];
        for (int k = 0; k < 2; k++) {
            model *m = model_of(be, cases[i][0], switches[k]);
            grads[k] = calloc((size_t)m->params.grads.cols, sizeof(float));
            train_once(m, NULL, k ? 0 : 2, loss[k], grads[k]);
            if (k && memcmp(grads[0], grads[1], (size_t)m->params.grads.cols * sizeof(float)))
                test_failed("%s %s: gradients differ\n", cases[i][0], cases[i][1]);
            model_close(m);
        }
        for (int p = 0; p < BATCH * CONTEXT * LOSS_COLUMNS; p++)
            close_to((double)loss[0][p], (double)loss[1][p], 0, cases[i][0]);
        free(grads[0]);
        free(grads[1]);
    }
    be->close(be);
}

/* Learned queries belong to places counted from the end: with fewer latents, and no layers that mix them, each that is
 * left comes to the same. */
static void learned_queries_count_from_the_end(void **state) {
    (void)state;
    enum { FEW = 5 };
    backend *be;
    tape t;
    int32_t ids[CONTEXT];
    float all[CONTEXT * 24], few[FEW * 24];
    be = test_backend(&(backend_options){.precision = F64});
    must(tape_init(&t, be, 0, &err));
    model *m = model_of(be, "official", "query=learned layers=0");
    for (int i = 0; i < CONTEXT; i++) ids[i] = token(i);
    for (int k = 0; k < 2; k++) {
        sequence row = {.ids = ids, .length = CONTEXT};
        pass p = pass_over(m, &row, 1, k ? FEW : CONTEXT);
        tape_reset(&t);
        tensor *h = model_hidden(&t, m, &p);
        assert_int_equal(h->m.rows, k ? FEW : CONTEXT);
        tape_read(&t, h, k ? few : all);
    }
    for (int i = 0; i < FEW * 24; i++)
        close_to((double)few[i], (double)all[(CONTEXT - FEW) * 24 + i], test_tolerance(1e-6, 1e-5), "a latent of few");
    tape_free(&t);
    model_close(m);
    be->close(be);
}

/* ------------------------------------------------------------------ sparse patterns */

enum { C = 24, HEADS = 2, ROWS = BATCH * CONTEXT };

static bool seen(const model_config *c, bool far, int64_t i, int64_t j) {
    int64_t l = c->sparse.stride;
    if (j > i) return false;
    if (c->sparse.kind == SPARSE_STRIDED) return far ? (i - j) % l == 0 : i - j <= l;
    return far ? j % l >= l - c->sparse.summary : j / l == i / l;
}

/* Plain attention of one query row under the mask, in double. */
static void masked(const model_config *c, bool far, const float *q, const float *k, const float *v, int64_t first,
                   int64_t i, double *o) {
    const int64_t D = C / HEADS;
    for (int64_t h = 0; h < HEADS; h++) {
        double p[CONTEXT], total = 0;
        for (int64_t j = first; j <= i; j++) {
            double score = 0;
            for (int64_t d = 0; d < D; d++) score += (double)q[i * C + h * D + d] * (double)k[j * C + h * D + d];
            p[j] = seen(c, far, i - first, j - first) ? exp(score / sqrt((double)D)) : 0;
            total += p[j];
        }
        for (int64_t d = 0; d < D; d++) {
            o[h * D + d] = 0;
            for (int64_t j = first; j <= i && total > 0; j++)
                o[h * D + d] += p[j] / total * (double)v[j * C + h * D + d];
        }
    }
}

static void compare_pattern(model *m, const char *spec) {
    static const int64_t lengths[BATCH] = {CONTEXT, 21, 1};
    const model_config *c = &m->config;
    static float x[3][ROWS * C], found[ROWS * C];
    int32_t ids[CONTEXT] = {0};
    sequence row[BATCH];
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < ROWS * C; i++)
            x[k][i] = (float)(rng_at(7, RNG_TEST, (uint32_t)k, (uint64_t)i).v[0] % 2001) / 500 - 2;
    for (int r = 0; r < BATCH; r++) row[r] = (sequence){.ids = ids, .length = lengths[r]};
    for (int far = 0; far < 2; far++) {
        tape t;
        batch b;
        must(tape_init(&t, m->be, 0, &err));
        pass in = {.batch = BATCH, .rows = row, .latents = CONTEXT};
        assert_int_equal(batch_make(&b, &t, m, &in, CONTEXT), 0);
        layer_context k = layer_context_make(m, &b);
        k.pattern = sparse_make(&t, m, &in, &b);
        tensor *y[3];
        for (int i = 0; i < 3; i++) y[i] = tape_floats(&t, x[i], ROWS, C);
        tape_read(&t, (far ? sparse_far : sparse_near)(&t, &k, y[0], y[1], y[2]), found);
        for (int64_t i = 0; i < ROWS; i++) {
            int64_t r = i / CONTEXT, first = CONTEXT - lengths[r];
            if (i % CONTEXT < first) continue;
            double o[C];
            int64_t at = r * CONTEXT * C;
            masked(c, far, x[0] + at, x[1] + at, x[2] + at, first, i % CONTEXT, o);
            for (int d = 0; d < C; d++)
                if (!(fabs((double)found[i * C + d] - o[d]) < 1e-5))
                    test_failed("%s, %s, row %d: found %.7f, expected %.7f\n", spec, far ? "far" : "near", (int)i,
                                (double)found[i * C + d], o[d]);
        }
        tape_free(&t);
    }
}

static void sparse_equals_masked(void **state) {
    (void)state;
    static const char *const specs[] = {
        "sparse.stride=1", "sparse.stride=6", "sparse.stride=37", "sparse.kind=fixed sparse.stride=8 sparse.summary=2",
        "sparse.kind=fixed sparse.stride=5 sparse.summary=5", "sparse.kind=fixed sparse.stride=37 sparse.summary=1",
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        backend *be;
        char switches[256];
        be = test_backend(&(backend_options){.threads = 2});
        snprintf(switches, sizeof switches, "architecture=sparse-transformer %s", specs[i]);
        model *m = model_of(be, "default", switches);
        compare_pattern(m, specs[i]);
        model_close(m);
        be->close(be);
    }
}

/* ------------------------------------------------------------------ segment recurrence */

/* Losses of a row's inputs [from, to), all predicting. */
static void run_rows(model *m, model_memory *memory, int64_t from, int64_t to, float *loss) {
    int32_t ids[BATCH * 4 * CONTEXT], targets[BATCH * 4 * CONTEXT];
    sequence row[BATCH];
    tape t;
    int64_t count = to - from, known = !memory ? 0 : from < m->config.memory ? from : m->config.memory;
    must(tape_init(&t, m->be, 0, &err));
    for (int r = 0; r < BATCH; r++) {
        int32_t *own = ids + r * (known + count) + known;
        for (int64_t i = -known; i < count; i++) own[i] = token(1000 * r + (int)(from + i));
        for (int64_t i = 0; i < count; i++) targets[r * count + i] = token(1000 * r + (int)(from + i) + 1);
        row[r] = (sequence){.ids = own, .next = targets + r * count, .length = count, .scored = count, .known = known};
    }
    pass in = {.batch = BATCH, .rows = row, .latents = count, .memory = memory};
    tape_read(&t, model_loss(&t, m, model_hidden(&t, m, &in), &in, &(loss_spec){0}), loss);
    assert_int_equal(t.status, 0);
    tape_free(&t);
}

static void fill_memory(model *m, model_memory *memory) {
    static float loss[BATCH * CONTEXT * LOSS_COLUMNS];
    run_rows(m, memory, 0, CONTEXT, loss);
    memory->current = !memory->current;
    memory->pending = false;
}

/* The gradient of the weighted losses along a random direction against differences, in double. */
static void gradients(void **state) {
    (void)state;
    static const char *const specs[] = {
        "architecture=sparse-transformer sparse.stride=6",
        "architecture=sparse-transformer sparse.kind=fixed sparse.stride=8 sparse.summary=3",
        "architecture=transformer-xl memory=20",
        "architecture=transformer index.orders=1,2 index.places=3 index.width=5",
        "architecture=transformer-xl memory=20 index.orders=1,2 index.places=3 index.width=5",
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        backend *be;
        char switches[256];
        be = test_backend(&(backend_options){.precision = F64});
        snprintf(switches, sizeof switches, "%s", specs[i]);
        model *m = model_of(be, "default", switches);
        model_memory *memory;
        must(model_memory_open(&memory, m, BATCH, &err));
        if (memory) fill_memory(m, memory);
        int64_t n = m->params.grads.cols;
        float *weights = calloc((size_t)n, sizeof *weights), *moved = calloc((size_t)n, sizeof *moved);
        float *grads = calloc((size_t)n, sizeof *grads), *scratch = calloc((size_t)n, sizeof *scratch);
        float loss[BATCH * CONTEXT * LOSS_COLUMNS];
        const double step = 1.0 / 4096;
        double sums[2] = {0}, slope = 0;
        backend_read_floats(be, weights, &m->params.values);
        train_once(m, memory, 0, loss, grads);
        for (int side = 0; side < 2; side++) {
            for (int64_t k = 0; k < n; k++) {
                double direction = (rng_at(8, RNG_TEST, 0, (uint64_t)k).v[0] & 1) ? 1 : -1;
                moved[k] = weights[k] + (float)((side ? -step : step) * direction);
                if (!side) slope += direction * (double)grads[k];
            }
            backend_write_floats(be, &m->params.values, moved);
            train_once(m, memory, 2, loss, scratch);
            for (int k = 0; k < BATCH * CONTEXT; k++) sums[side] += (double)loss[k * LOSS_COLUMNS + LOSS_VALUE];
        }
        close_to(slope, (sums[0] - sums[1]) / (2 * step), 1e-3 * fabs(slope) + 1e-2, specs[i]);
        free(weights);
        free(moved);
        free(grads);
        free(scratch);
        model_memory_close(memory, m);
        model_close(m);
        be->close(be);
    }
}

/* Segments passed one by one through a memory, and all of them in one pass. */
static void segments_equal_whole(void **state) {
    (void)state;
    static const char *const specs[] = {"memory=37", "memory=5", "memory=80", "memory=0",
                                        "memory=50 bias=mlp", "memory=7 index.orders=1,2 index.places=3",
                                        "memory=40 index.orders=1 index.places=16", "memory=0 index.orders=2"};
    static float whole[BATCH * 3 * CONTEXT * LOSS_COLUMNS], part[BATCH * CONTEXT * LOSS_COLUMNS];
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        backend *be;
        char switches[256];
        model_memory *memory;
        be = test_backend(&(backend_options){.precision = F64});
        snprintf(switches, sizeof switches, "architecture=transformer-xl %s", specs[i]);
        model *m = model_of(be, "default", switches);
        must(model_memory_open(&memory, m, BATCH, &err));
        run_rows(m, NULL, 0, 3 * CONTEXT, whole);
        for (int segment = 0; segment < 3; segment++) {
            run_rows(m, memory, segment * CONTEXT, (segment + 1) * CONTEXT, part);
            for (int k = 0; k < BATCH * CONTEXT; k++) {
                int r = k / CONTEXT, n = k % CONTEXT;
                close_to((double)part[k * LOSS_COLUMNS],
                         (double)whole[(r * 3 * CONTEXT + segment * CONTEXT + n) * LOSS_COLUMNS],
                         test_tolerance(1e-6, 1e-5), specs[i]);
            }
        }
        model_memory_close(memory, m);
        model_close(m);
        be->close(be);
    }
}

/* Scores by the formula of the paper, in double. */
static void relative_by_hand(void **state) {
    (void)state;
    enum { N = 23, M = 60, D = C / HEADS };
    static float q[N * C], p[N * C], k[M * C], v[M * C], r[M * C], found[N * C];
    float *const all[] = {q, p, k, v, r};
    backend *be;
    tape t;
    int32_t begin[N], end[N];
    be = test_backend(&(backend_options){.threads = 2});
    must(tape_init(&t, be, 0, &err));
    for (int a = 0; a < 5; a++)
        for (int i = 0; i < (a < 2 ? N : M) * C; i++)
            all[a][i] = (float)(rng_at(11, RNG_TEST, (uint32_t)a, (uint64_t)i).v[0] % 2001) / 1000 - 1;
    for (int n = 0; n < N; n++) {
        end[n] = M - N + n + 1;
        begin[n] = n % 7;
    }
    attend_spec s = {.batch = 1, .heads = HEADS, .scale = 0.3f};
    s.begin = tape_ints(&t, begin, N);
    s.end = tape_ints(&t, end, N);
    tensor *y = attend_relative(&t, tape_floats(&t, q, N, C), tape_floats(&t, p, N, C), tape_floats(&t, k, M, C),
                                tape_floats(&t, v, M, C), tape_floats(&t, r, M, C), &s);
    tape_read(&t, y, found);
    for (int n = 0; n < N; n++)
        for (int h = 0; h < HEADS; h++) {
            double weight[M], total = 0;
            for (int j = begin[n]; j < end[n]; j++) {
                int distance = end[n] - 1 - j;
                double score = 0;
                for (int d = h * D; d < (h + 1) * D; d++)
                    score += (double)q[n * C + d] * (double)k[j * C + d] +
                             (double)p[n * C + d] * (double)r[(M - 1 - distance) * C + d];
                total += weight[j] = exp((double)s.scale * score);
            }
            for (int d = h * D; d < (h + 1) * D; d++) {
                double o = 0;
                for (int j = begin[n]; j < end[n]; j++) o += weight[j] / total * (double)v[j * C + d];
                close_to((double)found[n * C + d], o, 2e-6, "attention with distances");
            }
        }
    tape_free(&t);
    be->close(be);
}

/* ------------------------------------------------------------------ the published Transformer-XL
 * Numbers of the last release of Hugging Face's implementation that has it (transformers 4.35.2, pre_lnorm, untie_r,
 * div_val 1, no cutoffs, mem_len 6, float32): three segments of five tokens for two rows. Element i of its tensor
 * number k is scale sin(1.7 k + 0.61 i) + plus; it multiplies embeddings by the root of the width, 4, and begins
 * with a memory of zeros. */

typedef struct published_tensor {
    const char *name[3]; /* ours, rows of one tensor there */
    int number;
    float scale, plus;
    double norm, projection; /* of its gradient: the root of the sum of squares; with cos(i) */
} published_tensor;

static const published_tensor published[] = {
    {{"token_embedding.weight"}, 0, 0.5f, 0.0f, 31.7516174, -22.2167432},
    {{"layers.0.norm.weight"}, 1, 0.1f, 1.0f, 2.6184485, 1.5184457},
    {{"layers.0.norm.bias"}, 2, 0.1f, 0.0f, 0.9534453, 0.0581144},
    {{"layers.0.attention.query.weight", "layers.0.attention.key.weight", "layers.0.attention.value.weight"},
     3, 0.3f, 0.0f, 29.3906364, 1.2816776},
    {{"layers.0.attention.relative.weight"}, 4, 0.3f, 0.0f, 0.3185638, 0.4825383},
    {{"layers.0.attention.content_bias"}, 5, 0.2f, 0.0f, 0.1417495, 0.0169122},
    {{"layers.0.attention.position_bias"}, 6, 0.2f, 0.0f, 0.0528910, -0.0114926},
    {{"layers.0.attention.output.weight"}, 7, 0.3f, 0.0f, 108.8651962, 5.3670270},
    {{"layers.0.mlp_norm.weight"}, 8, 0.1f, 1.0f, 20.2687397, -14.6833214},
    {{"layers.0.mlp_norm.bias"}, 9, 0.1f, 0.0f, 21.4985409, 0.0773484},
    {{"layers.0.mlp.up.weight"}, 10, 0.3f, 0.0f, 47.3001556, 19.8193986},
    {{"layers.0.mlp.up.bias"}, 11, 0.1f, 0.0f, 14.6604033, -3.0229448},
    {{"layers.0.mlp.down.weight"}, 12, 0.3f, 0.0f, 60.0296288, -44.6151370},
    {{"layers.0.mlp.down.bias"}, 13, 0.1f, 0.0f, 7.8005176, 1.3160232},
    {{"layers.1.norm.weight"}, 14, 0.1f, 1.0f, 1.0487335, 0.8229789},
    {{"layers.1.norm.bias"}, 15, 0.1f, 0.0f, 0.5145339, -0.0230612},
    {{"layers.1.attention.query.weight", "layers.1.attention.key.weight", "layers.1.attention.value.weight"},
     16, 0.3f, 0.0f, 11.4602737, 0.1977486},
    {{"layers.1.attention.relative.weight"}, 17, 0.3f, 0.0f, 0.3223178, -0.7363010},
    {{"layers.1.attention.content_bias"}, 18, 0.2f, 0.0f, 0.2040780, 0.0100640},
    {{"layers.1.attention.position_bias"}, 19, 0.2f, 0.0f, 0.0250105, -0.0062837},
    {{"layers.1.attention.output.weight"}, 20, 0.3f, 0.0f, 49.8085022, -2.6845094},
    {{"layers.1.mlp_norm.weight"}, 21, 0.1f, 1.0f, 14.4306993, 4.9963852},
    {{"layers.1.mlp_norm.bias"}, 22, 0.1f, 0.0f, 18.9879589, -0.4491706},
    {{"layers.1.mlp.up.weight"}, 23, 0.3f, 0.0f, 42.9679184, -70.8117794},
    {{"layers.1.mlp.up.bias"}, 24, 0.1f, 0.0f, 7.9467688, -0.3447054},
    {{"layers.1.mlp.down.weight"}, 25, 0.3f, 0.0f, 30.1590157, 38.0598786},
    {{"layers.1.mlp.down.bias"}, 26, 0.1f, 0.0f, 1.7160788, 0.1053956},
    {{"output.weight"}, 27, 0.3f, 0.0f, 61.0371628, -22.7503756},
    {{"output.bias"}, 28, 0.1f, 0.0f, 2.3893023, -0.5743008},
};
enum { PUBLISHED = sizeof published / sizeof *published, XL_V = 11, XL_T = 5 };

static const double published_logits[4][XL_V] = { /* row 0 at 0 and 4, row 1 at 0 and 4 */
    {5.147561, -6.46848, 6.757132, -6.643573, 5.528775, -3.87736,
     1.926635, 0.5343931, -2.583333, 4.626873, -6.045325},
    {6.14259, -3.966504, 1.036682, 1.658518, -4.430724, 6.630801,
     -7.960362, 8.699552, -8.117664, 6.914265, -4.831134},
    {5.442143, -6.471526, 6.468301, -6.095021, 4.781569, -3.014683,
     1.044524, 1.337735, -3.218474, 5.023106, -6.15854},
    {-2.900445, 3.100056, -3.266714, 2.719674, -2.131506, 1.22717,
     -0.0538808, -0.8295882, 1.973299, -2.615141, 3.075849}};

/* The slice of a parameter by name. */
static parameter_slice slice_named(const model *m, const char *name) {
    for (int i = 0; i < m->params.names; i++) {
        parameter_slice s = parameters_slice(&m->params, i);
        if (!strcmp(s.name, name)) return s;
    }
    test_failed("no parameter %s\n", name);
    return (parameter_slice){0};
}

static void published_weights(model *m) {
    float *values = calloc((size_t)m->params.values.cols, sizeof *values);
    for (int k = 0; k < PUBLISHED; k++) {
        const published_tensor *p = &published[k];
        for (int part = 0, i = 0; part < 3 && p->name[part]; part++) {
            parameter_slice s = slice_named(m, p->name[part]);
            for (int64_t e = 0; e < s.rows * s.cols; e++, i++)
                values[(int64_t)s.offset + e] =
                    (k ? 1 : 4) * ((float)(p->scale * sin(1.7 * p->number + 0.61 * i)) + p->plus);
        }
    }
    backend_write_floats(m->be, &m->params.values, values);
    free(values);
}

static void compare_gradients(const model *m) {
    float *grads = calloc((size_t)m->params.grads.cols, sizeof *grads);
    backend_read_floats(m->be, grads, &m->params.grads);
    for (int k = 0; k < PUBLISHED; k++) {
        const published_tensor *p = &published[k];
        double squares = 0, projection = 0, factor = k ? 1 : 4;
        for (int part = 0, i = 0; part < 3 && p->name[part]; part++) {
            parameter_slice s = slice_named(m, p->name[part]);
            for (int64_t e = 0; e < s.rows * s.cols; e++, i++) {
                double g = factor * (double)grads[(int64_t)s.offset + e];
                squares += g * g;
                projection += g * cos(i);
            }
        }
        close_to(sqrt(squares), p->norm, 2e-5 * p->norm + test_tolerance(2e-6, 1e-5), p->name[0]);
        close_to(projection, p->projection, 2e-5 * p->norm + 2e-5, p->name[0]);
    }
    free(grads);
}

/* Runs a segment; the last one with its loss and the walk back. */
static void published_segment(model *m, model_memory *memory, int segment) {
    int32_t ids[2 * XL_T], targets[2 * XL_T];
    float logits[2 * XL_T * XL_V], loss[2 * XL_T * LOSS_COLUMNS];
    sequence row[2] = {{.ids = ids, .next = targets, .length = XL_T, .scored = XL_T},
                       {.ids = ids + XL_T, .next = targets + XL_T, .length = XL_T, .scored = XL_T}};
    tape t;
    for (int i = 0; i < 2 * XL_T; i++) {
        int at = segment * XL_T + i % XL_T;
        ids[i] = i < XL_T ? (7 * at + 3) % XL_V : (5 * at + 1) % XL_V;
        targets[i] = (3 * ids[i] + 2) % XL_V;
    }
    must(tape_init(&t, m->be, 0, &err));
    t.recording = segment == 2;
    pass p = {.batch = 2, .rows = row, .latents = XL_T, .memory = memory};
    tensor *h = model_hidden(&t, m, &p);
    if (segment == 2) {
        double sum = 0;
        t.recording = false;
        tape_read(&t, model_logits(&t, m, h), logits);
        t.recording = true;
        for (int i = 0; i < 4 * XL_V; i++) {
            int r = i / XL_V / 2, at = i / XL_V % 2 ? XL_T - 1 : 0;
            close_to((double)logits[(r * XL_T + at) * XL_V + i % XL_V], published_logits[i / XL_V][i % XL_V], test_tolerance(2e-5, 1e-4),
                     "a published logit");
        }
        tensor *y = model_loss(&t, m, h, &p, &(loss_spec){.scale = 1});
        tape_read(&t, y, loss);
        for (int i = 0; i < 2 * XL_T; i++) sum += (double)loss[i * LOSS_COLUMNS + LOSS_NATS];
        close_to(sum, 103.5342102, 1e-4, "the published loss");
        parameters_clear_grads(&m->params);
        tape_backward(&t, y);
    }
    assert_int_equal(t.status, 0);
    tape_free(&t);
}

static void published_transformer_xl(void **state) {
    (void)state;
    static const double first[2][3] = {{0.0, 1.1457349, 1.8781987}, {-1.9274459, -1.4624449, 0.1931944}};
    static const double last[2][3] = {{-1.9889193, -1.5097748, -0.4860487}, {1.0973222, 1.9481795, 0.4496484}};
    backend *be;
    model_config c;
    model *m;
    model_memory *memory;
    float held[2 * 6 * 16];
    be = test_backend(&(backend_options){.precision = F64});
    must(settings_model(NULL, &c, &err));
    must(settings_apply_list("architecture=transformer-xl channels=16 heads=2 layers=2 mlp_ratio=2 activation=relu "
                             "norm=layer bias=mlp output_norm=false output_bias=true memory=6 context=5 dropout=0",
                             &model_fields, "", &c, &err));
    c.vocab_size = XL_V;
    must(model_open(&m, &c, be, true, &err));
    published_weights(m);
    must(model_memory_open(&memory, m, 2, &err));
    memory->count[0][0] = memory->count[0][1] = 6; /* of zeros */
    for (int segment = 0; segment < 3; segment++) published_segment(m, memory, segment);
    compare_gradients(m);
    for (int l = 0; l < 2; l++) {
        backend_read_floats(be, held, &memory->state[!memory->current][l]);
        for (int i = 0; i < 3; i++) {
            close_to((double)held[i], first[l][i], 2e-6, "the published memory, first token of row 0");
            close_to((double)held[(6 + 5) * 16 + i], last[l][i], 2e-6, "the published memory, last token of row 1");
        }
    }
    model_memory_close(memory, m);
    model_close(m);
    be->close(be);
}

/* ------------------------------------------------------------------ what architectures say of themselves */

/* A config of the default dialect, small enough for numbers by hand. */
static model_config small_config(const char *switches) {
    model_config c;
    must(settings_model(NULL, &c, &err));
    must(settings_apply_list("context=8 latents=4 channels=4 heads=1 layers=2 vocab_size=10 near=0 index.orders=none",
                             &model_fields, "", &c, &err));
    must(settings_apply_list(switches, &model_fields, "", &c, &err));
    must(model_config_check(&c, &err));
    return c;
}

/* Of a layer: 8 N Z Z for the maps, 4 N K Z for the scores and what they weigh, 16 N Z Z for the MLP. */
static void flops_by_hand(void **state) {
    (void)state;
    static const struct {
        const char *switches;
        double cross, index, self, head;
    } cases[] = {
        {"", 128 + 512 + 512 + 128 + 1024, 0, 2 * (512 + 256 + 1024), 320},
        {"query=linear", 2304 + 128, 0, 3584, 320},
        {"activation=swiglu", 2304 + 512, 0, 2 * (512 + 256 + 1536), 320},
        {"cross_after_layers=1", 2 * 2304, 0, 3584, 320},
        {"latents_per_position=2 positions.rotary.fraction=0", 2304, 0, 3584, 160},
        {"near=3", 128 + 384 + 4 * 4 * 3 * 4 + 128 + 1024, 0, 3584, 320}, /* 6 inputs are read */
        {"near=8", 2304, 0, 3584, 320},
        {"index.orders=2,5 index.places=3 index.width=2", 2304, 4 * 4 * (2 * 3 + 2 * 4), 3584, 320},
        {"architecture=transformer", 0, 0, 2 * (1024 + 1024 + 2048), 640},
        {"architecture=transformer index.orders=5 index.places=3 index.width=2",
         0, 8 * 2 * (2 * 3 + 2 * 4), 2 * (1024 + 1024 + 2048), 640},
        {"architecture=sparse-transformer sparse.stride=2", 0, 0, 2 * (1024 + 4 * 8 * 3 * 4 + 2048), 640},
        {"architecture=sparse-transformer sparse.kind=fixed sparse.stride=4 sparse.summary=2",
         0, 0, 2 * (1024 + 4 * 8 * 4 * 4 + 2048), 640},
        {"architecture=sparse-transformer sparse.stride=8", 0, 0, 2 * (1024 + 1024 + 2048), 640},
        {"architecture=transformer-xl memory=8", 0, 0, 2 * (768 + 1536 + 3072 + 2048), 640},
        {"architecture=transformer-xl memory=0 index.orders=5 index.places=3 index.width=2",
         0, 8 * 2 * (2 * 3 + 2 * 4), 2 * (768 + 768 + 1536 + 2048), 640},
        {"architecture=transformer-xl memory=0", 0, 0, 2 * (768 + 768 + 1536 + 2048), 640},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model_config c = small_config(cases[i].switches);
        model_flops f = model_type_of(&c)->flops(&c, c.context, c.latents);
        close_to(f.cross, cases[i].cross, 0, cases[i].switches);
        close_to(f.self, cases[i].self, 0, cases[i].switches);
        close_to(f.head, cases[i].head, 0, cases[i].switches);
        close_to(f.index, cases[i].index, 0, cases[i].switches);
    }
}

/* Every parameter belongs to a part with a name, and every part that is named has parameters somewhere. */
static void parts_have_names(void **state) {
    (void)state;
    static const char *const specs[] = {
        "positions.kind=learned query=linear cross_after_layers=1 index.orders=2", "positions.kind=learned query=learned",
        "query=mlp latents_per_position=2 positions.rotary.fraction=0",
        "architecture=transformer positions.kind=learned index.orders=2",
        "architecture=sparse-transformer sparse.stride=2 positions.kind=learned index.orders=2",
        "architecture=transformer-xl index.orders=2",
        "architecture=perceiver encoder.blocks=2 encoder.share_first_block=false positions.kind=learned output_norm=true",
        "architecture=perceiver input_features=3 input_channels=4 outputs=2",
        "architecture=perceiver-io positions.kind=learned output_norm=true",
        "architecture=perceiver-io input_features=3 input_channels=4 outputs=2"};
    bool met[16][16] = {{false}};
    const char *const *names = fields_by_key(&model_fields, "architecture")->names;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        backend *be;
        model *m;
        char switches[256];
        snprintf(switches, sizeof switches, "latent_kv_norm=input %s", specs[i]);
        model_config c = small_config(switches);
        must(backend_open(&be, "cpu", NULL, &err));
        backend_make_null(be);
        must(model_open(&m, &c, be, false, &err));
        assert_string_equal(m->type->name, names[c.architecture]);
        for (int k = 0; k < m->params.names; k++) {
            parameter_slice s = parameters_slice(&m->params, k);
            int found = -1;
            for (int p = 0; m->type->parts[p].prefix; p++)
                if (!strncmp(s.name, m->type->parts[p].prefix, strlen(m->type->parts[p].prefix))) found = p;
            if (found < 0) test_failed("%s: %s belongs to no part\n", specs[i], s.name);
            met[c.architecture][found] = true;
        }
        model_close(m);
        be->close(be);
    }
    for (int a = 0; names[a]; a++) {
        model_config c = {.architecture = a};
        const model_part *parts = model_type_of(&c)->parts;
        for (int p = 0; parts[p].prefix; p++)
            if (!met[a][p]) test_failed("%s has no parameters of %s\n", names[a], parts[p].prefix);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flops_by_hand),
        cmocka_unit_test(parts_have_names),
        cmocka_unit_test(published_transformer_xl),
        cmocka_unit_test(segments_equal_whole),
        cmocka_unit_test(relative_by_hand),
        cmocka_unit_test(equals_perceiver), cmocka_unit_test(learned_queries_count_from_the_end),
        cmocka_unit_test(sparse_equals_masked),
        cmocka_unit_test(gradients),
    };
    return run_on_device(tests, NULL, NULL);
}
