/* run.h: a whole run: prepare, warm up, the rounds of each side in turn, clean up. */
#ifndef COAT_BENCH_RUN_H
#define COAT_BENCH_RUN_H

#include "bench/result.h"

/*
 * What the plan says. 0; or a failure, of what could be measured before that the result has all
 * that is complete. *stop: once it is not 0, it ends soon, as if done. What it has made is deleted
 * in any case; result->keys_left says how well. To be released, whatever comes back.
 */
int run_plan(struct result *result, const struct plan *plan, const atomic_int *stop,
             struct coat_error *err);

#endif
