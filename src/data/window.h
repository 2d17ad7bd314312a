/* Windows into documents: what a training step reads, and how an evaluation covers every target once.
 *
 * A window of `count` tokens gives count - 1 inputs and, shifted by one, count - 1 targets. The targets
 * that count are the last `scored` of them, or those among them that the data set takes (dataset_next_target). */
#ifndef DATA_WINDOW_H
#define DATA_WINDOW_H

#include "base/rng.h"
#include "data/dataset.h"
#include "model/model.h"

typedef struct window {
    int64_t document, from, count; /* tokens [from, from + count) */
    int64_t scored;
    int64_t whole; /* tokens of the document, where it is generated; 0: of no known length */
    uint64_t variant; /* of an example (data/example.h) */
    int64_t known; /* tokens in front of `from` that are read, too, for an index alone (sequence.known) */
} window;

/* Random windows of one split. Every window of context + 1 tokens of every document is as likely as
 * every other; near its beginning a document also gives shorter ones, down to `shortest` tokens
 * (official data loader: the sequence is padded in front, then windows slide). A window's last target counts. Every
 * eighth window of generated documents is the last one, so that the end of a document is seen at every length. A part
 * of the windows may read less than what stands in front of their ends, by any factor (`vary`). */
typedef struct crop_plan {
    const dataset *d;
    split_name split;
    int64_t context, shortest;
    int64_t documents; /* those with at least one target */
    double *before;    /* [documents + 1] windows before a document; NULL: all alike (generated) */
    double vary;       /* fraction of the windows whose context is drawn, uniformly in its logarithm, down to `shortest`
                          tokens; 0 unless the caller sets it */
} crop_plan;

int crop_open(crop_plan *p, const dataset *d, split_name split, int64_t context, int64_t shortest,
              pcv_error *err);
void crop_close(crop_plan *p);
window crop_draw(const crop_plan *p, rng *r); /* scored: all targets of the window that count */

/* Windows that together score every target of a split exactly once, `stride` at a time: each window
 * ends where its targets end and reads up to `context` inputs. Where the stride does not divide, the
 * first window of a document is the short one (official block evaluation). One whose targets all do not count is left
 * out. */
typedef struct block_plan {
    const dataset *d;
    split_name split;
    int64_t context, stride, documents;
    int64_t document, end; /* state: the next window ends behind input end of this document */
    int64_t count;         /* windows in all */
    int64_t targets;       /* that count */
} block_plan;

/* documents: of a generated data set. */
void block_open(block_plan *p, const dataset *d, split_name split, int64_t context, int64_t stride,
                int64_t documents);
bool block_next(block_plan *p, window *w);

/* Documents cut into segments of `segment` inputs that follow each other, the last of a document being what is left:
 * for models that remember. Row r of R reads segments number r count / R + 0, 1, 2, ..., round and round. */
typedef struct stream_plan {
    const dataset *d;
    split_name split;
    int64_t segment, documents;
    double *before; /* [documents + 1] segments before a document; NULL: all documents are alike (generated) */
    int64_t count;
} stream_plan;

int stream_open(stream_plan *p, const dataset *d, split_name split, int64_t segment, pcv_error *err);
void stream_close(stream_plan *p);
window stream_at(const stream_plan *p, int64_t row, int64_t rows, int64_t turn);

/* The window that scores the next targets of a document behind those that `done` windows did, `stride` at a time:
 * tokens first, first + 1, ... are `targets` that count. */
window block_at(int64_t first, int64_t targets, int64_t done, int64_t context, int64_t stride);

/* How many of its last `most` targets count; and the change that makes it score only the last `targets` of those. */
int64_t window_targets(const dataset *d, split_name split, const window *w, int64_t most);
void window_keep(const dataset *d, split_name split, window *w, int64_t targets);

/* A window as a row of a pass: its inputs, the first count - 1 of ids[count], where they stand (model_place), and what
 * each is to predict. Every pass over a window starts here. */
sequence window_row(const model *m, const window *w, const int32_t *ids);

/* Reads a window, and what it knows of before: ids[known + count]. */
int window_read(const dataset *d, split_name split, const window *w, int32_t *ids, pcv_error *err);

/* Windows read one behind the other, and their rows. */
typedef struct window_rows {
    int64_t count, capacity; /* rows */
    window *window;          /* [capacity] */
    sequence *row;           /* [capacity] */
    int32_t *ids;            /* [room] tokens of all windows */
    int32_t *next;           /* [room] their targets, where not all of the last ones count; else NULL */
    int64_t used, room;
} window_rows;

int window_rows_open(window_rows *r, int64_t capacity, int64_t room, pcv_error *err);
void window_rows_close(window_rows *r);
void window_rows_clear(window_rows *r);

/* Reads one more window. */
int window_rows_read(window_rows *r, const model *m, const dataset *d, split_name split, const window *w,
                     pcv_error *err);

/* One more window whose tokens the caller has put, or puts, at ids[used]. */
void window_rows_add(window_rows *r, const model *m, const window *w);

#endif
