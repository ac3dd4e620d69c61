/*
 * document.h: coatcheck._core._Document, the fields of a session without the session: what
 * coatcheck.bench measures, since a session needs a server. Not part of the package's interface.
 */
#ifndef COAT_CORE_DOCUMENT_H
#define COAT_CORE_DOCUMENT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

struct core_state;

/* Add the type to the module. 0, or -1 with an exception. */
int core_document_init(PyObject *module);

#endif
