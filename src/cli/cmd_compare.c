#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <stdio.h>
#include <string.h>

int cmd_compare(arguments *a, pcv_error *err) {
    pcv_compare_options o = {.dataset = a->plain[0], .output = arguments_value(a, "o"),
                             .archs = arguments_value(a, "archs"), .depths = arguments_value(a, "depths"),
                             .contexts = arguments_value(a, "contexts"), .rates = arguments_value(a, "rates"),
                             .cost_only = arguments_value(a, "cost-only") != NULL,
                             .quality_only = arguments_value(a, "quality-only") != NULL,
                             .resume = arguments_value(a, "resume") != NULL,
                             .dry_run = arguments_value(a, "dry-run") != NULL};
    pcv_watch watch = progress_watch();
    const char *equal = arguments_value(a, "equal");
    o.equal_step = equal && !strcmp(equal, "step-time");
    if (equal && !o.equal_step && strcmp(equal, "parameters"))
        return cli_fail(err, PCV_USAGE, "--equal: '%s' is not one of parameters|step-time", equal);
    if (!o.output && !o.dry_run) return cli_fail(err, PCV_USAGE, "-o names the folder of the comparison");
    if (o.cost_only && o.quality_only)
        return cli_fail(err, PCV_USAGE, "--cost-only and --quality-only leave nothing to compare");
    const char *memory = arguments_value(a, "memory-limit"), *time = arguments_value(a, "time-limit");
    int status = memory ? pcv_read_real("--memory-limit", memory, 0, 1e6, &o.memory_limit, err) : 0;
    o.time_limit = 60;
    if (!status && time) status = pcv_read_real("--time-limit", time, 0.001, 1e9, &o.time_limit, err);
    signals_install(false);
    if (!status) status = pcv_compare(&o, a->settings, &watch, err);
    progress_end();
    if (!status && !o.dry_run) cli_say("comparison %s, page %s/index.html", o.output, o.output);
    return status;
}
