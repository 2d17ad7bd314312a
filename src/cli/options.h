/* The command line: one table of commands, each with its own options and the groups of settings that it
 * takes from the library. Parsing, --help and the man page come from these tables. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "perceiver.h"

typedef struct arguments arguments;

typedef enum option_kind { OPTION_SWITCH, OPTION_VALUE, OPTION_TEXT, OPTION_LIST, OPTION_REPEATED } option_kind;

typedef struct cli_option {
    const char *name; /* a one-letter name is a short option */
    option_kind kind; /* a text may be empty; a list also takes the plain arguments that follow it, others do not */
    const char *argument, *help;
} cli_option;

enum { MOST_OPTIONS = 16, MOST_GROUPS = 2, MOST_ARGUMENTS = 65536 };

typedef struct command {
    const char *name, *usage, *summary;
    int least, most; /* plain arguments */
    int (*run)(arguments *a, pcv_error *err);
    cli_option options[MOST_OPTIONS];
    pcv_group groups[MOST_GROUPS];
    int group_count;
    const char *example;
} command;

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
};

/* Fills *a from argv (argv[0] is the command's name). PCV_USAGE says what is wrong. */
int arguments_parse(arguments *a, const command *c, int argc, char **argv, pcv_error *err);
void arguments_free(arguments *a);

const char *arguments_value(const arguments *a, const char *name); /* or NULL */
const char *const *arguments_list(const arguments *a, const char *name);

const command *command_find(const char *name);
const char *command_nearest(const char *name);

void print_help(void);
void print_command_help(const command *c, pcv_settings *settings); /* those that were chosen so far */
void print_man_page(void); /* in scdoc format */

#endif
