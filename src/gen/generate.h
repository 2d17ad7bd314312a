/* Text as it is generated. */
#ifndef GEN_GENERATE_H
#define GEN_GENERATE_H

#include "gen/engine.h"

/* As pcv_generate. */
int generate_text(pcv_session *session, pcv_text_fn *text, void *context, pcv_generation *generation, pcv_error *err);

#endif
