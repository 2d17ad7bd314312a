#include "check.h"
#include "krasserm.h"

#define WITHOUT "positions.kind=none positions.rotary.fraction=1 output_norm=true output_bias=false "

const krasserm_case krasserm_cases[3] = {
    {"A", "", {-0.00333941, -0.02323579, -0.04000209, -0.05137688, -0.05582548},
     {0.02810103, -0.00067056, -0.02925593, -0.05385173, -0.07119847}, 2.5756718981,
     {0.03472235, 0.00782692, -0.01999087, -0.04502781, -0.06396686},
     {0.01444366, -0.01111487, -0.03512462, -0.05437916, -0.06631584}},
    {"B", WITHOUT, {-0.07831460, -0.00911592, 0.06127202, 0.12366640, 0.16992726},
     {0.05398939, 0.09361038, 0.12101895, 0.13263939, 0.12695568}, 2.6608216218,
     {0.05195063, 0.09426226, 0.12427643, 0.13807749, 0.13386495},
     {-0.12298314, -0.06745624, -0.00312900, 0.06160645, 0.11830471}},
    {"C", WITHOUT "positions.rotary.layers=-1 ", {-0.07831460, -0.00911592, 0.06127202, 0.12366640, 0.16992726},
     {0.05402930, 0.09374829, 0.12123687, 0.13290888, 0.12724159}, 2.6608733540,
     {0.05197011, 0.09438726, 0.12449064, 0.13835297, 0.13416577},
     {-0.12301675, -0.06747578, -0.00313192, 0.06162053, 0.11833396}},
};

/* Parts of a block in the order of krasserm's state_dict; %s is the block's name. */
static const char *const cross_parts[] = {
    "%s.query_norm.weight", "%s.query_norm.bias", "%s.input_norm.weight", "%s.input_norm.bias",
    "%s.attention.query.weight", "%s.attention.key.weight", "%s.attention.value.weight",
    "%s.attention.output.weight", "%s.attention.output.bias", "%s.mlp_norm.weight",
    "%s.mlp_norm.bias", "%s.mlp.up.weight", "%s.mlp.down.weight", NULL};
static const char *const self_parts[] = {
    "%s.norm.weight", "%s.norm.bias", "%s.attention.query.weight", "%s.attention.key.weight",
    "%s.attention.value.weight", "%s.attention.output.weight", "%s.mlp_norm.weight",
    "%s.mlp_norm.bias", "%s.mlp.up.weight", "%s.mlp.down.weight", NULL};
static const char *const ends[][2] = {{"token_embedding.weight", "position_embedding.0.weight"},
                                      {"output_norm.weight", "output_norm.bias"}};

/* Fills tensor `name` as number *t of the walk; tensors that the model lacks are not counted. */
static void fill_tensor(model *m, const char *name, int *t) {
    int i = parameters_find(&m->params, name);
    if (i < 0) return;
    parameter_slice s = parameters_slice(&m->params, i);
    const char *end = name + strlen(name);
    bool scale = s.rows == 1 && !strcmp(end - 6, "weight");
    float *values = malloc((size_t)(s.rows * s.cols) * sizeof *values);
    for (int64_t k = 0; k < s.rows * s.cols; k++)
        values[k] = (float)(0.05 * sin(0.37 * (double)(k + 1) + 1.3 * (*t + 1)) + scale);
    matrix to = matrix_columns(m->params.values, (int64_t)s.offset, s.rows * s.cols);
    backend_write_floats(m->be, &to, values);
    free(values);
    ++*t;
}

static void fill_block(model *m, const char *block, const char *const *parts, int *t) {
    for (; *parts; parts++) {
        char name[256], *at = name;
        at += snprintf(name, sizeof name, "%s", block);
        snprintf(at, sizeof name - (size_t)(at - name), "%s", *parts + 2);
        fill_tensor(m, name, t);
    }
}

model *krasserm_model(backend *be, const krasserm_case *k) {
    static const char base[] = "vocab_size=13 context=12 latents=6 channels=16 heads=4 layers=2 ";
    model_config c;
    pcv_settings *s;
    model *m = NULL;
    int t = 0;
    must(pcv_settings_open(&s, &err));
    must(pcv_settings_set(s, "dialect", "krasserm", &err));
    must(settings_model(s, &c, &err));
    must(settings_apply_list(base, &model_fields, "", &c, &err));
    must(settings_apply_list(k->changes, &model_fields, "", &c, &err));
    must(model_open(&m, &c, be, false, &err));
    for (int i = 0; i < 2; i++) fill_tensor(m, ends[0][i], &t);
    fill_block(m, "cross", cross_parts, &t);
    fill_block(m, "layers.0", self_parts, &t);
    fill_block(m, "layers.1", self_parts, &t);
    for (int i = 0; i < 2; i++) fill_tensor(m, ends[1][i], &t);
    fill_tensor(m, "output.bias", &t);
    assert_int_equal(t, 36);
    parameters_round(&m->params);
    pcv_settings_close(s);
    return m;
}
