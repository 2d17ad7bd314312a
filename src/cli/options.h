/* The command line: one table of commands, each with its own options and the groups of settings that it
 * takes from the library. Parsing, --help and the man page come from these tables. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "perceiver.h"

typedef struct arguments arguments;

typedef enum option_kind {
    OPTION_SWITCH,
    OPTION_VALUE,
    OPTION_TEXT,     /* may be empty */
    OPTION_PLACE,    /* names what is made beside standard output, so that "-" is none */
    OPTION_LIST,     /* also takes the plain arguments that follow it; others do not */
    OPTION_REPEATED,
} option_kind;

typedef struct cli_option {
    const char *name; /* a one-letter name is a short option */
    option_kind kind;
    const char *argument, *help;
} cli_option;

static inline const char *option_dashes(const char *name) { return name[1] ? "--" : "-"; }

/* An option that says nothing without one of others. */
typedef struct cli_need {
    const char *name, *others; /* "prompt|prompt-file"; "INPUT" is a plain argument beyond the least */
} cli_need;

enum { MOST_OPTIONS = 16, MOST_GROUPS = 2, MOST_ARGUMENTS = 65536, MOST_NAMES = 8, MOST_GIVEN = 256 };

typedef struct command {
    const char *name, *usage, *summary;
    int least, most; /* plain arguments */
    int (*run)(arguments *a, pcv_error *err);
    cli_option options[MOST_OPTIONS];
    pcv_group groups[MOST_GROUPS];
    int group_count;
    const char *example;
    cli_need needs[MOST_NAMES];
    const char *without[MOST_NAMES]; /* settings of its groups that say nothing to it */
    const char *text[MOST_NAMES];    /* options and settings for runs that generate text alone, */
    const char *files[MOST_NAMES];   /* or anything but text */
} command;

bool command_takes(const command *c, const char *setting); /* of one of its groups */

/* The next setting of the command's group from *i on, and *i behind it; false: there is none. */
bool command_setting(const command *c, int group, int *i, pcv_option *setting);

extern const command commands[]; /* ends with a NULL name */

struct arguments {
    const command *command;
    pcv_settings *settings;
    const char **plain; /* [count], NULL-terminated */
    int count;
    bool help; /* was asked for: nothing else counts, but settings that decide what it tells */
    const char *value[MOST_OPTIONS]; /* of each own option; a switch that is on has "" */
    const char **list[MOST_OPTIONS]; /* of OPTION_LIST and OPTION_REPEATED, NULL-terminated, or NULL */
    int list_count[MOST_OPTIONS];
    const char *given[MOST_GIVEN]; /* names of the settings that were given, NULL-terminated */
    int given_count;
};

/* Fills *a from argv (argv[0] is the command's name). PCV_USAGE says what is wrong. */
int arguments_parse(arguments *a, const command *c, int argc, char **argv, pcv_error *err);
void arguments_free(arguments *a);

const char *arguments_value(const arguments *a, const char *name); /* or NULL */
const char *const *arguments_list(const arguments *a, const char *name);

/* PCV_USAGE for an option that is not for a run that generates text, or anything else: `kind`. */
int arguments_check_run(const arguments *a, bool is_text, const char *kind, pcv_error *err);

const command *command_find(const char *name);
const char *command_nearest(const char *name);

void print_help(void);
void print_command_help(const command *c, pcv_settings *settings); /* those that were chosen so far */
void print_man_page(void);                                         /* in scdoc format */
void print_completion(void);                                       /* for bash */

#endif
