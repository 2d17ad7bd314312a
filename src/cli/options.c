#include "cli/options.h"
#include "cli/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LONG = 128, FIRST_LONG = 256, WIDTH = 26, COLUMNS = 96 };

const command *command_find(const char *name) {
    for (const command *c = commands; c->name; c++)
        if (!strcmp(c->name, name)) return c;
    return NULL;
}

/* ------------------------------------------------------------------ suggestions */

/* Edits that turn a into b, at most some tens. */
static int distance(const char *a, const char *b) {
    int row[64], m = (int)strnlen(b, 63);
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j - 1] + 1 < change) change = row[j - 1] + 1;
            row[j] = row[j] + 1 < change ? row[j] + 1 : change;
        }
    }
    return row[m];
}

const char *command_nearest(const char *name) {
    const char *best = NULL;
    int least = 4;
    for (const command *c = commands; c->name; c++)
        if (distance(name, c->name) < least) {
            least = distance(name, c->name);
            best = c->name;
        }
    return best;
}

/* ------------------------------------------------------------------ parsing */

/* Long options of a command: its own, then those of its groups. */
typedef struct long_table {
    struct option list[MOST_LONG + 1];
    int own[MOST_LONG]; /* index among the command's own options, or -1 */
    int count;
    char letters[2 * MOST_OPTIONS + 4];
} long_table;

static void add_long(long_table *t, const char *name, int argument, int own) {
    if (t->count == MOST_LONG) return;
    t->own[t->count] = own;
    t->list[t->count] = (struct option){name, argument, NULL, FIRST_LONG + t->count};
    t->list[++t->count] = (struct option){0};
}

static void build_table(long_table *t, const command *c) {
    char *at = t->letters;
    *t = (long_table){.count = 0};
    *at++ = '-'; /* plain arguments come in order, as option 1 */
    *at++ = ':';
    for (int i = 0; i < MOST_OPTIONS && c->options[i].name; i++) {
        const cli_option *o = &c->options[i];
        int argument = o->kind == OPTION_SWITCH ? no_argument : required_argument;
        if (o->name[1]) add_long(t, o->name, argument, i);
        else {
            *at++ = o->name[0];
            if (argument == required_argument) *at++ = ':';
        }
    }
    *at = 0;
    for (int g = 0; g < c->group_count; g++) {
        pcv_option o;
        for (int i = 0; pcv_option_at(c->groups[g], i, &o); i++)
            add_long(t, o.name, o.argument ? required_argument : optional_argument, -1);
    }
    add_long(t, "help", no_argument, -1);
}

static int own_index(const command *c, const char *name) {
    for (int i = 0; i < MOST_OPTIONS && c->options[i].name; i++)
        if (!strcmp(c->options[i].name, name)) return i;
    return -1;
}

static int unknown_option(const long_table *t, const char *word, pcv_error *err) {
    char name[128];
    const char *best = NULL;
    int least = 4;
    snprintf(name, sizeof name, "%s", word[1] == '-' ? word + 2 : word + 1);
    name[strcspn(name, "=")] = 0;
    for (int i = 0; i < t->count; i++)
        if (distance(name, t->list[i].name) < least) {
            least = distance(name, t->list[i].name);
            best = t->list[i].name;
        }
    if (best) return cli_fail(err, PCV_USAGE, "unknown option '%s'; did you mean '--%s'?", word, best);
    return cli_fail(err, PCV_USAGE, "unknown option '%s'; --help lists the options", word);
}

static int push_list(arguments *a, int own, const char *value, pcv_error *err) {
    int count = a->list_count[own];
    const char **list = realloc(a->list[own], (size_t)(count + 2) * sizeof *list);
    if (!list) return cli_fail(err, PCV_MEMORY, "not enough memory");
    list[count] = value;
    list[count + 1] = NULL;
    a->list[own] = list;
    a->list_count[own] = count + 1;
    return 0;
}

static int take_own(arguments *a, int own, const char *value, int *open_list, pcv_error *err) {
    *open_list = -1;
    a->value[own] = value ? value : "";
    if (a->command->options[own].kind != OPTION_LIST) return 0;
    *open_list = own;
    return push_list(a, own, value, err);
}

static int check_count(const arguments *a, pcv_error *err) {
    const command *c = a->command;
    if (a->count < c->least)
        return cli_fail(err, PCV_USAGE, "something is missing; usage: perceiver %s %s", c->name, c->usage);
    if (a->count > c->most)
        return cli_fail(err, PCV_USAGE, "'%s' is one argument too many; usage: perceiver %s %s", a->plain[c->most],
                           c->name, c->usage);
    return 0;
}

int arguments_parse(arguments *a, const command *c, int argc, char **argv, pcv_error *err) {
    long_table t;
    int status, open_list = -1;
    *a = (arguments){.command = c};
    build_table(&t, c);
    a->plain = calloc((size_t)argc + 1, sizeof *a->plain);
    if (!a->plain) return cli_fail(err, PCV_MEMORY, "not enough memory");
    status = pcv_settings_open(&a->settings, err);
    optind = 0;
    opterr = 0;
    for (int code; !status && (code = getopt_long(argc, argv, t.letters, t.list, NULL)) != -1;) {
        const char *word = optind > 0 ? argv[optind - 1] : "";
        if (code == 1 && open_list >= 0) status = push_list(a, open_list, optarg, err);
        else if (code == 1) a->plain[a->count++] = optarg;
        else if (code == ':') status = cli_fail(err, PCV_USAGE, "option '%s' needs a value", word);
        else if (code == '?') {
            char letter[] = {'-', (char)optopt, 0}; /* one of several behind a dash, where optopt is one */
            status = unknown_option(&t, optopt > 0 && optopt < FIRST_LONG ? letter : word, err);
        } else if (code < FIRST_LONG) {
            char letter[2] = {(char)code, 0};
            status = take_own(a, own_index(c, letter), optarg, &open_list, err);
        } else if (t.own[code - FIRST_LONG] >= 0) {
            status = take_own(a, t.own[code - FIRST_LONG], optarg, &open_list, err);
        } else if (!strcmp(t.list[code - FIRST_LONG].name, "help")) {
            print_command_help(c);
            exit(0);
        } else {
            open_list = -1;
            status = pcv_settings_set(a->settings, t.list[code - FIRST_LONG].name, optarg ? optarg : "true", err);
        }
    }
    while (!status && optind < argc) a->plain[a->count++] = argv[optind++]; /* behind "--" */
    return status ? status : check_count(a, err);
}

void arguments_free(arguments *a) {
    for (int i = 0; i < MOST_OPTIONS; i++) free(a->list[i]);
    free(a->plain);
    pcv_settings_close(a->settings);
}

const char *arguments_value(const arguments *a, const char *name) {
    int i = own_index(a->command, name);
    return i < 0 ? NULL : a->value[i];
}

const char *const *arguments_list(const arguments *a, const char *name) {
    int i = own_index(a->command, name);
    return i < 0 ? NULL : a->list[i];
}

/* ------------------------------------------------------------------ help */

/* Prints text behind a column of WIDTH, broken between words. */
static void print_wrapped(const char *text, const char *initial) {
    int column = WIDTH + 2;
    char all[1024];
    snprintf(all, sizeof all, initial && *initial ? "%s (default %s)" : "%s", text, initial);
    for (char *word = strtok(all, " "); word; word = strtok(NULL, " ")) {
        int length = (int)strlen(word);
        if (column + length + 1 > COLUMNS) {
            printf("\n%*s", WIDTH + 2, "");
            column = WIDTH + 2;
        }
        printf(" %s", word);
        column += length + 1;
    }
    putchar('\n');
}

static void print_option(const char *name, const char *argument, const char *help, const char *initial) {
    char left[320];
    snprintf(left, sizeof left, "%s%s%s%s", name[1] ? "--" : "-", name, argument ? " " : "",
             argument ? argument : "");
    printf("  %-*s", WIDTH, left);
    if ((int)strlen(left) > WIDTH) printf("\n%*s", WIDTH + 2, "");
    print_wrapped(help, initial);
}

static const char *const group_titles[PCV_GROUPS] = {
    [PCV_MODEL] = "Model", [PCV_TRAINING] = "Training", [PCV_SAMPLING] = "Sampling",
    [PCV_EVALUATION] = "Evaluation", [PCV_TOKENS] = "Tokens"};

void print_command_help(const command *c) {
    printf("perceiver %s %s\n\n%s.\n\nOptions\n", c->name, c->usage, c->summary);
    for (int i = 0; i < MOST_OPTIONS && c->options[i].name; i++)
        print_option(c->options[i].name, c->options[i].argument, c->options[i].help, NULL);
    print_option("help", NULL, "this text", NULL);
    for (int g = 0; g < c->group_count; g++) {
        pcv_option o;
        printf("\n%s\n", group_titles[c->groups[g]]);
        for (int i = 0; pcv_option_at(c->groups[g], i, &o); i++)
            print_option(o.name, o.argument, o.help, o.initial);
    }
    printf("\nExample\n  %s\n", c->example);
}

void print_help(void) {
    printf("perceiver " PCV_VERSION ": train and run autoregressive models over very long sequences\n\n"
           "Usage: perceiver COMMAND ...\n\nCommands\n");
    for (const command *c = commands; c->name; c++) printf("  %-10s %s\n", c->name, c->summary);
    printf("\nperceiver COMMAND --help lists a command's options. Exit status: 0 success, 64 wrong usage,\n"
           "65 bad data, 66 no such input, 70 numeric failure, 71 memory, 73 cannot create, 74 input or\n"
           "output, 75 interrupted and resumable, 78 configuration.\n");
}

static void man_option(const char *name, const char *argument, const char *help, const char *initial) {
    printf("*%s%s*", name[1] ? "\\-\\-" : "-", name);
    if (argument) {
        putchar(' ');
        for (const char *c = argument; *c; c++) {
            if (strchr("_*\\", *c)) putchar('\\');
            putchar(*c);
        }
    }
    printf("\n\t");
    for (const char *c = help; *c; c++) {
        if (strchr("_*\\", *c)) putchar('\\');
        putchar(*c);
    }
    if (initial && *initial) printf(" (default %s)", initial);
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
            man_option(c->options[i].name, c->options[i].argument, c->options[i].help, NULL);
        for (int g = 0; g < c->group_count; g++)
            printf("and the %s options below.\n\n", group_titles[c->groups[g]]);
        printf("Example: %s\n\n", c->example);
    }
    for (int g = 0; g < PCV_GROUPS; g++) {
        pcv_option o;
        printf("# %s OPTIONS\n\n", group_titles[g]);
        for (int i = 0; pcv_option_at((pcv_group)g, i, &o); i++)
            man_option(o.name, o.argument, o.help, o.initial);
    }
    printf("# ENVIRONMENT\n\n*PERCEIVER_KERNELS*\n\tForces a kernel level: reference, plain, neon, avx2, avx512.\n\n"
           "*NO_COLOR*\n\tNo colours and no progress bar.\n\n# EXIT STATUS\n\n"
           "0 success, 64 wrong usage, 65 bad data, 66 no such input, 70 numeric failure, 71 memory, 73 cannot "
           "create, 74 input or output, 75 interrupted and resumable, 78 configuration.\n");
}
