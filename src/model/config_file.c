#include "model/config_file.h"

int config_read(const char *path, model_config *model, train_config *train, json_t **extra, pcv_error *err) {
    int status = settings_take_file(path, model, train, extra, err);
    if (!status && model_config_check(model, err)) status = fail_context(err, "%s", path);
    return status;
}

int config_write(const char *path, const model_config *model, const train_config *train, const json_t *extra,
                 pcv_error *err) {
    int status = 0;
    json_t *out = json_object(), *training = json_object();
    bool kept = !extra || !json_object_update(out, (json_t *)(uintptr_t)extra);
    if (!out || !training || !kept) status = fail(err, PCV_MEMORY, "not enough memory to write %s", path);
    if (!status) status = fields_write(model_settings(model), model, out, err);
    if (!status) status = fields_write(&train_fields, train, training, err);
    if (!status && json_object_set(out, "training", training))
        status = fail(err, PCV_MEMORY, "not enough memory to write %s", path);
    if (!status) status = json_write(out, path, err);
    json_decref(training);
    json_decref(out);
    return status;
}
