/* options.h: the options of a store or a cache, as Python gives them. */
#ifndef COAT_CORE_OPTIONS_H
#define COAT_CORE_OPTIONS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "coat_options.h"

struct core_state;

/*
 * From a sequence of tuples (name, text), and where `env` is set the environment. New, to be freed;
 * NULL with an exception.
 */
struct coat_options *core_options_from(struct core_state *state, PyObject *sequence, int env);

#endif
