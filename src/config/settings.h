/* Settings as the user gave them, and how they are resolved. The layers, weakest first:
 * built-in defaults, the dialect, the preset, the config file, single settings. */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include "config/model_config.h"
#include "config/run_config.h"
#include "config/token_config.h"

/* The i-th option of a group, with the default of the dialect and preset that were chosen; s may be NULL. What it says
 * is valid until the next call with the same settings. */
bool settings_option(pcv_settings *s, pcv_group group, int i, pcv_option *option);
const field_table *settings_table(pcv_group group);

/* As the calls named pcv_settings_... of perceiver.h. */
int settings_open(pcv_settings **settings, pcv_error *err);
void settings_close(pcv_settings *s);
int settings_set(pcv_settings *s, const char *name, const char *value, pcv_error *err);
int settings_read(pcv_settings *s, const char *path, pcv_error *err);

/* All resolve functions accept NULL for "nothing was chosen". The model comes back unchecked: its
 * vocabulary may still follow from a data set (model_config_check). */
int settings_model(const pcv_settings *s, model_config *out, pcv_error *err);
int settings_train(const pcv_settings *s, train_config *out, pcv_error *err);
int settings_sample(const pcv_settings *s, sample_config *out, pcv_error *err);
int settings_eval(const pcv_settings *s, eval_config *out, pcv_error *err);
int settings_tokens(const pcv_settings *s, token_config *out, pcv_error *err);

/* All that was given, on top of what *c holds already: a run's own. */
int settings_over_model(const pcv_settings *s, model_config *c, pcv_error *err);
int settings_over_train(const pcv_settings *s, train_config *c, pcv_error *err);

/* Where the value of a row comes from, and that place's name: "--layers", "--preset books". */
typedef enum setting_source { FROM_DEFAULT, FROM_DIALECT, FROM_PRESET, FROM_FILE, FROM_FLAG } setting_source;
setting_source settings_source(const pcv_settings *s, const field_table *table, const field *f, char *name,
                               size_t size);

const char *settings_get(const pcv_settings *s, const char *name); /* as given, or NULL */

/* From now on they are for models of several architectures: what one lacks is no mistake. */
void settings_share(pcv_settings *s);
bool settings_are_shared(const pcv_settings *s);
packing settings_packing(const pcv_settings *s, const char *name); /* of --weights and --cache */
int settings_precision(const pcv_settings *s);                     /* a precision_name */

/* Named combinations: "a=1 b=2" lists of keys of config.json ("training." in front of training's). */
typedef struct preset {
    const char *name, *values, *help;
    const char *dialect; /* that a preset stands on, unless another is asked for; NULL: the default */
} preset;
extern const preset dialects[], presets[]; /* end with a NULL name */

int settings_apply_list(const char *values, const field_table *table, const char *prefix,
                        void *object, pcv_error *err);

#define RUN_FORMAT "perceiver.c run" /* "format" of a config.json */

/* What a config.json says, over the built-in defaults, and in *extra (or NULL) all of it. The model comes back
 * unchecked here too: model/config_file.h is for what is to be used. */
int settings_take_file(const char *path, model_config *model, train_config *train, json_t **extra, pcv_error *err);

#endif
