#include "cli/commands.h"

#include <inttypes.h>
#include <stdio.h>

int cmd_score(arguments *a, pcv_error *err) {
    const char *ids = arguments_value(a, "tokens"), *logits = arguments_value(a, "logits");
    const char *path = ids ? ids : a->plain[1];
    pcv_engine *engine = NULL;
    pcv_scores s = {0};
    if (!path || (ids && a->plain[1]))
        return cli_fail(err, PCV_USAGE, "name one file to score, as FILE or with --tokens FILE");
    int status = pcv_engine_open(&engine, a->plain[0], a->settings, err);
    if (!status) status = pcv_score_file(engine, path, ids != NULL, logits != NULL, a->settings, &s, err);
    for (int64_t i = 0; i < s.count && !status; i++)
        if (printf("%" PRId64 "\t%d\t%.6f\n", i, s.ids[i], s.logprob[i]) < 0)
            status = cli_fail(err, PCV_IO, "cannot write to standard output");
    if (!status && logits) status = pcv_scores_save(&s, logits, err);
    pcv_scores_free(&s);
    pcv_engine_close(engine);
    return status;
}
