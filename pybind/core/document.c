#include "document.h"

#include "coat_doc.h"
#include "decode.h"
#include "encode.h"
#include "module.h"
#include "api/doc.h"

struct document {
    PyObject_HEAD struct core_state *state;
    struct coat_doc *doc;
    struct coat_buf saved;
};

static struct document *document_of(PyObject *object)
{
    return (struct document *)object;
}

/* What a load does with the fields that it got: check them all, and index them. */
static PyObject *open_document(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    struct core_state *state = PyType_GetModuleState(type);
    struct coat_error err;
    struct document *self;
    const char *bytes;
    Py_ssize_t len;

    if (!PyArg_ParseTuple(args, "y#:_Document", &bytes, &len))
        return NULL;
    self = (struct document *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->state = state;
    if (coat_doc_parse(&self->doc, bytes, (size_t)len, NULL, &err) < 0) {
        core_raise(state, &err, "document");
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void dealloc(PyObject *object)
{
    struct document *self = document_of(object);
    PyTypeObject *type = Py_TYPE(object);

    coat_doc_free(self->doc);
    coat_buf_release(&self->saved);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *get_field(struct core_state *state, const struct coat_doc *doc, PyObject *name)
{
    Py_ssize_t name_len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(name, &name_len);
    const void *value;
    size_t len;

    if (utf8 == NULL)
        return NULL;
    if (!coat_doc_get(doc, utf8, (size_t)name_len, &value, &len)) {
        PyErr_SetObject(PyExc_KeyError, name);
        return NULL;
    }
    return core_decode(state, value, len, coat_doc_limits(doc));
}

static PyObject *get(PyObject *object, PyObject *name)
{
    struct document *self = document_of(object);

    return get_field(self->state, self->doc, name);
}

/* A request that reads one field, as one call, so that no more than that is measured. */
static PyObject *field_of(PyObject *type, PyObject *data_and_name)
{
    struct core_state *state = PyType_GetModuleState((PyTypeObject *)type);
    struct coat_doc *doc;
    struct coat_error err;
    PyObject *data, *name, *value;

    if (!PyTuple_CheckExact(data_and_name) || PyTuple_GET_SIZE(data_and_name) != 2 ||
        !PyBytes_CheckExact(data = PyTuple_GET_ITEM(data_and_name, 0)) ||
        !PyUnicode_CheckExact(name = PyTuple_GET_ITEM(data_and_name, 1))) {
        PyErr_SetString(PyExc_TypeError, "field_of takes a tuple of bytes and a name");
        return NULL;
    }
    if (coat_doc_parse(&doc, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data), NULL, &err) <
        0)
        return core_raise(state, &err, "document");
    value = get_field(state, doc, name);
    coat_doc_free(doc);
    return value;
}

static PyObject *set(PyObject *object, PyObject *args)
{
    struct document *self = document_of(object);
    struct core_place at = {0};
    struct core_bytes packed;
    struct coat_error err;
    const char *utf8;
    PyObject *value;
    Py_ssize_t len;

    if (!PyArg_ParseTuple(args, "UO:set", &at.key, &value))
        return NULL;
    utf8 = PyUnicode_AsUTF8AndSize(at.key, &len);
    if (utf8 == NULL ||
        core_encode(self->state, value, "document", &at, coat_doc_limits(self->doc), &packed) < 0)
        return NULL;
    if (coat_doc_set_checked(self->doc, utf8, (size_t)len, packed.at, packed.len, packed.items,
                             &err) < 0)
        return core_raise(self->state, &err, "document");
    Py_RETURN_NONE;
}

/* What a save does before and after the server has it: write all bytes, and take them as read. */
static PyObject *save(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct document *self = document_of(object);

    coat_buf_clear(&self->saved);
    if (coat_buf_reserve(&self->saved, coat_doc_size(self->doc)) < 0 ||
        coat_doc_commit(self->doc, NULL) < 0)
        return PyErr_NoMemory();
    coat_buf_took(&self->saved, coat_doc_write(self->doc, coat_buf_end(&self->saved)));
    return PyLong_FromSize_t(self->saved.len);
}

static PyMethodDef methods[] = {
    {"get", get, METH_O, "get($self, name, /)\n--\n\nThe field, decoded."},
    {"field_of", field_of, METH_O | METH_CLASS,
     "field_of($type, data_and_name, /)\n--\n\nOpen, get, and close."},
    {"set", set, METH_VARARGS, "set($self, name, value, /)\n--\n\nEncode the field."},
    {"save", save, METH_NOARGS, "save($self, /)\n--\n\nHow many bytes were written."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "_Document(data, /)\n--\n\nFor coatcheck.bench only."},
    {Py_tp_new, CORE_SLOT(open_document)},
    {Py_tp_dealloc, CORE_SLOT(dealloc)},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "coatcheck._core._Document",
    .basicsize = sizeof(struct document),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int core_document_init(PyObject *module)
{
    PyTypeObject *type = core_type_add(module, &spec, NULL, 1);

    Py_XDECREF(type);
    return type == NULL ? -1 : 0;
}
