/* One line of standard error that is drawn over itself. Its parts are put in the order of their worth, as many as
 * the terminal is wide at that moment; a message clears it first. Where nobody looks at a terminal a plain line
 * now and then has to do, so that a log stays short. No timer runs: it is drawn when the work says how far it is. */
#include "cli/progress.h"
#include "cli/commands.h"
#include "cli/signals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

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

/* "50,340", "87.5", "0.42" */
static void plain_number(double x, char *out, size_t size) {
    char digits[64];
    snprintf(digits, sizeof digits, "%.*f", x < 10 ? 2 : x < 100 ? 1 : 0, x);
    size_t count = strcspn(digits, "."), used = 0;
    for (size_t i = 0; digits[i] && used + 2 < size; i++) {
        if (i && i < count && (count - i) % 3 == 0) out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = 0;
}

void progress_end(void) {
    if (screen.open) fputc('\n', stderr);
    screen.open = 0;
}

static bool is_complete(const pcv_progress *p) { return p->total > 0 && p->done >= p->total; }

/* One line of the terminal, as wide as it is now: the last column stays free, so that nothing wraps. */
typedef struct bar_line {
    char text[1024];
    size_t size;
    int room; /* columns that are left */
} bar_line;

static bar_line bar_begin(void) {
    struct winsize w;
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) || !w.ws_col ? 80 : w.ws_col;
    return (bar_line){.room = columns < 240 ? columns - 1 : 239};
}

static bool begins_character(char c) { return (c & 0xC0) != 0x80; }

static int width_of(const char *text) {
    int width = 0;
    for (; *text; text++) width += begins_character(*text);
    return width;
}

/* Adds a part that fits; of the first, what fits. Behind one that does not there are no more. */
static void put(bar_line *b, const char *gap, const char *part) {
    char shown[256], all[300];
    pcv_line(shown, sizeof shown, part);
    snprintf(all, sizeof all, "%s%s", b->size ? gap : "", shown);
    if (b->size && width_of(all) > b->room) b->room = 0;
    for (const char *c = all; *c && b->room >= begins_character(*c); c++) {
        b->room -= begins_character(*c);
        b->text[b->size++] = *c;
    }
    b->text[b->size] = 0;
}

/* The parts of a line "loss 2.1, 3.0 bits, update 7": the first, then the others. */
static void put_clauses(bar_line *b, const char *line, bool first) {
    for (bool begins = true; *line; begins = false) {
        char clause[128];
        size_t size = strcspn(line, ",");
        snprintf(clause, sizeof clause, "%.*s", (int)size, line);
        if (begins == first) put(b, ", ", clause);
        line += size;
        line += strspn(line, ", ");
    }
}

static void put_bar(bar_line *b, double share) {
    enum { LEAST = 8, MOST = 24 };
    char bar[MOST + 3] = "[";
    int size = b->room - 4 < MOST ? b->room - 4 : MOST, full = (int)(share * size);
    if (size < LEAST) return;
    for (int i = 0; i < size; i++) bar[i + 1] = i < full ? '=' : i == full ? '>' : ' ';
    bar[size + 1] = ']';
    put(b, "  ", bar);
}

static void rate_text(const pcv_progress *p, char *out, size_t size) {
    char number[64];
    plain_number(p->rate, number, sizeof number);
    snprintf(out, size, "%s %s/s", number, p->unit);
}

/* "loss 2.0412  2 min 03 s left  45 %, 2.9448 bits, update 1200  50,340 tokens/s  [=====>     ]", as much as fits. */
static void show_bar(const pcv_progress *p, const char *left) {
    bar_line b = bar_begin();
    char part[128];
    if (p->total > 0) {
        double share = p->done / p->total;
        put_clauses(&b, p->line ? p->line : p->stage, true);
        snprintf(part, sizeof part, "%s left", left);
        put(&b, "  ", part);
        snprintf(part, sizeof part, "%.0f %%", 100 * share);
        put(&b, "  ", part);
        put_clauses(&b, p->line ? p->line : p->stage, false);
        if (p->unit) {
            rate_text(p, part, sizeof part);
            put(&b, "  ", part);
        }
        put_bar(&b, share);
    } else {
        snprintf(part, sizeof part, "%s, %.0f s", p->stage, p->seconds);
        put(&b, "", part);
    }
    fprintf(stderr, "\r\033[K%s", b.text);
    fflush(stderr);
    screen.open = 1;
    if (is_complete(p) && !p->line) progress_end();
}

static void show_line(const pcv_progress *p, const char *left) {
    char rate[128] = "";
    if (p->unit) rate_text(p, rate, sizeof rate);
    if (p->total > 0)
        cli_say("%s: %.1f %%, %s%s%s left%s%s", p->stage, 100 * p->done / p->total, rate, *rate ? ", " : "", left,
                p->line ? ", " : "", p->line ? p->line : "");
    else cli_say("%s: %.0f s", p->stage, p->seconds);
}

static int on_signal(void *context, const pcv_progress *p) {
    (void)context, (void)p;
    return signals_wish();
}

static int on_progress(void *context, const pcv_progress *p) {
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
    return on_signal(context, p);
}

static void on_message(void *context, const char *line) {
    (void)context;
    if (screen.open) fputs("\r\033[K", stderr);
    screen.open = 0;
    cli_say("%s", line);
}

pcv_watch signals_watch(void) { return (pcv_watch){.progress = on_signal, .message = on_message}; }

pcv_watch progress_watch(void) {
    return (pcv_watch){.progress = on_progress, .message = on_message};
}
