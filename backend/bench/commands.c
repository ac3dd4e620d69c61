#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "bench/contender.h"
#include "greeting.h"
#include "options.h"

/* A connection, which one thread uses at a time. */
struct line {
    redisContext *redis; /* NULL: none, or not any more */
    struct line *next;   /* that is free */
};

struct commands {
    struct contender base;
    struct contender *ours;
    const struct coat_peer *peer;
    struct line *lines, *free;
    pthread_mutex_t lock;
    pthread_cond_t is_free;
    atomic_ullong round_trips;
    char keep[24]; /* seconds */
    void *record;  /* of a session, for who makes new ones */
    size_t record_len;
};

static struct commands *of(struct contender *c)
{
    return (struct commands *)c;
}

/* ---- Connections ---------------------------------------------------------------------------- */

static struct line *take_line(struct commands *c)
{
    pthread_mutex_lock(&c->lock);
    while (!c->free)
        pthread_cond_wait(&c->is_free, &c->lock);
    struct line *line = c->free;
    c->free = line->next;
    pthread_mutex_unlock(&c->lock);
    return line;
}

static void give_back(struct commands *c, struct line *line)
{
    pthread_mutex_lock(&c->lock);
    line->next = c->free;
    c->free = line;
    pthread_cond_signal(&c->is_free);
    pthread_mutex_unlock(&c->lock);
}

/* What went wrong with a connection, which is not to be used any more. */
static int broken(struct line *line, struct coat_error *err)
{
    int timed_out = line->redis && line->redis->err == REDIS_ERR_IO &&
                    (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETIMEDOUT);
    int rc = coat_error_set(err, timed_out ? COAT_ETIMEOUT : COAT_EUNAVAILABLE, "hiredis: %s",
                            line->redis ? line->redis->errstr : "no memory for a connection");
    if (line->redis)
        redisFree(line->redis);
    line->redis = NULL;
    return rc;
}

/* 0, or a failure. */
static int send_all(struct line *line, const struct coat_command *commands, size_t count,
                    struct coat_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *texts[COAT_GREETING_ARGS];
        size_t lens[COAT_GREETING_ARGS];
        assert(commands[i].count <= COAT_GREETING_ARGS);
        for (size_t k = 0; k < commands[i].count; k++) {
            texts[k] = commands[i].args[k].bytes;
            lens[k] = commands[i].args[k].len;
        }
        if (redisAppendCommandArgv(line->redis, (int)commands[i].count, texts, lens) != REDIS_OK)
            return broken(line, err);
    }
    return 0;
}

/* The next reply, to be freed. 0, or a failure. */
static int read_reply(struct line *line, redisReply **reply, struct coat_error *err)
{
    void *found = NULL;
    if (redisGetReply(line->redis, &found) != REDIS_OK || !found)
        return broken(line, err);
    *reply = found;
    return 0;
}

/* The same, where an error is a failure. */
static int read_good(struct line *line, redisReply **reply, struct coat_error *err)
{
    int rc = read_reply(line, reply, err);
    if (rc < 0 || (*reply)->type != REDIS_REPLY_ERROR)
        return rc;
    rc = coat_error_set(err, COAT_EUNAVAILABLE, "the server says '%.200s'", (*reply)->str);
    freeReplyObject(*reply);
    *reply = NULL;
    return rc;
}

/* `count` commands in one pipeline, whose replies are all read; the last one, to be freed, where it
 * is asked for. */
static int ask(struct commands *c, struct line *line, const struct coat_command *commands,
               size_t count, redisReply **last, struct coat_error *err)
{
    int rc = send_all(line, commands, count, err);
    atomic_fetch_add_explicit(&c->round_trips, 1, memory_order_relaxed);
    for (size_t i = 0; i < count && line->redis; i++) {
        redisReply *reply = NULL;
        int got = read_good(line, &reply, rc == 0 ? err : NULL);
        rc = rc == 0 ? got : rc;
        if (last && i + 1 == count && rc == 0)
            *last = reply;
        else if (reply)
            freeReplyObject(reply);
    }
    return rc;
}

/* Who we are, and which database. A server that refuses that refuses what follows, too, and says
 * why. */
static int greet(struct commands *c, struct line *line, struct coat_error *err)
{
    struct coat_greeting greeting;
    redisReply *reply = NULL;
    coat_greeting_init(&greeting, c->peer);
    int rc = coat_greeting_prepare(&greeting, err);
    if (rc == 0)
        rc = send_all(line, greeting.commands, greeting.count, err);
    for (size_t i = 0; rc == 0 && i < greeting.count; i++) {
        rc = read_reply(line, &reply, err);
        if (rc == 0)
            freeReplyObject(reply);
    }
    coat_greeting_release(&greeting);
    return rc;
}

static struct timeval time_of(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static int connect_line(struct commands *c, struct line *line, struct coat_error *err)
{
    const struct coat_options *o = c->base.plan->options;
    const struct coat_address *to = &c->peer->address;
    struct timeval timeout = time_of(o->timeout_ms);
    if (line->redis)
        return 0;
    line->redis = to->scheme == COAT_SCHEME_UNIX
                      ? redisConnectUnixWithTimeout(to->path, timeout)
                      : redisConnectWithTimeout(to->host, to->port, timeout);
    if (!line->redis || line->redis->err || redisSetTimeout(line->redis, timeout) != REDIS_OK)
        return broken(line, err);
    int rc = greet(c, line, err);
    if (rc < 0 && line->redis)
        broken(line, NULL);
    return rc;
}

/* ---- Commands ------------------------------------------------------------------------------- */

struct name {
    char text[160];
    size_t len;
};

static struct coat_arg arg(const char *text)
{
    return (struct coat_arg){text, strlen(text)};
}

static void name_of(struct commands *c, struct name *name, const char *what, uint64_t n)
{
    int len = snprintf(name->text, sizeof name->text, "%sbaseline:%s%llu",
                       plan_prefix(c->base.plan), what, (unsigned long long)n);
    name->len = (size_t)len < sizeof name->text ? (size_t)len : sizeof name->text - 1;
}

static int get(struct commands *c, struct line *line, struct coat_arg key, redisReply **reply,
               struct coat_error *err)
{
    struct coat_arg args[] = {arg("GET"), key};
    struct coat_command command = {.args = args, .count = 2};
    int rc = ask(c, line, &command, 1, reply, err);
    if (rc < 0 || (*reply)->type == REDIS_REPLY_STRING)
        return rc;
    freeReplyObject(*reply);
    *reply = NULL;
    return CONTENDER_MISSING;
}

enum { SET_ARGS = 5 };

static void put_set(struct commands *c, struct coat_arg args[SET_ARGS], const struct name *name,
                    const void *bytes, size_t len)
{
    args[0] = arg("SET");
    args[1] = (struct coat_arg){name->text, name->len};
    args[2] = (struct coat_arg){bytes, len};
    args[3] = arg("EX");
    args[4] = arg(c->keep);
}

static int set(struct commands *c, struct line *line, const struct name *name, const void *bytes,
               size_t len, struct coat_error *err)
{
    struct coat_arg args[SET_ARGS];
    struct coat_command command = {.args = args, .count = SET_ARGS};
    put_set(c, args, name, bytes, len);
    return ask(c, line, &command, 1, NULL, err);
}

/* ---- Operations ----------------------------------------------------------------------------- */

static int read_or_write(struct commands *c, struct line *line, const struct choice *choice,
                         int writes, struct coat_error *err)
{
    struct name name;
    redisReply *reply = NULL;
    name_of(c, &name, "", choice->which[0]);
    int rc = get(c, line, (struct coat_arg){name.text, name.len}, &reply, err);
    if (rc == 0 && writes)
        rc = set(c, line, &name, reply->str, reply->len, err);
    if (reply)
        freeReplyObject(reply);
    return rc;
}

/* What a session store does for it that has no ids to protect: store, store under another name and
 * delete the first, delete. */
static int log_in_and_out(struct commands *c, struct line *line, const struct choice *choice,
                          struct coat_error *err)
{
    struct name first, second;
    name_of(c, &first, "new:", choice->thread);
    name_of(c, &second, "user:", choice->thread);
    struct coat_arg args[SET_ARGS], del[] = {arg("DEL"), {first.text, first.len}},
                                    end[] = {arg("DEL"), {second.text, second.len}};
    struct coat_command login[] = {{.args = args, .count = SET_ARGS}, {.args = del, .count = 2}},
                        logout = {.args = end, .count = 2};
    put_set(c, args, &second, c->record, c->record_len);
    int rc = set(c, line, &first, c->record, c->record_len, err);
    if (rc == 0)
        rc = ask(c, line, login, 2, NULL, err);
    return rc < 0 ? rc : ask(c, line, &logout, 1, NULL, err);
}

static int is_complete(const redisReply *reply, size_t count)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != count)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (reply->element[i]->type != REDIS_REPLY_STRING)
            return 0;
    return 1;
}

static int get_many(struct commands *c, struct line *line, const struct choice *choice,
                    struct name *names, struct coat_error *err)
{
    size_t count = c->base.plan->pipeline;
    const char **texts = calloc(count + 1, sizeof *texts);
    size_t *lens = calloc(count + 1, sizeof *lens);
    redisReply *reply = NULL;
    int rc = texts && lens ? 0 : coat_error_nomem(err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        name_of(c, &names[i], "", choice->which[i]);
        texts[i + 1] = names[i].text;
        lens[i + 1] = names[i].len;
    }
    if (rc == 0) {
        texts[0] = "MGET";
        lens[0] = 4;
        atomic_fetch_add_explicit(&c->round_trips, 1, memory_order_relaxed);
        rc = redisAppendCommandArgv(line->redis, (int)count + 1, texts, lens) == REDIS_OK
                 ? read_good(line, &reply, err)
                 : broken(line, err);
    }
    if (rc == 0)
        rc = is_complete(reply, count) ? 0 : CONTENDER_MISSING;
    if (reply)
        freeReplyObject(reply);
    free(texts);
    free(lens);
    return rc;
}

static int set_many(struct commands *c, struct line *line, const struct choice *choice,
                    struct name *names, struct coat_error *err)
{
    size_t count = c->base.plan->pipeline, len;
    struct coat_arg(*args)[SET_ARGS] = calloc(count, sizeof *args);
    struct coat_command *commands = calloc(count, sizeof *commands);
    const void *bytes;
    int rc = args && commands ? 0 : coat_error_nomem(err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        name_of(c, &names[i], "", choice->which[i]);
        payload_entry(c->base.payload, choice->which[i], &bytes, &len);
        put_set(c, args[i], &names[i], bytes, len);
        commands[i] = (struct coat_command){.args = args[i], .count = SET_ARGS};
    }
    if (rc == 0)
        rc = ask(c, line, commands, count, NULL, err);
    free(args);
    free(commands);
    return rc;
}

static int set_entry(struct commands *c, struct line *line, uint64_t n, struct coat_error *err)
{
    struct name name;
    const void *bytes;
    size_t len;
    name_of(c, &name, "", n);
    payload_entry(c->base.payload, n, &bytes, &len);
    return set(c, line, &name, bytes, len, err);
}

static int use_cache(struct commands *c, struct line *line, const struct choice *choice,
                     struct coat_error *err)
{
    size_t count = c->base.plan->pipeline;
    if (count == 1)
        return choice->kind == 0 ? read_or_write(c, line, choice, 0, err)
                                 : set_entry(c, line, choice->which[0], err);
    struct name *names = calloc(count, sizeof *names);
    if (!names)
        return coat_error_nomem(err);
    int rc = choice->kind == 0 ? get_many(c, line, choice, names, err)
                               : set_many(c, line, choice, names, err);
    free(names);
    return rc;
}

static int use(struct commands *c, struct line *line, const struct choice *choice,
               struct coat_error *err)
{
    switch (c->base.plan->work) {
    case WORK_LOGIN:
        return log_in_and_out(c, line, choice, err);
    case WORK_CACHE:
        return use_cache(c, line, choice, err);
    case WORK_READ:
        return read_or_write(c, line, choice, 0, err);
    case WORK_MIXED:
        return read_or_write(c, line, choice, choice->kind == 1, err);
    default:
        return read_or_write(c, line, choice, 1, err);
    }
}

static int operate(struct contender *base, const struct choice *choice, struct coat_error *err)
{
    struct commands *c = of(base);
    struct line *line = take_line(c);
    int rc = connect_line(c, line, err);
    if (rc == 0)
        rc = use(c, line, choice, err);
    give_back(c, line);
    return rc;
}

/* ---- The contender -------------------------------------------------------------------------- */

static int keep_record(struct commands *c, const redisReply *reply, struct coat_error *err)
{
    if (c->record)
        return 0;
    c->record = malloc(reply->len + 1);
    if (!c->record)
        return coat_error_nomem(err);
    memcpy(c->record, reply->str, reply->len);
    c->record_len = reply->len;
    return 0;
}

/* The bytes that lie there of ours, for the baseline. */
static int copy(struct commands *c, struct line *line, uint64_t n, struct coat_error *err)
{
    char key[CONTENDER_KEY_MAX];
    size_t len;
    struct name name;
    redisReply *reply = NULL;
    int rc = c->ours->key(c->ours, n, key, &len, err);
    if (rc == 0)
        rc = get(c, line, (struct coat_arg){key, len}, &reply, err);
    if (rc == CONTENDER_MISSING)
        rc = coat_error_set(err, COAT_EUNAVAILABLE,
                            "what was just stored is gone: the server has no room for all of it");
    name_of(c, &name, "", n);
    if (rc == 0)
        rc = c->base.plan->work == WORK_LOGIN ? keep_record(c, reply, err)
                                              : set(c, line, &name, reply->str, reply->len, err);
    if (reply)
        freeReplyObject(reply);
    return rc;
}

static int prepare(struct contender *base, uint64_t n, struct coat_error *err)
{
    struct commands *c = of(base);
    struct line *line = take_line(c);
    int rc = connect_line(c, line, err);
    if (rc == 0)
        rc = copy(c, line, n, err);
    give_back(c, line);
    return rc;
}

static uint64_t round_trips(struct contender *c)
{
    return atomic_load_explicit(&of(c)->round_trips, memory_order_relaxed);
}

static void close_commands(struct contender *base)
{
    struct commands *c = of(base);
    int count = base->plan->options->connect.max_connections;
    for (int i = 0; c->lines && i < count; i++)
        if (c->lines[i].redis)
            redisFree(c->lines[i].redis);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->is_free);
    free(c->lines);
    free(c->record);
    free(c);
}

int contender_of_commands(struct contender **out, struct contender *ours,
                          const struct coat_peer *peer, struct coat_error *err)
{
    struct commands *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return coat_error_nomem(err);
    c->base = (struct contender){.name = "plain GET and SET",
                                 .plan = ours->plan,
                                 .payload = ours->payload,
                                 .count = ours->count,
                                 .prepare = prepare,
                                 .operate = operate,
                                 .round_trips = round_trips,
                                 .close = close_commands};
    c->ours = ours;
    c->peer = peer;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->is_free, NULL);
    snprintf(c->keep, sizeof c->keep, "%lld", (long long)plan_keep_s(ours->plan));
    int count = ours->plan->options->connect.max_connections;
    c->lines = calloc((size_t)count, sizeof *c->lines);
    if (!c->lines) {
        close_commands(&c->base);
        return coat_error_nomem(err);
    }
    for (int i = count; i-- > 0;)
        give_back(c, &c->lines[i]);
    *out = &c->base;
    return 0;
}
