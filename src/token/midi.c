/* Music as events: note on, note off, time shift, velocity. Two encodings share the kinds of events.
 *
 * "midi" is that of Music Transformer and Perceiver AR (Magenta's performances): times on a grid of 10 ms, one voice a
 * pitch, in each step the ends before the beginnings, a velocity event where the velocity changes; velocity bin b of 32
 * stands for 4 b + 1. The sustain pedal holds the notes of its channel until it comes up or the key is struck again;
 * what happens at one tick happens in the order of the file, track by track, so that a key that is let go before the
 * pedal goes down is not held by it.
 * The drum channel is left out: its numbers are instruments, not pitches.
 *
 * "midi-389" repeats krasserm/perceiver-io's encoder to the id, for models that were trained with it. So it keeps what
 * that does by accident:
 *   - A velocity event stands before a note whose v / 4 differs from the v of the event before, which is that of no
 *     note behind a note off: before nearly every note.
 *   - Times are rounded from one event to the next, so their errors add up.
 *   - Where an instrument (a program on a channel of a track) has a pedal, a note that begins while it is down lasts
 *     until the next note of its pitch, or the pedal's end; notes behind the last pedal are lost; and where no note
 *     follows a pedal, its notes are repeated for each pedal that comes later.
 *   - Drums count as notes.
 * One step holds ends and beginnings in any order, and a pitch can sound more than once. A decoded file tells all that
 * apart by MIDI channels and by delays of 50 us, so that encoding it again gives the same ids; except where more than
 * 15 notes of one pitch sound at once, or more than 90 notes begin or end in one step. */
#include "token/midi.h"
#include "base/mem.h"
#include "media/piano_roll.h"
#include "media/synthesizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PITCHES = 128,
    OFF = 128, /* note offs begin here, note ons at 0 */
    SHIFT = 256,
    VELOCITY = 356,
    EVENTS = 388,
    STEPS = 100, /* of a second, and of the longest time shift */
    MOST_DELAYS = 90,
    KINDS = 4,
    NONE = -1
};

static const int kinds[KINDS + 1] = {0, OFF, SHIFT, VELOCITY, EVENTS};

typedef struct event {
    double time;
    size_t place;
    int pitch, velocity; /* NONE: the note's end */
} event;

static int by_time(const void *a, const void *b) {
    const event *x = a, *y = b;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static bool is_krasserm(const tokenizer *t) { return t->type == &token_midi_389; }

/* ------------------------------------------------------------------ sustain pedal */

/* The pedal of a channel ("midi") or of a track's channel ("midi-389") is down. */
typedef struct sustain {
    uint32_t key, place; /* place of the "down" in the file */
    double down, up;
} sustain;

typedef struct press {
    midi_pedal p;
    uint32_t key;
    size_t place;
} press;

static uint32_t key_of(int track, int channel, bool krasserm) {
    return (uint32_t)(channel + (krasserm ? MIDI_CHANNELS * track : 0));
}

static int by_key(const void *a, const void *b) {
    const press *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->p.time != y->p.time) return x->p.time < y->p.time ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* By key and time. A pedal that stays down has up INFINITY; krasserm leaves it out, and there an "up" moves the end of
 * a pedal that is up already. */
static int find_sustains(const midi_file *m, bool krasserm, sustain **found, size_t *count, pcv_error *err) {
    press *presses = NULL;
    size_t n = 0;
    int status = 0;
    TRY(mem_get(&presses, m->pedal_count * sizeof *presses, "pedal events", err));
    TRY(mem_get(found, m->pedal_count * sizeof **found, "pedal events", err));
    for (size_t i = 0; i < m->pedal_count; i++)
        presses[i] = (press){m->pedals[i], key_of(m->pedals[i].track, m->pedals[i].channel, krasserm), i};
    qsort(presses, m->pedal_count, sizeof *presses, by_key);
    for (size_t i = 0; i < m->pedal_count; i++) {
        const press *p = &presses[i];
        sustain *last = n && (*found)[n - 1].key == p->key ? &(*found)[n - 1] : NULL;
        bool down = last && isinf(last->up);
        if (p->p.value >= 64 && !down) (*found)[n++] = (sustain){p->key, p->p.place, p->p.time, INFINITY};
        if (p->p.value < 64 && last && (down || krasserm)) last->up = p->p.time;
        bool ends = i + 1 == m->pedal_count || presses[i + 1].key != p->key;
        if (krasserm && ends && n && (*found)[n - 1].key == p->key && isinf((*found)[n - 1].up)) n--;
    }
    *count = n;
out:
    mem_free(presses);
    return status;
}

static bool is_before(const sustain *s, uint32_t key, double time, uint32_t place) {
    if (s->key != key) return s->key < key;
    return s->down != time ? s->down < time : s->place < place;
}

/* The first that is not before (key, time, place). */
static size_t sustain_at(const sustain *s, size_t count, uint32_t key, double time, uint32_t place) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (is_before(&s[middle], key, time, place)) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* ------------------------------------------------------------------ the encoding of the papers */

static int by_voice(const void *a, const void *b) {
    const midi_note *x = a, *y = b;
    if (x->channel != y->channel) return x->channel - y->channel;
    if (x->pitch != y->pitch) return x->pitch - y->pitch;
    if (x->start != y->start) return x->start < y->start ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int by_pitch(const void *a, const void *b) {
    const midi_note *x = a, *y = b;
    if (x->pitch != y->pitch) return x->pitch - y->pitch;
    return x->start < y->start ? -1 : x->start > y->start;
}

static int by_start(const void *a, const void *b) {
    const midi_note *x = a, *y = b;
    if (x->start != y->start) return x->start < y->start ? -1 : 1;
    return x->pitch - y->pitch;
}

/* Notes by voice, then time. */
static void hold(midi_note *notes, size_t count, const sustain *s, size_t sustains) {
    double last = 0;
    for (size_t i = 0; i < count; i++) last = fmax(last, notes[i].end);
    for (size_t i = 0; i < count; i++) {
        midi_note *n = &notes[i];
        size_t k = sustain_at(s, sustains, n->channel, n->end, n->ended);
        if (!k || s[k - 1].key != n->channel || s[k - 1].up <= n->end) continue;
        double up = isinf(s[k - 1].up) ? last : s[k - 1].up;
        bool again = i + 1 < count && n[1].channel == n->channel && n[1].pitch == n->pitch;
        n->end = fmax(n->end, again ? fmin(up, n[1].start) : up);
    }
}

/* Seconds become steps. Notes of one pitch are cut where the next begins, or become one. */
static size_t to_grid(midi_note *notes, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        notes[i].start = floor(notes[i].start * STEPS + 0.5);
        notes[i].end = fmax(floor(notes[i].end * STEPS + 0.5), notes[i].start + 1);
    }
    qsort(notes, count, sizeof *notes, by_pitch);
    for (size_t i = 0; i < count; i++) {
        midi_note now = notes[i], *before = kept ? &notes[kept - 1] : NULL;
        bool same = before && before->pitch == now.pitch;
        if (same && before->start == now.start) {
            before->end = fmax(before->end, now.end);
            if (now.velocity > before->velocity) before->velocity = now.velocity;
            continue;
        }
        if (same) before->end = fmin(before->end, now.start);
        notes[kept++] = now;
    }
    qsort(notes, kept, sizeof *notes, by_start);
    return kept;
}

static int performance_events(const midi_file *m, event **events, size_t *count, pcv_error *err) {
    midi_note *notes = NULL;
    sustain *s = NULL;
    size_t n = 0, sustains;
    int status = 0;
    TRY(mem_get(&notes, m->note_count * sizeof *notes, "notes", err));
    TRY(find_sustains(m, false, &s, &sustains, err));
    for (size_t i = 0; i < m->note_count; i++)
        if (m->notes[i].channel != MIDI_DRUMS) notes[n++] = m->notes[i];
    qsort(notes, n, sizeof *notes, by_voice);
    hold(notes, n, s, sustains);
    n = to_grid(notes, n);
    TRY(mem_get(events, 2 * n * sizeof **events, "events", err));
    for (size_t i = 0; i < n; i++) {
        (*events)[i] = (event){notes[i].end, i, notes[i].pitch, NONE};
        (*events)[n + i] = (event){notes[i].start, n + i, notes[i].pitch, notes[i].velocity};
    }
    *count = 2 * n;
out:
    mem_free(notes);
    mem_free(s);
    return status;
}

/* ------------------------------------------------------------------ krasserm's encoding */

/* A note of an instrument, which is known by its first one. */
typedef struct member {
    size_t instrument, note;
} member;

static int by_instrument(const void *a, const void *b) {
    const member *x = a, *y = b;
    if (x->instrument != y->instrument) return x->instrument < y->instrument ? -1 : 1;
    return x->note < y->note ? -1 : x->note > y->note;
}

static void find_instruments(const midi_note *notes, size_t count, member *members) {
    size_t first[MIDI_CHANNELS][PITCHES]; /* of each channel and program, 1 more */
    for (size_t i = 0; i < count; i++) {
        if (!i || notes[i].track != notes[i - 1].track) memset(first, 0, sizeof first);
        size_t *f = &first[notes[i].channel][notes[i].program];
        if (!*f) *f = i + 1;
        members[i] = (member){*f, i};
    }
    qsort(members, count, sizeof *members, by_instrument);
}

static int add_note(id_list *list, size_t note, pcv_error *err) {
    if (list->count >= MIDI_EVENTS) return fail(err, PCV_DATA, "the pedal repeats too many notes");
    return id_list_add(list, &(int32_t){(int32_t)note}, 1, err);
}

/* The notes of one pedal, held[begin] on, from the last to the first. */
static void stretch(midi_note *notes, const id_list *held, size_t begin, double up) {
    double next[PITCHES];
    for (int i = 0; i < PITCHES; i++) next[i] = NONE;
    for (size_t i = held->count; i-- > begin;) {
        midi_note *n = &notes[held->v[i]];
        n->end = next[n->pitch] >= 0 ? next[n->pitch] : fmax(up, n->end);
        next[n->pitch] = n->start;
    }
}

/* Appends an instrument's notes in the order and the number in which krasserm's code has them. */
static int press_pedals(midi_note *notes, const member *members, size_t count, const sustain *s, size_t sustains,
                        id_list *order, pcv_error *err) {
    id_list held = {0};
    size_t from = 0;
    int status = 0;
    for (size_t k = 0; k < sustains; k++) {
        size_t begin = held.count, i = from;
        for (; i < count && notes[members[i].note].start <= s[k].up; i++) {
            bool before = notes[members[i].note].start < s[k].down;
            TRY(add_note(before ? order : &held, members[i].note, err));
        }
        if (i == count) continue;
        stretch(notes, &held, begin, s[k].up);
        from = i;
    }
    TRY(id_list_add(order, held.v, held.count, err));
out:
    id_list_free(&held);
    return status;
}

static int order_notes(const midi_file *m, midi_note *notes, size_t count, id_list *order, pcv_error *err) {
    member *members = NULL;
    sustain *s = NULL;
    size_t sustains;
    int status = 0;
    TRY(mem_get(&members, count * sizeof *members, "notes", err));
    TRY(find_sustains(m, true, &s, &sustains, err));
    find_instruments(notes, count, members);
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from; to < count && members[to].instrument == members[from].instrument; to++) continue;
        const midi_note *n = &notes[members[from].note];
        uint32_t key = key_of(n->track, n->channel, true);
        size_t first = sustain_at(s, sustains, key, -1, 0), end = sustain_at(s, sustains, key + 1, -1, 0);
        if (first < end) TRY(press_pedals(notes, members + from, to - from, s + first, end - first, order, err));
        else
            for (size_t i = from; i < to; i++) TRY(add_note(order, members[i].note, err));
    }
out:
    mem_free(members);
    mem_free(s);
    return status;
}

static int krasserm_events(const midi_file *m, event **events, size_t *count, pcv_error *err) {
    midi_note *notes = NULL;
    id_list order = {0};
    size_t n = 0;
    int status = 0;
    TRY(mem_get(&notes, m->note_count * sizeof *notes, "notes", err));
    for (size_t i = 0; i < m->note_count; i++)
        if (!m->notes[i].open) notes[n++] = m->notes[i];
    TRY(order_notes(m, notes, n, &order, err));
    n = order.count;
    TRY(mem_get(events, 2 * n * sizeof **events, "events", err));
    event *e = *events;
    for (size_t i = 0; i < n; i++) e[i] = (event){notes[order.v[i]].start, i, order.v[i], 0};
    qsort(e, n, sizeof *e, by_time);
    for (size_t i = n; i-- > 0;) { /* from the last, so that nothing is overwritten before it is read */
        const midi_note *note = &notes[e[i].pitch];
        e[2 * i + 1] = (event){note->end, 2 * i + 1, note->pitch, NONE};
        e[2 * i] = (event){note->start, 2 * i, note->pitch, note->velocity};
    }
    *count = 2 * n;
out:
    id_list_free(&order);
    mem_free(notes);
    return status;
}

/* ------------------------------------------------------------------ ids */

static int add_event(const tokenizer *t, int e, id_list *ids, pcv_error *err) {
    return id_list_add(ids, &(int32_t){t->first + e}, 1, err);
}

static int add_events(const tokenizer *t, const event *events, size_t count, id_list *ids, pcv_error *err) {
    const bool krasserm = is_krasserm(t);
    const double steps = krasserm ? STEPS : 1; /* of a unit of event.time */
    double now = 0;
    int before = krasserm ? 0 : NONE; /* krasserm's is a velocity, ours a bin */
    int status = 0;
    for (const event *e = events; e < events + count; e++) {
        int64_t wait = (int64_t)rint((e->time - now) * steps);
        now = e->time;
        for (; wait > 0; wait -= STEPS) TRY(add_event(t, SHIFT - 1 + (int)(wait < STEPS ? wait : STEPS), ids, err));
        if (e->velocity != NONE) {
            int bin = (krasserm ? e->velocity : e->velocity - 1) / 4;
            if (bin != before) TRY(add_event(t, VELOCITY + bin, ids, err));
            before = krasserm ? e->velocity : bin;
        } else if (krasserm) {
            before = NONE;
        }
        TRY(add_event(t, e->pitch + (e->velocity == NONE ? OFF : 0), ids, err));
    }
out:
    return status;
}

int midi_encode(const tokenizer *t, const midi_file *m, id_list *ids, pcv_error *err) {
    event *events = NULL;
    size_t count = 0;
    int status = 0;
    TRY((is_krasserm(t) ? krasserm_events : performance_events)(m, &events, &count, err));
    qsort(events, count, sizeof *events, by_time);
    TRY(add_events(t, events, count, ids, err));
out:
    mem_free(events);
    return status;
}

static int read_midi(const tokenizer *t, const char *path, id_list *ids, pcv_error *err) {
    midi_file m;
    size_t before = ids->count;
    int status = midi_file_read(&m, path, err);
    if (status) return status;
    status = midi_encode(t, &m, ids, err);
    if (status == PCV_DATA) fail_context(err, "%s", path);
    if (!status && ids->count == before)
        status = fail(err, PCV_DATA, "%s: no notes%s", path, m.note_count ? ", but drums or notes without an end" : "");
    midi_file_free(&m);
    return status;
}

/* ------------------------------------------------------------------ notes */

typedef struct player {
    midi_file *m;
    bool krasserm;
    int64_t step;
    int delays; /* note events of this step */
    int bin;    /* of the newest velocity event, NONE when a note came since */
    int velocity;
    int before; /* as in add_events */
    int32_t sounding[PITCHES][MIDI_CHANNELS];
} player;

/* Of a note event. krasserm's in one step keep their order by small delays. */
static double time_of(player *p) {
    double time = (double)p->step / STEPS;
    if (!p->krasserm) return time;
    if (p->delays < MOST_DELAYS) p->delays++;
    return time + (double)(p->delays - 1) / MIDI_TICKS_SECOND;
}

static int oldest(const player *p, int pitch) {
    const int32_t *s = p->sounding[pitch];
    int found = NONE;
    for (int c = 0; c < MIDI_CHANNELS; c++)
        if (s[c] != NONE && (found == NONE || s[c] < s[found])) found = c;
    return found;
}

static void play_off(player *p, int pitch) {
    int channel = oldest(p, pitch);
    if (p->krasserm) p->before = NONE;
    if (channel == NONE) return;
    p->m->notes[p->sounding[pitch][channel]].end = time_of(p);
    p->sounding[pitch][channel] = NONE;
}

/* krasserm's encoder says nothing where a fourth of the velocity is the velocity of the note before; and where it does
 * say a bin, the note before has another velocity than that. */
static int krasserm_velocity(player *p) {
    midi_file *m = p->m;
    if (p->bin != NONE && p->bin == p->before && m->note_count) m->notes[m->note_count - 1].velocity++;
    if (p->bin == NONE && p->before != NONE && p->before < 32) return p->before ? 4 * p->before : 1;
    return p->velocity;
}

static int free_channel(const player *p, int pitch) {
    int c = 0;
    while (c < MIDI_CHANNELS && (c == MIDI_DRUMS || p->sounding[pitch][c] != NONE)) c++;
    return c;
}

static void play_on(player *p, int pitch) {
    int channel = p->krasserm ? free_channel(p, pitch) : 0;
    if (channel == MIDI_CHANNELS) return;
    if (p->sounding[pitch][channel] != NONE) play_off(p, pitch);
    if (p->krasserm) p->velocity = p->before = krasserm_velocity(p);
    p->bin = NONE;
    double time = time_of(p);
    p->sounding[pitch][channel] = (int32_t)p->m->note_count;
    p->m->notes[p->m->note_count++] = (midi_note){.start = time, .end = time, .channel = (uint8_t)channel,
                                                  .pitch = (uint8_t)pitch, .velocity = (uint8_t)p->velocity};
}

static void play(player *p, int e) {
    if (e < OFF) play_on(p, e);
    else if (e < SHIFT) play_off(p, e - OFF);
    else if (e < VELOCITY) {
        p->step += e - SHIFT + 1;
        p->delays = 0;
    } else {
        p->bin = e - VELOCITY;
        p->velocity = 4 * p->bin + (p->krasserm && p->bin ? 0 : 1);
    }
}

static void end_all(player *p) {
    for (int pitch = 0; pitch < PITCHES; pitch++)
        for (int c; (c = oldest(p, pitch)) != NONE;) {
            midi_note *n = &p->m->notes[p->sounding[pitch][c]];
            play_off(p, pitch);
            if (n->end <= n->start) n->end = n->start + 1.0 / STEPS;
        }
}

int midi_decode(const tokenizer *t, const int32_t *ids, size_t count, midi_file *m, pcv_error *err) {
    player p = {.m = m, .krasserm = is_krasserm(t), .bin = NONE, .velocity = 64, .before = 0};
    size_t ons = 0, kept = 0;
    *m = (midi_file){0};
    memset(p.sounding, 0xFF, sizeof p.sounding); /* NONE */
    for (size_t i = 0; i < count; i++) ons += ids[i] >= t->first && ids[i] < t->first + OFF;
    int status = mem_get(&m->notes, ons * sizeof *m->notes, "notes", err);
    if (status) return status;
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= t->first && ids[i] < t->first + EVENTS) play(&p, ids[i] - t->first);
    end_all(&p);
    for (size_t i = 0; i < m->note_count; i++)
        if (m->notes[i].end > m->notes[i].start) m->notes[kept++] = m->notes[i];
    m->note_count = kept;
    return 0;
}

static int write_midi(const tokenizer *t, const int32_t *ids, size_t count, const char *path, pcv_error *err) {
    midi_file m;
    int status = midi_decode(t, ids, count, &m, err);
    if (!status) status = midi_file_write(path, m.notes, m.note_count, err);
    midi_file_free(&m);
    return status;
}

static int check_midi(const tokenizer *t, const char *path, pcv_error *err) {
    (void)t;
    return midi_file_check(path, err);
}

static int draw_midi(const tokenizer *t, const int32_t *ids, size_t count, const char *path, pcv_error *err) {
    midi_file m;
    int status = midi_decode(t, ids, count, &m, err);
    if (!status) status = piano_roll_draw(path, m.notes, m.note_count, err);
    midi_file_free(&m);
    return status;
}

/* ------------------------------------------------------------------ sampling */

typedef struct score {
    bool krasserm;
    int sounding[PITCHES], total;
    bool fresh[PITCHES];    /* began in this step */
    int64_t began[PITCHES]; /* step in which the pitch began to sound, or in which one of its notes ended */
    int64_t now, longest;   /* steps; of a note, 0: any number */
    int64_t patience;       /* steps until a note has sounded that long */
    bool room;              /* a note may begin */
    int before;             /* as in add_events, of the newest velocity event */
    int last;               /* event */
} score;

static void listen(score *s, int e) {
    s->last = e;
    if (e < OFF) {
        if (!s->sounding[e]) s->began[e] = s->now;
        if (s->krasserm || !s->sounding[e]) s->sounding[e]++, s->total++;
        s->fresh[e] = true;
        if (s->krasserm && s->before == NONE) s->before = 0;
    } else if (e < SHIFT) {
        if (s->sounding[e - OFF]) s->sounding[e - OFF]--, s->total--;
        s->began[e - OFF] = s->now;
        if (s->krasserm) s->before = NONE;
    } else if (e < VELOCITY) {
        memset(s->fresh, 0, sizeof s->fresh);
        s->now += e - SHIFT + 1;
    } else {
        s->before = e - VELOCITY;
    }
}

static bool may_begin(const score *s, int pitch) { return s->sounding[pitch] < (s->krasserm ? MIDI_CHANNELS - 1 : 1); }

/* What may_follow asks of all pitches. */
static void look_around(score *s) {
    for (int pitch = 0; pitch < PITCHES; pitch++) {
        s->room |= may_begin(s, pitch);
        if (s->sounding[pitch] && s->longest && s->began[pitch] + s->longest - s->now < s->patience)
            s->patience = s->began[pitch] + s->longest - s->now;
    }
}

/* The order of a piece: time shifts, of which all but the last are the longest; a note off; or a velocity and its note.
 * No note ends in the step that it begins in (but krasserm's do). krasserm's notes without a velocity event have four
 * times the velocity of the note before. Notes that have sounded for the longest time end before anything else: a model
 * that misses an end now and then would otherwise never find it again, and hears more and more notes. */
static bool may_follow(const score *s, int e) {
    bool chosen = s->last >= VELOCITY && s->room, overdue = s->patience <= 0;
    if (e < OFF && !chosen && (overdue || s->before == NONE || (s->krasserm && s->before >= 8))) return false;
    if (e < OFF) return may_begin(s, e);
    if (chosen) return false;
    if (e < SHIFT && overdue) return s->sounding[e - OFF] && s->began[e - OFF] + s->longest <= s->now;
    if (e < SHIFT) return s->sounding[e - OFF] && (s->krasserm || !s->fresh[e - OFF]);
    if (e < VELOCITY) return e - SHIFT < s->patience && (s->last < SHIFT || s->last >= VELOCITY - 1);
    return !overdue && s->room && (s->krasserm || e - VELOCITY != s->before);
}

/* The logarithm of the sum of exponentials. */
static double log_sum(const float *logits, int from, int to) {
    float most = -INFINITY;
    for (int e = from; e < to; e++) most = fmaxf(most, logits[e]);
    double sum = 0;
    for (int e = from; e < to && most > -INFINITY; e++) sum += exp((double)logits[e] - (double)most);
    return (double)most + log(sum);
}

/* The events of a kind that may follow share its probability. A model that is not sure which notes sound bets on ends
 * of several; were those of silent pitches just left out, too few notes would end. */
static void mask_kind(const score *s, int from, int to, float *logits) {
    double before = log_sum(logits, from, to);
    for (int e = from; e < to; e++)
        if (!may_follow(s, e)) logits[e] = -INFINITY;
    double after = log_sum(logits, from, to);
    for (int e = from; e < to && isfinite(after); e++) logits[e] += (float)(before - after);
}

static void mask(const tokenizer *t, const int32_t *ids, size_t count, float *logits) {
    score s = {.krasserm = is_krasserm(t), .before = is_krasserm(t) ? 0 : NONE, .last = NONE, .patience = INT64_MAX,
               .longest = (int64_t)ceil(t->config.longest_note * STEPS)};
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= t->first && ids[i] < t->first + EVENTS) listen(&s, ids[i] - t->first);
    look_around(&s);
    bool whole = s.last >= OFF && s.last < SHIFT && !s.total;
    for (int32_t id = 0; id < t->vocab; id++) {
        int e = id - t->first;
        if ((e < 0 || e >= EVENTS) && (id != t->end || !whole)) logits[id] = -INFINITY;
    }
    for (int k = 0; k < KINDS; k++) mask_kind(&s, kinds[k], kinds[k + 1], logits + t->first);
}

/* ------------------------------------------------------------------ types */

static int open_papers(tokenizer *t, pcv_error *err) {
    (void)err;
    t->pad = 0, t->end = 1, t->start = 2, t->first = 3;
    t->vocab = t->first + EVENTS;
    return 0;
}

/* krasserm's pieces have no start or end: padding, id 388, stands left of them. So our start is that id. */
static int open_krasserm(tokenizer *t, pcv_error *err) {
    (void)err;
    t->pad = t->start = EVENTS;
    t->end = -1, t->first = 0;
    t->vocab = EVENTS + 1;
    return 0;
}

static const char *const keys[] = {"longest_note", NULL};

const token_type token_midi = {
    .name = "midi",
    .help = "note on, note off, time shift and velocity events of the Perceiver AR paper",
    .kind = "midi",
    .unit = "event",
    .extension = ".mid",
    .keys = keys,
    .open = open_papers,
    .read = read_midi,
    .write = write_midi,
    .check_name = check_midi,
    .draw = draw_midi,
    .play = synthesize,
    .mask = mask,
};
const token_type token_midi_389 = {
    .name = "midi-389",
    .help = "the same events, encoder and ids of krasserm/perceiver-io",
    .kind = "midi",
    .unit = "event",
    .extension = ".mid",
    .keys = keys,
    .open = open_krasserm,
    .read = read_midi,
    .write = write_midi,
    .check_name = check_midi,
    .draw = draw_midi,
    .play = synthesize,
    .mask = mask,
};
