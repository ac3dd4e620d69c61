#include "login.h"

#include <string.h>

#include "fields.h"
#include "module.h"
#include "refuse.h"

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

PyObject *core_session_login(PyObject *object, PyObject *args, PyObject *keywords)
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
    if (core_session_look_to_change(s) == 0)
        rc = log_in(s, text, carry);
    Py_DECREF(carry);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *core_session_rotate(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct core_session *s = (struct core_session *)object;
    struct coat_error err;

    if (core_session_look_to_change(s) < 0)
        return NULL;
    if (coat_session_rotate(s->session, &err) < 0)
        return core_raise(s->state, &err, "session");
    Py_RETURN_NONE;
}
