/* A Redis Cluster of three masters and three replicas: every slot, a reshard and a master's end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "coat_cache.h"
#include "live/bare_store.h"
#include "live/load.h"
#include "live/topologies.h"
#include "slot.h"

static struct live_cluster cluster;

static int start(void **state)
{
    (void)state;
    live_cluster_start(&cluster);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    live_cluster_stop(&cluster);
    return 0;
}

/* A hash tag whose slot is served by that master at first; `nth` of them. */
static const char *tag_of(int master, int nth)
{
    static char tag[16];
    for (int i = 0;; i++) {
        snprintf(tag, sizeof tag, "t%d", i);
        if ((int)coat_slot(tag, strlen(tag)) / 5462 == master && nth-- == 0)
            return tag;
    }
}

static void keys_of_all_masters_are_written_and_read(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(cluster.url, NULL);
    for (int i = 0; i < 60; i++) {
        char words[64];
        struct simple_op s;
        snprintf(words, sizeof words, "SET {k%d} v%d", i, i);
        assert_int_equal(live_ask(store, words, &s), 0);
        snprintf(words, sizeof words, "GET {k%d}", i);
        assert_int_equal(live_ask(store, words, &s), 0);
        snprintf(words, sizeof words, "v%d", i);
        assert_string_equal(s.text, words);
    }
    live_store_free(store);
}

static void a_pipeline_whose_keys_live_on_all_masters_is_split_up(void **state)
{
    (void)state;
    for (int verify = 0; verify < 2; verify++) {
        struct coat_store *store = live_store_new(cluster.url, "verify", verify ? "1" : "0", NULL);
        char words[128];
        struct simple_op s;
        for (int master = 0; master < LIVE_MASTERS; master++) {
            snprintf(words, sizeof words, "SET {%s} on%d", tag_of(master, 0), master);
            assert_int_equal(live_ask(store, words, &s), 0);
        }
        for (int last = 0; last < LIVE_MASTERS; last++) {
            char tags[3][16];
            for (int i = 0; i < 3; i++)
                snprintf(tags[i], sizeof tags[i], "%s", tag_of((last + 1 + i) % 3, 0));
            snprintf(words, sizeof words, "GET {%s} | STRLEN {%s} | GET {%s}", tags[0], tags[1],
                     tags[2]);
            assert_int_equal(live_ask(store, words, &s), 0);
            snprintf(words, sizeof words, "on%d", last);
            assert_string_equal(s.text, words);
            assert_int_equal(s.sends, 1);
        }
        live_store_free(store);
    }
}

static void a_seed_that_is_dead_is_passed_over(void **state)
{
    (void)state;
    char url[128];
    int port, refusing = live_refuse(&port);
    snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%d,127.0.0.1:%d", port,
             cluster.nodes[1].port);
    struct coat_store *store = live_store_new(url, NULL);
    struct simple_op s;
    assert_int_equal(live_ask(store, "SET {a} 1", &s), 0);
    live_store_free(store);
    close(refusing);
}

static void a_child_goes_on_with_what_its_parent_knew(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(cluster.url, NULL);
    struct simple_op s;
    int status;
    assert_int_equal(live_ask(store, "SET {a} parents", &s), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(live_ask(store, "SET {a} childs", &s) != 0);
    assert_int_equal(live_ask(store, "SET {b} 2", &s), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(live_ask(store, "GET {a}", &s), 0);
    assert_string_equal(s.text, "childs");
    live_store_free(store);
}

static void a_server_that_is_no_cluster_is_told(void **state)
{
    (void)state;
    struct live_server alone;
    char url[128];
    live_server_start(&alone, 1, NULL);
    snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%d", alone.port);
    struct coat_store *store = live_store_new(url, NULL);
    struct simple_op s;
    assert_int_equal(live_ask(store, "SET {a} 1", &s), COAT_ECONFIG);
    assert_non_null(strstr(s.loss.text, "belongs to no cluster"));
    live_store_free(store);
    live_server_stop(&alone);
}

static void one_node_as_a_single_server_says_what_to_write(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(cluster.nodes[0].url, NULL);
    char words[64];
    struct simple_op s;
    snprintf(words, sizeof words, "GET {%s}", tag_of(1, 0));
    assert_int_equal(live_ask(store, words, &s), SIMPLE_ERROR_REPLY);
    assert_int_equal(strncmp(s.text, "MOVED", 5), 0);
    live_store_free(store);
}

static void a_user_who_may_not_list_the_slots_is_led_by_redirects(void **state)
{
    (void)state;
    for (int i = 0; i < LIVE_NODES; i++)
        live_tell(&cluster.nodes[i], "ACL SETUSER led on >secret ~* +get +set +ping");
    struct coat_store *store =
        live_store_new(cluster.url, "username", "led", "password", "secret", NULL);
    for (int i = 0; i < 30; i++) {
        char words[64];
        struct simple_op s;
        snprintf(words, sizeof words, "SET {k%d} v%d", i, i);
        assert_int_equal(live_ask(store, words, &s), 0);
    }
    live_store_free(store);
}

/* By a user who may do what the guide says, and no more. */
static void a_reshard_under_load_loses_nothing(void **state)
{
    (void)state;
    struct load load;
    char url[192];
    for (int i = 0; i < LIVE_NODES; i++)
        live_tell(&cluster.nodes[i],
                  "ACL SETUSER few on >secret ~load:* +get +set +del +pttl +pexpire +pexpireat "
                  "+getrange +zadd +zrange +zrem +zremrangebyscore +zscore +zcard +time "
                  "+eval +evalsha +ping +asking +cluster");
    snprintf(url, sizeof url, "redis+cluster://few:secret@%s", strstr(cluster.url, "//") + 2);
    load_open(&load, url);
    load_start(&load);
    load_await_saves(&load, 200);
    int moved = 0;
    for (unsigned slot = 0; slot < 5462 && moved < 12; slot++)
        if (atoi(live_tell(&cluster.nodes[0], "CLUSTER COUNTKEYSINSLOT %u", slot)) > 0) {
            live_cluster_move(&cluster, slot, 0, 1);
            load_await_saves(&load, 20);
            moved++;
        }
    assert_int_equal(moved, 12);
    load_await_saves(&load, 200);
    load_stop(&load);
    struct load_reckoning r = load_reckon(&load);
    load_print("reshard", &load, &r);
    assert_int_equal(atomic_load(&load.wrong), 0);
    assert_int_equal(atomic_load(&load.missing), 0);
    assert_int_equal(atomic_load(&load.unavailable), 0);
    assert_int_equal(atomic_load(&load.uncertain), 0);
    assert_int_equal(r.intact, LOAD_THREADS * LOAD_SESSIONS);
    load_close(&load);
}

static int has_failed_over(void *user)
{
    (void)user;
    return live_cluster_owner(&cluster, 16383) == 5;
}

/* The sessions of the other masters lose nothing; what the dead one had not replicated is lost. */
static void a_master_killed_under_load_loses_only_what_was_not_replicated(void **state)
{
    (void)state;
    struct load load;
    load_open(&load, cluster.url);
    load_start(&load);
    load_await_saves(&load, 400);
    live_server_kill(&cluster.nodes[2], 1);
    live_wait(has_failed_over, NULL, "the replica does not take over");
    load_await_saves(&load, 400);
    load_stop(&load);
    load_assert_only_saves_are_lost(&load, "master killed");
    load_close(&load);
}

/* ---- A cache -------------------------------------------------------------------------------- */

static struct coat_cache *open_cache(void)
{
    struct coat_options *o;
    struct coat_cache *cache;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    assert_int_equal(coat_options_set(o, "url", cluster.url, NULL), 0);
    assert_int_equal(coat_options_set(o, "prefix", "cached:", NULL), 0);
    assert_int_equal(coat_options_set(o, "timeout", "20", NULL), 0);
    assert_int_equal(coat_cache_open(&cache, o, NULL), 0);
    coat_options_free(o);
    return cache;
}

static int count_key(void *context, const char *key, size_t len)
{
    (void)key;
    (void)len;
    ++*(int *)context;
    return 0;
}

static void a_cache_reads_lists_and_clears_what_all_masters_have(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct coat_cache *cache = open_cache(), *later = open_cache(); /* knows no node yet */
    struct coat_cache_item items[COUNT];
    struct coat_cache_values *values;
    static char names[COUNT][8];
    const char *keys[COUNT];
    int64_t removed;
    int count = 0;
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        keys[i] = names[i];
        items[i] = (struct coat_cache_item){names[i], "\x01", 1};
    }
    assert_int_equal(coat_cache_set_many(cache, items, COUNT, 60000, NULL), 0);
    assert_int_equal(coat_cache_get_many(cache, keys, COUNT, &values, NULL), COUNT);
    coat_cache_values_free(values);
    assert_int_equal(coat_cache_keys(later, "k*", count_key, &count, NULL), 0);
    assert_int_equal(count, COUNT);
    assert_int_equal(coat_cache_clear(cache, &removed, NULL), 0);
    assert_int_equal(removed, COUNT);
    assert_int_equal(coat_cache_get_many(cache, keys, COUNT, &values, NULL), 0);
    coat_cache_values_free(values);
    coat_cache_close(cache);
    coat_cache_close(later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_all_masters_are_written_and_read),
        cmocka_unit_test(a_cache_reads_lists_and_clears_what_all_masters_have),
        cmocka_unit_test(a_pipeline_whose_keys_live_on_all_masters_is_split_up),
        cmocka_unit_test(a_seed_that_is_dead_is_passed_over),
        cmocka_unit_test(a_child_goes_on_with_what_its_parent_knew),
        cmocka_unit_test(a_server_that_is_no_cluster_is_told),
        cmocka_unit_test(one_node_as_a_single_server_says_what_to_write),
        cmocka_unit_test(a_user_who_may_not_list_the_slots_is_led_by_redirects),
        cmocka_unit_test(a_reshard_under_load_loses_nothing),
        cmocka_unit_test(a_master_killed_under_load_loses_only_what_was_not_replicated),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
