#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 10000
#define ARGS_MAX 64

static void die(const char *what)
{
    fprintf(stderr, "live server: %s\n", what);
    abort();
}

const char *live_server_program(void)
{
    static char path[512];
    static const char *const names[] = {"redis-server", "valkey-server"};
    const char *dirs = getenv("PATH");
    for (int i = 0; i < 2; i++)
        for (const char *dir = dirs ? dirs : "/usr/bin"; *dir;) {
            size_t len = strcspn(dir, ":");
            snprintf(path, sizeof path, "%.*s/%s", (int)len, dir, names[i]);
            if (access(path, X_OK) == 0)
                return path;
            dir += len + (dir[len] == ':');
        }
    die("neither redis-server nor valkey-server is in PATH");
    return NULL;
}

int live_refuse(int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        die("cannot have a port of 127.0.0.1");
    *port = ntohs(a.sin_port);
    return fd;
}

int live_listen(int *port)
{
    int fd = live_refuse(port);
    if (listen(fd, 16) < 0)
        die("cannot listen on 127.0.0.1");
    return fd;
}

static int is_free(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int free = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return free;
}

/* The nodes of a cluster talk at a port that is higher by 10000. */
static int free_port(void)
{
    int port;
    do
        close(live_listen(&port));
    while (port >= 55536 || !is_free(port + 10000));
    return port;
}

/* 1 if a PING on the unix socket has any answer but LOADING. */
static int answers(const struct live_server *s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char reply[16] = "";
    snprintf(a.sun_path, sizeof a.sun_path, "%s", s->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int ok = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
             send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && read(fd, reply, sizeof reply - 1) > 0 &&
             strncmp(reply, "-LOADING", 8) != 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static void run(const struct live_server *s, const char *const *more)
{
    char port[8];
    const char *argv[ARGS_MAX] = {live_server_program()};
    const char *const options[] = {
        "--port",    port,  "--bind", "127.0.0.1", "--unixsocket", s->socket, "--dir", s->dir,
        "--logfile", "log", "--save", "",          "--appendonly", "no",
    };
    int argc = 1;
    if (more && *more && **more != '-')
        argv[argc++] = *more++;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        argv[argc++] = options[i];
    snprintf(port, sizeof port, "%d", s->port);
    for (; more && *more && argc < ARGS_MAX - 1; more++)
        argv[argc++] = *more;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no server behind */
    signal(SIGPIPE, SIG_DFL);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

void live_server_again(struct live_server *s, const char *const *more)
{
    unlink(s->socket);
    s->pid = fork();
    if (s->pid < 0)
        die("cannot fork");
    if (s->pid == 0)
        run(s, more);
    for (int ms = 0; ms < START_MS; ms += 5) {
        if (answers(s))
            return;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
            die("it ended at once");
        poll(NULL, 0, 5);
    }
    die("it does not answer");
}

void live_server_start(struct live_server *s, int with_port, const char *const *more)
{
    const char *tmp = getenv("TMPDIR");
    *s = (struct live_server){0};
    snprintf(s->dir, sizeof s->dir, "%s/coatcheck-live.XXXXXX",
             tmp && strlen(tmp) < 30 ? tmp : "/tmp");
    if (!mkdtemp(s->dir))
        die("cannot make its directory");
    snprintf(s->socket, sizeof s->socket, "%s/sock", s->dir);
    s->port = with_port ? free_port() : 0;
    if (with_port)
        snprintf(s->url, sizeof s->url, "redis://127.0.0.1:%d", s->port);
    else
        snprintf(s->url, sizeof s->url, "unix:%s", s->socket);
    live_server_again(s, more);
}

void live_server_kill(struct live_server *s, int hard)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, hard ? SIGKILL : SIGTERM);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    s->pid = 0;
}

void live_server_freeze(const struct live_server *s)
{
    kill(s->pid, SIGSTOP);
    waitpid(s->pid, NULL, WUNTRACED);
}

void live_server_thaw(const struct live_server *s)
{
    kill(s->pid, SIGCONT);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void live_server_stop(struct live_server *s)
{
    live_server_kill(s, 1);
    if (s->dir[0])
        nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    s->dir[0] = '\0';
}

struct live_server server;

int start_server(void **state)
{
    (void)state;
    live_server_start(&server, 0, NULL);
    return 0;
}

int start_server_with_port(void **state)
{
    (void)state;
    live_server_start(&server, 1, NULL);
    return 0;
}

int stop_server(void **state)
{
    (void)state;
    live_server_stop(&server);
    return 0;
}
