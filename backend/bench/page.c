#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/table.h"

static const char HEAD[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'\">\n"
    "<style>\n"
    ":root { color-scheme: light dark; --text: #1d2430; --soft: #5b6677; --line: #d9dee6;\n"
    "  --paper: #fff; --side0: #0b66c3; --side1: #c05a00; }\n"
    "@media (prefers-color-scheme: dark) { :root { --text: #e6eaf0; --soft: #9aa6b8;\n"
    "  --line: #343c49; --paper: #14181f; --side0: #62b0ff; --side1: #ffa14d; } }\n"
    "body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem; background: var(--paper);\n"
    "  color: var(--text); font: 15px/1.5 system-ui, sans-serif; }\n"
    "h1 { font-size: 1.5rem; margin: 0 0 .5rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }\n"
    "p { max-width: 46rem } .scroll { overflow-x: auto }\n"
    "table { border-collapse: collapse; font-variant-numeric: tabular-nums }\n"
    "th, td { text-align: left; padding: .25rem 1.2rem .25rem 0; vertical-align: top;\n"
    "  border-bottom: 1px solid var(--line) } td small { color: var(--soft); white-space: nowrap }\n"
    "th { font-weight: 600 } svg { width: 100%; min-width: 40rem; height: auto; display: block }\n"
    "svg text { font: 12px system-ui, sans-serif; fill: var(--soft) }\n"
    ".grid { stroke: var(--line); stroke-width: 1 }\n"
    ".side0 { stroke: var(--side0) } .side1 { stroke: var(--side1) }\n"
    ".curve { fill: none; stroke-width: 2 } .bar { stroke: none; fill-opacity: .55 }\n"
    ".bar.side0 { fill: var(--side0) } .bar.side1 { fill: var(--side1) }\n"
    ".key { display: inline-block; width: .8rem; height: .8rem; margin: 0 .4rem 0 0;\n"
    "  vertical-align: -.05rem } .key0 { background: var(--side0) }\n"
    ".key1 { background: var(--side1); margin-left: 1.2rem }\n"
    "</style>\n";

/* ---- Text ----------------------------------------------------------------------------------- */

static void put_text(FILE *to, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        const char *entity = c == '&'   ? "&amp;"
                             : c == '<' ? "&lt;"
                             : c == '>' ? "&gt;"
                             : c == '"' ? "&quot;"
                                        : NULL;
        if (entity)
            fputs(entity, to);
        else
            fputc(c < 0x20 || c == 0x7f ? '?' : c, to);
    }
}

/* As many digits as tell something. */
static const char *number(double amount, char to[24])
{
    snprintf(to, 24, amount >= 1000 || amount == 0 ? "%.0f" : "%.3g", amount);
    return to;
}

/* ---- A plot --------------------------------------------------------------------------------- */

enum { WIDTH = 900, HEIGHT = 300, LEFT = 64, RIGHT = 34, TOP = 14, BOTTOM = 40 };

/* Axes, and where a value is on them. */
struct axis {
    double low, high;
    int is_log;
};
struct plot {
    FILE *to;
    struct axis x, y;
};

static double part_of(const struct axis *axis, double value)
{
    if (axis->is_log)
        return (log10(value) - log10(axis->low)) / (log10(axis->high) - log10(axis->low));
    return (value - axis->low) / (axis->high - axis->low);
}

static double at_x(const struct plot *plot, double x)
{
    return LEFT + part_of(&plot->x, x) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct plot *plot, double y)
{
    double part = part_of(&plot->y, y);
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM);
}

static void begin_plot(const struct plot *plot, const char *title, const char *what)
{
    fprintf(
        plot->to,
        "<h2>%s</h2>\n<div class=\"scroll\"><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n",
        title, WIDTH, HEIGHT, title);
    fprintf(plot->to, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", WIDTH - RIGHT,
            HEIGHT - 4, what);
}

static void end_plot(const struct plot *plot)
{
    fputs("</svg></div>\n", plot->to);
}

static void mark_y(const struct plot *plot, double y)
{
    char text[24];
    fprintf(plot->to,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            LEFT, WIDTH - RIGHT, at_y(plot, y), at_y(plot, y), LEFT - 8, at_y(plot, y) + 4,
            number(y, text));
}

static void mark_x(const struct plot *plot, double x, const char *text)
{
    fprintf(plot->to,
            "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>"
            "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
            at_x(plot, x), at_x(plot, x), TOP, HEIGHT - BOTTOM, at_x(plot, x), HEIGHT - BOTTOM + 16,
            text);
}

/* A round step that gives some marks. */
static double step_of(double range)
{
    double step = pow(10, floor(log10(range)));
    return range / step >= 5 ? step : range / step >= 2 ? step / 2 : step / 5;
}

static void mark_axis(const struct plot *plot, const struct axis *axis, int is_x)
{
    char text[24];
    double step = axis->is_log ? 0 : step_of(axis->high - axis->low);
    double value = axis->is_log ? pow(10, ceil(log10(axis->low) - 1e-9)) : axis->low;
    for (; value <= axis->high * 1.0001; value = axis->is_log ? value * 10 : value + step)
        if (is_x)
            mark_x(plot, value, number(value, text));
        else
            mark_y(plot, value);
    for (int k = 2; axis->is_log && axis->high / axis->low < 200 && k <= 5; k += 3)
        for (value = pow(10, floor(log10(axis->low))) * k; value <= axis->high; value *= 10)
            if (value >= axis->low && is_x)
                mark_x(plot, value, number(value, text));
            else if (value >= axis->low)
                mark_y(plot, value);
}

/* ---- The plots ------------------------------------------------------------------------------ */

static const struct histogram *times_of(const struct result *result, size_t side)
{
    return result->sides[side].rows[result->row_count - 1].times;
}

/* Of all sides, in microseconds, with some room; 0: nothing was measured. */
static int bounds_of_times(const struct result *result, double from, double to, struct axis *axis)
{
    *axis = (struct axis){INFINITY, 0, 1};
    for (size_t s = 0; s < result->side_count; s++) {
        const struct histogram *h = times_of(result, s);
        axis->low = fmin(axis->low, histogram_percentile(h, from) / 1e3);
        axis->high = fmax(axis->high, histogram_percentile(h, to) / 1e3);
    }
    axis->low = fmax(axis->low / 1.2, 0.001);
    axis->high *= 1.2;
    return axis->high > axis->low && isfinite(axis->high);
}

/* What is rare has as much room as what is frequent: each nine as wide as the one before. */
static double nines_of(double percent)
{
    return -log10(1 - percent / 100);
}

static void plot_percentiles(const struct result *result, FILE *to)
{
    static const struct {
        double percent;
        const char *name;
    } marks[] = {{0, "0"},        {50, "p50"},       {90, "p90"},        {99, "p99"},
                 {99.9, "p99.9"}, {99.99, "p99.99"}, {99.999, "p99.999"}};
    struct plot plot = {.to = to, .x = {0, 5, 0}};
    if (!bounds_of_times(result, 0, 100, &plot.y))
        return;
    begin_plot(&plot, "How long operations take, in microseconds", "percentile");
    mark_axis(&plot, &plot.y, 0);
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        mark_x(&plot, nines_of(marks[i].percent), marks[i].name);
    for (size_t s = 0; s < result->side_count; s++) {
        const struct histogram *h = times_of(result, s);
        double most = h->count > 1 ? fmin(log10((double)h->count), 5) : 0;
        fprintf(to, "<polyline class=\"curve side%zu\" points=\"", s);
        for (double nines = 0; nines <= most; nines += 0.02)
            fprintf(to, "%.1f,%.1f ", at_x(&plot, nines),
                    at_y(&plot, histogram_percentile(h, 100 * (1 - pow(10, -nines))) / 1e3));
        fputs("\"/>\n", to);
    }
    end_plot(&plot);
}

static double rate_of(const struct point *point)
{
    double s = point->to_s - point->from_s;
    return s > 0 ? (double)point->done / s : 0;
}

/* Each piece of time is a step; between the rounds of one side there is nothing of it. */
static void plot_timeline(const struct result *result, FILE *to)
{
    struct plot plot = {.to = to};
    for (size_t i = 0; i < result->point_count; i++) {
        plot.x.high = fmax(plot.x.high, result->points[i].to_s);
        plot.y.high = fmax(plot.y.high, rate_of(&result->points[i]) * 1.1);
    }
    if (plot.x.high <= 0 || plot.y.high <= 0)
        return;
    begin_plot(&plot, "Operations in a second, over time", "seconds");
    mark_axis(&plot, &plot.y, 0);
    mark_axis(&plot, &plot.x, 1);
    for (size_t i = 0; i < result->point_count; i++) {
        const struct point *point = &result->points[i];
        if (point->to_s - point->from_s < 0.02)
            continue; /* what was left at the end of a round, too short to tell a rate */
        fprintf(to,
                "<line class=\"curve side%d\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                point->side, at_x(&plot, point->from_s), at_x(&plot, point->to_s),
                at_y(&plot, rate_of(point)), at_y(&plot, rate_of(point)));
    }
    end_plot(&plot);
}

enum { BARS = 60 };

static void count_bars(const struct histogram *h, const struct axis *x, double bars[BARS])
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (h->buckets[i] == 0)
            continue;
        double us = ((double)histogram_from(i) + (double)histogram_from(i + 1)) / 2e3;
        int bar = (int)(part_of(x, us) * BARS);
        if (bar >= 0 && bar < BARS)
            bars[bar] += 100 * (double)h->buckets[i] / (double)h->count;
    }
}

static void plot_histogram(const struct result *result, FILE *to)
{
    struct plot plot = {.to = to};
    double bars[SIDES_MAX][BARS] = {{0}};
    if (!bounds_of_times(result, 0.1, 99.8, &plot.x))
        return;
    for (size_t s = 0; s < result->side_count; s++) {
        count_bars(times_of(result, s), &plot.x, bars[s]);
        for (int i = 0; i < BARS; i++)
            plot.y.high = fmax(plot.y.high, bars[s][i] * 1.1);
    }
    if (plot.y.high <= 0)
        return;
    begin_plot(&plot, "How many operations take how long, in percent", "microseconds");
    mark_axis(&plot, &plot.y, 0);
    mark_axis(&plot, &plot.x, 1);
    for (size_t s = 0; s < result->side_count; s++)
        for (int i = 0; i < BARS; i++) {
            double width = (double)(WIDTH - LEFT - RIGHT) / BARS, top = at_y(&plot, bars[s][i]);
            if (bars[s][i] > 0)
                fprintf(to,
                        "<rect class=\"bar side%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                        "height=\"%.1f\"/>\n",
                        s, LEFT + i * width, top, width - 1, HEIGHT - BOTTOM - top);
        }
    end_plot(&plot);
}

/* ---- Tables --------------------------------------------------------------------------------- */

static void put_spread(FILE *to, const struct spread *spread)
{
    char low[24], median[24], high[24];
    if (!spread->known)
        fputs("<td></td>", to);
    else
        fprintf(to, "<td>%s <small>%s to %s</small></td>", number(spread->median, median),
                number(spread->low, low), number(spread->high, high));
}

static void put_figures(const struct result *result, size_t r, FILE *to)
{
    fprintf(to, "<h2>%s</h2>\n<div class=\"scroll\"><table><tr><th></th>",
            result->sides[0].rows[r].name);
    for (size_t s = 0; s < result->side_count; s++)
        fprintf(to, "<th><span class=\"key key%zu\" style=\"margin-left:0\"></span>%s</th>", s,
                result->sides[s].name);
    fputs(result->side_count == 2 ? "<th>ratio</th></tr>\n" : "</tr>\n", to);
    for (int m = 0; m < MEASURES; m++) {
        if (!result->sides[0].rows[r].values[m])
            continue;
        fprintf(to, "<tr><th>%s</th>", measure_title((enum measure)m));
        for (size_t s = 0; s < result->side_count; s++) {
            struct spread spread = result_spread(result, (int)s, r, (enum measure)m);
            put_spread(to, &spread);
        }
        struct spread ratio = result_ratio(result, r, (enum measure)m);
        if (result->side_count == 2)
            put_spread(to, &ratio);
        fputs("</tr>\n", to);
    }
    fputs("</table></div>\n", to);
}

static void put_setting(void *context, const char *name, const char *value)
{
    FILE *to = context;
    fputs("<tr><th>", to);
    put_text(to, name);
    fputs("</th><td>", to);
    put_text(to, value);
    fputs("</td></tr>\n", to);
}

static void put_count(FILE *to, const char *name, const char *side, long long count)
{
    fprintf(to, "<tr><th>%s</th><td>%lld%s%s</td></tr>\n", name, count, *side ? ", " : "", side);
}

static void put_rest(const struct result *result, FILE *to)
{
    const struct side *ours = &result->sides[0];
    char name[24];
    fputs("<h2>What else was seen</h2>\n<div class=\"scroll\"><table>\n", to);
    if (result->bytes.count)
        fprintf(
            to,
            "<tr><th>bytes in Redis</th><td>%.0f <small>%.0f to %.0f, of %zu</small></td></tr>\n",
            result->bytes.median, result->bytes.low, result->bytes.high, result->bytes.count);
    if (ours->conflicts >= 0)
        put_count(to, "conflicts", "", ours->conflicts);
    if (ours->lost_updates != INT64_MIN)
        put_count(to, "lost updates", "", ours->lost_updates);
    for (size_t s = 0; s < result->side_count; s++) {
        const struct side *side = &result->sides[s];
        put_count(to, "done", side->name, (long long)side->done);
        for (int i = 0; i < FAILURES; i++)
            if (side->failed[i]) {
                char text[48];
                snprintf(text, sizeof text, "failed: %s", result_failure(i, name));
                put_count(to, text, side->name, (long long)side->failed[i]);
            }
        if (side->not_begun)
            put_count(to, "not begun", side->name, (long long)side->not_begun);
    }
    fputs("</table></div>\n", to);
}

void page_print(const struct result *result, FILE *to)
{
    const char *work = workload_name(result->plan->work);
    fputs(HEAD, to);
    fprintf(to, "<title>coatcheck-bench %s</title></head><body>\n<h1>coatcheck-bench %s</h1>\n<p>",
            work, work);
    put_text(to, result->server);
    fprintf(to, "<br>Each figure is the median of %u round%s, with the quartiles.</p>\n<p>",
            result->rounds, result->rounds == 1 ? "" : "s");
    for (size_t s = 0; s < result->side_count; s++)
        fprintf(to, "<span class=\"key key%zu\"></span>%s ", s, result->sides[s].name);
    fputs("</p>\n", to);
    for (size_t r = result->row_count; r-- > 0;)
        put_figures(result, r, to);
    plot_percentiles(result, to);
    plot_timeline(result, to);
    plot_histogram(result, to);
    put_rest(result, to);
    fputs("<h2>What was run</h2>\n<div class=\"scroll\"><table>\n", to);
    result_settings(result, put_setting, to);
    fputs("</table></div>\n</body></html>\n", to);
}
