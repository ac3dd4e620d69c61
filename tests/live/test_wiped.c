/* What is secret is gone from the memory of the process when it is closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "coatcheck.h"
#include "live/server.h"
#include "session.h"

/* ---- Looking for bytes of which this test itself has no copy --------------------------------- */

enum { MASK = 0x5a, NEEDLE_MAX = 64, CHUNK = 1 << 16, REGION_MAX = 1 << 28 };

struct needle {
    unsigned char masked[NEEDLE_MAX];
    size_t len;
};

static struct needle hide(const void *bytes, size_t len)
{
    struct needle n = {.len = len};
    assert_true(len <= NEEDLE_MAX);
    for (size_t i = 0; i < len; i++)
        n.masked[i] = ((const unsigned char *)bytes)[i] ^ MASK;
    return n;
}

/* Each is wiped by its user. */
static void show(const struct needle *n, char text[NEEDLE_MAX + 1])
{
    for (size_t i = 0; i < n->len; i++)
        text[i] = (char)(n->masked[i] ^ MASK);
    text[n->len] = 0;
}

static int is_at(const unsigned char *at, const struct needle *n)
{
    size_t i = 0;
    while (i < n->len && (at[i] ^ MASK) == n->masked[i])
        i++;
    return i == n->len;
}

static unsigned char chunk[NEEDLE_MAX + CHUNK];

/* How often it is in these bytes of the process; the buffer for that has masked ones only. */
static int times_in(int memory, uintptr_t from, uintptr_t to, const struct needle *n)
{
    int times = 0;
    for (uintptr_t at = from; at < to; at += CHUNK) {
        size_t want = (to - at < CHUNK ? to - at : CHUNK) + (to - at > CHUNK ? n->len - 1 : 0);
        ssize_t len = pread(memory, chunk, want, (off_t)at);
        for (ssize_t i = 0; i + (ssize_t)n->len <= len; i++)
            times += is_at(chunk + i, n);
        explicit_bzero(chunk, sizeof chunk);
    }
    return times;
}

/* In all that may be written, except what is too large to be anything but a sanitizer's own. */
static int times_in_memory(const struct needle *n)
{
    char line[512], may[5];
    unsigned long from, to;
    int times = 0, memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_true(memory >= 0 && maps);
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %4s", &from, &to, may) == 3 && may[1] == 'w' &&
            to - from <= REGION_MAX)
            times += times_in(memory, from, to, n);
    fclose(maps);
    close(memory);
    return times;
}

/* ---- What is in them ------------------------------------------------------------------------ */

static struct coat_store *open_with(const struct needle *password)
{
    char text[NEEDLE_MAX + 1];
    struct coat_options *o;
    struct coat_store *store;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    assert_int_equal(coat_options_set(o, "url", server.url, NULL), 0);
    assert_int_equal(coat_options_set(o, "prefix", "shop:", NULL), 0);
    if (password) {
        show(password, text);
        assert_int_equal(coat_options_set(o, "password", text, NULL), 0);
        explicit_bzero(text, sizeof text);
    }
    assert_int_equal(coat_store_open(&store, o, NULL), 0);
    coat_options_free(o);
    return store;
}

static void put(struct coat_session *s)
{
    struct coat_packer p;
    coat_packer_init(&p, NULL);
    coat_pack_int(&p, 1);
    assert_int_equal(coat_doc_put(coat_session_doc(s), "a", &p, NULL), 0);
    coat_packer_release(&p);
}

struct traces {
    struct needle verifier, selector, text;
};

static struct traces traces_of(const struct coat_session *s)
{
    return (struct traces){.verifier = hide(s->sid.verifier, COAT_SID_HALF),
                           .selector = hide(s->sid.selector, COAT_SID_HALF),
                           .text = hide(coat_session_id(s), COAT_SID_LEN)};
}

static void assert_gone(const struct traces *t)
{
    assert_int_equal(times_in_memory(&t->verifier), 0);
    assert_int_equal(times_in_memory(&t->selector), 0);
    assert_int_equal(times_in_memory(&t->text), 0);
}

/* The id comes as from a cookie, in a text of the caller's, who wipes it. */
static struct coat_session *load(struct coat_store *store, const struct traces *t, int rc)
{
    char text[NEEDLE_MAX + 1];
    struct coat_session *s;
    show(&t->text, text);
    assert_int_equal(coat_store_load(store, text, &s, NULL), rc);
    explicit_bzero(text, sizeof text);
    return s;
}

static void req_51_a_closed_session_leaves_no_id_in_memory(void **state)
{
    (void)state;
    struct coat_store *store = open_with(NULL);
    struct coat_session *s;
    struct traces first, second;
    assert_int_equal(coat_session_new(store, &s, NULL), 0);
    put(s);
    assert_int_equal(coat_session_save(s, NULL), 0);
    first = traces_of(s);
    assert_true(times_in_memory(&first.verifier) > 0); /* it is found where it is */
    assert_true(times_in_memory(&first.text) > 0);
    coat_session_close(s);
    assert_gone(&first);

    s = load(store, &first, 1);
    assert_int_equal(coat_session_rotate(s, NULL), 0);
    assert_int_equal(coat_session_save(s, NULL), 0);
    second = traces_of(s);
    coat_session_close(s);
    assert_gone(&first);
    assert_gone(&second);

    s = load(store, &second, 1);
    assert_int_equal(coat_session_destroy(s, NULL), 1);
    coat_session_close(s);
    coat_session_close(load(store, &second, 0));
    assert_gone(&second);
    coat_store_close(store);
}

static void req_51_a_closed_store_leaves_no_password_in_memory(void **state)
{
    (void)state;
    static const char masked[] = "\x15\x2a\x3f\x34\x77\x29\x3f\x29\x3b\x37\x3f\x77\x6e\x68\x77\x2e"
                                 "\x33\x37\x3f\x29"; /* Open-sesame-42-times */
    struct needle password = {.len = sizeof masked - 1};
    char text[NEEDLE_MAX + 1];
    struct live_server locked;
    memcpy(password.masked, masked, password.len);
    show(&password, text);
    live_server_start(&locked, 0, (const char *const[]){"--requirepass", text, NULL});
    explicit_bzero(text, sizeof text);
    struct live_server open = server;
    server = locked;
    struct coat_store *store = open_with(&password);
    assert_int_equal(coat_store_ping(store, NULL), 0);
    assert_true(times_in_memory(&password) > 0);
    coat_store_close(store);
    assert_int_equal(times_in_memory(&password), 0);
    live_server_stop(&locked);
    server = open;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(req_51_a_closed_session_leaves_no_id_in_memory),
        cmocka_unit_test(req_51_a_closed_store_leaves_no_password_in_memory),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
