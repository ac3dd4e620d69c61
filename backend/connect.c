#include "connect.h"

#include <stdlib.h>
#include <string.h>

#include "api/error.h"

static int same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* 1, or 0 for lack of memory. */
static int copy(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return *to || !from;
}

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

/* ---- Addresses ------------------------------------------------------------------------------ */

int coat_address_equal(const struct coat_address *a, const struct coat_address *b)
{
    return a->scheme == b->scheme && a->port == b->port && same(a->host, b->host) &&
           same(a->path, b->path);
}

int coat_address_copy(struct coat_address *to, const struct coat_address *from,
                      struct coat_error *err)
{
    *to = (struct coat_address){.scheme = from->scheme, .port = from->port, .db = from->db};
    if (copy(&to->host, from->host) && copy(&to->path, from->path))
        return 0;
    coat_address_release(to);
    return coat_error_nomem(err);
}

void coat_address_release(struct coat_address *a)
{
    free(a->host);
    free(a->path);
    *a = (struct coat_address){0};
}

/* ---- How to connect ------------------------------------------------------------------------- */

static int same_hosts(const struct coat_connect *a, const struct coat_connect *b)
{
    if (a->host_count != b->host_count)
        return 0;
    for (size_t i = 0; i < a->host_count; i++)
        if (!coat_address_equal(&a->hosts[i], &b->hosts[i]))
            return 0;
    return 1;
}

static int same_credentials(const struct coat_connect *a, const struct coat_connect *b)
{
    return same(a->username, b->username) && same(a->password, b->password) &&
           same(a->password_file, b->password_file) && a->credentials == b->credentials &&
           a->credentials_context == b->credentials_context &&
           same(a->sentinel_username, b->sentinel_username) &&
           same(a->sentinel_password, b->sentinel_password);
}

int coat_connect_equal(const struct coat_connect *a, const struct coat_connect *b)
{
    return a->kind == b->kind && same_hosts(a, b) && same(a->service, b->service) &&
           coat_address_equal(&a->address, &b->address) && a->address.db == b->address.db &&
           same_credentials(a, b) && coat_tls_options_equal(&a->tls, &b->tls) &&
           same(a->node_map, b->node_map) && a->max_connections == b->max_connections &&
           a->max_idle_ms == b->max_idle_ms && a->max_age_ms == b->max_age_ms;
}

static int copy_hosts(struct coat_connect *to, const struct coat_connect *from)
{
    to->hosts = from->host_count ? calloc(from->host_count, sizeof *to->hosts) : NULL;
    if (from->host_count && !to->hosts)
        return 0;
    for (; to->host_count < from->host_count; to->host_count++)
        if (coat_address_copy(&to->hosts[to->host_count], &from->hosts[to->host_count], NULL) < 0)
            return 0;
    return 1;
}

static int copy_tls(struct coat_tls_options *to, const struct coat_tls_options *from)
{
    to->on = from->on;
    to->min_version = from->min_version;
    return copy(&to->ca_file, from->ca_file) && copy(&to->ca_dir, from->ca_dir) &&
           copy(&to->cert_file, from->cert_file) && copy(&to->key_file, from->key_file) &&
           copy(&to->key_password, from->key_password) && copy(&to->server_name, from->server_name);
}

int coat_connect_copy(struct coat_connect *to, const struct coat_connect *from,
                      struct coat_error *err)
{
    *to = (struct coat_connect){.kind = from->kind,
                                .credentials = from->credentials,
                                .credentials_context = from->credentials_context,
                                .max_connections = from->max_connections,
                                .max_idle_ms = from->max_idle_ms,
                                .max_age_ms = from->max_age_ms};
    if (coat_address_copy(&to->address, &from->address, NULL) == 0 && copy_hosts(to, from) &&
        copy(&to->service, from->service) && copy(&to->username, from->username) &&
        copy(&to->password, from->password) && copy(&to->password_file, from->password_file) &&
        copy(&to->sentinel_username, from->sentinel_username) &&
        copy(&to->sentinel_password, from->sentinel_password) && copy_tls(&to->tls, &from->tls) &&
        copy(&to->node_map, from->node_map))
        return 0;
    coat_connect_release(to);
    return coat_error_nomem(err);
}

void coat_connect_release(struct coat_connect *c)
{
    coat_address_release(&c->address);
    for (size_t i = 0; i < c->host_count; i++)
        coat_address_release(&c->hosts[i]);
    free(c->hosts);
    free(c->service);
    wipe(c->username);
    wipe(c->password);
    free(c->password_file);
    wipe(c->sentinel_username);
    wipe(c->sentinel_password);
    coat_tls_options_release(&c->tls);
    free(c->node_map);
    *c = (struct coat_connect){0};
}
