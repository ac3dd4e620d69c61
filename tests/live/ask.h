/* ask.h: commands of a test's own, on the server of a store. */
#ifndef LIVE_ASK_H
#define LIVE_ASK_H

#include "api/op.h"
#include "coat_store.h"
#include "script.h"

enum { ASK_ARGS_MAX = 32 };

/* What the server has answered. */
struct answer {
    enum coat_reply_kind kind;
    long long integer; /* of an array: its length */
    char bytes[1024];  /* with a NUL; cut where it is longer */
    size_t len;
};

/* These fail the test where nothing is answered. */
struct answer ask_args(struct coat_store *store, const struct coat_arg *args, size_t count);

/* A command in words, up to NULL. */
struct answer ask(struct coat_store *store, ...);

/* A script with so many keys (a digit), and with these keys and arguments, up to NULL. */
struct answer ask_script(struct coat_store *store, const struct coat_script *script,
                         const char *keys, ...);

/* As ask_args, for threads other than the test's own: 0, or why nothing is answered. */
int ask_quietly(struct coat_store *store, const struct coat_arg *args, size_t count,
                struct answer *answer);

#endif
