/* The messages of models/protocol/init.py, in C: a 4-byte little-endian length, then `key=value\0` items, raw `data=` last. */
#ifndef SWAPBED_WIRE_H
#define SWAPBED_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#define PROTOCOL 1
#define WIRE_LIMIT (1u << 20)        /* longest body */
#define WIRE_BACKLOG (8u << 20)      /* a connection whose reader lets more than this pile up is dropped */

/* Bytes [sent, used) are waiting. broken: memory ran out or the backlog is full; the connection has to go. */
struct buffer {
    char *bytes;
    size_t sent, used, capacity;
    bool broken;
};

/* A body that `wire_valid` has accepted, so that items can be read as C strings. It borrows the buffer's bytes. */
struct message {
    const char *body;
    size_t length;
};

bool wire_reserve(struct buffer *buffer, size_t more);
void wire_release(struct buffer *buffer);
size_t wire_waiting(const struct buffer *buffer);

/* 1: a whole valid message was taken off the buffer; 0: more bytes are needed; -1: malformed, the stream is useless. */
int wire_take(struct buffer *buffer, struct message *message);
bool wire_valid(const struct message *message);

const char *wire_item(const struct message *message, const char *key);
const char *wire_next(const struct message *message, const char *key, const char *after);   /* after: NULL for the first */
const char *wire_data(const struct message *message, size_t *length);                      /* NULL: no data item */
long long wire_number(const struct message *message, const char *key, long long otherwise);

size_t wire_begin(struct buffer *buffer);
void wire_put(struct buffer *buffer, const char *key, const char *value);
void wire_putn(struct buffer *buffer, const char *key, long long value);
void wire_put_data(struct buffer *buffer, const void *bytes, size_t length);
void wire_end(struct buffer *buffer, size_t began);

#endif
