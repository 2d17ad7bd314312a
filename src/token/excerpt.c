/* First the bytes that the tokens spell, as many as could be shown, each with the token that it comes from; then
 * cells, one for each character; then as many cells as fit, from the marked ones outward. A character whose bytes are
 * tokens of their own is marked as a whole. */
#include "token/excerpt.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum {
    SIDE = 4 * EXCERPT_COLUMNS, /* bytes before the marked token, or behind it. A column shows four at most, so that a
                                 * character which is cut there is in no line */
    LONGEST_PIECE = 256,        /* of which so many bytes are looked at */
    ROOM = 2 * SIDE + 3 * LONGEST_PIECE,
    SHOWN = 24,
};

typedef struct spelling {
    char byte[ROOM];
    int64_t token[ROOM];
    bool name[ROOM]; /* of a token that has no text */
    int size;
} spelling;

typedef struct cell {
    char shown[SHOWN];
    int columns;
    bool marked;
} cell;

/* ------------------------------------------------------------------ bytes */

/* What stands for a token without text; numbers keep apart from the marked one and from each other. */
static int name_of(const tokenizer *t, int32_t id, int64_t side, char name[SHOWN]) {
    const char *word = id == t->start ? "<start>" : id == t->end ? "<end>" : id == t->pad ? "<pad>" : NULL;
    const char *before = t->type->piece || side <= 0 ? "" : " ", *behind = t->type->piece || side >= 0 ? "" : " ";
    if (word) return snprintf(name, SHOWN, "%s%s%s", before, word, behind);
    return snprintf(name, SHOWN, t->type->piece ? "%s<%d>%s" : "%s%d%s", before, id, behind);
}

/* The bytes of ids[i], or its name; side: < 0 before the marked token, > 0 behind it. */
static const char *spell(const tokenizer *t, int32_t id, int64_t side, char name[SHOWN], int *size, bool *is_name) {
    size_t bytes = 0;
    const char *piece = t->type->piece && id >= 0 && id < t->vocab ? t->type->piece(t, id, &bytes) : "";
    *is_name = bytes == 0;
    *size = *is_name ? name_of(t, id, side, name) : bytes < LONGEST_PIECE ? (int)bytes : LONGEST_PIECE;
    return *is_name ? name : piece;
}

/* Spells tokens from `first` on until enough stands behind the marked one. */
static void spell_from(spelling *s, const tokenizer *t, const int32_t *ids, int64_t count, int64_t first, int64_t at) {
    int behind = 0;
    for (int64_t i = first; i < count && behind < SIDE; i++) {
        char name[SHOWN];
        int size;
        bool is_name;
        const char *bytes = spell(t, ids[i], at < 0 ? i : i - at, name, &size, &is_name);
        for (int k = 0; k < size; k++) {
            s->byte[s->size] = bytes[k];
            s->token[s->size] = i;
            s->name[s->size++] = is_name;
        }
        if (i > at) behind += size;
    }
}

static int64_t first_token(const tokenizer *t, const int32_t *ids, int64_t at) {
    int64_t first = at;
    for (int before = 0; first > 0 && before < SIDE;) {
        char name[SHOWN];
        int size;
        bool is_name;
        spell(t, ids[--first], -1, name, &size, &is_name);
        before += size;
    }
    return first;
}

/* ------------------------------------------------------------------ characters */

/* Of East Asia, and pictures. */
static bool is_wide(uint32_t c) {
    return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) || (c >= 0xAC00 && c <= 0xD7A3) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
           (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x3FFFD);
}

static void show(cell *c, const char *bytes, int size) {
    char one[SHOWN] = {0};
    memcpy(one, bytes, (size_t)size);
    if (!one[0]) memcpy(c->shown, "\\x00", 5);
    else if (one[0] == '\\') memcpy(c->shown, "\\\\", 3);
    else text_line(c->shown, sizeof c->shown, one);
    c->columns = strcmp(c->shown, one) || size == 1 ? (int)strlen(c->shown) : is_wide(utf8_value(one, size)) ? 2 : 1;
}

/* The bytes from `from` on that are one cell: a name, a character, or a byte of none; returns what is behind them. */
static int make_cell(const spelling *s, int64_t at, int from, cell *c) {
    int end = from;
    *c = (cell){0};
    while (end < s->size && s->name[end] == s->name[from] && (!s->name[from] || s->token[end] == s->token[from])) end++;
    if (s->name[from]) {
        memcpy(c->shown, s->byte + from, (size_t)(end - from));
        c->columns = end - from;
    } else {
        int length = utf8_length(s->byte + from, (size_t)(end - from));
        end = from + (length > 0 ? length : 1);
        show(c, s->byte + from, end - from);
    }
    for (int k = from; k < end; k++) c->marked |= s->token[k] == at;
    return end;
}

/* ------------------------------------------------------------------ the line */

/* Adds cells [from, to) as far as they fit; returns how many columns are left. */
static int add_cells(char **out, const cell *cells, int from, int to, int columns) {
    for (int i = from; i < to && cells[i].columns <= columns; i++) {
        size_t size = strlen(cells[i].shown);
        memcpy(*out, cells[i].shown, size);
        *out += size;
        columns -= cells[i].columns;
    }
    return columns;
}

void excerpt(const tokenizer *t, const int32_t *ids, int64_t count, int64_t at, int columns, char *out) {
    spelling s = {.size = 0};
    cell cells[ROOM];
    CHECK(at < count && columns >= 4 && columns <= EXCERPT_COLUMNS, "token %lld of %lld in %d columns", (long long)at,
          (long long)count, columns);
    spell_from(&s, t, ids, count, first_token(t, ids, at < 0 ? 0 : at), at);
    int all = 0, from = 0;
    for (int i = 0; i < s.size; all++) i = make_cell(&s, at, i, &cells[all]);
    if (at >= 0) {
        int begin = 0, end, left = (columns - 2) / 2, right = columns - 2 - left;
        while (begin < all && !cells[begin].marked) begin++;
        for (end = begin; end < all && cells[end].marked;) end++;
        for (from = begin; from > 0 && cells[from - 1].columns <= left; from--) left -= cells[from - 1].columns;
        while (left-- > 0) *out++ = ' ';
        add_cells(&out, cells, from, begin, columns);
        *out++ = '[';
        columns = add_cells(&out, cells, begin, end, right);
        *out++ = ']';
        from = end;
    }
    add_cells(&out, cells, from, all, columns);
    *out = 0;
}
