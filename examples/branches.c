/* Several continuations of one prompt, made side by side: branches RUN PROMPT [COUNT]
 *
 * The prompt is read once; every branch goes on from a copy of its caches, and one pass gives all of them their next
 * token. */
#include <perceiver.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, LENGTH = 120 };

static char text[MOST][16 * LENGTH];

static int run(pcv_session **branch, int count, pcv_error *err) {
    int32_t id[MOST];
    int status = 0;
    for (int i = 1; i < count && !status; i++)
        status = pcv_session_fork(&branch[i], branch[0], pcv_session_seed(branch[0]) + (uint64_t)i, err);
    for (int step = 0; step < LENGTH && !status; step++) {
        status = pcv_batch_step(branch, count, id, err);
        for (int i = 0; i < count && !status; i++) {
            size_t size;
            const char *piece = pcv_session_text(branch[i], id[i], &size);
            if (strlen(text[i]) + size < sizeof text[i]) strncat(text[i], piece, size);
        }
    }
    return status;
}

int main(int argc, char **argv) {
    pcv_error err;
    pcv_engine *engine = NULL;
    pcv_session *branch[MOST] = {0};
    int count = argc > 3 ? atoi(argv[3]) : 4, status;
    if (argc < 3 || count < 1 || count > MOST) return fprintf(stderr, "usage: branches RUN PROMPT [1 to 64]\n"), 64;
    status = pcv_engine_open(&engine, argv[1], NULL, &err);
    if (!status) status = pcv_session_open(&branch[0], engine, NULL, &err);
    if (!status) status = pcv_session_feed_text(branch[0], argv[2], strlen(argv[2]), &err);
    if (!status) status = run(branch, count, &err);
    for (int i = 0; i < count && !status; i++) printf("---- %d\n%s%s\n", i + 1, argv[2], text[i]);
    if (status) fprintf(stderr, "branches: %s\n", err.message);
    for (int i = 0; i < count; i++) pcv_session_close(branch[i]);
    pcv_engine_close(engine);
    return status;
}
