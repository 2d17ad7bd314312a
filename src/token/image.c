/* Square pictures as tokens: one for each value of red, green and blue, in an order of choice.
 *
 * A picture of S x S pixels is always 3 S^2 tokens behind the start token, and no end token follows. Token i stands for
 * value order[i] of the picture, values counted by rows, columns, and red, green, blue. Its positions on the three
 * axes are column + 2, row + 2 and channel + 2, those of the start token 1 (official code), so that a permuted order
 * trains as well: where a value stands is said by its position, not by its index. */
#include "token/token.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/rng.h"
#include "base/text.h"
#include "media/picture.h"
#include "token/scale.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDER_FILE "order.txt"
static const char from_file[] = "<" ORDER_FILE ">"; /* config.order of a permutation that lies beside tokenizer.json */

enum { GREY = 128, DIGITS = 12 };

typedef struct image_state {
    int64_t count;  /* values of a picture */
    int32_t *order; /* [count], or NULL before it is loaded */
    uint8_t background[3];
} image_state;

static const image_state *state_of(const tokenizer *t) { return t->state; }

/* ------------------------------------------------------------------ orders of pixels */

static void spiral(int64_t size, int32_t *pixel) {
    int64_t left = 0, top = 0, right = size - 1, bottom = size - 1, n = 0;
    while (left <= right && top <= bottom) {
        for (int64_t x = left; x <= right; x++) pixel[n++] = (int32_t)(top * size + x);
        for (int64_t y = top + 1; y <= bottom; y++) pixel[n++] = (int32_t)(y * size + right);
        for (int64_t x = right - 1; x >= left && bottom > top; x--) pixel[n++] = (int32_t)(bottom * size + x);
        for (int64_t y = bottom - 1; y > top && right > left; y--) pixel[n++] = (int32_t)(y * size + left);
        left++, top++, right--, bottom--;
    }
}

/* Every 8th pixel of every 8th row, then what every 4th adds, and so on. */
static void coarse_to_fine(int64_t size, int32_t *pixel) {
    int64_t n = 0;
    for (int64_t step = 8; step; step /= 2)
        for (int64_t y = 0; y < size; y += step)
            for (int64_t x = 0; x < size; x += step)
                if (step == 8 || x % (2 * step) || y % (2 * step)) pixel[n++] = (int32_t)(y * size + x);
}

static void shuffled(int64_t size, uint64_t seed, int32_t *pixel) {
    rng r = rng_make(seed, RNG_ORDER, 0);
    for (int64_t i = 0; i < size * size; i++) pixel[i] = (int32_t)i;
    for (int64_t i = size * size; i > 1; i--) {
        int64_t k = (int64_t)rng_below(&r, (uint64_t)i);
        int32_t swap = pixel[i - 1];
        pixel[i - 1] = pixel[k];
        pixel[k] = swap;
    }
}

/* A pixel's three values follow each other. */
static void spread(const int32_t *pixel, int64_t pixels, int32_t *order) {
    for (int64_t i = 0; i < 3 * pixels; i++) order[i] = (int32_t)(3 * pixel[i / 3] + i % 3);
}

/* ------------------------------------------------------------------ an order from a file */

/* Whitespace-separated indices from 0 on: of all pixels, or of all values. Errors show nothing of the file. */
static int parse_order(const char *list, const char *path, int64_t pixels, int32_t *order, int32_t *pixel,
                       pcv_error *err) {
    int64_t count = 0, values = 3 * pixels;
    for (const char *at = list;;) {
        int64_t v = -1;
        at += strspn(at, " \t\r\n,");
        if (!*at) break;
        if (number_take_whole(&at, &v) || v < 0 || v >= values || count == values)
            return fail(err, PCV_DATA, "%s: entry %lld: expected a permutation of the numbers from 0 to %lld (pixels) "
                        "or %lld (values)", path, (long long)count, (long long)pixels - 1, (long long)values - 1);
        order[count++] = (int32_t)v;
    }
    if (count != pixels && count != values)
        return fail(err, PCV_DATA, "%s: %lld number%s, expected %lld (pixels) or %lld (values)", path,
                    (long long)count, plural(count), (long long)pixels, (long long)values);
    for (int64_t i = 0; i < count; i++) pixel[i] = 0;
    for (int64_t i = 0; i < count; i++) {
        if (order[i] >= count || pixel[order[i]]++)
            return fail(err, PCV_DATA, "%s: %d is there twice, or out of range", path, order[i]);
    }
    if (count == values) return 0;
    memcpy(pixel, order, (size_t)pixels * sizeof *pixel);
    spread(pixel, pixels, order);
    return 0;
}

static int read_order(const char *path, int64_t pixels, int32_t *order, int32_t *scratch, pcv_error *err) {
    file_bytes bytes;
    int status = file_read(path, (size_t)(3 * pixels + 16) * DIGITS, &bytes, err);
    if (status) return status;
    status = parse_order(bytes.data, path, pixels, order, scratch, err);
    file_bytes_free(&bytes);
    return status;
}

/* ------------------------------------------------------------------ opening */

/* *found: the name stands for an order of its own, not for a file. */
static int named_order(const char *name, int64_t size, int32_t *order, int32_t *pixel, bool *found, pcv_error *err) {
    static const char random[] = "random:";
    int64_t pixels = size * size;
    *found = true;
    if (!strcmp(name, "planes")) {
        for (int64_t i = 0; i < 3 * pixels; i++) order[i] = (int32_t)(i % pixels * 3 + i / pixels);
        return 0;
    }
    if (!strncmp(name, random, sizeof random - 1)) {
        int64_t seed = 0;
        int status = number_read_whole("--order random:SEED", name + sizeof random - 1, 0, INT64_MAX, &seed, err);
        if (status) return status;
        shuffled(size, (uint64_t)seed, pixel);
    } else if (!strcmp(name, "spiral")) {
        spiral(size, pixel);
    } else if (!strcmp(name, "coarse-to-fine")) {
        coarse_to_fine(size, pixel);
    } else {
        *found = !strcmp(name, "raster");
        for (int64_t i = 0; i < pixels; i++) pixel[i] = (int32_t)i;
    }
    spread(pixel, pixels, order);
    return 0;
}

static int fill_order(tokenizer *t, image_state *s, pcv_error *err) {
    int64_t size = t->config.size;
    int32_t *scratch = NULL;
    bool found = false;
    int status = 0;
    TRY(mem_get(&s->order, (size_t)s->count * sizeof *s->order, "an order of pixels", err));
    TRY(mem_get(&scratch, (size_t)s->count * sizeof *scratch, "an order of pixels", err));
    TRY(named_order(t->config.order, size, s->order, scratch, &found, err));
    if (found) goto out;
    if (!t->config.by_user) {
        if (strcmp(t->config.order, from_file))
            status = fail(err, PCV_DATA, "order '%.40s': expected raster, planes, spiral, coarse-to-fine, random:SEED "
                          "or %s", t->config.order, from_file);
        goto out;
    }
    TRY(read_order(t->config.order, size * size, s->order, scratch, err));
    snprintf(t->config.order, sizeof t->config.order, "%s", from_file);
out:
    mem_free(scratch);
    return status;
}

static int open_image(tokenizer *t, pcv_error *err) {
    int64_t size = t->config.size;
    image_state *s;
    int status = mem_get(&s, sizeof *s, "a tokenizer", err);
    if (status) return status;
    t->state = s;
    s->count = 3 * size * size;
    t->pad = 0, t->end = -1, t->start = 2, t->first = 3;
    t->vocab = t->first + (t->config.channel_ids == CHANNEL_IDS_OWN ? 3 : 1) * 256;
    t->length = s->count;
    t->axes = 3;
    t->axis_rows[0] = t->axis_rows[1] = size + 2;
    t->axis_rows[2] = 5;
    t->shape[0] = t->shape[1] = size;
    t->shape[2] = 3;
    t->vector_size = (t->vocab - t->first) / 256 * SCALE_SIZE;
    TRY(colour_parse(t->config.background, s->background, err));
    TRY(fill_order(t, s, err));
out:
    return status;
}

static void close_image(tokenizer *t) {
    image_state *s = t->state;
    if (s) mem_free(s->order);
    mem_free(s);
}

/* ------------------------------------------------------------------ pictures to ids and back */

static int32_t first_id(const tokenizer *t, int32_t value) {
    return t->first + (t->config.channel_ids == CHANNEL_IDS_OWN ? value % 3 * 256 : 0);
}

static int read_image(const tokenizer *t, const char *path, id_list *ids, pcv_error *err) {
    const image_state *s = state_of(t);
    picture p = {0};
    int status = 0;
    TRY(picture_read(&p, path, s->background, err));
    TRY(picture_square(&p, (int)t->config.size, err));
    size_t at = ids->count;
    TRY(id_list_add(ids, s->order, (size_t)s->count, err)); /* room; every value follows */
    for (int64_t i = 0; i < s->count; i++) ids->v[at + (size_t)i] = first_id(t, s->order[i]) + p.rgb[s->order[i]];
out:
    picture_free(&p);
    return status;
}

/* What is missing is grey. */
static int picture_image(const tokenizer *t, const int32_t *ids, size_t count, picture *p, pcv_error *err) {
    const image_state *s = state_of(t);
    int status = picture_open(p, (int)t->config.size, (int)t->config.size, err);
    if (status) return status;
    memset(p->rgb, GREY, (size_t)s->count);
    for (int64_t i = 0; i < s->count && i < (int64_t)count; i++) {
        int32_t value = ids[i] - first_id(t, s->order[i]);
        if (value >= 0 && value < 256) p->rgb[s->order[i]] = (uint8_t)value;
    }
    return 0;
}

static int write_image(const tokenizer *t, const int32_t *ids, size_t count, const char *path, pcv_error *err) {
    picture p = {0};
    int status = picture_image(t, ids, count, &p, err);
    if (!status) status = picture_write(&p, path, err);
    picture_free(&p);
    return status;
}

static int check_image(const tokenizer *t, const char *path, pcv_error *err) {
    (void)t;
    return picture_check(path, err);
}

/* ------------------------------------------------------------------ sampling and positions */

static void mask_image(const tokenizer *t, const int32_t *ids, size_t count, float *logits) {
    const image_state *s = state_of(t);
    (void)ids;
    int64_t index = (int64_t)count - 1;
    if (index < 0 || index >= s->count) return;
    int32_t from = first_id(t, s->order[index]);
    for (int32_t v = t->first; v < t->vocab; v++)
        if (v < from || v >= from + 256) logits[v] = -INFINITY;
}

static void position_image(const tokenizer *t, int64_t index, int32_t *at) {
    const image_state *s = state_of(t);
    int64_t size = t->config.size;
    at[0] = at[1] = at[2] = 1;
    if (index < 1 || index > s->count) return;
    int32_t value = s->order[index - 1];
    at[0] = (int32_t)(value / 3 % size + 2);
    at[1] = (int32_t)(value / 3 / size + 2);
    at[2] = (int32_t)(value % 3 + 2);
}

/* ------------------------------------------------------------------ a permutation of the user's own */

static int save_image(const tokenizer *t, const char *folder, pcv_error *err) {
    const image_state *s = state_of(t);
    char path[PATH_SIZE], *list = NULL;
    size_t used = 0;
    int status = 0;
    if (strcmp(t->config.order, from_file)) return 0;
    TRY(path_own(path, folder, ORDER_FILE, err));
    TRY(mem_get(&list, (size_t)s->count * DIGITS + 1, "an order of pixels", err));
    for (int64_t i = 0; i < s->count; i++) used += (size_t)sprintf(list + used, "%d\n", s->order[i]);
    TRY(file_write(path, list, used, err));
out:
    mem_free(list);
    return status;
}

static int load_image(tokenizer *t, const char *folder, pcv_error *err) {
    image_state *s = t->state;
    char path[PATH_SIZE];
    int32_t *scratch = NULL;
    int status = 0;
    if (strcmp(t->config.order, from_file)) return 0;
    TRY(path_join(path, folder, ORDER_FILE, err));
    TRY(mem_get(&scratch, (size_t)s->count * sizeof *scratch, "an order of pixels", err));
    TRY(read_order(path, s->count / 3, s->order, scratch, err));
out:
    mem_free(scratch);
    return status;
}

/* Each channel that has ids of its own has a part of the vector of its own. */
static void vector_image(const tokenizer *t, int32_t id, float *v) {
    int32_t value = id - t->first;
    memset(v, 0, (size_t)t->vector_size * sizeof *v);
    if (value >= 0) scale_vector(value % 256, 256, v + value / 256 * SCALE_SIZE);
}

static void values_image(const tokenizer *t, const int32_t *ids, size_t count, float *out) {
    const image_state *s = state_of(t);
    for (size_t i = 0; i < count && (int64_t)i < s->count; i++)
        out[s->order[i]] = (float)(ids[i] - first_id(t, s->order[i])) / 127.5f - 1;
}

static void meaning_image(const tokenizer *t, text *out) {
    const image_state *s = state_of(t);
    text_add(out, "%lld %d ", (long long)t->config.size, t->config.channel_ids);
    text_bytes(out, s->order, (size_t)s->count * sizeof *s->order);
}

static const char *const keys[] = {"size", "order", "background", "channel_ids", NULL};

const token_type token_image = {
    .name = "image",
    .help = "red, green and blue of every pixel, 256 values each",
    .kind = "image",
    .unit = "dimension",
    .extension = ".png",
    .keys = keys,
    .open = open_image,
    .close = close_image,
    .read = read_image,
    .write = write_image,
    .picture = picture_image,
    .check_name = check_image,
    .mask = mask_image,
    .position = position_image,
    .vector = vector_image,
    .values = values_image,
    .save = save_image,
    .load = load_image,
    .meaning = meaning_image,
};
