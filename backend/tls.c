#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "api/error.h"
#include "api/fault.h"
#include "system_error.h"

/*
 * What one step reads at most. Some records are answered by OpenSSL itself; an endless row of them
 * must not keep a step from returning, for deadlines are looked at between steps.
 */
#define STEP_BYTES ((size_t)64 << 10)

/* The first byte of a connection, if it is TLS: that of a handshake or an alert. */
enum { RECORD_ALERT = 0x15, RECORD_HANDSHAKE = 0x16 };

struct coat_tls {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO_METHOD *method;
    int fd;
    int system_error;              /* of the socket, EPIPE when the peer has ended; 0: none */
    int heard;                     /* the peer has said something, ... */
    int plaintext;                 /* ... and it was not TLS */
    size_t allowance;              /* bytes that this step may still read */
    char name[160];                /* of the server, in messages */
    char host[COAT_TLS_HOST_SIZE]; /* which is verified */
};

/* ---- The socket, as OpenSSL sees it --------------------------------------------------------- */

/* OpenSSL's own would write without MSG_NOSIGNAL, and so could end the process by SIGPIPE. */

static int is_temporary(int number)
{
    return number == EAGAIN || number == EWOULDBLOCK || number == EINTR;
}

static int write_socket(BIO *bio, const char *bytes, int len)
{
    struct coat_tls *tls = BIO_get_data(bio);
    ssize_t n = send(tls->fd, bytes, (size_t)len, MSG_NOSIGNAL);
    BIO_clear_retry_flags(bio);
    if (n < 0 && is_temporary(errno))
        BIO_set_retry_write(bio);
    else if (n < 0)
        tls->system_error = errno;
    return (int)n;
}

static void look_at_first(struct coat_tls *tls, unsigned char byte)
{
    if (!tls->heard)
        tls->plaintext = byte != RECORD_HANDSHAKE && byte != RECORD_ALERT;
    tls->heard = 1;
}

static int read_socket(BIO *bio, char *bytes, int size)
{
    struct coat_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    size_t most = (size_t)size < tls->allowance ? (size_t)size : tls->allowance;
    ssize_t n = -1;
    errno = EAGAIN;
    if (most > 0)
        n = recv(tls->fd, bytes, most, 0);
    if (n > 0) {
        look_at_first(tls, (unsigned char)bytes[0]);
        tls->allowance -= (size_t)n;
    } else if (n < 0 && is_temporary(errno)) {
        BIO_set_retry_read(bio);
    } else {
        tls->system_error = n == 0 ? EPIPE : errno;
    }
    return (int)n;
}

static long control_socket(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int attach_socket(struct coat_tls *tls)
{
    tls->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "coatcheck");
    if (!tls->method || !BIO_meth_set_write(tls->method, write_socket) ||
        !BIO_meth_set_read(tls->method, read_socket) ||
        !BIO_meth_set_ctrl(tls->method, control_socket))
        return -1;
    BIO *bio = BIO_new(tls->method);
    if (!bio)
        return -1;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    return 0;
}

/* ---- Failures ------------------------------------------------------------------------------- */

static int refused(const struct coat_tls *tls, const char *reason, const char *text,
                   struct coat_error *err)
{
    return coat_error_because(err, COAT_EUNAVAILABLE, reason, "%s: %s", tls->name, text);
}

/* What is wrong with the server's certificate. */
static int describe_certificate(const struct coat_tls *tls, long fault, struct coat_error *err)
{
    switch (fault) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return coat_error_because(err, COAT_EUNAVAILABLE, "name",
                                  "%.80s: its certificate is not for %.80s; connect to a name that "
                                  "stands in its subjectAltName, or set tls_server_name to one",
                                  tls->name, tls->host);
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return refused(tls, "expired",
                       "its certificate has expired; renew it on the server, or correct the clock "
                       "of this host",
                       err);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return refused(tls, "early",
                       "its certificate is not valid yet; correct the clock of this host, or renew "
                       "the certificate on the server",
                       err);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CERT_UNTRUSTED:
        return refused(tls, "ca",
                       "its certificate comes from no authority that is trusted here; set "
                       "tls_ca_file to a file with the right one",
                       err);
    default:
        return coat_error_because(err, COAT_EUNAVAILABLE, "certificate",
                                  "%s: its certificate is refused: %s", tls->name,
                                  X509_verify_cert_error_string(fault));
    }
}

static int bad_certificate(const struct coat_tls *tls, long fault, struct coat_error *err)
{
    return coat_fault_note(err, COAT_FAULT_TRUST, describe_certificate(tls, fault, err));
}

/* OpenSSL's reason for an alert that came is this and the alert's number. */
#define ALERT(number) (SSL_AD_REASON_OFFSET + (number))

/* What OpenSSL complains of, or the server by an alert. */
static int complaint(const struct coat_tls *tls, unsigned long code, struct coat_error *err)
{
    switch (ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0) {
    case ALERT(SSL_AD_BAD_CERTIFICATE):
    case ALERT(SSL_AD_UNSUPPORTED_CERTIFICATE):
    case ALERT(SSL_AD_CERTIFICATE_REVOKED):
    case ALERT(SSL_AD_CERTIFICATE_EXPIRED):
    case ALERT(SSL_AD_CERTIFICATE_UNKNOWN):
    case ALERT(SSL_AD_UNKNOWN_CA):
    case ALERT(SSL_AD_ACCESS_DENIED):
    case ALERT(SSL_AD_CERTIFICATE_REQUIRED):
        refused(tls, "client",
                "the server refuses our certificate, or wants one; set tls_cert_file and "
                "tls_key_file to one from an authority that it trusts",
                err);
        return coat_fault_note(err, COAT_FAULT_TRUST, COAT_EUNAVAILABLE);
    case ALERT(SSL_AD_PROTOCOL_VERSION):
    case ALERT(SSL_AD_HANDSHAKE_FAILURE):
    case ALERT(SSL_AD_INSUFFICIENT_SECURITY):
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_WRONG_SSL_VERSION:
        return refused(tls, "protocol",
                       "no version and cipher of TLS in common; it must allow TLS 1.2 or newer, "
                       "and what tls_min_version says (if it wants a certificate of ours, set "
                       "tls_cert_file)",
                       err);
    default: {
        const char *reason = ERR_reason_error_string(code);
        return coat_error_because(err, COAT_EUNAVAILABLE, "tls", "%s: TLS failed: %s", tls->name,
                                  reason ? reason : "no reason is known");
    }
    }
}

static int socket_failed(const struct coat_tls *tls, struct coat_error *err)
{
    if (tls->system_error != EPIPE && tls->system_error != ECONNRESET)
        return coat_system_error(tls->name, tls->system_error, err);
    const char *reason = tls->system_error == EPIPE ? "closed" : "reset";
    if (!SSL_is_init_finished(tls->ssl))
        return refused(tls, reason,
                       "the server closed the connection during the TLS handshake; is this its "
                       "port for TLS?",
                       err);
    return refused(tls, reason, "the server closed the connection", err);
}

static int out_of_memory(unsigned long code)
{
    return ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
}

/* What a call to OpenSSL that did not do it returns to our caller: an event or a failure. */
static int stopped(const struct coat_tls *tls, int rc, struct coat_error *err)
{
    int why = SSL_get_error(tls->ssl, rc);
    unsigned long code = ERR_peek_error();
    long fault = SSL_get_verify_result(tls->ssl);
    int result;
    if (why == SSL_ERROR_WANT_READ)
        result = POLLIN;
    else if (why == SSL_ERROR_WANT_WRITE)
        result = POLLOUT;
    else if (out_of_memory(code) || out_of_memory(ERR_peek_last_error()))
        result = coat_error_nomem(err);
    else if (tls->plaintext)
        result = refused(tls, "plaintext",
                         "it speaks no TLS on this port; use its port for TLS (redis:// would "
                         "connect without)",
                         err);
    else if (fault != X509_V_OK)
        result = bad_certificate(tls, fault, err);
    else if (why == SSL_ERROR_ZERO_RETURN)
        result = refused(tls, "closed", "the server closed the connection", err);
    else if (tls->system_error)
        result = socket_failed(tls, err);
    else
        result = complaint(tls, code, err);
    ERR_clear_error();
    return result;
}

/* ---- Files ---------------------------------------------------------------------------------- */

static int bad_file(const char *option, const char *path, const char *text, struct coat_error *err)
{
    return coat_error_because(err, COAT_ECONFIG, "file", "option %s: %.120s %s", option, path,
                              text);
}

/* OpenSSL would say less, and wait for the other end of a pipe. */
static int look_at(const char *option, const char *path, mode_t kind, struct coat_error *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    struct stat s;
    int ok = fd >= 0 && fstat(fd, &s) == 0;
    int number = errno;
    if (fd >= 0)
        close(fd);
    if (ok && (s.st_mode & S_IFMT) == kind)
        return 0;
    if (ok)
        return bad_file(option, path,
                        kind == S_IFDIR ? "is no directory; name one" : "is no regular file", err);
    if (number == ENOENT || number == ENOTDIR)
        return bad_file(option, path, "does not exist; correct the path", err);
    if (number == EACCES || number == EPERM)
        return bad_file(option, path, "may not be read by this process; change its permissions",
                        err);
    char name[192];
    snprintf(name, sizeof name, "option %s: %.120s cannot be opened", option, path);
    return coat_system_error(name, number, err);
}

static int trust(SSL_CTX *ctx, const struct coat_tls_options *o, struct coat_error *err)
{
    if (!o->ca_file && !o->ca_dir)
        return SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : coat_error_nomem(err);
    int rc = o->ca_file ? look_at("tls_ca_file", o->ca_file, S_IFREG, err) : 0;
    if (rc == 0 && o->ca_dir)
        rc = look_at("tls_ca_dir", o->ca_dir, S_IFDIR, err);
    if (rc < 0 || SSL_CTX_load_verify_locations(ctx, o->ca_file, o->ca_dir) == 1)
        return rc;
    if (out_of_memory(ERR_peek_last_error()) || !o->ca_file)
        return coat_error_nomem(err);
    return bad_file("tls_ca_file", o->ca_file, "holds no certificates in the form PEM", err);
}

struct password {
    const char *text; /* NULL: none was given */
    int asked;
};

/* Without this OpenSSL would ask at the terminal. */
static int give_password(char *to, int size, int writing, void *user)
{
    struct password *password = user;
    size_t len = password->text ? strlen(password->text) : 0;
    (void)writing;
    password->asked = 1;
    if (len == 0 || size < 0 || len > (size_t)size)
        return -1;
    memcpy(to, password->text, len);
    return (int)len;
}

static int present_key(SSL_CTX *ctx, const struct coat_tls_options *o, struct coat_error *err)
{
    struct password password = {.text = o->key_password};
    const char *option = o->key_file ? "tls_key_file" : "tls_cert_file";
    const char *file = o->key_file ? o->key_file : o->cert_file;
    int rc = look_at(option, file, S_IFREG, err);
    if (rc < 0)
        return rc;
    SSL_CTX_set_default_passwd_cb(ctx, give_password);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &password);
    int read = SSL_CTX_use_PrivateKey_file(ctx, file, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    unsigned long code = ERR_peek_last_error();
    if (read ? SSL_CTX_check_private_key(ctx) != 1
             : ERR_GET_LIB(code) == ERR_LIB_X509 &&
                   (ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH ||
                    ERR_GET_REASON(code) == X509_R_KEY_TYPE_MISMATCH))
        return coat_error_because(err, COAT_ECONFIG, "key",
                                  "option %s: the key in %.120s does not belong to the certificate "
                                  "in tls_cert_file; give both of one pair",
                                  option, file);
    if (read)
        return 0;
    if (out_of_memory(code))
        return coat_error_nomem(err);
    if (password.asked)
        return coat_error_because(err, COAT_ECONFIG, "password",
                                  "option %s: the key in %.120s is encrypted, and %s", option, file,
                                  o->key_password ? "tls_key_password does not open it"
                                                  : "no tls_key_password is set");
    return bad_file(option, file, "holds no private key in the form PEM", err);
}

static int present(SSL_CTX *ctx, const struct coat_tls_options *o, struct coat_error *err)
{
    if (!o->cert_file)
        return 0;
    int rc = look_at("tls_cert_file", o->cert_file, S_IFREG, err);
    if (rc < 0)
        return rc;
    if (SSL_CTX_use_certificate_chain_file(ctx, o->cert_file) == 1)
        return present_key(ctx, o, err);
    if (out_of_memory(ERR_peek_last_error()))
        return coat_error_nomem(err);
    return bad_file("tls_cert_file", o->cert_file, "holds no certificate in the form PEM", err);
}

/* ---- A new one ------------------------------------------------------------------------------ */

/* The system's own rule holds where it is stricter. */
static int demand_version(SSL_CTX *ctx, enum coat_tls_version version)
{
    long least = version == COAT_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    return SSL_CTX_get_min_proto_version(ctx) >= least ||
           SSL_CTX_set_min_proto_version(ctx, least) == 1;
}

static int make_context(struct coat_tls *tls, const struct coat_tls_options *o,
                        struct coat_error *err)
{
    tls->ctx = SSL_CTX_new(TLS_client_method());
    if (!tls->ctx || !demand_version(tls->ctx, o->min_version))
        return coat_error_nomem(err);
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                   SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(tls->ctx, 1);
    int rc = trust(tls->ctx, o, err);
    return rc < 0 ? rc : present(tls->ctx, o, err);
}

/* Without what belongs to this host's view of the network: a zone, the dot of the root. */
static int copy_host(char *to, const char *host)
{
    size_t len = strcspn(host, "%");
    if (len > 0 && host[len - 1] == '.')
        len--;
    if (len == 0 || len >= COAT_TLS_HOST_SIZE)
        return -1;
    memcpy(to, host, len);
    to[len] = '\0';
    return 0;
}

static int is_literal(const char *host)
{
    struct in6_addr ignored;
    return inet_pton(AF_INET, host, &ignored) == 1 || inet_pton(AF_INET6, host, &ignored) == 1;
}

/* Whom we want to speak to: the server is told, and its certificate must say so. */
static int demand_host(struct coat_tls *tls)
{
    if (is_literal(tls->host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), tls->host) == 1;
    SSL_set_hostflags(tls->ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return SSL_set1_host(tls->ssl, tls->host) == 1 &&
           SSL_set_tlsext_host_name(tls->ssl, tls->host) == 1;
}

static int make_session(struct coat_tls *tls, const struct coat_tls_options *o, const char *host,
                        struct coat_error *err)
{
    const char *wanted = o->server_name ? o->server_name : host;
    if (!wanted || copy_host(tls->host, wanted) < 0)
        return coat_error_set(err, COAT_ECONFIG,
                              "there is no host name to verify the server's certificate with; set "
                              "tls_server_name");
    tls->ssl = SSL_new(tls->ctx);
    if (!tls->ssl || attach_socket(tls) < 0 || !demand_host(tls))
        return coat_error_nomem(err);
    SSL_set_connect_state(tls->ssl);
    return 0;
}

int coat_tls_new(struct coat_tls **out, const struct coat_tls_options *o, const char *host,
                 const char *name, int fd, struct coat_error *err)
{
    *out = NULL;
    struct coat_tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return coat_error_nomem(err);
    tls->fd = fd;
    snprintf(tls->name, sizeof tls->name, "%s", name);
    ERR_clear_error();
    int rc = make_context(tls, o, err);
    if (rc == 0)
        rc = make_session(tls, o, host, err);
    ERR_clear_error();
    if (rc < 0)
        coat_tls_free(tls);
    else
        *out = tls;
    return rc;
}

void coat_tls_free(struct coat_tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    SSL_CTX_free(tls->ctx);
    BIO_meth_free(tls->method);
    ERR_clear_error();
    free(tls);
}

/* ---- Steps ---------------------------------------------------------------------------------- */

static void begin(struct coat_tls *tls)
{
    ERR_clear_error();
    tls->allowance = STEP_BYTES;
}

/* By a cipher without certificates nobody has said who he is. */
static int is_verified(const struct coat_tls *tls)
{
    X509 *certificate = SSL_get_peer_certificate(tls->ssl);
    X509_free(certificate);
    return certificate && SSL_get_verify_result(tls->ssl) == X509_V_OK;
}

/* Who is trusted matters no more, and may be a megabyte. */
static void forget_authorities(struct coat_tls *tls)
{
    X509_STORE *none = X509_STORE_new();
    if (none)
        SSL_CTX_set_cert_store(tls->ctx, none);
}

int coat_tls_handshake(struct coat_tls *tls, struct coat_error *err)
{
    begin(tls);
    int rc = SSL_do_handshake(tls->ssl);
    if (rc != 1)
        return stopped(tls, rc, err);
    if (!is_verified(tls))
        return bad_certificate(tls, SSL_get_verify_result(tls->ssl), err);
    forget_authorities(tls);
    ERR_clear_error();
    return 0;
}

/*
 * A server may refuse our certificate when we take the handshake for done: its alert is then
 * waiting to be read while writing fails.
 */
static int write_stopped(struct coat_tls *tls, int rc, struct coat_error *err)
{
    char byte;
    if (tls->system_error) {
        int rc_read = SSL_peek(tls->ssl, &byte, 1);
        if (rc_read <= 0 && SSL_get_error(tls->ssl, rc_read) == SSL_ERROR_SSL) {
            tls->system_error = 0;
            return stopped(tls, rc_read, err);
        }
        ERR_clear_error();
    }
    return stopped(tls, rc, err);
}

int coat_tls_write(struct coat_tls *tls, const void *bytes, size_t len, size_t *done,
                   struct coat_error *err)
{
    begin(tls);
    while (*done < len) {
        size_t n;
        int rc = SSL_write_ex(tls->ssl, (const char *)bytes + *done, len - *done, &n);
        if (rc != 1)
            return write_stopped(tls, rc, err);
        *done += n;
    }
    return 0;
}

int coat_tls_read(struct coat_tls *tls, void *bytes, size_t size, size_t *got,
                  struct coat_error *err)
{
    begin(tls);
    int rc = SSL_read_ex(tls->ssl, bytes, size, got);
    return rc == 1 ? 0 : stopped(tls, rc, err);
}

int coat_tls_quiet(struct coat_tls *tls, int silent)
{
    char byte;
    if (silent && !SSL_has_pending(tls->ssl))
        return 1;
    begin(tls);
    int rc = SSL_peek(tls->ssl, &byte, 1);
    int quiet = rc <= 0 && SSL_get_error(tls->ssl, rc) == SSL_ERROR_WANT_READ &&
                tls->allowance > 0 && !SSL_has_pending(tls->ssl);
    ERR_clear_error();
    return quiet;
}
