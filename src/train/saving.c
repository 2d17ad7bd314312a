/* What a training keeps: checkpoints, and the weights of its best validation. */
#include "model/weights.h"
#include "config/run_files.h"
#include "train/trainer.h"

#include <stdio.h>

enum { MOST_FAILED_SAVES = 3 };

const char *trainer_kept(trainer *w) {
    if (w->saved < 0) return "nothing was saved";
    snprintf(w->kept, sizeof w->kept, "the checkpoint of update %lld is kept, --resume goes on from it",
             (long long)w->saved);
    return w->kept;
}

int trainer_holds(trainer *w, pcv_error *err) {
    pcv_error reason;
    int status = folder_still(&w->folder, &reason);
    if (!status) return 0;
    if (w->saved < 0) return fail(err, status, "%s; nothing was saved", reason.message);
    return fail(err, status, "%s; update %lld is not saved, the checkpoint of update %lld went with the folder",
                reason.message, (long long)w->state.step, (long long)w->saved);
}

/* The run's own weights: those of the best validation, and the newest as long as there was none. */
int trainer_publish(trainer *w, pcv_error *err) {
    char path[PATH_SIZE], hash[HASH_TEXT];
    uint64_t size;
    matrix values = w->o.average.data ? w->o.average : w->m->params.values;
    int status = path_own(path, w->options->run, RUN_WEIGHTS, err);
    if (status) return status;
    if (w->state.best_bits > 0 && w->state.best_step != w->state.step && path_exists(path)) return 0;
    return weights_save(&w->m->params, &(weight_block){"", values}, 1, NULL, path, hash, &size, err);
}

int trainer_save(trainer *w, pcv_error *err) {
    pcv_error reason;
    int status = 0;
    TRY(trainer_holds(w, err));
    w->last_save = w->state.seconds;
    int failed = checkpoint_save(&w->owner, &w->o, &w->state, &reason);
    TRY(trainer_holds(w, err)); /* or it went into another folder of that name */
    if (!failed) w->saved = w->state.step;
    if (!failed) failed = trainer_publish(w, &reason);
    w->failed_saves = failed ? w->failed_saves + 1 : 0;
    if (!failed) goto out;
    trainer_say(w, "cannot save: %s", reason.message);
    if (failed == PCV_NUMERIC)
        status = fail(err, failed, "after update %lld %s; %s; " TRY_LOWER, (long long)w->state.step, reason.message,
                      trainer_kept(w));
    else if (w->failed_saves == MOST_FAILED_SAVES)
        status = fail(err, PCV_IO, "saving failed %d times: %s; %s", w->failed_saves, reason.message, trainer_kept(w));
out:
    return status;
}

int trainer_save_last(trainer *w, pcv_error *err) {
    int status;
    do status = trainer_save(w, err);
    while (!status && w->failed_saves);
    return status;
}
