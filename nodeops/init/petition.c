/* What processes inside the node ask of the conductor: `swapbed-init event …`. Kept until answered, also while nobody drives this node. */
#include "init.h"

#include <stdlib.h>
#include <string.h>

enum { PETITIONS_LIMIT = 128, PETITION_BYTES = 64 << 10 };

struct petition {
    long long number;
    struct connection *from;   /* NULL: whoever asked does not wait any more */
    struct message asked;      /* its own copy */
    struct petition *next;
};

static struct petition *petitions;
static long long last_number;
static int count;

static void tell(const struct petition *petition) {
    struct buffer *out = &driver->out;
    size_t began = begin_event(driver, "petition");
    wire_putn(out, "petition", petition->number);
    wire_putn(out, "at_ns", monotonic_ns());
    const char *end = petition->asked.body + petition->asked.length;
    for (const char *item = petition->asked.body; item < end && strncmp(item, "data=", 5); item += strlen(item) + 1) {
        const char *value = strchr(item, '=') + 1;
        char key[64];
        size_t length = (size_t)(value - item - 1);
        if (length >= sizeof key) continue;
        memcpy(key, item, length);
        key[length] = 0;
        if (strcmp(key, "op") && strcmp(key, "request") && strcmp(key, "event") && strcmp(key, "petition")) wire_put(out, key, value);
    }
    end_message(driver, began);
}

void petition_take(struct connection *connection, const struct message *asked) {
    struct petition *petition = count < PETITIONS_LIMIT && asked->length <= PETITION_BYTES ? malloc(sizeof *petition + asked->length) : NULL;
    if (!petition) return refuse(connection, asked, count < PETITIONS_LIMIT ? "too long" : "too many requests wait for the conductor");
    memcpy(petition + 1, asked->body, asked->length);
    *petition = (struct petition){++last_number, connection, {(char *)(petition + 1), asked->length}, NULL};
    struct petition **last = &petitions;
    while (*last) last = &(*last)->next;
    *last = petition;
    count++;
    if (driver) tell(petition);
}

void petitions_tell(void) {
    for (struct petition *petition = petitions; petition; petition = petition->next) tell(petition);
}

void petition_answer(struct connection *connection, const struct message *asked) {
    long long number = wire_number(asked, "petition", -1);
    struct petition **at = &petitions;
    while (*at && (*at)->number != number) at = &(*at)->next;
    struct petition *petition = *at;
    if (petition) {
        *at = petition->next;
        count--;
        const char *error = wire_item(asked, "error"), *text = wire_item(asked, "text");
        if (petition->from) {
            size_t began = begin_answer(petition->from, &petition->asked);
            if (error) wire_put(&petition->from->out, "error", error);
            if (text) wire_put(&petition->from->out, "text", text);
            end_message(petition->from, began);
        }
        free(petition);
    }
    answer_ok(connection, asked);
}

void petitions_orphan(const struct connection *connection) {
    for (struct petition *petition = petitions; petition; petition = petition->next)
        if (petition->from == connection) petition->from = NULL;
}
