/* Every distribution of a timeline against its definition (gen/timeline.h), computed without caches: for every
 * window policy, dialect and architecture, tiny sizes, random weights, gains and biases of norms included, and
 * random histories of tokens and requests; and causality. */
#include "device.h"
#include "base/rng.h"
#include "config/settings.h"
#include "gen/timeline.h"

static const char *const variants[] = {
    "default:", "official:", "krasserm:", "lucidrains:", "flaxformer:",
    /* single switches */
    "default:qk_norm=true self_reach=3", "lucidrains:qk_norm=true self_reach=2", "official:query_residual=false",
    "official:positions.kind=sinusoidal positions.rotary.fraction=0",
    "official:positions.kind=fourier positions.rotary.fraction=0 positions.origin=zero",
    "official:cross_after_layers=0 input_channels=16", "official:input_channels=4 cross_width=latent",
    "krasserm:cross_after_layers=0", "flaxformer:cross_after_layers=0", "official:initial_cross=false",
    "official:initial_cross=false cross_after_layers=0",
    "official:query=mlp positions.kind=learned positions.rotary.fraction=0",
    "krasserm:positions.kind=none positions.rotary.layers=-1", "krasserm:norm=rms positions.rotary.endpoint=true",
    "official:positions.origin=end positions.rotary.fraction=0.5", "krasserm:positions.origin=end",
    "official:positions.origin=negative_end", "official:positions.rotary.query_offset=1 positions.rotary.heads=0.5",
    "official:latents_per_position=2 positions.rotary.fraction=0 positions.kind=learned",
    "lucidrains:latents_per_position=2 positions.rotary.fraction=0 self_reach=3",
    "official:query=learned positions.kind=learned positions.rotary.fraction=0", "official:query=learned_shared",
    "default:positions.kind=learned positions.origin=data positions.axes=2,3", /* with a map */
    "krasserm:positions.origin=data positions.axes=2,3",
    "official:positions.kind=sinusoidal positions.rotary.fraction=0 positions.middle=5", "krasserm:positions.middle=3",
    "official:positions.middle=4", "official:initial_cross=false positions.middle=2",
    /* index heads, and inputs that are not near */
    "default:near=5 index.orders=1,2 index.places=3", "default:near=1", "default:index.orders=1,3 index.places=2",
    "official:near=3 index.orders=1,2", "krasserm:near=4 index.orders=1", "lucidrains:near=7 index.orders=2,1",
    "flaxformer:near=6 cross_after_layers=0 index.orders=1", "default:near=4 self_reach=3 qk_norm=true",
    "official:near=5 positions.kind=learned positions.rotary.fraction=0 index.orders=1,2",
    "official:near=2 query=learned positions.kind=learned positions.rotary.fraction=0 index.orders=1",
    "official:near=4 positions.origin=end positions.rotary.fraction=0.5 index.orders=1",
    "official:near=5 latents_per_position=2 positions.rotary.fraction=0 positions.kind=learned index.orders=1",
    "official:near=6 positions.middle=4 index.orders=1", "default:architecture=transformer index.orders=1,2",
    "krasserm:architecture=sparse-transformer sparse.stride=3 index.orders=1",
    /* other architectures */
    "default:architecture=transformer", "official:architecture=transformer positions.kind=learned",
    "krasserm:architecture=transformer", "lucidrains:architecture=transformer", "flaxformer:architecture=transformer",
    "default:architecture=sparse-transformer sparse.stride=5",
    "official:architecture=sparse-transformer sparse.kind=fixed sparse.stride=3 sparse.summary=1",
    "krasserm:architecture=sparse-transformer sparse.kind=fixed sparse.stride=7 sparse.summary=2",
    "lucidrains:architecture=sparse-transformer sparse.stride=2",
    "flaxformer:architecture=sparse-transformer sparse.kind=fixed sparse.stride=4 sparse.summary=3",
    "default:architecture=transformer-xl memory=13", "official:architecture=transformer-xl memory=5",
    "krasserm:architecture=transformer-xl memory=0", "lucidrains:architecture=transformer-xl",
    "flaxformer:architecture=transformer-xl memory=1", "default:architecture=transformer-xl positions.middle=3",
    "default:architecture=transformer-xl memory=13 index.orders=1,2 index.places=3",
    "krasserm:architecture=transformer-xl memory=0 index.orders=1",
    "default:architecture=sparse-transformer sparse.kind=fixed sparse.stride=3 positions.middle=4",
};
#define COUNT(array) (int)(sizeof(array) / sizeof *(array))
enum { VARIANTS = sizeof variants / sizeof *variants, VOCAB = 23 };

static int32_t token(int i) { return (int32_t)(rng_at(9, RNG_TEST, 0, (uint64_t)i).v[0] % VOCAB); }

/* ------------------------------------------------------------------ models */

typedef struct size {
    int64_t context, latents, layers, channels;
} size;

/* Rows and columns of a table of three columns, that the tokens behind the start fill again and again. */
enum { TABLE = 6 };
static void map_at(const void *context, int64_t index, int32_t *at) {
    (void)context;
    at[0] = index ? (int32_t)((index - 1) % TABLE / 3) : 0;
    at[1] = index ? (int32_t)((index - 1) % 3) : 0;
}
static int64_t map_place(const void *context, int64_t index) {
    (void)context;
    return index > TABLE ? (index - 1) % TABLE + 1 : index;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void fit(model_config *c, const size *s) {
    c->context = s->context;
    c->latents = s->latents;
    c->layers = s->layers;
    c->vocab_size = VOCAB;
    c->sparse.stride = least(c->sparse.stride, c->context);
    c->sparse.summary = least(c->sparse.summary, c->sparse.stride);
    if (!c->layers) c->cross_after_layers.count = 0;
    if (c->latents % c->latents_per_position) c->latents = c->context - c->context % c->latents_per_position;
}

/* Nothing as it is at first: gains are not 1, biases not 0. */
static void randomize(model *m) {
    for (int i = 0; i < m->params.count; i++) {
        const matrix *to = &m->params.list[i]->t.m;
        param_init init = m->params.list[i]->init;
        size_t count = (size_t)(to->rows * to->cols);
        float *values = malloc(count * sizeof *values);
        rng r = rng_make(17, RNG_TEST, (uint32_t)i);
        double scale = init.kind == INIT_FAN_IN || init.kind == INIT_NORMAL ? 1.7 / sqrt((double)to->cols) : 0.8;
        for (size_t k = 0; k < count; k++)
            values[k] = (float)((init.kind == INIT_ONE) + scale * (2 * rng_uniform(&r) - 1));
        backend_write_floats(m->be, to, values);
        free(values);
    }
}

static model *variant(backend *be, const char *spec, const size *s) {
    char dialect[64];
    snprintf(dialect, sizeof dialect, "%.*s", (int)strcspn(spec, ":"), spec);
    model_config c;
    pcv_settings *chosen;
    model *m = NULL;
    must(pcv_settings_open(&chosen, &err));
    must(pcv_settings_set(chosen, "dialect", dialect, &err));
    must(settings_model(chosen, &c, &err));
    must(settings_apply_list("heads=2 zero_head=false", &model_fields, "", &c, &err));
    c.channels = s->channels;
    must(settings_apply_list(strchr(spec, ':') + 1, &model_fields, "", &c, &err));
    fit(&c, s);
    must(model_open(&m, &c, be, false, &err));
    randomize(m);
    if (c.positions.origin == ORIGIN_DATA) m->positions = (position_map){map_at, map_place, NULL};
    pcv_settings_close(chosen);
    return m;
}

/* ------------------------------------------------------------------ the definition */

/* What one pass without caches makes of a window. */
typedef struct run_of {
    int64_t from, to; /* tokens of the timeline */
    int64_t place;          /* number of the first */
    int64_t latents, reach; /* positions; reach 0: as the model has it */
} run_of;

static void uncached(model *m, tape *t, const run_of *p, const int32_t *ids, float *logits) {
    tape_reset(t);
    sequence row = {.ids = ids + p->from, .length = p->to - p->from, .before = p->place};
    int64_t group = m->config.latents_per_position, own = m->config.self_reach, reach = p->reach * group;
    if (reach && (!own || reach < own)) m->config.self_reach = reach;
    pass in = {.batch = 1, .rows = &row, .latents = p->latents * group};
    tensor *h = model_hidden(t, m, &in);
    tape_read(t, model_logits(t, m, tape_rows(t, h, h->m.rows - 1, 1)), logits);
    m->config.self_reach = own;
}

/* A reader of gen/timeline.h with pencil and paper. */
typedef struct definition {
    const model *m;
    int window;
    int64_t N, first;
    int64_t from, place, asked, L; /* of the last request; asked: how many tokens there were, 0 at the start */
} definition;

static run_of define(definition *d, int64_t tokens) {
    const model_config *c = &d->m->config;
    bool exact = d->window == PCV_EXACT || c->positions.origin >= ORIGIN_END || c->query == QUERY_LEARNED;
    bool crosses = d->m->type->has_latents && (c->initial_cross || c->cross_after_layers.count);
    if (d->m->type->remembers) return (run_of){0, tokens, 0, 1, 0};
    int64_t half = d->N / 2 ? d->N / 2 : 1, excess = tokens - d->from - c->context;
    if (excess > 0) {
        int64_t least_gone = exact || d->N < 4 ? 1 : half;
        d->from += excess > least_gone ? excess : least_gone;
        d->asked = 0;
    }
    int64_t place = model_place(d->m, d->from, tokens - d->from, 0);
    if (place != d->place && (c->positions.kind != POSITION_NONE || !crosses)) d->asked = 0;
    if (tokens != d->asked) d->L = d->asked && tokens == d->asked + 1 ? d->L + 1 : d->first;
    if (d->window != PCV_SLIDE && d->L > d->N) d->L = half;
    if (exact) d->L = d->N;
    d->L = least(d->L, tokens - d->from);
    d->asked = tokens;
    d->place = place;
    return (run_of){d->from, tokens, place, d->L, d->window == PCV_SLIDE && !exact ? d->N : 0};
}

/* ------------------------------------------------------------------ histories */

typedef struct story {
    const char *spec;
    const size *size;
    int window;
    int64_t latents, first; /* as given to timeline_open */
    bool from_one; /* begins with a single token */
    uint64_t seed; /* of the rest */
} story;

static void compare(const float *found, const float *expected, const story *s, const run_of *p) {
    for (int v = 0; v < VOCAB; v++)
        if (!(fabs((double)(found[v] - expected[v])) < test_tolerance(4e-6, 2e-4) * (1 + fabs((double)expected[v]))))
            test_failed("%s, context %d, %d latents, %d layers, window %d, --latents %d, first %d: tokens %d to %d, "
                        "%d latents: logit %d is %.7f, by definition %.7f\n",
                        s->spec, (int)s->size->context, (int)s->size->latents, (int)s->size->layers, s->window,
                        (int)s->latents, (int)s->first, (int)p->from, (int)p->to, (int)p->latents, v,
                        (double)found[v], (double)expected[v]);
}

/* Mostly one token and a request, as in generation; now and then several tokens, no request, or a long text. */
static int64_t next_feed(rng *r, int64_t context) {
    uint64_t kind = rng_below(r, 24);
    if (kind == 0) return (int64_t)rng_below(r, (uint64_t)(3 * context + 3));
    if (kind <= 2) return (int64_t)rng_below(r, 4);
    return 1;
}

static void follow(model *m, tape *t, const story *s) {
    enum { MOST = 1000 };
    decoder own;
    timeline w;
    int32_t ids[MOST];
    float expected[VOCAB];
    const float *logits;
    int64_t context = m->config.context, group = m->config.latents_per_position;
    int64_t tokens = 0, most = 4 * context + 24, requests = context + 40;
    rng r = rng_make(s->seed, RNG_TEST, 1);
    for (int i = 0; i < MOST; i++) ids[i] = token(i);
    must(decoder_open(&own, m, &err));
    must(timeline_open(&w, &own, s->window, s->latents * group, s->first * group, &err));
    definition d = {.m = m, .window = s->window, .N = s->latents ? s->latents : m->config.latents / group};
    if (!m->type->has_latents) d.N = d.first = context;
    else d.first = s->first ? s->first : d.N / 2 ? d.N / 2 : 1;
    while (requests-- > 0 && tokens < most) {
        int64_t prompt = s->from_one ? 1 : 1 + (int64_t)rng_below(&r, (uint64_t)context + 4);
        int64_t count = tokens ? next_feed(&r, context) : prompt;
        must(timeline_append(&w, ids + tokens, (size_t)count, &err));
        tokens += count;
        if (rng_below(&r, 16) == 0) continue; /* the next tokens come in another piece */
        run_of p = define(&d, tokens);
        must(timeline_logits(&w, &logits, &err));
        uncached(m, t, &p, ids, expected);
        compare(logits, expected, s, &p);
        if (!w.remembers) assert_int_equal(timeline_latents(&w), p.reach ? least(p.latents, d.N) : p.latents);
    }
    timeline_close(&w);
    decoder_close(&own);
}

static void follow_policies(model *m, const char *spec, const size *s, uint64_t *seed) {
    int last = m->type->remembers ? PCV_REFILL : PCV_SLIDE;
    int64_t most = m->config.query == QUERY_LEARNED ? m->config.latents : m->config.context;
    tape t;
    must(tape_init(&t, m->be, 0, &err));
    for (int window = PCV_REFILL; window <= last; window++)
        for (int kind = 0; kind < 3; kind++) {
            story y = {.spec = spec, .size = s, .window = window, .from_one = kind == 0, .seed = (*seed)++};
            if (kind == 1) y.first = 1;
            if (kind == 2) y.first = y.latents = (most + 1) / 2;
            follow(m, &t, &y);
        }
    tape_free(&t);
}

static void every_policy_as_defined(void **state) {
    (void)state;
    static const size sizes[] = {{3, 2, 1, 4}, {2, 2, 1, 4}, {1, 1, 1, 4}, {7, 3, 0, 8}, {9, 4, 2, 8},
                                 {8, 8, 1, 8}, {12, 5, 1, 8}, {13, 6, 2, 4}, {5, 1, 1, 4}};
    uint64_t seed = 1;
    backend *be = test_backend(&(backend_options){.precision = F64});
    for (int v = 0; v < VARIANTS; v++)
        for (int i = 0; i < COUNT(sizes); i++) {
            if (!test_takes(v * COUNT(sizes) + i)) continue;
            if (strstr(variants[v], "latents_per_position=2") && sizes[i].context < 2) continue;
            model *m = variant(be, variants[v], &sizes[i]);
            follow_policies(m, variants[v], &sizes[i], &seed);
            model_close(m);
        }
    be->close(be);
}

/* ------------------------------------------------------------------ causality */

enum { CONTEXT = 40, LATENTS = 8 };

/* Log-probabilities of earlier targets do not change, bit for bit, when later tokens do. */
static void causality(void **state) {
    (void)state;
    static const int lengths[] = {1, 2, 9, 33, 40}, latents[] = {1, 5, 8, 33};
    for (int v = 0; v < VARIANTS; v++) {
        if (strstr(variants[v], "=end")) continue; /* positions count from the end there */
        if (!test_takes(3 * v)) continue;
        backend *be = test_backend(&(backend_options){.threads = 1});
        model *m = variant(be, variants[v], &(size){CONTEXT, LATENTS, 3, 24});
        for (int i = 0; i < 20; i++) {
            int length = lengths[i % 5], group = (int)m->config.latents_per_position;
            int N = latents[i / 5] < length ? latents[i / 5] : length;
            if (m->config.query >= QUERY_LEARNED && N > LATENTS) continue;
            float loss[2][CONTEXT * LOSS_COLUMNS];
            int32_t ids[CONTEXT + 1], changed = length - 1 - (N - 1) / 2; /* within the latents */
            for (int changes = 0; changes < 2; changes++) {
                tape t;
                for (int k = 0; k <= length; k++) ids[k] = token(k + (changes && k >= changed ? 500 : 0));
                must(tape_init(&t, be, 0, &err));
                int32_t targets[CONTEXT];
                for (int k = 0; k < length; k++) targets[k] = token(k + 1);
                sequence row = {.ids = ids, .next = targets, .length = length, .scored = N};
                pass in = {.batch = 1, .rows = &row, .latents = N * group};
                tensor *h = model_hidden(&t, m, &in);
                tape_read(&t, model_loss(&t, m, h, &in, &(loss_spec){0}), loss[changes]);
                tape_free(&t);
            }
            int before = changed - (length - N); /* predictions that cannot know the change */
            if (memcmp(loss[0], loss[1], (size_t)(LOSS_COLUMNS * before) * sizeof(float)))
                test_failed("%s, length %d, %d latents: a change at %d alters what stands before it\n",
                            variants[v], length, N, changed);
            if (before < N && !memcmp(loss[0] + LOSS_COLUMNS * before, loss[1] + LOSS_COLUMNS * before, sizeof(float)))
                test_failed("%s, length %d, %d latents: the change at %d has no effect at all\n",
                            variants[v], length, N, changed);
        }
        model_close(m);
        be->close(be);
    }
}

/* ------------------------------------------------------------------ many on one decoder */

enum { TOGETHER = 5, ROUNDS = 24 };

/* A timeline on the decoder of all, and one that lives the same on a decoder of its own. */
typedef struct twin {
    timeline shared, lone;
    decoder own;
    bool asked;
} twin;

static void twin_open(twin *x, decoder *all, model *m, int window) {
    must(timeline_open(&x->shared, all, window, 0, 0, &err));
    must(decoder_open(&x->own, m, &err));
    must(timeline_open(&x->lone, &x->own, window, 0, 0, &err));
}

static void twin_close(twin *x) {
    timeline_close(&x->shared);
    timeline_close(&x->lone);
    decoder_close(&x->own);
}

static void twin_append(twin *x, rng *r, int64_t count) {
    for (; count > 0; count--) {
        int32_t id = token((int)rng_below(r, 1000));
        must(timeline_append(&x->shared, &id, 1, &err));
        must(timeline_append(&x->lone, &id, 1, &err));
    }
}

/* What happens to a timeline between two requests: mostly one token, sometimes several, none, or an end of it goes. */
static void twin_live(twin *x, rng *r) {
    int64_t length = timeline_length(&x->shared), kept = 1 + (int64_t)rng_below(r, (uint64_t)length);
    switch (rng_below(r, 12)) {
    case 0: twin_append(x, r, 1 + (int64_t)rng_below(r, 6)); break;
    case 1: break;
    case 2:
        if (timeline_truncate(&x->shared, kept) != timeline_truncate(&x->lone, kept)) test_failed("%s\n", "one truncates");
        break;
    default: twin_append(x, r, 1);
    }
}

/* A device's library may sum a product of several rows in another order. */
static bool as_alone(const float *together, const float *alone) {
    if (on_host()) return !memcmp(together, alone, VOCAB * sizeof *alone);
    for (int v = 0; v < VOCAB; v++)
        if (!(fabs((double)(together[v] - alone[v])) <= 1e-4 * (1 + fabs((double)alone[v])))) return false;
    return true;
}

/* Logits of many timelines in one pass have the bits that each has alone. */
static void same_together(model *m, const char *spec, int window) {
    static twin all[TOGETHER];
    decoder d;
    rng r = rng_make(31, RNG_TEST, (uint32_t)window);
    int passes = 0;
    must(decoder_open(&d, m, &err));
    for (int i = 0; i < TOGETHER; i++) {
        twin_open(&all[i], &d, m, window);
        twin_append(&all[i], &r, 1 + (int64_t)rng_below(&r, 12));
    }
    for (int round = 0; round < ROUNDS; round++) {
        timeline *asked[TOGETHER];
        int64_t count = 0;
        for (int i = 0; i < TOGETHER; i++) {
            if (round) twin_live(&all[i], &r);
            all[i].asked = rng_below(&r, 5) > 0;
            if (all[i].asked) asked[count++] = &all[i].shared;
        }
        if (rng_below(&r, 8) == 0) { /* one leaves, and its slot is somebody else's */
            twin *x = &all[rng_below(&r, TOGETHER)];
            if (!x->asked) {
                twin_close(x);
                twin_open(x, &d, m, window);
                twin_append(x, &r, 1 + (int64_t)rng_below(&r, 5));
            }
        }
        if (count) must(timelines_logits(asked, count, &err));
        passes += count > 1;
        for (int i = 0; i < TOGETHER; i++) {
            const float *logits;
            if (!all[i].asked) continue;
            must(timeline_logits(&all[i].lone, &logits, &err));
            if (!as_alone(all[i].shared.logits, logits))
                test_failed("%s, window %d, round %d, timeline %d: logit 0 is %.9g together, %.9g alone\n", spec, window,
                            round, i, (double)all[i].shared.logits[0], (double)logits[0]);
        }
    }
    assert_true(passes > ROUNDS / 2);
    for (int i = 0; i < TOGETHER; i++) twin_close(&all[i]);
    decoder_close(&d);
}

static void together_as_alone(void **state) {
    (void)state;
    backend *be = test_backend(&(backend_options){.threads = 1});
    for (int v = 0; v < VARIANTS; v++) {
        if (!test_takes(3 * v)) continue;
        model *m = variant(be, variants[v], &(size){12, 5, 2, 16});
        for (int window = PCV_REFILL; window <= (m->type->remembers ? PCV_REFILL : PCV_SLIDE); window++)
            same_together(m, variants[v], window);
        model_close(m);
    }
    be->close(be);
}

/* What goes on from a copy, and what goes on from a shorter timeline, is what a fresh one of the same tokens says. */
static void ends_and_copies(void **state) {
    (void)state;
    backend *be = test_backend(&(backend_options){.precision = F64});
    for (int v = 0; v < VARIANTS; v++) {
        if (!test_takes(3 * v)) continue;
        model *m = variant(be, variants[v], &(size){12, 5, 2, 8});
        decoder d;
        timeline a, b, fresh;
        const float *x, *y;
        int32_t ids[30];
        for (int i = 0; i < 30; i++) ids[i] = token(i + 77);
        must(decoder_open(&d, m, &err));
        must(timeline_open(&a, &d, PCV_REFILL, 0, 0, &err));
        must(timeline_open(&b, &d, PCV_REFILL, 0, 0, &err));
        must(timeline_open(&fresh, &d, PCV_REFILL, 0, 0, &err));
        must(timeline_append(&a, ids, 6, &err));
        for (int i = 6; i < 10; i++) {
            must(timeline_logits(&a, &x, &err));
            must(timeline_append(&a, ids + i, 1, &err));
        }
        timeline_copy(&b, &a);
        for (int i = 10; i < 30; i++) { /* both go on alike, past the context */
            must(timeline_append(&a, ids + i, 1, &err));
            must(timeline_append(&b, ids + i, 1, &err));
            must(timeline_logits(&a, &x, &err));
            must(timeline_logits(&b, &y, &err));
            if (memcmp(x, y, VOCAB * sizeof *x)) test_failed("%s: a copy differs at token %d\n", variants[v], i);
        }
        timeline_reset(&a);
        must(timeline_append(&a, ids, 11, &err));
        must(timeline_logits(&a, &x, &err));
        must(timeline_append(&a, ids + 11, 1, &err));
        must(timeline_logits(&a, &x, &err));
        assert_true(timeline_truncate(&a, 9));
        assert_int_equal(timeline_length(&a), 9);
        must(timeline_append(&a, ids + 20, 2, &err));
        must(timeline_append(&fresh, ids, 9, &err));
        must(timeline_append(&fresh, ids + 20, 2, &err));
        must(timeline_logits(&a, &x, &err));
        must(timeline_logits(&fresh, &y, &err));
        for (int i = 0; i < VOCAB; i++) close_to((double)x[i], (double)y[i], test_tolerance(1e-5, 2e-4), variants[v]);
        must(timeline_append(&b, ids, 30, &err));
        must(timeline_logits(&b, &x, &err));
        timeline_copy(&a, &b); /* which has lost tokens */
        assert_int_equal(timeline_length(&a), timeline_length(&b));
        assert_false(timeline_truncate(&b, 1)); /* it has left the window */
        assert_false(timeline_truncate(&b, timeline_length(&b) + 1));
        assert_true(timeline_truncate(&b, 0));
        assert_int_equal(timeline_length(&b), 0);
        timeline_close(&a);
        timeline_close(&b);
        timeline_close(&fresh);
        decoder_close(&d);
        model_close(m);
    }
    be->close(be);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_policy_as_defined), cmocka_unit_test(causality),
                                       cmocka_unit_test(together_as_alone), cmocka_unit_test(ends_and_copies)};
    return run_on_device(tests, NULL, NULL);
}
