/*
 * url.h: the URL of a store, taken apart. It does not know the options that may stand in its
 * query; option_parse.c does. Its messages repeat nothing that could be part of a password.
 */
#ifndef COAT_BACKEND_URL_H
#define COAT_BACKEND_URL_H

#include "options.h"

#define COAT_URL_PARAMS_MAX 48

struct coat_url {
    char *text;                  /* what the rest points into */
    size_t size;                 /* of text, to be wiped */
    struct coat_address address; /* borrows from text, as all below; the first of hosts */
    enum coat_deployment kind;
    int tls;
    struct coat_address hosts[COAT_HOSTS_MAX]; /* TCP: at least one */
    size_t host_count;
    const char *service; /* SENTINEL */
    struct {
        const char *name, *value; /* decoded; user information comes as username and password */
    } params[COAT_URL_PARAMS_MAX];
    size_t count;
};

/* 0 and *url, to be released; COAT_ECONFIG, COAT_ENOMEM: nothing to release. */
int coat_url_parse(struct coat_url *url, const char *text, struct coat_error *err);

/* The parameter of that name, or NULL. */
const char *coat_url_param(const struct coat_url *url, const char *name);

/* Free and wipe. Legal on a zeroed one. */
void coat_url_release(struct coat_url *url);

#endif
