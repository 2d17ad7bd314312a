/* A document's tokens, as its bytes come. A tokenizer that takes a text as a whole alone gets it at the end. */
#include "data/encode.h"
#include "base/mem.h"

enum { WHOLE_MOST = 1 << 30 };

int document_begin(job *j, open_document *d, const input *in, split_name split, pcv_error *err) {
    d->split = split;
    d->label = in->label;
    d->begin = split_here(&j->out[split]);
    d->size = 0;
    d->whole.size = 0;
    return split_append(&j->out[split], &j->tokens.start, 1, err);
}

int document_add(job *j, open_document *d, const char *bytes, size_t size, const input *in, fault *f, pcv_error *err) {
    d->size += size;
    if (j->tokens.type->read) {
        text_bytes(&d->whole, bytes, size);
        if (d->whole.size > WHOLE_MOST) fault_set(f, SKIP_UNFIT, "%s: a document of more than 1 GiB", in->name);
        return text_ok(&d->whole) ? 0 : fail(err, PCV_MEMORY, "not enough memory for a document");
    }
    for (size_t at = 0; at < size; at += ENCODE_BYTES) {
        size_t n = size - at < ENCODE_BYTES ? size - at : ENCODE_BYTES;
        n = j->tokens.type->encode(&j->tokens, bytes + at, n, j->ids);
        int status = split_append(&j->out[d->split], j->ids, n, err);
        if (status) return status;
    }
    return 0;
}

static int encode_whole(job *j, open_document *d, pcv_error *err) {
    const tokenizer *t = &j->tokens;
    int32_t *ids = NULL;
    int status = 0;
    if (!t->type->read) return 0;
    TRY(mem_get(&ids, tokenizer_most(d->whole.size) * sizeof *ids, "a document's tokens", err));
    TRY(split_append(&j->out[d->split], ids, t->type->encode(t, d->whole.data, d->whole.size, ids), err));
out:
    mem_free(ids);
    return status;
}

int document_end(job *j, open_document *d, pcv_error *err) {
    split_writer *out = &j->out[d->split];
    int status = 0;
    TRY(encode_whole(j, d, err));
    if (j->tokens.end >= 0) TRY(split_append(out, &j->tokens.end, 1, err));
    TRY(split_end_document(out, d->label, err));
out:
    return status;
}
