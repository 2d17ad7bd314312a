/* Perceiver and Perceiver IO in three files: perceiver_io.c is the forward pass, perceiver_layout.c who sees whom, and
 * perceiver_settings.c what a configuration must be and what it costs. */
#ifndef MODEL_PERCEIVER_IO_H
#define MODEL_PERCEIVER_IO_H

#include "model/parts.h"

/* Are there queries behind the latents? */
static inline bool perceiver_decodes(const model_config *c) { return model_type_of(c) == &perceiver_io; }

static inline int64_t or_else(int64_t width, int64_t otherwise) { return width ? width : otherwise; }

/* Widths of queries and keys, and of values, in the cross-attention of the encoder and in its layers. */
typedef struct attention_widths {
    int64_t cross_qk, cross_v, layer_qk, layer_v;
} attention_widths;
attention_widths perceiver_widths(const model_config *c);

/* A pass on the device: B rows of M inputs, N latents and O outputs. What a shorter row lacks is behind its inputs, and
 * nobody sees it. */
typedef struct places {
    int64_t B, M, N, O;
    struct {
        int64_t M, O;     /* of a row */
        tensor *features; /* [B M, features] */
        tensor *grid;     /* [B O, P] fourier positions of what is asked for; or NULL */
        tensor *once;     /* [B most(M, O), 1] zeros: one vector for every row */
    } part[MODALITIES];   /* of several kinds of inputs */
    tensor *shown;        /* [B M, 1] of all kinds together, rows of the inputs below which the masks stand */
    bool in_order;    /* input i of every row lies at place i */
    bool all_asked;   /* output i of every row is asked for with input i */
    tensor *ids;      /* [B M, 1], or NULL */
    tensor *features; /* [B M, F], or NULL; before a convolution [B M STEM_PARTS, F / STEM_PARTS] */
    tensor *maxima;   /* [B M STEM_POOL, 1] stem_places, or NULL */
    tensor *place;    /* [B M, 1] row of the position table */
    tensor *latent;   /* [B N, 1] row of the latents */
    tensor *query;    /* [B O, 1] row of what queries come from */
    attend_spec cross, layers, decoder; /* heads and scale are the caller's */
} places;

/* A convolution in front of pictures (stem.c). An input is a quarter of a picture's rows and columns, so it has the
 * windows of STEM_PARTS places of the convolution. */
enum { STEM_POOL = 9 };
typedef struct stem_weights {
    linear_weights convolution;
    tensor *w, *b;            /* of the norm */
    tensor *mean, *variance;  /* what passes without training take: averages of what training saw */
} stem_weights;
void stem_declare(stem_weights *w, model *m);
tensor *stem_run(tape *t, const model *m, const stem_weights *w, tensor *windows, tensor *maxima); /* [B M, channels] */
/* Of each input the places of the convolution whose maximum it is: index [B M STEM_POOL]. */
void stem_places(const model *m, int64_t pictures, int32_t *index);

/* Several kinds of inputs in one array (modalities.c): each gets as wide as the widest by a vector of its own, and
 * so do the queries; behind the decoder each kind has a head. */
typedef struct modality_weights {
    tensor grid;                /* fourier positions of the inputs, or absent */
    tensor *padding, *mask;     /* [1, ...] of inputs; padding NULL: it is the widest */
    tensor *query, *query_padding;
    linear_weights head;
} modality_weights;
void modalities_declare(modality_weights w[MODALITIES], model *m);
int modalities_constants(modality_weights w[MODALITIES], const model *m, pcv_error *err);
void modalities_close(modality_weights w[MODALITIES], backend *be);
void modalities_lay_out(const model *m, pass *p, tape *t, places *s);
tensor *modalities_read(tape *t, const model *m, const modality_weights w[MODALITIES], const places *s); /* [B M, C] */
tensor *modalities_ask(tape *t, const model *m, const modality_weights w[MODALITIES], const places *s);  /* [B O, E] */

/* A linear map outside of attention and MLPs, "name.weight" and "name.bias". */
linear_weights declare_map(model *m, const char *name, int64_t out, int64_t in, bool zero, bool bias);

/* `count` numbers of each row of a batch behind each other, zeros where a row has none; NULL: no memory. */
const float *batch_floats(tape *t, const float *const *from, int64_t batch_rows, int64_t count);

/* Fills in the pass's targets, too. */
void perceiver_lay_out(const model *m, pass *p, tape *t, places *s);

extern const char *const perceiver_settings[], *const perceiver_repeats[], *const perceiver_decoder[],
    *const perceiver_modalities[];
void perceiver_complete(model_config *c);
int perceiver_check(const model_config *c, pcv_error *err);
int64_t perceiver_place_room(const model_config *c); /* for the features of a place, with encoder.places, */
int perceiver_begin(model *m, pcv_error *err);       /* whose initial weights look around places */
model_flops perceiver_flops(const model_config *c, int64_t inputs, int64_t latents);

#endif
