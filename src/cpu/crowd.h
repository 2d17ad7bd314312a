/* How many threads a pass takes on a machine whose cores other programs use too.
 *
 * A kernel ends when its last thread is done. Where the system has taken that one off its core, the others wait for
 * milliseconds, at every one of thousands of kernels in a second; then one thread alone can be twice as fast as two.
 * Where kernels are long the threads hardly wait, and two halves of two cores are more than one. So it is tried: while
 * threads of ours are taken off their cores, half of them runs for a fifth of a second now and then, and stays when
 * the work goes faster; and so back. Trials that fail grow rare. On a machine of our own nothing is tried.
 *
 * Kernels of a few microseconds are over before a second thread is awake. So where a pass of the first stretch takes
 * less than a hundredth of a second, one thread goes on, and more must show that they are faster.
 *
 * Results do not depend on the number of threads. cpu_pass_begin and cpu_pass_end (kernels_cpu.h) are the backend's. */
#ifndef CPU_CROWD_H
#define CPU_CROWD_H

#include <stdbool.h>
#include <stdint.h>

/* What is known of passes of one kind. */
typedef struct crowd {
    int most;        /* threads that the backend has, within a pass; else 0 */
    int now;         /* threads in use; 0: none yet */
    int trial;       /* on trial in this stretch; 0: none */
    bool upward;     /* the next trial takes more */
    bool settled;    /* the first stretch is over */
    double before;   /* seconds of this stretch before this pass */
    double rate;     /* work per second of `now` threads */
    int pause, rest; /* stretches between trials, and from here to the next */
    /* this stretch: work, seconds, how often threads were taken off their cores, passes */
    double work, seconds;
    int64_t taken_off;
    int passes;
} crowd;

/* The threads of the next pass, of `most`. */
int crowd_threads(crowd *p, int most);

/* A pass took so long: true where that makes one thread go on, in a new stretch. */
bool crowd_is_tiny(crowd *p, double seconds);

/* A stretch went at this rate; shared: others use our cores; brief: its passes are short enough for trials. */
void crowd_stretch(crowd *p, int most, double rate, bool shared, bool brief);

#endif
