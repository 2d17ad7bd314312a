/* What a model that answers says of files: a line a file, likeliest class first; or texts, filled in; or a table or a
 * file of latents for programs. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct request {
    const char *output; /* of -o, or NULL */
    bool csv, latents, films;
    int64_t top;
} request;

/* A field of a CSV. */
static void put_field(FILE *f, const char *text) {
    if (!strpbrk(text, ",\"\n\r")) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"') fputc('"', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

static void put_csv(FILE *f, const pcv_prediction *p, bool first) {
    if (first) {
        fprintf(f, "file,class");
        for (int64_t k = 0; k < p->classes; k++) {
            fputc(',', f);
            put_field(f, p->class_name[k]);
        }
        fputc('\n', f);
    }
    int64_t best = 0;
    for (int64_t k = 1; k < p->classes; k++)
        if (p->probability[k] > p->probability[best]) best = k;
    put_field(f, p->path);
    fputc(',', f);
    put_field(f, p->class_name[best]);
    for (int64_t k = 0; k < p->classes; k++) fprintf(f, ",%.6g", (double)p->probability[k]);
    fputc('\n', f);
}

/* The classes by probability, the likeliest first, `top` of them. */
static void put_classes(const pcv_prediction *p, int64_t top) {
    double before = 2;
    int64_t last = -1;
    printf("%s", p->path);
    for (int64_t i = 0; i < top && i < p->classes; i++) {
        int64_t next = -1;
        for (int64_t k = 0; k < p->classes; k++) {
            double x = (double)p->probability[k];
            bool behind = x < before || (x == before && k > last);
            if (behind && (next < 0 || x > (double)p->probability[next])) next = k;
        }
        printf("  %s %.1f %%", p->class_name[next], 100 * (double)p->probability[next]);
        before = (double)p->probability[next];
        last = next;
    }
    putchar('\n');
}

static void put_answer(const request *r, const pcv_prediction *p, FILE *table, bool first) {
    if (p->text) {
        fwrite(p->text, 1, p->size, table ? table : stdout);
        if (!p->filled)
            cli_say("%s: nothing is hidden in it; --hidden TEXT says what stands for a hidden token", p->path);
    } else if (table || r->csv) put_csv(table ? table : stdout, p, first);
    else put_classes(p, r->top);
}

/* The name of a film's folder, whether the folder or one of its frames was named. */
static int film_name(const char *path, char name[PATH_MAX], pcv_error *err) {
    char real[PATH_MAX];
    struct stat s;
    if (!realpath(path, real) || stat(real, &s)) return cli_fail(err, PCV_NOINPUT, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(s.st_mode)) *strrchr(real, '/') = 0;
    snprintf(name, PATH_MAX, "%s", strrchr(real, '/') ? strrchr(real, '/') + 1 : real);
    return 0;
}

/* A film that was told again, in a folder of its own. */
static int put_film(const request *r, const pcv_prediction *p, pcv_error *err) {
    char name[PATH_MAX], folder[2 * PATH_MAX];
    int status = 0;
    if (!r->output && !p->classes)
        return cli_fail(err, PCV_USAGE, "this run tells films again, without a class; -o names the folder to make");
    if (r->output) {
        status = film_name(p->path, name, err);
        if (!status) snprintf(folder, sizeof folder, "%s/%s", r->output, name);
        if (!status) status = pcv_film_save(p, folder, err);
        if (!status) printf("%s: %" PRId64 " frames, %" PRId64 " samples\n", folder, p->frames, p->samples);
    }
    if (!status && p->classes) put_classes(p, r->top);
    return status;
}

/* One film would be written over another. */
static int check_films(const arguments *a, pcv_error *err) {
    char one[PATH_MAX], other[PATH_MAX];
    pcv_error ignored; /* what is no film is told when its turn comes */
    for (int i = 1; i < a->count; i++)
        for (int k = 1; k < i; k++) {
            if (film_name(a->plain[i], one, &ignored) || film_name(a->plain[k], other, &ignored)) continue;
            if (strcmp(one, other)) continue;
            return cli_fail(err, PCV_USAGE, "%s and %s: both would be told in a folder '%s'; tell them one after the "
                            "other", a->plain[k], a->plain[i], one);
        }
    return 0;
}

/* One file's answer. What cannot be read is said, and the others go on. */
static int answer(pcv_engine *engine, arguments *a, const request *r, const char *path, FILE *table, pcv_prediction *p,
                  bool first, pcv_error *err) {
    pcv_predict_options o = {.path = path, .hidden = arguments_value(a, "hidden"), .latents = r->latents};
    int status = pcv_predict(engine, &o, a->settings, p, err);
    if (status || r->latents) return status;
    if (!p->film) put_answer(r, p, table, first);
    else if ((status = put_film(r, p, err))) pcv_prediction_free(p);
    return status;
}

static int answer_all(pcv_engine *engine, arguments *a, const request *r, FILE *table, pcv_error *err) {
    int files = a->count - 1, done = 0, bad = 0, status = 0;
    pcv_prediction *list = calloc((size_t)files, sizeof *list);
    pcv_watch watch = signals_watch();
    if (!list) return cli_fail(err, PCV_MEMORY, "not enough memory for %d answers", files);
    for (int i = 0; i < files && !status; i++) {
        pcv_error reason;
        if (watch.progress(watch.context, &(pcv_progress){.stage = "answering"}) == PCV_STOP) {
            status = cli_fail(err, PCV_INTERRUPTED, "interrupted");
            break;
        }
        int one = answer(engine, a, r, a->plain[1 + i], table, &list[done], done == 0, &reason);
        if (!one) {
            if (!r->latents) pcv_prediction_free(&list[done]);
            done++;
            continue;
        }
        bool file_alone = one == PCV_DATA || one == PCV_NOINPUT;
        if (file_alone && files > 1) {
            cli_say("skipped %s", reason.message);
            bad++;
        } else status = cli_fail(err, one, "%s", reason.message);
    }
    if (!status && !done) status = cli_fail(err, PCV_DATA, "none of the %d files could be read", files);
    if (!status && r->latents) status = pcv_predictions_save(list, done, r->output, err);
    if (bad && !status) cli_say("skipped %d of %d files", bad, files);
    for (int i = 0; i < done && r->latents; i++) pcv_prediction_free(&list[i]);
    free(list);
    return status;
}

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), more = strlen(end);
    return size > more && !strcmp(text + size - more, end);
}

static int read_request(request *r, const arguments *a, pcv_error *err) {
    const char *what = arguments_value(a, "output"), *top = arguments_value(a, "top");
    *r = (request){.output = arguments_value(a, "o"), .csv = arguments_value(a, "csv") != NULL, .top = 3};
    if (what && strcmp(what, "latents") && strcmp(what, "answers"))
        return cli_fail(err, PCV_USAGE, "--output: '%.40s' is not one of answers|latents", what);
    r->latents = what && !strcmp(what, "latents");
    bool fits = r->output && (ends_with(r->output, ".safetensors") || ends_with(r->output, ".csv"));
    if (r->latents && !fits)
        return cli_fail(err, PCV_USAGE, "--output latents: -o names the .safetensors or .csv file to make");
    return top ? pcv_read_whole("--top", top, 1, 1000, &r->top, err) : 0;
}

/* From one frame to the next. */
static int tell_motion(pcv_engine *engine, arguments *a, const request *r, pcv_error *err) {
    pcv_prediction p;
    if (a->count != 3 || !r->output)
        return cli_fail(err, PCV_USAGE, "this run tells how pixels move from one frame to the next; expected RUN "
                        "FRAME1 FRAME2 -o FLOW.flo|.png");
    pcv_predict_options o = {.path = a->plain[1], .second = a->plain[2]};
    int status = pcv_motion_check(r->output, err);
    if (!status) status = pcv_predict(engine, &o, a->settings, &p, err);
    if (status) return status;
    status = pcv_motion_save(&p, r->output, err);
    if (!status) printf("%s: motions of %" PRId64 " x %" PRId64 " pixels\n", r->output, p.width, p.height);
    pcv_prediction_free(&p);
    return status;
}

/* Of each file by itself. */
static int tell_answers(pcv_engine *engine, arguments *a, const request *r, pcv_error *err) {
    FILE *table = NULL;
    int status = 0;
    bool is_table = r->output && !r->latents && !r->films;
    if (r->films && r->output) status = check_films(a, err);
    if (is_table && !(table = fopen(r->output, "w")))
        status = cli_fail(err, PCV_CANTCREATE, "%s: %s", r->output, strerror(errno));
    if (!status) status = answer_all(engine, a, r, table, err);
    bool broken = table && (ferror(table) | fclose(table));
    if (broken && !status) status = cli_fail(err, PCV_IO, "%s: %s", r->output, strerror(errno));
    return status;
}

int cmd_predict(arguments *a, pcv_error *err) {
    request r;
    pcv_engine *engine = NULL;
    int status = read_request(&r, a, err);
    if (!status) status = pcv_engine_open(&engine, a->plain[0], a->settings, err);
    signals_install(true);
    r.films = !status && pcv_engine_tells_films(engine) && !r.latents;
    if (!status) status = (pcv_engine_tells_motion(engine) ? tell_motion : tell_answers)(engine, a, &r, err);
    pcv_engine_close(engine);
    return status;
}
