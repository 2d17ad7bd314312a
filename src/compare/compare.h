/* Comparing architectures under one budget: what a training step costs (cost.c), and what is learned in equal
 * time (quality.c). compare.c makes the list of cells, goes through it, and keeps a record of every finished
 * cell, so that an interrupted comparison goes on behind the last one; page.c turns the record into files. */
#ifndef COMPARE_COMPARE_H
#define COMPARE_COMPARE_H

#include "base/mem.h"
#include "base/text.h"
#include "config/settings.h"
#include "data/dataset.h"
#include "perceiver.h"

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

cost_cell *cost_at(const comparison *c, int arch, int depth, int context);

/* The model of an entry with so many layers and such a context, complete. */
int comparison_model(const comparison *c, int arch, int64_t layers, int64_t context, model_config *m, pcv_error *err);

/* Fills in the memory and FLOPs of every cell, so that the rest can be predicted. */
int cost_plan(comparison *c, pcv_error *err);
double cost_predict(const comparison *c, const cost_cell *cell); /* seconds of a step */
int cost_measure(comparison *c, cost_cell *cell, pcv_error *err);

/* Gives every entry a depth, for equal parameters; and, measuring, those that the record does not know yet a context,
 * for equal time of a step. */
int quality_plan(comparison *c, pcv_error *err);
int quality_equal_step(comparison *c, pcv_error *err);
/* PCV_CONFIG when no document is long enough for all to be scored on the same targets. */
int quality_check(const comparison *c, pcv_error *err);
int quality_run_all(comparison *c, pcv_error *err);

/* What a comparison is about goes into its folder; and one that goes on must be about the same. */
int comparison_begin(const comparison *c, pcv_error *err);
int comparison_check(const comparison *c, pcv_error *err);

/* A finished cell goes to the end of the record. */
int record_add(const comparison *c, json_t *line, pcv_error *err);

/* `done` of the expected seconds are over. PCV_INTERRUPTED when the caller asked to stop. */
int comparison_report(const comparison *c, double done, const char *line, pcv_error *err);

int page_write(const comparison *c, pcv_error *err);

#endif
