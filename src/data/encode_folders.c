/* A folder's texts as one document: what `tail -v -n +1 FILE...` prints in the folder. Each file follows a line with
 * its path, and a line's end parts it from the file before:
 *
 *     ==> lib/circle.py <==
 *     import math
 *
 *     ==> lib/square.py <==
 *
 * Every file is judged by itself: one that cannot be used is taken back, and the document goes on without it. The
 * folder goes to one split, whole. */
#include "data/encode.h"

#include <stdio.h>
#include <string.h>

typedef struct folder_passage {
    job *j;
    bool write; /* or only look */
    open_document document;
    int64_t files; /* that are in it */
    uint64_t at;   /* bytes read */
} folder_passage;

/* A place in the document to go back to. */
typedef struct place {
    split_mark tokens;
    uint64_t size;
    size_t whole;
} place;

static place here(const folder_passage *p) {
    const open_document *d = &p->document;
    return (place){split_here(&p->j->out[d->split]), d->size, d->whole.size};
}

static int go_back(folder_passage *p, place to, pcv_error *err) {
    open_document *d = &p->document;
    d->size = to.size;
    d->whole.size = to.whole;
    return p->write ? split_back(&p->j->out[d->split], to.tokens, err) : 0;
}

static int add(folder_passage *p, const char *bytes, size_t size, const input *in, fault *f, pcv_error *err) {
    return p->write ? document_add(p->j, &p->document, bytes, size, in, f, err) : 0;
}

static int add_heading(folder_passage *p, const input *in, fault *f, pcv_error *err) {
    char line[PATH_SIZE + 16];
    int size = snprintf(line, sizeof line, "%s==> %s <==\n", p->files ? "\n" : "", input_within(in));
    return add(p, line, (size_t)size, in, f, err);
}

/* What is wrong with the file goes to *f. */
static int read_pieces(folder_passage *p, const input *in, file_content *c, fault *f, pcv_error *err) {
    job *j = p->j;
    file_reader r;
    int status = 0;
    if (file_open(&r, in->path, &f->reason)) {
        f->why = SKIP_UNREADABLE;
        return 0;
    }
    for (size_t got = 1; got && !f->why && !status; p->at += got) {
        if (file_next(&r, j->bytes, ENCODE_BYTES, &got, &f->reason)) f->why = SKIP_UNREADABLE;
        else if (got) {
            content_add(c, j->bytes, got);
            if (c->binary) input_judge(j, in, c, f); /* soon enough */
            if (!f->why) status = add(p, j->bytes, got, in, f, err);
        }
        if (!status) status = job_progress(j, p->at, err);
    }
    file_close(&r);
    return status;
}

static int take_file(folder_passage *p, input *in, pcv_error *err) {
    file_content c = {0};
    fault f = {0};
    place before = here(p);
    int status = 0;
    TRY(content_open(&c, err));
    TRY(add_heading(p, in, &f, err));
    TRY(read_pieces(p, in, &c, &f, err));
    content_close(&c);
    input_judge(p->j, in, &c, &f);
    TRY(input_accept(p->j, in, c.hash, &f, err));
    if (f.why) {
        TRY(go_back(p, before, err));
        TRY(input_skip(p->j, in, &f, err));
        goto out;
    }
    if (p->write) TRY(input_record(p->j, in, p->document.split, !p->files, p->document.size - before.size, err));
    p->files++;
out:
    content_close(&c);
    return status;
}

int encode_folder(job *j, size_t from, size_t count, bool write, pcv_error *err) {
    folder_passage p = {.j = j, .write = write};
    input *in = &j->inputs.v[from];
    bool is_dealt = in->split == DEALT;
    split_name split = is_dealt ? file_dealer_next(&j->dealer) : (split_name)in->split;
    int status = 0;
    if (write) TRY(document_begin(j, &p.document, in, split, err));
    for (size_t i = 0; i < count; i++) {
        in[i].split = (int)split;
        if (!in[i].is_bad) TRY(take_file(&p, &in[i], err));
    }
    if (is_dealt && p.files) file_dealer_take(&j->dealer);
    if (write) TRY(p.files ? document_end(j, &p.document, err) : split_back(&j->out[split], p.document.begin, err));
out:
    text_free(&p.document.whole);
    return status;
}
