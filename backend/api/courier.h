/*
 * courier.h: takes the commands of an operation to the nodes that hold their keys.
 *
 * It stands between an operation (op.h) and a driver, and is a state machine without I/O as well,
 * so that all drivers share it. It finds the node of each command, asks for the topology where
 * that is not known, follows redirects, waits and repeats what a node has refused to carry out,
 * splits a pipeline whose keys live on several nodes, and waits for the replicas of each of these
 * where the operation asks for that. What it repeats by itself has surely not
 * been carried out; everything else goes to the operation, whose rules say what may be repeated.
 * See ../README.md. Not installed.
 *
 *     coat_courier_init(&courier, redis, op, &options);
 *     event = START
 *     for (;;) {
 *         coat_courier_step(&courier, &event, &hop, err);
 *         if (hop.close)             close the connection of the last SEND
 *         if (hop.kind == DONE)      hop.rc is the operation's result
 *         if (hop.kind == SEND)      event = REPLIES to hop.commands from hop.node, or LOST
 *         if (hop.kind == WAIT)      event = TIMER, at hop.until_ms
 *     }
 *     coat_courier_release(&courier);
 */
#ifndef COAT_API_COURIER_H
#define COAT_API_COURIER_H

#include "api/nonce.h"
#include "api/op.h"

struct coat_node;
struct coat_redis;
struct coat_stats;
struct coat_store;
struct coat_topology;

/* What a courier tells its driver. */
struct coat_hop {
    enum {
        COAT_HOP_SEND, /* these commands to this node, as one pipeline on one connection */
        COAT_HOP_WAIT, /* nothing until then: COAT_EVENT_TIMER */
        COAT_HOP_DONE  /* rc is the result; on failure *err was filled in */
    } kind;
    struct coat_node *node; /* SEND: borrowed until the next step */
    const struct coat_command *commands;
    size_t count;
    int waits;        /* SEND: the server may be long in answering it, on purpose: let no others'
                         commands stand behind it */
    int64_t until_ms; /* WAIT: of the monotonic clock, before the deadline */
    int close;        /* the connection that the last replies came from is not in step: close it */
    int rc;           /* DONE */
};

/* A command on its way. Private. */
struct coat_parcel {
    struct coat_node *node;   /* where a redirect sends it, counted; NULL: to the node of its key */
    struct coat_reply *reply; /* kept, once it was answered; to be freed */
    int asking;               /* the redirect is for this once */
    int sent;                 /* with the present hop */
};

enum {
    COAT_COURIER_INLINE = 2,
    COAT_COURIER_EXTRA = 2 /* a WAIT and a nonce */
};

/* A caller places it. All fields are private. */
struct coat_courier {
    struct coat_topology *topology;
    struct coat_op *op;
    struct coat_stats *stats; /* NULL: not counted */
    int64_t begun_us;         /* of the monotonic clock */
    int64_t deadline_ms;
    int64_t now_ms, monotonic_ms; /* of the present event */
    int verify;
    int state;
    int close;              /* for the next hop */
    struct coat_step step;  /* what the operation asked for last */
    struct coat_node *node; /* of the present hop, counted */
    size_t hop_count;       /* commands of the present hop */
    int has_nonce;          /* the present hop ends with one */
    int has_wait;           /* the present hop ends with a WAIT, or with that and a nonce */
    int64_t confirmed;      /* the fewest replicas that a hop of the step has reached */
    int whole;              /* the present hop is all of the step, command by command */
    int answered;           /* some commands of the step were, others not yet */
    int redirects, pauses;  /* since the step began */
    unsigned jitter;
    size_t contact;        /* whom it asks about the topology */
    int hopeful;           /* one of those who were asked may do better the next time */
    struct coat_error why; /* what tells most of all that went wrong since; code 0: nothing */
    struct coat_arg question[3];
    struct coat_nonce nonce;
    char wait_numbers[2][24];
    struct coat_arg wait[3];
    size_t count; /* of parcels: the commands of the step */
    size_t room;  /* for so many */
    struct coat_parcel *parcels;
    struct coat_command *commands; /* room for 2 of each parcel and COAT_COURIER_EXTRA */
    struct coat_reply *replies;
    struct coat_parcel inline_parcels[COAT_COURIER_INLINE];
    struct coat_command inline_commands[2 * COAT_COURIER_INLINE + COAT_COURIER_EXTRA];
    struct coat_reply inline_replies[COAT_COURIER_INLINE];
};

struct coat_courier_options {
    int64_t deadline_ms; /* of the monotonic clock: no WAIT goes beyond */
    int verify;          /* 1: a nonce at the end of every pipeline */
};

/* Allocates nothing. redis and op are borrowed until release. */
void coat_courier_init(struct coat_courier *courier, struct coat_redis *redis, struct coat_op *op,
                       const struct coat_courier_options *options);

/* The same for a call of a store that begins now; timeout_ms 0: the store's. Its deadline. */
int64_t coat_courier_begin(struct coat_courier *courier, struct coat_store *store,
                           struct coat_op *op, int64_t timeout_ms);

/*
 * Tell it what happened, hear what to do next. event->monotonic_ms counts, too. LOST: `final`
 * where there is no time or memory for another SEND, `unreached` where no connection to hop->node
 * could be had.
 */
void coat_courier_step(struct coat_courier *courier, const struct coat_event *event,
                       struct coat_hop *hop, struct coat_error *err);

/* The same at this moment: fills in the clocks of the event. */
void coat_courier_step_now(struct coat_courier *courier, struct coat_event *event,
                           struct coat_hop *hop, struct coat_error *err);

/* The clock of deadlines. */
int64_t coat_courier_clock_ms(void);

/* Always legal after init, also in the middle of a call and in a child after fork(). */
void coat_courier_release(struct coat_courier *courier);

#endif
