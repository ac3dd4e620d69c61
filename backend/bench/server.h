/*
 * server.h: the server that is measured, on a connection of its own: what is under the prefix, what
 * the work cost it, and that nothing of it stays there.
 *
 *     server_open(&server, plan, &err);
 *     server_claim(server, &err)           nobody else's keys are there, nor will be
 *     ...
 *     server_sweep(server, &left, &err);
 *     server_close(server);
 */
#ifndef COAT_BENCH_SERVER_H
#define COAT_BENCH_SERVER_H

#include "bench/plan.h"
#include "coat_error.h"

struct coat_peer;
struct server;

/* Connects. 0 and *out, to be closed; or a failure of coat_store_ping. */
int server_open(struct server **out, const struct plan *plan, struct coat_error *err);
void server_close(struct server *server); /* NULL allowed */

/* What it is: "Redis 7.2.4 at localhost:6379", without secrets. Borrowed. */
const char *server_name(const struct server *server);

/* Where the one server is that holds all keys; NULL in a cluster. Borrowed. */
const struct coat_peer *server_peer(const struct server *server);

/*
 * Take the prefix, so that no other run has it meanwhile. 0; COAT_EUSAGE: there are keys that this
 * run has not made, and nothing was changed; or a failure.
 */
int server_claim(struct server *server, struct coat_error *err);

/* Microseconds that all nodes have computed so far. 0, or a failure. */
int server_cpu_us(struct server *server, double *us, struct coat_error *err);

/* Of how many, and what each takes in the server's memory, all told: its key and overhead, too. */
struct server_bytes {
    size_t count;
    double low, median, high;
};
/* Of some sessions ('s') or entries ('c'), COUNT 0 where there are none. 0, or a failure. */
int server_bytes(struct server *server, char kind, struct server_bytes *bytes,
                 struct coat_error *err);

/* Delete all keys under the prefix, and say how many are left. 0, or a failure: *left is -1, not
 * known. */
int server_sweep(struct server *server, int64_t *left, struct coat_error *err);

#endif
