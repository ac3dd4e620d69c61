#include "conflict.h"

#include "decode.h"
#include "encode.h"
#include "module.h"
#include "run.h"
#include "store.h"
#include "api/doc.h"
#include "api/error.h"

/* One that is to be decided. */
struct question {
    struct core_store *store;
    const struct coat_conflict *conflict;
    struct coat_doc *merged;
};

static PyObject *value_of(const struct question *q, const void *bytes, size_t len)
{
    struct core_state *state = q->store->state;

    return bytes == NULL ? Py_NewRef(state->missing)
                         : core_decode(state, bytes, len, coat_doc_limits(q->merged));
}

static PyObject *call(const struct question *q, PyObject *function)
{
    const struct coat_conflict *c = q->conflict;
    PyObject *base = value_of(q, c->base, c->base_len);
    PyObject *mine = base != NULL ? value_of(q, c->mine, c->mine_len) : NULL;
    PyObject *theirs = mine != NULL ? value_of(q, c->theirs, c->theirs_len) : NULL;
    PyObject *value =
        theirs != NULL ? PyObject_CallFunctionObjArgs(function, base, mine, theirs, NULL) : NULL;

    Py_XDECREF(base);
    Py_XDECREF(mine);
    Py_XDECREF(theirs);
    return value;
}

static int put(const struct question *q, PyObject *name, PyObject *value)
{
    const struct coat_conflict *c = q->conflict;
    struct core_state *state = q->store->state;
    struct core_place at = {NULL, name, 0};
    struct core_bytes packed;
    struct coat_error err;
    int rc;

    if (value == state->missing) {
        rc = coat_doc_delete(q->merged, c->field, c->field_len, &err);
    } else {
        if (core_encode(state, value, "session", &at, coat_doc_limits(q->merged), &packed) < 0)
            return -1;
        rc = coat_doc_set_checked(q->merged, c->field, c->field_len, packed.at, packed.len,
                                  packed.items, &err);
    }
    if (rc < 0)
        core_raise(state, &err, "session");
    return rc < 0 ? -1 : COAT_CONFLICT_MERGED;
}

/* What a word of the dict stands for; the package has looked at it. */
static int word(PyObject *text)
{
    if (PyUnicode_CompareWithASCIIString(text, "theirs") == 0)
        return COAT_CONFLICT_THEIRS;
    return PyUnicode_CompareWithASCIIString(text, "raise") == 0 ? COAT_CONFLICT_RAISE
                                                                : COAT_CONFLICT_MINE;
}

/* Borrowed; NULL without an exception: there is none. */
static PyObject *policy_for(PyObject *policies, PyObject *name)
{
    PyObject *policy = PyDict_GetItemWithError(policies, name);

    return policy == NULL && !PyErr_Occurred() ? PyDict_GetItemString(policies, "*") : policy;
}

static int decide(const struct question *q, PyObject *name)
{
    PyObject *policy = policy_for(q->store->on_conflict, name), *value;
    int rc;

    if (policy == NULL)
        return PyErr_Occurred() ? -1 : COAT_CONFLICT_MINE;
    if (PyUnicode_Check(policy))
        return word(policy);
    Py_INCREF(policy);
    value = call(q, policy);
    rc = value == NULL ? -1 : put(q, name, value);
    Py_XDECREF(value);
    Py_DECREF(policy);
    return rc;
}

static int answer(void *question)
{
    const struct question *q = question;
    PyObject *name =
        PyUnicode_DecodeUTF8(q->conflict->field, (Py_ssize_t)q->conflict->field_len, NULL);
    int rc = name == NULL ? -1 : decide(q, name);

    Py_XDECREF(name);
    return rc;
}

int core_conflict(void *context, const struct coat_conflict *conflict, struct coat_doc *merged,
                  struct coat_error *err)
{
    struct question q = {context, conflict, merged};
    int rc = core_call_back(answer, &q, CORE_RAISES);

    return rc < 0 ? coat_error_set(err, COAT_ECONFLICT,
                                   "the function that on_conflict names for a field failed")
                  : rc;
}
