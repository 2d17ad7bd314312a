/* Standard MIDI files: notes and sustain pedal in seconds, from formats 0, 1 and 2, and notes back to format 0.
 *
 * The reader believes no length and keeps the limits below, so that any bytes give notes or one error, in less than
 * 32 MiB beside the file. It takes what files in the wild do where the meaning is clear: chunks of other kinds, no end
 * of track, note-ons of velocity 0, ends without a note, notes without an end, bytes behind the last track.
 *
 *     midi_file m;
 *     TRY(midi_file_read(&m, path, err));
 *     use(m.notes, m.note_count);
 *     midi_file_free(&m); */
#ifndef MEDIA_MIDI_FILE_H
#define MEDIA_MIDI_FILE_H

#include "base/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MIDI_FILE_BYTES = 16 << 20,
    MIDI_EVENTS = 1 << 18, /* of notes, of pedal events and of tempo changes, each */
    MIDI_SECONDS = 360000,
    MIDI_CHANNELS = 16,
    MIDI_DRUMS = 9,             /* the channel that people call 10 */
    MIDI_TICKS_SECOND = 20000,  /* of written files */
};

typedef struct midi_note {
    double start, end; /* in seconds, end > start */
    uint16_t track;
    uint8_t channel, program; /* the program of the channel, in this track, when the note ends */
    uint8_t pitch, velocity;  /* below 128; velocity at least 1 */
    bool open;                /* the file does not end it: its track did */
    uint32_t ended;           /* the place of its end in the file */
} midi_note;

typedef struct midi_pedal {
    double time;
    uint16_t track;
    uint8_t channel, value; /* from 64 on it is down */
    uint32_t place;         /* in the file */
} midi_pedal;

/* Track by track: the notes of one in the order in which they end, the older first where one event ends several;
 * the pedal events in theirs. Events of one tick happen in the order of their places: that of the tracks in the file,
 * and within a track that of its events. */
typedef struct midi_file {
    midi_note *notes;
    midi_pedal *pedals;
    size_t note_count, pedal_count;
} midi_file;

/* The tracks of format 2 follow each other. PCV_DATA: "name: byte 123: what is wrong". */
int midi_file_read(midi_file *m, const char *path, pcv_error *err);
int midi_file_parse(midi_file *m, const void *data, size_t size, const char *name, pcv_error *err);
void midi_file_free(midi_file *m);

/* PCV_USAGE where the name has an ending that is not that of a MIDI file. */
int midi_file_check(const char *path, pcv_error *err);

/* Times are rounded to a tick. Where notes of one channel and pitch overlap, the first end is for all of them. */
int midi_file_write(const char *path, const midi_note *notes, size_t count, pcv_error *err);
int midi_file_render(file_bytes *out, const midi_note *notes, size_t count, const char *name, pcv_error *err);

#endif
