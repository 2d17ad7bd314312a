#include "data/skipped.h"
#include "base/file.h"
#include "base/text.h"
#include "base/watch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TOLD = 3, LINE = 1024 + PATH_SIZE }; /* files of a kind that are told one by one */

static const char *const kinds[SKIP_REASONS] = {
    [SKIP_UNREADABLE] = "unreadable",
    [SKIP_UNFIT] = "not of this kind, or damaged",
    [SKIP_BINARY] = "binary ('prepare bytes' takes them)",
    [SKIP_EMPTY] = "empty or blank",
    [SKIP_COPY] = "the same as another",
    [SKIP_CHANGED] = "changed meanwhile",
    [SKIP_CHECKSUMS] = "checksums",
    [SKIP_BESIDE] = "beside the named splits",
    [SKIP_LINK] = "behind links to folders",
    [SKIP_UNLABELLED] = "without a label",
};

int skipped_add(skipped *s, skip_reason why, const char *path, pcv_error *err, const char *format, ...) {
    char whole[LINE], line[LINE];
    static const char begin[] = "skipped ";
    const char *reason = line + sizeof begin - 1;
    va_list args;
    memcpy(whole, begin, sizeof begin);
    va_start(args, format);
    vsnprintf(whole + sizeof begin - 1, sizeof whole - sizeof begin, format, args);
    va_end(args);
    text_line(line, sizeof line, whole);
    int64_t before = s->count[why]++;
    if (before < TOLD) watch_say(s->watch, "%s", line);
    if (before == TOLD)
        watch_say(s->watch, "further files of this kind are counted, and listed in dataset.json: %s", kinds[why]);
    json_t *entry = json_pack("{s:s%, s:s}", "path", path, strlen(path), "reason", reason);
    if (!entry) entry = json_pack("{s:s, s:s}", "kind", kinds[why], "reason", "a file whose name is not UTF-8");
    if (json_array_append_new(s->list, entry)) return fail(err, PCV_MEMORY, "not enough memory");
    return 0;
}

int64_t skipped_files(const skipped *s) {
    int64_t sum = 0;
    for (int i = 0; i < SKIP_REASONS; i++) sum += s->count[i];
    return sum;
}

void skipped_sum(const skipped *s, char *out, size_t size) {
    size_t used = 0;
    *out = 0;
    for (int i = 0; i < SKIP_REASONS && used < size; i++)
        if (s->count[i])
            used += (size_t)snprintf(out + used, size - used, "%s%" PRId64 " %s", used ? ", " : "", s->count[i],
                                     kinds[i]);
}

void skipped_tell(const skipped *s) {
    char sum[512];
    int64_t files = skipped_files(s);
    skipped_sum(s, sum, sizeof sum);
    if (files) watch_say(s->watch, "skipped %" PRId64 " file%s: %s", files, plural(files), sum);
    if (s->left_out)
        watch_say(s->watch, "--include and --exclude left out %" PRId64 " %s", s->left_out,
                  s->left_out == 1 ? "file or folder" : "files and folders");
}
