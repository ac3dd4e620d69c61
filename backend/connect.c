#include "connect.h"

#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "text.h"

/* ---- Addresses ------------------------------------------------------------------------------ */

int coat_address_equal(const struct coat_address *a, const struct coat_address *b)
{
    return a->scheme == b->scheme && a->port == b->port && coat_text_equal(a->host, b->host) &&
           coat_text_equal(a->path, b->path);
}

int coat_address_copy(struct coat_address *to, const struct coat_address *from,
                      struct coat_error *err)
{
    *to = (struct coat_address){.scheme = from->scheme, .port = from->port, .db = from->db};
    if (coat_text_copy(&to->host, from->host) && coat_text_copy(&to->path, from->path))
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
    return coat_text_equal(a->username, b->username) && coat_text_equal(a->password, b->password) &&
           coat_text_equal(a->password_file, b->password_file) &&
           a->credentials == b->credentials && a->credentials_context == b->credentials_context &&
           coat_text_equal(a->sentinel_username, b->sentinel_username) &&
           coat_text_equal(a->sentinel_password, b->sentinel_password);
}

int coat_connect_equal(const struct coat_connect *a, const struct coat_connect *b)
{
    return a->kind == b->kind && same_hosts(a, b) && coat_text_equal(a->service, b->service) &&
           coat_address_equal(&a->address, &b->address) && a->address.db == b->address.db &&
           same_credentials(a, b) && coat_tls_options_equal(&a->tls, &b->tls) &&
           coat_text_equal(a->node_map, b->node_map) && a->max_connections == b->max_connections &&
           a->max_idle_ms == b->max_idle_ms && a->max_age_ms == b->max_age_ms;
}

int coat_connect_set_hosts(struct coat_connect *c, const struct coat_address *hosts, size_t count)
{
    c->hosts = count ? calloc(count, sizeof *c->hosts) : NULL;
    if (count && !c->hosts)
        return 0;
    for (; c->host_count < count; c->host_count++)
        if (coat_address_copy(&c->hosts[c->host_count], &hosts[c->host_count], NULL) < 0)
            return 0;
    return 1;
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
    if (coat_address_copy(&to->address, &from->address, NULL) == 0 &&
        coat_connect_set_hosts(to, from->hosts, from->host_count) &&
        coat_text_copy(&to->service, from->service) &&
        coat_text_copy(&to->username, from->username) &&
        coat_text_copy(&to->password, from->password) &&
        coat_text_copy(&to->password_file, from->password_file) &&
        coat_text_copy(&to->sentinel_username, from->sentinel_username) &&
        coat_text_copy(&to->sentinel_password, from->sentinel_password) &&
        coat_tls_options_copy(&to->tls, &from->tls) &&
        coat_text_copy(&to->node_map, from->node_map))
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
    coat_text_wipe(&c->username);
    coat_text_wipe(&c->password);
    free(c->password_file);
    coat_text_wipe(&c->sentinel_username);
    coat_text_wipe(&c->sentinel_password);
    coat_tls_options_release(&c->tls);
    free(c->node_map);
    *c = (struct coat_connect){0};
}
