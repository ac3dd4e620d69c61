/*
 * reply_text.h: replies as a test writes them: [[0 5460 ['10.0.0.1' 7000 'id' []]] nil -ERR no]
 * Integers, 'bulk strings', nil, arrays in brackets; an error is all of a text that begins with -,
 * a status all of one that begins with +.
 */
#ifndef REPLY_TEXT_H
#define REPLY_TEXT_H

#include <stdlib.h>
#include <string.h>

#include "api/reply.h"

enum { REPLY_ITEMS = 64 };

/* Everything that was made, to be forgotten by reply_forget. */
struct reply_room {
    struct coat_reply *arrays[256];
    size_t count;
};

static inline void reply_forget(struct reply_room *room)
{
    while (room->count > 0)
        free(room->arrays[--room->count]);
}

static inline struct coat_reply reply_read(struct reply_room *room, const char **at)
{
    struct coat_reply reply = {.kind = COAT_REPLY_NIL};
    *at += strspn(*at, " ");
    if (**at == '[') {
        struct coat_reply *items = calloc(REPLY_ITEMS, sizeof *items);
        room->arrays[room->count++] = items;
        reply = (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = items};
        for (++*at; *(*at += strspn(*at, " ")) != ']';)
            items[reply.count++] = reply_read(room, at);
        ++*at;
    } else if (**at == '\'') {
        reply.kind = COAT_REPLY_BULK;
        reply.bytes = *at + 1;
        reply.len = strcspn(reply.bytes, "'");
        *at += reply.len + 2;
    } else if (strncmp(*at, "nil", 3) == 0) {
        *at += 3;
    } else {
        char *end;
        reply.kind = COAT_REPLY_INTEGER;
        reply.integer = strtoll(*at, &end, 10);
        *at = *at == end ? end + 1 : end;
    }
    return reply;
}

static inline struct coat_reply reply_of(struct reply_room *room, const char *text)
{
    if (*text == '-' || *text == '+')
        return (struct coat_reply){.kind = *text == '-' ? COAT_REPLY_ERROR : COAT_REPLY_STATUS,
                                   .bytes = text + 1,
                                   .len = strlen(text + 1)};
    return reply_read(room, &text);
}

#endif
