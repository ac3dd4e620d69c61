/* fake.h: a server whose every byte a test decides, in a thread of its own. */
#ifndef LIVE_FAKE_H
#define LIVE_FAKE_H

#include <pthread.h>
#include <stdatomic.h>

struct fake_server {
    int port; /* on 127.0.0.1 */
    char url[64];
    int listener;
    /* Is called with each connection, `nth` from 0; closes nothing: that is done afterwards. */
    void (*serve)(struct fake_server *f, int fd, int nth);
    void *arg;
    int ungreeted;          /* `serve` answers the greeting itself */
    atomic_int connections; /* so far */
    atomic_int stopping;
    pthread_t thread;
};

/* `serve` and `arg` must be set. */
void fake_start(struct fake_server *f);
void fake_stop(struct fake_server *f);

/* Answer the greeting of a client without credentials and database: a name twice, INFO. */
void fake_greet(int fd);

/* Read until one command of the client is complete. 0: it has closed first. */
int fake_read_command(int fd);
void fake_write(int fd, const char *bytes, size_t len);
void fake_say(int fd, const char *text);
/* Until the client closes, or the fake is stopped. */
void fake_wait_for_close(struct fake_server *f, int fd);

#endif
