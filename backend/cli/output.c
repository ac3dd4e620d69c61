#include "cli/output.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "api/utf8.h"

void output_begin(struct output *o, FILE *to, int json)
{
    *o = (struct output){.to = to, .json = json};
    if (json)
        fputc('{', to);
}

void output_end(struct output *o)
{
    if (o->json)
        fputs("}\n", o->to);
}

/* ---- Text ----------------------------------------------------------------------------------- */

/* C0, DEL and C1; what turns the direction of the text around it, so that one text looks like
 * another. */
int output_is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Quotes and backslashes are JSON's business; what a terminal obeys, or no reader takes, is ours.
 */
static void put_character(struct output *o, const unsigned char *at, size_t len, uint32_t c)
{
    if (output_is_control(c))
        fprintf(o->to, o->json || c > 0xff ? "\\u%04x" : "\\x%02x", (unsigned)c);
    else if (o->json && (c == '"' || c == '\\'))
        fprintf(o->to, "\\%c", (int)c);
    else
        fwrite(at, 1, len, o->to);
}

static void put_text(struct output *o, const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + len;
    while (at < end) {
        uint32_t c;
        const unsigned char *next = coat_utf8_read(at, end, &c);
        if (next)
            put_character(o, at, (size_t)(next - at), c);
        else
            fprintf(o->to, o->json ? "\\udc%02x" : "\\x%02x", *at);
        at = next ? next : at + 1;
    }
}

void output_escaped(FILE *to, const char *text)
{
    put_text(&(struct output){.to = to}, text, strlen(text));
}

static void put_quoted(struct output *o, const char *text, size_t len)
{
    fputc('"', o->to);
    put_text(o, text, len);
    fputc('"', o->to);
}

/* ---- Facts ---------------------------------------------------------------------------------- */

static void name_fact(struct output *o, const char *name)
{
    if (o->json)
        fprintf(o->to, "%s\"%s\": ", o->facts ? ", " : "", name);
    else
        fprintf(o->to, "%s: ", name);
    o->facts++;
}

static void end_fact(struct output *o)
{
    if (!o->json)
        fputc('\n', o->to);
}

void output_fact_text(struct output *o, const char *name, const char *text)
{
    name_fact(o, name);
    if (o->json && text)
        put_quoted(o, text, strlen(text));
    else if (o->json)
        fputs("null", o->to);
    else
        put_text(o, text ? text : "-", text ? strlen(text) : 1);
    end_fact(o);
}

void output_line(struct output *o, const char *name, const char *text)
{
    if (o->json)
        output_fact_text(o, name, text);
    else
        fprintf(o->to, "%s\n", text);
}

void output_json(struct output *o, const char *name, const void *json, size_t len)
{
    if (o->json)
        name_fact(o, name);
    fwrite(json, 1, len, o->to);
    end_fact(o);
}

void output_fact_number(struct output *o, const char *name, int64_t number)
{
    name_fact(o, name);
    fprintf(o->to, "%" PRId64, number);
    end_fact(o);
}

/* ---- Tables --------------------------------------------------------------------------------- */

void output_table(struct output *o, const char *name, const struct output_column *columns,
                  size_t count)
{
    o->columns = columns;
    o->count = count;
    o->column = o->rows = 0;
    if (o->json) {
        name_fact(o, name);
        fputc('[', o->to);
    }
}

void output_table_end(struct output *o)
{
    if (o->json)
        fputc(']', o->to);
    o->columns = NULL;
}

/* In text the names of the columns stand above the first row, if there is one. */
static void put_heading(struct output *o)
{
    if (o->facts)
        fputc('\n', o->to);
    for (size_t i = 0; i < o->count; i++) {
        int last = i + 1 == o->count;
        fprintf(o->to, "%-*s%s", last ? 0 : o->columns[i].width, o->columns[i].name,
                last ? "\n" : "  ");
    }
}

static void begin_cell(struct output *o)
{
    int first = o->column == 0;
    if (!o->json && first && o->rows == 0)
        put_heading(o);
    if (o->json)
        fprintf(o->to, "%s\"%s\": ",
                !first    ? ", "
                : o->rows ? ", {"
                          : "{",
                o->columns[o->column].name);
}

static void end_cell(struct output *o, int width)
{
    int last = o->column + 1 == o->count;
    if (o->json)
        fputs(last ? "}" : "", o->to);
    else if (last)
        fputc('\n', o->to);
    else
        fprintf(o->to, "%*s  ",
                width < o->columns[o->column].width ? o->columns[o->column].width - width : 0, "");
    o->rows += (size_t)last;
    o->column = last ? 0 : o->column + 1;
}

void output_bytes(struct output *o, const char *text, size_t len)
{
    begin_cell(o);
    if (o->json)
        put_quoted(o, text, len);
    else
        put_text(o, text, len);
    end_cell(o, len < 4096 ? (int)len : 4096);
}

void output_text(struct output *o, const char *text)
{
    if (text || !o->json) {
        output_bytes(o, text ? text : "-", text ? strlen(text) : 1);
        return;
    }
    begin_cell(o);
    fputs("null", o->to);
    end_cell(o, 0);
}

void output_number(struct output *o, int64_t number)
{
    begin_cell(o);
    end_cell(o, fprintf(o->to, "%" PRId64, number));
}

/* ---- Times ---------------------------------------------------------------------------------- */

const char *output_time(int64_t ms, char to[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts) || !strftime(to, 32, "%Y-%m-%dT%H:%M:%SZ", &parts))
        snprintf(to, 32, "%" PRId64 " ms", ms);
    return to;
}
