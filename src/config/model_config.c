/* The rows of model_config. A row's default is what a config.json that lacks the key means, so it stays for as
 * long as there are such files; what is good to train today is the dialect `default` (presets.c). Which
 * architecture has which rows is said by the architectures (model/architecture.h); what goes together is checked
 * there, too. */
#include "config/model_config.h"

#define NAME(name, type) name,
static const char *const architectures[] = {ARCHITECTURES(NAME) NULL};
#undef NAME
static const char *const sparse_kinds[] = {"strided", "fixed", NULL};
static const char *const activations[] = {"squared_relu", "gelu", "gelu_tanh", "relu", "swiglu", "geglu", NULL};
static const char *const norms[] = {"layer", "rms", NULL};
static const char *const biases[] = {"all", "cross_output", "none", "mlp", NULL};
static const char *const queries[] = {"linear", "identity", "mlp", "learned", "learned_shared", NULL};
static const char *const kv_norms[] = {"input", "query", "shared", NULL};
static const char *const widths[] = {"input", "latent", NULL};
static const char *const kinds[] = {"none", "learned", "sinusoidal", "fourier", NULL};
static const char *const origins[] = {"zero", "one", "data", "end", "negative_end", NULL};
static const char *const joins[] = {"concat", "add", NULL};
static const char *const masks[] = {"words", "tokens", NULL};
static const char *const asks[] = {"learned", "fourier", "inputs", NULL};
const loss_unit loss_units[] = {[LOSS_CROSS_ENTROPY] = {"bits per token", 1.4426950408889634},
                                [LOSS_SQUARED] = {"mean squared error", 1},
                                [LOSS_ABSOLUTE] = {"mean absolute error", 1},
                                [LOSS_END_POINT] = {"end-point error", 1},
                                [LOSS_SIGMOID] = {"nats per number", 1}};
const char *const modality_names[] = {[MODALITY_AUDIO] = "audio", [MODALITY_IMAGE] = "image",
                                      [MODALITY_LABEL] = "label"};
const char *const loss_names[] = {"cross_entropy", "squared", "absolute", "end_point", "sigmoid", NULL};
static const char *const layouts[] = {"interleaved", "halves", NULL};
static const char *const inits[] = {"fan_in", "normal", NULL};

enum { MOST_CHANNELS = 1 << 16, MOST_LAYERS = 4096, MOST_VOCAB = 1 << 24 };

#define AT(member) offsetof(model_config, member)

/* The rows of one kind of inputs among several. */
#define MODALITY(i, name, share)                                                                                 \
    {name ".features", name "-features", FIELD_INT, AT(modality[i].features), 0, MOST_CHANNELS, NULL, "0",       \
     "numbers of an input of " name ", of several kinds of inputs; 0: there is none"},                           \
    {name ".axes", NULL, FIELD_INTS, AT(modality[i].axes), 1, MOST_TOKENS, NULL, "", "their grid"},              \
    {name ".grid", NULL, FIELD_INTS, AT(modality[i].grid), 1, MOST_TOKENS, NULL, "", "that of the outputs"},     \
    {name ".outputs", NULL, FIELD_INT, AT(modality[i].outputs), 0, MOST_CHANNELS, NULL, "0",                     \
     "numbers of an output, or classes"},                                                                        \
    {name ".asked", name "-asked", FIELD_INT, AT(modality[i].asked), 0, MOST_TOKENS, NULL, "0",                  \
     "outputs of " name " that a training step asks for; 0: all"},                                               \
    {name ".bands", name "-bands", FIELD_INT, AT(modality[i].bands), 1, 4096, NULL, "32",                        \
     "frequencies of the places of " name " on each axis"},                                                      \
    {name ".resolution", NULL, FIELD_INTS, AT(modality[i].resolution), 1, MOST_TOKENS, NULL, "",                 \
     "twice the highest of them on each axis; empty: the axes"},                                                 \
    {name ".query_channels", NULL, FIELD_INT, AT(modality[i].query_channels), 1, MOST_CHANNELS, NULL, "64",      \
     "width of the learned query of what has no places"},                                                        \
    {name ".weight", name "-weight", FIELD_REAL, AT(modality[i].weight), 0, 1e6, NULL, share,                    \
     "weight of the mean loss of " name},                                                                        \
    {name ".hidden", "hide-" name, FIELD_REAL, AT(modality[i].hidden), 0, 1, NULL, "0",                          \
     "probability that an input of " name " is hidden in training"}
static const field rows[] = {
    {"architecture", "arch", FIELD_CHOICE, AT(architecture), 0, 0, architectures, "perceiver-ar",
     "kind of model"},
    {"vocab_size", "vocab", FIELD_INT, AT(vocab_size), 0, MOST_VOCAB, NULL, "0",
     "size of the vocabulary; 0: the data set's"},
    {"context", "context", FIELD_INT, AT(context), 1, MOST_TOKENS, NULL, "4096",
     "tokens that the model reads at most"},
    {"latents", "latents", FIELD_INT, AT(latents), 1, MOST_TOKENS, NULL, "512",
     "last positions, which become latents and predict, or learned vectors of a perceiver; they set the depth's cost"},
    {"channels", "channels", FIELD_INT, AT(channels), 1, MOST_CHANNELS, NULL, "256",
     "width of the layers"},
    {"input_channels", "input-channels", FIELD_INT, AT(input_channels), 0, MOST_CHANNELS, NULL, "0",
     "width of the input embeddings; 0: as --channels"},
    {"input_features", "input-features", FIELD_INT, AT(input_features), 0, MOST_CHANNELS, NULL, "0",
     "numbers of an input that is a vector; 0: inputs are ids"},
    {"convolution", "convolution", FIELD_INT, AT(convolution), 0, MOST_CHANNELS, NULL, "0",
     "channels of a 7 x 7 convolution in front of pictures, with a batch norm and a maximum, each of which halves the "
     "sides; 0: there is none"},
    {"permute", "permute", FIELD_INT, AT(permute), 0, INT32_MAX, NULL, "0",
     "pixels of all pictures change places in one order of this seed, before anything is made of them; 0: they do not"},
    {"mask", "mask", FIELD_CHOICE, AT(mask), 0, 0, masks, "words",
     "what of a text without labels is hidden, and to be found: whole words, or single tokens"},
    {"patch", "patch", FIELD_INT, AT(patch), 1, MOST_CHANNELS, NULL, "1",
     "pixels of a side, or samples of a sound, that are one input"},
    {"spectrum", "spectrum", FIELD_INT, AT(spectrum), 0, 4096, NULL, "0",
     "samples around these whose log spectrum is the input; 0: the samples themselves are"},
    {"heads", "heads", FIELD_INT, AT(heads), 1, 4096, NULL, "4", "attention heads"},
    {"cross_heads", "cross-heads", FIELD_INT, AT(cross_heads), 0, 4096, NULL, "0",
     "heads of the cross-attention; 0: as --heads, and of a perceiver 1"},
    {"layers", "layers", FIELD_INT, AT(layers), 0, MOST_LAYERS, NULL, "6",
     "self-attention layers"},
    {"mlp_ratio", "mlp-ratio", FIELD_REAL, AT(mlp_ratio), 0.0625, 64, NULL, "4",
     "hidden units of an MLP per channel"},
    {"cross_mlp_ratio", "cross-mlp-ratio", FIELD_REAL, AT(cross_mlp_ratio), 0, 64, NULL, "0",
     "the same in the cross-attention block; 0: as --mlp-ratio"},
    {"activation", "activation", FIELD_CHOICE, AT(activation), 0, 0, activations, "squared_relu",
     "nonlinearity of the MLPs"},
    {"norm", "norm", FIELD_CHOICE, AT(norm), 0, 0, norms, "layer", "normalization"},
    {"norm_epsilon", "norm-epsilon", FIELD_REAL, AT(norm_epsilon), 0, 1, NULL, "1e-5",
     "added to the variance"},
    {"bias", "bias", FIELD_CHOICE, AT(bias), 0, 0, biases, "all", "which linear maps have biases"},
    {"query", "query", FIELD_CHOICE, AT(query), 0, 0, queries, "linear",
     "how a latent starts: a linear map or an MLP of its embedding, the embedding, or a learned vector"},
    {"query_layers", "query-layers", FIELD_INT, AT(query_layers), 1, 64, NULL, "2",
     "layers of query mlp"},
    {"query_residual", "query-residual", FIELD_BOOL, AT(query_residual), 0, 0, NULL, "true",
     "the cross-attention adds to its query"},
    {"initial_cross", "initial-cross", FIELD_BOOL, AT(initial_cross), 0, 0, NULL, "true",
     "there is a cross-attention in front of the layers"},
    {"latent_kv_norm", "latent-kv-norm", FIELD_CHOICE, AT(latent_kv_norm), 0, 0, kv_norms, "input",
     "norm of the latents' own keys and values in the cross-attention: as inputs, as queries, or one "
     "norm for all"},
    {"cross_width", "cross-width", FIELD_CHOICE, AT(cross_width), 0, 0, widths, "input",
     "the cross-attention has the inputs' or the latents' width"},
    {"scale_scores", "scale-scores", FIELD_BOOL, AT(scale_scores), 0, 0, NULL, "true",
     "attention scores are divided by the root of the head's width"},
    {"qk_norm", "qk-norm", FIELD_BOOL, AT(qk_norm), 0, 0, NULL, "false",
     "queries and keys of all heads together are RMS-normalized before they meet (as in OLMo 2)"},
    {"positions.kind", "positions", FIELD_CHOICE, AT(positions.kind), 0, 0, kinds, "none",
     "absolute positions of the inputs"},
    {"positions.scale", "position-scale", FIELD_REAL, AT(positions.scale), 0.001, 1000, NULL, "1",
     "amplitude of sinusoidal or fourier positions"},
    {"positions.origin", "origin", FIELD_CHOICE, AT(positions.origin), 0, 0, origins, "zero",
     "how positions are numbered where the data does not say"},
    {"positions.middle", NULL, FIELD_INT, AT(positions.middle), -1, MOST_TOKENS, NULL, "-1",
     "documents of so many tokens stand in the middle of the context; 0: they begin with it, -1: as the data set's"},
    {"positions.axes", "axes", FIELD_INTS, AT(positions.axes), 1, MOST_TOKENS, NULL, "",
     "rows of each axis's position table; empty: one axis as long as the context"},
    {"positions.bands", "bands", FIELD_INT, AT(positions.bands), 1, 4096, NULL, "64",
     "frequencies of fourier positions on each axis"},
    {"positions.resolution", "resolution", FIELD_INTS, AT(positions.resolution), 1, MOST_TOKENS, NULL, "",
     "twice the highest of them on each axis; empty: the axes"},
    {"positions.channels", "position-channels", FIELD_INT, AT(positions.channels), 0, MOST_CHANNELS, NULL, "0",
     "width of learned positions; 0: as --input-channels"},
    {"positions.projected", "project-positions", FIELD_INT, AT(positions.projected), 0, MOST_CHANNELS, NULL, "0",
     "width that a linear map gives positions; 0: there is none"},
    {"positions.join", "join", FIELD_CHOICE, AT(positions.join), 0, 0, joins, "concat",
     "positions stand behind what an input holds, or are added to it"},
    {"positions.rotary.fraction", "rotary", FIELD_REAL, AT(positions.rotary.fraction), 0, 1, NULL,
     "0", "fraction of a head's channels that rotary positions turn"},
    {"positions.rotary.heads", "rotary-heads", FIELD_REAL, AT(positions.rotary.heads), 0, 1, NULL,
     "1", "fraction of the heads that do"},
    {"positions.rotary.base", "rotary-base", FIELD_REAL, AT(positions.rotary.base), 0, 1e12, NULL,
     "0", "base of the wavelengths; 0: the context"},
    {"positions.rotary.max_wavelength", NULL, FIELD_REAL, AT(positions.rotary.base), 0, 1e12, NULL,
     NULL, "another name of the base"},
    {"positions.rotary.endpoint", "rotary-endpoint", FIELD_BOOL, AT(positions.rotary.endpoint), 0, 0,
     NULL, "false", "the last wavelength is the base itself"},
    {"positions.rotary.layout", "rotary-layout", FIELD_CHOICE, AT(positions.rotary.layout), 0, 0,
     layouts, "interleaved", "which channels form pairs: neighbours, or the two halves"},
    {"positions.rotary.layers", "rotary-layers", FIELD_INT, AT(positions.rotary.layers), -1,
     MOST_LAYERS, NULL, "-1", "self-attention layers that use rotary positions; -1: all"},
    {"positions.rotary.query_offset", NULL, FIELD_INT, AT(positions.rotary.query_offset), 0, 1024,
     NULL, "0", "added to the latents' rotary positions"},
    {"positions.rotary.cross_head_group", NULL, FIELD_INT, AT(positions.rotary.head_group), 0, 4096,
     NULL, "0", "the fraction of heads counts within groups of so many cross heads; 0: all"},
    {"tied_embeddings", "tied", FIELD_BOOL, AT(tied_embeddings), 0, 0, NULL, "false",
     "the head shares the token embedding"},
    {"output_norm", "output-norm", FIELD_BOOL, AT(output_norm), 0, 0, NULL, "true",
     "a norm stands before the head"},
    {"output_bias", "output-bias", FIELD_BOOL, AT(output_bias), 0, 0, NULL, "true",
     "the head has a bias"},
    {"zero_head", NULL, FIELD_BOOL, AT(zero_head), 0, 0, NULL, "false",
     "the head starts at zero"},
    {"latents_per_position", "latents-per-position", FIELD_INT, AT(latents_per_position), 1, 64,
     NULL, "1", "latents that share one position"},
    {"self_reach", "self-reach", FIELD_INT, AT(self_reach), -1, MOST_TOKENS, NULL, "0",
     "latents that a latent sees in a layer at most; 0: all before it, -1: as many as --latents"},
    {"cross_after_layers", "cross-after-layers", FIELD_INTS, AT(cross_after_layers), 0, MOST_LAYERS,
     NULL, "", "layers (from 0) that another cross-attention follows"},
    {"near", "near", FIELD_INT, AT(near), 0, MOST_TOKENS, NULL, "0",
     "last inputs that the cross-attention of a latent sees, its own included; 0: all of the context"},
    {"index.orders", "index", FIELD_INTS, AT(index.orders), 1, 64, NULL, "",
     "index heads, by how many tokens must have stood in front of a place before for it to be looked at; none: there "
     "are none"},
    {"index.places", "index-places", FIELD_INT, AT(index.places), 1, 128, NULL, "16",
     "such places that an index head looks at, the nearest first"},
    {"index.width", "index-width", FIELD_INT, AT(index.width), 1, MOST_CHANNELS, NULL, "64",
     "channels of an index head"},
    {"sparse.kind", "sparse", FIELD_CHOICE, AT(sparse.kind), 0, 0, sparse_kinds, "strided",
     "what the odd layers of a sparse-transformer see: every stride-th token, or each block's last ones"},
    {"sparse.stride", "sparse-stride", FIELD_INT, AT(sparse.stride), 1, MOST_TOKENS, NULL, "128",
     "tokens that its even layers see: the last so many (strided), or those of the block (fixed)"},
    {"sparse.summary", "sparse-summary", FIELD_INT, AT(sparse.summary), 1, MOST_TOKENS, NULL, "8",
     "last tokens of a block that the odd layers see (fixed)"},
    {"encoder.blocks", "blocks", FIELD_INT, AT(encoder.blocks), 1, MOST_LAYERS, NULL, "1",
     "times that the layers run, with the same weights"},
    {"encoder.cross_attends", "cross-attends", FIELD_INT, AT(encoder.cross_attends), 1, MOST_LAYERS, NULL, "1",
     "of these, how many stand behind a cross-attention"},
    {"encoder.share_first_cross", "share-first-cross", FIELD_BOOL, AT(encoder.share_first_cross), 0, 0, NULL, "false",
     "the first cross-attention has the weights of the later ones"},
    {"encoder.share_first_block", "share-first-block", FIELD_BOOL, AT(encoder.share_first_block), 0, 0, NULL, "true",
     "the layers run the first time with the weights of later times"},
    {"encoder.qk_channels", "qk-channels", FIELD_INT, AT(encoder.qk_channels), 0, MOST_CHANNELS, NULL, "0",
     "width of queries and keys; 0: in layers --channels, in the cross-attention --cross-width"},
    {"encoder.v_channels", "v-channels", FIELD_INT, AT(encoder.v_channels), 0, MOST_CHANNELS, NULL, "0",
     "width of values; 0: as queries and keys"},
    {"encoder.places", "latents-at-places", FIELD_BOOL, AT(encoder.places), 0, 0, NULL, "false",
     "latents begin spread over the fourier positions of the inputs, look around these first, and queries at them"},
    {"decoder.query", "decoder-query", FIELD_CHOICE, AT(decoder.query), 0, 0, asks, "learned",
     "what outputs are asked for with: learned vectors, the positions of a grid, or the inputs"},
    {"decoder.queries", "decoder-queries", FIELD_INT, AT(decoder.queries), 0, MOST_TOKENS, NULL, "1",
     "outputs; 0: one for each input"},
    {"decoder.axes", "decoder-axes", FIELD_INTS, AT(decoder.axes), 1, MOST_TOKENS, NULL, "",
     "grid of fourier queries; empty: that of the inputs"},
    {"decoder.channels", "decoder-channels", FIELD_INT, AT(decoder.channels), 0, MOST_CHANNELS, NULL, "0",
     "width of a query; 0: as --channels, or as wide as what it is made from"},
    {"decoder.heads", "decoder-heads", FIELD_INT, AT(decoder.heads), 1, 4096, NULL, "1",
     "heads of the decoder's cross-attention"},
    {"decoder.qk_channels", "decoder-qk-channels", FIELD_INT, AT(decoder.qk_channels), 0, MOST_CHANNELS, NULL, "0",
     "width of its queries and keys; 0: as --channels"},
    {"decoder.v_channels", "decoder-v-channels", FIELD_INT, AT(decoder.v_channels), 0, MOST_CHANNELS, NULL, "0",
     "width of its values; 0: as its queries and keys"},
    {"decoder.mlp_ratio", "decoder-mlp-ratio", FIELD_REAL, AT(decoder.mlp_ratio), 0.0625, 64, NULL, "1",
     "hidden units of its MLP per channel of a query"},
    {"decoder.residual", "decoder-residual", FIELD_BOOL, AT(decoder.residual), 0, 0, NULL, "false",
     "it adds to its query"},
    {"decoder.padding", NULL, FIELD_INT, AT(decoder.padding), 1, MOST_CHANNELS, NULL, "2",
     "learned numbers at the end of the widest kind of queries, of several kinds"},
    MODALITY(MODALITY_AUDIO, "audio", "1"),
    MODALITY(MODALITY_IMAGE, "image", "0.03"),
    MODALITY(MODALITY_LABEL, "label", "0.0001"),
    {"modality_padding", NULL, FIELD_INT, AT(modality_padding), 1, MOST_CHANNELS, NULL, "4",
     "learned numbers at the end of the widest kind of inputs, of several kinds"},
    {"outputs", "outputs", FIELD_INT, AT(outputs), 0, MOST_CHANNELS, NULL, "0",
     "numbers of an output, one for each class; 0: as the data's labels, or the vocabulary"},
    {"loss", "loss", FIELD_CHOICE, AT(loss), 0, 0, loss_names, "cross_entropy",
     "what outputs are compared with: ids or classes; or numbers, by mean squared or absolute differences, by "
     "Euclidean distance, or as chances"},
    {"output_scale", "output-scale", FIELD_REAL, AT(output_scale), 1e-6, 1e6, NULL, "1",
     "factor on outputs that are numbers"},
    {"memory", "memory", FIELD_INT, AT(memory), -1, MOST_TOKENS, NULL, "-1",
     "tokens in front of a segment that a transformer-xl remembers; -1: as many as --context"},
    {"dropout", "dropout", FIELD_REAL, AT(dropout), 0, 0.95, NULL, "0",
     "dropout on the output of attention and MLPs"},
    {"prefix_dropout", "prefix-dropout", FIELD_REAL, AT(prefix_dropout), 0, 0.999, NULL, "0",
     "fraction of the positions before the latents that a training step leaves out"},
    {"latent_dropout", "latent-dropout", FIELD_REAL, AT(latent_dropout), 0, 0.95, NULL, "0",
     "fraction of latents that the others do not see in training"},
    {"init", NULL, FIELD_CHOICE, AT(init), 0, 0, inits, "fan_in",
     "initial weights: variance 1 / inputs, or init_scale"},
    {"init_scale", NULL, FIELD_REAL, AT(init_scale), 0, 100, NULL, "1",
     "deviation of initial weights (normal), or a factor on it (fan_in)"},
    {"branch_scale", NULL, FIELD_REAL, AT(branch_scale), 0, 100, NULL, "1",
     "factor on the initial output maps of attention and MLPs; 0: every block starts as the identity"},
    {"embedding_scale", "embedding-scale", FIELD_REAL, AT(embedding_scale), 0, 100, NULL, "1",
     "deviation of initial embeddings"},
};
const field_table model_fields = {rows, sizeof rows / sizeof *rows};

const loss_unit *model_loss_unit(const model_config *c) {
    static const loss_unit weighted = {"weighted loss", 1};
    return model_has_modalities(c) ? &weighted : &loss_units[c->loss];
}

int64_t model_outputs(const model_config *c) { return c->outputs ? c->outputs : c->vocab_size; }

static int64_t fourier_width(const field_ints *axes, int64_t bands) { return axes->count * (2 * bands + 1); }

int64_t model_fourier_width(const model_config *c, const field_ints *axes) {
    return fourier_width(axes, c->positions.bands);
}

int64_t model_position_width(const model_config *c) {
    if (c->positions.kind == POSITION_NONE) return 0;
    if (c->positions.projected) return c->positions.projected;
    return c->positions.kind == POSITION_FOURIER ? model_fourier_width(c, &c->positions.axes) : c->positions.channels;
}

int64_t model_input_width(const model_config *c) {
    int64_t content = c->input_channels ? c->input_channels : c->input_features;
    return content + (c->positions.join == JOIN_CONCAT ? model_position_width(c) : 0);
}

int64_t model_query_width(const model_config *c) {
    if (c->decoder.query == ASK_INPUTS) return model_input_width(c);
    if (c->decoder.query == ASK_FOURIER && !c->decoder.channels) return model_fourier_width(c, &c->decoder.axes);
    return c->decoder.channels;
}

bool model_has_modalities(const model_config *c) {
    for (int i = 0; i < MODALITIES; i++)
        if (c->modality[i].features) return true;
    return false;
}

int64_t model_classes(const model_config *c) {
    return model_has_modalities(c) ? c->modality[MODALITY_LABEL].features : c->outputs;
}

int64_t axes_places(const field_ints *axes) {
    int64_t places = 1;
    for (int64_t a = 0; a < axes->count && places <= MOST_TOKENS; a++) places *= axes->v[a];
    return places;
}

bool modality_is_class(const modality_config *k) { return k->grid.count == 0; }

int64_t modality_inputs(const modality_config *k) { return k->features ? axes_places(&k->axes) : 0; }

int64_t modality_outputs(const modality_config *k) { return k->features && k->outputs ? axes_places(&k->grid) : 0; }

int64_t modality_asked(const modality_config *k, bool training) {
    int64_t all = modality_outputs(k);
    return training && all && k->asked ? k->asked : all;
}

int64_t modality_input_width(const modality_config *k) { return k->features + fourier_width(&k->axes, k->bands); }

int64_t modality_query_width(const modality_config *k) {
    return modality_is_class(k) ? k->query_channels : fourier_width(&k->grid, k->bands);
}

bool model_has_rotary(const model_config *c) { return c->positions.rotary.fraction > 0; }

bool model_is_gated(const model_config *c) { return c->activation >= 4; }

int64_t model_attention_width(const model_config *c) {
    return c->cross_width == WIDTH_INPUT ? c->input_channels : c->channels;
}

int64_t model_mlp_width(int64_t channels, double ratio) {
    return (int64_t)((double)channels * ratio + 0.5);
}

int64_t model_rotary_bands(const model_config *c, int64_t width) {
    return (int64_t)((double)width * c->positions.rotary.fraction / 2);
}

int64_t model_rotary_heads(const model_config *c, int64_t heads) {
    return (int64_t)((double)heads * c->positions.rotary.heads);
}
