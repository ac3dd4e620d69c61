#include "module.h"

#include <string.h>

#include "coat_value.h"
#include "coat_version.h"
#include "cache.h"
#include "decode.h"
#include "document.h"
#include "driver.h"
#include "encode.h"
#include "fill.h"
#include "scan.h"
#include "session.h"
#include "store.h"
#include "view.h"

/* ---- Limits as keyword arguments ----------------------------------------------------------- */

/* A limit from Python: an int from 0, or None, which lifts it. 0, or -1 with an exception. */
static int limit_from(PyObject *value, const char *name, size_t most, size_t *limit)
{
    if (value == Py_None) {
        *limit = most;
        return 0;
    }
    if (!PyLong_CheckExact(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int or None, not %.80s", name,
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    *limit = PyLong_AsSize_t(value);
    if (!PyErr_Occurred() && *limit <= most)
        return 0;
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "%s must be from 0 to %zu, or None", name, most);
    return -1;
}

static int set_limit(struct coat_limits *limits, PyObject *name, PyObject *value)
{
    if (PyUnicode_CompareWithASCIIString(name, "max_depth") == 0)
        return limit_from(value, "max_depth", COAT_DEPTH_MAX, &limits->max_depth);
    if (PyUnicode_CompareWithASCIIString(name, "max_bytes") == 0)
        return limit_from(value, "max_bytes", SIZE_MAX, &limits->max_bytes);
    if (PyUnicode_CompareWithASCIIString(name, "max_items") == 0)
        return limit_from(value, "max_items", SIZE_MAX, &limits->max_items);
    PyErr_Format(PyExc_TypeError, "there is no keyword argument %R", name);
    return -1;
}

/* One argument, and limits by keyword. Returns the argument, borrowed, or NULL. */
static PyObject *value_and_limits(PyObject *const *args, Py_ssize_t count, PyObject *keywords,
                                  struct coat_limits *limits)
{
    *limits = (struct coat_limits)COAT_LIMITS_DEFAULT;
    limits->max_fields = SIZE_MAX; /* of documents only */
    if (count != 1) {
        PyErr_Format(PyExc_TypeError, "1 positional argument is needed, %zd were given", count);
        return NULL;
    }
    for (Py_ssize_t i = 0; keywords != NULL && i < PyTuple_GET_SIZE(keywords); i++) {
        if (set_limit(limits, PyTuple_GET_ITEM(keywords, i), args[count + i]) < 0)
            return NULL;
    }
    return args[0];
}

/* ---- Functions ----------------------------------------------------------------------------- */

static PyObject *dumps(PyObject *module, PyObject *const *args, Py_ssize_t count,
                       PyObject *keywords)
{
    struct coat_limits limits;
    struct core_bytes bytes;
    PyObject *value = value_and_limits(args, count, keywords, &limits);

    if (value == NULL ||
        core_encode(PyModule_GetState(module), value, "value", NULL, &limits, &bytes) < 0)
        return NULL;
    return PyBytes_FromStringAndSize((const char *)bytes.at, (Py_ssize_t)bytes.len);
}

/* Other buffers are copied: what was checked must not change before it is decoded. */
static PyObject *bytes_from(PyObject *data)
{
    PyObject *bytes;
    Py_buffer view;

    if (PyBytes_CheckExact(data))
        return Py_NewRef(data);
    if (PyObject_GetBuffer(data, &view, PyBUF_FULL_RO) < 0)
        return NULL;
    bytes = PyBytes_FromStringAndSize(NULL, view.len);
    if (bytes != NULL && PyBuffer_ToContiguous(PyBytes_AS_STRING(bytes), &view, view.len, 'C') < 0)
        Py_CLEAR(bytes);
    PyBuffer_Release(&view);
    return bytes;
}

static PyObject *loads(PyObject *module, PyObject *const *args, Py_ssize_t count,
                       PyObject *keywords)
{
    struct coat_limits limits;
    PyObject *data = value_and_limits(args, count, keywords, &limits), *bytes, *value;

    if (data == NULL)
        return NULL;
    bytes = bytes_from(data);
    if (bytes == NULL)
        return NULL;
    value = core_decode(PyModule_GetState(module), PyBytes_AS_STRING(bytes),
                        (size_t)PyBytes_GET_SIZE(bytes), &limits);
    Py_DECREF(bytes);
    return value;
}

static PyObject *check(PyObject *module, PyObject *const *args, Py_ssize_t count,
                       PyObject *keywords)
{
    struct coat_limits limits;
    PyObject *value = value_and_limits(args, count, keywords, &limits);

    return value == NULL ? NULL : core_check(PyModule_GetState(module), value, &limits);
}

#define LIMITS "*, max_depth=64, max_bytes=1048576, max_items=262144"

static PyMethodDef functions[] = {
    {"dumps", CORE_METHOD(dumps), METH_FASTCALL | METH_KEYWORDS,
     "dumps($module, value, " LIMITS ")\n--\n\n"
     "The bytes of a plain value. NotStorable, LimitExceeded."},
    {"loads", CORE_METHOD(loads), METH_FASTCALL | METH_KEYWORDS,
     "loads($module, data, " LIMITS ")\n--\n\n"
     "The value of such bytes. Corrupt, LimitExceeded."},
    {"check", CORE_METHOD(check), METH_FASTCALL | METH_KEYWORDS,
     "check($module, value, " LIMITS ")\n--\n\n"
     "Everything that dumps would refuse, as a list of its exceptions."},
    {NULL, NULL, 0, NULL},
};

/* ---- The module ---------------------------------------------------------------------------- */

PyTypeObject *core_type_add(PyObject *module, PyType_Spec *spec, PyTypeObject *base, int add)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, (PyObject *)base);

    if (type != NULL && add && PyModule_AddType(module, (PyTypeObject *)type) < 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

struct core_state *core_state_of(PyTypeObject *type, destructor dealloc)
{
    while (type->tp_dealloc != dealloc)
        type = type->tp_base;
    return PyType_GetModuleState(type);
}

static int import_missing(struct core_state *state)
{
    PyObject *module = PyImport_ImportModule("coatcheck.missing");

    state->missing = module == NULL ? NULL : PyObject_GetAttrString(module, "MISSING");
    Py_XDECREF(module);
    return state->missing == NULL ? -1 : 0;
}

static int execute(PyObject *module)
{
    struct core_state *state = PyModule_GetState(module);

    if (coat_registry_new(&state->registry, NULL) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (core_layout_init(&state->layout) < 0 ||
        PyModule_AddObjectRef(module, "cpython_internals",
                              state->layout.is_known ? Py_True : Py_False) < 0 ||
        core_errors_init(state) < 0 || import_missing(state) < 0 ||
        core_store_init(module, state) < 0 || core_view_init(module, state) < 0 ||
        core_cache_init(module, state) < 0 || core_scan_init(module, state) < 0 ||
        core_fill_init(module, state) < 0 || core_session_init(module, state) < 0 ||
        core_driver_init(module, state) < 0 || core_document_init(module) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "__version__", COAT_VERSION);
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    struct core_state *state = PyModule_GetState(module);

    if (state == NULL)
        return 0;
    for (int i = 0; i < CORE_EXCEPTIONS; i++)
        Py_VISIT(state->exceptions[i]);
    Py_VISIT(state->missing);
    Py_VISIT(state->base_store_type);
    Py_VISIT(state->store_type);
    Py_VISIT(state->base_cache_type);
    Py_VISIT(state->base_view_type);
    Py_VISIT(state->scan_type);
    Py_VISIT(state->fill_type);
    Py_VISIT(state->base_session_type);
    Py_VISIT(state->session_type);
    Py_VISIT(state->names_type);
    Py_VISIT(state->call_type);
    Py_VISIT(state->channel_type);
    Py_VISIT(state->driver_type);
    return 0;
}

static int clear(PyObject *module)
{
    struct core_state *state = PyModule_GetState(module);

    if (state == NULL)
        return 0;
    for (int i = 0; i < CORE_EXCEPTIONS; i++)
        Py_CLEAR(state->exceptions[i]);
    Py_CLEAR(state->missing);
    Py_CLEAR(state->base_store_type);
    Py_CLEAR(state->store_type);
    Py_CLEAR(state->base_cache_type);
    Py_CLEAR(state->base_view_type);
    Py_CLEAR(state->scan_type);
    Py_CLEAR(state->fill_type);
    Py_CLEAR(state->base_session_type);
    Py_CLEAR(state->session_type);
    Py_CLEAR(state->names_type);
    Py_CLEAR(state->call_type);
    Py_CLEAR(state->channel_type);
    Py_CLEAR(state->driver_type);
    core_keys_clear(&state->keys);
    core_shapes_clear(&state->shapes);
    return 0;
}

static void release(void *module)
{
    struct core_state *state = PyModule_GetState(module);

    clear(module);
    if (state == NULL)
        return;
    coat_registry_free(state->registry);
    coat_buf_release(&state->scratch);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, CORE_SLOT(execute)},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "coatcheck._core",
    .m_doc = "Values, stores and sessions; see the package coatcheck.",
    .m_size = sizeof(struct core_state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
