/* Tables, charts and sentences, all from the cells and runs of the record. The sentences on cost take the first
 * entry as the measure of the others: what they reach in the time of its step. A length between two measured ones
 * is interpolated on logarithmic scales, where times of steps are nearly straight lines; beyond the last one
 * nothing is guessed. */
#include "compare/page.h"
#include "base/file.h"
#include "compare/cost.h"
#include "report/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int write_text(const comparison *c, const char *name, const text *t, pcv_error *err) {
    char path[PATH_SIZE];
    if (!text_ok(t)) return fail(err, PCV_MEMORY, "not enough memory for %s", name);
    int status = path_own(path, c->options->output, name, err);
    return status ? status : file_write(path, t->data, t->size, err);
}

/* ------------------------------------------------------------------ tables */

static void add_cost_csv(text *t, const comparison *c) {
    text_add(t, "architecture,layers,context,end,seconds,predicted_seconds,targets,flops,peak_bytes,"
                "planned_bytes\n");
    for (int i = 0; i < c->cells; i++) {
        const cost_cell *cell = &c->cell[i];
        text_add(t, "%s,%lld,%lld,%s,%.6g,%.6g,%lld,%.6g,%lld,%lld\n", c->entry[cell->arch].name,
                 (long long)cell->layers, (long long)cell->context, cost_ends[cell->end], cell->seconds,
                 cell->predicted, (long long)cell->targets, cell->flops, (long long)cell->peak,
                 (long long)cell->planned);
    }
}

static void add_quality_csv(text *t, const comparison *c) {
    text_add(t, "architecture,layers,context,parameters,learning_rate,split,minutes,bits_per_token,standard_error\n");
    for (int i = 0; i < c->entries; i++) {
        const quality_run *q = &c->quality[i];
        double rate = q->rate < 0 ? 0 : c->rate[q->rate];
        for (int k = 0; k <= q->points; k++) {
            bool test = k == q->points;
            if (test && !q->test_tokens) continue;
            double error = test ? q->test_error : q->point[k].error;
            text_add(t, "%s,%lld,%lld,%lld,%g,%s,%g,%.6f,", c->entry[i].name, (long long)q->layers,
                     (long long)q->context, (long long)q->parameters, rate, test ? "test" : "validation",
                     test ? c->options->minutes : q->point[k].minutes, test ? q->test_bits : q->point[k].bits);
            if (isfinite(error)) text_add(t, "%.6f", error); /* else undefined: an empty field */
            text_add(t, "\n");
        }
    }
}

/* ------------------------------------------------------------------ charts */

/* One chart's numbers: a line for each entry. */
typedef struct lines {
    double x[MOST_ARCHS][MOST_VALUES], y[MOST_ARCHS][MOST_VALUES], error[MOST_ARCHS][MOST_VALUES];
    chart_line line[MOST_ARCHS];
} lines;

static lines *new_lines(const comparison *c, pcv_error *err) {
    lines *l = NULL;
    if (mem_get(&l, sizeof *l, "a chart", err)) return NULL;
    for (int i = 0; i < c->entries; i++)
        l->line[i] = (chart_line){.name = c->entry[i].name, .x = l->x[i], .y = l->y[i]};
    return l;
}

static const char *why_stopped(const cost_cell *cell) {
    return cell->end == COST_MEMORY ? "memory" : cell->end == COST_TIME ? "time" : NULL;
}

/* Time or memory of a step against the context, a panel for each depth. */
static int cost_chart(const comparison *c, bool memory, text *svg, pcv_error *err) {
    chart_panel panel[MOST_VALUES];
    lines *l[MOST_VALUES] = {0};
    char title[MOST_VALUES][96];
    double tick[MOST_VALUES];
    int status = 0;
    for (int k = 0; k < c->contexts; k++) tick[k] = (double)c->context[k];
    for (int d = 0; d < c->depths; d++) {
        if (!(l[d] = new_lines(c, err))) status = PCV_MEMORY;
        for (int a = 0; a < c->entries && !status; a++)
            for (int k = 0; k < c->contexts; k++) {
                const cost_cell *cell = cost_at(c, a, d, k);
                int n = l[d]->line[a].count;
                if (cell->end != COST_MEASURED && !l[d]->line[a].stop) l[d]->line[a].stop = why_stopped(cell);
                if (cell->end != COST_MEASURED) continue;
                l[d]->x[a][n] = (double)cell->context;
                l[d]->y[a][n] = memory ? (double)cell->peak / (1 << 30) : cell->seconds;
                l[d]->line[a].count++;
            }
        snprintf(title[d], sizeof title[d], "%s of a training step, %lld layer%s", memory ? "memory" : "time",
                 (long long)c->depth[d], plural(c->depth[d]));
        panel[d] = (chart_panel){.title = title[d], .x_label = "context, tokens", .y_label = memory ? "GiB" : "seconds",
                                 .log_x = true, .log_y = true, .x_tick = tick, .x_ticks = c->contexts,
                                 .line = l[d] ? l[d]->line : NULL, .lines = c->entries};
    }
    if (!status) chart_svg(svg, panel, c->depths);
    for (int d = 0; d < c->depths; d++) mem_free(l[d]);
    return status;
}

/* The context of the depth figure: the longest at which every entry has two depths or more, near 16,384. */
static int depth_context(const comparison *c) {
    int best = -1;
    for (int k = 0; k < c->contexts; k++) {
        bool all = true;
        for (int a = 0; a < c->entries; a++) {
            int have = 0;
            for (int d = 0; d < c->depths; d++) have += cost_at(c, a, d, k)->end == COST_MEASURED;
            all = all && have >= 2;
        }
        if (all && (best < 0 || c->context[k] <= 16384)) best = k;
    }
    return best;
}

static int depth_chart(const comparison *c, text *svg, pcv_error *err) {
    int k = depth_context(c);
    if (k < 0) return 0;
    lines *l = new_lines(c, err);
    char title[96];
    double tick[MOST_VALUES];
    if (!l) return PCV_MEMORY;
    for (int d = 0; d < c->depths; d++) tick[d] = (double)c->depth[d];
    for (int a = 0; a < c->entries; a++)
        for (int d = 0; d < c->depths; d++) {
            const cost_cell *cell = cost_at(c, a, d, k);
            int n = l->line[a].count;
            if (cell->end != COST_MEASURED && !l->line[a].stop) l->line[a].stop = why_stopped(cell);
            if (cell->end != COST_MEASURED) continue;
            l->x[a][n] = (double)cell->layers;
            l->y[a][n] = cell->seconds;
            l->line[a].count++;
        }
    snprintf(title, sizeof title, "time of a training step against depth, context %lld", (long long)c->context[k]);
    chart_panel panel = {.title = title, .x_label = "layers", .y_label = "seconds", .log_x = true, .log_y = true,
                         .x_tick = tick, .x_ticks = c->depths, .line = l->line, .lines = c->entries};
    chart_svg(svg, &panel, 1);
    mem_free(l);
    return 0;
}

static int quality_chart(const comparison *c, text *svg, pcv_error *err) {
    lines *l = new_lines(c, err);
    if (!l) return PCV_MEMORY;
    for (int a = 0; a < c->entries; a++) {
        const quality_run *q = &c->quality[a];
        for (int k = 0; k < q->points; k++) {
            l->x[a][k] = q->point[k].minutes;
            l->y[a][k] = q->point[k].bits;
            l->error[a][k] = q->point[k].error;
        }
        l->line[a].count = q->points;
        l->line[a].error = l->error[a];
    }
    chart_panel panel = {.title = "validation bits per token against training time", .x_label = "minutes",
                         .y_label = "bits per token", .line = l->line, .lines = c->entries};
    chart_svg(svg, &panel, 1);
    mem_free(l);
    return 0;
}

/* ------------------------------------------------------------------ in words */

/* The x at which a step takes T, between measured points on log scales; 0: all take longer. *more: all take less. */
static double reach(int count, const double *x, const double *seconds, double T, bool *more) {
    *more = false;
    for (int i = 0; i < count; i++) {
        if (seconds[i] <= T) continue;
        if (i == 0) return 0;
        double part = log(T / seconds[i - 1]) / log(seconds[i] / seconds[i - 1]);
        return x[i - 1] * pow(x[i] / x[i - 1], part);
    }
    *more = true;
    return count ? x[count - 1] : 0;
}

/* How far every entry but the first comes in T seconds: along the contexts of one depth, or the depths of one
 * context, whichever is -1. */
static void add_reaches(text *t, const comparison *c, int depth, int context, double T) {
    int most = depth < 0 ? c->depths : c->contexts;
    for (int a = 1; a < c->entries; a++) {
        double x[MOST_VALUES], seconds[MOST_VALUES];
        int count = 0;
        bool more = false;
        for (int i = 0; i < most; i++) {
            const cost_cell *cell = cost_at(c, a, depth < 0 ? i : depth, depth < 0 ? context : i);
            if (cell->end != COST_MEASURED) continue;
            x[count] = (double)(depth < 0 ? cell->layers : cell->context);
            seconds[count++] = cell->seconds;
        }
        double value = reach(count, x, seconds, T, &more);
        text_add(t, "%s%s: ", a == 1 ? "" : "; ", c->entry[a].name);
        if (value == 0) text_add(t, "not even the smallest");
        else text_add(t, "%s%.*f %s", more ? "at least " : "", value < 10, value, depth < 0 ? "layers" : "tokens");
    }
}

static void add_stops(text *t, const comparison *c) {
    text_add(t, "<ul>\n");
    for (int a = 0; a < c->entries; a++)
        for (int d = 0; d < c->depths; d++)
            for (int k = 0; k < c->contexts; k++) {
                const cost_cell *cell = cost_at(c, a, d, k);
                if (cell->end != COST_MEMORY && cell->end != COST_TIME) continue;
                text_add(t, "<li>%s, %lld layer%s, stops in front of %lld tokens: %s", c->entry[a].name,
                         (long long)cell->layers, plural(cell->layers), (long long)cell->context,
                         why_stopped(cell));
                if (cell->end == COST_MEMORY) text_add(t, " (%.1f GiB)", (double)cell->planned / (1 << 30));
                text_add(t, "</li>\n");
                break;
            }
    text_add(t, "</ul>\n");
}

/* For each depth: what the others read in the time of the first entry's step at its longest context up to 16,384. */
static void add_equal_contexts(text *t, const comparison *c) {
    for (int d = 0; d < c->depths; d++) {
        const cost_cell *base = NULL;
        for (int k = 0; k < c->contexts; k++) {
            const cost_cell *cell = cost_at(c, 0, d, k);
            if (cell->end == COST_MEASURED && (!base || cell->context <= 16384)) base = cell;
        }
        if (!base) continue;
        text_add(t, "<p>%lld layer%s: in the %.2f s that %s takes for a step over %lld tokens, the longest context is ",
                 (long long)c->depth[d], plural(c->depth[d]), base->seconds, c->entry[0].name,
                 (long long)base->context);
        add_reaches(t, c, d, -1, base->seconds);
        text_add(t, ".</p>\n");
    }
}

/* How deep a stack is affordable at one context in the time of the first entry's deepest. */
static void add_equal_depths(text *t, const comparison *c) {
    int k = depth_context(c);
    const cost_cell *base = NULL;
    if (k < 0) return;
    for (int d = 0; d < c->depths; d++) {
        const cost_cell *cell = cost_at(c, 0, d, k);
        if (cell->end == COST_MEASURED) base = cell;
    }
    text_add(t, "<p>Context %lld: in the %.2f s of %lld layer%s of %s, the deepest stack is ", (long long)c->context[k],
             base->seconds, (long long)base->layers, plural(base->layers), c->entry[0].name);
    add_reaches(t, c, -1, k, base->seconds);
    text_add(t, ".</p>\n");
}

static void add_cost_table(text *t, const comparison *c) {
    text_add(t, "<details><summary>All measured steps</summary>\n<div class=\"scroll\"><table><tr><th>architecture"
                "<th>layers<th>context<th>seconds<th>predicted<th>GFLOP/s<th>peak GiB<th>planned GiB<th>end</tr>\n");
    for (int i = 0; i < c->cells; i++) {
        const cost_cell *cell = &c->cell[i];
        text_add(t, "<tr><td>%s<td>%lld<td>%lld", c->entry[cell->arch].name, (long long)cell->layers,
                 (long long)cell->context);
        if (cell->end == COST_MEASURED)
            text_add(t, "<td>%.3f<td>%.3f<td>%.0f<td>%.2f<td>%.2f<td></tr>\n", cell->seconds, cell->predicted,
                     cell->flops / cell->seconds / 1e9,
                     (double)cell->peak / (1 << 30), (double)cell->planned / (1 << 30));
        else
            text_add(t, "<td><td><td><td><td>%.2f<td>%s</tr>\n", (double)cell->planned / (1 << 30), why_stopped(cell));
    }
    text_add(t, "</table></div></details>\n");
}

static void add_quality_words(text *t, const comparison *c) {
    int best = -1, done = 0;
    for (int i = 0; i < c->entries; i++) {
        if (!c->quality[i].test_tokens) continue;
        done++;
        if (best < 0 || c->quality[i].test_bits < c->quality[best].test_bits) best = i;
    }
    if (done > 1) {
        text_add(t, "<p>After %g minutes each, <b>%s</b> has the fewest bits per token on the test targets, which all "
                    "share", c->options->minutes, c->entry[best].name);
        for (int i = 0; i < c->entries; i++) {
            const quality_run *q = &c->quality[i], *b = &c->quality[best];
            if (i == best || !q->test_tokens) continue;
            text_add(t, "; %s needs %.3f more (%.1f %%)", c->entry[i].name, q->test_bits - b->test_bits,
                     100 * (q->test_bits / b->test_bits - 1));
        }
        text_add(t, ".</p>\n");
    }
    text_add(t, "<div class=\"scroll\"><table><tr><th>architecture<th>layers<th>context<th>parameters<th>learning rate"
                "<th>updates<th>target tokens<th>test bits per token</tr>\n");
    for (int i = 0; i < c->entries; i++) {
        const quality_run *q = &c->quality[i];
        text_add(t, "<tr><td>%s<td>%lld<td>%lld<td>%lld<td>%g<td>%lld<td>%lld<td>%.4f", c->entry[i].name,
                 (long long)q->layers, (long long)q->context, (long long)q->parameters,
                 q->rate < 0 ? 0 : c->rate[q->rate], (long long)q->steps, (long long)q->tokens, q->test_bits);
        if (isfinite(q->test_error)) text_add(t, " &plusmn; %.4f", q->test_error);
        text_add(t, "</tr>\n");
    }
    text_add(t, "</table></div>\n");
    for (int i = 0; i < c->entries && c->rates > 1; i++) {
        text_add(t, "<p>Learning rates of %s, validation bits per token after %g minutes:", c->entry[i].name,
                 c->options->minutes / RATE_SHARE);
        for (int r = 0; r < c->rates; r++) text_add(t, " %g: %.4f%s", c->rate[r], c->quality[i].rate_bits[r],
                                                    r + 1 < c->rates ? "," : "</p>\n");
    }
}

static const char style[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    "<title>Comparison of architectures</title>\n<style>\n"
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem;overflow-wrap:anywhere}table{border-collapse:collapse}td,th{padding:.2rem .7rem;text-align:right;"
    "border-bottom:1px solid #8884;white-space:nowrap}td:first-child,th:first-child{text-align:left}\n"
    "/* what is wider than a phone scrolls by itself */\n"
    ".scroll{overflow-x:auto}.scroll svg{max-width:100%;min-width:34rem;height:auto}\n"
    "</style>\n<h1>Comparison of architectures</h1>\n";

static void add_figure(text *page, const text *svg) {
    if (!svg->size) return;
    text_add(page, "<div class=\"scroll\">");
    text_bytes(page, svg->data, svg->size);
    text_add(page, "</div>\n");
}

static const char how_to_read[] =
    "<p>Between measured points, values are interpolated on logarithmic scales. A cross marks where a line ends, and "
    "why. Predictions are those of <code>plan</code>: its memory, and its operations at the rate of the steps measured "
    "before.</p>\n";

int page_write(const comparison *c, pcv_error *err) {
    bool cost = c->cells > 0, quality = c->quality[0].points > 0;
    text page = {0}, csv = {0}, more = {0}, time = {0}, memory = {0}, depth = {0}, bits = {0};
    int status = 0;
    text_add(&page, "%s", style);
    text_add(&page, "<p>Data set: ");
    text_html(&page, c->options->dataset, strlen(c->options->dataset));
    text_add(&page, ". Every time is that of a step which was run.</p>\n");
    if (quality) {
        add_quality_csv(&more, c);
        TRY(write_text(c, "quality.csv", &more, err));
        TRY(quality_chart(c, &bits, err));
        TRY(write_text(c, "quality.svg", &bits, err));
        text_add(&page, "<h2>What is learned in equal time</h2>\n");
        add_quality_words(&page, c);
        add_figure(&page, &bits);
    }
    if (cost) {
        add_cost_csv(&csv, c);
        TRY(write_text(c, "cost.csv", &csv, err));
        TRY(cost_chart(c, false, &time, err));
        TRY(write_text(c, "cost_time.svg", &time, err));
        TRY(cost_chart(c, true, &memory, err));
        TRY(write_text(c, "cost_memory.svg", &memory, err));
        TRY(depth_chart(c, &depth, err));
        if (depth.size) TRY(write_text(c, "cost_depth.svg", &depth, err));
        text_add(&page, "<h2>What a training step costs</h2>\n");
        text_add(&page, "%s", how_to_read);
        add_equal_contexts(&page, c);
        add_equal_depths(&page, c);
        add_stops(&page, c);
        add_figure(&page, &time);
        add_figure(&page, &memory);
        add_figure(&page, &depth);
        add_cost_table(&page, c);
    }
    TRY(write_text(c, "index.html", &page, err));
out:
    text_free(&page);
    text_free(&csv);
    text_free(&more);
    text_free(&time);
    text_free(&memory);
    text_free(&depth);
    text_free(&bits);
    return status;
}
