#include "options.h"

#include "module.h"

static int set_options(struct core_state *state, struct coat_options *options, PyObject *pairs,
                       int env)
{
    struct coat_error err;

    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(pairs); i++) {
        PyObject *pair = PySequence_Fast_GET_ITEM(pairs, i);
        const char *name, *value;

        if (!PyTuple_CheckExact(pair)) {
            PyErr_SetString(PyExc_TypeError, "an option is a tuple of a name and a value");
            return -1;
        }
        if (!PyArg_ParseTuple(pair, "ss:option", &name, &value))
            return -1;
        if (coat_options_set(options, name, value, &err) < 0) {
            core_raise(state, &err, "");
            return -1;
        }
    }
    if (env && coat_options_env(options, &err) < 0) {
        core_raise(state, &err, "");
        return -1;
    }
    return 0;
}

struct coat_options *core_options_from(struct core_state *state, PyObject *sequence, int env)
{
    struct coat_options *options = NULL;
    struct coat_error err;
    PyObject *pairs = PySequence_Fast(sequence, "options must be a sequence of pairs");

    if (pairs == NULL)
        return NULL;
    if (coat_options_new(&options, &err) < 0) {
        core_raise(state, &err, "");
    } else if (set_options(state, options, pairs, env) < 0) {
        coat_options_free(options);
        options = NULL;
    }
    Py_DECREF(pairs);
    return options;
}
