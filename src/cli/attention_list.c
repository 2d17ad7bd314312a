/* Every row has the same columns, and ends with text in which one token stands in brackets: of an index head's place
 * the one that followed, which is what the head took from there; of an input the input itself. */
#include "cli/attention_list.h"

#include <inttypes.h>
#include <stdio.h>

enum { TEXT_COLUMNS = 42, WIDE_TEXT = 74 };

typedef struct shown {
    char text[PCV_EXCERPT_BYTES(WIDE_TEXT)];
} shown;

/* The text around token `place`, in brackets. */
static shown around(const pcv_engine *engine, const pcv_attended *a, int64_t place, int columns) {
    shown s;
    pcv_excerpt(engine, a->ids, a->count, place - a->first, columns, s.text);
    return s;
}

static shown token(const pcv_engine *engine, int32_t id) {
    shown s;
    pcv_excerpt(engine, &id, 1, -1, TEXT_COLUMNS, s.text);
    return s;
}

/* What the places behind the first `top` have together. */
static double rest(const pcv_index_head *h, int64_t top) {
    double sum = 0;
    for (int64_t i = top; i < h->count; i++) sum += h->place[i].probability;
    return sum;
}

/* ------------------------------------------------------------------ for people */

static void list_head(const pcv_engine *engine, const pcv_attended *a, const pcv_index_head *h, int64_t top) {
    printf("\nindex head of order %" PRId64 ", [what followed there]\n", h->order);
    printf("%9s %8s %5s %11s\n", "place", "back", "match", "probability");
    for (int64_t i = 0; i < h->count && i < top; i++) {
        const pcv_place *p = &h->place[i];
        printf("%9" PRId64 " %8" PRId64 " %5" PRId64 " %11.6f  %s\n", p->place, a->token - p->place, p->match,
               p->probability, around(engine, a, p->place + 1, TEXT_COLUMNS).text);
    }
    if (h->count > top) printf("%24s %11.6f  %" PRId64 " more\n", "", rest(h, top), h->count - top);
    printf("%24s %11.6f  nothing\n", "", h->nothing);
}

static void list_inputs(const pcv_engine *engine, const pcv_attended *a) {
    double sum = 0;
    printf("\ncross-attention, to the last %" PRId64 " [input%s]\n", a->seen, pcv_plural(a->seen));
    printf("%9s %8s %17s\n", "place", "back", "probability");
    for (int64_t i = 0; i < a->places; i++) {
        const pcv_place *p = &a->place[i];
        sum += p->probability;
        printf("%9" PRId64 " %8" PRId64 " %17.6f  %s\n", p->place, a->token - p->place, p->probability,
               around(engine, a, p->place, TEXT_COLUMNS).text);
    }
    if (a->seen > a->places)
        printf("%24s %11.6f  %" PRId64 " more\n", "", sum < 1 ? 1 - sum : 0, a->seen - a->places);
}

static void list_guesses(const pcv_engine *engine, const pcv_attended *a) {
    printf("\nthe next token\n%9s %26s\n", "id", "probability");
    for (int64_t i = 0; i < a->guesses; i++)
        printf("%9d %26.6f  %s%s\n", a->guess[i].id, a->guess[i].probability, token(engine, a->guess[i].id).text,
               a->guess[i].id == a->next.id ? "   <- it was this" : "");
    for (int64_t i = 0; i < a->guesses; i++)
        if (a->guess[i].id == a->next.id) return;
    if (a->next.id < 0) printf("%36s  none followed\n", "");
    else printf("%9d %26.6f  %s   <- it was this\n", a->next.id, a->next.probability, token(engine, a->next.id).text);
}

void attention_list(const pcv_engine *engine, const pcv_attended *a, int64_t top) {
    printf("behind token %" PRId64 "\n      %s\n", a->token, around(engine, a, a->token, WIDE_TEXT).text);
    for (int64_t h = 0; h < a->heads; h++) list_head(engine, a, &a->head[h], top);
    if (a->seen) list_inputs(engine, a);
    list_guesses(engine, a);
}

/* ------------------------------------------------------------------ for programs */

/* A line of text, without what aligns it. */
static void json_text(const shown *s) {
    const char *text = s->text;
    while (*text == ' ') text++;
    printf(", \"text\": \"");
    for (; *text; text++) printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    putchar('"');
}

/* `id` is what the head or the cross-attention took from there, and stands in brackets. */
static void json_place(const pcv_engine *engine, const pcv_attended *a, const pcv_place *p, int64_t bracketed) {
    shown s = around(engine, a, bracketed, TEXT_COLUMNS);
    printf("{\"place\": %" PRId64 ", \"back\": %" PRId64, p->place, a->token - p->place);
    if (p->match) printf(", \"match\": %" PRId64, p->match);
    printf(", \"probability\": %.9g, \"id\": %d", p->probability, a->ids[bracketed - a->first]);
    json_text(&s);
    putchar('}');
}

static void json_guess(const pcv_engine *engine, const pcv_guess *g) {
    shown s = token(engine, g->id);
    printf("{\"id\": %d, \"probability\": %.9g", g->id, g->probability);
    json_text(&s);
    putchar('}');
}

void attention_list_json(const pcv_engine *engine, const pcv_attended *a, int64_t top) {
    shown here = around(engine, a, a->token, WIDE_TEXT);
    printf("{\"token\": %" PRId64 ", \"id\": %d", a->token, a->ids[a->count - 1]);
    json_text(&here);
    printf(", \"index_heads\": [");
    for (int64_t k = 0; k < a->heads; k++) {
        const pcv_index_head *h = &a->head[k];
        printf("%s{\"order\": %" PRId64 ", \"nothing\": %.9g, \"places\": [", k ? ", " : "", h->order, h->nothing);
        for (int64_t i = 0; i < h->count && i < top; i++) {
            if (i) printf(", ");
            json_place(engine, a, &h->place[i], h->place[i].place + 1);
        }
        printf("], \"more\": %" PRId64 ", \"probability_of_more\": %.9g}", h->count > top ? h->count - top : 0,
               rest(h, top));
    }
    printf("], \"cross_attention\": {\"inputs\": %" PRId64 ", \"places\": [", a->seen);
    for (int64_t i = 0; i < a->places; i++) {
        if (i) printf(", ");
        json_place(engine, a, &a->place[i], a->place[i].place);
    }
    printf("]}, \"predicted\": [");
    for (int64_t i = 0; i < a->guesses; i++) {
        if (i) printf(", ");
        json_guess(engine, &a->guess[i]);
    }
    printf("], \"followed\": ");
    if (a->next.id < 0) printf("null");
    else json_guess(engine, &a->next);
    printf("}\n");
}
