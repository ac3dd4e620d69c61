/* events.h: the option on_event: what becomes of sessions, told to a callable. */
#ifndef COAT_CORE_EVENTS_H
#define COAT_CORE_EVENTS_H

#include "store.h"

/*
 * From now on the events of this store go to on_event, or if that is None and the option says "log"
 * to log_event, as (kind, public_id, principal, reason), the last two a str or None. They are told
 * with the interpreter's lock in hand, where no exception is set. What such a callable raises goes
 * to sys.unraisablehook.
 */
void core_events_begin(struct core_store *store, PyObject *on_event, PyObject *log_event);

#endif
