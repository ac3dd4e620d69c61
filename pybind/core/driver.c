#include "driver.h"

#include "index.h"
#include "module.h"
#include "run.h"
#include "api/error.h"

/* ---- Where calls wait ----------------------------------------------------------------------- */

static int pause_call(struct core_call *call, struct coat_error *err)
{
    struct core_driver *driver = call->driver;
    int rc = core_driver_wake(driver, call->hop.until_ms, err);

    if (rc < 0)
        return rc;
    call->next = driver->pausing;
    call->link = &driver->pausing;
    if (call->next != NULL)
        call->next->link = &call->next;
    driver->pausing = call;
    return 0;
}

static void unpause(struct core_call *call)
{
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    call->next = NULL;
    call->link = NULL;
}

void core_driver_abandon(struct core_call *call)
{
    int waits = call->channel != NULL || call->link != NULL;

    if (call->channel != NULL)
        coat_channel_leave(call->channel->channel, call->place);
    else if (call->link != NULL)
        unpause(call);
    call->channel = NULL;
    call->place = NULL;
    core_call_abandon(call);
    if (waits)
        Py_DECREF(call);
}

/* ---- Hops ----------------------------------------------------------------------------------- */

/*
 * The channel that a hop goes by, or NULL. One that is worn out is closed on the way, which runs
 * Python: by then the one behind it may have left the driver, too.
 */
static struct core_channel *channel_for(struct core_driver *driver, const struct coat_hop *hop)
{
    struct core_channel *channel = driver->channels, *next;
    int accepts = 0;

    Py_XINCREF(channel);
    while (channel != NULL && !accepts) {
        next = channel->next;
        Py_XINCREF(next);
        accepts = coat_channel_node(channel->channel) == hop->node &&
                  channel->waits == hop->waits && core_channel_accepts(channel);
        Py_DECREF(channel); /* that it has from the driver stays */
        if (accepts)
            Py_XDECREF(next);
        else
            channel = next;
    }
    return channel;
}

static int send_hop(struct core_call *call, struct coat_error *why)
{
    struct core_driver *driver = call->driver;
    struct core_channel *channel = channel_for(driver, &call->hop);

    if (coat_courier_clock_ms() >= call->deadline_ms)
        return coat_error_because(why, COAT_ETIMEOUT, "timeout",
                                  "the time for the call is over before it could finish");
    if (channel == NULL)
        channel = core_channel_open(driver, call->store, &call->hop, why);
    if (channel == NULL || core_driver_wake(driver, call->deadline_ms, why) < 0)
        return why->code;
    return core_channel_queue(channel, call, why);
}

static struct coat_event not_sent(const struct core_call *call, const struct coat_error *why)
{
    return (struct coat_event){.kind = COAT_EVENT_LOST,
                               .unreached = 1,
                               .final = coat_courier_clock_ms() >= call->deadline_ms ||
                                        why->code == COAT_ENOMEM,
                               .why = why};
}

/* The call ends with a success or with *err. */
static void finish(struct core_call *call, int rc, const struct coat_error *err)
{
    call->hop.rc = rc;
    core_call_finish(call, err);
    Py_DECREF(call);
}

/* A function of the caller's that it asks may raise. */
static void step_courier(struct core_call *call, struct coat_event *event, struct coat_error *err)
{
    struct core_pause pause = {.thread = NULL}, *before = core_pause_begin(&pause);

    coat_courier_step_now(&call->courier, event, &call->hop, err);
    core_pause_begin(before);
    if (pause.exception != NULL)
        Py_XSETREF(call->raised, pause.exception);
}

int core_driver_step(struct core_call *call, struct coat_event *event)
{
    struct coat_error err, why;
    int close = 0, rc = -1;

    for (;;) {
        step_courier(call, event, &err);
        close |= call->hop.close;
        if (call->hop.kind != COAT_HOP_SEND)
            break;
        rc = send_hop(call, &why);
        if (rc == 0)
            return close;
        *event = not_sent(call, &why);
    }
    if (call->hop.kind == COAT_HOP_DONE)
        finish(call, call->hop.rc, &err);
    else if (pause_call(call, &err) < 0)
        finish(call, err.code, &err);
    return close;
}

/* ---- Starting ------------------------------------------------------------------------------- */

static PyObject *start(struct core_call *call)
{
    struct coat_event event = {.kind = COAT_EVENT_START};

    if (call == NULL)
        return NULL;
    Py_INCREF(call);
    core_driver_step(call, &event);
    return (PyObject *)call;
}

/* An argument that must be a store. Borrowed, with one use more; NULL with an exception. */
static struct core_store *store_from(struct core_driver *driver, PyObject *object)
{
    struct core_store *store = (struct core_store *)object;

    if (!PyObject_TypeCheck(object, driver->state->base_store_type)) {
        PyErr_SetString(PyExc_TypeError, "a store is needed");
        return NULL;
    }
    return core_store_use(store) < 0 ? NULL : store;
}

static PyObject *by_id(PyObject *object, PyObject *const *args, Py_ssize_t count,
                       enum core_call_kind kind)
{
    struct core_driver *driver = (struct core_driver *)object;
    struct coat_session *session = NULL;
    struct core_store *store;
    int rc;

    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "a store and an id are needed");
    store = store_from(driver, args[0]);
    if (store == NULL)
        return NULL;
    rc = core_store_session_for(store, args[1], &session);
    if (rc > 0)
        return start(core_call_new(driver, kind, store, NULL, session, 0));
    core_store_unuse(store);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *load(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return by_id(object, args, count, CORE_CALL_LOAD);
}

static PyObject *load_locked(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return by_id(object, args, count, CORE_CALL_LOCK);
}

static PyObject *destroy_id(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return by_id(object, args, count, CORE_CALL_END);
}

static struct core_session *session_from(struct core_driver *driver, PyObject *object)
{
    if (PyObject_TypeCheck(object, driver->state->base_session_type))
        return (struct core_session *)object;
    PyErr_SetString(PyExc_TypeError, "a session is needed");
    return NULL;
}

static PyObject *load_into(PyObject *object, PyObject *argument)
{
    struct core_driver *driver = (struct core_driver *)object;
    struct core_session *s = session_from(driver, argument);
    struct coat_session *session = NULL;
    int rc = s == NULL ? -1 : core_session_before_load(s, &session);

    if (rc < 0)
        return NULL;
    if (rc == 0)
        Py_RETURN_NONE;
    if (core_store_use(s->store) < 0) {
        coat_session_close(session);
        return NULL;
    }
    return start(core_call_new(driver, CORE_CALL_LOAD_INTO, s->store, s, session, 0));
}

static PyObject *save_as(PyObject *object, PyObject *argument, enum core_call_kind kind)
{
    struct core_driver *driver = (struct core_driver *)object;
    struct core_session *s = session_from(driver, argument);
    int rc = s == NULL ? -1 : core_session_before_save(s);

    if (rc < 0 || (rc > 0 && core_store_use(s->store) < 0))
        return NULL;
    if (rc == 0)
        Py_RETURN_NONE;
    return start(core_call_new(driver, kind, s->store, s, s->session, 0));
}

static PyObject *save(PyObject *object, PyObject *argument)
{
    return save_as(object, argument, CORE_CALL_SAVE);
}

static PyObject *try_save(PyObject *object, PyObject *argument)
{
    return save_as(object, argument, CORE_CALL_UPDATE);
}

static PyObject *unlock(PyObject *object, PyObject *argument)
{
    struct core_driver *driver = (struct core_driver *)object;
    struct core_session *s = session_from(driver, argument);

    if (s == NULL || core_session_before_unlock(s) < 0 || core_store_use(s->store) < 0)
        return NULL;
    return start(core_call_new(driver, CORE_CALL_UNLOCK, s->store, s, s->session, 0));
}

static PyObject *destroy(PyObject *object, PyObject *argument)
{
    struct core_driver *driver = (struct core_driver *)object;
    struct core_session *s = session_from(driver, argument);
    struct coat_session *session = s == NULL ? NULL : core_session_before_destroy(s);

    if (session == NULL)
        return NULL;
    if (core_store_use(s->store) < 0) {
        if (session != s->session)
            coat_session_close(session);
        return NULL;
    }
    return start(core_call_new(driver, CORE_CALL_DESTROY, s->store, s, session, 0));
}

static struct core_store *store_or_cache_from(struct core_driver *driver, PyObject *object)
{
    struct core_store *cache = (struct core_store *)object;

    if (!PyObject_TypeCheck(object, driver->state->base_cache_type))
        return store_from(driver, object);
    return core_store_use(cache) < 0 ? NULL : cache;
}

static PyObject *ping(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    struct core_driver *driver = (struct core_driver *)object;
    struct core_store *store;
    int64_t timeout_ms;

    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "a store and a timeout are needed");
    timeout_ms = core_store_timeout(args[1]);
    store = timeout_ms < 0 ? NULL : store_or_cache_from(driver, args[0]);
    if (store == NULL)
        return NULL;
    return start(core_call_new(driver, CORE_CALL_PING, store, NULL, NULL, timeout_ms));
}

/* store, principal, and for some a public id or None. */
static PyObject *on_index(PyObject *object, PyObject *const *args, Py_ssize_t count,
                          enum core_call_kind kind, enum coat_index_do what)
{
    struct core_driver *driver = (struct core_driver *)object;
    struct coat_index_op *index;
    struct core_store *store;

    if (count != (what == COAT_INDEX_LIST ? 2 : 3))
        return PyErr_Format(PyExc_TypeError, "a store, a principal and a public id are needed");
    store = store_from(driver, args[0]);
    if (store == NULL)
        return NULL;
    index = core_index_op(store, what, args[1], count > 2 ? args[2] : Py_None);
    if (index != NULL)
        return start(core_call_on_index(driver, kind, store, index));
    core_store_unuse(store);
    return NULL;
}

static PyObject *sessions(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return on_index(object, args, count, CORE_CALL_LIST, COAT_INDEX_LIST);
}

static PyObject *destroy_one(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return on_index(object, args, count, CORE_CALL_DESTROY_ONE, COAT_INDEX_END_ONE);
}

static PyObject *destroy_all(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return on_index(object, args, count, CORE_CALL_DESTROY_ALL, COAT_INDEX_END_ALL);
}

/* cache, name of the method, its arguments. */
static PyObject *on_cache(PyObject *object, PyObject *const *args, Py_ssize_t count,
                          PyObject *keywords)
{
    struct core_driver *driver = (struct core_driver *)object;
    struct core_cache *cache;
    struct core_view *view;
    enum core_method method;

    if (count < 2 || (method = core_method_named(args[1])) == CORE_METHODS)
        return PyErr_Format(PyExc_TypeError, "a cache and the name of a method are needed");
    cache = core_view_cache(driver->state, args[0], &view);
    if (cache == NULL || core_store_use(&cache->base) < 0)
        return NULL;
    return start(core_call_on_cache(driver, cache, view, method, args + 2, count - 2, keywords));
}

static PyObject *on_scan(PyObject *object, PyObject *argument)
{
    struct core_driver *driver = (struct core_driver *)object;
    struct core_scan *scan = (struct core_scan *)argument;
    struct core_call *call;
    int rc;

    if (!PyObject_TypeCheck(argument, driver->state->scan_type))
        return PyErr_Format(PyExc_TypeError, "a Scan is needed");
    rc = core_scan_begin(scan);
    if (rc < 0)
        return NULL;
    if (rc == 0)
        Py_RETURN_NONE;
    call = core_store_use(&scan->cache->base) < 0 ? NULL : core_call_on_scan(driver, scan);
    if (call == NULL)
        scan->busy = false;
    return start(call);
}

/* Fill, name of the step, its arguments. */
static PyObject *on_fill(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    struct core_driver *driver = (struct core_driver *)object;
    struct core_fill *fill;
    enum core_filling step;
    struct core_call *call;
    struct coat_op *op;

    if (count < 2 || !PyObject_TypeCheck(args[0], driver->state->fill_type) ||
        (step = core_filling_named(args[1])) == CORE_FILLINGS)
        return PyErr_Format(PyExc_TypeError, "a Fill and the name of a step are needed");
    fill = (struct core_fill *)args[0];
    op = core_fill_begin(fill, step, args + 2, count - 2);
    if (op == NULL)
        return NULL;
    call = core_store_use(&fill->cache->base) < 0 ? NULL : core_call_on_fill(driver, fill, op);
    if (call == NULL)
        fill->busy = false;
    return start(call);
}

/* ---- Waking --------------------------------------------------------------------------------- */

int core_driver_failed(PyObject *where, struct coat_error *err)
{
    if (PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        return coat_error_nomem(err);
    }
    PyErr_WriteUnraisable(where);
    return coat_error_because(err, COAT_EUNAVAILABLE, "loop",
                              "the event loop refused what was asked of it, as was reported");
}

int core_driver_wake(struct core_driver *driver, int64_t at_ms, struct coat_error *err)
{
    PyObject *seconds, *done = NULL;
    int64_t left_ms;

    if (at_ms >= driver->wake_ms)
        return 0;
    left_ms = at_ms - coat_courier_clock_ms();
    seconds = PyFloat_FromDouble((double)(left_ms > 0 ? left_ms : 0) / 1000);
    if (seconds != NULL)
        done = core_call_method((PyObject *)driver, "wake_in", seconds);
    Py_XDECREF(seconds);
    if (done == NULL)
        return core_driver_failed((PyObject *)driver, err);
    Py_DECREF(done);
    driver->wake_ms = at_ms;
    return 0;
}

static void end_pauses(struct core_driver *driver, int64_t now_ms)
{
    struct core_call *due = NULL, *call = driver->pausing, *next;

    for (; call != NULL; call = next) {
        next = call->next;
        if (call->hop.until_ms <= now_ms) {
            unpause(call);
            call->next = due; /* nobody else sees it before its step */
            due = call;
        }
    }
    while ((call = due) != NULL) {
        struct coat_event event = {.kind = COAT_EVENT_TIMER};

        due = call->next;
        call->next = NULL;
        if (call->store != NULL)
            core_driver_step(call, &event);
        else /* the step of one before it has run Python, which has given this one up */
            Py_DECREF(call);
    }
}

static void expire(struct core_driver *driver, int64_t now_ms)
{
    struct core_channel *channel = driver->channels, *next;

    Py_XINCREF(channel);
    for (; channel != NULL; channel = next) {
        next = channel->next;
        Py_XINCREF(next);
        core_channel_expire(channel, now_ms);
        Py_DECREF(channel);
    }
}

/* When the first of all that waits here is due. */
static int64_t due_ms(const struct core_driver *driver)
{
    const struct core_channel *channel;
    const struct core_call *call;
    int64_t first_ms = INT64_MAX;

    for (channel = driver->channels; channel != NULL; channel = channel->next) {
        int64_t at_ms = coat_channel_due(channel->channel);

        first_ms = at_ms < first_ms ? at_ms : first_ms;
    }
    for (call = driver->pausing; call != NULL; call = call->next)
        first_ms = call->hop.until_ms < first_ms ? call->hop.until_ms : first_ms;
    return first_ms;
}

/* Nobody would see to the deadlines any more. */
static void give_up(struct core_driver *driver, const struct coat_error *why)
{
    while (driver->channels != NULL)
        core_channel_fail(driver->channels, why);
    while (driver->pausing != NULL) {
        struct core_call *call = driver->pausing;

        unpause(call);
        finish(call, why->code, why);
    }
}

static PyObject *wake(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_driver *driver = (struct core_driver *)object;
    int64_t now_ms = coat_courier_clock_ms();
    struct coat_error err;

    driver->wake_ms = INT64_MAX;
    expire(driver, now_ms);
    end_pauses(driver, now_ms);
    if (core_driver_wake(driver, due_ms(driver), &err) < 0)
        give_up(driver, &err);
    Py_RETURN_NONE;
}

void core_driver_ended(struct core_driver *driver)
{
    driver->calls--;
}

static PyObject *get_calls(PyObject *object, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(((struct core_driver *)object)->calls);
}

/* ---- The type ------------------------------------------------------------------------------- */

static int init(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"call_soon", "create_future", NULL};
    struct core_driver *driver = (struct core_driver *)object;
    PyObject *call_soon, *create_future;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO:Driver", names, &call_soon,
                                     &create_future))
        return -1;
    Py_XSETREF(driver->call_soon, Py_NewRef(call_soon));
    Py_XSETREF(driver->create_future, Py_NewRef(create_future));
    return 0;
}

static void dealloc(PyObject *object);

static PyObject *make(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(keywords))
{
    struct core_driver *driver = (struct core_driver *)type->tp_alloc(type, 0);

    if (driver != NULL) {
        driver->state = core_state_of(type, dealloc);
        driver->wake_ms = INT64_MAX;
    }
    return (PyObject *)driver;
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct core_driver *driver = (struct core_driver *)object;

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(driver->call_soon);
    Py_VISIT(driver->create_future);
    for (struct core_channel *channel = driver->channels; channel; channel = channel->next)
        Py_VISIT(channel);
    for (struct core_call *call = driver->pausing; call; call = call->next)
        Py_VISIT(call);
    return 0;
}

static int clear(PyObject *object)
{
    struct core_driver *driver = (struct core_driver *)object;

    while (driver->channels != NULL) {
        struct core_channel *channel = driver->channels;

        driver->channels = channel->next;
        channel->next = NULL;
        Py_DECREF(channel);
    }
    while (driver->pausing != NULL)
        core_driver_abandon(driver->pausing);
    Py_CLEAR(driver->call_soon);
    Py_CLEAR(driver->create_future);
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
    {"load", CORE_METHOD(load), METH_FASTCALL,
     "load($self, store, id, /)\n--\n\nA Call; its result is a session or None. Or None: no such "
     "id is possible."},
    {"load_locked", CORE_METHOD(load_locked), METH_FASTCALL,
     "load_locked($self, store, id, /)\n--\n\nAs load, with the lock of the session."},
    {"load_into", load_into, METH_O,
     "load_into($self, session, /)\n--\n\nA Call that loads a session of Store.session; its result "
     "is None. Or None: it has one."},
    {"unlock", unlock, METH_O, "unlock($self, session, /)\n--\n\nA Call; its result is None."},
    {"destroy_id", CORE_METHOD(destroy_id), METH_FASTCALL,
     "destroy_id($self, store, id, /)\n--\n\nA Call; its result is a bool. Or None, as load."},
    {"save", save, METH_O,
     "save($self, session, /)\n--\n\nA Call; its result is an id. Or None: there is nothing to store."},
    {"try_save", try_save, METH_O,
     "try_save($self, session, /)\n--\n\nA Call; its result is a bool, as that of _try_save of a "
     "session that blocks. Or None, as save."},
    {"destroy", destroy, METH_O, "destroy($self, session, /)\n--\n\nA Call; its result is a bool."},
    {"sessions", CORE_METHOD(sessions), METH_FASTCALL,
     "sessions($self, store, principal, /)\n--\n\nA Call; its result is as of Store.sessions."},
    {"destroy_one", CORE_METHOD(destroy_one), METH_FASTCALL,
     "destroy_one($self, store, principal, public_id, /)\n--\n\nA Call; its result is a bool."},
    {"destroy_all", CORE_METHOD(destroy_all), METH_FASTCALL,
     "destroy_all($self, store, principal, keep, /)\n--\n\nA Call; its result is as of the Store's."},
    {"ping", CORE_METHOD(ping), METH_FASTCALL,
     "ping($self, store, timeout, /)\n--\n\nA Call; its result is None."},
    {"on_cache", CORE_METHOD(on_cache), METH_FASTCALL | METH_KEYWORDS,
     "on_cache($self, cache, method, /, *args, **kwargs)\n--\n\n"
     "A Call; its result is what that method of a Cache returns."},
    {"on_scan", on_scan, METH_O,
     "on_scan($self, scan, /)\n--\n\nA Call; its result is as of Scan.more. None at the end."},
    {"on_fill", CORE_METHOD(on_fill), METH_FASTCALL,
     "on_fill($self, fill, step, /, *args)\n--\n\nA Call; its result is as of that step of a Fill."},
    {"wake", wake, METH_NOARGS, "wake($self)\n--\n\nThe time that wake_in was given is over."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"calls", get_calls, NULL, "How many are under way.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The calls of a store in one event loop. A subclass has open(channel), which\n"
                "connects, and wake_in(seconds), which calls wake() then."},
    {Py_tp_new, CORE_SLOT(make)},
    {Py_tp_init, CORE_SLOT(init)},
    {Py_tp_dealloc, CORE_SLOT(dealloc)},
    {Py_tp_traverse, CORE_SLOT(traverse)},
    {Py_tp_clear, CORE_SLOT(clear)},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "coatcheck._core.Driver",
    .basicsize = sizeof(struct core_driver),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int core_driver_init(PyObject *module, struct core_state *state)
{
    state->driver_type = core_type_add(module, &spec, NULL, 1);
    if (state->driver_type == NULL || core_channel_init(module, state) < 0)
        return -1;
    return core_call_init(module, state);
}
