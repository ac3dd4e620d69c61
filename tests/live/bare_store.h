/* bare_store.h: just what the blocking driver needs of a store. */
#ifndef LIVE_BARE_STORE_H
#define LIVE_BARE_STORE_H

#include "api/call.h"
#include "conn.h"
#include "redis.h"
#include "live/simple_op.h"
#include "store.h"

/* For `url`, with further options as name, value, ..., NULL. Fails the test where it cannot. */
struct coat_store *live_store_new(const char *url, ...);
void live_store_free(struct coat_store *store);

/* Run a pipeline to its end, whatever signals come. */
int live_run(struct coat_store *store, struct simple_op *s, struct coat_error *err);

/* The same for one that is given as words: its result; what happened is in *s. */
int live_ask(struct coat_store *store, const char *words, struct simple_op *s);

/* Again and again for some seconds, for calls fail at once after a connect that failed. */
int live_ask_until(struct coat_store *store, const char *words, struct simple_op *s);

/* Its server, which is the only one; borrowed. */
struct coat_node *live_node(struct coat_store *store);

/* A connection to it, as a call has one; live_take fails the test where there is none. */
int live_try_take(struct coat_store *store, int64_t within_ms, struct coat_conn **conn,
                  struct coat_error *err);
struct coat_conn *live_take(struct coat_store *store, int64_t within_ms);
void live_give(struct coat_store *store, struct coat_conn *conn, int reusable);

#endif
