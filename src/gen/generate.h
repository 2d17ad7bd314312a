/* Text as it is generated. */
#ifndef GEN_GENERATE_H
#define GEN_GENERATE_H

#include "gen/engine.h"

/* As pcv_generate_texts. */
int generate_texts(pcv_session *const *sessions, int64_t count, pcv_text_fn *text, void *const *contexts,
                   pcv_generation *generation, pcv_error *err);

/* As pcv_generate. */
int generate_text(pcv_session *session, pcv_text_fn *text, void *context, pcv_generation *generation, pcv_error *err);

#endif
