/* A training under way, as the files that carry it out share it: trainer.c opens it and runs its updates,
 * resume.c reads one that goes on, saving.c keeps its state, looking.c validates it and draws samples. Nobody else
 * includes this. */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include "base/file.h"
#include "config/settings.h"
#include "gen/engine.h"
#include "train/checkpoint.h"
#include "train/metrics.h"
#include "train/pace.h"
#include "train/step.h"

#define TRY_LOWER "try a lower --lr, a longer --warmup or a lower --clip"

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
    example_plan examples; /* where it answers */
    int64_t *confusion; /* [classes classes] of the last validation, where these can be drawn; or NULL */
    step_rows buffer;
    window *windows; /* of one update */
    int64_t rows, batches; /* windows of a batch, batches of an update */
    metrics log;
    checkpoint_owner owner;
    run_state state;
    char run_id[HASH_TEXT];
    folder_held folder; /* the run's, which may be removed or renamed while it is trained in */
    int lock;
    bool made; /* this call made the run's folder */
    bool moved;   /* the run goes on with other data */
    bool changed; /* the run goes on with other settings */
    int wish; /* of whoever watches, until it is fulfilled: 0, PCV_SAVE or PCV_STOP */
    int bad_steps, failed_saves, validations;
    bool half; /* a memory has seen passes of an update that is not done */
    bool no_samples, no_report; /* one could not be written, which is said once */
    int64_t saved; /* step of the newest checkpoint, -1: there is none */
    char kept[128];
    double started;    /* clock at which state.seconds was 0 */
    double last_save;  /* state.seconds of it */
    double loss, rate; /* of the last update, for display */
    double line_start;   /* clock at the last line of the record */
    int64_t line_tokens; /* targets since, in this process: for the rate */
    double validation_bits;
    bool judged;     /* the last validation could tell weights apart */
    bool small_said; /* that one could not has been said */
} trainer;

/* A line for whoever watches. */
void trainer_say(const trainer *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads the run that goes on, opens its data, and refuses what would make it another one. */
int resume_read(trainer *r, pcv_error *err);

/* Part of the run that is over, 0 to 1, by updates or by time, whichever ends it first. */
double trainer_done(const trainer *r);
double trainer_share(const trainer *r); /* the same, but as pace.h tells it: for all that the weights depend on */

/* Asks whoever watches; the answer is in r->wish too. */
int trainer_ask(trainer *r);

/* Validates, keeps the best weights and draws samples where these are due. `last`: the run ends, so that they are, and
 * it is saved. */
int trainer_look(trainer *r, bool last, pcv_error *err);
int trainer_validations(const trainer *r); /* how many are due by now, where they go by share of the run */
void trainer_report(trainer *r);

/* Is the run's folder still the one that was opened? */
int trainer_holds(trainer *r, pcv_error *err);

/* Saves a checkpoint and the run's weights. A save that fails is said and keeps the former ones; after three in a
 * row it is an error, as it is at once where the run's folder is gone. */
int trainer_save(trainer *r, pcv_error *err);
int trainer_save_last(trainer *r, pcv_error *err); /* must succeed: there is no later one */
int trainer_publish(trainer *r, pcv_error *err);   /* the run's weights alone */
const char *trainer_kept(trainer *r);              /* "the checkpoint of update 40 is kept", for the end of an error */

#endif
