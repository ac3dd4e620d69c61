#include "topologies.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "resp.h"

#define PATIENCE_MS 30000

static void die(const char *what)
{
    fprintf(stderr, "live topology: %s\n", what);
    abort();
}

void live_wait(int (*look)(void *user), void *user, const char *what)
{
    int64_t end = coat_monotonic_ms() + PATIENCE_MS;
    while (!look(user)) {
        if (coat_monotonic_ms() > end)
            die(what);
        poll(NULL, 0, 10);
    }
}

/* ---- Talking to one ------------------------------------------------------------------------- */

static char told[256 << 10];

static void put_reply(const struct coat_reply *reply, size_t *len)
{
    size_t room = sizeof told - *len;
    if (reply->kind == COAT_REPLY_INTEGER)
        *len += (size_t)snprintf(told + *len, room, "%lld\n", reply->integer);
    else if (reply->kind != COAT_REPLY_ARRAY)
        *len += (size_t)snprintf(told + *len, room, "%.*s\n", (int)reply->len,
                                 reply->len ? reply->bytes : "");
    for (size_t i = 0; i < reply->count; i++)
        put_reply(&reply->items[i], len);
    if (*len >= sizeof told)
        die("a reply is too long");
}

static int connect_to(const struct live_server *s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", s->socket);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        die("cannot connect to a node");
    return fd;
}

const char *live_tell(const struct live_server *s, const char *format, ...)
{
    struct coat_resp resp;
    char line[1024], bytes[4096];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 2, format, args);
    va_end(args);
    memcpy(line + n, "\r\n", 2);
    int fd = connect_to(s);
    if (send(fd, line, (size_t)n + 2, MSG_NOSIGNAL) != n + 2)
        die("cannot send to a node");
    coat_resp_init(&resp, sizeof told);
    coat_resp_begin(&resp, 1, NULL);
    int rc = 0;
    while (rc == 0) {
        ssize_t got = read(fd, bytes, sizeof bytes);
        rc = got > 0 ? coat_resp_feed(&resp, bytes, (size_t)got, NULL) : -1;
    }
    if (rc < 0)
        die("a node does not answer");
    size_t len = 0;
    told[0] = '\0';
    put_reply(&resp.replies[0], &len);
    coat_resp_release(&resp);
    close(fd);
    return told;
}

long live_number(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = text; (at = strstr(at, name)); at += len)
        if (at[len] == ':' || at[len] == ' ' || at[len] == '\n')
            return strtol(at + len + 1, NULL, 10);
    return -1;
}

static int replica_is_in_step(void *user)
{
    return strstr(live_tell(user, "INFO replication"), "master_link_status:up") != NULL;
}

/* ---- Cluster -------------------------------------------------------------------------------- */

static const char *const cluster_options[] = {"--cluster-enabled",
                                              "yes",
                                              "--cluster-node-timeout",
                                              "1000",
                                              "--repl-diskless-sync-delay",
                                              "0",
                                              "--cluster-replica-validity-factor",
                                              "0",
                                              NULL};

static int all_have_met(void *user)
{
    struct live_cluster *c = user;
    for (int i = 0; i < LIVE_NODES; i++)
        if (live_number(live_tell(&c->nodes[i], "CLUSTER INFO"), "cluster_known_nodes") !=
                LIVE_NODES ||
            strstr(live_tell(&c->nodes[i], "CLUSTER NODES"), "handshake"))
            return 0;
    return 1;
}

static int all_is_well(void *user)
{
    struct live_cluster *c = user;
    for (int i = 0; i < LIVE_NODES; i++)
        if (!strstr(live_tell(&c->nodes[i], "CLUSTER INFO"), "cluster_state:ok"))
            return 0;
    for (int i = LIVE_MASTERS; i < LIVE_NODES; i++)
        if (!replica_is_in_step(&c->nodes[i]))
            return 0;
    for (int i = 0; i < LIVE_MASTERS; i++)
        if (live_cluster_owner(c, (unsigned)i * 5462) != i)
            return 0;
    return 1;
}

/* Some at a time: Redis 6.2 has no ADDSLOTSRANGE. */
static void add_slots(const struct live_server *node, int first, int last)
{
    enum { AT_ONCE = 128 };
    char slots[8 * AT_ONCE];
    while (first <= last) {
        int len = 0;
        for (int i = 0; i < AT_ONCE && first <= last; i++)
            len += snprintf(slots + len, sizeof slots - (size_t)len, " %d", first++);
        live_tell(node, "CLUSTER ADDSLOTS%s", slots);
    }
}

static void join(struct live_cluster *c)
{
    for (int i = 0; i < LIVE_NODES; i++) {
        live_tell(&c->nodes[i], "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
        snprintf(c->ids[i], sizeof c->ids[i], "%.40s", live_tell(&c->nodes[i], "CLUSTER MYID"));
        if (i < LIVE_MASTERS)
            add_slots(&c->nodes[i], i * 5462, i == 2 ? 16383 : i * 5462 + 5461);
        for (int j = 0; j < i; j++)
            live_tell(&c->nodes[i], "CLUSTER MEET 127.0.0.1 %d", c->nodes[j].port);
    }
    live_wait(all_have_met, c, "the nodes of the cluster do not meet");
    for (int i = LIVE_MASTERS; i < LIVE_NODES; i++)
        live_tell(&c->nodes[i], "CLUSTER REPLICATE %s", c->ids[i - LIVE_MASTERS]);
}

void live_cluster_start(struct live_cluster *c)
{
    memset(c, 0, sizeof *c);
    for (int i = 0; i < LIVE_NODES; i++)
        live_server_start(&c->nodes[i], 1, cluster_options);
    join(c);
    live_wait(all_is_well, c, "the cluster does not come up");
    snprintf(c->url, sizeof c->url, "redis+cluster://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d",
             c->nodes[0].port, c->nodes[1].port, c->nodes[2].port);
}

void live_cluster_stop(struct live_cluster *c)
{
    for (int i = 0; i < LIVE_NODES; i++)
        live_server_stop(&c->nodes[i]);
}

/* "...\n<first>\n<last>\n<host>\n<port>\n" as live_tell shows CLUSTER SLOTS. */
static int port_of_slot(const struct live_server *s, unsigned slot)
{
    char *at = strdup(live_tell(s, "CLUSTER SLOTS")), *rest = at, *line;
    long before[3] = {-1, -1, -1}; /* the last three lines, as numbers */
    int port = -1;
    while (port < 0 && (line = strsep(&rest, "\n"))) {
        if (strcmp(line, "127.0.0.1") == 0 && before[1] >= 0 && before[1] <= (long)slot &&
            before[2] >= (long)slot && rest)
            port = atoi(rest);
        before[0] = before[1];
        before[1] = before[2];
        before[2] = strspn(line, "0123456789") == strlen(line) && *line ? atol(line) : -1;
    }
    free(at);
    return port;
}

int live_cluster_owner(struct live_cluster *c, unsigned slot)
{
    int port = -1;
    for (int i = 0; i < LIVE_NODES; i++) {
        if (c->nodes[i].pid == 0)
            continue;
        int says = port_of_slot(&c->nodes[i], slot);
        if (says < 0 || (port >= 0 && says != port))
            return -1;
        port = says;
    }
    for (int i = 0; i < LIVE_NODES; i++)
        if (c->nodes[i].port == port)
            return i;
    return -1;
}

void live_cluster_move(struct live_cluster *c, unsigned slot, int from, int to)
{
    const struct live_server *a = &c->nodes[from], *b = &c->nodes[to];
    live_tell(b, "CLUSTER SETSLOT %u IMPORTING %s", slot, c->ids[from]);
    live_tell(a, "CLUSTER SETSLOT %u MIGRATING %s", slot, c->ids[to]);
    for (;;) {
        char key[256];
        snprintf(key, sizeof key, "%s", live_tell(a, "CLUSTER GETKEYSINSLOT %u 1", slot));
        key[strcspn(key, "\n")] = '\0';
        if (!*key)
            break;
        live_tell(a, "MIGRATE 127.0.0.1 %d %s 0 5000", b->port, key);
    }
    live_tell(b, "CLUSTER SETSLOT %u NODE %s", slot, c->ids[to]);
    live_tell(a, "CLUSTER SETSLOT %u NODE %s", slot, c->ids[to]);
}

/* ---- Sentinel ------------------------------------------------------------------------------- */

static void write_config(const struct live_sentinels *t, const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        die("cannot write a sentinel's configuration");
    fprintf(file,
            "sentinel monitor " LIVE_SERVICE " 127.0.0.1 %d 2\n"
            "sentinel down-after-milliseconds " LIVE_SERVICE " 600\n"
            "sentinel failover-timeout " LIVE_SERVICE " 2000\n"
            "sentinel parallel-syncs " LIVE_SERVICE " 2\n",
            t->data[0].port);
    fclose(file);
}

/* A sentinel writes what it learns into its configuration. */
static void start_sentinel(struct live_sentinels *t, int i)
{
    char dir[] = "/tmp/coatcheck-live.XXXXXX";
    if (!mkdtemp(dir))
        die("cannot make a sentinel's directory");
    snprintf(t->configs[i], sizeof t->configs[i], "%s/conf", dir);
    write_config(t, t->configs[i]);
    const char *const more[] = {t->configs[i], "--sentinel", NULL};
    live_server_start(&t->sentinels[i], 1, more);
}

static void remove_config(char *config)
{
    unlink(config);
    char *name = strrchr(config, '/');
    if (!name)
        return;
    *name = '\0';
    rmdir(config);
    *config = '\0';
}

static int all_watch(void *user)
{
    struct live_sentinels *t = user;
    for (int i = 0; i < LIVE_SENTINELS; i++) {
        const char *text = live_tell(&t->sentinels[i], "SENTINEL MASTER " LIVE_SERVICE);
        if (live_number(text, "num-slaves") != LIVE_REPLICAS ||
            live_number(text, "num-other-sentinels") != LIVE_SENTINELS - 1)
            return 0;
    }
    return 1;
}

void live_sentinels_start(struct live_sentinels *t)
{
    char port[8];
    static const char *const quick[] = {"--repl-diskless-sync-delay", "0", NULL};
    memset(t, 0, sizeof *t);
    live_server_start(&t->data[0], 1, quick);
    snprintf(port, sizeof port, "%d", t->data[0].port);
    const char *const replica[] = {
        "--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1", port, NULL};
    for (int i = 1; i <= LIVE_REPLICAS; i++)
        live_server_start(&t->data[i], 1, replica);
    for (int i = 1; i <= LIVE_REPLICAS; i++)
        live_wait(replica_is_in_step, &t->data[i], "a replica does not follow");
    size_t len = (size_t)snprintf(t->url, sizeof t->url, "redis+sentinel://");
    for (int i = 0; i < LIVE_SENTINELS; i++) {
        start_sentinel(t, i);
        len += (size_t)snprintf(t->url + len, sizeof t->url - len, "%s127.0.0.1:%d", i ? "," : "",
                                t->sentinels[i].port);
    }
    snprintf(t->url + len, sizeof t->url - len, "/" LIVE_SERVICE);
    live_wait(all_watch, t, "the sentinels do not find each other");
}

void live_sentinels_stop(struct live_sentinels *t)
{
    for (int i = 0; i < LIVE_SENTINELS; i++) {
        live_server_stop(&t->sentinels[i]);
        remove_config(t->configs[i]);
    }
    for (int i = 0; i <= LIVE_REPLICAS; i++)
        live_server_stop(&t->data[i]);
}

int live_sentinels_master(struct live_sentinels *t)
{
    int port = -1;
    for (int i = 0; i < LIVE_SENTINELS; i++) {
        const char *text =
            live_tell(&t->sentinels[i], "SENTINEL GET-MASTER-ADDR-BY-NAME " LIVE_SERVICE);
        int says = live_number(text, "127.0.0.1") > 0 ? (int)live_number(text, "127.0.0.1") : -1;
        if (i > 0 && says != port)
            return -1;
        port = says;
    }
    for (int i = 0; i <= LIVE_REPLICAS; i++)
        if (t->data[i].port == port)
            return i;
    return -1;
}
