/* Pieces of words (Kudo and Richardson 2018), by the SentencePiece library behind a plug-in: learned from the files to
 * train on, or a model that the user has. Ids of the model stand behind padding, end and start.
 *
 * A model of ours loses nothing: characters that it does not know, bytes that are no UTF-8, and the one character
 * that SentencePiece uses for the space all go through its pieces of single bytes. Texts are encoded line by line; a
 * line end is a piece of its own, so that no piece crosses one.
 *
 * A model of the user's may rewrite a text first: normalize characters, join spaces and lines, put a space in front.
 * What it does is tried out when it is opened. Such a model is given documents whole, so that ids are those of the
 * library itself; one beyond DOCUMENT bytes is cut at a space, which stands for the one in front of the next part. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/plugin.h"
#include "base/text.h"
#include "base/watch.h"
#include "config/run_files.h"
#include "plugins/sentencepiece.h"
#include "token/token.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>


enum {
    MODEL_LIMIT = 64 << 20, /* bytes of a model file */
    TEXT_LIMIT = 1 << 30,   /* bytes of a text that is read whole */
    SPAN = 1 << 16,         /* bytes that are encoded at once, at most, */
    DOCUMENT = 2 << 20,     /* and of models that rewrite them: the library takes some hundred bytes for each */
    LESSON = 4096,          /* bytes of a line to learn from, at most */
    LESSONS = 12 << 20,     /* bytes of all of them together */
    SECONDS = 60,           /* for the child that tries a model */
    PIECE = 1 << 16,        /* bytes read at once from the child that learns one */
    PATIENCE = 100,         /* milliseconds between two looks at it */
};

static const char space[] = "\xE2\x96\x81"; /* U+2581, a space within a piece */

typedef struct sentencepiece_state {
    const sentencepiece_table *library;
    void *model;
    file_bytes file;  /* of the model, to be kept with data sets and runs */
    char *text;       /* the bytes of all pieces, one behind the other */
    size_t *begin;    /* [pieces + 1] where a piece's bytes begin */
    int32_t byte[256]; /* id of the piece for a single byte, -1: none */
    int unknown;
    bool by_line; /* no piece goes on behind a line end */
} sentencepiece_state;

static sentencepiece_state *state_of(const tokenizer *t) { return t->state; }

static int need_library(tokenizer *t, pcv_error *err) {
    const void *table;
    sentencepiece_state *s = state_of(t);
    if (s->library) return 0;
    int status = plugin_open("sentencepiece", SENTENCEPIECE_VERSION,
                             "install libsentencepiece-dev and build again, or take --tokenizer bytes", &table, err);
    if (!status) s->library = table;
    return status;
}

/* ------------------------------------------------------------------ a model */

/* What normalization would change: spaces, a wide letter, an accent that stands alone, lines, a fraction. */
static const char trial[] = "  two  spaces\t\xEF\xBC\xA1 e\xCC\x81\n\n\xC2\xBD ";
enum { TRIAL = 256 };

/* The library is not made for hostile models (it may crash), so a child tries first. */
static int try_model(const sentencepiece_state *s, const char *name, pcv_error *err) {
    char message[SENTENCEPIECE_MESSAGE];
    int result = 0;
    pid_t child = fork();
    if (child < 0) return fail_errno(err, PCV_MEMORY, "cannot start a process that tries %s", name);
    if (child == 0) {
        alarm(SECONDS);
        void *model = s->library->open(s->file.data, s->file.size, message);
        int32_t ids[TRIAL];
        bool works = model && s->library->encode(model, trial, sizeof trial - 1, ids, TRIAL) >= 0;
        _exit(works ? 0 : 1);
    }
    if (waitpid(child, &result, 0) == child && WIFEXITED(result) && WEXITSTATUS(result) == 0) return 0;
    return fail(err, PCV_DATA, "%s: not a SentencePiece model, or a damaged one", name);
}

/* The bytes of piece `id` into out (NULL: count them). */
static size_t piece_bytes(sentencepiece_state *s, int id, char *out) {
    size_t size, used = 0;
    int kind;
    const char *piece = s->library->piece(s->model, id, &size, &kind);
    if (kind == PIECE_CONTROL) return 0;
    if (kind == PIECE_UNKNOWN) {
        s->unknown = id;
        return 0;
    }
    if (kind == PIECE_BYTE) { /* "<0x41>" */
        long value = size > 3 ? strtol(piece + 3, NULL, 16) & 255 : 0;
        s->byte[value] = id;
        if (out) *out = (char)value;
        return 1;
    }
    for (size_t i = 0; i < size; used++) {
        bool blank = i + 3 <= size && !memcmp(piece + i, space, 3);
        if (out) out[used] = blank ? ' ' : piece[i];
        i += blank ? 3 : 1;
    }
    return used;
}

static const char *piece(const tokenizer *t, int32_t id, size_t *size);

/* Which bytes come back of a text, and what stands in front of them? */
static void look_through(tokenizer *t) {
    sentencepiece_state *s = state_of(t);
    int32_t ids[TRIAL];
    size_t size, same = 0;
    int64_t count = s->library->encode(s->model, trial, sizeof trial - 1, ids, TRIAL);
    for (int64_t i = 0; i < count && !t->rewrites; i++, same += size) {
        const char *p = piece(t, ids[i] + t->first, &size);
        t->rewrites = size > sizeof trial - 1 - same || memcmp(p, trial + same, size);
    }
    t->rewrites = t->rewrites || same < sizeof trial - 1;
    count = s->library->encode(s->model, "a", 1, ids, TRIAL);
    const char *front = count > 0 ? piece(t, ids[0] + t->first, &size) : "";
    t->spaced = *front == ' ';
    s->by_line = !t->rewrites;
    for (int32_t id = t->first; id < t->vocab && s->by_line; id++) {
        const char *p = piece(t, id, &size), *end = size ? memchr(p, '\n', size) : NULL;
        s->by_line = !end || end + 1 == p + size;
    }
}

/* s->file holds the model; `name` says where it is from. */
static int adopt(tokenizer *t, const char *name, pcv_error *err) {
    sentencepiece_state *s = state_of(t);
    char message[SENTENCEPIECE_MESSAGE] = "";
    size_t total = 0;
    int status = 0;
    TRY(try_model(s, name, err));
    s->model = s->library->open(s->file.data, s->file.size, message);
    if (!s->model) return fail(err, PCV_DATA, "%s: not a SentencePiece model", name);
    int pieces = s->library->pieces(s->model);
    for (int i = 0; i < pieces; i++) total += piece_bytes(s, i, NULL);
    TRY(mem_get(&s->text, total + 1, "a vocabulary", err));
    TRY(mem_get(&s->begin, ((size_t)pieces + 1) * sizeof *s->begin, "a vocabulary", err));
    for (int i = 0; i < pieces; i++) s->begin[i + 1] = s->begin[i] + piece_bytes(s, i, s->text + s->begin[i]);
    t->vocab = t->first + pieces;
    look_through(t);
out:
    return status;
}

static int read_model(tokenizer *t, const char *path, pcv_error *err) {
    int status = need_library(t, err);
    if (!status) status = file_read(path, MODEL_LIMIT, &state_of(t)->file, err);
    return status ? status : adopt(t, path, err);
}

static int open_pieces(tokenizer *t, pcv_error *err) {
    sentencepiece_state *s;
    int status = mem_get(&s, sizeof *s, "a tokenizer", err);
    if (status) return status;
    t->state = s;
    t->pad = 0, t->end = 1, t->start = 2, t->first = 3;
    t->vocab = t->first + t->config.pieces;
    for (int i = 0; i < 256; i++) s->byte[i] = -1;
    s->unknown = -1;
    return t->config.model[0] ? read_model(t, t->config.model, err) : 0;
}

static void close_pieces(tokenizer *t) {
    sentencepiece_state *s = t->state;
    if (!s) return;
    if (s->model) s->library->close(s->model);
    file_bytes_free(&s->file);
    mem_free(s->text);
    mem_free(s->begin);
    mem_free(s);
}

/* ------------------------------------------------------------------ text to ids and back */

static size_t put_bytes(const tokenizer *t, const char *bytes, size_t size, int32_t *ids) {
    const sentencepiece_state *s = state_of(t);
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        int32_t id = s->byte[(unsigned char)bytes[i]];
        if (id < 0) id = s->unknown;
        if (id >= 0) ids[count++] = t->first + id;
    }
    return count;
}

/* How many bytes of from[size] are characters that the library can be given: up to a line end at most, which is
 * included, and to a place where a span that grows too long may be cut. */
static size_t plain_span(const sentencepiece_state *s, const char *from, size_t size) {
    size_t at = 0, blank = 0, most = s->by_line ? SPAN : DOCUMENT;
    while (at < size && at < most) {
        int length = utf8_length(from + at, size - at);
        if (length < 1 || !from[at] || (length == 3 && !memcmp(from + at, space, 3))) return at;
        if (from[at] == ' ') blank = at;
        at += (size_t)length;
        if (s->by_line && from[at - 1] == '\n') return at;
    }
    return at < size && blank ? blank : at;
}

/* Of a text that is rewritten, a whole document; *next is where its rest begins. */
static size_t whole_span(const tokenizer *t, const char *from, size_t size, size_t *next) {
    *next = size;
    if (size <= DOCUMENT) return size;
    size_t at = DOCUMENT;
    while (at > DOCUMENT / 2 && from[at] != ' ') at--;
    *next = at + t->spaced;
    if (from[at] == ' ') return at;
    for (at = DOCUMENT; at > DOCUMENT - 3 && (from[at] & 0xC0) == 0x80;) at--; /* no space: between two characters */
    return *next = at;
}

/* How many of the first bytes of from[size] the library is given at once, 0: none, a character goes as bytes; *used:
 * how many are done with then. */
static size_t next_span(const tokenizer *t, const char *from, size_t size, size_t *used) {
    size_t span = *used = plain_span(state_of(t), from, size);
    if (t->rewrites) return whole_span(t, from, size, used);
    if (span) return span;
    int length = utf8_length(from, size);
    *used = length < 1 ? 1 : (size_t)length;
    return 0;
}

/* Stores the ids of the first bytes of from[size]; *used: how many bytes that were. */
static size_t encode_span(const tokenizer *t, const char *from, size_t size, int32_t *ids, size_t *used) {
    const sentencepiece_state *s = state_of(t);
    size_t span = next_span(t, from, size, used);
    int64_t found = span ? s->library->encode(s->model, from, span, ids, tokenizer_most(span)) : -1;
    if (found < 0) return put_bytes(t, from, span ? span : *used, ids); /* what the library would not take as well */
    for (int64_t i = 0; i < found; i++) ids[i] += t->first;
    return (size_t)found;
}

/* Does the first span of from[size] end where it does whatever follows? One that ends with a line does, and one in
 * front of bytes enough. */
static bool settled(const tokenizer *t, const char *from, size_t size) {
    enum { LONGEST = 4 }; /* bytes of a character */
    size_t used;
    next_span(t, from, size, &used);
    bool line = state_of(t)->by_line && !t->rewrites && from[used - 1] == '\n';
    return line || used + LONGEST <= size;
}

static size_t encode_part(const tokenizer *t, const void *bytes, size_t size, bool last, int32_t *ids, size_t *used) {
    const char *from = bytes;
    size_t count = 0, at = 0;
    for (size_t next; at < size && (last || settled(t, from + at, size - at)); at += next)
        count += encode_span(t, from + at, size - at, ids + count, &next);
    *used = at;
    return count;
}

static size_t encode(const tokenizer *t, const void *bytes, size_t size, int32_t *ids) {
    size_t used;
    return encode_part(t, bytes, size, true, ids, &used);
}

static const char *piece(const tokenizer *t, int32_t id, size_t *size) {
    const sentencepiece_state *s = state_of(t);
    *size = 0;
    if (id < t->first || id >= t->vocab || !s->begin) return "";
    int32_t p = id - t->first;
    *size = s->begin[p + 1] - s->begin[p];
    return s->text + s->begin[p];
}

static int read_text(const tokenizer *t, const char *path, id_list *ids, pcv_error *err) {
    file_bytes content;
    int32_t *found = NULL;
    int status = file_read(path, TEXT_LIMIT, &content, err);
    if (status) return status;
    size_t most = content.size < DOCUMENT ? content.size : DOCUMENT;
    TRY(mem_get(&found, tokenizer_most(most) * sizeof *found, "a document's tokens", err));
    for (size_t at = 0, used; at < content.size; at += used) {
        size_t count = encode_span(t, content.data + at, content.size - at, found, &used);
        TRY(id_list_add(ids, found, count, err));
    }
    ids->bytes += (int64_t)content.size;
out:
    mem_free(found);
    file_bytes_free(&content);
    return status;
}

/* ------------------------------------------------------------------ learning */

/* Lines of the files to learn from, evenly spread over all of them when they are too many. */
typedef struct lessons {
    const char *const *paths;
    size_t count, next;
    size_t each; /* bytes to take of a file */
    file_bytes file;
    size_t at, end;
} lessons;

static bool next_file(lessons *l) {
    pcv_error ignored; /* it will be reported when it is encoded */
    file_bytes_free(&l->file);
    l->file = (file_bytes){0};
    if (l->next == l->count) return false;
    l->at = l->end = 0;
    if (file_read(l->paths[l->next++], TEXT_LIMIT, &l->file, &ignored)) {
        l->file = (file_bytes){0};
        return true;
    }
    l->at = l->file.size > l->each ? (l->file.size - l->each) / 2 : 0;
    l->end = l->at + (l->file.size > l->each ? l->each : l->file.size);
    return true;
}

static int next_line(void *context, const char **line, size_t *size) {
    lessons *l = context;
    while (l->at >= l->end)
        if (!next_file(l)) return 0;
    const char *from = l->file.data + l->at;
    size_t left = l->end - l->at, length = left < LESSON ? left : LESSON;
    const char *end = memchr(from, '\n', length);
    if (end) length = (size_t)(end - from);
    while (!end && length < left && length > 1 && from[length - 1] != ' ') length--;
    *line = from;
    *size = length;
    l->at += length + (end != NULL);
    return 1;
}

/* The library knows no way to stop it, so it learns in a child, which can be killed. */
typedef struct pupil {
    pid_t process;
    int from; /* the child's answer: the model, or, where it exits with 1, why there is none */
} pupil;

static void answer(void *out, const void *bytes, size_t size) {
    const char *at = bytes;
    for (ssize_t n; size; at += n, size -= (size_t)n) {
        n = write(*(const int *)out, at, size);
        if (n < 0 && errno != EINTR) _exit(1);
        if (n < 0) n = 0;
    }
}

static int start_pupil(pupil *p, const tokenizer *t, lessons *l, uint64_t seed, pcv_error *err) {
    char message[SENTENCEPIECE_MESSAGE] = "";
    const sentencepiece_table *library = state_of(t)->library;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return fail_errno(err, PCV_MEMORY, "cannot start a process that learns pieces");
    p->process = fork();
    if (p->process == 0) {
        int failed = library->train((int)t->config.pieces, (uint32_t)seed, next_line, l, answer, &ends[1], message);
        if (failed) answer(&ends[1], message, strlen(message));
        _exit(failed);
    }
    close(ends[1]);
    p->from = ends[0];
    return p->process < 0 ? fail_errno(err, PCV_MEMORY, "cannot start a process that learns pieces") : 0;
}

static int report(const pcv_watch *watch, double start, pcv_error *err) {
    pcv_progress p = {.stage = "learning pieces of words", .seconds = clock_now() - start};
    if (watch_ask(watch, &p) != PCV_STOP) return 0;
    return fail(err, PCV_INTERRUPTED, "interrupted; nothing was written");
}

/* All that the child says, followed by a zero byte. */
static int listen_to(const pupil *p, file_bytes *said, const pcv_watch *watch, pcv_error *err) {
    double start = clock_now();
    struct pollfd ready = {.fd = p->from, .events = POLLIN};
    for (ssize_t n = 1; n;) {
        int status = report(watch, start, err);
        if (!status) status = mem_resize(&said->data, said->size + PIECE + 1, "a model", err);
        if (status) return status;
        if (poll(&ready, 1, PATIENCE) <= 0) continue;
        n = read(p->from, said->data + said->size, PIECE);
        if (n < 0 && errno != EINTR) return fail_errno(err, PCV_IO, "cannot read what was learned");
        if (n > 0) said->size += (size_t)n;
        if (said->size > MODEL_LIMIT) return fail(err, PCV_DATA, "more than %d bytes were learned", MODEL_LIMIT);
    }
    said->data[said->size] = 0;
    return 0;
}

/* Why the child has learned nothing: the library speaks to its programmers, of lines of its source. */
static int learned_nothing(const tokenizer *t, const char *said, pcv_error *err) {
    const char *least = strstr(said, "required_chars"), *numbers = least ? strstr(least, " vs ") : NULL;
    const char *digits = numbers ? numbers + strlen(" vs ") : NULL;
    int64_t needed;
    if (digits && !number_take_whole(&digits, &needed))
        return fail(err, PCV_DATA, "%lld pieces are too few: these files have characters enough for %lld; "
                    "take --tokenizer sentencepiece:%lld or more", (long long)t->config.pieces, (long long)needed,
                    (long long)needed);
    return fail(err, PCV_DATA, "SentencePiece could not learn %lld pieces from these files; try another number, or "
                "--tokenizer bytes", (long long)t->config.pieces);
}

static int train(tokenizer *t, const char *const *paths, size_t count, uint64_t seed, const pcv_watch *watch,
                 pcv_error *err) {
    lessons l = {.paths = paths, .count = count, .each = LESSONS / (count ? count : 1) + 1};
    pupil p = {.process = -1, .from = -1};
    file_bytes *model = &state_of(t)->file;
    int result = -1, status = 0;
    if (t->config.model[0]) return 0; /* the user's own */
    TRY(need_library(t, err));
    TRY(start_pupil(&p, t, &l, seed, err));
    status = listen_to(&p, model, watch, err);
    if (status) kill(p.process, SIGKILL);
    while (waitpid(p.process, &result, 0) < 0 && errno == EINTR) continue;
    if (!status && result) status = learned_nothing(t, WIFEXITED(result) ? model->data : "", err);
    if (!status) status = adopt(t, "what was learned", err);
out:
    if (p.from >= 0) close(p.from);
    return status;
}

static int save(const tokenizer *t, const char *folder, pcv_error *err) {
    const sentencepiece_state *s = state_of(t);
    char path[PATH_SIZE];
    int status = path_own(path, folder, RUN_PIECES, err);
    return status ? status : file_write(path, s->file.data, s->file.size, err);
}

static int load(tokenizer *t, const char *folder, pcv_error *err) {
    char path[PATH_SIZE];
    int status = path_join(path, folder, RUN_PIECES, err);
    return status ? status : read_model(t, path, err);
}

static void meaning(const tokenizer *t, text *out) {
    const sentencepiece_state *s = state_of(t);
    text_bytes(out, s->file.data, s->file.size);
}

static const char *const keys[] = {"pieces", NULL};

const token_type token_sentencepiece = {
    .name = "sentencepiece",
    .help = "pieces of words, learned from the data, or from a file",
    .kind = "text",
    .unit = "piece",
    .keys = keys,
    .open = open_pieces,
    .close = close_pieces,
    .encode = encode,
    .encode_part = encode_part,
    .piece = piece,
    .read = read_text,
    .train = train,
    .save = save,
    .load = load,
    .meaning = meaning,
};
