/* Streaming text: tokens become bytes, bytes wait until they form whole characters and cannot be the
 * beginning of a stop text, then they go out. */
#include "gen/generate.h"
#include "base/clock.h"
#include "base/text.h"

#include <string.h>

typedef struct stream {
    const field_strings *stops;
    bool characters; /* keep UTF-8 characters whole */
    text waiting;
    pcv_text_fn *emit;
    void *context;
    bool stopped, refused;
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

int generate_text(pcv_session *session, pcv_text_fn *emit, void *context, pcv_generation *g,
                 pcv_error *err) {
    const data_kind *kind = session->engine ? data_kind_of(session->engine->kind) : NULL;
    stream s = {.stops = &session->config.stop, .characters = !(kind && kind->raw), .emit = emit, .context = context};
    double start = clock_now();
    bool begins = session->count == 1; /* behind the start token */
    int status = 0;
    *g = (pcv_generation){.end = PCV_END_LENGTH};
    while (g->tokens < session->config.length) {
        int32_t id;
        size_t size;
        TRY(session_next(session, &id, err));
        if (g->tokens == 0) g->first_seconds = clock_now() - start;
        if (id < 0) {
            g->end = PCV_END_DOCUMENT;
            break;
        }
        g->tokens++;
        const char *piece = session_text(session, id, &size);
        bool invented = begins && session->sampler.tokens->spaced && *piece == ' ';
        text_bytes(&s.waiting, piece + invented, size - invented);
        begins = false;
        if (!text_ok(&s.waiting)) {
            status = fail(err, PCV_MEMORY, "not enough memory for the text");
            goto out;
        }
        send(&s, false);
        if (s.stopped || s.refused) {
            g->end = s.stopped ? PCV_END_STOP : PCV_END_CALLER;
            break;
        }
    }
    if (s.waiting.size && !s.stopped && !s.refused) send(&s, true);
    if (s.stopped) g->end = PCV_END_STOP;
    g->seconds = clock_now() - start - g->first_seconds;
out:
    text_free(&s.waiting);
    return status;
}
