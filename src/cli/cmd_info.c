#include "cli/commands.h"

#include <stdio.h>

int cmd_info(arguments *a, pcv_error *err) {
    char *description;
    pcv_info_form form = arguments_value(a, "json") ? PCV_INFO_JSON : arguments_value(a, "tensors") ? PCV_INFO_TENSORS
                                                                                                    : PCV_INFO_TEXT;
    bool devices = arguments_value(a, "devices") != NULL;
    if (devices && (a->count || form != PCV_INFO_TEXT))
        return cli_fail(err, PCV_USAGE, "--devices stands alone; usage: perceiver info --devices");
    if (!devices && !a->count)
        return cli_fail(err, PCV_USAGE, "something is missing; usage: perceiver info RUN|DATASET|FILE|-");
    int status = devices ? pcv_devices(&description, err) : pcv_info(a->plain[0], form, &description, err);
    if (status) return status;
    printf("%s\n", description);
    pcv_text_free(description);
    return 0;
}
