/* The functions of src/cuda/wgmma.h on the emulator: descriptors, swizzle and barriers are followed to the bit, and
 * nothing is done before it is waited for. A product reads shared memory when its group is waited for; a copy fills its
 * place with NaNs when it is asked for and brings its numbers when its barrier is. */
#ifndef CUDA_WGMMA_EMULATED_H
#define CUDA_WGMMA_EMULATED_H

#include <deque>
#include <vector>

/* Addresses of shared memory are offsets from its start. */
static inline uint32_t shared_offset(const void *p) {
    return (uint32_t)((const unsigned char *)p - emulated_shared());
}

static inline unsigned char *emulated_at(uint32_t offset) { return emulated_shared() + offset; }

/* The hardware's 128-byte swizzle: bits 7 to 9 of an address are XORed onto bits 4 to 6. */
static inline uint32_t emulated_swizzle(uint32_t address) { return address ^ (address >> 7 & 7) << 4; }

static inline float emulated_bf16(uint32_t address) {
    uint16_t bits;
    memcpy(&bits, emulated_at(emulated_swizzle(address)), 2);
    return __uint_as_float((uint32_t)bits << 16);
}

/* ---------------------------------------------------------------- products */

struct emulated_wgmma {
    float *c;
    int n; /* columns of C */
    bool in_registers, sums, add;
    uint32_t registers[4];
    uint64_t a, b;
};

typedef std::vector<emulated_wgmma> emulated_group;

/* Of each thread: groups under way, of which the last is not committed yet. */
static inline std::deque<emulated_group> &emulated_wgmma_groups() {
    static std::deque<emulated_group> all[1024];
    auto &mine = all[threadIdx.x];
    if (mine.empty()) mine.emplace_back();
    return mine;
}

/* Element (row, k) of an operand: row is A's row or B's column. */
static inline float emulated_operand(uint64_t descriptor, bool sums, int row, int k) {
    uint32_t start = (uint32_t)(descriptor & 0x3fff) << 4, leading = (uint32_t)(descriptor >> 16 & 0x3fff) << 4,
             stride = (uint32_t)(descriptor >> 32 & 0x3fff) << 4;
    if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0 || (start & 0x380) != 0)
        emulated_abort("wgmma: descriptor %016llx is not of a tile of 128-byte rows", (unsigned long long)descriptor);
    if (!sums) return emulated_bf16(start + (uint32_t)(row / 8) * stride + (uint32_t)(row % 8 * 128 + k * 2));
    return emulated_bf16(start + (uint32_t)(row / 64) * leading + (uint32_t)(row % 64 * 2) +
                         (uint32_t)(k / 8) * stride + (uint32_t)(k % 8 * 128));
}

static inline void emulated_operand_a(const emulated_wgmma *const *w, float (*a)[16]) {
    for (int row = 0; row < 64; row++)
        for (int k = 0; k < 16; k++) {
            if (!w[0]->in_registers) {
                a[row][k] = emulated_operand(w[0]->a, false, row, k);
                continue;
            }
            int thread = row / 16 * 32 + row % 8 * 4 + k % 8 / 2, which = row % 16 / 8 + k / 8 * 2;
            uint32_t pair = w[thread]->registers[which];
            a[row][k] = __uint_as_float(k % 2 ? pair & 0xffff0000u : pair << 16);
        }
}

static inline void emulated_multiply(const emulated_wgmma *const *w) {
    static float a[64][16], b[128][16];
    for (int t = 1; t < 128; t++)
        if (w[t]->n != w[0]->n || w[t]->a != w[0]->a || w[t]->b != w[0]->b || w[t]->add != w[0]->add)
            emulated_abort("wgmma: threads 0 and %d of a warpgroup ask for different products", t);
    emulated_operand_a(w, a);
    for (int col = 0; col < w[0]->n; col++)
        for (int k = 0; k < 16; k++) b[col][k] = emulated_operand(w[0]->b, w[0]->sums, col, k);
    for (int t = 0; t < 128; t++)
        for (int i = 0; i < w[0]->n / 2; i++) {
            int row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8, col = i / 4 * 8 + t % 4 * 2 + i % 2;
            float sum = w[t]->add ? w[t]->c[i] : 0;
            for (int k = 0; k < 16; k++) sum += a[row][k] * b[col][k];
            w[t]->c[i] = sum;
        }
}

struct emulated_wgmma_wait {
    std::deque<emulated_group> *groups;
    size_t finish;
};

static void emulated_wgmma_run(void **all, int) {
    emulated_wgmma_wait *waits[128];
    for (int t = 0; t < 128; t++) {
        waits[t] = (emulated_wgmma_wait *)all[t];
        if (waits[t]->finish != waits[0]->finish) emulated_abort("wgmma: threads wait for different groups");
    }
    for (size_t g = 0; g < waits[0]->finish; g++) {
        size_t count = waits[0]->groups->front().size();
        for (size_t p = 0; p < count; p++) {
            const emulated_wgmma *w[128];
            for (int t = 0; t < 128; t++) w[t] = &waits[t]->groups->front().at(p);
            emulated_multiply(w);
        }
        for (int t = 0; t < 128; t++) waits[t]->groups->pop_front();
    }
}

template <class T> static inline void hold(T &) {}

template <class... T> static inline void wgmma_fence(T &...) {}

static inline void wgmma_commit() { emulated_wgmma_groups().emplace_back(); }

template <int groups, class... T> static inline void wgmma_wait(T &...) {
    auto &mine = emulated_wgmma_groups();
    size_t committed = mine.size() - 1;
    emulated_wgmma_wait wait = {&mine, committed > groups ? committed - groups : 0};
    emulated_collective(&wait, 128, emulated_wgmma_run);
}

template <bool sums, int n> static inline void wgmma_ss(float (&c)[n], uint64_t a, uint64_t b, int add) {
    emulated_wgmma_groups().back().push_back({c, 2 * n, false, sums, add != 0, {}, a, b});
}

template <bool sums, int n> static inline void wgmma_rs(float (&c)[n], const uint32_t (&a)[4], uint64_t b) {
    emulated_wgmma_groups().back().push_back({c, 2 * n, true, sums, true, {a[0], a[1], a[2], a[3]}, 0, b});
}

/* ---------------------------------------------------------------- copies and their barriers */

struct emulated_mbarrier {
    int32_t bytes; /* told less seen */
    uint8_t arrivals, missing, phase, there;
};
static_assert(sizeof(emulated_mbarrier) == 8, "as the hardware's");

static inline emulated_mbarrier *emulated_mbarrier_at(uint32_t barrier) {
    if (barrier % 8 != 0) emulated_abort("mbarrier: address %u", barrier);
    return (emulated_mbarrier *)emulated_at(barrier);
}

static inline void emulated_mbarrier_turn(emulated_mbarrier *b) {
    if (b->missing != 0 || b->bytes != 0) return;
    b->phase ^= 1;
    b->missing = b->arrivals;
}

/* The matrix that a map tells of, and the box. */
struct tensor_map {
    const unsigned char *data;
    int64_t cols, rows, batch, row_bytes, sequence_bytes;
    int box_rows;
};

static inline bool tensor_map_make(tensor_map *map, void *data, int64_t cols, int64_t rows, int64_t batch,
                                   int64_t stride, int box_rows) {
    *map = {(const unsigned char *)data, cols, rows, batch, 2 * stride, 2 * rows * stride, box_rows};
    return (uintptr_t)data % 16 == 0 && stride % 8 == 0 && box_rows <= 256;
}

struct emulated_load_request {
    uint32_t to, barrier;
    const tensor_map *map; /* NULL: packed */
    const void *from;
    int bytes, column, row, sequence;
};

static inline std::vector<emulated_load_request> &emulated_loads() {
    static std::vector<emulated_load_request> loads;
    return loads;
}

static inline void emulated_load_box(const emulated_load_request *l) {
    const tensor_map *m = l->map;
    for (int r = 0; r < m->box_rows; r++)
        for (int c = 0; c < 64; c++) {
            bool there = l->row + r < m->rows && l->column + c < m->cols && l->sequence < m->batch;
            uint16_t bits = 0;
            if (there)
                memcpy(&bits, m->data + l->sequence * m->sequence_bytes + (l->row + r) * m->row_bytes +
                                  (l->column + c) * 2, 2);
            memcpy(emulated_at(emulated_swizzle(l->to + (uint32_t)(r * 128 + c * 2))), &bits, 2);
        }
}

static inline void emulated_load_ask(emulated_load_request l) {
    emulated_mbarrier *b = emulated_mbarrier_at(l.barrier);
    if (!b->there || b->bytes < l.bytes) emulated_abort("copy of %d bytes that its barrier was not told of", l.bytes);
    memset(emulated_at(l.to), 0xff, (size_t)l.bytes);
    emulated_loads().push_back(l);
}

static inline void barrier_init(uint32_t barrier, int arrivals) {
    for (const emulated_load_request &l : emulated_loads())
        if (l.barrier == barrier) emulated_abort("a block has ended in front of a copy that it asked for");
    *emulated_mbarrier_at(barrier) = {0, (uint8_t)arrivals, (uint8_t)arrivals, 0, 1};
}

static inline void copies_ready() {}

static inline void barrier_expect(uint32_t barrier, int bytes) {
    emulated_mbarrier *b = emulated_mbarrier_at(barrier);
    if (!b->there || b->missing == 0) emulated_abort("mbarrier: an arrival too much");
    b->bytes += bytes;
    b->missing--;
    emulated_mbarrier_turn(b);
}

static inline unsigned count_around(unsigned *count, unsigned last) {
    unsigned before = *count;
    *count = before >= last ? 0 : before + 1;
    return before;
}

static void emulated_any_run(void **all, int lanes) {
    bool any = false;
    for (int i = 0; i < lanes; i++) any |= *(bool *)all[i];
    for (int i = 0; i < lanes; i++) *(bool *)all[i] = any;
}

static inline bool warpgroup_any(int, bool mine) {
    emulated_collective(&mine, 128, emulated_any_run);
    return mine;
}

static inline bool barrier_test(uint32_t barrier, uint32_t phase) {
    auto &loads = emulated_loads();
    for (size_t i = 0; i < loads.size();) {
        emulated_load_request l = loads[i];
        if (l.barrier != barrier) {
            i++;
            continue;
        }
        loads.erase(loads.begin() + (long)i);
        if (l.map) emulated_load_box(&l);
        else memcpy(emulated_at(l.to), l.from, (size_t)l.bytes);
        emulated_mbarrier_at(barrier)->bytes -= l.bytes;
        emulated_mbarrier_turn(emulated_mbarrier_at(barrier));
    }
    return emulated_mbarrier_at(barrier)->phase != phase;
}

static inline void barrier_wait(uint32_t barrier, uint32_t phase) {
    while (!barrier_test(barrier, phase)) emulated_yield();
}

static inline void tile_load(uint32_t to, const tensor_map *map, int column, int row, int sequence, uint32_t barrier) {
    if (to % 1024 != 0) emulated_abort("tile_load: address %u", to);
    emulated_load_ask({to, barrier, map, nullptr, map->box_rows * 128, column, row, sequence});
}

static inline void bytes_load(uint32_t to, const void *from, int bytes, uint32_t barrier) {
    if (to % 16 != 0 || bytes % 16 != 0 || (uintptr_t)from % 16 != 0) emulated_abort("bytes_load: not aligned");
    emulated_load_ask({to, barrier, nullptr, from, bytes, 0, 0, 0});
}

#endif
