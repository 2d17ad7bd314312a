/* Parsing. A command's long options are its own and those of its groups of settings, in one list for getopt_long;
 * what each is stands beside it. A setting goes to the library as it was typed, which checks it and names the flag
 * in its error: nothing here knows a value. Plain arguments come in their order, as option 1, so that a list can
 * take those that follow it. */
#include "cli/options.h"
#include "cli/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LONG = 256, FIRST_LONG = 256, LONGEST_NAME = 64 };

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

static bool is_among(const char *const *names, const char *name) {
    for (int i = 0; i < MOST_NAMES && names[i]; i++)
        if (!strcmp(names[i], name)) return true;
    return false;
}

/* What a long option is, where it is none of the command's own, which are known by their index. */
enum { IS_SETTING = -1, IS_OFF = -2, IS_HELP = -3 };

/* Long options of a command: its own, then those of its groups; of a setting that is on or off, also --no-NAME. */
typedef struct long_table {
    struct option list[MOST_LONG + 1];
    char name[MOST_LONG][LONGEST_NAME];
    int what[MOST_LONG]; /* index among the command's own options, or one of the kinds above */
    const char *setting[MOST_LONG];
    int count;
    char letters[2 * MOST_OPTIONS + 5];
} long_table;

bool command_takes(const command *c, const char *setting) { return !is_among(c->without, setting); }

bool command_setting(const command *c, int group, int *i, pcv_option *setting) {
    while (pcv_option_at(c->groups[group], (*i)++, setting))
        if (command_takes(c, setting->name)) return true;
    return false;
}

static void add_long(long_table *t, const char *prefix, const char *name, int argument, int what) {
    int i = t->count++;
    if (i >= MOST_LONG || snprintf(t->name[i], LONGEST_NAME, "%s%s", prefix, name) >= LONGEST_NAME) abort();
    t->what[i] = what;
    t->setting[i] = name;
    t->list[i] = (struct option){t->name[i], argument, NULL, FIRST_LONG + i};
}

static void build_table(long_table *t, const command *c) {
    char *at = t->letters;
    *t = (long_table){.count = 0};
    *at++ = '-'; /* plain arguments come in order, as option 1 */
    *at++ = ':';
    *at++ = 'h';
    for (int i = 0; i < MOST_OPTIONS && c->options[i].name; i++) {
        const cli_option *o = &c->options[i];
        int argument = o->kind == OPTION_SWITCH ? no_argument : required_argument;
        if (o->name[1]) add_long(t, "", o->name, argument, i);
        else {
            *at++ = o->name[0];
            if (argument == required_argument) *at++ = ':';
        }
    }
    *at = 0;
    for (int g = 0; g < c->group_count; g++) {
        pcv_option o;
        for (int i = 0; command_setting(c, g, &i, &o);) {
            add_long(t, "", o.name, o.argument ? required_argument : optional_argument, IS_SETTING);
            if (!o.argument) add_long(t, "no-", o.name, no_argument, IS_OFF);
        }
    }
    add_long(t, "", "help", no_argument, IS_HELP);
    t->list[t->count] = (struct option){0};
}

static int own_index(const command *c, const char *name) {
    for (int i = 0; i < MOST_OPTIONS && c->options[i].name; i++)
        if (!strcmp(c->options[i].name, name)) return i;
    return -1;
}

/* A setting that the command's groups have, but which says nothing to the command. */
static bool is_without(const command *c, const char *word) {
    char name[LONGEST_NAME];
    snprintf(name, sizeof name, "%s", word + strspn(word, "-"));
    name[strcspn(name, "=")] = 0;
    return is_among(c->without, name);
}

/* `word` is none of the table's options, or one that takes no value but was given one. */
static int unknown_option(const long_table *t, const command *c, const char *word, pcv_error *err) {
    char name[128];
    const char *best = NULL;
    int least = 4;
    if (is_without(c, word)) return cli_fail(err, PCV_USAGE, "option '%s' says nothing to %s", word, c->name);
    snprintf(name, sizeof name, "%s", word[1] == '-' ? word + 2 : word + 1);
    name[strcspn(name, "=")] = 0;
    for (int i = 0; i < t->count; i++)
        if (distance(name, t->list[i].name) < least) {
            least = distance(name, t->list[i].name);
            best = t->list[i].name;
        }
    if (best && !least) return cli_fail(err, PCV_USAGE, "option '--%s' takes no value", best);
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

/* Nothing but a text is ever meant to be empty: it is a variable of a shell that was not set. */
static int take_own(arguments *a, int own, const char *value, int *open_list, pcv_error *err) {
    const cli_option *o = &a->command->options[own];
    *open_list = -1;
    if (o->kind != OPTION_SWITCH && o->kind != OPTION_TEXT && !*value)
        return cli_fail(err, PCV_USAGE, "option '%s%s' needs a value, but it is empty", option_dashes(o->name),
                        o->name);
    if (o->kind == OPTION_PLACE && !strcmp(value, "-"))
        return cli_fail(err, PCV_USAGE, "option '%s%s' takes the name of something to make, not standard output",
                        option_dashes(o->name), o->name);
    a->value[own] = value ? value : "";
    if (o->kind != OPTION_LIST && o->kind != OPTION_REPEATED) return 0;
    if (o->kind == OPTION_LIST) *open_list = own;
    return push_list(a, own, value, err);
}

static int take_long(arguments *a, const long_table *t, int i, const char *value, int *open_list, pcv_error *err) {
    const char *name = t->list[i].name;
    int what = t->what[i];
    if (what >= 0) return take_own(a, what, value, open_list, err);
    *open_list = -1;
    a->help |= what == IS_HELP;
    if (what == IS_HELP) return 0;
    if (a->given_count < MOST_GIVEN - 1) a->given[a->given_count++] = t->setting[i];
    if (what == IS_OFF) return pcv_settings_set(a->settings, name + strlen("no-"), "false", err);
    return pcv_settings_set(a->settings, name, value ? value : "true", err);
}

static int take_plain(arguments *a, const char *value, int open_list, pcv_error *err) {
    if (!*value) return cli_fail(err, PCV_USAGE, "an argument is empty; usage: perceiver %s %s", a->command->name,
                                 a->command->usage);
    if (open_list >= 0) return push_list(a, open_list, value, err);
    a->plain[a->count++] = value;
    return 0;
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

static bool is_met(const arguments *a, const char *others) {
    bool met = false;
    for (const char *at = others; *at && !met; at += strcspn(at, "|"), at += *at == '|') {
        char name[LONGEST_NAME];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "|"), at);
        met = strcmp(name, "INPUT") ? arguments_value(a, name) != NULL : a->count > a->command->least;
    }
    return met;
}

static int check_needs(const arguments *a, pcv_error *err) {
    for (const cli_need *n = a->command->needs; n < a->command->needs + MOST_NAMES && n->name; n++) {
        const char *bar = strchr(n->others, '|'), *front = strcmp(n->others, "INPUT") ? option_dashes(n->others) : "";
        if (!arguments_value(a, n->name) || is_met(a, n->others)) continue;
        return cli_fail(err, PCV_USAGE, "%s%s belongs to %s%.*s%s%s", option_dashes(n->name), n->name, front,
                        (int)strcspn(n->others, "|"), n->others, bar ? " or --" : "", bar ? bar + 1 : "");
    }
    return 0;
}

static bool is_given(const arguments *a, const char *name) {
    for (int i = 0; i < a->given_count; i++)
        if (!strcmp(a->given[i], name)) return true;
    return arguments_value(a, name) != NULL;
}

int arguments_check_run(const arguments *a, bool is_text, const char *kind, pcv_error *err) {
    const char *const *others = is_text ? a->command->files : a->command->text;
    for (int i = 0; i < MOST_NAMES && others[i]; i++)
        if (is_given(a, others[i]))
            return cli_fail(err, PCV_USAGE, "--%s: not for %s, which the run generates%s", others[i], kind,
                            is_text || strcmp(others[i], "prompt") ? "" : "; give --complete FILE");
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
        if (code == 1) status = take_plain(a, optarg, open_list, err);
        else if (code == ':') status = cli_fail(err, PCV_USAGE, "option '%s' needs a value", word);
        else if (code == '?') {
            char letter[] = {'-', (char)optopt, 0}; /* one of several behind a dash, where optopt is one */
            status = unknown_option(&t, c, optopt > 0 && optopt < FIRST_LONG ? letter : word, err);
        } else if (code >= FIRST_LONG) {
            status = take_long(a, &t, code - FIRST_LONG, optarg, &open_list, err);
        } else if (code == 'h') {
            a->help = true;
        } else {
            char letter[2] = {(char)code, 0};
            status = take_own(a, own_index(c, letter), optarg, &open_list, err);
        }
    }
    if (a->help) return 0;
    while (!status && optind < argc) status = take_plain(a, argv[optind++], -1, err); /* behind "--" */
    if (!status) status = check_count(a, err);
    return status ? status : check_needs(a, err);
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
