#include "eval/confusion.h"
#include "base/file.h"
#include "base/text.h"

#include <string.h>

enum { CELL = 44, MARGIN = 130, SLANT = 80 }; /* pixels */

static bool ends_with(const char *path, const char *end) {
    size_t size = strlen(path), more = strlen(end);
    return size > more && !strcmp(path + size - more, end);
}

int confusion_check(const char *path, pcv_error *err) {
    if (ends_with(path, ".csv") || ends_with(path, ".svg")) return 0;
    return fail(err, PCV_USAGE, "%s: which class was taken for which is written as .csv or .svg", path);
}

static void write_table(text *out, const int64_t *counts, const char *const *names, int64_t classes) {
    text_add(out, "class");
    for (int64_t k = 0; k < classes; k++) {
        text_add(out, ",");
        text_csv(out, names[k]);
    }
    for (int64_t r = 0; r < classes; r++) {
        text_add(out, "\n");
        text_csv(out, names[r]);
        for (int64_t k = 0; k < classes; k++) text_add(out, ",%lld", (long long)counts[r * classes + k]);
    }
    text_add(out, "\n");
}

static void add_label(text *out, const char *name, int x, int y, bool upright) {
    text_add(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\"", x, y, upright ? "start" : "end");
    if (upright) text_add(out, " transform=\"rotate(-45 %d %d)\"", x, y);
    text_add(out, ">");
    text_html(out, name, strlen(name));
    text_add(out, "</text>\n");
}

/* Cells as dark as the share of their row. */
static void draw_table(text *out, const int64_t *counts, const char *const *names, int64_t classes) {
    int side = MARGIN + CELL * (int)classes;
    text_add(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
             "font-size=\"12\">\n<style>text { fill: #222 } @media (prefers-color-scheme: dark) { text { fill: #ddd } "
             ".in { fill: #222 } }</style>\n<title>Down: what it is; across: the answer</title>\n", side + SLANT,
             side + 10);
    for (int64_t r = 0; r < classes; r++) {
        int y = MARGIN + CELL * (int)r;
        int64_t all = 0;
        for (int64_t k = 0; k < classes; k++) all += counts[r * classes + k];
        add_label(out, names[r], MARGIN - 8, y + CELL / 2 + 4, false);
        add_label(out, names[r], MARGIN + CELL * (int)r + CELL / 2, MARGIN - 8, true);
        for (int64_t k = 0; k < classes; k++) {
            int x = MARGIN + CELL * (int)k;
            double share = all ? (double)counts[r * classes + k] / (double)all : 0;
            text_add(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"hsl(%d 60%% %.0f%%)\"/>"
                     "<text class=\"in\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%lld</text>\n", x + 1, y + 1,
                     CELL - 2, CELL - 2, r == k ? 140 : 20, 96 - 46 * share, x + CELL / 2, y + CELL / 2 + 4,
                     (long long)counts[r * classes + k]);
        }
    }
    text_add(out, "</svg>\n");
}

int confusion_write(const char *path, const int64_t *counts, const char *const *names, int64_t classes,
                    pcv_error *err) {
    text out = {0};
    int status = confusion_check(path, err);
    bool drawn = ends_with(path, ".svg");
    if (status) return status;
    if (drawn && classes > CONFUSION_DRAWN)
        return fail(err, PCV_USAGE, "%s: %lld classes, at most %d can be drawn; .csv holds any number", path,
                    (long long)classes, CONFUSION_DRAWN);
    if (drawn) draw_table(&out, counts, names, classes);
    else write_table(&out, counts, names, classes);
    status = text_ok(&out) ? file_write(path, out.data, out.size, err)
                           : fail(err, PCV_MEMORY, "not enough memory for %s", path);
    text_free(&out);
    return status;
}
