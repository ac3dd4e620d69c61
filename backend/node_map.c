#include "node_map.h"

#include <string.h>
#include <strings.h>

/* Up to one of `ends` or the end of the text; *at moves behind it. 1 and *place, or 0. */
static int read_place(const char **at, const char *ends, struct coat_place *place)
{
    const char *host = *at;
    size_t len = strcspn(host, ends);
    const char *colon = memrchr(host, ':', len);
    long long port = 0;
    if (!colon || host + len - colon > 6)
        return 0;
    for (const char *c = colon + 1; c < host + len; c++) {
        if (*c < '0' || *c > '9')
            return 0;
        port = port * 10 + (*c - '0');
    }
    *at = host + len;
    size_t host_len = (size_t)(colon - host);
    int bracketed = host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']';
    if (bracketed)
        host++, host_len -= 2;
    else if (memchr(host, ':', host_len))
        return 0;
    return host_len > 0 && coat_place_set(place, host, host_len, port);
}

/* The next pair; *at moves behind it and its comma. 1, or 0 if there is none. */
static int read_pair(const char **at, struct coat_place *from, struct coat_place *to)
{
    if (!read_place(at, "=,", from) || *(*at)++ != '=' || !read_place(at, "=,", to) || **at == '=')
        return 0;
    if (**at == ',')
        return *++*at != '\0';
    return 1;
}

int coat_node_map_valid(const char *text)
{
    struct coat_place from, to;
    do
        if (!read_pair(&text, &from, &to))
            return 0;
    while (*text);
    return 1;
}

void coat_node_map_apply(const char *text, struct coat_place *place)
{
    struct coat_place from, to;
    while (text && *text && read_pair(&text, &from, &to))
        if (from.port == place->port && strcasecmp(from.host, place->host) == 0) {
            *place = to;
            return;
        }
}
