#include "media/flow_file.h"
#include "base/file.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { HEAD = 12, FLOW_FILE = HEAD + 8 * PICTURE_AREA };
static const float MAGIC = 202021.25f; /* "PIEH", where floats are little-endian */
static const float UNKNOWN = 1e9f, WRITTEN_UNKNOWN = 1.666666752e9f;

static uint32_t word_of(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static float float_of(const uint8_t *at) {
    uint32_t bits = word_of(at);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void put_word(uint8_t *at, uint32_t v) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(v >> 8 * i);
}

static void put_float(uint8_t *at, float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_word(at, bits);
}

int flow_open(flow *f, int width, int height, pcv_error *err) {
    *f = (flow){.width = width, .height = height};
    return mem_get(&f->uv, (size_t)width * (size_t)height * 2 * sizeof *f->uv, "a flow", err);
}

void flow_free(flow *f) {
    mem_free(f->uv);
    *f = (flow){0};
}

static int check_head(const uint8_t *at, size_t size, const char *name, int side[2], pcv_error *err) {
    if (size < HEAD || float_of(at) != MAGIC)
        return fail(err, PCV_DATA, "%s: no .flo file: it does not begin with the number %.2f", name, (double)MAGIC);
    for (int i = 0; i < 2; i++) {
        uint32_t n = word_of(at + 4 + 4 * i);
        if (n < 1 || n > PICTURE_SIDE)
            return fail(err, PCV_DATA, "%s: %u pixels wide and %u high, expected 1 to %d", name, word_of(at + 4),
                        word_of(at + 8), PICTURE_SIDE);
        side[i] = (int)n;
    }
    size_t area = (size_t)side[0] * (size_t)side[1];
    if (area > PICTURE_AREA)
        return fail(err, PCV_DATA, "%s: %d x %d pixels, more than %d", name, side[0], side[1], PICTURE_AREA);
    if (size != HEAD + 8 * area)
        return fail(err, PCV_DATA, "%s: %zu bytes, expected %zu for %d x %d pixels", name, size, HEAD + 8 * area,
                    side[0], side[1]);
    return 0;
}

int flow_parse(flow *f, const void *data, size_t size, const char *name, pcv_error *err) {
    const uint8_t *at = data;
    int side[2] = {0}, status = check_head(at, size, name, side, err);
    *f = (flow){0};
    if (!status) status = flow_open(f, side[0], side[1], err);
    for (int64_t i = 0; !status && i < (int64_t)side[0] * side[1] * 2; i++) {
        float x = float_of(at + HEAD + 4 * i);
        if (!isfinite(x))
            status = fail(err, PCV_DATA, "%s: the motion of pixel %lld, %lld is no number", name,
                          (long long)(i / 2 % side[0]), (long long)(i / 2 / side[0]));
        f->uv[i] = fabsf(x) > UNKNOWN ? NAN : x;
    }
    if (status) flow_free(f);
    return status;
}

int flow_read(flow *f, const char *path, pcv_error *err) {
    file_bytes bytes;
    *f = (flow){0};
    int status = file_read(path, FLOW_FILE, &bytes, err);
    if (status) return status;
    status = flow_parse(f, bytes.data, bytes.size, path, err);
    file_bytes_free(&bytes);
    return status;
}

int flow_write(const flow *f, const char *path, pcv_error *err) {
    size_t numbers = (size_t)f->width * (size_t)f->height * 2, size = HEAD + 4 * numbers;
    uint8_t *bytes;
    int status = mem_get(&bytes, size, "a flow", err);
    if (status) return status;
    put_float(bytes, MAGIC);
    put_word(bytes + 4, (uint32_t)f->width);
    put_word(bytes + 8, (uint32_t)f->height);
    for (size_t i = 0; i < numbers; i++) put_float(bytes + HEAD + 4 * i, isnan(f->uv[i]) ? WRITTEN_UNKNOWN : f->uv[i]);
    status = file_write(path, bytes, size, err);
    mem_free(bytes);
    return status;
}

/* ------------------------------------------------------------------ pictures */

/* The wheel of Baker et al. 2007: six arcs of hues, each as long as the eye finds it wide. */
static void hue_of(double turn, double rgb[3]) {
    static const int arc[6] = {15, 6, 4, 11, 13, 6}; /* red to yellow, green, cyan, blue, magenta, red */
    static const int corner[7][3] = {{1, 0, 0}, {1, 1, 0}, {0, 1, 0}, {0, 1, 1}, {0, 0, 1}, {1, 0, 1}, {1, 0, 0}};
    double at = (turn - floor(turn)) * 55;
    int i = 0;
    while (i < 5 && at >= arc[i]) at -= arc[i++];
    for (int k = 0; k < 3; k++) rgb[k] = corner[i][k] + at / arc[i] * (corner[i + 1][k] - corner[i][k]);
}

static void colour_motion(double u, double v, uint8_t out[3]) {
    double rgb[3], far = fmin(1, hypot(u, v));
    hue_of(atan2(-v, -u) / 6.283185307179586 + 0.5, rgb);
    for (int k = 0; k < 3; k++) out[k] = (uint8_t)(255 * (1 - far * (1 - rgb[k])) + 0.5);
}

int flow_picture(const flow *f, picture *p, pcv_error *err) {
    int64_t pixels = (int64_t)f->width * f->height;
    double most = 0;
    for (int64_t i = 0; i < pixels; i++) most = fmax(most, hypot((double)f->uv[2 * i], (double)f->uv[2 * i + 1]));
    double scale = most > 0 ? 1 / most : 0;
    int status = picture_open(p, f->width, f->height, err);
    for (int64_t i = 0; i < pixels && !status; i++)
        if (!isnan(f->uv[2 * i]) && !isnan(f->uv[2 * i + 1]))
            colour_motion((double)f->uv[2 * i] * scale, (double)f->uv[2 * i + 1] * scale, p->rgb + 3 * i);
    return status;
}
