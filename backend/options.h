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

/* The authenticator assurance levels of NIST SP 800-63. */
enum coat_preset { COAT_NO_PRESET, COAT_AAL1, COAT_AAL2, COAT_AAL3 };

enum coat_on_max { COAT_MAX_EVICT, COAT_MAX_REFUSE };

enum coat_on_event { COAT_EVENTS_NONE, COAT_EVENTS_LOG };

/* The values that hold, and what they come from. */
struct coat_options {
    struct coat_connect connect;
    char *prefix;             /* NULL: none yet */
    int64_t idle_s;           /* 0: none */
    int64_t anonymous_idle_s; /* in place of idle_s until somebody logs in; 0: no difference */
    int64_t lifetime_s;
    enum coat_preset preset;
    int64_t not_before_ms; /* what was created earlier is dead */
    int64_t renew_s;       /* how often an id is renewed; 0: never */
    int64_t grace_ms;      /* how long one works beside the one that was offered and is in use */
    int64_t lock_ttl_ms;
    int64_t timeout_ms;
    int64_t connect_timeout_ms; /* never more than timeout_ms, once they are complete */
    int64_t stale_ms;
    double touch_below;
    struct coat_conflict_policy on_conflict;
    int64_t max_sessions; /* of a principal; 0: no matter how many */
    enum coat_on_max on_max;
    int64_t confirm; /* replicas that a login, logout, rotation or the end of others waits for */
    enum coat_on_event on_event;
    char *show; /* names of fields, with commas between; NULL: none */
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

/*
 * What coat_cache_open asks besides: nothing that is for sessions only was set, or stands in the
 * URL. 0, COAT_ECONFIG, COAT_ENOMEM.
 */
int coat_options_suit_cache(const struct coat_options *o, struct coat_error *err);

/* The same again, as they were given, not as coat_embedded_start left them. NULL: no memory. */
struct coat_options *coat_options_copy(const struct coat_options *o);

#endif
