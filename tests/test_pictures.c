/* Pictures: files of every kind against pixels worked out by hand, scaling against its formula, and the tokens of
 * pictures. Every file is made here. */
#include "scratch.h"
#include "base/mem.h"
#include "base/rng.h"
#include "media/axes.h"
#include "media/exif.h"
#include "media/picture.h"
#include "token/scale.h"
#include "token/token.h"

#include <png.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <turbojpeg.h>

static const uint8_t white[3] = {255, 255, 255}, brown[3] = {140, 90, 40};

static uint32_t number(uint64_t i) { return rng_at(3, RNG_TEST, 0, i).v[0]; }

/* ------------------------------------------------------------------ making PNG files */

typedef struct layout {
    int type, depth, interlace, width, height;
    bool transparent; /* a tRNS chunk */
    size_t text;      /* bytes of compressed text */
} layout;

enum { MOST_ROW = 8 * 64, ENTRIES = 16 };

static int channels_of(int type) {
    return type == PNG_COLOR_TYPE_RGB ? 3 : type == PNG_COLOR_TYPE_RGBA ? 4 : type == PNG_COLOR_TYPE_GRAY_ALPHA ? 2 : 1;
}

static int entries_of(const layout *l) { return l->depth < 4 ? 1 << l->depth : ENTRIES; }

/* Sample `channel` of pixel (x, y). */
static int sample(const layout *l, int x, int y, int channel) {
    int range = l->type == PNG_COLOR_TYPE_PALETTE ? entries_of(l) : 1 << l->depth;
    return (int)(number((uint64_t)((y * 64 + x) * 4 + channel)) % (uint32_t)range);
}

static uint8_t palette_value(int entry, int channel) { return (uint8_t)number((uint64_t)(1000000 + 4 * entry + channel)); }

static void put_row(const layout *l, int y, uint8_t *row) {
    int channels = channels_of(l->type);
    memset(row, 0, MOST_ROW);
    for (int x = 0; x < l->width; x++)
        for (int c = 0; c < channels; c++) {
            int v = sample(l, x, y, c), at = x * channels + c;
            if (l->depth == 16) {
                row[2 * at] = (uint8_t)(v >> 8);
                row[2 * at + 1] = (uint8_t)v;
            } else {
                row[at * l->depth / 8] |= (uint8_t)(v << (8 - l->depth - at * l->depth % 8));
            }
        }
}

static void make_png(const layout *l, const char *path) {
    FILE *f = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_color palette[ENTRIES];
    png_byte alpha[ENTRIES], row[MOST_ROW];
    assert_non_null(f);
    png_init_io(png, f);
    png_set_IHDR(png, info, (png_uint_32)l->width, (png_uint_32)l->height, l->depth, l->type, l->interlace,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    for (int i = 0; i < ENTRIES; i++) {
        palette[i] = (png_color){palette_value(i, 0), palette_value(i, 1), palette_value(i, 2)};
        alpha[i] = palette_value(i, 3);
    }
    if (l->type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, palette, entries_of(l));
    if (l->transparent) png_set_tRNS(png, info, alpha, entries_of(l), NULL);
    char *text = l->text ? calloc(1, l->text + 1) : NULL;
    if (text) {
        png_text chunk = {.compression = PNG_TEXT_COMPRESSION_zTXt, .key = "Comment", .text = memset(text, 'a', l->text),
                          .text_length = l->text};
        png_set_text(png, info, &chunk, 1);
        free(text);
    }
    png_write_info(png, info);
    for (int pass = png_set_interlace_handling(png); pass; pass--)
        for (int y = 0; y < l->height; y++) {
            put_row(l, y, row);
            png_write_row(png, row);
        }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(f);
}

/* What channel c of pixel (x, y) must be over a background. */
static int expected_value(const layout *l, int x, int y, int c, const uint8_t background[3]) {
    double range = (double)((1 << l->depth) - 1), v, alpha = 1;
    bool grey = !(l->type & PNG_COLOR_MASK_COLOR);
    if (l->type == PNG_COLOR_TYPE_PALETTE) {
        int entry = sample(l, x, y, 0);
        v = palette_value(entry, c);
        if (l->transparent) alpha = palette_value(entry, 3) / 255.0;
    } else {
        v = 255 * sample(l, x, y, grey ? 0 : c) / range;
        if (l->type & PNG_COLOR_MASK_ALPHA) alpha = sample(l, x, y, grey ? 1 : 3) / range;
    }
    return (int)lround(v * alpha + background[c] * (1 - alpha));
}

static void every_png(void **state) {
    (void)state;
    static const int types[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_PALETTE,
                                PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGBA};
    for (int k = 0; k < 5; k++)
        for (int depth = 1; depth <= 16; depth *= 2)
            for (int variant = 0; variant < 4; variant++) {
                layout l = {.type = types[k], .depth = depth, .interlace = variant & 1, .width = 13, .height = 11};
                l.transparent = (variant & 2) && l.type == PNG_COLOR_TYPE_PALETTE;
                bool packed = l.type == PNG_COLOR_TYPE_GRAY || l.type == PNG_COLOR_TYPE_PALETTE;
                if ((depth < 8 && !packed) || (depth == 16 && l.type == PNG_COLOR_TYPE_PALETTE)) continue;
                picture p;
                make_png(&l, at("kind.png"));
                must(picture_read(&p, at("kind.png"), brown, &err));
                assert_true(p.width == 13 && p.height == 11);
                for (int i = 0; i < 13 * 11 * 3; i++) {
                    int expected = expected_value(&l, i / 3 % 13, i / 3 / 13, i % 3, brown);
                    if (abs(p.rgb[i] - expected) > 1)
                        test_failed("colour type %d, depth %d, interlace %d, tRNS %d: value %d is %d, expected %d\n",
                                    l.type, depth, l.interlace, l.transparent, i, p.rgb[i], expected);
                }
                picture_free(&p);
            }
}

static void written_and_read(void **state) {
    (void)state;
    picture p, back;
    must(picture_open(&p, 17, 5, &err));
    for (int i = 0; i < 17 * 5 * 3; i++) p.rgb[i] = (uint8_t)number((uint64_t)i);
    must(picture_write(&p, at("out.png"), &err));
    must(picture_read(&back, at("out.png"), white, &err));
    assert_true(back.width == 17 && back.height == 5);
    assert_memory_equal(back.rgb, p.rgb, 17 * 5 * 3);
    picture_free(&p);
    picture_free(&back);
}

/* ------------------------------------------------------------------ JPEG */

static void every_jpeg(void **state) {
    (void)state;
    enum { W = 40, H = 24 };
    uint8_t pixels[W * H * 4];
    for (int kind = 0; kind < 3; kind++) { /* grey, colour, CMYK */
        int width = kind == 0 ? 1 : kind == 1 ? 3 : 4;
        for (int i = 0; i < W * H; i++)
            for (int c = 0; c < width; c++)
                pixels[i * width + c] = (uint8_t)(c == 3 ? 200 : 40 + 60 * c + i % W + i / W);
        tjhandle coder = tjInitCompress();
        unsigned char *file = NULL;
        unsigned long bytes = 0;
        int format = kind == 0 ? TJPF_GRAY : kind == 1 ? TJPF_RGB : TJPF_CMYK;
        assert_int_equal(tjCompress2(coder, pixels, W, 0, H, format, &file, &bytes,
                                     kind == 0 ? TJSAMP_GRAY : TJSAMP_444, 95, 0), 0);
        picture p;
        must(picture_parse(&p, file, bytes, "picture", white, &err));
        assert_true(p.width == W && p.height == H);
        for (int i = 0; i < W * H * 3; i++) {
            int given = pixels[i / 3 * width + (kind == 0 ? 0 : i % 3)];
            if (kind == 2) given = given * 200 / 255;
            close_to(p.rgb[i], given, 6, kind == 0 ? "a grey JPEG" : kind == 1 ? "a colour JPEG" : "a CMYK JPEG");
        }
        picture_free(&p);
        for (unsigned long cut = 0; cut < bytes - 2; cut += 7) { /* the end marker alone may be missing */
            pcv_error reason;
            assert_int_equal(picture_parse(&p, file, cut, "cut", white, &reason), PCV_DATA);
            assert_non_null(strstr(reason.message, "cut"));
        }
        tjFree(file);
        tjDestroy(coder);
    }
}

/* ------------------------------------------------------------------ photographs that lie on their sides */

/* Appends an Exif block of three entries, the orientation between two others; returns its size. */
static size_t put_exif(uint8_t *to, bool little, int type, int orientation) {
    static const uint8_t big[] = {'M', 'M', 0, '*', 0, 0, 0, 8, 0, 3, 1, 0, 0, 3, 0, 0, 0, 1, 0, 5, 0, 0, 1, 0x12, 0, 3,
                                  0, 0, 0, 1, 0, 0, 0, 0, 0x87, 0x69, 0, 4, 0, 0, 0, 1, 0, 0, 0, 50, 0, 0, 0, 0};
    static const uint8_t small[] = {'I', 'I', '*', 0, 8, 0, 0, 0, 3, 0, 0, 1, 3, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0x12, 1, 3, 0,
                                    1, 0, 0, 0, 0, 0, 0, 0, 0x69, 0x87, 4, 0, 1, 0, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0};
    memcpy(to, little ? small : big, sizeof big);
    to[little ? 24 : 25] = (uint8_t)type;
    to[little ? 30 : type == 3 ? 31 : 33] = (uint8_t)orientation;
    return sizeof big;
}

/* A JPEG of `plain` with an Exif segment behind a JFIF one. */
static size_t photograph(uint8_t *to, const uint8_t *plain, size_t size, bool little, int type, int orientation) {
    size_t jfif = (size_t)(plain[4] << 8 | plain[5]) + 4, at = jfif;
    memcpy(to, plain, jfif);
    memcpy(to + at, "\xFF\xFF\xE1\0\0Exif\0\0", 11); /* a byte of filling in front */
    size_t exif = put_exif(to + at + 11, little, type, orientation);
    to[at + 4] = (uint8_t)(exif + 8);
    at += 11 + exif;
    memcpy(to + at, plain + jfif, size - jfif);
    return at + size - jfif;
}

/* Which corner of a picture with one corner each in red, green, blue and white has the colours: "rgbw", by rows. */
static const char *corners(const picture *p) {
    static char seen[5];
    for (int i = 0; i < 4; i++) {
        const uint8_t *c = p->rgb + 3 * ((i / 2 * (p->height - 1)) * p->width + i % 2 * (p->width - 1));
        seen[i] = c[0] > 128 && c[1] > 128 ? 'w' : c[0] > 128 ? 'r' : c[1] > 128 ? 'g' : 'b';
    }
    return seen;
}

static void upright(void **state) {
    (void)state;
    enum { W = 48, H = 32 };
    static const char *const expected[] = {"rgbw", "rgbw", "grwb", "wbgr", "bwrg", "rbgw", "brwg", "wgbr", "gwrb", "rgbw"};
    static const uint8_t colour[4][3] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 255}};
    uint8_t pixels[W * H * 3], *made = calloc(1, 1 << 16);
    unsigned char *plain = NULL;
    unsigned long bytes = 0;
    for (int i = 0; i < W * H; i++) memcpy(pixels + 3 * i, colour[i / W / (H / 2) * 2 + i % W / (W / 2)], 3);
    tjhandle coder = tjInitCompress();
    assert_int_equal(tjCompress2(coder, pixels, W, 0, H, TJPF_RGB, &plain, &bytes, TJSAMP_444, 95, 0), 0);
    for (int k = 0; k < 40; k++) {
        int orientation = k % 10; /* 0 and 9 are none */
        size_t size = photograph(made, plain, bytes, k / 10 % 2, k < 20 ? 3 : 4, orientation);
        picture p;
        must(picture_parse(&p, made, size, "photograph", white, &err));
        assert_true(p.width == (orientation > 4 && orientation < 9 ? H : W) && p.width * p.height == W * H);
        if (strcmp(corners(&p), expected[orientation]))
            test_failed("orientation %d: %s, expected %s\n", orientation, corners(&p), expected[orientation]);
        picture_free(&p);
        for (size_t cut = 0; cut < 200; cut++) { /* a copy of just this size, so that sanitizers see its end */
            uint8_t *copy = memcpy(malloc(cut + 1), made, cut);
            if (exif_orientation(copy, cut) < 1) test_failed("cut at %zu\n", cut);
            free(copy);
        }
    }
    tjFree(plain);
    tjDestroy(coder);
    free(made);
}

/* The same of a PNG, whose chunk may stand behind the pixels. */
static void upright_png(void **state) {
    (void)state;
    static const uint8_t rgb[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255};
    uint8_t made[1 << 12], exif[64];
    for (int k = 0; k < 2; k++) {
        picture p = {2, 2, (uint8_t *)(uintptr_t)rgb}, back;
        file_bytes plain;
        must(picture_write(&p, at("plain.png"), &err));
        must(file_read(at("plain.png"), sizeof made / 2, &plain, &err));
        size_t size = put_exif(exif, k, 3, 6), where = k ? plain.size - 12 : 33; /* before IEND, behind IHDR */
        memcpy(made, plain.data, where);
        memcpy(made + where, "\0\0\0", 3);
        made[where + 3] = (uint8_t)size;
        memcpy(made + where + 4, "eXIf", 4);
        memcpy(made + where + 8, exif, size);
        memset(made + where + 8 + size, 0, 4); /* a wrong checksum, which nobody minds here */
        memcpy(made + where + size + 12, plain.data + where, plain.size - where);
        must(picture_parse(&back, made, plain.size + size + 12, "turned", white, &err));
        assert_string_equal(corners(&back), "brwg");
        picture_free(&back);
        file_bytes_free(&plain);
    }
}

/* ------------------------------------------------------------------ writing */

static void format_of_the_name(void **state) {
    (void)state;
    static const char *const names[] = {"a.png", "b.jpg", "c.JPEG", "noending", ".hidden", "dot.d/noending"};
    static const char *const begins[] = {"\x89PNG", "\xFF\xD8\xFF", "\xFF\xD8\xFF", "\x89PNG", "\x89PNG", "\x89PNG"};
    picture p;
    must(picture_open(&p, 20, 10, &err));
    for (int i = 0; i < 600; i++) p.rgb[i] = (uint8_t)(i % 3 * 50 + i / 60 * 10);
    must(folder_make(at("dot.d"), &err));
    for (size_t i = 0; i < COUNT(names); i++) {
        file_bytes b;
        picture back;
        must(picture_check(at(names[i]), &err));
        must(picture_write(&p, at(names[i]), &err));
        must(file_read(at(names[i]), 1 << 20, &b, &err));
        if (memcmp(b.data, begins[i], strlen(begins[i]))) test_failed("%s is another file\n", names[i]);
        must(picture_parse(&back, b.data, b.size, names[i], white, &err));
        assert_true(back.width == 20 && back.height == 10);
        for (int k = 0; k < 600; k++) close_to(back.rgb[k], p.rgb[k], 6, names[i]);
        picture_free(&back);
        file_bytes_free(&b);
    }
    refused(picture_write(&p, at("d.gif"), &err), PCV_USAGE, "d.gif: no '.gif' file can be written here, expected .png, .jpg");
    refused(picture_check(at("d.png.bak"), &err), PCV_USAGE, "'.bak'");
    picture_free(&p);
}

static bool black(const picture *p, int x, int y) {
    const uint8_t *c = p->rgb + 3 * (y * p->width + x);
    return !c[0] && !c[1] && !c[2];
}

/* Where the picture lies, that ticks stand at round numbers, and that numbers stand under them. */
static void axes_of_a_picture(void **state) {
    (void)state;
    enum { W = 200, H = 100 };
    picture p;
    must(picture_open(&p, W / 2, H / 2, &err));
    for (int i = 0; i < 3 * W * H / 4; i++) p.rgb[i] = 200;
    must(picture_enlarge(&p, 2, &err));
    assert_true(p.width == W && p.height == H && p.rgb[0] == 200 && p.rgb[3 * W * H - 1] == 200);
    must(picture_add_axes(&p, &(picture_axis){"input", 0, 1000}, &(picture_axis){"latent", 900, 1000}, &err));
    int left = 0, top = 0;
    while (p.rgb[3 * (p.height / 2 * p.width + left)] != 200) left++;
    while (p.rgb[3 * (top * p.width + left)] != 200) top++;
    int ticks = 0, rows = 0;
    for (int x = left; x < left + W; x++)
        if (black(&p, x, top + H)) { /* 0, 500: a number is some 60 pixels wide */
            assert_int_equal(x, left + (500 * ticks + 1) * W / 1000);
            int ink = 0;
            for (int k = -20; k <= 20; k++) ink += black(&p, x + k, top + H + 17);
            assert_true(ink > 0);
            ticks++;
        }
    for (int y = top; y < top + H; y++)
        if (black(&p, left - 1, y)) assert_int_equal(y, top + 50 * rows++);
    assert_int_equal(ticks, 2);
    assert_int_equal(rows, 2);
    picture_free(&p);
}

/* ------------------------------------------------------------------ files that mean harm */

static void damaged_files(void **state) {
    (void)state;
    layout l = {.type = PNG_COLOR_TYPE_RGB, .depth = 8, .width = 20, .height = 20};
    file_bytes good;
    pcv_error reason;
    picture p;
    make_png(&l, at("good.png"));
    must(file_read(at("good.png"), 1 << 20, &good, &err));
    for (size_t cut = 0; cut + 16 < good.size; cut += 5)
        assert_int_equal(picture_parse(&p, good.data, cut, "cut", white, &reason), PCV_DATA);
    for (int i = 0; i < 2000; i++) { /* any damage ends in a picture or in an error */
        size_t where = number((uint64_t)(3 * i)) % good.size;
        char old = good.data[where];
        good.data[where] = (char)number((uint64_t)(3 * i + 1));
        if (!picture_parse(&p, good.data, good.size, "flipped", white, &reason)) picture_free(&p);
        good.data[where] = old;
    }
    static const uint8_t vast[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0, 0xFF,
                                   0xFF, 0, 0, 0xFF, 0xFF, 8, 2, 0, 0, 0};
    assert_int_equal(picture_parse(&p, vast, sizeof vast, "vast.png", white, &reason), PCV_DATA);
    assert_non_null(strstr(reason.message, "vast.png"));
    assert_int_equal(picture_parse(&p, "<html>", 6, "page.png", white, &reason), PCV_DATA);
    assert_non_null(strstr(reason.message, "neither a PNG nor a JPEG"));
    assert_int_equal(picture_read(&p, at("absent.png"), white, &reason), PCV_NOINPUT);
    file_bytes_free(&good);
}

/* A small file that claims to be vast is refused before anything is made for it. */
static void vast_jpeg(void **state) {
    (void)state;
    static const uint8_t grey[16 * 16];
    tjhandle coder = tjInitCompress();
    unsigned char *file = NULL;
    unsigned long bytes = 0, at = 2;
    picture p;
    assert_int_equal(tjCompress2(coder, grey, 16, 0, 16, TJPF_GRAY, &file, &bytes, TJSAMP_GRAY, 90, 0), 0);
    while (file[at + 1] != 0xC0) at += 2 + (unsigned long)(file[at + 2] << 8 | file[at + 3]); /* start of frame */
    memset(file + at + 5, 0xFE, 4); /* height and width */
    refused(picture_parse(&p, file, bytes, "vast.jpg", white, &err), PCV_DATA, "vast.jpg: a picture of 65278 x 65278");
    tjFree(file);
    tjDestroy(coder);
}

static long most_memory(void) { /* KiB */
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

enum { BOMB = 128 << 20 };

static bool write_bomb(void) {
    layout l = {.type = PNG_COLOR_TYPE_RGB, .depth = 8, .width = 4, .height = 4, .text = BOMB};
    make_png(&l, at("bomb.png"));
    return true;
}

static bool read_bomb(void) {
    picture p;
    pcv_error err;
    long before = most_memory();
    return !picture_read(&p, at("bomb.png"), white, &err) && most_memory() - before < (BOMB >> 10) / 4;
}

/* Its memory is not what came before. */
static void in_a_child(bool (*what)(void)) {
    int result = -1;
    pid_t child = fork();
    if (child == 0) _exit(what() ? 0 : 1);
    assert_true(waitpid(child, &result, 0) == child);
    assert_int_equal(result, 0);
}

/* A small file with 128 MiB of compressed text, which nobody asked for. */
static void text_bomb(void **state) {
    (void)state;
    in_a_child(write_bomb);
    in_a_child(read_bomb);
}

/* ------------------------------------------------------------------ scaling */

static double lanczos(double x) {
    if (x == 0) return 1;
    return fabs(x) >= 3 ? 0 : 3 * sin(M_PI * x) * sin(M_PI * x / 3) / (M_PI * M_PI * x * x);
}

/* The two-dimensional sum, straight from its formula; the weights separate. */
static double scaled_value(const picture *p, int left, int top, int side, int size, int x, int y, int c) {
    double scale = (double)side / size, width = scale > 1 ? scale : 1, sum = 0, total = 0;
    for (int v = 0; v < side; v++)
        for (int u = 0; u < side; u++) {
            double w = lanczos((u + 0.5 - (x + 0.5) * scale) / width) * lanczos((v + 0.5 - (y + 0.5) * scale) / width);
            sum += w * p->rgb[3 * ((top + v) * p->width + left + u) + c];
            total += w;
        }
    sum /= total;
    return sum < 0 ? 0 : sum > 255 ? 255 : sum;
}

static void scaling(void **state) {
    (void)state;
    static const int sides[][3] = {{50, 37, 16}, {37, 50, 16}, {20, 20, 20}, {9, 12, 32}, {1, 1, 5}, {70, 64, 1}};
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        picture p, q;
        int width = sides[k][0], height = sides[k][1], size = sides[k][2], side = width < height ? width : height;
        must(picture_open(&p, width, height, &err));
        must(picture_open(&q, width, height, &err));
        for (int i = 0; i < 3 * width * height; i++) p.rgb[i] = q.rgb[i] = (uint8_t)number((uint64_t)i);
        must(picture_square(&q, size, &err));
        assert_true(q.width == size && q.height == size);
        for (int i = 0; i < 3 * size * size; i++)
            close_to(q.rgb[i], scaled_value(&p, (width - side) / 2, (height - side) / 2, side, size, i / 3 % size,
                                            i / 3 / size, i % 3), 0.51, "a scaled value");
        picture_free(&p);
        picture_free(&q);
    }
}

/* ------------------------------------------------------------------ tokens */

static tokenizer open_order(const char *order, int size, int ids) {
    tokenizer t;
    token_config c;
    memset(&c, 0, sizeof c);
    fields_default(&token_fields, &c);
    c.size = size;
    c.channel_ids = ids;
    c.by_user = true;
    snprintf(c.order, sizeof c.order, "%s", order);
    must(tokenizer_open(&t, "image", &c, &err));
    return t;
}

/* Value of the picture that token `index` (from 1) stands for, from its positions. */
static int value_at(const tokenizer *t, int64_t index) {
    int32_t axis[TOKEN_AXES];
    tokenizer_position(t, index, axis);
    return (int)(((axis[1] - 2) * t->config.size + axis[0] - 2) * 3 + axis[2] - 2);
}

static void orders(void **state) {
    (void)state;
    static const char *const names[] = {"raster", "planes", "spiral", "coarse-to-fine", "random:1", "random:2"};
    static const int spiral[] = {0, 1, 2, 5, 8, 7, 6, 3, 4}, coarse[] = {0, 8, 128, 136};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        for (int size = 1; size <= 17; size += 4) {
            tokenizer t = open_order(names[k], size, CHANNEL_IDS_SHARED);
            char seen[3 * 17 * 17] = {0};
            assert_int_equal(t.length, 3 * size * size);
            for (int64_t i = 1; i <= t.length; i++) {
                int value = value_at(&t, i);
                if (value < 0 || value >= t.length || seen[value]++)
                    test_failed("order %s, size %d: token %d is value %d\n", names[k], size, (int)i, value);
            }
            tokenizer_close(&t);
        }
    tokenizer t = open_order("spiral", 3, CHANNEL_IDS_SHARED);
    for (int i = 0; i < 27; i++) assert_int_equal(value_at(&t, i + 1), 3 * spiral[i / 3] + i % 3);
    tokenizer_close(&t);
    t = open_order("coarse-to-fine", 16, CHANNEL_IDS_SHARED); /* the first four pixels lie 8 apart */
    for (int i = 0; i < 4; i++) assert_int_equal(value_at(&t, 3 * i + 1), 3 * coarse[i]);
    tokenizer_close(&t);
    t = open_order("planes", 4, CHANNEL_IDS_SHARED);
    for (int i = 0; i < 48; i++) assert_int_equal(value_at(&t, i + 1), i % 16 * 3 + i / 16);
    int32_t axis[TOKEN_AXES];
    tokenizer_position(&t, 0, axis);
    assert_true(axis[0] == 1 && axis[1] == 1 && axis[2] == 1);
    tokenizer_close(&t);
}

static void pictures_and_back(void **state) {
    (void)state;
    static const char *const names[] = {"raster", "planes", "random:7"};
    layout l = {.type = PNG_COLOR_TYPE_RGB, .depth = 8, .width = 12, .height = 12};
    make_png(&l, at("square.png"));
    for (int ids = 0; ids < 2; ids++)
        for (int k = 0; k < 3; k++) {
            tokenizer t = open_order(names[k], 12, ids);
            id_list list = {0}, again = {0};
            picture p;
            must(t.type->read(&t, at("square.png"), &list, &err));
            assert_int_equal(list.count, 3 * 12 * 12);
            assert_int_equal(t.vocab, ids ? 3 + 768 : 3 + 256);
            for (size_t i = 0; i < list.count; i++) {
                int value = value_at(&t, (int64_t)i + 1), c = value % 3;
                int expected = sample(&l, value / 3 % 12, value / 36, c) + 3 + (ids ? 256 * c : 0);
                assert_int_equal(list.v[i], expected);
            }
            must(t.type->write(&t, list.v, list.count, at("again.png"), &err));
            must(t.type->read(&t, at("again.png"), &again, &err));
            assert_memory_equal(again.v, list.v, list.count * sizeof *list.v);
            must(t.type->picture(&t, list.v, 100, &p, &err)); /* a part: the rest is grey */
            for (int i = 0; i < 3 * 12 * 12; i++) {
                int index = 0;
                while (value_at(&t, index + 1) != i) index++;
                assert_int_equal(p.rgb[i], index < 100 ? sample(&l, i / 3 % 12, i / 36, i % 3) : 128);
            }
            picture_free(&p);
            id_list_free(&list);
            id_list_free(&again);
            tokenizer_close(&t);
        }
}

static void channel_mask(void **state) {
    (void)state;
    tokenizer t = open_order("planes", 2, CHANNEL_IDS_OWN);
    float logits[3 + 768];
    int32_t ids[13] = {0};
    for (size_t count = 1; count <= 12; count++) {
        for (int v = 0; v < 3 + 768; v++) logits[v] = 0;
        t.type->mask(&t, ids, count, logits);
        int channel = (int)(count - 1) / 4; /* planes of four pixels */
        for (int v = 3; v < 3 + 768; v++) assert_true((logits[v] == 0) == ((v - 3) / 256 == channel));
    }
    tokenizer_close(&t);
}

/* Values mean their place between dark and light, channels with ids of their own apart from each other. */
static void what_values_mean(void **state) {
    (void)state;
    static const int64_t channels[] = {[CHANNEL_IDS_SHARED] = 1, [CHANNEL_IDS_OWN] = 3};
    for (int ids = 0; ids < (int)COUNT(channels); ids++) {
        tokenizer t = open_order("raster", 2, ids);
        float v[3 * SCALE_SIZE], expected[SCALE_SIZE];
        assert_int_equal(t.vector_size, channels[ids] * SCALE_SIZE);
        for (int32_t id = 0; id < t.vocab; id++) {
            int32_t value = id - t.first;
            t.type->vector(&t, id, v);
            scale_vector(value & 255, 256, expected);
            for (int64_t i = 0; i < t.vector_size; i++)
                assert_true(v[i] == (value >= 0 && value / 256 == i / SCALE_SIZE ? expected[i % SCALE_SIZE] : 0));
        }
        tokenizer_close(&t);
    }
}

static void own_order(void **state) {
    (void)state;
    static const char *const bad[] = {"0 1 2", "0 1 2 2", "0 1 2 4", "0 1 x 3", "0 1 2 -1", ""};
    char order[FIELD_TEXT];
    tokenizer t, back;
    pcv_error reason;
    token_config c;
    snprintf(order, sizeof order, "%s", at("mine.txt"));
    must(file_write(order, "3 1\n0, 2", 8, &err));
    t = open_order(order, 2, CHANNEL_IDS_SHARED);
    must(tokenizer_save(&t, at("."), &err));
    assert_int_equal(remove(order), 0);
    must(tokenizer_load(&back, at("."), &err)); /* of its own copy */
    for (int i = 0; i < 12; i++) {
        static const int pixels[] = {3, 1, 0, 2};
        assert_int_equal(value_at(&t, i + 1), 3 * pixels[i / 3] + i % 3);
        assert_int_equal(value_at(&back, i + 1), value_at(&t, i + 1));
    }
    c = t.config;
    tokenizer_close(&back);
    tokenizer_close(&t);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        must(file_write(order, bad[k], strlen(bad[k]), &err));
        snprintf(c.order, sizeof c.order, "%s", order);
        assert_int_equal(tokenizer_open(&t, "image", &c, &reason), PCV_DATA);
        assert_non_null(strstr(reason.message, "mine.txt"));
    }
    snprintf(c.order, sizeof c.order, "random:x");
    assert_int_equal(tokenizer_open(&t, "image", &c, &reason), PCV_USAGE);
    snprintf(c.order, sizeof c.order, "raster");
    snprintf(c.background, sizeof c.background, "white");
    assert_int_equal(tokenizer_open(&t, "image", &c, &reason), PCV_USAGE);
}

/* A data set from elsewhere cannot make us read a file, far less show it. */
static void foreign_order(void **state) {
    (void)state;
    tokenizer t;
    pcv_error reason;
    must(file_write(at("secret"), "s3cret", 6, &err));
    char json[2 * PATH_SIZE];
    snprintf(json, sizeof json, "{\"kind\": \"image\", \"config\": {\"size\": 2, \"order\": \"%s\"}}", at("secret"));
    must(file_write(at("tokenizer.json"), json, strlen(json), &err));
    refused(tokenizer_load(&t, at("."), &err), PCV_DATA, "expected raster, planes, spiral");

    static const char own[] = "{\"kind\": \"image\", \"config\": {\"size\": 2, \"order\": \"<order.txt>\"}}";
    must(file_write(at("tokenizer.json"), own, sizeof own - 1, &err));
    remove(at("order.txt"));
    assert_int_equal(symlink("secret", at("order.txt")), 0);
    assert_int_equal(tokenizer_load(&t, at("."), &reason), PCV_DATA);
    assert_true(strstr(reason.message, "order.txt: entry 0") && !strstr(reason.message, "s3cret"));
    assert_int_equal(remove(at("order.txt")), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_png),     cmocka_unit_test(written_and_read), cmocka_unit_test(every_jpeg),
        cmocka_unit_test(upright),       cmocka_unit_test(upright_png),
        cmocka_unit_test(format_of_the_name), cmocka_unit_test(axes_of_a_picture),
        cmocka_unit_test(damaged_files), cmocka_unit_test(vast_jpeg),        cmocka_unit_test(text_bomb),
        cmocka_unit_test(scaling),       cmocka_unit_test(orders),
        cmocka_unit_test(pictures_and_back), cmocka_unit_test(channel_mask), cmocka_unit_test(what_values_mean), cmocka_unit_test(own_order),
        cmocka_unit_test(foreign_order),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
