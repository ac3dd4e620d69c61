/*
 * fields.h: the fields of a session as Python objects.
 *
 * A field that nobody touches stays bytes. One that was got or assigned is also an object, always
 * the same one, so that what is changed inside it is seen: before a save every such object is
 * packed again and compared with its bytes.
 *
 * `name` is exactly a str. The session is loaded.
 */
#ifndef COAT_CORE_FIELDS_H
#define COAT_CORE_FIELDS_H

#include "session.h"

/* New reference; NULL with an exception, or without one where there is no such field. */
PyObject *core_field_get(struct core_session *s, PyObject *name);

/* 1, 0, or -1 with an exception. */
int core_field_has(struct core_session *s, PyObject *name);

/* 0, or -1 with an exception (NotStorable, LimitExceeded, MemoryError) and all as before. */
int core_field_set(struct core_session *s, PyObject *name, PyObject *value);

/* Add to a whole number: the new one, or NULL with TypeError, or as core_field_set, all as before.
 */
PyObject *core_field_add(struct core_session *s, PyObject *name, int64_t by);

/* 1, 0 where there was none, or -1 with an exception. */
int core_field_delete(struct core_session *s, PyObject *name);

/* Bring what was changed inside the objects into the document. 0, or -1 as core_field_set. */
int core_fields_flush(struct core_session *s);

/* Let go of the objects that are no longer what the document holds. 0, or -1, and they are gone. */
int core_fields_detach(struct core_session *s);

/* The objects of fields in this list, as far as there are any: a new dict, or NULL. */
PyObject *core_fields_of(struct core_session *s, PyObject *names);

/* Keep these objects alone. Takes the reference. */
void core_fields_replace(struct core_session *s, PyObject *fields);

/* The names, in order: a new list, or NULL. */
PyObject *core_field_names(struct core_session *s);

#endif
