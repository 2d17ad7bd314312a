/* Which bytes of a file does a model find surprising? surprise RUN FILE prints, for each line of the file,
 * its bits per byte: lines unlike the training text stand out. */
#include <perceiver.h>

#include <stdio.h>

int main(int argc, char **argv) {
    pcv_error err = {0};
    pcv_engine *engine = NULL;
    pcv_scores s = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: surprise RUN FILE\n");
        return PCV_USAGE;
    }
    int status = pcv_engine_open(&engine, argv[1], NULL, &err);
    if (!status) status = pcv_score_file(engine, argv[2], false, false, NULL, &s, &err);
    if (status) fprintf(stderr, "surprise: %s\n", err.message);
    double bits = 0;
    int64_t bytes = 0, start = 0;
    for (int64_t i = 0; i < s.count; i++) {
        size_t size;
        const char *piece = pcv_engine_text(engine, s.ids[i], &size);
        bits -= s.logprob[i] / 0.69314718055994531;
        bytes += (int64_t)size;
        if (i + 1 < s.count && !(size && piece[size - 1] == '\n')) continue;
        printf("%6.3f  ", bytes ? bits / (double)bytes : 0.0);
        for (int64_t k = start; k <= i; k++) {
            piece = pcv_engine_text(engine, s.ids[k], &size);
            fwrite(piece, 1, size, stdout);
        }
        start = i + 1;
        bits = 0;
        bytes = 0;
    }
    if (s.count) putchar('\n');
    pcv_scores_free(&s);
    pcv_engine_close(engine);
    return status;
}
