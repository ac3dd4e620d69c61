#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/error.h"
#include "merge.h"

/*
 * Documents are written as words: "a=1 b=2" has two fields of one digit each. The rows of the
 * tests are then: what was read, what is here now, what somebody else stored, what comes out.
 */
static void set(struct coat_doc *doc, const char *name, size_t len, char digit)
{
    unsigned char value = (unsigned char)(digit - '0');
    assert_int_equal(coat_doc_set(doc, name, len, &value, 1, NULL), 0);
}

static struct coat_doc *make(const char *fields, const struct coat_limits *limits)
{
    struct coat_doc *doc;
    assert_int_equal(coat_doc_new(&doc, limits, NULL), 0);
    for (const char *at = fields; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, "=");
        set(doc, at, len, at[len + 1]);
        at += len + 2;
    }
    assert_int_equal(coat_doc_commit(doc, NULL), 0);
    return doc;
}

static void write_fields(const struct coat_doc *doc, char *to, size_t size)
{
    const char *name;
    const void *value;
    size_t at = 0, name_len, len, used = 0;
    to[0] = 0;
    while (coat_doc_next(doc, &at, &name, &name_len, &value, &len))
        used += (size_t)snprintf(to + used, size - used, "%s%.*s=%d", used ? " " : "",
                                 (int)name_len, name, *(const unsigned char *)value);
}

/* Make of `doc` what `fields` says, by setting and deleting. */
static void become(struct coat_doc *doc, const char *fields)
{
    struct coat_doc *want = make(fields, NULL);
    const char *name;
    const void *value;
    size_t at = 0, name_len, len;
    char gone[16][16];
    int count = 0;
    while (coat_doc_next(doc, &at, &name, &name_len, &value, &len))
        if (!coat_doc_get(want, name, name_len, &value, &len))
            snprintf(gone[count++], sizeof *gone, "%.*s", (int)name_len, name);
    while (count-- > 0)
        assert_int_equal(coat_doc_delete(doc, gone[count], strlen(gone[count]), NULL), 1);
    at = 0;
    while (coat_doc_next(want, &at, &name, &name_len, &value, &len))
        assert_int_equal(coat_doc_set(doc, name, name_len, value, len, NULL), 0);
    coat_doc_free(want);
}

static const struct coat_conflict_policy MINE = {.always = COAT_CONFLICT_MINE};
static const struct coat_conflict_policy RAISE = {.always = COAT_CONFLICT_RAISE};

struct row {
    const char *base, *mine, *theirs, *merged;
    size_t conflicts;
};

static void check(const struct row *row, enum coat_on_conflict policy, const char *carry)
{
    struct coat_doc *mine = make(row->base, NULL), *theirs = make(row->theirs, NULL);
    struct coat_doc *names = carry ? make(carry, NULL) : NULL;
    char out[128];
    struct coat_conflict_policy always = {.always = policy};
    struct coat_conflicts conflicts;
    become(mine, row->mine);
    assert_int_equal(coat_merge(theirs, mine, names, &always, &conflicts, NULL), 0);
    write_fields(theirs, out, sizeof out);
    assert_string_equal(out, row->merged);
    assert_int_equal(conflicts.count, row->conflicts);
    coat_doc_free(mine);
    coat_doc_free(theirs);
    coat_doc_free(names);
}

static void what_one_side_changed_is_kept(void **state)
{
    (void)state;
    static const struct row ROW[] = {
        {"a=1 b=2", "a=1 b=2", "a=1 b=2", "a=1 b=2", 0},
        {"a=1 b=2", "a=5 b=2", "a=1 b=2", "a=5 b=2", 0},
        {"a=1 b=2", "a=1 b=2", "a=5 b=2", "a=5 b=2", 0},
        {"a=1 b=2", "a=5 b=2", "a=1 b=6", "a=5 b=6", 0},
        {"a=1 b=2", "b=2", "a=1 b=6", "b=6", 0},
        {"a=1 b=2", "a=5 b=2", "a=1", "a=5", 0},
        {"a=1 b=2", "b=2", "a=1", "", 0},
        {"", "a=1", "b=2", "b=2 a=1", 0},
        {"a=1", "a=1 c=3", "a=1 b=2", "a=1 b=2 c=3", 0},
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++)
        for (int policy = COAT_CONFLICT_MINE; policy <= COAT_CONFLICT_RAISE; policy++)
            check(&ROW[i], (enum coat_on_conflict)policy, NULL);
}

static void the_same_change_on_both_sides_is_no_conflict(void **state)
{
    (void)state;
    static const struct row ROW[] = {
        {"a=1", "a=5", "a=5", "a=5", 0},
        {"a=1", "", "", "", 0},
        {"", "a=1", "a=1", "a=1", 0},
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++)
        check(&ROW[i], COAT_CONFLICT_RAISE, NULL);
}

static void in_a_conflict_the_policy_says_whose(void **state)
{
    (void)state;
    static const struct {
        const char *base, *mine, *theirs, *if_mine, *if_theirs;
        size_t conflicts;
    } ROW[] = {
        {"a=1 b=2", "a=5 b=2", "a=6 b=2", "a=5 b=2", "a=6 b=2", 1},
        {"a=1 b=2", "b=2", "a=6 b=2", "b=2", "a=6 b=2", 1},
        {"a=1 b=2", "a=5 b=2", "b=2", "b=2 a=5", "b=2", 1},
        {"", "a=5", "a=6", "a=5", "a=6", 1},
        {"a=1 b=2", "a=5 b=5", "a=6 b=6", "a=5 b=5", "a=6 b=6", 2},
        {"a=1 b=2", "a=5", "a=6 b=6 c=7", "a=5 c=7", "a=6 b=6 c=7", 2},
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct row row = {ROW[i].base, ROW[i].mine, ROW[i].theirs, ROW[i].if_mine,
                          ROW[i].conflicts};
        check(&row, COAT_CONFLICT_MINE, NULL);
        row.merged = ROW[i].if_theirs;
        check(&row, COAT_CONFLICT_THEIRS, NULL);
    }
}

static void raise_names_the_field(void **state)
{
    (void)state;
    struct coat_doc *mine = make("a=1 cart=2", NULL), *theirs = make("a=1 cart=3", NULL);
    struct coat_error err;
    struct coat_conflicts conflicts;
    become(mine, "a=5 cart=4");
    assert_int_equal(coat_merge(theirs, mine, NULL, &RAISE, &conflicts, &err), COAT_ECONFLICT);
    assert_int_equal(err.code, COAT_ECONFLICT);
    assert_string_equal(err.path, "['cart']");
    assert_int_equal(conflicts.count, 1);
    coat_doc_free(mine);
    coat_doc_free(theirs);
}

static void req_16_a_login_lets_only_carried_fields_of_theirs_through(void **state)
{
    (void)state;
    static const struct row ROW[] = {
        {"a=1 b=2", "a=1", "a=1 b=2", "a=1", 0},
        {"a=1 b=2", "a=1", "a=1 b=2 z=9", "a=1", 0}, /* they set what is not carried */
        {"a=1 b=2", "a=1", "a=1 b=7", "a=1", 0},     /* or changed it: no conflict */
        {"a=1 b=2", "a=1", "a=7 b=2", "a=7", 0},     /* what is carried is merged */
        {"a=1 b=2", "a=5", "a=7 b=2", "a=5", 1},
        {"a=1 b=2", "a=1 b=3", "a=1 b=7", "a=1 b=3", 0}, /* set after the login */
        {"a=1", "a=1 n=3", "a=1 n=4", "a=1 n=3", 0},
        {"a=1 b=2", "a=1 b=2", "a=1 b=2 z=9", "a=1 b=2", 0}, /* to what it was before */
        {"a=1 b=2", "a=1 b=2", "a=1 b=7", "a=1 b=2", 0},
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++)
        check(&ROW[i], COAT_CONFLICT_MINE, "a=0");
}

static void dropping_deletes_all_that_is_not_carried(void **state)
{
    (void)state;
    struct coat_doc *doc = make("a=1 b=2 c=3 d=4", NULL), *carry = make("b=0 d=0 x=0", NULL);
    char out[64];
    assert_int_equal(coat_merge_drop(doc, carry, NULL), 0);
    write_fields(doc, out, sizeof out);
    assert_string_equal(out, "b=2 d=4");
    coat_doc_free(doc);
    coat_doc_free(carry);
}

static void a_merge_beyond_a_limit_is_refused(void **state)
{
    (void)state;
    const struct coat_limits limits = {64, 1000, 2, 100};
    struct coat_doc *mine = make("a=1", NULL), *theirs = make("a=1 b=2", &limits);
    struct coat_error err;
    struct coat_conflicts conflicts;
    become(mine, "a=1 c=3");
    assert_int_equal(coat_merge(theirs, mine, NULL, &MINE, &conflicts, &err), COAT_ELIMIT);
    assert_string_equal(err.reason, "max_fields");
    coat_doc_free(mine);
    coat_doc_free(theirs);
}

static void no_limit_is_in_the_way_that_both_ends_keep(void **state)
{
    (void)state;
    const struct coat_limits limits = {64, 1000, 2, 100};
    struct coat_doc *mine = make("a=1 b=2", NULL), *theirs = make("a=1 b=2", &limits);
    char out[64];
    struct coat_conflicts conflicts;
    set(mine, "c", 1, '3'); /* before the deletion, so that it comes first in the changes */
    assert_int_equal(coat_doc_delete(mine, "b", 1, NULL), 1);
    assert_int_equal(coat_merge(theirs, mine, NULL, &MINE, &conflicts, NULL), 0);
    write_fields(theirs, out, sizeof out);
    assert_string_equal(out, "a=1 c=3");
    coat_doc_free(mine);
    coat_doc_free(theirs);
}

/* The same for bytes: one field grows by as much as another shrinks. */
static void growing_waits_for_shrinking(void **state)
{
    (void)state;
    unsigned char big[200] = {0xc4, 198};
    const struct coat_limits limits = {64, 220, 10, 100};
    struct coat_doc *mine, *theirs;
    struct coat_conflicts conflicts;
    assert_int_equal(coat_doc_new(&mine, NULL, NULL), 0);
    assert_int_equal(coat_doc_new(&theirs, &limits, NULL), 0);
    set(mine, "a", 1, '1');
    assert_int_equal(coat_doc_set(mine, "b", 1, big, sizeof big, NULL), 0);
    assert_int_equal(coat_doc_commit(mine, NULL), 0);
    set(theirs, "a", 1, '1');
    assert_int_equal(coat_doc_set(theirs, "b", 1, big, sizeof big, NULL), 0);

    assert_int_equal(coat_doc_set(mine, "a", 1, big, sizeof big, NULL), 0);
    set(mine, "b", 1, '1');
    assert_int_equal(coat_merge(theirs, mine, NULL, &MINE, &conflicts, NULL), 0);
    coat_doc_free(mine);
    coat_doc_free(theirs);
}

/* ---- Additions ------------------------------------------------------------------------------ */

static void what_was_added_is_added_to_theirs(void **state)
{
    (void)state;
    static const struct row ROW[] = {
        {"n=1", NULL, "n=1", "n=3", 0}, /* nobody else has touched it */
        {"n=1", NULL, "n=3", "n=5", 0}, /* another has added as much */
        {"n=1", NULL, "n=7 b=1", "n=9 b=1", 0},
        {"n=1", NULL, "b=1", "b=1 n=2", 0}, /* and one that was deleted counts as 0 */
        {"", NULL, "n=4", "n=6", 0},
        {"", NULL, "", "n=2", 0},
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++)
        for (int always = COAT_CONFLICT_MINE; always <= COAT_CONFLICT_RAISE; always++) {
            struct coat_conflict_policy policy = {.always = (enum coat_on_conflict)always};
            struct coat_doc *mine = make(ROW[i].base, NULL), *theirs = make(ROW[i].theirs, NULL);
            struct coat_conflicts conflicts;
            char out[64];
            assert_int_equal(coat_doc_add(mine, "n", 1, 2, NULL), 0);
            assert_int_equal(coat_merge(theirs, mine, NULL, &policy, &conflicts, NULL), 0);
            write_fields(theirs, out, sizeof out);
            assert_string_equal(out, ROW[i].merged);
            assert_int_equal(conflicts.count, 0);
            coat_doc_free(mine);
            coat_doc_free(theirs);
        }
}

static void what_is_no_number_any_more_is_a_conflict_whatever_the_policy(void **state)
{
    (void)state;
    struct coat_doc *mine = make("n=1", NULL), *theirs = make("n=1", NULL);
    struct coat_conflicts conflicts;
    struct coat_error err;
    assert_int_equal(coat_doc_add(mine, "n", 1, 1, NULL), 0);
    assert_int_equal(coat_doc_set(theirs, "n", 1, "\xa1x", 2, NULL), 0);
    assert_int_equal(coat_merge(theirs, mine, NULL, &MINE, &conflicts, &err), COAT_ECONFLICT);
    assert_string_equal(err.path, "['n']");
    assert_int_equal(conflicts.count, 1);
    assert_string_equal(conflicts.fields, "['n']");
    coat_doc_free(mine);
    coat_doc_free(theirs);
}

static void a_sum_of_both_that_has_no_room_is_refused(void **state)
{
    (void)state;
    struct coat_doc *mine = make("", NULL), *theirs = make("n=1", NULL);
    struct coat_conflicts conflicts;
    struct coat_error err;
    assert_int_equal(coat_doc_add(mine, "n", 1, INT64_MAX, NULL), 0);
    assert_int_equal(coat_merge(theirs, mine, NULL, &MINE, &conflicts, &err), COAT_ELIMIT);
    assert_string_equal(err.reason, "int64");
    coat_doc_free(mine);
    coat_doc_free(theirs);
}

/* ---- A function decides --------------------------------------------------------------------- */

/* What it was asked, as "name base mine theirs", and what it answers. */
struct judge {
    char asked[64];
    int answer;
    char value; /* COAT_CONFLICT_MERGED: the digit; 0: the field is deleted */
};

static char digit_of(const void *value, size_t len)
{
    return !value ? '-' : len == 1 ? (char)(*(const unsigned char *)value + '0') : '?';
}

static int judge(void *context, const struct coat_conflict *c, struct coat_doc *merged,
                 struct coat_error *err)
{
    struct judge *j = context;
    size_t used = strlen(j->asked);
    snprintf(j->asked + used, sizeof j->asked - used, "%s%.*s %c%c%c", used ? ", " : "",
             (int)c->field_len, c->field, digit_of(c->base, c->base_len),
             digit_of(c->mine, c->mine_len), digit_of(c->theirs, c->theirs_len));
    if (j->answer == COAT_CONFLICT_MERGED && j->value)
        set(merged, c->field, c->field_len, j->value);
    else if (j->answer == COAT_CONFLICT_MERGED)
        assert_in_range(coat_doc_delete(merged, c->field, c->field_len, err), 0, 1);
    if (j->answer < 0)
        coat_error_set(err, j->answer, "the judge is ill");
    return j->answer;
}

/* "a=1 b=2 c=3" is read; here c is deleted and a set, there b, a and c. */
static int merge_by(struct judge *j, char *out, size_t size, struct coat_conflicts *conflicts,
                    struct coat_error *err)
{
    struct coat_conflict_policy policy = {.ask = judge, .context = j};
    struct coat_doc *mine = make("a=1 b=2 c=3", NULL), *theirs = make("a=6 b=6 c=6", NULL);
    become(mine, "a=5 b=2 d=4");
    int rc = coat_merge(theirs, mine, NULL, &policy, conflicts, err);
    if (rc == 0)
        write_fields(theirs, out, size);
    coat_doc_free(mine);
    coat_doc_free(theirs);
    return rc;
}

static void a_function_is_asked_only_for_conflicts_and_sees_all_three_sides(void **state)
{
    (void)state;
    struct judge j = {.answer = COAT_CONFLICT_THEIRS};
    struct coat_conflicts conflicts;
    char out[64];
    assert_int_equal(merge_by(&j, out, sizeof out, &conflicts, NULL), 0);
    assert_string_equal(j.asked, "a 156, c 3-6");
    assert_int_equal(conflicts.count, 2);
    assert_string_equal(conflicts.fields, "['a'], ['c']");
}

static void a_function_decides_whose_or_what(void **state)
{
    (void)state;
    static const struct {
        struct judge judge;
        const char *merged;
    } ROW[] = {
        {{"", COAT_CONFLICT_MINE, 0}, "a=5 b=6 d=4"},
        {{"", COAT_CONFLICT_THEIRS, 0}, "a=6 b=6 c=6 d=4"},
        {{"", COAT_CONFLICT_MERGED, '9'}, "a=9 b=6 c=9 d=4"},
        {{"", COAT_CONFLICT_MERGED, 0}, "b=6 d=4"},
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct judge j = ROW[i].judge;
        struct coat_conflicts conflicts;
        char out[64];
        assert_int_equal(merge_by(&j, out, sizeof out, &conflicts, NULL), 0);
        assert_string_equal(out, ROW[i].merged);
        assert_int_equal(conflicts.count, 2);
    }
}

static void a_function_that_fails_or_raises_ends_the_merge(void **state)
{
    (void)state;
    static const struct {
        int answer, rc;
    } ROW[] = {{COAT_CONFLICT_RAISE, COAT_ECONFLICT}, {COAT_ENOMEM, COAT_ENOMEM}, {7, COAT_EUSAGE}};
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct judge j = {.answer = ROW[i].answer};
        struct coat_conflicts conflicts;
        struct coat_error err;
        assert_int_equal(merge_by(&j, NULL, 0, &conflicts, &err), ROW[i].rc);
        assert_int_equal(err.code, ROW[i].rc);
        assert_int_equal(conflicts.count, 1);
        assert_string_equal(j.asked, "a 156");
    }
}

static void names_of_conflicts_that_have_no_room_are_left_away(void **state)
{
    (void)state;
    struct coat_doc *mine = make("", NULL), *theirs = make("", NULL);
    struct coat_conflicts conflicts;
    for (char name[] = "a_long_name_a"; name[12] <= 'z'; name[12]++) {
        set(mine, name, 13, '1');
        set(theirs, name, 13, '2');
    }
    assert_int_equal(coat_merge(theirs, mine, NULL, &MINE, &conflicts, NULL), 0);
    assert_int_equal(conflicts.count, 26);
    assert_memory_equal(conflicts.fields, "['a_long_name_a'], ['a_long_name_b'], ", 38);
    assert_true(strlen(conflicts.fields) < sizeof conflicts.fields);
    coat_doc_free(mine);
    coat_doc_free(theirs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_side_changed_is_kept),
        cmocka_unit_test(the_same_change_on_both_sides_is_no_conflict),
        cmocka_unit_test(in_a_conflict_the_policy_says_whose),
        cmocka_unit_test(raise_names_the_field),
        cmocka_unit_test(req_16_a_login_lets_only_carried_fields_of_theirs_through),
        cmocka_unit_test(dropping_deletes_all_that_is_not_carried),
        cmocka_unit_test(a_merge_beyond_a_limit_is_refused),
        cmocka_unit_test(no_limit_is_in_the_way_that_both_ends_keep),
        cmocka_unit_test(growing_waits_for_shrinking),
        cmocka_unit_test(what_was_added_is_added_to_theirs),
        cmocka_unit_test(what_is_no_number_any_more_is_a_conflict_whatever_the_policy),
        cmocka_unit_test(a_sum_of_both_that_has_no_room_is_refused),
        cmocka_unit_test(a_function_is_asked_only_for_conflicts_and_sees_all_three_sides),
        cmocka_unit_test(a_function_decides_whose_or_what),
        cmocka_unit_test(a_function_that_fails_or_raises_ends_the_merge),
        cmocka_unit_test(names_of_conflicts_that_have_no_room_are_left_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
