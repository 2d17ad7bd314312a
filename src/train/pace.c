#include "train/pace.h"

#include <math.h>

enum { MARKS = PACE_PARTS - 1 }; /* the last part ends with the run */

double pace_at(const int64_t *marks, int64_t count, int64_t step) {
    int64_t over = 0;
    while (over < count && over < MARKS && marks[over] <= step) over++;
    int64_t start = over ? marks[over - 1] : 0, length = start - (over > 1 ? marks[over - 2] : 0);
    double part = length > 0 ? fmin(1, (double)(step - start) / (double)length) : 0;
    return ((double)over + part) / PACE_PARTS;
}

void pace_mark(field_ints *marks, double done, int64_t step) {
    int64_t over = (int64_t)(fmin(1, done) * PACE_PARTS);
    if (over > MARKS) over = MARKS;
    if (marks->count > over) marks->count = over;
    while (marks->count < over) marks->v[marks->count++] = step;
}

void pace_keep(train_config *c, const field_ints *marks, int64_t step) {
    c->pace = *marks;
    pace_mark(&c->pace, 1, step);
    c->pace.v[c->pace.count++] = step;
}

bool pace_is_kept(const train_config *c) {
    return c->minutes == 0 && c->pace.count == PACE_PARTS && c->pace.v[MARKS] == c->steps;
}
