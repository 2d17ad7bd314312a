/* Three ways out: text to standard output as it comes, text into a file that has its name when it is whole, and
 * documents, which the library makes as a whole. What is told about the work goes to standard error, so that
 * standard output holds the text alone. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/samples.h"
#include "cli/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct prompt {
    const char *text, *file; /* one of them, or none */
    bool echo;
} prompt;

/* Where text goes: to a file that is no file before it is whole, or to standard output. */
typedef struct sink {
    pcv_output *file; /* or NULL */
    bool full;        /* it takes no more */
    int reason;       /* errno of what failed */
} sink;

static int emit(void *context, const char *bytes, size_t size) {
    sink *out = context;
    errno = 0;
    if (out->file) out->full = signals_wish() == PCV_STOP || pcv_output_write(out->file, bytes, size);
    else out->full = fwrite(bytes, 1, size, stdout) != size || fflush(stdout) != 0;
    out->reason = errno;
    return out->full;
}

/* Why the sink took no more. */
static int refused(const sink *out, pcv_error *err) {
    if (!out->file) return cli_fail(err, PCV_IO, "cannot write the text: %s", strerror(out->reason));
    if (signals_wish() == PCV_STOP) return cli_fail(err, PCV_INTERRUPTED, "interrupted; nothing was written");
    return pcv_output_commit(out->file, err);
}

static int feed(pcv_session *s, const prompt *p, sink *out, pcv_error *err) {
    int status = 0;
    if (p->file) status = pcv_session_feed_file(s, p->file, p->echo ? emit : NULL, out, err);
    size_t size = p->text ? strlen(p->text) : 0;
    if (p->echo && size) emit(out, p->text, size);
    if (out->full) return refused(out, err);
    return status || p->file ? status : pcv_session_feed_text(s, p->text, size, err);
}

static int generate(pcv_session *s, const prompt *p, sink *out, pcv_error *err) {
    static const char *const ends[] = {"length reached", "end of document", "stop text", "output closed"};
    pcv_generation g;
    int status = feed(s, p, out, err);
    if (status) return status;
    status = pcv_generate(s, emit, out, &g, err);
    if (status) return status;
    if (g.end == PCV_END_CALLER) return refused(out, err);
    if (!out->file) fputc('\n', isatty(STDOUT_FILENO) ? stdout : stderr); /* a file holds the text alone */
    double rate = g.tokens > 1 && g.seconds > 0 ? (double)(g.tokens - 1) / g.seconds : 0;
    int64_t before = pcv_session_length(s) - g.tokens;
    fprintf(stderr, "prompt %" PRId64 " token%s in %.2f s; %" PRId64 " token%s in %.2f s, %.1f tokens/s; %s\n", before,
            pcv_plural(before), g.first_seconds, g.tokens, pcv_plural(g.tokens), g.seconds, rate, ends[g.end]);
    return 0;
}

static int generate_file(pcv_session *s, const prompt *p, const char *path, pcv_error *err) {
    sink out = {0};
    signals_install(false);
    int status = pcv_output_open(&out.file, path, err);
    if (!status) status = generate(s, p, &out, err);
    if (!status) status = pcv_output_commit(out.file, err);
    pcv_output_close(out.file);
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
    if (!o.output) return cli_fail(err, PCV_USAGE, "-o names the file to make");
    if (arguments_value(a, "samples"))
        return cli_fail(err, PCV_USAGE, "--samples: several texts; of pictures --grid makes a sheet, and more %s come "
                        "with other seeds", pcv_engine_kind(engine));
    if (file && o.given) return cli_fail(err, PCV_USAGE, "--prompt-file and --complete exclude each other");
    if (file) {
        o.given = prompts;
        o.keep = 1;
    }
    int status = keep ? pcv_read_real("--keep", keep, 0, 1, &o.keep, err) : 0;
    if (!status) status = parse_grid(arguments_value(a, "grid"), &o, err);
    if (!status && scale) status = pcv_read_whole("--scale", scale, 1, 64, &times, err);
    o.scale = (int)times;
    signals_install(false);
    if (!status) status = pcv_generate_document(engine, &o, a->settings, &watch, &g, err);
    progress_end();
    if (status) return status;
    double rate = g.seconds > 0 ? (double)g.tokens / g.seconds : 0;
    cli_say("wrote %s: %" PRId64 " token%s in %.2f s, %.1f tokens/s", o.output, g.tokens, pcv_plural(g.tokens),
            g.seconds, rate);
    return 0;
}

static int generate_many(pcv_session *s, const prompt *p, int64_t count, const char *output, pcv_error *err) {
    if (p->echo) return cli_fail(err, PCV_USAGE, "--echo: the samples of --samples share one prompt");
    int status = samples_check(output, count, err);
    if (!status) status = feed(s, p, &(sink){0}, err);
    return status ? status : samples_generate(s, count, output, err);
}

static int generate_text(arguments *a, pcv_engine *engine, const prompt *p, pcv_error *err) {
    const char *output = arguments_value(a, "o"), *samples = arguments_value(a, "samples");
    pcv_session *session = NULL;
    int64_t count = 1;
    int status = samples ? pcv_read_whole("--samples", samples, 1, 4096, &count, err) : 0;
    if (output && !strcmp(output, "-")) output = NULL;
    if (!status && output && count == 1) status = pcv_text_check(output, err);
    if (!status) status = pcv_session_open(&session, engine, a->settings, err);
    if (!status && count > 1) status = generate_many(session, p, count, output, err);
    else if (!status && output) status = generate_file(session, p, output, err);
    else if (!status) status = generate(session, p, &(sink){0}, err);
    pcv_session_close(session);
    return status;
}

int cmd_generate(arguments *a, pcv_error *err) {
    prompt p = {.text = arguments_value(a, "prompt"), .file = arguments_value(a, "prompt-file"),
                .echo = arguments_value(a, "echo") != NULL};
    pcv_engine *engine = NULL;
    if (p.text && p.file) return cli_fail(err, PCV_USAGE, "--prompt and --prompt-file exclude each other");
    int status = arguments_value(a, "o") ? pcv_output_check(arguments_value(a, "o"), err) : 0;
    if (!status) status = pcv_engine_open(&engine, a->plain[0], a->settings, err);
    bool is_text = !status && pcv_engine_is_text(engine);
    if (!status) status = arguments_check_run(a, is_text, pcv_engine_kind(engine), err);
    if (status) goto out;
    if (is_text) status = generate_text(a, engine, &p, err);
    else status = generate_document(a, engine, err);
out:
    pcv_engine_close(engine);
    return status;
}
