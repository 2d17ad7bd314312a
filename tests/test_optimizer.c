/* What an update does to the weights, against numbers worked out in double: AdamW with its bias corrections, which
 * parameters decay, the gradient's norm, averaged weights; and through whole runs of one or two updates: clipping,
 * accumulation, averages and warm-up. */
#include "scratch.h"
#include "device.h"
#include "config/settings.h"
#include "gen/engine.h"
#include "train/optimizer.h"

/* Hundreds of files are made here; whether the disk has them by then is not the question. */
int fsync(int fd) { return fd < 0 ? -1 : 0; }

/* ------------------------------------------------------------------ AdamW */

enum { MAP = 3 * 5, VECTOR = 7, MOST = MAP, UPDATES = 5 };

static float initial(int list, int i) { return 0.1f * (float)((i * 5 + list) % 11) - 0.45f; }
static float gradient(int list, int step, int i) { return 0.2f * (float)((i * 3 + step * 7 + list) % 13) - 1.1f; }

/* A matrix that decays, a vector that does not, and a matrix that takes part in the third update alone. */
static void declare(parameters *p, backend *be) {
    parameters_add(p, "map.weight", 3, 5, (param_init){.decay = true});
    parameters_add(p, "map.bias", 1, VECTOR, (param_init){.vector = true});
    parameters_add(p, "seldom.weight", 3, 5, (param_init){.decay = true});
    must(parameters_alloc(p, be, true, &err));
}

static bool takes_part(int list, int step) { return list < 2 || step == 2; }

/* As the paper has it (Loshchilov and Hutter 2019, algorithm 2), one number at a time. */
static double expected_weight(const train_config *c, int list, int i, const double *lr, const double *scale) {
    double w = (double)initial(list, i), m = 0, v = 0;
    for (int step = 0; step < UPDATES; step++) {
        double g = (double)gradient(list, step, i) * scale[step], t = step + 1, decay = list == 1 ? 0 : c->weight_decay;
        if (!takes_part(list, step)) continue;
        m = c->beta1 * m + (1 - c->beta1) * g;
        v = c->beta2 * v + (1 - c->beta2) * g * g;
        double m_hat = m / (1 - pow(c->beta1, t)), v_hat = v / (1 - pow(c->beta2, t));
        w -= lr[step] * (m_hat / (sqrt(v_hat) + c->epsilon) + decay * w);
    }
    return w;
}

/* Three updates of one tensor, as optax has them; and of a second one, which shares a product with it. */
static void an_update_is_lamb(void **state) {
    (void)state;
    static const float weights[2] = {3, 4}, gradients[3][2] = {{0.3f, -0.4f}, {-0.1f, 0.2f}, {0.5f, 0.1f}};
    static const double expected[3][2] = {{2.546020, 4.209529}, {2.067227, 4.096476}, {1.638565, 3.932788}};
    train_config c = {.optimizer = OPTIMIZER_LAMB, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-6, .weight_decay = 0.1};
    const char *const *level;
    must(backend_levels(&level, test_device(), &err));
    for (; *level; level++) {
        backend *be;
        parameters p = {0};
        optimizer o;
        float values[4];
        must(backend_open(&be, test_device(), &(backend_options){.level = *level, .threads = 2}, &err));
        parameters_add(&p, "{one,two}.weight", 2, 2, (param_init){.decay = true});
        must(parameters_alloc(&p, be, true, &err));
        must(optimizer_open(&o, &p, &c, &err));
        for (int i = 0; i < 4; i++) values[i] = weights[i % 2] * (i < 2 ? 1 : 10);
        backend_write_floats(be, &p.list[0]->t.m, values);
        for (int step = 0; step < 3; step++) {
            for (int i = 0; i < 4; i++) values[i] = gradients[step][i % 2];
            backend_write_floats(be, &p.list[0]->t.grad, values);
            p.list[0]->t.grad_written = true;
            optimizer_step(&o, &c, step, 0.1, 1);
            backend_read_floats(be, values, &p.list[0]->t.m);
            for (int i = 0; i < 2; i++) close_to((double)values[i], expected[step][i], 1e-5, *level);
        }
        assert_true(fabsf(values[2] - 30) > 1); /* its own length counts */
        optimizer_close(&o);
        parameters_free(&p);
        be->close(be);
    }
}

static void an_update_is_adamw(void **state) {
    (void)state;
    static const double lr[UPDATES] = {0.1, 0.02, 0.3, 0.05, 0.01}, scale[UPDATES] = {1, 0.25, 1, 3, 1};
    static const int sizes[] = {MAP, VECTOR, MAP};
    train_config c = {.beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3, .weight_decay = 0.5};
    const char *const *level;
    must(backend_levels(&level, test_device(), &err));
    for (; *level; level++) {
        backend *be;
        parameters p = {0};
        optimizer o;
        must(backend_open(&be, test_device(), &(backend_options){.level = *level, .threads = 2}, &err));
        declare(&p, be);
        must(optimizer_open(&o, &p, NULL, &err));
        float values[MOST];
        for (int k = 0; k < 3; k++) {
            for (int i = 0; i < sizes[k]; i++) values[i] = initial(k, i);
            backend_write_floats(be, &p.list[k]->t.m, values);
        }
        for (int step = 0; step < UPDATES; step++) {
            parameters_clear_grads(&p);
            for (int k = 0; k < 3; k++) {
                for (int i = 0; i < sizes[k]; i++) values[i] = gradient(k, step, i);
                backend_write_floats(be, &p.list[k]->t.grad, values);
                p.list[k]->t.grad_written = takes_part(k, step);
            }
            optimizer_step(&o, &c, step, lr[step], scale[step]);
        }
        for (int k = 0; k < 3; k++) {
            backend_read_floats(be, values, &p.list[k]->t.m);
            for (int i = 0; i < sizes[k]; i++)
                close_to((double)values[i], expected_weight(&c, k, i, lr, scale), 1e-6, p.name[k]);
        }
        optimizer_close(&o);
        parameters_free(&p);
        be->close(be);
    }
}

/* Without its corrections the first update would be 0.1 / sqrt(0.05) of this: it moves by the rate, whatever the
 * gradient's size. */
static void the_first_update_moves_by_the_rate(void **state) {
    (void)state;
    train_config c = {.beta1 = 0.9, .beta2 = 0.95};
    static const float gradients[VECTOR] = {1, -1, 100, -0.001f, 3e-5f, -7, 0.5f};
    backend *be;
    parameters p = {0};
    optimizer o;
    float values[VECTOR] = {0};
    be = test_backend(&(backend_options){.threads = 1});
    declare(&p, be);
    must(optimizer_open(&o, &p, NULL, &err));
    backend_write_floats(be, &p.list[1]->t.m, values);
    backend_write_floats(be, &p.list[1]->t.grad, gradients);
    p.list[1]->t.grad_written = true;
    optimizer_step(&o, &c, 0, 0.25, 1);
    backend_read_floats(be, values, &p.list[1]->t.m);
    for (int i = 0; i < VECTOR; i++) close_to((double)values[i], gradients[i] > 0 ? -0.25 : 0.25, 1e-6, "a first update");
    optimizer_close(&o);
    parameters_free(&p);
    be->close(be);
}

static void norms_of_gradients(void **state) {
    (void)state;
    backend *be;
    parameters p = {0};
    optimizer o;
    float map[MAP] = {3, 0, 0, -4}, vector[VECTOR] = {[VECTOR - 1] = 12};
    be = test_backend(&(backend_options){.threads = 1});
    declare(&p, be);
    must(optimizer_open(&o, &p, NULL, &err));
    backend_write_floats(be, &p.list[0]->t.grad, map);
    backend_write_floats(be, &p.list[1]->t.grad, vector);
    close_to(optimizer_grad_norm(&o), 13, 1e-6, "norm of 3, -4 and 12");
    map[MAP - 1] = INFINITY;
    backend_write_floats(be, &p.list[0]->t.grad, map);
    assert_false(isfinite(optimizer_grad_norm(&o)));
    map[MAP - 1] = NAN;
    backend_write_floats(be, &p.list[0]->t.grad, map);
    assert_false(isfinite(optimizer_grad_norm(&o)));
    optimizer_close(&o);
    parameters_free(&p);
    be->close(be);
}

/* The average starts as the weights and follows them: with 2/11, 3/12, 4/13, ... of itself, `ema` at most. */
static void averages_follow_the_weights(void **state) {
    (void)state;
    train_config c = {.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1, .ema = 0.24};
    backend *be;
    parameters p = {0};
    optimizer o;
    float values[MOST], average[MOST];
    double expected[MAP];
    be = test_backend(&(backend_options){.threads = 1});
    declare(&p, be);
    for (int i = 0; i < MAP; i++) expected[i] = (double)(values[i] = initial(0, i));
    backend_write_floats(be, &p.list[0]->t.m, values);
    must(optimizer_open(&o, &p, &(train_config){.ema = 0.5}, &err));
    for (int step = 0; step < UPDATES; step++) {
        for (int i = 0; i < MAP; i++) values[i] = gradient(0, step, i);
        backend_write_floats(be, &p.list[0]->t.grad, values);
        p.list[0]->t.grad_written = true;
        optimizer_step(&o, &c, step, 0.5, 1);
        backend_read_floats(be, values, &p.list[0]->t.m);
        double keep = step == 0 ? 2.0 / 11 : 0.24; /* 3/12 is more */
        for (int i = 0; i < MAP; i++) expected[i] = keep * expected[i] + (1 - keep) * (double)values[i];
    }
    matrix averages = p.list[0]->t.m;
    averages.data = matrix_columns(o.average, (int64_t)p.list[0]->offset, 0).data;
    backend_read_floats(be, average, &averages);
    for (int i = 0; i < MAP; i++) close_to((double)average[i], expected[i], 1e-6, "an average");
    assert_int_equal(optimizer_bytes(&p, &(train_config){.ema = 0.5}), 3 * sizeof(float) * p.elements);
    assert_int_equal(optimizer_bytes(&p, &(train_config){.optimizer = OPTIMIZER_ADAMW}), 2 * sizeof(float) * p.elements);
    optimizer_close(&o);
    parameters_free(&p);
    be->close(be);
}

/* ------------------------------------------------------------------ who decays */

static bool ends_in(const char *name, const char *end) {
    size_t size = strlen(name), part = strlen(end);
    return size >= part && !strcmp(name + size - part, end);
}

/* Matrices of linear maps decay; norms, biases, embeddings and what is learned in place of an input do not. */
static bool should_decay(const char *name) {
    static const char *const not[] = {"norm", "embedding", "learned_query", "latent_slot", "bias",
                                     "index.value", "index.length", "index.slope"};
    bool decays = ends_in(name, ".weight");
    for (size_t i = 0; i < COUNT(not); i++) decays = decays && !strstr(name, not[i]);
    return decays;
}

static void linear_maps_alone_decay(void **state) {
    (void)state;
    static const char *const models[] = {
        "dialect=official", "dialect=krasserm", "dialect=lucidrains", "dialect=flaxformer", "dialect=default",
        "qk_norm=true query=learned bias=all output_bias=true", "architecture=transformer bias=all tied_embeddings=true",
        "architecture=transformer-xl bias=all memory=16", "architecture=sparse-transformer sparse.stride=8 sparse.summary=2",
        "norm=rms activation=swiglu query=mlp latents_per_position=2 cross_after_layers=1 positions.rotary.fraction=0"};
    train_config train = {.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .weight_decay = 0.5};
    for (size_t k = 0; k < COUNT(models); k++) {
        model_config c;
        pcv_settings *s;
        backend *be;
        model *m;
        optimizer o;
        int decayed = 0;
        must(pcv_settings_open(&s, &err));
        bool dialect = !strncmp(models[k], "dialect=", 8);
        if (dialect) must(pcv_settings_set(s, "dialect", models[k] + 8, &err));
        must(settings_model(s, &c, &err));
        must(settings_apply_list("vocab_size=23 context=32 latents=16 channels=32 heads=2 layers=2", &model_fields, "", &c,
                                 &err));
        if (!dialect) must(settings_apply_list(models[k], &model_fields, "", &c, &err));
        be = test_backend(&(backend_options){.threads = 1});
        must(model_open(&m, &c, be, true, &err));
        parameters *p = &m->params;
        must(optimizer_open(&o, p, NULL, &err));
        run_kernel(be, fill, .y = p->values, .value = 1);
        for (int i = 0; i < p->count; i++) p->list[i]->t.grad_written = true; /* and is 0 */
        optimizer_step(&o, &train, 0, 0.5, 1);
        for (int i = 0; i < p->names; i++) {
            parameter_slice slice = parameters_slice(p, i);
            float first;
            matrix one = matrix_columns(p->values, (int64_t)slice.offset, 1);
            backend_read_floats(be, &first, &one);
            decayed += should_decay(slice.name);
            close_to((double)first, should_decay(slice.name) ? 0.75 : 1, 1e-6, slice.name);
        }
        assert_in_range(decayed, 10, p->names - 5);
        optimizer_close(&o);
        model_close(m);
        be->close(be);
        pcv_settings_close(s);
    }
}

/* ------------------------------------------------------------------ whole runs */

/* Trains on the copy task with settings "name=value ...", on top of ones under which an update is
 * w -= lr g / (|g| + 1), and gives the weights; the caller frees them. With lr=0 they are those of the beginning. */
static float *trained_on(const char *dataset, const char *run, const char *list, size_t *count) {
    static const char config[] = "{\"zero_head\": true, \"output_bias\": true, \"training\": {\"epsilon\": 1, \"weight_decay\": 0, \"warmup\": 0, \"lr\": 0.5, "
                                 "\"schedule\": \"constant\", \"batch\": 4, \"steps\": 1, \"eval_tokens\": 16, "
                                 "\"log_every\": 1, \"z_loss\": 0, \"threads\": 1}}";
    char rest[256];
    pcv_settings *s;
    pcv_engine *e;
    put("training.json", config, sizeof config - 1);
    must(pcv_settings_open(&s, &err));
    must(pcv_settings_read(s, at("training.json"), &err));
    must(pcv_settings_set(s, "device", test_device(), &err));
    snprintf(rest, sizeof rest, "preset=tiny context=32 latents=16 channels=32 heads=1 layers=1 prefix-dropout=0 %s", list);
    for (char *item = strtok(rest, " "); item; item = strtok(NULL, " ")) {
        char *value = strchr(item, '=');
        *value++ = 0;
        must(pcv_settings_set(s, item, value, &err));
    }
    must(pcv_train(&(pcv_train_options){.dataset = dataset, .run = at(run)}, s, NULL, NULL, &err));
    pcv_settings_close(s);
    must(engine_open(&e, at(run), NULL, &err));
    *count = e->m->params.elements;
    float *values = malloc(*count * sizeof *values);
    backend_read_floats(e->be, values, &e->m->params.values);
    engine_close(e);
    return values;
}

static float *trained(const char *run, const char *list, size_t *count) {
    return trained_on("copy:32", run, list, count);
}

/* A number of the record's first line. */
static double recorded(const char *run, const char *name) {
    char path[PATH_SIZE], key[64];
    file_bytes b;
    snprintf(path, sizeof path, "%s/metrics.jsonl", at(run));
    snprintf(key, sizeof key, "\"%s\":", name);
    must(file_read(path, 1 << 20, &b, &err));
    const char *found = strstr(b.data, key);
    if (!found) test_failed("%s: no %s\n", path, key);
    double value = strtod(found + strlen(key), NULL);
    file_bytes_free(&b);
    return value;
}

/* The gradient that took a weight from `before` to `after`. */
static double gradient_of(float before, float after) {
    double change = ((double)before - (double)after) / 0.5;
    return change / (1 - fabs(change));
}

static void gradients_are_clipped(void **state) {
    (void)state;
    size_t count;
    float *before = trained("rate0", "lr=0", &count), *free_run = trained("free", "clip=0", &count);
    double norm = recorded("free", "grad_norm"), sum = 0;
    char high[64], low[64];
    snprintf(high, sizeof high, "clip=%.9g", norm * 1.01);
    snprintf(low, sizeof low, "clip=%.9g", norm / 3);
    float *loose = trained("loose", high, &count), *clipped = trained("clipped", low, &count);
    assert_memory_equal(loose, free_run, count * sizeof *loose); /* a norm below the limit changes nothing */
    for (size_t i = 0; i < count; i++) {
        double g = gradient_of(before[i], free_run[i]);
        sum += g * g;
        close_to(gradient_of(before[i], clipped[i]), g / 3, 2e-6, "a clipped gradient");
    }
    close_to(sqrt(sum), norm, 1e-3 * norm, "norm of the gradient");
    close_to(recorded("clipped", "grad_norm"), norm, 1e-6 * norm, "the norm that is recorded, before clipping");
    free(before);
    free(free_run);
    free(loose);
    free(clipped);
}

/* A batch of 4 is 4 times a batch of 1; and, the other way round, more targets wanted are more batches. */
static void batches_add_up(void **state) {
    (void)state;
    size_t count;
    char targets[64];
    float *once = trained("once", "clip=0 steps=2", &count);
    snprintf(targets, sizeof targets, "clip=0 steps=2 batch=1 total-batch=%d", 4 * 16);
    float *parts = trained("parts", targets, &count), *part = trained("part", "clip=0 steps=2 batch=1", &count);
    double apart = 0;
    for (size_t i = 0; i < count; i++) {
        close_to((double)parts[i], (double)once[i], 2e-6, "a weight behind accumulated batches");
        apart = fmax(apart, fabs((double)part[i] - (double)once[i]));
    }
    assert_true(apart > 1e-4); /* a single sequence would have gone elsewhere */
    assert_true(recorded("parts", "tokens") == recorded("once", "tokens"));
    close_to(recorded("parts", "loss"), recorded("once", "loss"), 1e-5, "loss of accumulated batches");
    free(once);
    free(parts);
    free(part);
}

/* The gradient is that of the mean over all targets. Where the head is zero all ids are as likely, and the output bias
 * of each has 1 / V less its share of the targets. */
static void gradients_are_of_the_mean(void **state) {
    (void)state;
    static const char *const batches[] = {"batch=4", "batch=1 total-batch=64"};
    for (int k = 0; k < 2; k++) {
        size_t elements;
        char list[128], run[2][16];
        float *weights[2];
        pcv_engine *e;
        for (int i = 0; i < 2; i++) {
            snprintf(run[i], sizeof run[i], "mean-%d-%d", k, i);
            snprintf(list, sizeof list, "clip=0 begin=random %s lr=%s", batches[k], i ? "0.5" : "0");
            weights[i] = trained(run[i], list, &elements);
        }
        must(engine_open(&e, at(run[0]), NULL, &err));
        parameter_slice s = parameters_slice(&e->m->params, parameters_find(&e->m->params, "output.bias"));
        double targets = 0, all = recorded(run[1], "tokens");
        for (int64_t v = 0; v < s.cols; v++) {
            double g = gradient_of(weights[0][s.offset + (size_t)v], weights[1][s.offset + (size_t)v]);
            double times = all * (1 / (double)s.cols - g);
            close_to(times, round(times), 1e-3, "how often an id is a target");
            assert_true(times > -0.1);
            targets += times;
        }
        close_to(recorded(run[1], "loss"), log((double)s.cols), 1e-5, "loss of ids that are all as likely");
        assert_true(recorded(run[1], "accuracy") == 0); /* the first of equals is no target */
        close_to(targets, all, 1e-2, "targets");
        assert_in_range(all, 33, 64); /* windows at the beginning of a document have fewer than 16 */
        engine_close(e);
        free(weights[0]);
        free(weights[1]);
    }
}

/* What is recorded is the plain loss, whatever is added to what is minimized. */
static void records_are_plain(void **state) {
    (void)state;
    size_t count;
    free(trained("plain-loss", "begin=random z-loss=0.1 label-smoothing=0.3", &count));
    close_to(recorded("plain-loss", "loss"), log(259), 1e-5, "the plain loss");
}

/* Two batches of one update lose other values: were they the same, their mean would be that of one alone. The only
 * window that there is comes every time. */
static void batches_drop_other_values(void **state) {
    (void)state;
    static const char text[] = "the only document";
    static const char *const kinds[] = {"dropout=0.5", "prefix-dropout=0.5", "latent-dropout=0.5"};
    size_t count;
    put("text.txt", text, sizeof text - 1);
    const char *files[] = {at("text.txt"), NULL};
    pcv_prepare_options o = {.kind = "text", .splits = {files}, .output = strdup(at("one"))};
    must(pcv_prepare(&o, NULL, NULL, &err));
    for (size_t k = 0; k < COUNT(kinds); k++) {
        char run[2][32], list[128];
        float *weights[2];
        for (int i = 0; i < 2; i++) {
            snprintf(run[i], sizeof run[i], "drops-%zu-%d", k, i);
            snprintf(list, sizeof list, "clip=0 batch=1 latents=8 min-crop=30 %s total-batch=%d", kinds[k], 8 + 8 * i);
            weights[i] = trained_on(o.output, run[i], list, &count);
        }
        double apart = 0;
        for (size_t i = 0; i < count; i++) apart = fmax(apart, fabs((double)weights[0][i] - (double)weights[1][i]));
        if (apart < 1e-4) test_failed("%s: two batches are as one, to %g\n", kinds[k], apart);
        free(weights[0]);
        free(weights[1]);
    }
    free((char *)(uintptr_t)o.output);
}

/* A run's weights are the averages: behind one update 2/11 of the first weights and 9/11 of the new ones. */
static void a_run_keeps_its_averages(void **state) {
    (void)state;
    size_t count;
    float *before = trained("rate0-again", "lr=0", &count), *plain = trained("plain", "clip=0", &count);
    float *average = trained("average", "clip=0 ema=0.9", &count);
    for (size_t i = 0; i < count; i++)
        close_to((double)average[i], (2 * (double)before[i] + 9 * (double)plain[i]) / 11, 1e-6, "an averaged weight");
    free(before);
    free(plain);
    free(average);
}

/* Rates of a run: a warm-up of 3 updates, then linear to a tenth at the last of 7. */
static void a_run_follows_its_schedule(void **state) {
    (void)state;
    static const double expected[] = {0.1, 0.2, 0.3, 0.3, 0.2325, 0.165, 0.0975};
    size_t count;
    free(trained("rates", "steps=7 warmup=3 lr=0.3 schedule=linear lr-end=0.1", &count));
    char path[PATH_SIZE];
    file_bytes b;
    snprintf(path, sizeof path, "%s/metrics.jsonl", at("rates"));
    must(file_read(path, 1 << 20, &b, &err));
    const char *next = b.data;
    for (size_t i = 0; i < COUNT(expected); i++) {
        next = strstr(next, "\"lr\":");
        assert_non_null(next);
        next += 5;
        close_to(strtod(next, NULL), expected[i], 1e-7, "the rate of an update");
    }
    assert_null(strstr(next, "\"lr\":"));
    file_bytes_free(&b);
}

#define T(test) cmocka_unit_test(test)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(an_update_is_adamw), T(an_update_is_lamb), T(the_first_update_moves_by_the_rate), T(norms_of_gradients), T(averages_follow_the_weights),
        T(linear_maps_alone_decay), T(gradients_are_clipped), T(batches_add_up), T(gradients_are_of_the_mean), T(records_are_plain),
        T(batches_drop_other_values), T(a_run_keeps_its_averages),
        T(a_run_follows_its_schedule)};
    return run_on_device(tests, make_folder, remove_folder);
}
