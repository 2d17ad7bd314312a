/* Which class was taken for which, as a table or a picture. */
#ifndef EVAL_CONFUSION_H
#define EVAL_CONFUSION_H

#include "base/error.h"

#include <stdint.h>

enum { CONFUSION_DRAWN = 64 }; /* classes of a picture at most */

/* PCV_USAGE: the name ends neither in .csv nor in .svg. */
int confusion_check(const char *path, pcv_error *err);

/* counts [classes, classes]: rows are what examples are, columns the answers. */
int confusion_write(const char *path, const int64_t *counts, const char *const *names, int64_t classes, pcv_error *err);

#endif
