/* What the ladders share: the median time of a call, and a table of rungs. */
#ifndef LAB_H
#define LAB_H

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

static int lab_by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Median seconds of nine calls, after one to warm up. */
static inline double lab_median(void (*call)(void *), void *context) {
    double list[9];
    call(context);
    for (int i = 0; i < 9; i++) {
        double start = clock_now();
        call(context);
        list[i] = clock_now() - start;
    }
    qsort(list, 9, sizeof *list, lab_by_value);
    return list[4];
}

/* One rung: its rate, how much faster than the first and the one below, and what was checked. */
/* Behind every round, so that the compiler does not leave rounds out whose results the next one overwrites. */
static inline void lab_used(void) { __asm__ volatile("" ::: "memory"); }

static inline void lab_rung(int number, const char *name, double rate, const char *unit, double error) {
    static double first, last;
    if (number == 1) first = last = rate;
    printf("%d  %-52s %9.2f %-8s x%6.2f  x%5.2f  error %.1e\n", number, name, rate, unit, rate / first, rate / last,
           error);
    last = rate;
}

#endif
