#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "api/utf8.h"
#include "bench/table.h"
#include "cli/output.h"
#include "coat_version.h"

/* ---- JSON ----------------------------------------------------------------------------------- */

/* The name of a file may be no UTF-8. */
static void put_text(FILE *to, const char *text)
{
    int is_utf8 = coat_utf8_valid(text, strlen(text)) == strlen(text);
    fputc('"', to);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == '"' || *c == '\\' || *c == 0x7f)
            fprintf(to, "\\u%04x", *c);
        else
            fputc(*c >= 0x80 && !is_utf8 ? '?' : *c, to);
    fputc('"', to);
}

static void put_number(FILE *to, double value)
{
    if (isfinite(value))
        fprintf(to, "%.9g", value);
    else
        fputs("null", to);
}

struct object {
    FILE *to;
    int members;
};

static void put_setting(void *context, const char *name, const char *value)
{
    struct object *object = context;
    if (object->members++)
        fputs(", ", object->to);
    put_text(object->to, name);
    fputs(": ", object->to);
    put_text(object->to, value);
}

static void put_spread(FILE *to, const struct spread *spread)
{
    fputs("{\"low\": ", to);
    put_number(to, spread->low);
    fputs(", \"median\": ", to);
    put_number(to, spread->median);
    fputs(", \"high\": ", to);
    put_number(to, spread->high);
}

static void put_measures(const struct result *result, int side, size_t r, FILE *to)
{
    const struct row *row = &result->sides[side].rows[r];
    for (int m = 0; m < MEASURES; m++) {
        struct spread spread = result_spread(result, side, r, (enum measure)m);
        if (!spread.known)
            continue;
        fprintf(to, ", \"%s\": ", measure_name((enum measure)m));
        put_spread(to, &spread);
        for (unsigned i = 0; i < result->rounds; i++) {
            fputs(i ? ", " : ", \"rounds\": [", to);
            put_number(to, row->values[m][i]);
        }
        fputs("]}", to);
    }
}

/* Times of all rounds together, as a curve. */
static void put_percentiles(const struct histogram *h, FILE *to)
{
    static const double percents[] = {0,  10, 20, 30,   40,   50,    60,    70,     80,
                                      90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100};
    fputs(", \"percentiles_us\": [", to);
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        fprintf(to, "%s[%.9g, ", i ? ", " : "", percents[i]);
        put_number(to, histogram_percentile(h, percents[i]) / 1e3);
        fputc(']', to);
    }
    fputc(']', to);
}

static void put_rows(const struct result *result, int side, FILE *to)
{
    fputs("\"rows\": [", to);
    for (size_t r = 0; r < result->row_count; r++) {
        const struct row *row = &result->sides[side].rows[r];
        fprintf(to, "%s{\"name\": \"%s\", \"count\": %" PRIu64, r ? ", " : "", row->name,
                row->times->count);
        put_measures(result, side, r, to);
        put_percentiles(row->times, to);
        fputc('}', to);
    }
    fputc(']', to);
}

static void put_failures(const struct side *side, FILE *to)
{
    char name[24];
    int count = 0;
    fputs(", \"failed\": {", to);
    for (int i = 0; i < FAILURES; i++)
        if (side->failed[i])
            fprintf(to, "%s\"%s\": %" PRIu64, count++ ? ", " : "", result_failure(i, name),
                    side->failed[i]);
    fprintf(to, "}, \"not_begun\": %" PRIu64, side->not_begun);
    if (side->conflicts >= 0)
        fprintf(to, ", \"conflicts\": %" PRId64, side->conflicts);
    if (side->lost_updates != INT64_MIN)
        fprintf(to, ", \"lost_updates\": %" PRId64, side->lost_updates);
}

static void put_points(const struct result *result, int side, FILE *to)
{
    int count = 0;
    fputs(", \"timeline\": [", to);
    for (size_t i = 0; i < result->point_count; i++) {
        const struct point *point = &result->points[i];
        if (point->side == side)
            fprintf(to, "%s[%.3f, %.3f, %" PRIu64 ", %" PRIu64 "]", count++ ? ", " : "",
                    point->from_s, point->to_s, point->done, point->failed);
    }
    fputc(']', to);
}

static void put_ratios(const struct result *result, FILE *to)
{
    int count = 0;
    fputs(", \"ratio\": {", to);
    for (int m = 0; m < MEASURES; m++) {
        struct spread ratio = result_ratio(result, result->row_count - 1, (enum measure)m);
        if (!ratio.known)
            continue;
        fprintf(to, "%s\"%s\": ", count++ ? ", " : "", measure_name((enum measure)m));
        put_spread(to, &ratio);
        fputc('}', to);
    }
    fputc('}', to);
}

void export_json(const struct result *result, FILE *to)
{
    struct object settings = {.to = to};
    fputs("{\"tool\": \"coatcheck-bench\", \"version\": \"" COAT_VERSION "\", \"settings\": {", to);
    result_settings(result, put_setting, &settings);
    fputs("}, \"sides\": [", to);
    for (size_t s = 0; s < result->side_count; s++) {
        fprintf(to, "%s{\"name\": \"%s\", ", s ? ", " : "", result->sides[s].name);
        put_rows(result, (int)s, to);
        put_failures(&result->sides[s], to);
        put_points(result, (int)s, to);
        fputc('}', to);
    }
    fputc(']', to);
    if (result->side_count == 2)
        put_ratios(result, to);
    if (result->bytes.count)
        fprintf(to,
                ", \"bytes_in_redis\": {\"low\": %.0f, \"median\": %.0f, \"high\": %.0f, "
                "\"count\": %zu}",
                result->bytes.low, result->bytes.median, result->bytes.high, result->bytes.count);
    fprintf(to, ", \"keys_left\": %" PRId64 "}\n", result->keys_left);
}

/* ---- CSV ------------------------------------------------------------------------------------ */

void export_csv(const struct result *result, FILE *to)
{
    fputs("side,operation,measure,round,value\n", to);
    for (size_t s = 0; s < result->side_count; s++)
        for (size_t r = 0; r < result->row_count; r++) {
            const struct row *row = &result->sides[s].rows[r];
            for (int m = 0; m < MEASURES; m++)
                for (unsigned i = 0; row->values[m] && i < result->rounds; i++)
                    fprintf(to, "%s,%s,%s,%u,%.9g\n", result->sides[s].name, row->name,
                            measure_name((enum measure)m), i + 1, row->values[m][i]);
        }
}
