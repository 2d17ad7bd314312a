#include "cli/commands.h"

#include <stdio.h>

int cmd_info(arguments *a, pcv_error *err) {
    char *description;
    int status = pcv_info(a->plain[0], arguments_value(a, "json") != NULL, &description, err);
    if (status) return status;
    printf("%s\n", description);
    pcv_text_free(description);
    return 0;
}
