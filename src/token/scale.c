#include "token/scale.h"

#include <math.h>

void scale_vector(int32_t step, int32_t steps, float *v) {
    double sum = 0, phase = 3.14159265358979324 * (step + 0.5) / steps;
    for (int k = 1; k <= SCALE_SIZE; k++) sum += 0.5 / ((k + 3) * (k + 3)); /* the mean of a cosine's square is 1/2 */
    for (int k = 1; k <= SCALE_SIZE; k++) v[k - 1] = (float)(cos(k * phase) / (k + 3) / sqrt(sum));
}
