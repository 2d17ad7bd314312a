/* Files to a data set folder. The folder is built under a temporary name and renamed at the end, so an
 * interruption leaves nothing behind under the final name. */
#include "base/clock.h"
#include "base/fields.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/temporary.h"
#include "config/settings.h"
#include "data/folder.h"

#include <errno.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PIECE = 1 << 20, CUT_SEARCH = 4096 };

/* One input file, or a part of one when there are too few files to split by file. */
typedef struct source {
    const char *path;
    int split;
    uint64_t from, to; /* bytes, of files that are read whole: percent of the tokens; to UINT64_MAX: the end */
} source;

typedef struct job {
    const pcv_prepare_options *options;
    const pcv_watch *watch;
    pcv_prepare_report *report;
    tokenizer tokens;
    int percent[SPLITS];
    file_list files[SPLITS + 1]; /* per given split, and those to be split */
    source *sources;
    size_t count;
    split_writer out[SPLITS];
    json_t *used, *skipped;
    char output[PATH_SIZE], folder[PATH_SIZE]; /* final and temporary name */
    char *bytes;
    int32_t *ids;
    double start;
} job;

static void say(const job *j, const char *line) {
    if (j->watch && j->watch->message) j->watch->message(j->watch->context, line);
}

/* ------------------------------------------------------------------ who goes where */

static int parse_percent(job *j, pcv_error *err) {
    const char *text = j->options->split_percent ? j->options->split_percent : "90,5,5";
    int64_t part[SPLITS];
    int count = 0, status = pcv_read_wholes("--split", text, ',', 0, 100, part, SPLITS, &count, err);
    if (status) return status;
    for (int i = 0; i < count; i++) j->percent[i] = (int)part[i];
    if (count == SPLITS && part[0] > 0 && part[0] + part[1] + part[2] == 100) return 0;
    return fail(err, PCV_USAGE, "--split '%.40s': expected three percentages that make 100, like 90,5,5", text);
}

static int collect(job *j, pcv_error *err) {
    for (int s = 0; s <= SPLITS; s++) {
        const char *const *paths = s < SPLITS ? j->options->splits[s] : j->options->inputs;
        for (; paths && *paths; paths++) {
            int status = file_list_add(&j->files[s], *paths, err);
            if (status) return status;
        }
        j->count += j->files[s].count;
    }
    if (j->count == 0) return fail(err, PCV_NOINPUT, "no input files");
    return mem_get(&j->sources, SPLITS * j->count * sizeof *j->sources, "the file list", err);
}

static bool reads_whole(const job *j) { return j->tokens.type->read != NULL; }

/* Too few files to split by file: each is cut into a train, a validation and a test part. The cuts are
 * moved behind the next line end where one is near. */
static int cut_file(job *j, const char *path, source *out, pcv_error *err) {
    file_map map;
    uint64_t at = 0;
    int sum = 0;
    for (int s = 0; s < SPLITS && reads_whole(j); s++) {
        out[s] = (source){path, s, (uint64_t)sum, (uint64_t)(sum + j->percent[s])};
        sum += j->percent[s];
    }
    if (reads_whole(j)) return 0;
    int status = file_map_open(&map, path, err);
    if (status) return status;
    for (int s = 0; s < SPLITS; s++) {
        sum += j->percent[s];
        uint64_t to = (uint64_t)((double)map.size * sum / 100);
        for (uint64_t k = to; k < map.size && k < to + CUT_SEARCH && s < SPLITS - 1; k++)
            if (((const char *)map.data)[k] == '\n') {
                to = k + 1;
                break;
            }
        out[s] = (source){path, s, at, s == SPLITS - 1 ? UINT64_MAX : to};
        at = to;
    }
    file_map_close(&map);
    return 0;
}

static void shuffle(char **list, size_t count, uint64_t seed) {
    rng r = rng_make(seed, RNG_SPLIT, 0);
    for (size_t i = count; i > 1; i--) {
        size_t k = (size_t)rng_below(&r, i);
        char *swap = list[i - 1];
        list[i - 1] = list[k];
        list[k] = swap;
    }
}

/* Files by a seeded shuffle: the first percent[0] train, and so on; with at least one file in every
 * split that was asked for. */
static void split_files_by_name(job *j, size_t *at) {
    file_list *f = &j->files[SPLITS];
    shuffle(f->paths, f->count, j->options->seed);
    size_t count[SPLITS], given = 0;
    for (int s = 1; s < SPLITS; s++) {
        count[s] = (f->count * (size_t)j->percent[s] + 50) / 100;
        if (!count[s] && j->percent[s]) count[s] = 1;
        given += count[s];
    }
    for (; given >= f->count; given--) count[count[1] > count[2] ? 1 : 2]--; /* one is left to train on */
    count[0] = f->count - given;
    size_t k = 0;
    for (int s = 0; s < SPLITS; s++)
        for (size_t i = 0; i < count[s]; i++)
            j->sources[(*at)++] = (source){f->paths[k++], s, 0, UINT64_MAX};
}

static int by_split_and_path(const void *a, const void *b) {
    const source *x = a, *y = b;
    if (x->split != y->split) return x->split - y->split;
    int order = strcmp(x->path, y->path);
    return order ? order : x->from > y->from;
}

static int assign(job *j, pcv_error *err) {
    size_t at = 0;
    for (int s = 0; s < SPLITS; s++)
        for (size_t i = 0; i < j->files[s].count; i++)
            j->sources[at++] = (source){j->files[s].paths[i], s, 0, UINT64_MAX};
    file_list *rest = &j->files[SPLITS];
    if (rest->count && rest->count < SPLITS && j->tokens.length)
        return fail(err, PCV_USAGE, "%zu files are too few to split; give three, or --train, --validation and --test",
                    rest->count);
    if (rest->count >= SPLITS) split_files_by_name(j, &at);
    else
        for (size_t i = 0; i < rest->count; i++, at += SPLITS) {
            pcv_error reason;
            if (!cut_file(j, rest->paths[i], j->sources + at, &reason)) continue;
            j->sources[at] = (source){rest->paths[i], 0, 0, UINT64_MAX}; /* will be reported */
            at -= SPLITS - 1;
        }
    j->count = at;
    qsort(j->sources, j->count, sizeof *j->sources, by_split_and_path);
    if (rest->count && rest->count < SPLITS)
        say(j, "fewer than three files: each is cut into train, validation and test parts");
    if (j->options->splits[0] || rest->count) return 0;
    return fail(err, PCV_USAGE, "no files to train on; give INPUT or --train");
}

/* ------------------------------------------------------------------ encoding */

static int skip(job *j, const source *s, const char *reason, pcv_error *err) {
    char line[1024 + PATH_SIZE];
    snprintf(line, sizeof line, "skipped %s", reason);
    say(j, line);
    j->report->skipped++;
    json_t *entry = json_pack("{s:s%, s:s}", "path", s->path, strlen(s->path), "reason", reason);
    if (!entry) entry = json_pack("{s:s}", "reason", "a file whose name is not UTF-8");
    if (json_array_append_new(j->skipped, entry)) return fail(err, PCV_MEMORY, "not enough memory");
    return 0;
}

static int record(job *j, const source *s, uint64_t bytes, pcv_error *err) {
    char hash[HASH_TEXT];
    uint64_t size;
    int status = hash_file(s->path, hash, &size, err);
    if (status) return status;
    json_t *entry = json_pack("{s:s, s:s, s:I, s:s}", "path", s->path, "split", split_names[s->split],
                              "bytes", (json_int_t)bytes, "xxh3_128", hash);
    if (!entry) /* a name that is not UTF-8 */
        entry = json_pack("{s:s, s:I, s:s}", "split", split_names[s->split], "bytes", (json_int_t)bytes,
                          "xxh3_128", hash);
    if (json_array_append_new(j->used, entry)) return fail(err, PCV_MEMORY, "not enough memory");
    return 0;
}

static int begin_document(job *j, const source *s, pcv_error *err) {
    return split_append(&j->out[s->split], &j->tokens.start, 1, err);
}

static int end_document(job *j, const source *s, uint64_t bytes, pcv_error *err) {
    split_writer *out = &j->out[s->split];
    int status = 0;
    if (j->tokens.end >= 0) TRY(split_append(out, &j->tokens.end, 1, err));
    TRY(split_end_document(out, err));
    TRY(record(j, s, bytes, err));
    j->report->files[s->split]++;
    j->report->bytes[s->split] += (int64_t)bytes;
out:
    return status;
}

/* Encodes one source as a document. A read error before the first byte skips the file; one in the
 * middle fails, for a half document would be wrong. */
static int encode_text(job *j, const source *s, pcv_error *err) {
    file_reader r;
    pcv_error reason = {0};
    int status = 0;
    split_writer *out = &j->out[s->split];
    uint64_t at = 0, taken = 0;
    size_t got;
    if (file_open(&r, s->path, &reason)) return skip(j, s, reason.message, err);
    if (file_next(&r, j->bytes, PIECE, &got, &reason)) {
        file_close(&r);
        return skip(j, s, reason.message, err);
    }
    TRY(begin_document(j, s, err));
    while (got) {
        uint64_t from = s->from > at ? s->from - at : 0, to = s->to - at < got ? s->to - at : got;
        if (s->to <= at) break;
        if (from < to) {
            size_t n = j->tokens.type->encode(&j->tokens, j->bytes + from, (size_t)(to - from), j->ids);
            taken += to - from;
            TRY(split_append(out, j->ids, n, err));
        }
        at += got;
        TRY(file_next(&r, j->bytes, PIECE, &got, err));
    }
    TRY(end_document(j, s, taken, err));
out:
    file_close(&r);
    return status;
}

/* A file that is read whole, while several are. */
typedef struct reading {
    id_list ids;
    pcv_error reason;
    int status;
} reading;

/* Where a file's tokens are cut at so many percent: between whole groups, where they form some. */
static size_t cut_at(const job *j, size_t count, uint64_t percent) {
    size_t group = j->tokens.period ? (size_t)j->tokens.period : 1;
    return percent >= 100 ? count : count * percent / 100 / group * group;
}

static void warn(job *j, const char *message) {
    char line[sizeof((pcv_error *)0)->message + 16];
    snprintf(line, sizeof line, "warning: %s", message);
    say(j, line);
    j->report->warned++;
}

static int write_reading(job *j, const source *s, const reading *r, pcv_error *err) {
    struct stat file;
    int status = 0;
    if (r->status == PCV_MEMORY) return fail(err, PCV_MEMORY, "%s", r->reason.message);
    if (r->status) return skip(j, s, r->reason.message, err);
    if (r->reason.message[0]) warn(j, r->reason.message);
    if (stat(s->path, &file)) return fail_errno(err, PCV_IO, "%s", s->path);
    uint64_t to = s->to > 100 ? 100 : s->to;
    size_t from = cut_at(j, r->ids.count, s->from), end = cut_at(j, r->ids.count, to);
    TRY(begin_document(j, s, err));
    TRY(split_append(&j->out[s->split], r->ids.v + from, end - from, err));
    TRY(end_document(j, s, (uint64_t)file.st_size * (to - s->from) / 100, err));
out:
    return status;
}

/* Reads the sources [from, from + count) at once and writes them in order. */
static int encode_files(job *j, size_t from, size_t count, pcv_error *err) {
    reading *list = NULL;
    int status = mem_get(&list, count * sizeof *list, "reading files", err);
    if (status) return status;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < count; i++)
        list[i].status = tokenizer_read(&j->tokens, j->sources[from + i].path, &list[i].ids, &list[i].reason);
    for (size_t i = 0; i < count && !status; i++) status = write_reading(j, &j->sources[from + i], &list[i], err);
    for (size_t i = 0; i < count; i++) id_list_free(&list[i].ids);
    mem_free(list);
    return status;
}

/* What a tokenizer learns, it learns from the files to train on. */
static int train_tokenizer(job *j, pcv_error *err) {
    const char **paths = NULL;
    size_t count = 0;
    if (!j->tokens.type->train) return 0;
    int status = mem_get(&paths, (j->count + 1) * sizeof *paths, "the file list", err);
    for (size_t i = 0; i < j->count && !status; i++)
        if (j->sources[i].split == SPLIT_TRAIN) paths[count++] = j->sources[i].path;
    if (!status) status = j->tokens.type->train(&j->tokens, paths, count, j->options->seed, j->watch, err);
    mem_free(paths);
    return status;
}

static int report_progress(const job *j, size_t done, pcv_error *err) {
    if (!j->watch || !j->watch->progress) return 0;
    double seconds = clock_now() - j->start;
    double bytes = 0;
    for (int s = 0; s < SPLITS; s++) bytes += (double)j->report->bytes[s];
    pcv_progress p = {.stage = "preparing", .done = (double)done, .total = (double)j->count,
                      .seconds = seconds, .rate = seconds > 0 ? bytes / seconds / 1e6 : 0, .unit = "MB"};
    if (j->watch->progress(j->watch->context, &p) == PCV_STOP)
        return fail(err, PCV_INTERRUPTED, "interrupted; nothing was written");
    return 0;
}

/* ------------------------------------------------------------------ the folder */

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
                      j->used, "skipped", j->skipped);
    if (!about || status) {
        status = fail(err, PCV_MEMORY, "not enough memory to write dataset.json");
        goto out;
    }
    TRY(tokenizer_save(&j->tokens, j->folder, err));
    TRY(path_join(path, j->folder, "dataset.json", err));
    TRY(json_write(about, path, err));
out:
    json_decref(splits);
    json_decref(about);
    return status;
}

static int encode_all(job *j, pcv_error *err) {
    int status = 0;
    TRY(train_tokenizer(j, err));
    for (int s = 0; s < SPLITS; s++)
        TRY(split_create(&j->out[s], j->folder, (split_name)s, j->tokens.vocab, err));
    size_t together = reads_whole(j) ? 2 * (size_t)omp_get_max_threads() : 1;
    for (size_t i = 0; i < j->count; i += together) {
        if (together > j->count - i) together = j->count - i;
        TRY(reads_whole(j) ? encode_files(j, i, together, err) : encode_text(j, &j->sources[i], err));
        TRY(report_progress(j, i + together, err));
    }
    if (j->report->files[SPLIT_TRAIN] == 0) {
        status = fail(err, PCV_DATA, "none of the files to train on could be read");
        goto out;
    }
    for (int s = 0; s < SPLITS; s++) {
        TRY(split_commit(&j->out[s], err));
        j->report->tokens[s] = j->out[s].count;
    }
    TRY(write_about(j, err));
out:
    for (int s = 0; s < SPLITS; s++) split_abandon(&j->out[s]);
    return status;
}

static bool name_in(const char *const *names, const char *name) {
    for (; names && *names; names++)
        if (!strcmp(*names, name)) return true;
    return false;
}

static int unknown_kind(const char *kind, pcv_error *err) {
    char names[256] = "bytes";
    for (int i = 0; token_types[i]; i++) {
        size_t used = strlen(names);
        if (tokenizer_of_kind(token_types[i]->kind) == token_types[i])
            snprintf(names + used, sizeof names - used, ", %s", token_types[i]->kind);
    }
    return fail(err, PCV_USAGE, "'%.40s' is not one of %s", kind, names);
}

static int open_tokenizer(job *j, pcv_error *err) {
    const pcv_prepare_options *o = j->options;
    const char *kind = strcmp(o->kind, "bytes") ? o->kind : "text"; /* these take any file */
    const token_type *type = tokenizer_of_kind(kind);
    token_config config;
    if (!type) return unknown_kind(o->kind, err);
    int status = settings_tokens(o->settings, &config, err);
    const char *name = type->name;
    if (!status && o->tokenizer) status = tokenizer_choose(o->tokenizer, &name, &config, err);
    if (!status) status = tokenizer_open(&j->tokens, name, &config, err);
    if (status) return status;
    type = j->tokens.type;
    if (strcmp(type->kind, kind))
        return fail(err, PCV_USAGE, "tokenizer '%s' is one for %s, not for %s", type->name, type->kind, o->kind);
    for (int i = 0; i < token_fields.count; i++) {
        const field *f = &token_fields.rows[i];
        if (f->flag && settings_get(o->settings, f->flag) && !name_in(type->keys, f->key))
            return fail(err, PCV_USAGE, "--%s: tokenizer '%s' has no such setting", f->flag, type->name);
    }
    return 0;
}

static const char *const dataset_files[] = {"dataset.json", "*.tokens", "*.index", "tokenizer.json",
                                            "sentencepiece.model", "codec.safetensors", NULL};

static int run(job *j, pcv_error *err) {
    const pcv_prepare_options *o = j->options;
    folder_writer w = {.fd = -1};
    char parent[PATH_SIZE];
    int status = 0;
    TRY(path_trim(j->output, o->output, err));
    if (path_exists(j->output))
        return fail(err, PCV_CANTCREATE, "%s: exists already; remove it or choose another name", j->output);
    TRY(parse_percent(j, err));
    TRY(open_tokenizer(j, err));
    TRY(collect(j, err));
    TRY(assign(j, err));
    TRY(mem_get(&j->bytes, PIECE, "a read buffer", err));
    TRY(mem_get(&j->ids, PIECE * sizeof *j->ids, "a token buffer", err));
    path_parent(parent, j->output);
    TRY(folder_make(parent, err));
    TRY(folder_create(&w, j->output, dataset_files, err));
    memcpy(j->folder, w.temporary, sizeof j->folder);
    TRY(encode_all(j, err));
    TRY(folder_commit(&w, err));
out:
    folder_abandon(&w);
    return status;
}

int pcv_prepare(const pcv_prepare_options *options, const pcv_watch *watch,
                pcv_prepare_report *report, pcv_error *err) {
    pcv_prepare_report unused;
    job *j = NULL;
    if (!report) report = &unused;
    *report = (pcv_prepare_report){0};
    int status = mem_get(&j, sizeof *j, "preparing", err);
    if (status) return status;
    *j = (job){.options = options, .watch = watch, .report = report, .start = clock_now()};
    for (int s = 0; s < SPLITS; s++) j->out[s].tokens.fd = j->out[s].index.fd = -1;
    j->used = json_array();
    j->skipped = json_array();
    status = run(j, err);
    for (int s = 0; s <= SPLITS; s++) file_list_free(&j->files[s]);
    json_decref(j->used);
    json_decref(j->skipped);
    tokenizer_close(&j->tokens);
    mem_free(j->sources);
    mem_free(j->bytes);
    mem_free(j->ids);
    mem_free(j);
    return status;
}
