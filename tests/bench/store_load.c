/* store_load URL PREFIX ID THREADS: loads by the C library, so many threads on one store. */
#include <pthread.h>
#include <stdlib.h>

#include "bench/turns.h"
#include "coatcheck.h"

enum { THREADS_MAX = 64 };

struct target {
    struct coat_store *store;
    const char *id;
    long threads;
};

struct share {
    const struct target *target;
    long times;
    int failed;
};

static void *load(void *argument)
{
    struct share *share = argument;
    struct coat_error err = {.text = "the session is gone"};
    for (long i = 0; i < share->times && !share->failed; i++) {
        struct coat_session *session;
        share->failed =
            coat_store_load(share->target->store, share->target->id, &session, &err) != 1;
        coat_session_close(session);
    }
    if (share->failed)
        fprintf(stderr, "store_load: %s\n", err.text);
    return NULL;
}

/* The first share is done here, so that one thread costs no start of another. */
static int loads(void *what, long times)
{
    const struct target *t = what;
    struct share shares[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    long started = 1;
    int failed = 0;
    for (long i = 0; i < t->threads; i++)
        shares[i] =
            (struct share){.target = t, .times = times / t->threads + (i < times % t->threads)};
    while (started < t->threads &&
           pthread_create(&threads[started], NULL, load, &shares[started]) == 0)
        started++;
    load(&shares[0]);
    for (long i = 0; i < started; i++) {
        if (i > 0)
            pthread_join(threads[i], NULL);
        failed |= shares[i].failed;
    }
    return failed || started < t->threads ? -1 : 0;
}

static int open_store(struct target *t, const char *url, const char *prefix)
{
    struct coat_options *options = NULL;
    struct coat_error err;
    int rc = coat_options_new(&options, &err);
    if (rc == 0)
        rc = coat_options_set(options, "url", url, &err);
    if (rc == 0)
        rc = coat_options_set(options, "prefix", prefix, &err);
    if (rc == 0)
        rc = coat_store_open(&t->store, options, &err);
    if (rc < 0)
        fprintf(stderr, "store_load: %s\n", err.text);
    coat_options_free(options);
    return rc;
}

int main(int argc, char **argv)
{
    struct target t = {.id = argc == 5 ? argv[3] : NULL,
                       .threads = argc == 5 ? strtol(argv[4], NULL, 10) : 0};
    if (t.threads < 1 || t.threads > THREADS_MAX) {
        fprintf(stderr, "store_load: URL PREFIX ID THREADS, of which at most %d\n", THREADS_MAX);
        return 2;
    }
    if (open_store(&t, argv[1], argv[2]) < 0)
        return 2;
    int rc = take_turns(loads, &t);
    coat_store_close(t.store);
    return rc != 0;
}
