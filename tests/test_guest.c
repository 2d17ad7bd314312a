/* The library as a guest in other people's programs: what belongs to the program stays as it was. */
#include "scratch.h"
#include "base/fields.h"
#include "base/mem.h"
#include "base/text.h"

#include <locale.h>
#include <omp.h>
#include <signal.h>

/* ------------------------------------------------------------------ JSON */

/* The program around the library may give jansson an allocator of its own, whose memory only it can free: here one
 * that counts, and puts its count in front. */
static size_t json_now, json_most;

static void *count_get(size_t bytes) {
    size_t *memory = malloc(bytes + 2 * sizeof *memory);
    if (!memory) return NULL;
    *memory = bytes;
    json_now += bytes;
    if (json_now > json_most) json_most = json_now;
    return memory + 2;
}

static void count_free(void *memory) {
    if (!memory) return;
    json_now -= ((size_t *)memory)[-2];
    free((size_t *)memory - 2);
}

static void costs(const char *before, const char *piece, const char *after) {
    enum { PIECES = 5000 };
    text t = {0};
    json_t *json;
    text_add(&t, "%s", before);
    for (int i = 0; i < PIECES; i++) {
        text_add(&t, i ? "," : "");
        text_add(&t, piece, i);
    }
    text_add(&t, "%s", after);
    size_t cost = json_cost(t.data, t.size);
    json_most = 0;
    refused(json_parse(&json, t.data, t.size, cost - 1, "a text", &err), PCV_DATA, "would take more");
    assert_true(json_most == 0 && !json); /* refused before any was taken */
    mem_fail_after(1);
    refused(json_parse(&json, t.data, t.size, cost, "a text", &err), PCV_MEMORY, "a text");
    mem_fail_after(0);
    must(json_parse(&json, t.data, t.size, cost, "a text", &err));
    json_decref(json);
    if (json_most > cost || 4 * json_most < cost)
        test_failed("%s: %zu bytes at most, expected up to %zu\n", piece, json_most, cost);
    text_free(&t);
}

static void json_memory(void **state) {
    (void)state;
    text printed = {0};
    json_malloc_t get;
    json_free_t back;
    json_get_alloc_funcs(&get, &back);
    json_set_alloc_funcs(count_get, count_free);
    costs("[", "[]", "]");
    costs("[", "{}", "]");
    costs("[", "1", "]");
    costs("[", "-1.5e+3", "]");
    costs("[", "\"\"", "]");
    costs("[", "[{\"a\":[]}]", "]");
    costs("[", "\"a text, with [a bracket] and \\\"quotes\\\": of a usual length %d\"", "]");
    costs("{", "\"%d\":{}", "}");
    costs("{", "\"name.%d\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}", "}");
    json_t *json = json_pack("{s:[i,f]}", "a", 1, 0.5);
    must(json_write(json, at("host.json"), &err));
    json_print(&printed, json, JSON_COMPACT);
    assert_string_equal(printed.data, "{\"a\":[1,0.5]}");
    text_free(&printed);
    json_decref(json);
    json_get_alloc_funcs(&get, NULL);
    assert_true(get == count_get); /* nobody took it away */
    assert_int_equal(json_now, 0);
    json_set_alloc_funcs(malloc, back);
}

/* ------------------------------------------------------------------ the process */

/* What a program may have set: its environment, signals, locale and threads. */
static void take_down(text *t) {
    for (char **line = environ; *line; line++) text_add(t, "%s\n", *line);
    for (int i = 1; i < NSIG; i++) {
        struct sigaction now;
        if (!sigaction(i, NULL, &now)) text_add(t, "%d: %p %d\n", i, (void *)(uintptr_t)now.sa_handler, now.sa_flags);
    }
    text_add(t, "%s, %d threads\n", setlocale(LC_ALL, NULL), omp_get_max_threads());
}

static void train_tiny(const char *run) {
    static const char *const pairs[] = {"preset", "tiny", "context", "64", "latents", "32", "channels", "64", "layers", "1",
                                        "steps", "2", "batch", "4", "threads", "2", NULL};
    pcv_settings *s;
    must(pcv_settings_open(&s, &err));
    set_all(s, pairs);
    must(pcv_train(&(pcv_train_options){.dataset = "copy:64", .run = at(run)}, s, NULL, NULL, &err));
    pcv_settings_close(s);
}

static void the_process_stays_as_it_was(void **state) {
    (void)state;
    text before = {0}, after = {0};
    pcv_engine *e;
    pcv_scores scores;
    int32_t ids[60] = {0};
    int own = omp_get_max_threads();
    for (int threads = 1; threads < 6; threads += 2) {
        before.size = after.size = 0;
        omp_set_num_threads(threads);
        take_down(&before);
        char run[16];
        snprintf(run, sizeof run, "run%d", threads);
        train_tiny(run);
        must(pcv_engine_open(&e, at(run), NULL, &err));
        must(pcv_score(e, ids, COUNT(ids), false, NULL, &scores, &err));
        pcv_scores_free(&scores);
        pcv_engine_close(e);
        take_down(&after);
        assert_string_equal(before.data, after.data);
    }
    omp_set_num_threads(own);
    text_free(&before);
    text_free(&after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_memory),
        cmocka_unit_test(the_process_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
