#include "token/id_stream.h"
#include "base/mem.h"
#include "base/number.h"

#include <ctype.h>
#include <string.h>

enum { PIECE = 1 << 16, LONGEST_NUMBER = 32, COUNTED = 4096 };

/* ------------------------------------------------------------------ opening */

static int open_pieces(id_stream *s, const char *path, pcv_error *err) {
    int status = 0;
    s->owned = true;
    TRY(mem_get(&s->text, PIECE + 1, "a piece of a file", err));
    TRY(mem_get(&s->ready, 2 * PIECE * sizeof *s->ready, "a piece of a file", err));
    TRY(file_open(&s->file, path, err));
out:
    return status;
}

static int read_whole(id_stream *s, const char *path, const pcv_watch *watch, pcv_error *err) {
    id_list all = {0};
    int status = tokenizer_read_any(s->t, path, &all, watch, err);
    s->ready = all.v;
    s->waiting = all.count;
    s->bytes = all.bytes;
    s->owned = true;
    return status;
}

int id_stream_open(id_stream *s, const tokenizer *t, const char *path, bool are_ids, const pcv_watch *watch,
                   pcv_error *err) {
    *s = (id_stream){.t = t, .are_ids = are_ids, .file.fd = -1};
    int status = !are_ids && t->type->read ? read_whole(s, path, watch, err) : open_pieces(s, path, err);
    if (status) id_stream_close(s);
    return status;
}

void id_stream_of(id_stream *s, const tokenizer *t, const int32_t *ids, size_t count) {
    *s = (id_stream){.t = t, .file.fd = -1, .ready = (int32_t *)(uintptr_t)ids, .waiting = count};
}

void id_stream_close(id_stream *s) {
    file_close(&s->file);
    mem_free(s->text);
    if (s->owned) mem_free(s->ready);
    *s = (id_stream){.file.fd = -1};
}

/* ------------------------------------------------------------------ pieces */

/* Numbers of the text that are whole: white space or the end of the file follows. */
static int parse_ids(id_stream *s, bool last, pcv_error *err) {
    const char *at = s->text, *end = s->text + s->held;
    for (;;) {
        while (at < end && isspace((unsigned char)*at)) at++;
        const char *stop = at;
        while (stop < end && !isspace((unsigned char)*stop)) stop++;
        if (at == end || (stop == end && !last && stop - at < LONGEST_NUMBER)) break;
        const char *behind = at;
        int64_t x = -1;
        if (number_take_whole(&behind, &x) || behind != stop || x < 0 || x > INT32_MAX)
            return fail(err, PCV_DATA, "%s: byte %lld: expected whitespace-separated token ids", s->file.path,
                        (long long)(s->offset + (at - s->text)));
        s->ready[s->waiting++] = (int32_t)x;
        at = stop;
    }
    s->offset += at - s->text;
    s->held = (size_t)(end - at);
    memmove(s->text, at, s->held);
    return 0;
}

/* Reads on until some ids are ready, or the file ends. */
static int refill(id_stream *s, pcv_error *err) {
    s->waiting = s->at = 0;
    for (size_t got = 1; !s->waiting && got;) {
        int status = file_next(&s->file, s->text + s->held, PIECE - s->held, &got, err);
        if (status) return status;
        s->held += got;
        s->text[s->held] = 0;
        if (s->are_ids) {
            status = parse_ids(s, got == 0, err);
            if (status) return status;
        } else {
            s->waiting = s->t->type->encode(s->t, s->text, s->held, s->ready);
            s->held = 0;
        }
    }
    return 0;
}

static int check(const id_stream *s, const int32_t *ids, size_t count, pcv_error *err) {
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= s->t->vocab)
            return fail(err, PCV_DATA, "%s%stoken %d is outside the vocabulary of %lld", s->file.path,
                        s->file.path[0] ? ": " : "", ids[i], (long long)s->t->vocab);
    return 0;
}

/* Ids that wait, none at the end. */
static int some_ready(id_stream *s, size_t *count, pcv_error *err) {
    int status = s->at == s->waiting && s->file.fd >= 0 ? refill(s, err) : 0;
    *count = status ? 0 : s->waiting - s->at;
    return status;
}

int id_stream_next(id_stream *s, int32_t *ids, size_t capacity, size_t *got, pcv_error *err) {
    size_t count;
    *got = 0;
    while (*got < capacity) {
        int status = some_ready(s, &count, err);
        if (status) return status;
        if (!s->begun) {
            s->at += count && s->ready[s->at] == s->t->start;
            s->begun = true;
            ids[(*got)++] = s->t->start;
            continue;
        }
        if (!count) break;
        if (count > capacity - *got) count = capacity - *got;
        status = check(s, s->ready + s->at, count, err);
        if (status) return status;
        memcpy(ids + *got, s->ready + s->at, count * sizeof *ids);
        s->at += count;
        *got += count;
    }
    return 0;
}

/* Bytes of the text that ids stand for; of one that was rewritten, nobody knows. */
static int64_t bytes_of(const tokenizer *t, const int32_t *ids, size_t count) {
    int64_t sum = 0;
    if (!t->type->piece || t->rewrites) return 0;
    for (size_t i = 0, size; i < count; i++, sum += (int64_t)size) t->type->piece(t, ids[i], &size);
    return sum;
}

int id_stream_count(id_stream *s, int64_t *count, int64_t *bytes, pcv_error *err) {
    int32_t some[COUNTED];
    int status = 0;
    *count = *bytes = 0;
    for (size_t got = COUNTED; !status && got == COUNTED; *count += (int64_t)got) {
        status = id_stream_next(s, some, COUNTED, &got, err);
        *bytes += bytes_of(s->t, some, got);
    }
    if (s->bytes) *bytes = s->bytes;
    s->begun = false;
    s->at = s->held = 0;
    s->offset = 0;
    if (s->file.fd < 0) return status;
    s->waiting = 0;
    return status ? status : file_rewind(&s->file, err);
}
