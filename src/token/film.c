/* Films as tokens: red, green and blue of every pixel of `frames` frames, then the samples of the sound beside them, in
 * 256 steps each. A film is a folder of pictures in the order of their names, with a sound file among them or beside
 * the folder; it is named by its first frame. Frames are cut to the square in the middle and scaled; what is longer is
 * cut, and what has no sound is silent. */
#include "token/film.h"
#include "base/text.h"
#include "media/picture.h"
#include "media/sound_file.h"
#include "token/flow.h"
#include "token/mulaw.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { COLOURS = 3, STEPS = 256 };

static int open_film(tokenizer *t, pcv_error *err) {
    const token_config *c = &t->config;
    uint8_t background[3];
    t->pad = 0, t->end = -1, t->start = 2, t->first = 3;
    t->vocab = t->first + STEPS;
    t->frames = c->frames;
    t->samples = c->frames * c->samples;
    t->second = (double)c->samples * c->frame_rate;
    t->length = t->period = COLOURS * c->size * c->size * c->frames + t->samples; /* a film is not cut */
    t->shape[0] = t->shape[1] = c->size;
    t->shape[2] = COLOURS;
    return colour_parse(c->background, background, err);
}

/* Colours from 0 to 1, samples from -1 to 1. */
static void values_film(const tokenizer *t, const int32_t *ids, size_t count, float *out) {
    const size_t colours = (size_t)(t->length - t->samples);
    for (size_t i = 0; i < count; i++) {
        int32_t step = ids[i] < t->first ? 0 : ids[i] - t->first;
        out[i] = i < colours ? (float)step / (STEPS - 1) : mulaw_value(step);
    }
}

/* ------------------------------------------------------------------ files of a film */

static bool has_ending(const char *name, const char *const *endings) {
    const char *dot = strrchr(name, '.');
    for (int i = 0; dot && endings[i]; i++)
        if (!strcasecmp(dot, endings[i])) return true;
    return false;
}

static const char *const sounds[] = {".wav", ".flac", ".mp3", NULL};

bool film_is_frame(const char *name) {
    static const char *const endings[] = {".png", ".jpg", ".jpeg", NULL};
    return has_ending(name, endings);
}

/* The names of a film's folder; *heard becomes the path of its sound, or "". */
static int find_files(const char *folder, file_list *names, char heard[PATH_SIZE], pcv_error *err) {
    int status = folder_names(folder, names, err);
    *heard = 0;
    for (size_t i = 0; i < names->count && !status; i++)
        if (has_ending(names->paths[i], sounds)) return path_join(heard, folder, names->paths[i], err);
    for (int i = 0; sounds[i] && !status; i++) {
        int size = snprintf(heard, PATH_SIZE, "%s%s", folder, sounds[i]);
        if (size > 0 && size < PATH_SIZE && path_exists(heard)) return 0;
        *heard = 0;
    }
    return status;
}

static int add_frame(const tokenizer *t, const char *path, int first[2], id_list *ids, pcv_error *err) {
    uint8_t background[3];
    picture p = {0};
    int status = 0;
    TRY(colour_parse(t->config.background, background, err));
    TRY(picture_read(&p, path, background, err));
    if (!first[0]) first[0] = p.width, first[1] = p.height;
    if (first[0] != p.width || first[1] != p.height) {
        status = fail(err, PCV_DATA, "%s: %d x %d pixels, but the film's first frame has %d x %d", path, p.width,
                      p.height, first[0], first[1]);
        goto out;
    }
    TRY(picture_square(&p, (int)t->config.size, err));
    TRY(flow_square(t, &p, 0, 0, ids, err));
out:
    picture_free(&p);
    return status;
}

/* Frames of a folder as far as they are wanted; *count: how many it has. */
static int add_frames(const tokenizer *t, const char *folder, const file_list *names, int64_t *count, id_list *ids,
                      pcv_error *err) {
    char path[PATH_SIZE];
    int first[2] = {0, 0}, status = 0;
    *count = 0;
    for (size_t i = 0; i < names->count && !status; i++) {
        if (!film_is_frame(names->paths[i]) || ++*count > t->frames) continue;
        status = path_join(path, folder, names->paths[i], err);
        if (!status) status = add_frame(t, path, first, ids, err);
    }
    if (status || *count >= t->frames) return status;
    return fail(err, PCV_DATA, "%s: %lld frame%s, expected at least %lld (--frames)", folder, (long long)*count,
                plural(*count), (long long)t->frames);
}

static int add_sound(const tokenizer *t, const char *path, id_list *ids, pcv_error *err) {
    sound s = {0};
    int status = *path ? sound_read(&s, path, (int64_t)(t->second + 0.5), err) : 0;
    for (int64_t i = 0; i < t->samples && !status; i++) {
        int32_t id = t->first + mulaw_step(i < (int64_t)s.count ? s.samples[i] : 0);
        status = id_list_add(ids, &id, 1, err);
    }
    sound_free(&s);
    return status;
}

/* path: the folder, or its first frame. */
static int read_film(const tokenizer *t, const char *path, id_list *ids, pcv_error *err) {
    char folder[PATH_SIZE], heard[PATH_SIZE];
    file_list names = {0};
    int64_t frames = 0;
    int status = 0;
    snprintf(folder, sizeof folder, "%s", path);
    if (!path_is_folder(folder)) {
        char *end = strrchr(folder, '/');
        snprintf(end ? end : folder, 2, "%s", end ? "" : ".");
    }
    TRY(find_files(folder, &names, heard, err));
    TRY(add_frames(t, folder, &names, &frames, ids, err));
    TRY(add_sound(t, t->samples ? heard : "", ids, err));
    if (*heard && !t->samples)
        fail(err, 0, "%s: not heard; with --samples N it has N samples of sound for each frame", heard);
    else if (t->samples && !*heard) fail(err, 0, "%s: no sound beside the frames, so it is silent", folder);
    else if (frames >= 2 * t->frames)
        fail(err, 0, "%s: %lld frames, of which the first %lld are taken (--frames)", folder, (long long)frames,
             (long long)t->frames);
out:
    file_list_free(&names);
    return status;
}

static void meaning_film(const tokenizer *t, text *out) {
    const token_config *c = &t->config;
    text_add(out, "%lld %lld %lld %.17g", (long long)c->size, (long long)c->frames, (long long)c->samples,
             c->frame_rate);
}

static const char *const keys[] = {"size", "background", "frames", "samples", "frame_rate", NULL};

const token_type token_film = {
    .name = "film",
    .help = "the pixels of some frames and the samples beside them, 256 steps each",
    .kind = "video",
    .unit = "number",
    .keys = keys,
    .open = open_film,
    .read = read_film,
    .values = values_film,
    .meaning = meaning_film,
};
