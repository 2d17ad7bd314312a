/* Switching saves the registers that a call keeps on the old stack and takes them from the new one: a few lines of
 * assembly where we have them, else swapcontext, which asks the system each time for its mask of signals. The address
 * and thread sanitizers are told of every switch. Below each stack is a page that faults. */
#include "emulator_fiber.h"
#include "emulator.h"

#include <sys/mman.h>
#include <unistd.h>

#if defined(__ELF__) && (defined(__x86_64__) || defined(__aarch64__)) && !defined(EMULATOR_UCONTEXT)
#define OWN_SWITCH 1
#else
#define OWN_SWITCH 0
#include <ucontext.h>
#endif

#if defined(__has_feature)
#define ADDRESS_SANITIZER __has_feature(address_sanitizer)
#define THREAD_SANITIZER  __has_feature(thread_sanitizer)
#else
#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#endif
#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#endif
#endif
#if ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif
#if THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

enum { STACK = 256 << 10, STAGGER = 61 };

struct fiber {
    void *top; /* of its stack, where its registers are, while it does not run */
    void (*run)();
    const void *stack;
    size_t stack_bytes;
    void *fake_stack; /* of the address sanitizer */
    void *watched;    /* what the thread sanitizer calls it */
    fiber *next;
#if !OWN_SWITCH
    ucontext_t context;
#endif
};

static fiber host;
static fiber *running = &host, *previous;
static fiber *all_fibers; /* so that none counts as lost when the program ends */

fiber *fiber_host() {
    return &host;
}

fiber *fiber_running() {
    return running;
}

/* On the new stack. */
static void arrived() {
#if ADDRESS_SANITIZER
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(running->fake_stack, &stack, &bytes);
    if (previous == &host) {
        host.stack = stack;
        host.stack_bytes = bytes;
    }
#endif
}

#if OWN_SWITCH
extern "C" void emulator_switch(void **old_top, void *new_top);
#if defined(__x86_64__)
enum { SAVED = 6, RETURN = 6, FRAME = 8 };
asm(R"(
    .pushsection .text
    .hidden emulator_switch
    .globl emulator_switch
    .type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulator_switch, . - emulator_switch
    .popsection
)");
#else
enum { SAVED = 20, RETURN = 11, FRAME = 20 };
asm(R"(
    .pushsection .text
    .hidden emulator_switch
    .globl emulator_switch
    .type emulator_switch, %function
emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size emulator_switch, . - emulator_switch
    .popsection
)");
#endif
#endif

static void begin() {
    arrived();
    running->run();
    emulated_abort("a fiber has ended");
}

void fiber_switch(fiber *to) {
    fiber *from = running;
    previous = from;
    running = to;
#if ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
#if THREAD_SANITIZER
    if (from == &host) host.watched = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->watched, 0);
#endif
#if OWN_SWITCH
    emulator_switch(&from->top, to->top);
#else
    swapcontext(&from->context, &to->context);
#endif
    arrived();
}

fiber *fiber_new(void (*run)()) {
    static size_t count;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = STACK + page;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *memory = (char *)mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE)) emulated_abort("no memory for a stack");
    fiber *f = new fiber();
    f->run = run;
    f->next = all_fibers;
#if THREAD_SANITIZER
    f->watched = __tsan_create_fiber(0);
#endif
    all_fibers = f;
    f->stack = memory + page;
    /* Tops a few cache lines apart, or all of them would share the same few sets of the cache. */
    f->stack_bytes = STACK - count++ % STAGGER * 128;
#if OWN_SWITCH
    void **top = (void **)(memory + page + f->stack_bytes) - 2 - FRAME;
    memset(top, 0, (FRAME + 2) * sizeof *top);
    top[RETURN] = (void *)begin;
    f->top = top;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = memory + page;
    f->context.uc_stack.ss_size = f->stack_bytes;
    makecontext(&f->context, begin, 0);
#endif
    return f;
}
