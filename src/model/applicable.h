/* Which options apply to which architecture: what each lists (model_type.settings), for people and against mistakes.
 *
 *     TRY(settings_model(settings, &config, err));
 *     TRY(settings_fit(settings, &config, PCV_MODEL, err));    // --memory was given, but a transformer has none */
#ifndef MODEL_APPLICABLE_H
#define MODEL_APPLICABLE_H

#include "model/architecture.h"

/* As pcv_option_of; settings NULL: as pcv_option_at. */
bool option_at(pcv_settings *settings, pcv_group group, int i, pcv_option *option);

/* PCV_USAGE when a setting of the group was given one by one (not by a preset or file, which may serve several
 * architectures) that the model's architecture lacks; the error names those that have it. Settings that are shared
 * by several models pass (settings_share). */
int settings_fit(const pcv_settings *s, const model_config *c, pcv_group group, pcv_error *err);

/* The same for several models, in bits 1 << config.architecture: one of them must have it. */
int settings_fit_some(const pcv_settings *s, unsigned architectures, pcv_group group, pcv_error *err);

#endif
