#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "bench/contender.h"
#include "coat_session.h"
#include "coat_stats.h"
#include "sid.h"

struct sessions {
    struct contender base;
    struct coat_store *store;
    const char *prefix;
    char (*ids)[COAT_SID_LEN + 1]; /* of those that are prepared */
};

static struct sessions *of(struct contender *c)
{
    return (struct sessions *)c;
}

/* ---- Operations ----------------------------------------------------------------------------- */

/* 0 and *out; CONTENDER_MISSING; or a failure. */
static int load(struct sessions *s, uint64_t n, struct coat_session **out, struct coat_error *err)
{
    int rc = coat_store_load(s->store, s->ids[n], out, err);
    if (rc == 1)
        return 0;
    coat_session_close(*out);
    *out = NULL;
    return rc < 0 ? rc : CONTENDER_MISSING;
}

/* As a request that changes nothing: the save at its end costs something only when the idle clock
 * is to be renewed. */
static int read_one(struct sessions *s, uint64_t n, struct coat_error *err)
{
    struct coat_session *session;
    struct coat_cursor cursor;
    int rc = load(s, n, &session, err);
    if (rc != 0)
        return rc;
    rc = coat_doc_cursor(coat_session_doc(session), PAYLOAD_COUNTER, &cursor)
             ? coat_session_save(session, err)
             : CONTENDER_MISSING;
    coat_session_close(session);
    return rc;
}

static int set_last(struct coat_doc *doc, unsigned thread, struct coat_error *err)
{
    struct coat_packer packer;
    coat_packer_init(&packer, NULL);
    coat_pack_int(&packer, thread);
    int rc = coat_doc_put(doc, "last", &packer, err);
    coat_packer_release(&packer);
    return rc;
}

static int write_one(struct sessions *s, const struct choice *choice, struct coat_error *err)
{
    struct coat_session *session;
    int rc = load(s, choice->which[0], &session, err);
    if (rc != 0)
        return rc;
    struct coat_doc *doc = coat_session_doc(session);
    rc = coat_doc_add(doc, PAYLOAD_COUNTER, strlen(PAYLOAD_COUNTER), 1, err);
    if (rc == 0 && s->base.plan->work == WORK_CONFLICT)
        rc = set_last(doc, choice->thread, err);
    if (rc == 0)
        rc = coat_session_save(session, err);
    coat_session_close(session);
    return rc;
}

/* Saved once without anybody, as a site does before it knows who this is. */
static int save_new(struct sessions *s, struct draw *draw, struct coat_session **out,
                    struct coat_error *err)
{
    int rc = coat_session_new(s->store, out, err);
    if (rc == 0)
        rc = payload_fill(s->base.payload, draw, coat_session_doc(*out), err);
    return rc < 0 ? rc : coat_session_save(*out, err);
}

static int log_in_and_out(struct sessions *s, const struct choice *choice, struct coat_error *err)
{
    struct coat_session *session = NULL;
    char principal[32];
    snprintf(principal, sizeof principal, "user:%llu", (unsigned long long)choice->which[0]);
    int rc = save_new(s, choice->draw, &session, err);
    if (rc == 0)
        rc = coat_session_login(session, principal, NULL, 0, err);
    if (rc == 0)
        rc = coat_session_save(session, err);
    if (rc == 0)
        rc = coat_session_destroy(session, err);
    coat_session_close(session);
    return rc < 0 ? rc : 0;
}

/* ---- The contender -------------------------------------------------------------------------- */

static int operate(struct contender *c, const struct choice *choice, struct coat_error *err)
{
    struct sessions *s = of(c);
    switch (c->plan->work) {
    case WORK_LOGIN:
        return log_in_and_out(s, choice, err);
    case WORK_READ:
        return read_one(s, choice->which[0], err);
    case WORK_MIXED:
        return choice->kind == 0 ? read_one(s, choice->which[0], err) : write_one(s, choice, err);
    default:
        return write_one(s, choice, err);
    }
}

static int prepare(struct contender *c, uint64_t n, struct coat_error *err)
{
    struct sessions *s = of(c);
    struct coat_session *session = NULL;
    struct draw draw;
    draw_seed(&draw, c->plan->seed, n);
    int rc = save_new(s, &draw, &session, err);
    if (rc == 0)
        memcpy(s->ids[n], coat_session_id(session), sizeof s->ids[n]);
    coat_session_close(session);
    return rc;
}

static int find_round_trips(void *context, const struct coat_sample *sample)
{
    if (strcmp(sample->metric->name, "coatcheck_round_trips_total") != 0)
        return 0;
    *(uint64_t *)context = (uint64_t)sample->value;
    return 1;
}

uint64_t contender_store_round_trips(struct coat_store *store)
{
    uint64_t found = 0;
    coat_store_stats(store, find_round_trips, &found);
    return found;
}

static uint64_t round_trips(struct contender *c)
{
    return contender_store_round_trips(of(c)->store);
}

static uint64_t conflicts(struct contender *c)
{
    return coat_store_count(of(c)->store, COAT_COUNT_CONFLICT);
}

static int key_of(struct contender *c, uint64_t n, char *key, size_t *len, struct coat_error *err)
{
    struct sessions *s = of(c);
    struct coat_sid sid;
    struct coat_keys keys;
    if (!coat_sid_read(&sid, s->ids[n], COAT_SID_LEN))
        return coat_error_set(err, COAT_EUSAGE, "that session was not prepared");
    int rc = coat_keys_make(&keys, s->prefix, &sid, err);
    if (rc == 0) {
        memcpy(key, keys.record, keys.len);
        *len = keys.len;
    }
    return rc;
}

static void close_sessions(struct contender *c)
{
    struct sessions *s = of(c);
    coat_store_close(s->store);
    free(s->ids);
    free(s);
}

int contender_of_sessions(struct contender **out, const struct plan *plan,
                          const struct payload *payload, struct coat_error *err)
{
    struct sessions *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return coat_error_nomem(err);
    s->base = (struct contender){.name = "coatcheck",
                                 .plan = plan,
                                 .payload = payload,
                                 .count = plan->work == WORK_LOGIN ? 1 : plan->sessions,
                                 .prepare = prepare,
                                 .operate = operate,
                                 .round_trips = round_trips,
                                 .conflicts = conflicts,
                                 .key = key_of,
                                 .close = close_sessions};
    s->prefix = plan_prefix(plan);
    s->ids = calloc(s->base.count, sizeof *s->ids);
    int rc = s->ids ? coat_store_open(&s->store, plan->options, err) : coat_error_nomem(err);
    if (rc < 0) {
        close_sessions(&s->base);
        return rc;
    }
    *out = &s->base;
    return 0;
}

int contender_lost_updates(struct contender *c, uint64_t succeeded, int64_t *lost,
                           struct coat_error *err)
{
    struct coat_session *session;
    struct coat_cursor cursor;
    struct coat_item item;
    int rc = load(of(c), 0, &session, err);
    if (rc != 0)
        return rc;
    if (!coat_doc_cursor(coat_session_doc(session), PAYLOAD_COUNTER, &cursor) ||
        !coat_cursor_next(&cursor, &item) || item.kind != COAT_INT)
        rc = CONTENDER_MISSING;
    else
        *lost = (int64_t)succeeded - item.i;
    coat_session_close(session);
    return rc;
}
