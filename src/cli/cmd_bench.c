#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct table {
    bool json;
    int rows;
} table;

static void print_row(void *context, const pcv_timing *t) {
    table *out = context;
    progress_end();
    if (out->json)
        printf("%s{\"name\": \"%s\", \"kernels\": \"%s\", \"step_seconds\": %.6g, \"step_seconds_min\": %.6g, "
               "\"gflops\": %.4g, \"gigabytes_per_second\": %.4g, \"tokens_per_second\": %.6g, \"peak_bytes\": "
               "%" PRId64 "}", out->rows ? ",\n " : "[", t->name, t->level, t->seconds, t->seconds_min, t->gflops,
               t->gigabytes_per_second, t->tokens_per_second, t->peak_bytes);
    else {
        if (!out->rows)
            printf("name,kernels,step_seconds,step_seconds_min,gflops,gigabytes_per_second,tokens_per_second,"
                   "peak_bytes\n");
        printf("%s,%s,%.6g,%.6g,%.4g,%.4g,%.6g,%" PRId64 "\n", t->name, t->level, t->seconds, t->seconds_min,
               t->gflops, t->gigabytes_per_second, t->tokens_per_second, t->peak_bytes);
    }
    out->rows++;
    fflush(stdout);
}

int cmd_bench(arguments *a, pcv_error *err) {
    table t = {.json = arguments_value(a, "json") != NULL};
    pcv_watch watch = progress_watch();
    int status = 0;
    static const char *const packings[] = {"weights", "cache"};
    for (int i = 0; i < 2 && !status; i++)
        if (arguments_value(a, packings[i]))
            status = pcv_settings_set(a->settings, packings[i], arguments_value(a, packings[i]), err);
    signals_install(true);
    if (!status) status = pcv_bench(a->count ? a->plain[0] : "train", a->settings, print_row, &t, &watch, err);
    if (t.json && t.rows) printf("]\n");
    return status;
}
