/*
 * brief.h: how a call waits for its reply at first, before it settles down to sleep.
 *
 * A round trip within a machine or a rack takes a few tens of microseconds. In Python it does not
 * pay to give the interpreter's lock away for that: beside a busy thread it comes back only after
 * milliseconds. So a call first looks for its reply again and again, with the lock in hand, and
 * between two looks offers its processor to whoever waits for it, which may be the server. (To
 * sleep instead, with a timer for so short a time, costs several microseconds for the timer.) Where
 * replies do not come in time it stops doing so, but for a try now and then.
 *
 * One thread at a time.
 */
#ifndef COAT_BACKEND_BRIEF_H
#define COAT_BACKEND_BRIEF_H

#include <stdint.h>

/* What a connection has learnt. All zeros: nothing. */
struct coat_brief {
    unsigned misses; /* replies that did not come in time, less those that did */
    unsigned skip;   /* so many exchanges are not waited for briefly */
};

/* 1 if the next reply is to be waited for briefly. */
int coat_brief_choose(struct coat_brief *brief);

/* How that went. */
void coat_brief_learn(struct coat_brief *brief, int came_in_time);

/*
 * 1 if looking again and again does no harm here: no quota of processor time that it would use up.
 * Reads /proc and /sys; where they say nothing, there is none.
 */
int coat_brief_is_sensible(void);

#endif
