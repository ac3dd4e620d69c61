#include "api/reply.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The bytes that a copy needs besides the reply itself. Replies are bounded: see resp.h. */
static size_t size_of(const struct coat_reply *reply)
{
    size_t size = reply->len;
    for (size_t i = 0; i < reply->count; i++)
        size += sizeof *reply->items + size_of(&reply->items[i]);
    return size;
}

static size_t count_items(const struct coat_reply *reply)
{
    size_t count = reply->count;
    for (size_t i = 0; i < reply->count; i++)
        count += count_items(&reply->items[i]);
    return count;
}

/* Items go to *items, bytes to *bytes; both move on. */
static void copy(struct coat_reply *to, const struct coat_reply *from, struct coat_reply **items,
                 char **bytes)
{
    *to = *from;
    if (from->len) {
        memcpy(*bytes, from->bytes, from->len);
        to->bytes = *bytes;
        *bytes += from->len;
    }
    if (from->count) {
        to->items = *items;
        *items += from->count;
        for (size_t i = 0; i < from->count; i++)
            copy(&to->items[i], &from->items[i], items, bytes);
    }
}

struct coat_reply *coat_reply_copy(const struct coat_reply *reply)
{
    struct coat_reply *own = malloc(sizeof *own + size_of(reply));
    if (!own)
        return NULL;
    struct coat_reply *items = own + 1;
    char *bytes = (char *)(items + count_items(reply));
    copy(own, reply, &items, &bytes);
    return own;
}
