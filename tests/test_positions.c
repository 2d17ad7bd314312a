/* Codes of positions and rotary frequencies against their formulas in double precision. */
#include "device.h"
#include "base/mem.h"
#include "config/settings.h"
#include "model/model.h"
#include "nn/positions.h"
#include "ops/ops.h"

enum { ROWS = 700, CHANNELS = 12, BANDS = CHANNELS / 2 };

/* Column c of the code of position p (Vaswani et al. 2017; Fourier features of -1 to 1, with 1 to rows / 2 periods in
 * two): sines in the first half, cosines in the second. */
static double code(position_kind kind, double scale, int64_t p, int c) {
    const double pi = acos(-1), part = (double)(c % BANDS) / (BANDS - 1);
    double angle = (double)p * pow(10000, -part), x = -1 + 2 * (double)p / (ROWS - 1);
    if (kind == POSITION_FOURIER) angle = pi * x * (1 + (ROWS / 2.0 - 1) * part);
    return scale * (c < BANDS ? sin(angle) : cos(angle));
}

static void codes_of_positions(void **state) {
    (void)state;
    static const position_kind kinds[] = {POSITION_SINUSOIDAL, POSITION_FOURIER};
    static const double scales[] = {1, 0.02};
    static const int32_t at[] = {0, 1, 2, 254, 255, 256, 257, 511, 512, 600, 699};
    enum { COUNT = sizeof at / sizeof *at };
    backend *be;
    tape t;
    static float table[ROWS * CHANNELS], zeros[CHANNELS];
    float found[COUNT * CHANNELS];
    int32_t none[COUNT] = {0};
    be = test_backend(&(backend_options){.precision = F64});
    must(tape_init(&t, be, 0, &err));
    for (int k = 0; k < 4; k++) {
        tensor low, high, whole;
        double scale = scales[k / 2];
        must(harmonic_factors(&low, &high, be, kinds[k % 2], scale, ROWS, CHANNELS, &err));
        must(harmonic_table(&whole, be, kinds[k % 2], scale, ROWS, CHANNELS, &err));
        tape_reset(&t);
        embed_spec s = {.tables = 1, .table = {tape_floats(&t, zeros, 1, CHANNELS)}, .ids = {tape_ints(&t, none, COUNT)}};
        s.positions = tape_ints(&t, at, COUNT);
        s.low = tape_wrap(&t, low.m);
        s.high = tape_wrap(&t, high.m);
        tape_read(&t, embed(&t, &s), found);
        backend_read_floats(be, table, &whole.m);
        for (int i = 0; i < COUNT; i++)
            for (int c = 0; c < CHANNELS; c++) {
                double expected = code(kinds[k % 2], scale, at[i], c);
                close_to((double)found[i * CHANNELS + c], expected, 2e-6 * scale, "a code made of two factors");
                close_to((double)table[at[i] * CHANNELS + c], expected, 1e-6 * scale, "a code of a table");
            }
        constant_free(&low, be);
        constant_free(&high, be);
        constant_free(&whole, be);
    }
    tape_free(&t);
    assert_int_equal(be->bytes_now, 0);
    be->close(be);
}

/* base^(-j / bands), or to 1 / base at the last band; a part of the head's channels turns. */
static void rotary(void **state) {
    (void)state;
    static const struct {
        const char *settings;
        int bands;
        double base, last;
    } cases[] = {
        {"positions.rotary.fraction=1 positions.rotary.base=10000 positions.rotary.endpoint=false", 8, 10000, 8},
        {"positions.rotary.fraction=1 positions.rotary.base=500 positions.rotary.endpoint=true", 8, 500, 7},
        {"positions.rotary.fraction=0.5 positions.rotary.base=64 positions.rotary.endpoint=false", 4, 64, 4},
        {"positions.rotary.fraction=0.125 positions.rotary.base=64 positions.rotary.endpoint=true", 1, 1, 1},
    };
    backend *be;
    be = test_backend(&(backend_options){.precision = F64});
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        model_config c;
        tensor frequency;
        float found[16];
        must(settings_model(NULL, &c, &err));
        must(settings_apply_list(cases[k].settings, &model_fields, "", &c, &err));
        must(rotary_frequencies(&frequency, be, &c, 16, &err));
        assert_int_equal(frequency.m.cols, cases[k].bands);
        backend_read_floats(be, found, &frequency.m);
        for (int j = 0; j < cases[k].bands; j++)
            close_to((double)found[j], pow(cases[k].base, -j / cases[k].last), 1e-7, "a frequency");
        constant_free(&frequency, be);
    }
    be->close(be);
}

/* Where documents stand in the middle of the context: half of the room that they leave is in front of them; what does
 * not fit there begins at 0. */
static void places(void **state) {
    (void)state;
    static const struct {
        int64_t middle, from, inputs, document, place;
    } cases[] = {{0, 5, 3, 0, 0},  {14, 0, 13, 0, 1},  {14, 2, 5, 0, 3},  {14, 12, 4, 0, 0}, {10, 0, 9, 0, 3},
                 {10, 4, 9, 0, 7}, {10, 5, 9, 0, 0},   {14, 0, 5, 10, 3}, {14, 0, 5, 17, 0}, {14, 3, 5, 16, 3},
                 {14, 0, 9, 40, 0}, {20, 0, 9, 0, 0}};
    backend *be;
    be = test_backend(&(backend_options){.threads = 1});
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        model_config c;
        model *m;
        must(settings_model(NULL, &c, &err));
        must(settings_apply_list("vocab_size=9 context=16 latents=4 channels=8 heads=2 layers=1", &model_fields, "", &c, &err));
        c.positions.middle = cases[k].middle;
        must(model_open(&m, &c, be, false, &err));
        int64_t found = model_place(m, cases[k].from, cases[k].inputs, cases[k].document);
        if (found != cases[k].place) test_failed("case %zu: place %d\n", k, (int)found);
        model_close(m);
    }
    be->close(be);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(codes_of_positions), cmocka_unit_test(rotary),
                                       cmocka_unit_test(places)};
    return run_on_device(tests, NULL, NULL);
}
