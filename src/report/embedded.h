/* Files that the build puts into the library. */
#ifndef REPORT_EMBEDDED_H
#define REPORT_EMBEDDED_H

extern const char chart_js[], chart_js_end[];       /* Chart.js */
extern const char report_html[], report_html_end[]; /* the report's page, with marks to fill in */

#endif
