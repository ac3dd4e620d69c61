/*
 * connect.h: how to reach the servers of a store, and with that what two stores must have in
 * common to share connections. What a single call asks for is in terms.h.
 */
#ifndef COAT_BACKEND_CONNECT_H
#define COAT_BACKEND_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#include "coat_options.h"
#include "api/terms.h"
#include "tls_options.h"

enum coat_scheme { COAT_SCHEME_NONE, COAT_SCHEME_TCP, COAT_SCHEME_UNIX, COAT_SCHEME_EMBEDDED };

/* Where a server listens. */
struct coat_address {
    enum coat_scheme scheme;
    char *host; /* TCP: name or literal, without brackets */
    int port;   /* TCP */
    char *path; /* UNIX: of the socket; EMBEDDED: of the directory, NULL for the default */
    int db;
};

/* 1 if they are the same place, whatever the database. */
int coat_address_equal(const struct coat_address *a, const struct coat_address *b);

/* 0, or COAT_ENOMEM: *to is all zeros then. */
int coat_address_copy(struct coat_address *to, const struct coat_address *from,
                      struct coat_error *err);
void coat_address_release(struct coat_address *a); /* legal on zeros */

/* How the servers belong together. */
enum coat_deployment {
    COAT_SINGLE,   /* one server */
    COAT_SENTINEL, /* sentinels know which one is the master */
    COAT_CLUSTER   /* Redis Cluster: each master serves some of the keys */
};

#define COAT_HOSTS_MAX 64

/* Texts are NULL where nothing was given. */
struct coat_connect {
    enum coat_deployment kind;
    struct coat_address address; /* of the server, or the first of hosts; its db is for all */
    struct coat_address *hosts;  /* SENTINEL: of sentinels; CLUSTER: of some nodes; else none */
    size_t host_count;
    char *service; /* SENTINEL: what the master serves */
    char *username, *password;
    char *password_file; /* read at each connect, in place of password */
    coat_credentials_fn *credentials;
    void *credentials_context;
    char *sentinel_username, *sentinel_password;
    struct coat_tls_options tls;
    char *node_map;      /* node_map.h */
    int max_connections; /* to each node */
    int64_t max_idle_ms; /* a connection unused for so long is closed; 0: never */
    int64_t max_age_ms;  /* one as old as that is closed when it is free; 0: never */
};

/* 1 if connections of the one can serve the other. */
int coat_connect_equal(const struct coat_connect *a, const struct coat_connect *b);

/* 0, or COAT_ENOMEM: *to is all zeros then. */
int coat_connect_copy(struct coat_connect *to, const struct coat_connect *from,
                      struct coat_error *err);

/* Copies them into one that has none. 1; 0: no memory, and some may be there. */
int coat_connect_set_hosts(struct coat_connect *c, const struct coat_address *hosts, size_t count);

/* Frees the texts and wipes what is secret. Legal on zeros. */
void coat_connect_release(struct coat_connect *c);

#endif
