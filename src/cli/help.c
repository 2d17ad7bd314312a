/* --help and the man page, from the tables of commands and options. */
#include "cli/options.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { USUAL_WIDTH = 80, LEAST_WIDTH = 40, MOST_WIDTH = 110, HELP_COLUMN = 28 };

/* ------------------------------------------------------------------ words on lines */

/* Where the next word goes. */
typedef struct page {
    int width, column;
    const command *command; /* whose options are told; NULL: of all commands */
} page;

static page page_open(void) {
    struct winsize w;
    int width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || !w.ws_col ? USUAL_WIDTH : w.ws_col;
    if (width < LEAST_WIDTH) width = LEAST_WIDTH;
    return (page){.width = width < MOST_WIDTH ? width : MOST_WIDTH};
}

static void new_line(page *p, int indent) {
    printf("\n%*s", indent, "");
    p->column = indent;
}

/* How much of a word that is wider than a line goes into `room`: up to a bar or comma, or all where there is none. */
static int broken(const char *word, int size, int room) {
    for (int part = room < size ? room : size; part > 0; part--)
        if (strchr("|,", word[part - 1])) return part;
    return size;
}

/* Words with spaces between them; lines behind the first begin at `indent`. */
static void put_words(page *p, const char *text, int indent) {
    for (int space = 0; *text;) {
        int size = (int)strcspn(text, " "), room = p->width - 1 - p->column - space;
        if (size > p->width - 1 - indent) size = broken(text, size, room);
        if (size > room && p->column > indent) {
            new_line(p, indent);
            space = 0;
            continue;
        }
        p->column += printf("%*s%.*s", space, "", size, text);
        text += size;
        space = *text == ' ';
        text += strspn(text, " ");
    }
}

static void put_paragraph(page *p, const char *text, int indent) {
    p->column = 0;
    put_words(p, text, indent);
    putchar('\n');
}

/* ------------------------------------------------------------------ help */

/* "-o FILE", "--size N", "--[no-]tied". */
static void option_text(char *out, size_t size, const pcv_option *o) {
    bool letter = !o->name[1], can_be_off = !o->argument && o->initial;
    snprintf(out, size, "%s%s%s%s%s", letter ? "-" : "--", can_be_off ? "[no-]" : "", o->name, o->argument ? " " : "",
             o->argument ? o->argument : "");
}

/* A switch is on or off, and what it says tells which is usual. */
static const char *shown_default(const pcv_option *o) {
    if (!o->argument && o->initial) return strcmp(o->initial, "true") ? "off" : "on";
    return o->initial && *o->initial ? o->initial : NULL;
}

static void print_option(page *p, const pcv_option *o) {
    char left[512], help[1024];
    const char *initial = shown_default(o);
    option_text(left, sizeof left, o);
    snprintf(help, sizeof help, initial ? "%s (default %s)" : "%s", o->help, initial);
    p->column = printf("  ");
    put_words(p, left, 6);
    if (strlen(left) + 4 > HELP_COLUMN) new_line(p, HELP_COLUMN);
    else p->column += printf("%*s", HELP_COLUMN - p->column, "");
    put_words(p, help, HELP_COLUMN);
    putchar('\n');
}

static const char *const group_titles[PCV_GROUPS] = {
    [PCV_MODEL] = "Model", [PCV_TRAINING] = "Training", [PCV_SAMPLING] = "Sampling",
    [PCV_EVALUATION] = "Evaluation", [PCV_TOKENS] = "Tokens"};

typedef void title_fn(page *p, const char *group, const char *architectures);
typedef void option_fn(page *p, const pcv_option *o);

static bool same(const char *a, const char *b) { return a && b ? !strcmp(a, b) : a == b; }

/* The next option of a group from *i on that the page is about. */
static bool next_option(pcv_settings *s, pcv_group group, const page *p, int *i, pcv_option *o) {
    while (pcv_option_of(s, group, (*i)++, o))
        if (!p || !p->command || command_takes(p->command, o->name)) return true;
    return false;
}

/* Was the section of these architectures there before option i? */
static bool is_done(pcv_settings *s, pcv_group group, const page *p, int i, const char *architectures) {
    pcv_option o;
    for (int k = 0; next_option(s, group, p, &k, &o) && k < i;)
        if (same(o.architectures, architectures)) return true;
    return false;
}

/* The options of a group: those of all architectures first, then a section for each set of architectures that have some
 * of their own. Settings may say which one counts. */
static void each_section(pcv_settings *s, pcv_group group, title_fn *title, option_fn *option, page *p) {
    pcv_option first, o;
    for (int i = 0; next_option(s, group, p, &i, &first);) {
        const char *architectures = first.architectures;
        if (is_done(s, group, p, i, architectures)) continue;
        title(p, group_titles[group], architectures);
        for (int k = 0; next_option(s, group, p, &k, &o);)
            if (same(o.architectures, architectures)) option(p, &o);
    }
}

static const char exit_statuses[] =
    "0 success, 64 wrong usage, 65 bad data, 66 no such input, 70 numeric failure, 71 memory, 73 cannot create, 74 "
    "input or output, 75 interrupted and resumable, 78 configuration.";

static const char numbers[] =
    "Numbers are decimal: 5, -1, and where a fraction makes sense also 0.5 and 1e-4; no spaces, plus signs, letters or "
    "separators of thousands.";

static void print_title(page *p, const char *group, const char *architectures) {
    char title[256];
    snprintf(title, sizeof title, architectures ? "%s: %s" : "%s", group, architectures);
    putchar('\n');
    put_paragraph(p, title, 2);
}

void print_command_help(const command *c, pcv_settings *settings) {
    page p = page_open();
    p.command = c;
    char usage[256];
    snprintf(usage, sizeof usage, "perceiver %s %s", c->name, c->usage);
    put_paragraph(&p, usage, 4);
    putchar('\n');
    put_paragraph(&p, c->summary, 0);
    printf("\nOptions\n");
    for (int i = 0; i < MOST_OPTIONS && c->options[i].name; i++)
        print_option(&p, &(pcv_option){.name = c->options[i].name, .argument = c->options[i].argument,
                                       .help = c->options[i].help});
    print_option(&p, &(pcv_option){.name = "help", .help = "this text"});
    for (int g = 0; g < c->group_count; g++) each_section(settings, c->groups[g], print_title, print_option, &p);
    printf("\nExample\n");
    p.column = printf("  ");
    put_words(&p, c->example, 6);
    putchar('\n');
}

void print_help(void) {
    page p = page_open();
    put_paragraph(&p, "perceiver " PCV_VERSION ": train and run autoregressive models over very long sequences", 0);
    printf("\nUsage: perceiver COMMAND ...\n\nCommands\n");
    for (const command *c = commands; c->name; c++) {
        p.column = printf("  %-10s ", c->name);
        put_words(&p, c->summary, p.column);
        putchar('\n');
    }
    putchar('\n');
    put_paragraph(&p, "'perceiver help COMMAND' lists its options: with --arch NAME those that this kind of model has, "
                  "with --dialect NAME or --preset NAME their defaults. 'perceiver --version' tells the version; for "
                  "completion, ~/.bashrc takes: source <(perceiver --completion bash)", 0);
    put_paragraph(&p, numbers, 0);
    printf("Exit status: ");
    p.column = 13;
    put_words(&p, exit_statuses, 0);
    putchar('\n');
}

/* ------------------------------------------------------------------ man page */

static void man_text(const char *text) {
    for (; *text; text++) {
        if (strchr("_*\\", *text)) putchar('\\');
        putchar(*text);
    }
}

static void man_title(page *p, const char *group, const char *architectures) {
    (void)p;
    if (architectures) printf("## %s OPTIONS OF %s\n\n", group, architectures);
    else printf("# %s OPTIONS\n\n", group);
}

static void man_option(page *p, const pcv_option *o) {
    (void)p;
    char left[512];
    const char *initial = shown_default(o);
    option_text(left, sizeof left, o);
    size_t name = strcspn(left, " ");
    putchar('*');
    for (size_t i = 0; i < name; i++) printf(left[i] == '-' ? "\\-" : "%c", left[i]);
    putchar('*');
    man_text(left + name);
    printf("\n\t");
    man_text(o->help);
    if (initial) printf(" (default %s)", initial);
    printf("\n\n");
}

void print_man_page(void) {
    printf("perceiver(1)\n\n# NAME\n\nperceiver - train and run autoregressive models over very long sequences\n\n"
           "# SYNOPSIS\n\n*perceiver* COMMAND [OPTIONS] [ARGUMENTS]\n\n# DESCRIPTION\n\n"
           "perceiver prepares data, trains, evaluates and generates with Perceiver AR: one causally masked "
           "cross-attention reads a long input into a few latents, and a deep causally masked self-attention "
           "stack over the latents does the rest.\n\n");
    for (const command *c = commands; c->name; c++) {
        printf("# PERCEIVER %s\n\n*perceiver %s* %s\n\n%s.\n\n", c->name, c->name, c->usage, c->summary);
        for (int i = 0; i < MOST_OPTIONS && c->options[i].name; i++)
            man_option(NULL, &(pcv_option){.name = c->options[i].name, .argument = c->options[i].argument,
                                           .help = c->options[i].help});
        for (int g = 0; g < c->group_count; g++)
            printf("and the %s options below%s", group_titles[c->groups[g]], *c->without ? " without" : "");
        for (int i = 0; i < MOST_NAMES && c->without[i]; i++) printf("%s \\-\\-%s", i ? "," : "", c->without[i]);
        if (c->group_count) printf(".\n\n");
        printf("Example: %s\n\n", c->example);
    }
    for (int g = 0; g < PCV_GROUPS; g++) each_section(NULL, (pcv_group)g, man_title, man_option, NULL);
    printf("# NUMBERS\n\n%s\n\n# ENVIRONMENT\n\n"
           "*PERCEIVER_KERNELS*\n\tTakes kernels of another level than the best, which --version names: plain, "
           "reference, or one in between. What this processor has not is refused, with those that it has.\n\n"
           "*NO_COLOR*\n\tNo colours and no progress bar.\n\n# EXIT STATUS\n\n%s\n", numbers, exit_statuses);
}
