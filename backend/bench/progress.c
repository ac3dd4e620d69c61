#include "bench/progress.h"

#include <stdio.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

void progress_show(const char *what, const struct progress *last, const struct progress *now)
{
    double s = now->at_s - last->at_s;
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, CLEAR_LINE "%s: %.1f s, %.0f operations/s", what, now->at_s,
            s > 0 ? (double)(now->done - last->done) / s : 0);
    if (now->failed)
        fprintf(stderr, ", %llu failed", (unsigned long long)now->failed);
    fflush(stderr);
}

void progress_clear(void)
{
    if (!isatty(STDERR_FILENO))
        return;
    fputs(CLEAR_LINE, stderr);
    fflush(stderr);
}
