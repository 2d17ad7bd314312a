/* Training a run. */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "base/error.h"

/* As pcv_train. */
int train_run(const pcv_train_options *options, const pcv_settings *settings, const pcv_watch *watch,
              pcv_train_report *report, pcv_error *err);

#endif
