#include "base/available.h"

#include <limits.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* MemAvailable of /proc/meminfo in bytes, 0 when it cannot be read. */
static size_t system_available(void) {
    FILE *f = fopen("/proc/meminfo", "r");
    char line[256];
    unsigned long long kib = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) break;
    if (f) fclose(f);
    return (size_t)kib << 10;
}

/* The limit of the control group, where there is one. */
static size_t group_available(void) {
    unsigned long long limit = 0, used = 0;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");
    int found = f ? fscanf(f, "%llu", &limit) : 0;
    if (f) fclose(f);
    if (found != 1) return SIZE_MAX;
    f = fopen("/sys/fs/cgroup/memory.current", "r");
    found = f ? fscanf(f, "%llu", &used) : 0;
    if (f) fclose(f);
    return found == 1 && used < limit ? (size_t)(limit - used) : 0;
}

/* What a limit of the process's addresses (ulimit -v) leaves. */
static size_t addresses_available(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%llu", &pages) != 1) pages = 0;
    if (f) fclose(f);
    size_t used = (size_t)pages * (size_t)sysconf(_SC_PAGESIZE) + THREADS_BYTES;
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

size_t memory_peak(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (size_t)usage.ru_maxrss << 10;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

size_t memory_available(void) {
    size_t system = system_available();
    return least(least(system ? system : SIZE_MAX, group_available()), addresses_available());
}

/* Cores whose time the control group "name" (as /proc/self/cgroup has it) may take; INT_MAX: no limit. */
static int group_cores(const char *name) {
    char path[1024];
    double quota = 0, period = 0;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", name);
    FILE *f = fopen(path, "r");
    int found = f ? fscanf(f, "%lf %lf", &quota, &period) : 0; /* "max 100000" where there is no limit */
    if (f) fclose(f);
    if (found != 2 || !(quota > 0 && period > 0 && quota / period < INT_MAX - 1)) return INT_MAX;
    return (int)(quota / period + 0.999);
}

/* The least of the process's group and those around it. */
static int groups_cores(void) {
    char line[1024];
    int cores = INT_MAX;
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "0::/", 4)) continue;
        char *name = line + 3;
        name[strcspn(name, "\n")] = 0;
        for (char *end = name + strlen(name); end; end = strrchr(name, '/')) {
            *end = 0;
            int here = group_cores(name);
            if (here < cores) cores = here;
        }
    }
    if (f) fclose(f);
    return cores;
}

int cores_available(void) {
    cpu_set_t set;
    int bound = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set), group = groups_cores();
    return group < bound ? group : bound;
}

int threads_available(int64_t asked) {
    int64_t wanted = asked > 0 ? asked : omp_get_max_threads(), most = cores_available();
    if (most > MOST_THREADS) most = MOST_THREADS;
    return (int)(wanted < most ? wanted : most);
}

int threads_here(void) { return omp_in_parallel() ? 1 : threads_available(0); }
