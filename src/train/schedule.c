#include "train/schedule.h"

#include <math.h>

static double half_wave(double end, double p) { return end + (1 - end) * 0.5 * (1 + cos(3.14159265358979324 * p)); }

double schedule_rate(const train_config *c, int64_t step, double progress) {
    double end = c->lr_end, p = progress < 0 ? 0 : progress > 1 ? 1 : progress;
    double warmup = c->warmup > 0 ? (double)c->warmup : 1, factor = 1;
    if (step < c->warmup) return c->lr * (double)(step + 1) / warmup;
    switch ((schedule_kind)c->schedule) {
    case SCHEDULE_CONSTANT: break;
    case SCHEDULE_COSINE: factor = half_wave(end, p); break;
    case SCHEDULE_LINEAR: factor = 1 - (1 - end) * p; break;
    case SCHEDULE_RSQRT: factor = sqrt(warmup / (double)(step + 1)); break;
    case SCHEDULE_STEPS: factor = p < 0.7 ? 1 : p < 0.85 ? 0.1 : p < 0.95 ? 0.01 : 0.001; break;
    case SCHEDULE_FLAT_COSINE: {
        double start = 1 - c->decay_share, left = 1 - p;
        if (p > start) factor = half_wave(end, 1 - left / c->decay_share);
        break;
    }
    case SCHEDULE_WSD: {
        double start = 1 - c->decay_share;
        if (p > start) factor = 1 - (1 - end) * (p - start) / c->decay_share;
    }
    }
    return c->lr * factor;
}
