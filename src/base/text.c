/* Text for people and text for programs, and what stands between them and outside bytes.
 *
 * Nothing that comes from a file or a name goes out as it is: show() says how one character is shown, by
 * utf8_length and is_control, and what writes for terminals, pages and columns differs only in what it does with
 * the answer. JSON holds all characters but zero, which its reader refuses. text_line needs no memory of its own,
 * since an error must be told when there is none. */
#include "base/text.h"
#include "base/mem.h"
#include "perceiver.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Makes room for `more` bytes and the closing zero. */
static bool reserve(text *t, size_t more) {
    if (t->failed) return false;
    size_t need = t->size + more + 1;
    if (need <= t->capacity) return true;
    size_t capacity = need + need / 2 + 64;
    if (mem_resize(&t->data, capacity, "a text", NULL)) {
        t->failed = true;
        return false;
    }
    t->capacity = capacity;
    return true;
}

void text_bytes(text *t, const void *bytes, size_t size) {
    if (!reserve(t, size)) return;
    if (size) memcpy(t->data + t->size, bytes, size);
    t->size += size;
    t->data[t->size] = 0;
}

void text_add(text *t, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size >= 0 && reserve(t, (size_t)size)) {
        vsnprintf(t->data + t->size, (size_t)size + 1, format, again);
        t->size += (size_t)size;
    }
    va_end(again);
}

int utf8_length(const char *bytes, size_t size) {
    const unsigned char *b = (const unsigned char *)bytes;
    if (size == 0) return -1;
    if (b[0] < 0x80) return 1;
    int length = b[0] >= 0xC2 && b[0] <= 0xDF ? 2 : (b[0] & 0xF0) == 0xE0 ? 3 : 0;
    if (b[0] >= 0xF0 && b[0] <= 0xF4) length = 4;
    if (!length) return 0;
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= size) return -1;
        unsigned low = 0x80, high = 0xBF; /* the second byte excludes overlong forms, surrogates */
        if (i == 1 && b[0] == 0xE0) low = 0xA0;
        if (i == 1 && b[0] == 0xED) high = 0x9F;
        if (i == 1 && b[0] == 0xF0) low = 0x90;
        if (i == 1 && b[0] == 0xF4) high = 0x8F;
        if (b[i] < low || b[i] > high) return 0;
    }
    return length;
}

bool utf8_valid(const char *string) {
    for (int length; *string; string += length)
        if ((length = utf8_length(string, strlen(string))) <= 0) return false;
    return true;
}

/* ------------------------------------------------------------------ quoting */

enum { SHOWN = 12 }; /* bytes that one character becomes at most, with the closing zero */

uint32_t utf8_value(const char *bytes, int length) {
    static const unsigned char first[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t value = (unsigned char)bytes[0] & first[length];
    for (int i = 1; i < length; i++) value = value << 6 | ((unsigned char)bytes[i] & 0x3F);
    return value;
}

/* What a terminal obeys in place of showing it: controls, ends of lines, and what changes the direction of writing. */
static bool is_control(uint32_t c) {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/* The character at bytes[0..size), size > 0, as it can be shown; returns how many bytes it takes there. */
static size_t show(const char *bytes, size_t size, char out[SHOWN]) {
    int length = utf8_length(bytes, size);
    if (length <= 0) {
        snprintf(out, SHOWN, "\\x%02x", (unsigned char)bytes[0]);
        return 1;
    }
    uint32_t c = utf8_value(bytes, length);
    if (!is_control(c)) snprintf(out, SHOWN, "%.*s", length, bytes);
    else if (c == '\n' || c == '\r' || c == '\t') snprintf(out, SHOWN, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else snprintf(out, SHOWN, c < 0x80 ? "\\x%02x" : "\\u%04x", c);
    return (size_t)length;
}

void text_escape(text *t, const char *bytes, size_t size) {
    for (size_t i = 0; i < size;) {
        char shown[SHOWN];
        bool backslash = bytes[i] == '\\';
        i += show(bytes + i, size - i, shown);
        text_bytes(t, backslash ? "\\\\" : shown, backslash ? 2 : strlen(shown));
    }
}

void text_line(char *out, size_t capacity, const char *in) {
    static const char cut[] = "...";
    size_t size = strlen(in), used = 0, fits = 0; /* so far, and with the mark of a cut behind it */
    for (size_t i = 0; i < size;) {
        char shown[SHOWN];
        i += show(in + i, size - i, shown);
        size_t more = strlen(shown);
        if (used + more >= capacity) {
            snprintf(out + fits, capacity - fits, "%s", cut);
            return;
        }
        memcpy(out + used, shown, more);
        used += more;
        if (used + sizeof cut <= capacity) fits = used;
    }
    if (capacity) out[used] = 0;
}

static const char *html_entity(char c) {
    switch (c) {
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '&': return "&amp;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

void text_html(text *t, const char *bytes, size_t size) {
    for (size_t i = 0; i < size;) {
        char shown[SHOWN];
        const char *at = bytes + i, *entity = html_entity(*at);
        size_t length = show(at, size - i, shown);
        bool plain = length == strlen(shown) && !memcmp(shown, at, length);
        if (entity) text_bytes(t, entity, strlen(entity));
        else if (plain || *at == '\n' || *at == '\t') text_bytes(t, at, length);
        else text_bytes(t, "\xEF\xBF\xBD", 3);
        i += length;
    }
}

void text_base64(text *t, const void *bytes, size_t size) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *b = bytes;
    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        uint32_t group = (uint32_t)b[i] << 16 | (n > 1 ? (uint32_t)b[i + 1] << 8 : 0) | (n > 2 ? b[i + 2] : 0);
        char out[4];
        for (int k = 0; k < 4; k++) out[k] = k <= (int)n ? letters[group >> (18 - 6 * k) & 63] : '=';
        text_bytes(t, out, 4);
    }
}

void text_json(text *t, const char *bytes, size_t size) {
    text_bytes(t, "\"", 1);
    for (size_t i = 0; i < size;) {
        int length = utf8_length(bytes + i, size - i);
        unsigned char c = (unsigned char)bytes[i];
        if (length <= 0 || c == 0) text_bytes(t, "\\ufffd", 6); /* our reader takes no zero bytes */
        else if (c == '"' || c == '\\') text_add(t, "\\%c", c);
        else if (c < 0x20 || c == 0x7F) text_add(t, "\\u%04x", c);
        else text_bytes(t, bytes + i, (size_t)length);
        i += length > 0 ? (size_t)length : 1;
    }
    text_bytes(t, "\"", 1);
}

void text_csv(text *t, const char *field) {
    if (!strpbrk(field, ",\"\r\n")) {
        text_bytes(t, field, strlen(field));
        return;
    }
    text_bytes(t, "\"", 1);
    for (; *field; field++) text_bytes(t, *field == '"' ? "\"\"" : field, *field == '"' ? 2 : 1);
    text_bytes(t, "\"", 1);
}

bool text_ok(const text *t) { return !t->failed && t->data; }

void text_free(text *t) {
    mem_free(t->data);
    *t = (text){0};
}

enum { LONGEST_NAME = 64 };

/* Levenshtein distance of two short words; a swap of neighbours counts as two edits. */
static int edit_distance(const char *a, const char *b) {
    int row[LONGEST_NAME + 1];
    int width = (int)strnlen(b, LONGEST_NAME);
    for (int j = 0; j <= width; j++) row[j] = j;
    for (int i = 1; a[i - 1] && i <= LONGEST_NAME; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= width; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            int best = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < best ? change : best;
        }
    }
    return row[width];
}

bool name_is_one_of(const char *name, const char *const *names) {
    for (; names && *names; names++)
        if (!strcmp(name, *names)) return true;
    return false;
}

int name_find(int *index, const char *name, const char *const *names, const char *where, pcv_error *err) {
    text all = {0};
    int count = 0;
    for (; names[count]; count++) {
        if (!strcmp(name, names[count])) *index = count;
        text_add(&all, "%s%s", count ? ", " : "", names[count]);
    }
    int status = 0;
    if (!name_is_one_of(name, names)) {
        const char *near = nearest_name(name, names, count);
        status = fail(err, PCV_CONFIG, "%s: '%s' is not one of %s%s%s%s", where, name, text_ok(&all) ? all.data : "?",
                      near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    text_free(&all);
    return status;
}

const char *nearest_name(const char *word, const char *const *names, int count) {
    const char *best = NULL;
    int distance = 3 + (int)strnlen(word, LONGEST_NAME) / 4; /* farther than this is no help */
    for (int i = 0; i < count; i++) {
        int d = edit_distance(word, names[i]);
        if (d < distance) {
            distance = d;
            best = names[i];
        }
    }
    return best;
}
