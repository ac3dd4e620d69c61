/* What is secret is gone from the memory of the process when it is closed, by TLS too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "coatcheck.h"
#include "live/certs.h"
#include "live/open_store.h"
#include "live/server.h"
#include "live/traces.h"

/* What stands before the bytes looked for may be overwritten as soon as memory is freed. */
#define BEGIN "the-first-bytes-of-it-"
enum { TEXT_MAX = sizeof BEGIN + NEEDLE_MAX };

static char certs[LIVE_CERTS_MAX], url[64];
static char ca[LIVE_CERTS_MAX + 16];

static void show(const struct needle *n, char text[TEXT_MAX])
{
    memcpy(text, BEGIN, sizeof BEGIN);
    live_show(n, text + strlen(BEGIN));
}

static struct needle masked(const char *text)
{
    struct needle n = {.len = strlen(text)};
    memcpy(n.masked, text, n.len);
    return n;
}

/* Open-sesame-42-times, which the server wants; SECRET-of-the-key, with which a key is encrypted */
static const char PASSWORD[] = "\x15\x2a\x3f\x34\x77\x29\x3f\x29\x3b\x37\x3f\x77\x6e\x68\x77\x2e"
                               "\x33\x37\x3f\x29";
static const char KEY_PASSWORD[] =
    "\x09\x1f\x19\x08\x1f\x0e\x77\x35\x3c\x77\x2e\x32\x3f\x77\x31\x3f\x23";

/* A client's key, encrypted; in a process that ends, and takes its copy of the password along. */
static int encrypt_key(void)
{
    struct needle password = masked(KEY_PASSWORD);
    char text[TEXT_MAX], command[512];
    show(&password, text);
    snprintf(command, sizeof command,
             "openssl ec -aes256 -passout pass:%s -in %s/client.key -out %s/encrypted.key 2>%s/log",
             text, certs, certs, certs);
    int rc = system(command);
    explicit_bzero(text, sizeof text);
    explicit_bzero(command, sizeof command);
    return rc;
}

static int start(void **state)
{
    (void)state;
    struct needle password = masked(PASSWORD);
    char number[8], crt[LIVE_CERTS_MAX + 16], key[LIVE_CERTS_MAX + 16], text[TEXT_MAX];
    int port;
    if (live_certs_make(certs) != 0 || encrypt_key() != 0)
        return -1;
    close(live_listen(&port));
    snprintf(number, sizeof number, "%d", port);
    snprintf(url, sizeof url, "rediss://localhost:%d", port);
    snprintf(ca, sizeof ca, "%s/ca.crt", certs);
    snprintf(crt, sizeof crt, "%s/server.crt", certs);
    snprintf(key, sizeof key, "%s/server.key", certs);
    show(&password, text);
    live_server_start(&server, 0,
                      (const char *const[]){"--tls-port", number, "--bind", "127.0.0.1",
                                            "--tls-cert-file", crt, "--tls-key-file", key,
                                            "--tls-ca-cert-file", ca, "--requirepass", text, NULL});
    explicit_bzero(text, sizeof text);
    return 0;
}

static int stop(void **state)
{
    stop_server(state);
    return live_certs_remove(certs);
}

static struct coat_store *open_store(void)
{
    struct needle password = masked(PASSWORD), key_password = masked(KEY_PASSWORD);
    char text[TEXT_MAX], key_text[TEXT_MAX];
    char crt[LIVE_CERTS_MAX + 32], key[LIVE_CERTS_MAX + 32];
    snprintf(crt, sizeof crt, "%s/client.crt", certs);
    snprintf(key, sizeof key, "%s/encrypted.key", certs);
    show(&password, text);
    show(&key_password, key_text);
    struct coat_store *store =
        live_open_store(url, "password", text, "tls_ca_file", ca, "tls_cert_file", crt,
                        "tls_key_file", key, "tls_key_password", key_text, NULL);
    explicit_bzero(text, sizeof text);
    explicit_bzero(key_text, sizeof key_text);
    return store;
}

static void req_51_a_closed_session_leaves_no_id_in_memory(void **state)
{
    (void)state;
    struct coat_store *store = open_store();
    live_assert_sessions_leave_no_id(store);
    coat_store_close(store);
}

static void req_51_a_closed_store_leaves_no_password_in_memory(void **state)
{
    (void)state;
    struct needle password = masked(PASSWORD), key_password = masked(KEY_PASSWORD);
    struct coat_store *store = open_store();
    assert_int_equal(coat_store_ping(store, NULL), 0);
    assert_true(live_times_in_memory(&password) > 0); /* they are found where they are */
    assert_true(live_times_in_memory(&key_password) > 0);
    coat_store_close(store);
    assert_int_equal(live_times_in_memory(&password), 0);
    assert_int_equal(live_times_in_memory(&key_password), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(req_51_a_closed_session_leaves_no_id_in_memory),
        cmocka_unit_test(req_51_a_closed_store_leaves_no_password_in_memory),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
