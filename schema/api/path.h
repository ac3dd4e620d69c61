/*
 * path.h: the path of a value that is at fault, as in ['cart'][2]. Not installed.
 *
 * It is built from the inside out, while a recursion unwinds: each step is put in front of
 * err->path, in Python's notation. A long key is shortened in its middle, and so is a path that
 * gets too long, with `...`: the end, nearest to the fault, stays. Between the coat_error_set and
 * the last step nothing else may write to *err. NULL allowed.
 */
#ifndef COAT_API_PATH_H
#define COAT_API_PATH_H

#include <stddef.h>

#include "coat_error.h"

/* [index] */
void coat_path_prepend_index(struct coat_error *err, size_t index);

/* [key], where `key` is the encoding of one key that was checked or packed here. */
void coat_path_prepend_key(struct coat_error *err, const void *key);

/* ['text'], for valid UTF-8. */
void coat_path_prepend_text(struct coat_error *err, const char *text, size_t len);

#endif
