/*
 * coat_stats.h: what a store has done and has now, as figures for monitoring. Names, labels, units
 * and the way that a histogram is written are those of Prometheus, so an exporter has nothing to
 * change. No label holds a key, an id or anything else of a session.
 *
 *     coatcheck_operations_total{op,result}             counter
 *     coatcheck_operation_duration_seconds{op}          histogram: retries and waits included
 *     coatcheck_record_bytes{op}                        histogram: records read, records written
 *     coatcheck_round_trips_total                       counter: pipelines of commands sent, those
 *                                                       to find a node included
 *     coatcheck_pool_wait_seconds                       histogram: until a call has a connection
 *     coatcheck_connections{state}                      gauge: "idle", "busy", "connecting"
 *     coatcheck_<event>_total                           counter: enum coat_count of coat_store.h
 *
 * `result` is "ok"; "none" (there is no such session), "stale" (its id was replaced); "abandoned"
 * (the caller was interrupted or cancelled); or the failure, as in "timeout" for COAT_ETIMEOUT.
 * The first four count from when the store was opened; a series with labels appears with its first
 * event. Waits and connections are those of the pools that this store shares with the others of
 * its interpreter and server; connections of event loops are not among them.
 */
#ifndef COAT_STATS_H
#define COAT_STATS_H

#include "coat_error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coat_store;

enum coat_metric_kind { COAT_COUNTER, COAT_GAUGE, COAT_HISTOGRAM };

struct coat_metric {
    const char *name; /* "coatcheck_operations_total" */
    const char *help; /* one sentence */
    enum coat_metric_kind kind;
};

struct coat_sample {
    const struct coat_metric *metric;
    const char *suffix; /* of a histogram: "_bucket", "_sum", "_count"; otherwise "" */
    const char *labels; /* in the order of their names, `op="load",result="ok"`; may be "" */
    double value;
};

/* A sample, valid during the call. 0: go on; anything else ends the visit. */
typedef int coat_stats_visit(void *context, const struct coat_sample *sample);

/*
 * Every figure, those of one metric together, each histogram with rising bounds. What visit has
 * returned, or 0. Other threads count on meanwhile.
 */
COAT_API int coat_store_stats(struct coat_store *store, coat_stats_visit *visit, void *context);

#ifdef __cplusplus
}
#endif

#endif
