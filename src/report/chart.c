/* A chart is drawn from its lines alone: axes widen over what they hold, ticks are round numbers, and what cannot
 * be placed (not finite, or not positive on a logarithmic axis) is a gap. Text is measured by its length, for
 * nothing here knows a font. */
#include "report/chart.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 720, HEIGHT = 330, LEFT = 76, RIGHT = 20, TOP = 40, BOTTOM = 58, MOST_TICKS = 24, COLOURS = 6 };

typedef struct axis {
    double low, high; /* of the values, logarithms where `log` */
    double from, to;  /* pixels */
    bool log;
} axis;

static double place(const axis *a, double value) {
    double v = a->log ? log(value) : value;
    return a->from + (v - a->low) / (a->high - a->low) * (a->to - a->from);
}

static bool can_show(const axis *a, double v) { return isfinite(v) && (!a->log || v > 0); }

static void widen(axis *a, double value) {
    if (!can_show(a, value)) return;
    double v = a->log ? log(value) : value;
    if (v < a->low) a->low = v;
    if (v > a->high) a->high = v;
}

static axis axis_of(const chart_panel *p, bool vertical, double from, double to) {
    axis a = {.low = INFINITY, .high = -INFINITY, .from = from, .to = to, .log = vertical ? p->log_y : p->log_x};
    for (int l = 0; l < p->lines; l++)
        for (int i = 0; i < p->line[l].count; i++) {
            const chart_line *k = &p->line[l];
            double error = vertical && k->error && isfinite(k->error[i]) ? k->error[i] : 0;
            widen(&a, (vertical ? k->y : k->x)[i] - error);
            widen(&a, (vertical ? k->y : k->x)[i] + error);
        }
    if (!(a.low <= a.high)) a.low = a.log ? 0 : 0, a.high = 1;
    double margin = (a.high - a.low) * (vertical ? 0.08 : 0.03);
    if (margin <= 0) margin = a.log ? 0.1 : fabs(a.high) * 0.1 + 1e-9;
    a.low -= margin;
    a.high += margin;
    return a;
}

/* Round numbers inside the axis: 1, 2, 5 times a power of ten, or powers of ten alone over many decades. */
static int ticks_of(const axis *a, double tick[MOST_TICKS]) {
    int count = 0;
    if (a->log) {
        static const double digits[] = {1, 2, 5};
        bool tens = (a->high - a->low) / log(10) > 4;
        for (int e = (int)floor(a->low / log(10)); e <= (int)ceil(a->high / log(10)); e++)
            for (int d = 0; d < (tens ? 1 : 3); d++) {
                double v = digits[d] * pow(10, e);
                if (log(v) >= a->low && log(v) <= a->high && count < MOST_TICKS) tick[count++] = v;
            }
        return count;
    }
    double rough = (a->high - a->low) / 5, unit = pow(10, floor(log10(rough))), share = rough / unit;
    double step = unit * (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10);
    for (double v = ceil(a->low / step) * step; v <= a->high && count < MOST_TICKS; v += step) tick[count++] = v;
    return count;
}

static void add_number(text *t, double v) {
    if (v != 0 && (fabs(v) >= 1e7 || fabs(v) < 1e-4)) text_add(t, "%.0e", v);
    else text_add(t, "%.6g", fabs(v) < 1e-12 ? 0 : v);
}

static void add_axes(text *t, const chart_panel *p, const axis *x, const axis *y) {
    double own[MOST_TICKS];
    int count = p->x_tick ? p->x_ticks : ticks_of(x, own);
    double last = -1e9;
    for (int i = 0; i < count; i++) {
        double v = p->x_tick ? p->x_tick[i] : own[i], at = place(x, v);
        text_add(t, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", at, at, y->from, y->to);
        if (at - last < 34) continue; /* labels must not touch */
        last = at;
        text_add(t, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", at, y->from + 17);
        add_number(t, v);
        text_add(t, "</text>\n");
    }
    count = ticks_of(y, own);
    for (int i = 0; i < count; i++) {
        double at = place(y, own[i]);
        text_add(t, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                    "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", x->from, x->to, at, at, x->from - 7, at + 4);
        add_number(t, own[i]);
        text_add(t, "</text>\n");
    }
    text_add(t, "<text class=\"title\" x=\"%.1f\" y=\"%.1f\">", x->from, y->to - 14);
    text_html(t, p->title, strlen(p->title));
    text_add(t, "</text><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", (x->from + x->to) / 2, y->from + 38);
    text_html(t, p->x_label, strlen(p->x_label));
    text_add(t, "</text><text transform=\"translate(%.1f %.1f) rotate(-90)\" text-anchor=\"middle\">", x->from - 56,
             (y->from + y->to) / 2);
    text_html(t, p->y_label, strlen(p->y_label));
    text_add(t, "</text>\n");
}

static void add_line(text *t, const chart_line *l, int colour, const axis *x, const axis *y) {
    bool open = false;
    text_add(t, "<path class=\"c%d\" d=\"", colour);
    for (int i = 0; i < l->count; i++) {
        bool shown = can_show(x, l->x[i]) && can_show(y, l->y[i]);
        if (shown) text_add(t, "%c%.1f %.1f", open ? 'L' : 'M', place(x, l->x[i]), place(y, l->y[i]));
        open = shown;
    }
    text_add(t, "\"/>\n");
    for (int i = 0; i < l->count; i++) {
        if (!can_show(x, l->x[i]) || !can_show(y, l->y[i])) continue;
        double at = place(x, l->x[i]);
        text_add(t, "<circle class=\"c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", colour, at, place(y, l->y[i]));
        if (l->error && can_show(y, l->y[i] - l->error[i]))
            text_add(t, "<line class=\"c%d\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", colour, at, at,
                     place(y, l->y[i] - l->error[i]), place(y, l->y[i] + l->error[i]));
    }
    int last = l->count - 1;
    if (l->stop && last >= 0 && can_show(x, l->x[last]) && can_show(y, l->y[last])) {
        double at = place(x, l->x[last]), up = place(y, l->y[last]);
        text_add(t, "<path class=\"c%d\" d=\"M%.1f %.1fl12 -12m0 12l-12 -12\"/><text x=\"%.1f\" y=\"%.1f\">%s</text>",
                 colour, at + 6, up + 6, at + 22, up + 4, l->stop);
    }
    text_add(t, "\n");
}

static void add_legend(text *t, const chart_panel *p, const axis *x, const axis *y) {
    double at = x->from + 12;
    for (int l = 0; l < p->lines; l++) {
        if (!p->line[l].name) continue;
        text_add(t, "<line class=\"c%d\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%.1f\" y=\"%.1f\">",
                 l % COLOURS, at, at + 18, y->to + 12, y->to + 12, at + 24, y->to + 16);
        text_html(t, p->line[l].name, strlen(p->line[l].name));
        text_add(t, "</text>\n");
        at += 40 + 7.0 * (double)strlen(p->line[l].name);
    }
}

void chart_svg(text *out, const chart_panel *panel, int panels) {
    static const char *const light[COLOURS] = {"#2563eb", "#c2410c", "#15803d", "#7e22ce", "#b91c1c", "#0f766e"};
    static const char *const dark[COLOURS] = {"#7aa8ff", "#ff9a62", "#5fd38a", "#c99bff", "#ff8a8a", "#5fd9cb"};
    text_add(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
                  "font-size=\"12\">\n<style>.bg{fill:#fff}text{fill:#333}.title{font-size:14px;font-weight:bold}"
                  ".grid{stroke:#ddd}path{fill:none;stroke-width:2}", WIDTH, panels * HEIGHT);
    for (int i = 0; i < COLOURS; i++) text_add(out, ".c%d{stroke:%s}circle.c%d{fill:%s}", i, light[i], i, light[i]);
    text_add(out, "@media(prefers-color-scheme:dark){.bg{fill:#14171c}text{fill:#ccc}.grid{stroke:#333}");
    for (int i = 0; i < COLOURS; i++) text_add(out, ".c%d{stroke:%s}circle.c%d{fill:%s}", i, dark[i], i, dark[i]);
    text_add(out, "}</style>\n<rect class=\"bg\" width=\"%d\" height=\"%d\"/>\n", WIDTH, panels * HEIGHT);
    for (int i = 0; i < panels; i++) {
        const chart_panel *p = &panel[i];
        axis x = axis_of(p, false, LEFT, WIDTH - RIGHT);
        axis y = axis_of(p, true, (i + 1) * HEIGHT - BOTTOM, i * HEIGHT + TOP);
        add_axes(out, p, &x, &y);
        for (int l = 0; l < p->lines; l++) add_line(out, &p->line[l], l % COLOURS, &x, &y);
        add_legend(out, p, &x, &y);
    }
    text_add(out, "</svg>\n");
}
