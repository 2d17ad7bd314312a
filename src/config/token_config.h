/* What `prepare` is told about the way from files to tokens; a tokenizer keeps what concerns it in tokenizer.json. */
#ifndef CONFIG_TOKEN_CONFIG_H
#define CONFIG_TOKEN_CONFIG_H

#include "base/fields.h"

typedef enum channel_ids { CHANNEL_IDS_SHARED, CHANNEL_IDS_OWN } channel_ids;

typedef struct token_config {
    /* text */
    int64_t pieces;         /* sentencepiece: to learn */
    char model[FIELD_TEXT]; /* sentencepiece: a model file of the user's own, or "" */
    /* images */
    int64_t size;                /* pixels of each side */
    char order[FIELD_TEXT];      /* "raster", "planes", "spiral", "coarse-to-fine", "random:SEED", or a file */
    char background[FIELD_TEXT]; /* "#rrggbb", seen through transparent pixels */
    int channel_ids;             /* red, green and blue share 256 ids, or have 256 each */
    /* music */
    double longest_note; /* seconds, of a sampled note; 0: no limit */
    /* audio */
    int64_t rate;      /* samples a second */
    int64_t frame;     /* rvq: samples of a frame */
    int64_t codebooks; /* rvq: for each frame */
    int64_t codes;     /* rvq: in a codebook */
    /* films */
    int64_t frames;    /* of a film */
    int64_t samples;   /* of sound beside each; 0: it is not heard */
    double frame_rate; /* frames a second */
    /* Set by the command line, whose paths are the user's own. Of what a data set or a run says, nothing is a path. */
    bool by_user;
} token_config;

extern const field_table token_fields;

#endif
