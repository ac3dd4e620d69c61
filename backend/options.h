/* options.h: the values of the options, for backend only. */
#ifndef COAT_BACKEND_OPTIONS_H
#define COAT_BACKEND_OPTIONS_H

#include <stdint.h>

#include "coat_options.h"
#include "coat_value.h"

enum coat_scheme { COAT_SCHEME_NONE, COAT_SCHEME_TCP, COAT_SCHEME_UNIX, COAT_SCHEME_EMBEDDED };

/* Where a server listens. */
struct coat_address {
    enum coat_scheme scheme;
    char *host; /* TCP: name or literal, without brackets */
    int port;   /* TCP */
    char *path; /* UNIX: of the socket; EMBEDDED: of the directory, NULL for the default */
    int db;
};

enum coat_on_conflict { COAT_CONFLICT_MINE, COAT_CONFLICT_THEIRS, COAT_CONFLICT_RAISE };

struct coat_options {
    struct coat_address address;
    char *username;
    char *password;
    char *prefix;
    int64_t idle_s; /* 0: none */
    int64_t lifetime_s;
    int64_t timeout_ms;
    int64_t connect_timeout_ms;
    int64_t stale_ms;
    int max_connections;
    double touch_below;
    enum coat_on_conflict on_conflict;
    struct coat_limits limits;
    int allow_root;
    uint32_t by_name; /* private: which were set by name */
    uint32_t by_url;  /* private: which were set by the URL */
};

/* What coat_store_open asks: all that must be there is there. 0 or COAT_ECONFIG. */
int coat_options_complete(const struct coat_options *o, struct coat_error *err);

/* A copy that owns its strings. NULL: no memory. */
struct coat_options *coat_options_copy(const struct coat_options *o);

#endif
