/* Timings: each op at each kernel level, a training step, generation. */
#ifndef MEASURE_BENCH_H
#define MEASURE_BENCH_H

#include "base/error.h"

/* As pcv_bench. */
int bench_run(const char *what, const pcv_settings *settings, pcv_timing_fn *report, void *context,
              const pcv_watch *watch, pcv_error *err);

#endif
