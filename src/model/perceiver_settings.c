/* What a configuration of a perceiver or a perceiver-io must be, what is filled in, and what a pass costs. */
#include "model/perceiver_io.h"

const char *const perceiver_settings[] = {
    "latents", "input_channels", "cross_heads", "cross_mlp_ratio", "query_residual", "cross_width", "positions.kind",
    "positions.axes", "positions.bands", "positions.resolution", "positions.channels", "positions.projected",
    "positions.join", "convolution", "permute", "mask", "patch", "spectrum", "encoder.blocks", "encoder.qk_channels",
    "encoder.v_channels", "encoder.places", "outputs", "loss", "output_scale", "training.flip", "training.shift",
    "training.cutout", "training.mask_rate", "training.mask_singles", NULL};
const char *const perceiver_repeats[] = {"encoder.cross_attends", "encoder.share_first_cross",
                                         "encoder.share_first_block", NULL};
const char *const perceiver_decoder[] = {
    "decoder.query", "decoder.queries", "decoder.axes", "decoder.channels", "decoder.heads", "decoder.qk_channels",
    "decoder.v_channels", "decoder.mlp_ratio", "decoder.residual", NULL};

#define OF_MODALITY(name)                                                                          \
    name ".features", name ".axes", name ".grid", name ".outputs", name ".asked", name ".bands",   \
        name ".resolution", name ".query_channels", name ".weight", name ".hidden"
const char *const perceiver_modalities[] = {OF_MODALITY("audio"), OF_MODALITY("image"), OF_MODALITY("label"),
                                            "modality_padding", "decoder.padding", NULL};

/* Inputs and queries of several kinds are as wide as the widest and some more. */
static void complete_modalities(model_config *c) {
    c->context = c->decoder.queries = 0;
    c->input_features = c->decoder.channels = 0;
    for (int i = 0; i < MODALITIES; i++) {
        const modality_config *k = &c->modality[i];
        int64_t outputs = modality_outputs(k);
        if (!k->features) continue;
        int64_t width = modality_input_width(k) + c->modality_padding;
        if (width > c->input_features) c->input_features = width;
        c->context += modality_inputs(k);
        c->decoder.queries += outputs;
        width = outputs ? modality_query_width(k) + c->decoder.padding : 0;
        if (width > c->decoder.channels) c->decoder.channels = width;
    }
    c->input_channels = 0;
}

void perceiver_complete(model_config *c) {
    if (model_has_modalities(c)) complete_modalities(c);
    else if (c->convolution) c->input_channels = c->convolution;
    else if (!c->input_features && !c->input_channels) c->input_channels = c->channels;
    if (c->positions.kind == POSITION_LEARNED && !c->positions.channels)
        c->positions.channels = or_else(c->input_channels, c->input_features);
    if (c->positions.kind == POSITION_FOURIER && !c->positions.axes.count)
        c->positions.axes = (field_ints){.count = 1, .v = {c->context}};
    if (!perceiver_decodes(c)) return;
    if (c->decoder.query == ASK_INPUTS) c->decoder.queries = 0;
    if (c->decoder.query == ASK_FOURIER && !c->decoder.axes.count) c->decoder.axes = c->positions.axes;
    if (c->decoder.query == ASK_FOURIER) c->decoder.queries = axes_places(&c->decoder.axes);
    if (c->decoder.query == ASK_LEARNED && !c->decoder.channels) c->decoder.channels = c->channels;
    if (!c->decoder.qk_channels) c->decoder.qk_channels = c->channels;
    if (!c->decoder.v_channels) c->decoder.v_channels = c->decoder.qk_channels;
}

static int check_heads(const char *what, int64_t width, int64_t heads, pcv_error *err) {
    if (width % heads == 0) return 0;
    return fail(err, PCV_CONFIG, "%s has %lld channels, expected a multiple of its %lld heads", what, (long long)width,
                (long long)heads);
}

static int check_grid(const char *key, const field_ints *axes, const field_ints *resolution, int64_t least,
                      pcv_error *err) {
    if (axes->count > POSITION_AXES)
        return fail(err, PCV_CONFIG, "%s has %lld axes, at most %d", key, (long long)axes->count, POSITION_AXES);
    if (resolution->count && resolution->count != axes->count)
        return fail(err, PCV_CONFIG, "positions.resolution has %lld axes, but %s has %lld",
                    (long long)resolution->count, key, (long long)axes->count);
    if (axes_places(axes) >= least) return 0;
    return fail(err, PCV_CONFIG, "%s make %lld places, fewer than the context of %lld", key,
                (long long)axes_places(axes), (long long)least);
}

static int check_inputs(const model_config *c, pcv_error *err) {
    int64_t content = or_else(c->input_channels, c->input_features), position = model_position_width(c);
    if (c->spectrum % 2)
        return fail(err, PCV_CONFIG, "spectrum is %lld, expected an even number of samples", (long long)c->spectrum);
    if (c->positions.kind == POSITION_SINUSOIDAL)
        return fail(err, PCV_CONFIG, "positions.kind is sinusoidal, expected none, learned or fourier");
    if (c->positions.join == JOIN_ADD && position && position != content)
        return fail(err, PCV_CONFIG, "positions of %lld channels cannot be added to inputs of %lld; join them with "
                    "--join concat, or give --project-positions %lld", (long long)position, (long long)content,
                    (long long)content);
    if (c->positions.kind != POSITION_FOURIER) return 0;
    return check_grid("positions.axes", &c->positions.axes, &c->positions.resolution, c->context, err);
}

attention_widths perceiver_widths(const model_config *c) {
    int64_t own = c->cross_width == WIDTH_INPUT ? model_input_width(c) : c->channels;
    attention_widths w = {.cross_qk = or_else(c->encoder.qk_channels, own),
                          .layer_qk = or_else(c->encoder.qk_channels, c->channels)};
    w.cross_v = or_else(c->encoder.v_channels, w.cross_qk);
    w.layer_v = or_else(c->encoder.v_channels, w.layer_qk);
    return w;
}

static int check_convolution(const model_config *c, pcv_error *err) {
    const field_ints *axes = &c->positions.axes;
    if (!c->convolution) return 0;
    if (c->input_features % STEM_FEATURES || !c->input_features)
        return fail(err, PCV_CONFIG, "convolution: input_features is %lld, expected a multiple of %d: of pictures, "
                    "whose windows of 7 x 7 pixels it takes", (long long)c->input_features, STEM_FEATURES);
    if (axes->count != 2 || axes_places(axes) != c->context)
        return fail(err, PCV_CONFIG, "convolution needs positions.axes of rows and columns, which make the context of "
                    "%lld", (long long)c->context);
    if (c->decoder.query != ASK_INPUTS) return 0;
    return fail(err, PCV_CONFIG, "convolution: its outputs cannot be asked with; expected --decoder-query learned or "
                "fourier");
}

static int check_attention(const model_config *c, pcv_error *err) {
    const attention_widths w = perceiver_widths(c);
    int status = check_heads("a layer", w.layer_qk, c->heads, err);
    if (!status) status = check_heads("a layer's values", w.layer_v, c->heads, err);
    if (!status) status = check_heads("the cross-attention", w.cross_qk, c->cross_heads, err);
    if (!status) status = check_heads("the cross-attention's values", w.cross_v, c->cross_heads, err);
    return status;
}

/* Places that latents begin at are told by fourier features that stand by themselves, and some fit. */
static int check_places(const model_config *c, pcv_error *err) {
    int64_t least = 3 * c->positions.axes.count;
    if (!c->encoder.places) return 0;
    if (c->positions.kind != POSITION_FOURIER || c->positions.join != JOIN_CONCAT || c->positions.projected)
        return fail(err, PCV_CONFIG, "encoder.places needs --positions fourier and --join concat");
    if (perceiver_decodes(c) && c->decoder.query == ASK_FOURIER && c->decoder.axes.count != c->positions.axes.count)
        return fail(err, PCV_CONFIG, "encoder.places: decoder.axes has %lld axes, but positions.axes has %lld",
                    (long long)c->decoder.axes.count, (long long)c->positions.axes.count);
    if (perceiver_decodes(c) && c->decoder.query == ASK_FOURIER && c->decoder.channels)
        return fail(err, PCV_CONFIG, "encoder.places: queries are places themselves; leave --decoder-channels out");
    if (perceiver_place_room(c) >= least) return 0;
    return fail(err, PCV_CONFIG, "encoder.places: a place has %lld features at least, more than the %lld channels of a "
                "latent or of a head; raise --channels", (long long)least, (long long)perceiver_place_room(c));
}

static int check_kind(const modality_config *k, const char *name, pcv_error *err) {
    const struct {
        const char *key;
        int64_t count;
    } lists[] = {{"grid", k->outputs ? k->grid.count : k->axes.count},
                 {"resolution", k->resolution.count ? k->resolution.count : k->axes.count}};
    if (k->axes.count > POSITION_AXES)
        return fail(err, PCV_CONFIG, "%s.axes has %lld axes, at most %d", name, (long long)k->axes.count,
                    POSITION_AXES);
    for (int i = 0; i < 2; i++)
        if (lists[i].count != k->axes.count)
            return fail(err, PCV_CONFIG, "%s.%s has %lld axes, but %s.axes has %lld", name, lists[i].key,
                        (long long)lists[i].count, name, (long long)k->axes.count);
    if (!modality_outputs(k) || k->asked <= modality_outputs(k)) return 0;
    return fail(err, PCV_CONFIG, "%s.asked is %lld, but there are %lld outputs", name, (long long)k->asked,
                (long long)modality_outputs(k));
}

static int check_modalities(const model_config *c, pcv_error *err) {
    if (!c->outputs)
        return fail(err, PCV_CONFIG, "outputs is 0; of several kinds of inputs it is how many channels the decoder "
                    "hands to the head of each kind");
    if (c->loss != LOSS_ABSOLUTE && c->loss != LOSS_SQUARED)
        return fail(err, PCV_CONFIG, "loss is %s, expected absolute or squared for several kinds of inputs",
                    loss_names[c->loss]);
    if (c->positions.kind != POSITION_NONE || c->tied_embeddings || c->decoder.query != ASK_LEARNED)
        return fail(err, PCV_CONFIG, "several kinds of inputs bring their own positions and queries; give --positions "
                    "none, --no-tied and --decoder-query learned");
    if (!c->decoder.queries) return fail(err, PCV_CONFIG, "none of the kinds of inputs has outputs");
    int status = 0;
    for (int i = 0; i < MODALITIES && !status; i++)
        if (c->modality[i].features) status = check_kind(&c->modality[i], modality_names[i], err);
    return status;
}

static int check_outputs(const model_config *c, pcv_error *err) {
    if (model_has_modalities(c)) return check_modalities(c, err);
    if (c->loss == LOSS_CROSS_ENTROPY || c->outputs) return 0;
    return fail(err, PCV_CONFIG, "loss is %s, which is for outputs that are numbers; say with --outputs how many",
                loss_names[c->loss]);
}

int perceiver_check(const model_config *c, pcv_error *err) {
    int status = check_inputs(c, err);
    if (!status) status = check_convolution(c, err);
    if (!status) status = check_outputs(c, err);
    if (!status) status = check_attention(c, err);
    if (!status) status = check_places(c, err);
    if (status) return status;
    if (c->encoder.cross_attends > c->encoder.blocks)
        return fail(err, PCV_CONFIG, "encoder.cross_attends is %lld, more than the %lld encoder.blocks",
                    (long long)c->encoder.cross_attends, (long long)c->encoder.blocks);
    if (c->tied_embeddings && (!perceiver_decodes(c) || model_query_width(c) != c->input_channels || c->outputs))
        return fail(err, PCV_CONFIG, "tied_embeddings needs a decoder as wide as the token embedding, and no outputs "
                    "of its own");
    if (!perceiver_decodes(c)) return 0;
    status = check_heads("decoder.qk_channels", c->decoder.qk_channels, c->decoder.heads, err);
    if (!status) status = check_heads("decoder.v_channels", c->decoder.v_channels, c->decoder.heads, err);
    if (status || c->decoder.query != ASK_FOURIER) return status;
    return check_grid("decoder.axes", &c->decoder.axes, &c->positions.resolution, 0, err);
}

/* N latents or queries of cq channels look at M of ck. */
static double attention_flops(double N, double cq, double M, double ck, double qk, double v, double ratio) {
    return 2 * (N * cq * qk + M * ck * (qk + v) + N * M * (qk + v) + N * v * cq) + 4 * N * cq * cq * ratio;
}

model_flops perceiver_flops(const model_config *c, int64_t inputs, int64_t latents) {
    const attention_widths w = perceiver_widths(c);
    double M = (double)inputs, N = (double)latents, D = (double)c->channels, C = (double)model_input_width(c);
    double crosses = (double)c->encoder.cross_attends, layers = (double)(c->encoder.blocks * c->layers);
    double O = 1, E = D, outputs = (double)model_outputs(c), decoder = 0, maps = 0;
    if (c->input_features && c->input_channels) maps = 2 * M * (double)(c->input_features * c->input_channels);
    if (perceiver_decodes(c)) {
        O = (double)or_else(c->decoder.queries, inputs);
        E = (double)model_query_width(c);
        decoder = attention_flops(O, E, N, D, (double)c->decoder.qk_channels, (double)c->decoder.v_channels,
                                  c->decoder.mlp_ratio);
    }
    double cross = attention_flops(N, D, M, C, (double)w.cross_qk, (double)w.cross_v, c->cross_mlp_ratio);
    double layer = attention_flops(N, D, N, D, (double)w.layer_qk, (double)w.layer_v, c->mlp_ratio);
    return (model_flops){.cross = maps + crosses * cross, .self = layers * layer,
                         .head = decoder + 2 * O * E * outputs};
}
