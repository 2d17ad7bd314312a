#include "model/manifest.h"
#include "base/fields.h"
#include "base/text.h"
#include "config/run_files.h"

#include <inttypes.h>
#include <string.h>

int manifest_hash(const json_t *manifest, char hash[HASH_TEXT], pcv_error *err) {
    json_t *rest = json_copy((json_t *)(uintptr_t)manifest);
    if (rest) json_object_del(rest, MANIFEST_HASH);
    text content = {0};
    if (rest) json_print(&content, rest, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    bool made = text_ok(&content);
    if (made) hash_bytes(content.data, content.size, hash);
    json_decref(rest);
    text_free(&content);
    return made ? 0 : fail(err, PCV_MEMORY, "not enough memory for a manifest");
}

int manifest_read(json_t **manifest, const char *folder, const char *run_id, pcv_error *err) {
    char path[PATH_SIZE], hash[HASH_TEXT];
    const char *format, *run, *expected;
    int64_t version;
    int status = 0;
    *manifest = NULL;
    TRY(path_join(path, folder, RUN_MANIFEST, err));
    TRY(json_read(manifest, path, MANIFEST_LIMIT, err));
    TRY(json_get_string(*manifest, "format", &format, path, err));
    TRY(json_get_int(*manifest, "version", 1, 1, &version, path, err));
    TRY(json_get_string(*manifest, "run", &run, path, err));
    TRY(json_get_string(*manifest, MANIFEST_HASH, &expected, path, err));
    TRY(manifest_hash(*manifest, hash, err));
    if (strcmp(format, MANIFEST_FORMAT)) status = fail(err, PCV_DATA, "%s: not a checkpoint's manifest", path);
    else if (strcmp(run, run_id)) status = fail(err, PCV_DATA, "%s: belongs to another run", path);
    else if (strcmp(hash, expected)) status = fail(err, PCV_DATA, "%s: it has been changed", path);
out:
    return status;
}

int manifest_check_file(const json_t *manifest, const char *folder, const char *name, pcv_error *err) {
    char path[PATH_SIZE], hash[HASH_TEXT];
    const json_t *entry = json_object_get(json_object_get(manifest, "files"), name);
    const char *expected;
    int64_t bytes;
    uint64_t size;
    int status = 0;
    TRY(path_join(path, folder, name, err));
    TRY(json_get_int(entry, "bytes", 0, INT64_MAX, &bytes, path, err));
    TRY(json_get_string(entry, "xxh3_128", &expected, path, err));
    TRY(hash_file(path, hash, &size, err));
    if (size != (uint64_t)bytes)
        status = fail(err, PCV_DATA, "%s: %" PRIu64 " byte%s, its manifest says %" PRId64, path, size,
                      plural((int64_t)size), bytes);
    else if (strcmp(hash, expected))
        status = fail(err, PCV_DATA, "%s: its contents are not those that its manifest names", path);
out:
    return status;
}
