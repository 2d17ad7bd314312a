#include "train/tensorboard.h"
#include "base/clock.h"
#include "base/file.h"

#include <string.h>
#include <unistd.h>

enum { MESSAGE = 512 };

/* CRC-32C (Castagnoli), bit by bit: some tens of bytes a scalar. */
static uint32_t crc32c(const unsigned char *data, size_t size) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int b = 0; b < 8; b++) crc = crc >> 1 ^ (0x82F63B78u & (0u - (crc & 1)));
    }
    return ~crc;
}

static uint32_t masked(const unsigned char *data, size_t size) {
    uint32_t crc = crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

static void put_fixed(unsigned char *out, uint64_t x, int bytes) {
    for (int i = 0; i < bytes; i++) out[i] = (unsigned char)(x >> 8 * i);
}

static void write_record(tensorboard *t, const unsigned char *data, size_t size) {
    unsigned char head[12], tail[4];
    put_fixed(head, size, 8);
    put_fixed(head + 8, masked(head, 8), 4);
    put_fixed(tail, masked(data, size), 4);
    bool ok = fwrite(head, 1, 12, t->file) == 12 && fwrite(data, 1, size, t->file) == size &&
              fwrite(tail, 1, 4, t->file) == 4;
    if (!ok) tensorboard_close(t);
}

/* A protocol buffer under construction. */
typedef struct message {
    unsigned char data[MESSAGE];
    size_t size;
} message;

static void put_varint(message *m, uint64_t x) {
    for (; x >= 128; x >>= 7) m->data[m->size++] = (unsigned char)(x | 128);
    m->data[m->size++] = (unsigned char)x;
}

static void put_bytes(message *m, int number, const void *bytes, size_t size) {
    put_varint(m, (uint64_t)number << 3 | 2);
    put_varint(m, size);
    memcpy(m->data + m->size, bytes, size);
    m->size += size;
}

static void put_double(message *m, int number, double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_varint(m, (uint64_t)number << 3 | 1);
    put_fixed(m->data + m->size, bits, 8);
    m->size += 8;
}

static void put_float(message *m, int number, float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_varint(m, (uint64_t)number << 3 | 5);
    put_fixed(m->data + m->size, bits, 4);
    m->size += 4;
}

void tensorboard_open(tensorboard *t, const char *folder) {
    char name[128], path[PATH_SIZE];
    long long now = (long long)clock_wall();
    t->file = NULL;
    snprintf(name, sizeof name, "events.out.tfevents.%lld.perceiver.%d", now, (int)getpid());
    if (path_join(path, folder, name, NULL)) return;
    t->file = fopen(path, "ab");
    if (!t->file) return;
    message event = {{0}, 0}; /* Event: 1 wall_time, 2 step, 3 file_version, 5 summary */
    put_double(&event, 1, clock_wall());
    put_bytes(&event, 3, "brain.Event:2", 13);
    write_record(t, event.data, event.size);
}

void tensorboard_close(tensorboard *t) {
    if (t->file) fclose(t->file);
    t->file = NULL;
}

void tensorboard_scalar(tensorboard *t, const char *tag, int64_t step, double value) {
    if (!t->file) return;
    message entry = {{0}, 0}, summary = {{0}, 0}, event = {{0}, 0};
    put_bytes(&entry, 1, tag, strlen(tag)); /* Summary.Value: 1 tag, 2 simple_value */
    put_float(&entry, 2, (float)value);
    put_bytes(&summary, 1, entry.data, entry.size);
    put_double(&event, 1, clock_wall());
    put_varint(&event, 2 << 3);
    put_varint(&event, (uint64_t)step);
    put_bytes(&event, 5, summary.data, summary.size);
    write_record(t, event.data, event.size);
}

void tensorboard_flush(tensorboard *t) {
    if (t->file) fflush(t->file);
}
