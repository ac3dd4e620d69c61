/* options.h: the values of the options, for backend only. */
#ifndef COAT_BACKEND_OPTIONS_H
#define COAT_BACKEND_OPTIONS_H

#include <stdint.h>

#include "coat_options.h"
#include "coat_value.h"
#include "connect.h"
#include "option_table.h"

/* Who decides a conflict: the function, or where there is none always the same way. */
struct coat_conflict_policy {
    enum coat_on_conflict always;
    coat_conflict_fn *ask;
    void *context;
};

/* The values that hold, and what they come from. */
struct coat_options {
    struct coat_connect connect;
    char *prefix;   /* NULL: none yet */
    int64_t idle_s; /* 0: none */
    int64_t lifetime_s;
    int64_t timeout_ms;
    int64_t connect_timeout_ms; /* never more than timeout_ms, once they are complete */
    int64_t stale_ms;
    double touch_below;
    struct coat_conflict_policy on_conflict;
    struct coat_limits limits;
    int verify;
    int64_t spin_us;
    int allow_root;
    char *embedded_dir; /* once an embedded: server was found, else NULL: embedded.h */

    /* Private: what was given, in the order of option_table.h; NULL: not given. */
    char *by_name[COAT_OPTION_COUNT];
    char *by_env[COAT_OPTION_COUNT];
};

/*
 * What coat_store_open asks (option_check.c): all that must be there is there, and goes together.
 * 0 or COAT_ECONFIG.
 */
int coat_options_complete(const struct coat_options *o, struct coat_error *err);

/* The same again, as they were given, not as coat_embedded_start left them. NULL: no memory. */
struct coat_options *coat_options_copy(const struct coat_options *o);

#endif
