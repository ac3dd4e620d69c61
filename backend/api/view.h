/*
 * view.h: a part of a cache whose entries end together: a namespace, or what has tags. Not
 * installed.
 *
 * Each name has a generation, 64 random bits under a key of its own. An entry of a view lies at a
 * key that holds the generations of all its names, so that without one of them nobody finds it any
 * more: that is how all entries end at once. ../../docs/protocol.md says why that is enough.
 */
#ifndef COAT_API_VIEW_H
#define COAT_API_VIEW_H

#include <stddef.h>

#include "coat_error.h"

struct coat_store;
struct coat_view;

enum {
    COAT_VIEW_NAMES_MAX = 8, /* of a view, with those of the views that it is in */
    COAT_GENERATION_LEN = 16 /* as hexadecimal digits */
};

enum coat_view_kind {
    COAT_VIEW_NAMESPACE, /* of one name; names of views in it are its own */
    COAT_VIEW_TAGS       /* names of views in it are those of its parent */
};

/*
 * A view in `parent` (NULL: in the whole cache), which it does not need any more. A name is as a
 * key. 0 and *out, to be freed, after the operations that are in it; COAT_EUSAGE: no such name is
 * possible, or there are too many, or none; COAT_ENOMEM.
 */
int coat_view_new(struct coat_view **out, const struct coat_store *store,
                  const struct coat_view *parent, enum coat_view_kind kind,
                  const char *const *names, const size_t *lens, size_t count,
                  struct coat_error *err);
void coat_view_free(struct coat_view *view); /* NULL allowed */

/* All its names, as text that no other view has but one of the same entries. */
const char *coat_view_id(const struct coat_view *view, size_t *len);

/* How many names it was made with, besides its parent's: what ends with invalidating it. */
size_t coat_view_own(const struct coat_view *view);

#endif
