/* A cache when memory runs out. */
#include <string.h>

#include "fault.h"
#include "coatcheck.h"

/* Nobody listens there. */
static const char away[] = "unix:/nonexistent/socket";

static struct coat_options *options(void)
{
    struct coat_options *o;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    assert_int_equal(coat_options_set(o, "url", away, NULL), 0);
    assert_int_equal(coat_options_set(o, "prefix", "shop:", NULL), 0);
    return o;
}

static struct coat_options *given;

static int opening(void)
{
    struct coat_cache *cache;
    int rc = coat_cache_open(&cache, given, NULL);
    assert_int_equal(cache != NULL, rc == 0);
    coat_cache_close(cache);
    return rc;
}

static void a_cache_is_opened_or_not(void **state)
{
    (void)state;
    given = options();
    assert_true(each_allocation_fails(opening) >= 3);
    coat_options_free(given);
}

static struct coat_cache *cache;

/* No server is what the call ends with when it has its memory. */
static int asked(int rc)
{
    return rc == COAT_EUNAVAILABLE ? 0 : rc;
}

static int reading(void)
{
    static const char *const keys[] = {"a", "b", "c", "d"};
    struct coat_cache_values *values;
    int rc = coat_cache_get_many(cache, keys, 4, &values, NULL);
    assert_null(values);
    return asked(rc);
}

static int writing(void)
{
    const struct coat_cache_item items[] = {{"a", "\x01", 1}, {"b", "\xa1z", 2}, {"c", "\xc0", 1}};
    return asked(coat_cache_set_many(cache, items, 3, 1000, NULL));
}

static int adding(void)
{
    int64_t ten = 10;
    return asked(coat_cache_incr(cache, "a", 1, &ten, 1000, NULL, NULL));
}

static int clearing(void)
{
    return asked(coat_cache_clear(cache, NULL, NULL));
}

static int fetching(void)
{
    struct coat_cache_values *values;
    struct coat_cache_work *work;
    int rc = coat_cache_fetch(cache, "a", 1000, &values, &work, NULL);
    assert_null(values);
    assert_null(work);
    return asked(rc);
}

static void a_call_is_made_or_not(void **state)
{
    (void)state;
    struct coat_options *o = options();
    assert_int_equal(coat_cache_open(&cache, o, NULL), 0);
    coat_options_free(o);
    assert_true(each_allocation_fails(reading) >= 5);
    assert_true(each_allocation_fails(writing) >= 4);
    assert_true(each_allocation_fails(adding) >= 2);
    assert_true(each_allocation_fails(clearing) >= 1);
    assert_true(each_allocation_fails(fetching) >= 4);
    coat_cache_close(cache);
}

/* ---- In a view ------------------------------------------------------------------------------- */

static struct coat_cache *whole;

static int viewing(void)
{
    static const char *const tags[] = {"a", "b"};
    struct coat_cache *tagged, *view = NULL;
    int rc = coat_cache_tagged(&tagged, whole, tags, 2, NULL);
    assert_int_equal(tagged != NULL, rc == 0);
    if (rc == 0)
        rc = coat_cache_namespace(&view, tagged, "n", NULL);
    assert_int_equal(view != NULL, rc == 0);
    coat_cache_close(view);
    coat_cache_close(tagged);
    return rc;
}

static int invalidating(void)
{
    return asked(coat_cache_invalidate(cache, NULL, 0, NULL));
}

static int walking(void)
{
    return asked(coat_cache_keys(cache, "*", NULL, NULL, NULL));
}

static void a_view_is_made_and_used_or_not(void **state)
{
    (void)state;
    static const char *const tags[] = {"a", "b"};
    struct coat_options *o = options();
    assert_int_equal(coat_cache_open(&whole, o, NULL), 0);
    coat_options_free(o);
    assert_true(each_allocation_fails(viewing) >= 6);
    assert_int_equal(coat_cache_tagged(&cache, whole, tags, 2, NULL), 0);
    assert_true(each_allocation_fails(reading) >= 6);
    assert_true(each_allocation_fails(writing) >= 5);
    assert_true(each_allocation_fails(fetching) >= 5);
    assert_true(each_allocation_fails(invalidating) >= 2);
    assert_true(each_allocation_fails(walking) >= 2);
    coat_cache_close(cache);
    coat_cache_close(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_is_opened_or_not),
        cmocka_unit_test(a_call_is_made_or_not),
        cmocka_unit_test(a_view_is_made_and_used_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
