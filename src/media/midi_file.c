/* Reading takes two turns, because a tempo may stand in any track and holds for all: first all tracks, with ticks
 * for times, then ticks become seconds. What sounds is a list for each key, oldest first, since one note-off ends
 * all notes of its key; a note gets its place among the results when it ends. */
#include "media/midi_file.h"
#include "base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PITCHES = 128, KEYS = MIDI_CHANNELS * PITCHES, NONE = -1, MOST_DELTA = (1 << 28) - 1 };

/* Ticks from `tick` on last `scale` seconds each. */
typedef struct tempo {
    uint64_t tick;
    size_t place; /* in the file */
    double scale, seconds;
} tempo;

/* A note whose times are still in ticks. */
typedef struct heard {
    midi_note note;
    int32_t next;  /* of its key that sounds */
    int32_t place; /* among the ended ones, or NONE */
} heard;

typedef struct reader {
    const unsigned char *data;
    size_t size;
    const char *name;
    pcv_error *err;
    size_t at, end; /* in the chunk that is read */
    int format, declared, track;
    double tick_seconds, ticks_quarter; /* one of them is 0 */

    heard *heard;
    midi_pedal *pedals;
    tempo *tempos;
    size_t heard_count, pedal_count, tempo_count;
    size_t heard_room, pedal_room, tempo_room;
    int32_t ended;
    uint32_t place; /* of the event, counted through all tracks */

    /* of the track */
    uint64_t tick;
    unsigned running;
    uint8_t program[MIDI_CHANNELS];
    int32_t first[KEYS], last[KEYS]; /* what sounds, oldest first */
} reader;

__attribute__((format(printf, 3, 4))) static int bad(const reader *r, size_t at, const char *format, ...) {
    char what[160];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return fail(r->err, PCV_DATA, "%s: byte %zu: %s", r->name, at, what);
}

/* Room for one more. */
static int grow(const reader *r, void *slot, size_t count, size_t *room, size_t size, const char *what) {
    if (count < *room) return 0;
    if (count >= MIDI_EVENTS) return bad(r, r->at, "more than %d %s", MIDI_EVENTS, what);
    size_t more = count ? 2 * count : 1024;
    int status = mem_resize(slot, more * size, what, r->err);
    if (!status) *room = more;
    return status;
}

/* ------------------------------------------------------------------ events */

/* The next bytes; NULL, with the error, when the track has fewer. */
static const unsigned char *take(reader *r, size_t size) {
    const unsigned char *bytes = r->data + r->at;
    if (size > r->end - r->at) {
        bad(r, r->at, "an event needs %zu byte%s, but its track ends after %zu", size, plural((int64_t)size),
            r->end - r->at);
        return NULL;
    }
    r->at += size;
    return bytes;
}

static int take_number(reader *r, uint32_t *number) {
    *number = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned char *b = take(r, 1);
        if (!b) return PCV_DATA;
        *number = *number << 7 | (*b & 127);
        if (*b < 128) return 0;
    }
    return bad(r, r->at - 4, "a number of more than 4 bytes");
}

static int start_note(reader *r, int channel, int pitch, int velocity) {
    int status = grow(r, &r->heard, r->heard_count, &r->heard_room, sizeof *r->heard, "notes");
    if (status) return status;
    int key = channel * PITCHES + pitch;
    int32_t i = (int32_t)r->heard_count++;
    midi_note note = {.start = (double)r->tick, .track = (uint16_t)r->track, .channel = (uint8_t)channel,
                      .pitch = (uint8_t)pitch, .velocity = (uint8_t)velocity};
    r->heard[i] = (heard){note, NONE, NONE};
    if (r->first[key] == NONE) r->first[key] = i;
    else r->heard[r->last[key]].next = i;
    r->last[key] = i;
    return 0;
}

/* One end is for all notes of its key. A note that begins at the same tick goes on if an older one ends; if none does,
 * it is dropped. */
static void end_notes(reader *r, int key, bool open) {
    double now = (double)r->tick;
    bool any = false;
    int32_t i = r->first[key];
    for (; i != NONE && r->heard[i].note.start < now; i = r->heard[i].next) {
        heard *h = &r->heard[i];
        h->note.end = now;
        h->note.open = open;
        h->note.ended = r->place;
        h->note.program = r->program[key / PITCHES];
        h->place = r->ended++;
        any = true;
    }
    r->first[key] = any ? i : NONE;
}

static int add_pedal(reader *r, int channel, int value) {
    int status = grow(r, &r->pedals, r->pedal_count, &r->pedal_room, sizeof *r->pedals, "pedal events");
    if (status) return status;
    r->pedals[r->pedal_count++] = (midi_pedal){.time = (double)r->tick, .track = (uint16_t)r->track, .place = r->place,
                                               .channel = (uint8_t)channel, .value = (uint8_t)value};
    return 0;
}

/* The arithmetic is pretty_midi's, so that times have the same bits. */
static int add_tempo(reader *r, uint32_t microseconds) {
    int status = grow(r, &r->tempos, r->tempo_count, &r->tempo_room, sizeof *r->tempos, "tempo changes");
    if (status) return status;
    double scale = r->tick_seconds > 0 ? r->tick_seconds : 60.0 / (6e7 / microseconds * r->ticks_quarter);
    r->tempos[r->tempo_count] = (tempo){r->tick, r->tempo_count, scale, 0};
    r->tempo_count++;
    return 0;
}

static int channel_event(reader *r, unsigned message) {
    unsigned kind = message >> 4;
    int channel = message & 15;
    size_t size = kind == 0xC || kind == 0xD ? 1 : 2;
    const unsigned char *d = take(r, size);
    if (!d) return PCV_DATA;
    for (size_t i = 0; i < size; i++)
        if (d[i] > 127) return bad(r, r->at - size + i, "0x%02X in place of a value below 0x80", d[i]);
    if (kind == 0xC) r->program[channel] = d[0];
    if (kind == 0xB && d[0] == 64) return add_pedal(r, channel, d[1]);
    if (kind == 0x9 && d[1]) return start_note(r, channel, d[0], d[1]);
    if (kind == 0x8 || kind == 0x9) end_notes(r, channel * PITCHES + d[0], false);
    return 0;
}

static int meta_event(reader *r, bool *ends) {
    uint32_t size;
    const unsigned char *type = take(r, 1);
    if (!type || take_number(r, &size)) return PCV_DATA;
    const unsigned char *d = take(r, size);
    if (!d) return PCV_DATA;
    *ends = *type == 0x2F;
    if (*type != 0x51) return 0;
    if (size != 3) return bad(r, r->at - size, "a tempo of %u byte%s, expected 3", size, plural(size));
    uint32_t microseconds = (uint32_t)d[0] << 16 | (uint32_t)d[1] << 8 | d[2];
    if (!microseconds) return bad(r, r->at - size, "a tempo of 0 microseconds a quarter note");
    return add_tempo(r, microseconds);
}

static int read_event(reader *r, bool *ends) {
    uint32_t delta, size;
    r->place++;
    if (take_number(r, &delta)) return PCV_DATA;
    r->tick += delta;
    if (r->at == r->end) return bad(r, r->at, "the track ends behind a time, without the event");
    unsigned message = r->data[r->at];
    if (message >= 0x80) r->at++;
    else if (!r->running) return bad(r, r->at, "0x%02X, and no event before it whose kind it could repeat", message);
    else message = r->running;
    if (message < 0xF0) return channel_event(r, r->running = message);
    if (message == 0xFF) return meta_event(r, ends);
    if (message != 0xF0 && message != 0xF7) return bad(r, r->at - 1, "0x%02X, which begins no event", message);
    return take_number(r, &size) || !take(r, size) ? PCV_DATA : 0;
}

static int read_track(reader *r) {
    bool ends = false;
    int status = 0;
    for (int key = 0; key < KEYS; key++) r->first[key] = NONE;
    memset(r->program, 0, sizeof r->program);
    r->running = 0;
    if (r->format != 2) r->tick = 0;
    else if (r->track) status = add_tempo(r, 500000);
    while (!status && !ends && r->at < r->end) status = read_event(r, &ends);
    r->place++;
    for (int key = 0; key < KEYS; key++)
        if (r->first[key] != NONE) end_notes(r, key, true);
    return status;
}

/* ------------------------------------------------------------------ chunks */

static uint32_t big16(const unsigned char *b) { return (uint32_t)b[0] << 8 | b[1]; }

static uint32_t big32(const unsigned char *b) { return big16(b) << 16 | big16(b + 2); }

static int not_midi(const reader *r) {
    size_t at = r->size >= 3 && !memcmp(r->data, "\xEF\xBB\xBF", 3) ? 3 : 0;
    while (at < r->size && strchr(" \t\r\n", r->data[at]) && r->data[at]) at++;
    if (at < r->size && r->data[at] == '<')
        return fail(r->err, PCV_DATA, "%s: a web page, not a MIDI file", r->name);
    return fail(r->err, PCV_DATA, "%s: not a MIDI file: it does not begin with 'MThd'", r->name);
}

static int read_header(reader *r) {
    const unsigned char *d = r->data;
    if (r->size < 4 || memcmp(d, "MThd", 4)) return not_midi(r);
    if (r->size < 14) return bad(r, r->size, "the file ends inside its header");
    uint32_t length = big32(d + 4), division = big16(d + 12);
    if (length < 6 || length > r->size - 8)
        return bad(r, 4, "a header of %u byte%s, expected 6, in a file of %zu", length, plural(length), r->size);
    r->end = 8 + length;
    r->format = (int)big16(d + 8);
    r->declared = (int)big16(d + 10);
    if (r->format > 2) return bad(r, 8, "format %d, expected 0, 1 or 2", r->format);
    if (!r->declared) return bad(r, 10, "0 tracks, expected some");
    if (!division) return bad(r, 12, "0 ticks a quarter note");
    if (division < 0x8000) {
        r->ticks_quarter = division;
        return 0;
    }
    uint32_t frames = 256 - (division >> 8), ticks = division & 255;
    if ((frames != 24 && frames != 25 && frames != 29 && frames != 30) || !ticks)
        return bad(r, 12, "%u frames a second of %u ticks, expected 24, 25, 29 or 30 of some", frames, ticks);
    r->tick_seconds = (frames == 29 ? 1001.0 / 30000 : 1.0 / frames) / ticks;
    return 0;
}

static int read_chunks(reader *r) {
    int status = 0;
    while (!status && r->track < r->declared) {
        size_t left = r->size - r->end;
        const unsigned char *chunk = r->data + r->end;
        if (left < 8)
            return bad(r, r->end, "the file ends behind %d of the %d tracks that it declares", r->track, r->declared);
        uint32_t length = big32(chunk + 4);
        if (length > left - 8)
            return bad(r, r->end, "a chunk of %u byte%s, but the file ends after %zu", length, plural(length),
                       left - 8);
        r->at = r->end + 8;
        r->end = r->at + length;
        if (memcmp(chunk, "MTrk", 4)) continue;
        status = read_track(r);
        r->track++;
    }
    return status;
}

/* ------------------------------------------------------------------ seconds */

static int by_tick(const void *a, const void *b) {
    const tempo *x = a, *y = b;
    if (x->tick != y->tick) return x->tick < y->tick ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Of all tracks together; tempos that change nothing are left out. */
static void order_tempos(reader *r) {
    size_t count = 0;
    qsort(r->tempos, r->tempo_count, sizeof *r->tempos, by_tick);
    for (size_t i = 0; i < r->tempo_count; i++) {
        tempo now = r->tempos[i];
        if (now.tick == 0) count = 0;
        if (count) {
            const tempo *before = &r->tempos[count - 1];
            if (now.scale == before->scale) continue;
            now.seconds = before->seconds + before->scale * (double)(now.tick - before->tick);
        }
        r->tempos[count++] = now;
    }
    r->tempo_count = count;
}

static double seconds_at(const reader *r, double tick) {
    size_t low = 0, high = r->tempo_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if ((double)r->tempos[middle].tick <= tick) low = middle;
        else high = middle;
    }
    const tempo *t = &r->tempos[low];
    return t->seconds + t->scale * (tick - (double)t->tick);
}

static int finish(reader *r, midi_file *m) {
    double last = 0;
    int status = mem_get(&m->notes, (size_t)r->ended * sizeof *m->notes, "notes", r->err);
    if (status) return status;
    order_tempos(r);
    for (size_t i = 0; i < r->heard_count; i++) {
        heard *h = &r->heard[i];
        if (h->place == NONE) continue;
        h->note.start = seconds_at(r, h->note.start);
        h->note.end = seconds_at(r, h->note.end);
        m->notes[h->place] = h->note;
        last = fmax(last, h->note.end);
    }
    for (size_t i = 0; i < r->pedal_count; i++) {
        r->pedals[i].time = seconds_at(r, r->pedals[i].time);
        last = fmax(last, r->pedals[i].time);
    }
    m->note_count = (size_t)r->ended;
    m->pedals = r->pedals;
    m->pedal_count = r->pedal_count;
    r->pedals = NULL;
    if (last <= MIDI_SECONDS) return 0;
    return fail(r->err, PCV_DATA, "%s: lasts %.0f hours, at most %d are read", r->name, last / 3600,
                MIDI_SECONDS / 3600);
}

int midi_file_parse(midi_file *m, const void *data, size_t size, const char *name, pcv_error *err) {
    reader r = {.data = data, .size = size, .name = name, .err = err};
    int status = 0;
    *m = (midi_file){0};
    TRY(read_header(&r));
    TRY(add_tempo(&r, 500000));
    TRY(read_chunks(&r));
    TRY(finish(&r, m));
out:
    mem_free(r.heard);
    mem_free(r.pedals);
    mem_free(r.tempos);
    if (status) midi_file_free(m);
    return status;
}

int midi_file_read(midi_file *m, const char *path, pcv_error *err) {
    file_bytes content;
    *m = (midi_file){0};
    int status = file_read(path, MIDI_FILE_BYTES, &content, err);
    if (!status) status = midi_file_parse(m, content.data, content.size, path, err);
    file_bytes_free(&content);
    return status;
}

void midi_file_free(midi_file *m) {
    mem_free(m->notes);
    mem_free(m->pedals);
    *m = (midi_file){0};
}

/* ------------------------------------------------------------------ writing */

/* A note's beginning or end. */
typedef struct mark {
    int64_t tick;
    size_t note;
    bool on;
} mark;

/* Ends first: a note may begin where one of its pitch ends. */
static int by_mark(const void *a, const void *b) {
    const mark *x = a, *y = b;
    if (x->tick != y->tick) return x->tick < y->tick ? -1 : 1;
    if (x->on != y->on) return x->on - y->on;
    return x->note < y->note ? -1 : x->note > y->note;
}

static unsigned char *put(unsigned char *to, const void *bytes, size_t size) {
    memcpy(to, bytes, size);
    return to + size;
}

static unsigned char *put_number(unsigned char *to, uint32_t number) {
    for (int shift = 21; shift > 0; shift -= 7)
        if (number >> shift) *to++ = (unsigned char)(0x80 | (number >> shift & 127));
    *to++ = number & 127;
    return to;
}

/* Empty texts stand between the parts of a wait that no number holds. */
static unsigned char *put_wait(unsigned char *to, int64_t ticks) {
    for (; ticks > MOST_DELTA; ticks -= MOST_DELTA) to = put(put_number(to, MOST_DELTA), "\xFF\x01", 3);
    return put_number(to, (uint32_t)ticks);
}

static unsigned char *put_mark(unsigned char *to, const mark *m, int64_t wait, const midi_note *n, int *program) {
    const unsigned char change[] = {(unsigned char)(0xC0 | n->channel), n->program, 0};
    const unsigned char event[] = {(unsigned char)((m->on ? 0x90 : 0x80) | n->channel), n->pitch,
                                   m->on ? n->velocity : 64};
    to = put_wait(to, wait);
    if (m->on && program[n->channel] != n->program) to = put(to, change, sizeof change);
    if (m->on) program[n->channel] = n->program;
    return put(to, event, sizeof event);
}

static int check_notes(const midi_note *notes, size_t count, const char *name, pcv_error *err) {
    if (count > MIDI_EVENTS)
        return fail(err, PCV_DATA, "%s: %zu notes, at most %d are written", name, count, MIDI_EVENTS);
    for (size_t i = 0; i < count; i++) {
        const midi_note *n = &notes[i];
        CHECK(n->pitch < PITCHES && n->program < 128 && n->channel < MIDI_CHANNELS, "note %zu", i);
        CHECK(n->velocity > 0 && n->velocity < 128 && n->start >= 0 && n->end >= n->start, "note %zu", i);
        if (n->end > MIDI_SECONDS)
            return fail(err, PCV_DATA, "%s: lasts more than %d hours", name, MIDI_SECONDS / 3600);
    }
    return 0;
}

int midi_file_render(file_bytes *out, const midi_note *notes, size_t count, const char *name, pcv_error *err) {
    static const char head[] = "MThd\0\0\0\6\0\0\0\1\x27\x10" /* format 0, 10000 ticks a quarter note */
                               "MTrk\0\0\0\0"
                               "\0\xFF\x51\3\7\xA1\x20"; /* of half a second */
    const size_t track = 22, most = 20 * count + 64 + 7 * (1 + (size_t)MIDI_SECONDS * MIDI_TICKS_SECOND / MOST_DELTA);
    int program[MIDI_CHANNELS];
    int64_t tick = 0;
    mark *marks = NULL;
    int status = 0;
    *out = (file_bytes){0};
    TRY(check_notes(notes, count, name, err));
    TRY(mem_get(&out->data, most, "a MIDI file", err));
    TRY(mem_get(&marks, 2 * count * sizeof *marks, "a MIDI file", err));
    for (size_t i = 0; i < count; i++) {
        int64_t start = llround(notes[i].start * MIDI_TICKS_SECOND), end = llround(notes[i].end * MIDI_TICKS_SECOND);
        marks[2 * i] = (mark){start, i, true};
        marks[2 * i + 1] = (mark){end > start ? end : start + 1, i, false};
    }
    qsort(marks, 2 * count, sizeof *marks, by_mark);
    for (int i = 0; i < MIDI_CHANNELS; i++) program[i] = NONE;

    unsigned char *begin = (unsigned char *)out->data, *to = put(begin, head, sizeof head - 1);
    for (size_t i = 0; i < 2 * count; i++) {
        to = put_mark(to, &marks[i], marks[i].tick - tick, &notes[marks[i].note], program);
        tick = marks[i].tick;
    }
    to = put(to, "\0\xFF\x2F", 4);
    out->size = (size_t)(to - begin);
    size_t length = out->size - track;
    for (size_t i = 0; i < 4; i++) begin[track - 1 - i] = (unsigned char)(length >> 8 * i);
out:
    mem_free(marks);
    if (status) file_bytes_free(out);
    return status;
}

int midi_file_write(const char *path, const midi_note *notes, size_t count, pcv_error *err) {
    file_bytes content;
    int status = midi_file_render(&content, notes, count, path, err);
    if (!status) status = file_write(path, content.data, content.size, err);
    file_bytes_free(&content);
    return status;
}

int midi_file_check(const char *path, pcv_error *err) {
    static const char *const endings[] = {".mid", ".midi", NULL};
    int which;
    return path_format(path, endings, &which, err);
}
