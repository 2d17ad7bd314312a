/* An evaluation or a sweep, for people and with --json for programs. What is undefined is said to be, and is null
 * in JSON. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const double ln2 = 0.69314718055994531;

typedef struct number {
    char text[48];
} number;

/* As JSON; what is undefined is null. */
static number json_number(double x) {
    number n = {"null"};
    if (isfinite(x)) snprintf(n.text, sizeof n.text, "%.4g", x);
    return n;
}

/* What stands behind a mean. */
static number plus_minus(double error) {
    number n = {" (standard error undefined: one window)"};
    if (isfinite(error)) snprintf(n.text, sizeof n.text, " +- %.4f", error);
    return n;
}

static void json_buckets(const char *name, const pcv_bucket *list, int count, bool lengths) {
    printf(", \"%s\": [", name);
    for (int i = 0; i < count; i++) {
        const pcv_bucket *b = &list[i];
        if (lengths) printf("%s{\"context\": %" PRId64, i ? ", " : "", b->from);
        else printf("%s{\"from\": %" PRId64 ", \"to\": %" PRId64, i ? ", " : "", b->from, b->to);
        printf(", \"tokens\": %" PRId64 ", \"loss\": %.9g, \"standard_error\": %s}", b->tokens, b->loss,
               json_number(b->standard_error).text);
    }
    printf("]");
}

/* Of a model that tells classes apart. */
static void print_classes(const pcv_evaluation *e) {
    printf("%" PRId64 " example%s of %" PRId64 " classes, %" PRId64 " latent%s, %" PRId64 " inputs\n", e->tokens,
           pcv_plural(e->tokens), e->classes, e->latents, pcv_plural(e->latents), e->context);
    printf("accuracy         %10.2f %% +- %.2f\n", 100 * e->accuracy, 100 * e->accuracy_error);
    if (e->classes >= 10) printf("top 5            %10.2f %%\n", 100 * e->accuracy_top5);
    printf("the likeliest    %10.2f %%, naming the most frequent class always\n", 100 * e->majority);
    printf("calibration      %10.2f %%, expected error of probabilities\n", 100 * e->calibration);
    printf("nats per example %10.4f +- %.4f\n", e->loss, e->standard_error);
}

/* Of a model whose answers are numbers. */
static void print_numbers(const pcv_evaluation *e) {
    printf("%" PRId64 " answer%s of %" PRId64 " example%s, %" PRId64 " latent%s, %" PRId64 " inputs\n", e->tokens,
           pcv_plural(e->tokens), e->documents, pcv_plural(e->documents), e->latents, pcv_plural(e->latents),
           e->context);
    printf("%-20s %10.4f%s\n", e->unit, e->loss, plus_minus(e->standard_error).text);
    printf("%-20s %10.4f\n", "of zeros", e->of_zeros);
    printf("%-20s %10.4f, the best single answer for all of an example\n", "of its own mean", e->of_means);
}

/* Of a model of films. */
static void print_film(const pcv_evaluation *e) {
    printf("%" PRId64 " film%s, %" PRId64 " latent%s, %" PRId64 " inputs\n", e->tokens, pcv_plural(e->tokens),
           e->latents, pcv_plural(e->latents), e->context);
    printf("frames           %10.2f dB, of each film's mean colour %.2f\n", e->image_psnr, e->image_psnr_mean);
    if (e->audio_psnr != 0)
        printf("sound            %10.2f dB, of silence %.2f\n", e->audio_psnr, e->audio_psnr_silence);
    if (e->classes)
        printf("class            %10.2f %% +- %.2f, the most frequent %.2f\n", 100 * e->accuracy,
               100 * e->accuracy_error, 100 * e->majority);
    printf("weighted loss    %10.4f%s\n", e->loss, plus_minus(e->standard_error).text);
}

static void print_json(const pcv_evaluation *e) {
    printf("{\"tokens\": %" PRId64 ", \"bytes\": %" PRId64 ", \"documents\": %" PRId64 ", \"loss\": %.9g"
           ", \"bits_per_token\": %.9g", e->tokens, e->bytes, e->documents, e->loss, e->bits_per_token);
    if (e->bytes)
        printf(", \"bits_per_byte\": %.9g, \"standard_error_bits_per_byte\": %s", e->bits_per_byte,
               json_number(e->standard_error_bits).text);
    if (e->words) printf(", \"words\": %" PRId64 ", \"word_perplexity\": %.9g", e->words, e->word_perplexity);
    if (e->bits_per_second > 0) printf(", \"bits_per_second\": %.9g", e->bits_per_second);
    if (e->bits_per_dim > 0) printf(", \"bits_per_dim\": %.9g", e->bits_per_dim);
    printf(", \"perplexity\": %.9g, \"accuracy\": %.9g, \"standard_error\": %s, \"latents\": %" PRId64
           ", \"context\": %" PRId64 ", \"stride\": %" PRId64 ", \"seconds\": %.4g", e->perplexity, e->accuracy,
           json_number(e->standard_error).text, e->latents, e->context, e->stride, e->seconds);
    if (e->classes)
        printf(", \"classes\": %" PRId64 ", \"accuracy_error\": %s, \"accuracy_top5\": %.9g, \"calibration\": %.9g"
               ", \"majority\": %.9g", e->classes, json_number(e->accuracy_error).text, e->accuracy_top5,
               e->calibration, e->majority);
    if (e->numbers)
        printf(", \"measure\": \"%s\", \"of_zeros\": %.9g, \"of_means\": %.9g", e->unit, e->of_zeros, e->of_means);
    if (e->film)
        printf(", \"image_psnr\": %.6g, \"image_psnr_mean\": %.6g, \"audio_psnr\": %.6g, \"audio_psnr_silence\": %.6g",
               e->image_psnr, e->image_psnr_mean, e->audio_psnr, e->audio_psnr_silence);
    json_buckets("positions", e->position, e->positions, false);
    json_buckets("contexts", e->context_length, e->contexts, true);
    printf("}\n");
}

static void print_text(const pcv_evaluation *e) {
    if (e->classes || e->numbers || e->film) {
        if (e->film) print_film(e);
        else if (e->classes) print_classes(e);
        else print_numbers(e);
        return;
    }
    printf("%" PRId64 " target%s of %" PRId64 " document%s, %" PRId64 " latent%s, context %" PRId64
           ", stride %" PRId64 "\n", e->tokens, pcv_plural(e->tokens), e->documents, pcv_plural(e->documents),
           e->latents, pcv_plural(e->latents), e->context, e->stride);
    if (e->bytes)
        printf("bits per byte    %10.4f%s\n", e->bits_per_byte, plus_minus(e->standard_error_bits).text);
    if (e->bits_per_second > 0) printf("bits per second  %10.1f\n", e->bits_per_second);
    number error = plus_minus(e->standard_error / ln2);
    if (e->bits_per_dim > 0) printf("bits per dim     %10.4f%s\n", e->bits_per_dim, error.text);
    printf("bits per token   %10.4f%s\nnats per token   %10.4f\nperplexity       %10.4f\n"
           "accuracy         %10.4f %%\n", e->bits_per_token, error.text, e->loss, e->perplexity, 100 * e->accuracy);
    if (e->words) printf("word perplexity  %10.4f\n", e->word_perplexity);
    if (e->positions > 1) {
        printf("\nby position in the document      targets  bits per token\n");
        for (int i = 0; i < e->positions; i++)
            if (e->position[i].tokens)
                printf("  %9" PRId64 " .. %-12" PRId64 " %12" PRId64 "  %10.4f%s\n", e->position[i].from,
                       e->position[i].to - 1, e->position[i].tokens, e->position[i].loss / ln2,
                       plus_minus(e->position[i].standard_error / ln2).text);
    }
    if (e->contexts > 1) {
        printf("\nthe same targets by context      targets  bits per token\n");
        for (int i = 0; i < e->contexts; i++)
            printf("  %9" PRId64 "                 %12" PRId64 "  %10.4f%s\n", e->context_length[i].from,
                   e->context_length[i].tokens, e->context_length[i].loss / ln2,
                   plus_minus(e->context_length[i].standard_error / ln2).text);
    }
}

static void print_sweep(const char *kind, const pcv_sweep_point *point, int points, bool json) {
    if (json) printf("{\"sweep\": \"%s\", \"points\": [", kind);
    else printf("%9s %9s %8s %9s %20s %9s %14s\n", "latents", "context", "stride", "targets", "bits per token",
                "accuracy", "ms per token");
    for (int i = 0; i < points; i++) {
        const pcv_sweep_point *p = &point[i];
        if (json)
            printf("%s{\"latents\": %" PRId64 ", \"context\": %" PRId64 ", \"stride\": %" PRId64
                   ", \"tokens\": %" PRId64
                   ", \"loss\": %.9g, \"standard_error\": %s, \"bits_per_token\": %.9g, \"bits_per_byte\": %.9g"
                   ", \"accuracy\": %.9g, \"seconds_per_token\": %.4g}", i ? ", " : "", p->latents, p->context,
                   p->stride, p->tokens, p->loss, json_number(p->standard_error).text, p->bits_per_token,
                   p->bits_per_byte, p->accuracy, p->seconds_per_token);
        else
            printf("%9" PRId64 " %9" PRId64 " %8" PRId64 " %9" PRId64 " %10.4f%s %8.3f %% %14.4f\n", p->latents,
                   p->context, p->stride, p->tokens, p->bits_per_token, plus_minus(p->standard_error / ln2).text,
                   100 * p->accuracy, 1000 * p->seconds_per_token);
    }
    if (json) printf("]}\n");
}

static int sweep(pcv_engine *engine, arguments *a, const pcv_watch *watch, pcv_error *err) {
    const char *kind = arguments_value(a, "sweep"), *output = arguments_value(a, "o");
    const char *list = arguments_value(a, "values");
    int64_t value[PCV_BUCKETS];
    pcv_sweep_point point[PCV_BUCKETS];
    int count = 0, points = 0, status = 0;
    if (list) status = pcv_read_wholes("--values", list, ',', 1, INT64_MAX, value, PCV_BUCKETS, &count, err);
    if (!status)
        status = pcv_sweep(engine, arguments_value(a, "data"), kind, value, count, a->settings, watch, point, &points,
                           err);
    progress_end();
    if (status) return status;
    print_sweep(kind, point, points, arguments_value(a, "json") != NULL);
    return output ? pcv_sweep_draw(output, kind, point, points, err) : 0;
}

static int evaluate(pcv_engine *engine, arguments *a, const pcv_watch *watch, pcv_error *err) {
    const char *data = arguments_value(a, "data"), *output = arguments_value(a, "o");
    const char *const *names;
    int64_t *counts = NULL;
    pcv_evaluation e;
    int status = output ? pcv_confusion(engine, data, a->settings, watch, &e, &counts, &names, err)
                        : pcv_evaluate(engine, data, a->settings, watch, &e, err);
    progress_end();
    if (!status && output) status = pcv_confusion_write(output, counts, names, e.classes, err);
    pcv_counts_free(counts);
    if (status) return status;
    if (arguments_value(a, "json")) print_json(&e);
    else print_text(&e);
    return 0;
}

int cmd_eval(arguments *a, pcv_error *err) {
    pcv_engine *engine = NULL;
    pcv_watch watch = progress_watch();
    bool sweeps = arguments_value(a, "sweep") != NULL;
    const char *output = arguments_value(a, "o");
    int status = !output ? 0 : sweeps ? pcv_sweep_check(output, err) : pcv_confusion_check(output, err);
    if (!status) status = pcv_engine_open(&engine, a->plain[0], a->settings, err);
    signals_install(true);
    if (!status) status = sweeps ? sweep(engine, a, &watch, err) : evaluate(engine, a, &watch, err);
    pcv_engine_close(engine);
    return status;
}
