#include "resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/error.h"
#include "api/fault.h"
#include "slice.h"
#include "system_error.h"

/* Little beside the usual 8 MiB, and what nscd gives to the same modules of the system. */
#define STACK_BYTES ((size_t)1 << 20)

/* Shared by the asker and the helper thread; the last of them frees it. */
struct coat_lookup {
    pthread_mutex_t mutex;
    pthread_cond_t over;
    enum { WAITS, HAS_LEFT, IS_GONE } asker;
    int finished;                /* the thread has answered, and will not touch it again */
    int failure;                 /* of getaddrinfo */
    int number;                  /* errno, where that says so */
    struct coat_endpoints found; /* with port 0; the thread's until it has finished */
    pid_t process;
    char host[];
};

/* ---- Endpoints ------------------------------------------------------------------------------ */

static void add(struct coat_endpoints *found, const void *address, size_t len)
{
    if (found->count < COAT_ENDPOINTS_MAX && len <= sizeof found->at[0])
        memcpy(&found->at[found->count++], address, len);
}

static void set_port(struct coat_endpoints *found, int port)
{
    for (size_t i = 0; i < found->count; i++) {
        union coat_endpoint *e = &found->at[i];
        *(e->any.sa_family == AF_INET6 ? &e->v6.sin6_port : &e->v4.sin_port) =
            htons((uint16_t)port);
    }
}

/* "127.0.0.1", "::1", "fe80::1%eth0". 0: it is none of these. */
static int read_literal(const char *host, struct coat_endpoints *found)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    char text[INET6_ADDRSTRLEN];
    size_t len = strcspn(host, "%");
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        add(found, &v4, sizeof v4);
        return 1;
    }
    if (len >= sizeof text)
        return 0;
    memcpy(text, host, len);
    text[len] = '\0';
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) != 1)
        return 0;
    if (host[len] && (v6.sin6_scope_id = if_nametoindex(host + len + 1)) == 0)
        return 0; /* a number, or no such interface: the system knows */
    add(found, &v6, sizeof v6);
    return 1;
}

/* ---- The helper thread ---------------------------------------------------------------------- */

static void free_lookup(struct coat_lookup *l)
{
    pthread_cond_destroy(&l->over);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

static void *look_up(void *arg)
{
    struct coat_lookup *l = arg;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    l->failure = getaddrinfo(l->host, NULL, &hints, &list);
    l->number = errno;
    if (l->failure == 0) {
        for (const struct addrinfo *a = list; a; a = a->ai_next)
            add(&l->found, a->ai_addr, a->ai_addrlen);
        freeaddrinfo(list);
    }
    pthread_mutex_lock(&l->mutex);
    l->finished = 1;
    int is_last = l->asker == IS_GONE;
    pthread_cond_signal(&l->over);
    pthread_mutex_unlock(&l->mutex);
    if (is_last)
        free_lookup(l);
    return NULL;
}

/* 0, or an errno. A thread begins with the signal mask of its maker. */
static int start_thread(struct coat_lookup *l)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, former;
    int number = pthread_attr_init(&attr);
    if (number != 0)
        return number;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    number = pthread_create(&thread, &attr, look_up, l);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    pthread_attr_destroy(&attr);
    return number;
}

static int start(struct coat_lookup **lookup, const char *host, struct coat_error *err)
{
    size_t size = strlen(host) + 1;
    struct coat_lookup *l = calloc(1, sizeof *l + size);
    if (!l)
        return coat_error_nomem(err);
    pthread_mutex_init(&l->mutex, NULL); /* cannot fail with glibc and musl */
    coat_slice_init(&l->over);
    l->process = getpid();
    memcpy(l->host, host, size);
    int number = start_thread(l);
    if (number != 0) {
        free_lookup(l);
        int rc = coat_error_because(err, COAT_EUNAVAILABLE, "threads",
                                    "host %.120s cannot be resolved, because no thread can be "
                                    "started for it (system error %d); raise the limit of threads "
                                    "or memory, or give an address in place of the name",
                                    host, number);
        return coat_fault_note(err, COAT_FAULT_HERE, rc);
    }
    *lookup = l;
    return 0;
}

/* ---- The asker ------------------------------------------------------------------------------ */

/* After fork(), the parent's thread is not here, and may have held the mutex. */
static int is_foreign(const struct coat_lookup *l)
{
    return l->process != getpid();
}

/* Wait for it from now on. 0: it is of no use, for it was over before. */
static int join(struct coat_lookup *l)
{
    if (is_foreign(l))
        return 0;
    pthread_mutex_lock(&l->mutex);
    int usable = l->asker == WAITS || !l->finished;
    l->asker = WAITS;
    pthread_mutex_unlock(&l->mutex);
    return usable;
}

/* 0: it has finished. */
static int wait_for(struct coat_lookup *l, int64_t deadline_ms, struct coat_error *err)
{
    int rc = 0;
    pthread_mutex_lock(&l->mutex);
    while (rc == 0 && !l->finished)
        rc = coat_slice_wait(&l->over, &l->mutex, deadline_ms);
    int finished = l->finished;
    pthread_mutex_unlock(&l->mutex);
    if (finished)
        return 0;
    if (rc == COAT_EINTR)
        return coat_error_set(err, rc, "a look at signals while a host name is resolved");
    return coat_error_because(err, rc, "resolve",
                              "host %.120s was not resolved to an address in time; check this "
                              "machine's resolver, or give an address in place of the name",
                              l->host);
}

/* What this host lacks says nothing about the name. */
static int is_shortage(int number)
{
    return number == EMFILE || number == ENFILE || number == ENOMEM || number == ENOBUFS;
}

/* Of one that has finished. */
static int take(const struct coat_lookup *l, struct coat_endpoints *found, struct coat_error *err)
{
    if (l->failure == EAI_MEMORY)
        return coat_error_nomem(err);
    if (l->failure == EAI_SYSTEM && is_shortage(l->number))
        return coat_system_error(l->host, l->number, err);
    if (l->failure != 0 || l->found.count == 0)
        return coat_error_because(err, COAT_EUNAVAILABLE, "resolve",
                                  "host %.120s cannot be resolved to an address; check its name, "
                                  "and this machine's resolver",
                                  l->host);
    *found = l->found;
    return 0;
}

static void forget(struct coat_lookup **lookup)
{
    coat_lookup_drop(*lookup);
    *lookup = NULL;
}

static int resolve_name(struct coat_lookup **lookup, const char *host, int64_t deadline_ms,
                        struct coat_endpoints *found, struct coat_error *err)
{
    int rc = 0;
    if (*lookup && !join(*lookup))
        forget(lookup);
    if (!*lookup)
        rc = start(lookup, host, err);
    if (rc == 0)
        rc = wait_for(*lookup, deadline_ms, err);
    if (rc < 0)
        return rc;
    rc = take(*lookup, found, err);
    forget(lookup);
    return rc;
}

int coat_resolve(struct coat_lookup **lookup, const struct coat_address *address,
                 int64_t deadline_ms, struct coat_endpoints *found, struct coat_error *err)
{
    int rc = 0;
    found->count = 0;
    if (!read_literal(address->host, found))
        rc = resolve_name(lookup, address->host, deadline_ms, found, err);
    set_port(found, address->port);
    return rc;
}

void coat_lookup_leave(struct coat_lookup *lookup)
{
    if (!lookup || is_foreign(lookup))
        return;
    pthread_mutex_lock(&lookup->mutex);
    lookup->asker = HAS_LEFT;
    pthread_mutex_unlock(&lookup->mutex);
}

void coat_lookup_drop(struct coat_lookup *lookup)
{
    if (!lookup)
        return;
    if (is_foreign(lookup)) { /* this is the only one who knows of this copy */
        free(lookup);
        return;
    }
    pthread_mutex_lock(&lookup->mutex);
    lookup->asker = IS_GONE;
    int is_last = lookup->finished;
    pthread_mutex_unlock(&lookup->mutex);
    if (is_last)
        free_lookup(lookup);
}
