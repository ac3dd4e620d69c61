#include "driver.h"

#include "module.h"
#include "run.h"
#include "api/error.h"
#include "api/fault.h"

/* ---- What is lost --------------------------------------------------------------------------- */

/* A call that a channel had in its queue. */
static struct core_call *taken_out(void *owner)
{
    struct core_call *call = owner;

    call->channel = NULL;
    call->place = NULL;
    return call;
}

static void tell_lost(struct core_channel *self)
{
    struct coat_event event;
    void *owner;

    while (coat_channel_lost(self->channel, coat_courier_clock_ms(), &event, &owner)) {
        struct core_call *call = taken_out(owner);

        Py_XSETREF(call->cause, Py_XNewRef(self->cause));
        core_driver_step(call, &event);
    }
}

/* 0, or -1 with an exception. */
static int call_connection(struct core_channel *self, const char *method, PyObject *argument)
{
    PyObject *done;

    if (self->connection == NULL)
        return 0;
    done = core_call_method(self->connection, method, argument);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static void leave_driver(struct core_channel *self)
{
    struct core_driver *driver = self->driver;
    struct core_channel **at = &driver->channels;

    self->driver = NULL;
    while (*at != NULL && *at != self)
        at = &(*at)->next;
    if (*at != NULL) {
        *at = self->next;
        self->next = NULL;
        Py_DECREF(self);
    }
    Py_DECREF(driver);
}

/* It has no store any more once it is open, or will never be. */
static void release_store(struct core_channel *self)
{
    struct core_store *store = self->store;

    if (store == NULL)
        return;
    self->store = NULL;
    core_log_notices(store->store);
    core_store_unuse(store);
    Py_DECREF(store);
}

/* Whatever has happened to it: those who lost their place are told, and a closed one goes. */
static void settle(struct core_channel *self)
{
    enum coat_channel_state state;

    Py_INCREF(self);
    tell_lost(self);
    state = coat_channel_state(self->channel);
    if (state != COAT_CHANNEL_OPENING)
        release_store(self);
    if (state == COAT_CHANNEL_CLOSED && self->driver != NULL) {
        leave_driver(self);
        if (call_connection(self, "abort", NULL) < 0)
            PyErr_WriteUnraisable(self->connection);
        Py_CLEAR(self->connection);
    }
    Py_DECREF(self);
}

void core_channel_fail(struct core_channel *self, const struct coat_error *why)
{
    coat_channel_fail(self->channel, why);
    settle(self);
}

int core_channel_accepts(struct core_channel *self)
{
    int accepts = coat_channel_accepts(self->channel);

    if (!accepts && coat_channel_state(self->channel) == COAT_CHANNEL_CLOSED)
        settle(self);
    return accepts;
}

/* ---- Sending -------------------------------------------------------------------------------- */

static int send_bytes(struct core_channel *self, const char *bytes, size_t len,
                      struct coat_error *err)
{
    PyObject *object = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)len);
    int rc = object == NULL ? -1 : call_connection(self, "write", object);

    Py_XDECREF(object);
    return rc < 0 ? core_driver_failed((PyObject *)self, err) : 0;
}

static void flush_now(struct core_channel *self)
{
    struct coat_error err;
    const char *bytes;
    size_t len;
    int rc;

    self->flushes = 0;
    if (self->paused)
        return;
    rc = coat_channel_output(self->channel, &bytes, &len, &err);
    if (rc > 0)
        rc = send_bytes(self, bytes, len, &err);
    if (rc < 0)
        core_channel_fail(self, &err);
}

static PyObject *flush(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    flush_now((struct core_channel *)object);
    Py_RETURN_NONE;
}

/* With all that is queued before the loop comes round: one write for many calls. */
static int flush_soon(struct core_channel *self, struct coat_error *err)
{
    PyObject *method, *handle = NULL;

    if (self->flushes || coat_channel_state(self->channel) == COAT_CHANNEL_OPENING)
        return 0;
    method = PyObject_GetAttrString((PyObject *)self, "flush");
    if (method != NULL)
        handle = PyObject_CallOneArg(self->driver->call_soon, method);
    Py_XDECREF(method);
    if (handle == NULL)
        return core_driver_failed((PyObject *)self, err);
    Py_DECREF(handle);
    self->flushes = 1;
    return 0;
}

int core_channel_queue(struct core_channel *self, struct core_call *call, struct coat_error *err)
{
    int rc =
        coat_channel_queue(self->channel, &call->hop, call->deadline_ms, call, &call->place, err);

    if (rc < 0)
        return rc;
    rc = flush_soon(self, err);
    if (rc < 0) {
        coat_channel_leave(self->channel, call->place);
        call->place = NULL;
        return rc;
    }
    call->channel = self;
    return 0;
}

/* ---- Receiving ------------------------------------------------------------------------------ */

static int take(struct core_channel *self, const char *bytes, size_t len, struct coat_error *err)
{
    struct coat_event event;
    void *owner;
    int rc = coat_channel_input(self->channel, bytes, len, err);

    while (rc == 0 && (rc = coat_channel_next(self->channel, &event, &owner, err)) > 0) {
        rc = 0;
        if (owner != NULL && core_driver_step(taken_out(owner), &event))
            rc = coat_error_because(err, COAT_EUNAVAILABLE, "closed",
                                    "the connection was closed, for a reply to another request "
                                    "came on it");
    }
    return rc;
}

static PyObject *feed(PyObject *object, PyObject *data)
{
    struct core_channel *self = (struct core_channel *)object;
    int opens = coat_channel_state(self->channel) == COAT_CHANNEL_OPENING;
    struct coat_error err;
    Py_buffer view;
    int rc;

    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    Py_INCREF(self);
    rc = take(self, view.buf, (size_t)view.len, &err);
    PyBuffer_Release(&view);
    if (rc > 0 && call_connection(self, "greet_again", NULL) < 0)
        rc = core_driver_failed(object, &err);
    if (rc < 0)
        core_channel_fail(self, &err);
    else if (opens && rc == 0)
        flush_now(self);
    if (opens || coat_channel_state(self->channel) == COAT_CHANNEL_CLOSED)
        settle(self);
    Py_DECREF(self);
    Py_RETURN_NONE;
}

/* ---- Opening and closing -------------------------------------------------------------------- */

/* Python's half of it. */
static int connect_by_python(struct core_channel *self, struct coat_error *err)
{
    PyObject *done = core_call_method((PyObject *)self->driver, "open", (PyObject *)self);

    if (done == NULL)
        return core_driver_failed((PyObject *)self, err);
    Py_DECREF(done);
    return 0;
}

struct core_channel *core_channel_open(struct core_driver *driver, struct core_store *store,
                                       const struct coat_hop *hop, struct coat_error *err)
{
    PyTypeObject *type = driver->state->channel_type;
    struct core_channel *self = (struct core_channel *)type->tp_alloc(type, 0);

    if (self == NULL) {
        PyErr_Clear();
        coat_error_nomem(err);
        return NULL;
    }
    if (coat_channel_new(&self->channel, store->store, hop->node, err) < 0 ||
        core_driver_wake(driver, coat_channel_due(self->channel), err) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->driver = (struct core_driver *)Py_NewRef((PyObject *)driver);
    self->store = (struct core_store *)Py_NewRef((PyObject *)store);
    self->waits = hop->waits;
    store->users++;                /* open, for a call uses it */
    self->next = driver->channels; /* which takes over the reference */
    driver->channels = self;
    if (connect_by_python(self, err) < 0) {
        core_channel_fail(self, err);
        return NULL;
    }
    return self;
}

void core_channel_expire(struct core_channel *self, int64_t now_ms)
{
    if (coat_channel_expire(self->channel, now_ms))
        settle(self);
}

/* What the server is called, and all that it takes to connect. */
static PyObject *target(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_channel *self = (struct core_channel *)object;
    PyObject *credentials = self->store != NULL ? self->store->credentials : NULL;
    struct coat_target t;

    coat_channel_target(self->channel, &t);
    return Py_BuildValue("{sd sz si sz ss sO si sz sz sz sz sz sz si}", "connect_timeout",
                         (double)t.connect_timeout_ms / 1000, "host", t.host, "port", t.port,
                         "path", t.path, "name", t.name, "credentials",
                         credentials != NULL && t.has_callback ? credentials : Py_None, "tls",
                         t.tls, "ca_file", t.ca_file, "ca_dir", t.ca_dir, "cert_file", t.cert_file,
                         "key_file", t.key_file, "key_password", t.key_password, "server_name",
                         t.server_name, "tls_1_3", t.tls_1_3);
}

static PyObject *greet(PyObject *object, PyObject *credentials)
{
    struct core_channel *self = (struct core_channel *)object;
    struct core_pause pause = {.given = credentials}, *before;
    struct coat_error err;
    int rc;

    if (coat_channel_state(self->channel) != COAT_CHANNEL_OPENING)
        Py_RETURN_NONE;
    before = core_pause_begin(&pause);
    rc = coat_channel_greet(self->channel, &err);
    core_pause_begin(before);
    Py_XSETREF(self->cause, pause.exception);
    if (rc < 0)
        core_channel_fail(self, &err);
    else
        flush_now(self);
    Py_RETURN_NONE;
}

static PyObject *broke(PyObject *object, PyObject *number)
{
    struct core_channel *self = (struct core_channel *)object;
    long system_error = PyLong_AsLong(number);

    if (system_error == -1 && PyErr_Occurred())
        return NULL;
    coat_channel_broke(self->channel, (int)system_error);
    settle(self);
    Py_RETURN_NONE;
}

static PyObject *refuse(PyObject *object, PyObject *args)
{
    struct core_channel *self = (struct core_channel *)object;
    const char *reason, *text;
    PyObject *cause = Py_None;
    struct coat_error err;
    int kind, code;

    if (!PyArg_ParseTuple(args, "Css|O:refuse", &kind, &reason, &text, &cause))
        return NULL;
    if (cause != Py_None)
        Py_XSETREF(self->cause, Py_NewRef(cause));
    code = kind == 'c' ? COAT_ECONFIG : kind == 'd' ? COAT_EDENIED : COAT_EUNAVAILABLE;
    coat_error_because(&err, code, reason, "%s", text);
    if (kind == 't') /* the certificate */
        coat_fault_note(&err, COAT_FAULT_TRUST, code);
    else if (kind == 'h') /* it says nothing of the server */
        coat_fault_note(&err, COAT_FAULT_HERE, code);
    core_channel_fail(self, &err);
    Py_RETURN_NONE;
}

static PyObject *drain(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_channel *self = (struct core_channel *)object;

    coat_channel_drain(self->channel);
    settle(self);
    Py_RETURN_NONE;
}

static PyObject *set_paused(PyObject *object, PyObject *paused)
{
    struct core_channel *self = (struct core_channel *)object;

    self->paused = paused == Py_True;
    if (!self->paused)
        flush_now(self);
    Py_RETURN_NONE;
}

/* ---- The type ------------------------------------------------------------------------------- */

static PyObject *get_connection(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *connection = ((struct core_channel *)object)->connection;

    return Py_NewRef(connection != NULL ? connection : Py_None);
}

static int set_connection(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(((struct core_channel *)object)->connection, Py_XNewRef(value));
    return 0;
}

struct visitor {
    visitproc visit;
    void *arg;
};

static int visit_call(void *owner, void *user)
{
    struct visitor *visitor = user;

    return visitor->visit(owner, visitor->arg);
}

/* The calls that wait here have a reference each: without them a loop that was closed too early
 * would never be collected, nor its connections be closed. */
static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct core_channel *self = (struct core_channel *)object;
    struct visitor visitor = {visit, arg};
    int rc = self->channel == NULL ? 0 : coat_channel_visit(self->channel, visit_call, &visitor);

    if (rc != 0)
        return rc;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->driver);
    Py_VISIT(self->store);
    Py_VISIT(self->connection);
    Py_VISIT(self->cause);
    return 0;
}

/* Those that still wait here will not hear of it: their loop is gone. The node has no part in it.
 */
static void forget_calls(struct core_channel *self)
{
    static const struct coat_error gone = {.code = COAT_EINTR};
    struct coat_event event;
    void *owner;

    coat_channel_fail(self->channel, &gone);
    while (coat_channel_lost(self->channel, 0, &event, &owner)) {
        struct core_call *call = taken_out(owner);

        core_call_abandon(call);
        Py_DECREF(call);
    }
}

static int clear(PyObject *object)
{
    struct core_channel *self = (struct core_channel *)object;

    if (self->channel != NULL)
        forget_calls(self);
    release_store(self);
    Py_CLEAR(self->driver);
    Py_CLEAR(self->connection);
    Py_CLEAR(self->cause);
    return 0;
}

static void dealloc(PyObject *object)
{
    struct core_channel *self = (struct core_channel *)object;
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    clear(object);
    coat_channel_free(self->channel);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"target", target, METH_NOARGS, "target($self)\n--\n\nWhere to connect, and how, as a dict."},
    {"greet", greet, METH_O,
     "greet($self, credentials, /)\n--\n\nIt is connected; the answer of the option credentials."},
    {"feed", feed, METH_O, "feed($self, data, /)\n--\n\nBytes came."},
    {"broke", broke, METH_O, "broke($self, errno, /)\n--\n\nThe connection broke."},
    {"refuse", refuse, METH_VARARGS,
     "refuse($self, kind, reason, text, cause=None)\n--\n\nThere will be no connection. kind: c, it is "
     "a matter of configuration; d, of credentials; t, of certificates; h, of this host, and says\n"
     "nothing of the server; u, of none of these. cause: of what calls then raise."},
    {"drain", drain, METH_NOARGS,
     "drain($self)\n--\n\nNo more calls; it closes when those under way have their replies."},
    {"pause", set_paused, METH_O,
     "pause($self, paused, /)\n--\n\nThe transport has enough to send."},
    {"flush", flush, METH_NOARGS, "flush($self)\n--\n\nWrite what is queued."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"connection", get_connection, set_connection, "Has write(bytes) and abort().", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One connection that calls share; a driver makes it."},
    {Py_tp_dealloc, CORE_SLOT(dealloc)},
    {Py_tp_traverse, CORE_SLOT(traverse)},
    {Py_tp_clear, CORE_SLOT(clear)},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "coatcheck._core.Channel",
    .basicsize = sizeof(struct core_channel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

int core_channel_init(PyObject *module, struct core_state *state)
{
    state->channel_type = core_type_add(module, &spec, NULL, 1);
    return state->channel_type == NULL ? -1 : 0;
}
