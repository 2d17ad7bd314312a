/* What a pass asks for is a list of entries, packed one behind the other; equal passes have lists of equal bytes. Some
 * lists are kept, the least recently used makes room: sessions that generate together in changing numbers take turns.
 *
 * While `matching`, the pass so far is the first `used` bytes of `current` and nothing of it has run. A pass that
 * departs from `current` goes on in another list with the same beginning, if there is one; otherwise it becomes a list
 * of its own. A list is made a graph the second time that it comes: what kernels look up or take the first time (plans
 * of products, scratch memory) is there then, as a graph's making allows nothing of that kind. A graph that cannot be
 * made or launched is no failure: its entries run. */
#include "cuda/replay.h"
#include "cuda/gaps.h"
#include "cuda/kernels_cuda.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

enum { KEPT = 16, LIST_BYTES = 1 << 20, UPLOAD = KERNEL_COUNT };

/* The head of an entry. `bytes` is its whole size, a multiple of 8. */
typedef struct entry {
    uint32_t slot; /* of the kernel table, or UPLOAD */
    uint32_t bytes;
} entry;

typedef struct upload {
    void *to;
    const char *staged;
    uint64_t bytes;
} upload;

template <class T> struct entry_of {
    entry head;
    T args;
};

/* Entries are compared as bytes. */
template <class T> static entry_of<T> make_entry(uint32_t slot, const T &args) {
    entry_of<T> e = {{slot, sizeof e}, args};
    clear_gaps(e.args);
    return e;
}

typedef struct list {
    size_t length; /* bytes; 0: not in use */
    uint64_t last; /* when it came last */
    cudaGraphExec_t graph;
    bool refused; /* no graph can be made of it */
    alignas(8) char bytes[LIST_BYTES];
} list;

struct replay {
    bool noting;   /* between begin and end */
    bool matching;
    bool overfull; /* the list is incomplete: the pass is too long to be remembered */
    bool making;   /* a graph */
    bool moves;    /* scratch memory would have to, for the graph that is made */
    list *current; /* NULL: nothing is noted yet */
    size_t used;
    uint64_t clock;
    uint64_t launched, made, apart; /* graphs launched and made, lists that ran one by one */
    list lists[KEPT];
};

/* ------------------------------------------------------------------ to the stream */

#define RUN_SLOT(name, type)                                                                       \
    static void run_##name(cuda_context *c, const entry *e) { cuda_##name(c, &((const entry_of<type> *)e)->args); }
KERNELS(RUN_SLOT)
#undef RUN_SLOT

static void run_upload(cuda_context *c, const entry *e) {
    const upload *u = &((const entry_of<upload> *)e)->args;
    cuda_fine(c, cudaMemcpyAsync(u->to, u->staged, u->bytes, cudaMemcpyHostToDevice, c->stream), "an upload");
}

static void run_entry(cuda_context *c, const entry *e) {
    static void (*const run[])(cuda_context *, const entry *) = {
#define SLOT_OF(name, type) run_##name,
        KERNELS(SLOT_OF)
#undef SLOT_OF
            run_upload};
    run[e->slot](c, e);
}

static void run_entries(cuda_context *c, const list *l, size_t bytes) {
    for (size_t at = 0; at < bytes;) {
        const entry *e = (const entry *)(l->bytes + at);
        run_entry(c, e);
        at += e->bytes;
    }
}

/* ------------------------------------------------------------------ graphs */

static void drop_graph(list *l) {
    if (l->graph) cudaGraphExecDestroy(l->graph);
    l->graph = NULL;
    l->refused = false;
}

/* Errors on the way are those of the making alone: they are forgotten with it. */
static void make_graph(cuda_context *c, list *l) {
    replay *r = c->replay;
    pcv_error before = *c->failure;
    cudaGraph_t graph = NULL;
    l->graph = NULL;
    r->moves = false;
    bool made = cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeRelaxed) == cudaSuccess;
    if (made) {
        r->making = true;
        run_entries(c, l, l->length);
        r->making = false;
        made = cudaStreamEndCapture(c->stream, &graph) == cudaSuccess && graph;
        made = made && !r->moves && !c->failure->code;
    }
    if (made) made = cudaGraphInstantiate(&l->graph, graph, 0) == cudaSuccess;
    if (graph) cudaGraphDestroy(graph);
    if (made) {
        r->made++;
        return;
    }
    cudaGetLastError(); /* so that the next launch is not blamed */
    *c->failure = before;
    l->graph = NULL;
    l->refused = true;
}

static bool launch_graph(cuda_context *c, list *l) {
    if (!l->graph && !l->refused && !c->failure->code) make_graph(c, l);
    if (!l->graph) return false;
    if (cudaGraphLaunch(l->graph, c->stream) == cudaSuccess) return true;
    cudaGetLastError();
    drop_graph(l);
    l->refused = true;
    return false;
}

/* ------------------------------------------------------------------ lists */

/* Does l begin with what is noted? */
static bool begins_alike(const replay *r, const list *l) {
    if (l == r->current || !r->used) return true;
    return l->length >= r->used && !memcmp(l->bytes, r->current->bytes, r->used);
}

/* A list that begins with what is noted and goes on with e, or ends where e is NULL. */
static list *find(replay *r, const entry *e) {
    for (int i = -1; i < KEPT; i++) {
        list *l = i < 0 ? r->current : &r->lists[i];
        if (!l || !l->length) continue;
        bool fits = e ? l->length - r->used >= e->bytes && l->length > r->used : l->length == r->used;
        if (!fits || (e && memcmp(l->bytes + r->used, e, e->bytes))) continue;
        if (begins_alike(r, l)) return l;
    }
    return NULL;
}

/* No pass was like this one: what is noted becomes the beginning of a list of its own, and runs. */
static void depart(cuda_context *c) {
    replay *r = c->replay;
    list *own = &r->lists[0];
    for (list *l = r->lists; l < r->lists + KEPT; l++)
        if (l->last < own->last) own = l;
    if (own != r->current && r->used) memcpy(own->bytes, r->current->bytes, r->used);
    drop_graph(own);
    own->length = r->used;
    own->last = ++r->clock;
    r->current = own;
    r->matching = false;
    r->apart++;
    run_entries(c, own, own->length);
}

static void note(cuda_context *c, const entry *e) {
    replay *r = c->replay;
    list *l = r->matching ? find(r, e) : NULL;
    if (l) {
        r->current = l;
        r->used += e->bytes;
        return;
    }
    if (r->matching) depart(c);
    l = r->current;
    r->overfull |= l->length + e->bytes > LIST_BYTES;
    if (!r->overfull) {
        memcpy(l->bytes + l->length, e, e->bytes);
        l->length += e->bytes;
    }
    run_entry(c, e);
}

void replay_flush(cuda_context *c) {
    replay *r = c->replay;
    if (!r || !r->current) return;
    if (r->matching) {
        list *l = find(r, NULL);
        if (l) {
            l->last = ++r->clock;
            if (launch_graph(c, l)) r->launched++;
            else {
                r->apart++;
                run_entries(c, l, l->length);
            }
        } else depart(c);
    } else if (r->overfull) r->current->length = r->current->last = 0;
    r->current = NULL;
    r->used = 0;
    r->matching = true;
    r->overfull = false;
}

/* ------------------------------------------------------------------ what the backend calls */

/* A kernel of the table: noted within a pass, run at once elsewhere. */
#define REPLAY_SLOT(name, type)                                                                    \
    static void replay_##name(void *context, const type *a) {                                      \
        cuda_context *c = (cuda_context *)context;                                                 \
        if (!c->replay || !c->replay->noting) {                                                    \
            cudaSetDevice(c->device); /* is the calling thread's */                                 \
            cuda_##name(c, a);                                                                     \
            return;                                                                                \
        }                                                                                          \
        entry_of<type> e = make_entry(KERNEL_##name, *a);                                          \
        note(c, (const entry *)&e);                                                                \
    }
KERNELS(REPLAY_SLOT)
#undef REPLAY_SLOT

void replay_kernels(kernels *k) {
#define REPLAY_INTO(name, type) k->name = replay_##name;
    KERNELS(REPLAY_INTO)
#undef REPLAY_INTO
}

bool replay_upload(cuda_context *c, void *to, const char *staged, size_t bytes) {
    if (!c->replay || !c->replay->noting) return false;
    entry_of<upload> e = make_entry(UPLOAD, upload{to, staged, bytes});
    note(c, (const entry *)&e);
    return true;
}

void replay_begin(cuda_context *c) {
    if (c->replay) c->replay->noting = true;
}

void replay_end(cuda_context *c) {
    replay_flush(c);
    if (c->replay) c->replay->noting = false;
}

void replay_forget(cuda_context *c) {
    if (!c->replay) return;
    for (int i = 0; i < KEPT; i++) drop_graph(&c->replay->lists[i]);
}

bool replay_may_move(cuda_context *c) {
    replay *r = c->replay;
    if (r && r->making) {
        r->moves = true;
        return false;
    }
    replay_forget(c);
    return true;
}

bool replay_open(cuda_context *c) {
    const char *wanted = getenv("PERCEIVER_CUDA_GRAPHS");
    if (wanted && !strcmp(wanted, "0")) return true;
    c->replay = (replay *)calloc(1, sizeof *c->replay); /* pages of lists are taken as they fill */
    if (!c->replay) return cuda_fine(c, cudaErrorMemoryAllocation, "graphs");
    c->replay->matching = true;
    return true;
}

void replay_close(cuda_context *c) {
    replay *r = c->replay;
    const char *trace = getenv("PERCEIVER_CUDA_TRACE");
    if (!r) return;
    if (trace && *trace && r->clock)
        fprintf(stderr, "cuda: %llu graphs made and launched %llu times, %llu lists of kernels run one by one\n",
                (unsigned long long)r->made, (unsigned long long)r->launched, (unsigned long long)r->apart);
    replay_forget(c);
    free(r);
    c->replay = NULL;
}
