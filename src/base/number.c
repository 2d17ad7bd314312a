#include "base/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *behind_digits(const char *at) { return at + strspn(at, "0123456789"); }

number_found number_take_whole(const char **at, int64_t *value) {
    const char *digits = *at + (**at == '-'), *end = behind_digits(digits);
    if (end == digits) return NUMBER_NONE;
    errno = 0;
    long long v = strtoll(*at, NULL, 10);
    if (errno) return NUMBER_HUGE;
    *value = v;
    *at = end;
    return NUMBER_FOUND;
}

/* The end of the number at `at`, or `at` when there is none. */
static const char *behind_real(const char *at) {
    const char *digits = at + (*at == '-'), *end = behind_digits(digits);
    size_t count = (size_t)(end - digits);
    if (*end == '.') {
        const char *fraction = end + 1;
        end = behind_digits(fraction);
        count += (size_t)(end - fraction);
    }
    if (!count) return at;
    if (*end != 'e' && *end != 'E') return end;
    const char *exponent = end + 1 + (end[1] == '-' || end[1] == '+');
    return behind_digits(exponent) == exponent ? end : behind_digits(exponent);
}

number_found number_take_real(const char **at, double *value) {
    const char *end = behind_real(*at);
    char *stop;
    if (end == *at) return NUMBER_NONE;
    double v = strtod(*at, &stop);
    if (stop != end) return NUMBER_NONE; /* 0x10 */
    if (!isfinite(v)) return NUMBER_HUGE;
    *value = v;
    *at = end;
    return NUMBER_FOUND;
}

/* ------------------------------------------------------------------ ranges */

int number_check_whole(int64_t value, int64_t low, int64_t high, const char *where, int code, pcv_error *err) {
    if (value >= low && value <= high) return 0;
    return fail(err, code, "%s: %lld is out of range, expected %lld to %lld", where, (long long)value, (long long)low,
                (long long)high);
}

static void describe(number_range r, char *out, size_t size) {
    const char *low = r.above ? "more than" : "at least", *high = r.below ? "less than" : "at most";
    if (r.above || r.below) snprintf(out, size, "%s %.15g and %s %.15g", low, r.low, high, r.high);
    else snprintf(out, size, "%.15g to %.15g", r.low, r.high);
}

int number_check_real(double value, number_range r, const char *where, int code, pcv_error *err) {
    bool from = r.above ? value > r.low : value >= r.low, to = r.below ? value < r.high : value <= r.high;
    char expected[128];
    if (from && to) return 0;
    describe(r, expected, sizeof expected);
    return fail(err, code, "%s: %.15g is out of range, expected %s", where, value, expected);
}

/* ------------------------------------------------------------------ whole texts */

int number_read_whole(const char *where, const char *text, int64_t low, int64_t high, int64_t *value, pcv_error *err) {
    int64_t v = 0;
    const char *at = text;
    number_found found = number_take_whole(&at, &v);
    if (found == NUMBER_HUGE && !*behind_digits(at + (*at == '-')))
        return fail(err, PCV_USAGE, "%s: %.40s is out of range, expected %lld to %lld", where, text, (long long)low,
                    (long long)high);
    if (found != NUMBER_FOUND || *at) return fail(err, PCV_USAGE, "%s: '%.80s' is not a whole number", where, text);
    int status = number_check_whole(v, low, high, where, PCV_USAGE, err);
    if (!status) *value = v;
    return status;
}

int number_read_wholes(const char *where, const char *text, char separator, int64_t low, int64_t high, int64_t *values,
                    int most, int *count, pcv_error *err) {
    const char *at = text;
    *count = 0;
    for (;; at++) {
        int64_t v = 0;
        number_found found = number_take_whole(&at, &v);
        if (found != NUMBER_FOUND || (*at && *at != separator))
            return fail(err, PCV_USAGE, "%s: '%.80s' is not a list of whole numbers like 3%c5", where, text, separator);
        if (*count == most)
            return fail(err, PCV_USAGE, "%s: '%.80s' has more than %d numbers", where, text, most);
        int status = number_check_whole(v, low, high, where, PCV_USAGE, err);
        if (status) return status;
        values[(*count)++] = v;
        if (!*at) return 0;
    }
}

int number_read_real(const char *where, const char *text, number_range range, double *value, pcv_error *err) {
    double v = 0;
    const char *at = text;
    number_found found = number_take_real(&at, &v);
    if (found == NUMBER_HUGE && !*behind_real(at)) {
        char expected[128];
        describe(range, expected, sizeof expected);
        return fail(err, PCV_USAGE, "%s: %.40s is out of range, expected %s", where, text, expected);
    }
    if (found != NUMBER_FOUND || *at) return fail(err, PCV_USAGE, "%s: '%.80s' is not a number", where, text);
    int status = number_check_real(v, range, where, PCV_USAGE, err);
    if (!status) *value = v;
    return status;
}
