#include "cache_url.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int coat_cache_url_is_own(const char *name, size_t len)
{
    static const char *const names[] = {"ttl", "ttl_jitter", "fill_ttl", "stale_ttl", "on_corrupt"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (len == strlen(names[i]) && strncasecmp(name, names[i], len) == 0)
            return 1;
    return 0;
}

static void take_ttl(const char *parameter, size_t name_len, size_t len, char ttl[32])
{
    if (name_len != 3 || len - name_len > 32 || len == name_len)
        return;
    memcpy(ttl, parameter + name_len + 1, len - name_len - 1);
    ttl[len - name_len - 1] = '\0';
}

char *coat_cache_url_rest(const char *url, char ttl[32])
{
    char *rest = malloc(strlen(url) + 1), *to;
    const char *at = strchr(url, '?');
    if (ttl)
        ttl[0] = '\0';
    if (!rest)
        return NULL;
    size_t place = at ? (size_t)(at - url) : strlen(url);
    memcpy(rest, url, place);
    to = rest + place;
    for (char mark = '?'; at && *at; at += strcspn(at, "&")) {
        at++;
        size_t len = strcspn(at, "&"), name_len = strcspn(at, "=&");
        if (coat_cache_url_is_own(at, name_len)) {
            if (ttl)
                take_ttl(at, name_len, len, ttl);
            continue;
        }
        *to++ = mark;
        memcpy(to, at, len);
        to += len;
        mark = '&';
    }
    *to = '\0';
    return rest;
}
