/* The courier and the topology of a cluster, with every allocation failing in turn. */
#include "fault.h"

#include <string.h>

#include "api/courier.h"
#include "store.h"
#include "live/simple_op.h"

#define BULK(text)                                                                                 \
    {                                                                                              \
        .kind = COAT_REPLY_BULK, .bytes = (text), .len = sizeof(text) - 1                          \
    }
#define INTEGER(n)                                                                                 \
    {                                                                                              \
        .kind = COAT_REPLY_INTEGER, .integer = (n)                                                 \
    }
#define ARRAY(array)                                                                               \
    {                                                                                              \
        .kind = COAT_REPLY_ARRAY, .items = (array), .count = sizeof(array) / sizeof *(array)       \
    }
#define ERROR(text)                                                                                \
    {                                                                                              \
        .kind = COAT_REPLY_ERROR, .bytes = (text), .len = sizeof(text) - 1                         \
    }

static struct coat_reply node_1[] = {BULK("h"), INTEGER(1)};
static struct coat_reply node_2[] = {BULK("h"), INTEGER(2)};
static struct coat_reply range_1[] = {INTEGER(0), INTEGER(8000), ARRAY(node_1)};
static struct coat_reply range_2[] = {INTEGER(8001), INTEGER(16383), ARRAY(node_2)};
static struct coat_reply ranges[] = {ARRAY(range_1), ARRAY(range_2)};
static const struct coat_reply slots = ARRAY(ranges);
static const struct coat_reply value = ARRAY(node_1);
static const struct coat_reply ask = ERROR("ASK 15495 i:3");
static const struct coat_reply moved = ERROR("MOVED 3300 j:4");

static int is_word(const struct coat_command *command, const char *word)
{
    return command->args[0].len == strlen(word) &&
           memcmp(command->args[0].bytes, word, command->args[0].len) == 0;
}

/* A node's answers: each command is redirected the first time it comes. */
static void answer(const struct coat_hop *hop, int *redirected, struct coat_reply replies[16])
{
    for (size_t i = 0; i < hop->count; i++) {
        if (is_word(&hop->commands[i], "CLUSTER"))
            replies[i] = slots;
        else if (is_word(&hop->commands[i], "PING") && hop->commands[i].count == 2)
            replies[i] = (struct coat_reply){.kind = COAT_REPLY_BULK,
                                             .bytes = hop->commands[i].args[1].bytes,
                                             .len = hop->commands[i].args[1].len};
        else
            replies[i] = *redirected == 0 ? ask : *redirected == 1 ? moved : value;
    }
    *redirected += !is_word(&hop->commands[0], "CLUSTER");
}

static int run(struct coat_store *store)
{
    char words[] = "GET a | GET b | GET c | GET a";
    struct simple_op op;
    struct coat_courier courier;
    struct coat_hop hop;
    struct coat_error err;
    struct coat_reply replies[16];
    struct coat_event event = {.kind = COAT_EVENT_START, .monotonic_ms = 1000};
    int redirected = 0;
    simple_op_init(&op, words);
    coat_courier_init(&courier, store->redis, &op.op,
                      &(struct coat_courier_options){.deadline_ms = 11000, .verify = 1});
    for (;;) {
        coat_courier_step(&courier, &event, &hop, &err);
        if (hop.kind == COAT_HOP_DONE)
            break;
        int64_t now_ms = hop.kind == COAT_HOP_WAIT ? hop.until_ms : event.monotonic_ms;
        event = (struct coat_event){.kind = COAT_EVENT_TIMER, .monotonic_ms = now_ms};
        if (hop.kind == COAT_HOP_SEND) {
            answer(&hop, &redirected, replies);
            event.kind = COAT_EVENT_REPLIES;
            event.replies = replies;
            event.count = hop.count;
        }
    }
    coat_courier_release(&courier);
    return hop.rc;
}

static int a_split_pipeline(void)
{
    struct coat_options *options;
    struct coat_store *store;
    int rc = coat_options_new(&options, NULL);
    if (rc < 0)
        return rc;
    rc = coat_options_set(options, "url", "redis+cluster://h:1,h:2", NULL);
    if (rc == 0)
        rc = coat_options_set(options, "prefix", "t:", NULL);
    if (rc == 0)
        rc = coat_store_open(&store, options, NULL);
    coat_options_free(options);
    if (rc < 0)
        return rc;
    rc = run(store);
    coat_store_close(store);
    return rc;
}

static void a_pipeline_over_nodes_without_memory(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(a_split_pipeline) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_over_nodes_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
