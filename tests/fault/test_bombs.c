/* Bytes that claim more than they have: an error, in bounded memory and time. */
#include <time.h>

#include "fault.h"
#include "coat_doc.h"
#include "unit/bytes.h"

struct bomb {
    const char *head;
    size_t times;     /* that the head stands there */
    const char *tail; /* one byte */
    size_t tail_len;
};

/* Each count fits 32 bits, and some fit what is there, if it is counted for every head. */
static const struct bomb bombs[] = {
    {"91", 1000000, "c0", 1},
    {"81a0", 500000, "c0", 1},
    {"c900fffff001dd000fff00", 90000, "c0", 1},
    {"ddffffffff", 1, "c0", 1000000},
    {"dfffffffff", 1, "a0", 1000000},
    {"dbffffffff", 1, "61", 1000000},
    {"c6ffffffff", 1, "00", 1000000},
    {"c9ffffffff01", 1, "90", 1000000},
    {"c9ffffffff02", 1, "7f", 1000000},
    {"ddffffffff", 200000, "c0", 1},
    {"dfffffffffa0", 160000, "c0", 1},
    {"dd000f4240", 63, "c0", 1000000},
    {"df0007a120a0", 63, "c0", 1000000},
    {"df00004000a0", 63, "c0", 40000},
    {"df00004000", 1, "a0", 32768},
    {"df00004000", 1, "c0", 32768},
    {"de1001", 1, "00", 10000},
};

static unsigned char *make(const struct bomb *bomb, size_t *len)
{
    size_t head_len = unhex_into(NULL, bomb->head);
    unsigned char *bytes = malloc(bomb->times * head_len + bomb->tail_len), tail;

    assert_non_null(bytes);
    for (*len = 0; *len < bomb->times * head_len; *len += head_len)
        unhex_into(bytes + *len, bomb->head);
    unhex_into(&tail, bomb->tail);
    memset(bytes + *len, tail, bomb->tail_len);
    *len += bomb->tail_len;
    return bytes;
}

/* Each at its usual limits, and without any. */
static void explode(int (*decode)(const void *, size_t, const struct coat_limits *), size_t factor)
{
    const struct coat_limits none = {SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};

    for (size_t i = 0; i < 2 * COUNT(bombs); i++) {
        const struct bomb *bomb = &bombs[i / 2];
        size_t len;
        unsigned char *bytes = make(bomb, &len);
        clock_t begin = clock();
        int rc;

        fault_arm(0);
        rc = decode(bytes, len, i % 2 == 0 ? NULL : &none);
        if (rc != COAT_ECORRUPT && rc != COAT_ELIMIT)
            fail_msg("%zu times %s: %d", bomb->times, bomb->head, rc);
        if (fault_bytes > factor * len + 1000)
            fail_msg("%zu times %s: %zu bytes for %zu", bomb->times, bomb->head, fault_bytes, len);
        if (clock() - begin > 2 * CLOCKS_PER_SEC)
            fail_msg("%zu times %s took too long", bomb->times, bomb->head);
        free(bytes);
    }
}

static int check(const void *bytes, size_t len, const struct coat_limits *limits)
{
    return coat_check(bytes, len, limits, 0, NULL, NULL);
}

static int check_keys(const void *bytes, size_t len, const struct coat_limits *limits)
{
    return coat_check(bytes, len, limits, COAT_CHECK_EQUAL_KEYS, NULL, NULL);
}

static int parse(const void *bytes, size_t len, const struct coat_limits *limits)
{
    struct coat_doc *doc = NULL;
    int rc = coat_doc_parse(&doc, bytes, len, limits, NULL);

    coat_doc_free(doc);
    return rc;
}

static void req_53_54_checking_allocates_nothing(void **state)
{
    (void)state;
    explode(check, 0);
}

static void req_53_54_checking_for_equal_keys_needs_twice_the_bytes_at_most(void **state)
{
    (void)state;
    explode(check_keys, 2);
}

static void req_53_54_a_document_is_bounded_by_its_bytes_whatever_they_claim(void **state)
{
    (void)state;
    explode(parse, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(req_53_54_checking_allocates_nothing),
        cmocka_unit_test(req_53_54_checking_for_equal_keys_needs_twice_the_bytes_at_most),
        cmocka_unit_test(req_53_54_a_document_is_bounded_by_its_bytes_whatever_they_claim),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
