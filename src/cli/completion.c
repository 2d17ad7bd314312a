/* Completion for bash, from the tables of commands and options. */
#include "cli/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* "a|b|c" as "a b c", where they are names to type and nothing else: no placeholder is one. */
static bool print_choices(const char *front, const char *list, size_t size, const char *behind) {
    if (!memchr(list, '|', size)) return false;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)list[i];
        if (!islower(c) && !isdigit(c) && !strchr("|-_", c)) return false;
    }
    printf("%s", front);
    for (size_t i = 0; i < size; i++) putchar(list[i] == '|' ? ' ' : list[i]);
    printf("%s", behind);
    return true;
}

static void print_names(const command *c) {
    pcv_option o;
    printf("        options=\"--help");
    for (int i = 0; i < MOST_OPTIONS && c->options[i].name; i++)
        printf(" %s%s", option_dashes(c->options[i].name), c->options[i].name);
    for (int g = 0; g < c->group_count; g++)
        for (int i = 0; command_setting(c, g, &i, &o);)
            printf(o.argument ? " --%s" : " --%s --no-%s", o.name, o.name);
    printf("\"\n");
}

static void print_values_of(const char *name, const char *argument) {
    char front[128];
    snprintf(front, sizeof front, "        %s%s) words=\"", option_dashes(name), name);
    if (argument) print_choices(front, argument, strlen(argument), "\" ;;\n");
}

static void print_values(const command *c) {
    pcv_option o;
    printf("        case $option in\n");
    for (int i = 0; i < MOST_OPTIONS && c->options[i].name; i++)
        print_values_of(c->options[i].name, c->options[i].argument);
    for (int g = 0; g < c->group_count; g++)
        for (int i = 0; command_setting(c, g, &i, &o);) print_values_of(o.name, o.argument);
    printf("        esac\n");
}

/* The first argument, where it is one of some names: "text|image INPUT...", "[ops|train] [options]". */
static void print_first(const command *c) {
    const char *first = c->usage + (*c->usage == '[');
    print_choices("        ((COMP_CWORD == 2)) && words=\"", first, strcspn(first, " ]"), "\"\n");
}

void print_completion(void) {
    printf("# bash completion for perceiver %s, made by 'perceiver --completion bash'\n"
           "_perceiver() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} options=\"\" words=\"\"\n"
           "    [ \"$word\" = = ] && word=\"\" # bash takes --option=value apart\n"
           "    [ \"$option\" = = ] && option=${COMP_WORDS[COMP_CWORD - 2]}\n"
           "    if ((COMP_CWORD == 1)) || { ((COMP_CWORD == 2)) && [ \"$option\" = help ]; }; then\n"
           "        words=\"", PCV_VERSION);
    for (const command *c = commands; c->name; c++) printf("%s ", c->name);
    printf("help\" options=\"--help --version --man --completion\"\n"
           "    else case ${COMP_WORDS[1]} in\n");
    for (const command *c = commands; c->name; c++) {
        printf("    %s)\n", c->name);
        print_names(c);
        print_first(c);
        print_values(c);
        printf("        ;;\n");
    }
    printf("    esac fi\n"
           "    case $word in -*) words=$options ;; esac\n"
           "    COMPREPLY=()\n"
           "    while IFS= read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen -W \"$words\" -- \"$word\")\n"
           "}\n"
           "complete -o default -F _perceiver perceiver\n");
}
