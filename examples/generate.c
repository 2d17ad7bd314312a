/* Continue a prompt: generate RUN [PROMPT]. Everything an embedding program needs is in perceiver.h. */
#include <perceiver.h>

#include <stdio.h>
#include <string.h>

static int print(void *context, const char *bytes, size_t size) {
    (void)context;
    return fwrite(bytes, 1, size, stdout) != size || fflush(stdout);
}

int main(int argc, char **argv) {
    const char *prompt = argc > 2 ? argv[2] : "";
    pcv_error err = {0};
    pcv_settings *settings = NULL;
    pcv_engine *engine = NULL;
    pcv_session *session = NULL;
    pcv_generation g;
    if (argc < 2) {
        fprintf(stderr, "usage: generate RUN [PROMPT]\n");
        return PCV_USAGE;
    }
    int status = pcv_settings_open(&settings, &err);
    if (!status) status = pcv_settings_set(settings, "length", "200", &err);
    if (!status) status = pcv_settings_set(settings, "temperature", "0.7", &err);
    if (!status) status = pcv_engine_open(&engine, argv[1], settings, &err);
    if (!status) status = pcv_session_open(&session, engine, settings, &err);
    if (!status) status = pcv_session_feed_text(session, prompt, strlen(prompt), &err);
    if (!status) status = pcv_generate(session, print, NULL, &g, &err);
    if (status) fprintf(stderr, "generate: %s\n", err.message);
    pcv_session_close(session);
    pcv_engine_close(engine);
    pcv_settings_close(settings);
    return status;
}
