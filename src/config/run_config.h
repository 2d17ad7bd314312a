/* What describes a training run, sampling and an evaluation: three more tables of settings. */
#ifndef CONFIG_RUN_CONFIG_H
#define CONFIG_RUN_CONFIG_H

#include "base/fields.h"

typedef enum schedule_kind {
    SCHEDULE_CONSTANT,
    SCHEDULE_COSINE,
    SCHEDULE_LINEAR,
    SCHEDULE_RSQRT,
    SCHEDULE_WSD,
    SCHEDULE_FLAT_COSINE,
    SCHEDULE_STEPS
} schedule_kind;

typedef enum optimizer_kind { OPTIMIZER_ADAMW, OPTIMIZER_LAMB } optimizer_kind;

typedef enum begin_kind { BEGIN_DATA, BEGIN_RANDOM } begin_kind;

typedef enum packing { PACK_F32, PACK_BF16, PACK_INT8 } packing;

typedef enum precision_name { PRECISION_F32, PRECISION_TF32, PRECISION_BF16, PRECISIONS } precision_name;
extern const char *const precision_names[];

typedef struct train_config {
    int64_t batch;       /* sequences at once */
    int64_t total_batch; /* target tokens of one update, 0: one batch */
    int optimizer; /* optimizer_kind */
    double lr;
    int schedule;
    int64_t warmup;
    double lr_end, decay_share; /* fractions: of lr, of the run (wsd) */
    int64_t steps;
    double minutes; /* 0: no limit by time */
    field_ints pace; /* of a run by the clock that is trained again (train/pace.h) */
    double weight_decay, beta1, beta2, epsilon, clip;
    double z_loss, label_smoothing;
    double ema; /* decay of the averaged weights, 0: none */
    int begin; /* begin_kind */
    int64_t min_crop;
    double vary_context; /* fraction of the pieces that are cut shorter */
    bool flip;             /* changes to pictures: mirrored, */
    int64_t shift, cutout; /* moved by up to so many pixels, a square of so many left out */
    double mask_rate;      /* words of a text that are hidden */
    double mask_singles;   /* share of windows in which single tokens are, in place of words */
    int64_t start_length; /* of the pieces trained on at first; 0: the context */
    double grow_accuracy;
    int64_t seed, threads;
    char device[FIELD_TEXT]; /* a backend's name (backends/registry.h) */
    int precision; /* precision_name */
    int recompute;
    int64_t save_every, eval_every, sample_every, log_every;
    double save_minutes;
    int64_t keep;
    int64_t eval_tokens;
} train_config;

typedef struct sample_config {
    int64_t length;
    double temperature;
    int64_t top_k;
    double top_p, min_p;
    double repeat_penalty;
    int64_t repeat_last;
    field_strings stop;
    int64_t seed, latents, threads;
    int64_t checkpoint; /* update, -1: the best */
    int window;
    int weights, cache; /* packing */
    bool ignore_end; /* do not stop at the end-of-document token */
    char device[FIELD_TEXT];
    int precision; /* precision_name */
} sample_config;

typedef enum split_name { SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_TEST } split_name;

typedef struct eval_config {
    int split;
    int64_t latents, context, stride;
    int64_t batch, threads;
    int64_t tokens;   /* score at most so many targets, 0: all */
    int64_t examples; /* of generated data sets */
    int64_t seed;
    int64_t checkpoint; /* update, -1: the best */
    int weights; /* packing */
    int64_t memory; /* of a transformer-xl, -1: as trained */
    char device[FIELD_TEXT];
    int precision; /* precision_name */
} eval_config;

extern const field_table train_fields, sample_fields, eval_fields;
extern const char *const split_names[];

#endif
