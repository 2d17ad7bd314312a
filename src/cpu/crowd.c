#include "cpu/crowd.h"
#include "base/clock.h"
#include "cpu/kernels_cpu.h"

#include <sys/resource.h>

enum { FIRST_PAUSE = 8, LAST_PAUSE = 64 }; /* stretches */
static const double STRETCH = 0.2, TINY_PASS = 0.01, LONG_PASS = 1; /* seconds */
static const double GAIN = 1.1, TAKEN_OFF = 20;                     /* a factor; times a second */

int crowd_threads(crowd *p, int most) {
    if (!p->now) *p = (crowd){.now = most, .pause = FIRST_PAUSE, .rest = 2}; /* the first stretch is slow anyway */
    return p->trial ? p->trial : p->now;
}

bool crowd_is_tiny(crowd *p, double seconds) {
    if (p->settled || seconds > TINY_PASS) return false;
    p->settled = true;
    p->now = 1;
    p->rest = 1;
    return true;
}

static void end_trial(crowd *p, double rate) {
    bool better = rate > GAIN * p->rate;
    if (better) {
        p->now = p->trial;
        p->rate = rate;
    } else {
        p->upward = !p->upward;
    }
    p->pause = better ? FIRST_PAUSE : p->pause < LAST_PAUSE ? 2 * p->pause : LAST_PAUSE;
    p->rest = p->pause;
    p->trial = 0;
}

static void begin_trial(crowd *p, int most, bool shared) {
    if (p->now == most) p->upward = false;
    if (p->now == 1) p->upward = true;
    if (!p->upward && !shared) return;
    p->trial = p->upward ? 2 * p->now : p->now / 2;
    if (p->trial > most) p->trial = most;
}

void crowd_stretch(crowd *p, int most, double rate, bool shared, bool brief) {
    p->settled = true;
    if (p->trial) {
        end_trial(p, rate);
        return;
    }
    p->rate = p->rate > 0 ? (p->rate + rate) / 2 : rate;
    if (--p->rest <= 0 && brief) begin_trial(p, most, shared);
}

/* ------------------------------------------------------------------ passes of a backend */

/* How often threads of ours were taken off their cores so far. */
static int64_t times_taken_off(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : usage.ru_nivcsw;
}

void cpu_pass_begin(backend *be, backend_pass kind) {
    cpu_context *c = be->context;
    if (c->threads < 2) return;
    crowd *p = &c->crowd[kind];
    int threads = crowd_threads(p, c->threads);
    p->most = c->threads;
    c->threads = threads;
    p->before = p->seconds;
    p->taken_off -= times_taken_off();
    p->seconds -= clock_now();
}

static void new_stretch(crowd *p) {
    p->passes = 0;
    p->taken_off = 0;
    p->work = p->seconds = 0;
}

void cpu_pass_end(backend *be, backend_pass kind, double work) {
    cpu_context *c = be->context;
    crowd *p = &c->crowd[kind];
    if (!p->most) return;
    c->threads = p->most;
    p->most = 0;
    p->seconds += clock_now();
    p->taken_off += times_taken_off();
    p->work += work;
    p->passes++;
    if (crowd_is_tiny(p, p->seconds - p->before)) new_stretch(p);
    if (p->seconds < STRETCH) return;
    bool shared = (double)p->taken_off > TAKEN_OFF * p->seconds, brief = p->seconds < LONG_PASS * p->passes;
    crowd_stretch(p, c->threads, p->work / p->seconds, shared, brief);
    new_stretch(p);
}
