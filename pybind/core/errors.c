#include "module.h"

#include <string.h>

static const char *const names[CORE_EXCEPTIONS] = {
    [CORE_ERROR] = "Error",
    [CORE_NOT_STORABLE] = "NotStorable",
    [CORE_LIMIT_EXCEEDED] = "LimitExceeded",
    [CORE_CORRUPT] = "Corrupt",
    [CORE_UNKNOWN_FORMAT] = "UnknownFormat",
    [CORE_CONFIG_ERROR] = "ConfigError",
    [CORE_STORE_DENIED] = "StoreDenied",
    [CORE_STORE_UNAVAILABLE] = "StoreUnavailable",
    [CORE_STORE_TIMEOUT] = "StoreTimeout",
    [CORE_FOREIGN_REPLY] = "ForeignReply",
    [CORE_UNCERTAIN] = "Uncertain",
    [CORE_SESSION_GONE] = "SessionGone",
    [CORE_CONFLICT] = "Conflict",
    [CORE_LOCK_LOST] = "LockLost",
    [CORE_LOCK_TIMEOUT] = "LockTimeout",
    [CORE_TOO_MANY_SESSIONS] = "TooManySessions",
    [CORE_BUSY] = "Busy",
    [CORE_NOT_LOADED] = "NotLoaded",
};

int core_errors_init(struct core_state *state)
{
    PyObject *module = PyImport_ImportModule("coatcheck.exceptions");

    if (module == NULL)
        return -1;
    for (int i = 0; i < CORE_EXCEPTIONS; i++) {
        state->exceptions[i] = PyObject_GetAttrString(module, names[i]);
        if (state->exceptions[i] == NULL)
            break;
    }
    Py_DECREF(module);
    return PyErr_Occurred() ? -1 : 0;
}

PyObject *core_exception(struct core_state *state, enum core_exception which, PyObject *text,
                         const char *name, PyObject *value, const char *name2, PyObject *value2)
{
    PyObject *exception = PyObject_CallOneArg(state->exceptions[which], text);

    if (exception == NULL)
        return NULL;
    if ((value != NULL && PyObject_SetAttrString(exception, name, value) < 0) ||
        (value2 != NULL && PyObject_SetAttrString(exception, name2, value2) < 0)) {
        Py_DECREF(exception);
        return NULL;
    }
    return exception;
}

/* A text of the library, which may have been cut off in the middle of a character. */
static PyObject *text_of(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

static PyObject *path_of(const struct coat_error *err, const char *root)
{
    PyObject *path = text_of(err->path), *whole = NULL;

    if (path != NULL)
        whole = PyUnicode_FromFormat("%s%U", root, path);
    Py_XDECREF(path);
    return whole;
}

/* Which exception a code becomes, and which of its attributes says what. */
struct rule {
    int code;
    enum core_exception which;
    enum { BARE, PATH, OFFSET, REASON, REPLACED } what;
    const char *name; /* of the attribute that holds the reason */
};

static const struct rule rules[] = {
    {COAT_ENOTSTORABLE, CORE_NOT_STORABLE, PATH, "type"},
    {COAT_ELIMIT, CORE_LIMIT_EXCEEDED, PATH, "limit"},
    {COAT_ECORRUPT, CORE_CORRUPT, OFFSET, NULL},
    {COAT_EFORMAT, CORE_UNKNOWN_FORMAT, OFFSET, NULL},
    {COAT_ECONFIG, CORE_CONFIG_ERROR, BARE, NULL},
    {COAT_EDENIED, CORE_STORE_DENIED, REASON, "code"},
    {COAT_EUNAVAILABLE, CORE_STORE_UNAVAILABLE, REASON, "code"},
    {COAT_ETIMEOUT, CORE_STORE_TIMEOUT, REASON, "code"},
    {COAT_EFOREIGN, CORE_FOREIGN_REPLY, REASON, "code"},
    {COAT_EUNCERTAIN, CORE_UNCERTAIN, REASON, "code"},
    {COAT_EGONE, CORE_SESSION_GONE, REPLACED, NULL},
    {COAT_EREPLACED, CORE_SESSION_GONE, REPLACED, NULL},
    {COAT_ECONFLICT, CORE_CONFLICT, PATH, NULL},
    {COAT_ELOCKLOST, CORE_LOCK_LOST, BARE, NULL},
    {COAT_ETOOMANY, CORE_TOO_MANY_SESSIONS, BARE, NULL},
    {COAT_EBUSY, CORE_BUSY, BARE, NULL},
};

static PyObject *exception_by(struct core_state *state, const struct rule *rule,
                              const struct coat_error *err, const char *root, PyObject *text)
{
    PyObject *value = NULL, *reason = NULL, *whole = NULL, *exception = NULL;

    switch (rule->what) {
    case BARE:
        return core_exception(state, rule->which, text, NULL, NULL, NULL, NULL);
    case REPLACED:
        value = err->code == COAT_EREPLACED ? Py_True : Py_False;
        return core_exception(state, rule->which, text, "replaced", value, NULL, NULL);
    case OFFSET:
        value = PyLong_FromSize_t(err->offset);
        if (value != NULL)
            exception = core_exception(state, rule->which, text, "offset", value, NULL, NULL);
        break;
    case REASON:
        value = text_of(err->reason);
        if (value != NULL)
            exception = core_exception(state, rule->which, text, rule->name, value, NULL, NULL);
        break;
    case PATH:
        value = path_of(err, root);
        reason = rule->name != NULL ? text_of(err->reason) : NULL;
        whole = value != NULL ? PyUnicode_FromFormat("%U: %U", value, text) : NULL;
        if (whole != NULL && !PyErr_Occurred())
            exception =
                core_exception(state, rule->which, whole, "path", value, rule->name, reason);
        break;
    }
    Py_XDECREF(whole);
    Py_XDECREF(reason);
    Py_XDECREF(value);
    return exception;
}

static void *raise_by(struct core_state *state, const struct rule *rule,
                      const struct coat_error *err, const char *root)
{
    PyObject *text = text_of(err->text), *exception = NULL;

    if (text != NULL)
        exception = exception_by(state, rule, err, root, text);
    if (exception != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_XDECREF(exception);
    Py_XDECREF(text);
    return NULL;
}

void *core_raise(struct core_state *state, const struct coat_error *err, const char *root)
{
    static const struct rule lock_timeout = {COAT_ETIMEOUT, CORE_LOCK_TIMEOUT, REASON, "code"};

    if (err->code == COAT_ENOMEM)
        return PyErr_NoMemory();
    if (err->code == COAT_ETIMEOUT && strcmp(err->reason, "lock") == 0)
        return raise_by(state, &lock_timeout, err, root);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].code == err->code)
            return raise_by(state, &rules[i], err, root);
    }
    /* COAT_EUSAGE; anything else would be a defect, and must not go unseen either. */
    PyErr_SetString(err->code == COAT_EUSAGE ? PyExc_ValueError : PyExc_SystemError, err->text);
    return NULL;
}
