/* Pieces of words: what is learned, what goes through unchanged, what is refused. Skipped without the plug-in. */
#include "scratch.h"
#include "base/mem.h"
#include "base/plugin.h"
#include "base/rng.h"
#include "base/text.h"
#include "plugins/sentencepiece.h"
#include "token/token.h"

static tokenizer learned;
static bool there;

/* A text of made-up words, each of them often. */
static void put_text(const char *name, uint32_t stream) {
    static const char *const parts[] = {"ka", "lo", "mir", "ten", "su", "vo", "pel", "gra"};
    text t = {0};
    for (uint32_t i = 0; i < 6000; i++) {
        uint32_t x = rng_at(5, RNG_TEST, stream, i).v[0], y = x >> 8;
        text_add(&t, "%s%s%s%s", parts[x % 8], parts[y % 8], x >> 16 & 1 ? parts[y / 8 % 8] : "",
                 i % 12 == 11 ? ".\n" : " ");
    }
    put(name, t.data, t.size);
    text_free(&t);
}

static int open_all(void **state) {
    if (make_folder(state)) return -1;
    char paths[2][PATH_SIZE];
    const char *list[2];
    token_config c;
    pcv_error reason = {0};
    memset(&c, 0, sizeof c);
    fields_default(&token_fields, &c);
    c.pieces = 400;
    for (int i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.txt", i);
        put_text(name, (uint32_t)i);
        snprintf(paths[i], PATH_SIZE, "%s", at(name));
        list[i] = paths[i];
    }
    must(tokenizer_open(&learned, "sentencepiece", &c, &err));
    int status = learned.type->train(&learned, list, 2, 1, NULL, &reason);
    there = status == 0;
    if (status == PCV_CONFIG && strstr(reason.message, "plug-in")) print_message("SKIP: %s\n", reason.message);
    else if (status) test_failed("training: %s\n", reason.message);
    return 0;
}

static int close_all(void **state) {
    tokenizer_close(&learned);
    return remove_folder(state);
}

static void same_bytes(const tokenizer *t, const void *bytes, size_t size, const char *what) {
    int32_t *ids;
    text back = {0};
    must(mem_get(&ids, 2 * (size + 1) * sizeof *ids, "a test", &err));
    size_t count = t->type->encode(t, bytes, size, ids);
    assert_true(count <= 2 * size);
    for (size_t i = 0; i < count; i++) {
        size_t length;
        assert_true(ids[i] >= t->first && ids[i] < t->vocab);
        const char *piece = t->type->piece(t, ids[i], &length);
        text_bytes(&back, piece, length);
    }
    if (back.size != size || (size && memcmp(back.data, bytes, size)))
        test_failed("%s: %zu bytes came back as %zu\n", what, size, back.size);
    text_free(&back);
    mem_free(ids);
}

static void nothing_is_lost(void **state) {
    (void)state;
    if (!there) skip();
    static const char *const texts[] = {
        "", "kalo mirten.", "  two  spaces \n\n\n lines\r\n\ttabs ", "caf\xC3\xA9 \xE2\x96\x81 \xF0\x9F\x8C\xB7 \xE6\xBC\xA2",
        "\xFF\xFE broken \xC3( utf-8 \xE2\x82", "\n", " ", "nul \x01 and more"};
    char any[5000];
    for (size_t i = 0; i < COUNT(texts); i++) same_bytes(&learned, texts[i], strlen(texts[i]), texts[i]);
    same_bytes(&learned, "a\0b", 3, "a zero byte");
    for (int k = 0; k < 20; k++) {
        for (size_t i = 0; i < sizeof any; i++) any[i] = (char)rng_at(9, RNG_TEST, (uint32_t)k, i).v[0];
        same_bytes(&learned, any, sizeof any, "random bytes");
    }
}

static void pieces_are_words(void **state) {
    (void)state;
    if (!there) skip();
    file_bytes file;
    int32_t *ids;
    must(file_read(at("0.txt"), 1 << 24, &file, &err));
    must(mem_get(&ids, 2 * (file.size + 1) * sizeof *ids, "a test", &err));
    size_t count = learned.type->encode(&learned, file.data, file.size, ids);
    if (count * 2 >= file.size) test_failed("%zu tokens for %zu bytes\n", count, file.size);
    same_bytes(&learned, file.data, file.size, "the text that was learned from");
    mem_free(ids);
    file_bytes_free(&file);
}

static void kept_and_loaded(void **state) {
    (void)state;
    if (!there) skip();
    tokenizer back;
    int32_t a[200], b[200];
    const char *words = "mirten sulo grapel kavo.\n";
    must(tokenizer_save(&learned, at("."), &err));
    must(tokenizer_load(&back, at("."), &err));
    assert_int_equal(back.vocab, learned.vocab);
    size_t n = learned.type->encode(&learned, words, strlen(words), a);
    assert_int_equal(back.type->encode(&back, words, strlen(words), b), n);
    assert_memory_equal(a, b, n * sizeof *a);
    tokenizer_close(&back);
}

/* What is learned here, told to rewrite texts: fields that stand later in a model's file win over earlier ones. */
static void open_rewriting(tokenizer *t, bool prefix, bool join) {
    const unsigned char normalizer[] = {0x1A, 4, 0x18, prefix, 0x20, join}; /* add_dummy_prefix, remove_extra_whitespaces */
    token_config c = learned.config;
    file_bytes model;
    text changed = {0};
    must(tokenizer_save(&learned, at("."), &err));
    must(file_read(at("sentencepiece.model"), 1 << 24, &model, &err));
    text_bytes(&changed, model.data, model.size);
    text_bytes(&changed, normalizer, sizeof normalizer);
    put("mine.model", changed.data, changed.size);
    text_free(&changed);
    file_bytes_free(&model);
    snprintf(c.model, sizeof c.model, "%s", at("mine.model"));
    must(tokenizer_open(t, "sentencepiece", &c, &err));
}

static void same_as_library(const tokenizer *t, const char *document, size_t size) {
    const void *plugin;
    char message[SENTENCEPIECE_MESSAGE];
    file_bytes model;
    id_list ids = {0};
    size_t most = tokenizer_most(size);
    int32_t *expected, *found;
    must(plugin_open("sentencepiece", SENTENCEPIECE_VERSION, "", &plugin, &err));
    must(file_read(at("mine.model"), 1 << 24, &model, &err));
    must(mem_get(&expected, most * sizeof *expected, "a test", &err));
    must(mem_get(&found, most * sizeof *found, "a test", &err));
    const sentencepiece_table *library = plugin;
    void *m = library->open(model.data, model.size, message);
    int64_t count = library->encode(m, document, size, expected, most);
    put("document.txt", document, size);
    must(t->type->read(t, at("document.txt"), &ids, &err));
    assert_true(count >= 0);
    assert_int_equal(ids.count, count);
    assert_int_equal(t->type->encode(t, document, size, found), count);
    for (int64_t i = 0; i < count; i++) assert_true(ids.v[i] == expected[i] + t->first && found[i] == ids.v[i]);
    library->close(m);
    file_bytes_free(&model);
    id_list_free(&ids);
    mem_free(expected);
    mem_free(found);
}

static void whole_documents(void **state) {
    (void)state;
    if (!there) skip();
    static const char *const texts[] = {"kalo", "kalo mirten.\nsulo  vo\n\n gra ", " \n", "\xFF caf\xC3\xA9 \xE2\x96\x81\n", ""};
    assert_true(!learned.rewrites && !learned.spaced);
    for (int k = 1; k < 4; k++) {
        tokenizer t;
        file_bytes file;
        open_rewriting(&t, k & 1, k & 2);
        assert_true(t.rewrites && t.spaced == (k & 1));
        for (size_t i = 0; i < COUNT(texts); i++) same_as_library(&t, texts[i], strlen(texts[i]));
        same_as_library(&t, "a\0b", 3);
        must(file_read(at("1.txt"), 1 << 24, &file, &err));
        same_as_library(&t, file.data, file.size);
        file_bytes_free(&file);
        tokenizer_close(&t);
    }
}

/* A document that is too long is cut at a space, and the rest begins as a text does. */
static void long_document(void **state) {
    (void)state;
    if (!there) skip();
    enum { WORDS = 500000, LENGTH = 5 };
    tokenizer t;
    int32_t one[16], *ids;
    char *all;
    must(mem_get(&all, WORDS * LENGTH, "a test", &err));
    must(mem_get(&ids, tokenizer_most(WORDS * LENGTH) * sizeof *ids, "a test", &err));
    for (size_t i = 0; i < WORDS; i++) memcpy(all + i * LENGTH, "kalo ", LENGTH);
    open_rewriting(&t, true, false);
    size_t word = t.type->encode(&t, "kalo", 4, one), count = t.type->encode(&t, all, WORDS * LENGTH - 1, ids);
    assert_int_equal(count, WORDS * word);
    for (size_t i = 0; i < count; i++) assert_int_equal(ids[i], one[i % word]);
    tokenizer_close(&t);
    mem_free(all);
    mem_free(ids);
}

/* A text that comes in parts of any length has the ids of the whole, and little of it has to wait. */
static void in_parts(const tokenizer *t, const char *bytes, size_t size, const char *what) {
    size_t most = t->rewrites ? (2 << 20) + 16 : 66000;
    int32_t *whole, *found;
    size_t count = 0, done = 0, there_are = 0;
    rng r = rng_make(3, RNG_TEST, 7);
    must(mem_get(&whole, tokenizer_most(size) * sizeof *whole, "a test", &err));
    must(mem_get(&found, tokenizer_most(size) * sizeof *found, "a test", &err));
    size_t expected = t->type->encode(t, bytes, size, whole);
    while (done < size) {
        there_are += 1 + (size_t)rng_below(&r, rng_below(&r, 3) ? 40 : size / 7);
        if (there_are > size) there_are = size;
        size_t waiting = there_are - done, used;
        count += t->type->encode_part(t, bytes + done, waiting, there_are == size, found + count, &used);
        assert_true(used <= waiting && waiting - used <= (there_are == size ? 0 : most));
        done += used;
    }
    if (count != expected || memcmp(whole, found, count * sizeof *whole))
        test_failed("%s: %zu ids in parts, %zu of the whole\n", what, count, expected);
    mem_free(whole);
    mem_free(found);
}

static void texts_in_parts(void **state) {
    (void)state;
    if (!there) skip();
    static const char *const words[] = {"kalo", " ", "mirten", "\n", "caf\xC3\xA9", "\xF0\x9F\x8C\xB7", "\xE2\x96\x81",
                                        "\xFF", "\xE6\xBC", "\xA2", "vo", "\xC3"};
    static const struct {
        const char *what;
        uint64_t words; /* of the list above */
        size_t size;
    } cases[] = {{"lines", 4, 40000}, {"one long line", 3, 200000}, {"a long word", 1, 150000}, {"all kinds", 12, 60000},
                 {"a short text that is rewritten", 12, 60000}, {"a long one", 4, 5000000}};
    tokenizer rewriting;
    open_rewriting(&rewriting, true, false);
    for (size_t i = 0; i < COUNT(cases); i++) {
        text t = {0};
        rng r = rng_make(4, RNG_TEST, (uint32_t)i);
        while (t.size < cases[i].size) text_add(&t, "%s", words[rng_below(&r, cases[i].words)]);
        in_parts(i < 4 ? &learned : &rewriting, t.data, t.size, cases[i].what);
        text_free(&t);
    }
    tokenizer_close(&rewriting);
}

/* A part waits where what follows could still change its ids: within a character's length of its end. */
static void parts_wait(void **state) {
    (void)state;
    if (!there) skip();
    static const char words[] = "kalo mirten";
    int32_t ids[64];
    size_t used;
    assert_int_equal(learned.type->encode_part(&learned, words, sizeof words - 1, false, ids, &used), 0);
    assert_int_equal(used, 0);
    learned.type->encode_part(&learned, words, sizeof words - 1, true, ids, &used);
    assert_int_equal(used, sizeof words - 1);
    learned.type->encode_part(&learned, "kalo\nmirten", 11, false, ids, &used); /* the line is whole */
    assert_int_equal(used, 5);
}

static void refused_models(void **state) {
    (void)state;
    if (!there) skip();
    token_config c = learned.config;
    tokenizer t;
    file_bytes model;
    snprintf(c.model, sizeof c.model, "%s", at("bad.model"));
    refused(tokenizer_open(&t, "sentencepiece", &c, &err), PCV_NOINPUT, "bad.model");
    put("bad.model", "no model", 8);
    refused(tokenizer_open(&t, "sentencepiece", &c, &err), PCV_DATA, "bad.model: not a SentencePiece model");
    must(tokenizer_save(&learned, at("."), &err));
    must(file_read(at("sentencepiece.model"), 1 << 24, &model, &err));
    put("bad.model", model.data, model.size / 2);
    refused(tokenizer_open(&t, "sentencepiece", &c, &err), PCV_DATA, "bad.model");
    file_bytes_free(&model);
    const char *name;
    refused(tokenizer_choose("sentencepiece:x", &name, &c, &err), PCV_USAGE, "--tokenizer");
    refused(tokenizer_choose("sentencepiece:3", &name, &c, &err), PCV_USAGE, "--tokenizer");
    must(tokenizer_choose("sentencepiece:900", &name, &c, &err));
    assert_true(c.pieces == 900 && !strcmp(name, "sentencepiece"));
    must(tokenizer_choose("mine.model", &name, &c, &err));
    assert_true(!strcmp(c.model, "mine.model") && !strcmp(name, "sentencepiece"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost), cmocka_unit_test(pieces_are_words), cmocka_unit_test(kept_and_loaded),
        cmocka_unit_test(texts_in_parts), cmocka_unit_test(parts_wait), cmocka_unit_test(whole_documents), cmocka_unit_test(long_document),
        cmocka_unit_test(refused_models),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
