/* Point clouds of six shapes, turned any way, with a little noise: what each is, is its label. A point lies anywhere on
 * its shape's surface with the same chance; shapes are about as large as each other. */
#include "data/generated.h"
#include "token/points.h"

#include <math.h>

enum { SHAPE, POINT, NOISE }; /* streams */
enum { SPHERE, CUBE, CYLINDER, CONE, TORUS, TETRAHEDRON, SHAPES };
static const char *const names[] = {"sphere", "cube", "cylinder", "cone", "torus", "tetrahedron", NULL};

static const double PI = 3.14159265358979323846;
static const double NOISE_SIZE = 0.03, SIZE = 0.6;

static int32_t label(const generated_document *g) { return (int32_t)(generated_numbers(g, SHAPE, 0).v[0] % SHAPES); }

static void on_circle(double angle, double radius, double z, double at[3]) {
    at[0] = radius * cos(angle);
    at[1] = radius * sin(angle);
    at[2] = z;
}

/* A point of a ring of radius 1 and 0.4: the outer side has more surface, so a point of the inner one changes sides as
 * often as that takes. */
static void on_torus(double u, double v, double w, double at[3]) {
    double angle = 2 * PI * v;
    if (w > (1 + 0.4 * cos(angle)) / 2) angle = PI - angle;
    on_circle(2 * PI * u, 1 + 0.4 * cos(angle), 0.4 * sin(angle), at);
}

/* A point of a triangle, by two numbers in [0, 1). */
static void on_triangle(const double a[3], const double b[3], const double c[3], double u, double v, double at[3]) {
    if (u + v > 1) u = 1 - u, v = 1 - v;
    for (int k = 0; k < 3; k++) at[k] = a[k] + u * (b[k] - a[k]) + v * (c[k] - a[k]);
}

static void on_shape(int32_t shape, const rng_block *random, double at[3]) {
    static const double corner[4][3] = {{1, 1, 1}, {1, -1, -1}, {-1, 1, -1}, {-1, -1, 1}};
    double u = generated_uniform(random->v[0]), v = generated_uniform(random->v[1]);
    double w = generated_uniform(random->v[2]);
    int side = (int)(random->v[3] % 12);
    switch (shape) {
    case SPHERE: on_circle(2 * PI * u, sqrt(1 - (2 * v - 1) * (2 * v - 1)), 2 * v - 1, at); break;
    case CUBE:
        at[side % 3] = side < 6 ? 0.8 : -0.8;
        at[(side + 1) % 3] = 0.8 * (2 * u - 1);
        at[(side + 2) % 3] = 0.8 * (2 * v - 1);
        break;
    case CYLINDER: /* radius 0.7, height 1.6: sides of 2 pi r h, ends of pi r^2 each */
        if (w < 1.6 / (1.6 + 0.7)) on_circle(2 * PI * u, 0.7, 1.6 * (v - 0.5), at);
        else on_circle(2 * PI * u, 0.7 * sqrt(v), random->v[3] & 1 ? 0.8 : -0.8, at);
        break;
    case CONE: /* radius 0.9, height 1.6: its slope is sqrt(r^2 + h^2) long */
        if (w < 1.8358 / (1.8358 + 0.9)) on_circle(2 * PI * u, 0.9 * sqrt(v), 0.8 - 1.6 * sqrt(v), at);
        else on_circle(2 * PI * u, 0.9 * sqrt(v), -0.8, at);
        break;
    case TORUS: on_torus(u, v, w, at); break;
    default: on_triangle(corner[side % 4], corner[(side + 1) % 4], corner[(side + 2) % 4], u, v, at);
    }
}

/* A turn, as the matrix of a random unit quaternion (Shoemake 1992). */
static void turn_of(const generated_document *g, double turn[3][3]) {
    rng_block any = generated_numbers(g, SHAPE, 1);
    double a = generated_uniform(any.v[0]), b = 2 * PI * generated_uniform(any.v[1]);
    double c = 2 * PI * generated_uniform(any.v[2]);
    double x = sqrt(1 - a) * sin(b), y = sqrt(1 - a) * cos(b), z = sqrt(a) * sin(c), w = sqrt(a) * cos(c);
    const double rows[3][3] = {{1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)},
                               {2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)},
                               {2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)}};
    for (int i = 0; i < 9; i++) turn[i / 3][i % 3] = rows[i / 3][i % 3];
}

static void read(const generated_document *g, int64_t from, int64_t count, int32_t *ids) {
    double turn[3][3], at[3] = {0};
    int32_t shape = label(g);
    turn_of(g, turn);
    for (int64_t i = 0; i < count; i++) {
        int64_t token = from + i, number = (token - 1) / 3, k = (token - 1) % 3;
        if (token == 0) {
            ids[i] = g->d->tokens.start;
            continue;
        }
        if (i == 0 || k == 0) {
            rng_block random = generated_numbers(g, POINT, number);
            on_shape(shape, &random, at);
        }
        rng_block noise = generated_numbers(g, NOISE, 3 * number + k);
        double normal = sqrt(-2 * log(generated_uniform(noise.v[0]))) * cos(2 * PI * generated_uniform(noise.v[1]));
        double x = turn[k][0] * at[0] + turn[k][1] * at[1] + turn[k][2] * at[2];
        ids[i] = points_id(SIZE * (x + NOISE_SIZE * normal));
    }
}

static int64_t first_target(int64_t length) { return length; }

const generator labelled_shapes = {.name = "shapes", .least = 4, .tokens = 3, .tokenizer = "points", .classes = names,
                                   .label = label, .first_target = first_target, .read = read};
