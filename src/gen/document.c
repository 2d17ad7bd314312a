/* Generated documents as files: pictures, music, sound. */
#include "gen/document.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/watch.h"
#include "config/settings.h"
#include "media/picture.h"

#include <stdio.h>
#include <string.h>

enum { FRAME = 1, GAP = 3, FRAME_GREY = 0x80, MOST_CELLS = 1024, MOST_SCALE = 64, SAMPLES = 2 };

/* A generation of one document after the other. */
typedef struct writer {
    model *m;
    const tokenizer *t;
    sample_config config;
    const pcv_document_options *o;
    const pcv_watch *watch;
    pcv_generation *g;
    int64_t documents; /* in all, for progress */
    int64_t number;    /* of this one: its seed is so much larger */
    int scale;         /* pixels of a picture's pixel */
    double start;
} writer;

static int report(const writer *w, int64_t done, int64_t expected, pcv_error *err) {
    double seconds = clock_now() - w->start;
    pcv_progress p = {.stage = "generating", .seconds = seconds, .unit = "tokens"};
    p.done = (double)w->number + (expected ? (double)done / (double)expected : 0);
    p.total = (double)w->documents;
    p.rate = seconds > 0 ? (double)w->g->tokens / seconds : 0;
    if (watch_ask(w->watch, &p) != PCV_STOP) return 0;
    return fail(err, PCV_INTERRUPTED, "interrupted; nothing was written");
}

/* Continues ids[count], without the start token, until the document ends or has the wanted length. */
static int extend(writer *w, id_list *ids, pcv_error *err) {
    const tokenizer *t = w->t;
    sample_config config = w->config;
    pcv_session s = {0};
    int status = 0;
    double start = clock_now();
    config.seed += w->number;
    TRY(session_start(&s, w->m, t, &config, err));
    TRY(session_feed(&s, ids->v, ids->count, err));
    int64_t wanted = t->length ? t->length - (int64_t)ids->count : config.length, done = 0;
    w->g->end = PCV_END_LENGTH;
    for (; done < wanted; done++) {
        int32_t id;
        if (done % 16 == 0) TRY(report(w, done, wanted, err));
        TRY(session_next(&s, &id, err));
        if (w->g->tokens == 0) w->g->first_seconds = clock_now() - start;
        if (id < 0) {
            w->g->end = PCV_END_DOCUMENT;
            break;
        }
        w->g->tokens++;
        TRY(id_list_add(ids, &id, 1, err));
    }
    w->g->seconds = clock_now() - w->start - w->g->first_seconds;
out:
    session_stop(&s);
    return status;
}

/* The beginning of a given file that is kept. */
static int read_beginning(const writer *w, const char *path, id_list *all, id_list *kept, pcv_error *err) {
    int status = tokenizer_read(w->t, path, all, err);
    return status ? status : id_list_add(kept, all->v, (size_t)(w->o->keep * (double)all->count + 0.5), err);
}

/* ------------------------------------------------------------------ one document */

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
    TRY(extend(w, &ids, err));
    TRY(w->scale > 1 ? write_enlarged(w, &ids, err) : w->t->type->write(w->t, ids.v, ids.count, w->o->output, err));
    if (w->t->type->draw && path_is_file(w->o->output)) TRY(draw_beside(w, &ids, err)); /* nothing beside a device */
out:
    id_list_free(&all);
    id_list_free(&ids);
    return status;
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

static int write_grid(writer *w, pcv_error *err) {
    picture sheet = {0};
    id_list ids = {0};
    int status = 0;
    TRY(open_sheet(w, &sheet, w->o->columns, w->o->rows, err));
    for (w->documents = w->o->columns * w->o->rows; w->number < w->documents; w->number++) {
        ids.count = 0;
        TRY(extend(w, &ids, err));
        TRY(put(w, &sheet, &ids, (int)w->number % w->o->columns, (int)w->number / w->o->columns, err));
    }
    TRY(picture_write(&sheet, w->o->output, err));
out:
    id_list_free(&ids);
    picture_free(&sheet);
    return status;
}

/* A row for each given picture: itself, what is kept of it, and its completion. */
static int write_completions(writer *w, pcv_error *err) {
    picture sheet = {0};
    id_list all = {0}, ids = {0};
    int status = 0;
    while (w->o->given[w->documents]) w->documents++;
    TRY(open_sheet(w, &sheet, 3, w->documents, err));
    for (; w->number < w->documents; w->number++) {
        all.count = ids.count = 0;
        TRY(read_beginning(w, w->o->given[w->number], &all, &ids, err));
        TRY(put(w, &sheet, &all, 0, (int)w->number, err));
        TRY(put(w, &sheet, &ids, 1, (int)w->number, err));
        TRY(extend(w, &ids, err));
        TRY(put(w, &sheet, &ids, 2, (int)w->number, err));
    }
    TRY(picture_write(&sheet, w->o->output, err));
out:
    id_list_free(&all);
    id_list_free(&ids);
    picture_free(&sheet);
    return status;
}

/* ------------------------------------------------------------------ what others call */

int document_sample(model *m, const tokenizer *t, const sample_config *config, const char *path, pcv_error *err) {
    bool pictures = t->type->picture != NULL;
    pcv_document_options o = {.output = path, .columns = SAMPLES, .rows = SAMPLES};
    pcv_generation g = {0};
    writer w = {.m = m, .t = t, .config = *config, .o = &o, .g = &g, .documents = 1, .scale = 1, .start = clock_now()};
    return pictures ? write_grid(&w, err) : write_one(&w, err);
}

int generate_document(pcv_engine *engine, const pcv_document_options *o, const pcv_settings *settings,
                          const pcv_watch *watch, pcv_generation *g, pcv_error *err) {
    const tokenizer *t = &engine->tokens;
    writer w = {.m = engine->m, .t = t, .o = o, .watch = watch, .g = g, .start = clock_now()};
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
    if (!(o->keep >= 0 && o->keep <= 1)) return fail(err, PCV_USAGE, "keep is %g, expected 0 to 1", o->keep);
    if (w.scale > MOST_SCALE || (w.scale > 1 && !pictures))
        return fail(err, PCV_USAGE, "a scale of %d, expected 1 to %d, of pictures", w.scale, MOST_SCALE);
    int status = t->type->check_name(t, o->output, err);
    if (!status && pictures) status = check_size(&w, t->config.size * w.scale, t->config.size * w.scale, err);
    if (!status) status = engine_sampling(engine, settings, &w.config, err);
    if (status) return status;
    if (!grid && !many) w.documents = 1;
    status = grid ? write_grid(&w, err) : many ? write_completions(&w, err) : write_one(&w, err);
    if (status == PCV_NUMERIC) return engine_not_finite(engine, err);
    return status || grid || many || !t->type->play || !path_is_file(o->output) ? status : play_beside(&w, err);
}
