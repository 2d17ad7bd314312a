/* Prompts of any length, as tokens of a session. */
#ifndef GEN_PROMPT_H
#define GEN_PROMPT_H

#include "gen/engine.h"

/* As pcv_session_feed_text and pcv_session_feed_file. */
int prompt_feed_text(pcv_session *s, const char *text, size_t size, pcv_error *err);
int prompt_feed_file(pcv_session *s, const char *path, pcv_text_fn *echo, void *context, pcv_error *err);

#endif
