#include "fake.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"

#define LOOK_MS 20

static int readable(struct fake_server *f, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (!atomic_load(&f->stopping))
        if (poll(&p, 1, LOOK_MS) > 0)
            return 1;
    return 0;
}

void fake_greet(int fd)
{
    static const char *const answers[] = {"+OK\r\n", "+OK\r\n", "+OK\r\n", "$0\r\n\r\n"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (fake_read_command(fd))
            fake_say(fd, answers[i]);
}

static void *run(void *arg)
{
    struct fake_server *f = arg;
    while (readable(f, f->listener)) {
        int fd = accept(f->listener, NULL, NULL);
        if (fd < 0)
            continue;
        int nth = atomic_fetch_add(&f->connections, 1);
        if (!f->ungreeted)
            fake_greet(fd);
        f->serve(f, fd, nth);
        close(fd);
    }
    return NULL;
}

void fake_start(struct fake_server *f)
{
    f->listener = live_listen(&f->port);
    atomic_init(&f->connections, 0);
    atomic_init(&f->stopping, 0);
    snprintf(f->url, sizeof f->url, "redis://127.0.0.1:%d", f->port);
    sigset_t all, former; /* the test's own thread is the one to be interrupted */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    if (pthread_create(&f->thread, NULL, run, f) != 0)
        abort();
    pthread_sigmask(SIG_SETMASK, &former, NULL);
}

void fake_stop(struct fake_server *f)
{
    atomic_store(&f->stopping, 1);
    pthread_join(f->thread, NULL);
    close(f->listener);
}

/* A line without its end. 0: closed. */
static int read_line(int fd, char *line, size_t size)
{
    size_t n = 0;
    while (n + 1 < size && read(fd, &line[n], 1) == 1)
        if (line[n++] == '\n') {
            line[n] = '\0';
            return 1;
        }
    return 0;
}

int fake_read_command(int fd)
{
    char line[64], byte;
    if (!read_line(fd, line, sizeof line) || line[0] != '*')
        return 0;
    for (int args = atoi(line + 1); args > 0; args--) {
        if (!read_line(fd, line, sizeof line) || line[0] != '$')
            return 0;
        for (long left = atol(line + 1) + 2; left > 0; left--)
            if (read(fd, &byte, 1) != 1)
                return 0;
    }
    return 1;
}

void fake_write(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes += n;
        len -= (size_t)n;
    }
}

void fake_say(int fd, const char *text)
{
    fake_write(fd, text, strlen(text));
}

void fake_wait_for_close(struct fake_server *f, int fd)
{
    char bytes[512];
    while (readable(f, fd) && read(fd, bytes, sizeof bytes) > 0)
        ;
}
