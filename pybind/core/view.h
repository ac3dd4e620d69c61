/* view.h: _core.BaseView, a part of a cache whose entries end together (api/view.h). */
#ifndef COAT_CORE_VIEW_H
#define COAT_CORE_VIEW_H

#include "cache.h"
#include "api/view.h"

struct core_view {
    PyObject_HEAD struct core_state *state; /* at the place of a cache's */
    struct core_cache *cache;               /* NULL: broken up by the garbage collector */
    struct coat_view *view;
};

/* Make the type. 0, or -1 with an exception. */
int core_view_init(PyObject *module, struct core_state *state);

/*
 * The cache that is meant by a cache or a view of one, which is *view, else NULL. Both are
 * borrowed. NULL with an exception: it is neither.
 */
struct core_cache *core_view_cache(struct core_state *state, PyObject *object,
                                   struct core_view **view);

/* NULL: the whole cache. */
static inline const struct coat_view *core_view_names(const struct core_view *view)
{
    return view != NULL ? view->view : NULL;
}

#endif
