/* What more latents buy, or a longer context. */
#ifndef EVAL_SWEEP_H
#define EVAL_SWEEP_H

#include "eval/evaluate.h"

/* As the calls of perceiver.h that begin with pcv_sweep. */
int sweep_run(pcv_engine *engine, const char *dataset, const char *kind, const int64_t *values, int count,
              const pcv_settings *settings, const pcv_watch *watch, pcv_sweep_point *point, int *points,
              pcv_error *err);
int sweep_check(const char *path, pcv_error *err);
int sweep_draw(const char *path, const char *kind, const pcv_sweep_point *point, int points, pcv_error *err);

#endif
