#include "mapping.h"

#include "fields.h"
#include "module.h"
#include "refuse.h"

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

    if (core_session_look(s) < 0)
        return NULL;
    name = name_from(key);
    if (name != NULL)
        value = core_field_get(s, name);
    Py_XDECREF(name);
    return value;
}

PyObject *core_mapping_subscript(PyObject *object, PyObject *key)
{
    PyObject *value = find((struct core_session *)object, key);

    if (value == NULL && !PyErr_Occurred())
        raise_key_error(key);
    return value;
}

PyObject *core_mapping_get(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    PyObject *value;

    if (count < 1 || count > 2)
        return PyErr_Format(PyExc_TypeError, "get takes 1 or 2 arguments, %zd were given", count);
    value = find((struct core_session *)object, args[0]);
    if (value != NULL || PyErr_Occurred())
        return value;
    return Py_NewRef(count == 2 ? args[1] : Py_None);
}

int core_mapping_contains(PyObject *object, PyObject *key)
{
    struct core_session *s = (struct core_session *)object;
    PyObject *name;
    int rc;

    if (core_session_look(s) < 0)
        return -1;
    name = name_from(key);
    if (name == NULL)
        return PyErr_Occurred() ? -1 : 0;
    rc = core_field_has(s, name);
    Py_DECREF(name);
    return rc;
}

Py_ssize_t core_mapping_length(PyObject *object)
{
    struct core_session *s = (struct core_session *)object;

    return core_session_look(s) < 0 ? -1 : (Py_ssize_t)coat_doc_count(coat_session_doc(s->session));
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

int core_mapping_assign(PyObject *object, PyObject *key, PyObject *value)
{
    struct core_session *s = (struct core_session *)object;

    if (core_session_look_to_change(s) < 0)
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

PyObject *core_mapping_incr(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"field", "by", NULL};
    struct core_session *s = (struct core_session *)object;
    PyObject *field, *by = NULL;
    int64_t number = 1;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:incr", names, &field, &by))
        return NULL;
    if (by != NULL && (number = whole_number(by)) == -1 && PyErr_Occurred())
        return NULL;
    if (core_session_look_to_change(s) < 0)
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

PyObject *core_mapping_iterate(PyObject *object)
{
    struct core_session *s = (struct core_session *)object;
    PyTypeObject *type = s->state->names_type;
    struct names *names;

    if (core_session_look(s) < 0)
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

int core_mapping_init(PyObject *module, struct core_state *state)
{
    state->names_type = core_type_add(module, &names_spec, NULL, 0);
    return state->names_type == NULL ? -1 : 0;
}
