/*
 * net.h: one socket, TCP or unix, with TLS or without; every wait has a deadline on the monotonic
 * clock.
 *
 * A wait that a signal interrupts returns COAT_EINTR; the same call again goes on where it was.
 * Other failures: COAT_ETIMEOUT, or COAT_EUNAVAILABLE with the reason in one word ("refused",
 * "reset", "closed", "resolve", ..., and those of tls.h), or COAT_ECONFIG; after these only
 * coat_net_close makes sense.
 */
#ifndef COAT_BACKEND_NET_H
#define COAT_BACKEND_NET_H

#include <stddef.h>
#include <stdint.h>

#include "resolve.h"

struct coat_net {
    int fd; /* -1: none */
    enum { COAT_NET_CLOSED, COAT_NET_SHAKING_HANDS, COAT_NET_OPEN } stage;
    int heard;                          /* the peer has said something */
    struct coat_tls *tls;               /* NULL: none */
    const struct coat_address *address; /* borrowed while open */
    struct coat_lookup *lookup;         /* of the host's name; one that is stuck outlives closing */
    struct coat_endpoints found;        /* while connecting to TCP; count 0: not yet */
    size_t trying;                      /* of these, the one that is being tried */
    int64_t try_until_ms;               /* its share of the time to connect */
    int64_t brief_until_us;             /* coat_net_be_brief; 0: waits have their deadlines */
};

void coat_net_init(struct coat_net *net);

/*
 * Connect to an address, which must outlive the socket; tries each that a host name has. With TLS
 * if `tls` says so, and then never without; NULL: without.
 */
int coat_net_open(struct coat_net *net, const struct coat_address *address,
                  const struct coat_tls_options *tls, int64_t deadline_ms, struct coat_error *err);

/* Write all of it. *done: how many bytes were written so far, 0 at first, also after a failure. */
int coat_net_write(struct coat_net *net, const void *bytes, size_t len, size_t *done,
                   int64_t deadline_ms, struct coat_error *err);

/* Wait for bytes. 0 and *got of them, at least 1; the peer's end is COAT_EUNAVAILABLE. */
int coat_net_read(struct coat_net *net, void *bytes, size_t size, size_t *got, int64_t deadline_ms,
                  struct coat_error *err);

/* For who reads on while bytes are always there: 0, or COAT_ETIMEOUT once the deadline has passed.
 */
int coat_net_in_time(const struct coat_net *net, int64_t deadline_ms, struct coat_error *err);

/*
 * From now on no wait sleeps: it looks again and again until that time of the monotonic clock, and
 * returns COAT_EINTR then. 0: waits sleep until their deadlines again.
 */
void coat_net_be_brief(struct coat_net *net, int64_t until_us);

/* 1 if it is connected and nothing, not even the peer's end, is waiting to be read. */
int coat_net_quiet(const struct coat_net *net);

/* Close without sending anything. Always legal. It may be opened again, for the same address. */
void coat_net_close(struct coat_net *net);

/* Close for good: frees what it holds. Always legal, also in a child after fork(). */
void coat_net_release(struct coat_net *net);

/* "host:port" or "unix:/path", for messages. Returns `to`. */
const char *coat_net_name(const struct coat_address *address, char *to, size_t size);

#endif
