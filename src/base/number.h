/* Numbers as text: options, lists, names like copy:1024, files of ids. One rule for all of them.
 *
 * A whole number is decimal digits, with a '-' in front of a negative one: 5, -1, 007. Any other number may also have
 * a point and an exponent: 0.5, .5, 1e-4. Nothing else is taken: no spaces, no '+', no hexadecimal digits, no infinity
 * and no "not a number", no separators or letters for thousands, no exponent in a whole number; and nothing too large
 * to be held is rounded to what can be.
 *
 *     TRY(number_read_whole("--size", text, 1, 8192, &size, err)); */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include "base/error.h"

typedef enum number_found { NUMBER_FOUND, NUMBER_NONE, NUMBER_HUGE } number_found;

/* Reads the number at *at and moves *at behind it; where there is none that can be held, *at stays. */
number_found number_take_whole(const char **at, int64_t *value);
number_found number_take_real(const char **at, double *value);

/* What a number may be. An open end does not belong to it: {0, 1, .below = true} holds 0, but not 1. */
typedef struct number_range {
    double low, high;
    bool above, below; /* more than low, less than high */
} number_range;

/* `code` when the number lies outside; the message states the bounds as they are. */
int number_check_whole(int64_t value, int64_t low, int64_t high, const char *where, int code, pcv_error *err);
int number_check_real(double value, number_range range, const char *where, int code, pcv_error *err);

/* A whole text as a number within bounds. PCV_USAGE says what is wrong, behind `where`: the flag. */
int number_read_whole(const char *where, const char *text, int64_t low, int64_t high, int64_t *value, pcv_error *err);
int number_read_real(const char *where, const char *text, number_range range, double *value, pcv_error *err);

/* "16,64,256": at least one and at most `most` whole numbers. */
int number_read_wholes(const char *where, const char *text, char separator, int64_t low, int64_t high, int64_t *values,
                       int most, int *count, pcv_error *err);

#endif
