/*
 * payload.h: what the sessions, or the entries of a cache, hold: fields of a shape and size, or
 * the members of an object in a file. Made once; then threads share it.
 */
#ifndef COAT_BENCH_PAYLOAD_H
#define COAT_BENCH_PAYLOAD_H

#include "bench/plan.h"
#include "coat_doc.h"
#include "coat_value.h"

/* The field that a write counts up, beside those of the payload. */
#define PAYLOAD_COUNTER "visits"

struct payload;

/* Read the file, if there is one. 0 and *out, to be freed; COAT_EUSAGE: it cannot be read, or is
 * no object in JSON; COAT_ENOMEM. */
int payload_open(struct payload **out, const struct plan *plan, struct coat_error *err);
void payload_close(struct payload *payload); /* NULL allowed */

/* Set all fields of a new session, and the counter to 0. 0, or a failure of coat_doc_put. */
int payload_fill(const struct payload *payload, struct draw *draw, struct coat_doc *doc,
                 struct coat_error *err);

/* The bytes of the nth entry of a cache, a dict of the same fields; borrowed. Of what is drawn
 * PAYLOAD_ENTRIES are made, and used in turn. Only for WORK_CACHE. */
enum { PAYLOAD_ENTRIES = 1024 };
void payload_entry(const struct payload *payload, uint64_t n, const void **bytes, size_t *len);

#endif
