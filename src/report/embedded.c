/* Each file's bytes, between two symbols. The paths come from CMake. */
#define EMBED(symbol, path)                                                                        \
    __asm__(".section .rodata\n.global " #symbol "\n.hidden " #symbol "\n" #symbol ":\n.incbin \"" path  \
            "\"\n.global " #symbol "_end\n.hidden " #symbol "_end\n" #symbol "_end:\n.byte 0\n"          \
            ".previous\n")

EMBED(chart_js, CHART_JS);
EMBED(report_html, REPORT_HTML);
