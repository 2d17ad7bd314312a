/* What a training keeps: checkpoints, and the weights of its best validation. */
#include "model/weights.h"
#include "train/trainer.h"

enum { MOST_FAILED_SAVES = 3 };

/* The run's own weights: those of the best validation, and the newest as long as there was none. */
static int publish_weights(trainer *w, pcv_error *err) {
    char path[PATH_SIZE], hash[HASH_TEXT];
    uint64_t size;
    matrix values = w->o.average.data ? w->o.average : w->m->params.values;
    int status = path_join(path, w->options->run, RUN_WEIGHTS, err);
    if (status) return status;
    if (w->state.best_bits > 0 && w->state.best_step != w->state.step && path_exists(path)) return 0;
    return weights_save(&w->m->params, &(weight_block){"", values}, 1, NULL, path, hash, &size, err);
}

int trainer_save(trainer *w, pcv_error *err) {
    pcv_error reason;
    w->last_save = w->state.seconds;
    int status = checkpoint_save(&w->owner, &w->o, &w->state, &reason);
    if (!status) status = publish_weights(w, &reason);
    if (!status) {
        w->failed_saves = 0;
        return 0;
    }
    trainer_say(w, "cannot save: %s", reason.message);
    if (w->state.best_step == w->state.step) w->state.best_bits = 0; /* the next validation's weights will be kept */
    if (status == PCV_NUMERIC)
        return fail(err, PCV_NUMERIC, "after update %lld %s; " KEPT, (long long)w->state.step, reason.message);
    if (++w->failed_saves < MOST_FAILED_SAVES) return 0;
    return fail(err, PCV_IO, "saving failed %d times: %s", w->failed_saves, reason.message);
}
