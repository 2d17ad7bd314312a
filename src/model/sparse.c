#include "model/sparse.h"

typedef struct pattern {
    attend_spec near, far;
    tensor *keys;           /* [B L, 1] rows that the far layers see, sequence by sequence, -1: none */
    tensor *queries, *back; /* [B N, 1] order in which far queries share their keys, and its inverse; or NULL */
} pattern;

/* One sequence: K rows of keys, the last N of which ask; the first `missing` queries have no input. */
typedef struct span {
    int64_t stride, summary;
    int64_t first;   /* index in the timeline of key row 0 behind the missing ones */
    int64_t missing; /* rows without input in front (no caches) */
    int64_t N, K;
} span;

static int32_t *numbers(tape *t, int64_t count) {
    return tape_host(t, (size_t)(count + 1) * sizeof(int32_t));
}

static span span_of(const model_config *c, const pass *p, const batch *b, int64_t r) {
    const sequence *row = &p->rows[r];
    span s = {.stride = c->sparse.stride, .summary = c->sparse.summary, .first = row->before, .N = b->N, .K = b->N};
    if (p->caches) {
        int64_t held = p->caches[r]->latents;
        s.K += held;
        s.first -= held;
    } else {
        s.missing = b->N - row->length;
    }
    return s;
}

/* Key row of query n, and its index in the timeline. */
static int64_t row_of(const span *s, int64_t n) { return s->K - s->N + n; }
static int64_t index_of(const span *s, int64_t row) { return s->first + row - s->missing; }
static bool absent(const span *s, int64_t n) { return n < s->missing; }

static attend_spec near_ranges(tape *t, const model *m, const pass *p, const batch *b) {
    int32_t *begin = numbers(t, b->B * b->N), *end = numbers(t, b->B * b->N);
    for (int64_t i = 0; i < b->B * b->N && end; i++) {
        span s = span_of(&m->config, p, b, i / b->N);
        int64_t n = i % b->N, row = row_of(&s, n), index = index_of(&s, row);
        int64_t reach = m->config.sparse.kind == SPARSE_FIXED ? index % s.stride : s.stride;
        int64_t from = row - reach < s.missing ? s.missing : row - reach;
        begin[i] = (int32_t)(absent(&s, n) ? row : from);
        end[i] = (int32_t)(row + 1);
    }
    attend_spec s = layer_context_make(m, b).seen;
    tape_int_arrays(t, (int_array[]){{&s.begin, begin, b->B * b->N}, {&s.end, end, b->B * b->N}}, 2);
    return s;
}

/* Far keys of a sequence in `keys` [K], their number returned: begin and end of each query are rows of that list.
 * Strided: rows of the same remainder stand together; only those that a query asks for. */
static int64_t strided_keys(const span *s, int32_t *keys, int32_t *order, int32_t *begin, int32_t *end) {
    int64_t count = 0, asked = 0;
    for (int64_t remainder = 0; remainder < s->stride && asked < s->N - s->missing; remainder++) {
        int64_t from = count;
        int64_t row = s->missing + ((remainder - s->first) % s->stride + s->stride) % s->stride;
        int64_t rounds = (s->K - row + s->stride - 1) / s->stride;
        if (row >= s->K || row + (rounds - 1) * s->stride < row_of(s, s->missing)) continue; /* nobody asks */
        for (; row < s->K; row += s->stride) {
            int64_t n = row - (s->K - s->N);
            keys[count++] = (int32_t)row;
            if (n < s->missing) continue;
            begin[n] = (int32_t)from;
            end[n] = (int32_t)count;
            order[s->missing + asked++] = (int32_t)n;
        }
    }
    return count;
}

static int64_t fixed_keys(const span *s, int32_t *keys, int32_t *begin, int32_t *end) {
    int64_t count = 0;
    for (int64_t row = s->missing; row < s->K; row++) {
        int64_t n = row - (s->K - s->N);
        if (index_of(s, row) % s->stride >= s->stride - s->summary) keys[count++] = (int32_t)row;
        if (n < 0) continue;
        begin[n] = 0;
        end[n] = (int32_t)count;
    }
    return count;
}

/* Row of key 0 of a sequence among all keys. */
static int64_t first_row(const pass *p, const batch *b, int64_t r) {
    return p->caches ? p->caches[r]->slot * b->self.keys : r * b->N;
}

static void far_ranges(pattern *f, tape *t, const model *m, const pass *p, const batch *b) {
    int64_t B = b->B, N = b->N, K = 0, longest = 1;
    for (int64_t r = 0; r < B; r++) K = span_of(&m->config, p, b, r).K > K ? span_of(&m->config, p, b, r).K : K;
    bool strided = m->config.sparse.kind == SPARSE_STRIDED, reorder = strided && N > 1;
    int32_t *begin = numbers(t, B * N), *end = numbers(t, B * N), *order = numbers(t, B * N);
    int32_t *back = numbers(t, B * N), *all = numbers(t, B * K), *keys;
    int64_t *count = tape_host(t, (size_t)B * sizeof *count);
    if (!count) return;
    for (int64_t i = 0; i < B * N; i++) order[i] = (int32_t)(i % N);
    for (int64_t r = 0; r < B; r++) {
        span s = span_of(&m->config, p, b, r);
        count[r] = strided ? strided_keys(&s, all + r * K, order + r * N, begin + r * N, end + r * N)
                           : fixed_keys(&s, all + r * K, begin + r * N, end + r * N);
        if (count[r] > longest) longest = count[r];
    }
    keys = numbers(t, B * longest);
    if (!keys) return;
    for (int64_t i = 0; i < B * longest; i++) {
        int64_t r = i / longest, k = i % longest;
        keys[i] = k < count[r] ? (int32_t)first_row(p, b, r) + all[r * K + k] : -1;
    }
    int32_t *first = numbers(t, B * N), *last = numbers(t, B * N);
    if (!last) return;
    for (int64_t i = 0; i < B * N; i++) {
        order[i] += (int32_t)(i / N * N);
        back[order[i]] = (int32_t)i;
        first[i] = begin[order[i]];
        last[i] = end[order[i]];
    }
    f->far = layer_context_make(m, b).seen;
    f->far.slots = NULL; /* gathered keys are no slots of a slab any more */
    f->far.keys = 0;
    int_array list[] = {
        {&f->keys, keys, B * longest},
        {&f->queries, reorder ? order : NULL, B * N},
        {&f->back, reorder ? back : NULL, B * N},
        {&f->far.begin, first, B * N},
        {&f->far.end, last, B * N},
    };
    tape_int_arrays(t, list, sizeof list / sizeof *list);
}

const void *sparse_make(tape *t, const model *m, const pass *p, const batch *b) {
    CHECK(p->see == SEE_CAUSAL, "a sparse pattern looks back");
    pattern *f = tape_host(t, sizeof *f);
    if (!f) return NULL;
    f->near = near_ranges(t, m, p, b);
    far_ranges(f, t, m, p, b);
    return f;
}

tensor *sparse_near(tape *t, const layer_context *k, tensor *q, tensor *key, tensor *value) {
    const pattern *p = k->pattern;
    return attend(t, q, key, value, &p->near);
}

tensor *sparse_far(tape *t, const layer_context *k, tensor *q, tensor *key, tensor *value) {
    const pattern *p = k->pattern;
    key = gather(t, key, p->keys);
    value = gather(t, value, p->keys);
    if (!p->queries) return attend(t, q, key, value, &p->far);
    return gather(t, attend(t, gather(t, q, p->queries), key, value, &p->far), p->back);
}
