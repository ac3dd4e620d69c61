#include "greeting.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coat_version.h"
#include "api/error.h"
#include "api/fault.h"
#include "net.h"
#include "refusal.h"
#include "text.h"

#define PASSWORD_MAX 4096u

enum { AUTH, SELECT, NAME, INFO, ROLE, MEMORY };

void coat_greeting_init(struct coat_greeting *g, const struct coat_peer *peer)
{
    *g = (struct coat_greeting){.peer = peer};
}

/* ---- Credentials ---------------------------------------------------------------------------- */

void coat_greeting_release(struct coat_greeting *g)
{
    coat_text_wipe(&g->secret.username);
    coat_text_wipe(&g->secret.password);
}

/* As much of a file as fits: how much that is, or -1. Nothing is waited for, as a pipe would. */
static ssize_t read_file(const char *path, char *bytes, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    size_t len = 0;
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && len < size) {
        n = read(fd, bytes + len, size - len);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            len += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    return n < 0 ? -1 : (ssize_t)len;
}

/* The first line of a file, as a text to be wiped. */
static int read_password(const char *path, char **password, struct coat_error *err)
{
    char bytes[PASSWORD_MAX + 1];
    ssize_t n = read_file(path, bytes, sizeof bytes);
    if (n < 0)
        return coat_error_because(err, COAT_ECONFIG, "password_file",
                                  "password_file %.120s cannot be read; check its path and who "
                                  "may read it",
                                  path);
    size_t len = 0;
    while (len < (size_t)n && bytes[len] != '\n' && bytes[len] != '\r')
        len++;
    int is_one = len > 0 && len <= PASSWORD_MAX && !memchr(bytes, 0, len);
    *password = is_one ? strndup(bytes, len) : NULL;
    explicit_bzero(bytes, sizeof bytes);
    if (!is_one)
        return coat_error_because(err, COAT_ECONFIG, "password_file",
                                  "password_file %.120s must begin with a line of 1 to %u bytes, "
                                  "none of them 0: the password",
                                  path, PASSWORD_MAX);
    return *password ? 0 : coat_error_nomem(err);
}

static int read_secret(struct coat_greeting *g, struct coat_error *err)
{
    const struct coat_connect *c = g->peer->connect;
    coat_greeting_release(g);
    if (g->peer->is_sentinel)
        return coat_text_copy(&g->secret.username, c->sentinel_username) &&
                       coat_text_copy(&g->secret.password, c->sentinel_password)
                   ? 0
                   : coat_error_nomem(err);
    if (c->credentials) {
        int rc = c->credentials(c->credentials_context, &g->secret, err);
        if (rc < 0 && strcmp(coat_code_name(rc), "unknown code") == 0)
            rc = coat_error_set(err, COAT_EUSAGE,
                                "the function for credentials returned %d, which is no code of "
                                "coat_error.h",
                                rc);
        return rc < 0 ? coat_fault_note(err, COAT_FAULT_HERE, rc) : rc;
    }
    if (!coat_text_copy(&g->secret.username, c->username))
        return coat_error_nomem(err);
    if (c->password_file)
        return read_password(c->password_file, &g->secret.password, err);
    return coat_text_copy(&g->secret.password, c->password) ? 0 : coat_error_nomem(err);
}

int coat_greeting_asks(const struct coat_greeting *g)
{
    return !g->peer->is_sentinel && g->peer->connect->credentials;
}

/* Asked again, they may be others. */
static int may_change(const struct coat_greeting *g)
{
    return coat_greeting_asks(g) || (!g->peer->is_sentinel && g->peer->connect->password_file);
}

/* ---- The commands --------------------------------------------------------------------------- */

static void add_arg(struct coat_greeting *g, const char *text)
{
    assert(g->count > 0 && g->arg_count < COAT_GREETING_ARGS);
    g->args[g->arg_count++] = (struct coat_arg){text, strlen(text)};
    g->commands[g->count - 1].count++;
}

static void add_command(struct coat_greeting *g, unsigned char kind, const char *name)
{
    assert(g->count < COAT_GREETING_COMMANDS);
    g->kinds[g->count] = kind;
    g->commands[g->count++] = (struct coat_command){.args = g->args + g->arg_count};
    add_arg(g, name);
}

static void add_auth(struct coat_greeting *g)
{
    if (!g->secret.username && !g->secret.password)
        return;
    add_command(g, AUTH, "AUTH");
    if (g->secret.username)
        add_arg(g, g->secret.username);
    add_arg(g, g->secret.password ? g->secret.password : "");
}

static void add_select(struct coat_greeting *g)
{
    if (g->peer->is_sentinel || g->peer->connect->address.db == 0)
        return;
    snprintf(g->db, sizeof g->db, "%d", g->peer->connect->address.db);
    add_command(g, SELECT, "SELECT");
    add_arg(g, g->db);
}

/* For whoever looks at CLIENT LIST. A server that does not know one of these says so, no more. */
static void add_name(struct coat_greeting *g)
{
    add_command(g, NAME, "CLIENT");
    add_arg(g, "SETNAME");
    add_arg(g, "coatcheck");
    add_command(g, INFO, "CLIENT");
    add_arg(g, "SETINFO");
    add_arg(g, "LIB-NAME");
    add_arg(g, "coatcheck");
    add_command(g, INFO, "CLIENT");
    add_arg(g, "SETINFO");
    add_arg(g, "LIB-VER");
    add_arg(g, COAT_VERSION);
}

int coat_greeting_prepare(struct coat_greeting *g, struct coat_error *err)
{
    int rc = read_secret(g, err);
    if (rc < 0)
        return rc;
    g->tries++;
    g->count = g->arg_count = 0;
    add_auth(g);
    add_select(g);
    add_name(g);
    if (g->peer->must_be_master)
        add_command(g, ROLE, "ROLE");
    if (!g->peer->is_sentinel) {
        add_command(g, MEMORY, "INFO");
        add_arg(g, "memory");
    }
    return 0;
}

/* ---- The replies ---------------------------------------------------------------------------- */

static int begins_with(const struct coat_reply *reply, const char *text)
{
    size_t len = strlen(text);
    return reply->len >= len && memcmp(reply->bytes, text, len) == 0;
}

/* Only the first word of the server's answer is used: more could repeat the password. */
static int refused(const struct coat_reply *reply, struct coat_error *err)
{
    struct coat_reply word = *reply;
    const char *blank = memchr(reply->bytes, ' ', reply->len);
    if (blank)
        word.len = (size_t)(blank - reply->bytes);
    return coat_refusal(&word, err);
}

static int judge_auth(const struct coat_greeting *g, const char *name,
                      const struct coat_reply *reply, struct coat_error *err)
{
    if (!coat_refusal_is(reply, "WRONGPASS") && !coat_refusal_is(reply, "ERR"))
        return refused(reply, err);
    if (g->peer->is_sentinel)
        return coat_error_because(err, COAT_EDENIED, "WRONGPASS",
                                  "the sentinel %s refuses the username or the password, or has "
                                  "none; check sentinel_username and sentinel_password",
                                  name);
    return coat_error_because(err, COAT_EDENIED, "WRONGPASS",
                              "%s refuses the username or the password, or has none; check both "
                              "options (a URL with a password alone is redis://:password@host)",
                              name);
}

static int judge_select(const struct coat_greeting *g, const char *name,
                        const struct coat_reply *reply, struct coat_error *err)
{
    if (!coat_refusal_is(reply, "ERR"))
        return refused(reply, err);
    return coat_error_because(err, COAT_ECONFIG, "db",
                              "%s has no database %d; write another number in the URL, or raise "
                              "the server's setting databases",
                              name, g->peer->connect->address.db);
}

static int wants_password(const struct coat_greeting *g, const char *name,
                          const struct coat_reply *reply, struct coat_error *err)
{
    if (!g->peer->is_sentinel)
        return refused(reply, err);
    return coat_error_because(err, COAT_EDENIED, "NOAUTH",
                              "the sentinel %s asks for a password: set the options "
                              "sentinel_username and sentinel_password",
                              name);
}

/* A user who may not ask is one whom we cannot ask for. */
static int judge_role(const char *name, const struct coat_reply *reply, struct coat_error *err)
{
    if (coat_refusal_is(reply, "NOPERM"))
        return 0;
    if (reply->kind == COAT_REPLY_ERROR)
        return refused(reply, err);
    if (reply->kind == COAT_REPLY_ARRAY && reply->count > 0 &&
        reply->items[0].kind == COAT_REPLY_BULK && reply->items[0].len == 6 &&
        memcmp(reply->items[0].bytes, "master", 6) == 0)
        return 0;
    int rc = coat_error_because(err, COAT_EUNAVAILABLE, "replica",
                                "%s is no master, though the sentinels call it one; a failover "
                                "may be under way",
                                name);
    return coat_fault_note(err, COAT_FAULT_REPLICA, rc);
}

/* "...\r\nmaxmemory_policy:noeviction\r\n..." */
static void read_memory(struct coat_greeting *g, const struct coat_reply *reply)
{
    static const char sign[] = "\nmaxmemory_policy:";
    const char *at = reply->kind == COAT_REPLY_BULK
                         ? memmem(reply->bytes, reply->len, sign, sizeof sign - 1)
                         : NULL;
    size_t n = 0;
    if (at) {
        const char *end = reply->bytes + reply->len;
        for (at += sizeof sign - 1; at < end && n < sizeof g->eviction - 1; at++, n++) {
            if ((*at < 'a' || *at > 'z') && *at != '-')
                break;
            g->eviction[n] = *at;
        }
    }
    g->eviction[n] = '\0';
}

static int has_too_many(const char *name, struct coat_error *err)
{
    int rc = coat_error_because(err, COAT_EUNAVAILABLE, "clients",
                                "%s has as many clients as it allows; raise its maxclients, or "
                                "lower max_connections",
                                name);
    return coat_fault_note(err, COAT_FAULT_FULL, rc);
}

static int judge(struct coat_greeting *g, unsigned char kind, const struct coat_reply *reply,
                 struct coat_error *err)
{
    int is_error = reply->kind == COAT_REPLY_ERROR;
    char name[160];
    coat_net_name(&g->peer->address, name, sizeof name);
    if (is_error && begins_with(reply, "ERR max number of clients"))
        return has_too_many(name, err);
    switch (kind) {
    case AUTH:
        return is_error ? judge_auth(g, name, reply, err) : 0;
    case SELECT:
        return is_error ? judge_select(g, name, reply, err) : 0;
    case NAME:
        return coat_refusal_is(reply, "NOAUTH") ? wants_password(g, name, reply, err) : 0;
    case ROLE:
        return judge_role(name, reply, err);
    case MEMORY:
        read_memory(g, reply);
        return 0;
    default:
        return 0;
    }
}

int coat_greeting_judge(struct coat_greeting *g, const struct coat_reply *replies, size_t count,
                        struct coat_error *err)
{
    for (size_t i = 0; i < count; i++) {
        int rc = judge(g, g->kinds[i], &replies[i], err);
        if (rc == COAT_EDENIED && g->kinds[i] == AUTH && g->tries == 1 && may_change(g))
            return 1;
        if (rc < 0)
            return rc;
    }
    return 0;
}
