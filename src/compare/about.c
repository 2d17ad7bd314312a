#include "compare/about.h"
#include "base/fields.h"
#include "base/file.h"
#include "base/watch.h"

#include <stdio.h>
#include <string.h>

#define ABOUT "comparison.json"
static const char FORMAT[] = "perceiver.c comparison";
enum { ABOUT_LIMIT = 1 << 20 };

int about_write(const comparison *c, pcv_error *err) {
    char path[PATH_SIZE];
    model_config *m = NULL;
    json_t *about = NULL, *model = json_object();
    int status = 0;
    TRY(path_join(path, c->options->output, ABOUT, err));
    TRY(mem_get(&m, sizeof *m, "a comparison", err));
    TRY(settings_model(c->settings, m, err));
    TRY(fields_write(&model_fields, m, model, err));
    about = json_pack("{s:s, s:s%, s:s, s:O}", "format", FORMAT, "dataset", c->data->place, strlen(c->data->place),
                      "digest", c->data->digest, "model", model);
    if (!about) about = json_pack("{s:s, s:s, s:O}", "format", FORMAT, "digest", c->data->digest, "model", model);
    if (!about) status = fail(err, PCV_MEMORY, "not enough memory to write %s", path);
    if (!status) status = json_write(about, path, err);
out:
    json_decref(model);
    json_decref(about);
    mem_free(m);
    return status;
}

static int check_model(const comparison *c, const json_t *about, const char *path, pcv_error *err) {
    model_config *own = NULL, *given = NULL;
    int status = 0;
    TRY(mem_get(&own, sizeof *own, "a comparison", err));
    TRY(mem_get(&given, sizeof *given, "a comparison", err));
    TRY(settings_model(c->settings, given, err));
    fields_default(&model_fields, own);
    TRY(fields_read(&model_fields, own, json_object_get(about, "model"), NULL, path, err));
    for (int i = 0; i < model_fields.count && !status; i++) {
        const field *f = &model_fields.rows[i];
        char source[512], now[FIELD_TEXT], before[FIELD_TEXT];
        if (field_same(f, given, own)) continue;
        field_print(f, given, now, sizeof now);
        field_print(f, own, before, sizeof before);
        settings_source(c->settings, &model_fields, f, source, sizeof source);
        status = fail(err, PCV_CONFIG, "%s: %s would be %s, but the comparison was begun with %s", source, f->key, now,
                      before);
    }
out:
    mem_free(own);
    mem_free(given);
    return status;
}

int about_check(const comparison *c, pcv_error *err) {
    char path[PATH_SIZE];
    json_t *about = NULL;
    bool assumed;
    int status = path_join(path, c->options->output, ABOUT, err);
    if (status) return status;
    if (!path_exists(path)) {
        watch_say(c->watch, "%s is taken for the data that the comparison was begun with: an older version did not "
                  "record them", c->data->place);
        return 0;
    }
    TRY(json_read(&about, path, ABOUT_LIMIT, err));
    const char *place = json_string_value(json_object_get(about, "dataset"));
    if (!dataset_is(c->data, json_string_value(json_object_get(about, "digest")), place ? place : "", &assumed)) {
        status = fail(err, PCV_DATA, "%s: not the data that the comparison was begun with (%s); results of other data "
                      "need another -o", c->data->name, place ? place : "?");
        goto out;
    }
    TRY(check_model(c, about, path, err));
out:
    json_decref(about);
    return status;
}
