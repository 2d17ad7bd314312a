#include "cli/signals.h"
#include "cli/progress.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop_asked, save_asked;
static struct timespec first; /* SIGINT or SIGTERM */

/* `timeout` and terminals send the same signal twice at once: only a person, or a patience that has an end, sends it
 * again later. */
static void on_stop(int number) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double since = (double)(now.tv_sec - first.tv_sec) + 1e-9 * (double)(now.tv_nsec - first.tv_nsec);
    if (first.tv_sec && since > 0.1) _exit(128 + number);
    if (!first.tv_sec) first = now;
    stop_asked = 1;
}

/* A terminal that is closed, a limit: these come several times, and beside a SIGTERM. */
static void on_end(int number) {
    (void)number;
    stop_asked = 1;
}

static void on_save(int number) {
    (void)number;
    save_asked = 1;
}

/* Data sets are mapped: reading behind the end of one that shrank arrives here. */
static void on_lost_file(int number) {
    static const char line[] = "perceiver: a file in use was cut short or can no longer be read (the data set?); "
                               "checkpoints are not affected\n";
    (void)number;
    ssize_t written = write(STDERR_FILENO, line, sizeof line - 1);
    (void)written; /* nothing is left to be done about it */
    _exit(PCV_IO);
}

static void install(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(number, &action, NULL);
}

void signals_prepare(void) { install(SIGXFSZ, SIG_IGN); }

void signals_install(bool data_is_printed) {
    struct sigaction before;
    install(SIGBUS, on_lost_file);
    install(SIGINT, on_stop);
    install(SIGTERM, on_stop);
    if (sigaction(SIGHUP, NULL, &before) || before.sa_handler != SIG_IGN) install(SIGHUP, on_end);
    install(SIGXCPU, on_end);
    install(SIGUSR1, on_save);
    if (!data_is_printed) install(SIGPIPE, SIG_IGN);
    pcv_watch watch = signals_watch();
    pcv_watch_waiting(&watch);
}

int signals_wish(void) {
    if (stop_asked) return PCV_STOP;
    if (!save_asked) return 0;
    save_asked = 0;
    return PCV_SAVE;
}
