/* Point clouds: files of every kind, damaged ones, and what becomes of them; spectra of sounds. */
#include "check.h"
#include "data/dataset.h"
#include "media/points_file.h"
#include "media/spectra.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char CORNERS[] = "0 0 0\n2 0 0\n0 -4 0\n0 0 1.5\n";

/* Three corners behind a head whose x stands in the middle, in either byte order. */
static size_t binary_ply(char *out, bool big) {
    static const float values[4][3] = {{0, 0, 0}, {2, 0, 0}, {0, -4, 0}, {0, 0, 1.5f}};
    size_t size = (size_t)sprintf(out, "ply\nformat binary_%s_endian 1.0\ncomment c\nelement vertex 4\n"
                                  "property float y\nproperty uchar red\nproperty double x\nproperty float32 z\n"
                                  "element face 0\nproperty list uchar int vertex_index\nend_header\n",
                                  big ? "big" : "little");
    for (int i = 0; i < 4; i++) {
        double x = (double)values[i][0];
        unsigned char record[17], *at = record;
        const void *parts[4] = {&values[i][1], "r", &x, &values[i][2]};
        const size_t bytes[4] = {4, 1, 8, 4};
        for (int k = 0; k < 4; at += bytes[k++])
            for (size_t b = 0; b < bytes[k]; b++) at[big ? bytes[k] - 1 - b : b] = ((const unsigned char *)parts[k])[b];
        memcpy(out + size, record, sizeof record);
        size += sizeof record;
    }
    return size;
}

static void is_corners(const char *data, size_t size, const char *what) {
    static const float expected[12] = {0, 0, 0, 2, 0, 0, 0, -4, 0, 0, 0, 1.5f};
    points p;
    must(points_parse(&p, data, size, what, &err));
    assert_int_equal(p.count, 4);
    for (int i = 0; i < 12; i++) close_to((double)p.xyz[i], (double)expected[i], 0, what);
    points_free(&p);
}

static void kinds(void **state) {
    (void)state;
    static const char *const texts[] = {
        CORNERS,
        "x,y,z,intensity\r\n0,0,0,7\r\n2,0,0,7\r\n0,-4,0,7\r\n0,0,1.5,7\r\n",
        "# a comment\n\n0\t0\t0 1 1 1\n2 0 0\n 0 -4 0\n0 0 1.5",
        "OFF\n4 1 0\n0 0 0\n2 0 0\n0 -4 0\n0 0 1.5\n3 0 1 2\n",
        "OFF 4 1 0\n# vertices\n0 0 0\n2 0 0\n0 -4 0\n0 0 1.5\n3 0 1 2\n",
        "ply\nformat ascii 1.0\nelement vertex 4\nproperty uchar c\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int i\nend_header\n9 0 0 0\n9 2 0 0\n9 0 -4 0\n9 0 0 1.5\n3 0 1 2\n"};
    char binary[1024];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) is_corners(texts[i], strlen(texts[i]), texts[i]);
    for (int big = 0; big < 2; big++) is_corners(binary, binary_ply(binary, big), big ? "big" : "little");
}

static void refused(const char *data, size_t size, const char *why) {
    points p;
    pcv_error err;
    assert_int_equal(points_parse(&p, data, size, "in", &err), PCV_DATA);
    if (!strstr(err.message, why)) test_failed("'%s' does not have '%s'\n", err.message, why);
    assert_null(p.xyz);
}

static void damaged(void **state) {
    (void)state;
    char binary[1024];
    size_t size = binary_ply(binary, false);
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "no points"},
        {"x y z\n", "no points"},
        {"1 2\n", "line 1: 2 numbers, expected the 3"},
        {"1 2 3\nfour\n", "line 2: 0 numbers"},
        {"1 2 nan\n", "point 0 has a coordinate that is no number"},
        {"1 2 3\n1 2 1e39\n", "point 1 has a coordinate"},
        {"OFF\n", "ends in its head"},
        {"OFF\nabc\n", "line 2: expected how many"},
        {"OFF\n-1 0 0\n", "line 2: expected how many"},
        {"OFF\n2 0 0\n1 2 3\n", "1 point, but its head says 2: truncated"},
        {"ply\nformat ascii 1.0\n", "or has no end"},
        {"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nend_header\n1 2\n", "names no vertices"},
        {"ply\nformat other\nend_header\n", "expected ascii or binary"},
        {"ply\nformat ascii 1.0\nelement face 1\nend_header\n", "in front of the vertices"},
        {"ply\nformat ascii 1.0\nelement vertex 1\nproperty list uchar int x\nend_header\n", "has the property 'list'"},
        {"ply\nformat ascii 1.0\nelement vertex 99999999999\nend_header\n", "expected 0 to"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refused(cases[i].text, strlen(cases[i].text), cases[i].why);
    for (size_t cut = size - 1; cut > size - 60; cut--) refused(binary, cut, "vertices: truncated or damaged");
    refused("1 2 3\n\0", 7, "binary");
}

static void normalized(void **state) {
    (void)state;
    points p;
    must(points_parse(&p, CORNERS, sizeof CORNERS - 1, "in", &err));
    points_normalize(&p);
    double mean[3] = {0}, most = 0;
    for (size_t i = 0; i < 12; i++) {
        mean[i % 3] += (double)p.xyz[i];
        most = fmax(most, fabs((double)p.xyz[i]));
    }
    for (int k = 0; k < 3; k++) close_to(mean[k], 0, 1e-6, "a mean");
    close_to(most, 1, 1e-6, "the farthest");
    close_to((double)p.xyz[3], 1.5 / 3, 1e-6, "one scale for all axes"); /* from (2 - 0.5) to 3, the farthest */
    points_free(&p);
}

/* Shapes have labels, any piece of one is that of the whole, and points lie in the range. */
static void shapes(void **state) {
    (void)state;
    enum { POINTS = 50 };
    dataset *d;
    int32_t all[3 * POINTS + 1], some[7];
    int seen[6] = {0};
    must(dataset_open(&d, "shapes:50", 3, &err));
    assert_int_equal(d->classes, 6);
    assert_int_equal(dataset_length(d, SPLIT_TRAIN, 0), 3 * POINTS + 1);
    for (int64_t k = 0; k < 60; k++) {
        float value[3 * POINTS];
        double sum = 0;
        seen[d->type->label(d, SPLIT_TEST, k)]++;
        must(dataset_read(d, SPLIT_TEST, k, 0, 3 * POINTS + 1, all, &err));
        must(dataset_read(d, SPLIT_TEST, k, 5, 7, some, &err));
        assert_memory_equal(some, all + 5, sizeof some);
        d->tokens.type->values(&d->tokens, all + 1, 3 * POINTS, value);
        for (int i = 0; i < 3 * POINTS; i++) sum += (double)value[i] * (double)value[i];
        assert_true(sum / POINTS > 0.1 && sum / POINTS < 1.2); /* mean square distances from the middle */
    }
    for (int k = 0; k < 6; k++) assert_true(seen[k] > 0);
    dataset_close(d);
}

/* A sine lies in its bin, with the power that the header says. */
static void spectra(void **state) {
    (void)state;
    enum { WINDOW = 64, COUNT = 256, STEP = 32, BIN = 8 };
    float x[COUNT], out[COUNT / STEP * WINDOW / 2];
    for (int i = 0; i < COUNT; i++) x[i] = (float)(sqrt(2) * sin(2 * M_PI * BIN * i / WINDOW));
    must(sound_spectra(x, COUNT, WINDOW, STEP, out, &err));
    const float *frame = out + 3 * WINDOW / 2;
    close_to((double)frame[BIN - 1], log10(1 + 1e-4) + 1, 1e-3, "its bin");
    close_to((double)frame[BIN + 9], -3, 1e-3, "a bin far from it");
    memset(x, 0, sizeof x);
    must(sound_spectra(x, COUNT - 1, WINDOW, STEP, out, &err));
    for (int i = 0; i < COUNT / STEP * WINDOW / 2; i++) close_to((double)out[i], -3, 1e-6, "silence");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(kinds), cmocka_unit_test(damaged), cmocka_unit_test(normalized),
                                       cmocka_unit_test(shapes), cmocka_unit_test(spectra)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
