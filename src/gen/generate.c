/* Streaming text: tokens become bytes, bytes wait until they form whole characters and cannot be the
 * beginning of a stop text, then they go out. */
#include "gen/generate.h"
#include "base/clock.h"
#include "base/text.h"

#include <string.h>

typedef struct stream {
    pcv_session *session;
    pcv_generation *g;
    const field_strings *stops;
    bool characters; /* keep UTF-8 characters whole */
    text waiting;
    pcv_text_fn *emit;
    void *context;
    bool stopped, refused;
    bool begins; /* no token yet, behind the start token */
    bool over;
} stream;

/* How many of the last bytes of data might begin a stop text; *found: where a whole one begins. */
static size_t stop_overlap(const stream *s, const char *data, size_t size, size_t *found) {
    size_t longest = 0;
    *found = size;
    for (const char *at = NULL; (at = field_strings_next(s->stops, at));) {
        size_t length = strlen(at);
        const char *hit = memmem(data, size, at, length);
        if (hit && (size_t)(hit - data) < *found) *found = (size_t)(hit - data);
        for (size_t n = length - 1; n > longest; n--)
            if (n <= size && !memcmp(data + size - n, at, n)) longest = n;
    }
    return longest;
}

/* Bytes at the end that are the beginning of an unfinished character. */
static size_t unfinished(const char *data, size_t size) {
    for (size_t n = 1; n <= 3 && n <= size; n++) {
        unsigned char c = (unsigned char)data[size - n];
        if (c >= 0xC0) return utf8_length(data + size - n, n) < 0 ? n : 0;
        if (c < 0x80) return 0;
    }
    return 0;
}

/* Sends what can be decided; at the end, everything but a character that stays unfinished. */
static void send(stream *s, bool last) {
    size_t found, size = s->waiting.size, keep = stop_overlap(s, s->waiting.data, size, &found);
    size_t tail = s->characters ? unfinished(s->waiting.data, size) : 0;
    s->stopped = found < size;
    if (s->stopped) size = s->characters ? found - unfinished(s->waiting.data, found) : found;
    else size -= !last && keep > tail ? keep : tail;
    if (size) s->refused = s->emit(s->context, s->waiting.data, size) != 0;
    memmove(s->waiting.data, s->waiting.data + size, s->waiting.size - size);
    s->waiting.size -= size;
}

/* One more token of a stream, -1: the document ends. */
static int take(stream *s, int32_t id, pcv_error *err) {
    size_t size;
    if (id < 0) {
        s->g->end = PCV_END_DOCUMENT;
        s->over = true;
        return 0;
    }
    s->g->tokens++;
    const char *piece = session_text(s->session, id, &size);
    bool invented = s->begins && s->session->sampler.tokens->spaced && *piece == ' ';
    text_bytes(&s->waiting, piece + invented, size - invented);
    s->begins = false;
    if (!text_ok(&s->waiting)) return fail(err, PCV_MEMORY, "not enough memory for the text");
    send(s, false);
    if (s->stopped || s->refused) s->g->end = s->stopped ? PCV_END_STOP : PCV_END_CALLER;
    s->over = s->stopped || s->refused || s->g->tokens >= s->session->config.length;
    return 0;
}

static void finish(stream *s) {
    if (s->waiting.size && !s->stopped && !s->refused) send(s, true);
    if (s->stopped) s->g->end = PCV_END_STOP;
}

/* The next token of every stream that goes on, of which there are `alive`. */
static int step(stream *all, int64_t count, pcv_session **sessions, int32_t *ids, int64_t *alive, pcv_error *err) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        if (!all[i].over) sessions[n++] = all[i].session;
    *alive = n;
    int status = n ? sessions_next(sessions, n, ids, err) : 0;
    n = 0;
    for (int64_t i = 0; i < count && !status; i++)
        if (!all[i].over) status = take(&all[i], ids[n++], err);
    return status;
}

int generate_texts(pcv_session *const *sessions, int64_t count, pcv_text_fn *emit, void *const *contexts,
                   pcv_generation *g, pcv_error *err) {
    stream *all = NULL;
    pcv_session **going = NULL;
    int32_t *ids = NULL;
    double start = clock_now(), first = 0;
    int64_t alive = count;
    int status = 0;
    TRY(mem_get(&all, (size_t)count * sizeof *all, "texts", err));
    TRY(mem_get(&going, (size_t)count * sizeof *going, "texts", err));
    TRY(mem_get(&ids, (size_t)count * sizeof *ids, "texts", err));
    for (int64_t i = 0; i < count; i++) {
        pcv_session *s = sessions[i];
        const data_kind *kind = s->engine ? data_kind_of(s->engine->kind) : NULL;
        all[i] = (stream){.session = s, .g = &g[i], .stops = &s->config.stop, .emit = emit, .context = contexts[i],
                          .characters = !(kind && kind->raw), .begins = s->count == 1};
        all[i].over = s->config.length < 1;
        g[i] = (pcv_generation){.end = PCV_END_LENGTH};
    }
    while (alive) {
        TRY(step(all, count, going, ids, &alive, err));
        if (first == 0) first = clock_now() - start;
    }
out:
    for (int64_t i = 0; all && i < count; i++) {
        if (!status) finish(&all[i]);
        g[i].first_seconds = first;
        g[i].seconds = clock_now() - start - first;
        text_free(&all[i].waiting);
    }
    mem_free(all);
    mem_free(going);
    mem_free(ids);
    return status;
}

int generate_text(pcv_session *session, pcv_text_fn *emit, void *context, pcv_generation *g, pcv_error *err) {
    return generate_texts(&session, 1, emit, &context, g, err);
}
