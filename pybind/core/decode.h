/*
 * decode.h: bytes to Python values. No Python code runs meanwhile: the garbage collector is held
 * off, so nobody else can touch the bytes or see a value that is half made.
 */
#ifndef COAT_CORE_DECODE_H
#define COAT_CORE_DECODE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

struct core_state;

/*
 * The value of bytes that have passed coat_check, or were packed here. New reference, or NULL with
 * Corrupt (two equal keys in one dict) or MemoryError.
 */
PyObject *core_decode(struct core_state *state, const void *bytes);

#endif
