/*
 * spin.h: a bounded wait for a reply that looks for it again and again instead of sleeping.
 *
 * A round trip on one machine or one network takes a few tens of microseconds, and being woken
 * takes as long again; in Python the lock of the interpreter would be given away meanwhile, and
 * beside a busy thread it comes back only after milliseconds. So a call first looks for its reply
 * for a moment, as long as the connection's own round trips say that this will be enough.
 *
 * One thread at a time.
 */
#ifndef COAT_BACKEND_SPIN_H
#define COAT_BACKEND_SPIN_H

#include <stdint.h>

/* What a connection has learnt of its round trips. All zeros: nothing. */
struct coat_spin {
    int64_t usual_us; /* nearer to the fast ones than to the slow: those had other reasons */
    int skipped;      /* exchanges since the last one that looked */
};

/*
 * How long the next exchange may look, at most `bound_us`: 0 where round trips take longer than
 * that, but now and then it tries all the same, since a sleep makes each look slower than it is.
 */
int64_t coat_spin_budget_us(struct coat_spin *spin, int64_t bound_us);

/* How long an exchange took. */
void coat_spin_learn(struct coat_spin *spin, int64_t took_us);

/*
 * 1 if looking again and again does no harm here: there is a second processor for the server or
 * whoever else wants to run, and no quota of processor time that would be wasted. Reads /proc
 * and /sys; where they say nothing, there is no quota.
 */
int coat_spin_is_sensible(void);

#endif
