#include "config/run_files.h"
#include "base/number.h"

#include <string.h>

int64_t checkpoint_step(const char *name) {
    static const char prefix[] = CHECKPOINT;
    int64_t step = -1;
    const char *at = name + sizeof prefix - 1;
    if (strncmp(name, prefix, sizeof prefix - 1) || number_take_whole(&at, &step) || *at) return -1;
    return step;
}
