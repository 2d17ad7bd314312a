/* Passes as CUDA graphs. A pass is a hundred and more kernels, and to launch small ones one by one takes longer than to
 * run them. But it asks for the same kernels with the same arguments as the one before, for the next token or the next
 * batch, because the tape's pool is deterministic and what differs arrives by an upload from the same place: so between
 * replay_begin and replay_end what is asked for is only noted as long as an earlier pass has begun in the same way, and
 * when the whole is like that pass it is launched as one graph. Where it departs from all earlier ones, what was noted
 * runs, and the rest runs at once: an optimizer's step, whose rate is its own, and training with dropout, which draws
 * by the number of the update.
 *
 * PERCEIVER_CUDA_GRAPHS=0 at opening switches this off; PERCEIVER_CUDA_TRACE=1 makes closing tell how often graphs
 * were launched. */
#ifndef CUDA_REPLAY_H
#define CUDA_REPLAY_H

#include "cuda/context.h"

/* Fills c->replay, or leaves NULL where it is switched off, and all below then does nothing; false when there is no
 * memory. */
bool replay_open(cuda_context *c);
void replay_close(cuda_context *c);

/* The slots of the table, by way of the notes. */
void replay_kernels(kernels *k);

/* An upload from pinned memory, whose bytes are there already; false: nothing is noted now, it is the caller's. */
bool replay_upload(cuda_context *c, void *to, const char *staged, size_t bytes);

/* Around a pass. Only what lies between two flushes becomes one graph. */
void replay_begin(cuda_context *c);
void replay_end(cuda_context *c);

/* Whatever is noted goes to the stream. */
void replay_flush(cuda_context *c);

/* Before an address that graphs may hold is given back. */
void replay_forget(cuda_context *c);

/* Before scratch memory moves: false while a graph is being made, which is given up then. */
bool replay_may_move(cuda_context *c);

#endif
