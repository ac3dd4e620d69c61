#include "layout.h"

#if CORE_LAYOUT_KNOWN

/* Whether the entries are those that the public walk finds. */
static bool entries_match(const struct core_layout *layout, PyObject *dict)
{
    struct core_entries entries;
    PyObject *key, *value;
    Py_ssize_t at = 0;

    if (!core_dict_entries(layout, dict, &entries))
        return false;
    for (; entries.at < entries.end; entries.at += entries.stride) {
        if (entries.at[1] == NULL)
            continue;
        if (!PyDict_Next(dict, &at, &key, &value) || key != entries.at[0] ||
            value != entries.at[1] || (entries.texts && !PyUnicode_CheckExact(key)))
            return false;
    }
    return !PyDict_Next(dict, &at, &key, &value);
}

static int set(PyObject *dict, PyObject *key)
{
    int rc = key == NULL ? -1 : PyDict_SetItem(dict, key, Py_True);

    Py_XDECREF(key);
    return rc;
}

/* Growing tables of texts, one with a gap, and one with another key. 1, 0, or -1. */
static int try_dicts(const struct core_layout *layout)
{
    PyObject *dict = PyDict_New();
    int ok = dict == NULL ? -1 : entries_match(layout, dict);

    for (int i = 0; i < 300 && ok > 0; i++)
        ok = set(dict, PyUnicode_FromFormat("key %d", i)) < 0 ? -1 : entries_match(layout, dict);
    if (ok > 0)
        ok = PyDict_DelItemString(dict, "key 7") < 0 ? -1 : entries_match(layout, dict);
    if (ok > 0)
        ok = set(dict, PyLong_FromLong(7)) < 0 ? -1 : entries_match(layout, dict);
    Py_XDECREF(dict);
    return ok;
}

/* 1, 0, or -1. */
static int try_int(const struct core_layout *layout, long long value)
{
    PyObject *number = PyLong_FromLongLong(value);
    int64_t seen;
    int ok;

    if (number == NULL)
        return -1;
    ok = !core_int_value(layout, number, &seen) || seen == value;
    Py_DECREF(number);
    return ok;
}

static int try_ints(const struct core_layout *layout)
{
    int ok = 1;

    for (int bits = 0; bits < 63 && ok > 0; bits++) {
        long long value = 1LL << bits;

        ok = try_int(layout, value);
        if (ok > 0)
            ok = try_int(layout, value - 1);
        if (ok > 0)
            ok = try_int(layout, -value);
    }
    return ok;
}

/* One that does not know its UTF-8 yet, and then does. 1, 0, or -1. */
static int try_text(const struct core_layout *layout)
{
    PyObject *text = PyUnicode_DecodeUTF8("caf\xc3\xa9 \xe2\x82\xac", 9, NULL);
    const char *utf8;
    Py_ssize_t len;
    size_t seen;
    int ok;

    if (text == NULL)
        return -1;
    ok = core_text_utf8(layout, text, &seen) == NULL;
    utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    if (utf8 == NULL)
        ok = -1;
    else if (ok)
        ok = core_text_utf8(layout, text, &seen) == utf8 && seen == (size_t)len;
    Py_DECREF(text);
    return ok;
}

int core_layout_init(struct core_layout *layout)
{
    int ok;

    layout->is_known = true;
    ok = try_dicts(layout);
    if (ok > 0)
        ok = try_ints(layout);
    if (ok > 0)
        ok = try_text(layout);
    layout->is_known = ok > 0;
    return ok < 0 ? -1 : 0;
}

#else

int core_layout_init(struct core_layout *layout)
{
    layout->is_known = false;
    return 0;
}

#endif
