/* Texts pass in pieces of any size: pieces become documents, documents go to splits. */
#include "data/encode.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CUT_SEARCH = 4096, BAD_LISTED = 20 };

/* A file on its way into the splits. */
typedef struct passage {
    job *j;
    input *in;
    fault fault;
    document_reader reader;
    document_plan plan;        /* where each document is dealt */
    size_t number;             /* documents that ended */
    hasher hash;               /* of the document that is open */
    int64_t copies;            /* documents that are in another split */
    uint64_t at;               /* bytes read */
    int part;                  /* of a file that is cut: its split */
    uint64_t cut[SPLITS];      /* where each split's part ends */
    split_mark begin[SPLITS];  /* where the splits were before this file */
    int64_t documents[SPLITS]; /* what it wrote */
    uint64_t bytes[SPLITS];
    open_document document;
    int64_t bad;               /* lines of JSON that were none */
    file_writer *lesson;       /* of copy_lesson */
} passage;

/* ------------------------------------------------------------------ documents into the splits */

/* Is each document dealt? */
static bool deals_documents(const passage *p) {
    return p->j->divides && documents_part_files(&p->j->documents) && p->in->split == DEALT;
}

static split_name split_of_next(const passage *p) {
    return deals_documents(p) ? document_plan_at(&p->plan, p->number) : (split_name)p->part;
}

static int begin_document(void *context, pcv_error *err) {
    passage *p = context;
    return document_begin(p->j, &p->document, p->in, split_of_next(p), err);
}

static int add_bytes(void *context, const char *bytes, size_t size, pcv_error *err) {
    passage *p = context;
    if (documents_part_files(&p->j->documents)) hash_add(&p->hash, bytes, size);
    return document_add(p->j, &p->document, bytes, size, p->in, &p->fault, err);
}

/* Of a document that is not dealt: one whose text is in another split already is not kept. */
static int meet_again(passage *p, uint64_t hash, bool *keep, pcv_error *err) {
    job *j = p->j;
    int before = repeats_split(&j->again, hash);
    if (before == NEW) return repeats_set(&j->again, hash, p->document.split, err);
    *keep = before == (int)p->document.split;
    p->copies += !*keep;
    *(*keep ? &j->following : &j->elsewhere) += 1;
    return 0;
}

/* Its text is known now; a plan has met it before. */
static int look_at_text(passage *p, bool *keep, pcv_error *err) {
    if (!documents_part_files(&p->j->documents)) return 0;
    uint64_t hash = hash_take(&p->hash);
    if (!*keep) return 0;
    p->number++;
    return deals_documents(p) ? 0 : meet_again(p, hash, keep, err);
}

static int end_document(void *context, bool keep, pcv_error *err) {
    passage *p = context;
    open_document *d = &p->document;
    int status = 0;
    TRY(look_at_text(p, &keep, err));
    if (!keep) return split_back(&p->j->out[d->split], d->begin, err);
    TRY(document_end(p->j, d, err));
    p->documents[d->split]++;
    p->bytes[d->split] += d->size;
out:
    return status;
}

static int bad_line(void *context, int64_t line, const char *reason, pcv_error *err) {
    passage *p = context;
    (void)err;
    if (p->bad++ < BAD_LISTED) job_say(p->j, "%s: line %" PRId64 ": %s", p->in->name, line, reason);
    if (p->bad == BAD_LISTED) job_say(p->j, "%s: further bad lines are counted alone", p->in->name);
    return 0;
}

/* ------------------------------------------------------------------ a file of one document, or one in each split */

/* Takes a piece of it. */
static int add_parts(passage *p, const char *bytes, size_t size, pcv_error *err) {
    const document_sink *to = &p->reader.sink;
    int status = 0;
    for (uint64_t at = p->at, end = at + size; at < end;) {
        bool is_first = at == 0 || at == p->cut[p->part];
        while (p->part < SPLITS - 1 && at >= p->cut[p->part]) p->part++;
        size_t n = (size_t)((p->cut[p->part] < end ? p->cut[p->part] : end) - at);
        if (is_first) TRY(to->begin(p, err));
        TRY(to->bytes(p, bytes + (at - p->at), n, err));
        at += n;
        if (at == p->cut[p->part]) TRY(to->end(p, true, err));
    }
out:
    return status;
}

/* Behind the next line end where one is near, else in front of the next character. */
static uint64_t cut_near(const file_reader *r, uint64_t at) {
    char near[CUT_SEARCH];
    ssize_t size = pread(r->fd, near, sizeof near, (off_t)at);
    const char *end = size > 0 ? memchr(near, '\n', (size_t)size) : NULL;
    if (end) return at + (uint64_t)(end - near) + 1;
    for (ssize_t i = 0; i < 4 && i < size; i++) /* a character has at most three bytes behind its first */
        if ((near[i] & 0xC0) != 0x80) return at + (uint64_t)i;
    return at;
}

/* So many percent of a size, rounded up: the first byte is one to train on. */
static uint64_t share(int64_t size, int percent) {
    return (uint64_t)(size / 100 * percent + (size % 100 * percent + 99) / 100);
}

/* The split of the next input: its own, or the one that it is dealt. */
static split_name split_for(const job *j, const input *in) {
    return in->split == DEALT ? file_dealer_next(&j->dealer) : (split_name)in->split;
}

static int place_cuts(passage *p, const file_reader *r, pcv_error *err) {
    struct stat s;
    int sum = 0;
    p->part = (int)split_for(p->j, p->in);
    for (int k = 0; k < SPLITS; k++) p->cut[k] = k < p->part ? 0 : UINT64_MAX;
    if (!p->j->divides || p->in->split != DEALT) return 0;
    if (fstat(r->fd, &s)) return fail_errno(err, PCV_IO, "%s", r->path);
    p->part = SPLIT_TRAIN;
    for (int k = 0; k < SPLITS - 1; k++) {
        sum += p->j->dealer.percent[k];
        if (sum < 100) p->cut[k] = cut_near(r, share(s.st_size, sum));
    }
    return 0;
}

/* ------------------------------------------------------------------ reading */

static int take_piece(passage *p, const char *bytes, size_t size, pcv_error *err) {
    bool parted = documents_part_files(&p->j->documents);
    return parted ? documents_feed(&p->reader, bytes, size, err) : add_parts(p, bytes, size, err);
}

/* Reads the file to its end into the passage's sink; what is wrong with it goes to p->fault. */
static int read_pieces(passage *p, file_content *c, pcv_error *err) {
    job *j = p->j;
    file_reader r;
    fault *f = &p->fault;
    int status = 0;
    if (file_open(&r, p->in->path, &f->reason)) {
        f->why = SKIP_UNREADABLE;
        return 0;
    }
    if (place_cuts(p, &r, &f->reason)) f->why = SKIP_UNREADABLE;
    for (size_t got = 1; got && !f->why && !status; p->at += got) {
        if (file_next(&r, j->bytes, ENCODE_BYTES, &got, &f->reason)) f->why = SKIP_UNREADABLE;
        else if (got) {
            content_add(c, j->bytes, got);
            if (c->binary) input_judge(j, p->in, c, f); /* soon enough */
            if (!f->why) status = take_piece(p, j->bytes, got, err);
        }
        if (!status) status = job_progress(j, p->at, err);
    }
    file_close(&r);
    return status;
}

/* The last document ends with the file. */
static int finish_pieces(passage *p, pcv_error *err) {
    if (p->fault.why) return 0;
    if (documents_part_files(&p->j->documents)) return documents_finish(&p->reader, err);
    return p->at && p->cut[p->part] > p->at ? p->reader.sink.end(p, true, err) : 0;
}

/* A reading that writes nothing into the splits. */
static int rehearse(passage *p, pcv_error *err) {
    file_content c = {0};
    int status = 0;
    TRY(content_open(&c, err));
    TRY(read_pieces(p, &c, err));
    TRY(finish_pieces(p, err));
out:
    content_close(&c);
    documents_free(&p->reader);
    return status;
}

static int ignore_bad(void *context, int64_t line, const char *reason, pcv_error *err) {
    return (void)context, (void)line, (void)reason, (void)err, 0;
}

/* ------------------------------------------------------------------ counting, in front of dealing */

static int count_begin(void *context, pcv_error *err) { return (void)context, (void)err, 0; }
static int count_bytes(void *context, const char *bytes, size_t size, pcv_error *err) {
    passage *p = context;
    hash_add(&p->hash, bytes, size);
    return (void)err, 0;
}
static int count_end(void *context, bool keep, pcv_error *err) {
    passage *p = context;
    uint64_t hash = hash_take(&p->hash);
    return keep ? document_plan_add(&p->plan, hash, err) : 0;
}

/* Where a file's documents are dealt, they must be known before. */
static int make_plan(passage *p, size_t number, pcv_error *err) {
    job *j = p->j;
    document_dealer dealer;
    int64_t contents;
    int status = 0;
    if (!deals_documents(p)) return 0;
    passage count = {.j = j, .in = p->in, .reader.rule = &j->documents};
    count.reader.sink = (document_sink){&count, count_begin, count_bytes, count_end, ignore_bad};
    TRY(hash_open(&count.hash, err));
    TRY(rehearse(&count, err));
    TRY(document_plan_count(&count.plan, &j->again, &contents, err));
    document_dealer_open(&dealer, j->dealer.percent, contents, j->options->seed, 1 + (uint32_t)number);
    TRY(document_plan_deal(&count.plan, &j->again, &dealer, err));
    j->following += (int64_t)count.plan.count - contents;
    p->plan = count.plan;
    count.plan = (document_plan){0};
out:
    hash_close(&count.hash, NULL);
    document_plan_free(&count.plan);
    return status;
}

/* ------------------------------------------------------------------ what a tokenizer may learn from */

static int lesson_begin(void *context, pcv_error *err) {
    passage *p = context;
    p->document.split = split_of_next(p);
    return (void)err, 0;
}

static int lesson_bytes(void *context, const char *bytes, size_t size, pcv_error *err) {
    passage *p = context;
    return p->document.split == SPLIT_TRAIN ? file_append(p->lesson, bytes, size, err) : 0;
}

static int lesson_end(void *context, bool keep, pcv_error *err) {
    passage *p = context;
    p->number += keep;
    return p->document.split == SPLIT_TRAIN ? file_append(p->lesson, "\n", 1, err) : 0;
}

int copy_lesson(job *j, size_t number, file_writer *lesson, pcv_error *err) {
    passage p = {.j = j, .in = &j->inputs.v[number], .reader.rule = &j->documents, .lesson = lesson};
    p.reader.sink = (document_sink){&p, lesson_begin, lesson_bytes, lesson_end, ignore_bad};
    int status = make_plan(&p, number, err);
    if (!status) status = rehearse(&p, err);
    document_plan_free(&p.plan);
    return status;
}

/* ------------------------------------------------------------------ a whole passage */

static int take_back(const passage *p, pcv_error *err) {
    int status = 0;
    for (int s = 0; s < SPLITS && !status; s++) status = split_back(&p->j->out[s], p->begin[s], err);
    return status;
}

static int finish_text(passage *p, file_content *c, pcv_error *err) {
    job *j = p->j;
    fault *f = &p->fault;
    int64_t documents = 0;
    int status = 0;
    TRY(finish_pieces(p, err));
    content_close(c);
    input_judge(j, p->in, c, f);
    for (int s = 0; s < SPLITS; s++) documents += p->documents[s];
    if (!f->why && !documents && p->copies)
        fault_set(f, SKIP_COPY, "%s: all its documents are in another split", p->in->name);
    if (!f->why && !documents) fault_set(f, SKIP_EMPTY, "%s: no document in it", p->in->name);
    TRY(input_accept(j, p->in, c->hash, f, err));
    if (f->why) {
        TRY(take_back(p, err));
        TRY(input_skip(j, p->in, f, err));
        goto out;
    }
    j->report->bad_lines += p->bad;
    for (int s = 0; s < SPLITS; s++)
        if (p->documents[s]) TRY(input_record(j, p->in, s, p->documents[s], p->bytes[s], err));
out:
    return status;
}

int encode_text(job *j, size_t number, pcv_error *err) {
    input *in = &j->inputs.v[number];
    passage p = {.j = j, .in = in, .reader.rule = &j->documents};
    file_content c = {0};
    int status = 0;
    p.reader.sink = (document_sink){&p, begin_document, add_bytes, end_document, bad_line};
    for (int s = 0; s < SPLITS; s++) p.begin[s] = split_here(&j->out[s]);
    TRY(hash_open(&p.hash, err));
    TRY(make_plan(&p, number, err));
    TRY(content_open(&c, err));
    TRY(read_pieces(&p, &c, err));
    TRY(finish_text(&p, &c, err));
out:
    content_close(&c);
    hash_close(&p.hash, NULL);
    document_plan_free(&p.plan);
    documents_free(&p.reader);
    text_free(&p.document.whole);
    return status;
}

