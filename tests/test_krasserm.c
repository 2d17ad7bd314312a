/* Parity with krasserm/perceiver-io: logits and loss of its small cases, in double and in float; on a device in
 * float and in bf16. */
#include "device.h"
#include "krasserm.h"
#include "gen/timeline.h"

static void compare(const float *found, const double *expected, double tolerance, const char *what,
                    const char *name) {
    char text[128];
    snprintf(text, sizeof text, "case %s, %s", name, what);
    for (int i = 0; i < 5; i++) close_to((double)found[i], expected[i], tolerance, text);
}

static void check_case(backend *be, const krasserm_case *k, double tolerance) {
    model *m = krasserm_model(be, k);
    tape t;
    int32_t ids[13];
    float logits[6 * KRASSERM_V], loss[6 * LOSS_COLUMNS];
    for (int j = 0; j < 13; j++) ids[j] = krasserm_token(j);
    must(tape_init(&t, be, 0, &err));
    sequence row = {.ids = ids, .next = ids + 1, .length = 12, .scored = 6};
    pass in = {.batch = 1, .rows = &row, .latents = 6};
    tensor *hidden = model_hidden(&t, m, &in);
    tape_read(&t, model_logits(&t, m, hidden), logits);
    tape_read(&t, model_loss(&t, m, hidden, &in, &(loss_spec){0}), loss);
    compare(logits, k->first, tolerance, "first latent", k->name);
    compare(logits + 5 * KRASSERM_V, k->last, tolerance, "last latent", k->name);
    double mean = 0;
    for (int i = 0; i < 6; i++) mean += (double)loss[LOSS_COLUMNS * i] / 6;
    close_to(mean, k->loss, tolerance + 3e-7, "loss");

    /* krasserm pads on the left; for us the row is two shorter. */
    tape_reset(&t);
    row = (sequence){.ids = ids + 2, .length = 10};
    tape_read(&t, model_logits(&t, m, model_hidden(&t, m, &in)), logits);
    compare(logits + 5 * KRASSERM_V, k->left_padded, tolerance, "padded", k->name);
    tape_free(&t);
    model_close(m);
}

static void forward(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        backend *be = test_backend(&(backend_options){.precision = on_host() ? F64 : BF16});
        check_case(be, &krasserm_cases[i], test_tolerance(2e-8, 5e-3)); /* bf16: of logits of up to 0.2 */
        be->close(be);
        be = test_backend(&(backend_options){.threads = 2});
        check_case(be, &krasserm_cases[i], 2e-6);
        be->close(be);
    }
}

/* Eight tokens with six latents, then a ninth, for which the oldest latent slides out of the caches. */
static void slide(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        backend *be = test_backend(&(backend_options){.precision = F64});
        decoder own;
        timeline w;
        int32_t ids[9];
        const float *logits;
        for (int j = 0; j < 9; j++) ids[j] = krasserm_token(j);
        model *m = krasserm_model(be, &krasserm_cases[i]);
        must(decoder_open(&own, m, &err));
        must(timeline_open(&w, &own, PCV_SLIDE, 6, 6, &err));
        must(timeline_append(&w, ids, 8, &err));
        must(timeline_logits(&w, &logits, &err));
        must(timeline_append(&w, ids + 8, 1, &err));
        must(timeline_logits(&w, &logits, &err));
        assert_int_equal(timeline_latents(&w), 6);
        compare(logits, krasserm_cases[i].slid, test_tolerance(2e-8, 2e-6), "after a slide", krasserm_cases[i].name);
        timeline_close(&w);
        decoder_close(&own);
        model_close(m);
        be->close(be);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(forward), cmocka_unit_test(slide)};
    return run_on_device(tests, NULL, NULL);
}
