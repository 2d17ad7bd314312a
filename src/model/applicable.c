#include "model/applicable.h"
#include "model/model.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Sets of architectures are bits 1 << config.architecture. */
enum { ALL = (1 << MODEL_TYPES) - 1, NAMES = 128 };

static const char *const prefixes[PCV_GROUPS] = {
    [PCV_MODEL] = "", [PCV_TRAINING] = "training.", [PCV_SAMPLING] = "sampling.", [PCV_EVALUATION] = "evaluation.",
    [PCV_TOKENS] = "tokens."};

/* The architectures that have a setting: those that list it, or all where nobody does. */
static unsigned having(pcv_group group, const char *flag) {
    const field *f = fields_by_flag(settings_table(group), flag);
    char key[128];
    unsigned set = 0;
    if (!f) return ALL; /* a combination of settings */
    snprintf(key, sizeof key, "%s%s", prefixes[group], f->key);
    for (int t = 0; t < MODEL_TYPES; t++)
        if (model_type_lists(model_types[t], key)) set |= 1u << t;
    return set ? set : ALL;
}

static char names[ALL + 1][NAMES]; /* "perceiver-ar, transformer", of every set */

static void make_names(void) {
    for (unsigned set = 0; set <= ALL; set++)
        for (int t = 0; t < MODEL_TYPES; t++) {
            size_t used = strlen(names[set]);
            if (set >> t & 1)
                snprintf(names[set] + used, NAMES - used, "%s%s", used ? ", " : "", model_types[t]->name);
        }
}

static const char *names_of(unsigned set) {
    static pthread_once_t made = PTHREAD_ONCE_INIT;
    pthread_once(&made, make_names);
    return names[set];
}

/* ------------------------------------------------------------------ for people */

/* The architecture that was chosen; all where none was. */
static unsigned chosen(const pcv_settings *s) {
    model_config c;
    char source[64];
    const field *f = fields_by_key(&model_fields, "architecture");
    if (settings_source(s, &model_fields, f, source, sizeof source) == FROM_DEFAULT) return ALL;
    return settings_model(s, &c, NULL) ? ALL : 1u << c.architecture;
}

bool option_at(pcv_settings *settings, pcv_group group, int i, pcv_option *option) {
    unsigned wanted = settings ? chosen(settings) : ALL;
    for (int k = 0; settings_option(settings, group, k, option); k++) {
        unsigned set = having(group, option->name);
        if (!(set & wanted) || i-- > 0) continue;
        option->architectures = wanted & ~set ? names_of(set) : NULL;
        return true;
    }
    return false;
}

/* ------------------------------------------------------------------ against mistakes */

int settings_fit_some(const pcv_settings *s, unsigned architectures, pcv_group group, pcv_error *err) {
    bool one = !(architectures & (architectures - 1));
    for (int i = 0; i < settings_table(group)->count; i++) {
        const char *flag = settings_table(group)->rows[i].flag;
        unsigned set = flag && settings_get(s, flag) ? having(group, flag) : ALL;
        if (set & architectures) continue;
        return fail(err, PCV_USAGE, one ? "--%s: %s has no such setting, but %s" : "--%s: none of %s has it, but %s",
                    flag, names_of(architectures), names_of(set));
    }
    return 0;
}

int settings_fit(const pcv_settings *s, const model_config *c, pcv_group group, pcv_error *err) {
    return settings_are_shared(s) ? 0 : settings_fit_some(s, 1u << c->architecture, group, err);
}
