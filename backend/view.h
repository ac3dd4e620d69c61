/* view.h: the names of a view from inside backend. */
#ifndef COAT_BACKEND_VIEW_H
#define COAT_BACKEND_VIEW_H

#include "api/op.h"
#include "api/view.h"

struct coat_view_name {
    size_t at, len; /* the key of its generation, in the bytes of the view */
    int own;
};

/* Never changes. */
struct coat_view {
    size_t count; /* names, in the order of their bytes, each once */
    struct coat_view_name names[COAT_VIEW_NAMES_MAX];
    size_t path, path_len; /* what stands before names in it */
    size_t id, id_len;
    unsigned char bytes[];
};

/* The key of a name's generation. */
struct coat_arg coat_view_key(const struct coat_view *view, size_t nth);

/* What stands before names in it; NULL: the whole cache. */
struct coat_arg coat_view_path(const struct coat_view *view);

#endif
