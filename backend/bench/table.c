#include "bench/table.h"

#include <math.h>
#include <string.h>

#include "cli/output.h"

enum { NAME_WIDTH = 18, SIDE_WIDTH = 30 };

/* Four digits or more, as many as there are before the point. */
static const char *number(double amount, char to[24])
{
    int digits = amount >= 1000 || amount == 0 ? 0 : amount >= 100 ? 1 : amount >= 10 ? 2 : 3;
    snprintf(to, 24, "%.*f", digits, amount);
    return to;
}

static void print_spread(const struct spread *spread, int width, FILE *to)
{
    char low[24], median[24], high[24], text[96] = "-";
    if (spread->known)
        snprintf(text, sizeof text, "%s (%s..%s)", number(spread->median, median),
                 number(spread->low, low), number(spread->high, high));
    fprintf(to, "%-*s", width, text);
}

static void print_row(const struct result *result, size_t r, FILE *to)
{
    for (int m = 0; m < MEASURES; m++) {
        if (!result->sides[0].rows[r].values[m])
            continue;
        fprintf(to, "  %-*s", NAME_WIDTH - 2, measure_title((enum measure)m));
        for (size_t s = 0; s < result->side_count; s++) {
            struct spread spread = result_spread(result, (int)s, r, (enum measure)m);
            print_spread(&spread, SIDE_WIDTH, to);
        }
        if (result->side_count == 2) {
            struct spread ratio = result_ratio(result, r, (enum measure)m);
            print_spread(&ratio, 0, to);
        }
        fputc('\n', to);
    }
}

static void print_heading(const struct result *result, const struct row *row, FILE *to)
{
    fprintf(to, "\n%-*s", NAME_WIDTH, row->name);
    for (size_t s = 0; s < result->side_count; s++)
        fprintf(to, "%-*s", SIDE_WIDTH, result->sides[s].name);
    fprintf(to, "%s\n", result->side_count == 2 ? "ratio" : "");
}

static void print_setting(void *context, const char *name, const char *value)
{
    FILE *to = context;
    fprintf(to, "%-*s", NAME_WIDTH + 2, name);
    output_escaped(to, value);
    fputc('\n', to);
}

/* One line for each kind of failure; of one that went well, that it did. */
static void print_failures(const struct side *side, FILE *to)
{
    char name[24];
    int failures = 0;
    fprintf(to, "%-*s", NAME_WIDTH + 2, "failed");
    for (int i = 0; i < FAILURES; i++)
        if (side->failed[i])
            fprintf(to, "%s%llu %s", failures++ ? ", " : "", (unsigned long long)side->failed[i],
                    result_failure(i, name));
    fprintf(to, "%s (%s)\n", failures ? "" : "0", side->name);
    if (side->last.code) {
        fprintf(to, "%-*s", NAME_WIDTH + 2, "the last time");
        output_escaped(to, side->last.text);
        fputc('\n', to);
    }
    if (side->not_begun)
        fprintf(to, "%-*s%llu (%s): it does not keep up with this rate\n", NAME_WIDTH + 2,
                "not begun", (unsigned long long)side->not_begun, side->name);
}

static void print_rest(const struct result *result, FILE *to)
{
    const struct side *ours = &result->sides[0];
    char low[24], median[24], high[24];
    if (result->bytes.count)
        fprintf(to, "%-*s%s (%s..%s), the median, least and most of %zu\n", NAME_WIDTH + 2,
                "bytes in Redis", number(result->bytes.median, median),
                number(result->bytes.low, low), number(result->bytes.high, high),
                result->bytes.count);
    if (ours->conflicts >= 0)
        fprintf(to, "%-*s%lld\n", NAME_WIDTH + 2, "conflicts", (long long)ours->conflicts);
    if (ours->lost_updates != INT64_MIN)
        fprintf(to, "%-*s%lld\n", NAME_WIDTH + 2, "lost updates", (long long)ours->lost_updates);
    for (size_t s = 0; s < result->side_count; s++)
        print_failures(&result->sides[s], to);
    if (result->keys_left >= 0)
        fprintf(to, "%-*s%lld\n", NAME_WIDTH + 2, "keys left", (long long)result->keys_left);
}

void table_print(const struct result *result, FILE *to)
{
    result_settings(result, print_setting, to);
    for (size_t r = 0; r < result->row_count; r++) {
        print_heading(result, &result->sides[0].rows[r], to);
        print_row(result, r, to);
    }
    fputc('\n', to);
    print_rest(result, to);
    fprintf(to, "\nEach figure is the median of %u round%s, with the quartiles.\n", result->rounds,
            result->rounds == 1 ? "" : "s");
}
