#include "config/token_config.h"

#define AT(member) offsetof(token_config, member)

static const char *const channel_id_names[] = {"shared", "own", NULL};

static const field rows[] = {
    {"pieces", NULL, FIELD_INT, AT(pieces), 16, 1000000, NULL, "8000", "sentencepiece: pieces to learn"},
    {"size", "size", FIELD_INT, AT(size), 1, 4096, NULL, "32", "image, pairs, video: pixels of each side"},
    {"frames", "frames", FIELD_INT, AT(frames), 2, 4096, NULL, "16", "video: frames of a film"},
    {"samples", "samples", FIELD_INT, AT(samples), 0, 65536, NULL, "0",
     "video: samples of sound beside each frame; 0: it is not heard"},
    {"frame_rate", "frame-rate", FIELD_REAL, AT(frame_rate), 0.1, 1000, NULL, "25",
     "video: frames a second, for the sound beside them"},
    {"order", "order", FIELD_STRING, AT(order), 0, 0, NULL, "raster",
     "image: raster, planes, spiral, coarse-to-fine, random:SEED, or a file of indices"},
    {"background", "background", FIELD_STRING, AT(background), 0, 0, NULL, "#ffffff",
     "image: colour behind transparent pixels"},
    {"channel_ids", "channel-ids", FIELD_CHOICE, AT(channel_ids), 0, 0, channel_id_names, "shared",
     "image: red, green and blue share 256 ids, or have 256 each"},
    {"longest_note", "longest-note", FIELD_REAL, AT(longest_note), 0, 3600, NULL, "8",
     "midi: seconds that a sampled note sounds at most; 0: any number"},
    {"rate", "rate", FIELD_INT, AT(rate), 1000, 192000, NULL, "16000", "audio: samples a second"},
    {"frame", "frame", FIELD_INT, AT(frame), 16, 8192, NULL, "320", "audio, rvq: samples of a frame"},
    {"codebooks", "codebooks", FIELD_INT, AT(codebooks), 1, 64, NULL, "8", "audio, rvq: codes of a frame"},
    {"codes", "codes", FIELD_INT, AT(codes), 2, 65536, NULL, "1024", "audio, rvq: entries of a codebook"},
};

const field_table token_fields = {rows, sizeof rows / sizeof *rows};
