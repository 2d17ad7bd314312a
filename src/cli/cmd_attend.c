#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>

int cmd_attend(arguments *a, pcv_error *err) {
    const char *ids = arguments_value(a, "tokens"), *output = arguments_value(a, "o");
    const char *text = arguments_value(a, "size");
    const char *path = ids ? ids : a->plain[1];
    pcv_engine *engine = NULL;
    pcv_attention map = {0};
    pcv_watch watch = progress_watch();
    int64_t size = 512;
    if (!output) return cli_fail(err, PCV_USAGE, "-o names the picture to make");
    if (ids && a->plain[1]) return cli_fail(err, PCV_USAGE, "name one file, as FILE or with --tokens FILE");
    int status = text ? pcv_read_whole("--size", text, 1, 8192, &size, err) : 0;
    signals_install(false);
    if (!status) status = pcv_attention_check(output, err);
    if (!status) status = pcv_engine_open(&engine, a->plain[0], a->settings, err);
    if (!status) status = pcv_attend(engine, path, ids != NULL, size, a->settings, &watch, &map, err);
    progress_end();
    if (!status) status = pcv_attention_draw(output, &map, err);
    if (!status)
        cli_say("%s: down: queries %" PRId64 " to %" PRId64 ", right: inputs 0 to %" PRId64
                "; white: probability 1, black: 10^-6 and less", output, map.first_query, map.inputs - 1,
                map.inputs - 1);
    pcv_attention_free(&map);
    pcv_engine_close(engine);
    return status;
}
