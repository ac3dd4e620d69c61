#include "events.h"

#include "api/life.h"

/* A coat_life_fn; context: the core_store. */
static void tell(void *context, const struct coat_life_event *event)
{
    const struct core_store *store = context;
    PyObject *answer = PyObject_CallFunction(store->on_event, "sszz", coat_life_name(event->kind),
                                             event->public_id, event->principal, event->reason);

    if (answer == NULL)
        PyErr_WriteUnraisable(store->on_event);
    Py_XDECREF(answer);
}

void core_events_begin(struct core_store *store, PyObject *on_event, PyObject *log_event)
{
    if (on_event == Py_None && coat_store_logs_events(store->store))
        on_event = log_event;
    if (on_event == Py_None)
        return;
    store->on_event = Py_NewRef(on_event);
    coat_store_on_event(store->store, tell, store);
}
