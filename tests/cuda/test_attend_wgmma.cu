/* Attention by wgmma (src/cuda/attend_wgmma.h) against plain loops in double precision; with the argument `bench`, its
 * speed. A device that is not of capability 9.0 is skipped. Another header with the same functions can be tested too:
 * -DATTEND=mma -DATTEND_HEADER='"cuda/attend_mma.h"' with its sources.
 *
 *     nvcc -std=c++17 -O3 -gencode arch=compute_90a,code=sm_90a -I src -I include -o test_attend_wgmma \
 *         tests/cuda/test_attend_wgmma.cu src/cuda/attend_wgmma.cu src/cuda/attend_wgmma_bwd.cu
 *     g++ -x c++ -std=c++17 -O2 -g -I src -I include -I tests/cuda -o test_attend_wgmma \
 *         tests/cuda/test_attend_wgmma.cu src/cuda/attend_wgmma.cu src/cuda/attend_wgmma_bwd.cu \
 *         tests/cuda/emulator*.cc */
#ifndef ATTEND
#define ATTEND wgmma
#define ATTEND_HEADER "cuda/attend_wgmma.h"
#endif
#include ATTEND_HEADER

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
#define NAMED(name) JOIN(ATTEND, name)

/* ---------------------------------------------------------------- what the kernels ask of the backend */

bool cuda_fine(cuda_context *, cudaError_t error, const char *what) {
    if (error == cudaSuccess) return true;
    printf("FAIL: %s: %s\n", what, cudaGetErrorString(error));
    exit(1);
}

bool cuda_launched(cuda_context *c, const char *kernel) { return cuda_fine(c, cudaGetLastError(), kernel); }

void *cuda_scratch(cuda_context *c, size_t bytes) {
    if (bytes <= c->scratch_bytes) return c->scratch;
    cuda_fine(c, cudaDeviceSynchronize(), "synchronize");
    cuda_fine(c, cudaFree(c->scratch), "free");
    cuda_fine(c, cudaMalloc((void **)&c->scratch, bytes), "scratch");
    c->scratch_bytes = bytes;
    return c->scratch;
}

static void fine(cudaError_t error, const char *what) { cuda_fine(NULL, error, what); }

/* ---------------------------------------------------------------- numbers */

static uint64_t random_state;

static uint32_t random_bits() {
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(random_state >> 33);
}

static int random_below(int n) { return (int)(random_bits() % (uint32_t)n); }

static float random_normal() {
    float sum = -6;
    for (int i = 0; i < 12; i++) sum += (float)random_bits() / 2147483648.0f;
    return sum;
}

static uint16_t to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float from_bf16(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, 4);
    return y;
}

/* ---------------------------------------------------------------- cases */

enum { CAUSAL, ALL, PADDED, RANGES, SOME_EMPTY, ALL_EMPTY, LATE };
static const char *mask_names[] = {"causal", "all", "padded", "ranges", "some empty", "all empty", "late"};

enum { PACKED, KEYS_VALUES, ONE, GAPS };

typedef struct attend_case {
    int batch, queries, keys, heads, width, mask, shape, chunks;
    float spread; /* of q */
} attend_case;

/* A matrix of BF16 in device memory and its numbers. */
typedef struct array {
    matrix m;
    std::vector<float> x; /* [rows, cols] */
} array;

typedef struct problem {
    attend_case c;
    array q, k, v, o, grad_o, dq, dk, dv;
    matrix lse, begin, end, delta, partial;
    std::vector<int> begins, ends;
    std::vector<void *> owned;
    std::vector<size_t> owned_bytes;
} problem;

static void *device(problem *p, size_t bytes) {
    void *memory = NULL;
    fine(cudaMalloc((void **)&memory, bytes), "memory");
    fine(cudaMemset(memory, 0xff, bytes), "memset");
    p->owned.push_back(memory);
    p->owned_bytes.push_back(bytes);
    return memory;
}

static void close_problem(problem *p) {
    for (void *memory : p->owned) fine(cudaFree(memory), "free");
}

static matrix whole(problem *p, int64_t rows, int64_t cols, dtype type) {
    return matrix{device(p, (size_t)(rows * cols) * dtype_bytes(type)), rows, cols, cols, type};
}

/* Columns of a wider matrix; rounded numbers where spread is not 0. */
static array columns(const matrix &m, int64_t from, int64_t cols, float spread) {
    array a = {matrix_columns(m, from, cols), {}};
    std::vector<uint16_t> row((size_t)cols);
    if (spread == 0) return a;
    a.x.resize((size_t)(m.rows * cols));
    for (int64_t r = 0; r < m.rows; r++) {
        for (int64_t i = 0; i < cols; i++) {
            row[(size_t)i] = to_bf16(random_normal() * spread);
            a.x[(size_t)(r * cols + i)] = from_bf16(row[(size_t)i]);
        }
        fine(cudaMemcpy((uint16_t *)a.m.data + r * m.stride, row.data(), (size_t)cols * 2, cudaMemcpyHostToDevice), "copy");
    }
    return a;
}

static void read_array(array *a) {
    std::vector<uint16_t> row((size_t)a->m.cols);
    a->x.resize((size_t)(a->m.rows * a->m.cols));
    for (int64_t r = 0; r < a->m.rows; r++) {
        fine(cudaMemcpy(row.data(), (uint16_t *)a->m.data + r * a->m.stride, row.size() * 2, cudaMemcpyDeviceToHost), "copy");
        for (size_t i = 0; i < row.size(); i++) a->x[(size_t)r * row.size() + i] = from_bf16(row[i]);
    }
}

static void make_masks(problem *p) {
    const attend_case *c = &p->c;
    int N = c->queries, M = c->keys;
    for (int s = 0; s < c->batch; s++) {
        int padding = random_below(M / 2 + 1);
        for (int i = 0; i < N; i++) {
            int begin = 0, end = M - N + i + 1;
            if (c->mask == ALL) end = M;
            if (c->mask == PADDED) begin = padding;
            if (c->mask == RANGES) begin = random_below(M), end = begin + random_below(M - begin + 1);
            if (c->mask == SOME_EMPTY && random_below(3) == 0) end = 0;
            if (c->mask == ALL_EMPTY) end = begin = M / 2;
            if (c->mask == LATE) begin = M - 3, end = M;
            p->begins.push_back(begin);
            p->ends.push_back(end < 0 ? 0 : end);
        }
    }
}

static matrix ints(problem *p, const std::vector<int> &x) {
    matrix m = whole(p, (int64_t)x.size(), 1, I32);
    fine(cudaMemcpy(m.data, x.data(), x.size() * 4, cudaMemcpyHostToDevice), "copy");
    return m;
}

static void open_problem(problem *p, const attend_case *c) {
    int64_t C = (int64_t)c->heads * c->width, rows = (int64_t)c->batch * c->queries, keys = (int64_t)c->batch * c->keys;
    p->c = *c;
    make_masks(p);
    p->begin = ints(p, p->begins);
    p->end = ints(p, p->ends);
    p->lse = whole(p, rows, c->heads, F32);
    p->delta = whole(p, rows, c->heads, F32);
    p->partial = whole(p, c->chunks * rows, C, F32);
    int gap = c->shape == GAPS ? 24 : 0;
    for (int gradient = 0; gradient < 2; gradient++) {
        array *q = gradient ? &p->dq : &p->q, *k = gradient ? &p->dk : &p->k, *v = gradient ? &p->dv : &p->v;
        float spread = gradient ? 0 : 1;
        matrix all = whole(p, rows, C * (c->shape == ONE ? 3 : 1) + gap, BF16);
        *q = columns(all, gap / 3, C, spread * c->spread);
        if (c->shape != ONE) all = whole(p, keys, C * (c->shape == KEYS_VALUES ? 2 : 1) + gap, BF16);
        *k = columns(all, c->shape == ONE ? C : gap / 3, C, spread);
        if (c->shape == PACKED || c->shape == GAPS) all = whole(p, keys, C + gap, BF16);
        *v = columns(all, c->shape == ONE ? 2 * C : c->shape == KEYS_VALUES ? C : gap / 3, C, spread);
    }
    p->o = columns(whole(p, rows, C + gap, BF16), gap / 3, C, 0);
    p->grad_o = columns(whole(p, rows, C + gap, BF16), gap / 3, C, 1);
}

static attend_bwd_args arguments(const problem *p) {
    attend_bwd_args b = {};
    b.fwd.o = p->o.m, b.fwd.lse = p->lse, b.fwd.q = p->q.m, b.fwd.k = p->k.m, b.fwd.v = p->v.m;
    b.fwd.begin = p->begin, b.fwd.end = p->end;
    b.fwd.batch = p->c.batch, b.fwd.heads = p->c.heads;
    b.fwd.scale = 1 / sqrtf((float)p->c.width);
    b.grad_o = p->grad_o.m, b.dq = p->dq.m, b.dk = p->dk.m, b.dv = p->dv.m;
    b.delta = p->delta, b.partial = p->partial, b.chunks = p->c.chunks;
    return b;
}

/* ---------------------------------------------------------------- the reference */

typedef struct expected {
    std::vector<double> o, lse, dq, dk, dv;
} expected;

static void expect_query(const problem *p, expected *e, int sequence, int query, int head, double scale) {
    const attend_case *c = &p->c;
    int D = c->width, C = c->heads * D, M = c->keys;
    size_t line = (size_t)(sequence * c->queries + query), at = line * (size_t)C + (size_t)(head * D);
    int begin = p->begins[line], end = p->ends[line];
    std::vector<double> prob((size_t)M);
    double top = -INFINITY, sum = 0, delta = 0;
    auto key_at = [&](int j) { return (size_t)(sequence * M + j) * (size_t)C + (size_t)(head * D); };
    for (int j = begin; j < end; j++) {
        double s = 0;
        for (int d = 0; d < D; d++) s += (double)p->q.x[at + (size_t)d] * p->k.x[key_at(j) + (size_t)d];
        prob[(size_t)j] = s * scale;
        top = fmax(top, s * scale);
    }
    for (int j = begin; j < end; j++) sum += prob[(size_t)j] = exp(prob[(size_t)j] - top);
    e->lse[line * (size_t)c->heads + (size_t)head] = sum > 0 ? top + log(sum) : INFINITY;
    for (int j = begin; j < end; j++) {
        prob[(size_t)j] /= sum;
        for (size_t d = 0; d < (size_t)D; d++) e->o[at + d] += prob[(size_t)j] * p->v.x[key_at(j) + d];
    }
    for (size_t d = 0; d < (size_t)D; d++) delta += e->o[at + d] * p->grad_o.x[at + d];
    for (int j = begin; j < end; j++) {
        double dp = 0;
        for (size_t d = 0; d < (size_t)D; d++) dp += (double)p->grad_o.x[at + d] * p->v.x[key_at(j) + d];
        double ds = prob[(size_t)j] * (dp - delta) * scale;
        for (size_t d = 0; d < (size_t)D; d++) {
            e->dv[key_at(j) + d] += prob[(size_t)j] * p->grad_o.x[at + d];
            e->dk[key_at(j) + d] += ds * p->q.x[at + d];
            e->dq[at + d] += ds * p->k.x[key_at(j) + d];
        }
    }
}

static expected expect(const problem *p) {
    expected e;
    size_t rows = p->begins.size(), C = (size_t)(p->c.heads * p->c.width), keys = (size_t)(p->c.batch * p->c.keys);
    e.o.resize(rows * C), e.dq.resize(rows * C), e.lse.resize(rows * (size_t)p->c.heads);
    e.dk.resize(keys * C), e.dv.resize(keys * C);
    for (int s = 0; s < p->c.batch; s++)
        for (int i = 0; i < p->c.queries; i++)
            for (int h = 0; h < p->c.heads; h++) expect_query(p, &e, s, i, h, 1 / sqrt((double)p->c.width));
    return e;
}

static bool close_to(const char *what, const std::vector<float> &found, const std::vector<double> &wanted, double limit) {
    double difference = 0, size = 0;
    for (size_t i = 0; i < wanted.size(); i++) {
        if (std::isinf(wanted[i]) && found[i] == (float)wanted[i]) continue;
        difference += (found[i] - wanted[i]) * (found[i] - wanted[i]);
        size += wanted[i] * wanted[i];
    }
    double error = size > 0 ? sqrt(difference / size) : sqrt(difference);
    bool good = error <= limit; /* not of NaN */
    printf(" %s %.1e%s", what, error, good ? "" : " (!)");
    return good;
}

/* All device memory of the problem. */
static std::vector<unsigned char> snapshot(const problem *p) {
    std::vector<unsigned char> all;
    for (size_t i = 0; i < p->owned.size(); i++) {
        size_t from = all.size();
        all.resize(from + p->owned_bytes[i]);
        fine(cudaMemcpy(all.data() + from, p->owned[i], p->owned_bytes[i], cudaMemcpyDeviceToHost), "copy");
    }
    return all;
}

/* What stands between the columns of a view has stayed NaN. */
static bool gaps_kept(const array *a) {
    std::vector<uint16_t> row(16);
    if (a->m.stride == a->m.cols) return true;
    for (int64_t r = 0; r < a->m.rows; r++) {
        const uint16_t *behind = (const uint16_t *)a->m.data + r * a->m.stride + a->m.cols;
        fine(cudaMemcpy(row.data(), behind, 32, cudaMemcpyDeviceToHost), "copy");
        for (uint16_t x : row)
            if (x != 0xffff) return false;
    }
    return true;
}

static bool check(cuda_context *c, const attend_case *test) {
    problem p;
    open_problem(&p, test);
    expected e = expect(&p);
    attend_bwd_args b = arguments(&p);
    printf("%d multiprocessors, B %d N %d M %d H %d D %d %s %d:", c->multiprocessors, test->batch, test->queries, test->keys, test->heads,
           test->width, mask_names[test->mask], test->shape);
    if (!NAMED(_attend_fits)(c, &b.fwd) || !NAMED(_attend_bwd_fits)(c, &b)) {
        printf(" does not fit\n");
        close_problem(&p);
        return false;
    }
    NAMED(_attend_fwd)(c, &b.fwd);
    NAMED(_attend_bwd)(c, &b);
    fine(cudaDeviceSynchronize(), "run");
    std::vector<unsigned char> first = snapshot(&p);
    NAMED(_attend_fwd)(c, &b.fwd);
    NAMED(_attend_bwd)(c, &b);
    fine(cudaDeviceSynchronize(), "run");
    bool good = true, same = snapshot(&p) == first;
    std::vector<float> lse(e.lse.size());
    fine(cudaMemcpy(lse.data(), p.lse.data, lse.size() * 4, cudaMemcpyDeviceToHost), "copy");
    for (array *a : {&p.o, &p.dq, &p.dk, &p.dv}) read_array(a);
    good &= close_to("o", p.o.x, e.o, 1e-2);
    good &= close_to("lse", lse, e.lse, 1e-5);
    good &= close_to("dq", p.dq.x, e.dq, 2e-2);
    good &= close_to("dk", p.dk.x, e.dk, 2e-2);
    good &= close_to("dv", p.dv.x, e.dv, 2e-2);
    bool kept = true;
    if (test->shape == GAPS)
        for (const array *a : {&p.o, &p.dq, &p.dk, &p.dv}) kept &= gaps_kept(a);
    printf("%s%s %s\n", same ? "" : " a second run differs", kept ? "" : " wrote outside", good && same && kept ? "ok" : "FAIL");
    fflush(stdout);
    close_problem(&p);
    return good && same && kept;
}

static const attend_case cases[] = {
    {1, 64, 128, 1, 64, ALL, PACKED, 2, 1},         {1, 256, 256, 1, 64, CAUSAL, ONE, 2, 1},
    {2, 200, 333, 2, 64, CAUSAL, KEYS_VALUES, 3, 3}, {1, 1, 1, 1, 64, ALL, PACKED, 2, 1},
    {2, 37, 700, 3, 64, PADDED, GAPS, 5, 1},        {2, 130, 517, 1, 64, RANGES, KEYS_VALUES, 2, 2},
    {2, 300, 300, 1, 64, SOME_EMPTY, ONE, 4, 1},    {1, 70, 90, 2, 64, ALL_EMPTY, PACKED, 2, 1},
    {1, 129, 1000, 1, 64, LATE, PACKED, 2, 1},      {1, 100, 2500, 1, 64, CAUSAL, KEYS_VALUES, 2, 8},
    {2, 520, 640, 1, 64, CAUSAL, GAPS, 2, 1},       {1, 64, 128, 1, 128, ALL, PACKED, 2, 1},
    {2, 200, 333, 2, 128, CAUSAL, KEYS_VALUES, 3, 3}, {2, 37, 700, 1, 128, PADDED, GAPS, 5, 1},
    {2, 130, 517, 1, 128, RANGES, KEYS_VALUES, 2, 2},       {1, 300, 300, 1, 128, SOME_EMPTY, ONE, 4, 1},
    {1, 100, 2500, 1, 128, CAUSAL, KEYS_VALUES, 2, 8}, {1, 300, 3100, 1, 64, RANGES, KEYS_VALUES, 2, 1},
    {1, 200, 900, 1, 64, CAUSAL, KEYS_VALUES, 2, 60},  {1, 150, 700, 1, 128, PADDED, PACKED, 2, 60},
    {1, 390, 2100, 1, 64, CAUSAL, GAPS, 2, 60},     {1, 270, 2200, 1, 64, SOME_EMPTY, KEYS_VALUES, 2, 1},
    {1, 70, 2100, 1, 64, ALL_EMPTY, PACKED, 2, 1},  {1, 300, 2060, 1, 64, LATE, PACKED, 2, 1},
    {1, 40, 2500, 3, 64, PADDED, PACKED, 2, 2},     {1, 300, 200, 3, 128, CAUSAL, PACKED, 2, 1},
};

/* ---------------------------------------------------------------- speed */

#ifdef __CUDACC__
typedef struct speed_case {
    int batch, queries, keys, heads, width;
    bool causal;
} speed_case;

static const speed_case speeds[] = {
    {1, 1024, 131072, 16, 64, false}, {8, 1024, 131072, 16, 64, false}, {16, 1024, 12288, 16, 64, false},
    {32, 512, 4096, 8, 64, false},    {32, 1024, 1024, 16, 64, true},   {1, 1024, 131072, 8, 128, false},
    {16, 1024, 1024, 8, 128, true},
};

static __global__ void fill_random(uint16_t *x, int64_t n) {
    for (int64_t i = blockIdx.x * 256 + threadIdx.x; i < n; i += (int64_t)gridDim.x * 256) {
        uint32_t h = (uint32_t)i * 2654435761u;
        h ^= h >> 15, h *= 2246822519u, h ^= h >> 13;
        float sum = (float)(h & 0xff) + (float)(h >> 8 & 0xff) + (float)(h >> 16 & 0xff) + (float)(h >> 24) - 510;
        x[i] = (uint16_t)(__float_as_uint(sum / 148) >> 16); /* about normal */
    }
}

static float median_ms(cuda_context *c, int runs, void (*run)(cuda_context *, const attend_bwd_args *),
                       const attend_bwd_args *b) {
    std::vector<float> times;
    cudaEvent_t start, end;
    fine(cudaEventCreate(&start), "event");
    fine(cudaEventCreate(&end), "event");
    for (int i = 0; i < runs + 1; i++) {
        float ms;
        fine(cudaEventRecord(start, c->stream), "event");
        run(c, b);
        fine(cudaEventRecord(end, c->stream), "event");
        fine(cudaEventSynchronize(end), "event");
        fine(cudaEventElapsedTime(&ms, start, end), "event");
        if (i > 0) times.insert(std::upper_bound(times.begin(), times.end(), ms), ms);
    }
    cudaEventDestroy(start);
    cudaEventDestroy(end);
    return times[times.size() / 2];
}

static void run_forward(cuda_context *c, const attend_bwd_args *b) { NAMED(_attend_fwd)(c, &b->fwd); }


static matrix random_matrix(problem *p, int64_t rows, int64_t cols) {
    matrix m = whole(p, rows, cols, BF16);
    LAUNCH(fill_random, 1024, 256, 0, 0, (uint16_t *)m.data, rows * cols);
    return m;
}

static void bench(cuda_context *c, const speed_case *s) {
    problem p;
    int64_t C = (int64_t)s->heads * s->width, rows = (int64_t)s->batch * s->queries, keys = (int64_t)s->batch * s->keys;
    p.c = attend_case{s->batch, s->queries, s->keys, s->heads, s->width, CAUSAL, KEYS_VALUES, 0, 1};
    p.c.chunks = (int)NAMED(_attend_chunks)(c->multiprocessors, s->batch, s->heads, s->keys);
    make_masks(&p);
    p.begin = ints(&p, p.begins), p.end = ints(&p, p.ends);
    p.lse = whole(&p, rows, s->heads, F32), p.delta = whole(&p, rows, s->heads, F32);
    if (p.c.chunks > 1) p.partial = whole(&p, p.c.chunks * rows, C, F32);
    matrix kv = random_matrix(&p, keys, 2 * C), dkv = random_matrix(&p, keys, 2 * C);
    p.q.m = random_matrix(&p, rows, C), p.grad_o.m = random_matrix(&p, rows, C);
    p.o.m = random_matrix(&p, rows, C), p.dq.m = random_matrix(&p, rows, C);
    p.k.m = matrix_columns(kv, 0, C), p.v.m = matrix_columns(kv, C, C);
    p.dk.m = matrix_columns(dkv, 0, C), p.dv.m = matrix_columns(dkv, C, C);
    attend_bwd_args b = arguments(&p);
    fine(cudaDeviceSynchronize(), "fill");
    double pairs = (double)rows * s->keys * (double)C * (s->causal ? 0.5 : 1);
    float fwd = median_ms(c, 9, run_forward, &b), bwd = median_ms(c, 9, NAMED(_attend_bwd), &b);
    printf("B %d N %d M %d H %d D %d: forward %.3f ms %.0f TFLOP/s, backward %.3f ms %.0f TFLOP/s\n", s->batch, s->queries,
           s->keys, s->heads, s->width, fwd, 4e-9 * pairs / fwd, bwd, 10e-9 * pairs / bwd);
    fflush(stdout);
    close_problem(&p);
}
#endif

int main(int argc, char **argv) {
    cuda_context c = {};
    int major = 0, minor = 0, devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || !devices) {
        printf("SKIP: no device\n");
        return 77;
    }
    fine(cudaDeviceGetAttribute(&c.multiprocessors, cudaDevAttrMultiProcessorCount, 0), "attribute");
    fine(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "attribute");
    fine(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "attribute");
    c.capability = 10 * major + minor;
    if (c.capability != 90) {
        printf("SKIP: capability %d\n", c.capability);
        return 77;
    }
#ifdef __CUDACC__
    if (argc > 1 && !strcmp(argv[1], "bench")) {
        for (const speed_case &s : speeds) bench(&c, &s);
        return 0;
    }
#endif
    int failed = 0, count = 0, all = c.multiprocessors, number = (int)(sizeof cases / sizeof cases[0]);
    int from = argc > 1 ? atoi(argv[1]) : 0, until = argc > 1 ? from + 1 : number;
    const char *some = getenv("PERCEIVER_TEST_EVERY"); /* one of so many cases */
    int every = argc == 1 && some && atoi(some) > 0 ? atoi(some) : 1;
    for (int i = from; i < until; i += every)
        for (int multiprocessors : {all, 1}) { /* parts of the keys and the order of blocks depend on them */
            random_state = (uint64_t)i * 77 + 1;
            c.multiprocessors = multiprocessors;
            failed += !check(&c, &cases[i]);
            count++;
        }
    if (c.scratch) fine(cudaFree(c.scratch), "free");
    printf("%d passed, %d failed\n", count - failed, failed);
    return failed != 0;
}
