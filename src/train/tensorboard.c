/* The messages are TensorFlow's event.proto, summary.proto and tensor.proto; their field numbers stand where they are
 * written. A record is the length, its checksum, an Event, its checksum. */
#include "train/tensorboard.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char PREFIX[] = "events.out.tfevents.", OURS[] = ".perceiver.";
enum { HEAD = 12, TAIL = 4, SAMPLE_LIMIT = 16 << 20 };

/* ------------------------------------------------------------------ records */

/* CRC-32C (Castagnoli), bit by bit: some tens of bytes a scalar. */
static uint32_t crc32c(const unsigned char *data, size_t size) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int b = 0; b < 8; b++) crc = crc >> 1 ^ (0x82F63B78u & (0u - (crc & 1)));
    }
    return ~crc;
}

static uint32_t masked(const void *data, size_t size) {
    uint32_t crc = crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

static void put_fixed(unsigned char *out, uint64_t x, int bytes) {
    for (int i = 0; i < bytes; i++) out[i] = (unsigned char)(x >> 8 * i);
}

static uint64_t get_fixed(const unsigned char *in, int bytes) {
    uint64_t x = 0;
    for (int i = bytes - 1; i >= 0; i--) x = x << 8 | in[i];
    return x;
}

static void write_record(tensorboard *t, const text *event) {
    unsigned char head[HEAD], tail[TAIL];
    if (!text_ok(event)) return;
    put_fixed(head, event->size, 8);
    put_fixed(head + 8, masked(head, 8), 4);
    put_fixed(tail, masked(event->data, event->size), TAIL);
    bool ok = fwrite(head, 1, HEAD, t->file) == HEAD && fwrite(event->data, 1, event->size, t->file) == event->size &&
              fwrite(tail, 1, TAIL, t->file) == TAIL && fflush(t->file) == 0;
    if (!ok) tensorboard_close(t);
}

/* ------------------------------------------------------------------ protocol buffers */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* how a field's value is written */

static void put_varint(text *m, uint64_t x) {
    unsigned char byte;
    for (; x >= 128; x >>= 7) {
        byte = (unsigned char)(x | 128);
        text_bytes(m, &byte, 1);
    }
    byte = (unsigned char)x;
    text_bytes(m, &byte, 1);
}

static void put_int(text *m, int number, int64_t x) {
    put_varint(m, (uint64_t)number << 3 | VARINT);
    put_varint(m, (uint64_t)x);
}

static void put_bytes(text *m, int number, const void *bytes, size_t size) {
    put_varint(m, (uint64_t)number << 3 | BYTES);
    put_varint(m, size);
    text_bytes(m, bytes, size);
}

static void put_string(text *m, int number, const char *string) { put_bytes(m, number, string, strlen(string)); }

/* A message within a message, which is freed. */
static void put_message(text *m, int number, text *inner) {
    if (text_ok(inner)) put_bytes(m, number, inner->data, inner->size);
    else m->failed = true;
    text_free(inner);
}

static void put_double(text *m, int number, double x) {
    unsigned char bytes[8];
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_fixed(bytes, bits, 8);
    put_varint(m, (uint64_t)number << 3 | FIXED64);
    text_bytes(m, bytes, 8);
}

static void put_float(text *m, int number, float x) {
    unsigned char bytes[4];
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_fixed(bytes, bits, 4);
    put_varint(m, (uint64_t)number << 3 | FIXED32);
    text_bytes(m, bytes, 4);
}

static bool get_varint(const unsigned char **at, const unsigned char *end, uint64_t *x) {
    *x = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        unsigned char byte = *(*at)++;
        *x |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return true;
    }
    return false;
}

/* The step of an Event: 0 where none is written. */
static int64_t step_of(const unsigned char *at, const unsigned char *end) {
    uint64_t key, x;
    while (at < end && get_varint(&at, end, &key)) {
        uint64_t skip = (key & 7) == FIXED64 ? 8 : (key & 7) == FIXED32 ? 4 : 0;
        if ((key & 7) == VARINT || (key & 7) == BYTES) {
            if (!get_varint(&at, end, &x)) break;
            if (key == (2 << 3 | VARINT)) return (int64_t)x;
            if ((key & 7) == BYTES) skip = x;
        }
        if (skip > (uint64_t)(end - at)) break;
        at += skip;
    }
    return 0;
}

/* ------------------------------------------------------------------ files */

/* Bytes of whole records that come before the first one behind `step`. */
static size_t whole_until(const file_map *map, int64_t step) {
    const unsigned char *data = map->data;
    size_t at = 0;
    while (map->size - at >= HEAD + TAIL) {
        const unsigned char *record = data + at;
        uint64_t size = get_fixed(record, 8);
        if (get_fixed(record + 8, 4) != masked(record, 8) || size > map->size - at - HEAD - TAIL) break;
        if (step_of(record + HEAD, record + HEAD + size) > step) break;
        at += HEAD + size + TAIL;
    }
    return at;
}

static void cut_file(const char *path, int64_t step) {
    file_map map;
    if (file_map_open(&map, path, NULL)) return;
    size_t keep = whole_until(&map, step), size = map.size;
    file_map_close(&map);
    int fd = keep < size ? open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0) return;
    int failed = ftruncate(fd, (off_t)keep);
    (void)failed; /* then some steps are there twice, in a file that is not the record */
    close(fd);
}

static void cut_files(const char *folder, int64_t step) {
    file_list names = {0};
    char path[PATH_SIZE];
    if (folder_names(folder, &names, NULL)) return;
    for (size_t i = 0; i < names.count; i++) {
        bool own = !strncmp(names.paths[i], PREFIX, sizeof PREFIX - 1) && strstr(names.paths[i], OURS);
        if (own && !path_join(path, folder, names.paths[i], NULL)) cut_file(path, step);
    }
    file_list_free(&names);
}

/* Event: 1 wall_time, 2 step, 3 file_version, 5 summary, 7 session_log. */
static text begin_event(int64_t step) {
    text event = {0};
    put_double(&event, 1, clock_wall());
    put_int(&event, 2, step);
    return event;
}

static void write_event(tensorboard *t, text *event) {
    write_record(t, event);
    text_free(event);
}

void tensorboard_open(tensorboard *t, const char *folder, int64_t step) {
    char name[128], path[PATH_SIZE];
    t->file = NULL;
    if (folder_make(folder, NULL)) return;
    cut_files(folder, step);
    snprintf(name, sizeof name, "%s%lld%s%d", PREFIX, (long long)clock_wall(), OURS, (int)getpid());
    if (path_own(path, folder, name, NULL)) return;
    t->file = fopen(path, "ab");
    if (!t->file) return;
    text event = begin_event(0), start = {0};
    put_string(&event, 3, "brain.Event:2");
    write_event(t, &event);
    if (!t->file || step <= 0) return;
    event = begin_event(step + 1); /* for who has read what was cut off: it no longer holds */
    put_int(&start, 1, 1);         /* SessionLog: 1 status, of which 1 is START */
    put_message(&event, 7, &start);
    write_event(t, &event);
}

void tensorboard_close(tensorboard *t) {
    if (t->file) fclose(t->file);
    t->file = NULL;
}

/* ------------------------------------------------------------------ summaries */

/* Summary: 1 value. Summary.Value: 1 tag, 2 simple_value, 4 image, 6 audio, 8 tensor, 9 metadata. */
static void write_value(tensorboard *t, int64_t step, text *value) {
    text event = begin_event(step), summary = {0};
    put_message(&summary, 1, value);
    put_message(&event, 5, &summary);
    write_event(t, &event);
}

void tensorboard_scalar(tensorboard *t, const char *tag, int64_t step, double x) {
    text value = {0};
    if (!t->file) return;
    put_string(&value, 1, tag);
    put_float(&value, 2, (float)x);
    write_value(t, step, &value);
}

/* Markdown that shows the bytes as they are; what is no UTF-8 as U+FFFD. */
static void add_verbatim(text *out, const char *bytes, size_t size) {
    text_add(out, "    ");
    for (size_t i = 0; i < size;) {
        int length = utf8_length(bytes + i, size - i);
        if (length > 0) text_bytes(out, bytes + i, (size_t)length);
        else text_bytes(out, "\xEF\xBF\xBD", 3);
        if (bytes[i] == '\n') text_add(out, "    ");
        i += length > 0 ? (size_t)length : 1;
    }
}

void tensorboard_text(tensorboard *t, int64_t step, const char *bytes, size_t size) {
    text value = {0}, tensor = {0}, shown = {0}, metadata = {0}, plugin = {0};
    const int string = 7; /* DataType DT_STRING */
    if (!t->file) return;
    add_verbatim(&shown, bytes, size);
    put_int(&tensor, 1, string); /* TensorProto: 1 dtype, 2 tensor_shape (none: one element), 8 string_val */
    put_bytes(&tensor, 2, "", 0);
    put_message(&tensor, 8, &shown);
    put_string(&plugin, 1, "text"); /* SummaryMetadata: 1 plugin_data, of which 1 is its name */
    put_message(&metadata, 1, &plugin);
    put_string(&value, 1, "sample/text");
    put_message(&value, 8, &tensor);
    put_message(&value, 9, &metadata);
    write_value(t, step, &value);
}

/* Summary.Image: 1 height, 2 width, 3 colorspace, 4 encoded_image_string. */
static void put_image(text *value, const file_bytes *png) {
    const unsigned char *header = (const unsigned char *)png->data + 16;
    text image = {0};
    uint32_t size[2]; /* width, height, most significant byte first */
    for (int i = 0; i < 2; i++)
        size[i] = (uint32_t)header[4 * i] << 24 | (uint32_t)header[4 * i + 1] << 16 | (uint32_t)header[4 * i + 2] << 8 |
                  header[4 * i + 3];
    put_int(&image, 1, size[1]);
    put_int(&image, 2, size[0]);
    put_int(&image, 3, 3); /* RGB */
    put_bytes(&image, 4, png->data, png->size);
    put_message(value, 4, &image);
}

/* Summary.Audio: 1 sample_rate, 2 num_channels, 3 length_frames, 4 encoded_audio_string, 5 content_type. */
static void put_audio(text *value, const file_bytes *wav) {
    const unsigned char *format = (const unsigned char *)wav->data + 20;
    uint64_t channels = get_fixed(format + 2, 2), rate = get_fixed(format + 4, 4), frame = get_fixed(format + 12, 2);
    text audio = {0};
    put_float(&audio, 1, (float)rate);
    put_int(&audio, 2, (int64_t)channels);
    put_int(&audio, 3, frame ? (int64_t)((wav->size - 44) / frame) : 0);
    put_bytes(&audio, 4, wav->data, wav->size);
    put_string(&audio, 5, "audio/wav");
    put_message(value, 6, &audio);
}

void tensorboard_file(tensorboard *t, int64_t step, const char *path) {
    file_bytes file = {0};
    text value = {0};
    if (!t->file || !path_exists(path) || file_read(path, SAMPLE_LIMIT, &file, NULL)) return;
    bool png = file.size > 24 && !memcmp(file.data + 1, "PNG", 3);
    bool wav = file.size > 44 && !memcmp(file.data, "RIFF", 4) && !memcmp(file.data + 8, "WAVEfmt ", 8);
    put_string(&value, 1, png ? "sample/picture" : "sample/sound");
    if (png) put_image(&value, &file);
    if (wav) put_audio(&value, &file);
    if (png || wav) write_value(t, step, &value);
    text_free(&value);
    file_bytes_free(&file);
}
