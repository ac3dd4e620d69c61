#include "live/traces.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "coatcheck.h"
#include "session.h"

/* ---- Looking -------------------------------------------------------------------------------- */

enum { MASK = 0x5a, CHUNK = 1 << 16, REGION_MAX = 1 << 28 };

struct needle live_hide(const void *bytes, size_t len)
{
    struct needle n = {.len = len};
    assert_true(len <= NEEDLE_MAX);
    for (size_t i = 0; i < len; i++)
        n.masked[i] = ((const unsigned char *)bytes)[i] ^ MASK;
    return n;
}

void live_show(const struct needle *n, char text[NEEDLE_MAX + 1])
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

int live_times_in_memory(const struct needle *n)
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

/* ---- What sessions leave --------------------------------------------------------------------- */

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
    return (struct traces){.verifier = live_hide(s->sid.verifier, COAT_SID_HALF),
                           .selector = live_hide(s->sid.selector, COAT_SID_HALF),
                           .text = live_hide(coat_session_id(s), COAT_SID_LEN)};
}

static void assert_gone(const struct traces *t)
{
    assert_int_equal(live_times_in_memory(&t->verifier), 0);
    assert_int_equal(live_times_in_memory(&t->selector), 0);
    assert_int_equal(live_times_in_memory(&t->text), 0);
}

/* The id comes as from a cookie, in a text of the caller's, who wipes it. */
static struct coat_session *load(struct coat_store *store, const struct traces *t, int rc)
{
    char text[NEEDLE_MAX + 1];
    struct coat_session *s;
    live_show(&t->text, text);
    assert_int_equal(coat_store_load(store, text, &s, NULL), rc);
    explicit_bzero(text, sizeof text);
    return s;
}

void live_assert_sessions_leave_no_id(struct coat_store *store)
{
    struct coat_session *s;
    struct traces first, second;
    assert_int_equal(coat_session_new(store, &s, NULL), 0);
    put(s);
    assert_int_equal(coat_session_save(s, NULL), 0);
    first = traces_of(s);
    assert_true(live_times_in_memory(&first.verifier) > 0); /* it is found where it is */
    assert_true(live_times_in_memory(&first.text) > 0);
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
}
