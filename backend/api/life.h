/*
 * life.h: the events (coat_life.h) of an operation under way. It only notes them; its driver tells
 * them once it is done, so that no function of an application runs inside an operation. Not
 * installed.
 */
#ifndef COAT_API_LIFE_H
#define COAT_API_LIFE_H

#include "coat_life.h"

struct coat_noted;
struct coat_op;

/* Part of each operation. All zero: none. */
struct coat_life {
    struct coat_noted *first, *last;
};

/* Something happened to a session; principal: NULL or "" for nobody. Costs nothing if nobody is to
 * be told. */
void coat_life_note(struct coat_life *life, struct coat_store *store, enum coat_life_kind kind,
                    const char *public_id, const char *principal, const char *reason);

/* The operation is done: tell them, once. What the operation is part of must still exist. */
void coat_life_tell(struct coat_op *op, struct coat_store *store);

/* Nobody is to be told. */
void coat_life_drop(struct coat_life *life);

/* 1 if the option on_event says "log". */
int coat_store_logs_events(const struct coat_store *store);

#endif
