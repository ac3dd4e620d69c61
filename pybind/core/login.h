/* login.h: login and rotation, which take effect with the next save. */
#ifndef COAT_CORE_LOGIN_H
#define COAT_CORE_LOGIN_H

#include "session.h"

/* A text that is an argument of this name, as the library takes it. NULL with an exception. */
const char *core_argument_text(struct core_state *state, PyObject *text, const char *argument);

/* Methods: login(principal, *, carry), rotate(). */
PyObject *core_session_login(PyObject *session, PyObject *args, PyObject *keywords);
PyObject *core_session_rotate(PyObject *session, PyObject *Py_UNUSED(ignored));

#endif
