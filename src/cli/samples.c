/* Several texts of one prompt, side by side: the prompt is read once, every further session goes on from a copy. */
#include "cli/samples.h"
#include "cli/commands.h"
#include "cli/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text of one sample, in memory until all are done. */
typedef struct sample {
    char *text;
    size_t size, capacity;
    struct samples *all;
} sample;

typedef struct samples {
    int64_t count;
    sample *list;
    pcv_session **sessions;
    pcv_generation *made;
    void **contexts;
    bool no_memory;
} samples;

static int keep(void *context, const char *bytes, size_t size) {
    sample *s = context;
    if (s->size + size > s->capacity) {
        size_t capacity = 2 * (s->size + size) + 256;
        char *larger = realloc(s->text, capacity);
        if (!larger) return s->all->no_memory = true;
        s->text = larger;
        s->capacity = capacity;
    }
    memcpy(s->text + s->size, bytes, size);
    s->size += size;
    return signals_wish() == PCV_STOP;
}

/* ------------------------------------------------------------------ where they go */

/* "story-3.txt" for the third of "story.txt". */
static int numbered(char *path, size_t capacity, const char *output, int64_t number, pcv_error *err) {
    const char *name = strrchr(output, '/'), *dot = strrchr(name ? name : output, '.');
    int stem = (int)(dot && dot != (name ? name + 1 : output) ? dot - output : (ptrdiff_t)strlen(output));
    int length = snprintf(path, capacity, "%.*s-%" PRId64 "%s", stem, output, number, output + stem);
    return length < (int)capacity ? 0 : cli_fail(err, PCV_USAGE, "-o: %.60s...: the name is too long", output);
}

static int write_file(const sample *s, const char *path, pcv_error *err) {
    pcv_output *file = NULL;
    int status = pcv_output_open(&file, path, err);
    if (!status) pcv_output_write(file, s->text ? s->text : "", s->size);
    if (!status) status = pcv_output_commit(file, err);
    pcv_output_close(file);
    return status;
}

static int write_all(const samples *all, const char *output, pcv_error *err) {
    int status = 0;
    for (int64_t i = 0; i < all->count && !status; i++) {
        const sample *s = &all->list[i];
        char path[4096];
        if (output) {
            status = numbered(path, sizeof path, output, i + 1, err);
            if (!status) status = write_file(s, path, err);
            continue;
        }
        printf("%s==== sample %" PRId64 " of %" PRId64 "\n", i ? "\n" : "", i + 1, all->count);
        fwrite(s->text ? s->text : "", 1, s->size, stdout);
        if (!s->size || s->text[s->size - 1] != '\n') putchar('\n');
    }
    return status;
}

/* ------------------------------------------------------------------ making them */

static int open_all(samples *all, int64_t count, pcv_session *first, pcv_error *err) {
    *all = (samples){.list = calloc((size_t)count, sizeof *all->list),
                     .sessions = calloc((size_t)count, sizeof(pcv_session *)),
                     .made = calloc((size_t)count, sizeof *all->made),
                     .contexts = calloc((size_t)count, sizeof(void *))};
    if (!all->list || !all->sessions || !all->made || !all->contexts)
        return cli_fail(err, PCV_MEMORY, "not enough memory for %" PRId64 " samples", count);
    int status = 0;
    for (; all->count < count && !status; all->count++) {
        int64_t i = all->count;
        all->list[i].all = all;
        all->contexts[i] = &all->list[i];
        if (i == 0) all->sessions[0] = first;
        else status = pcv_session_fork(&all->sessions[i], first, pcv_session_seed(first) + (uint64_t)i, err);
        if (status) break;
    }
    return status;
}

static void close_all(samples *all) {
    for (int64_t i = 0; i < all->count; i++) {
        if (i > 0) pcv_session_close(all->sessions[i]); /* the first is the caller's */
        free(all->list[i].text);
    }
    free(all->list);
    free(all->sessions);
    free(all->made);
    free(all->contexts);
}

int samples_check(const char *output, int64_t count, pcv_error *err) {
    int status = 0;
    for (int64_t i = 0; i < count && output && !status; i++) {
        char path[4096];
        status = numbered(path, sizeof path, output, i + 1, err);
        if (!status) status = pcv_text_check(path, err);
    }
    return status;
}

int samples_generate(pcv_session *first, int64_t count, const char *output, pcv_error *err) {
    samples all;
    signals_install(false);
    int status = open_all(&all, count, first, err);
    if (!status) status = pcv_generate_texts(all.sessions, count, keep, all.contexts, all.made, err);
    if (!status && all.no_memory) status = cli_fail(err, PCV_MEMORY, "not enough memory for the texts");
    if (!status && signals_wish() == PCV_STOP)
        status = cli_fail(err, PCV_INTERRUPTED, "interrupted; nothing was written");
    if (!status) status = write_all(&all, output, err);
    if (!status) {
        int64_t tokens = 0;
        for (int64_t i = 0; i < count; i++) tokens += all.made[i].tokens;
        double seconds = all.made[0].first_seconds + all.made[0].seconds;
        cli_say("%" PRId64 " samples, %" PRId64 " token%s in %.2f s, %.1f tokens/s", count, tokens, pcv_plural(tokens),
                seconds, seconds > 0 ? (double)tokens / seconds : 0);
    }
    close_all(&all);
    return status;
}
