/* Attention on tensor cores against plain loops in double precision, and its speed.
 *
 * On a device:      nvcc -std=c++17 -O3 -gencode arch=compute_90a,code=sm_90a -I include -I src \
 *                       tests/cuda/test_attend_mma.cu src/cuda/attend_mma*.cu -o test_attend_mma
 * Without one:      g++ -x c++ -std=c++17 -O2 -Wno-unknown-pragmas -I include -I src -I tests/cuda \
 *                       tests/cuda/test_attend_mma.cu src/cuda/attend_mma*.cu tests/cuda/emulator*.cc \
 *                       -o test_attend_mma
 * Runs:             test_attend_mma         the cases; fails with a message and a status
 *                   test_attend_mma bench   milliseconds and rates, on a device
 *
 * Other kernels of the same interface are tested by -DATTEND_HEADER='"cuda/attend_x.h"' -DATTEND=x_attend and their
 * sources in place of attend_mma*.cu. Memory of outputs holds NaNs before, and what lies between rows must stay. */
#ifndef ATTEND
#define ATTEND        mma_attend
#define ATTEND_HEADER "cuda/attend_mma.h"
#endif
#include ATTEND_HEADER

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#define GLUE_(a, b) a##b
#define GLUE(a, b)  GLUE_(a, b)

static int failures;

/* ------------------------------------------------------------------ what the backend brings */

bool cuda_fine(cuda_context *, cudaError_t error, const char *what) {
    if (error == cudaSuccess) return true;
    printf("%s: %s\n", what, cudaGetErrorString(error));
    exit(1);
}

bool cuda_launched(cuda_context *c, const char *kernel) { return cuda_fine(c, cudaGetLastError(), kernel); }

void *cuda_scratch(cuda_context *c, size_t bytes) {
    if (bytes > c->scratch_bytes) {
        cuda_fine(c, cudaStreamSynchronize(c->stream), "scratch");
        if (c->scratch) cuda_fine(c, cudaFree(c->scratch), "scratch");
        cuda_fine(c, cudaMalloc(&c->scratch, bytes), "scratch");
        c->scratch_bytes = bytes;
    }
    return c->scratch;
}

/* ------------------------------------------------------------------ cases */

enum mask { ALL, CAUSAL, PADDED, WINDOW, ANY };
enum layout { APART, KEYS_VALUES, QUERIES_KEYS_VALUES }; /* matrices that are columns of one */

struct attend_case {
    int B, H, N, M, D, chunks;
    enum mask mask;
    enum layout layout;
};

static const attend_case cases[] = {
    {1, 1, 128, 128, 64, 2, ALL, APART},
    {1, 2, 64, 192, 64, 2, CAUSAL, KEYS_VALUES},
    {2, 2, 100, 333, 64, 3, CAUSAL, KEYS_VALUES},
    {1, 1, 200, 200, 64, 2, CAUSAL, QUERIES_KEYS_VALUES},
    {2, 1, 131, 517, 64, 5, PADDED, KEYS_VALUES},
    {1, 2, 70, 700, 64, 4, WINDOW, APART},
    {2, 1, 150, 300, 64, 2, ANY, KEYS_VALUES},
    {1, 1, 1, 77, 64, 2, ALL, APART},
    {3, 1, 33, 1, 64, 2, ALL, APART},
    {1, 1, 257, 129, 64, 2, CAUSAL, APART}, /* the first queries see nothing */
    {1, 1, 16, 2000, 64, 16, CAUSAL, APART},
    {1, 2, 80, 300, 64, 1, PADDED, APART}, /* without memory for sums */
    {1, 2, 90, 260, 32, 2, PADDED, KEYS_VALUES},
    {1, 1, 200, 200, 32, 3, CAUSAL, QUERIES_KEYS_VALUES},
    {1, 2, 90, 260, 96, 2, PADDED, KEYS_VALUES},
    {1, 1, 140, 300, 96, 3, ANY, APART},
    {1, 2, 90, 260, 128, 2, PADDED, KEYS_VALUES},
    {2, 1, 140, 140, 128, 3, CAUSAL, QUERIES_KEYS_VALUES},
    {1, 1, 130, 400, 128, 2, ANY, APART},
};

static std::mt19937 generator;

static double normal() { return std::normal_distribution<double>()(generator); }
static int below(int n) { return (int)(generator() % (unsigned)n); }

static uint16_t bf16_bits(double x) {
    float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static double bf16_value(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* Keys [x, y) of query i of sequence b; kept inside [0, M). */
static std::pair<int, int> visible(const attend_case *t, int b, int i) {
    int last = t->M - t->N + i + 1, x = 0, y = t->M;
    switch (t->mask) {
    case ALL: break;
    case CAUSAL: y = last; break;
    case PADDED: x = (b * 37 + 91) % t->M, y = last; break;
    case WINDOW: x = last - 50, y = last; break;
    case ANY:
        x = below(t->M), y = below(t->M + 1);
        if (below(3)) x = std::min(x, y), y = std::min(t->M, x + below(300));
    }
    return {std::max(x, 0), std::max(y, 0)};
}

/* Matrices of one allocation on the device, filled with NaNs of a pattern that kernels do not make. */
struct device_matrix {
    matrix m;
    void *memory;
    size_t bytes;
};

static const unsigned char UNTOUCHED = 0xf7;

static void *device_memory(size_t bytes) {
    void *memory;
    cuda_fine(NULL, cudaMalloc(&memory, bytes), "memory");
    cuda_fine(NULL, cudaMemset(memory, UNTOUCHED, bytes), "memory");
    return memory;
}

/* `count` matrices side by side, and `gap` columns that belong to none. */
static std::vector<matrix> side_by_side(int count, int64_t rows, int64_t cols, int64_t gap, dtype type) {
    int64_t stride = count * cols + gap;
    char *memory = (char *)device_memory((size_t)(rows * stride) * dtype_bytes(type));
    std::vector<matrix> all;
    for (int i = 0; i < count; i++)
        all.push_back({memory + (size_t)(i * cols) * dtype_bytes(type), rows, cols, stride, type});
    return all;
}

static matrix alone(int64_t rows, int64_t cols, int64_t gap, dtype type) {
    return side_by_side(1, rows, cols, gap, type)[0];
}

template <class T> static void put(const matrix &m, const std::vector<T> &x) {
    cuda_fine(NULL, cudaMemcpy2D(m.data, (size_t)m.stride * sizeof(T), x.data(), (size_t)m.cols * sizeof(T),
                                 (size_t)m.cols * sizeof(T), (size_t)m.rows, cudaMemcpyHostToDevice), "copy");
}

template <class T> static std::vector<T> get(const matrix &m) {
    std::vector<T> x((size_t)(m.rows * m.cols));
    cuda_fine(NULL, cudaMemcpy2D(x.data(), (size_t)m.cols * sizeof(T), m.data, (size_t)m.stride * sizeof(T),
                                 (size_t)m.cols * sizeof(T), (size_t)m.rows, cudaMemcpyDeviceToHost), "copy");
    return x;
}

/* Random numbers of `size`, rounded, on the device; their values come back. */
static std::vector<double> put_random(const matrix &m, double size) {
    std::vector<uint16_t> bits((size_t)(m.rows * m.cols));
    std::vector<double> values;
    for (uint16_t &x : bits) x = bf16_bits(size * normal()), values.push_back(bf16_value(x));
    put(m, bits);
    return values;
}

static std::vector<double> values_of(const std::vector<uint16_t> &bits) {
    std::vector<double> values;
    for (uint16_t x : bits) values.push_back(bf16_value(x));
    return values;
}

/* ------------------------------------------------------------------ the reference */

struct numbers {
    std::vector<double> q, k, v, grad_o, o, lse, dq, dk, dv;
    std::vector<int32_t> begin, end;
};

static double dot(const double *x, const double *y, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static void reference_query(const attend_case *t, numbers *x, double scale, size_t row, int head) {
    size_t C = (size_t)(t->H * t->D), at = row * C + (size_t)(head * t->D), first = row / t->N * t->M;
    int begin = x->begin[row], end = x->end[row], D = t->D;
    std::vector<double> s;
    double largest = -INFINITY, sum = 0, delta = 0;
    auto key = [&](int j) { return (first + (size_t)j) * C + (size_t)(head * D); };
    for (int j = begin; j < end; j++) {
        s.push_back(scale * dot(&x->q[at], &x->k[key(j)], D));
        largest = std::max(largest, s.back());
    }
    for (double &score : s) score = exp(score - largest), sum += score;
    for (int j = begin; j < end; j++)
        for (int d = 0; d < D; d++) x->o[at + d] += s[j - begin] / sum * x->v[key(j) + d];
    x->lse[row * t->H + head] = begin < end ? largest + log(sum) : INFINITY;
    delta = dot(&x->o[at], &x->grad_o[at], D);
    for (int j = begin; j < end; j++) {
        double p = s[j - begin] / sum, ds = p * (dot(&x->grad_o[at], &x->v[key(j)], D) - delta) * scale;
        for (int d = 0; d < D; d++) {
            x->dv[key(j) + d] += p * x->grad_o[at + d];
            x->dk[key(j) + d] += ds * x->q[at + d];
            x->dq[at + d] += ds * x->k[key(j) + d];
        }
    }
}

static void reference(const attend_case *t, numbers *x, double scale) {
    x->o.assign(x->q.size(), 0);
    x->dq = x->o;
    x->dk.assign(x->k.size(), 0);
    x->dv = x->dk;
    x->lse.assign((size_t)(t->B * t->N * t->H), 0);
    for (size_t row = 0; row < (size_t)(t->B * t->N); row++)
        for (int head = 0; head < t->H; head++) reference_query(t, x, scale, row, head);
}

/* ------------------------------------------------------------------ the comparison */

static std::string name_of(const attend_case *t) {
    static const char *const masks[] = {"all", "causal", "padded", "window", "any"};
    char text[120];
    snprintf(text, sizeof text, "B %d H %d N %d M %d D %d chunks %d %s", t->B, t->H, t->N, t->M, t->D, t->chunks,
             masks[t->mask]);
    return text;
}

static double check(const std::string &name, const char *what, const std::vector<double> &found,
                    const std::vector<double> &expected, double most) {
    double error = 0, size = 0;
    for (size_t i = 0; i < found.size(); i++) {
        if (std::isinf(expected[i]) && found[i] == expected[i]) continue;
        error += (found[i] - expected[i]) * (found[i] - expected[i]);
        size += expected[i] * expected[i];
    }
    double ratio = size > 0 ? sqrt(error / size) : sqrt(error);
    if (!(ratio < most)) printf("%s: %s differs by %g, at most %g\n", name.c_str(), what, ratio, most), failures++;
    return ratio;
}

/* What lies between the rows of matrices side by side, the first of them given. */
static void check_gap(const std::string &name, const char *what, const matrix &first, int64_t used) {
    matrix gap = first;
    gap.data = (char *)first.data + (size_t)used * dtype_bytes(first.type);
    gap.cols = first.stride - used;
    for (uint16_t x : get<uint16_t>(gap))
        if (x != (UNTOUCHED << 8 | UNTOUCHED)) {
            printf("%s: %s is written between its rows\n", name.c_str(), what);
            failures++;
            return;
        }
}

/* Arguments over fresh memory; what was allocated is in `memory`. */
static attend_bwd_args arguments(const attend_case *t, numbers *x, std::vector<void *> *memory) {
    attend_bwd_args b = {};
    attend_args *a = &b.fwd;
    int64_t C = t->H * t->D, rows = t->B * t->N, keys = t->B * t->M;
    auto keep = [&](const matrix &m) { return memory->push_back(m.data), m; };
    if (t->layout == QUERIES_KEYS_VALUES) {
        std::vector<matrix> qkv = side_by_side(3, rows, C, 8, BF16), grads = side_by_side(3, rows, C, 8, BF16);
        keep(qkv[0]), keep(grads[0]);
        a->q = qkv[0], a->k = qkv[1], a->v = qkv[2], b.dq = grads[0], b.dk = grads[1], b.dv = grads[2];
    } else {
        bool both = t->layout == KEYS_VALUES;
        std::vector<matrix> kv = side_by_side(2, keys, C, 16, BF16), grads = side_by_side(2, keys, C, 16, BF16);
        keep(kv[0]), keep(grads[0]);
        a->q = keep(alone(rows, C, 8, BF16)), b.dq = keep(alone(rows, C, 24, BF16));
        a->k = kv[0], a->v = both ? kv[1] : keep(alone(keys, C, 0, BF16));
        b.dk = grads[0], b.dv = both ? grads[1] : keep(alone(keys, C, 8, BF16));
    }
    a->o = keep(alone(rows, C, 8, BF16)), b.grad_o = keep(alone(rows, C, 40, BF16));
    a->lse = keep(alone(rows, t->H, 0, F32)), b.delta = keep(alone(rows, t->H, 0, F32));
    a->begin = keep(alone(rows, 1, 0, I32)), a->end = keep(alone(rows, 1, 0, I32));
    if (t->chunks > 1) b.partial = keep(alone(t->chunks * rows, C, 0, F32));
    b.chunks = t->chunks, a->batch = t->B, a->heads = t->H, a->scale = 1 / sqrtf((float)t->D);
    double size = t->mask == ANY ? 2 : 1; /* sharper probabilities */
    x->q = put_random(a->q, size), x->k = put_random(a->k, size), x->v = put_random(a->v, 1);
    x->grad_o = put_random(b.grad_o, 1);
    for (int row = 0; row < rows; row++) {
        auto range = visible(t, row / t->N, row % t->N);
        x->begin.push_back(range.first), x->end.push_back(range.second);
    }
    put(a->begin, x->begin), put(a->end, x->end);
    return b;
}

static void run_case(cuda_context *c, const attend_case *t) {
    numbers x;
    std::vector<void *> memory;
    std::string name = name_of(t);
    attend_bwd_args b = arguments(t, &x, &memory);
    attend_args *a = &b.fwd;
    if (!GLUE(ATTEND, _fits)(c, a) || !GLUE(ATTEND, _bwd_fits)(c, &b)) {
        printf("%s: does not fit, left out\n", name.c_str());
        for (void *m : memory) cudaFree(m);
        return;
    }
    std::vector<std::vector<uint16_t>> before;
    reference(t, &x, a->scale);
    for (int again = 0; again < 2; again++) {
        GLUE(ATTEND, _fwd)(c, a);
        GLUE(ATTEND, _bwd)(c, &b);
        cuda_fine(c, cudaStreamSynchronize(c->stream), name.c_str());
        std::vector<std::vector<uint16_t>> now = {get<uint16_t>(a->o), get<uint16_t>(b.dq), get<uint16_t>(b.dk),
                                                  get<uint16_t>(b.dv)};
        if (again && now != before) printf("%s: another run gives other bits\n", name.c_str()), failures++;
        before = now;
    }
    std::vector<float> lse = get<float>(a->lse);
    double o = check(name, "o", values_of(before[0]), x.o, 1e-2);
    check(name, "lse", std::vector<double>(lse.begin(), lse.end()), x.lse, 1e-4);
    double dq = check(name, "dq", values_of(before[1]), x.dq, 2e-2);
    double dk = check(name, "dk", values_of(before[2]), x.dk, 2e-2);
    double dv = check(name, "dv", values_of(before[3]), x.dv, 2e-2);
    check_gap(name, "o", a->o, a->o.cols);
    check_gap(name, "dq", b.dq, (t->layout == QUERIES_KEYS_VALUES ? 3 : 1) * b.dq.cols);
    if (t->layout == KEYS_VALUES) check_gap(name, "dk", b.dk, 2 * b.dk.cols);
    printf("%-50s, for %3d multiprocessors: o %.1e dq %.1e dk %.1e dv %.1e\n", name.c_str(), c->multiprocessors, o, dq,
           dk, dv);
    for (void *m : memory) cuda_fine(c, cudaFree(m), "free");
}

/* ------------------------------------------------------------------ speed */

#ifdef __CUDACC__

static __global__ void fill_random(bf16 *x, int64_t n, unsigned seed) {
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x) {
        unsigned h = (unsigned)i * 2654435761u + seed, sum = 0;
        for (int j = 0; j < 4; j++) { /* a sum of four bytes is nearly normal */
            h ^= h >> 16, h *= 0x85ebca6bu, h ^= h >> 13;
            sum += h & 255;
        }
        x[i] = __float2bfloat16(((float)sum - 510) / 148);
    }
}

static matrix random_matrix(int64_t rows, int64_t cols, unsigned seed) {
    matrix m = alone(rows, cols, 0, BF16);
    LAUNCH(fill_random, 1024, 256, 0, 0, (bf16 *)m.data, rows * cols, seed);
    return m;
}

template <class F> static double milliseconds(cuda_context *c, const F &body) {
    cudaEvent_t from, to;
    std::vector<double> times;
    cudaEventCreate(&from), cudaEventCreate(&to);
    for (int i = 0; i < 7; i++) {
        float ms = 0;
        cudaEventRecord(from, c->stream);
        body();
        cudaEventRecord(to, c->stream);
        cuda_fine(c, cudaEventSynchronize(to), "bench");
        cudaEventElapsedTime(&ms, from, to);
        if (i >= 2) times.push_back(ms);
    }
    cudaEventDestroy(from), cudaEventDestroy(to);
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

static void bench_case(cuda_context *c, int64_t B, int64_t H, int64_t N, int64_t M, int64_t D) {
    int64_t C = H * D;
    attend_bwd_args b = {};
    attend_args *a = &b.fwd;
    matrix kv = random_matrix(B * M, 2 * C, 1), grads = random_matrix(B * M, 2 * C, 2);
    a->q = random_matrix(B * N, C, 3), b.grad_o = random_matrix(B * N, C, 4);
    a->k = matrix_columns(kv, 0, C), a->v = matrix_columns(kv, C, C);
    b.dk = matrix_columns(grads, 0, C), b.dv = matrix_columns(grads, C, C);
    a->o = random_matrix(B * N, C, 5), b.dq = random_matrix(B * N, C, 6);
    a->lse = alone(B * N, H, 0, F32), b.delta = alone(B * N, H, 0, F32);
    a->begin = alone(B * N, 1, 0, I32), a->end = alone(B * N, 1, 0, I32);
    b.chunks = GLUE(ATTEND, _chunks)(c->multiprocessors, B, H, M);
    b.partial = alone(b.chunks * B * N, C, 0, F32);
    a->batch = B, a->heads = H, a->scale = 1 / sqrtf((float)D);
    std::vector<int32_t> begin((size_t)(B * N), 0), end;
    double seen = 0;
    for (int64_t i = 0; i < B * N; i++) end.push_back((int32_t)(M - N + i % N + 1)), seen += end.back();
    put(a->begin, begin), put(a->end, end);
    if (N != M) seen = (double)(B * N * M); /* as is usual */
    double fwd = milliseconds(c, [&] { GLUE(ATTEND, _fwd)(c, a); });
    double bwd = milliseconds(c, [&] { GLUE(ATTEND, _bwd)(c, &b); });
    double flop = seen * (double)C;
    printf("B %lld H %lld N %lld M %lld D %lld: ", (long long)B, (long long)H, (long long)N, (long long)M,
           (long long)D);
    printf("forward %.3f ms %.0f TFLOP/s, backward %.3f ms %.0f TFLOP/s, %lld chunks\n", fwd, 4 * flop / fwd * 1e-9,
           bwd, 10 * flop / bwd * 1e-9, (long long)b.chunks);
    for (void *m : {kv.data, grads.data, a->q.data, b.grad_o.data, a->o.data, b.dq.data, a->lse.data, b.delta.data,
                    a->begin.data, a->end.data, b.partial.data})
        cudaFree(m);
}

static void bench(cuda_context *c) {
    bench_case(c, 1, 16, 1024, 131072, 64);
    bench_case(c, 8, 16, 1024, 131072, 64);
    bench_case(c, 16, 16, 1024, 12288, 64);
    bench_case(c, 32, 16, 1024, 1024, 64);
    bench_case(c, 32, 8, 512, 4096, 64);
    bench_case(c, 16, 8, 1024, 12288, 128);
}

#else
static void bench(cuda_context *) { printf("no device\n"); }
#endif

int main(int argc, char **argv) {
    cuda_context c = {};
    cudaDeviceProp device;
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) return printf("SKIP: no device\n"), 77;
    cuda_fine(&c, cudaGetDeviceProperties(&device, 0), "device");
    c.multiprocessors = device.multiProcessorCount, c.capability = device.major * 10 + device.minor;
    cuda_fine(&c, cudaStreamCreateWithFlags(&c.stream, cudaStreamDefault), "stream");
    if (argc > 1 && strcmp(argv[1], "bench") == 0) return bench(&c), 0;
    const char *some = getenv("PERCEIVER_TEST_EVERY"); /* one of so many cases */
    int only = argc > 1 ? atoi(argv[1]) : -1, every = some && atoi(some) > 0 ? atoi(some) : 1, number = -1;
    int multiprocessors = c.multiprocessors;
    for (const attend_case &t : cases) {
        number++;
        if (only >= 0 ? number != only : number % every) continue;
        c.multiprocessors = multiprocessors; /* many: the keys of a head are cut into parts */
        run_case(&c, &t);
        c.multiprocessors = 1;
        run_case(&c, &t);
    }
    cudaFree(c.scratch);
    cudaStreamDestroy(c.stream);
    printf("%d failures\n", failures);
    return failures != 0;
}
