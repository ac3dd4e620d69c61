/*
 * load.h: threads that save sessions while something happens to the servers, and the reckoning
 * afterwards: what was acknowledged against what is found.
 */
#ifndef LIVE_LOAD_H
#define LIVE_LOAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "coat_session.h"

enum { LOAD_THREADS = 4, LOAD_SESSIONS = 24 };

/* Of one session, which one thread alone writes: a counter in it. */
struct load_session {
    char id[64];
    unsigned acknowledged; /* the last save that returned 0 */
    unsigned attempted;    /* the last one that was tried */
};

struct load {
    struct coat_store *store;
    struct load_session sessions[LOAD_THREADS][LOAD_SESSIONS];
    pthread_t threads[LOAD_THREADS];
    atomic_int running;
    atomic_int saved, uncertain, unavailable;
    atomic_int missing;     /* loads that said that there is no session */
    atomic_int wrong;       /* other failures, and counters that no save has written */
    struct coat_error why;  /* of the last unexpected failure, for the message */
    atomic_long longest_ms; /* that a load with its save took */
};

struct load_reckoning {
    int lost_saves, lost_sessions; /* acknowledged, and not there */
    int intact;                    /* sessions that hold what was acknowledged, or tried after it */
};

/* A store at this url whose calls take at most 10 s. Creates the sessions. */
void load_open(struct load *load, const char *url);
void load_start(struct load *load);
void load_stop(struct load *load);
/* Load all once more. */
struct load_reckoning load_reckon(struct load *load);
/* One line with all of it, which the log of the tests keeps. */
void load_print(const char *what, const struct load *load, const struct load_reckoning *r);
void load_close(struct load *load);

/* After a failover: print it, and fail the test if more is lost than saves on their way. */
void load_assert_only_saves_are_lost(struct load *load, const char *what);

/* Poll until so many more saves were acknowledged. */
void load_await_saves(struct load *load, int more);

#endif
