#include "request.h"

#include <math.h>

#include "decode.h"
#include "encode.h"
#include "module.h"
#include "run.h"
#include "api/error.h"

/* ---- Arguments ------------------------------------------------------------------------------ */

enum { ARGUMENTS = 4 };

struct signature {
    const char *name;
    Py_ssize_t required, positional;
    const char *arguments[ARGUMENTS];
};

static const struct signature signatures[CORE_METHODS] = {
    [CORE_GET] = {"get", 1, 2, {"key", "default"}},
    [CORE_GET_MANY] = {"get_many", 1, 1, {"keys"}},
    [CORE_SET] = {"set", 2, 3, {"key", "value", "ttl", "only_if"}},
    [CORE_ADD] = {"add", 2, 3, {"key", "value", "ttl"}},
    [CORE_SET_MANY] = {"set_many", 1, 2, {"entries", "ttl"}},
    [CORE_DELETE] = {"delete", 1, 1, {"key"}},
    [CORE_DELETE_MANY] = {"delete_many", 1, 1, {"keys"}},
    [CORE_HAS] = {"has", 1, 1, {"key"}},
    [CORE_TOUCH] = {"touch", 1, 2, {"key", "ttl"}},
    [CORE_TTL] = {"ttl", 1, 1, {"key"}},
    [CORE_POP] = {"pop", 1, 2, {"key", "default"}},
    [CORE_INCR] = {"incr", 1, 2, {"key", "by", "initial", "ttl"}},
    [CORE_DECR] = {"decr", 1, 2, {"key", "by", "initial", "ttl"}},
    [CORE_GET_VERSIONED] = {"get_versioned", 1, 2, {"key", "default"}},
    [CORE_COMPARE_AND_SET] = {"compare_and_set", 3, 4, {"key", "value", "version", "ttl"}},
    [CORE_INVALIDATE] = {"_invalidate", 1, 1, {"names"}},
};

enum core_method core_method_named(PyObject *name)
{
    int i = 0;

    while (i < CORE_METHODS && (!PyUnicode_Check(name) ||
                                PyUnicode_CompareWithASCIIString(name, signatures[i].name) != 0))
        i++;
    return (enum core_method)i;
}

/* Which argument has this name; -1 with an exception. */
static int find_argument(const struct signature *s, PyObject *name)
{
    for (int i = 0; i < ARGUMENTS && s->arguments[i] != NULL; i++)
        if (PyUnicode_CompareWithASCIIString(name, s->arguments[i]) == 0)
            return i;
    PyErr_Format(PyExc_TypeError, "%s() has no argument %R", s->name, name);
    return -1;
}

/* All borrowed; NULL where one is not given. 0, or -1 with an exception. */
static int read_arguments(const struct signature *s, PyObject *const *args, Py_ssize_t count,
                          PyObject *keywords, PyObject *values[ARGUMENTS])
{
    if (count > s->positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd positional arguments, %zd were given",
                     s->name, s->positional, count);
        return -1;
    }
    for (Py_ssize_t i = 0; i < ARGUMENTS; i++)
        values[i] = i < count ? args[i] : NULL;
    for (Py_ssize_t i = 0; keywords != NULL && i < PyTuple_GET_SIZE(keywords); i++) {
        int at = find_argument(s, PyTuple_GET_ITEM(keywords, i));

        if (at < 0)
            return -1;
        if (values[at] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got the argument %s twice", s->name,
                         s->arguments[at]);
            return -1;
        }
        values[at] = args[count + i];
    }
    for (Py_ssize_t i = 0; i < s->required; i++) {
        if (values[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() needs the argument %s", s->name, s->arguments[i]);
            return -1;
        }
    }
    return 0;
}

/* ---- Keys, values, numbers ------------------------------------------------------------------ */

const char *core_request_key(PyObject *key, Py_ssize_t *len)
{
    const char *text;

    if (!PyUnicode_Check(key)) {
        PyErr_Format(PyExc_TypeError, "a key of a cache is a str, not %.80s",
                     Py_TYPE(key)->tp_name);
        return NULL;
    }
    text = PyUnicode_AsUTF8AndSize(key, len);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        PyErr_SetString(PyExc_ValueError, "a key of a cache has no lone surrogates");
    }
    return text;
}

static int add_key(struct core_request *r, PyObject *key)
{
    struct coat_error err;
    Py_ssize_t len;
    const char *text = core_request_key(key, &len);

    if (text == NULL)
        return -1;
    if (coat_cache_op_key(r->op, text, (size_t)len, &err) == 0)
        return 0;
    core_raise(r->cache->base.state, &err, "");
    return -1;
}

static int add_value(struct core_request *r, PyObject *value, const char *root,
                     const struct core_place *place, int64_t ttl_ms)
{
    struct core_state *state = r->cache->base.state;
    struct core_bytes bytes;
    struct coat_error err;

    if (core_encode(state, value, root, place, coat_store_limits(r->cache->base.store), &bytes) < 0)
        return -1;
    ttl_ms = core_cache_jitter(r->cache, ttl_ms);
    if (coat_cache_op_value(r->op, bytes.at, bytes.len, ttl_ms, &err) == 0)
        return 0;
    core_raise(state, &err, "value");
    return -1;
}

/* 0, or -1 with an exception. */
static int read_number(PyObject *number, const char *name, int64_t *out)
{
    int overflow;

    if (!PyLong_CheckExact(number)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, not %.80s", name,
                     Py_TYPE(number)->tp_name);
        return -1;
    }
    *out = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow == 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s does not fit 64 bits", name);
    return -1;
}

/* ---- Beginning ------------------------------------------------------------------------------ */

static int new_op(struct core_request *r, enum coat_cache_do what, Py_ssize_t count)
{
    struct coat_error err;

    if (coat_cache_op_new(&r->op, r->cache->base.store, what, (size_t)count, &err) == 0 &&
        coat_cache_op_in(r->op, core_view_names(r->view), &err) == 0)
        return 0;
    core_raise(r->cache->base.state, &err, "");
    return -1;
}

static int begin_one(struct core_request *r, enum coat_cache_do what, PyObject *key)
{
    r->key = Py_NewRef(key);
    return new_op(r, what, 1) < 0 ? -1 : add_key(r, key);
}

static int begin_many(struct core_request *r, enum coat_cache_do what, PyObject *keys)
{
    if (PyUnicode_Check(keys)) {
        PyErr_SetString(PyExc_TypeError, "keys are given as a list of str, not as one str");
        return -1;
    }
    /* Its own: nobody can change it while it is asked for. */
    r->key = PySequence_Tuple(keys);
    if (r->key == NULL || new_op(r, what, PyTuple_GET_SIZE(r->key)) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(r->key); i++)
        if (add_key(r, PyTuple_GET_ITEM(r->key, i)) < 0)
            return -1;
    return 0;
}

/* No names: the own ones of the view. */
static int begin_invalidate(struct core_request *r, PyObject *names)
{
    struct coat_error err;

    if (r->view == NULL || !PyTuple_Check(names) || PyTuple_GET_SIZE(names) > 0)
        return begin_many(r, COAT_CACHE_INVALIDATE, names);
    if (new_op(r, COAT_CACHE_INVALIDATE, (Py_ssize_t)coat_view_own(r->view->view)) < 0)
        return -1;
    if (coat_cache_op_own(r->op, &err) == 0)
        return 0;
    core_raise(r->cache->base.state, &err, "");
    return -1;
}

/* nothing: what is returned where nothing is. Taken over; NULL: an exception is set. */
static int begin_reading(struct core_request *r, enum coat_cache_do what, PyObject *key,
                         PyObject *nothing)
{
    r->found = nothing;
    return nothing == NULL ? -1 : begin_one(r, what, key);
}

/* COAT_CACHE_SET, ADD or REPLACE; -1 with an exception. */
static int condition(PyObject *only_if)
{
    if (only_if == NULL || only_if == Py_None)
        return COAT_CACHE_SET;
    if (PyUnicode_Check(only_if)) {
        if (PyUnicode_CompareWithASCIIString(only_if, "new") == 0)
            return COAT_CACHE_ADD;
        if (PyUnicode_CompareWithASCIIString(only_if, "present") == 0)
            return COAT_CACHE_REPLACE;
    }
    PyErr_Format(PyExc_ValueError, "only_if must be \"new\", \"present\" or None, not %R", only_if);
    return -1;
}

static int begin_set(struct core_request *r, int what, PyObject *key, PyObject *value,
                     PyObject *ttl)
{
    int64_t ttl_ms = what < 0 ? -1 : core_cache_ttl(r->cache, ttl);

    if (ttl_ms < 0 || begin_one(r, (enum coat_cache_do)what, key) < 0)
        return -1;
    return add_value(r, value, "value", NULL, ttl_ms);
}

/* No Python code runs between the entries. */
static int add_entries(struct core_request *r, PyObject *entries, int64_t ttl_ms)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;

    if (new_op(r, COAT_CACHE_SET, PyDict_GET_SIZE(entries)) < 0)
        return -1;
    while (PyDict_Next(entries, &at, &key, &value)) {
        struct core_place place = {NULL, key, 0};

        if (add_key(r, key) < 0 || add_value(r, value, "entries", &place, ttl_ms) < 0)
            return -1;
    }
    return 0;
}

static int begin_set_many(struct core_request *r, PyObject *entries, PyObject *ttl)
{
    int64_t ttl_ms = core_cache_ttl(r->cache, ttl);
    PyObject *dict;
    int rc;

    if (ttl_ms < 0)
        return -1;
    if (PyDict_CheckExact(entries))
        dict = Py_NewRef(entries);
    else
        dict = PyObject_CallOneArg((PyObject *)&PyDict_Type, entries);
    rc = dict == NULL ? -1 : add_entries(r, dict, ttl_ms);
    Py_XDECREF(dict);
    return rc;
}

static int begin_touch(struct core_request *r, PyObject *key, PyObject *ttl)
{
    int64_t ttl_ms = core_cache_ttl(r->cache, ttl);
    struct coat_error err;

    if (ttl_ms < 0 || begin_one(r, COAT_CACHE_TOUCH, key) < 0)
        return -1;
    if (coat_cache_op_value(r->op, NULL, 0, ttl_ms, &err) == 0)
        return 0;
    core_raise(r->cache->base.state, &err, "");
    return -1;
}

static int begin_incr(struct core_request *r, PyObject *const values[ARGUMENTS])
{
    int64_t by = 1, initial = 0, ttl_ms = core_cache_ttl(r->cache, values[3]);
    int makes = values[2] != Py_None;
    struct coat_error err;

    if (ttl_ms < 0 || (values[1] != NULL && read_number(values[1], "by", &by) < 0) ||
        (values[2] != NULL && makes && read_number(values[2], "initial", &initial) < 0) ||
        begin_one(r, COAT_CACHE_INCR, values[0]) < 0)
        return -1;
    if (r->method == CORE_DECR && __builtin_sub_overflow((int64_t)0, by, &by)) {
        PyErr_SetString(PyExc_ValueError, "by does not fit 64 bits, with the other sign");
        return -1;
    }
    ttl_ms = core_cache_jitter(r->cache, ttl_ms);
    if (coat_cache_op_incr(r->op, by, makes ? &initial : NULL, ttl_ms, &err) == 0)
        return 0;
    core_raise(r->cache->base.state, &err, "");
    return -1;
}

/* Which version is replaced; of no entry there is none. */
static int begin_swap(struct core_request *r, PyObject *const values[ARGUMENTS])
{
    struct coat_error err;
    Py_ssize_t len;
    const char *version;

    if (values[2] == Py_None)
        return begin_set(r, COAT_CACHE_ADD, values[0], values[1], values[3]);
    if (!PyUnicode_Check(values[2])) {
        PyErr_Format(PyExc_TypeError, "version must be what get_versioned() returned, not %.80s",
                     Py_TYPE(values[2])->tp_name);
        return -1;
    }
    version = PyUnicode_AsUTF8AndSize(values[2], &len);
    if (version == NULL || begin_set(r, COAT_CACHE_SWAP, values[0], values[1], values[3]) < 0)
        return -1;
    if (coat_cache_op_version(r->op, version, (size_t)len, &err) == 0)
        return 0;
    core_raise(r->cache->base.state, &err, "");
    return -1;
}

static int begin(struct core_request *r, PyObject *const values[ARGUMENTS])
{
    PyObject *key = values[0], *other = values[1] != NULL ? values[1] : Py_None;

    switch (r->method) {
    case CORE_GET:
        return begin_reading(r, COAT_CACHE_GET, key, Py_NewRef(other));
    case CORE_POP:
        return begin_reading(r, COAT_CACHE_POP, key, Py_NewRef(other));
    case CORE_GET_VERSIONED:
        return begin_reading(r, COAT_CACHE_GET, key, PyTuple_Pack(2, other, Py_None));
    case CORE_COMPARE_AND_SET:
        return begin_swap(r, values);
    case CORE_GET_MANY:
        r->found = PyDict_New();
        return r->found == NULL ? -1 : begin_many(r, COAT_CACHE_GET, key);
    case CORE_SET:
        return begin_set(r, condition(values[3]), key, values[1], values[2]);
    case CORE_ADD:
        return begin_set(r, COAT_CACHE_ADD, key, values[1], values[2]);
    case CORE_SET_MANY:
        return begin_set_many(r, key, values[1]);
    case CORE_DELETE:
        return begin_one(r, COAT_CACHE_DELETE, key);
    case CORE_DELETE_MANY:
        return begin_many(r, COAT_CACHE_DELETE, key);
    case CORE_HAS:
        return begin_one(r, COAT_CACHE_HAS, key);
    case CORE_TOUCH:
        return begin_touch(r, key, values[1]);
    case CORE_TTL:
        return begin_one(r, COAT_CACHE_TTL, key);
    case CORE_INVALIDATE:
        return begin_invalidate(r, key);
    default:
        return begin_incr(r, values);
    }
}

int core_request_begin(struct core_request *r, struct core_cache *cache, struct core_view *view,
                       enum core_method method, PyObject *const *args, Py_ssize_t count,
                       PyObject *keywords)
{
    PyObject *values[ARGUMENTS];

    *r = (struct core_request){.cache = cache, .method = method};
    r->view = (struct core_view *)Py_XNewRef((PyObject *)view);
    if (read_arguments(&signatures[method], args, count, keywords, values) == 0 &&
        begin(r, values) == 0)
        return 0;
    core_request_release(r);
    return -1;
}

/* ---- What comes back ------------------------------------------------------------------------ */

/* What a reply cannot be decoded to is missing, unless it is to be raised. 0, or -1. */
static int forgive(const struct core_cache *cache)
{
    PyObject *corrupt = cache->base.state->exceptions[CORE_CORRUPT];

    if (cache->raises_corrupt || !PyErr_ExceptionMatches(corrupt))
        return -1;
    PyErr_Clear();
    coat_store_note_corrupt_entry(cache->base.store);
    return 0;
}

int core_request_decode(struct core_cache *cache, const struct coat_reply *reply, PyObject **value)
{
    struct core_state *state = cache->base.state;
    struct coat_cache_room room;
    struct coat_error err;
    const void *bytes;
    size_t len;
    int rc = coat_cache_value(reply, &room, &bytes, &len, &err);

    if (rc == 0)
        return 0;
    *value = rc < 0 ? core_raise(state, &err, "value")
                    : core_decode(state, bytes, len, coat_store_limits(cache->base.store));
    return *value == NULL ? forgive(cache) : 1;
}

/* The value with the version of its entry. */
static int keep_versioned(struct core_request *r, const struct coat_reply *reply, PyObject *value)
{
    char version[COAT_CACHE_VERSION_LEN + 1];
    struct coat_error err;
    PyObject *pair;

    if (coat_cache_version(reply, version, &err) < 0) {
        Py_DECREF(value);
        core_raise(r->cache->base.state, &err, "value");
        return -1;
    }
    pair = Py_BuildValue("(Ns)", value, version);
    if (pair == NULL)
        return -1;
    Py_SETREF(r->found, pair);
    return 0;
}

/* The value is taken over. */
static int keep(struct core_request *r, size_t nth, const struct coat_reply *reply, PyObject *value)
{
    int rc = 0;

    if (r->method == CORE_GET_VERSIONED)
        return keep_versioned(r, reply, value);
    if (r->method == CORE_GET_MANY)
        rc = PyDict_SetItem(r->found, PyTuple_GET_ITEM(r->key, (Py_ssize_t)nth), value);
    else
        Py_SETREF(r->found, Py_NewRef(value));
    Py_DECREF(value);
    return rc;
}

struct finding {
    struct core_request *request;
    const struct coat_reply *replies;
    size_t count;
};

/* How many there are; -1 with an exception. */
static int keep_all(void *finding)
{
    const struct finding *f = finding;
    int sum = 0;

    for (size_t i = 0; i < f->count; i++) {
        PyObject *value;
        int rc = core_request_decode(f->request->cache, &f->replies[i], &value);

        if (rc < 0 || (rc > 0 && keep(f->request, i, &f->replies[i], value) < 0))
            return -1;
        sum += rc;
    }
    return sum;
}

static int found(void *context, const struct coat_reply *replies, size_t count,
                 struct coat_error *err)
{
    struct finding f = {context, replies, count};
    int rc = core_call_back(keep_all, &f, CORE_RAISES);

    return rc < 0 ? coat_error_set(err, COAT_ECORRUPT, "what was found could not be decoded") : rc;
}

struct coat_op *core_request_op(struct core_request *r)
{
    if (r->found != NULL)
        coat_cache_op_found(r->op, found, r);
    return coat_cache_op(r->op);
}

/* ---- Results -------------------------------------------------------------------------------- */

static PyObject *seconds_left(const struct core_request *r, int rc)
{
    int64_t left_ms = coat_cache_op_number(r->op);

    if (rc == 0)
        Py_RETURN_NONE;
    return PyFloat_FromDouble(left_ms < 0 ? INFINITY : (double)left_ms / 1000);
}

static PyObject *sum(const struct core_request *r, int rc)
{
    if (rc > 0)
        return PyLong_FromLongLong(coat_cache_op_number(r->op));
    PyErr_SetObject(PyExc_KeyError, r->key);
    return NULL;
}

PyObject *core_request_result(const struct core_request *r, int rc)
{
    switch (r->method) {
    case CORE_GET:
    case CORE_GET_MANY:
    case CORE_GET_VERSIONED:
    case CORE_POP:
        return Py_NewRef(r->found);
    case CORE_SET_MANY:
        Py_RETURN_NONE;
    case CORE_DELETE_MANY:
    case CORE_INVALIDATE:
        return PyLong_FromLong(rc);
    case CORE_TTL:
        return seconds_left(r, rc);
    case CORE_INCR:
    case CORE_DECR:
        return sum(r, rc);
    default:
        return PyBool_FromLong(rc);
    }
}

int core_request_traverse(struct core_request *r, visitproc visit, void *arg)
{
    Py_VISIT(r->view);
    Py_VISIT(r->key);
    Py_VISIT(r->found);
    return 0;
}

void core_request_release(struct core_request *r)
{
    coat_cache_op_free(r->op);
    r->op = NULL;
    Py_CLEAR(r->view);
    Py_CLEAR(r->key);
    Py_CLEAR(r->found);
}
