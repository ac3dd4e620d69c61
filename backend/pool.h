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
 * where max_connections are in use, waits. 0 and *out; COAT_EUNAVAILABLE, COAT_ETIMEOUT,
 * COAT_EDENIED, COAT_ENOMEM; COAT_EINTR: a signal came, call again.
 */
int coat_pool_checkout(struct coat_pool *pool, int64_t deadline_ms, struct coat_conn **out,
                       struct coat_error *err);

/* Give it back. reusable 0, or a reply outstanding: it is closed. */
void coat_pool_checkin(struct coat_pool *pool, struct coat_conn *conn, int reusable);

#endif
