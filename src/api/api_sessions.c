/* Engines, sessions and what they generate, of the public interface. */
#include "gen/document.h"
#include "gen/generate.h"
#include "gen/prompt.h"

/* ------------------------------------------------------------------ engines */

int pcv_engine_open(pcv_engine **engine, const char *run, const pcv_settings *settings, pcv_error *err) {
    return engine_open(engine, run, settings, err);
}

void pcv_engine_close(pcv_engine *e) { engine_close(e); }

const char *pcv_engine_text(const pcv_engine *e, int32_t id, size_t *size) { return engine_text(e, id, size); }

int64_t pcv_engine_vocabulary(const pcv_engine *e) { return e->tokens.vocab; }

int pcv_engine_is_text(const pcv_engine *e) { return e->tokens.type->piece != NULL; }

int pcv_engine_tells_motion(const pcv_engine *e) { return e->tokens.answers > 0; }

int pcv_engine_tells_films(const pcv_engine *e) { return tokenizer_is_film(&e->tokens); }

const char *pcv_engine_kind(const pcv_engine *e) { return e->kind; }

/* ------------------------------------------------------------------ sessions */

int pcv_session_open(pcv_session **session, pcv_engine *engine, const pcv_settings *settings, pcv_error *err) {
    return session_open(session, engine, settings, err);
}

void pcv_session_close(pcv_session *s) { session_close(s); }

int pcv_session_feed(pcv_session *s, const int32_t *ids, size_t count, pcv_error *err) {
    return session_feed(s, ids, count, err);
}

int pcv_session_feed_text(pcv_session *s, const char *text, size_t size, pcv_error *err) {
    return prompt_feed_text(s, text, size, err);
}

int pcv_session_feed_file(pcv_session *s, const char *path, pcv_text_fn *echo, void *context, pcv_error *err) {
    return prompt_feed_file(s, path, echo, context, err);
}

const float *pcv_session_logits(pcv_session *s, pcv_error *err) { return session_logits(s, err); }

int pcv_session_next(pcv_session *s, int32_t *id, pcv_error *err) { return session_next(s, id, err); }

int pcv_batch_step(pcv_session *const *sessions, int64_t count, int32_t *ids, pcv_error *err) {
    return sessions_next(sessions, count, ids, err);
}

int pcv_session_reset(pcv_session *s, pcv_error *err) { return session_reset(s, err); }

int pcv_session_truncate(pcv_session *s, int64_t length, pcv_error *err) { return session_truncate(s, length, err); }

int pcv_session_fork(pcv_session **fork, const pcv_session *s, uint64_t seed, pcv_error *err) {
    return session_fork(fork, s, seed, err);
}

uint64_t pcv_session_seed(const pcv_session *s) { return (uint64_t)s->config.seed; }

const char *pcv_session_text(const pcv_session *s, int32_t id, size_t *size) { return session_text(s, id, size); }

int64_t pcv_session_length(const pcv_session *s) { return (int64_t)s->count; }

/* ------------------------------------------------------------------ what they generate */

int pcv_generate(pcv_session *s, pcv_text_fn *text, void *context, pcv_generation *generation, pcv_error *err) {
    return generate_text(s, text, context, generation, err);
}

int pcv_generate_texts(pcv_session *const *sessions, int64_t count, pcv_text_fn *text, void *const *contexts,
                       pcv_generation *generations, pcv_error *err) {
    return generate_texts(sessions, count, text, contexts, generations, err);
}

int pcv_generate_document(pcv_engine *e, const pcv_document_options *options, const pcv_settings *settings,
                          const pcv_watch *watch, pcv_generation *generation, pcv_error *err) {
    return generate_document(e, options, settings, watch, generation, err);
}
