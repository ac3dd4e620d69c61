/* refusal.h: what an error that a server answered means to the caller. One home for all of them. */
#ifndef COAT_BACKEND_REFUSAL_H
#define COAT_BACKEND_REFUSAL_H

#include "api/reply.h"
#include "coat_error.h"

/*
 * Describe an error reply: COAT_EDENIED (NOAUTH, WRONGPASS, NOPERM), COAT_ECORRUPT (WRONGTYPE) or
 * COAT_EUNAVAILABLE (all others, known or not), with the server's word as the reason and advice.
 * Errors that a server before Redis 7 wraps because a script met them are unwrapped.
 */
int coat_refusal(const struct coat_reply *reply, struct coat_error *err);

/* 1 if this is what it means, also where it comes wrapped; for the words that are known. */
int coat_refusal_means(const struct coat_reply *reply, const char *word);

/* 1 if it is this error, as in coat_refusal_is(reply, "NOSCRIPT"). */
int coat_refusal_is(const struct coat_reply *reply, const char *word);

#endif
