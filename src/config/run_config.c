/* The rows of train_config, sample_config and eval_config. As in model_config.c a default of training is what a
 * config.json that lacks the key means. */
#include "config/run_config.h"

static const char *const schedules[] = {"constant", "cosine", "linear", "rsqrt", "wsd", "flat_cosine", "steps", NULL};
static const char *const optimizers[] = {"adamw", "lamb", NULL};
static const char *const begins[] = {"data", "random", NULL};
static const char *const recomputes[] = {"none", "cross", "all", NULL};
static const char *const packings[] = {"f32", "bf16", "int8", NULL};
static const char *const windows[] = {"refill", "exact", "slide", NULL};
const char *const precision_names[] = {"f32", "tf32", "bf16", NULL};
const char *const split_names[] = {"train", "validation", "test", NULL};

#define MANY 1e15
#define PRECISION_HELP \
    "f32; bf16: products round their operands, and a CUDA device holds activations and weights in it, with masters, " \
    "sums and moments in f32; tf32: a CUDA device rounds operands of products to 10 bits"
#define DEVICE_HELP "what computes: cpu, cuda, cuda:N, or auto: a CUDA device if there is one"

#define AT(member) offsetof(train_config, member)
static const field train_rows[] = {
    {"batch", "batch", FIELD_INT, AT(batch), 1, 65536, NULL, "1", "sequences computed at once"},
    {"total_batch", "total-batch", FIELD_INT, AT(total_batch), 0, 1e9, NULL, "0",
     "target tokens of one update, gathered over several batches; 0: one batch"},
    {"optimizer", "optimizer", FIELD_CHOICE, AT(optimizer), 0, 0, optimizers, "adamw",
     "AdamW, or LAMB, whose steps are as long as a tensor's weights"},
    {"lr", "lr", FIELD_REAL, AT(lr), 0, 10, NULL, "0.001", "largest learning rate"},
    {"schedule", "schedule", FIELD_CHOICE, AT(schedule), 0, 0, schedules, "cosine",
     "learning rate after the warm-up"},
    {"warmup", "warmup", FIELD_INT, AT(warmup), 0, MANY, NULL, "100",
     "updates over which the learning rate rises"},
    {"lr_end", "lr-end", FIELD_REAL, AT(lr_end), 0, 1, NULL, "0.05",
     "last learning rate, as a fraction of the largest"},
    {"decay_share", "decay-share", FIELD_REAL, AT(decay_share), 0, 1, NULL, "0.3",
     "part of the run over which schedules wsd and flat_cosine decay"},
    {"steps", "steps", FIELD_INT, AT(steps), 0, MANY, NULL, "0",
     "updates; 0: until --minutes are over"},
    {"minutes", "minutes", FIELD_REAL, AT(minutes), 0, 1e7, NULL, "0",
     "time limit; the schedule follows whichever limit ends the run; 0: none"},
    {"pace", NULL, FIELD_INTS, AT(pace), 0, MANY, NULL, "",
     "updates at which each 64th part of a run by the clock was over; followed where --steps is the last of them"},
    {"weight_decay", "weight-decay", FIELD_REAL, AT(weight_decay), 0, 10, NULL, "0.01",
     "decay of the weights of linear maps, per update, times the learning rate"},
    {"beta1", "beta1", FIELD_BELOW, AT(beta1), 0, 1, NULL, "0.9", "AdamW: decay of the mean"},
    {"beta2", "beta2", FIELD_BELOW, AT(beta2), 0, 1, NULL, "0.99",
     "AdamW: decay of the mean square"},
    {"epsilon", NULL, FIELD_REAL, AT(epsilon), 0, 1, NULL, "1e-8", "AdamW: added to the root"},
    {"clip", "clip", FIELD_REAL, AT(clip), 0, 1e9, NULL, "1",
     "largest norm of the gradient of the mean loss; 0: no limit"},
    {"z_loss", "z-loss", FIELD_REAL, AT(z_loss), 0, 1, NULL, "0.0001",
     "weight of the squared log of the softmax's sum"},
    {"label_smoothing", "label-smoothing", FIELD_REAL, AT(label_smoothing), 0, 0.9, NULL, "0",
     "probability that is spread over wrong tokens"},
    {"ema", "ema", FIELD_BELOW, AT(ema), 0, 1, NULL, "0",
     "decay of averaged weights, which are then evaluated and saved; 0: none"},
    {"begin", "begin", FIELD_CHOICE, AT(begin), 0, 0, begins, "data",
     "what token embeddings and output bias are before training: what the data set tells of its tokens (their "
     "values, a codec's vectors; how often they come), or random vectors and zeros"},
    {"min_crop", "min-crop", FIELD_INT, AT(min_crop), 0, MANY, NULL, "0",
     "shortest piece of a document to train on; 0: the latents"},
    {"vary_context", "vary-context", FIELD_REAL, AT(vary_context), 0, 1, NULL, "0",
     "fraction of the pieces trained on that are shorter than the context, by any factor down to the shortest"},
    {"flip", "flip", FIELD_BOOL, AT(flip), 0, 0, NULL, "false", "every other picture is mirrored"},
    {"shift", "shift", FIELD_INT, AT(shift), 0, 65536, NULL, "0",
     "pixels that pictures, or samples that sounds are moved by at most"},
    {"cutout", "cutout", FIELD_INT, AT(cutout), 0, 4096, NULL, "0",
     "side of a square that pictures lose, in pixels"},
    {"mask_rate", "mask-rate", FIELD_REAL, AT(mask_rate), 0.001, 0.99, NULL, "0.15",
     "fraction of the words of a text that are hidden"},
    {"mask_singles", "mask-singles", FIELD_REAL, AT(mask_singles), 0, 1, NULL, "0",
     "share of the windows in which single tokens are hidden in place of words, from which words are learned sooner"},
    {"start_length", "start-length", FIELD_INT, AT(start_length), 0, MANY, NULL, "0",
     "length of the pieces to train on at first, doubled up to the context as they are learned; 0: the context"},
    {"grow_accuracy", "grow-accuracy", FIELD_REAL, AT(grow_accuracy), 0, 1, NULL, "0.9",
     "part of recent targets that must come first before the length doubles"},
    {"seed", "seed", FIELD_INT, AT(seed), 0, MANY, NULL, "1", "of all random numbers"},
    {"threads", "threads", FIELD_INT, AT(threads), 0, 256, NULL, "0",
     "compute threads, at most; 0: one per core"},
    {"device", "device", FIELD_STRING, AT(device), 0, 0, NULL, "auto", DEVICE_HELP},
    {"precision", "precision", FIELD_CHOICE, AT(precision), 0, 0, precision_names, "f32", PRECISION_HELP},
    {"recompute", "recompute", FIELD_CHOICE, AT(recompute), 0, 0, recomputes, "none",
     "what the backward pass computes again to save memory: the cross-attention block, or all blocks"},
    {"save_every", "save-every", FIELD_INT, AT(save_every), 0, MANY, NULL, "0",
     "updates between checkpoints; 0: by time alone"},
    {"save_minutes", "save-minutes", FIELD_REAL, AT(save_minutes), 0, 1e7, NULL, "5",
     "minutes between checkpoints; 0: by updates alone"},
    {"keep", "keep", FIELD_INT, AT(keep), 2, 10000, NULL, "2", "checkpoints to keep"},
    {"eval_every", "eval-every", FIELD_INT, AT(eval_every), 0, MANY, NULL, "0",
     "updates between validations; 0: ten in a run"},
    {"eval_tokens", "eval-tokens", FIELD_INT, AT(eval_tokens), 0, MANY, NULL, "32768",
     "targets of a validation while training"},
    {"sample_every", "sample-every", FIELD_INT, AT(sample_every), 0, MANY, NULL, "0",
     "updates between samples; 0: with every validation"},
    {"log_every", "log-every", FIELD_INT, AT(log_every), 1, MANY, NULL, "10",
     "updates between lines of metrics.jsonl"},
};
#undef AT
#define AT(member) offsetof(sample_config, member)
static const field sample_rows[] = {
    {"length", "length", FIELD_INT, AT(length), 0, MANY, NULL, "512", "tokens to generate"},
    {"temperature", "temperature", FIELD_REAL, AT(temperature), 0, 100, NULL, "0.8",
     "divides the logits; 0: always the likeliest token"},
    {"top_k", "top-k", FIELD_INT, AT(top_k), 0, 1e9, NULL, "0", "keep the K likeliest tokens; 0: all"},
    {"top_p", "top-p", FIELD_REAL, AT(top_p), 0, 1, NULL, "1",
     "keep the likeliest tokens that together have this probability"},
    {"min_p", "min-p", FIELD_REAL, AT(min_p), 0, 1, NULL, "0",
     "keep tokens with at least this fraction of the likeliest one's probability"},
    {"repeat_penalty", "repeat-penalty", FIELD_REAL, AT(repeat_penalty), 0.01, 100, NULL, "1",
     "weakens tokens that were there lately; 1: not"},
    {"repeat_last", "repeat-last", FIELD_INT, AT(repeat_last), 0, 1e9, NULL, "64",
     "how many tokens lately means"},
    {"stop", "stop", FIELD_STRINGS, AT(stop), 0, 0, NULL, "",
     "stop in front of this text, whatever bytes it is; may be given more than once"},
    {"seed", "seed", FIELD_INT, AT(seed), 0, MANY, NULL, "1", "of the sampled tokens"},
    {"latents", "latents", FIELD_INT, AT(latents), 0, MANY, NULL, "0",
     "largest number of latents; 0: as trained"},
    {"threads", "threads", FIELD_INT, AT(threads), 0, 256, NULL, "0",
     "compute threads, at most; 0: one per core"},
    {"device", "device", FIELD_STRING, AT(device), 0, 0, NULL, "auto", DEVICE_HELP},
    {"precision", "precision", FIELD_CHOICE, AT(precision), 0, 0, precision_names, "f32", PRECISION_HELP},
    {"checkpoint", "checkpoint", FIELD_INT, AT(checkpoint), -1, MANY, NULL, "-1",
     "update whose checkpoint gives the weights; -1: those of the best validation"},
    {"window", "window", FIELD_CHOICE, AT(window), 0, 0, windows, "refill",
     "when the latents are full: start again with half of them, recompute all for every token, or "
     "drop the oldest"},
    {"weights", "weights", FIELD_CHOICE, AT(weights), 0, 0, packings, "f32",
     "how the weights of linear maps are held: half or a quarter of the memory to read for every token"},
    {"cache", "cache", FIELD_CHOICE, AT(cache), 0, 0, packings, "f32", "how the caches' keys and values are held"},
    {"ignore_end", "ignore-end", FIELD_BOOL, AT(ignore_end), 0, 0, NULL, "false",
     "go on behind the end of a document"},
};
#undef AT
#define AT(member) offsetof(eval_config, member)
static const field eval_rows[] = {
    {"split", "split", FIELD_CHOICE, AT(split), 0, 0, split_names, "test", "part of the data set"},
    {"latents", "latents", FIELD_INT, AT(latents), 0, MANY, NULL, "0", "latents; 0: as trained"},
    {"context", "context", FIELD_INT, AT(context), 0, MANY, NULL, "0",
     "tokens that the model reads at most; 0: as trained"},
    {"stride", "stride", FIELD_INT, AT(stride), 0, MANY, NULL, "0",
     "targets that one pass scores; 0: half the latents"},
    {"batch", "batch", FIELD_INT, AT(batch), 1, 65536, NULL, "1", "sequences computed at once"},
    {"threads", "threads", FIELD_INT, AT(threads), 0, 256, NULL, "0",
     "compute threads, at most; 0: one per core"},
    {"device", "device", FIELD_STRING, AT(device), 0, 0, NULL, "auto", DEVICE_HELP},
    {"precision", "precision", FIELD_CHOICE, AT(precision), 0, 0, precision_names, "f32", PRECISION_HELP},
    {"tokens", "tokens", FIELD_INT, AT(tokens), 0, MANY, NULL, "0",
     "score at most so many targets, spread over the split; 0: all"},
    {"examples", "examples", FIELD_INT, AT(examples), 1, MANY, NULL, "12",
     "documents of a generated data set"},
    {"seed", "seed", FIELD_INT, AT(seed), 0, MANY, NULL, "1000003", "of generated documents"},
    {"checkpoint", "checkpoint", FIELD_INT, AT(checkpoint), -1, MANY, NULL, "-1",
     "update whose checkpoint gives the weights; -1: those of the best validation"},
    {"weights", "weights", FIELD_CHOICE, AT(weights), 0, 0, packings, "f32",
     "how the weights of linear maps are held, as in generate"},
    {"memory", "memory", FIELD_INT, AT(memory), -1, MANY, NULL, "-1",
     "tokens that a transformer-xl remembers; -1: as trained"},
};
const field_table train_fields = {train_rows, sizeof train_rows / sizeof *train_rows};
const field_table sample_fields = {sample_rows, sizeof sample_rows / sizeof *sample_rows};
const field_table eval_fields = {eval_rows, sizeof eval_rows / sizeof *eval_rows};
