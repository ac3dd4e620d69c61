/* plan.h: what is to be run, as the command line says it. */
#ifndef COAT_BENCH_PLAN_H
#define COAT_BENCH_PLAN_H

#include <stdint.h>

#include "bench/draw.h"
#include "coat_options.h"

enum workload {
    WORK_READ,     /* load a session, look at a field */
    WORK_WRITE,    /* load one, change a field, save it */
    WORK_MIXED,    /* both, by --ratio */
    WORK_LOGIN,    /* make one, log in, log out */
    WORK_CONFLICT, /* WRITE, of all threads on one session */
    WORK_CACHE,    /* get and set entries, by --ratio */
    WORKLOADS
};

/* "login-logout" */
const char *workload_name(enum workload workload);

enum shape { SHAPE_TEXT, SHAPE_BYTES, SHAPE_NUMBERS, SHAPE_NESTED, SHAPES };

struct plan {
    enum workload work;
    struct coat_options *options; /* of the store; owned */

    /* What is stored. */
    uint64_t sessions; /* or entries of a cache */
    unsigned fields;
    enum shape shape;
    struct draw_size size;    /* of a value, in bytes */
    const char *payload_file; /* JSON in their place; NULL: none */

    /* How it is used. */
    unsigned threads;
    unsigned pipeline;      /* keys of one operation of a cache */
    unsigned reads, writes; /* --ratio */
    double zipf;            /* 0: uniform */
    uint64_t seed;

    /* For how long. */
    double duration_s; /* of each round */
    uint64_t count;    /* operations of each round, in place of that; 0: duration */
    double warm_up_s;
    unsigned rounds;
    double rate; /* operations per second that are begun; 0: as fast as they end */
    int baseline;

    /* What is said. */
    const char *json, *csv, *html; /* files, "-": standard output; NULL: not wanted */
    int own_prefix;                /* it was drawn, not given */
};

/* That all keys begin with. */
const char *plan_prefix(const struct plan *plan);

/* How long what is made has to last, so that it outlives the run, and not by much. */
int64_t plan_keep_s(const struct plan *plan);

enum { KINDS_MAX = 2 };

/* The names of the kinds of operations that the workload has: "read", "write". How many. */
int plan_kinds(const struct plan *plan, const char *names[KINDS_MAX]);

enum plan_result {
    PLAN_READY,
    PLAN_SAID, /* --help or --version: nothing is left to do */
    PLAN_WRONG /* the reason is on stderr */
};

/* Read a command line. To be released whatever comes back; the texts stay those of argv. */
enum plan_result plan_read(struct plan *plan, int argc, char **argv);
void plan_release(struct plan *plan);

#endif
