/* Tokenizers, and data set folders from making to damage. */
#include "scratch.h"
#include "base/fields.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/folder.h"
#include "data/window.h"

#include <sys/stat.h>

/* Hundreds of files are made here; whether the disk has them by then is not the question. */
int fsync(int fd) { return fd < 0 ? -1 : 0; }

/* ------------------------------------------------------------------ tokenizers */

static void byte_tokens(void **state) {
    (void)state;
    static const tokenizer layouts[] = {
        {.type = &token_bytes, .vocab = 259, .pad = 0, .start = 2, .end = 1, .first = 3},
        {.type = &token_bytes_262, .vocab = 262, .pad = 0, .start = 1, .end = 2, .first = 6}};
    unsigned char bytes[256];
    int32_t ids[256];
    size_t size;
    for (int i = 0; i < 256; i++) bytes[i] = (unsigned char)i;
    for (size_t k = 0; k < COUNT(layouts); k++) {
        tokenizer t, l = layouts[k];
        must(tokenizer_open(&t, l.type->name, NULL, &err));
        assert_true(t.type == l.type && t.vocab == l.vocab && t.first == l.first);
        assert_true(t.pad == l.pad && t.start == l.start && t.end == l.end);
        assert_int_equal(t.type->encode(&t, bytes, 256, ids), 256);
        for (int i = 0; i < 256; i++) {
            assert_int_equal(ids[i], t.first + i);
            const char *piece = t.type->piece(&t, ids[i], &size);
            assert_true(size == 1 && (unsigned char)*piece == i);
        }
        assert_int_equal(t.type->encode(&t, bytes, 0, ids), 0);
        const int32_t none[] = {t.pad, t.start, t.end, t.first - 1, 262, -1, INT32_MIN, INT32_MAX};
        for (size_t i = 0; i < COUNT(none); i++) {
            assert_non_null(t.type->piece(&t, none[i], &size));
            assert_int_equal(size, 0);
        }
        for (int32_t id = 0; id < t.vocab; id++)
            assert_true(tokenizer_may_sample(&t, id) == (id == t.end || id >= t.first));
    }
}

static void tokenizer_files(void **state) {
    (void)state;
    tokenizer t, back;
    for (int k = 0; token_types[k]; k++) {
        if (token_types[k]->train) continue; /* of use when it has learned */
        must(tokenizer_open(&t, token_types[k]->name, NULL, &err));
        must(tokenizer_save(&t, at("."), &err));
        must(tokenizer_load(&back, at("."), &err));
        assert_true(back.type == t.type && back.vocab == t.vocab && back.start == t.start);
        tokenizer_close(&back);
        tokenizer_close(&t);
    }
    refused(tokenizer_open(&t, "byte", NULL, &err), PCV_USAGE,
            "expected one of bytes, bytes-262, sentencepiece, image, midi, midi-389, mulaw, rvq, points, flow, film, or FILE.model");
    put("tokenizer.json", "{\"kind\": 3}", 11);
    refused(tokenizer_load(&t, at("."), &err), PCV_DATA, "tokenizer.json: 'kind'");
}

/* ------------------------------------------------------------------ preparing */

typedef struct listener {
    text messages;
    int stop_at, calls;
} listener;

static void hear(void *context, const char *line) {
    text_add(&((listener *)context)->messages, "%s\n", line);
}

static int maybe_stop(void *context, const pcv_progress *p) {
    listener *l = context;
    assert_true(p->done <= p->total);
    return ++l->calls == l->stop_at ? PCV_STOP : 0;
}

static pcv_prepare_report report; /* of the last call */

#define with(...) (&(pcv_prepare_options){__VA_ARGS__})

/* Prepares one file or folder (NULL: none) of the test's folder; `o` gives the other options. */
static int prepare(const char *input, const char *output, const pcv_prepare_options *o, listener *l,
                   pcv_error *err) {
    const char *const inputs[] = {input ? at(input) : NULL, NULL};
    pcv_watch watch = {.progress = maybe_stop, .message = hear, .context = l};
    pcv_prepare_options all = o ? *o : (pcv_prepare_options){0};
    if (!all.kind) all.kind = "text";
    all.inputs = inputs;
    all.output = at(output);
    return pcv_prepare(&all, l ? &watch : NULL, &report, err);
}

/* The names at the top of the test's folder that begin so: nothing may be left behind. */
static int leftovers(const char *begin) {
    file_list names = {0};
    int count = 0;
    must(folder_names(folder, &names, &err));
    for (size_t i = 0; i < names.count; i++)
        count += !strncmp(names.paths[i], begin, strlen(begin));
    file_list_free(&names);
    return count;
}

/* A document's bytes, between its start and its end token. */
static size_t document(const dataset *d, split_name split, int64_t i, char *out, size_t room) {
    int64_t length = dataset_length(d, split, i);
    int32_t *ids = malloc((size_t)length * sizeof *ids);
    assert_true(length >= 2 && (size_t)length - 2 <= room);
    must(dataset_read(d, split, i, 0, length, ids, &err));
    assert_true(ids[0] == d->tokens.start && ids[length - 1] == d->tokens.end);
    for (int64_t k = 1; k < length - 1; k++) {
        size_t size;
        const char *piece = d->tokens.type->piece(&d->tokens, ids[k], &size);
        assert_int_equal(size, 1);
        out[k - 1] = *piece;
    }
    free(ids);
    return (size_t)length - 2;
}

static const struct {
    const char *name, *content;
    size_t size;
} sources[] = {
    {"plain.txt", "hello\nworld\n", 12}, {"two", "\xC3\xA9", 2},
    {"zeros.bin", "\0\0\0\0\0\0\0", 7},  {"crlf.txt", "a\r\nb\r\n", 6},
    {"bom.txt", "\xEF\xBB\xBFhi", 5},    {"bad-\xFF\xC3.txt", "a name that is not UTF-8", 24},
    {"invalid.txt", "\xFF\xFE\xC0 not UTF-8 either", 21},
    {"sub/deep/er.txt", "below", 5},     {"no line end", "x", 1},
};

static void odd_folder(void **state) {
    (void)state;
    static const char *const bad[] = {"skipped ", "odd/itself", "odd/broken",
                                      "odd/fifo: not a regular file"};
    static char content[1000];
    listener l = {0};
    dataset *d;
    json_t *about = NULL;
    int seen[COUNT(sources)] = {0}, skipped = 6; /* itself, broken, fifo, two circles, empty.txt */
    must(folder_make(at("odd/sub/deep"), &err));
    for (size_t i = 0; i < COUNT(sources); i++) {
        char name[256];
        snprintf(name, sizeof name, "odd/%s", sources[i].name);
        put(name, sources[i].content, sources[i].size);
    }
    put("odd/.hidden", "not to be read", 14);
    put("odd/empty.txt", "", 0);
    assert_int_equal(symlink("..", at("odd/sub/circle")), 0);
    assert_int_equal(symlink(".", at("odd/circle")), 0);
    assert_int_equal(symlink("itself", at("odd/itself")), 0);
    assert_int_equal(symlink("nowhere", at("odd/broken")), 0);
    assert_int_equal(mkfifo(at("odd/fifo"), 0600), 0);
    if (geteuid() != 0) { /* root reads everything */
        put("odd/secret", "x", 1);
        assert_int_equal(chmod(at("odd/secret"), 0), 0);
        skipped++;
    }
    must(prepare("odd", "odd.data", with(.kind = "bytes", .seed = 4), &l, &err));
    for (size_t i = 0; i < COUNT(bad); i++) assert_non_null(strstr(l.messages.data, bad[i]));
    must(dataset_open(&d, at("odd.data"), 0, &err));
    for (split_name s = 0; s <= SPLIT_TEST; s++) {
        int64_t bytes = 0, documents = dataset_documents(d, s);
        for (int64_t i = 0; i < documents; i++) {
            size_t size = document(d, s, i, content, sizeof content);
            for (size_t k = 0; k < COUNT(sources); k++)
                seen[k] += size == sources[k].size && !memcmp(content, sources[k].content, size);
            bytes += (int64_t)size;
        }
        assert_true(report.documents[s] == documents && report.tokens[s] == bytes + 2 * documents);
        assert_true(report.bytes[s] == bytes);
    }
    for (size_t k = 0; k < COUNT(sources); k++)
        if (seen[k] != 1) test_failed("%s is there %d times\n", sources[k].name, seen[k]);
    must(json_read(&about, at("odd.data/dataset.json"), 1 << 20, &err));
    assert_int_equal(json_array_size(json_object_get(about, "files")), COUNT(sources));
    assert_int_equal(json_array_size(json_object_get(about, "skipped")), skipped);
    assert_int_equal(report.skipped, skipped);
    assert_int_equal(leftovers("odd.data"), 1);
    json_decref(about);
    dataset_close(d);
    text_free(&l.messages);
}

/* A folder of files, each with its number as content. */
static void put_numbered(const char *name, int files) {
    must(folder_make(at(name), &err));
    for (int i = 0; i < files; i++) {
        char path[64], content[16];
        snprintf(path, sizeof path, "%s/%d", name, i);
        put(path, content, (size_t)snprintf(content, sizeof content, "number %d\n", i));
    }
}

/* Which split each numbered file went to, as text. */
static void splits_of(const char *data, int files, char *out) {
    dataset *d;
    char content[100];
    memset(out, '-', (size_t)files);
    out[files] = 0;
    must(dataset_open(&d, at(data), 0, &err));
    for (split_name s = 0; s <= SPLIT_TEST; s++)
        for (int64_t i = 0; i < dataset_documents(d, s); i++) {
            int number;
            content[document(d, s, i, content, sizeof content - 1)] = 0;
            assert_int_equal(sscanf(content, "number %d\n", &number), 1);
            assert_true(number >= 0 && number < files && out[number] == '-');
            out[number] = "tvx"[s];
        }
    dataset_close(d);
}

static void split_by_file(void **state) {
    (void)state;
    enum { FILES = 20 };
    static const char *const outputs[] = {"s1", "s2", "s3", "s4"};
    static const uint64_t seeds[] = {7, 7, 8, 9};
    char found[4][FILES + 1], hash[2][HASH_TEXT];
    uint64_t size;
    put_numbered("many", FILES);
    for (int i = 0; i < 4; i++) {
        must(prepare("many", outputs[i], with(.seed = seeds[i]), NULL, &err));
        assert_true(report.documents[0] == 18 && report.documents[1] == 1 && report.documents[2] == 1);
        splits_of(outputs[i], FILES, found[i]);
        assert_null(strchr(found[i], '-'));
    }
    assert_string_equal(found[0], found[1]);
    assert_true(strcmp(found[0], found[2]) || strcmp(found[0], found[3]));
    must(hash_file(at("s1/train.tokens"), hash[0], &size, &err));
    must(hash_file(at("s2/train.tokens"), hash[1], &size, &err));
    assert_string_equal(hash[0], hash[1]);
}

/* Every split that was asked for has a file where there are enough, whatever the percentages. */
static void few_files_many_percent(void **state) {
    (void)state;
    static const struct {
        int files;
        const char *percent;
        int expected[SPLITS]; /* at least; 0: none */
    } cases[] = {{3, "90,5,5", {1, 1, 1}},  {3, "34,33,33", {1, 1, 1}}, {3, "10,80,10", {1, 1, 1}},
                 {3, "5,90,5", {1, 1, 1}},  {4, "2,49,49", {1, 1, 1}},  {5, "1,50,49", {1, 1, 1}},
                 {7, "1,98,1", {1, 1, 1}},  {3, "100,0,0", {3, 0, 0}},  {4, "50,0,50", {2, 0, 2}}};
    int failed = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char name[32], output[32];
        snprintf(name, sizeof name, "n%d", cases[i].files);
        snprintf(output, sizeof output, "n%d.%zu", cases[i].files, i);
        put_numbered(name, cases[i].files);
        int status = prepare(name, output, with(.split_percent = cases[i].percent), NULL, NULL);
        int64_t *n = report.documents;
        bool good = !status && n[0] + n[1] + n[2] == cases[i].files;
        for (int s = 0; s < SPLITS; s++)
            good = good && n[s] >= cases[i].expected[s] && !n[s] == !cases[i].expected[s];
        if (good) continue;
        print_error("%d files split %s: status %d, %d + %d + %d files\n", cases[i].files,
                    cases[i].percent, status, (int)n[0], (int)n[1], (int)n[2]);
        failed++;
    }
    assert_int_equal(failed, 0);
}

static void given_splits(void **state) {
    (void)state;
    char found[7];
    put_numbered("given", 6);
    const char *const train[] = {at("given/0"), at("given/1"), NULL};
    const char *const validation[] = {at("given/2"), NULL}, *const test[] = {at("given/3"), NULL};
    pcv_prepare_options o = {.splits = {train, validation, test}};
    must(prepare(NULL, "given.3", &o, NULL, &err));
    splits_of("given.3", 6, found);
    assert_string_equal(found, "ttvx--");
    o.splits[0] = NULL;
    refused(prepare(NULL, "given.1", &o, NULL, &err), PCV_USAGE, "train");
    refused(prepare(NULL, "given.0", NULL, NULL, &err), PCV_NOINPUT, "no input");
    assert_int_equal(leftovers("given."), 1);
}

/* One or two files are cut at line ends into three parts, which together are the file. */
static void cut_files(void **state) {
    (void)state;
    static char lines[60000], plain[3000], back[60000];
    size_t size = 0;
    for (int i = 0; size < 50000; i++)
        size += (size_t)sprintf(lines + size, "line %d of the file\n", i);
    memset(plain, 'p', sizeof plain);
    const struct {
        const char *name, *content;
        size_t size;
        int parts; /* that are not empty */
    } files[] = {{"lines", lines, size, 3}, {"plain", plain, sizeof plain, 3}, {"one", "x", 1, 1},
                 {"three", "xyz", 3, 1}, {"end", "0123456789abcdefgh\n", 19, 1}, {"ends", "\na\n\n\n\n", 6, 1}};
    for (size_t k = 0; k < COUNT(files); k++) {
        char output[64];
        listener l = {0};
        dataset *d;
        size_t used = 0;
        put(files[k].name, files[k].content, files[k].size);
        snprintf(output, sizeof output, "cut.%s", files[k].name);
        must(prepare(files[k].name, output, NULL, &l, &err));
        assert_non_null(strstr(l.messages.data, "each is cut"));
        must(dataset_open(&d, at(output), 0, &err));
        for (split_name s = 0; s <= SPLIT_TEST; s++) {
            assert_int_equal(dataset_documents(d, s), (int)s < files[k].parts);
            if ((int)s >= files[k].parts) continue;
            size_t part = document(d, s, 0, back + used, sizeof back - used);
            used += part;
            if (k) continue;
            close_to((double)part, (double)size * (s ? 0.05 : 0.9), 40, "bytes of a part");
            assert_int_equal(back[used - 1], '\n');
        }
        assert_int_equal(used, files[k].size);
        assert_memory_equal(back, files[k].content, used);
        dataset_close(d);
        text_free(&l.messages);
    }
    const char *const both[] = {at("plain"), NULL};
    pcv_prepare_options o = {.splits = {both}, .split_percent = "50,50,0"};
    must(prepare("lines", "cut.two", &o, NULL, &err));
    assert_true(report.documents[0] == 2 && report.documents[1] == 1 && report.bytes[2] == 0);
    assert_int_equal(report.bytes[0] + report.bytes[1], size + sizeof plain);
}

static void refused_options(void **state) {
    (void)state;
    static const char *const bad[] = {
        "90,5", "50,50,1", "0,50,50", "a,b,c", "90,5,5x", "90,5,5,", "-10,60,50", "", "33.3,33.3,3",
        "2147483647,2147483647,102", "2147483647,1,0", "4294967386,5,5"};
    tokenizer t;
    put_numbered("opt", 3);
    for (size_t i = 0; i < COUNT(bad); i++)
        refused(prepare("opt", "opt.data", with(.split_percent = bad[i]), NULL, &err), PCV_USAGE, "--split");
    refused(prepare("opt", "opt.data", with(.tokenizer = "byte"), NULL, &err), PCV_USAGE, "bytes");
    refused(prepare("opt/absent", "opt.data", NULL, NULL, &err), PCV_NOINPUT, "opt/absent");
    refused(prepare("opt", "opt/0/data", NULL, NULL, &err), PCV_CANTCREATE, "opt/0");
    assert_int_equal(leftovers("opt."), 0);
    must(prepare("opt", "opt.data", with(.tokenizer = "bytes-262"), NULL, &err));
    refused(prepare("opt", "opt.data", NULL, NULL, &err), PCV_CANTCREATE, "opt.data: exists");
    refused(prepare("opt", "opt/0", NULL, NULL, &err), PCV_CANTCREATE, "opt/0");
    must(tokenizer_load(&t, at("opt.data"), &err));
    assert_int_equal(t.vocab, 262); /* it is the first one still */
    must(prepare("opt", "opt.slash/", NULL, NULL, &err)); /* as shells complete names */
    assert_true(path_exists(at("opt.slash/dataset.json")));
    assert_int_equal(leftovers("opt."), 2);
}

static void nothing_left_behind(void **state) {
    (void)state;
    bool done = false;
    put_numbered("left", 5);
    for (int stop = 1; stop <= 5; stop++) {
        listener l = {.stop_at = stop};
        refused(prepare("left", "left.data", NULL, &l, &err), PCV_INTERRUPTED, "interrupted");
        assert_int_equal(leftovers("left."), 0);
    }
    assert_int_equal(mkfifo(at("pipe"), 0600), 0);
    refused(prepare("pipe", "left.data", NULL, NULL, &err), PCV_DATA, "none of the files");
    assert_int_equal(report.skipped, 1);
    assert_int_equal(leftovers("left."), 0);
    for (uint64_t n = 1; !done; n++) { /* every allocation fails once, with all later ones */
        mem_fail_after(n);
        int status = prepare("left", "left.data", NULL, NULL, NULL);
        done = mem_fail_after(0) < n;
        assert_int_equal(status, done ? 0 : PCV_MEMORY);
        assert_int_equal(leftovers("left."), done);
    }
}

/* ------------------------------------------------------------------ damaged folders */

static void overwrite(const char *name, long offset, const void *bytes, size_t size) {
    FILE *f = fopen(at(name), "r+b");
    assert_non_null(f);
    assert_true(!fseek(f, offset, SEEK_SET) && fwrite(bytes, 1, size, f) == size && !fclose(f));
}

/* Replaces the first occurrence in a text file. */
static void edit(const char *name, const char *old, const char *new) {
    file_bytes b;
    text t = {0};
    must(file_read(at(name), 1 << 20, &b, &err));
    char *found = strstr(b.data, old);
    assert_non_null(found);
    text_bytes(&t, b.data, (size_t)(found - b.data));
    text_add(&t, "%s%s", new, found + strlen(old));
    put(name, t.data, t.size);
    text_free(&t);
    file_bytes_free(&b);
}

static void put_damaged(void) {
    must(path_remove(at("dam"), &err));
    must(prepare("five", "dam", NULL, NULL, &err));
}

enum damage { LOSE, REPLACE, EDIT, CUT, OFFSET, FOLDER, FIFO };
#define ABOUT  "dam/dataset.json"
#define WORDS  "dam/tokenizer.json"
#define TOKENS "dam/train.tokens"
#define INDEX  "dam/train.index"
#define ON(what, file, code, part) {what, file, 0, 0, 0, 0, code, part}

static const struct damaged {
    enum damage what;
    const char *file, *old, *new; /* EDIT, REPLACE */
    int64_t at;                   /* CUT: size; OFFSET: number in the index */
    uint64_t value;               /* OFFSET */
    int code;
    const char *part; /* of the message */
} damages[] = {
    ON(LOSE, ABOUT, PCV_DATA, "dataset.json"), ON(LOSE, WORDS, PCV_NOINPUT, WORDS),
    ON(LOSE, TOKENS, PCV_NOINPUT, TOKENS), ON(LOSE, INDEX, PCV_NOINPUT, INDEX),
    ON(FOLDER, TOKENS, PCV_NOINPUT, TOKENS), ON(FIFO, TOKENS, PCV_NOINPUT, TOKENS),
    {REPLACE, ABOUT, 0, "", 0, 0, PCV_DATA, ABOUT},
    {REPLACE, ABOUT, 0, "{\"format\":", 0, 0, PCV_DATA, ABOUT},
    {EDIT, ABOUT, "perceiver.c dataset", "another thing", 0, 0, PCV_DATA, ABOUT ": 'format'"},
    {EDIT, ABOUT, "\"version\": 1", "\"version\": 2", 0, 0, PCV_DATA, ABOUT ": 'version' is 2"},
    {EDIT, ABOUT, "\"version\": 1", "\"version\": 1.0", 0, 0, PCV_DATA, ABOUT ": 'version'"},
    {EDIT, ABOUT, "\"splits\"", "\"spits\"", 0, 0, PCV_DATA, ABOUT},
    {EDIT, ABOUT, "\"documents\": ", "\"documents\": -", 0, 0, PCV_DATA, ABOUT},
    {EDIT, ABOUT, "\"tokens\": ", "\"tokens\": 1", 0, 0, PCV_DATA, TOKENS},
    {EDIT, ABOUT, "\"tokens\": ", "\"tokens\": 1152921504606846", 0, 0, PCV_DATA, TOKENS},
    {EDIT, WORDS, "\"bytes\"", "\"words\"", 0, 0, PCV_DATA, WORDS},
    {CUT, TOKENS, 0, 0, 7, 0, PCV_DATA, TOKENS}, {CUT, TOKENS, 0, 0, 4000, 0, PCV_DATA, TOKENS},
    {CUT, INDEX, 0, 0, 15, 0, PCV_DATA, INDEX}, {CUT, INDEX, 0, 0, 0, 0, PCV_DATA, INDEX},
    {OFFSET, INDEX, 0, 0, 0, 1, PCV_DATA, INDEX ": offset 0"},
    {OFFSET, INDEX, 0, 0, 1, UINT64_MAX, PCV_DATA, INDEX ": offset 1"},
    {OFFSET, INDEX, 0, 0, 1, 23, PCV_DATA, INDEX ": offset 2"},
    {OFFSET, INDEX, 0, 0, 3, 32, PCV_DATA, INDEX ": offset 3"},
};

static void do_damage(const struct damaged *c) {
    bool goes = c->what == LOSE || c->what == FOLDER || c->what == FIFO;
    if (goes) must(path_remove(at(c->file), &err));
    if (c->what == REPLACE) put(c->file, c->new, strlen(c->new));
    if (c->what == EDIT) edit(c->file, c->old, c->new);
    if (c->what == CUT) assert_int_equal(truncate(at(c->file), c->at), 0);
    if (c->what == OFFSET) overwrite(c->file, 8 * c->at, &c->value, 8);
    if (c->what == FOLDER) must(folder_make(at(c->file), &err));
    if (c->what == FIFO) assert_int_equal(mkfifo(at(c->file), 0600), 0);
}

static void damaged_folders(void **state) {
    (void)state;
    int failed = 0;
    dataset *d = NULL;
    put_numbered("five", 5); /* three to train on, of 11 tokens each */
    put_damaged();
    must(dataset_open(&d, at("dam"), 0, &err));
    assert_true(dataset_documents(d, SPLIT_TRAIN) == 3 && dataset_length(d, SPLIT_TRAIN, 2) == 11);
    dataset_close(d);
    for (size_t i = 0; i < COUNT(damages); i++) {
        pcv_error err = {0};
        put_damaged();
        do_damage(&damages[i]);
        d = NULL;
        int status = dataset_open(&d, at("dam"), 0, &err);
        if (!status) dataset_close(d);
        if (status == damages[i].code && strstr(err.message, damages[i].part)) continue;
        print_error("damage %zu -> %d, expected %d and '%s': %s\n", i, status, damages[i].code,
                    damages[i].part, err.message);
        failed++;
    }
    refused(dataset_open(&d, at("no-such-data"), 0, &err), PCV_NOINPUT, "no-such-data");
    refused(dataset_open(&d, at("five/0"), 0, &err), PCV_DATA, "five/0");
    assert_int_equal(failed, 0);
}

/* Ids take two bytes up to a vocabulary of 65,536, then four. */
static void widths(void **state) {
    (void)state;
    static const int64_t vocabularies[] = {65536, 65537};
    const int32_t ids[] = {0, 65535, 7, 300};
    for (int k = 0; k < 2; k++) {
        split_writer w;
        file_bytes b;
        char name[32];
        snprintf(name, sizeof name, "widths-%d", k);
        must(folder_make_new(at(name), &err));
        must(split_create(&w, at(name), SPLIT_TRAIN, vocabularies[k], false, &err));
        must(split_append(&w, ids, COUNT(ids), &err));
        must(split_end_document(&w, -1, &err));
        must(split_commit(&w, &err));
        snprintf(name, sizeof name, "widths-%d/train.tokens", k);
        must(file_read(at(name), 1 << 16, &b, &err));
        assert_int_equal(b.size, COUNT(ids) * (k ? 4 : 2));
        for (size_t i = 0; i < COUNT(ids); i++) {
            uint32_t id = 0;
            memcpy(&id, b.data + i * (k ? 4 : 2), k ? 4 : 2);
            assert_int_equal(id, ids[i]);
        }
        file_bytes_free(&b);
    }
}

static void foreign_ids(void **state) {
    (void)state;
    dataset *d;
    int32_t ids[11];
    put_numbered("five", 5);
    put_damaged();
    overwrite(TOKENS, 2 * (11 + 4), &(uint16_t){259}, 2);
    must(dataset_open(&d, at("dam"), 0, &err));
    must(dataset_read(d, SPLIT_TRAIN, 0, 0, 11, ids, &err));
    must(dataset_read(d, SPLIT_TRAIN, 1, 5, 6, ids, &err));
    refused(dataset_read(d, SPLIT_TRAIN, 1, 0, 11, ids, &err), PCV_DATA, TOKENS ": token 15");
    window w = {.document = 1, .from = 4, .count = 3, .scored = 2};
    refused(window_read(d, SPLIT_TRAIN, &w, ids, &err), PCV_DATA, TOKENS);
    dataset_close(d);
}

#define T(test) cmocka_unit_test(test)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(byte_tokens), T(tokenizer_files), T(odd_folder), T(split_by_file),
        T(few_files_many_percent), T(given_splits), T(cut_files), T(refused_options),
        T(nothing_left_behind), T(damaged_folders), T(widths), T(foreign_ids),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
