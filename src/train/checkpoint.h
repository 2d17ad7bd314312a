/* Checkpoints: RUN/checkpoints/step-NNNNNNNN/ with model.safetensors, optimizer.safetensors and, written
 * last, manifest.json, which names the others' lengths and hashes.
 *
 * A checkpoint is built in a temporary folder, every file flushed, and renamed when complete: at every
 * instant the newest step-* folder that is there is whole. The loader believes nothing: it takes the
 * newest one whose manifest, lengths and hashes hold, and says why it passed over others. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "base/fields.h"
#include "base/file.h"
#include "model/model.h"
#include "train/optimizer.h"

/* Where a run stands. All randomness is keyed by seed and step, so this is the whole state beside the
 * weights and moments. */
typedef struct run_state {
    int64_t step;    /* updates done */
    int64_t tokens;  /* targets trained on */
    int64_t windows; /* data position: windows drawn */
    int64_t skipped; /* updates left out because a loss or gradient was not finite */
    double seconds;  /* training time so far */
    double best_bits;  /* best validation, in the unit of the loss (loss_units); 0: none yet */
    int64_t best_step;
    int64_t length;  /* of the pieces trained on now (train_config.start_length) */
    double accuracy; /* of recent targets: a running mean, from 0 at each length */
    char data[FIELD_TEXT]; /* digest of the data set that best_bits is about */
    double lowest, highest; /* validations so far, bits per token; 0: none yet */
    double line_loss;       /* nats of the updates since the last line of the record */
    int64_t line_targets, line_hits;
    field_ints marks; /* of the clock (pace.h) */
    int64_t changed;  /* 1: settings or data changed on the way, so that one command does not repeat it */
} run_state;

typedef struct checkpoint_owner {
    const char *run;    /* folder */
    const char *run_id; /* that of config.json */
    const char *kernels; /* level that computed it */
    uint64_t seed;
    int64_t keep;
    const model *m;
    model_memory *memory; /* saved and loaded too, in memory.safetensors; or NULL */
} checkpoint_owner;

/* Saves weights, moments and state; removes the oldest beyond owner->keep, never the best, nor one that holds files of
 * somebody else. */
int checkpoint_save(const checkpoint_owner *owner, const optimizer *o, const run_state *state,
                    pcv_error *err);

/* Loads the newest good checkpoint. warn is called for every one passed over. */
int checkpoint_load(const checkpoint_owner *owner, optimizer *o, run_state *state,
                    const pcv_watch *watch, pcv_error *err);

/* Where the newest checkpoint says that a run stands, its files unread; PCV_NOINPUT when there is none. */
int checkpoint_peek(const char *run, run_state *state, pcv_error *err);

/* Removes what interrupted saves left behind: step-*.tmp-PID with files of a checkpoint, and nothing else. */
void checkpoint_sweep(const char *run);

#endif
