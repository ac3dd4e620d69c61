/*
 * pool.h: the connections of one server, shared by threads. Safe across fork(): the child finds
 * the pool empty and opens connections of its own.
 */
#ifndef COAT_BACKEND_POOL_H
#define COAT_BACKEND_POOL_H

#include "conn.h"

struct coat_pool;

/* options: borrowed, must outlive the pool. Does not connect. 0, COAT_ENOMEM. */
int coat_pool_new(struct coat_pool **out, const struct coat_options *options,
                  struct coat_error *err);
void coat_pool_free(struct coat_pool *pool); /* NULL allowed */

/*
 * A connection that is ready for a command: an idle one that is still in order, else a new one;
 * where max_connections are in use, waits. *out must be NULL at first. 0 and *out, to be given
 * back; COAT_EINTR: call again with *out as it is (it may hold a connection that is being opened)
 * or give that back; comes also without a signal, from time to time, while waiting for others.
 * COAT_EUNAVAILABLE, COAT_ETIMEOUT, COAT_EDENIED, COAT_ECONFIG, COAT_ENOMEM: *out is NULL.
 */
int coat_pool_checkout(struct coat_pool *pool, int64_t deadline_ms, struct coat_conn **out,
                       struct coat_error *err);

/* Give it back. reusable 0, or not READY: it is closed. */
void coat_pool_checkin(struct coat_pool *pool, struct coat_conn *conn, int reusable);

#endif
