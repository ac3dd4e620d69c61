#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/error.h"
#include "clock.h"
#include "system_error.h"
#include "tls.h"

#define BACKLOG_PAUSE_MS 5

/* ---- Failures ------------------------------------------------------------------------------- */

const char *coat_net_name(const struct coat_address *address, char *to, size_t size)
{
    if (address->scheme == COAT_SCHEME_TCP)
        snprintf(to, size, strchr(address->host, ':') ? "[%s]:%d" : "%s:%d", address->host,
                 address->port);
    else
        snprintf(to, size, "unix:%s", address->path ? address->path : "");
    return to;
}

static int wants_tls(const struct coat_net *net, const char *reason, struct coat_error *err)
{
    char name[160];
    return coat_error_because(err, COAT_EUNAVAILABLE, reason,
                              "%s: the server closed the connection before it said anything; if "
                              "this port wants TLS, write rediss:// in the URL",
                              coat_net_name(net->address, name, sizeof name));
}

/* A server that wants TLS gives up on plain commands, mostly without a word. */
static int is_mute(const struct coat_net *net)
{
    return net->stage == COAT_NET_OPEN && !net->tls && !net->heard &&
           net->address->scheme == COAT_SCHEME_TCP;
}

static int failed(const struct coat_net *net, int number, struct coat_error *err)
{
    char name[160];
    if (number == EPIPE && is_mute(net))
        return wants_tls(net, "closed", err);
    if (number == ECONNRESET && is_mute(net))
        return wants_tls(net, "reset", err);
    return coat_system_error(coat_net_name(net->address, name, sizeof name), number, err);
}

static int timed_out(const struct coat_net *net, struct coat_error *err)
{
    static const char *const what[] = {
        [COAT_NET_CLOSED] = "let us connect in time",
        [COAT_NET_SHAKING_HANDS] = "finish the TLS handshake in time; is this its port for TLS?",
        [COAT_NET_OPEN] = "answer in time",
    };
    char name[160];
    return coat_error_because(err, COAT_ETIMEOUT, "timeout", "%s did not %s",
                              coat_net_name(net->address, name, sizeof name), what[net->stage]);
}

static int interrupted(struct coat_error *err)
{
    return coat_error_set(err, COAT_EINTR, "a signal interrupted the wait");
}

/* ---- Waiting -------------------------------------------------------------------------------- */

/* 0: look again. Whoever waits for this processor may be the server, and goes first. */
static int look_again(const struct coat_net *net, struct coat_error *err)
{
    if (coat_monotonic_us() >= net->brief_until_us)
        return coat_error_set(err, COAT_EINTR, "from here on it is a long wait");
    sched_yield();
    return 0;
}

/* Until one of the events has come; with none and no socket, just wait for the deadline. */
static int wait_for(const struct coat_net *net, short events, int64_t deadline_ms,
                    struct coat_error *err)
{
    if (net->brief_until_us)
        return look_again(net, err);
    for (;;) {
        int64_t left = deadline_ms - coat_monotonic_ms();
        if (left <= 0)
            return timed_out(net, err);
        struct pollfd p = {.fd = net->fd, .events = events};
        int n = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
        if (n > 0)
            return 0;
        if (n < 0)
            return errno == EINTR ? interrupted(err) : failed(net, errno, err);
    }
}

/* ---- Connecting ----------------------------------------------------------------------------- */

static int new_socket(struct coat_net *net, int family, struct coat_error *err)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* In a program without stdin, stdout or stderr: what it prints must not go to the server. */
    if (fd >= 0 && fd <= STDERR_FILENO) {
        int low = fd;
        fd = fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        int why = errno;
        close(low);
        errno = why;
    }
    net->fd = fd;
    return fd < 0 ? failed(net, errno, err) : 0;
}

static void drop_socket(struct coat_net *net)
{
    if (net->fd >= 0)
        close(net->fd);
    net->fd = -1;
}

static int open_unix(struct coat_net *net, int64_t deadline_ms, struct coat_error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(net->address->path);
    if (len >= sizeof a.sun_path)
        return coat_error_set(err, COAT_ECONFIG,
                              "the path of the unix socket has %zu bytes, and the system allows "
                              "%zu; choose a shorter one",
                              len, sizeof a.sun_path - 1);
    memcpy(a.sun_path, net->address->path, len + 1);
    if (net->fd < 0 && new_socket(net, AF_UNIX, err) < 0)
        return COAT_EUNAVAILABLE;
    while (connect(net->fd, (const struct sockaddr *)&a, sizeof a) < 0) {
        if (errno == EINTR)
            return interrupted(err);
        if (errno == EISCONN)
            break;
        if (errno != EAGAIN)
            return failed(net, errno, err);
        /* The backlog is full. No event tells when it no longer is. */
        int64_t left = deadline_ms - coat_monotonic_ms();
        if (left <= 0)
            return timed_out(net, err);
        if (poll(NULL, 0, left < BACKLOG_PAUSE_MS ? (int)left : BACKLOG_PAUSE_MS) < 0)
            return interrupted(err);
    }
    return 0;
}

/* Begin with one address, which gets its share of the time that is left. */
static int try_next(struct coat_net *net, int64_t deadline_ms, struct coat_error *err)
{
    const union coat_endpoint *to = &net->found.at[net->trying];
    int64_t remaining = (int64_t)(net->found.count - net->trying);
    int64_t now = coat_monotonic_ms();
    net->try_until_ms = now + (deadline_ms - now) / remaining;
    if (new_socket(net, to->any.sa_family, err) < 0)
        return COAT_EUNAVAILABLE;
    socklen_t len = to->any.sa_family == AF_INET6 ? sizeof to->v6 : sizeof to->v4;
    if (connect(net->fd, &to->any, len) < 0 && errno != EINPROGRESS && errno != EINTR)
        return failed(net, errno, err);
    return 0;
}

/*
 * A connection to a port of this machine on which nobody listens can meet itself, when the system
 * happens to choose that port for our end. It would answer us with our own commands.
 */
static int met_itself(int fd)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_len = sizeof own, peer_len = sizeof peer;
    return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && own_len == peer_len &&
           memcmp(&own, &peer, own_len) == 0;
}

static int finish_try(struct coat_net *net, struct coat_error *err)
{
    int number = 0;
    socklen_t len = sizeof number;
    if (getsockopt(net->fd, SOL_SOCKET, SO_ERROR, &number, &len) < 0)
        number = errno;
    if (number == 0 && met_itself(net->fd))
        number = ECONNREFUSED;
    if (number != 0)
        return failed(net, number, err);
    /* Comforts: a socket that refuses them still works. */
    int on = 1, idle_s = 60, between_s = 15, probes = 4;
    setsockopt(net->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(net->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(net->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(net->fd, IPPROTO_TCP, TCP_KEEPINTVL, &between_s, sizeof between_s);
    setsockopt(net->fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    return 0;
}

static void forget_found(struct coat_net *net)
{
    net->found.count = net->trying = 0;
}

static int open_tcp(struct coat_net *net, int64_t deadline_ms, struct coat_error *err)
{
    int rc = 0;
    if (net->found.count == 0)
        rc = coat_resolve(&net->lookup, net->address, deadline_ms, &net->found, err);
    while (rc == 0) {
        if (net->fd < 0)
            rc = try_next(net, deadline_ms, err);
        if (rc == 0)
            rc = wait_for(net, POLLOUT, net->try_until_ms, err);
        if (rc == 0)
            rc = finish_try(net, err);
        if (rc == 0 || rc == COAT_EINTR)
            break;
        drop_socket(net);
        if (++net->trying < net->found.count)
            rc = 0;
    }
    if (rc != COAT_EINTR)
        forget_found(net);
    return rc;
}

/* ---- Steps: 0, a failure, or the event of poll() that a step waits for ---------------------- */

static int shake_hands(struct coat_net *net, const struct coat_tls_options *tls,
                       struct coat_error *err)
{
    char name[160];
    int rc = 0;
    if (!net->tls)
        rc = coat_tls_new(&net->tls, tls, net->address->host,
                          coat_net_name(net->address, name, sizeof name), net->fd, err);
    return rc < 0 ? rc : coat_tls_handshake(net->tls, err);
}

static int write_plain(struct coat_net *net, const void *bytes, size_t len, size_t *done,
                       struct coat_error *err)
{
    while (*done < len) {
        ssize_t n = send(net->fd, (const char *)bytes + *done, len - *done, MSG_NOSIGNAL);
        if (n >= 0)
            *done += (size_t)n;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return POLLOUT;
        else
            return errno == EINTR ? interrupted(err) : failed(net, errno, err);
    }
    return 0;
}

/* No reply of Redis begins so: the alert with which TLS answers what it does not understand. */
#define TLS_ALERT 0x15

static int read_plain(struct coat_net *net, void *bytes, size_t size, size_t *got,
                      struct coat_error *err)
{
    ssize_t n = recv(net->fd, bytes, size, 0);
    if (n == 0)
        return failed(net, EPIPE, err);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return POLLIN;
    if (n < 0)
        return errno == EINTR ? interrupted(err) : failed(net, errno, err);
    if (!net->heard && *(const unsigned char *)bytes == TLS_ALERT)
        return wants_tls(net, "protocol", err);
    net->heard = 1;
    *got = (size_t)n;
    return 0;
}

/* What a step returned, in *rc: where it waits for an event, so do we, and then it is repeated. */
static int must_repeat(const struct coat_net *net, int *rc, int64_t deadline_ms,
                       struct coat_error *err)
{
    if (*rc <= 0)
        return 0;
    *rc = wait_for(net, (short)*rc, deadline_ms, err);
    return *rc == 0;
}

/* ---- The interface -------------------------------------------------------------------------- */

void coat_net_init(struct coat_net *net)
{
    *net = (struct coat_net){.fd = -1};
}

int coat_net_open(struct coat_net *net, const struct coat_address *address,
                  const struct coat_tls_options *tls, int64_t deadline_ms, struct coat_error *err)
{
    int rc = 0;
    net->address = address;
    if (net->stage == COAT_NET_CLOSED) {
        rc = address->scheme == COAT_SCHEME_TCP ? open_tcp(net, deadline_ms, err)
                                                : open_unix(net, deadline_ms, err);
        if (rc < 0)
            return rc;
        net->stage = tls && tls->on ? COAT_NET_SHAKING_HANDS : COAT_NET_OPEN;
    }
    if (net->stage == COAT_NET_OPEN)
        return 0;
    do
        rc = shake_hands(net, tls, err);
    while (must_repeat(net, &rc, deadline_ms, err));
    if (rc == 0)
        net->stage = COAT_NET_OPEN;
    return rc;
}

int coat_net_write(struct coat_net *net, const void *bytes, size_t len, size_t *done,
                   int64_t deadline_ms, struct coat_error *err)
{
    int rc;
    do
        rc = net->tls ? coat_tls_write(net->tls, bytes, len, done, err)
                      : write_plain(net, bytes, len, done, err);
    while (must_repeat(net, &rc, deadline_ms, err));
    return rc;
}

int coat_net_read(struct coat_net *net, void *bytes, size_t size, size_t *got, int64_t deadline_ms,
                  struct coat_error *err)
{
    int rc;
    do
        rc = net->tls ? coat_tls_read(net->tls, bytes, size, got, err)
                      : read_plain(net, bytes, size, got, err);
    while (must_repeat(net, &rc, deadline_ms, err));
    return rc;
}

int coat_net_in_time(const struct coat_net *net, int64_t deadline_ms, struct coat_error *err)
{
    return coat_monotonic_ms() < deadline_ms ? 0 : timed_out(net, err);
}

void coat_net_be_brief(struct coat_net *net, int64_t until_us)
{
    net->brief_until_us = until_us;
}

int coat_net_quiet(const struct coat_net *net)
{
    struct pollfd p = {.fd = net->fd, .events = POLLIN | POLLRDHUP};
    if (net->stage != COAT_NET_OPEN)
        return 0;
    int silent = poll(&p, 1, 0) == 0;
    return net->tls ? coat_tls_quiet(net->tls, silent) : silent;
}

void coat_net_close(struct coat_net *net)
{
    coat_tls_free(net->tls);
    net->tls = NULL;
    drop_socket(net);
    forget_found(net);
    coat_lookup_leave(net->lookup);
    net->stage = COAT_NET_CLOSED;
    net->heard = 0;
}

void coat_net_release(struct coat_net *net)
{
    coat_lookup_drop(net->lookup);
    net->lookup = NULL;
    coat_net_close(net);
}
