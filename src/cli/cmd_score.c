#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const double ln2 = 0.69314718055994531;

typedef struct listing {
    const pcv_engine *engine;
    bool people; /* on a terminal: a header, and what a token spells */
    int64_t tokens, bytes;
    double sum; /* of log-probabilities */
} listing;

/* What a token spells, on one line. */
static void show_text(const char *bytes, size_t size) {
    char text[64], line[4 * sizeof text];
    if (size >= sizeof text) size = sizeof text - 1;
    memcpy(text, bytes, size);
    text[size] = 0;
    pcv_line(line, sizeof line, text);
    printf("  %s", size && !text[0] ? "\\0" : line);
}

static int list(void *context, int64_t first, int64_t total, const pcv_scores *some) {
    listing *l = context;
    (void)total;
    bool text = l->people && pcv_engine_is_text(l->engine);
    if (l->people && !first) printf("%9s %9s %12s%s\n", "index", "id", "log p", text ? "  text" : "");
    for (int64_t i = 0; i < some->count; i++) {
        size_t size;
        const char *piece = pcv_engine_text(l->engine, some->ids[i], &size);
        l->sum += some->logprob[i];
        printf(l->people ? "%9" PRId64 " %9d %12.6f" : "%" PRId64 "\t%d\t%.6f", first + i, some->ids[i],
               some->logprob[i]);
        if (text) show_text(piece, size);
        putchar('\n');
    }
    l->tokens += some->count;
    l->bytes = some->bytes;
    return fflush(stdout);
}

static void show_total(const listing *l) {
    double bits = -l->sum / ln2;
    fprintf(stderr, "%" PRId64 " token%s, log-probability %.4f", l->tokens, pcv_plural(l->tokens), l->sum);
    if (l->tokens) fprintf(stderr, ", %.4f bits per token", bits / (double)l->tokens);
    if (l->bytes) fprintf(stderr, ", %.4f bits per byte", bits / (double)l->bytes);
    fputc('\n', stderr);
}

int cmd_score(arguments *a, pcv_error *err) {
    const char *ids = arguments_value(a, "tokens"), *path = ids ? ids : a->plain[1];
    pcv_engine *engine = NULL;
    listing l = {.people = isatty(STDOUT_FILENO)};
    pcv_score_options o = {.path = path, .are_ids = ids != NULL, .logits = arguments_value(a, "logits"), .take = list,
                           .context = &l};
    pcv_watch watch = l.people ? signals_watch() : progress_watch();
    if (!path || (ids && a->plain[1]))
        return cli_fail(err, PCV_USAGE, "name one file to score, as FILE or with --tokens FILE");
    int status = o.logits ? pcv_logits_check(o.logits, err) : 0;
    if (!status) status = pcv_engine_open(&engine, a->plain[0], a->settings, err);
    signals_install(true);
    l.engine = engine;
    if (!status) status = pcv_score_stream(engine, &o, a->settings, &watch, err);
    bool broken = ferror(stdout); /* which the end of the program tells, with its reason */
    progress_end();
    if (!status && !broken) show_total(&l);
    pcv_engine_close(engine);
    return broken ? 0 : status;
}
