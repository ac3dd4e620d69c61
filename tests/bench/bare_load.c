/*
 * bare_load HOST PORT KEY, or bare_load PATH KEY: what a load sends and gets, by hiredis alone.
 * Nobody looks at the record.
 */
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "bench/turns.h"

struct target {
    redisContext *redis;
    const char *key;
    size_t len;
};

static int append(const struct target *t, const char *name)
{
    const char *argv[] = {name, t->key};
    const size_t lens[] = {strlen(name), t->len};
    return redisAppendCommandArgv(t->redis, 2, argv, lens);
}

static int receive(const struct target *t, int kind)
{
    redisReply *reply;
    if (redisGetReply(t->redis, (void **)&reply) != REDIS_OK)
        return -1;
    int same = reply->type == kind;
    freeReplyObject(reply);
    return same ? 0 : -1;
}

static int loads(void *what, long times)
{
    const struct target *t = what;
    while (times-- > 0)
        if (append(t, "GET") != REDIS_OK || append(t, "PTTL") != REDIS_OK ||
            receive(t, REDIS_REPLY_STRING) != 0 || receive(t, REDIS_REPLY_INTEGER) != 0)
            return -1;
    return 0;
}

int main(int argc, char **argv)
{
    struct target t = {.redis = argc == 4   ? redisConnect(argv[1], atoi(argv[2]))
                                : argc == 3 ? redisConnectUnix(argv[1])
                                            : NULL};
    if (!t.redis || t.redis->err) {
        fprintf(stderr, "bare_load: %s\n", t.redis ? t.redis->errstr : "HOST PORT KEY or PATH KEY");
        return 2;
    }
    t.key = argv[argc - 1];
    t.len = strlen(t.key);
    int rc = take_turns(loads, &t);
    if (rc != 0)
        fprintf(stderr, "bare_load: %s\n",
                t.redis->err ? t.redis->errstr : "there is no record under this key");
    redisFree(t.redis);
    return rc != 0;
}
