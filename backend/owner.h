/*
 * owner.h: which process some shared state belongs to. After fork() the child's copy may be in any
 * condition, with its mutex locked by a thread that does not exist there; the first thread of the
 * child that comes by makes it good.
 *
 *     if (coat_owner_begin(&owner)) {
 *         ...                         make it good; other threads wait meanwhile
 *         coat_owner_end(&owner);
 *     }
 */
#ifndef COAT_BACKEND_OWNER_H
#define COAT_BACKEND_OWNER_H

#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

/* The pid of the process that it belongs to; -pid while that one takes it over. */
typedef atomic_long coat_owner;

static inline void coat_owner_init(coat_owner *owner)
{
    atomic_init(owner, (long)getpid());
}

/* 1 if the caller has to take it over, and then to call coat_owner_end. */
static inline int coat_owner_begin(coat_owner *owner)
{
    long me = (long)getpid();
    long now = atomic_load_explicit(owner, memory_order_acquire);
    while (now != me) {
        if (now == -me) {
            sched_yield();
            now = atomic_load_explicit(owner, memory_order_acquire);
        } else if (atomic_compare_exchange_weak(owner, &now, -me)) {
            return 1;
        }
    }
    return 0;
}

static inline void coat_owner_end(coat_owner *owner)
{
    atomic_store_explicit(owner, (long)getpid(), memory_order_release);
}

#endif
