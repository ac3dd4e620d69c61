/*
 * greeting.h: what is said first on a connection, as one pipeline: who we are, which database,
 * and what is to be known about the server. Without I/O: every driver sends the commands and
 * brings the replies.
 *
 *     coat_greeting_init(&g, peer);
 *     do {
 *         rc = coat_greeting_prepare(&g, &err);     fresh credentials, each time
 *         ... g.commands, g.count
 *         rc = coat_greeting_judge(&g, replies, g.count, &err);
 *     } while (rc == 1);
 *     coat_greeting_release(&g);
 */
#ifndef COAT_BACKEND_GREETING_H
#define COAT_BACKEND_GREETING_H

#include "api/op.h"
#include "peer.h"

enum { COAT_GREETING_COMMANDS = 7, COAT_GREETING_ARGS = 20 };

struct coat_greeting {
    const struct coat_peer *peer; /* borrowed */
    int tries;
    struct coat_credentials secret;
    struct coat_command commands[COAT_GREETING_COMMANDS];
    size_t count; /* at least 1 */
    unsigned char kinds[COAT_GREETING_COMMANDS];
    struct coat_arg args[COAT_GREETING_ARGS];
    size_t arg_count;
    char db[16];
    char eviction[24]; /* learnt: its maxmemory-policy; "" if it did not say */
};

/* Allocates nothing. */
void coat_greeting_init(struct coat_greeting *g, const struct coat_peer *peer);

/*
 * Makes the commands, valid until the next call here. Reads the password's file and asks for
 * credentials, which takes as long as that takes. 0; COAT_ECONFIG: the file cannot be read;
 * COAT_ENOMEM; or what the function for credentials returned.
 */
int coat_greeting_prepare(struct coat_greeting *g, struct coat_error *err);

/* 1 if that asks a function for credentials, which may take its time. */
int coat_greeting_asks(const struct coat_greeting *g);

/*
 * The replies, one for each command, or the first `count` of them if there are no more yet. 0: all
 * is well so far. 1: credentials that can change
 * were refused: prepare again, once all replies are there. COAT_EDENIED: the server refuses the
 * credentials or wants some; COAT_ECONFIG: it has no such database; COAT_EUNAVAILABLE: it is no
 * master ("replica"), has too many clients ("clients"), or what refusal.h says.
 */
int coat_greeting_judge(struct coat_greeting *g, const struct coat_reply *replies, size_t count,
                        struct coat_error *err);

/* Wipes the secrets. Always legal after init. */
void coat_greeting_release(struct coat_greeting *g);

#endif
