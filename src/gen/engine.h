/* A run's weights, loaded, with what belongs to them; and sessions over them (perceiver.h). */
#ifndef GEN_ENGINE_H
#define GEN_ENGINE_H

#include "config/run_files.h"
#include "gen/sampler.h"
#include "gen/timeline.h"

struct pcv_engine {
    char run[4096];
    char weights[4096]; /* their file, for errors */
    backend *be;
    model *m;
    decoder decoder; /* of its sessions */
    tokenizer tokens;
    char dataset[4096]; /* that the run was trained on */
    char digest[HASH_TEXT]; /* its digest; "": an older version recorded none */
    char kind[32];      /* of the data: a data_kind's name, or a generator's */
    int64_t classes;    /* that the run tells apart; 0: it answers otherwise */
    char **class_name;  /* [classes] */
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

/* As the calls of perceiver.h that are named so behind pcv_. */
int engine_open(pcv_engine **engine, const char *run, const pcv_settings *settings, pcv_error *err);
void engine_close(pcv_engine *e);
const char *engine_text(const pcv_engine *e, int32_t id, size_t *size);

/* PCV_USAGE for a model that answers. */
int engine_goes_on(const pcv_engine *e, pcv_error *err);

/* The sampling settings, unless one is for other architectures. */
int engine_sampling(const pcv_engine *e, const pcv_settings *settings, sample_config *config, pcv_error *err);

int session_open(pcv_session **session, pcv_engine *engine, const pcv_settings *settings, pcv_error *err);
void session_close(pcv_session *s);
int session_feed(pcv_session *s, const int32_t *ids, size_t count, pcv_error *err);
const float *session_logits(pcv_session *s, pcv_error *err);
int session_next(pcv_session *s, int32_t *id, pcv_error *err);
int session_reset(pcv_session *s, pcv_error *err);
int session_truncate(pcv_session *s, int64_t length, pcv_error *err);
int session_fork(pcv_session **fork, const pcv_session *s, uint64_t seed, pcv_error *err);

/* As pcv_batch_step. */
int sessions_next(pcv_session *const *s, int64_t count, int32_t *ids, pcv_error *err);
const char *session_text(const pcv_session *s, int32_t id, size_t *size);

/* As session_open, over a decoder that somebody else owns. */
int session_start(pcv_session *s, decoder *d, const tokenizer *tokens, const sample_config *config,
                  pcv_error *err);
void session_stop(pcv_session *s);

/* Weights whose output is no number; the error names their file. */
int engine_not_finite(const pcv_engine *e, pcv_error *err);

/* As pcv_threads. */
int settings_threads(const pcv_settings *settings, int64_t *asked);

#endif
