#include "api/registry.h"

#include <stdlib.h>

#include "api/error.h"
#include "clock.h"
#include "redis.h"

/* How many unused ones are kept. A script has few; who makes many different ones keeps none. */
#define UNUSED_MAX 8

struct coat_registry {
    coat_owner owner;
    pthread_mutex_t mutex;
    struct coat_redis *first;
    atomic_int unused;
};

int coat_registry_new(struct coat_registry **out, struct coat_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return coat_error_nomem(err);
    pthread_mutex_init(&(*out)->mutex, NULL); /* cannot fail with glibc and musl */
    coat_owner_init(&(*out)->owner);
    return 0;
}

/* In a child after fork() a thread that does not exist there may hold it. The list is whole. */
static void lock(struct coat_registry *registry)
{
    if (coat_owner_begin(&registry->owner)) {
        pthread_mutex_init(&registry->mutex, NULL);
        coat_owner_end(&registry->owner);
    }
    pthread_mutex_lock(&registry->mutex);
}

/* ---- The unused, with the mutex held -------------------------------------------------------- */

/* Those that were unused for too long: a list of what to free, without the mutex. */
static struct coat_redis *take_stale(struct coat_registry *registry, int64_t now_ms)
{
    struct coat_redis *stale = NULL;
    struct coat_redis **link = &registry->first;
    while (*link) {
        struct coat_redis *redis = *link;
        int64_t most = redis->connect.max_idle_ms;
        if (redis->stores == 0 && most && now_ms - redis->unused_since_ms >= most) {
            *link = redis->next;
            redis->next = stale;
            stale = redis;
            registry->unused--;
        } else {
            link = &redis->next;
        }
    }
    return stale;
}

static void free_all(struct coat_redis *redis)
{
    while (redis) {
        struct coat_redis *next = redis->next;
        coat_redis_free(redis);
        redis = next;
    }
}

static void remove_from(struct coat_registry *registry, const struct coat_redis *redis)
{
    struct coat_redis **link = &registry->first;
    while (*link != redis)
        link = &(*link)->next;
    *link = redis->next;
}

/* Whoever is asked for its credentials may go with its last store. */
static int may_be_kept(const struct coat_registry *registry, const struct coat_redis *redis)
{
    return !redis->connect.credentials && registry->unused < UNUSED_MAX;
}

/* ---- The interface -------------------------------------------------------------------------- */

void coat_registry_sweep(struct coat_registry *registry)
{
    if (atomic_load_explicit(&registry->unused, memory_order_relaxed) == 0)
        return;
    lock(registry);
    struct coat_redis *stale = take_stale(registry, coat_monotonic_ms());
    pthread_mutex_unlock(&registry->mutex);
    free_all(stale);
}

int coat_registry_get(struct coat_registry *registry, const struct coat_connect *connect,
                      struct coat_redis **out, struct coat_error *err)
{
    int rc = 0;
    coat_registry_sweep(registry);
    lock(registry);
    struct coat_redis *redis = registry->first;
    while (redis && !coat_connect_equal(&redis->connect, connect))
        redis = redis->next;
    if (!redis) {
        rc = coat_redis_new(&redis, connect, err);
        if (rc == 0) {
            redis->next = registry->first;
            registry->first = redis;
        }
    } else if (redis->stores == 0) {
        registry->unused--;
    }
    if (rc == 0)
        redis->stores++;
    pthread_mutex_unlock(&registry->mutex);
    *out = redis;
    return rc;
}

void coat_registry_give_back(struct coat_registry *registry, struct coat_redis *redis)
{
    if (!redis)
        return;
    lock(registry);
    int last = --redis->stores == 0;
    int kept = last && may_be_kept(registry, redis);
    if (kept) {
        redis->unused_since_ms = coat_monotonic_ms();
        registry->unused++;
    } else if (last) {
        remove_from(registry, redis);
    }
    pthread_mutex_unlock(&registry->mutex);
    if (last && !kept)
        coat_redis_free(redis);
}

void coat_registry_free(struct coat_registry *registry)
{
    if (!registry)
        return;
    free_all(registry->first);
    pthread_mutex_destroy(&registry->mutex);
    free(registry);
}
