/*
 * decode.h: bytes to Python values. No Python code runs meanwhile: the garbage collector is held
 * off, so nobody else can touch the bytes or see a value that is half made.
 */
#ifndef COAT_CORE_DECODE_H
#define COAT_CORE_DECODE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "coat_value.h"

struct core_state;

/*
 * The value of bytes from anywhere, checked as by coat_check while it is made. What containers
 * announce is paid from one budget, so that never more is allocated than the bytes can back. New
 * reference, or NULL with Corrupt, LimitExceeded or MemoryError.
 */
PyObject *core_decode(struct core_state *state, const void *bytes, size_t len,
                      const struct coat_limits *limits);

#endif
