/* Pairs of frames as tokens: red, green and blue of every pixel of the first, then of the second, then how far every
 * pixel of the first moves, right and down, in 64ths of a pixel; all of the square in the middle, which is cut out and
 * not scaled. A pair is named by its .flo file: the frames of frame-0001.flo are frame-0001.png and frame-0002.png,
 * those of 00001_flow.flo are 00001_img1.png and 00001_img2.png (.jpg, .jpeg). */
#include "token/flow.h"
#include "base/text.h"
#include "media/flow_file.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 64, STILL = 32767, MOST = 65532, COLOURS = 3, AXES = 2 };

static int open_flow(tokenizer *t, pcv_error *err) {
    int64_t size = t->config.size;
    uint8_t background[3];
    t->pad = 0, t->end = -1, t->start = 2, t->first = 3;
    t->vocab = t->first + MOST + 1; /* so that all ids take two bytes */
    t->frames = 2;
    t->answers = AXES;
    t->length = t->period = (2 * COLOURS + AXES) * size * size; /* a pair is not cut */
    t->shape[0] = t->shape[1] = size;
    t->shape[2] = COLOURS;
    return colour_parse(t->config.background, background, err);
}

int32_t flow_id(double pixels) {
    if (isnan(pixels)) return 3;
    return 3 + (int32_t)fmin(fmax(floor(pixels * PARTS + 0.5) + STILL, 1), MOST);
}

static void values_flow(const tokenizer *t, const int32_t *ids, size_t count, float *out) {
    size_t colours = (size_t)(2 * t->shape[0] * t->shape[1] * t->shape[2]);
    for (size_t i = 0; i < count; i++) {
        int32_t step = ids[i] - t->first;
        if (i < colours) out[i] = (float)step / 127.5f - 1;
        else out[i] = step < 1 ? NAN : (float)(step - STILL) / PARTS;
    }
}

/* ------------------------------------------------------------------ files of a pair */

int flow_frames(const tokenizer *t, const char *first, const char *second, picture frame[2], pcv_error *err) {
    const char *path[2] = {first, second};
    uint8_t background[3];
    int status = colour_parse(t->config.background, background, err);
    for (int i = 0; i < 2 && !status; i++) status = picture_read(&frame[i], path[i], background, err);
    if (status || (frame[0].width == frame[1].width && frame[0].height == frame[1].height)) return status;
    return fail(err, PCV_DATA, "%s: %d x %d pixels, but %s has %d x %d", second, frame[1].width, frame[1].height, first,
                frame[0].width, frame[0].height);
}

/* The stem of the frame behind the one with this stem: its number is one more, as wide. False: it has none. */
static bool next_stem(char *stem) {
    size_t end = strlen(stem), at = end;
    while (at > 0 && isdigit((unsigned char)stem[at - 1])) at--;
    if (at == end) return false;
    for (size_t i = end; i-- > at;) {
        if (stem[i] != '9') {
            stem[i]++;
            return true;
        }
        stem[i] = '0';
    }
    return false; /* all nines */
}

/* Adds the ending of a picture that is there. */
static bool find_picture(char *path, size_t size) {
    static const char *const endings[] = {".png", ".jpg", ".jpeg", ".PNG", ".JPG"};
    size_t stem = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (stem + strlen(endings[i]) >= size) return false;
        strcpy(path + stem, endings[i]);
        if (path_exists(path)) return true;
    }
    path[stem] = 0;
    return false;
}

static bool frames_of(const char *path, char frame[2][PATH_SIZE]) {
    static const char flo[] = ".flo", named[] = "_flow";
    size_t stem = strlen(path) - (sizeof flo - 1), name = stem - (sizeof named - 1);
    for (int i = 0; i < 2; i++) snprintf(frame[i], PATH_SIZE, "%.*s", (int)stem, path);
    if (stem > sizeof named - 1 && !strncmp(path + name, named, sizeof named - 1))
        for (int i = 0; i < 2; i++) snprintf(frame[i] + name, PATH_SIZE - name, "_img%d", i + 1);
    else if (!next_stem(frame[1])) return false;
    return find_picture(frame[0], PATH_SIZE) && find_picture(frame[1], PATH_SIZE);
}

static bool is_flow(const char *path) {
    size_t size = strlen(path);
    return size > 4 && size < PATH_SIZE - 16 && !strcmp(path + size - 4, ".flo");
}

/* ------------------------------------------------------------------ ids */

int flow_square(const tokenizer *t, const picture *p, int left, int top, id_list *ids, pcv_error *err) {
    int size = (int)t->config.size, status = 0;
    for (int i = 0; i < size * size * COLOURS && !status; i++) {
        int y = top + i / COLOURS / size, x = left + i / COLOURS % size;
        int32_t id = t->first + p->rgb[((int64_t)y * p->width + x) * COLOURS + i % COLOURS];
        status = id_list_add(ids, &id, 1, err);
    }
    return status;
}

static int add_motions(const flow *f, int size, int left, int top, id_list *ids, pcv_error *err) {
    int status = 0;
    for (int i = 0; i < size * size * AXES && !status; i++) {
        int y = top + i / AXES / size, x = left + i / AXES % size;
        int32_t id = flow_id((double)f->uv[((int64_t)y * f->width + x) * AXES + i % AXES]);
        status = id_list_add(ids, &id, 1, err);
    }
    return status;
}

static int read_flow(const tokenizer *t, const char *path, id_list *ids, pcv_error *err) {
    int size = (int)t->config.size, status = 0;
    char name[2][PATH_SIZE];
    picture frame[2] = {{0}, {0}};
    flow f = {0};
    if (!is_flow(path)) return fail(err, PCV_DATA, "%s: pairs of frames are named by their .flo file", path);
    if (!frames_of(path, name))
        return fail(err, PCV_DATA, "%s: the two frames beside it are missing; expected N.png and the next number's, or "
                    "N_img1.png and N_img2.png beside N_flow.flo", path);
    TRY(flow_read(&f, path, err));
    TRY(flow_frames(t, name[0], name[1], frame, err));
    if (f.width != frame[0].width || f.height != frame[0].height)
        status = fail(err, PCV_DATA, "%s: %d x %d pixels, but its frames have %d x %d", path, f.width, f.height,
                      frame[0].width, frame[0].height);
    else if (f.width < size || f.height < size)
        status = fail(err, PCV_DATA, "%s: %d x %d pixels, smaller than --size %d", path, f.width, f.height, size);
    int left = (f.width - size) / 2, top = (f.height - size) / 2;
    for (int i = 0; i < 2 && !status; i++) status = flow_square(t, &frame[i], left, top, ids, err);
    if (!status) status = add_motions(&f, size, left, top, ids, err);
out:
    picture_free(&frame[0]);
    picture_free(&frame[1]);
    flow_free(&f);
    return status;
}

static void meaning_flow(const tokenizer *t, text *out) { text_add(out, "%lld", (long long)t->config.size); }

static const char *const keys[] = {"size", "background", NULL};

const token_type token_flow = {
    .name = "flow",
    .help = "two frames and how each pixel moves, in 64ths of a pixel",
    .kind = "pairs",
    .unit = "number",
    .keys = keys,
    .open = open_flow,
    .read = read_flow,
    .values = values_flow,
    .meaning = meaning_flow,
};
