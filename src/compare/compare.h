/* Comparing architectures under one budget: what a training step costs (cost.h), and what is learned in equal time
 * (quality.h). compare.c makes the list of cells and goes through it, page.h turns the record into files. */
#ifndef COMPARE_COMPARE_H
#define COMPARE_COMPARE_H

#include "base/error.h"

/* As pcv_compare. */
int compare_run(const pcv_compare_options *options, pcv_settings *settings, const pcv_watch *watch, pcv_error *err);

#endif
