/* Any bytes as a config.json; one that is accepted is written and read again, as the same. */
#include "fuzz.h"
#include "model/config_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    model_config model, again;
    train_config train, again_train;
    char path[PATH_SIZE];
    json_t *extra = NULL;
    pcv_error err;
    if (config_read(fuzz_file("config.json", data, size), &model, &train, &extra, &err)) return json_decref(extra), 0;
    if (path_join(path, fuzz_folder(), "written.json", &err) || config_write(path, &model, &train, extra, &err) ||
        config_read(path, &again, &again_train, NULL, &err))
        abort();
    if (memcmp(&model, &again, sizeof model) || memcmp(&train, &again_train, sizeof train)) abort();
    json_decref(extra);
    return 0;
}
