#include "bench/result.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/error.h"
#include "options.h"

static const struct {
    const char *name, *title;
} measures[MEASURES] = {
    [OPS_PER_S] = {"ops_per_s", "operations/s"},
    [MEAN_US] = {"mean_us", "mean, us"},
    [P50_US] = {"p50_us", "p50, us"},
    [P90_US] = {"p90_us", "p90, us"},
    [P99_US] = {"p99_us", "p99, us"},
    [P999_US] = {"p99.9_us", "p99.9, us"},
    [MAX_US] = {"max_us", "max, us"},
    [CPU_US] = {"server_cpu_us", "server CPU, us"},
    [ROUND_TRIPS] = {"round_trips", "round trips"},
};

const char *measure_name(enum measure measure)
{
    return measures[measure].name;
}

const char *measure_title(enum measure measure)
{
    return measures[measure].title;
}

/* ---- Collecting ----------------------------------------------------------------------------- */

static int begin_row(struct result *result, struct row *row, const char *name, int is_last,
                     struct coat_error *err)
{
    row->name = name;
    row->times = calloc(1, sizeof *row->times);
    if (!row->times)
        return coat_error_nomem(err);
    for (int m = 0; m < MEASURES; m++) {
        if (!is_last && (m == CPU_US || m == ROUND_TRIPS))
            continue; /* of all kinds together */
        row->values[m] = calloc(result->plan->rounds, sizeof *row->values[m]);
        if (!row->values[m])
            return coat_error_nomem(err);
    }
    return 0;
}

int result_begin(struct result *result, const struct plan *plan, struct coat_error *err)
{
    const char *names[ROWS_MAX];
    *result = (struct result){.plan = plan, .side_count = plan->baseline ? 2 : 1};
    int kinds = plan_kinds(plan, names), rc = 0;
    if (kinds > 1)
        names[kinds++] = "all";
    result->row_count = (size_t)kinds;
    for (size_t s = 0; s < result->side_count; s++) {
        result->sides[s].lost_updates = INT64_MIN;
        result->sides[s].conflicts = -1;
        for (int r = 0; rc == 0 && r < kinds; r++)
            rc = begin_row(result, &result->sides[s].rows[r], names[r], r == kinds - 1, err);
    }
    return rc;
}

void result_release(struct result *result)
{
    for (int s = 0; s < SIDES_MAX; s++)
        for (int r = 0; r < ROWS_MAX; r++) {
            struct row *row = &result->sides[s].rows[r];
            for (int m = 0; m < MEASURES; m++)
                free(row->values[m]);
            free(row->times);
        }
    free(result->points);
    *result = (struct result){0};
}

static void set_row(struct row *row, unsigned round, const struct histogram *h, double took_s)
{
    static const struct {
        enum measure measure;
        double percent;
    } percentiles[] = {{P50_US, 50}, {P90_US, 90}, {P99_US, 99}, {P999_US, 99.9}};
    row->values[OPS_PER_S][round] = took_s > 0 ? (double)h->count / took_s : 0;
    row->values[MEAN_US][round] = histogram_mean(h) / 1e3;
    row->values[MAX_US][round] = (double)h->max_ns / 1e3;
    for (size_t i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++)
        row->values[percentiles[i].measure][round] =
            histogram_percentile(h, percentiles[i].percent) / 1e3;
    histogram_merge(row->times, h);
}

void result_add(struct result *result, int number, const struct outcome *outcome,
                const struct costs *costs)
{
    struct side *side = &result->sides[number];
    struct tally *tally = outcome->tally;
    unsigned round = result->rounds;
    struct row *last = &side->rows[result->row_count - 1];
    uint64_t done = tally_done(tally);
    for (size_t r = 0; result->row_count > 1 && r + 1 < result->row_count; r++)
        set_row(&side->rows[r], round, &tally->kinds[r], outcome->took_s);
    for (int k = 1; k < KINDS_MAX; k++)
        histogram_merge(&tally->kinds[0], &tally->kinds[k]);
    set_row(last, round, &tally->kinds[0], outcome->took_s);
    last->values[CPU_US][round] = done ? costs->cpu_us / (double)done : 0;
    last->values[ROUND_TRIPS][round] = done ? (double)costs->round_trips / (double)done : 0;
    for (int i = 0; i < FAILURES; i++)
        side->failed[i] += tally->failed[i];
    if (tally->last.code)
        side->last = tally->last;
    side->done += done;
    side->not_begun += outcome->not_begun;
}

int result_add_point(struct result *result, const struct point *point, struct coat_error *err)
{
    if (result->point_count == result->point_room) {
        size_t room = result->point_room ? 2 * result->point_room : 256;
        struct point *points = realloc(result->points, room * sizeof *points);
        if (!points)
            return coat_error_nomem(err);
        result->points = points;
        result->point_room = room;
    }
    result->points[result->point_count++] = *point;
    return 0;
}

/* ---- Figures -------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the values next to it, where it falls between two. */
static double quantile(const double *sorted, unsigned count, double part)
{
    double at = part * (count - 1);
    unsigned below = (unsigned)at;
    return below + 1 < count ? sorted[below] + (at - below) * (sorted[below + 1] - sorted[below])
                             : sorted[count - 1];
}

static struct spread spread_of(double *values, unsigned count)
{
    if (count == 0)
        return (struct spread){0};
    qsort(values, count, sizeof *values, by_value);
    return (struct spread){1, quantile(values, count, 0.25), quantile(values, count, 0.5),
                           quantile(values, count, 0.75)};
}

struct spread result_spread(const struct result *result, int side, size_t row, enum measure measure)
{
    const double *values = result->sides[side].rows[row].values[measure];
    double *copy = values ? malloc(sizeof *copy * (result->rounds + 1)) : NULL;
    struct spread spread = {0};
    if (copy) {
        memcpy(copy, values, sizeof *copy * result->rounds);
        spread = spread_of(copy, result->rounds);
    }
    free(copy);
    return spread;
}

struct spread result_ratio(const struct result *result, size_t row, enum measure measure)
{
    const double *ours = result->sides[0].rows[row].values[measure];
    const double *theirs = result->sides[1].rows[row].values[measure];
    double *ratios = ours && theirs ? malloc(sizeof *ratios * (result->rounds + 1)) : NULL;
    struct spread spread = {0};
    unsigned count = 0;
    for (unsigned i = 0; ratios && i < result->rounds; i++)
        if (theirs[i] > 0)
            ratios[count++] = ours[i] / theirs[i];
    if (ratios)
        spread = spread_of(ratios, count);
    free(ratios);
    return spread;
}

const char *result_failure(int number, char to[24])
{
    if (number == 0)
        return "missing";
    snprintf(to, 24, "%s", coat_code_name(-number) + strlen("COAT_E"));
    for (char *c = to; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return to;
}

/* ---- Settings ------------------------------------------------------------------------------- */

static const char *cpu_name(char to[128])
{
    static const char FIELD[] = "model name";
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(to, 128, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, FIELD, sizeof FIELD - 1) != 0 || !colon)
            continue;
        snprintf(to, 128, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (file)
        fclose(file);
    return to;
}

static void say_machine(result_setting_fn *fn, void *context)
{
    struct utsname system = {0};
    char cpu[128], text[256];
    uname(&system);
    snprintf(text, sizeof text, "%ld x %s", sysconf(_SC_NPROCESSORS_ONLN), cpu_name(cpu));
    fn(context, "processors", text);
    snprintf(text, sizeof text, "%s %s", system.sysname, system.release);
    fn(context, "system", text);
    snprintf(text, sizeof text, "%s, built by %s", coat_version(), __VERSION__);
    fn(context, "coatcheck", text);
}

static void say_payload(const struct plan *plan, result_setting_fn *fn, void *context)
{
    static const char *const shapes[SHAPES] = {"text", "bytes", "numbers", "nested"};
    char text[160];
    const struct draw_size *size = &plan->size;
    if (plan->payload_file) {
        fn(context, "payload", plan->payload_file);
        return;
    }
    if (size->kind == SIZE_FIXED)
        snprintf(text, sizeof text, "%u x %s of %llu bytes", plan->fields, shapes[plan->shape],
                 (unsigned long long)size->low);
    else
        snprintf(text, sizeof text, "%u x %s of %llu to %llu bytes%s", plan->fields,
                 shapes[plan->shape], (unsigned long long)size->low, (unsigned long long)size->high,
                 size->kind == SIZE_LOGNORMAL ? ", lognormal" : "");
    fn(context, "fields", text);
}

static void say_number(result_setting_fn *fn, void *context, const char *name, double number)
{
    char text[32];
    snprintf(text, sizeof text, "%.15g", number);
    fn(context, name, text);
}

void result_settings(const struct result *result, result_setting_fn *fn, void *context)
{
    const struct plan *plan = result->plan;
    char text[96];
    fn(context, "workload", workload_name(plan->work));
    fn(context, "server", result->server);
    say_number(fn, context, plan->work == WORK_CACHE ? "entries" : "sessions",
               (double)plan->sessions);
    say_payload(plan, fn, context);
    say_number(fn, context, "threads", plan->threads);
    say_number(fn, context, "connections", plan->options->connect.max_connections);
    if (plan->work == WORK_CACHE)
        say_number(fn, context, "keys in an operation", plan->pipeline);
    if (plan->work == WORK_CACHE || plan->work == WORK_MIXED) {
        snprintf(text, sizeof text, "%u:%u", plan->reads, plan->writes);
        fn(context, "reads to writes", text);
    }
    snprintf(text, sizeof text, plan->zipf > 0 ? "by Zipf's law, exponent %g" : "each as likely",
             plan->zipf);
    fn(context, "which", text);
    say_number(fn, context, "seed", (double)plan->seed);
    if (plan->count)
        snprintf(text, sizeof text, "%u of %llu operations", result->rounds,
                 (unsigned long long)plan->count);
    else
        snprintf(text, sizeof text, "%u of %g s", result->rounds, plan->duration_s);
    fn(context, "rounds", text);
    if (plan->rate > 0)
        snprintf(text, sizeof text, "open, %g operations begin each second", plan->rate);
    fn(context, "loop", plan->rate > 0 ? text : "closed");
    say_machine(fn, context);
}
