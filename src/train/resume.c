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
static int check_meaning(const trainer *r, pcv_error *err) {
    const char *run = r->options->run, *expected = json_string_value(json_object_get(r->extra, "meaning"));
    tokenizer own = {0};
    int status = 0;
    if (expected && !strcmp(expected, r->d->meaning)) return 0;
    TRY(tokenizer_load(&own, run, err));
    TRY(dataset_check_meaning(r->d, &own, run, err));
    if (expected) status = fail(err, PCV_DATA, "%s/" RUN_TOKENIZER ": not what the run was trained with", run);
out:
    tokenizer_close(&own);
    return status;
}

static int open_data(trainer *r, const char *config, pcv_error *err) {
    const char *name = r->options->dataset, *place, *digest = json_string_value(json_object_get(r->extra, "digest"));
    int status = json_get_string(r->extra, "dataset", &place, config, err);
    if (status) return status;
    dataset_middle(place, &r->mc);
    status = dataset_open(&r->d, name ? name : place, (uint64_t)r->c.seed, err);
    if (status == PCV_NOINPUT && !name)
        return fail(err, status, "%s: the run's data set is not there any more; name it where it is now", place);
    if (!status) status = check_meaning(r, err);
    if (status) return status;
    bool assumed;
    r->moved = !dataset_is(r->d, digest, place, &assumed);
    if (r->moved && !r->options->other_data)
        return fail(err, PCV_DATA, "%s: not the data that the run was trained on (%s%s); --other-data goes on with it",
                    r->d->name, place, strcmp(place, r->d->place) ? "" : ", as it was then");
    if (r->moved) trainer_say(r, "going on with other data: %s", r->d->place);
    else if (assumed)
        trainer_say(r, "%s is taken for the data that the run was trained on: an older version recorded no digest",
                    r->d->place);
    return 0;
}

/* ------------------------------------------------------------------ the settings */

/* The first row whose value somebody gave, and which is not the run's. by_hand: also where its own flag gave it. */
static int check_equal(const trainer *r, const field_table *table, const void *given, const void *own, bool by_hand,
                       pcv_error *err) {
    for (int i = 0; i < table->count; i++) {
        const field *f = &table->rows[i];
        char source[512], now[FIELD_TEXT], before[FIELD_TEXT];
        setting_source from = settings_source(r->settings, table, f, source, sizeof source);
        if (from == FROM_DEFAULT || (from == FROM_FLAG && !by_hand)) continue;
        if (field_same(f, given, own)) continue;
        field_print(f, given, now, sizeof now);
        field_print(f, own, before, sizeof before);
        return fail(err, PCV_CONFIG, "%s: %s would be %s, but the run has %s%s", source, f->key, now, before,
                    by_hand ? ", and a model does not change while it trains" : "; give what may change by itself");
    }
    return 0;
}

static int check_model(const trainer *r, pcv_error *err) {
    model_config *given = NULL;
    pcv_error reason;
    int status = mem_get(&given, sizeof *given, "a configuration", err);
    if (status) return status;
    *given = r->mc;
    if (given->positions.origin == ORIGIN_DATA) given->positions.origin = ORIGIN_ZERO; /* the data says it again */
    TRY(settings_over_model(r->settings, given, err));
    TRY(dataset_shape(r->d, r->settings, given, err));
    int fits = model_config_check(given, &reason); /* fills in what is left open */
    TRY(check_equal(r, &model_fields, given, &r->mc, true, err));
    TRY(settings_fit(r->settings, &r->mc, PCV_MODEL, err));
    TRY(settings_fit(r->settings, &r->mc, PCV_TRAINING, err));
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
static int check_settled(const trainer *r, const train_config *given, pcv_error *err) {
    char now[FIELD_TEXT], before[FIELD_TEXT];
    for (size_t i = 0; i < sizeof settled / sizeof *settled; i++) {
        const field *f = fields_by_key(&train_fields, settled[i].key);
        if (field_same(f, given, &r->c)) continue;
        field_print(f, given, now, sizeof now);
        field_print(f, &r->c, before, sizeof before);
        return fail(err, PCV_CONFIG, "--%s: %s would be %s, but the run has %s, and %s", f->flag, f->key, now, before,
                    settled[i].why);
    }
    if ((given->ema > 0) != (r->c.ema > 0))
        return fail(err, PCV_CONFIG, "--ema: ema would be %g, but the run has %g; an average of weights is there from "
                    "the beginning or not at all", given->ema, r->c.ema);
    if (given->batch != r->c.batch && model_type_of(&r->mc)->remembers && r->mc.memory)
        return fail(err, PCV_CONFIG, "--batch: batch would be %lld, but the run has %lld, and a memory for each row",
                    (long long)given->batch, (long long)r->c.batch);
    return 0;
}

static int change_training(trainer *r, pcv_error *err) {
    train_config given = r->c;
    int status = 0;
    TRY(settings_over_train(r->settings, &given, err));
    TRY(check_equal(r, &train_fields, &given, &r->c, false, err));
    TRY(check_settled(r, &given, err));
    r->changed = memcmp(&given, &r->c, sizeof given) != 0;
    r->c = given;
out:
    return status;
}

int resume_read(trainer *r, pcv_error *err) {
    char path[PATH_SIZE];
    const char *id;
    int status = 0;
    TRY(path_join(path, r->options->run, RUN_CONFIG, err));
    if (!path_exists(path)) {
        status = fail(err, PCV_NOINPUT, "%s: no run to resume (no config.json)", r->options->run);
        goto out;
    }
    TRY(config_read(path, &r->mc, &r->c, &r->extra, err));
    TRY(json_get_string(r->extra, "run", &id, path, err));
    snprintf(r->run_id, sizeof r->run_id, "%s", id);
    TRY(open_data(r, path, err));
    if (r->d->tokens.vocab != r->mc.vocab_size) {
        status = fail(err, PCV_DATA, "%s: %lld ids, but %s has a vocab_size of %lld", r->d->name,
                      (long long)r->d->tokens.vocab, path, (long long)r->mc.vocab_size);
        goto out;
    }
    TRY(check_model(r, err));
    TRY(change_training(r, err));
    r->d->seed = (uint64_t)r->c.seed;
out:
    return status;
}
