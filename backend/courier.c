#include "api/courier.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/buf.h"
#include "api/error.h"
#include "api/fault.h"
#include "attempt.h"
#include "clock.h"
#include "cluster.h"
#include "node.h"
#include "redis.h"
#include "refusal.h"
#include "store.h"
#include "topology.h"

#define REDIRECTS_AT_ONCE 4  /* followed without a pause */
#define REDIRECTS_MAX     16 /* of one step of the operation */
#define PAUSE_MS          10 /* the first pause; each next is twice as long, up to: */
#define PAUSE_MAX_MS      160

/* Whose turn it is: ours, or that of who has the last hop. */
enum { NEW, OURS, ASKED, SENT, PAUSED, WAITS, FINISHED };

/* ---- Init and release ----------------------------------------------------------------------- */

void coat_courier_init(struct coat_courier *c, struct coat_redis *redis, struct coat_op *op,
                       const struct coat_courier_options *options)
{
    /* What stands behind is as large again, and is written for each step before it is read. */
    memset(c, 0, offsetof(struct coat_courier, inline_parcels));
    c->topology = redis->topology;
    c->op = op;
    c->deadline_ms = options->deadline_ms;
    c->verify = options->verify;
    c->state = NEW;
    c->room = COAT_COURIER_INLINE;
    c->parcels = c->inline_parcels;
    c->commands = c->inline_commands;
    c->replies = c->inline_replies;
}

int64_t coat_courier_begin(struct coat_courier *c, struct coat_store *store, struct coat_op *op,
                           int64_t timeout_ms)
{
    struct coat_courier_options options = {.verify = store->options->verify};
    options.deadline_ms =
        coat_monotonic_ms() + (timeout_ms ? timeout_ms : store->options->timeout_ms);
    coat_courier_init(c, store->redis, op, &options);
    c->stats = &store->stats;
    c->begun_us = coat_monotonic_us();
    return options.deadline_ms;
}

static void leave_node(struct coat_courier *c)
{
    if (c->node)
        coat_node_release(c->node);
    c->node = NULL;
}

static void drop_redirect(struct coat_parcel *p)
{
    if (p->node)
        coat_node_release(p->node);
    p->node = NULL;
    p->asking = 0;
}

static void drop_parcels(struct coat_courier *c)
{
    for (size_t i = 0; i < c->count; i++) {
        drop_redirect(&c->parcels[i]);
        free(c->parcels[i].reply);
    }
    c->count = 0;
}

static void free_room(struct coat_courier *c)
{
    if (c->parcels != c->inline_parcels) {
        free(c->parcels);
        free(c->commands);
        free(c->replies);
    }
    c->room = 0;
    c->parcels = NULL;
    c->commands = NULL;
    c->replies = NULL;
}

void coat_courier_release(struct coat_courier *c)
{
    if (c->stats && c->state != FINISHED)
        coat_stats_abandoned(c->stats, c->op->kind, coat_monotonic_us() - c->begun_us);
    c->stats = NULL;
    leave_node(c);
    drop_parcels(c);
    free_room(c);
}

/* ---- The operation -------------------------------------------------------------------------- */

/* What four commands for each parcel take is more than each of the three below. */
#define PARCELS_MAX (PTRDIFF_MAX / (4 * sizeof(struct coat_command)))
_Static_assert(sizeof(struct coat_parcel) <= 3 * sizeof(struct coat_command) &&
                   sizeof(struct coat_reply) <= 3 * sizeof(struct coat_command),
               "so many parcels, and as many replies, have a size, too");

/* Room for the parcels of a step. */
static int make_room(struct coat_courier *c, size_t count, struct coat_error *err)
{
    if (count <= c->room)
        return 0;
    if (count > PARCELS_MAX)
        return coat_error_nomem(err);
    free_room(c);
    c->parcels = calloc(count, sizeof *c->parcels);
    c->commands = calloc(2 * count + COAT_COURIER_EXTRA, sizeof *c->commands);
    c->replies = calloc(count, sizeof *c->replies);
    if (!c->parcels || !c->commands || !c->replies) {
        free_room(c);
        return coat_error_nomem(err);
    }
    c->room = count;
    return 0;
}

static void finish(struct coat_courier *c, int rc, struct coat_hop *hop)
{
    *hop = (struct coat_hop){.kind = COAT_HOP_DONE, .rc = rc, .close = c->close};
    c->state = FINISHED;
    if (c->stats)
        coat_stats_ended(c->stats, c->op->kind, rc, coat_monotonic_us() - c->begun_us);
}

static void tell(struct coat_courier *c, struct coat_event event, struct coat_hop *hop,
                 struct coat_error *err);

/* The operation itself wants to wait. */
static void let_wait(struct coat_courier *c, struct coat_hop *hop, struct coat_error *err)
{
    struct coat_error why;
    if (c->step.until_ms < c->deadline_ms) {
        *hop = (struct coat_hop){
            .kind = COAT_HOP_WAIT, .until_ms = c->step.until_ms, .close = c->close};
        c->state = WAITS;
        return;
    }
    coat_error_because(&why, COAT_ETIMEOUT, "timeout",
                       "the time for the call is over before it could finish");
    tell(c, (struct coat_event){.kind = COAT_EVENT_LOST, .final = 1, .why = &why}, hop, err);
}

/* Tell the operation what happened, and begin with what it wants next. */
static void tell(struct coat_courier *c, struct coat_event event, struct coat_hop *hop,
                 struct coat_error *err)
{
    struct coat_error nomem;
    event.now_ms = c->now_ms;
    event.monotonic_ms = c->monotonic_ms;
    event.deadline_ms = c->deadline_ms;
    c->op->step(c->op, &event, &c->step, err);
    drop_parcels(c);
    if (c->step.kind == COAT_STEP_WAIT && !event.final) {
        let_wait(c, hop, err);
    } else if (c->step.kind == COAT_STEP_DONE) {
        c->close |= c->step.close;
        finish(c, c->step.rc, hop);
    } else if (event.final) { /* it should not have asked: the answer is the same */
        if (err)
            *err = *event.why;
        finish(c, event.why->code, hop);
    } else if (make_room(c, c->step.count, &nomem) < 0) {
        tell(c, (struct coat_event){.kind = COAT_EVENT_LOST, .final = 1, .why = &nomem}, hop, err);
    } else {
        c->count = c->step.count;
        memset(c->parcels, 0, c->count * sizeof *c->parcels); /* of the step before, or never set */
        c->redirects = c->pauses = c->answered = 0;
        c->confirmed = INT64_MAX;
        c->why.code = 0;
        c->state = OURS;
    }
}

/* The step cannot be brought to its end. What was sent of it again was never carried out. */
static void give_up(struct coat_courier *c, const struct coat_error *why, struct coat_hop *hop,
                    struct coat_error *err)
{
    tell(c,
         (struct coat_event){
             .kind = COAT_EVENT_LOST, .maybe_sent = c->answered, .final = 1, .why = why},
         hop, err);
}

/* What went wrong is what the caller hears in the end, unless what did before tells more. */
static void note(struct coat_courier *c, const struct coat_error *why)
{
    if (!c->why.code || coat_fault_tells(why) >= coat_fault_tells(&c->why))
        c->why = *why;
}

/* ---- Pauses --------------------------------------------------------------------------------- */

static void wait_until(struct coat_courier *c, int64_t until_ms, const struct coat_error *why,
                       struct coat_hop *hop, struct coat_error *err)
{
    if (until_ms >= c->deadline_ms) {
        give_up(c, why, hop, err);
        return;
    }
    *hop = (struct coat_hop){.kind = COAT_HOP_WAIT, .until_ms = until_ms, .close = c->close};
    c->state = PAUSED;
}

/* Between half of its length and all of it, so that many callers come back one by one. */
static int64_t pause_ms(struct coat_courier *c)
{
    int64_t longest = c->pauses < 4 ? PAUSE_MS << c->pauses : PAUSE_MAX_MS;
    c->pauses++;
    c->jitter = (c->jitter ^ (unsigned)(uintptr_t)c ^ (unsigned)c->monotonic_ms) * 2654435761u;
    return longest / 2 + 1 + (int64_t)(c->jitter >> 16) % (longest / 2);
}

static void pause_for(struct coat_courier *c, const struct coat_error *why, struct coat_hop *hop,
                      struct coat_error *err)
{
    wait_until(c, c->monotonic_ms + pause_ms(c), why, hop, err);
}

/* ---- Sending -------------------------------------------------------------------------------- */

static void add(struct coat_courier *c, struct coat_command command)
{
    c->commands[c->hop_count++] = command;
}

static int add_nonce(struct coat_courier *c, struct coat_error *err)
{
    struct coat_command ping;
    int rc = coat_nonce_draw(&c->nonce, &ping, err);
    if (rc == 0)
        add(c, ping);
    return rc;
}

/*
 * WAIT waits for the writes of its own connection, so it stands in the pipeline of these. It is
 * given most of the time that is left, so that its answer, too few, still comes in time.
 */
static void add_wait(struct coat_courier *c)
{
    int64_t left_ms = c->deadline_ms - c->monotonic_ms;
    int64_t numbers[2] = {c->step.confirm, left_ms > 4 ? left_ms - left_ms / 4 : 1};
    c->wait[0] = (struct coat_arg){"WAIT", 4};
    for (size_t i = 0; i < 2; i++) {
        char *text = c->wait_numbers[i];
        int len = snprintf(text, sizeof c->wait_numbers[i], "%" PRId64, numbers[i]);
        c->wait[i + 1] = (struct coat_arg){text, (size_t)len};
    }
    add(c, (struct coat_command){.args = c->wait, .count = 3});
}

/* 1 if the replies can be those to the present hop. */
static int fits(const struct coat_courier *c, const struct coat_event *event)
{
    if (event->count != c->hop_count)
        return 0;
    const struct coat_reply *end = event->replies + event->count;
    if (c->has_nonce && !coat_nonce_answers(&c->nonce, --end))
        return 0;
    return !c->has_wait || (--end)->kind == COAT_REPLY_INTEGER || end->kind == COAT_REPLY_ERROR;
}

/* How many replicas have the writes of the present hop; -1: the server did not say. */
static int64_t confirmed(const struct coat_courier *c, const struct coat_event *event)
{
    const struct coat_reply *wait = &event->replies[event->count - 1 - (size_t)c->has_nonce];
    return !c->has_wait ? INT64_MAX : wait->kind == COAT_REPLY_INTEGER ? wait->integer : -1;
}

/*
 * The pipeline that was put together goes to c->node. Sentinels before Redis 7 answer no PING with
 * a text; what they say of the master has to be confirmed by it anyway.
 */
static void send_hop(struct coat_courier *c, int state, struct coat_hop *hop,
                     struct coat_error *err)
{
    struct coat_error why;
    c->has_wait = state == SENT && c->step.confirm > 0;
    if (c->has_wait)
        add_wait(c);
    c->has_nonce = c->verify && !(state == ASKED && coat_topology_asks_sentinels(c->topology));
    if (c->has_nonce && add_nonce(c, &why) < 0) {
        give_up(c, &why, hop, err);
        return;
    }
    *hop = (struct coat_hop){.kind = COAT_HOP_SEND,
                             .node = c->node,
                             .commands = c->commands,
                             .count = c->hop_count,
                             .waits = c->has_wait,
                             .close = c->close};
    if (c->stats)
        coat_stats_round_trip(c->stats);
    c->close = 0;
    c->state = state;
}

static int same_key(struct coat_arg a, struct coat_arg b)
{
    return a.bytes == b.bytes && a.len == b.len;
}

/* The node that a parcel goes to now, counted; NULL: not known. */
static struct coat_node *node_of(struct coat_courier *c, size_t i)
{
    const struct coat_command *command = &c->step.commands[i];
    struct coat_node *node = c->parcels[i].node ? c->parcels[i].node : command->node;
    if (!node)
        return coat_topology_route(c->topology, command->key);
    coat_node_retain(node);
    return node;
}

/* Does it go to the node that the first one goes to? */
static int goes_along(struct coat_courier *c, size_t i, size_t first)
{
    const struct coat_command *commands = c->step.commands;
    if (!c->parcels[i].node && !c->parcels[first].node &&
        commands[i].node == commands[first].node && same_key(commands[i].key, commands[first].key))
        return 1;
    struct coat_node *node = node_of(c, i);
    if (node)
        coat_node_release(node);
    return node == c->node;
}

/* All parcels for the node of the first one that has no answer yet. */
static void pack(struct coat_courier *c, size_t first)
{
    static const struct coat_arg asking = {"ASKING", 6};
    c->hop_count = 0;
    c->whole = first == 0;
    for (size_t i = 0; i < c->count; i++) {
        struct coat_parcel *p = &c->parcels[i];
        p->sent = !p->reply && i >= first && goes_along(c, i, first);
        c->whole &= p->sent && !p->asking;
        if (p->sent && p->asking)
            add(c, (struct coat_command){.args = &asking, .count = 1});
        if (p->sent)
            add(c, c->step.commands[i]);
    }
}

static size_t first_open(const struct coat_courier *c)
{
    size_t i = 0;
    while (i < c->count && c->parcels[i].reply)
        i++;
    return i;
}

static void hand_over(struct coat_courier *c, struct coat_hop *hop, struct coat_error *err)
{
    for (size_t i = 0; i < c->count; i++)
        c->replies[i] = *c->parcels[i].reply;
    tell(c,
         (struct coat_event){.kind = COAT_EVENT_REPLIES,
                             .replies = c->replies,
                             .count = c->count,
                             .confirmed = c->confirmed},
         hop, err);
}

/* Somebody else is asking for the topology, or nobody could tell it. */
static void wait_for_route(struct coat_courier *c, int64_t again_ms, struct coat_hop *hop,
                           struct coat_error *err)
{
    if (!c->why.code)
        coat_error_because(&c->why, COAT_ETIMEOUT, "timeout",
                           "no node could be found in time that serves the key");
    wait_until(c, again_ms, &c->why, hop, err);
}

static void deliver(struct coat_courier *c, int64_t again_ms, struct coat_hop *hop,
                    struct coat_error *err)
{
    size_t first = first_open(c);
    leave_node(c);
    if (first == c->count) {
        hand_over(c, hop, err);
        return;
    }
    c->node = node_of(c, first);
    if (!c->node) {
        wait_for_route(c, again_ms, hop, err);
        return;
    }
    pack(c, first);
    send_hop(c, SENT, hop, err);
}

/* ---- Asking for the topology ---------------------------------------------------------------- */

static void ask(struct coat_courier *c, struct coat_hop *hop, struct coat_error *err)
{
    leave_node(c);
    c->node = coat_topology_contact(c->topology, c->contact);
    c->hop_count = 0;
    if (c->node) {
        add(c, coat_topology_question(c->topology, c->question));
        send_hop(c, ASKED, hop, err);
        return;
    }
    /* Nobody could tell. What was known may still hold. */
    size_t first = first_open(c);
    struct coat_node *known = first < c->count ? node_of(c, first) : NULL;
    if (known) {
        coat_node_release(known);
        deliver(c, 0, hop, err);
    } else if (c->hopeful) {
        pause_for(c, &c->why, hop, err);
    } else {
        coat_topology_unanswered(c->topology);
        give_up(c, &c->why, hop, err);
    }
}

static void answered_question(struct coat_courier *c, const struct coat_event *event,
                              struct coat_hop *hop, struct coat_error *err)
{
    struct coat_error why;
    int rc;
    if (event->kind == COAT_EVENT_LOST) {
        why = *event->why;
        rc = why.code;
    } else if (!fits(c, event)) {
        rc = coat_attempt_foreign(&why);
        c->close = 1;
    } else {
        rc = coat_topology_learn(c->topology, c->node, event->replies, &why);
    }
    if (rc == 0) {
        c->why.code = 0;
        c->state = OURS;
    } else if (rc == COAT_ENOMEM) {
        give_up(c, &why, hop, err);
    } else if (rc == COAT_EINTR) {
        ask(c, hop, err);
    } else {
        note(c, &why);
        c->hopeful |= !coat_fault_lasts(&why);
        c->contact++;
        if (event->kind == COAT_EVENT_LOST && event->final)
            give_up(c, &c->why, hop, err);
        else
            ask(c, hop, err);
    }
}

/* ---- What comes back ------------------------------------------------------------------------ */

enum verdict {
    ANSWER,
    REDIRECT,   /* MOVED, ASK */
    TRY_LATER,  /* keys are on their way between two nodes */
    NOT_SERVING /* the node is none that serves: a replica, one that loads its data, ... */
};

/* A refusal says that the command was not carried out. One server has no other to go to. */
static enum verdict judge(const struct coat_courier *c, const struct coat_reply *reply)
{
    if (reply->kind != COAT_REPLY_ERROR || coat_topology_single(c->topology))
        return ANSWER;
    if (coat_cluster_redirect(reply).kind != COAT_REDIRECT_NONE)
        return REDIRECT;
    if (coat_refusal_is(reply, "TRYAGAIN"))
        return TRY_LATER;
    static const char *const words[] = {"CLUSTERDOWN", "READONLY", "MASTERDOWN", "LOADING"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (coat_refusal_means(reply, words[i]))
            return NOT_SERVING;
    return ANSWER;
}

static int follow(struct coat_courier *c, struct coat_parcel *p, const struct coat_reply *reply,
                  struct coat_error *why)
{
    struct coat_redirect redirect = coat_cluster_redirect(reply);
    struct coat_node *to;
    int rc = coat_topology_node_at(c->topology, &redirect.place, c->node, &to, why);
    drop_redirect(p);
    if (rc < 0)
        return rc;
    p->node = to;
    p->asking = redirect.kind == COAT_REDIRECT_ASK;
    if (redirect.kind == COAT_REDIRECT_MOVED)
        coat_topology_moved(c->topology, redirect.slot, to);
    return coat_error_because(why, COAT_EUNAVAILABLE, p->asking ? "ASK" : "MOVED",
                              "nodes of the cluster sent a command to each other %d times; see "
                              "CLUSTER NODES",
                              REDIRECTS_MAX);
}

/* Connections to a former master are those of a replica: none of them is used again. */
static void distrust(struct coat_courier *c, const struct coat_reply *reply)
{
    if (coat_refusal_means(reply, "READONLY") || coat_refusal_means(reply, "MASTERDOWN"))
        coat_node_drop(c->node);
    coat_topology_doubt(c->topology, c->node, c->monotonic_ms);
}

/* What becomes of one parcel: 0, or COAT_ENOMEM. *why: the reason to send it again. */
static int sort(struct coat_courier *c, struct coat_parcel *p, const struct coat_reply *reply,
                enum verdict verdict, struct coat_error *why)
{
    switch (verdict) {
    case ANSWER:
        drop_redirect(p);
        p->reply = coat_reply_copy(reply);
        c->answered |= p->reply != NULL;
        return p->reply ? 0 : coat_error_nomem(why);
    case REDIRECT:
        return follow(c, p, reply, why) == COAT_ENOMEM ? COAT_ENOMEM : 0;
    case NOT_SERVING:
        distrust(c, reply);
        break;
    case TRY_LATER:
        break;
    }
    drop_redirect(p);
    coat_refusal(reply, why);
    return 0;
}

/* All that were sent with the hop. The worst verdict, or COAT_ENOMEM; *why as sort has it. */
static int sort_all(struct coat_courier *c, const struct coat_event *event, struct coat_error *why)
{
    const struct coat_reply *reply = event->replies;
    int worst = ANSWER, carried_out = 0; /* some of it, here */
    for (size_t i = 0; i < c->count; i++) {
        struct coat_parcel *p = &c->parcels[i];
        if (!p->sent)
            continue;
        reply += p->asking;
        enum verdict verdict = judge(c, reply);
        if (sort(c, p, reply++, verdict, why) < 0)
            return COAT_ENOMEM;
        worst = (int)verdict > worst ? (int)verdict : worst;
        carried_out |= verdict == ANSWER;
    }
    if (carried_out && confirmed(c, event) < c->confirmed)
        c->confirmed = confirmed(c, event);
    return worst;
}

static void foreign(struct coat_courier *c, struct coat_hop *hop, struct coat_error *err)
{
    struct coat_error why;
    coat_attempt_foreign(&why);
    c->close = 1;
    tell(c, (struct coat_event){.kind = COAT_EVENT_LOST, .maybe_sent = 1, .final = 1, .why = &why},
         hop, err);
}

static void replies_came(struct coat_courier *c, const struct coat_event *event,
                         struct coat_hop *hop, struct coat_error *err)
{
    struct coat_error why;
    if (!fits(c, event)) {
        foreign(c, hop, err);
        return;
    }
    for (size_t i = 0; c->whole && i < c->count; i++)
        c->whole = judge(c, &event->replies[i]) == ANSWER;
    if (c->whole) { /* as nearly always: nothing to keep, nothing to copy */
        tell(c,
             (struct coat_event){.kind = COAT_EVENT_REPLIES,
                                 .replies = event->replies,
                                 .count = c->count,
                                 .confirmed = confirmed(c, event)},
             hop, err);
        return;
    }
    int worst = sort_all(c, event, &why);
    c->redirects += worst == REDIRECT;
    c->state = OURS;
    if (worst < 0 || c->redirects > REDIRECTS_MAX)
        give_up(c, &why, hop, err);
    else if (worst > REDIRECT || (worst == REDIRECT && c->redirects > REDIRECTS_AT_ONCE))
        pause_for(c, &why, hop, err);
}

/* What the operation has to know: it was perhaps carried out, or nothing more can be tried. */
static void tell_lost(struct coat_courier *c, const struct coat_event *event, struct coat_hop *hop,
                      struct coat_error *err)
{
    struct coat_event told = *event;
    told.maybe_sent |= c->answered;
    told.final |= event->unreached;
    if (event->unreached) { /* nothing was sent, so all that went wrong is of one kind */
        note(c, event->why);
        told.why = &c->why;
    }
    tell(c, told, hop, err);
}

static void lost(struct coat_courier *c, const struct coat_event *event, struct coat_hop *hop,
                 struct coat_error *err)
{
    int code = event->why->code;
    if (code == COAT_EUNAVAILABLE || code == COAT_ETIMEOUT)
        coat_topology_doubt(c->topology, c->node, c->monotonic_ms);
    if (event->maybe_sent || event->final || coat_topology_single(c->topology) ||
        coat_fault_lasts(event->why)) {
        tell_lost(c, event, hop, err);
        return;
    }
    for (size_t i = 0; i < c->count; i++)
        if (c->parcels[i].sent)
            drop_redirect(&c->parcels[i]);
    note(c, event->why);
    pause_for(c, &c->why, hop, err);
}

/* ---- The machine ---------------------------------------------------------------------------- */

static void take(struct coat_courier *c, const struct coat_event *event, struct coat_hop *hop,
                 struct coat_error *err)
{
    switch (c->state) {
    case NEW:
        tell(c, *event, hop, err);
        break;
    case ASKED:
        answered_question(c, event, hop, err);
        break;
    case SENT:
        if (event->kind == COAT_EVENT_LOST)
            lost(c, event, hop, err);
        else
            replies_came(c, event, hop, err);
        break;
    case PAUSED:
        c->state = OURS;
        break;
    case WAITS:
        tell(c, *event, hop, err);
        break;
    default: /* an event after the end */
        assert(0);
    }
}

void coat_courier_step(struct coat_courier *c, const struct coat_event *event, struct coat_hop *hop,
                       struct coat_error *err)
{
    c->now_ms = event->now_ms;
    c->monotonic_ms = event->monotonic_ms;
    take(c, event, hop, err);
    while (c->state == OURS) {
        int64_t again_ms = 0;
        if (first_open(c) < c->count &&
            coat_topology_due(c->topology, c->monotonic_ms, &again_ms)) {
            c->contact = 0;
            c->hopeful = 0;
            ask(c, hop, err);
        } else {
            deliver(c, again_ms, hop, err);
        }
    }
}

void coat_courier_step_now(struct coat_courier *c, struct coat_event *event, struct coat_hop *hop,
                           struct coat_error *err)
{
    event->now_ms = coat_wall_ms();
    event->monotonic_ms = coat_monotonic_ms();
    coat_courier_step(c, event, hop, err);
}

int64_t coat_courier_clock_ms(void)
{
    return coat_monotonic_ms();
}
