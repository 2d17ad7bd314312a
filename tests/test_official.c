/* Parity with the published code (google-research/perceiver-ar): forward passes, losses, gradients and
 * cached decoding against numbers that its model file gave in double precision, for weights that a hash
 * of their names defines. Run in double (to the printed digits) and in float at the best kernel level; on a device in
 * float and in bf16. */
#include "device.h"
#include "config/settings.h"
#include "gen/timeline.h"
#include "model/batch.h"
#include "published.h"

enum { V = 11 };

/* ------------------------------------------------------------------ weights by name */

#define BLOCK(ours, theirs)                                                                        \
    {ours ".attention.query.weight", theirs "/attention/linear:w", true},                          \
        {ours ".attention.query.bias", theirs "/attention/linear:b", false},                       \
        {ours ".attention.key.weight", theirs "/attention/linear_1:w", true},                      \
        {ours ".attention.key.bias", theirs "/attention/linear_1:b", false},                       \
        {ours ".attention.value.weight", theirs "/attention/linear_2:w", true},                    \
        {ours ".attention.value.bias", theirs "/attention/linear_2:b", false},                     \
        {ours ".attention.output.weight", theirs "/attention/linear_3:w", true},                   \
        {ours ".attention.output.bias", theirs "/attention/linear_3:b", false},                    \
        {ours ".mlp.up.weight", theirs "/dense/linear:w", true},                                   \
        {ours ".mlp.up.bias", theirs "/dense/linear:b", false},                                    \
        {ours ".mlp.down.weight", theirs "/dense/linear_1:w", true},                               \
        {ours ".mlp.down.bias", theirs "/dense/linear_1:b", false}
#define CROSS(ours, theirs)                                                                        \
    BLOCK(ours, theirs), {ours ".query_norm.weight", theirs "/layer_norm:scale", false},           \
        {ours ".query_norm.bias", theirs "/layer_norm:offset", false},                             \
        {ours ".input_norm.weight", theirs "/layer_norm_1:scale", false},                          \
        {ours ".input_norm.bias", theirs "/layer_norm_1:offset", false},                           \
        {ours ".mlp_norm.weight", theirs "/layer_norm_2:scale", false},                            \
        {ours ".mlp_norm.bias", theirs "/layer_norm_2:offset", false}
#define SELF(ours, theirs)                                                                         \
    BLOCK(ours, theirs), {ours ".norm.weight", theirs "/layer_norm:scale", false},                 \
        {ours ".norm.bias", theirs "/layer_norm:offset", false},                                   \
        {ours ".mlp_norm.weight", theirs "/layer_norm_1:scale", false},                            \
        {ours ".mlp_norm.bias", theirs "/layer_norm_1:offset", false}
#define P "perceiver_ar/~/"

static const renaming names[] = {
    {"token_embedding.weight", P "embed:embeddings", false},
    {"position_embedding.0.weight", P "embed_1:embeddings", false},
    {"query.weight", P "linear:w", true},
    {"query.bias", P "linear:b", false},
    CROSS("cross", P "cross_attention"),
    CROSS("cross_after.0", P "cross_attention_1"),
    SELF("layers.0", P "self_attention"),
    SELF("layers.1", P "self_attention_1"),
    {"output_norm.weight", "perceiver_ar/layer_norm:scale", false},
    {"output_norm.bias", "perceiver_ar/layer_norm:offset", false},
    {"output.weight", P "logits:w", true},
    {"output.bias", P "logits:b", false},
    {"learned_query.weight", "perceiver_ar:q_embed_learned", false},
    {"latent_slot.weight", P "z_pos_enc:pos_embs", false},
};
/* With a query MLP its layers take the first names. */
static const renaming mlp_names[] = {
    {"query.weight", P "linear_2:w", true},       {"query.bias", P "linear_2:b", false},
    {"query_mlp.0.weight", P "linear:w", true},   {"query_mlp.0.bias", P "linear:b", false},
    {"query_mlp.1.weight", P "linear_1:w", true}, {"query_mlp.1.bias", P "linear_1:b", false},
};

static const renaming *published_name(const model *m, const char *ours) {
    for (size_t i = 0; m->config.query == QUERY_MLP && i < sizeof mlp_names / sizeof *mlp_names; i++)
        if (!strcmp(mlp_names[i].ours, ours)) return &mlp_names[i];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].ours, ours)) return &names[i];
    test_failed("no published name for %s\n", ours);
    return NULL;
}

/* ------------------------------------------------------------------ forward passes */

#define ABSOLUTE "positions.rotary.fraction=0 positions.kind=sinusoidal positions.axes=12 "
#define ROTARY   "positions.rotary.fraction=0.5 "

typedef struct fixture {
    const char *name, *changes;
    bool generated, short_row;
    double sum, squares, first[3], last[3], loss;
    int events;
} fixture;

static const fixture fixtures[] = {
    {"G1 sinusoidal", ABSOLUTE, 0, 0, -6.578661, 64.062756, {1.661368, -0.432403, -0.596915}, {-1.014009, -0.447122, 0.112070}, 16.634238, 6},
    {"G2 rotary", ROTARY, 0, 0, 4.959074, 72.170936, {1.361761, 0.090120, 2.003920}, {0.021218, -0.734454, -0.410044}, 21.260016, 6},
    {"G3 rotary, generated", ROTARY "positions.origin=end ", 1, 0, 7.099061, 80.031455, {1.330172, 0.208810, 1.809470}, {0.427551, -1.262896, -1.177149}, 21.374296, 6},
    {"G4 rotary, generated, negative", ROTARY "positions.origin=negative_end ", 1, 0, 4.959074, 72.170936, {1.361761, 0.090120, 2.003920}, {0.021218, -0.734454, -0.410044}, 21.260016, 6},
    {"G5 sinusoidal, generated", ABSOLUTE "positions.origin=end ", 1, 0, -21.659058, 68.887838, {1.043365, 0.750753, -0.930888}, {-1.318927, -0.966466, 0.866114}, 17.874433, 6},
    {"G6 fourier, generated", ABSOLUTE "positions.kind=fourier positions.origin=end ", 1, 0, 13.851394, 72.885253, {1.262049, -0.182715, 1.587241}, {-1.311761, 1.260616, -0.379056}, 17.156353, 6},
    {"G7 random table", ABSOLUTE "positions.kind=learned ", 0, 0, -1.985324, 70.609490, {1.233514, 0.667951, 0.929164}, {1.026073, -2.208124, -0.302453}, 21.754193, 6},
    {"G8 rotary, half the heads", "positions.rotary.fraction=1 positions.rotary.heads=0.5 ", 0, 0, 5.652801, 75.382733, {1.165905, 0.264516, 1.911648}, {0.232294, -0.851525, -0.509714}, 21.500360, 6},
    {"G9 the same in head groups of 1", "positions.rotary.fraction=1 positions.rotary.heads=0.5 positions.rotary.cross_head_group=1 ", 0, 0, 7.300759, 70.238993, {1.243569, 0.312439, 1.889086}, {0.294982, -0.969933, -0.719196}, 20.454830, 6},
    {"G10 narrow inputs, their width", ABSOLUTE "input_channels=8 ", 0, 0, 1.810934, 81.887790, {1.328624, -1.637028, 0.759894}, {1.211079, -0.985571, 0.983008}, 21.563589, 6},
    {"G11 narrow inputs, latents' width", ABSOLUTE "input_channels=8 cross_width=latent ", 0, 0, -3.987899, 89.200416, {1.934584, -1.772800, -0.292553}, {1.510678, -0.890325, -0.968513}, 22.311872, 6},
    {"G12 two latents per position", ABSOLUTE "latents=6 latents_per_position=2 ", 0, 0, -20.652842, 76.070966, {-1.703194, -1.744403, 0.630711}, {-1.892756, -0.912725, 0.427357}, 20.532548, 6},
    {"G13 query mlp", ABSOLUTE "query=mlp query_layers=2 ", 0, 0, -10.099532, 74.270629, {-0.941348, -1.371154, 0.811900}, {-0.263395, 0.393437, 0.394671}, 13.046714, 6},
    {"G14 learned query", ABSOLUTE "query=learned ", 0, 0, -3.606582, 73.810502, {0.583001, 1.845168, 0.384143}, {-1.504618, -0.123511, -0.035139}, 19.145735, 6},
    {"G15 learned query, shared", ABSOLUTE "query=learned_shared ", 0, 0, -4.860117, 101.333787, {0.583001, 1.845168, 0.384143}, {-1.285321, -1.135652, -0.343200}, 18.078622, 6},
    {"G16 rotary, query offset", ROTARY "positions.rotary.query_offset=1 positions.rotary.base=17 ", 0, 0, 5.443742, 86.999053, {1.333415, 0.096124, 1.943990}, {0.305169, -1.675153, -0.656122}, 22.921704, 6},
    {"G17 cross after layer 0", ABSOLUTE "cross_after_layers=0 ", 0, 0, -7.026057, 80.403454, {2.205061, -0.604223, -1.002657}, {-1.633172, -0.749865, 0.084842}, 18.520955, 6},
    {"G18 no initial cross", ABSOLUTE "initial_cross=false ", 0, 0, 9.821511, 63.547574, {1.955730, -1.243292, -1.552991}, {-0.290839, 0.102207, 0.924862}, 16.941610, 6},
    {"G19 no query residual", ABSOLUTE "query_residual=false ", 0, 0, -8.525851, 64.738114, {0.706818, 0.560529, 0.014419}, {0.291498, -1.339771, -1.469212}, 19.090743, 6},
    {"G20 gelu", ABSOLUTE "activation=gelu_tanh ", 0, 0, -8.297252, 42.135329, {1.107231, -0.765063, -0.492379}, {-1.384304, 0.011536, -0.120711}, 16.199754, 6},
    {"G21 short row", ABSOLUTE, 0, 1, -11.607483, 75.086685, {1.661368, -0.432403, -0.596915}, {-1.671603, -1.295593, 0.408036}, 11.737230, 5},
    {"G22 rotary, short row", ROTARY, 0, 1, 2.712727, 58.690017, {1.361761, 0.090120, 2.003920}, {0.215009, -1.272360, -1.903287}, 14.572283, 5},
    {"G23 one latent", ABSOLUTE "latents=1 ", 0, 0, 5.347073, 24.788647, {0.907357, 0.232133, 1.623362}, {-1.199550, -1.383363, 1.386207}, 2.820768, 1},
    {"G24 (chunks: our tiles)", ABSOLUTE, 0, 0, -6.578661, 64.062756, {1.661368, -0.432403, -0.596915}, {-1.014009, -0.447122, 0.112070}, 16.634238, 6},
};

static const int32_t ids[2][2][7] = {{{2, 5, 9, 4, 7, 3, 10}, {2, 6, 8, 3, 0, 0, 0}},
                                     {{2, 5, 9, 4, 7, 3, 10}, {2, 6, 0, 0, 0, 0, 0}}};
static const int32_t positions[2][2][7] = {{{3, 4, 5, 6, 7, 8, 9}, {1, 2, 3, 4, 0, 0, 0}},
                                           {{3, 4, 5, 6, 7, 8, 9}, {1, 2, 0, 0, 0, 0, 0}}};
static const int32_t targets[2][2][7] = {{{5, 9, 4, 7, 3, 10, 1}, {6, 8, 3, 1, 0, 0, 0}},
                                         {{5, 9, 4, 7, 3, 10, 1}, {6, 1, 0, 0, 0, 0, 0}}};
static const int64_t valid[2][2] = {{7, 4}, {7, 2}};

static model *build(backend *be, const char *changes, int64_t context, bool grads) {
    static const char base[] = "vocab_size=11 context=7 latents=3 channels=16 heads=2 layers=2 "
                               "mlp_ratio=2 positions.rotary.base=16 ";
    model_config c;
    pcv_settings *s;
    model *m = NULL;
    must(pcv_settings_open(&s, &err));
    must(pcv_settings_set(s, "dialect", "official", &err));
    must(settings_model(s, &c, &err));
    must(settings_apply_list(base, &model_fields, "", &c, &err));
    must(settings_apply_list(changes, &model_fields, "", &c, &err));
    c.context = context;
    must(model_open(&m, &c, be, grads, &err));
    published_fill(m, published_name);
    pcv_settings_close(s);
    return m;
}

/* The published masks where they are wrong: a latent without input starts from the last one, and sees all keys alike,
 * padding too. */
static void published_faults(layout *l) {
    l->blind = arena_get(&l->t->host, (size_t)(l->B * l->N) * sizeof *l->blind);
    for (int64_t i = 0; i < l->B * l->N; i++) {
        int64_t r = i / l->N, u = r * l->U + i % l->N * l->U / l->N;
        l->blind[i] = l->step[u] < 0 ? -1 : (int32_t)i;
        if (l->step[u] >= 0) continue;
        l->latent_row[u] = (int32_t)((r + 1) * l->M - 1);
        l->cross_end[i] = (int32_t)l->M;
    }
}

/* The batch of two rows, with the published masks, or with the right ones and no padding. One latent is, as published,
 * always the last slot, padding or not. */
static tensor *forward(tape *t, model *m, const fixture *f, bool published, pass *p) {
    static sequence rows[2];
    static int32_t next[2][7];
    bool one = m->config.latents == 1;
    for (int r = 0; r < 2; r++) {
        int64_t real = valid[f->short_row][r];
        rows[r] = (sequence){.ids = ids[f->short_row][r], .next = next[r], .scored = 7};
        rows[r].positions[0] = f->generated ? NULL : positions[f->short_row][r];
        rows[r].length = published ? 7 : real;
        rows[r].padding = published && !one ? 7 - real : 0;
        for (int i = 0; i < 7; i++) next[r][i] = targets[f->short_row][r][i] > 0 ? targets[f->short_row][r][i] : -1;
    }
    *p = (pass){.batch = 2, .rows = rows, .latents = m->config.latents, .adjust = published ? published_faults : NULL};
    return model_hidden(t, m, p);
}

static const char *name_of(const backend *be) {
    return be->real == F64 ? "double" : be->real == BF16 ? "bf16" : "float";
}

static void check_fixture(backend *be, const fixture *f, double tolerance) {
    model *m = build(be, f->changes, 7, false);
    tape t;
    float logits[6 * V], loss[6 * LOSS_COLUMNS];
    pass p;
    char what[128];
    must(tape_init(&t, be, 0, &err));
    tensor *hidden = forward(&t, m, f, true, &p);
    int64_t rows = hidden->m.rows;
    tape_read(&t, model_logits(&t, m, hidden), logits);
    double sum = 0, squares = 0, total = 0;
    for (int64_t i = 0; i < rows * V; i++) {
        sum += (double)logits[i];
        squares += (double)logits[i] * (double)logits[i];
    }
    tape_read(&t, model_loss(&t, m, hidden, &p, &(loss_spec){.z_loss = 1e-4f}), loss);
    int events = 0;
    for (int64_t i = 0; i < rows; i++) {
        total += (double)loss[LOSS_COLUMNS * i];
        events += p.target[i] >= 0;
    }
    snprintf(what, sizeof what, "%s at %s", f->name, name_of(be));
    assert_int_equal(events, f->events);
    for (int i = 0; i < 3; i++) {
        close_to((double)logits[i], f->first[i], tolerance, what);
        close_to((double)logits[(rows - 1) * V + i], f->last[i], tolerance, what);
    }
    close_to(sum, f->sum, 20 * tolerance, what);
    close_to(squares, f->squares, 40 * tolerance, what);
    close_to(total, f->loss, 10 * tolerance, what);
    tape_free(&t);
    model_close(m);
}

/* Logits of fixtures are 1 to 2 in size; bf16 keeps 8 bits of every weight and of what goes from op to op. */
static const double IN_BF16 = 0.06;

static void forward_passes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) {
        backend *be = test_backend(&(backend_options){.precision = on_host() ? F64 : BF16});
        check_fixture(be, &fixtures[i], test_tolerance(1.5e-6, IN_BF16));
        be->close(be);
        be = test_backend(&(backend_options){.threads = 2});
        check_fixture(be, &fixtures[i], 2e-5);
        be->close(be);
    }
}

/* With the right masks instead of the published ones, every latent that has an input gives the same
 * logits, and a row's padding changes nothing. */
static void right_masks(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) {
        const fixture *f = &fixtures[i];
        tape t;
        backend *be = test_backend(&(backend_options){.precision = F64});
        model *m = build(be, f->changes, 7, false);
        must(tape_init(&t, be, 0, &err));
        float published[6 * V], right[6 * V];
        pass p;
        tape_read(&t, model_logits(&t, m, forward(&t, m, f, true, &p)), published);
        tape_read(&t, model_logits(&t, m, forward(&t, m, f, false, &p)), right);
        int64_t U = m->config.latents / m->config.latents_per_position;
        for (int64_t u = 0; u < 2 * U; u++) {
            bool exists = valid[f->short_row][u / U] - U + u % U >= 0 && (U > 1 || u < U);
            for (int v = 0; v < V && exists; v++)
                close_to((double)right[u * V + v], (double)published[u * V + v], test_tolerance(1e-6, 1e-5), f->name);
        }
        tape_free(&t);
        model_close(m);
        be->close(be);
    }
}

/* ------------------------------------------------------------------ masks and positions */

/* Ranges and rows of one padded row with `valid` real tokens of T, N latents: cases 4 to 8 of the official
 * model tests. Ours has no padding: the row simply ends. */
typedef struct mask_case {
    int T, N, valid;
    int steps[6];
} mask_case;

static const mask_case mask_cases[] = {
    {10, 6, 10, {4, 5, 6, 7, 8, 9}}, {10, 6, 1, {-1, -1, -1, -1, -1, 0}}, {10, 6, 4, {-1, -1, 0, 1, 2, 3}},
    {10, 6, 7, {1, 2, 3, 4, 5, 6}},  {10, 6, 5, {-1, 0, 1, 2, 3, 4}},     {6, 6, 6, {0, 1, 2, 3, 4, 5}},
    {6, 6, 3, {-1, -1, -1, 0, 1, 2}},
};

/* Whole numbers of a tensor, valid until the eighth call from here. */
static const int32_t *ints_of(const backend *be, const tensor *t) {
    static int32_t slots[8][16];
    static int next;
    int32_t *out = slots[next++ % 8];
    assert_true(matrix_bytes(&t->m) <= sizeof slots[0]);
    be->read((backend *)(uintptr_t)be, out, t->m.data, matrix_bytes(&t->m));
    backend_finish((backend *)(uintptr_t)be);
    return out;
}

static void masks(void **state) {
    (void)state;
    tape t;
    backend *be = test_backend(&(backend_options){.level = "reference", .threads = 1});
    model *m = build(be, ABSOLUTE "latents=6 context=10 positions.axes=11 ", 10, false);
    must(tape_init(&t, be, 0, &err));
    for (size_t k = 0; k < sizeof mask_cases / sizeof *mask_cases; k++) {
        const mask_case *c = &mask_cases[k];
        batch b;
        sequence row = {.ids = (int32_t[10]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, .length = c->valid};
        tape_reset(&t);
        must(batch_make(&b, &t, m, &(pass){.batch = 1, .rows = &row, .latents = c->N}, c->N));
        int missing = c->N - c->valid > 0 ? c->N - c->valid : 0;
        for (int n = 0; n < c->N; n++) {
            bool absent = c->steps[n] < 0;
            assert_int_equal(ints_of(be, b.latent_row)[n], c->steps[n]);
            assert_int_equal(ints_of(be, b.cross.begin)[n], 0); /* sees inputs 0..step, its own included */
            assert_int_equal(ints_of(be, b.cross.end)[n], c->steps[n] + 1);
            assert_int_equal(ints_of(be, b.self.begin)[n], absent ? n : missing);
            assert_int_equal(ints_of(be, b.self.end)[n], n + 1);
        }
        assert_int_equal(ints_of(be, b.latent_row)[c->N - 1], c->valid - 1); /* the last stands on the last input */
    }
    tape_free(&t);
    model_close(m);
    be->close(be);
}

/* Positions counted from the end, with the published values on padding: case 3 of the official tests. */
static void terminal_positions(void **state) {
    (void)state;
    static const struct {
        int64_t valid;
        int32_t expected[4];
    } cases[] = {{2, {1, 0, 3, 2}}, {1, {0, 3, 2, 1}}, {0, {3, 2, 1, 0}}, {4, {3, 2, 1, 0}}};
    tape t;
    backend *be = test_backend(&(backend_options){.level = "reference", .threads = 1});
    model *m = build(be, ROTARY "positions.origin=end latents=2 ", 4, false);
    must(tape_init(&t, be, 0, &err));
    for (int k = 0; k < 4; k++) {
        batch b;
        sequence row = {.ids = (int32_t[4]){1, 2, 3, 4}, .length = 4, .padding = 4 - cases[k].valid};
        tape_reset(&t);
        must(batch_make(&b, &t, m, &(pass){.batch = 1, .rows = &row, .latents = 2}, 2));
        for (int i = 0; i < 4; i++) assert_int_equal(ints_of(be, b.rope)[i], cases[k].expected[i]);
    }
    tape_free(&t);
    model_close(m);
    be->close(be);
}

/* ------------------------------------------------------------------ gradients */

typedef struct slope {
    const char *name;
    double norm;     /* 0: not given */
    int count;       /* values given, in the published order */
    double value[3];
} slope;

static const slope slopes[] = {
    {P "logits:b", 0, 3, {0.820740, -1.569434, 0.479210}},
    {P "linear:w", 13.869305, 3, {-0.188118, -0.414148, 0.007269}},
    {P "embed:embeddings", 3.594590, 0, {0}},
    {P "cross_attention/attention/linear:w", 2.162083, 0, {0}},
    {P "cross_attention/attention/linear_1:w", 2.408521, 0, {0}},
    {P "cross_attention/attention/linear_2:w", 10.643480, 0, {0}},
    {P "cross_attention/attention/linear_3:w", 9.680753, 0, {0}},
    {P "cross_attention/layer_norm:scale", 0.574571, 0, {0}},
    {P "cross_attention/layer_norm_1:scale", 2.836868, 0, {0}},
    {P "self_attention/dense/linear_1:w", 17.171371, 0, {0}},
    {P "self_attention_1/attention/linear:w", 0.393374, 0, {0}},
    {"perceiver_ar/layer_norm:scale", 3.778822, 0, {0}},
    {P "logits:w", 10.388277, 0, {0}},
};

static void check_slope(const model *m, const slope *s, double tolerance, double apart) {
    for (int i = 0; i < m->params.names; i++) {
        parameter_slice p = parameters_slice(&m->params, i);
        const renaming *n = published_name(m, p.name);
        if (strcmp(n->published, s->name)) continue;
        int64_t count = p.rows * p.cols;
        float *g = malloc((size_t)count * sizeof *g);
        matrix from = matrix_columns(m->params.grads, (int64_t)p.offset, count);
        backend_read_floats(m->be, g, &from);
        double squares = 0;
        for (int64_t k = 0; k < count; k++) squares += (double)g[k] * (double)g[k];
        char what[256];
        snprintf(what, sizeof what, "gradient of %s at %s", s->name, name_of(m->be));
        if (s->norm > 0) close_to(sqrt(squares), s->norm, tolerance * s->norm, what);
        for (int64_t r = 0; r < p.rows; r++)
            for (int64_t c = 0; c < p.cols; c++) {
                uint32_t k = published_index(n, &p, r, c);
                if (k < (uint32_t)s->count) close_to((double)g[r * p.cols + c], s->value[k], apart, what);
            }
        free(g);
        return;
    }
    test_failed("no parameter %s\n", s->name);
}

/* tolerance: of norms, relative; apart: how far numbers may be. */
static void check_gradients(backend *be, double tolerance, double apart) {
    model *m = build(be, fixtures[0].changes, 7, true);
    tape t;
    float pad[16], key_bias[16];
    pass p;
    must(tape_init(&t, be, 0, &err));
    t.recording = true;
    tensor *hidden = forward(&t, m, &fixtures[0], true, &p);
    tape_backward(&t, model_loss(&t, m, hidden, &p, &(loss_spec){.scale = 1, .z_loss = 1e-4f}));
    float *all = malloc((size_t)m->params.elements * sizeof *all);
    backend_read_floats(be, all, &m->params.grads);
    double squares = 0;
    for (size_t i = 0; i < m->params.elements; i++) squares += (double)all[i] * (double)all[i];
    close_to(sqrt(squares), 44.216241, 44.216241 * tolerance, "gradient norm");
    for (size_t i = 0; i < sizeof slopes / sizeof *slopes; i++) check_slope(m, &slopes[i], tolerance, apart);
    parameter_slice table = parameters_slice(&m->params, parameters_find(&m->params, "token_embedding.weight"));
    parameter_slice bias = parameters_slice(&m->params, parameters_find(&m->params, "cross.attention.key.bias"));
    memcpy(pad, all + table.offset, sizeof pad);
    memcpy(key_bias, all + bias.offset, sizeof key_bias);
    for (int i = 0; i < 16; i++) {
        close_to((double)pad[i], 0, 0, "gradient of the padding's embedding");
        close_to((double)key_bias[i], 0, apart / 5, "gradient of the cross-attention's key bias");
    }
    free(all);
    tape_free(&t);
    model_close(m);
}

static void gradients(void **state) {
    (void)state;
    backend *be = test_backend(&(backend_options){.precision = on_host() ? F64 : BF16});
    check_gradients(be, test_tolerance(1e-3, 0.1), test_tolerance(1e-4, 0.04));
    be->close(be);
    be = test_backend(&(backend_options){.threads = 2});
    check_gradients(be, 1e-3, 1e-4);
    be->close(be);
}

/* ------------------------------------------------------------------ loss */

static void loss_of_one_row(void **state) {
    (void)state;
    static const float row[4] = {1, 2, -0.5f, 0.25f};
    static const float eye[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    static const double expected[2][5] = {
        {0.485348524, 0.22667584, -0.38383119, 0.05057822, 0.10707408},
        {0.225404321, 0.19334250, -0.28383119, 0.01724488, 0.07374075}};
    for (int smooth = 0; smooth < 2; smooth++) {
        backend *be = test_backend(&(backend_options){.precision = F64});
        double tolerance = test_tolerance(3e-8, 1e-6);
        tape t;
        parameters p = {0};
        float loss[LOSS_COLUMNS], grad[4];
        tensor *x = parameters_add(&p, "logits", 1, 4, (param_init){0});
        must(parameters_alloc(&p, be, true, &err));
        must(tape_init(&t, be, 0, &err));
        backend_write_floats(be, &x->m, row);
        t.recording = true;
        tensor *w = tape_floats(&t, eye, 4, 4);
        cross_entropy_spec s = {.w = w, .z_loss = 1e-4f, .smoothing = smooth ? 0.1f : 0};
        s.targets = tape_ints(&t, (int32_t[]){1}, 1);
        s.weight = tape_floats(&t, (float[]){1}, 1, 1);
        tensor *y = cross_entropy(&t, x, &s);
        tape_read(&t, y, loss);
        tape_backward(&t, y);
        backend_read_floats(be, grad, &x->grad);
        close_to((double)loss[0], expected[smooth][0], tolerance, "loss of a row");
        for (int v = 0; v < 4; v++)
            close_to((double)grad[v], expected[smooth][1 + v], tolerance, "gradient of a row's loss");
        tape_free(&t);
        parameters_free(&p);
        be->close(be);
    }
}

/* ------------------------------------------------------------------ cached decoding */

typedef struct decoding {
    const char *changes;
    int32_t prompt[5], tokens[8];
    double sums[8], first[3];
} decoding;

static const decoding decodings[] = {
    {"latents=4 positions.rotary.fraction=0 positions.kind=sinusoidal positions.axes=14 ",
     {2, 5, 9, 4, 7}, {4, 2, 2, 2, 2, 2, 2, 2},
     {3.724534, -5.887343, 0.155086, 0.944975, 0.901223, 1.648516, 0.812218, -0.189868}, {0}},
    {"latents=4 positions.rotary.fraction=0.5 ",
     {2, 8, 10, 6, 9}, {2, 6, 9, 4, 7, 2, 2, 6},
     {3.603374, 1.952109, 0.455322, -1.510100, -3.038172, 1.540672, 1.394009, 3.633197},
     {0.833038, 0.142159, 1.287143}},
};
static const int decoding_latents[8] = {1, 2, 3, 4, 2, 3, 4, 2};

static void decode(backend *be, const decoding *d, double tolerance) {
    model *m = build(be, d->changes, 12, false);
    decoder own;
    timeline w;
    const float *logits;
    must(decoder_open(&own, m, &err));
    must(timeline_open(&w, &own, PCV_REFILL, 4, 1, &err));
    must(timeline_append(&w, d->prompt, 5, &err));
    for (int i = 0; i < 8; i++) {
        must(timeline_logits(&w, &logits, &err));
        int best = 0;
        double sum = 0;
        for (int v = 0; v < V; v++) {
            sum += (double)logits[v];
            if (logits[v] > logits[best]) best = v;
        }
        assert_int_equal(timeline_latents(&w), decoding_latents[i]);
        close_to(sum, d->sums[i], 10 * tolerance, "sum of the logits of a decoding step");
        for (int v = 0; v < 3 && i == 0 && d->first[0] != 0; v++)
            close_to((double)logits[v], d->first[v], tolerance, "first logits of the decoding");
        assert_int_equal(best, d->tokens[i]);
        must(timeline_append(&w, (int32_t[]){best}, 1, &err));
    }
    timeline_close(&w);
    decoder_close(&own);
    model_close(m);
}

/* floor(0.58 * 100) is 57 in the published code, as in any double arithmetic. */
static void rotary_floors(void **state) {
    (void)state;
    static const struct {
        double fraction;
        int64_t of, bands, heads;
    } cases[] = {{0.58, 100, 28, 57}, {0.57, 100, 28, 56}, {0.29, 100, 14, 28}, {0.6, 100, 30, 60},
                 {0.25, 64, 8, 16},   {1, 33, 16, 33},     {0.1, 30, 1, 3},     {1e-9, 1 << 20, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model_config c = {.positions.rotary = {.fraction = cases[i].fraction, .heads = cases[i].fraction}};
        assert_int_equal(model_rotary_bands(&c, cases[i].of), cases[i].bands);
        assert_int_equal(model_rotary_heads(&c, cases[i].of), cases[i].heads);
    }
}

static void cached_decoding(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        backend *be = test_backend(&(backend_options){.precision = on_host() ? F64 : BF16});
        decode(be, &decodings[i], test_tolerance(1.5e-6, IN_BF16));
        be->close(be);
        be = test_backend(&(backend_options){.threads = 2});
        decode(be, &decodings[i], 2e-5);
        be->close(be);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_passes), cmocka_unit_test(right_masks), cmocka_unit_test(masks),
        cmocka_unit_test(terminal_positions), cmocka_unit_test(gradients),
        cmocka_unit_test(loss_of_one_row), cmocka_unit_test(rotary_floors), cmocka_unit_test(cached_decoding)};
    return run_on_device(tests, NULL, NULL);
}
