/* What stands around a model: settings and which of them wins, sampling from logits, learning
 * rates. */
#include "scratch.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/settings.h"
#include "gen/sampler.h"
#include "model/config_file.h"
#include "train/schedule.h"

#include <signal.h>
#include <sys/wait.h>

/* Hundreds of files are made here; whether the disk has them by then is not the question. */
int fsync(int fd) { return fd < 0 ? -1 : 0; }

/* A whole file; the caller frees it. */
static file_bytes contents(const char *name) {
    file_bytes b;
    must(file_read(at(name), 1 << 26, &b, &err));
    return b;
}

/* ------------------------------------------------------------------ settings */

/* All settings that a choice resolves to, as the text of a config.json. */
static char *resolved(const pcv_settings *s) {
    static model_config model;
    train_config train;
    must(settings_model(s, &model, &err));
    must(settings_train(s, &train, &err));
    must(config_write(at("resolved.json"), &model, &train, NULL, &err));
    return contents("resolved.json").data;
}

static void layers_of_settings(void **state) {
    (void)state;
    static const char config[] = "{\"norm_epsilon\": 0.5, \"channels\": 96, \"layers\": 7, "
                                 "\"dataset\": \"d\", \"training\": {\"lr\": 0.25, \"seed\": 5}}";
    char *first = NULL;
    put("c.json", config, sizeof config - 1);
    for (int order = 0; order < 24; order++) { /* of four calls */
        pcv_settings *s;
        must(pcv_settings_open(&s, &err));
        int left[] = {0, 1, 2, 3};
        for (int i = 4, code = order; i; code /= i--) {
            int k = code % i;
            if (left[k] == 0) must(pcv_settings_set(s, "layers", "9", &err));
            if (left[k] == 1) must(pcv_settings_read(s, at("c.json"), &err));
            if (left[k] == 2) must(pcv_settings_set(s, "preset", "tiny", &err));
            if (left[k] == 3) must(pcv_settings_set(s, "dialect", "flaxformer", &err));
            memmove(left + k, left + k + 1, (size_t)(3 - k) * sizeof *left);
        }
        model_config model;
        train_config train;
        must(settings_model(s, &model, &err));
        must(settings_train(s, &train, &err));
        assert_true(model.layers == 9);                     /* flag over file over preset */
        assert_true(model.channels == 96 && train.lr == 0.25); /* file over preset */
        assert_true(model.norm_epsilon == 0.5);             /* file over dialect */
        assert_true(model.context == 256 && train.batch == 4); /* preset over default */
        assert_true(!model.scale_scores && model.norm == NORM_RMS); /* dialect over default */
        assert_true(model.latents == 64 && train.seed == 5 && train.keep == 2);
        char *all = resolved(s);
        if (first) assert_string_equal(all, first);
        if (first) mem_free(all);
        else first = all;
        must(pcv_settings_set(s, "layers", "3", &err)); /* of two flags the later one */
        must(settings_model(s, &model, &err));
        assert_int_equal(model.layers, 3);
        pcv_settings_close(s);
    }
    mem_free(first);
}

/* Applies one list by hand; every key must be one of ours. */
static void apply(const preset *p, model_config *model, train_config *train) {
    for (const char *next = p->values; *next; next += strspn(next, " ")) {
        char item[256], key[128];
        snprintf(item, sizeof item, "%.*s", (int)strcspn(next, " "), next);
        next += strlen(item);
        assert_int_equal(sscanf(item, "%127[^=]=", key), 1);
        bool training = !strncmp(key, "training.", 9);
        const field_table *table = training ? &train_fields : &model_fields;
        const field *f = fields_by_key(table, key + (training ? 9 : 0));
        if (!f) test_failed("%s: there is no setting '%s'\n", p->name, key);
        void *object = training ? (void *)train : model;
        must(field_parse(f, object, strchr(item, '=') + 1, p->name, &err));
    }
}

static void every_preset(void **state) {
    (void)state;
    static model_config model;
    train_config train;
    for (const preset *d = dialects; d->name; d++)
        for (const preset *p = presets; p->name; p++) {
            pcv_settings *s;
            must(pcv_settings_open(&s, &err));
            must(pcv_settings_set(s, "preset", p->name, &err));
            must(pcv_settings_set(s, "dialect", d->name, &err));
            fields_default(&model_fields, memset(&model, 0, sizeof model));
            fields_default(&train_fields, memset(&train, 0, sizeof train));
            apply(d, &model, &train);
            apply(p, &model, &train); /* the preset wins */
            must(config_write(at("expected.json"), &model, &train, NULL, &err));
            char *found = resolved(s);
            file_bytes expected = contents("expected.json");
            assert_string_equal(expected.data, found);
            file_bytes_free(&expected);
            mem_free(found);
            model.vocab_size = 259;
            must(model_config_check(&model, &err));
            pcv_settings_close(s);
        }
}

static void refused_settings(void **state) {
    (void)state;
    static const char *const files[][2] = {
        {"{\"layrs\": 3}", "did you mean 'layers'?"}, {"{\"training\": {\"layers\": 3}}", "layers"},
        {"{\"lr\": 0.1}", "unknown key 'lr'"},        {"{\"training\": [1]}", "found a list"},
        {"{\"positions\": {\"kind\": \"none\", \"rotary\": {\"bse\": 1}}}", "positions.rotary.bse"},
        {"{\"heads\": 0}", "heads: 0 is out of range"}, {"{\"context\": 16777217}", "context"},
        {"{\"training\": {\"keep\": 1}}", "keep"},    {"{\"layers\": 2.0}", "layers"},
    };
    pcv_settings *s;
    must(pcv_settings_open(&s, &err));
    refused(pcv_settings_set(s, "layrs", "3", &err), PCV_USAGE, "--layrs");
    refused(pcv_settings_set(s, "", "3", &err), PCV_USAGE, "no such setting");
    refused(pcv_settings_set(s, "positions.kind", "none", &err), PCV_USAGE, "no such setting");
    refused(pcv_settings_set(s, "layers", "many", &err), PCV_USAGE, "--layers: 'many'");
    refused(pcv_settings_set(s, "seed", "-1", &err), PCV_USAGE, "--seed: -1 is out of range");
    refused(pcv_settings_set(s, "heads", "0", &err), PCV_USAGE, "--heads: 0 is out of range");
    refused(pcv_settings_set(s, "channels", "65537", &err), PCV_USAGE, "--channels");
    refused(pcv_settings_set(s, "preset", "tinny", &err), PCV_USAGE, "did you mean 'tiny'?");
    refused(pcv_settings_set(s, "dialect", "tiny", &err), PCV_USAGE, "--dialect: 'tiny'");
    for (int i = 0; i < 300; i++) must(pcv_settings_set(s, "layers", i < 299 ? "3" : "5", &err)); /* one setting */
    assert_string_equal(settings_get(s, "layers"), "5");
    for (int i = 1; i < 256; i++) must(pcv_settings_set(s, "stop", "x", &err));
    refused(pcv_settings_set(s, "stop", "x", &err), PCV_USAGE, "more than 256");
    refused(pcv_settings_set(s, "heads", "3", &err), PCV_USAGE, "more than 256");
    pcv_settings_close(s);
    for (size_t i = 0; i < COUNT(files); i++) {
        must(pcv_settings_open(&s, &err));
        put("bad.json", files[i][0], strlen(files[i][0]));
        refused(pcv_settings_read(s, at("bad.json"), &err), PCV_CONFIG, files[i][1]);
        refused(pcv_settings_read(s, at("bad.json"), &err), PCV_CONFIG, "bad.json");
        pcv_settings_close(s);
    }
    pcv_settings_close(NULL);
}

/* Runs the body in a process of its own: true when it comes back with true. */
static bool survives(bool (*body)(const char *), const char *argument) {
    pid_t child = fork();
    if (child == 0) {
        signal(SIGFPE, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) _exit(2);
        _exit(!body(argument));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Checks a model with these values; "!key=number" is one that no table lets through. */
static bool check_refuses(const char *list) {
    static model_config c;
    pcv_error err = {0};
    if (settings_model(NULL, &c, NULL)) return false;
    c.vocab_size = 259;
    if (*list == '!') {
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(list + 1, "="), list + 1);
        const field *f = fields_by_key(&model_fields, key);
        *(int64_t *)((char *)&c + f->offset) = strtoll(strchr(list, '=') + 1, NULL, 10);
    } else if (settings_apply_list(list, &model_fields, "", &c, NULL)) {
        return false;
    }
    return model_config_check(&c, &err) == PCV_CONFIG && err.code == PCV_CONFIG && err.message[0];
}

static void impossible_models(void **state) {
    (void)state;
    static const char *const lists[] = {
        "heads=3", "cross_heads=5", "latents=4097", "vocab_size=1", "input_channels=128",
        "channels=65536 heads=4 layers=4096", "vocab_size=16777216 channels=65536",
        "query=linear input_channels=130", "query=linear latent_kv_norm=shared",
        "query=linear input_channels=128 tied_embeddings=true", "positions.axes=5000",
        "positions.kind=learned positions.axes=100", "cross_after_layers=6",
        "positions.kind=sinusoidal positions.axes=5000,9,9,9,9", "positions.kind=learned positions.axes=5000,66",
        "positions.kind=sinusoidal positions.axes=66,66,5", "positions.kind=learned positions.axes=4097,4096 positions.origin=one", "latents_per_position=2",
        "positions.rotary.fraction=0 latents_per_position=3", "!context=0", "!latents=0",
        "!latents=-8", "!channels=0", "!heads=0", "!heads=-4", "!layers=-1", "!vocab_size=-7",
        "!latents_per_position=0", "!context=9223372036854775807", "!channels=4611686018427387904",
        "!layers=9223372036854775807", "!vocab_size=9223372036854775807",
    };
    static model_config c;
    must(settings_model(NULL, &c, &err));
    c.vocab_size = 259;
    must(model_config_check(&c, &err));
    assert_true(c.cross_heads == c.heads && c.input_channels == c.channels);
    for (int of_data = 0; of_data < 2; of_data++) { /* axes of the data may be short, others reach through the context */
        must(settings_apply_list(of_data ? "positions.kind=learned positions.axes=66,66,5 positions.origin=data" :
                                 "positions.kind=learned positions.axes=4096,4096", &model_fields, "", &c, &err));
        must(model_config_check(&c, &err));
    }
    int failed = 0;
    for (size_t i = 0; i < COUNT(lists); i++) {
        if (survives(check_refuses, lists[i])) continue;
        print_error("%s: not refused\n", lists[i]);
        failed++;
    }
    assert_int_equal(failed, 0);
}

/* What help calls the default is what is in force: without a word, and with a dialect, a preset and an architecture. */
static void defaults_in_force(void **state) {
    (void)state;
    static const char *const choices[][3] = { /* dialect, preset, architecture */
        {0}, {"official"}, {NULL, "codes"}, {"flaxformer", "books", "transformer"}, {NULL, "copy-131072-paper"},
        {NULL, NULL, "transformer-xl"}};
    static union { model_config model; train_config train; sample_config sample; eval_config eval; token_config tokens; } c, told;
    for (size_t i = 0; i < COUNT(choices); i++) {
        pcv_settings *s;
        must(pcv_settings_open(&s, &err));
        if (choices[i][0]) must(pcv_settings_set(s, "dialect", choices[i][0], &err));
        if (choices[i][1]) must(pcv_settings_set(s, "preset", choices[i][1], &err));
        if (choices[i][2]) must(pcv_settings_set(s, "arch", choices[i][2], &err));
        for (pcv_group g = 0; g < PCV_GROUPS; g++) {
            pcv_option o, same;
            int count = 0;
            must(g == PCV_MODEL ? settings_model(s, &c.model, &err) : g == PCV_TRAINING ? settings_train(s, &c.train, &err) :
                 g == PCV_SAMPLING ? settings_sample(s, &c.sample, &err) : g == PCV_EVALUATION ? settings_eval(s, &c.eval, &err) :
                 settings_tokens(s, &c.tokens, &err));
            for (int k = 0; pcv_option_of(s, g, k, &o); k++, count++) {
                const field *f = fields_by_flag(settings_table(g), o.name);
                if (!f || !strcmp(o.name, "arch") || f->type == FIELD_STRINGS) continue;
                must(field_parse(f, &told, o.initial, o.name, &err));
                if (!field_same(f, &told, &c)) test_failed("choice %zu, --%s: default %s\n", i, o.name, o.initial);
                if (i == 0 && (!pcv_option_at(g, k, &same) || strcmp(same.initial, o.initial) || same.name != o.name))
                    test_failed("--%s: %s without settings\n", o.name, same.initial);
                if (choices[i][2] && o.architectures) test_failed("--%s: for %s\n", o.name, o.architectures);
            }
            assert_true(count > 5);
        }
        pcv_settings_close(s);
    }
}

/* Every key of a model, those of one architecture that lacks them set to something else than their defaults. */
static json_t *all_keys(const model_config *own) {
    static model_config c;
    json_t *all = json_object();
    c = *own;
    must(settings_apply_list("latents=2 input_channels=24 cross_heads=3 cross_mlp_ratio=2 query=mlp query_layers=3 "
                             "query_residual=false initial_cross=true latent_kv_norm=query cross_width=latent "
                             "latents_per_position=2 self_reach=3 cross_after_layers=1 prefix_dropout=0.5 "
                             "latent_dropout=0.5 sparse.kind=fixed sparse.stride=1000 sparse.summary=2000 memory=7 "
                             "positions.kind=learned positions.origin=one positions.axes=9,9 positions.rotary.query_offset=5 "
                             "positions.rotary.fraction=0.25 qk_norm=true", &model_fields, "", &c, &err));
    for (int i = 0; i < model_settings(own)->count; i++) field_copy(&model_settings(own)->rows[i], &c, own);
    must(fields_write(&model_fields, &c, all, &err));
    return all;
}

/* A config.json holds what applies to its architecture. One that holds more, as older versions wrote it, is the same. */
static void settings_of_architectures(void **state) {
    (void)state;
    static const struct {
        const char *architecture, *has, *lacks;
    } cases[] = {
        {"perceiver-ar", "latents self_reach prefix_dropout positions.rotary.query_offset qk_norm", "memory sparse.stride"},
        {"transformer", "context layers positions.kind positions.rotary.fraction qk_norm",
         "latents query self_reach prefix_dropout positions.rotary.query_offset memory sparse.stride"},
        {"sparse-transformer", "sparse.kind sparse.stride sparse.summary positions.kind", "latents memory"},
        {"transformer-xl", "memory scale_scores", "latents positions.kind positions.rotary.fraction qk_norm sparse.kind"},
    };
    static model_config own, read, older;
    train_config train;
    for (size_t i = 0; i < COUNT(cases); i++) {
        json_t *extra = NULL;
        must(settings_model(NULL, &own, &err));
        must(field_parse(fields_by_key(&model_fields, "architecture"), &own, cases[i].architecture, "", &err));
        own.vocab_size = 259;
        must(settings_train(NULL, &train, &err));
        must(model_config_check(&own, &err));
        must(config_write(at("new.json"), &own, &train, NULL, &err));
        must(config_read(at("new.json"), &read, &train, &extra, &err));
        const char *lists[] = {cases[i].has, cases[i].lacks};
        for (int l = 0; l < 2; l++)
            for (const char *next = lists[l]; *next; next += strspn(next, " ")) {
                char key[64];
                snprintf(key, sizeof key, "%.*s", (int)strcspn(next, " "), next);
                next += strlen(key);
                bool listed = fields_by_key(model_settings(&own), key) != NULL;
                const json_t *found = extra;
                for (char *at = strtok(key, "."); at; at = strtok(NULL, ".")) found = json_object_get(found, at);
                if (listed != !l || (found != NULL) != !l)
                    test_failed("%s: %.*s\n", cases[i].architecture, (int)strcspn(lists[l], " "), lists[l]);
            }
        json_t *all = all_keys(&own);
        must(json_write(all, at("old.json"), &err));
        must(config_read(at("old.json"), &older, &train, NULL, &err));
        for (int k = 0; k < model_fields.count; k++)
            if (!field_same(&model_fields.rows[k], &own, &read) || !field_same(&model_fields.rows[k], &own, &older))
                test_failed("%s: %s is not what it was\n", cases[i].architecture, model_fields.rows[k].key);
        json_decref(all);
        json_decref(extra);
    }
}

/* config.json there and back while every allocation in turn fails: an error, or the whole truth. */
static void settings_without_memory(void **state) {
    (void)state;
    static const char config[] = "{\"layers\": 5, \"cross_after_layers\": [1, 3], "
                                 "\"vocab_size\": 9, \"format\": \"perceiver.c run\", \"training\": {\"lr\": 0.25}}";
    put("whole.json", config, sizeof config - 1);
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        static model_config model;
        train_config train;
        json_t *extra = NULL;
        mem_fail_after(n);
        int status = config_read(at("whole.json"), &model, &train, &extra, NULL);
        if (!status) status = config_write(at("copy.json"), &model, &train, extra, NULL);
        json_decref(extra);
        done = mem_fail_after(0) < n;
        assert_true(status == 0 || status == PCV_MEMORY);
        if (status) continue;
        must(config_read(at("copy.json"), &model, &train, &extra, &err));
        assert_true(model.layers == 5 && train.lr == 0.25 && model.cross_after_layers.count == 2);
        assert_string_equal(json_string_value(json_object_get(extra, "format")), "perceiver.c run");
        json_decref(extra);
        must(path_remove(at("copy.json"), &err));
    }
}

enum { PLENTY = 1 << 20 };
static int json_left;  /* allocations that jansson still gets; then one is refused, */
static bool json_ends; /* or all */

static void *get_some(size_t size) { return json_left-- > 0 || (json_left < -1 && !json_ends) ? malloc(size) : NULL; }

/* The same of memory that the JSON library asks for while a config.json is put together. (What it asks for while it
 * reads its own text back is left out: jansson 2.14 goes on behind a text that did not grow.) */
static void settings_without_json(void **state) {
    (void)state;
    static model_config model;
    train_config train;
    json_t *extra = NULL;
    must(config_read(at("whole.json"), &model, &train, &extra, &err));
    for (int k = 0; k < 4; k++) { /* with and without what the program does not know; refused once, and from then on */
        const json_t *more = k & 1 ? extra : NULL;
        json_t *whole;
        json_set_alloc_funcs(get_some, free);
        json_left = PLENTY;
        must(config_write(at("copy.json"), &model, &train, more, &err));
        int count = PLENTY - json_left;
        must(json_read(&whole, at("copy.json"), 1 << 20, &err));
        json_left = PLENTY;
        must(json_write(whole, at("copy.json"), &err));
        count -= PLENTY - json_left;
        json_decref(whole);
        must(path_remove(at("copy.json"), &err));
        assert_true(count > model_fields.count);
        json_ends = k & 2;
        for (int n = 0; n < count; n++) {
            json_left = n;
            refused(config_write(at("copy.json"), &model, &train, more, &err), PCV_MEMORY, "not enough memory to write");
            assert_true(!path_exists(at("copy.json")));
        }
        json_set_alloc_funcs(malloc, free);
    }
    json_decref(extra);
}

/* ------------------------------------------------------------------ sampling */

enum { VOCAB = 9, FIRST = 4, DRAWS = 20000 };

/* Ids 0, 2 and 3 must never come out; 1 ends a document. */
static const tokenizer tokens = {.type = &token_bytes, .vocab = VOCAB, .pad = 0, .end = 1, .start = 2, .first = FIRST};

static sample_config sampling(double temperature) {
    static sample_config c;
    fields_default(&sample_fields, memset(&c, 0, sizeof c));
    c.temperature = temperature;
    return c;
}

/* One draw with everything that it depends on; *status may be NULL where it must succeed. */
static int32_t pick(const sample_config *c, const float *logits, const int32_t *recent,
                    size_t count, uint64_t step, int *status) {
    sampler s;
    int32_t id = -1;
    pcv_error err = {0};
    assert_int_equal(sampler_open(&s, c, &tokens, VOCAB, &err), 0);
    int found = sampler_pick(&s, logits, recent, count, step, &id, &err);
    sampler_close(&s);
    if (status) *status = found;
    else if (found) test_failed("sampler_pick -> %d: %s\n", found, err.message);
    return id;
}

static void greedy(void **state) {
    (void)state;
    sample_config c = sampling(0);
    float logits[VOCAB] = {9, 4, 8, 7, 1, 3, 2, 3, -1};
    assert_int_equal(pick(&c, logits, NULL, 0, 0, NULL), 1); /* 9, 8 and 7 belong to masked ids */
    c.ignore_end = true;
    assert_int_equal(pick(&c, logits, NULL, 0, 0, NULL), 5); /* of equals the first */
    for (int i = 0; i < VOCAB; i++) logits[i] -= 1000;
    assert_int_equal(pick(&c, logits, NULL, 0, 0, NULL), 5);
    logits[VOCAB - 1] = 0;
    assert_int_equal(pick(&c, logits, NULL, 0, 0, NULL), VOCAB - 1);
}

/* Draws from log p and compares with the expected probabilities (0: never), each within 4 sigma. */
static void check_draws(const char *what, const sample_config *c, const float *logits,
                        const double expected[VOCAB]) {
    sampler s;
    double count[VOCAB] = {0}, total = 0;
    must(sampler_open(&s, c, &tokens, VOCAB, &err));
    for (int i = 0; i < DRAWS; i++) {
        int32_t id;
        must(sampler_pick(&s, logits, NULL, 0, (uint64_t)i, &id, &err));
        assert_in_range(id, 0, VOCAB - 1);
        count[id]++;
    }
    sampler_close(&s);
    for (int i = 0; i < VOCAB; i++) total += expected[i];
    for (int i = 0; i < VOCAB; i++) {
        double p = expected[i] / total, sigma = sqrt(p * (1 - p) / DRAWS);
        if (fabs(count[i] / DRAWS - p) > 4 * sigma)
            test_failed("%s: id %d was drawn with %.4f, expected %.4f +- %.4f\n", what, i,
                        count[i] / DRAWS, p, sigma);
    }
}

/* The five content ids have probabilities .4, .3, .2, .06, .04; each case keeps some of them. */
static void truncations(void **state) {
    (void)state;
    static const double p[5] = {0.2, 0.4, 0.04, 0.3, 0.06};
    static const struct {
        const char *what;
        double temperature, top_k, top_p, min_p;
        double keep; /* those of at least this probability stay */
    } cases[] = {
        {"nothing cut", 1, 0, 1, 0, 0},        {"temperature 2", 2, 0, 1, 0, 0},
        {"temperature 0.5", 0.5, 0, 1, 0, 0},  {"top-k 1", 1, 1, 1, 0, 0.4},
        {"top-k 3", 1, 3, 1, 0, 0.2},          {"top-k beyond the vocabulary", 1, 99, 1, 0, 0},
        {"top-p 0", 1, 0, 0, 0, 0.4},          {"top-p 0.39", 1, 0, 0.39, 0, 0.4},
        {"top-p 0.65", 1, 0, 0.65, 0, 0.3},    {"top-p 0.95", 1, 0, 0.95, 0, 0.06},
        {"min-p 0.12", 1, 0, 1, 0.12, 0.06},   {"min-p 0.6", 1, 0, 1, 0.6, 0.3},
        {"min-p 1", 1, 0, 1, 1, 0.4},          {"top-k 4, min-p 0.3", 1, 4, 1, 0.3, 0.2},
        {"top-k 3 leaves 0.9, of which top-p 0.75 needs two", 1, 3, 0.75, 0, 0.3},
        {"temperature 0.5 makes 0.4 more than half", 0.5, 0, 0.5, 0, 0.4},
        {"temperature 2, then min-p 0.8 of the root", 2, 0, 1, 0.8, 0.3},
        {"all three", 1.5, 4, 0.85, 0.05, 0.2},
    };
    float logits[VOCAB] = {50, -INFINITY, 40, 60};
    for (int i = 0; i < 5; i++) logits[FIRST + i] = (float)log(p[i]) + 3;
    for (size_t k = 0; k < COUNT(cases); k++) {
        sample_config c = sampling(cases[k].temperature);
        double expected[VOCAB] = {0};
        c.top_k = (int64_t)cases[k].top_k, c.top_p = cases[k].top_p, c.min_p = cases[k].min_p;
        for (int i = 0; i < 5; i++)
            if (p[i] >= cases[k].keep) expected[FIRST + i] = pow(p[i], 1 / cases[k].temperature);
        check_draws(cases[k].what, &c, logits, expected);
    }
}

/* What is as likely as the likeliest has all of its probability: min-p 1 keeps every one of them. */
static void equals_are_kept(void **state) {
    (void)state;
    sample_config c = sampling(0.7);
    const float logits[VOCAB] = {0, -90, 0, 0, 2, 1, 2, -3, 2};
    static const double expected[VOCAB] = {0, 0, 0, 0, 1, 0, 1, 0, 1};
    c.min_p = 1;
    check_draws("three equals", &c, logits, expected);
}

static void masked_ids(void **state) {
    (void)state;
    sample_config c = sampling(1);
    const float logits[VOCAB] = {1e30f, 0, 30, 3e38f, 0, 0, -INFINITY, 0, -200};
    static const double with_end[VOCAB] = {0, 1, 0, 0, 1, 1, 0, 1};
    static const double without[VOCAB] = {0, 0, 0, 0, 1, 1, 0, 1};
    check_draws("end allowed", &c, logits, with_end);
    c.ignore_end = true;
    check_draws("end ignored", &c, logits, without);
}

static void repetition(void **state) {
    (void)state;
    static const struct {
        float logits[3]; /* of ids 4, 5, 6; -50 elsewhere */
        int32_t recent[5];
        size_t count;
        double penalty;
        int64_t last;
        int32_t expected;
    } cases[] = {
        {{2, 1.5f, 0}, {4}, 1, 1, 64, 4},         /* no penalty */
        {{2, 1.5f, 0}, {4}, 0, 2, 64, 4},         /* nothing recent */
        {{2, 1.5f, 0}, {4}, 1, 2, 64, 5},         /* 2 / 2 < 1.5 */
        {{-1, -1.5f, -9}, {4}, 1, 2, 64, 5},      /* -1 * 2 < -1.5 */
        {{2, 1.5f, 0}, {4, 4, 4}, 3, 1.3, 64, 4}, /* once: 2 / 1.3 > 1.5 > 2 / 1.3^2 */
        {{2, 1.5f, 0}, {4, 5}, 2, 2, 64, 4},      /* both alike */
        {{2, 1.5f, 0}, {4, 5}, 2, 2, 1, 4},       /* 5 alone */
        {{2, 1.5f, 0}, {5, 4, 6}, 3, 2, 2, 5},    /* 4 and 6 */
        {{2, 1.5f, 0}, {4, 4, 4, 4}, 4, 2, 0, 4}, /* the last none */
        {{1.5f, 2, 0}, {4}, 1, 0.5, 64, 4},       /* below 1 it strengthens */
        {{2, 1.5f, 0}, {0, 2, 3, 1}, 4, 9, 64, 4}, /* masked ids stay masked */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        sample_config c = sampling(0);
        float logits[VOCAB];
        c.repeat_penalty = cases[i].penalty, c.repeat_last = cases[i].last;
        for (int k = 0; k < VOCAB; k++) logits[k] = k >= 4 && k < 7 ? cases[i].logits[k - 4] : -50;
        int32_t id = pick(&c, logits, cases[i].recent, cases[i].count, 0, NULL);
        if (id != cases[i].expected) test_failed("case %zu: id %d\n", i, (int)id);
    }
}

static void seeds(void **state) {
    (void)state;
    enum { STEPS = 200 };
    const float logits[VOCAB] = {0};
    sample_config c = sampling(1), other = sampling(1);
    other.seed = c.seed + 1;
    int differ = 0, far = 0, before = 0;
    for (uint64_t step = STEPS; step--;) {
        int32_t id = pick(&c, logits, NULL, 0, step, NULL);
        assert_int_equal(pick(&c, logits, NULL, 0, step, NULL), id);
        differ += pick(&other, logits, NULL, 0, step, NULL) != id;
        far += pick(&c, logits, NULL, 0, step + ((uint64_t)1 << 32), NULL) != id;
        before += pick(&c, logits, NULL, 0, step + 1, NULL) != id;
    }
    assert_in_range(differ, 140, 190); /* of six equal ids: 167 +- 5 */
    assert_in_range(far, 140, 190);
    assert_in_range(before, 140, 190);
}

/* Nothing to choose from is an error. One value that is not finite is one too, or it is left out;
 * it never spoils the choice among the others. */
static void not_finite(void **state) {
    (void)state;
    static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY};
    static const double temperatures[] = {0, 0.01, 1};
    for (size_t i = 0; i < COUNT(odd) * COUNT(temperatures); i++) {
        float x = odd[i % COUNT(odd)], all[VOCAB] = {5, x, 5, 5, x, x, x, x, x};
        sample_config c = sampling(temperatures[i / COUNT(odd)]);
        int status;
        pick(&c, all, NULL, 0, 0, &status);
        assert_int_equal(status, PCV_NUMERIC);
        for (int place = FIRST; place < VOCAB && c.temperature < 1; place++) {
            float logits[VOCAB] = {5, -INFINITY, 5, 5, 4, 5, 100, 7, 8};
            logits[place] = x;
            int32_t id = pick(&c, logits, NULL, 0, 0, &status), best = place == 6 ? 8 : 6;
            bool good = status == PCV_NUMERIC ? x != -INFINITY
                                              : id == best || (x == INFINITY && id == place);
            if (!good)
                test_failed("%g as logit %d at temperature %g: status %d, id %d\n", (double)x,
                            place, c.temperature, status, (int)id);
        }
    }
}

/* ------------------------------------------------------------------ learning rates */

static void schedules(void **state) {
    (void)state;
    static const struct {
        schedule_kind kind;
        int64_t warmup, step;
        double progress, share, expected; /* lr 2, lr_end 0.1 */
    } cases[] = {
        {SCHEDULE_CONSTANT, 4, 0, 0, 0, 0.5},  {SCHEDULE_COSINE, 4, 1, 0.9, 0, 1},
        {SCHEDULE_LINEAR, 4, 2, 0.9, 0, 1.5},  {SCHEDULE_WSD, 4, 3, 0.9, 0.5, 2},
        {SCHEDULE_RSQRT, 4, 3, 0.9, 0, 2},     {SCHEDULE_CONSTANT, 4, 99, 0.7, 0, 2},
        {SCHEDULE_COSINE, 0, 0, 0, 0, 2},      {SCHEDULE_COSINE, 4, 4, 0.25, 0, 1.7363961030678927},
        {SCHEDULE_COSINE, 4, 4, 0.5, 0, 1.1},  {SCHEDULE_COSINE, 4, 4, 1, 0, 0.2},
        {SCHEDULE_COSINE, 4, 4, 1.5, 0, 0.2},  {SCHEDULE_COSINE, 4, 4, -1, 0, 2},
        {SCHEDULE_LINEAR, 4, 4, 0.25, 0, 1.55}, {SCHEDULE_LINEAR, 4, 4, 1, 0, 0.2},
        {SCHEDULE_RSQRT, 4, 15, 0.3, 0, 1},    {SCHEDULE_RSQRT, 4, 4, 0, 0, 1.7888543819998317},
        {SCHEDULE_RSQRT, 0, 3, 0, 0, 1},       {SCHEDULE_WSD, 4, 4, 0.6, 0.4, 2},
        {SCHEDULE_WSD, 4, 4, 0.8, 0.4, 1.1},   {SCHEDULE_WSD, 4, 4, 0.9, 0.4, 0.65},
        {SCHEDULE_WSD, 4, 4, 1, 0.4, 0.2},     {SCHEDULE_WSD, 4, 4, 0.5, 1, 1.1},
        {SCHEDULE_WSD, 4, 4, 0.99, 0, 2},      {SCHEDULE_FLAT_COSINE, 0, 0, 0.4, 0.5, 2},
        {SCHEDULE_FLAT_COSINE, 0, 9, 0.75, 0.5, 1.1}, {SCHEDULE_FLAT_COSINE, 0, 9, 1, 0.5, 0.2},
        {SCHEDULE_STEPS, 0, 9, 0.69, 0, 2},    {SCHEDULE_STEPS, 0, 9, 0.7, 0, 0.2},
        {SCHEDULE_STEPS, 0, 9, 0.86, 0, 0.02}, {SCHEDULE_STEPS, 0, 9, 1, 0, 0.002},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char what[32];
        train_config c = {.lr = 2, .lr_end = 0.1, .schedule = (int)cases[i].kind};
        c.warmup = cases[i].warmup, c.decay_share = cases[i].share;
        snprintf(what, sizeof what, "rate of case %zu", i);
        double found = schedule_rate(&c, cases[i].step, cases[i].progress);
        close_to(found, cases[i].expected, 1e-12, what);
    }
}

#define T(test) cmocka_unit_test(test)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(layers_of_settings), T(every_preset), T(refused_settings), T(impossible_models),
        T(defaults_in_force), T(settings_of_architectures), T(settings_without_memory), T(settings_without_json), T(greedy), T(truncations),
        T(equals_are_kept), T(masked_ids), T(repetition),
        T(seeds), T(not_finite), T(schedules),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
