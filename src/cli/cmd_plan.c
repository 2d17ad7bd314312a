#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>

static double gib(int64_t bytes) { return (double)bytes / (1 << 30); }

static void print_json(const pcv_plan_report *r) {
    printf("{\"context\": %" PRId64 ", \"latents\": %" PRId64 ", \"parameters\": %" PRId64 ", \"parts\": {", r->context,
           r->latents, r->parameters);
    for (int i = 0; i < r->parts; i++)
        printf("%s\"%s\": %" PRId64, i ? ", " : "", r->part[i].name, r->part[i].parameters);
    printf("}, \"flops_forward\": {\"cross\": %.6g, \"index\": %.6g, \"self\": %.6g, \"head\": %.6g}, "
           "\"flops_step\": %.6g",
           r->flops_cross, r->flops_index, r->flops_self, r->flops_head, r->flops_step);
    printf(", \"bytes\": {\"weights\": %" PRId64 ", \"gradients\": %" PRId64 ", \"optimizer\": %" PRId64
           ", \"activations\": %" PRId64 ", \"total\": %" PRId64 ", \"program\": %" PRId64
           ", \"total_recompute_all\": %" PRId64
           ", \"available\": %" PRId64 "}", r->bytes_parameters, r->bytes_gradients, r->bytes_optimizer,
           r->bytes_activations, r->bytes_total, r->bytes_program, r->bytes_recompute, r->bytes_available);
    printf(", \"largest_context\": %" PRId64 ", \"largest_batch\": %" PRId64, r->largest_context, r->largest_batch);
    printf(", \"precisions\": {");
    for (int i = 0; i < r->precisions; i++)
        printf("%s\"%s\": %.6g", i ? ", " : "", r->precision[i].name, r->precision[i].seconds);
    printf("}, \"targets_per_step\": %" PRId64 ", \"step_seconds\": %.6g, \"tokens_per_second\": %.6g, \"fits\": %s}\n",
           r->targets_per_step, r->step_seconds, r->tokens_per_second, r->fits ? "true" : "false");
}

static int fastest(const pcv_plan_report *r) {
    int best = 0;
    for (int i = 1; i < r->precisions; i++)
        if (r->precision[i].seconds < r->precision[best].seconds) best = i;
    return best;
}

static void print_text(const pcv_plan_report *r) {
    double forward = r->flops_cross + r->flops_index + r->flops_self + r->flops_head;
    printf("context          %15" PRId64 " token%s\n", r->context, pcv_plural(r->context));
    if (r->latents) printf("latents          %15" PRId64 "\n", r->latents);
    printf("parameters       %15" PRId64 "\n", r->parameters);
    for (int i = 0; i < r->parts; i++)
        printf("  %-22s %9" PRId64 "  %5.1f %%\n", r->part[i].name, r->part[i].parameters,
               100 * (double)r->part[i].parameters / (double)r->parameters);
    printf("forward pass     %12.3f GFLOP a sequence\n", forward / 1e9);
    if (r->flops_cross > 0)
        printf("  cross-attention    %8.3f  %5.1f %%\n", r->flops_cross / 1e9, 100 * r->flops_cross / forward);
    if (r->flops_index > 0)
        printf("  index heads        %8.3f  %5.1f %%\n", r->flops_index / 1e9, 100 * r->flops_index / forward);
    printf("  self-attention     %8.3f  %5.1f %%\n", r->flops_self / 1e9, 100 * r->flops_self / forward);
    printf("  head               %8.3f  %5.1f %%\n", r->flops_head / 1e9, 100 * r->flops_head / forward);
    printf("memory           %12.3f GiB to train\n", gib(r->bytes_total));
    printf("  weights            %8.3f\n  gradients          %8.3f\n  optimizer          %8.3f\n"
           "  activations        %8.3f\n", gib(r->bytes_parameters), gib(r->bytes_gradients),
           gib(r->bytes_optimizer), gib(r->bytes_activations));
    printf("  the program itself %8.3f beside that\n", gib(r->bytes_program));
    printf("  with --recompute all %6.3f in all\n", gib(r->bytes_recompute));
    printf("available        %12.3f GiB: %s\n", gib(r->bytes_available), r->fits ? "it fits" : "it does not fit");
    if (r->largest_context)
        printf("largest that fits %11" PRId64 " tokens of context, or a batch of %" PRId64 "\n", r->largest_context,
               r->largest_batch);
    else printf("largest that fits %11" PRId64 " examples of a batch\n", r->largest_batch);
    if (r->step_seconds > 0)
        printf("a step           %12.3f s for %" PRId64 " target token%s, %.0f tokens/s, %.1f GFLOP/s\n",
               r->step_seconds, r->targets_per_step, pcv_plural(r->targets_per_step),
               r->tokens_per_second, r->flops_step / r->step_seconds / 1e9);
    for (int i = 0; i < r->precisions && r->precisions > 1; i++)
        printf("  --precision %-5s %10.3f s%s\n", r->precision[i].name, r->precision[i].seconds,
               i == fastest(r) ? ", the fastest" : "");
}

int cmd_plan(arguments *a, pcv_error *err) {
    pcv_plan_report r;
    const char *text = arguments_value(a, "probe");
    double seconds = 3;
    pcv_watch watch = signals_watch();
    signals_install(true);
    int status = text ? pcv_read_real("--probe", text, 0, 1e6, &seconds, err) : 0;
    if (!status) status = pcv_plan(a->settings, a->plain[0], seconds, &watch, &r, err);
    if (status) return status;
    if (arguments_value(a, "json")) print_json(&r);
    else print_text(&r);
    return 0;
}
