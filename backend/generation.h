/*
 * generation.h: an operation on entries of a view. Around an operation on keys it learns the
 * generations of the view, and sees to it that what is done and read is of the present ones.
 *
 * The store remembers what it saw last, so mostly one round trip does: the operation goes out on
 * keys of these generations, and behind it a GET of each. If they are the same, its replies count.
 * Otherwise nobody can ever read what it did, and it begins again on the right keys.
 */
#ifndef COAT_BACKEND_GENERATION_H
#define COAT_BACKEND_GENERATION_H

#include "api/op.h"
#include "view.h"

struct coat_guard;

/*
 * The inner operation is to be on keys of these generations, `len` digits, from its next START on;
 * NULL: there are none, so it will not be run, and finds nothing.
 */
typedef void coat_rekey_fn(struct coat_op *inner, const char *digits, size_t len);

/* Both are borrowed, as are store and view. To be freed; NULL where there is no memory. */
struct coat_guard *coat_guard_new(struct coat_store *store, const struct coat_view *view,
                                  struct coat_op *inner, coat_rekey_fn *rekey);
void coat_guard_free(struct coat_guard *guard); /* NULL allowed */

/*
 * What is run in place of the inner operation, as often as that one. makes: names that have no
 * generation get one; else there is nothing to be found, and its result is 0.
 */
struct coat_op *coat_guard_op(struct coat_guard *guard, int makes);

/* The generation with this key may have ended. */
void coat_generation_forget(struct coat_store *store, struct coat_arg key);

#endif
