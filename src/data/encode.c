/* All inputs in turn. What a tokenizer has to learn is learned first, from good files that are to train on, so
 * these are looked at before anything is written. How many files are good is known at the end alone: where they
 * turn out fewer than the splits, what was written is forgotten and each of them is divided. */
#include "data/encode.h"
#include "base/available.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ one input */

void fault_set(fault *f, skip_reason why, const char *format, ...) {
    va_list args;
    f->why = why;
    va_start(args, format);
    vsnprintf(f->reason.message, sizeof f->reason.message, format, args);
    va_end(args);
}

int input_skip(job *j, input *in, fault *f, pcv_error *err) {
    in->is_bad = true;
    fail_rename(&f->reason, in->path, in->name);
    return skipped_add(&j->skipped, f->why, in->name, err, "%s", f->reason.message);
}

void input_judge(const job *j, const input *in, const file_content *c, fault *f) {
    bool takes_any = !job_is_text(j) || j->kind->raw;
    if (f->why) return;
    if (c->size == 0) fault_set(f, SKIP_EMPTY, "%s: empty", in->name);
    else if (!takes_any && c->binary)
        fault_set(f, SKIP_BINARY, "%s: binary; 'perceiver prepare bytes' takes it", in->name);
    else if (!takes_any && c->blank) fault_set(f, SKIP_EMPTY, "%s: nothing but white space", in->name);
    else if (in->hash[0] && strcmp(in->hash, c->hash))
        fault_set(f, SKIP_CHANGED, "%s: changed while it was read", in->name);
}

/* The content was there before. To learn from what is held out would spoil the test, so the held out come first
 * and keep it; who names one file to validate and to test on shall have it, and be told. */
static void meet_again(job *j, const input *in, const input *before, fault *f) {
    static const char *const use[SPLITS] = {"train on", "validate on", "test on"};
    bool is_elsewhere = before->split != DEALT && before->split != in->split;
    if (!is_elsewhere) fault_set(f, SKIP_COPY, "%s: the same as %s", in->name, before->name);
    else if (in->is_given && in->split != SPLIT_TRAIN) {
        job_say(j, "warning: %s, to %s, is the same as %s, to %s", in->name, use[in->split], before->name,
                use[before->split]);
        j->report->warned++;
    } else fault_set(f, SKIP_COPY, "%s: the same as %s, which is to %s", in->name, before->name, use[before->split]);
}

int input_accept(job *j, input *in, const char *hash, fault *f, pcv_error *err) {
    const void *before;
    if (f->why || in->hash[0]) return 0; /* bad, or accepted before */
    int status = content_set_add(&j->seen, hash, in, &before, err);
    if (status) return status;
    if (before) meet_again(j, in, before, f);
    if (f->why) return 0;
    snprintf(in->hash, sizeof in->hash, "%s", hash);
    if (in->split != DEALT || j->divides) return 0;
    in->split = (int)file_dealer_next(&j->dealer);
    file_dealer_take(&j->dealer);
    return 0;
}

int input_record(job *j, const input *in, int split, int64_t documents, uint64_t bytes, pcv_error *err) {
    json_t *rest = json_pack("{s:s, s:I, s:I, s:s}", "split", split_names[split], "documents", (json_int_t)documents,
                             "bytes", (json_int_t)bytes, "xxh3_128", in->hash);
    json_t *entry = json_pack("{s:s}", "path", in->name);
    if (!entry) entry = json_object(); /* a name that is not UTF-8 */
    int failed = json_object_update(entry, rest);
    json_decref(rest);
    if (failed) json_decref(entry);
    if (failed || json_array_append_new(j->used, entry)) return fail(err, PCV_MEMORY, "not enough memory");
    j->report->bytes[split] += (int64_t)bytes;
    return 0;
}

/* ------------------------------------------------------------------ all inputs */

static int each_input(job *j, bool whole, bool write, pcv_error *err) {
    bool folders = j->documents.kind == DOCUMENTS_FOLDERS;
    size_t together = whole ? 2 * (size_t)threads_here() : 1;
    int status = 0;
    j->done = 0;
    j->stage = write ? "preparing" : "looking";
    for (size_t i = 0; i < j->inputs.count; i += together) {
        if (folders) together = inputs_of_document(&j->inputs, i);
        if (together > j->inputs.count - i) together = j->inputs.count - i;
        if (folders) TRY(encode_folder(j, i, together, write, err));
        else if (whole) TRY(encode_files(j, i, together, write, err));
        else if (!j->inputs.v[i].is_bad) TRY(encode_text(j, i, err));
        for (size_t k = i; k < i + together; k++) j->done += (double)j->inputs.v[k].size;
        TRY(job_progress(j, 0, err));
    }
out:
    return status;
}

static void forget_documents(job *j) {
    repeats_forget(&j->again);
    j->following = j->elsewhere = 0;
}

/* The parts to train on of all texts that are divided, in one file. */
static int write_lesson(job *j, const char *path, pcv_error *err) {
    file_writer lesson = {.fd = -1};
    int status = 0;
    TRY(file_create(&lesson, path, err));
    for (size_t i = 0; i < j->inputs.count; i++) {
        const input *in = &j->inputs.v[i];
        if (!in->is_bad && in->split == DEALT) TRY(copy_lesson(j, i, &lesson, err));
    }
    TRY(file_commit(&lesson, err));
out:
    file_abandon(&lesson);
    return status;
}

/* What a tokenizer learns, it learns from what is to train on: good files, or their parts. */
static int learn(job *j, pcv_error *err) {
    char lesson[PATH_SIZE];
    const char **paths = NULL;
    size_t count = 0;
    int status = 0;
    bool in_parts = j->divides && job_is_text(j);
    TRY(mem_get(&paths, (j->inputs.count + 1) * sizeof *paths, "the file list", err));
    for (size_t i = 0; i < j->inputs.count; i++) {
        const input *in = &j->inputs.v[i];
        bool is_cut = j->divides && in->split == DEALT;
        if (!in->is_bad && (in->split == SPLIT_TRAIN || (is_cut && !in_parts))) paths[count++] = in->path;
    }
    TRY(path_join(lesson, j->folder, LESSON_FILE, err));
    if (in_parts) TRY(write_lesson(j, lesson, err));
    forget_documents(j); /* they will be met, and dealt, as now */
    if (in_parts) paths[count++] = lesson;
    else if (j->divides) job_say(j, "what the tokenizer learns, it learns from all parts: such files are read whole");
    if (count) TRY(j->tokens.type->train(&j->tokens, paths, count, j->options->seed, j->watch, err));
    TRY(path_remove(lesson, err));
out:
    mem_free(paths);
    return status;
}

/* Fewer good files than splits that want one. */
static bool are_too_few(const job *j) {
    int64_t dealt = j->dealer.dealt[0] + j->dealer.dealt[1] + j->dealer.dealt[2];
    return !j->divides && dealt && dealt < deal_wanted(j->dealer.percent);
}

/* From now on each is divided among the splits; what was written before is forgotten. */
static int divide(job *j, pcv_error *err) {
    int status = 0;
    if (j->documents.kind == DOCUMENTS_FOLDERS)
        return fail(err, PCV_USAGE, "too few folders to split, for a folder is not divided; give one for each split at "
                    "least, or --train, --validation and --test");
    if (j->tokens.length)
        return fail(err, PCV_USAGE, "too few to split, for a file of this kind cannot be cut; give one for each split "
                    "at least, or --train, --validation and --test");
    job_say(j, "fewer good files than splits: %s", documents_part_files(&j->documents)
                ? "their documents are dealt, one by one" : "each is cut into train, validation and test parts");
    j->divides = true;
    json_array_clear(j->used);
    forget_documents(j);
    j->report->bad_lines = 0;
    for (size_t i = 0; i < j->inputs.count; i++)
        if (!j->inputs.v[i].is_given) j->inputs.v[i].split = DEALT;
    for (int s = 0; s < SPLITS; s++) {
        j->report->bytes[s] = 0;
        TRY(split_back(&j->out[s], (split_mark){0, 0}, err));
    }
out:
    return status;
}

int encode_inputs(job *j, pcv_error *err) {
    const token_type *type = j->tokens.type;
    int64_t candidates = 0;
    int status = 0;
    for (size_t i = 0; i < j->inputs.count; i++) candidates += j->inputs.v[i].split == DEALT;
    /* What cannot be divided may still turn out to be no good. */
    bool can_divide = !j->tokens.length && j->documents.kind != DOCUMENTS_FOLDERS;
    if (can_divide && candidates && candidates < deal_wanted(j->dealer.percent)) TRY(divide(j, err));
    if (type->train) {
        TRY(each_input(j, true, false, err));
        if (are_too_few(j)) TRY(divide(j, err));
        TRY(learn(j, err));
    }
    for (;;) {
        bool in_pieces = job_is_text(j) && (!type->read || j->divides || documents_part_files(&j->documents));
        TRY(each_input(j, !in_pieces, true, err));
        if (!are_too_few(j)) break;
        TRY(divide(j, err));
    }
out:
    return status;
}
