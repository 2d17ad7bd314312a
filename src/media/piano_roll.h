/* Notes as a picture: time to the right, pitch upward, louder is brighter, a line below each C. */
#ifndef MEDIA_PIANO_ROLL_H
#define MEDIA_PIANO_ROLL_H

#include "media/midi_file.h"

/* A PNG of whole octaves, at most 8192 pixels wide. */
int piano_roll_draw(const char *path, const midi_note *notes, size_t count, pcv_error *err);

#endif
