/*
 * module.h: what one interpreter's coatcheck._core keeps. There is nothing static: several
 * interpreters of one process each have a module of their own, and may run at the same time.
 */
#ifndef COAT_CORE_MODULE_H
#define COAT_CORE_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "api/buf.h"
#include "errors.h"
#include "keys.h"
#include "layout.h"
#include "shapes.h"
#include "api/registry.h"

struct core_state {
    PyObject *exceptions[CORE_EXCEPTIONS];
    PyObject *missing; /* coatcheck.MISSING */
    PyTypeObject *base_store_type;
    PyTypeObject *store_type; /* blocking */
    PyTypeObject *base_cache_type;
    PyTypeObject *base_view_type;
    PyTypeObject *scan_type;
    PyTypeObject *fill_type;
    PyTypeObject *base_session_type;
    PyTypeObject *session_type; /* blocking */
    PyTypeObject *call_type;
    PyTypeObject *channel_type;
    PyTypeObject *driver_type;
    PyTypeObject *names_type;
    struct core_layout layout;
    struct core_keys keys;
    struct core_shapes shapes;
    struct coat_registry *registry; /* what stores share */
    struct coat_buf scratch;        /* of the encoder: see encode.h */
};

/* For a PyType_Slot: ISO C has no conversion from a function to the `void *` that is asked for. */
#define CORE_SLOT(function) ((void *)(uintptr_t)(function))

/* For a PyMethodDef whose function takes more than two arguments. */
#define CORE_METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* A type for this module, also put into it if `add` is set. base or NULL. New reference, or NULL.
 */
PyTypeObject *core_type_add(PyObject *module, PyType_Spec *spec, PyTypeObject *base, int add);

/* The state of the module that the type with this dealloc, above a subclass's own, belongs to. */
struct core_state *core_state_of(PyTypeObject *type, destructor dealloc);

#endif
