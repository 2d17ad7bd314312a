/* From logits to a token. The order is that of Hugging Face: repetition penalty, masked ids,
 * temperature, top-k, top-p, min-p, then a draw. */
#ifndef GEN_SAMPLER_H
#define GEN_SAMPLER_H

#include "config/run_config.h"
#include "token/token.h"

typedef struct sampler {
    const sample_config *config;
    const tokenizer *tokens;
    int64_t vocab;
    float *logits;  /* [vocab] working copy */
    int32_t *order; /* [vocab] all ids, likeliest first: sorted where a token is drawn */
} sampler;

int sampler_open(sampler *s, const sample_config *config, const tokenizer *tokens, int64_t vocab,
                 pcv_error *err);
void sampler_close(sampler *s);

/* The token number `step` of a timeline; recent [count] are the tokens before it, oldest first. The
 * draw depends on (seed, step) and the distribution alone. PCV_NUMERIC when a logit is
 * infinite or not a number. */
int sampler_pick(sampler *s, const float *logits, const int32_t *recent, size_t count, uint64_t step,
                 int32_t *id, pcv_error *err);

#endif
