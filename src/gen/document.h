/* Generated documents as files: pictures, music, sound. */
#ifndef GEN_DOCUMENT_H
#define GEN_DOCUMENT_H

#include "gen/engine.h"

/* A fresh document as a file, of pictures a sheet of four; for tokenizers that write. */
int document_sample(decoder *d, const tokenizer *t, const sample_config *config, const char *path, pcv_error *err);

/* As pcv_generate_document. */
int generate_document(pcv_engine *engine, const pcv_document_options *options, const pcv_settings *settings,
                      const pcv_watch *watch, pcv_generation *generation, pcv_error *err);

#endif
