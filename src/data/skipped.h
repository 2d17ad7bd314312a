/* Files that do not become part of a data set: each is noted with its reason, the first few of a kind are told as they
 * are met, and the end says how many there were of each kind.
 *
 *     TRY(skipped_add(&s, SKIP_BINARY, path, err, "%s: binary", path));
 *     skipped_tell(&s);          // "skipped 3 files: 2 binary, 1 empty" */
#ifndef DATA_SKIPPED_H
#define DATA_SKIPPED_H

#include "base/error.h"

#include <jansson.h>
#include <stdint.h>

typedef enum skip_reason {
    SKIP_NOTHING, /* the file is good */
    SKIP_UNREADABLE,
    SKIP_UNFIT, /* not what its kind of data is, or damaged */
    SKIP_BINARY,
    SKIP_EMPTY,
    SKIP_COPY,
    SKIP_CHANGED,
    SKIP_CHECKSUMS,
    SKIP_BESIDE,
    SKIP_LINK,
    SKIP_UNLABELLED,
    SKIP_REASONS
} skip_reason;

typedef struct skipped {
    const pcv_watch *watch;
    json_t *list; /* for dataset.json */
    int64_t count[SKIP_REASONS], left_out; /* left_out: by the user's own rules */
} skipped;

/* `path` is for the list alone; the line names the file itself. */
int skipped_add(skipped *s, skip_reason why, const char *path, pcv_error *err, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
int64_t skipped_files(const skipped *s);
void skipped_sum(const skipped *s, char *out, size_t size); /* "2 binary, 1 empty"; "" when none was */
void skipped_tell(const skipped *s);

#endif
