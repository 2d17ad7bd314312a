/* What a model that answers says of one file: pcv_predict. */
#ifndef EVAL_PREDICT_H
#define EVAL_PREDICT_H

#include "gen/engine.h"

int predict_file(pcv_engine *engine, const pcv_predict_options *options, const pcv_settings *settings,
                 pcv_prediction *prediction, pcv_error *err);
void prediction_free(pcv_prediction *p);

/* All predictions of latents as one safetensors file, a tensor for each file. */
int predictions_save(const pcv_prediction *list, int count, const char *path, pcv_error *err);

#endif
