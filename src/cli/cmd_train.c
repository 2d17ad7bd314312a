#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>

int cmd_train(arguments *a, pcv_error *err) {
    pcv_train_options o = {.dataset = a->plain[0], .run = arguments_value(a, "o"),
                           .resume = arguments_value(a, "resume") != NULL,
                           .other_data = arguments_value(a, "other-data") != NULL};
    if (!o.run) return cli_fail(err, PCV_USAGE, "-o names the folder of the run");
    if (!o.dataset && !o.resume) return cli_fail(err, PCV_USAGE, "name a data set to train on");
    pcv_watch watch = progress_watch();
    pcv_train_report report;
    char time[64];
    signals_install(false);
    int status = pcv_train(&o, a->settings, &watch, &report, err);
    progress_end();
    if (status) return status;
    duration_text(report.seconds, time, sizeof time);
    fprintf(stderr, "trained %" PRId64 " update%s, %" PRId64 " target token%s in %s", report.steps,
            pcv_plural(report.steps), report.tokens, pcv_plural(report.tokens), time);
    if (report.best_validation_bits > 0)
        fprintf(stderr, "; best validation %.4f %s, after update %" PRId64 ", whose weights are kept",
                report.best_validation_bits, report.unit, report.best_update);
    fputc('\n', stderr);
    cli_say("run %s, report %s/report.html", o.run, o.run);
    return 0;
}
