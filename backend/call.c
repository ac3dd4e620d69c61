#include "api/call.h"

#include <unistd.h>

#include "api/error.h"
#include "clock.h"
#include "pool.h"
#include "store.h"

enum { START, CHECKOUT, SEND, READ, FINISHED };

void coat_call_init(struct coat_call *call, struct coat_store *store, struct coat_op *op,
                    int64_t timeout_ms)
{
    if (timeout_ms == 0)
        timeout_ms = store->options->timeout_ms;
    *call = (struct coat_call){.pool = store->pool,
                               .op = op,
                               .deadline_ms = coat_monotonic_ms() + timeout_ms,
                               .state = START,
                               .pid = (int)getpid()};
}

static void give_back(struct coat_call *call, int reusable)
{
    if (call->conn)
        coat_pool_checkin(call->pool, call->conn, reusable);
    call->conn = NULL;
}

static int checkout(struct coat_call *call, struct coat_error *why)
{
    if (coat_monotonic_ms() >= call->deadline_ms)
        return coat_error_because(why, COAT_ETIMEOUT, "timeout",
                                  "the time for the call is over before it could finish");
    /* Between two steps it may have died, or been sent more than was asked for. */
    if (call->conn && call->conn->state == COAT_CONN_READY && !coat_conn_usable(call->conn))
        give_back(call, 0);
    if (call->conn && call->conn->state == COAT_CONN_READY)
        return 0;
    return coat_pool_checkout(call->pool, call->deadline_ms, &call->conn, why);
}

/*
 * A child that goes on with a call of its parent leaves the connection to the parent, who goes on
 * with it too.
 */
static int leave_parents(struct coat_call *call, struct coat_error *why)
{
    if (call->pid == (int)getpid())
        return 0;
    call->pid = (int)getpid();
    call->conn = NULL;
    if (call->state == CHECKOUT)
        return 0;
    return coat_error_because(why, COAT_EUNAVAILABLE, "fork",
                              "the process was forked in the middle of a call, whose reply goes "
                              "to the parent");
}

/* From the commands of call->step to their replies. */
static int exchange(struct coat_call *call, struct coat_event *event, struct coat_error *why)
{
    int rc = leave_parents(call, why);
    if (rc < 0)
        return rc;
    if (call->state == CHECKOUT) {
        rc = checkout(call, why);
        if (rc < 0)
            return rc;
        call->state = SEND;
    }
    if (call->state == SEND) {
        rc = coat_conn_send(call->conn, call->step.commands, call->step.count, call->deadline_ms,
                            why);
        if (rc < 0)
            return rc;
        call->state = READ;
    }
    return coat_conn_read(call->conn, call->deadline_ms, &event->replies, &event->count, why);
}

static void describe_loss(const struct coat_call *call, struct coat_event *event,
                          const struct coat_error *why)
{
    event->kind = COAT_EVENT_LOST;
    event->maybe_sent =
        call->state == READ || (call->state == SEND && (!call->conn || call->conn->sent > 0));
    event->final = call->state == CHECKOUT || coat_monotonic_ms() >= call->deadline_ms ||
                   why->code == COAT_ENOMEM || why->code == COAT_ELIMIT;
    event->why = why;
}

static void finish(struct coat_call *call, int rc)
{
    call->step.rc = rc;
    call->state = FINISHED;
}

static void step(struct coat_call *call, struct coat_event *event, struct coat_error *err)
{
    event->now_ms = coat_wall_ms();
    call->op->step(call->op, event, &call->step, err);
    if (call->step.kind == COAT_STEP_DONE) {
        finish(call, call->step.rc);
    } else if (event->final) { /* it should not have asked: the answer is the same */
        if (err)
            *err = *event->why;
        finish(call, event->why->code);
    } else {
        call->state = CHECKOUT;
    }
}

int coat_call_run(struct coat_call *call, struct coat_error *err)
{
    struct coat_error why;
    struct coat_event event = {.kind = COAT_EVENT_START};

    if (call->state == START)
        step(call, &event, err);
    while (call->state != FINISHED) {
        event = (struct coat_event){.kind = COAT_EVENT_REPLIES};
        int rc = exchange(call, &event, &why);
        if (rc == COAT_EINTR) {
            if (err)
                *err = why;
            return rc;
        }
        if (rc < 0) {
            describe_loss(call, &event, &why);
            give_back(call, 0);
        }
        step(call, &event, err);
    }
    give_back(call, !call->step.close);
    return call->step.rc;
}

void coat_call_release(struct coat_call *call)
{
    if (call->pid != (int)getpid())
        call->conn = NULL;
    give_back(call, call->state == FINISHED);
}
