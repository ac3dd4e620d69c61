#include "options.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/error.h"
#include "cache_url.h"
#include "text.h"
#include "url.h"

#define ENV_PREFIX       "COATCHECK_"
#define CACHE_ENV_PREFIX "COATCHECK_CACHE_"

/* Where an option was given. */
enum source { DEFAULT, FROM_ENV, FROM_URL, BY_NAME };

static int refuse(const struct coat_option *option, enum source source, const char *value,
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

static int take(struct coat_options *o, const struct coat_option *option, enum source source,
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
    if (coat_text_copy(&connect->service, url->service) &&
        coat_connect_set_hosts(connect, url->hosts, url->host_count))
        return 0;
    return coat_error_nomem(err);
}

static int take_address(struct coat_options *o, const struct coat_url *url, struct coat_error *err)
{
    for (size_t i = 0; i < url->count; i++)
        if (coat_option_find(url->params[i].name) <= COAT_OPTION_URL)
            return coat_option_unknown(url->params[i].name, !strchr(url->params[i].value, '@'),
                                       err);
    o->connect.tls.on = url->tls;
    if (coat_address_copy(&o->connect.address, &url->address, err) < 0)
        return COAT_ENOMEM;
    return take_connect(&o->connect, url, err);
}

static int is_given(const struct coat_options *o, const struct coat_url *url, const char *name)
{
    int i = coat_option_find(name);
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

/* What a preset says of the lifetimes, where nothing else was said of them. */
static void take_preset(struct coat_options *o, const struct coat_url *url)
{
    static const struct {
        int64_t idle_s, lifetime_s;
    } PRESET[] = {
        [COAT_AAL1] = {0, 30 * 86400}, [COAT_AAL2] = {3600, 86400}, [COAT_AAL3] = {900, 43200}};
    if (o->preset == COAT_NO_PRESET)
        return;
    if (!is_given(o, url, "idle"))
        o->idle_s = PRESET[o->preset].idle_s;
    if (!is_given(o, url, "lifetime"))
        o->lifetime_s = PRESET[o->preset].lifetime_s;
}

/*
 * The values that hold, from what was given; *o has none yet. Every value that was given is looked
 * at, also one that another source overrides, so that no mistake waits for the day that uncovers
 * it.
 */
static int settle(struct coat_options *o, struct coat_error *err)
{
    struct coat_url url = {0};
    const char *named = o->by_name[COAT_OPTION_URL];
    const char *text = named ? named : o->by_env[COAT_OPTION_URL];
    int rc = text ? coat_url_parse(&url, text, err) : 0;
    if (rc == 0)
        rc = take_address(o, &url, err);
    for (int i = COAT_OPTION_URL + 1; rc == 0 && i < COAT_OPTION_COUNT; i++) {
        const struct coat_option *option = &coat_option_table[i];
        const char *values[] = {option->standard, o->by_env[i], coat_url_param(&url, option->name),
                                o->by_name[i]};
        for (int source = DEFAULT; rc == 0 && source <= BY_NAME; source++)
            if (values[source])
                rc = take(o, option, (enum source)source, values[source], err);
    }
    take_preset(o, &url);
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
    copy->on_conflict.ask = o->on_conflict.ask;
    copy->on_conflict.context = o->on_conflict.context;
    for (int i = 0; i < COAT_OPTION_COUNT; i++) {
        if (!coat_text_copy(&copy->by_name[i], o->by_name[i]) ||
            !coat_text_copy(&copy->by_env[i], o->by_env[i])) {
            coat_options_free(copy);
            return NULL;
        }
    }
    return copy;
}

/* One of its values is this one now; frees *next for lack of memory. */
static void give(struct coat_options **next, char **slot, const char *value)
{
    coat_text_wipe(slot);
    if (!coat_text_copy(slot, value)) {
        coat_options_free(*next);
        *next = NULL;
    }
}

/* *o becomes what `next` is once that is settled, or stays as it is. Frees next, if there is one.
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
    for (int i = 0; i < COAT_OPTION_COUNT; i++) {
        coat_text_wipe(&o->by_name[i]);
        coat_text_wipe(&o->by_env[i]);
    }
    free(o->prefix);
    free(o->show);
    coat_connect_release(&o->connect);
    free(o->embedded_dir);
    free(o);
}

int coat_options_set(struct coat_options *o, const char *name, const char *value,
                     struct coat_error *err)
{
    int i = coat_option_find(name);
    if (i < 0)
        return coat_option_unknown(name, 1, err);
    struct coat_options *next = copy_given(o);
    if (next)
        give(&next, &next->by_name[i], value);
    return replace(o, next, err);
}

/* Does a variable of this name, without our prefix, say an option? 0, or advice. */
static int check_name(const char *prefix, const char *name, size_t len, struct coat_error *err)
{
    char option[32] = "";
    for (size_t i = 0; len < sizeof option && i < len; i++)
        option[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a')
                    : name[i] == '_'                 ? '_'
                                                     : '?';
    if (coat_option_find(option) >= 0)
        return 0;
    struct coat_error why;
    coat_option_unknown(option, 1, &why);
    size_t shown = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return coat_error_set(err, COAT_ECONFIG, "the environment: %s%.*s: %s", prefix,
                          (int)(shown < 64 ? shown : 64), name, why.text);
}

/* `variable` is NAME=value and begins with our prefix. 0 if it is an option's, or says nothing. */
static int check_variable(const char *variable, struct coat_error *err)
{
    const char *name = variable + strlen(ENV_PREFIX);
    size_t len = strcspn(name, "=");
    if (!name[len] || !name[len + 1])
        return 0;
    /* Kubernetes tells every container of a service named "coatcheck" by variables of these names.
     */
    if (strncmp(name, "PORT", 4) == 0 || strncmp(name, "SERVICE_", 8) == 0)
        return 0;
    if (strncmp(name, "CACHE_", 6) == 0)
        return 0;
    return check_name(ENV_PREFIX, name, len, err);
}

/* Likewise, of a cache. */
static int check_variable_of_cache(const char *variable, struct coat_error *err)
{
    const char *name = variable + strlen(CACHE_ENV_PREFIX);
    size_t len = strcspn(name, "=");
    if (!name[len] || !name[len + 1])
        return 0;
    if (coat_cache_url_is_own(name, len))
        return 0;
    return check_name(CACHE_ENV_PREFIX, name, len, err);
}

/* Who mistypes a variable would otherwise run with a default, and not know. */
static int check_env(const char *prefix, int (*check)(const char *, struct coat_error *),
                     struct coat_error *err)
{
    int rc = 0;
    for (char **variable = environ; rc == 0 && variable && *variable; variable++)
        if (strncmp(*variable, prefix, strlen(prefix)) == 0)
            rc = check(*variable, err);
    return rc;
}

/* The environment's value of an option; an empty one counts as none. */
static const char *from_env(const char *prefix, const struct coat_option *option)
{
    char name[sizeof CACHE_ENV_PREFIX + 32];
    size_t n = strlen(prefix);
    memcpy(name, prefix, n);
    for (const char *c = option->name; *c; c++)
        name[n++] = *c == '_' ? '_' : (char)(*c - 'a' + 'A');
    name[n] = '\0';
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static int take_env(struct coat_options *o, const char *prefix, struct coat_error *err)
{
    struct coat_options *next = copy_given(o);
    for (int i = 0; next && i < COAT_OPTION_COUNT; i++) {
        const char *value = next->by_name[i] ? NULL : from_env(prefix, &coat_option_table[i]);
        char *rest = NULL;
        if (value && i == COAT_OPTION_URL && strcmp(prefix, CACHE_ENV_PREFIX) == 0) {
            rest = coat_cache_url_rest(value, NULL);
            value = rest;
            if (!rest) {
                coat_options_free(next);
                return coat_error_nomem(err);
            }
        }
        give(&next, &next->by_env[i], value);
        coat_text_wipe(&rest);
    }
    return replace(o, next, err);
}

int coat_options_env(struct coat_options *o, struct coat_error *err)
{
    int rc = check_env(ENV_PREFIX, check_variable, err);
    return rc < 0 ? rc : take_env(o, ENV_PREFIX, err);
}

int coat_options_env_cache(struct coat_options *o, struct coat_error *err)
{
    int rc = check_env(CACHE_ENV_PREFIX, check_variable_of_cache, err);
    return rc < 0 ? rc : take_env(o, CACHE_ENV_PREFIX, err);
}

void coat_options_credentials(struct coat_options *o, coat_credentials_fn *fn, void *context)
{
    o->connect.credentials = fn;
    o->connect.credentials_context = context;
}

void coat_options_on_conflict(struct coat_options *o, coat_conflict_fn *fn, void *context)
{
    o->on_conflict.ask = fn;
    o->on_conflict.context = context;
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
