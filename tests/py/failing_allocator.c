/* Makes one of Python's own allocations fail. For test_core_memory.py. */
#include <Python.h>

static PyMemAllocatorEx real[2];
static long left = -1; /* allocations before the one that fails; -1: none does */
static int hit;

static int fails(void)
{
    if (left < 0 || left-- > 0)
        return 0;
    hit = 1;
    return 1;
}

static void *mallocs(void *ctx, size_t size)
{
    PyMemAllocatorEx *to = ctx;

    return fails() ? NULL : to->malloc(to->ctx, size);
}

static void *callocs(void *ctx, size_t count, size_t size)
{
    PyMemAllocatorEx *to = ctx;

    return fails() ? NULL : to->calloc(to->ctx, count, size);
}

static void *reallocs(void *ctx, void *from, size_t size)
{
    PyMemAllocatorEx *to = ctx;

    return fails() ? NULL : to->realloc(to->ctx, from, size);
}

static void frees(void *ctx, void *from)
{
    PyMemAllocatorEx *to = ctx;

    to->free(to->ctx, from);
}

static void install(int i, PyMemAllocatorDomain domain)
{
    PyMemAllocatorEx ours = {&real[i], mallocs, callocs, reallocs, frees};

    PyMem_GetAllocator(domain, &real[i]);
    PyMem_SetAllocator(domain, &ours);
}

void fail_at(long n)
{
    if (real[0].malloc == NULL) {
        install(0, PYMEM_DOMAIN_MEM);
        install(1, PYMEM_DOMAIN_OBJ);
    }
    hit = 0;
    left = n;
}

/* Back to normal; 1 if one failed. */
int fail_never(void)
{
    left = -1;
    return hit;
}
