#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 4, SMALLEST = 512 };

size_t wire_waiting(const struct buffer *buffer) { return buffer->used - buffer->sent; }

/* Room for `more` bytes at `used`; moves what waits to the front first. */
bool wire_reserve(struct buffer *buffer, size_t more) {
    if (buffer->broken) return false;
    if (buffer->sent) {
        memmove(buffer->bytes, buffer->bytes + buffer->sent, wire_waiting(buffer));
        buffer->used -= buffer->sent;
        buffer->sent = 0;
    }
    if (buffer->used + more <= buffer->capacity) return true;
    size_t capacity = buffer->capacity ? buffer->capacity : SMALLEST;
    while (capacity < buffer->used + more) capacity *= 2;
    char *bytes = capacity > WIRE_BACKLOG ? NULL : realloc(buffer->bytes, capacity);
    if (!bytes) {
        buffer->broken = true;
        return false;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

/* An idle connection holds no memory: thousands of nodes share a host. */
void wire_release(struct buffer *buffer) {
    free(buffer->bytes);
    *buffer = (struct buffer){.broken = buffer->broken};
}

bool wire_valid(const struct message *message) {
    const char *at = message->body, *end = at + message->length;
    while (at < end) {
        if (end - at >= 5 && !memcmp(at, "data=", 5)) return true;
        const char *stop = memchr(at, 0, (size_t)(end - at));
        if (!stop || !memchr(at, '=', (size_t)(stop - at))) return false;
        at = stop + 1;
    }
    return true;
}

int wire_take(struct buffer *buffer, struct message *message) {
    size_t waiting = wire_waiting(buffer);
    if (waiting < HEADER) return 0;
    const unsigned char *head = (unsigned char *)buffer->bytes + buffer->sent;
    uint32_t length = head[0] | head[1] << 8 | head[2] << 16 | (uint32_t)head[3] << 24;
    if (length > WIRE_LIMIT) return -1;
    if (waiting < HEADER + (size_t)length) return wire_reserve(buffer, HEADER + length - waiting) ? 0 : -1;
    *message = (struct message){buffer->bytes + buffer->sent + HEADER, length};
    buffer->sent += HEADER + length;
    return wire_valid(message) ? 1 : -1;
}

const char *wire_next(const struct message *message, const char *key, const char *after) {
    size_t length = strlen(key);
    const char *end = message->body + message->length;
    const char *at = after ? after + strlen(after) + 1 : message->body;
    for (; at < end && strncmp(at, "data=", 5); at += strlen(at) + 1)
        if (!strncmp(at, key, length) && at[length] == '=') return at + length + 1;
    return NULL;
}

const char *wire_item(const struct message *message, const char *key) { return wire_next(message, key, NULL); }

const char *wire_data(const struct message *message, size_t *length) {
    const char *end = message->body + message->length;
    for (const char *at = message->body; at < end; at += strlen(at) + 1) {
        if (end - at >= 5 && !memcmp(at, "data=", 5)) {
            *length = (size_t)(end - at - 5);
            return at + 5;
        }
    }
    *length = 0;
    return NULL;
}

long long wire_number(const struct message *message, const char *key, long long otherwise) {
    const char *text = wire_item(message, key);
    char *end;
    errno = 0;
    long long value = text ? strtoll(text, &end, 0) : otherwise;
    return text && (errno || end == text || *end) ? otherwise : value;
}

size_t wire_begin(struct buffer *buffer) {
    if (wire_reserve(buffer, HEADER)) buffer->used += HEADER;
    return wire_waiting(buffer);
}

static void append(struct buffer *buffer, const void *bytes, size_t length) {
    if (!length || !wire_reserve(buffer, length)) return;
    memcpy(buffer->bytes + buffer->used, bytes, length);
    buffer->used += length;
}

void wire_put(struct buffer *buffer, const char *key, const char *value) {
    append(buffer, key, strlen(key));
    append(buffer, "=", 1);
    append(buffer, value, strlen(value) + 1);
}

void wire_putn(struct buffer *buffer, const char *key, long long value) {
    char text[24];
    snprintf(text, sizeof text, "%lld", value);
    wire_put(buffer, key, text);
}

void wire_put_data(struct buffer *buffer, const void *bytes, size_t length) {
    append(buffer, "data=", 5);
    append(buffer, bytes, length);
}

/* began: what wire_begin returned, the bytes that waited before the body. */
void wire_end(struct buffer *buffer, size_t began) {
    if (buffer->broken) return;
    uint32_t length = (uint32_t)(wire_waiting(buffer) - began);
    unsigned char *head = (unsigned char *)buffer->bytes + buffer->sent + began - HEADER;
    for (int i = 0; i < HEADER; i++) head[i] = (unsigned char)(length >> (8 * i));
}
