/* What predicting one token looked at: index heads, the first cross-attention, and what came of it. */
#ifndef EVAL_ATTENDED_H
#define EVAL_ATTENDED_H

#include "eval/evaluate.h"

typedef struct attended_question {
    const char *path; /* NULL: a generated document */
    bool are_ids;
    int64_t token, top;
} attended_question;

/* As pcv_attend_token and pcv_attended_free. */
int attended_tell(pcv_engine *e, const attended_question *q, const pcv_settings *settings, const pcv_watch *watch,
                  pcv_attended *a, pcv_error *err);
void attended_free(pcv_attended *a);

#endif
