#include "view.h"

#include "errors.h"
#include "module.h"
#include "request.h"

struct core_cache *core_view_cache(struct core_state *state, PyObject *object,
                                   struct core_view **view)
{
    *view = NULL;
    if (PyObject_TypeCheck(object, state->base_cache_type))
        return (struct core_cache *)object;
    if (PyObject_TypeCheck(object, state->base_view_type)) {
        *view = (struct core_view *)object;
        if ((*view)->cache != NULL)
            return (*view)->cache;
    }
    PyErr_Format(PyExc_TypeError, "a cache is needed, not %.80s", Py_TYPE(object)->tp_name);
    return NULL;
}

/* ---- Making it ------------------------------------------------------------------------------ */

/* Names are as many as fit a view; more are for the library to refuse. */
static int read_names(PyObject *names, const char **texts, size_t *lens)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        Py_ssize_t len;

        texts[i] = core_request_key(PyTuple_GET_ITEM(names, i), &len);
        if (texts[i] == NULL)
            return -1;
        lens[i] = (size_t)len;
    }
    return 0;
}

static int is_too_many(PyObject *names, int is_namespace)
{
    Py_ssize_t most = is_namespace ? 1 : COAT_VIEW_NAMES_MAX;

    if (PyTuple_GET_SIZE(names) <= most)
        return 0;
    PyErr_Format(PyExc_ValueError, "what is cached is in one namespace, or has at most %d tags",
                 COAT_VIEW_NAMES_MAX);
    return 1;
}

static int open_view(struct core_view *self, const struct coat_view *parent, PyObject *names,
                     int is_namespace)
{
    const char *texts[COAT_VIEW_NAMES_MAX];
    size_t lens[COAT_VIEW_NAMES_MAX];
    struct coat_error err;
    int rc;

    if (is_too_many(names, is_namespace) || read_names(names, texts, lens) < 0 ||
        core_store_use(&self->cache->base) < 0)
        return -1;
    rc = coat_view_new(&self->view, self->cache->base.store, parent,
                       is_namespace ? COAT_VIEW_NAMESPACE : COAT_VIEW_TAGS, texts, lens,
                       (size_t)PyTuple_GET_SIZE(names), &err);
    core_store_unuse(&self->cache->base);
    if (rc == 0)
        return 0;
    core_raise(self->state, &err, "");
    return -1;
}

static void dealloc(PyObject *object);

static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    struct core_state *state = core_state_of(type, dealloc);
    struct core_view *self, *parent;
    struct core_cache *cache;
    PyObject *in, *names;
    int is_namespace;

    if (!PyArg_ParseTuple(args, "OO!p:View", &in, &PyTuple_Type, &names, &is_namespace) ||
        (cache = core_view_cache(state, in, &parent)) == NULL)
        return NULL;
    self = (struct core_view *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->state = state;
    self->cache = (struct core_cache *)Py_NewRef((PyObject *)cache);
    if (open_view(self, core_view_names(parent), names, is_namespace) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* ---- The type ------------------------------------------------------------------------------- */

static PyObject *get_id(PyObject *object, void *Py_UNUSED(closure))
{
    struct core_view *self = (struct core_view *)object;
    size_t len;
    const char *id = coat_view_id(self->view, &len);

    return PyUnicode_DecodeUTF8(id, (Py_ssize_t)len, NULL);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((struct core_view *)object)->cache);
    return 0;
}

static int clear(PyObject *object)
{
    Py_CLEAR(((struct core_view *)object)->cache);
    return 0;
}

static void dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    coat_view_free(((struct core_view *)object)->view);
    clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyGetSetDef attributes[] = {
    {"_id", get_id, NULL, "Text that no view has but one of the same entries.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A part of a cache whose entries end together."},
    {Py_tp_new, CORE_SLOT(make)},
    {Py_tp_dealloc, CORE_SLOT(dealloc)},
    {Py_tp_traverse, CORE_SLOT(traverse)},
    {Py_tp_clear, CORE_SLOT(clear)},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "coatcheck._core.BaseView",
    .basicsize = sizeof(struct core_view),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int core_view_init(PyObject *module, struct core_state *state)
{
    state->base_view_type = core_type_add(module, &spec, NULL, 1);
    return state->base_view_type == NULL ? -1 : 0;
}
