/* Parity with the published code of Perceiver and Perceiver IO (google-deepmind/deepmind-research, folder perceiver):
 * forward passes, losses and gradients against numbers of a program in double precision that agrees with it to 2e-14,
 * for weights and inputs that a hash of their names defines. In double to the printed digits, in float to 2e-5. */
#include "config/settings.h"
#include "data/patches.h"
#include "device.h"
#include "nn/positions.h"
#include "published.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENCODER "perceiver_encoder/~"
#define CLASSES "classification_decoder/~/basic_decoder"
#define BASIC   "basic_decoder"
#define FLOW    "flow_decoder/~/basic_decoder"
#define STEM    "image_preprocessor/~/conv2_d_downsample/~/"
#define FILM    "multimodal_decoder/~/basic_decoder"

/* What a case reads. */
typedef enum given { GIVEN_VECTORS, GIVEN_IDS, GIVEN_IMAGE, GIVEN_VIDEO, GIVEN_FRAMES, GIVEN_FILM, GIVEN_LARGE } given;
/* What it is compared with. */
typedef enum shown { SHOWN_LATENTS, SHOWN_HIDDEN, SHOWN_OUTPUTS, SHOWN_AUDIO, SHOWN_IMAGE, SHOWN_LABEL } shown;

typedef struct fixture {
    const char *name, *changes;
    const char *decoder; /* published path of what lies behind the latents */
    given given;
    shown shown;
    int inputs[2]; /* of each row that are real */
    double scale;  /* of the outputs */
    double sum, squares, weighted, first[3], last[2];
} fixture;

#define BASE     "context=7 latents=5 channels=12 heads=3 cross_heads=1 layers=2 mlp_ratio=1 cross_mlp_ratio=1 "
#define VECTORS  BASE "architecture=perceiver input_features=10 outputs=4 "
#define ASKED    BASE "architecture=perceiver-io input_features=10 outputs=4 decoder.queries=1 "
#define BASIC_3  BASE "architecture=perceiver-io input_features=10 outputs=3 decoder.queries=6 decoder.channels=8 decoder.heads=2 "
#define FOURIER  "positions.kind=fourier positions.bands=2 "
#define PICTURE  BASE "architecture=perceiver-io context=20 input_features=3 outputs=4 decoder.queries=1 "
#define MASKED   "architecture=perceiver-io vocab_size=17 context=7 latents=5 channels=12 input_channels=8 heads=2 " \
                 "cross_heads=2 layers=2 mlp_ratio=1 cross_mlp_ratio=1 encoder.qk_channels=4 encoder.v_channels=12 " \
                 "positions.kind=learned positions.join=add tied_embeddings=true output_bias=true decoder.queries=0 " \
                 "decoder.channels=8 decoder.heads=2 decoder.qk_channels=4 decoder.v_channels=8 "
#define LEARNED  PICTURE "input_channels=6 positions.kind=learned positions.channels=6 positions.projected=4 "
#define FILMS    "architecture=perceiver-io latents=6 channels=12 heads=2 cross_heads=1 layers=2 mlp_ratio=1 " \
                 "cross_mlp_ratio=1 tied_embeddings=false loss=absolute outputs=8 decoder.heads=1 modality_padding=4 " \
                 "audio.features=3 audio.axes=4 audio.grid=4 audio.outputs=3 audio.bands=2 audio.resolution=12 " \
                 "image.features=12 image.axes=2,2,2 image.grid=2,4,4 image.outputs=3 image.bands=2 image.resolution=4,6,6 " \
                 "label.features=5 label.outputs=5 label.query_channels=9 "
#define BLOCKS(n, crosses) "encoder.blocks=" #n " encoder.cross_attends=" #crosses " "
#define ALL      {7, 7}

static const fixture fixtures[] = {
    {"P1 encoder", VECTORS, ENCODER, GIVEN_VECTORS, SHOWN_LATENTS, ALL, 1, 46.343102, 534.392347, 272.078827, {2.048294, -0.230334, 0.831655}, {-0.589853, 1.376642}},
    {"P2 three shared blocks", VECTORS "encoder.blocks=3 ", ENCODER, GIVEN_VECTORS, SHOWN_LATENTS, ALL, 1, 100.501110, 2797.296972, 560.535716, {2.840640, -1.887002, 1.094934}, {0.612727, 2.342218}},
    {"P3 no query residual", VECTORS "query_residual=false ", ENCODER, GIVEN_VECTORS, SHOWN_LATENTS, ALL, 1, 7.163985, 433.507062, 74.616749, {1.937424, 1.148824, -1.708800}, {-0.385994, 0.143789}},
    {"P4 widths", VECTORS "cross_heads=2 heads=2 encoder.qk_channels=8 encoder.v_channels=12 cross_mlp_ratio=2 mlp_ratio=3 ", ENCODER, GIVEN_VECTORS, SHOWN_LATENTS, ALL, 1, 17.434033, 683.078233, 65.856088, {-1.365511, -0.226894, 0.612513}, {-1.177393, 4.065878}},
    {"P5 width of the latents", VECTORS "cross_width=latent cross_heads=2 ", ENCODER, GIVEN_VECTORS, SHOWN_LATENTS, ALL, 1, 36.414371, 745.842413, 170.455318, {1.325755, 0.282277, -0.114864}, {-1.822178, 1.079460}},
    {"P6 input mask", VECTORS, ENCODER, GIVEN_VECTORS, SHOWN_LATENTS, {7, 4}, 1, 36.703926, 548.821247, 209.718533, {2.048294, -0.230334, 0.831655}, {0.291637, 1.806416}},
    {"P7 nothing to see", VECTORS, ENCODER, GIVEN_VECTORS, SHOWN_LATENTS, {7, 0}, 1, 29.328966, 439.790538, 201.990104, {2.048294, -0.230334, 0.831655}, {-0.871374, 1.570055}},
    {"P8 all shared", VECTORS BLOCKS(2, 2) "encoder.share_first_cross=true ", NULL, GIVEN_VECTORS, SHOWN_LATENTS, ALL, 1, 45.977223, 604.946735, 239.698722, {-0.160384, -3.529018, -2.960769}, {-3.179467, -0.088637}},
    {"P9 as in 2021", VECTORS BLOCKS(3, 3), NULL, GIVEN_VECTORS, SHOWN_LATENTS, ALL, 1, 167.241451, 1966.390330, 735.000785, {3.795476, -8.933213, -2.972035}, {-4.305556, 3.413723}},
    {"P10 two cross-attentions", VECTORS BLOCKS(3, 2), NULL, GIVEN_VECTORS, SHOWN_LATENTS, ALL, 1, 126.732965, 1559.603620, 549.408605, {2.884378, -6.453518, -3.407782}, {-3.726621, 3.595542}},
    {"P10b own first block", VECTORS BLOCKS(3, 3) "encoder.share_first_block=false ", NULL, GIVEN_VECTORS, SHOWN_LATENTS, ALL, 1, 133.718169, 1252.504524, 631.604698, {1.484411, -5.975103, -2.287137}, {0.032631, 0.225201}},
    {"P11 mean", VECTORS, "projection_decoder/~/logits", GIVEN_VECTORS, SHOWN_OUTPUTS, ALL, 1, 3.295163, 15.768510, 16.055423, {-0.795679, 0.188399, 1.286391}, {2.864144, 1.225278}},
    {"P12 a query", ASKED, CLASSES, GIVEN_VECTORS, SHOWN_OUTPUTS, ALL, 1, -2.249232, 7.449547, -6.487573, {0.235961, 0.198452, -1.649929}, {1.410641, -0.414393}},
    {"P13 with residual", ASKED "decoder.residual=true ", CLASSES, GIVEN_VECTORS, SHOWN_OUTPUTS, ALL, 1, -3.006174, 9.827679, -12.272826, {0.746523, 0.036302, -2.566625}, {0.502342, -0.360770}},
    {"P13e exact gelu", ASKED "decoder.residual=true activation=gelu ", CLASSES, GIVEN_VECTORS, SHOWN_OUTPUTS, ALL, 1, -3.006695, 9.824930, -12.273640, {0.746295, 0.035811, -2.566203}, {0.502292, -0.360795}},
    {"P14 six queries", BASIC_3, BASIC, GIVEN_VECTORS, SHOWN_OUTPUTS, ALL, 1, 16.113172, 13.448371, 62.139419, {-0.152494, 1.093208, 0.421951}, {0.878455, 0.288241}},
    {"P15 with residual", BASIC_3 "decoder.residual=true ", BASIC, GIVEN_VECTORS, SHOWN_OUTPUTS, ALL, 1, 24.425802, 45.955577, 90.039997, {0.135140, 2.338280, 0.146390}, {2.320642, 0.777408}},
    {"P16 widths of the decoder", BASIC_3 "decoder.qk_channels=4 decoder.v_channels=8 ", BASIC, GIVEN_VECTORS, SHOWN_HIDDEN, ALL, 1, 25.453076, 62.149755, 97.603981, {1.362973, 0.583981, 0.487472}, {0.468795, 0.260439}},
    {"P17 fourier queries", BASIC_3 "decoder.query=fourier decoder.axes=2,3 positions.bands=2 decoder.heads=1 ", BASIC, GIVEN_VECTORS, SHOWN_OUTPUTS, ALL, 1, 2.721332, 4.600051, 9.470682, {-0.199870, 0.674714, 0.141900}, {-0.052748, -0.287669}},
    {"P18 masked language model", MASKED, BASIC, GIVEN_IDS, SHOWN_OUTPUTS, {7, 4}, 1, 11.790851, 295.328348, 88.534497, {-0.740269, -0.587561, 0.607275}, {-0.195412, -0.348763}},
    {"P18n without masks", MASKED, BASIC, GIVEN_IDS, SHOWN_OUTPUTS, ALL, 1, 23.117324, 200.147512, 132.478038, {-0.740269, -0.587561, 0.607275}, {-0.260138, 0.556292}},
    {"P18e exact gelu", MASKED "activation=gelu ", BASIC, GIVEN_IDS, SHOWN_OUTPUTS, {7, 4}, 1, 11.806867, 295.257088, 88.592228, {-0.740268, -0.587314, 0.606574}, {-0.195521, -0.348809}},
    {"P19 pixels", PICTURE FOURIER "positions.axes=4,5 decoder.residual=true ", CLASSES, GIVEN_IMAGE, SHOWN_OUTPUTS, {20, 20}, 1, -1.292830, 4.512680, -3.677035, {-0.275613, -1.637004, 0.918264}, {0.185119, 0.194296}},
    {"P20 learned positions", LEARNED, CLASSES, GIVEN_IMAGE, SHOWN_OUTPUTS, {20, 20}, 1, 0.125423, 3.756965, 3.927493, {-0.300230, -1.038587, 1.093129}, {1.016684, 0.066236}},
    {"P20r with residual", LEARNED "decoder.residual=true ", CLASSES, GIVEN_IMAGE, SHOWN_OUTPUTS, {20, 20}, 1, -1.208916, 2.354742, -2.849334, {0.165025, -1.165614, 0.410328}, {0.248350, -0.261161}},
    {"P21 convolution", PICTURE FOURIER "context=6 input_features=588 convolution=6 positions.axes=2,3 positions.resolution=4,6 decoder.residual=true ", CLASSES, GIVEN_LARGE, SHOWN_OUTPUTS, {6, 6}, 1, -4.261467, 9.307723, -13.100818, {-0.662950, -1.948267, 0.726873}, {0.687390, -0.350495}},
    {"P22 blocks of a film", PICTURE FOURIER "context=4 input_features=24 positions.axes=2,2 decoder.residual=true ", CLASSES, GIVEN_VIDEO, SHOWN_OUTPUTS, {4, 4}, 1, -2.426530, 9.068468, -6.535038, {0.074215, -0.394668, 1.051247}, {1.413067, -1.171687}},
    {"P23 flow", PICTURE FOURIER "input_features=54 input_channels=6 positions.axes=4,5 outputs=2 decoder.query=inputs loss=end_point output_scale=0.2 ", FLOW, GIVEN_FRAMES, SHOWN_OUTPUTS, {20, 20}, 0.2, -3.357950, 1.008413, -12.395390, {0.030850, -0.062760, -0.071089}, {0.077563, -0.248095}},
    {"P24c film, audio", FILMS, FILM, GIVEN_FILM, SHOWN_AUDIO, {13, 13}, 1, -7.757786, 11.803265, -31.057060, {-1.532970, 0.375475, -1.232309}, {0.281133, -0.604062}},
    {"P24d film, video", FILMS, FILM, GIVEN_FILM, SHOWN_IMAGE, {13, 13}, 1, -5.319752, 43.767104, -20.003088, {-0.888902, 1.906693, -1.610286}, {1.327718, -1.238336}},
    {"P24e film, label", FILMS, FILM, GIVEN_FILM, SHOWN_LABEL, {13, 13}, 1, 3.482537, 4.190490, 12.841911, {0.306511, 1.668988, 0.190104}, {0.045329, -0.064201}},
};

/* ------------------------------------------------------------------ names */

static const fixture *now; /* the case whose names are asked for */

/* Where a block of ours stands in the published program, and whether it looks at something else. */
static bool block_path(const char *ours, char *path, size_t size, bool *cross) {
    const char *layer = strstr(ours, "layers.");
    long l = layer ? strtol(layer + 7, NULL, 10) : 0;
    bool first = !strncmp(ours, "first_", 6), shared = !strstr(now->changes, "share_first_block=false");
    *cross = !layer;
    if (!strncmp(ours, "decoder.cross.", 14)) snprintf(path, size, "%s/cross_attention", now->decoder);
    else if (!layer && strncmp(ours, "cross", 5)) return false;
    else if (now->decoder && layer && l) snprintf(path, size, ENCODER "/self_attention_%ld", l);
    else if (now->decoder) snprintf(path, size, ENCODER "/%s", layer ? "self_attention" : "cross_attention");
    else if (layer) snprintf(path, size, "block_%s_layer_%ld", first || shared ? "1" : "n", l);
    else snprintf(path, size, "cross_%s", strncmp(ours, "cross_again", 11) ? "1" : "n");
    return true;
}

/* The published name of what stands outside of blocks. */
static void other_path(const char *ours, char *path, size_t size) {
    bool flow = now->given == GIVEN_FRAMES, ids = now->given == GIVEN_IDS, mean = now->shown == SHOWN_OUTPUTS &&
                !strncmp(now->decoder, "projection", 10);
    const struct {
        const char *ours, *published;
    } names[] = {
        {"latents.weight", now->decoder ? ENCODER "/trainable_position_encoding:pos_embs" : "latents:pos_embs"},
        {"token_embedding.weight", "embed:embeddings"},
        {"output.bias", "embedding_decoder:bias"},
        {"position_embedding.0.weight",
         ids ? "trainable_position_encoding:pos_embs"
             : "image_preprocessor/~_build_network_inputs/trainable_position_encoding:pos_embs"},
        {"input.linear.", flow ? "image_preprocessor/patches_linear" : "image_preprocessor/~/conv2_d"},
        {"input.position_projection.", "image_preprocessor/~_build_network_inputs/position_encoding_projector/linear"},
        {"input.convolution.weight", STEM "conv:w"},
        {"input.norm.weight", STEM "batchnorm:scale"},
        {"input.norm.bias", STEM "batchnorm:offset"},
        {"input.norm.mean", STEM "batchnorm/~/mean_ema:average"},
        {"input.norm.variance", STEM "batchnorm/~/var_ema:average"},
        {"decoder.query.weight", "=/~/trainable_position_encoding:pos_embs"},
        {"decoder.query_projection.", "=/~/position_encoding_projector/linear"},
        {"decoder.output.", mean ? "=" : "=/output"},
        {"input.audio.padding", "multimodal_preprocessor/audio_padding:pos_embs"},
        {"input.image.padding", "multimodal_preprocessor/image_padding:pos_embs"},
        {"input.label.padding", "multimodal_preprocessor/label_padding:pos_embs"},
        {"input.audio.mask", "multimodal_preprocessor/audio_mask_token:pos_embs"},
        {"input.image.mask", "multimodal_preprocessor/image_mask_token:pos_embs"},
        {"input.label.mask", "multimodal_preprocessor/label_mask_token:pos_embs"},
        {"decoder.audio.padding", "multimodal_decoder/~decoder_query/audio_padding:pos_embs"},
        {"decoder.image.padding", "multimodal_decoder/~decoder_query/image_padding:pos_embs"},
        {"decoder.label.padding", "multimodal_decoder/~decoder_query/label_padding:pos_embs"},
        {"decoder.label.query", CLASSES "/~/trainable_position_encoding:pos_embs"},
        {"decoder.audio.output.", "audio_postprocessor/linear"},
        {"decoder.image.output.", "projection_postprocessor/linear"},
        {"decoder.label.output.", "classification_postprocessor/linear"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(ours, names[i].ours, strlen(names[i].ours))) continue;
        const char *behind = names[i].published, *rest = ours + strlen(names[i].ours);
        const char *kind = !strcmp(rest, "weight") ? ":w" : !strcmp(rest, "bias") ? ":b" : "";
        bool decoder = *behind == '=';
        snprintf(path, size, "%s%s%s", decoder ? now->decoder ? now->decoder : "none" : "", behind + decoder, kind);
        return;
    }
    test_failed("no published name for %s\n", ours);
}

static const renaming *published_name(const model *m, const char *ours) {
    static const char *const maps[][2] = {{"attention.query.", "/attention/linear"}, {"attention.key.", "/attention/linear_1"},
                                          {"attention.value.", "/attention/linear_2"}, {"attention.output.", "/attention/linear_3"},
                                          {"mlp.up.", "/mlp/linear"}, {"mlp.down.", "/mlp/linear_1"}};
    static char path[256];
    static renaming out;
    char block[128];
    bool cross, bias = strstr(ours, ".bias") != NULL, norm = strstr(ours, "norm.") != NULL;
    (void)m;
    out = (renaming){ours, path, false};
    if (!block_path(ours, block, sizeof block, &cross)) {
        other_path(ours, path, sizeof path);
        out.transposed = strchr(path, ':') && !strcmp(strchr(path, ':'), ":w");
        return &out;
    }
    const char *which = strstr(ours, "mlp_norm") ? cross ? "_2" : "_1" : strstr(ours, "input_norm") ? "_1" : "";
    if (norm) snprintf(path, sizeof path, "%s/layer_norm%s:%s", block, which, bias ? "offset" : "scale");
    for (int i = 0; i < 6 && !norm; i++)
        if (strstr(ours, maps[i][0])) snprintf(path, sizeof path, "%s%s:%s", block, maps[i][1], bias ? "b" : "w");
    out.transposed = !norm && !bias;
    return &out;
}

/* ------------------------------------------------------------------ inputs */

enum { MOST_VALUES = 4096 };

static void values_of(const char *name, float *out, int count) {
    for (int i = 0; i < count; i++) out[i] = published_value(name, 1, (uint32_t)i);
}

static const int32_t token_ids[2][7] = {{4, 9, 3, 12, 3, 7, 16}, {4, 10, 3, 5, 0, 0, 0}};
static const int32_t masked[2][7] = {{-1, -1, 11, -1, 8, -1, -1}, {-1, -1, 13, -1, -1, -1, -1}};
static const int32_t classes[2] = {2, 0};

/* What is asked of films: two pieces of sound, four pixels and the class; `hidden` hides what the class is. */
static const int64_t asked_of_films[MODALITIES] = {2, 4, 1};

static const modality_row *film_of(int r) {
    static const int32_t pieces[2] = {0, 3}, pixels[4] = {0, 5, 17, 31}, counts[4] = {0};
    static const uint8_t is_hidden[1] = {1};
    static float sound[2][4 * 3], video[2][2 * 4 * 4 * 3], blocks[2][8 * 12], label[5], heard[2][2 * 3], seen[2][4 * 3];
    static modality_row film[2][MODALITIES];
    static float all[2 * 2 * 4 * 4 * 3];
    const film_shape shape = {2, 4, 4, 3};
    values_of("input:audio", all, 2 * 12);
    memcpy(sound[r], all + r * 12, sizeof sound[r]);
    values_of("input:video", all, 2 * 2 * 4 * 4 * 3);
    memcpy(video[r], all + r * 96, sizeof video[r]);
    patches_blocks(video[r], &shape, 1, 2, blocks[r]);
    for (int i = 0; i < 2; i++) memcpy(heard[r] + i * 3, sound[r] + pieces[i] * 3, 3 * sizeof(float));
    for (int i = 0; i < 4; i++) memcpy(seen[r] + i * 3, video[r] + pixels[i] * 3, 3 * sizeof(float));
    film[r][0] = (modality_row){.features = sound[r], .asked = pieces, .wanted = counts, .numbers = heard[r]};
    film[r][1] = (modality_row){.features = blocks[r], .asked = pixels, .wanted = counts, .numbers = seen[r]};
    film[r][2] = (modality_row){.features = label, .hidden = is_hidden, .wanted = &classes[r]};
    return film[r];
}

/* Two rows, and what they are to become. */
static void rows_of(const fixture *f, int64_t features, sequence rows[2]) {
    static float raw[MOST_VALUES], made[2][MOST_VALUES]; /* read by the passes that follow */
    static int32_t first_output[2][32]; /* of all outputs that a row may have, the first is a class */
    static float motion[2 * 20 * 2];
    int length = f->given == GIVEN_LARGE ? 6 : f->given == GIVEN_VIDEO ? 4 : f->given == GIVEN_IMAGE || f->given == GIVEN_FRAMES ? 20 : 7;
    if (f->given == GIVEN_FILM) {
        for (int r = 0; r < 2; r++) rows[r] = (sequence){.length = 13, .part = film_of(r)};
        return;
    }
    if (f->given == GIVEN_VECTORS) values_of("input:x", raw, 2 * 7 * 10);
    if (f->given == GIVEN_IMAGE) values_of("input:image", raw, 2 * 20 * 3);
    if (f->given == GIVEN_LARGE) values_of("input:image8", raw, 2 * 8 * 12 * 3);
    if (f->given == GIVEN_VIDEO) values_of("input:video", raw, 2 * 2 * 4 * 4 * 3);
    if (f->given == GIVEN_FRAMES) values_of("input:frames", raw, 2 * 2 * 4 * 5 * 3);
    for (int r = 0; r < 2; r++) {
        const film_shape video = {2, 4, 4, 3}, frames = {2, 4, 5, 3}, large = {1, 8, 12, 3};
        if (f->given == GIVEN_LARGE) patches_windows(raw + r * 8 * 12 * 3, &large, 7, made[r]);
        else        if (f->given == GIVEN_VIDEO) patches_blocks(raw + r * 2 * 4 * 4 * 3, &video, 2, 2, made[r]);
        else if (f->given == GIVEN_FRAMES) patches_around(raw + r * 2 * 4 * 5 * 3, &frames, made[r]);
        else memcpy(made[r], raw + r * length * features, (size_t)(length * features) * sizeof(float));
        for (int i = 0; i < 32; i++) first_output[r][i] = i ? -1 : classes[r];
        rows[r] = (sequence){.length = length, .padding = length - f->inputs[r], .features = made[r],
                             .wanted = f->given == GIVEN_IDS ? masked[r] : first_output[r]};
        if (f->given == GIVEN_IDS) rows[r].ids = token_ids[r];
        if (f->given != GIVEN_FRAMES) continue;
        rows[r].numbers = motion + r * 20 * 2;
        for (int i = 0; i < 20; i++) first_output[r][i] = 0; /* each counts */
    }
    if (f->given == GIVEN_FRAMES) values_of("input:flow", motion, 2 * 20 * 2);
    for (int i = 0; i < 2 * 20 * 2 && f->given == GIVEN_FRAMES; i++) motion[i] *= 3;
}

/* ------------------------------------------------------------------ forward passes */

static model *build(backend *be, const fixture *f, bool grads) {
    model_config c;
    pcv_settings *s;
    model *m = NULL;
    must(pcv_settings_open(&s, &err));
    must(pcv_settings_set(s, "dialect", "deepmind", &err));
    must(settings_model(s, &c, &err));
    must(settings_apply_list(f->changes, &model_fields, "", &c, &err));
    must(model_open(&m, &c, be, grads, &err));
    now = f;
    published_fill(m, published_name);
    pcv_settings_close(s);
    return m;
}

static tensor *forward(tape *t, model *m, const fixture *f, pass *p) {
    static sequence rows[2];
    rows_of(f, m->config.input_features, rows);
    *p = pass_over(m, rows, 2, m->config.latents);
    p->see = SEE_ALL;
    p->only_latents = f->shown == SHOWN_LATENTS;
    if (f->given == GIVEN_FILM) p->asked = asked_of_films;
    return model_hidden(t, m, p);
}

static const char *name_of(const backend *be) {
    return be->real == F64 ? "double" : be->real == BF16 ? "bf16" : "float";
}

static void check_fixture(backend *be, const fixture *f, double tolerance) {
    model *m = build(be, f, false);
    tape t;
    float y[MOST_VALUES];
    pass p;
    char what[128];
    snprintf(what, sizeof what, "%s at %s", f->name, name_of(be));
    must(tape_init(&t, be, 0, &err));
    tensor *out = forward(&t, m, f, &p);
    if (f->shown == SHOWN_OUTPUTS) out = model_logits(&t, m, out);
    if (f->shown >= SHOWN_AUDIO) out = model_part_outputs(&t, m, out, &p, (int)(f->shown - SHOWN_AUDIO));
    tape_read(&t, out, y);
    backend_finish(be);
    int64_t count = out->m.rows * out->m.cols;
    double sum = 0, squares = 0, weighted = 0;
    for (int64_t i = 0; i < count; i++) {
        double v = (double)y[i] * f->scale;
        sum += v;
        squares += v * v;
        weighted += v * (double)(1 + i % 7);
    }
    for (int i = 0; i < 3; i++) close_to((double)y[i] * f->scale, f->first[i], tolerance, what);
    for (int i = 0; i < 2; i++) close_to((double)y[count - 2 + i] * f->scale, f->last[i], tolerance, what);
    close_to(sum, f->sum, 20 * tolerance, what);
    close_to(squares, f->squares, 20 * tolerance * (1 + sqrt(f->squares)), what);
    close_to(weighted, f->weighted, 80 * tolerance, what);
    tape_free(&t);
    model_close(m);
}

static void forward_passes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) {
        backend *be = test_backend(&(backend_options){.precision = on_host() ? F64 : BF16});
        check_fixture(be, &fixtures[i], test_tolerance(1.5e-6, 0.3));
        be->close(be);
        be = test_backend(&(backend_options){.threads = 2});
        check_fixture(be, &fixtures[i], 2e-5);
        be->close(be);
    }
}

/* ------------------------------------------------------------------ losses and gradients */

typedef struct slope {
    const char *name;
    double norm;
} slope;

typedef struct descent {
    const char *fixture;
    double smoothing, entropy; /* as ours takes it; what it then leaves out of the loss */
    int targets;
    double loss, norm, along;
    slope slope[12];
} descent;

static const descent descents[] = {
    /* 0.9 on the class and 0.1 spread over all four is 0.925 and 0.025 three times */
    {"P13 with residual", 0.075, 0.348780385, 2, 2.612236, 9.958384, -3.098657,
     {{CLASSES "/output:w", 2.173735}, {CLASSES "/~/trainable_position_encoding:pos_embs", 0.827780},
      {CLASSES "/cross_attention/attention/linear:w", 1.405389}, {CLASSES "/cross_attention/mlp/linear_1:w", 2.725332},
      {ENCODER "/self_attention_1/attention/linear_3:w", 1.031231}, {ENCODER "/self_attention/layer_norm:scale", 0.400503},
      {ENCODER "/cross_attention/attention/linear_1:w", 2.356333}, {ENCODER "/cross_attention/attention/linear_2:w", 2.908160},
      {ENCODER "/cross_attention/layer_norm_1:offset", 1.253584}, {ENCODER "/trainable_position_encoding:pos_embs", 1.215681}}},
    {"P18 masked language model", 0, 0, 3, 2.242061, 16.459485, -14.142462,
     {{"embed:embeddings", 2.294044}, {"embedding_decoder:bias", 0.524630}, {"trainable_position_encoding:pos_embs", 1.861367},
      {BASIC "/~/trainable_position_encoding:pos_embs", 0.271068}, {BASIC "/cross_attention/attention/linear:w", 0.676290},
      {BASIC "/cross_attention/layer_norm_1:scale", 1.442188}, {ENCODER "/self_attention/attention/linear_2:w", 3.647664},
      {ENCODER "/cross_attention/attention/linear_3:w", 7.200797}, {ENCODER "/trainable_position_encoding:pos_embs", 1.714829}}},
    {"P23 flow", 0, 0, 40, 2.366335, 0.362850, -0.383444,
     {{FLOW "/output:w", 0.129801}, {"image_preprocessor/patches_linear:w", 0.067821},
      {"image_preprocessor/patches_linear:b", 0.020289}, {FLOW "/cross_attention/attention/linear:w", 0.055592},
      {FLOW "/cross_attention/layer_norm:scale", 0.014145}, {ENCODER "/cross_attention/attention/linear_1:w", 0.034864},
      {ENCODER "/trainable_position_encoding:pos_embs", 0.028667}}},
    {"P24c film, audio", 0, 0, 14, 0.919340, 7.432167, 3.883209,
     {{"audio_postprocessor/linear:w", 1.132901}, {"projection_postprocessor/linear:w", 0.042506},
      {"classification_postprocessor/linear:w", 0.000174}, {FILM "/output:w", 1.844754},
      {"multimodal_decoder/~decoder_query/audio_padding:pos_embs", 0.058656},
      {"multimodal_decoder/~decoder_query/image_padding:pos_embs", 0.000879},
      {"multimodal_preprocessor/audio_padding:pos_embs", 0.339355}, {"multimodal_preprocessor/image_padding:pos_embs", 0.287633},
      {"multimodal_preprocessor/label_mask_token:pos_embs", 0.215428}, {"multimodal_preprocessor/label_padding:pos_embs", 0},
      {ENCODER "/trainable_position_encoding:pos_embs", 0.519093}}},
};

static const fixture *fixture_named(const char *name) {
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++)
        if (!strcmp(fixtures[i].name, name)) return &fixtures[i];
    test_failed("no fixture %s\n", name);
    return NULL;
}

/* Squares of a parameter's gradient, and how much of it lies along the direction of its name. */
static double slope_of(const model *m, int name, double *along, char *published, size_t size) {
    parameter_slice p = parameters_slice(&m->params, name);
    const renaming *n = published_name(m, p.name);
    int64_t count = p.rows * p.cols;
    float *g = malloc((size_t)count * sizeof *g);
    matrix from = matrix_columns(m->params.grads, (int64_t)p.offset, count);
    backend_read_floats(m->be, g, &from);
    double squares = 0;
    for (int64_t k = 0; k < count; k++) {
        squares += (double)g[k] * (double)g[k];
        *along += (double)g[k] * published_direction(n->published, published_index(n, &p, k / p.cols, k % p.cols));
    }
    snprintf(published, size, "%s", n->published);
    free(g);
    return squares;
}

static void check_descent(backend *be, const descent *d, double tolerance, int recompute) {
    const fixture *f = fixture_named(d->fixture);
    model *m = build(be, f, true);
    tape t;
    loss_sum sum = {0};
    pass p;
    char what[192], published[256];
    double squares = 0, along = 0;
    m->recompute = recompute;
    snprintf(what, sizeof what, "%s at %s, recompute %d", f->name, name_of(be), recompute);
    must(tape_init(&t, be, 0, &err));
    t.recording = t.training = true;
    tensor *hidden = forward(&t, m, f, &p);
    loss_spec spec = {.scale = 1 / (float)d->targets, .smoothing = (float)d->smoothing};
    tensor *loss = model_loss(&t, m, hidden, &p, &spec);
    loss_read(&t, loss, &p, &sum, NULL);
    tape_backward(&t, loss);
    backend_finish(be);
    assert_int_equal(sum.targets, d->targets);
    close_to(sum.value / d->targets + d->entropy, d->loss, tolerance, what);
    for (int i = 0; i < m->params.names; i++) {
        double part = slope_of(m, i, &along, published, sizeof published);
        for (const slope *s = d->slope; s->name; s++)
            if (!strcmp(s->name, published)) close_to(sqrt(part), s->norm, tolerance * (1 + s->norm), published);
        squares += part;
    }
    close_to(sqrt(squares), d->norm, tolerance * d->norm, what);
    close_to(along, d->along, 10 * tolerance * (1 + fabs(d->along)), what);
    tape_free(&t);
    model_close(m);
}

static void gradients(void **state) {
    (void)state;
    for (size_t i = 0; i < 3 * (sizeof descents / sizeof *descents); i++) {
        backend *be = test_backend(&(backend_options){.precision = F64});
        check_descent(be, &descents[i / 3], test_tolerance(2e-6, 1e-3), (int)(i % 3));
        be->close(be);
        be = test_backend(&(backend_options){.threads = 2});
        check_descent(be, &descents[i / 3], 1e-3, (int)(i % 3));
        be->close(be);
    }
}

/* ------------------------------------------------------------------ what must not matter */

static void answers(tape *t, model *m, const sequence *rows, int64_t batch, int64_t outputs, float *y) {
    pass p = pass_over(m, rows, batch, m->config.latents);
    p.see = SEE_ALL;
    p.outputs = outputs;
    tape_begin(t);
    tape_read(t, model_logits(t, m, model_hidden(t, m, &p)), y);
    must(tape_end(t, "to test", &err));
}

static void same(const float *a, const float *b, int count, const char *what) {
    for (int i = 0; i < count; i++) close_to((double)a[i], (double)b[i], test_tolerance(1e-6, 1e-5), what);
}

/* The order of inputs without positions, inputs given twice, what stands in padding, which queries are asked, and who
 * else is in the batch change nothing; but what an input says does. */
static void what_must_not_matter(void **state) {
    (void)state;
    enum { F = 10, O = 6, K = 3 };
    backend *be = test_backend(&(backend_options){.precision = F64});
    const fixture *f = fixture_named("P14 six queries");
    model *m = build(be, f, false);
    tape t;
    float x[14 * F], y[2 * O * K], z[2 * O * K];
    sequence row[2];
    must(tape_init(&t, be, 0, &err));
    m->config.context = 14; /* no table of positions depends on it here */
    values_of("input:x", x, 7 * F);
    row[0] = (sequence){.features = x, .length = 7};
    answers(&t, m, row, 1, 0, y);

    float other[14 * F];
    for (int i = 0; i < 7; i++) memcpy(other + i * F, x + (i * 3 + 2) % 7 * F, F * sizeof *x);
    row[0].features = other;
    answers(&t, m, row, 1, 0, z);
    same(y, z, O * K, "inputs in another order");

    memcpy(other, x, 7 * F * sizeof *x);
    memcpy(other + 7 * F, x, 7 * F * sizeof *x);
    row[0].length = 14;
    answers(&t, m, row, 1, 0, z);
    same(y, z, O * K, "every input twice");

    for (int i = 7 * F; i < 14 * F; i++) other[i] = 1e6f;
    row[0].padding = 7;
    answers(&t, m, row, 1, 0, z);
    same(y, z, O * K, "junk in padding");

    row[1] = (sequence){.features = x + F, .length = 3};
    answers(&t, m, row, 2, 0, z);
    same(y, z, O * K, "another row in the batch");

    static const int32_t asked[2] = {4, 1};
    row[0] = (sequence){.features = x, .length = 7, .asked = asked};
    answers(&t, m, row, 1, 2, z);
    same(y + 4 * K, z, K, "an output by itself");
    same(y + K, z + K, K, "the other");

    x[3] += 0.5f;
    answers(&t, m, row, 1, 2, z);
    assert_true(fabsf(z[0] - y[4 * K]) > 1e-4f);
    tape_free(&t);
    model_close(m);
    be->close(be);
}

/* Pixels in another order are the same picture as long as each says where it lies. */
static void order_of_pixels(void **state) {
    (void)state;
    enum { PIXELS = 20, F = 3, K = 4 };
    backend *be = test_backend(&(backend_options){.precision = F64});
    static const char *const names[] = {"P19 pixels", "P20 learned positions"};
    for (int n = 0; n < 2; n++) {
        model *m = build(be, fixture_named(names[n]), false);
        tape t;
        float x[PIXELS * F], other[PIXELS * F], y[K], z[K];
        int32_t place[PIXELS];
        must(tape_init(&t, be, 0, &err));
        values_of("input:image", x, PIXELS * F);
        sequence row = {.features = x, .length = PIXELS};
        answers(&t, m, &row, 1, 0, y);
        for (int i = 0; i < PIXELS; i++) {
            place[i] = (i * 7 + 3) % PIXELS;
            memcpy(other + i * F, x + place[i] * F, F * sizeof *x);
        }
        row.features = other;
        row.positions[0] = place;
        answers(&t, m, &row, 1, 0, z);
        same(y, z, K, "pixels in another order");
        row.positions[0] = NULL;
        answers(&t, m, &row, 1, 0, z);
        assert_true(fabsf(z[0] - y[0]) > 1e-4f);
        tape_free(&t);
        model_close(m);
    }
    be->close(be);
}

/* And those that queries ask for by their numbers (case F6). */
static void features_of_places(void **state) {
    (void)state;
    static const int64_t places[] = {0, 5, 17, 31};
    const field_ints axes = {.count = 3, .v = {2, 4, 4}}, resolution = {.count = 3, .v = {4, 6, 6}};
    float all[4 * 15];
    double sum = 0, squares = 0, weighted = 0;
    for (int i = 0; i < 4; i++) fourier_place(places[i], &axes, &resolution, 2, all + i * 15);
    for (int i = 0; i < 60; i++) {
        sum += (double)all[i];
        squares += (double)all[i] * (double)all[i];
        weighted += (double)all[i] * (1 + i % 7);
    }
    close_to(sum, -7.5, 1e-5, "F6, sum");
    close_to(squares, 30.25, 1e-5, "F6, squares");
    close_to(weighted, -19.5, 1e-5, "F6, weighted");
    for (int i = 0; i < 3; i++) close_to((double)all[i], -1, 1e-6, "F6, first");
}

/* Places and their features, as published (cases F1, F2, F5). */
static void features(void **state) {
    (void)state;
    static const struct {
        int64_t axes, grid[3], resolution[3], bands, row;
        double place[3];
        int count;
        double expected[10];
    } cases[] = {
        {1, {5}, {5}, 3, 1, {0}, 7, {-0.5, -1, -0.382683, 0.707107, 0, -0.923880, -0.707107}},
        {2, {3, 4}, {3, 4}, 2, 5, {0}, 10, {0, -0.333333, 0, 0, -0.866025, -0.866025, 1, 1, 0.5, -0.5}},
        {3, {0}, {20, 20, 20}, 2, 0, {0.855471, -0.077318, -0.247640}, 3, {0.855471, -0.077318, -0.247640}},
    };
    backend *be = test_backend(&(backend_options){.precision = F64});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        field_ints grid = {.count = cases[i].axes}, resolution = {.count = cases[i].axes};
        float all[256];
        tensor table = {0};
        memcpy(grid.v, cases[i].grid, sizeof cases[i].grid);
        memcpy(resolution.v, cases[i].resolution, sizeof cases[i].resolution);
        if (grid.v[0]) {
            must(fourier_grid(&table, be, &grid, &resolution, cases[i].bands, &err));
            backend_read_floats(be, all, &table.m);
        } else fourier_features(cases[i].place, grid.count, resolution.v, cases[i].bands, all);
        const float *row = all + cases[i].row * grid.count * (2 * cases[i].bands + 1);
        for (int k = 0; k < cases[i].count; k++) close_to((double)row[k], cases[i].expected[k], 1e-6, "a feature");
        constant_free(&table, be);
    }
    be->close(be);
}

/* ------------------------------------------------------------------ the published sizes */

static void published_sizes(void **state) {
    (void)state;
    static const struct {
        const char *preset;
        int64_t parameters;
        double gflops; /* by the formula of the papers */
    } models[] = {
        {"imagenet-2021", 44912254, 706.3}, {"imagenet-fourier", 48440627, 406.1},
        {"imagenet-learned", 62255848, 471.4}, {"masked-bytes", 201108230, 120.9},
        {"optical-flow", 41057134, 1886.7}, /* 1885 and the map in front */
        {"kinetics", 19858855, 7460}, {"imagenet-convolution", 48646522, 369.1},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        backend *be;
        model_config c;
        pcv_settings *s;
        model *m = NULL;
        must(pcv_settings_open(&s, &err));
        must(pcv_settings_set(s, "preset", models[i].preset, &err));
        must(settings_model(s, &c, &err));
        must(backend_open(&be, "cpu", NULL, &err));
        backend_make_null(be);
        must(model_open(&m, &c, be, false, &err));
        if (m->params.total != models[i].parameters)
            test_failed("%s: %lld parameters, expected %lld\n", models[i].preset, (long long)m->params.total,
                        (long long)models[i].parameters);
        double gflops = flops_sum(m->type->flops(&m->config, m->config.context, m->config.latents)) / 1e9;
        close_to(gflops, models[i].gflops, 0.05 + 0.01 * models[i].gflops, models[i].preset);
        model_close(m);
        be->close(be);
        pcv_settings_close(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(forward_passes), cmocka_unit_test(gradients),
                                       cmocka_unit_test(what_must_not_matter), cmocka_unit_test(order_of_pixels),
                                       cmocka_unit_test(features), cmocka_unit_test(features_of_places),
                                       cmocka_unit_test(published_sizes)};
    return run_on_device(tests, NULL, NULL);
}
