/* Sessions when memory runs out: nothing leaks, and a failed operation leaves what was there. */
#include "fault.h"
#include "../unit/script_driver.h"

/* A stored session that another request has changed since, and that request's record. */
static struct script t;
static struct stored rec, theirs;

static void set_up(void)
{
    script_create(&t, &rec);
    set_field(t.s, "a", "2");
    theirs = STORED_SAVED(&rec, "x", "",
                          "\x82\xa1"
                          "b\xa1"
                          "9\xa1"
                          "c\xa1"
                          "8");
}

/* Run the operation under way to its end, answering the nth send with the nth reply. */
static int run(const struct coat_reply *replies)
{
    while (t.step.kind == COAT_STEP_SEND)
        script_answer(&t, *replies++);
    return t.step.rc;
}

/* No allocation fails until fault_countdown is set to the result again. */
static size_t hold_faults(void)
{
    size_t nth = fault_countdown;
    fault_countdown = 0;
    return nth;
}

static int creating(void)
{
    struct coat_reply ok[] = {OK, ENTERED};
    script_init(&t);
    int rc = coat_session_new(&t.store, &t.s, NULL);
    if (rc < 0)
        return rc;
    rc = coat_session_login(t.s, "user:42", NULL, 0, NULL);
    if (rc == 0) {
        script_start(&t, COAT_OP_SAVE);
        rc = run(ok);
    }
    assert_int_equal(coat_session_id(t.s) != NULL, rc == 0);
    script_release(&t);
    return rc;
}

static void a_new_session_is_stored_or_stays_new(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(creating) >= 3);
}

static int loading(void)
{
    char id[COAT_SID_LEN + 1];
    size_t nth = hold_faults();
    set_up();
    memcpy(id, coat_session_id(t.s), sizeof id);
    script_release(&t);
    fault_countdown = nth;

    int rc = coat_session_for_id(&t.store, id, COAT_SID_LEN, &t.s, NULL);
    if (rc < 0) {
        assert_null(t.s);
        return rc;
    }
    script_start(&t, COAT_OP_LOAD);
    script_replies(&t, 2, STORED(&rec), INTEGER(1800000));
    rc = t.step.rc;
    if (rc == 1)
        assert_field(t.s, "a", "1");
    else
        assert_null(coat_session_id(t.s));
    script_release(&t);
    return rc < 0 ? rc : 0;
}

static void a_session_is_loaded_or_not(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(loading) >= 4);
}

static int merging(void)
{
    size_t nth = hold_faults();
    set_up();
    struct coat_reply replies[] = {STORED(&theirs), INTEGER(1)};
    fault_countdown = nth;

    script_start(&t, COAT_OP_SAVE);
    int rc = run(replies);
    hold_faults();
    assert_field(t.s, "a", "2");
    assert_field(t.s, "b", rc == 0 ? "9" : NULL);
    if (rc < 0) { /* as it was: the same save does it when there is memory again */
        assert_int_equal(coat_session_modified(t.s), 1);
        script_start(&t, COAT_OP_SAVE);
        assert_int_equal(run(replies), 0);
        assert_field(t.s, "b", "9");
    }
    script_release(&t);
    return rc;
}

static int rotating(void)
{
    char old[COAT_SID_LEN + 1];
    size_t nth = hold_faults();
    set_up();
    memcpy(old, coat_session_id(t.s), sizeof old);
    assert_int_equal(coat_session_rotate(t.s, NULL), 0);
    struct coat_reply replies[] = {INTEGER(1)};
    fault_countdown = nth;

    script_start(&t, COAT_OP_SAVE);
    int rc = run(replies);
    assert_int_equal(strcmp(old, coat_session_id(t.s)) == 0, rc < 0);
    script_release(&t);
    return rc;
}

static void a_save_lands_or_leaves_the_session_as_it_was(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(merging) >= 4);
    assert_true(each_allocation_fails(rotating) >= 1);
}

static int adding(void)
{
    size_t nth = hold_faults();
    set_up();
    struct coat_reply replies[] = {STORED(&theirs), INTEGER(1)};
    fault_countdown = nth;

    int rc = coat_doc_add(coat_session_doc(t.s), "n", 1, 5, NULL);
    assert_int_equal(coat_doc_adds(coat_session_doc(t.s)), rc == 0);
    if (rc == 0) {
        script_start(&t, COAT_OP_SAVE);
        rc = run(replies);
        assert_int_equal(coat_doc_adds(coat_session_doc(t.s)), rc < 0);
    }
    script_release(&t);
    return rc;
}

static void an_addition_lands_or_is_still_to_be_made(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(adding) >= 4);
}

static int updating(void)
{
    size_t nth = hold_faults();
    set_up();
    struct coat_reply replies[] = {STORED(&theirs)};
    fault_countdown = nth;

    script_start(&t, COAT_OP_UPDATE);
    int rc = run(replies);
    assert_field(t.s, "a", rc == COAT_ECONFLICT ? NULL : "2");
    assert_int_equal(coat_session_modified(t.s), rc != COAT_ECONFLICT);
    script_release(&t);
    return rc == COAT_ECONFLICT ? 0 : rc;
}

static void an_update_starts_over_or_leaves_the_session_as_it_was(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(updating) >= 3);
}

static int locking(void)
{
    char id[COAT_SID_LEN + 1];
    size_t nth = hold_faults();
    set_up();
    memcpy(id, coat_session_id(t.s), sizeof id);
    script_release(&t);
    assert_int_equal(coat_session_for_id(&t.store, id, COAT_SID_LEN, &t.s, NULL), 1);
    fault_countdown = nth;

    script_start(&t, COAT_OP_LOCK);
    int rc = t.step.rc;
    if (t.step.kind == COAT_STEP_SEND) {
        script_answer(&t, OK);
        if (t.step.kind == COAT_STEP_SEND)
            script_replies(&t, 2, STORED(&rec), INTEGER(1800000));
        rc = t.step.rc;
    }
    assert_int_equal(t.s->lock.held, rc == 1);
    script_release(&t);
    return rc < 0 ? rc : 0;
}

static void a_lock_is_held_or_not(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(locking) >= 3);
}

static int logging_in(void)
{
    static const char *const carry[] = {"c"};
    size_t nth = hold_faults();
    set_up();
    struct coat_reply replies[] = {ENTERED, STORED(&theirs), INTEGER(1)};
    fault_countdown = nth;

    int rc = coat_session_login(t.s, "user:42", carry, 1, NULL);
    assert_int_equal(coat_session_principal(t.s) != NULL, rc == 0);
    if (rc == 0) {
        script_start(&t, COAT_OP_SAVE);
        rc = run(replies);
    }
    hold_faults();
    if (rc == 0) {
        assert_field(t.s, "b", NULL);
        assert_field(t.s, "c", "8");
    }
    script_release(&t);
    return rc;
}

static void a_login_carries_what_it_may_or_fails(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(logging_in) >= 6);
}

static int destroying(void)
{
    size_t nth = hold_faults();
    set_up();
    struct coat_reply replies[] = {STORED(&rec)};
    fault_countdown = nth;

    script_start(&t, COAT_OP_DESTROY);
    int rc = run(replies);
    assert_int_equal(coat_session_id(t.s) == NULL, rc == 1);
    script_release(&t);
    return rc < 0 ? rc : 0;
}

/* It fails before the command is sent, so a logout that was carried out is never reported so. */
static void a_session_is_destroyed_or_not(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(destroying) >= 1);
}

/* ---- Events --------------------------------------------------------------------------------- */

static uint64_t told;

static void hear(void *context, const struct coat_life_event *event)
{
    (void)context, (void)event;
    told++;
}

/* So many are told, or counted as lost. */
static void assert_told_or_lost(uint64_t count)
{
    told = 0;
    coat_life_tell(t.op, &t.store);
    assert_int_equal(told + coat_store_count(&t.store, COAT_COUNT_LOST_EVENT), count);
}

/* ---- The index ------------------------------------------------------------------------------ */

static struct coat_reply members[2] = {
    {.kind = COAT_REPLY_BULK, .bytes = "AAAAAAAAAAAAAAAAAAAAAAAA", .len = COAT_H_LEN},
    {.kind = COAT_REPLY_BULK, .bytes = "BBBBBBBBBBBBBBBBBBBBBBBB", .len = COAT_H_LEN}};
#define MEMBERS ((struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = members, .count = 2})

static int is_word(size_t command, size_t arg, const char *word)
{
    struct coat_arg a = script_arg(&t, command, arg);
    return a.len == strlen(word) && memcmp(a.bytes, word, a.len) == 0;
}

static unsigned char probed[COAT_HEAD_LEN + sizeof "\xa7user:42"] = {0};

/* A server whose index is full until something is taken out. */
static struct coat_reply reply_to(size_t command)
{
    if (is_word(command, 0, "SET"))
        return OK;
    if (is_word(command, 0, "ZRANGE"))
        return MEMBERS;
    if (is_word(command, 0, "GETRANGE") && is_word(command, 3, "126"))
        return BULK((const char *)probed, sizeof probed - 1);
    if (is_word(command, 0, "GETRANGE"))
        return STORED(&rec);
    if (is_word(command, 1, coat_script_enter.sha1))
        return t.step.commands->count == 7 ? MEMBERS : ENTERED;
    return INTEGER(1);
}

static int run_on_index(void)
{
    while (t.step.kind == COAT_STEP_SEND) {
        struct coat_reply replies[2];
        for (size_t i = 0; i < t.step.count; i++)
            replies[i] = reply_to(i);
        script_answer_all(&t, replies);
    }
    return t.step.rc;
}

static int logging_in_at_the_cap(void)
{
    size_t nth = hold_faults();
    script_new(&t);
    coat_store_on_event(&t.store, hear, NULL);
    t.options.max_sessions = 2;
    memcpy(probed + COAT_HEAD_LEN, "\xa7user:42", 8);
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    fault_countdown = nth;
    script_start(&t, COAT_OP_SAVE);
    int rc = run_on_index();
    assert_int_equal(coat_session_id(t.s) != NULL, rc == 0);
    if (rc == 0)
        assert_told_or_lost(3); /* one was evicted */
    script_release(&t);
    return rc;
}

static void a_login_at_the_cap_finds_a_place_or_fails(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(logging_in_at_the_cap) >= 8);
}

static struct coat_index_op *begin_on_index(enum coat_index_do what, const char *public_id)
{
    struct coat_index_op *x;
    if (coat_index_op_new(&x, &t.store, what, "user:42", public_id, NULL) < 0)
        return NULL;
    t.op = coat_index_op(x);
    script_event(&t, (struct coat_event){.kind = COAT_EVENT_START});
    return x;
}

static int listing(void)
{
    size_t nth = hold_faults();
    script_create(&t, &rec);
    rec = STORED_MAKE(stored_head(&rec), "user:42",
                      "\x82\xa1"
                      "a\x01\xa1"
                      "b\x02");
    script_release(&t);
    t.options.show = (char *)"b,a";
    fault_countdown = nth;
    struct coat_index_op *x = begin_on_index(COAT_INDEX_LIST, NULL);
    int rc = x ? run_on_index() : COAT_ENOMEM;
    struct coat_session_list *list = rc == 0 ? coat_index_op_list(x) : NULL;
    if (rc == 0)
        assert_int_equal(coat_session_list_count(list), 2);
    coat_session_list_free(list);
    coat_index_op_free(x);
    return rc;
}

static void a_list_is_whole_or_fails(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(listing) >= 8);
}

static int ending_all(void)
{
    script_init(&t);
    coat_store_on_event(&t.store, hear, NULL);
    struct coat_index_op *x = begin_on_index(COAT_INDEX_END_ALL, "AAAAAAAAAAAA");
    int rc = x ? run_on_index() : COAT_ENOMEM;
    assert_true(rc == 2 || rc == COAT_ENOMEM);
    if (rc == 2)
        assert_told_or_lost(2);
    coat_index_op_free(x);
    return rc < 0 ? rc : 0;
}

static void all_are_ended_or_that_fails(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(ending_all) >= 6);
}

/* All had ended before, which the replicas are to confirm. */
static int confirming_the_end_of_all(void)
{
    struct coat_reply gone[] = {INTEGER(0), INTEGER(0)}, marked[] = {OK, OK};
    script_init(&t);
    t.options.confirm = t.confirmed = 1;
    struct coat_index_op *x = begin_on_index(COAT_INDEX_END_ALL, NULL);
    int rc = COAT_ENOMEM;
    if (x && t.step.kind == COAT_STEP_SEND)
        script_answer(&t, MEMBERS);
    if (x && t.step.kind == COAT_STEP_SEND)
        script_answer_all(&t, gone);
    if (x && t.step.kind == COAT_STEP_SEND)
        script_answer_all(&t, marked);
    if (x)
        rc = run_on_index();
    assert_true(rc == 0 || rc == COAT_ENOMEM);
    coat_index_op_free(x);
    return rc;
}

static void what_had_ended_is_confirmed_or_that_fails(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(confirming_the_end_of_all) >= 6);
}

static int naming_an_index(void)
{
    struct coat_index_key key;
    return coat_index_key_make(&key, PREFIX, "user:42", NULL);
}

static void an_index_is_named_or_not(void **state)
{
    (void)state;
    assert_int_equal(each_allocation_fails(naming_an_index), 1);
}

static int reserving(void)
{
    struct coat_attempt a = {0};
    int rc = coat_attempt_reserve(&a, 3, 9, NULL);
    coat_attempt_release(&a);
    return rc;
}

static void a_long_attempt_is_reserved_or_not(void **state)
{
    (void)state;
    assert_int_equal(each_allocation_fails(reserving), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_session_is_stored_or_stays_new),
        cmocka_unit_test(a_session_is_loaded_or_not),
        cmocka_unit_test(a_save_lands_or_leaves_the_session_as_it_was),
        cmocka_unit_test(an_addition_lands_or_is_still_to_be_made),
        cmocka_unit_test(an_update_starts_over_or_leaves_the_session_as_it_was),
        cmocka_unit_test(a_lock_is_held_or_not),
        cmocka_unit_test(a_login_carries_what_it_may_or_fails),
        cmocka_unit_test(a_session_is_destroyed_or_not),
        cmocka_unit_test(a_login_at_the_cap_finds_a_place_or_fails),
        cmocka_unit_test(a_list_is_whole_or_fails),
        cmocka_unit_test(all_are_ended_or_that_fails),
        cmocka_unit_test(what_had_ended_is_confirmed_or_that_fails),
        cmocka_unit_test(an_index_is_named_or_not),
        cmocka_unit_test(a_long_attempt_is_reserved_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
