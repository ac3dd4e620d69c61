/* bytes.h: for tests on encoded values: hex, values as Python writes them, files of tests/data. */
#ifndef TESTS_BYTES_H
#define TESTS_BYTES_H

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coat_value.h"
#include "api/buf.h"
#include "api/path.h"
#include "api/wire.h"
#include "fuzz/repack.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* The bytes of such a text, into `to` unless it is NULL: how many. */
static inline size_t unhex_into(unsigned char *to, const char *text)
{
    size_t len = 0, digits;

    for (; (digits = strspn(text, "0123456789abcdef")) > 0; text += *text == ' ') {
        const char *end = text + digits;
        size_t last = 1;

        assert_true(digits % 2 == 0);
        if (*end == '*')
            last = strtoul(end + 1, (char **)&end, 10);
        for (; digits > 0; digits -= 2, text += 2) {
            char pair[3] = {text[0], text[1], '\0'};
            size_t times = digits == 2 ? last : 1;

            if (to != NULL)
                memset(to + len, (int)strtoul(pair, NULL, 16), times);
            len += times;
        }
        text = end;
    }
    return len;
}

/*
 * "81a161c0" into bytes; spaces between bytes mean nothing, "00*5" is five times 00, "." is none.
 * The caller frees them. Of exact size, so that ASan sees.
 */
static inline unsigned char *unhex(const char *text, size_t *len)
{
    unsigned char *bytes;

    *len = unhex_into(NULL, text);
    bytes = malloc(*len + (*len == 0));
    assert_non_null(bytes);
    unhex_into(bytes, text);
    return bytes;
}

static inline char *to_hex(const void *bytes, size_t len)
{
    char *hex = malloc(2 * len + 1);

    assert_non_null(hex);
    hex[2 * len] = '\0';
    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = "0123456789abcdef"[((const unsigned char *)bytes)[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[((const unsigned char *)bytes)[i] & 15];
    }
    return hex;
}

/* Bytes that passed the check (equal keys too) are what the packer makes of their value. */
static inline void assert_repacks(const void *bytes, size_t len)
{
    struct coat_packer p;
    struct coat_cursor c;
    struct coat_error err;
    const void *again;
    size_t again_len;

    coat_packer_init(&p, NULL);
    coat_cursor_init(&c, bytes, len);
    repack(&p, &c);
    assert_ptr_equal(c.at, c.end);
    if (coat_packer_finish(&p, &again, &again_len, &err) < 0)
        fail_msg("%s: %s", err.path, err.text);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, bytes, len);
    coat_packer_release(&p);
    coat_cursor_init(&c, bytes, len);
    assert_int_equal(coat_cursor_skip(&c), 1);
    assert_ptr_equal(c.at, c.end);
    assert_int_equal(coat_cursor_skip(&c), 0);
}

/* Opens tests/data/NAME: below $srcdir, which tests/run sets, or beside this source. */
static inline FILE *open_data(const char *name)
{
    const char *srcdir = getenv("srcdir"), *here = strstr(__FILE__, "tests/unit/");
    char path[1024];
    FILE *f;

    assert_non_null(here);
    if (srcdir != NULL)
        snprintf(path, sizeof path, "%s/tests/data/%s", srcdir, name);
    else
        snprintf(path, sizeof path, "%.*stests/data/%s", (int)(here - __FILE__), __FILE__, name);
    f = fopen(path, "r");
    if (f == NULL)
        fail_msg("%s cannot be opened", path);
    return f;
}

/* Ends a cell of a row, and returns the next. */
static inline char *next_cell(char *cell)
{
    char *tab = strchr(cell, '\t');

    assert_non_null(tab);
    *tab = '\0';
    return tab + 1;
}

/* The next line that is neither empty nor a comment: 1, with its first cell in `line`, and the rest
 * of it. */
static inline int next_row(FILE *f, char *line, size_t size, char **second)
{
    while (fgets(line, (int)size, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#')
            continue;
        *second = next_cell(line);
        return 1;
    }
    return 0;
}

#endif
