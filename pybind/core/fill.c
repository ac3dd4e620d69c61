#include "fill.h"

#include "encode.h"
#include "module.h"
#include "request.h"
#include "run.h"
#include "api/error.h"

/* ---- Found ---------------------------------------------------------------------------------- */

struct finding {
    struct core_fill *fill;
    const struct coat_reply *reply;
};

static int keep(void *finding)
{
    const struct finding *f = finding;
    PyObject *value;
    int rc = core_request_decode(f->fill->cache, f->reply, &value);

    if (rc > 0)
        Py_XSETREF(f->fill->value, value);
    return rc;
}

static int found(void *context, const struct coat_reply *replies, size_t Py_UNUSED(count),
                 struct coat_error *err)
{
    struct finding f = {context, replies};
    int rc;

    rc = core_call_back(keep, &f, CORE_RAISES);
    return rc < 0 ? coat_error_set(err, COAT_ECORRUPT, "what was found could not be decoded") : rc;
}

/* ---- Steps ---------------------------------------------------------------------------------- */

enum core_filling core_filling_named(PyObject *name)
{
    static const char *const names[CORE_FILLINGS] = {"fetch", "store", "release"};
    int i = 0;

    while (i < CORE_FILLINGS &&
           (!PyUnicode_Check(name) || PyUnicode_CompareWithASCIIString(name, names[i]) != 0))
        i++;
    return (enum core_filling)i;
}

/* Seconds in milliseconds, from 0 to 10 years. -1 with an exception. */
static int64_t ms_from(PyObject *seconds)
{
    double s = PyFloat_AsDouble(seconds);

    if (s == -1.0 && PyErr_Occurred())
        return -1;
    if (s >= 0 && s <= 315360000)
        return (int64_t)(s * 1000);
    PyErr_SetString(PyExc_ValueError, "a time must be from 0 to 315360000 seconds");
    return -1;
}

/* args: the value, its TTL, for how long it may be stale, how long it took to make. */
static int put(struct core_fill *f, PyObject *const *args)
{
    int64_t ttl_ms = core_cache_ttl(f->cache, args[1]);
    int64_t stale_ms = ttl_ms < 0 ? -1 : ms_from(args[2]);
    int64_t cost_ms = stale_ms < 0 ? -1 : ms_from(args[3]);
    struct core_bytes bytes;
    struct coat_error err;

    if (cost_ms < 0 || core_encode(f->state, args[0], "value", NULL,
                                   coat_store_limits(f->cache->base.store), &bytes) < 0)
        return -1;
    ttl_ms = core_cache_jitter(f->cache, ttl_ms);
    if (coat_cache_fill_value(f->fill, bytes.at, bytes.len, ttl_ms, stale_ms, cost_ms, &err) == 0)
        return 0;
    core_raise(f->state, &err, "value");
    return -1;
}

static int check(const struct core_fill *f)
{
    if (f->cache == NULL || f->cache->base.closed) {
        PyErr_SetString(PyExc_ValueError, "the cache is closed");
        return -1;
    }
    if (!f->busy)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "a value is made by one thread or task");
    return -1;
}

struct coat_op *core_fill_begin(struct core_fill *f, enum core_filling step, PyObject *const *args,
                                Py_ssize_t count)
{
    if (count != (step == CORE_STORING ? 4 : 0)) {
        PyErr_SetString(PyExc_TypeError, "fetch() and release() take no arguments, store() four");
        return NULL;
    }
    if (check(f) < 0 || (step == CORE_STORING && put(f, args) < 0))
        return NULL;
    f->busy = true;
    f->step = step;
    if (step == CORE_STORING)
        return coat_cache_fill_op(f->fill);
    if (step == CORE_RELEASING)
        return coat_cache_release_op(f->fill);
    Py_CLEAR(f->value);
    return coat_cache_fetch_op(f->fill, found, f);
}

PyObject *core_fill_end(struct core_fill *f, int rc)
{
    f->busy = false;
    if (rc < 0)
        return NULL;
    return f->step == CORE_FETCHING ? PyLong_FromLong(rc) : PyBool_FromLong(rc);
}

static PyObject *run(PyObject *object, enum core_filling step, PyObject *const *args,
                     Py_ssize_t count)
{
    struct core_fill *f = (struct core_fill *)object;
    struct coat_op *op = core_fill_begin(f, step, args, count);

    if (op == NULL)
        return NULL;
    return core_fill_end(f, core_run(f->state, f->cache->base.store, op, 0));
}

static PyObject *fetch(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    return run(object, CORE_FETCHING, NULL, 0);
}

static PyObject *store(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return run(object, CORE_STORING, args, count);
}

static PyObject *release(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    return run(object, CORE_RELEASING, NULL, 0);
}

static PyObject *get_value(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *value = ((struct core_fill *)object)->value;

    return Py_NewRef(value != NULL ? value : Py_None);
}

static PyObject *get_generation(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_fill *f = (struct core_fill *)object;
    size_t len = 0;
    const char *digits = f->fill != NULL ? coat_cache_fill_generation(f->fill, &len) : "";

    return PyUnicode_DecodeLatin1(digits, (Py_ssize_t)len, NULL);
}

/* ---- The type ------------------------------------------------------------------------------- */

static void dealloc(PyObject *object);

static int open_fill(struct core_fill *f, PyObject *key, int64_t fill_ttl_ms)
{
    struct coat_error err;
    Py_ssize_t len;
    const char *text = core_request_key(key, &len);

    if (text == NULL)
        return -1;
    if (coat_cache_fill_new_in(&f->fill, f->cache->base.store, core_view_names(f->view), text,
                               (size_t)len, fill_ttl_ms, &err) == 0)
        return 0;
    core_raise(f->state, &err, "");
    return -1;
}

static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    struct core_state *state = core_state_of(type, dealloc);
    PyObject *in, *key, *seconds;
    struct core_cache *cache;
    struct core_view *view;
    struct core_fill *f;
    int64_t ttl_ms;

    if (!PyArg_ParseTuple(args, "OOO:Fill", &in, &key, &seconds) ||
        (ttl_ms = ms_from(seconds)) < 0 || (cache = core_view_cache(state, in, &view)) == NULL ||
        core_store_use(&cache->base) < 0)
        return NULL;
    f = (struct core_fill *)type->tp_alloc(type, 0);
    if (f == NULL) {
        core_store_unuse(&cache->base);
        return NULL;
    }
    f->state = state;
    f->cache = (struct core_cache *)Py_NewRef((PyObject *)cache);
    f->view = (struct core_view *)Py_XNewRef((PyObject *)view);
    if (open_fill(f, key, ttl_ms > 0 ? ttl_ms : 1) < 0)
        Py_CLEAR(f);
    return (PyObject *)f;
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((struct core_fill *)object)->cache);
    Py_VISIT(((struct core_fill *)object)->view);
    Py_VISIT(((struct core_fill *)object)->value);
    return 0;
}

static int clear(PyObject *object)
{
    struct core_fill *f = (struct core_fill *)object;
    struct core_cache *cache = f->cache;

    coat_cache_fill_free(f->fill);
    f->fill = NULL;
    f->cache = NULL;
    Py_CLEAR(f->view);
    Py_CLEAR(f->value);
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
    {"fetch", fetch, METH_NOARGS,
     "fetch($self)\n--\n\n0: another makes it; 1: `value` is there; 2: it is ours to make; 3: to make "
     "anew,\nand `value` is there meanwhile."},
    {"store", CORE_METHOD(store), METH_FASTCALL,
     "store($self, value, ttl, stale, cost, /)\n--\n\nStore what was made; False where others were "
     "faster."},
    {"release", release, METH_NOARGS, "release($self)\n--\n\nIt is for others to make."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"value", get_value, NULL, "What the last fetch has found.", NULL},
    {"generation", get_generation, NULL,
     "In which generations of a view the last fetch was; else empty.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A value that is made once, whoever wants it; its calls block."},
    {Py_tp_new, CORE_SLOT(make)},
    {Py_tp_dealloc, CORE_SLOT(dealloc)},
    {Py_tp_traverse, CORE_SLOT(traverse)},
    {Py_tp_clear, CORE_SLOT(clear)},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "coatcheck._core.Fill",
    .basicsize = sizeof(struct core_fill),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int core_fill_init(PyObject *module, struct core_state *state)
{
    state->fill_type = core_type_add(module, &spec, NULL, 1);
    return state->fill_type == NULL ? -1 : 0;
}
