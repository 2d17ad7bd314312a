#include "cli/commands.h"

#include <stdio.h>

int cmd_info(arguments *a, pcv_error *err) {
    char *description;
    pcv_info_form form = arguments_value(a, "json") ? PCV_INFO_JSON : arguments_value(a, "tensors") ? PCV_INFO_TENSORS
                                                                                                    : PCV_INFO_TEXT;
    int status = pcv_info(a->plain[0], form, &description, err);
    if (status) return status;
    printf("%s\n", description);
    pcv_text_free(description);
    return 0;
}
