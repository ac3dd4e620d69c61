/*
 * room.h: a place in the index of a principal's sessions, made where the index is full.
 *
 * Unlink first, then index: a member leaves only when its record can never again be a session of
 * the principal. So the cap holds at every moment, whoever dies in between. The calls are those of
 * an attempt (attempt.h), with all that it takes.
 */
#ifndef COAT_BACKEND_ROOM_H
#define COAT_BACKEND_ROOM_H

#include "api/op.h"
#include "index.h"

struct coat_room {
    struct coat_index index;
    char member[COAT_H_LEN];
    int64_t score_ms;
    int64_t cap;     /* 0: none */
    int64_t confirm; /* by so many replicas */
    int phase;
    size_t too_old;   /* members to be ended before anything else */
    int rounds;       /* that found it full */
    int64_t round_ms; /* when the last of these began, on the clock of deadlines */

    struct coat_error why; /* the caller's: why there was no place, while it tidies up */
};

/*
 * For a session of this principal with these keys, to end at this time. login: the store's cap
 * holds, and its `confirm`; 0: the session is in the index anyway, or was. 0, COAT_ENOMEM.
 */
int coat_room_new(struct coat_room **room, struct coat_store *store, const char *principal,
                  const struct coat_keys *keys, int64_t deadline_ms, int login,
                  struct coat_error *err);
void coat_room_free(struct coat_room *room); /* NULL allowed */

/* Enter it: fills in the step. 0; COAT_ENOMEM. */
int coat_room_enter(struct coat_room *room, struct coat_step *step, struct coat_error *err);

/*
 * An event after that. 1: it is in the index. 0: *step goes on. COAT_ETOOMANY: all places are taken
 * by sessions that live, and the store is to refuse. COAT_EBUSY: others took each place that was
 * made, until the call's time ran out. Or as coat_attempt_take and coat_attempt_confirmed.
 */
int coat_room_take(struct coat_room *room, const struct coat_event *event, struct coat_step *step,
                   struct coat_error *err);

#endif
