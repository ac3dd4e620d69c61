#include "stats.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "coat_stats.h"
#include "redis.h"
#include "store.h"

/* Written as a label here and now: printf would follow the locale. */
struct bound {
    uint64_t value;
    const char *label;
};

static const struct measure {
    double unit; /* that Prometheus counts in */
    struct bound bounds[COAT_BOUNDS];
} measures[] = {
    /* From below a local round trip to the longest timeouts. */
    [COAT_TIMES] = {1e6,
                    {{50, "le=\"5e-05\""},
                     {100, "le=\"0.0001\""},
                     {250, "le=\"0.00025\""},
                     {500, "le=\"0.0005\""},
                     {1000, "le=\"0.001\""},
                     {2500, "le=\"0.0025\""},
                     {5000, "le=\"0.005\""},
                     {10000, "le=\"0.01\""},
                     {50000, "le=\"0.05\""},
                     {250000, "le=\"0.25\""},
                     {1000000, "le=\"1\""},
                     {5000000, "le=\"5\""}}},
    [COAT_SIZES] = {1,
                    {{128, "le=\"128\""},
                     {256, "le=\"256\""},
                     {512, "le=\"512\""},
                     {1024, "le=\"1024\""},
                     {2048, "le=\"2048\""},
                     {4096, "le=\"4096\""},
                     {8192, "le=\"8192\""},
                     {16384, "le=\"16384\""},
                     {65536, "le=\"65536\""},
                     {262144, "le=\"262144\""},
                     {1048576, "le=\"1048576\""},
                     {16777216, "le=\"16777216\""}}},
};

static const char *const op_names[COAT_OP_KINDS] = {
    [COAT_KIND_PING] = "ping",
    [COAT_KIND_LOAD] = "load",
    [COAT_KIND_SAVE] = "save",
    [COAT_KIND_DESTROY] = "destroy",
    [COAT_KIND_LIST] = "list",
    [COAT_KIND_DESTROY_ONE] = "destroy_one",
    [COAT_KIND_DESTROY_ALL] = "destroy_all",
    [COAT_KIND_LOCK] = "lock",
    [COAT_KIND_UNLOCK] = "unlock",
    [COAT_KIND_GET] = "get",
    [COAT_KIND_SET] = "set",
    [COAT_KIND_DELETE] = "delete",
    [COAT_KIND_HAS] = "has",
    [COAT_KIND_TOUCH] = "touch",
    [COAT_KIND_TTL] = "ttl",
    [COAT_KIND_POP] = "pop",
    [COAT_KIND_INCR] = "incr",
    [COAT_KIND_KEYS] = "keys",
    [COAT_KIND_CLEAR] = "clear",
    [COAT_KIND_FETCH] = "fetch",
    [COAT_KIND_FILL] = "fill",
    [COAT_KIND_SWAP] = "compare_and_set",
    [COAT_KIND_INVALIDATE] = "invalidate",
};

/* ---- Counting ------------------------------------------------------------------------------- */

static void add(_Atomic uint64_t *count, uint64_t n)
{
    atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}

static double get(const _Atomic uint64_t *count)
{
    return (double)atomic_load_explicit(count, memory_order_relaxed);
}

void coat_histogram_add(struct coat_histogram *h, enum coat_measure measure, uint64_t value)
{
    const struct bound *bounds = measures[measure].bounds;
    size_t i = 0;
    while (i < COAT_BOUNDS && value > bounds[i].value)
        i++;
    add(&h->buckets[i], 1);
    add(&h->sum, value);
}

static void ended(struct coat_stats *stats, enum coat_op_kind kind, int end, int64_t took_us)
{
    add(&stats->ops[kind].ends[end], 1);
    coat_histogram_add(&stats->ops[kind].duration, COAT_TIMES, took_us > 0 ? (uint64_t)took_us : 0);
}

void coat_stats_ended(struct coat_stats *stats, enum coat_op_kind kind, int rc, int64_t took_us)
{
    static const char may_miss[COAT_OP_KINDS] = {
        [COAT_KIND_LOAD] = 1,      [COAT_KIND_LOCK] = 1,        [COAT_KIND_DESTROY] = 1,
        [COAT_KIND_GET] = 1,       [COAT_KIND_DESTROY_ONE] = 1, [COAT_KIND_SET] = 1,
        [COAT_KIND_DELETE] = 1,    [COAT_KIND_HAS] = 1,         [COAT_KIND_TOUCH] = 1,
        [COAT_KIND_TTL] = 1,       [COAT_KIND_POP] = 1,         [COAT_KIND_INCR] = 1,
        [COAT_KIND_FETCH] = 1,     [COAT_KIND_FILL] = 1,        [COAT_KIND_SWAP] = 1,
        [COAT_KIND_INVALIDATE] = 1};
    int may_be_stale = kind == COAT_KIND_LOAD || kind == COAT_KIND_LOCK;
    int end = rc <= -COAT_ENDED_OK        ? -COAT_EUSAGE /* a caller's own function */
              : rc < 0                    ? -rc
              : rc == 0 && may_miss[kind] ? COAT_ENDED_NONE
              : rc == 2 && may_be_stale   ? COAT_ENDED_STALE
                                          : COAT_ENDED_OK;
    ended(stats, kind, end, took_us);
}

void coat_stats_abandoned(struct coat_stats *stats, enum coat_op_kind kind, int64_t took_us)
{
    ended(stats, kind, COAT_ENDED_ABANDONED, took_us);
}

void coat_stats_record(struct coat_stats *stats, enum coat_op_kind kind, size_t bytes)
{
    coat_histogram_add(&stats->ops[kind].bytes, COAT_SIZES, bytes);
}

void coat_stats_round_trip(struct coat_stats *stats)
{
    add(&stats->round_trips, 1);
}

/* ---- Showing -------------------------------------------------------------------------------- */

/* A visit under way. Each part of it returns what the visitor has returned. */
struct tour {
    coat_stats_visit *visit;
    void *context;
};

static int show(const struct tour *tour, const struct coat_metric *metric, const char *suffix,
                const char *labels, double value)
{
    struct coat_sample sample = {metric, suffix, labels, value};
    return tour->visit(tour->context, &sample);
}

/* labels may be "". */
static int show_histogram(const struct tour *tour, const struct coat_metric *metric,
                          const char *labels, const struct coat_histogram *h,
                          const struct measure *measure)
{
    char text[96];
    double count = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i <= COAT_BOUNDS; i++) {
        count += get(&h->buckets[i]);
        snprintf(text, sizeof text, "%s%s%s",
                 i < COAT_BOUNDS ? measure->bounds[i].label : "le=\"+Inf\"", labels[0] ? "," : "",
                 labels);
        rc = show(tour, metric, "_bucket", text, count);
    }
    if (rc == 0)
        rc = show(tour, metric, "_sum", labels, get(&h->sum) / measure->unit);
    return rc ? rc : show(tour, metric, "_count", labels, count);
}

/* "timeout" for -COAT_ETIMEOUT. */
static const char *end_name(int end, char *to, size_t size)
{
    static const char *const good[] = {"ok", "none", "stale", "abandoned"};
    if (end >= COAT_ENDED_OK)
        return good[end - COAT_ENDED_OK];
    snprintf(to, size, "%s", coat_code_name(-end) + strlen("COAT_E"));
    for (char *c = to; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return to;
}

static int show_operations(const struct tour *tour, const struct coat_stats *stats)
{
    static const struct coat_metric metric = {"coatcheck_operations_total",
                                              "Operations, by how they ended.", COAT_COUNTER};
    char labels[96], word[32];
    int rc = 0;
    for (int kind = 0; kind < COAT_OP_KINDS; kind++)
        for (int end = 0; rc == 0 && end < COAT_ENDS; end++) {
            double count = get(&stats->ops[kind].ends[end]);
            if (count == 0)
                continue;
            snprintf(labels, sizeof labels, "op=\"%s\",result=\"%s\"", op_names[kind],
                     end_name(end, word, sizeof word));
            rc = show(tour, &metric, "", labels, count);
        }
    return rc;
}

static double values_in(const struct coat_histogram *h)
{
    double count = 0;
    for (size_t i = 0; i <= COAT_BOUNDS; i++)
        count += get(&h->buckets[i]);
    return count;
}

static int show_by_op(const struct tour *tour, const struct coat_metric *metric,
                      const struct coat_stats *stats, enum coat_measure measure)
{
    char labels[32];
    int rc = 0;
    for (int kind = 0; rc == 0 && kind < COAT_OP_KINDS; kind++) {
        const struct coat_histogram *h =
            measure == COAT_TIMES ? &stats->ops[kind].duration : &stats->ops[kind].bytes;
        if (values_in(h) == 0)
            continue;
        snprintf(labels, sizeof labels, "op=\"%s\"", op_names[kind]);
        rc = show_histogram(tour, metric, labels, h, &measures[measure]);
    }
    return rc;
}

static int show_connections(const struct tour *tour, struct coat_redis *redis)
{
    static const struct coat_metric metric = {
        "coatcheck_connections", "Connections of the pools, by what they are doing.", COAT_GAUGE};
    struct coat_pool_use use = {0};
    coat_redis_add_use(redis, &use);
    int rc = show(tour, &metric, "", "state=\"idle\"", (double)use.idle);
    if (rc == 0)
        rc = show(tour, &metric, "", "state=\"busy\"", (double)use.busy);
    return rc ? rc : show(tour, &metric, "", "state=\"connecting\"", (double)use.connecting);
}

static int show_round_trips(const struct tour *tour, const struct coat_stats *stats)
{
    static const struct coat_metric metric = {
        "coatcheck_round_trips_total", "Pipelines of commands sent to a server.", COAT_COUNTER};
    return show(tour, &metric, "", "", get(&stats->round_trips));
}

static int show_counts(const struct tour *tour, const struct coat_store *store)
{
    static const struct coat_metric metrics[COAT_COUNTS] = {
        [COAT_COUNT_UNKNOWN_ID] = {"coatcheck_unknown_ids_total",
                                   "Well-formed ids that opened nothing.", COAT_COUNTER},
        [COAT_COUNT_MALFORMED_ID] = {"coatcheck_malformed_ids_total", "Ids that could not be ids.",
                                     COAT_COUNTER},
        [COAT_COUNT_DEAD_ID] = {"coatcheck_dead_ids_total",
                                "Replaced ids and guesses: the session exists, the id is not its.",
                                COAT_COUNTER},
        [COAT_COUNT_CORRUPT] = {"coatcheck_corrupt_total",
                                "Records under our keys that are not records.", COAT_COUNTER},
        [COAT_COUNT_CONFLICT] = {"coatcheck_conflicts_total",
                                 "Fields that two requests changed at once.", COAT_COUNTER},
        [COAT_COUNT_NO_TTL] = {"coatcheck_ttl_repaired_total",
                               "Records found without a TTL, and repaired.", COAT_COUNTER},
        [COAT_COUNT_EVICTED] = {"coatcheck_evicted_total",
                                "Sessions ended by a login beyond max_sessions.", COAT_COUNTER},
        [COAT_COUNT_LOST_EVENT] = {"coatcheck_lost_events_total",
                                   "Life-cycle events that there was no memory for.", COAT_COUNTER},
    };
    int rc = 0;
    for (int i = 0; rc == 0 && i < COAT_COUNTS; i++)
        rc = show(tour, &metrics[i], "", "", get(&store->counts[i]));
    return rc;
}

int coat_store_stats(struct coat_store *store, coat_stats_visit *visit, void *context)
{
    static const struct coat_metric durations = {"coatcheck_operation_duration_seconds",
                                                 "How long operations took, retries included.",
                                                 COAT_HISTOGRAM};
    static const struct coat_metric bytes = {
        "coatcheck_record_bytes", "Sizes of the records read and written.", COAT_HISTOGRAM};
    static const struct coat_metric waits = {
        "coatcheck_pool_wait_seconds", "How long blocking calls had to wait for a connection.",
        COAT_HISTOGRAM};
    const struct tour tour = {visit, context};
    int rc = show_operations(&tour, &store->stats);
    if (rc == 0)
        rc = show_by_op(&tour, &durations, &store->stats, COAT_TIMES);
    if (rc == 0)
        rc = show_by_op(&tour, &bytes, &store->stats, COAT_SIZES);
    if (rc == 0)
        rc = show_round_trips(&tour, &store->stats);
    if (rc == 0)
        rc = show_histogram(&tour, &waits, "", &store->redis->waits, &measures[COAT_TIMES]);
    if (rc == 0)
        rc = show_connections(&tour, store->redis);
    return rc ? rc : show_counts(&tour, store);
}
