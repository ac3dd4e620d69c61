#include "cli/put.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int put(struct coat_buf *to, const char *text)
{
    return coat_buf_append(to, text, strlen(text));
}

int put_number(struct coat_buf *to, const char *format, ...)
{
    char text[48];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return put(to, text);
}

int put_float(struct coat_buf *to, double number)
{
    char text[40];
    int digits = 1;
    do
        snprintf(text, sizeof text, "%.*g", digits, number);
    while (strtod(text, NULL) != number && digits++ < 17);
    int rc = put(to, text);
    return rc == 0 && !strpbrk(text, ".e") ? put(to, ".0") : rc;
}
