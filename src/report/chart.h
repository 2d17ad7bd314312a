/* Line charts as SVG: one or more panels below each other, each with its own vertical axis. Colours follow the
 * viewer's light or dark scheme. */
#ifndef REPORT_CHART_H
#define REPORT_CHART_H

#include "base/text.h"

typedef struct chart_line {
    const char *name;       /* for the legend; NULL: none */
    const double *x, *y;    /* [count]; values that are not finite leave a gap */
    const double *error;    /* [count] standard errors, drawn as bars, or NULL */
    int count;
    const char *stop;       /* why the line ends at its last point, written beside a cross there, or NULL */
} chart_line;

typedef struct chart_panel {
    const char *title, *x_label, *y_label;
    bool log_x, log_y;
    const double *x_tick; /* [x_ticks] where to label the x axis; NULL: round numbers */
    int x_ticks;
    const chart_line *line;
    int lines;
} chart_panel;

/* Appends a whole SVG document. */
void chart_svg(text *out, const chart_panel *panel, int panels);

#endif
