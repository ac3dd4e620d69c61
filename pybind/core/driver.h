/*
 * driver.h: the driver for event loops: the calls of one store in one loop, on few connections
 * that they share (api/channel.h).
 *
 * Python connects, and brings what came; from there to the future that a task waits for, all is C.
 * Three types:
 *
 * _core.Driver    starts calls, takes each hop to a channel, and keeps the deadlines
 * _core.Channel   one connection
 * _core.Call      one call under way (call.h)
 */
#ifndef COAT_CORE_DRIVER_H
#define COAT_CORE_DRIVER_H

#include "api/channel.h"
#include "call.h"
#include "run.h"

struct core_state;

struct core_driver {
    PyObject_HEAD struct core_state *state;
    PyObject *call_soon;     /* of the loop */
    PyObject *create_future; /* of the loop */
    struct core_channel *channels;
    struct core_call *pausing;
    size_t calls;    /* under way */
    int64_t wake_ms; /* when the loop wakes it; INT64_MAX: never */
};

struct core_channel {
    PyObject_HEAD struct core_driver *driver; /* NULL: it is over */
    struct core_channel *next;                /* of the driver, who has a reference */
    struct coat_channel *channel;
    struct core_store *store; /* that it was made for, in use until it is open; else NULL */
    PyObject *connection;     /* Python's half: write(bytes), abort(); or NULL */
    PyObject *cause;          /* the exception because of which there is none; or NULL */
    int waits;                /* it is for hops that wait, and for no others */
    int flushes;              /* a flush is under way to it */
    int paused;               /* the transport has enough to send */
};

/* Make the types. 0, or -1 with an exception. */
int core_driver_init(PyObject *module, struct core_state *state);
int core_channel_init(PyObject *module, struct core_state *state);

/* Tell the courier, and do what it says. Takes over a reference to the call. 1: close the channel.
 */
int core_driver_step(struct core_call *call, struct coat_event *event);

/* Take it from where it waits, and abandon it. */
void core_driver_abandon(struct core_call *call);

/* A call is over. */
void core_driver_ended(struct core_driver *driver);

/* The loop has to wake the driver then, or sooner. 0; or it cannot, as core_driver_failed. */
int core_driver_wake(struct core_driver *driver, int64_t at_ms, struct coat_error *err);

/*
 * What was asked of the loop, or of Python's half of a connection, has raised: the error with which
 * the calls end that need it. COAT_ENOMEM; or the exception is reported, and COAT_EUNAVAILABLE.
 */
int core_driver_failed(PyObject *where, struct coat_error *err);

/*
 * A channel to the node of a hop, also put into the driver; its connection is being opened by
 * Python. NULL: no Python exception is set, but *err says why.
 */
struct core_channel *core_channel_open(struct core_driver *driver, struct core_store *store,
                                       const struct coat_hop *hop, struct coat_error *err);

/* 1 if calls may be queued. One that is worn out and that nobody uses is closed. */
int core_channel_accepts(struct core_channel *channel);

/* 0, or as core_driver_failed. Takes over a reference to the call, on success. */
int core_channel_queue(struct core_channel *channel, struct core_call *call,
                       struct coat_error *err);

/* It is no longer of use: closed, and its calls are told why. */
void core_channel_fail(struct core_channel *channel, const struct coat_error *why);

/* Look at the deadlines. */
void core_channel_expire(struct core_channel *channel, int64_t now_ms);

#endif
