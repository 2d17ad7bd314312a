/* Files that are read whole, several at once. They are written in order, so that the data set does not depend on the
 * number of threads. */
#include "data/encode.h"
#include "base/available.h"
#include "base/mem.h"

#include <sys/stat.h>

/* A file that is read, while several are. */
typedef struct reading {
    id_list ids;
    file_content content;
    fault fault;
    int status; /* of the machine: memory */
} reading;

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The content's checksum and what else its bytes say. */
static int look(const input *in, reading *r) {
    file_reader file = {.fd = -1};
    char *piece = NULL;
    int status = 0;
    TRY(mem_get(&piece, ENCODE_BYTES, "a read buffer", &r->fault.reason));
    TRY(content_open(&r->content, &r->fault.reason));
    TRY(file_open(&file, in->path, &r->fault.reason));
    for (size_t got = 1; got;) {
        TRY(file_next(&file, piece, ENCODE_BYTES, &got, &r->fault.reason));
        content_add(&r->content, piece, got);
    }
out:
    if (status && status != PCV_MEMORY) r->fault.why = SKIP_UNREADABLE;
    content_close(&r->content);
    file_close(&file);
    mem_free(piece);
    return status;
}

/* read: as tokens, or only to see whether that would go. The second look at the file's dates is for the checksum, which
 * would else be that of another content. */
static void read_whole(const job *j, const input *in, bool read, reading *r) {
    const tokenizer *t = &j->tokens;
    struct stat before, after;
    bool found = !stat(in->path, &before);
    if (in->is_bad) return;
    r->status = look(in, r);
    input_judge(j, in, &r->content, &r->fault);
    if (!r->status && !r->fault.why && (read || t->type->check))
        r->status = read ? tokenizer_read(t, in->path, &r->ids, &r->fault.reason)
                         : t->type->check(t, in->path, &r->fault.reason);
    if (r->status == PCV_MEMORY) return;
    if (in->is_first && read) { /* all of its files */
        hash_bytes(r->ids.v, r->ids.count * sizeof *r->ids.v, r->content.hash);
        r->content.size = r->ids.count;
    }
    if (r->status && !r->fault.why) r->fault.why = SKIP_UNFIT;
    if (!r->fault.why && !(found && !stat(in->path, &after) && same_file(&before, &after)))
        fault_set(&r->fault, SKIP_CHANGED, "%s: changed while it was read", in->name);
}

/* Where a file's tokens are cut at so many percent: between whole groups, where they form some. */
static size_t cut_at(const job *j, size_t count, int percent) {
    size_t group = j->tokens.period ? (size_t)j->tokens.period : 1;
    return percent >= 100 ? count : count * (size_t)percent / 100 / group * group;
}

static int write_part(job *j, const input *in, int s, const reading *r, int from, int to, pcv_error *err) {
    size_t begin = cut_at(j, r->ids.count, from), end = cut_at(j, r->ids.count, to);
    split_writer *out = &j->out[s];
    int status = 0;
    if (begin == end) return 0;
    TRY(split_append(out, &j->tokens.start, 1, err));
    TRY(split_append(out, r->ids.v + begin, end - begin, err));
    if (j->tokens.end >= 0) TRY(split_append(out, &j->tokens.end, 1, err));
    TRY(split_end_document(out, in->label, err));
    TRY(input_record(j, in, s, 1, r->content.size * (uint64_t)(to - from) / 100, err));
out:
    return status;
}

static int write_reading(job *j, input *in, reading *r, pcv_error *err) {
    int status = 0, from = 0;
    if (in->is_bad) return 0;
    if (r->status == PCV_MEMORY) return fail(err, PCV_MEMORY, "%s", r->fault.reason.message);
    TRY(input_accept(j, in, r->content.hash, &r->fault, err));
    if (r->fault.why) return input_skip(j, in, &r->fault, err);
    if (r->fault.reason.message[0]) {
        fail_rename(&r->fault.reason, in->path, in->name);
        job_say(j, "warning: %s", r->fault.reason.message);
        j->report->warned++;
    }
    if (in->split != DEALT) return write_part(j, in, in->split, r, 0, 100, err);
    for (int s = 0; s < SPLITS; from += j->dealer.percent[s++])
        TRY(write_part(j, in, s, r, from, from + j->dealer.percent[s], err));
out:
    return status;
}

/* A screened file is accepted or skipped before a tokenizer learns from it; nothing is written yet. */
static int screen_reading(job *j, input *in, reading *r, pcv_error *err) {
    if (r->status == PCV_MEMORY) return fail(err, PCV_MEMORY, "%s", r->fault.reason.message);
    int status = input_accept(j, in, r->content.hash, &r->fault, err);
    return status || !r->fault.why ? status : input_skip(j, in, &r->fault, err);
}

int encode_files(job *j, size_t from, size_t count, bool write, pcv_error *err) {
    int (*use)(job *, input *, reading *, pcv_error *) = write ? write_reading : screen_reading;
    input *in = &j->inputs.v[from];
    reading *list = NULL;
    int status = mem_get(&list, count * sizeof *list, "reading files", err);
    if (status) return status;
#pragma omp parallel for num_threads(threads_here()) schedule(dynamic)
    for (size_t i = 0; i < count; i++) read_whole(j, &in[i], write, &list[i]);
    for (size_t i = 0; i < count && !status; i++) status = use(j, &in[i], &list[i], err);
    for (size_t i = 0; i < count; i++) id_list_free(&list[i].ids);
    mem_free(list);
    return status;
}

