#include "cli/commands.h"
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int cmd_attend(arguments *a, pcv_error *err) {
    const char *ids = arguments_value(a, "tokens"), *output = arguments_value(a, "o");
    const char *text = arguments_value(a, "size");
    const char *path = ids ? ids : a->plain[1];
    pcv_engine *engine = NULL;
    pcv_attention map = {0};
    pcv_watch watch = progress_watch();
    char *end = NULL;
    long size = text ? strtol(text, &end, 10) : 512;
    if (!output) return cli_fail(err, PCV_USAGE, "-o names the picture to make");
    if (ids && a->plain[1]) return cli_fail(err, PCV_USAGE, "name one file, as FILE or with --tokens FILE");
    if (text && (*end || size < 1 || size > 8192))
        return cli_fail(err, PCV_USAGE, "--size: '%s', expected a number from 1 to 8192", text);
    signals_install();
    int status = pcv_engine_open(&engine, a->plain[0], a->settings, err);
    if (!status) status = pcv_attend(engine, path, ids != NULL, size, a->settings, &watch, &map, err);
    progress_end();
    if (!status) status = pcv_attention_draw(output, &map, err);
    if (!status)
        fprintf(stderr, "%s: down: queries %" PRId64 " to %" PRId64 ", right: inputs 0 to %" PRId64
                "; white: probability 1, black: 10^-6 and less\n", output, map.first_query, map.inputs - 1,
                map.inputs - 1);
    pcv_attention_free(&map);
    pcv_engine_close(engine);
    return status;
}
