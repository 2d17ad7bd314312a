#include "cli/commands.h"
#include "cli/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct prompt {
    char *data;
    size_t size;
} prompt;

/* A whole file, or standard input for "-". */
static int read_prompt(const char *path, prompt *p, pcv_error *err) {
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    size_t capacity = 0;
    if (!f) return cli_fail(err, PCV_NOINPUT, "%s: %s", path, strerror(errno));
    for (size_t got = 1; got;) {
        if (p->size + 65536 > capacity) {
            capacity = 2 * capacity + 65536;
            char *data = realloc(p->data, capacity);
            if (!data) {
                if (f != stdin) fclose(f);
                return cli_fail(err, PCV_MEMORY, "not enough memory for the prompt");
            }
            p->data = data;
        }
        got = fread(p->data + p->size, 1, 65536, f);
        p->size += got;
    }
    int reason = ferror(f) ? errno : 0;
    if (f != stdin) fclose(f);
    if (!reason) return 0;
    return cli_fail(err, reason == EISDIR ? PCV_NOINPUT : PCV_IO, "%s: %s", path, strerror(reason));
}

static int emit(void *context, const char *bytes, size_t size) {
    FILE *f = context;
    return fwrite(bytes, 1, size, f) != size || fflush(f) != 0;
}

static int generate(pcv_session *s, const prompt *p, bool echo, FILE *out, pcv_error *err) {
    static const char *const ends[] = {"length reached", "end of document", "stop text", "output closed"};
    pcv_generation g;
    int status = pcv_session_feed_text(s, p->data ? p->data : "", p->size, err);
    if (status) return status;
    if (echo && p->size && emit(out, p->data, p->size)) return cli_fail(err, PCV_IO, "cannot write the text");
    status = pcv_generate(s, emit, out, &g, err);
    if (status) return status;
    if (g.end == PCV_END_CALLER) return cli_fail(err, PCV_IO, "cannot write the text: %s", strerror(errno));
    if (out == stdout) fputc('\n', isatty(STDOUT_FILENO) ? stdout : stderr); /* a file holds the text alone */
    double rate = g.tokens > 1 && g.seconds > 0 ? (double)(g.tokens - 1) / g.seconds : 0;
    int64_t before = pcv_session_length(s) - g.tokens;
    fprintf(stderr, "prompt %" PRId64 " token%s in %.2f s; %" PRId64 " token%s in %.2f s, %.1f tokens/s; %s\n", before,
            pcv_plural(before), g.first_seconds, g.tokens, pcv_plural(g.tokens), g.seconds, rate, ends[g.end]);
    return 0;
}

/* Writes to a temporary file and renames it, so that the final name never holds half a text. */
static int generate_file(pcv_session *s, const prompt *p, bool echo, const char *path, pcv_error *err) {
    char temporary[4096];
    if (snprintf(temporary, sizeof temporary, "%s.tmp-%d", path, (int)getpid()) >= (int)sizeof temporary)
        return cli_fail(err, PCV_USAGE, "%.60s...: the path is too long", path);
    FILE *out = fopen(temporary, "wb");
    if (!out) return cli_fail(err, PCV_CANTCREATE, "%s: %s", path, strerror(errno));
    int status = generate(s, p, echo, out, err);
    if (fflush(out) || fsync(fileno(out)))
        if (!status) status = cli_fail(err, PCV_IO, "%s: %s", path, strerror(errno));
    fclose(out);
    if (!status && rename(temporary, path)) status = cli_fail(err, PCV_IO, "%s: %s", path, strerror(errno));
    if (status) unlink(temporary);
    return status;
}

static int parse_grid(const char *text, pcv_document_options *o, pcv_error *err) {
    int64_t side[2];
    int count = 0, status = text ? pcv_read_wholes("--grid", text, 'x', 1, 9999, side, 2, &count, err) : 0;
    if (status || !text) return status;
    if (count < 2) return cli_fail(err, PCV_USAGE, "--grid: '%s' is not a size like 4x4", text);
    o->columns = (int)side[0];
    o->rows = (int)side[1];
    return 0;
}

/* Pictures, music, sound: whole files. */
static int generate_document(arguments *a, pcv_engine *engine, pcv_error *err) {
    const char *file = arguments_value(a, "prompt-file"), *keep = arguments_value(a, "keep");
    const char *scale = arguments_value(a, "scale"), *prompts[] = {file, NULL};
    int64_t times = 1;
    pcv_document_options o = {.output = arguments_value(a, "o"), .given = arguments_list(a, "complete"), .keep = 0.5};
    pcv_watch watch = progress_watch();
    pcv_generation g;
    if (arguments_value(a, "prompt"))
        return cli_fail(err, PCV_USAGE, "--prompt is text, but this model generates %s; give --complete FILE",
                        pcv_engine_kind(engine));
    if (!o.output) return cli_fail(err, PCV_USAGE, "-o names the file to make");
    if (file && o.given) return cli_fail(err, PCV_USAGE, "--prompt-file and --complete exclude each other");
    if (file) {
        o.given = prompts;
        o.keep = 1;
    }
    int status = keep ? pcv_read_real("--keep", keep, 0, 1, &o.keep, err) : 0;
    if (!status) status = parse_grid(arguments_value(a, "grid"), &o, err);
    if (!status && scale) status = pcv_read_whole("--scale", scale, 1, 64, &times, err);
    o.scale = (int)times;
    signals_install();
    if (!status) status = pcv_generate_document(engine, &o, a->settings, &watch, &g, err);
    progress_end();
    if (status) return status;
    double rate = g.seconds > 0 ? (double)g.tokens / g.seconds : 0;
    cli_say("wrote %s: %" PRId64 " token%s in %.2f s, %.1f tokens/s", o.output, g.tokens, pcv_plural(g.tokens),
            g.seconds, rate);
    return 0;
}

static int generate_text(arguments *a, pcv_engine *engine, const prompt *p, pcv_error *err) {
    const char *output = arguments_value(a, "o");
    bool echo = arguments_value(a, "echo") != NULL;
    pcv_session *session = NULL;
    if (arguments_list(a, "complete") || arguments_value(a, "keep") || arguments_value(a, "grid") ||
        arguments_value(a, "scale"))
        return cli_fail(err, PCV_USAGE, "--complete, --keep, --grid and --scale are not for %s; give --prompt or "
                        "--prompt-file", pcv_engine_kind(engine));
    int status = pcv_session_open(&session, engine, a->settings, err);
    if (!status && output) status = generate_file(session, p, echo, output, err);
    else if (!status) status = generate(session, p, echo, stdout, err);
    pcv_session_close(session);
    return status;
}

int cmd_generate(arguments *a, pcv_error *err) {
    const char *text = arguments_value(a, "prompt"), *file = arguments_value(a, "prompt-file");
    pcv_engine *engine = NULL;
    prompt p = {0};
    int status = 0;
    if (text && file) return cli_fail(err, PCV_USAGE, "--prompt and --prompt-file exclude each other");
    status = pcv_engine_open(&engine, a->plain[0], a->settings, err);
    bool is_text = !status && pcv_engine_is_text(engine);
    if (is_text && file) status = read_prompt(file, &p, err);
    if (is_text && text && (p.data = strdup(text))) p.size = strlen(text);
    if (!status && is_text) status = generate_text(a, engine, &p, err);
    else if (!status) status = generate_document(a, engine, err);
    pcv_engine_close(engine);
    free(p.data);
    return status;
}
