/* ints.h: ints of any size as the bytes that wire.h has for them. */
#ifndef COAT_CORE_INTS_H
#define COAT_CORE_INTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

/* How many bytes of two's complement are surely enough. */
size_t core_int_room(PyObject *number);

/* Fill so many, big-endian. 0, or -1 with an exception if they are too few. */
int core_int_write(PyObject *number, unsigned char *to, size_t len);

/* The int of such bytes. New reference, or NULL with MemoryError. */
PyObject *core_int_read(const unsigned char *bytes, size_t len);

/* Whether it is beyond what 64 bits hold, with or without a sign. Makes no object. */
bool core_int_is_big(PyObject *number);

#endif
