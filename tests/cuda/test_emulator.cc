/* The emulator (emulator.h) runs kernels as a device does, in every order of their threads, and stops where a device
 * would do something undefined. */
#include "cuda/device.h"

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static const unsigned everyone = 0xffffffffu;

/* Device memory that holds `values`, and goes with the variable. */
template <class T> struct on_device {
    T *at;
    size_t count;
    on_device(size_t n) : count(n) { EXPECT(!cudaMalloc(&at, n * sizeof(T))); }
    on_device(const std::vector<T> &values) : on_device(values.size()) {
        EXPECT(!cudaMemcpy(at, values.data(), count * sizeof(T), cudaMemcpyHostToDevice));
    }
    on_device(const on_device &) = delete;
    ~on_device() { EXPECT(!cudaFree(at)); }
    std::vector<T> read() const {
        std::vector<T> values(count);
        EXPECT(!cudaMemcpy(values.data(), at, count * sizeof(T), cudaMemcpyDeviceToHost));
        return values;
    }
};

/* ---------------------------------------------------------------- reductions */
template <class T> static __device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
    for (int by = 16; by; by /= 2) x += __shfl_xor_sync(everyone, x, by);
    return x;
}

/* out += the sum of x [n], which the threads of all blocks walk over. */
template <class T> static __global__ void sum_kernel(T *out, const T *x, int64_t n) {
    __shared__ T parts[32];
    T sum = 0;
    for (int64_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += x[i];
    sum = warp_sum(sum);
    if (threadIdx.x % warpSize == 0) parts[threadIdx.x / warpSize] = sum;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    sum = warp_sum(threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0);
    if (threadIdx.x == 0) atomicAdd(out, sum);
}

template <class T> static void check_sum(int64_t n, unsigned blocks, unsigned threads) {
    std::vector<T> x(n);
    for (int64_t i = 0; i < n; i++) x[i] = (T)(i % 7);
    T expected = 0;
    for (T value : x) expected += value;
    on_device<T> values(x), out(std::vector<T>{0});
    LAUNCH(sum_kernel<T>, blocks, threads, 0, nullptr, out.at, values.at, n);
    EXPECT(out.read()[0] == expected);
}

static void test_sums() {
    for (int64_t n : {1, 31, 1000, 10000}) {
        check_sum<float>(n, 3, 256);
        check_sum<double>(n, 1, 1024);
        check_sum<int>(n, 5, 32);
        check_sum<unsigned>(n, 2, 96);
        check_sum<unsigned long long>(n, 2, 64);
    }
}

/* ---------------------------------------------------------------- shared memory */
static __global__ void transpose_kernel(float *y, const float *x, int rows, int cols) {
    __shared__ float tile[32][33];
    int c = blockIdx.x * 32 + threadIdx.x, r = blockIdx.y * 32 + threadIdx.y;
    for (int i = 0; i < 32; i += 8)
        if (r + i < rows && c < cols) tile[threadIdx.y + i][threadIdx.x] = x[(r + i) * cols + c];
    __syncthreads();
    r = blockIdx.y * 32 + threadIdx.x;
    c = blockIdx.x * 32 + threadIdx.y;
    for (int i = 0; i < 32; i += 8)
        if (r < rows && c + i < cols) y[(c + i) * rows + r] = tile[threadIdx.x][threadIdx.y + i];
}

static void test_transpose() {
    const int rows = 70, cols = 45;
    std::vector<float> x(rows * cols);
    for (size_t i = 0; i < x.size(); i++) x[i] = (float)i;
    on_device<float> from(x), to(x.size());
    LAUNCH(transpose_kernel, dim3((cols + 31) / 32, (rows + 31) / 32), dim3(32, 8), 0, nullptr, to.at, from.at, rows,
           cols);
    std::vector<float> y = to.read();
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++) EXPECT(y[c * rows + r] == x[r * cols + c]);
}

/* Turns x around by dynamic shared memory, and counts what does not start as NaN there. */
static __global__ void reverse_kernel(float *x, int *numbers) {
    DYNAMIC_SHARED(memory);
    float *line = (float *)memory;
    if ((uintptr_t)memory % 1024 || line[threadIdx.x] == line[threadIdx.x]) atomicAdd(numbers, 1);
    x += blockIdx.x * blockDim.x;
    line[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = line[blockDim.x - 1 - threadIdx.x];
}

static void test_dynamic_shared() {
    const int threads = 200, blocks = 3;
    std::vector<float> x(threads * blocks);
    for (size_t i = 0; i < x.size(); i++) x[i] = (float)i;
    on_device<float> line(x);
    on_device<int> numbers(std::vector<int>{0});
    LAUNCH(reverse_kernel, blocks, threads, threads * sizeof(float), nullptr, line.at, numbers.at);
    std::vector<float> y = line.read();
    for (int b = 0; b < blocks; b++)
        for (int i = 0; i < threads; i++) EXPECT(y[b * threads + i] == x[b * threads + threads - 1 - i]);
    EXPECT(numbers.read()[0] == 0);
}

/* ---------------------------------------------------------------- lanes */
/* Odd rows end at once, a block has a warp that is not full, and the halves of a warp go ways of their own. */
static __global__ void divergence_kernel(int *y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x % 32;
    if (i >= n) return;
    unsigned there = __ballot_sync(everyone, 1);
    int value;
    if (lane < 16) value = __shfl_sync(0xffffu, lane, 15 - lane, 16);
    else value = 100 + __reduce_add_sync(0xffff0000u, 1);
    __syncwarp();
    y[i] = value + 1000 * __popc(there);
}

static void test_divergence() {
    const int n = 100;
    on_device<int> out(n);
    LAUNCH(divergence_kernel, 2, 72, 0, nullptr, out.at, n);
    std::vector<int> y = out.read();
    for (int i = 0; i < n; i++) {
        int thread = i % 72, warp = thread / 32, lane = thread % 32;
        int there = i < 72 ? (warp < 2 ? 32 : 8) : 28, low = there < 16 ? there : 16;
        int expected = lane >= 16 ? 100 + there - 16 : 15 - lane < low ? 15 - lane : -1;
        EXPECT(y[i] == expected + 1000 * there);
    }
}

struct lane_values {
    int index, xor5, down3, up3, down_of_8, up_of_8, xor8_of_8;
    unsigned ballot, most, least, ored, xored;
    int any, none, all, total;
    int or_of_block, and_of_block, count_of_block;
};

static __global__ void lanes_kernel(lane_values *y) {
    int lane = threadIdx.x % 32, odd = lane & 1;
    lane_values v;
    v.index = __shfl_sync(everyone, lane, lane * 3);
    v.xor5 = __shfl_xor_sync(everyone, lane, 5);
    v.down3 = __shfl_down_sync(everyone, lane, 3);
    v.up3 = __shfl_up_sync(everyone, lane, 3);
    v.down_of_8 = __shfl_down_sync(everyone, lane, 3, 8);
    v.up_of_8 = __shfl_up_sync(everyone, lane, 3, 8);
    v.xor8_of_8 = __shfl_xor_sync(everyone, lane, 8, 8);
    v.ballot = __ballot_sync(everyone, odd);
    v.most = __reduce_max_sync(everyone, (unsigned)lane);
    v.least = __reduce_min_sync(everyone, (unsigned)lane + 4);
    v.ored = __reduce_or_sync(everyone, 1u << lane / 2);
    v.xored = __reduce_xor_sync(everyone, 1u << lane);
    v.any = __any_sync(everyone, lane == 7);
    v.none = __any_sync(everyone, lane == 77);
    v.all = __all_sync(everyone, lane < 32);
    v.total = __reduce_add_sync(everyone, -lane);
    v.or_of_block = __syncthreads_or(threadIdx.x == 40);
    v.and_of_block = __syncthreads_and(threadIdx.x != 40);
    v.count_of_block = __syncthreads_count(odd * 4);
    y[threadIdx.x] = v;
}

static void test_lanes() {
    on_device<lane_values> out(64);
    LAUNCH(lanes_kernel, 1, 64, 0, nullptr, out.at);
    std::vector<lane_values> all = out.read();
    for (int i = 0; i < 64; i++) {
        const lane_values &v = all[i];
        int lane = i % 32, of_8 = lane % 8;
        EXPECT(v.index == lane * 3 % 32 && v.xor5 == (lane ^ 5));
        EXPECT(v.down3 == (lane + 3 < 32 ? lane + 3 : lane) && v.up3 == (lane >= 3 ? lane - 3 : lane));
        EXPECT(v.down_of_8 == (of_8 + 3 < 8 ? lane + 3 : lane) && v.up_of_8 == (of_8 >= 3 ? lane - 3 : lane));
        EXPECT(v.xor8_of_8 == (lane & 8 ? lane - 8 : lane)); /* into an earlier group, but into no later one */
        EXPECT(v.ballot == 0xaaaaaaaau && v.most == 31 && v.least == 4 && v.ored == 0xffffu && v.xored == everyone);
        EXPECT(v.any == 1 && v.none == 0 && v.all == 1 && v.total == -496);
        EXPECT(v.or_of_block && !v.and_of_block && v.count_of_block == 32);
    }
}

struct number {
    int in, out;
};

/* Each gets the sum of what the lanes in front of it hold. */
static void sum_before(void **all, int lanes) {
    for (int i = 0, sum = 0; i < lanes; i++) {
        number *n = (number *)all[i];
        n->out = sum;
        sum += n->in;
    }
}

static __global__ void collective_kernel(int *y, int lanes) {
    number n = {(int)threadIdx.x, -1};
    for (int again = 0; again < 3; again++) emulated_collective(&n, lanes, sum_before);
    y[threadIdx.x] = n.out;
}

static void test_collective() {
    for (int lanes : {32, 128}) {
        on_device<int> out(256);
        LAUNCH(collective_kernel, 1, 256, 0, nullptr, out.at, lanes);
        std::vector<int> y = out.read();
        for (int i = 0, sum = 0; i < 256; sum += i++) {
            if (i % lanes == 0) sum = 0;
            EXPECT(y[i] == sum);
        }
    }
}

/* ---------------------------------------------------------------- named barriers and flags */
enum { FULL = 1, EMPTY = 3, SLOTS = 2 };

/* The first warp fills slots that the other two empty, with a barrier for full and one for empty of each slot. */
static __global__ void pipeline_kernel(int *y, int rounds) {
    __shared__ int slot[SLOTS][64];
    if (threadIdx.x < 32) {
        for (int r = 0; r < rounds; r++) {
            if (r >= SLOTS) barrier_sync(EMPTY + r % SLOTS, 96);
            slot[r % SLOTS][threadIdx.x] = r * 64 + (int)threadIdx.x;
            slot[r % SLOTS][threadIdx.x + 32] = r * 64 + (int)threadIdx.x + 32;
            barrier_arrive(FULL + r % SLOTS, 96);
        }
    } else {
        int i = (int)threadIdx.x - 32;
        for (int r = 0; r < rounds; r++) {
            barrier_sync(FULL + r % SLOTS, 96);
            y[r * 64 + i] = slot[r % SLOTS][63 - i];
            if (r + SLOTS < rounds) barrier_arrive(EMPTY + r % SLOTS, 96);
        }
    }
}

static void test_named_barriers() {
    const int rounds = 9;
    on_device<int> out(rounds * 64);
    LAUNCH(pipeline_kernel, 2, 96, 0, nullptr, out.at, rounds);
    std::vector<int> y = out.read();
    for (int i = 0; i < rounds * 64; i++) EXPECT(y[i] == i / 64 * 64 + 63 - i % 64);
}

/* Thread 0 waits for all others, who take turns. */
static __global__ void turns_kernel(int *turn, int *order) {
    int wanted = threadIdx.x ? (int)(blockDim.x - threadIdx.x) - 1 : (int)blockDim.x - 1;
    while (*(volatile int *)turn != wanted) emulated_yield();
    order[wanted] = (int)threadIdx.x;
    ++*turn;
}

static void test_yield() {
    on_device<int> turn(std::vector<int>{0}), order(100);
    LAUNCH(turns_kernel, 1, 100, 0, nullptr, turn.at, order.at);
    std::vector<int> found = order.read();
    for (int i = 0; i < 100; i++) EXPECT(found[i] == 99 - i);
}

/* ---------------------------------------------------------------- atomics */
struct counters {
    int sum, least, most, swapped;
    unsigned bits, flips, ring;
    unsigned long long wide;
    float real;
};

static __global__ void atomics_kernel(counters *c, int *seen) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    seen[atomicAdd(&c->sum, 1)] = 1;
    atomicMin(&c->least, 50 - i);
    atomicMax(&c->most, i);
    atomicOr(&c->bits, 1u << i % 20);
    atomicXor(&c->flips, 1u << i % 32);
    atomicInc(&c->ring, 9u);
    atomicAdd(&c->wide, 1ull << 40);
    atomicAdd(&c->real, 0.5f);
    int old = c->swapped, found;
    while ((found = atomicCAS(&c->swapped, old, old + 2)) != old) old = found;
}

static void test_atomics() {
    on_device<counters> c(std::vector<counters>{counters{}});
    on_device<int> seen(128);
    LAUNCH(atomics_kernel, 4, 32, 0, nullptr, c.at, seen.at);
    counters found = c.read()[0];
    EXPECT(found.sum == 128 && found.least == -77 && found.most == 127 && found.swapped == 256);
    EXPECT(found.bits == 0xfffffu && found.flips == 0 && found.ring == 8);
    EXPECT(found.wide == 128ull << 40 && found.real == 64);
    for (int one : seen.read()) EXPECT(one == 1);
}

/* ---------------------------------------------------------------- numbers */
static float widened(unsigned bits) { return __uint_as_float(bits << 16); }

static void test_bfloat16() {
    for (unsigned bits = 0; bits < 0x7f80; bits++) {
        unsigned exact = bits << 16, even = bits + (bits & 1);
        for (unsigned sign : {0u, 0x8000u}) {
            auto rounded = [&](unsigned low) {
                return (unsigned)__bfloat16_as_ushort(__float2bfloat16_rn(__uint_as_float((sign << 16) + exact + low)));
            };
            EXPECT(rounded(0) == sign + bits);
            EXPECT(rounded(0x7fff) == sign + bits);
            EXPECT(rounded(0x8000) == sign + even);
            EXPECT(rounded(0x8001) == sign + bits + 1);
            EXPECT(rounded(0xffff) == sign + bits + 1);
        }
        EXPECT(__bfloat162float(__ushort_as_bfloat16((unsigned short)bits)) == widened(bits));
    }
    EXPECT(__bfloat16_as_ushort(__float2bfloat16(INFINITY)) == 0x7f80);
    EXPECT(__bfloat16_as_ushort(__float2bfloat16(-INFINITY)) == 0xff80);
    EXPECT(__bfloat16_as_ushort(__float2bfloat16(3.4e38f)) == 0x7f80);
    for (unsigned nan : {0x7f800001u, 0x7fffffffu, 0xffc00000u, 0xffffffffu})
        EXPECT(__bfloat16_as_ushort(__float2bfloat16(__uint_as_float(nan))) == 0x7fff);
    __nv_bfloat162 pair = __floats2bfloat162_rn(1.5f, -2.0f);
    float2 both = __bfloat1622float2(pair);
    EXPECT(both.x == 1.5f && both.y == -2 && sizeof pair == 4);
    EXPECT((float)(pair.x * pair.y) == -3 && __high2float(pair) == -2);
}

static void test_numbers() {
    EXPECT(__popc(0xf0f0u) == 8 && __clz(1) == 31 && __clz(0) == 32 && __clz(-1) == 0 && __ffs(8) == 4);
    EXPECT(__brev(1) == 0x80000000u && __byte_perm(0x33221100u, 0x77665544u, 0x7250u) == 0x77225500u);
    EXPECT(__umulhi(0x80000000u, 6) == 3 && __mulhi(-1, 5) == -1);
    EXPECT(__umul64hi(1ull << 63, 6) == 3 && __mul24(-3, 5) == -15 && __umul24(0x1000003u, 2) == 6);
    EXPECT(__funnelshift_l(0x80000000u, 1, 1) == 3 && __funnelshift_r(2, 1, 1) == 0x80000001u);
    EXPECT(__funnelshift_r(7, 9, 0) == 7 && __funnelshift_l(7, 9, 0) == 9);
    EXPECT(__float_as_uint(1) == 0x3f800000u && __int_as_float(0x40000000) == 2);
    EXPECT(min(-1, 2) == -1 && max(-1, 2u) == 0xffffffffu && max((int64_t)3, (int64_t)4) == 4);
    EXPECT(min(2.0f, NAN) == 2 && max(NAN, 1.0) == 1 && rsqrtf(4) == 0.5f && __frcp_rn(8) == 0.125f);
    EXPECT(__expf(0) == 1 && __logf(1) == 0 && __fdividef(3, 2) == 1.5f && __saturatef(3) == 1);
    EXPECT(__float2int_rn(2.5f) == 2 && __float2int_rn(3.5f) == 4 && __float2int_rz(-2.9f) == -2);
    EXPECT(sizeof(float4) == 16 && alignof(float4) == 16 && alignof(float2) == 8 && alignof(uint4) == 16);
    float s, c;
    sincosf(0, &s, &c);
    EXPECT(s == 0 && c == 1);
}

/* ---------------------------------------------------------------- the runtime */
static void test_runtime() {
    size_t before, total, now;
    float *x, *pinned, milliseconds;
    EXPECT(!cudaMemGetInfo(&before, &total) && before == total);
    EXPECT(!cudaMalloc(&x, 6 * sizeof *x) && !cudaHostAlloc(&pinned, 64, cudaHostAllocDefault));
    EXPECT((uintptr_t)x % 256 == 0 && x[5] != x[5]);
    EXPECT(!cudaMemGetInfo(&now, &total) && now == before - 24);
    EXPECT(!cudaMemsetAsync(x, 0, 24) && x[5] == 0);
    const float block[] = {1, 2, 3, 4};
    EXPECT(!cudaMemcpy2DAsync(x, 12, block, 8, 8, 2, cudaMemcpyHostToDevice));
    EXPECT(x[0] == 1 && x[1] == 2 && x[2] == 0 && x[3] == 3 && x[4] == 4);
    EXPECT(!cudaFree(x) && !cudaFree(nullptr) && !cudaFreeHost(pinned));

    void *too_large;
    EXPECT(cudaMalloc(&too_large, total + 1) == cudaErrorMemoryAllocation);
    EXPECT(cudaPeekAtLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaErrorMemoryAllocation);
    EXPECT(cudaGetLastError() == cudaSuccess);
    EXPECT(cudaFree(x) == cudaErrorInvalidValue && cudaSetDevice(1) == cudaErrorInvalidDevice);
    EXPECT(!strcmp(cudaGetErrorString(cudaGetLastError()), "invalid device ordinal"));

    int count, value, blocks;
    cudaDeviceProp p;
    EXPECT(!cudaGetDeviceCount(&count) && count == 1 && !cudaGetDeviceProperties(&p, 0));
    EXPECT(p.major == 9 && p.multiProcessorCount == 4 && p.sharedMemPerBlockOptin == 232448);
    EXPECT(!cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0) && value == 4);
    EXPECT(!cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, reverse_kernel, 256, 100 << 10) && blocks == 2);

    cudaStream_t stream;
    cudaEvent_t start, end;
    EXPECT(!cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) && !cudaEventCreate(&start));
    EXPECT(!cudaEventCreate(&end) && !cudaEventRecord(start, stream) && !cudaEventRecord(end, stream));
    EXPECT(!cudaStreamWaitEvent(stream, end) && !cudaEventSynchronize(end));
    EXPECT(!cudaEventElapsedTime(&milliseconds, start, end) && milliseconds >= 0);
    EXPECT(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaErrorNotSupported);
    EXPECT(!cudaEventDestroy(start) && !cudaEventDestroy(end) && !cudaStreamDestroy(stream));
    cudaGetLastError();
}

/* Launches of several threads of the host take turns. */
static void test_host_threads() {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([] {
            for (int round = 0; round < 5; round++) check_sum<int>(1000, 2, 128);
        });
    for (std::thread &t : threads) t.join();
}

/* ---------------------------------------------------------------- mistakes */
static __global__ void some_have_ended() {
    if (threadIdx.x == 5) return;
    __syncthreads();
}
static __global__ void other_line() {
    if (threadIdx.x < 32) __syncthreads();
    if (threadIdx.x >= 32) __syncthreads();
}
static __global__ void never_arrives() { barrier_sync(4, 96); }
static __global__ void other_count() { barrier_sync(4, threadIdx.x < 32 ? 32 + 32 : 96); }
static __global__ void no_lane_of_mask() { __syncwarp(0xfffffffeu); }
static __global__ void other_masks() {
    __ballot_sync(threadIdx.x < 16 ? 0xffffffffu : 0xffff0000u, 1);
    __syncthreads();
}
static __global__ void lane_missing() {
    number n = {};
    if (threadIdx.x != 31) emulated_collective(&n, 32, sum_before);
}
static __global__ void waits_for_nothing() {
    while (blockDim.x) emulated_yield();
}
static __global__ void launches() { LAUNCH(never_arrives, 1, 32, 0, nullptr); }
static __global__ void nothing() {}
static __global__ void takes_shared() {
    DYNAMIC_SHARED(memory);
    memory[threadIdx.x] = 1; /* too far where a launch asks for less than a byte for each thread */
}

/* A process of its own does it, dies, and its message says so. */
static void expect_death(const char *message, const std::function<void()> &mistake) {
    int ends[2], status;
    EXPECT(!pipe(ends));
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        mistake();
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    char part[4096];
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) said.append(part, (size_t)n);
    close(ends[0]);
    EXPECT(waitpid(child, &status, 0) == child);
    if (status != 0 && said.find(message) != std::string::npos) return;
    fprintf(stderr, "status %d, expected the message \"%s\", found:\n%s\n", status, message, said.c_str());
    exit(1);
}

static void test_mistakes() {
    expect_death("threads 5 to 5 have ended", [] { LAUNCH(some_have_ended, 1, 64, 0, nullptr); });
    expect_death("while others wait at", [] { LAUNCH(other_line, 1, 64, 0, nullptr); });
    expect_death("wait for barrier_sync at", [] { LAUNCH(never_arrives, 1, 128, 0, nullptr); });
    expect_death("others came for", [] { LAUNCH(other_count, 1, 96, 0, nullptr); });
    expect_death("in a block of 64", [] { LAUNCH(never_arrives, 1, 64, 0, nullptr); });
    expect_death("not in its own mask", [] { LAUNCH(no_lane_of_mask, 1, 32, 0, nullptr); });
    expect_death("threads 0 to 15 wait for __ballot_sync", [] { LAUNCH(other_masks, 1, 32, 0, nullptr); });
    expect_death("lane 31 has ended", [] { LAUNCH(lane_missing, 1, 32, 0, nullptr); });
    expect_death("wait for emulated_yield", [] { LAUNCH(waits_for_nothing, 1, 32, 0, nullptr); });
    expect_death("inside of a kernel", [] { LAUNCH(launches, 1, 32, 0, nullptr); });
    expect_death("outside of a kernel", [] { __syncthreads(); });
    expect_death("a block of 1025", [] { LAUNCH(nothing, 1, 1025, 0, nullptr); });
    expect_death("an empty launch", [] { LAUNCH(nothing, 0, 32, 0, nullptr); });
    expect_death("x 65536 x", [] { LAUNCH(nothing, dim3(1, 65536), 32, 0, nullptr); });
    expect_death("asks for no shared memory", [] { LAUNCH(takes_shared, 1, 32, 0, nullptr); });
    expect_death("did not ask", [] { LAUNCH(takes_shared, 1, 32, 50000, nullptr); });
    expect_death("bytes of shared memory", [] { LAUNCH(takes_shared, 1, 32, 232449, nullptr); });
#ifdef ASAN
    expect_death("heap-buffer-overflow", [] { LAUNCH(takes_shared, 1, 33, 32, nullptr); });
#endif
    EXPECT(!cudaFuncSetAttribute(takes_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 50000));
    LAUNCH(takes_shared, 1, 32, 50000, nullptr);
    LAUNCH(takes_shared, 1, 32, 32, nullptr);
}

/* Who reads before a barrier that is missing shows in some order of the threads. */
static __global__ void barrier_missing(int *y) {
    DYNAMIC_SHARED(memory);
    int *line = (int *)memory;
    line[threadIdx.x] = (int)threadIdx.x;
    y[threadIdx.x] = threadIdx.x ? line[threadIdx.x - 1] : 0;
}

static void test_orders() {
    for (unsigned order : {0u, 1u, 2u, 3u}) {
        emulated_order(order);
        on_device<int> out(64);
        LAUNCH(barrier_missing, 1, 64, 64 * sizeof(int), nullptr, out.at);
        int wrong = 0;
        std::vector<int> y = out.read();
        for (int i = 1; i < 64; i++) wrong += y[i] != i - 1;
        EXPECT((order == 0) == (wrong == 0));
    }
}

int main() {
    for (unsigned order : {0u, 1u, 2u, 7u}) {
        emulated_order(order);
        test_sums();
        test_transpose();
        test_dynamic_shared();
        test_divergence();
        test_lanes();
        test_collective();
        test_named_barriers();
        test_yield();
        test_atomics();
        test_host_threads();
    }
    test_bfloat16();
    test_numbers();
    test_runtime();
    test_orders();
    emulated_order(0);
    test_mistakes();
    printf("emulator: fine\n");
    return 0;
}
