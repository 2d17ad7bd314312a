/* Device memory of a tape: blocks that never overlap, never leave their region, and become one again when all are given
 * back; and the counts that plans rest on. */
#include "check.h"
#include "base/rng.h"
#include "backends/registry.h"
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_come_and_go), cmocka_unit_test(the_first_fit_is_taken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
