/* Generated documents as files: pictures, music, sound. */
#include "gen/document.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/watch.h"
#include "config/settings.h"
#include "media/picture.h"

#include <stdio.h>
#include <string.h>

enum { MOST_AT_ONCE = 32, FRAME = 1, GAP = 3, FRAME_GREY = 0x80, MOST_CELLS = 1024, MOST_SCALE = 64, SAMPLES = 2 };

/* A generation of documents, several at once where they go into one file. */
typedef struct writer {
    decoder *d;
    const tokenizer *t;
    sample_config config;
    const pcv_document_options *o;
    const pcv_watch *watch;
    pcv_generation *g;
    int64_t documents; /* in all, for progress */
    int64_t number;    /* of this one: its seed is so much larger */
    int scale;         /* pixels of a picture's pixel */
    bool draws, plays; /* what cannot be seen or heard in the file goes into another one beside it */
    double start;
} writer;

/* `done` tokens of the `expected` of the documents that are under way. */
static int report(const writer *w, int64_t under_way, int64_t done, int64_t expected, pcv_error *err) {
    double seconds = clock_now() - w->start;
    pcv_progress p = {.stage = "generating", .seconds = seconds, .unit = "tokens"};
    p.done = (double)w->number + (expected ? (double)(under_way * done) / (double)expected : 0);
    p.total = (double)w->documents;
    p.rate = seconds > 0 ? (double)w->g->tokens / seconds : 0;
    if (watch_ask(w->watch, &p) != PCV_STOP) return 0;
    return fail(err, PCV_INTERRUPTED, "interrupted; nothing was written");
}

/* A document that grows. */
typedef struct growing {
    pcv_session session;
    id_list *ids;
    int64_t wanted, done;
} growing;

static int begin_growing(writer *w, growing *x, id_list *ids, int64_t number, pcv_error *err) {
    sample_config config = w->config;
    config.seed += number;
    *x = (growing){.ids = ids, .wanted = w->t->length ? w->t->length - (int64_t)ids->count : config.length};
    int status = session_start(&x->session, w->d, w->t, &config, err);
    return status ? status : session_feed(&x->session, ids->v, ids->count, err);
}

/* One more token of each that wants one; *alive: how many did. */
static int grow(writer *w, growing *all, int64_t count, int64_t *alive, pcv_error *err) {
    pcv_session *going[MOST_AT_ONCE];
    int32_t id[MOST_AT_ONCE];
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        if (all[i].done < all[i].wanted) going[n++] = &all[i].session;
    *alive = n;
    int status = n ? sessions_next(going, n, id, err) : 0;
    n = 0;
    for (int64_t i = 0; i < count && !status; i++) {
        growing *x = &all[i];
        if (x->done == x->wanted) continue;
        int32_t next = id[n++];
        x->done++;
        if (next < 0) { /* it ends here */
            x->wanted = x->done;
            w->g->end = PCV_END_DOCUMENT;
            continue;
        }
        w->g->tokens++;
        status = id_list_add(x->ids, &next, 1, err);
    }
    return status;
}

/* Continues documents, which begin as ids[count] without the start token, side by side, until each ends or has the
 * wanted length. The first is number w->number. */
static int extend(writer *w, id_list *ids, int64_t count, pcv_error *err) {
    growing *all = NULL;
    double start = clock_now();
    int64_t begun = 0, alive = count, longest = 0;
    int status = 0;
    TRY(mem_get(&all, (size_t)count * sizeof *all, "documents", err));
    TRY(model_slab_reserve(w->d->slab, count, 0, 0, err)); /* so that no cache is copied for the next one's */
    w->g->end = PCV_END_LENGTH;
    while (begun < count) {
        TRY(begin_growing(w, &all[begun], &ids[begun], w->number + begun, err));
        if (all[begun++].wanted > longest) longest = all[begun - 1].wanted;
    }
    for (int64_t done = 0; alive; done++) {
        if (done % 16 == 0) TRY(report(w, count, done, longest, err));
        TRY(grow(w, all, count, &alive, err));
        if (done == 0 && w->g->first_seconds == 0) w->g->first_seconds = clock_now() - start;
    }
    w->g->seconds = clock_now() - w->start - w->g->first_seconds;
out:
    for (int64_t i = 0; all && i < count; i++) session_stop(&all[i].session);
    mem_free(all);
    return status;
}

/* How many documents grow side by side: what a quarter of the free memory holds of their caches. */
static int64_t at_once(const writer *w) {
    model *m = w->d->m;
    size_t most = m->be->available(m->be) / 4 / (timeline_bytes(m, w->config.latents) + 1);
    return most < 1 ? 1 : most < MOST_AT_ONCE ? (int64_t)most : MOST_AT_ONCE;
}

/* The beginning of a given file that is kept. */
static int read_beginning(const writer *w, const char *path, id_list *all, id_list *kept, pcv_error *err) {
    int status = tokenizer_read_any(w->t, path, all, w->watch, err);
    if (!status && !all->count) status = fail(err, PCV_DATA, "%s: nothing in it that could be continued", path);
    return status ? status : id_list_add(kept, all->v, (size_t)(w->o->keep * (double)all->count + 0.5), err);
}

/* ------------------------------------------------------------------ one document */

/* Nothing stands beside a device, a pipe or standard output. */
static bool is_file(const char *path) { return strcmp(path, "-") && path_is_file(path); }

/* "song.mid.png" for "song.mid". */
static int beside(const writer *w, const char *extension, char path[PATH_SIZE], pcv_error *err) {
    if (snprintf(path, PATH_SIZE, "%s%s", w->o->output, extension) < PATH_SIZE) return 0;
    return fail(err, PCV_USAGE, "%.60s...: the path is too long", w->o->output);
}

static int draw_beside(const writer *w, const id_list *ids, pcv_error *err) {
    char path[PATH_SIZE];
    int status = beside(w, ".png", path, err);
    return status ? status : w->t->type->draw(w->t, ids->v, ids->count, path, err);
}

static int check_size(const writer *w, int64_t width, int64_t height, pcv_error *err) {
    if (width <= PICTURE_SIDE && height <= PICTURE_SIDE && width * height <= PICTURE_AREA) return 0;
    return fail(err, PCV_USAGE, "%s: %lld x %lld pixels, at most %d in all and %d a side; lower --scale, or make fewer "
                "pictures", w->o->output, (long long)width, (long long)height, PICTURE_AREA, PICTURE_SIDE);
}

static int write_enlarged(const writer *w, const id_list *ids, pcv_error *err) {
    picture p = {0};
    int status = w->t->type->picture(w->t, ids->v, ids->count, &p, err);
    if (!status) status = picture_enlarge(&p, w->scale, err);
    if (!status) status = picture_write(&p, w->o->output, err);
    picture_free(&p);
    return status;
}

static int write_one(writer *w, pcv_error *err) {
    id_list all = {0}, ids = {0};
    int status = 0;
    if (w->o->given && w->o->given[0]) TRY(read_beginning(w, w->o->given[0], &all, &ids, err));
    TRY(extend(w, &ids, 1, err));
    TRY(w->scale > 1 ? write_enlarged(w, &ids, err) : w->t->type->write(w->t, ids.v, ids.count, w->o->output, err));
    if (w->draws && is_file(w->o->output)) TRY(draw_beside(w, &ids, err));
out:
    id_list_free(&all);
    id_list_free(&ids);
    return status;
}

/* Will there be a file of this ending beside the output? What stands there already was not named, and stays. */
static int may_stand_beside(const writer *w, const char *extension, bool *may, pcv_error *err) {
    char path[PATH_SIZE];
    int status = beside(w, extension, path, err);
    if (status) return status;
    *may = !path_exists(path);
    if (!*may) watch_say(w->watch, "%s is there already and stays as it is", path);
    return 0;
}

/* "song.mid.wav", where the machine can make it. */
static int play_beside(const writer *w, pcv_error *err) {
    char path[PATH_SIZE];
    pcv_error reason;
    int status = beside(w, ".wav", path, err);
    if (status) return status;
    status = w->t->type->play(w->o->output, path, &reason);
    if (status != PCV_NOINPUT) return status ? fail(err, status, "%s", reason.message) : 0;
    watch_say(w->watch, "%s", reason.message);
    return 0;
}

/* ------------------------------------------------------------------ sheets of pictures */

/* Of a cell: a picture with a frame around it. */
static int64_t cell_side(const writer *w) { return w->t->config.size * w->scale + 2 * FRAME; }

static void draw_frame(picture *sheet, int x, int y, int side) {
    for (int64_t row = y; row < y + side; row++)
        memset(sheet->rgb + 3 * (row * sheet->width + x), FRAME_GREY, 3 * (size_t)side);
}

static int put(const writer *w, picture *sheet, const id_list *ids, int column, int row, pcv_error *err) {
    picture p = {0};
    int side = (int)cell_side(w), x = GAP + column * (side + GAP), y = GAP + row * (side + GAP);
    int status = w->t->type->picture(w->t, ids->v, ids->count, &p, err);
    if (!status) status = picture_enlarge(&p, w->scale, err);
    if (!status) draw_frame(sheet, x, y, side);
    if (!status) picture_place(sheet, &p, x + FRAME, y + FRAME);
    picture_free(&p);
    return status;
}

static int open_sheet(const writer *w, picture *sheet, int64_t columns, int64_t rows, pcv_error *err) {
    int64_t side = cell_side(w) + GAP, width = columns * side + GAP, height = rows * side + GAP;
    int status = check_size(w, width, height, err);
    if (!status) status = picture_open(sheet, (int)width, (int)height, err);
    if (!status) memset(sheet->rgb, 0xFF, 3 * (size_t)sheet->width * (size_t)sheet->height);
    return status;
}

static void free_lists(id_list *ids) {
    for (int64_t i = 0; i < MOST_AT_ONCE; i++) id_list_free(&ids[i]);
}

static int write_grid(writer *w, pcv_error *err) {
    picture sheet = {0};
    id_list ids[MOST_AT_ONCE] = {{0}};
    int64_t columns = w->o->columns, most = at_once(w), count;
    int status = 0;
    TRY(open_sheet(w, &sheet, columns, w->o->rows, err));
    for (w->documents = columns * w->o->rows; w->number < w->documents; w->number += count) {
        count = w->documents - w->number < most ? w->documents - w->number : most;
        for (int64_t i = 0; i < count; i++) ids[i].count = 0;
        TRY(extend(w, ids, count, err));
        for (int64_t i = 0; i < count; i++)
            TRY(put(w, &sheet, &ids[i], (int)((w->number + i) % columns), (int)((w->number + i) / columns), err));
    }
    TRY(picture_write(&sheet, w->o->output, err));
out:
    free_lists(ids);
    picture_free(&sheet);
    return status;
}

/* A row for each given picture: itself, what is kept of it, and its completion. */
static int write_completions(writer *w, pcv_error *err) {
    picture sheet = {0};
    id_list all = {0}, ids[MOST_AT_ONCE] = {{0}};
    int64_t most = at_once(w), count;
    int status = 0;
    while (w->o->given[w->documents]) w->documents++;
    TRY(open_sheet(w, &sheet, 3, w->documents, err));
    for (; w->number < w->documents; w->number += count) {
        count = w->documents - w->number < most ? w->documents - w->number : most;
        for (int64_t i = 0; i < count; i++) {
            all.count = ids[i].count = 0;
            TRY(read_beginning(w, w->o->given[w->number + i], &all, &ids[i], err));
            TRY(put(w, &sheet, &all, 0, (int)(w->number + i), err));
            TRY(put(w, &sheet, &ids[i], 1, (int)(w->number + i), err));
        }
        TRY(extend(w, ids, count, err));
        for (int64_t i = 0; i < count; i++) TRY(put(w, &sheet, &ids[i], 2, (int)(w->number + i), err));
    }
    TRY(picture_write(&sheet, w->o->output, err));
out:
    id_list_free(&all);
    free_lists(ids);
    picture_free(&sheet);
    return status;
}

/* ------------------------------------------------------------------ what others call */

int document_sample(decoder *d, const tokenizer *t, const sample_config *config, const char *path, pcv_error *err) {
    bool pictures = t->type->picture != NULL;
    pcv_document_options o = {.output = path, .columns = SAMPLES, .rows = SAMPLES};
    pcv_generation g = {0};
    writer w = {.d = d, .t = t, .config = *config, .o = &o, .g = &g, .documents = 1, .scale = 1, .start = clock_now()};
    w.draws = t->type->draw != NULL;
    return pictures ? write_grid(&w, err) : write_one(&w, err);
}

int generate_document(pcv_engine *engine, const pcv_document_options *o, const pcv_settings *settings,
                          const pcv_watch *watch, pcv_generation *g, pcv_error *err) {
    const tokenizer *t = &engine->tokens;
    writer w = {.d = &engine->decoder, .t = t, .o = o, .watch = watch, .g = g, .start = clock_now()};
    w.scale = o->scale > 1 ? o->scale : 1;
    bool pictures = t->type->picture != NULL, grid = o->columns > 0, many = o->given && o->given[0] && o->given[1];
    *g = (pcv_generation){0};
    if (!t->type->write)
        return fail(err, PCV_USAGE, "%s generates %s, which goes to standard output or a text file", engine->run,
                    engine->kind);
    if ((grid || many) && !pictures)
        return fail(err, PCV_USAGE, "several documents in one file are for pictures; %s generates %s", engine->run,
                    engine->kind);
    if (grid && (o->rows < 1 || (int64_t)o->columns * o->rows > MOST_CELLS))
        return fail(err, PCV_USAGE, "a grid of %d x %d, expected at most %d pictures", o->columns, o->rows, MOST_CELLS);
    if (t->length && settings_get(settings, "length"))
        return fail(err, PCV_USAGE, "--length: each document of %s has %lld tokens", engine->run, (long long)t->length);
    if (!(o->keep >= 0 && o->keep <= 1)) return fail(err, PCV_USAGE, "keep is %g, expected 0 to 1", o->keep);
    if (w.scale > MOST_SCALE || (w.scale > 1 && !pictures))
        return fail(err, PCV_USAGE, "a scale of %d, expected 1 to %d, of pictures", w.scale, MOST_SCALE);
    int status = t->type->check_name(t, o->output, err);
    if (!status && pictures) status = check_size(&w, t->config.size * w.scale, t->config.size * w.scale, err);
    if (!status) status = engine_sampling(engine, settings, &w.config, err);
    if (!status && !grid && !many && t->type->draw) status = may_stand_beside(&w, ".png", &w.draws, err);
    if (!status && !grid && !many && t->type->play) status = may_stand_beside(&w, ".wav", &w.plays, err);
    if (status) return status;
    if (!grid && !many) w.documents = 1;
    status = grid ? write_grid(&w, err) : many ? write_completions(&w, err) : write_one(&w, err);
    if (status == PCV_NUMERIC) return engine_not_finite(engine, err);
    return status || !w.plays || !is_file(o->output) ? status : play_beside(&w, err);
}
