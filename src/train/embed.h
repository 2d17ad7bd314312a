/* Files that the build puts into the library. */
#ifndef TRAIN_EMBED_H
#define TRAIN_EMBED_H

extern const char chart_js[], chart_js_end[];       /* Chart.js */
extern const char report_html[], report_html_end[]; /* the report's page, with marks to fill in */

#endif
