/*
 * nonce.h: a PING behind the commands of a pipeline, with a text that only the replies to this very
 * pipeline can hold: the option verify. Not installed.
 */
#ifndef COAT_API_NONCE_H
#define COAT_API_NONCE_H

#include "api/op.h"

/* All fields are private. */
struct coat_nonce {
    char text[33];
    struct coat_arg args[2];
};

/* Another text. 0 and *ping, whose arguments lie in *nonce; or as coat_random. */
int coat_nonce_draw(struct coat_nonce *nonce, struct coat_command *ping, struct coat_error *err);

/* 1 if this is the answer. */
int coat_nonce_answers(const struct coat_nonce *nonce, const struct coat_reply *reply);

#endif
