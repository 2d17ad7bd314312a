/* Fibers for the emulator: stacks of their own between which a thread of the host changes over. They never end, and
 * any thread may go on with them, one at a time. */
#ifndef CUDA_EMULATOR_FIBER_H
#define CUDA_EMULATOR_FIBER_H

struct fiber;

fiber *fiber_new(void (*run)()); /* run does not return */
fiber *fiber_host();             /* the stack of whichever thread switches while no other fiber runs */
fiber *fiber_running();
void fiber_switch(fiber *to);    /* returns when somebody switches back */

#endif
