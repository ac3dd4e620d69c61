#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "record.h"

#define NOW_MS INT64_C(1700000000000)

static const unsigned char TAG[] = "tagtagta", HASH[] = "current-current-",
                           OTHER[] = "other-other-oth-", REVISION[] = "revision";

static struct coat_head make_head(void)
{
    struct coat_head head;
    coat_head_init(&head, TAG, HASH, NOW_MS, NOW_MS + 43200000, 1800);
    coat_head_revise(&head, REVISION);
    return head;
}

/* A whole record in buf, which must have room; its length. */
static size_t make_record(unsigned char *buf, const char *principal, const char *fields, size_t len)
{
    struct coat_head head = make_head();
    unsigned char *end = coat_record_write(buf, &head, principal);
    memcpy(end, fields, len);
    assert_int_equal((size_t)(end - buf) + len, coat_record_size(principal, len));
    return (size_t)(end - buf) + len;
}

/* The known bytes: the format that stays. */
static void a_record_has_these_bytes(void **state)
{
    (void)state;
    static const char EXPECTED[] = "\x99\x01"
                                   "\xc4\x28"
                                   "revision"
                                   "\0\0\0\0\0\0\0\0"
                                   "\0\0\0\0\0\0\0\0"
                                   "\0\0\0\0\0\0\0\0"
                                   "\0\0\0\0\0\0\0\0"
                                   "\xc4\x28"
                                   "current-current-"
                                   "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                   "\0\0\0\0\0\0\0\0"
                                   "\xcf\x00\x00\x01\x8b\xcf\xe5\x68\x00"
                                   "\xcf\x00\x00\x01\x8b\xd2\x78\x96\x00"
                                   "\xc4\x08"
                                   "tagtagta"
                                   "\xce\x00\x00\x07\x08"
                                   "\xa7"
                                   "user:42"
                                   "\x81\xa1"
                                   "a"
                                   "\x01";
    unsigned char buf[512];
    size_t len = make_record(buf, "user:42",
                             "\x81\xa1"
                             "a\x01",
                             4);
    assert_int_equal(len, sizeof EXPECTED - 1);
    assert_memory_equal(buf, EXPECTED, len);
}

static void a_record_comes_back_as_it_was_written(void **state)
{
    (void)state;
    unsigned char buf[512];
    struct coat_record r;
    size_t len = make_record(buf, "user:42", "\x80", 1);
    assert_int_equal(coat_record_parse(&r, buf, len, NULL), 0);
    struct coat_head head = make_head();
    assert_memory_equal(&r.head, &head, sizeof head);
    assert_int_equal(r.principal_len, 7);
    assert_memory_equal(r.principal, "user:42", 7);
    assert_int_equal(r.fields_len, 1);
    assert_ptr_equal(r.fields, buf + len - 1);
    assert_int_equal(r.fields_at, len - 1);
    assert_int_equal(coat_head_created_ms(&r.head), NOW_MS);
    assert_int_equal(coat_head_deadline_ms(&r.head), NOW_MS + 43200000);
    assert_int_equal(coat_head_idle_s(&r.head), 1800);
}

static void principals_of_every_length_come_back(void **state)
{
    (void)state;
    for (size_t n = 0; n <= COAT_PRINCIPAL_MAX; n++) {
        unsigned char buf[512];
        char principal[COAT_PRINCIPAL_MAX + 1] = {0}, text[COAT_PRINCIPAL_MAX + 1];
        struct coat_record r;
        memset(principal, 'p', n);
        size_t len = make_record(buf, principal, "\x80", 1);
        assert_int_equal(coat_record_parse(&r, buf, len, NULL), 0);
        assert_int_equal(r.principal_len, n);
        assert_true(n == 0 ? r.principal == NULL : memcmp(r.principal, principal, n) == 0);
        coat_record_principal(&r, text);
        assert_string_equal(text, principal);
    }
}

static void a_record_is_of_its_own_principal_alone(void **state)
{
    (void)state;
    unsigned char of_ann[512], of_nobody[512];
    struct coat_record r;
    size_t len = make_record(of_ann, "ann", "\x80", 1);
    assert_int_equal(coat_record_parse(&r, of_ann, len, NULL), 0);
    assert_true(coat_record_is_of(&r, "ann"));
    assert_false(coat_record_is_of(&r, "an"));
    assert_false(coat_record_is_of(&r, "anna"));
    assert_false(coat_record_is_of(&r, ""));
    len = make_record(of_nobody, "", "\x80", 1);
    assert_int_equal(coat_record_parse(&r, of_nobody, len, NULL), 0);
    assert_true(coat_record_is_of(&r, ""));
    assert_false(coat_record_is_of(&r, "ann"));
}

static void no_record_cut_short_is_accepted(void **state)
{
    (void)state;
    unsigned char buf[512];
    size_t len = make_record(buf, "user:42", "", 0);
    for (size_t n = 0; n < len; n++) {
        unsigned char exact[512];
        struct coat_record r;
        struct coat_error err;
        memcpy(exact + sizeof exact - n, buf, n); /* for the sanitizer: nothing is behind it */
        assert_int_equal(coat_record_parse(&r, exact + sizeof exact - n, n, &err), COAT_ECORRUPT);
        assert_true(err.offset <= n);
    }
}

static void wrong_bytes_are_told_by_their_offset(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        unsigned char byte;
        size_t offset;
    } ROW[] = {
        {0, 0x98, 0},     {1, 0, 0},        {1, 0xc0, 0},     {2, 0xc5, 2},     {3, 41, 2},
        {44, 0xc5, 44},   {45, 39, 44},     {86, 0xce, 86},   {95, 0xd3, 95},   {104, 0xd9, 104},
        {105, 9, 104},    {114, 0xcd, 114}, {87, 1, 87},      {96, 0x20, 96}, /* 2^53 and beyond */
        {78, 0x40, 78},   {79, 0x20, 78}, /* the other id: an unknown kind, a time out of range */
        {119, 0xc1, 119}, {119, 0x80, 119}, {119, 0xda, 119}, {119, 0xa0, 119}, {119, 0xbf, 128},
        {120, 0xff, 119}, {121, 0, 119}, /* in the principal: not UTF-8, NUL */
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        unsigned char buf[512];
        struct coat_record r;
        struct coat_error err;
        size_t len = make_record(buf, "user:42", "\x80", 1);
        buf[ROW[i].at] = ROW[i].byte;
        assert_int_equal(coat_record_parse(&r, buf, len, &err), COAT_ECORRUPT);
        assert_int_equal(err.offset, ROW[i].offset);
        assert_int_equal(coat_record_parse(&r, buf, len, NULL), COAT_ECORRUPT);
    }
}

static void a_record_without_a_revision_is_none(void **state)
{
    (void)state;
    unsigned char buf[512];
    struct coat_record r;
    size_t len = make_record(buf, "", "\x80", 1);
    memset(buf + 4, 0, 8);
    assert_int_equal(coat_record_parse(&r, buf, len, NULL), COAT_ECORRUPT);
}

static void a_principal_must_be_in_its_smallest_form(void **state)
{
    (void)state;
    struct coat_head head = make_head();
    unsigned char buf[COAT_HEAD_LEN + 4];
    struct coat_record r;
    memcpy(buf, &head, sizeof head);
    memcpy(buf + COAT_HEAD_LEN, "\xd9\x01p\x80", 4);
    assert_int_equal(coat_record_parse(&r, buf, sizeof buf, NULL), COAT_ECORRUPT);
}

static void a_newer_format_is_refused_by_name(void **state)
{
    (void)state;
    struct coat_record r;
    struct coat_error err;
    assert_int_equal(coat_record_parse(&r, "\x9b\x02", 2, &err), COAT_EFORMAT);
    assert_non_null(strstr(err.text, "format 2"));
    assert_non_null(strstr(err.text, "format 1"));
}

static void a_principal_is_text_of_1_to_255_bytes(void **state)
{
    (void)state;
    char longest[COAT_PRINCIPAL_MAX + 2] = {0};
    memset(longest, 'p', COAT_PRINCIPAL_MAX);
    assert_int_equal(coat_principal_valid("u"), 1);
    assert_int_equal(coat_principal_valid("jos\xc3\xa9"), 1);
    assert_int_equal(coat_principal_valid(longest), 1);
    longest[COAT_PRINCIPAL_MAX] = 'p';
    assert_int_equal(coat_principal_valid(longest), 0);
    assert_int_equal(coat_principal_valid(""), 0);
    assert_int_equal(coat_principal_valid("jos\xe9"), 0);
}

/* ---- Revisions ------------------------------------------------------------------------------ */

static void a_record_knows_its_revision_and_the_four_before(void **state)
{
    (void)state;
    struct coat_head head = make_head();
    for (unsigned char c = 'a'; c <= 'e'; c++) {
        unsigned char next[COAT_REVISION_LEN];
        assert_int_equal(coat_head_knows(&head, REVISION), 1);
        memset(next, c, sizeof next);
        coat_head_revise(&head, next);
        assert_memory_equal(head.revisions[0], next, sizeof next);
    }
    assert_int_equal(coat_head_knows(&head, REVISION), 0);
    assert_memory_equal(head.revisions, "eeeeeeeeddddddddccccccccbbbbbbbbaaaaaaaa", 40);
}

/* ---- Ids ------------------------------------------------------------------------------------ */

/* until: kind in the two highest bits, then a time. */
static struct coat_head with_other(uint64_t kind, int64_t time_ms)
{
    struct coat_head head = make_head();
    uint64_t until = kind << 62 | (uint64_t)time_ms;
    memcpy(head.other, OTHER, COAT_HASH_LEN);
    for (int i = 7; i >= 0; i--, until >>= 8)
        head.until[i] = (unsigned char)(until & 0xff);
    return head;
}

static void ids_open_stay_stale_or_are_dead(void **state)
{
    (void)state;
    enum { GRACE = 0, DEAD = 2, OFFERED = 3 };
    static const unsigned char UNKNOWN[] = "unknown-unknown-", ZERO[COAT_HASH_LEN];
    static const struct {
        const unsigned char *hash;
        uint64_t kind;
        int64_t time_ms;
        enum coat_opening expected;
    } ROW[] = {
        {HASH, GRACE, 0, COAT_OPENS},
        {HASH, DEAD, NOW_MS, COAT_OPENS},
        {HASH, OFFERED, NOW_MS, COAT_OPENS},
        {OTHER, OFFERED, NOW_MS - 1, COAT_OPENS},
        {OTHER, OFFERED, NOW_MS + 1, COAT_OPENS},
        {OTHER, OFFERED, 1, COAT_OPENS},
        {OTHER, GRACE, NOW_MS + 1, COAT_OPENS},
        {OTHER, GRACE, NOW_MS, COAT_STALE},
        {OTHER, GRACE, NOW_MS - 29999, COAT_STALE},
        {OTHER, GRACE, NOW_MS - 30000, COAT_DEAD},
        {OTHER, DEAD, NOW_MS + 5000, COAT_STALE}, /* by a clock that is ahead of ours */
        {OTHER, DEAD, NOW_MS, COAT_STALE},
        {OTHER, DEAD, NOW_MS - 29999, COAT_STALE},
        {OTHER, DEAD, NOW_MS - 30000, COAT_DEAD},
        {OTHER, GRACE, 0, COAT_DEAD}, /* all zero: there is no other */
        {UNKNOWN, DEAD, NOW_MS, COAT_DEAD},
        {UNKNOWN, OFFERED, NOW_MS, COAT_DEAD},
        {ZERO, DEAD, NOW_MS, COAT_DEAD},
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct coat_head head = with_other(ROW[i].kind, ROW[i].time_ms);
        assert_int_equal(coat_head_opening(&head, ROW[i].hash, NOW_MS, 30000), ROW[i].expected);
    }
}

static void hashes_are_compared_to_their_last_byte(void **state)
{
    (void)state;
    struct coat_head head = with_other(3, NOW_MS);
    for (int i = 0; i < COAT_HASH_LEN; i++) {
        unsigned char hash[COAT_HASH_LEN];
        memcpy(hash, HASH, sizeof hash);
        hash[i] ^= 1;
        assert_int_equal(coat_head_opening(&head, hash, NOW_MS, 30000), COAT_DEAD);
        memcpy(hash, OTHER, sizeof hash);
        hash[i] ^= 1;
        assert_int_equal(coat_head_opening(&head, hash, NOW_MS, 30000), COAT_DEAD);
    }
}

static void rotation_leaves_the_old_id_dead_since_now(void **state)
{
    (void)state;
    struct coat_head head = make_head();
    coat_head_rotate(&head, OTHER, NOW_MS);
    assert_int_equal(coat_head_opening(&head, OTHER, NOW_MS, 30000), COAT_OPENS);
    assert_int_equal(coat_head_opening(&head, HASH, NOW_MS, 30000), COAT_STALE);
    assert_int_equal(coat_head_opening(&head, HASH, NOW_MS + 30000, 30000), COAT_DEAD);
    assert_memory_equal(head.until, "\x80\x00\x01\x8b\xcf\xe5\x68\x00", 8);
}

/* ---- Times ---------------------------------------------------------------------------------- */

static void the_ttl_is_idle_or_what_is_left(void **state)
{
    (void)state;
    static const struct {
        int64_t deadline_ms, idle_s, expected;
    } ROW[] = {
        {NOW_MS + 43200000, 1800, 1800000},
        {NOW_MS + 60000, 1800, 60000},
        {NOW_MS + 60000, 0, 60000},
        {NOW_MS + 1, 1800, 1},
        {NOW_MS, 1800, 0},
        {NOW_MS - 1, 0, 0},
        {COAT_MS_MAX - 1, COAT_IDLE_MAX_S, COAT_IDLE_MAX_S * 1000},
        {COAT_MS_MAX - 1, 0, COAT_MS_MAX - 1 - NOW_MS},
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct coat_head head = make_head();
        coat_head_set_deadline_ms(&head, ROW[i].deadline_ms);
        coat_head_set_idle_s(&head, ROW[i].idle_s);
        assert_int_equal(coat_head_ttl_ms(&head, NOW_MS), ROW[i].expected);
    }
}

static void req_23_times_neither_wrap_nor_go_negative(void **state)
{
    (void)state;
    const int64_t most = COAT_MS_MAX - 1;
    struct coat_head head = make_head();
    assert_int_equal(coat_ms_add(-5, 3), 0);
    assert_int_equal(coat_ms_add(most, 1), most);
    assert_int_equal(coat_ms_add(most, most), most);
    assert_int_equal(coat_ms_of_seconds(5), 5000);
    assert_int_equal(coat_ms_of_seconds(-1), 0);
    assert_int_equal(coat_ms_of_seconds(INT64_C(1) << 31), INT64_C(2147483648000));
    assert_int_equal(coat_ms_of_seconds(INT64_MAX), most);
    coat_head_set_deadline_ms(&head, INT64_MAX / 2);
    assert_int_equal(coat_head_deadline_ms(&head), most);
    coat_head_set_deadline_ms(&head, -1);
    assert_int_equal(coat_head_deadline_ms(&head), 0);
    coat_head_set_idle_s(&head, INT64_MAX);
    assert_int_equal(coat_head_idle_s(&head), COAT_IDLE_MAX_S);
    coat_head_set_idle_s(&head, -1);
    assert_int_equal(coat_head_idle_s(&head), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_has_these_bytes),
        cmocka_unit_test(a_record_comes_back_as_it_was_written),
        cmocka_unit_test(principals_of_every_length_come_back),
        cmocka_unit_test(a_record_is_of_its_own_principal_alone),
        cmocka_unit_test(no_record_cut_short_is_accepted),
        cmocka_unit_test(wrong_bytes_are_told_by_their_offset),
        cmocka_unit_test(a_record_without_a_revision_is_none),
        cmocka_unit_test(a_principal_must_be_in_its_smallest_form),
        cmocka_unit_test(a_newer_format_is_refused_by_name),
        cmocka_unit_test(a_principal_is_text_of_1_to_255_bytes),
        cmocka_unit_test(a_record_knows_its_revision_and_the_four_before),
        cmocka_unit_test(ids_open_stay_stale_or_are_dead),
        cmocka_unit_test(hashes_are_compared_to_their_last_byte),
        cmocka_unit_test(rotation_leaves_the_old_id_dead_since_now),
        cmocka_unit_test(the_ttl_is_idle_or_what_is_left),
        cmocka_unit_test(req_23_times_neither_wrap_nor_go_negative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
