#include "cli/commands.h"
#include "cli/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_fail(pcv_error *err, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    err->code = code;
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return code;
}

static int parse_seed(const char *text, uint64_t *seed, pcv_error *err) {
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    if (end == text || *end || errno || text[0] == '-')
        return cli_fail(err, PCV_USAGE, "--seed: '%s' is not a whole number from 0 on", text);
    return 0;
}

int cmd_prepare(arguments *a, pcv_error *err) {
    pcv_prepare_options o = {.kind = a->plain[0], .inputs = a->plain + 1, .seed = 1, .settings = a->settings};
    static const char *const names[] = {"train", "validation", "test"};
    const char *seed = arguments_value(a, "seed");
    o.output = arguments_value(a, "o");
    o.split_percent = arguments_value(a, "split");
    o.tokenizer = arguments_value(a, "codec") ? arguments_value(a, "codec") : arguments_value(a, "tokenizer");
    for (int i = 0; i < 3; i++) o.splits[i] = arguments_list(a, names[i]);
    if (arguments_value(a, "codec") && arguments_value(a, "tokenizer"))
        return cli_fail(err, PCV_USAGE, "--codec and --tokenizer exclude each other");
    if (!o.output) return cli_fail(err, PCV_USAGE, "-o names the folder to make");
    int status = seed ? parse_seed(seed, &o.seed, err) : 0;
    if (status) return status;
    pcv_watch watch = progress_watch();
    pcv_prepare_report report;
    signals_install();
    status = pcv_prepare(&o, &watch, &report, err);
    progress_end();
    for (int i = 0; i < 3 && !status; i++)
        fprintf(stderr, "%-11s %6" PRId64 " documents %12" PRId64 " bytes %12" PRId64 " tokens\n", names[i],
                report.files[i], report.bytes[i], report.tokens[i]);
    if (!status && report.skipped) fprintf(stderr, "skipped     %6" PRId64 " files\n", report.skipped);
    if (!status) fprintf(stderr, "wrote %s\n", o.output);
    return status;
}
