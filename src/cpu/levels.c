#include "cpu/levels.h"
#include "base/text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static bool has_reference(void) { return true; }

#define SIMD_HAS(name, has)                                                                                            \
    static bool has_##name(void) { return has; }
SIMD_LEVELS(SIMD_HAS)
#undef SIMD_HAS

static const cpu_level levels[] = {
    {.name = "reference", .has = has_reference},
#define SIMD_ROW(name, has)                                                                                            \
    {#name, has_##name, {simd_rows_##name, simd_attend_##name, simd_found_##name}, gemv_##name, round_bf16_##name},
    SIMD_LEVELS(SIMD_ROW)
#undef SIMD_ROW
};
enum { LEVELS = sizeof levels / sizeof *levels };

static const char *names[LEVELS + 1];

static void list_names(void) {
    int count = 0;
    for (int i = LEVELS - 1; i >= 0; i--)
        if (levels[i].has()) names[count++] = levels[i].name;
}

const char *const *cpu_levels(void) {
    static pthread_once_t listed = PTHREAD_ONCE_INIT;
    pthread_once(&listed, list_names);
    return names;
}

int cpu_level_find(const cpu_level **level, const char *name, pcv_error *err) {
    const char *forced = name ? NULL : getenv("PERCEIVER_KERNELS");
    const char *const *all = cpu_levels();
    int i = 0;
    if (forced) name = forced;
    int status = name ? name_find(&i, name, all, forced ? "PERCEIVER_KERNELS" : "kernels", err) : 0;
    for (*level = levels; strcmp((*level)->name, all[i]);) ++*level;
    return status;
}
