#include "options.h"

#include "api/error.h"
#include "url.h"

static int check_credentials(const struct coat_connect *c, struct coat_error *err)
{
    int given = (c->username || c->password) + !!c->password_file + !!c->credentials;
    if (given && c->address.scheme == COAT_SCHEME_EMBEDDED)
        return coat_error_set(err, COAT_ECONFIG,
                              "embedded: has no users; leave username and password away");
    if (c->credentials && given > 1)
        return coat_error_set(err, COAT_ECONFIG,
                              "credentials brings username and password; leave those, and "
                              "password_file, away");
    if (c->password && c->password_file)
        return coat_error_set(err, COAT_ECONFIG,
                              "both password and password_file are given; leave one away");
    return 0;
}

int coat_options_complete(const struct coat_options *o, struct coat_error *err)
{
    if (o->connect.address.scheme == COAT_SCHEME_NONE)
        return coat_error_set(err, COAT_ECONFIG,
                              "no url is given; set the option url or COATCHECK_URL, for example "
                              "redis://localhost:6379/0, or embedded: for development");
    int rc = check_credentials(&o->connect, err);
    if (rc < 0)
        return rc;
    if ((o->connect.sentinel_username || o->connect.sentinel_password) &&
        o->connect.kind != COAT_SENTINEL)
        return coat_error_set(err, COAT_ECONFIG,
                              "sentinel_username and sentinel_password are for redis+sentinel:// "
                              "and rediss+sentinel:// only; leave them away");
    if (o->connect.node_map && o->connect.kind == COAT_SINGLE)
        return coat_error_set(err, COAT_ECONFIG,
                              "node_map is for sentinels and clusters only; leave it away, and "
                              "write the address into the url");
    if (!o->prefix && o->connect.address.scheme != COAT_SCHEME_EMBEDDED)
        return coat_error_set(err, COAT_ECONFIG,
                              "no prefix is given; set one that names the application, for "
                              "example prefix shop:, because two applications with one prefix on "
                              "one Redis would find each other's sessions and entries");
    if (o->connect_timeout_ms > o->timeout_ms)
        return coat_error_set(err, COAT_ECONFIG,
                              "option connect_timeout is longer than timeout, of which it is a "
                              "part; make timeout longer or leave connect_timeout away");
    return coat_tls_options_check(&o->connect.tls, err);
}

static int refuse_for_cache(const struct coat_options *o, const struct coat_url *url,
                            struct coat_error *err)
{
    static const char *const FOR_SESSIONS[] = {
        "idle",   "lifetime", "anonymous_idle", "preset", "not_before",  "renew",
        "grace",  "lock_ttl", "touch_below",    "stale",  "on_conflict", "max_sessions",
        "on_max", "confirm",  "on_event",       "show",   "max_fields"};
    for (size_t i = 0; i < sizeof FOR_SESSIONS / sizeof *FOR_SESSIONS; i++)
        if (o->by_name[coat_option_find(FOR_SESSIONS[i])] || coat_url_param(url, FOR_SESSIONS[i]))
            return coat_error_set(err, COAT_ECONFIG,
                                  "option %s is for sessions, and a cache has none; leave it away",
                                  FOR_SESSIONS[i]);
    return 0;
}

int coat_options_suit_cache(const struct coat_options *o, struct coat_error *err)
{
    const char *text =
        o->by_name[COAT_OPTION_URL] ? o->by_name[COAT_OPTION_URL] : o->by_env[COAT_OPTION_URL];
    struct coat_url url = {0};
    int rc = text ? coat_url_parse(&url, text, err) : 0;
    if (rc == 0)
        rc = refuse_for_cache(o, &url, err);
    coat_url_release(&url);
    return rc;
}
