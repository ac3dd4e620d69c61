/* Connecting by TLS while OpenSSL runs out of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls.h"
#include "live/certs.h"

/* ---- OpenSSL's memory ----------------------------------------------------------------------- */

static _Thread_local long left = -1; /* allocations until one fails; -1: none does */

static int fails(void)
{
    return left >= 0 && left-- == 0;
}

static void *get(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return fails() ? NULL : malloc(size);
}

static void *get_again(void *at, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return fails() ? NULL : realloc(at, size);
}

static void give(void *at, const char *file, int line)
{
    (void)file, (void)line;
    free(at);
}

/* ---- A server on a pair of sockets ---------------------------------------------------------- */

static char certs[LIVE_CERTS_MAX];
static char crt[LIVE_CERTS_MAX + 16], key[LIVE_CERTS_MAX + 16], ca[LIVE_CERTS_MAX + 16];
static SSL_CTX *server;

static void *serve(void *arg)
{
    SSL *ssl = SSL_new(server);
    SSL_set_fd(ssl, *(int *)arg);
    SSL_accept(ssl);
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}

/* What connecting comes to, with the nth allocation failing. */
static int connect_with(long nth, struct coat_error *err)
{
    struct coat_tls_options options = {.on = 1, .ca_file = ca, .cert_file = crt, .key_file = key};
    struct coat_tls *tls = NULL;
    pthread_t thread;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve, &fds[1]), 0);
    left = nth;
    int rc = coat_tls_new(&tls, &options, "localhost", "localhost:1", fds[0], err);
    if (rc == 0)
        while ((rc = coat_tls_handshake(tls, err)) > 0)
            poll(&(struct pollfd){.fd = fds[0], .events = (short)rc}, 1, 10000);
    coat_tls_free(tls);
    int came_to_it = left < 0;
    left = -1;
    shutdown(fds[0], SHUT_RDWR);
    pthread_join(thread, NULL);
    close(fds[0]);
    close(fds[1]);
    return rc < 0 ? rc : came_to_it;
}

static void an_allocation_that_fails_anywhere_is_a_failure_or_no_matter(void **state)
{
    (void)state;
    struct coat_error err;
    int failures = 0;
    assert_int_equal(connect_with(1L << 40, &err), 0);
    for (long nth = 0;; nth += 1 + nth / 64) { /* an allocation more than the whole: the end */
        int rc = connect_with(nth, &err);
        assert_int_equal(ERR_peek_error(), 0);
        if (rc == 0)
            break;
        failures += rc < 0;
        if (rc < 0 && rc != COAT_ENOMEM && rc != COAT_EUNAVAILABLE && rc != COAT_ECONFIG)
            fail_msg("allocation %ld: %d %s", nth, rc, err.text);
    }
    assert_true(failures > 50);
    assert_int_equal(connect_with(1L << 40, &err), 0);
}

/* ---- The program ---------------------------------------------------------------------------- */

static int start(void **state)
{
    (void)state;
    if (live_certs_make(certs) != 0)
        return -1;
    snprintf(crt, sizeof crt, "%s/server.crt", certs);
    snprintf(key, sizeof key, "%s/server.key", certs);
    snprintf(ca, sizeof ca, "%s/ca.crt", certs);
    server = SSL_CTX_new(TLS_server_method());
    return SSL_CTX_use_certificate_file(server, crt, SSL_FILETYPE_PEM) == 1 &&
                   SSL_CTX_use_PrivateKey_file(server, key, SSL_FILETYPE_PEM) == 1
               ? 0
               : -1;
}

static int stop(void **state)
{
    (void)state;
    SSL_CTX_free(server);
    return live_certs_remove(certs);
}

int main(void)
{
    if (!CRYPTO_set_mem_functions(get, get_again, give))
        return 2;
    signal(SIGPIPE, SIG_IGN); /* for the server, which writes as OpenSSL does by itself */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_that_fails_anywhere_is_a_failure_or_no_matter),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
