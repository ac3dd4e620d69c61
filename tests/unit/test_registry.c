#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/channel.h"
#include "api/registry.h"
#include "node.h"
#include "redis.h"
#include "store.h"

/* A store that is never connected, in a registry. */
static struct coat_store *open_in(struct coat_registry *registry)
{
    struct coat_store *store;
    struct coat_options *o;
    coat_options_new(&o, NULL);
    coat_options_set(o, "url", "redis://127.0.0.1:1", NULL);
    coat_options_set(o, "prefix", "test:", NULL);
    assert_int_equal(coat_store_open_in(registry, &store, o, NULL), 0);
    coat_options_free(o);
    return store;
}

static void stores_that_connect_in_the_same_way_share(void **state)
{
    (void)state;
    struct coat_registry *registry;
    assert_int_equal(coat_registry_new(&registry, NULL), 0);
    struct coat_store *one = open_in(registry), *other = open_in(registry);
    assert_ptr_equal(one->redis, other->redis);
    coat_store_close(one);
    coat_store_close(other);
    coat_registry_free(registry);
}

/* As when an interpreter ends: the sanitizers see what is used after it was freed, or never is. */
static void a_store_may_outlive_its_registry(void **state)
{
    (void)state;
    struct coat_registry *registry;
    assert_int_equal(coat_registry_new(&registry, NULL), 0);
    struct coat_store *one = open_in(registry), *other = open_in(registry);
    coat_store_close(one);
    coat_registry_free(registry);
    coat_store_close(other);
}

static void a_channel_may_outlive_both(void **state)
{
    (void)state;
    const struct coat_address address = {
        .scheme = COAT_SCHEME_TCP, .host = (char[]){"127.0.0.1"}, .port = 1};
    struct coat_registry *registry;
    struct coat_channel *channel;
    struct coat_node *node;
    assert_int_equal(coat_registry_new(&registry, NULL), 0);
    struct coat_store *store = open_in(registry);
    assert_int_equal(coat_redis_node(store->redis, &address, COAT_NODE_DATA, &node, NULL), 0);
    assert_int_equal(coat_channel_new(&channel, store, node, NULL), 0);
    coat_store_close(store);
    coat_registry_free(registry);
    coat_node_release(node);
    coat_channel_free(channel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_that_connect_in_the_same_way_share),
        cmocka_unit_test(a_store_may_outlive_its_registry),
        cmocka_unit_test(a_channel_may_outlive_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
