#include "scan.h"

#include "module.h"
#include "run.h"

/* ---- A piece -------------------------------------------------------------------------------- */

int core_scan_begin(struct core_scan *s)
{
    if (s->cache == NULL || s->cache->base.closed) {
        PyErr_SetString(PyExc_ValueError, "the cache is closed");
        return -1;
    }
    if (s->busy) {
        PyErr_SetString(PyExc_RuntimeError, "a walk over keys belongs to one thread or task");
        return -1;
    }
    s->busy = !s->over;
    return !s->over;
}

static PyObject *key_list(const struct core_scan *s)
{
    size_t count = coat_cache_scan_count(s->scan);
    PyObject *keys = PyList_New((Py_ssize_t)count);

    for (size_t i = 0; keys != NULL && i < count; i++) {
        size_t len;
        const char *text = coat_cache_scan_key(s->scan, i, &len);
        PyObject *key = PyUnicode_DecodeUTF8(text, (Py_ssize_t)len, "replace");

        if (key == NULL)
            Py_CLEAR(keys);
        else
            PyList_SET_ITEM(keys, (Py_ssize_t)i, key);
    }
    return keys;
}

PyObject *core_scan_end(struct core_scan *s, int rc)
{
    s->busy = false;
    if (rc < 0)
        return NULL;
    s->over = rc == 0;
    return s->clears ? PyLong_FromSize_t(coat_cache_scan_count(s->scan)) : key_list(s);
}

static PyObject *more(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_scan *s = (struct core_scan *)object;
    int rc = core_scan_begin(s);

    if (rc < 0)
        return NULL;
    if (rc == 0)
        Py_RETURN_NONE;
    rc = core_run(s->state, s->cache->base.store, coat_cache_scan_op(s->scan), 0);
    return core_scan_end(s, rc);
}

/* ---- The type ------------------------------------------------------------------------------- */

/* Which keys; None: all that the cache has are deleted. */
static int open_scan(struct core_scan *s, PyObject *pattern)
{
    const char *text = "*";
    Py_ssize_t len = 1;
    struct coat_error err;

    s->clears = pattern == Py_None;
    if (!s->clears && !PyUnicode_Check(pattern)) {
        PyErr_Format(PyExc_TypeError, "a pattern of keys is a str, not %.80s",
                     Py_TYPE(pattern)->tp_name);
        return -1;
    }
    if (!s->clears && (text = PyUnicode_AsUTF8AndSize(pattern, &len)) == NULL)
        return -1;
    if (coat_cache_scan_new_in(&s->scan, s->cache->base.store, core_view_names(s->view),
                               s->clears ? COAT_CACHE_SCAN_CLEAR : COAT_CACHE_SCAN_KEYS, text,
                               (size_t)len, &err) == 0)
        return 0;
    core_raise(s->state, &err, "");
    return -1;
}

static void dealloc(PyObject *object);

static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    struct core_state *state = core_state_of(type, dealloc);
    PyObject *in, *pattern;
    struct core_cache *cache;
    struct core_view *view;
    struct core_scan *s;

    if (!PyArg_ParseTuple(args, "OO:Scan", &in, &pattern) ||
        (cache = core_view_cache(state, in, &view)) == NULL)
        return NULL;
    if (keywords != NULL && PyDict_GET_SIZE(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "Scan takes no keyword arguments");
        return NULL;
    }
    if (view != NULL && pattern == Py_None) {
        PyErr_SetString(PyExc_TypeError, "a namespace is invalidated, not walked over");
        return NULL;
    }
    if (core_store_use(&cache->base) < 0)
        return NULL;
    s = (struct core_scan *)type->tp_alloc(type, 0);
    if (s == NULL) {
        core_store_unuse(&cache->base);
        return NULL;
    }
    s->state = state;
    s->cache = (struct core_cache *)Py_NewRef((PyObject *)cache);
    s->view = (struct core_view *)Py_XNewRef((PyObject *)view);
    if (open_scan(s, pattern) < 0)
        Py_CLEAR(s);
    return (PyObject *)s;
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((struct core_scan *)object)->cache);
    Py_VISIT(((struct core_scan *)object)->view);
    return 0;
}

static int clear(PyObject *object)
{
    struct core_scan *s = (struct core_scan *)object;
    struct core_cache *cache = s->cache;

    coat_cache_scan_free(s->scan);
    s->scan = NULL;
    s->cache = NULL;
    Py_CLEAR(s->view);
    if (cache != NULL) {
        core_store_unuse(&cache->base);
        Py_DECREF(cache);
    }
    return 0;
}

static void dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"more", more, METH_NOARGS,
     "more($self)\n--\n\nThe next keys, or how many were deleted; None at the end. It blocks."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "A walk over the keys of a cache that a pattern fits; over all, to delete them, for\n"
     "None."},
    {Py_tp_new, CORE_SLOT(make)},
    {Py_tp_dealloc, CORE_SLOT(dealloc)},
    {Py_tp_traverse, CORE_SLOT(traverse)},
    {Py_tp_clear, CORE_SLOT(clear)},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "coatcheck._core.Scan",
    .basicsize = sizeof(struct core_scan),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int core_scan_init(PyObject *module, struct core_state *state)
{
    state->scan_type = core_type_add(module, &spec, NULL, 1);
    return state->scan_type == NULL ? -1 : 0;
}
