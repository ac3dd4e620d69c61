/*
 * lock.h: a mutex that goes on working in a child after fork(). There the thread that held it may
 * not exist, and what it guards may be in any condition; the first thread of the child that comes
 * by has it, is told so, and makes that good while the others wait.
 *
 *     if (coat_lock_take(&lock) != COAT_LOCK_OURS)
 *         ...                                       make good what it guards
 *     ...
 *     coat_lock_leave(&lock);
 */
#ifndef COAT_BACKEND_LOCK_H
#define COAT_BACKEND_LOCK_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

struct coat_lock {
    atomic_long process; /* the pid of whose it is; -pid while that one takes it over */
    pthread_mutex_t mutex;
};

enum coat_lock_taken {
    COAT_LOCK_OURS,
    COAT_LOCK_INHERITED,  /* for the first time in this child */
    COAT_LOCK_INTERRUPTED /* likewise, and at the fork somebody else had it */
};

static inline void coat_lock_init(struct coat_lock *lock)
{
    atomic_init(&lock->process, (long)getpid());
    pthread_mutex_init(&lock->mutex, NULL); /* cannot fail with glibc and musl */
}

static inline void coat_lock_destroy(struct coat_lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

/* By the one thread that takes it over, which has it then. */
static inline enum coat_lock_taken coat_lock_inherit(struct coat_lock *lock, long me)
{
    enum coat_lock_taken taken = COAT_LOCK_INHERITED;
    if (pthread_mutex_trylock(&lock->mutex) != 0) {
        pthread_mutex_init(&lock->mutex, NULL);
        pthread_mutex_lock(&lock->mutex);
        taken = COAT_LOCK_INTERRUPTED;
    }
    atomic_store_explicit(&lock->process, me, memory_order_release);
    return taken;
}

static inline enum coat_lock_taken coat_lock_take(struct coat_lock *lock)
{
    long me = (long)getpid();
    long now = atomic_load_explicit(&lock->process, memory_order_acquire);
    while (now != me) {
        if (now != -me && atomic_compare_exchange_weak(&lock->process, &now, -me))
            return coat_lock_inherit(lock, me);
        if (now == -me) {
            sched_yield();
            now = atomic_load_explicit(&lock->process, memory_order_acquire);
        }
    }
    pthread_mutex_lock(&lock->mutex);
    return COAT_LOCK_OURS;
}

/* The same without a look at the process, for who surely had it before in this one. */
static inline void coat_lock_retake(struct coat_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

static inline void coat_lock_leave(struct coat_lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

#endif
