/*
 * conflict.h: the option on_conflict where it is more than a word: a dict of words and functions,
 * by the name of the field, with "*" for the others.
 */
#ifndef COAT_CORE_CONFLICT_H
#define COAT_CORE_CONFLICT_H

#include "coat_options.h"

/* A coat_conflict_fn; context: the core_store. A function's exception becomes that of the call. */
int core_conflict(void *context, const struct coat_conflict *conflict, struct coat_doc *merged,
                  struct coat_error *err);

#endif
