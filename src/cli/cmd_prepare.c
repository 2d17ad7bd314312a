#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>

int cmd_prepare(arguments *a, pcv_error *err) {
    pcv_prepare_options o = {.kind = a->plain[0], .inputs = a->plain + 1, .seed = 1, .settings = a->settings};
    static const char *const names[] = {"train", "validation", "test"};
    const char *seed = arguments_value(a, "seed");
    o.output = arguments_value(a, "o");
    o.split_percent = arguments_value(a, "split");
    o.tokenizer = arguments_value(a, "codec") ? arguments_value(a, "codec") : arguments_value(a, "tokenizer");
    o.documents = arguments_value(a, "documents");
    o.labels = arguments_value(a, "labels");
    o.task = arguments_value(a, "task");
    o.include = arguments_list(a, "include");
    o.exclude = arguments_list(a, "exclude");
    for (int i = 0; i < 3; i++) o.splits[i] = arguments_list(a, names[i]);
    if (arguments_value(a, "codec") && arguments_value(a, "tokenizer"))
        return cli_fail(err, PCV_USAGE, "--codec and --tokenizer exclude each other");
    if (!o.output) return cli_fail(err, PCV_USAGE, "-o names the folder to make");
    int64_t number = 1;
    int status = seed ? pcv_read_whole("--seed", seed, 0, INT64_MAX, &number, err) : 0;
    o.seed = (uint64_t)number;
    if (status) return status;
    pcv_watch watch = progress_watch();
    pcv_prepare_report report;
    signals_install(false);
    status = pcv_prepare(&o, &watch, &report, err);
    progress_end();
    for (int i = 0; i < 3 && !status; i++)
        fprintf(stderr, "%-11s %6" PRId64 " document%-1s %12" PRId64 " byte%-1s %12" PRId64 " token%s\n", names[i],
                report.documents[i], pcv_plural(report.documents[i]), report.bytes[i], pcv_plural(report.bytes[i]),
                report.tokens[i], pcv_plural(report.tokens[i]));
    if (!status && report.warned) fprintf(stderr, "warned of   %6" PRId64 "\n", report.warned);
    if (!status && report.bad_lines)
        fprintf(stderr, "bad lines   %6" PRId64 ", of JSON without the field\n", report.bad_lines);
    if (!status) cli_say("wrote %s", o.output);
    return status;
}
