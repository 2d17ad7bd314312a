#include "cpu/levels.h"
#include "base/text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bits of CPUID's leaf 7 (Intel's manual, volume 2). */
enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, AVX512_BF16 = 1 << 5 };

/* Linux lets a process use the tile registers, 8 KiB a thread, when it has asked for them. */
static bool cpu_has_amx(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    unsigned a = 0, b, c, d = 0;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & AVX512_BF16)) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_BF16) || !(d & AMX_TILE)) return false;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#endif

static bool has_reference(void) { return true; }

#define SIMD_HAS(name, has, bf16)                                                                                      \
    static bool has_##name(void) { return has; }
SIMD_LEVELS(SIMD_HAS)
#undef SIMD_HAS

static const cpu_level levels[] = {
    {.name = "reference", .has = has_reference},
#define SIMD_ROW(name, has, bf16)                                                                                      \
    {#name,       has_##name,        {simd_rows_##name, simd_attend_##name, simd_found_##name}, bf16,                  \
     gemv_##name, round_bf16_##name},
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
