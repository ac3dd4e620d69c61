/*
 * Several requests at once, against a small Redis in memory, under schedules drawn from a seed:
 * commands are lost before or after they were carried out, or arrive long after everybody gave
 * them up; keys end by themselves or lose their TTL. After every command the promises of
 * docs/protocol.md are compared with what the requests were told:
 *
 *   - what was acknowledged is there, what was refused never comes, deletions included
 *   - a session that is gone stays gone
 *   - at most one of its ids works, and nobody saves with one that does not
 *   - a principal is written once, and no key is without a TTL
 *   - a session with a principal is in its index as long as it works, and as many work at once as
 *     max_sessions allows; whoever ends all of them ends each that was acknowledged before
 *   - each update that was acknowledged counts once, whatever else is saved
 *   - whoever holds a lock saves with its token, and no token is granted twice
 *   - a renewal ends no id before the new one was presented
 *
 * Each request writes a field of its own, so nobody may ever change it but its owner.
 * COAT_TEST_SEEDS says how many schedules to run.
 */
#include "small_redis.h"

static struct key *key_of(struct world *w, const struct client *client)
{
    return find_key(w, client->s->keys.record, client->s->keys.len);
}

/* ---- What must hold, always ----------------------------------------------------------------- */

static unsigned char stored_value(const struct key *key, int client)
{
    char name = (char)('a' + client);
    struct coat_doc *doc = stored_fields(&key->rec);
    const void *bytes;
    size_t len;
    unsigned char value = 0;
    if (coat_doc_get(doc, &name, 1, &bytes, &len))
        value = *(const unsigned char *)bytes;
    coat_doc_free(doc);
    return value;
}

static const char COUNTER = 'n';

static int stored_count(const struct key *key)
{
    return stored_value(key, COUNTER - 'a');
}

/* Those of requests that were not told yet may be among them. */
static void check_count(struct world *w, struct key *key)
{
    int under_way = 0, count = stored_count(key);
    for (int c = 0; c < CLIENTS; c++)
        under_way += w->clients[c].busy && w->clients[c].doing == COAT_OP_UPDATE &&
                     key_of(w, &w->clients[c]) == key;
    holds(w, count >= key->counted, "an update that was acknowledged is lost");
    holds(w, count <= key->counted + key->maybe_counted + under_way, "an update counts twice");
}

static void check_fields(struct world *w, const struct key *key)
{
    for (int c = 0; c < CLIENTS; c++) {
        unsigned char value = stored_value(key, c);
        int right = value == key->acknowledged[c];
        for (size_t i = 0; i < key->tried_count[c]; i++)
            right |= value == key->tried[c][i];
        holds(w, right, "a field is neither what was acknowledged nor what may have landed");
    }
}

static void check_ids(struct world *w, const struct key *key)
{
    int working = 0;
    for (size_t i = 0; i < w->id_count; i++)
        working += w->ids[i].key == key && opens(w, key, &w->ids[i].sid);
    holds(w, working <= (w->options.renew_s ? 2 : 1), "too many ids of a session work");
    holds(w, working >= 1 || key->rotation_unknown, "no id of a session works");
}

/* Of those whose id somebody has. */
static void check_index(struct world *w)
{
    int64_t working = 0;
    for (size_t i = 0; i < w->key_count; i++) {
        const struct key *key = &w->keys[i];
        if (!key->there || !key->known || !has_principal(key))
            continue;
        holds(w, key->indexed, "a session that works is not in the index");
        working++;
    }
    holds(w, w->options.max_sessions == 0 || working <= w->options.max_sessions,
          "more sessions work than are allowed");
}

static void check_world(struct world *w)
{
    check_index(w);
    for (size_t i = 0; i < w->key_count; i++)
        if (w->keys[i].there && w->keys[i].known) {
            check_fields(w, &w->keys[i]);
            check_ids(w, &w->keys[i]);
            check_count(w, &w->keys[i]);
        }
}

/* ---- The network ---------------------------------------------------------------------------- */

static void delay(struct world *w, const struct coat_command *command, const struct coat_sid *held)
{
    if (w->late_count == LATE)
        return; /* lost instead */
    if (command->count > COAT_ATTEMPT_ARGS)
        return;
    struct late *late = &w->late[w->late_count++];
    late->count = command->count;
    late->held = *held;
    for (size_t i = 0; i < command->count; i++)
        late->args[i] = stored_copy(command->args[i]);
}

static void arrive_late(struct world *w)
{
    if (w->late_count == 0)
        return;
    size_t which = draw(w, (unsigned)w->late_count);
    struct late *late = &w->late[which];
    struct coat_arg args[COAT_ATTEMPT_ARGS];
    for (size_t i = 0; i < late->count; i++)
        args[i] = (struct coat_arg){late->args[i].bytes, late->args[i].len};
    run(w, &(struct coat_command){.args = args, .count = late->count}, &late->held);
    *late = w->late[--w->late_count];
}

/* The event that a send of a client leads to. The first command alone can be late or lost. */
static struct coat_event transmit(struct world *w, const struct coat_step *sent,
                                  const struct coat_sid *held, struct coat_reply replies[KEYS])
{
    static const struct coat_error WHY = {.code = COAT_EUNAVAILABLE, .text = "connection reset"};
    enum { DELIVERED = 12, NOT_SENT, NOT_ARRIVED, NOT_ANSWERED, DELAYED, FATES };
    const struct coat_command *commands = sent->commands;
    struct coat_event event = {.kind = COAT_EVENT_LOST, .why = &WHY, .final = draw(w, 6) == 0};
    unsigned fate = draw(w, FATES);
    event.maybe_sent = fate != NOT_SENT;
    w->done[UNCLEAR] += event.maybe_sent && fate > DELIVERED;
    if (fate == DELAYED)
        delay(w, commands, held);
    if (fate <= DELIVERED || fate == NOT_ANSWERED)
        for (size_t i = 0; i < sent->count; i++)
            replies[i] = run(w, &commands[i], held);
    if (fate <= DELIVERED)
        event = (struct coat_event){
            .kind = COAT_EVENT_REPLIES, .replies = replies, .count = sent->count};
    return event;
}

/* ---- The requests --------------------------------------------------------------------------- */

static void step(struct world *w, struct client *client, struct coat_event event)
{
    struct coat_error err;
    event.now_ms = event.monotonic_ms = w->now_ms;
    event.deadline_ms = w->now_ms + (draw(w, 8) ? 1000 : 0);
    client->s->op.step(&client->s->op, &event, &client->step, &err);
}

static void start(struct world *w, struct client *client, enum coat_session_op which)
{
    client->busy = 1;
    client->doing = which;
    coat_session_op(client->s, which);
    step(w, client, (struct coat_event){.kind = COAT_EVENT_START});
}

/* Its field gets another value, or is deleted. */
static void change(struct world *w, int c)
{
    struct client *client = &w->clients[c];
    struct coat_doc *doc = coat_session_doc(client->s);
    char name = (char)('a' + c);
    w->counter = (unsigned char)(w->counter % 120 + 1);
    client->value = w->counter % 4 == 0 ? 0 : w->counter;
    if (client->value)
        assert_int_equal(coat_doc_set(doc, &name, 1, &client->value, 1, NULL), 0);
    else
        assert_true(coat_doc_delete(doc, &name, 1, NULL) >= 0);
}

static void begin_save(struct world *w, int c)
{
    struct client *client = &w->clients[c];
    struct key *key = coat_session_id(client->s) ? key_of(w, client) : NULL;
    client->changes_id = client->s->pending.rotate || client->s->pending.login[0];
    client->changed = coat_doc_modified(coat_session_doc(client->s));
    if (key && client->changed) {
        if (key->tried_count[c] == TRIED)
            key->tried_count[c]--; /* a schedule that is that unlucky proves less */
        key->tried[c][key->tried_count[c]++] = client->value;
    }
    if (key)
        key->rotation_unknown |= client->changes_id;
    memcpy(client->held, client->s->id, sizeof client->held);
    start(w, client, COAT_OP_SAVE);
}

static void begin_request(struct world *w, int c)
{
    struct client *client = &w->clients[c];
    if (w->id_count == 0 || draw(w, 8) == 0) {
        assert_int_equal(coat_session_new(&w->store, &client->s, NULL), 0);
        return;
    }
    size_t newest = w->id_count < 6 ? w->id_count : 6; /* the others have ended, mostly */
    const char *id = w->ids[w->id_count - 1 - draw(w, (unsigned)newest)].text;
    assert_int_equal(coat_session_for_id(&w->store, id, COAT_SID_LEN, &client->s, NULL), 1);
    start(w, client, draw(w, 3) ? COAT_OP_LOAD : COAT_OP_LOCK);
}

/* It reads the counter, and writes it with one more. */
static void count_on(struct world *w, struct client *client)
{
    struct coat_doc *doc = coat_session_doc(client->s);
    const void *bytes;
    size_t len;
    unsigned char n = 0;
    if (coat_doc_get(doc, &COUNTER, 1, &bytes, &len))
        n = *(const unsigned char *)bytes;
    assert_true(n++ < 127);
    assert_int_equal(coat_doc_set(doc, &COUNTER, 1, &n, 1, NULL), 0);
    start(w, client, COAT_OP_UPDATE);
}

static void end_request(struct client *client)
{
    coat_session_close(client->s);
    memset(client, 0, sizeof *client);
}

static void begin_operation(struct world *w, int c)
{
    struct client *client = &w->clients[c];
    unsigned what = draw(w, 20);
    if (!client->s) {
        begin_request(w, c);
    } else if (what < 2) {
        end_request(client);
    } else if (what < 3) {
        start(w, client, COAT_OP_DESTROY);
    } else if (client->s->lock.held && draw(w, 2)) {
        start(w, client, COAT_OP_UNLOCK);
    } else if (what >= 16 && coat_session_id(client->s) && !coat_session_modified(client->s)) {
        memcpy(client->held, client->s->id, sizeof client->held);
        count_on(w, client);
    } else {
        if (what < 5)
            assert_int_equal(coat_session_rotate(client->s, NULL), 0);
        else if (what < 7)
            assert_int_equal(coat_session_login(client->s, "u", NULL, 0, NULL), 0);
        if (!client->uncertain)
            change(w, c);
        begin_save(w, c);
    }
}

static void remember_id(struct world *w, const struct coat_session *s, const struct key *key)
{
    assert_true(w->id_count < IDS);
    memcpy(w->ids[w->id_count].text, s->id, sizeof s->id);
    w->ids[w->id_count].sid = s->sid;
    w->ids[w->id_count++].key = key;
}

/* The client was told that it is stored, under this id. */
static void acknowledged(struct world *w, int c)
{
    struct client *client = &w->clients[c];
    if (!coat_session_id(client->s))
        return;
    struct key *key = key_of(w, client);
    int is_new = !key->known;
    assert_non_null(key);
    if (strcmp(client->held, client->s->id) != 0) /* what it was held with before */
        remember_id(w, client->s, key);
    if (is_new)
        for (int other = 0; other < CLIENTS; other++)
            key->acknowledged[other] = stored_value(key, other);
    if (is_new)
        key->counted = stored_count(key);
    key->known = 1;
    if (client->changed) {
        key->acknowledged[c] = client->value;
        key->tried_count[c] = 0;
    }
    if (client->changes_id)
        key->rotation_unknown = 0;
}

static void saved(struct world *w, int c, int rc)
{
    struct client *client = &w->clients[c];
    struct key *key = coat_session_id(client->s) ? key_of(w, client) : NULL;
    holds(w,
          rc == 0 || rc == COAT_EGONE || rc == COAT_EREPLACED || rc == COAT_EUNCERTAIN ||
              rc == COAT_EUNAVAILABLE || rc == COAT_ETOOMANY || rc == COAT_EBUSY ||
              (rc == COAT_ELOCKLOST && client->s->lock.held),
          "a save ends in an unexpected way");
    if (rc == 0)
        acknowledged(w, c);
    else if (key && client->changed && rc != COAT_EUNCERTAIN && key->tried_count[c] > 0)
        key->tried_count[c]--; /* it was told that this one has not landed, and never will */
    client->uncertain = rc == COAT_EUNCERTAIN;
    if (rc == COAT_ELOCKLOST || (rc < 0 && draw(w, 2)))
        end_request(client); /* else it tries again, with what it has changed */
}

static void updated(struct world *w, struct client *client, int rc)
{
    struct key *key = key_of(w, client);
    if (rc == COAT_ECONFLICT) {
        count_on(w, client);
        return;
    }
    key->counted += rc == 0;
    key->maybe_counted += rc == COAT_EUNCERTAIN;
    if (rc == 0 && strcmp(client->held, client->s->id) != 0)
        remember_id(w, client->s, key);
    if (rc < 0)
        end_request(client);
}

static void destroyed(struct world *w, int c, int rc, const char *key_name, size_t key_len)
{
    struct key *key = key_len ? find_key(w, key_name, key_len) : NULL;
    if (rc >= 0 && key)
        holds(w, !key->there, "a session is there after its logout has returned");
    end_request(&w->clients[c]);
}

static void finish(struct world *w, int c)
{
    struct client *client = &w->clients[c];
    int rc = client->step.rc;
    client->busy = 0;
    w->changed = 1;
    w->done[client->doing] += rc >= 0;
    if (client->doing == COAT_OP_SAVE)
        saved(w, c, rc);
    else if (client->doing == COAT_OP_UPDATE)
        updated(w, client, rc);
    else if (client->doing == COAT_OP_UNLOCK)
        return;
    else if (client->doing == COAT_OP_DESTROY)
        destroyed(w, c, rc, client->s->keys.record, client->s->keys.len);
    else if (rc <= 0 || (rc == 2 && draw(w, 2)))
        end_request(client);
}

/* ---- Whoever ends all ----------------------------------------------------------------------- */

static void step_ending(struct world *w, struct coat_event event)
{
    struct coat_op *op = coat_index_op(w->ending);
    event.now_ms = w->now_ms;
    op->step(op, &event, &w->ending_step, NULL);
}

static void begin_ending(struct world *w)
{
    assert_int_equal(coat_index_op_new(&w->ending, &w->store, COAT_INDEX_END_ALL, "u", NULL, NULL),
                     0);
    for (size_t i = 0; i < w->key_count; i++)
        w->keys[i].doomed = w->keys[i].there && w->keys[i].known && has_principal(&w->keys[i]);
    step_ending(w, (struct coat_event){.kind = COAT_EVENT_START});
}

static void end_ending(struct world *w)
{
    if (w->ending_step.rc >= 0)
        for (size_t i = 0; i < w->key_count; i++)
            holds(w, !w->keys[i].doomed || !w->keys[i].there,
                  "a session is there after all of its principal's have been ended");
    w->done[ALL_ENDED] += w->ending_step.rc >= 0;
    coat_index_op_free(w->ending);
    w->ending = NULL;
}

/* Begin, go on, or be killed. */
static void go_on_ending(struct world *w)
{
    static const struct coat_sid NOBODY;
    struct coat_reply replies[KEYS];
    if (!w->ending) {
        if (draw(w, 12) == 0)
            begin_ending(w);
    } else if (w->ending_step.kind == COAT_STEP_DONE) {
        end_ending(w);
    } else if (draw(w, 40) == 0) {
        coat_index_op_free(w->ending);
        w->ending = NULL;
    } else {
        step_ending(w, transmit(w, &w->ending_step, &NOBODY, replies));
    }
}

/* ---- Schedules ------------------------------------------------------------------------------ */

static void strike(struct world *w)
{
    struct key *key = w->key_count ? &w->keys[draw(w, (unsigned)w->key_count)] : NULL;
    if (key && draw(w, 3) == 0)
        key->locked = 0;
    else if (key && draw(w, 2))
        key->has_ttl = 0;
    else if (key && draw(w, 4) == 0)
        key->there = 0;
}

/* Another request has the lock. */
static void wait_on(struct world *w, struct client *client)
{
    static const struct coat_error WHY = {.code = COAT_ETIMEOUT, .text = "too late"};
    struct coat_event event = {.kind = COAT_EVENT_TIMER};
    if (draw(w, 8) == 0)
        event = (struct coat_event){.kind = COAT_EVENT_LOST, .final = 1, .why = &WHY};
    step(w, client, event);
}

static void check_token(struct world *w, const struct client *client)
{
    const struct coat_command *command = client->step.commands;
    if (is_script(command->args, &coat_script_save))
        holds(w, (command->count > SAVE_TOKEN) == client->s->lock.held,
              "a save under a lock does not say so");
}

static void run_schedule(struct world *w)
{
    for (int i = 0; i < STEPS && w->key_count < KEYS - CLIENTS && w->id_count < IDS - 1; i++) {
        int c = (int)draw(w, CLIENTS);
        struct client *client = &w->clients[c];
        w->now_ms += draw(w, 500);
        if (draw(w, 10) == 0)
            arrive_late(w);
        else if (draw(w, 60) == 0)
            strike(w);
        else if (draw(w, 10) == 0)
            go_on_ending(w);
        else if (!client->busy)
            begin_operation(w, c);
        else if (client->step.kind == COAT_STEP_DONE)
            finish(w, c);
        else if (client->step.kind == COAT_STEP_WAIT)
            wait_on(w, client);
        else {
            struct coat_reply replies[KEYS];
            check_token(w, client);
            step(w, client, transmit(w, &client->step, &client->s->sid, replies));
        }
        if (w->changed)
            check_world(w);
        w->changed = 0;
    }
}

static void req_21_24_64_promises_hold_under_every_schedule(void **state)
{
    (void)state;
    static struct world w;
    unsigned done[DONE_KINDS] = {0};
    const char *wanted = getenv("COAT_TEST_SEEDS");
    unsigned seeds = wanted ? (unsigned)strtoul(wanted, NULL, 10) : SEEDS;
    for (unsigned seed = 1; seed <= seeds; seed++) {
        static const struct coat_limits LIMITS = COAT_LIMITS_DEFAULT;
        memset(&w, 0, sizeof w);
        w.options = (struct coat_options){.prefix = (char *)PREFIX,
                                          .idle_s = 1800,
                                          .lifetime_s = 43200,
                                          .stale_ms = 30000,
                                          .timeout_ms = 1000,
                                          .lock_ttl_ms = 30000,
                                          .renew_s = seed % 3 == 0 ? 5 : 0,
                                          .grace_ms = 5000,
                                          .touch_below = 0.9,
                                          .max_sessions = seed % 4, /* 0: any number */
                                          .on_max = seed % 8 < 4 ? COAT_MAX_EVICT : COAT_MAX_REFUSE,
                                          .limits = LIMITS};
        w.store.options = &w.options;
        w.seed = seed;
        w.random = seed * UINT64_C(0x9e3779b97f4a7c15);
        w.now_ms = NOW_MS;
        run_schedule(&w);
        for (int c = 0; c < CLIENTS; c++)
            coat_session_close(w.clients[c].s);
        coat_index_op_free(w.ending);
        for (int i = 0; i < DONE_KINDS; i++)
            done[i] += w.done[i];
    }
    for (int i = 0; i < DONE_KINDS; i++)
        assert_true(2 * done[i] >= seeds); /* or the schedules prove nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(req_21_24_64_promises_hold_under_every_schedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
