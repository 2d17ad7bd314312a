/* What training a model takes. */
#ifndef MEASURE_PLAN_H
#define MEASURE_PLAN_H

#include "base/error.h"

/* As pcv_plan. */
int plan_report(const pcv_settings *settings, const char *dataset, double probe_seconds, const pcv_watch *watch,
                pcv_plan_report *report, pcv_error *err);

#endif
