/* Runs the blocks of a launch (emulator.h): one fiber for each thread that waits, and for the one that runs.
 *
 * A fiber runs thread after thread until one of them has to wait; then the next goes on in another fiber. So a kernel
 * without barriers is a loop over calls. Whoever completes a barrier, or a meeting of lanes, makes those ready that
 * wait there and goes on itself. If nobody is ready, none is left to start and not all have ended, then the block
 * waits for ever: the report says who waits where. Fibers and their stacks stay for the next block. */
#include "emulator.h"
#include "emulator_fiber.h"

#include <cstdarg>
#include <mutex>
#include <unordered_map>
#include <vector>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

enum { THREADS = 1024, BARRIERS = 16, SHARED_PLAIN = 48 << 10, SHARED_MOST = 227 << 10 };

namespace {

enum state { FRESH, READY, WAITING, ENDED };

struct thread {
    uint3 index;
    fiber *where;
    state now;
    const char *what, *file; /* it waits for, and from where */
    int line;
};

/* Threads that came, of those that are expected; ids in the order of their coming. */
struct barrier {
    int expected, came, votes;
    std::vector<int> waiting;
    emulated_votes result;
    const char *file;
    int line;
};

/* Lanes that come together; `first` is the thread of lane 0. */
struct meeting {
    void (*run)(void **all, int lanes);
    unsigned mask; /* of a warp; a warpgroup is always complete */
    int lanes, members, came, first;
    bool all_needed;
    void *all[128]; /* of which only `lanes` are in use: filling the rest would take longer than most meetings do */
    meeting() {
    }
};

/* What a lane asks for. */
struct coming {
    void (*run)(void **all, int lanes);
    unsigned mask;
    int lanes;
    bool all_needed;
};

/* The block that runs. */
struct block_state {
    const emulated_kernel *kernel;
    int threads, started, ended, current;
    long idle_turns; /* yields since anything else happened */
    thread thread_of[THREADS];
    int gone[THREADS / 32 + 3]; /* threads of a warp that have ended or were never there; a warpgroup reads four */
    int order[THREADS];
    int ready[THREADS], ready_first, ready_count;
    barrier barriers[BARRIERS];
    std::vector<meeting> meetings[THREADS / 32];
    unsigned char *shared;
} block;

std::mutex one_launch;
bool in_kernel;
std::vector<fiber *> idle;
unsigned order_seed, random_state;
bool order_known;

unsigned random_below(unsigned n) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % n;
}

bool shuffled() {
    return order_seed > 1;
}

} // namespace

void emulated_abort(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fflush(stdout);
    fprintf(stderr, "emulator: ");
    if (in_kernel)
        fprintf(stderr, "%s, block (%u, %u, %u), thread (%u, %u, %u): ", block.kernel->name, blockIdx.x, blockIdx.y,
                blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    abort();
}

void emulated_order(unsigned order) {
    order_seed = order;
    order_known = true;
}

/* ---------------------------------------------------------------- who runs */
static bool same_place(const thread *a, const thread *b) {
    return a->now == b->now && (a->now != WAITING || (a->what == b->what && a->line == b->line));
}

[[noreturn]] static void report_deadlock() {
    fflush(stdout);
    fprintf(stderr, "emulator: %s, block (%u, %u, %u) waits for ever:\n", block.kernel->name, blockIdx.x, blockIdx.y,
            blockIdx.z);
    for (int from = 0, to, rows = 0; from < block.threads && rows < 40; from = to, rows++) {
        const thread *t = &block.thread_of[from];
        for (to = from + 1; to < block.threads && same_place(t, &block.thread_of[to]);) to++;
        fprintf(stderr, "  threads %d to %d ", from, to - 1);
        if (t->now == ENDED) fprintf(stderr, "have ended\n");
        else fprintf(stderr, "wait for %s at %s:%d\n", t->what, t->file, t->line);
    }
    abort();
}

static void make_ready(int t) {
    block.thread_of[t].now = READY;
    block.ready[(block.ready_first + block.ready_count++) % THREADS] = t;
    block.idle_turns = 0;
}

static void make_current(int t) {
    block.current = t;
    block.thread_of[t].now = READY;
    threadIdx = block.thread_of[t].index;
}

/* The thread that goes on, or -1; one that has not started has no fiber. */
static int pick(bool fresh_first = false) {
    bool fresh = block.started < block.threads;
    if (block.ready_count && !(fresh && (fresh_first || (shuffled() && random_below(2))))) {
        int *first = &block.ready[block.ready_first];
        if (shuffled()) std::swap(*first, block.ready[(block.ready_first + random_below(block.ready_count)) % THREADS]);
        block.ready_first = (block.ready_first + 1) % THREADS;
        block.ready_count--;
        return *first;
    }
    if (!fresh) return -1;
    block.idle_turns = 0;
    return block.order[block.started++];
}

static void fiber_main();

static fiber *idle_fiber() {
    if (idle.empty()) return fiber_new(fiber_main);
    fiber *f = idle.back();
    idle.pop_back();
    return f;
}

/* Until the current thread is picked again. */
static void change_over(bool fresh_first = false) {
    int next = pick(fresh_first);
    if (next < 0) report_deadlock();
    if (next == block.current) return;
    thread *t = &block.thread_of[next];
    if (!t->where) t->where = idle_fiber();
    make_current(next);
    fiber_switch(t->where);
}

static void wait_for(const char *what, const char *file, int line) {
    thread *t = &block.thread_of[block.current];
    t->now = WAITING;
    t->what = what;
    t->file = file;
    t->line = line;
    change_over();
}

/* The one who completes goes on, or any of those who waited. */
static void go_on() {
    if (!shuffled()) return;
    make_ready(block.current);
    change_over();
}

static void leave_meetings(int t);

static void fiber_main() {
    for (;;) {
        fiber *here = fiber_running();
        block.kernel->run(block.kernel->function, block.kernel->arguments);
        thread *t = &block.thread_of[block.current];
        t->now = ENDED;
        t->where = nullptr;
        block.ended++;
        block.gone[block.current / 32]++;
        block.idle_turns = 0;
        leave_meetings(block.current);
        int next = pick();
        if (next < 0 && block.ended < block.threads) report_deadlock();
        fiber *there = next < 0 ? fiber_host() : block.thread_of[next].where;
        if (next >= 0) make_current(next);
        if (there) {
            idle.push_back(here);
            fiber_switch(there); /* and back with a thread that starts */
        } else {
            block.thread_of[next].where = here;
        }
    }
}

static void check_in_kernel(const char *what) {
    if (!in_kernel) emulated_abort("%s outside of a kernel", what);
}

void emulated_yield(const char *file, int line) {
    check_in_kernel("emulated_yield");
    if (++block.idle_turns > 1000L * block.threads) report_deadlock();
    thread *t = &block.thread_of[block.current];
    long turns = block.idle_turns;
    make_ready(block.current);
    block.idle_turns = turns;
    t->what = "emulated_yield";
    t->file = file;
    t->line = line;
    change_over(true);
}

/* ---------------------------------------------------------------- barriers */
static void complete_barrier(barrier *b) {
    b->result = {b->votes, b->votes == b->came, b->votes > 0};
    b->came = b->votes = 0;
    for (int t : b->waiting) make_ready(t);
    b->waiting.clear();
}

emulated_votes emulated_syncthreads(int vote, const char *file, int line) {
    check_in_kernel("__syncthreads");
    barrier *b = &block.barriers[0];
    if (!b->came) {
        b->file = file;
        b->line = line;
    } else if (b->line != line || strcmp(b->file, file) != 0) {
        emulated_abort("__syncthreads at %s:%d, while others wait at %s:%d", file, line, b->file, b->line);
    }
    b->came++;
    b->votes += vote != 0;
    if (b->came == block.threads) {
        complete_barrier(b);
        emulated_votes result = b->result;
        go_on();
        return result;
    }
    b->waiting.push_back(block.current);
    wait_for("__syncthreads", file, line);
    return b->result;
}

/* True when the barrier is complete now. */
static bool come_to_barrier(int id, int threads, const char *what) {
    check_in_kernel(what);
    if (id < 1 || id >= BARRIERS) emulated_abort("%s: barrier %d, expected 1 to %d", what, id, BARRIERS - 1);
    if (threads < 32 || threads % 32) emulated_abort("%s: %d threads, expected a multiple of 32", what, threads);
    if (threads > (block.threads + 31) / 32 * 32)
        emulated_abort("%s: barrier %d of %d threads in a block of %d", what, id, threads, block.threads);
    barrier *b = &block.barriers[id];
    if (b->came && b->expected != threads)
        emulated_abort("%s: barrier %d of %d threads, others came for %d", what, id, threads, b->expected);
    b->expected = threads;
    block.idle_turns = 0;
    if (++b->came < threads) return false;
    complete_barrier(b);
    return true;
}

void barrier_sync(int id, int threads, const char *file, int line) {
    if (come_to_barrier(id, threads, "barrier_sync")) {
        go_on();
        return;
    }
    block.barriers[id].waiting.push_back(block.current);
    wait_for("barrier_sync", file, line);
}

void barrier_arrive(int id, int threads, const char *, int) {
    come_to_barrier(id, threads, "barrier_arrive");
}

/* ---------------------------------------------------------------- meetings */
/* Or it was never there: the last warp of a block need not be full. */
static bool has_ended(int t) {
    return t >= block.threads || block.thread_of[t].now == ENDED;
}

static bool some_gone(const meeting *m) {
    const int *gone = &block.gone[m->first / 32];
    return m->lanes > 32 ? gone[0] + gone[1] + gone[2] + gone[3] : gone[0];
}

static bool belongs(const meeting *m, int lane) {
    return m->lanes > 32 || m->mask >> lane & 1u;
}

static bool is_complete(const meeting *m) {
    for (int i = 0; i < m->lanes; i++)
        if (belongs(m, i) && !m->all[i] && !has_ended(m->first + i)) return false;
    return true;
}

/* For all of them at once: what they handed in lies on their stacks while they wait. */
static void complete_meeting(std::vector<meeting> *open, size_t which) {
    meeting *m = &(*open)[which];
    m->run(m->all, m->lanes);
    for (int i = 0; i < m->lanes; i++)
        if (m->all[i] && m->first + i != block.current) make_ready(m->first + i);
    if (which + 1 < open->size()) *m = open->back();
    open->pop_back();
}

static void check_none_missing(const meeting *m, const char *what) {
    if (!m->all_needed || (!block.ended && block.threads % m->lanes == 0)) return;
    for (int i = 0; i < m->lanes; i++)
        if (has_ended(m->first + i)) emulated_abort("%s of %d lanes, but lane %d has ended", what, m->lanes, i);
}

/* A thread that has ended keeps nobody waiting. */
static void leave_meetings(int t) {
    for (int lanes = 32; lanes <= 128; lanes *= 4) {
        int first = t / lanes * lanes;
        std::vector<meeting> *open = &block.meetings[first / 32];
        for (size_t i = 0; i < open->size();) {
            meeting *m = &(*open)[i];
            if (m->lanes != lanes || !belongs(m, t - first) || !is_complete(m)) {
                i++;
                continue;
            }
            check_none_missing(m, "a collective");
            complete_meeting(open, i);
        }
    }
}

/* The one that others opened, or a new one. */
static meeting *find_meeting(std::vector<meeting> *open, const coming *c, int first) {
    for (meeting &m : *open)
        if (m.run == c->run && m.mask == c->mask && m.lanes == c->lanes) return &m;
    open->emplace_back();
    meeting *m = &open->back();
    m->run = c->run;
    m->mask = c->mask;
    m->lanes = c->lanes;
    m->members = c->lanes > 32 ? c->lanes : __builtin_popcount(c->mask);
    m->came = 0;
    m->first = first;
    m->all_needed = c->all_needed;
    memset(m->all, 0, (size_t)c->lanes * sizeof *m->all);
    return m;
}

static void meet(const coming *c, void *mine, const char *what, const char *file, int line) {
    int lane = block.current % c->lanes, first = block.current - lane;
    std::vector<meeting> *open = &block.meetings[first / 32];
    meeting *m = find_meeting(open, c, first);
    check_none_missing(m, what);
    m->all[lane] = mine;
    m->came++;
    /* Counting is quick, and enough unless some have ended. */
    if (m->came == m->members || (some_gone(m) && is_complete(m))) {
        complete_meeting(open, (size_t)(m - open->data()));
        go_on();
    } else {
        wait_for(what, file, line);
    }
}

int emulated_lane() {
    check_in_kernel("a warp function");
    return block.current % 32;
}

void emulated_warp(unsigned mask, void *mine, void (*run)(void **, int), const char *what, const char *file, int line) {
    check_in_kernel(what);
    int lane = block.current % 32;
    if (!(mask >> lane & 1u)) emulated_abort("%s: lane %d is not in its own mask 0x%08x", what, lane, mask);
    coming c = {run, mask, 32, false};
    meet(&c, mine, what, file, line);
}

void emulated_collective(void *mine, int lanes, void (*run)(void **, int), const char *file, int line) {
    check_in_kernel("emulated_collective");
    if (lanes != 32 && lanes != 128) emulated_abort("emulated_collective of %d lanes, expected 32 or 128", lanes);
    if (!mine) emulated_abort("emulated_collective of NULL");
    coming c = {run, 0xffffffffu, lanes, true};
    meet(&c, mine, "emulated_collective", file, line);
}

/* ---------------------------------------------------------------- launches */
static std::unordered_map<const void *, size_t> shared_allowed; /* where it is more than SHARED_PLAIN */

cudaError_t emulated_function_attribute(const void *kernel, cudaFuncAttribute attribute, int value) {
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || value > SHARED_MOST) return cudaErrorInvalidValue;
    std::lock_guard<std::mutex> hold(one_launch);
    shared_allowed[kernel] = (size_t)value;
    return cudaSuccess;
}

static void check_launch(const emulated_kernel *kernel, dim3 grid, dim3 size, size_t shared_bytes) {
    const char *name = kernel->name;
    uint64_t threads = (uint64_t)size.x * size.y * size.z;
    if (!grid.x || !grid.y || !grid.z || !threads) emulated_abort("%s: an empty launch", name);
    if (grid.x > INT_MAX || grid.y > 65535 || grid.z > 65535)
        emulated_abort("%s: a grid of %u x %u x %u blocks, expected at most %d x 65535 x 65535", name, grid.x, grid.y,
                       grid.z, INT_MAX);
    if (threads > THREADS || size.z > 64)
        emulated_abort("%s: a block of %u x %u x %u threads, expected at most %d, and 64 in z", name, size.x, size.y,
                       size.z, THREADS);
    if (shared_bytes > SHARED_MOST)
        emulated_abort("%s: %zu bytes of shared memory, expected at most %d", name, shared_bytes, SHARED_MOST);
    auto allowed = shared_allowed.find(kernel->function);
    if (shared_bytes > SHARED_PLAIN && (allowed == shared_allowed.end() || allowed->second < shared_bytes))
        emulated_abort("%s: %zu bytes of shared memory, but cudaFuncSetAttribute did not ask for them", name,
                       shared_bytes);
}

static void begin_block() {
    block.started = block.ended = 0;
    block.idle_turns = 0;
    block.ready_first = block.ready_count = 0;
    memset(block.gone, 0, sizeof block.gone);
    if (block.threads % 32) block.gone[block.threads / 32] = 32 - block.threads % 32;
    for (int t = 0; t < block.threads; t++) {
        block.thread_of[t].where = nullptr;
        block.thread_of[t].now = FRESH;
        block.order[t] = order_seed == 1 ? block.threads - 1 - t : t;
    }
    for (int t = block.threads - 1; shuffled() && t > 0; t--)
        std::swap(block.order[t], block.order[random_below((unsigned)t + 1)]);
    for (barrier &b : block.barriers) b.came = b.votes = 0;
}

static void run_block() {
    begin_block();
    int first = pick();
    make_current(first);
    block.thread_of[first].where = idle_fiber();
    fiber_switch(block.thread_of[first].where);
}

unsigned char *emulated_shared() {
    check_in_kernel("DYNAMIC_SHARED");
    if (!block.shared) emulated_abort("DYNAMIC_SHARED, but the launch asks for no shared memory");
    return block.shared;
}

static void set_order() {
    const char *order = getenv("EMULATOR_ORDER");
    if (!order_known && order) order_seed = (unsigned)strtoul(order, nullptr, 10);
    order_known = true;
    random_state = order_seed * 2654435761u + 1;
}

void emulated_launch(const emulated_kernel *kernel, dim3 grid, dim3 size, size_t shared_bytes) {
    static thread_local bool launching;
    if (launching) emulated_abort("a launch of %s inside of a kernel", kernel->name);
    std::lock_guard<std::mutex> hold(one_launch);
    launching = true;
    check_launch(kernel, grid, size, shared_bytes);
    set_order();
    block.kernel = kernel;
    block.threads = (int)(size.x * size.y * size.z);
    blockDim = size;
    gridDim = grid;
    for (int t = 0; t < block.threads; t++) {
        unsigned n = (unsigned)t;
        block.thread_of[t].index = {n % size.x, n / size.x % size.y, n / size.x / size.y};
    }
    void *shared = nullptr;
    if (shared_bytes && posix_memalign(&shared, 1024, shared_bytes)) emulated_abort("no memory");
    block.shared = (unsigned char *)shared;
    in_kernel = true;
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t n = order_seed & 1 ? blocks - 1 - i : i;
        blockIdx = {(unsigned)(n % grid.x), (unsigned)(n / grid.x % grid.y), (unsigned)(n / grid.x / grid.y)};
        if (shared) memset(shared, 0xff, shared_bytes);
        run_block();
    }
    in_kernel = launching = false;
    free(shared);
}
