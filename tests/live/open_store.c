#include "live/open_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coat_options.h"

struct coat_store *live_open_store(const char *url, ...)
{
    struct coat_options *o;
    struct coat_store *store;
    const char *name;
    va_list more;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    assert_int_equal(coat_options_set(o, "url", url, NULL), 0);
    assert_int_equal(coat_options_set(o, "prefix", "shop:", NULL), 0);
    assert_int_equal(coat_options_set(o, "timeout", "20", NULL), 0);
    va_start(more, url);
    while ((name = va_arg(more, const char *)))
        assert_int_equal(coat_options_set(o, name, va_arg(more, const char *), NULL), 0);
    va_end(more);
    assert_int_equal(coat_store_open(&store, o, NULL), 0);
    coat_options_free(o);
    return store;
}
