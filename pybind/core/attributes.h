/* attributes.h: what is known about a session, as attributes of its type. */
#ifndef COAT_CORE_ATTRIBUTES_H
#define COAT_CORE_ATTRIBUTES_H

#include "session.h"

/* Not const: CPython's slots take it so. Nothing writes to it. */
extern PyGetSetDef core_session_attributes[];

/*
 * As with any class, except that there must be such an attribute: `session.permanent = True`, or a
 * field as an attribute, would be forgotten at the end of the request.
 */
int core_session_set_attribute(PyObject *session, PyObject *name, PyObject *value);

#endif
