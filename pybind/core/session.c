#include "session.h"

#include <math.h>
#include <string.h>

#include "fields.h"
#include "module.h"
#include "refuse.h"
#include "run.h"

/* ---- Being looked at ----------------------------------------------------------------------- */

/* 0 if the session may be touched at all, otherwise -1 with an exception. */
static int ready(const struct core_session *s)
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

/* The current exception with its traceback, taken out. */
static PyObject *take_exception(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *exception, *traceback;

    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(exception, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return exception;
#endif
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
    exception = take_exception();
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

static int load(struct core_session *s)
{
    struct coat_session *session = NULL;
    int rc = 0;

    s->busy = true;
    if (s->id != NULL && load_presented(s, &session) < 0)
        rc = ask(s);
    if (rc == 0 && session == NULL)
        rc = new_empty(s, &session);
    s->busy = false;
    if (rc < 0)
        return -1;
    s->session = session;
    Py_CLEAR(s->id);
    Py_CLEAR(s->on_error);
    return 0;
}

/* Before every use of the fields or of what is known about the session. */
static int look(struct core_session *s)
{
    if (ready(s) < 0 || (s->session == NULL && load(s) < 0))
        return -1;
    s->accessed = true;
    return 0;
}

/* Before every change. */
static int look_to_change(struct core_session *s)
{
    if (look(s) < 0)
        return -1;
    return s->failure != NULL ? raise_failure(s) : 0;
}

/* ---- The mapping --------------------------------------------------------------------------- */

/* What a str or a subclass of it spells, without asking its methods. NULL with an exception, or
 * without one where `key` is no str. */
static PyObject *name_from(PyObject *key)
{
    return PyUnicode_Check(key) ? PyUnicode_FromObject(key) : NULL;
}

static void raise_key_error(PyObject *key)
{
    PyObject *arguments = PyTuple_Pack(1, key); /* a bare tuple would be taken for arguments */

    if (arguments != NULL)
        PyErr_SetObject(PyExc_KeyError, arguments);
    Py_XDECREF(arguments);
}

/* New reference; NULL with an exception, or without one where there is no such field. */
static PyObject *find(struct core_session *s, PyObject *key)
{
    PyObject *name, *value = NULL;

    if (look(s) < 0)
        return NULL;
    name = name_from(key);
    if (name != NULL)
        value = core_field_get(s, name);
    Py_XDECREF(name);
    return value;
}

static PyObject *subscript(PyObject *object, PyObject *key)
{
    PyObject *value = find((struct core_session *)object, key);

    if (value == NULL && !PyErr_Occurred())
        raise_key_error(key);
    return value;
}

static PyObject *get(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    PyObject *value;

    if (count < 1 || count > 2)
        return PyErr_Format(PyExc_TypeError, "get takes 1 or 2 arguments, %zd were given", count);
    value = find((struct core_session *)object, args[0]);
    if (value != NULL || PyErr_Occurred())
        return value;
    return Py_NewRef(count == 2 ? args[1] : Py_None);
}

static int contains(PyObject *object, PyObject *key)
{
    struct core_session *s = (struct core_session *)object;
    PyObject *name;
    int rc;

    if (look(s) < 0)
        return -1;
    name = name_from(key);
    if (name == NULL)
        return PyErr_Occurred() ? -1 : 0;
    rc = core_field_has(s, name);
    Py_DECREF(name);
    return rc;
}

static Py_ssize_t length(PyObject *object)
{
    struct core_session *s = (struct core_session *)object;

    return look(s) < 0 ? -1 : (Py_ssize_t)coat_doc_count(coat_session_doc(s->session));
}

static int refuse_field(struct core_session *s, PyObject *key)
{
    struct core_refusal r;

    if (core_refuse_key(&r, "session", NULL, key, "the name of a field is a str") < 0)
        return -1;
    core_refusal_raise(s->state, &r);
    core_refusal_release(&r);
    return -1;
}

static int set(struct core_session *s, PyObject *key, PyObject *value)
{
    return PyUnicode_CheckExact(key) ? core_field_set(s, key, value) : refuse_field(s, key);
}

static int delete (struct core_session *s, PyObject *key)
{
    PyObject *name = name_from(key);
    int rc = 0;

    if (name != NULL)
        rc = core_field_delete(s, name);
    Py_XDECREF(name);
    if (rc == 0 && !PyErr_Occurred())
        raise_key_error(key);
    return rc > 0 ? 0 : -1;
}

static int assign(PyObject *object, PyObject *key, PyObject *value)
{
    struct core_session *s = (struct core_session *)object;

    if (look_to_change(s) < 0)
        return -1;
    return value != NULL ? set(s, key, value) : delete (s, key);
}

/* Of 64 bits. -1 with an exception; that may also be the number. */
static int64_t whole_number(PyObject *by)
{
    int overflow;
    long long number;

    if (!PyLong_CheckExact(by)) {
        PyErr_Format(PyExc_TypeError, "by must be an int, not %.80s", Py_TYPE(by)->tp_name);
        return -1;
    }
    number = PyLong_AsLongLongAndOverflow(by, &overflow);
    if (overflow != 0)
        PyErr_SetString(PyExc_OverflowError, "by must be a number of 64 bits");
    return number;
}

static PyObject *incr(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"field", "by", NULL};
    struct core_session *s = (struct core_session *)object;
    PyObject *field, *by = NULL;
    int64_t number = 1;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:incr", names, &field, &by))
        return NULL;
    if (by != NULL && (number = whole_number(by)) == -1 && PyErr_Occurred())
        return NULL;
    if (look_to_change(s) < 0)
        return NULL;
    if (!PyUnicode_CheckExact(field)) {
        refuse_field(s, field);
        return NULL;
    }
    return core_field_add(s, field, number);
}

/* ---- Walking over the names ---------------------------------------------------------------- */

struct names {
    PyObject_HEAD struct core_session *session;
    PyObject *list;
    Py_ssize_t at;
    uint64_t version;
};

static PyObject *iterate(PyObject *object)
{
    struct core_session *s = (struct core_session *)object;
    PyTypeObject *type = s->state->names_type;
    struct names *names;

    if (look(s) < 0)
        return NULL;
    names = (struct names *)type->tp_alloc(type, 0);
    if (names == NULL)
        return NULL;
    names->session = (struct core_session *)Py_NewRef(object);
    names->version = s->names_version;
    names->list = core_field_names(s);
    if (names->list == NULL)
        Py_CLEAR(names);
    return (PyObject *)names;
}

static PyObject *names_next(PyObject *object)
{
    struct names *names = (struct names *)object;

    if (names->list == NULL || names->at == PyList_GET_SIZE(names->list))
        return NULL;
    if (names->session->names_version != names->version) {
        PyErr_SetString(PyExc_RuntimeError, "the session's fields changed during iteration");
        return NULL;
    }
    return Py_NewRef(PyList_GET_ITEM(names->list, names->at++));
}

static int names_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct names *names = (struct names *)object;

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(names->session);
    Py_VISIT(names->list);
    return 0;
}

static int names_clear(PyObject *object)
{
    struct names *names = (struct names *)object;

    Py_CLEAR(names->list);
    return 0;
}

static void names_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    names_clear(object);
    Py_CLEAR(((struct names *)object)->session);
    type->tp_free(object);
    Py_DECREF(type);
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

static PyObject *text_or_none(const char *text)
{
    if (text == NULL)
        Py_RETURN_NONE;
    return PyUnicode_FromString(text);
}

/* A session that nobody has looked at is not loaded for this: there is nothing to save. */
int core_session_before_save(struct core_session *s)
{
    if (ready(s) < 0)
        return -1;
    if (s->failure != NULL)
        return raise_failure(s);
    if (s->session == NULL)
        return 0;
    return core_fields_flush(s) < 0 ? -1 : 1;
}

PyObject *core_session_saved(struct core_session *s)
{
    if (coat_session_merged(s->session) && core_fields_detach(s) < 0)
        return NULL;
    return text_or_none(coat_session_id(s->session));
}

static PyObject *save(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_session *s = (struct core_session *)object;
    int rc = core_session_before_save(s);

    if (rc == 0)
        Py_RETURN_NONE;
    if (rc < 0 || run(s, s->session, COAT_OP_SAVE) < 0)
        return NULL;
    return core_session_saved(s);
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
    return ready(s) < 0 || s->session == NULL ? -1 : 0;
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
    if (ready(s) < 0)
        return NULL;
    s->accessed = true;
    if (s->failure != NULL) {
        raise_failure(s);
        return NULL;
    }
    return s->session != NULL ? s->session : presented(s);
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

/* ---- Login and privilege ------------------------------------------------------------------- */

static void refuse_surrogate(struct core_state *state, PyObject *text, const char *root,
                             const struct core_place *at)
{
    struct core_refusal r;

    if (core_refuse_because(&r, root, at, text,
                            "text with a lone surrogate is not UTF-8; give valid text") < 0)
        return;
    core_refusal_raise(state, &r);
    core_refusal_release(&r);
}

/* A text as the library takes it, found at `at` of the argument. NULL with an exception. */
static const char *c_string(struct core_state *state, PyObject *text, const char *argument,
                            const struct core_place *at)
{
    const char *what = at == NULL ? argument : "the name of a field to carry";
    const char *utf8;
    Py_ssize_t len;

    if (!PyUnicode_CheckExact(text)) {
        PyErr_Format(PyExc_TypeError, "%s must be a str, not %.80s", what, Py_TYPE(text)->tp_name);
        return NULL;
    }
    utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    if (utf8 == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        refuse_surrogate(state, text, argument, at);
    } else if (utf8 != NULL && strlen(utf8) != (size_t)len) {
        PyErr_Format(PyExc_ValueError, "%s must not contain a null character", what);
        return NULL;
    }
    return utf8;
}

const char *core_argument_text(struct core_state *state, PyObject *text, const char *argument)
{
    return c_string(state, text, argument, NULL);
}

/* The names of a list, in an array to be freed. NULL with an exception. */
static const char **c_strings(struct core_state *state, PyObject *list)
{
    size_t count = (size_t)PyList_GET_SIZE(list);
    const char **names = PyMem_New(const char *, count + 1);

    if (names == NULL)
        return (const char **)PyErr_NoMemory();
    for (size_t i = 0; i < count; i++) {
        struct core_place at = {NULL, NULL, (Py_ssize_t)i};

        names[i] = c_string(state, PyList_GET_ITEM(list, at.index), "carry", &at);
        if (names[i] == NULL) {
            PyMem_Free(names);
            return NULL;
        }
    }
    return names;
}

/* The fields to carry as a new list; None for all; NULL with an exception. */
static PyObject *carry_from(PyObject *carry)
{
    if (!PyUnicode_Check(carry))
        return PySequence_List(carry);
    if (PyUnicode_CompareWithASCIIString(carry, "all") == 0)
        Py_RETURN_NONE;
    PyErr_SetString(PyExc_TypeError,
                    "carry must be an iterable of the names of fields, or \"all\"; for one field "
                    "give [name]");
    return NULL;
}

static int log_in(struct core_session *s, const char *principal, PyObject *carry)
{
    PyObject *carried = NULL; /* made first: after the login nothing may fail */
    const char **names = NULL;
    size_t count = 0;
    struct coat_error err;
    int rc;

    if (carry != Py_None) {
        count = (size_t)PyList_GET_SIZE(carry);
        names = c_strings(s->state, carry);
        carried = names == NULL ? NULL : core_fields_of(s, carry);
        if (carried == NULL) {
            PyMem_Free(names);
            return -1;
        }
    }
    rc = coat_session_login(s->session, principal, names, count, &err);
    PyMem_Free(names);
    if (rc == 0 && carried != NULL)
        core_fields_replace(s, Py_NewRef(carried));
    Py_XDECREF(carried);
    if (rc == 0)
        return 0;
    core_raise(s->state, &err, "session");
    return -1;
}

static PyObject *login(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"principal", "carry", NULL};
    struct core_session *s = (struct core_session *)object;
    PyObject *principal, *carry;
    const char *text;
    int rc = -1;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O$O:login", names, &principal, &carry) ||
        (text = core_argument_text(s->state, principal, "principal")) == NULL)
        return NULL;
    carry = carry_from(carry); /* may run Python code, so before the session is looked at */
    if (carry == NULL)
        return NULL;
    if (look_to_change(s) == 0)
        rc = log_in(s, text, carry);
    Py_DECREF(carry);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *rotate(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_session *s = (struct core_session *)object;
    struct coat_error err;

    if (look_to_change(s) < 0)
        return NULL;
    if (coat_session_rotate(s->session, &err) < 0)
        return core_raise(s->state, &err, "session");
    Py_RETURN_NONE;
}

/* ---- What is known about it ---------------------------------------------------------------- */

static PyObject *get_id(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return look(s) < 0 ? NULL : text_or_none(coat_session_id(s->session));
}

static PyObject *get_store(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return ready(s) < 0 ? NULL : Py_NewRef((PyObject *)s->store);
}

/* Also after the store was closed, once it is known: logs and repr() ask for it. */
static PyObject *get_public_id(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    if ((s->session == NULL || s->busy) && look(s) < 0)
        return NULL;
    return text_or_none(coat_session_public_id(s->session));
}

static PyObject *get_principal(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return look(s) < 0 ? NULL : text_or_none(coat_session_principal(s->session));
}

static PyObject *get_new(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return look(s) < 0 ? NULL : PyBool_FromLong(coat_session_is_new(s->session));
}

static PyObject *get_stale(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return look(s) < 0 ? NULL : PyBool_FromLong(coat_session_stale(s->session));
}

static PyObject *get_created_ms(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return look(s) < 0 ? NULL : PyLong_FromLongLong(coat_session_created_ms(s->session));
}

static PyObject *get_deadline_ms(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return look(s) < 0 ? NULL : PyLong_FromLongLong(coat_session_deadline_ms(s->session));
}

static PyObject *get_accessed(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((struct core_session *)object)->accessed);
}

/* Not a look: middleware asks this of every session. */
static PyObject *get_modified(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    if (ready(s) < 0)
        return NULL;
    if (s->session == NULL || s->failure != NULL)
        Py_RETURN_FALSE;
    if (core_fields_flush(s) == 0)
        return PyBool_FromLong(coat_session_modified(s->session));
    /* Changed for certain, to something that save() will refuse and name. */
    if (!PyErr_ExceptionMatches(s->state->exceptions[CORE_ERROR]))
        return NULL;
    PyErr_Clear();
    Py_RETURN_TRUE;
}

static PyObject *get_idle(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;
    int64_t idle_s;

    if (look(s) < 0)
        return NULL;
    idle_s = coat_session_idle_s(s->session);
    if (idle_s == 0)
        Py_RETURN_NONE;
    return PyLong_FromLongLong(idle_s);
}

/* Whole seconds, rounded up; 0 for None. -1 with an exception. */
static int64_t idle_from(PyObject *value)
{
    double seconds;

    if (value == Py_None)
        return 0;
    if (value == NULL || !(PyLong_CheckExact(value) || PyFloat_CheckExact(value))) {
        PyErr_SetString(PyExc_TypeError,
                        "idle must be a number of seconds, or None (until the deadline)");
        return -1;
    }
    seconds = ceil(PyFloat_AsDouble(value));
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
        return -1;
    if (seconds > 0 && seconds <= INT32_MAX)
        return (int64_t)seconds;
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "idle must be above 0 and at most %d seconds, or None",
                 INT32_MAX);
    return -1;
}

static int set_idle(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;
    int64_t idle_s = idle_from(value);
    struct coat_error err;

    if (idle_s < 0 || look_to_change(s) < 0)
        return -1;
    if (coat_session_set_idle(s->session, idle_s, &err) == 0)
        return 0;
    core_raise(s->state, &err, "session");
    return -1;
}

/*
 * As with any class, except that there must be such an attribute: `session.permanent = True`, or a
 * field as an attribute, would be forgotten at the end of the request.
 */
static int set_attribute(PyObject *object, PyObject *name, PyObject *value)
{
    if (value == NULL || PyObject_HasAttr((PyObject *)Py_TYPE(object), name))
        return PyObject_GenericSetAttr(object, name, value);
    PyErr_Format(PyExc_AttributeError,
                 "a session has no attribute %R, and would not store it; a field is session[%R], "
                 "times are session.idle and the options of the store, and a subclass may declare "
                 "attributes of its own",
                 name, name);
    return -1;
}

/* ---- The types ----------------------------------------------------------------------------- */

PyObject *core_session_make(struct core_store *store, struct coat_session *session, PyObject *id,
                            PyObject *on_error)
{
    PyTypeObject *type = store->session_type;
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

static PyMethodDef blocking_methods[] = {
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
    {"get", CORE_METHOD(get), METH_FASTCALL,
     "get($self, field, default=None, /)\n--\n\nThe field, or the default where there is none."},
    {"incr", CORE_METHOD(incr), METH_VARARGS | METH_KEYWORDS,
     "incr($self, field, by=1)\n--\n\n"
     "Add to a whole number, or to 0 where there is no such field; what it is then. The save adds it\n"
     "to what another request has made of the field meanwhile, so none is lost and none counts twice."},
    {"login", CORE_METHOD(login), METH_VARARGS | METH_KEYWORDS,
     "login($self, principal, *, carry)\n--\n\n"
     "With the next save: a new id, a new lifetime, and only the fields to carry."},
    {"rotate", rotate, METH_NOARGS, "rotate($self)\n--\n\nWith the next save: a new id."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"id", get_id, NULL, "For the cookie. A secret. None while it is not stored.", NULL},
    {"_store", get_store, NULL, "What made it.", NULL},
    {"public_id", get_public_id, NULL, "For logs. None while it is not stored.", NULL},
    {"principal", get_principal, NULL, "Who is logged in, or None.", NULL},
    {"new", get_new, NULL, "True until it is first saved.", NULL},
    {"stale", get_stale, NULL, "True if its id was replaced moments ago.", NULL},
    {"modified", get_modified, NULL, "True if a save would write.", NULL},
    {"accessed", get_accessed, NULL, "True once it was looked at.", NULL},
    {"idle", get_idle, set_idle, "Its idle timeout in seconds; None: until the deadline.", NULL},
    {"created_ms", get_created_ms, NULL, "Since 1970; 0 while it is not stored.", NULL},
    {"deadline_ms", get_deadline_ms, NULL, "Since 1970; 0 while it is not stored.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One session; a store makes it."},
    {Py_tp_new, CORE_SLOT(refuse_new)},
    {Py_tp_dealloc, CORE_SLOT(dealloc)},
    {Py_tp_traverse, CORE_SLOT(traverse)},
    {Py_tp_clear, CORE_SLOT(clear)},
    {Py_tp_iter, CORE_SLOT(iterate)},
    {Py_tp_setattro, CORE_SLOT(set_attribute)},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {Py_mp_subscript, CORE_SLOT(subscript)},
    {Py_mp_ass_subscript, CORE_SLOT(assign)},
    {Py_mp_length, CORE_SLOT(length)},
    {Py_sq_contains, CORE_SLOT(contains)},
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

static PyType_Slot names_slots[] = {
    {Py_tp_dealloc, CORE_SLOT(names_dealloc)}, {Py_tp_traverse, CORE_SLOT(names_traverse)},
    {Py_tp_clear, CORE_SLOT(names_clear)},     {Py_tp_iter, CORE_SLOT(PyObject_SelfIter)},
    {Py_tp_iternext, CORE_SLOT(names_next)},   {0, NULL},
};

static PyType_Spec names_spec = {
    .name = "coatcheck._core.session_iterator",
    .basicsize = sizeof(struct names),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = names_slots,
};

int core_session_init(PyObject *module, struct core_state *state)
{
    state->base_session_type = core_type_add(module, &spec, NULL, 1);
    if (state->base_session_type == NULL)
        return -1;
    state->session_type = core_type_add(module, &blocking_spec, state->base_session_type, 1);
    if (state->session_type == NULL)
        return -1;
    state->names_type = core_type_add(module, &names_spec, NULL, 0);
    return state->names_type == NULL ? -1 : 0;
}
