/* MIDI files byte by byte, good and bad, both event encodings with ids worked out by hand, and piano rolls. In most
 * files here a tick is 10 ms: 50 ticks a quarter note of half a second. */
#include "scratch.h"
#include "base/mem.h"
#include "base/rng.h"
#include "media/piano_roll.h"
#include "token/midi.h"

#include <png.h>

/* Hundreds of files are made here; whether the disk has them by then is not the question. */
int fsync(int fd) { return fd < 0 ? -1 : 0; }

/* ------------------------------------------------------------------ making files */

static unsigned char made[1 << 12];
static size_t made_size, track_at;

static void add(const void *bytes, size_t size) {
    assert_true(made_size + size <= sizeof made);
    memcpy(made + made_size, bytes, size);
    made_size += size;
}

#define bytes(...) add((const unsigned char[]){__VA_ARGS__}, sizeof(const unsigned char[]){__VA_ARGS__})

static void header(int format, int tracks, int division) {
    made_size = 0;
    add("MThd\0\0\0\6", 8);
    bytes(0, (unsigned char)format, (unsigned char)(tracks >> 8), (unsigned char)tracks, (unsigned char)(division >> 8),
          (unsigned char)division);
}

static void begin_track(void) {
    add("MTrk\0\0\0\0", 8);
    track_at = made_size;
}

static void end_track(void) {
    size_t length = made_size - track_at;
    made[track_at - 2] = (unsigned char)(length >> 8);
    made[track_at - 1] = (unsigned char)length;
}

static void finish_track(void) {
    bytes(0, 0xFF, 0x2F, 0);
    end_track();
}

static midi_file parsed(void) {
    midi_file m;
    must(midi_file_parse(&m, made, made_size, "made", &err));
    return m;
}

static void check_note(const midi_file *m, size_t i, double start, double end, int pitch, int velocity) {
    assert_true(i < m->note_count);
    close_to(m->notes[i].start, start, 1e-12, "start");
    close_to(m->notes[i].end, end, 1e-12, "end");
    assert_int_equal(m->notes[i].pitch, pitch);
    assert_int_equal(m->notes[i].velocity, velocity);
}

/* ------------------------------------------------------------------ reading */

static void running_status(void **state) {
    (void)state;
    header(0, 1, 50);
    begin_track();
    bytes(0, 0xC3, 19, 0, 0x93, 60, 80, 10, 64, 81);               /* a program, two notes */
    bytes(5, 0xFF, 1, 3, 'a', 0x90, 'c', 0, 0xF0, 2, 1, 0xF7, 0, 0xF7, 1, 0x90); /* a text, two sysex */
    bytes(5, 60, 0, 0, 67, 1, 0x81, 0x48, 64, 0, 0, 0x83, 67, 9);  /* ends of both kinds; 200 ticks */
    bytes(0, 0xE3, 0, 64, 0, 0xA3, 60, 1, 0, 0xD3, 5, 0, 0xB3, 7, 100);
    finish_track();
    midi_file m = parsed();
    assert_int_equal(m.note_count, 3);
    assert_int_equal(m.pedal_count, 0);
    check_note(&m, 0, 0, 0.2, 60, 80);
    check_note(&m, 1, 0.1, 2.2, 64, 81);
    check_note(&m, 2, 0.2, 2.2, 67, 1);
    for (int i = 0; i < 3; i++) assert_true(m.notes[i].channel == 3 && m.notes[i].program == 19 && !m.notes[i].open);
    midi_file_free(&m);
}

static void tempo_map(void **state) {
    (void)state;
    header(1, 3, 100);
    begin_track();
    bytes(0, 0xFF, 0x51, 3, 0x0F, 0x42, 0x40, 100, 0xFF, 0x51, 3, 0x07, 0xA1, 0x20); /* 1 s a quarter, 0.5 s from 100 */
    bytes(0x82, 0x2C, 0xFF, 0x51, 3, 0x03, 0xD0, 0x90);                              /* 0.25 s from 400 */
    finish_track();
    begin_track();
    bytes(50, 0x91, 60, 64, 0x81, 0x7A, 0x81, 60, 0); /* 50 to 300 */
    finish_track();
    begin_track();
    bytes(0, 0xC2, 5, 0x83, 0x10, 0x92, 70, 64, 0x81, 0x48, 0x82, 70, 0); /* 400 to 600 */
    finish_track();
    midi_file m = parsed();
    assert_int_equal(m.note_count, 2);
    check_note(&m, 0, 0.5, 2, 60, 64);
    check_note(&m, 1, 2.5, 3, 70, 64);
    assert_true(m.notes[0].track == 1 && m.notes[0].channel == 1 && m.notes[0].program == 0);
    assert_true(m.notes[1].track == 2 && m.notes[1].channel == 2 && m.notes[1].program == 5);
    midi_file_free(&m);
}

static void frames(void **state) {
    (void)state;
    static const struct { int division; double tick; } cases[] = {
        {0xE728, 1e-3}, {0xE804, 1.0 / 96}, {0xE201, 1.0 / 30}, {0xE302, 1001.0 / 60000}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        header(0, 1, cases[i].division);
        begin_track();
        bytes(0, 0xFF, 0x51, 3, 0x0F, 0x42, 0x40); /* says nothing here */
        bytes(10, 0x90, 60, 64, 0x8B, 0x5C, 60, 0); /* 10 to 1510 */
        finish_track();
        midi_file m = parsed();
        check_note(&m, 0, 10 * cases[i].tick, 1510 * cases[i].tick, 60, 64);
        midi_file_free(&m);
    }
}

/* The second track of format 2 begins where the first ends, with the tempo that files begin with. */
static void tracks_in_a_row(void **state) {
    (void)state;
    header(2, 2, 50);
    begin_track();
    bytes(0, 0xFF, 0x51, 3, 0x0F, 0x42, 0x40, 0, 0x90, 60, 64, 50, 60, 0, 50, 0xFF, 0x2F, 0);
    end_track();
    begin_track();
    bytes(10, 0x90, 62, 64, 10, 62, 0);
    finish_track();
    midi_file m = parsed();
    check_note(&m, 0, 0, 1, 60, 64);
    check_note(&m, 1, 2.1, 2.2, 62, 64);
    midi_file_free(&m);
}

static void odd_files(void **state) {
    (void)state;
    header(1, 1, 50);
    made[7] = 8; /* a longer header, a chunk of another kind */
    bytes(1, 2);
    add("XFIH\0\0\0\3abc", 11);
    begin_track();
    bytes(0, 0x90, 60, 64, 10, 60, 70, 10, 60, 0);       /* two of one pitch, one end */
    bytes(0, 61, 0, 0, 62, 64, 0, 62, 0);                /* an end of nothing, a note of no length */
    bytes(0, 63, 64, 10, 63, 65, 0, 63, 0, 10, 63, 0);   /* an end behind the beginning that it stands for */
    bytes(0, 0xB0, 64, 127, 5, 64, 63, 0, 0x90, 65, 64); /* pedal; a note that nothing ends */
    bytes(15, 0xB0, 7, 1);                               /* and no end of the track */
    end_track();
    add("trailing", 8);
    midi_file m = parsed();
    assert_int_equal(m.note_count, 5);
    check_note(&m, 0, 0, 0.2, 60, 64);
    check_note(&m, 1, 0.1, 0.2, 60, 70);
    check_note(&m, 2, 0.2, 0.3, 63, 64);
    check_note(&m, 3, 0.3, 0.4, 63, 65);
    check_note(&m, 4, 0.45, 0.6, 65, 64);
    for (size_t i = 0; i < 5; i++) assert_int_equal(m.notes[i].open, i == 4);
    assert_int_equal(m.pedal_count, 2);
    assert_true(m.pedals[0].value == 127 && m.pedals[1].value == 63 && m.pedals[1].channel == 0);
    close_to(m.pedals[0].time, 0.4, 1e-12, "down");
    close_to(m.pedals[1].time, 0.45, 1e-12, "up");
    midi_file_free(&m);
}

static void refuse_made(const char *part) {
    midi_file m;
    refused(midi_file_parse(&m, made, made_size, "made", &err), PCV_DATA, part);
    refused(midi_file_parse(&m, made, made_size, "made", &err), PCV_DATA, "made: ");
    assert_true(!m.notes && !m.pedals);
}

static void refused_headers(void **state) {
    (void)state;
    static const struct { const char *data; size_t size; const char *part; } cases[] = {
        {"", 0, "not a MIDI file"},
        {"MThx\0\0\0\6\0\0\0\1\0\x60", 14, "not a MIDI file"},
        {"RIFF\0\0\0\6RMIDdata", 16, "not a MIDI file"},
        {"\n <!DOCTYPE html><html>", 23, "a web page"},
        {"\xEF\xBB\xBF<html>", 9, "a web page"},
        {"MThd\0\0\0\6\0\1", 10, "byte 10: the file ends inside its header"},
        {"MThd\0\0\0\5\0\0\0\1\0\x60", 14, "byte 4: a header of 5 bytes"},
        {"MThd\xFF\xFF\xFF\xFF\0\0\0\1\0\x60", 14, "a header of 4294967295 bytes"},
        {"MThd\0\0\0\6\0\3\0\1\0\x60", 14, "byte 8: format 3"},
        {"MThd\0\0\0\6\0\1\0\0\0\x60", 14, "byte 10: 0 tracks"},
        {"MThd\0\0\0\6\0\1\0\1\0\0", 14, "byte 12: 0 ticks"},
        {"MThd\0\0\0\6\0\1\0\1\xE1\1", 14, "byte 12: 31 frames"},
        {"MThd\0\0\0\6\0\1\0\1\xE7\0", 14, "byte 12: 25 frames a second of 0 ticks"},
        {"MThd\0\0\0\6\0\1\xFF\xFF\0\x60MTrk\0\0\0\0", 22, "behind 1 of the 65535 tracks"},
        {"MThd\0\0\0\6\0\1\0\1\0\x60MTrk\xFF\xFF\xFF\xFF", 22, "byte 14: a chunk of 4294967295 bytes"},
        {"MThd\0\0\0\6\0\1\0\1\0\x60MTrk\0\0\0", 21, "byte 14: the file ends behind 0"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        made_size = 0;
        add(cases[i].data, cases[i].size);
        refuse_made(cases[i].part);
    }
}

/* The rest of a track whose first event is good. */
static void refused_events(void **state) {
    (void)state;
    static const struct { unsigned char data[12]; size_t size; const char *part; } cases[] = {
        {{0}, 1, "byte 26: the track ends behind a time"},
        {{0x81}, 1, "byte 26: an event needs 1 byte, but its track ends after 0"},
        {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 6, "byte 25: a number of more than 4 bytes"},
        {{0, 0x90, 60}, 3, "byte 27: an event needs 2 bytes, but its track ends after 1"},
        {{0, 0x90, 60, 0xC0}, 4, "byte 28: 0xC0 in place of a value"},
        {{0, 60, 64}, 3, "byte 26: 0x3C, and no event before it"},
        {{0, 0xF4, 0}, 3, "byte 26: 0xF4, which begins no event"},
        {{0, 0xFE}, 2, "byte 26: 0xFE"},
        {{0, 0xFF, 1, 0x7F, 'a'}, 5, "an event needs 127 bytes"},
        {{0, 0xFF, 1, 0xFF, 0xFF, 0xFF, 0x7F}, 7, "an event needs 268435455 bytes"},
        {{0, 0xFF, 1, 0x80, 0x80, 0x80, 0x80, 0}, 8, "a number of more than 4 bytes"},
        {{0, 0xFF}, 2, "an event needs 1 byte"},
        {{0, 0xF0, 5, 1, 0xF7}, 5, "an event needs 5 bytes"},
        {{0, 0xFF, 0x51, 3, 0, 0, 0}, 7, "byte 29: a tempo of 0"},
        {{0, 0xFF, 0x51, 2, 7, 7}, 6, "byte 29: a tempo of 2 bytes"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        header(0, 1, 50);
        begin_track();
        bytes(0, 0xF7, 0);
        add(cases[i].data, cases[i].size);
        end_track();
        refuse_made(cases[i].part);
    }
}

static void too_much(void **state) {
    (void)state;
    header(0, 1, 1); /* half a second a tick */
    begin_track();
    bytes(0, 0x90, 60, 64, 0xFF, 0xFF, 0xFF, 0x7F, 60, 0);
    finish_track();
    refuse_made("lasts 37283 hours, at most 100");

    const size_t size = 22 + 4 + 3 * MIDI_EVENTS; /* one note more than there may be */
    unsigned char *file = malloc(size);
    memcpy(file, "MThd\0\0\0\6\0\0\0\1\0\x32MTrk\0\x0C\0\4\0\x90\x3C\x40", 26);
    for (size_t i = 26; i < size; i += 3) memcpy(file + i, "\0\x3C\x40", 3);
    midi_file m;
    refused(midi_file_parse(&m, file, size, "long", &err), PCV_DATA, "more than 262144 notes");
    memcpy(file + 18, "\0\x0C\0\1", 4);
    must(midi_file_parse(&m, file, size, "long", &err));
    assert_int_equal(m.note_count, 0); /* none lasts */
    midi_file_free(&m);
    free(file);
    refused(midi_file_read(&m, at("none.mid"), &err), PCV_NOINPUT, "none.mid");
}

/* A file with all that there is, cut anywhere and with any byte changed: notes or an error. */
static void damage(void **state) {
    (void)state;
    midi_file m;
    running_status(NULL);
    size_t size = made_size;
    for (size_t i = 0; i < size; i++) refused(midi_file_parse(&m, made, i, "cut", &err), PCV_DATA, "cut: ");
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            pcv_error err;
            made[i] ^= (unsigned char)(1 << bit);
            if (!midi_file_parse(&m, made, size, "changed", &err)) midi_file_free(&m);
            else assert_int_equal(err.code, PCV_DATA);
            made[i] ^= (unsigned char)(1 << bit);
        }
}

/* ------------------------------------------------------------------ writing */

static void written_bytes(void **state) {
    (void)state;
    static const midi_note notes[] = {{.start = 0, .end = 0.01, .pitch = 60, .velocity = 100},
                                      {.start = 0.01, .end = 20000, .pitch = 60, .velocity = 1, .channel = 2, .program = 7}};
    static const unsigned char expected[] = {
        'M', 'T', 'h', 'd', 0, 0, 0, 6, 0, 0, 0, 1, 0x27, 0x10, 'M', 'T', 'r', 'k', 0, 0, 0, 44, 0, 0xFF, 0x51, 3, 7, 0xA1,
        0x20, 0, 0xC0, 0, 0, 0x90, 60, 100, 0x81, 0x48, 0x80, 60, 64, 0, 0xC2, 7, 0, 0x92, 60, 1,
        0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 1, 0, /* 268435455 ticks, and 131564345 more */
        0xBE, 0xDE, 0x86, 0x39, 0x82, 60, 64, 0, 0xFF, 0x2F, 0};
    file_bytes file;
    midi_file m;
    must(midi_file_render(&file, notes, 2, "out", &err));
    assert_int_equal(file.size, sizeof expected);
    assert_memory_equal(file.data, expected, sizeof expected);
    must(midi_file_parse(&m, file.data, file.size, "out", &err));
    check_note(&m, 0, 0, 0.01, 60, 100);
    check_note(&m, 1, 0.01, 20000, 60, 1);
    assert_true(m.notes[1].channel == 2 && m.notes[1].program == 7);
    midi_file_free(&m);
    file_bytes_free(&file);
    const midi_note late = {.start = 0, .end = MIDI_SECONDS + 1, .velocity = 1};
    refused(midi_file_write(at("late.mid"), &late, 1, &err), PCV_DATA, "late.mid: lasts more than 100 hours");
    refused(midi_file_write(at("no/folder.mid"), notes, 2, &err), PCV_CANTCREATE, "folder.mid");
    assert_false(path_exists(at("late.mid")));
}

static void written_times(void **state) {
    (void)state;
    enum { NOTES = 500 };
    midi_note notes[NOTES];
    midi_file m;
    rng r = rng_make(3, RNG_TEST, 0);
    for (int i = 0; i < NOTES; i++) {
        double start = 1000 * rng_uniform(&r);
        notes[i] = (midi_note){.start = start, .end = start + 0.001 + rng_uniform(&r), .channel = (uint8_t)(i % 16),
                               .pitch = (uint8_t)(i / 16), .velocity = (uint8_t)(1 + rng_below(&r, 127)),
                               .program = (uint8_t)(i % 16)};
    }
    must(midi_file_write(at("times.mid"), notes, NOTES, &err));
    must(midi_file_read(&m, at("times.mid"), &err));
    assert_int_equal(m.note_count, NOTES);
    for (int i = 0; i < NOTES; i++) {
        const midi_note *n = &m.notes[i], *from = &notes[16 * n->pitch + n->channel];
        close_to(n->start, from->start, 3e-5, "start");
        close_to(n->end, from->end, 3e-5, "end");
        assert_true(n->velocity == from->velocity && n->program == n->channel);
    }
    midi_file_free(&m);
}

/* ------------------------------------------------------------------ ids by hand */

static tokenizer opened(const char *name) {
    tokenizer t;
    must(tokenizer_open(&t, name, NULL, &err));
    return t;
}

static void check_same(const char *what, const int32_t *found, size_t count, const int32_t *ids, size_t expected) {
    for (size_t i = 0; i < count && i < expected; i++)
        if (found[i] != ids[i]) test_failed("%s: id %zu is %d, expected %d\n", what, i, (int)found[i], (int)ids[i]);
    if (count != expected) test_failed("%s: %zu ids, expected %zu\n", what, count, expected);
}

/* What read gives for a file that write makes of these ids. */
static void read_back(const tokenizer *t, const int32_t *ids, size_t count, id_list *back) {
    must(t->type->write(t, ids, count, at("back.mid"), &err));
    must(t->type->read(t, at("back.mid"), back, &err));
}

static void check_made(const char *name, const int32_t *ids, size_t count) {
    tokenizer t = opened(name);
    id_list found = {0}, back = {0};
    put("made.mid", made, made_size);
    must(t.type->read(&t, at("made.mid"), &found, &err));
    check_same(name, found.v, found.count, ids, count);
    read_back(&t, found.v, found.count, &back);
    check_same("back", back.v, back.count, ids, count);
    id_list_free(&found);
    id_list_free(&back);
    tokenizer_close(&t);
}

#define check_ids(name, ...) check_made(name, (const int32_t[]){__VA_ARGS__}, COUNT(((const int32_t[]){__VA_ARGS__})))

static void two_layouts(void **state) {
    (void)state;
    tokenizer t = opened("midi");
    assert_true(t.vocab == 391 && t.pad == 0 && t.end == 1 && t.start == 2 && t.first == 3);
    assert_ptr_equal(tokenizer_of_kind("midi"), &token_midi);
    t = opened("midi-389");
    assert_true(t.vocab == 389 && t.pad == 388 && t.end == -1 && t.start == 388 && t.first == 0);
}

static void a_few_notes(void **state) {
    (void)state;
    header(0, 1, 50);
    begin_track();
    bytes(0, 0x90, 60, 80, 10, 64, 80, 100, 60, 0, 20, 67, 20, 0, 64, 0, 10, 67, 0);
    bytes(0, 0x99, 40, 80, 10, 40, 0); /* a drum */
    finish_track();
    check_ids("midi", 378, 63, 268, 67, 358, 191, 278, 195, 363, 70, 268, 198);
    check_ids("midi-389", 376, 60, 265, 376, 64, 355, 188, 275, 192, 361, 67, 265, 195, 376, 40, 265, 168);
}

/* A note of less than half a step lasts one all the same. */
static void a_short_note(void **state) {
    (void)state;
    header(0, 1, 500); /* a tick is a tenth of a step */
    begin_track();
    bytes(100, 0x90, 60, 80, 3, 60, 0);
    finish_track();
    check_ids("midi", 268, 378, 63, 259, 191);
}

static void voices(void **state) {
    (void)state;
    header(1, 2, 100); /* a tick is half a step */
    begin_track();
    bytes(2, 0x90, 60, 10, 2, 61, 10, 16, 60, 0, 0, 61, 0); /* 60: 1 to 10, 61: 2 to 10 */
    finish_track();
    begin_track();
    bytes(2, 0x91, 60, 90, 38, 60, 0);                  /* 1 to 20: one with the first, louder */
    bytes(0x81, 0x48, 62, 90, 10, 0x92, 62, 90, 10, 62, 0, 10, 0x91, 62, 0); /* 120 to 135, cut where another begins at 125 */
    bytes(0, 0x92, 62, 90, 1, 62, 0);                  /* 135: too short, gets a step */
    finish_track();
    check_ids("midi", 259, 381, 63, 259, 361, 64, 266, 192, 268, 191, 358, 381, 65, 263, 193, 65, 263, 193, 263, 65, 259, 193);
}

static void velocity_by_accident(void **state) {
    (void)state;
    header(0, 1, 50);
    begin_track();
    bytes(0, 0x90, 60, 20, 0, 62, 80, 50, 60, 0, 0, 62, 0); /* 80 / 4 = 20: no velocity event */
    bytes(0, 60, 22, 0, 62, 80, 50, 60, 0, 0, 62, 0);       /* 22 would be read as 20 */
    finish_track();
    check_ids("midi-389", 361, 60, 62, 305, 188, 190, 361, 60, 376, 62, 305, 188, 190);
    header(0, 1, 50);
    begin_track();
    bytes(0, 0x90, 60, 1, 0, 62, 3, 50, 60, 0, 0, 62, 0);
    finish_track();
    check_ids("midi-389", 60, 356, 62, 305, 188, 190);
}

static void pedal(void **state) {
    (void)state;
    header(0, 1, 50);
    begin_track();
    bytes(0, 0x90, 60, 64, 5, 0xB0, 64, 127, 5, 0x90, 64, 64, 10, 60, 0, 0, 64, 0, 10, 64, 64, 10, 64, 0);
    bytes(10, 67, 64, 10, 67, 0, 40, 0xB0, 64, 0, 20, 0x90, 72, 64, 10, 72, 0);
    finish_track();
    check_ids("midi", 374, 63, 268, 67, 278, 195, 67, 278, 70, 308, 191, 195, 198, 278, 75, 268, 203);
    check_ids("midi-389", 372, 60, 265, 372, 64, 265, 188, 265, 192, 372, 64, 275, 372, 67, 305, 192, 195);
}

/* One pedal stays down; another's channel has no notes; krasserm repeats what no note follows. */
static void more_pedals(void **state) {
    (void)state;
    header(1, 2, 50);
    begin_track();
    bytes(5, 0xB0, 64, 64, 5, 0x90, 60, 64, 10, 60, 0, 10, 0xB0, 64, 0, 10, 64, 100, 10, 64, 63);
    finish_track();
    begin_track();
    bytes(0, 0xB1, 64, 127);
    finish_track();
    check_ids("midi", 268, 374, 63, 278, 191);
    check_ids("midi-389", 265, 372, 60, 372, 60, 265, 188, 188);
    header(0, 1, 50);
    begin_track();
    bytes(5, 0xB0, 64, 64, 5, 0x90, 60, 64, 10, 60, 0, 10, 62, 64, 30, 62, 0);
    finish_track();
    check_ids("midi", 268, 374, 63, 278, 65, 288, 191, 193);
    check_ids("midi-389", 265, 372, 60, 265, 188, 265, 372, 62, 285, 190);
}

/* A key let go, the pedal up and down again, and the next note, all on one tick, as pianists' chords are: nothing sounds
 * on. krasserm's code gives the second note to the first pedal, so it ends as it was played there too. */
static void pedal_again(void **state) {
    (void)state;
    header(0, 1, 50);
    begin_track();
    bytes(0, 0xB0, 64, 127, 0, 0x90, 60, 64);
    bytes(20, 60, 0, 0, 0xB0, 64, 0, 0, 64, 127, 0, 0x90, 64, 64);
    bytes(20, 64, 0, 0, 0xB0, 64, 0, 0, 64, 127, 0, 0x90, 67, 64);
    bytes(20, 67, 0, 0, 0xB0, 64, 0);
    finish_track();
    check_ids("midi", 374, 63, 278, 191, 67, 278, 195, 70, 278, 198);
    check_ids("midi-389", 372, 60, 275, 188, 372, 64, 275, 192, 372, 67, 372, 67, 275, 195, 195);

    header(0, 1, 50); /* the pedal goes down first, so it holds what is let go behind it */
    begin_track();
    bytes(0, 0x90, 60, 64, 20, 0xB0, 64, 127, 0, 0x90, 60, 0, 20, 0xB0, 64, 0);
    finish_track();
    check_ids("midi", 374, 63, 298, 191);

    header(1, 2, 50); /* tracks in the order of the file: the pedal's is the first, so it is down before the key is up */
    begin_track();
    bytes(20, 0xB0, 64, 127, 20, 64, 0);
    finish_track();
    begin_track();
    bytes(0, 0x90, 60, 64, 20, 60, 0);
    finish_track();
    check_ids("midi", 374, 63, 298, 191);
}

/* Notes of all pitches come back within half a step; krasserm's rounding adds up. */
static void times_and_velocities(void **state) {
    (void)state;
    enum { NOTES = 128 };
    midi_note notes[NOTES];
    midi_file from = {.notes = notes, .note_count = NOTES}, m;
    rng r = rng_make(5, RNG_TEST, 0);
    for (int i = 0; i < NOTES; i++) {
        double start = i * 0.3 + rng_uniform(&r);
        notes[i] = (midi_note){.start = start, .end = start + 0.01 + rng_uniform(&r), .pitch = (uint8_t)(i * 37 % 128),
                               .velocity = (uint8_t)(1 + rng_below(&r, 127))};
    }
    for (size_t k = 0; k < 2; k++) {
        tokenizer t = opened(k ? "midi-389" : "midi");
        id_list ids = {0};
        must(midi_encode(&t, &from, &ids, &err));
        must(midi_decode(&t, ids.v, ids.count, &m, &err));
        assert_int_equal(m.note_count, NOTES);
        for (int i = 0; i < NOTES; i++) {
            const midi_note *n = &m.notes[i], *by = notes;
            while (by->pitch != n->pitch) by++;
            close_to(n->end - n->start, by->end - by->start, k ? 0.05 : 0.0101, "length");
            if (k == 0) close_to(n->start, by->start, 0.00501, "start");
            if (k == 0) assert_in_range(by->velocity - n->velocity, 0, 3);
        }
        midi_file_free(&m);
        id_list_free(&ids);
    }
}

static void no_notes(void **state) {
    (void)state;
    tokenizer t = opened("midi");
    id_list ids = {0};
    header(0, 1, 50);
    begin_track();
    finish_track();
    put("made.mid", made, made_size);
    refused(t.type->read(&t, at("made.mid"), &ids, &err), PCV_DATA, "made.mid: no notes");
    header(0, 1, 50);
    begin_track();
    bytes(0, 0x99, 60, 64, 10, 60, 0);
    finish_track();
    put("made.mid", made, made_size);
    refused(t.type->read(&t, at("made.mid"), &ids, &err), PCV_DATA, "made.mid: no notes, but drums");
    put("page.mid", "<html>", 6);
    refused(t.type->read(&t, at("page.mid"), &ids, &err), PCV_DATA, "page.mid: a web page");
    refused(t.type->read(&t, at("none.mid"), &ids, &err), PCV_NOINPUT, "none.mid");
    assert_int_equal(ids.count, 0);
    id_list_free(&ids);
}

/* ------------------------------------------------------------------ any ids */

static const char *const names[] = {"midi", "midi-389"};

static void check_stable(const tokenizer *t, const int32_t *ids, size_t count) {
    id_list once = {0}, twice = {0};
    midi_file a, b;
    read_back(t, ids, count, &once);
    read_back(t, once.v, once.count, &twice);
    check_same(t->type->name, twice.v, twice.count, once.v, once.count);
    must(midi_decode(t, ids, count, &a, &err));
    must(midi_decode(t, once.v, once.count, &b, &err));
    assert_int_equal(a.note_count, b.note_count);
    double length[2] = {0};
    for (size_t i = 0; i < a.note_count; i++) {
        length[0] += a.notes[i].end - a.notes[i].start;
        length[1] += b.notes[i].end - b.notes[i].start;
    }
    close_to(length[1], length[0], 0.01 + 0.005 * (double)a.note_count, "length of all notes");
    midi_file_free(&a);
    midi_file_free(&b);
    id_list_free(&once);
    id_list_free(&twice);
}

/* One of the ids that the mask leaves: of all, or of a kind of event. */
static int32_t draw(const tokenizer *t, const float *logits, rng *r) {
    static const int kinds[][2] = {{0, 128}, {128, 256}, {256, 356}, {356, 388}, {-3, 391}};
    int32_t left[400];
    for (int tries = 0; tries < 1000; tries++) {
        const int *kind = kinds[rng_below(r, COUNT(kinds))];
        uint64_t count = 0;
        for (int32_t id = 0; id < t->vocab; id++)
            if (logits[id] > -INFINITY && id - t->first >= kind[0] && id - t->first < kind[1]) left[count++] = id;
        if (count) return left[rng_below(r, count)];
    }
    test_failed("%s: nothing is left\n", t->type->name);
    return -1;
}

/* Asks the mask about each of a document's ids. */
static void check_allowed(const tokenizer *t, const int32_t *ids, size_t count) {
    float logits[400];
    for (size_t i = 1; i < count; i++) {
        memset(logits, 0, sizeof logits);
        t->type->mask(t, ids, i, logits);
        if (logits[ids[i]] == -INFINITY) test_failed("%s: id %d at %zu is masked\n", t->type->name, (int)ids[i], i);
    }
}

static void sample(const tokenizer *t, rng *r) {
    enum { LENGTH = 250 };
    int32_t ids[LENGTH] = {t->start};
    float logits[400];
    size_t count = 1;
    bool ended = false;
    for (; count < LENGTH && !ended; count++) {
        memset(logits, 0, sizeof logits);
        t->type->mask(t, ids, count, logits);
        assert_true(logits[t->pad] < 0 && logits[t->start] < 0);
        ids[count] = draw(t, logits, r);
        ended = ids[count] == t->end;
    }
    size_t ons = 0;
    for (size_t i = 1; i < count; i++) ons += ids[i] >= t->first && ids[i] < t->first + 128;
    if (!ons) return;
    id_list back = {0};
    midi_file m;
    check_stable(t, ids, count);
    must(midi_decode(t, ids, count, &m, &err));
    assert_int_equal(m.note_count, ons);
    midi_file_free(&m);
    must(id_list_add(&back, &t->start, 1, &err));
    read_back(t, ids, count, &back);
    tokenizer files = *t;
    files.config.longest_note = 0; /* the notes that still sound are ended by pitch, whichever is the oldest */
    check_allowed(&files, back.v, back.count);
    id_list_free(&back);
}

static void sampling(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT(names); k++) {
        tokenizer t = opened(names[k]);
        rng r = rng_make(1, RNG_TEST, (uint32_t)k);
        for (int i = 0; i < 40; i++) sample(&t, &r);
    }
}

static void any_ids(void **state) {
    (void)state;
    enum { LENGTH = 300 };
    for (size_t k = 0; k < COUNT(names); k++) {
        tokenizer t = opened(names[k]);
        rng r = rng_make(2, RNG_TEST, (uint32_t)k);
        int32_t ids[LENGTH];
        float logits[400];
        for (int i = 0; i < 40; i++) {
            for (int j = 0; j < LENGTH; j++) ids[j] = (int32_t)rng_below(&r, 400) - 5;
            ids[i] = i % 2 ? INT32_MIN : INT32_MAX;
            check_stable(&t, ids, LENGTH);
            memset(logits, 0, sizeof logits);
            t.type->mask(&t, ids, LENGTH, logits);
            assert_in_range(draw(&t, logits, &r), 0, t.vocab - 1);
        }
        for (int32_t j = 0; j < 128; j++) ids[j] = t.first + j; /* all sound, and a velocity or a time shift */
        for (int32_t last = 255; last < 388; last++) {
            ids[128] = t.first + last;
            memset(logits, 0, sizeof logits);
            t.type->mask(&t, ids, 129, logits);
            assert_in_range(draw(&t, logits, &r), 0, t.vocab - 1);
        }
        must(t.type->write(&t, ids, 0, at("empty.mid"), &err));
        midi_file m;
        must(midi_file_read(&m, at("empty.mid"), &err));
        assert_int_equal(m.note_count, 0);
        midi_file_free(&m);
    }
}

/* What the mask leaves behind some events, by kind: note ons, note offs, time shifts, velocities, end. */
static void masked(void **state) {
    (void)state;
    static const struct { int events[12], count, left[5]; } papers[] = {
        {{0}, 0, {0, 0, 100, 32, 0}},                          /* no note without a velocity */
        {{376}, 1, {128, 0, 0, 0, 0}},                         /* no velocity without its note */
        {{376, 60}, 2, {127, 0, 100, 31, 0}},                  /* it sounds: not again, no end in its step */
        {{376, 60, 265}, 3, {127, 1, 0, 31, 0}},               /* a short shift is the last */
        {{376, 60, 355}, 3, {127, 1, 100, 31, 0}},
        {{376, 60, 265, 188}, 4, {128, 0, 100, 31, 1}},        /* all is silent */
        {{376, 60, 305, 377, 67, 355, 355, 355, 355, 355, 355, 355}, 12, {126, 2, 50, 31, 0}}, /* 60 must end soon */
        {{376, 60, 355, 355, 355, 355, 355, 355, 355, 355}, 10, {0, 1, 0, 0, 0}}};             /* now */
    static const struct { int events[12], count, left[5]; } krasserm[] = {
        {{0}, 0, {128, 0, 100, 32, 0}},
        {{376}, 1, {128, 0, 0, 0, 0}},
        {{376, 60}, 2, {0, 1, 100, 32, 0}},                    /* no note as soft as 20 before it */
        {{361, 60}, 2, {128, 1, 100, 32, 0}},
        {{376, 60, 265}, 3, {0, 1, 0, 32, 0}},
        {{376, 60, 188}, 3, {0, 0, 100, 32, 0}},
        {{376, 60, 305, 377, 67, 355, 355, 355, 355, 355, 355, 355}, 12, {0, 2, 50, 32, 0}},
        {{376, 60, 355, 355, 355, 355, 355, 355, 355, 355}, 10, {0, 1, 0, 0, 0}}};
    for (size_t k = 0; k < COUNT(names); k++)
        for (size_t i = 0; i < COUNT(papers); i++) {
            tokenizer t = opened(names[k]);
            const int *events = k ? krasserm[i].events : papers[i].events, *left = k ? krasserm[i].left : papers[i].left;
            const size_t count = (size_t)(k ? krasserm[i].count : papers[i].count);
            int32_t ids[16] = {t.start};
            int found[5] = {0};
            float logits[400] = {0};
            for (size_t j = 0; j < count; j++) ids[j + 1] = t.first + events[j];
            t.type->mask(&t, ids, count + 1, logits);
            for (int32_t id = 0; id < t.vocab; id++) {
                int e = id - t.first, kind = id == t.end ? 4 : e < 128 ? 0 : e < 256 ? 1 : e < 356 ? 2 : 3;
                found[kind] += logits[id] > -INFINITY;
            }
            for (int j = 0; j < 5; j++)
                if (found[j] != left[j])
                    test_failed("%s %zu: %d of kind %d are left, expected %d\n", names[k], i, found[j], j, left[j]);
        }
}

/* The probability of a kind, before the mask and after, where any of it may follow. */
static void shared_by_a_kind(void **state) {
    (void)state;
    static const int kinds[] = {0, 128, 256, 356, 388};
    for (size_t k = 0; k < COUNT(names); k++) {
        tokenizer t = opened(names[k]);
        rng r = rng_make(3, RNG_TEST, (uint32_t)k);
        const int32_t ids[] = {t.start, t.first + 376, t.first + 60, t.first + 380, t.first + 64, t.first + 355};
        float logits[400];
        double sums[2][4] = {{0}}, off = 0;
        for (int32_t id = 0; id < t.vocab; id++) logits[id] = (float)(3 * rng_normal(&r));
        off = (double)logits[t.first + 188] - (double)logits[t.first + 192];
        for (int after = 0; after < 2; after++) {
            if (after) t.type->mask(&t, ids, COUNT(ids), logits);
            for (int kind = 0; kind < 4; kind++)
                for (int e = kinds[kind]; e < kinds[kind + 1]; e++) sums[after][kind] += exp((double)logits[t.first + e]);
        }
        for (int kind = 0; kind < 4; kind++)
            if (sums[1][kind] > 0) close_to(sums[1][kind], sums[0][kind], 1e-4 * sums[0][kind], "a kind's probability");
        assert_true(sums[1][1] > 0 && sums[1][2] > 0 && sums[1][3] > 0);
        close_to((double)logits[t.first + 188] - (double)logits[t.first + 192], off, 1e-4, "of two ends that are left");
    }
}

static void no_memory(void **state) {
    (void)state;
    pedal(NULL);
    for (size_t k = 0; k < COUNT(names); k++) {
        tokenizer t = opened(names[k]);
        int status = PCV_MEMORY, tries = 0;
        for (uint64_t n = 1; status; n++, tries++) {
            id_list ids = {0};
            pcv_error err;
            mem_fail_after(n);
            status = t.type->read(&t, at("made.mid"), &ids, &err);
            if (!status) status = t.type->write(&t, ids.v, ids.count, at("back.mid"), &err);
            mem_fail_after(0);
            if (status) assert_int_equal(status, PCV_MEMORY);
            id_list_free(&ids);
        }
        assert_true(tries > 8);
    }
}

/* ------------------------------------------------------------------ pictures */

static void piano_roll(void **state) {
    (void)state;
    static const midi_note notes[] = {{.start = 0, .end = 1, .pitch = 60, .velocity = 40},
                                      {.start = 1, .end = 2, .pitch = 83, .velocity = 127}};
    must(piano_roll_draw(at("roll.png"), notes, 2, &err));
    png_image image = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_file(&image, at("roll.png")));
    assert_int_equal(image.width, 80);
    assert_int_equal(image.height, 24 * 6);
    image.format = PNG_FORMAT_GRAY;
    unsigned char pixel[24 * 6][80];
    assert_true(png_image_finish_read(&image, NULL, pixel, 0, NULL));
    assert_true(pixel[2][60] > pixel[140][20] && pixel[140][20] > pixel[143][20] && pixel[143][20] > pixel[140][60]);
    assert_true(pixel[2][20] == pixel[140][60] && pixel[71][3] == pixel[143][3] && pixel[70][3] == pixel[140][60]);
    must(piano_roll_draw(at("roll.png"), NULL, 0, &err));
    const midi_note late = {.start = 359999, .end = MIDI_SECONDS, .pitch = 127, .velocity = 1};
    must(piano_roll_draw(at("roll.png"), &late, 1, &err));
    refused(piano_roll_draw(at("no/roll.png"), notes, 2, &err), PCV_CANTCREATE, "roll.png");
}

#define T(test) cmocka_unit_test(test)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(running_status), T(tempo_map), T(frames), T(tracks_in_a_row), T(odd_files), T(refused_headers),
        T(refused_events), T(too_much), T(damage), T(written_bytes), T(written_times), T(two_layouts), T(a_few_notes),
        T(voices), T(a_short_note), T(velocity_by_accident), T(pedal), T(more_pedals), T(pedal_again), T(times_and_velocities),
        T(no_notes), T(sampling), T(any_ids), T(masked), T(shared_by_a_kind),
        T(no_memory), T(piano_roll),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
