#include "url.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>

#include "api/error.h"

#define DEFAULT_PORT          6379
#define DEFAULT_SENTINEL_PORT 26379

static int wrong(struct coat_error *err, const char *what)
{
    return coat_error_set(err, COAT_ECONFIG, "the URL %s", what);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decode %XX in place. A NUL would hide the rest of a string, so %00 is as wrong as %zz. */
static int decode(char *text, struct coat_error *err)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = hex_digit(from[1]);
        int low = high < 0 ? -1 : hex_digit(from[2]);
        if (low < 0 || high + low == 0)
            return wrong(err, "holds a % without two hexadecimal digits after it, or %00; "
                              "write a plain % as %25");
        *to++ = (char)(high * 16 + low);
        from += 2;
    }
    *to = '\0';
    return 0;
}

/* Only digits, and at most `max`; otherwise -1. */
static int whole_number(const char *text, int max)
{
    int value = 0;
    if (!*text)
        return -1;
    for (; *text; text++) {
        int digit = *text - '0';
        if (digit < 0 || digit > 9 || value > (max - digit) / 10)
            return -1;
        value = value * 10 + digit;
    }
    return value;
}

static int add_param(struct coat_url *url, const char *name, const char *value,
                     struct coat_error *err)
{
    if (coat_url_param(url, name))
        return wrong(err, "gives an option twice");
    if (url->count == COAT_URL_PARAMS_MAX)
        return wrong(err, "has too many parameters");
    url->params[url->count].name = name;
    url->params[url->count].value = value;
    url->count++;
    return 0;
}

static int set_db(struct coat_url *url, const char *text, struct coat_error *err)
{
    if (url->address.db >= 0)
        return wrong(err, "gives the database twice");
    url->address.db = whole_number(text, INT_MAX);
    if (url->address.db < 0)
        return wrong(err, "has a database that is no whole number; write redis://host/0, or "
                          "unix:/path?db=0");
    return 0;
}

static int parse_query(struct coat_url *url, char *query, struct coat_error *err)
{
    char *next;
    for (char *param = query; param; param = next) {
        next = strchr(param, '&');
        if (next)
            *next++ = '\0';
        if (!*param)
            continue;
        char *value = strchr(param, '=');
        if (!value)
            return wrong(err, "has a parameter without a value; write ?name=value");
        *value++ = '\0';
        if (decode(param, err) < 0 || decode(value, err) < 0)
            return COAT_ECONFIG;
        if (strcmp(param, "db") == 0 ? set_db(url, value, err) < 0
                                     : add_param(url, param, value, err) < 0)
            return COAT_ECONFIG;
    }
    return 0;
}

static int parse_userinfo(struct coat_url *url, char *info, struct coat_error *err)
{
    char *password = strchr(info, ':');
    if (password)
        *password++ = '\0';
    if (decode(info, err) < 0 || (password && decode(password, err) < 0))
        return COAT_ECONFIG;
    if (*info && add_param(url, "username", info, err) < 0)
        return COAT_ECONFIG;
    if (password && *password && add_param(url, "password", password, err) < 0)
        return COAT_ECONFIG;
    return 0;
}

static int parse_port(struct coat_address *address, const char *text, struct coat_error *err)
{
    address->port = whole_number(text, 65535);
    if (address->port < 1)
        return wrong(err, "has no port from 1 to 65535 after the host; in a password write / as "
                          "%2F, ? as %3F, # as %23, @ as %40");
    return 0;
}

/* "[::1]" or "[fe80::1%25eth0]", then perhaps a port. */
static int parse_ipv6(struct coat_address *address, char *text, struct coat_error *err)
{
    char *end = strchr(text, ']');
    if (!end || (end[1] && end[1] != ':'))
        return wrong(err, "has a [ without its ]; write redis://[::1]:6379");
    *end = '\0';
    address->host = text + 1;
    if (decode(address->host, err) < 0)
        return COAT_ECONFIG;
    struct in6_addr ignored;
    char *zone = strchr(address->host, '%');
    if (zone)
        *zone = '\0';
    int valid = inet_pton(AF_INET6, address->host, &ignored) == 1 && (!zone || zone[1]);
    if (zone)
        *zone = '%';
    if (!valid)
        return wrong(err, "has something between [ and ] that is no IPv6 address");
    return end[1] ? parse_port(address, end + 2, err) : 0;
}

static int parse_host(struct coat_address *address, char *text, struct coat_error *err)
{
    if (*text == '[')
        return parse_ipv6(address, text, err);
    char *port = strchr(text, ':');
    if (port && strchr(port + 1, ':'))
        return wrong(err, "has more than one : after the host; an IPv6 address stands in "
                          "brackets, redis://[::1]:6379");
    if (port)
        *port++ = '\0';
    if (!*text)
        return wrong(err, "names no host; write redis://host:6379/0 (in a password write / as "
                          "%2F, ? as %3F)");
    for (const char *c = text; *c; c++)
        if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9') &&
            !strchr("-._", *c))
            return wrong(err, "has a host with characters that no host name has");
    address->host = text;
    return port ? parse_port(address, port, err) : 0;
}

/* One host; a sentinel's or cluster's URL names several, with commas between them. */
static int parse_hosts(struct coat_url *url, char *text, struct coat_error *err)
{
    char *next;
    if (url->kind == COAT_SINGLE && strchr(text, ','))
        return wrong(err, "names several hosts; write redis+sentinel://host1,host2/service/0 or "
                          "redis+cluster://host1,host2");
    for (char *host = text; host; host = next) {
        next = url->kind == COAT_SINGLE ? NULL : strchr(host, ',');
        if (next)
            *next++ = '\0';
        if (url->host_count == COAT_HOSTS_MAX)
            return wrong(err, "names more hosts than 64; a few are enough to find the others");
        struct coat_address *address = &url->hosts[url->host_count++];
        address->scheme = COAT_SCHEME_TCP;
        address->port = url->kind == COAT_SENTINEL ? DEFAULT_SENTINEL_PORT : DEFAULT_PORT;
        if (parse_host(address, host, err) < 0)
            return COAT_ECONFIG;
    }
    return 0;
}

/* Sentinels: "/service" or "/service/db". */
static int parse_service(struct coat_url *url, char *path, char **db, struct coat_error *err)
{
    *db = path ? strchr(path, '/') : NULL;
    if (*db)
        *(*db)++ = '\0';
    if (!path || !*path)
        return wrong(err, "names no service after the sentinels; write "
                          "redis+sentinel://host1,host2,host3/service/0");
    url->service = path;
    return decode(path, err);
}

static int parse_tcp(struct coat_url *url, char *rest, struct coat_error *err)
{
    url->address.scheme = COAT_SCHEME_TCP;
    if (strncmp(rest, "//", 2) != 0)
        return wrong(err, "lacks the // before the host; write redis://host:6379/0, or unix:/path "
                          "for a unix socket, which has no TLS");
    char *authority = rest + 2;
    char *path = strchr(authority, '/');
    if (path)
        *path++ = '\0';
    char *hosts = authority;
    char *at = strrchr(authority, '@');
    if (at) {
        *at = '\0';
        hosts = at + 1;
        if (parse_userinfo(url, authority, err) < 0)
            return COAT_ECONFIG;
    }
    if (parse_hosts(url, hosts, err) < 0)
        return COAT_ECONFIG;
    if (url->kind == COAT_SENTINEL && parse_service(url, path, &path, err) < 0)
        return COAT_ECONFIG;
    return path && *path ? set_db(url, path, err) : 0;
}

/* An absolute path after one slash or three. */
static int parse_path(struct coat_url *url, char *rest, const char *advice, struct coat_error *err)
{
    if (strncmp(rest, "///", 3) == 0)
        rest += 2;
    if (rest[0] != '/' || rest[1] == '/')
        return wrong(err, advice);
    url->address.path = rest;
    return decode(rest, err);
}

static int parse_unix(struct coat_url *url, char *rest, struct coat_error *err)
{
    url->address.scheme = COAT_SCHEME_UNIX;
    return parse_path(url, rest,
                      "lacks the absolute path of the socket; write unix:/path?db=0, and a "
                      "password as option or parameter",
                      err);
}

static int parse_embedded(struct coat_url *url, char *rest, struct coat_error *err)
{
    url->address.scheme = COAT_SCHEME_EMBEDDED;
    if (!*rest)
        return 0;
    return parse_path(url, rest,
                      "lacks an absolute directory; write embedded:/dir, or embedded: for the "
                      "default one",
                      err);
}

/* The first that fits. */
static const struct {
    const char *name;
    int (*parse)(struct coat_url *url, char *rest, struct coat_error *err);
    enum coat_deployment kind;
    int tls;
} schemes[] = {
    {"redis", parse_tcp, COAT_SINGLE, 0},
    {"unix", parse_unix, COAT_SINGLE, 0},
    {"embedded", parse_embedded, COAT_SINGLE, 0},
    {"rediss", parse_tcp, COAT_SINGLE, 1},
    {"redis+sentinel", parse_tcp, COAT_SENTINEL, 0},
    {"rediss+sentinel", parse_tcp, COAT_SENTINEL, 1},
    {"redis+cluster", parse_tcp, COAT_CLUSTER, 0},
    {"rediss+cluster", parse_tcp, COAT_CLUSTER, 1},
    {"valkey", parse_tcp, COAT_SINGLE, 0},
    {"valkeys", parse_tcp, COAT_SINGLE, 1},
    {"valkey+sentinel", parse_tcp, COAT_SENTINEL, 0},
    {"valkeys+sentinel", parse_tcp, COAT_SENTINEL, 1},
    {"valkey+cluster", parse_tcp, COAT_CLUSTER, 0},
    {"valkeys+cluster", parse_tcp, COAT_CLUSTER, 1},
};

/* What was begun with may be a piece of a password, and is not repeated. */
static int unknown_scheme(const char *text, struct coat_error *err)
{
    if (strcasestr(text, "sentinel"))
        return wrong(err, "begins with no form that is known; write "
                          "redis+sentinel://host1,host2,host3/service/0, or rediss+sentinel:// "
                          "with TLS");
    if (strcasestr(text, "cluster"))
        return wrong(err, "begins with no form that is known; write "
                          "redis+cluster://host1,host2,host3, or rediss+cluster:// with TLS");
    if (strcasestr(text, "unix") || strcasestr(text, "socket"))
        return wrong(err, "begins with no form that is known; a unix socket is unix:/path?db=0, "
                          "and has no TLS");
    return wrong(err, "begins with no form that is known; write redis://host:6379/0 (rediss:// "
                      "with TLS), redis+sentinel://, redis+cluster://, unix:/path/of/socket or "
                      "embedded:");
}

static int parse_scheme(struct coat_url *url, char *text, struct coat_error *err)
{
    char *rest = strchr(text, ':');
    if (rest)
        *rest++ = '\0';
    for (size_t i = 0; rest && i < sizeof schemes / sizeof schemes[0]; i++) {
        if (strcasecmp(text, schemes[i].name) != 0)
            continue;
        url->kind = schemes[i].kind;
        url->tls = schemes[i].tls;
        return schemes[i].parse(url, rest, err);
    }
    return unknown_scheme(rest ? text : "", err);
}

/* Once the query was read, too: it may name the database. */
static int complete(struct coat_url *url, struct coat_error *err)
{
    int db = url->address.db < 0 ? 0 : url->address.db;
    if (url->kind == COAT_CLUSTER && db > 0)
        return wrong(err, "names a database of a cluster, which has only one; leave it away");
    for (size_t i = 0; i < url->host_count; i++)
        url->hosts[i].db = url->kind == COAT_SENTINEL ? 0 : db;
    if (url->host_count)
        url->address = url->hosts[0];
    url->address.db = db;
    return 0;
}

static int parse(struct coat_url *url, char *text, struct coat_error *err)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '#')
            return wrong(err, "holds a blank, a control character or a #; write them as %20, "
                              "%23 and so on");
    char *query = strchr(text, '?');
    if (query)
        *query++ = '\0';
    url->address.db = -1;
    if (parse_scheme(url, text, err) < 0 || parse_query(url, query, err) < 0)
        return COAT_ECONFIG;
    return complete(url, err);
}

int coat_url_parse(struct coat_url *url, const char *text, struct coat_error *err)
{
    *url = (struct coat_url){0};
    url->text = strdup(text);
    if (!url->text)
        return coat_error_nomem(err);
    url->size = strlen(text);
    int rc = parse(url, url->text, err);
    if (rc < 0)
        coat_url_release(url);
    return rc;
}

const char *coat_url_param(const struct coat_url *url, const char *name)
{
    for (size_t i = 0; i < url->count; i++)
        if (strcmp(url->params[i].name, name) == 0)
            return url->params[i].value;
    return NULL;
}

void coat_url_release(struct coat_url *url)
{
    if (url->text)
        explicit_bzero(url->text, url->size);
    free(url->text);
    *url = (struct coat_url){0};
}
