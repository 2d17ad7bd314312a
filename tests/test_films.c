/* Films: folders of frames with sound as documents, rows of several kinds made of them, what is told in pieces; what
 * stands in front of pictures, and where latents begin. */
#include "backends/registry.h"
#include "check.h"
#include "config/settings.h"
#include "data/example.h"
#include "data/patches.h"
#include "eval/outputs.h"
#include "media/picture.h"
#include "media/sound_file.h"
#include "scratch.h"
#include "token/film.h"
#include "token/mulaw.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE = 4, FRAMES = 3, SAMPLES = 5, PIXELS = SIDE * SIDE, COLOURS = PIXELS * 3, AUDIO = 0, IMAGE = 1, LABEL = 2 };

/* A frame whose pixels tell where and when they are. */
static void write_frame(const char *path, int number, int side) {
    picture p;
    must(picture_open(&p, side, side, &err));
    for (int i = 0; i < side * side * 3; i++) p.rgb[i] = (uint8_t)(number * 50 + i);
    must(picture_write(&p, path, &err));
    picture_free(&p);
}

static void write_film(const char *film, int frames, int first) {
    mkdir(at(film), 0777);
    for (int i = 0; i < frames; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/f%02d.png", film, i + 8); /* f08, f09, f10: in the order of their names */
        write_frame(at(name), first + i, SIDE);
    }
}

static void open_films(tokenizer *t, int samples) {
    token_config c;
    fields_default(&token_fields, &c);
    c.size = SIDE;
    c.frames = FRAMES;
    c.samples = samples;
    c.frame_rate = 400; /* with 5 samples a frame 2,000 samples a second */
    must(tokenizer_open(t, "film", &c, &err));
}

static void documents(void **state) {
    (void)state;
    tokenizer t;
    id_list ids = {0};
    float values[FRAMES * COLOURS + FRAMES * SAMPLES], wave[FRAMES * SAMPLES];
    write_film("clip", FRAMES, 0);
    for (int i = 0; i < FRAMES * SAMPLES; i++) wave[i] = (float)sin(i);
    must(sound_write(at("clip.wav"), wave, FRAMES * SAMPLES, 2000, &err));
    open_films(&t, SAMPLES);
    must(t.type->read(&t, at("clip/f08.png"), &ids, &err));
    assert_int_equal(ids.count, t.length);
    for (int i = 0; i < FRAMES * COLOURS; i++)
        assert_int_equal(ids.v[i], t.first + (i / COLOURS * 50 + i % COLOURS) % 256);
    t.type->values(&t, ids.v, ids.count, values);
    close_to((double)values[1], 1.0 / 255, 1e-6, "a colour");
    for (int i = 0; i < FRAMES * SAMPLES; i++)
        close_to((double)values[FRAMES * COLOURS + i], (double)wave[i], 0.03, "a sample");
    ids.count = 0;
    must(t.type->read(&t, at("clip"), &ids, &err)); /* the folder itself */
    assert_int_equal(ids.count, t.length);
    unlink(at("clip.wav"));
    ids.count = 0;
    pcv_error said = {0};
    assert_int_equal(t.type->read(&t, at("clip"), &ids, &said), 0);
    if (!strstr(said.message, "no sound beside the frames")) test_failed("said \"%s\"\n", said.message);
    assert_int_equal(ids.v[ids.count - 1], t.first + mulaw_step(0));
    id_list_free(&ids);
    tokenizer_close(&t);
}

static void no_film(const char *where, const char *why) {
    tokenizer t;
    id_list ids = {0};
    pcv_error reason;
    open_films(&t, 0);
    assert_int_equal(t.type->read(&t, at(where), &ids, &reason), PCV_DATA);
    if (!strstr(reason.message, why)) test_failed("said \"%s\", not \"%s\"\n", reason.message, why);
    id_list_free(&ids);
    tokenizer_close(&t);
}

static void damaged_films(void **state) {
    (void)state;
    write_film("short", FRAMES - 1, 0);
    no_film("short", "2 frames, expected at least 3");
    write_film("mixed", FRAMES, 0);
    write_frame(at("mixed/f09.png"), 1, SIDE + 2);
    no_film("mixed", "6 x 6 pixels, but the film's first frame has 4 x 4");
    write_film("broken", FRAMES, 0);
    must(file_write(at("broken/f10.png"), "no picture", 10, &err));
    no_film("broken", "broken/f10.png");
}

/* ------------------------------------------------------------------ data sets */

/* A folder of films by class, of which some have the same first frame. */
static void prepare_films(dataset **d) {
    static const char *const classes[] = {"left", "right"};
    mkdir(at("set"), 0777);
    for (int k = 0; k < 2; k++) {
        char name[64];
        snprintf(name, sizeof name, "set/%s", classes[k]);
        mkdir(at(name), 0777);
        for (int n = 0; n < 6; n++) {
            snprintf(name, sizeof name, "set/%s/clip%d", classes[k], n);
            write_film(name, FRAMES, 0);
            snprintf(name, sizeof name, "set/%s/clip%d/f10.png", classes[k], n);
            write_frame(at(name), 3 + 6 * k + n, SIDE);
        }
    }
    write_film("set/left/again", FRAMES, 0); /* all frames are those of another */
    write_frame(at("set/left/again/f10.png"), 3, SIDE);
    write_film("set/left/short", 1, 0);
    static char from[256], made[256];
    snprintf(from, sizeof from, "%s", at("set"));
    snprintf(made, sizeof made, "%s", at("made"));
    const char *inputs[] = {from, NULL};
    pcv_settings *s;
    pcv_prepare_report report;
    must(pcv_settings_open(&s, &err));
    must(pcv_settings_set(s, "size", "4", &err));
    must(pcv_settings_set(s, "frames", "3", &err));
    pcv_prepare_options o = {.kind = "video", .inputs = inputs, .labels = "folders", .output = made, .settings = s,
                             .split_percent = "50,25,25", .seed = 1};
    must(pcv_prepare(&o, NULL, &report, &err));
    assert_int_equal(report.documents[0] + report.documents[1] + report.documents[2], 12);
    assert_int_equal(report.skipped, 2);
    pcv_settings_close(s);
    must(dataset_open(d, made, 1, &err));
}

static void data_sets(void **state) {
    (void)state;
    dataset *d;
    prepare_films(&d);
    assert_int_equal(d->classes, 2);
    assert_string_equal(d->class_name[0], "left");
    for (int s = 0; s < SPLITS; s++)
        for (int64_t k = 0; k < dataset_documents(d, (split_name)s); k++) {
            int32_t id;
            must(dataset_read(d, (split_name)s, k, 1 + 2 * COLOURS, 1, &id, &err));
            /* the last frames of the first class begin with 150, 200, 250, 300, 350 and 400, modulo 256 */
            int value = id - d->tokens.first, left = 0;
            for (int n = 3; n < 9; n++) left |= n * 50 % 256 == value;
            assert_int_equal(d->type->label(d, (split_name)s, k), !left);
            assert_int_equal(dataset_length(d, (split_name)s, k), 1 + FRAMES * COLOURS);
        }
    dataset_close(d);
}

/* ------------------------------------------------------------------ rows */

#define FILMS "architecture=perceiver-io latents=3 channels=16 heads=2 layers=1 image.asked=7 image.bands=2 "         \
              "audio.features=8 audio.bands=2 audio.asked=3 label.hidden=0.5 label.query_channels=6"

/* A model of the published dialect; d: the data that it is made for, or NULL. */
static model *open_model(backend *be, const dataset *d, const char *changes, bool grads) {
    model_config c;
    pcv_settings *s;
    model *m = NULL;
    must(pcv_settings_open(&s, &err));
    must(pcv_settings_set(s, "dialect", "deepmind", &err));
    must(settings_model(s, &c, &err));
    must(settings_apply_list(changes, &model_fields, "", &c, &err));
    if (d) must(dataset_shape(d, s, &c, &err));
    must(model_open(&m, &c, be, grads, &err));
    must(model_init(m, 7, &err));
    pcv_settings_close(s);
    return m;
}

/* Training asks for some places, one of each stretch, and hides the class at times; else all is asked for, and it is
 * hidden always. */
static void rows(void **state) {
    (void)state;
    backend *be;
    dataset *d;
    example_rows some, all;
    train_config c;
    must(backend_open(&be, "cpu", &(backend_options){.threads = 1}, &err));
    must(dataset_open(&d, "films:8", 1, &err));
    fields_default(&train_fields, &c);
    model *m = open_model(be, d, FILMS, false);
    must(example_rows_open(&some, m, 64, m->config.context, true, &err));
    must(example_rows_open(&all, m, 1, m->config.context, false, &err));
    assert_int_equal(some.outputs, 7 + 3 + 1);
    assert_int_equal(all.outputs, 4 * 64 + 8 + 1);
    int hidden = 0;
    bool same = true;
    for (int64_t i = 0; i < 64; i++) {
        window w = example_at(d, SPLIT_TRAIN, &m->config, i);
        w.variant = (uint64_t)i * 77 + 5;
        must(example_rows_read(&some, d, SPLIT_TRAIN, &w, &c, &err));
        const modality_row *part = some.row[i].part;
        for (int k = 0; k < 7; k++) {
            assert_in_range(part[IMAGE].asked[k], k * 256 / 7, (k + 1) * 256 / 7 - 1);
            same = same && part[IMAGE].asked[k] == some.row[0].part[IMAGE].asked[k];
        }
        all.count = 0;
        must(example_rows_read(&all, d, SPLIT_TRAIN, &w, NULL, &err));
        const modality_row *whole = all.row[0].part;
        for (int k = 0; k < 7; k++)
            assert_memory_equal(part[IMAGE].numbers + 3 * k, whole[IMAGE].numbers + 3 * part[IMAGE].asked[k],
                                3 * sizeof(float));
        hidden += part[LABEL].hidden[0];
        assert_int_equal(whole[LABEL].hidden[0], 1);
        assert_int_equal(part[LABEL].wanted[0], d->type->label(d, SPLIT_TRAIN, i));
        close_to((double)part[LABEL].features[part[LABEL].wanted[0]], 1, 0, "the class");
        assert_int_equal(part[IMAGE].hidden[0], 0);
    }
    assert_false(same);
    assert_in_range(hidden, 16, 48);
    example_rows_close(&some);
    example_rows_close(&all);
    model_close(m);
    dataset_close(d);
    be->close(be);
}

/* ------------------------------------------------------------------ outputs in pieces */

typedef struct heard {
    float values[MODALITIES][4096];
} heard;

static void keep(void *context, int kind, int64_t first, int64_t count, const float *values) {
    heard *h = context;
    const int64_t K = kind == IMAGE ? 3 : kind == AUDIO ? 8 : 4;
    memcpy(h->values[kind] + first * K, values, (size_t)(count * K) * sizeof *values);
}

/* What is told in pieces, from what was encoded, is what one pass over everything says. */
static void pieces(void **state) {
    (void)state;
    static heard h;
    static float y[4096];
    backend *be;
    dataset *d;
    example_rows rows;
    tape t;
    must(backend_open(&be, "cpu", &(backend_options){.threads = 1}, &err));
    must(dataset_open(&d, "films:8", 1, &err));
    model *m = open_model(be, d, FILMS, false);
    must(example_rows_open(&rows, m, 1, m->config.context, false, &err));
    window w = example_at(d, SPLIT_TEST, &m->config, 3);
    must(example_rows_read(&rows, d, SPLIT_TEST, &w, NULL, &err));
    must(tape_init(&t, be, 0, &err));
    must(outputs_tell(m, &t, rows.row, m->config.latents, 0, keep, &h, &err));
    for (int k = 0; k < MODALITIES; k++) {
        tape_begin(&t);
        pass p = example_rows_pass(&rows, m->config.latents);
        tensor *out = model_part_outputs(&t, m, model_hidden(&t, m, &p), &p, k);
        int64_t count = out->m.rows * out->m.cols;
        tape_read(&t, out, y);
        must(tape_end(&t, "to test", &err));
        for (int64_t i = 0; i < count; i++) close_to((double)h.values[k][i], (double)y[i], 2e-5, modality_names[k]);
    }
    example_rows_close(&rows);
    tape_free(&t);
    model_close(m);
    dataset_close(d);
    be->close(be);
}

/* The same where the inputs are what is asked with: those alone are read again. */
static void motions_in_pieces(void **state) {
    (void)state;
    enum { ALL = 64 };
    float x[ALL * 2], y[4 * 2];
    int32_t asked[4] = {63, 0, 17, 18};
    float encoded[3 * 16];
    backend *be;
    dataset *d;
    example_rows rows;
    tape t;
    must(backend_open(&be, "cpu", &(backend_options){.threads = 1}, &err));
    must(dataset_open(&d, "sprites:8", 1, &err));
    model *m = open_model(be, d, "architecture=perceiver-io latents=3 channels=16 heads=2 layers=1 positions.bands=2 "
                                 "positions.kind=fourier decoder.query=inputs", false);
    must(example_rows_open(&rows, m, 1, m->config.context, false, &err));
    window w = example_at(d, SPLIT_TEST, &m->config, 3);
    must(example_rows_read(&rows, d, SPLIT_TEST, &w, NULL, &err));
    must(tape_init(&t, be, 0, &err));
    for (int pass_number = 0; pass_number < 4; pass_number++) {
        sequence row = rows.row[0];
        tape_begin(&t);
        if (pass_number >= 2) row.asked = asked, row.wanted = NULL;
        pass p = pass_over(m, &row, 1, 3);
        p.only_latents = pass_number == 1;
        p.outputs = pass_number >= 2 ? 4 : 0;
        p.encoded = pass_number == 3 ? encoded : NULL;
        tensor *out = model_hidden(&t, m, &p);
        if (pass_number != 1) out = model_logits(&t, m, out);
        tape_read(&t, out, pass_number == 0 ? x : pass_number == 1 ? encoded : y);
        must(tape_end(&t, "to test", &err));
        for (int i = 0; i < 8 && pass_number >= 2; i++)
            close_to((double)y[i], (double)x[asked[i / 2] * 2 + i % 2], 2e-5, "a motion");
    }
    example_rows_close(&rows);
    tape_free(&t);
    model_close(m);
    dataset_close(d);
    be->close(be);
}

/* ------------------------------------------------------------------ in front of pictures */

static void windows_of_pixels(void **state) {
    (void)state;
    const film_shape shape = {1, 4, 6, 1};
    float numbers[24], out[6 * 49];
    for (int i = 0; i < 24; i++) numbers[i] = (float)(i + 1);
    patches_windows(numbers, &shape, 7, out);
    /* the first window begins two rows above and two columns left of the first pixel */
    close_to((double)out[2 * 7 + 2], 1, 0, "its first pixel");
    close_to((double)out[1 * 7 + 2], 0, 0, "above");
    close_to((double)out[3 * 7 + 6], 11, 0, "second row, fifth column");
    /* the second one two columns on, and the fourth two rows down */
    close_to((double)out[49 + 2 * 7 + 2], 3, 0, "two columns on");
    close_to((double)out[3 * 49 + 2 * 7 + 2], 13, 0, "two rows down");
    close_to((double)out[5 * 49 + 6 * 7 + 6], 0, 0, "beyond the end");
}

/* Averages of what training saw are what passes without training take. */
static void stem_averages(void **state) {
    (void)state;
    backend *be;
    tape t;
    float features[4 * 588], before[4], after[4], still[4];
    int32_t wanted = 1;
    must(backend_open(&be, "cpu", &(backend_options){.threads = 1}, &err));
    model *m = open_model(be, NULL, "architecture=perceiver-io context=4 input_features=588 convolution=4 outputs=3 "
                                    "latents=2 channels=8 heads=2 layers=1 positions.kind=fourier positions.axes=2,2 "
                                    "positions.bands=2", true);
    int64_t counted = 0;
    for (int i = 0; i < m->params.names; i++) {
        parameter_slice p = parameters_slice(&m->params, i);
        if (strcmp(p.name, "input.norm.mean") && strcmp(p.name, "input.norm.variance")) counted += p.rows * p.cols;
    }
    assert_int_equal(m->params.total, counted);
    for (int i = 0; i < 4 * 588; i++) features[i] = (float)(i * 37 % 101) / 50 - 1;
    sequence row = {.features = features, .length = 4, .wanted = &wanted};
    must(tape_init(&t, be, 0, &err));
    parameter_slice mean = parameters_slice(&m->params, parameters_find(&m->params, "input.norm.mean"));
    matrix values = parameters_values(&m->params, &mean.owner->t);
    for (int step = 0; step < 3; step++) {
        tape_begin(&t);
        t.training = t.recording = step == 1;
        pass p = pass_over(m, &row, 1, 2);
        tensor *y = model_hidden(&t, m, &p);
        if (step == 1) tape_backward(&t, model_loss(&t, m, y, &p, &(loss_spec){.scale = 1}));
        must(tape_end(&t, "to test", &err));
        backend_read_floats(be, step == 0 ? before : step == 1 ? after : still, &values);
    }
    for (int i = 0; i < 4; i++) close_to((double)before[i], 0, 0, "an average before");
    assert_true(fabsf(after[0]) > 1e-6f);
    assert_memory_equal(after, still, sizeof after);
    assert_false(mean.owner->t.grad_written);
    tape_free(&t);
    model_close(m);
    be->close(be);
}

#define PLACES "architecture=perceiver-io context=64 input_features=3 outputs=3 latents=9 channels=48 heads=2 layers=1 " \
               "positions.kind=fourier positions.bands=16 decoder.query=fourier "

/* Latents that begin at places look around these, and only with that. */
static void latents_at_places(void **state) {
    (void)state;
    enum { M = 64, N = 9 };
    static float features[M * 3], map[N * M];
    for (int i = 0; i < M * 3; i++) features[i] = (float)(i * 29 % 53) / 26 - 1;
    for (int at_places = 0; at_places < 2; at_places++) {
        static const char *const places[] = {PLACES "encoder.places=false", PLACES "encoder.places=true"};
        backend *be;
        tape t;
        int near = 0;
        must(backend_open(&be, "cpu", &(backend_options){.threads = 1}, &err));
        model *m = open_model(be, NULL, places[at_places], false);
        must(tape_init(&t, be, 0, &err));
        sequence row = {.features = features, .length = M};
        attention_map asked = {{.every = 1, .rows = N, .bins = M, .span = M}, map};
        pass p = pass_over(m, &row, 1, N);
        p.map = &asked;
        p.only_latents = true;
        tape_begin(&t);
        model_hidden(&t, m, &p);
        backend_finish(be);
        must(tape_end(&t, "to test", &err));
        for (int j = 0; j < N; j++) {
            int most = 0;
            for (int i = 1; i < M; i++)
                if (map[j * M + i] > map[j * M + most]) most = i;
            near += abs(most - j * (M - 1) / (N - 1)) <= 1 && map[j * M + most] > 4.0f / M;
        }
        if (at_places) assert_int_equal(near, N);
        else assert_in_range(near, 0, N / 2);
        tape_free(&t);
        model_close(m);
        be->close(be);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents), cmocka_unit_test(damaged_films), cmocka_unit_test(data_sets),
        cmocka_unit_test(rows), cmocka_unit_test(pieces), cmocka_unit_test(motions_in_pieces),
        cmocka_unit_test(windows_of_pixels), cmocka_unit_test(stem_averages),
        cmocka_unit_test(latents_at_places)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
