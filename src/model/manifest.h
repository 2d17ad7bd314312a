/* What a checkpoint's manifest.json says of the files beside it: their lengths and hashes, and its own hash, so that
 * nothing is loaded that is not what was saved.
 *
 *     TRY(manifest_read(&manifest, folder, run_id, err));
 *     TRY(manifest_check_file(manifest, folder, RUN_WEIGHTS, err)); */
#ifndef MODEL_MANIFEST_H
#define MODEL_MANIFEST_H

#include "base/file.h"

#include <jansson.h>

#define MANIFEST_FORMAT "perceiver.c checkpoint" /* "format" */
#define MANIFEST_HASH   "manifest_xxh3_128"      /* the key of its own hash */
enum { MANIFEST_LIMIT = 1 << 20 };

/* The caller frees *manifest, whatever the status. PCV_DATA where it is another run's, or has been changed. */
int manifest_read(json_t **manifest, const char *folder, const char *run_id, pcv_error *err);

/* Is the file what it was when it was saved? */
int manifest_check_file(const json_t *manifest, const char *folder, const char *name, pcv_error *err);

/* The hash of a manifest's values, its own hash left out, whatever its white space. */
int manifest_hash(const json_t *manifest, char hash[HASH_TEXT], pcv_error *err);

#endif
