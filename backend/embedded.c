#include "embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/error.h"
#include "clock.h"
#include "conn.h"

#define START_MS       10000 /* until a new server answers anything */
#define LOADING_MS     60000 /* until it has read its data */
#define STOP_MS        10000
#define PROBE_MS       1000
#define PAUSE_MS       10
#define DEFAULT_PREFIX "coatcheck:"

/*
 * The files of a server, all in its directory. Two of them are only locked (flock): `lock` by the
 * process that is starting or stopping the server, `alive` by the server, which was born with it
 * open, for as long as it lives. A pid would tell less: it can be another process's by now.
 */
struct place {
    char *dir;
    char *socket;
    char *log;
    char *pidfile;
    char *lock;
    char *alive;
};

static void place_release(struct place *place)
{
    free(place->dir);
    free(place->socket);
    free(place->log);
    free(place->pidfile);
    free(place->lock);
    free(place->alive);
    *place = (struct place){0};
}

/* "a" and "b" joined, the caller's; NULL: no memory. */
static char *join(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    char *joined = malloc(a_len + b_len + 1);
    if (joined) {
        memcpy(joined, a, a_len);
        memcpy(joined + a_len, b, b_len + 1);
    }
    return joined;
}

static int pause_until(int64_t deadline_ms)
{
    poll(NULL, 0, PAUSE_MS);
    return coat_monotonic_ms() < deadline_ms;
}

/* ---- The directory -------------------------------------------------------------------------- */

/* The directory that is meant where the URL names none. */
static int default_dir(char **dir, struct coat_error *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (state && *state == '/')
        *dir = join(state, "/coatcheck");
    else if (home && *home == '/')
        *dir = join(home, "/.local/state/coatcheck");
    else
        return coat_error_set(err, COAT_ECONFIG,
                              "embedded: finds no default directory, since neither XDG_STATE_HOME "
                              "nor HOME is set; name one, embedded:/dir");
    return *dir ? 0 : coat_error_nomem(err);
}

static int place_init(struct place *place, const char *dir, struct coat_error *err)
{
    *place = (struct place){0};
    int rc = dir ? 0 : default_dir(&place->dir, err);
    if (rc < 0)
        return rc;
    if (dir && !(place->dir = strdup(dir)))
        return coat_error_nomem(err);
    for (size_t n = strlen(place->dir); n > 1 && place->dir[n - 1] == '/'; n--)
        place->dir[n - 1] = '\0';
    place->socket = join(place->dir, "/redis.sock");
    place->log = join(place->dir, "/redis.log");
    place->pidfile = join(place->dir, "/redis.pid");
    place->lock = join(place->dir, "/lock");
    place->alive = join(place->dir, "/alive");
    if (!place->socket || !place->log || !place->pidfile || !place->lock || !place->alive)
        return coat_error_nomem(err);
    size_t room = sizeof((struct sockaddr_un *)0)->sun_path;
    if (strlen(place->socket) >= room)
        return coat_error_set(err, COAT_ECONFIG,
                              "the embedded: directory's path has %zu bytes, and a socket in it "
                              "allows %zu; choose a shorter one, embedded:/dir",
                              strlen(place->dir), room - 1 - strlen("/redis.sock"));
    return 0;
}

static int dir_failed(const struct place *place, const char *why, struct coat_error *err)
{
    return coat_error_set(err, COAT_ECONFIG, "the embedded: directory %s %s", place->dir, why);
}

/* Also its parents; what is there already stays as it is. */
static int make_dirs(const struct place *place, struct coat_error *err)
{
    for (char *slash = strchr(place->dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(place->dir, 0700); /* if this fails, so does the last one */
        *slash = '/';
    }
    if (mkdir(place->dir, 0700) < 0 && errno != EEXIST)
        return dir_failed(place, "cannot be made; choose one that this user may write to", err);
    return 0;
}

/* Whoever else can write there could read every session, or be our server. */
static int check_dir(const struct place *place, struct coat_error *err)
{
    struct stat st;
    int fd = open(place->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return dir_failed(place, "cannot be opened as a directory; name another one", err);
    int rc = fstat(fd, &st);
    close(fd);
    if (rc < 0 || st.st_uid != geteuid())
        return dir_failed(place, "belongs to another user; name one of your own", err);
    if (st.st_mode & 077)
        return dir_failed(place, "is open to other users; run chmod 700 on it", err);
    return 0;
}

/* 1 and *fd, which holds the lock until it is closed everywhere; 0: somebody else holds it. */
static int try_lock(const struct place *place, const char *path, int *fd, struct coat_error *err)
{
    *fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*fd < 0)
        return dir_failed(place, "is not writable; name another one", err);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return 1;
    close(*fd);
    *fd = -1;
    return 0;
}

/* The right to start or stop the server: a descriptor. */
static int take_lock(const struct place *place, int64_t deadline_ms, struct coat_error *err)
{
    int fd, rc;
    while ((rc = try_lock(place, place->lock, &fd, err)) == 0)
        if (!pause_until(deadline_ms))
            return coat_error_because(err, COAT_ETIMEOUT, "lock",
                                      "another process keeps %s locked for too long; stop it",
                                      place->lock);
    return rc < 0 ? rc : fd;
}

/* Does a server live that was started here? */
static int is_alive(const struct place *place)
{
    int fd;
    int rc = try_lock(place, place->alive, &fd, NULL);
    if (rc == 1)
        close(fd);
    return rc == 0;
}

/* ---- Talking to it -------------------------------------------------------------------------- */

struct answer {
    enum coat_reply_kind kind;
    char text[4096]; /* cut off there, NUL-terminated */
};

/* One command on a connection of its own. */
static int ask(const char *socket, const char *const *words, size_t count, int64_t deadline_ms,
               struct answer *answer, struct coat_error *err)
{
    const struct coat_connect connect = {0};
    const struct coat_peer peer = {
        .address = {.scheme = COAT_SCHEME_UNIX, .path = (char *)socket},
        .connect = &connect,
    };
    const struct coat_terms terms = {
        .deadline_ms = deadline_ms, .connect_timeout_ms = PROBE_MS, .reply_bytes_max = 1 << 20};
    struct coat_arg args[2];
    struct coat_command command = {.args = args, .count = count};
    const struct coat_reply *reply;
    size_t replies;
    struct coat_conn conn;
    int rc;

    for (size_t i = 0; i < count; i++)
        args[i] = (struct coat_arg){words[i], strlen(words[i])};
    coat_conn_init(&conn, &peer);
    do
        rc = coat_conn_open(&conn, &terms, err);
    while (rc == COAT_EINTR);
    while (rc == 0 && conn.state != COAT_CONN_READING) {
        rc = coat_conn_send(&conn, &command, 1, &terms, err);
        if (rc == COAT_EINTR)
            rc = 0;
    }
    while (rc == 0 && conn.state != COAT_CONN_READY) {
        rc = coat_conn_read(&conn, &terms, &reply, &replies, err);
        if (rc == COAT_EINTR)
            rc = 0;
    }
    if (rc == 0) {
        answer->kind = reply->kind;
        size_t len = reply->len < sizeof answer->text ? reply->len : sizeof answer->text - 1;
        if (len)
            memcpy(answer->text, reply->bytes, len);
        answer->text[len] = '\0';
    }
    coat_conn_release(&conn);
    return rc;
}

static int64_t probe_deadline(int64_t deadline_ms)
{
    int64_t soon = coat_monotonic_ms() + PROBE_MS;
    return soon < deadline_ms ? soon : deadline_ms;
}

enum state { ABSENT, SILENT, LOADING, READY };

static enum state probe(const char *socket, int64_t deadline_ms)
{
    static const char *const words[] = {"PING"};
    struct answer answer;
    struct coat_error err;
    int rc = ask(socket, words, 1, probe_deadline(deadline_ms), &answer, &err);
    if (rc < 0)
        return strcmp(err.reason, "refused") == 0 || strcmp(err.reason, "missing") == 0 ? ABSENT
                                                                                        : SILENT;
    if (answer.kind == COAT_REPLY_ERROR && strncmp(answer.text, "LOADING", 7) == 0)
        return LOADING;
    return READY;
}

/* ---- Starting ------------------------------------------------------------------------------- */

/* The path of an installed server, the caller's. */
static int find_server(char **path, struct coat_error *err)
{
    static const char *const names[] = {"/redis-server", "/valkey-server"};
    const char *dirs = getenv("PATH");
    if (!dirs)
        dirs = "/usr/local/bin:/usr/bin:/bin";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (const char *dir = dirs; *dir;) {
            size_t len = strcspn(dir, ":");
            if (*dir == '/') {
                char *start = strndup(dir, len);
                *path = start ? join(start, names[i]) : NULL;
                free(start);
                if (!*path)
                    return coat_error_nomem(err);
                if (access(*path, X_OK) == 0)
                    return 0;
                free(*path);
            }
            dir += len + (dir[len] == ':');
        }
    *path = NULL;
    return coat_error_set(err, COAT_ECONFIG,
                          "embedded: finds neither redis-server nor valkey-server in PATH; install "
                          "one (Debian and Ubuntu: apt install redis-server; Fedora: dnf install "
                          "valkey), or name a running server by redis://host");
}

/*
 * Descriptors of the program that are not close-on-exec: the server must not keep its listening
 * sockets open. Those from 4 on; 0 to 3 are replaced.
 */
static int close_inherited(posix_spawn_file_actions_t *actions)
{
    long max = sysconf(_SC_OPEN_MAX);
    int rc = 0;
    for (int fd = 4; rc == 0 && fd < (max > 0 && max < 65536 ? max : 65536); fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            rc = posix_spawn_file_actions_addclose(actions, fd);
    }
    return rc;
}

/* `alive` becomes descriptor 3 of the server, which never looks at it. An errno. */
static int spawn_actions(posix_spawn_file_actions_t *actions, const struct place *place, int alive)
{
    int rc = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(actions, 1, place->log, O_WRONLY | O_CREAT | O_APPEND,
                                              0600);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, 1, 2);
    if (rc == 0) /* also where it is 3 already: then this only makes it outlive exec */
        rc = posix_spawn_file_actions_adddup2(actions, alive, 3);
    return rc ? rc : close_inherited(actions);
}

/* A session of its own, and none of the program's signal settings. An errno. */
static int spawn_attributes(posix_spawnattr_t *attributes)
{
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    int rc = posix_spawnattr_setsigdefault(attributes, &all);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attributes, &none);
    if (rc == 0)
        rc = posix_spawnattr_setflags(
            attributes,
            (short)(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK));
    return rc;
}

/*
 * The process that is spawned ends when it has made the server, which is then a child of init: no
 * zombie stays with us. The environment is not handed on, for it may hold passwords.
 */
static int spawn(const char *program, const struct place *place, int alive)
{
    const char *argv[] = {
        program,
        "--port",
        "0",
        "--unixsocket",
        place->socket,
        "--unixsocketperm",
        "700",
        "--dir",
        place->dir,
        "--daemonize",
        "yes",
        "--pidfile",
        place->pidfile,
        "--logfile",
        place->log,
        "--appendonly",
        "yes",
        "--save",
        "",
        "--maxmemory-policy",
        "noeviction",
        NULL,
    };
    char *environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid;

    int rc = posix_spawn_file_actions_init(&actions);
    if (rc)
        return rc;
    rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        rc = spawn_actions(&actions, place, alive);
        if (rc == 0)
            rc = spawn_attributes(&attributes);
        if (rc == 0)
            rc =
                posix_spawn(&pid, program, &actions, &attributes, (char *const *)argv, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    if (rc == 0) /* fails where the program leaves children to the system, or collects all itself */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    return rc;
}

static int server_failed(const struct place *place, int code, const char *what,
                         struct coat_error *err)
{
    return coat_error_because(err, code, "embedded", "the embedded: server %s; see %s", what,
                              place->log);
}

/* 0, a failure, or 1: it has gone. */
static int wait_until_ready(const struct place *place, struct coat_error *err)
{
    int64_t start = coat_monotonic_ms();
    int64_t deadline_ms = start + START_MS;
    do {
        switch (probe(place->socket, start + LOADING_MS)) {
        case READY:
            return 0;
        case LOADING:
            deadline_ms = start + LOADING_MS;
            break;
        case ABSENT:
            if (!is_alive(place))
                return 1;
            break;
        case SILENT:
            break;
        }
    } while (pause_until(deadline_ms));
    return server_failed(place, COAT_ETIMEOUT, "did not become ready in time", err);
}

/* With the lock that makes us the only one. 0, a failure, or 1: one is alive after all. */
static int start(const struct place *place, struct coat_error *err)
{
    char *program;
    int alive;
    int rc = find_server(&program, err);
    if (rc < 0)
        return rc;
    rc = try_lock(place, place->alive, &alive, err);
    if (rc == 0) {
        rc = 1;
    } else if (rc == 1) {
        rc = spawn(program, place, alive);
        close(alive);
        if (rc != 0)
            rc = coat_error_because(err, COAT_EUNAVAILABLE, "embedded",
                                    "%s cannot be run: system error %d", program, rc);
        else
            rc = wait_until_ready(place, err);
        if (rc == 1)
            rc = server_failed(place, COAT_EUNAVAILABLE, "ended as soon as it was started", err);
    }
    free(program);
    return rc;
}

static int find_or_start(const struct place *place, struct coat_error *err)
{
    int64_t deadline_ms = coat_monotonic_ms() + START_MS + LOADING_MS;
    int lock = take_lock(place, deadline_ms, err);
    if (lock < 0)
        return lock;
    int rc;
    do { /* one that is alive may be about to end */
        rc = wait_until_ready(place, err);
        if (rc == 1)
            rc = start(place, err);
    } while (rc == 1);
    close(lock);
    return rc;
}

int coat_embedded_start(struct coat_options *o, struct coat_error *err)
{
    struct place place;
    char *prefix = NULL;

    if (o->connect.address.scheme != COAT_SCHEME_EMBEDDED)
        return 0;
    if (geteuid() == 0 && !o->allow_root)
        return coat_error_set(err, COAT_ECONFIG,
                              "embedded: does not start a server as root unless told to; run as "
                              "another user, or set the option allow_root=1");
    int rc = place_init(&place, o->connect.address.path, err);
    if (rc == 0)
        rc = make_dirs(&place, err);
    if (rc == 0)
        rc = check_dir(&place, err);
    if (rc == 0)
        rc = find_or_start(&place, err);
    if (rc == 0 && !o->prefix && !(prefix = strdup(DEFAULT_PREFIX)))
        rc = coat_error_nomem(err);
    if (rc == 0) {
        free(o->connect.address.path);
        o->connect.address.scheme = COAT_SCHEME_UNIX;
        o->connect.address.path = place.socket;
        o->embedded_dir = place.dir;
        if (prefix)
            o->prefix = prefix;
        place.socket = place.dir = NULL;
    }
    place_release(&place);
    return rc;
}

/* ---- Stopping ------------------------------------------------------------------------------- */

/* 1: it has gone. */
static int stop(const struct place *place, struct coat_error *err)
{
    static const char *const words[] = {"SHUTDOWN"};
    int64_t deadline_ms = coat_monotonic_ms() + STOP_MS;
    struct answer answer;
    struct coat_error went = {0};

    if (!is_alive(place))
        return 0;
    /* It has no answer to this but a refusal: it just goes, and that is no failure. */
    int rc = ask(place->socket, words, 1, deadline_ms, &answer, &went);
    if (rc == COAT_ENOMEM)
        return coat_error_set(err, rc, "%s", went.text);
    if (rc == 0)
        return server_failed(place, COAT_EUNAVAILABLE, "refuses to stop", err);
    while (is_alive(place))
        if (!pause_until(deadline_ms))
            return server_failed(place, COAT_ETIMEOUT, "did not stop in time", err);
    return 1;
}

int coat_embedded_stop_in(const char *dir, struct coat_error *err)
{
    struct place place;
    int rc = place_init(&place, dir, err);
    if (rc == 0 && access(place.lock, F_OK) == 0) { /* otherwise none was ever started there */
        int lock = take_lock(&place, coat_monotonic_ms() + STOP_MS, err);
        rc = lock < 0 ? lock : stop(&place, err);
        if (lock >= 0)
            close(lock);
    }
    place_release(&place);
    return rc;
}

int coat_embedded_stop(const struct coat_options *o, struct coat_error *err)
{
    if (!o->embedded_dir)
        return coat_error_set(err, COAT_EUSAGE,
                              "only the server of an embedded: store can be stopped");
    int rc = coat_embedded_stop_in(o->embedded_dir, err);
    return rc < 0 ? rc : 0;
}
