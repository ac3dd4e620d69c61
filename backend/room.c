#include "room.h"

#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "session.h"

enum { ENTERING, PROBING, CLEARING, ENDING };

int coat_room_new(struct coat_room **out, struct coat_store *store, const char *principal,
                  const struct coat_keys *keys, int64_t deadline_ms, int login,
                  struct coat_error *err)
{
    struct coat_room *room = calloc(1, sizeof *room);
    *out = room;
    if (!room)
        return coat_error_nomem(err);
    memcpy(room->member, coat_keys_member(keys), COAT_H_LEN);
    room->score_ms = coat_ms_add(deadline_ms, 2 * COAT_CLOCK_BOUND_MS);
    room->cap = login ? store->options->max_sessions : 0;
    room->confirm = login ? store->options->confirm : 0;
    return coat_index_open(&room->index, store, principal, err);
}

void coat_room_free(struct coat_room *room)
{
    if (!room)
        return;
    coat_index_release(&room->index);
    free(room);
}

/* ---- Entering ------------------------------------------------------------------------------ */

int coat_room_enter(struct coat_room *room, struct coat_step *step, struct coat_error *err)
{
    struct coat_index *x = &room->index;
    struct coat_attempt *a = &x->attempt;
    int rc = coat_attempt_reserve(a, 1, 7 + coat_index_count_outdated(x), err);
    if (rc < 0)
        return rc;
    room->phase = ENTERING;
    coat_attempt_begin(a, COAT_LOSS_FAILS, x->key.bytes, x->key.len);
    coat_attempt_run(a, &coat_script_enter, 1);
    coat_attempt_arg(a, x->key.bytes, x->key.len);
    coat_attempt_arg(a, room->member, COAT_H_LEN);
    coat_attempt_number(a, room->score_ms);
    coat_attempt_number(a, room->cap);
    coat_index_name_outdated(x);
    coat_attempt_confirm(a, room->confirm);
    coat_attempt_send(a, step);
    return 0;
}

/* ---- Making room --------------------------------------------------------------------------- */

static int full(struct coat_error *err)
{
    return coat_error_because(err, COAT_ETOOMANY, "max_sessions",
                              "the principal has as many sessions as the option max_sessions "
                              "allows, and on_max is refuse: end one of them first");
}

static int busy(struct coat_error *err)
{
    return coat_error_because(err, COAT_EBUSY, "max_sessions",
                              "others who log the same principal in took each place in its index "
                              "until the time for the call was over: try again");
}

/* Of the members the first to end, so many that there will be a place, are to be ended. */
static void choose(struct coat_room *room)
{
    struct coat_index *x = &room->index;
    coat_index_ask_none(x);
    for (size_t i = 0; i <= x->count - (size_t)room->cap; i++)
        x->members[i].asked = 1;
}

/* The next pipeline of the phase; after the last one, what follows from all of them. */
static int go_on(struct coat_room *room, struct coat_step *step, struct coat_error *err)
{
    struct coat_index *x = &room->index;
    int rc =
        room->phase == PROBING ? coat_index_probe(x, err) : coat_index_end(x, COAT_LOSS_FAILS, err);
    if (rc == 0 && room->phase == PROBING && room->too_old > 0) {
        room->phase = CLEARING;
        x->at = 0;
        rc = coat_index_end(x, COAT_LOSS_FAILS, err);
    }
    if (rc == 0 && coat_index_count_outdated(x) > 0)
        return coat_room_enter(room, step, err);
    if (rc == 0 && x->store->options->on_max == COAT_MAX_REFUSE)
        return full(err);
    if (rc == 0) {
        room->phase = ENDING;
        choose(room);
        rc = coat_index_end(x, COAT_LOSS_FAILS, err);
    }
    if (rc < 0)
        return rc;
    coat_attempt_send(&x->attempt, step);
    return 0;
}

/*
 * Whoever finds it full again has lost to a login that succeeded, so it goes on until there is no
 * time for another round like the last one, and for tidying up.
 */
static int is_late(struct coat_room *room, const struct coat_event *event)
{
    int64_t took_ms = room->rounds++ > 0 ? event->monotonic_ms - room->round_ms : 0;
    room->round_ms = event->monotonic_ms;
    return event->deadline_ms - event->monotonic_ms < 2 * took_ms;
}

static int full_came(struct coat_room *room, const struct coat_event *event, struct coat_step *step,
                     struct coat_error *err)
{
    int rc = coat_index_read(&room->index, event->replies, err);
    if (rc < 0)
        return rc;
    if (room->cap == 0 || room->index.count < (size_t)room->cap)
        return coat_attempt_foreign(err);
    if (is_late(room, event))
        return busy(err);
    room->phase = PROBING;
    room->too_old = 0;
    return go_on(room, step, err);
}

/* ---- What comes back ----------------------------------------------------------------------- */

/* A reply to a probe, or to END: is the member's record gone for this principal? -1: it is neither.
 */
static int is_outdated(const struct coat_room *room, size_t i, const struct coat_reply *reply)
{
    if (room->phase != PROBING && coat_index_is_end(reply)) {
        int lived = room->phase == ENDING;
        if (reply->integer > 0)
            coat_index_note_ended(&room->index, i, lived ? "max_sessions" : "not_before");
        if (reply->integer > 0 && lived)
            coat_store_note(room->index.store, COAT_COUNT_EVICTED);
        return 1;
    }
    if (reply->kind != COAT_REPLY_BULK)
        return -1;
    return reply->len <= COAT_HEAD_LEN ||
           coat_index_is_others(&room->index, reply->bytes + COAT_HEAD_LEN,
                                reply->len - COAT_HEAD_LEN);
}

/*
 * Created before `not_before`: nobody can load it here, so it must not take the place of a session
 * that somebody can. But a process with another `not_before` can, so it is ended before it leaves.
 */
static int is_too_old(const struct coat_room *room, const struct coat_reply *reply)
{
    struct coat_record record;
    return room->phase == PROBING &&
           coat_record_parse(&record, reply->bytes, reply->len, NULL) == 0 &&
           coat_session_too_old(room->index.store, &record.head);
}

static int pieces_came(struct coat_room *room, const struct coat_event *event,
                       struct coat_step *step, struct coat_error *err)
{
    for (size_t i = 0; i < room->index.piece_count; i++) {
        int outdated = is_outdated(room, i, &event->replies[i]);
        if (outdated < 0)
            return coat_attempt_foreign(err);
        struct coat_member *member = coat_index_member(&room->index, i);
        member->outdated |= outdated;
        member->asked = !outdated && is_too_old(room, &event->replies[i]);
        room->too_old += (size_t)member->asked;
    }
    return go_on(room, step, err);
}

static int is_entered(const struct coat_reply *reply)
{
    static const char ENTERED[] = "ENTERED";
    return reply->kind == COAT_REPLY_STATUS && reply->len == sizeof ENTERED - 1 &&
           memcmp(reply->bytes, ENTERED, reply->len) == 0;
}

int coat_room_take(struct coat_room *room, const struct coat_event *event, struct coat_step *step,
                   struct coat_error *err)
{
    int rc = coat_attempt_take(&room->index.attempt, event, step, err);
    if (rc <= 0)
        return rc;
    if (room->phase != ENTERING)
        return pieces_came(room, event, step, err);
    if (event->replies->kind == COAT_REPLY_ARRAY)
        return full_came(room, event, step, err);
    if (!is_entered(event->replies))
        return coat_attempt_foreign(err);
    rc = coat_attempt_confirmed(&room->index.attempt, event, err);
    return rc < 0 ? rc : 1;
}
