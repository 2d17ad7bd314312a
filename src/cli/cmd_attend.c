/* A picture of what the cross-attention and the index heads look at, or a list of what one prediction looked at, or
 * both. */
#include "cli/attention_list.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct request {
    const char *path, *output; /* output NULL: no picture */
    bool are_ids, lists, json;
    int64_t size, token, top;
} request;

static bool is_stream(const char *path) { return path && !strcmp(path, "-"); }

static int read_request(request *r, const arguments *a, pcv_error *err) {
    const char *ids = arguments_value(a, "tokens"), *size = arguments_value(a, "size");
    const char *token = arguments_value(a, "token"), *top = arguments_value(a, "top");
    int status = 0;
    *r = (request){.path = ids ? ids : a->plain[1], .output = arguments_value(a, "o"), .are_ids = ids != NULL,
                   .json = arguments_value(a, "json") != NULL, .size = 512, .token = -1, .top = 8};
    r->lists = !r->output || token || top || r->json;
    if (ids && a->plain[1]) return cli_fail(err, PCV_USAGE, "name one file, as FILE or with --tokens FILE");
    if (r->output && r->lists && is_stream(r->output))
        return cli_fail(err, PCV_USAGE, "-o -: standard output takes the list or the picture, not both");
    if (r->output && r->lists && is_stream(r->path))
        return cli_fail(err, PCV_USAGE, "-: standard input is there for the list or the picture, not for both");
    if (size) status = pcv_read_whole("--size", size, 1, 8192, &r->size, err);
    if (token && !status) status = pcv_read_whole("--token", token, 0, INT64_MAX / 2, &r->token, err);
    if (top && !status) status = pcv_read_whole("--top", top, 1, 1000, &r->top, err);
    return status;
}

static int draw(const request *r, const pcv_attention *map, pcv_error *err) {
    int status = pcv_attention_draw(r->output, map, err);
    if (!status && map->columns)
        cli_say("%s: what each of %" PRId64 " latents looked at, from black to white", r->output, map->rows);
    else if (!status)
        cli_say("%s: down: queries %" PRId64 " to %" PRId64 ", right: inputs 0 to %" PRId64
                "; white: probability 1, black: 10^-6 and less", r->output, map->first_query, map->inputs - 1,
                map->inputs - 1);
    return status;
}

int cmd_attend(arguments *a, pcv_error *err) {
    request r;
    pcv_engine *engine = NULL;
    pcv_attention map = {0};
    pcv_attended list = {0};
    pcv_watch watch = progress_watch();
    int status = read_request(&r, a, err);
    if (status) return status;
    signals_install(false);
    if (r.output) status = pcv_attention_check(r.output, err);
    if (!status) status = pcv_engine_open(&engine, a->plain[0], a->settings, err);
    if (!status && r.output)
        status = pcv_attend(engine, r.path, r.are_ids, r.size, a->settings, &watch, &map, err);
    if (!status && r.lists)
        status = pcv_attend_token(engine, r.path, r.are_ids, r.token, r.top, a->settings, &watch, &list, err);
    progress_end();
    if (!status && r.output) status = draw(&r, &map, err);
    if (!status && r.lists) (r.json ? attention_list_json : attention_list)(engine, &list, r.top);
    pcv_attended_free(&list);
    pcv_attention_free(&map);
    pcv_engine_close(engine);
    return status;
}
