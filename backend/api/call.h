/*
 * call.h: the blocking driver. One call runs one operation on a store's Redis, within one
 * deadline. Not installed.
 *
 *     coat_call_init(&call, store, op, 0);
 *     rc = coat_call_run_briefly(&call, &err);
 *     while (rc == COAT_EINTR && signals_allow_it())
 *         rc = coat_call_run(&call, &err);
 *     coat_call_release(&call);
 */
#ifndef COAT_API_CALL_H
#define COAT_API_CALL_H

#include <stdint.h>

#include "api/courier.h"
#include "api/terms.h"

struct coat_conn;

/* A caller places it. All fields are private. */
struct coat_call {
    struct coat_courier courier;
    struct coat_hop hop;    /* what the courier asked for last */
    struct coat_node *node; /* whose connection is checked out, counted; else NULL */
    struct coat_conn *conn; /* NULL while none is even being opened */
    struct coat_terms terms;
    int state;        /* where coat_call_run goes on */
    int pid;          /* the process that the connection belongs to */
    int64_t wants_us; /* since when it wants a connection, of the monotonic clock; 0: it has one */
    int64_t spin_us;  /* coat_call_run_briefly; 0: it does nothing */
    int brief;        /* it is under way */
};

/* timeout_ms 0: the store's. The clock runs from here. */
void coat_call_init(struct coat_call *call, struct coat_store *store, struct coat_op *op,
                    int64_t timeout_ms);

/*
 * Go on until the operation is done: its result. COAT_EINTR: a signal arrived; call again to go
 * on within the same deadline, or release. Sleeps, so Python must not hold its lock around this.
 */
int coat_call_run(struct coat_call *call, struct coat_error *err);

/*
 * The same as far as it comes without sleeping: an idle connection is used, and a reply is looked
 * for (brief.h) for as long as the option spin_us says. So Python may keep its lock.
 * COAT_EINTR: go on with coat_call_run. Only before that.
 */
int coat_call_run_briefly(struct coat_call *call, struct coat_error *err);

/* Give the connection back; one in the middle of a reply is closed. Always legal after init. */
void coat_call_release(struct coat_call *call);

#endif
