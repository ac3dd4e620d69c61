/*
 * fault.h: fail the 1st, the 2nd, the 3rd ... allocation until the code under test succeeds.
 *
 *     static int scenario(void)       returns 0, or COAT_ENOMEM where an allocation failed;
 *     {                               releases everything in either case
 *         ...
 *     }
 *     each_allocation_fails(scenario);
 *
 * Counts every malloc, calloc and realloc in our own objects; those that shared libraries make
 * within themselves are not seen. The programs in this folder are linked with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc. To be included by one file of a program.
 */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coat_error.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

/* Allocations until the one that fails; 0: none does. */
static size_t fault_countdown;
static size_t fault_count; /* that failed */
static size_t fault_bytes; /* that were asked for in all */

static int fault_is_due(size_t size)
{
    fault_bytes += size;
    if (fault_countdown == 0 || --fault_countdown > 0)
        return 0;
    fault_count++;
    return 1;
}

void *__wrap_malloc(size_t size)
{
    return fault_is_due(size) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fault_is_due(count * size) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fault_is_due(size) ? NULL : __real_realloc(memory, size);
}

/* The nth allocation from here on fails; 0: none. */
static inline void fault_arm(size_t nth)
{
    fault_countdown = nth;
    fault_count = fault_bytes = 0;
}

/*
 * A failed allocation is reported, unless the code can do without it, in which case the scenario
 * succeeds; without one, it succeeds. Returns how many allocations it makes.
 */
static inline size_t each_allocation_fails(int (*scenario)(void))
{
    for (size_t nth = 1;; nth++) {
        int rc;

        fault_arm(nth);
        rc = scenario();
        fault_countdown = 0;
        if (fault_count == 0) {
            assert_int_equal(rc, 0);
            return nth - 1;
        }
        if (rc != 0)
            assert_int_equal(rc, COAT_ENOMEM);
    }
}

#endif
