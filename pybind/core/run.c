#include "run.h"

#include <string.h>

#include "module.h"
#include "api/call.h"
#include "api/error.h"

/* ---- Callbacks ------------------------------------------------------------------------------ */

/* The library calls back in the thread that called it, but only with what the store was given. */
static _Thread_local struct core_pause *current;

struct core_pause *core_pause_begin(struct core_pause *pause)
{
    struct core_pause *before = current;

    current = pause;
    return before;
}

PyObject *core_take_exception(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *exception, *traceback;

    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(exception, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return exception;
#endif
}

PyObject *core_call_method(PyObject *object, const char *name, PyObject *argument)
{
    PyObject *interned = PyUnicode_InternFromString(name), *result;

    if (interned == NULL)
        return NULL;
    result = argument == NULL ? PyObject_CallMethodNoArgs(object, interned)
                              : PyObject_CallMethodOneArg(object, interned, argument);
    Py_DECREF(interned);
    return result;
}

int core_call_back(int (*function)(void *), void *argument, enum core_blame blame)
{
    struct core_pause *pause = current;
    PyThreadState *thread = pause->thread;
    int rc;

    if (thread != NULL)
        PyEval_RestoreThread(thread);
    pause->thread = NULL;
    rc = function(argument);
    if (rc < 0) {
        Py_XSETREF(pause->exception, core_take_exception());
        pause->blame = blame;
    }
    if (thread != NULL)
        pause->thread = PyEval_SaveThread();
    return rc;
}

/* ---- Credentials --------------------------------------------------------------------------- */

/* The exception of a failed conversion would hold the text, which may be the password. */
static char *refuse_text(void)
{
    PyErr_SetString(PyExc_ValueError, "credentials returned a text with a null character or a "
                                      "lone surrogate, which no server takes");
    return NULL;
}

static char *text_from(PyObject *text)
{
    Py_ssize_t len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    char *copy;

    if (utf8 == NULL)
        return PyErr_ExceptionMatches(PyExc_UnicodeEncodeError) ? refuse_text() : NULL;
    if (strlen(utf8) != (size_t)len)
        return refuse_text();
    copy = strdup(utf8);
    if (copy == NULL)
        PyErr_NoMemory();
    return copy;
}

/* From the callable's answer, a pair of user or None, and password. */
static int read_pair(PyObject *pair, struct coat_credentials *to)
{
    PyObject *user, *password;

    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_SetString(PyExc_TypeError, "credentials must return a tuple (user, password)");
        return -1;
    }
    user = PyTuple_GET_ITEM(pair, 0);
    password = PyTuple_GET_ITEM(pair, 1);
    if ((user != Py_None && !PyUnicode_Check(user)) || !PyUnicode_Check(password)) {
        PyErr_SetString(PyExc_TypeError, "credentials must return (user, password): a str or None, "
                                         "and a str");
        return -1;
    }
    if (user != Py_None && (to->username = text_from(user)) == NULL)
        return -1;
    to->password = text_from(password);
    return to->password == NULL ? -1 : 0;
}

struct request {
    PyObject *callable;
    struct coat_credentials *to;
};

static int ask(void *request)
{
    const struct request *r = request;
    PyObject *given = current->given;
    PyObject *pair = given != NULL ? Py_NewRef(given) : PyObject_CallNoArgs(r->callable);
    int rc = pair == NULL ? -1 : read_pair(pair, r->to);

    Py_XDECREF(pair);
    return rc;
}

int core_credentials(void *callable, struct coat_credentials *to, struct coat_error *err)
{
    struct request request = {callable, to};
    int rc = core_call_back(ask, &request, CORE_CAUSES);

    return rc < 0 ? coat_error_because(err, COAT_EDENIED, "credentials",
                                       "the callable of the option credentials gave none")
                  : 0;
}

void core_raise_from(PyObject *cause)
{
    PyObject *exception;

    if (!PyErr_GivenExceptionMatches(cause, PyExc_Exception)) {
        PyErr_Clear();
        PyErr_SetObject((PyObject *)Py_TYPE(cause), cause);
        return;
    }
    exception = core_take_exception();
    PyException_SetCause(exception, Py_NewRef(cause));
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
}

const char *core_root(const struct coat_op *op)
{
    return op->kind >= COAT_KIND_GET ? "value" : "session";
}

static void raise_failure(struct core_state *state, const struct coat_op *op,
                          const struct coat_error *err, const struct core_pause *pause)
{
    if (pause->exception != NULL && pause->blame == CORE_RAISES) {
        PyErr_SetObject((PyObject *)Py_TYPE(pause->exception), pause->exception);
        return;
    }
    core_raise(state, err, core_root(op));
    if (pause->exception != NULL)
        core_raise_from(pause->exception);
}

/* ---- Notices ------------------------------------------------------------------------------- */

static int log_line(const char *line)
{
    PyObject *logging = PyImport_ImportModule("logging"), *logger = NULL, *done = NULL;

    if (logging != NULL)
        logger = PyObject_CallMethod(logging, "getLogger", "s", "coatcheck");
    if (logger != NULL)
        done = PyObject_CallMethod(logger, "warning", "ss", "%s", line);
    Py_XDECREF(logging);
    Py_XDECREF(logger);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

void core_log_notices(struct coat_store *store)
{
    char line[320];

    while (coat_store_notice(store, line, sizeof line))
        if (log_line(line) < 0)
            PyErr_WriteUnraisable(NULL);
}

/* ---- Running ------------------------------------------------------------------------------- */

int core_run(struct core_state *state, struct coat_store *store, struct coat_op *op,
             int64_t timeout_ms)
{
    struct core_pause pause = {.thread = NULL}, *before = core_pause_begin(&pause);
    struct coat_call call;
    struct coat_error err;
    int rc, interrupted = 0;

    coat_registry_sweep(state->registry);
    coat_call_init(&call, store, op, timeout_ms);
    /* Giving the lock away for a moment costs more than that beside a busy thread. */
    rc = coat_call_run_briefly(&call, &err);
    while (rc == COAT_EINTR && !(interrupted = PyErr_CheckSignals() < 0)) {
        pause.thread = PyEval_SaveThread();
        rc = coat_call_run(&call, &err);
        PyEval_RestoreThread(pause.thread);
        pause.thread = NULL;
    }
    core_pause_begin(before);
    coat_call_release(&call);
    if (!interrupted) {
        coat_life_tell(op, store);
        core_log_notices(store);
        if (rc < 0)
            raise_failure(state, op, &err, &pause);
    }
    Py_XDECREF(pause.exception);
    return rc < 0 ? -1 : rc;
}
