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
    bool in_order;    /* input i of every row lies at place i */
    tensor *ids;      /* [B M, 1], or NULL */
    tensor *features; /* [B M, F], or NULL */
    tensor *place;    /* [B M, 1] row of the position table */
    tensor *latent;   /* [B N, 1] row of the latents */
    tensor *query;    /* [B O, 1] row of what queries come from */
    attend_spec cross, layers, decoder; /* heads and scale are the caller's */
} places;

/* Fills in the pass's targets, too. */
void perceiver_lay_out(const model *m, pass *p, tape *t, places *s);

extern const char *const perceiver_settings[], *const perceiver_repeats[], *const perceiver_decoder[];
void perceiver_complete(model_config *c);
int perceiver_check(const model_config *c, pcv_error *err);
model_flops perceiver_flops(const model_config *c, int64_t inputs, int64_t latents);

#endif
