#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/sha.h>

#include "script.h"

static const struct coat_script *const ALL[] = {
    &coat_script_save,  &coat_script_logout, &coat_script_end,
    &coat_script_enter, &coat_script_unlock, &coat_script_incr,
    &coat_script_claim, &coat_script_fill,   &coat_script_swap};
enum { COUNT = sizeof ALL / sizeof *ALL };

static void names_are_the_sha1_of_the_texts(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        unsigned char digest[SHA_DIGEST_LENGTH];
        char hex[2 * SHA_DIGEST_LENGTH + 1];
        assert_non_null(SHA1((const unsigned char *)ALL[i]->text, ALL[i]->len, digest));
        for (int j = 0; j < SHA_DIGEST_LENGTH; j++)
            snprintf(hex + 2 * j, 3, "%02x", digest[j]);
        assert_string_equal(ALL[i]->sha1, hex);
    }
}

static void lengths_are_those_of_the_texts(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(ALL[i]->len, strlen(ALL[i]->text));
}

/* In a script of a cluster every key must be announced. */
static void keys_come_from_KEYS_alone(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++)
        for (const char *call = ALL[i]->text; (call = strstr(call, "redis.call('")) != NULL; call++)
            assert_true(strncmp(strchr(call, ',') ? strchr(call, ',') : "", ", KEYS[", 7) == 0 ||
                        strncmp(call, "redis.call('TIME')", 18) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_the_sha1_of_the_texts),
        cmocka_unit_test(lengths_are_those_of_the_texts),
        cmocka_unit_test(keys_come_from_KEYS_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
