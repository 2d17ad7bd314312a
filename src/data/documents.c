#include "data/documents.h"
#include "base/fields.h"
#include "data/content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_MOST = 64 << 20, /* bytes of a line of JSON */
    BLANKS_MOST = 1 << 20 /* bytes of white space that are held until it is known whether they part paragraphs */
};

/* ------------------------------------------------------------------ rules */

static int hex_digit(char c) {
    const char digits[] = "0123456789abcdef", *found = c ? strchr(digits, c | ('A' <= c && c <= 'F' ? 32 : 0)) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* The character at text[*at], which an escape may stand for; -1: it stands for none. */
static int unescape(const char *from, size_t *at) {
    static const char names[] = "nrt\\0", values[] = "\n\r\t\\\0";
    char c = from[(*at)++];
    if (c != '\\') return (unsigned char)c;
    char name = from[(*at)++];
    const char *found = name ? strchr(names, name) : NULL;
    if (found) return values[found - names];
    int high = name == 'x' ? hex_digit(from[*at]) : -1;
    int low = high >= 0 ? hex_digit(from[*at + 1]) : -1;
    *at += 2;
    return low < 0 ? -1 : 16 * high + low;
}

static int parse_separator(document_rule *r, const char *from, pcv_error *err) {
    for (size_t at = 0; from[at];) {
        size_t begin = at;
        int c = unescape(from, &at);
        if (c < 0)
            return fail(err, PCV_USAGE, "--documents separator: '%.8s': expected \\n, \\t, \\r, \\\\, \\0 or \\xHH",
                        from + begin);
        if (r->size == sizeof r->text)
            return fail(err, PCV_USAGE, "--documents separator: more than %zu bytes", sizeof r->text);
        r->text[r->size++] = (char)c;
    }
    return r->size ? 0 : fail(err, PCV_USAGE, "--documents separator: the text that parts documents is missing");
}

static int parse_field(document_rule *r, const char *name, pcv_error *err) {
    r->size = strlen(name);
    if (!r->size) return fail(err, PCV_USAGE, "--documents jsonl: the field is missing, as in jsonl:text");
    if (r->size >= sizeof r->text) return fail(err, PCV_USAGE, "--documents jsonl: the field's name is too long");
    memcpy(r->text, name, r->size + 1);
    return 0;
}

int document_rule_parse(document_rule *r, const char *from, pcv_error *err) {
    static const struct {
        const char *name;
        int (*rest)(document_rule *r, const char *from, pcv_error *err);
    } kinds[] = {[DOCUMENTS_FILES] = {"files", NULL}, [DOCUMENTS_FOLDERS] = {"folders", NULL},
                 [DOCUMENTS_LINES] = {"lines", NULL}, [DOCUMENTS_PARAGRAPHS] = {"paragraphs", NULL},
                 [DOCUMENTS_JSONL] = {"jsonl:", parse_field}, [DOCUMENTS_SEPARATOR] = {"separator:", parse_separator}};
    *r = (document_rule){.kind = DOCUMENTS_FILES};
    if (!from) return 0;
    for (document_kind k = DOCUMENTS_FILES; k <= DOCUMENTS_SEPARATOR; k++) {
        size_t size = strlen(kinds[k].name);
        if (strncmp(from, kinds[k].name, size) || (!kinds[k].rest && from[size])) continue;
        r->kind = k;
        return kinds[k].rest ? kinds[k].rest(r, from + size, err) : 0;
    }
    return fail(err, PCV_USAGE, "--documents '%.40s': expected lines, paragraphs, jsonl:FIELD, separator:TEXT, files "
                "or folders", from);
}

/* ------------------------------------------------------------------ where documents end */

/* What can be said of some bytes: the first `content` of them belong to the document, which then ends or not; the next
 * thing begins at `next`. next 0: nothing can be said before there are more bytes. */
typedef struct cut {
    size_t content, next;
    bool ends;
} cut;

/* The end of a line whose \n stands at `at`: in front of a \r, too. */
static size_t line_end(const char *bytes, size_t at) { return at && bytes[at - 1] == '\r' ? at - 1 : at; }

/* All of it is content; a \r at the end only where no \n can follow. */
static cut no_end(const char *bytes, size_t size, bool last) {
    size_t sure = last ? size : line_end(bytes, size);
    return (cut){sure, sure, false};
}

static cut find_line(const char *bytes, size_t size, bool last) {
    const char *end = memchr(bytes, '\n', size);
    if (!end) return no_end(bytes, size, last);
    size_t at = (size_t)(end - bytes);
    return (cut){line_end(bytes, at), at + 1, true};
}

static cut find_separator(const document_rule *r, const char *bytes, size_t size, bool last) {
    const char *found = memmem(bytes, size, r->text, r->size);
    size_t open = r->size - 1 < size ? r->size - 1 : size; /* where one may have begun */
    size_t at = found ? (size_t)(found - bytes) : last ? size : size - open;
    return found ? (cut){at, at + r->size, true} : (cut){at, at, false};
}

/* How many blanks there are in front of a line end, or of anything else. */
static size_t blanks(const char *bytes, size_t size) {
    size_t i = 0;
    while (i < size && bytes[i] != '\n' && is_blank(bytes + i, 1)) i++;
    return i;
}

static cut find_paragraph(const char *bytes, size_t size, bool last, bool inside) {
    if (!inside) { /* blank lines lead to it */
        size_t skip = blanks(bytes, size);
        if (skip < size && bytes[skip] == '\n') return (cut){0, skip + 1, false};
        if (skip == size && (last || size < BLANKS_MOST)) return (cut){0, last ? size : 0, false};
    }
    for (const char *end = bytes; (end = memchr(end, '\n', size - (size_t)(end - bytes))); end++) {
        size_t at = (size_t)(end - bytes), next = at + 1 + blanks(end + 1, size - at - 1);
        size_t content = line_end(bytes, at);
        if (next < size && bytes[next] == '\n') return (cut){content, next + 1, true};
        if (next == size && last) return (cut){content, size, true};
        if (next == size && size - at < BLANKS_MOST) return (cut){content, content, false};
    }
    return no_end(bytes, size, last);
}

/* ------------------------------------------------------------------ reading */

static int pass(document_reader *r, const char *bytes, size_t size, pcv_error *err) {
    if (!size) return 0;
    int status = 0;
    if (!r->open) {
        r->open = r->blank = true;
        TRY(r->sink.begin(r->sink.context, err));
    }
    r->blank = r->blank && is_blank(bytes, size);
    TRY(r->sink.bytes(r->sink.context, bytes, size, err));
out:
    return status;
}

static int end(document_reader *r, pcv_error *err) {
    if (!r->open) return 0;
    r->open = false;
    return r->sink.end(r->sink.context, !r->blank, err);
}

static int bad(document_reader *r, const char *reason, pcv_error *err) {
    return r->sink.bad(r->sink.context, r->line, reason, err);
}

static int take_json(document_reader *r, const char *bytes, size_t size, pcv_error *err) {
    pcv_error reason;
    json_t *json = NULL;
    int status = 0;
    r->line++;
    if (is_blank(bytes, size)) return 0;
    if (json_parse(&json, bytes, size, JSON_MEMORY + 32 * size, "the line", &reason)) {
        if (reason.code == PCV_MEMORY) return fail(err, PCV_MEMORY, "%s", reason.message);
        return bad(r, reason.message, err);
    }
    const json_t *value = json_object_get(json, r->rule->text);
    if (!json_is_string(value)) {
        snprintf(reason.message, sizeof reason.message, "'%s' is %s", r->rule->text,
                 value ? "no text" : "not there");
        TRY(bad(r, reason.message, err));
    } else {
        TRY(pass(r, json_string_value(value), json_string_length(value), err));
        TRY(end(r, err));
    }
out:
    json_decref(json);
    return status;
}

/* Takes one line of JSON from the bytes; *used 0: its end is not there yet. */
static int next_json(document_reader *r, const char *bytes, size_t size, bool last, size_t *used, pcv_error *err) {
    const char *found = memchr(bytes, '\n', size);
    size_t line = found ? (size_t)(found - bytes) : size;
    bool whole = found || last;
    r->overlong = r->overlong || line > LINE_MOST;
    *used = whole || r->overlong ? line + (found != NULL) : 0;
    if (whole && !r->overlong) return take_json(r, bytes, line, err);
    if (!whole) return 0;
    r->line++;
    r->overlong = false;
    return bad(r, "the line is longer than 64 MiB", err);
}

static int next_cut(document_reader *r, const char *bytes, size_t size, bool last, size_t *used, pcv_error *err) {
    cut c = {0};
    if (r->rule->kind == DOCUMENTS_LINES) c = find_line(bytes, size, last);
    if (r->rule->kind == DOCUMENTS_PARAGRAPHS) c = find_paragraph(bytes, size, last, r->open);
    if (r->rule->kind == DOCUMENTS_SEPARATOR) c = find_separator(r->rule, bytes, size, last);
    *used = c.next;
    int status = pass(r, bytes, c.content, err);
    return status || !c.ends ? status : end(r, err);
}

/* Goes through what is held as far as it can be judged. */
static int advance(document_reader *r, bool last, pcv_error *err) {
    bool json = r->rule->kind == DOCUMENTS_JSONL;
    size_t at = 0;
    for (size_t used = 1; used && at < r->held.size; at += used) {
        const char *bytes = r->held.data + at;
        size_t size = r->held.size - at;
        int status = json ? next_json(r, bytes, size, last, &used, err) : next_cut(r, bytes, size, last, &used, err);
        if (status) return status;
    }
    r->held.size -= at;
    if (r->held.size) memmove(r->held.data, r->held.data + at, r->held.size);
    return 0;
}

int documents_feed(document_reader *r, const char *bytes, size_t size, pcv_error *err) {
    text_bytes(&r->held, bytes, size);
    if (!text_ok(&r->held)) return fail(err, PCV_MEMORY, "not enough memory for a document");
    return advance(r, false, err);
}

int documents_finish(document_reader *r, pcv_error *err) {
    int status = advance(r, true, err);
    if (!status && r->overlong) {
        r->line++;
        status = bad(r, "the line is longer than 64 MiB", err);
    }
    return status ? status : end(r, err);
}

void documents_free(document_reader *r) { text_free(&r->held); }
