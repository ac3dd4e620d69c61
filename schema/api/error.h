/* error.h: filling in a struct coat_error. For all layers; not installed. */
#ifndef COAT_API_ERROR_H
#define COAT_API_ERROR_H

#include "coat_error.h"

/*
 * Describe a failure: clears *err (NULL allowed), sets code and text, returns code, so that a
 * function can end with `return coat_error_set(err, COAT_ECONFIG, "...")`.
 */
__attribute__((format(printf, 3, 4))) int coat_error_set(struct coat_error *err, int code,
                                                         const char *text, ...);

/* The same with the one-word reason. */
__attribute__((format(printf, 4, 5))) int
coat_error_because(struct coat_error *err, int code, const char *reason, const char *text, ...);

/* "out of memory", returns COAT_ENOMEM. */
int coat_error_nomem(struct coat_error *err);

#endif
