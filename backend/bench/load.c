#include "bench/load.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "api/error.h"
#include "clock.h"

/* ---- Tallies -------------------------------------------------------------------------------- */

uint64_t tally_done(const struct tally *tally)
{
    uint64_t done = 0;
    for (int i = 0; i < KINDS_MAX; i++)
        done += tally->kinds[i].count;
    return done;
}

uint64_t tally_failed(const struct tally *tally)
{
    uint64_t failed = 0;
    for (int i = 0; i < FAILURES; i++)
        failed += tally->failed[i];
    return failed;
}

void tally_merge(struct tally *to, const struct tally *from)
{
    for (int i = 0; i < KINDS_MAX; i++)
        histogram_merge(&to->kinds[i], &from->kinds[i]);
    for (int i = 0; i < FAILURES; i++)
        to->failed[i] += from->failed[i];
    if (from->last.code)
        to->last = from->last;
}

/* ---- Threads -------------------------------------------------------------------------------- */

struct load {
    const struct plan *plan;
    const struct round *round;
    struct draw_rank rank;
    uint64_t count; /* of operations; UINT64_MAX: until end_ns */
    int64_t begin_ns, end_ns;
    pthread_mutex_t gate; /* held until all threads are there, and begin_ns is set */
    atomic_ullong begun, done, failed;
    atomic_uint running;
    atomic_int stop;
};

struct worker {
    struct load *load;
    unsigned number;
    pthread_t thread;
    struct tally *tally;
    uint64_t *which;
    struct draw draw;
    int64_t ended_ns;
};

static void sleep_until(int64_t ns)
{
    struct timespec until = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
}

static int is_over(const struct load *load)
{
    return atomic_load_explicit(&load->stop, memory_order_relaxed) ||
           (load->round->stop && atomic_load_explicit(load->round->stop, memory_order_relaxed));
}

/* When the nth operation of an open loop is meant to begin. In pieces, so that an end is seen. */
static int64_t wait_for_turn(const struct load *load, uint64_t n)
{
    enum { PIECE_NS = 100000000 };
    int64_t turn = load->begin_ns + (int64_t)((double)n * 1e9 / load->round->rate);
    for (int64_t now = coat_monotonic_ns(); now < turn && !is_over(load); now = coat_monotonic_ns())
        sleep_until(turn - now < PIECE_NS ? turn : now + PIECE_NS);
    return turn;
}

/* The number of the next operation, and when its time begins; 0: there is none. */
static int next_turn(struct load *load, uint64_t *n, int64_t *from_ns)
{
    if (is_over(load) || coat_monotonic_ns() >= load->end_ns)
        return 0;
    *n = atomic_fetch_add_explicit(&load->begun, 1, memory_order_relaxed);
    if (*n >= load->count)
        return 0;
    *from_ns = load->round->rate > 0 ? wait_for_turn(load, *n) : 0;
    return !is_over(load);
}

static void choose(struct worker *worker, struct choice *choice)
{
    const struct plan *plan = worker->load->plan;
    unsigned of_both = plan->reads + plan->writes;
    const char *names[KINDS_MAX];
    for (unsigned i = 0; i < plan->pipeline; i++)
        worker->which[i] = draw_rank(&worker->load->rank, &worker->draw);
    *choice =
        (struct choice){.thread = worker->number, .which = worker->which, .draw = &worker->draw};
    if (plan_kinds(plan, names) == 2)
        choice->kind = draw_below(&worker->draw, of_both) >= plan->reads;
}

static void note_failure(struct worker *worker, int rc, const struct coat_error *err)
{
    enum { PAUSE_NS = 1000000 };
    struct tally *tally = worker->tally;
    unsigned code = rc < 0 ? (unsigned)-rc : 0;
    tally->failed[code < FAILURES ? code : FAILURES - 1]++;
    if (rc < 0)
        tally->last = *err;
    atomic_fetch_add_explicit(&worker->load->failed, 1, memory_order_relaxed);
    sleep_until(coat_monotonic_ns() +
                PAUSE_NS); /* what fails at once would fail a million times a second */
}

static void do_one(struct worker *worker, uint64_t n, int64_t from_ns)
{
    struct load *load = worker->load;
    struct contender *contender = load->round->contender;
    struct coat_error err;
    struct choice choice = {0};
    if (!load->round->prepares)
        choose(worker, &choice);
    if (from_ns == 0)
        from_ns = coat_monotonic_ns();
    int rc = load->round->prepares ? contender->prepare(contender, n, &err)
                                   : contender->operate(contender, &choice, &err);
    if (rc != 0) {
        note_failure(worker, rc, &err);
        return;
    }
    histogram_add(&worker->tally->kinds[choice.kind], coat_monotonic_ns() - from_ns);
    atomic_fetch_add_explicit(&load->done, 1, memory_order_relaxed);
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct load *load = worker->load;
    uint64_t n;
    int64_t from_ns;
    prctl(PR_SET_TIMERSLACK, 1); /* a turn begins when it is meant to, not 50 us later */
    pthread_mutex_lock(&load->gate);
    pthread_mutex_unlock(&load->gate);
    while (next_turn(load, &n, &from_ns))
        do_one(worker, n, from_ns);
    worker->ended_ns = coat_monotonic_ns();
    atomic_fetch_sub(&load->running, 1);
    return NULL;
}

/* ---- A round -------------------------------------------------------------------------------- */

/* The last success that was seen: how many there had been, and failures, and when that was. */
struct success {
    uint64_t done, failed;
    int64_t at_ns;
};

/* There is no point in going on where for so long nothing has succeeded that was tried. */
static int has_given_up(struct load *load, struct success *last)
{
    enum { TRIES = 3 };
    struct success now = {atomic_load(&load->done), atomic_load(&load->failed),
                          coat_monotonic_ns()};
    if (now.done != last->done || last->at_ns == 0)
        *last = now;
    if (now.at_ns - last->at_ns < GIVE_UP_S * INT64_C(1000000000) ||
        now.failed - last->failed < TRIES)
        return 0;
    atomic_store(&load->stop, 1);
    return 1;
}

static void tell(const struct load *load)
{
    struct progress progress = {.at_s = (double)(coat_monotonic_ns() - load->begin_ns) / 1e9,
                                .done = atomic_load(&load->done),
                                .failed = atomic_load(&load->failed)};
    if (load->round->progress)
        load->round->progress(load->round->context, &progress);
}

/* Until the last thread has ended. In short steps, since an interruption ends the wait. */
static void watch(struct load *load, struct outcome *out)
{
    enum { STEP_NS = 20000000 };
    int64_t tick_ns = (int64_t)(load->round->tick_s * 1e9), next_ns = load->begin_ns + tick_ns;
    struct success last = {0};
    while (atomic_load(&load->running) > 0) {
        sleep_until(coat_monotonic_ns() + STEP_NS);
        out->gave_up |= has_given_up(load, &last);
        if (coat_monotonic_ns() < next_ns)
            continue;
        tell(load);
        next_ns += tick_ns;
    }
    tell(load);
}

static void set_bounds(struct load *load)
{
    const struct round *round = load->round;
    double duration_s = round->duration_s;
    load->count = round->count ? round->count : UINT64_MAX;
    load->begin_ns = coat_monotonic_ns();
    if (round->rate > 0) {
        if (!round->count)
            load->count = (uint64_t)(round->rate * round->duration_s) + 1;
        /* A backlog may take as long again, and some seconds. */
        duration_s = 2 * (double)load->count / round->rate + GIVE_UP_S;
    } else if (round->count) {
        duration_s = 1e9;
    }
    load->end_ns = load->begin_ns + (int64_t)(duration_s * 1e9);
}

static int start(struct worker *worker, struct coat_error *err)
{
    const struct plan *plan = worker->load->plan;
    worker->tally = calloc(1, sizeof *worker->tally);
    worker->which = calloc(plan->pipeline, sizeof *worker->which);
    if (!worker->tally || !worker->which)
        return coat_error_nomem(err);
    draw_seed(&worker->draw, worker->load->round->seed, worker->number);
    atomic_fetch_add(&worker->load->running, 1);
    int why = pthread_create(&worker->thread, NULL, work, worker);
    if (why == 0)
        return 0;
    atomic_fetch_sub(&worker->load->running, 1);
    return coat_error_set(err, COAT_EUNAVAILABLE, "thread %u cannot be started: %s",
                          worker->number + 1, strerror(why));
}

/* All of them begin at once. Those that could be started are joined, whatever happens. */
static int run_workers(struct load *load, struct worker *workers, struct outcome *out,
                       struct coat_error *err)
{
    unsigned started = 0;
    int64_t ended_ns = 0;
    int rc = 0;
    pthread_mutex_lock(&load->gate);
    for (; rc == 0 && started < load->plan->threads; started++) {
        workers[started] = (struct worker){.load = load, .number = started};
        rc = start(&workers[started], err);
    }
    if (rc < 0)
        atomic_store(&load->stop, 1);
    set_bounds(load);
    pthread_mutex_unlock(&load->gate);
    if (rc == 0)
        watch(load, out);
    for (unsigned i = 0; i < started; i++) {
        if (rc == 0 || i + 1 < started)
            pthread_join(workers[i].thread, NULL);
        if (rc == 0)
            tally_merge(out->tally, workers[i].tally);
        if (workers[i].ended_ns > ended_ns)
            ended_ns = workers[i].ended_ns;
        free(workers[i].tally);
        free(workers[i].which);
    }
    out->took_s = (double)(ended_ns - load->begin_ns) / 1e9;
    return rc;
}

static void count_left(const struct load *load, struct outcome *out)
{
    uint64_t begun = atomic_load(&load->done) + atomic_load(&load->failed);
    if (load->round->rate > 0 && load->count > begun && !is_over(load))
        out->not_begun = load->count - begun;
}

int load_run(const struct plan *plan, const struct round *round, struct outcome *out,
             struct coat_error *err)
{
    struct load load = {.plan = plan, .round = round};
    struct worker *workers = calloc(plan->threads, sizeof *workers);
    *out = (struct outcome){.tally = calloc(1, sizeof *out->tally)};
    int rc = workers && out->tally ? 0 : coat_error_nomem(err);
    draw_rank_set(&load.rank, plan->sessions, plan->zipf);
    pthread_mutex_init(&load.gate, NULL);
    if (rc == 0)
        rc = run_workers(&load, workers, out, err);
    count_left(&load, out);
    pthread_mutex_destroy(&load.gate);
    free(workers);
    if (rc < 0)
        outcome_release(out);
    return rc;
}

void outcome_release(struct outcome *outcome)
{
    free(outcome->tally);
    outcome->tally = NULL;
}
