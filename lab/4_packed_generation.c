/* Ladder 4: what packed weights and caches cost in quality and buy in time, through the caches, as generation runs:
 * lab_4_packed_generation RUN TEXTFILE [TOKENS]. Every token of the text is scored behind all before it. */
#include "perceiver.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Bits per token and seconds per token of bytes (ids 3 to 258) through a session. */
static int measure(const char *run, const unsigned char *text, size_t count, const char *weights, const char *cache,
                   double *bits, double *seconds, pcv_error *err) {
    pcv_settings *s = NULL;
    pcv_engine *e = NULL;
    pcv_session *session = NULL;
    int status = pcv_settings_open(&s, err);
    if (!status) status = pcv_settings_set(s, "weights", weights, err);
    if (!status) status = pcv_settings_set(s, "cache", cache, err);
    if (!status) status = pcv_engine_open(&e, run, s, err);
    if (!status) status = pcv_session_open(&session, e, s, err);
    double nats = 0, start = now();
    for (size_t i = 0; i < count && !status; i++) {
        const float *logits = pcv_session_logits(session, err);
        if (!logits) status = err->code;
        else {
            int64_t V = pcv_engine_vocabulary(e);
            int32_t id = 3 + text[i];
            double top = -INFINITY, sum = 0;
            for (int64_t v = 0; v < V; v++) top = fmax(top, (double)logits[v]);
            for (int64_t v = 0; v < V; v++) sum += exp((double)logits[v] - top);
            nats += top + log(sum) - (double)logits[id];
            status = pcv_session_feed(session, &id, 1, err);
        }
    }
    *seconds = (now() - start) / (double)count;
    *bits = nats / log(2) / (double)count;
    pcv_session_close(session);
    pcv_engine_close(e);
    pcv_settings_close(s);
    return status;
}

int main(int argc, char **argv) {
    static const char *const rungs[][2] = {{"f32", "f32"}, {"bf16", "f32"}, {"int8", "f32"},
                                           {"f32", "bf16"}, {"f32", "int8"}, {"bf16", "bf16"}, {"int8", "int8"}};
    FILE *f = argc > 2 ? fopen(argv[2], "rb") : NULL;
    if (!f) {
        fprintf(stderr, "usage: lab_4_packed_generation RUN TEXTFILE [TOKENS]\n");
        return 64;
    }
    size_t wanted = argc > 3 ? (size_t)atoll(argv[3]) : 4096;
    unsigned char *text = calloc(wanted + 1, 1);
    size_t count = text ? fread(text, 1, wanted, f) : 0;
    fclose(f);
    double first = 0, bits, seconds;
    pcv_error err;
    for (int i = 0; i < 7 && count; i++) {
        if (measure(argv[1], text, count, rungs[i][0], rungs[i][1], &bits, &seconds, &err)) {
            fprintf(stderr, "lab_4_packed_generation: %s\n", err.message);
            return 1;
        }
        if (i == 0) first = bits;
        printf("weights %-4s cache %-4s  %.4f bits a byte  %+.4f  %.3f ms a byte\n", rungs[i][0], rungs[i][1], bits,
               bits - first, 1000 * seconds);
    }
    free(text);
    return count ? 0 : 66;
}
