/* What is secret is gone from the memory of the process when it is closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coatcheck.h"
#include "live/open_store.h"
#include "live/server.h"
#include "live/traces.h"

static void req_51_a_closed_session_leaves_no_id_in_memory(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    live_assert_sessions_leave_no_id(store);
    coat_store_close(store);
}

/* Open-sesame-42-times. What stands before it may be overwritten as soon as memory is freed. */
static const char BEGIN[] = "the-first-bytes-of-it-";
static const char MASKED[] = "\x15\x2a\x3f\x34\x77\x29\x3f\x29\x3b\x37\x3f\x77\x6e\x68\x77\x2e"
                             "\x33\x37\x3f\x29";

static void req_51_a_closed_store_leaves_no_password_in_memory(void **state)
{
    (void)state;
    struct needle password = {.len = sizeof MASKED - 1};
    char text[sizeof BEGIN + NEEDLE_MAX];
    struct live_server locked;
    memcpy(password.masked, MASKED, password.len);
    memcpy(text, BEGIN, sizeof BEGIN);
    live_show(&password, text + strlen(BEGIN));
    live_server_start(&locked, 0, (const char *const[]){"--requirepass", text, NULL});
    struct coat_store *store = live_open_store(locked.url, "password", text, NULL);
    explicit_bzero(text, sizeof text);
    assert_int_equal(coat_store_ping(store, NULL), 0);
    assert_true(live_times_in_memory(&password) > 0); /* it is found where it is */
    coat_store_close(store);
    assert_int_equal(live_times_in_memory(&password), 0);
    live_server_stop(&locked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(req_51_a_closed_session_leaves_no_id_in_memory),
        cmocka_unit_test(req_51_a_closed_store_leaves_no_password_in_memory),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
