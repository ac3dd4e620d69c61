#include "sentinel.h"

#include "api/error.h"
#include "refusal.h"

static int not_known(const char *name, const char *service, struct coat_error *err)
{
    return coat_error_because(err, COAT_ECONFIG, "service",
                              "the sentinel %s watches no service %.64s; compare the URL with its "
                              "SENTINEL MASTERS",
                              name, service);
}

static int not_a_sentinel(const char *name, struct coat_error *err)
{
    return coat_error_because(err, COAT_EUNAVAILABLE, "protocol",
                              "%s does not answer like a sentinel; the hosts of this URL are the "
                              "sentinels, by default at port 26379",
                              name);
}

/* The port comes as text. 0 if it is none. */
static int port_of(const struct coat_reply *reply)
{
    int port = 0;
    if (reply->kind != COAT_REPLY_BULK || reply->len > 5)
        return 0;
    for (size_t i = 0; i < reply->len; i++) {
        if (reply->bytes[i] < '0' || reply->bytes[i] > '9')
            return 0;
        port = port * 10 + (reply->bytes[i] - '0');
    }
    return port;
}

int coat_sentinel_master(const struct coat_reply *reply, const char *name, const char *service,
                         struct coat_place *place, struct coat_error *err)
{
    if (reply->kind == COAT_REPLY_NIL)
        return not_known(name, service, err);
    if (reply->kind == COAT_REPLY_ERROR)
        return coat_refusal_is(reply, "ERR") ? not_a_sentinel(name, err) : coat_refusal(reply, err);
    if (reply->kind != COAT_REPLY_ARRAY || reply->count != 2 ||
        reply->items[0].kind != COAT_REPLY_BULK || reply->items[0].len == 0 ||
        !coat_place_set(place, reply->items[0].bytes, reply->items[0].len,
                        port_of(&reply->items[1])))
        return not_a_sentinel(name, err);
    return 0;
}
