/*
 * Nothing tells where secrets differ: no branch depends on the bytes of the hash that an id has,
 * nor on those of the hashes in a record. Under valgrind they are as if they were not initialized,
 * and it tells each branch that depends on one; elsewhere each comparison is seen to be the one
 * whose time does not depend on them.
 */
#include "script_driver.h"

#if __has_include(<valgrind/memcheck.h>)
#    include <valgrind/memcheck.h>
#else
#    define VALGRIND_MAKE_MEM_UNDEFINED(at, len) ((void)(at), (void)(len))
#    define VALGRIND_MAKE_MEM_DEFINED(at, len)   ((void)(at), (void)(len))
#endif

static int compared;

int __real_CRYPTO_memcmp(const void *a, const void *b, size_t len);
int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t len);

/* That secrets differ is no secret; where they do is one. */
int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t len)
{
    int differ = __real_CRYPTO_memcmp(a, b, len);
    VALGRIND_MAKE_MEM_DEFINED(&differ, sizeof differ);
    compared++;
    return differ;
}

static void hide(struct coat_head *head)
{
    compared = 0;
    VALGRIND_MAKE_MEM_UNDEFINED(head->current, COAT_HASH_LEN);
    VALGRIND_MAKE_MEM_UNDEFINED(head->other, COAT_HASH_LEN);
}

/* A stored session, and its id presented again. */
struct secret {
    struct script t;
    struct stored rec;
};

static void begin(struct secret *x)
{
    script_create(&x->t, &x->rec);
    script_reload(&x->t, coat_session_id(x->t.s));
}

/* The id presented is not the record's own, but another one that was offered meanwhile. */
static void present_an_offered_id(struct secret *x)
{
    unsigned char hash[COAT_HASH_LEN];
    struct coat_head *head = stored_head(&x->rec);
    memcpy(hash, head->current, sizeof hash);
    memcpy(head->current, "sixteen bytes of", sizeof hash);
    coat_head_offer(head, hash, NOW_MS);
}

static void load(struct secret *x, int rc)
{
    script_replies(&x->t, 2, STORED(&x->rec), INTEGER(1800000));
    script_done(&x->t, rc);
}

/* ---- A load --------------------------------------------------------------------------------- */

static void load_secretly(struct secret *x, int rc)
{
    unsigned char *hash = x->t.s->work.hash;
    VALGRIND_MAKE_MEM_UNDEFINED(hash, COAT_HASH_LEN);
    hide(stored_head(&x->rec));
    load(x, rc);
    VALGRIND_MAKE_MEM_DEFINED(hash, COAT_HASH_LEN);
    assert_true(compared >= 2);
    script_release(&x->t);
}

static void req_10_no_branch_depends_on_the_bytes_of_a_hash_that_opens(void **state)
{
    (void)state;
    struct secret x;
    begin(&x);
    load_secretly(&x, 1);
}

static void req_10_no_branch_depends_on_the_bytes_of_a_hash_that_opens_nothing(void **state)
{
    (void)state;
    for (int at = 0; at < COAT_HASH_LEN; at++) {
        struct secret x;
        begin(&x);
        x.t.s->work.hash[at] ^= 1;
        load_secretly(&x, 0);
    }
}

static void req_10_no_branch_depends_on_the_bytes_of_an_offered_hash(void **state)
{
    (void)state;
    struct secret x;
    begin(&x);
    coat_head_offer(stored_head(&x.rec), (const unsigned char *)"sixteen bytes of", NOW_MS);
    load_secretly(&x, 1);
    begin(&x);
    present_an_offered_id(&x);
    load_secretly(&x, 1);
}

/* ---- A save --------------------------------------------------------------------------------- */

static void req_10_no_branch_of_a_save_depends_on_an_offered_hash(void **state)
{
    (void)state;
    for (int taken = 0; taken < 2; taken++) {
        struct secret x;
        begin(&x);
        present_an_offered_id(&x);
        load(&x, 1);
        if (!taken) /* by another request, which was told of one more */
            memcpy(x.t.s->head.other, "sixteen bytes of", COAT_HASH_LEN);
        hide(&x.t.s->head);
        set_field(x.t.s, "a", "2");
        script_start(&x.t, COAT_OP_SAVE);
        assert_true(compared >= 1);
        assert_int_equal(x.t.s->work.takes_offer, taken);
        script_answer(&x.t, INTEGER(1));
        script_done(&x.t, 0);
        script_release(&x.t);
    }
}

/* The record comes back as another request has saved it: does the id of this one still open it? */
static void req_10_no_branch_of_a_merge_depends_on_the_bytes_of_a_hash(void **state)
{
    (void)state;
    for (int replaced = 0; replaced < 2; replaced++) {
        struct secret x;
        begin(&x);
        load(&x, 1);
        set_field(x.t.s, "a", "2");
        script_start(&x.t, COAT_OP_SAVE);
        struct stored theirs = STORED_SAVED(&x.rec, "r", "", "\x80");
        if (replaced)
            coat_head_rotate(stored_head(&theirs), (const unsigned char *)"sixteen bytes of",
                             NOW_MS);
        hide(stored_head(&theirs));
        script_answer(&x.t, STORED(&theirs));
        assert_true(compared >= 2);
        if (!replaced)
            script_answer(&x.t, INTEGER(1));
        script_done(&x.t, replaced ? COAT_EREPLACED : 0);
        script_release(&x.t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(req_10_no_branch_depends_on_the_bytes_of_a_hash_that_opens),
        cmocka_unit_test(req_10_no_branch_depends_on_the_bytes_of_a_hash_that_opens_nothing),
        cmocka_unit_test(req_10_no_branch_depends_on_the_bytes_of_an_offered_hash),
        cmocka_unit_test(req_10_no_branch_of_a_save_depends_on_an_offered_hash),
        cmocka_unit_test(req_10_no_branch_of_a_merge_depends_on_the_bytes_of_a_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
