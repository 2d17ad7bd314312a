/* Settings, options and numbers of the public interface. */
#include "base/number.h"
#include "base/text.h"
#include "config/settings.h"
#include "gen/engine.h"
#include "model/applicable.h"

bool pcv_option_at(pcv_group group, int i, pcv_option *option) { return option_at(NULL, group, i, option); }

bool pcv_option_of(pcv_settings *settings, pcv_group group, int i, pcv_option *option) {
    return option_at(settings, group, i, option);
}

int pcv_settings_open(pcv_settings **settings, pcv_error *err) { return settings_open(settings, err); }

void pcv_settings_close(pcv_settings *s) { settings_close(s); }

int pcv_settings_set(pcv_settings *s, const char *name, const char *value, pcv_error *err) {
    return settings_set(s, name, value, err);
}

int pcv_settings_read(pcv_settings *s, const char *path, pcv_error *err) { return settings_read(s, path, err); }

int pcv_threads(const pcv_settings *settings, int64_t *asked) { return settings_threads(settings, asked); }

/* ------------------------------------------------------------------ numbers and lines */

int pcv_read_whole(const char *where, const char *typed, int64_t low, int64_t high, int64_t *value, pcv_error *err) {
    return number_read_whole(where, typed, low, high, value, err);
}

int pcv_read_wholes(const char *where, const char *typed, char separator, int64_t low, int64_t high, int64_t *values,
                    int most, int *count, pcv_error *err) {
    return number_read_wholes(where, typed, separator, low, high, values, most, count, err);
}

int pcv_read_real(const char *where, const char *typed, double low, double high, double *value, pcv_error *err) {
    return number_read_real(where, typed, (number_range){low, high, false, false}, value, err);
}

const char *pcv_plural(int64_t count) { return plural(count); }

void pcv_line(char *out, size_t capacity, const char *whole) { text_line(out, capacity, whole); }
