/* Sound of a MIDI file, by the FluidSynth program and a sound font, where both are installed. */
#ifndef MEDIA_SYNTHESIZER_H
#define MEDIA_SYNTHESIZER_H

#include "base/error.h"

/* The sound font: $SOUNDFONT, or the first one in the usual folders; NULL: there is none. */
const char *synthesizer_font(void);

/* Writes the WAV file. PCV_NOINPUT: no program or no sound font. */
int synthesize(const char *midi, const char *wav, pcv_error *err);

#endif
