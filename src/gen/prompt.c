/* Prompts: text becomes tokens piece by piece, and a session keeps of them what it looks back at. So a prompt of any
 * length takes no more memory than a short one. */
#include "gen/prompt.h"
#include "base/file.h"

#include <string.h>

enum {
    PIECE = 1 << 16,      /* bytes read at once */
    PATIENCE = 3 << 20,   /* bytes that may wait for what follows them, at most */
};

/* A text on its way: `held` bytes that have no tokens yet. */
typedef struct feeder {
    pcv_session *session;
    char *bytes;  /* [PATIENCE] */
    int32_t *ids; /* [tokenizer_most(PATIENCE)] */
    size_t held;
} feeder;

static int open_feeder(feeder *f, pcv_session *s, pcv_error *err) {
    const token_type *type = s->sampler.tokens->type;
    *f = (feeder){.session = s};
    if (!type->encode) return fail(err, PCV_USAGE, "this model does not read text but %s", type->kind);
    int status = mem_get(&f->bytes, PATIENCE, "a prompt", err);
    return status ? status : mem_get(&f->ids, tokenizer_most(PATIENCE) * sizeof *f->ids, "a prompt", err);
}

static void close_feeder(feeder *f) {
    mem_free(f->bytes);
    mem_free(f->ids);
}

/* Tokens of the waiting bytes, as far as more of them could not change any; at the end of all. */
static int flush(feeder *f, bool last, pcv_error *err) {
    const tokenizer *t = f->session->sampler.tokens;
    size_t used = f->held, count;
    last = last || f->held + PIECE > PATIENCE; /* no tokenizer here waits for so long */
    if (t->type->encode_part) count = t->type->encode_part(t, f->bytes, f->held, last, f->ids, &used);
    else count = t->type->encode(t, f->bytes, f->held, f->ids);
    f->held -= used;
    memmove(f->bytes, f->bytes + used, f->held);
    return session_feed(f->session, f->ids, count, err);
}

int prompt_feed_text(pcv_session *s, const char *text, size_t size, pcv_error *err) {
    feeder f;
    int status = open_feeder(&f, s, err);
    while (!status && size) {
        size_t piece = size < PIECE ? size : PIECE;
        memcpy(f.bytes + f.held, text, piece);
        f.held += piece;
        text += piece;
        size -= piece;
        status = flush(&f, size == 0, err);
    }
    close_feeder(&f);
    return status;
}

int prompt_feed_file(pcv_session *s, const char *path, pcv_text_fn *echo, void *context, pcv_error *err) {
    file_reader r = {.fd = -1};
    feeder f;
    int status = 0;
    TRY(open_feeder(&f, s, err));
    TRY(file_open(&r, path, err));
    for (size_t got = 1; got;) {
        TRY(file_next(&r, f.bytes + f.held, PIECE, &got, err));
        if (got && echo && echo(context, f.bytes + f.held, got)) {
            status = fail(err, PCV_IO, "the prompt could not be written");
            goto out;
        }
        f.held += got;
        TRY(flush(&f, got == 0, err));
    }
out:
    file_close(&r);
    close_feeder(&f);
    return status;
}
