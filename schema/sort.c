#include <assert.h>
#include <string.h>

#include "sort.h"

struct heap {
    unsigned char *members;
    size_t size;
    int (*compare)(const void *context, const void *a, const void *b);
    const void *context;
};

static unsigned char *member(const struct heap *h, size_t i)
{
    return h->members + i * h->size;
}

/* Let `moved` sink from position i to where it belongs among the first `count`. */
static void sink(const struct heap *h, size_t i, size_t count, const void *moved)
{
    size_t child;

    while ((child = 2 * i + 1) < count) {
        if (child + 1 < count && h->compare(h->context, member(h, child), member(h, child + 1)) < 0)
            child++;
        if (h->compare(h->context, moved, member(h, child)) >= 0)
            break;
        memcpy(member(h, i), member(h, child), h->size);
        i = child;
    }
    memcpy(member(h, i), moved, h->size);
}

void coat_sort(void *members, size_t count, size_t size,
               int (*compare)(const void *context, const void *a, const void *b),
               const void *context)
{
    struct heap h = {members, size, compare, context};
    _Alignas(max_align_t) unsigned char moved[COAT_SORT_SIZE_MAX];

    assert(size <= sizeof moved);
    for (size_t i = count / 2; i-- > 0;) {
        memcpy(moved, member(&h, i), size);
        sink(&h, i, count, moved);
    }
    while (count-- > 1) {
        memcpy(moved, member(&h, count), size);
        memcpy(member(&h, count), member(&h, 0), size);
        sink(&h, 0, count, moved);
    }
}
