/* sort.h: sorting without allocating, and without an input that makes it slow. */
#ifndef COAT_SORT_H
#define COAT_SORT_H

#include <stddef.h>

/* Heapsort of `count` members of `size` bytes (at most COAT_SORT_SIZE_MAX). */
enum { COAT_SORT_SIZE_MAX = 16 };
void coat_sort(void *members, size_t count, size_t size,
               int (*compare)(const void *context, const void *a, const void *b),
               const void *context);

#endif
