/* What a training keeps: checkpoints, and the weights of its best validation. */
#include "model/weights.h"
#include "config/run_files.h"
#include "train/trainer.h"

#include <stdio.h>

enum { MOST_FAILED_SAVES = 3 };

const char *trainer_kept(trainer *r) {
    if (r->saved < 0) return "nothing was saved";
    snprintf(r->kept, sizeof r->kept, "the checkpoint of update %lld is kept, --resume goes on from it",
             (long long)r->saved);
    return r->kept;
}

int trainer_holds(trainer *r, pcv_error *err) {
    pcv_error reason;
    int status = folder_still(&r->folder, &reason);
    if (!status) return 0;
    if (r->saved < 0) return fail(err, status, "%s; nothing was saved", reason.message);
    return fail(err, status, "%s; update %lld is not saved, the checkpoint of update %lld went with the folder",
                reason.message, (long long)r->state.step, (long long)r->saved);
}

/* The run's own weights: those of the best validation, and the newest as long as there was none. */
int trainer_publish(trainer *r, pcv_error *err) {
    char path[PATH_SIZE], hash[HASH_TEXT];
    uint64_t size;
    matrix values = r->o.average.data ? r->o.average : r->m->params.values;
    int status = path_own(path, r->options->run, RUN_WEIGHTS, err);
    if (status) return status;
    if (r->state.best_bits > 0 && r->state.best_step != r->state.step && path_exists(path)) return 0;
    return weights_save(&r->m->params, &(weight_block){"", values}, 1, NULL, path, hash, &size, err);
}

int trainer_save(trainer *r, pcv_error *err) {
    pcv_error reason;
    int status = 0;
    TRY(trainer_holds(r, err));
    r->last_save = r->state.seconds;
    int failed = checkpoint_save(&r->owner, &r->o, &r->state, &reason);
    TRY(trainer_holds(r, err)); /* or it went into another folder of that name */
    if (!failed) r->saved = r->state.step;
    if (!failed) failed = trainer_publish(r, &reason);
    r->failed_saves = failed ? r->failed_saves + 1 : 0;
    if (!failed) goto out;
    trainer_say(r, "cannot save: %s", reason.message);
    if (failed == PCV_NUMERIC)
        status = fail(err, failed, "after update %lld %s; %s; " TRY_LOWER, (long long)r->state.step, reason.message,
                      trainer_kept(r));
    else if (r->failed_saves == MOST_FAILED_SAVES)
        status = fail(err, PCV_IO, "saving failed %d times: %s; %s", r->failed_saves, reason.message, trainer_kept(r));
out:
    return status;
}

int trainer_save_last(trainer *r, pcv_error *err) {
    int status;
    do status = trainer_save(r, err);
    while (!status && r->failed_saves);
    return status;
}
