/* Motions: files of the Middlebury kind, pictures of them, pairs of frames as documents, and what becomes of these. */
#include "check.h"
#include "data/dataset.h"
#include "media/flow_file.h"
#include "scratch.h"
#include "token/flow.h"

#include <math.h>
#include <string.h>

/* Two pixels side by side, little-endian: (1, -2) and one that nobody knows. */
static const unsigned char TWO[] = "PIEH\2\0\0\0\1\0\0\0\0\0\200\77\0\0\0\300\x28\x6b\xee\x4e\0\0\200\77";
enum { SIZE_OF_TWO = sizeof TWO - 1 };

static void a_file(void **state) {
    (void)state;
    flow f, again;
    file_bytes bytes;
    must(flow_parse(&f, TWO, SIZE_OF_TWO, "two", &err));
    assert_int_equal(f.width, 2);
    assert_int_equal(f.height, 1);
    close_to((double)f.uv[0], 1, 0, "u");
    close_to((double)f.uv[1], -2, 0, "v");
    assert_true(isnan(f.uv[2]));
    must(flow_write(&f, at("two.flo"), &err));
    must(file_read(at("two.flo"), 1000, &bytes, &err));
    assert_int_equal(bytes.size, SIZE_OF_TWO);
    assert_memory_equal(bytes.data, TWO, 20);
    must(flow_read(&again, at("two.flo"), &err));
    assert_memory_equal(f.uv, again.uv, 2 * sizeof(float));
    assert_true(isnan(again.uv[2]));
    flow_free(&f);
    flow_free(&again);
    file_bytes_free(&bytes);
}

static void refused_with(size_t where, unsigned char byte, size_t size, const char *why) {
    unsigned char data[SIZE_OF_TWO + 1];
    pcv_error reason;
    flow f;
    memcpy(data, TWO, sizeof data);
    if (where < sizeof data) data[where] = byte;
    assert_int_equal(flow_parse(&f, data, size, "in", &reason), PCV_DATA);
    if (!strstr(reason.message, why)) test_failed("said \"%s\", not \"%s\"\n", reason.message, why);
}

static void damaged_files(void **state) {
    (void)state;
    refused_with(0, 'p', SIZE_OF_TWO, "in: no .flo file: it does not begin with the number 202021.25");
    refused_with(99, 0, 11, "no .flo file");
    refused_with(99, 0, SIZE_OF_TWO - 1, "27 bytes, expected 28 for 2 x 1 pixels");
    refused_with(4, 3, SIZE_OF_TWO, "28 bytes, expected 36");
    refused_with(4, 0, SIZE_OF_TWO, "0 pixels wide and 1 high");
    refused_with(7, 1, SIZE_OF_TWO, "expected 1 to 32768");
    refused_with(15, 0xFF, SIZE_OF_TWO, "the motion of pixel 0, 0 is no number");
    refused_with(27, 0x7F, SIZE_OF_TWO, "the motion of pixel 1, 0 is no number"); /* infinity */
}

/* The wheel: right is red, left between cyan and blue, no motion is white, what nobody knows is black. */
static void pictures(void **state) {
    (void)state;
    float uv[] = {2, 0, -2, 0, 0, 0, NAN, 0, 1, 0};
    const flow f = {.width = 5, .height = 1, .uv = uv};
    picture p;
    must(flow_picture(&f, &p, &err));
    const uint8_t expected[] = {255, 0, 0, 0, 197, 255, 255, 255, 255, 0, 0, 0, 255, 128, 128};
    assert_memory_equal(p.rgb, expected, sizeof expected);
    picture_free(&p);
}

/* ------------------------------------------------------------------ pairs */

enum { SIDE = 4, WIDE = 6, HIGH = 5 };

/* Frames in which every pixel tells where it is, and a motion that does. */
static void write_pair(const char *first, const char *second, const char *motion, int wide) {
    picture p;
    flow f;
    for (int k = 0; k < 2; k++) {
        must(picture_open(&p, k ? wide : WIDE, HIGH, &err));
        for (int i = 0; i < p.width * HIGH; i++) p.rgb[3 * i] = (uint8_t)(100 * k + i);
        must(picture_write(&p, at(k ? second : first), &err));
        picture_free(&p);
    }
    must(flow_open(&f, WIDE, HIGH, &err));
    for (int i = 0; i < WIDE * HIGH; i++) {
        f.uv[2 * i] = (float)i;
        f.uv[2 * i + 1] = i == 2 * WIDE + 2 ? NAN : -0.25f;
    }
    must(flow_write(&f, at(motion), &err));
    flow_free(&f);
}

static void open_flows(tokenizer *t, int64_t size) {
    token_config c;
    fields_default(&token_fields, &c);
    c.size = size;
    must(tokenizer_open(t, "flow", &c, &err));
}

static void documents(void **state) {
    (void)state;
    static const char *const names[][3] = {{"f-0099.png", "f-0100.png", "f-0099.flo"},
                                           {"7_img1.png", "7_img2.png", "7_flow.flo"}};
    tokenizer t;
    open_flows(&t, SIDE);
    for (int n = 0; n < 2; n++) {
        id_list ids = {0};
        float values[8 * SIDE * SIDE];
        write_pair(names[n][0], names[n][1], names[n][2], WIDE);
        must(tokenizer_read(&t, at(names[n][2]), &ids, &err));
        assert_int_equal(ids.count, 8 * SIDE * SIDE);
        t.type->values(&t, ids.v, ids.count, values);
        for (int i = 0; i < SIDE * SIDE; i++) { /* cut out one column and no row from the edge */
            int pixel = i / SIDE * WIDE + 1 + i % SIDE;
            close_to((double)values[3 * i], pixel / 127.5 - 1, 1e-6, "the first frame");
            close_to((double)values[3 * (SIDE * SIDE + i)], (100 + pixel) / 127.5 - 1, 1e-6, "the second frame");
            close_to((double)values[6 * SIDE * SIDE + 2 * i], pixel, 0, "u");
            if (pixel == 2 * WIDE + 2) assert_true(isnan(values[6 * SIDE * SIDE + 2 * i + 1]));
            else close_to((double)values[6 * SIDE * SIDE + 2 * i + 1], -0.25, 0, "v");
        }
        id_list_free(&ids);
    }
    tokenizer_close(&t);
}

static void refuses(const tokenizer *t, const char *name, const char *why) {
    id_list ids = {0};
    pcv_error reason;
    assert_int_equal(tokenizer_read(t, at(name), &ids, &reason), PCV_DATA);
    if (!strstr(reason.message, why)) test_failed("said \"%s\", not \"%s\"\n", reason.message, why);
    id_list_free(&ids);
}

static void what_is_no_pair(void **state) {
    (void)state;
    tokenizer t;
    open_flows(&t, SIDE);
    write_pair("a-1.png", "a-2.png", "a-1.flo", WIDE + 1);
    refuses(&t, "a-1.flo", "7 x 5 pixels, but");
    write_pair("b-1.png", "c-2.png", "b-1.flo", WIDE);
    refuses(&t, "b-1.flo", "the two frames beside it are missing");
    write_pair("d.png", "e.png", "d.flo", WIDE);
    refuses(&t, "d.flo", "the two frames beside it are missing"); /* without a number, what comes next? */
    refuses(&t, "a-1.png", "named by their .flo file");
    tokenizer_close(&t);
    open_flows(&t, SIDE + 2);
    write_pair("g-1.png", "g-2.png", "g-1.flo", WIDE);
    refuses(&t, "g-1.flo", "6 x 5 pixels, smaller than --size 6");
    tokenizer_close(&t);
}

/* ------------------------------------------------------------------ sprites */

/* Any piece of a document is the same without the rest, and where nothing but the ground moves, the second frame shows
 * what the first one did, moved. */
static void sprites(void **state) {
    (void)state;
    enum { S = 16, ALL = 1 + 8 * S * S, SOME = 40 };
    static int32_t ids[ALL], piece[SOME];
    static float values[ALL - 1];
    dataset *d;
    int grounds = 0;
    must(dataset_open(&d, "sprites:16", 3, &err));
    assert_int_equal(dataset_length(d, SPLIT_TRAIN, 0), ALL);
    for (int n = 0; n < 12; n++) {
        must(dataset_read(d, SPLIT_TRAIN, n, 0, ALL, ids, &err));
        for (int64_t from = 0; from + SOME <= ALL; from += 371) {
            must(dataset_read(d, SPLIT_TRAIN, n, from, SOME, piece, &err));
            assert_memory_equal(piece, ids + from, sizeof piece);
        }
        d->tokens.type->values(&d->tokens, ids + 1, ALL - 1, values);
        const float *first = values, *second = values + 3 * S * S, *motion = values + 6 * S * S;
        bool alone = true;
        for (int i = 0; i < S * S; i++) alone = alone && motion[2 * i] == motion[0] && motion[2 * i + 1] == motion[1];
        if (!alone) continue;
        grounds++;
        double u = (double)motion[0], v = (double)motion[1], worst = 0;
        for (int y = 4; y < S - 4; y++)
            for (int x = 4; x < S - 4; x++) { /* between four pixels of the first frame */
                double px = x - u, py = y - v, fx = px - floor(px), fy = py - floor(py);
                const float *near = first + 3 * ((int)floor(py) * S + (int)floor(px));
                double there = (1 - fy) * ((1 - fx) * (double)near[0] + fx * (double)near[3]) +
                               fy * ((1 - fx) * (double)near[3 * S] + fx * (double)near[3 * S + 3]);
                worst = fmax(worst, fabs(there - (double)second[3 * (y * S + x)]));
            }
        if (worst > 0.12) test_failed("document %d: off by %g where it was moved by %g, %g\n", n, worst, u, v);
    }
    assert_true(grounds >= 1);
    dataset_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_file), cmocka_unit_test(damaged_files), cmocka_unit_test(pictures),
                                       cmocka_unit_test(documents), cmocka_unit_test(what_is_no_pair),
                                       cmocka_unit_test(sprites)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
