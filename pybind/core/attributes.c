#include "attributes.h"

#include <math.h>

#include "fields.h"
#include "module.h"
#include "text.h"

static PyObject *get_id(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return core_session_look(s) < 0 ? NULL : core_text_or_none(coat_session_id(s->session));
}

/* Not a look: asked of sessions that nobody has looked at. */
static PyObject *get_presented(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    if (core_session_ready(s) < 0)
        return NULL;
    return Py_NewRef(s->id != NULL ? s->id : Py_None);
}

static PyObject *get_store(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return core_session_ready(s) < 0 ? NULL : Py_NewRef((PyObject *)s->store);
}

/* Also after the store was closed, once it is known: logs and repr() ask for it. */
static PyObject *get_public_id(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    if ((s->session == NULL || s->busy) && core_session_look(s) < 0)
        return NULL;
    return core_text_or_none(coat_session_public_id(s->session));
}

static PyObject *get_principal(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return core_session_look(s) < 0 ? NULL : core_text_or_none(coat_session_principal(s->session));
}

static PyObject *get_new(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return core_session_look(s) < 0 ? NULL : PyBool_FromLong(coat_session_is_new(s->session));
}

static PyObject *get_stale(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return core_session_look(s) < 0 ? NULL : PyBool_FromLong(coat_session_stale(s->session));
}

static PyObject *get_created_ms(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return core_session_look(s) < 0 ? NULL
                                    : PyLong_FromLongLong(coat_session_created_ms(s->session));
}

static PyObject *get_deadline_ms(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    return core_session_look(s) < 0 ? NULL
                                    : PyLong_FromLongLong(coat_session_deadline_ms(s->session));
}

static PyObject *get_accessed(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(core_session_accessed((struct core_session *)object));
}

/* Not a look: middleware asks this of every session. */
static PyObject *get_modified(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_session *s = (struct core_session *)object;

    if (core_session_ready(s) < 0)
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

    if (core_session_look(s) < 0)
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

    if (idle_s < 0 || core_session_look_to_change(s) < 0)
        return -1;
    if (coat_session_set_idle(s->session, idle_s, &err) == 0)
        return 0;
    core_raise(s->state, &err, "session");
    return -1;
}

int core_session_set_attribute(PyObject *object, PyObject *name, PyObject *value)
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

PyGetSetDef core_session_attributes[] = {
    {"id", get_id, NULL, "For the cookie. A secret. None while it is not stored.", NULL},
    {"_presented", get_presented, NULL, "The id that it will be loaded by, or None.", NULL},
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
