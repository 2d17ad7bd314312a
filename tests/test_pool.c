/* Device memory: blocks of a tape that never overlap, never leave their region, and become one again when all are given
 * back; the counts that plans rest on; what moves to a device and back, and slots of keys and values there. */
#include "check.h"
#include "base/rng.h"
#include "backends/registry.h"
#include "nn/block.h"
#include "tensor/pool.h"

enum { HELD = 60, ROUNDS = 4000 };

static size_t rounded_up(size_t bytes) { return bytes ? (bytes + 63) / 64 * 64 : 64; }

/* Free and used blocks in the order of the list: they fill every region without a gap. */
static void blocks_fill_regions(const pool *p) {
    size_t now = 0, filled[POOL_REGIONS] = {0};
    for (const storage *s = p->first; s; s = s->after) {
        assert_in_range(s->region, 0, p->regions - 1);
        assert_ptr_equal(s->data, (const char *)p->region[s->region].base + filled[s->region]);
        filled[s->region] += s->bytes;
        if (s->references) now += s->bytes;
        if (s->after) assert_ptr_equal(s->after->before, s);
    }
    for (int i = 0; i < p->regions; i++) assert_int_equal(filled[i], p->region[i].bytes);
    assert_int_equal(p->now, now);
}

static void blocks_come_and_go(void **state) {
    (void)state;
    backend *be;
    pool p;
    storage *held[HELD] = {0};
    size_t now = 0, peak = 0, high = 0;
    rng r = rng_make(6, RNG_TEST, 0);
    must(backend_open(&be, "cpu", &(backend_options){.level = "reference", .threads = 1}, &err));
    must(pool_init(&p, be, 1 << 20, &err));
    for (int i = 0; i < ROUNDS; i++) {
        storage **s = &held[rng_below(&r, HELD)];
        if (!*s) {
            size_t bytes = (size_t)rng_below(&r, i % 50 ? 100000 : 9000000); /* most fit into what was reserved */
            *s = pool_get(&p, bytes);
            assert_non_null(*s);
            assert_int_equal((uintptr_t)(*s)->data % 64, 0);
            assert_int_equal((*s)->bytes, rounded_up(bytes));
            now += (*s)->bytes;
            size_t end = (size_t)((*s)->data - (char *)p.region[0].base) + (*s)->bytes;
            if ((*s)->region == 0 && end > high) high = end;
        } else if (rng_below(&r, 4) == 0) { /* a second holder */
            pool_hold(*s);
            pool_drop(&p, *s);
            assert_int_equal((*s)->references, 1);
        } else {
            now -= (*s)->bytes;
            pool_drop(&p, *s);
            *s = NULL;
        }
        if (now > peak) peak = now;
        blocks_fill_regions(&p);
        assert_int_equal(p.now, now);
    }
    assert_int_equal(p.peak, peak);
    assert_int_equal(p.high, high);
    assert_in_range(p.regions, 2, POOL_REGIONS);
    for (int i = 0; i < HELD; i++) pool_drop(&p, held[i]);
    blocks_fill_regions(&p);
    int blocks = 0;
    for (const storage *s = p.first; s; s = s->after) blocks++;
    assert_int_equal(blocks, p.regions);
    assert_int_equal(p.now, 0);
    pool_tidy(&p); /* one region, as large as all that was held at once */
    assert_int_equal(p.regions, 1);
    assert_in_range(p.region[0].bytes, peak, 2 * peak);
    blocks_fill_regions(&p);
    pool_free(&p);
    assert_int_equal(be->bytes_now, 0);
    be->close(be);
}

/* The first block that is large enough is taken, so a plan and the run behind it agree on every address. */
static void the_first_fit_is_taken(void **state) {
    (void)state;
    backend *be;
    pool p;
    must(backend_open(&be, "cpu", &(backend_options){0}, &err));
    backend_make_null(be);
    must(pool_init_unlimited(&p, be, &err));
    storage *a = pool_get(&p, 640), *b = pool_get(&p, 64), *c = pool_get(&p, 320), *d = pool_get(&p, 1);
    assert_ptr_equal(b->data, a->data + 640);
    assert_ptr_equal(d->data, c->data + 320);
    char *first = a->data, *third = c->data;
    pool_drop(&p, a);
    pool_drop(&p, c);
    storage *e = pool_get(&p, 641), *f = pool_get(&p, 320), *g = pool_get(&p, 320), *h = pool_get(&p, 320);
    assert_ptr_equal(e->data, d->data + 64);
    assert_ptr_equal(f->data, first);
    assert_ptr_equal(g->data, first + 320);
    assert_ptr_equal(h->data, third);
    assert_int_equal(p.high, 640 + 64 + 320 + 64 + 704);
    assert_int_equal(p.regions, 1);
    pool_free(&p);
    be->close(be);
}

/* ------------------------------------------------------------------ matrices on a device */

/* Floats go to columns of a wider matrix of reals of either kind, more than move at once, and come back. */
static void floats_there_and_back(void **state) {
    (void)state;
    enum { M = 3, C = 1100, WIDE = C + 5 };
    static const dtype precisions[] = {F32, F64};
    static float in[M * C], out[M * C], all[M * WIDE];
    for (int i = 0; i < M * C; i++) in[i] = 0.25f * (float)(i + 1);
    for (int k = 0; k < 2; k++) {
        backend *be;
        must(backend_open(&be, "cpu", &(backend_options){.precision = precisions[k]}, &err));
        matrix wide = {.rows = M, .cols = WIDE, .stride = WIDE, .type = be->real};
        must(backend_alloc(be, &wide.data, matrix_bytes(&wide), "a test", &err));
        memset(all, 0, sizeof all);
        backend_write_floats(be, &wide, all);
        matrix part = matrix_columns(wide, 3, C);
        backend_write_floats(be, &part, in);
        memset(out, 0, sizeof out);
        backend_read_floats(be, out, &part);
        assert_memory_equal(out, in, sizeof in);
        backend_read_floats(be, all, &wide);
        for (int i = 0; i < M * WIDE; i++) {
            int c = i % WIDE - 3;
            assert_true(all[i] == (c < 0 || c >= C ? 0 : in[i / WIDE * C + c]));
        }
        backend_free(be, wide.data, matrix_bytes(&wide));
        be->close(be);
    }
}

enum { SLAB_COLUMNS = 6 };

static float held_value(int64_t slot, int64_t row, int64_t c, int v) { return (float)(1000 * slot + 10 * row + c) + 0.5f * (float)v; }

/* Row `row` of a slot holds what row `was` of slot `from` was filled with. */
static void check_row(const kv_slab *s, int64_t slot, int64_t row, int64_t from, int64_t was) {
    const matrix *m[] = {&s->k, &s->v};
    for (int v = 0; v < 2; v++)
        for (int c = 0; c < SLAB_COLUMNS; c++)
            if (((const float *)m[v]->data)[(slot * s->capacity + row) * m[v]->stride + c] != held_value(from, was, c, v))
                test_failed("slot %d, row %d is not row %d of slot %d\n", (int)slot, (int)row, (int)was, (int)from);
}

/* Slots keep what they hold when there are more of them or they get longer, lose their oldest rows, and are copied. */
static void slots_of_a_slab(void **state) {
    (void)state;
    static const int64_t held[] = {4, 0, 5};
    backend *be;
    tape t;
    kv_slab s;
    must(backend_open(&be, "cpu", &(backend_options){.threads = 1}, &err));
    must(tape_init(&t, be, 0, &err));
    must(kv_slab_open(&s, be, F32, 3, 5, SLAB_COLUMNS, &err));
    for (int64_t slot = 0; slot < 3; slot++)
        for (int64_t row = 0; row < held[slot]; row++) {
            float k[SLAB_COLUMNS], v[SLAB_COLUMNS];
            for (int c = 0; c < SLAB_COLUMNS; c++) k[c] = held_value(slot, row, c, 0), v[c] = held_value(slot, row, c, 1);
            int32_t to = (int32_t)(slot * s.capacity + row);
            kv_slab_put(&t, &s, tape_ints(&t, &to, 1), tape_floats(&t, k, 1, SLAB_COLUMNS), tape_floats(&t, v, 1, SLAB_COLUMNS));
        }
    static const int64_t sizes[][2] = {{3, 9}, {5, 9}, {7, 12}}, kept[7] = {4, 0, 5};
    for (int i = 0; i < 3; i++) {
        kv_slab larger;
        must(kv_slab_open(&larger, be, F32, sizes[i][0], sizes[i][1], SLAB_COLUMNS, &err));
        kv_slab_move(&s, &larger, be, kept);
        assert_true(s.slots == sizes[i][0] && s.capacity == sizes[i][1] && !larger.k.data);
        for (int64_t slot = 0; slot < 3; slot++)
            for (int64_t row = 0; row < held[slot]; row++) check_row(&s, slot, row, slot, row);
    }
    kv_slab_copy(&s, be, 2, 6, 4);
    for (int64_t row = 0; row < 4; row++) check_row(&s, 6, row, 2, row);
    kv_slab_shift(&s, be, 2, 5, 2);
    for (int64_t row = 0; row < 3; row++) check_row(&s, 2, row, 2, row + 2);
    for (int64_t row = 0; row < 4; row++) check_row(&s, 0, row, 0, row);
    kv_slab_shift(&s, be, 6, 4, 4); /* nothing is left */
    kv_slab_close(&s, be);
    tape_free(&t);
    assert_int_equal(be->bytes_now, 0);
    be->close(be);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_come_and_go), cmocka_unit_test(the_first_fit_is_taken),
                                       cmocka_unit_test(floats_there_and_back), cmocka_unit_test(slots_of_a_slab)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
