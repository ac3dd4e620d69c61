/*
 * connect.h: where a Redis deployment is and how it is reached: what stores must have in common to
 * share connections.
 */
#ifndef COAT_BACKEND_CONNECT_H
#define COAT_BACKEND_CONNECT_H

#include <stddef.h>

enum coat_scheme { COAT_SCHEME_NONE, COAT_SCHEME_TCP, COAT_SCHEME_UNIX, COAT_SCHEME_EMBEDDED };

/* Where a server listens. */
struct coat_address {
    enum coat_scheme scheme;
    char *host; /* TCP: name or literal, without brackets */
    int port;   /* TCP */
    char *path; /* UNIX: of the socket; EMBEDDED: of the directory, NULL for the default */
    int db;
};

/* How the servers belong together. */
enum coat_deployment {
    COAT_SINGLE,   /* one server */
    COAT_SENTINEL, /* sentinels know which one is the master */
    COAT_CLUSTER   /* Redis Cluster: each master serves some of the keys */
};

#define COAT_HOSTS_MAX 64

struct coat_connect {
    enum coat_deployment kind;
    struct coat_address *hosts; /* SENTINEL: of sentinels; CLUSTER: of some nodes; else none */
    size_t host_count;
    char *service;           /* SENTINEL: what the master serves */
    char *sentinel_username; /* NULL: none */
    char *sentinel_password; /* NULL: none */
    char *node_map;          /* NULL: none; see node_map.h */
};

#endif
