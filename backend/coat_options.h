/*
 * coat_options.h: the options of a store, set by name, so that a new one breaks nobody.
 *
 *     url              where the data lives; see the table in README.md. Required.
 *     prefix           names the application in Redis, for example "shop:". Required, except for
 *                      embedded:. No braces, at most 64 bytes.
 *     idle             seconds without a request after which a session ends; "none": not before
 *                      its deadline. 1800
 *     lifetime         seconds after creation or login at which a session ends. 43200
 *     anonymous_idle   idle, until somebody logs in, so that visitors who do not come back take
 *                      little room. "none": no difference
 *     preset           idle and lifetime as in NIST SP 800-63, where these are not given: "aal1"
 *                      (none and 30 days), "aal2" (1 hour and 24 hours), "aal3" (15 minutes and
 *                      12 hours)
 *     not_before       seconds since 1970: sessions that were created earlier are over. After an
 *                      incident, or a restored backup; a time to come ends new ones, too. "none"
 *     renew            seconds after which an id is renewed: a save gives the session another one,
 *                      and the old one works until `grace` after that was first used. "none"
 *     grace            seconds for which an id works beside the one that took its place. 10
 *     lock_ttl         seconds after which the lock of a session ends by itself. 30
 *     timeout          seconds for a whole call, connecting and retries included. 1.0
 *     connect_timeout  seconds of these for connecting. Half of timeout, at most 0.5
 *     max_connections  to each server, of one store; in Python, of all stores of an interpreter
 *                      that reach it in the same way. 8
 *     touch_below      the idle clock is renewed when less than this part of it is left. 0.9
 *     stale            seconds for which an id that was just replaced is told from an unknown
 *                      one. 30
 *     on_conflict      when this request and another changed the same field: "mine", "theirs" or
 *                      "raise"; or see coat_options_on_conflict. mine
 *     max_sessions     how many sessions a principal may have at once; "none": any number. none
 *     on_max           a login beyond that: "evict" ends the session that would end first,
 *                      "refuse" fails. evict
 *     confirm          how many replicas must have a login, a logout, a rotation or the end of
 *                      other sessions before the call returns; fewer in time: COAT_EUNCERTAIN. 0
 *     on_event         "log": Python's coatcheck.Store logs what becomes of sessions; a C program
 *                      calls coat_store_on_event (coat_life.h), and this does nothing. none
 *     show             names of fields, with commas between, that a list of the sessions of a
 *                      principal shows
 *     max_bytes, max_depth, max_fields, max_items    limits of a session; "none" lifts one
 *                      (max_bytes is for its fields; a record is at most 376 longer)
 *     username, password    as in the URL, without its escaping
 *     password_file    read at each connect, in place of password: its first line
 *     max_idle         seconds after which an unused connection is closed; "none": never. 300
 *     max_age          seconds after which any connection is closed, once it is free. 3600
 *     sentinel_username, sentinel_password    for the sentinels; not the same as the master's
 *     node_map         where nodes of a cluster, or masters that sentinels name, can be reached
 *                      that announce another address: "10.0.0.1:6379=localhost:7001,..."
 *     verify           "1": a nonce ends every pipeline, a PING more, so that replies are noticed
 *                      that were exchanged, lost or doubled on the way, whatever they are. 0
 *     tls_ca_file, tls_ca_dir    whose certificates are trusted, for rediss://: a file of them, a
 *                      directory as "openssl rehash" makes it. Without both whom the system
 *                      trusts, as OpenSSL finds it, which reads SSL_CERT_FILE and SSL_CERT_DIR
 *     tls_cert_file, tls_key_file    our certificate and its key; the first may hold both
 *     tls_key_password    opens the key
 *     tls_server_name  whom the server's certificate must be for. The host of the URL
 *     tls_min_version  "1.2" or "1.3". 1.2
 *     spin_us          microseconds for which a call looks for its reply before it sleeps, in
 *                      Python with the interpreter's lock in hand; only where round trips are
 *                      that short, and not under a quota of processor time. 0: never. 50
 *     allow_root       "1": embedded: may start a server as root. 0
 *
 * Times are decimal seconds: idle and anonymous_idle from 1 to 2147483647, lifetime and renew from
 * 1 to 34560000 (400 days), all four whole; timeout, connect_timeout and lock_ttl from 0.001 to
 * 3600, stale and grace from 0 to 3600, max_idle and max_age from 0.001 to 86400. max_connections
 * goes to 4096, max_sessions to 10000, confirm to 100, touch_below from 0.001 to 1, max_bytes to
 * 512 MiB, max_depth to 1024, spin_us to 1000. A connect_timeout longer than timeout is cut down to
 * it, unless both were set: then the store is not opened.
 *
 * The same names are URL parameters (?idle=600), and with the prefix COATCHECK_ and in capitals
 * environment variables (an empty one counts as not set; one that is no option's is an error). An
 * option set by name wins over the URL's, that over the environment's, in whatever order they are
 * set.
 */
#ifndef COAT_OPTIONS_H
#define COAT_OPTIONS_H

#include "coat_error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coat_options;

/* All defaults. 0 and *out (the caller's, to be freed), or COAT_ENOMEM. */
COAT_API int coat_options_new(struct coat_options **out, struct coat_error *err);
COAT_API void coat_options_free(struct coat_options *o); /* NULL allowed; wipes secrets */

/*
 * Set one option; both strings are copied. 0, or COAT_ECONFIG: no such option (with the nearest
 * name), or a value that it cannot have; then the options are as before. Never prints a password.
 */
COAT_API int coat_options_set(struct coat_options *o, const char *name, const char *value,
                              struct coat_error *err);

/*
 * Take every option that was not set by name from the environment (COATCHECK_URL, ...). The only
 * function of the library that reads the environment for options. Failures as coat_options_set.
 */
COAT_API int coat_options_env(struct coat_options *o, struct coat_error *err);

/*
 * The same for a cache: COATCHECK_CACHE_URL, ... What is said there for caches of Python (ttl,
 * ttl_jitter, fill_ttl, stale_ttl, on_corrupt), also in the URL, is left out: in C each call says
 * it.
 */
COAT_API int coat_options_env_cache(struct coat_options *o, struct coat_error *err);

/* Texts from malloc(), or NULL. The library wipes and frees them. */
struct coat_credentials {
    char *username;
    char *password;
};

/*
 * Called at each connect, and once more when the server refused what it said; from any thread that
 * uses the store, several at once. Fill in *to: 0, or one of COAT_E..., described in *err, which is
 * what the call that needed the connection returns. It must not use the store.
 */
typedef int coat_credentials_fn(void *context, struct coat_credentials *to, struct coat_error *err);

/*
 * Ask this function for the credentials, in place of username and password. NULL: no longer.
 * `context` is borrowed until every store that was opened with these options is closed.
 */
COAT_API void coat_options_credentials(struct coat_options *o, coat_credentials_fn *fn,
                                       void *context);

/*
 * A field that this request and another one have changed to different values. A value is NULL
 * where there is no such field, otherwise bytes for a cursor (coat_value.h).
 */
struct coat_conflict {
    const char *field; /* UTF-8, with a length */
    size_t field_len;
    const void *base; /* what this request first read */
    size_t base_len;
    const void *mine; /* what it made of that */
    size_t mine_len;
    const void *theirs; /* what is stored now */
    size_t theirs_len;
};

enum coat_on_conflict {
    COAT_CONFLICT_MINE,
    COAT_CONFLICT_THEIRS,
    COAT_CONFLICT_RAISE, /* nothing is written, the save fails with COAT_ECONFLICT */
    COAT_CONFLICT_MERGED /* as the function has left the field in the document */
};

struct coat_doc;

/*
 * Called by a save for each such field, in the thread that saves; again if it has to merge again,
 * with the same base and mine. Returns one of the above. For COAT_CONFLICT_MERGED it sets that
 * field, and no other, in `merged`, or deletes it there; the values of *conflict are of no use
 * afterwards. One of COAT_E..., described in *err: nothing is written, and that is what the save
 * returns. It must not use the session or the store.
 */
typedef int coat_conflict_fn(void *context, const struct coat_conflict *conflict,
                             struct coat_doc *merged, struct coat_error *err);

/*
 * Ask this function in place of the option on_conflict. NULL: no longer. `context` is borrowed
 * until every store that was opened with these options is closed.
 */
COAT_API void coat_options_on_conflict(struct coat_options *o, coat_conflict_fn *fn, void *context);

#ifdef __cplusplus
}
#endif

#endif
