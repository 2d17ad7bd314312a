/* What a model that answers says of one file: pcv_predict. */
#ifndef EVAL_PREDICT_H
#define EVAL_PREDICT_H

#include "data/example.h"
#include "gen/engine.h"

int predict_file(pcv_engine *engine, const pcv_predict_options *options, const pcv_settings *settings,
                 pcv_prediction *prediction, pcv_error *err);
/* The file as a row of a pass, and where it is a text its ids. */
int predict_read(const pcv_engine *e, const pcv_predict_options *o, example_rows *rows, id_list *ids, pcv_error *err);
/* Of a model of frames (token/flow.h): how far pixels of options->path move until options->second. */
int predict_flow(pcv_engine *engine, const pcv_predict_options *options, const eval_config *c, pcv_prediction *p,
                 pcv_error *err);
/* Of a model of films: rows hold one. */
int predict_film(pcv_engine *engine, const eval_config *c, const example_rows *rows, pcv_prediction *p, pcv_error *err);
int film_write(const pcv_prediction *p, const char *folder, pcv_error *err);

/* Probabilities of the classes from their logits. */
int predict_classes(const pcv_engine *e, const float *logits, pcv_prediction *p, pcv_error *err);

/* These as .flo or .png. */
int motion_check(const char *path, pcv_error *err);
int motion_write(const pcv_prediction *p, const char *path, pcv_error *err);

void prediction_free(pcv_prediction *p);

/* All predictions of latents as one .safetensors file, a tensor for each file, or one .csv. */
int predictions_save(const pcv_prediction *list, int count, const char *path, pcv_error *err);

#endif
