/* Preparing, training and measuring: the long work of the public interface. */
#include "backends/registry.h"
#include "base/mem.h"
#include "base/watch.h"
#include "compare/compare.h"
#include "data/prepare.h"
#include "measure/bench.h"
#include "measure/devices.h"
#include "measure/info.h"
#include "measure/plan.h"
#include "train/train.h"

void pcv_watch_waiting(const pcv_watch *watch) { watch_waiting(watch); }

int pcv_prepare(const pcv_prepare_options *options, const pcv_watch *watch, pcv_prepare_report *report,
                pcv_error *err) {
    return prepare_run(options, watch, report, err);
}

int pcv_plan(const pcv_settings *settings, const char *data, double probe_seconds, const pcv_watch *watch,
             pcv_plan_report *report, pcv_error *err) {
    return plan_report(settings, data, probe_seconds, watch, report, err);
}

int pcv_train(const pcv_train_options *options, const pcv_settings *settings, const pcv_watch *watch,
              pcv_train_report *report, pcv_error *err) {
    return train_run(options, settings, watch, report, err);
}

int pcv_compare(const pcv_compare_options *options, pcv_settings *settings, const pcv_watch *watch, pcv_error *err) {
    return compare_run(options, settings, watch, err);
}

int pcv_bench(const char *what, const pcv_settings *settings, pcv_timing_fn *report, void *context,
              const pcv_watch *watch, pcv_error *err) {
    return bench_run(what, settings, report, context, watch, err);
}

const char *const *pcv_kernel_levels(void) {
    const char *const *levels;
    backend_levels(&levels, NULL, NULL);
    return levels;
}

int pcv_devices(char **description, pcv_error *err) { return devices_describe(description, err); }

int pcv_info(const char *path, pcv_info_form form, char **description, pcv_error *err) {
    return info_describe(path, form, description, err);
}

void pcv_text_free(char *description) { mem_free(description); }
