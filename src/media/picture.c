/* PNG by libpng, JPEG by libjpeg-turbo, from and to memory, so that a test or a fuzzer can feed them without a
 * file. A size in a file is checked before memory is taken for it. An error in libpng jumps back into read_png, so
 * what is freed there is volatile. Scaling is two passes, along the rows and then down the columns, by weights
 * that are worked out once. */
#include "media/picture.h"
#include "base/file.h"
#include "base/mem.h"
#include "media/exif.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

int picture_open(picture *p, int width, int height, pcv_error *err) {
    *p = (picture){width, height, NULL};
    return mem_get(&p->rgb, 3 * (size_t)width * (size_t)height, "a picture", err);
}

void picture_free(picture *p) {
    mem_free(p->rgb);
    *p = (picture){0};
}

static int check_sides(int64_t width, int64_t height, const char *name, pcv_error *err) {
    if (width >= 1 && height >= 1 && width <= PICTURE_SIDE && height <= PICTURE_SIDE && width * height <= PICTURE_AREA)
        return 0;
    return fail(err, PCV_DATA, "%s: a picture of %lld x %lld pixels, expected at most %d in all and %d a side", name,
                (long long)width, (long long)height, PICTURE_AREA, PICTURE_SIDE);
}

/* ------------------------------------------------------------------ PNG */

/* A file in memory, and what libpng says about it. */
typedef struct png_source {
    const uint8_t *data;
    size_t left;
    char message[128];
} png_source;

static void take_bytes(png_structp png, png_bytep out, size_t size) {
    png_source *s = png_get_io_ptr(png);
    if (size > s->left) png_error(png, "the file ends in the middle");
    memcpy(out, s->data, size);
    s->data += size;
    s->left -= size;
}

static void on_error(png_structp png, png_const_charp message) {
    png_source *s = png_get_error_ptr(png);
    snprintf(s->message, sizeof s->message, "%s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

/* Everything becomes 8-bit RGBA; gamma is left alone, as it is in data sets made by other tools. Chunks of compressed
 * text and the like are passed over, since a few bytes of them can stand for very many. */
static void png_begin(png_structp png, png_infop info, png_source *source) {
    static const png_byte passed_over[] = "zTXt\0iTXt\0tEXt\0iCCP\0eXIf\0sPLT";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, passed_over, sizeof passed_over / 5);
    png_set_read_fn(png, source, take_bytes);
    png_set_user_limits(png, PICTURE_SIDE, PICTURE_SIDE);
    png_set_chunk_malloc_max(png, PICTURE_FILE);
    png_read_info(png, info);
    png_set_expand(png);
    png_set_scale_16(png);
    png_set_gray_to_rgb(png);
    png_set_add_alpha(png, 0xFF, PNG_FILLER_AFTER);
}

/* rgba [height, width, 4], interlaced or not. */
static void png_rows(png_structp png, png_infop info, picture *p, uint8_t *rgba) {
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    for (int pass = 0; pass < passes; pass++)
        for (int64_t y = 0; y < p->height; y++) png_read_row(png, rgba + 4 * y * p->width, NULL);
    png_read_end(png, NULL);
}

static void lay_over(picture *p, const uint8_t *rgba, const uint8_t background[3]) {
    for (size_t i = 0; i < (size_t)p->width * (size_t)p->height; i++)
        for (int c = 0; c < 3; c++) {
            int opaque = rgba[4 * i + 3];
            p->rgb[3 * i + c] = (uint8_t)((rgba[4 * i + c] * opaque + background[c] * (255 - opaque) + 127) / 255);
        }
}

static int read_png(picture *p, const void *data, size_t size, const char *name, const uint8_t background[3],
                    pcv_error *err) {
    png_source source = {.data = data, .left = size};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    uint8_t *volatile rgba = NULL;
    volatile int status = 0;
    if (!info) {
        status = fail(err, PCV_MEMORY, "not enough memory for a picture");
        goto out;
    }
    if (setjmp(png_jmpbuf(png))) {
        status = fail(err, PCV_DATA, "%s: cannot be read as a PNG: %s", name, source.message);
        goto out;
    }
    png_begin(png, info, &source);
    TRY(check_sides(png_get_image_width(png, info), png_get_image_height(png, info), name, err));
    TRY(picture_open(p, (int)png_get_image_width(png, info), (int)png_get_image_height(png, info), err));
    void *memory;
    TRY(mem_get(&memory, 4 * (size_t)p->width * (size_t)p->height, "a picture", err));
    rgba = memory;
    png_rows(png, info, p, rgba);
    lay_over(p, rgba, background);
out:
    png_destroy_read_struct(&png, &info, NULL);
    mem_free(rgba);
    return status;
}

static int write_png(png_image *image, const char *path, const void *pixels, const void *palette, pcv_error *err) {
    png_alloc_size_t bytes = 0;
    uint8_t *file = NULL;
    int status = 0;
    if (png_image_write_to_memory(image, NULL, &bytes, 0, pixels, 0, palette)) {
        TRY(mem_get(&file, bytes, "a picture", err));
        if (png_image_write_to_memory(image, file, &bytes, 0, pixels, 0, palette)) {
            TRY(file_write(path, file, bytes, err));
            goto out;
        }
    }
    status = fail(err, PCV_IO, "%s: cannot encode the picture: %s", path, image->message);
out:
    mem_free(file);
    return status;
}

static int write_rgb(const picture *p, const char *path, pcv_error *err) {
    png_image image = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_RGB, .width = (png_uint_32)p->width,
                       .height = (png_uint_32)p->height};
    return write_png(&image, path, p->rgb, NULL, err);
}

int picture_write_palette(const char *path, int width, int height, const uint8_t *pixels, const uint8_t (*palette)[3],
                          int entries, pcv_error *err) {
    png_image image = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_RGB_COLORMAP, .width = (png_uint_32)width,
                       .height = (png_uint_32)height, .colormap_entries = (png_uint_32)entries};
    return write_png(&image, path, pixels, palette, err);
}

/* ------------------------------------------------------------------ JPEG */

static int read_jpeg(picture *p, const void *data, size_t size, const char *name, pcv_error *err) {
    tjhandle decoder = tjInitDecompress();
    int width, height, sampling, colours, status = 0;
    uint8_t *cmyk = NULL;
    if (!decoder) return fail(err, PCV_MEMORY, "not enough memory for a picture");
    if (tjDecompressHeader3(decoder, data, size, &width, &height, &sampling, &colours)) goto damaged;
    TRY(check_sides(width, height, name, err));
    TRY(picture_open(p, width, height, err));
    bool four = colours == TJCS_CMYK || colours == TJCS_YCCK;
    if (four) TRY(mem_get(&cmyk, 4 * (size_t)width * (size_t)height, "a picture", err));
    /* A stream that ends early is damaged, though the decoder would fill the rest with grey. */
    if (tjDecompress2(decoder, data, size, four ? cmyk : p->rgb, width, 0, height, four ? TJPF_CMYK : TJPF_RGB,
                      TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS))
        goto damaged;
    for (size_t i = 0; four && i < (size_t)width * (size_t)height; i++) /* printers' files hold inverted values */
        for (int c = 0; c < 3; c++) p->rgb[3 * i + c] = (uint8_t)(cmyk[4 * i + c] * cmyk[4 * i + 3] / 255);
    goto out;
damaged:
    status = fail(err, PCV_DATA, "%s: cannot be read as a JPEG: %s", name, tjGetErrorStr2(decoder));
out:
    mem_free(cmyk);
    tjDestroy(decoder);
    return status;
}

static int write_jpeg(const picture *p, const char *path, pcv_error *err) {
    enum { QUALITY = 95 };
    tjhandle coder = tjInitCompress();
    unsigned char *file = NULL;
    unsigned long bytes = 0;
    int status;
    if (!coder) return fail(err, PCV_MEMORY, "not enough memory for a picture");
    if (tjCompress2(coder, p->rgb, p->width, 0, p->height, TJPF_RGB, &file, &bytes, TJSAMP_444, QUALITY, 0))
        status = fail(err, PCV_IO, "%s: cannot encode the picture: %s", path, tjGetErrorStr2(coder));
    else status = file_write(path, file, bytes, err);
    tjFree(file);
    tjDestroy(coder);
    return status;
}

/* ------------------------------------------------------------------ the format of a name */

static const char *const endings[] = {".png", ".jpg", ".jpeg", NULL};

int picture_check(const char *path, pcv_error *err) {
    int which;
    return path_format(path, endings, &which, err);
}

int picture_write(const picture *p, const char *path, pcv_error *err) {
    int which, status = path_format(path, endings, &which, err);
    if (status) return status;
    return (which ? write_jpeg : write_rgb)(p, path, err);
}

/* ------------------------------------------------------------------ turning */

int picture_turn(picture *p, int orientation, pcv_error *err) {
    bool on_its_side = orientation >= 5;
    bool right_first = strchr("\2\3\7\10", orientation), bottom_first = strchr("\3\4\6\7", orientation);
    int64_t width = p->width, height = p->height;
    picture out;
    if (orientation < 2) return 0;
    int status = picture_open(&out, on_its_side ? p->height : p->width, on_its_side ? p->width : p->height, err);
    if (status) return status;
    uint8_t *to = out.rgb;
    for (int64_t y = 0; y < out.height; y++)
        for (int64_t x = 0; x < out.width; x++, to += 3) {
            int64_t column = on_its_side ? y : x, row = on_its_side ? x : y;
            if (right_first) column = width - 1 - column;
            if (bottom_first) row = height - 1 - row;
            memcpy(to, p->rgb + 3 * (row * width + column), 3);
        }
    picture_free(p);
    *p = out;
    return 0;
}

/* ------------------------------------------------------------------ any file */

int picture_parse(picture *p, const void *data, size_t size, const char *name, const uint8_t background[3],
                  pcv_error *err) {
    static const uint8_t png[] = {0x89, 'P', 'N', 'G'}, jpeg[] = {0xFF, 0xD8, 0xFF};
    int status;
    *p = (picture){0};
    if (size >= sizeof png && !memcmp(data, png, sizeof png)) status = read_png(p, data, size, name, background, err);
    else if (size >= sizeof jpeg && !memcmp(data, jpeg, sizeof jpeg)) status = read_jpeg(p, data, size, name, err);
    else return fail(err, PCV_DATA, "%s: neither a PNG nor a JPEG", name);
    if (!status) status = picture_turn(p, exif_orientation(data, size), err);
    if (status) picture_free(p);
    return status;
}

int picture_read(picture *p, const char *path, const uint8_t background[3], pcv_error *err) {
    file_bytes bytes;
    *p = (picture){0};
    int status = file_read(path, PICTURE_FILE, &bytes, err);
    if (status) return status;
    status = picture_parse(p, bytes.data, bytes.size, path, background, err);
    file_bytes_free(&bytes);
    return status;
}

/* ------------------------------------------------------------------ scaling */

static double lanczos(double x) {
    const double pi = 3.14159265358979323846, lobes = 3;
    if (x == 0) return 1;
    if (fabs(x) >= lobes) return 0;
    return lobes * sin(pi * x) * sin(pi * x / lobes) / (pi * pi * x * x);
}

/* From `from` pixels to `size`: pixel i is the sum of weight[i most + k] times pixel first[i] + k, k < count[i]. */
typedef struct filter {
    int from, size, most;
    int *first, *count;
    float *weight;
} filter;

static void filter_close(filter *f) {
    mem_free(f->first);
    mem_free(f->count);
    mem_free(f->weight);
}

static int filter_open(filter *f, int from, int size, pcv_error *err) {
    double scale = (double)from / size, width = scale > 1 ? scale : 1;
    int status = 0;
    *f = (filter){.from = from, .size = size, .most = (int)(6 * width) + 3};
    TRY(mem_get(&f->first, (size_t)size * sizeof *f->first, "scaling a picture", err));
    TRY(mem_get(&f->count, (size_t)size * sizeof *f->count, "scaling a picture", err));
    TRY(mem_get(&f->weight, (size_t)size * (size_t)f->most * sizeof *f->weight, "scaling a picture", err));
    for (int i = 0; i < size; i++) {
        double centre = (i + 0.5) * scale, sum = 0;
        int low = (int)floor(centre - 3 * width), high = (int)ceil(centre + 3 * width);
        low = low < 0 ? 0 : low;
        high = high > from ? from : high;
        for (int k = low; k < high; k++) sum += lanczos((k + 0.5 - centre) / width);
        for (int k = low; k < high; k++)
            f->weight[i * f->most + k - low] = (float)(lanczos((k + 0.5 - centre) / width) / sum);
        f->first[i] = low;
        f->count[i] = high - low;
    }
out:
    if (status) filter_close(f);
    return status;
}

static float filtered(const filter *f, int i, const uint8_t *bytes, const float *values, int64_t apart) {
    const float *weight = f->weight + (int64_t)i * f->most;
    int64_t at = f->first[i] * apart;
    float sum = 0;
    for (int k = 0; k < f->count[i]; k++, at += apart) sum += weight[k] * (bytes ? (float)bytes[at] : values[at]);
    return sum;
}

int picture_square(picture *p, int size, pcv_error *err) {
    int side = p->width < p->height ? p->width : p->height, x = (p->width - side) / 2, y = (p->height - side) / 2;
    float *narrow = NULL; /* [side, size, 3] */
    filter f = {0};
    picture out = {0};
    int status = 0;
    TRY(filter_open(&f, side, size, err));
    TRY(picture_open(&out, size, size, err));
    TRY(mem_get(&narrow, 3 * (size_t)side * (size_t)size * sizeof *narrow, "scaling a picture", err));
    for (int64_t r = 0; r < side; r++) {
        const uint8_t *row = p->rgb + 3 * ((y + r) * p->width + x);
        for (int i = 0; i < 3 * size; i++) narrow[r * 3 * size + i] = filtered(&f, i / 3, row + i % 3, NULL, 3);
    }
    for (int r = 0; r < size; r++)
        for (int i = 0; i < 3 * size; i++) {
            float v = roundf(filtered(&f, r, NULL, narrow + i, 3 * size));
            out.rgb[r * 3 * size + i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    picture_free(p);
    *p = out;
    out = (picture){0};
out:
    picture_free(&out);
    filter_close(&f);
    mem_free(narrow);
    return status;
}

void picture_place(picture *to, const picture *from, int x, int y) {
    for (int64_t r = 0; r < from->height; r++)
        for (int64_t c = 0; c < from->width; c++) {
            int64_t row = y + r, column = x + c;
            if (row < 0 || column < 0 || row >= to->height || column >= to->width) continue;
            memcpy(to->rgb + 3 * (row * to->width + column), from->rgb + 3 * (r * from->width + c), 3);
        }
}

int picture_enlarge(picture *p, int times, pcv_error *err) {
    picture out;
    if (times == 1) return 0;
    int status = picture_open(&out, times * p->width, times * p->height, err);
    if (status) return status;
    for (int64_t y = 0; y < out.height; y++)
        for (int64_t x = 0; x < out.width; x++)
            memcpy(out.rgb + 3 * (y * out.width + x), p->rgb + 3 * (y / times * p->width + x / times), 3);
    picture_free(p);
    *p = out;
    return 0;
}

void colour_of(double x, uint8_t rgb[3]) {
    static const double stops[][3] = {{0, 0, 4}, {87, 16, 110}, {188, 55, 84}, {249, 142, 9}, {252, 255, 220}};
    double at = 4 * x;
    int i = at >= 4 ? 3 : (int)at;
    for (int k = 0; k < 3; k++) rgb[k] = (uint8_t)(stops[i][k] + (at - i) * (stops[i + 1][k] - stops[i][k]) + 0.5);
}

int colour_parse(const char *text, uint8_t rgb[3], pcv_error *err) {
    const char *at = text + (*text == '#');
    if (strlen(at) != 6 || strspn(at, "0123456789abcdefABCDEF") != 6)
        return fail(err, PCV_USAGE, "--background: '%.40s' is not a colour like #ffffff", text);
    unsigned long value = strtoul(at, NULL, 16);
    for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)(value >> (16 - 8 * c));
    return 0;
}
