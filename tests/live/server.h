/*
 * server.h: a private Redis for a test: started in a directory of its own, ended by its pid. A
 * test that cannot have one fails.
 */
#ifndef LIVE_SERVER_H
#define LIVE_SERVER_H

#include <sys/types.h>

struct live_server {
    pid_t pid;       /* 0: not running */
    int port;        /* on 127.0.0.1; 0: unix socket only */
    char dir[64];    /* its directory, under $TMPDIR or /tmp */
    char socket[80]; /* its unix socket */
    char url[96];    /* unix:..., or redis://127.0.0.1:port where it has a port */
};

/* The path of redis-server or valkey-server; fails the test where there is none. */
const char *live_server_program(void);

/*
 * Start one and wait until it answers. with_port: also on a free port of 127.0.0.1. more: further
 * arguments ("--requirepass", "secret", NULL), or NULL; a first one without -- is the path of a
 * configuration file.
 */
void live_server_start(struct live_server *s, int with_port, const char *const *more);

/* End it (SIGKILL where `hard`), keeping its directory and address. */
void live_server_kill(struct live_server *s, int hard);

/* Start it again at the same address. */
void live_server_again(struct live_server *s, const char *const *more);

/* SIGSTOP, SIGCONT. */
void live_server_freeze(const struct live_server *s);
void live_server_thaw(const struct live_server *s);

/* End it and remove its directory. Legal twice. */
void live_server_stop(struct live_server *s);

/* One for all tests of a program: setup and teardown of its group. */
extern struct live_server server;
int start_server(void **state); /* on its unix socket only */
int start_server_with_port(void **state);
int stop_server(void **state);

/* A TCP socket that listens on 127.0.0.1, on a free port. */
int live_listen(int *port);

/* The same, but it refuses; and so does the port, which nobody else can get until it is closed. */
int live_refuse(int *port);

#endif
