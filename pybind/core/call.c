#include "call.h"

#include "driver.h"
#include "index.h"
#include "module.h"
#include "run.h"

/* ---- Beginning ------------------------------------------------------------------------------ */

static struct coat_op *operation(struct core_call *call)
{
    switch (call->kind) {
    case CORE_CALL_LOAD:
    case CORE_CALL_LOAD_INTO:
        return coat_session_op(call->session, COAT_OP_LOAD);
    case CORE_CALL_LOCK:
        return coat_session_op(call->session, COAT_OP_LOCK);
    case CORE_CALL_UNLOCK:
        return coat_session_op(call->session, COAT_OP_UNLOCK);
    case CORE_CALL_SAVE:
        return coat_session_op(call->session, COAT_OP_SAVE);
    case CORE_CALL_UPDATE:
        return coat_session_op(call->session, COAT_OP_UPDATE);
    case CORE_CALL_END:
    case CORE_CALL_DESTROY:
        return coat_session_op(call->session, COAT_OP_DESTROY);
    case CORE_CALL_LIST:
    case CORE_CALL_DESTROY_ONE:
    case CORE_CALL_DESTROY_ALL:
        return coat_index_op(call->index);
    case CORE_CALL_CACHE:
        return core_request_op(&call->request);
    case CORE_CALL_SCAN:
        return coat_cache_scan_op(call->scan->scan);
    case CORE_CALL_FILL:
        return call->fill_op;
    default:
        return coat_ping_op(&call->ping);
    }
}

static int owns_session(const struct core_call *call)
{
    return call->object == NULL || call->session != call->object->session;
}

static PyObject *new_future(const struct core_driver *driver)
{
    if (driver->create_future != NULL)
        return PyObject_CallNoArgs(driver->create_future);
    PyErr_SetString(PyExc_RuntimeError, "the driver's __init__ was not called");
    return NULL;
}

/* A call with a new future; the use of the store is taken over, also on failure. */
static struct core_call *new_call(struct core_driver *driver, enum core_call_kind kind,
                                  struct core_store *store)
{
    PyTypeObject *type = driver->state->call_type;
    PyObject *future = new_future(driver);
    struct core_call *call = future == NULL ? NULL : (struct core_call *)type->tp_alloc(type, 0);

    if (call == NULL) {
        Py_XDECREF(future);
        core_store_unuse(store);
        return NULL;
    }
    call->driver = (struct core_driver *)Py_NewRef((PyObject *)driver);
    call->kind = kind;
    call->store = (struct core_store *)Py_NewRef((PyObject *)store);
    call->future = future;
    driver->calls++;
    return call;
}

static void begin(struct core_call *call, int64_t timeout_ms)
{
    call->deadline_ms =
        coat_courier_begin(&call->courier, call->store->store, operation(call), timeout_ms);
}

struct core_call *core_call_new(struct core_driver *driver, enum core_call_kind kind,
                                struct core_store *store, struct core_session *object,
                                struct coat_session *session, int64_t timeout_ms)
{
    struct core_call *call = new_call(driver, kind, store);

    if (call == NULL) {
        if (object == NULL || session != object->session)
            coat_session_close(session);
        return NULL;
    }
    call->object = (struct core_session *)Py_XNewRef((PyObject *)object);
    call->session = session;
    if (object != NULL)
        object->busy = true;
    begin(call, timeout_ms);
    return call;
}

struct core_call *core_call_on_index(struct core_driver *driver, enum core_call_kind kind,
                                     struct core_store *store, struct coat_index_op *index)
{
    struct core_call *call = new_call(driver, kind, store);

    if (call == NULL) {
        coat_index_op_free(index);
        return NULL;
    }
    call->index = index;
    begin(call, 0);
    return call;
}

struct core_call *core_call_on_cache(struct core_driver *driver, struct core_cache *cache,
                                     struct core_view *view, enum core_method method,
                                     PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    struct core_request request;
    struct core_call *call;

    if (core_request_begin(&request, cache, view, method, args, count, keywords) < 0) {
        core_store_unuse(&cache->base);
        return NULL;
    }
    call = new_call(driver, CORE_CALL_CACHE, &cache->base);
    if (call == NULL) {
        core_request_release(&request);
        return NULL;
    }
    call->request = request;
    begin(call, 0);
    return call;
}

struct core_call *core_call_on_scan(struct core_driver *driver, struct core_scan *scan)
{
    struct core_call *call = new_call(driver, CORE_CALL_SCAN, &scan->cache->base);

    if (call == NULL)
        return NULL;
    call->scan = (struct core_scan *)Py_NewRef((PyObject *)scan);
    begin(call, 0);
    return call;
}

struct core_call *core_call_on_fill(struct core_driver *driver, struct core_fill *fill,
                                    struct coat_op *op)
{
    struct core_call *call = new_call(driver, CORE_CALL_FILL, &fill->cache->base);

    if (call == NULL)
        return NULL;
    call->fill = (struct core_fill *)Py_NewRef((PyObject *)fill);
    call->fill_op = op;
    begin(call, 0);
    return call;
}

/* ---- Ending --------------------------------------------------------------------------------- */

/* What it held, except for the future. */
static void let_go(struct core_call *call)
{
    struct core_store *store = call->store;

    if (store == NULL)
        return;
    coat_courier_release(&call->courier);
    if (call->object != NULL)
        call->object->busy = false;
    if (call->session != NULL && owns_session(call))
        coat_session_close(call->session);
    call->session = NULL;
    coat_index_op_free(call->index);
    call->index = NULL;
    core_request_release(&call->request);
    if (call->scan != NULL)
        call->scan->busy = false;
    Py_CLEAR(call->scan);
    if (call->fill != NULL)
        call->fill->busy = false;
    Py_CLEAR(call->fill);
    call->store = NULL;
    Py_CLEAR(call->object);
    Py_CLEAR(call->cause);
    Py_CLEAR(call->raised);
    core_store_unuse(store);
    Py_DECREF(store);
    core_driver_ended(call->driver);
}

/* The session, which takes over the call's use of the store. */
static PyObject *loaded(struct core_call *call)
{
    struct coat_session *session = call->session;
    struct core_store *store = call->store;

    call->session = NULL;
    store->users++; /* open, for the call uses it */
    return core_session_make(store, store->session_type, session, NULL, NULL);
}

/* The object is loaded, or as its on_error says. On failure with the current exception. */
static PyObject *loaded_into(struct core_call *call)
{
    struct coat_session *session = call->hop.rc > 0 ? call->session : NULL;

    if (session != NULL)
        call->session = NULL;
    return core_session_loaded(call->object, session, call->hop.rc) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *destroyed(struct core_call *call)
{
    struct coat_session *session = call->session;

    call->session = NULL;
    return core_session_destroyed(call->object, session, call->hop.rc);
}

/* It is no failure: the change has to be made again. */
static int starts_over(const struct core_call *call)
{
    return call->kind == CORE_CALL_UPDATE && call->hop.rc == COAT_ECONFLICT;
}

/* The result of a success, or NULL with an exception. */
static PyObject *result(struct core_call *call)
{
    switch (call->kind) {
    case CORE_CALL_LOAD:
    case CORE_CALL_LOCK:
        return call->hop.rc > 0 ? loaded(call) : Py_NewRef(Py_None);
    case CORE_CALL_LOAD_INTO:
        return loaded_into(call);
    case CORE_CALL_SAVE:
        return core_session_saved(call->object);
    case CORE_CALL_UPDATE:
        return PyBool_FromLong(!starts_over(call));
    case CORE_CALL_END:
        return PyBool_FromLong(call->hop.rc);
    case CORE_CALL_DESTROY:
        return destroyed(call);
    case CORE_CALL_LIST:
        return core_index_result(call->store, COAT_INDEX_LIST, call->index, call->hop.rc);
    case CORE_CALL_DESTROY_ONE:
        return core_index_result(call->store, COAT_INDEX_END_ONE, call->index, call->hop.rc);
    case CORE_CALL_DESTROY_ALL:
        return core_index_result(call->store, COAT_INDEX_END_ALL, call->index, call->hop.rc);
    case CORE_CALL_CACHE:
        return core_request_result(&call->request, call->hop.rc);
    case CORE_CALL_SCAN:
        return core_scan_end(call->scan, call->hop.rc);
    case CORE_CALL_FILL:
        return core_fill_end(call->fill, call->hop.rc);
    default:
        return Py_NewRef(Py_None);
    }
}

/* Tell the future, unless it was cancelled a moment ago. 0, or -1 with an exception. */
static int tell(PyObject *future, const char *method, PyObject *what)
{
    PyObject *done = core_call_method(future, "done", NULL), *told = NULL;
    int rc;

    if (done == Py_False)
        told = core_call_method(future, method, what);
    rc = done == NULL || (done == Py_False && told == NULL) ? -1 : 0;
    Py_XDECREF(done);
    Py_XDECREF(told);
    return rc;
}

/* A future takes no StopIteration, which a function that was asked may raise: then it raises why.
 */
static void tell_exception(PyObject *future)
{
    int rc = -1;

    for (int i = 0; rc < 0 && i < 2; i++) {
        PyObject *exception = core_take_exception();

        rc = tell(future, "set_exception", exception);
        Py_XDECREF(exception);
    }
    if (rc < 0)
        PyErr_WriteUnraisable(future);
}

static void raise_failure(const struct core_call *call, const struct coat_error *err)
{
    if (call->raised != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(call->raised), call->raised);
        return;
    }
    core_raise(call->driver->state, err, core_root(call->courier.op));
    if (call->cause != NULL)
        core_raise_from(call->cause);
}

void core_call_finish(struct core_call *call, const struct coat_error *err)
{
    PyObject *what = NULL, *future = Py_NewRef(call->future);

    coat_life_tell(call->courier.op, call->store->store);
    if (call->object != NULL)
        call->object->busy = false;
    core_log_notices(call->store->store);
    if (starts_over(call))
        core_session_started_over(call->object);
    if (call->hop.rc >= 0 || starts_over(call))
        what = result(call);
    else
        raise_failure(call, err);
    if (call->hop.rc < 0 && call->kind == CORE_CALL_LOAD_INTO)
        what = loaded_into(call);
    if (what == NULL || tell(future, "set_result", what) < 0)
        tell_exception(future);
    Py_XDECREF(what);
    Py_DECREF(future);
    let_go(call);
}

void core_call_abandon(struct core_call *call)
{
    if (call->kind == CORE_CALL_SAVE && call->object != NULL)
        core_session_unanswered(call->object);
    Py_CLEAR(call->future);
    let_go(call);
}

/* ---- The type ------------------------------------------------------------------------------- */

static PyObject *abandon(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    core_driver_abandon((struct core_call *)object);
    Py_RETURN_NONE;
}

static PyObject *get_future(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *future = ((struct core_call *)object)->future;

    return Py_NewRef(future != NULL ? future : Py_None);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct core_call *call = (struct core_call *)object;

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(call->driver);
    Py_VISIT(call->store);
    Py_VISIT(call->object);
    Py_VISIT(call->future);
    Py_VISIT(call->cause);
    Py_VISIT(call->raised);
    Py_VISIT(call->scan);
    Py_VISIT(call->fill);
    return core_request_traverse(&call->request, visit, arg);
}

static int clear(PyObject *object)
{
    struct core_call *call = (struct core_call *)object;

    core_driver_abandon(call);
    Py_CLEAR(call->driver);
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
    {"abandon", abandon, METH_NOARGS,
     "abandon($self)\n--\n\nNobody waits for it any more; where it was sent, its reply is dropped."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"future", get_future, NULL, "Where the result goes; None once it was abandoned.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One call under way; a driver makes it."},
    {Py_tp_dealloc, CORE_SLOT(dealloc)},
    {Py_tp_traverse, CORE_SLOT(traverse)},
    {Py_tp_clear, CORE_SLOT(clear)},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "coatcheck._core.Call",
    .basicsize = sizeof(struct core_call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

int core_call_init(PyObject *module, struct core_state *state)
{
    state->call_type = core_type_add(module, &spec, NULL, 1);
    return state->call_type == NULL ? -1 : 0;
}
