/* The commands' functions, one file each; the table is in main.c. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/options.h"

int cmd_prepare(arguments *a, pcv_error *err);
int cmd_plan(arguments *a, pcv_error *err);
int cmd_train(arguments *a, pcv_error *err);
int cmd_eval(arguments *a, pcv_error *err);
int cmd_generate(arguments *a, pcv_error *err);
int cmd_score(arguments *a, pcv_error *err);
int cmd_predict(arguments *a, pcv_error *err);
int cmd_attend(arguments *a, pcv_error *err);
int cmd_compare(arguments *a, pcv_error *err);
int cmd_info(arguments *a, pcv_error *err);
int cmd_bench(arguments *a, pcv_error *err);

/* Fills *err as the library does; prints one line on stderr. Both go through pcv_line: they may quote anything. */
int cli_fail(pcv_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
