#include "store.h"

#include <math.h>
#include <string.h>

#include "conflict.h"
#include "events.h"
#include "index.h"
#include "module.h"
#include "options.h"
#include "run.h"
#include "session.h"
#include "coat_stats.h"
#include "api/op.h"
#include "api/registry.h"

/* For messages. */
static const char *kind_of(const struct core_store *self)
{
    return PyObject_TypeCheck((PyObject *)self, self->state->base_cache_type) ? "cache" : "store";
}

/* ---- Users --------------------------------------------------------------------------------- */

int core_store_use(struct core_store *self)
{
    if (self->closed || self->store == NULL) {
        PyErr_Format(PyExc_ValueError, "the %s %s", kind_of(self),
                     self->closed ? "is closed" : "was never opened");
        return -1;
    }
    self->users++;
    return 0;
}

void core_store_unuse(struct core_store *self)
{
    self->users--;
    if (self->closed && self->users == 0) {
        coat_store_close(self->store);
        self->store = NULL;
    }
}

PyObject *core_store_close(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_store *self = (struct core_store *)object;

    if (!self->closed) {
        self->closed = 1;
        self->users++;
        core_store_unuse(self);
    }
    Py_RETURN_NONE;
}

/* ---- Opening ------------------------------------------------------------------------------- */

/* What the sessions of a store must be: the calls of both block, or of neither. */
static PyTypeObject *session_base(const struct core_store *self)
{
    int blocks = PyType_IsSubtype(Py_TYPE(self), self->state->store_type);

    return blocks ? self->state->session_type : self->state->base_session_type;
}

/* Which store it is, for repr() also when it is closed. */
static PyObject *about(const struct coat_store *store)
{
    char text[1024];

    coat_store_describe(store, text, sizeof text);
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

struct arguments {
    PyObject *options, *session_type, *credentials, *on_conflict, *on_event, *log_event;
    int env;
};

/* All borrowed; what was not given is None. 0, or -1 with an exception. */
static int read_arguments(const struct core_store *self, PyObject *args, PyObject *keywords,
                          struct arguments *a)
{
    static char *names[] = {"options",     "env",      "session_type", "credentials",
                            "on_conflict", "on_event", "log_event",    NULL};

    a->credentials = a->on_conflict = a->on_event = a->log_event = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OpO!|OOOO:Store", names, &a->options, &a->env,
                                     &PyType_Type, &a->session_type, &a->credentials,
                                     &a->on_conflict, &a->on_event, &a->log_event))
        return -1;
    if (a->credentials != Py_None && !PyCallable_Check(a->credentials)) {
        PyErr_SetString(PyExc_TypeError, "credentials must be callable, or None");
        return -1;
    }
    if (a->on_conflict != Py_None && !PyDict_CheckExact(a->on_conflict)) {
        PyErr_SetString(PyExc_TypeError, "on_conflict must be a dict, or None");
        return -1;
    }
    if (!PyType_IsSubtype((PyTypeObject *)a->session_type, session_base(self))) {
        PyErr_Format(PyExc_TypeError, "session_type must be a subclass of %s",
                     session_base(self)->tp_name);
        return -1;
    }
    return 0;
}

int core_store_open(struct core_store *self, struct coat_options *options, PyObject *credentials)
{
    struct coat_store *store = NULL;
    struct coat_error err;
    PyThreadState *thread;
    int rc;

    if (credentials != Py_None)
        coat_options_credentials(options, core_credentials, credentials);
    /* embedded: starts its server here, and waits for it. */
    thread = PyEval_SaveThread();
    rc = coat_store_open_in(self->state->registry, &store, options, &err);
    coat_options_free(options);
    PyEval_RestoreThread(thread);
    if (rc < 0)
        core_raise(self->state, &err, "");
    else if (self->store != NULL || self->closed)
        PyErr_Format(PyExc_RuntimeError, "a %s is opened only once", kind_of(self));
    else
        self->about = about(store);
    if (PyErr_Occurred()) {
        coat_store_close(store);
        return -1;
    }
    self->store = store;
    self->credentials = credentials == Py_None ? NULL : Py_NewRef(credentials);
    return 0;
}

static int init(PyObject *object, PyObject *args, PyObject *keywords)
{
    struct core_store *self = (struct core_store *)object;
    struct coat_options *options;
    struct arguments a;

    if (read_arguments(self, args, keywords, &a) < 0 ||
        (options = core_options_from(self->state, a.options, a.env)) == NULL)
        return -1;
    if (a.on_conflict != Py_None)
        coat_options_on_conflict(options, core_conflict, self);
    if (core_store_open(self, options, a.credentials) < 0)
        return -1;
    self->on_conflict = a.on_conflict == Py_None ? NULL : Py_NewRef(a.on_conflict);
    core_events_begin(self, a.on_event, a.log_event);
    Py_INCREF(a.session_type);
    Py_XSETREF(self->session_type, (PyTypeObject *)a.session_type);
    return 0;
}

/* ---- Sessions ------------------------------------------------------------------------------ */

static PyObject *new_session(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_store *self = (struct core_store *)object;
    struct coat_session *session;
    struct coat_error err;

    if (core_store_use(self) < 0)
        return NULL;
    if (coat_session_new(self->store, &session, &err) < 0) {
        core_store_unuse(self);
        return core_raise(self->state, &err, "");
    }
    return core_session_make(self, self->session_type, session, NULL, NULL);
}

int core_store_session_for(struct core_store *self, PyObject *id, struct coat_session **session)
{
    struct coat_error err;
    Py_ssize_t len;
    const char *text;
    int rc;

    if (!PyUnicode_Check(id)) {
        PyErr_Format(PyExc_TypeError, "a session id is a str, not %.80s%s", Py_TYPE(id)->tp_name,
                     id == Py_None ? ": a session has an id once it is stored" : "");
        return -1;
    }
    text = PyUnicode_AsUTF8AndSize(id, &len);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        text = "", len = 0; /* as malformed as that, and counted so */
    }
    if (text == NULL)
        return -1;
    rc = coat_session_for_id(self->store, text, (size_t)len, session, &err);
    if (rc < 0)
        core_raise(self->state, &err, "");
    return rc < 0 ? -1 : rc;
}

/* Run an operation on the session of an id: what it returns, 0 where there is none, -1. */
static int run_on_id(struct core_store *self, PyObject *id, enum coat_session_op which,
                     struct coat_session **session)
{
    int rc = core_store_session_for(self, id, session);

    if (rc > 0)
        rc = core_run(self->state, self->store, coat_session_op(*session, which), 0);
    return rc;
}

static PyObject *load_by(PyObject *object, PyObject *id, enum coat_session_op which)
{
    struct core_store *self = (struct core_store *)object;
    struct coat_session *session = NULL;
    int rc;

    if (core_store_use(self) < 0)
        return NULL;
    rc = run_on_id(self, id, which, &session);
    if (rc > 0)
        return core_session_make(self, self->session_type, session, NULL, NULL);
    coat_session_close(session);
    core_store_unuse(self);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *load(PyObject *object, PyObject *id)
{
    return load_by(object, id, COAT_OP_LOAD);
}

static PyObject *load_locked(PyObject *object, PyObject *id)
{
    return load_by(object, id, COAT_OP_LOCK);
}

static PyObject *destroy(PyObject *object, PyObject *id)
{
    struct core_store *self = (struct core_store *)object;
    struct coat_session *session = NULL;
    int rc;

    if (core_store_use(self) < 0)
        return NULL;
    rc = run_on_id(self, id, COAT_OP_DESTROY, &session);
    coat_session_close(session);
    core_store_unuse(self);
    return rc < 0 ? NULL : PyBool_FromLong(rc);
}

static PyObject *lazy_session(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "on_error", "type", NULL};
    struct core_store *self = (struct core_store *)object;
    PyObject *id, *on_error = Py_None, *given = Py_None;
    PyTypeObject *type;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|OO:session", names, &id, &on_error, &given))
        return NULL;
    if (id != Py_None && !PyUnicode_Check(id))
        return PyErr_Format(PyExc_TypeError, "a session id is a str or None, not %.80s",
                            Py_TYPE(id)->tp_name);
    type = given == Py_None ? self->session_type : (PyTypeObject *)given;
    if (!PyType_Check(type) || !PyType_IsSubtype(type, session_base(self)))
        return PyErr_Format(PyExc_TypeError, "type must be a subclass of %s",
                            session_base(self)->tp_name);
    if (core_store_use(self) < 0)
        return NULL;
    return core_session_make(self, type, NULL, id == Py_None ? NULL : id,
                             on_error == Py_None ? NULL : on_error);
}

/* ---- The sessions of a principal ------------------------------------------------------------ */

static PyObject *sessions(PyObject *object, PyObject *principal)
{
    return core_index_call((struct core_store *)object, COAT_INDEX_LIST, principal, Py_None);
}

static PyObject *destroy_one(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"principal", "public_id", NULL};
    PyObject *principal, *public_id;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO:destroy_one", names, &principal,
                                     &public_id))
        return NULL;
    return core_index_call((struct core_store *)object, COAT_INDEX_END_ONE, principal, public_id);
}

static PyObject *destroy_all(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"principal", "keep", NULL};
    PyObject *principal, *keep = Py_None;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:destroy_all", names, &principal, &keep))
        return NULL;
    return core_index_call((struct core_store *)object, COAT_INDEX_END_ALL, principal, keep);
}

/* ---- The rest ------------------------------------------------------------------------------ */

int64_t core_store_timeout(PyObject *timeout)
{
    double seconds;

    if (timeout == Py_None)
        return 0;
    seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (seconds > 0 && seconds <= 86400)
        return (int64_t)ceil(seconds * 1000);
    PyErr_SetString(PyExc_ValueError, "timeout must be above 0 and at most 86400 seconds");
    return -1;
}

PyObject *core_store_ping(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"timeout", NULL};
    struct core_store *self = (struct core_store *)object;
    PyObject *timeout = Py_None;
    struct coat_ping request;
    int64_t timeout_ms;
    int rc;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O:ping", names, &timeout) ||
        (timeout_ms = core_store_timeout(timeout)) < 0 || core_store_use(self) < 0)
        return NULL;
    rc = core_run(self->state, self->store, coat_ping_op(&request), timeout_ms);
    core_store_unuse(self);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *core_store_stop_embedded(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_store *self = (struct core_store *)object;
    struct coat_error err;
    int rc;

    if (core_store_use(self) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS rc = coat_store_stop_embedded(self->store, &err);
    Py_END_ALLOW_THREADS core_store_unuse(self);
    if (rc < 0)
        return core_raise(self->state, &err, "");
    Py_RETURN_NONE;
}

/* One sample: its name with its labels is the key, as in Prometheus' text format. */
static int add_sample(void *figures, const struct coat_sample *sample)
{
    PyObject *key =
        sample->labels[0] != '\0'
            ? PyUnicode_FromFormat("%s%s{%s}", sample->metric->name, sample->suffix, sample->labels)
            : PyUnicode_FromFormat("%s%s", sample->metric->name, sample->suffix);
    PyObject *value = sample->value == floor(sample->value) ? PyLong_FromDouble(sample->value)
                                                            : PyFloat_FromDouble(sample->value);
    int rc = key == NULL || value == NULL ? -1 : PyDict_SetItem(figures, key, value);

    Py_XDECREF(key);
    Py_XDECREF(value);
    return rc;
}

PyObject *core_store_stats(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_store *self = (struct core_store *)object;
    PyObject *figures;

    if (core_store_use(self) < 0)
        return NULL;
    figures = PyDict_New();
    if (figures != NULL && coat_store_stats(self->store, add_sample, figures) < 0)
        Py_CLEAR(figures);
    core_store_unuse(self);
    return figures;
}

/* One sample with what an exporter has to say of its metric. */
static int append_sample(void *samples, const struct coat_sample *sample)
{
    static const char *const kinds[] = {
        [COAT_COUNTER] = "counter", [COAT_GAUGE] = "gauge", [COAT_HISTOGRAM] = "histogram"};
    PyObject *item =
        Py_BuildValue("sssssd", sample->metric->name, sample->metric->help,
                      kinds[sample->metric->kind], sample->suffix, sample->labels, sample->value);
    int rc = item == NULL ? -1 : PyList_Append(samples, item);

    Py_XDECREF(item);
    return rc;
}

PyObject *core_store_samples(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_store *self = (struct core_store *)object;
    PyObject *list;

    if (core_store_use(self) < 0)
        return NULL;
    list = PyList_New(0);
    if (list != NULL && coat_store_stats(self->store, append_sample, list) < 0)
        Py_CLEAR(list);
    core_store_unuse(self);
    return list;
}

PyObject *core_store_repr(PyObject *object)
{
    struct core_store *self = (struct core_store *)object;
    const char *kind = kind_of(self)[0] == 'c' ? "Cache" : "Store";

    if (self->about == NULL)
        return PyUnicode_FromFormat("<%s, never opened>", kind);
    return PyUnicode_FromFormat("<%s %U%s>", kind, self->about, self->closed ? ", closed" : "");
}

static PyMethodDef methods[] = {
    {"new", new_session, METH_NOARGS, "new($self)\n--\n\nA new session, not yet stored."},
    {"session", CORE_METHOD(lazy_session), METH_VARARGS | METH_KEYWORDS,
     "session($self, id, /, on_error=None, type=None)\n--\n\n"
     "The session of a request, not loaded yet; a new one where the id opens none. It is loaded when\n"
     "it is first looked at, or where its calls are awaited, by `await session.load()`.\n"
     "Where loading fails, on_error(exception) may raise, or return True for an empty session that\n"
     "cannot be written, or False for a new one. type: a subclass of Session that it is to be."},
    {"stats", core_store_stats, METH_NOARGS,
     "stats($self)\n--\n\nFigures for monitoring: names with labels as Prometheus writes them, and values."},
    {"_samples", core_store_samples, METH_NOARGS,
     "_samples($self)\n--\n\nThe same with the name, help and kind of each metric."},
    {"close", core_store_close, METH_NOARGS,
     "close($self)\n--\n\nClose it; its sessions can no longer be used. Any number of times."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef blocking_methods[] = {
    {"stop_embedded", core_store_stop_embedded, METH_NOARGS,
     "stop_embedded($self)\n--\n\nStop the server of an embedded: store."},
    {"load", load, METH_O, "load($self, id, /)\n--\n\nThe session that an id opens, or None."},
    {"_load_locked", load_locked, METH_O,
     "_load_locked($self, id, /)\n--\n\nAs load, with the lock of the session."},
    {"destroy", destroy, METH_O,
     "destroy($self, id, /)\n--\n\nEnd the session that an id opens; False if there was none."},
    {"sessions", sessions, METH_O,
     "sessions($self, principal, /)\n--\n\n"
     "Tuples (public id, created_ms, deadline_ms, shown fields), the first to end first."},
    {"destroy_one", CORE_METHOD(destroy_one), METH_VARARGS | METH_KEYWORDS,
     "destroy_one($self, principal, public_id)\n--\n\n"
     "End one session of a principal; False if there is none with that public id."},
    {"destroy_all", CORE_METHOD(destroy_all), METH_VARARGS | METH_KEYWORDS,
     "destroy_all($self, principal, keep=None)\n--\n\n"
     "End all sessions of a principal but one: how many, and whether the index was lost."},
    {"ping", CORE_METHOD(core_store_ping), METH_VARARGS | METH_KEYWORDS,
     "ping($self, timeout=None)\n--\n\nAsk the server whether it is there."},
    {NULL, NULL, 0, NULL},
};

/* ---- The type ------------------------------------------------------------------------------ */

PyObject *core_store_make(PyTypeObject *type, PyObject *Py_UNUSED(args),
                          PyObject *Py_UNUSED(keywords))
{
    struct core_store *self = (struct core_store *)type->tp_alloc(type, 0);

    if (self != NULL)
        self->state = core_state_of(type, core_store_dealloc);
    return (PyObject *)self;
}

int core_store_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct core_store *self = (struct core_store *)object;

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->session_type);
    Py_VISIT(self->credentials);
    Py_VISIT(self->on_conflict);
    Py_VISIT(self->on_event);
    return 0;
}

/* Not what the library's store may still call. */
int core_store_clear(PyObject *object)
{
    Py_CLEAR(((struct core_store *)object)->session_type);
    return 0;
}

void core_store_dealloc(PyObject *object)
{
    struct core_store *self = (struct core_store *)object;
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    core_store_clear(object);
    coat_store_close(self->store); /* its users have references to it */
    Py_XDECREF(self->credentials);
    Py_XDECREF(self->about);
    Py_XDECREF(self->on_conflict);
    Py_XDECREF(self->on_event);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "Where the sessions of one application live."},
    {Py_tp_new, CORE_SLOT(core_store_make)},
    {Py_tp_init, CORE_SLOT(init)},
    {Py_tp_dealloc, CORE_SLOT(core_store_dealloc)},
    {Py_tp_traverse, CORE_SLOT(core_store_traverse)},
    {Py_tp_clear, CORE_SLOT(core_store_clear)},
    {Py_tp_repr, CORE_SLOT(core_store_repr)},
    {Py_tp_methods, methods},
    {0, NULL},
};

/* What does not wait for the server. */
static PyType_Spec spec = {
    .name = "coatcheck._core.BaseStore",
    .basicsize = sizeof(struct core_store),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

static PyType_Slot blocking_slots[] = {
    {Py_tp_doc, "Where the sessions of one application live; its calls block."},
    {Py_tp_methods, blocking_methods},
    {0, NULL},
};

static PyType_Spec blocking_spec = {
    .name = "coatcheck._core.Store",
    .basicsize = sizeof(struct core_store),
    /* The garbage collector's part is inherited. */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = blocking_slots,
};

int core_store_init(PyObject *module, struct core_state *state)
{
    state->base_store_type = core_type_add(module, &spec, NULL, 1);
    if (state->base_store_type == NULL)
        return -1;
    state->store_type = core_type_add(module, &blocking_spec, state->base_store_type, 1);
    return state->store_type == NULL ? -1 : 0;
}
