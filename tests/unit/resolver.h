/*
 * resolver.h: a resolver in the place of the system's. It hangs, takes its time or fails as a test
 * wants, and otherwise says 127.0.0.1, 127.0.0.2, ... of any name.
 *
 * The programs that include it are linked with
 * -Wl,--wrap=getaddrinfo,--wrap=freeaddrinfo,--wrap=pthread_create. To be included by one file of
 * a program.
 */
#ifndef TESTS_RESOLVER_H
#define TESTS_RESOLVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RESOLVER_PATIENCE_MS 20000

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list);
void __wrap_freeaddrinfo(struct addrinfo *list);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);

/* Otherwise ThreadSanitizer ends a child of several threads as soon as it starts one. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

/* What a test wants of it; all 0 is a resolver that answers at once. */
static atomic_int resolver_hangs;
static atomic_int resolver_delay_ms;
static atomic_int resolver_failure;   /* EAI_... */
static atomic_int resolver_number;    /* errno, with that */
static atomic_int resolver_addresses; /* how many a name has; 0: one */
static atomic_int resolver_backwards; /* ..., 127.0.0.2, 127.0.0.1 */
static atomic_int resolver_threads_fail;

/* What it has seen. */
static atomic_int resolver_asked;
static atomic_int resolver_busy; /* of those asked, not answered yet */
static atomic_int resolver_most_busy;
static atomic_int resolver_lists;         /* answers that were not freed yet */
static atomic_int resolver_threads;       /* that were started and have not ended */
static atomic_int resolver_takes_signals; /* asked in a thread that signals may reach */

static struct addrinfo *resolver_entry(int number, struct addrinfo *next)
{
    struct addrinfo *a = calloc(1, sizeof *a + sizeof(struct sockaddr_in));
    struct sockaddr_in *v4 = (struct sockaddr_in *)(a + 1);
    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)number);
    a->ai_addr = (struct sockaddr *)v4;
    a->ai_addrlen = sizeof *v4;
    a->ai_next = next;
    return a;
}

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    (void)host, (void)service, (void)hints;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (!sigismember(&mask, SIGALRM) || !sigismember(&mask, SIGINT) || !sigismember(&mask, SIGCHLD))
        resolver_takes_signals++;
    resolver_asked++;
    int busy = ++resolver_busy;
    if (busy > resolver_most_busy)
        resolver_most_busy = busy;
    poll(NULL, 0, resolver_delay_ms);
    while (resolver_hangs)
        poll(NULL, 0, 2);
    resolver_busy--;
    if (resolver_failure) {
        errno = resolver_number;
        return resolver_failure;
    }
    *list = NULL;
    int count = resolver_addresses ? resolver_addresses : 1;
    for (int i = 0; i < count; i++)
        *list = resolver_entry(resolver_backwards ? i : count - 1 - i, *list);
    resolver_lists++;
    return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    resolver_lists--;
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

struct resolver_thread {
    void *(*run)(void *);
    void *arg;
};

static void *resolver_run(void *arg)
{
    struct resolver_thread t = *(struct resolver_thread *)arg;
    free(arg);
    void *result = t.run(t.arg);
    resolver_threads--;
    return result;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg)
{
    struct resolver_thread *t = resolver_threads_fail ? NULL : malloc(sizeof *t);
    if (!t)
        return EAGAIN;
    *t = (struct resolver_thread){run, arg};
    resolver_threads++;
    int number = __real_pthread_create(thread, attr, resolver_run, t);
    if (number != 0) {
        resolver_threads--;
        free(t);
    }
    return number;
}

/* Before each test: as if nothing had been. */
static int resolver_reset(void **state)
{
    (void)state;
    resolver_hangs = resolver_delay_ms = resolver_failure = resolver_number = 0;
    resolver_addresses = 0;
    resolver_backwards = resolver_threads_fail = resolver_asked = resolver_most_busy =
        resolver_takes_signals = 0;
    return 0;
}

/* Until *counter is `wanted`. */
static inline void resolver_wait_until(atomic_int *counter, int wanted)
{
    for (int ms = 0; *counter != wanted; ms++) {
        if (ms > RESOLVER_PATIENCE_MS)
            fail_msg("waited for %d in vain, it is %d", wanted, *counter);
        poll(NULL, 0, 1);
    }
}

/* After each test: every look-up ends, and nothing of it is left. */
static int resolver_check(void **state)
{
    (void)state;
    resolver_hangs = 0;
    resolver_wait_until(&resolver_threads, 0);
    assert_int_equal(resolver_lists, 0);
    assert_int_equal(resolver_takes_signals, 0);
    return 0;
}

#endif
