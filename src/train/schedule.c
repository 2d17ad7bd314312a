#include "train/schedule.h"

#include <math.h>

double schedule_rate(const train_config *c, int64_t step, double progress) {
    double end = c->lr_end, p = progress < 0 ? 0 : progress > 1 ? 1 : progress;
    double warmup = c->warmup > 0 ? (double)c->warmup : 1, factor = 1;
    if (step < c->warmup) return c->lr * (double)(step + 1) / warmup;
    switch ((schedule_kind)c->schedule) {
    case SCHEDULE_CONSTANT: break;
    case SCHEDULE_COSINE: factor = end + (1 - end) * 0.5 * (1 + cos(3.14159265358979324 * p)); break;
    case SCHEDULE_LINEAR: factor = 1 - (1 - end) * p; break;
    case SCHEDULE_RSQRT: factor = sqrt(warmup / (double)(step + 1)); break;
    case SCHEDULE_WSD: {
        double start = 1 - c->decay_share;
        if (p > start) factor = 1 - (1 - end) * (p - start) / c->decay_share;
    }
    }
    return c->lr * factor;
}
