/* Settings are kept as they were given, names and texts, and resolved when somebody asks. So the order of the
 * calls does not matter: every struct is filled by its table's defaults, then by the dialect, the preset, the
 * config file and single settings, each over what is there (apply_all). A value is parsed when it is given, too,
 * into a scratch struct, so that the error comes with the flag and not when training starts.
 *
 * Texts for help are made once, on first use, and never change: threads may ask at the same time. */
#include "config/settings.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 20, MOST_SETTINGS = 256 };

typedef struct setting {
    char *name, *value;
} setting;

struct pcv_settings {
    int count;
    setting given[MOST_SETTINGS];
    json_t *file; /* a config.json, or NULL */
    char *path;   /* its path */
    bool shared;  /* by models of several architectures */
    char shown[256]; /* the default that was told last */
};

static const field_table *const tables[PCV_GROUPS] = {
    [PCV_MODEL] = &model_fields,
    [PCV_TRAINING] = &train_fields,
    [PCV_SAMPLING] = &sample_fields,
    [PCV_EVALUATION] = &eval_fields,
    [PCV_TOKENS] = &token_fields,
};

/* Options that name a combination; they belong to the model's group. */
static const struct {
    const char *name;
    const preset *list;
    const char *initial, *help;
} combinations[] = {
    {"dialect", dialects, "default", "published variant to start from"},
    {"preset", presets, "", "sizes and training recipe to start from"},
};
enum { COMBINATIONS = 2 };

static const preset *preset_find(const preset *list, const char *name) {
    for (; list->name; list++)
        if (!strcmp(list->name, name)) return list;
    return NULL;
}

/* ------------------------------------------------------------------ options for people */

enum { JOINED_LISTS = 64 };

/* Texts that are made from the tables once, when the first is asked for. */
static struct {
    char combination[COMBINATIONS][512]; /* "default|official|..." */
    char joined[JOINED_LISTS][256];      /* "layer|rms", one per list of choices */
    const char *const *owner[JOINED_LISTS];
    int lists;
    char usual[1024]; /* of the default dialect, each "key=value" with a zero byte behind it */
} made;

static void join_names(char *out, size_t size, const char *name) {
    size_t used = strlen(out);
    snprintf(out + used, size - used, "%s%s", used ? "|" : "", name);
}

static const char *joined_names(const char *const *names) {
    for (int i = 0; i < made.lists; i++)
        if (made.owner[i] == names) return made.joined[i];
    return NULL;
}

static void make_texts(void) {
    for (int i = 0; i < COMBINATIONS; i++)
        for (const preset *p = combinations[i].list; p->name; p++)
            join_names(made.combination[i], sizeof made.combination[i], p->name);
    for (int g = 0; g < PCV_GROUPS; g++)
        for (int k = 0; k < tables[g]->count; k++) {
            const field *f = &tables[g]->rows[k];
            if (f->type != FIELD_CHOICE || joined_names(f->names)) continue;
            CHECK(made.lists < JOINED_LISTS, "more than %d lists of choices", JOINED_LISTS);
            made.owner[made.lists] = f->names;
            for (int n = 0; f->names[n]; n++) join_names(made.joined[made.lists], sizeof made.joined[0], f->names[n]);
            made.lists++;
        }
    snprintf(made.usual, sizeof made.usual - 1, "%s", dialects[0].values);
    for (char *at = made.usual; (at = strchr(at, ' ')); at++) *at = 0;
}

static void need_texts(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_texts);
}

static const char *argument_name(const field *f) {
    switch (f->type) {
    case FIELD_INT: return "N";
    case FIELD_REAL:
    case FIELD_BELOW: return "X";
    case FIELD_BOOL: return NULL;
    case FIELD_STRING:
    case FIELD_STRINGS: return "TEXT";
    case FIELD_INTS: return "N,N...";
    case FIELD_CHOICE: return joined_names(f->names);
    }
    return "NAME";
}

/* Keys of training have this in front of them in a combination's list. */
static const char *prefix_of(const field_table *table) { return table == &train_fields ? "training." : ""; }

/* The value of a key in a combination's list, up to a space or its end; NULL: it says nothing of it. */
static const char *list_value(const char *values, const char *prefix, const char *key) {
    size_t front = strlen(prefix), size = strlen(key);
    for (const char *at = values; *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (!strncmp(at, prefix, front) && !strncmp(at + front, key, size) && at[front + size] == '=')
            return at + front + size + 1;
    return NULL;
}

/* The dialect (i 0) or preset (i 1) that was asked for, a dialect also by way of its preset; NULL: none was. */
static const preset *combination_given(const pcv_settings *s, int i) {
    const char *name = settings_get(s, combinations[i].name), *chosen = settings_get(s, "preset");
    const preset *p = i == 0 && !name && chosen ? preset_find(presets, chosen) : NULL;
    if (p) name = p->dialect;
    return name ? preset_find(combinations[i].list, name) : NULL;
}

/* What was asked for, or what is without a word. */
static const preset *combination_in_force(const pcv_settings *s, int i) {
    const preset *p = combination_given(s, i);
    return p ? p : preset_find(combinations[i].list, combinations[i].initial);
}

/* What a setting is when nothing is said of it: the preset's value, the dialect's, or the row's own. */
static const char *usual_value(pcv_settings *s, pcv_group group, const field *f) {
    const bool in_lists = group == PCV_MODEL || group == PCV_TRAINING;
    for (int i = COMBINATIONS - 1; i >= 0 && in_lists; i--) {
        const preset *p = combination_in_force(s, i);
        const char *value = p ? list_value(p->values, prefix_of(tables[group]), f->key) : NULL;
        if (!value) continue;
        if (!s) return made.usual + (value - p->values); /* the same list, cut */
        snprintf(s->shown, sizeof s->shown, "%.*s", (int)strcspn(value, " "), value);
        return s->shown;
    }
    return f->initial;
}

const field_table *settings_table(pcv_group group) { return tables[group]; }

bool settings_option(pcv_settings *s, pcv_group group, int i, pcv_option *option) {
    need_texts();
    if (group == PCV_MODEL && i < COMBINATIONS) {
        const char *initial = i == 0 ? combination_in_force(s, i)->name : ""; /* a preset may say the dialect */
        *option = (pcv_option){combinations[i].name, made.combination[i], initial, combinations[i].help, NULL};
        return true;
    }
    if (group == PCV_MODEL) i -= COMBINATIONS;
    for (int k = 0; k < tables[group]->count; k++) {
        const field *f = &tables[group]->rows[k];
        if (!f->flag || i-- > 0) continue;
        *option = (pcv_option){f->flag, argument_name(f), usual_value(s, group, f), f->help, NULL};
        return true;
    }
    return false;
}

/* ------------------------------------------------------------------ collecting */

int settings_open(pcv_settings **settings, pcv_error *err) {
    return mem_get(settings, sizeof **settings, "settings", err);
}

void settings_close(pcv_settings *s) {
    if (!s) return;
    for (int i = 0; i < s->count; i++) {
        mem_free(s->given[i].name);
        mem_free(s->given[i].value);
    }
    json_decref(s->file);
    mem_free(s->path);
    mem_free(s);
}

const char *settings_get(const pcv_settings *s, const char *name) {
    const char *value = NULL;
    for (int i = 0; s && i < s->count; i++)
        if (!strcmp(s->given[i].name, name)) value = s->given[i].value;
    return value;
}

void settings_share(pcv_settings *s) { s->shared = true; }

bool settings_are_shared(const pcv_settings *s) { return s && s->shared; }

packing settings_packing(const pcv_settings *s, const char *name) {
    const char *given = settings_get(s, name);
    return !given || !strcmp(given, "f32") ? PACK_F32 : !strcmp(given, "bf16") ? PACK_BF16 : PACK_INT8;
}

int settings_precision(const pcv_settings *s) {
    const char *given = settings_get(s, "precision");
    return !given || !strcmp(given, "f32") ? PRECISION_F32 : !strcmp(given, "bf16") ? PRECISION_BF16 : PRECISION_TF32;
}

static int check_combination(int i, const char *value, pcv_error *err) {
    if (preset_find(combinations[i].list, value)) return 0;
    const char *names[64];
    int count = 0;
    for (const preset *p = combinations[i].list; p->name && count < 64; p++) names[count++] = p->name;
    const char *near = nearest_name(value, names, count);
    need_texts();
    return fail(err, PCV_USAGE, "--%s: '%s' is not one of %s%s%s%s", combinations[i].name, value,
                made.combination[i], near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* Some group must know the name and accept the value; a union of members is scratch for parsing. */
static int check_setting(const char *name, const char *value, pcv_error *err) {
    union {
        model_config model;
        train_config train;
        sample_config sample;
        eval_config eval;
        token_config tokens;
    } *scratch = NULL;
    int status = PCV_USAGE;
    bool known = false;
    for (int i = 0; i < COMBINATIONS; i++)
        if (!strcmp(name, combinations[i].name)) return check_combination(i, value, err);
    if (mem_get(&scratch, sizeof *scratch, "a setting", err)) return PCV_MEMORY;
    char where[128];
    snprintf(where, sizeof where, "--%.100s", name);
    for (int g = 0; g < PCV_GROUPS && status; g++) {
        const field *f = fields_by_flag(tables[g], name);
        if (!f) continue;
        known = true;
        status = field_parse(f, scratch, value, where, err);
    }
    mem_free(scratch);
    return known ? status : fail(err, PCV_USAGE, "--%s: there is no such setting", name);
}

static int replace(char **slot, const char *value, pcv_error *err) {
    char *copy = NULL;
    int status = mem_string(&copy, value, err);
    if (status) return status;
    mem_free(*slot);
    *slot = copy;
    return 0;
}

/* A setting that is a list of texts: every one that is given adds one. */
static bool adds(const char *name) {
    for (int g = 0; g < PCV_GROUPS; g++) {
        const field *f = fields_by_flag(tables[g], name);
        if (f) return f->type == FIELD_STRINGS;
    }
    return false;
}

int settings_set(pcv_settings *s, const char *name, const char *value, pcv_error *err) {
    int status = check_setting(name, value, err);
    if (status) return status;
    for (int i = 0; i < s->count && !adds(name); i++)
        if (!strcmp(s->given[i].name, name)) return replace(&s->given[i].value, value, err);
    if (s->count == MOST_SETTINGS)
        return fail(err, PCV_USAGE, "more than %d settings", MOST_SETTINGS);
    setting *new = &s->given[s->count];
    status = mem_string(&new->name, name, err);
    if (!status) status = mem_string(&new->value, value, err);
    if (status) {
        mem_free(new->name);
        *new = (setting){0};
        return status;
    }
    s->count++;
    return 0;
}

int settings_read(pcv_settings *s, const char *path, pcv_error *err) {
    json_decref(s->file);
    mem_free(s->path);
    s->file = NULL;
    s->path = NULL;
    int status = mem_string(&s->path, path, err);
    if (!status) status = json_read(&s->file, path, CONFIG_LIMIT, err);
    if (status) return status;
    model_config *model = NULL; /* refuse bad keys now, not when training starts */
    train_config train;
    status = mem_get(&model, sizeof *model, "settings", err);
    if (!status) status = settings_model(s, model, err);
    if (!status) status = settings_train(s, &train, err);
    mem_free(model);
    return status;
}

/* ------------------------------------------------------------------ resolving */

int settings_apply_list(const char *values, const field_table *table, const char *prefix,
                        void *object, pcv_error *err) {
    size_t skip = strlen(prefix);
    for (const char *at = values; *at; at += strspn(at, " ")) {
        char item[256], *equals;
        size_t size = strcspn(at, " ");
        snprintf(item, sizeof item, "%.*s", (int)size, at);
        at += size;
        equals = strchr(item, '=');
        CHECK(equals, "'%s' in a preset", item);
        *equals = 0;
        if (strncmp(item, prefix, skip)) continue;
        const field *f = fields_by_key(table, item + skip);
        if (!f) continue; /* another table's */
        int status = field_parse(f, object, equals + 1, item, err);
        if (status) return status;
    }
    return 0;
}

/* What a run notes in its config.json beside the settings: the names of its classes, and texts, of which "format" says
 * what the file is. */
enum { NOTES_NO_TEXT = 2 };
static const char *const notes[] = {"training", "labels", "format", "run", "dataset", "kind", "digest", "meaning",
                                    NULL};

static int check_notes(const json_t *file, const char *path, pcv_error *err) {
    for (const char *const *key = notes + NOTES_NO_TEXT; *key; key++) {
        const json_t *value = json_object_get(file, *key);
        if (value && !json_is_string(value)) return fail(err, PCV_CONFIG, "%s: '%s' is no text", path, *key);
    }
    const char *format = json_string_value(json_object_get(file, "format"));
    if (!format || !strcmp(format, RUN_FORMAT)) return 0;
    return fail(err, PCV_CONFIG, "%s: 'format' is '%s', expected '" RUN_FORMAT "'", path, format);
}

/* Reads the model's or training's part of the config file, where there is one, into *object. */
static int read_file_part(const pcv_settings *s, const field_table *table, bool training, void *object,
                          pcv_error *err) {
    if (!s || !s->file) return 0;
    int status = check_notes(s->file, s->path, err);
    if (status) return status;
    if (!training) return fields_read(table, object, s->file, notes, s->path, err);
    const json_t *part = json_object_get(s->file, "training");
    char where[PATH_SIZE];
    snprintf(where, sizeof where, "%.4000s: training", s->path);
    return part ? fields_read(table, object, part, NULL, where, err) : 0;
}

static int apply_given(const pcv_settings *s, const field_table *table, void *object,
                       pcv_error *err) {
    for (int i = 0; s && i < s->count; i++) {
        const field *f = fields_by_flag(table, s->given[i].name);
        if (!f) continue;
        char where[128];
        snprintf(where, sizeof where, "--%.100s", s->given[i].name);
        int status = field_parse(f, object, s->given[i].value, where, err);
        if (status) return status;
    }
    return 0;
}

/* What was given, weakest first, over what *object holds; a combination that was not given is `fallback`'s. */
static int apply_all(const pcv_settings *s, const field_table *table, bool fallback, void *object, pcv_error *err) {
    for (int i = 0; i < COMBINATIONS; i++) {
        const preset *p = fallback ? combination_in_force(s, i) : combination_given(s, i);
        int status = p ? settings_apply_list(p->values, table, prefix_of(table), object, err) : 0;
        if (status) return status;
    }
    int status = read_file_part(s, table, table == &train_fields, object, err);
    return status ? status : apply_given(s, table, object, err);
}

static bool file_has(const json_t *json, const char *prefix, const char *key) {
    char path[256];
    snprintf(path, sizeof path, "%s%s", prefix, key);
    for (char *at = path, *dot; at; at = dot ? dot + 1 : NULL) {
        if ((dot = strchr(at, '.'))) *dot = 0;
        json = json_object_get(json, at);
    }
    return json != NULL;
}

setting_source settings_source(const pcv_settings *s, const field_table *table, const field *f, char *name,
                               size_t size) {
    const char *prefix = prefix_of(table);
    if (f->flag && settings_get(s, f->flag)) {
        snprintf(name, size, "--%s", f->flag);
        return FROM_FLAG;
    }
    if (s && file_has(s->file, prefix, f->key)) {
        snprintf(name, size, "--config %s", s->path);
        return FROM_FILE;
    }
    for (int i = COMBINATIONS - 1; i >= 0; i--) {
        const preset *p = combination_given(s, i);
        if (!p || !list_value(p->values, prefix, f->key)) continue;
        bool itself = settings_get(s, combinations[i].name) != NULL; /* and not by way of a preset */
        snprintf(name, size, "--%s %s", itself ? combinations[i].name : "preset",
                 itself ? p->name : settings_get(s, "preset"));
        return i ? FROM_PRESET : FROM_DIALECT;
    }
    snprintf(name, size, "the default");
    return FROM_DEFAULT;
}

/* A run ends by updates or by time. The limit that was given in a stronger place stands alone: a flag's, over the
 * file's, over the preset's. */
static void choose_limit(const pcv_settings *s, train_config *c) {
    char name[64];
    if (c->steps == 0 || c->minutes == 0) return;
    setting_source steps = settings_source(s, &train_fields, fields_by_key(&train_fields, "steps"), name, sizeof name);
    setting_source time = settings_source(s, &train_fields, fields_by_key(&train_fields, "minutes"), name, sizeof name);
    if (steps > time) c->minutes = 0;
    if (time > steps) c->steps = 0;
}

int settings_model(const pcv_settings *s, model_config *out, pcv_error *err) {
    memset(out, 0, sizeof *out);
    fields_default(&model_fields, out);
    return apply_all(s, &model_fields, true, out, err);
}

int settings_train(const pcv_settings *s, train_config *out, pcv_error *err) {
    memset(out, 0, sizeof *out);
    fields_default(&train_fields, out);
    int status = apply_all(s, &train_fields, true, out, err);
    if (!status) choose_limit(s, out);
    return status;
}

int settings_over_model(const pcv_settings *s, model_config *c, pcv_error *err) {
    return apply_all(s, &model_fields, false, c, err);
}

int settings_over_train(const pcv_settings *s, train_config *c, pcv_error *err) {
    int status = apply_all(s, &train_fields, false, c, err);
    if (!status) choose_limit(s, c);
    return status;
}

int settings_sample(const pcv_settings *s, sample_config *out, pcv_error *err) {
    memset(out, 0, sizeof *out);
    fields_default(&sample_fields, out);
    return apply_given(s, &sample_fields, out, err);
}

int settings_eval(const pcv_settings *s, eval_config *out, pcv_error *err) {
    memset(out, 0, sizeof *out);
    fields_default(&eval_fields, out);
    return apply_given(s, &eval_fields, out, err);
}

int settings_tokens(const pcv_settings *s, token_config *out, pcv_error *err) {
    memset(out, 0, sizeof *out);
    fields_default(&token_fields, out);
    out->by_user = true;
    return apply_given(s, &token_fields, out, err);
}

int settings_take_file(const char *path, model_config *model, train_config *train, json_t **extra, pcv_error *err) {
    pcv_settings *s = NULL;
    int status = settings_open(&s, err);
    if (status) return status;
    memset(model, 0, sizeof *model);
    memset(train, 0, sizeof *train);
    fields_default(&model_fields, model);
    fields_default(&train_fields, train);
    TRY(mem_string(&s->path, path, err));
    TRY(json_read(&s->file, path, CONFIG_LIMIT, err));
    TRY(read_file_part(s, &model_fields, false, model, err));
    TRY(read_file_part(s, &train_fields, true, train, err));
    if (extra) *extra = json_incref(s->file);
out:
    settings_close(s);
    return status;
}
