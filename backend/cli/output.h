/*
 * output.h: what a command says, as text for people or as one JSON object (--json): facts, and
 * tables whose rows have the same columns.
 *
 *     output_fact_text(o, "server", "localhost:6379");
 *     output_table(o, "sessions", columns, 2);
 *     output_text(o, "k5Jq..."); output_number(o, 12);       a row is full: the next begins
 *     output_table_end(o);
 *
 * Text from outside (of a server, of a session) may hold anything: what a terminal would obey, or
 * turn around, is escaped in both forms.
 */
#ifndef COAT_CLI_OUTPUT_H
#define COAT_CLI_OUTPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct output_column {
    const char *name;
    int width; /* in text; longer values push the rest aside */
};

struct output {
    FILE *to;
    int json;
    int facts; /* so many were said at the top */
    const struct output_column *columns;
    size_t count, column; /* of the present table */
    size_t rows;
};

void output_begin(struct output *o, FILE *to, int json);
void output_end(struct output *o); /* whether it could be written, `to` knows */

/* Is that a character which a terminal would obey, or which turns text around? */
int output_is_control(uint32_t c);

/* A text alone, as in a message. */
void output_escaped(FILE *to, const char *text);

void output_fact_text(struct output *o, const char *name, const char *text);
/* The same where in text the name would be in the way of copying the line. */
void output_line(struct output *o, const char *name, const char *text);
/* What is JSON already; in text it stands alone on its line. */
void output_json(struct output *o, const char *name, const void *json, size_t len);
void output_fact_number(struct output *o, const char *name, int64_t number);

/* columns: borrowed until the end of the table. */
void output_table(struct output *o, const char *name, const struct output_column *columns,
                  size_t count);
void output_table_end(struct output *o);

/* The next cell of the row. text NULL: there is none. */
void output_text(struct output *o, const char *text);
void output_bytes(struct output *o, const char *text, size_t len);
void output_number(struct output *o, int64_t number);

/* "2026-11-23T05:12:00Z", from milliseconds since 1970. Returns `to`. */
const char *output_time(int64_t ms, char to[32]);

#endif
