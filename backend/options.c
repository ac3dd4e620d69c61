#include "options.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "api/utf8.h"
#include "node_map.h"
#include "record.h"
#include "url.h"

#define ENV_PREFIX "COATCHECK_"
#define NO_NONE    INT64_MIN /* struct option.none: "none" is no value */

/*
 * Everything that is known about an option. A parser stores the value of `text` at `field`: 0, or
 * COAT_ECONFIG if it is no such value, or COAT_ENOMEM.
 */
struct option {
    const char *name;
    const char *standard; /* the value where none is given; NULL: none */
    int (*parse)(const struct option *option, const char *text, void *field);
    size_t field;
    int64_t min, max; /* in the units of the field */
    int64_t none;     /* what "none" means there */
    const char *right;
};

/* ---- Parsers -------------------------------------------------------------------------------- */

/*
 * A decimal number without sign or exponent, times 10^places. Not strtod, which obeys the locale.
 * Digits beyond the places are dropped; where no places are asked for, they must be zeros.
 */
static int parse_decimal(const char *text, int places, int64_t *value)
{
    int64_t v = 0;
    int digits = 0;
    int after = -1; /* digits after the point; -1: before it */
    for (; *text; text++) {
        if (*text == '.' && after < 0) {
            after = 0;
            continue;
        }
        if (*text < '0' || *text > '9')
            return -1;
        int digit = *text - '0';
        digits++;
        if (after >= places) {
            if (places == 0 && digit != 0)
                return -1;
            continue;
        }
        if (v > (INT64_MAX - digit) / 10)
            return -1;
        v = v * 10 + digit;
        if (after >= 0)
            after++;
    }
    if (digits == 0)
        return -1;
    for (int i = after < 0 ? 0 : after; i < places; i++) {
        if (v > INT64_MAX / 10)
            return -1;
        v *= 10;
    }
    *value = v;
    return 0;
}

static int parse_number(const struct option *option, const char *text, int places, int64_t *value)
{
    if (option->none != NO_NONE && strcmp(text, "none") == 0) {
        *value = option->none;
        return 0;
    }
    if (parse_decimal(text, places, value) < 0 || *value < option->min || *value > option->max)
        return COAT_ECONFIG;
    return 0;
}

static int parse_whole(const struct option *option, const char *text, void *field)
{
    return parse_number(option, text, 0, field);
}

static int parse_ms(const struct option *option, const char *text, void *field)
{
    return parse_number(option, text, 3, field);
}

static int parse_int(const struct option *option, const char *text, void *field)
{
    int64_t value;
    if (parse_number(option, text, 0, &value) < 0)
        return COAT_ECONFIG;
    *(int *)field = (int)value;
    return 0;
}

static int parse_size(const struct option *option, const char *text, void *field)
{
    int64_t value;
    if (parse_number(option, text, 0, &value) < 0)
        return COAT_ECONFIG;
    *(size_t *)field = value == option->none ? SIZE_MAX : (size_t)value;
    return 0;
}

/* The bounds are in millionths. */
static int parse_part(const struct option *option, const char *text, void *field)
{
    int64_t value;
    if (parse_number(option, text, 6, &value) < 0)
        return COAT_ECONFIG;
    *(double *)field = (double)value / 1e6;
    return 0;
}

static int parse_on_conflict(const struct option *option, const char *text, void *field)
{
    (void)option;
    static const char *const names[] = {"mine", "theirs", "raise"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *(enum coat_on_conflict *)field = (enum coat_on_conflict)i;
            return 0;
        }
    return COAT_ECONFIG;
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

/* "" is the same as none. */
static int parse_text(const struct option *option, const char *text, void *field)
{
    (void)option;
    char *copy = *text ? strdup(text) : NULL;
    if (*text && !copy)
        return COAT_ENOMEM;
    wipe(*(char **)field);
    *(char **)field = copy;
    return 0;
}

static int parse_tls_version(const struct option *option, const char *text, void *field)
{
    (void)option;
    static const char *const names[] = {[COAT_TLS_1_2] = "1.2", [COAT_TLS_1_3] = "1.3"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *(enum coat_tls_version *)field = (enum coat_tls_version)i;
            return 0;
        }
    return COAT_ECONFIG;
}

static int has_control(const char *utf8)
{
    for (const unsigned char *c = (const unsigned char *)utf8; *c; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0))
            return 1;
    return 0;
}

/* "" is the same as none. */
static int parse_node_map(const struct option *option, const char *text, void *field)
{
    return *text && !coat_node_map_valid(text) ? COAT_ECONFIG : parse_text(option, text, field);
}

static int parse_prefix(const struct option *option, const char *text, void *field)
{
    size_t len = strlen(text);
    if (len == 0 || len > COAT_PREFIX_MAX || strpbrk(text, "{}") ||
        coat_utf8_valid(text, len) != len || has_control(text))
        return COAT_ECONFIG;
    return parse_text(option, text, field);
}

/* ---- The table ------------------------------------------------------------------------------ */

#define FIELD(name) offsetof(struct coat_options, name)

/*
 * Bounds: a time in ms, added to the present, stays far below 2^53, and a wait fits poll(). 400
 * days is the longest that browsers keep a cookie.
 */
static const struct option table[] = {
    {"url", NULL, NULL, 0, 0, 0, NO_NONE, ""},
    {"prefix", NULL, parse_prefix, FIELD(prefix), 0, 0, NO_NONE,
     "1 to 64 bytes of UTF-8 without braces and control characters, for example shop:"},
    {"idle", "1800", parse_whole, FIELD(idle_s), 1, COAT_IDLE_MAX_S, 0,
     "whole seconds from 1 to 2147483647, or none"},
    {"lifetime", "43200", parse_whole, FIELD(lifetime_s), 1, 34560000, NO_NONE,
     "whole seconds from 1 to 34560000 (400 days)"},
    {"timeout", "1", parse_ms, FIELD(timeout_ms), 1, 3600000, NO_NONE,
     "seconds from 0.001 to 3600"},
    {"connect_timeout", "0.5", parse_ms, FIELD(connect_timeout_ms), 1, 3600000, NO_NONE,
     "seconds from 0.001 to 3600"},
    {"max_connections", "8", parse_int, FIELD(connect.max_connections), 1, 4096, NO_NONE,
     "a number from 1 to 4096"},
    {"touch_below", "0.9", parse_part, FIELD(touch_below), 1000, 1000000, NO_NONE,
     "a part from 0.001 to 1"},
    {"stale", "30", parse_ms, FIELD(stale_ms), 0, 3600000, NO_NONE, "seconds from 0 to 3600"},
    {"on_conflict", "mine", parse_on_conflict, FIELD(on_conflict), 0, 0, NO_NONE,
     "mine, theirs or raise"},
    {"max_bytes", "1048576", parse_size, FIELD(limits.max_bytes), 1, 536870912, -1,
     "a number from 1 to 536870912 (512 MiB), or none"},
    {"max_depth", "64", parse_size, FIELD(limits.max_depth), 1, 1024, -1,
     "a number from 1 to 1024, or none"},
    {"max_fields", "16384", parse_size, FIELD(limits.max_fields), 1, INT32_MAX, -1,
     "a number from 1 to 2147483647, or none"},
    {"max_items", "262144", parse_size, FIELD(limits.max_items), 1, INT32_MAX, -1,
     "a number from 1 to 2147483647, or none"},
    {"username", NULL, parse_text, FIELD(connect.username), 0, 0, NO_NONE, "text"},
    {"password", NULL, parse_text, FIELD(connect.password), 0, 0, NO_NONE, "text"},
    {"password_file", NULL, parse_text, FIELD(connect.password_file), 0, 0, NO_NONE, "text"},
    {"max_idle", "300", parse_ms, FIELD(connect.max_idle_ms), 1, 86400000, 0,
     "seconds from 0.001 to 86400, or none"},
    {"max_age", "3600", parse_ms, FIELD(connect.max_age_ms), 1, 86400000, 0,
     "seconds from 0.001 to 86400, or none"},
    {"sentinel_username", NULL, parse_text, FIELD(connect.sentinel_username), 0, 0, NO_NONE,
     "text"},
    {"sentinel_password", NULL, parse_text, FIELD(connect.sentinel_password), 0, 0, NO_NONE,
     "text"},
    {"node_map", NULL, parse_node_map, FIELD(connect.node_map), 0, 0, NO_NONE,
     "announced=reachable addresses with commas between, for example "
     "10.0.0.1:6379=localhost:7001"},
    {"spin_us", "50", parse_whole, FIELD(spin_us), 0, 1000, NO_NONE,
     "whole microseconds from 0 to 1000"},
    {"verify", "0", parse_int, FIELD(verify), 0, 1, NO_NONE, "0 or 1"},
    {"tls_ca_file", NULL, parse_text, FIELD(connect.tls.ca_file), 0, 0, NO_NONE, "a path"},
    {"tls_ca_dir", NULL, parse_text, FIELD(connect.tls.ca_dir), 0, 0, NO_NONE, "a path"},
    {"tls_cert_file", NULL, parse_text, FIELD(connect.tls.cert_file), 0, 0, NO_NONE, "a path"},
    {"tls_key_file", NULL, parse_text, FIELD(connect.tls.key_file), 0, 0, NO_NONE, "a path"},
    {"tls_key_password", NULL, parse_text, FIELD(connect.tls.key_password), 0, 0, NO_NONE, "text"},
    {"tls_server_name", NULL, parse_text, FIELD(connect.tls.server_name), 0, 0, NO_NONE,
     "a host name"},
    {"tls_min_version", "1.2", parse_tls_version, FIELD(connect.tls.min_version), 0, 0, NO_NONE,
     "1.2 or 1.3"},
    {"allow_root", "0", parse_int, FIELD(allow_root), 0, 1, NO_NONE, "0 or 1"},
};

enum { OPTIONS = sizeof table / sizeof table[0], URL = 0 };
_Static_assert(OPTIONS <= COAT_OPTIONS_MAX, "struct coat_options has room for every option");

static int find(const char *name)
{
    for (int i = 0; i < OPTIONS; i++)
        if (strcmp(name, table[i].name) == 0)
            return i;
    return -1;
}

/* ---- Messages ------------------------------------------------------------------------------- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters to insert, delete or change. b is shorter than 32. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32];
    size_t n = strlen(b);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(change, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

/* `shown` 0: the name may be a piece of a mistyped secret. */
static int unknown(const char *name, int shown, struct coat_error *err)
{
    size_t len = strlen(name);
    if (len == 0 || len > 24 || strspn(name, "abcdefghijklmnopqrstuvwxyz_") != len)
        return coat_error_set(err, COAT_ECONFIG,
                              "there is no such option; the URL's parameters and the options "
                              "are lower-case words such as idle or max_bytes");
    int nearest = 0;
    for (int i = 1; i < OPTIONS; i++)
        if (distance(name, table[i].name) < distance(name, table[nearest].name))
            nearest = i;
    const char *what = shown ? name : "of this name";
    if (2 * distance(name, table[nearest].name) <= len)
        return coat_error_set(err, COAT_ECONFIG, "there is no option %s; did you mean %s?", what,
                              table[nearest].name);
    return coat_error_set(err, COAT_ECONFIG,
                          "there is no option %s; coat_options.h and Python's "
                          "help(coatcheck.Store) say which there are",
                          what);
}

/* Where an option was given. */
enum source { DEFAULT, FROM_ENV, FROM_URL, BY_NAME };

static int refuse(const struct option *option, enum source source, const char *value,
                  struct coat_error *err)
{
    static const char *const where[] = {"", "the environment: ", "the URL: ", ""};
    if (source == FROM_URL && strchr(value, '@')) /* so looks a password with a bare ? in it */
        return coat_error_set(err, COAT_ECONFIG, "the URL: option %s must be %s", option->name,
                              option->right);
    char shown[48];
    size_t n = 0;
    for (; value[n] && n < sizeof shown - 1; n++)
        shown[n] = value[n] >= ' ' && value[n] <= '~' ? value[n] : '?';
    shown[n] = '\0';
    return coat_error_set(err, COAT_ECONFIG, "%soption %s must be %s, not \"%s\"", where[source],
                          option->name, option->right, shown);
}

/* ---- Options -------------------------------------------------------------------------------- */

static int take(struct coat_options *o, const struct option *option, enum source source,
                const char *value, struct coat_error *err)
{
    int rc = option->parse(option, value, (char *)o + option->field);
    if (rc == COAT_ENOMEM)
        return coat_error_nomem(err);
    return rc < 0 ? refuse(option, source, value, err) : 0;
}

static int take_connect(struct coat_connect *connect, const struct coat_url *url,
                        struct coat_error *err)
{
    connect->kind = url->kind;
    if (url->kind == COAT_SINGLE)
        return 0;
    connect->service = url->service ? strdup(url->service) : NULL;
    connect->hosts = calloc(url->host_count, sizeof *connect->hosts);
    if (!connect->hosts || (url->service && !connect->service))
        return coat_error_nomem(err);
    for (size_t i = 0; i < url->host_count; i++) {
        connect->host_count++;
        if (coat_address_copy(&connect->hosts[i], &url->hosts[i], err) < 0)
            return COAT_ENOMEM;
    }
    return 0;
}

static int take_address(struct coat_options *o, const struct coat_url *url, struct coat_error *err)
{
    for (size_t i = 0; i < url->count; i++)
        if (find(url->params[i].name) <= URL)
            return unknown(url->params[i].name, !strchr(url->params[i].value, '@'), err);
    o->connect.tls.on = url->tls;
    if (coat_address_copy(&o->connect.address, &url->address, err) < 0)
        return COAT_ENOMEM;
    return take_connect(&o->connect, url, err);
}

static int is_given(const struct coat_options *o, const struct coat_url *url, const char *name)
{
    int i = find(name);
    return o->by_name[i] || o->by_env[i] || coat_url_param(url, name);
}

/*
 * Connecting is a part of the call: half of it where nothing else was asked for. If both times
 * were asked for and do not go together, somebody has to say which is meant.
 */
static void fit_connect_timeout(struct coat_options *o, const struct coat_url *url)
{
    int64_t most = o->timeout_ms;
    if (!is_given(o, url, "connect_timeout"))
        most = (most + 1) / 2;
    else if (is_given(o, url, "timeout"))
        return;
    if (o->connect_timeout_ms > most)
        o->connect_timeout_ms = most;
}

/*
 * The values that hold, from what was given; *o has none yet. Every value that was given is looked
 * at, also one that another source overrides, so that no mistake waits for the day that uncovers
 * it.
 */
static int settle(struct coat_options *o, struct coat_error *err)
{
    struct coat_url url = {0};
    const char *text = o->by_name[URL] ? o->by_name[URL] : o->by_env[URL];
    int rc = text ? coat_url_parse(&url, text, err) : 0;
    if (rc == 0)
        rc = take_address(o, &url, err);
    for (int i = URL + 1; rc == 0 && i < OPTIONS; i++) {
        const char *values[] = {table[i].standard, o->by_env[i],
                                coat_url_param(&url, table[i].name), o->by_name[i]};
        for (int source = DEFAULT; rc == 0 && source <= BY_NAME; source++)
            if (values[source])
                rc = take(o, &table[i], (enum source)source, values[source], err);
    }
    fit_connect_timeout(o, &url);
    coat_url_release(&url);
    return rc;
}

/* What was given, without the values that follow from it. NULL: no memory. */
static struct coat_options *copy_given(const struct coat_options *o)
{
    struct coat_options *copy = calloc(1, sizeof *copy);
    if (!copy)
        return NULL;
    copy->connect.credentials = o->connect.credentials;
    copy->connect.credentials_context = o->connect.credentials_context;
    for (int i = 0; i < OPTIONS; i++) {
        copy->by_name[i] = o->by_name[i] ? strdup(o->by_name[i]) : NULL;
        copy->by_env[i] = o->by_env[i] ? strdup(o->by_env[i]) : NULL;
        if (!copy->by_name[i] != !o->by_name[i] || !copy->by_env[i] != !o->by_env[i]) {
            coat_options_free(copy);
            return NULL;
        }
    }
    return copy;
}

/* *o becomes what `next` is once it is settled, or stays as it is. Frees next, which may be NULL.
 */
static int replace(struct coat_options *o, struct coat_options *next, struct coat_error *err)
{
    int rc = next ? settle(next, err) : coat_error_nomem(err);
    if (rc == 0) {
        struct coat_options former = *o;
        *o = *next;
        *next = former;
    }
    coat_options_free(next);
    return rc;
}

int coat_options_new(struct coat_options **out, struct coat_error *err)
{
    *out = calloc(1, sizeof **out);
    int rc = *out ? settle(*out, err) : coat_error_nomem(err);
    if (rc < 0) {
        coat_options_free(*out);
        *out = NULL;
    }
    return rc;
}

void coat_options_free(struct coat_options *o)
{
    if (!o)
        return;
    for (int i = 0; i < OPTIONS; i++) {
        wipe(o->by_name[i]);
        wipe(o->by_env[i]);
    }
    free(o->prefix);
    coat_connect_release(&o->connect);
    free(o->embedded_dir);
    free(o);
}

int coat_options_set(struct coat_options *o, const char *name, const char *value,
                     struct coat_error *err)
{
    int i = find(name);
    if (i < 0)
        return unknown(name, 1, err);
    struct coat_options *next = copy_given(o);
    if (next) {
        wipe(next->by_name[i]);
        next->by_name[i] = strdup(value);
        if (!next->by_name[i]) {
            coat_options_free(next);
            next = NULL;
        }
    }
    return replace(o, next, err);
}

/* The environment's value of an option; an empty one counts as none. */
static const char *from_env(const struct option *option)
{
    char name[sizeof ENV_PREFIX + 32] = ENV_PREFIX;
    size_t n = strlen(ENV_PREFIX);
    for (const char *c = option->name; *c; c++)
        name[n++] = *c == '_' ? '_' : (char)(*c - 'a' + 'A');
    name[n] = '\0';
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int coat_options_env(struct coat_options *o, struct coat_error *err)
{
    struct coat_options *next = copy_given(o);
    for (int i = 0; next && i < OPTIONS; i++) {
        const char *value = next->by_name[i] ? NULL : from_env(&table[i]);
        wipe(next->by_env[i]);
        next->by_env[i] = value ? strdup(value) : NULL;
        if (value && !next->by_env[i]) {
            coat_options_free(next);
            next = NULL;
        }
    }
    return replace(o, next, err);
}

void coat_options_credentials(struct coat_options *o, coat_credentials_fn *fn, void *context)
{
    o->connect.credentials = fn;
    o->connect.credentials_context = context;
}

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
                              "one Redis would open each other's sessions");
    if (o->connect_timeout_ms > o->timeout_ms)
        return coat_error_set(err, COAT_ECONFIG,
                              "option connect_timeout is longer than timeout, of which it is a "
                              "part; make timeout longer or leave connect_timeout away");
    return coat_tls_options_check(&o->connect.tls, err);
}

struct coat_options *coat_options_copy(const struct coat_options *o)
{
    struct coat_options *copy = copy_given(o);
    if (copy && settle(copy, NULL) < 0) {
        coat_options_free(copy);
        copy = NULL;
    }
    return copy;
}
