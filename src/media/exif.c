#include "media/exif.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { UPRIGHT = 1, ENTRY = 12, ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4 };

/* Bytes of a file, and in which order its numbers are written. */
typedef struct span {
    const uint8_t *data;
    size_t size;
    bool little;
} span;

/* `bytes` bytes at `at` as a number; 0 where the span ends before. */
static uint32_t number(const span *s, size_t at, size_t bytes) {
    uint32_t value = 0;
    if (at > s->size || bytes > s->size - at) return 0;
    for (size_t i = 0; i < bytes; i++) value = value << 8 | s->data[at + (s->little ? bytes - 1 - i : i)];
    return value;
}

static bool begins(const span *s, size_t at, const char *with, size_t size) {
    return at <= s->size && size <= s->size - at && !memcmp(s->data + at, with, size);
}

/* The part [at, at + size) of s, or what s has of it. */
static span part(const span *s, size_t at, size_t size) {
    if (at > s->size) at = s->size;
    if (size > s->size - at) size = s->size - at;
    return (span){s->data + at, size, false};
}

/* Exif is a TIFF file without a picture: a header, and a list of entries of 12 bytes: tag, type, count, value. */
static int orientation_of(span tiff) {
    tiff.little = begins(&tiff, 0, "II*\0", 4);
    if (!tiff.little && !begins(&tiff, 0, "MM\0*", 4)) return UPRIGHT;
    size_t list = number(&tiff, 4, 4), count = number(&tiff, list, 2);
    for (size_t i = 0, at = list + 2; i < count && at < tiff.size; i++, at += ENTRY) {
        if (number(&tiff, at, 2) != ORIENTATION) continue;
        uint32_t type = number(&tiff, at + 2, 2), value = number(&tiff, at + 8, type == TYPE_LONG ? 4 : 2);
        bool is_number = (type == TYPE_SHORT || type == TYPE_LONG) && number(&tiff, at + 4, 4) == 1;
        return is_number && value >= 1 && value <= 8 ? (int)value : UPRIGHT;
    }
    return UPRIGHT;
}

/* Segments: 0xFF, a kind, and two bytes of length, which count themselves. */
static int in_jpeg(const span *file) {
    enum { FILL = 0xFF, APP1 = 0xE1, SCAN = 0xDA };
    for (size_t at = 2; number(file, at, 1) == 0xFF;) {
        uint32_t kind = number(file, at + 1, 1), length = number(file, at + 2, 2);
        if (kind == FILL) {
            at++;
            continue;
        }
        if (kind == SCAN || length < 2) break;
        if (kind == APP1 && begins(file, at + 4, "Exif\0", 5) && length >= 8)
            return orientation_of(part(file, at + 10, length - 8));
        at += 2 + length;
    }
    return UPRIGHT;
}

/* Chunks: four bytes of length, a kind, the data, four bytes of checksum. */
static int in_png(const span *file) {
    for (size_t at = 8; at < file->size;) {
        size_t length = number(file, at, 4);
        if (begins(file, at + 4, "eXIf", 4)) return orientation_of(part(file, at + 8, length));
        at += length + 12;
    }
    return UPRIGHT;
}

int exif_orientation(const void *data, size_t size) {
    const span file = {data, size, false};
    if (begins(&file, 0, "\x89PNG", 4)) return in_png(&file);
    return begins(&file, 0, "\xFF\xD8", 2) ? in_jpeg(&file) : UPRIGHT;
}
