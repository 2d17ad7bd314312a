/* A run's config.json: model keys at the top, training below "training"; other keys in `extra`. It holds what applies
 * to the model's architecture; a file may say more, as those of older versions do, and what does not apply is let
 * pass. */
#ifndef MODEL_CONFIG_FILE_H
#define MODEL_CONFIG_FILE_H

#include "model/architecture.h"

int config_read(const char *path, model_config *model, train_config *train, json_t **extra, pcv_error *err);
int config_write(const char *path, const model_config *model, const train_config *train, const json_t *extra,
                 pcv_error *err);

#endif
