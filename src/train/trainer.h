/* A training under way, as the files that carry it out share it: trainer.c opens it and runs its updates,
 * saving.c keeps its state, looking.c validates it and draws samples. Nobody else includes this. */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include "base/file.h"
#include "config/settings.h"
#include "gen/engine.h"
#include "train/checkpoint.h"
#include "train/metrics.h"
#include "train/step.h"

#define KEPT "the last good checkpoint is kept; try a lower --lr, a longer --warmup or a lower --clip"

typedef struct trainer {
    const pcv_train_options *options;
    const pcv_settings *settings;
    const pcv_watch *watch;
    train_config c;
    model_config mc;
    json_t *extra; /* of config.json: dataset, run id, ... */
    dataset *d;
    backend *be;
    model *m;
    optimizer o;
    tape t;
    crop_plan crops;
    stream_plan streams; /* in place of crops where the model remembers */
    step_buffer buffer;
    window *windows; /* of one update */
    int64_t rows, batches; /* windows of a batch, batches of an update */
    metrics log;
    checkpoint_owner owner;
    run_state state;
    char run_id[HASH_TEXT];
    int lock;
    bool made; /* this call made the run's folder */
    bool moved;   /* the run goes on with other data */
    bool changed; /* the run goes on with other settings */
    int bad_steps, failed_saves, validations;
    double started;    /* clock at which state.seconds was 0 */
    double last_save;  /* state.seconds of it */
    double loss, rate; /* of the last update, for display */
    double window_start;
    int64_t window_tokens, window_targets;
    double window_loss;
    double validation_bits;
} trainer;

/* A line for whoever watches. */
void trainer_say(const trainer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads the run that goes on, opens its data, and refuses what would make it another one. */
int resume_read(trainer *w, pcv_error *err);

/* Part of the run that is over, 0 to 1, by updates or by time, whichever ends it first. */
double trainer_done(const trainer *w);

/* Validates and draws samples where they are due; `last`: the run ends, so that they are. */
int trainer_look(trainer *w, bool last, pcv_error *err);
int trainer_validations(const trainer *w); /* how many are due by now, where they go by share of the run */

/* Saves a checkpoint and the run's weights. A save that fails is said and keeps the former ones; after three in a
 * row it is an error. */
int trainer_save(trainer *w, pcv_error *err);

#endif
