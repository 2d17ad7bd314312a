/* Going on with a run: it is the same model, on the data that it knows by their digest, unless somebody says otherwise
 * in a way that cannot be an accident. */
#include "base/fields.h"
#include "config/run_files.h"
#include "model/applicable.h"
#include "model/config_file.h"
#include "train/trainer.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ the data */

/* Ids must mean what they meant. */
static int check_meaning(const trainer *w, pcv_error *err) {
    const char *run = w->options->run, *expected = json_string_value(json_object_get(w->extra, "meaning"));
    tokenizer own = {0};
    int status = 0;
    if (expected && !strcmp(expected, w->d->meaning)) return 0;
    TRY(tokenizer_load(&own, run, err));
    TRY(dataset_check_meaning(w->d, &own, run, err));
    if (expected) status = fail(err, PCV_DATA, "%s/" RUN_TOKENIZER ": not what the run was trained with", run);
out:
    tokenizer_close(&own);
    return status;
}

static int open_data(trainer *w, const char *config, pcv_error *err) {
    const char *name = w->options->dataset, *place, *digest = json_string_value(json_object_get(w->extra, "digest"));
    int status = json_get_string(w->extra, "dataset", &place, config, err);
    if (status) return status;
    dataset_middle(place, &w->mc);
    status = dataset_open(&w->d, name ? name : place, (uint64_t)w->c.seed, err);
    if (status == PCV_NOINPUT && !name)
        return fail(err, status, "%s: the run's data set is not there any more; name it where it is now", place);
    if (!status) status = check_meaning(w, err);
    if (status) return status;
    bool assumed;
    w->moved = !dataset_is(w->d, digest, place, &assumed);
    if (w->moved && !w->options->other_data)
        return fail(err, PCV_DATA, "%s: not the data that the run was trained on (%s%s); --other-data goes on with it",
                    w->d->name, place, strcmp(place, w->d->place) ? "" : ", as it was then");
    if (w->moved) trainer_say(w, "going on with other data: %s", w->d->place);
    else if (assumed)
        trainer_say(w, "%s is taken for the data that the run was trained on: an older version recorded no digest",
                    w->d->place);
    return 0;
}

/* ------------------------------------------------------------------ the settings */

/* The first row whose value somebody gave, and which is not the run's. by_hand: also where its own flag gave it. */
static int check_equal(const trainer *w, const field_table *table, const void *given, const void *own, bool by_hand,
                       pcv_error *err) {
    for (int i = 0; i < table->count; i++) {
        const field *f = &table->rows[i];
        char source[512], now[FIELD_TEXT], before[FIELD_TEXT];
        setting_source from = settings_source(w->settings, table, f, source, sizeof source);
        if (from == FROM_DEFAULT || (from == FROM_FLAG && !by_hand)) continue;
        if (field_same(f, given, own)) continue;
        field_print(f, given, now, sizeof now);
        field_print(f, own, before, sizeof before);
        return fail(err, PCV_CONFIG, "%s: %s would be %s, but the run has %s%s", source, f->key, now, before,
                    by_hand ? ", and a model does not change while it trains" : "; give what may change by itself");
    }
    return 0;
}

static int check_model(const trainer *w, pcv_error *err) {
    model_config *given = NULL;
    pcv_error reason;
    int status = mem_get(&given, sizeof *given, "a configuration", err);
    if (status) return status;
    *given = w->mc;
    if (given->positions.origin == ORIGIN_DATA) given->positions.origin = ORIGIN_ZERO; /* the data says it again */
    TRY(settings_over_model(w->settings, given, err));
    TRY(dataset_shape(w->d, w->settings, given, err));
    int fits = model_config_check(given, &reason); /* fills in what is left open */
    TRY(check_equal(w, &model_fields, given, &w->mc, true, err));
    TRY(settings_fit(w->settings, &w->mc, PCV_MODEL, err));
    if (fits) status = fail(err, reason.code, "%s", reason.message);
out:
    mem_free(given);
    return status;
}

/* What a training has settled with its first update. */
static const struct {
    const char *key, *why;
} settled[] = {
    {"seed", "the run goes on with its own random numbers"},
    {"begin", "its first update is long done"},
    {"start_length", "its lengths grow from where they are"},
};

/* The first row that cannot become what was given. */
static int check_settled(const trainer *w, const train_config *given, pcv_error *err) {
    char now[FIELD_TEXT], before[FIELD_TEXT];
    for (size_t i = 0; i < sizeof settled / sizeof *settled; i++) {
        const field *f = fields_by_key(&train_fields, settled[i].key);
        if (field_same(f, given, &w->c)) continue;
        field_print(f, given, now, sizeof now);
        field_print(f, &w->c, before, sizeof before);
        return fail(err, PCV_CONFIG, "--%s: %s would be %s, but the run has %s, and %s", f->flag, f->key, now, before,
                    settled[i].why);
    }
    if ((given->ema > 0) != (w->c.ema > 0))
        return fail(err, PCV_CONFIG, "--ema: ema would be %g, but the run has %g; an average of weights is there from "
                    "the beginning or not at all", given->ema, w->c.ema);
    if (given->batch != w->c.batch && model_type_of(&w->mc)->remembers && w->mc.memory)
        return fail(err, PCV_CONFIG, "--batch: batch would be %lld, but the run has %lld, and a memory for each row",
                    (long long)given->batch, (long long)w->c.batch);
    return 0;
}

static int change_training(trainer *w, pcv_error *err) {
    train_config given = w->c;
    int status = 0;
    TRY(settings_over_train(w->settings, &given, err));
    TRY(check_equal(w, &train_fields, &given, &w->c, false, err));
    TRY(check_settled(w, &given, err));
    w->changed = memcmp(&given, &w->c, sizeof given) != 0;
    w->c = given;
out:
    return status;
}

int resume_read(trainer *w, pcv_error *err) {
    char path[PATH_SIZE];
    const char *id;
    int status = 0;
    TRY(path_join(path, w->options->run, RUN_CONFIG, err));
    if (!path_exists(path)) {
        status = fail(err, PCV_NOINPUT, "%s: no run to resume (no config.json)", w->options->run);
        goto out;
    }
    TRY(config_read(path, &w->mc, &w->c, &w->extra, err));
    TRY(json_get_string(w->extra, "run", &id, path, err));
    snprintf(w->run_id, sizeof w->run_id, "%s", id);
    TRY(open_data(w, path, err));
    if (w->d->tokens.vocab != w->mc.vocab_size) {
        status = fail(err, PCV_DATA, "%s: %lld ids, but %s has a vocab_size of %lld", w->d->name,
                      (long long)w->d->tokens.vocab, path, (long long)w->mc.vocab_size);
        goto out;
    }
    TRY(check_model(w, err));
    TRY(change_training(w, err));
    w->d->seed = (uint64_t)w->c.seed;
out:
    return status;
}
