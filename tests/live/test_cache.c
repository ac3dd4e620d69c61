/* A cache on a real server, by its public calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "coatcheck.h"
#include "live/ask.h"
#include "live/server.h"

static struct coat_cache *open_cache(void)
{
    struct coat_options *o;
    struct coat_cache *cache;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    assert_int_equal(coat_options_set(o, "url", server.url, NULL), 0);
    assert_int_equal(coat_options_set(o, "prefix", "shop:", NULL), 0);
    assert_int_equal(coat_options_set(o, "timeout", "20", NULL), 0);
    assert_int_equal(coat_cache_open(&cache, o, NULL), 0);
    coat_options_free(o);
    ask(coat_cache_store(cache), "FLUSHALL", NULL);
    return cache;
}

static int set_text_when(struct coat_cache *cache, const char *key, const char *text,
                         enum coat_cache_when when)
{
    struct coat_packer p;
    coat_packer_init(&p, NULL);
    coat_pack_str(&p, text);
    int rc = coat_cache_set(cache, key, &p, 60000, when, NULL);
    coat_packer_release(&p);
    return rc;
}

static void set_text(struct coat_cache *cache, const char *key, const char *text)
{
    assert_int_equal(set_text_when(cache, key, text, COAT_CACHE_ALWAYS), 1);
}

static void set_int(struct coat_cache *cache, const char *key, int64_t number)
{
    struct coat_packer p;
    coat_packer_init(&p, NULL);
    coat_pack_int(&p, number);
    assert_int_equal(coat_cache_set(cache, key, &p, COAT_CACHE_NO_TTL, COAT_CACHE_ALWAYS, NULL), 1);
    coat_packer_release(&p);
}

static void assert_value_is(const struct coat_cache_values *values, size_t index, const char *text)
{
    struct coat_cursor c;
    struct coat_item item;
    assert_int_equal(coat_cache_cursor(values, index, &c), text != NULL);
    if (!text)
        return;
    assert_int_equal(coat_cursor_next(&c, &item), 1);
    assert_int_equal(item.kind, COAT_TEXT);
    assert_int_equal(item.len, strlen(text));
    assert_memory_equal(item.bytes, text, item.len);
}

static void assert_entry(struct coat_cache *cache, const char *key, const char *text)
{
    struct coat_cache_values *values;
    assert_int_equal(coat_cache_get(cache, key, &values, NULL), text != NULL);
    assert_int_equal(values != NULL, text != NULL);
    if (values)
        assert_value_is(values, 0, text);
    coat_cache_values_free(values);
}

static int try_open(const char *url, const char *name, const char *value)
{
    struct coat_options *o;
    struct coat_cache *cache;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    assert_int_equal(coat_options_set(o, "prefix", "shop:", NULL), 0);
    if (url)
        assert_int_equal(coat_options_set(o, "url", url, NULL), 0);
    if (name)
        assert_int_equal(coat_options_set(o, name, value, NULL), 0);
    int rc = coat_cache_open(&cache, o, NULL);
    assert_int_equal(cache != NULL, rc == 0);
    coat_cache_close(cache);
    coat_options_free(o);
    return rc;
}

static void options_for_sessions_are_refused(void **state)
{
    (void)state;
    assert_int_equal(try_open("unix:/a", NULL, NULL), 0);
    assert_int_equal(try_open("unix:/a?timeout=2", "max_bytes", "5"), 0);
    assert_int_equal(try_open("unix:/a", "idle", "60"), COAT_ECONFIG);
    assert_int_equal(try_open("unix:/a", "max_fields", "60"), COAT_ECONFIG);
    assert_int_equal(try_open("unix:/a?stale=5", NULL, NULL), COAT_ECONFIG);
    assert_int_equal(try_open(NULL, NULL, NULL), COAT_ECONFIG); /* and no url */
}

/* ---- One entry ------------------------------------------------------------------------------ */

static void what_was_set_is_got(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    assert_entry(cache, "a", NULL);
    set_text(cache, "a", "tea");
    assert_entry(cache, "a", "tea");
    assert_int_equal(coat_cache_has(cache, "a", NULL), 1);
    assert_int_equal(coat_cache_delete(cache, "a", NULL), 1);
    assert_int_equal(coat_cache_delete(cache, "a", NULL), 0);
    assert_int_equal(coat_cache_has(cache, "a", NULL), 0);
    assert_entry(cache, "a", NULL);
    coat_cache_close(cache);
}

static void a_write_may_have_a_condition(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    assert_int_equal(set_text_when(cache, "a", "one", COAT_CACHE_IF_PRESENT), 0);
    assert_entry(cache, "a", NULL);
    assert_int_equal(set_text_when(cache, "a", "two", COAT_CACHE_IF_NEW), 1);
    assert_int_equal(set_text_when(cache, "a", "three", COAT_CACHE_IF_NEW), 0);
    assert_entry(cache, "a", "two");
    assert_int_equal(set_text_when(cache, "a", "four", COAT_CACHE_IF_PRESENT), 1);
    assert_entry(cache, "a", "four");
    coat_cache_close(cache);
}

static void an_entry_has_the_ttl_that_was_said(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    int64_t ttl_ms = 0;
    assert_int_equal(coat_cache_ttl(cache, "a", &ttl_ms, NULL), 0);
    set_text(cache, "a", "tea");
    assert_int_equal(coat_cache_ttl(cache, "a", &ttl_ms, NULL), 1);
    assert_in_range(ttl_ms, 1, 60000);
    assert_int_equal(coat_cache_touch(cache, "a", 3600000, NULL), 1);
    assert_int_equal(coat_cache_ttl(cache, "a", &ttl_ms, NULL), 1);
    assert_in_range(ttl_ms, 3000000, 3600000);
    assert_int_equal(coat_cache_touch(cache, "a", COAT_CACHE_NO_TTL, NULL), 1);
    assert_int_equal(coat_cache_ttl(cache, "a", &ttl_ms, NULL), 1);
    assert_int_equal(ttl_ms, COAT_CACHE_NO_TTL);
    assert_int_equal(coat_cache_touch(cache, "b", 10, NULL), 0);
    assert_int_equal(coat_cache_touch(cache, "b", COAT_CACHE_NO_TTL, NULL), 0);
    coat_cache_close(cache);
}

static void no_ttl_is_a_choice_and_not_a_mistake(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    assert_int_equal(coat_cache_touch(cache, "a", 0, NULL), COAT_EUSAGE);
    assert_int_equal(coat_cache_touch(cache, "a", -2, NULL), COAT_EUSAGE);
    assert_int_equal(coat_cache_touch(cache, "a", COAT_CACHE_TTL_MAX + 1, NULL), COAT_EUSAGE);
    assert_int_equal(coat_cache_touch(cache, "a", COAT_CACHE_TTL_MAX, NULL), 0);
    coat_cache_close(cache);
}

static void what_is_popped_is_gone(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct coat_cache_values *values;
    set_text(cache, "a", "tea");
    assert_int_equal(coat_cache_pop(cache, "a", &values, NULL), 1);
    assert_value_is(values, 0, "tea");
    coat_cache_values_free(values);
    assert_int_equal(coat_cache_pop(cache, "a", &values, NULL), 0);
    assert_null(values);
    coat_cache_close(cache);
}

static void a_sum_keeps_the_ttl(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    int64_t sum = 0, ten = 10, ttl_ms;
    assert_int_equal(coat_cache_incr(cache, "n", 1, NULL, 0, &sum, NULL), 0);
    assert_int_equal(coat_cache_incr(cache, "n", 1, &ten, 60000, &sum, NULL), 1);
    assert_int_equal(sum, 11);
    assert_int_equal(coat_cache_incr(cache, "n", -20, &ten, 1, &sum, NULL), 1);
    assert_int_equal(sum, -9);
    assert_int_equal(coat_cache_ttl(cache, "n", &ttl_ms, NULL), 1);
    assert_in_range(ttl_ms, 30000, 60000);
    coat_cache_close(cache);
}

static void sums_have_64_bits(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    int64_t sum = 0;
    set_int(cache, "n", INT64_MAX - 1);
    assert_int_equal(coat_cache_incr(cache, "n", 1, NULL, 0, &sum, NULL), 1);
    assert_int_equal(sum, INT64_MAX);
    assert_int_equal(coat_cache_incr(cache, "n", 1, NULL, 0, &sum, NULL), COAT_EUSAGE);
    set_text(cache, "text", "5");
    assert_int_equal(coat_cache_incr(cache, "text", 1, NULL, 0, &sum, NULL), COAT_EUSAGE);
    assert_entry(cache, "text", "5");
    coat_cache_close(cache);
}

static int swap_text(struct coat_cache *cache, const char *version, const char *text)
{
    struct coat_packer p;
    coat_packer_init(&p, NULL);
    coat_pack_str(&p, text);
    int rc = coat_cache_compare_and_set(cache, "a", version, &p, 60000, NULL);
    coat_packer_release(&p);
    return rc;
}

static void only_what_was_read_is_replaced(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct coat_cache_values *values;
    char version[COAT_CACHE_VERSION_SIZE];
    assert_int_equal(coat_cache_get_versioned(cache, "a", &values, version, NULL), 0);
    assert_null(values);
    set_text(cache, "a", "one");
    assert_int_equal(coat_cache_get_versioned(cache, "a", &values, version, NULL), 1);
    assert_value_is(values, 0, "one");
    coat_cache_values_free(values);
    assert_int_equal(swap_text(cache, version, "two"), 1);
    assert_entry(cache, "a", "two");
    assert_int_equal(swap_text(cache, version, "three"), 0);
    assert_entry(cache, "a", "two");
    assert_int_equal(coat_cache_delete(cache, "a", NULL), 1);
    assert_int_equal(swap_text(cache, version, "four"), 0);
    assert_int_equal(swap_text(cache, "", "five"), COAT_EUSAGE);
    assert_entry(cache, "a", NULL);
    coat_cache_close(cache);
}

/* ---- Many entries --------------------------------------------------------------------------- */

static void many_are_written_read_and_deleted(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct coat_cache *cache = open_cache();
    struct coat_cache_item items[COUNT];
    static char names[COUNT][8], values[COUNT][8];
    const char *keys[COUNT];
    struct coat_cache_values *got;
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        snprintf(values[i], sizeof values[i], "\xa4%04d", i);
        keys[i] = names[i];
        items[i] = (struct coat_cache_item){names[i], values[i], 5};
    }
    assert_int_equal(coat_cache_set_many(cache, items, COUNT, 60000, NULL), 0);
    assert_int_equal(coat_cache_delete(cache, "k7", NULL), 1);
    assert_int_equal(coat_cache_get_many(cache, keys, COUNT, &got, NULL), COUNT - 1);
    for (int i = 0; i < COUNT; i++)
        assert_value_is(got, (size_t)i, i == 7 ? NULL : values[i] + 1);
    coat_cache_values_free(got);
    assert_int_equal(coat_cache_delete_many(cache, keys, COUNT, NULL), COUNT - 1);
    coat_cache_close(cache);
}

static void none_of_many_is_written_where_one_is_no_value(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    const struct coat_cache_item items[] = {{"a", "\x01", 1}, {"b", "\xc1", 1}};
    assert_int_equal(coat_cache_set_many(cache, items, 2, 60000, NULL), COAT_ECORRUPT);
    assert_int_equal(coat_cache_has(cache, "a", NULL), 0);
    coat_cache_close(cache);
}

/* ---- Making a value once --------------------------------------------------------------------- */

static int fetch(struct coat_cache *cache, const char *text, struct coat_cache_work **work)
{
    struct coat_cache_values *values;
    int rc = coat_cache_fetch(cache, "a", 30000, &values, work, NULL);
    assert_int_equal(values != NULL, text != NULL);
    assert_int_equal(*work != NULL, rc == COAT_CACHE_MAKE);
    if (values)
        assert_value_is(values, 0, text);
    coat_cache_values_free(values);
    return rc;
}

static int fill_with(struct coat_cache_work *work, const char *text, int64_t ttl_ms,
                     int64_t stale_ms, int64_t cost_ms)
{
    struct coat_packer p;
    coat_packer_init(&p, NULL);
    coat_pack_str(&p, text);
    int rc = coat_cache_fill(work, &p, ttl_ms, stale_ms, cost_ms, NULL);
    coat_packer_release(&p);
    coat_cache_work_close(work);
    return rc;
}

static void one_makes_it_and_the_others_get_it(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct coat_cache_work *work, *none;
    assert_int_equal(fetch(cache, NULL, &work), COAT_CACHE_MAKE);
    assert_int_equal(fetch(cache, NULL, &none), COAT_CACHE_BUSY);
    assert_int_equal(fill_with(work, "tea", 60000, 0, 5), 1);
    assert_int_equal(fetch(cache, "tea", &none), COAT_CACHE_HAS_VALUE);
    assert_int_equal(ask(coat_cache_store(cache), "DBSIZE", NULL).integer, 1); /* no lock */
    coat_cache_close(cache);
}

static void who_gives_up_lets_the_next_one_make_it(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct coat_cache_work *work;
    assert_int_equal(fetch(cache, NULL, &work), COAT_CACHE_MAKE);
    coat_cache_work_close(work);
    assert_int_equal(fetch(cache, NULL, &work), COAT_CACHE_MAKE);
    coat_cache_work_close(work);
    coat_cache_close(cache);
}

static void what_is_late_is_not_stored(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct coat_cache_work *work;
    assert_int_equal(fetch(cache, NULL, &work), COAT_CACHE_MAKE);
    set_text(cache, "a", "newer");
    assert_int_equal(fill_with(work, "older", 60000, 0, 0), 0);
    assert_entry(cache, "a", "newer");
    assert_int_equal(coat_cache_delete(cache, "a", NULL), 1);
    assert_int_equal(fetch(cache, NULL, &work), COAT_CACHE_MAKE);
    assert_int_equal(coat_cache_delete(cache, "a", NULL), 0);
    assert_int_equal(fill_with(work, "older", 60000, 0, 0), 0);
    assert_entry(cache, "a", NULL);
    coat_cache_close(cache);
}

static void a_stale_value_is_served_while_one_makes_it_anew(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct coat_cache_work *work, *none;
    assert_int_equal(fetch(cache, NULL, &work), COAT_CACHE_MAKE);
    assert_int_equal(fill_with(work, "old", 1, 600000, 0), 1);
    while (ask(coat_cache_store(cache), "PTTL", "shop:c:k:a", NULL).integer > 600000)
        ;
    assert_int_equal(fetch(cache, "old", &work), COAT_CACHE_MAKE);
    assert_int_equal(fetch(cache, "old", &none), COAT_CACHE_HAS_VALUE);
    assert_int_equal(fill_with(work, "new", 60000, 0, 0), 1);
    assert_int_equal(fetch(cache, "new", &none), COAT_CACHE_HAS_VALUE);
    coat_cache_close(cache);
}

static void what_was_costly_is_made_anew_before_its_end(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct coat_cache_work *work, *none;
    assert_int_equal(fetch(cache, NULL, &work), COAT_CACHE_MAKE);
    assert_int_equal(fill_with(work, "old", 1000, 600000, 4000000), 1);
    for (int i = 0; i < 100; i++) { /* by chance, mostly at once */
        int rc = fetch(cache, "old", &work);
        if (rc == COAT_CACHE_MAKE)
            break;
        assert_int_not_equal(i, 99);
    }
    assert_int_equal(fetch(cache, "old", &none), COAT_CACHE_HAS_VALUE);
    assert_int_equal(fill_with(work, "new", COAT_CACHE_NO_TTL, 5, 4000000), 1);
    for (int i = 0; i < 20; i++)
        assert_int_equal(fetch(cache, "new", &none), COAT_CACHE_HAS_VALUE);
    coat_cache_close(cache);
}

/* ---- All entries ---------------------------------------------------------------------------- */

/* A set of keys that are numbers. */
struct seen {
    char numbers[3000];
    int count, stop_at;
};

static int see(void *context, const char *key, size_t len)
{
    struct seen *seen = context;
    char text[32] = "";
    assert_true(len < sizeof text);
    memcpy(text, key, len);
    seen->count += !seen->numbers[atoi(text + 1)];
    seen->numbers[atoi(text + 1)] = 1;
    return seen->count == seen->stop_at ? 7 : 0;
}

static void fill(struct coat_cache *cache, int count)
{
    for (int i = 0; i < count; i++) {
        char key[16];
        struct coat_cache_item item = {key, "\x01", 1};
        snprintf(key, sizeof key, "%c%d", "ab"[i % 2], i);
        assert_int_equal(coat_cache_set_many(cache, &item, 1, 60000, NULL), 0);
    }
}

static void every_key_that_a_pattern_fits_comes(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct seen seen = {{0}, 0, 0}, some = {{0}, 0, 5}, none = {{0}, 0, 0};
    fill(cache, 3000);
    ask(coat_cache_store(cache), "SET", "shop:s:{x}", "a session", NULL);
    ask(coat_cache_store(cache), "SET", "shopXc:k:a1", "another application's", NULL);
    assert_int_equal(coat_cache_keys(cache, "a*", see, &seen, NULL), 0);
    assert_int_equal(seen.count, 1500);
    assert_int_equal(coat_cache_keys(cache, "*", see, &some, NULL), 7);
    assert_int_equal(coat_cache_keys(cache, "c*", see, &none, NULL), 0);
    assert_int_equal(none.count, 0);
    assert_int_equal(coat_cache_keys(cache, "", see, &none, NULL), COAT_EUSAGE);
    coat_cache_close(cache);
}

static void clear_spares_what_is_not_the_caches(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct coat_store *store = coat_cache_store(cache);
    int64_t removed = -1;
    fill(cache, 1200);
    ask(store, "SET", "shop:s:{x}", "a session", NULL);
    ask(store, "SET", "other:c:k:a1", "another application's", NULL);
    assert_int_equal(coat_cache_clear(cache, &removed, NULL), 0);
    assert_int_equal(removed, 1200);
    assert_int_equal(ask(store, "DBSIZE", NULL).integer, 2);
    assert_int_equal(coat_cache_clear(cache, NULL, NULL), 0);
    coat_cache_close(cache);
}

/* ---- What is not ours, and what is asked wrongly -------------------------------------------- */

static void foreign_bytes_are_corrupt_and_counted(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct coat_store *store = coat_cache_store(cache);
    struct coat_cache_values *values;
    char notice[256];
    static const char *const BAD[] = {"pickle", "\xc1", "1.5"};
    for (int i = 0; i < 3; i++) {
        ask(store, "SET", "shop:c:k:a", BAD[i], NULL);
        assert_int_equal(coat_cache_get(cache, "a", &values, NULL), COAT_ECORRUPT);
        assert_null(values);
    }
    assert_int_equal(coat_store_count(store, COAT_COUNT_CORRUPT), 3);
    assert_int_equal(coat_store_notice(store, notice, sizeof notice), 1);
    assert_int_equal(coat_store_notice(store, notice, sizeof notice), 0);
    coat_cache_close(cache);
}

static void a_bad_packer_and_a_bad_key_are_refused(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct coat_packer p;
    coat_packer_init(&p, NULL);
    coat_pack_list(&p, 2);
    coat_pack_end(&p);
    assert_int_equal(coat_cache_set(cache, "a", &p, 1000, COAT_CACHE_ALWAYS, NULL), COAT_EUSAGE);
    coat_pack_int(&p, 1);
    assert_int_equal(coat_cache_set(cache, "", &p, 1000, COAT_CACHE_ALWAYS, NULL), COAT_EUSAGE);
    coat_pack_int(&p, 1);
    assert_int_equal(coat_cache_set(cache, "a", &p, 0, COAT_CACHE_ALWAYS, NULL), COAT_EUSAGE);
    coat_pack_int(&p, 1);
    assert_int_equal(coat_cache_set(cache, "a", &p, 1000, COAT_CACHE_ALWAYS, NULL), 1);
    coat_packer_release(&p);
    coat_cache_close(cache);
}

/* The line of docs/cache.md. */
static void these_permissions_are_enough(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache();
    struct coat_store *store = coat_cache_store(cache);
    struct coat_options *o;
    struct coat_cache_values *values;
    struct coat_cache_work *work;
    int64_t zero = 0, ttl_ms;
    const char *a = "a";
    ask(store, "ACL", "SETUSER", "shop", "on", ">secret", "~shop:c:*", "+get", "+mget", "+set",
        "+del", "+unlink", "+exists", "+pttl", "+pexpire", "+persist", "+getdel", "+incrby",
        "+scan", "+eval", "+evalsha", "+ping", NULL);
    coat_cache_close(cache);
    assert_int_equal(coat_options_new(&o, NULL), 0);
    assert_int_equal(coat_options_set(o, "url", server.url, NULL), 0);
    assert_int_equal(coat_options_set(o, "prefix", "shop:", NULL), 0);
    assert_int_equal(coat_options_set(o, "username", "shop", NULL), 0);
    assert_int_equal(coat_options_set(o, "password", "secret", NULL), 0);
    assert_int_equal(coat_options_set(o, "timeout", "20", NULL), 0);
    assert_int_equal(coat_cache_open(&cache, o, NULL), 0);
    coat_options_free(o);
    assert_int_equal(coat_store_ping(coat_cache_store(cache), NULL), 0);
    assert_int_equal(coat_cache_incr(cache, a, 1, &zero, 1000, NULL, NULL), 1);
    assert_int_equal(coat_cache_incr(cache, a, 1, NULL, 0, NULL, NULL), 1);
    set_text(cache, a, "tea");
    assert_int_equal(coat_cache_touch(cache, a, 60000, NULL), 1);
    assert_int_equal(coat_cache_touch(cache, a, COAT_CACHE_NO_TTL, NULL), 1);
    assert_int_equal(coat_cache_ttl(cache, a, &ttl_ms, NULL), 1);
    assert_int_equal(coat_cache_has(cache, a, NULL), 1);
    assert_int_equal(coat_cache_pop(cache, a, &values, NULL), 1);
    coat_cache_values_free(values);
    assert_int_equal(coat_cache_delete(cache, a, NULL), 0);
    assert_int_equal(coat_cache_get_many(cache, (const char *const[]){a, a}, 2, &values, NULL), 0);
    coat_cache_values_free(values);
    assert_int_equal(fetch(cache, NULL, &work), COAT_CACHE_MAKE);
    assert_int_equal(fill_with(work, "tea", 60000, 0, 0), 1);
    struct coat_cache *space;
    assert_int_equal(coat_cache_namespace(&space, cache, "n", NULL), 0);
    set_text(space, a, "tea");
    assert_int_equal(coat_cache_has(space, a, NULL), 1);
    assert_int_equal(coat_cache_invalidate(space, NULL, 0, NULL), 1);
    coat_cache_close(space);
    assert_int_equal(coat_cache_clear(cache, NULL, NULL), 0);
    coat_cache_close(cache);
}

/* ---- Many at once --------------------------------------------------------------------------- */

enum { THREADS = 8, EACH = 200 };

static struct coat_cache *shared;
static atomic_int won;

static void *add_and_count(void *unused)
{
    (void)unused;
    char key[16];
    int64_t zero = 0;
    for (int i = 0; i < EACH; i++) {
        snprintf(key, sizeof key, "once%d", i);
        atomic_fetch_add(&won, set_text_when(shared, key, "me", COAT_CACHE_IF_NEW));
        if (coat_cache_incr(shared, "sum", 1, &zero, 60000, NULL, NULL) != 1)
            abort();
    }
    return NULL;
}

/* Whoever misses it makes it, and counts that. */
static void *want_one_value(void *unused)
{
    (void)unused;
    struct coat_cache_values *values;
    struct coat_cache_work *work;
    int rc;
    while ((rc = coat_cache_fetch(shared, "hot", 30000, &values, &work, NULL)) == COAT_CACHE_BUSY)
        sched_yield();
    coat_cache_values_free(values);
    if (rc == COAT_CACHE_MAKE) {
        atomic_fetch_add(&won, 1);
        rc = fill_with(work, "tea", 60000, 0, 0);
    }
    if (rc != 1)
        abort();
    return NULL;
}

static void of_many_one_makes_it(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    shared = open_cache();
    for (int round = 0; round < 50; round++) {
        atomic_store(&won, 0);
        coat_cache_delete(shared, "hot", NULL);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, want_one_value, NULL), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&won), 1);
    }
    coat_cache_close(shared);
}

static void of_many_one_adds_and_all_count(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int64_t sum;
    shared = open_cache();
    atomic_store(&won, 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_and_count, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&won), EACH);
    assert_int_equal(coat_cache_incr(shared, "sum", 0, NULL, 0, &sum, NULL), 1);
    assert_int_equal(sum, THREADS * EACH);
    coat_cache_close(shared);
}

/* ---- Namespaces and tags --------------------------------------------------------------------- */

static struct coat_cache *open_namespace(struct coat_cache *cache, const char *name)
{
    struct coat_cache *view;
    assert_int_equal(coat_cache_namespace(&view, cache, name, NULL), 0);
    return view;
}

static void assert_text(struct coat_cache *cache, const char *key, const char *text)
{
    struct coat_cache_values *values;
    assert_int_equal(coat_cache_get(cache, key, &values, NULL), text != NULL);
    if (text)
        assert_value_is(values, 0, text);
    coat_cache_values_free(values);
}

static void what_is_in_a_namespace_ends_with_it(void **state)
{
    (void)state;
    struct coat_cache *cache = open_cache(), *outer = open_namespace(cache, "user:42"),
                      *inner = open_namespace(outer, "cart");
    int64_t removed;
    assert_text(inner, "k", NULL);
    set_text(cache, "k", "0");
    set_text(outer, "k", "1");
    set_text(inner, "k", "2");
    assert_text(cache, "k", "0");
    assert_text(outer, "k", "1");
    assert_text(inner, "k", "2");
    assert_int_equal(coat_cache_clear(inner, &removed, NULL), 0);
    assert_int_equal(removed, 1);
    assert_text(inner, "k", NULL);
    assert_text(outer, "k", "1");
    set_text(inner, "k", "2");
    assert_int_equal(
        coat_cache_invalidate(cache, (const char *const[]){"user:42", "none"}, 2, NULL), 1);
    assert_text(inner, "k", NULL);
    assert_text(outer, "k", NULL);
    assert_text(cache, "k", "0");
    assert_int_equal(coat_cache_invalidate(cache, NULL, 0, NULL), COAT_EUSAGE);
    coat_cache_close(outer);
    set_text(inner, "k", "3");
    assert_text(inner, "k", "3");
    coat_cache_close(inner);
    coat_cache_close(cache);
}

static void what_is_made_of_several_things_ends_with_each(void **state)
{
    (void)state;
    const char *const tags[] = {"prices", "product:7"};
    struct coat_cache *cache = open_cache(), *page;
    for (int i = 0; i < 2; i++) {
        struct coat_cache_values *values;
        struct coat_cache_work *work;
        assert_int_equal(coat_cache_tagged(&page, cache, tags, 2, NULL), 0);
        assert_int_equal(coat_cache_fetch(page, "k", 30000, &values, &work, NULL), COAT_CACHE_MAKE);
        struct coat_packer p;
        coat_packer_init(&p, NULL);
        coat_pack_str(&p, "made");
        assert_int_equal(coat_cache_fill(work, &p, 60000, 0, 0, NULL), 1);
        coat_packer_release(&p);
        coat_cache_work_close(work);
        assert_text(page, "k", "made");
        assert_int_equal(coat_cache_invalidate(cache, &tags[i], 1, NULL), 1);
        assert_text(page, "k", NULL);
        coat_cache_close(page);
    }
    coat_cache_close(cache);
}

/* They share what is remembered. A value is never one of before an invalidation that was over. */
static atomic_int ended;

static void *write_and_end(void *context)
{
    struct coat_cache *cache = context, *space = open_namespace(cache, "hot");
    for (int i = 1; i <= EACH; i++) {
        char text[16];
        snprintf(text, sizeof text, "%09d", i);
        set_text(space, "k", text);
        assert_true(coat_cache_invalidate(space, NULL, 0, NULL) >= 0);
        atomic_store(&ended, i);
    }
    coat_cache_close(space);
    return NULL;
}

static void *read_what_is_new(void *context)
{
    struct coat_cache *cache = context, *space = open_namespace(cache, "hot");
    while (atomic_load(&ended) < EACH) {
        struct coat_cache_values *values;
        int before = atomic_load(&ended);
        if (coat_cache_get(space, "k", &values, NULL) == 1) {
            char text[16] = "";
            const void *value;
            size_t len;
            coat_cache_value_of(values, 0, &value, &len);
            assert_int_equal(len, 10);
            memcpy(text, (const char *)value + 1, 9);
            assert_true(strtol(text, NULL, 10) > before);
        }
        coat_cache_values_free(values);
    }
    coat_cache_close(space);
    return NULL;
}

static void nobody_reads_what_has_ended(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct coat_cache *cache = open_cache();
    atomic_store(&ended, 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i ? read_what_is_new : write_and_end, cache), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    coat_cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_for_sessions_are_refused),
        cmocka_unit_test(what_was_set_is_got),
        cmocka_unit_test(a_write_may_have_a_condition),
        cmocka_unit_test(an_entry_has_the_ttl_that_was_said),
        cmocka_unit_test(no_ttl_is_a_choice_and_not_a_mistake),
        cmocka_unit_test(what_is_popped_is_gone),
        cmocka_unit_test(a_sum_keeps_the_ttl),
        cmocka_unit_test(sums_have_64_bits),
        cmocka_unit_test(only_what_was_read_is_replaced),
        cmocka_unit_test(many_are_written_read_and_deleted),
        cmocka_unit_test(none_of_many_is_written_where_one_is_no_value),
        cmocka_unit_test(one_makes_it_and_the_others_get_it),
        cmocka_unit_test(who_gives_up_lets_the_next_one_make_it),
        cmocka_unit_test(what_is_late_is_not_stored),
        cmocka_unit_test(a_stale_value_is_served_while_one_makes_it_anew),
        cmocka_unit_test(what_was_costly_is_made_anew_before_its_end),
        cmocka_unit_test(every_key_that_a_pattern_fits_comes),
        cmocka_unit_test(clear_spares_what_is_not_the_caches),
        cmocka_unit_test(foreign_bytes_are_corrupt_and_counted),
        cmocka_unit_test(a_bad_packer_and_a_bad_key_are_refused),
        cmocka_unit_test(these_permissions_are_enough),
        cmocka_unit_test(of_many_one_makes_it),
        cmocka_unit_test(of_many_one_adds_and_all_count),
        cmocka_unit_test(what_is_in_a_namespace_ends_with_it),
        cmocka_unit_test(what_is_made_of_several_things_ends_with_each),
        cmocka_unit_test(nobody_reads_what_has_ended),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
