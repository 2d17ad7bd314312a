/* Files made through the public header: a file_writer, which remembers why a write failed. */
#include "base/file.h"
#include "base/mem.h"

struct pcv_output {
    file_writer file;
    pcv_error failure;
};

int pcv_output_check(const char *path, pcv_error *err) { return file_check(path, err); }

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
