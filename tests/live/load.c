#include "load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "topologies.h"

#define FIELD "n"

static void set_counter(struct coat_session *s, unsigned n)
{
    const unsigned char value[5] = {0xce, (unsigned char)(n >> 24), (unsigned char)(n >> 16),
                                    (unsigned char)(n >> 8), (unsigned char)n};
    unsigned char small[3] = {0xcd, (unsigned char)(n >> 8), (unsigned char)n};
    const unsigned char *at = n > 0xffff ? value : n > 0xff ? small : small + 1;
    size_t len = n > 0xffff ? 5 : n > 0xff ? 3 : 2;
    if (len == 2)
        small[1] = 0xcc;
    if (n < 128)
        at = small + 2, len = 1;
    if (coat_doc_set(coat_session_doc(s), FIELD, 1, at, len, NULL) < 0)
        abort();
}

static unsigned counter(struct coat_session *s)
{
    const void *value;
    size_t len;
    unsigned n = 0;
    if (coat_doc_get(coat_session_doc(s), FIELD, 1, &value, &len) != 1)
        return UINT32_MAX;
    const unsigned char *bytes = value;
    for (size_t i = len > 1; i < len; i++)
        n = n << 8 | bytes[i];
    return n;
}

void load_open(struct load *load, const char *url)
{
    struct coat_options *options;
    struct coat_error err;
    memset(load, 0, sizeof *load);
    if (coat_options_new(&options, NULL) < 0 || coat_options_set(options, "url", url, &err) < 0 ||
        coat_options_set(options, "prefix", "load:", NULL) < 0 ||
        coat_options_set(options, "timeout", "10", NULL) < 0 ||
        coat_options_set(options, "connect_timeout", "0.5", NULL) < 0 ||
        coat_store_open(&load->store, options, &err) < 0)
        fail_msg("%s", err.text);
    coat_options_free(options);
    for (int i = 0; i < LOAD_THREADS * LOAD_SESSIONS; i++) {
        struct load_session *l = &load->sessions[i / LOAD_SESSIONS][i % LOAD_SESSIONS];
        struct coat_session *s;
        assert_int_equal(coat_session_new(load->store, &s, NULL), 0);
        set_counter(s, 1);
        if (coat_session_save(s, &err) < 0)
            fail_msg("%s", err.text);
        snprintf(l->id, sizeof l->id, "%s", coat_session_id(s));
        l->acknowledged = l->attempted = 1;
        coat_session_close(s);
    }
}

/* What the save of a counter came to. */
static void note_save(struct load *load, struct load_session *l, int rc,
                      const struct coat_error *err)
{
    if (rc == 0) {
        l->acknowledged = l->attempted;
        atomic_fetch_add(&load->saved, 1);
    } else if (rc == COAT_EUNCERTAIN) {
        atomic_fetch_add(&load->uncertain, 1);
    } else if (rc == COAT_EUNAVAILABLE || rc == COAT_ETIMEOUT) {
        atomic_fetch_add(&load->unavailable, 1);
    } else {
        load->why = *err;
        atomic_fetch_add(&load->wrong, 1);
    }
}

static void note_load(struct load *load, int rc, const struct coat_error *err)
{
    if (rc == 0) {
        atomic_fetch_add(&load->missing, 1);
    } else if (rc == COAT_EUNAVAILABLE || rc == COAT_ETIMEOUT) {
        atomic_fetch_add(&load->unavailable, 1);
    } else {
        load->why = *err;
        atomic_fetch_add(&load->wrong, 1);
    }
}

static void count_up(struct load *load, struct load_session *l)
{
    struct coat_session *s;
    struct coat_error err;
    int rc = coat_store_load(load->store, l->id, &s, &err);
    if (rc != 1) {
        note_load(load, rc, &err);
        return;
    }
    if (counter(s) > l->attempted)
        atomic_fetch_add(&load->wrong, 1);
    l->attempted++;
    set_counter(s, l->attempted);
    note_save(load, l, coat_session_save(s, &err), &err);
    coat_session_close(s);
}

struct part {
    struct load *load;
    struct load_session *sessions;
};

static void *run(void *arg)
{
    struct part part = *(struct part *)arg;
    free(arg);
    for (int i = 0; atomic_load(&part.load->running); i = (i + 1) % LOAD_SESSIONS) {
        int64_t begin = coat_monotonic_ms();
        count_up(part.load, &part.sessions[i]);
        long took = (long)(coat_monotonic_ms() - begin);
        long longest = atomic_load(&part.load->longest_ms);
        while (took > longest &&
               !atomic_compare_exchange_weak(&part.load->longest_ms, &longest, took))
            ;
    }
    return NULL;
}

void load_start(struct load *load)
{
    atomic_store(&load->running, 1);
    for (int i = 0; i < LOAD_THREADS; i++) {
        struct part *part = malloc(sizeof *part);
        assert_non_null(part);
        *part = (struct part){load, load->sessions[i]};
        assert_int_equal(pthread_create(&load->threads[i], NULL, run, part), 0);
    }
}

void load_stop(struct load *load)
{
    atomic_store(&load->running, 0);
    for (int i = 0; i < LOAD_THREADS; i++)
        pthread_join(load->threads[i], NULL);
}

struct load_reckoning load_reckon(struct load *load)
{
    struct load_reckoning sum = {0};
    for (int i = 0; i < LOAD_THREADS * LOAD_SESSIONS; i++) {
        struct load_session *l = &load->sessions[i / LOAD_SESSIONS][i % LOAD_SESSIONS];
        struct coat_session *s;
        struct coat_error err;
        int rc = coat_store_load(load->store, l->id, &s, &err);
        if (rc < 0)
            fail_msg("%s", err.text);
        unsigned found = rc == 1 ? counter(s) : 0;
        sum.lost_sessions += rc == 0;
        if (found > l->attempted)
            atomic_fetch_add(&load->wrong, 1);
        else if (found >= l->acknowledged)
            sum.intact++;
        else
            sum.lost_saves += (int)(l->acknowledged - found);
        if (rc == 1)
            coat_session_close(s);
    }
    return sum;
}

void load_close(struct load *load)
{
    coat_store_close(load->store);
}

void load_print(const char *what, const struct load *load, const struct load_reckoning *r)
{
    print_message("# %s: %d saves acknowledged, of these lost %d; sessions lost %d; uncertain %d, "
                  "unavailable %d; the longest call took %ld ms\n",
                  what, atomic_load(&load->saved), r->lost_saves, r->lost_sessions,
                  atomic_load(&load->uncertain), atomic_load(&load->unavailable),
                  atomic_load(&load->longest_ms));
}

void load_assert_only_saves_are_lost(struct load *load, const char *what)
{
    struct load_reckoning r = load_reckon(load);
    load_print(what, load, &r);
    if (atomic_load(&load->wrong))
        fail_msg("%s", load->why.text);
    assert_int_equal(r.lost_sessions, 0);
    assert_int_equal(atomic_load(&load->missing), 0);
    assert_true(r.intact >= LOAD_THREADS * LOAD_SESSIONS - r.lost_saves);
}

struct goal {
    struct load *load;
    int saved;
};

static int is_reached(void *user)
{
    struct goal *goal = user;
    return atomic_load(&goal->load->saved) >= goal->saved;
}

void load_await_saves(struct load *load, int more)
{
    struct goal goal = {load, atomic_load(&load->saved) + more};
    live_wait(is_reached, &goal, "no more saves succeed");
}
