#include "refuse.h"

#include "ints.h"
#include "module.h"

#include <string.h>

/* A key in a path is cut off here: a text, bytes, and what a tuple shows. */
enum { KEY_SHOWN = 128 };

/* ---- Names of types ------------------------------------------------------------------------ */

static int is_ascii_text(PyObject *object, const char *text)
{
    return PyUnicode_CheckExact(object) && PyUnicode_CompareWithASCIIString(object, text) == 0;
}

/*
 * The module of a class, if it is a text: borrowed, or NULL. Looked up entry by entry, since the
 * namespace of a class may have keys whose own comparison is Python code.
 */
static PyObject *module_of(PyTypeObject *type)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;

    while (type->tp_dict != NULL && PyDict_Next(type->tp_dict, &at, &key, &value)) {
        if (is_ascii_text(key, "__module__"))
            return PyUnicode_CheckExact(value) ? value : NULL;
    }
    return NULL;
}

/* "decimal.Decimal", "set": new reference, or NULL. */
static PyObject *name_of(PyTypeObject *type)
{
    PyObject *module, *name;

    if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE))
        return PyUnicode_FromString(type->tp_name); /* holds the module already */
    module = module_of(type);
    name = ((PyHeapTypeObject *)type)->ht_qualname;
    if (module == NULL || is_ascii_text(module, "builtins"))
        return PyUnicode_FromObject(name); /* a copy, if somebody set it to a subclass of str */
    return PyUnicode_FromFormat("%U.%U", module, name);
}

/* ---- Advice -------------------------------------------------------------------------------- */

static const struct {
    const char *type; /* of the value, or of one of its bases; the first row that fits counts */
    const char *advice;
} advices[] = {
    {"enum.Enum", "store value.value"},
    {"datetime.datetime", "store value.isoformat()"},
    {"datetime.date", "store value.isoformat()"},
    {"datetime.time", "store value.isoformat()"},
    {"datetime.timedelta", "store value.total_seconds()"},
    {"decimal.Decimal", "store str(value)"},
    {"fractions.Fraction", "store str(value)"},
    {"uuid.UUID", "store str(value)"},
    {"ipaddress._IPAddressBase", "store str(value)"},
    {"pathlib.PurePath", "store str(value)"},
    {"pathlib._local.PurePath", "store str(value)"},
    {"numpy.generic", "store value.item()"},
    {"numpy.ndarray", "store value.tolist()"},
    {"set", "store sorted(value) or list(value)"},
    {"frozenset", "store sorted(value) or list(value)"},
    {"bytearray", "store bytes(value)"},
    {"memoryview", "store bytes(value)"},
    {"complex", "store (value.real, value.imag)"},
    {"range", "store list(value)"},
    {"generator", "store list(value)"},
    {"dict_keys", "store list(value)"},
    {"dict_values", "store list(value)"},
    {"dict_items", "store list(value)"},
    {"mappingproxy", "store dict(value)"},
    {"frozendict.frozendict", "store dict(value)"},
    {"array.array", "store value.tolist()"},
    {"collections.deque", "store list(value)"},
    {"django.utils.functional.Promise", "store str(value)"}, /* a text that is translated lazily */
    {"flask_babel.speaklater.LazyString", "store str(value)"},
    {"django.utils.safestring.SafeString", "store str.__str__(value)"}, /* its own keeps the type */
    {"str", "store str(value)"},
    {"bytes", "store bytes(value)"},
    {"int", "store int(value)"},
    {"float", "store float(value)"},
    {"list", "store list(value)"},
    {"tuple", "store tuple(value)"},
    {"dict", "store dict(value)"},
    {"type", "a class is code: store a name and look it up"},
    {"function", "a function is code: store a name and look it up"},
    {"method", "a method is code: store a name and look it up"},
    {"builtin_function_or_method", "a function is code: store a name and look it up"},
    {"module", "a module is code: store its name"},
};

enum { ADVICES = sizeof advices / sizeof advices[0] };

/* The first row for this very type, below `limit`; otherwise `limit`. -1: no memory. */
static int row_of(PyTypeObject *type, int limit)
{
    PyObject *name = name_of(type);
    int row = name == NULL ? -1 : 0;

    while (row >= 0 && row < limit && !is_ascii_text(name, advices[row].type))
        row++;
    Py_XDECREF(name);
    return row;
}

/* NULL: no memory. */
static const char *advice_on(PyTypeObject *type)
{
    PyObject *mro = type->tp_mro; /* of types, checked by Python when the class was made */
    int row = ADVICES;

    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(mro) && row >= 0; i++)
        row = row_of((PyTypeObject *)PyTuple_GET_ITEM(mro, i), row);
    if (row < 0)
        return NULL;
    return row < ADVICES ? advices[row].advice
                         : "store its plain data, for example a dict of its fields";
}

/* ---- Paths --------------------------------------------------------------------------------- */

/* Append to a text; takes the reference to `more`. On failure *text is NULL. */
static void append(PyObject **text, PyObject *more)
{
    if (more == NULL) {
        Py_CLEAR(*text);
        return;
    }
    PyUnicode_Append(text, more);
    Py_DECREF(more);
}

static void append_ascii(PyObject **text, const char *more)
{
    append(text, PyUnicode_FromString(more));
}

/*
 * A key that was refused may be of any type, and its repr() code of its own; that of an int of very
 * many digits is an error.
 */
static int has_plain_repr(PyObject *key)
{
    if (PyLong_CheckExact(key))
        return !core_int_is_big(key);
    return key == Py_None || PyBool_Check(key) || PyFloat_CheckExact(key) ||
           PyBytes_CheckExact(key) || PyUnicode_CheckExact(key);
}

static PyObject *shown(PyObject *key)
{
    PyObject *start = NULL, *repr;

    if (!has_plain_repr(key)) {
        PyObject *name = name_of(Py_TYPE(key));

        repr = name == NULL ? NULL : PyUnicode_FromFormat("<%U>", name);
        Py_XDECREF(name);
        return repr;
    }
    if (PyUnicode_CheckExact(key) && PyUnicode_GET_LENGTH(key) > KEY_SHOWN)
        start = PyUnicode_Substring(key, 0, KEY_SHOWN);
    else if (PyBytes_CheckExact(key) && PyBytes_GET_SIZE(key) > KEY_SHOWN)
        start = PyBytes_FromStringAndSize(PyBytes_AS_STRING(key), KEY_SHOWN);
    else
        return PyObject_Repr(key);
    repr = start == NULL ? NULL : PyUnicode_FromFormat("%R...", start);
    Py_XDECREF(start);
    return repr;
}

/*
 * As repr() shows it, where that is safe, but not all of a long one. repr() of a tuple would make
 * more than texts.
 */
static void append_key(PyObject **text, PyObject *key, Py_ssize_t most)
{
    Py_ssize_t i = 0;

    if (*text == NULL)
        return;
    if (!PyTuple_CheckExact(key)) {
        append(text, shown(key));
        return;
    }
    append_ascii(text, "(");
    for (; i < PyTuple_GET_SIZE(key) && *text != NULL && PyUnicode_GET_LENGTH(*text) < most; i++) {
        if (i > 0)
            append_ascii(text, ", ");
        append_key(text, PyTuple_GET_ITEM(key, i), most);
    }
    if (i < PyTuple_GET_SIZE(key))
        append_ascii(text, i > 0 ? ", ...)" : "...)");
    else
        append_ascii(text, i == 1 ? ",)" : ")");
}

static void append_place(PyObject **text, const struct core_place *at)
{
    if (at->up != NULL)
        append_place(text, at->up);
    if (*text == NULL)
        return;
    if (at->key == NULL) {
        append(text, PyUnicode_FromFormat("[%zd]", at->index));
        return;
    }
    append_ascii(text, "[");
    if (*text != NULL)
        append_key(text, at->key, PyUnicode_GET_LENGTH(*text) + KEY_SHOWN);
    append_ascii(text, "]");
}

static PyObject *path_to(const char *root, const struct core_place *at)
{
    PyObject *text = PyUnicode_FromString(root);

    if (text != NULL && at != NULL)
        append_place(&text, at);
    return text;
}

/* ---- Refusals ------------------------------------------------------------------------------ */

/* Takes the references to `what` and `why`, NULL where memory ran out. */
static int refuse(struct core_refusal *r, enum core_exception which, const char *root,
                  const struct core_place *at, PyObject *what, PyObject *why)
{
    r->which = which;
    r->what = what;
    r->path = what == NULL || why == NULL ? NULL : path_to(root, at);
    r->text = r->path == NULL ? NULL : PyUnicode_FromFormat("%U: %U", r->path, why);
    Py_XDECREF(why);
    if (r->text != NULL)
        return 0;
    core_refusal_release(r);
    return -1;
}

int core_refuse_value(struct core_refusal *r, const char *root, const struct core_place *at,
                      PyObject *value)
{
    PyObject *name = name_of(Py_TYPE(value)), *why = NULL;
    const char *advice = name == NULL ? NULL : advice_on(Py_TYPE(value));

    if (advice != NULL)
        why = PyUnicode_FromFormat("%U is not storable (%s)", name, advice);
    return refuse(r, CORE_NOT_STORABLE, root, at, name, why);
}

int core_refuse_because(struct core_refusal *r, const char *root, const struct core_place *at,
                        PyObject *value, const char *why)
{
    return refuse(r, CORE_NOT_STORABLE, root, at, name_of(Py_TYPE(value)),
                  PyUnicode_FromString(why));
}

int core_refuse_key(struct core_refusal *r, const char *root, const struct core_place *at,
                    PyObject *value, const char *advice)
{
    PyObject *name = name_of(Py_TYPE(value)), *why = NULL;

    if (name != NULL)
        why = PyUnicode_FromFormat("%U cannot be a key (%s)", name, advice);
    return refuse(r, CORE_NOT_STORABLE, root, at, name, why);
}

static const struct {
    const char *name;
    const char *things;
    const char *hint;
} limits[] = {
    [CORE_MAX_DEPTH] = {"max_depth", "containers within each other", "; does one contain itself?"},
    [CORE_MAX_BYTES] = {"max_bytes", "bytes", ""},
    [CORE_MAX_ITEMS] = {"max_items", "values", ""},
    [CORE_MAX_ODD_KEYS] = {"max_odd_keys", "values in keys that are neither text nor bytes", ""},
};

int core_refuse_limit(struct core_refusal *r, const char *root, const struct core_place *at,
                      enum core_limit limit, size_t most)
{
    const char *name = limits[limit].name;

    return refuse(r, CORE_LIMIT_EXCEEDED, root, at, PyUnicode_FromString(name),
                  PyUnicode_FromFormat("more %s than the limit %s of %zu%s", limits[limit].things,
                                       name, most, limits[limit].hint));
}

PyObject *core_refusal_exception(struct core_state *state, const struct core_refusal *r)
{
    return core_exception(state, r->which, r->text, "path", r->path,
                          r->which == CORE_NOT_STORABLE ? "type" : "limit", r->what);
}

int core_refusal_raise(struct core_state *state, const struct core_refusal *r)
{
    PyObject *exception = core_refusal_exception(state, r);

    if (exception != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_XDECREF(exception);
    return -1;
}

void core_refusal_release(struct core_refusal *r)
{
    Py_CLEAR(r->path);
    Py_CLEAR(r->what);
    Py_CLEAR(r->text);
}
