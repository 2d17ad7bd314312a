/* The safetensors reader against files that mean harm, the writer against the reader, and weights
 * against files of other models. Every file is made here. */
#include "scratch.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "backends/registry.h"
#include "model/weights.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char path[PATH_SIZE];

static int make_place(void **state) {
    int status = make_folder(state);
    snprintf(path, sizeof path, "%s", at("hostile.safetensors"));
    return status;
}

/* ------------------------------------------------------------------ files of any content */

enum { DATA = 64 };

/* Data bytes that no JSON could be taken for. */
static const unsigned char data[DATA] = {0x91, 0xA2, 0xB3, 0xC4, 0xD5, 0xE6, 0xF7, 0x88, 0x99, 0xAA, 0xBB,
                                         0xCC, 0xDD, 0xEE, 0xFF, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86};

static void put_file(const void *bytes, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT, 0600); /* emptying it first would make ext4 wait for the disk */
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, 0), size);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(close(fd), 0);
}

/* Lays out length, header and `bytes` of data in `t`. */
static void layout(text *t, uint64_t length, const char *header, size_t size, size_t bytes) {
    for (int i = 0; i < 8; i++) text_bytes(t, &(char){(char)(length >> 8 * i)}, 1);
    text_bytes(t, header, size);
    text_bytes(t, data, bytes);
}

static void put_header(uint64_t length, const char *header, size_t size, size_t bytes) {
    text t = {0};
    layout(&t, length, header, size, bytes);
    put_file(t.data, t.size);
    text_free(&t);
}

/* The file at path must be refused as damaged, by its name. */
static void refuse(const char *what, const char *part) {
    safetensors file;
    pcv_error reason = {0};
    int status = safetensors_open(&file, path, &reason);
    if (status != PCV_DATA || reason.code != PCV_DATA || !strstr(reason.message, path) || !strstr(reason.message, part))
        test_failed("%s -> %d, expected %d and '%s': %s\n", what, status, PCV_DATA, part, reason.message);
    assert_true(file.fd == -1 && !file.entries && !file.header);
}

/* ------------------------------------------------------------------ the hostile set */

#define F32_AT(from, to, shape) "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"
#define ONE                     "\"a\":" F32_AT(0, 4, "[1]")
#define ENTRY(type, shape, offsets)                                                                \
    "{\"a\":{\"dtype\":" type ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static const struct hostile {
    const char *what, *header;
    size_t bytes; /* of data */
    const char *part;
} hostile[] = {
    {"duplicate name", "{" ONE "," ONE "}", 4, "duplicate"},
    {"duplicate name, escaped", "{" ONE ",\"\\u0061\":" F32_AT(0, 4, "[1]") "}", 4, "duplicate"},
    {"duplicate member", "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "duplicate"},
    {"duplicate metadata", "{\"__metadata__\":{\"k\":\"v\",\"k\":\"v\"}," ONE "}", 4, "duplicate"},
    {"overlap", "{" ONE ",\"b\":" F32_AT(0, 4, "[1]") "}", 4, "overlaps"},
    {"partial overlap", "{\"a\":" F32_AT(0, 8, "[2]") ",\"b\":" F32_AT(4, 12, "[2]") "}", 12, "overlaps"},
    {"empty tensor inside another", "{\"a\":" F32_AT(0, 8, "[2]") ",\"b\":" F32_AT(4, 4, "[0]") "}", 8, "overlaps"},
    {"hole", "{" ONE ",\"b\":" F32_AT(8, 12, "[1]") "}", 12, "hole"},
    {"hole in front", "{\"a\":" F32_AT(4, 8, "[1]") "}", 8, "hole"},
    {"trailing data", "{" ONE "}", 8, "8 bytes of data, but the tensors cover 4"},
    {"trailing data without tensors", "{}", 1, "cover 0"},
    {"truncated data", "{" ONE "}", 3, "within the file"},
    {"no data", "{" ONE "}", 0, "within the file"},
    {"bytes wrap to 4", ENTRY("\"F32\"", "[4611686018427387905]", "[0,4]"), 4, "shape and dtype"},
    {"elements wrap to 4", ENTRY("\"U8\"", "[4611686018427387905,4]", "[0,4]"), 4, "shape"},
    {"2^62 x 4", ENTRY("\"F32\"", "[4611686018427387904,4]", "[0,0]"), 0, "shape"},
    {"2^62 of four bytes", ENTRY("\"F32\"", "[4611686018427387904]", "[0,0]"), 0, "shape and dtype"},
    {"wrap beside a zero", ENTRY("\"U8\"", "[0,4611686018427387904,4]", "[0,0]"), 0, "shape"},
    {"wrap before a zero", ENTRY("\"U8\"", "[4294967296,4294967296,0]", "[0,0]"), 0, "shape"},
    {"negative size", ENTRY("\"F32\"", "[-1]", "[0,4]"), 4, "shape"},
    {"two negative sizes", ENTRY("\"F32\"", "[-1,-1]", "[0,4]"), 4, "shape"},
    {"size as float", ENTRY("\"F32\"", "[1.0]", "[0,4]"), 4, "shape"},
    {"size with exponent", ENTRY("\"F32\"", "[1e0]", "[0,4]"), 4, "shape"},
    {"size as string", ENTRY("\"F32\"", "[\"1\"]", "[0,4]"), 4, "shape"},
    {"size of 2^63", ENTRY("\"F32\"", "[9223372036854775808]", "[0,4]"), 4, "JSON"},
    {"shape is a number", ENTRY("\"F32\"", "1", "[0,4]"), 4, "shape"},
    {"rank 9", ENTRY("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "at most 8"},
    {"rank 10", ENTRY("\"F32\"", "[1,1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "at most 8"},
    {"negative offsets", ENTRY("\"F32\"", "[1]", "[-4,0]"), 4, "data_offsets"},
    {"reversed offsets", ENTRY("\"F32\"", "[1]", "[4,0]"), 4, "data_offsets"},
    {"float offsets", ENTRY("\"F32\"", "[1]", "[0.0,4.0]"), 4, "data_offsets"},
    {"offset with exponent", ENTRY("\"F32\"", "[1]", "[0,4e0]"), 4, "data_offsets"},
    {"offset 2^64-1", ENTRY("\"F32\"", "[1]", "[0,18446744073709551615]"), 4, "JSON"},
    {"offset 2^63-1", ENTRY("\"F32\"", "[1]", "[0,9223372036854775807]"), 4, "data_offsets"},
    {"offsets whose difference wraps", ENTRY("\"F32\"", "[1]", "[9223372036854775807,3]"), 4, "data_offsets"},
    {"one offset", ENTRY("\"F32\"", "[1]", "[4]"), 4, "data_offsets"},
    {"three offsets", ENTRY("\"F32\"", "[1]", "[0,4,4]"), 4, "data_offsets"},
    {"offset past the end", ENTRY("\"F32\"", "[2]", "[0,8]"), 4, "within the file"},
    {"too few bytes", ENTRY("\"F32\"", "[2]", "[0,4]"), 4, "shape and dtype"},
    {"too many bytes", ENTRY("\"F16\"", "[1]", "[0,4]"), 4, "shape and dtype"},
    {"scalar of no bytes", ENTRY("\"F32\"", "[]", "[0,0]"), 0, "shape and dtype"},
    {"unknown type", ENTRY("\"F33\"", "[1]", "[0,4]"), 4, "unknown dtype"},
    {"type in lower case", ENTRY("\"f32\"", "[1]", "[0,4]"), 4, "unknown dtype"},
    {"type with a tail", ENTRY("\"F32 and more of it\"", "[1]", "[0,4]"), 4, "unknown dtype"},
    {"empty type", ENTRY("\"\"", "[1]", "[0,4]"), 4, "unknown dtype"},
    {"type is a number", ENTRY("32", "[1]", "[0,4]"), 4, "dtype"},
    {"no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "exactly dtype"},
    {"one member more", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":0}}", 4, "exactly dtype"},
    {"one member replaced", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offset\":[0,4]}}", 4, "data_offsets"},
    {"tensor is null", "{\"a\":null}", 0, "exactly dtype"},
    {"tensor is a list", "{\"a\":[]}", 0, "exactly dtype"},
    {"number in metadata", "{\"__metadata__\":{\"k\":1}," ONE "}", 4, "__metadata__"},
    {"object in metadata", "{\"__metadata__\":{\"k\":{}}," ONE "}", 4, "__metadata__"},
    {"metadata is a list", "{\"__metadata__\":[]," ONE "}", 4, "__metadata__"},
    {"metadata is null", "{\"__metadata__\":null," ONE "}", 4, "__metadata__"},
    {"metadata is a tensor", "{\"__metadata__\":" F32_AT(0, 4, "[1]") "}", 4, "__metadata__"},
    {"bad UTF-8 in a name", "{\"\xFF\":" F32_AT(0, 4, "[1]") "}", 4, "JSON"},
    {"overlong UTF-8 in a name", "{\"\xC0\xAF\":" F32_AT(0, 4, "[1]") "}", 4, "JSON"},
    {"surrogate in a name", "{\"\\ud800\":" F32_AT(0, 4, "[1]") "}", 4, "JSON"},
    {"NUL in a name", "{\"a\\u0000b\":" F32_AT(0, 4, "[1]") "}", 4, "NUL"},
    {"NUL in metadata", "{\"__metadata__\":{\"k\":\"\\u0000\"}," ONE "}", 4, "JSON"},
    {"control character in a name", "{\"a\\u001b[2J\":" F32_AT(0, 4, "[1]") "}", 4, "not printable"},
    {"line end in a name", "{\"a\\nb\":" F32_AT(0, 4, "[1]") "}", 4, "not printable"},
    {"leading space", " {" ONE "}", 4, "'{'"},
    {"leading byte order mark", "\xEF\xBB\xBF{" ONE "}", 4, "'{'"},
    {"array root", "[]", 0, "'{'"},
    {"string root", "\"a\"", 0, "'{'"},
    {"text behind the header", "{" ONE "}x", 4, "JSON"},
    {"second object", "{" ONE "}{}", 4, "JSON"},
    {"trailing comma", "{" ONE ",}", 4, "JSON"},
    {"comment", "{" ONE "/**/}", 4, "JSON"},
    {"open end", "{" ONE, 4, "JSON"},
    {"only an opening", "{", 0, "JSON"},
};

static void hostile_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(hostile); i++) {
        const struct hostile *h = &hostile[i];
        put_header(strlen(h->header), h->header, strlen(h->header), h->bytes);
        refuse(h->what, h->part);
    }
    static const char zero[] = "{" ONE "}\0\0";
    put_header(sizeof zero - 1, zero, sizeof zero - 1, 4);
    refuse("zero bytes behind the header", "JSON");
    text t = {0};
    text_add(&t, "{\"");
    for (int i = 0; i <= SAFETENSORS_NAME; i++) text_add(&t, "n");
    text_add(&t, "\":%s}", F32_AT(0, 4, "[1]"));
    put_header(t.size, t.data, t.size, 4);
    refuse("a name of 1025 bytes", "too long");
    text_free(&t);
}

static void hostile_lengths(void **state) {
    (void)state;
    static const char header[] = "{" ONE "}";
    const size_t size = sizeof header - 1;
    const uint64_t lengths[] = {(uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 7, size + 5, size + 4 + 8, 100000001,
                                (uint64_t)1 << 32};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        put_header(lengths[i], header, size, 4);
        mem_fail_after(0);
        refuse("length", "a header of");
        assert_int_equal(mem_fail_after(0), 0); /* refused before anything was allocated */
    }
    put_header(0, header, size, 4);
    refuse("length 0", "'{'");
    put_header(size - 1, header, size, 4);
    refuse("length one too small", "JSON");
    put_file("", 0);
    refuse("empty file", "0 bytes");
    put_file("\2\0\0\0\0\0\0", 7);
    refuse("7 bytes", "7 bytes");
    put_file("\0\0\0\0\0\0\0", 8);
    refuse("8 bytes", "'{'");
    put_header(100000001, header, size, 4); /* the file is long enough for its header, but a hole */
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    refuse("longest header", "a header of 100000001");
}

static void deep_headers(void **state) {
    (void)state;
    static const struct {
        int depth;
        bool balanced;
    } cases[] = {{100000, false}, {100000, true}, {5000, true}, {2049, true}};
    static const char opening[] = "[{", *const inner[] = {"", "\"a\":"};
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int kind = 0; kind < 2; kind++) {
            text t = {0};
            text_add(&t, "{\"a\":");
            for (int k = 0; k < cases[i].depth; k++) text_add(&t, "%c%s", opening[kind], inner[kind]);
            if (cases[i].balanced) text_add(&t, "1");
            for (int k = 0; cases[i].balanced && k < cases[i].depth; k++) text_add(&t, "%c", "]}"[kind]);
            text_add(&t, "}");
            put_header(t.size, t.data, t.size, 0);
            refuse("nested", "depth");
            text_free(&t);
        }
}

/* ------------------------------------------------------------------ memory */

/* Opens the file in a process that may take 64 MB more than the file has bytes. */
static int open_in_little_memory(void) {
    pid_t child = fork();
    if (child == 0) {
        long pages = 0;
        struct stat s;
        safetensors file;
        FILE *f = fopen("/proc/self/statm", "r");
        if (!f || fscanf(f, "%ld", &pages) != 1 || stat(path, &s)) _exit(1);
        fclose(f);
        rlim_t limit = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (rlim_t)s.st_size + (64 << 20);
        if (setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit})) _exit(1);
        _exit(safetensors_open(&file, path, NULL));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A header of many small values must not become many times as much memory. */
static void bounded_memory(void **state) {
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* its own memory is not bounded */
#endif
    enum { SIZE = 8 << 20 };
    static const struct {
        const char *what, *begin, *repeated;
    } cases[] = {
        {"a long shape", "{\"a\":{\"shape\":[0", ",0"},
        {"a long list of lists", "{\"a\":[[]", ",[]"},
        {"a long list of objects", "{\"a\":[{}", ",{}"},
        {"a long name", "{\"", "aaaaaaaa"},
        {"a long string", "{\"a\":\"", "\\u0001"},
        {"empty tensors", "{\"a\":{}", ",\"%d\":{}"},
    };
    int failed = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        text t = {0};
        text_add(&t, "%s", cases[i].begin);
        for (int k = 0; t.size < SIZE; k++) {
            if (strchr(cases[i].repeated, '%')) text_add(&t, ",\"%d\":{}", k);
            else text_add(&t, "%s", cases[i].repeated);
        }
        put_header(t.size, t.data, t.size, 0);
        text_free(&t);
        int status = open_in_little_memory();
        if (status == PCV_DATA) continue;
        print_error("%s of %d bytes -> %d, expected %d\n", cases[i].what, SIZE, status, PCV_DATA);
        failed++;
    }
    assert_int_equal(failed, 0);
}

/* ------------------------------------------------------------------ good files */

static void good_files(void **state) {
    (void)state;
    static const struct {
        const char *what, *header;
        size_t bytes;
        int count;
    } cases[] = {
        {"nothing at all", "{}", 0, 0},
        {"metadata alone", "{\"__metadata__\":{\"format\":\"pt\"}}", 0, 0},
        {"one tensor", "{" ONE "}", 4, 1},
        {"metadata", "{\"__metadata__\":{\"k\":\"v\",\"\":\"\"}," ONE "}", 4, 1},
        {"trailing spaces", "{" ONE "}       ", 4, 1},
        {"spaces between", "{ \"a\" : " F32_AT(0, 4, "[ 1 ]") " }", 4, 1},
        {"scalar of rank 0", "{\"a\":" F32_AT(0, 4, "[]") "}", 4, 1},
        {"rank 8", "{\"a\":" F32_AT(0, 4, "[1,1,1,1,1,1,1,1]") "}", 4, 1},
        {"empty tensors at one point",
         "{\"c\":" F32_AT(0, 4, "[1]") ",\"a\":" F32_AT(0, 0, "[0]") ",\"b\":" F32_AT(0, 0, "[3,0,5]")
         ",\"d\":" F32_AT(4, 4, "[0]") ",\"e\":" F32_AT(4, 4, "[0,9223372036854775807]") "}", 4, 5},
        {"not in order", "{\"b\":" F32_AT(4, 12, "[2,1]") "," ONE "}", 12, 2},
        {"names of any letters", "{\"\":" F32_AT(0, 4, "[1]") ",\"\xC3\xA9 \\u00e9x/\\\"\":" F32_AT(4, 8, "[1]") "}", 8, 2},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        safetensors file;
        put_header(strlen(cases[i].header), cases[i].header, strlen(cases[i].header), cases[i].bytes);
        must(safetensors_open(&file, path, &err));
        if (file.count != cases[i].count) test_failed("%s: %d tensors\n", cases[i].what, file.count);
        assert_int_equal(file.data_size, cases[i].bytes);
        uint64_t begin = 0;
        for (int k = 0; k < file.count; k++) {
            const safetensors_entry *e = &file.entries[k];
            unsigned char *loaded = malloc(e->bytes + 1);
            assert_ptr_equal(safetensors_find(&file, e->name), e);
            assert_int_equal(e->begin, begin);
            must(safetensors_load(&file, e, loaded, &err));
            assert_memory_equal(loaded, data + begin, e->bytes);
            free(loaded);
            begin += e->bytes;
        }
        assert_null(safetensors_find(&file, "absent"));
        safetensors_close(&file);
        safetensors_close(&file);
    }
}

static void not_a_file(void **state) {
    (void)state;
    safetensors file;
    pcv_error reason = {0};
    path_remove(path, NULL);
    assert_int_equal(safetensors_open(&file, path, &reason), PCV_NOINPUT);
    assert_non_null(strstr(reason.message, path));
    assert_int_equal(safetensors_open(&file, folder, &reason), PCV_NOINPUT);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(safetensors_open(&file, path, &reason), PCV_NOINPUT); /* and does not wait */
    must(path_remove(path, &err));
}

static void shrinking_file(void **state) {
    (void)state;
    static const char header[] = "{" ONE "}";
    safetensors file;
    char loaded[4];
    pcv_error reason = {0};
    put_header(sizeof header - 1, header, sizeof header - 1, 4);
    must(safetensors_open(&file, path, &err));
    assert_int_equal(truncate(path, (off_t)(8 + sizeof header - 1 + 3)), 0);
    assert_int_equal(safetensors_load(&file, file.entries, loaded, &reason), PCV_DATA);
    assert_true(strstr(reason.message, path) && strstr(reason.message, "truncated"));
    safetensors_close(&file);
}

/* Shapes of empty tensors are bounded by nothing: who multiplies them must not overflow. */
static void huge_empty_shapes(void **state) {
    (void)state;
    static const char header[] = "{\"a\":" F32_AT(0, 0, "[9223372036854775807,2,0]") "," //
                                 "\"b\":" F32_AT(0, 4, "[1]") "}";
    char *description = NULL;
    put_header(sizeof header - 1, header, sizeof header - 1, 4);
    must(pcv_info(path, PCV_INFO_JSON, &description, &err));
    assert_non_null(strstr(description, "\"parameters\": 1"));
    pcv_text_free(description);
}

/* ------------------------------------------------------------------ damage */

static const char small[] = "{\"__metadata__\":{\"step\":\"12\"},\"bias\":{\"dtype\":\"F32\",\"shape\":[],"
                            "\"data_offsets\":[0,4]},\"weight\":{\"dtype\":\"U8\",\"shape\":[2,5],"
                            "\"data_offsets\":[4,14]}}   ";

/* A damaged header was accepted: then the tensors must be those of `small`, but for their names. */
static void check_small(const char *what, size_t where) {
    safetensors file;
    pcv_error reason = {0};
    int status = safetensors_open(&file, path, &reason);
    if (status) {
        if (status != PCV_DATA || !strstr(reason.message, path))
            test_failed("%s %zu -> %d: %s\n", what, where, status, reason.message);
        return;
    }
    bool same = file.count == 2;
    for (int i = 0; same && i < 2; i++) {
        const safetensors_entry *e = &file.entries[i];
        unsigned char *loaded = malloc(e->bytes);
        same = e->begin == (i ? 4 : 0) && e->bytes == (i ? 10 : 4) && !strcmp(e->type, i ? "U8" : "F32") &&
               e->rank == (i ? 2 : 0) && (!i || (e->shape[0] == 2 && e->shape[1] == 5));
        must(safetensors_load(&file, e, loaded, &err));
        assert_memory_equal(loaded, data + e->begin, e->bytes);
        free(loaded);
    }
    if (!same) test_failed("%s %zu: other tensors\n", what, where);
    safetensors_close(&file);
}

static void every_truncation(void **state) {
    (void)state;
    text t = {0};
    layout(&t, sizeof small - 1, small, sizeof small - 1, 14);
    for (size_t size = 0; size < t.size; size++) {
        put_file(t.data, size);
        refuse("truncated file", "");
    }
    put_file(t.data, t.size);
    check_small("whole", t.size);
    text_free(&t);
}

static void every_flipped_bit(void **state) {
    (void)state;
    text t = {0};
    layout(&t, sizeof small - 1, small, sizeof small - 1, 14);
    int accepted = 0;
    for (size_t bit = 0; bit < 8 * (8 + sizeof small - 1); bit++) {
        safetensors file;
        t.data[bit / 8] ^= (char)(1 << bit % 8);
        put_file(t.data, t.size);
        check_small("bit", bit);
        if (!safetensors_open(&file, path, NULL)) {
            accepted++;
            safetensors_close(&file);
        }
        t.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_in_range(accepted, 10, 8 * 16); /* some in "step", "12", "bias", "weight"; no others */
    text_free(&t);
}

/* Several bytes at once, mostly those that JSON gives a meaning: whatever is accepted must load. */
static void random_damage(void **state) {
    (void)state;
    enum { FILES = 4000 };
    static const char likely[] = "{}[]\",:0123456789-.eE\\u nul";
    rng r = rng_make(3, RNG_TEST, 0);
    for (int i = 0; i < FILES; i++) {
        text t = {0};
        safetensors file;
        pcv_error reason = {0};
        layout(&t, sizeof small - 1, small, sizeof small - 1, 14);
        for (uint64_t k = 1 + rng_below(&r, 3); k; k--) {
            char *byte = t.data + (rng_below(&r, 20) ? 8 : 0) + rng_below(&r, sizeof small - 1);
            *byte = rng_below(&r, 4) ? likely[rng_below(&r, sizeof likely - 1)] : (char)rng_u32(&r);
        }
        put_file(t.data, t.size);
        int status = safetensors_open(&file, path, &reason);
        assert_true(status == 0 || (status == PCV_DATA && strstr(reason.message, path)));
        for (int k = 0; k < file.count; k++) {
            unsigned char *loaded = malloc(file.entries[k].bytes + 1);
            must(safetensors_load(&file, &file.entries[k], loaded, &err));
            assert_true(file.entries[k].begin + file.entries[k].bytes <= 14);
            free(loaded);
        }
        safetensors_close(&file);
        text_free(&t);
    }
}

static void without_memory(void **state) {
    (void)state;
    put_header(sizeof small - 1, small, sizeof small - 1, 14);
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        safetensors file;
        mem_fail_after(n);
        int status = safetensors_open(&file, path, NULL);
        done = mem_fail_after(0) < n;
        assert_int_equal(status, done ? 0 : PCV_MEMORY);
        if (!status) assert_int_equal(file.count, 2);
        safetensors_close(&file);
    }
}

/* ------------------------------------------------------------------ writing */

enum { LARGE = (1 << 20) + 3 };

static int read_large(void *context, int index, uint64_t offset, void *out, size_t bytes) {
    if (index != 1) return 1;
    for (size_t i = 0; i < bytes; i++) ((unsigned char *)out)[i] = (unsigned char)((offset + i) * 7 >> 3);
    return --*(int *)context < 0;
}

static void round_trip(void **state) {
    (void)state;
    static const float values[6] = {1, -2, 0.5f, 1e-40f, -0.0f, 3e38f};
    const safetensors_plan plans[] = {
        {"z \"quoted\\ \xC3\xA9", "F32", 2, {2, 3}, values},
        {"large", "U8", 1, {LARGE, 0}, NULL},
        {"empty", "F64", 2, {0, 4}, values},
        {"scalar", "F32", 0, {0, 0}, values + 2},
    };
    char hash[HASH_TEXT], again[HASH_TEXT];
    uint64_t size, found;
    int pieces = 2;
    json_t *metadata = json_pack("{s:s, s:s}", "format", "pt", "note", "a\n\"b\"");
    safetensors_writer w = {plans, COUNT(plans), metadata, read_large, &pieces};
    must(safetensors_save(&w, path, hash, &size, &err));
    assert_int_equal(pieces, 0);
    must(hash_file(path, again, &found, &err));
    assert_string_equal(hash, again);
    assert_int_equal(size, found);
    safetensors file;
    must(safetensors_open(&file, path, &err));
    static const char *const order[] = {"empty", "large", "scalar", "z \"quoted\\ \xC3\xA9"};
    assert_int_equal(file.count, 4);
    for (int i = 0; i < 4; i++) assert_string_equal(file.entries[i].name, order[i]);
    assert_int_equal(file.data_start % 8, 0);
    assert_string_equal(safetensors_metadata(&file, "note"), "a\n\"b\"");
    assert_null(safetensors_metadata(&file, "absent"));
    static unsigned char loaded[LARGE];
    const safetensors_entry *e = safetensors_find(&file, plans[0].name);
    assert_true(e->rank == 2 && e->shape[0] == 2 && e->shape[1] == 3 && !strcmp(e->type, "F32"));
    must(safetensors_load(&file, e, loaded, &err));
    assert_memory_equal(loaded, values, sizeof values);
    must(safetensors_load(&file, safetensors_find(&file, "large"), loaded, &err));
    for (size_t i = 0; i < LARGE; i++) assert_int_equal(loaded[i], (unsigned char)(i * 7 >> 3));
    safetensors_close(&file);
    pcv_error reason = {0};
    pieces = 1; /* the second piece fails: an error, and the file from before */
    assert_int_equal(safetensors_save(&w, path, NULL, NULL, &reason), PCV_IO);
    assert_non_null(strstr(reason.message, "large"));
    must(hash_file(path, again, &found, &err));
    assert_string_equal(hash, again);
    json_decref(metadata);
    w = (safetensors_writer){.count = 0};
    must(safetensors_save(&w, path, NULL, NULL, &err));
    must(safetensors_open(&file, path, &err));
    assert_true(file.count == 0 && !safetensors_metadata(&file, "format"));
    safetensors_close(&file);
}

/* ------------------------------------------------------------------ weights */

typedef struct net {
    backend *be;
    parameters p;
} net;

static void net_open(net *n) {
    *n = (net){0};
    must(backend_open(&n->be, "cpu", &(backend_options){.level = "reference", .threads = 1}, &err));
    parameters_add(&n->p, "up.weight", 3, 4, (param_init){.kind = INIT_NORMAL, .scale = 1});
    parameters_add(&n->p, "up.{left,right}.bias", 1, 6, (param_init){.kind = INIT_NORMAL, .scale = 1, .vector = true});
    must(parameters_alloc(&n->p, n->be, true, &err));
}

static void net_close(net *n) {
    parameters_free(&n->p);
    n->be->close(n->be);
}

static float *slice_of(const net *n, matrix block, const char *name, size_t *bytes) {
    parameter_slice s = parameters_slice(&n->p, parameters_find(&n->p, name));
    *bytes = (size_t)(s.rows * s.cols) * sizeof(float);
    return (float *)block.data + s.offset;
}

static void weights_there_and_back(void **state) {
    (void)state;
    static const char *const names[] = {"up.weight", "up.left.bias", "up.right.bias"};
    net a, b;
    size_t bytes;
    net_open(&a);
    net_open(&b);
    must(parameters_init(&a.p, 5, &err));
    weight_block from[] = {{"", a.p.values}, {"m.", a.p.grads}}, to[] = {{"", b.p.values}, {"m.", b.p.grads}};
    for (int i = 0; i < 3; i++) slice_of(&a, a.p.grads, names[i], &bytes)[1] = (float)i + 0.5f;
    must(weights_save(&a.p, from, 2, NULL, path, NULL, NULL, &err));
    must(weights_load(&b.p, to, 2, path, &err));
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 3; i++) {
            const float *left = slice_of(&a, from[k].values, names[i], &bytes);
            assert_memory_equal(left, slice_of(&b, to[k].values, names[i], &bytes), bytes);
        }
    pcv_error reason = {0};
    assert_int_equal(weights_load(&b.p, to, 1, path, &reason), PCV_DATA); /* moments are left over */
    assert_non_null(strstr(reason.message, "6 tensors, expected 3"));
    must(weights_check_finite(&a.p, a.p.values, "weights", &err));
    slice_of(&a, a.p.values, "up.right.bias", &bytes)[2] = NAN;
    assert_int_equal(weights_check_finite(&a.p, a.p.values, "weights", &reason), PCV_NUMERIC);
    must(weights_save(&a.p, from, 1, NULL, path, NULL, NULL, &err));
    assert_int_equal(weights_load(&b.p, to, 1, path, &reason), PCV_DATA);
    assert_true(strstr(reason.message, path) && strstr(reason.message, "up.right.bias") && strstr(reason.message, "(at 2)"));
    net_close(&a);
    net_close(&b);
}

static void foreign_weights(void **state) {
    (void)state;
    static float v[24], bad[24];
    static const float poison[] = {NAN, INFINITY, -INFINITY};
    const safetensors_plan weight = {"up.weight", "F32", 2, {3, 4}, v}, left = {"up.left.bias", "F32", 1, {3, 0}, v},
                           right = {"up.right.bias", "F32", 1, {3, 0}, v};
    const struct {
        const char *what, *part;
        safetensors_plan plans[4];
    } cases[] = {
        {"missing", "'up.left.bias' is missing", {weight, right}},
        {"extra", "4 tensors, expected 3", {weight, left, right, {"zebra", "F32", 1, {2, 0}, v}}},
        {"renamed", "'up.weight' is missing", {{"model.up.weight", "F32", 2, {3, 4}, v}, left, right}},
        {"transposed", "'up.weight'", {{"up.weight", "F32", 2, {4, 3}, v}, left, right}},
        {"flat", "'up.weight'", {{"up.weight", "F32", 1, {12, 0}, v}, left, right}},
        {"larger", "'up.weight'", {{"up.weight", "F32", 2, {6, 4}, v}, left, right}},
        {"empty", "'up.weight'", {{"up.weight", "F32", 2, {0, 4}, v}, left, right}},
        {"matrix for a vector", "'up.left.bias'", {weight, {"up.left.bias", "F32", 2, {1, 3}, v}, right}},
        {"scalar", "'up.left.bias'", {weight, {"up.left.bias", "F32", 0, {0, 0}, v}, right}},
        {"integers", "I32", {{"up.weight", "I32", 2, {3, 4}, v}, left, right}},
        {"halves", "F16", {{"up.weight", "F16", 2, {3, 4}, v}, left, right}},
        {"not finite", "'up.weight' holds a value", {{"up.weight", "F32", 2, {3, 4}, bad}, left, right}},
    };
    net n;
    net_open(&n);
    weight_block to = {"", n.p.values};
    safetensors_writer w = {.plans = (safetensors_plan[]){right, weight, left}, .count = 3};
    must(safetensors_save(&w, path, NULL, NULL, &err));
    must(weights_load(&n.p, &to, 1, path, &err));
    for (size_t i = 0; i < COUNT(cases) + COUNT(poison) - 1; i++) {
        size_t k = i < COUNT(cases) ? i : COUNT(cases) - 1;
        pcv_error reason = {0};
        bad[11] = poison[i - k];
        for (w.count = 0; w.count < 4 && cases[k].plans[w.count].name; w.count++) continue;
        w.plans = cases[k].plans;
        must(safetensors_save(&w, path, NULL, NULL, &err));
        int status = weights_load(&n.p, &to, 1, path, &reason);
        if (status != PCV_DATA || !strstr(reason.message, path) || !strstr(reason.message, cases[k].part))
            test_failed("%s -> %d: %s\n", cases[k].what, status, reason.message);
    }
    net_close(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_headers),   cmocka_unit_test(hostile_lengths),
        cmocka_unit_test(deep_headers),      cmocka_unit_test(bounded_memory),
        cmocka_unit_test(good_files),        cmocka_unit_test(not_a_file),
        cmocka_unit_test(shrinking_file),    cmocka_unit_test(huge_empty_shapes),
        cmocka_unit_test(every_truncation),  cmocka_unit_test(every_flipped_bit),
        cmocka_unit_test(random_damage),     cmocka_unit_test(without_memory),
        cmocka_unit_test(round_trip),        cmocka_unit_test(weights_there_and_back),
        cmocka_unit_test(foreign_weights),
    };
    return cmocka_run_group_tests(tests, make_place, remove_folder);
}
