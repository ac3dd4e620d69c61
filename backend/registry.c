#include "api/registry.h"

#include <stdlib.h>

#include "api/error.h"
#include "clock.h"
#include "redis.h"

/* How many unused ones are kept: those that were used last. */
#define UNUSED_MAX 8

struct coat_registry {
    struct coat_lock lock;
    struct coat_redis *first;
    atomic_int unused;
    atomic_int users; /* whose it is, and all who have something from it */
};

int coat_registry_new(struct coat_registry **out, struct coat_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return coat_error_nomem(err);
    coat_lock_init(&(*out)->lock);
    (*out)->users = 1;
    return 0;
}

/* In a child: the list is whole at any moment, the count of the unused perhaps not. */
static void lock(struct coat_registry *registry)
{
    if (coat_lock_take(&registry->lock) == COAT_LOCK_OURS)
        return;
    registry->unused = 0;
    for (const struct coat_redis *redis = registry->first; redis; redis = redis->next)
        registry->unused += redis->stores == 0;
}

static void unlock(struct coat_registry *registry)
{
    coat_lock_leave(&registry->lock);
}

/* ---- The unused, with the lock held -------------------------------------------------------- */

/* Those that were unused for too long: a list of what to free, without the lock. */
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
        coat_redis_release(redis);
        redis = next;
    }
}

/* The one that was unused for longest, taken out. */
static struct coat_redis *take_oldest(struct coat_registry *registry)
{
    struct coat_redis **oldest = NULL;
    for (struct coat_redis **link = &registry->first; *link; link = &(*link)->next)
        if ((*link)->stores == 0 &&
            (!oldest || (*link)->unused_since_ms <= (*oldest)->unused_since_ms))
            oldest = link; /* of the same moment the last one, which is the first that was made */
    struct coat_redis *redis = *oldest;
    *oldest = redis->next;
    redis->next = NULL;
    registry->unused--;
    return redis;
}

static void remove_from(struct coat_registry *registry, const struct coat_redis *redis)
{
    struct coat_redis **link = &registry->first;
    while (*link != redis)
        link = &(*link)->next;
    *link = redis->next;
}

/* ---- The interface -------------------------------------------------------------------------- */

void coat_registry_sweep(struct coat_registry *registry)
{
    if (atomic_load_explicit(&registry->unused, memory_order_relaxed) == 0)
        return;
    lock(registry);
    struct coat_redis *stale = take_stale(registry, coat_monotonic_ms());
    unlock(registry);
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
    if (rc == 0) {
        redis->stores++;
        atomic_fetch_add(&registry->users, 1);
    }
    unlock(registry);
    *out = redis;
    return rc;
}

/* Whoever is asked for its credentials may go with its last store. */
static void keep(struct coat_registry *registry, struct coat_redis *redis,
                 struct coat_redis **to_free)
{
    if (redis->connect.credentials) {
        remove_from(registry, redis);
        redis->next = NULL;
        *to_free = redis;
        return;
    }
    if (registry->unused >= UNUSED_MAX)
        *to_free = take_oldest(registry);
    redis->unused_since_ms = coat_monotonic_ms();
    registry->unused++;
}

void coat_registry_give_back(struct coat_registry *registry, struct coat_redis *redis)
{
    struct coat_redis *to_free = NULL;
    if (!redis)
        return;
    lock(registry);
    if (redis->stores == 1)
        keep(registry, redis, &to_free);
    redis->stores--;
    unlock(registry);
    free_all(to_free);
    coat_registry_free(registry);
}

void coat_registry_free(struct coat_registry *registry)
{
    if (!registry || atomic_fetch_sub(&registry->users, 1) > 1)
        return;
    free_all(registry->first);
    coat_lock_destroy(&registry->lock);
    free(registry);
}
