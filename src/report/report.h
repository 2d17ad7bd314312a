/* report.html: what a run did, in one file that needs nothing else. The curves come from metrics.jsonl,
 * drawn by Chart.js, which is embedded at build time from the package that provides it. */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "base/error.h"

/* Reads RUN/config.json and RUN/metrics.jsonl, writes RUN/report.html. */
int report_write(const char *run, pcv_error *err);

#endif
