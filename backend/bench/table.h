/* table.h: what a run has found, in the ways that were asked for. */
#ifndef COAT_BENCH_TABLE_H
#define COAT_BENCH_TABLE_H

#include <stdio.h>

#include "bench/result.h"

/* For people, 100 characters wide. */
void table_print(const struct result *result, FILE *to);

/* One object; one line for each figure of each round; one page, that needs nothing else. */
void export_json(const struct result *result, FILE *to);
void export_csv(const struct result *result, FILE *to);
void page_print(const struct result *result, FILE *to);

#endif
