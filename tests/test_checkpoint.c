/* Checkpoints: what is saved comes back bit for bit, what was damaged is passed over, the newest and the best stay; and
 * runs: stopped ones end as if nothing had happened, and each keeps the weights that its validations say. */
#include "scratch.h"
#include "base/mem.h"
#include "device.h"
#include "config/settings.h"
#include "gen/engine.h"
#include "model/weights.h"
#include "train/checkpoint.h"

/* Hundreds of files are made here; whether the disk has them by then is not the question. */
int fsync(int fd) { return fd < 0 ? -1 : 0; }

/* ------------------------------------------------------------------ saving and loading */

enum { MEMORY_ROWS = 3 };

/* A model under training. */
typedef struct training {
    backend *be;
    model *m;
    optimizer o;
    model_memory *memory;
    checkpoint_owner owner;
} training;

static void open_training(training *t, const char *list, const char *run) {
    model_config c;
    must(settings_model(NULL, &c, &err));
    must(settings_apply_list("vocab_size=19 context=12 latents=12 channels=16 heads=2 layers=2 dropout=0", &model_fields, "",
                             &c, &err));
    must(settings_apply_list(list, &model_fields, "", &c, &err));
    t->be = test_backend(&(backend_options){.threads = 1});
    must(model_open(&t->m, &c, t->be, true, &err));
    must(optimizer_open(&t->o, &t->m->params, &(train_config){.ema = 0.5}, &err));
    must(model_memory_open(&t->memory, t->m, MEMORY_ROWS, &err));
    t->owner = (checkpoint_owner){run, "an id", "plain", 7, 2, t->m, t->memory};
}

static void close_training(training *t) {
    model_memory_close(t->memory, t->m);
    optimizer_close(&t->o);
    model_close(t->m);
    t->be->close(t->be);
}

/* Every number of block `which` of a training is another one. */
static void stir_block(training *t, matrix block, int which) {
    float *values = malloc((size_t)block.cols * sizeof *values);
    for (int64_t i = 0; i < block.cols; i++) values[i] = (float)which + 1e-4f * (float)(i % 9973);
    backend_write_floats(t->be, &block, values);
    free(values);
}

static void stir(training *t, int by) {
    matrix blocks[] = {t->m->params.values, t->o.m, t->o.v, t->o.average};
    for (int i = 0; i < 4; i++) stir_block(t, blocks[i], by + i);
    for (int64_t l = 0; t->memory && l < t->memory->layers; l++) {
        matrix x = t->memory->state[t->memory->current][l];
        x.cols *= x.rows;
        x.stride = x.cols;
        x.rows = 1;
        stir_block(t, x, by + 10 + (int)l);
    }
    for (int64_t r = 0; t->memory && r < MEMORY_ROWS; r++) t->memory->count[t->memory->current][r] = r + 1;
}

static bool same_numbers(backend *be, matrix m, backend *other_be, matrix other) {
    size_t bytes = (size_t)(m.rows * m.cols) * sizeof(float);
    float *x = malloc(bytes), *y = malloc(bytes);
    assert_true(m.rows == other.rows && m.cols == other.cols);
    backend_read_floats(be, x, &m);
    backend_read_floats(other_be, y, &other);
    bool same = !memcmp(x, y, bytes);
    free(x);
    free(y);
    return same;
}

/* Every parameter, both moments, averages and memory of two trainings, bit for bit. */
static void same_training(const training *a, const training *b) {
    const parameters *p = &a->m->params;
    for (int i = 0; i < p->names; i++) {
        parameter_slice s = parameters_slice(p, i);
        const matrix *one[] = {&p->values, &a->o.m, &a->o.v, &a->o.average};
        const matrix *other[] = {&b->m->params.values, &b->o.m, &b->o.v, &b->o.average};
        for (int k = 0; k < 4; k++)
            if (!same_numbers(a->be, matrix_columns(*one[k], (int64_t)s.offset, s.rows * s.cols), b->be,
                              matrix_columns(*other[k], (int64_t)s.offset, s.rows * s.cols)))
                test_failed("%s: block %d is not what was saved\n", s.name, k);
    }
    for (int64_t l = 0; a->memory && l < a->memory->layers; l++)
        assert_true(same_numbers(a->be, a->memory->state[a->memory->current][l], b->be,
                                 b->memory->state[b->memory->current][l]));
    for (int64_t r = 0; a->memory && r < MEMORY_ROWS; r++)
        assert_int_equal(a->memory->count[a->memory->current][r], b->memory->count[b->memory->current][r]);
}

static run_state state_at(int64_t step) {
    run_state s = {.step = step, .tokens = 100 * step, .windows = 3 * step, .skipped = 1, .seconds = 1.25 * (double)step,
                   .best_bits = 2.5, .best_step = 2, .length = 12, .accuracy = 0.3, .lowest = 2.5, .highest = 4.5,
                   .line_loss = 17.5, .line_targets = 48, .line_hits = 9, .changed = 1, .marks = {.count = 2, .v = {1, 2}}};
    snprintf(s.data, sizeof s.data, "a digest");
    return s;
}

static void what_is_saved_comes_back(void **state) {
    (void)state;
    static const char *const models[] = {"", "architecture=transformer-xl memory=5"};
    for (int k = 0; k < 2; k++) {
        training a, b;
        run_state found, expected = state_at(9), peeked;
        must(folder_make_new(at(models[k][0] ? "xl" : "ar"), &err));
        open_training(&a, models[k], at(models[k][0] ? "xl" : "ar"));
        open_training(&b, models[k], a.owner.run);
        refused(checkpoint_load(&b.owner, &b.o, &found, NULL, &err), PCV_NOINPUT, "no checkpoint");
        if (a.memory) a.memory->current = 1;
        stir(&a, 3);
        stir(&b, 0);
        must(checkpoint_save(&a.owner, &a.o, &expected, &err));
        memset(&found, 0, sizeof found);
        must(checkpoint_load(&b.owner, &b.o, &found, NULL, &err));
        same_training(&a, &b);
        assert_memory_equal(&found, &expected, sizeof found);
        memset(&peeked, 0, sizeof peeked);
        must(checkpoint_peek(a.owner.run, &peeked, &err));
        assert_memory_equal(&peeked, &expected, sizeof peeked);
        close_training(&a);
        close_training(&b);
    }
}

/* Of a memory that a pass has just made anew, the new one is what counts. */
static void a_pending_memory_is_saved(void **state) {
    (void)state;
    training a, b;
    run_state s = state_at(4);
    must(folder_make_new(at("pending"), &err));
    open_training(&a, "architecture=transformer-xl memory=5", at("pending"));
    open_training(&b, "architecture=transformer-xl memory=5", a.owner.run);
    a.memory->current = 1; /* where stir writes */
    stir(&a, 3);
    a.memory->current = 0; /* but it is the next pass that will read it */
    a.memory->pending = true;
    model_memory_forget(a.memory, 1);
    must(checkpoint_save(&a.owner, &a.o, &s, &err));
    must(checkpoint_load(&b.owner, &b.o, &s, NULL, &err));
    a.memory->current = 1;
    assert_int_equal(a.memory->count[1][1], 0);
    assert_int_equal(a.memory->count[1][2], 3);
    same_training(&a, &b);
    close_training(&a);
    close_training(&b);
}

/* ------------------------------------------------------------------ which are kept */

static bool there(const char *run, int step) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/checkpoints/step-%08d/manifest.json", run, step);
    return path_exists(path);
}

static void the_newest_and_the_best_are_kept(void **state) {
    (void)state;
    training t;
    must(folder_make_new(at("kept"), &err));
    open_training(&t, "", at("kept"));
    stir(&t, 0);
    for (int step = 1; step <= 6; step++) {
        run_state s = state_at(step);
        if (step < 2) s.best_bits = 0;
        must(checkpoint_save(&t.owner, &t.o, &s, &err));
        for (int i = 1; i <= 6; i++) {
            bool newest = i <= step && i > step - 2, best = i == 2 && step >= 2;
            if (there(t.owner.run, i) != (newest || best)) test_failed("after step %d, checkpoint %d\n", step, i);
        }
    }
    close_training(&t);
}

/* The same step once more: a validation has told more since, but weights and moments are those that are there. */
static void a_step_saved_again_tells_more(void **state) {
    (void)state;
    training a, b;
    run_state s = state_at(3), found;
    must(folder_make_new(at("again"), &err));
    open_training(&a, "", at("again"));
    open_training(&b, "", a.owner.run);
    stir(&a, 1);
    must(checkpoint_save(&a.owner, &a.o, &s, &err));
    s.best_bits = 1.5;
    must(checkpoint_save(&a.owner, &a.o, &s, &err));
    must(checkpoint_load(&b.owner, &b.o, &found, NULL, &err));
    assert_true(found.best_bits == 1.5);
    same_training(&a, &b);
    close_training(&a);
    close_training(&b);
}

/* ------------------------------------------------------------------ damage */

static char said[4096];

static void hear(void *context, const char *line) {
    (void)context;
    snprintf(said + strlen(said), sizeof said - strlen(said), "%s\n", line);
}

/* Changes one byte of a file: from the end where `place` is negative, and where it is 0 the number of tokens that a
 * manifest tells. */
static void damage(const char *run, int step, const char *file, long place) {
    char path[PATH_SIZE];
    file_bytes b;
    snprintf(path, sizeof path, "%s/checkpoints/step-%08d/%s", run, step, file);
    if (!place) {
        must(file_read(path, 1 << 20, &b, &err));
        const char *found = strstr(b.data, "\"tokens\"");
        assert_non_null(found);
        place = (long)(strpbrk(found, "0123456789") - b.data);
        file_bytes_free(&b);
    }
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, place, place < 0 ? SEEK_END : SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    assert_int_equal(fputc(c ^ 1, f), c ^ 1);
    assert_int_equal(fclose(f), 0);
}

/* The damaged one is passed over, for a reason that is said, and the one before is taken. */
static void damaged_checkpoints_are_passed_over(void **state) {
    (void)state;
    static const struct {
        const char *file;
        long place;
        const char *reason;
    } cases[] = {
        {"model.safetensors", -1, "model.safetensors: its contents are not those"},
        {"optimizer.safetensors", -100, "optimizer.safetensors: its contents are not those"},
        {"memory.safetensors", -1, "memory.safetensors: its contents are not those"},
        {"manifest.json", 1, "manifest.json"},
        {"manifest.json", 0, "manifest.json: it has been changed"},
    };
    const pcv_watch watch = {.message = hear};
    for (size_t k = 0; k < COUNT(cases); k++) {
        training a, b;
        run_state found;
        char name[32];
        snprintf(name, sizeof name, "damaged-%zu", k);
        must(folder_make_new(at(name), &err));
        char *run = strdup(at(name));
        open_training(&a, "architecture=transformer-xl memory=5", run);
        open_training(&b, "architecture=transformer-xl memory=5", run);
        stir(&a, 5);
        must(checkpoint_save(&a.owner, &a.o, &(run_state){.step = 1}, &err));
        stir(&a, 1);
        must(checkpoint_save(&a.owner, &a.o, &(run_state){.step = 2}, &err));
        damage(run, 2, cases[k].file, cases[k].place);
        said[0] = 0;
        must(checkpoint_load(&b.owner, &b.o, &found, &watch, &err));
        if (found.step != 1 || !strstr(said, cases[k].reason))
            test_failed("%s: step %d, said: %s\n", cases[k].file, (int)found.step, said);
        stir(&a, 5);
        same_training(&a, &b);
        damage(run, 1, cases[k].file, cases[k].place);
        refused(checkpoint_load(&b.owner, &b.o, &found, NULL, &err), PCV_DATA, "no checkpoint can be used");
        close_training(&a);
        close_training(&b);
        free(run);
    }
}

/* Files that are whole but not this run's. */
static void other_runs_are_refused(void **state) {
    (void)state;
    training a, b;
    run_state s = state_at(1);
    char path[PATH_SIZE];
    const pcv_watch watch = {.message = hear};
    must(folder_make_new(at("other"), &err));
    open_training(&a, "", at("other"));
    stir(&a, 1);
    must(checkpoint_save(&a.owner, &a.o, &s, &err));
    checkpoint_owner owner = a.owner;
    owner.run_id = "another id";
    refused(checkpoint_load(&owner, &a.o, &s, NULL, &err), PCV_DATA, "belongs to another run");
    owner = a.owner;
    owner.seed = 8;
    refused(checkpoint_load(&owner, &a.o, &s, NULL, &err), PCV_DATA, "random numbers of seed 7, but the run's seed is 8");
    owner = a.owner;
    owner.kernels = "avx2";
    said[0] = 0;
    must(checkpoint_load(&owner, &a.o, &s, &watch, &err));
    assert_non_null(strstr(said, "resumed with avx2 kernels, but trained with plain"));
    said[0] = 0;
    must(checkpoint_load(&a.owner, &a.o, &s, &watch, &err));
    assert_string_equal(said, "");
    open_training(&b, "channels=20", at("other"));
    refused(checkpoint_load(&b.owner, &b.o, &s, NULL, &err), PCV_DATA, "expected F32 of");
    close_training(&b);
    open_training(&b, "layers=1", at("other"));
    refused(checkpoint_load(&b.owner, &b.o, &s, NULL, &err), PCV_DATA, "not this model's");
    close_training(&b);
    open_training(&b, "layers=3", at("other"));
    refused(checkpoint_load(&b.owner, &b.o, &s, NULL, &err), PCV_DATA, "is missing");
    close_training(&b);
    training wide, narrow; /* tensors of as many rows, but of other columns */
    must(folder_make_new(at("columns"), &err));
    open_training(&wide, "query=linear latent_kv_norm=input input_channels=24", at("columns"));
    open_training(&narrow, "query=linear latent_kv_norm=input input_channels=8", at("columns"));
    must(checkpoint_save(&wide.owner, &wide.o, &s, &err));
    refused(checkpoint_load(&narrow.owner, &narrow.o, &s, NULL, &err), PCV_DATA, "token_embedding.weight' is F32 of 2 dimensions");
    close_training(&wide);
    close_training(&narrow);
    matrix third = matrix_columns(a.m->params.values, 3, 1);
    backend_write_floats(a.be, &third, &(float){NAN});
    refused(checkpoint_save(&a.owner, &a.o, &s, &err), PCV_NUMERIC, "not finite");
    snprintf(path, sizeof path, "%s", at("nan.safetensors"));
    char hash[HASH_TEXT];
    uint64_t size;
    weight_block values = {"", a.m->params.values};
    must(weights_save(&a.m->params, &values, 1, NULL, path, hash, &size, &err));
    refused(weights_load(&a.m->params, &values, 1, path, &err), PCV_DATA, "not finite (at 3)");
    close_training(&a);
}

/* ------------------------------------------------------------------ going on */

static void choose(pcv_settings *s, const char *list) {
    char copy[512];
    snprintf(copy, sizeof copy, "%s", list);
    for (char *item = strtok(copy, " "); item; item = strtok(NULL, " ")) {
        char *value = strchr(item, '=');
        *value++ = 0;
        must(pcv_settings_set(s, item, value, &err));
    }
}

/* Asks to stop once this part of the run is over; above 1: never. */
static int stop_at(void *context, const pcv_progress *p) {
    return p->done >= *(const double *)context ? PCV_STOP : 0;
}

static const char *dataset = "copy:48";

static int train_some(const char *run, const char *list, bool resume, double until) {
    pcv_settings *s;
    pcv_error error;
    const pcv_watch watch = {.progress = stop_at, .context = &until};
    must(pcv_settings_open(&s, &err));
    if (!resume) {
        choose(s, list);
        must(pcv_settings_set(s, "device", test_device(), &err));
    }
    pcv_train_options options = {.dataset = resume ? NULL : dataset, .run = run, .resume = resume};
    int status = pcv_train(&options, s, &watch, NULL, &error);
    pcv_settings_close(s);
    if (status && status != PCV_INTERRUPTED) test_failed("%s: %s\n", list, error.message);
    return status;
}

/* A run's own weights, or those of a checkpoint; the caller frees them. */
static float *weights_of(const char *run, int64_t step, size_t *count) {
    pcv_engine *e;
    pcv_settings *s;
    char number[32];
    must(pcv_settings_open(&s, &err));
    snprintf(number, sizeof number, "%lld", (long long)step);
    must(pcv_settings_set(s, "checkpoint", number, &err));
    must(engine_open(&e, run, s, &err));
    pcv_settings_close(s);
    *count = e->m->params.elements;
    float *values = malloc(*count * sizeof *values);
    backend_read_floats(e->be, values, &e->m->params.values);
    engine_close(e);
    return values;
}

/* The record of a run; the caller frees it. */
static file_bytes record_of(const char *run) {
    char path[PATH_SIZE];
    file_bytes b;
    snprintf(path, sizeof path, "%s/metrics.jsonl", run);
    must(file_read(path, 1 << 20, &b, &err));
    return b;
}

/* The next number of this key in a record from *at on; false behind the last. */
static bool next_number(const char **at, const char *key, double *value) {
    *value = 0;
    *at = strstr(*at, key);
    if (!*at) return false;
    *at += strlen(key);
    *value = strtod(*at, NULL);
    return true;
}

/* Losses are the same ones, and the clock goes on where it stopped. */
static void same_losses(const char *one, const char *other) {
    file_bytes a = record_of(one), b = record_of(other);
    const char *in_a = a.data, *in_b = b.data, *clock = b.data;
    double first, second, seconds, before = 0;
    int lines = 0;
    for (; next_number(&in_a, "\"loss\":", &first) && next_number(&in_b, "\"loss\":", &second); lines++)
        assert_true(first == second);
    assert_in_range(lines, 6, 8);
    for (; next_number(&clock, "\"seconds\":", &seconds); before = seconds) assert_true(seconds > before);
    file_bytes_free(&a);
    file_bytes_free(&b);
}

static void stopped_runs_end_alike(void **state) {
    (void)state;
    static const char *const models[] = {
        "latents=16 prefix-dropout=0.5 dropout=0.2 ema=0.9 total-batch=64",
        "arch=transformer-xl memory=16 context=16 dropout=0.1",
        "latents=16 start-length=12 grow-accuracy=0.0 layers=1",
    };
    char text[600], *texts = strdup(at("texts"));
    for (size_t i = 0; i < sizeof text; i++) text[i] = "abcdefgh ij\n"[i * (i / 7 + 3) % 12];
    put("text.txt", text, sizeof text);
    const char *files[] = {at("text.txt"), NULL};
    must(pcv_prepare(&(pcv_prepare_options){.kind = "text", .splits = {files}, .output = texts}, NULL, NULL, &err));
    for (size_t k = 0; k < COUNT(models); k++) {
        char list[512], name[32], *runs[2];
        size_t count;
        snprintf(list, sizeof list, "preset=tiny context=48 channels=32 heads=2 layers=2 batch=2 steps=8 warmup=2 "
                 "lr=0.01 eval-tokens=16 log-every=1 threads=1 save-minutes=0 %s", models[k]);
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "run-%zu-%d", k, i);
            runs[i] = strdup(at(name));
        }
        dataset = k == 1 ? texts : "copy:48"; /* segments that follow each other */
        assert_int_equal(train_some(runs[0], list, false, 2), 0);
        assert_int_equal(train_some(runs[1], list, false, 0.3), PCV_INTERRUPTED);
        assert_int_equal(train_some(runs[1], list, true, 0.6), PCV_INTERRUPTED);
        assert_int_equal(train_some(runs[1], list, true, 2), 0);
        float *whole = weights_of(runs[0], -1, &count), *parts = weights_of(runs[1], -1, &count);
        if (memcmp(whole, parts, count * sizeof *whole)) test_failed("%s: a stopped run ends otherwise\n", models[k]);
        same_losses(runs[0], runs[1]);
        for (int i = 0; i < 2; i++) free(runs[i]);
        free(whole);
        free(parts);
    }
    dataset = "copy:48";
    free(texts);
}

/* The step whose weights a run keeps, judged from its record: that of the best validation among those that could tell
 * weights apart, and the newest where one could not. */
static int64_t best_step(const char *run) {
    file_bytes b = record_of(run);
    const char *at = b.data;
    double bits, error, step, best = 0, lowest = 0, highest = 0;
    int64_t kept = 0;
    for (const char *line = at; (line = strstr(line, "\"validation_bits_per_token\":")); line = at) {
        const char *start = line;
        while (start > b.data && start[-1] != '\n') start--;
        const char *from = start;
        assert_true(next_number(&from, "\"step\":", &step));
        at = line;
        assert_true(next_number(&at, "\"validation_bits_per_token\":", &bits));
        assert_true(next_number(&at, "\"validation_error\":", &error));
        bool first = highest == 0;
        lowest = first ? bits : fmin(lowest, bits);
        highest = fmax(highest, bits);
        bool judged = first || error / log(2) <= highest - lowest;
        if (best > 0 && judged && bits >= best) continue;
        best = bits;
        kept = (int64_t)step;
    }
    file_bytes_free(&b);
    return kept;
}

/* Rates that are far too high make things worse, sensible ones better. */
static void the_best_weights_are_kept(void **state) {
    (void)state;
    static const char *const rates[] = {"lr=8 schedule=constant clip=0", "lr=0.01", "lr=0.0001",
                                        "lr=8 schedule=constant clip=0 ema=0.5"};
    int64_t kept[COUNT(rates)];
    for (size_t k = 0; k < COUNT(rates); k++) {
        char list[512], name[32];
        size_t count;
        snprintf(name, sizeof name, "best-%zu", k);
        char *run = strdup(at(name));
        snprintf(list, sizeof list, "preset=tiny context=48 latents=16 channels=32 heads=2 layers=1 index=none batch=2 steps=6 "
                 "warmup=1 eval-tokens=96 eval-every=1 log-every=1 threads=1 save-every=1 save-minutes=0 keep=20 %s", rates[k]);
        assert_int_equal(train_some(run, list, false, 2), 0);
        kept[k] = best_step(run);
        float *own = weights_of(run, -1, &count), *best = weights_of(run, kept[k], &count);
        if (memcmp(own, best, count * sizeof *own))
            test_failed("%s: the weights are not those of update %lld\n", rates[k], (long long)kept[k]);
        free(own);
        free(best);
        free(run);
    }
    assert_true(kept[0] < 6 && kept[1] > kept[0]);
}

/* Looking at a run changes nothing of it, averaged weights or not. */
static void validations_change_nothing(void **state) {
    (void)state;
    static const char *const looks[] = {"eval-every=1", "eval-every=100"};
    float *found[2];
    size_t count;
    for (int k = 0; k < 2; k++) {
        char list[512];
        snprintf(list, sizeof list, "preset=tiny context=48 latents=16 channels=32 heads=2 layers=1 batch=2 steps=4 warmup=1 "
                 "lr=0.02 dropout=0.1 eval-tokens=64 threads=1 save-minutes=0 ema=0.5 %s", looks[k]);
        char *run = strdup(at(looks[k]));
        assert_int_equal(train_some(run, list, false, 2), 0);
        found[k] = weights_of(run, 4, &count);
        free(run);
    }
    assert_memory_equal(found[0], found[1], count * sizeof(float));
    free(found[0]);
    free(found[1]);
}

/* Pieces of the copy task double as soon as the mean accuracy, which a twentieth of every update's goes into, is high
 * enough; then it starts from 0 again. */
static void pieces_grow(void **state) {
    (void)state;
    enum { STEPS = 30 };
    const double enough = 0.01;
    double length, now, mean = 0, expected = 6;
    int grown = 0;
    char list[512];
    snprintf(list, sizeof list, "preset=tiny context=48 latents=16 channels=32 heads=2 layers=1 batch=8 steps=%d warmup=1 "
             "lr=0.003 eval-tokens=16 log-every=1 threads=1 save-minutes=0 start-length=6 grow-accuracy=%g", STEPS, enough);
    char *run = strdup(at("growing"));
    assert_int_equal(train_some(run, list, false, 2), 0);
    file_bytes b = record_of(run);
    const char *lengths = b.data, *accuracies = b.data;
    for (int step = 1; next_number(&lengths, "\"length\":", &length); step++) {
        assert_true(next_number(&accuracies, "\"accuracy\":", &now));
        if (length != expected) test_failed("update %d: pieces of %g, expected %g\n", step, length, expected);
        mean += (now - mean) / 20;
        if (mean < enough || length >= 48) continue;
        expected = fmin(48, 2 * length);
        mean = 0;
        grown++;
    }
    assert_in_range(grown, 1, 3);
    file_bytes_free(&b);
    free(run);
}

#define T(test) cmocka_unit_test(test)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(what_is_saved_comes_back), T(a_pending_memory_is_saved), T(the_newest_and_the_best_are_kept),
        T(a_step_saved_again_tells_more), T(damaged_checkpoints_are_passed_over), T(other_runs_are_refused),
        T(stopped_runs_end_alike), T(the_best_weights_are_kept), T(validations_change_nothing), T(pieces_grow)};
    return run_on_device(tests, make_folder, remove_folder);
}
