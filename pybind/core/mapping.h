/* mapping.h: a session as a mapping of its fields, for the slots and methods of its type. */
#ifndef COAT_CORE_MAPPING_H
#define COAT_CORE_MAPPING_H

#include "session.h"

/* Make the type of iterators. 0, or -1 with an exception. */
int core_mapping_init(PyObject *module, struct core_state *state);

PyObject *core_mapping_subscript(PyObject *session, PyObject *key);
int core_mapping_assign(PyObject *session, PyObject *key, PyObject *value); /* NULL: delete it */
int core_mapping_contains(PyObject *session, PyObject *key);
Py_ssize_t core_mapping_length(PyObject *session);
PyObject *core_mapping_iterate(PyObject *session);

/* Methods: get(field, default=None), incr(field, by=1). */
PyObject *core_mapping_get(PyObject *session, PyObject *const *args, Py_ssize_t count);
PyObject *core_mapping_incr(PyObject *session, PyObject *args, PyObject *keywords);

#endif
