/* What one prediction looked at, as a list for people and with --json for programs. */
#ifndef CLI_ATTENTION_LIST_H
#define CLI_ATTENTION_LIST_H

#include "perceiver.h"

/* Of each index head the `top` most probable places. */
void attention_list(const pcv_engine *engine, const pcv_attended *a, int64_t top);
void attention_list_json(const pcv_engine *engine, const pcv_attended *a, int64_t top);

#endif
