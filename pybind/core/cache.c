#include "cache.h"

#include <math.h>

#include "module.h"
#include "options.h"
#include "request.h"
#include "run.h"
#include "api/cache.h"
#include "api/courier.h"

/* ---- TTLs ----------------------------------------------------------------------------------- */

static int64_t ttl_from_seconds(double seconds)
{
    if (seconds >= 0.001 && seconds <= 315360000)
        return (int64_t)ceil(seconds * 1000);
    PyErr_SetString(PyExc_ValueError,
                    "ttl must be from 0.001 to 315360000 seconds (10 years), or None for an entry "
                    "that does not end");
    return -1;
}

/* Of a timedelta; NULL with an exception. */
static PyObject *total_seconds(PyObject *ttl)
{
    PyObject *seconds = core_call_method(ttl, "total_seconds", NULL);

    if (seconds == NULL && PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Format(PyExc_TypeError,
                     "ttl must be a number of seconds, a timedelta or None, not %.80s",
                     Py_TYPE(ttl)->tp_name);
    return seconds;
}

int64_t core_cache_ttl(const struct core_cache *cache, PyObject *ttl)
{
    PyObject *number;
    double seconds;

    if (ttl == NULL ||
        (PyUnicode_Check(ttl) && PyUnicode_CompareWithASCIIString(ttl, "default") == 0))
        return cache->ttl_ms;
    if (ttl == Py_None)
        return 0;
    if (PyFloat_Check(ttl) || (PyLong_Check(ttl) && !PyBool_Check(ttl)))
        number = Py_NewRef(ttl);
    else if ((number = total_seconds(ttl)) == NULL)
        return -1;
    seconds = PyFloat_AsDouble(number);
    Py_DECREF(number);
    if (seconds == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return -1;
        PyErr_Clear();
    }
    return ttl_from_seconds(seconds);
}

/* xorshift64*: who could guess it would know when an entry ends. */
static double draw(struct core_cache *cache)
{
    uint64_t x = cache->chance;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    cache->chance = x;
    return (double)((x * UINT64_C(0x2545f4914f6cdd1d)) >> 11) / 9007199254740992.0;
}

int64_t core_cache_jitter(struct core_cache *cache, int64_t ttl_ms)
{
    int64_t less;

    if (ttl_ms == 0 || cache->jitter == 0)
        return ttl_ms;
    less = (int64_t)(cache->jitter * draw(cache) * (double)ttl_ms);
    return less < ttl_ms ? ttl_ms - less : 1;
}

/* ---- Opening -------------------------------------------------------------------------------- */

static int init(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"options", "ttl", "jitter", "raises_corrupt", "credentials", NULL};
    struct core_cache *self = (struct core_cache *)object;
    PyObject *pairs, *ttl, *credentials = Py_None;
    struct coat_options *options;
    int64_t ttl_ms;
    int raises;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOdp|O:Cache", names, &pairs, &ttl,
                                     &self->jitter, &raises, &credentials))
        return -1;
    if (credentials != Py_None && !PyCallable_Check(credentials)) {
        PyErr_SetString(PyExc_TypeError, "credentials must be callable, or None");
        return -1;
    }
    if ((ttl_ms = core_cache_ttl(self, ttl)) < 0 ||
        (options = core_options_from(self->base.state, pairs, 0)) == NULL ||
        core_store_open(&self->base, options, credentials) < 0)
        return -1;
    self->ttl_ms = ttl_ms;
    self->raises_corrupt = raises;
    self->chance = ((uint64_t)(uintptr_t)self ^ (uint64_t)coat_courier_clock_ms()) | 1;
    coat_store_serves_cache(self->base.store);
    return 0;
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static PyObject *call(PyObject *object, enum core_method method, PyObject *const *args,
                      Py_ssize_t count, PyObject *keywords)
{
    struct core_view *view;
    struct core_cache *self = core_view_cache(((struct core_view *)object)->state, object, &view);
    struct core_store *store = &self->base;
    struct core_request request;
    PyObject *result = NULL;

    if (self == NULL || core_store_use(store) < 0)
        return NULL;
    if (core_request_begin(&request, self, view, method, args, count, keywords) == 0) {
        int rc = core_run(store->state, store->store, core_request_op(&request), 0);

        result = rc < 0 ? NULL : core_request_result(&request, rc);
        core_request_release(&request);
    }
    core_store_unuse(store);
    return result;
}

#define CALL(name, method)                                                                         \
    static PyObject *name(PyObject *object, PyObject *const *args, Py_ssize_t count,               \
                          PyObject *keywords)                                                      \
    {                                                                                              \
        return call(object, method, args, count, keywords);                                        \
    }

CALL(get, CORE_GET)
CALL(get_many, CORE_GET_MANY)
CALL(set, CORE_SET)
CALL(add, CORE_ADD)
CALL(set_many, CORE_SET_MANY)
CALL(delete, CORE_DELETE)
CALL(delete_many, CORE_DELETE_MANY)
CALL(has, CORE_HAS)
CALL(touch, CORE_TOUCH)
CALL(ttl, CORE_TTL)
CALL(pop, CORE_POP)
CALL(incr, CORE_INCR)
CALL(decr, CORE_DECR)
CALL(get_versioned, CORE_GET_VERSIONED)
CALL(compare_and_set, CORE_COMPARE_AND_SET)
CALL(invalidate, CORE_INVALIDATE)

/* ---- The types ------------------------------------------------------------------------------ */

#define METHOD(function, doc)                                                                      \
    {                                                                                              \
#        function, CORE_METHOD(function), METH_FASTCALL | METH_KEYWORDS, doc                       \
    }

/* Of caches and of views. */
#define ENTRY_METHODS                                                                              \
    METHOD(get, "get($self, key, default=None)\n--\n\nThe value, or the default."),                \
        METHOD(get_many, "get_many($self, keys)\n--\n\n"                                           \
                         "A dict of those that there are, in one round trip to each node."),       \
        METHOD(set, "set($self, key, value, ttl='default', *, only_if=None)\n--\n\n"               \
                    "Store it. only_if: \"new\" or \"present\"; False where it was not."),         \
        METHOD(add, "add($self, key, value, ttl='default')\n--\n\n"                                \
                    "Store it where there is none; False where there is."),                        \
        METHOD(set_many, "set_many($self, entries, ttl='default')\n--\n\n"                         \
                         "Store them all, in one round trip to each node."),                       \
        METHOD(delete, "delete($self, key)\n--\n\nFalse if there was none."),                      \
        METHOD(delete_many, "delete_many($self, keys)\n--\n\nHow many there were."),               \
        METHOD(has, "has($self, key)\n--\n\nIs there one?"),                                       \
        METHOD(touch, "touch($self, key, ttl='default')\n--\n\n"                                   \
                      "Give it a new TTL; False where there is none."),                            \
        METHOD(ttl, "ttl($self, key)\n--\n\n"                                                      \
                    "The seconds that are left; inf: it does not end; None: there is none."),      \
        METHOD(pop,                                                                                \
               "pop($self, key, default=None)\n--\n\nThe value, or the default, and delete it."),  \
        METHOD(                                                                                    \
            incr,                                                                                  \
            "incr($self, key, by=1, *, initial=0, ttl='default')\n--\n\n"                          \
            "Add to an int, which keeps its TTL; what it is then. Where there is none, initial\n"  \
            "with a ttl is added to; KeyError if that is None."),                                  \
        METHOD(decr,                                                                               \
               "decr($self, key, by=1, *, initial=0, ttl='default')\n--\n\nThe same, taken off."), \
        METHOD(get_versioned, "get_versioned($self, key, default=None)\n--\n\n"                    \
                              "The value and its version, or the default and None."),              \
        METHOD(compare_and_set,                                                                    \
               "compare_and_set($self, key, value, version, ttl='default')\n--\n\n"                \
               "Store it in place of that version; False where it is another by now."),            \
    {                                                                                              \
        "_invalidate", CORE_METHOD(invalidate), METH_FASTCALL | METH_KEYWORDS,                     \
            "_invalidate($self, names)\n--\n\nEnd all in these namespaces or with these tags."     \
    }

static PyMethodDef view_methods[] = {
    ENTRY_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyMethodDef blocking_methods[] = {
    ENTRY_METHODS,
    {"ping", CORE_METHOD(core_store_ping), METH_VARARGS | METH_KEYWORDS,
     "ping($self, timeout=None)\n--\n\nAsk the server whether it is there."},
    {"stop_embedded", core_store_stop_embedded, METH_NOARGS,
     "stop_embedded($self)\n--\n\nStop the server of an embedded: cache."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef methods[] = {
    {"stats", core_store_stats, METH_NOARGS,
     "stats($self)\n--\n\nFigures for monitoring: names with labels as Prometheus writes them, and values."},
    {"_samples", core_store_samples, METH_NOARGS,
     "_samples($self)\n--\n\nThe same with the name, help and kind of each metric."},
    {"close", core_store_close, METH_NOARGS, "close($self)\n--\n\nClose it. Any number of times."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One application's cache."},
    {Py_tp_new, CORE_SLOT(core_store_make)},
    {Py_tp_init, CORE_SLOT(init)},
    {Py_tp_dealloc, CORE_SLOT(core_store_dealloc)},
    {Py_tp_traverse, CORE_SLOT(core_store_traverse)},
    {Py_tp_clear, CORE_SLOT(core_store_clear)},
    {Py_tp_repr, CORE_SLOT(core_store_repr)},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "coatcheck._core.BaseCache",
    .basicsize = sizeof(struct core_cache),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

static PyType_Slot blocking_slots[] = {
    {Py_tp_doc, "One application's cache, whose calls block."},
    {Py_tp_methods, blocking_methods},
    {0, NULL},
};

static PyType_Spec blocking_spec = {
    .name = "coatcheck._core.Cache",
    .basicsize = sizeof(struct core_cache),
    /* The garbage collector's part is inherited. */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = blocking_slots,
};

static PyType_Slot view_slots[] = {
    {Py_tp_doc, "A part of a cache whose entries end together; its calls block."},
    {Py_tp_methods, view_methods},
    {0, NULL},
};

static PyType_Spec view_spec = {
    .name = "coatcheck._core.View",
    .basicsize = sizeof(struct core_view),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = view_slots,
};

static int add_blocking(PyObject *module, PyType_Spec *of, PyTypeObject *base)
{
    PyTypeObject *blocking = core_type_add(module, of, base, 1);

    Py_XDECREF(blocking);
    return blocking == NULL ? -1 : 0;
}

int core_cache_init(PyObject *module, struct core_state *state)
{
    state->base_cache_type = core_type_add(module, &spec, NULL, 1);
    if (state->base_cache_type == NULL ||
        add_blocking(module, &blocking_spec, state->base_cache_type) < 0)
        return -1;
    return add_blocking(module, &view_spec, state->base_view_type);
}
