/* must.h: what a fuzzer finds out. */
#ifndef TESTS_MUST_H
#define TESTS_MUST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define must(truth) ((truth) ? (void)0 : must_fail(#truth, __FILE__, __LINE__))

static inline void must_fail(const char *truth, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, truth);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#endif
