#include "session.h"

#include "attributes.h"
#include "fields.h"
#include "login.h"
#include "mapping.h"
#include "module.h"
#include "run.h"
#include "text.h"

/* ---- Being looked at ----------------------------------------------------------------------- */

/* Its calls block, so that it can load itself. */
static bool blocks(const struct core_session *s)
{
    return PyObject_TypeCheck((PyObject *)s, s->state->session_type);
}

int core_session_ready(const struct core_session *s)
{
    if (s->busy) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the session is in a call of another thread or task; a session belongs to "
                        "one thread at a time");
        return -1;
    }
    if (s->store == NULL || s->store->closed) {
        PyErr_SetString(PyExc_ValueError, "the store of this session is closed");
        return -1;
    }
    return 0;
}

static int raise_failure(const struct core_session *s)
{
    PyErr_SetObject((PyObject *)Py_TYPE(s->failure), s->failure);
    return -1;
}

/*
 * Loading failed: ask on_error, if there is one and the exception is ours. 0: go on with an empty
 * session, -1 with an exception.
 */
static int ask(struct core_session *s)
{
    PyObject *exception, *answer;
    int read_only;

    if (s->on_error == NULL || !PyErr_ExceptionMatches(s->state->exceptions[CORE_ERROR]))
        return -1;
    exception = core_take_exception();
    answer = PyObject_CallOneArg(s->on_error, exception);
    read_only = answer == NULL ? -1 : PyObject_IsTrue(answer);
    if (read_only > 0)
        s->failure = Py_NewRef(exception);
    Py_XDECREF(answer);
    Py_DECREF(exception);
    return read_only < 0 ? -1 : 0;
}

static int new_empty(struct core_session *s, struct coat_session **session)
{
    struct coat_error err;

    if (coat_session_new(s->store->store, session, &err) == 0)
        return 0;
    core_raise(s->state, &err, "session");
    return -1;
}

/* The session of the id that was presented: 1 or 2 and *session, 0 if there is none, or -1. */
static int load_presented(struct core_session *s, struct coat_session **session)
{
    int rc = core_store_session_for(s->store, s->id, session);

    if (rc > 0)
        rc = core_run(s->state, s->store->store, coat_session_op(*session, COAT_OP_LOAD), 0);
    if (rc <= 0) {
        coat_session_close(*session);
        *session = NULL;
    }
    return rc;
}

/* A subclass may refuse, where to wait would hurt. */
static int may_load(struct core_session *s)
{
    PyObject *done = core_call_method((PyObject *)s, "_may_load", NULL);

    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int load(struct core_session *s)
{
    struct coat_session *session = NULL;
    int rc = 0;

    s->busy = true;
    if (s->id != NULL)
        rc = may_load(s) < 0 ? -1 : load_presented(s, &session);
    rc = core_session_loaded(s, session, rc);
    s->busy = false;
    return rc;
}

/* Whoever looks at it meets the failure again, which stays the current exception. */
static void keep_failure(struct core_session *s)
{
    PyObject *exception = core_take_exception();

    if (PyErr_GivenExceptionMatches(exception, s->state->exceptions[CORE_ERROR]))
        Py_XSETREF(s->failure, Py_NewRef(exception));
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
}

int core_session_loaded(struct core_session *s, struct coat_session *session, int rc)
{
    if (rc < 0)
        rc = ask(s);
    if (rc >= 0 && session == NULL)
        rc = new_empty(s, &session);
    if (rc < 0) {
        if (!blocks(s))
            keep_failure(s);
        return -1;
    }
    s->session = session;
    Py_CLEAR(s->id);
    Py_CLEAR(s->on_error);
    return 0;
}

int core_session_before_load(struct core_session *s, struct coat_session **session)
{
    int rc = core_session_ready(s);

    if (rc < 0 || s->session != NULL)
        return rc;
    Py_CLEAR(s->failure);
    if (s->id != NULL)
        rc = core_store_session_for(s->store, s->id, session);
    return rc == 0 ? core_session_loaded(s, NULL, 0) : rc;
}

static int refuse_unloaded(const struct core_session *s)
{
    if (s->failure != NULL)
        return raise_failure(s);
    PyErr_SetString(s->state->exceptions[CORE_NOT_LOADED],
                    "the session is not loaded yet: await session.load() before it is used");
    return -1;
}

int core_session_look(struct core_session *s)
{
    if (core_session_ready(s) < 0)
        return -1;
    if (s->session == NULL && (blocks(s) ? load(s) : refuse_unloaded(s)) < 0)
        return -1;
    s->accessed = true;
    return 0;
}

/* A logout that failed has looked at nothing, where that does not load it. */
bool core_session_accessed(const struct core_session *s)
{
    return s->accessed && (s->session != NULL || blocks(s));
}

int core_session_look_to_change(struct core_session *s)
{
    if (core_session_look(s) < 0)
        return -1;
    return s->failure != NULL ? raise_failure(s) : 0;
}

/* ---- Saving and ending --------------------------------------------------------------------- */

/* An operation on the loaded session: what it returns, or -1 with an exception. */
static int run(struct core_session *s, struct coat_session *session, enum coat_session_op which)
{
    int rc;

    s->busy = true;
    rc = core_run(s->state, s->store->store, coat_session_op(session, which), 0);
    s->busy = false;
    return rc;
}

/* A session that nobody has looked at is not loaded for this: there is nothing to save. */
int core_session_before_save(struct core_session *s)
{
    if (core_session_ready(s) < 0)
        return -1;
    if (s->session == NULL)
        return 0;
    if (s->failure != NULL)
        return raise_failure(s);
    return core_fields_flush(s) < 0 ? -1 : 1;
}

PyObject *core_session_saved(struct core_session *s)
{
    if (coat_session_merged(s->session) && core_fields_detach(s) < 0)
        return NULL;
    return core_text_or_none(coat_session_id(s->session));
}

void core_session_unanswered(struct core_session *s)
{
    PyObject *type, *exception, *traceback;

    if (s->session == NULL || !coat_session_merged(s->session))
        return;
    PyErr_Fetch(&type, &exception, &traceback);
    if (core_fields_detach(s) < 0)
        PyErr_WriteUnraisable((PyObject *)s);
    PyErr_Restore(type, exception, traceback);
}

static PyObject *save(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_session *s = (struct core_session *)object;
    int rc = core_session_before_save(s);

    if (rc == 0)
        Py_RETURN_NONE;
    if (rc < 0)
        return NULL;
    if (run(s, s->session, COAT_OP_SAVE) == 0)
        return core_session_saved(s);
    core_session_unanswered(s);
    return NULL;
}

void core_session_started_over(struct core_session *s)
{
    s->names_version++;
    PyDict_Clear(s->fields);
}

static PyObject *try_save(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_session *s = (struct core_session *)object;
    int rc = core_session_before_save(s);

    if (rc > 0)
        rc = run(s, s->session, COAT_OP_UPDATE);
    if (rc >= 0)
        Py_RETURN_TRUE;
    if (!PyErr_ExceptionMatches(s->state->exceptions[CORE_CONFLICT]))
        return NULL;
    PyErr_Clear();
    core_session_started_over(s);
    Py_RETURN_FALSE;
}

int core_session_before_unlock(struct core_session *s)
{
    if (core_session_ready(s) < 0)
        return -1;
    if (s->session != NULL)
        return 0;
    PyErr_SetString(PyExc_ValueError, "unlock: the session is not loaded, so it has no lock");
    return -1;
}

static PyObject *unlock(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_session *s = (struct core_session *)object;

    if (core_session_before_unlock(s) < 0 || run(s, s->session, COAT_OP_UNLOCK) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* The session of the id that was presented, not loaded; a new one where that is none. Or NULL. */
static struct coat_session *presented(struct core_session *s)
{
    struct coat_session *session = NULL;
    int rc = s->id == NULL ? 0 : core_store_session_for(s->store, s->id, &session);

    return rc > 0 || (rc == 0 && new_empty(s, &session) == 0) ? session : NULL;
}

struct coat_session *core_session_before_destroy(struct core_session *s)
{
    if (core_session_ready(s) < 0)
        return NULL;
    s->accessed = true;
    if (s->session == NULL)
        return presented(s);
    if (s->failure != NULL) {
        raise_failure(s);
        return NULL;
    }
    return s->session;
}

/*
 * Afterwards it is empty and new: what is written to it then gets an id of its own, as a visitor
 * expects who goes on after logging out. Or it is stale: see COAT_OP_DESTROY.
 */
PyObject *core_session_destroyed(struct core_session *s, struct coat_session *session, int rc)
{
    if (rc < 0) {
        if (session != s->session)
            coat_session_close(session);
        return NULL;
    }
    s->session = session;
    s->names_version++;
    Py_CLEAR(s->id);
    Py_CLEAR(s->on_error);
    Py_CLEAR(s->failure);
    PyDict_Clear(s->fields);
    return PyBool_FromLong(rc);
}

static PyObject *destroy(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_session *s = (struct core_session *)object;
    struct coat_session *session = core_session_before_destroy(s);

    if (session == NULL)
        return NULL;
    return core_session_destroyed(s, session, run(s, session, COAT_OP_DESTROY));
}

/* ---- The types ----------------------------------------------------------------------------- */

PyObject *core_session_make(struct core_store *store, PyTypeObject *type,
                            struct coat_session *session, PyObject *id, PyObject *on_error)
{
    PyObject *fields = PyDict_New();
    struct core_session *s = fields == NULL ? NULL : (struct core_session *)type->tp_alloc(type, 0);

    if (s == NULL) {
        Py_XDECREF(fields);
        coat_session_close(session);
        core_store_unuse(store);
        return NULL;
    }
    s->state = store->state;
    s->store = (struct core_store *)Py_NewRef((PyObject *)store);
    s->session = session;
    s->fields = fields;
    s->id = Py_XNewRef(id);
    s->on_error = Py_XNewRef(on_error);
    return (PyObject *)s;
}

static PyObject *refuse_new(PyTypeObject *Py_UNUSED(type), PyObject *Py_UNUSED(args),
                            PyObject *Py_UNUSED(keywords))
{
    PyErr_SetString(PyExc_TypeError, "sessions are made by a store: store.new(), store.load(id)");
    return NULL;
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct core_session *s = (struct core_session *)object;

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(s->store);
    Py_VISIT(s->on_error);
    Py_VISIT(s->failure);
    Py_VISIT(s->fields);
    return 0;
}

/* What is left is an object that says that its store is closed. */
static int clear(PyObject *object)
{
    struct core_session *s = (struct core_session *)object;
    struct core_store *store = s->store;

    coat_session_close(s->session);
    s->session = NULL;
    s->store = NULL;
    if (store != NULL) {
        core_store_unuse(store);
        Py_DECREF(store);
    }
    Py_CLEAR(s->id);
    Py_CLEAR(s->on_error);
    Py_CLEAR(s->failure);
    Py_CLEAR(s->fields);
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

static PyObject *allow_load(PyObject *Py_UNUSED(object), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_NONE;
}

static PyMethodDef blocking_methods[] = {
    {"_may_load", allow_load, METH_NOARGS,
     "_may_load($self)\n--\n\nAsked before it loads itself. What a subclass raises is raised."},
    {"save", save, METH_NOARGS,
     "save($self)\n--\n\nWrite what was changed. The id, or None while there is nothing to store."},
    {"_try_save", try_save, METH_NOARGS,
     "_try_save($self)\n--\n\nSave it without a merge. False: another request has saved meanwhile, and the\n"
     "session is what that one stored."},
    {"_unlock", unlock, METH_NOARGS, "_unlock($self)\n--\n\nGive back the lock of _load_locked."},
    {"destroy", destroy, METH_NOARGS,
     "destroy($self)\n--\n\nEnd it at once; False if it was gone already. Then it is a new one."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef methods[] = {
    {"get", CORE_METHOD(core_mapping_get), METH_FASTCALL,
     "get($self, field, default=None, /)\n--\n\nThe field, or the default where there is none."},
    {"incr", CORE_METHOD(core_mapping_incr), METH_VARARGS | METH_KEYWORDS,
     "incr($self, field, by=1)\n--\n\n"
     "Add to a whole number, or to 0 where there is no such field; what it is then. The save adds it\n"
     "to what another request has made of the field meanwhile, so none is lost and none counts twice."},
    {"login", CORE_METHOD(core_session_login), METH_VARARGS | METH_KEYWORDS,
     "login($self, principal, *, carry)\n--\n\n"
     "With the next save: a new id, a new lifetime, and only the fields to carry."},
    {"rotate", core_session_rotate, METH_NOARGS,
     "rotate($self)\n--\n\nWith the next save: a new id."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One session; a store makes it."},
    {Py_tp_new, CORE_SLOT(refuse_new)},
    {Py_tp_dealloc, CORE_SLOT(dealloc)},
    {Py_tp_traverse, CORE_SLOT(traverse)},
    {Py_tp_clear, CORE_SLOT(clear)},
    {Py_tp_iter, CORE_SLOT(core_mapping_iterate)},
    {Py_tp_setattro, CORE_SLOT(core_session_set_attribute)},
    {Py_tp_methods, methods},
    {Py_tp_getset, core_session_attributes},
    {Py_mp_subscript, CORE_SLOT(core_mapping_subscript)},
    {Py_mp_ass_subscript, CORE_SLOT(core_mapping_assign)},
    {Py_mp_length, CORE_SLOT(core_mapping_length)},
    {Py_sq_contains, CORE_SLOT(core_mapping_contains)},
    {0, NULL},
};

/* What does not wait for the server; drivers have their own type for what does. */
static PyType_Spec spec = {
    .name = "coatcheck._core.BaseSession",
    .basicsize = sizeof(struct core_session),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

static PyType_Slot blocking_slots[] = {
    {Py_tp_doc, "One session, whose calls block; a store makes it."},
    {Py_tp_methods, blocking_methods},
    {0, NULL},
};

static PyType_Spec blocking_spec = {
    .name = "coatcheck._core.Session",
    .basicsize = sizeof(struct core_session),
    /* The garbage collector's part is inherited. */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = blocking_slots,
};

int core_session_init(PyObject *module, struct core_state *state)
{
    state->base_session_type = core_type_add(module, &spec, NULL, 1);
    if (state->base_session_type == NULL)
        return -1;
    state->session_type = core_type_add(module, &blocking_spec, state->base_session_type, 1);
    if (state->session_type == NULL)
        return -1;
    return core_mapping_init(module, state);
}
