/* A run's weights, loaded, with what belongs to them; and sessions over them (perceiver.h). */
#ifndef GEN_ENGINE_H
#define GEN_ENGINE_H

#include "gen/sampler.h"
#include "gen/timeline.h"

struct pcv_engine {
    char run[4096];
    char weights[4096]; /* their file, for errors */
    backend *be;
    model *m;
    tokenizer tokens;
    char dataset[4096]; /* that the run was trained on */
    char digest[HASH_TEXT]; /* its digest; "": an older version recorded none */
    char kind[32];      /* "text", "bytes", "copy": what the tokens are */
};

struct pcv_session {
    pcv_engine *engine;
    sample_config config;
    timeline line;
    sampler sampler;
    int32_t *recent; /* [held] last tokens: all of a document whose form matters, else those that penalties reach */
    size_t held, capacity;
    size_t count; /* tokens of the timeline so far */
};

/* As pcv_session_open, over a model that somebody else owns. */
int session_start(pcv_session *s, model *m, const tokenizer *tokens, const sample_config *config,
                  pcv_error *err);
void session_stop(pcv_session *s);

/* Weights whose output is no number; the error names their file. */
int engine_not_finite(const pcv_engine *e, pcv_error *err);

/* Names of the files of a run. */
#define RUN_CONFIG      "config.json"
#define RUN_WEIGHTS     "model.safetensors"
#define RUN_MOMENTS     "optimizer.safetensors" /* of a checkpoint */
#define RUN_CHECKPOINTS "checkpoints"
#define CHECKPOINT      "step-" /* and eight digits: a folder of these */
#define RUN_LOCK        "lock"

/* The update of a checkpoint by its folder's name; -1: it is none. */
int64_t checkpoint_step(const char *name);

#endif
