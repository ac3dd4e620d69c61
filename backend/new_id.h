/*
 * new_id.h: the id that a save gives a stored session: at a login and a rotation, which end the old
 * one at once, and by periodic renewal, which ends it after the new one was used.
 */
#ifndef COAT_BACKEND_NEW_ID_H
#define COAT_BACKEND_NEW_ID_H

#include "session.h"

/* 1 if a save without changes is to write all the same, for the sake of the id. */
int coat_new_id_is_due(const struct coat_session *s, int64_t now_ms);

/* Before the first attempt: the hash of the id that is held, and a new one where it may be needed.
 * 0, or a failure of the random numbers. */
int coat_new_id_prepare(struct coat_session *s, int64_t now_ms, struct coat_error *err);

/* 1 if it is a login or a rotation: the old id is dead with this save. */
int coat_new_id_replaces(const struct coat_session *s);

/* For each attempt: what the record that it writes, work->next, says of the ids. */
void coat_new_id_put(struct coat_session *s, int64_t now_ms);

/* 1 if the attempt has given the session the id that was prepared. */
int coat_new_id_was_put(const struct coat_session *s);

#endif
