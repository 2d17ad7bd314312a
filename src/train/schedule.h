/* Learning rates. */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include "config/run_config.h"

/* The learning rate of update `step` (from 0). progress, 0 to 1, is the part of the run that is over;
 * warm-up rises linearly from lr / warmup, so that no update is wasted on rate 0.
 *   constant  lr
 *   cosine    lr (e + (1 - e) (1 + cos(pi progress)) / 2),  e = lr_end
 *   linear    lr (1 - (1 - e) progress)
 *   rsqrt     lr sqrt(warmup / step)                        (T5: Raffel et al. 2020)
 *   wsd       lr, then linear to lr e over the last decay_share of the run (Hu et al. 2024) */
double schedule_rate(const train_config *c, int64_t step, double progress);

#endif
