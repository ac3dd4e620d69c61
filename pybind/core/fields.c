#include "fields.h"

#include <string.h>

#include "decode.h"
#include "encode.h"
#include "module.h"
#include "api/doc.h"

/* A name as the document has it. NULL with an exception. */
static const char *utf8_of(PyObject *name, size_t *len)
{
    Py_ssize_t size = 0;
    const char *utf8 = PyUnicode_AsUTF8AndSize(name, &size);

    *len = (size_t)size;
    return utf8;
}

/* The bytes of a field: 1, 0, or -1 with an exception. Valid until the document is changed. */
static int find(struct core_session *s, PyObject *name, const void **bytes, size_t *len)
{
    size_t name_len;
    const char *utf8 = utf8_of(name, &name_len);

    if (utf8 != NULL)
        return coat_doc_get(coat_session_doc(s->session), utf8, name_len, bytes, len);
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
        return -1;
    PyErr_Clear(); /* no field can have such a name */
    return 0;
}

PyObject *core_field_get(struct core_session *s, PyObject *name)
{
    PyObject *value = PyDict_GetItemWithError(s->fields, name);
    const void *bytes;
    size_t len;

    if (value != NULL || PyErr_Occurred())
        return Py_XNewRef(value);
    if (find(s, name, &bytes, &len) <= 0)
        return NULL;
    value = core_decode(s->state, bytes, len, coat_doc_limits(coat_session_doc(s->session)));
    if (value != NULL && PyDict_SetItem(s->fields, name, value) < 0)
        Py_CLEAR(value);
    return value;
}

int core_field_has(struct core_session *s, PyObject *name)
{
    const void *bytes;
    size_t len;

    return find(s, name, &bytes, &len);
}

static int refuse_name(struct core_session *s, PyObject *name)
{
    struct core_refusal r;

    if (core_refuse_key(&r, "session", NULL, name, "it has a lone surrogate, so it is not UTF-8") <
        0)
        return -1;
    core_refusal_raise(s->state, &r);
    core_refusal_release(&r);
    return -1;
}

static int pack(struct core_session *s, PyObject *name, PyObject *value, struct core_bytes *out)
{
    struct core_place at = {NULL, name, 0};

    return core_encode(s->state, value, "session", &at,
                       coat_doc_limits(coat_session_doc(s->session)), out);
}

/* Give the document the packed bytes. */
static int put(struct core_session *s, PyObject *name, const struct core_bytes *packed)
{
    struct coat_doc *doc = coat_session_doc(s->session);
    size_t len, count = coat_doc_count(doc);
    const char *utf8 = utf8_of(name, &len);
    struct coat_error err;

    if (utf8 == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        return refuse_name(s, name);
    }
    if (utf8 == NULL)
        return -1;
    if (coat_doc_set_checked(doc, utf8, len, packed->at, packed->len, packed->items, &err) < 0) {
        core_raise(s->state, &err, "session");
        return -1;
    }
    s->names_version += coat_doc_count(doc) != count;
    return 0;
}

int core_field_set(struct core_session *s, PyObject *name, PyObject *value)
{
    struct core_bytes packed;
    PyObject *old;
    int rc;

    old = PyDict_GetItemWithError(s->fields, name);
    if ((old == NULL && PyErr_Occurred()) || pack(s, name, value, &packed) < 0)
        return -1;
    /* The object first: taking it back cannot fail. */
    Py_XINCREF(old);
    rc = PyDict_SetItem(s->fields, name, value);
    if (rc == 0 && put(s, name, &packed) < 0) {
        PyObject *type, *exception, *traceback;

        rc = -1;
        PyErr_Fetch(&type, &exception, &traceback);
        if (old != NULL)
            PyDict_SetItem(s->fields, name, old);
        else
            PyDict_DelItem(s->fields, name);
        PyErr_Restore(type, exception, traceback);
    }
    Py_XDECREF(old);
    return rc;
}

static void *refuse_sum(struct core_session *s, const struct coat_error *err)
{
    if (err->code == COAT_ENOTSTORABLE && strcmp(err->reason, "number") == 0)
        return PyErr_Format(PyExc_TypeError, "session%s: %s", err->path, err->text);
    return core_raise(s->state, err, "session");
}

PyObject *core_field_add(struct core_session *s, PyObject *name, int64_t by)
{
    struct coat_doc *doc = coat_session_doc(s->session);
    size_t len, count = coat_doc_count(doc);
    const char *utf8 = utf8_of(name, &len);
    struct coat_error err;

    if (utf8 == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        refuse_name(s, name);
        return NULL;
    }
    if (utf8 == NULL)
        return NULL;
    if (coat_doc_add(doc, utf8, len, by, &err) < 0)
        return refuse_sum(s, &err);
    s->names_version += coat_doc_count(doc) != count;
    /* The object that was the number; nothing else has been added to. */
    if (PyDict_Contains(s->fields, name) == 1 && PyDict_DelItem(s->fields, name) < 0)
        return NULL;
    return core_field_get(s, name);
}

int core_field_delete(struct core_session *s, PyObject *name)
{
    struct coat_error err;
    const void *bytes;
    size_t len;
    int rc = find(s, name, &bytes, &len);

    if (rc > 0) {
        const char *utf8 = utf8_of(name, &len);

        rc = coat_doc_delete(coat_session_doc(s->session), utf8, len, &err);
        if (rc < 0)
            core_raise(s->state, &err, "session");
    }
    if (rc <= 0)
        return rc < 0 ? -1 : 0;
    s->names_version++;
    rc = PyDict_Contains(s->fields, name);
    if (rc == 1)
        rc = PyDict_DelItem(s->fields, name);
    return rc < 0 ? -1 : 1;
}

/* ---- Objects against bytes ----------------------------------------------------------------- */

static int can_change(PyObject *value)
{
    return PyList_CheckExact(value) || PyDict_CheckExact(value) || PyTuple_CheckExact(value);
}

/* 1 if the field is these bytes, 0, -1. */
static int is_packed(struct core_session *s, PyObject *name, const struct core_bytes *packed)
{
    const void *bytes;
    size_t len;
    int rc = find(s, name, &bytes, &len);

    return rc <= 0 ? rc : len == packed->len && memcmp(bytes, packed->at, len) == 0;
}

int core_fields_flush(struct core_session *s)
{
    PyObject *name, *value;
    Py_ssize_t at = 0;

    while (PyDict_Next(s->fields, &at, &name, &value)) {
        struct core_bytes packed;
        int same;

        if (!can_change(value))
            continue;
        if (pack(s, name, value, &packed) < 0 || (same = is_packed(s, name, &packed)) < 0 ||
            (same == 0 && put(s, name, &packed) < 0))
            return -1;
    }
    return 0;
}

/* 1 if the document still holds what the object is; one that cannot be packed speaks up later. */
static int is_current(struct core_session *s, PyObject *name, PyObject *value)
{
    struct core_bytes packed;

    if (pack(s, name, value, &packed) == 0)
        return is_packed(s, name, &packed);
    if (!PyErr_ExceptionMatches(s->state->exceptions[CORE_ERROR]))
        return -1;
    PyErr_Clear();
    return 1;
}

int core_fields_detach(struct core_session *s)
{
    PyObject *kept = PyDict_New(), *all = s->fields, *name, *value;
    Py_ssize_t at = 0;
    int rc = 0;

    s->names_version++;
    if (kept == NULL) {
        PyDict_Clear(all); /* one that is not current would undo at the next save what others did */
        return -1;
    }
    s->fields = Py_NewRef(kept); /* whatever finalizers do, `all` and `kept` stay with us */
    while (rc == 0 && PyDict_Next(all, &at, &name, &value)) {
        int current = is_current(s, name, value);

        rc = current <= 0 ? current : PyDict_SetItem(kept, name, value);
    }
    Py_DECREF(kept);
    Py_DECREF(all);
    return rc;
}

PyObject *core_fields_of(struct core_session *s, PyObject *names)
{
    PyObject *fields = PyDict_New();

    for (Py_ssize_t i = 0; fields != NULL && i < PyList_GET_SIZE(names); i++) {
        PyObject *name = PyList_GET_ITEM(names, i);
        PyObject *value = PyDict_GetItemWithError(s->fields, name);

        if (value == NULL ? PyErr_Occurred() != NULL : PyDict_SetItem(fields, name, value) < 0)
            Py_CLEAR(fields);
    }
    return fields;
}

void core_fields_replace(struct core_session *s, PyObject *fields)
{
    s->names_version++;
    Py_SETREF(s->fields, fields);
}

PyObject *core_field_names(struct core_session *s)
{
    struct coat_doc *doc = coat_session_doc(s->session);
    int collecting = PyGC_Disable(); /* nothing may change the document meanwhile */
    PyObject *names = PyList_New((Py_ssize_t)coat_doc_count(doc));
    const char *utf8;
    const void *value;
    size_t at = 0, utf8_len, len;

    for (Py_ssize_t i = 0; names != NULL && coat_doc_next(doc, &at, &utf8, &utf8_len, &value, &len);
         i++) {
        PyObject *name = core_key(&s->state->keys, (const unsigned char *)utf8, utf8_len);

        if (name == NULL)
            Py_CLEAR(names);
        else
            PyList_SET_ITEM(names, i, name);
    }
    if (collecting)
        PyGC_Enable();
    return names;
}
