/* For tests of passes: one backend for all of a program's tests, and small models over it. */
#ifndef TESTS_SMALL_MODEL_H
#define TESTS_SMALL_MODEL_H

#include "device.h"
#include "config/settings.h"
#include "model/model.h"

static backend *be;

static int open_backend(void **state) {
    (void)state;
    be = test_backend(&(backend_options){.threads = 3});
    return 0;
}

static int close_backend(void **state) {
    (void)state;
    be->close(be);
    return 0;
}

/* The default dialect without index heads and near window, with some settings (settings_apply_list) and then others;
 * with gradients and initial weights. */
static model *small_model(const char *usual, const char *changes) {
    model_config c;
    model *m = NULL;
    must(settings_model(NULL, &c, &err));
    must(settings_apply_list("near=0 index.orders=none", &model_fields, "", &c, &err));
    must(settings_apply_list(usual, &model_fields, "", &c, &err));
    if (*changes) must(settings_apply_list(changes, &model_fields, "", &c, &err));
    must(model_open(&m, &c, be, true, &err));
    must(model_init(m, 3, &err));
    return m;
}

#endif
