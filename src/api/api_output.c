/* Files made through the public header: a file_writer, which remembers why a write failed. */
#include "base/file.h"
#include "base/mem.h"

#include <string.h>

struct pcv_output {
    file_writer file;
    pcv_error failure;
};

int pcv_output_check(const char *path, pcv_error *err) { return file_check(path, err); }

int pcv_text_check(const char *path, pcv_error *err) {
    static const char *const others[] = {".png", ".jpg", ".jpeg", ".gif",  ".bmp", ".webp", ".svg",         ".pdf",
                                         ".mid", ".wav", ".flac", ".midi", ".ogg", ".opus", ".mp3",         ".aac",
                                         ".npy", ".npz", ".zip",  ".gz",   ".xz",  ".pt",   ".safetensors", NULL};
    const char *name = path_name(path), *ending = strrchr(name, '.');
    int which;
    bool is_other = ending && ending != name && ending[1] && !path_format(path, others, &which, NULL);
    if (is_other) return fail(err, PCV_USAGE, "%s: text is generated, which is no '%s' file", path, ending);
    return file_check(path, err);
}

int pcv_logits_check(const char *path, pcv_error *err) {
    static const char *const formats[] = {".safetensors", NULL};
    int which, status = path_format(path, formats, &which, err);
    return status ? status : file_check(path, err);
}

int pcv_output_open(pcv_output **out, const char *path, pcv_error *err) {
    int status = mem_get(out, sizeof **out, "an output", err);
    if (status) return status;
    status = file_create(&(*out)->file, path, err);
    if (!status) return 0;
    mem_free(*out);
    *out = NULL;
    return status;
}

int pcv_output_write(void *output, const char *bytes, size_t size) {
    pcv_output *o = output;
    if (!o->failure.code) file_append(&o->file, bytes, size, &o->failure);
    return o->failure.code;
}

int pcv_output_commit(pcv_output *o, pcv_error *err) {
    if (!o->failure.code) return file_commit(&o->file, err);
    if (err) *err = o->failure;
    return o->failure.code;
}

void pcv_output_close(pcv_output *o) {
    if (!o) return;
    file_abandon(&o->file);
    mem_free(o);
}
