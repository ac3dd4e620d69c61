/*
 * resolve.h: the addresses of a host, within a deadline.
 *
 * The system's resolver has no deadline, and takes many seconds where name servers are silent. So
 * a name is looked up by a helper thread, for which the caller waits no longer than it can; the
 * thread ends by itself when the resolver lets it. It runs no code but the system's and this
 * file's, and no signal is delivered to it. A literal address needs neither resolver nor thread.
 *
 * A look-up that came to no end in time is kept by whoever asked, and asked for again is joined,
 * not started anew. So a stuck resolver holds one thread for each asker (a connection of a pool),
 * however often it asks, a slow one is not asked twice, and one host does not get in the way of
 * another, as it could if the threads of a process were counted. An answer that comes while nobody
 * waits is dropped: who asks next gets a fresh one.
 *
 * One asker at a time. In a child after fork() the parent's look-up counts as none.
 */
#ifndef COAT_BACKEND_RESOLVE_H
#define COAT_BACKEND_RESOLVE_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "options.h"

/* Of a host that has more, the rest would hardly be tried within the time to connect. */
#define COAT_ENDPOINTS_MAX 8

union coat_endpoint {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* In the order in which the resolver advises to try them. */
struct coat_endpoints {
    size_t count;
    union coat_endpoint at[COAT_ENDPOINTS_MAX];
};

struct coat_lookup;

/*
 * All endpoints of a TCP address, at least one. *lookup must be NULL at first. 0: *found. Or
 * COAT_EINTR: a look for signals, call again; COAT_ETIMEOUT: *lookup is to be kept as it is, and
 * coat_lookup_leave to be called. COAT_EUNAVAILABLE: the name has no address ("resolve"), or no
 * thread could be started ("threads"); COAT_ENOMEM.
 */
int coat_resolve(struct coat_lookup **lookup, const struct coat_address *address,
                 int64_t deadline_ms, struct coat_endpoints *found, struct coat_error *err);

/* Nobody waits for it any more, for now. NULL allowed. */
void coat_lookup_leave(struct coat_lookup *lookup);

/* Nobody will wait for it again: who is last frees it, its thread or this. NULL allowed. */
void coat_lookup_drop(struct coat_lookup *lookup);

#endif
