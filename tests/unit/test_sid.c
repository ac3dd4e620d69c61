#include "script_driver.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sid.h"

/* In the place of libc's: fails, is interrupted or gives little when a test wants that. */
static enum { WELL, FAILS, INTERRUPTED_ONCE, ONE_BYTE_AT_A_TIME, COUNTS } generator;

static size_t given; /* how many bytes, so far */
static unsigned how; /* it was asked */

ssize_t getrandom(void *to, size_t len, unsigned flags);
ssize_t getrandom(void *to, size_t len, unsigned flags)
{
    if (generator == FAILS) {
        errno = ENOSYS;
        return -1;
    }
    if (generator == INTERRUPTED_ONCE) {
        generator = WELL;
        errno = EINTR;
        return -1;
    }
    how |= flags;
    given += len;
    if (generator == COUNTS) {
        for (size_t i = 0; i < len; i++)
            ((unsigned char *)to)[i] = (unsigned char)i;
        return (ssize_t)len;
    }
    return syscall(SYS_getrandom, to, generator == ONE_BYTE_AT_A_TIME ? 1 : len, flags);
}

/* Selector 00 01 ... 0f, verifier 10 11 ... 1f; what is derived was computed with Python. */
#define KNOWN           "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define KNOWN_H         "rDT_8wJ-GSY5NsMY0rbASMMO"
#define KNOWN_PUBLIC_ID "onmQsAav60uk"
static const unsigned char KNOWN_TAG[] = {0xdb, 0x20, 0x41, 0xd6, 0xfe, 0xc9, 0x9b, 0x7f};
static const unsigned char KNOWN_HASH[] = {0xc1, 0x72, 0xf1, 0xa9, 0x94, 0x3b, 0x19, 0xba,
                                           0x39, 0x3a, 0x16, 0xf3, 0xe1, 0x2d, 0x0e, 0x4a};

static struct coat_sid known(void)
{
    struct coat_sid sid;
    assert_int_equal(coat_sid_read(&sid, KNOWN, strlen(KNOWN)), 1);
    return sid;
}

static void reading_gives_selector_and_verifier(void **state)
{
    (void)state;
    struct coat_sid sid = known();
    for (unsigned i = 0; i < COAT_SID_HALF; i++) {
        assert_int_equal(sid.selector[i], i);
        assert_int_equal(sid.verifier[i], 16 + i);
    }
}

static void writing_gives_what_was_read(void **state)
{
    (void)state;
    struct coat_sid sid = known();
    char text[COAT_SID_LEN + 1];
    coat_sid_write(&sid, text);
    assert_string_equal(text, KNOWN);
}

static void any_drawn_id_survives_writing_and_reading(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct coat_sid sid, again;
        char text[COAT_SID_LEN + 1];
        assert_int_equal(coat_sid_draw(&sid, NULL), 0);
        coat_sid_write(&sid, text);
        assert_int_equal(strlen(text), COAT_SID_LEN);
        assert_int_equal(coat_sid_read(&again, text, strlen(text)), 1);
        assert_memory_equal(&sid, &again, sizeof sid);
    }
}

static void every_character_is_read_or_refused(void **state)
{
    (void)state;
    const char *good = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int c = 0; c < 256; c++) {
        struct coat_sid sid;
        char text[] = KNOWN;
        text[7] = (char)c;
        int expected = c != 0 && strchr(good, c) != NULL;
        assert_int_equal(coat_sid_read(&sid, text, COAT_SID_LEN), expected);
    }
}

static void other_lengths_are_refused(void **state)
{
    (void)state;
    struct coat_sid sid;
    char longer[] = KNOWN KNOWN;
    for (size_t len = 0; len < sizeof longer; len++)
        assert_int_equal(coat_sid_read(&sid, longer, len), len == COAT_SID_LEN);
}

static void an_id_has_one_text(void **state)
{
    (void)state;
    struct coat_sid sid;
    char text[] = KNOWN; /* ends with 8: its two spare bits are zero */
    for (const char *c = "9-_"; *c; c++) {
        text[COAT_SID_LEN - 1] = *c;
        assert_int_equal(coat_sid_read(&sid, text, COAT_SID_LEN), 0);
    }
}

static void a_refused_id_leaves_nothing_behind(void **state)
{
    (void)state;
    struct coat_sid sid, zero = {0};
    char text[] = KNOWN;
    text[42] = '!';
    memset(&sid, 1, sizeof sid);
    assert_int_equal(coat_sid_read(&sid, text, COAT_SID_LEN), 0);
    assert_memory_equal(&sid, &zero, sizeof sid);
}

static void keys_and_tag_are_made_from_prefix_and_selector(void **state)
{
    (void)state;
    struct coat_sid sid = known();
    struct coat_keys keys;
    assert_int_equal(coat_keys_make(&keys, "shop:", &sid, NULL), 0);
    assert_int_equal(keys.len, strlen("shop:s:{" KNOWN_H "}"));
    assert_memory_equal(keys.record, "shop:s:{" KNOWN_H "}", keys.len);
    assert_memory_equal(keys.lock, "shop:l:{" KNOWN_H "}", keys.len);
    assert_memory_equal(keys.tag, KNOWN_TAG, COAT_TAG_LEN);
    assert_string_equal(keys.public_id, KNOWN_PUBLIC_ID);
}

static void another_prefix_gives_other_keys_and_another_tag(void **state)
{
    (void)state;
    struct coat_sid sid = known();
    struct coat_keys shop, blog;
    assert_int_equal(coat_keys_make(&shop, "shop:", &sid, NULL), 0);
    assert_int_equal(coat_keys_make(&blog, "blog:", &sid, NULL), 0);
    assert_memory_not_equal(shop.record + 5, blog.record + 5, COAT_H_LEN);
    assert_memory_not_equal(shop.tag, blog.tag, COAT_TAG_LEN);
}

static void a_member_of_an_index_leads_to_the_same_keys(void **state)
{
    (void)state;
    struct coat_sid sid = known();
    struct coat_keys made, found;
    assert_int_equal(coat_keys_make(&made, "shop:", &sid, NULL), 0);
    assert_memory_equal(coat_keys_member(&made), KNOWN_H, COAT_H_LEN);
    assert_int_equal(
        coat_keys_of_member(&found, "shop:", coat_keys_member(&made), COAT_H_LEN, NULL), 1);
    assert_int_equal(found.len, made.len);
    assert_memory_equal(found.record, made.record, made.len);
    assert_memory_equal(found.lock, made.lock, made.len);
    assert_string_equal(found.public_id, made.public_id);
}

static void what_is_no_member_leads_nowhere(void **state)
{
    (void)state;
    static const char *const BAD[] = {"", "rDT_8wJ-GSY5NsMY0rbASMM", KNOWN_H "A",
                                      "rDT_8wJ-GSY5NsMY0rbASMM}", "rDT_8wJ+GSY5NsMY0rbASMMO"};
    struct coat_keys keys;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        assert_int_equal(coat_keys_of_member(&keys, "shop:", BAD[i], strlen(BAD[i]), NULL), 0);
}

static void the_index_is_named_for_prefix_and_principal(void **state)
{
    (void)state;
    struct coat_index_key key, other;
    const char *expected = "shop:p:{CiEqUp4Tbtav2oE9N4vNfSXd}"; /* computed with Python */
    assert_int_equal(coat_index_key_make(&key, "shop:", "user:42", NULL), 0);
    assert_int_equal(key.len, strlen(expected));
    assert_memory_equal(key.bytes, expected, key.len);
    assert_int_equal(coat_index_key_make(&other, "shop:", "user:43", NULL), 0);
    assert_memory_not_equal(key.bytes, other.bytes, key.len);
    assert_int_equal(coat_index_key_make(&other, "shop:user", ":42", NULL), 0);
    assert_memory_not_equal(key.bytes + 7, other.bytes + 11, COAT_H_LEN + 1);
}

static void the_longest_prefix_fits(void **state)
{
    (void)state;
    struct coat_sid sid = known();
    struct coat_keys keys;
    char prefix[COAT_PREFIX_MAX + 1];
    memset(prefix, 'p', COAT_PREFIX_MAX);
    prefix[COAT_PREFIX_MAX] = 0;
    assert_int_equal(coat_keys_make(&keys, prefix, &sid, NULL), 0);
    assert_int_equal(keys.len, COAT_KEY_MAX);
}

static void the_hash_is_of_the_verifier_alone(void **state)
{
    (void)state;
    struct coat_sid sid = known();
    unsigned char hash[COAT_HASH_LEN];
    assert_int_equal(coat_sid_hash(&sid, hash, NULL), 0);
    assert_memory_equal(hash, KNOWN_HASH, sizeof hash);
    memset(sid.selector, 0xff, sizeof sid.selector);
    assert_int_equal(coat_sid_hash(&sid, hash, NULL), 0);
    assert_memory_equal(hash, KNOWN_HASH, sizeof hash);
}

static void a_new_verifier_keeps_the_selector(void **state)
{
    (void)state;
    struct coat_sid sid = known(), before = sid;
    assert_int_equal(coat_sid_draw_verifier(&sid, NULL), 0);
    assert_memory_equal(sid.selector, before.selector, COAT_SID_HALF);
    assert_memory_not_equal(sid.verifier, before.verifier, COAT_SID_HALF);
}

static void req_01_a_failing_generator_is_an_error(void **state)
{
    (void)state;
    struct coat_sid sid;
    struct coat_error err;
    generator = FAILS;
    assert_int_equal(coat_sid_draw(&sid, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "random");
    assert_int_equal(coat_sid_draw_verifier(&sid, NULL), COAT_EUNAVAILABLE);
    generator = WELL;
}

static void an_interrupted_or_slow_generator_is_asked_again(void **state)
{
    (void)state;
    struct coat_sid sid = {0};
    static const unsigned char zero[4];
    generator = INTERRUPTED_ONCE;
    assert_int_equal(coat_sid_draw(&sid, NULL), 0);
    generator = ONE_BYTE_AT_A_TIME;
    memset(&sid, 0, sizeof sid);
    assert_int_equal(coat_sid_draw(&sid, NULL), 0);
    generator = WELL;
    assert_memory_not_equal(sid.selector, zero, sizeof zero);
    assert_memory_not_equal(sid.verifier + 12, zero, sizeof zero);
}

static void req_01_02_every_byte_of_an_id_is_the_generators(void **state)
{
    (void)state;
    struct coat_sid sid;
    char text[COAT_SID_LEN + 1];
    generator = COUNTS;
    given = how = 0;
    assert_int_equal(coat_sid_draw(&sid, NULL), 0);
    coat_sid_write(&sid, text);
    assert_string_equal(text, KNOWN);
    assert_int_equal(given, 32); /* which are 256 bits */
    assert_int_equal(coat_sid_draw_verifier(&sid, NULL), 0);
    assert_int_equal(given, 48);
    assert_memory_equal(sid.verifier, sid.selector, COAT_SID_HALF);
    assert_int_equal(how, 0); /* it waits for its seed, and is the one that does not run dry */
    generator = WELL;
}

/* The same bytes from the generator are the same id, whoever logs in, when, and to what. */
static void req_02_an_id_tells_nothing_of_its_session(void **state)
{
    (void)state;
    static const struct {
        const char *principal, *field;
        int64_t now_ms;
    } ROW[] = {{"ann", "1", NOW_MS}, {"user:42@example.com", "2", NOW_MS + 86400000}};
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct script t;
        generator = COUNTS;
        script_new(&t);
        t.now_ms = ROW[i].now_ms;
        set_field(t.s, "a", ROW[i].field);
        assert_int_equal(coat_session_login(t.s, ROW[i].principal, NULL, 0, NULL), 0);
        script_start(&t, COAT_OP_SAVE);
        script_answer(&t, OK);
        script_entered(&t);
        script_done(&t, 0);
        generator = WELL;
        assert_string_equal(coat_session_id(t.s), KNOWN);
        script_release(&t);
    }
}

/* How often each bit is set among these; by chance it is beyond 8 standard deviations never. */
static void req_01_02_no_bit_of_an_id_is_fixed_or_follows_the_one_before(void **state)
{
    (void)state;
    enum { IDS = 4096, MEAN = IDS / 2, FAR = 8 * 32 };
    static int set[256], changed[256];
    unsigned char id[sizeof(struct coat_sid)], before[sizeof id] = {0};
    for (int n = 0; n < IDS; n++) {
        struct coat_sid sid;
        assert_int_equal(coat_sid_draw(&sid, NULL), 0);
        memcpy(id, &sid, sizeof id);
        for (int bit = 0; bit < 256; bit++) {
            set[bit] += id[bit / 8] >> bit % 8 & 1;
            changed[bit] += (id[bit / 8] ^ before[bit / 8]) >> bit % 8 & 1;
        }
        memcpy(before, id, sizeof id);
    }
    for (int bit = 0; bit < 256; bit++) {
        assert_in_range(set[bit], MEAN - FAR, MEAN + FAR);
        assert_in_range(changed[bit], MEAN - FAR, MEAN + FAR);
    }
}

static void req_01_forked_processes_draw_different_ids(void **state)
{
    (void)state;
    struct coat_sid mine, theirs;
    int fds[2], status;
    assert_int_equal(coat_sid_draw(&mine, NULL), 0); /* whatever there may be to buffer */
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(coat_sid_draw(&theirs, NULL) < 0 ||
              write(fds[1], &theirs, sizeof theirs) != sizeof theirs);
    assert_int_equal(coat_sid_draw(&mine, NULL), 0);
    assert_int_equal(read(fds[0], &theirs, sizeof theirs), sizeof theirs);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(fds[0]);
    close(fds[1]);
    assert_memory_not_equal(&mine, &theirs, sizeof mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_gives_selector_and_verifier),
        cmocka_unit_test(writing_gives_what_was_read),
        cmocka_unit_test(any_drawn_id_survives_writing_and_reading),
        cmocka_unit_test(every_character_is_read_or_refused),
        cmocka_unit_test(other_lengths_are_refused),
        cmocka_unit_test(an_id_has_one_text),
        cmocka_unit_test(a_refused_id_leaves_nothing_behind),
        cmocka_unit_test(keys_and_tag_are_made_from_prefix_and_selector),
        cmocka_unit_test(another_prefix_gives_other_keys_and_another_tag),
        cmocka_unit_test(a_member_of_an_index_leads_to_the_same_keys),
        cmocka_unit_test(what_is_no_member_leads_nowhere),
        cmocka_unit_test(the_index_is_named_for_prefix_and_principal),
        cmocka_unit_test(the_longest_prefix_fits),
        cmocka_unit_test(the_hash_is_of_the_verifier_alone),
        cmocka_unit_test(a_new_verifier_keeps_the_selector),
        cmocka_unit_test(req_01_a_failing_generator_is_an_error),
        cmocka_unit_test(an_interrupted_or_slow_generator_is_asked_again),
        cmocka_unit_test(req_01_02_every_byte_of_an_id_is_the_generators),
        cmocka_unit_test(req_02_an_id_tells_nothing_of_its_session),
        cmocka_unit_test(req_01_02_no_bit_of_an_id_is_fixed_or_follows_the_one_before),
        cmocka_unit_test(req_01_forked_processes_draw_different_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
