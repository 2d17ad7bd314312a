#include "cli/progress.h"
#include "cli/commands.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop_asked, save_asked;

static void on_stop(int number) {
    if (stop_asked) _exit(128 + number);
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

void signals_install(void) {
    struct sigaction lost = {.sa_handler = on_lost_file};
    sigaction(SIGBUS, &lost, NULL);
    struct sigaction stop = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    struct sigaction save = {.sa_handler = on_save, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGUSR1, &save, NULL);
}

/* ------------------------------------------------------------------ showing */

static struct {
    int bar;       /* 1 a terminal, 0 plain lines, -1 not looked yet */
    int open;      /* the bar's line is not ended */
    double shown;  /* clock of the last line */
    char stage[32];
} screen = {.bar = -1};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void duration_text(double seconds, char *out, size_t size) {
    long s = (long)(seconds + 0.5);
    if (s >= 3600) snprintf(out, size, "%ld h %02ld min", s / 3600, s / 60 % 60);
    else if (s >= 60) snprintf(out, size, "%ld min %02ld s", s / 60, s % 60);
    else snprintf(out, size, "%ld s", s);
}

static int columns(void) {
    struct winsize w;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) || w.ws_col < 40) return 80;
    return w.ws_col > 240 ? 240 : w.ws_col;
}

void progress_end(void) {
    if (screen.open) fputc('\n', stderr);
    screen.open = 0;
}

static bool is_complete(const pcv_progress *p) { return p->total > 0 && p->done >= p->total; }

/* "[=====>     ] 45 %  1234 tokens/s  2 min 03 s left  loss ..." cut to the terminal's width. */
static void show_bar(const pcv_progress *p, const char *left) {
    enum { BAR = 24 };
    char bar[BAR + 1], line[512];
    double share = p->total > 0 ? p->done / p->total : 0;
    int full = (int)(share * BAR);
    for (int i = 0; i < BAR; i++) bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[BAR] = 0;
    char rate[64] = "";
    if (p->unit) snprintf(rate, sizeof rate, "%.4g %s/s  ", p->rate, p->unit);
    int size = p->total > 0 ? snprintf(line, sizeof line, "[%s] %3.0f %%  %s%s left  %s", bar, 100 * share, rate, left,
                                       p->line ? p->line : p->stage)
                            : snprintf(line, sizeof line, "%s, %.0f s", p->stage, p->seconds);
    if (size > columns() - 1) line[columns() - 1] = 0;
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    screen.open = 1;
    if (is_complete(p) && !p->line) progress_end();
}

static void show_line(const pcv_progress *p, const char *left) {
    char rate[64] = "";
    if (p->unit) snprintf(rate, sizeof rate, "%.4g %s/s, ", p->rate, p->unit);
    if (p->total > 0)
        fprintf(stderr, "%s: %.1f %%, %s%s left%s%s\n", p->stage, 100 * p->done / p->total, rate, left,
                p->line ? ", " : "", p->line ? p->line : "");
    else fprintf(stderr, "%s: %.0f s\n", p->stage, p->seconds);
}

static int on_progress(void *context, const pcv_progress *p) {
    (void)context;
    if (screen.bar < 0) {
        const char *term = getenv("TERM");
        screen.bar = isatty(STDERR_FILENO) && !getenv("NO_COLOR") && term && strcmp(term, "dumb");
    }
    bool fresh = strcmp(screen.stage, p->stage) != 0, complete = is_complete(p);
    double time = now(), every = screen.bar ? 0.1 : 10;
    if (fresh) snprintf(screen.stage, sizeof screen.stage, "%s", p->stage);
    if (fresh && !screen.bar) screen.shown = time - every + 2; /* first plain line after two seconds */
    if (time - screen.shown >= every || (complete && screen.bar)) {
        char left[64];
        double share = p->total > 0 ? p->done / p->total : 0;
        screen.shown = time;
        duration_text(share > 0 ? p->seconds * (1 - share) / share : 0, left, sizeof left);
        if (screen.bar) show_bar(p, left);
        else show_line(p, left);
    }
    if (stop_asked) return PCV_STOP;
    if (!save_asked) return 0;
    save_asked = 0;
    return PCV_SAVE;
}

static void on_message(void *context, const char *line) {
    (void)context;
    if (screen.open) fputs("\r\033[K", stderr);
    screen.open = 0;
    cli_say("%s", line);
}

pcv_watch progress_watch(void) {
    return (pcv_watch){.progress = on_progress, .message = on_message};
}
