/* progress.h: a line on a terminal that says how far a run is; nowhere else anything. */
#ifndef COAT_BENCH_PROGRESS_H
#define COAT_BENCH_PROGRESS_H

#include "bench/load.h"

/* What goes on now: "read, coatcheck, round 2 of 5". */
void progress_show(const char *what, const struct progress *last, const struct progress *now);

/* The line goes, so that something else can be said. */
void progress_clear(void);

#endif
