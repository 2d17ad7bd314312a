/* A comparison as the files that carry it out share it: its cells, what is known of them, and the models that its
 * entries stand for. Whatever is measured goes to the end of a record, so that an interrupted comparison goes on behind
 * the last cell that was finished. */
#ifndef COMPARE_COMPARISON_H
#define COMPARE_COMPARISON_H

#include "base/mem.h"
#include "config/settings.h"
#include "data/dataset.h"

enum {
    MOST_ARCHS = 8,
    MOST_VALUES = 32,
    MOST_POINTS = 6,
    RATE_SHARE = 20, /* the short trainings that choose a learning rate take this part of the time */
};

typedef enum cost_end {
    COST_WAITS,    /* not measured yet */
    COST_MEASURED,
    COST_MEMORY,   /* the step would take more memory than allowed */
    COST_TIME,     /* a step at a shorter context took longer than allowed already */
} cost_end;
extern const char *const cost_ends[];

/* One training step of one row of a batch: forward, backward, update. */
typedef struct cost_cell {
    int arch; /* index of comparison.entry */
    int64_t layers, context;
    cost_end end;
    double seconds;             /* median */
    double predicted;           /* seconds, from `flops` and the rate of the steps measured before it */
    double flops;               /* as `plan` counts them */
    int64_t planned, peak;      /* bytes: by plan, and as handed out when it ran */
    int64_t targets;            /* tokens that the step learns from */
} cost_cell;

typedef struct quality_point {
    double minutes, bits, error; /* bits per token of the validation targets */
} quality_point;

typedef struct quality_run {
    int64_t layers, context, parameters;
    bool recorded;                 /* these three stand in the record */
    double rate_bits[MOST_VALUES]; /* of each learning rate's short run, 0: not done */
    int rate;                      /* index of the best, -1: unknown */
    quality_point point[MOST_POINTS];
    int points;
    double test_bits, test_error; /* of the test targets; 0: not done */
    int64_t test_tokens, steps, tokens;
} quality_run;

typedef struct entry {
    char name[32];
    int architecture;
    int64_t context, rows; /* "name@context", "name@contextxrows" of its trainings; 0: the settings' */
} entry;

typedef struct comparison {
    const pcv_compare_options *options;
    pcv_settings *settings;
    const pcv_watch *watch;
    entry entry[MOST_ARCHS];
    int64_t depth[MOST_VALUES], context[MOST_VALUES];
    double rate[MOST_VALUES];
    int entries, depths, contexts, rates;
    int64_t batch; /* of the trainings whose entries do not say */
    cost_cell *cell; /* [entries, depths, contexts] */
    int cells;
    quality_run quality[MOST_ARCHS];
    dataset *data;
    double flops[MOST_ARCHS], seconds[MOST_ARCHS]; /* of the steps measured so far: their ratio predicts the rest */
    double expected; /* seconds of all that there is to do */
} comparison;

/* The model of an entry with so many layers and such a context, complete. */
int comparison_model(const comparison *c, int arch, int64_t layers, int64_t context, model_config *m, pcv_error *err);

/* `done` of the expected seconds are over. PCV_INTERRUPTED when the caller asked to stop. */
int comparison_report(const comparison *c, double done, const char *line, pcv_error *err);

/* A finished cell goes to the end of the record. Takes the reference to `line`; NULL: there was no memory for it. */
int record_add(const comparison *c, json_t *line, pcv_error *err);

/* Takes what an interrupted comparison has finished; a last line that was cut off is left out. */
int record_read(comparison *c, pcv_error *err);

#endif
