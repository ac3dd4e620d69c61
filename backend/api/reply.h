/* reply.h: what a server answered. Made by resp.c, read by operations. Not installed. */
#ifndef COAT_API_REPLY_H
#define COAT_API_REPLY_H

#include <stddef.h>

enum coat_reply_kind {
    COAT_REPLY_NIL,
    COAT_REPLY_INTEGER,
    COAT_REPLY_BULK,
    COAT_REPLY_STATUS,
    COAT_REPLY_ERROR,
    COAT_REPLY_ARRAY
};

struct coat_reply {
    enum coat_reply_kind kind;
    long long integer;        /* INTEGER */
    const char *bytes;        /* BULK, STATUS, ERROR; not NUL-terminated */
    size_t len;               /* of bytes */
    struct coat_reply *items; /* ARRAY */
    size_t count;             /* of items */
};

/* A copy in one piece, to be given to free(). NULL: no memory. */
struct coat_reply *coat_reply_copy(const struct coat_reply *reply);

#endif
