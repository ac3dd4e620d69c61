#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/error.h"
#include "attempt.h"

enum { MANY = 1000 };

static const struct coat_reply YES = {.kind = COAT_REPLY_INTEGER, .integer = 1},
                               UNKNOWN = {.kind = COAT_REPLY_ERROR,
                                          .bytes = "NOSCRIPT No matching script.",
                                          .len = 28},
                               FULL = {.kind = COAT_REPLY_ERROR,
                                       .bytes = "OOM command not allowed",
                                       .len = 23};

static int answer(struct coat_attempt *a, const struct coat_reply *replies, size_t count,
                  struct coat_step *step, struct coat_error *err)
{
    struct coat_event event = {.kind = COAT_EVENT_REPLIES, .replies = replies, .count = count};
    return coat_attempt_take(a, &event, step, err);
}

static void assert_arg(const struct coat_command *command, size_t i, const char *text)
{
    assert_true(i < command->count);
    assert_int_equal(command->args[i].len, strlen(text));
    assert_memory_equal(command->args[i].bytes, text, strlen(text));
}

/* The same script on each of two keys. */
static void begin_two(struct coat_attempt *a, struct coat_step *step)
{
    assert_int_equal(coat_attempt_reserve(a, 2, 10, NULL), 0);
    coat_attempt_begin(a, COAT_LOSS_UNCERTAIN, "one", 3);
    coat_attempt_run(a, &coat_script_unlock, 1);
    coat_attempt_word(a, "one");
    coat_attempt_word(a, "token");
    coat_attempt_key(a, "two", 3);
    coat_attempt_run(a, &coat_script_unlock, 1);
    coat_attempt_word(a, "two");
    coat_attempt_word(a, "token");
    coat_attempt_send(a, step);
}

static void a_pipeline_is_as_long_as_was_reserved(void **state)
{
    (void)state;
    struct coat_attempt a = {0};
    struct coat_step step;
    static char keys[MANY][8];
    assert_int_equal(coat_attempt_reserve(&a, MANY, 2 * (size_t)MANY, NULL), 0);
    coat_attempt_begin(&a, COAT_LOSS_FAILS, NULL, 0);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", (int)i);
        coat_attempt_key(&a, keys[i], strlen(keys[i]));
        coat_attempt_command(&a, "GET");
        coat_attempt_word(&a, keys[i]);
    }
    coat_attempt_send(&a, &step);
    assert_int_equal(step.count, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(step.commands[i].count, 2);
        assert_arg(&step.commands[i], 1, keys[i]);
    }
    coat_attempt_release(&a);
}

static void each_command_has_the_key_that_was_last_named(void **state)
{
    (void)state;
    struct coat_attempt a = {0};
    struct coat_step step;
    begin_two(&a, &step);
    assert_memory_equal(step.commands[0].key.bytes, "one", 3);
    assert_memory_equal(step.commands[1].key.bytes, "two", 3);
    coat_attempt_release(&a);
}

static void an_attempt_holds_two_numbers(void **state)
{
    (void)state;
    struct coat_attempt a = {0};
    struct coat_step step;
    coat_attempt_begin(&a, COAT_LOSS_UNCERTAIN, "k", 1);
    coat_attempt_command(&a, "X");
    coat_attempt_number(&a, INT64_MIN);
    coat_attempt_number(&a, 7);
    coat_attempt_send(&a, &step);
    assert_arg(&step.commands[0], 1, "-9223372036854775808");
    assert_arg(&step.commands[0], 2, "7");
}

static void an_unknown_script_is_sent_as_text_in_each_command(void **state)
{
    (void)state;
    struct coat_attempt a = {0};
    struct coat_step step;
    begin_two(&a, &step);
    assert_int_equal(answer(&a, (struct coat_reply[]){UNKNOWN, UNKNOWN}, 2, &step, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_arg(&step.commands[i], 0, "EVAL");
        assert_arg(&step.commands[i], 1, coat_script_unlock.text);
        assert_arg(&step.commands[i], 3, i == 0 ? "one" : "two");
    }
    assert_int_equal(a.unclear, 0);
    assert_int_equal(answer(&a, (struct coat_reply[]){YES, YES}, 2, &step, NULL), 1);
    coat_attempt_release(&a);
}

static void a_script_that_only_some_servers_know_is_unclear(void **state)
{
    (void)state;
    struct coat_step step;
    for (int known = 0; known < 2; known++) {
        struct coat_attempt a = {0};
        struct coat_error err;
        begin_two(&a, &step);
        struct coat_reply replies[2] = {UNKNOWN, UNKNOWN};
        replies[known] = YES;
        assert_int_equal(answer(&a, replies, 2, &step, NULL), 0);
        assert_arg(&step.commands[known], 0, "EVAL");
        assert_int_equal(a.unclear, 1);
        replies[0] = replies[1] = FULL;
        assert_int_equal(answer(&a, replies, 2, &step, &err), COAT_EUNCERTAIN);
        coat_attempt_release(&a);
    }
}

/* How often it is sent while each reply is lost, and what is said in the end. */
static int sends(enum coat_loss loss, void (*send)(struct coat_attempt *, struct coat_step *),
                 int *rc)
{
    struct coat_attempt a = {0};
    struct coat_step step;
    const struct coat_error why = {.code = COAT_EUNAVAILABLE, .text = "gone"};
    const struct coat_event lost = {.kind = COAT_EVENT_LOST, .maybe_sent = 1, .why = &why};
    int n = 1;
    coat_attempt_begin(&a, loss, "k", 1);
    coat_attempt_command(&a, "GET");
    coat_attempt_word(&a, "k");
    send(&a, &step);
    while ((*rc = coat_attempt_take(&a, &lost, &step, NULL)) == 0)
        n++;
    coat_attempt_release(&a);
    return n;
}

static void what_is_lost_is_sent_three_times_or_once(void **state)
{
    (void)state;
    int rc;
    assert_int_equal(sends(COAT_LOSS_FAILS, coat_attempt_send, &rc), COAT_ATTEMPT_SENDS);
    assert_int_equal(sends(COAT_LOSS_FAILS, coat_attempt_send_once, &rc), 1);
}

static void what_may_have_been_done_is_uncertain_where_that_matters(void **state)
{
    (void)state;
    int rc;
    sends(COAT_LOSS_FAILS, coat_attempt_send, &rc);
    assert_int_equal(rc, COAT_EUNAVAILABLE);
    sends(COAT_LOSS_UNCERTAIN, coat_attempt_send, &rc);
    assert_int_equal(rc, COAT_EUNCERTAIN);
}

static void the_next_attempt_may_use_the_same_room(void **state)
{
    (void)state;
    struct coat_attempt a = {0};
    struct coat_step step;
    begin_two(&a, &step);
    coat_attempt_begin(&a, COAT_LOSS_FAILS, "k", 1);
    coat_attempt_command(&a, "GET");
    coat_attempt_word(&a, "k");
    coat_attempt_send(&a, &step);
    assert_int_equal(step.count, 1);
    assert_int_equal(step.commands[0].count, 2);
    coat_attempt_release(&a);
}

static void more_than_memory_is_refused(void **state)
{
    (void)state;
    struct coat_attempt a = {0};
    struct coat_error err;
    assert_int_equal(coat_attempt_reserve(&a, SIZE_MAX / 8, 1, &err), COAT_ENOMEM);
    assert_int_equal(coat_attempt_reserve(&a, 1, SIZE_MAX / 8, &err), COAT_ENOMEM);
    assert_int_equal(coat_attempt_reserve(&a, 1, 1, &err), 0);
    coat_attempt_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_is_as_long_as_was_reserved),
        cmocka_unit_test(each_command_has_the_key_that_was_last_named),
        cmocka_unit_test(an_attempt_holds_two_numbers),
        cmocka_unit_test(an_unknown_script_is_sent_as_text_in_each_command),
        cmocka_unit_test(a_script_that_only_some_servers_know_is_unclear),
        cmocka_unit_test(what_is_lost_is_sent_three_times_or_once),
        cmocka_unit_test(what_may_have_been_done_is_uncertain_where_that_matters),
        cmocka_unit_test(the_next_attempt_may_use_the_same_room),
        cmocka_unit_test(more_than_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
