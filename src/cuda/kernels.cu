/* Which of the ways of attention a case takes. */
#include "cuda/attend.h"
#include "cuda/attend_few.h"
#include "cuda/attend_mma.h"
#include "cuda/attend_wgmma.h"
#include "cuda/kernels_cuda.h"

void cuda_attend_fwd(void *context, const attend_args *a) {
    cuda_context *c = (cuda_context *)context;
    if (few_attend_fits(a)) few_attend_fwd(c, a);
    else if (c->level == LEVEL_WGMMA && wgmma_attend_fits(c, a)) wgmma_attend_fwd(c, a);
    else if (c->level <= LEVEL_MMA && mma_attend_fits(c, a)) mma_attend_fwd(c, a);
    else plain_attend_fwd(c, a);
}

void cuda_attend_bwd(void *context, const attend_bwd_args *b) {
    cuda_context *c = (cuda_context *)context;
    bool reals = b->dq.type == BF16 && b->dk.type == BF16 && b->dv.type == BF16; /* not those of weights */
    if (reals && c->level == LEVEL_WGMMA && wgmma_attend_bwd_fits(c, b)) wgmma_attend_bwd(c, b);
    else if (c->level <= LEVEL_MMA && mma_attend_bwd_fits(c, b)) mma_attend_bwd(c, b);
    else plain_attend_bwd(c, b);
}

int64_t cuda_attend_chunks(const backend *be, int64_t batch, int64_t heads, int64_t width, int64_t keys) {
    const cuda_context *c = (const cuda_context *)be->context;
    if (!c->bf16 || c->level == LEVEL_PLAIN) return 1;
    if (c->level == LEVEL_WGMMA && wgmma_attend_takes(width))
        return wgmma_attend_chunks(c->multiprocessors, batch, heads, keys);
    return mma_attend_chunks(c->multiprocessors, batch, heads, keys);
}
