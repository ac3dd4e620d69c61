/* Options, URL, names, replies, pool and embedded:, with every allocation failing in turn. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "embedded.h"
#include "options.h"
#include "redis.h"
#include "resolve.h"
#include "resp.h"
#include "url.h"

#include "fault.h"

/* libc's own would allocate unseen. */
char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

static int a_url(void)
{
    struct coat_url url;
    int rc = coat_url_parse(&url, "redis://u:p@h:1/2?idle=5", NULL);
    if (rc == 0)
        coat_url_release(&url);
    return rc;
}

static int options_by_name_url_and_environment(void)
{
    struct coat_options *o;
    int rc = coat_options_new(&o, NULL);
    if (rc < 0)
        return rc;
    rc = coat_options_set(o, "url", "redis://u:p@h:1/2?idle=5&prefix=a%3A", NULL);
    if (rc == 0)
        rc = coat_options_set(o, "password", "x", NULL);
    if (rc == 0)
        rc = coat_options_set(o, "url", "unix:/path", NULL);
    if (rc == 0)
        rc = coat_options_env(o, NULL);
    struct coat_options *copy = rc == 0 ? coat_options_copy(o) : NULL;
    if (rc == 0 && !copy)
        rc = COAT_ENOMEM;
    coat_options_free(copy);
    coat_options_free(o);
    return rc;
}

/* What a failure leaves is what was there. */
static int options_that_are_refused_stay(void)
{
    struct coat_options *o;
    int rc = coat_options_new(&o, NULL);
    if (rc < 0)
        return rc;
    rc = coat_options_set(o, "idle", "5", NULL);
    if (rc == 0) {
        rc = coat_options_set(o, "idle", "6", NULL);
        assert_int_equal(o->idle_s, rc == 0 ? 6 : 5);
    }
    coat_options_free(o);
    return rc;
}

static int replies_of_all_sizes(void)
{
    static char big[9000] = "$8000\r\n";
    struct coat_resp resp;
    coat_resp_init(&resp, sizeof big);
    memcpy(big + 8007, "\r\n", 2);
    const char *const replies[] = {"*2\r\n$3\r\nabc\r\n*1\r\n:1\r\n", big, "-ERR\r\n"};
    const size_t lens[] = {21, 8009, 6};
    int rc = 0;
    for (int i = 0; rc == 0 && i < 3; i++) {
        rc = coat_resp_begin(&resp, 1, NULL);
        if (rc == 0)
            rc = coat_resp_feed(&resp, replies[i], lens[i], NULL);
        if (rc == 1)
            rc = 0;
    }
    coat_resp_release(&resp);
    return rc;
}

static int a_pipeline(void)
{
    const struct coat_arg arg = {"PING", 4};
    const struct coat_command command = {.args = &arg, .count = 1};
    struct coat_bytes out = {0};
    int rc = coat_resp_format(&out, &command, 1, NULL);
    coat_bytes_wipe(&out);
    return rc;
}

static int a_name(void)
{
    struct coat_address address = {.scheme = COAT_SCHEME_TCP, .host = (char *)"localhost"};
    struct coat_lookup *lookup = NULL;
    struct coat_endpoints found;
    int64_t deadline = coat_monotonic_ms() + 20000;
    int rc;
    do
        rc = coat_resolve(&lookup, &address, deadline, &found, NULL);
    while (rc == COAT_EINTR);
    assert_null(lookup);
    return rc;
}

static int nodes_and_their_pools(void)
{
    const struct coat_connect connect = {
        .address = {.scheme = COAT_SCHEME_TCP, .host = (char *)"localhost", .port = 6379},
        .max_connections = 3,
    };
    struct coat_redis *redis;
    int rc = coat_redis_new(&redis, &connect, NULL);
    if (rc == 0)
        coat_redis_release(redis);
    return rc;
}

/* Far enough to fail for another reason: no server is to be found. */
static int embedded_without_a_server(void)
{
    char dir[] = "/tmp/coatcheck-fault.XXXXXX", url[64], lock[64];
    struct coat_options *o;
    assert_non_null(mkdtemp(dir));
    snprintf(url, sizeof url, "embedded:%s?allow_root=1", dir);
    setenv("PATH", dir, 1);
    int rc = coat_options_new(&o, NULL);
    if (rc == 0) {
        rc = coat_options_set(o, "url", url, NULL);
        if (rc == 0)
            rc = coat_embedded_start(o, NULL);
        assert_null(o->embedded_dir);
        coat_options_free(o);
    }
    snprintf(lock, sizeof lock, "%s/lock", dir);
    unlink(lock);
    snprintf(lock, sizeof lock, "%s/alive", dir);
    unlink(lock);
    rmdir(dir);
    return rc == COAT_ECONFIG ? 0 : rc;
}

#define FAULTS(scenario)                                                                           \
    static void scenario##_without_memory(void **state)                                            \
    {                                                                                              \
        (void)state;                                                                               \
        assert_true(each_allocation_fails(scenario) > 0);                                          \
    }
FAULTS(a_url)
FAULTS(options_by_name_url_and_environment)
FAULTS(options_that_are_refused_stay)
FAULTS(replies_of_all_sizes)
FAULTS(a_pipeline)
FAULTS(a_name)
FAULTS(nodes_and_their_pools)
FAULTS(embedded_without_a_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_without_memory),
        cmocka_unit_test(options_by_name_url_and_environment_without_memory),
        cmocka_unit_test(options_that_are_refused_stay_without_memory),
        cmocka_unit_test(replies_of_all_sizes_without_memory),
        cmocka_unit_test(a_pipeline_without_memory),
        cmocka_unit_test(a_name_without_memory),
        cmocka_unit_test(nodes_and_their_pools_without_memory),
        cmocka_unit_test(embedded_without_a_server_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
