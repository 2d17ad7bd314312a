/* Names of what lies in a run's folder. Whoever reads or writes one of these takes its name from here. */
#ifndef CONFIG_RUN_FILES_H
#define CONFIG_RUN_FILES_H

#include <stdint.h>

#define RUN_CONFIG      "config.json"
#define RUN_WEIGHTS     "model.safetensors"     /* those of the best validation; and those of a checkpoint */
#define RUN_MOMENTS     "optimizer.safetensors" /* of a checkpoint */
#define RUN_MEMORY      "memory.safetensors"    /* of a checkpoint: a transformer-xl's, of the training's rows */
#define RUN_MANIFEST    "manifest.json"         /* of a checkpoint, written last */
#define RUN_METRICS     "metrics.jsonl"
#define RUN_REPORT      "report.html"
#define RUN_SAMPLES     "samples"
#define RUN_LOCK        "lock"
#define RUN_TOKENIZER   "tokenizer.json"        /* here and below: of data sets, too */
#define RUN_PIECES      "sentencepiece.model"
#define RUN_CODEC       "codec.safetensors"
#define RUN_CHECKPOINTS "checkpoints"           /* a folder of folders: */
#define CHECKPOINT      "step-"                 /* and eight digits */

#define DATASET_ABOUT "dataset.json"

/* The update of a checkpoint by its folder's name; -1: it is none. */
int64_t checkpoint_step(const char *name);

#endif
