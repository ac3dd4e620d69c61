#include "index.h"

#include <string.h>

#include "coat_doc.h"
#include "decode.h"
#include "login.h"
#include "module.h"
#include "run.h"
#include "api/doc.h"

/* Text that no session can have is as good as any other that none has. NULL with an exception. */
static const char *public_id_from(PyObject *public_id)
{
    const char *text;

    if (!PyUnicode_Check(public_id)) {
        PyErr_Format(PyExc_TypeError, "a public id is a str, not %.80s",
                     Py_TYPE(public_id)->tp_name);
        return NULL;
    }
    text = PyUnicode_AsUTF8(public_id);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        text = "";
    }
    return text;
}

struct coat_index_op *core_index_op(struct core_store *store, enum coat_index_do what,
                                    PyObject *principal, PyObject *public_id)
{
    const char *name, *id = NULL;
    struct coat_index_op *op;
    struct coat_error err;

    if (principal == Py_None) { /* of a session that was not asked */
        PyErr_SetString(PyExc_TypeError, "principal must be a str, not None: nobody is logged in, "
                                         "so look at session.principal first");
        return NULL;
    }
    if ((name = core_argument_text(store->state, principal, "principal")) == NULL)
        return NULL;
    if (what == COAT_INDEX_END_ONE || public_id != Py_None)
        if ((id = public_id_from(public_id)) == NULL)
            return NULL;
    if (coat_index_op_new(&op, store->store, what, name, id, &err) == 0)
        return op;
    return core_raise(store->state, &err, "session");
}

/* ---- Results -------------------------------------------------------------------------------- */

/* The fields as a new dict. */
static PyObject *decode_fields(struct core_state *state, const struct coat_doc *doc)
{
    PyObject *fields = PyDict_New();
    const char *name;
    const void *bytes;
    size_t at = 0, name_len, len;

    while (fields != NULL && doc != NULL &&
           coat_doc_next(doc, &at, &name, &name_len, &bytes, &len)) {
        PyObject *key = PyUnicode_DecodeUTF8(name, (Py_ssize_t)name_len, NULL);
        PyObject *value = key == NULL ? NULL : core_decode(state, bytes, len, coat_doc_limits(doc));

        if (value == NULL || PyDict_SetItem(fields, key, value) < 0)
            Py_CLEAR(fields);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return fields;
}

static PyObject *row_from(struct core_state *state, const struct coat_session_info *info)
{
    PyObject *shown = decode_fields(state, info->shown);

    if (shown == NULL)
        return NULL;
    return Py_BuildValue("(sLLN)", info->public_id, (long long)info->created_ms,
                         (long long)info->deadline_ms, shown);
}

static PyObject *rows_from(struct core_state *state, const struct coat_session_list *list)
{
    const struct coat_session_info *info;
    PyObject *rows = PyList_New(0);

    for (size_t i = 0; rows != NULL && (info = coat_session_list_get(list, i)) != NULL; i++) {
        PyObject *row = row_from(state, info);

        if (row == NULL || PyList_Append(rows, row) < 0)
            Py_CLEAR(rows);
        Py_XDECREF(row);
    }
    return rows;
}

PyObject *core_index_result(struct core_store *store, enum coat_index_do what,
                            struct coat_index_op *op, int rc)
{
    struct coat_session_list *list;
    PyObject *rows;

    if (what == COAT_INDEX_END_ONE)
        return PyBool_FromLong(rc);
    if (what == COAT_INDEX_END_ALL)
        return Py_BuildValue("(iN)", rc, PyBool_FromLong(coat_index_op_lost(op)));
    list = coat_index_op_list(op);
    rows = rows_from(store->state, list);
    coat_session_list_free(list);
    return rows;
}

PyObject *core_index_call(struct core_store *store, enum coat_index_do what, PyObject *principal,
                          PyObject *public_id)
{
    struct coat_index_op *op;
    PyObject *result = NULL;
    int rc;

    if (core_store_use(store) < 0)
        return NULL;
    op = core_index_op(store, what, principal, public_id);
    if (op != NULL) {
        rc = core_run(store->state, store->store, coat_index_op(op), 0);
        result = rc < 0 ? NULL : core_index_result(store, what, op, rc);
    }
    coat_index_op_free(op);
    core_store_unuse(store);
    return result;
}
