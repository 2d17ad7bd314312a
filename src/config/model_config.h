/* What describes a model: single switches, so that every published variant is a combination of them.
 * The table in model_config.c gives each its name in config.json, flag, default and meaning. */
#ifndef CONFIG_MODEL_CONFIG_H
#define CONFIG_MODEL_CONFIG_H

#include "base/fields.h"

enum { MOST_TOKENS = 1 << 24 }; /* in a context, and in all rows of a batch */

/* The architectures: what each is called here, and the file of model/ that says what it can (model/architecture.h). */
#define ARCHITECTURES(ROW) \
    ROW("perceiver-ar", perceiver_ar) \
    ROW("transformer", transformer) \
    ROW("sparse-transformer", sparse_transformer) \
    ROW("transformer-xl", transformer_xl) \
    ROW("perceiver", perceiver) \
    ROW("perceiver-io", perceiver_io)

typedef enum sparse_kind { SPARSE_STRIDED, SPARSE_FIXED } sparse_kind;
typedef enum norm_choice { NORM_LAYER, NORM_RMS } norm_choice;
typedef enum bias_choice { BIAS_ALL, BIAS_CROSS_OUTPUT, BIAS_NONE, BIAS_MLP } bias_choice;
typedef enum query_choice { QUERY_LINEAR, QUERY_IDENTITY, QUERY_MLP, QUERY_LEARNED, QUERY_SHARED } query_choice;
typedef enum kv_norm_choice { KV_NORM_INPUT, KV_NORM_QUERY, KV_NORM_SHARED } kv_norm_choice;
typedef enum width_choice { WIDTH_INPUT, WIDTH_LATENT } width_choice;
typedef enum position_kind { POSITION_NONE, POSITION_LEARNED, POSITION_SINUSOIDAL, POSITION_FOURIER } position_kind;
/* How tokens without positions of their own are numbered: 0, 1, 2, ...; 1, 2, 3, ...; as the data says (a picture's
 * columns, rows and channels); ..., 2, 1, 0 (distance from the last token); ..., -2, -1, 0. */
typedef enum position_origin {
    ORIGIN_ZERO, ORIGIN_ONE, ORIGIN_DATA, ORIGIN_END, ORIGIN_NEGATIVE_END
} position_origin;
/* Words as a whole, or tokens one by one: which are found more easily. */
typedef enum mask_choice { MASK_WORDS, MASK_TOKENS } mask_choice;
/* How a perceiver's positions meet what its inputs hold. */
typedef enum position_join { JOIN_CONCAT, JOIN_ADD } position_join;
/* What the decoder of a perceiver-io asks with: a learned table, the positions of a grid, or the inputs themselves. */
typedef enum decoder_query { ASK_LEARNED, ASK_FOURIER, ASK_INPUTS } decoder_query;
typedef enum rotary_layout { ROTARY_INTERLEAVED, ROTARY_HALVES } rotary_layout;
typedef enum weight_init { WEIGHTS_FAN_IN, WEIGHTS_NORMAL } weight_init;

/* One kind of inputs among several, and what is asked about it. Inputs and outputs are numbers on a grid with Fourier
 * features of their places; or, without a grid, one vector that says a class. */
typedef struct modality_config {
    int64_t features;      /* numbers of an input; 0: the model has no such inputs, and everything else is as it is */
    field_ints axes, grid; /* places of the inputs, and of the outputs; empty: one, without a place */
    int64_t outputs;       /* numbers of an output, or classes */
    int64_t asked;         /* outputs that a training step asks for, drawn anew; 0: all */
    int64_t bands;         /* as positions.bands and positions.resolution */
    field_ints resolution;
    int64_t query_channels; /* of the learned query without a grid */
    double weight;          /* of its mean loss in the whole */
    double hidden;          /* probability that an input is hidden in training */
} modality_config;
enum { MODALITY_AUDIO, MODALITY_IMAGE, MODALITY_LABEL, MODALITIES }; /* the order of their inputs and outputs */
extern const char *const modality_names[MODALITIES];

/* Of the convolution in front of pictures (model/stem.c): pixels of a window's side, how much smaller sides get,
 * windows of an input, and their pixels. */
enum { STEM_SIDE = 7, STEM_SHRINKS = 4, STEM_PARTS = 4, STEM_FEATURES = STEM_PARTS * STEM_SIDE * STEM_SIDE };

typedef struct rotary_config {
    double fraction;       /* of a head's channels, 0: no rotary positions */
    double heads;          /* of the heads */
    double base;           /* longest wavelength, 0: the context */
    bool endpoint;         /* the last wavelength is exactly the base */
    int layout;            /* rotary_layout */
    int64_t layers;        /* self-attention layers that rotate, -1: all */
    int64_t query_offset;  /* added to the latents' positions */
    int64_t head_group;    /* `heads` counts within groups of so many cross heads, 0: all */
} rotary_config;

typedef struct model_config {
    int architecture; /* row of ARCHITECTURES */
    int64_t vocab_size, context, latents;
    int64_t input_features; /* 0: the inputs are ids; else vectors of so many numbers, mapped by a linear layer */
    int64_t convolution; /* channels of a 7 x 7 convolution in front of pictures; 0: there is none */
    int64_t permute; /* pixels of all pictures change places by the order of this seed; 0: they do not */
    int mask; /* mask_choice: what of a text is hidden, and to be found */
    int64_t patch; /* pixels of a side, or samples, that are one such vector */
    int64_t spectrum; /* of a sound the vector is the spectrum of so many samples around them; 0: the samples */
    int64_t channels, input_channels; /* Z and E; input_channels 0: as channels */
    int64_t heads, cross_heads;       /* cross_heads 0: as heads */
    int64_t layers;
    double mlp_ratio, cross_mlp_ratio; /* cross 0: as mlp_ratio */
    int activation;                    /* index as in tensor/kernels.h */
    int norm, bias, query, latent_kv_norm, cross_width;
    double norm_epsilon;
    int64_t query_layers; /* of query mlp */
    bool query_residual, initial_cross, scale_scores, qk_norm;
    struct {
        int kind, origin;
        double scale;    /* of a fixed position code, beside the token embeddings */
        int64_t middle;  /* documents of so many tokens stand in the middle of the context, 0: they begin where it
                            does; -1: as the data set's do */
        field_ints axes; /* rows of each position table; empty: one axis, of a row for every position of the context */
        rotary_config rotary;
        int64_t bands;         /* of a perceiver's fourier features, on each axis */
        field_ints resolution; /* twice their highest frequency on each axis; empty: the axes */
        int64_t channels;      /* of a perceiver's learned positions, 0: as input_channels */
        int64_t projected;     /* and of what a linear map makes of them, 0: there is none */
        int join;              /* position_join */
    } positions;
    bool tied_embeddings, output_norm, output_bias, zero_head;
    int64_t latents_per_position;
    int64_t self_reach; /* latents that a latent sees in a layer at most, itself included; 0: all */
    field_ints cross_after_layers;
    int64_t near; /* inputs that a latent's cross-attention sees at most, its own included; 0: all up to it */
    struct {
        field_ints orders; /* an index head for each: it looks where that many tokens stood before; empty: none */
        int64_t places;    /* that each looks at, the nearest */
        int64_t width;     /* channels of a head */
    } index;
    struct {
        int kind; /* sparse_kind */
        int64_t stride, summary;
    } sparse;
    struct {
        int64_t blocks;         /* times that the layers run, with the same weights */
        int64_t cross_attends;  /* of these behind a cross-attention, the first ones */
        bool share_first_cross; /* the first cross-attention has the weights of the later ones */
        bool share_first_block; /* and the layers' first run those of the later ones */
        int64_t qk_channels;    /* of queries and keys; 0: layers as channels, cross-attention as cross_width says */
        int64_t v_channels;     /* of values; 0: as qk_channels */
        bool places;            /* latents begin at places of the inputs (model/perceiver_begin.c) */
    } encoder;
    struct {
        int query;         /* decoder_query */
        int64_t queries;   /* outputs; 0: one for each input */
        field_ints axes;   /* of the grid that fourier queries come from; empty: that of the inputs */
        int64_t channels;  /* of a query; 0: as channels, or as wide as what it is made from */
        int64_t heads, qk_channels, v_channels; /* 0: as channels, and as qk_channels */
        double mlp_ratio;
        bool residual;     /* it adds to its query */
        int64_t padding;   /* as modality_padding, of queries */
    } decoder;
    modality_config modality[MODALITIES];
    int64_t modality_padding; /* learned numbers that the widest kind of inputs ends with; the others more */
    int64_t outputs; /* numbers of each output: classes, or values; 0: as the vocabulary or the data's labels */
    int loss;        /* loss_name: what an output is compared with */
    double output_scale; /* factor on outputs that are numbers */
    int64_t memory; /* of a transformer-xl: tokens in front of a segment of `context` that its layers see */
    double dropout, prefix_dropout, latent_dropout;
    int init;
    double init_scale, branch_scale, embedding_scale;
} model_config;

extern const field_table model_fields;

/* An output is what chances follow from, of ids or of classes; or numbers, whose distance from others counts
 * (distance_args). */
typedef enum loss_name { LOSS_CROSS_ENTROPY, LOSS_SQUARED, LOSS_ABSOLUTE, LOSS_END_POINT, LOSS_SIGMOID } loss_name;
extern const char *const loss_names[]; /* ends with NULL */

/* What a mean loss is told in, and what it is multiplied by for that: bits, of nats. */
typedef struct loss_unit {
    const char *name;
    double factor;
} loss_unit;
const loss_unit *model_loss_unit(const model_config *c);
extern const loss_unit loss_units[]; /* by loss_name */

/* Widths and counts that several places need. */
int64_t model_attention_width(const model_config *c);             /* C of the cross-attention */
int64_t axes_places(const field_ints *axes); /* of a grid; above MOST_TOKENS only that it is */
int64_t model_outputs(const model_config *c);        /* of an output */
int64_t model_position_width(const model_config *c); /* of a perceiver's positions, 0: it has none */
int64_t model_fourier_width(const model_config *c, const field_ints *axes);
int64_t model_input_width(const model_config *c);    /* of its inputs, positions among them */
int64_t model_query_width(const model_config *c);    /* of its decoder's queries */
bool model_has_modalities(const model_config *c);
int64_t model_classes(const model_config *c); /* that a model that answers tells apart; of numbers: how many */
bool modality_is_class(const modality_config *k);
int64_t modality_inputs(const modality_config *k);  /* places of the inputs, */
int64_t modality_outputs(const modality_config *k); /* and of the outputs; 0: there are none */
int64_t modality_asked(const modality_config *k, bool training); /* of these, so many are asked for */
int64_t modality_input_width(const modality_config *k); /* before padding */
int64_t modality_query_width(const modality_config *k);
int64_t model_mlp_width(int64_t channels, double ratio);          /* hidden units */
int64_t model_rotary_bands(const model_config *c, int64_t width); /* pairs turned in a head; both floors of products */
int64_t model_rotary_heads(const model_config *c, int64_t heads); /* in double, as published: 57 of 100 with 0.58 */
bool model_has_rotary(const model_config *c);
bool model_is_gated(const model_config *c);

#endif
