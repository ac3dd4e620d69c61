/*
 * tls.h: TLS over a connected socket, as a client: TLS 1.2 or newer, the server's certificate and
 * its name always verified; there is no switch to leave that out. OpenSSL is known to tls.c only.
 *
 * Nothing here waits. A step that cannot go on returns for which event of poll() it waits, POLLIN
 * or POLLOUT; when that has come, the same call again goes on. After a failure only
 * coat_tls_free makes sense. Failures are COAT_EUNAVAILABLE with the reason in one word (below),
 * COAT_ECONFIG for files and options that are wrong, and COAT_ENOMEM.
 *
 * One thread at a time. OpenSSL's queue of errors, which all its users in a thread share, is empty
 * before and after each call. Nothing is ever said to the peer on closing: what comes before the
 * end of a reply has no meaning, so a close_notify adds none, and a child after fork() has to keep
 * silent.
 */
#ifndef COAT_BACKEND_TLS_H
#define COAT_BACKEND_TLS_H

#include <stddef.h>

#include "coat_error.h"
#include "tls_options.h"

struct coat_tls;

/*
 * For one connection: reads the files, each time anew, so that renewed ones are used. `host` is a
 * name or a literal address; `name` is that of the server in messages; both are copied.
 */
int coat_tls_new(struct coat_tls **out, const struct coat_tls_options *o, const char *host,
                 const char *name, int fd, struct coat_error *err);

/*
 * The handshake, first of all. Reasons: "ca" (no authority that is trusted), "name", "expired",
 * "certificate" (another fault of it), "plaintext" (it speaks no TLS), "protocol" (no version or
 * cipher in common), "client" (it refuses our certificate, or wants one), "closed", "tls".
 */
int coat_tls_handshake(struct coat_tls *tls, struct coat_error *err);

/*
 * Write. *done: how many bytes may have had an effect so far, 0 at first: whole TLS records, for
 * a part of one has no effect. Called again, the bytes must be the same.
 */
int coat_tls_write(struct coat_tls *tls, const void *bytes, size_t len, size_t *done,
                   struct coat_error *err);

/* Read what is there: 0 and *got of them, at least 1. */
int coat_tls_read(struct coat_tls *tls, void *bytes, size_t size, size_t *got,
                  struct coat_error *err);

/*
 * 1 if nothing that concerns us is waiting to be read, and the peer has not ended. Reads what
 * concerns only TLS, such as the tickets that a server sends at its leisure. `silent`: the socket
 * has nothing to be read.
 */
int coat_tls_quiet(struct coat_tls *tls, int silent);

/* Frees and wipes; the socket is the caller's. NULL allowed; legal in a child after fork(). */
void coat_tls_free(struct coat_tls *tls);

#endif
