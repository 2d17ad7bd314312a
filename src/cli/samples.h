/* Several texts of one prompt. */
#ifndef CLI_SAMPLES_H
#define CLI_SAMPLES_H

#include "cli/options.h"

/* Can `count` files be made, FILE-1.txt, FILE-2.txt, ... for output FILE.txt? NULL: there are none to make. */
int samples_check(const char *output, int64_t count, pcv_error *err);

/* `count` texts behind what `first` holds, sampled with its seed, the next one, and so on: to those files, or to
 * standard output one behind the other. */
int samples_generate(pcv_session *first, int64_t count, const char *output, pcv_error *err);

#endif
