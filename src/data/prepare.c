/* Files to a data set folder. The folder is built under a temporary name and renamed at the end, so an
 * interruption leaves nothing behind under the final name. */
#include "data/prepare.h"
#include "base/clock.h"
#include "base/fields.h"
#include "base/mem.h"
#include "base/temporary.h"
#include "base/text.h"
#include "base/watch.h"
#include "config/run_files.h"
#include "config/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void job_say(const job *j, const char *format, ...) {
    va_list args;
    va_start(args, format);
    watch_say_list(j->watch, format, args);
    va_end(args);
}

int job_progress(const job *j, uint64_t more, pcv_error *err) {
    double seconds = clock_now() - j->start, done = j->done + (double)more;
    pcv_progress p = {.stage = j->stage, .done = done < j->total ? done : j->total, .total = j->total,
                      .seconds = seconds, .rate = seconds > 0 ? done / seconds / 1e6 : 0, .unit = "MB"};
    if (watch_ask(j->watch, &p) == PCV_STOP)
        return fail(err, PCV_INTERRUPTED, "interrupted; nothing was written");
    return 0;
}

/* ------------------------------------------------------------------ options */

static int unknown_kind(const char *kind, pcv_error *err) {
    char names[256] = "";
    for (const data_kind *k = data_kinds; k->name; k++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", k->name);
    }
    return fail(err, PCV_USAGE, "'%.40s' is not one of %s", kind, names);
}

static int open_tokenizer(job *j, pcv_error *err) {
    const pcv_prepare_options *o = j->options;
    token_config config;
    j->kind = data_kind_of(o->kind);
    if (!j->kind) return unknown_kind(o->kind, err);
    const token_type *type = tokenizer_of_kind(j->kind->types);
    int status = settings_tokens(o->settings, &config, err);
    const char *name = type->name;
    if (!status && o->tokenizer) status = tokenizer_choose(o->tokenizer, &name, &config, err);
    if (!status) status = tokenizer_open(&j->tokens, name, &config, err);
    if (status) return status;
    type = j->tokens.type;
    if (strcmp(type->kind, j->kind->types))
        return fail(err, PCV_USAGE, "tokenizer '%s' is one for %s, not for %s", type->name, type->kind, o->kind);
    for (int i = 0; i < token_fields.count; i++) {
        const field *f = &token_fields.rows[i];
        if (f->flag && settings_get(o->settings, f->flag) && !name_is_one_of(f->key, type->keys))
            return fail(err, PCV_USAGE, "--%s: tokenizer '%s' has no such setting", f->flag, type->name);
    }
    return 0;
}

/* What is validated or tested on was named, so INPUT is dealt no part of it, unless percentages were given. */
static void deal_the_rest(job *j) {
    const pcv_prepare_options *o = j->options;
    int *percent = j->dealer.percent;
    for (int s = SPLIT_VALIDATION; s <= SPLIT_TEST && !o->split_percent; s++) {
        if (!o->splits[s]) continue;
        percent[SPLIT_TRAIN] += percent[s];
        percent[s] = 0;
    }
}

static int read_task(const job *j, pcv_error *err) {
    const char *task = j->options->task;
    if (!task || !strcmp(task, "next")) return 0;
    if (strcmp(task, "mask")) return fail(err, PCV_USAGE, "--task: '%.40s' is not one of next|mask", task);
    if (!job_is_text(j)) return fail(err, PCV_USAGE, "--task mask: for text alone, not for %s", j->options->kind);
    if (j->options->labels)
        return fail(err, PCV_USAGE, "--task mask: what is hidden is what is to be found; leave --labels out");
    return 0;
}

static int read_options(job *j, pcv_error *err) {
    const pcv_prepare_options *o = j->options;
    int status = 0;
    TRY(deal_shares(j->dealer.percent, o->split_percent, err));
    deal_the_rest(j);
    TRY(document_rule_parse(&j->documents, o->documents, err));
    TRY(open_tokenizer(j, err));
    if (j->documents.kind && !job_is_text(j))
        return fail(err, PCV_USAGE, "--documents: for text alone, not for %s", o->kind);
    TRY(labels_open(&j->labels, o->labels, err));
    if (o->labels && j->documents.kind)
        return fail(err, PCV_USAGE, "--labels: each file has one, so --documents is files");
    TRY(read_task(j, err));
    TRY(path_trim(j->output, o->output, err));
    if (path_exists(j->output))
        return fail(err, PCV_CANTCREATE, "%s: exists already; remove it or choose another name", j->output);
out:
    return status;
}

/* ------------------------------------------------------------------ the folder */

static json_t *class_names(const labels *l) {
    json_t *list = json_array();
    for (int64_t i = 0; i < l->count && list; i++)
        if (json_array_append_new(list, json_string(l->name[i]))) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

static int write_about(const job *j, pcv_error *err) {
    char path[PATH_SIZE], meaning[HASH_TEXT], digest[HASH_TEXT];
    json_t *splits = json_object(), *about = NULL;
    int status = 0;
    TRY(tokenizer_meaning(&j->tokens, meaning, err));
    folder_digest(j->out, meaning, digest);
    for (int s = 0; s < SPLITS; s++) {
        json_t *split = json_pack("{s:I, s:I, s:I}", "documents", (json_int_t)j->out[s].documents, "tokens",
                                  (json_int_t)j->out[s].count, "bytes", (json_int_t)j->report->bytes[s]);
        if (json_object_set_new(splits, split_names[s], split)) status = PCV_MEMORY;
    }
    about = json_pack("{s:s, s:i, s:s, s:s, s:I, s:s, s:s, s:O, s:O, s:O}", "format", "perceiver.c dataset",
                      "version", 1, "kind", j->options->kind, "tokenizer", j->tokens.type->name, "vocab_size",
                      (json_int_t)j->tokens.vocab, "meaning", meaning, "digest", digest, "splits", splits, "files",
                      j->used, "skipped", j->skipped.list);
    if (about && j->labels.count) status = json_object_set_new(about, "labels", class_names(&j->labels));
    if (about && j->options->task && !status)
        status = json_object_set_new(about, "task", json_string(j->options->task));
    if (!about || status) {
        status = fail(err, PCV_MEMORY, "not enough memory to write dataset.json");
        goto out;
    }
    TRY(tokenizer_save(&j->tokens, j->folder, err));
    TRY(path_join(path, j->folder, DATASET_ABOUT, err));
    TRY(json_write(about, path, err));
out:
    json_decref(splits);
    json_decref(about);
    return status;
}

/* A split that was given must not come out empty; one that was dealt nothing is said. */
static int check_splits(const job *j, pcv_error *err) {
    static const char *const what[SPLITS] = {"to train on", "to validate on", "to test on"};
    char sum[512];
    bool are_dealt = false;
    skipped_sum(&j->skipped, sum, sizeof sum);
    for (size_t i = 0; i < j->inputs.count; i++) are_dealt |= !j->inputs.v[i].is_given;
    for (int s = 0; s < SPLITS; s++) {
        if (j->out[s].documents) continue;
        bool is_asked = j->inputs.given[s] || s == SPLIT_TRAIN;
        if (is_asked && !j->inputs.given[s] && !are_dealt && !sum[0] && !j->skipped.left_out)
            return fail(err, PCV_USAGE, "no files to train on; give INPUT or --train");
        if (is_asked)
            return fail(err, PCV_DATA, "nothing %s: none of the files %s could be used%s%s%s",
                        s == SPLIT_TRAIN ? "to learn from" : what[s], what[s], sum[0] ? "; skipped: " : "", sum,
                        j->skipped.left_out ? "; --include and --exclude left out others" : "");
        if (are_dealt && j->dealer.percent[s])
            job_say(j, "the %s split is empty: nothing was left for it", split_names[s]);
    }
    return 0;
}

static void tell_repeats(const job *j) {
    if (!j->following && !j->elsewhere) return;
    int64_t all = j->following + j->elsewhere;
    job_say(j, "%" PRId64 " document%s the same as one before: with it in one split, or left out (%" PRId64 ")", all,
            all == 1 ? " is" : "s are", j->elsewhere);
}

static void tell_folders(const job *j) {
    int64_t documents = 0, files = (int64_t)json_array_size(j->used);
    for (int s = 0; s < SPLITS; s++) documents += j->out[s].documents;
    if (j->documents.kind == DOCUMENTS_FOLDERS)
        job_say(j, "%" PRId64 " file%s of %" PRId64 " document%s", files, plural(files), documents, plural(documents));
}

static int fill_folder(job *j, pcv_error *err) {
    char copy[PATH_SIZE];
    int status = 0;
    TRY(inputs_collect(&j->inputs, j->options, j->folder, &j->skipped, err));
    TRY(labels_assign(&j->labels, &j->inputs, &j->skipped, j->watch, err));
    TRY(inputs_shuffle(&j->inputs, j->options->seed, err));
    for (size_t i = 0; i < j->inputs.count; i++) j->total += (double)j->inputs.v[i].size;
    bool labelled = j->labels.count > 0;
    for (int s = 0; s < SPLITS; s++)
        TRY(split_create(&j->out[s], j->folder, (split_name)s, j->tokens.vocab, labelled, err));
    TRY(encode_inputs(j, err));
    tell_repeats(j);
    tell_folders(j);
    TRY(check_splits(j, err));
    for (int s = 0; s < SPLITS; s++) {
        TRY(split_commit(&j->out[s], err));
        j->report->documents[s] = j->out[s].documents;
        j->report->tokens[s] = j->out[s].count;
    }
    TRY(path_join(copy, j->folder, INPUT_COPY, err));
    TRY(path_remove(copy, err));
    TRY(write_about(j, err));
    skipped_tell(&j->skipped);
out:
    j->report->skipped = skipped_files(&j->skipped);
    for (int s = 0; s < SPLITS; s++) split_abandon(&j->out[s]);
    return status;
}

static const char *const dataset_files[] = {DATASET_ABOUT, "*.tokens", "*.index", "*.labels", RUN_TOKENIZER,
                                            RUN_PIECES, RUN_CODEC, INPUT_COPY, LESSON_FILE, NULL};

static int run(job *j, pcv_error *err) {
    folder_writer w = {.fd = -1};
    char parent[PATH_SIZE];
    int status = 0;
    TRY(read_options(j, err));
    TRY(mem_get(&j->bytes, ENCODE_BYTES, "a read buffer", err));
    TRY(mem_get(&j->ids, tokenizer_most(ENCODE_BYTES) * sizeof *j->ids, "a token buffer", err));
    path_parent(parent, j->output);
    if (folder_make(parent, err)) return fail_context(err, "%s", j->output);
    TRY(folder_create(&w, j->output, dataset_files, err));
    memcpy(j->folder, w.temporary, sizeof j->folder);
    TRY(fill_folder(j, err));
    TRY(folder_commit(&w, err));
out:
    folder_abandon(&w);
    return status;
}

int prepare_run(const pcv_prepare_options *options, const pcv_watch *watch,
                pcv_prepare_report *report, pcv_error *err) {
    pcv_prepare_report unused;
    job *j = NULL;
    if (!report) report = &unused;
    *report = (pcv_prepare_report){0};
    int status = mem_get(&j, sizeof *j, "preparing", err);
    if (status) return status;
    j->options = options;
    j->watch = j->skipped.watch = watch;
    j->report = report;
    j->start = clock_now();
    for (int s = 0; s < SPLITS; s++) j->out[s].tokens.file.fd = j->out[s].index.file.fd = j->out[s].labels.file.fd = -1;
    j->used = json_array();
    j->skipped.list = json_array();
    status = run(j, err);
    inputs_free(&j->inputs);
    labels_free(&j->labels);
    content_set_free(&j->seen);
    repeats_forget(&j->again);
    json_decref(j->used);
    json_decref(j->skipped.list);
    tokenizer_close(&j->tokens);
    mem_free(j->bytes);
    mem_free(j->ids);
    mem_free(j);
    return status;
}
