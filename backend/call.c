#include "api/call.h"

#include <poll.h>
#include <unistd.h>

#include "api/error.h"
#include "clock.h"
#include "conn.h"
#include "node.h"
#include "redis.h"
#include "store.h"

enum { START, CHECKOUT, SEND, READ, WAIT, FINISHED };

void coat_call_init(struct coat_call *call, struct coat_store *store, struct coat_op *op,
                    int64_t timeout_ms)
{
    call->terms.connect_timeout_ms = store->options->connect_timeout_ms;
    call->terms.reply_bytes_max = coat_store_reply_bytes(store);
    call->hop = (struct coat_hop){.kind = COAT_HOP_DONE};
    call->node = NULL;
    call->conn = NULL;
    call->spin_us = store->brief ? store->options->spin_us : 0;
    call->brief = 0;
    call->wants_us = 0;
    call->state = START;
    call->terms.deadline_ms = coat_courier_begin(&call->courier, store, op, timeout_ms);
}

/*
 * A child that goes on with a call of its parent leaves the connection to the parent, who goes on
 * with it too. 1 if there was one.
 */
static int leave_parents(struct coat_call *call)
{
    if (!call->conn || call->pid == (int)getpid())
        return 0;
    call->conn = NULL;
    return 1;
}

static void give_back(struct coat_call *call, int reusable)
{
    if (call->conn) {
        coat_net_be_brief(&call->conn->net, 0);
        coat_node_checkin(call->node, call->conn, reusable);
    }
    if (call->node)
        coat_node_release(call->node);
    call->conn = NULL;
    call->node = NULL;
}

/* ---- A hop ---------------------------------------------------------------------------------- */

static int too_long(struct coat_error *why)
{
    return coat_error_set(why, COAT_EINTR, "from here on it is a long wait");
}

/* Anything but an idle connection may have to be waited for. */
static int take_idle(struct coat_call *call, struct coat_error *why)
{
    return !call->conn && coat_node_take_idle(call->node, &call->conn) ? 0 : too_long(why);
}

static void note_wait(struct coat_call *call)
{
    coat_histogram_add(&call->node->redis->waits, COAT_TIMES,
                       (uint64_t)(coat_monotonic_us() - call->wants_us));
    call->wants_us = 0;
}

static int checkout(struct coat_call *call, struct coat_error *why)
{
    if (coat_monotonic_ms() >= call->terms.deadline_ms)
        return coat_error_because(why, COAT_ETIMEOUT, "timeout",
                                  "the time for the call is over before it could finish");
    /* Between two hops it may have died, or been sent more than was asked for. */
    if (call->conn && call->conn->state == COAT_CONN_READY && !coat_conn_usable(call->conn))
        give_back(call, 0);
    if (call->conn && call->node != call->hop.node)
        give_back(call, 1);
    if (call->conn && call->conn->state == COAT_CONN_READY)
        return 0;
    if (!call->node) {
        coat_node_retain(call->hop.node);
        call->node = call->hop.node;
    }
    if (!call->conn)
        call->pid = (int)getpid();
    if (!call->wants_us)
        call->wants_us = coat_monotonic_us();
    int rc = call->brief ? take_idle(call, why)
                         : coat_node_checkout(call->node, &call->terms, &call->conn, why);
    if (rc != COAT_EINTR)
        note_wait(call);
    return rc;
}

static int was_forked(struct coat_call *call, struct coat_error *why)
{
    if (!leave_parents(call) || call->state == CHECKOUT)
        return 0;
    return coat_error_because(why, COAT_EUNAVAILABLE, "fork",
                              "the process was forked in the middle of a call, whose reply goes "
                              "to the parent");
}

/* For the next wait: for so long, if it has to be brief. */
static void be_brief(const struct coat_call *call, int64_t for_us)
{
    coat_net_be_brief(&call->conn->net, call->brief ? coat_monotonic_us() + for_us : 0);
}

/* Briefly at first, where replies are usually as fast as that. */
static int read_replies(struct coat_call *call, struct coat_event *event, struct coat_error *why)
{
    struct coat_brief *brief = &call->conn->brief;
    int tries = call->state == SEND && call->brief && coat_brief_choose(brief);
    if (call->state == SEND)
        be_brief(call, tries ? call->spin_us : 0);
    call->state = READ;
    int rc = coat_conn_read(call->conn, &call->terms, &event->replies, &event->count, why);
    if (tries && (rc == 0 || rc == COAT_EINTR))
        coat_brief_learn(brief, rc == 0);
    return rc;
}

/* From the commands of the hop to their replies. */
static int exchange(struct coat_call *call, struct coat_event *event, struct coat_error *why)
{
    int rc = was_forked(call, why);
    if (rc < 0)
        return rc;
    if (call->state == CHECKOUT) {
        rc = checkout(call, why);
        if (rc < 0)
            return rc;
        call->state = SEND;
    }
    if (call->state == SEND) {
        be_brief(call, 0);
        rc = coat_conn_send(call->conn, call->hop.commands, call->hop.count, &call->terms, why);
        if (rc < 0)
            return rc;
    }
    return read_replies(call, event, why);
}

static void describe_loss(const struct coat_call *call, struct coat_event *event,
                          const struct coat_error *why)
{
    event->kind = COAT_EVENT_LOST;
    event->maybe_sent =
        call->state == READ || (call->state == SEND && (!call->conn || call->conn->sent > 0));
    event->unreached = call->state == CHECKOUT;
    event->final = coat_monotonic_ms() >= call->terms.deadline_ms || why->code == COAT_ENOMEM ||
                   why->code == COAT_ELIMIT;
    event->why = why;
}

static int send_and_read(struct coat_call *call, struct coat_event *event, struct coat_error *why)
{
    event->kind = COAT_EVENT_REPLIES;
    int rc = exchange(call, event, why);
    if (rc < 0 && rc != COAT_EINTR) {
        describe_loss(call, event, why);
        give_back(call, 0);
        return 0;
    }
    return rc;
}

/* Somebody else may need the connection meanwhile. */
static int sleep_until(struct coat_call *call, struct coat_event *event, struct coat_error *why)
{
    event->kind = COAT_EVENT_TIMER;
    leave_parents(call);
    give_back(call, 1);
    if (call->brief)
        return too_long(why);
    int64_t left;
    while ((left = call->hop.until_ms - coat_monotonic_ms()) > 0)
        if (poll(NULL, 0, left < 1000 ? (int)left : 1000) < 0)
            return coat_error_set(why, COAT_EINTR, "a signal interrupted the wait");
    return 0;
}

/* ---- The call ------------------------------------------------------------------------------- */

static void step(struct coat_call *call, struct coat_event *event, struct coat_error *err)
{
    event->now_ms = coat_wall_ms();
    event->monotonic_ms = coat_monotonic_ms();
    coat_courier_step(&call->courier, event, &call->hop, err);
    if (call->hop.close)
        give_back(call, 0);
    switch (call->hop.kind) {
    case COAT_HOP_SEND:
        call->state = CHECKOUT;
        break;
    case COAT_HOP_WAIT:
        call->state = WAIT;
        break;
    case COAT_HOP_DONE:
        call->state = FINISHED;
        break;
    }
}

int coat_call_run(struct coat_call *call, struct coat_error *err)
{
    struct coat_error why;
    struct coat_event event = {.kind = COAT_EVENT_START};

    if (call->state == START)
        step(call, &event, err);
    while (call->state != FINISHED) {
        event = (struct coat_event){.kind = COAT_EVENT_TIMER};
        int rc = call->state == WAIT ? sleep_until(call, &event, &why)
                                     : send_and_read(call, &event, &why);
        if (rc == COAT_EINTR) {
            if (err)
                *err = why;
            return rc;
        }
        step(call, &event, err);
    }
    give_back(call, 1);
    return call->hop.rc;
}

int coat_call_run_briefly(struct coat_call *call, struct coat_error *err)
{
    if (call->spin_us == 0)
        return too_long(err);
    call->brief = 1;
    int rc = coat_call_run(call, err);
    call->brief = 0;
    if (call->conn)
        coat_net_be_brief(&call->conn->net, 0);
    return rc;
}

void coat_call_release(struct coat_call *call)
{
    leave_parents(call);
    give_back(call, call->state == FINISHED);
    coat_courier_release(&call->courier);
}
