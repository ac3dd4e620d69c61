/*
 * resp.h: the wire protocol of Redis (RESP2), without I/O. Bytes of commands out of a pipeline,
 * trees of replies out of bytes.
 */
#ifndef COAT_BACKEND_RESP_H
#define COAT_BACKEND_RESP_H

#include <stddef.h>

#include "api/op.h"

/* Of what a connection has used, memory beyond this is given back. */
#define COAT_KEEP_BYTES ((size_t)64 << 10)

/* What no reply of ours comes near; beyond it the peer does not speak our protocol. */
#define COAT_RESP_ITEMS_MAX 65536u /* array members in all replies of a pipeline */
#define COAT_RESP_DEPTH_MAX 4u     /* arrays within each other */

struct coat_bytes {
    char *at;
    size_t len, size;
};

/* Free, and wipe what was there. */
void coat_bytes_wipe(struct coat_bytes *bytes);

/* The commands as one pipeline, replacing what is in *to. 0, COAT_ENOMEM, COAT_ELIMIT (> 1 GiB). */
int coat_resp_format(struct coat_bytes *to, const struct coat_command *commands, size_t count,
                     struct coat_error *err);

/* The same, behind what is in *to. */
int coat_resp_append(struct coat_bytes *to, const struct coat_command *commands, size_t count,
                     struct coat_error *err);

/* A reader of replies. It owns them, until the next begin or release. */
struct coat_resp {
    struct redisReader *reader; /* made when first needed */
    struct coat_block *blocks;  /* the memory of the replies, newest block first */
    struct coat_reply *replies;
    size_t wanted, got;
    size_t max_bytes; /* of the replies of one pipeline together */
    size_t bytes;     /* that came since begin */
    size_t items;     /* array members among these */
    int nomem;        /* an object could not be made for lack of memory */
    int overlaps;     /* a user's choice after init: pipelines are sent before the replies of those
                         before came, so more than was asked for is no error but the next one's */
};

/* Allocates nothing. */
void coat_resp_init(struct coat_resp *resp, size_t max_bytes);

/* Forget the replies; the next `count` are wanted. 0, COAT_ENOMEM. */
int coat_resp_begin(struct coat_resp *resp, size_t count, struct coat_error *err);

/*
 * Where pipelines overlap, how many bytes lie behind the last reply that was read. After `begin`,
 * feeding 0 bytes more goes on with these.
 */
size_t coat_resp_rest(const struct coat_resp *resp);

/*
 * More bytes. 1: all replies are there, in resp->replies. 0: more bytes are wanted. COAT_ENOMEM,
 * or COAT_EUNAVAILABLE with the reason "protocol": not RESP2, over a cap, or more than was asked
 * for. After a failure the connection can only be closed, and the reader only released.
 */
int coat_resp_feed(struct coat_resp *resp, const char *bytes, size_t len, struct coat_error *err);

/* Free all of it; as after init. */
void coat_resp_release(struct coat_resp *resp);

#endif
