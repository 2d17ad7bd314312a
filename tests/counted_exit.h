/* Before every source of the build that counts which lines run (the preset coverage): a child that leaves by _exit, so
 * that it does not do at its end what is its parent's to do, still writes what it counted. */
#ifndef COUNTED_EXIT_H
#define COUNTED_EXIT_H

#include <gcov.h>
#include <unistd.h>

static inline _Noreturn void counted_exit(int status) {
    __gcov_dump();
    _exit(status);
}
#define _exit counted_exit

#endif
