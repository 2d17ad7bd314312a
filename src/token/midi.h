/* MIDI files as events: what token_midi and token_midi_389 do, between a file's notes and ids. */
#ifndef TOKEN_MIDI_H
#define TOKEN_MIDI_H

#include "media/midi_file.h"
#include "token/token.h"

/* Appends the events; none when no note counts. */
int midi_encode(const tokenizer *t, const midi_file *m, id_list *ids, pcv_error *err);

/* The notes of any ids: what sounds at the end is ended, what stands for nothing is passed over. */
int midi_decode(const tokenizer *t, const int32_t *ids, size_t count, midi_file *m, pcv_error *err);

#endif
