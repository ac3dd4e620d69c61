#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "coat_version.h"
#include "api/error.h"
#include "api/utf8.h"

const char *coat_version(void)
{
    return COAT_VERSION;
}

const char *coat_code_name(int code)
{
#define NAME(code)                                                                                 \
    case code:                                                                                     \
        return #code
    switch (code) {
        NAME(COAT_ENOMEM);
        NAME(COAT_EUSAGE);
        NAME(COAT_ENOTSTORABLE);
        NAME(COAT_ELIMIT);
        NAME(COAT_ECORRUPT);
        NAME(COAT_EFORMAT);
        NAME(COAT_ECONFIG);
        NAME(COAT_EDENIED);
        NAME(COAT_EUNAVAILABLE);
        NAME(COAT_ETIMEOUT);
        NAME(COAT_EFOREIGN);
        NAME(COAT_EUNCERTAIN);
        NAME(COAT_EGONE);
        NAME(COAT_EREPLACED);
        NAME(COAT_ECONFLICT);
        NAME(COAT_EINTR);
        NAME(COAT_ETOOMANY);
        NAME(COAT_EBUSY);
        NAME(COAT_ELOCKLOST);
    default:
        return "unknown code";
    }
#undef NAME
}

/* snprintf returned `full`; a character that it cut in two goes altogether. */
static void cut(char *text, size_t size, int full)
{
    if (full < 0)
        text[0] = '\0';
    else if ((size_t)full >= size)
        text[coat_utf8_valid(text, strlen(text))] = '\0';
}

/* A path or name from outside may hold anything, and ends up in logs: it stays in its line. */
static void put_in_one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

__attribute__((format(printf, 4, 0))) static void
fill(struct coat_error *err, int code, const char *reason, const char *text, va_list args)
{
    if (err == NULL)
        return;
    memset(err, 0, sizeof *err);
    err->code = code;
    cut(err->reason, sizeof err->reason, snprintf(err->reason, sizeof err->reason, "%s", reason));
    cut(err->text, sizeof err->text, vsnprintf(err->text, sizeof err->text, text, args));
    put_in_one_line(err->text);
}

int coat_error_set(struct coat_error *err, int code, const char *text, ...)
{
    va_list args;

    va_start(args, text);
    fill(err, code, "", text, args);
    va_end(args);
    return code;
}

int coat_error_because(struct coat_error *err, int code, const char *reason, const char *text, ...)
{
    va_list args;

    va_start(args, text);
    fill(err, code, reason, text, args);
    va_end(args);
    return code;
}

int coat_error_nomem(struct coat_error *err)
{
    return coat_error_set(err, COAT_ENOMEM, "out of memory");
}
