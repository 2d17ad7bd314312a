/* Pieces of words: what is learned, what goes through unchanged, what is refused. Skipped without the plug-in. */
#include "scratch.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
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
        cmocka_unit_test(refused_models),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
