#include "bench/run.h"

#include <stdio.h>
#include <string.h>

#include "api/error.h"
#include "bench/progress.h"
#include "clock.h"

struct run {
    struct result *result;
    const struct plan *plan;
    const atomic_int *stop;
    struct server *server;
    struct payload *payload;
    struct contender *sides[SIDES_MAX];
    double began_s;   /* the first round, of the clock */
    uint64_t updates; /* that succeeded on the one session of WORK_CONFLICT, by our side */
    /* What is shown. */
    const char *doing;
    int side, counts; /* whose round it is, and whether it is one that counts */
    struct progress last;
    struct coat_error *err;
    int rc;
};

static int is_over(const struct run *run)
{
    return atomic_load(run->stop);
}

static double now_s(void)
{
    return (double)coat_monotonic_ns() / 1e9;
}

/* ---- Rounds --------------------------------------------------------------------------------- */

static void progressed(void *context, const struct progress *now)
{
    struct run *run = context;
    struct point point = {.side = run->side,
                          .to_s = now_s() - run->began_s,
                          .done = now->done - run->last.done,
                          .failed = now->failed - run->last.failed};
    progress_show(run->doing, &run->last, now);
    point.from_s = point.to_s - (now->at_s - run->last.at_s);
    if (run->counts && run->rc == 0)
        run->rc = result_add_point(run->result, &point, run->err);
    run->last = *now;
}

/* A timeline needs no more points than a page has room for. */
static double tick_of(const struct plan *plan)
{
    enum { POINTS = 2000 };
    double all = plan->duration_s * plan->rounds * (plan->baseline ? 2 : 1);
    return all / POINTS > 0.25 ? all / POINTS : 0.25;
}

/* What has failed all the time, or for too long, ends the run. */
static int check_outcome(const struct run *run, const struct outcome *outcome,
                         struct coat_error *err)
{
    const struct tally *tally = outcome->tally;
    if (!outcome->gave_up && (tally_done(tally) || !tally_failed(tally)))
        return 0;
    if (!tally->last.code)
        return coat_error_set(err, COAT_EUNAVAILABLE,
                              "what was stored is gone: has the server room for all of it, and "
                              "does nobody else delete it?");
    return coat_error_set(err, tally->last.code, "%s: %s",
                          outcome->gave_up ? "for seconds nothing has succeeded" : run->doing,
                          tally->last.text);
}

static int do_round(struct run *run, struct round *round, struct outcome *outcome,
                    struct coat_error *err)
{
    run->last = (struct progress){0};
    run->err = err;
    run->rc = 0;
    round->contender = run->sides[run->side];
    round->stop = run->stop;
    round->tick_s = tick_of(run->plan);
    round->progress = progressed;
    round->context = run;
    int rc = load_run(run->plan, round, outcome, err);
    progress_clear();
    if (rc == 0 && run->side == 0 && run->plan->work == WORK_CONFLICT && !round->prepares)
        run->updates += tally_done(outcome->tally);
    if (rc == 0)
        rc = run->rc < 0 ? run->rc : check_outcome(run, outcome, err);
    return rc;
}

/* By one side after the other: the baseline copies what ours has stored. */
static int prepare(struct run *run, struct coat_error *err)
{
    struct outcome outcome = {0};
    int rc = 0;
    run->counts = 0;
    run->doing = "storing what is used";
    for (size_t s = 0; rc == 0 && s < run->result->side_count && !is_over(run); s++) {
        struct round round = {.prepares = 1, .count = run->sides[s]->count};
        run->side = (int)s;
        rc = do_round(run, &round, &outcome, err);
        if (rc == 0 && tally_failed(outcome.tally))
            rc = coat_error_set(err, outcome.tally->last.code, "what is used cannot be stored: %s",
                                outcome.tally->last.text);
        outcome_release(&outcome);
    }
    return rc;
}

static int warm_up(struct run *run, struct coat_error *err)
{
    struct outcome outcome = {0};
    int rc = 0;
    run->counts = 0;
    if (run->plan->warm_up_s == 0)
        return 0;
    for (size_t s = 0; rc == 0 && s < run->result->side_count && !is_over(run); s++) {
        struct round round = {
            .duration_s = run->plan->warm_up_s, .rate = run->plan->rate, .seed = run->plan->seed};
        run->side = (int)s;
        run->doing = "warming up";
        rc = do_round(run, &round, &outcome, err);
        outcome_release(&outcome);
    }
    return rc;
}

static int measured(struct run *run, unsigned number, struct coat_error *err)
{
    const struct plan *plan = run->plan;
    struct contender *side = run->sides[run->side];
    struct outcome outcome = {0};
    struct round round = {.count = plan->count,
                          .duration_s = plan->duration_s,
                          .rate = plan->rate,
                          .seed = plan->seed + number + 1};
    uint64_t trips = side->round_trips(side);
    double before_us, after_us;
    char doing[96];
    snprintf(doing, sizeof doing, "%s, %s, round %u of %u", workload_name(plan->work), side->name,
             number + 1, plan->rounds);
    run->doing = doing;
    int rc = server_cpu_us(run->server, &before_us, err);
    if (rc == 0)
        rc = do_round(run, &round, &outcome, err);
    if (rc == 0)
        rc = server_cpu_us(run->server, &after_us, err);
    if (rc == 0 && !is_over(run)) {
        struct costs costs = {after_us - before_us, side->round_trips(side) - trips};
        result_add(run->result, run->side, &outcome, &costs);
    }
    outcome_release(&outcome);
    return rc;
}

/* Ours and the baseline in turn, and in the next round the other way about. */
static int all_rounds(struct run *run, struct coat_error *err)
{
    size_t sides = run->result->side_count;
    int rc = 0;
    run->counts = 1;
    run->began_s = now_s();
    for (unsigned i = 0; rc == 0 && i < run->plan->rounds && !is_over(run); i++) {
        for (size_t s = 0; rc == 0 && s < sides && !is_over(run); s++) {
            run->side = (int)(i % 2 ? sides - 1 - s : s);
            rc = measured(run, i, err);
        }
        if (rc == 0 && !is_over(run))
            run->result->rounds++;
    }
    return rc;
}

/* ---- Around them ---------------------------------------------------------------------------- */

static int open_sides(struct run *run, struct coat_error *err)
{
    int rc = run->plan->work == WORK_CACHE
                 ? contender_of_entries(&run->sides[0], run->plan, run->payload, err)
                 : contender_of_sessions(&run->sides[0], run->plan, run->payload, err);
    if (rc == 0 && run->plan->baseline && !server_peer(run->server))
        return coat_error_set(err, COAT_EUSAGE,
                              "--baseline is for one server: plain GET and SET "
                              "do not find their way in a cluster");
    if (rc == 0 && run->plan->baseline)
        rc = contender_of_commands(&run->sides[1], run->sides[0], server_peer(run->server), err);
    for (size_t s = 0; rc == 0 && s < run->result->side_count; s++)
        run->result->sides[s].name = run->sides[s]->name;
    return rc;
}

static int open_all(struct run *run, struct coat_error *err)
{
    int rc = payload_open(&run->payload, run->plan, err);
    if (rc == 0)
        rc = server_open(&run->server, run->plan, err);
    if (rc == 0)
        snprintf(run->result->server, sizeof run->result->server, "%s", server_name(run->server));
    if (rc == 0)
        rc = open_sides(run, err);
    return rc < 0 ? rc : server_claim(run->server, err);
}

static int look_back(struct run *run, struct coat_error *err)
{
    struct contender *ours = run->sides[0];
    struct side *side = &run->result->sides[0];
    int rc = 0;
    if (ours->conflicts)
        side->conflicts = (int64_t)ours->conflicts(ours);
    if (run->plan->work == WORK_CONFLICT)
        rc = contender_lost_updates(ours, run->updates, &side->lost_updates, err);
    return rc < 0 ? rc : 0;
}

/* Whatever has happened, nothing of ours is to stay. */
static int clean_up(struct run *run, int rc, struct coat_error *err)
{
    struct coat_error why;
    int swept = run->server ? server_sweep(run->server, &run->result->keys_left, &why) : 0;
    if (swept < 0 && rc == 0) {
        *err = why;
        rc = swept;
    }
    for (int s = 0; s < SIDES_MAX; s++)
        if (run->sides[s])
            run->sides[s]->close(run->sides[s]);
    server_close(run->server);
    payload_close(run->payload);
    return rc;
}

int run_plan(struct result *result, const struct plan *plan, const atomic_int *stop,
             struct coat_error *err)
{
    struct run run = {.result = result, .plan = plan, .stop = stop};
    int rc = result_begin(result, plan, err);
    if (rc == 0)
        rc = open_all(&run, err);
    if (rc == 0)
        rc = prepare(&run, err);
    if (rc == 0)
        rc = server_bytes(run.server, plan->work == WORK_CACHE ? 'c' : 's', &result->bytes, err);
    if (rc == 0)
        rc = warm_up(&run, err);
    if (rc == 0)
        rc = all_rounds(&run, err);
    if (rc == 0)
        rc = look_back(&run, err);
    return clean_up(&run, rc, err);
}
