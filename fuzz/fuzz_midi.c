/* Any bytes as a MIDI file: read, encoded both ways, decoded, and written; "midi" must come back as the same ids. */
#include "fuzz.h"
#include "token/midi.h"

#include <stdlib.h>
#include <string.h>

static void encode(const tokenizer *t, const midi_file *m, id_list *ids) {
    if (midi_encode(t, m, ids, NULL)) id_list_free(ids);
}

static void round_trip(const char *name, const midi_file *m) {
    tokenizer t;
    midi_file played, again = {0};
    file_bytes file = {0};
    id_list ids = {0}, back = {0};
    if (tokenizer_open(&t, name, NULL, NULL)) abort();
    encode(&t, m, &ids);
    if (midi_decode(&t, ids.v, ids.count, &played, NULL)) abort();
    if (!midi_file_render(&file, played.notes, played.note_count, "out", NULL) &&
        !midi_file_parse(&again, file.data, file.size, "out", NULL) && t.type == &token_midi) {
        encode(&t, &again, &back);
        if (ids.count != back.count || (ids.count && memcmp(ids.v, back.v, ids.count * sizeof *ids.v))) abort();
    }
    id_list_free(&ids);
    id_list_free(&back);
    file_bytes_free(&file);
    midi_file_free(&played);
    midi_file_free(&again);
    tokenizer_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    midi_file m;
    pcv_error err;
    if (midi_file_parse(&m, data, size, "in", &err)) return 0;
    round_trip("midi", &m);
    round_trip("midi-389", &m);
    midi_file_free(&m);
    return 0;
}
