/* Files that commands read: regular ones, or standard input by the name "-". */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "perceiver.h"

/* The path to read `name` from. What comes through standard input is kept in a file without a name, which takes its
 * place: it may be larger than memory, and read more than once. */
int input_open(const char *name, const char **path, pcv_error *err);

#endif
