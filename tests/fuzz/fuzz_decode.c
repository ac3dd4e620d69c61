/*
 * Any bytes, decoded in Python: what coat_check passes becomes a value that is packed to the same
 * bytes again, and what it refuses is refused with the same words at the same byte. With what
 * is known of CPython's own structures, and without.
 */
#include "module.h"

#include "coat_value.h"
#include "must.h"

static struct {
    PyObject *module, *loads, *dumps, *get_objects;
    struct core_state *state; /* of the module */
    bool knows_layout;
    size_t runs;
    Py_ssize_t objects; /* that the collector knew of */
} python;

/* ---- Beginning ----------------------------------------------------------------------------- */

/* All memory comes from malloc, where the sanitizers see it. */
static void start_python(void)
{
    PyPreConfig before;
    PyObject *gc;

    PyPreConfig_InitPythonConfig(&before);
    before.allocator = PYMEM_ALLOCATOR_MALLOC;
    must(!PyStatus_Exception(Py_PreInitialize(&before)));
    Py_InitializeEx(0);
    python.module = PyImport_ImportModule("coatcheck._core");
    if (python.module == NULL)
        PyErr_Print();
    must(python.module != NULL);
    python.state = PyModule_GetState(python.module);
    python.knows_layout = python.state->layout.is_known;
    python.loads = PyObject_GetAttrString(python.module, "loads");
    python.dumps = PyObject_GetAttrString(python.module, "dumps");
    gc = PyImport_ImportModule("gc");
    python.get_objects = PyObject_GetAttrString(gc, "get_objects");
    must(python.loads != NULL && python.dumps != NULL && python.get_objects != NULL);
}

/* ---- Calls --------------------------------------------------------------------------------- */

/* function(argument, max_depth=..., max_bytes=..., max_items=...) */
static PyObject *call(PyObject *function, PyObject *argument, const struct coat_limits *limits)
{
    PyObject *arguments = Py_BuildValue("(O)", argument);
    PyObject *keywords = Py_BuildValue(
        "{s:N,s:N,s:N}", "max_depth", PyLong_FromSize_t(limits->max_depth), "max_bytes",
        PyLong_FromSize_t(limits->max_bytes), "max_items", PyLong_FromSize_t(limits->max_items));
    PyObject *result;

    must(arguments != NULL && keywords != NULL);
    result = PyObject_Call(function, arguments, keywords);
    Py_DECREF(keywords);
    Py_DECREF(arguments);
    must((result == NULL) == (PyErr_Occurred() != NULL));
    return result;
}

/* ---- Refused ------------------------------------------------------------------------------- */

static bool has_text(PyObject *exception, const char *text)
{
    PyObject *said = PyObject_Str(exception);
    bool has = said != NULL && strstr(PyUnicode_AsUTF8(said), text) != NULL;

    Py_XDECREF(said);
    return has;
}

static size_t offset_of(PyObject *exception)
{
    PyObject *offset = PyObject_GetAttrString(exception, "offset");
    size_t number;

    must(offset != NULL);
    number = PyLong_AsSize_t(offset);
    Py_DECREF(offset);
    return number;
}

/* The exception that is set says what the check said. */
static void try_exception(const struct coat_error *err)
{
    enum core_exception which = err->code == COAT_ELIMIT ? CORE_LIMIT_EXCEEDED : CORE_CORRUPT;
    PyObject *type, *exception, *traceback;

    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    must(type == python.state->exceptions[which]);
    must(has_text(exception, err->text));
    must(err->code == COAT_ELIMIT || offset_of(exception) == err->offset);
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
}

/* ---- Decoded ------------------------------------------------------------------------------- */

static void try_value(PyObject *value);

/* Stored as CPython itself would store it: otherwise it would not equal its own like. */
static void try_text(PyObject *text)
{
    PyObject *again = PyUnicode_FromKindAndData(PyUnicode_KIND(text), PyUnicode_DATA(text),
                                                PyUnicode_GET_LENGTH(text));

    must(again != NULL && PyUnicode_KIND(again) == PyUnicode_KIND(text));
    must(PyUnicode_IS_COMPACT_ASCII(again) == PyUnicode_IS_COMPACT_ASCII(text));
    must(PyUnicode_Compare(text, again) == 0);
    must(PyObject_Hash(text) == PyObject_Hash(again));
    Py_DECREF(again);
}

/* Each key leads to its value, and the collector does not lose sight of what is within. */
static void try_dict(PyObject *dict)
{
    PyObject *key, *value;
    Py_ssize_t at = 0, count = 0;

    for (; PyDict_Next(dict, &at, &key, &value); count++) {
        try_value(key);
        try_value(value);
        must(PyDict_GetItemWithError(dict, key) == value);
        must(!PyObject_GC_IsTracked(value) || PyObject_GC_IsTracked(dict));
    }
    must(count == PyDict_GET_SIZE(dict));
}

static void try_value(PyObject *value)
{
    must(Py_REFCNT(value) > 0);
    if (PyUnicode_CheckExact(value))
        try_text(value);
    else if (PyDict_CheckExact(value))
        try_dict(value);
    else if (PyList_CheckExact(value))
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(value); i++)
            try_value(PyList_GET_ITEM(value, i));
    else if (PyTuple_CheckExact(value))
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); i++)
            try_value(PyTuple_GET_ITEM(value, i));
}

static void try_dumps(PyObject *value, PyObject *data, const struct coat_limits *limits)
{
    PyObject *again = call(python.dumps, value, limits);

    must(again != NULL && PyBytes_CheckExact(again));
    must(PyBytes_GET_SIZE(again) == PyBytes_GET_SIZE(data));
    must(memcmp(PyBytes_AS_STRING(again), PyBytes_AS_STRING(data),
                (size_t)PyBytes_GET_SIZE(data)) == 0);
    Py_DECREF(again);
}

/* ---- Both ---------------------------------------------------------------------------------- */

static void try_loads(PyObject *data, const struct coat_limits *limits, bool knows_layout)
{
    struct coat_error err;
    int rc = coat_check(PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data), limits,
                        COAT_CHECK_EQUAL_KEYS, NULL, &err);
    PyObject *value;

    python.state->layout.is_known = knows_layout;
    value = call(python.loads, data, limits);
    must(PyGC_IsEnabled());
    must((value == NULL) == (rc < 0));
    if (value == NULL) {
        try_exception(&err);
        return;
    }
    try_value(value);
    try_dumps(value, data, limits);
    python.state->layout.is_known = !knows_layout && python.knows_layout;
    try_dumps(value, data, limits);
    Py_DECREF(value);
}

/* What the collector knows of does not become more. */
static void count_objects(void)
{
    PyObject *objects;

    PyGC_Collect();
    objects = PyObject_CallNoArgs(python.get_objects);
    must(objects != NULL);
    if (python.objects == 0)
        python.objects = PyList_GET_SIZE(objects);
    must(PyList_GET_SIZE(objects) < python.objects + 1000);
    Py_DECREF(objects);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const struct coat_limits usual = COAT_LIMITS_DEFAULT, tight = {3, 40, 0, 10};
    const struct coat_limits lifted = {COAT_DEPTH_MAX, SIZE_MAX, 0, SIZE_MAX};
    PyObject *data;

    if (python.module == NULL)
        start_python();
    data = PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)len);
    must(data != NULL);
    /* Twice, since the second time names and shapes are known. */
    try_loads(data, &usual, python.knows_layout);
    try_loads(data, &usual, python.knows_layout);
    try_loads(data, &usual, false);
    try_loads(data, &tight, python.knows_layout);
    try_loads(data, &lifted, python.knows_layout);
    Py_DECREF(data);
    if (++python.runs % 5000 == 0)
        count_objects();
    return 0;
}
