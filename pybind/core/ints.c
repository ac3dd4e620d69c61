#include "ints.h"

#include "api/wire.h"

#if PY_VERSION_HEX >= 0x030d0000

size_t core_int_room(PyObject *number)
{
    return (size_t)PyLong_AsNativeBytes(number, NULL, 0, Py_ASNATIVEBYTES_BIG_ENDIAN);
}

int core_int_write(PyObject *number, unsigned char *to, size_t len)
{
    return PyLong_AsNativeBytes(number, to, (Py_ssize_t)len, Py_ASNATIVEBYTES_BIG_ENDIAN) < 0 ? -1
                                                                                              : 0;
}

PyObject *core_int_read(const unsigned char *bytes, size_t len)
{
    return PyLong_FromNativeBytes(bytes, len, Py_ASNATIVEBYTES_BIG_ENDIAN);
}

#else

size_t core_int_room(PyObject *number)
{
    return _PyLong_NumBits(number) / 8 + 1;
}

int core_int_write(PyObject *number, unsigned char *to, size_t len)
{
    return _PyLong_AsByteArray((PyLongObject *)number, to, len, 0, 1);
}

PyObject *core_int_read(const unsigned char *bytes, size_t len)
{
    return _PyLong_FromByteArray(bytes, len, 0, 1);
}

#endif

bool core_int_is_big(PyObject *number)
{
    unsigned char digits[16];
    size_t spare;
    int overflow;

    PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow == 0)
        return false;
    if (core_int_room(number) > sizeof digits || core_int_write(number, digits, sizeof digits) < 0)
        return true;
    spare = coat_wire_bigint_spare(digits, sizeof digits);
    return coat_wire_bigint_is_big(digits + spare, sizeof digits - spare);
}
