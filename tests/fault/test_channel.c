/* A channel and the calls on it, with every allocation failing in turn. */
#include <string.h>

#include "api/channel.h"
#include "clock.h"
#include "node.h"
#include "redis.h"
#include "store.h"

#include "fault.h"

enum { CALLS = 3 };

static const char hello[] = "+OK\r\n+OK\r\n+OK\r\n$-1\r\n";
static const char answers[] = "$3\r\nabc\r\n*2\r\n:1\r\n$2\r\nab\r\n:3\r\n";

/* A store that no server is behind, a channel to its node, and how its calls ended. */
struct bench {
    struct coat_store *store;
    struct coat_node *node;
    struct coat_channel *channel;
    int queued, answered, lost;
};

static int open_store(struct coat_store **store)
{
    struct coat_options *o;
    int rc = coat_options_new(&o, NULL);
    if (rc < 0)
        return rc;
    rc = coat_options_set(o, "url", "redis://127.0.0.1:1", NULL);
    if (rc == 0)
        rc = coat_options_set(o, "prefix", "test:", NULL);
    if (rc == 0)
        rc = coat_store_open(store, o, NULL);
    coat_options_free(o);
    return rc;
}

static int open_channel(struct bench *b)
{
    const struct coat_address address = {
        .scheme = COAT_SCHEME_TCP, .host = (char[]){"127.0.0.1"}, .port = 1};
    int rc = open_store(&b->store);
    if (rc == 0)
        rc = coat_redis_node(b->store->redis, &address, COAT_NODE_DATA, &b->node, NULL);
    if (rc == 0)
        rc = coat_channel_new(&b->channel, b->store, b->node, NULL);
    return rc;
}

static int queue(struct bench *b)
{
    static const struct coat_arg word = {"PING", 4};
    static const struct coat_command command = {.args = &word, .count = 1};
    const struct coat_hop hop = {.node = b->node, .commands = &command, .count = 1};
    struct coat_channel_place *place;
    int rc = coat_channel_queue(b->channel, &hop, coat_monotonic_ms() + 60000, b, &place, NULL);
    b->queued += rc == 0;
    return rc;
}

static int send_all(struct bench *b)
{
    const char *bytes;
    size_t len;
    int rc = coat_channel_output(b->channel, &bytes, &len, NULL);
    return rc < 0 ? rc : 0;
}

static int hear(struct bench *b, const char *bytes)
{
    struct coat_event event;
    void *owner;
    int rc = coat_channel_input(b->channel, bytes, strlen(bytes), NULL);
    while (rc == 0 && (rc = coat_channel_next(b->channel, &event, &owner, NULL)) > 0) {
        assert_ptr_equal(owner, b);
        b->answered++;
        rc = 0;
    }
    return rc;
}

static int use(struct bench *b)
{
    int rc = queue(b);
    if (rc == 0)
        rc = coat_channel_greet(b->channel, NULL);
    if (rc == 0)
        rc = send_all(b);
    if (rc == 0)
        rc = hear(b, hello);
    for (int i = 1; rc == 0 && i < CALLS; i++)
        rc = queue(b);
    if (rc == 0)
        rc = send_all(b);
    return rc < 0 ? rc : hear(b, answers);
}

/* Every call is answered, or hears that there is no memory. */
static int a_channel_and_its_calls(void)
{
    struct bench b = {0};
    struct coat_event event;
    void *owner;
    int rc = open_channel(&b);
    if (rc == 0)
        rc = use(&b);
    if (rc < 0 && b.channel)
        coat_channel_fail(b.channel, &(struct coat_error){.code = rc});
    while (b.channel && coat_channel_lost(b.channel, 0, &event, &owner)) {
        assert_true(event.final);
        assert_int_equal(event.why->code, COAT_ENOMEM);
        b.lost++;
    }
    assert_int_equal(b.answered + b.lost, b.queued);
    coat_channel_free(b.channel);
    if (b.node)
        coat_node_release(b.node);
    coat_store_close(b.store);
    return rc;
}

static void a_channel_and_its_calls_without_memory(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(a_channel_and_its_calls) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_channel_and_its_calls_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
