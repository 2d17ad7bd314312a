/* Any bytes as a text of several documents, by any rule: what comes out does not depend on the pieces that they come in. */
#include "data/documents.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static int begin(void *context, pcv_error *err) {
    text_bytes(context, "[", 1);
    return (void)err, 0;
}

static int bytes(void *context, const char *piece, size_t size, pcv_error *err) {
    text_bytes(context, piece, size);
    return (void)err, 0;
}

static int end(void *context, bool keep, pcv_error *err) {
    text_bytes(context, keep ? "]" : "x", 1);
    return (void)err, 0;
}

static int bad(void *context, int64_t line, const char *reason, pcv_error *err) {
    text_add(context, "!%lld %s", (long long)line, reason);
    return (void)err, 0;
}

static void read_in_pieces(const document_rule *rule, const char *data, size_t size, size_t piece, text *out) {
    document_reader r = {.rule = rule, .sink = {out, begin, bytes, end, bad}};
    pcv_error err;
    for (size_t at = 0; at < size; at += piece)
        if (documents_feed(&r, data + at, size - at < piece ? size - at : piece, &err)) abort();
    if (documents_finish(&r, &err)) abort();
    documents_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char name[64];
    size_t length;
    document_rule rule;
    text whole = {0}, pieces = {0};
    const uint8_t *part = fuzz_part(&data, &size, &length);
    if (length >= sizeof name) return 0;
    memcpy(name, part, length);
    name[length] = 0;
    if (document_rule_parse(&rule, name, NULL)) return 0;
    read_in_pieces(&rule, (const char *)data, size, size + 1, &whole);
    read_in_pieces(&rule, (const char *)data, size, size % 7 + 1, &pieces);
    if (whole.size != pieces.size || (whole.size && memcmp(whole.data, pieces.data, whole.size))) abort();
    text_free(&whole);
    text_free(&pieces);
    return 0;
}
